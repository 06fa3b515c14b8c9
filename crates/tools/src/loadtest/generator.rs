//! Load generator: phones on both sides of an edge, driven by one thread. Each call has its own phone on each side. SIP
//! messages are assigned to phones by Call-ID, audio by socket.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use trunkgate_phone::{CallEnding, FrameId, OutgoingCall, Phone, PhoneEvent, PhoneInput, PhoneOutput};
use trunkgate_sip::{Flow, ListenerId, Method, SipMessage, Transport};

use super::line::{CallRole, CallSide, SideDeadline};
use super::lines::{CallSides, KNOWN};
use super::pace::CallPacer;
use super::plan::LoadTestPlan;
use super::results::LoadTestResults;
use super::sockets::{ReceivedDatagram, TestSockets};
use super::voice::SentVoice;
use crate::demo;

/// Time from the last audio of a call to its BYE, so that all audio arrives.
const QUIET: Duration = Duration::from_millis(300);
/// Time from the INVITE after which an unanswered call is given up.
const RING: Duration = Duration::from_secs(10);
/// Maximum time for the remaining calls to end after the test.
const FAREWELL: Duration = Duration::from_secs(6);
/// Drop ratio of [`Sabotage::Loss`]: one of this many packets is dropped.
const LOST: u32 = 20;
/// Interval of progress reports.
pub(super) const TOLD: Duration = Duration::from_secs(1);

/// Damage done to the callees' audio, to test that it is detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Callees send other audio than they report.
    Audio,
    /// Callees omit every twentieth packet.
    Loss,
}

/// State of a running load test.
pub(super) struct LoadGenerator<'a> {
    plan: &'a LoadTestPlan,
    lines: CallSides,
    /// Audio sent by each SSRC, with the slot of its speaker.
    voices: HashMap<u32, (usize, SentVoice)>,
    /// Slots of the lines that answer requests outside of calls, one for each side.
    desks: [usize; 2],
    /// Source address of the calls to the callees, known from the first call; may differ from the address that the
    /// callers call.
    far: Option<IpAddr>,
    pace: CallPacer,
    held: usize,
    sabotage: Option<Sabotage>,
    results: LoadTestResults,
    began: Instant,
    /// Time at which the test ended.
    over: Option<Instant>,
}

impl<'a> LoadGenerator<'a> {
    /// Creates the load generator; the test begins now.
    pub(super) fn new(
        plan: &'a LoadTestPlan,
        sockets: TestSockets,
        sabotage: Option<Sabotage>,
    ) -> Result<LoadGenerator<'a>, String> {
        let now = Instant::now();
        let mut generator = LoadGenerator {
            plan,
            lines: CallSides::new(sockets),
            voices: HashMap::new(),
            desks: [0; 2],
            far: None,
            pace: CallPacer::new(now, plan.interval, plan.calls),
            held: 0,
            sabotage,
            results: LoadTestResults::new()?,
            began: now,
            over: None,
        };
        for side in [CallRole::Caller, CallRole::Callee] {
            let desk = generator.lines.add(plan, now, side, None)?;
            if let Some(place) = generator.desks.get_mut(side as usize) {
                *place = desk;
            }
        }
        Ok(generator)
    }

    /// Runs the test to its end. Calls `tell` every second with the results, the number of active calls and the time
    /// elapsed.
    pub(super) fn run(
        mut self,
        mut tell: impl FnMut(&LoadTestResults, usize, Duration),
    ) -> Result<LoadTestResults, String> {
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
            self.lines.wait(self.wake(told), &mut came).map_err(|error| error.to_string())?;
            for packet in came.drain(..) {
                self.take(packet)?;
            }
        }
        self.results.unread += self.lines.unread();
        self.results.unsent = self.lines.unsent();
        self.results.sent_again = self.lines.sent_again();
        self.results.latest_call = self.pace.latest;
        Ok(self.results)
    }

    /// Returns the time of the next deadline or progress report, whichever is earlier.
    fn wake(&self, told: Instant) -> Instant {
        let due = self.lines.next_deadline();
        let next = if self.over.is_some() { None } else { self.pace.next() };
        [due, next].into_iter().flatten().fold(told + TOLD, Instant::min)
    }

    /// Ends the test when its duration is over or it is stopped. Returns true once all its calls have ended, at the
    /// latest [`FAREWELL`] later or after a second stop signal.
    fn is_done(&mut self, now: Instant) -> bool {
        let is_cut = self.lines.stops() > 0;
        if self.over.is_none() && (is_cut || now >= self.began + self.plan.duration) {
            self.over = Some(now);
            self.results.lasted = now - self.began;
            self.results.is_cut = is_cut;
            let callers: Vec<_> = self.of_side(CallRole::Caller);
            callers.into_iter().for_each(|slot| self.mute(now, slot));
            // Lines that received no audio stop as well.
            self.lines.iter_mut().for_each(|line| line.muted = true);
        }
        let Some(over) = self.over else { return false };
        if self.lines.iter().all(|(_, line)| line.call.is_none() || line.judged) {
            return true;
        }
        if now < over + FAREWELL && self.lines.stops() < 2 {
            return false;
        }
        // The edge no longer knows the remaining calls, so they count as ended.
        for side in [CallRole::Caller, CallRole::Callee] {
            for slot in self.of_side(side) {
                self.drive(now, slot, |phone, call| phone.hang_up(now, call));
                self.end(now, slot, CallEnding::GaveUp);
                self.judge(now, slot);
            }
        }
        true
    }

    fn of_side(&self, side: CallRole) -> Vec<usize> {
        let is_live = |line: &CallSide| line.side == side && line.call.is_some() && !line.judged;
        self.lines.iter().filter(|(_, line)| is_live(line)).map(|(slot, _)| slot).collect()
    }

    /// Places the calls that are due.
    fn place(&mut self, now: Instant) -> Result<(), String> {
        while self.over.is_none() && now < self.began + self.plan.duration && self.pace.is_due(now, self.held) {
            let Some(socket) = self.lines.take_socket(CallRole::Caller) else {
                self.results.crowded += 1;
                continue;
            };
            let slot = self.lines.add(self.plan, now, CallRole::Caller, Some(socket))?;
            let flow =
                Flow { transport: Transport::Udp, listener: ListenerId(0), remote: self.plan.remote, connection: None };
            self.results.attempted += 1;
            self.held += 1;
            self.results.held = self.results.held.max(self.held);
            let dial = OutgoingCall::new(flow, self.plan.uri.clone(), self.plan.from.clone());
            // Set-up time begins when the INVITE is sent, not when the call was due.
            let now = Instant::now();
            let Some(line) = self.lines.get_mut(slot) else { continue };
            line.began = now;
            line.call = line.phone.dial(now, dial);
            let call = line.call.and_then(|call| line.phone.call(call));
            let call_id = call.map(|call| call.call_id().to_vec()).unwrap_or_default();
            self.lines.enter(slot, call_id);
            self.lines.arm(now + RING, slot, SideDeadline::HangUp);
            self.drain(now, slot);
        }
        Ok(())
    }

    /// Handles a received datagram.
    fn take(&mut self, packet: ReceivedDatagram) -> Result<(), String> {
        if packet.socket > CallRole::Callee as usize {
            let slot = self.lines.of_audio(packet.socket);
            let to = slot.and_then(|slot| self.lines.get(slot)?.phone.config().media.first().copied());
            if let (Some(slot), Some(to)) = (slot, to) {
                // The packet arrived during the call but was read later: the generator's loss, not the edge's.
                let ended = self.lines.get(slot).and_then(|line| line.ended);
                self.results.unread += u64::from(ended.is_some_and(|ended| packet.at < ended));
                self.feed(packet.at, slot, PhoneInput::Rtp { to, bytes: packet.bytes });
            }
            return Ok(());
        }
        let side = if packet.socket == CallRole::Caller as usize { CallRole::Caller } else { CallRole::Callee };
        let Ok(message) = SipMessage::parse(packet.bytes.clone()) else { return Ok(()) };
        let call_id = message.call_id().unwrap_or_default().to_vec();
        let known = self.lines.of_call(side, &call_id);
        let slot = match known {
            Some(slot) => slot,
            None if !message.is_request() => return Ok(()),
            None if side == CallRole::Callee && message.method() == Method::Invite && message.to_tag().is_none() => {
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
        self.feed(packet.at, slot, PhoneInput::Sip { flow, bytes: packet.bytes });
        Ok(())
    }

    /// Returns whether a call from this address can belong to the test. Calls from addresses other than the edge's are
    /// accepted only while a call is active, and only from one address.
    fn is_of_the_edge(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        let is_called = source == self.plan.remote.ip().to_canonical();
        is_called || self.held > 0 && self.far.is_none_or(|far| far == source)
    }

    /// Creates a callee's phone for an incoming call; `None` if there are too many or the test has ended.
    fn callee(&mut self, now: Instant, call_id: Vec<u8>) -> Result<Option<usize>, String> {
        if self.lines.len() > KNOWN * self.plan.calls + self.desks.len() || self.over.is_some() {
            return Ok(None);
        }
        let Some(socket) = self.lines.take_socket(CallRole::Callee) else {
            self.results.crowded += 1;
            return Ok(None);
        };
        let slot = self.lines.add(self.plan, now, CallRole::Callee, Some(socket))?;
        self.lines.enter(slot, call_id);
        Ok(Some(slot))
    }

    fn feed(&mut self, now: Instant, slot: usize, input: PhoneInput) {
        self.lines.feed(now, slot, input);
        self.drain(now, slot);
    }

    /// Runs an action on a line's phone with its call, then handles the phone's outputs.
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
        while let Some((at, slot, due)) = self.lines.next_due(now) {
            let Some(line) = self.lines.get_mut(slot) else { continue };
            match due {
                SideDeadline::Phone => {
                    let late = Instant::now().saturating_duration_since(at);
                    self.results.lateness.add(late.as_secs_f64() * 1000.0);
                    line.phone.handle_timeout(now);
                    self.drain(now, slot);
                }
                SideDeadline::Mute => self.mute(now, slot),
                SideDeadline::HangUp if line.ended.is_none() && (line.muted || !line.answered) => {
                    self.drive(now, slot, |phone, call| phone.hang_up(now, call));
                }
                SideDeadline::HangUp | SideDeadline::Forget => {}
                SideDeadline::Judge => self.judge(now, slot),
            }
        }
    }

    /// Stops the audio of a call in both directions; the call ends [`QUIET`] later.
    fn mute(&mut self, now: Instant, slot: usize) {
        let Some(line) = self.lines.get_mut(slot).filter(|line| !line.muted && line.ended.is_none()) else { return };
        line.muted = true;
        self.lines.arm(now + QUIET, slot, SideDeadline::HangUp);
        let heard = self.voices.values().find(|(_, voice)| voice.listener == Some(slot)).map(|(speaker, _)| *speaker);
        if let Some(line) = heard.and_then(|speaker| self.lines.get_mut(speaker)) {
            line.muted = true;
        }
    }

    /// Evaluates the audio that a line has sent.
    fn judge(&mut self, now: Instant, slot: usize) {
        let Some(line) = self.lines.close(now, slot) else { return };
        let (side, ssrc) = (line.side, line.ssrc);
        let Some((ssrc, (_, voice))) = ssrc.and_then(|ssrc| self.voices.remove_entry(&ssrc)) else { return };
        let listener = voice.listener.and_then(|slot| self.lines.get(slot));
        let call = listener.and_then(|line| line.phone.call(line.call?));
        let verdicts = call.map(|call| call.judge().voice_reports()).unwrap_or_default();
        let carried = voice.carried(verdicts.iter().find(|verdict| verdict.ssrc == ssrc));
        self.results.judge(side, &carried);
    }

    /// Handles the outputs of a phone.
    fn drain(&mut self, now: Instant, slot: usize) {
        while let Some(output) = self.lines.poll(slot) {
            match output {
                PhoneOutput::Rtp { to, frame, bytes, .. } => {
                    let Some(line) = self.lines.get_mut(slot).filter(|line| !line.muted) else { continue };
                    let Some(socket) = line.audio else { continue };
                    line.ssrc = Some(frame.ssrc);
                    let sabotage = self.sabotage.filter(|_| line.side == CallRole::Callee);
                    let (_, voice) = self.voices.entry(frame.ssrc).or_insert_with(|| (slot, SentVoice::new()));
                    let left = Instant::now();
                    let sent = match sabotage {
                        Some(Sabotage::Loss) if frame.index.is_multiple_of(LOST) => true,
                        Some(Sabotage::Audio) => {
                            let mut bytes = bytes.to_vec();
                            demo::harm(&mut bytes);
                            self.lines.send(socket, to, &bytes)
                        }
                        Some(Sabotage::Loss) | None => self.lines.send(socket, to, &bytes),
                    };
                    if sent {
                        voice.leaves(frame.index, left);
                    }
                }
                PhoneOutput::Event(event) => self.note(now, slot, event),
                PhoneOutput::Transmit(_) | PhoneOutput::Rtcp { .. } | PhoneOutput::Heard { .. } => {}
            }
        }
    }

    fn note(&mut self, now: Instant, slot: usize, event: PhoneEvent) {
        let Some(line) = self.lines.get_mut(slot) else { return };
        let is_caller = line.side == CallRole::Caller;
        let took_ms = now.saturating_duration_since(line.began).as_secs_f64() * 1000.0;
        match event {
            PhoneEvent::Incoming(call) => line.call = Some(call),
            PhoneEvent::Ringing(_) if is_caller && !line.rang => {
                line.rang = true;
                self.results.post_dial.add(took_ms);
            }
            PhoneEvent::Ringing(_) => {}
            PhoneEvent::Answered(_) => {
                line.answered = true;
                if is_caller {
                    self.results.answered += 1;
                    self.results.setup.add(took_ms);
                    self.lines.arm(now + self.plan.hold, slot, SideDeadline::Mute);
                }
            }
            PhoneEvent::Heard(_, heard) => self.hear(now, slot, heard),
            PhoneEvent::Ended(_, ending) => self.end(now, slot, ending),
        }
    }

    fn hear(&mut self, now: Instant, slot: usize, heard: FrameId) {
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

    fn end(&mut self, now: Instant, slot: usize, ending: CallEnding) {
        let Some(line) = self.lines.end(now, slot) else { return };
        if line.side == CallRole::Callee {
            return;
        }
        self.held = self.held.saturating_sub(1);
        let (left, heard, refusal) = (line.left, line.heard(), line.refusal.take());
        if line.answered {
            self.results.dropped += u64::from(!left);
        } else if !heard {
            self.results
                .fail("no response from the edge: check that it runs and accepts this machine's address".to_owned());
        } else if self.over.is_some() && left {
            // The end of the test cut this call short, so it does not count.
            self.results.attempted -= 1;
        } else {
            let reason = if let CallEnding::Refused(code) = ending {
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
