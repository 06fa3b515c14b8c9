//! Limits for concurrent work of several parties. Each party has a limit below the common one, so that a party with
//! work that never ends leaves capacity for others; reserved slots remain free for a party even if several others' work
//! never ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Limited number of slots for the concurrent work of parties, identified by name.
#[derive(Debug)]
pub struct SlotShares {
    each: usize,
    reserved: usize,
    all: Arc<Semaphore>,
    /// Parties that occupy a slot or wait for one.
    of: Mutex<HashMap<Arc<str>, PartySlots>>,
}

/// Slots of one party: its limit and its reserved ones.
#[derive(Debug, Clone)]
struct PartySlots {
    each: Arc<Semaphore>,
    /// Slots that only this party may use, in addition to the common ones.
    reserved: Arc<Semaphore>,
}

/// Slot for one piece of work, released on drop.
#[derive(Debug)]
pub struct SlotPermit {
    _own: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl SlotShares {
    /// Creates `all` common slots, of which each party may occupy at most `each`.
    pub fn new(each: usize, all: usize) -> SlotShares {
        SlotShares::reserving(0, each, all)
    }

    /// Creates `all` common slots and `reserved` additional ones for each party; a party may occupy at most `each` in
    /// total. If parties with unending work occupy all common slots, the others still have their reserved ones.
    pub fn reserving(reserved: usize, each: usize, all: usize) -> SlotShares {
        SlotShares { each, reserved, all: Arc::new(Semaphore::new(all)), of: Mutex::default() }
    }

    /// Waits for a slot for a party. A party at its own limit waits until it releases a slot itself, and occupies no
    /// common slot meanwhile.
    ///
    /// # Errors
    /// Never fails, because the semaphores are not closed.
    pub async fn take(&self, party: &Arc<str>) -> Result<SlotPermit, AcquireError> {
        let own = self.of(party);
        let each = own.each.acquire_owned().await?;
        let place = match Arc::clone(&own.reserved).try_acquire_owned() {
            Ok(reserved) => reserved,
            Err(_) if self.reserved == 0 => Arc::clone(&self.all).acquire_owned().await?,
            Err(_) => tokio::select! {
                biased;
                place = Arc::clone(&self.all).acquire_owned() => place?,
                reserved = own.reserved.acquire_owned() => reserved?,
            },
        };
        Ok(SlotPermit { _own: each, _place: place })
    }

    /// Returns the slots of a party. For a new party, first removes those parties that neither occupy a slot nor wait
    /// for one.
    fn of(&self, party: &Arc<str>) -> PartySlots {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = of.get(party) {
            return own.clone();
        }
        of.retain(|_, own| Arc::strong_count(&own.each) > 1);
        let own = PartySlots {
            each: Arc::new(Semaphore::new(self.each)),
            reserved: Arc::new(Semaphore::new(self.reserved.min(self.each))),
        };
        of.insert(Arc::clone(party), own.clone());
        own
    }
}

/// Limited amount, of which parts are granted at once or not at all, shared fairly between parties.
///
/// A party gets at most `each`. When `all` is used up, a party below its share (`all` divided by the number of parties
/// with a grant) is still granted amounts, until the total exceeds `all` by one eighth. The first amount of a party, up
/// to `first`, is always granted.
#[derive(Debug, Clone)]
pub struct FairShares {
    all: usize,
    /// Maximum amount of one party.
    each: usize,
    /// Amount that every party is granted, regardless of the others.
    first: usize,
    held: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

/// Amount granted to a party, returned on drop.
#[derive(Debug)]
pub struct ShareGrant {
    shares: FairShares,
    party: Arc<str>,
    amount: usize,
}

/// Divisor of `all` for the excess that parties below their share may still be granted.
const BEYOND_ONE_IN: usize = 8;

impl FairShares {
    /// Creates a limited amount of `all`, with at most `each` for one party, of which `first` is granted in any case.
    pub fn new(first: usize, each: usize, all: usize) -> FairShares {
        FairShares { all, each, first, held: Arc::default() }
    }

    /// Grants an amount to a party; `None` if its limit or the remaining amount does not permit it.
    pub fn take(&self, party: &Arc<str>, amount: usize) -> Option<ShareGrant> {
        let mut granted = ShareGrant { shares: self.clone(), party: Arc::clone(party), amount: 0 };
        granted.grow(amount).then_some(granted)
    }
}

impl ShareGrant {
    /// Increases the granted amount to `amount`, if that is larger. Returns false, without a change, if the limits do
    /// not permit it.
    pub fn grow(&mut self, amount: usize) -> bool {
        let FairShares { all, each, first, .. } = self.shares;
        let more = amount.saturating_sub(self.amount);
        let mut held = self.shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.get(&self.party).copied().unwrap_or_default();
        let total = held.values().sum::<usize>().saturating_add(more);
        let parties = held.len() + usize::from(own == 0);
        let after = own.saturating_add(more);
        let is_free = total <= all && after <= each;
        let is_share = after <= (all / parties.max(1)).min(each) && total <= all.saturating_add(all / BEYOND_ONE_IN);
        if more > 0 && !is_free && !is_share && after > first {
            return false;
        }
        if more > 0 {
            held.insert(Arc::clone(&self.party), after);
            self.amount += more;
        }
        true
    }
}

impl Drop for ShareGrant {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        let left = held.get(&self.party).map_or(0, |own| own.saturating_sub(self.amount));
        if left == 0 {
            held.remove(&self.party);
        } else {
            held.insert(Arc::clone(&self.party), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_party_that_has_all_of_its_places_leaves_those_of_others() {
        let shares = SlotShares::new(2, 3);
        let take = |party: &str| shares.take(&party.into()).now_or_never().map(Result::unwrap);
        let a = [take("a").unwrap(), take("a").unwrap()];
        assert!(take("a").is_none(), "it has its two");
        let b = take("b").unwrap();
        assert!(take("b").is_none(), "there are three in all");
        drop(a);
        assert!(take("b").is_some());
        drop(b);
        assert_eq!(shares.of.lock().unwrap().len(), 2);
        drop(take("c"));
        assert_eq!(shares.of.lock().unwrap().len(), 1, "those that have none are forgotten");
    }

    #[test]
    fn parties_that_take_all_places_leave_those_that_are_reserved_for_others() {
        let shares = SlotShares::reserving(1, 3, 4);
        let take = |party: &str| shares.take(&party.into()).now_or_never().map(Result::unwrap);
        let hogs: Vec<SlotPermit> =
            ["a", "a", "a", "b", "b", "b"].into_iter().map(|party| take(party).unwrap()).collect();
        assert!(take("a").is_none(), "it has its three");
        let c = take("c").expect("one is reserved for it");
        assert!(take("c").is_none());
        drop(c);
        assert!(take("c").is_some(), "it is free again");
        drop(hogs);
        assert_eq!((take("d").is_some(), shares.all.available_permits()), (true, 4));
    }

    #[tokio::test]
    async fn one_that_waits_for_a_place_of_all_gets_its_reserved_one_when_that_is_free() {
        let shares = Arc::new(SlotShares::reserving(1, 3, 1));
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let first = shares.take(&a).await.unwrap();
        let _hog = [shares.take(&b).await.unwrap(), shares.take(&b).await.unwrap()];
        let waiting = {
            let (shares, a) = (Arc::clone(&shares), Arc::clone(&a));
            tokio::spawn(async move { shares.take(&a).await.map(drop) })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        waiting.await.unwrap().unwrap();
    }

    #[test]
    fn one_party_alone_has_all_and_others_get_their_share_all_the_same() {
        let shares = FairShares::new(1, 16, 16);
        let take = |party: &str| shares.take(&party.into(), 1);
        let fill = |party: &str| std::iter::from_fn(|| take(party)).collect::<Vec<_>>();
        let mut hog = fill("hog");
        assert_eq!(hog.len(), 16);
        let good = fill("good");
        assert_eq!(good.len(), 2, "one eighth beyond");
        let other = fill("other");
        assert_eq!(other.len(), 1, "the first of each is granted in any case");
        // Released amounts go to parties below their share.
        hog.truncate(8);
        assert_eq!(fill("hog").len(), 5, "all but what the others hold");
        drop(other);
        drop(good);
        drop(hog);
        assert!(shares.held.lock().unwrap().is_empty());
    }

    #[test]
    fn an_amount_grows_within_the_most_of_its_party() {
        let shares = FairShares::new(2, 6, 16);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut one = shares.take(&a, 1).unwrap();
        assert!(one.grow(6) && one.grow(3), "it does not shrink");
        assert!(!one.grow(7));
        assert!(shares.take(&a, 1).is_none());
        let hogs: Vec<ShareGrant> = ["c", "d"].into_iter().filter_map(|party| shares.take(&party.into(), 5)).collect();
        assert_eq!(hogs.len(), 2);
        assert!(shares.take(&b, 2).is_some(), "small amounts are granted in any case");
        assert!(shares.take(&b, 6).is_none());
        drop(one);
        assert!(shares.take(&b, 5).is_some());
    }

    #[tokio::test]
    async fn one_that_waits_for_its_own_place_takes_none_of_others() {
        let shares = Arc::new(SlotShares::new(1, 2));
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let first = shares.take(&a).await.unwrap();
        let waiting = {
            let (shares, a) = (Arc::clone(&shares), Arc::clone(&a));
            tokio::spawn(async move { shares.take(&a).await.map(drop) })
        };
        tokio::task::yield_now().await;
        drop(shares.take(&b).now_or_never().expect("b has its own place").unwrap());
        drop(first);
        waiting.await.unwrap().unwrap();
    }
}
