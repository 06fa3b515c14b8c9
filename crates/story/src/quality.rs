//! Mean opinion scores of received audio, and packet counters for display.

use serde::{Deserialize, Serialize};
use trunkgate_media::EndCounters;
use trunkgate_media::mos::{MosCodec, delay_ms, mos};

use crate::view::RtpView;

/// Sum of the scores of intervals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreSum {
    count: u64,
    /// Sum of scores in thousandths.
    sum: u64,
    /// Lowest score in thousandths; 0: none.
    lowest: u64,
}

impl ScoreSum {
    /// Adds the scores of another leg or media end to this sum.
    pub fn add(&mut self, other: ScoreSum) {
        self.count += other.count;
        self.sum += other.sum;
        self.lowest = match (self.lowest, other.lowest) {
            (0, lowest) | (lowest, 0) => lowest,
            (one, two) => one.min(two),
        };
    }

    /// Returns the lowest score, rounded to hundredths; `None` without any score.
    pub fn lowest(&self) -> Option<f64> {
        (self.lowest > 0).then(|| hundredths(self.lowest as f64 / 1000.0))
    }

    /// Returns the mean score, rounded to hundredths; `None` without any score.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| hundredths(self.sum as f64 / self.count as f64 / 1000.0))
    }

    /// Returns these scores, or the score of the whole call if there are no scores of intervals.
    pub fn or_whole(self, whole: Option<f64>) -> ScoreSum {
        match whole.filter(|_| self.count == 0) {
            Some(whole) => {
                let whole = (whole * 1000.0) as u64;
                ScoreSum { count: 1, sum: whole, lowest: whole }
            }
            None => self,
        }
    }

    /// Returns the scores of an end.
    pub fn of(counters: &EndCounters) -> ScoreSum {
        let scores = &counters.scores;
        ScoreSum { count: scores.count.get(), sum: scores.sum.get(), lowest: scores.lowest.get() }
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Adds the packet counters of a media end to a view; times become milliseconds.
pub fn add_counters(rtp: &mut RtpView, counters: &EndCounters) {
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

/// Adds the counters and scores of a media end that is being removed to the totals of its leg.
pub fn retire(earlier: &mut RtpView, scores: &mut ScoreSum, counters: &EndCounters) {
    add_counters(earlier, counters);
    scores.add(ScoreSum::of(counters));
}

/// Returns the mean opinion score, rounded to hundredths, for `lost_of` (packets lost, packets expected); `None` if
/// no packets were expected, or the codec has no score.
pub fn score(codec: Option<MosCodec>, lost_of: (u64, u64), jitter_us: u64, rtt_us: u64) -> Option<f64> {
    let (lost, of) = lost_of;
    let codec = codec.filter(|_| of > 0)?;
    Some(hundredths(mos(codec, lost.min(of) as f64 / of as f64, delay_ms(jitter_us, rtt_us))))
}

/// Sets the mean opinion scores of a view, for received audio and for audio that the remote party reports.
pub fn score_view(rtp: &mut RtpView, codec: Option<MosCodec>) {
    let us = |ms: f64| (ms * 1000.0) as u64;
    let rtt = us(rtp.rtt_ms.unwrap_or(0.0));
    let expected = if rtp.rx_packets > 0 { rtp.rx_packets + rtp.lost } else { 0 };
    rtp.mos = score(codec, (rtp.lost, expected), us(rtp.jitter_ms), rtt);
    if let Some(far) = &mut rtp.far {
        far.mos = score(codec, (far.lost, rtp.tx_packets), us(far.jitter_ms), rtt);
    }
}
