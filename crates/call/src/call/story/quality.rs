//! What a call sounds like: figures of its legs, and scores.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::EndCounters;
use trunkgate_media::mos::{Codec, delay_ms, mos};

use crate::call::Call;
use crate::call::legs::leg::Leg;
use crate::resources::edge::Edge;
use trunkgate_story::view::RtpView;

/// Scores of intervals, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scored {
    count: u64,
    /// In thousandths.
    sum: u64,
    /// The same; 0: there is none.
    lowest: u64,
}

impl Scored {
    fn add(&mut self, other: Scored) {
        self.count += other.count;
        self.sum += other.sum;
        self.lowest = match (self.lowest, other.lowest) {
            (0, lowest) | (lowest, 0) => lowest,
            (one, two) => one.min(two),
        };
    }
    /// The lowest, to hundredths.
    pub(crate) fn lowest(&self) -> Option<f64> {
        (self.lowest > 0).then(|| hundredths(self.lowest as f64 / 1000.0))
    }
    /// Their mean, to hundredths.
    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| hundredths(self.sum as f64 / self.count as f64 / 1000.0))
    }
    fn of(counters: &EndCounters) -> Scored {
        let scores = &counters.scores;
        Scored { count: scores.count.get(), sum: scores.sum.get(), lowest: scores.lowest.get() }
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Adds an end's counters to a view.
pub(crate) fn add_counters(rtp: &mut RtpView, counters: &EndCounters) {
    let ms = |us: u64| us as f64 / 1000.0;
    rtp.rx_packets += counters.rx_packets.get();
    let refused = counters.symptoms.refused.get();
    rtp.tx_packets += counters.tx_packets.get().saturating_sub(refused);
    rtp.tx_refused += refused;
    rtp.lost += counters.lost.get();
    for (all, run) in rtp.lost_in_a_row.iter_mut().zip(counters.lost_in_a_row.get()) {
        *all = all.saturating_add(run);
    }
    rtp.jitter_ms = rtp.jitter_ms.max(ms(counters.jitter_us.get()));
    let rtt_us = counters.rtt_us.get();
    if rtt_us > 0 {
        rtp.rtt_ms = Some(ms(rtt_us));
    }
    if counters.far_reports.get() > 0 {
        let far = rtp.far.get_or_insert_default();
        far.lost += counters.far_lost.get();
        far.jitter_ms = far.jitter_ms.max(ms(counters.far_jitter_us.get()));
    }
}

/// The same for an end that goes, with its scores.
pub(crate) fn retire(earlier: &mut RtpView, scores: &mut Scored, counters: &EndCounters) {
    add_counters(earlier, counters);
    scores.add(Scored::of(counters));
}

/// How speech sounds of which so many packets of so many were lost, in hundredths; `None` where none was to come, or
/// nothing is known of the codec.
pub(crate) fn score(codec: Option<Codec>, lost_of: (u64, u64), jitter_us: u64, rtt_us: u64) -> Option<f64> {
    let (lost, of) = lost_of;
    let codec = codec.filter(|_| of > 0)?;
    Some(hundredths(mos(codec, lost.min(of) as f64 / of as f64, delay_ms(jitter_us, rtt_us))))
}

/// Scores a view as a whole, both ways.
pub(crate) fn score_view(rtp: &mut RtpView, codec: Option<Codec>) {
    let us = |ms: f64| (ms * 1000.0) as u64;
    let rtt = us(rtp.rtt_ms.unwrap_or(0.0));
    let expected = if rtp.rx_packets > 0 { rtp.rx_packets + rtp.lost } else { 0 };
    rtp.mos = score(codec, (rtp.lost, expected), us(rtp.jitter_ms), rtt);
    if let Some(far) = &mut rtp.far {
        far.mos = score(codec, (far.lost, rtp.tx_packets), us(far.jitter_ms), rtt);
    }
}

impl Leg {
    /// Scores of what it sent; of a call that was too short for one, that of the whole.
    pub(crate) fn scores(&self) -> Scored {
        let mut all = self.scores;
        for end in &self.ends {
            all.add(Scored::of(&end.counters));
        }
        match self.view().rtp.mos.filter(|_| all.count == 0) {
            Some(whole) => {
                let whole = (whole * 1000.0) as u64;
                Scored { count: 1, sum: whole, lowest: whole }
            }
            None => all,
        }
    }
}

impl Call {
    /// Scores of all sides.
    pub(crate) fn scores(&self) -> Scored {
        let mut all = Scored::default();
        for leg in &self.legs {
            all.add(leg.scores());
        }
        all
    }

    /// What was heard of the two sides of an answered call.
    pub(crate) fn count_media(&self, now: Instant, edge: &mut Edge) {
        for leg in [Some(self.near), self.callee].into_iter().flatten() {
            let (heard, scores) = (self.legs[leg].view().rtp, self.legs[leg].scores());
            if heard.rx_packets > 0 {
                edge.metrics.rtp_jitter_seconds.observe(heard.jitter_ms / 1000.0);
            }
            if let Some(rtt) = heard.rtt_ms {
                edge.metrics.rtp_round_trip_seconds.observe(rtt / 1000.0);
            }
            if let Some(mean) = scores.mean() {
                edge.metrics.call_mos.observe(mean);
                if Some(leg) == self.callee {
                    edge.trunks.scored(now, self.legs[leg].trunk_name(), mean);
                }
            }
        }
    }
}
