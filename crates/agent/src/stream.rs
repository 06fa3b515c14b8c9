//! Conversation with an agent on one socket.
//!
//! ```text
//! Connecting ── Opened ──► Open ── Stop, Lost by a timer ──► Closing ── socket gone, 2 s ──► Closed
//!      └── Lost, Stop ───────┴── Closed(code), Lost ───────────────────────────────────────────┘
//! ```
//! Opening a stream sends `connected` and `start`, before any other message. Every end by the edge sends `stop`; if
//! the agent has not closed within 500 ms, the edge closes with code 1000. The last output is always
//! [`StreamOutput::Closed`]: the socket may be dropped.
//!
//! The caller drives a stream by inputs, timeouts, outputs and the next deadline; in addition it calls
//! [`Stream::poll_transmit`] when the socket is writable. Messages that the socket does not take wait in the bounded
//! [`AgentOutbox`](crate::AgentOutbox), so a slow agent only harms itself. Only the I/O layer can see whether sent data
//! is acknowledged ([`StreamLoss::DataUnacknowledged`]).
//!
//! A recogniser's stream ([`StreamSettings::recognition`]) has the same states and other messages. Frames are queued
//! while its socket is being opened, so that the caller's first words are complete; an invalid message ends the stream.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::digits::is_digit;
use crate::format::AgentFormat;
use crate::incoming::{AgentMessage, StreamMessage, decode_audio, parse};
use crate::limits::{
    CLOSE_TIMEOUT, FRAME, PONG_TIMEOUT, RESULTS_PER_SECOND, SCRATCH_BYTES, STANDSTILL, STOP_TIMEOUT, TEXT_BUFFER_BYTES,
};
use crate::loss::StreamLoss;
use crate::message::{MediaMessage, StreamNames, TrackName, TrackSet};
use crate::outbox::{AgentOutbox, NORMAL_CLOSE, SocketMessage};
use crate::problem::{MessageProblem, shown};
use crate::recognition::{self, RecognitionOptions, Transcript};
use crate::request::AgentRequest;
use crate::snapshot::{StreamSnapshot, UnsentMessage};

/// Maximum number of messages queued before a ping if its response time is to be measured; behind more of them it would
/// be too long.
const PING_BEHIND: usize = 2;

/// Settings of a stream. A timeout of zero never expires; a ping interval of zero sends no pings.
#[derive(Debug, Clone)]
pub struct StreamSettings {
    /// Account SID, for the start message.
    pub account_sid: String,
    /// Call SID of the caller's leg.
    pub call_sid: String,
    /// SID of the stream, unique: `MZ` and 32 hex digits.
    pub stream_sid: String,
    /// Directions of the call that the agent receives.
    pub tracks: TrackSet,
    /// Whether the agent takes part in the call; otherwise it only listens, and its messages are rejected.
    pub talks: bool,
    /// Format of the audio in both directions.
    pub format: AgentFormat,
    /// Custom parameters (`customParameters`), as name and value, in order.
    pub parameters: Vec<(String, String)>,
    /// Whether fields and events beyond Twilio's are sent.
    pub extras: bool,
    /// Maximum time until the socket is open.
    pub connect_timeout: Duration,
    /// Maximum time until the agent's first audio; zero waits without limit.
    pub first_audio_timeout: Duration,
    /// Interval between two pings to the agent.
    pub ping: Duration,
    /// Maximum time until the response to a ping.
    pub pong_timeout: Duration,
    /// Options of a recogniser; `None` for an agent.
    pub recognition: Option<Box<RecognitionOptions>>,
}

impl Default for StreamSettings {
    fn default() -> StreamSettings {
        StreamSettings {
            account_sid: String::new(),
            call_sid: String::new(),
            stream_sid: String::new(),
            tracks: TrackSet::Inbound,
            talks: true,
            format: AgentFormat::Mulaw8000,
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

/// Input from the WebSocket to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamInput<'a> {
    /// The socket is open: the handshake was accepted.
    Opened,
    /// The agent sent a text message.
    Text(&'a str),
    /// Binary message of the agent, of this size in bytes.
    Binary(usize),
    /// The agent answered a ping.
    Pong,
    /// The agent closed the socket, with this code if any.
    Closed(Option<u16>),
    /// The socket could not be opened, or failed.
    Lost(StreamLoss),
    /// Next 20 ms of a track, in the stream's format.
    Frame {
        /// Track of the frame.
        track: TrackName,
        /// Audio of exactly one frame.
        audio: &'a [u8],
    },
    /// The caller sent a DTMF digit.
    Dtmf(char),
    /// A mark is due: see [`PlayoutQueue::poll_mark`](crate::PlayoutQueue::poll_mark).
    MarkPlayed {
        /// Name of the mark, as the agent sent it.
        name: &'a str,
        /// Duration of agent audio played, in milliseconds.
        played_ms: u64,
    },
    /// The agent's audio was discarded, and its marks were returned.
    Cleared {
        /// Duration of agent audio played, in milliseconds.
        played_ms: u64,
    },
    /// The transfer that the agent requested failed; the caller stays with the agent.
    TransferFailed {
        /// Transfer target as the agent requested it.
        target: &'a str,
        /// Stable code of the reason.
        reason: &'a str,
        /// Status code of the SIP response, if there was one.
        code: Option<u16>,
    },
    /// The transfer target has taken the caller, and the agent now coaches the target.
    TransferAccepted {
        /// Transfer target as the agent requested it.
        target: &'a str,
    },
    /// Ends the stream: sends `stop`, then closes.
    Stop,
}

/// Output of a stream for the layer above.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamOutput<'a> {
    /// Audio of any length to queue for playing.
    Play(&'a [u8]),
    /// Mark to add after the audio so far.
    Mark(String),
    /// Queued audio must be discarded and its marks returned, followed by [`StreamInput::Cleared`].
    Clear,
    /// The agent requests an action of the call.
    Request(AgentRequest),
    /// A recogniser has recognised speech.
    Recognised(Transcript),
    /// A message was ignored; for the call's trace.
    Problem(MessageProblem),
    /// The socket is too slow, and frames are dropped from now on. Not reported again before the outbox was empty.
    FallsBehind,
    /// The agent is lost; the stream ends.
    Lost(StreamLoss),
    /// The agent closed the socket with code 1000.
    Ended,
    /// The stream has ended, and the socket may be dropped.
    Closed,
}

/// Purpose of the next deadline of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamDeadline {
    /// Latest time at which the socket must be open.
    Connect,
    /// Latest time at which the agent must have sent its first audio.
    FirstAudio,
    /// Time at which the next ping is sent.
    Ping,
    /// Latest time at which the agent must have answered a ping.
    Pong,
    /// Latest time at which the agent must have closed the socket after `stop`.
    Stop,
    /// Latest time at which the socket must be closed.
    Close,
}

/// Statistics of one stream since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Frames produced, both tracks together.
    pub frames: u64,
    /// Frames dropped because of a slow socket.
    pub frames_dropped: u64,
    /// Messages received from the agent, including binary ones.
    pub messages: u64,
    /// Messages ignored because of a problem.
    pub problems: u64,
    /// Messages for a stream other than this socket's.
    pub foreign: u64,
    /// Messages that violate the protocol.
    pub invalid: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamState {
    Connecting,
    Open,
    Closing,
    Closed,
}

/// Conversation with an agent on one socket, from the connection attempt to its end.
#[derive(Debug)]
pub struct Stream {
    settings: StreamSettings,
    names: StreamNames,
    state: StreamState,
    sequence: u64,
    /// Frame numbers of the inbound and the outbound track.
    chunks: [u64; 2],
    /// Buffer in which the next message is composed.
    text: Vec<u8>,
    /// Buffer from which messages are sent, reused once the socket has taken its content.
    buffer: BytesMut,
    outbox: AgentOutbox,
    behind: bool,
    events: VecDeque<StreamOutput<'static>>,
    /// Decoded audio of the last [`StreamOutput::Play`], until the output is taken.
    audio: Vec<u8>,
    ping_waits: bool,
    connect_by: Option<Instant>,
    speak_by: Option<Instant>,
    ping_at: Option<Instant>,
    pong_by: Option<Instant>,
    /// Send time of the ping that measures the response time; `None` once the response has arrived.
    timed_ping: Option<Instant>,
    round_trip: Option<Duration>,
    /// Whether a deadline was found very late and postponed; reset by the agent's next pong.
    was_put_off: bool,
    stop_by: Option<Instant>,
    close_by: Option<Instant>,
    counts: StreamStats,
    /// Start of the current period of one second, and the number of results received in it.
    results: (Option<Instant>, u32),
}

/// Returns whether a deadline is so late that this process must have been suspended; data that the agent sent meanwhile
/// is still unread.
fn stood_still(due: Instant, now: Instant) -> bool {
    now.saturating_duration_since(due) >= STANDSTILL
}

/// Returns the deadline `due`, postponed to as long after `now` as it is late.
fn postpone_deadline(due: Option<Instant>, now: Instant) -> Option<Instant> {
    now.checked_add(now.saturating_duration_since(due?))
}

fn deadline_after(now: Instant, time: Duration) -> Option<Instant> {
    if time.is_zero() { None } else { now.checked_add(time) }
}

impl Stream {
    /// Creates a stream; its socket is being opened from `now` on.
    pub fn new(now: Instant, settings: StreamSettings) -> Stream {
        let mut stream = Stream {
            names: StreamNames::new(&settings.account_sid, &settings.call_sid, &settings.stream_sid),
            state: StreamState::Connecting,
            sequence: 0,
            chunks: [0; 2],
            text: Vec::new(),
            buffer: BytesMut::new(),
            outbox: AgentOutbox::default(),
            behind: false,
            events: VecDeque::new(),
            audio: Vec::new(),
            ping_waits: false,
            connect_by: deadline_after(now, settings.connect_timeout),
            speak_by: None,
            ping_at: None,
            pong_by: None,
            timed_ping: None,
            round_trip: None,
            was_put_off: false,
            stop_by: None,
            close_by: None,
            counts: StreamStats::default(),
            results: (None, 0),
            settings,
        };
        if let Some(recognition) = &stream.settings.recognition {
            recognition.start(&mut stream.text, stream.settings.format, &stream.settings.call_sid);
            let start = stream.written();
            stream.send(now, SocketMessage::Text(start));
        }
        stream
    }

    /// Continues an open stream on its socket, from the state of another process. `settings` must have the stream SID
    /// of the snapshot.
    pub fn resume(now: Instant, settings: StreamSettings, snapshot: StreamSnapshot) -> Stream {
        let StreamSnapshot { stream_sid: _, sequence, chunks, awaits_audio, unsent } = snapshot;
        let speaks_within = if awaits_audio { settings.first_audio_timeout } else { Duration::ZERO };
        let (ping_waits, ping) = (unsent.contains(&UnsentMessage::Ping), settings.ping);
        Stream {
            state: StreamState::Open,
            sequence,
            chunks,
            outbox: AgentOutbox::restore(unsent),
            ping_waits,
            connect_by: None,
            speak_by: deadline_after(now, speaks_within),
            ping_at: deadline_after(now, ping),
            ..Stream::new(now, settings)
        }
    }

    /// Returns the serializable state of an open stream; `None` if the stream is not open, or belongs to a recogniser.
    pub fn snapshot(&self) -> Option<StreamSnapshot> {
        (self.is_open() && !self.recognises()).then(|| StreamSnapshot {
            stream_sid: self.stream_sid().to_owned(),
            sequence: self.sequence,
            chunks: self.chunks,
            awaits_audio: self.speak_by.is_some(),
            unsent: self.outbox.snapshot(),
        })
    }

    /// Processes an input. Before the outputs are drained, the only further inputs may be due marks and clears.
    pub fn handle_input(&mut self, now: Instant, input: StreamInput<'_>) {
        if self.audio.capacity() > SCRATCH_BYTES && self.events.is_empty() {
            self.audio = Vec::new();
        }
        match (self.state, input) {
            (StreamState::Connecting, StreamInput::Opened) => self.open(now),
            (StreamState::Connecting, StreamInput::Stop) => self.finish(),
            (StreamState::Connecting | StreamState::Open, StreamInput::Lost(loss)) => {
                self.events.push_back(StreamOutput::Lost(loss));
                self.finish();
            }
            (StreamState::Connecting | StreamState::Open, StreamInput::Closed(code)) => {
                let ended = self.state == StreamState::Open && code == Some(NORMAL_CLOSE);
                self.events.push_back(if ended {
                    StreamOutput::Ended
                } else {
                    StreamOutput::Lost(StreamLoss::Closed(code))
                });
                self.finish();
            }
            (StreamState::Closing, StreamInput::Closed(_) | StreamInput::Lost(_)) => self.finish(),
            (StreamState::Open, StreamInput::Text(text)) => {
                self.counts.messages += 1;
                let read = if self.recognises() { self.read_result(now, text) } else { self.read(text) };
                if let Err(problem) = read {
                    self.refuse(now, problem);
                }
            }
            (StreamState::Open, StreamInput::Binary(bytes)) => {
                self.counts.messages += 1;
                self.refuse(now, MessageProblem::Binary { bytes });
            }
            (StreamState::Open, StreamInput::Pong) => {
                (self.pong_by, self.was_put_off) = (None, false);
                let sent = self.timed_ping.take();
                self.round_trip = sent.map(|sent| now.saturating_duration_since(sent)).or(self.round_trip);
            }
            (StreamState::Open, StreamInput::Frame { track, audio }) => self.frame(track, audio),
            (StreamState::Connecting, StreamInput::Frame { track, audio }) if self.recognises() => {
                self.frame(track, audio)
            }
            (StreamState::Open, StreamInput::Dtmf(digit)) => {
                let known = u8::try_from(digit).is_ok_and(is_digit);
                // Twilio sends no digits to a listener either.
                if known && self.settings.talks {
                    let text = self.write(|names, out, sequence| names.dtmf(out, sequence, digit));
                    self.send(now, SocketMessage::Text(text));
                }
            }
            (StreamState::Open, StreamInput::MarkPlayed { name, played_ms }) => {
                let played_ms = self.settings.extras.then_some(played_ms);
                let text = self.write(|names, out, sequence| names.mark(out, sequence, name, played_ms));
                self.send(now, SocketMessage::Text(text));
            }
            (StreamState::Open, StreamInput::Cleared { played_ms }) => {
                if self.settings.extras {
                    let text = self.write(|names, out, sequence| names.cleared(out, sequence, played_ms));
                    self.send(now, SocketMessage::Text(text));
                }
            }
            (StreamState::Open, StreamInput::TransferFailed { target, reason, code }) => {
                if self.settings.extras {
                    let why = (target, reason, code);
                    let text = self.write(|names, out, sequence| names.transfer_failed(out, sequence, why));
                    self.send(now, SocketMessage::Text(text));
                }
            }
            (StreamState::Open, StreamInput::TransferAccepted { target }) => {
                if self.settings.extras {
                    let text = self.write(|names, out, sequence| names.transfer_accepted(out, sequence, target));
                    self.send(now, SocketMessage::Text(text));
                }
            }
            (StreamState::Open, StreamInput::Stop) => self.stop(now),
            // Input that crosses the end of a stream, or precedes its beginning, is ignored.
            (StreamState::Connecting | StreamState::Open | StreamState::Closing | StreamState::Closed, _) => {}
        }
    }

    /// Processes one due deadline, the most urgent one. Call it again while [`Self::poll_timeout`] is not after `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        if due(self.connect_by) {
            self.events.push_back(StreamOutput::Lost(StreamLoss::ConnectTimeout));
            self.finish();
        } else if due(self.close_by) {
            self.finish();
        } else if due(self.stop_by) {
            self.stop_by = None;
            self.push_last(SocketMessage::Close(NORMAL_CLOSE));
        } else if !self.was_put_off
            && [self.pong_by, self.speak_by].into_iter().flatten().any(|by| stood_still(by, now))
        {
            // Postponed only once: a process that is always late must not keep dead agents.
            (self.was_put_off, self.timed_ping) = (true, None);
            for by in [&mut self.pong_by, &mut self.speak_by] {
                *by = by.filter(|by| *by > now).or_else(|| postpone_deadline(*by, now));
            }
        } else if due(self.pong_by) {
            self.end_lost(now, StreamLoss::PingUnanswered);
        } else if due(self.speak_by) {
            self.end_lost(now, StreamLoss::Silent);
        } else if due(self.ping_at) {
            self.ping_at = deadline_after(now, self.settings.ping);
            if !self.ping_waits {
                self.ping_waits = true;
                if self.outbox.media() + self.outbox.control() <= PING_BEHIND {
                    self.timed_ping = self.timed_ping.or(Some(now));
                }
                self.send(now, SocketMessage::Ping);
            }
            if self.state == StreamState::Open {
                self.pong_by = self.pong_by.or_else(|| deadline_after(now, self.settings.pong_timeout));
            }
        }
    }

    /// Removes and returns the next output. Call it until `None` after each input and each timeout.
    pub fn poll_output(&mut self) -> Option<StreamOutput<'_>> {
        let output = self.events.pop_front()?;
        Some(if output == StreamOutput::Play(&[]) { StreamOutput::Play(&self.audio) } else { output })
    }

    /// Removes and returns the next message to write; `None` if there is none. Call it when the socket is writable.
    pub fn poll_transmit(&mut self) -> Option<SocketMessage> {
        let transmit = self.outbox.pop();
        match transmit {
            None => self.behind = false,
            Some(SocketMessage::Ping) => self.ping_waits = false,
            Some(SocketMessage::Text(_) | SocketMessage::Binary(_) | SocketMessage::Close(_)) => {}
        }
        transmit
    }

    /// Returns the next deadline and its purpose.
    pub fn poll_timeout(&self) -> Option<(Instant, StreamDeadline)> {
        [
            (self.connect_by, StreamDeadline::Connect),
            (self.stop_by, StreamDeadline::Stop),
            (self.close_by, StreamDeadline::Close),
            (self.pong_by, StreamDeadline::Pong),
            (self.speak_by, StreamDeadline::FirstAudio),
            (self.ping_at, StreamDeadline::Ping),
        ]
        .into_iter()
        .filter_map(|(time, reason)| Some((time?, reason)))
        .min_by_key(|(time, _)| *time)
    }

    /// Returns whether the socket may be read further as far as the outbox is concerned;
    /// [`PlayoutQueue::wants_more`](crate::PlayoutQueue::wants_more) must permit it, too.
    pub fn wants_more(&self) -> bool {
        !self.outbox.is_crowded()
    }

    /// Returns the number of media frames in the outbox, both tracks together.
    pub fn frames_waiting(&self) -> usize {
        self.outbox.media()
    }

    /// Returns whether the socket may be dropped, after [`StreamOutput::Closed`].
    pub fn is_closed(&self) -> bool {
        self.state == StreamState::Closed
    }

    /// Returns whether messages are exchanged: the socket is open, and the stream is not ending.
    pub fn is_open(&self) -> bool {
        self.state == StreamState::Open
    }

    /// Returns the SID of the stream.
    pub fn stream_sid(&self) -> &str {
        self.names.stream_sid()
    }

    /// Returns the last measured round-trip time of a ping; `None` before the first one.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Cancels the measurement of the round-trip time, because the response to the ping may have arrived without being
    /// read.
    pub fn forget_ping(&mut self) {
        self.timed_ping = None;
    }

    /// Returns the statistics of the stream so far.
    pub fn counts(&self) -> StreamStats {
        StreamStats { frames_dropped: self.outbox.dropped(), ..self.counts }
    }

    fn open(&mut self, now: Instant) {
        self.state = StreamState::Open;
        self.connect_by = None;
        self.ping_at = deadline_after(now, self.settings.ping);
        self.speak_by = if self.settings.talks { deadline_after(now, self.settings.first_audio_timeout) } else { None };
        if self.recognises() {
            return;
        }
        self.names.connected(&mut self.text);
        let connected = self.written();
        self.send(now, SocketMessage::Text(connected));
        self.sequence += 1;
        let StreamSettings { tracks, format, parameters, .. } = &self.settings;
        self.names.start(&mut self.text, self.sequence, *tracks, *format, parameters);
        let start = self.written();
        self.send(now, SocketMessage::Text(start));
    }

    /// Composes the next message of the protocol, with the next sequence number.
    fn write(&mut self, message: impl FnOnce(&StreamNames, &mut Vec<u8>, u64)) -> Bytes {
        self.sequence += 1;
        message(&self.names, &mut self.text, self.sequence);
        self.written()
    }

    /// Returns the message in `text` and empties `text`. The memory is reused as long as the socket takes all messages.
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

    fn send(&mut self, now: Instant, transmit: SocketMessage) {
        if !self.outbox.push_control(transmit) && self.state == StreamState::Open {
            self.end_lost(now, StreamLoss::Unread);
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
        // Media time: every track has no gaps from its first frame on.
        let timestamp_ms = (chunk - 1) * u64::try_from(FRAME.as_millis()).unwrap_or(0);
        let frame = if self.recognises() {
            self.text.extend_from_slice(audio);
            SocketMessage::Binary(self.written())
        } else {
            SocketMessage::Text(self.write(|names, out, sequence| {
                names.media(out, &MediaMessage { sequence, track, chunk, timestamp_ms, audio });
            }))
        };
        self.counts.frames += 1;
        if self.outbox.push_media(frame) && !self.behind {
            self.behind = true;
            self.events.push_back(StreamOutput::FallsBehind);
        }
    }

    fn read(&mut self, text: &str) -> Result<(), MessageProblem> {
        let StreamMessage { stream_sid, message } = parse(text)?;
        if let Some(sid) = stream_sid.filter(|sid| *sid != self.names.stream_sid()) {
            return Err(MessageProblem::ForeignStream(shown(&sid)));
        }
        if let AgentMessage::Unknown { event } = &message {
            return Err(MessageProblem::UnknownEvent(shown(event)));
        }
        if !self.settings.talks {
            return Err(MessageProblem::ListenerSpoke(message.event()));
        }
        let output = match message {
            AgentMessage::Media { payload } => {
                debug_assert!(!self.events.contains(&StreamOutput::Play(&[])), "outputs are drained between two texts");
                decode_audio(&payload, &mut self.audio)?;
                if self.speak_by.is_some() && self.settings.format.is_heard(&self.audio) {
                    self.speak_by = None;
                }
                StreamOutput::Play(&[])
            }
            AgentMessage::Mark { name } => StreamOutput::Mark(name.into_owned()),
            AgentMessage::Clear => StreamOutput::Clear,
            AgentMessage::Request(request) => StreamOutput::Request(request),
            AgentMessage::Unknown { .. } => return Ok(()),
        };
        self.events.push_back(output);
        Ok(())
    }

    /// Returns whether the stream is a recogniser's.
    fn recognises(&self) -> bool {
        self.settings.recognition.is_some()
    }

    fn read_result(&mut self, now: Instant, text: &str) -> Result<(), MessageProblem> {
        let Some(transcript) = recognition::parse(text)? else { return Ok(()) };
        let (since, count) = self.results;
        let is_same = since.is_some_and(|since| now.saturating_duration_since(since) < Duration::from_secs(1));
        self.results = if is_same { (since, count + 1) } else { (Some(now), 1) };
        if self.results.1 > RESULTS_PER_SECOND {
            return Err(MessageProblem::TooManyResults);
        }
        self.events.push_back(StreamOutput::Recognised(transcript));
        Ok(())
    }

    /// Reports that a message was ignored; ends the stream of a recogniser.
    fn refuse(&mut self, now: Instant, problem: MessageProblem) {
        self.report_problem(problem);
        if self.recognises() {
            self.end_lost(now, StreamLoss::ProtocolError);
        }
    }

    fn report_problem(&mut self, problem: MessageProblem) {
        self.counts.problems += 1;
        self.counts.foreign += u64::from(matches!(problem, MessageProblem::ForeignStream(_)));
        self.counts.invalid += u64::from(problem.is_invalid());
        self.events.push_back(StreamOutput::Problem(problem));
    }

    /// Ends the stream as lost: discards the queued messages and sends `stop`, in case the socket still works.
    fn end_lost(&mut self, now: Instant, loss: StreamLoss) {
        self.events.push_back(StreamOutput::Lost(loss));
        self.outbox.clear();
        self.stop(now);
    }

    fn stop(&mut self, now: Instant) {
        self.state = StreamState::Closing;
        (self.connect_by, self.speak_by, self.ping_at, self.pong_by) = (None, None, None, None);
        (self.stop_by, self.close_by) = (deadline_after(now, STOP_TIMEOUT), deadline_after(now, CLOSE_TIMEOUT));
        let stop = match self.recognises() {
            true => Bytes::from_static(recognition::STOP),
            false => self.write(|names, out, sequence| names.stop(out, sequence)),
        };
        self.push_last(SocketMessage::Text(stop));
    }

    /// Queues a final message; if there is no room, discards all others.
    fn push_last(&mut self, transmit: SocketMessage) {
        if !self.outbox.push_control(transmit.clone()) {
            self.outbox.clear();
            let _ = self.outbox.push_control(transmit);
        }
    }

    fn finish(&mut self) {
        self.state = StreamState::Closed;
        (self.connect_by, self.speak_by, self.ping_at, self.pong_by) = (None, None, None, None);
        (self.stop_by, self.close_by) = (None, None);
        self.outbox.clear();
        self.events.push_back(StreamOutput::Closed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    /// Memory of a long message is freed once it was processed.
    #[test]
    fn scratch_space_is_given_back() {
        let now = Instant::now();
        let mut stream = Stream::new(now, StreamSettings::default());
        stream.handle_input(now, StreamInput::Opened);
        let text = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "A".repeat(4 * SCRATCH_BYTES));
        stream.handle_input(now, StreamInput::Text(&text));
        // Not before the message was processed.
        stream.handle_input(now, StreamInput::Frame { track: TrackName::Inbound, audio: &[0; 160] });
        assert_eq!(stream.poll_output(), Some(StreamOutput::Play(&vec![0; 3 * SCRATCH_BYTES])));
        stream.handle_input(now, StreamInput::Frame { track: TrackName::Inbound, audio: &[0; 160] });
        assert!(stream.audio.capacity() <= SCRATCH_BYTES);
    }

    /// The agent sees one stream: numbers and media time continue, and messages that were not written yet are sent.
    #[test]
    fn a_resumed_stream_goes_on() {
        let now = Instant::now();
        let settings = StreamSettings { stream_sid: "MZ1".to_owned(), ..StreamSettings::default() };
        let mut whole = Stream::new(now, settings.clone());
        whole.handle_input(now, StreamInput::Opened);
        let frame = StreamInput::Frame { track: TrackName::Inbound, audio: &[7; 160] };
        whole.handle_input(now, frame);
        let mut resumed = Stream::resume(now, settings, whole.snapshot().unwrap());
        for stream in [&mut whole, &mut resumed] {
            stream.handle_input(now, frame);
            stream.handle_input(now, StreamInput::Dtmf('1'));
            stream.handle_input(now, StreamInput::MarkPlayed { name: "m", played_ms: 20 });
            stream.handle_input(now, StreamInput::Stop);
        }
        let sent = |stream: &mut Stream| std::iter::from_fn(|| stream.poll_transmit()).collect::<Vec<_>>();
        let expected = sent(&mut whole);
        assert_eq!(expected.len(), 7, "connected, start, two frames, digit, mark, stop");
        assert_eq!(sent(&mut resumed), expected);
    }

    #[test]
    fn only_an_open_stream_of_an_agent_can_be_resumed() {
        let now = Instant::now();
        let mut stream = Stream::new(now, StreamSettings::default());
        assert_eq!(stream.snapshot(), None);
        stream.handle_input(now, StreamInput::Opened);
        assert!(stream.snapshot().is_some());
        stream.handle_input(now, StreamInput::Stop);
        assert_eq!(stream.snapshot(), None);
    }

    #[test]
    fn empty_audio_is_played_as_nothing() {
        let now = Instant::now();
        let mut stream = Stream::new(now, StreamSettings::default());
        stream.handle_input(now, StreamInput::Opened);
        stream.handle_input(now, StreamInput::Text(r#"{"event":"media","media":{"payload":""}}"#));
        assert_eq!(stream.poll_output(), Some(StreamOutput::Play(&[])));
        assert_eq!(stream.poll_output(), None);
    }
}
