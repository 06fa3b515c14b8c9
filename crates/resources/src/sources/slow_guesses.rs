//! Detection of slow password guessing: wrong credentials over hours, by source and account, below the rate that bans
//! an address.
//!
//! An account is a trunk's `require_auth`. After too many failures an account is closed to that source only, so that
//! one phone with an outdated password does not lock out others behind the same address. Only failures at several
//! accounts ban the address.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::{CLOSED_ACCOUNTS, SLOW_ACCOUNTS, STRANGERS};

/// Threshold of failures at an account, and the time for which the account is then closed to the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowBan {
    /// Failures of one source at one account; 0: accounts are never closed.
    pub after: u32,
    /// Period in which failures are counted.
    pub within: Duration,
    /// Time for which the account stays closed.
    pub lasting: Duration,
}

impl Default for SlowBan {
    fn default() -> SlowBan {
        SlowBan { after: 100, within: Duration::from_secs(3_600), lasting: Duration::from_secs(6 * 3_600) }
    }
}

/// Consequence of a request with wrong credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BanScope {
    /// The failure is only counted.
    None,
    /// The account is closed to the source.
    Account,
    /// The source must be banned.
    Source,
}

/// Source and account; `None` for all accounts of the source.
type GuessKey = (IpAddr, Option<Arc<str>>);

/// Failures since the start of a period.
#[derive(Debug, Clone, Copy)]
struct GuessCount {
    since: Instant,
    failures: u32,
}

/// Failures of all sources, and closed accounts.
#[derive(Debug, Default)]
pub(crate) struct SlowGuesses {
    /// Counts of the most recent sources. A full map replaces `former`, and the older entries are forgotten.
    recent: HashMap<GuessKey, GuessCount>,
    former: HashMap<GuessKey, GuessCount>,
    closed: HashMap<(IpAddr, Arc<str>), Instant>,
    ends: BTreeSet<(Instant, IpAddr, Arc<str>)>,
}

impl SlowGuesses {
    /// Counts wrong credentials of a source at an account, and closes the account to the source if there are too many.
    /// Returns the consequence.
    pub(crate) fn failed(&mut self, now: Instant, source: IpAddr, account: &Arc<str>, limits: SlowBan) -> BanScope {
        if limits.after == 0 {
            return BanScope::None;
        }
        let of_source = self.count(now, (source, None), limits.within);
        let of_account = self.count(now, (source, Some(account.clone())), limits.within);
        if of_source >= limits.after.saturating_mul(SLOW_ACCOUNTS) {
            self.forget(&(source, None));
            return BanScope::Source;
        }
        if of_account < limits.after || !self.close(now, source, account, limits.lasting) {
            return BanScope::None;
        }
        self.forget(&(source, Some(account.clone())));
        BanScope::Account
    }

    /// Closes an account to a source for a time. Returns false if the clock cannot express its end.
    pub(crate) fn close(&mut self, now: Instant, source: IpAddr, account: &Arc<str>, lasting: Duration) -> bool {
        let Some(until) = now.checked_add(lasting) else { return false };
        if self.ends.len() >= CLOSED_ACCOUNTS
            && let Some((_, source, account)) = self.ends.pop_first()
        {
            self.closed.remove(&(source, account));
        }
        if let Some(before) = self.closed.insert((source, account.clone()), until) {
            self.ends.remove(&(before, source, account.clone()));
        }
        self.ends.insert((until, source, account.clone()));
        true
    }

    /// Iterates over the closed accounts: end, source and account.
    pub(crate) fn closed(&self) -> impl Iterator<Item = &(Instant, IpAddr, Arc<str>)> {
        self.ends.iter()
    }

    /// Returns whether an account is closed to a source.
    pub(crate) fn is_closed(&self, source: IpAddr, account: &Arc<str>) -> bool {
        !self.closed.is_empty() && self.closed.contains_key(&(source, account.clone()))
    }

    /// Returns the time at which the next account opens again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.ends.first().map(|(until, ..)| *until)
    }

    /// Opens the accounts that have been closed long enough.
    pub(crate) fn release(&mut self, now: Instant) {
        while self.ends.first().is_some_and(|(until, ..)| *until <= now) {
            if let Some((_, source, account)) = self.ends.pop_first() {
                self.closed.remove(&(source, account));
            }
        }
    }

    /// Counts a failure. Returns the number of failures in the period.
    fn count(&mut self, now: Instant, key: GuessKey, within: Duration) -> u32 {
        if !self.recent.contains_key(&key) {
            let known = self.former.remove(&key);
            if self.recent.len() >= STRANGERS {
                self.former = std::mem::take(&mut self.recent);
            }
            self.recent.insert(key.clone(), known.unwrap_or(GuessCount { since: now, failures: 0 }));
        }
        let Some(count) = self.recent.get_mut(&key) else { return 0 };
        if now.saturating_duration_since(count.since) > within {
            *count = GuessCount { since: now, failures: 0 };
        }
        count.failures += 1;
        count.failures
    }

    fn forget(&mut self, key: &GuessKey) {
        self.recent.remove(key);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    const LIMITS: SlowBan =
        SlowBan { after: 10, within: Duration::from_secs(600), lasting: Duration::from_secs(3_600) };

    fn ip(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn an_account_is_closed_to_the_source_that_guesses_slowly_and_opens_again() {
        let (start, mut guesses) = (Instant::now(), SlowGuesses::default());
        let (anna, ben): (Arc<str>, Arc<str>) = ("anna".into(), "ben".into());
        for n in 0..9 {
            assert_eq!(guesses.failed(start + second(50 * n), ip(1), &anna, LIMITS), BanScope::None);
        }
        let now = start + second(500);
        assert_eq!(guesses.failed(now, ip(1), &anna, LIMITS), BanScope::Account);
        assert!(guesses.is_closed(ip(1), &anna));
        assert!(!guesses.is_closed(ip(1), &ben), "another phone behind the same address");
        assert!(!guesses.is_closed(ip(2), &anna), "the same phone from elsewhere");
        let end = now + LIMITS.lasting;
        assert_eq!(guesses.next(), Some(end));
        guesses.release(end - second(1));
        assert!(guesses.is_closed(ip(1), &anna));
        guesses.release(end);
        assert_eq!((guesses.is_closed(ip(1), &anna), guesses.next()), (false, None));
    }

    #[test]
    fn a_phone_that_fails_seldom_is_never_closed() {
        let (start, mut guesses) = (Instant::now(), SlowGuesses::default());
        let anna: Arc<str> = "anna".into();
        for n in 0..200 {
            assert_eq!(guesses.failed(start + second(90 * n), ip(1), &anna, LIMITS), BanScope::None, "{n}");
        }
    }

    #[test]
    fn a_source_that_guesses_at_many_accounts_is_banned() {
        let (now, mut guesses) = (Instant::now(), SlowGuesses::default());
        let fail = |n: u32| guesses.failed(now, ip(1), &format!("phone{n}").into(), LIMITS);
        let consequences: Vec<BanScope> = (0..LIMITS.after * SLOW_ACCOUNTS).map(fail).collect();
        let (last, others) = consequences.split_last().unwrap();
        assert_eq!((*last, others.iter().all(|one| *one == BanScope::None)), (BanScope::Source, true));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_active_sources_are_not_forgotten() {
        let (now, mut guesses) = (Instant::now(), SlowGuesses::default());
        let anna: Arc<str> = "anna".into();
        for n in 0..u32::try_from(3 * STRANGERS).unwrap() {
            let _ = guesses.failed(now, ip(10 + n), &anna, LIMITS);
            if n % 4_000 == 0 {
                let is_last = n / 4_000 == LIMITS.after - 1;
                let expected = if is_last { BanScope::Account } else { BanScope::None };
                assert!(n / 4_000 >= LIMITS.after || guesses.failed(now, ip(1), &anna, LIMITS) == expected, "{n}");
            }
        }
        assert!(guesses.recent.len() + guesses.former.len() <= 2 * STRANGERS + 2);
        let at_once = SlowBan { after: 1, ..LIMITS };
        for n in 0..u32::try_from(CLOSED_ACCOUNTS).unwrap() + 5 {
            assert_eq!(guesses.failed(now + second(u64::from(n)), ip(1 << 24 | n), &anna, at_once), BanScope::Account);
        }
        assert_eq!((guesses.closed.len(), guesses.ends.len()), (CLOSED_ACCOUNTS, CLOSED_ACCOUNTS));
    }

    #[test]
    fn where_it_is_off_nothing_is_counted() {
        let (now, mut guesses) = (Instant::now(), SlowGuesses::default());
        let off = SlowBan { after: 0, ..LIMITS };
        assert!((0..999).all(|_| guesses.failed(now, ip(1), &"anna".into(), off) == BanScope::None));
        assert!(guesses.recent.is_empty());
    }
}
