//! SRTP keys of an end, as signalling specifies them.

use super::key::SrtpKey;

/// SRTP keys of an end, one for each direction. Setting the same keys keeps roll-over counters and replay windows.
/// Counters continue under a changed key as well (RFC 3711 §3.3.1), except that those of sent streams restart at zero
/// if the remote party's address changed along with it (RFC 4568 §7.1.4); those of received streams may do either. No
/// two ends may share a `send` key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SrtpSpec {
    /// Key that protects the packets sent by the edge.
    pub send: SrtpKey,
    /// Key of packets that the remote party sends.
    pub receive: SrtpKey,
    /// Maximum roll-overs of the remote party's sequence numbers before its first packet at this end, for a stream that
    /// another end received before; at most [`SRTP_ROLLED`](crate::limits::SRTP_ROLLED).
    #[serde(default)]
    pub rolled: u32,
    /// Whether packets may have been sent under `send` whose indices are not known, because the process that sent them
    /// has crashed. Each stream then begins under an SSRC of this process, with which no index was used (RFC 3711
    /// §9.1).
    #[serde(default)]
    pub is_resumed: bool,
}
