//! Sessions that cross from a process that ends to its successor, with their sockets.
//!
//! The old worker relays until a session is exported, and packets queue in its sockets until the new worker has adopted
//! it. Signalling crosses first: commands of the new process for a session that has not arrived yet wait for it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use trunkgate_media::{EndId, EndSpec, MediaCommand, MediaEvent, MediaId, Session, SessionSnapshot};

use super::port_set::EndSockets;
use super::turn::{LiveSession, MediaWorker, WorkerCommand};

/// Session between two processes.
#[derive(Debug)]
pub struct CrossingSession {
    /// State of the session.
    pub snapshot: SessionSnapshot,
    /// Sockets of its ends: RTP, then RTCP.
    pub sockets: Vec<(EndId, [OwnedFd; 2])>,
}

/// Session that will cross, with the addresses of its ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedSession {
    /// Session id.
    pub id: MediaId,
    /// Ends with the addresses of their RTP sockets.
    pub ends: Vec<(EndId, SocketAddr)>,
}

impl MediaWorker {
    /// Lists the sessions. Figures of exported ones begin here, because those before are in the snapshots of their calls.
    pub(super) fn list(&mut self) -> Vec<ExpectedSession> {
        let listed = |live: &mut LiveSession| {
            live.figures = live.session.figures();
            ExpectedSession { id: live.id, ends: live.session.ends().collect() }
        };
        self.sessions.iter_mut().map(|(_, live)| listed(live)).collect()
    }

    /// Removes up to `most` sessions and returns them. Their agents are dismissed: a stream does not cross.
    pub(super) fn export(&mut self, now: Instant, most: usize) -> Vec<CrossingSession> {
        let chosen: Vec<usize> = self.sessions.iter().map(|(at, _)| at).take(most).collect();
        chosen.into_iter().filter_map(|at| self.export_one(now, at)).collect()
    }

    fn export_one(&mut self, now: Instant, at: usize) -> Option<CrossingSession> {
        self.at_work = Some(at);
        let live = self.sessions.get(at)?;
        let (id, agents): (MediaId, Vec<EndId>) = (live.id, live.doors.iter().map(|door| door.name.end).collect());
        for end in agents {
            self.obey(now, id, MediaCommand::RemoveEnd { end });
        }
        self.at_work = Some(at);
        let mut live = self.forget(at)?;
        let mut sockets = Vec::with_capacity(live.ends.len());
        for (end, port, pair) in live.ends.drain(..) {
            match self.ports.release(pair) {
                Ok(released) => sockets.extend(released.map(|released| (end, released.into_descriptors()))),
                Err(error) => tracing::error!(port, "the sockets of a call cannot be handed over: {error}"),
            }
        }
        self.count_ends();
        self.at_work = None;
        let mut snapshot = live.session.snapshot();
        snapshot.count_since(&live.figures);
        Some(CrossingSession { snapshot, sockets })
    }

    /// Continues a session and executes the commands that waited for it. Without a command that opens it, its call was
    /// not continued and its sockets are closed.
    pub(super) fn adopt(&mut self, now: Instant, crossing: CrossingSession) {
        let CrossingSession { snapshot, sockets } = crossing;
        let id = snapshot.id;
        let Some(commands) = self.expected.remove(&id) else { return };
        let mut kept = FxHashMap::<EndId, EndSpec>::default();
        for command in &commands {
            if let WorkerCommand::KeptEnd(_, end, spec) = command
                && sockets.iter().any(|(crossed, _)| crossed == end)
            {
                kept.insert(*end, spec.clone());
            }
        }
        let session = Session::restore_counted(now, snapshot, |end| kept.get(&end).map(|spec| spec.counters.clone()));
        let at = self.insert(session);
        self.at_work = Some(at);
        for (end, descriptors) in sockets {
            let Some(spec) = kept.get(&end) else { continue };
            let opened = self.ports.open(at, end, EndSockets::received(descriptors));
            match (opened, self.sessions.get_mut(at)) {
                (Ok(pair), Some(live)) => live.ends.push((end, spec.bind.port(), pair)),
                (Ok(pair), None) => self.ports.close(pair),
                (Err(error), _) => self.tell(id, MediaEvent::BindFailed { end, error: error.to_string() }),
            }
        }
        self.count_ends();
        for command in commands {
            match command {
                WorkerCommand::KeptEnd(_, end, _) if kept.contains_key(&end) => {}
                command => self.execute(now, command),
            }
        }
        self.read_when_wanted(at);
        self.settle(at);
        self.at_work = None;
    }

    /// Begins the sessions that have not arrived as new ones, with sockets of their own.
    pub(super) fn begin_expected(&mut self, now: Instant) {
        for (_, commands) in std::mem::take(&mut self.expected) {
            for command in commands {
                self.execute(now, command);
            }
        }
    }
}
