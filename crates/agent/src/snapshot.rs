//! Serializable state of an open stream with its queued audio, for a process that continues the stream on the same
//! socket. The agent notices nothing: message numbers continue, and there is no second `start`.

use serde::{Deserialize, Serialize};

/// Serializable state of an open stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSnapshot {
    /// SID of the stream.
    pub stream_sid: String,
    /// Sequence number of the last message.
    pub sequence: u64,
    /// Numbers of the last frames of the inbound and the outbound track. The media time follows from them.
    pub chunks: [u64; 2],
    /// Whether the agent must still send its first audio.
    pub awaits_audio: bool,
    /// Messages that were not written to the socket yet.
    pub unsent: Vec<UnsentMessage>,
}

/// Message that was not written to the socket yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnsentMessage {
    /// Audio frame, which is dropped if the socket is slow.
    Media(String),
    /// Text message other than audio.
    Control(String),
    /// WebSocket ping.
    Ping,
}

/// State of an agent's audio that is not played yet, with its marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayoutSnapshot {
    /// Audio in the agent's format, in base64.
    pub audio: String,
    /// Number of bytes of agent audio played so far.
    pub played: u64,
    /// Marks with the number of played bytes at which they are due.
    pub marks: Vec<(u64, String)>,
}
