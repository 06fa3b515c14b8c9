//! Encryption of packets to an end's remote party.

use std::fmt;

use super::cipher::Cipher;
use super::key::SrtpKey;
use super::replay::ReplayWindow;
use super::rtcp::{self, INDICES};
use super::spec::OwnSources;
use super::streams::{SrtpStreamTable, Stream, index_near};
use crate::counters::DropReason;
use crate::limits::SRTP_FORMER_KEYS;
use crate::rtp::{PacketBuf, SrtpHeader};

/// SRTP state of an end's sending direction. No index is sent twice under one key: reuse would expose the key stream
/// and, in Galois/counter mode, allow forgery.
pub struct SrtpOutbound {
    key: SrtpKey,
    rtp: Cipher,
    rtcp: Cipher,
    streams: SrtpStreamTable,
    /// Former keys, the last one first, with the indices used under each, because a key may return.
    former: Vec<(SrtpKey, SrtpStreamTable)>,
    /// SSRCs of the processes that may continue the call.
    sources: Option<OwnSources>,
}

impl SrtpOutbound {
    /// Creates the state before the first packet.
    pub fn new(key: &SrtpKey) -> SrtpOutbound {
        SrtpOutbound {
            rtp: Cipher::rtp(key),
            rtcp: Cipher::rtcp(key),
            streams: SrtpStreamTable::new(),
            key: key.clone(),
            former: Vec::new(),
            sources: None,
        }
    }

    /// Sets the SSRCs of the processes that may continue the call.
    pub(super) fn set_sources(&mut self, sources: Option<OwnSources>) {
        self.sources = sources;
    }

    /// Returns whether an SSRC is reserved for a process after this one: nothing is sent under it.
    pub fn is_reserved(&self, ssrc: u32) -> bool {
        self.sources.is_some_and(|sources| sources.is_later(ssrc))
    }

    /// Restores the state from the streams of a snapshot.
    pub fn restore(key: &SrtpKey, streams: &[Stream]) -> SrtpOutbound {
        SrtpOutbound { streams: SrtpStreamTable::restore(streams), ..SrtpOutbound::new(key) }
    }

    /// Returns the sent streams with their indices, for a snapshot.
    pub fn snapshot(&self) -> Vec<Stream> {
        self.streams.snapshot()
    }

    /// Changes the key; has no effect if `key` is the current one. Under a new key, roll-over counters continue (RFC
    /// 3711 §3.3.1), or restart at zero if `from_zero` (RFC 4568 §7.1.4); under a key that was used before they never
    /// restart. The RTCP index always continues (RFC 3711 §3.4).
    pub fn set_key(&mut self, key: &SrtpKey, from_zero: bool) {
        if *key == self.key {
            return;
        }
        let known = self.former.iter().position(|(former, _)| former == key).map(|at| self.former.remove(at).1);
        let last = std::mem::replace(&mut self.key, key.clone());
        self.former.truncate(SRTP_FORMER_KEYS - 1);
        self.former.insert(0, (last, SrtpStreamTable::restore(&self.streams.snapshot())));
        (self.rtp, self.rtcp) = (Cipher::rtp(key), Cipher::rtcp(key));
        for stream in self.streams.iter_mut() {
            let before = known.as_ref().and_then(|known| known.get(stream.ssrc())).map(|before| before.rtp);
            stream.rtp = match before.filter(|before| before.highest().is_some()) {
                Some(before) if from_zero => before,
                Some(before) => before.advanced(stream.rtp.highest()),
                None if from_zero => ReplayWindow::default(),
                None => stream.rtp,
            };
        }
    }

    /// Returns whether a packet with this sequence number belongs to a stream that can continue: it is not too far
    /// behind the highest of its stream, or the table has room for a new stream. Otherwise the stream has to continue
    /// with other numbers.
    pub fn takes(&self, ssrc: u32, sequence: u16) -> bool {
        let Some(stream) = self.streams.get(ssrc) else { return self.streams.has_room() };
        let highest = stream.rtp.highest();
        highest.is_none_or(|highest| index_near(highest, sequence).is_some_and(|index| stream.rtp.reaches(index)))
    }

    /// Encrypts an RTP packet in place and extends it by tag and MKI.
    ///
    /// # Errors
    ///
    /// Returns an error if the packet is not RTP, its index was sent before, its SSRC is reserved, too many streams
    /// exist, or the key is used up.
    pub fn protect_rtp(&mut self, packet: &mut PacketBuf) -> Result<(), DropReason> {
        let head = SrtpHeader::parse(packet.data()).map_err(|_| DropReason::NotRtp)?;
        if self.is_reserved(head.ssrc) {
            return Err(DropReason::SrtpStreams);
        }
        let stream = self.streams.find_or_add(head.ssrc).ok_or(DropReason::SrtpStreams)?;
        let index = match stream.rtp.highest() {
            None => u64::from(head.sequence),
            // No index exists before the first packet; behind the last index a new key is due.
            Some(highest) => index_near(highest, head.sequence).ok_or(if highest < 0x8000 {
                DropReason::SrtpRepeated
            } else {
                DropReason::SrtpSpent
            })?,
        };
        if !stream.rtp.is_new(index) {
            return Err(DropReason::SrtpRepeated);
        }
        if !self.rtp.seal_rtp(packet, &head, index) {
            return Err(DropReason::NotRtp);
        }
        stream.rtp.see(index);
        Ok(())
    }

    /// Encrypts an RTCP packet in place and extends it by tag, index word and MKI.
    ///
    /// # Errors
    ///
    /// Returns an error if the packet is not RTCP, its SSRC is reserved, too many streams exist, or the key is used up.
    pub fn protect_rtcp(&mut self, packet: &mut PacketBuf) -> Result<(), DropReason> {
        let ssrc = rtcp::sender(packet.data()).ok_or(DropReason::NotRtp)?;
        if self.is_reserved(ssrc) {
            return Err(DropReason::SrtpStreams);
        }
        let stream = self.streams.find_or_add(ssrc).ok_or(DropReason::SrtpStreams)?;
        let index = stream.rtcp.highest().map_or(0, |highest| highest.saturating_add(1));
        if index >= INDICES {
            return Err(DropReason::SrtpSpent);
        }
        if !self.rtcp.seal_rtcp(packet, ssrc, index) {
            return Err(DropReason::NotRtp);
        }
        stream.rtcp.see(index);
        Ok(())
    }
}

impl fmt::Debug for SrtpOutbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpOutbound").field("key", &self.key).field("streams", &self.streams).finish_non_exhaustive()
    }
}
