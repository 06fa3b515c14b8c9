//! The conversation with an agent on one socket.
//!
//! ```text
//! Connecting ── Opened ──► Open ── Stop, Lost by a timer ──► Closing ── socket gone, 2 s ──► Closed
//!      └── Lost, Stop ───────┴── Closed(code), Lost ───────────────────────────────────────────┘
//! ```
//! Opening it sends `connected` and `start`, before anything else. Every end that we make sends `stop`; where the agent has
//! not closed 500 ms later we close, with 1000. The last output is always [`Output::Closed`]: the socket may be dropped.
//!
//! The usual four verbs, and one more: what is to be written is asked for by [`Stream::poll_transmit`] only when the
//! socket takes it. What it does not take waits in the [`Outbox`](crate::Outbox), bounded; so a slow agent hurts itself.
//! Whether what was written is acknowledged, only the shell can see ([`Loss::DataUnacknowledged`]).
//!
//! A recogniser's stream ([`Settings::recognition`]) has the same states and other messages. Frames of the time in which its socket is
//! opened wait as well, so that nothing of the caller's first words is missing; and a message that cannot be used ends it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::digits::is_digit;
use crate::format::Format;
use crate::incoming::{Incoming, Received, decode_audio, parse};
use crate::limits::{
    CLOSE_TIMEOUT, FRAME, PONG_TIMEOUT, RESULTS_PER_SECOND, SCRATCH_BYTES, STANDSTILL, STOP_TIMEOUT, TEXT_BUFFER_BYTES,
};
use crate::loss::Loss;
use crate::message::{Media, Names, TrackName, TrackSet};
use crate::outbox::{NORMAL_CLOSE, Outbox, Transmit};
use crate::problem::{Problem, shown};
use crate::recognition::{self, Recognition, Transcript};
use crate::request::AgentRequest;

/// A ping behind no more messages than these, which may be of the same moment, leaves at once: its answer is timed.
const PING_BEHIND: usize = 2;

/// What a stream is told at its start. A duration of zero is off.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The account's name.
    pub account_sid: String,
    /// The caller's leg.
    pub call_sid: String,
    /// The stream's own name, new for each: `MZ` and 32 hex digits.
    pub stream_sid: String,
    /// What is sent.
    pub tracks: TrackSet,
    /// Whether the agent takes part in the call; else it only listens, and what it says is refused.
    pub talks: bool,
    /// The audio's form, both ways.
    pub format: Format,
    /// `customParameters`, in their order.
    pub parameters: Vec<(String, String)>,
    /// Whether our own fields and events are sent besides Twilio's.
    pub extras: bool,
    /// Until the socket is open.
    pub connect_timeout: Duration,
    /// Until the agent first speaks.
    pub first_audio_timeout: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// Until a ping's answer.
    pub pong_timeout: Duration,
    /// What is asked for of a recogniser; `None` of an agent.
    pub recognition: Option<Box<Recognition>>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            account_sid: String::new(),
            call_sid: String::new(),
            stream_sid: String::new(),
            tracks: TrackSet::Inbound,
            talks: true,
            format: Format::Mulaw8000,
            parameters: Vec::new(),
            extras: false,
            connect_timeout: Duration::from_secs(10),
            first_audio_timeout: Duration::ZERO,
            ping: Duration::from_secs(2),
            pong_timeout: PONG_TIMEOUT,
            recognition: None,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// The socket is open: the handshake was accepted.
    Opened,
    /// A text message.
    Text(&'a str),
    /// A binary message of so many bytes.
    Binary(usize),
    /// The answer to a ping.
    Pong,
    /// The agent closed, with this code if any.
    Closed(Option<u16>),
    /// The socket could not be opened, or broke.
    Lost(Loss),
    /// The next 20 ms of a track, in the stream's format.
    Frame {
        /// The track.
        track: TrackName,
        /// Exactly a frame.
        audio: &'a [u8],
    },
    /// The caller pressed a key.
    Dtmf(char),
    /// A mark is due: see [`Playout::poll_mark`](crate::Playout::poll_mark).
    MarkPlayed {
        /// Its name.
        name: &'a str,
        /// How much the caller has heard, in milliseconds.
        played_ms: u64,
    },
    /// A clear has been carried out, its marks returned.
    Cleared {
        /// How much the caller has heard, in milliseconds.
        played_ms: u64,
    },
    /// Nobody has answered where the caller was to go: it stays with the agent.
    TransferFailed {
        /// Where.
        target: &'a str,
        /// Why: a stable word.
        reason: &'a str,
        /// The status code of the answer, where it was one.
        code: Option<u16>,
    },
    /// A party has taken the caller, and the agent coaches it.
    TransferAccepted {
        /// The target of the transfer.
        target: &'a str,
    },
    /// The stream is to end: `stop`, then a close.
    Stop,
}

/// What follows for the layer above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<'a> {
    /// Audio to play behind what is there; any length.
    Play(&'a [u8]),
    /// A mark behind the audio so far.
    Mark(String),
    /// What waits is not to be played; its marks are to be returned, then [`Input::Cleared`].
    Clear,
    /// A request to the call.
    Request(AgentRequest),
    /// A recogniser has understood something.
    Recognised(Transcript),
    /// A message was not acted upon: for the call's trace.
    Problem(Problem),
    /// The socket is too slow: frames are dropped from now on. Told once until it has caught up.
    FallsBehind,
    /// The agent is lost.
    Lost(Loss),
    /// The agent closed with 1000.
    Ended,
    /// Nothing more comes: the socket may be dropped.
    Closed,
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The socket should be open.
    Connect,
    /// The agent should have spoken.
    FirstAudio,
    /// A ping is due.
    Ping,
    /// A ping should be answered.
    Pong,
    /// The agent should have closed, told of the end by `stop`.
    Stop,
    /// The socket should be gone.
    Close,
}

/// What a stream counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames made, both tracks together.
    pub frames: u64,
    /// Of these, dropped for a slow socket.
    pub frames_dropped: u64,
    /// Messages received, binary ones too.
    pub messages: u64,
    /// Of these, not acted upon.
    pub problems: u64,
    /// Of these, for a stream that is not this socket's.
    pub foreign: u64,
    /// Of those not acted upon, in a form that the protocol does not have.
    pub invalid: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Open,
    Closing,
    Closed,
}

/// One agent's socket, from the call to connect to its end.
#[derive(Debug)]
pub struct Stream {
    settings: Settings,
    names: Names,
    state: State,
    sequence: u64,
    /// Of the inbound and the outbound track.
    chunks: [u64; 2],
    /// Where a message is written …
    text: Vec<u8>,
    /// … and whence it leaves: used again once the socket has taken what was in it.
    buffer: BytesMut,
    outbox: Outbox,
    behind: bool,
    events: VecDeque<Output<'static>>,
    /// What [`Output::Play`] shows.
    audio: Vec<u8>,
    ping_waits: bool,
    connect_by: Option<Instant>,
    speak_by: Option<Instant>,
    ping_at: Option<Instant>,
    pong_by: Option<Instant>,
    /// When the ping left whose answer is being timed.
    timed_ping: Option<Instant>,
    round_trip: Option<Duration>,
    /// A deadline was met late and put off since the agent was heard last.
    was_put_off: bool,
    stop_by: Option<Instant>,
    close_by: Option<Instant>,
    counts: Counts,
    /// Results in the second that began then.
    results: (Option<Instant>, u32),
}

/// Whether a deadline is met so late that this process did not run meanwhile: what the agent sent then is still to be read.
fn stood_still(due: Instant, now: Instant) -> bool {
    now.saturating_duration_since(due) >= STANDSTILL
}

/// A deadline that is to be met as much later as it was late.
fn put_off(due: Option<Instant>, now: Instant) -> Option<Instant> {
    now.checked_add(now.saturating_duration_since(due?))
}

fn after(now: Instant, time: Duration) -> Option<Instant> {
    if time.is_zero() { None } else { now.checked_add(time) }
}

impl Stream {
    /// A stream whose socket is being opened from `now` on.
    pub fn new(now: Instant, settings: Settings) -> Stream {
        let mut stream = Stream {
            names: Names::new(&settings.account_sid, &settings.call_sid, &settings.stream_sid),
            state: State::Connecting,
            sequence: 0,
            chunks: [0; 2],
            text: Vec::new(),
            buffer: BytesMut::new(),
            outbox: Outbox::default(),
            behind: false,
            events: VecDeque::new(),
            audio: Vec::new(),
            ping_waits: false,
            connect_by: after(now, settings.connect_timeout),
            speak_by: None,
            ping_at: None,
            pong_by: None,
            timed_ping: None,
            round_trip: None,
            was_put_off: false,
            stop_by: None,
            close_by: None,
            counts: Counts::default(),
            results: (None, 0),
            settings,
        };
        if let Some(recognition) = &stream.settings.recognition {
            recognition.start(&mut stream.text, stream.settings.format, &stream.settings.call_sid);
            let start = stream.written();
            stream.send(now, Transmit::Text(start));
        }
        stream
    }
    /// Takes what happened. While outputs are drained, only marks and clears may be given in between.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        if self.audio.capacity() > SCRATCH_BYTES && self.events.is_empty() {
            self.audio = Vec::new();
        }
        match (self.state, input) {
            (State::Connecting, Input::Opened) => self.open(now),
            (State::Connecting, Input::Stop) => self.finish(),
            (State::Connecting | State::Open, Input::Lost(loss)) => {
                self.events.push_back(Output::Lost(loss));
                self.finish();
            }
            (State::Connecting | State::Open, Input::Closed(code)) => {
                let ended = self.state == State::Open && code == Some(NORMAL_CLOSE);
                self.events.push_back(if ended { Output::Ended } else { Output::Lost(Loss::Closed(code)) });
                self.finish();
            }
            (State::Closing, Input::Closed(_) | Input::Lost(_)) => self.finish(),
            (State::Open, Input::Text(text)) => {
                self.counts.messages += 1;
                let read = if self.recognises() { self.read_result(now, text) } else { self.read(text) };
                if let Err(problem) = read {
                    self.refuse(now, problem);
                }
            }
            (State::Open, Input::Binary(bytes)) => {
                self.counts.messages += 1;
                self.refuse(now, Problem::Binary { bytes });
            }
            (State::Open, Input::Pong) => {
                (self.pong_by, self.was_put_off) = (None, false);
                let sent = self.timed_ping.take();
                self.round_trip = sent.map(|sent| now.saturating_duration_since(sent)).or(self.round_trip);
            }
            (State::Open, Input::Frame { track, audio }) => self.frame(track, audio),
            (State::Connecting, Input::Frame { track, audio }) if self.recognises() => self.frame(track, audio),
            (State::Open, Input::Dtmf(digit)) => {
                let known = u8::try_from(digit).is_ok_and(is_digit);
                // A listener gets none from Twilio either.
                if known && self.settings.talks {
                    let text = self.write(|names, out, sequence| names.dtmf(out, sequence, digit));
                    self.send(now, Transmit::Text(text));
                }
            }
            (State::Open, Input::MarkPlayed { name, played_ms }) => {
                let played_ms = self.settings.extras.then_some(played_ms);
                let text = self.write(|names, out, sequence| names.mark(out, sequence, name, played_ms));
                self.send(now, Transmit::Text(text));
            }
            (State::Open, Input::Cleared { played_ms }) => {
                if self.settings.extras {
                    let text = self.write(|names, out, sequence| names.cleared(out, sequence, played_ms));
                    self.send(now, Transmit::Text(text));
                }
            }
            (State::Open, Input::TransferFailed { target, reason, code }) => {
                if self.settings.extras {
                    let why = (target, reason, code);
                    let text = self.write(|names, out, sequence| names.transfer_failed(out, sequence, why));
                    self.send(now, Transmit::Text(text));
                }
            }
            (State::Open, Input::TransferAccepted { target }) => {
                if self.settings.extras {
                    let text = self.write(|names, out, sequence| names.transfer_accepted(out, sequence, target));
                    self.send(now, Transmit::Text(text));
                }
            }
            (State::Open, Input::Stop) => self.stop(now),
            // What crosses an end, or comes before the beginning.
            (State::Connecting | State::Open | State::Closing | State::Closed, _) => {}
        }
    }
    /// Acts on deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if due(self.connect_by) {
            self.events.push_back(Output::Lost(Loss::ConnectTimeout));
            self.finish();
        } else if due(self.close_by) {
            self.finish();
        } else if due(self.stop_by) {
            self.stop_by = None;
            self.push_last(Transmit::Close(NORMAL_CLOSE));
        } else if !self.was_put_off
            && [self.pong_by, self.speak_by].into_iter().flatten().any(|by| stood_still(by, now))
        {
            // Once: a process that is always late must not keep agents that are gone.
            (self.was_put_off, self.timed_ping) = (true, None);
            for by in [&mut self.pong_by, &mut self.speak_by] {
                *by = by.filter(|by| *by > now).or_else(|| put_off(*by, now));
            }
        } else if due(self.pong_by) {
            self.lose(now, Loss::PingUnanswered);
        } else if due(self.speak_by) {
            self.lose(now, Loss::Silent);
        } else if due(self.ping_at) {
            self.ping_at = after(now, self.settings.ping);
            if !self.ping_waits {
                self.ping_waits = true;
                if self.outbox.media() + self.outbox.control() <= PING_BEHIND {
                    self.timed_ping = self.timed_ping.or(Some(now));
                }
                self.send(now, Transmit::Ping);
            }
            if self.state == State::Open {
                self.pong_by = self.pong_by.or_else(|| after(now, self.settings.pong_timeout));
            }
        }
    }
    /// The next output: asked until `None` after each input and each timeout.
    pub fn poll_output(&mut self) -> Option<Output<'_>> {
        let output = self.events.pop_front()?;
        Some(if output == Output::Play(&[]) { Output::Play(&self.audio) } else { output })
    }
    /// The next thing to write, asked for when the socket takes it.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        let transmit = self.outbox.pop();
        match transmit {
            None => self.behind = false,
            Some(Transmit::Ping) => self.ping_waits = false,
            Some(Transmit::Text(_) | Transmit::Binary(_) | Transmit::Close(_)) => {}
        }
        transmit
    }
    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        [
            (self.connect_by, Reason::Connect),
            (self.stop_by, Reason::Stop),
            (self.close_by, Reason::Close),
            (self.pong_by, Reason::Pong),
            (self.speak_by, Reason::FirstAudio),
            (self.ping_at, Reason::Ping),
        ]
        .into_iter()
        .filter_map(|(time, reason)| Some((time?, reason)))
        .min_by_key(|(time, _)| *time)
    }
    /// Whether the socket may be read further; so must the playout say.
    pub fn wants_more(&self) -> bool {
        !self.outbox.is_crowded()
    }
    /// Frames that wait to be written, both tracks together.
    pub fn frames_waiting(&self) -> usize {
        self.outbox.media()
    }
    /// Whether the socket may be dropped, as [`Output::Closed`] says.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }
    /// Whether messages go both ways.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }
    /// The stream's name.
    pub fn stream_sid(&self) -> &str {
        self.names.stream_sid()
    }
    /// Returns the time between the last ping that was timed and its answer.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
    /// Has the answer to the last ping not timed: it may lie unread.
    pub fn forget_ping(&mut self) {
        self.timed_ping = None;
    }
    /// What it counted.
    pub fn counts(&self) -> Counts {
        Counts { frames_dropped: self.outbox.dropped(), ..self.counts }
    }

    fn open(&mut self, now: Instant) {
        self.state = State::Open;
        self.connect_by = None;
        self.ping_at = after(now, self.settings.ping);
        self.speak_by = if self.settings.talks { after(now, self.settings.first_audio_timeout) } else { None };
        if self.recognises() {
            return;
        }
        self.names.connected(&mut self.text);
        let connected = self.written();
        self.send(now, Transmit::Text(connected));
        self.sequence += 1;
        let Settings { tracks, format, parameters, .. } = &self.settings;
        self.names.start(&mut self.text, self.sequence, *tracks, *format, parameters);
        let start = self.written();
        self.send(now, Transmit::Text(start));
    }

    /// Writes the next numbered message.
    fn write(&mut self, message: impl FnOnce(&Names, &mut Vec<u8>, u64)) -> Bytes {
        self.sequence += 1;
        message(&self.names, &mut self.text, self.sequence);
        self.written()
    }

    /// What has just been written, in the buffer that it leaves from: the same one again and again where the socket
    /// takes what it is given.
    fn written(&mut self) -> Bytes {
        if self.outbox.is_empty() {
            let _ = self.buffer.try_reclaim(TEXT_BUFFER_BYTES);
        }
        if self.buffer.capacity() < self.text.len() {
            self.buffer.reserve(TEXT_BUFFER_BYTES.max(self.text.len()));
        }
        self.buffer.extend_from_slice(&self.text);
        self.text.clear();
        self.buffer.split().freeze()
    }

    fn send(&mut self, now: Instant, transmit: Transmit) {
        if !self.outbox.push_control(transmit) && self.state == State::Open {
            self.lose(now, Loss::Unread);
        }
    }

    fn frame(&mut self, track: TrackName, audio: &[u8]) {
        debug_assert_eq!(audio.len(), self.settings.format.frame_bytes(), "a frame is 20 ms");
        if !self.settings.tracks.has(track) {
            return;
        }
        let [inbound, outbound] = &mut self.chunks;
        let chunk = match track {
            TrackName::Inbound => inbound,
            TrackName::Outbound => outbound,
        };
        *chunk += 1;
        let chunk = *chunk;
        // Media time: every track is without gaps from its first frame on.
        let timestamp_ms = (chunk - 1) * u64::try_from(FRAME.as_millis()).unwrap_or(0);
        let frame = if self.recognises() {
            self.text.extend_from_slice(audio);
            Transmit::Binary(self.written())
        } else {
            Transmit::Text(self.write(|names, out, sequence| {
                names.media(out, &Media { sequence, track, chunk, timestamp_ms, audio });
            }))
        };
        self.counts.frames += 1;
        if self.outbox.push_media(frame) && !self.behind {
            self.behind = true;
            self.events.push_back(Output::FallsBehind);
        }
    }

    fn read(&mut self, text: &str) -> Result<(), Problem> {
        let Received { stream_sid, message } = parse(text)?;
        if let Some(sid) = stream_sid.filter(|sid| *sid != self.names.stream_sid()) {
            return Err(Problem::ForeignStream(shown(&sid)));
        }
        if let Incoming::Unknown { event } = &message {
            return Err(Problem::UnknownEvent(shown(event)));
        }
        if !self.settings.talks {
            return Err(Problem::ListenerSpoke(message.event()));
        }
        let output = match message {
            Incoming::Media { payload } => {
                debug_assert!(!self.events.contains(&Output::Play(&[])), "outputs are drained between two texts");
                decode_audio(&payload, &mut self.audio)?;
                if self.speak_by.is_some() && self.settings.format.is_heard(&self.audio) {
                    self.speak_by = None;
                }
                Output::Play(&[])
            }
            Incoming::Mark { name } => Output::Mark(name.into_owned()),
            Incoming::Clear => Output::Clear,
            Incoming::Request(request) => Output::Request(request),
            Incoming::Unknown { .. } => return Ok(()),
        };
        self.events.push_back(output);
        Ok(())
    }

    /// Whether it is a recogniser's.
    fn recognises(&self) -> bool {
        self.settings.recognition.is_some()
    }

    fn read_result(&mut self, now: Instant, text: &str) -> Result<(), Problem> {
        let Some(transcript) = recognition::parse(text)? else { return Ok(()) };
        let (since, count) = self.results;
        let is_same = since.is_some_and(|since| now.saturating_duration_since(since) < Duration::from_secs(1));
        self.results = if is_same { (since, count + 1) } else { (Some(now), 1) };
        if self.results.1 > RESULTS_PER_SECOND {
            return Err(Problem::TooManyResults);
        }
        self.events.push_back(Output::Recognised(transcript));
        Ok(())
    }

    /// Tells of a message that cannot be used; it is the last one of a recogniser.
    fn refuse(&mut self, now: Instant, problem: Problem) {
        self.tell(problem);
        if self.recognises() {
            self.lose(now, Loss::ProtocolError);
        }
    }

    fn tell(&mut self, problem: Problem) {
        self.counts.problems += 1;
        self.counts.foreign += u64::from(matches!(problem, Problem::ForeignStream(_)));
        self.counts.invalid += u64::from(problem.is_invalid());
        self.events.push_back(Output::Problem(problem));
    }

    /// Lost while the socket may still work: it is told what it can be told.
    fn lose(&mut self, now: Instant, loss: Loss) {
        self.events.push_back(Output::Lost(loss));
        self.outbox.clear();
        self.stop(now);
    }

    fn stop(&mut self, now: Instant) {
        self.state = State::Closing;
        (self.connect_by, self.speak_by, self.ping_at, self.pong_by) = (None, None, None, None);
        (self.stop_by, self.close_by) = (after(now, STOP_TIMEOUT), after(now, CLOSE_TIMEOUT));
        let stop = match self.recognises() {
            true => Bytes::from_static(recognition::STOP),
            false => self.write(|names, out, sequence| names.stop(out, sequence)),
        };
        self.push_last(Transmit::Text(stop));
    }

    /// What has to leave, whatever else may not.
    fn push_last(&mut self, transmit: Transmit) {
        if !self.outbox.push_control(transmit.clone()) {
            self.outbox.clear();
            let _ = self.outbox.push_control(transmit);
        }
    }

    fn finish(&mut self) {
        self.state = State::Closed;
        (self.connect_by, self.speak_by, self.ping_at, self.pong_by) = (None, None, None, None);
        (self.stop_by, self.close_by) = (None, None);
        self.outbox.clear();
        self.events.push_back(Output::Closed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    /// A long answer leaves no memory behind once it has been taken over.
    #[test]
    fn scratch_space_is_given_back() {
        let now = Instant::now();
        let mut stream = Stream::new(now, Settings::default());
        stream.handle_input(now, Input::Opened);
        let text = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "A".repeat(4 * SCRATCH_BYTES));
        stream.handle_input(now, Input::Text(&text));
        // Not before.
        stream.handle_input(now, Input::Frame { track: TrackName::Inbound, audio: &[0; 160] });
        assert_eq!(stream.poll_output(), Some(Output::Play(&vec![0; 3 * SCRATCH_BYTES])));
        stream.handle_input(now, Input::Frame { track: TrackName::Inbound, audio: &[0; 160] });
        assert!(stream.audio.capacity() <= SCRATCH_BYTES);
    }

    #[test]
    fn empty_audio_is_played_as_nothing() {
        let now = Instant::now();
        let mut stream = Stream::new(now, Settings::default());
        stream.handle_input(now, Input::Opened);
        stream.handle_input(now, Input::Text(r#"{"event":"media","media":{"payload":""}}"#));
        assert_eq!(stream.poll_output(), Some(Output::Play(&[])));
        assert_eq!(stream.poll_output(), None);
    }
}
