//! Agents' sockets of a worker: scheduling of reads, and timers for sockets that need attention without an event.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use slab::Slab;
use trunkgate_media::EndId;
use trunkgate_media::agent::Stream;
use trunkgate_tls_record::TlsSnapshot;

use super::agent_connect::OpenSocket;
use super::agent_socket::{AgentSocket, CloseProgress, ClosingHandshake};
use super::port_set::{AgentToken, GENERATIONS, PortSet, SocketReadiness};

/// Index of an agent's socket, reused after the socket is closed.
pub(super) type SocketIndex = usize;

#[derive(Debug)]
struct SocketEntry {
    socket: AgentSocket,
    /// Index of the session in its worker, and the id of the agent's end.
    owner: (usize, EndId),
    /// Closing handshake, once the session no longer uses the socket.
    leaving: Option<ClosingHandshake>,
    /// Number that distinguishes events of this socket from those of an earlier one at the same index.
    generation: u32,
    /// True if the socket is queued for reading.
    queued: bool,
    /// End of the pause after which the socket needs attention without an event; `None` if it is not paused.
    alarm: Option<Instant>,
}

/// All agents' sockets of a worker.
#[derive(Debug, Default)]
pub(super) struct AgentSockets {
    seats: Slab<SocketEntry>,
    to_read: VecDeque<(SocketIndex, u32)>,
    alarms: BTreeSet<(Instant, SocketIndex)>,
    generation: u32,
}

impl AgentSockets {
    /// Adds a WebSocket that has just been opened for an end of a session.
    pub(super) fn add(
        &mut self,
        ports: &PortSet,
        owner: (usize, EndId),
        open: Box<OpenSocket>,
    ) -> io::Result<SocketIndex> {
        self.add_socket(ports, owner, AgentSocket::new(*open))
    }

    /// Adds the socket of an end of a session, also one of another process.
    pub(super) fn add_socket(
        &mut self,
        ports: &PortSet,
        owner: (usize, EndId),
        socket: AgentSocket,
    ) -> io::Result<SocketIndex> {
        self.generation = self.generation.wrapping_add(1) & GENERATIONS;
        let (vacant, generation) = (self.seats.vacant_entry(), self.generation);
        let slot = vacant.key();
        ports.watch(socket.connection(), AgentToken { slot, generation })?;
        vacant.insert(SocketEntry { socket, owner, leaving: None, generation, queued: false, alarm: None });
        self.queue(slot);
        Ok(slot)
    }

    /// Removes a socket that another process continues and returns its descriptor with the TLS state.
    ///
    /// # Errors
    /// Returns the system's error, or an error if the socket is gone or closing; it is then closed.
    pub(super) fn release(&mut self, ports: &PortSet, slot: SocketIndex) -> io::Result<(OwnedFd, Option<TlsSnapshot>)> {
        let seat = self.take_out(slot).filter(|seat| seat.leaving.is_none());
        let socket = seat.ok_or(io::ErrorKind::NotConnected)?.socket;
        ports.unwatch(socket.connection())?;
        socket.into_parts()
    }

    /// Closes a socket without a closing handshake.
    pub(super) fn remove(&mut self, slot: SocketIndex) {
        drop(self.take_out(slot));
    }

    fn take_out(&mut self, slot: SocketIndex) -> Option<SocketEntry> {
        let seat = self.seats.try_remove(slot)?;
        if let Some(at) = seat.alarm {
            self.alarms.remove(&(at, slot));
        }
        Some(seat)
    }

    /// Returns a socket that its session still uses; `None` for a closed or closing one.
    pub(super) fn talking(&mut self, slot: SocketIndex) -> Option<&mut AgentSocket> {
        self.seats.get_mut(slot).filter(|seat| seat.leaving.is_none()).map(|seat| &mut seat.socket)
    }

    /// Returns the index of the session in its worker, and the end, of a socket that the session still uses.
    pub(super) fn owner(&self, slot: SocketIndex) -> Option<(usize, EndId)> {
        self.seats.get(slot).filter(|seat| seat.leaving.is_none()).map(|seat| seat.owner)
    }

    /// Handles a readiness event; returns the session that may write now, if any.
    pub(super) fn awake(&mut self, token: AgentToken, state: SocketReadiness) -> Option<usize> {
        let seat = self.seats.get_mut(token.slot).filter(|seat| seat.generation == token.generation)?;
        seat.socket.awake(state);
        let (session, has_left) = (seat.owner.0, seat.leaving.is_some());
        if state.readable || has_left {
            self.queue(token.slot);
        }
        (state.writable && !has_left).then_some(session)
    }

    /// Queues a socket for reading, unless it is queued already or paused.
    pub(super) fn queue(&mut self, slot: SocketIndex) {
        if let Some(seat) = self.seats.get_mut(slot)
            && !seat.queued
            && (seat.alarm.is_none() || seat.leaving.is_some())
        {
            seat.queued = true;
            self.to_read.push_back((slot, seat.generation));
        }
    }

    /// Removes and returns the next socket queued for reading; `None` if there is none.
    pub(super) fn next_to_read(&mut self) -> Option<SocketIndex> {
        while let Some((slot, generation)) = self.to_read.pop_front() {
            if let Some(seat) = self.seats.get_mut(slot).filter(|seat| seat.generation == generation) {
                seat.queued = false;
                return Some(slot);
            }
        }
        None
    }

    /// Returns whether any socket is queued for reading.
    pub(super) fn is_waiting(&self) -> bool {
        !self.to_read.is_empty()
    }

    /// Pauses reading from a socket until the time `until`.
    pub(super) fn rest(&mut self, slot: SocketIndex, until: Instant) {
        if let Some(seat) = self.seats.get_mut(slot) {
            let before = seat.alarm.replace(until);
            before.map(|at| self.alarms.remove(&(at, slot)));
            self.alarms.insert((until, slot));
        }
    }

    /// Returns the time at which the next pause ends; `None` if no socket is paused.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Queues sockets for reading after the end of their pause.
    pub(super) fn ring(&mut self, now: Instant) {
        while let Some((at, slot)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
            self.alarms.remove(&(at, slot));
            if let Some(seat) = self.seats.get_mut(slot) {
                seat.alarm = None;
                self.queue(slot);
            }
        }
    }

    /// Takes over the socket of a removed agent, to send the remaining messages of its conversation and close it.
    pub(super) fn see_off(&mut self, slot: SocketIndex, stream: Box<Stream>) {
        self.leave(slot, ClosingHandshake::with(stream));
    }

    /// Takes over a socket that the agent has closed, to send the edge's close frame.
    pub(super) fn answer_close(&mut self, now: Instant, slot: SocketIndex) {
        self.leave(slot, ClosingHandshake::after_close(now));
    }

    fn leave(&mut self, slot: SocketIndex, leaving: ClosingHandshake) {
        if let Some(seat) = self.seats.get_mut(slot) {
            seat.leaving = Some(leaving);
            self.queue(slot);
        }
    }

    /// Continues the closing handshake of a socket, and closes the socket at its end; returns false if a session still
    /// uses the socket.
    pub(super) fn see_on(&mut self, now: Instant, slot: SocketIndex) -> bool {
        let Some(SocketEntry { leaving: Some(leaving), socket, .. }) = self.seats.get_mut(slot) else { return false };
        match leaving.go_on(now, socket) {
            CloseProgress::Over => self.remove(slot),
            CloseProgress::Again => self.queue(slot),
            CloseProgress::Later(at) => self.rest(slot, at),
        }
        true
    }

    /// Returns whether all closing handshakes have ended.
    pub(super) fn have_left(&self) -> bool {
        self.seats.iter().all(|(_, seat)| seat.leaving.is_none())
    }
}
