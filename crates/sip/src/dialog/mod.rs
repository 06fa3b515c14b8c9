//! Dialogs (RFC 3261 §12): tags, sequence numbers, route set, remote target, and the transactions open in each.
//!
//! This module has one dialog (here), the table of all dialogs (`table`) and the choice of the flow for an in-dialog
//! request (`target`). `client` and `server` compose the messages of a dialog.

mod table;
mod target;

use std::time::Duration;

use bytes::Bytes;

use crate::event::{ClientId, ExtraHeader, Flow, LocalAddress, MessageBody, ServerId, SipPartyId};
use crate::header::{HeaderName, NameAddr};
use crate::limits;
use crate::message::SipMessage;
use crate::method::Method;
use crate::timer::TimerToken;
use crate::uri::Uri;
use ipnet::IpNet;

pub use table::ReplacedDialog;
pub(crate) use table::{DialogTable, SuccessResponse};

/// Highest CSeq number, below 2³¹ (RFC 3261 §8.1.1.5).
pub(crate) const LAST_CSEQ: u32 = (1 << 31) - 1;

/// Numbers skipped in the CSeq of the next request after a crash: the crashed process may have used them. A remote
/// party accepts a number that is higher than the next one (RFC 3261 §12.2.2).
const CSEQ_MARGIN: u32 = 32;

/// Serializable state of a confirmed dialog, without timers or table indexes.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DialogSnapshot {
    /// Call-ID of the dialog.
    pub call_id: String,
    /// Tag of the edge's side of the dialog.
    pub local_tag: String,
    /// Tag of the remote side of the dialog.
    pub remote_tag: String,
    /// Local URI, as in the From of our requests, without tag.
    pub local_uri: String,
    /// URI of the remote side, without tag.
    pub remote_uri: String,
    /// Remote target: the Contact URI to which requests are sent.
    pub remote_target: String,
    /// Route set, in the order in which requests list it.
    pub route_set: Vec<String>,
    /// CSeq number of the last request that the edge sent.
    pub local_cseq: u32,
    /// CSeq of the last received request; `None` if none has arrived.
    pub remote_cseq: Option<u32>,
    /// User part of the edge's Contact.
    pub contact_user: String,
    /// Whether the dialog began with a SIPS URI, which makes our Contact a SIPS URI.
    #[serde(default)]
    pub secure: bool,
    /// Flow on which requests reach the remote party.
    pub flow: Flow,
    /// Local address for Via and Contact.
    pub local: LocalAddress,
    /// Id of the party, such as a trunk, that owns the dialog.
    pub party: SipPartyId,
}

impl DialogSnapshot {
    /// Skips CSeq numbers that crashed processes may have used: a margin of 32 as many times as given.
    pub fn skip_cseqs(&mut self, margins: u32) {
        self.local_cseq = self.local_cseq.saturating_add(margins.saturating_mul(CSEQ_MARGIN)).min(LAST_CSEQ);
    }
}

impl DialogSnapshot {
    /// Advances and returns the CSeq of our next request (RFC 3261 §12.2.1.1).
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.saturating_add(1).min(LAST_CSEQ);
        self.local_cseq
    }
}

/// 2xx sent to an INVITE that awaits its ACK (RFC 3261 §13.3.1.4).
#[derive(Debug)]
struct PendingAck {
    cseq: u32,
    server: ServerId,
    code: u16,
    flow: Flow,
    bytes: Bytes,
    /// Interval before the next retransmission: T1, doubling up to T2.
    interval: Duration,
    retransmit: TimerToken,
    wait: TimerToken,
}

/// BYE held back until our 2xx is acknowledged or given up (RFC 3261 §15).
#[derive(Debug)]
pub(crate) struct DeferredBye {
    pub(crate) id: ClientId,
    pub(crate) headers: Vec<ExtraHeader>,
    pub(crate) body: Option<MessageBody>,
}

/// UPDATE transactions without final response (RFC 3311).
#[derive(Debug, Clone, Copy, Default)]
struct OpenUpdates {
    /// UPDATE with an offer that the edge sent.
    ours: Option<ClientId>,
    /// UPDATE that the edge received.
    theirs: Option<ServerId>,
}

/// Open session change, by the side that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenChange {
    Ours,
    Theirs,
}

/// Reliable provisional response with an offer that awaits our answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PrackDue {
    /// INVITE to which the provisional response belongs.
    pub(crate) invite: ClientId,
    /// CSeq number of the INVITE.
    pub(crate) cseq: u32,
    /// RSeq of the provisional response.
    pub(crate) rseq: u32,
}

/// Classification of an ACK received in a dialog.
#[derive(Debug)]
pub(crate) enum AckClass {
    /// First ACK to a 2xx, with the timers to stop and the BYE that waited for the ACK.
    First { timers: [TimerToken; 2], server: ServerId, bye: Option<Box<DeferredBye>> },
    /// Retransmission of an ACK that was already processed.
    Again,
    /// ACK that no 2xx of the dialog awaits.
    Stray,
}

/// Transactions left open by a dialog that ends.
#[derive(Debug)]
pub(crate) struct OpenTransactions {
    /// Received requests without final response.
    pub(crate) theirs: Vec<ServerId>,
    /// INVITE that the edge sent, without final response.
    pub(crate) invite: Option<ClientId>,
    /// BYE that was deferred until the ACK arrives.
    pub(crate) bye: Option<Box<DeferredBye>>,
}

/// Early or confirmed dialog with its open transactions.
#[derive(Debug)]
pub(crate) struct Dialog {
    /// State kept in a snapshot; its flow is the one of the last request or response that refreshed it.
    plain: DialogSnapshot,
    /// Whether a 2xx has confirmed the dialog.
    confirmed: bool,
    /// Whether the first entry of `route_set` is a strict router (RFC 3261 §12.2.1.1).
    strict: bool,
    /// Whether the connection of `plain.flow` is lost; the remote target's address is then preferred to that flow.
    flow_lost: bool,
    /// Outgoing INVITE without final response, or with a 2xx that has not been acknowledged yet.
    invite_out: Option<ClientId>,
    /// CSeq of the outgoing INVITE with a 2xx that waits for [`SipEndpoint::ack`](crate::SipEndpoint::ack).
    ack_due: Option<u32>,
    /// Received INVITE without final response.
    invite_in: Option<ServerId>,
    /// 2xx to a received INVITE that awaits its ACK.
    unacked: Option<Box<PendingAck>>,
    /// CSeq of the last acknowledged INVITE, which identifies retransmissions of its ACK.
    acked_cseq: Option<u32>,
    /// Whether the confirming 2xx was acknowledged, by either side; a later INVITE is a session change.
    acknowledged: bool,
    /// CSeq of the INVITE and RSeq of the last reliable provisional response we acknowledged.
    provisional: (u32, u32),
    /// Reliable provisional response with an offer that awaits our answer.
    prack_due: Option<Box<PrackDue>>,
    /// UPDATE transactions without a final response.
    updates: Option<Box<OpenUpdates>>,
    /// BYE that waits for the ACK to our 2xx.
    deferred: Option<Box<DeferredBye>>,
}

impl Dialog {
    /// Creates a dialog without open transactions from its serializable state.
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

    /// Creates the dialog of an outgoing INVITE.
    pub(crate) fn of_client(plain: DialogSnapshot, confirmed: bool, invite: ClientId) -> Dialog {
        Dialog { invite_out: Some(invite), ..Dialog::new(plain, confirmed) }
    }

    /// Creates the dialog of a received INVITE.
    pub(crate) fn of_server(plain: DialogSnapshot, confirmed: bool, invite: ServerId) -> Dialog {
        Dialog { invite_in: Some(invite), ..Dialog::new(plain, confirmed) }
    }

    /// Creates the dialog of a received SUBSCRIBE, which needs no ACK.
    pub(crate) fn of_subscription(plain: DialogSnapshot) -> Dialog {
        Dialog { acknowledged: true, ..Dialog::new(plain, true) }
    }

    /// Restores a dialog from a snapshot.
    pub(crate) fn restored(plain: DialogSnapshot) -> Dialog {
        let flow_lost = plain.flow.connection.is_none();
        Dialog { acknowledged: true, flow_lost, ..Dialog::new(plain, true) }
    }

    /// Returns the serializable state of a confirmed and acknowledged dialog, unless an ACK or BYE is pending.
    pub(crate) fn snapshot(&self) -> Option<DialogSnapshot> {
        self.is_settled().then(|| self.plain.clone())
    }

    /// Returns the serializable state.
    pub(crate) fn plain(&self) -> &DialogSnapshot {
        &self.plain
    }

    /// Returns the party that owns the dialog.
    pub(crate) fn party(&self) -> SipPartyId {
        self.plain.party
    }

    /// Returns whether a 2xx has confirmed the dialog.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Returns whether the dialog is confirmed and its 2xx acknowledged, and neither an ACK nor a deferred BYE is
    /// outstanding.
    pub(crate) fn is_settled(&self) -> bool {
        self.confirmed && self.acknowledged && self.ack_due.is_none() && self.deferred.is_none()
    }

    /// Marks the dialog as confirmed.
    pub(crate) fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// Advances and returns the CSeq of our next request (RFC 3261 §12.2.1.1).
    pub(crate) fn next_cseq(&mut self) -> u32 {
        self.plain.next_cseq()
    }

    /// Returns the flow for an outgoing request; `reach` lists the networks of the dialog's party.
    pub(crate) fn request_flow(&self, reach: &[IpNet]) -> Flow {
        target::request_flow(self, reach)
    }

    /// Returns the outgoing INVITE that is open in the dialog or created it.
    pub(crate) fn invite_out(&self) -> Option<ClientId> {
        self.invite_out
    }

    /// Records an INVITE that the edge sends in the dialog.
    pub(crate) fn begin_invite_out(&mut self, invite: ClientId) {
        self.invite_out = Some(invite);
    }

    /// Records that this outgoing INVITE was rejected, so that it is no longer open in the dialog.
    pub(crate) fn invite_out_refused(&mut self, invite: ClientId) {
        self.invite_out.take_if(|open| *open == invite);
    }

    /// Records that the transaction of an outgoing INVITE is gone, unless its 2xx is still unacknowledged.
    pub(crate) fn invite_out_gone(&mut self, invite: ClientId) {
        if self.ack_due.is_none() {
            self.invite_out_refused(invite);
        }
    }

    /// Records a 2xx to the outgoing INVITE with this CSeq, which needs an ACK.
    pub(crate) fn owe_ack(&mut self, cseq: u32) {
        self.ack_due = Some(cseq);
    }

    /// Removes the pending ACK and returns the CSeq and the transaction of its INVITE; `None` if no ACK is due.
    pub(crate) fn take_ack_due(&mut self) -> Option<(u32, Option<ClientId>)> {
        let cseq = self.ack_due.take()?;
        self.acknowledged = true;
        Some((cseq, self.invite_out.take()))
    }

    /// Records an INVITE that was received in the dialog.
    pub(crate) fn begin_invite_in(&mut self, invite: ServerId) {
        self.invite_in = Some(invite);
    }

    /// Records the final response to a received INVITE.
    pub(crate) fn invite_in_answered(&mut self) {
        self.invite_in = None;
    }

    /// Returns whether a received INVITE awaits our final response.
    pub(crate) fn has_invite_in(&self) -> bool {
        self.invite_in.is_some()
    }

    /// Returns the received INVITE that is open, or that has a 2xx awaiting its ACK.
    pub(crate) fn answered_invite(&self) -> Option<ServerId> {
        self.invite_in.or(self.unacked.as_ref().map(|unacked| unacked.server))
    }

    /// Returns whether the 2xx of this transaction awaits its ACK.
    pub(crate) fn awaits_ack_of(&self, server: ServerId) -> bool {
        self.unacked.as_ref().is_some_and(|unacked| unacked.server == server)
    }

    /// Matches a received ACK with this CSeq to our 2xx, which then no longer awaits an ACK.
    pub(crate) fn take_ack(&mut self, number: Option<u32>) -> AckClass {
        match self.unacked.take_if(|unacked| Some(unacked.cseq) == number) {
            Some(unacked) => {
                self.acked_cseq = number;
                self.acknowledged = true;
                let timers = [unacked.retransmit, unacked.wait];
                AckClass::First { timers, server: unacked.server, bye: self.deferred.take() }
            }
            None if self.acked_cseq == number => AckClass::Again,
            None => AckClass::Stray,
        }
    }

    /// Stops waiting for the ACK to our 2xx. Returns the retransmission timer to cancel and the deferred BYE.
    pub(crate) fn give_up_ack(&mut self) -> (Option<TimerToken>, Option<Box<DeferredBye>>) {
        (self.unacked.take().map(|unacked| unacked.retransmit), self.deferred.take())
    }

    /// Returns whether a BYE waits for the ACK to our 2xx.
    pub(crate) fn has_deferred_bye(&self) -> bool {
        self.deferred.is_some()
    }

    /// Defers a BYE until our 2xx is acknowledged or given up. Returns the BYE, to be sent at once, if no 2xx awaits an
    /// ACK.
    pub(crate) fn defer_bye(&mut self, bye: DeferredBye) -> Option<DeferredBye> {
        if self.unacked.is_none() {
            return Some(bye);
        }
        self.deferred = Some(Box::new(bye));
        None
    }

    /// Removes and returns the transactions that are open in the dialog, because the dialog ends.
    pub(crate) fn take_leftover(&mut self) -> OpenTransactions {
        let update = self.updates.take().and_then(|updates| updates.theirs);
        let theirs = self.invite_in.take().into_iter().chain(update).collect();
        OpenTransactions { theirs, invite: self.invite_out, bye: self.deferred.take() }
    }

    /// Returns whether a received request is out of order (RFC 3261 §12.2.2), also an INVITE that reuses a CSeq under
    /// another branch.
    pub(crate) fn is_out_of_order(&self, method: Method, number: u32) -> bool {
        let last = self.plain.remote_cseq;
        last.is_some_and(|last| number < last || (method == Method::Invite && number == last))
    }

    /// Updates CSeq and remote target from a received request. Returns whether the dialog must adopt the flow of the
    /// request.
    pub(crate) fn take_request(&mut self, method: Method, number: u32, request: &SipMessage) -> bool {
        self.plain.remote_cseq = Some(number);
        let refreshes = matches!(method, Method::Invite | Method::Update | Method::Subscribe);
        if refreshes {
            self.refresh_target(request);
        }
        refreshes || self.flow_lost
    }

    /// Returns CSeq and RSeq of the last reliable provisional response we acknowledged.
    pub(crate) fn last_prack(&self) -> (u32, u32) {
        self.provisional
    }

    /// Records a PRACK sent for the INVITE with this CSeq.
    pub(crate) fn note_prack(&mut self, cseq: u32, rseq: u32) {
        self.provisional = (cseq, rseq);
    }

    /// Stores a reliable provisional response with an offer until our answer is available.
    pub(crate) fn owe_prack(&mut self, due: PrackDue) {
        self.prack_due = Some(Box::new(due));
    }

    /// Removes and returns the reliable provisional response that awaits our answer to its offer.
    pub(crate) fn take_prack_due(&mut self) -> Option<PrackDue> {
        self.prack_due.take().map(|due| *due)
    }

    /// Returns the open session change that prevents a received INVITE or UPDATE from being processed now (RFC 3261
    /// §14, RFC 3311 §5, RFC 6337 §3); `None` if it can be processed. `offers` is set if the request has a session
    /// description. The layer above, which parses bodies, checks whether the first offer of an early dialog has been
    /// answered.
    pub(crate) fn obstacle(&self, method: Method, offers: bool) -> Option<OpenChange> {
        let updates = self.updates.as_deref().copied().unwrap_or_default();
        let (ours, theirs) = if method == Method::Invite {
            // While our 2xx awaits its ACK, the previous offer/answer exchange is still open (RFC 5407 §3.1.4).
            let ours = self.invite_out.is_some() || self.unacked.is_some() || updates.ours.is_some();
            (ours, self.invite_in.is_some() || updates.theirs.is_some())
        } else if method == Method::Update {
            // An UPDATE without offer only refreshes the remote target.
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

    /// Returns whether an outgoing session change may be sent now; `offers` is set if it has a session description. An
    /// UPDATE without a session description may always be sent.
    pub(crate) fn may_change(&self, method: Method, offers: bool) -> bool {
        let updating = self.updates.is_some();
        let inviting = self.invite_out.is_some() || self.invite_in.is_some();
        if method == Method::Invite {
            self.confirmed && !inviting && self.unacked.is_none() && !updating
        } else {
            !offers || !(updating || (self.confirmed && inviting))
        }
    }

    /// Records a received UPDATE that awaits our response.
    pub(crate) fn begin_update_in(&mut self, server: ServerId) {
        self.updates.get_or_insert_default().theirs = Some(server);
    }

    /// Records an outgoing UPDATE with an offer.
    pub(crate) fn begin_update_out(&mut self, client: ClientId) {
        self.updates.get_or_insert_default().ours = Some(client);
    }

    /// Records the final response to a received UPDATE.
    pub(crate) fn end_update_in(&mut self, server: ServerId) {
        self.end_update(|updates| updates.theirs.take_if(|theirs| *theirs == server).is_some());
    }

    /// Records the final response to an outgoing UPDATE.
    pub(crate) fn end_update_out(&mut self, client: ClientId) {
        self.end_update(|updates| updates.ours.take_if(|ours| *ours == client).is_some());
    }

    fn end_update(&mut self, over: impl FnOnce(&mut OpenUpdates) -> bool) {
        let Some(updates) = self.updates.as_deref_mut() else { return };
        if over(updates) && updates.ours.is_none() && updates.theirs.is_none() {
            self.updates = None;
        }
    }

    /// Replaces the route set, as required by the 2xx to the initial INVITE (RFC 3261 §13.2.2.4).
    pub(crate) fn set_routes(&mut self, routes: Vec<String>) {
        self.plain.route_set = routes;
        self.strict = self.first_route().is_some_and(|uri| uri.param("lr").is_none());
    }

    /// Updates the remote target from the Contact of a message, if usable (RFC 3261 §12.2.1.2, §12.2.2).
    pub(crate) fn refresh_target(&mut self, message: &SipMessage) {
        if let Some(target) = contact_uri(message) {
            self.plain.remote_target = target;
        }
    }

    /// Parses the first entry of the route set.
    fn first_route(&self) -> Option<Uri<'_>> {
        NameAddr::parse(self.plain.route_set.first()?.as_bytes())?.parsed_uri()
    }

    /// Returns Request-URI and Route entries for an outgoing request (RFC 3261 §12.2.1.1).
    pub(crate) fn request_line(&self) -> (String, Vec<String>) {
        let target = self.plain.remote_target.clone();
        let first = self.plain.route_set.first();
        match first.and_then(|first| NameAddr::parse(first.as_bytes())) {
            Some(first) if self.strict => {
                // For a strict router, its URI becomes the Request-URI, and the remote target is appended to the
                // Route list.
                let mut routes: Vec<String> = self.plain.route_set.iter().skip(1).cloned().collect();
                routes.push(format!("<{target}>"));
                (as_request_uri(first.uri), routes)
            }
            _ => (target, self.plain.route_set.clone()),
        }
    }
}

/// Returns a Contact or Route URI as Request-URI, without `method` parameter and headers (RFC 3261 §19.1.1).
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

/// Returns the Contact URI of a message if a request can be sent to it.
pub(crate) fn contact_uri(message: &SipMessage) -> Option<String> {
    let contact = message.contact()?;
    contact.parsed_uri()?;
    Some(as_request_uri(contact.uri))
}

/// Returns the Record-Route entries of a message in order. A list longer than [`limits::ROUTE_SET`] counts as empty,
/// because a truncated route set would not reach the remote party.
pub(crate) fn record_routes(message: &SipMessage) -> Vec<String> {
    let entries = message.addresses(HeaderName::RecordRoute);
    if entries.len() > limits::ROUTE_SET {
        return Vec::new();
    }
    entries.iter().map(|entry| String::from_utf8_lossy(entry.raw).trim().to_owned()).collect()
}

/// Returns the URI of an address header in angle brackets, without display name or parameters, for From and To of
/// later requests.
pub(crate) fn bare_address(address: Option<NameAddr<'_>>) -> String {
    address.map(|a| format!("<{}>", String::from_utf8_lossy(a.uri))).unwrap_or_default()
}
