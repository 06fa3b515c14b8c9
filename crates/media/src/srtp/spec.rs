//! Keys of an end, in plain data.

use super::key::SrtpKey;

/// The keys of an end, one for each direction. The same keys again keep roll-over counters and replay windows. Under a
/// changed key the counters go on as well (RFC 3711 §3.3.1); those of what we send begin at zero where the far side's
/// address changed along with it (RFC 4568 §7.1.4), those of what it sends may. No two ends may have the same `send`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SrtpSpec {
    /// The key that we send with.
    pub send: SrtpKey,
    /// The key that the remote party sends with.
    pub receive: SrtpKey,
    /// Roll-overs that the remote party's numbers may have had before anything comes by this end, where it sent by
    /// another one before, which knew its counter: [`SRTP_ROLLED`](crate::limits::SRTP_ROLLED) at most.
    #[serde(default)]
    pub rolled: u32,
}
