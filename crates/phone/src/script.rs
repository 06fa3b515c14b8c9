//! What a phone is told to do: how to place a call, how to answer one, how to behave in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use trunkgate_media::Epoch;
use trunkgate_sdp::Srtp;
use trunkgate_sip::{Credentials, Extra, Flow, Party};

/// A call to place.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Where the INVITE goes.
    pub flow: Flow,
    /// Request-URI and To.
    pub uri: String,
    /// From, without tag.
    pub from: String,
    /// Whether the INVITE offers; without, the 2xx does and the ACK answers (RFC 3261 §13.2.1).
    pub offer: bool,
    /// Whether the offer is one part of a multipart body (RFC 5621).
    pub multipart: bool,
    /// Further headers.
    pub headers: Vec<Extra>,
    /// CANCEL so long after the INVITE, if there is no final answer yet.
    pub cancel_after: Option<Duration>,
    /// Whether a 2xx is left without ACK.
    pub never_ack: bool,
    /// What happens once it is answered.
    pub talk: Talk,
}

impl Dial {
    /// A plain call with an offer.
    pub fn new(flow: Flow, uri: impl Into<String>, from: impl Into<String>) -> Dial {
        Dial {
            flow,
            uri: uri.into(),
            from: from.into(),
            offer: true,
            multipart: false,
            headers: Vec::new(),
            cancel_after: None,
            never_ack: false,
            talk: Talk::default(),
        }
    }
}

/// How a call is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The way.
    pub manner: Manner,
    /// What happens once it is answered.
    pub talk: Talk,
}

/// The ways to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// 180, then 200 after so long.
    Ring {
        /// From INVITE to 200.
        answer_after: Duration,
    },
    /// 183 with a session description and audio at once, then 200.
    Early {
        /// From INVITE to 200.
        answer_after: Duration,
    },
    /// 180, then this code.
    Reject {
        /// Status code.
        code: u16,
        /// From INVITE to the answer; zero: no 180 before it.
        after: Duration,
    },
    /// 503 at once, with Retry-After in seconds.
    Rest {
        /// For how long.
        seconds: u32,
    },
    /// 302 with these addresses as Contacts, for the number that was called (RFC 3261 §21.3.3).
    Redirect {
        /// Where else.
        to: [Option<SocketAddr>; 3],
    },
    /// 180 for ever.
    RingForever,
    /// No answer to anything of this call.
    Silent,
    /// No answer, not even 100, until so long after the INVITE; then 200.
    Late {
        /// From INVITE to 200.
        answer_after: Duration,
    },
}

impl Answer {
    /// Rings for `answer_after`, then 200; never hangs up by itself.
    pub fn ring(answer_after: Duration) -> Answer {
        Answer::of(Manner::Ring { answer_after })
    }

    /// `manner`, then an endless talk.
    pub fn of(manner: Manner) -> Answer {
        Answer { manner, talk: Talk::default() }
    }
}

/// What a phone does in an answered call; times count from the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Talk {
    /// BYE after so long; `None`: the other side ends the call.
    pub hang_up_after: Option<Duration>,
    /// A re-INVITE that holds the call (RFC 3264 §8.4).
    pub hold_after: Option<Duration>,
    /// A re-INVITE that takes it back.
    pub resume_after: Option<Duration>,
    /// Frames said at most; `None`: no limit.
    pub frames: Option<u32>,
    /// What is said instead of the tone, 8000 samples a second; silence follows.
    pub audio: Option<Arc<[i16]>>,
    /// Keys pressed as telephone-events from [`KEYS_AFTER`](crate::limits::KEYS_AFTER) frames on, where the far side takes
    /// such: 0 to 9, `*`, `#`, A to D; `w` is a pause of 500 ms, `W` one of 1 s.
    pub keys: Option<Arc<str>>,
    /// Whether the audio of each packet heard comes out as [`Output::Heard`](crate::Output::Heard).
    pub overheard: bool,
    /// Whether what is heard was converted on its way: it goes to [`PhoneCall::ear`](crate::PhoneCall::ear) instead of the judge.
    pub by_ear: bool,
}

/// How a phone is set up.
#[derive(Debug, Clone)]
pub struct PhoneConfig {
    /// Its name: From and Contact user.
    pub name: String,
    /// All its names, tags and voices come from here.
    pub seed: [u8; 32],
    /// Its own signalling address, as written into Via and Contact.
    pub sip: SocketAddr,
    /// Its media addresses: one is taken for each call.
    pub media: Vec<SocketAddr>,
    /// Codecs in order, as rtpmap names.
    pub codecs: Vec<String>,
    /// Whether its audio is encrypted; `Optional` offers keys under RTP/AVP (RFC 4568).
    pub srtp: Srtp,
    /// Time between two frames: 20 ms in real time; a simulation may take longer steps.
    pub frame_interval: Duration,
    /// What it asks for before it serves a request.
    pub asks: Option<Credentials>,
    /// When a call is given up; `None`: never.
    pub give_up: Option<GiveUp>,
    /// What it shows to whoever asks who it is.
    pub credentials: Option<Credentials>,
    /// Whether it knows reliable provisional answers (RFC 3262): its own are, where the far side knows them too.
    pub reliable: bool,
    /// How it keeps its sessions (RFC 4028); `None`: it does not know of that.
    pub sessions: Option<Sessions>,
    /// What it does with a REFER; `None`: it does not know of transfers.
    pub transfers: Option<Referred>,
    /// The date of its reports by RTCP; `None`: it makes none.
    pub reports: Option<Epoch>,
}

impl PhoneConfig {
    /// A phone that speaks PCMU and PCMA every 20 ms and gives up after the usual times.
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
            give_up: Some(GiveUp::default()),
            credentials: None,
            reliable: false,
            sessions: None,
            transfers: None,
            reports: None,
        }
    }

    /// The one party a phone knows: whoever speaks to it.
    pub(crate) const PARTY: Party = Party(0);
}

/// A phone's own patience, so that every leg ends whatever the far side does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiveUp {
    /// No final answer for so long: CANCEL of our INVITE, or 480 to one that we let ring.
    pub no_final: Duration,
    /// A call so long is ended: BYE.
    pub call: Duration,
}

impl Default for GiveUp {
    fn default() -> GiveUp {
        GiveUp {
            no_final: Duration::from_secs(crate::limits::NO_FINAL_S),
            call: Duration::from_secs(crate::limits::CALL_S),
        }
    }
}

/// Session timers of a phone (RFC 4028).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// The interval that it asks for, in seconds; 0: none, but it takes one that is asked of it.
    pub seconds: u32,
    /// The shortest that it takes, in seconds: what is less is refused with 422.
    pub least: u32,
    /// Whether it refreshes itself where that is for it to choose.
    pub refreshes: bool,
    /// Whether it does so by UPDATE; else by re-INVITE.
    pub by_update: bool,
    /// Whether it says that it refreshes and never does.
    pub forgets: bool,
}

/// The moment at which a phone that has transferred a call leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// Once its REFER is taken.
    AtOnce,
    /// Once it hears that somebody has answered.
    OnceDone,
    /// It waits until it is hung up on.
    Never,
}

/// The answer of a phone to a REFER, and the progress that it reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referred {
    /// 603.
    Refuses,
    /// 202, and after a while this status.
    Tells(u16),
    /// 202, and 100 for ever.
    Silent,
}

/// A request in an answered call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// INFO with a key in it.
    Key,
    /// UPDATE without a description: a refresh.
    Refresh,
    /// Re-INVITE without an offer: the 2xx makes it, the ACK answers (RFC 3261 §14.1).
    Offerless,
    /// Re-INVITE that holds the call.
    Hold,
    /// Re-INVITE that takes it back.
    Resume,
    /// UPDATE with an offer that holds the call, or takes it back (RFC 3311); before the answer too, where a provisional one
    /// was acknowledged.
    Offer {
        /// Whether it holds it.
        holds: bool,
    },
    /// REFER: the other side is to be connected with the number that was called.
    Transfer(Leaving),
}
