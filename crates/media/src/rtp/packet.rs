//! Packet buffer from receive to send, with headroom, data and tailroom. Each worker has a pool of them.

use std::time::Duration;

use crate::limits::SRTP_MKI_BYTES;

/// Bytes reserved in a buffer before the packet.
pub const HEADROOM: usize = 8;
/// Bytes reserved after the packet: the longest SRTP tag, the SRTCP index word, and an MKI.
pub const TAILROOM: usize = 16 + 4 + SRTP_MKI_BYTES;
/// Longest accepted packet, in bytes.
pub const PACKET: usize = 2048;

/// Buffer of one packet, with room before and after it.
#[derive(Debug)]
pub struct PacketBuf {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    waited: Duration,
}

impl PacketBuf {
    /// Creates an empty buffer.
    pub fn new() -> PacketBuf {
        let bytes = vec![0; HEADROOM + PACKET + TAILROOM].into_boxed_slice();
        PacketBuf { bytes, start: HEADROOM, end: HEADROOM, waited: Duration::ZERO }
    }

    /// Returns the area for receiving a packet of up to [`PACKET`] bytes; call [`Self::set_len`] afterwards.
    pub fn receive_area(&mut self) -> &mut [u8] {
        self.start = HEADROOM;
        self.end = HEADROOM;
        self.waited = Duration::ZERO;
        self.bytes.get_mut(HEADROOM..HEADROOM + PACKET).unwrap_or_default()
    }

    /// Sets the length of the received packet.
    pub fn set_len(&mut self, len: usize) {
        self.end = self.start + len.min(PACKET);
    }

    /// Sets the time that the packet waited in the socket before it was read.
    pub fn set_waited(&mut self, waited: Duration) {
        self.waited = waited;
    }

    /// Returns the time that the packet waited in the socket before it was read; zero by default.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Returns the bytes of the packet.
    pub fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Returns the bytes of the packet for changes in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Extends the packet by `bytes` of arbitrary content; `None` and unchanged if there is no room.
    pub fn grow(&mut self, bytes: usize) -> Option<&mut [u8]> {
        let end = self.end.checked_add(bytes).filter(|end| *end <= self.bytes.len())?;
        self.end = end;
        self.bytes.get_mut(self.start..end)
    }

    /// Truncates the packet to `len` bytes.
    pub fn cut(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }
}

impl Default for PacketBuf {
    fn default() -> Self {
        Self::new()
    }
}

/// Pool of one worker's packet buffers, allocated on demand and reused, with a maximum number in use.
#[derive(Debug)]
pub struct PacketPool {
    free: Vec<PacketBuf>,
    out: usize,
    limit: usize,
}

impl PacketPool {
    /// Creates a pool of at most `limit` buffers.
    pub fn new(limit: usize) -> PacketPool {
        PacketPool { free: Vec::new(), out: 0, limit }
    }

    /// Takes a buffer from the pool; `None` if `limit` buffers are in use.
    pub fn take(&mut self) -> Option<PacketBuf> {
        if self.out >= self.limit {
            return None;
        }
        self.out += 1;
        Some(self.free.pop().unwrap_or_default())
    }

    /// Returns a buffer to the pool for reuse.
    pub fn put(&mut self, buffer: PacketBuf) {
        self.out = self.out.saturating_sub(1);
        self.free.push(buffer);
    }

    /// Returns the number of buffers in use.
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
