//! Admission of new calls: draining, concurrent calls, new calls per second, and each trunk's fair share of both
//! limits.
//!
//! A trunk is active while it has live calls or has sent an INVITE within [`FAIR_ACTIVE_SECONDS`]. The share of a
//! trunk is the limit divided by the number of active trunks. A trunk below its share is admitted although the limit
//! is reached, so that no trunk starves others. Calls admitted beyond `calls_per_second` are a debt of the token
//! bucket: fewer other calls are admitted until it is repaid, and the average stays at the limit. Beyond `calls`
//! there is a reserve of one call in [`FAIR_RESERVE_ONE_IN`].

pub mod emergencies;
pub mod limited;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_route::TokenBucket;
use trunkgate_story::reason::ReasonSlug;

use crate::admission::emergencies::EmergencyCalls;
use crate::admission::limited::RefusalsByLimit;
use crate::limits::{
    FAIR_ACTIVE_SECONDS, FAIR_RESERVE_ONE_IN, REFUSAL_LOG_SECONDS, TURNED_DOWN_PER_SECOND, URGENT_CALLS_PER_SECOND,
};

/// Limits of the edge (`[limits]`) and their use by live calls.
#[derive(Debug)]
pub struct Admission {
    max_calls: u32,
    calls_per_second: u32,
    bucket: TokenBucket,
    shares: LimitUsage,
    live: usize,
    logged: Option<Instant>,
    /// Rate limit for records of refused calls.
    records: TokenBucket,
    /// Calls refused by limits, including those of trunks.
    pub limited: RefusalsByLimit,
    /// Emergency calls within calls that the API started.
    pub emergencies: EmergencyCalls,
    /// Rate limit for emergency calls that take precedence.
    pub urgent: TokenBucket,
    /// Whether new calls are refused.
    pub draining: bool,
}

/// Use of the limits by active trunks. Bounded by the trunks of the table and of live calls.
#[derive(Debug, Default)]
struct LimitUsage {
    accounts: HashMap<Arc<str>, TrunkUsage>,
    /// Time of the last removal of inactive trunks.
    swept: Option<Instant>,
}

/// Use of the limits by one active trunk.
#[derive(Debug)]
struct TrunkUsage {
    /// Live calls from the trunk.
    live: u32,
    /// Token bucket for the trunk's share of the calls per second.
    bucket: TokenBucket,
    /// Time of the trunk's last INVITE.
    last: Instant,
}

impl LimitUsage {
    /// Returns the usage entry of a trunk, which becomes active, and the number of active trunks.
    fn account(&mut self, now: Instant, trunk: &str, calls_per_second: u32) -> (&mut TrunkUsage, u32) {
        let is_old = |at: Instant, seconds| now.saturating_duration_since(at) >= Duration::from_secs(seconds);
        if self.swept.is_none_or(|at| is_old(at, 1)) {
            self.swept = Some(now);
            self.accounts.retain(|_, account| account.live > 0 || !is_old(account.last, FAIR_ACTIVE_SECONDS));
        }
        let others = self.accounts.len() - usize::from(self.accounts.contains_key(trunk));
        let active = u32::try_from(others + 1).unwrap_or(u32::MAX);
        let new = || TrunkUsage { live: 0, bucket: TokenBucket::new(calls_per_second), last: now };
        let account = self.accounts.entry(trunk.into()).or_insert_with(new);
        account.last = now;
        (account, active)
    }
}

impl Admission {
    /// Creates the admission of an edge without calls; `calls_per_second` 0: unlimited.
    pub fn new(max_calls: u32, calls_per_second: u32) -> Admission {
        Admission {
            max_calls,
            calls_per_second,
            bucket: TokenBucket::new(calls_per_second),
            shares: LimitUsage::default(),
            live: 0,
            logged: None,
            records: TokenBucket::new(TURNED_DOWN_PER_SECOND),
            limited: RefusalsByLimit::default(),
            emergencies: EmergencyCalls::default(),
            urgent: TokenBucket::new(URGENT_CALLS_PER_SECOND),
            draining: false,
        }
    }

    /// Returns the limits in force: concurrent calls, new calls per second.
    pub fn limits(&self) -> (u32, u32) {
        (self.max_calls, self.calls_per_second)
    }

    /// Sets the limits for concurrent calls and new calls per second; live calls continue.
    pub(crate) fn set_limits(&mut self, max_calls: u32, calls_per_second: u32) {
        self.max_calls = max_calls;
        self.calls_per_second = calls_per_second;
        self.bucket.set_rate(calls_per_second);
    }

    /// Checks whether a new call from a trunk is admitted, and takes a token of the calls per second.
    /// [`Admission::begin`] counts the admitted call.
    ///
    /// # Errors
    /// The reason of the refusal: the limit of concurrent calls or of calls per second, or draining.
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

    /// Checks whether an emergency call is admitted: limits do not apply.
    ///
    /// # Errors
    /// [`ReasonSlug::Draining`] while the edge drains, because it could not complete the call.
    pub fn check_emergency(&self) -> Result<(), ReasonSlug> {
        if self.draining { Err(ReasonSlug::Draining) } else { Ok(()) }
    }

    /// Checks whether a live call of a trunk may begin another attempt (a transfer), which counts towards the calls per
    /// second like a new call.
    ///
    /// # Errors
    /// The reason of the refusal: draining, or the limit of calls per second.
    pub fn check_rate(&mut self, now: Instant, trunk: &str) -> Result<(), ReasonSlug> {
        if self.draining {
            return Err(ReasonSlug::Draining);
        }
        let rate = self.calls_per_second;
        let has_room = self.bucket.take_token(now);
        if rate == 0 {
            return Ok(());
        }
        let (account, active) = self.shares.account(now, trunk, rate);
        account.bucket.set_rate((rate / active).max(1));
        let is_below_share = account.bucket.take_token(now);
        match (has_room, is_below_share) {
            (true, _) => Ok(()),
            (false, true) => {
                self.bucket.borrow_token(now);
                Ok(())
            }
            (false, false) => Err(ReasonSlug::LimitRate),
        }
    }

    /// Returns the key of `[limits]` for a reason, with its value; empty for other reasons.
    pub fn limit_of(&self, reason: ReasonSlug) -> String {
        if reason == ReasonSlug::LimitCalls {
            return format!("`calls = {}` of [limits]", self.max_calls);
        }
        let is_rate = reason == ReasonSlug::LimitRate;
        if is_rate { format!("`calls_per_second = {}` of [limits]", self.calls_per_second) } else { String::new() }
    }

    /// Counts an admitted call from a trunk as live, until [`Admission::end`].
    pub fn begin(&mut self, now: Instant, trunk: &str) {
        self.live += 1;
        self.shares.account(now, trunk, self.calls_per_second).0.live += 1;
    }

    /// Removes an ended call from a trunk.
    pub fn end(&mut self, trunk: &str) {
        self.live = self.live.saturating_sub(1);
        if let Some(account) = self.shares.accounts.get_mut(trunk) {
            account.live = account.live.saturating_sub(1);
        }
    }

    /// Returns the number of live calls.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Returns whether the record of a refused call may be written, and counts it: their rate is limited, so that a
    /// flood does not fill the disk.
    pub fn may_record(&mut self, now: Instant) -> bool {
        self.records.take_token(now)
    }

    /// Returns whether a refusal may be logged now, and then starts the pause until the next line.
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

    // Single reading of the clock; later times are computed.
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
        // 30 a second plus one second of burst, less the 10 a second of the other trunk.
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
        // Freed slots go to trunks below their share first.
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
