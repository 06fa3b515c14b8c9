//! Reports on what each side of a call hears, for a capture agent.

use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_story::captured::{CapturedItem, Report};
use trunkgate_story::view::RtpView;

use crate::call::Call;
use crate::call::legs::leg::Leg;

/// Clock of most codecs' RTP, Opus' apart (RFC 3551 §4.5, RFC 7587 §4.1), in Hz.
const CLOCK_HZ: f64 = 8_000.0;
const OPUS_CLOCK_HZ: f64 = 48_000.0;

/// Both reports of a leg: what we hear of it, and, where it says so by RTCP, what it hears of us.
fn reports(leg: &Leg, party: &str) -> impl Iterator<Item = Report> {
    let view = leg.view();
    let ends = leg.ends.first().and_then(|end| {
        let far = leg.latched.or(end.remote.as_ref().and_then(|remote| remote.rtp))?;
        Some((end.bind, far))
    });
    let RtpView { rx_packets, tx_packets, lost, jitter_ms, rtt_ms, mos, far, .. } = view.rtp;
    let clock = if view.codec.eq_ignore_ascii_case("opus") { OPUS_CLOCK_HZ } else { CLOCK_HZ };
    let units = move |ms: f64| (ms * clock / 1000.0) as u32;
    let (party, codec) = (party.to_owned(), view.codec);
    let make = move |from, to, heard: (u64, u64, u64, f64, Option<f64>)| {
        let (sent, expected, lost, jitter_ms, mos) = heard;
        let (party, codec, jitter) = (party.clone(), codec.clone(), units(jitter_ms));
        Report { from, to, party, codec, sent, expected, lost, jitter, rtt_ms, mos }
    };
    ends.into_iter().flat_map(move |(ours, theirs)| {
        let heard = (rx_packets > 0)
            .then(|| make(ours, theirs, (tx_packets, rx_packets.saturating_add(lost), lost, jitter_ms, mos)));
        let told =
            far.as_ref().map(|far| make(theirs, ours, (rx_packets, tx_packets, far.lost, far.jitter_ms, far.mos)));
        heard.into_iter().chain(told)
    })
}

impl Call {
    /// Tells the capture agent what each side hears.
    pub(crate) fn capture_reports(&self, now: Instant, edge: &mut Edge) {
        if !edge.captures {
            return;
        }
        for (place, leg) in self.legs.with_ids() {
            for report in reports(leg, &self.legs.name_of(place)) {
                edge.capture(now, self.legs.sid().to_owned(), CapturedItem::Report(report));
            }
        }
    }
}
