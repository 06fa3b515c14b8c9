//! One route: the conditions by which it takes a call, and in words why it does not.
//!
//! This room holds routes alone and together: how the first one that takes a call is found (`index`), the lines of a
//! `routes_file` (`lines`) and a configuration's routes, compiled (`routes`). What becomes of a match is in `table` and
//! `plan`.

mod index;
mod lines;
mod routes;

pub use index::Index;
pub use lines::{LinePlace, LineRest, RouteFile, RouteLines};
pub use routes::Routes;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::number::Number;
use crate::pattern::Pattern;
use crate::schedule::Hours;
use crate::sms::SmsRule;
use crate::target::TargetSpec;

/// How long all targets but the last may take together, where a route does not say: with a ring time-out of 60 s the third
/// minute is that of the last one, and the caller's network has not given up yet (RFC 3261 §16.6 timer C).
pub const SEARCH_TIMEOUT: Duration = Duration::from_secs(120);

/// In which order trunks that stand side by side are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As they are written.
    #[default]
    Listed,
    /// By how they have done lately ([`Standing`](crate::Standing)).
    AnswerRatio,
}

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name; `route-N` (position from 1) where none is written.
    pub name: Arc<str>,
    /// Trunks it takes calls from; empty: any.
    pub from: Vec<String>,
    /// Called numbers; empty: any.
    pub to: Vec<Pattern>,
    /// Calling numbers; empty: any.
    pub caller: Vec<Pattern>,
    /// Headers of the INVITE, of which each has to be there with one of its values.
    pub header: Vec<HeaderCondition>,
    /// When it takes calls: in any of these; empty: always.
    pub when: Vec<Hours>,
    /// How many of a hundred calls it takes of those that all else allows it; 100: each.
    pub share: u8,
    /// Targets in order.
    pub connect: Vec<TargetSpec>,
    /// Of all of them.
    pub order: Order,
    /// Places in `connect` that go by [`Order::AnswerRatio`] in any case: each those of one group. Ascending.
    pub by_ratio: Vec<Range<u32>>,
    /// Names of agents that listen to both directions.
    pub fork: Vec<String>,
    /// Whether its calls are recorded from their answer on.
    pub record: bool,
    /// Names of trunks that are recording servers (`siprec`): each records its calls from their answer on.
    pub siprec: Vec<Arc<str>>,
    /// 486 and 600 go on to the next target too.
    pub on_busy: bool,
    /// Per target, zero: no limit; else the trunk's.
    pub ring_timeout: Option<Duration>,
    /// Its `routes_file`: it takes a call only where one of its lines does, and as that one says.
    pub file: Option<Arc<RouteFile>>,
    /// The line of such a file that it was made of.
    pub line: Option<LinePlace>,
    /// Shown to its trunks and URIs as the caller's number.
    pub caller_id: Option<Arc<Number>>,
    /// How long all targets but the last may take together, zero: no limit.
    pub search_timeout: Duration,
    /// The text message that follows a call which nobody answered.
    pub sms: Option<Arc<SmsRule>>,
}

/// What a header has to be.
#[derive(Debug, Clone)]
pub struct HeaderCondition {
    /// Its name, in any case of letters.
    pub name: String,
    /// One of these.
    pub values: Vec<Pattern>,
}

/// What is known of a call when its route is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallInfo<'a> {
    /// The trunk it comes from.
    pub from: &'a str,
    /// The called number, normalised.
    pub called: &'a str,
    /// The calling number, normalised; empty where anonymous.
    pub caller: &'a str,
    /// When.
    pub at: Timestamp,
    /// Headers of its INVITE, at least those of [`Table::headers`](crate::Table::headers).
    pub headers: &'a [(String, String)],
    /// A random number, from which each route with a share makes its own; `None`: what chance decides stays open, and
    /// such a route is passed over.
    pub draw: Option<u32>,
}

impl CallInfo<'_> {
    /// From 0 to 99, for the route at `position`.
    fn percent(&self, position: usize) -> Option<u8> {
        // SplitMix64's last step: routes one behind the other must not decide alike.
        let seed = (u64::from(self.draw?) << 32) | (u64::try_from(position).unwrap_or(0) + 1);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u8::try_from((mixed ^ (mixed >> 31)) % 100).ok()
    }

    /// Whether it is one of so many in a hundred; none is where chance stays open.
    pub(crate) fn chooses(&self, share: u8, position: usize) -> bool {
        share >= 100 || self.percent(position).is_some_and(|percent| percent < share)
    }
}

/// What a route says of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decided {
    /// It takes it.
    Takes,
    /// It takes one of so many in a hundred; chance has not been asked.
    Perhaps(u8),
    /// The first condition that does not hold, in words.
    Leaves(String),
}

/// The first condition of a route that does not hold.
enum Failed<'a> {
    From(&'a [String]),
    To(&'a [Pattern]),
    Caller(&'a [Pattern]),
    Header(&'a HeaderCondition),
    When(&'a [Hours]),
}

impl Failed<'_> {
    fn describe(&self, call: &CallInfo<'_>) -> String {
        match self {
            Failed::From(names) => format!("from: {} is none of {}", call.from, names.join(", ")),
            Failed::To(patterns) => format!("to: {} is none of {}", call.called, list(patterns)),
            Failed::Caller(patterns) if call.caller.is_empty() => {
                format!("caller: an anonymous caller is none of {}", list(patterns))
            }
            Failed::Caller(patterns) => format!("caller: {} is none of {}", call.caller, list(patterns)),
            Failed::Header(HeaderCondition { name, values }) => match header(call, name).next() {
                Some(value) => format!("header: {name} {value} is none of {}", list(values)),
                None => format!("header: no {name}"),
            },
            Failed::When(hours) => {
                let local = |hours: &Hours| hours.local(call.at).strftime("%a %Y-%m-%d %H:%M").to_string();
                let now = hours.first().map(|first| format!("{} {}", local(first), first.zone())).unwrap_or_default();
                format!("when: {now} is not in {}", list(hours))
            }
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// A header's values in a call.
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
    /// A route that takes every call.
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
            order: Order::Listed,
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

    /// Its targets in parts, one behind the other, each with the order of its trunks.
    pub(crate) fn parts(&self) -> Vec<(&[TargetSpec], Order)> {
        let groups = if self.order == Order::Listed { &self.by_ratio[..] } else { &[] };
        let (mut parts, mut from) = (Vec::with_capacity(2 * groups.len() + 1), 0);
        for group in groups {
            let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX).clamp(from, self.connect.len());
            let (begin, end) = (place(group.start), place(group.end));
            parts.extend(self.connect.get(from..begin).map(|part| (part, Order::Listed)));
            parts.extend(self.connect.get(begin..end).map(|part| (part, Order::AnswerRatio)));
            from = end;
        }
        parts.extend(self.connect.get(from..).map(|part| (part, self.order)));
        parts
    }

    /// Whether chance decides on it, or on a line of its file.
    pub(crate) fn has_shares(&self) -> bool {
        self.share < 100 || self.file.as_ref().is_some_and(|file| file.has_shares())
    }

    /// Whether it takes the call, at its position and were no route before it.
    pub(crate) fn takes(&self, call: &CallInfo<'_>, position: usize) -> bool {
        self.failed(call).is_none()
            && call.chooses(self.share, position)
            && self.file.as_ref().is_none_or(|file| file.takes(call, position))
    }

    /// The route that a call which it takes goes by: itself, or what the call's line of its file makes of it.
    pub(crate) fn of_call(self: &Arc<Route>, call: &CallInfo<'_>, position: usize) -> Option<Arc<Route>> {
        match &self.file {
            Some(file) => file.route(self, call, position).map(Arc::new),
            None => Some(self.clone()),
        }
    }

    /// The same in words.
    pub(crate) fn decide(&self, call: &CallInfo<'_>, position: usize) -> Decided {
        if let Some(failed) = self.failed(call) {
            return Decided::Leaves(failed.describe(call));
        }
        let by_line = self.file.as_ref().map_or(Decided::Takes, |file| file.decide(call, position));
        match (by_line, call.percent(position)) {
            (Decided::Leaves(why), _) => Decided::Leaves(why),
            (_, None) if self.share < 100 => Decided::Perhaps(self.share),
            (_, Some(percent)) if percent >= self.share => {
                Decided::Leaves(format!("share: not among its {} %", self.share))
            }
            (by_line, _) => by_line,
        }
    }

    /// The conditions by which it takes a call, in words; `None` where it has none.
    pub fn because(&self, call: &CallInfo<'_>) -> Option<String> {
        let first =
            |patterns: &[Pattern], number: &str| patterns.iter().find(|p| p.matches(number)).map(Pattern::to_string);
        let from = (!self.from.is_empty()).then(|| format!("from {}", call.from));
        let to = first(&self.to, call.called).map(|pattern| format!("to {pattern}"));
        let caller = first(&self.caller, call.caller).map(|pattern| format!("caller {pattern}"));
        let headers = self.header.iter().map(|condition| Some(format!("header {}", condition.name)));
        let when = self.when.iter().find(|hours| hours.hold(call.at)).map(|hours| format!("when {hours}"));
        let line = self.line.as_ref().map(|LinePlace { file, line }| format!("{file}:{line}"));
        let all: Vec<String> = [from, to, caller].into_iter().chain(headers).chain([when, line]).flatten().collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    fn failed(&self, call: &CallInfo<'_>) -> Option<Failed<'_>> {
        if !self.from.is_empty() && !self.from.iter().any(|name| name == call.from) {
            return Some(Failed::From(&self.from));
        }
        if !self.to.is_empty() && !self.to.iter().any(|pattern| pattern.matches(call.called)) {
            return Some(Failed::To(&self.to));
        }
        if !self.caller.is_empty() && !self.caller.iter().any(|pattern| pattern.matches(call.caller)) {
            return Some(Failed::Caller(&self.caller));
        }
        if let Some(condition) = self.header.iter().find(|condition| !condition.holds(call)) {
            return Some(Failed::Header(condition));
        }
        if !self.when.is_empty() && !self.when.iter().any(|hours| hours.hold(call.at)) {
            return Some(Failed::When(&self.when));
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
            assert_eq!(one, half.decide(&call, 0) == Decided::Takes);
        }
        assert!((4_800..5_200).contains(&first) && (900..1_100).contains(&second), "{first} {second}");
        assert!((400..600).contains(&both), "{both}: they decide alike");
        let open = CallInfo::default();
        assert!(!half.takes(&open, 0) && half.decide(&open, 0) == Decided::Perhaps(50));
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
            (vec![("X-Tenant", "ACME"), ("X-Tier", "2")], Some("header: X-Tenant ACME is none of acme, beta*")),
            (vec![("X-Tenant", "acme")], Some("header: no X-Tier")),
        ] {
            let headers: Vec<_> = headers.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            let call = CallInfo { headers: &headers, ..CallInfo::default() };
            assert_eq!(route.failed(&call).map(|failed| failed.describe(&call)).as_deref(), failed);
        }
    }

    #[test]
    fn who_calls_out_of_hours_is_told_the_hour() {
        let calendar = Calendar { zone: TimeZone::get("Europe/Berlin").unwrap(), ..Calendar::default() };
        let hours = |text: &str| Hours::parse(text, &calendar, &|_| None).unwrap();
        let when = vec![hours("mon-fri 09:00-17:00"), hours("sat 10:00-12:00")];
        let route = Route { when, ..Route::named("r", Vec::new()) };
        let at = |text: &str| CallInfo { at: text.parse().unwrap(), ..CallInfo::default() };
        let late = at("2026-11-20T16:30:00Z");
        assert_eq!(
            route.failed(&late).map(|failed| failed.describe(&late)).as_deref(),
            Some("when: Fri 2026-11-20 17:30 Europe/Berlin is not in mon-fri 09:00-17:00, sat 10:00-12:00")
        );
        assert_eq!(route.because(&at("2026-11-21T09:30:00Z")).as_deref(), Some("when sat 10:00-12:00"));
    }
}
