//! Deadlines of the sessions of a worker: a heap of times that are corrected lazily, so that no turn visits all
//! sessions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::time::Instant;

use trunkgate_media::MediaId;

/// Deadlines by session. At most one per session is valid, the one stored as [`SessionDeadline`] with the session.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, usize, MediaId)>>,
}

/// State of one session's deadline, stored with the session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SessionDeadline {
    /// Time of the valid entry in the heap; `None` if there is none.
    planned: Option<Instant>,
    /// Time at which the session wants to be called next; `None` for never.
    wanted: Option<Instant>,
}

impl Deadlines {
    /// Sets the deadline of a session. If the new deadline is later than the entry in the heap, the entry is corrected
    /// only when its time is near.
    pub(super) fn plan(&mut self, session: usize, id: MediaId, due: &mut SessionDeadline, next: Option<Instant>) {
        due.wanted = next;
        if let Some(next) = next.filter(|next| due.planned.is_none_or(|planned| *next < planned)) {
            due.planned = Some(next);
            self.heap.push(Reverse((next, session, id)));
        }
    }

    /// Corrects the earliest entry if its time is at or before `soon` and its session wants another time; returns
    /// whether an entry was corrected. This avoids wake-ups for obsolete deadlines.
    pub(super) fn correct<'a>(
        &mut self,
        soon: Instant,
        due: impl FnOnce(usize, MediaId) -> Option<&'a mut SessionDeadline>,
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

    /// Returns the time of the earliest entry, which may be obsolete; `None` without entries.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Removes and returns the next expired entry with its session; [`SessionDeadline::meet`] returns whether it is
    /// valid.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Instant, usize, MediaId)> {
        let due = self.next().is_some_and(|at| at <= now);
        if due { self.heap.pop().map(|Reverse(planned)| planned) } else { None }
    }
}

impl SessionDeadline {
    /// Returns whether this is the time of the valid entry; if so, the session has no entry afterwards.
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
        let mut dues = [SessionDeadline::default(); 2];
        deadlines.plan(0, MediaId(10), &mut dues[0], Some(at(20)));
        deadlines.plan(1, MediaId(11), &mut dues[1], Some(at(10)));
        deadlines.plan(0, MediaId(10), &mut dues[0], Some(at(5)));
        // A later time, or none, is found when the deadline expires.
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
        // The session can be scheduled again.
        deadlines.plan(0, MediaId(10), &mut dues[0], Some(at(30)));
        assert_eq!(deadlines.take(at(30)), Some((at(30), 0, MediaId(10))));
    }

    #[test]
    fn what_is_near_is_put_off_where_it_is_wanted_later() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::default();
        let mut dues = [SessionDeadline::default(); 3];
        for (session, ms) in [(0, 10), (1, 11), (2, 12)] {
            deadlines.plan(session, MediaId(session as u64), &mut dues[session], Some(at(ms)));
        }
        // By now the first session wants a later time, the second none; the third has ended.
        deadlines.plan(0, MediaId(0), &mut dues[0], Some(at(30)));
        deadlines.plan(1, MediaId(1), &mut dues[1], None);
        let mut corrected = 0;
        assert!(!deadlines.correct(at(9), |_, _| panic!("not near yet")));
        while deadlines.correct(at(20), |session, _| dues.get_mut(session).filter(|_| session < 2)) {
            corrected += 1;
        }
        assert_eq!((corrected, deadlines.next()), (3, Some(at(30))));
        // A deadline that is still wanted stays.
        assert!(!deadlines.correct(at(30), |session, _| dues.get_mut(session)));
        let (time, session, _) = deadlines.take(at(30)).unwrap();
        assert!(dues[session].meet(time) && deadlines.next().is_none());
        // The session can be scheduled again.
        deadlines.plan(1, MediaId(1), &mut dues[1], Some(at(40)));
        assert_eq!(deadlines.next(), Some(at(40)));
    }
}
