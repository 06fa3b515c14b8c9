//! Callees of a scenario: one phone for each incoming call, which answers, sends a tone and judges the received audio.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use trunkgate_phone::{PhoneEvent, PhoneInput, PhoneOutput};
use trunkgate_sip::{Flow, ListenerId, Method, SipMessage, Transport};

use super::super::line::{CallRole, SideDeadline};
use super::super::lines::{CallSides, KNOWN};
use super::super::plan::LoadTestPlan;
use super::super::sockets::{ReceivedDatagram, TestSockets};
use super::hearing::{CallAudio, CalleeAudio};

/// Callees of a SIPp scenario.
#[derive(Debug)]
pub(super) struct ScenarioCallees<'a> {
    plan: &'a LoadTestPlan,
    lines: CallSides,
    /// Received audio by slot of the line.
    heard: HashMap<usize, CallAudio>,
    /// Slot of the line that answers requests outside of calls.
    desk: usize,
    /// Source address of the edge's calls, known from the first one.
    edge: Option<IpAddr>,
    /// Whether the test has ended; if so, new calls are not answered.
    is_over: bool,
    results: CalleeAudio,
    came: Vec<ReceivedDatagram>,
}

impl<'a> ScenarioCallees<'a> {
    /// Creates the callees on their sockets.
    ///
    /// # Errors
    /// Returns an error if the system provides no random numbers.
    pub(super) fn new(plan: &'a LoadTestPlan, sockets: TestSockets) -> Result<ScenarioCallees<'a>, String> {
        let mut callees = ScenarioCallees {
            plan,
            lines: CallSides::new(sockets),
            heard: HashMap::new(),
            desk: 0,
            edge: None,
            is_over: false,
            results: CalleeAudio::new()?,
            came: Vec::new(),
        };
        callees.desk = callees.lines.add(plan, Instant::now(), CallRole::Callee, None)?;
        Ok(callees)
    }

    /// Returns the number of SIGINT and SIGTERM received.
    pub(super) fn stops(&self) -> u32 {
        self.lines.stops()
    }

    /// Serves calls until `wake`, or until received packets are handled.
    pub(super) fn serve(&mut self, wake: Instant) -> Result<(), String> {
        self.do_what_is_due(Instant::now());
        let wake = self.lines.next_deadline().map_or(wake, |at| wake.min(at));
        let mut came = std::mem::take(&mut self.came);
        self.lines.wait(wake, &mut came).map_err(|error| error.to_string())?;
        for packet in came.drain(..) {
            self.take(packet)?;
        }
        self.came = came;
        Ok(())
    }

    /// Stops answering calls and ends the active ones.
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

    /// Returns whether any call is active.
    pub(super) fn has_calls(&self) -> bool {
        self.lines.iter().any(|(_, line)| line.call.is_some() && line.ended.is_none())
    }

    /// Returns the audio received in all calls, including those still active.
    pub(super) fn into_heard(mut self) -> CalleeAudio {
        let is_left = |slot: usize| slot != self.desk && self.lines.get(slot).is_some_and(|line| !line.judged);
        let left: Vec<usize> = self.lines.iter().map(|(slot, _)| slot).filter(|slot| is_left(*slot)).collect();
        let now = Instant::now();
        left.into_iter().for_each(|slot| self.judge(now, slot));
        self.results.unread = self.lines.unread();
        self.results
    }

    fn take(&mut self, packet: ReceivedDatagram) -> Result<(), String> {
        if packet.socket == CallRole::Callee as usize {
            return self.take_message(packet);
        }
        if let Some(slot) = self.lines.of_audio(packet.socket)
            && let Some(audio) = self.heard.get_mut(&slot)
        {
            audio.hear(packet.at, &packet.bytes);
        }
        Ok(())
    }

    fn take_message(&mut self, packet: ReceivedDatagram) -> Result<(), String> {
        let Ok(message) = SipMessage::parse(packet.bytes.clone()) else { return Ok(()) };
        let call_id = message.call_id().unwrap_or_default().to_vec();
        let slot = match self.lines.of_call(CallRole::Callee, &call_id) {
            Some(slot) => slot,
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
        self.lines.feed(packet.at, slot, PhoneInput::Sip { flow, bytes: packet.bytes });
        self.drain(packet.at, slot);
        Ok(())
    }

    /// Creates a callee's phone for an incoming call; `None` if there are too many.
    fn callee(&mut self, now: Instant, call_id: Vec<u8>) -> Result<Option<usize>, String> {
        if self.is_over {
            return Ok(None);
        }
        let has_room = self.lines.len() <= KNOWN * self.plan.calls;
        let Some(socket) = has_room.then(|| self.lines.take_socket(CallRole::Callee)).flatten() else {
            self.results.crowded += 1;
            return Ok(None);
        };
        let slot = self.lines.add(self.plan, now, CallRole::Callee, Some(socket))?;
        self.heard.insert(slot, CallAudio::default());
        self.lines.enter(slot, call_id);
        Ok(Some(slot))
    }

    fn do_what_is_due(&mut self, now: Instant) {
        while let Some((_, slot, due)) = self.lines.next_due(now) {
            match due {
                SideDeadline::Phone => {
                    if let Some(line) = self.lines.get_mut(slot) {
                        line.phone.handle_timeout(now);
                    }
                    self.drain(now, slot);
                }
                SideDeadline::Judge => self.judge(now, slot),
                // Callees neither stop sending nor hang up by themselves, and lines are removed by their driver.
                SideDeadline::Mute | SideDeadline::HangUp | SideDeadline::Forget => {}
            }
        }
    }

    /// Evaluates the audio that a call has received and releases its socket.
    fn judge(&mut self, now: Instant, slot: usize) {
        let Some(answered) = self.lines.close(now, slot).map(|line| line.answered) else { return };
        if let Some(audio) = self.heard.remove(&slot).filter(|_| answered) {
            self.results.judge(&audio);
        }
    }

    /// Handles the outputs of a phone.
    fn drain(&mut self, now: Instant, slot: usize) {
        while let Some(output) = self.lines.poll(slot) {
            let Some(line) = self.lines.get_mut(slot) else { return };
            match output {
                PhoneOutput::Rtp { to, bytes, .. } => {
                    if let Some(socket) = line.audio {
                        self.lines.send(socket, to, &bytes);
                    }
                }
                PhoneOutput::Event(PhoneEvent::Incoming(call)) => line.call = Some(call),
                PhoneOutput::Event(PhoneEvent::Answered(_)) => line.answered = true,
                PhoneOutput::Event(PhoneEvent::Ended(..)) => {
                    self.lines.end(now, slot);
                }
                PhoneOutput::Event(_)
                | PhoneOutput::Transmit(_)
                | PhoneOutput::Rtcp { .. }
                | PhoneOutput::Heard { .. } => {}
            }
        }
    }
}
