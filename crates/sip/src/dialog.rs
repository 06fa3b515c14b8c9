//! Dialogs (RFC 3261 §12): tags, sequence numbers, route set, remote target.

use std::time::Duration;

use bytes::Bytes;

use crate::event::{Body, ClientId, Extra, Flow, Local, Party, ServerId};
use crate::header::{HeaderName, NameAddr};
use crate::limits;
use crate::message::Message;
use crate::timer::Token;
use crate::uri::Uri;

/// CSeq is below 2³¹ (RFC 3261 §8.1.1.5).
pub(crate) const LAST_CSEQ: u32 = (1 << 31) - 1;

/// A confirmed dialog in plain data, for a snapshot: no clock, no index of ours.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DialogSnapshot {
    /// Call-ID.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// The far end's tag.
    pub remote_tag: String,
    /// Our URI as in From of our requests, without tag.
    pub local_uri: String,
    /// The far end's URI, without tag.
    pub remote_uri: String,
    /// Where our requests go: its Contact.
    pub remote_target: String,
    /// Route set in the order in which we write it.
    pub route_set: Vec<String>,
    /// Last CSeq of ours.
    pub local_cseq: u32,
    /// Last CSeq of theirs; `None` where it has sent no request.
    pub remote_cseq: Option<u32>,
    /// Contact user of ours.
    pub contact_user: String,
    /// Whether it began with a SIPS URI: our Contact is one too.
    #[serde(default)]
    pub secure: bool,
    /// The way to it.
    pub flow: Flow,
    /// Via and Contact towards it.
    pub local: Local,
    /// Whose dialog.
    pub party: Party,
}

impl DialogSnapshot {
    /// The number of our next request (RFC 3261 §12.2.1.1).
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.saturating_add(1).min(LAST_CSEQ);
        self.local_cseq
    }
}

/// A 2xx of ours that waits for its ACK (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(crate) struct Unacked {
    pub(crate) cseq: u32,
    pub(crate) server: ServerId,
    pub(crate) code: u16,
    pub(crate) flow: Flow,
    pub(crate) bytes: Bytes,
    /// The wait before the next repetition: T1 doubling to T2.
    pub(crate) interval: Duration,
    pub(crate) retransmit: Token,
    pub(crate) wait: Token,
}

/// A BYE that must wait until our 2xx is acknowledged or given up (RFC 3261 §15).
#[derive(Debug)]
pub(crate) struct DeferredBye {
    pub(crate) id: ClientId,
    pub(crate) headers: Vec<Extra>,
    pub(crate) body: Option<Body>,
}

/// UPDATEs without final answer (RFC 3311).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Updates {
    /// One of ours, with an offer.
    pub(crate) ours: Option<ClientId>,
    /// One of theirs.
    pub(crate) theirs: Option<ServerId>,
}

/// A live dialog.
#[derive(Debug)]
pub(crate) struct Dialog {
    /// What a snapshot takes with it; the flow is where the far end was heard last.
    pub(crate) plain: DialogSnapshot,
    /// Whether a 2xx has made it a confirmed one.
    pub(crate) confirmed: bool,
    /// Whether the far end's first route entry (`route_set`) is a strict router (RFC 3261 §12.2.1.1).
    pub(crate) strict: bool,
    /// Whether the connection of `plain.flow` is gone: the far end's own address is better than that flow.
    pub(crate) flow_lost: bool,
    /// An INVITE of ours without a final answer, or whose 2xx is not acknowledged yet.
    pub(crate) invite_out: Option<ClientId>,
    /// CSeq of an INVITE of ours whose 2xx waits for [`Endpoint::ack`](crate::Endpoint::ack).
    pub(crate) ack_due: Option<u32>,
    /// An INVITE of theirs that we have not finally answered.
    pub(crate) invite_in: Option<ServerId>,
    /// A 2xx of ours that waits for its ACK.
    pub(crate) unacked: Option<Box<Unacked>>,
    /// CSeq of the INVITE that was acknowledged last: its ACK's repetitions are no strays.
    pub(crate) acked_cseq: Option<u32>,
    /// Whether the 2xx that confirmed it has been acknowledged, by whichever side: what is open since is a change.
    pub(crate) acknowledged: bool,
    /// The last reliable provisional answer that we have acknowledged: CSeq of its INVITE, and RSeq.
    pub(crate) provisional: (u32, u32),
    /// One that makes an offer and waits for our answer, behind its INVITE.
    pub(crate) prack_due: Option<(ClientId, u32, u32)>,
    /// UPDATEs that are open.
    pub(crate) updates: Option<Box<Updates>>,
    /// A BYE of ours that waits for that ACK.
    pub(crate) deferred: Option<Box<DeferredBye>>,
}

impl Dialog {
    /// A dialog made of `plain`.
    pub(crate) fn new(plain: DialogSnapshot, confirmed: bool) -> Dialog {
        let mut dialog = Dialog {
            plain,
            confirmed,
            strict: false,
            flow_lost: false,
            invite_out: None,
            ack_due: None,
            invite_in: None,
            unacked: None,
            acked_cseq: None,
            acknowledged: false,
            provisional: (0, 0),
            prack_due: None,
            updates: None,
            deferred: None,
        };
        dialog.strict = dialog.first_route().is_some_and(|uri| uri.param("lr").is_none());
        dialog
    }

    /// Takes a new route set, as the 2xx to our first INVITE asks (RFC 3261 §13.2.2.4).
    pub(crate) fn set_routes(&mut self, routes: Vec<String>) {
        self.plain.route_set = routes;
        self.strict = self.first_route().is_some_and(|uri| uri.param("lr").is_none());
    }

    /// Takes a new remote target from a message's Contact (RFC 3261 §12.2.1.2, §12.2.2), where there is a usable one.
    pub(crate) fn refresh_target(&mut self, message: &Message) {
        if let Some(target) = contact_uri(message) {
            self.plain.remote_target = target;
        }
    }

    /// The first entry of the route set, read.
    pub(crate) fn first_route(&self) -> Option<Uri<'_>> {
        NameAddr::parse(self.plain.route_set.first()?.as_bytes())?.parsed_uri()
    }

    /// Request-URI and Route entries of a request of ours (RFC 3261 §12.2.1.1).
    pub(crate) fn request_line(&self) -> (String, Vec<String>) {
        let target = self.plain.remote_target.clone();
        let first = self.plain.route_set.first();
        match first.and_then(|first| NameAddr::parse(first.as_bytes())) {
            Some(first) if self.strict => {
                // A strict router finds itself in the Request-URI, and the target at the end of the list.
                let mut routes: Vec<String> = self.plain.route_set.iter().skip(1).cloned().collect();
                routes.push(format!("<{target}>"));
                (as_request_uri(first.uri), routes)
            }
            _ => (target, self.plain.route_set.clone()),
        }
    }
}

/// A URI of a Contact or Route as a Request-URI, without what may not stand there (RFC 3261 §19.1.1: `method` and headers).
fn as_request_uri(uri: &[u8]) -> String {
    let text = String::from_utf8_lossy(uri);
    let bare = text.split('?').next().unwrap_or_default();
    let mut parts = bare.split(';');
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts.filter(|part| !part.to_ascii_lowercase().starts_with("method=")) {
        kept.push(';');
        kept.push_str(part);
    }
    kept
}

/// The URI of a message's Contact, where it is one that a request can be sent to.
pub(crate) fn contact_uri(message: &Message) -> Option<String> {
    let contact = message.contact()?;
    contact.parsed_uri()?;
    Some(as_request_uri(contact.uri))
}

/// A message's Record-Route entries in order, at most [`limits::ROUTE_SET`]: a longer list counts as none at all, since a
/// part of it would lead nowhere.
pub(crate) fn record_routes(message: &Message) -> Vec<String> {
    let entries = message.addresses(HeaderName::RecordRoute);
    if entries.len() > limits::ROUTE_SET {
        return Vec::new();
    }
    entries.iter().map(|entry| String::from_utf8_lossy(entry.raw).trim().to_owned()).collect()
}

/// An address header's URI in angle brackets: From and To of later requests, without display name or parameters.
pub(crate) fn bare_address(address: Option<NameAddr<'_>>) -> String {
    address.map(|a| format!("<{}>", String::from_utf8_lossy(a.uri))).unwrap_or_default()
}
