//! The vocabulary between signalling and media: plain data, so that it crosses threads, fits a snapshot, and says all
//! that a kernel table would need.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use trunkgate_agent::{Loss, Settings};

use crate::counters::{AgentQueue, EndCounters};
use crate::mos::Codec;
use crate::srtp::SrtpKey;
use crate::transcode::{Coding, TranscodeSpec};

/// One media session: a call's media. Numbered by the gateway; its worker is `id % workers` for its whole life.
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
    /// What is counted, shared with whoever reads it; relaxed atomics, so reading never stops the worker.
    pub counters: Arc<EndCounters>,
}

/// What an end learns of its far side's address from packets (`[media] latch`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatchMode {
    /// One source of the expected addresses counts, the announced address and port before any other, until a negotiation
    /// opens the latch: the rules are in [`latch`](crate::latch).
    #[default]
    Strict,
    /// The same, and another expected source may take over from any winner that has been silent
    /// ([`RELEARN_SILENCE`](crate::limits::RELEARN_SILENCE)).
    Relearn,
    /// Nothing: only the described address and port count.
    Off,
}

/// What a negotiation says of an end's far side. Each new one unlocks the latch if `relatch` is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RemoteSpec {
    /// Where RTP goes until the latch has learned better; `None`: nothing is sent (hold by 0.0.0.0).
    pub rtp: Option<SocketAddr>,
    /// Where RTCP goes.
    pub rtcp: Option<SocketAddr>,
    /// The address of ours that it was told to send to.
    #[serde(default)]
    pub shown: Option<IpAddr>,
    /// Addresses (any port) that RTP and RTCP may come from: the SDP address; the signalling address where the SDP
    /// address is private or differs from it. Canonical.
    pub expected: Vec<IpAddr>,
    /// Networks it may come from as well (`media_from`).
    pub expected_networks: Vec<IpNet>,
    /// What is learned from its packets.
    #[serde(default)]
    pub latch: LatchMode,
    /// Whether RTCP shares the ports of RTP (RFC 5761): it is sent from the RTP socket to where RTP goes.
    #[serde(default)]
    pub rtcp_mux: bool,
    /// Whether the far side may send: packets are dropped otherwise.
    pub may_send: bool,
    /// Whether we send to it.
    pub may_receive: bool,
    /// Whether nothing is sent to the announced addresses: nothing has proven yet that the far side is there. Other expected
    /// sources are those of its signalling and of its trunk, and are sent to once RTP comes from there.
    #[serde(default)]
    pub withheld: bool,
    /// Whether the `o=` version changed: the latch is opened anew.
    pub relatch: bool,
    /// Whether a silence of `idle_timeout_ms` is to be told: set while the far side should send.
    pub watch_idle: bool,
    /// How its packets are encrypted; `None`: plain RTP. What does not authenticate, plain packets too, is dropped and
    /// counted, never latched to, and never ends a call.
    #[serde(default)]
    pub srtp: Option<SrtpSpec>,
}

impl RemoteSpec {
    /// Returns whether nothing is sent to an address: it is announced and not proven.
    pub fn withholds(&self, to: IpAddr) -> bool {
        self.withheld && [self.rtp, self.rtcp].into_iter().flatten().any(|announced| announced.ip() == to)
    }
}

/// The keys of an end, one for each direction. The same keys again keep roll-over counters and replay windows. Under a
/// changed key the counters go on as well (RFC 3711 §3.3.1); those of what we send begin at zero where the far side's
/// address changed along with it (RFC 4568 §7.1.4), those of what it sends may. No two ends may have the same `send`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SrtpSpec {
    /// What we send with.
    pub send: SrtpKey,
    /// What the far side sends with.
    pub receive: SrtpKey,
    /// How often the far side's numbers may have begun again before anything comes by this end, where it sent by another
    /// one before, which knew its counter: [`SRTP_ROLLED`](crate::limits::SRTP_ROLLED) at most.
    #[serde(default)]
    pub rolled: u32,
}

/// A one-way connection from one end to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WireSpec {
    /// Payload numbers: (as the source sends, as the sink expects). Others are dropped and counted.
    pub payloads: Vec<(u8, u8)>,
    /// RTP clocks: (payload number as the source sends, Hz). Not written: 8000 Hz. Jitter is measured by them.
    pub clocks: Vec<(u8, u32)>,
    /// Where one of the two is an agent or plays: the RTP end's audio. `payloads` then holds one pair, whose RTP side is the
    /// audio's number.
    #[serde(default)]
    pub coding: Coding,
    /// Towards an agent: the RTP end's telephone-event number (RFC 4733).
    #[serde(default)]
    pub keys: Option<u8>,
    /// Whether every datagram passes as it is: what is not RTP (T.38 over UDPTL). `payloads` is empty then.
    #[serde(default)]
    pub verbatim: bool,
    /// What the source's audio is, where its quality can be told.
    #[serde(default)]
    pub codec: Option<Codec>,
    /// What of it is converted, where the two sides speak different codecs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcode: Option<Box<TranscodeSpec>>,
    /// What becomes of the source's keys, where the two sides press them in different ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parted: Option<Box<PartedSpec>>,
}

impl WireSpec {
    /// Whether tones in its audio are keys.
    pub(crate) fn listens_for_tones(&self) -> bool {
        self.parted.as_ref().is_some_and(|parted| parted.tones)
    }
}

/// A wire between sides that press keys in different ways: those of the source are taken out of its media.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PartedSpec {
    /// Telephone-events as the source sends them: payload number and clock (Hz).
    pub events: Vec<(u8, u32)>,
    /// Whether tones in its audio are keys. Only what the wire converts, or what goes to an agent, is looked at.
    #[serde(default)]
    pub tones: bool,
    /// How they are pressed towards the sink; `None`: signalling is told, by [`Event::Key`].
    pub press: Option<PressSpec>,
}

/// How a key is pressed towards a far side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PressSpec {
    /// As a telephone-event (RFC 4733).
    Event {
        /// The far side's payload number.
        payload: u8,
        /// Its clock, in Hz: that of the audio.
        clock_hz: u32,
    },
    /// As a tone in the audio (ITU-T Q.23), where another far side feeds the end as this; else in the edge's own stream.
    Tone {
        /// The audio's payload number.
        payload: u8,
        /// What it is.
        coding: Coding,
    },
}

/// What a listener hears of an RTP end: payload numbers, and the audio of each. Numbers may differ by direction, and a
/// far side may change between those agreed at any packet. Of other payloads it hears silence.
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

/// What an end that plays has to play, μ-law at 8 kHz; sent as the wire from it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sound {
    /// The ringback tone of the edge's own: 440 Hz and 480 Hz, 2 s on, 4 s off, again and again.
    Ringback,
    /// These samples once, then [`Event::Played`].
    Once(Arc<[u8]>),
    /// What a caller hears who waits.
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
    /// Signs the handshake (X-Twilio-Signature).
    pub auth_token: Option<String>,
    /// PEM certificates trusted instead of the system's.
    pub ca: Option<Arc<[u8]>>,
    /// Besides loopback, the networks that a `ws://` URL may lead to: its host name is only known when it is looked up.
    /// Any other address is [`Loss::Unreachable`].
    pub plain_networks: Vec<IpNet>,
    /// `traceparent` of the handshake (W3C Trace Context §3.2), where the agent's spans may join a trace of ours.
    pub traceparent: Option<String>,
}

impl std::fmt::Debug for SocketSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketSpec").field("url", &self.url).finish_non_exhaustive()
    }
}

/// An end that is an agent: it talks and hears where a wire leads to it and from it; a listener hears by
/// [`Command::Tap`] only.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// The conversation.
    pub settings: Settings,
    /// Its socket.
    pub socket: SocketSpec,
    /// What is counted: packets made for the far side, and those that came for it.
    pub counters: Arc<EndCounters>,
    /// What waits; not of one that gets plain RTP.
    pub queue: Arc<AgentQueue>,
    /// How long what it was saying fades out after a `clear`, 20 ms at most; zero: not at all.
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

/// What an agent's socket says: the shell's to tell the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentInput<'a> {
    /// It is open: the handshake was accepted.
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
    /// It could not be opened, or broke.
    Lost(Loss),
}

/// What signalling asks of a worker. Never waited for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Begins a session.
    Open {
        /// Its idle timeout, in milliseconds; 0: none.
        idle_timeout_ms: u64,
        /// Random: what names and numbers in RTCP are made with, so that nobody finds the names by trying.
        names_key: [u8; 16],
    },
    /// Adds an end and binds its two sockets.
    AddEnd {
        /// Its name.
        end: EndId,
        /// What it is.
        spec: EndSpec,
    },
    /// Adds an end that is an agent, and opens its socket. [`Event::AgentOpen`] or [`Event::AgentLost`] follows.
    AddAgent {
        /// Its name.
        end: EndId,
        /// What it is.
        spec: Arc<AgentSpec>,
    },
    /// Adds an end that plays.
    AddPlayer {
        /// Its name.
        end: EndId,
        /// What it plays, from when it is wired.
        sound: Sound,
    },
    /// Lets the agent `listener` hear an RTP end, from now to the end: what comes from its far side (track `inbound`),
    /// and what is sent to it, whoever feeds it (`outbound`).
    Tap {
        /// The end that is heard: the caller's.
        of: EndId,
        /// The agent that hears.
        listener: EndId,
        /// What it hears, instead of what it heard of this end before.
        audio: TapSpec,
    },
    /// Presses keys towards an end's far side, in the place of audio.
    Press {
        /// The end.
        end: EndId,
        /// How.
        press: PressSpec,
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        digits: String,
        /// How long each, in milliseconds.
        ms: u16,
    },
    /// Tells an agent of keys that its caller has pressed beside its media.
    TellKeys {
        /// The agent.
        end: EndId,
        /// As above.
        digits: String,
    },
    /// Tells an agent that nobody has answered where its caller was to go: it stays.
    TransferFailed {
        /// The agent's end.
        end: EndId,
        /// Where, as it was asked for.
        target: String,
        /// Why: a stable word.
        reason: &'static str,
        /// The status code of the answer, where it was one.
        code: Option<u16>,
    },
    /// Says where an end's far side is.
    SetRemote {
        /// The end.
        end: EndId,
        /// Its far side.
        remote: RemoteSpec,
    },
    /// Connects `from` to `to`, one way, instead of what `from` was connected to and of what fed `to` before.
    Wire {
        /// Source.
        from: EndId,
        /// Sink.
        to: EndId,
        /// How.
        wire: WireSpec,
    },
    /// Disconnects `from`.
    Unwire {
        /// Source.
        from: EndId,
    },
    /// Removes an end: sockets closed, port free (told by [`Event::EndClosed`]).
    RemoveEnd {
        /// The end.
        end: EndId,
    },
    /// Ends the session and all of its ends.
    Close,
}

/// What a worker tells signalling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The end's sockets could not be bound; the port pair is not usable (somebody else's). The end does not exist: no
    /// [`Event::EndClosed`] follows.
    BindFailed {
        /// The end.
        end: EndId,
        /// Why: the system's text.
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
        /// Where its RTP comes from.
        source: SocketAddr,
    },
    /// An end that should send has been silent for the session's idle timeout; told once until it speaks again.
    Idle {
        /// The end.
        end: EndId,
    },
    /// An end that should send has sent nothing for [`UNHEARD_AFTER`](crate::limits::UNHEARD_AFTER) since it should; told
    /// once until its far side is described anew.
    Unheard {
        /// The end.
        end: EndId,
        /// Who sent to it instead, last: not an expected source.
        stranger: Option<SocketAddr>,
    },
    /// An end's sockets are closed: its RTP port (as in its `bind`) is free.
    EndClosed {
        /// The end.
        end: EndId,
        /// Its RTP port.
        port: u16,
    },
    /// The agent's socket is open: the conversation has begun.
    AgentOpen {
        /// The end.
        end: EndId,
    },
    /// The agent could not be reached, or is lost; its end stays, silent, until it is removed.
    AgentLost {
        /// The end.
        end: EndId,
        /// How.
        loss: Loss,
    },
    /// The agent closed with 1000.
    AgentEnded {
        /// The end.
        end: EndId,
    },
    /// The agent wants something of the call.
    AgentWish {
        /// The end.
        end: EndId,
        /// What.
        wish: AgentWish,
    },
    /// For the call's trace: a message that was not acted upon, frames dropped, audio that was not played.
    AgentNote {
        /// The end.
        end: EndId,
        /// The sentence.
        text: String,
        /// Whether the log is to have it, too.
        logged: bool,
    },
    /// A far side has pressed a key on a wire that says that signalling is told.
    Key {
        /// Its end.
        end: EndId,
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        key: char,
        /// How long, in milliseconds, as far as is known.
        ms: u32,
    },
    /// A [`Sound::Once`] has been heard to its end.
    Played {
        /// The end.
        end: EndId,
    },
    /// The session is gone, all of its ends were told closed before. Comes without [`Command::Close`] where the worker
    /// had to give the session up.
    Closed,
}

/// What an agent may want of its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentWish {
    /// The caller is to go to this target.
    Transfer(String),
    /// The same once somebody answers there; until then it stays with the agent.
    Consult(String),
    /// The call is to end.
    Hangup,
    /// Digits to press towards the caller.
    Dtmf(String),
}
