//! Unknown sources, from which phones may register: rate limits for their messages, and bans. No state is kept of a
//! source whose messages are dropped unread.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_route::{TokenBucket, household};

use crate::limits::{BAN_FAILURES_NOTED, STRANGER_CREDIT_BYTES, STRANGERS};
use crate::sources::slow_guesses::SlowGuesses;
pub use crate::sources::slow_guesses::{BanScope, SlowBan};

/// Limits for unknown sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownSourceLimits {
    /// Maximum messages per second of one source; 0: unlimited.
    pub messages_per_second: u32,
    /// Rules for bans.
    pub ban: BanRule,
}

/// Number of failures within a period that bans a source, and the length of the ban.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BanRule {
    /// Failed authentications and malformed messages; 0: no bans.
    pub after: u32,
    /// Period in which failures count.
    pub within: Duration,
    /// Length of the ban.
    pub lasting: Duration,
    /// Rules for wrong credentials of one account over hours.
    pub slow: SlowBan,
}

impl Default for UnknownSourceLimits {
    fn default() -> UnknownSourceLimits {
        let (within, lasting) = (Duration::from_secs(10), Duration::from_secs(600));
        let ban = BanRule { after: 20, within, lasting, slow: SlowBan::default() };
        UnknownSourceLimits { messages_per_second: 200, ban }
    }
}

/// Bans and closed accounts in plain data, for another process: remaining times by source.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptBans {
    sources: Vec<(IpAddr, Duration)>,
    accounts: Vec<(IpAddr, String, Duration)>,
}

/// State of a source with failures.
#[derive(Debug, Default)]
struct Offender {
    failures: VecDeque<Instant>,
    banned_until: Option<Instant>,
}

/// State of a source that has sent messages.
#[derive(Debug)]
struct SourceBudget {
    bucket: TokenBucket,
    /// Bytes received in datagrams less bytes sent in response: negative if the source received more than it sent.
    balance: i64,
}

/// All known sources. Message rates of older sources are forgotten in favour of newer ones, since datagrams can be
/// forged from thousands of addresses. Failures are kept, because a failure proves that the source is real.
#[derive(Debug, Default)]
pub struct UnknownSources {
    limits: UnknownSourceLimits,
    /// Budgets of the most recent sources.
    recent: HashMap<IpAddr, SourceBudget>,
    /// Budgets of earlier sources, forgotten once `recent` is full.
    former: HashMap<IpAddr, SourceBudget>,
    offenders: HashMap<IpAddr, Offender>,
    bans: BTreeSet<(Instant, IpAddr)>,
    slow: SlowGuesses,
}

impl UnknownSources {
    /// Returns the limits in force.
    pub fn limits(&self) -> UnknownSourceLimits {
        self.limits
    }

    /// Applies limits. Existing bans remain.
    pub fn configure(&mut self, limits: UnknownSourceLimits) {
        self.limits = limits;
        let speakers = self.recent.values_mut().chain(self.former.values_mut());
        speakers.for_each(|speaker| speaker.bucket.set_rate(limits.messages_per_second));
    }

    /// Counts a message of a source that belongs to no trunk, and checks whether it is processed. `datagram` is the
    /// length of a datagram in octets: it limits the octets sent back, because the source address may be forged.
    ///
    /// # Errors
    /// The name of the reason in metrics: `banned`, or `unknown_limit` if the source sends too much.
    pub fn check_message(&mut self, now: Instant, source: IpAddr, datagram: usize) -> Result<(), &'static str> {
        if self.is_banned(source) {
            return Err("banned");
        }
        let source = household(source);
        if !self.recent.contains_key(&source) {
            let known = self.former.remove(&source);
            if self.recent.len() >= STRANGERS / 2 {
                self.former = std::mem::take(&mut self.recent);
            }
            let new = || SourceBudget { bucket: TokenBucket::new(self.limits.messages_per_second), balance: 0 };
            self.recent.insert(source, known.unwrap_or_else(new));
        }
        let speaker = self.recent.get_mut(&source).ok_or("unknown_limit")?;
        let longer = speaker.balance.saturating_add(i64::try_from(datagram).unwrap_or(i64::MAX));
        speaker.balance = longer.min(STRANGER_CREDIT_BYTES);
        let is_heard = speaker.balance > -STRANGER_CREDIT_BYTES && speaker.bucket.take_token(now);
        if is_heard { Ok(()) } else { Err("unknown_limit") }
    }

    /// Notes the length of a datagram sent to a source.
    pub fn answered(&mut self, source: IpAddr, bytes: usize) {
        let source = household(source);
        let speaker = self.recent.get_mut(&source).or_else(|| self.former.get_mut(&source));
        if let Some(speaker) = speaker {
            speaker.balance = speaker.balance.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// Returns whether a source has sent messages recently.
    pub fn knows(&self, source: IpAddr) -> bool {
        let source = household(source);
        self.recent.contains_key(&source) || self.former.contains_key(&source)
    }

    /// Returns whether a source is banned.
    pub fn is_banned(&self, source: IpAddr) -> bool {
        self.banned_until(source).is_some()
    }

    /// Returns the time at which the ban of a source ends; `None` if the source is not banned.
    pub fn banned_until(&self, source: IpAddr) -> Option<Instant> {
        self.offenders.get(&household(source)).and_then(|offender| offender.banned_until)
    }

    /// Notes a failed authentication or a malformed message. Returns whether this bans the source.
    pub fn failed(&mut self, now: Instant, source: IpAddr) -> bool {
        let BanRule { after, within, lasting, .. } = self.limits.ban;
        let is_old = |at: &Instant| now.saturating_duration_since(*at) > within;
        let source = household(source);
        if self.offenders.len() >= STRANGERS && !self.offenders.contains_key(&source) {
            self.offenders
                .retain(|_, one| one.banned_until.is_some() || one.failures.back().is_some_and(|at| !is_old(at)));
            if self.offenders.len() >= STRANGERS {
                return false;
            }
        }
        let offender = self.offenders.entry(source).or_default();
        if offender.banned_until.is_some() {
            return false;
        }
        while offender.failures.front().is_some_and(is_old) {
            offender.failures.pop_front();
        }
        offender.failures.push_back(now);
        let limit = usize::try_from(after).unwrap_or(usize::MAX).min(BAN_FAILURES_NOTED);
        if after == 0 || offender.failures.len() < limit {
            offender.failures.truncate(BAN_FAILURES_NOTED);
            return false;
        }
        self.ban(now, source, lasting)
    }

    /// Notes wrong credentials for an account (a trunk), which may close the account to the source or ban the source.
    /// Returns which of these it did.
    pub fn guessed(&mut self, now: Instant, source: IpAddr, account: &Arc<str>) -> BanScope {
        if self.failed(now, source) {
            return BanScope::Source;
        }
        let (source, limits) = (household(source), self.limits.ban.slow);
        match self.slow.failed(now, source, account, limits) {
            BanScope::Source if !self.ban(now, source, limits.lasting) => BanScope::None,
            consequence @ (BanScope::None | BanScope::Account | BanScope::Source) => consequence,
        }
    }

    /// Returns whether an account is closed to a source.
    pub fn is_closed(&self, source: IpAddr, account: &Arc<str>) -> bool {
        self.slow.is_closed(household(source), account)
    }

    /// Bans a source. Returns whether the ban is new.
    fn ban(&mut self, now: Instant, source: IpAddr, lasting: Duration) -> bool {
        let Some(until) = now.checked_add(lasting).filter(|_| self.bans.len() < 2 * STRANGERS) else { return false };
        let offender = self.offenders.entry(source).or_default();
        if offender.banned_until.is_some() {
            return false;
        }
        offender.failures.clear();
        offender.banned_until = Some(until);
        self.bans.insert((until, source));
        true
    }

    /// Returns the bans and the closed accounts in plain data.
    pub fn kept(&self, now: Instant) -> KeptBans {
        let left = |until: &Instant| until.saturating_duration_since(now);
        KeptBans {
            sources: self.bans.iter().map(|(until, source)| (*source, left(until))).collect(),
            accounts: self
                .slow
                .closed()
                .map(|(until, source, name)| (*source, name.to_string(), left(until)))
                .collect(),
        }
    }

    /// Restores bans and closed accounts of the previous process.
    pub fn restore(&mut self, now: Instant, kept: KeptBans) {
        for (source, left) in kept.sources {
            self.ban(now, source, left);
        }
        for (source, account, left) in kept.accounts {
            self.slow.close(now, source, &account.into(), left);
        }
    }

    /// Returns the number of banned sources.
    pub fn banned(&self) -> usize {
        self.bans.len()
    }

    /// Returns up to `most` banned sources in order of the end of their ban.
    pub fn first_banned(&self, most: usize) -> impl Iterator<Item = (Instant, IpAddr)> {
        self.bans.iter().take(most).copied()
    }

    /// Returns the time at which the next ban ends or the next account opens again.
    pub fn next(&self) -> Option<Instant> {
        let ban = self.bans.first().map(|(until, _)| *until);
        ban.into_iter().chain(self.slow.next()).min()
    }

    /// Ends expired bans, and opens accounts that were closed long enough.
    pub fn release(&mut self, now: Instant) {
        self.slow.release(now);
        while let Some((until, source)) = self.bans.first().copied().filter(|(until, _)| *until <= now) {
            self.bans.remove(&(until, source));
            self.offenders.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)] // any instant will do
    fn start() -> Instant {
        Instant::now()
    }

    fn ip(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    #[test]
    fn twenty_failures_within_ten_seconds_are_a_ban_of_ten_minutes() {
        let (now, mut strangers) = (start(), UnknownSources::default());
        for second in 0..40 {
            assert!(!strangers.failed(now + Duration::from_secs(second), ip(1)), "one a second is not an attack");
        }
        let now = now + Duration::from_secs(100);
        let failures: Vec<bool> = (0..21).map(|_| strangers.failed(now, ip(1))).collect();
        assert_eq!(failures.iter().position(|banned| *banned), Some(19));
        assert_eq!(failures.iter().filter(|banned| **banned).count(), 1);
        assert_eq!((strangers.check_message(now, ip(1), 0), strangers.banned()), (Err("banned"), 1));
        assert_eq!(strangers.first_banned(2).collect::<Vec<_>>(), [(now + Duration::from_secs(600), ip(1))]);
        assert_eq!(strangers.check_message(now, ip(2), 0), Ok(()));
        let end = strangers.next().unwrap();
        assert_eq!(end, now + Duration::from_secs(600));
        strangers.release(end - Duration::from_millis(1));
        assert!(strangers.is_banned(ip(1)));
        strangers.release(end);
        assert_eq!((strangers.check_message(end, ip(1), 0), strangers.banned()), (Ok(()), 0));
    }

    #[test]
    fn another_process_keeps_bans_and_closed_accounts_until_their_end() {
        let (now, mut strangers) = (start(), UnknownSources::default());
        let anna: Arc<str> = "anna".into();
        assert!((0..20).any(|_| strangers.failed(now, ip(1))));
        for n in 0..100 {
            strangers.guessed(now + Duration::from_secs(10 * n), ip(2), &anna);
        }
        let now = now + Duration::from_secs(991);
        strangers.release(now);
        assert!((0..20).any(|_| strangers.failed(now, ip(3))));
        let mut successor = UnknownSources::default();
        let later = now + Duration::from_secs(5);
        successor.restore(later, strangers.kept(now));
        let sources = [1, 2, 3].map(|n| successor.is_banned(ip(n)));
        assert_eq!((sources, successor.banned()), ([false, false, true], 1));
        assert!(successor.is_closed(ip(2), &anna) && !successor.is_closed(ip(3), &anna));
        successor.release(later + Duration::from_secs(600));
        assert!(!successor.is_banned(ip(3)) && successor.is_closed(ip(2), &anna));
        assert_eq!(successor.next(), Some(later + Duration::from_secs(6 * 3_600 - 1)));
    }

    #[test]
    fn one_address_is_looked_at_so_often_and_all_together_are_bounded() {
        let (now, mut strangers) = (start(), UnknownSources::default());
        let looked = (0..500).filter(|_| strangers.check_message(now, ip(1), 0).is_ok()).count();
        assert_eq!(looked, 200);
        // Datagrams can be forged from thousands of addresses: they must not lock out other sources.
        for n in 2..u32::try_from(3 * STRANGERS).unwrap() {
            assert_eq!(strangers.check_message(now, ip(n), 0), Ok(()));
            assert!(strangers.recent.len() + strangers.former.len() <= STRANGERS);
            // A source that keeps sending is not forgotten.
            assert_eq!(strangers.check_message(now, ip(1), 0), Err("unknown_limit"));
        }
        let six = |text: &str| text.parse().unwrap();
        strangers.configure(UnknownSourceLimits { messages_per_second: 1, ..UnknownSourceLimits::default() });
        let later = now + Duration::from_secs(40);
        assert!(strangers.check_message(later, six("2001:db8::1"), 0).is_ok());
        assert!(strangers.check_message(later, six("2001:db8::2"), 0).is_err(), "one network of IPv6 is one");
    }

    #[test]
    fn who_has_got_more_than_it_sent_waits_until_it_has_sent_more() {
        let (now, mut strangers) = (start(), UnknownSources::default());
        assert!(!strangers.knows(ip(1)));
        strangers.answered(ip(1), 1_000_000);
        assert_eq!(strangers.check_message(now, ip(1), 400), Ok(()), "nothing was kept of it before");
        strangers.answered(ip(1), 2_500);
        assert_eq!(strangers.check_message(now, ip(1), 50), Err("unknown_limit"));
        assert_eq!(strangers.check_message(now, ip(1), 10), Ok(()), "it owes less than the limit again");
        assert_eq!(strangers.check_message(now, ip(1), 1_000_000), Ok(()));
        strangers.answered(ip(1), 2 * 2_048);
        assert_eq!(strangers.check_message(now, ip(1), 0), Err("unknown_limit"), "credit has an end");
        assert_eq!(strangers.check_message(now, ip(2), 0), Ok(()), "each by itself");
    }

    #[test]
    fn a_ban_that_is_off_bans_nobody() {
        let (now, mut strangers) = (start(), UnknownSources::default());
        let ban = BanRule { after: 0, ..UnknownSourceLimits::default().ban };
        strangers.configure(UnknownSourceLimits { ban, ..UnknownSourceLimits::default() });
        assert!((0..1_000).all(|_| !strangers.failed(now, ip(1))));
        assert!(strangers.offenders[&ip(1)].failures.len() <= BAN_FAILURES_NOTED);
    }

    #[test]
    fn four_digits_are_not_tried_out_below_the_rate_of_the_ban() {
        let (now, mut strangers) = (start(), UnknownSources::default());
        let anna: Arc<str> = "anna".into();
        let mut tried = 0;
        // 111 attempts a minute, for a day.
        for n in 0..111 * 60 * 24 {
            let now = now + Duration::from_millis(n * 60_000 / 111);
            strangers.release(now);
            if !strangers.is_banned(ip(1)) && !strangers.is_closed(ip(1), &anna) {
                tried += 1;
                strangers.guessed(now, ip(1), &anna);
            }
        }
        assert_eq!(tried, 400, "a hundred in six hours");
    }

    #[test]
    fn a_source_that_tries_one_password_at_many_accounts_is_banned_for_hours() {
        let (now, mut strangers) = (start(), UnknownSources::default());
        let mut punished = BanScope::None;
        for n in 0..400 {
            let at = now + Duration::from_secs(n);
            punished = strangers.guessed(at, ip(1), &format!("phone{n}").into());
            assert_eq!(punished == BanScope::Source, n == 399, "{n}");
        }
        assert_eq!(punished, BanScope::Source);
        assert!(strangers.is_banned(ip(1)));
        assert_eq!(strangers.next(), Some(now + Duration::from_secs(399 + 6 * 3_600)));
    }

    #[test]
    fn what_others_send_makes_no_failure_forgotten() {
        let (now, mut strangers) = (start(), UnknownSources::default());
        (0..19).for_each(|_| assert!(!strangers.failed(now, ip(1))));
        for n in 2..u32::try_from(3 * STRANGERS).unwrap() {
            let _ = strangers.check_message(now, ip(n), 0);
        }
        for n in 2..u32::try_from(STRANGERS).unwrap() + 9 {
            assert!(!strangers.failed(now, ip(n)));
        }
        assert_eq!(strangers.offenders.len(), STRANGERS);
        assert!(strangers.failed(now, ip(1)));
        let later = now + Duration::from_secs(11);
        assert!((0..20).any(|_| strangers.failed(later, ip(9_999_999))), "those whose failures are old make room");
    }
}
