//! Lines of a load test: phones on the test's sockets, found by Call-ID or audio socket, and their deadlines. The owner
//! of the lines handles the phones' outputs: the load generator (`generator`), or the callees of a scenario.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use slab::Slab;
use trunkgate_phone::{AnswerScript, Phone, PhoneConfig, PhoneInput, PhoneOutput};

use super::line::{CallRole, CallSide, SideDeadline};
use super::plan::LoadTestPlan;
use super::sockets::{ReceivedDatagram, TestSockets};
use trunkgate_boot::edge::seed;

/// Time from the end of a call to the judgement of its audio.
const SETTLED: Duration = Duration::from_secs(1);
/// Time from the judgement of a call to the removal of its line.
const FORGOTTEN: Duration = Duration::from_secs(8);
/// Maximum number of callee lines for each concurrent call, including those of ended calls that are not removed yet.
pub(super) const KNOWN: usize = 16;

/// All lines of a test.
#[derive(Debug)]
pub(super) struct CallSides {
    sockets: TestSockets,
    lines: Slab<CallSide>,
    calls: HashMap<(CallRole, Vec<u8>), usize>,
    /// Slots of lines by audio socket.
    audio: HashMap<usize, usize>,
    due: BinaryHeap<Reverse<(Instant, usize, u64, SideDeadline)>>,
    serial: u64,
    sent_again: u64,
}

impl CallSides {
    /// Creates an empty set of lines on these sockets.
    pub(super) fn new(sockets: TestSockets) -> CallSides {
        CallSides {
            sockets,
            lines: Slab::new(),
            calls: HashMap::new(),
            audio: HashMap::new(),
            due: BinaryHeap::new(),
            serial: 0,
            sent_again: 0,
        }
    }

    /// Adds a line with a phone that has no call, and returns its slot.
    pub(super) fn add(
        &mut self,
        plan: &LoadTestPlan,
        now: Instant,
        side: CallRole,
        audio: Option<usize>,
    ) -> Result<usize, String> {
        let address = |socket| self.sockets.address(socket).map(|at| plan.shown(at));
        let sip = self.sockets.sip(side).map(|at| plan.shown(at)).ok_or("no socket")?;
        // A random 32-bit SSRC comes from the seed; among some thousand phones a collision is unlikely.
        let mut config = PhoneConfig::new(plan.user(side), seed().map_err(|error| error.to_string())?, sip);
        config.media = audio.and_then(address).into_iter().collect();
        config.codecs.clone_from(&plan.codecs);
        config.give_up = None;
        if side == CallRole::Caller {
            config.credentials.clone_from(&plan.credentials);
        }
        let mut phone = Phone::new(config);
        phone.set_default_answer(AnswerScript::ring(plan.ring));
        self.serial += 1;
        let mut line = CallSide::new(phone, side, self.serial, now);
        line.audio = audio;
        let slot = self.lines.insert(line);
        if let Some(socket) = audio {
            self.audio.insert(socket, slot);
        }
        Ok(slot)
    }

    /// Assigns a Call-ID to a line.
    pub(super) fn enter(&mut self, slot: usize, call_id: Vec<u8>) {
        let Some(line) = self.lines.get_mut(slot) else { return };
        line.call_id.clone_from(&call_id);
        self.calls.insert((line.side, call_id), slot);
    }

    /// Returns the slot of the line with a Call-ID.
    pub(super) fn of_call(&self, side: CallRole, call_id: &[u8]) -> Option<usize> {
        self.calls.get(&(side, call_id.to_vec())).copied()
    }

    /// Returns the slot of the line with an audio socket.
    pub(super) fn of_audio(&self, socket: usize) -> Option<usize> {
        self.audio.get(&socket).copied()
    }

    pub(super) fn get(&self, slot: usize) -> Option<&CallSide> {
        self.lines.get(slot)
    }

    /// Returns a mutable line by its slot.
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut CallSide> {
        self.lines.get_mut(slot)
    }

    /// Returns the number of lines.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Iterates over all lines with their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &CallSide)> {
        self.lines.iter()
    }

    /// Iterates over all lines, mutably.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut CallSide> {
        self.lines.iter_mut().map(|(_, line)| line)
    }

    /// Passes an input to a line's phone. The caller must poll its outputs afterwards.
    pub(super) fn feed(&mut self, now: Instant, slot: usize, input: PhoneInput) {
        if let Some(line) = self.lines.get_mut(slot) {
            line.phone.handle_input(now, input);
        }
    }

    /// Returns the next output of a phone; `None` after the last one, when the phone's timer is set. Messages are sent
    /// here and not returned.
    pub(super) fn poll(&mut self, slot: usize) -> Option<PhoneOutput> {
        loop {
            let line = self.lines.get_mut(slot)?;
            match line.phone.poll_output() {
                Some(PhoneOutput::Transmit(transmit)) => {
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
                self.due.push(Reverse((at, slot, line.serial, SideDeadline::Phone)));
            }
        }
        None
    }

    /// Schedules an action on a line.
    pub(super) fn arm(&mut self, at: Instant, slot: usize, due: SideDeadline) {
        if let Some(line) = self.lines.get(slot) {
            self.due.push(Reverse((at, slot, line.serial, due)));
        }
    }

    /// Returns the time of the earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Returns the next action that is due, with its time and line. Removal of a line is carried out here and not
    /// returned.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<(Instant, usize, SideDeadline)> {
        while let Some(Reverse((at, slot, serial, due))) =
            self.due.peek().copied().filter(|Reverse(next)| next.0 <= now)
        {
            self.due.pop();
            let Some(line) = self.lines.get_mut(slot).filter(|line| line.serial == serial) else { continue };
            match due {
                SideDeadline::Phone if line.wake == Some(at) => line.wake = None,
                // The phone's timer was changed after this deadline was set.
                SideDeadline::Phone => continue,
                SideDeadline::Forget => {
                    let line = self.lines.remove(slot);
                    self.calls.remove(&(line.side, line.call_id));
                    continue;
                }
                SideDeadline::Mute | SideDeadline::HangUp | SideDeadline::Judge => {}
            }
            return Some((at, slot, due));
        }
        None
    }

    /// Records the end of a line's call and schedules its judgement. Returns `None` if the call had already ended.
    pub(super) fn end(&mut self, now: Instant, slot: usize) -> Option<&mut CallSide> {
        let line = self.lines.get_mut(slot).filter(|line| line.ended.is_none())?;
        line.ended = Some(now);
        self.due.push(Reverse((now + SETTLED, slot, line.serial, SideDeadline::Judge)));
        Some(line)
    }

    /// Releases the audio socket of a line and schedules its removal. Returns `None` if its audio is already judged.
    pub(super) fn close(&mut self, now: Instant, slot: usize) -> Option<&CallSide> {
        let line = self.lines.get_mut(slot).filter(|line| !line.judged)?;
        line.judged = true;
        if let Some(socket) = line.audio.take() {
            self.audio.remove(&socket);
            self.sockets.give_back(line.side, socket);
        }
        self.due.push(Reverse((now + FORGOTTEN, slot, line.serial, SideDeadline::Forget)));
        Some(line)
    }

    /// Takes a free audio socket; `None` if all are in use.
    pub(super) fn take_socket(&mut self, side: CallRole) -> Option<usize> {
        self.sockets.take(side)
    }

    /// Sends an audio packet; returns false if the system does not accept it.
    pub(super) fn send(&mut self, socket: usize, to: SocketAddr, bytes: &[u8]) -> bool {
        self.sockets.send(socket, to, bytes)
    }

    /// Waits for packets until `wake` and appends them to `into`.
    pub(super) fn wait(&mut self, wake: Instant, into: &mut Vec<ReceivedDatagram>) -> io::Result<()> {
        self.sockets.wait(Some(wake), into)
    }

    /// Returns the number of SIGINT and SIGTERM received.
    pub(super) fn stops(&self) -> u32 {
        self.sockets.stops
    }

    /// Returns the number of packets that the system dropped before they were read.
    pub(super) fn unread(&self) -> u64 {
        self.sockets.unread()
    }

    /// Returns the number of packets that the system did not send.
    pub(super) fn unsent(&self) -> u64 {
        self.sockets.unsent
    }

    /// Returns the number of messages retransmitted by the phones.
    pub(super) fn sent_again(&self) -> u64 {
        self.sent_again
    }
}
