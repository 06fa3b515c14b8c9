//! Early media to callers whose media address is not proven: the places that each trunk has for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::limits::UNPROVEN_EARLY_REST;
use crate::lookups::key::CallKey;

/// Early media to callers at addresses that are not proven: a few places of each trunk, and the calls that have them.
#[derive(Debug, Default)]
pub struct UnprovenEarly {
    by_trunk: BTreeMap<Arc<str>, Places>,
    calls: BTreeMap<CallKey, UnprovenCall>,
}

/// Places of one trunk.
#[derive(Debug, Default)]
struct Places {
    /// Places that calls have.
    taken: u32,
    /// When the places of calls that ended without proof are free again, the soonest first.
    resting: VecDeque<Instant>,
}

impl Places {
    fn used(&mut self, now: Instant) -> u32 {
        while self.resting.front().is_some_and(|free| *free <= now) {
            self.resting.pop_front();
        }
        self.taken.saturating_add(u32::try_from(self.resting.len()).unwrap_or(u32::MAX))
    }
}

/// A call to an address that is not proven.
#[derive(Debug)]
struct UnprovenCall {
    trunk: Arc<str>,
    grant: EarlyGrant,
    /// When its place was given to it.
    since: Instant,
}

/// What one of them hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyGrant {
    /// There was no early media yet.
    Unasked,
    /// It is heard, for [`UNPROVEN_EARLY_MEDIA`](crate::limits::UNPROVEN_EARLY_MEDIA) at most.
    Granted,
    /// Its trunk had as many such calls as it may have.
    Refused,
    /// It was heard for that long; the call still counts.
    Over,
}

impl UnprovenEarly {
    /// Returns what a call may hear.
    pub fn grant(&self, key: CallKey) -> EarlyGrant {
        self.calls.get(&key).map_or(EarlyGrant::Unasked, |call| call.grant)
    }

    /// Gives a call a place of its trunk, unless all are used; how many are used then, and whether the call has one of them.
    pub fn admit(&mut self, now: Instant, trunk: &Arc<str>, most: u32, key: CallKey) -> (u32, bool) {
        self.free(key);
        let places = self.by_trunk.entry(Arc::clone(trunk)).or_default();
        let used = places.used(now);
        let is_one = used < most;
        places.taken += u32::from(is_one);
        let grant = if is_one { EarlyGrant::Granted } else { EarlyGrant::Refused };
        self.calls.insert(key, UnprovenCall { trunk: Arc::clone(trunk), grant, since: now });
        self.tidy(trunk);
        (used + u32::from(is_one), is_one)
    }

    /// A call has heard enough; it keeps its place, or its trunk would be flooded only more slowly.
    pub fn end(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.grant = EarlyGrant::Over;
        }
    }

    /// Takes a call out whose caller's address is proven: its place is free. Whether it was known.
    pub fn free(&mut self, key: CallKey) -> bool {
        self.take_out(key, |_, _| {})
    }

    /// Takes a call out that is over. Without proof its place stays used until [`UNPROVEN_EARLY_REST`] after it was given:
    /// calls that are cancelled at once would otherwise send as much as one that never ends.
    pub fn release(&mut self, now: Instant, key: CallKey) {
        self.take_out(key, |places, since| {
            if let Some(free) = since.checked_add(UNPROVEN_EARLY_REST).filter(|free| *free > now) {
                let at = places.resting.partition_point(|other| *other <= free);
                places.resting.insert(at, free);
            }
        });
    }

    /// Takes a call out, and its place from it; `leave` gets the trunk's places, and since when the call had its own.
    fn take_out(&mut self, key: CallKey, leave: impl FnOnce(&mut Places, Instant)) -> bool {
        let Some(call) = self.calls.remove(&key) else { return false };
        if let Some(places) = self.by_trunk.get_mut(&call.trunk).filter(|_| call.grant != EarlyGrant::Refused) {
            places.taken -= 1;
            leave(places, call.since);
        }
        self.tidy(&call.trunk);
        true
    }

    fn tidy(&mut self, trunk: &Arc<str>) {
        if self.by_trunk.get(trunk).is_some_and(|places| places.taken == 0 && places.resting.is_empty()) {
            self.by_trunk.remove(trunk);
        }
    }

    /// Returns the calls that are known.
    pub fn calls(&self) -> impl Iterator<Item = CallKey> {
        self.calls.keys().copied()
    }
}
