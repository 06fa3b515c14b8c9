//! Samples for the console's charts: one every ten seconds for an hour, one every five minutes for a day, and the
//! failures of the last hour. Bounded in memory, and lost at the end of the process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use trunkgate_call::metrics::Metrics;
use trunkgate_call::view::AgentView;
use trunkgate_call::{EdgeEvent, EdgeEventKind, QueuesCounted, ReasonSlug};

use trunkgate_delivery::sinks::events::{LiveEvent, as_text, is_usual};
use trunkgate_system::limits;

/// Values of the gateway shown by `/metrics`.
#[derive(Debug)]
pub struct GatewayCounts {
    /// By trunk: the number of its calls that were answered or rejected, and of those that were rejected.
    pub decisions: Vec<(Arc<str>, [u64; 2])>,
    /// Application errors other than those of webhooks: application, code, count.
    pub app_errors: Vec<(Arc<str>, u32, u64)>,
    /// Metrics of the signalling core.
    pub metrics: Metrics,
    /// Agents in their displayed form.
    pub agents: Vec<AgentView>,
    /// Total number of media ports.
    pub media_ports: usize,
    /// Number of active conferences and of their parties.
    pub conferences: [usize; 2],
    /// Queues of calls.
    pub queues: QueuesCounted,
}

/// Sample of one interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HistorySample {
    /// End of the interval in whole milliseconds, as used by `since`.
    #[serde(serialize_with = "as_text")]
    pub(crate) at: Timestamp,
    /// Calls in progress at the end of the interval; the maximum of merged intervals.
    pub(crate) calls: u64,
    /// Media ports in use at the end of the interval; the maximum of merged intervals.
    pub(crate) ports_in_use: u64,
    /// Active calls by trunk at the end of the interval; of merged intervals, those of the interval with the most
    /// calls.
    pub(crate) trunks: BTreeMap<String, u64>,
    /// Callers by agent at the end of the interval, without idle agents.
    pub(crate) agents: BTreeMap<String, u64>,
    /// Events in the interval.
    #[serde(flatten)]
    pub(crate) tally: HistoryCounts,
}

/// Counts of events in an interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct HistoryCounts {
    /// Calls that arrived and were not rejected at once.
    pub(crate) begun: u64,
    /// Calls that were answered.
    pub(crate) answered: u64,
    /// Calls that ended.
    pub(crate) ended: u64,
    /// Ended calls that failed or were rejected.
    pub(crate) failed: u64,
    /// Calls that failed over to another target.
    pub(crate) failed_over: u64,
    /// Calls in which a party that should have sent media sent none.
    pub(crate) one_way: u64,
    /// Calls with heavy packet loss in one direction.
    pub(crate) loss: u64,
    /// Mean MOS of the ended calls with a known score.
    pub(crate) mos: Option<f64>,
    /// Lowest MOS of the ended calls with a known score.
    pub(crate) mos_lowest: Option<f64>,
    /// Number of calls included in `mos`.
    #[serde(skip)]
    scored: u64,
}

impl HistoryCounts {
    fn score(&mut self, mos: f64, weight: u64) {
        let sum = self.mos.unwrap_or_default() * self.scored as f64 + mos * weight as f64;
        self.scored += weight;
        self.mos = Some(sum / self.scored as f64);
    }

    fn lowest(&mut self, mos: Option<f64>) {
        self.mos_lowest = [self.mos_lowest, mos].into_iter().flatten().reduce(f64::min);
    }

    fn add(&mut self, other: &HistoryCounts) {
        self.begun += other.begun;
        self.answered += other.answered;
        self.ended += other.ended;
        self.failed += other.failed;
        self.failed_over += other.failed_over;
        self.one_way += other.one_way;
        self.loss += other.loss;
        if let Some(mos) = other.mos {
            self.score(mos, other.scored);
        }
        self.lowest(other.mos_lowest);
    }
}

/// Key of a recent failure: its kind, reason, party and SIP code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct PartyFailure {
    kind: &'static str,
    reason: &'static str,
    /// Target or trunk that failed.
    party: String,
    /// SIP status code with which the party rejected the call, if any.
    pub code: Option<u16>,
}

/// Occurrences of one failure in the last hour.
#[derive(Debug, Clone, Default)]
struct FailureOccurrences {
    /// Number of occurrences by minute since 1970, ascending.
    minutes: VecDeque<(i64, u64)>,
    /// Latest affected calls, without duplicates.
    calls: VecDeque<String>,
    last: Option<LastOccurrence>,
}

impl FailureOccurrences {
    /// Records an affected call; returns whether it is new, so that a party that stops sending twice in a call counts
    /// once.
    fn is_new(&mut self, sid: &str) -> bool {
        if self.calls.iter().any(|known| known == sid) {
            return false;
        }
        if self.calls.len() >= limits::HISTORY_TROUBLE_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(sid.to_owned());
        true
    }

    fn count(&mut self, minute: i64) {
        match self.minutes.back_mut() {
            Some((last, count)) if *last == minute => *count += 1,
            _ => self.minutes.push_back((minute, 1)),
        }
        while self.minutes.len() > limits::HISTORY_TROUBLE_MINUTES {
            self.minutes.pop_front();
        }
    }
}

/// Last occurrence of a failure.
#[derive(Debug, Clone, Serialize)]
struct LastOccurrence {
    #[serde(serialize_with = "as_text")]
    last_at: Timestamp,
    last_sid: Option<String>,
    trunk: Option<String>,
    /// Trunk, agent or application that failed.
    target: Option<String>,
    text: Option<String>,
    #[serde(skip)]
    fix: Option<String>,
}

/// Recent failure in the form shown by the console and the API.
#[derive(Debug, Serialize)]
pub struct TroubleView {
    /// `failed` (the call failed), `ended` (an answered call ended prematurely), or a flag of calls: `failed_over`,
    /// `one_way`, `unsent`, `codec_mismatch`.
    kind: &'static str,
    /// A slug of docs/reference/reasons.md; empty for the last three.
    reason: &'static str,
    /// SIP status code with which the target rejected the calls, if any.
    code: Option<u16>,
    /// Meaning of the reason.
    sentence: &'static str,
    /// Number of occurrences in the last hour.
    count: u64,
    /// Suggested fix.
    fix: Option<String>,
    #[serde(flatten)]
    last: Option<LastOccurrence>,
}

/// Chart samples and recent failures.
#[derive(Debug, Default)]
pub struct EdgeHistory {
    fine: VecDeque<HistorySample>,
    coarse: VecDeque<HistorySample>,
    /// Samples of ten seconds since the last five-minute sample, merged, with their number.
    open: Option<(u32, HistorySample)>,
    tally: HistoryCounts,
    troubles: BTreeMap<PartyFailure, FailureOccurrences>,
    /// Receiver of live events that were not processed yet.
    changes: Option<Receiver<Arc<LiveEvent>>>,
}

impl EdgeHistory {
    /// Creates an empty history that is fed by these live events.
    pub fn of(changes: Receiver<Arc<LiveEvent>>) -> EdgeHistory {
        EdgeHistory { changes: Some(changes), ..EdgeHistory::default() }
    }

    /// Processes the live events since the last call. A wake-up per event would cost more than its processing; [`keep`]
    /// wakes once for several hundred.
    pub(crate) fn catch_up(&mut self) {
        let Some(mut changes) = self.changes.take() else { return };
        loop {
            match changes.try_recv() {
                Ok(event) => self.take(&event),
                // A chart may miss some changes.
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Closed) => return,
            }
        }
        self.changes = Some(changes);
    }

    /// Processes a live event: counts it, and records a failure.
    fn take(&mut self, event: &LiveEvent) {
        let LiveEvent { at, change, .. } = event;
        match change.what {
            EdgeEventKind::CallTrying => self.tally.begun += 1,
            EdgeEventKind::CallAnswered => self.tally.answered += 1,
            EdgeEventKind::CallFailedOver => {
                self.tally.failed_over += 1;
                self.trouble(*at, "failed_over", change);
            }
            EdgeEventKind::MediaOneWay => {
                self.tally.one_way += 1;
                self.trouble(*at, "one_way", change);
                // If both parties are silent, each one's failure includes the call, as in its list of calls.
                if change.also.is_some() {
                    self.trouble(*at, "one_way", &EdgeEvent { trunk: change.also.clone(), ..change.clone() });
                }
            }
            EdgeEventKind::MediaUnsent => self.trouble(*at, "unsent", change),
            EdgeEventKind::MediaMismatch => self.trouble(*at, "codec_mismatch", change),
            EdgeEventKind::MediaLoss => {
                self.tally.loss += 1;
                self.trouble(*at, "loss", change);
            }
            EdgeEventKind::CallEnded => self.ended(*at, change),
            EdgeEventKind::CallRinging
            | EdgeEventKind::CallTranscribed
            | EdgeEventKind::TrunkUp
            | EdgeEventKind::TrunkDown
            | EdgeEventKind::AgentFailed
            | EdgeEventKind::ConfigReloaded
            | EdgeEventKind::ConfigRefused
            | EdgeEventKind::Drain => {}
        }
    }

    fn ended(&mut self, at: Timestamp, change: &EdgeEvent) {
        self.tally.ended += 1;
        if let Some(mos) = change.mos {
            self.tally.score(mos, 1);
            self.tally.lowest(Some(mos));
        }
        match change.call.as_ref().and_then(|call| call.outcome) {
            Some("failed" | "refused") => {
                self.tally.failed += 1;
                self.trouble(at, "failed", change);
            }
            Some("answered") if !change.reason.is_some_and(is_usual) => self.trouble(at, "ended", change),
            _ => {}
        }
    }

    fn trouble(&mut self, at: Timestamp, kind: &'static str, change: &EdgeEvent) {
        let party = change.target.as_ref().or(change.trunk.as_ref()).cloned().unwrap_or_default();
        let fault = PartyFailure { kind, reason: change.reason.unwrap_or_default(), party, code: change.code };
        let minute = at.as_second().div_euclid(60);
        // Parties given by URI are unbounded external input.
        if self.troubles.len() >= limits::HISTORY_TROUBLES && !self.troubles.contains_key(&fault) {
            let oldest =
                self.troubles.iter().min_by_key(|(_, trouble)| trouble.minutes.back().map(|(minute, _)| *minute));
            if let Some(oldest) = oldest.map(|(fault, _)| fault.clone()) {
                self.troubles.remove(&oldest);
            }
        }
        let trouble = self.troubles.entry(fault).or_default();
        let last_sid = change.call.as_ref().map(|call| call.sid.clone());
        if last_sid.as_deref().is_none_or(|sid| trouble.is_new(sid)) {
            trouble.count(minute);
        }
        trouble.last = Some(LastOccurrence {
            last_at: at,
            last_sid,
            trunk: change.trunk.clone(),
            target: change.target.clone(),
            text: change.text.clone(),
            fix: change.fix.clone(),
        });
    }

    /// Ends an interval of ten seconds and adds its sample.
    pub(super) fn sample(&mut self, at: Timestamp, calls: u64, counted: &GatewayCounts) {
        let trunks = counted.metrics.calls_active.iter().filter(|(_, calls)| **calls > 0);
        let agents = counted.agents.iter().filter(|agent| agent.talking > 0).take(limits::HISTORY_TRUNKS);
        let sample = HistorySample {
            at,
            calls,
            ports_in_use: counted.metrics.media_ports_in_use,
            agents: agents.map(|agent| (agent.name.clone(), agent.talking)).collect(),
            trunks: trunks.take(limits::HISTORY_TRUNKS).map(|(name, calls)| (name.to_string(), *calls)).collect(),
            tally: std::mem::take(&mut self.tally),
        };
        self.push(sample);
    }

    fn push(&mut self, sample: HistorySample) {
        let (count, mut open) = self.open.take().unwrap_or_default();
        open.at = sample.at;
        // The calls per trunk are those of one moment, because the sum of separate maxima could exceed the number of
        // calls.
        if count == 0 || sample.calls > open.calls {
            open.trunks.clone_from(&sample.trunks);
        }
        open.calls = open.calls.max(sample.calls);
        open.ports_in_use = open.ports_in_use.max(sample.ports_in_use);
        most(&mut open.agents, &sample.agents);
        open.tally.add(&sample.tally);
        if count + 1 < limits::HISTORY_FINE_IN_COARSE {
            self.open = Some((count + 1, open));
        } else {
            bounded(&mut self.coarse, open, limits::HISTORY_COARSE_SAMPLES);
        }
        bounded(&mut self.fine, sample, limits::HISTORY_FINE_SAMPLES);
    }

    /// Returns the samples after `since`: coarse (five minutes) or fine (ten seconds).
    pub fn samples(&self, coarse: bool, since: Option<Timestamp>) -> Vec<HistorySample> {
        let samples = if coarse { &self.coarse } else { &self.fine };
        samples.iter().filter(|sample| since.is_none_or(|since| sample.at > since)).cloned().collect()
    }

    /// Returns the failures in the hour before `now`: lost calls first, then audio problems, then failovers; each group
    /// by frequency.
    pub fn troubles(&self, now: Timestamp) -> Vec<TroubleView> {
        let from = now.as_second().div_euclid(60) - limits::HISTORY_TROUBLE_MINUTES as i64;
        let view = |(fault, trouble): (&PartyFailure, &FailureOccurrences)| TroubleView {
            kind: fault.kind,
            reason: fault.reason,
            code: fault.code,
            sentence: sentence(fault.kind, fault.reason),
            count: trouble.minutes.iter().filter(|(minute, _)| *minute > from).map(|(_, count)| count).sum(),
            fix: fix(fault.reason, trouble.last.as_ref()),
            last: trouble.last.clone(),
        };
        let mut all: Vec<TroubleView> = self.troubles.iter().map(view).filter(|trouble| trouble.count > 0).collect();
        all.sort_by_key(|trouble| (rank(trouble.kind), std::cmp::Reverse(trouble.count)));
        all
    }
}

/// Keeps the maximum of two values for each name.
fn most(kept: &mut BTreeMap<String, u64>, others: &BTreeMap<String, u64>) {
    for (name, calls) in others {
        let most = kept.entry(name.clone()).or_default();
        *most = (*most).max(*calls);
    }
}

fn bounded(samples: &mut VecDeque<HistorySample>, sample: HistorySample, most: usize) {
    if samples.len() >= most {
        samples.pop_front();
    }
    samples.push_back(sample);
}

/// Returns the rank of a failure kind by harm, most harmful first.
fn rank(kind: &str) -> u8 {
    match kind {
        "failed" => 0,
        "ended" => 1,
        "failed_over" => 3,
        _ => 2,
    }
}

fn sentence(kind: &str, reason: &str) -> &'static str {
    match kind {
        "one_way" => "a party of an answered call sent no media",
        "unsent" => "this machine could not send packets of an answered call",
        "codec_mismatch" => "a party of an answered call sent a codec that was not negotiated",
        "loss" => "much of the audio of an answered call was lost",
        _ => ReasonSlug::ALL.iter().find(|slug| slug.as_str() == reason).map_or("", |slug| slug.sentence()),
    }
}

/// Returns the suggested fix: that of the last occurrence if it has one, otherwise that of the reason.
fn fix(reason: &str, last: Option<&LastOccurrence>) -> Option<String> {
    let own = last.and_then(|last| last.fix.clone());
    let fix = own.or_else(|| ReasonSlug::ALL.iter().find(|slug| slug.as_str() == reason)?.fix().map(str::to_owned))?;
    // The fix of a reason contains no agent name.
    Some(match last.and_then(|last| last.target.as_ref()) {
        Some(target) => fix.replace("agent test NAME", &format!("agent test {target}")),
        None => fix,
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use trunkgate_call::change::CallChange;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn event(second: i64, what: EdgeEventKind, reason: Option<&'static str>) -> LiveEvent {
        LiveEvent { id: 1, at: at(second), change: EdgeEvent { reason, ..EdgeEvent::new(what) } }
    }

    #[test]
    fn an_hour_and_a_day_are_kept_and_no_more() {
        let mut history = EdgeHistory::default();
        let days = 2 * 24 * 360;
        for n in 0..days {
            let tally = HistoryCounts {
                begun: 1,
                mos: Some(4.0),
                scored: 1,
                mos_lowest: Some(3.0),
                ..HistoryCounts::default()
            };
            history.push(HistorySample { at: at(n * 10), calls: n as u64 % 7, tally, ..HistorySample::default() });
        }
        let (fine, coarse) = (history.samples(false, None), history.samples(true, None));
        assert_eq!((fine.len(), coarse.len()), (360, 288));
        assert_eq!(fine.last().unwrap().at, at((days - 1) * 10));
        let last = coarse.last().unwrap();
        assert_eq!((last.calls, last.tally.begun, last.tally.mos_lowest), (6, 30, Some(3.0)));
        assert!((last.tally.mos.unwrap() - 4.0).abs() < 1e-9);
        assert_eq!(history.samples(false, Some(fine[357].at)), fine[358..]);
    }

    #[test]
    fn the_calls_of_trunks_are_those_of_the_moment_with_the_most_calls() {
        let mut history = EdgeHistory::default();
        for n in 0..i64::from(limits::HISTORY_FINE_IN_COARSE) {
            let (name, calls) = if n == 7 { ("both", 9) } else { ("one", 5 + n as u64 % 3) };
            let trunks = BTreeMap::from([(format!("{name}-{n}"), calls)]);
            history.push(HistorySample { at: at(n * 10), calls, trunks, ..HistorySample::default() });
        }
        let coarse = history.samples(true, None);
        assert_eq!((coarse[0].calls, &coarse[0].trunks), (9, &BTreeMap::from([("both-7".to_owned(), 9)])));
    }

    #[test]
    fn troubles_are_of_the_last_hour_the_worst_first() {
        let mut history = EdgeHistory::default();
        history.take(&event(0, EdgeEventKind::CallFailedOver, Some("no_response")));
        history.take(&event(3000, EdgeEventKind::MediaOneWay, None));
        history.take(&event(3001, EdgeEventKind::CallFailedOver, Some("no_response")));
        history.take(&event(3002, EdgeEventKind::CallRinging, None));
        let seen = |history: &EdgeHistory, now| -> Vec<(&'static str, &'static str, u64)> {
            history.troubles(at(now)).iter().map(|one| (one.kind, one.reason, one.count)).collect()
        };
        assert_eq!(seen(&history, 3002), [("one_way", "", 1), ("failed_over", "no_response", 2)]);
        assert_eq!(seen(&history, 3700), [("one_way", "", 1), ("failed_over", "no_response", 1)]);
        assert!(seen(&history, 8000).is_empty());
        history.take(&event(9000, EdgeEventKind::MediaUnsent, None));
        history.take(&event(9001, EdgeEventKind::MediaMismatch, None));
        assert_eq!(seen(&history, 9001), [("codec_mismatch", "", 1), ("unsent", "", 1)]);
        assert!(history.troubles(at(9001)).iter().all(|one| !one.sentence.is_empty() && one.fix.is_none()));
        for minute in 0..500 {
            history.take(&event(minute * 60, EdgeEventKind::MediaOneWay, None));
        }
        assert!(history.troubles.values().all(|one| one.minutes.len() <= limits::HISTORY_TROUBLE_MINUTES));
    }

    #[test]
    fn a_call_that_meets_a_fault_twice_is_counted_once() {
        let mut history = EdgeHistory::default();
        let stopped = |second, sid: &str| {
            let call = CallChange {
                sid: sid.to_owned(),
                state: "answered",
                outcome: None,
                route: String::new(),
                from: String::new(),
                to: String::new(),
            };
            let event = event(second, EdgeEventKind::MediaOneWay, None);
            LiveEvent { change: EdgeEvent { call: Some(call), trunk: Some("pbx".to_owned()), ..event.change }, ..event }
        };
        for (second, sid) in [(1, "CA1"), (40, "CA1"), (90, "CA2"), (200, "CA1")] {
            history.take(&stopped(second, sid));
        }
        let [trouble] = &history.troubles(at(200))[..] else { panic!("one fault") };
        assert_eq!(trouble.count, 2);
        assert_eq!(trouble.last.as_ref().and_then(|last| last.last_sid.as_deref()), Some("CA1"));
        (0..1000).for_each(|n| history.take(&stopped(300, &n.to_string())));
        assert!(history.troubles.values().all(|one| one.calls.len() <= limits::HISTORY_TROUBLE_CALLS));
    }

    #[test]
    fn a_call_without_audio_from_either_side_is_in_the_row_of_each() {
        let mut history = EdgeHistory::default();
        let silent = event(1, EdgeEventKind::MediaOneWay, None);
        let trunks = (Some("carrier".to_owned()), Some("pbx".to_owned()));
        history.take(&LiveEvent { change: EdgeEvent { trunk: trunks.0, also: trunks.1, ..silent.change }, ..silent });
        let of = |trouble: &TroubleView| trouble.last.as_ref().and_then(|last| last.trunk.clone()).unwrap();
        let mut rows: Vec<(String, u64)> = history.troubles(at(2)).iter().map(|one| (of(one), one.count)).collect();
        rows.sort();
        assert_eq!(rows, [("carrier".to_owned(), 1), ("pbx".to_owned(), 1)]);
        assert_eq!(history.tally.one_way, 1, "it is one call");
    }

    #[test]
    fn what_was_told_is_in_what_is_read_next() {
        let events = trunkgate_delivery::sinks::events::EventChannel::new();
        let mut history = EdgeHistory::of(events.subscribe());
        events.tell(EdgeEvent::new(EdgeEventKind::CallTrying));
        events.tell(EdgeEvent::new(EdgeEventKind::MediaOneWay));
        history.catch_up();
        assert_eq!((history.tally.begun, history.tally.one_way), (1, 1));
        for _ in 0..limits::EVENTS_KEPT + 7 {
            events.tell(EdgeEvent::new(EdgeEventKind::CallTrying));
        }
        history.catch_up();
        assert_eq!(history.tally.begun, 1 + limits::EVENTS_KEPT as u64, "the oldest are missed, and nothing else");
    }

    #[test]
    fn of_a_burst_nothing_is_missed_and_nobody_is_woken_for_each() {
        let events = trunkgate_delivery::sinks::events::EventChannel::new();
        let mut history = EdgeHistory::of(events.subscribe());
        let mut context = Context::from_waker(Waker::noop());
        let (count, mut looks) = (8 * limits::EVENTS_KEPT, 0);
        for _ in 0..count {
            events.tell(EdgeEvent::new(EdgeEventKind::CallTrying));
            if pin!(events.many()).poll(&mut context).is_ready() {
                history.catch_up();
                looks += 1;
            }
        }
        history.catch_up();
        assert_eq!((history.tally.begun, looks), (count as u64, 32));
    }

    #[test]
    fn the_fix_of_the_last_call_goes_before_that_of_its_reason() {
        let mut history = EdgeHistory::default();
        let failed = |fix: Option<&str>| {
            let event = event(1, EdgeEventKind::CallFailedOver, Some("codec_mismatch"));
            LiveEvent { change: EdgeEvent { fix: fix.map(str::to_owned), ..event.change }, ..event }
        };
        let fix = |history: &EdgeHistory| history.troubles(at(1))[0].fix.clone();
        history.take(&failed(None));
        assert_eq!(fix(&history).as_deref(), ReasonSlug::CodecMismatch.fix());
        history.take(&failed(Some("`codecs = [\"PCMA\"]`")));
        assert_eq!(fix(&history).as_deref(), Some("`codecs = [\"PCMA\"]`"));
    }

    #[test]
    fn faults_of_other_parties_and_codes_stand_apart_and_are_bounded() {
        let mut history = EdgeHistory::default();
        let failed = |target: String, code, reason| {
            let event = event(1, EdgeEventKind::CallFailedOver, Some(reason));
            LiveEvent { change: EdgeEvent { target: Some(target), code, ..event.change }, ..event }
        };
        for (calls, code) in [(12, 403), (6, 503), (4, 402)] {
            (0..calls).for_each(|_| history.take(&failed("carrier".to_owned(), Some(code), "target_rejected")));
        }
        history.take(&failed("desk".to_owned(), None, "agent_unreachable"));
        let seen = history.troubles(at(1));
        let rows: Vec<_> = seen.iter().map(|one| (one.count, one.code)).collect();
        assert_eq!(rows, [(12, Some(403)), (6, Some(503)), (4, Some(402)), (1, None)]);
        let fix = seen.last().unwrap().fix.clone().unwrap();
        assert!(fix.contains("trunkgate agent test desk") && !fix.contains("NAME"), "{fix}");
        (0..2 * limits::HISTORY_TROUBLES).for_each(|n| history.take(&failed(n.to_string(), None, "no_response")));
        assert_eq!(history.troubles.len(), limits::HISTORY_TROUBLES);
    }

    #[test]
    fn every_reason_has_its_sentence() {
        assert!(ReasonSlug::ALL.iter().all(|slug| !sentence("failed", slug.as_str()).is_empty()));
        assert!(is_usual("caller_hung_up") && !is_usual("ack_timeout"));
    }
}
