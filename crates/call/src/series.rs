//! Quality over time: what each leg received, and what its far end says that it hears, in intervals from the answer on.
//! Read from the ends' counters by the call's own timer, so that no packet waits for it. Where a call grows long, pairs
//! of intervals become one of twice the length: memory stays bounded, and no time is left out.

use std::time::{Duration, Instant, SystemTime};

use trunkgate_media::EndCounters;
use trunkgate_media::mos::Codec;

use crate::call::{Call, State};
use crate::deadlines::Timer;
use crate::edge::Edge;
use crate::leg::{Leg, LegState};
use crate::limits::{QUALITY_INTERVAL_SECONDS, QUALITY_SAMPLES};
use crate::quality::score;
use crate::view::{QualityView, SampleView, SeriesView};
use crate::wall::rfc3339;

/// A timer that is due already is set no nearer than this.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// What a leg has come to.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    received: u64,
    lost: u64,
    sent: u64,
    far_lost: u64,
    far_reports: u64,
}

/// What came in one interval. Truncation is not met: an interval of a whole day has 4 million packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sample {
    received: u32,
    lost: u32,
    sent: u32,
    far_lost: u32,
    /// As it stood at the end; of two intervals that became one, the larger.
    jitter_us: u32,
    far_jitter_us: u32,
    /// The same; 0: not known.
    rtt_us: u32,
    /// Whether the far end reported in it.
    reported: bool,
}

impl Sample {
    fn is_empty(&self) -> bool {
        self.received == 0 && self.sent == 0 && self.lost == 0 && !self.reported
    }
    /// Both as one interval.
    fn and(self, next: Sample) -> Sample {
        Sample {
            received: self.received.saturating_add(next.received),
            lost: self.lost.saturating_add(next.lost),
            sent: self.sent.saturating_add(next.sent),
            far_lost: self.far_lost.saturating_add(next.far_lost),
            jitter_us: self.jitter_us.max(next.jitter_us),
            far_jitter_us: self.far_jitter_us.max(next.far_jitter_us),
            rtt_us: self.rtt_us.max(next.rtt_us),
            reported: self.reported || next.reported,
        }
    }
}

/// One leg.
#[derive(Debug, Clone, Default)]
struct LegSeries {
    before: Totals,
    /// The interval that the first sample belongs to.
    first: usize,
    samples: Vec<Sample>,
}

/// All legs of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    /// When it began; `None` before the answer.
    began: Option<SystemTime>,
    /// When the open interval did.
    open: Option<Instant>,
    /// Intervals that are over.
    over: usize,
    /// How often intervals have become one of twice the length.
    doublings: u32,
    legs: Vec<LegSeries>,
}

impl Series {
    /// Whether an interval is over, and another one.
    pub(crate) fn is_past_the_first(&self) -> bool {
        self.over > 1 || self.doublings > 0
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(QUALITY_INTERVAL_SECONDS << self.doublings.min(16))
    }

    /// From here on, whatever came before.
    fn begin(&mut self, now: Instant, date: SystemTime, legs: &[Leg]) {
        (self.began, self.open) = (Some(date), Some(now));
        self.legs = legs.iter().map(|leg| LegSeries { before: totals(leg), ..LegSeries::default() }).collect();
    }

    /// An interval is over; how long the next one has.
    fn take(&mut self, now: Instant, legs: &[Leg]) -> Duration {
        // The timer's own lateness does not add up; where a whole interval was missed, time begins anew.
        let due = self.open.and_then(|open| open.checked_add(self.interval()));
        let open = due.filter(|due| now.saturating_duration_since(*due) < self.interval()).unwrap_or(now);
        self.open = Some(open);
        self.add(legs);
        if self.over >= QUALITY_SAMPLES {
            self.double();
        }
        let next = open.checked_add(self.interval()).unwrap_or(now);
        next.saturating_duration_since(now).max(SHORTEST_WAIT)
    }

    fn add(&mut self, legs: &[Leg]) {
        self.legs.resize(legs.len(), LegSeries::default());
        for (series, leg) in self.legs.iter_mut().zip(legs) {
            let totals = totals(leg);
            let sample = sample(leg, series.before, totals);
            series.before = totals;
            let is_out = series.samples.is_empty() || leg.state == LegState::Ended;
            if is_out && sample.is_empty() {
                continue;
            }
            if series.samples.is_empty() {
                series.first = self.over;
            }
            // A leg that was out for a while: its place in time is kept.
            let place = self.over.saturating_sub(series.first);
            series.samples.resize(place.min(QUALITY_SAMPLES), Sample::default());
            series.samples.push(sample);
        }
        self.over += 1;
    }

    fn double(&mut self) {
        for series in &mut self.legs {
            let mut merged: Vec<Sample> = Vec::with_capacity(series.samples.len() / 2 + 1);
            for (at, sample) in (series.first..).zip(&series.samples) {
                match merged.last_mut() {
                    Some(last) if at % 2 == 1 => *last = last.and(*sample),
                    _ => merged.push(*sample),
                }
            }
            (series.samples, series.first) = (merged, series.first / 2);
        }
        self.over /= 2;
        self.doublings += 1;
    }
}

fn counters(leg: &Leg) -> impl Iterator<Item = &EndCounters> {
    let ends = leg.ends.iter().map(|end| end.counters.as_ref());
    ends.chain(leg.agent.iter().map(|side| side.counters.as_ref()))
}

fn totals(leg: &Leg) -> Totals {
    let earlier = &leg.earlier;
    let far_lost = earlier.far.as_ref().map_or(0, |far| far.lost);
    let (received, lost, sent) = (earlier.rx_packets, earlier.lost, earlier.tx_packets);
    let mut all = Totals { received, lost, sent, far_lost, far_reports: 0 };
    for counters in counters(leg) {
        all.received += counters.rx_packets.get();
        all.lost += counters.lost.get();
        all.sent += counters.tx_packets.get();
        all.far_lost += counters.far_lost.get();
        all.far_reports += counters.far_reports.get();
    }
    all
}

fn sample(leg: &Leg, before: Totals, now: Totals) -> Sample {
    // Late packets make good: a sum may fall.
    let grown = |now: u64, before: u64| u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
    let largest = |of: fn(&EndCounters) -> u64| {
        u32::try_from(counters(leg).map(of).max().unwrap_or_default()).unwrap_or(u32::MAX)
    };
    Sample {
        received: grown(now.received, before.received),
        lost: grown(now.lost, before.lost),
        sent: grown(now.sent, before.sent),
        far_lost: grown(now.far_lost, before.far_lost),
        jitter_us: largest(|counters| counters.jitter_us.get()),
        far_jitter_us: largest(|counters| counters.far_jitter_us.get()),
        rtt_us: largest(|counters| counters.rtt_us.get()),
        reported: now.far_reports > before.far_reports,
    }
}

/// What is needed to show a call's series: kept for calls that have ended.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The call's sid.
    pub(crate) sid: String,
    began: SystemTime,
    /// Length of the last interval, which may be short.
    last: Duration,
    series: Series,
    legs: Vec<Label>,
}

#[derive(Debug)]
struct Label {
    sid: String,
    party: String,
    codec: String,
    is_agent: bool,
}

impl Kept {
    /// As shown.
    pub(crate) fn view(&self) -> QualityView {
        let legs = self.series.legs.iter().zip(&self.legs).filter(|(leg, _)| !leg.samples.is_empty());
        let series = legs.flat_map(|(leg, label)| {
            ["received", "sent"].map(|direction| SeriesView {
                leg: label.sid.clone(),
                party: label.party.clone(),
                codec: label.codec.clone(),
                direction,
                samples: self.samples(leg, label, direction == "received"),
            })
        });
        QualityView { sid: self.sid.clone(), interval_s: self.series.interval().as_secs(), series: series.collect() }
    }

    fn samples(&self, leg: &LegSeries, label: &Label, received: bool) -> Vec<SampleView> {
        let codec = Codec::named(&label.codec).filter(|_| !label.is_agent);
        let interval = self.series.interval();
        let shown = (leg.first..).zip(&leg.samples).map(|(at, sample)| {
            let begin = interval.saturating_mul(u32::try_from(at).unwrap_or(u32::MAX));
            let length = if at + 1 == self.series.over { self.last } else { interval };
            let at = rfc3339(self.began + begin);
            let seconds = length.as_millis() as f64 / 1000.0;
            if received { heard(sample, codec, label.is_agent) } else { told(sample, codec) }.at(at, seconds)
        });
        shown.collect()
    }
}

/// What the edge heard of the leg.
fn heard(sample: &Sample, codec: Option<Codec>, is_agent: bool) -> SampleView {
    let expected = sample.received.saturating_add(sample.lost);
    SampleView {
        packets: sample.received,
        lost: Some(sample.lost),
        jitter_ms: (!is_agent && sample.received > 0).then(|| ms(sample.jitter_us)),
        rtt_ms: (sample.rtt_us > 0).then(|| ms(sample.rtt_us)),
        mos: score(
            codec,
            (sample.lost.into(), if sample.received > 0 { expected } else { 0 }.into()),
            sample.jitter_us.into(),
            sample.rtt_us.into(),
        ),
        ..SampleView::default()
    }
}

/// What the leg's far end says that it heard of us: nothing in an interval without a report of its.
fn told(sample: &Sample, codec: Option<Codec>) -> SampleView {
    let said = sample.reported;
    let score =
        score(codec, (sample.far_lost.into(), sample.sent.into()), sample.far_jitter_us.into(), sample.rtt_us.into());
    SampleView {
        packets: sample.sent,
        lost: said.then_some(sample.far_lost),
        jitter_ms: said.then(|| ms(sample.far_jitter_us)),
        rtt_ms: (sample.rtt_us > 0).then(|| ms(sample.rtt_us)),
        mos: score.filter(|_| said),
        ..SampleView::default()
    }
}

fn ms(us: u32) -> f64 {
    f64::from(us) / 1000.0
}

impl Call {
    /// The call is answered, or goes on after a restart of the edge: its series begins.
    pub(crate) fn begin_series(&mut self, now: Instant, edge: &mut Edge) {
        self.series.begin(now, edge.date(now), &self.legs);
        self.arm(now, edge, Timer::Quality, self.series.interval());
    }

    /// An interval is over.
    pub(crate) fn sample_quality(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::Quality);
        if self.state != State::Ended {
            self.capture_reports(now, edge);
            let next = self.series.take(now, &self.legs);
            self.arm(now, edge, Timer::Quality, next);
            self.look_for_flaws(now, edge);
        }
    }

    /// Its series up to now; `None` before the answer.
    pub(crate) fn quality(&self, now: Instant) -> Option<Kept> {
        let (open, began) = (self.series.open?, self.series.began?);
        let mut series = self.series.clone();
        let mut last = now.saturating_duration_since(open);
        if last.is_zero() {
            last = series.interval();
        } else {
            series.add(&self.legs);
        }
        let legs = self.legs.iter().enumerate().map(|(at, leg)| Label {
            sid: leg.sid.clone(),
            party: self.name_of(at),
            codec: leg.codec.clone(),
            is_agent: leg.agent.is_some(),
        });
        Some(Kept { sid: self.sid().to_owned(), began, last, series, legs: legs.collect() })
    }
}
