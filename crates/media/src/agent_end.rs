//! An end that is an agent: the conversation on its socket, what it hears, and what it says until that leaves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_agent::limits::{MARKS_WAITING, PLAYOUT_SECONDS};
use trunkgate_agent::{Input, Output, Playout, Settings, Stream, TrackName, Transmit};

use crate::clears::Clears;
use crate::counters::{
    AgentQueue, CLEAR_BOUNDS_US, Counter, DropReason, EndCounters, TURN_BOUNDS_US, WorkerCounters, one,
};
use crate::ear::{Ear, decoded};
use crate::hearing::Hearing;
use crate::limits::{AGENT_BYTES_HELD, AGENT_SHARE_MS, AGENT_WISHES_PER_SECOND};
use crate::notes::Notes;
use crate::rtp::Rtp;
use crate::speaking::Speaking;
use crate::spec::{AgentInput, AgentSpec, AgentWish, EndId, Event};
use crate::transcode::Coding;
use crate::turns::Turns;
use crate::voice::{CLOCK_HZ, Feed, SILENT, Said};

/// What agents share with the rest of their worker and edge.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    /// The worker's counters.
    pub(crate) worker: Option<Arc<WorkerCounters>>,
    /// Audio held for callers in the whole edge, in bytes.
    pub(crate) held: Arc<Counter>,
}

impl Shared {
    /// Counts a packet of an RTP end's far side.
    pub(crate) fn count_received(&self, end: &EndCounters, bytes: usize) {
        end.received(bytes);
        if let Some(worker) = &self.worker {
            one(&worker.rx_packets, &worker.rx_bytes, bytes);
        }
    }
    /// Counts a packet to an RTP end's far side.
    pub(crate) fn count_sent(&self, end: &EndCounters, bytes: usize) {
        end.sent(bytes);
        if let Some(worker) = &self.worker {
            one(&worker.tx_packets, &worker.tx_bytes, bytes);
        }
    }
}

/// One agent.
#[derive(Debug)]
pub(crate) struct AgentEnd {
    /// Its name.
    pub(crate) id: EndId,
    /// Shared counters.
    pub(crate) counters: Arc<EndCounters>,
    queue: Arc<AgentQueue>,
    /// Where it is heard.
    pub(crate) wire: Option<Feed>,
    stream: Stream,
    settings: Settings,
    /// Once the socket is open.
    hearing: Option<Hearing>,
    /// What decodes the inbound and the outbound track, where they are not G.711.
    ears: [Option<Box<Ear>>; 2],
    /// While it may talk.
    speaking: Option<Speaking>,
    turns: Turns,
    /// A `clear` that no packet has shown yet.
    cleared: Option<Instant>,
    shared: Shared,
    /// What of `shared.held` is this agent's.
    held: u64,
    open: bool,
    closed: bool,
    /// The socket is not read: its answer to a ping may lie there.
    unread: bool,
    /// That it is not read since too much of its own waits has been told.
    told_full: bool,
    notes: Notes,
    clears: Clears,
    wishes: Wishes,
    /// What would have been heard next when it fell silent, faded out.
    rest: Option<Box<Said>>,
}

/// The rate of what it wants.
#[derive(Debug, Clone, Copy)]
struct Wishes {
    since: Instant,
    count: u32,
}

impl AgentEnd {
    /// An agent whose socket is being opened.
    pub(crate) fn new(now: Instant, id: EndId, spec: &AgentSpec, shared: Shared) -> AgentEnd {
        let settings = spec.settings.clone();
        AgentEnd {
            id,
            counters: spec.counters.clone(),
            queue: spec.queue.clone(),
            wire: None,
            stream: Stream::new(now, settings.clone()),
            hearing: None,
            ears: [None, None],
            speaking: settings.talks.then(|| Speaking::new(settings.format, spec.clear_fade)),
            turns: Turns::new(),
            cleared: None,
            settings,
            shared,
            held: 0,
            open: false,
            closed: false,
            unread: false,
            told_full: false,
            notes: Notes::default(),
            clears: Clears::default(),
            wishes: Wishes { since: now, count: 0 },
            rest: None,
        }
    }
    /// Takes what its socket says.
    pub(crate) fn handle(&mut self, now: Instant, input: AgentInput<'_>, events: &mut VecDeque<Event>) {
        let input = match input {
            AgentInput::Opened => Input::Opened,
            // Of those that get plain RTP.
            AgentInput::Found(_) => return,
            AgentInput::Text(text) => Input::Text(text),
            AgentInput::Binary(bytes) => Input::Binary(bytes),
            AgentInput::Pong => Input::Pong,
            AgentInput::Closed(code) => Input::Closed(code),
            AgentInput::Lost(loss) => Input::Lost(loss),
        };
        self.stream.handle_input(now, input);
        if self.stream.is_open() && self.hearing.is_none() {
            self.begin(now);
            events.push_back(Event::AgentOpen { end: self.id });
        }
        self.settle(now, events);
    }
    /// The caller pressed a key.
    pub(crate) fn press(&mut self, now: Instant, key: char, events: &mut VecDeque<Event>) {
        self.stream.handle_input(now, Input::Dtmf(key));
        self.settle(now, events);
    }
    /// Its caller stays with it: nobody has answered where it was to go.
    pub(crate) fn transfer_failed(
        &mut self,
        now: Instant,
        (target, reason, code): (&str, &str, Option<u16>),
        events: &mut VecDeque<Event>,
    ) {
        self.stream.handle_input(now, Input::TransferFailed { target, reason, code });
        self.settle(now, events);
    }
    /// Whether it says more than 4 kHz.
    pub(crate) fn is_wide(&self) -> bool {
        self.settings.format.sample_rate() > CLOCK_HZ
    }
    /// From now on it is heard at 16 kHz, or at 8 kHz.
    pub(crate) fn say_wide(&mut self, wide: bool) {
        if let Some(speaking) = &mut self.speaking {
            speaking.say_wide(wide);
        }
    }
    /// Says what of a track it is to hear by payload number, and which one is of keys.
    pub(crate) fn tune(&mut self, track: TrackName, audio: &[(u8, Coding)], keys: Option<u8>) {
        let wanted = decoded(audio, keys, self.settings.format);
        let ear = of_track(&mut self.ears, track);
        if ear.as_ref().map(|ear| ear.spec()) != wanted.as_ref() {
            *ear = wanted.and_then(Ear::new);
            if let Some(hearing) = &mut self.hearing {
                hearing.hold(track, false);
            }
        }
    }
    /// Says whether tones in what its caller says are keys, where that is decoded for it.
    pub(crate) fn watch_tones(&mut self, now: Instant, wanted: bool) {
        if let Some(ear) = of_track(&mut self.ears, TrackName::Inbound) {
            ear.watch_tones(now, wanted);
        }
    }
    /// Whether a far side's audio is decoded for it: what is not G.711.
    pub(crate) fn decodes(&self) -> bool {
        self.ears.iter().any(Option::is_some)
    }
    /// Whether a payload number of a track is decoded for it.
    pub(crate) fn decodes_number(&mut self, track: TrackName, number: u8) -> bool {
        of_track(&mut self.ears, track).as_ref().is_some_and(|ear| ear.takes(number))
    }
    /// Takes a packet that it is to hear; nothing before the socket is open and after its end. `coding`: that of its audio,
    /// `None` where it has none.
    ///
    /// # Errors
    /// Where it is of no use.
    pub(crate) fn hear(
        &mut self,
        now: Instant,
        track: TrackName,
        packet: (&Rtp, &[u8]),
        coding: Option<Coding>,
        events: &mut VecDeque<Event>,
    ) -> Result<(), DropReason> {
        let Some(hearing) = &mut self.hearing else { return Ok(()) };
        let taken = match of_track(&mut self.ears, track) {
            Some(ear) => {
                let taken = ear.take(now, packet, |rtp, bytes, coding| hearing.push(now, track, (rtp, bytes), coding));
                hearing.hold(track, ear.waits());
                taken
            }
            None => {
                hearing.push(now, track, packet, coding.filter(|coding| coding.is_g711()));
                Ok(())
            }
        };
        self.send_frames(now, events);
        taken
    }
    /// Its next 20 ms, `None` where it says nothing; [`Self::frame_left`] follows once they have left.
    pub(crate) fn next_frame(&mut self, now: Instant) -> Option<Said> {
        let worker = self.shared.worker.as_deref();
        if let (Some(cleared), Some(worker)) = (self.cleared.take(), worker) {
            worker.agent_clears.take(&CLEAR_BOUNDS_US, now.saturating_duration_since(cleared));
        }
        let Some(speaking) = &mut self.speaking else { return self.rest.take().map(|rest| *rest) };
        let frame = speaking.next_frame()?;
        if frame.bytes > 0 {
            self.counters.received(frame.bytes);
        }
        let turn = self.turns.agent(now, frame.said.level());
        if let (Some(turn), Some(worker)) = (turn, worker) {
            worker.agent_turns.take(&TURN_BOUNDS_US, turn);
        }
        Some(frame.said)
    }
    /// What would be heard next of one that says nothing more: not counted, and no mark comes of it.
    pub(crate) fn last_frame(&mut self) -> Said {
        let next = self.speaking.as_mut().and_then(Speaking::next_frame).map(|frame| frame.said);
        next.or_else(|| self.rest.take().map(|rest| *rest)).unwrap_or(Said::Ulaw(SILENT))
    }
    /// Returns the marks that are due now.
    pub(crate) fn frame_left(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        self.settle(now, events);
    }
    /// Acts on deadlines that have passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        if self.unread {
            self.stream.handle_input(now, Input::Pong);
        }
        self.stream.handle_timeout(now);
        self.settle(now, events);
        if let Some(hearing) = &mut self.hearing {
            for (track, ear) in [TrackName::Inbound, TrackName::Outbound].into_iter().zip(&mut self.ears) {
                if let Some(ear) = ear {
                    ear.handle_timeout(now, |rtp, bytes, coding| hearing.push(now, track, (rtp, bytes), coding));
                    hearing.hold(track, ear.waits());
                }
            }
        }
        self.send_frames(now, events);
    }
    /// The next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let stream = self.stream.poll_timeout().map(|(at, _)| at);
        let Some(hearing) = &self.hearing else { return stream };
        let ears = self.ears.iter().flatten().filter_map(|ear| ear.poll_timeout());
        stream.into_iter().chain(hearing.poll_timeout()).chain(ears).min()
    }
    /// What to write next.
    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        let next = self.stream.poll_transmit();
        if next.is_none() {
            self.queue.unsent.set(0);
        }
        next
    }
    /// Whether the socket may be read further. That it is not, because too much of its own waits, is told once.
    pub(crate) fn wants_more(&mut self, events: &mut VecDeque<Event>) -> bool {
        let crowded = self.shared.held.get() >= AGENT_BYTES_HELD;
        let playout = self.speaking.as_ref().map(Speaking::playout);
        let full = playout.is_some_and(|playout| !playout.wants_more());
        let shares = crowded && playout.is_some_and(|playout| playout.held_ms() > AGENT_SHARE_MS);
        let more = !full && !shares && self.stream.wants_more();
        self.unread = !more;
        if full && !self.told_full {
            self.told_full = true;
            let text = format!(
                "sends more than is heard: {PLAYOUT_SECONDS} s of audio or {MARKS_WAITING} marks wait, it is read no further until some have left"
            );
            self.note("full", text, events);
        }
        more
    }
    /// Whether the conversation is over, and the socket of no use any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
    /// Ends the conversation: what is left of it, which goes on by itself until the socket may be dropped.
    pub(crate) fn leave(mut self, now: Instant, events: &mut VecDeque<Event>) -> Stream {
        self.sum_up(events);
        self.stream.handle_input(now, Input::Stop);
        self.count();
        let none = Settings { connect_timeout: Duration::ZERO, ..Settings::default() };
        std::mem::replace(&mut self.stream, Stream::new(now, none))
    }

    fn begin(&mut self, now: Instant) {
        self.open = true;
        self.hearing = Some(Hearing::new(now, self.settings.tracks, self.settings.format));
        if let Some(worker) = &self.shared.worker {
            worker.agents.add(1);
        }
    }

    /// Nothing is heard or said any more, but for the fading of what would have been heard next.
    fn fall_silent(&mut self) {
        if self.speaking.is_some() {
            let rest = self.last_frame().faded_out();
            self.rest = (!rest.is_silent()).then(|| Box::new(rest));
        }
        (self.hearing, self.speaking) = (None, None);
        if std::mem::take(&mut self.open)
            && let Some(worker) = &self.shared.worker
        {
            worker.agents.sub(1);
        }
    }

    fn send_frames(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        // What its socket has left of those before.
        self.queue.unsent.set(self.stream.frames_waiting() as u64);
        while let [Some(ear), _] = &mut self.ears
            && let Some(key) = ear.key_begun()
        {
            self.press(now, key, events);
        }
        let talks = self.settings.talks;
        while let Some(heard) = self.hearing.as_mut().and_then(|hearing| hearing.poll(now, talks)) {
            if talks {
                self.turns.caller(now, heard.level);
            }
            self.stream.handle_input(now, Input::Frame { track: heard.track, audio: heard.audio });
            self.counters.sent(heard.audio.len());
            self.settle(now, events);
        }
    }

    /// Does what the stream says, and returns marks that are due.
    fn settle(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        loop {
            while let Some(output) = self.stream.poll_output() {
                let end = self.id;
                match output {
                    Output::Play(audio) => {
                        if let Some(speaking) = &mut self.speaking {
                            speaking.push(audio);
                        }
                    }
                    Output::Mark(name) => {
                        if let Some(speaking) = &mut self.speaking {
                            speaking.mark(name);
                        }
                    }
                    Output::Clear => self.clear(now),
                    Output::Transfer(target) => self.wish(now, AgentWish::Transfer(target), events),
                    Output::Consult(target) => self.wish(now, AgentWish::Consult(target), events),
                    Output::Hangup => self.wish(now, AgentWish::Hangup, events),
                    Output::SendDtmf(digits) => self.wish(now, AgentWish::Dtmf(digits), events),
                    Output::Problem(problem) => self.note(problem.slug(), problem.to_string(), events),
                    Output::FallsBehind => {
                        self.note("slow", "reads too slowly: frames are dropped".to_owned(), events);
                    }
                    Output::Lost(loss) => {
                        self.sum_up(events);
                        self.fall_silent();
                        events.push_back(Event::AgentLost { end, loss });
                    }
                    Output::Ended => {
                        self.sum_up(events);
                        self.fall_silent();
                        events.push_back(Event::AgentEnded { end });
                    }
                    Output::Closed => self.closed = true,
                }
            }
            if !self.return_mark(now) {
                break;
            }
        }
        if let Some(text) = self.clears.due(now) {
            events.push_back(Event::AgentNote { end: self.id, text, logged: false });
        }
        self.count();
    }

    /// Returns the next mark that is due, if there is one.
    fn return_mark(&mut self, now: Instant) -> bool {
        let Some(mark) = self.speaking.as_mut().and_then(Speaking::poll_mark) else { return false };
        self.stream.handle_input(now, Input::MarkPlayed { name: &mark.name, played_ms: mark.played_ms });
        true
    }

    fn clear(&mut self, now: Instant) {
        let Some(speaking) = &mut self.speaking else { return };
        if self.wire.is_some() && speaking.is_heard() {
            self.cleared.get_or_insert(now);
        }
        let cleared = speaking.clear();
        let mut marks = 0;
        while self.return_mark(now) {
            marks += 1;
        }
        self.clears.note(cleared.dropped_ms, marks);
        self.stream.handle_input(now, Input::Cleared { played_ms: cleared.played_ms });
    }

    fn wish(&mut self, now: Instant, wish: AgentWish, events: &mut VecDeque<Event>) {
        if now.saturating_duration_since(self.wishes.since) >= Duration::from_secs(1) {
            self.wishes = Wishes { since: now, count: 0 };
        }
        self.wishes.count += 1;
        if self.wishes.count <= AGENT_WISHES_PER_SECOND {
            events.push_back(Event::AgentWish { end: self.id, wish });
        } else if self.wishes.count == AGENT_WISHES_PER_SECOND + 1 {
            let text = "wants too much of the call at once: the rest of this second is not done";
            self.note("greedy", text.to_owned(), events);
        }
    }

    /// Tells something of it, unless more of its kind was told.
    pub(crate) fn note(&mut self, kind: &'static str, text: String, events: &mut VecDeque<Event>) {
        events.extend(self.notes.take(kind, text).map(|text| Event::AgentNote { end: self.id, text, logged: true }));
    }

    fn sum_up(&mut self, events: &mut VecDeque<Event>) {
        let end = self.id;
        events.extend(self.clears.sum_up().map(|text| Event::AgentNote { end, text, logged: false }));
        events.extend(self.notes.sum_up().map(|text| Event::AgentNote { end, text, logged: true }));
    }

    /// Brings the shared figures up to date.
    fn count(&mut self) {
        let dropped = self.stream.counts().frames_dropped;
        let before = self.counters.frames_dropped.get();
        if dropped > before {
            self.counters.frames_dropped.set(dropped);
            if let Some(worker) = &self.shared.worker {
                worker.agent_frames_dropped.add(dropped - before);
            }
        }
        let playout = self.speaking.as_ref().map(Speaking::playout);
        self.queue.unheard.set(playout.map_or(0, Playout::held_ms));
        let held = playout.map_or(0, |playout| playout.held_bytes() as u64);
        if held > self.held {
            self.shared.held.add(held - self.held);
        } else if held < self.held {
            self.shared.held.sub(self.held - held);
        }
        self.held = held;
    }
}

/// That of a track, of the inbound and the outbound one's.
fn of_track<T>([inbound, outbound]: &mut [T; 2], track: TrackName) -> &mut T {
    match track {
        TrackName::Inbound => inbound,
        TrackName::Outbound => outbound,
    }
}

impl Drop for AgentEnd {
    fn drop(&mut self) {
        self.fall_silent();
        self.queue.unsent.set(0);
        self.count();
    }
}
