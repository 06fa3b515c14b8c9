//! Lines of a `routes_file`: each is a route within the route that refers to the file, stored compactly enough for a
//! million lines.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::index::{ConditionKey, ConditionSource, RouteIndex, SplitField};
use super::{CallInfo, Route, RouteDecision};
use crate::digits::PackedDigits;
use crate::pattern::Pattern;
use crate::schedule::ScheduleHours;
use crate::target::TargetSpec;

/// Flag of a cell that is the index of a pattern instead of packed digits.
const PATTERN: u64 = 1 << 61;

/// Settings of a line apart from numbers and targets; the enclosing route provides those that are absent.
#[derive(Debug, Clone, Default)]
pub struct LineSettings {
    /// Trunks from which the line takes calls.
    pub from: Vec<String>,
    /// Schedules, one of which must be active.
    pub when: Vec<ScheduleHours>,
    /// Percentage of matching calls that the line takes.
    pub share: Option<u8>,
    /// Agents that listen to the call, by name.
    pub fork: Vec<String>,
    /// Whether a busy callee (486, 600) leads to the next target too.
    pub on_busy: Option<bool>,
    /// Ring timeout per target of the line.
    pub ring_timeout: Option<Duration>,
    /// Time limit for all targets but the last together.
    pub search_timeout: Option<Duration>,
}

/// Position of a line in a routes file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinePosition {
    /// Name of the routes file.
    pub file: Arc<str>,
    /// Line number, counted from 1.
    pub line: u32,
}

/// Target of a line in compact form.
#[derive(Debug)]
enum CompactTarget {
    /// Trunk with an optional number in the form of [`PackedDigits::bits`], or 0.
    Trunk(Arc<str>, u64),
    Other(Box<TargetSpec>),
}

impl CompactTarget {
    fn spec(&self) -> TargetSpec {
        match self {
            CompactTarget::Other(target) => TargetSpec::clone(target),
            CompactTarget::Trunk(name, number) => {
                let number = (*number != 0).then(|| PackedDigits::from_bits(*number).pattern().to_string());
                TargetSpec::Trunk { name: name.to_string(), number, weight: None }
            }
        }
    }
}

/// Lines of a routes file while it is read.
#[derive(Debug, Default)]
pub struct RouteLines {
    /// Called number of each line: 0 for none, packed digits, or the flagged index of a pattern.
    to: Vec<u64>,
    /// Calling number of each line, in the form of `to`; empty if no line has one.
    caller: Vec<u64>,
    /// Index of each line's target list in `ends`, plus 1; 0 for none.
    connect: Vec<u32>,
    /// Index of each line's other settings, plus 1; empty if no line has any.
    rest: Vec<u32>,
    /// Line number of each line in the file.
    line: Vec<u32>,
    patterns: Vec<Pattern>,
    targets: Vec<CompactTarget>,
    /// End of each target list within `targets`.
    ends: Vec<u32>,
    rests: Vec<LineSettings>,
    /// Groups ordered by answer ratio, by the index that [`RouteLines::connect`] returned for their target list.
    by_ratio: BTreeMap<u32, Vec<Range<u32>>>,
    /// Names of trunks, each stored once.
    names: Vec<Arc<str>>,
    /// Cells of regular expressions by text, to store each only once; used only while lines are read.
    expressions: HashMap<Box<str>, u64>,
}

fn line_position(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl RouteLines {
    /// Stores a target list, which several lines can share, and returns its index.
    pub fn connect(&mut self, targets: Vec<TargetSpec>) -> u32 {
        for target in targets {
            let compact = self.compact(target);
            self.targets.push(compact);
        }
        self.ends.push(count(self.targets.len()));
        count(self.ends.len())
    }

    /// Records the groups of a target list that are ordered by answer ratio, as in [`Route::by_ratio`].
    pub fn by_ratio(&mut self, connect: u32, groups: Vec<Range<u32>>) {
        if !groups.is_empty() {
            self.by_ratio.insert(connect, groups);
        }
    }

    /// Returns the target list with this index.
    pub fn targets_of(&self, connect: u32) -> Vec<TargetSpec> {
        self.targets(connect).iter().map(CompactTarget::spec).collect()
    }

    /// Stores other settings, which several lines can share, and returns their index.
    pub fn store_settings(&mut self, rest: LineSettings) -> u32 {
        self.rests.push(rest);
        count(self.rests.len())
    }

    /// Adds the line with number `line`. `connect` and `rest` are indexes returned by [`RouteLines::connect`] and
    /// [`RouteLines::store_settings`], or 0 for none.
    pub fn push(&mut self, line: u32, (to, caller): (Option<Pattern>, Option<Pattern>), connect: u32, rest: u32) {
        let before = self.line.len();
        let to = self.cell(to);
        self.to.push(to);
        let caller = self.cell(caller);
        if caller != 0 || !self.caller.is_empty() {
            self.caller.resize(before, 0);
            self.caller.push(caller);
        }
        if rest != 0 || !self.rest.is_empty() {
            self.rest.resize(before, 0);
            self.rest.push(rest);
        }
        self.connect.push(connect);
        self.line.push(line);
    }

    /// Builds the index and returns the compiled file.
    pub fn compile(mut self, file: &str) -> RouteFile {
        self.to.shrink_to_fit();
        self.connect.shrink_to_fit();
        self.line.shrink_to_fit();
        self.targets.shrink_to_fit();
        self.expressions = HashMap::new();
        let index = RouteIndex::from_conditions(
            &self,
            self.line.len(),
            &[SplitField::To, SplitField::Caller, SplitField::From],
        );
        RouteFile { file: file.into(), lines: self, index }
    }

    fn cell(&mut self, pattern: Option<Pattern>) -> u64 {
        let Some(pattern) = pattern else { return 0 };
        if let Some(digits) = PackedDigits::from_pattern(&pattern) {
            return digits.bits();
        }
        let cell = PATTERN | u64::from(count(self.patterns.len()));
        if let Pattern::Regex(expression) = &pattern {
            if let Some(known) = self.expressions.get(expression.as_str()) {
                return *known;
            }
            self.expressions.insert(expression.as_str().into(), cell);
        }
        self.patterns.push(pattern);
        cell
    }

    fn compact(&mut self, target: TargetSpec) -> CompactTarget {
        let TargetSpec::Trunk { name, number, weight: None } = &target else {
            return CompactTarget::Other(Box::new(target));
        };
        let digits = number.as_deref().map(PackedDigits::whole);
        if digits == Some(None) {
            return CompactTarget::Other(Box::new(target));
        }
        let known = self.names.iter().find(|known| ***known == **name).cloned();
        let name = known.unwrap_or_else(|| {
            let name: Arc<str> = name.as_str().into();
            self.names.push(name.clone());
            name
        });
        CompactTarget::Trunk(name, digits.flatten().map_or(0, PackedDigits::bits))
    }

    fn targets(&self, connect: u32) -> &[CompactTarget] {
        let end = |at: u32| self.ends.get(line_position(at)).copied().map(line_position);
        let Some(at) = connect.checked_sub(1) else { return &[] };
        let first = at.checked_sub(1).and_then(end).unwrap_or(0);
        self.targets.get(first..end(at).unwrap_or(first)).unwrap_or_default()
    }

    fn settings_of(&self, at: usize) -> Option<&LineSettings> {
        let rest = self.rest.get(at)?.checked_sub(1)?;
        self.rests.get(line_position(rest))
    }

    /// Returns the pattern in the cell at index `at`, or `None` if the line has none.
    fn pattern(&self, cells: &[u64], at: usize) -> Option<Pattern> {
        match *cells.get(at)? {
            0 => None,
            bits if bits & PATTERN != 0 => self.odd(bits).cloned(),
            bits => Some(PackedDigits::from_bits(bits).pattern()),
        }
    }

    fn odd(&self, bits: u64) -> Option<&Pattern> {
        self.patterns.get(usize::try_from(bits & !PATTERN).unwrap_or(usize::MAX))
    }

    fn suits(&self, cells: &[u64], at: usize, number: &str) -> bool {
        match cells.get(at) {
            None | Some(0) => true,
            Some(bits) if bits & PATTERN != 0 => self.odd(*bits).is_some_and(|pattern| pattern.matches(number)),
            Some(bits) => PackedDigits::from_bits(*bits).matches(number),
        }
    }

    /// Returns whether the called and calling numbers of a line match a call.
    fn is_for(&self, at: usize, call: &CallInfo<'_>) -> bool {
        self.suits(&self.to, at, call.called) && self.suits(&self.caller, at, call.caller)
    }

    /// Returns whether the regular expressions of one line may cover those of another; an expression covers only
    /// itself.
    fn may_cover(&self, wide: usize, narrow: usize) -> bool {
        let covers = |cells: &[u64]| match (cells.get(wide), cells.get(narrow)) {
            (Some(wide), Some(narrow)) => wide == narrow || !(self.is_regex(*wide) && self.is_regex(*narrow)),
            _ => true,
        };
        covers(&self.to) && covers(&self.caller)
    }

    fn is_regex(&self, cell: u64) -> bool {
        cell & PATTERN != 0 && matches!(self.odd(cell), Some(Pattern::Regex(_)))
    }

    /// Returns the conditions of a line as a route without targets.
    fn conditions(&self, at: usize) -> Route {
        let mut route = Route::named("", Vec::new());
        route.to.extend(self.pattern(&self.to, at));
        route.caller.extend(self.pattern(&self.caller, at));
        if let Some(rest) = self.settings_of(at) {
            route.from.clone_from(&rest.from);
            route.when.clone_from(&rest.when);
            route.share = rest.share.unwrap_or(100);
        }
        route
    }
}

impl ConditionSource for RouteLines {
    fn keys(&self, position: u32, field: &SplitField, keys: &mut Vec<ConditionKey>) -> bool {
        let cells = match field {
            SplitField::To => &self.to,
            SplitField::Caller => &self.caller,
            SplitField::Header(_) => return false,
            SplitField::From => {
                let from = self.settings_of(line_position(position)).map(|rest| &rest.from[..]).unwrap_or_default();
                keys.extend(from.iter().map(|name| ConditionKey::Whole(name.as_str().into())));
                return !from.is_empty();
            }
        };
        match cells.get(line_position(position)) {
            None | Some(0) => false,
            Some(bits) if bits & PATTERN != 0 => {
                self.odd(*bits).is_some_and(|pattern| ConditionKey::push_keys(pattern, keys))
            }
            Some(bits) => {
                keys.push(ConditionKey::Digits(PackedDigits::from_bits(*bits)));
                true
            }
        }
    }
}

/// Compiled `routes_file`: its lines and their index.
#[derive(Debug)]
pub struct RouteFile {
    file: Arc<str>,
    lines: RouteLines,
    index: RouteIndex,
}

impl RouteFile {
    /// Returns the name of the routes file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the number of lines that have a route.
    pub fn len(&self) -> usize {
        self.lines.line.len()
    }

    /// Returns whether no line of the file has a route.
    pub fn is_empty(&self) -> bool {
        self.lines.line.is_empty()
    }

    /// Returns whether any line takes only a percentage of calls.
    pub fn has_shares(&self) -> bool {
        self.lines.rests.iter().any(|rest| rest.share.is_some_and(|share| share < 100))
    }

    /// Iterates over all target lists of the file.
    pub fn targets(&self) -> impl Iterator<Item = Vec<TargetSpec>> + '_ {
        (1..=count(self.lines.ends.len())).map(|at| self.lines.targets_of(at))
    }

    /// Iterates over pairs of line numbers: an earlier line, and the line it hides. `takes_all_of` returns
    /// whether the first of two routes takes every call of the second.
    pub fn hidden(&self, takes_all_of: impl Fn(&Route, &Route) -> bool) -> impl Iterator<Item = (u32, u32)> {
        let number = |at: u32| self.lines.line.get(line_position(at)).copied().unwrap_or_default();
        (0..count(self.len())).filter_map(move |at| {
            let narrow = self.lines.conditions(line_position(at));
            let mut takes = |wide: u32| {
                let wide = line_position(wide);
                self.lines.may_cover(wide, line_position(at)) && takes_all_of(&self.lines.conditions(wide), &narrow)
            };
            let before = self.index.first_like(&narrow, at, &mut takes)?;
            Some((number(before), number(at)))
        })
    }

    /// Returns whether a line takes a call; `position` is that of the route with the file.
    pub(crate) fn takes(&self, call: &CallInfo<'_>, position: usize) -> bool {
        self.first(call, position).is_some()
    }

    /// Returns whether a line takes a call, and otherwise the reason as text; `position` is that of the route with
    /// the file.
    pub(crate) fn match_call(&self, call: &CallInfo<'_>, position: usize) -> RouteDecision {
        let (mut perhaps, mut leaves) = (None, None);
        for at in self.index.candidates(call).into_iter().map(line_position).filter(|at| self.lines.is_for(*at, call)) {
            match self.lines.conditions(at).match_call(call, draw_place(position, at)) {
                RouteDecision::Takes => return RouteDecision::Takes,
                RouteDecision::Perhaps(share) => perhaps = perhaps.or(Some(share)),
                RouteDecision::Leaves(why) => {
                    let line = self.lines.line.get(at).copied().unwrap_or_default();
                    leaves.get_or_insert_with(|| format!("{}:{line}: {why}", self.file));
                }
            }
        }
        match (perhaps, leaves) {
            (Some(share), _) => RouteDecision::Perhaps(share),
            (None, Some(why)) => RouteDecision::Leaves(why),
            (None, None) => {
                let caller = if self.lines.caller.is_empty() { "" } else { " and its caller" };
                RouteDecision::Leaves(format!("routes_file: no line of {} matches {}{caller}", self.file, call.called))
            }
        }
    }

    /// Returns the route for a call: the settings of the line that takes it, completed by those of the enclosing
    /// route.
    pub(crate) fn route(&self, named: &Route, call: &CallInfo<'_>, position: usize) -> Option<Route> {
        let at = self.first(call, position)?;
        let own = self.lines.conditions(at);
        let rest = self.lines.settings_of(at);
        let targets = self.lines.targets(self.lines.connect.get(at).copied()?);
        let or = |own: Vec<Pattern>, named: &[Pattern]| if own.is_empty() { named.to_vec() } else { own };
        let (connect, by_ratio) = match targets {
            [] => (named.connect.clone(), named.by_ratio.clone()),
            _ => {
                let groups = self.lines.connect.get(at).and_then(|connect| self.lines.by_ratio.get(connect));
                (targets.iter().map(CompactTarget::spec).collect(), groups.cloned().unwrap_or_default())
            }
        };
        Some(Route {
            name: named.name.clone(),
            from: if own.from.is_empty() { named.from.clone() } else { own.from },
            to: or(own.to, &named.to),
            caller: or(own.caller, &named.caller),
            header: named.header.clone(),
            when: if own.when.is_empty() { named.when.clone() } else { own.when },
            share: named.share,
            connect,
            order: named.order,
            by_ratio,
            fork: rest.filter(|rest| !rest.fork.is_empty()).map_or(&named.fork, |rest| &rest.fork).clone(),
            record: named.record,
            siprec: named.siprec.clone(),
            on_busy: rest.and_then(|rest| rest.on_busy).unwrap_or(named.on_busy),
            ring_timeout: rest.and_then(|rest| rest.ring_timeout).or(named.ring_timeout),
            search_timeout: rest.and_then(|rest| rest.search_timeout).unwrap_or(named.search_timeout),
            file: None,
            line: Some(LinePosition { file: self.file.clone(), line: self.lines.line.get(at).copied()? }),
            caller_id: named.caller_id.clone(),
            sms: named.sms.clone(),
        })
    }

    fn first(&self, call: &CallInfo<'_>, position: usize) -> Option<usize> {
        let mut takes = |at: u32| {
            let (at, lines) = (line_position(at), &self.lines);
            lines.is_for(at, call)
                && lines.settings_of(at).is_none_or(|rest| rest.matches_call(call, draw_place(position, at)))
        };
        self.index.first(call, u32::MAX, &mut takes).map(line_position)
    }
}

impl LineSettings {
    fn matches_call(&self, call: &CallInfo<'_>, place: usize) -> bool {
        (self.from.is_empty() || self.from.iter().any(|name| name == call.from))
            && (self.when.is_empty() || self.when.iter().any(|hours| hours.is_active(call.at)))
            && self.share.is_none_or(|share| call.chooses(share, place))
    }
}

/// Returns the position from which a line derives its random choice, distinct from the positions of routes.
fn draw_place(position: usize, line: usize) -> usize {
    ((position + 1) << 24).wrapping_add(line) & 0xffff_ffff
}
