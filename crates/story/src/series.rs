//! Quality over time: received media of each leg, reports of its remote party and queues of an agent, in intervals
//! from the answer on. The call's own timer reads the counters, so that no packet waits. In a long call, pairs of
//! intervals are merged: memory stays bounded and no time is lost.

use std::time::{Duration, Instant, SystemTime};

use trunkgate_media::mos::MosCodec;

use crate::impairment::{IntervalCounts, LegLoss};
use crate::limits::{QUALITY_INTERVAL_SECONDS, QUALITY_SAMPLES};
use crate::quality::score;
pub use crate::samples::LinkQuality;
use crate::samples::{QualitySample, QualitySamples};
use crate::view::{QualityView, RtpView, SampleView, SeriesView};
use crate::wall::{ClockStep, rfc3339};

/// Minimum time until the timer for the next interval fires.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Length of a frame to an agent, in milliseconds.
const FRAME_MS: u32 = 20;

/// Counters of a leg since the start of its call.
#[derive(Debug, Clone, Copy, Default)]
pub struct LegTotals {
    /// Packets received.
    pub received: u64,
    /// Packets lost on the way to the edge.
    pub lost: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets lost by the remote party's reports.
    pub far_lost: u64,
    /// Reports of the remote party.
    pub far_reports: u64,
}

impl LegTotals {
    /// Returns the totals of media ends that were removed, or that the process had before a restart, from their view.
    pub fn of_earlier(figures: &RtpView) -> LegTotals {
        let far_lost = figures.far.as_ref().map_or(0, |far| far.lost);
        let (received, lost, sent) = (figures.rx_packets, figures.lost, figures.tx_packets);
        LegTotals { received, lost, sent, far_lost, far_reports: 0 }
    }
}

/// Current counters of a leg.
#[derive(Debug, Clone, Copy)]
pub struct CounterReading {
    /// Totals of the leg.
    pub totals: LegTotals,
    /// State of the leg's network or agent; `reported` follows from the totals.
    pub link: LinkQuality,
    /// Whether the leg has ended.
    pub is_over: bool,
}

/// Intervals of one leg: counters at the start of the open interval, and finished samples.
#[derive(Debug, Clone, Default)]
struct LegSeries {
    before: LegTotals,
    /// Index of the interval of the leg's first sample.
    first: usize,
    samples: QualitySamples,
}

/// Intervals of all legs of a call.
#[derive(Debug, Clone, Default)]
pub struct QualitySeries {
    /// Time of the answer; `None` if not answered.
    began: Option<SystemTime>,
    /// Start of the open interval.
    open: Option<Instant>,
    /// Number of finished intervals.
    over: usize,
    /// Number of times that intervals were merged in pairs.
    doublings: u32,
    legs: Vec<LegSeries>,
}

impl QualitySeries {
    /// Returns a copy of the series up to now for display, including the open interval; `None` before the answer.
    /// `readings` and `legs` are in the order of the call's legs.
    pub fn kept(
        &self,
        now: Instant,
        sid: &str,
        readings: impl Iterator<Item = CounterReading>,
        legs: impl Iterator<Item = LegLabel>,
    ) -> Option<QualityRecord> {
        let (open, began) = (self.open?, self.began?);
        let mut series = self.clone();
        let mut last = now.saturating_duration_since(open);
        if last.is_zero() {
            last = series.interval();
        } else {
            series.add(readings);
        }
        Some(QualityRecord { sid: sid.to_owned(), began, last, series, legs: legs.collect() })
    }

    /// Returns the packet loss of the leg with index `leg`. `other` is the index of the leg that sends the audio
    /// forwarded to it. `rest`, if the open interval is to count, has its length and the current counters of all legs.
    pub fn losses(
        &self,
        (leg, other): (usize, Option<usize>),
        codec: Option<MosCodec>,
        rest: Option<(Duration, &mut dyn Iterator<Item = CounterReading>)>,
    ) -> LegLoss {
        let length = rest.as_ref().map(|(length, _)| *length);
        let with_rest = rest.map(|(_, readings)| {
            let mut series = self.clone();
            series.add(readings);
            series
        });
        let series = with_rest.as_ref().unwrap_or(self);
        let of = |leg: usize| {
            series.legs.get(leg).map(|leg| (leg.first, leg.samples.iter().collect::<Vec<QualitySample>>()))
        };
        let (ours, theirs) = (of(leg), other.and_then(of));
        let sample = |of: &Option<(usize, Vec<QualitySample>)>, at: usize| {
            let (first, samples) = of.as_ref()?;
            samples.get(at.checked_sub(*first)?).copied()
        };
        let interval = |at: usize| {
            let QualitySample { received, lost, sent, far_lost, link: way } = sample(&ours, at)?;
            let begin = self.interval().saturating_mul(u32::try_from(at).unwrap_or(u32::MAX));
            let end = begin + length.filter(|_| at + 1 == series.over).unwrap_or(self.interval());
            let is_reported = matches!(way, LinkQuality::Network { reported: true, .. });
            let upstream = sample(&theirs, at).map_or(0, |sample| sample.lost);
            Some(IntervalCounts {
                time: (begin, end),
                received: (received, lost),
                sent: (sent, far_lost),
                is_reported,
                upstream,
            })
        };
        LegLoss::of((0..series.over).filter_map(interval), codec)
    }

    /// Returns the age of the open interval.
    pub fn open_for(&self, now: Instant) -> Duration {
        self.open.map(|open| now.saturating_duration_since(open)).unwrap_or_default()
    }

    /// Returns whether at least two intervals are finished.
    pub fn is_past_the_first(&self) -> bool {
        self.over > 1 || self.doublings > 0
    }

    /// Returns the length of an interval, which doubles whenever intervals are merged.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(QUALITY_INTERVAL_SECONDS << self.doublings.min(16))
    }

    /// Starts the series at the answer; earlier counts are ignored.
    pub fn begin(&mut self, now: Instant, date: SystemTime, legs: impl Iterator<Item = CounterReading>) {
        (self.began, self.open) = (Some(date), Some(now));
        self.legs = legs.map(|leg| LegSeries { before: leg.totals, ..LegSeries::default() }).collect();
    }

    /// Shifts the time of the answer after the wall clock was set.
    pub fn set_clock(&mut self, step: ClockStep) {
        self.began = self.began.map(|began| step.apply_to(began));
    }

    /// Finishes the open interval with the current counters of the legs. Returns the time until the timer for the next
    /// one.
    pub fn finish_interval(&mut self, now: Instant, legs: impl Iterator<Item = CounterReading>) -> Duration {
        // Lateness of the timer must not accumulate; after a missed interval, time restarts.
        let due = self.open.and_then(|open| open.checked_add(self.interval()));
        let open = due.filter(|due| now.saturating_duration_since(*due) < self.interval()).unwrap_or(now);
        self.open = Some(open);
        self.add(legs);
        if self.over >= QUALITY_SAMPLES {
            self.merge_pairs();
        }
        let next = open.checked_add(self.interval()).unwrap_or(now);
        next.saturating_duration_since(now).max(SHORTEST_WAIT)
    }

    fn add(&mut self, legs: impl Iterator<Item = CounterReading>) {
        for (at, leg) in legs.enumerate() {
            if self.legs.len() <= at {
                self.legs.push(LegSeries::default());
            }
            let Some(series) = self.legs.get_mut(at) else { continue };
            let sample = sample(&leg, series.before);
            series.before = leg.totals;
            let is_out = series.samples.is_empty() || leg.is_over;
            if is_out && sample.is_empty() {
                continue;
            }
            if series.samples.is_empty() {
                series.first = self.over;
            }
            // A leg that was absent for a time keeps its position.
            let place = self.over.saturating_sub(series.first);
            let place = place.min(QUALITY_SAMPLES);
            while series.samples.len() < place {
                series.samples.push(&QualitySample::default());
            }
            series.samples.push(&sample);
        }
        self.over += 1;
    }

    fn merge_pairs(&mut self) {
        for series in &mut self.legs {
            let mut merged: Vec<QualitySample> = Vec::with_capacity(series.samples.len() / 2 + 1);
            for (at, sample) in (series.first..).zip(series.samples.iter()) {
                match merged.last_mut() {
                    Some(last) if at % 2 == 1 => *last = last.merged(sample),
                    _ => merged.push(sample),
                }
            }
            (series.samples, series.first) = (QualitySamples::of(&merged), series.first / 2);
        }
        self.over /= 2;
        self.doublings += 1;
    }
}

fn sample(reading: &CounterReading, before: LegTotals) -> QualitySample {
    let now = reading.totals;
    // Late packets reduce the number of lost ones: a sum may decrease.
    let grown = |now: u64, before: u64| u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX);
    let way = match reading.link {
        LinkQuality::Network { jitter_us, far_jitter_us, rtt_us, .. } => {
            LinkQuality::Network { jitter_us, far_jitter_us, rtt_us, reported: now.far_reports > before.far_reports }
        }
        agent @ LinkQuality::Agent { .. } => agent,
    };
    QualitySample {
        received: grown(now.received, before.received),
        lost: grown(now.lost, before.lost),
        sent: grown(now.sent, before.sent),
        far_lost: grown(now.far_lost, before.far_lost),
        link: way,
    }
}

/// Data to show a call's quality over time, kept for ended calls.
#[derive(Debug)]
pub struct QualityRecord {
    /// SID of the call.
    pub sid: String,
    began: SystemTime,
    /// Length of the last interval, which may be shorter than the others.
    last: Duration,
    series: QualitySeries,
    legs: Vec<LegLabel>,
}

/// Names of a leg in a series.
#[derive(Debug)]
pub struct LegLabel {
    /// SID of the leg.
    pub sid: String,
    /// Trunk, agent or URI.
    pub party: String,
    /// Codec of the leg.
    pub codec: String,
    /// Whether the leg is an agent.
    pub is_agent: bool,
    /// Whether the leg is a listen-only agent.
    pub listens: bool,
}

impl QualityRecord {
    /// Returns the quality over time for display.
    pub fn view(&self) -> QualityView {
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

    fn samples(&self, leg: &LegSeries, label: &LegLabel, received: bool) -> Vec<SampleView> {
        let codec = MosCodec::named(&label.codec).filter(|_| !label.is_agent);
        let interval = self.series.interval();
        let shown = (leg.first..).zip(leg.samples.iter()).map(|(at, sample)| {
            let begin = interval.saturating_mul(u32::try_from(at).unwrap_or(u32::MAX));
            let length = if at + 1 == self.series.over { self.last } else { interval };
            let at = rfc3339(self.began + begin);
            let seconds = length.as_millis() as f64 / 1000.0;
            if received { received_view(&sample, codec, label) } else { sent_view(&sample, codec) }.at(at, seconds)
        });
        shown.collect()
    }
}

/// Returns the view of media received from the leg.
fn received_view(sample: &QualitySample, codec: Option<MosCodec>, label: &LegLabel) -> SampleView {
    let QualitySample { received, lost, .. } = *sample;
    let view = SampleView { packets: received, lost: Some(lost), ..SampleView::default() };
    match sample.link {
        LinkQuality::Network { jitter_us, rtt_us, .. } => {
            let expected = if received > 0 { received.saturating_add(lost) } else { 0 };
            SampleView {
                jitter_ms: (!label.is_agent && received > 0).then(|| ms(jitter_us)),
                rtt_ms: (rtt_us > 0).then(|| ms(rtt_us)),
                mos: score(codec, (lost.into(), expected.into()), jitter_us.into(), rtt_us.into()),
                ..view
            }
        }
        LinkQuality::Agent { unheard_ms, most_unheard_ms, .. } => SampleView {
            queue_ms: (!label.listens).then_some(unheard_ms),
            queue_max_ms: (!label.listens).then_some(most_unheard_ms),
            ..view
        },
    }
}

/// Returns the view of media sent to the leg, as reported by its remote party; without figures if no report arrived in
/// the interval. Loss towards an agent is known without reports.
fn sent_view(sample: &QualitySample, codec: Option<MosCodec>) -> SampleView {
    let QualitySample { sent, far_lost, .. } = *sample;
    let view = SampleView { packets: sent, ..SampleView::default() };
    match sample.link {
        LinkQuality::Network { far_jitter_us, rtt_us, reported, .. } => {
            let score = score(codec, (far_lost.into(), sent.into()), far_jitter_us.into(), rtt_us.into());
            SampleView {
                lost: reported.then_some(far_lost),
                jitter_ms: reported.then(|| ms(far_jitter_us)),
                rtt_ms: (rtt_us > 0).then(|| ms(rtt_us)),
                mos: score.filter(|_| reported),
                ..view
            }
        }
        LinkQuality::Agent { unsent, most_unsent, .. } => SampleView {
            lost: Some(far_lost),
            queue_ms: Some(u32::from(unsent) * FRAME_MS),
            queue_max_ms: Some(u32::from(most_unsent) * FRAME_MS),
            ..view
        },
    }
}

fn ms(us: u32) -> f64 {
    f64::from(us) / 1000.0
}
