//! Results of calls with an agent: number of failures, consequences for callers, and whether the agent still fails.

use std::collections::BTreeMap;
use std::time::Instant;

use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::{AffectedCalls, AgentFailures, CauseView};

use crate::agents::breaker::StreamStage;
use crate::failures::recovery::Recovery;
use crate::lookups::key::CallKey;

/// Calls in which an agent spoke, was silent or failed.
#[derive(Debug, Default)]
pub(crate) struct AgentCallResults {
    /// Calls in the last hour: total, with a failure of the agent, and disconnected by such a failure.
    hour: LastHour<3>,
    /// Live calls in which the agent has spoken; true for those that already count as a success.
    words: BTreeMap<CallKey, bool>,
    /// Consecutive failed calls.
    failed_in_row: u64,
    /// Most recent failed call.
    last_failed: Option<LastFailed>,
    /// Whether the agent recovered from an outage after a failure with an open WebSocket, and no call has succeeded
    /// since.
    came_back: bool,
    /// Whether the agent still fails.
    recovery: Recovery,
    /// Most recent call disconnected by a failure of the agent.
    hung_up: Option<CallKey>,
    /// Causes of failures with their number of calls, the most recent last.
    causes: Vec<(String, LastHour<1>)>,
}

/// Maximum number of causes counted per agent.
const CAUSES_KEPT: usize = 8;

/// Most recent call in which an agent failed.
#[derive(Debug)]
struct LastFailed {
    key: CallKey,
    sid: String,
    /// Cause in plain text.
    cause: String,
    /// Whether the agent had spoken before it failed: if so, speaking in a later call does not prove a recovery.
    had_spoken: bool,
    /// Whether the WebSocket was never open.
    was_unreached: bool,
    /// Whether a WebSocket was open in a later call, or the agent recovered from an outage.
    reached_since: bool,
    /// Whether the WebSocket was open, and an earlier such failure was before an outage: the agent fails in each call
    /// that reaches it.
    is_again: bool,
    at: Instant,
}

/// A failed stream of a talking agent.
#[derive(Debug, Clone, Copy)]
pub struct FailedStream<'a> {
    /// Key of the stream's call.
    pub key: CallKey,
    /// SID of the stream's call.
    pub sid: &'a str,
    /// Start of the stream.
    pub began: Instant,
    /// Progress of the stream.
    pub stage: StreamStage<'a>,
    /// Cause in plain text.
    pub cause: &'a str,
}

impl AgentCallResults {
    /// Counts a call in which a stream of the agent failed; further failed streams of the same call do not count.
    pub(crate) fn note_failed(&mut self, now: Instant, stream: &FailedStream<'_>) {
        let had_spoken = self.words.remove(&stream.key).is_some();
        let is_same = self.is_last_failed(stream.key);
        if !is_same {
            self.hour.count(now, [!had_spoken, true, false]);
            self.failed_in_row += 1;
            self.recovery.note_bad(now);
            self.count_cause(now, stream.cause);
        }
        let had_spoken = had_spoken || is_same && self.last_failed.as_ref().is_some_and(|last| last.had_spoken);
        let (sid, cause) = (stream.sid.to_owned(), stream.cause.to_owned());
        let was_unreached = stream.stage == StreamStage::Opening;
        let is_again = match self.last_failed.as_ref().filter(|_| is_same) {
            Some(last) => last.is_again,
            None => self.came_back && !was_unreached,
        };
        let (key, reached_since, at) = (stream.key, false, now);
        self.last_failed = Some(LastFailed { key, sid, cause, had_spoken, was_unreached, reached_since, is_again, at });
    }

    /// Notes that the WebSocket is open in a call, which ends unreachability.
    pub(crate) fn note_reached(&mut self) {
        if let Some(last) = &mut self.last_failed {
            last.reached_since |= last.was_unreached;
        }
    }

    /// Notes that the agent has recovered from an outage. The outage explains the last failed call, unless the agent
    /// had also failed after an earlier outage.
    pub(crate) fn note_back(&mut self) {
        if let Some(last) = &mut self.last_failed {
            last.reached_since |= !last.is_again;
            self.came_back |= !last.was_unreached;
        }
    }

    /// Counts calls in which the agent kept the caller without speaking.
    pub(crate) fn note_silent(&mut self, now: Instant, calls: u64) {
        self.hour.add(now, [calls, 0, 0]);
    }

    /// Counts a call disconnected by a failure of the agent, once per call.
    pub(crate) fn note_hung_up(&mut self, now: Instant, key: CallKey) {
        if self.hung_up.replace(key) != Some(key) {
            self.hour.count(now, [false, false, true]);
        }
    }

    /// Notes the first audio of the agent in a call.
    pub(crate) fn note_words(&mut self, now: Instant, key: CallKey) {
        if self.has_failed_in(key) || self.words.contains_key(&key) {
            return;
        }
        self.hour.count(now, [true, false, false]);
        let is_good = !self.last_failed.as_ref().is_some_and(|last| last.had_spoken);
        self.words.insert(key, is_good);
        if is_good {
            self.note_good();
        }
    }

    /// Notes that a call has left the agent, which has not failed since it last spoke.
    pub(crate) fn note_end(&mut self, key: CallKey) {
        if self.words.remove(&key) == Some(false) {
            self.note_good();
        }
    }

    /// Notes that the agent ended its part of a call normally.
    pub(crate) fn note_went_well(&mut self, key: CallKey) {
        if self.words.remove(&key) != Some(true) {
            self.note_good();
        }
    }

    /// Removes an ended call without counting a success.
    pub(crate) fn drop(&mut self, key: CallKey) {
        self.words.remove(&key);
    }

    /// Treats past failures as solved, until the next one.
    pub(crate) fn withdraw(&mut self) {
        (self.failed_in_row, self.came_back) = (0, false);
        self.recovery.withdraw();
    }

    /// Returns the failures of the last hour; `None` if there were none.
    pub(crate) fn view(&self, now: Instant) -> Option<AgentFailures> {
        let [of, calls, hung_up] = self.hour.sums(now);
        let last = self.last_failed.as_ref().filter(|_| calls > 0)?;
        let [recent_of, recent_calls, _] = self.hour.recent(now);
        let cause = |(cause, calls): &(String, LastHour<1>)| {
            let [calls] = calls.sums(now);
            (calls > 0).then(|| CauseView { cause: cause.clone(), calls })
        };
        Some(AgentFailures {
            calls,
            of: of.max(calls),
            recent: AffectedCalls { calls: recent_calls, of: recent_of.max(recent_calls) },
            hung_up: hung_up.min(calls),
            in_row: self.failed_in_row.min(calls),
            still: self.recovery.is_still(now),
            good_since: self.recovery.good_since(),
            lately: self.recovery.share(),
            reached_since: last.reached_since,
            cause: last.cause.clone(),
            causes: self.causes.iter().rev().filter_map(cause).collect(),
            last_sid: last.sid.clone(),
            at: Some(last.at),
        })
    }

    fn count_cause(&mut self, now: Instant, cause: &str) {
        let at = self.causes.iter().position(|(known, _)| known == cause);
        let mut calls = at.map(|at| self.causes.remove(at).1).unwrap_or_default();
        calls.add(now, [1]);
        if self.causes.len() >= CAUSES_KEPT {
            self.causes.remove(0);
        }
        self.causes.push((cause.to_owned(), calls));
    }

    fn note_good(&mut self) {
        (self.failed_in_row, self.came_back) = (0, false);
        self.recovery.note_good();
    }

    /// Returns whether this call is the most recent one in which the agent failed.
    fn is_last_failed(&self, key: CallKey) -> bool {
        self.last_failed.as_ref().is_some_and(|last| last.key == key)
    }

    /// Returns whether the most recent failed call is this one and no other call has succeeded since.
    fn has_failed_in(&self, key: CallKey) -> bool {
        self.failed_in_row > 0 && self.is_last_failed(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(kept: &mut AgentCallResults, now: Instant, call: u64) {
        let stage = StreamStage::Open(None);
        kept.note_failed(now, &FailedStream { key: CallKey(call), sid: "CA1", began: now, stage, cause: "reset" });
    }

    /// Counts a call in which the agent spoke until the caller hung up.
    fn keep(kept: &mut AgentCallResults, now: Instant, call: u64) {
        kept.note_words(now, CallKey(call));
        kept.note_end(CallKey(call));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn a_call_in_which_it_spoke_and_failed_is_one_call() {
        let (now, mut kept) = (Instant::now(), AgentCallResults::default());
        let shown = |kept: &AgentCallResults| {
            let failures = kept.view(now).unwrap();
            (failures.calls, failures.of, failures.in_row)
        };
        for call in 1..=4 {
            kept.note_words(now, CallKey(call));
            fail(&mut kept, now, call);
            // The second stream of the same call.
            kept.note_words(now, CallKey(call));
            fail(&mut kept, now, call);
            kept.drop(CallKey(call));
            assert_eq!(shown(&kept), (call, call, call));
        }
        kept.note_words(now, CallKey(5));
        assert_eq!(shown(&kept), (4, 5, 4), "it spoke in the others as well");
        kept.note_end(CallKey(5));
        assert_eq!(shown(&kept), (4, 5, 0), "a caller had it to the end");
        fail(&mut kept, now, 6);
        assert_eq!(shown(&kept), (5, 6, 1));
        kept.note_words(now, CallKey(7));
        assert_eq!(shown(&kept), (5, 7, 0), "it had not come to words, and now it has");
        assert_eq!(kept.words.len(), 1);
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn an_agent_that_fails_in_every_second_call_is_past_after_six_good_ones() {
        let (now, mut kept) = (Instant::now(), AgentCallResults::default());
        for call in (0..10).step_by(2) {
            keep(&mut kept, now, call);
            kept.note_words(now, CallKey(call + 1));
            fail(&mut kept, now, call + 1);
            kept.note_hung_up(now, CallKey(call + 1));
            kept.note_hung_up(now, CallKey(call + 1));
        }
        let view = kept.view(now).unwrap();
        assert_eq!((view.calls, view.of, view.hung_up, view.in_row), (5, 10, 5, 1));
        // The first call succeeded before any failed.
        for call in 0..6 {
            let view = kept.view(now).unwrap();
            let good_since = if call < 3 { 0 } else { call };
            assert_eq!((view.still, view.good_since, view.lately), (true, good_since, [5, 9]), "{call}");
            keep(&mut kept, now, 20 + call);
        }
        let view = kept.view(now).unwrap();
        assert_eq!((view.still, view.good_since), (false, 6));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn an_agent_that_was_not_reached_is_reached_by_the_next_socket_that_opens() {
        let (now, mut kept) = (Instant::now(), AgentCallResults::default());
        let refused = |kept: &mut AgentCallResults, call: u64| {
            let stream = FailedStream {
                key: CallKey(call),
                sid: "CA1",
                began: now,
                stage: StreamStage::Opening,
                cause: "refused",
            };
            kept.note_failed(now, &stream);
        };
        let shown = |kept: &AgentCallResults| {
            kept.view(now).map(|view| (view.calls, view.of, view.good_since, view.reached_since))
        };
        (1..=3).for_each(|call| refused(&mut kept, call));
        assert_eq!(shown(&kept), Some((3, 3, 0, false)));
        kept.note_reached();
        kept.note_silent(now, 3);
        assert_eq!(shown(&kept), Some((3, 6, 0, true)), "silent calls are not good ones");
        refused(&mut kept, 7);
        assert_eq!(shown(&kept), Some((4, 7, 0, false)));
        fail(&mut kept, now, 8);
        kept.note_reached();
        assert_eq!(shown(&kept), Some((5, 8, 0, false)), "an open socket shows nothing where it was open before");
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn an_agent_that_is_back_after_an_outage_has_failed_before_it_alone() {
        let (now, mut kept) = (Instant::now(), AgentCallResults::default());
        let is_reached = |kept: &AgentCallResults| kept.view(now).unwrap().reached_since;
        // Two calls were live when the agent was killed.
        fail(&mut kept, now, 1);
        fail(&mut kept, now, 2);
        assert!(!is_reached(&kept));
        kept.note_back();
        assert!(is_reached(&kept));
        // The agent is restarted and ends in each call.
        for call in 3..6 {
            fail(&mut kept, now, call);
            kept.note_back();
            assert!(!is_reached(&kept), "call {call}");
        }
        keep(&mut kept, now, 6);
        fail(&mut kept, now, 7);
        kept.note_back();
        assert!(is_reached(&kept), "a call was good between");
    }
}
