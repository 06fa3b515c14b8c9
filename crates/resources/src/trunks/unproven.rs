//! Limits for early media to callers whose media address is unproven: each trunk has a number of slots.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::limits::UNPROVEN_EARLY_REST;
use crate::lookups::key::CallKey;

/// Slots for early media to unproven addresses of each trunk, and the calls that use them.
#[derive(Debug, Default)]
pub struct UnprovenEarly {
    by_trunk: BTreeMap<Arc<str>, EarlySlots>,
    calls: BTreeMap<CallKey, UnprovenCall>,
}

/// Slots of one trunk.
#[derive(Debug, Default)]
struct EarlySlots {
    /// Slots used by calls.
    taken: u32,
    /// Times at which slots of ended calls without proof are free again, the earliest first.
    resting: VecDeque<Instant>,
}

impl EarlySlots {
    fn used(&mut self, now: Instant) -> u32 {
        while self.resting.front().is_some_and(|free| *free <= now) {
            self.resting.pop_front();
        }
        self.taken.saturating_add(u32::try_from(self.resting.len()).unwrap_or(u32::MAX))
    }
}

/// A call with early media, or a request for early media, to an unproven address of its caller.
#[derive(Debug)]
struct UnprovenCall {
    trunk: Arc<str>,
    grant: EarlyGrant,
    /// Time of the grant.
    since: Instant,
}

/// Early media of a call to an unproven address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyGrant {
    /// The call is unknown: it has requested no early media, or its address is proven.
    Unasked,
    /// Early media is sent, for at most [`UNPROVEN_EARLY_MEDIA`](crate::limits::UNPROVEN_EARLY_MEDIA).
    Granted,
    /// The trunk's slots were all in use.
    Refused,
    /// The time is over; the call still uses its slot.
    Over,
}

impl UnprovenEarly {
    /// Returns the grant of a call.
    pub fn grant(&self, key: CallKey) -> EarlyGrant {
        self.calls.get(&key).map_or(EarlyGrant::Unasked, |call| call.grant)
    }

    /// Grants a call a slot of its trunk if one is free. Returns the number of used slots, and whether the call has
    /// one.
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

    /// Ends the early media of a call. The slot stays in use, because a freed slot would only slow a flood down.
    pub fn end(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.grant = EarlyGrant::Over;
        }
    }

    /// Frees the slot of a call after its caller's address is proven. Returns whether the call was known.
    pub fn free(&mut self, key: CallKey) -> bool {
        self.take_out(key, |_, _| {})
    }

    /// Removes an ended call. Without proof its slot stays used until [`UNPROVEN_EARLY_REST`] after the grant:
    /// otherwise calls that are cancelled at once could send as much as an endless one.
    pub fn release(&mut self, now: Instant, key: CallKey) {
        self.take_out(key, |places, since| {
            if let Some(free) = since.checked_add(UNPROVEN_EARLY_REST).filter(|free| *free > now) {
                let at = places.resting.partition_point(|other| *other <= free);
                places.resting.insert(at, free);
            }
        });
    }

    /// Removes a call and its slot; `leave` gets the trunk's slots and the time of the grant.
    fn take_out(&mut self, key: CallKey, leave: impl FnOnce(&mut EarlySlots, Instant)) -> bool {
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

    /// Returns the calls that have requested early media, with or without a slot.
    pub fn calls(&self) -> impl Iterator<Item = CallKey> {
        self.calls.keys().copied()
    }
}
