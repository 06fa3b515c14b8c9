//! Both directions of an end, through all that is negotiated of them.

use std::net::SocketAddr;
use std::time::Instant;

use super::inbound::Inbound;
use super::outbound::Outbound;
use super::spec::SrtpSpec;
use super::streams::Stream;
use crate::counters::DropReason;
use crate::limits::{SRTP_FORMER_KEYS, STRAGGLER_WINDOW};
use crate::rtp::PacketBuf;

/// An end's SRTP. It outlives a negotiation of plain RTP, so that no number is used twice should the old key come back.
#[derive(Debug)]
pub struct Pair {
    outbound: Outbound,
    inbound: Inbound,
    /// The far side's keys before a change, the last one first: one may come back.
    former: Vec<Inbound>,
    /// Until when packets under the last one are still on their way.
    retired: Option<Instant>,
    /// Where the far side was when `send` was agreed.
    far: Option<SocketAddr>,
    /// Whether it is in force.
    active: bool,
}

/// An end's SRTP in plain data; its keys stand in the description of the remote party.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SrtpSnapshot {
    /// What is sent.
    pub outbound: Vec<Stream>,
    /// What is received.
    pub inbound: Vec<Stream>,
}

impl Pair {
    /// What follows from a negotiation; `far`: where it says that the far side is.
    pub fn agree(
        now: Instant,
        before: Option<Box<Pair>>,
        far: Option<SocketAddr>,
        spec: Option<&SrtpSpec>,
    ) -> Option<Box<Pair>> {
        let Some(spec) = spec else {
            return before.map(|mut pair| {
                pair.active = false;
                pair
            });
        };
        let mut pair = before.unwrap_or_else(|| Box::new(Pair::new(spec)));
        // Behind another address may be one who knows nothing of roll-over counters (RFC 4568 §7.1.4).
        let moved = far.is_some() && pair.far.is_some() && pair.far != far;
        pair.outbound.set_key(&spec.send, moved);
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

    fn new(spec: &SrtpSpec) -> Pair {
        Pair {
            outbound: Outbound::new(&spec.send),
            inbound: Inbound::new(&spec.receive),
            former: Vec::new(),
            retired: None,
            far: None,
            active: true,
        }
    }

    /// Whether it is in force.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// In plain data.
    pub fn snapshot(&self) -> SrtpSnapshot {
        SrtpSnapshot { outbound: self.outbound.snapshot(), inbound: self.inbound.snapshot() }
    }

    /// Restores both directions from plain data, under the keys of `spec`; `far`: the announced address.
    pub fn restore(far: Option<SocketAddr>, spec: &SrtpSpec, snapshot: &SrtpSnapshot) -> Box<Pair> {
        Box::new(Pair {
            outbound: Outbound::restore(&spec.send, &snapshot.outbound),
            inbound: Inbound::restore(&spec.receive, &snapshot.inbound),
            far,
            ..Pair::new(spec)
        })
    }

    /// Decrypts what the far side sent, in place; plain where that was agreed.
    ///
    /// # Errors
    /// As [`Inbound::unprotect_rtp`] says.
    pub fn unprotect(&mut self, now: Instant, rtcp: bool, packet: &mut PacketBuf) -> Result<(), DropReason> {
        if !self.active {
            return Ok(());
        }
        let open = |inbound: &mut Inbound, packet: &mut PacketBuf, again: bool| {
            if rtcp { inbound.unprotect_rtcp(packet, again) } else { inbound.unprotect_rtp(packet, again) }
        };
        self.retired = self.retired.filter(|until| now < *until);
        let opened = open(&mut self.inbound, packet, self.retired.is_some());
        match self.former.first_mut().filter(|_| self.retired.is_some()) {
            Some(retired) => opened.or_else(|reason| open(retired, packet, false).map_err(|_| reason)),
            None => opened,
        }
    }

    /// Encrypts what is sent, in place; plain where that was agreed.
    ///
    /// # Errors
    /// As [`Outbound::protect_rtp`] says.
    pub fn protect(&mut self, rtcp: bool, packet: &mut PacketBuf) -> Result<(), DropReason> {
        match (self.active, rtcp) {
            (false, _) => Ok(()),
            (true, false) => self.outbound.protect_rtp(packet),
            (true, true) => self.outbound.protect_rtcp(packet),
        }
    }

    /// Whether a packet of this number can be sent; see [`Outbound::takes`].
    pub fn takes(&self, ssrc: u32, sequence: u16) -> bool {
        !self.active || self.outbound.takes(ssrc, sequence)
    }
}
