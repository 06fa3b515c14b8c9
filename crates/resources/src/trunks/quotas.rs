//! Use of the trunks' limits for certain calls. There is one counter per configured limit; counters survive a reload.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use jiff::civil::Date;
use trunkgate_route::{Quota, RoutingTable, TokenBucket};
use trunkgate_story::reason::ReasonSlug;

use crate::lookups::key::{Branch, CallKey};

/// A counted call: the inbound call of the trunk, or one of its attempts.
pub type CountedCall = (CallKey, Option<Branch>);

/// Numbers of a call.
#[derive(Debug, Clone, Copy)]
pub struct CallNumbers<'a> {
    /// Called number, in each possible reading.
    pub called: &'a [String],
    /// Caller number; empty if unknown.
    pub caller: &'a str,
}

/// Number of calls that counted towards a daily limit, kept across restarts by the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCount {
    /// Name of the trunk.
    pub trunk: Arc<str>,
    /// Limit as text ([`Quota`] as displayed), which identifies it after a restart.
    pub limit: String,
    /// Day in the limit's time zone.
    pub day: Date,
    /// Calls so far.
    pub count: u32,
}

/// A limit that is reached: reason, and key with value and scope.
pub type ReachedQuota = (ReasonSlug, String);

/// Counters of one limit.
#[derive(Debug)]
struct QuotaCounters {
    quota: Quota,
    live: Vec<CountedCall>,
    bucket: TokenBucket,
    day: (Date, u32),
    /// Earlier days, which may be current again when the clock is set; the latest last.
    others: VecDeque<(Date, u32)>,
}

/// Maximum earlier days kept.
const OTHER_DAYS: usize = 3;

impl QuotaCounters {
    fn of(quota: &Quota) -> QuotaCounters {
        let bucket = TokenBucket::new(quota.calls_per_second);
        QuotaCounters { quota: quota.clone(), live: Vec::new(), bucket, day: (Date::MIN, 0), others: VecDeque::new() }
    }

    /// Keeps the counters for a limit with possibly changed values.
    fn under(mut self, quota: &Quota) -> QuotaCounters {
        self.bucket.set_rate(quota.calls_per_second);
        QuotaCounters { quota: quota.clone(), ..self }
    }

    /// Switches to the counter of a day.
    fn begin_day(&mut self, today: Date) {
        if self.day.0 == today {
            return;
        }
        let known = self.others.iter().position(|(day, _)| *day == today).and_then(|at| self.others.remove(at));
        let over = std::mem::replace(&mut self.day, known.unwrap_or((today, 0)));
        if over.1 > 0 {
            self.others.push_back(over);
        }
        if self.others.len() > OTHER_DAYS {
            self.others.pop_front();
        }
    }

    /// Returns the key and value of a reached limit, and its scope.
    fn key(&self, reason: ReasonSlug) -> String {
        let Quota { max_calls, calls_per_second, calls_per_day, .. } = &self.quota;
        let (key, value) = match () {
            () if reason == ReasonSlug::LimitDay => ("calls_per_day", calls_per_day),
            () if reason == ReasonSlug::LimitCalls => ("max_calls", max_calls),
            () => ("calls_per_second", calls_per_second),
        };
        let is_of_all = self.quota.to.is_empty() && self.quota.caller.is_empty();
        let which = if is_of_all { String::new() } else { format!(" ({})", self.quota) };
        format!("`{key} = {value}`{which}")
    }

    /// Returns the reason of a reached limit; `None` if none is reached.
    fn reached(&mut self, now: Instant, at: Timestamp) -> Option<ReasonSlug> {
        self.begin_day(self.quota.day(at));
        let is_reached = |limit: u32, used: usize| limit > 0 && used >= usize::try_from(limit).unwrap_or(usize::MAX);
        if is_reached(self.quota.calls_per_day, usize::try_from(self.day.1).unwrap_or(usize::MAX)) {
            return Some(ReasonSlug::LimitDay);
        }
        if is_reached(self.quota.max_calls, self.live.len()) {
            return Some(ReasonSlug::LimitCalls);
        }
        (!self.bucket.wait(now).is_zero()).then_some(ReasonSlug::LimitRate)
    }
}

/// Counters of all limits by trunk.
#[derive(Debug, Default)]
pub struct Quotas {
    by_trunk: BTreeMap<Arc<str>, Vec<QuotaCounters>>,
}

impl Quotas {
    /// Applies a table's limits, and keeps the counters of those with the same scope.
    pub fn configure(&mut self, table: &RoutingTable) {
        let mut before = std::mem::take(&mut self.by_trunk);
        for trunk in table.trunks().iter().filter(|trunk| !trunk.quotas.is_empty()) {
            let mut known = before.remove(&trunk.name).unwrap_or_default();
            let used = trunk.quotas.iter().map(|quota| {
                let same = known.iter().position(|used| used.quota.counts_as(quota));
                same.map_or_else(|| QuotaCounters::of(quota), |at| known.swap_remove(at).under(quota))
            });
            let used = used.collect();
            self.by_trunk.insert(trunk.name.clone(), used);
        }
    }

    /// Restores daily counts after a restart, by date and by scope of the limit.
    pub fn resume(&mut self, at: Timestamp, counts: &[DayCount]) {
        for count in counts {
            for used in self.by_trunk.get_mut(&count.trunk).into_iter().flatten() {
                if used.quota.to_string() == count.limit {
                    used.begin_day(count.day);
                    used.day.1 = used.day.1.max(count.count);
                    // The clock may be wrong at the start: the count is kept for its day.
                    used.begin_day(used.quota.day(at));
                }
            }
        }
    }

    /// Counts a call towards every matching limit of a trunk. Returns the new counts of daily limits.
    ///
    /// # Errors
    /// The limit that is reached; the call is then counted towards none.
    pub fn begin(
        &mut self,
        (now, at): (Instant, Timestamp),
        trunk: &str,
        call: CallNumbers<'_>,
        who: CountedCall,
    ) -> Result<Vec<DayCount>, ReachedQuota> {
        let mut counts: Vec<DayCount> = Vec::new();
        let Some(all) = self.by_trunk.get_mut(trunk) else { return Ok(counts) };
        let covers = |used: &&mut QuotaCounters| used.quota.covers(call.called, call.caller);
        for used in all.iter_mut().filter(covers) {
            if let Some(reason) = used.reached(now, at) {
                return Err((reason, used.key(reason)));
            }
        }
        for used in all.iter_mut().filter(covers) {
            used.bucket.take_token(now);
            used.day.1 = used.day.1.saturating_add(1);
            if used.quota.max_calls > 0 {
                used.live.push(who);
            }
            if used.quota.calls_per_day == 0 {
                continue;
            }
            let (limit, (day, count)) = (used.quota.to_string(), used.day);
            // Two entries may have the same scope, with different counts.
            match counts.iter_mut().find(|known| known.limit == limit) {
                Some(known) => known.count = known.count.max(count),
                None => counts.push(DayCount { trunk: trunk.into(), limit, day, count }),
            }
        }
        Ok(counts)
    }

    /// Removes an attempt that ended without an answer.
    pub fn end(&mut self, trunk: &str, who: CountedCall) {
        for used in self.by_trunk.get_mut(trunk).into_iter().flatten() {
            if let Some(at) = used.live.iter().position(|counted| *counted == who) {
                used.live.swap_remove(at);
            }
        }
    }

    /// Moves the slot of a callee to another call, in which the callee continues, at each matching limit of its
    /// trunk.
    pub fn pass_on(&mut self, trunk: &str, call: CallNumbers<'_>, (from, to): (CallKey, CallKey)) {
        let all = self.by_trunk.get_mut(trunk).into_iter().flatten();
        for used in all.filter(|used| used.quota.covers(call.called, call.caller)) {
            let mut newest_first = used.live.iter_mut().rev();
            if let Some(counted) = newest_first.find(|(key, branch)| *key == from && branch.is_some()) {
                counted.0 = to;
            }
        }
    }

    /// Removes all slots of an ended call.
    pub fn end_call(&mut self, key: CallKey) {
        for used in self.by_trunk.values_mut().flatten() {
            used.live.retain(|(counted, _)| *counted != key);
        }
    }

    /// Returns the calls that count as live.
    pub fn live(&self) -> impl Iterator<Item = CallKey> {
        self.by_trunk.values().flatten().flat_map(|used| used.live.iter().map(|(key, _)| *key))
    }
}
