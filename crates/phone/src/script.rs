//! Script of a phone: how it places a call, how it answers one, and its behaviour in the call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use trunkgate_media::ClockEpoch;
use trunkgate_sdp::Srtp;
use trunkgate_sip::{Credentials, ExtraHeader, Flow, SipPartyId};

/// Call that a phone is to place.
#[derive(Debug, Clone)]
pub struct OutgoingCall {
    /// Flow on which the INVITE is sent.
    pub flow: Flow,
    /// Request-URI of the INVITE, and URI of its To header.
    pub uri: String,
    /// Value of the From header, without tag.
    pub from: String,
    /// Whether the INVITE carries an offer; otherwise the 2xx does, and the ACK carries the answer (RFC 3261 §13.2.1).
    pub offer: bool,
    /// Whether the offer is one part of a multipart body (RFC 5621).
    pub multipart: bool,
    /// Headers added to the INVITE, in order.
    pub headers: Vec<ExtraHeader>,
    /// Delay after which an unanswered INVITE is cancelled.
    pub cancel_after: Option<Duration>,
    /// Whether a 2xx is left without ACK.
    pub never_ack: bool,
    /// Behaviour of the phone after the answer.
    pub talk: CallScript,
}

impl OutgoingCall {
    /// Creates a plain call with an offer.
    pub fn new(flow: Flow, uri: impl Into<String>, from: impl Into<String>) -> OutgoingCall {
        OutgoingCall {
            flow,
            uri: uri.into(),
            from: from.into(),
            offer: true,
            multipart: false,
            headers: Vec::new(),
            cancel_after: None,
            never_ack: false,
            talk: CallScript::default(),
        }
    }
}

/// Response of a phone to an incoming call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerScript {
    /// Kind and timing of the response.
    pub manner: AnswerKind,
    /// Behaviour of the phone after the answer.
    pub talk: CallScript,
}

/// Kind of a phone's response to an INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerKind {
    /// Respond with 180, then 200.
    Ring {
        /// Delay from the INVITE to the 200.
        answer_after: Duration,
    },
    /// Respond with 183, a session description and early media, then 200.
    Early {
        /// Delay from the INVITE to the 200.
        answer_after: Duration,
    },
    /// Respond with 180, then this status code.
    Reject {
        /// Status code of the rejection.
        code: u16,
        /// Delay from INVITE to the rejection; zero omits the 180.
        after: Duration,
    },
    /// Respond with 503 and Retry-After immediately.
    Rest {
        /// Value of Retry-After, in seconds.
        seconds: u32,
    },
    /// Respond with 302 and these addresses as Contacts, for the called number (RFC 3261 §21.3.3).
    Redirect {
        /// Addresses of the Contacts in the redirection.
        to: [Option<SocketAddr>; 3],
    },
    /// Respond with 180 only.
    RingForever,
    /// Send no response to any request of the call.
    Silent,
    /// Send no response, not even 100, for a while, then 200.
    Late {
        /// Delay from the INVITE to the 200.
        answer_after: Duration,
    },
}

impl AnswerScript {
    /// Creates an answer that rings for `answer_after`, then sends 200 and never hangs up by itself.
    pub fn ring(answer_after: Duration) -> AnswerScript {
        AnswerScript::from_kind(AnswerKind::Ring { answer_after })
    }

    /// Creates an answer of this kind that never hangs up by itself.
    pub fn from_kind(manner: AnswerKind) -> AnswerScript {
        AnswerScript { manner, talk: CallScript::default() }
    }
}

/// Behaviour of a phone in an answered call; times count from the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallScript {
    /// Delay after which the phone hangs up; `None` leaves that to the remote party.
    pub hang_up_after: Option<Duration>,
    /// Delay after which a re-INVITE holds the call (RFC 3264 §8.4).
    pub hold_after: Option<Duration>,
    /// Delay after which a re-INVITE resumes the call.
    pub resume_after: Option<Duration>,
    /// Maximum number of frames sent; `None` for no limit.
    pub frames: Option<u32>,
    /// Audio sent instead of the tone, at 8 kHz, followed by silence.
    pub audio: Option<Arc<[i16]>>,
    /// DTMF digits sent as telephone-events from [`KEYS_AFTER`](crate::limits::KEYS_AFTER) frames on, if the remote
    /// party supports them: 0 to 9, `*`, `#`, A to D; `w` is a pause of 500 ms, `W` one of 1 s.
    pub keys: Option<Arc<str>>,
    /// Whether the audio of each received packet is emitted as [`PhoneOutput::Heard`](crate::PhoneOutput::Heard).
    pub overheard: bool,
    /// Whether received audio is transcoded; if so, [`PhoneCall::tone_analyzer`](crate::PhoneCall::tone_analyzer)
    /// evaluates it instead of the judge.
    pub by_ear: bool,
}

/// Settings of a test phone.
#[derive(Debug, Clone)]
pub struct PhoneConfig {
    /// Name, used as From and Contact user.
    pub name: String,
    /// Seed of all identifiers, tags and voices.
    pub seed: [u8; 32],
    /// Signalling address for Via and Contact.
    pub sip: SocketAddr,
    /// Media addresses, of which each call takes one.
    pub media: Vec<SocketAddr>,
    /// Codecs, in order, as rtpmap names.
    pub codecs: Vec<String>,
    /// SRTP mode; `Optional` offers keys under RTP/AVP (RFC 4568).
    pub srtp: Srtp,
    /// Interval between frames: 20 ms in real time, possibly longer in a simulation.
    pub frame_interval: Duration,
    /// Credentials required before a request is served.
    pub asks: Option<Credentials>,
    /// Time limits of a call; `None` for no limits.
    pub give_up: Option<CallTimeLimits>,
    /// Credentials that answer challenges.
    pub credentials: Option<Credentials>,
    /// Whether reliable provisional responses (RFC 3262) are supported, and sent if the caller supports them too.
    pub reliable: bool,
    /// Session timers (RFC 4028); `None` if not supported.
    pub sessions: Option<SessionTimerConfig>,
    /// Handling of REFER; `None` if transfers are not supported.
    pub transfers: Option<ReferResponse>,
    /// Time reference of RTCP reports; `None` if the phone sends none.
    pub reports: Option<ClockEpoch>,
}

impl PhoneConfig {
    /// Creates settings for PCMU and PCMA with 20 ms frames and the default time limits.
    pub fn new(name: impl Into<String>, seed: [u8; 32], sip: SocketAddr) -> PhoneConfig {
        PhoneConfig {
            name: name.into(),
            seed,
            sip,
            media: Vec::new(),
            codecs: vec!["PCMU".into(), "PCMA".into()],
            srtp: Srtp::Off,
            frame_interval: Duration::from_millis(20),
            asks: None,
            give_up: Some(CallTimeLimits::default()),
            credentials: None,
            reliable: false,
            sessions: None,
            transfers: None,
            reports: None,
        }
    }

    /// Party id of every peer; a phone does not distinguish them.
    pub(crate) const PARTY: SipPartyId = SipPartyId(0);
}

/// Time limits of a phone, so that every leg ends regardless of the remote party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTimeLimits {
    /// Maximum time without a final response, after which an outgoing INVITE is cancelled and an incoming one gets
    /// 480.
    pub no_final: Duration,
    /// Maximum duration of a call, after which the phone sends BYE.
    pub call: Duration,
}

impl Default for CallTimeLimits {
    fn default() -> CallTimeLimits {
        CallTimeLimits {
            no_final: Duration::from_secs(crate::limits::NO_FINAL_S),
            call: Duration::from_secs(crate::limits::CALL_S),
        }
    }
}

/// Session timers of a phone (RFC 4028).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimerConfig {
    /// Requested interval in seconds; 0 requests none but accepts one.
    pub seconds: u32,
    /// Minimum accepted interval in seconds; shorter ones are rejected with 422.
    pub least: u32,
    /// Whether the phone refreshes the session if it may choose.
    pub refreshes: bool,
    /// Whether refreshes use UPDATE instead of re-INVITE.
    pub by_update: bool,
    /// Whether the phone announces refreshes but never sends them.
    pub forgets: bool,
}

/// Time at which a phone leaves a call it has transferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveTime {
    /// Immediately after its REFER is accepted.
    AtOnce,
    /// After a notification that the target has answered.
    OnceDone,
    /// Never; the phone waits for a BYE.
    Never,
}

/// Response of a phone to a REFER, and the progress that it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferResponse {
    /// The phone rejects the REFER with 603.
    Refuses,
    /// The phone accepts the REFER with 202, and reports this status code 2 s later.
    Tells(u16),
    /// The phone accepts the REFER with 202, and reports only 100.
    Silent,
}

/// Request that a phone sends in an answered call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InCallRequest {
    /// INFO with a DTMF digit.
    Key,
    /// UPDATE without a description, as a refresh.
    Refresh,
    /// Re-INVITE without an offer: the 2xx carries the offer, the ACK the answer (RFC 3261 §14.1).
    Offerless,
    /// Re-INVITE that holds the call.
    Hold,
    /// Re-INVITE that resumes the call.
    Resume,
    /// UPDATE with an offer that holds or resumes the call (RFC 3311), also before the answer if a provisional
    /// response was acknowledged.
    Offer {
        /// Whether the UPDATE holds the call.
        holds: bool,
    },
    /// REFER that asks to connect the other party with the called number.
    Transfer(LeaveTime),
}
