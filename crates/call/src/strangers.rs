//! Addresses of no trunk, where phones may register: how many of their messages are looked at, and which of them are banned.
//! Nothing is kept of an address that is not looked at.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use trunkgate_route::{TokenBucket, household};

use crate::limits::{BAN_FAILURES_NOTED, STRANGERS};

/// What addresses of no trunk may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrangerLimits {
    /// Messages of one address that are looked at in a second; 0: no limit.
    pub messages_per_second: u32,
    /// When an address is banned.
    pub ban: Ban,
}

/// After how many failures, within which time, for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ban {
    /// Failed digests and malformed messages; 0: nobody is banned.
    pub after: u32,
    /// Older ones do not count.
    pub within: Duration,
    /// How long nothing of it is looked at.
    pub lasting: Duration,
}

impl Default for StrangerLimits {
    fn default() -> StrangerLimits {
        let ban = Ban { after: 20, within: Duration::from_secs(10), lasting: Duration::from_secs(600) };
        StrangerLimits { messages_per_second: 200, ban }
    }
}

/// One address.
#[derive(Debug)]
struct Stranger {
    bucket: TokenBucket,
    last: Instant,
    failures: VecDeque<Instant>,
    banned_until: Option<Instant>,
}

/// All that are known of.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    limits: StrangerLimits,
    by_source: HashMap<IpAddr, Stranger>,
    bans: BTreeSet<(Instant, IpAddr)>,
}

impl Strangers {
    /// Takes limits over. Bans that stand go on.
    pub(crate) fn configure(&mut self, limits: StrangerLimits) {
        self.limits = limits;
        self.by_source.values_mut().for_each(|stranger| stranger.bucket.set_rate(limits.messages_per_second));
    }

    /// Whether a message of an address is looked at, or why not.
    pub(crate) fn may_speak(&mut self, now: Instant, source: IpAddr) -> Result<(), &'static str> {
        let stranger = self.stranger(now, source).ok_or("unknown_limit")?;
        if stranger.banned_until.is_some() {
            return Err("banned");
        }
        stranger.last = now;
        if stranger.bucket.take(now) { Ok(()) } else { Err("unknown_limit") }
    }

    /// Whether an address is banned.
    pub(crate) fn is_banned(&self, source: IpAddr) -> bool {
        self.by_source.get(&household(source)).is_some_and(|stranger| stranger.banned_until.is_some())
    }

    /// Notes a failed digest or a malformed message. Whether the address is banned for it now.
    pub(crate) fn failed(&mut self, now: Instant, source: IpAddr) -> bool {
        let Ban { after, within, lasting } = self.limits.ban;
        let Some(stranger) = self.stranger(now, source).filter(|stranger| stranger.banned_until.is_none()) else {
            return false;
        };
        while stranger.failures.front().is_some_and(|at| now.saturating_duration_since(*at) > within) {
            stranger.failures.pop_front();
        }
        stranger.failures.push_back(now);
        let limit = usize::try_from(after).unwrap_or(usize::MAX).min(BAN_FAILURES_NOTED);
        if after == 0 || stranger.failures.len() < limit {
            stranger.failures.truncate(BAN_FAILURES_NOTED);
            return false;
        }
        let Some(until) = now.checked_add(lasting) else { return false };
        stranger.failures.clear();
        stranger.banned_until = Some(until);
        self.bans.insert((until, household(source)));
        true
    }

    /// Addresses that are banned.
    pub(crate) fn banned(&self) -> usize {
        self.bans.len()
    }

    /// When the next ban ends.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.bans.first().map(|(until, _)| *until)
    }

    /// Lets those go whose ban is over.
    pub(crate) fn release(&mut self, now: Instant) {
        while let Some((until, source)) = self.bans.first().copied().filter(|(until, _)| *until <= now) {
            self.bans.remove(&(until, source));
            self.by_source.remove(&source);
        }
    }

    /// An address; `None` where there is no room for one more.
    fn stranger(&mut self, now: Instant, source: IpAddr) -> Option<&mut Stranger> {
        let source = household(source);
        if self.by_source.len() >= STRANGERS && !self.by_source.contains_key(&source) {
            let kept = self.limits.ban.within.max(Duration::from_secs(1));
            let idle = |one: &Stranger| now.saturating_duration_since(one.last) > kept;
            self.by_source.retain(|_, one| one.banned_until.is_some() || !idle(one));
            if self.by_source.len() >= STRANGERS {
                return None;
            }
        }
        let rate = self.limits.messages_per_second;
        let new =
            || Stranger { bucket: TokenBucket::new(rate), last: now, failures: VecDeque::new(), banned_until: None };
        Some(self.by_source.entry(source).or_insert_with(new))
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
        let (now, mut strangers) = (start(), Strangers::default());
        for second in 0..40 {
            assert!(!strangers.failed(now + Duration::from_secs(second), ip(1)), "one a second is no attack");
        }
        let now = now + Duration::from_secs(100);
        let failures: Vec<bool> = (0..21).map(|_| strangers.failed(now, ip(1))).collect();
        assert_eq!(failures.iter().position(|banned| *banned), Some(19));
        assert_eq!(failures.iter().filter(|banned| **banned).count(), 1);
        assert_eq!((strangers.may_speak(now, ip(1)), strangers.banned()), (Err("banned"), 1));
        assert_eq!(strangers.may_speak(now, ip(2)), Ok(()));
        let end = strangers.next().unwrap();
        assert_eq!(end, now + Duration::from_secs(600));
        strangers.release(end - Duration::from_millis(1));
        assert!(strangers.is_banned(ip(1)));
        strangers.release(end);
        assert_eq!((strangers.may_speak(end, ip(1)), strangers.banned()), (Ok(()), 0));
    }

    #[test]
    fn one_address_is_looked_at_so_often_and_all_together_are_bounded() {
        let (now, mut strangers) = (start(), Strangers::default());
        let looked = (0..500).filter(|_| strangers.may_speak(now, ip(1)).is_ok()).count();
        assert_eq!(looked, 200);
        for n in 0..u32::try_from(2 * STRANGERS).unwrap() {
            let _ = strangers.may_speak(now, ip(n));
            assert!(strangers.by_source.len() <= STRANGERS);
        }
        assert_eq!(strangers.may_speak(now, ip(9_999_999)), Err("unknown_limit"));
        assert_eq!(strangers.may_speak(now + Duration::from_secs(20), ip(9_999_999)), Ok(()), "the idle make room");
        let six = |text: &str| text.parse().unwrap();
        strangers.configure(StrangerLimits { messages_per_second: 1, ..StrangerLimits::default() });
        let later = now + Duration::from_secs(40);
        assert!(strangers.may_speak(later, six("2001:db8::1")).is_ok());
        assert!(strangers.may_speak(later, six("2001:db8::2")).is_err(), "one network of IPv6 is one");
    }

    #[test]
    fn a_ban_that_is_off_bans_nobody() {
        let (now, mut strangers) = (start(), Strangers::default());
        let ban = Ban { after: 0, ..StrangerLimits::default().ban };
        strangers.configure(StrangerLimits { ban, ..StrangerLimits::default() });
        assert!((0..1_000).all(|_| !strangers.failed(now, ip(1))));
        assert!(strangers.by_source[&ip(1)].failures.len() <= BAN_FAILURES_NOTED);
    }
}
