//! Places for work at the same time, shared by several parties: a limit for each below the limit for all, so that one party
//! whose work does not end leaves room for the others, and what is left for those when several do not end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Places that are shared by parties, which are known by their names.
#[derive(Debug)]
pub struct Shares {
    each: usize,
    reserved: usize,
    all: Arc<Semaphore>,
    /// Parties that hold a place or wait for one.
    of: Mutex<HashMap<Arc<str>, Own>>,
}

/// The places of one party.
#[derive(Debug, Clone)]
struct Own {
    each: Arc<Semaphore>,
    /// Those of them that are no places of all.
    reserved: Arc<Semaphore>,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub struct Share {
    _own: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Shares {
    /// Makes `all` places, of which one party has at most `each`.
    pub fn new(each: usize, all: usize) -> Shares {
        Shares::reserving(0, each, all)
    }

    /// Makes `all` places, and `reserved` ones beside for each party, of which it has at most `each` in all: where parties whose work does
    /// not end have taken all places, the others have those that are reserved.
    pub fn reserving(reserved: usize, each: usize, all: usize) -> Shares {
        Shares { each, reserved, all: Arc::new(Semaphore::new(all)), of: Mutex::default() }
    }

    /// Takes a place, and waits while there is none. A party that has all of its own waits for these alone, and takes nothing
    /// from the others meanwhile.
    ///
    /// # Errors
    /// Never: these places are not closed.
    pub async fn take(&self, party: &Arc<str>) -> Result<Share, AcquireError> {
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
        Ok(Share { _own: each, _place: place })
    }

    /// Returns the places of one party, and forgets parties that have and want none.
    fn of(&self, party: &Arc<str>) -> Own {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = of.get(party) {
            return own.clone();
        }
        of.retain(|_, own| Arc::strong_count(&own.each) > 1);
        let own = Own {
            each: Arc::new(Semaphore::new(self.each)),
            reserved: Arc::new(Semaphore::new(self.reserved.min(self.each))),
        };
        of.insert(Arc::clone(party), own.clone());
        own
    }
}

/// Amounts of something bounded that are granted at once or not at all, and shared fairly by parties.
///
/// One party alone may have all of it. Where it is used up, a party below its share, `all` divided by the parties that hold some, is
/// granted up to one eighth beyond; and the first amount of a party, up to `first`, always.
#[derive(Debug, Clone)]
pub struct FairShares {
    all: usize,
    /// Most that one party may have.
    each: usize,
    /// Amount that a party has in any case.
    first: usize,
    held: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

/// An amount that was granted; given back when it is dropped.
#[derive(Debug)]
pub struct Granted {
    shares: FairShares,
    party: Arc<str>,
    amount: usize,
}

/// Part of the whole that is granted beyond it to parties below their share.
const BEYOND_ONE_IN: usize = 8;

impl FairShares {
    /// Shares `all`, of which one party has at most `each`, and up to `first` in any case.
    pub fn new(first: usize, each: usize, all: usize) -> FairShares {
        FairShares { all, each, first, held: Arc::default() }
    }

    /// Grants an amount to a party; `None`: there is not so much for it.
    pub fn take(&self, party: &Arc<str>, amount: usize) -> Option<Granted> {
        let mut granted = Granted { shares: self.clone(), party: Arc::clone(party), amount: 0 };
        granted.grow(amount).then_some(granted)
    }
}

impl Granted {
    /// Takes more, until the amount is this one; `false`: there is not so much.
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

impl Drop for Granted {
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
        let shares = Shares::new(2, 3);
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
        let shares = Shares::reserving(1, 3, 4);
        let take = |party: &str| shares.take(&party.into()).now_or_never().map(Result::unwrap);
        let hogs: Vec<Share> = ["a", "a", "a", "b", "b", "b"].into_iter().map(|party| take(party).unwrap()).collect();
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
        let shares = Arc::new(Shares::reserving(1, 3, 1));
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
        // What comes free is for those below their share.
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
        let hogs: Vec<Granted> = ["c", "d"].into_iter().filter_map(|party| shares.take(&party.into(), 5)).collect();
        assert_eq!(hogs.len(), 2);
        assert!(shares.take(&b, 2).is_some(), "small amounts are granted in any case");
        assert!(shares.take(&b, 6).is_none());
        drop(one);
        assert!(shares.take(&b, 5).is_some());
    }

    #[tokio::test]
    async fn one_that_waits_for_its_own_place_takes_none_of_others() {
        let shares = Arc::new(Shares::new(1, 2));
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
