//! Concurrent sessions of an agent (`max_sessions`) and the queue for it (`queue`): first come, first served.
//!
//! A session lasts from the start of a call's attempt until its stream has ended; a call has at most one session with
//! an agent. A stream that the edge ends takes a moment: until then its session is leaving, and new calls wait even
//! without a queue. Calls that had a session and need a new stream come before calls that never had one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use crate::lookups::key::CallKey;

/// Result of a request for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionGrant {
    /// The call has a session.
    Session,
    /// The call is queued at this position, from 1.
    Waits(usize),
    /// All sessions are in use, and the queue is full.
    Full,
}

/// Sessions of one agent, and the calls queued for one.
#[derive(Debug, Default)]
pub struct AgentSessions {
    /// Maximum number of concurrent sessions; 0: unlimited.
    most: u32,
    /// Maximum number of queued calls, not counting those that had a session before.
    size: usize,
    sessions: BTreeSet<CallKey>,
    /// Sessions with an ending stream, and the time until which each counts.
    leaving: BTreeMap<CallKey, Instant>,
    /// Queued calls in order, and whether each had a session before.
    waiting: VecDeque<(CallKey, bool)>,
}

impl AgentSessions {
    /// Changes the limits; sessions and queue positions are kept.
    pub fn configure(&mut self, most: u32, size: usize) {
        self.most = most;
        self.size = size;
    }

    /// Requests a session for a call. `returns` is true if the call had one, and its stream has failed.
    pub fn enter(&mut self, key: CallKey, returns: bool) -> SessionGrant {
        if (returns || self.waiting.is_empty()) && self.leaving.remove(&key).is_some() {
            self.sessions.insert(key);
            return SessionGrant::Session;
        }
        let behind = if returns { self.waiting.iter().filter(|(_, had)| *had).count() } else { self.waiting.len() };
        if self.is_free() && behind == 0 {
            self.sessions.insert(key);
            return SessionGrant::Session;
        }
        if !returns && self.waiting.iter().filter(|(_, had)| !had).count() >= self.size + self.leaving.len() {
            return SessionGrant::Full;
        }
        self.waiting.insert(behind, (key, returns));
        SessionGrant::Waits(behind + 1)
    }

    /// Grants a queued call its session if the call is next and a session is free. Returns whether it was granted.
    pub fn take_turn(&mut self, key: CallKey) -> bool {
        if self.next() != Some(key) {
            return false;
        }
        self.waiting.pop_front();
        self.sessions.insert(key)
    }

    /// Releases the session or the queue position of a call.
    pub fn leave(&mut self, key: CallKey) {
        if !self.sessions.remove(&key) {
            self.waiting.retain(|(waiting, _)| *waiting != key);
        }
    }

    /// Marks the session of a call as leaving until its stream has ended. Returns whether it counts until then.
    pub fn begin_leaving(&mut self, key: CallKey, until: Instant) -> bool {
        let counts = self.most > 0 && self.sessions.remove(&key);
        if counts {
            self.leaving.insert(key, until);
        } else {
            self.leave(key);
        }
        counts
    }

    /// Frees the session that is leaving until `until`; ignored if the call has used it again, or left it again later.
    pub fn end_leaving(&mut self, key: CallKey, until: Instant) {
        if self.leaving.get(&key) == Some(&until) {
            self.leaving.remove(&key);
        }
    }

    /// Returns the first queued call, if a session is free for it.
    pub fn next(&self) -> Option<CallKey> {
        self.waiting.front().map(|(key, _)| *key).filter(|_| self.is_free())
    }

    /// Returns the queued calls in order.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = CallKey> {
        self.waiting.iter().map(|(key, _)| *key)
    }

    /// Returns the calls with a session.
    pub fn sessions(&self) -> impl ExactSizeIterator<Item = CallKey> {
        self.sessions.iter().copied()
    }

    /// Returns whether there are no sessions and no queued calls.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.leaving.is_empty() && self.waiting.is_empty()
    }

    fn is_free(&self) -> bool {
        let used = self.sessions.len() + self.leaving.len();
        self.most == 0 || used < usize::try_from(self.most).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;
    use SessionGrant::{Full, Session, Waits};

    /// Action of a call, named by number.
    enum Step {
        /// A new call requests a session, with this result.
        Comes(u64, SessionGrant),
        /// A call with a failed stream requests a session again, with this result.
        Returns(u64, SessionGrant),
        Leaves(u64),
        /// The stream of this call is asked to end.
        Ends(u64),
        /// The stream of this call has ended.
        HasEnded(u64),
        /// The next call gets its session, if there is one.
        Turn(Option<u64>),
        /// A call that is not the next one gets no session.
        TooEarly(u64),
        Limits(u32, usize),
        Waiting(&'static [u64]),
    }
    use Step::{Comes, Ends, HasEnded, Leaves, Limits, Returns, TooEarly, Turn, Waiting};

    fn run(name: &str, most: u32, size: usize, steps: &[Step]) {
        let (mut line, at) = (AgentSessions::default(), Instant::now());
        line.configure(most, size);
        let mut most = usize::try_from(most).unwrap();
        for (n, step) in steps.iter().enumerate() {
            let before = line.sessions().len() + line.leaving.len();
            match step {
                Comes(key, entry) => assert_eq!(line.enter(CallKey(*key), false), *entry, "{name}, step {n}"),
                Returns(key, entry) => assert_eq!(line.enter(CallKey(*key), true), *entry, "{name}, step {n}"),
                Leaves(key) => line.leave(CallKey(*key)),
                Ends(key) => _ = line.begin_leaving(CallKey(*key), at),
                HasEnded(key) => line.end_leaving(CallKey(*key), at),
                Turn(key) => {
                    let next = line.next();
                    assert_eq!(next, key.map(CallKey), "{name}, step {n}");
                    assert!(next.is_none_or(|key| line.take_turn(key)), "{name}, step {n}");
                }
                TooEarly(key) => assert!(!line.take_turn(CallKey(*key)), "{name}, step {n}"),
                Limits(sessions, size) => {
                    most = usize::try_from(*sessions).unwrap();
                    line.configure(*sessions, *size);
                }
                Waiting(keys) => {
                    let waiting: Vec<u64> = line.waiting().map(|key| key.0).collect();
                    assert_eq!(waiting, *keys, "{name}, step {n}");
                }
            }
            let now = line.sessions().len() + line.leaving.len();
            assert!(now <= before || most == 0 || now <= most, "{name}, step {n}: {now} of {most}");
        }
    }

    #[test]
    fn first_come_first_served() {
        run("no limit", 0, 0, &[Comes(1, Session), Comes(2, Session), Turn(None)]);
        run("a limit without a queue", 1, 0, &[Comes(1, Session), Comes(2, Full), Leaves(1), Comes(3, Session)]);
        run(
            "in the order in which they came",
            2,
            2,
            &[
                Comes(1, Session),
                Comes(2, Session),
                Comes(3, Waits(1)),
                Comes(4, Waits(2)),
                Comes(5, Full),
                Turn(None),
                Leaves(2),
                TooEarly(4),
                Comes(6, Full),
                Turn(Some(3)),
                Turn(None),
                Comes(7, Waits(2)),
                Leaves(1),
                Leaves(3),
                Turn(Some(4)),
                Turn(Some(7)),
                Turn(None),
            ],
        );
    }

    #[test]
    fn who_leaves_makes_room_wherever_it_stood() {
        run(
            "the first, one between, one that is not there",
            1,
            3,
            &[
                Comes(1, Session),
                Comes(2, Waits(1)),
                Comes(3, Waits(2)),
                Comes(4, Waits(3)),
                Leaves(3),
                Leaves(9),
                Waiting(&[2, 4]),
                Comes(5, Waits(3)),
                Leaves(2),
                Leaves(1),
                Turn(Some(4)),
                Waiting(&[5]),
            ],
        );
        run(
            "no call overtakes one whose turn it is",
            1,
            2,
            &[Comes(1, Session), Comes(2, Waits(1)), Leaves(1), Comes(3, Waits(2)), Turn(Some(2)), Waiting(&[3])],
        );
    }

    #[test]
    fn a_session_counts_until_its_stream_has_ended() {
        run(
            "the next gets it then",
            1,
            1,
            &[Comes(1, Session), Comes(2, Waits(1)), Ends(1), Turn(None), HasEnded(1), Turn(Some(2)), Waiting(&[])],
        );
        run(
            "without a queue one waits for it, no more",
            1,
            0,
            &[Comes(1, Session), Ends(1), Comes(2, Waits(1)), Comes(3, Full), HasEnded(1), Turn(Some(2))],
        );
        run(
            "a new stream of the same call takes it over",
            1,
            1,
            &[
                Comes(1, Session),
                Comes(2, Waits(1)),
                Ends(1),
                Returns(1, Session),
                HasEnded(1),
                Turn(None),
                Ends(1),
                HasEnded(1),
                Turn(Some(2)),
            ],
        );
        run("without a limit nothing is kept", 0, 0, &[Comes(1, Session), Ends(1), Limits(1, 0), Comes(2, Session)]);
        run("one that waits", 1, 1, &[Comes(1, Session), Comes(2, Waits(1)), Ends(2), Waiting(&[])]);
    }

    #[test]
    fn a_new_stream_comes_before_those_that_never_had_one() {
        run(
            "its session is still free",
            1,
            1,
            &[Comes(1, Session), Comes(2, Waits(1)), Leaves(1), Returns(1, Session), Turn(None), Waiting(&[2])],
        );
        run(
            "it is taken: in front, behind others like it, and the queue's size is for those that come",
            2,
            1,
            &[
                Comes(1, Session),
                Comes(2, Session),
                Comes(3, Waits(1)),
                Leaves(1),
                Leaves(2),
                Turn(Some(3)),
                Comes(4, Session),
                Returns(1, Waits(1)),
                Returns(2, Waits(2)),
                Comes(5, Waits(3)),
                Comes(6, Full),
                Waiting(&[1, 2, 5]),
                Leaves(3),
                Turn(Some(1)),
            ],
        );
    }

    #[test]
    fn other_limits_take_nothing_from_anybody() {
        run(
            "fewer sessions, a shorter line",
            2,
            2,
            &[
                Comes(1, Session),
                Comes(2, Session),
                Comes(3, Waits(1)),
                Comes(4, Waits(2)),
                Limits(1, 0),
                Comes(5, Full),
                Leaves(1),
                Turn(None),
                Leaves(2),
                Turn(Some(3)),
                Waiting(&[4]),
            ],
        );
        run(
            "more, and no limit",
            1,
            3,
            &[
                Comes(1, Session),
                Comes(2, Waits(1)),
                Comes(3, Waits(2)),
                Comes(4, Waits(3)),
                Limits(2, 3),
                Turn(Some(2)),
                Turn(None),
                Limits(0, 0),
                Turn(Some(3)),
                Turn(Some(4)),
            ],
        );
    }
}
