//! What goes into an [`Endpoint`](crate::Endpoint) and what comes out: the vocabulary of the crate's face.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

#[cfg(doc)]
use crate::limits;
use crate::message::{Defect, Message};
use crate::method::Method;

pub use trunkgate_terms::{OwnHosts, Transport};

pub use crate::flow::{ConnectionId, Flow, ListenerId, Local, Party};

/// A server transaction (a request to us that wants an answer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u64);

/// A client transaction (a request of ours). For an INVITE it also covers the 2xx answers that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// One dialog, early or confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct DialogId(pub u64);

/// A body and its type. `Debug` shows no octets: they may hold keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// The Content-Type value, e.g. `application/sdp`.
    pub content_type: String,
    /// The octets.
    pub bytes: Bytes,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({}, {} bytes)", self.content_type, self.bytes.len())
    }
}

impl Body {
    /// A session description.
    pub fn sdp(text: impl Into<String>) -> Body {
        Body { content_type: "application/sdp".into(), bytes: Bytes::from(text.into()) }
    }
}

/// A further header of an outgoing message: a name and a value without CR, LF or NUL (the writer strips them).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extra {
    /// The header's name as it is to stand on the wire.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A change from outside.
#[derive(Debug)]
pub enum Input {
    /// A message from a party that is allowed to speak to us. The layer above has found the party before parsing.
    Received {
        /// The way it came.
        flow: Flow,
        /// How we name ourselves towards its source.
        local: Local,
        /// Whose it is.
        party: Party,
        /// The message.
        message: Message,
    },
    /// What was last sent to `flow` could not be sent, or its connection was refused or lost.
    /// Client transactions waiting there end with [`Event::TransportFailed`] (RFC 3261 §17.1.4).
    TransportFailed {
        /// The way that failed.
        flow: Flow,
        /// Whose way it was, where others have ways of their own to the same address; `None`: everybody's.
        party: Option<Party>,
        /// A connection that had been up: a request that went by it last and was not answered may never have arrived, so it
        /// is sent once more, by a new one.
        was_up: bool,
    },
    /// An ICMP error about a datagram to `flow`. Anybody can send one: it ends the client transaction there whose request
    /// it quotes through the branch, which nobody else knows.
    Unreachable {
        /// The way that failed.
        flow: Flow,
        /// What it quotes: the beginning of the datagram.
        quoted: Bytes,
    },
}

/// An INVITE of ours that begins a dialog.
#[derive(Debug, Clone)]
pub struct Invite {
    /// Where it goes.
    pub flow: Flow,
    /// Via and Contact.
    pub local: Local,
    /// The way to go instead where it is longer than so many bytes (RFC 3261 §18.1.1).
    pub oversize: Option<(usize, Flow, Local)>,
    /// Whose dialog it will be.
    pub party: Party,
    /// Request-URI.
    pub uri: String,
    /// From: URI with optional display name, without tag; the endpoint adds the tag.
    pub from: String,
    /// To, in the same form.
    pub to: String,
    /// User part of our Contact; empty for none.
    pub contact_user: String,
    /// Max-Forwards.
    pub max_forwards: u8,
    /// Further headers, in order.
    pub headers: Vec<Extra>,
    /// The offer, if any.
    pub body: Option<Body>,
}

/// A REGISTER of ours.
#[derive(Debug, Clone)]
pub struct Register {
    /// Where it goes.
    pub flow: Flow,
    /// Via and Contact.
    pub local: Local,
    /// Whose answer it waits for.
    pub party: Party,
    /// Request-URI: the registrar's domain.
    pub uri: String,
    /// The address of record: To and From.
    pub address: String,
    /// User part of the Contact.
    pub contact_user: String,
    /// Host name in the Contact; `None`: the address of `local`. A binding is taken back with the name that it was made with.
    pub contact_host: Option<Arc<str>>,
    /// For how long, in seconds; 0 takes the binding back.
    pub expires: u32,
    /// That of the registration so far; `None` for the first.
    pub call_id: Option<String>,
    /// Higher than that of the request before.
    pub cseq: u32,
}

/// A NOTIFY of ours outside of any dialog, which no SUBSCRIBE has asked for.
#[derive(Debug, Clone)]
pub struct Notify {
    /// Where it goes.
    pub flow: Flow,
    /// Via and Contact.
    pub local: Local,
    /// Whose answer it waits for.
    pub party: Party,
    /// Request-URI.
    pub uri: String,
    /// From, without tag.
    pub from: String,
    /// To.
    pub to: String,
    /// Further headers, in order.
    pub headers: Vec<Extra>,
    /// The body.
    pub body: Body,
}

/// An answer of ours to a request.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Status code, 101 to 699 (100 is the endpoint's own).
    pub code: u16,
    /// Reason phrase; empty: the standard one.
    pub reason: String,
    /// Further headers, in order.
    pub headers: Vec<Extra>,
    /// Body, if any.
    pub body: Option<Body>,
    /// User part of our Contact in the dialog that a 1xx above 100 or a 2xx to an INVITE, or a 2xx to a SUBSCRIBE, begins; empty for
    /// none. A dialog that stands keeps its own.
    pub contact_user: String,
    /// Of a provisional answer to an INVITE: whether it goes out reliably where the far end can acknowledge it. Where that
    /// insists, all do (RFC 3262 §3).
    pub reliable: bool,
}

/// Why a message was dropped without an answer. Each is a label of `sip_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// A response that belongs to no transaction of ours (RFC 3261 §18.1.2).
    StrayResponse,
    /// An ACK that belongs to no dialog or transaction.
    StrayAck,
    /// A response with a wrong part: never answered.
    DamagedResponse,
    /// A request so damaged that no answer can be built.
    Unanswerable,
    /// The table of transactions or dialogs is full (`limits`). A 2xx that finds no place is acknowledged and hung up on.
    Full,
}

/// What the endpoint tells the layer above.
#[derive(Debug)]
pub enum Event {
    /// A new INVITE outside of any dialog; 100 Trying has been sent. Answer with [`Endpoint::respond`](crate::Endpoint::respond).
    Invite {
        /// The transaction to answer.
        id: ServerId,
        /// The way it came.
        flow: Flow,
        /// Whose it is.
        party: Party,
        /// The request.
        request: Message,
    },
    /// Any other request that wants an answer: outside a dialog (`dialog` is `None`: OPTIONS, SUBSCRIBE), or inside one
    /// (BYE, re-INVITE). A BYE has been answered 200 and its dialog is gone: only the news is left, and an INVITE of
    /// theirs that was open in that dialog has been answered 487. One of ours is withdrawn; its end is still to come.
    Request {
        /// The transaction to answer; `None` for a BYE, which is answered already.
        id: Option<ServerId>,
        /// The dialog, if inside one.
        dialog: Option<DialogId>,
        /// The way it came.
        flow: Flow,
        /// Whose it is.
        party: Party,
        /// Its method.
        method: Method,
        /// The request.
        request: Message,
    },
    /// The ACK to our 2xx (RFC 3261 §13.3.1.4): told once per INVITE, repetitions are absorbed.
    Ack {
        /// The dialog it confirms.
        dialog: DialogId,
        /// The ACK, with a body where the offer was in the 2xx.
        request: Message,
    },
    /// The PRACK to a reliable provisional answer of ours (RFC 3262 §3): told once.
    Prack {
        /// The transaction to answer, where it brings an offer; `None`: it is answered.
        id: Option<ServerId>,
        /// The INVITE's dialog.
        dialog: DialogId,
        /// The way it came.
        flow: Flow,
        /// Whose it is.
        party: Party,
        /// The request, with a body where the offer was in that answer.
        request: Message,
    },
    /// A reliable provisional answer was never acknowledged: 64·T1 have passed, and its INVITE is answered 504 (RFC 3262 §3).
    PrackMissing {
        /// The INVITE's transaction, now closed.
        id: ServerId,
        /// The dialog that it had made, gone.
        dialog: Option<DialogId>,
    },
    /// The caller withdrew its INVITE. The CANCEL is answered 200, the INVITE 487: nothing is left to answer.
    Canceled {
        /// The INVITE's transaction, now closed.
        id: ServerId,
        /// Whether its CANCEL says that the call was answered elsewhere (RFC 3326 §3.1).
        elsewhere: bool,
    },
    /// An INVITE had no final answer from us within its Expires (RFC 3261 §13.3.1) or [`limits::INVITE_SECONDS`]:
    /// it is answered 487, nothing is left to answer.
    Expired {
        /// The INVITE's transaction, now closed.
        id: ServerId,
    },
    /// A far end of an INVITE of ours has hung up in its early dialog, which it may not (RFC 3261 §15). Its BYE is answered, and that dialog
    /// is over.
    EarlyBye {
        /// The INVITE.
        invite: ClientId,
        /// Whether no other far end of it is known, in an early dialog or a confirmed one.
        is_last: bool,
    },
    /// An answer to a request of ours. Each request that is not abandoned ends once: with a final answer,
    /// [`Event::TimedOut`] or [`Event::TransportFailed`]; only an INVITE may have further 2xx, by forks. Of an INVITE: provisional ones above 100 and finals; a 2xx must be answered
    /// with [`Endpoint::ack`](crate::Endpoint::ack); its repetitions are absorbed and answered with the same ACK. Non-2xx finals are
    /// acknowledged by the endpoint (RFC 3261 §17.1.1.3).
    Response {
        /// The request's transaction.
        id: ClientId,
        /// The dialog it made or belongs to: 1xx with To-tag, 2xx. Forked answers have dialogs of their own. `None`
        /// with the 2xx to a re-INVITE whose dialog has ended meanwhile: it is acknowledged already; and with a 1xx
        /// past the limit of dialogs.
        dialog: Option<DialogId>,
        /// Status code.
        code: u16,
        /// The response.
        response: Message,
        /// Whether it refuses an INVITE that had credentials.
        had_credentials: bool,
    },
    /// A 401 or 407 came for a request of ours, and credentials for it are at hand: the same request goes out again with
    /// them, to the address that asked. Or a 422 did: it goes out again, once, with the interval that is asked for. Its end
    /// is still to come.
    Challenged {
        /// The request's transaction; it keeps its name.
        id: ClientId,
        /// 401, 407 or 422.
        code: u16,
        /// The challenge, or the refusal.
        response: Message,
    },
    /// A request that was to show credentials has shown wrong ones; its 401 is sent.
    WrongCredentials {
        /// Whose request.
        party: Party,
        /// The way it came.
        flow: Flow,
        /// Whether a nonce that we gave to this address came back: then the address is no forged one.
        proven: bool,
        /// The user that it has shown, as it came. Never said on the wire: nothing tells there which part is wrong.
        user: String,
        /// Whether that is the right user: then the password is wrong.
        is_user_known: bool,
    },
    /// 100 Trying came for an INVITE of ours: the far end is alive.
    Trying {
        /// The INVITE's transaction.
        id: ClientId,
    },
    /// No final answer in time: Timer B or F (RFC 3261 §17.1), or the wait after a CANCEL.
    TimedOut {
        /// The request's transaction.
        id: ClientId,
    },
    /// The request could not be sent (RFC 3261 §17.1.4).
    TransportFailed {
        /// The request's transaction.
        id: ClientId,
    },
    /// Our 2xx was never acknowledged: 64·T1 have passed (RFC 3261 §13.3.1.4). The layer above should send BYE.
    AckMissing {
        /// The dialog left half-made.
        dialog: DialogId,
    },
    /// A request was refused by the endpoint itself (sanity, limits); told for counting and tracing.
    Refused {
        /// Whose it was.
        party: Party,
        /// Its method.
        method: Method,
        /// The status code sent.
        code: u16,
        /// What was wrong, where a part was.
        defect: Option<Defect>,
    },
    /// A message was dropped without an answer.
    Dropped(DropReason),
}

/// What to send.
#[derive(Debug, Clone)]
pub struct Transmit {
    /// Where.
    pub flow: Flow,
    /// What.
    pub bytes: Bytes,
    /// What it is, for counting and tracing, without parsing it again.
    pub what: Sent,
}

/// What a [`Transmit`] carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Method of the request, or of the request that this answers.
    pub method: Method,
    /// Status code of a response; `None` for a request.
    pub code: Option<u16>,
    /// Whose dialog or transaction.
    pub party: Party,
    /// Whether it was sent before.
    pub again: bool,
    /// The transaction it belongs to, for the call's trace.
    pub client: Option<ClientId>,
    /// The transaction it answers, for the call's trace.
    pub server: Option<ServerId>,
    /// The dialog, where there is one, for the call's trace.
    pub dialog: Option<DialogId>,
}

/// What comes out.
#[derive(Debug)]
pub enum Output {
    /// Bytes to send.
    Transmit(Transmit),
    /// News for the layer above.
    Event(Event),
}

/// Why the endpoint wants to be woken: the timers of RFC 3261 table 4, RFC 6026 and our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// INVITE request retransmission, UDP only (§17.1.1.2).
    TimerA,
    /// INVITE transaction time-out (§17.1.1.2).
    TimerB,
    /// Wait for response retransmissions after a non-2xx final (§17.1.1.2).
    TimerD,
    /// Non-INVITE request retransmission, UDP only (§17.1.2.2).
    TimerE,
    /// Non-INVITE transaction time-out (§17.1.2.2).
    TimerF,
    /// INVITE response retransmission (§17.2.1).
    TimerG,
    /// Wait for ACK receipt (§17.2.1).
    TimerH,
    /// Wait for ACK retransmissions (§17.2.1).
    TimerI,
    /// Wait for non-INVITE request retransmissions (§17.2.2).
    TimerJ,
    /// Wait for non-INVITE response retransmissions (§17.1.2.2).
    TimerK,
    /// Server INVITE in Accepted (RFC 6026 §8.4).
    TimerL,
    /// Client INVITE in Accepted (RFC 6026 §8.4).
    TimerM,
    /// 2xx retransmission until ACK (§13.3.1.4).
    Retransmit2xx,
    /// The 2xx was not acknowledged in 64·T1 (§13.3.1.4).
    AckWait,
    /// The last provisional answer to an INVITE once more, against proxies that give up (§13.3.1.1).
    Repeat1xx,
    /// An INVITE to us has had no final answer for as long as it may last (§13.3.1).
    InviteExpires,
    /// A reliable provisional answer once more, until its PRACK (RFC 3262 §3).
    Retransmit1xx,
    /// It was not acknowledged in 64·T1 (RFC 3262 §3).
    PrackWait,
    /// After CANCEL: the INVITE has 64·T1 to get its final (§9.1).
    CancelWait,
}

impl Reason {
    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::TimerA => "timer_a",
            Reason::TimerB => "timer_b",
            Reason::TimerD => "timer_d",
            Reason::TimerE => "timer_e",
            Reason::TimerF => "timer_f",
            Reason::TimerG => "timer_g",
            Reason::TimerH => "timer_h",
            Reason::TimerI => "timer_i",
            Reason::TimerJ => "timer_j",
            Reason::TimerK => "timer_k",
            Reason::TimerL => "timer_l",
            Reason::TimerM => "timer_m",
            Reason::Retransmit2xx => "retransmit_2xx",
            Reason::AckWait => "ack_wait",
            Reason::Repeat1xx => "repeat_1xx",
            Reason::InviteExpires => "invite_expires",
            Reason::Retransmit1xx => "retransmit_1xx",
            Reason::PrackWait => "prack_wait",
            Reason::CancelWait => "cancel_wait",
        }
    }
}

/// A deadline and its reason.
pub type Deadline = (Instant, Reason);
