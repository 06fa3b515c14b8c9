//! Agent end: the conversation on its socket, the audio sent to it, and its own audio until it is played.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_agent::limits::{MARKS_WAITING, PLAYOUT_SECONDS};
use trunkgate_agent::{
    AgentRequest, PlayoutQueue, SocketMessage, Stream, StreamInput, StreamOutput, StreamSettings, TrackName,
};

use crate::codec::PayloadCodec;
use crate::codec::g711::CLOCK_HZ;
use crate::counters::{
    AgentQueue, CLEAR_BOUNDS_US, DropReason, EndCounters, LegTurns, SharedCounters, TURN_BOUNDS_US, TurnTiming,
};
use crate::dtmf::Digit;
use crate::limits::{AGENT_BYTES_HELD, AGENT_REQUESTS_PER_SECOND, AGENT_SHARE_MS};
use crate::listening::{ListenerInput, TrackPacket};
use crate::playout::{Feed, PlayoutFrame, SILENT};
use crate::spec::{AgentEvent, AgentInput, AgentSpec, EndId, MediaEvent, WireSpec};

use super::clears::ClearLog;
use super::downlink::Downlink;
use super::notes::FaultNotes;
use super::snapshot::AgentSnapshot;
use super::turns::{AUDIBLE, AgentResponse, TurnTracker};

/// Voice agent of a session: its conversation, the audio that it receives, and its own queued audio.
#[derive(Debug)]
pub(crate) struct AgentEnd {
    id: EndId,
    counters: Arc<EndCounters>,
    queue: Arc<AgentQueue>,
    /// Wire to the end that plays the agent's audio; `None` while no end plays it.
    wire: Option<Feed>,
    stream: Stream,
    settings: StreamSettings,
    /// Audio sent to the agent; it starts when the socket is open, for a speech recogniser at once.
    hearing: ListenerInput,
    /// Downlink; `None` while the agent may not send audio.
    downlink: Option<Box<Downlink>>,
    turns: TurnTracker,
    turn_times: Option<Arc<LegTurns>>,
    /// Time of the agent's `clear` until a packet without the cleared audio is sent; `None` otherwise.
    cleared: Option<Instant>,
    shared: SharedCounters,
    /// Bytes of this agent's queued audio that are included in `shared.held`.
    held: u64,
    open: bool,
    has_spoken: bool,
    closed: bool,
    /// Whether reading from the socket is paused; if so, a received pong may be unread and no round trip is measured.
    unread: bool,
    /// Whether the call's trace has a note that reading stopped because too much audio of the agent is queued.
    noted_full: bool,
    notes: FaultNotes,
    clears: ClearLog,
    requests: RequestRate,
    /// Frame to fade out after the agent's audio has ended.
    rest: Option<Box<PlayoutFrame>>,
}

/// Transfer that failed, to be reported to the agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransferFailure<'a> {
    /// Transfer target as the agent requested it.
    pub(crate) target: &'a str,
    /// Stable code of the reason for the failure.
    pub(crate) reason: &'static str,
    /// Status code of the SIP response, if there was one.
    pub(crate) code: Option<u16>,
}

/// Number of an agent's requests in the current second, which `since` begins.
#[derive(Debug, Clone, Copy)]
struct RequestRate {
    since: Instant,
    count: u32,
}

impl AgentEnd {
    /// Creates an agent end while its socket is being opened.
    pub(crate) fn new(now: Instant, id: EndId, spec: &AgentSpec, shared: SharedCounters) -> AgentEnd {
        let settings = spec.settings.clone();
        let mut hearing = ListenerInput::new(settings.format);
        // The caller's first words may arrive before the socket of a recogniser is open.
        if settings.recognition.is_some() {
            hearing.begin(now, settings.tracks);
        }
        AgentEnd {
            id,
            counters: spec.counters.clone(),
            queue: spec.queue.clone(),
            wire: None,
            stream: Stream::new(now, settings.clone()),
            hearing,
            downlink: settings.talks.then(|| Box::new(Downlink::new(settings.format, spec.clear_fade))),
            turns: TurnTracker::new(),
            turn_times: spec.turns.clone(),
            cleared: None,
            settings,
            shared,
            held: 0,
            open: false,
            has_spoken: false,
            closed: false,
            unread: false,
            noted_full: false,
            notes: FaultNotes::default(),
            clears: ClearLog::default(),
            requests: RequestRate { since: now, count: 0 },
            rest: None,
        }
    }

    /// Restores an agent whose socket stays open, from the state of another process; `spec` has the SID of its
    /// stream.
    pub(crate) fn resume(
        now: Instant,
        id: EndId,
        spec: &AgentSpec,
        shared: SharedCounters,
        snapshot: AgentSnapshot,
    ) -> AgentEnd {
        spec.counters.set_packets(snapshot.counted);
        let settings = spec.settings.clone();
        let restored = |playout| Box::new(Downlink::restore(settings.format, spec.clear_fade, playout));
        let mut agent = AgentEnd::new(now, id, spec, shared);
        agent.downlink = snapshot.playout.filter(|_| settings.talks).map(restored);
        agent.stream = Stream::resume(now, settings.clone(), snapshot.stream);
        agent.has_spoken = snapshot.has_spoken;
        agent.start_stream(now);
        agent
    }

    /// Returns the state of an open conversation for another process; `None` if it cannot be continued there.
    pub(crate) fn snapshot(&self) -> Option<AgentSnapshot> {
        let stream = self.stream.snapshot()?;
        let playout = self.downlink.as_deref().map(|downlink| downlink.playout().snapshot());
        let counted = self.counters.packets();
        Some(AgentSnapshot { end: self.id, stream, playout, has_spoken: self.has_spoken, counted })
    }

    /// Returns whether [`Self::snapshot`] can return a state: the conversation is open and not a recogniser's.
    pub(crate) fn can_leave(&self) -> bool {
        self.stream.is_open() && self.settings.recognition.is_none()
    }

    /// Returns the id of the agent's end.
    pub(crate) fn id(&self) -> EndId {
        self.id
    }

    /// Returns the counters of the agent's end.
    pub(crate) fn counters(&self) -> &Arc<EndCounters> {
        &self.counters
    }

    /// Returns the wire to the end that plays the agent's audio; `None` while no end plays it.
    pub(super) fn feed(&self) -> Option<Feed> {
        self.wire
    }

    /// Makes the agent feed the end `feed.to`, at 16 kHz if `feed.wide`.
    pub(super) fn connect(&mut self, feed: Feed) {
        if let Some(downlink) = &mut self.downlink {
            downlink.set_wide(feed.wide);
        }
        self.wire = Some(feed);
    }

    /// Disconnects the agent from the end that it feeds.
    pub(super) fn disconnect(&mut self) {
        self.wire = None;
    }

    /// Processes an input from the agent's WebSocket.
    pub(crate) fn handle(&mut self, now: Instant, input: AgentInput<'_>, events: &mut VecDeque<MediaEvent>) {
        let input = match input {
            AgentInput::Opened => StreamInput::Opened,
            // Only raw listeners have this input.
            AgentInput::Found(_) => return,
            AgentInput::Text(text) => StreamInput::Text(text),
            AgentInput::Binary(bytes) => StreamInput::Binary(bytes),
            AgentInput::Pong => StreamInput::Pong,
            AgentInput::Closed(code) => StreamInput::Closed(code),
            AgentInput::Lost(loss) => StreamInput::Lost(loss),
        };
        self.stream.handle_input(now, input);
        if self.stream.is_open() && !self.open {
            self.start_stream(now);
            events.push_back(MediaEvent::Agent { end: self.id, event: AgentEvent::Open });
        }
        self.process_outputs(now, events);
    }

    /// Sends a digit of the caller to the agent.
    pub(crate) fn tell_digit(&mut self, now: Instant, digit: char, events: &mut VecDeque<MediaEvent>) {
        self.stream.handle_input(now, StreamInput::Dtmf(digit));
        self.process_outputs(now, events);
    }

    /// Sends digits to the agent that the caller has sent outside of the media.
    pub(crate) fn tell_digits(&mut self, now: Instant, digits: &str, events: &mut VecDeque<MediaEvent>) {
        for digit in digits.chars().filter(|digit| Digit::from_char(*digit).is_some()) {
            self.tell_digit(now, digit, events);
        }
    }

    /// Reports a failed transfer to the agent, with which the caller remains connected.
    pub(crate) fn transfer_failed(
        &mut self,
        now: Instant,
        failure: TransferFailure<'_>,
        events: &mut VecDeque<MediaEvent>,
    ) {
        if self.wire.is_none() {
            // The caller has heard music; the agent's audio from that time is outdated.
            self.clear(now);
        }
        let TransferFailure { target, reason, code } = failure;
        self.stream.handle_input(now, StreamInput::TransferFailed { target, reason, code });
        self.process_outputs(now, events);
    }

    /// Reports to the agent that the transfer target has taken the caller, and that the agent coaches the target from
    /// now on.
    pub(crate) fn transfer_accepted(&mut self, now: Instant, target: &str, events: &mut VecDeque<MediaEvent>) {
        if self.wire.is_none() {
            // The caller has heard music; the agent's audio from that time is not meant for the target.
            self.clear(now);
        }
        self.stream.handle_input(now, StreamInput::TransferAccepted { target });
        self.process_outputs(now, events);
    }

    /// Returns whether the agent sends audio above 4 kHz.
    pub(crate) fn is_wide(&self) -> bool {
        self.settings.format.sample_rate() > CLOCK_HZ
    }

    /// Sets the audio of a track by payload type, and the payload type of telephone-event (`keys`).
    pub(super) fn set_audio(&mut self, track: TrackName, audio: &[(u8, PayloadCodec)], keys: Option<u8>) {
        self.hearing.tune(track, audio, keys);
    }

    /// Returns whether a codec other than G.711 is decoded.
    pub(crate) fn decodes(&self) -> bool {
        self.hearing.decodes()
    }

    /// Returns whether a payload type of the caller is decoded.
    pub(crate) fn decodes_number(&self, number: u8) -> bool {
        self.hearing.decodes_number(number)
    }

    /// Applies the wire to the agent: the caller's audio, and the form of the caller's digits.
    pub(crate) fn take_wire(&mut self, now: Instant, spec: &WireSpec) {
        let audio = spec.payloads.first().map(|(number, _)| (*number, spec.coding));
        self.set_audio(TrackName::Inbound, audio.as_slice(), spec.keys);
        self.hearing.watch_tones(now, spec.listens_for_tones());
    }

    /// Processes a packet; ignored before the socket is open and after its end. `coding` is the codec of its audio,
    /// `None` for a packet without audio.
    ///
    /// # Errors
    ///
    /// Returns the reason if this packet, or one that waited for it, is late, damaged, or beyond real time.
    pub(crate) fn process_packet(
        &mut self,
        now: Instant,
        packet: &TrackPacket<'_>,
        coding: Option<PayloadCodec>,
        events: &mut VecDeque<MediaEvent>,
    ) -> Result<(), DropReason> {
        let taken = self.hearing.take(now, packet, coding);
        self.send_frames(now, events);
        taken
    }

    /// Dequeues the agent's next 20 ms; `None` if it is silent. Call [`Self::frame_left`] once they are sent.
    pub(crate) fn next_frame(&mut self, now: Instant) -> Option<PlayoutFrame> {
        let worker = self.shared.worker.as_deref();
        if let (Some(cleared), Some(worker)) = (self.cleared.take(), worker) {
            worker.agent_clears.record_duration(&CLEAR_BOUNDS_US, now.saturating_duration_since(cleared));
        }
        let Some(downlink) = &mut self.downlink else { return self.rest.take().map(|rest| *rest) };
        let frame = downlink.next_frame()?;
        if frame.bytes > 0 {
            self.counters.received(frame.bytes);
        }
        if let Some(worker) = worker {
            worker.agent_late_frames.add(frame.late.into());
            worker.agent_frames_removed.add(frame.is_shortened.into());
        }
        if let Some(answer) = self.turns.add_agent_frame(now, frame.level) {
            self.count_turn(answer);
        }
        Some(frame.said)
    }

    /// Dequeues the next frame of an agent that is cut off; the frame and its marks are not counted as played. Silence
    /// if no audio is queued.
    pub(crate) fn last_frame(&mut self) -> PlayoutFrame {
        let next = self.downlink.as_deref_mut().and_then(Downlink::next_frame).map(|frame| frame.said);
        next.or_else(|| self.rest.take().map(|rest| *rest)).unwrap_or(PlayoutFrame::Ulaw(SILENT))
    }

    /// Reports to the agent the marks before a frame that has been sent to the caller.
    pub(crate) fn frame_left(&mut self, now: Instant, events: &mut VecDeque<MediaEvent>) {
        self.process_outputs(now, events);
    }

    /// Processes the agent's expired deadlines.
    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut VecDeque<MediaEvent>) {
        if self.unread {
            self.stream.forget_ping();
            self.stream.handle_input(now, StreamInput::Pong);
        }
        self.stream.handle_timeout(now);
        self.process_outputs(now, events);
        self.hearing.handle_timeout(now);
        self.send_frames(now, events);
    }

    /// Returns the next deadline of the agent.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let stream = self.stream.poll_timeout().map(|(at, _)| at);
        stream.into_iter().chain(self.hearing.poll_timeout()).min()
    }

    /// Returns the next message for the socket.
    pub(crate) fn poll_transmit(&mut self) -> Option<SocketMessage> {
        let next = self.stream.poll_transmit();
        if next.is_none() {
            self.queue.unsent.set(0);
        }
        next
    }

    /// Decides whether more may be read from the socket; while reading is paused, round trips are not measured. Adds a
    /// note to the call's trace the first time that reading pauses because too much of this agent's audio is queued.
    pub(crate) fn wants_more(&mut self, events: &mut VecDeque<MediaEvent>) -> bool {
        let crowded = self.shared.held.get() >= AGENT_BYTES_HELD;
        let playout = self.downlink.as_deref().map(Downlink::playout);
        let full = playout.is_some_and(|playout| !playout.wants_more());
        let shares = crowded && playout.is_some_and(|playout| playout.held_ms() > AGENT_SHARE_MS);
        let more = !full && !shares && self.stream.wants_more();
        if self.unread || !more {
            self.stream.forget_ping();
        }
        self.unread = !more;
        if full && !self.noted_full {
            self.noted_full = true;
            let text = format!(
                "sends audio faster than it is played: {PLAYOUT_SECONDS} s of audio or {MARKS_WAITING} marks are queued; reading pauses until some have been played"
            );
            self.note_fault("full", text, events);
        }
        more
    }

    /// Returns whether the conversation is over and the socket can be dropped.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Ends the conversation. Returns its stream, which only has to close the WebSocket.
    pub(crate) fn leave(mut self, now: Instant, events: &mut VecDeque<MediaEvent>) -> Stream {
        self.sum_up(events);
        self.stream.handle_input(now, StreamInput::Stop);
        self.count();
        let none = StreamSettings { connect_timeout: Duration::ZERO, ..StreamSettings::default() };
        std::mem::replace(&mut self.stream, Stream::new(now, none))
    }

    fn start_stream(&mut self, now: Instant) {
        self.open = true;
        self.hearing.begin(now, self.settings.tracks);
        if let Some(worker) = &self.shared.worker {
            worker.agents.add(1);
        }
    }

    /// Ends the audio in both directions; at most one more frame of the agent is played, faded out.
    fn fall_silent(&mut self) {
        if self.downlink.is_some() {
            let rest = self.last_frame().faded_out();
            self.rest = (!rest.is_silent()).then(|| Box::new(rest));
        }
        self.hearing.end();
        self.downlink = None;
        if std::mem::take(&mut self.open)
            && let Some(worker) = &self.shared.worker
        {
            worker.agents.sub(1);
        }
    }

    fn send_frames(&mut self, now: Instant, events: &mut VecDeque<MediaEvent>) {
        // Frames still queued for the socket.
        self.queue.unsent.set(self.stream.frames_waiting() as u64);
        while let Some(digit) = self.hearing.digit_begun() {
            self.tell_digit(now, digit, events);
        }
        let talks = self.settings.talks;
        while let Some(heard) = self.hearing.poll(now, talks) {
            if talks {
                self.turns.add_caller_frame(now, heard.level);
            }
            self.stream.handle_input(now, StreamInput::Frame { track: heard.track, audio: heard.audio });
            self.counters.sent(heard.audio.len());
            self.process_outputs(now, events);
        }
    }

    /// Processes the outputs of the stream, and reports due marks to the agent.
    fn process_outputs(&mut self, now: Instant, events: &mut VecDeque<MediaEvent>) {
        loop {
            while let Some(output) = self.stream.poll_output() {
                let end = self.id;
                match output {
                    StreamOutput::Play(audio) => {
                        if let Some(downlink) = &mut self.downlink {
                            if self.turns.awaits_answer() && downlink.is_loud(audio, AUDIBLE) {
                                self.turns.note_agent_audio(now);
                            }
                            downlink.push(audio);
                            if !std::mem::replace(&mut self.has_spoken, true) {
                                events.push_back(MediaEvent::Agent { end, event: AgentEvent::Spoke });
                            }
                        }
                    }
                    StreamOutput::Mark(name) => {
                        if let Some(downlink) = &mut self.downlink {
                            downlink.mark(name);
                        }
                    }
                    StreamOutput::Clear => self.clear(now),
                    StreamOutput::Request(request) => self.pass_on(now, request, events),
                    StreamOutput::Recognised(transcript) => {
                        events.push_back(MediaEvent::Agent { end, event: AgentEvent::Recognised(transcript) })
                    }
                    StreamOutput::Problem(problem) => self.note_fault(problem.slug(), problem.to_string(), events),
                    StreamOutput::FallsBehind => {
                        self.note_fault("slow", "reads too slowly: frames are dropped".to_owned(), events);
                    }
                    StreamOutput::Lost(loss) => {
                        self.sum_up(events);
                        self.fall_silent();
                        events.push_back(MediaEvent::Agent { end, event: AgentEvent::Lost(loss) });
                    }
                    StreamOutput::Ended => {
                        self.sum_up(events);
                        self.fall_silent();
                        events.push_back(MediaEvent::Agent { end, event: AgentEvent::Ended });
                    }
                    StreamOutput::Closed => self.closed = true,
                }
            }
            if !self.return_mark(now) {
                break;
            }
        }
        if let Some(text) = self.clears.due_summary(now) {
            events.push_back(MediaEvent::Agent { end: self.id, event: AgentEvent::Note { text, logged: false } });
        }
        self.count();
    }

    /// Reports the next due mark to the agent; returns false if no mark is due.
    fn return_mark(&mut self, now: Instant) -> bool {
        let Some(mark) = self.downlink.as_deref_mut().and_then(Downlink::poll_mark) else { return false };
        self.stream.handle_input(now, StreamInput::MarkPlayed { name: &mark.name, played_ms: mark.played_ms });
        true
    }

    fn clear(&mut self, now: Instant) {
        let Some(downlink) = &mut self.downlink else { return };
        if self.wire.is_some() && downlink.is_heard() {
            self.cleared.get_or_insert(now);
        }
        let cleared = downlink.clear();
        self.turns.note_clear();
        let mut marks = 0;
        while self.return_mark(now) {
            marks += 1;
        }
        self.clears.note_clear(cleared.dropped_ms, marks);
        self.stream.handle_input(now, StreamInput::Cleared { played_ms: cleared.played_ms });
    }

    /// Forwards an agent's request to signalling; requests beyond [`AGENT_REQUESTS_PER_SECOND`] are noted once and
    /// ignored.
    fn pass_on(&mut self, now: Instant, request: AgentRequest, events: &mut VecDeque<MediaEvent>) {
        if now.saturating_duration_since(self.requests.since) >= Duration::from_secs(1) {
            self.requests = RequestRate { since: now, count: 0 };
        }
        self.requests.count += 1;
        if self.requests.count <= AGENT_REQUESTS_PER_SECOND {
            events.push_back(MediaEvent::Agent { end: self.id, event: AgentEvent::Request(request) });
        } else if self.requests.count == AGENT_REQUESTS_PER_SECOND + 1 {
            let text = "sent too many requests at once: further ones of this second are ignored";
            self.note_fault("greedy", text.to_owned(), events);
        }
    }

    /// Adds a note to the call's trace and the log, unless the notes of this kind are only counted by now.
    pub(crate) fn note_fault(&mut self, kind: &'static str, text: String, events: &mut VecDeque<MediaEvent>) {
        events.extend(
            self.notes
                .count_event(kind, text)
                .map(|text| MediaEvent::Agent { end: self.id, event: AgentEvent::Note { text, logged: true } }),
        );
    }

    fn sum_up(&mut self, events: &mut VecDeque<MediaEvent>) {
        let end = self.id;
        events.extend(
            self.clears.sum_up().map(|text| MediaEvent::Agent { end, event: AgentEvent::Note { text, logged: false } }),
        );
        events.extend(
            self.notes.sum_up().map(|text| MediaEvent::Agent { end, event: AgentEvent::Note { text, logged: true } }),
        );
    }

    fn count_turn(&self, answer: AgentResponse) {
        if let Some(worker) = &self.shared.worker {
            worker.agent_turns.record_duration(&TURN_BOUNDS_US, answer.after);
        }
        if let Some(times) = &self.turn_times {
            times.record_turn(TurnTiming {
                whole: answer.after,
                edge: answer.waited,
                network: self.stream.round_trip(),
            });
        }
    }

    /// Updates the counters of the agent's messages and dropped frames, and the gauges of its queued audio.
    fn count(&mut self) {
        let counts = self.stream.counts();
        self.queue.foreign.set(counts.foreign);
        self.queue.invalid.set(counts.invalid);
        let dropped = counts.frames_dropped;
        let before = self.counters.frames_dropped.get();
        if dropped > before {
            self.counters.frames_dropped.set(dropped);
            if let Some(worker) = &self.shared.worker {
                worker.agent_frames_dropped.add(dropped - before);
            }
        }
        let playout = self.downlink.as_deref().map(Downlink::playout);
        self.queue.unheard.set(playout.map_or(0, PlayoutQueue::held_ms));
        let held = playout.map_or(0, |playout| playout.held_bytes() as u64);
        if held > self.held {
            self.shared.held.add(held - self.held);
        } else if held < self.held {
            self.shared.held.sub(self.held - held);
        }
        self.held = held;
    }
}

impl Drop for AgentEnd {
    fn drop(&mut self) {
        self.fall_silent();
        self.queue.unsent.set(0);
        self.count();
    }
}
