//! Media sessions and their port pairs. A session outlives its call until its worker reports that all sockets are
//! closed: only then are its ports free.

pub mod ports;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use trunkgate_media::{EndCounters, EndId, MediaCommand, MediaId};

use crate::conferences::Conferences;
use crate::conferences::queues::Queues;
use crate::lookups::key::CallKey;
use crate::recordings::EdgeRecordings;
use crate::sessions::ports::PortPool;

/// A media session of a call at a worker: its RTP ends with their ports.
#[derive(Debug)]
pub(crate) struct MediaSession {
    /// Call of the session, which may have ended.
    pub(crate) key: CallKey,
    pub(crate) ports: BTreeMap<EndId, u16>,
    pub(crate) next_end: u16,
}

/// All media sessions of the edge, with recordings, conferences and queues.
#[derive(Debug)]
pub struct MediaSessions {
    /// Pool of port pairs.
    pub ports: PortPool,
    /// Recordings of the sessions.
    pub recordings: EdgeRecordings,
    /// Conferences of the edge.
    pub conferences: Conferences,
    /// Call queues of the edge.
    pub queues: Queues,
    pub(crate) next: u64,
    pub(crate) live: BTreeMap<MediaId, MediaSession>,
}

impl MediaSessions {
    /// Returns the sessions of an edge without calls.
    pub fn new(ports: PortPool) -> MediaSessions {
        let (recordings, conferences, queues) = (EdgeRecordings::default(), Conferences::default(), Queues::default());
        MediaSessions { ports, recordings, conferences, queues, next: 0, live: BTreeMap::new() }
    }

    /// Returns the RTP ends of a session, and the id of its next end; `None` if the session is closed.
    pub fn ends(&self, id: MediaId) -> Option<(Vec<EndId>, u16)> {
        let session = self.live.get(&id)?;
        Some((session.ports.keys().copied().collect(), session.next_end))
    }

    /// Moves the port pair of an end to another session. Returns the new id of the end, and the command for its worker.
    /// `None` if a session is closed, the end is unknown, or the ids are used up; nothing has changed then.
    pub fn move_end(&mut self, from: MediaId, end: EndId, to: MediaId) -> Option<(EndId, MediaCommand)> {
        let named = self.live.get(&to).map(|session| EndId(session.next_end))?;
        let next_end = named.0.checked_add(1)?;
        let port = self.live.get_mut(&from)?.ports.remove(&end)?;
        let session = self.live.get_mut(&to)?;
        session.next_end = next_end;
        session.ports.insert(named, port);
        Some((named, MediaCommand::MoveEnd { end, to, named }))
    }

    /// Returns the port pairs in use.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.live.values().flat_map(|session| session.ports.values().copied())
    }

    /// Returns the number of port pairs in use, for invariant checks.
    pub fn ports_held(&self) -> usize {
        self.live.values().map(|s| s.ports.len()).sum()
    }
}

/// A new end and its local address.
#[derive(Debug)]
pub struct NewEnd {
    /// Id of the end.
    pub end: EndId,
    /// Local address and RTP port.
    pub bind: SocketAddr,
    /// Packet counters of the end.
    pub counters: Arc<EndCounters>,
}
