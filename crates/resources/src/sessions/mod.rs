//! Media sessions and the port pairs that they hold. A session outlives its call until its worker says that every
//! socket is closed: only then are its ports free.

pub mod ports;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use trunkgate_media::{Command, EndCounters, EndId, MediaId};

use crate::conferences::Conferences;
use crate::conferences::queues::Queues;
use crate::lookups::key::CallKey;
use crate::recordings::Recordings;
use crate::sessions::ports::PortPool;

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its call, which may be gone.
    pub(crate) key: CallKey,
    pub(crate) ports: BTreeMap<EndId, u16>,
    pub(crate) next_end: u16,
}

/// All sessions.
#[derive(Debug)]
pub struct Sessions {
    /// Port pairs that are free, held or resting.
    pub ports: PortPool,
    /// Recordings that are made of them.
    pub recordings: Recordings,
    /// Conferences that their parties are in.
    pub conferences: Conferences,
    /// Queues that calls wait in.
    pub queues: Queues,
    pub(crate) next: u64,
    pub(crate) live: BTreeMap<MediaId, Session>,
}

impl Sessions {
    /// Returns the sessions of an edge without calls.
    pub fn new(ports: PortPool) -> Sessions {
        let (recordings, conferences, queues) = (Recordings::default(), Conferences::default(), Queues::default());
        Sessions { ports, recordings, conferences, queues, next: 0, live: BTreeMap::new() }
    }

    /// The RTP ends of a session, and the name that its next end gets.
    pub fn ends(&self, id: MediaId) -> Option<(Vec<EndId>, u16)> {
        let session = self.live.get(&id)?;
        Some((session.ports.keys().copied().collect(), session.next_end))
    }

    /// Gives the port pair of an end to another session. Returns the name of the end there, with the command to its worker.
    pub fn move_end(&mut self, from: MediaId, end: EndId, to: MediaId) -> Option<(EndId, Command)> {
        let named = self.live.get(&to).map(|session| EndId(session.next_end))?;
        let next_end = named.0.checked_add(1)?;
        let port = self.live.get_mut(&from)?.ports.remove(&end)?;
        let session = self.live.get_mut(&to)?;
        session.next_end = next_end;
        session.ports.insert(named, port);
        Some((named, Command::MoveEnd { end, to, named }))
    }

    /// The port pairs held.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.live.values().flat_map(|session| session.ports.values().copied())
    }

    /// Port pairs held in all, for the invariants.
    pub fn ports_held(&self) -> usize {
        self.live.values().map(|s| s.ports.len()).sum()
    }
}

/// A new end: its name and where it is bound.
#[derive(Debug)]
pub struct NewEnd {
    /// Name.
    pub end: EndId,
    /// Local address and RTP port.
    pub bind: SocketAddr,
    /// Its counters.
    pub counters: Arc<EndCounters>,
}
