//! Packet loss of a leg's audio in each direction, and streams that stopped in mid-call: time, extent and fix.

use std::net::IpAddr;
use std::time::Duration;

use trunkgate_media::mos::MosCodec;

use crate::diagnosis::Diagnosis;
use crate::limits::{LOSS_PACKETS, LOSS_PERCENT, LOSSY_SECONDS, POOR_MOS};
use crate::quality::score;

/// Direction of a stream, as seen by the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamDirection {
    /// Packets received from the remote party.
    Received,
    /// Packets sent to the remote party, with losses as reported by its RTCP.
    Sent,
}

/// Number of lost packets among the packets expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct LossShare {
    lost: u32,
    of: u32,
}

impl LossShare {
    fn add(&mut self, other: LossShare) {
        self.lost = self.lost.saturating_add(other.lost);
        self.of = self.of.saturating_add(other.of);
    }

    /// Returns lost and expected packets, widened so that products do not overflow.
    fn wide(self) -> (u64, u64) {
        (self.lost.into(), self.of.into())
    }

    /// Returns whether this loss alone makes the audio poor.
    fn is_poor(self, codec: Option<MosCodec>) -> bool {
        let (lost, of) = self.wide();
        if of < LOSS_PACKETS {
            return false;
        }
        match score(codec, (lost, of), 0, 0) {
            Some(mos) => mos < POOR_MOS,
            None => lost * 100 >= of * LOSS_PERCENT,
        }
    }

    fn percent(self) -> u64 {
        let (lost, of) = self.wide();
        (lost * 100 + of / 2).checked_div(of).unwrap_or(0)
    }
}

/// Packet loss of one direction, by interval.
#[derive(Debug, Clone, Copy, Default)]
struct DirectionLoss {
    all: LossShare,
    /// Sum of the intervals with poor audio.
    poor: LossShare,
    poor_time: Duration,
    /// Start of the first and end of the last interval with poor audio, since the answer.
    span: Option<(Duration, Duration)>,
}

impl DirectionLoss {
    fn add_interval(&mut self, (begin, end): (Duration, Duration), share: LossShare, codec: Option<MosCodec>) {
        self.all.add(share);
        if share.is_poor(codec) {
            self.poor.add(share);
            self.poor_time += end.saturating_sub(begin);
            self.span = Some((self.span.map_or(begin, |(first, _)| first), end));
        }
    }

    /// Returns the loss to report, with start and end since the answer: the sum of the intervals with poor audio if
    /// they last long enough, else the whole call if it has ended (`ended`: its duration) and was poor as a whole.
    fn reportable_loss(
        &self,
        codec: Option<MosCodec>,
        ended: Option<Duration>,
    ) -> Option<(LossShare, Duration, Duration)> {
        let lasting = self.span.filter(|_| self.poor_time >= Duration::from_secs(LOSSY_SECONDS));
        let of_poor = lasting.map(|(begin, end)| (self.poor, begin, end));
        of_poor.or_else(|| ended.filter(|_| self.all.is_poor(codec)).map(|end| (self.all, Duration::ZERO, end)))
    }
}

/// Properties of a leg other than its losses.
#[derive(Debug, Clone, Copy)]
pub struct MediaPath<'a> {
    /// Name of the remote party for messages: trunk, agent, or peer.
    pub name: &'a str,
    /// Media address of the remote party.
    pub address: IpAddr,
    /// Codec, if the E-model has values for it.
    pub codec: Option<MosCodec>,
    /// Jitter of the received audio, and jitter reported by the remote party, in microseconds.
    pub jitter_us: (u64, u64),
    /// Round-trip time, in microseconds.
    pub rtt_us: u64,
    /// Duration of an ended call since its answer; `None` if the call is live.
    pub ended: Option<Duration>,
}

/// Packet counts of a leg in one interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IntervalCounts {
    /// Start and end of the interval, since the answer.
    pub(crate) time: (Duration, Duration),
    /// Packets received, and packets lost on the way to the edge.
    pub(crate) received: (u32, u32),
    /// Packets sent, and packets lost by the remote party's report.
    pub(crate) sent: (u32, u32),
    /// Whether the remote party sent a report in the interval.
    pub(crate) is_reported: bool,
    /// Packets lost on the other leg in the interval, which the edge could not forward.
    pub(crate) upstream: u32,
}

/// Intervals of a leg with packet loss, in both directions.
#[derive(Debug, Clone, Copy, Default)]
pub struct LegLoss {
    received: DirectionLoss,
    sent: DirectionLoss,
    /// End of the last interval.
    now: Duration,
}

impl LegLoss {
    /// Returns the loss in a series of intervals.
    pub(crate) fn of(intervals: impl Iterator<Item = IntervalCounts>, codec: Option<MosCodec>) -> LegLoss {
        let mut all = LegLoss::default();
        // Packets sent since the last report, packets lost on the other leg since then, and the start of that time.
        let (mut sent, mut upstream, mut since) = (0u32, 0u32, None);
        for IntervalCounts { time, received: (came, lost), sent: (left, far_lost), is_reported, upstream: missing } in
            intervals
        {
            all.now = time.1;
            all.received.add_interval(time, LossShare { lost, of: came.saturating_add(lost) }, codec);
            (sent, upstream) = (sent.saturating_add(left), upstream.saturating_add(missing));
            let begin = *since.get_or_insert(time.0);
            if is_reported {
                let lost = far_lost.saturating_sub(upstream).min(sent);
                all.sent.add_interval((begin, time.1), LossShare { lost, of: sent }, codec);
                // A report is older than the end of its interval: later losses of the other leg belong to the next
                // report.
                let unreported = upstream.saturating_sub(far_lost).min(missing);
                (sent, upstream, since) = (0, unreported, None);
            }
        }
        all
    }

    /// Returns the diagnosis of each direction with poor audio.
    pub fn found(&self, path: &MediaPath<'_>) -> impl Iterator<Item = (StreamDirection, Diagnosis)> + use<> {
        let of = |losses: &DirectionLoss, direction| {
            let (share, begin, end) = losses.reportable_loss(path.codec, path.ended)?;
            let is_over = losses.span.is_some_and(|(_, last)| last == end && end < self.now);
            Some((direction, path.diagnosis(direction, share, begin, is_over.then_some(end))))
        };
        let found = [of(&self.received, StreamDirection::Received), of(&self.sent, StreamDirection::Sent)];
        found.into_iter().flatten()
    }
}

impl MediaPath<'_> {
    fn diagnosis(
        &self,
        direction: StreamDirection,
        share: LossShare,
        begin: Duration,
        end: Option<Duration>,
    ) -> Diagnosis {
        let MediaPath { name, address, codec, jitter_us, rtt_us, .. } = *self;
        let jitter = if direction == StreamDirection::Received { jitter_us.0 } else { jitter_us.1 };
        let mos = score(codec, share.wide(), jitter, rtt_us);
        let (percent, when) = (share.percent(), describe_span(begin, end));
        // The score of the whole call differs and is shown elsewhere.
        let of_part = if when == SINCE_ANSWER { "" } else { " in that time" };
        let mos = mos.map(|mos| format!(", MOS {mos:.1}{of_part}")).unwrap_or_default();
        let figures = format!("{} of {} packets{mos}", share.lost, share.of);
        let text = match direction {
            StreamDirection::Received => {
                format!("{percent} % packet loss from {name} to this machine {when}: {figures}")
            }
            StreamDirection::Sent => {
                format!(
                    "{percent} % packet loss from this machine to {name} {when}, as {name} reports by RTCP: {figures}"
                )
            }
        };
        let fix = format!(
            "run `mtr -u {address}` from this machine; look for a saturated uplink, Wi-Fi or a VPN on the side of {name}, and for \
             missing QoS (DSCP EF) on the path"
        );
        Diagnosis::of_loss(text, fix)
    }
}

/// Phrase for the whole time of a call.
const SINCE_ANSWER: &str = "since the answer";

/// Returns `since the answer`, `since 12 s after the answer` or `from 12 s to 40 s after the answer`.
fn describe_span(begin: Duration, end: Option<Duration>) -> String {
    match end {
        Some(end) => format!("from {} to {} after the answer", format_time(begin), format_time(end)),
        None if begin < Duration::from_secs(1) => SINCE_ANSWER.to_owned(),
        None => format!("since {} after the answer", format_time(begin)),
    }
}

/// Returns a time in a call as text: `12 s`, `3 min 5 s`.
fn format_time(of: Duration) -> String {
    let seconds = (of + Duration::from_millis(500)).as_secs();
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// A continuous stream that stopped in mid-call while the other side continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedStream {
    /// Time of the last packet, since the answer.
    pub at: Duration,
    /// Time at which packets arrived again, since the answer; `None` if they did not.
    pub until: Option<Duration>,
    /// Packets received before the stop.
    pub received: u64,
    /// Cause and fix.
    pub found: Diagnosis,
}

impl StoppedStream {
    /// Returns the sentence for the verdict about the remote party `name`.
    pub fn sentence(&self, name: &str) -> String {
        format!("{}. Try: {}.", self.finding(name), self.found.fix)
    }

    /// Returns the sentence for the verdict without the fix.
    pub fn finding(&self, name: &str) -> String {
        format!("No media from {name} {}: {}", describe_span(self.at, self.until), self.found.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: MediaPath<'_> = MediaPath {
        name: "carrier",
        address: IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)),
        codec: Some(MosCodec::G711),
        jitter_us: (0, 0),
        rtt_us: 0,
        ended: None,
    };

    /// Returns the interval of 5 s at this place, with 250 packets sent to the edge.
    fn interval(at: u64, lost: u32) -> IntervalCounts {
        let begin = Duration::from_secs(at * 5);
        let time = (begin, begin + Duration::from_secs(5));
        IntervalCounts { time, received: (250 - lost, lost), sent: (0, 0), is_reported: false, upstream: 0 }
    }

    /// Returns the diagnoses of a leg that lost these numbers of 250 packets in successive intervals.
    fn said(lost: &[u32], path: &MediaPath<'_>) -> Vec<Diagnosis> {
        let intervals = (0..).zip(lost).map(|(at, lost)| interval(at, *lost));
        LegLoss::of(intervals, path.codec).found(path).map(|(_, found)| found).collect()
    }

    #[test]
    fn loss_is_reported_with_its_figures_and_its_time() {
        let rows: [(&[u32], Option<&str>); 6] = [
            (&[0, 0, 0], None),
            (&[5, 5, 5], None),
            // 7.6 % loss with G.711 is MOS 3.6.
            (&[62], None),
            (
                &[63, 62],
                Some("25 % packet loss from carrier to this machine since the answer: 125 of 500 packets, MOS 2.3"),
            ),
            (
                &[0, 0, 63, 62],
                Some(
                    "25 % packet loss from carrier to this machine since 10 s after the answer: 125 of 500 packets, MOS 2.3 in that time",
                ),
            ),
            (
                &[0, 63, 62, 0],
                Some(
                    "25 % packet loss from carrier to this machine from 5 s to 15 s after the answer: 125 of 500 packets, MOS 2.3 in that time",
                ),
            ),
        ];
        for (lost, says) in rows {
            let found = said(lost, &PATH);
            assert_eq!(found.first().map(|one| one.text.as_str()), says, "{lost:?}");
            assert!(found.len() <= 1 && found.iter().all(|one| one.fix.starts_with("run `mtr -u 198.51.100.7`")));
        }
    }

    #[test]
    fn a_short_call_is_judged_as_a_whole() {
        let ended = MediaPath { ended: Some(Duration::from_secs(5)), ..PATH };
        for (lost, live, over) in [(63, 0, 1), (1, 0, 0)] {
            assert_eq!((said(&[lost], &PATH).len(), said(&[lost], &ended).len()), (live, over), "{lost}");
        }
    }

    #[test]
    fn without_a_score_a_tenth_counts() {
        let path = MediaPath { codec: None, ended: Some(Duration::from_secs(5)), ..PATH };
        assert_eq!(said(&[24], &path), []);
        assert!(said(&[25], &path).iter().all(|one| one.text.ends_with("25 of 250 packets")));
        assert_eq!(said(&[25], &path).len(), 1);
    }

    #[test]
    fn what_the_remote_party_reports_is_its_own_loss_without_that_of_the_other_leg() {
        let says = |upstream: u32, is_reported: [bool; 3]| {
            let of = |(at, is_reported)| {
                let far_lost = if is_reported { 60 } else { 0 };
                IntervalCounts { sent: (250, far_lost), is_reported, upstream, ..interval(at, 0) }
            };
            let intervals = (0..).zip(is_reported).map(of);
            LegLoss::of(intervals, PATH.codec).found(&PATH).map(|(_, one)| one.text).collect::<Vec<_>>()
        };
        let behind = "24 % packet loss from this machine to carrier since the answer, as carrier reports by RTCP: 180 of 750 packets, MOS 2.4";
        assert_eq!(says(0, [true; 3]), [behind]);
        assert_eq!(says(60, [true; 3]), [] as [&str; 0], "all of it was lost before the edge");
        assert_eq!(says(0, [false; 3]), [] as [&str; 0], "nothing is reported");
        // Each report covers the time before a part of its interval.
        let reported = [(60, 30), (60, 60), (60, 60), (0, 30)].into_iter().zip(0..);
        let intervals = reported.map(|((upstream, far_lost), at)| IntervalCounts {
            sent: (250, far_lost),
            is_reported: true,
            upstream,
            ..interval(at, 0)
        });
        let ended = MediaPath { ended: Some(Duration::from_secs(20)), ..PATH };
        assert_eq!(LegLoss::of(intervals, PATH.codec).found(&ended).count(), 0, "all of it was lost before the edge");
        let late = "24 % packet loss from this machine to carrier since 10 s";
        assert!(says(0, [false, true, true]).iter().all(|text| !text.starts_with(late)));
    }

    #[test]
    fn a_stream_that_stopped_has_its_time() {
        let found = Diagnosis::of_loss("why".into(), "fix it".into());
        let mut one = StoppedStream { at: Duration::from_millis(12_400), until: None, received: 600, found };
        assert_eq!(one.sentence("pbx"), "No media from pbx since 12 s after the answer: why. Try: fix it.");
        one.until = Some(Duration::from_secs(185));
        assert!(one.sentence("pbx").starts_with("No media from pbx from 12 s to 3 min 5 s after the answer: "));
        assert_eq!(format_time(Duration::from_secs(120)), "2 min");
    }
}
