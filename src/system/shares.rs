//! Places for work at the same time, shared by several parties: a limit for each below the limit for all, so that one party
//! whose work does not end leaves room for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Places that are shared by parties, which are known by their names.
#[derive(Debug)]
pub(crate) struct Shares {
    each: usize,
    all: Arc<Semaphore>,
    /// Parties that hold a place or wait for one.
    of: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Shares {
    /// Makes `all` places, of which one party has at most `each`.
    pub(crate) fn new(each: usize, all: usize) -> Shares {
        Shares { each, all: Arc::new(Semaphore::new(all)), of: Mutex::default() }
    }

    /// Takes a place, and waits while there is none. A party that has all of its own waits for these alone, and takes nothing
    /// from the others meanwhile.
    ///
    /// # Errors
    /// Never: these places are not closed.
    pub(crate) async fn take(&self, party: &Arc<str>) -> Result<Share, AcquireError> {
        let own = self.of(party).acquire_owned().await?;
        let all = Arc::clone(&self.all).acquire_owned().await?;
        Ok(Share { _own: own, _all: all })
    }

    /// Returns the places of one party, and forgets parties that have and want none.
    fn of(&self, party: &Arc<str>) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = of.get(party) {
            return Arc::clone(own);
        }
        of.retain(|_, own| Arc::strong_count(own) > 1);
        let own = Arc::new(Semaphore::new(self.each));
        of.insert(Arc::clone(party), Arc::clone(&own));
        own
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
