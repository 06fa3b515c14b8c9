//! Open stream with its queued audio as plain data, for a process that continues it on the same socket. The agent
//! notices nothing: numbers go on, and there is no second `start`.

use serde::{Deserialize, Serialize};

/// Open stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSnapshot {
    /// SID of the stream.
    pub stream_sid: String,
    /// Number of the last message.
    pub sequence: u64,
    /// Numbers of the last frames of both tracks: inbound, outbound. The media time follows from them.
    pub chunks: [u64; 2],
    /// Whether the agent must still send its first audio.
    pub awaits_audio: bool,
    /// Messages that the socket has not taken.
    pub unsent: Vec<UnsentMessage>,
}

/// Message that waits for its socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnsentMessage {
    /// Frame of audio, dropped if the socket is slow.
    Media(String),
    /// Other text message.
    Control(String),
    /// Ping.
    Ping,
}

/// Audio of an agent that is not played yet, with its marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayoutSnapshot {
    /// Audio in the agent's format, in base64.
    pub audio: String,
    /// Bytes played so far.
    pub played: u64,
    /// Marks with the number of played bytes at which they are due.
    pub marks: Vec<(u64, String)>,
}
