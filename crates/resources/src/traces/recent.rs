//! Recently ended calls: a bounded ring of views, and shorter rings of traces and of quality.

use std::collections::{HashMap, VecDeque};
use std::iter;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_story::change::FLAGS;
use trunkgate_story::series::QualityRecord;
use trunkgate_story::trace::{CallTrace, TraceItem, TraceView};
use trunkgate_story::view::CallView;

use crate::limits::{
    RECENT_CALLS, RECENT_SERIES, RECENT_TRACES, RECENT_TURNED_DOWN, TRACE_ENTRIES, TURNED_DOWN_TRACES, USUAL_TRACES,
};
use crate::recordings::losses::RecordingLosses;
use crate::traces::faulty::{CallFailureKey, FailureGroups};

/// A ring with look-up by SID.
#[derive(Debug)]
struct SidRing<T> {
    entries: VecDeque<(String, T)>,
    /// Sequence number of each entry.
    numbers: HashMap<String, u64>,
    /// Sequence number of the oldest entry.
    first: u64,
    limit: usize,
}

impl<T> SidRing<T> {
    fn new(limit: usize) -> SidRing<T> {
        SidRing { entries: VecDeque::new(), numbers: HashMap::new(), first: 0, limit }
    }

    /// Adds an entry. Returns the oldest if the ring was full.
    fn push(&mut self, sid: &str, entry: T) -> Option<T> {
        let gone = if self.entries.len() >= self.limit { self.pop() } else { None };
        self.numbers.insert(sid.to_owned(), self.first + self.entries.len() as u64);
        self.entries.push_back((sid.to_owned(), entry));
        gone
    }

    /// Removes the oldest entry. Returns it, or `None` if there are none.
    fn pop(&mut self) -> Option<T> {
        let (oldest, entry) = self.entries.pop_front()?;
        self.numbers.remove(&oldest);
        self.first += 1;
        Some(entry)
    }

    /// Returns the entries, the oldest first.
    fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.entries.iter().map(|(_, entry)| entry)
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

/// Trace of an ended call.
#[derive(Debug)]
struct EndedTrace {
    /// Columns and verdict of the view; its entries are in `trace`.
    head: TraceView,
    trace: CallTrace,
}

/// Recently ended calls with their views, traces and quality.
#[derive(Debug)]
pub struct RecentCalls {
    calls: SidRing<Arc<CallView>>,
    /// Traces of calls without failures.
    traces: SidRing<EndedTrace>,
    /// Traces of calls with failures.
    faulty: FailureGroups<EndedTrace>,
    series: SidRing<QualityRecord>,
    /// Calls refused by limits, kept apart so that a flood of them displaces no other calls.
    turned_down: SidRing<Arc<CallView>>,
    turned_down_traces: SidRing<EndedTrace>,
}

impl Default for RecentCalls {
    fn default() -> RecentCalls {
        RecentCalls {
            calls: SidRing::new(RECENT_CALLS),
            traces: SidRing::new(RECENT_TRACES),
            faulty: FailureGroups::default(),
            series: SidRing::new(RECENT_SERIES),
            turned_down: SidRing::new(RECENT_TURNED_DOWN),
            turned_down_traces: SidRing::new(TURNED_DOWN_TRACES),
        }
    }
}

impl RecentCalls {
    /// Adds an ended call.
    pub fn push(&mut self, call: CallView, turned_down: bool) {
        let sid = call.sid.clone();
        if turned_down { &mut self.turned_down } else { &mut self.calls }.push(&sid, Arc::new(call));
    }

    /// Adds a call's trace with the head of its view. Returns a trace that was displaced. Traces of calls with
    /// failures are kept longer.
    pub fn push_trace(&mut self, head: TraceView, trace: CallTrace, turned_down: bool) -> Option<CallTrace> {
        let sid = head.sid.clone();
        let ended = EndedTrace { head, trace };
        if turned_down {
            return self.turned_down_traces.push(&sid, ended).map(|gone| gone.trace);
        }
        let is_full = self.traces.entries.len() + self.faulty.len() >= RECENT_TRACES;
        let gone = match (is_full, self.traces.entries.len() > USUAL_TRACES) {
            (false, _) => None,
            (true, true) => self.traces.pop(),
            (true, false) => self.faulty.pop(),
        };
        match self.calls.find(&sid).and_then(|call| CallFailureKey::of(call)) {
            Some(fault) => self.faulty.push(&sid, fault, ended),
            None => drop(self.traces.push(&sid, ended)),
        }
        gone.map(|gone| gone.trace)
    }

    fn ended(&self, sid: &str) -> Option<&EndedTrace> {
        let ended = self.traces.find(sid).or_else(|| self.faulty.get(sid));
        ended.or_else(|| self.turned_down_traces.find(sid))
    }

    /// Returns the trace of an ended call for a further entry; `None` if there is no trace, or it is full.
    fn open(&mut self, sid: &str) -> Option<&mut CallTrace> {
        let ended = match self.traces.find_mut(sid) {
            Some(ended) => Some(ended),
            None => self.faulty.get_mut(sid),
        };
        ended.map(|ended| &mut ended.trace).filter(|trace| trace.count() < TRACE_ENTRIES)
    }

    /// Returns the traces of ended calls in the order in which their messages are dropped: of refused calls, of calls
    /// without failures, each the oldest first, then of calls with failures.
    pub(crate) fn traces_mut(&mut self) -> impl Iterator<Item = &mut CallTrace> {
        let turned_down = self.turned_down_traces.entries.iter_mut();
        let usual = turned_down.chain(self.traces.entries.iter_mut()).map(|(_, ended)| ended);
        usual.chain(self.faulty.values_mut()).map(|ended| &mut ended.trace)
    }

    /// Returns the memory used by messages in all traces, in bytes.
    pub fn message_bytes(&self) -> usize {
        let all = self.turned_down_traces.iter().chain(self.traces.iter()).chain(self.faulty.values());
        all.map(|ended| ended.trace.message_bytes()).sum()
    }

    /// Adds an item to the trace of an ended call.
    pub fn note(&mut self, now: Instant, sid: &str, item: &TraceItem) {
        if let Some(trace) = self.open(sid) {
            trace.push(now, item, None);
        }
    }

    /// Sets the gaps of a recording of an ended call.
    pub fn recording_lost(&mut self, sid: &str, recording: &str, lost: &RecordingLosses) {
        let Some(call) = self.calls.find_mut(sid) else { return };
        let known = |call: &CallView| call.recordings.iter().position(|known| known.sid == recording);
        if let Some(at) = known(call)
            && let Some(recording) = Arc::make_mut(call).recordings.get_mut(at)
        {
            recording.lost = lost.views();
            set_flag(Arc::make_mut(call), "recording_gap");
        }
    }

    /// Marks an ended call as one with a silent agent, as shown by a later call.
    pub fn note_silent_agent(&mut self, sid: &str, agent: &str) {
        let Some(call) = self.calls.find_mut(sid) else { return };
        let call = Arc::make_mut(call);
        call.legs.iter_mut().filter(|leg| leg.agent == agent).for_each(|leg| leg.silent = true);
        set_flag(call, "one_way");
    }

    /// Adds an entry about an API request to the trace of an ended call.
    pub fn note_request(&mut self, now: Instant, sid: &str, text: String) {
        if let Some(trace) = self.open(sid) {
            trace.push_request(now, text);
        }
    }

    /// Adds a call's quality over time.
    pub fn push_series(&mut self, series: QualityRecord) {
        let sid = series.sid.clone();
        self.series.push(&sid, series);
    }

    /// Returns the quality over time of a call.
    pub fn series(&self, sid: &str) -> Option<&QualityRecord> {
        self.series.find(sid)
    }

    /// Returns the ended call with a SID.
    pub fn call(&self, sid: &str) -> Option<&CallView> {
        self.calls.find(sid).or_else(|| self.turned_down.find(sid)).map(|call| &**call)
    }

    /// Returns the start of a call, and its trace; with `raw`, messages have their text.
    pub fn trace(&self, sid: &str, raw: bool) -> Option<(Instant, TraceView)> {
        self.ended(sid).map(|ended| (ended.trace.began(), ended.trace.view(ended.head.clone(), raw)))
    }

    /// Returns whether a call's trace has the texts of messages; `None` if there is no trace.
    pub fn is_traced(&self, sid: &str) -> Option<bool> {
        self.ended(sid).map(|ended| ended.trace.message_bytes() > 0)
    }

    /// Returns all ended calls, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Arc<CallView>> {
        newest_first(self.calls.iter().rev(), self.turned_down.iter().rev())
    }

    /// Returns all ended calls as shared pointers.
    pub fn shared(&self) -> EndedCalls {
        EndedCalls {
            calls: self.calls.iter().cloned().collect(),
            turned_down: self.turned_down.iter().cloned().collect(),
        }
    }
}

/// Snapshot of ended calls, shared with the edge, for use on another thread.
#[derive(Debug, Clone, Default)]
pub struct EndedCalls {
    /// Calls, the oldest first.
    calls: Vec<Arc<CallView>>,
    turned_down: Vec<Arc<CallView>>,
}

impl EndedCalls {
    /// Returns the calls, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Arc<CallView>> {
        newest_first(self.calls.iter().rev(), self.turned_down.iter().rev())
    }

    /// Returns the end of the oldest call, if older ones were dropped for lack of room. Calls refused by limits do
    /// not count.
    pub fn kept_since(&self) -> Option<&str> {
        let oldest = self.calls.first().filter(|_| self.calls.len() >= RECENT_CALLS)?;
        oldest.ended_at.as_deref()
    }
}

/// Merges ended and refused calls, both the newest first.
fn newest_first<'a>(
    calls: impl Iterator<Item = &'a Arc<CallView>>,
    turned_down: impl Iterator<Item = &'a Arc<CallView>>,
) -> impl Iterator<Item = &'a Arc<CallView>> {
    let (mut calls, mut others) = (calls.peekable(), turned_down.peekable());
    iter::from_fn(move || {
        let (call, other) = (calls.peek(), others.peek());
        // Dates have one format: their order as text is that of time.
        let is_other = other.is_some_and(|other| call.is_none_or(|call| other.ended_at > call.ended_at));
        if is_other { others.next() } else { calls.next() }
    })
}

/// Sets a flag of an ended call, in the order of [`FLAGS`].
fn set_flag(call: &mut CallView, flag: &'static str) {
    if !call.flags.contains(&flag) {
        call.flags.push(flag);
        call.flags.sort_by_key(|flag| FLAGS.iter().position(|known| known == flag));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_forgets_the_oldest() {
        let mut ring = SidRing::new(3);
        for n in 0..5 {
            ring.push(&format!("CA{n}"), n);
        }
        let found: Vec<Option<&i32>> = (0..5).map(|n| ring.find(&format!("CA{n}"))).collect();
        assert_eq!(found, [None, None, Some(&2), Some(&3), Some(&4)]);
        assert_eq!(ring.numbers.len(), 3);
    }

    #[test]
    fn calls_are_known_to_be_kept_since_a_time_only_if_older_ones_were_forgotten() {
        let call = |n: usize| Arc::new(CallView { ended_at: Some(n.to_string()), ..ended(n, "answered", 200) });
        let all = |calls: usize| EndedCalls { calls: (0..calls).map(call).collect(), turned_down: vec![call(7)] };
        assert_eq!(all(RECENT_CALLS - 1).kept_since(), None);
        assert_eq!(all(RECENT_CALLS).kept_since(), Some("0"));
    }

    fn ended(n: usize, outcome: &'static str, code: u16) -> CallView {
        CallView {
            sid: format!("CA{n}"),
            state: "ended",
            outcome: Some(outcome),
            sip_code: Some(code),
            ..CallView::default()
        }
    }

    // The clock value is arbitrary.
    #[allow(clippy::disallowed_methods)]
    fn push(recent: &mut RecentCalls, n: usize, outcome: &'static str, code: u16) {
        let sid = format!("CA{n}");
        recent.push(ended(n, outcome, code), false);
        let head = TraceView::of(sid.clone(), String::new(), vec![]);
        recent.push_trace(head, CallTrace::new(Instant::now(), &sid), false);
    }

    #[test]
    fn the_trace_of_a_failed_call_outlives_those_of_ordinary_calls_and_of_other_faults() {
        let mut recent = RecentCalls::default();
        let kept = |recent: &RecentCalls| recent.traces.entries.len() + recent.faulty.len();
        push(&mut recent, 0, "failed", 403);
        for n in 1..3 * RECENT_TRACES {
            push(&mut recent, n, "answered", 200);
            assert!(kept(&recent) <= RECENT_TRACES);
        }
        assert!(recent.trace("CA0", false).is_some() && recent.trace("CA1", false).is_none());
        for n in 10_000..10_000 + 3 * RECENT_TRACES {
            push(&mut recent, n, "failed", 404);
        }
        assert_eq!((kept(&recent), recent.traces.entries.len()), (RECENT_TRACES, USUAL_TRACES));
        assert!(recent.is_traced("CA0").is_some() && recent.is_traced("CA10000").is_none());
    }

    #[test]
    fn limits_are_those_of_the_contract() {
        let recent = RecentCalls::default();
        assert_eq!(
            (recent.turned_down.limit, recent.turned_down_traces.limit),
            (RECENT_TURNED_DOWN, TURNED_DOWN_TRACES)
        );
        assert_eq!((recent.calls.limit, recent.traces.limit), (RECENT_CALLS, RECENT_TRACES));
    }
}
