//! Audio of a scenario's calls, judged at the callees. SIPp may send any audio, so loss is counted by sequence numbers
//! and payloads are not compared.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::{Value, json};
use trunkgate_media::mos::{MosCodec as Scored, delay_ms, mos};
use trunkgate_media::rtp::{ReceptionTracker, RtpHeader};
use trunkgate_phone::G711Codec;

use super::super::figures::ValueDistribution;

/// Number of recent packets of a call kept to detect duplicates.
const REMEMBERED: usize = 64;
/// Audio samples per millisecond.
const SAMPLES_MS: f64 = 8.0;
/// Difference between arrival times and timestamps above which the stream has restarted, in milliseconds; it does not
/// count as jitter.
const RESTART_MS: f64 = 1000.0;
/// Number of 20 ms frames above [`SILENCE_DBFS`] that make a call audible.
const AUDIBLE_FRAMES: u64 = 5;
/// Level below which a frame is silent, in dBFS.
const SILENCE_DBFS: f64 = -50.0;
/// Full scale of 16-bit samples.
const FULL_SCALE: f64 = 32_768.0;
/// RTP payload types that identify multiplexed RTCP (RFC 5761 §4).
const RTCP: std::ops::RangeInclusive<u8> = 64..=95;

/// Audio that one callee has received in its call.
#[derive(Debug, Default)]
pub(super) struct CallAudio {
    reception: ReceptionTracker,
    /// SSRC, sequence number and timestamp of the most recent packets.
    recent: VecDeque<(u32, u16, u32)>,
    highest: Option<(u32, u16)>,
    duplicates: u64,
    reordered: u64,
    /// SSRC, arrival time and timestamp of the previous packet.
    before: Option<(u32, Instant, u32)>,
    variation_sum_ms: f64,
    variations: u32,
    /// Number of frames that are not silent, number of their samples, and sum of the squared samples.
    sounding: u64,
    samples: u64,
    power: f64,
}

impl CallAudio {
    /// Handles a datagram received at the callee's media address.
    pub(super) fn hear(&mut self, now: Instant, packet: &[u8]) {
        let Ok(rtp) = RtpHeader::parse(packet) else { return };
        if RTCP.contains(&rtp.payload_type) {
            return;
        }
        let place = (rtp.ssrc, rtp.sequence, rtp.timestamp);
        if self.recent.contains(&place) {
            self.duplicates += 1;
            return;
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(place);
        let is_behind =
            |(ssrc, highest): (u32, u16)| ssrc == rtp.ssrc && (rtp.sequence.wrapping_sub(highest) as i16) < 0;
        let is_late = self.highest.is_some_and(is_behind);
        self.reordered += u64::from(is_late);
        self.reception.take_untimed(&rtp);
        let Some(codec) = G711Codec::of_payload(rtp.payload_type) else { return };
        if !is_late {
            self.highest = Some((rtp.ssrc, rtp.sequence));
            self.time(now, &rtp);
        }
        self.measure(codec, packet.get(rtp.payload.clone()).unwrap_or_default());
    }

    /// Adds the jitter between this packet and the previous one.
    fn time(&mut self, now: Instant, rtp: &RtpHeader) {
        let before = self.before.replace((rtp.ssrc, now, rtp.timestamp));
        let Some((_, at, timestamp)) = before.filter(|(ssrc, ..)| *ssrc == rtp.ssrc) else { return };
        let passed_ms = now.saturating_duration_since(at).as_secs_f64() * 1000.0;
        let said_ms = f64::from(rtp.timestamp.wrapping_sub(timestamp) as i32) / SAMPLES_MS;
        let difference = (passed_ms - said_ms).abs();
        if difference < RESTART_MS {
            self.variation_sum_ms += difference;
            self.variations += 1;
        }
    }

    fn measure(&mut self, codec: G711Codec, payload: &[u8]) {
        let power: f64 = payload.iter().map(|byte| f64::from(codec.decode(*byte)).powi(2)).sum();
        let samples = payload.len() as u64;
        if level_dbfs(power, samples).is_some_and(|level| level >= SILENCE_DBFS) {
            self.sounding += 1;
            self.samples += samples;
            self.power += power;
        }
    }

    /// Returns whether the call has at least [`AUDIBLE_FRAMES`] frames that are not silent.
    fn is_audible(&self) -> bool {
        self.sounding >= AUDIBLE_FRAMES
    }
}

/// Returns the level for a sum of squares, in dBFS (a full-scale sine has -3); `None` for silence.
fn level_dbfs(power: f64, samples: u64) -> Option<f64> {
    (power > 0.0 && samples > 0).then(|| 10.0 * (power / samples as f64 / (FULL_SCALE * FULL_SCALE)).log10())
}

/// Audio received in all answered calls.
#[derive(Debug)]
pub(super) struct CalleeAudio {
    /// Number of calls answered by a callee.
    pub(super) answered: u64,
    /// Number of answered calls with audible audio.
    pub(super) audible: u64,
    /// Number of packets expected by their sequence numbers.
    pub(super) expected: u64,
    pub(super) lost: u64,
    pub(super) duplicates: u64,
    pub(super) reordered: u64,
    pub(super) jitter: ValueDistribution,
    pub(super) mos: ValueDistribution,
    /// Levels of the quietest and the loudest audible call, in dBFS.
    pub(super) levels: Option<(f64, f64)>,
    /// INVITEs from other addresses than the edge's, left unanswered.
    pub(super) strangers: u64,
    /// Packets that the system dropped before they were read.
    pub(super) unread: u64,
    /// Calls without a free socket.
    pub(super) crowded: u64,
}

impl CalleeAudio {
    /// Creates the result of no calls.
    pub(super) fn new() -> Result<CalleeAudio, String> {
        Ok(CalleeAudio {
            answered: 0,
            audible: 0,
            expected: 0,
            lost: 0,
            duplicates: 0,
            reordered: 0,
            jitter: ValueDistribution::new()?,
            mos: ValueDistribution::new()?,
            levels: None,
            strangers: 0,
            unread: 0,
            crowded: 0,
        })
    }

    /// Adds the audio of an answered call.
    pub(super) fn judge(&mut self, call: &CallAudio) {
        let (expected, lost) = (call.reception.expected(), call.reception.lost());
        self.answered += 1;
        self.audible += u64::from(call.is_audible());
        self.expected += expected;
        self.lost += lost;
        self.duplicates += call.duplicates;
        self.reordered += call.reordered;
        if let Some(level) = level_dbfs(call.power, call.samples).filter(|_| call.is_audible()) {
            let (least, most) = self.levels.unwrap_or((level, level));
            self.levels = Some((least.min(level), most.max(level)));
        }
        if call.variations == 0 {
            return;
        }
        let jitter_ms = call.variation_sum_ms / f64::from(call.variations);
        self.jitter.add(jitter_ms);
        let loss = lost as f64 / expected.max(1) as f64;
        self.mos.add(mos(Scored::G711, loss, delay_ms((jitter_ms * 1000.0) as u64, 0)));
    }

    /// Returns the sums and distributions as JSON.
    pub(super) fn as_json(&self) -> Value {
        json!({
            "answered": self.answered,
            "audible": self.audible,
            "packets": {
                "expected": self.expected,
                "lost": self.lost,
                "duplicates": self.duplicates,
                "reordered": self.reordered,
            },
            "jitter_ms": self.jitter.as_json(),
            "mos": self.mos.as_json(),
            "level_min_dbfs": self.levels.map(|(least, _)| least),
            "level_max_dbfs": self.levels.map(|(_, most)| most),
            "strangers": self.strangers,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trunkgate_phone::MarkedVoice;

    use super::super::super::assertion::MetricStatistic;
    use super::*;

    /// Returns the audio of a call that received these packets of a tone: sequence number, and delay in microseconds.
    fn heard(packets: impl IntoIterator<Item = (u32, u64)>) -> CalleeAudio {
        let (start, voice, mut call) = (Instant::now(), MarkedVoice::new(7, G711Codec::Pcmu), CallAudio::default());
        for (n, late_us) in packets {
            call.hear(start + Duration::from_millis(20) * n + Duration::from_micros(late_us), &voice.packet(n, 0));
        }
        let mut heard = CalleeAudio::new().unwrap();
        heard.judge(&call);
        heard
    }

    #[test]
    fn a_whole_tone_is_audible_and_good() {
        let whole = heard((0..500).map(|n| (n, 0)));
        assert_eq!((whole.answered, whole.audible, whole.expected, whole.lost), (1, 1, 500, 0));
        assert_eq!((whole.duplicates, whole.reordered), (0, 0));
        assert!(
            whole.mos.get(MetricStatistic::Min) > Some(4.3) && whole.jitter.get(MetricStatistic::Max) < Some(0.01),
            "{whole:?}"
        );
        // A tone with a peak of -10 dB has an RMS level of -13 dB.
        let (least, most) = whole.levels.unwrap();
        assert!(least == most && (least + 13.3).abs() < 0.5, "{least}");
    }

    #[test]
    fn loss_repetition_order_and_jitter_are_counted_and_cost() {
        let whole = heard((0..500).map(|n| (n, 0)));
        let lost = heard((0..500).filter(|n| n % 50 != 25).map(|n| (n, 0)));
        assert_eq!((lost.expected, lost.lost, lost.audible), (500, 10, 1));
        let twice = heard((0..100).flat_map(|n| [(n, 0), (n, 10)]));
        assert_eq!((twice.duplicates, twice.lost, twice.reordered), (100, 0, 0));
        let turned = heard([(0, 0), (1, 0), (3, 0), (2, 20_000), (4, 0)]);
        assert_eq!((turned.reordered, turned.lost, turned.duplicates), (1, 0, 0));
        let uneven = heard((0..500).map(|n| (n, u64::from(n % 2) * 10_000)));
        let jitter = uneven.jitter.get(MetricStatistic::Max).unwrap();
        assert!((9.9..10.1).contains(&jitter), "{jitter}");
        for worse in [lost, uneven] {
            assert!(worse.mos.get(MetricStatistic::Max) < whole.mos.get(MetricStatistic::Max), "{worse:?}");
        }
    }

    #[test]
    fn silence_is_not_audible_and_nothing_has_no_score() {
        let nothing = heard([]);
        assert_eq!((nothing.answered, nothing.audible, nothing.expected, nothing.mos.count()), (1, 0, 0, 0));
        let (start, mut call) = (Instant::now(), CallAudio::default());
        let mut packet = MarkedVoice::new(7, G711Codec::Pcmu).packet(0, 0);
        packet[12..].fill(0xff);
        for n in 0..50_u8 {
            packet[3] = n;
            call.hear(start + Duration::from_millis(20) * u32::from(n), &packet);
        }
        // RTCP packets do not count as audio.
        call.hear(start, &[0x80, 200, 0, 6, 0, 0, 0, 7, 0, 0, 0, 0]);
        call.hear(start, b"hello");
        let mut silent = CalleeAudio::new().unwrap();
        silent.judge(&call);
        assert_eq!((silent.answered, silent.audible, silent.levels), (1, 0, None));
        assert_eq!(silent.lost, 0);
    }

    #[test]
    fn an_announcement_that_begins_again_is_no_loss() {
        let (start, mut call) = (Instant::now(), CallAudio::default());
        for (round, ssrc) in [7, 9].into_iter().enumerate() {
            let voice = MarkedVoice::new(ssrc, G711Codec::Pcma);
            for n in 0..100 {
                let at = Duration::from_secs(5) * u32::try_from(round).unwrap() + Duration::from_millis(20) * n;
                call.hear(start + at, &voice.packet(n, 8));
            }
        }
        let mut heard = CalleeAudio::new().unwrap();
        heard.judge(&call);
        assert_eq!((heard.expected, heard.lost, heard.audible), (200, 0, 1));
        assert!(heard.jitter.get(MetricStatistic::Max) < Some(0.01), "{heard:?}");
    }
}
