//! Numbers that a stream of the edge's own begins with.

/// A stream of the edge's own making at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStart {
    /// The stream's name among the feeders of its end.
    pub serial: u32,
    /// The stream's source.
    pub ssrc: u32,
    /// The first sequence number.
    pub sequence: u16,
    /// The first timestamp.
    pub timestamp: u32,
}
