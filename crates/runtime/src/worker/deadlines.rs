//! When the sessions of a worker want to be called: a heap of times, corrected when they are looked at, so that no turn
//! looks at all sessions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::time::Instant;

use trunkgate_media::MediaId;

/// Times by session. A session has at most one that counts: the one its place remembers as [`Due`].
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, usize, MediaId)>>,
}

/// What a session's place remembers of its deadline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// The time in the heap that counts.
    planned: Option<Instant>,
    /// When the session wants to be called, as it said last: no earlier.
    wanted: Option<Instant>,
}

impl Deadlines {
    /// Says when a session wants to be called. A later time than the one in the heap is found when that one is near.
    pub(super) fn plan(&mut self, session: usize, id: MediaId, due: &mut Due, next: Option<Instant>) {
        due.wanted = next;
        if let Some(next) = next.filter(|next| due.planned.is_none_or(|planned| *next < planned)) {
            due.planned = Some(next);
            self.heap.push(Reverse((next, session, id)));
        }
    }
    /// Looks at the earliest time, where it is no later than `soon`: whether it was not what its session, whose place
    /// remembers `due`, wants by now, and has been corrected. So nobody is woken for what is past.
    pub(super) fn correct<'a>(
        &mut self,
        soon: Instant,
        due: impl FnOnce(usize, MediaId) -> Option<&'a mut Due>,
    ) -> bool {
        let Some(mut first) = self.heap.peek_mut() else { return false };
        let Reverse((at, session, id)) = *first;
        if at > soon {
            return false;
        }
        let later = match due(session, id).filter(|due| due.planned == Some(at)) {
            Some(due) if due.wanted == Some(at) => return false,
            Some(due) => {
                due.planned = due.wanted;
                due.wanted
            }
            None => None,
        };
        match later {
            Some(later) => *first = Reverse((later, session, id)),
            None => drop(PeekMut::pop(first)),
        }
        true
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
        let met = self.planned == Some(at);
        if met {
            self.planned = None;
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

    #[test]
    fn what_is_near_is_put_off_where_it_is_wanted_later() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::default();
        let mut dues = [Due::default(); 3];
        for (session, ms) in [(0, 10), (1, 11), (2, 12)] {
            deadlines.plan(session, MediaId(session as u64), &mut dues[session], Some(at(ms)));
        }
        // The first wants it later by now, the second not at all; the third is gone.
        deadlines.plan(0, MediaId(0), &mut dues[0], Some(at(30)));
        deadlines.plan(1, MediaId(1), &mut dues[1], None);
        let mut corrected = 0;
        assert!(!deadlines.correct(at(9), |_, _| panic!("not near yet")));
        while deadlines.correct(at(20), |session, _| dues.get_mut(session).filter(|_| session < 2)) {
            corrected += 1;
        }
        assert_eq!((corrected, deadlines.next()), (3, Some(at(30))));
        // What is wanted then stays.
        assert!(!deadlines.correct(at(30), |session, _| dues.get_mut(session)));
        let (time, session, _) = deadlines.take(at(30)).unwrap();
        assert!(dues[session].meet(time) && deadlines.next().is_none());
        // It can be planned anew.
        deadlines.plan(1, MediaId(1), &mut dues[1], Some(at(40)));
        assert_eq!(deadlines.next(), Some(at(40)));
    }
}
