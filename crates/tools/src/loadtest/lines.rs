//! The lines of a load test and their one driver: phones on the test's sockets, found by the Call-ID of a message and the socket of audio,
//! and their deadlines. What follows from an output of a phone is decided by the user of the lines: the load (`generator`), or the callees
//! of a scenario.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use slab::Slab;
use trunkgate_phone::{Answer, Input, Output, Phone, PhoneConfig};

use super::line::{Due, Line, Side};
use super::plan::Plan;
use super::sockets::{Packet, Sockets};
use trunkgate_boot::edge::seed;

/// From the end of a call until its audio is judged.
const SETTLED: Duration = Duration::from_secs(1);
/// From the judgement of a call until its messages are no longer known.
const FORGOTTEN: Duration = Duration::from_secs(8);
/// Callees for each call that may be up: those of calls before are still known.
pub(super) const KNOWN: usize = 16;

/// All lines.
#[derive(Debug)]
pub(super) struct Lines {
    sockets: Sockets,
    lines: Slab<Line>,
    calls: HashMap<(Side, Vec<u8>), usize>,
    /// Lines by the socket of their audio.
    audio: HashMap<usize, usize>,
    due: BinaryHeap<Reverse<(Instant, usize, u64, Due)>>,
    serial: u64,
    sent_again: u64,
}

impl Lines {
    /// Creates the driver without a line.
    pub(super) fn new(sockets: Sockets) -> Lines {
        Lines {
            sockets,
            lines: Slab::new(),
            calls: HashMap::new(),
            audio: HashMap::new(),
            due: BinaryHeap::new(),
            serial: 0,
            sent_again: 0,
        }
    }

    /// Adds a phone without a call.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(super) fn add(&mut self, plan: &Plan, now: Instant, side: Side, audio: Option<usize>) -> Result<usize, String> {
        let address = |socket| self.sockets.address(socket).map(|at| plan.shown(at));
        let sip = self.sockets.sip(side).map(|at| plan.shown(at)).ok_or("no socket")?;
        // Its voice is named by 32 bits of this: two of some thousand that are heard at once are hardly ever the same.
        let mut config = PhoneConfig::new(plan.user(side), seed().map_err(|error| error.to_string())?, sip);
        config.media = audio.and_then(address).into_iter().collect();
        config.codecs.clone_from(&plan.codecs);
        config.give_up = None;
        if side == Side::Caller {
            config.credentials.clone_from(&plan.credentials);
        }
        let mut phone = Phone::new(config);
        phone.set_default_answer(Answer::ring(plan.ring));
        self.serial += 1;
        let mut line = Line::new(phone, side, self.serial, now);
        line.audio = audio;
        let slot = self.lines.insert(line);
        if let Some(socket) = audio {
            self.audio.insert(socket, slot);
        }
        Ok(slot)
    }

    /// Has messages of a call go to a line.
    pub(super) fn enter(&mut self, slot: usize, call_id: Vec<u8>) {
        let Some(line) = self.lines.get_mut(slot) else { return };
        line.call_id.clone_from(&call_id);
        self.calls.insert((line.side, call_id), slot);
    }

    /// Returns the line of a call.
    pub(super) fn of_call(&self, side: Side, call_id: &[u8]) -> Option<usize> {
        self.calls.get(&(side, call_id.to_vec())).copied()
    }

    /// Returns the line whose audio comes to a socket.
    pub(super) fn of_audio(&self, socket: usize) -> Option<usize> {
        self.audio.get(&socket).copied()
    }

    /// Returns a line.
    pub(super) fn get(&self, slot: usize) -> Option<&Line> {
        self.lines.get(slot)
    }

    /// Returns a line to be changed.
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Line> {
        self.lines.get_mut(slot)
    }

    /// Returns the number of lines.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Iterates over all lines.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter()
    }

    /// Iterates over all lines, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        self.lines.iter_mut().map(|(_, line)| line)
    }

    /// Gives the phone of a line something; its outputs are to be polled then.
    pub(super) fn feed(&mut self, now: Instant, slot: usize, input: Input) {
        if let Some(line) = self.lines.get_mut(slot) {
            line.phone.handle_input(now, input);
        }
    }

    /// Returns the next output of a phone that is no message: those are sent. After the last one its next deadline is noted.
    pub(super) fn poll(&mut self, slot: usize) -> Option<Output> {
        loop {
            let line = self.lines.get_mut(slot)?;
            match line.phone.poll_output() {
                Some(Output::Transmit(transmit)) => {
                    self.sent_again += u64::from(transmit.what.again);
                    self.sockets.send(line.side as usize, transmit.flow.remote, &transmit.bytes);
                }
                Some(output) => return Some(output),
                None => break,
            }
        }
        let line = self.lines.get_mut(slot)?;
        let wake = line.phone.poll_timeout();
        if wake != line.wake {
            line.wake = wake;
            if let Some(at) = wake {
                self.due.push(Reverse((at, slot, line.serial, Due::Phone)));
            }
        }
        None
    }

    /// Notes a deadline of a line.
    pub(super) fn arm(&mut self, at: Instant, slot: usize, due: Due) {
        if let Some(line) = self.lines.get(slot) {
            self.due.push(Reverse((at, slot, line.serial, due)));
        }
    }

    /// Returns the earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Returns the next deadline that has passed, with its line. Lines that are to be forgotten are removed.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<(Instant, usize, Due)> {
        while let Some(Reverse((at, slot, serial, due))) =
            self.due.peek().copied().filter(|Reverse(next)| next.0 <= now)
        {
            self.due.pop();
            let Some(line) = self.lines.get_mut(slot).filter(|line| line.serial == serial) else { continue };
            match due {
                Due::Phone if line.wake == Some(at) => line.wake = None,
                // It was woken before.
                Due::Phone => continue,
                Due::Forget => {
                    let line = self.lines.remove(slot);
                    self.calls.remove(&(line.side, line.call_id));
                    continue;
                }
                Due::Mute | Due::HangUp | Due::Judge => {}
            }
            return Some((at, slot, due));
        }
        None
    }

    /// Notes the end of a line's call, which is judged a little later. Returns the line, where the call was up.
    pub(super) fn end(&mut self, now: Instant, slot: usize) -> Option<&mut Line> {
        let line = self.lines.get_mut(slot).filter(|line| line.ended.is_none())?;
        line.ended = Some(now);
        self.due.push(Reverse((now + SETTLED, slot, line.serial, Due::Judge)));
        Some(line)
    }

    /// Frees the socket of a call that is judged now, and has the line forgotten later. Returns the line, where it was not judged before.
    pub(super) fn close(&mut self, now: Instant, slot: usize) -> Option<&Line> {
        let line = self.lines.get_mut(slot).filter(|line| !line.judged)?;
        line.judged = true;
        if let Some(socket) = line.audio.take() {
            self.audio.remove(&socket);
            self.sockets.give_back(line.side, socket);
        }
        self.due.push(Reverse((now + FORGOTTEN, slot, line.serial, Due::Forget)));
        Some(line)
    }

    /// Takes a socket for the audio of a call; `None`: all are taken.
    pub(super) fn take_socket(&mut self, side: Side) -> Option<usize> {
        self.sockets.take(side)
    }

    /// Sends audio. Returns whether the system has taken it.
    pub(super) fn send(&mut self, socket: usize, to: SocketAddr, bytes: &[u8]) -> bool {
        self.sockets.send(socket, to, bytes)
    }

    /// Waits until something comes, or `wake`.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn wait(&mut self, wake: Instant, into: &mut Vec<Packet>) -> io::Result<()> {
        self.sockets.wait(Some(wake), into)
    }

    /// Returns how often the user has asked for the end.
    pub(super) fn stops(&self) -> u32 {
        self.sockets.stops
    }

    /// Returns the packets that the system dropped before they were read.
    pub(super) fn unread(&self) -> u64 {
        self.sockets.unread()
    }

    /// Returns the packets that the system would not send.
    pub(super) fn unsent(&self) -> u64 {
        self.sockets.unsent
    }

    /// Returns the messages that phones sent again.
    pub(super) fn sent_again(&self) -> u64 {
        self.sent_again
    }
}
