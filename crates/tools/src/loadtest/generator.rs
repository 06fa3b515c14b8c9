//! The load: phones on both sides of an edge, driven by one thread. Each call has a phone of its own on each side, so that
//! none waits for another's; a message finds its phone by its Call-ID, audio by its socket.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use slab::Slab;
use trunkgate_phone::{Answer, Dial, Ending, Event, Heard, Input, Output, Phone, PhoneConfig};
use trunkgate_sip::{Flow, ListenerId, Message, Method, Transport};

use super::line::{Due, Line, Side};
use super::pace::Pace;
use super::plan::Plan;
use super::results::Results;
use super::sockets::{Packet, Sockets};
use super::voice::Voice;
use crate::demo;
use trunkgate_boot::edge::seed;

/// From the last word of a call to its BYE: what was said is heard by then.
const QUIET: Duration = Duration::from_millis(300);
/// From a call's end until what it said is judged.
const SETTLED: Duration = Duration::from_secs(1);
/// From a call's end until a message of it is no longer known.
const FORGOTTEN: Duration = Duration::from_secs(8);
/// Who does not answer in this time is given up.
const RING: Duration = Duration::from_secs(10);
/// How long calls may take to end once the test is over.
const FAREWELL: Duration = Duration::from_secs(6);
/// Callees for each call that is held: those of calls before are still known.
const CALLEES: usize = 16;
/// One packet of so many is lost where that is wanted.
const LOST: u32 = 20;
/// How often one is told how it goes.
pub(super) const TOLD: Duration = Duration::from_secs(1);

/// What the callees do to their audio, to show that it is noticed. For tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// They say something else than they claim.
    Audio,
    /// One packet of twenty never leaves.
    Loss,
}

/// The load.
pub(super) struct Generator<'a> {
    plan: &'a Plan,
    sockets: Sockets,
    lines: Slab<Line>,
    calls: HashMap<(Side, Vec<u8>), usize>,
    audio: HashMap<usize, usize>,
    /// What is said, by its SSRC, with who says it.
    voices: HashMap<u32, (usize, Voice)>,
    due: BinaryHeap<Reverse<(Instant, usize, u64, Due)>>,
    /// Answer what belongs to no call.
    desks: [usize; 2],
    /// Where calls come out, as the first that did has shown; the address that is called may be another of the edge's.
    far: Option<IpAddr>,
    pace: Pace,
    held: usize,
    sabotage: Option<Sabotage>,
    serial: u64,
    results: Results,
    began: Instant,
    /// Since when the test is over.
    over: Option<Instant>,
}

impl<'a> Generator<'a> {
    /// On these sockets, from now on.
    pub(super) fn new(plan: &'a Plan, sockets: Sockets, sabotage: Option<Sabotage>) -> Result<Generator<'a>, String> {
        let now = Instant::now();
        let mut generator = Generator {
            plan,
            sockets,
            lines: Slab::new(),
            calls: HashMap::new(),
            audio: HashMap::new(),
            voices: HashMap::new(),
            due: BinaryHeap::new(),
            desks: [0; 2],
            far: None,
            pace: Pace::new(now, plan.interval, plan.calls),
            held: 0,
            sabotage,
            serial: 0,
            results: Results::new()?,
            began: now,
            over: None,
        };
        for side in [Side::Caller, Side::Callee] {
            let desk = generator.line(now, side, None)?;
            if let Some(place) = generator.desks.get_mut(side as usize) {
                *place = desk;
            }
        }
        Ok(generator)
    }

    /// Runs the test to its end; `tell` is called each second with what has come of it.
    pub(super) fn run(mut self, mut tell: impl FnMut(&Results, usize, Duration)) -> Result<Results, String> {
        let (mut came, mut told) = (Vec::new(), self.began);
        loop {
            let now = Instant::now();
            self.place(now)?;
            self.do_what_is_due(now);
            if self.is_done(now) {
                break;
            }
            if now >= told + TOLD {
                told = now;
                tell(&self.results, self.held, now - self.began);
            }
            self.sockets.wait(Some(self.wake(told)), &mut came).map_err(|error| error.to_string())?;
            for packet in came.drain(..) {
                self.take(packet)?;
            }
        }
        self.results.unread += self.sockets.unread();
        self.results.unsent = self.sockets.unsent;
        self.results.latest_call = self.pace.latest;
        Ok(self.results)
    }

    /// When something is due, or somebody wants to know.
    fn wake(&self, told: Instant) -> Instant {
        let due = self.due.peek().map(|Reverse((at, ..))| *at);
        let next = if self.over.is_some() { None } else { self.pace.next() };
        [due, next].into_iter().flatten().fold(told + TOLD, Instant::min)
    }

    /// Whether the test is over and all its calls are.
    fn is_done(&mut self, now: Instant) -> bool {
        let is_cut = self.sockets.stops > 0;
        if self.over.is_none() && (is_cut || now >= self.began + self.plan.duration) {
            self.over = Some(now);
            self.results.lasted = now - self.began;
            self.results.is_cut = is_cut;
            let callers: Vec<_> = self.of_side(Side::Caller);
            callers.into_iter().for_each(|slot| self.mute(now, slot));
            // Also those whom nobody has heard yet.
            self.lines.iter_mut().for_each(|(_, line)| line.muted = true);
        }
        let Some(over) = self.over else { return false };
        if self.lines.iter().all(|(_, line)| line.call.is_none() || line.judged) {
            return true;
        }
        if now < over + FAREWELL && self.sockets.stops < 2 {
            return false;
        }
        // Whoever is left has been forgotten by the edge.
        for side in [Side::Caller, Side::Callee] {
            for slot in self.of_side(side) {
                self.drive(now, slot, |phone, call| phone.hang_up(now, call));
                self.end(now, slot, Ending::GaveUp);
                self.judge(now, slot);
            }
        }
        true
    }

    fn of_side(&self, side: Side) -> Vec<usize> {
        let is_live = |line: &Line| line.side == side && line.call.is_some() && !line.judged;
        self.lines.iter().filter(|(_, line)| is_live(line)).map(|(slot, _)| slot).collect()
    }

    /// Places the calls that are due.
    fn place(&mut self, now: Instant) -> Result<(), String> {
        while self.over.is_none() && now < self.began + self.plan.duration && self.pace.is_due(now, self.held) {
            let Some(socket) = self.sockets.take(Side::Caller) else {
                self.results.crowded += 1;
                continue;
            };
            let slot = self.line(now, Side::Caller, Some(socket))?;
            let flow =
                Flow { transport: Transport::Udp, listener: ListenerId(0), remote: self.plan.remote, connection: None };
            self.results.attempted += 1;
            self.held += 1;
            self.results.held = self.results.held.max(self.held);
            let dial = Dial::new(flow, self.plan.uri.clone(), self.plan.from.clone());
            // The clock of its set-up begins when its INVITE leaves, not when it was due.
            let now = Instant::now();
            let Some(line) = self.lines.get_mut(slot) else { continue };
            line.began = now;
            line.call = line.phone.dial(now, dial);
            let call = line.call.and_then(|call| line.phone.call(call));
            line.call_id = call.map(|call| call.call_id().to_vec()).unwrap_or_default();
            self.calls.insert((Side::Caller, line.call_id.clone()), slot);
            self.due.push(Reverse((now + RING, slot, line.serial, Due::HangUp)));
            self.drain(now, slot);
        }
        Ok(())
    }

    /// A phone without a call.
    fn line(&mut self, now: Instant, side: Side, audio: Option<usize>) -> Result<usize, String> {
        let address = |socket| self.sockets.address(socket).map(|at| self.plan.shown(at));
        let sip = self.sockets.sip(side).map(|at| self.plan.shown(at)).ok_or("no socket")?;
        // Its voice is named by 32 bits of this: two of some thousand that are heard at once are hardly ever the same.
        let mut config = PhoneConfig::new(self.plan.user(side), seed().map_err(|error| error.to_string())?, sip);
        config.media = audio.and_then(address).into_iter().collect();
        config.codecs.clone_from(&self.plan.codecs);
        config.give_up = None;
        if side == Side::Caller {
            config.credentials.clone_from(&self.plan.credentials);
        }
        let mut phone = Phone::new(config);
        phone.set_default_answer(Answer::ring(self.plan.ring));
        self.serial += 1;
        let mut line = Line::new(phone, side, self.serial, now);
        line.audio = audio;
        let slot = self.lines.insert(line);
        if let Some(socket) = audio {
            self.audio.insert(socket, slot);
        }
        Ok(slot)
    }

    /// A datagram.
    fn take(&mut self, packet: Packet) -> Result<(), String> {
        if packet.socket > Side::Callee as usize {
            let slot = self.audio.get(&packet.socket).copied();
            let to = slot.and_then(|slot| self.lines.get(slot)?.phone.config().media.first().copied());
            if let (Some(slot), Some(to)) = (slot, to) {
                // It came while the call was up, and we had not read it: that is our loss, not the edge's.
                let ended = self.lines.get(slot).and_then(|line| line.ended);
                self.results.unread += u64::from(ended.is_some_and(|ended| packet.at < ended));
                self.feed(packet.at, slot, Input::Rtp { to, bytes: packet.bytes });
            }
            return Ok(());
        }
        let side = if packet.socket == Side::Caller as usize { Side::Caller } else { Side::Callee };
        let Ok(message) = Message::parse(packet.bytes.clone()) else { return Ok(()) };
        let call_id = message.call_id().unwrap_or_default().to_vec();
        let known = self.calls.get(&(side, call_id.clone())).copied();
        let slot = match known {
            Some(slot) => slot,
            None if !message.is_request() => return Ok(()),
            None if side == Side::Callee && message.method() == Method::Invite && message.to_tag().is_none() => {
                if !self.is_of_the_edge(packet.source.ip()) {
                    self.results.strangers += 1;
                    return Ok(());
                }
                self.far.get_or_insert(packet.source.ip().to_canonical());
                match self.callee(packet.at, call_id)? {
                    Some(slot) => slot,
                    None => return Ok(()),
                }
            }
            None => self.desks.get(side as usize).copied().unwrap_or_default(),
        };
        if let Some(line) = self.lines.get_mut(slot).filter(|line| line.call.is_some() || known.is_some()) {
            self.results.came_again += u64::from(line.came_before(&packet.bytes));
            line.note(&message);
        }
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: packet.source, connection: None };
        self.feed(packet.at, slot, Input::Sip { flow, bytes: packet.bytes });
        Ok(())
    }

    /// Whether a call from this address is one of ours: none is before we have placed one.
    fn is_of_the_edge(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        let is_called = source == self.plan.remote.ip().to_canonical();
        is_called || self.held > 0 && self.far.is_none_or(|far| far == source)
    }

    /// Somebody who takes a call that the edge makes; nobody where there are too many already.
    fn callee(&mut self, now: Instant, call_id: Vec<u8>) -> Result<Option<usize>, String> {
        if self.lines.len() > CALLEES * self.plan.calls + self.desks.len() || self.over.is_some() {
            return Ok(None);
        }
        let Some(socket) = self.sockets.take(Side::Callee) else {
            self.results.crowded += 1;
            return Ok(None);
        };
        let slot = self.line(now, Side::Callee, Some(socket))?;
        if let Some(line) = self.lines.get_mut(slot) {
            line.call_id.clone_from(&call_id);
        }
        self.calls.insert((Side::Callee, call_id), slot);
        Ok(Some(slot))
    }

    fn feed(&mut self, now: Instant, slot: usize, input: Input) {
        if let Some(line) = self.lines.get_mut(slot) {
            line.phone.handle_input(now, input);
            self.drain(now, slot);
        }
    }

    /// Does something with the call of a phone.
    fn drive(&mut self, now: Instant, slot: usize, what: impl FnOnce(&mut Phone, trunkgate_phone::CallNumber)) {
        if let Some(line) = self.lines.get_mut(slot)
            && let Some(call) = line.call
        {
            line.left = true;
            what(&mut line.phone, call);
            self.drain(now, slot);
        }
    }

    fn do_what_is_due(&mut self, now: Instant) {
        while let Some(Reverse((at, slot, serial, due))) =
            self.due.peek().copied().filter(|Reverse(next)| next.0 <= now)
        {
            self.due.pop();
            let Some(line) = self.lines.get_mut(slot).filter(|line| line.serial == serial) else { continue };
            match due {
                Due::Phone if line.wake == Some(at) => {
                    line.wake = None;
                    let late = Instant::now().saturating_duration_since(at);
                    self.results.lateness.add(late.as_secs_f64() * 1000.0);
                    line.phone.handle_timeout(now);
                    self.drain(now, slot);
                }
                // It was woken before.
                Due::Phone => {}
                Due::Mute => self.mute(now, slot),
                Due::HangUp if line.ended.is_none() && (line.muted || !line.answered) => {
                    self.drive(now, slot, |phone, call| phone.hang_up(now, call));
                }
                Due::HangUp => {}
                Due::Judge => self.judge(now, slot),
                Due::Forget => {
                    let line = self.lines.remove(slot);
                    self.calls.remove(&(line.side, line.call_id));
                }
            }
        }
    }

    /// A call falls silent on both sides, and is ended a little later.
    fn mute(&mut self, now: Instant, slot: usize) {
        let Some(line) = self.lines.get_mut(slot).filter(|line| !line.muted && line.ended.is_none()) else { return };
        line.muted = true;
        self.due.push(Reverse((now + QUIET, slot, line.serial, Due::HangUp)));
        let heard = self.voices.values().find(|(_, voice)| voice.listener == Some(slot)).map(|(speaker, _)| *speaker);
        if let Some(line) = heard.and_then(|speaker| self.lines.get_mut(speaker)) {
            line.muted = true;
        }
    }

    /// What came of what a call has said.
    fn judge(&mut self, now: Instant, slot: usize) {
        let Some(line) = self.lines.get_mut(slot).filter(|line| !line.judged) else { return };
        line.judged = true;
        let (side, serial) = (line.side, line.serial);
        if let Some(socket) = line.audio.take() {
            self.audio.remove(&socket);
            self.sockets.give_back(side, socket);
        }
        self.due.push(Reverse((now + FORGOTTEN, slot, serial, Due::Forget)));
        let Some((ssrc, (_, voice))) = line.ssrc.and_then(|ssrc| self.voices.remove_entry(&ssrc)) else { return };
        let listener = voice.listener.and_then(|slot| self.lines.get(slot));
        let call = listener.and_then(|line| line.phone.call(line.call?));
        let verdicts = call.map(|call| call.judge().verdicts()).unwrap_or_default();
        let carried = voice.carried(verdicts.iter().find(|verdict| verdict.ssrc == ssrc));
        self.results.judge(side, &carried);
    }

    /// Takes what a phone has to say, and notes when it is to be woken.
    fn drain(&mut self, now: Instant, slot: usize) {
        loop {
            let Some(line) = self.lines.get_mut(slot) else { return };
            let Some(output) = line.phone.poll_output() else { break };
            match output {
                Output::Transmit(transmit) => {
                    self.results.sent_again += u64::from(transmit.what.again);
                    self.sockets.send(line.side as usize, transmit.flow.remote, &transmit.bytes);
                }
                Output::Rtp { to, frame, bytes, .. } => {
                    if line.muted {
                        continue;
                    }
                    let Some(socket) = line.audio else { continue };
                    line.ssrc = Some(frame.ssrc);
                    let (_, voice) = self.voices.entry(frame.ssrc).or_insert_with(|| (slot, Voice::new()));
                    let left = Instant::now();
                    let sabotage = self.sabotage.filter(|_| line.side == Side::Callee);
                    let sent = match sabotage {
                        Some(Sabotage::Loss) if frame.index.is_multiple_of(LOST) => true,
                        Some(Sabotage::Audio) => {
                            let mut bytes = bytes.to_vec();
                            demo::harm(&mut bytes);
                            self.sockets.send(socket, to, &bytes)
                        }
                        Some(Sabotage::Loss) | None => self.sockets.send(socket, to, &bytes),
                    };
                    if sent {
                        voice.leaves(frame.index, left);
                    }
                }
                Output::Event(event) => self.note(now, slot, event),
                Output::Rtcp { .. } | Output::Heard { .. } => {}
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

    fn note(&mut self, now: Instant, slot: usize, event: Event) {
        let Some(line) = self.lines.get_mut(slot) else { return };
        let is_caller = line.side == Side::Caller;
        let took_ms = now.saturating_duration_since(line.began).as_secs_f64() * 1000.0;
        match event {
            Event::Incoming(call) => line.call = Some(call),
            Event::Ringing(_) if is_caller && !line.rang => {
                line.rang = true;
                self.results.post_dial.add(took_ms);
            }
            Event::Ringing(_) => {}
            Event::Answered(_) => {
                line.answered = true;
                if is_caller {
                    self.results.answered += 1;
                    self.results.setup.add(took_ms);
                    self.due.push(Reverse((now + self.plan.hold, slot, line.serial, Due::Mute)));
                }
            }
            Event::Heard(_, heard) => self.hear(now, slot, heard),
            Event::Ended(_, ending) => self.end(now, slot, ending),
        }
    }

    fn hear(&mut self, now: Instant, slot: usize, heard: Heard) {
        match self.voices.get_mut(&heard.ssrc) {
            Some((_, voice)) => {
                voice.listener = Some(slot);
                if let Some(delay) = voice.comes(heard.index, now) {
                    self.results.delay.add(delay);
                }
            }
            None => self.results.foreign += 1,
        }
    }

    fn end(&mut self, now: Instant, slot: usize, ending: Ending) {
        let Some(line) = self.lines.get_mut(slot).filter(|line| line.ended.is_none()) else { return };
        line.ended = Some(now);
        self.due.push(Reverse((now + SETTLED, slot, line.serial, Due::Judge)));
        if line.side == Side::Callee {
            return;
        }
        self.held = self.held.saturating_sub(1);
        let (left, heard, refusal) = (line.left, line.heard(), line.refusal.take());
        if line.answered {
            self.results.dropped += u64::from(!left);
        } else if !heard {
            self.results.fail("no response from the edge: check that it runs and accepts our address".to_owned());
        } else if self.over.is_some() && left {
            // It had not had its time.
            self.results.attempted -= 1;
        } else {
            let reason = if let Ending::Refused(code) = ending {
                refusal.unwrap_or_else(|| code.to_string())
            } else if left {
                format!("not answered in {} s", RING.as_secs())
            } else {
                format!("{ending:?}")
            };
            self.results.fail(reason);
        }
    }
}
