//! Calls of the last hour that did not reach a target, and those that lost their caller because of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::{LostCall, UnreachedView};

use crate::lookups::key::CallKey;

/// A call that did not reach a target.
#[derive(Debug, Clone, Copy)]
pub struct UnreachedCall<'a> {
    /// Key of the call.
    pub key: CallKey,
    /// SID of the call.
    pub sid: &'a str,
    /// Name of the call's route.
    pub route: &'a Arc<str>,
    /// Whether the caller got no other target.
    pub is_lost: bool,
}

/// Calls that did not reach one target.
#[derive(Debug, Default)]
pub(crate) struct UnreachedCalls {
    /// All calls that did not reach the target, and those that lost their caller.
    calls: LastHour<2>,
    last: Option<LastUnreachedCall>,
    /// Calls with lost callers, the newest last.
    lost_calls: VecDeque<LostCall>,
}

/// Period for which lost calls are shown.
const HOUR: Duration = Duration::from_secs(3_600);
/// Maximum number of lost calls kept.
const LOST_KEPT: usize = 1_000;

/// Most recent call that did not reach the target.
#[derive(Debug)]
struct LastUnreachedCall {
    key: CallKey,
    sid: String,
    is_lost: bool,
    at: Instant,
}

impl UnreachedCalls {
    /// Counts a call that did not reach the target. Consecutive attempts of one call count once.
    pub(crate) fn note(&mut self, now: Instant, call: UnreachedCall<'_>) {
        let UnreachedCall { key, sid, route, is_lost } = call;
        let before = self.last.as_ref().filter(|last| last.key == key).map(|last| last.is_lost);
        self.calls.count(now, [before.is_none(), is_lost && before != Some(true)]);
        if is_lost && before != Some(true) {
            if self.lost_calls.len() >= LOST_KEPT {
                self.lost_calls.pop_front();
            }
            self.lost_calls.push_back(LostCall { at: now, route: route.clone(), sid: sid.into() });
        }
        let is_lost = is_lost || before == Some(true);
        self.last = Some(LastUnreachedCall { key, sid: sid.to_owned(), is_lost, at: now });
    }

    /// Returns the calls of the last hour that did not reach the target.
    pub(crate) fn view(&self, now: Instant) -> UnreachedView {
        let [calls, lost] = self.calls.sums(now);
        let last_sid = self.last.as_ref().filter(|_| calls > 0).map(|last| last.sid.clone());
        let [_, recent_lost] = self.calls.recent(now);
        let at = self.last.as_ref().filter(|_| calls > 0).map(|last| last.at);
        let is_recent = |call: &&LostCall| now.saturating_duration_since(call.at) < HOUR;
        let lost_calls = self.lost_calls.iter().filter(is_recent).cloned().collect();
        UnreachedView { calls, lost, last_sid, recent_lost, lost_calls, at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn a_call_counts_once_however_often_it_tries() {
        let (now, mut unreached) = (Instant::now(), UnreachedCalls::default());
        let route = Arc::from("in");
        assert_eq!(unreached.view(now), UnreachedView::default());
        for (key, is_lost) in [(1, false), (2, false), (2, true), (2, true), (3, true)] {
            unreached.note(now, UnreachedCall { key: CallKey(key), sid: &format!("CA{key}"), route: &route, is_lost });
        }
        let view = unreached.view(now);
        assert_eq!((view.calls, view.lost, view.last_sid.as_deref()), (3, 2, Some("CA3")));
        assert_eq!(unreached.view(now + Duration::from_secs(7_200)), UnreachedView::default());
    }
}
