//! Inputs and outputs of an [`SipEndpoint`](crate::SipEndpoint): the public types of this crate's interface.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

#[cfg(doc)]
use crate::limits;
use crate::message::{MessageDefect, SipMessage};
use crate::method::Method;

pub use trunkgate_terms::{OwnHosts, Transport};

pub use crate::flow::{ConnectionId, Flow, ListenerId, LocalAddress, SipPartyId};

/// Identifier of a server transaction (a received request).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u64);

/// Identifier of a client transaction (an outgoing request); for an INVITE it also covers later 2xx responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// Identifier of an early or confirmed dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct DialogId(pub u64);

/// Message body with its type. `Debug` prints no content, because bodies may contain keys.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageBody {
    /// The Content-Type value, e.g. `application/sdp`.
    pub content_type: String,
    /// Bytes of the body.
    pub bytes: Bytes,
}

impl fmt::Debug for MessageBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({}, {} bytes)", self.content_type, self.bytes.len())
    }
}

impl MessageBody {
    /// Creates a session description body.
    pub fn sdp(text: impl Into<String>) -> MessageBody {
        MessageBody { content_type: "application/sdp".into(), bytes: Bytes::from(text.into()) }
    }
}

/// Additional header of an outgoing message. The writer removes CR, LF and NUL from name and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHeader {
    /// Header name as written on the wire.
    pub name: String,
    /// Value of the header; CR, LF and NUL are removed when it is written.
    pub value: String,
}

/// Input from outside to an endpoint.
#[derive(Debug)]
pub enum EndpointInput {
    /// Message from an accepted party, which the layer above has identified before parsing.
    Received {
        /// Flow on which the message arrived.
        flow: Flow,
        /// Local address to use towards the source.
        local: LocalAddress,
        /// Party that sent the message.
        party: SipPartyId,
        /// Received message, parsed.
        message: SipMessage,
    },
    /// The last message to `flow` could not be sent, or its connection was refused or lost. Client transactions that
    /// wait on the flow end with [`EndpointEvent::TransportFailed`] (RFC 3261 §17.1.4).
    TransportFailed {
        /// Flow that failed.
        flow: Flow,
        /// Party of the failed connection, if parties have separate connections to this address; `None` affects all
        /// parties.
        party: Option<SipPartyId>,
        /// Whether an established connection was lost. The last unanswered request on it may not have arrived and is
        /// resent over a new connection.
        was_up: bool,
    },
    /// ICMP error for a datagram to `flow`. Anyone can forge one, so it ends a client transaction only if it quotes
    /// the request including the branch, which no third party knows.
    Unreachable {
        /// Flow of the undelivered datagram.
        flow: Flow,
        /// Beginning of the datagram, as quoted by the ICMP error.
        quoted: Bytes,
    },
}

/// Outgoing INVITE that is to begin a dialog.
#[derive(Debug, Clone)]
pub struct InviteRequest {
    /// Flow on which the INVITE is sent.
    pub flow: Flow,
    /// Local address for Via and Contact.
    pub local: LocalAddress,
    /// Alternative flow for an INVITE longer than this many bytes (RFC 3261 §18.1.1).
    pub oversize: Option<(usize, Flow, LocalAddress)>,
    /// Id of the party to which the dialog will belong.
    pub party: SipPartyId,
    /// Request-URI of the INVITE.
    pub uri: String,
    /// Value of From: URI with optional display name; the endpoint adds the tag.
    pub from: String,
    /// Value of To: URI with optional display name.
    pub to: String,
    /// User part of our Contact; empty for none.
    pub contact_user: String,
    /// Value of the Max-Forwards header.
    pub max_forwards: u8,
    /// Headers added to the INVITE, in order.
    pub headers: Vec<ExtraHeader>,
    /// Offer in the INVITE; `None` requests an offer.
    pub body: Option<MessageBody>,
}

/// REGISTER that the endpoint is to send.
#[derive(Debug, Clone)]
pub struct RegisterRequest {
    /// Flow on which the REGISTER is sent.
    pub flow: Flow,
    /// Local address for Via and Contact.
    pub local: LocalAddress,
    /// Id of the party from which responses are accepted.
    pub party: SipPartyId,
    /// Request-URI: the domain of the registrar.
    pub uri: String,
    /// Address-of-record, used in To and From.
    pub address: String,
    /// User part of the Contact.
    pub contact_user: String,
    /// Host name in the Contact; `None` uses the address of `local`. A binding must be removed with the name it was
    /// created with.
    pub contact_host: Option<Arc<str>>,
    /// Requested lifetime of the binding, in seconds; 0 removes the binding.
    pub expires: u32,
    /// Call-ID of the earlier registrations; `None` for the first.
    pub call_id: Option<String>,
    /// CSeq number, higher than that of the previous REGISTER.
    pub cseq: u32,
}

/// Outgoing unsolicited NOTIFY, outside any dialog.
#[derive(Debug, Clone)]
pub struct NotifyRequest {
    /// Flow on which the NOTIFY is sent.
    pub flow: Flow,
    /// Local address for Via and Contact.
    pub local: LocalAddress,
    /// Id of the party from which responses are accepted.
    pub party: SipPartyId,
    /// Request-URI of the NOTIFY.
    pub uri: String,
    /// Value of the From header, without tag.
    pub from: String,
    /// Value of the To header.
    pub to: String,
    /// Headers added to the NOTIFY, in order.
    pub headers: Vec<ExtraHeader>,
    /// Body of the NOTIFY.
    pub body: MessageBody,
}

/// Response that answers a received request.
#[derive(Debug, Clone, Default)]
pub struct ResponseSpec {
    /// Status code, 101 to 699 (the endpoint itself sends 100).
    pub code: u16,
    /// Reason phrase; empty selects the standard one.
    pub reason: String,
    /// Headers added to the response, in order.
    pub headers: Vec<ExtraHeader>,
    /// Body of the response; `None` for no body.
    pub body: Option<MessageBody>,
    /// User part of our Contact if this response creates a dialog (a 1xx above 100 or a 2xx to an INVITE, or a 2xx to a
    /// SUBSCRIBE); empty for none. An existing dialog keeps its own.
    pub contact_user: String,
    /// Whether a provisional response to an INVITE is sent reliably if the caller supports that. If the caller
    /// requires it, all provisional responses are reliable (RFC 3262 §3).
    pub reliable: bool,
}

/// Reason for dropping a message without a response; each is a label of `sip_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// Response that matches no client transaction (RFC 3261 §18.1.2).
    StrayResponse,
    /// ACK that matches no dialog or transaction.
    StrayAck,
    /// Response that cannot be parsed.
    DamagedResponse,
    /// Request so malformed that no response can be built.
    Unanswerable,
    /// Transaction or dialog table full ([`limits`]). A 2xx without a free slot is acknowledged and followed by BYE.
    Full,
}

/// Event reported to the layer above.
#[derive(Debug)]
pub enum EndpointEvent {
    /// New INVITE outside any dialog; 100 Trying has been sent. Respond with
    /// [`SipEndpoint::respond`](crate::SipEndpoint::respond).
    Invite {
        /// Server transaction to respond to.
        id: ServerId,
        /// Flow on which the INVITE arrived.
        flow: Flow,
        /// Party that sent the INVITE.
        party: SipPartyId,
        /// Complete received INVITE.
        request: SipMessage,
    },
    /// Any other request: outside a dialog (`dialog` is `None`: OPTIONS, SUBSCRIBE) or inside one (BYE, re-INVITE). A
    /// BYE has already been answered with 200 and its dialog removed; an open received INVITE of that dialog has been
    /// answered with 487, and an outgoing one is cancelled and ends with its own event later.
    Request {
        /// Server transaction to respond to; `None` for a BYE, which has been answered.
        id: Option<ServerId>,
        /// Dialog of the request, if any.
        dialog: Option<DialogId>,
        /// Flow on which the request arrived.
        flow: Flow,
        /// Party that sent the request.
        party: SipPartyId,
        /// Method of the request.
        method: Method,
        /// Complete received request.
        request: SipMessage,
    },
    /// ACK to our 2xx (RFC 3261 §13.3.1.4), reported once per INVITE; retransmissions are absorbed.
    Ack {
        /// Dialog that the ACK confirms.
        dialog: DialogId,
        /// The ACK, with the answer in its body if the 2xx carried the offer.
        request: SipMessage,
    },
    /// PRACK for a reliable provisional response (RFC 3262 §3), reported once.
    Prack {
        /// Server transaction to respond to if the PRACK carries an offer; `None` if it has been answered.
        id: Option<ServerId>,
        /// Dialog to which the INVITE belongs.
        dialog: DialogId,
        /// Flow on which the PRACK arrived.
        flow: Flow,
        /// Party that sent the PRACK.
        party: SipPartyId,
        /// The PRACK, with the answer in its body if the provisional response carried the offer.
        request: SipMessage,
    },
    /// No PRACK for a reliable provisional response within 64·T1; its INVITE has been answered with 504 (RFC 3262 §3).
    PrackMissing {
        /// Server transaction of the INVITE, now closed.
        id: ServerId,
        /// Removed dialog of the INVITE, if any.
        dialog: Option<DialogId>,
    },
    /// Caller cancelled its INVITE; the CANCEL has been answered with 200 and the INVITE with 487.
    Canceled {
        /// Server transaction of the INVITE, now closed.
        id: ServerId,
        /// Whether the CANCEL gives the Reason that the call was answered elsewhere (RFC 3326 §3.1).
        elsewhere: bool,
    },
    /// No final response to an INVITE within its Expires (RFC 3261 §13.3.1) or [`limits::INVITE_SECONDS`]; it has been
    /// answered with 487.
    Expired {
        /// Server transaction of the INVITE, now closed.
        id: ServerId,
    },
    /// Callee sent BYE in an early dialog, against RFC 3261 §15. The BYE has been answered and the early dialog
    /// removed.
    EarlyBye {
        /// Client transaction of the INVITE.
        invite: ClientId,
        /// Whether the INVITE has no other early or confirmed dialog.
        is_last: bool,
    },
    /// Response to an outgoing request. A provisional one is reported only for an INVITE.
    ///
    /// Each request that is not abandoned ends exactly once: with a final response, [`EndpointEvent::TimedOut`] or
    /// [`EndpointEvent::TransportFailed`]; a forked INVITE may get further 2xx. For an INVITE, provisional responses
    /// above 100 and final ones are reported. A 2xx must be acknowledged with
    /// [`SipEndpoint::ack`](crate::SipEndpoint::ack), which also covers its retransmissions; the endpoint itself
    /// acknowledges other final responses (RFC 3261 §17.1.1.3).
    Response {
        /// Client transaction of the request.
        id: ClientId,
        /// Dialog created by the response or the one its request belongs to (1xx with To tag, 2xx); forks have
        /// separate dialogs. `None` for the 2xx to a re-INVITE whose dialog has ended, which is already acknowledged,
        /// and for a 1xx beyond the dialog limit.
        dialog: Option<DialogId>,
        /// Status code.
        code: u16,
        /// The received response.
        response: SipMessage,
        /// Whether the response rejects an INVITE although it carried credentials.
        had_credentials: bool,
    },
    /// Request repeated automatically: after a 401 or 407, with credentials and to the address that sent the
    /// challenge; or after a 422, once, with the requested session interval. Its end is reported later.
    Challenged {
        /// Client transaction of the request, unchanged.
        id: ClientId,
        /// Status code: 401, 407 or 422.
        code: u16,
        /// Response with the challenge or the minimum interval.
        response: SipMessage,
    },
    /// Request with wrong credentials, answered with 401.
    WrongCredentials {
        /// Party that sent the request.
        party: SipPartyId,
        /// Flow on which the request arrived.
        flow: Flow,
        /// Whether the request returned a nonce issued to this address, which proves that the source address is not
        /// forged.
        proven: bool,
        /// User name in the credentials, as received. Never sent to the remote party, which must not learn which part
        /// is wrong.
        user: String,
        /// Whether the user name is correct; if so, the password is wrong.
        is_user_known: bool,
    },
    /// 100 Trying received for an outgoing INVITE; the remote party is known to be alive.
    Trying {
        /// Client transaction of the INVITE.
        id: ClientId,
    },
    /// No final response in time: Timer B or F (RFC 3261 §17.1), or the wait after a CANCEL.
    TimedOut {
        /// Client transaction of the request.
        id: ClientId,
    },
    /// Request that could not be sent (RFC 3261 §17.1.4).
    TransportFailed {
        /// Client transaction of the request.
        id: ClientId,
    },
    /// 2xx not acknowledged within 64·T1 (RFC 3261 §13.3.1.4). The layer above should send BYE.
    AckMissing {
        /// Dialog whose 2xx is unacknowledged.
        dialog: DialogId,
    },
    /// Request rejected by the endpoint itself (validation, limits); reported for metrics and tracing.
    Refused {
        /// Party that sent the request.
        party: SipPartyId,
        /// Method of the request.
        method: Method,
        /// Status code sent.
        code: u16,
        /// Malformed part of the request, if that is the reason.
        defect: Option<MessageDefect>,
    },
    /// Message dropped without a response.
    Dropped(DropReason),
}

/// Message that the caller is to send.
#[derive(Debug, Clone)]
pub struct SipTransmit {
    /// Flow on which the message is sent.
    pub flow: Flow,
    /// Complete message, serialized.
    pub bytes: Bytes,
    /// Description for metrics and tracing, which saves parsing the message again.
    pub what: SentMessage,
}

/// Description of a message in a [`SipTransmit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentMessage {
    /// Method of the request, or of the request that a response answers.
    pub method: Method,
    /// Status code of a response; `None` for a request.
    pub code: Option<u16>,
    /// Party of the dialog or transaction.
    pub party: SipPartyId,
    /// Whether the message is a retransmission.
    pub again: bool,
    /// Client transaction that sends the message, for the call trace.
    pub client: Option<ClientId>,
    /// Server transaction that the message responds to, for the call trace.
    pub server: Option<ServerId>,
    /// Dialog of the message, if any, for the call trace.
    pub dialog: Option<DialogId>,
}

/// Output of an endpoint, for the caller to process.
#[derive(Debug)]
pub enum EndpointOutput {
    /// Message to send.
    Transmit(SipTransmit),
    /// Event for the layer above the endpoint.
    Event(EndpointEvent),
}

/// Timer of an endpoint: those of RFC 3261 table 4 and RFC 6026, and others of this endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimerReason {
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
    /// 2xx retransmission until the ACK (§13.3.1.4).
    Retransmit2xx,
    /// Wait of 64·T1 for the ACK to a 2xx (§13.3.1.4).
    AckWait,
    /// Repetition of the last provisional response to an INVITE, to keep proxies from timing out (§13.3.1.1).
    Repeat1xx,
    /// Maximum time for a final response to a received INVITE (§13.3.1).
    InviteExpires,
    /// Retransmission of a reliable provisional response until its PRACK (RFC 3262 §3).
    Retransmit1xx,
    /// Wait of 64·T1 for the PRACK of a reliable provisional response (RFC 3262 §3).
    PrackWait,
    /// Wait of 64·T1 for the final response to an INVITE after CANCEL (§9.1).
    CancelWait,
}

impl TimerReason {
    /// Returns the name of the timer, for metrics and traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            TimerReason::TimerA => "timer_a",
            TimerReason::TimerB => "timer_b",
            TimerReason::TimerD => "timer_d",
            TimerReason::TimerE => "timer_e",
            TimerReason::TimerF => "timer_f",
            TimerReason::TimerG => "timer_g",
            TimerReason::TimerH => "timer_h",
            TimerReason::TimerI => "timer_i",
            TimerReason::TimerJ => "timer_j",
            TimerReason::TimerK => "timer_k",
            TimerReason::TimerL => "timer_l",
            TimerReason::TimerM => "timer_m",
            TimerReason::Retransmit2xx => "retransmit_2xx",
            TimerReason::AckWait => "ack_wait",
            TimerReason::Repeat1xx => "repeat_1xx",
            TimerReason::InviteExpires => "invite_expires",
            TimerReason::Retransmit1xx => "retransmit_1xx",
            TimerReason::PrackWait => "prack_wait",
            TimerReason::CancelWait => "cancel_wait",
        }
    }
}

/// Deadline of a timer, with its reason.
pub type Deadline = (Instant, TimerReason);
