//! Calls that have ended, as they are still shown: a bounded ring of views, shorter ones of traces and of quality.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::limits::{RECENT_CALLS, RECENT_SERIES, RECENT_TRACES, TRACE_ENTRIES};
use crate::series::Kept;
use crate::trace::{Trace, TraceItem, TraceView};
use crate::view::CallView;

/// A ring that can be asked by sid.
#[derive(Debug)]
struct Ring<T> {
    entries: VecDeque<(String, T)>,
    /// Number of each entry, counted from the first ever added.
    numbers: HashMap<String, u64>,
    /// Number of the oldest entry.
    first: u64,
    limit: usize,
}

impl<T> Ring<T> {
    fn new(limit: usize) -> Ring<T> {
        Ring { entries: VecDeque::new(), numbers: HashMap::new(), first: 0, limit }
    }
    /// Adds one; the oldest, where there is no room for both.
    fn push(&mut self, sid: &str, entry: T) -> Option<T> {
        let gone = if self.entries.len() >= self.limit { self.entries.pop_front() } else { None };
        if let Some((oldest, _)) = &gone {
            self.numbers.remove(oldest);
            self.first += 1;
        }
        self.numbers.insert(sid.to_owned(), self.first + self.entries.len() as u64);
        self.entries.push_back((sid.to_owned(), entry));
        gone.map(|(_, entry)| entry)
    }
    fn find(&self, sid: &str) -> Option<&T> {
        let at = self.numbers.get(sid)?.checked_sub(self.first)?;
        self.entries.get(usize::try_from(at).ok()?).map(|(_, entry)| entry)
    }
    fn find_mut(&mut self, sid: &str) -> Option<&mut T> {
        let at = self.numbers.get(sid)?.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(at).ok()?).map(|(_, entry)| entry)
    }
}

/// The trace of a call that has ended.
#[derive(Debug)]
struct Ended {
    /// All but the entries.
    head: TraceView,
    trace: Trace,
}

/// Ended calls.
#[derive(Debug)]
pub(crate) struct Recent {
    calls: Ring<CallView>,
    traces: Ring<Ended>,
    series: Ring<Kept>,
}

impl Recent {
    /// None yet.
    pub(crate) fn new() -> Recent {
        Recent { calls: Ring::new(RECENT_CALLS), traces: Ring::new(RECENT_TRACES), series: Ring::new(RECENT_SERIES) }
    }
    /// Adds a call.
    pub(crate) fn push(&mut self, call: CallView) {
        let sid = call.sid.clone();
        self.calls.push(&sid, call);
    }
    /// Adds a call's trace, and the head of its view; the oldest that there is no room for any more.
    pub(crate) fn push_trace(&mut self, head: TraceView, trace: Trace) -> Option<Trace> {
        let sid = head.sid.clone();
        self.traces.push(&sid, Ended { head, trace }).map(|gone| gone.trace)
    }
    /// The traces of ended calls, the oldest first.
    pub(crate) fn traces_mut(&mut self) -> impl Iterator<Item = &mut Trace> {
        self.traces.entries.iter_mut().map(|(_, ended)| &mut ended.trace)
    }
    /// What the messages in them take, in bytes.
    pub(crate) fn message_bytes(&self) -> usize {
        self.traces.entries.iter().map(|(_, ended)| ended.trace.message_bytes()).sum()
    }
    /// Adds what has become known of a call since its end.
    pub(crate) fn note(&mut self, now: Instant, sid: &str, text: &str) {
        if let Some(Ended { trace, .. }) = self.traces.find_mut(sid)
            && trace.len() < TRACE_ENTRIES
        {
            trace.push(now, &TraceItem::Decision { text: text.to_owned() }, None);
        }
    }
    /// Adds a call's quality over time.
    pub(crate) fn push_series(&mut self, series: Kept) {
        let sid = series.sid.clone();
        self.series.push(&sid, series);
    }
    /// One call's quality over time.
    pub(crate) fn series(&self, sid: &str) -> Option<&Kept> {
        self.series.find(sid)
    }
    /// One call.
    pub(crate) fn call(&self, sid: &str) -> Option<&CallView> {
        self.calls.find(sid)
    }
    /// One trace, and when its call began.
    pub(crate) fn trace(&self, sid: &str, raw: bool) -> Option<(Instant, TraceView)> {
        self.traces.find(sid).map(|ended| (ended.trace.began(), ended.trace.view(ended.head.clone(), raw)))
    }
    /// All calls, newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &CallView> {
        self.calls.entries.iter().rev().map(|(_, call)| call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_forgets_the_oldest() {
        let mut ring = Ring::new(3);
        for n in 0..5 {
            ring.push(&format!("CA{n}"), n);
        }
        let found: Vec<Option<&i32>> = (0..5).map(|n| ring.find(&format!("CA{n}"))).collect();
        assert_eq!(found, [None, None, Some(&2), Some(&3), Some(&4)]);
        assert_eq!(ring.numbers.len(), 3);
    }

    #[test]
    fn limits_are_those_of_the_contract() {
        let recent = Recent::new();
        assert_eq!((recent.calls.limit, recent.traces.limit), (RECENT_CALLS, RECENT_TRACES));
    }
}
