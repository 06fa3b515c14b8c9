//! Decryption of packets from an end's remote party.

use std::fmt;

use super::cipher::Cipher;
use super::key::SrtpKey;
use super::replay::ReplayWindow;
use super::rtcp;
use super::streams::{SrtpStreamTable, Stream, index_near};
use crate::counters::DropReason;
use crate::limits::SRTP_ROLLED;
use crate::rtcp::is_well_formed;
use crate::rtp::{PacketBuf, SrtpHeader};

/// SRTP state of an end's receiving direction. A packet that fails authentication never changes it.
pub struct SrtpInbound {
    key: SrtpKey,
    rtp: Cipher,
    rtcp: Cipher,
    streams: SrtpStreamTable,
    /// Maximum roll-over count that a stream may have at its first packet.
    rolled: u32,
}

impl SrtpInbound {
    /// Creates the state before the first packet.
    pub fn new(key: &SrtpKey) -> SrtpInbound {
        let (rtp, rtcp) = (Cipher::rtp(key), Cipher::rtcp(key));
        SrtpInbound { rtp, rtcp, streams: SrtpStreamTable::new(), rolled: 0, key: key.clone() }
    }

    /// Sets the maximum roll-over count that a stream may have at its first packet.
    pub(super) fn expect_rolled(&mut self, times: u32) {
        self.rolled = times.min(SRTP_ROLLED);
    }

    /// Restores the state from the streams of a snapshot.
    pub fn restore(key: &SrtpKey, streams: &[Stream]) -> SrtpInbound {
        SrtpInbound { streams: SrtpStreamTable::restore(streams), ..SrtpInbound::new(key) }
    }

    /// Returns the received streams with their indices, for a snapshot.
    pub fn snapshot(&self) -> Vec<Stream> {
        self.streams.snapshot()
    }

    /// Returns the master key from which the session keys were derived.
    pub(super) fn key(&self) -> &SrtpKey {
        &self.key
    }

    /// Returns the state for the same streams under another key. Streams may continue their roll-over counters (RFC
    /// 3711 §3.3.1) or restart at zero (RFC 4568 §7.1.4); phones do either, so the first packet of each stream
    /// decides.
    pub(super) fn successor(&self, key: &SrtpKey) -> SrtpInbound {
        let mut next = SrtpInbound::restore(key, &self.snapshot());
        for stream in next.streams.iter_mut() {
            stream.before = stream.rtp.highest().or(stream.before);
            (stream.rtp, stream.rtcp) = (ReplayWindow::default(), ReplayWindow::default());
        }
        next
    }

    /// Returns the state after a change from the key of `last` back to this one: packets already seen under this key
    /// stay rejected, and counters continue.
    pub(super) fn comes_back(self, last: &SrtpInbound) -> SrtpInbound {
        let mut next = last.successor(&self.key);
        for stream in next.streams.iter_mut() {
            let Some(before) = self.streams.get(stream.ssrc()) else { continue };
            (stream.rtp, stream.rtcp) = (before.rtp.advanced(stream.before), before.rtcp);
        }
        next
    }

    /// Decrypts an RTP packet in place and shortens it by tag and MKI. With `again`, a failed authentication leaves the
    /// packet unchanged, so that another key can be tried.
    ///
    /// # Errors
    ///
    /// Returns an error if the packet is not RTP, fails authentication, is a replay, or exceeds the number of
    /// streams.
    pub fn unprotect_rtp(&mut self, packet: &mut PacketBuf, again: bool) -> Result<(), DropReason> {
        let head = SrtpHeader::parse(packet.data()).map_err(|_| DropReason::NotRtp)?;
        if packet.data().len() < head.len + self.rtp.rtp_overhead() {
            return Err(DropReason::SrtpPlain);
        }
        let known = self.streams.get(head.ssrc);
        if let Some(highest) = known.and_then(|stream| stream.rtp.highest()) {
            // No index exists before the first packet of all, and a key must not be used behind its last index.
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

    /// Decrypts an RTCP packet in place and shortens it by tag, index word and MKI. With `again`, a failed
    /// authentication leaves the packet unchanged, so that another key can be tried.
    ///
    /// # Errors
    ///
    /// Returns an error if the packet is not RTCP, fails authentication, is a replay, or exceeds the number of
    /// streams.
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

/// Lists candidate indices for the first packet of a stream under a key, most likely first: the counter continues; if
/// the stream used another end before, the possible roll-over counts; zero; and one roll-over before the first packet
/// seen (a sender that begins close below 2^16, against RFC 3711 §3.3.1).
fn first_indices(sequence: u16, before: Option<u64>, rolled: u32) -> impl Iterator<Item = u64> {
    let goes_on = before.and_then(|highest| index_near(highest, sequence));
    let most = rolled.max(u32::from(sequence < 0x8000));
    let rolled = (1..=rolled).rev().chain([0]).chain((rolled + 1..=most).rev());
    let others = rolled.map(move |counter| u64::from(counter) << 16 | u64::from(sequence));
    goes_on.into_iter().chain(others.filter(move |index| Some(*index) != goes_on))
}

impl fmt::Debug for SrtpInbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpInbound").field("key", &self.key).field("streams", &self.streams).finish_non_exhaustive()
    }
}
