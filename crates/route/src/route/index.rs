//! Index that finds the first matching route without testing all of them. Routes are split by the numbers and
//! prefixes in `to`; those with equal values are split further by `caller`, headers and `from`. Only routes without
//! the condition, or with a regular expression without a fixed prefix, are tested one by one.

use std::collections::{BTreeMap, HashMap};

use super::{CallInfo, Route};
use crate::digits::{DigitMap, PackedDigits, beginnings};
use crate::pattern::Pattern;

/// Maximum number of routes tested one by one before the index is split.
const WALKED: usize = 8;
/// Maximum number of alternatives of a condition that a nested part of the index stores individually; a condition
/// with more counts as matching any value.
const ALTERNATIVES: usize = 16;
/// Maximum number of header names used to split routes.
const HEADERS: usize = 4;
/// Flag of an entry that is the number of an index node instead of the position of a route.
const NODE: u32 = 1 << 31;

/// Field by which routes are split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SplitField {
    /// Called number of the call.
    To,
    /// Calling number of the call.
    Caller,
    /// Value of the header with this name, in lower case.
    Header(Box<str>),
    /// Trunk that the call comes from.
    From,
}

/// Value or prefix in a condition, by which routes are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConditionKey {
    /// Number or prefix of digits, packed.
    Digits(PackedDigits),
    /// Exact text that cannot be packed.
    Whole(Box<str>),
    /// Prefix that cannot be packed.
    Beginning(Box<str>),
}

impl ConditionKey {
    /// Appends the values and prefixes of a pattern to `keys`. Returns `false` if the pattern has none.
    pub(crate) fn push_keys(pattern: &Pattern, keys: &mut Vec<ConditionKey>) -> bool {
        if let Some(digits) = PackedDigits::from_pattern(pattern) {
            keys.push(ConditionKey::Digits(digits));
            return true;
        }
        match pattern {
            Pattern::Exact(text) => keys.push(ConditionKey::Whole(text.as_str().into())),
            Pattern::Prefix(text) => keys.push(ConditionKey::Beginning(text.as_str().into())),
            Pattern::Regex(_) => {
                let Some(begins) = pattern.beginnings() else { return false };
                keys.extend(begins.iter().map(|text| match PackedDigits::beginning(text) {
                    Some(digits) => ConditionKey::Digits(digits),
                    None => ConditionKey::Beginning(text.as_str().into()),
                }));
            }
        }
        true
    }
}

/// Collection of conditions, accessed by position.
pub(crate) trait ConditionSource {
    /// Appends the alternatives of one condition to `keys`. Returns `false` if they cannot be enumerated or there is
    /// no condition.
    fn keys(&self, position: u32, field: &SplitField, keys: &mut Vec<ConditionKey>) -> bool;
}

impl ConditionSource for [&Route] {
    fn keys(&self, position: u32, field: &SplitField, keys: &mut Vec<ConditionKey>) -> bool {
        let Some(route) = usize::try_from(position).ok().and_then(|at| self.get(at)) else { return false };
        let mut all = |patterns: &[Pattern]| {
            !patterns.is_empty() && patterns.iter().all(|one| ConditionKey::push_keys(one, keys))
        };
        match field {
            SplitField::To => all(&route.to),
            SplitField::Caller => all(&route.caller),
            SplitField::Header(name) => {
                let condition = route.header.iter().find(|condition| condition.name.eq_ignore_ascii_case(name));
                condition.is_some_and(|condition| all(&condition.values))
            }
            SplitField::From => {
                keys.extend(route.from.iter().map(|name| ConditionKey::Whole(name.as_str().into())));
                !route.from.is_empty()
            }
        }
    }
}

/// Index of the routes that may match a call.
#[derive(Debug, Clone)]
pub struct RouteIndex {
    top: IndexNode,
}

#[derive(Debug, Clone)]
enum IndexNode {
    /// Positions of the routes to be tested one by one, in ascending order.
    Walk(Box<[u32]>),
    Split(Box<FieldSplit>),
}

/// Routes split by the value of one field.
#[derive(Debug, Clone)]
struct FieldSplit {
    field: SplitField,
    digits: DigitMap,
    /// Bit set of the lengths, in bytes, of the packed prefixes.
    lengths: u32,
    whole: HashMap<Box<str>, u32>,
    /// Prefixes that cannot be packed, by length in bytes.
    beginnings: Vec<(usize, HashMap<Box<str>, u32>)>,
    nodes: Vec<IndexNode>,
    /// Routes that match any value of the field.
    others: IndexNode,
}

impl RouteIndex {
    /// Creates the index of these routes, in order.
    pub fn new<'a>(routes: impl IntoIterator<Item = &'a Route>) -> RouteIndex {
        let routes: Vec<&Route> = routes.into_iter().collect();
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for condition in routes.iter().flat_map(|route| &route.header) {
            *names.entry(condition.name.to_ascii_lowercase()).or_default() += 1;
        }
        let mut names: Vec<(String, usize)> = names.into_iter().collect();
        names.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let headers = names.into_iter().take(HEADERS).map(|(name, _)| SplitField::Header(name.into()));
        let fields: Vec<SplitField> =
            [SplitField::To, SplitField::Caller].into_iter().chain(headers).chain([SplitField::From]).collect();
        RouteIndex::from_conditions(&*routes, routes.len(), &fields)
    }

    /// Creates the index of any collection of conditions.
    pub(crate) fn from_conditions(
        all: &(impl ConditionSource + ?Sized),
        count: usize,
        fields: &[SplitField],
    ) -> RouteIndex {
        let count = u32::try_from(count).unwrap_or(NODE).min(NODE);
        let keys_of = |at: u32, field: &SplitField, keys: &mut Vec<ConditionKey>| all.keys(at, field, keys);
        RouteIndex { top: IndexNode::new((0..count).collect(), fields, usize::MAX, &keys_of) }
    }

    /// Returns the lowest position below `end` for which `matches` is true, calling it for as few candidates as
    /// possible.
    pub fn first(&self, call: &CallInfo<'_>, end: u32, matches: &mut dyn FnMut(u32) -> bool) -> Option<u32> {
        let mut best = end;
        self.top.search(call, &mut best, matches);
        (best < end).then_some(best)
    }

    /// Returns the lowest position below `end` for which `matches` is true, among routes that may take every call of
    /// a given route.
    pub fn first_like(&self, route: &Route, end: u32, matches: &mut dyn FnMut(u32) -> bool) -> Option<u32> {
        let (called, caller) = (sample(&route.to), sample(&route.caller));
        let from = route.from.first().map(String::as_str).unwrap_or_default();
        self.first(&CallInfo { from, called: &called, caller: &caller, ..CallInfo::default() }, end, matches)
    }

    /// Returns all positions that may match the call, in ascending order.
    pub(crate) fn candidates(&self, call: &CallInfo<'_>) -> Vec<u32> {
        let mut all = Vec::new();
        self.first(call, NODE, &mut |at| {
            all.push(at);
            false
        });
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Returns a text for the lookup of patterns that cover all of these: such a pattern equals it or is a prefix of it.
fn sample(patterns: &[Pattern]) -> String {
    match patterns.first() {
        Some(Pattern::Exact(text) | Pattern::Prefix(text)) => text.clone(),
        Some(regex @ Pattern::Regex(_)) => regex.beginnings().and_then(|all| all.first()).cloned().unwrap_or_default(),
        None => String::new(),
    }
}

type KeyLookup<'a> = dyn Fn(u32, &SplitField, &mut Vec<ConditionKey>) -> bool + 'a;

impl IndexNode {
    fn new(positions: Vec<u32>, fields: &[SplitField], most: usize, keys_of: &KeyLookup<'_>) -> IndexNode {
        let Some((field, behind)) = fields.split_first().filter(|_| positions.len() > WALKED) else {
            return IndexNode::Walk(positions.into());
        };
        let (mut digits, mut texts, mut others) =
            (Vec::new(), BTreeMap::<(bool, Box<str>), Vec<u32>>::new(), Vec::new());
        let mut keys = Vec::new();
        for at in positions {
            keys.clear();
            if !keys_of(at, field, &mut keys) || keys.len() > most {
                others.push(at);
                continue;
            }
            for key in keys.drain(..) {
                match key {
                    ConditionKey::Digits(key) => digits.push((key, at)),
                    ConditionKey::Whole(text) => texts.entry((false, text)).or_default().push(at),
                    ConditionKey::Beginning(text) => texts.entry((true, text)).or_default().push(at),
                }
            }
        }
        if digits.is_empty() && texts.is_empty() {
            return IndexNode::new(others, behind, most, keys_of);
        }
        digits.sort_unstable();
        digits.dedup();
        let lengths = digits.iter().filter_map(|(key, _)| key.beginning_len()).fold(0, |bits, len| bits | 1 << len);
        let mut nodes = Vec::new();
        let mut place = |mut positions: Vec<u32>| {
            positions.dedup();
            if let [one] = positions[..] {
                return one;
            }
            nodes.push(IndexNode::new(positions, behind, ALTERNATIVES, keys_of));
            NODE | u32::try_from(nodes.len() - 1).unwrap_or(0)
        };
        let mut entries = Vec::with_capacity(digits.len());
        for run in digits.chunk_by(|one, next| one.0 == next.0) {
            if let [(key, at)] = run {
                entries.push((*key, *at));
            } else if let [(key, _), ..] = run {
                entries.push((*key, place(run.iter().map(|(_, at)| *at).collect())));
            }
        }
        drop(digits);
        let (mut whole, mut by_length) = (HashMap::new(), BTreeMap::<usize, HashMap<Box<str>, u32>>::new());
        for ((is_beginning, text), positions) in texts {
            let place = place(positions);
            if is_beginning {
                by_length.entry(text.len()).or_default().insert(text, place);
            } else {
                whole.insert(text, place);
            }
        }
        let others = IndexNode::new(others, behind, most, keys_of);
        let (digits, beginnings) = (DigitMap::new(&entries), by_length.into_iter().collect());
        IndexNode::Split(Box::new(FieldSplit {
            field: field.clone(),
            digits,
            lengths,
            whole,
            beginnings,
            nodes,
            others,
        }))
    }

    fn search(&self, call: &CallInfo<'_>, best: &mut u32, matches: &mut dyn FnMut(u32) -> bool) {
        match self {
            IndexNode::Walk(positions) => {
                for position in positions {
                    if *position >= *best {
                        return;
                    }
                    if matches(*position) {
                        *best = *position;
                        return;
                    }
                }
            }
            IndexNode::Split(split) => {
                match &split.field {
                    SplitField::To => split.search(call.called, call, best, matches),
                    SplitField::Caller => split.search(call.caller, call, best, matches),
                    SplitField::From => split.search(call.from, call, best, matches),
                    SplitField::Header(name) => {
                        for (_, value) in call.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)) {
                            split.search(value, call, best, matches);
                        }
                    }
                }
                split.others.search(call, best, matches);
            }
        }
    }
}

impl FieldSplit {
    fn search(&self, value: &str, call: &CallInfo<'_>, best: &mut u32, matches: &mut dyn FnMut(u32) -> bool) {
        let mut look = |place: u32| match self.nodes.get(usize::try_from(place & !NODE).unwrap_or(usize::MAX)) {
            Some(node) if place & NODE != 0 => node.search(call, best, matches),
            _ if place < *best && matches(place) => *best = place,
            _ => {}
        };
        let found = PackedDigits::whole(value).and_then(|digits| self.digits.get(digits));
        found.into_iter().for_each(&mut look);
        if self.lengths != 0 {
            beginnings(value, self.lengths).filter_map(|digits| self.digits.get(digits)).for_each(&mut look);
        }
        self.whole.get(value).copied().into_iter().for_each(&mut look);
        for (length, by_text) in &self.beginnings {
            let found = value.get(..*length).and_then(|text| by_text.get(text));
            found.copied().into_iter().for_each(&mut look);
        }
    }
}
