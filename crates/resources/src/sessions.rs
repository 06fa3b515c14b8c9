//! Media sessions and the port pairs that they hold. A session outlives its call until its worker says that every
//! socket is closed: only then are its ports free.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use trunkgate_media::{Command, EndCounters, EndId, EndSpec, Event, MediaId};

use crate::edge::Edge;
use crate::io::Output;
use crate::key::CallKey;

/// One session.
#[derive(Debug)]
struct Session {
    /// Its call, which may be gone.
    key: CallKey,
    ports: BTreeMap<EndId, u16>,
    next_end: u16,
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    next: u64,
    live: BTreeMap<MediaId, Session>,
}

impl Sessions {
    /// The RTP ends of a session, and the name that its next end gets.
    pub fn ends(&self, id: MediaId) -> Option<(Vec<EndId>, u16)> {
        let session = self.live.get(&id)?;
        Some((session.ports.keys().copied().collect(), session.next_end))
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

impl Edge {
    /// Sends a command to a session's worker.
    pub fn media(&mut self, id: MediaId, command: Command) {
        self.outputs.push_back(Output::Media { id, command });
    }

    /// Begins a session for a call.
    pub fn open_session(&mut self, key: CallKey) -> MediaId {
        let id = MediaId(self.sessions.next);
        self.sessions.next += 1;
        self.start_session(id, key);
        id
    }

    fn start_session(&mut self, id: MediaId, key: CallKey) {
        self.sessions.live.insert(id, Session { key, ports: BTreeMap::new(), next_end: 0 });
        let idle_timeout_ms = u64::try_from(self.config.idle_timeout.as_millis()).unwrap_or(u64::MAX);
        let names_key = self.names_key();
        self.media(id, Command::Open { idle_timeout_ms, names_key });
    }

    /// Draws a port pair, and has it bound to `address`. `None` where no pair is free.
    pub fn add_end(&mut self, id: MediaId, address: IpAddr) -> Option<NewEnd> {
        let session = self.sessions.live.get_mut(&id)?;
        let end = EndId(session.next_end);
        let next_end = session.next_end.checked_add(1)?;
        let port = self.ports.take()?;
        session.next_end = next_end;
        session.ports.insert(end, port);
        let (bind, counters) = (SocketAddr::new(address, port), Arc::new(EndCounters::default()));
        self.media(id, Command::AddEnd { end, spec: EndSpec { bind, counters: counters.clone() } });
        Some(NewEnd { end, bind, counters })
    }

    /// A name for an end that has no sockets of its own: an agent, a player.
    pub fn new_end(&mut self, id: MediaId) -> Option<EndId> {
        let session = self.sessions.live.get_mut(&id)?;
        let end = EndId(session.next_end);
        session.next_end = session.next_end.checked_add(1)?;
        Some(end)
    }

    /// Has an end's sockets closed; its ports are free once that is told.
    pub fn remove_end(&mut self, id: MediaId, end: EndId) {
        self.media(id, Command::RemoveEnd { end });
    }

    /// Begins a session anew that comes back from a snapshot; names of ends go on from `next_end`.
    pub fn resume_session(&mut self, id: MediaId, key: CallKey, next_end: u16) {
        self.sessions.next = self.sessions.next.max(id.0.saturating_add(1));
        self.start_session(id, key);
        if let Some(session) = self.sessions.live.get_mut(&id) {
            session.next_end = next_end;
        }
    }

    /// Takes an end of such a session back, with its very ports.
    pub fn resume_end(&mut self, id: MediaId, end: EndId, bind: SocketAddr) -> Arc<EndCounters> {
        let counters = Arc::new(EndCounters::default());
        let reserved = self.ports.reserve(bind.port());
        if let Some(session) = self.sessions.live.get_mut(&id).filter(|_| reserved) {
            session.ports.insert(end, bind.port());
        }
        self.media(id, Command::AddEnd { end, spec: EndSpec { bind, counters: counters.clone() } });
        counters
    }

    /// Takes back what a worker's news sets free. The session's call, where the news is of use to it.
    pub fn settle_media(&mut self, id: MediaId, event: &Event) -> Option<CallKey> {
        let session = self.sessions.live.get_mut(&id)?;
        let key = session.key;
        let freed = match event {
            Event::EndClosed { end, .. } => session.ports.remove(end),
            // The worker keeps no end that it could not bind, but a RemoveEnd for it does no harm.
            Event::BindFailed { end, .. } => session.ports.remove(end),
            Event::Closed => {
                let ports = self.sessions.live.remove(&id).map(|s| s.ports).unwrap_or_default();
                for port in ports.into_values() {
                    self.ports.give(port);
                }
                None
            }
            Event::Bound { .. }
            | Event::Latched { .. }
            | Event::Idle { .. }
            | Event::Unheard { .. }
            | Event::AgentOpen { .. }
            | Event::AgentLost { .. }
            | Event::AgentEnded { .. }
            | Event::AgentWish { .. }
            | Event::AgentNote { .. }
            | Event::Key { .. }
            | Event::Played { .. } => None,
        };
        if let Some(port) = freed {
            self.ports.give(port);
        }
        Some(key)
    }
}
