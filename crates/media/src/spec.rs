//! The vocabulary between signalling and media: plain data, so that it crosses threads, fits a snapshot, and says all
//! that a kernel table would need.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use trunkgate_agent::{AgentRequest, Loss, Settings, TrackName, TrackSet, Transcript};
use trunkgate_conference::{FrameReceiver, FrameSender, Rate};
use trunkgate_detection::{Settings as DetectionSettings, Verdict};
use trunkgate_terms::{RecordingId, RecordingPause, UrlOrigin};

use crate::codec::Coding;
use crate::counters::{AgentQueue, EndCounters, LegTurns};
use crate::dtmf::{PartedSpec, PressSpec};
use crate::mos::Codec;
use crate::srtp::SrtpSpec;
use crate::transcode::TranscodeSpec;

/// One media session: a call's media. Numbered by the gateway; one worker has it for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct MediaId(pub u64);

/// One end of a session: one stream of one leg. Chosen by the gateway, unique in its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct EndId(pub u16);

/// An end to be made: its sockets are bound at once, before its far side is known.
#[derive(Debug, Clone)]
pub struct EndSpec {
    /// Local address to bind (may be unspecified) with the RTP port, even; RTCP is the next port.
    pub bind: SocketAddr,
    /// Counters, shared with their readers; relaxed atomics, so reading never stops the worker.
    pub counters: Arc<EndCounters>,
}

/// Learning of a remote party's address from packets (`[media] latch`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatchMode {
    /// One source of the expected addresses counts, the announced address and port before any other, until a
    /// negotiation opens the latch: the rules are in [`latch`](crate::latch).
    #[default]
    Strict,
    /// As strict, and another expected source may take over from any winner that has been silent
    /// ([`RELEARN_SILENCE`](crate::limits::RELEARN_SILENCE)).
    Relearn,
    /// Nothing: only the described address and port count.
    Off,
}

/// Description of an end's remote party, as negotiated. Each new one unlocks the latch if `relatch` is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RemoteSpec {
    /// Destination of RTP until the latch has learned better; `None`: nothing is sent (hold by 0.0.0.0).
    pub rtp: Option<SocketAddr>,
    /// Destination of RTCP.
    pub rtcp: Option<SocketAddr>,
    /// The address of ours that was announced to it.
    #[serde(default)]
    pub shown: Option<IpAddr>,
    /// Addresses (any port) that RTP and RTCP may come from: the SDP address; the signalling address where the SDP
    /// address is private or differs from it. Canonical.
    pub expected: Vec<IpAddr>,
    /// Networks it may come from as well (`media_from`).
    pub expected_networks: Vec<IpNet>,
    /// Learning of its address from its packets.
    #[serde(default)]
    pub latch: LatchMode,
    /// Whether RTCP shares the ports of RTP (RFC 5761): it is sent from the RTP socket to where RTP goes.
    #[serde(default)]
    pub rtcp_mux: bool,
    /// Whether the far side may send: packets are dropped otherwise.
    pub may_send: bool,
    /// Whether we send to it.
    pub may_receive: bool,
    /// Whether nothing is sent to the announced addresses: nothing has proven yet that the far side is there. Other
    /// expected sources are those of its signalling and of its trunk, and are sent to once RTP comes from there.
    #[serde(default)]
    pub withheld: bool,
    /// Whether the `o=` version changed: the latch is opened again.
    pub relatch: bool,
    /// Whether a silence of `idle_timeout_ms` is reported: set while the remote party should send.
    pub watch_idle: bool,
    /// Keys of its packets; `None`: plain RTP. What does not authenticate, plain packets too, is dropped and
    /// counted, never latched to, and never ends a call.
    #[serde(default)]
    pub srtp: Option<Box<SrtpSpec>>,
}

impl RemoteSpec {
    /// Returns whether nothing is sent to an address: it is announced and not proven.
    pub fn withholds(&self, to: IpAddr) -> bool {
        self.withheld && [self.rtp, self.rtcp].into_iter().flatten().any(|announced| announced.ip() == to)
    }
}

/// A one-way connection from one end to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WireSpec {
    /// Payload numbers: (as the source sends, as the sink expects). Others are dropped and counted.
    pub payloads: Vec<(u8, u8)>,
    /// RTP clocks: (payload number as the source sends, Hz). Not written: 8000 Hz. Jitter is measured by them.
    pub clocks: Vec<(u8, u32)>,
    /// The RTP end's audio, where the other end is an agent or plays. `payloads` then holds one pair, whose RTP side is
    /// the audio's number.
    #[serde(default)]
    pub coding: Coding,
    /// The source's telephone-event number (RFC 4733): towards an agent, which is sent the digits, or towards an RTP end, to which they
    /// pass as they are, by the number in `payloads`. Signalling is told of each digit when it begins, with a length of 0 ms.
    #[serde(default)]
    pub keys: Option<u8>,
    /// Whether every datagram passes as it is: what is not RTP (T.38 over UDPTL). `payloads` is empty then.
    #[serde(default)]
    pub verbatim: bool,
    /// Codec of the source's audio, where its quality can be estimated.
    #[serde(default)]
    pub codec: Option<Codec>,
    /// Audio that is converted, where the two sides speak different codecs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcode: Option<Box<TranscodeSpec>>,
    /// Passing on of the source's digits, where the two sides have different forms of DTMF.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parted: Option<Box<PartedSpec>>,
}

impl WireSpec {
    /// Whether tones in its audio are keys.
    pub(crate) fn listens_for_tones(&self) -> bool {
        self.parted.as_ref().is_some_and(|parted| parted.tones)
    }
}

/// Audio that a listener hears of an RTP end: payload numbers, and the codec of each. Numbers may differ by direction,
/// and a far side may change between those agreed at any packet. Of other payloads it hears silence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TapSpec {
    /// Of packets that come from the far side.
    pub inbound: Vec<(u8, Coding)>,
    /// Of packets that are sent to it.
    pub outbound: Vec<(u8, Coding)>,
}

impl TapSpec {
    /// One number, the same both ways.
    pub fn both(number: u8, coding: Coding) -> TapSpec {
        TapSpec { inbound: vec![(number, coding)], outbound: vec![(number, coding)] }
    }
}

/// Sound of an end that plays, μ-law at 8 kHz; sent as the wire from it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sound {
    /// The ringback tone of the edge's own: 440 Hz and 480 Hz, 2 s on, 4 s off, again and again.
    Ringback,
    /// These samples once, then [`Event::Played`], then silence.
    Once(Arc<[u8]>),
    /// Silence, in a stream of its own.
    Silence,
    /// Hold audio of a caller that waits.
    Hold(HoldSound),
}

/// Hold audio: shared by everybody who hears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoldSound {
    /// Heard once, at the beginning.
    pub first: Option<Arc<[u8]>>,
    /// Heard again and again after that, its last sample followed by its first; `None`: the ringback tone.
    pub music: Option<Arc<[u8]>>,
}

/// An agent's socket: what the shell needs to open it.
#[derive(Clone, PartialEq, Eq)]
pub struct SocketSpec {
    /// `ws://` or `wss://`.
    pub url: String,
    /// Its origin.
    pub origin: UrlOrigin,
    /// Signs the handshake (X-Twilio-Signature).
    pub auth_token: Option<String>,
    /// PEM certificates trusted instead of the system's.
    pub ca: Option<Arc<[u8]>>,
    /// Networks that a `ws://` URL may lead to, beyond loopback: its host name is only known when it is looked up.
    /// Any other address is [`Loss::Unreachable`].
    pub plain_networks: Vec<IpNet>,
    /// `traceparent` of the handshake (W3C Trace Context §3.2), where the agent's spans may join a trace of ours.
    pub traceparent: Option<String>,
    /// Token of the handshake (`Authorization: Bearer`).
    pub bearer: Option<String>,
    /// Whether the URL's query is sent, which Twilio leaves out.
    pub sends_query: bool,
}

impl std::fmt::Debug for SocketSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A query may hold a secret.
        let place = self.url.split(['?', '#']).next();
        f.debug_struct("SocketSpec").field("url", &place).finish_non_exhaustive()
    }
}

/// An end that is an agent: it talks and hears where a wire leads to it and from it; a listener hears by
/// [`Command::Tap`] only.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// The conversation.
    pub settings: Settings,
    /// The socket.
    pub socket: SocketSpec,
    /// Counters of packets made for the remote party, and of those that came for it.
    pub counters: Arc<EndCounters>,
    /// Gauges of waiting audio; not of a listener that gets plain RTP.
    pub queue: Arc<AgentQueue>,
    /// Times of its turns; `None` of a listener.
    pub turns: Option<Arc<LegTurns>>,
    /// Time in which its audio fades out after a `clear`, 20 ms at most; zero: not at all.
    pub clear_fade: Duration,
    /// Gets copies as plain RTP at the address in its `rtp://` URL, and no conversation.
    pub raw: Option<RawSpec>,
}

/// The sources of a listener that gets plain RTP, one for each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSpec {
    /// SSRC of what the far side of the tapped end says.
    pub inbound: u32,
    /// SSRC of what it hears.
    pub outbound: u32,
}

/// An end that records what it hears by [`Command::Tap`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecorderSpec {
    /// The recording that it makes.
    pub recording: RecordingId,
    /// Directions that are recorded; the other one is silence.
    pub tracks: TrackSet,
    /// Silence of the caller that is reported by [`RecorderEvent::Silent`].
    pub silence: Option<Duration>,
}

/// An end that hears by [`Command::Tap`] who has answered a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgeSpec {
    /// The direction that it hears: what comes from the remote party, or what leaves to it.
    pub track: TrackName,
    /// Thresholds.
    pub settings: DetectionSettings,
}

/// An end that is a party's seat in a conference: rings to the mixer and from it.
#[derive(Debug, Clone)]
pub struct SeatSpec {
    /// Taken by the session that the seat is added to.
    rings: Arc<Mutex<Option<(FrameSender, FrameReceiver)>>>,
    ticks_at: Instant,
}

impl SeatSpec {
    /// Creates the description of a seat: what the party says, what it hears, and the time of a tick of the mixer. `None` where
    /// the rings have different rates, or one that no stream has.
    pub fn new(to_mixer: FrameSender, from_mixer: FrameReceiver, ticks_at: Instant) -> Option<SeatSpec> {
        let fits = to_mixer.rate() == from_mixer.rate() && to_mixer.rate() != Rate::Full;
        fits.then(|| SeatSpec { rings: Arc::new(Mutex::new(Some((to_mixer, from_mixer)))), ticks_at })
    }

    /// Takes the rings, once.
    pub(crate) fn take(&self) -> Option<(FrameSender, FrameReceiver)> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns the time of a tick of the mixer.
    pub(crate) fn ticks_at(&self) -> Instant {
        self.ticks_at
    }
}

/// Input of an agent's socket, which the shell hands to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentInput<'a> {
    /// The socket is open: the handshake was accepted.
    Opened,
    /// There is no socket, but the address for its copies.
    Found(SocketAddr),
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
}

/// A command of signalling to a worker. Never waited for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Begins a session.
    Open {
        /// The idle timeout, in milliseconds; 0: none.
        idle_timeout_ms: u64,
        /// Random key that names and numbers in RTCP are made with, so that no name can be found by trying.
        names_key: [u8; 16],
        /// Session whose worker it is to share, since an end of that one moves to it.
        beside: Option<MediaId>,
    },
    /// Adds an end and binds its two sockets.
    AddEnd {
        /// The name of the end.
        end: EndId,
        /// The description of the end.
        spec: EndSpec,
    },
    /// Adds an end that is an agent, and opens its socket. [`AgentEvent::Open`] or [`AgentEvent::Lost`] follows.
    AddAgent {
        /// The name of the end.
        end: EndId,
        /// The description of the end.
        spec: Arc<AgentSpec>,
    },
    /// Adds an end that plays.
    AddPlayer {
        /// The name of the end.
        end: EndId,
        /// The sound, played from when the end is wired.
        sound: Sound,
    },
    /// Lets an end that plays play another sound from its beginning, instead of what is left of the last one. Its wires stay.
    Play {
        /// The name of the end.
        end: EndId,
        /// The sound.
        sound: Sound,
    },
    /// Lets the agent, recorder, streamer or seat `listener` hear an RTP end, from now to the end: what comes from its far side (track `inbound`),
    /// and what is sent to it, by any feeder (`outbound`).
    Tap {
        /// The end that is heard: the caller's.
        of: EndId,
        /// The end that hears.
        listener: EndId,
        /// The audio, instead of what the agent heard of this end before.
        audio: TapSpec,
    },
    /// Adds an end that records, from now on, what it hears by [`Command::Tap`].
    AddRecorder {
        /// The name of the end.
        end: EndId,
        /// The description of the end.
        spec: RecorderSpec,
    },
    /// Pauses a recorder, or lets it go on.
    PauseRecorder {
        /// The recorder.
        end: EndId,
        /// What the recording has meanwhile; `None`: it goes on.
        pause: Option<RecordingPause>,
    },
    /// Adds an end that hears a direction of what it is tapped to by [`Command::Tap`], and feeds the end that it is wired to with it: the
    /// stream of a recording server.
    AddStreamer {
        /// The name of the end.
        end: EndId,
        /// The direction.
        track: TrackName,
    },
    /// Adds an end that says by [`Event::Judged`] who has answered, from what it hears by [`Command::Tap`] from now on.
    AddJudge {
        /// The name of the end.
        end: EndId,
        /// The description of the end.
        spec: JudgeSpec,
    },
    /// Adds an end that is a party's seat in a conference: it hears by [`Command::Tap`] what comes from the party, and feeds the end
    /// that it is wired to with what the party hears of the conference.
    AddSeat {
        /// The name of the end.
        end: EndId,
        /// The description of the end.
        spec: SeatSpec,
    },
    /// Sender keys towards an end's far side, in the place of audio.
    Press {
        /// The end.
        end: EndId,
        /// The form.
        press: PressSpec,
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        digits: String,
        /// The time that each lasts, in milliseconds.
        ms: u16,
    },
    /// Tells an agent of keys that its caller has pressed beside its media.
    TellKeys {
        /// The agent.
        end: EndId,
        /// As above.
        digits: String,
    },
    /// Tells an agent that the transfer of its caller was not answered: the caller stays.
    TransferFailed {
        /// The agent's end.
        end: EndId,
        /// The target, as it was asked for.
        target: String,
        /// A stable word for the reason.
        reason: &'static str,
        /// The status code of the answer, where it was one.
        code: Option<u16>,
    },
    /// Tells an agent that a party has taken its caller, and that it coaches that party.
    TransferAccepted {
        /// The agent's end.
        end: EndId,
        /// The target, as it was asked for.
        target: String,
    },
    /// Says where an end's far side is.
    SetRemote {
        /// The end.
        end: EndId,
        /// The remote party.
        remote: RemoteSpec,
    },
    /// Connects `from` to `to`, one way, instead of what `from` was connected to and of what fed `to` before.
    Wire {
        /// Source.
        from: EndId,
        /// Sink.
        to: EndId,
        /// The form.
        wire: WireSpec,
    },
    /// Disconnects `from`.
    Unwire {
        /// Source.
        from: EndId,
    },
    /// Moves an end of a remote party, with its sockets, to a session that was opened beside this one. Wires and listeners of the end stay
    /// behind; its streams, keys and counters go on. Carried out by the shell: [`Session::release_end`](crate::Session::release_end).
    MoveEnd {
        /// The end.
        end: EndId,
        /// The other session.
        to: MediaId,
        /// The name of the end there.
        named: EndId,
    },
    /// Removes an end: sockets closed, port free (reported by [`Event::EndClosed`]).
    RemoveEnd {
        /// The end.
        end: EndId,
    },
    /// Ends the session and all of its ends.
    Close,
}

/// An event that a worker reports to signalling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The end's sockets could not be bound; the port pair is in use elsewhere. The end does not exist: no
    /// [`Event::EndClosed`] follows.
    BindFailed {
        /// The end.
        end: EndId,
        /// The system's text.
        error: String,
    },
    /// The end's sockets are bound.
    Bound {
        /// The end.
        end: EndId,
    },
    /// The first packet from an expected source: from now on only this one counts.
    Latched {
        /// The end.
        end: EndId,
        /// The source of its RTP.
        source: SocketAddr,
    },
    /// An end that should send has been silent for the session's idle timeout; reported once until it speaks again.
    Idle {
        /// The end.
        end: EndId,
    },
    /// An end that should send has sent nothing for [`UNHEARD_AFTER`](crate::limits::UNHEARD_AFTER) since it should;
    /// reported once until its remote party is described again.
    Unheard {
        /// The end.
        end: EndId,
        /// The last source of packets that is not expected.
        stranger: Option<SocketAddr>,
    },
    /// An end that should send has stopped its continuous stream for [`STOPPED_AFTER`](crate::limits::STOPPED_AFTER) while
    /// something is sent to it; reported once until it sends again.
    Stopped {
        /// The end.
        end: EndId,
        /// Time since its last packet.
        silent: Duration,
    },
    /// An end's sockets are closed: its RTP port (as in its `bind`) is free.
    EndClosed {
        /// The end.
        end: EndId,
        /// The RTP port.
        port: u16,
    },
    /// An agent, or another end with a socket, has an event.
    Agent {
        /// The end.
        end: EndId,
        /// The event.
        event: AgentEvent,
    },
    /// A recorder has an event.
    Recorder {
        /// The recorder.
        end: EndId,
        /// The event.
        event: RecorderEvent,
    },
    /// A judge knows who has answered, or its time is over; its end stays, deaf, until it is removed.
    Judged {
        /// The judge.
        end: EndId,
        /// The verdict.
        verdict: Verdict,
    },
    /// A remote party has pressed a key, on a wire that passes keys to signalling.
    Key {
        /// The end of the remote party.
        end: EndId,
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        key: char,
        /// The time that it was pressed, in milliseconds, as far as is known.
        ms: u32,
    },
    /// A [`Sound::Once`] has been heard to its end.
    Played {
        /// The end.
        end: EndId,
    },
    /// The session is gone, all of its ends were reported closed before. Comes without [`Command::Close`] where the
    /// worker had to give the session up.
    Closed,
}

/// An event of an agent, or of another end with a socket: a recogniser, a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// Its socket is open: the conversation has begun.
    Open,
    /// It has sent audio for the first time.
    Spoke,
    /// It could not be reached, or is lost; its end stays, silent, until it is removed.
    Lost(Loss),
    /// It closed with 1000.
    Ended,
    /// A recogniser has understood something.
    Recognised(Transcript),
    /// It has a request to the call.
    Request(AgentRequest),
    /// For the call's trace: a message that was not acted upon, frames dropped, audio that was not played.
    Note {
        /// The sentence.
        text: String,
        /// Whether the log is to have it, too.
        logged: bool,
    },
}

/// An event of a recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecorderEvent {
    /// The caller has been silent for as long as the recorder reports; reported once until a sound comes.
    Silent {
        /// Whether the recording has a sound.
        was_heard: bool,
    },
    /// The recorder has ended: it was removed, or the session is over.
    Ended {
        /// Frames of 20 ms in its file.
        frames: u64,
        /// The first and the last of them with a sound; `None`: all of it is silence.
        sound: Option<(u64, u64)>,
    },
}
