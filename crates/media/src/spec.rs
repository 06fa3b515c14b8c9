//! Vocabulary between signalling and media: plain data that crosses threads, fits into a snapshot, and has everything
//! that a kernel forwarding table would need.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use trunkgate_agent::{AgentRequest, StreamLoss, StreamSettings, TrackName, TrackSet, Transcript};
use trunkgate_conference::{FrameReceiver, FrameSender, SamplingRate};
use trunkgate_detection::{DetectionSettings, DetectionVerdict};
use trunkgate_terms::{RecordingId, RecordingPause, UrlOrigin};

use crate::codec::PayloadCodec;
use crate::counters::{AgentQueue, EndCounters, LegTurns};
use crate::dtmf::{DigitFormat, DtmfConversion};
use crate::mos::MosCodec;
use crate::srtp::SrtpSpec;
use crate::transcode::TranscodeSpec;

/// Id of a media session, which is one call's media. Assigned by the gateway; a session stays on one worker for life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct MediaId(pub u64);

/// Id of an end: one stream of one leg. Assigned by the gateway, unique in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct EndId(pub u16);

/// Packets and bytes that an end has counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndFigures {
    /// Id of the end in its session.
    pub end: EndId,
    /// Counts of RTP packets and bytes received, then of those sent.
    pub counted: [u64; 4],
    /// Packets of the remote party that were lost on their path to the edge.
    pub lost: u64,
}

impl EndFigures {
    /// Subtracts the packets and bytes of these figures from `counted`, which has later counts of the same end.
    pub(crate) fn subtract_from(&self, counted: &mut [u64; 4]) {
        for (counted, before) in counted.iter_mut().zip(self.counted) {
            *counted = counted.saturating_sub(before);
        }
    }
}

/// Specification of an RTP end; its sockets are bound at once, before its remote party is known.
#[derive(Debug, Clone)]
pub struct EndSpec {
    /// Local address to bind (may be unspecified) with the RTP port, even; RTCP is the next port.
    pub bind: SocketAddr,
    /// Counters, shared with their readers; relaxed atomics, so reading never stops the worker.
    pub counters: Arc<EndCounters>,
}

/// Learning mode of a remote party's address (`[media] latch`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatchMode {
    /// Accepts one of the expected sources, with preference for the announced address and port, until a negotiation
    /// opens the latch; see [`latch`](crate::latch).
    #[default]
    Strict,
    /// Like `Strict`, and another expected source may take over from any winner that has been silent
    /// ([`RELEARN_SILENCE`](crate::limits::RELEARN_SILENCE)).
    Relearn,
    /// No learning: only the announced address and port count.
    Off,
}

/// Negotiated description of an end's remote party. A new one opens the latch if `relatch` is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RemoteSpec {
    /// Destination of RTP until the latch has learned another one; `None` sends nothing (hold by 0.0.0.0).
    pub rtp: Option<SocketAddr>,
    /// Destination of RTCP until the latch has learned another one.
    pub rtcp: Option<SocketAddr>,
    /// Local address that was announced to the remote party in SDP.
    #[serde(default)]
    pub shown: Option<IpAddr>,
    /// Addresses (any port) from which RTP and RTCP are expected: the SDP address, and the signalling address if the
    /// SDP address is private or differs from it. Canonical.
    pub expected: Vec<IpAddr>,
    /// Additional networks from which packets are expected (`media_from`).
    pub expected_networks: Vec<IpNet>,
    /// Learning mode of the remote party's address.
    #[serde(default)]
    pub latch: LatchMode,
    /// Whether RTCP shares the RTP port (RFC 5761); it is then sent from the RTP socket to the RTP destination.
    #[serde(default)]
    pub rtcp_mux: bool,
    /// Whether the remote party may send; its packets are dropped otherwise.
    pub may_send: bool,
    /// Whether packets are sent to the remote party; false on hold.
    pub may_receive: bool,
    /// Whether nothing is sent to the announced addresses, because they are not proven yet. Other expected sources
    /// are those of the signalling and of the trunk; RTP is sent to such a source once RTP arrives from it.
    #[serde(default)]
    pub withheld: bool,
    /// Whether the `o=` version changed; if so, the latch is opened again.
    pub relatch: bool,
    /// Whether a silence of `idle_timeout_ms` is reported; set while the remote party should send.
    pub watch_idle: bool,
    /// SRTP keys; `None` for plain RTP. With keys, packets that fail authentication and plain packets are dropped and
    /// counted; they never change the latch and never end a call.
    #[serde(default)]
    pub srtp: Option<Box<SrtpSpec>>,
}

impl RemoteSpec {
    /// Returns whether nothing is sent to an address, because it is announced and not proven.
    pub fn withholds(&self, to: IpAddr) -> bool {
        self.withheld && [self.rtp, self.rtcp].into_iter().flatten().any(|announced| announced.ip() == to)
    }
}

/// One-way connection between two ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WireSpec {
    /// Pairs of payload types of source and sink. Packets with other payload types are dropped and counted.
    pub payloads: Vec<(u8, u8)>,
    /// RTP clock rates by the source's payload type, in Hz; 8000 for a payload type without an entry. Used for jitter.
    pub clocks: Vec<(u8, u32)>,
    /// Codec of the RTP end if the other end is an agent or a player. `payloads` then has one pair, with the RTP
    /// end's payload type for audio.
    #[serde(default)]
    pub coding: PayloadCodec,
    /// Source's payload type of telephone-event (RFC 4733), for a wire to an agent, which receives the digits, or to
    /// an RTP end, to which they are forwarded as `payloads` specifies. Each digit is reported to signalling when it
    /// begins, with a duration of 0 ms.
    #[serde(default)]
    pub keys: Option<u8>,
    /// Whether every datagram passes unchanged (T.38 over UDPTL). `payloads` is then empty.
    #[serde(default)]
    pub verbatim: bool,
    /// Codec of the source's audio for quality estimates; `None` if no estimate is possible.
    #[serde(default)]
    pub codec: Option<MosCodec>,
    /// Transcoding between the codecs of source and sink, if they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcode: Option<Box<TranscodeSpec>>,
    /// Conversion of the source's digits, if the two sides have different forms of DTMF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parted: Option<Box<DtmfConversion>>,
}

impl WireSpec {
    /// Returns whether DTMF tones in the source's audio are digits.
    pub(crate) fn listens_for_tones(&self) -> bool {
        self.parted.as_ref().is_some_and(|parted| parted.tones)
    }
}

/// Audio of an RTP end for a listener: payload types and their codecs. They may differ by direction, and a remote party
/// may switch between negotiated codecs at any packet. For the listener, packets with other payload types are silence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TapSpec {
    /// Payload types of packets from the remote party.
    pub inbound: Vec<(u8, PayloadCodec)>,
    /// Payload types of packets to the remote party.
    pub outbound: Vec<(u8, PayloadCodec)>,
}

impl TapSpec {
    /// Creates the audio of a listener with one payload type for both directions.
    pub fn both(number: u8, coding: PayloadCodec) -> TapSpec {
        TapSpec { inbound: vec![(number, coding)], outbound: vec![(number, coding)] }
    }
}

/// Sound of a player, μ-law at 8 kHz; encoded as its wire specifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlayerSound {
    /// Generated ringback tone: 440 Hz and 480 Hz, 2 s on, 4 s off, repeated.
    Ringback,
    /// Samples played once, followed by [`MediaEvent::Played`] and silence.
    Once(Arc<[u8]>),
    /// Silence, sent as a stream.
    Silence,
    /// Hold audio for a waiting caller.
    Hold(HoldSound),
}

/// Hold audio, shared by all ends that play it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoldSound {
    /// Audio played once at the beginning.
    pub first: Option<Arc<[u8]>>,
    /// Audio played in a loop afterwards; `None` for the ringback tone.
    pub music: Option<Arc<[u8]>>,
}

/// Data that the I/O layer needs to open an agent's socket.
#[derive(Clone, PartialEq, Eq)]
pub struct SocketSpec {
    /// URL of the agent, `ws://` or `wss://`.
    pub url: String,
    /// Origin of the URL, which determines the addresses that it may lead to.
    pub origin: UrlOrigin,
    /// Token that signs the handshake (X-Twilio-Signature).
    pub auth_token: Option<String>,
    /// Trusted CA certificates in PEM, instead of the system's.
    pub ca: Option<Arc<[u8]>>,
    /// Networks to which a `ws://` URL may lead, in addition to loopback; checked after name resolution. For any
    /// other address the event is [`StreamLoss::Unreachable`].
    pub plain_networks: Vec<IpNet>,
    /// `traceparent` of the handshake (W3C Trace Context §3.2), if the agent's spans may join the edge's trace.
    pub traceparent: Option<String>,
    /// Token of the handshake (`Authorization: Bearer`).
    pub bearer: Option<String>,
    /// Whether the URL's query is sent; Twilio omits it.
    pub sends_query: bool,
}

impl std::fmt::Debug for SocketSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A query may contain a secret.
        let place = self.url.split(['?', '#']).next();
        f.debug_struct("SocketSpec").field("url", &place).finish_non_exhaustive()
    }
}

/// Specification of an agent end. Wires carry audio to and from an agent; a listening agent is only attached by
/// [`MediaCommand::Tap`].
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// Settings of the protocol with the agent.
    pub settings: StreamSettings,
    /// WebSocket to be opened to the agent.
    pub socket: SocketSpec,
    /// Counters of the packets that the agent has sent, and of those sent to it.
    pub counters: Arc<EndCounters>,
    /// Gauges of queued audio; not used for a raw listener.
    pub queue: Arc<AgentQueue>,
    /// Response times; `None` for a listener.
    pub turns: Option<Arc<LegTurns>>,
    /// Fade-out time of the agent's audio after a `clear`, 20 ms at most; zero for none.
    pub clear_fade: Duration,
    /// SSRCs of plain RTP copies to the address in the `rtp://` URL, sent instead of a conversation.
    pub raw: Option<RawSpec>,
}

/// SSRCs of a raw listener, one for each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSpec {
    /// SSRC of audio from the remote party of the tapped end.
    pub inbound: u32,
    /// SSRC of audio to the remote party of the tapped end.
    pub outbound: u32,
}

/// Specification of a listener added by [`MediaCommand::AddListener`], with a variant for each kind. An agent that only
/// listens is not among them: it has a socket, and is added by [`MediaCommand::AddAgent`].
#[derive(Debug, Clone)]
pub enum AudioListenerSpec {
    /// Recorder of a file.
    Recorder(RecorderSpec),
    /// Streamer, which sends one direction of the end that it taps to the end that it is wired to: the stream of a
    /// recording server.
    Streamer {
        /// Direction of the tapped end to send.
        track: TrackName,
    },
    /// Answering machine detector, which reports [`MediaEvent::Judged`].
    Detector(MachineDetectionSpec),
    /// Party's seat in a conference: the party's audio goes to the mixer, and the mixed audio to the end that the seat
    /// is wired to.
    Seat(MixerPortSpec),
}

/// Specification of a recorder: [`AudioListenerSpec::Recorder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderSpec {
    /// Id of the recording, assigned by signalling.
    pub recording: RecordingId,
    /// Recorded directions; the channel of an unrecorded direction is silent.
    pub tracks: TrackSet,
    /// Duration of the caller's silence that is reported by [`RecorderEvent::Silent`].
    pub silence: Option<Duration>,
}

/// Specification of an answering machine detector: [`AudioListenerSpec::Detector`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineDetectionSpec {
    /// Direction to analyse: from the remote party, or to it.
    pub track: TrackName,
    /// Detection thresholds and timeout.
    pub settings: DetectionSettings,
}

/// Specification of a party's seat in a conference, with a ring to the mixer and one from it.
#[derive(Clone)]
pub struct MixerPortSpec {
    /// Sending ring to the mixer and receiving ring from it; `None` once a session has taken them for its seat.
    rings: Arc<Mutex<Option<(FrameSender, FrameReceiver)>>>,
    ticks_at: Instant,
}

impl MixerPortSpec {
    /// Creates a mixer port of two rings, to and from the mixer, and the time of one of its ticks. Returns `None` if
    /// the rings have different rates, or are full-band, which no stream supports.
    pub fn new(to_mixer: FrameSender, from_mixer: FrameReceiver, ticks_at: Instant) -> Option<MixerPortSpec> {
        let fits = to_mixer.rate() == from_mixer.rate() && to_mixer.rate() != SamplingRate::Full;
        fits.then(|| MixerPortSpec { rings: Arc::new(Mutex::new(Some((to_mixer, from_mixer)))), ticks_at })
    }

    /// Takes the rings, which only one seat can use; `None` if they were taken before.
    pub(crate) fn take(&self) -> Option<(FrameSender, FrameReceiver)> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns the time of a tick of the mixer.
    pub(crate) fn ticks_at(&self) -> Instant {
        self.ticks_at
    }
}

impl std::fmt::Debug for MixerPortSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The rings are memory, and the time differs from run to run of the simulator.
        f.debug_struct("MixerPortSpec").finish_non_exhaustive()
    }
}

/// Input of an agent's socket, passed by the I/O layer to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentInput<'a> {
    /// The socket is open; the handshake was accepted.
    Opened,
    /// Address for plain RTP copies, which need no socket of their own.
    Found(SocketAddr),
    /// The agent sent a text message.
    Text(&'a str),
    /// The agent sent a binary message of this size, in bytes.
    Binary(usize),
    /// The agent answered a ping.
    Pong,
    /// The agent closed the socket, with this code if any.
    Closed(Option<u16>),
    /// The socket could not be opened, or failed.
    Lost(StreamLoss),
}

/// Command of signalling to a worker. The sender never waits for it.
#[derive(Debug, Clone)]
pub enum MediaCommand {
    /// Opens a session without ends.
    Open {
        /// Idle timeout in milliseconds; 0 for none.
        idle_timeout_ms: u64,
        /// Random key for names and numbers in RTCP, so that a name cannot be guessed.
        names_key: [u8; 16],
        /// Session with which the new one must share a worker, because an end of that session will move here.
        beside: Option<MediaId>,
    },
    /// Adds an RTP end and binds its two sockets.
    AddEnd {
        /// Id of the new end; no other end of the session may have it.
        end: EndId,
        /// Sockets, codecs and timeouts of the end.
        spec: EndSpec,
    },
    /// Adds an agent and opens its socket. [`AgentEvent::Open`] or [`AgentEvent::Lost`] follows.
    AddAgent {
        /// Id of the new agent's end; no other end of the session may have it.
        end: EndId,
        /// Socket, protocol settings and counters of the agent.
        spec: Arc<AgentSpec>,
    },
    /// Adds a player of sounds, which is silent until it is wired.
    AddPlayer {
        /// Id of the new player; no other end of the session may have it.
        end: EndId,
        /// Sound, played from the moment the end is wired.
        sound: PlayerSound,
    },
    /// Makes a player play another sound from its beginning, instead of the rest of the last one. Its wires stay.
    Play {
        /// Id of the player.
        end: EndId,
        /// Sound to play from its beginning.
        sound: PlayerSound,
    },
    /// Makes a player play a sound from the position at which another process left the player of the same end; from the
    /// beginning if there was none.
    ResumePlay {
        /// Id of the player.
        end: EndId,
        /// Sound to play.
        sound: PlayerSound,
    },
    /// Attaches a listener (an agent, or one of [`MediaCommand::AddListener`]) to an RTP end, from now on: the track
    /// `inbound` is audio from the remote party, `outbound` audio to it from any feeder.
    Tap {
        /// RTP end that is tapped, usually that of the caller.
        of: EndId,
        /// End of the listener.
        listener: EndId,
        /// Audio of the end; replaces the earlier setting for this listener.
        audio: TapSpec,
    },
    /// Adds a listener of any kind, which receives the audio of its [`MediaCommand::Tap`] from now on. Ignored if
    /// the session has an end of this id.
    AddListener {
        /// Id of the listener; no other end of the session may have it.
        end: EndId,
        /// Kind of the listener, with its settings.
        spec: AudioListenerSpec,
    },
    /// Pauses or resumes the recording of a recorder.
    PauseRecorder {
        /// Id of the recorder.
        end: EndId,
        /// Treatment of the pause in the recording; `None` resumes.
        pause: Option<RecordingPause>,
    },
    /// Sends DTMF digits to an end's remote party in place of audio.
    Press {
        /// Id of the end that sends the digits to its remote party.
        end: EndId,
        /// Payload type and form of the digits.
        press: DigitFormat,
        /// Digits to send: `0` to `9`, `*`, `#`, `A` to `D`.
        digits: String,
        /// Duration of each digit, in milliseconds.
        ms: u16,
    },
    /// Reports digits to an agent that its caller has sent outside of the media, such as by SIP INFO.
    TellKeys {
        /// Id of the agent's end.
        end: EndId,
        /// Digits of the caller: `0` to `9`, `*`, `#`, `A` to `D`.
        digits: String,
    },
    /// Reports to an agent that the transfer of its caller failed; the caller stays with the agent.
    TransferFailed {
        /// Id of the agent's end.
        end: EndId,
        /// Transfer target as the agent requested it.
        target: String,
        /// Stable code of the reason for the failure.
        reason: &'static str,
        /// Status code of the SIP response, if there was one.
        code: Option<u16>,
    },
    /// Reports to an agent that the transfer target has taken its caller, and that the agent now coaches the target.
    TransferAccepted {
        /// Id of the agent's end.
        end: EndId,
        /// Transfer target as the agent requested it.
        target: String,
    },
    /// Sets the description of an end's remote party.
    SetRemote {
        /// Id of the end with this remote party.
        end: EndId,
        /// New description of the remote party.
        remote: RemoteSpec,
    },
    /// Wires `from` to `to`, one way. Replaces the previous wire from `from`, and the previous feeder of `to`.
    Wire {
        /// Id of the end that feeds the wire.
        from: EndId,
        /// Id of the end that the wire feeds.
        to: EndId,
        /// Codecs, digits and transcoding of the wire.
        wire: WireSpec,
    },
    /// Removes the wire that leads from `from`.
    Unwire {
        /// Id of the end that feeds the wire.
        from: EndId,
    },
    /// Moves a remote party's end with its sockets to another session, opened with `beside`. Its wires and listeners
    /// are not moved; streams, keys and counters continue. Performed by the I/O layer:
    /// [`Session::release_end`](crate::Session::release_end).
    MoveEnd {
        /// Id of the end in this session.
        end: EndId,
        /// Id of the session that receives the end.
        to: MediaId,
        /// Id of the end in the other session.
        named: EndId,
    },
    /// Removes an end: sockets are closed and the port is free again (reported by [`MediaEvent::EndClosed`]).
    RemoveEnd {
        /// Id of the end to remove.
        end: EndId,
    },
    /// Ends the session with all of its ends.
    Close,
}

/// Event that a media worker reports to signalling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaEvent {
    /// The end's sockets could not be bound; the port pair is in use. The end does not exist, and no
    /// [`MediaEvent::EndClosed`] follows.
    BindFailed {
        /// Id of the end that could not be added.
        end: EndId,
        /// Error text of the operating system.
        error: String,
    },
    /// The end's sockets are bound.
    Bound {
        /// Id of the end that is ready.
        end: EndId,
    },
    /// The latch has a winner: from now on only packets from this source count.
    Latched {
        /// Id of the end with the latch.
        end: EndId,
        /// Address and port that the RTP comes from.
        source: SocketAddr,
    },
    /// An end that should send has been silent for the idle timeout; reported once until its next packet.
    Idle {
        /// Id of the end that is silent.
        end: EndId,
    },
    /// An end that should send has sent nothing for [`UNHEARD_AFTER`](crate::limits::UNHEARD_AFTER); reported once
    /// until its remote party is described again.
    Unheard {
        /// Id of the end that is silent.
        end: EndId,
        /// Last unexpected source of packets.
        stranger: Option<SocketAddr>,
    },
    /// An end that should send has stopped its continuous stream for [`STOPPED_AFTER`](crate::limits::STOPPED_AFTER)
    /// while audio is sent to it; reported once until it sends again.
    Stopped {
        /// Id of the end that is silent.
        end: EndId,
        /// Time since the last packet from the end's remote party.
        silent: Duration,
    },
    /// An end's sockets are closed: its RTP port (as in its `bind`) is free.
    EndClosed {
        /// Id of the end that was closed.
        end: EndId,
        /// RTP port that is free again.
        port: u16,
    },
    /// Event of an agent, or of another end with a socket.
    Agent {
        /// Id of the agent's end.
        end: EndId,
        /// Event that the agent caused.
        event: AgentEvent,
    },
    /// Event of a recorder of the session.
    Recorder {
        /// Id of the recorder.
        end: EndId,
        /// Event that the recorder reports.
        event: RecorderEvent,
    },
    /// Verdict of an answering machine detector, or the expiry of its timeout. The detector remains in the session,
    /// inactive, until it is removed.
    Judged {
        /// Id of the detector.
        end: EndId,
        /// Kind of callee that was detected.
        verdict: DetectionVerdict,
    },
    /// A remote party has sent a digit, on a wire that reports digits to signalling instead of, or in addition to,
    /// forwarding them.
    Key {
        /// Id of the remote party's end.
        end: EndId,
        /// Digit: `0` to `9`, `*`, `#`, `A` to `D`.
        key: char,
        /// Duration of the digit in milliseconds; 0 if the digit has only begun.
        ms: u32,
    },
    /// A [`PlayerSound::Once`] was played to its end.
    Played {
        /// Id of the player.
        end: EndId,
    },
    /// The session has ended, and all of its ends were reported closed. Also reported without [`MediaCommand::Close`]
    /// if the worker had to give up the session.
    Closed,
}

/// Event of an agent, or of another end with a socket: a recogniser, a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// The socket is open, and the conversation has begun.
    Open,
    /// The agent has sent its first audio.
    Spoke,
    /// The agent could not be reached, or its socket failed. Its end remains in the session, silent, until it is
    /// removed.
    Lost(StreamLoss),
    /// The agent closed the socket with code 1000.
    Ended,
    /// A recogniser has recognised speech.
    Recognised(Transcript),
    /// The agent requests an action of signalling.
    Request(AgentRequest),
    /// Note for the call's trace: an ignored message, dropped frames, unplayed audio.
    Note {
        /// Text of the note.
        text: String,
        /// Whether the note is also written to the log.
        logged: bool,
    },
}

/// Event that a recorder reports to signalling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecorderEvent {
    /// The caller has been silent for the configured time; reported once until the next sound.
    Silent {
        /// Whether the caller had made a sound before.
        was_heard: bool,
    },
    /// The recorder has ended: it was removed, or the session is over.
    Ended {
        /// Number of frames of 20 ms in the file.
        frames: u64,
        /// First and last frame with a sound of the caller; `None` if the caller was silent.
        sound: Option<(u64, u64)>,
    },
}
