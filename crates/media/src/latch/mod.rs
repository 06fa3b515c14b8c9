//! Symmetric RTP: selection of the source whose packets count and of the destination of sent packets (`[media] latch`).
//!
//! RTP counts only from expected addresses, and of those only from one source at a time, the winner. The *exact*
//! source, the address and port that the remote party announced, ranks above every other one: any other expected source
//! could belong to an attacker on the same address, or behind the same NAT.
//!
//! - While no source has won, the first packet wins. If the announced address can be the real one (`pins`), only the
//!   exact source may win for the first [`LATCH_GRACE`].
//! - The exact source takes over with one packet from a winner that is not settled yet
//!   ([`LATCH_SETTLED_PACKETS`](crate::limits::LATCH_SETTLED_PACKETS) over
//!   [`LATCH_SETTLED_AFTER`](crate::limits::LATCH_SETTLED_AFTER) and within
//!   [`LATCH_SETTLED_WITHIN`](crate::limits::LATCH_SETTLED_WITHIN), counted again from each new description), from one
//!   that has been silent for [`LATCH_EXACT_SILENCE`](crate::limits::LATCH_EXACT_SILENCE), and from any winner if it
//!   has already won since its address was announced. If the announced address can be the real one, it takes over from
//!   any winner with a run of packets ([`LATCH_CONTENDER_PACKETS`](crate::limits::LATCH_CONTENDER_PACKETS) over
//!   [`LATCH_CONTENDER_SPAN`](crate::limits::LATCH_CONTENDER_SPAN)).
//! - Any other expected source takes over from a silent winner with such a run that no packet of the winner
//!   interrupts;
//!   the required silence is in `LatchConditions::yields_after`. From a winner other than the exact source that is not
//!   settled yet it takes over by settling first.
//! - The first source other than the exact one that settled returns with one packet, unless the exact source holds the
//!   latch.
//!
//! A winner that has settled and continues is therefore never displaced by a source other than the exact one and the
//! first one. RTCP has a latch of its own with the same rules and longer times (`RTCP`); it opens when the RTP source
//! changes.

mod source;

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Instant;

use crate::limits::{LATCH_GRACE, STRAGGLER_WINDOW};
use crate::spec::{LatchMode, RemoteSpec};

use source::{LatchConditions, RTCP, RTP, SourceClaim, SourceLatch, is_expected};
pub use source::{LatchOutcome, LatchSnapshot};

/// Converts an address to its canonical form for comparison: IPv4 never as mapped IPv6, no flow label. A link-local
/// address keeps its interface (RFC 4007 §11), which is needed to send.
pub fn canonical(source: SocketAddr) -> SocketAddr {
    match source {
        SocketAddr::V4(_) => source,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id())),
        },
    }
}

/// Sources learned for an end's RTP and RTCP. All addresses are [`canonical`].
#[derive(Debug, Clone, Default)]
pub struct Latch {
    rtp: SourceLatch,
    rtcp: SourceLatch,
    pinned_until: Option<Instant>,
    /// Whether the announced address can be the remote party's real one, see [`pins`].
    pins: bool,
}

/// Returns whether the announced address can be the source address of packets: it is public, or no other address is
/// expected. A private address next to another expected one belongs to a remote party behind NAT.
fn pins(remote: &RemoteSpec) -> bool {
    let can_be_real =
        |exact: SocketAddr| !is_private(exact.ip()) || remote.expected.iter().all(|expected| *expected == exact.ip());
    let exact = remote.rtp.filter(|exact| remote.latch != LatchMode::Off && is_expected(*exact, remote));
    exact.is_some_and(can_be_real)
}

/// Returns whether an address is only valid in its own network (RFC 1918, RFC 6598, RFC 4193, link-local, loopback).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || v4.is_loopback() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

impl Latch {
    /// Restores the RTP and RTCP winners of a previous process; their time of silence begins at `now`.
    pub fn restored(
        now: Instant,
        [rtp, rtcp]: [Option<SocketAddr>; 2],
        known: [LatchSnapshot; 2],
        remote: Option<&RemoteSpec>,
    ) -> Latch {
        let [rtp, rtcp] = [SourceLatch::restored(now, rtp, known[0]), SourceLatch::restored(now, rtcp, known[1])];
        let pins = remote.is_some_and(pins);
        Latch { rtp, rtcp, pinned_until: now.checked_add(LATCH_GRACE).filter(|_| pins), pins }
    }

    /// Returns the RTP source that has won the latch; `None` while it is open.
    pub fn rtp(&self) -> Option<SocketAddr> {
        self.rtp.source()
    }

    /// Returns the RTCP source that has won the latch; `None` while it is open.
    pub fn rtcp(&self) -> Option<SocketAddr> {
        self.rtcp.source()
    }

    /// Returns the state of the RTP and of the RTCP winner for a snapshot.
    pub fn known(&self) -> [LatchSnapshot; 2] {
        [self.rtp.known(), self.rtcp.known()]
    }

    /// Returns whether the latch has no winner and waits for the exact source, although `source` is an expected one
    /// too.
    pub(crate) fn waits_for_another(&self, source: SocketAddr, remote: &RemoteSpec) -> bool {
        self.rtp().is_none() && remote.latch != LatchMode::Off && is_expected(source, remote)
    }

    /// Opens the latch for a new description; returns true if the latch has no winner afterwards. If the remote party
    /// announces a new address, packets still arriving from its former source count for a while but do not win. The
    /// latch remains as it is if the announced address is the same, can be the real one and is the winner, so that a
    /// party on hold or muted keeps its audio.
    pub fn open(&mut self, now: Instant, before: Option<&RemoteSpec>, after: &RemoteSpec) -> bool {
        let named_before = before.and_then(|remote| remote.rtp);
        let moves = named_before != after.rtp;
        self.pins = pins(after);
        if !moves && self.pins && self.rtp().is_some() && self.rtp() == after.rtp {
            self.describe(now, after);
            return false;
        }
        let pinned = moves && self.pins;
        let was_exact = self.rtp().is_some() && self.rtp() == named_before;
        let window = match (moves && was_exact, pinned) {
            (true, _) => Some(STRAGGLER_WINDOW),
            (false, true) => Some(LATCH_GRACE),
            (false, false) => None,
        };
        let former = self.rtp().zip(window.and_then(|window| now.checked_add(window)));
        self.rtp = match moves {
            true => SourceLatch::opened(former),
            false => SourceLatch::reopened(former, &self.rtp),
        };
        self.rtcp = SourceLatch::default();
        self.pinned_until = if pinned { now.checked_add(LATCH_GRACE) } else { None };
        true
    }

    /// Applies a new description of the remote party that does not open the latch.
    pub fn describe(&mut self, now: Instant, after: &RemoteSpec) {
        self.pins = pins(after);
        self.rtp.describe(now);
        self.rtcp.describe(now);
    }

    /// Returns whether RTP from this source must be processed: it counts as the remote party's, or [`Self::take_rtp`]
    /// counts it towards a takeover.
    pub(crate) fn accepts_rtp(&self, now: Instant, source: SocketAddr, remote: &RemoteSpec) -> bool {
        self.rtp.claim(source, &self.rtp_terms(now, remote)) != SourceClaim::Refused
    }

    /// Returns whether RTCP that arrives on the RTP port counts as the remote party's; it never makes its source the
    /// winner.
    pub(crate) fn accepts_shared_rtcp(&self, now: Instant, source: SocketAddr, remote: &RemoteSpec) -> bool {
        match self.rtp.claim(source, &self.rtp_terms(now, remote)) {
            SourceClaim::Holds | SourceClaim::Straggles => true,
            SourceClaim::Wins => self.rtp().is_none(),
            SourceClaim::Contends | SourceClaim::Refused => false,
        }
    }

    /// Returns whether RTCP from this source must be processed: it counts as the remote party's, or towards a takeover.
    pub(crate) fn accepts_rtcp(&self, now: Instant, source: SocketAddr, remote: &RemoteSpec) -> bool {
        self.rtcp.claim(source, &self.rtcp_terms(now, remote)) != SourceClaim::Refused
    }

    /// Updates the latch by a valid RTP packet, which must be authenticated if the stream is encrypted.
    pub fn take_rtp(&mut self, now: Instant, source: SocketAddr, remote: &RemoteSpec) -> LatchOutcome {
        let terms = self.rtp_terms(now, remote);
        let taken = self.rtp.accept_packet(source, &terms);
        if taken == LatchOutcome::Won && self.rtcp().is_some() {
            // A new RTP source sends its RTCP from another address too.
            self.rtcp = SourceLatch::default();
        }
        taken
    }

    /// Updates the latch by a valid RTCP packet, which must be authenticated if the stream is encrypted.
    pub(crate) fn take_rtcp(&mut self, now: Instant, source: SocketAddr, remote: &RemoteSpec) -> LatchOutcome {
        let terms = self.rtcp_terms(now, remote);
        self.rtcp.accept_packet(source, &terms)
    }

    /// Unlocks winners that have been silent for so long that another source may take over; returns true if the end's
    /// sockets must accept other sources again. Call it every [`SWEEP_INTERVAL`](crate::limits::SWEEP_INTERVAL).
    pub fn rest(&mut self, now: Instant, remote: &RemoteSpec) -> bool {
        let (rtp, rtcp) = (self.rtp_terms(now, remote), self.rtcp_terms(now, remote));
        let rtp_rests = self.rtp.rest(&rtp);
        self.rtcp.rest(&rtcp) || rtp_rests
    }

    /// Returns the destination of RTP, and whether the latch is locked: no other source can count before the next
    /// [`Self::rest`]. `None` if the remote party has announced no address.
    pub(crate) fn rtp_destination(&self, remote: &RemoteSpec) -> Option<(SocketAddr, bool)> {
        Some(self.rtp.destination(remote.rtp?, remote.latch, self.pins))
    }

    /// Returns whether RTP to its destination is withheld ([`RemoteSpec::withholds`]).
    pub fn withholds(&self, remote: &RemoteSpec) -> bool {
        remote.withheld && self.rtp_destination(remote).is_none_or(|(to, _)| remote.withholds(to.ip()))
    }

    /// Returns the destination of RTCP, and whether it is locked, as [`Self::rtp_destination`] does for RTP.
    pub(crate) fn rtcp_destination(&self, remote: &RemoteSpec) -> Option<(SocketAddr, bool)> {
        Some(self.rtcp.destination(remote.rtcp?, remote.latch, self.pins))
    }

    fn rtp_terms<'a>(&self, now: Instant, remote: &'a RemoteSpec) -> LatchConditions<'a> {
        LatchConditions {
            now,
            rules: &RTP,
            remote,
            exact: remote.rtp,
            pinned_until: self.pinned_until,
            pins: self.pins,
            beside: None,
            may_send: remote.may_send,
            must_send: remote.watch_idle,
        }
    }

    /// Conditions for RTCP, which is sent on hold too (RFC 3264 §5.1).
    fn rtcp_terms<'a>(&self, now: Instant, remote: &'a RemoteSpec) -> LatchConditions<'a> {
        LatchConditions {
            now,
            rules: &RTCP,
            remote,
            exact: remote.rtcp,
            pinned_until: self.pinned_until,
            pins: self.pins,
            beside: self.rtp().map(|rtp| rtp.ip()),
            may_send: true,
            must_send: true,
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
