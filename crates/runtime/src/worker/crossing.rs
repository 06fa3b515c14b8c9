//! Sessions that cross from a process that ends to its successor, with their sockets.
//!
//! The old worker relays until a session is exported, and packets queue in its sockets until the new worker has adopted
//! it. Signalling crosses first: commands of the new process for a session that has not arrived yet wait for it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_media::{AgentSnapshot, EndId, MediaId, RecorderSnapshot, RecordingId, SessionSnapshot};
use trunkgate_system::clock;
use trunkgate_tls_record::TlsSnapshot;

/// Session between two processes.
#[derive(Debug)]
pub struct CrossingSession {
    /// State of the session.
    pub snapshot: SessionSnapshot,
    /// Sockets of its ends: RTP, then RTCP.
    pub sockets: Vec<(EndId, [OwnedFd; 2])>,
    /// Agents whose sockets cross; the others were dismissed.
    pub agents: Vec<CrossingAgent>,
    /// Recorders; their files cross beside the session.
    pub recorders: CrossingRecorders,
}

/// Recorders of a session between two processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossingRecorders {
    /// Time of the snapshots by the monotonic clock, which both processes share.
    at: Duration,
    recorders: Vec<RecorderSnapshot>,
}

impl CrossingRecorders {
    /// Returns recorders suspended at `now`.
    pub(super) fn new(now: Instant, recorders: Vec<RecorderSnapshot>) -> CrossingRecorders {
        let at = if recorders.is_empty() { Duration::ZERO } else { clock::monotonic().saturating_sub(now.elapsed()) };
        CrossingRecorders { at, recorders }
    }

    /// Lists the recordings.
    pub fn recordings(&self) -> impl Iterator<Item = RecordingId> {
        self.recorders.iter().map(|recorder| recorder.recording)
    }

    /// Returns the recorders with the time of their snapshots.
    pub(super) fn into_parts(self, now: Instant) -> (Instant, Vec<RecorderSnapshot>) {
        let ago = clock::monotonic().saturating_sub(now.elapsed()).saturating_sub(self.at);
        (now.checked_sub(ago).unwrap_or(now), self.recorders)
    }
}

/// Agent between two processes.
#[derive(Debug)]
pub struct CrossingAgent {
    /// The conversation.
    pub state: AgentSnapshot,
    /// TCP connection of its WebSocket, between two messages.
    pub socket: OwnedFd,
    /// State of TLS on it.
    pub tls: Option<TlsSnapshot>,
}

/// Agent of an adopted session that its call has not asked for yet.
#[derive(Debug)]
pub(super) struct UnclaimedAgent {
    pub(super) session: MediaId,
    pub(super) agent: CrossingAgent,
    /// Time at which the connection is dropped.
    pub(super) until: Instant,
}

/// Which sessions are exported.
#[derive(Debug, Clone, Copy)]
pub struct ExportRequest {
    /// Maximum number of sessions.
    pub most: usize,
    /// Whether sessions leave whose agents are in the middle of a message, and dismiss those agents.
    pub is_forced: bool,
}

/// Exported sessions.
#[derive(Debug, Default)]
pub struct ExportedSlice {
    /// The sessions.
    pub sessions: Vec<CrossingSession>,
    /// Number of sessions that the workers still have.
    pub remaining: usize,
}

/// Time until an agent that no call asks for is dropped: an application may fetch a document first.
pub(super) const CLAIM_WITHIN: Duration = Duration::from_secs(10);

/// Session that will cross, with the addresses of its ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedSession {
    /// Session id.
    pub id: MediaId,
    /// Ends with the addresses of their RTP sockets.
    pub ends: Vec<(EndId, SocketAddr)>,
}
