//! Media sessions of calls: commands that open and close their ends, and release of ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use trunkgate_media::{EndCounters, EndId, EndSpec, MediaCommand, MediaEvent, MediaId};

use crate::edge::base::EdgeBase;
use crate::lookups::key::CallKey;
use crate::sessions::{MediaSession, MediaSessions, NewEnd};

impl MediaSessions {
    /// Opens a media session for a call. `beside` is an existing session from which an end will be moved to the new
    /// one.
    pub(super) fn open_session(&mut self, base: &mut EdgeBase, key: CallKey, beside: Option<MediaId>) -> MediaId {
        let id = MediaId(self.next);
        self.next += 1;
        self.start_session(base, id, key, beside);
        id
    }

    fn start_session(&mut self, base: &mut EdgeBase, id: MediaId, key: CallKey, beside: Option<MediaId>) {
        self.live.insert(id, MediaSession { key, ports: BTreeMap::new(), next_end: 0 });
        let idle_timeout_ms = u64::try_from(base.config.idle_timeout.as_millis()).unwrap_or(u64::MAX);
        let names_key = base.random.names_key();
        base.media(id, MediaCommand::Open { idle_timeout_ms, names_key, beside });
    }

    /// Adds an end with a port pair bound to `address`. Returns `None` if no pair is free.
    pub(super) fn add_end(&mut self, base: &mut EdgeBase, id: MediaId, address: IpAddr) -> Option<NewEnd> {
        let session = self.live.get_mut(&id)?;
        let end = EndId(session.next_end);
        let next_end = session.next_end.checked_add(1)?;
        let port = self.ports.allocate_pair()?;
        session.next_end = next_end;
        session.ports.insert(end, port);
        let (bind, counters) = (SocketAddr::new(address, port), Arc::new(EndCounters::default()));
        base.media(id, MediaCommand::AddEnd { end, spec: EndSpec { bind, counters: counters.clone() } });
        Some(NewEnd { end, bind, counters })
    }

    /// Returns the id of a new end without sockets (an agent or a player); `None` if the session is closed or out of
    /// ids.
    pub(super) fn new_end(&mut self, id: MediaId) -> Option<EndId> {
        let session = self.live.get_mut(&id)?;
        let end = EndId(session.next_end);
        session.next_end = session.next_end.checked_add(1)?;
        Some(end)
    }

    /// Closes the sockets of an end; its ports are free once the worker has reported this.
    pub(super) fn remove_end(&mut self, base: &mut EdgeBase, id: MediaId, end: EndId) {
        base.media(id, MediaCommand::RemoveEnd { end });
    }

    /// Opens a session restored from a snapshot; ids of new ends continue from `next_end`.
    pub(super) fn resume_session(&mut self, base: &mut EdgeBase, id: MediaId, key: CallKey, next_end: u16) {
        self.next = self.next.max(id.0.saturating_add(1));
        self.start_session(base, id, key, None);
        if let Some(session) = self.live.get_mut(&id) {
            session.next_end = next_end;
        }
    }

    /// Restores an end of a restored session with the same ports.
    pub(super) fn resume_end(
        &mut self,
        base: &mut EdgeBase,
        id: MediaId,
        end: EndId,
        bind: SocketAddr,
    ) -> Arc<EndCounters> {
        let counters = Arc::new(EndCounters::default());
        let reserved = self.ports.reserve(bind.port());
        if let Some(session) = self.live.get_mut(&id).filter(|_| reserved) {
            session.ports.insert(end, bind.port());
        }
        base.media(id, MediaCommand::AddEnd { end, spec: EndSpec { bind, counters: counters.clone() } });
        counters
    }

    /// Closes the sessions of a call; their ports are free once the worker has reported this.
    pub(super) fn close_sessions_of(&self, base: &mut EdgeBase, key: CallKey) {
        let own = self.live.iter().filter(|(_, session)| session.key == key);
        own.for_each(|(id, _)| base.media(*id, MediaCommand::Close));
    }

    /// Frees the ports named by a worker's event. Returns the call that must handle the event; `None` if the event
    /// concerns no call, such as a closed end.
    pub(super) fn settle_media(&mut self, id: MediaId, event: &MediaEvent) -> Option<CallKey> {
        let session = self.live.get_mut(&id)?;
        let key = session.key;
        if let MediaEvent::EndClosed { end, .. } | MediaEvent::BindFailed { end, .. } = event {
            // The worker keeps no end that it could not bind; a `RemoveEnd` for it is harmless.
            session.ports.remove(end).into_iter().for_each(|port| self.ports.release_pair(port));
        } else if *event == MediaEvent::Closed {
            let ports = self.live.remove(&id).map(|session| session.ports).unwrap_or_default();
            ports.into_values().for_each(|port| self.ports.release_pair(port));
        }
        Some(key).filter(|_| !matches!(event, MediaEvent::EndClosed { .. }))
    }
}
