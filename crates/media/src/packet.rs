//! The buffer a packet lives in from receive to send: headroom, data, tailroom. Pooled by its worker.

/// Room in front of the packet, in bytes.
pub const HEADROOM: usize = 8;
/// Room behind it (SRTP tag and MKI), in bytes.
pub const TAILROOM: usize = 32;
/// Longest packet taken, in bytes.
pub const PACKET: usize = 2048;

/// One packet's buffer.
#[derive(Debug)]
pub struct PacketBuf {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl PacketBuf {
    /// An empty buffer.
    pub fn new() -> PacketBuf {
        PacketBuf { bytes: vec![0; HEADROOM + PACKET + TAILROOM].into_boxed_slice(), start: HEADROOM, end: HEADROOM }
    }
    /// Where a packet of up to [`PACKET`] bytes is received into; [`Self::set_len`] follows.
    pub fn receive_area(&mut self) -> &mut [u8] {
        self.start = HEADROOM;
        self.end = HEADROOM;
        self.bytes.get_mut(HEADROOM..HEADROOM + PACKET).unwrap_or_default()
    }
    /// Says how long the received packet is.
    pub fn set_len(&mut self, len: usize) {
        self.end = self.start + len.min(PACKET);
    }
    /// The packet.
    pub fn data(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }
    /// The packet, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }
}

impl Default for PacketBuf {
    fn default() -> Self {
        Self::new()
    }
}
