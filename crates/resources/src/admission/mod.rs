//! Whether a new call is let in: draining, the edge's calls at once and new calls a second, and each trunk's fair share of both.
//!
//! A trunk's share is the limit divided by the number of trunks that are active: with live calls from them, or with an INVITE
//! within [`FAIR_ACTIVE_SECONDS`]. A trunk below its share is let in although the limit is reached, so that no trunk takes the
//! place of others. What that costs beyond `calls_per_second` is owed: the others get less until it is earned, and the average
//! stays at the limit. Beyond `calls` there is one place in [`FAIR_RESERVE_ONE_IN`], and nothing more.

pub mod emergencies;
pub mod limited;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_route::TokenBucket;
use trunkgate_story::reason::ReasonSlug;

use crate::admission::emergencies::EmergencyCalls;
use crate::admission::limited::Limited;
use crate::limits::{
    FAIR_ACTIVE_SECONDS, FAIR_RESERVE_ONE_IN, REFUSAL_LOG_SECONDS, TURNED_DOWN_PER_SECOND, URGENT_CALLS_PER_SECOND,
};

/// The edge's own limits.
#[derive(Debug)]
pub struct Admission {
    max_calls: u32,
    calls_per_second: u32,
    bucket: TokenBucket,
    shares: Shares,
    live: usize,
    logged: Option<Instant>,
    /// Refusals that have a record.
    records: TokenBucket,
    /// Calls that limits refused, those of trunks among them.
    pub limited: Limited,
    /// Emergency calls of calls that requests have begun.
    pub emergencies: EmergencyCalls,
    /// Emergency calls that go before others.
    pub urgent: TokenBucket,
    /// Whether new calls are refused.
    pub draining: bool,
}

/// What active trunks use of the limits. Bounded by the trunks of the table and of live calls.
#[derive(Debug, Default)]
struct Shares {
    accounts: HashMap<Arc<str>, Account>,
    /// When those were last left out that are no longer active.
    swept: Option<Instant>,
}

/// One active trunk.
#[derive(Debug)]
struct Account {
    /// Calls from it that have not ended.
    live: u32,
    /// Its share of the calls a second.
    bucket: TokenBucket,
    /// Its last INVITE.
    last: Instant,
}

impl Shares {
    /// The account of a trunk that is active now, and how many are active.
    fn account(&mut self, now: Instant, trunk: &str, calls_per_second: u32) -> (&mut Account, u32) {
        let is_old = |at: Instant, seconds| now.saturating_duration_since(at) >= Duration::from_secs(seconds);
        if self.swept.is_none_or(|at| is_old(at, 1)) {
            self.swept = Some(now);
            self.accounts.retain(|_, account| account.live > 0 || !is_old(account.last, FAIR_ACTIVE_SECONDS));
        }
        let others = self.accounts.len() - usize::from(self.accounts.contains_key(trunk));
        let active = u32::try_from(others + 1).unwrap_or(u32::MAX);
        let new = || Account { live: 0, bucket: TokenBucket::new(calls_per_second), last: now };
        let account = self.accounts.entry(trunk.into()).or_insert_with(new);
        account.last = now;
        (account, active)
    }
}

impl Admission {
    /// With limits; `calls_per_second` 0 means none.
    pub fn new(max_calls: u32, calls_per_second: u32) -> Admission {
        Admission {
            max_calls,
            calls_per_second,
            bucket: TokenBucket::new(calls_per_second),
            shares: Shares::default(),
            live: 0,
            logged: None,
            records: TokenBucket::new(TURNED_DOWN_PER_SECOND),
            limited: Limited::default(),
            emergencies: EmergencyCalls::default(),
            urgent: TokenBucket::new(URGENT_CALLS_PER_SECOND),
            draining: false,
        }
    }
    /// Returns the limits in force: calls at once, new calls a second.
    pub fn limits(&self) -> (u32, u32) {
        (self.max_calls, self.calls_per_second)
    }
    /// Changes the limits; calls that are there stay.
    pub(crate) fn set_limits(&mut self, max_calls: u32, calls_per_second: u32) {
        self.max_calls = max_calls;
        self.calls_per_second = calls_per_second;
        self.bucket.set_rate(calls_per_second);
    }
    /// Whether one more call from a trunk may come.
    pub fn check(&mut self, now: Instant, trunk: &str) -> Result<(), ReasonSlug> {
        let most = usize::try_from(self.max_calls).unwrap_or(usize::MAX);
        let (account, active) = self.shares.account(now, trunk, self.calls_per_second);
        if self.live >= most && !self.draining {
            let reserve = usize::try_from(self.max_calls.div_ceil(FAIR_RESERVE_ONE_IN)).unwrap_or(usize::MAX);
            let is_below_share = account.live < (self.max_calls / active).max(1);
            if !is_below_share || self.live >= most.saturating_add(reserve) {
                return Err(ReasonSlug::LimitCalls);
            }
        }
        self.check_rate(now, trunk)
    }
    /// Whether an emergency call may come: no limit refuses it, but whoever ends its work could not see it through.
    pub fn check_emergency(&self) -> Result<(), ReasonSlug> {
        if self.draining { Err(ReasonSlug::Draining) } else { Ok(()) }
    }
    /// Whether a call of a trunk that is there already may begin another attempt as a new one would: a transfer.
    pub fn check_rate(&mut self, now: Instant, trunk: &str) -> Result<(), ReasonSlug> {
        if self.draining {
            return Err(ReasonSlug::Draining);
        }
        let rate = self.calls_per_second;
        let has_room = self.bucket.take(now);
        if rate == 0 {
            return Ok(());
        }
        let (account, active) = self.shares.account(now, trunk, rate);
        account.bucket.set_rate((rate / active).max(1));
        let is_below_share = account.bucket.take(now);
        match (has_room, is_below_share) {
            (true, _) => Ok(()),
            (false, true) => {
                self.bucket.owe(now);
                Ok(())
            }
            (false, false) => Err(ReasonSlug::LimitRate),
        }
    }
    /// The key of `[limits]` that a reason is about, with its value; empty where it is none of them.
    pub fn limit_of(&self, reason: ReasonSlug) -> String {
        if reason == ReasonSlug::LimitCalls {
            return format!("`calls = {}` of [limits]", self.max_calls);
        }
        let is_rate = reason == ReasonSlug::LimitRate;
        if is_rate { format!("`calls_per_second = {}` of [limits]", self.calls_per_second) } else { String::new() }
    }
    /// A call from a trunk began.
    pub fn begin(&mut self, now: Instant, trunk: &str) {
        self.live += 1;
        self.shares.account(now, trunk, self.calls_per_second).0.live += 1;
    }
    /// A call from a trunk ended.
    pub fn end(&mut self, trunk: &str) {
        self.live = self.live.saturating_sub(1);
        if let Some(account) = self.shares.accounts.get_mut(trunk) {
            account.live = account.live.saturating_sub(1);
        }
    }
    /// Calls that have not ended.
    pub fn live(&self) -> usize {
        self.live
    }
    /// Whether a call that a limit refuses is recorded: a flood must not fill a disk.
    pub fn may_record(&mut self, now: Instant) -> bool {
        self.records.take(now)
    }
    /// Whether a refusal may be logged now: a flood must not become a flood of lines.
    pub fn may_log(&mut self, now: Instant) -> bool {
        let may =
            self.logged.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(REFUSAL_LOG_SECONDS));
        if may {
            self.logged = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One reading of the clock to start from; all else is arithmetic.
    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    fn trunks<const N: usize>() -> [Arc<str>; N] {
        std::array::from_fn(|n| Arc::from(format!("t{n}")))
    }

    #[test]
    fn a_flood_of_one_trunk_refuses_no_call_of_another_below_its_share() {
        let ([flood, good], start) = (trunks(), start());
        let mut admission = Admission::new(100_000, 30);
        let (mut flooded, mut refused) = (0, 0);
        for ms in 0..20_000_u32 {
            let now = start + Duration::from_millis(ms.into());
            if ms % 5 < 2 {
                flooded += u32::from(admission.check(now, &flood).is_ok());
            }
            if ms % 100 == 50 {
                refused += u32::from(admission.check(now, &good).is_err());
            }
        }
        assert_eq!(refused, 0);
        // 30 a second and one second's burst, less the 10 a second of the other.
        assert!((20 * 20..=20 * 20 + 60).contains(&flooded), "{flooded}");
    }

    #[test]
    fn the_rate_is_exceeded_by_less_than_one_second_s_worth_whoever_calls() {
        let (all, start) = (trunks::<10>(), start());
        let mut admission = Admission::new(100_000, 30);
        let mut taken = 0;
        for ms in 0..10_000_u32 {
            let now = start + Duration::from_millis(ms.into());
            taken += all.iter().map(|trunk| u32::from(admission.check(now, trunk).is_ok())).sum::<u32>();
            assert!(taken <= 30 + 30 + ms * 30 / 1_000 + 1, "{taken} within {ms} ms");
        }
        assert!(taken >= 300, "{taken}");
    }

    #[test]
    fn a_trunk_alone_has_the_whole_limit_and_no_more() {
        let ([one], now) = (trunks(), start());
        let mut admission = Admission::new(8, 30);
        let begun = (0..100).filter(|_| admission.check(now, &one).is_ok()).count();
        assert_eq!(begun, 30);
        let later = now + Duration::from_secs(2);
        (0..8).for_each(|_| admission.begin(later, &one));
        assert_eq!(admission.check(later, &one), Err(ReasonSlug::LimitCalls));
    }

    #[test]
    fn places_beyond_the_limit_are_for_trunks_below_their_share() {
        let ([flood, good, other], now) = (trunks(), start());
        let mut admission = Admission::new(40, 0);
        let fill = |admission: &mut Admission, trunk: &Arc<str>| {
            let mut begun = 0;
            while admission.check(now, trunk).is_ok() {
                admission.begin(now, trunk);
                begun += 1;
            }
            begun
        };
        assert_eq!(fill(&mut admission, &flood), 40);
        assert_eq!(fill(&mut admission, &good), 5, "one in eight");
        assert_eq!(fill(&mut admission, &other), 0, "and no more");
        // Places that come free are for those below their share first.
        (0..5).for_each(|_| admission.end(&flood));
        assert_eq!((fill(&mut admission, &flood), fill(&mut admission, &other)), (0, 5));
        assert_eq!(admission.live(), 45);
        let mut none = Admission::new(0, 0);
        assert_eq!(none.check(now, &good), Err(ReasonSlug::LimitCalls));
    }

    #[test]
    fn nothing_is_kept_of_a_trunk_that_is_not_active() {
        let (all, start) = (trunks::<50>(), start());
        let mut admission = Admission::new(100, 30);
        for trunk in &all {
            let _ = admission.check(start, trunk);
        }
        admission.begin(start, &all[7]);
        assert_eq!(admission.shares.accounts.len(), 50);
        let later = start + Duration::from_secs(FAIR_ACTIVE_SECONDS);
        assert_eq!(admission.check(later, &all[0]), Ok(()));
        assert_eq!(admission.shares.accounts.len(), 2, "one that asks, one with a call");
    }
}
