//! Traces of ended calls with failures: many calls with one fault displace no trace of another fault.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};

use trunkgate_story::view::CallView;

/// Flags of failures in calls that may have ended normally.
const FLAGS: [&str; 8] =
    ["one_way", "codec_mismatch", "unsent", "loss", "app_error", "agent_failed", "recording_gap", "failed_over"];

/// Failure of a call; calls with equal failures form a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct CallFailureKey {
    /// Reason slug, or the flag of a call that ended normally.
    what: &'static str,
    /// Status code with which a target last rejected the call, otherwise the final status sent to the caller; `None` if
    /// the call ended normally.
    code: Option<u16>,
    /// Trunk or agent that was tried last.
    party: Box<str>,
}

impl CallFailureKey {
    /// Returns the failure of an ended call; `None` if nothing failed.
    pub(crate) fn of(call: &CallView) -> Option<CallFailureKey> {
        let flag = FLAGS.into_iter().find(|flag| call.flags.contains(flag));
        let has_failed = matches!(call.outcome, Some("failed" | "refused"));
        let what = if has_failed { call.reason.unwrap_or_default() } else { flag? };
        let last = call.legs.last();
        let party = last.map(|leg| if leg.trunk.is_empty() { leg.agent.as_str() } else { leg.trunk.as_str() });
        let code = call.legs.iter().rev().find_map(|leg| leg.sip_code).or(call.sip_code).filter(|_| has_failed);
        Some(CallFailureKey { what, code, party: party.unwrap_or_default().into() })
    }
}

/// Entries of calls by SID, in groups by failure.
#[derive(Debug)]
pub(crate) struct FailureGroups<T> {
    entries: HashMap<String, T>,
    /// Calls of each failure, the oldest first, with a sequence number.
    groups: HashMap<CallFailureKey, VecDeque<(u64, String)>>,
    next: u64,
}

impl<T> Default for FailureGroups<T> {
    fn default() -> FailureGroups<T> {
        FailureGroups { entries: HashMap::new(), groups: HashMap::new(), next: 0 }
    }
}

impl<T> FailureGroups<T> {
    /// Adds an entry.
    pub(crate) fn push(&mut self, sid: &str, fault: CallFailureKey, entry: T) {
        self.entries.insert(sid.to_owned(), entry);
        self.groups.entry(fault).or_default().push_back((self.next, sid.to_owned()));
        self.next += 1;
    }

    /// Removes the oldest entry of the largest group; of equally large groups, of the one with the oldest entry.
    /// Returns it, or `None` if there are none.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let rank = |calls: &VecDeque<(u64, String)>| (calls.len(), Reverse(calls.front().map(|(number, _)| *number)));
        let (fault, calls) = self.groups.iter_mut().max_by_key(|(_, calls)| rank(calls))?;
        let (_, sid) = calls.pop_front()?;
        if calls.is_empty() {
            let fault = fault.clone();
            self.groups.remove(&fault);
        }
        self.entries.remove(&sid)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, sid: &str) -> Option<&T> {
        self.entries.get(sid)
    }

    pub(crate) fn get_mut(&mut self, sid: &str) -> Option<&mut T> {
        self.entries.get_mut(sid)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.values()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.entries.values_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: u16) -> CallFailureKey {
        CallFailureKey { what: "target_rejected", code: Some(code), party: "carrier".into() }
    }

    #[test]
    fn many_calls_with_one_fault_displace_no_other_fault() {
        let mut faulty = FailureGroups::default();
        faulty.push("CA403", fault(403), 403);
        for n in 0..5 {
            faulty.push(&format!("CA{n}"), fault(404), n);
        }
        assert_eq!([faulty.pop(), faulty.pop(), faulty.pop(), faulty.pop()], [0, 1, 2, 3].map(Some));
        assert_eq!(faulty.get("CA403"), Some(&403));
        // Each group has one entry, so that the oldest entry is removed.
        assert_eq!([faulty.pop(), faulty.pop(), faulty.pop()], [Some(403), Some(4), None]);
        assert_eq!((faulty.len(), faulty.groups.len()), (0, 0));
    }
}
