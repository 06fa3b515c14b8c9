//! The buffer a packet lives in from receive to send: headroom, data, tailroom. Pooled by its worker.

use std::time::Duration;

use crate::limits::SRTP_MKI_BYTES;

/// Room in front of the packet, in bytes.
pub const HEADROOM: usize = 8;
/// Room behind it, in bytes: the longest tag of SRTP, the word of SRTCP, and an MKI.
pub const TAILROOM: usize = 16 + 4 + SRTP_MKI_BYTES;
/// Longest packet taken, in bytes.
pub const PACKET: usize = 2048;

/// One packet's buffer.
#[derive(Debug)]
pub struct PacketBuf {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    waited: Duration,
}

impl PacketBuf {
    /// An empty buffer.
    pub fn new() -> PacketBuf {
        let bytes = vec![0; HEADROOM + PACKET + TAILROOM].into_boxed_slice();
        PacketBuf { bytes, start: HEADROOM, end: HEADROOM, waited: Duration::ZERO }
    }

    /// Returns the room that a packet of up to [`PACKET`] bytes is received into; [`Self::set_len`] follows.
    pub fn receive_area(&mut self) -> &mut [u8] {
        self.start = HEADROOM;
        self.end = HEADROOM;
        self.waited = Duration::ZERO;
        self.bytes.get_mut(HEADROOM..HEADROOM + PACKET).unwrap_or_default()
    }

    /// Says how long the received packet is.
    pub fn set_len(&mut self, len: usize) {
        self.end = self.start + len.min(PACKET);
    }

    /// Says how long before it was received the packet came.
    pub fn set_waited(&mut self, waited: Duration) {
        self.waited = waited;
    }

    /// Returns how long before it was received the packet came; zero where nothing else was said.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The packet.
    pub fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The packet, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Returns the packet with `bytes` more, of any value, behind it; `None` and unchanged where there is no room.
    pub fn grow(&mut self, bytes: usize) -> Option<&mut [u8]> {
        let end = self.end.checked_add(bytes).filter(|end| *end <= self.bytes.len())?;
        self.end = end;
        self.bytes.get_mut(self.start..end)
    }

    /// Leaves the packet's first `len` bytes.
    pub fn cut(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }
}

impl Default for PacketBuf {
    fn default() -> Self {
        Self::new()
    }
}

/// Packet buffers of one worker, made when first needed and kept; never more than its limit out at once.
#[derive(Debug)]
pub struct PacketPool {
    free: Vec<PacketBuf>,
    out: usize,
    limit: usize,
}

impl PacketPool {
    /// A pool of at most `limit` buffers.
    pub fn new(limit: usize) -> PacketPool {
        PacketPool { free: Vec::new(), out: 0, limit }
    }

    /// A buffer, unless all are out.
    pub fn take(&mut self) -> Option<PacketBuf> {
        if self.out >= self.limit {
            return None;
        }
        self.out += 1;
        Some(self.free.pop().unwrap_or_default())
    }

    /// Gives one back.
    pub fn put(&mut self, buffer: PacketBuf) {
        self.out = self.out.saturating_sub(1);
        self.free.push(buffer);
    }

    /// Buffers out.
    pub fn in_use(&self) -> usize {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_keeps_its_room() {
        let mut packet = PacketBuf::new();
        assert_eq!(packet.receive_area().len(), PACKET);
        packet.receive_area()[..3].copy_from_slice(b"abc");
        packet.set_len(3);
        packet.data_mut()[0] = b'x';
        assert_eq!(packet.data(), b"xbc");
        packet.cut(2);
        packet.cut(7);
        assert_eq!(packet.data(), b"xb");
        packet.set_len(usize::MAX);
        assert_eq!(packet.data().len(), PACKET);
        assert_eq!(packet.grow(TAILROOM).unwrap().len(), PACKET + TAILROOM);
        assert!(packet.grow(1).is_none() && packet.grow(usize::MAX).is_none());
        assert_eq!(packet.data().len(), PACKET + TAILROOM);
    }

    #[test]
    fn the_pool_has_a_limit_and_takes_back() {
        let mut pool = PacketPool::new(2);
        let (one, two) = (pool.take().unwrap(), pool.take().unwrap());
        assert!(pool.take().is_none());
        assert_eq!(pool.in_use(), 2);
        pool.put(one);
        assert!(pool.take().is_some());
        pool.put(two);
        assert_eq!(pool.in_use(), 1);
    }
}
