//! The callees of a scenario: a phone of its own for each call that the edge makes. It answers, says a tone, and its audio is
//! judged as it arrives.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use slab::Slab;
use trunkgate_phone::{Answer, Event, Input, Output, Phone, PhoneConfig};
use trunkgate_sip::{Flow, ListenerId, Message, Method, Transport};

use super::super::line::{Due, Line, Side};
use super::super::plan::Plan;
use super::super::sockets::{Packet, Sockets};
use super::hearing::{CallAudio, Heard};
use trunkgate_boot::edge::seed;

/// From the end of a call until its audio is judged.
const SETTLED: Duration = Duration::from_secs(1);
/// From the judgement of a call until its messages are no longer known.
const FORGOTTEN: Duration = Duration::from_secs(8);
/// Callees for each call that may be up: those of calls before are still known.
const KNOWN: usize = 16;

/// All callees.
#[derive(Debug)]
pub(super) struct Callees<'a> {
    plan: &'a Plan,
    sockets: Sockets,
    lines: Slab<Line>,
    calls: HashMap<Vec<u8>, usize>,
    /// Lines by the socket of their audio.
    audio: HashMap<usize, usize>,
    /// Audio of each line.
    heard: HashMap<usize, CallAudio>,
    due: BinaryHeap<Reverse<(Instant, usize, u64, Due)>>,
    /// Line that answers requests of no call.
    desk: usize,
    /// Address of the edge's calls, once the first one has come.
    edge: Option<IpAddr>,
    serial: u64,
    /// Whether no further call is answered.
    is_over: bool,
    results: Heard,
    came: Vec<Packet>,
}

impl<'a> Callees<'a> {
    /// Creates them on their sockets.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(super) fn new(plan: &'a Plan, sockets: Sockets) -> Result<Callees<'a>, String> {
        let mut callees = Callees {
            plan,
            sockets,
            lines: Slab::new(),
            calls: HashMap::new(),
            audio: HashMap::new(),
            heard: HashMap::new(),
            due: BinaryHeap::new(),
            desk: 0,
            edge: None,
            serial: 0,
            is_over: false,
            results: Heard::new()?,
            came: Vec::new(),
        };
        callees.desk = callees.add_line(Instant::now(), None)?;
        Ok(callees)
    }

    /// Returns how often the user has asked for the end.
    pub(super) fn stops(&self) -> u32 {
        self.sockets.stops
    }

    /// Answers and judges until `wake`, or until something came and was served.
    ///
    /// # Errors
    /// What the system cannot do.
    pub(super) fn serve(&mut self, wake: Instant) -> Result<(), String> {
        self.do_what_is_due(Instant::now());
        let wake = self.due.peek().map_or(wake, |Reverse((at, ..))| wake.min(*at));
        let mut came = std::mem::take(&mut self.came);
        self.sockets.wait(Some(wake), &mut came).map_err(|error| error.to_string())?;
        for packet in came.drain(..) {
            self.take(packet)?;
        }
        self.came = came;
        Ok(())
    }

    /// Answers no further call, and hangs up those that are still up.
    pub(super) fn hang_up(&mut self) {
        self.is_over = true;
        let now = Instant::now();
        let live = self.lines.iter().filter(|(_, line)| line.ended.is_none());
        let live: Vec<_> = live.filter_map(|(slot, line)| Some((slot, line.call?))).collect();
        for (slot, call) in live {
            if let Some(line) = self.lines.get_mut(slot) {
                line.phone.hang_up(now, call);
            }
            self.drain(now, slot);
        }
    }

    /// Returns whether a call is up.
    pub(super) fn has_calls(&self) -> bool {
        self.lines.iter().any(|(_, line)| line.call.is_some() && line.ended.is_none())
    }

    /// Returns what was heard, calls that are still up with it.
    pub(super) fn into_heard(mut self) -> Heard {
        let left: Vec<usize> = self.lines.iter().filter(|(_, line)| !line.judged).map(|(slot, _)| slot).collect();
        let now = Instant::now();
        left.into_iter().for_each(|slot| self.judge(now, slot));
        self.results.unread = self.sockets.unread();
        self.results
    }

    fn take(&mut self, packet: Packet) -> Result<(), String> {
        if packet.socket == Side::Callee as usize {
            return self.take_message(packet);
        }
        if let Some(slot) = self.audio.get(&packet.socket)
            && let Some(audio) = self.heard.get_mut(slot)
        {
            audio.hear(packet.at, &packet.bytes);
        }
        Ok(())
    }

    fn take_message(&mut self, packet: Packet) -> Result<(), String> {
        let Ok(message) = Message::parse(packet.bytes.clone()) else { return Ok(()) };
        let call_id = message.call_id().unwrap_or_default().to_vec();
        let slot = match self.calls.get(&call_id) {
            Some(slot) => *slot,
            None if !message.is_request() => return Ok(()),
            None if message.method() == Method::Invite && message.to_tag().is_none() => {
                let source = packet.source.ip().to_canonical();
                let is_called = source == self.plan.remote.ip().to_canonical();
                if !is_called && self.edge.is_some_and(|edge| edge != source) {
                    self.results.strangers += 1;
                    return Ok(());
                }
                self.edge.get_or_insert(source);
                match self.callee(packet.at, call_id)? {
                    Some(slot) => slot,
                    None => return Ok(()),
                }
            }
            None => self.desk,
        };
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: packet.source, connection: None };
        if let Some(line) = self.lines.get_mut(slot) {
            line.phone.handle_input(packet.at, Input::Sip { flow, bytes: packet.bytes });
        }
        self.drain(packet.at, slot);
        Ok(())
    }

    /// A phone for a call that comes; `None`: there are too many already.
    fn callee(&mut self, now: Instant, call_id: Vec<u8>) -> Result<Option<usize>, String> {
        if self.is_over {
            return Ok(None);
        }
        let has_room = self.lines.len() <= KNOWN * self.plan.calls;
        let Some(socket) = has_room.then(|| self.sockets.take(Side::Callee)).flatten() else {
            self.results.crowded += 1;
            return Ok(None);
        };
        let slot = self.add_line(now, Some(socket))?;
        if let Some(line) = self.lines.get_mut(slot) {
            line.call_id.clone_from(&call_id);
        }
        self.calls.insert(call_id, slot);
        Ok(Some(slot))
    }

    fn add_line(&mut self, now: Instant, audio: Option<usize>) -> Result<usize, String> {
        let address = |socket| self.sockets.address(socket).map(|at| self.plan.shown(at));
        let sip = self.sockets.sip(Side::Callee).map(|at| self.plan.shown(at)).ok_or("no socket")?;
        let seed = seed().map_err(|error| error.to_string())?;
        let mut config = PhoneConfig::new(self.plan.user(Side::Callee), seed, sip);
        config.media = audio.and_then(address).into_iter().collect();
        config.codecs.clone_from(&self.plan.codecs);
        config.give_up = None;
        let mut phone = Phone::new(config);
        phone.set_default_answer(Answer::ring(self.plan.ring));
        self.serial += 1;
        let mut line = Line::new(phone, Side::Callee, self.serial, now);
        line.audio = audio;
        let slot = self.lines.insert(line);
        if let Some(socket) = audio {
            self.audio.insert(socket, slot);
            self.heard.insert(slot, CallAudio::default());
        }
        Ok(slot)
    }

    fn do_what_is_due(&mut self, now: Instant) {
        let is_due = |next: &Reverse<(Instant, usize, u64, Due)>| next.0.0 <= now;
        while let Some(Reverse((at, slot, serial, due))) = self.due.peek().copied().filter(is_due) {
            self.due.pop();
            let Some(line) = self.lines.get_mut(slot).filter(|line| line.serial == serial) else { continue };
            match due {
                Due::Phone if line.wake == Some(at) => {
                    line.wake = None;
                    line.phone.handle_timeout(now);
                    self.drain(now, slot);
                }
                Due::Judge => self.judge(now, slot),
                Due::Forget => {
                    let line = self.lines.remove(slot);
                    self.calls.remove(&line.call_id);
                }
                // A phone that was woken before; callees neither fall silent nor hang up by themselves.
                Due::Phone | Due::Mute | Due::HangUp => {}
            }
        }
    }

    /// Judges the audio of a call, and frees its socket.
    fn judge(&mut self, now: Instant, slot: usize) {
        let Some(line) = self.lines.get_mut(slot).filter(|line| !line.judged && line.audio.is_some()) else { return };
        line.judged = true;
        if let Some(socket) = line.audio.take() {
            self.audio.remove(&socket);
            self.sockets.give_back(Side::Callee, socket);
        }
        self.due.push(Reverse((now + FORGOTTEN, slot, line.serial, Due::Forget)));
        if let Some(audio) = self.heard.remove(&slot).filter(|_| line.answered) {
            self.results.judge(&audio);
        }
    }

    /// Takes the outputs of a phone, and notes when it is to be woken.
    fn drain(&mut self, now: Instant, slot: usize) {
        loop {
            let Some(line) = self.lines.get_mut(slot) else { return };
            let Some(output) = line.phone.poll_output() else { break };
            match output {
                Output::Transmit(transmit) => {
                    self.sockets.send(Side::Callee as usize, transmit.flow.remote, &transmit.bytes);
                }
                Output::Rtp { to, bytes, .. } => {
                    if let Some(socket) = line.audio {
                        self.sockets.send(socket, to, &bytes);
                    }
                }
                Output::Event(Event::Incoming(call)) => line.call = Some(call),
                Output::Event(Event::Answered(_)) => line.answered = true,
                Output::Event(Event::Ended(..)) if line.ended.is_none() => {
                    line.ended = Some(now);
                    self.due.push(Reverse((now + SETTLED, slot, line.serial, Due::Judge)));
                }
                Output::Event(_) | Output::Rtcp { .. } | Output::Heard { .. } => {}
            }
        }
        let Some(line) = self.lines.get_mut(slot) else { return };
        let wake = line.phone.poll_timeout();
        if wake != line.wake {
            line.wake = wake;
            if let Some(at) = wake {
                self.due.push(Reverse((at, slot, line.serial, Due::Phone)));
            }
        }
    }
}
