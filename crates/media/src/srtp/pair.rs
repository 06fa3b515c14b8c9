//! SRTP of both directions of an end, kept across all negotiations of a call.

use std::net::SocketAddr;
use std::time::Instant;

use super::inbound::SrtpInbound;
use super::outbound::SrtpOutbound;
use super::spec::SrtpSpec;
use super::streams::Stream;
use crate::counters::DropReason;
use crate::limits::{SRTP_FORMER_KEYS, STRAGGLER_WINDOW};
use crate::rtp::PacketBuf;

/// SRTP of an end. The state survives a negotiation of plain RTP, so that no index is used twice if the previous key
/// returns.
#[derive(Debug)]
pub struct SrtpPair {
    outbound: SrtpOutbound,
    inbound: SrtpInbound,
    /// Receiving state under former keys of the remote party, the last one first, because a key may return.
    former: Vec<SrtpInbound>,
    /// Time until which packets under the previous receiving key are still accepted; `None` if there is none.
    retired: Option<Instant>,
    /// Announced address of the remote party when `send` was negotiated.
    far: Option<SocketAddr>,
    /// Whether packets are encrypted; false after a negotiation of plain RTP.
    active: bool,
}

/// Serialized SRTP state of an end; the keys are part of the remote party's description.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SrtpSnapshot {
    /// Streams that are sent, with their packet indices.
    pub outbound: Vec<Stream>,
    /// Streams received, with their indices.
    pub inbound: Vec<Stream>,
}

impl SrtpPair {
    /// Applies the result of a negotiation; `far` is the announced address of the remote party.
    pub fn agree(
        now: Instant,
        before: Option<Box<SrtpPair>>,
        far: Option<SocketAddr>,
        spec: Option<&SrtpSpec>,
    ) -> Option<Box<SrtpPair>> {
        let Some(spec) = spec else {
            return before.map(|mut pair| {
                pair.active = false;
                pair
            });
        };
        let mut pair = before.unwrap_or_else(|| Box::new(SrtpPair::new(spec)));
        // Another address may belong to another device without knowledge of the roll-over counters (RFC 4568 §7.1.4).
        let moved = far.is_some() && pair.far.is_some() && pair.far != far;
        pair.outbound.set_key(&spec.send, moved);
        pair.outbound.set_sources(spec.own_sources);
        if *pair.inbound.key() != spec.receive {
            let known = pair.former.iter().position(|former| *former.key() == spec.receive);
            let next = match known.map(|at| pair.former.remove(at)) {
                Some(known) => known.comes_back(&pair.inbound),
                None => pair.inbound.successor(&spec.receive),
            };
            pair.former.truncate(SRTP_FORMER_KEYS - 1);
            pair.former.insert(0, std::mem::replace(&mut pair.inbound, next));
            pair.retired = now.checked_add(STRAGGLER_WINDOW);
        }
        pair.inbound.expect_rolled(spec.rolled);
        pair.far = far.or(pair.far);
        pair.active = true;
        Some(pair)
    }

    fn new(spec: &SrtpSpec) -> SrtpPair {
        SrtpPair {
            outbound: SrtpOutbound::new(&spec.send),
            inbound: SrtpInbound::new(&spec.receive),
            former: Vec::new(),
            retired: None,
            far: None,
            active: true,
        }
    }

    /// Returns whether packets are encrypted.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// Returns the state of both directions for a snapshot.
    pub fn snapshot(&self) -> SrtpSnapshot {
        SrtpSnapshot { outbound: self.outbound.snapshot(), inbound: self.inbound.snapshot() }
    }

    /// Restores both directions from a snapshot under the keys of `spec`; `far` is the announced address.
    pub fn restore(far: Option<SocketAddr>, spec: &SrtpSpec, snapshot: &SrtpSnapshot) -> Box<SrtpPair> {
        let mut outbound = SrtpOutbound::restore(&spec.send, &snapshot.outbound);
        outbound.set_sources(spec.own_sources);
        let inbound = SrtpInbound::restore(&spec.receive, &snapshot.inbound);
        Box::new(SrtpPair { outbound, inbound, far, ..SrtpPair::new(spec) })
    }

    /// Decrypts a packet of the remote party in place; leaves it unchanged while plain RTP is negotiated.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`SrtpInbound::unprotect_rtp`] or [`SrtpInbound::unprotect_rtcp`].
    pub fn unprotect(&mut self, now: Instant, rtcp: bool, packet: &mut PacketBuf) -> Result<(), DropReason> {
        if !self.active {
            return Ok(());
        }
        let open = |inbound: &mut SrtpInbound, packet: &mut PacketBuf, again: bool| {
            if rtcp { inbound.unprotect_rtcp(packet, again) } else { inbound.unprotect_rtp(packet, again) }
        };
        self.retired = self.retired.filter(|until| now < *until);
        let opened = open(&mut self.inbound, packet, self.retired.is_some());
        match self.former.first_mut().filter(|_| self.retired.is_some()) {
            Some(retired) => opened.or_else(|reason| open(retired, packet, false).map_err(|_| reason)),
            None => opened,
        }
    }

    /// Encrypts a packet in place; leaves it unchanged while plain RTP is negotiated.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`SrtpOutbound::protect_rtp`] or [`SrtpOutbound::protect_rtcp`].
    pub fn protect(&mut self, rtcp: bool, packet: &mut PacketBuf) -> Result<(), DropReason> {
        match (self.active, rtcp) {
            (false, _) => Ok(()),
            (true, false) => self.outbound.protect_rtp(packet),
            (true, true) => self.outbound.protect_rtcp(packet),
        }
    }

    /// Returns whether packets are encrypted, and a later process may use this SSRC.
    pub fn is_reserved(&self, ssrc: u32) -> bool {
        self.active && self.outbound.is_reserved(ssrc)
    }

    /// Returns whether an RTP packet with this SSRC and sequence number can be sent; see [`SrtpOutbound::takes`].
    pub fn takes(&self, ssrc: u32, sequence: u16) -> bool {
        !self.active || self.outbound.takes(ssrc, sequence)
    }
}
