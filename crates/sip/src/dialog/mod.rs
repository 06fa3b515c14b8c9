//! Dialogs (RFC 3261 §12): tags, sequence numbers, route set, remote target, and what is open in each.
//!
//! This room holds one dialog (here), the table of all (`table`) and the way of a request inside a dialog (`target`). The
//! messages of a dialog are composed in `client` and `server`.

mod table;
mod target;

use std::time::Duration;

use bytes::Bytes;

use crate::event::{Body, ClientId, Extra, Flow, Local, Party, ServerId};
use crate::header::{HeaderName, NameAddr};
use crate::limits;
use crate::message::Message;
use crate::method::Method;
use crate::timer::Token;
use crate::uri::Uri;
use ipnet::IpNet;

pub use table::Replaced;
pub(crate) use table::{Dialogs, Success};

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
struct Unacked {
    cseq: u32,
    server: ServerId,
    code: u16,
    flow: Flow,
    bytes: Bytes,
    /// The wait before the next repetition: T1 doubling to T2.
    interval: Duration,
    retransmit: Token,
    wait: Token,
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
struct Updates {
    /// One of ours, with an offer.
    ours: Option<ClientId>,
    /// One of theirs.
    theirs: Option<ServerId>,
}

/// The side whose change of a session is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenChange {
    Ours,
    Theirs,
}

/// A reliable provisional answer that makes an offer and waits for our answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PrackDue {
    /// The INVITE that it answers.
    pub(crate) invite: ClientId,
    /// CSeq of that INVITE.
    pub(crate) cseq: u32,
    /// Its RSeq.
    pub(crate) rseq: u32,
}

/// What an ACK is to a dialog.
#[derive(Debug)]
pub(crate) enum Acked {
    /// The one that a 2xx of ours waited for, and the BYE that waited for it.
    First { timers: [Token; 2], server: ServerId, bye: Option<Box<DeferredBye>> },
    /// A repetition.
    Again,
    /// One that nothing waits for.
    Stray,
}

/// What was open in a dialog that ends.
#[derive(Debug)]
pub(crate) struct Leftover {
    /// Requests of theirs that we have not finally answered.
    pub(crate) theirs: Vec<ServerId>,
    /// An INVITE of ours.
    pub(crate) invite: Option<ClientId>,
    /// A BYE of ours that waited for an ACK.
    pub(crate) bye: Option<Box<DeferredBye>>,
}

/// A live dialog.
#[derive(Debug)]
pub(crate) struct Dialog {
    /// What a snapshot takes with it; the flow is where the far end was heard last.
    plain: DialogSnapshot,
    /// Whether a 2xx has made it a confirmed one.
    confirmed: bool,
    /// Whether the far end's first route entry (`route_set`) is a strict router (RFC 3261 §12.2.1.1).
    strict: bool,
    /// Whether the connection of `plain.flow` is gone: the far end's own address is better than that flow.
    flow_lost: bool,
    /// An INVITE of ours without a final answer, or whose 2xx is not acknowledged yet.
    invite_out: Option<ClientId>,
    /// CSeq of an INVITE of ours whose 2xx waits for [`Endpoint::ack`](crate::Endpoint::ack).
    ack_due: Option<u32>,
    /// An INVITE of theirs that we have not finally answered.
    invite_in: Option<ServerId>,
    /// A 2xx of ours that waits for its ACK.
    unacked: Option<Box<Unacked>>,
    /// CSeq of the INVITE that was acknowledged last: its ACK's repetitions are no strays.
    acked_cseq: Option<u32>,
    /// Whether the 2xx that confirmed it has been acknowledged, by whichever side: what is open since is a change.
    acknowledged: bool,
    /// The last reliable provisional answer that we have acknowledged: CSeq of its INVITE, and RSeq.
    provisional: (u32, u32),
    /// One that makes an offer and waits for our answer, behind its INVITE.
    prack_due: Option<Box<PrackDue>>,
    /// UPDATEs that are open.
    updates: Option<Box<Updates>>,
    /// A BYE of ours that waits for that ACK.
    deferred: Option<Box<DeferredBye>>,
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

    /// Makes a dialog that an INVITE of ours begins.
    pub(crate) fn of_client(plain: DialogSnapshot, confirmed: bool, invite: ClientId) -> Dialog {
        Dialog { invite_out: Some(invite), ..Dialog::new(plain, confirmed) }
    }

    /// Makes a dialog that an INVITE of theirs begins.
    pub(crate) fn of_server(plain: DialogSnapshot, confirmed: bool, invite: ServerId) -> Dialog {
        Dialog { invite_in: Some(invite), ..Dialog::new(plain, confirmed) }
    }

    /// Makes a dialog that a SUBSCRIBE of theirs begins: nothing is left to acknowledge.
    pub(crate) fn of_subscription(plain: DialogSnapshot) -> Dialog {
        Dialog { acknowledged: true, ..Dialog::new(plain, true) }
    }

    /// Takes a dialog back from a snapshot.
    pub(crate) fn restored(plain: DialogSnapshot) -> Dialog {
        let flow_lost = plain.flow.connection.is_none();
        Dialog { acknowledged: true, flow_lost, ..Dialog::new(plain, true) }
    }

    /// Returns the dialog in plain data, where it is confirmed and acknowledged and nothing of it waits.
    pub(crate) fn snapshot(&self) -> Option<DialogSnapshot> {
        let begun = self.confirmed && self.acknowledged;
        let settled = begun && self.ack_due.is_none() && self.deferred.is_none();
        settled.then(|| {
            let mut plain = self.plain.clone();
            plain.flow.connection = None;
            plain
        })
    }

    /// Returns what a snapshot takes with it.
    pub(crate) fn plain(&self) -> &DialogSnapshot {
        &self.plain
    }

    /// Returns the party that may speak in it.
    pub(crate) fn party(&self) -> Party {
        self.plain.party
    }

    /// Reports whether a 2xx has confirmed it.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Confirms it.
    pub(crate) fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// Returns the number of our next request (RFC 3261 §12.2.1.1).
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.plain.next_cseq()
    }

    /// Returns the way of a request of ours; `reach`: the networks of its party.
    pub(crate) fn request_flow(&self, reach: &[IpNet]) -> Flow {
        target::request_flow(self, reach)
    }

    /// Returns the INVITE of ours that is open in it, or that it is open by.
    pub(crate) fn invite_out(&self) -> Option<ClientId> {
        self.invite_out
    }

    /// Notes an INVITE of ours in it.
    pub(crate) fn begin_invite_out(&mut self, invite: ClientId) {
        self.invite_out = Some(invite);
    }

    /// Notes that an INVITE of ours was refused.
    pub(crate) fn invite_out_refused(&mut self, invite: ClientId) {
        self.invite_out.take_if(|open| *open == invite);
    }

    /// Notes that the transaction of an INVITE of ours is gone; one whose 2xx is not acknowledged yet stays.
    pub(crate) fn invite_out_gone(&mut self, invite: ClientId) {
        if self.ack_due.is_none() {
            self.invite_out_refused(invite);
        }
    }

    /// Notes a 2xx to an INVITE of ours with this CSeq, which has to be acknowledged.
    pub(crate) fn owe_ack(&mut self, cseq: u32) {
        self.ack_due = Some(cseq);
    }

    /// Takes the ACK that we owe: the CSeq of its INVITE, and the transaction of that.
    pub(crate) fn take_ack_due(&mut self) -> Option<(u32, Option<ClientId>)> {
        let cseq = self.ack_due.take()?;
        self.acknowledged = true;
        Some((cseq, self.invite_out.take()))
    }

    /// Notes an INVITE of theirs in it.
    pub(crate) fn begin_invite_in(&mut self, invite: ServerId) {
        self.invite_in = Some(invite);
    }

    /// Notes the final answer to an INVITE of theirs.
    pub(crate) fn invite_in_answered(&mut self) {
        self.invite_in = None;
    }

    /// Reports whether an INVITE of theirs waits for our final answer.
    pub(crate) fn has_invite_in(&self) -> bool {
        self.invite_in.is_some()
    }

    /// Returns the INVITE of theirs that is open, or whose 2xx waits for its ACK.
    pub(crate) fn answered_invite(&self) -> Option<ServerId> {
        self.invite_in.or(self.unacked.as_ref().map(|unacked| unacked.server))
    }

    /// Reports whether the 2xx of a transaction waits for its ACK.
    pub(crate) fn awaits_ack_of(&self, server: ServerId) -> bool {
        self.unacked.as_ref().is_some_and(|unacked| unacked.server == server)
    }

    /// Takes an ACK with this CSeq.
    pub(crate) fn take_ack(&mut self, number: Option<u32>) -> Acked {
        match self.unacked.take_if(|unacked| Some(unacked.cseq) == number) {
            Some(unacked) => {
                self.acked_cseq = number;
                self.acknowledged = true;
                let timers = [unacked.retransmit, unacked.wait];
                Acked::First { timers, server: unacked.server, bye: self.deferred.take() }
            }
            None if self.acked_cseq == number => Acked::Again,
            None => Acked::Stray,
        }
    }

    /// Stops waiting for the ACK to a 2xx of ours: the timer of its repetition, and the BYE that waited for the ACK.
    pub(crate) fn give_up_ack(&mut self) -> (Option<Token>, Option<Box<DeferredBye>>) {
        (self.unacked.take().map(|unacked| unacked.retransmit), self.deferred.take())
    }

    /// Reports whether a BYE of ours waits for an ACK.
    pub(crate) fn has_deferred_bye(&self) -> bool {
        self.deferred.is_some()
    }

    /// Keeps a BYE until our 2xx is acknowledged or given up; gives it back where none waits.
    pub(crate) fn defer_bye(&mut self, bye: DeferredBye) -> Option<DeferredBye> {
        if self.unacked.is_none() {
            return Some(bye);
        }
        self.deferred = Some(Box::new(bye));
        None
    }

    /// Takes out what is open in it.
    pub(crate) fn take_leftover(&mut self) -> Leftover {
        let update = self.updates.take().and_then(|updates| updates.theirs);
        let theirs = self.invite_in.take().into_iter().chain(update).collect();
        Leftover { theirs, invite: self.invite_out, bye: self.deferred.take() }
    }

    /// Reports whether a request of theirs is out of order (RFC 3261 §12.2.2); so is an INVITE that repeats a number under
    /// another branch.
    pub(crate) fn is_out_of_order(&self, method: Method, number: u32) -> bool {
        let last = self.plain.remote_cseq;
        last.is_some_and(|last| number < last || (method == Method::Invite && number == last))
    }

    /// Takes what a request of theirs says of the dialog. Reports whether its way is the dialog's from now on.
    pub(crate) fn take_request(&mut self, method: Method, number: u32, request: &Message) -> bool {
        self.plain.remote_cseq = Some(number);
        let refreshes = matches!(method, Method::Invite | Method::Update | Method::Subscribe);
        if refreshes {
            self.refresh_target(request);
        }
        refreshes || self.flow_lost
    }

    /// Returns the last reliable provisional answer that we have acknowledged: CSeq of its INVITE, and RSeq.
    pub(crate) fn last_prack(&self) -> (u32, u32) {
        self.provisional
    }

    /// Notes a PRACK of ours.
    pub(crate) fn note_prack(&mut self, cseq: u32, rseq: u32) {
        self.provisional = (cseq, rseq);
    }

    /// Keeps a reliable provisional answer with an offer until ours to that is there.
    pub(crate) fn owe_prack(&mut self, due: PrackDue) {
        self.prack_due = Some(Box::new(due));
    }

    /// Takes the reliable provisional answer that waits for our answer to its offer.
    pub(crate) fn take_prack_due(&mut self) -> Option<PrackDue> {
        self.prack_due.take().map(|due| *due)
    }

    /// Returns the open change because of which one of theirs cannot be looked at now (RFC 3261 §14, RFC 3311 §5, RFC 6337
    /// §3); `offers`: it has a session description. Whether the first offer of an early dialog has its answer is known to
    /// the layer above, which reads bodies.
    pub(crate) fn obstacle(&self, method: Method, offers: bool) -> Option<OpenChange> {
        let updates = self.updates.as_deref().copied().unwrap_or_default();
        let (ours, theirs) = if method == Method::Invite {
            // While our 2xx waits for its ACK the last exchange is not over either (RFC 5407 §3.1.4).
            let ours = self.invite_out.is_some() || self.unacked.is_some() || updates.ours.is_some();
            (ours, self.invite_in.is_some() || updates.theirs.is_some())
        } else if method == Method::Update {
            // One without offer only refreshes the far end's target.
            let inviting = offers && self.confirmed;
            let ours = (offers && updates.ours.is_some()) || (inviting && self.invite_out.is_some());
            (ours, updates.theirs.is_some() || (inviting && self.invite_in.is_some()))
        } else {
            return None;
        };
        if theirs {
            return Some(OpenChange::Theirs);
        }
        ours.then_some(OpenChange::Ours)
    }

    /// Reports whether a change of ours may go out; `offers`: it has a session description. An UPDATE without one always may.
    pub(crate) fn may_change(&self, method: Method, offers: bool) -> bool {
        let updating = self.updates.is_some();
        let inviting = self.invite_out.is_some() || self.invite_in.is_some();
        if method == Method::Invite {
            self.confirmed && !inviting && self.unacked.is_none() && !updating
        } else {
            !offers || !(updating || (self.confirmed && inviting))
        }
    }

    /// Notes an UPDATE of theirs that waits for our answer.
    pub(crate) fn begin_update_in(&mut self, server: ServerId) {
        self.updates.get_or_insert_default().theirs = Some(server);
    }

    /// Notes an UPDATE of ours with an offer.
    pub(crate) fn begin_update_out(&mut self, client: ClientId) {
        self.updates.get_or_insert_default().ours = Some(client);
    }

    /// Notes the final answer to an UPDATE of theirs.
    pub(crate) fn end_update_in(&mut self, server: ServerId) {
        self.end_update(|updates| updates.theirs.take_if(|theirs| *theirs == server).is_some());
    }

    /// Notes the end of an UPDATE of ours.
    pub(crate) fn end_update_out(&mut self, client: ClientId) {
        self.end_update(|updates| updates.ours.take_if(|ours| *ours == client).is_some());
    }

    fn end_update(&mut self, over: impl FnOnce(&mut Updates) -> bool) {
        let Some(updates) = self.updates.as_deref_mut() else { return };
        if over(updates) && updates.ours.is_none() && updates.theirs.is_none() {
            self.updates = None;
        }
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
    fn first_route(&self) -> Option<Uri<'_>> {
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
