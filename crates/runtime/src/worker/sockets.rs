//! All agents' sockets of a worker: which of them are to be read, and when those want something that the system does not
//! tell of.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::Instant;

use slab::Slab;
use trunkgate_media::EndId;
use trunkgate_media::agent::Stream;

use super::agent_connect::OpenSocket;
use super::agent_socket::{Leaving, Progress, Socket};
use super::port_set::{GENERATIONS, PortSet, State, Token};

/// A socket's place; another one's once that socket is gone.
pub(super) type Slot = usize;

#[derive(Debug)]
struct Seat {
    socket: Socket,
    /// Index of the session in its worker, and the end.
    owner: (usize, EndId),
    /// Where the session has given it up.
    leaving: Option<Leaving>,
    /// Tells an event of this socket from one of an earlier socket in the same place.
    generation: u32,
    /// Whether it waits to be read.
    queued: bool,
    /// When it wants its turn, whatever the system says.
    alarm: Option<Instant>,
}

/// The sockets.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    seats: Slab<Seat>,
    to_read: VecDeque<(Slot, u32)>,
    alarms: BTreeSet<(Instant, Slot)>,
    generation: u32,
}

impl Sockets {
    /// Takes an open socket for a session's end.
    pub(super) fn add(&mut self, ports: &PortSet, owner: (usize, EndId), open: Box<OpenSocket>) -> io::Result<Slot> {
        self.generation = self.generation.wrapping_add(1) & GENERATIONS;
        let (vacant, generation) = (self.seats.vacant_entry(), self.generation);
        let slot = vacant.key();
        ports.watch(open.get_ref().get_ref(), Token { slot, generation })?;
        let socket = Socket::new(*open);
        vacant.insert(Seat { socket, owner, leaving: None, generation, queued: false, alarm: None });
        self.queue(slot);
        Ok(slot)
    }

    /// Closes a socket.
    pub(super) fn remove(&mut self, slot: Slot) {
        if let Some(seat) = self.seats.try_remove(slot)
            && let Some(at) = seat.alarm
        {
            self.alarms.remove(&(at, slot));
        }
    }

    /// The socket of a session's end.
    pub(super) fn talking(&mut self, slot: Slot) -> Option<&mut Socket> {
        self.seats.get_mut(slot).filter(|seat| seat.leaving.is_none()).map(|seat| &mut seat.socket)
    }

    /// Whose it is: index of the session in its worker, and the end.
    pub(super) fn owner(&self, slot: Slot) -> Option<(usize, EndId)> {
        self.seats.get(slot).filter(|seat| seat.leaving.is_none()).map(|seat| seat.owner)
    }

    /// Takes what the system says of a descriptor. The session that may write now, if any.
    pub(super) fn awake(&mut self, token: Token, state: State) -> Option<usize> {
        let seat = self.seats.get_mut(token.slot).filter(|seat| seat.generation == token.generation)?;
        seat.socket.awake(state);
        let (session, has_left) = (seat.owner.0, seat.leaving.is_some());
        if state.readable || has_left {
            self.queue(token.slot);
        }
        (state.writable && !has_left).then_some(session)
    }

    /// Has it read soon, unless it is to rest until some time.
    pub(super) fn queue(&mut self, slot: Slot) {
        if let Some(seat) = self.seats.get_mut(slot)
            && !seat.queued
            && (seat.alarm.is_none() || seat.leaving.is_some())
        {
            seat.queued = true;
            self.to_read.push_back((slot, seat.generation));
        }
    }

    /// The next one to read.
    pub(super) fn next_to_read(&mut self) -> Option<Slot> {
        while let Some((slot, generation)) = self.to_read.pop_front() {
            if let Some(seat) = self.seats.get_mut(slot).filter(|seat| seat.generation == generation) {
                seat.queued = false;
                return Some(slot);
            }
        }
        None
    }

    /// Whether any is to be read now.
    pub(super) fn is_waiting(&self) -> bool {
        !self.to_read.is_empty()
    }

    /// Lets it rest until then.
    pub(super) fn rest(&mut self, slot: Slot, until: Instant) {
        if let Some(seat) = self.seats.get_mut(slot) {
            let before = seat.alarm.replace(until);
            before.map(|at| self.alarms.remove(&(at, slot)));
            self.alarms.insert((until, slot));
        }
    }

    /// When the next one has rested.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// Queues those that have rested.
    pub(super) fn ring(&mut self, now: Instant) {
        while let Some((at, slot)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
            self.alarms.remove(&(at, slot));
            if let Some(seat) = self.seats.get_mut(slot) {
                seat.alarm = None;
                self.queue(slot);
            }
        }
    }

    /// A session's end gives its socket up, with what is left of the conversation.
    pub(super) fn see_off(&mut self, slot: Slot, stream: Box<Stream>) {
        self.leave(slot, Leaving::with(stream));
    }

    /// The agent has closed: the answer leaves, and then the socket is closed.
    pub(super) fn answer_close(&mut self, now: Instant, slot: Slot) {
        self.leave(slot, Leaving::after_close(now));
    }

    fn leave(&mut self, slot: Slot, leaving: Leaving) {
        if let Some(seat) = self.seats.get_mut(slot) {
            seat.leaving = Some(leaving);
            self.queue(slot);
        }
    }

    /// Goes on with one that leaves, or closes it; `false` where a session has it.
    pub(super) fn see_on(&mut self, now: Instant, slot: Slot) -> bool {
        let Some(Seat { leaving: Some(leaving), socket, .. }) = self.seats.get_mut(slot) else { return false };
        match leaving.go_on(now, socket) {
            Progress::Over => self.remove(slot),
            Progress::Again => self.queue(slot),
            Progress::Later(at) => self.rest(slot, at),
        }
        true
    }

    /// Whether all that left have gone.
    pub(super) fn have_left(&self) -> bool {
        self.seats.iter().all(|(_, seat)| seat.leaving.is_none())
    }
}
