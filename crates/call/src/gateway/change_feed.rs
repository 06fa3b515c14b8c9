//! Schedule for writing calls to the journal, from which they are restored after a crash: a call is written soon after
//! its answer, and a later change together with those that follow it within an interval. A call that has ended is
//! removed at once.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use trunkgate_resources::lookups::key::CallKey;

use crate::call::words::crash_gap::WRITE_INTERVAL;
use crate::gateway::Gateway;

/// Interval of writes: the state of a new call is behind by at most this time.
const INTERVAL: Duration = Duration::from_millis(20);
/// Maximum number of calls that are written at once, about 2 ms of work, because signalling waits meanwhile.
const SLICE: usize = 64;
/// Pause between two slices of due calls.
const SLICE_PAUSE: Duration = Duration::from_millis(2);

/// Changed calls of a gateway, with the times at which they are written.
#[derive(Debug)]
pub struct ChangeFeed {
    /// Written calls, with the earliest times of their next writes.
    written: HashMap<CallKey, Instant>,
    /// Calls that have changed since they were written.
    waiting: BTreeSet<CallKey>,
    /// Time at which a call of `waiting` is next written; `None` if none waits.
    due: Option<Instant>,
    /// Earliest time of the next write of any call.
    next: Instant,
    /// Whether calls were left for the next slice.
    has_more: bool,
}

impl ChangeFeed {
    /// Follows a gateway from now on; its calls are written first.
    pub fn new(now: Instant, gateway: &mut Gateway) -> ChangeFeed {
        gateway.track_changes();
        ChangeFeed { written: HashMap::new(), waiting: BTreeSet::new(), due: None, next: now, has_more: false }
    }

    /// Schedules the calls that have changed in the gateway. Returns the written calls that have ended, which must be
    /// removed from the journal at once.
    pub fn take_ended(&mut self, gateway: &mut Gateway) -> Vec<CallKey> {
        let mut ended = Vec::new();
        for key in gateway.take_changes() {
            if gateway.is_live(key) {
                self.wait(key);
                continue;
            }
            self.waiting.remove(&key);
            if self.written.remove(&key).is_some() {
                ended.push(key);
            }
        }
        ended
    }

    /// Returns the time of the next write, if a call waits for one.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Removes from the schedule and returns the calls that are to be written now, those that were never written first,
    /// and at most a slice of them. [`Self::note_written`] must follow for each that was written.
    pub fn take_due(&mut self, now: Instant) -> Vec<CallKey> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let (mut due, later): (Vec<CallKey>, Vec<CallKey>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|key| self.written.get(key).is_none_or(|next| *next <= now));
        let mut rest = Vec::new();
        if due.len() > SLICE {
            due.sort_by_key(|key| self.written.contains_key(key));
            rest = due.split_off(SLICE);
        }
        self.has_more = !rest.is_empty();
        (self.due, self.next) = (None, now + if self.has_more { SLICE_PAUSE } else { INTERVAL });
        rest.into_iter().chain(later).for_each(|key| self.wait(key));
        due
    }

    /// Returns whether calls that were due at the last write have been left for the next one.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// Records that a call was written.
    pub fn note_written(&mut self, now: Instant, key: CallKey) {
        self.written.insert(key, now + WRITE_INTERVAL);
    }

    /// Schedules all live calls, because the journal has lost writes. Returns them; the journal must drop all others.
    pub fn begin_again(&mut self, now: Instant, gateway: &Gateway) -> Vec<CallKey> {
        let live: Vec<CallKey> = gateway.call_keys().into_iter().filter(|key| gateway.is_live(*key)).collect();
        self.written = live.iter().map(|key| (*key, now)).collect();
        live.iter().for_each(|key| self.wait(*key));
        self.has_more = !live.is_empty();
        live
    }

    /// Returns whether a change of a call is still to be written.
    pub fn is_waiting(&self, key: CallKey) -> bool {
        self.waiting.contains(&key)
    }

    fn wait(&mut self, key: CallKey) {
        if self.waiting.insert(key) {
            let at = self.written.get(&key).copied().unwrap_or(self.next).max(self.next);
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }
}
