//! Counters of one end of a session.

use super::counter::{Counter, count_packet};
use super::drop_reason::DropCounters;
use super::loss::LossCounters;
use super::symptoms::EndSymptoms;

/// Counters of one end: packets, losses, quality and symptoms of silence.
#[derive(Debug, Default)]
pub struct EndCounters {
    /// RTP packets accepted from the remote party.
    pub rx_packets: Counter,
    /// RTP bytes accepted from the remote party, headers included.
    pub rx_bytes: Counter,
    /// RTP packets for the remote party, including packets that the system [refused](EndSymptoms::refused) to send.
    pub tx_packets: Counter,
    /// Bytes of the packets in `tx_packets`, headers included.
    pub tx_bytes: Counter,
    /// Packets missing in the received sequence (RFC 3550 A.3), summed over all sources of the end.
    pub lost: Counter,
    /// Runs of consecutive lost packets, by length.
    pub lost_in_a_row: LossCounters,
    /// Interarrival jitter (RFC 3550 A.8), in microseconds.
    pub jitter_us: Counter,
    /// Round-trip time to the remote party by RTCP (RFC 3550 §6.4.1), in microseconds; 0 if unknown.
    pub rtt_us: Counter,
    /// Number of report blocks received from the remote party about the stream that the edge sends.
    pub far_reports: Counter,
    /// Packets lost on the way to the remote party, according to its last report block.
    pub far_lost: Counter,
    /// Interarrival jitter at the remote party, in microseconds, according to its last report block.
    pub far_jitter_us: Counter,
    /// Quality scores of the received stream, one for each quality interval.
    pub scores: MosCounters,
    /// Received packets that were dropped, by reason.
    pub dropped: DropCounters,
    /// Gauge: 1 while the latch is locked and RTP of other sources is not accepted, otherwise 0.
    pub latched: Counter,
    /// RTCP packets received and accepted.
    pub rtcp_packets: Counter,
    /// Frames dropped because an agent's socket was too slow.
    pub frames_dropped: Counter,
    /// Symptoms that explain missing audio.
    pub symptoms: EndSymptoms,
}

impl EndCounters {
    /// Returns the counts of RTP packets and bytes received, then of those sent.
    pub(crate) fn packets(&self) -> [u64; 4] {
        [&self.rx_packets, &self.rx_bytes, &self.tx_packets, &self.tx_bytes].map(Counter::get)
    }

    /// Sets the counts of RTP packets and bytes received, then of those sent.
    pub(crate) fn set_packets(&self, [rx_packets, rx_bytes, tx_packets, tx_bytes]: [u64; 4]) {
        self.rx_packets.set(rx_packets);
        self.rx_bytes.set(rx_bytes);
        self.tx_packets.set(tx_packets);
        self.tx_bytes.set(tx_bytes);
    }

    /// Counts a packet from the remote party; called by the end's worker only.
    pub(crate) fn received(&self, bytes: usize) {
        count_packet(&self.rx_packets, &self.rx_bytes, bytes);
    }

    /// Counts a packet to the remote party; called by the end's worker only.
    pub(crate) fn sent(&self, bytes: usize) {
        count_packet(&self.tx_packets, &self.tx_bytes, bytes);
    }
}

/// Summary of mean opinion scores: their number, sum and minimum.
#[derive(Debug, Default)]
pub struct MosCounters {
    /// Number of mean opinion scores.
    pub count: Counter,
    /// Sum of the mean opinion scores, in thousandths.
    pub sum: Counter,
    /// Lowest score, in thousandths; 0 if there is none.
    pub lowest: Counter,
}

impl MosCounters {
    /// Adds a mean opinion score, from 1 to 5.
    pub fn take(&self, score: f64) {
        // Truncation is intended: only a few digits of a score are significant.
        let milli = (score.clamp(1.0, 5.0) * 1000.0).round() as u64;
        let lowest = self.lowest.get();
        if lowest == 0 || milli < lowest {
            self.lowest.set(milli);
        }
        self.sum.add(milli);
        self.count.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_added_up_and_the_lowest_kept() {
        let scores = MosCounters::default();
        for score in [4.41, 3.0, 4.0, 9.0] {
            scores.take(score);
        }
        assert_eq!((scores.count.get(), scores.sum.get(), scores.lowest.get()), (4, 16_410, 3000));
    }
}
