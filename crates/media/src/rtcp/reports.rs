//! Reports between an end and its remote party: the edge's own reports and their timing, received reports, and the
//! round-trip time (RFC 3550 §6.2–6.4).
//!
//! Between two ends that feed each other unchanged, reports are forwarded and only read. If the edge generates or
//! modifies the stream of an end, reports of the other side do not apply to that stream, and the edge sends its own.

use std::time::{Duration, Instant};

use rtcp_types::{ReceiverReport, ReportBlock, RtcpPacketParser as _, SenderReport};

use crate::counters::EndCounters;
use crate::limits::{REPORT_INTERVAL, REPORTS_REMEMBERED};
use crate::rtp::ReceptionStats;

use super::compound::{CompoundPacket, RtcpReportBlock, SenderInfo, VoipMetrics};
use super::origin::{RtcpOrigin, long, short};
use super::parse::packets;

/// Compensation factor for timer reconsideration, which shortens the drawn intervals (RFC 3550 §6.3.1).
const COMPENSATION: f64 = std::f64::consts::E - 1.5;

/// RTCP state of one end: SSRCs, counts and report times.
#[derive(Debug, Clone, Default)]
pub struct RtcpReports {
    /// Sender reports sent to the remote party, generated or forwarded: middle bits of the NTP timestamp and the send
    /// time, the newest first.
    shown: [Option<(u32, Instant)>; REPORTS_REMEMBERED],
    /// Last sender report of the remote party: source, middle bits of the NTP timestamp, and arrival time.
    heard: Option<(u32, u32, Instant)>,
    /// Statistics of the received stream as of the edge's last report.
    said: Option<ReceptionStats>,
    /// Metrics to forward to the remote party with the next report.
    metrics: Option<Box<(u32, VoipMetrics)>>,
    /// Time since which the edge generates reports itself; `None` while the other end's reports are forwarded.
    since: Option<Instant>,
    last: Option<Instant>,
    due: Option<Instant>,
    /// Packets sent as of the last two reports, the newest first.
    sent_before: [u64; 2],
    drawn: u32,
    /// Whether a report is due now.
    pub wanted: bool,
    bye: bool,
}

/// Stream that an end sends to its remote party.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// SSRC of the stream; the edge's own if no packet was ever sent.
    pub ssrc: u32,
    /// Current RTP timestamp of the stream.
    pub timestamp: u32,
    /// Number of packets sent under the SSRC.
    pub packets: u32,
    /// Number of payload bytes sent under the SSRC.
    pub octets: u32,
    /// Packets ever sent to the remote party, under any SSRC.
    pub all: u64,
}

impl RtcpReports {
    /// Processes a compound of the remote party; `sent` is the SSRC and clock rate (Hz) of the stream sent to it.
    /// Returns VoIP metrics about that stream, to be forwarded to the party that feeds it.
    pub fn hear(
        &mut self,
        now: Instant,
        compound: &[u8],
        sent: Option<(u32, u32)>,
        counters: &EndCounters,
    ) -> Option<VoipMetrics> {
        let mut metrics = None;
        for packet in packets(compound) {
            if let Ok(report) = SenderReport::parse(packet) {
                self.heard = Some((report.ssrc(), middle(report.ntp_timestamp()), now));
                report.report_blocks().for_each(|block| self.reported(now, &block, sent, counters));
            } else if let Ok(report) = ReceiverReport::parse(packet) {
                report.report_blocks().for_each(|block| self.reported(now, &block, sent, counters));
            } else if let Some((ssrc, _)) = sent {
                metrics = voip_metrics(packet, ssrc).or(metrics);
            }
        }
        metrics
    }

    /// Processes a report block about the stream sent to the remote party.
    fn reported(&mut self, now: Instant, block: &ReportBlock<'_>, sent: Option<(u32, u32)>, counters: &EndCounters) {
        let Some((_, clock_hz)) = sent.filter(|(ssrc, _)| *ssrc == block.ssrc()) else { return };
        let lost = (block.cumulative_lost() << 8).cast_signed() >> 8;
        counters.far_lost.set(u64::try_from(lost).unwrap_or(0));
        let jitter = u64::from(block.interarrival_jitter()) * 1_000_000 / u64::from(clock_hz.max(1));
        counters.far_jitter_us.set(jitter);
        counters.far_reports.add(1);
        let named = block.last_sender_report_timestamp();
        let shown = self.shown.iter().flatten().find(|(middle, _)| *middle == named && named != 0);
        let Some((_, at)) = shown else { return };
        // A remote party with a fast clock may report a longer delay than elapsed; the round trip is then zero.
        let waited = long(block.delay_since_last_sender_report_timestamp());
        let trip = now.saturating_duration_since(*at).saturating_sub(waited);
        counters.rtt_us.set(u64::try_from(trip.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Records the sender reports in another end's compound that is forwarded to the remote party, because the remote
    /// party's report blocks will refer to them.
    pub(crate) fn pass(&mut self, now: Instant, compound: &[u8]) {
        for packet in packets(compound) {
            if let Ok(report) = SenderReport::parse(packet) {
                self.note_report_time(now, report.ntp_timestamp());
            }
        }
    }

    fn note_report_time(&mut self, now: Instant, ntp: u64) {
        if middle(ntp) != 0 {
            self.shown.rotate_right(1);
            if let Some(newest) = self.shown.first_mut() {
                *newest = Some((middle(ntp), now));
            }
        }
    }

    /// Stores VoIP metrics for the next report; `about` is the SSRC of their stream as the remote party knows it.
    pub(crate) fn keep(&mut self, about: u32, metrics: VoipMetrics) {
        self.metrics = Some(Box::new((about, metrics)));
    }

    /// Stops the edge's own reports; reports of the other end are forwarded from now on.
    pub(crate) fn rest(&mut self) {
        (self.since, self.due, self.wanted) = (None, None, false);
    }

    /// Sets `wanted` if a report is due (RFC 3550 §6.3.1, §6.3.6). When the timer expires, the interval is drawn
    /// again, and a later result extends the wait.
    pub fn check_schedule(&mut self, now: Instant, origin: &RtcpOrigin, serial: u32) {
        let since = *self.since.get_or_insert(now);
        let begin = self.last.map_or(since, |last| last.max(since));
        let first = self.last.is_none();
        let mut draw = || {
            self.drawn = self.drawn.wrapping_add(1);
            begin + interval(first, origin.draw((1 << 62) | u64::from(serial) << 30 | u64::from(self.drawn)))
        };
        if now < *self.due.get_or_insert_with(&mut draw) {
            return;
        }
        let again = draw();
        self.wanted = again <= now;
        self.due = (!self.wanted).then_some(again);
    }

    /// Requests a last report with a BYE if at least one report was sent (RFC 3550 §6.3.7).
    pub fn say_goodbye(&mut self) {
        self.bye = self.since.is_some() && self.last.is_some();
        self.wanted = self.bye;
    }

    /// Builds the report that is due; `source` holds the statistics of the received stream, if any.
    pub fn build_report(
        &mut self,
        now: Instant,
        origin: &RtcpOrigin,
        serial: u32,
        stream: Stream,
        source: Option<ReceptionStats>,
    ) -> CompoundPacket {
        let ntp = origin.ntp(now);
        // A participant counts as sender if it sent since the report before the last (RFC 3550 §6.3.8).
        let [last, last_but_one] = self.sent_before;
        let sends = stream.all > last_but_one;
        self.sent_before = [stream.all, last];
        let sending = sends.then_some(SenderInfo {
            ntp,
            timestamp: stream.timestamp,
            packets: stream.packets,
            octets: stream.octets,
        });
        if sends {
            self.note_report_time(now, ntp);
        }
        (self.last, self.due, self.wanted) = (Some(now), None, false);
        CompoundPacket {
            ssrc: stream.ssrc,
            sending,
            block: source.and_then(|source| self.block(now, source)),
            name: origin.draw((1 << 63) | u64::from(serial)),
            metrics: self.metrics.take().map(|metrics| *metrics),
            bye: std::mem::take(&mut self.bye),
        }
    }

    /// Builds a report block (RFC 3550 §6.4.1 and A.3); `None` for a source silent since the last report.
    fn block(&mut self, now: Instant, source: ReceptionStats) -> Option<RtcpReportBlock> {
        let before = self.said.filter(|said| said.ssrc == source.ssrc);
        let (expected, received) = before.map_or((0, 0), |before| (before.expected, before.received));
        let expected = source.expected.saturating_sub(expected);
        let received = source.received.saturating_sub(received);
        self.said = Some(source);
        if received == 0 {
            return None;
        }
        let lost = expected.saturating_sub(received);
        let in_all = i64::try_from(source.expected).ok()?.checked_sub(i64::try_from(source.received).ok()?)?;
        let heard = self.heard.filter(|(ssrc, _, _)| *ssrc == source.ssrc);
        Some(RtcpReportBlock {
            ssrc: source.ssrc,
            // The fraction is below 1, because at least one packet was received.
            fraction: u8::try_from((lost << 8) / expected.max(1)).unwrap_or(u8::MAX),
            lost: i32::try_from(in_all.clamp(-0x80_0000, 0x7f_ffff)).unwrap_or_default(),
            highest: source.highest,
            jitter: source.jitter,
            last_report: heard.map_or(0, |(_, middle, _)| middle),
            delay: heard.map_or(0, |(_, _, at)| short(now.saturating_duration_since(at))),
        })
    }
}

/// Returns the middle 32 bits of an NTP timestamp, as repeated in report blocks.
fn middle(ntp: u64) -> u32 {
    // Truncation is intended: the upper 16 bits are not repeated.
    (ntp >> 16) as u32
}

/// Returns the time to the next report: [`REPORT_INTERVAL`], half of it before the first report, times a random factor
/// between 0.5 and 1.5 (RFC 3550 §6.3.1). The RTCP share of 5 % of the bandwidth (§6.2) would allow more with two
/// members: a compound is about 140 bytes with its headers, so two members of a stream of 24 kbit/s may each send one
/// every 1.9 s.
fn interval(first: bool, random: u64) -> Duration {
    let least = if first { REPORT_INTERVAL / 2 } else { REPORT_INTERVAL };
    // 53 bits: the precision of a double.
    let share = (random >> 11) as f64 / (1u64 << 53) as f64;
    least.mul_f64((0.5 + share) / COMPENSATION)
}

/// Returns the VoIP metrics about `ssrc` from an extended report (RFC 3611 §3, §4.7); `None` if it has none.
fn voip_metrics(packet: &[u8], ssrc: u32) -> Option<VoipMetrics> {
    let mut rest = match packet {
        [_, 207, ..] => packet.get(8..)?,
        _ => return None,
    };
    loop {
        let &[kind, _, high, low, ..] = rest else { return None };
        let len = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let (block, next) = rest.split_at_checked(len)?;
        if kind == 7 && block.get(4..8) == Some(&ssrc.to_be_bytes()) {
            return block.try_into().ok();
        }
        rest = next;
    }
}
