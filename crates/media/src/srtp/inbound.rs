//! What the far side of an end sends, decrypted.

use std::fmt;

use super::cipher::Cipher;
use super::key::SrtpKey;
use super::replay::Window;
use super::rtcp;
use super::streams::{Stream, Streams, index_near};
use crate::counters::DropReason;
use crate::limits::SRTP_ROLLED;
use crate::rtcp::is_well_formed;
use crate::rtp::{Head, PacketBuf};

/// The receiving direction of an end. Nothing of it changes for a packet that does not authenticate.
pub struct Inbound {
    key: SrtpKey,
    rtp: Cipher,
    rtcp: Cipher,
    streams: Streams,
    /// How often a stream may have rolled over before anything of it came.
    rolled: u32,
}

impl Inbound {
    /// Nothing received yet.
    pub fn new(key: &SrtpKey) -> Inbound {
        let (rtp, rtcp) = (Cipher::rtp(key), Cipher::rtcp(key));
        Inbound { rtp, rtcp, streams: Streams::new(), rolled: 0, key: key.clone() }
    }

    /// Says how often a stream may have rolled over before its first packet comes.
    pub(super) fn expect_rolled(&mut self, times: u32) {
        self.rolled = times.min(SRTP_ROLLED);
    }

    /// Goes on after a snapshot.
    pub fn restore(key: &SrtpKey, streams: &[Stream]) -> Inbound {
        Inbound { streams: Streams::restore(streams), ..Inbound::new(key) }
    }

    /// Its streams, for a snapshot.
    pub fn snapshot(&self) -> Vec<Stream> {
        self.streams.snapshot()
    }

    /// Its key.
    pub(super) fn key(&self) -> &SrtpKey {
        &self.key
    }

    /// What follows it under another key. Its streams may go on with their roll-over counters (RFC 3711 §3.3.1) or from
    /// zero (RFC 4568 §7.1.4): phones do either, so the first packet of each tells.
    pub(super) fn successor(&self, key: &SrtpKey) -> Inbound {
        let mut next = Inbound::restore(key, &self.snapshot());
        for stream in next.streams.iter_mut() {
            stream.before = stream.rtp.highest().or(stream.before);
            (stream.rtp, stream.rtcp) = (Window::default(), Window::default());
        }
        next
    }

    /// What follows `last` where this one's key comes back: what was seen under it is not taken again, and counters go on.
    pub(super) fn comes_back(self, last: &Inbound) -> Inbound {
        let mut next = last.successor(&self.key);
        for stream in next.streams.iter_mut() {
            let Some(before) = self.streams.get(stream.ssrc()) else { continue };
            (stream.rtp, stream.rtcp) = (before.rtp.advanced(stream.before), before.rtcp);
        }
        next
    }

    /// Decrypts an RTP packet in place; it shrinks. One that does not authenticate is as it was where it may be tried
    /// `again` under another key.
    ///
    /// # Errors
    /// Where it is no RTP, does not authenticate, came before, or is of one stream too many.
    pub fn unprotect_rtp(&mut self, packet: &mut PacketBuf, again: bool) -> Result<(), DropReason> {
        let head = Head::parse(packet.data()).map_err(|_| DropReason::NotRtp)?;
        if packet.data().len() < head.len + self.rtp.rtp_overhead() {
            return Err(DropReason::SrtpPlain);
        }
        let known = self.streams.get(head.ssrc);
        if let Some(highest) = known.and_then(|stream| stream.rtp.highest()) {
            // Before the first packet of all there is nothing, and behind the last a key must not be used.
            let index = index_near(highest, head.sequence).ok_or(DropReason::SrtpReplay)?;
            if known.is_some_and(|stream| !stream.rtp.is_new(index)) {
                return Err(DropReason::SrtpReplay);
            }
            if !self.rtp.open_rtp(packet, &head, index, again) {
                return Err(DropReason::SrtpAuth);
            }
            if let Some(stream) = self.streams.find(head.ssrc) {
                stream.rtp.see(index);
            }
            return Ok(());
        }
        let first = first_indices(head.sequence, known.and_then(|stream| stream.before), self.rolled);
        let mut first = first.peekable();
        while let Some(index) = first.next() {
            if self.rtp.open_rtp(packet, &head, index, again || first.peek().is_some()) {
                let stream = self.streams.find_or_add(head.ssrc).ok_or(DropReason::SrtpStreams)?;
                stream.rtp.see(index);
                return Ok(());
            }
        }
        Err(DropReason::SrtpAuth)
    }

    /// Decrypts an RTCP packet in place; it shrinks. One that does not authenticate is as it was where it may be tried
    /// `again` under another key.
    ///
    /// # Errors
    /// Where it is no RTCP, does not authenticate, came before, or is of one stream too many.
    pub fn unprotect_rtcp(&mut self, packet: &mut PacketBuf, again: bool) -> Result<(), DropReason> {
        let is_plain = is_well_formed(packet.data());
        let told = |reason| if is_plain { DropReason::SrtpPlain } else { reason };
        let ssrc = rtcp::sender(packet.data()).ok_or(DropReason::NotRtp)?;
        let index = self.rtcp.rtcp_index(packet.data()).ok_or(DropReason::SrtpPlain)?;
        if self.streams.get(ssrc).is_some_and(|stream| !stream.rtcp.is_new(index)) {
            return Err(told(DropReason::SrtpReplay));
        }
        if !self.rtcp.open_rtcp(packet, ssrc, again) {
            return Err(told(DropReason::SrtpAuth));
        }
        self.streams.find_or_add(ssrc).ok_or(DropReason::SrtpStreams)?.rtcp.see(index);
        Ok(())
    }
}

/// Which index the first packet of a stream under a key may have, likeliest first: that of a counter that goes on; where
/// the stream came by another end before, those of as many roll-overs as fit; zero; and one where the stream rolled over
/// before anything of it came (a sender that begins close below 2^16, against RFC 3711 §3.3.1).
fn first_indices(sequence: u16, before: Option<u64>, rolled: u32) -> impl Iterator<Item = u64> {
    let goes_on = before.and_then(|highest| index_near(highest, sequence));
    let most = rolled.max(u32::from(sequence < 0x8000));
    let rolled = (1..=rolled).rev().chain([0]).chain((rolled + 1..=most).rev());
    let others = rolled.map(move |counter| u64::from(counter) << 16 | u64::from(sequence));
    goes_on.into_iter().chain(others.filter(move |index| Some(*index) != goes_on))
}

impl fmt::Debug for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbound").field("key", &self.key).field("streams", &self.streams).finish_non_exhaustive()
    }
}
