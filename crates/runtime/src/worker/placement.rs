//! Assignment of sessions to workers: few sessions share one worker.
//!
//! A lightly loaded worker is woken for each packet, and wake-ups dominate the cost; a worker with all sessions handles
//! several packets per wake-up. Each worker is therefore filled before the next one gets a session, up to a number far
//! below the capacity of a core; beyond that, sessions are distributed evenly.

use rustc_hash::FxHashMap;
use trunkgate_media::{MediaCommand, MediaId};

/// Number of sessions of a worker before the next one is used: half a core if all of them are transcoded to and from
/// Opus.
pub(super) const FILL: u32 = 100;

/// Worker of each session.
#[derive(Debug)]
pub(super) struct Placement {
    /// Number of sessions of each worker.
    sessions: Vec<u32>,
    of: FxHashMap<MediaId, usize>,
}

impl Placement {
    /// Creates an empty assignment for this many workers.
    pub(super) fn new(workers: usize) -> Placement {
        Placement { sessions: vec![0; workers], of: FxHashMap::default() }
    }

    /// Returns the index of the worker for a session's command: the command that opens the session assigns a worker,
    /// the one that closes it releases it. A command for an ended session goes to the first worker, which reports it.
    pub(super) fn of(&mut self, id: MediaId, command: &MediaCommand) -> usize {
        if let MediaCommand::Open { beside, .. } = command {
            let beside = beside.and_then(|other| self.of.get(&other).copied());
            return self.place(id, beside);
        }
        let found = if let MediaCommand::Close = command { self.remove(id) } else { self.of.get(&id).copied() };
        found.unwrap_or_default()
    }

    /// Returns the index of a session's worker; `None` for an unknown session.
    pub(super) fn worker_of(&self, id: MediaId) -> Option<usize> {
        self.of.get(&id).copied()
    }

    fn place(&mut self, id: MediaId, beside: Option<usize>) -> usize {
        if let Some(at) = self.of.get(&id) {
            return *at;
        }
        let unfilled = self.sessions.iter().position(|sessions| *sessions < FILL);
        let fewest = || self.sessions.iter().enumerate().min_by_key(|(_, sessions)| **sessions).map(|(at, _)| at);
        let at = beside.or(unfilled).or_else(fewest).unwrap_or_default();
        if let Some(sessions) = self.sessions.get_mut(at) {
            *sessions += 1;
        }
        self.of.insert(id, at);
        at
    }

    fn remove(&mut self, id: MediaId) -> Option<usize> {
        let at = self.of.remove(&id)?;
        if let Some(sessions) = self.sessions.get_mut(at) {
            *sessions = sessions.saturating_sub(1);
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: MediaCommand = MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None };

    #[test]
    fn a_worker_is_filled_before_the_next_one_and_then_all_have_as_many() {
        let mut placement = Placement::new(3);
        let mut open =
            |ids: std::ops::Range<u64>| -> Vec<usize> { ids.map(|id| placement.of(MediaId(id), &OPEN)).collect() };
        let fill = u64::from(FILL);
        assert!(open(0..fill).iter().all(|at| *at == 0));
        assert!(open(fill..2 * fill).iter().all(|at| *at == 1));
        assert!(open(2 * fill..3 * fill).iter().all(|at| *at == 2));
        assert_eq!(open(3 * fill..3 * fill + 6), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_session_that_takes_an_end_of_another_one_is_placed_beside_it() {
        let mut placement = Placement::new(2);
        let fill = u64::from(FILL);
        (0..=fill).for_each(|id| _ = placement.of(MediaId(id), &OPEN));
        for (beside, at) in [(fill, 1), (0, 0), (9_999, 1)] {
            let open = MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: Some(MediaId(beside)) };
            assert_eq!(placement.of(MediaId(1_000 + beside), &open), at, "beside {beside}");
        }
    }

    #[test]
    fn a_session_stays_where_it_is_until_it_is_closed() {
        let mut placement = Placement::new(2);
        let ids = |count: u32| (0..u64::from(count)).map(MediaId);
        ids(FILL + 1).for_each(|id| _ = placement.of(id, &OPEN));
        let last = MediaId(u64::from(FILL));
        assert_eq!((placement.of(last, &OPEN), placement.of(last, &MediaCommand::Close)), (1, 1));
        assert_eq!(placement.of(last, &MediaCommand::Close), 0, "it is gone");
        ids(FILL).for_each(|id| assert_eq!(placement.of(id, &MediaCommand::Close), 0));
        assert_eq!((placement.sessions, placement.of.len()), (vec![0, 0], 0));
    }
}
