//! When the sessions of a worker want to be called: a heap of times, corrected when they are looked at, so that no turn
//! looks at all sessions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use trunkgate_media::MediaId;

/// Times by session. A session has at most one that counts: the one its place remembers as [`Due`].
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, usize, MediaId)>>,
}

/// What a session's place remembers of its deadline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Due(Option<Instant>);

impl Deadlines {
    /// Says when a session wants to be called. A later time than the one in the heap is found when that one passes.
    pub(super) fn plan(&mut self, session: usize, id: MediaId, due: &mut Due, next: Option<Instant>) {
        if let Some(next) = next.filter(|next| due.0.is_none_or(|due| *next < due)) {
            due.0 = Some(next);
            self.heap.push(Reverse((next, session, id)));
        }
    }
    /// The earliest time; it may turn out to be nobody's any more.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }
    /// The next time that has come, and whose it was when it was planned: [`Due::meet`] says whether it still counts.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Instant, usize, MediaId)> {
        let due = self.next().is_some_and(|at| at <= now);
        if due { self.heap.pop().map(|Reverse(planned)| planned) } else { None }
    }
}

impl Due {
    /// Whether this is the time that counts; it counts once.
    pub(super) fn meet(&mut self, at: Instant) -> bool {
        let met = self.0 == Some(at);
        if met {
            self.0 = None;
        }
        met
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_session_is_called_at_its_earliest_time_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::default();
        let mut dues = [Due::default(); 2];
        deadlines.plan(0, MediaId(10), &mut dues[0], Some(at(20)));
        deadlines.plan(1, MediaId(11), &mut dues[1], Some(at(10)));
        deadlines.plan(0, MediaId(10), &mut dues[0], Some(at(5)));
        // Later, or never: found when the time comes.
        deadlines.plan(0, MediaId(10), &mut dues[0], Some(at(30)));
        deadlines.plan(0, MediaId(10), &mut dues[0], None);
        assert_eq!(deadlines.next(), Some(at(5)));
        let mut called = Vec::new();
        for ms in 0..40 {
            while let Some((time, session, id)) = deadlines.take(at(ms)) {
                assert_eq!(id, MediaId(10 + session as u64));
                if dues[session].meet(time) {
                    called.push((ms, session));
                }
            }
        }
        assert_eq!(called, [(5, 0), (10, 1)]);
        assert_eq!(deadlines.next(), None);
        // And planned anew.
        deadlines.plan(0, MediaId(10), &mut dues[0], Some(at(30)));
        assert_eq!(deadlines.take(at(30)), Some((at(30), 0, MediaId(10))));
    }
}
