//! Runtime state of each trunk: calls, rates, and recent problems.

pub mod challenge;
mod congestion;
pub mod health;
pub mod quotas;
mod recorders;
pub mod rejection;
pub mod rejections;
mod sound;
pub mod unproven;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trunkgate_route::{PerformanceFigures, RoutingTable, TokenBucket, Trunk, TrunkPerformance};
use trunkgate_story::diagnosis::Diagnosis;
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::sounded::AudioQuality;
use trunkgate_story::view::{
    AffectedCalls, FaultView, KindView, PeerView, RegistrationsView, TriedView, TrunkView, state_word,
};
use trunkgate_story::wall::rfc3339;

use crate::failures::concerned::ConfigChangeScope;
pub use crate::failures::faults::{CallFault, FaultKind};
use crate::failures::faults::{TrunkFaults, fault_view};
use crate::failures::unreached::{UnreachedCall, UnreachedCalls};
use crate::limits::{
    HEARD_AGAIN, LET_DOWN_KEPT, LET_DOWN_SECONDS, LET_DOWN_TIMES, OVERSIZE_TOLD_EVERY, PACED_ADDRESSES, PROBE_SECONDS,
    SHORT_IN_ROW,
};
use crate::lookups::key::{Branch, CallKey};
use crate::trunks::congestion::Congestion;
use crate::trunks::recorders::RecordingResults;
use crate::trunks::rejections::{FinalResponse, Rejections};
use crate::trunks::sound::TrunkScores;

/// Prefix of the problem text of a trunk without a registration.
pub(crate) const NOT_REGISTERED: &str = "not registered: ";

/// A waiting attempt and its call.
pub type WaitingAttempt = (CallKey, Branch);

/// State of one trunk: counters, limits in use, results of calls, and waiting attempts.
#[derive(Debug, Default)]
struct TrunkState {
    calls: u64,
    max_calls: u32,
    /// Rate limits for calls of both directions, inbound calls and outbound calls.
    buckets: [TokenBucket; 3],
    /// Attempts that wait for capacity, in order of arrival.
    waiting: VecDeque<WaitingAttempt>,
    /// Maximum new calls per second to one address of the trunk; 0: unlimited.
    peer_rate: u32,
    /// Rate of new calls to each address called recently.
    addresses: BTreeMap<IpAddr, TokenBucket>,
    tried: u64,
    /// Calls tried, and calls answered.
    tried_lately: LastHour<2>,
    answered: AnsweredCalls,
    failed: u64,
    /// Calls that did not reach the trunk.
    unreached: UnreachedCalls,
    pace: CallRate,
    congestion: Congestion,
    /// Recent answer-seizure ratio and quality.
    standing: TrunkPerformance,
    /// Recent failures, with caller and callee.
    failures: Vec<TrunkFailure>,
    /// Time of the last call that tried the trunk first despite a lower rank.
    probed: Option<Instant>,
    /// Last problem and its time.
    last_problem: Option<(String, Instant)>,
    /// Sides of the trunk in answered calls: all, and the silent ones.
    sides_lately: LastHour<2>,
    /// Causes of silent sides, the most recent last.
    silent_sides: Vec<SilentSides>,
    /// Sides heard, and silent sides in short calls.
    heard_sides: HeardSides,
    /// Audio quality.
    sound: TrunkScores,
    /// Faults of calls other than silent sides.
    faults: TrunkFaults,
    /// Answered and rejected calls.
    rejections: Rejections,
    /// Results of recordings, if the trunk is a group of recording servers.
    recorders: RecordingResults,
    /// Time of the last log line about an INVITE too long for UDP.
    oversize_told: Option<Instant>,
}

/// Answered calls since the start, and time of the last one.
#[derive(Debug, Clone, Copy, Default)]
struct AnsweredCalls {
    calls: u64,
    last: Option<Instant>,
}

/// Silent sides with one cause.
#[derive(Debug)]
struct SilentSides {
    calls: LastHour<1>,
    /// Diagnosis of the most recent silent side.
    found: Diagnosis,
    sid: String,
    /// Value of [`HeardSides::sides`] at the most recent silent side.
    heard: u64,
}

/// A call that failed because of the trunk.
#[derive(Debug)]
struct TrunkFailure {
    at: Instant,
    caller: Box<str>,
    called: Box<str>,
}

/// All trunks by name.
#[derive(Debug, Default)]
pub struct Trunks {
    by_name: BTreeMap<Arc<str>, TrunkState>,
    /// Waiting attempts that must try again, because capacity may be free.
    woken: Vec<WaitingAttempt>,
    /// Time of the last log line of each alarm, by trunk and reason.
    alarms: BTreeMap<(Arc<str>, &'static str), Instant>,
}

/// Indexes of the rate limits: calls of both directions, inbound calls, outbound calls.
const BOTH: usize = 0;
const IN: usize = 1;
const OUT: usize = 2;

#[derive(Debug, Default)]
struct HeardSides {
    /// Consecutive silent sides in calls too short to count alone; they count from [`SHORT_IN_ROW`] on. A silent side
    /// in a longer call sets this to [`SHORT_IN_ROW`].
    short: u64,
    /// Sides heard since the start; a change of keys adds enough to solve a fault.
    sides: u64,
    /// Calls in which the side of another trunk was silent too, by name of that trunk.
    both: Vec<(Arc<str>, LastHour<1>)>,
}

impl TrunkState {
    /// Counts a new call in a direction.
    ///
    /// # Errors
    /// The limit that refuses the call: concurrent calls, or calls per second.
    fn begin(&mut self, now: Instant, direction: usize) -> Result<(), ReasonSlug> {
        if self.max_calls > 0 && self.calls >= u64::from(self.max_calls) {
            return Err(ReasonSlug::LimitCalls);
        }
        self.take_tokens(now, direction)?;
        self.calls += 1;
        self.pace.count(now);
        Ok(())
    }

    /// Takes a token from each of the trunk's rate limits for a direction.
    ///
    /// # Errors
    /// [`ReasonSlug::LimitRate`] if one of the limits has no token; then none is taken.
    fn take_tokens(&mut self, now: Instant, direction: usize) -> Result<(), ReasonSlug> {
        if !self.wait(now, direction).is_zero() {
            return Err(ReasonSlug::LimitRate);
        }
        for bucket in self.of(direction) {
            bucket.take_token(now);
        }
        Ok(())
    }

    /// Returns the time until the rate limits allow another call.
    fn wait(&mut self, now: Instant, direction: usize) -> Duration {
        self.of(direction).map(|bucket| bucket.wait(now)).max().unwrap_or_default()
    }

    fn unheard(&self, now: Instant) -> Option<FaultView> {
        let [of, calls] = self.sides_lately.sums(now);
        let last = self.silent_sides.last().filter(|_| calls > 0)?;
        let kinds = self.silent_sides.iter().filter_map(|one| {
            let [calls] = one.calls.sums(now);
            let (cause, fix, last_sid) = (one.found.cause, one.found.fix.clone(), one.sid.clone());
            (calls > 0).then(|| KindView { kind: cause.slug(), told: cause.shown_address(), calls, fix, last_sid })
        });
        let fault = fault_view((calls, of, self.heard_sides.sides - last.heard), &last.found, &last.sid);
        let [recent_of, recent_calls] = self.sides_lately.recent(now);
        let both = self.heard_sides.both.iter().map(|(name, calls)| (name.to_string(), calls.sums(now)[0]));
        Some(FaultView {
            kinds: kinds.collect(),
            recent: AffectedCalls { calls: recent_calls, of: recent_of },
            both: both.filter(|(_, calls)| *calls > 0).collect(),
            ..fault
        })
    }

    fn note_both(&mut self, now: Instant, other: &Arc<str>, sides: u64) {
        let both = &mut self.heard_sides.both;
        both.retain(|(_, calls)| calls.sums(now) != [0]);
        let at = both.iter().position(|(name, _)| name == other).unwrap_or_else(|| {
            both.push((Arc::clone(other), LastHour::default()));
            both.len() - 1
        });
        if let Some((_, calls)) = both.get_mut(at) {
            calls.add(now, [sides]);
        }
    }

    fn note_unheard(&mut self, now: Instant, (found, sides): (&Diagnosis, u64), sid: &str) {
        // Causes absent for an hour are dropped, which bounds the list by the number of cause kinds.
        let at = self.silent_sides.iter().position(|one| one.found.cause == found.cause);
        let mut calls = at.map(|at| self.silent_sides.remove(at).calls).unwrap_or_default();
        self.silent_sides.retain(|one| one.calls.sums(now) != [0]);
        calls.add(now, [sides]);
        self.silent_sides.push(SilentSides {
            calls,
            found: found.clone(),
            sid: sid.to_owned(),
            heard: self.heard_sides.sides,
        });
    }

    fn fault(&self, now: Instant, kind: FaultKind) -> Option<FaultView> {
        let ([answered, _], [recent, _]) = (self.sides_lately.sums(now), self.sides_lately.recent(now));
        self.faults.view(now, kind, (answered, recent))
    }

    fn of(&mut self, direction: usize) -> impl Iterator<Item = &mut TokenBucket> {
        self.buckets.iter_mut().enumerate().filter(move |(at, _)| [BOTH, direction].contains(at)).map(|(_, one)| one)
    }
}

impl Trunks {
    /// Applies a table's limits. A removed trunk is forgotten once its last call has ended.
    pub fn configure(&mut self, table: &RoutingTable) {
        for trunk in table.trunks() {
            let state = self.by_name.entry(trunk.name.clone()).or_default();
            state.max_calls = trunk.max_calls;
            let rates = [trunk.calls_per_second, trunk.calls_per_second_in, trunk.calls_per_second_out];
            for (bucket, rate) in state.buckets.iter_mut().zip(rates) {
                bucket.set_rate(rate);
            }
            state.peer_rate = trunk.peer_calls_per_second;
            state.addresses.clear();
            self.woken.extend(state.waiting.front());
        }
        self.by_name.retain(|name, state| state.calls > 0 || table.trunk(name).is_some());
    }

    /// Treats faults as solved that changed keys may have fixed; counts stay, and the next call with the fault brings
    /// it back.
    pub fn reconfigured(&mut self, concerned: &ConfigChangeScope) {
        for (name, state) in &mut self.by_name {
            if concerned.all_media || concerned.media.contains(name) {
                state.heard_sides.sides += HEARD_AGAIN;
                state.faults.withdraw();
                state.sound.withdraw();
            }
            if concerned.calls.contains(name) {
                state.rejections.withdraw();
                state.recorders.withdraw();
            }
        }
    }

    /// Counts a new call from a trunk.
    ///
    /// # Errors
    /// The limit that refuses the call.
    pub fn begin(&mut self, now: Instant, name: &Arc<str>) -> Result<(), ReasonSlug> {
        self.state(name).begin(now, IN)
    }

    /// Counts a new call to a trunk. `who` is the attempt, which must not overtake waiting ones.
    ///
    /// # Errors
    /// The limit that refuses the call; [`ReasonSlug::LimitRate`] also if another attempt is the first that waits.
    pub(crate) fn begin_outbound(
        &mut self,
        now: Instant,
        name: &Arc<str>,
        who: WaitingAttempt,
    ) -> Result<(), ReasonSlug> {
        let state = self.state(name);
        if state.waiting.front().is_some_and(|first| *first != who) {
            return Err(ReasonSlug::LimitRate);
        }
        state.begin(now, OUT)
    }

    /// Counts a mid-call request of a trunk towards its rate of new calls.
    ///
    /// # Errors
    /// [`ReasonSlug::LimitRate`] if the rate is exceeded.
    pub fn count_request(&mut self, now: Instant, name: &Arc<str>) -> Result<(), ReasonSlug> {
        self.state(name).take_tokens(now, IN)
    }

    /// Adds an attempt to those that wait for capacity.
    pub fn add_waiting(&mut self, name: &Arc<str>, who: WaitingAttempt) {
        self.state(name).waiting.push_back(who);
    }

    /// Removes a waiting attempt and wakes the next one.
    pub fn remove_waiting(&mut self, name: &str, who: WaitingAttempt) {
        if let Some(state) = self.by_name.get_mut(name) {
            let was_first = state.waiting.front() == Some(&who);
            state.waiting.retain(|waiting| *waiting != who);
            self.woken.extend(state.waiting.front().filter(|_| was_first));
        }
    }

    /// Returns the time until the first waiting attempt of a trunk may have capacity. `None` if `who` is not the first,
    /// or waits for a call to end: then it will be woken.
    pub fn next_place(&mut self, now: Instant, name: &str, who: WaitingAttempt) -> Option<Duration> {
        let state = self.by_name.get_mut(name).filter(|state| state.waiting.front() == Some(&who))?;
        Some(state.wait(now, OUT)).filter(|wait| !wait.is_zero())
    }

    /// Removes and returns the waiting attempts that must try again, because capacity may be free.
    pub fn woken(&mut self) -> Vec<WaitingAttempt> {
        std::mem::take(&mut self.woken)
    }

    /// Returns whether another call may go to an address of a trunk within this second, and counts it. Always true
    /// without a rate limit, and for further addresses if too many are counted.
    pub fn may_call(&mut self, now: Instant, name: &Arc<str>, address: IpAddr) -> bool {
        let state = self.state(name);
        if state.peer_rate == 0 {
            return true;
        }
        if state.addresses.len() >= PACED_ADDRESSES && !state.addresses.contains_key(&address) {
            state.addresses.retain(|_, bucket| !bucket.is_full(now));
            if state.addresses.len() >= PACED_ADDRESSES {
                return true;
            }
        }
        let rate = state.peer_rate;
        state.addresses.entry(address).or_insert_with(|| TokenBucket::new(rate)).take_token(now)
    }

    /// Counts a call restored from a snapshot, regardless of limits.
    pub fn resume(&mut self, name: &Arc<str>) {
        self.state(name).calls += 1;
    }

    /// Removes an ended call from the live calls of a trunk; the first attempt that waits for a slot is woken.
    pub fn end(&mut self, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.calls = state.calls.saturating_sub(1);
            self.woken.extend(state.waiting.front());
        }
    }

    /// Counts a call to a trunk at its first INVITE: further addresses of the trunk belong to the same call.
    pub fn tried(&mut self, now: Instant, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.tried += 1;
            state.tried_lately.count(now, [true, false]);
        }
    }

    /// Notes a rejection because of congestion, with the seconds of its Retry-After. Returns the length of the new
    /// back-off; `None` if a back-off is already active.
    pub fn congested(&mut self, now: Instant, name: &str, retry_after: Option<u32>) -> Option<Duration> {
        self.by_name.get_mut(name)?.congestion.refused(now, retry_after)
    }

    /// Returns whether a trunk is congested; if so, other targets come first.
    pub fn is_congested(&self, now: Instant, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|state| state.congestion.is_on(now))
    }

    /// Counts an attempt that the trunk answered, which ends a series of rejections.
    pub fn answered(&mut self, now: Instant, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.answered = AnsweredCalls { calls: state.answered.calls + 1, last: Some(now) };
            state.tried_lately.count(now, [false, true]);
            state.rejections.answered(now);
            state.standing.count(now, true);
        }
    }

    /// Counts a failed attempt at an address of the trunk.
    pub fn failed(&mut self, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.failed += 1;
        }
    }

    /// Notes that all peers of a target failed because of the trunk, with caller and callee. Repeated calls of one
    /// caller to one number count only a few times, so that they do not affect the trunk's other calls.
    pub fn record_trunk_failure(&mut self, now: Instant, name: &str, caller: &str, called: &str) {
        let Some(state) = self.by_name.get_mut(name) else { return };
        let while_new = Duration::from_secs(LET_DOWN_SECONDS);
        state.failures.retain(|one| now.saturating_duration_since(one.at) < while_new);
        let same = state.failures.iter().filter(|one| (&*one.caller, &*one.called) == (caller, called)).count();
        if same >= LET_DOWN_TIMES || state.failures.len() >= LET_DOWN_KEPT {
            return;
        }
        state.failures.push(TrunkFailure { at: now, caller: caller.into(), called: called.into() });
        state.standing.count(now, false);
    }

    /// Notes a call that did not reach a trunk: none of its addresses answered.
    pub fn unreached(&mut self, now: Instant, name: &str, call: UnreachedCall<'_>) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.unreached.note(now, call);
        }
    }

    /// Notes the mean opinion score of a trunk's media in an answered call.
    pub fn scored(&mut self, now: Instant, name: &str, mos: f64) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.standing.add_score(now, mos);
        }
    }

    /// Notes the audio quality of a trunk's party in an ended call.
    pub fn sounded(&mut self, now: Instant, name: &str, sid: &str, call: AudioQuality) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.sound.note(now, sid, call);
        }
    }

    /// Notes whether a side of a call is heard. A silent side of a short call (`is_short`) counts from the third such
    /// call in a row. Returns the number of sides that count as silent because of this call.
    pub fn record_audibility(
        &mut self,
        now: Instant,
        name: &str,
        sid: &str,
        (unheard, is_short): (Option<&Diagnosis>, bool),
    ) -> u64 {
        let Some(state) = self.by_name.get_mut(name) else { return 0 };
        match unheard {
            Some(unheard) => {
                let before = state.heard_sides.short;
                state.heard_sides.short = if is_short { before + 1 } else { SHORT_IN_ROW };
                if state.heard_sides.short < SHORT_IN_ROW {
                    return 0;
                }
                // Includes earlier silent sides that were not counted yet.
                let sides = 1 + if before < SHORT_IN_ROW { before } else { 0 };
                state.sides_lately.add(now, [sides; 2]);
                state.note_unheard(now, (unheard, sides), sid);
                sides
            }
            None => {
                state.sides_lately.count(now, [true, false]);
                (state.heard_sides.sides, state.heard_sides.short) = (state.heard_sides.sides + 1, 0);
                0
            }
        }
    }

    /// Notes calls between two trunks in which neither side was heard.
    pub fn both_unheard(&mut self, now: Instant, [one, other]: [&Arc<str>; 2], calls: u64) {
        if calls == 0 || one == other {
            return;
        }
        for (own, other) in [(one, other), (other, one)] {
            if let Some(state) = self.by_name.get_mut(own) {
                state.note_both(now, other, calls);
            }
        }
    }

    /// Notes a fault in a call. `refused` is true if the call lost its target because of it.
    pub fn record_fault(&mut self, now: Instant, name: &str, sid: &str, found: CallFault<'_>, refused: bool) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.faults.note(now, sid, found, refused);
        }
    }

    /// Notes that a fault continues or recurs in a call.
    pub fn fault_goes_on(&mut self, now: Instant, name: &str, sid: &str, found: CallFault<'_>) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.faults.renew(now, sid, found);
        }
    }

    /// Notes that a call answered at `answered` had no fault of this kind.
    pub fn without_fault(&mut self, name: &str, kind: FaultKind, answered: Instant) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.faults.note_good(kind, answered);
        }
    }

    /// Returns whether an INVITE too long for UDP may be logged now, and then starts the pause until the next line.
    pub fn may_log_oversize(&mut self, now: Instant, name: &Arc<str>) -> bool {
        let told = &mut self.state(name).oversize_told;
        let due = told.is_none_or(|at| now.saturating_duration_since(at) >= OVERSIZE_TOLD_EVERY);
        if due {
            *told = Some(now);
        }
        due
    }

    /// Returns whether an alarm (trunk, reason) may be logged now, at least `again` after its last line, and then
    /// starts that pause.
    pub(crate) fn may_alarm(&mut self, now: Instant, alarm: (Arc<str>, &'static str), again: Duration) -> bool {
        let told = self.alarms.get(&alarm);
        let is_due = told.is_none_or(|at| now.saturating_duration_since(*at) >= again);
        if is_due {
            self.alarms.insert(alarm, now);
        }
        is_due
    }

    /// Returns the recent answer-seizure ratio and quality of a trunk.
    pub fn figures(&self, now: Instant, name: &str) -> PerformanceFigures {
        self.by_name
            .get(name)
            .map_or_else(|| TrunkPerformance::default().figures(now), |state| state.standing.figures(now))
    }

    /// Returns whether a call may try this trunk first to measure its ratio again: at most one in [`PROBE_SECONDS`].
    pub(crate) fn may_probe(&self, now: Instant, name: &str) -> bool {
        let probed = self.by_name.get(name).and_then(|state| state.probed);
        probed.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(PROBE_SECONDS))
    }

    /// Notes that a call tries this trunk first to measure its ratio again.
    pub fn probed(&mut self, now: Instant, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.probed = Some(now);
        }
    }

    /// Returns whether a trunk answers some calls while it rejects others.
    pub fn answers_some(&self, now: Instant, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|state| state.rejections.answers_some(now))
    }

    /// Notes a trunk's final response to a call, for all of its addresses together.
    pub fn responded(&mut self, now: Instant, name: &str, response: &FinalResponse<'_>) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.rejections.note(now, response);
        }
    }

    /// Returns, for each trunk, the calls answered or rejected since the start, and those rejected.
    pub fn decisions(&self) -> impl Iterator<Item = (&Arc<str>, [u64; 2])> {
        self.by_name.iter().map(|(name, state)| (name, state.rejections.decisions()))
    }

    /// Sets the last problem of a trunk, for status views.
    pub fn problem(&mut self, now: Instant, name: &str, text: String) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.last_problem = Some((text, now));
        }
    }

    /// Notes that a server of a recording group records a call.
    pub fn recorded(&mut self, now: Instant, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.recorders.taken(now);
        }
    }

    /// Notes that no server of a recording group records a call. `why`: result of the last server.
    pub fn not_recorded(&mut self, now: Instant, name: &str, why: &str, sid: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.recorders.failed(now, why, sid);
        }
    }

    /// Returns the reason to refuse a call that a recording group must record; `None` if the call is admitted, also as
    /// a test of the group.
    pub fn refuses_recording(&mut self, now: Instant, name: &str) -> Option<&str> {
        self.by_name.get_mut(name)?.recorders.refuse(now)
    }

    /// Clears the last problem if this address had not answered.
    pub(crate) fn answers_again(&mut self, name: &str, address: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.last_problem.take_if(|(text, _)| text.starts_with(address));
        }
    }

    /// Clears the last problem if the trunk had no registration.
    pub fn registered(&mut self, name: &str) {
        if let Some(state) = self.by_name.get_mut(name) {
            state.last_problem.take_if(|(text, _)| text.starts_with(NOT_REGISTERED));
        }
    }

    /// Returns the state of a trunk; a new trunk has no limits.
    fn state(&mut self, name: &Arc<str>) -> &mut TrunkState {
        self.by_name.entry(name.clone()).or_default()
    }

    /// Returns the number of live calls by trunk.
    pub fn calls(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.by_name.iter().map(|(name, state)| (name, state.calls))
    }

    /// Returns the state of a trunk for display; `up` and `peers` come from the health of its addresses.
    pub fn view(
        &self,
        now: Instant,
        date: impl Fn(Instant) -> SystemTime,
        trunk: &Trunk,
        up: Option<bool>,
        peers: Vec<PeerView>,
    ) -> TrunkView {
        let state = self.by_name.get(&trunk.name);
        let problem = state.and_then(|state| state.last_problem.clone());
        TrunkView {
            name: trunk.name.to_string(),
            state: state_word(up),
            calls: state.map_or(0, |s| s.calls),
            max_calls: trunk.max_calls,
            cps: state.map_or(0, |s| s.pace.last_second(now)),
            tried: state.map_or(0, |s| s.tried),
            answered_ratio: state.filter(|s| s.tried > 0).map(|s| s.answered.calls as f64 / s.tried as f64),
            last_hour: state.map_or_else(TriedView::default, |s| {
                let [tried, answered] = s.tried_lately.sums(now);
                TriedView { tried, answered, last_answered: s.answered.last }
            }),
            lately: self.figures(now, &trunk.name),
            failures: state.map_or(0, |s| s.failed),
            unreached: state.map(|state| state.unreached.view(now)).unwrap_or_default(),
            last_problem_at: problem.as_ref().map(|(_, at)| rfc3339(date(*at))),
            last_problem: problem.map(|(text, _)| text),
            congested_seconds: state.and_then(|state| state.congestion.seconds_left(now)),
            rejected: state.and_then(|state| state.rejections.view(now, trunk)),
            unheard: state.and_then(|state| state.unheard(now)),
            codec_mismatch: state.and_then(|state| state.fault(now, FaultKind::Codecs)),
            loss: state.and_then(|state| state.fault(now, FaultKind::Loss)),
            stopped: state.and_then(|state| state.fault(now, FaultKind::Stopped)),
            unsent: state.and_then(|state| state.fault(now, FaultKind::Unsent)),
            quality: state.and_then(|state| state.sound.view(now)),
            unrecorded: state.and_then(|state| state.recorders.view(now)),
            peers,
            announced: Vec::new(),
            registrations: RegistrationsView::default(),
        }
    }
}

/// New calls in the current and in the previous second.
#[derive(Debug, Default)]
struct CallRate {
    second: Option<Instant>,
    now: u32,
    before: u32,
}

impl CallRate {
    fn count(&mut self, now: Instant) {
        let begun = self.second.map(|second| now.saturating_duration_since(second));
        match begun {
            Some(gone) if gone < SECOND => {}
            Some(gone) => {
                self.before = if gone < 2 * SECOND { self.now } else { 0 };
                self.now = 0;
                self.second = Some(if gone < 2 * SECOND { now - (gone - SECOND) } else { now });
            }
            None => self.second = Some(now),
        }
        self.now = self.now.saturating_add(1);
    }

    fn last_second(&self, now: Instant) -> u32 {
        match self.second.map(|second| now.saturating_duration_since(second)) {
            Some(gone) if gone < SECOND => self.before,
            Some(gone) if gone < 2 * SECOND => self.now,
            Some(_) | None => 0,
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use trunkgate_story::FailureResponse;
    use trunkgate_story::diagnosis::FaultCause;

    use super::*;
    use crate::trunks::rejections::RejectionScope;

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn sides_that_were_not_heard_are_counted_by_cause() {
        let start = Instant::now();
        let mut state = TrunkState::default();
        let found = |cause| Diagnosis { cause, text: "words".into(), fix: "others".into() };
        let ours = FaultCause::OurAddress([203, 0, 113, 9].into());
        let elsewhere = FaultCause::OurAddress([203, 0, 113, 10].into());
        for (n, cause) in [ours, FaultCause::Nothing, ours, elsewhere].into_iter().enumerate() {
            state.sides_lately.count(start, [true, true]);
            state.note_unheard(start, (&found(cause), 1), &format!("CA{n}"));
        }
        let view = state.unheard(start).unwrap();
        assert_eq!((view.calls, view.kind, view.last_sid.as_str()), (4, "our_address", "CA3"));
        let kinds: Vec<_> =
            view.kinds.iter().map(|one| (one.kind, one.told, one.calls, one.last_sid.as_str())).collect();
        let [nothing, first, second] = kinds[..] else { panic!("{kinds:?}") };
        assert_eq!(nothing, ("nothing", None, 1, "CA1"));
        assert_eq!(first, ("our_address", Some([203, 0, 113, 9].into()), 2, "CA2"));
        assert_eq!(second, ("our_address", Some([203, 0, 113, 10].into()), 1, "CA3"));
        // Causes of more than an hour ago are neither shown nor kept.
        let later = start + Duration::from_secs(7_200);
        state.sides_lately.count(later, [true, true]);
        state.note_unheard(later, (&found(FaultCause::Srtp), 1), "CA9");
        assert_eq!((state.silent_sides.len(), state.unheard(later).unwrap().kinds.len()), (1, 1));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn a_side_that_is_not_heard_in_a_short_call_counts_with_the_third_in_a_row() {
        let (now, name) = (Instant::now(), Arc::from("pbx"));
        let found = Diagnosis { cause: FaultCause::Nothing, text: "words".into(), fix: "others".into() };
        let mut trunks = Trunks::default();
        trunks.state(&name);
        let mut after = |unheard: bool, is_short| {
            trunks.record_audibility(now, "pbx", "CA1", (unheard.then_some(&found), is_short));
            trunks.by_name["pbx"].unheard(now).map_or((0, 0), |view| (view.calls, view.of))
        };
        let short = [(true, true); 5].map(|(unheard, is_short)| after(unheard, is_short));
        assert_eq!(short, [(0, 0), (0, 0), (3, 3), (4, 4), (5, 5)]);
        assert_eq!([after(false, true), after(true, true), after(true, true)], [(5, 6), (5, 6), (5, 6)]);
        assert_eq!(after(true, false), (8, 9), "a longer call tells by itself");
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn a_fault_is_so_no_more_after_three_good_calls_or_other_keys() {
        let (now, name) = (Instant::now(), Arc::from("pbx"));
        let found = Diagnosis { cause: FaultCause::Nothing, text: "words".into(), fix: "others".into() };
        let mut trunks = Trunks::default();
        trunks.state(&name);
        let still = |trunks: &Trunks| {
            let state = &trunks.by_name["pbx"];
            [state.unheard(now), state.fault(now, FaultKind::Codecs)].map(|view| view.map(|view| view.still))
        };
        let bad = |trunks: &mut Trunks| {
            trunks.record_fault(now, "pbx", "CA1", CallFault { kind: FaultKind::Codecs, what: &found }, false);
            trunks.record_audibility(now, "pbx", "CA1", (Some(&found), false));
        };
        bad(&mut trunks);
        for _ in 0..HEARD_AGAIN {
            assert_eq!(still(&trunks), [Some(true); 2]);
            trunks.record_audibility(now, "pbx", "CA2", (None, false));
            trunks.without_fault("pbx", FaultKind::Codecs, now);
        }
        assert_eq!(still(&trunks), [Some(false); 2]);
        bad(&mut trunks);
        assert_eq!(still(&trunks), [Some(true); 2]);
        let of = |name: &str| ConfigChangeScope { media: [name.into()].into(), ..ConfigChangeScope::default() };
        trunks.reconfigured(&of("carrier"));
        assert_eq!(still(&trunks), [Some(true); 2]);
        trunks.reconfigured(&of("pbx"));
        assert_eq!(still(&trunks), [Some(false); 2]);
        bad(&mut trunks);
        assert_eq!(still(&trunks), [Some(true); 2], "the change did not help");
        assert_eq!(trunks.by_name["pbx"].unheard(now).unwrap().calls, 3, "counts go on");
        trunks.reconfigured(&ConfigChangeScope { all_media: true, ..ConfigChangeScope::default() });
        assert_eq!(still(&trunks), [Some(false); 2]);
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn rejections_are_withdrawn_by_other_keys_of_that_trunk() {
        let (now, name) = (Instant::now(), Arc::from("carrier"));
        let mut trunks = Trunks::default();
        trunks.state(&name);
        let said = FailureResponse { code: 403, ..FailureResponse::default() };
        let (sid, called, how) = ("CA1", "+14155550100", RejectionScope::Always);
        trunks.responded(now, "carrier", &FinalResponse { sid, called, how, said: &said, fault: None, is_lost: true });
        let still =
            |trunks: &Trunks| trunks.by_name["carrier"].rejections.view(now, &Trunk::named("carrier")).unwrap().still;
        let (media, calls) = (["carrier".into()].into(), ["pbx".into()].into());
        trunks.reconfigured(&ConfigChangeScope { all_media: true, media, calls, ..ConfigChangeScope::default() });
        assert!(still(&trunks), "nothing was changed for which that carrier rejects calls");
        trunks.reconfigured(&ConfigChangeScope { calls: ["carrier".into()].into(), ..ConfigChangeScope::default() });
        assert!(!still(&trunks));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn the_pace_is_that_of_the_last_whole_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = CallRate::default();
        for ms in [0, 300, 900] {
            pace.count(at(ms));
        }
        assert_eq!(pace.last_second(at(950)), 0, "no second is over");
        assert_eq!(pace.last_second(at(1_500)), 3);
        pace.count(at(1_500));
        assert_eq!(pace.last_second(at(1_900)), 3);
        assert_eq!(pace.last_second(at(2_100)), 1);
        assert_eq!(pace.last_second(at(9_000)), 0);
        pace.count(at(9_000));
        assert_eq!((pace.last_second(at(9_100)), pace.last_second(at(10_100))), (0, 1));
    }
}
