//! Routes: the conditions under which a route takes a call, and an explanation if it does not.
//!
//! This module covers single routes and collections: the index that finds the first matching route (`index`), the
//! lines of a `routes_file` (`lines`) and the compiled routes of a configuration (`routes`). `table` and `plan` turn
//! a match into targets.

mod index;
mod lines;
mod routes;

pub use index::RouteIndex;
pub use lines::{LinePosition, LineSettings, RouteFile, RouteLines};
pub use routes::RouteList;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::number::Number;
use crate::pattern::Pattern;
use crate::schedule::ScheduleHours;
use crate::sms::SmsRule;
use crate::target::TargetSpec;

/// Default time limit for all targets but the last together. With a ring timeout of 60 s it leaves the third minute to
/// the last target, before the caller's network gives up (RFC 3261 §16.6, Timer C).
pub const SEARCH_TIMEOUT: Duration = Duration::from_secs(120);

/// Order in which adjacent trunks of a route are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrunkOrder {
    /// Order in which the configuration lists the targets.
    #[default]
    Listed,
    /// Best recent performance first ([`TrunkPerformance`](crate::TrunkPerformance)).
    AnswerRatio,
}

/// Route of the configuration: conditions on calls, targets and settings.
#[derive(Debug, Clone)]
pub struct Route {
    /// Name of the route; `route-N` (position from 1) if none is configured.
    pub name: Arc<str>,
    /// Trunks from which the route takes calls; empty for any.
    pub from: Vec<String>,
    /// Patterns of called numbers; empty for any.
    pub to: Vec<Pattern>,
    /// Patterns of calling numbers; empty for any.
    pub caller: Vec<Pattern>,
    /// Header conditions, all of which must hold.
    pub header: Vec<HeaderCondition>,
    /// Schedules, one of which must be active; empty for always.
    pub when: Vec<ScheduleHours>,
    /// Percentage of otherwise matching calls that the route takes; 100 for all.
    pub share: u8,
    /// Targets to try, in order.
    pub connect: Vec<TargetSpec>,
    /// Order in which all targets are tried.
    pub order: TrunkOrder,
    /// Groups in `connect` that are always ordered by [`TrunkOrder::AnswerRatio`], in ascending order.
    pub by_ratio: Vec<Range<u32>>,
    /// Agents that listen to both directions of the call, by name.
    pub fork: Vec<String>,
    /// Whether calls are recorded from the answer on.
    pub record: bool,
    /// Recording servers (`siprec`) that record calls from the answer on.
    pub siprec: Vec<Arc<str>>,
    /// Whether a busy callee (486, 600) leads to the next target too.
    pub on_busy: bool,
    /// Ring timeout per target, zero for no limit; `None` uses the trunk's.
    pub ring_timeout: Option<Duration>,
    /// Routes file (`routes_file`); if present, one of its lines must match and determines the targets.
    pub file: Option<Arc<RouteFile>>,
    /// Line of a routes file that the route was created from; `None` for a route of the configuration itself.
    pub line: Option<LinePosition>,
    /// Caller ID shown to trunks and URIs; `None` shows the caller's number.
    pub caller_id: Option<Arc<Number>>,
    /// Time limit for all targets but the last together, zero for no limit.
    pub search_timeout: Duration,
    /// Text message sent after an unanswered call; `None` sends none.
    pub sms: Option<Arc<SmsRule>>,
}

/// Condition on the values of a header.
#[derive(Debug, Clone)]
pub struct HeaderCondition {
    /// Header name, case-insensitive.
    pub name: String,
    /// Patterns, one of which must match a value of the header.
    pub values: Vec<Pattern>,
}

/// Facts of a call that routes are matched against.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallInfo<'a> {
    /// Name of the trunk that the call comes from.
    pub from: &'a str,
    /// Called number after normalisation.
    pub called: &'a str,
    /// Calling number after normalisation; empty if anonymous.
    pub caller: &'a str,
    /// Time of the call, for schedules.
    pub at: Timestamp,
    /// Headers of the INVITE, at least those of [`RoutingTable::headers`](crate::RoutingTable::headers).
    pub headers: &'a [(String, String)],
    /// Random number from which each route with a percentage derives its own; `None` skips such routes.
    pub draw: Option<u32>,
}

impl CallInfo<'_> {
    /// Returns a number from 0 to 99, derived from `draw` for the route at `position`; `None` without `draw`.
    fn percent(&self, position: usize) -> Option<u8> {
        // Final step of SplitMix64: consecutive routes must decide independently.
        let seed = (u64::from(self.draw?) << 32) | (u64::try_from(position).unwrap_or(0) + 1);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u8::try_from((mixed ^ (mixed >> 31)) % 100).ok()
    }

    /// Returns whether a route with this percentage takes the call. Below 100 it never does without a random number.
    pub(crate) fn chooses(&self, share: u8, position: usize) -> bool {
        share >= 100 || self.percent(position).is_some_and(|percent| percent < share)
    }
}

/// Result of matching a route, or a line of its file, with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RouteDecision {
    /// The route takes the call.
    Takes,
    /// The route takes this percentage of such calls, and no random number was given.
    Perhaps(u8),
    /// The route does not match: the first condition that failed, as text.
    Leaves(String),
}

/// First condition of a route that failed.
enum FailedCondition<'a> {
    From(&'a [String]),
    To(&'a [Pattern]),
    Caller(&'a [Pattern]),
    Header(&'a HeaderCondition),
    When(&'a [ScheduleHours]),
}

impl FailedCondition<'_> {
    fn describe(&self, call: &CallInfo<'_>) -> String {
        match self {
            FailedCondition::From(names) => format!("from: {} matches none of {}", call.from, names.join(", ")),
            FailedCondition::To(patterns) => format!("to: {} matches none of {}", call.called, list(patterns)),
            FailedCondition::Caller(patterns) if call.caller.is_empty() => {
                format!("caller: an anonymous caller matches none of {}", list(patterns))
            }
            FailedCondition::Caller(patterns) => format!("caller: {} matches none of {}", call.caller, list(patterns)),
            FailedCondition::Header(HeaderCondition { name, values }) => match header(call, name).next() {
                Some(value) => format!("header: {name} {value} matches none of {}", list(values)),
                None => format!("header: no {name}"),
            },
            FailedCondition::When(hours) => {
                let local = |hours: &ScheduleHours| hours.local(call.at).strftime("%a %Y-%m-%d %H:%M").to_string();
                let now = hours.first().map(|first| format!("{} {}", local(first), first.zone())).unwrap_or_default();
                format!("when: {now} is not in {}", list(hours))
            }
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// Iterates over the values of a header in the INVITE of a call.
fn header<'a>(call: &CallInfo<'a>, name: &str) -> impl Iterator<Item = &'a str> {
    let named = move |known: &&(String, String)| known.0.eq_ignore_ascii_case(name);
    call.headers.iter().filter(named).map(|(_, value)| value.as_str())
}

impl HeaderCondition {
    fn holds(&self, call: &CallInfo<'_>) -> bool {
        header(call, &self.name).any(|value| self.values.iter().any(|pattern| pattern.matches(value)))
    }
}

impl Route {
    /// Creates a route that takes every call.
    pub fn named(name: &str, connect: Vec<TargetSpec>) -> Route {
        Route {
            name: Arc::from(name),
            from: Vec::new(),
            to: Vec::new(),
            caller: Vec::new(),
            header: Vec::new(),
            when: Vec::new(),
            share: 100,
            connect,
            order: TrunkOrder::Listed,
            by_ratio: Vec::new(),
            fork: Vec::new(),
            record: false,
            siprec: Vec::new(),
            on_busy: false,
            ring_timeout: None,
            file: None,
            line: None,
            caller_id: None,
            search_timeout: SEARCH_TIMEOUT,
            sms: None,
        }
    }

    /// Splits the targets into consecutive parts, each with the order in which its trunks are tried.
    pub(crate) fn parts(&self) -> Vec<(&[TargetSpec], TrunkOrder)> {
        let groups = if self.order == TrunkOrder::Listed { &self.by_ratio[..] } else { &[] };
        let (mut parts, mut from) = (Vec::with_capacity(2 * groups.len() + 1), 0);
        for group in groups {
            let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX).clamp(from, self.connect.len());
            let (begin, end) = (place(group.start), place(group.end));
            parts.extend(self.connect.get(from..begin).map(|part| (part, TrunkOrder::Listed)));
            parts.extend(self.connect.get(begin..end).map(|part| (part, TrunkOrder::AnswerRatio)));
            from = end;
        }
        parts.extend(self.connect.get(from..).map(|part| (part, self.order)));
        parts
    }

    /// Returns whether the route, or a line of its file, takes only a percentage of calls.
    pub(crate) fn has_shares(&self) -> bool {
        self.share < 100 || self.file.as_ref().is_some_and(|file| file.has_shares())
    }

    /// Returns whether the route takes the call, regardless of earlier routes.
    pub(crate) fn takes(&self, call: &CallInfo<'_>, position: usize) -> bool {
        self.failed_condition(call).is_none()
            && call.chooses(self.share, position)
            && self.file.as_ref().is_none_or(|file| file.takes(call, position))
    }

    /// Returns the route to use for a call that it takes: the route itself, or the result of the matching line of its
    /// file.
    pub(crate) fn for_call(self: &Arc<Route>, call: &CallInfo<'_>, position: usize) -> Option<Arc<Route>> {
        match &self.file {
            Some(file) => file.route(self, call, position).map(Arc::new),
            None => Some(self.clone()),
        }
    }

    /// Returns whether the route takes the call; otherwise the reason as text, or its share if that is below 100 % and
    /// the call has no random number.
    pub(crate) fn match_call(&self, call: &CallInfo<'_>, position: usize) -> RouteDecision {
        if let Some(failed) = self.failed_condition(call) {
            return RouteDecision::Leaves(failed.describe(call));
        }
        let by_line = self.file.as_ref().map_or(RouteDecision::Takes, |file| file.match_call(call, position));
        match (by_line, call.percent(position)) {
            (RouteDecision::Leaves(why), _) => RouteDecision::Leaves(why),
            (_, None) if self.share < 100 => RouteDecision::Perhaps(self.share),
            (_, Some(percent)) if percent >= self.share => {
                RouteDecision::Leaves(format!("share: not among its {} %", self.share))
            }
            (by_line, _) => by_line,
        }
    }

    /// Returns the conditions that matched a call as text, or `None` if the route has no conditions.
    pub fn matched_conditions(&self, call: &CallInfo<'_>) -> Option<String> {
        let first =
            |patterns: &[Pattern], number: &str| patterns.iter().find(|p| p.matches(number)).map(Pattern::to_string);
        let from = (!self.from.is_empty()).then(|| format!("from {}", call.from));
        let to = first(&self.to, call.called).map(|pattern| format!("to {pattern}"));
        let caller = first(&self.caller, call.caller).map(|pattern| format!("caller {pattern}"));
        let headers = self.header.iter().map(|condition| Some(format!("header {}", condition.name)));
        let when = self.when.iter().find(|hours| hours.is_active(call.at)).map(|hours| format!("when {hours}"));
        let line = self.line.as_ref().map(|LinePosition { file, line }| format!("{file}:{line}"));
        let all: Vec<String> = [from, to, caller].into_iter().chain(headers).chain([when, line]).flatten().collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    fn failed_condition(&self, call: &CallInfo<'_>) -> Option<FailedCondition<'_>> {
        if !self.from.is_empty() && !self.from.iter().any(|name| name == call.from) {
            return Some(FailedCondition::From(&self.from));
        }
        if !self.to.is_empty() && !self.to.iter().any(|pattern| pattern.matches(call.called)) {
            return Some(FailedCondition::To(&self.to));
        }
        if !self.caller.is_empty() && !self.caller.iter().any(|pattern| pattern.matches(call.caller)) {
            return Some(FailedCondition::Caller(&self.caller));
        }
        if let Some(condition) = self.header.iter().find(|condition| !condition.holds(call)) {
            return Some(FailedCondition::Header(condition));
        }
        if !self.when.is_empty() && !self.when.iter().any(|hours| hours.is_active(call.at)) {
            return Some(FailedCondition::When(&self.when));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::schedule::Calendar;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_share_takes_about_so_many_and_each_route_by_itself() {
        let half = Route { share: 50, ..Route::named("half", Vec::new()) };
        let tenth = Route { share: 10, ..Route::named("tenth", Vec::new()) };
        let (mut first, mut second, mut both) = (0, 0, 0);
        for draw in 0..10_000 {
            let call = CallInfo { draw: Some(draw), ..CallInfo::default() };
            let (one, two) = (half.takes(&call, 0), tenth.takes(&call, 1));
            first += u32::from(one);
            second += u32::from(two);
            both += u32::from(one && two);
            assert_eq!(one, half.match_call(&call, 0) == RouteDecision::Takes);
        }
        assert!((4_800..5_200).contains(&first) && (900..1_100).contains(&second), "{first} {second}");
        assert!((400..600).contains(&both), "{both}: they decide alike");
        let open = CallInfo::default();
        assert!(!half.takes(&open, 0) && half.match_call(&open, 0) == RouteDecision::Perhaps(50));
    }

    #[test]
    fn a_header_has_to_be_there_with_one_of_its_values() {
        let condition = |name: &str, values: &[&str]| HeaderCondition {
            name: name.into(),
            values: values.iter().map(|value| pattern(value)).collect(),
        };
        let header = vec![condition("X-Tenant", &["acme", "beta*"]), condition("X-Tier", &["/^[12]$/"])];
        let route = Route { header, ..Route::named("r", Vec::new()) };
        for (headers, failed) in [
            (vec![("x-tenant", "acme"), ("X-Tier", "2")], None),
            (vec![("X-Tenant", "other"), ("X-Tenant", "beta-1"), ("X-Tier", "1")], None),
            (vec![("X-Tenant", "ACME"), ("X-Tier", "2")], Some("header: X-Tenant ACME matches none of acme, beta*")),
            (vec![("X-Tenant", "acme")], Some("header: no X-Tier")),
        ] {
            let headers: Vec<_> = headers.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            let call = CallInfo { headers: &headers, ..CallInfo::default() };
            assert_eq!(route.failed_condition(&call).map(|failed| failed.describe(&call)).as_deref(), failed);
        }
    }

    #[test]
    fn who_calls_out_of_hours_is_told_the_hour() {
        let calendar = Calendar { zone: TimeZone::get("Europe/Berlin").unwrap(), ..Calendar::default() };
        let hours = |text: &str| ScheduleHours::parse(text, &calendar, &|_| None).unwrap();
        let when = vec![hours("mon-fri 09:00-17:00"), hours("sat 10:00-12:00")];
        let route = Route { when, ..Route::named("r", Vec::new()) };
        let at = |text: &str| CallInfo { at: text.parse().unwrap(), ..CallInfo::default() };
        let late = at("2026-11-20T16:30:00Z");
        assert_eq!(
            route.failed_condition(&late).map(|failed| failed.describe(&late)).as_deref(),
            Some("when: Fri 2026-11-20 17:30 Europe/Berlin is not in mon-fri 09:00-17:00, sat 10:00-12:00")
        );
        assert_eq!(route.matched_conditions(&at("2026-11-21T09:30:00Z")).as_deref(), Some("when sat 10:00-12:00"));
    }
}
