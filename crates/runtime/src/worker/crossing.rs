//! Sessions that are handed over from a process that ends to its successor, with their sockets.
//!
//! The old worker relays until a session is exported, and packets queue in its sockets until the new worker has adopted
//! it. Signalling is handed over first: commands of the new process for a session that has not arrived yet are
//! deferred.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_media::{AgentSnapshot, EndId, MediaId, RecorderSnapshot, RecordingId, SessionSnapshot};
use trunkgate_system::clock;
use trunkgate_tls_record::TlsSnapshot;

/// Media session on its way from one process to another.
#[derive(Debug)]
pub struct CrossingSession {
    /// State of the session.
    pub snapshot: SessionSnapshot,
    /// Sockets of the session's ends: RTP, then RTCP.
    pub sockets: Vec<(EndId, [OwnedFd; 2])>,
    /// Agents that are handed over with their sockets; the conversations of the others were ended.
    pub agents: Vec<CrossingAgent>,
    /// Recorders of the session; their files are handed over separately.
    pub recorders: CrossingRecorders,
}

/// Recorders of a session on its way from one process to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossingRecorders {
    /// Time of the recorders' snapshots by the monotonic clock, which both processes share.
    at: Duration,
    recorders: Vec<RecorderSnapshot>,
}

impl CrossingRecorders {
    /// Wraps the snapshots of recorders that were suspended at `now`.
    pub(super) fn new(now: Instant, recorders: Vec<RecorderSnapshot>) -> CrossingRecorders {
        let at = if recorders.is_empty() { Duration::ZERO } else { clock::monotonic().saturating_sub(now.elapsed()) };
        CrossingRecorders { at, recorders }
    }

    /// Lists the ids of the recorders' recordings.
    pub fn recordings(&self) -> impl Iterator<Item = RecordingId> {
        self.recorders.iter().map(|recorder| recorder.recording)
    }

    /// Returns the time of the snapshots, converted to this process's clock, and the snapshots.
    pub(super) fn into_parts(self, now: Instant) -> (Instant, Vec<RecorderSnapshot>) {
        let ago = clock::monotonic().saturating_sub(now.elapsed()).saturating_sub(self.at);
        (now.checked_sub(ago).unwrap_or(now), self.recorders)
    }
}

/// Agent on its way from one process to another.
#[derive(Debug)]
pub struct CrossingAgent {
    /// State of the conversation with the agent.
    pub state: AgentSnapshot,
    /// TCP connection of its WebSocket, between two messages.
    pub socket: OwnedFd,
    /// TLS state of the connection; `None` without TLS.
    pub tls: Option<TlsSnapshot>,
}

/// Agent of an adopted session that its call has not requested yet.
#[derive(Debug)]
pub(super) struct UnclaimedAgent {
    pub(super) session: MediaId,
    pub(super) agent: CrossingAgent,
    /// Time at which the connection is closed if no call requests the agent.
    pub(super) until: Instant,
}

/// Request to remove sessions for another process.
#[derive(Debug, Clone, Copy)]
pub struct ExportRequest {
    /// Maximum number of sessions to export.
    pub most: usize,
    /// Whether to export also sessions with an agent in the middle of a message; its conversation is then ended.
    pub is_forced: bool,
}

/// Sessions removed for another process.
#[derive(Debug, Default)]
pub struct ExportedSlice {
    /// Sessions that were exported.
    pub sessions: Vec<CrossingSession>,
    /// Number of sessions that the workers still have.
    pub remaining: usize,
}

/// Time until a handed-over agent is dropped if no call requests it; long enough for an application to fetch a document
/// first.
pub(super) const CLAIM_WITHIN: Duration = Duration::from_secs(10);

/// Session that another process will hand over, with the addresses of its ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedSession {
    /// Id of the session.
    pub id: MediaId,
    /// Ends with the addresses of their RTP sockets.
    pub ends: Vec<(EndId, SocketAddr)>,
}
