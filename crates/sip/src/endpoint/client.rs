//! Our requests: INVITE and what belongs to it (ACK, CANCEL), requests inside dialogs, OPTIONS.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use ipnet::IpNet;

use super::Endpoint;
use super::tables::{Cancel, Client, Inviting};
use crate::compose::{Head, contact, is_sips, name_addr, tagged};
use crate::dialog::{DeferredBye, Dialog};
use crate::digest::Subject;
use crate::event::{Body, ClientId, DialogId, DropReason, Event, Extra, Flow, Invite, Local, Party, Reason, Sent};
use crate::method::Method;
use crate::target::request_flow;
use crate::timer::T1_64;
use crate::transaction::client_invite::State;
use crate::transaction::{Slot, Step, key};
use crate::write::Writer;

/// Max-Forwards of requests that no call brings along (RFC 3261 §8.1.1.6).
pub(super) const MAX_FORWARDS: u8 = 70;
/// The Reason of a CANCEL, or of a BYE, where the call has been answered elsewhere (RFC 3326 §3.1).
pub const COMPLETED_ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

impl Endpoint {
    /// Sends an INVITE that begins a dialog. Where the tables are full it ends at once with
    /// [`Event::TransportFailed`].
    pub fn invite(&mut self, now: Instant, invite: Invite) -> ClientId {
        let id = ClientId(self.fresh_id());
        let full = self.clients_full(now);
        if full || self.dialogs.len() + self.reserved >= self.limits.dialogs {
            self.drop_message(DropReason::Full);
            self.tell(Event::TransportFailed { id });
            return id;
        }
        let (call_id, local_tag, branch) = (self.tokens.call_id(), self.tokens.tag(), self.tokens.branch());
        let (local_uri, to) = (name_addr(&invite.from), name_addr(&invite.to));
        let from = tagged(&local_uri, &local_tag);
        let Invite { mut flow, mut local, party, .. } = invite;
        let credentials = self.credentials(party, flow.remote, Method::Invite, &invite.uri, invite.body.as_ref());
        let written = |flow: Flow, local: Local| {
            let mut writer = Head {
                method: Method::Invite,
                uri: &invite.uri,
                transport: flow.transport,
                local,
                branch: &branch,
                max_forwards: invite.max_forwards,
                routes: &[],
                from: &from,
                to: &to,
                call_id: &call_id,
                cseq: 1,
                product: &self.product,
                alias: self.offers_reuse(party),
            }
            .begin();
            writer.header("Contact", &contact(&invite.contact_user, local, flow.transport, is_sips(&invite.uri)));
            self.rules.write_abilities(&mut writer, self.replacing.contains(&party));
            write_extras(&mut writer, &invite.headers);
            write_extras(&mut writer, &credentials);
            writer.finish(invite.body.as_ref())
        };
        let mut request = written(flow, local);
        if let Some((limit_bytes, other, other_local)) = invite.oversize
            && request.len() > limit_bytes
        {
            (flow, local) = (other, other_local);
            request = written(flow, local);
        }
        key::client(&mut self.scratch, branch.as_bytes(), Method::Invite);
        let inviting = Inviting {
            branch,
            uri: invite.uri,
            routes: Vec::new(),
            local_uri,
            local_tag,
            remote_uri: to.clone(),
            to,
            cseq: 1,
            offers: invite.body.is_some(),
            contact_user: invite.contact_user,
            credentials,
            cancel: Cancel::No,
            elsewhere: false,
            ack: None,
            forks: Vec::new(),
            caused: Vec::new(),
        };
        let way = (flow, local, party);
        let new = Client::new(Method::Invite, self.scratch.as_slice().into(), way, request, &call_id);
        let client = Client { reserved: true, invite: Some(Box::new(inviting)), ..new.0 };
        self.start_client(now, id, client, new.1);
        id
    }

    /// The way that a request of ours went, while its transaction lives.
    pub fn client_flow(&self, id: ClientId) -> Option<Flow> {
        self.clients.get(&id).map(|client| client.flow)
    }

    /// The Call-ID of a request of ours, while its transaction lives.
    pub fn call_id(&self, id: ClientId) -> Option<&str> {
        self.clients.get(&id).map(|client| client.call_id.as_str())
    }

    /// Withdraws an INVITE (RFC 3261 §9.1): CANCEL goes out once a provisional has come; a 2xx that crosses it is
    /// still told as [`Event::Response`] (answer it with ack and BYE).
    pub fn cancel(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let state = client.machine.invite_state();
        let Some(inviting) = client.invite.as_deref_mut() else { return };
        match state {
            Some(State::Calling) => inviting.cancel = Cancel::Wanted,
            Some(State::Proceeding) => self.send_cancel(now, id),
            Some(State::Completed | State::Accepted | State::Terminated) | None => {}
        }
    }

    /// An INVITE of ours that is withdrawn, or will be, because the call was answered elsewhere: a phone that hears it with
    /// the CANCEL lists no missed call (RFC 3326 §3.1).
    pub fn answered_elsewhere(&mut self, id: ClientId) {
        if let Some(inviting) = self.clients.get_mut(&id).and_then(|client| client.invite.as_deref_mut()) {
            inviting.elsewhere = true;
        }
    }

    /// Stops retransmitting an INVITE that has had no answer, without forgetting it: until Timer B a late provisional
    /// is answered by CANCEL and a late 2xx by ACK and BYE, all by the endpoint itself; the layer above hears no more of it.
    /// Where a provisional has come already it is [`Self::cancel`] with the same silence.
    pub fn abandon(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.invite.is_none() {
            return;
        }
        client.silent = true;
        self.give_up(now, id);
        // A 2xx that the layer above has not acknowledged is hung up on.
        let forks = self.clients.get(&id).and_then(|c| c.invite.as_deref()).map(|i| i.forks.as_slice());
        let open: Vec<DialogId> =
            forks.into_iter().flatten().filter(|f| f.confirmed && f.ack.is_none()).map(|f| f.dialog).collect();
        for dialog in open {
            self.hang_up(now, id, dialog);
        }
    }

    /// No further retransmission, and CANCEL where an answer comes all the same.
    pub(super) fn give_up(&mut self, now: Instant, id: ClientId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.slots.stop_retransmission(&mut self.timers);
            self.cancel(now, id);
        }
    }

    /// Acknowledges a 2xx (RFC 3261 §13.2.2.4); the endpoint keeps the ACK and repeats it for repeated 2xx.
    pub fn ack(&mut self, _now: Instant, dialog: DialogId, body: Option<Body>) {
        self.send_ack(dialog, body.as_ref());
    }

    /// Sends a request inside a dialog: BYE (which ends the dialog), re-INVITE, UPDATE (RFC 3311: in an early one too; with
    /// an offer in `body` it changes the session, without one it says that we are there, and where). `None` where the dialog
    /// is gone, or a change of ours or of theirs is still open (RFC 3261 §14.1), or where only the far end may send a BYE.
    ///
    /// A BYE acknowledges a 2xx that waits for [`Self::ack`], and itself waits until a 2xx of ours is acknowledged or
    /// given up (§15). A re-INVITE of theirs that was open gets 487; one of ours is withdrawn and its end told as ever.
    pub fn request(
        &mut self,
        now: Instant,
        dialog: DialogId,
        method: Method,
        headers: Vec<Extra>,
        body: Option<Body>,
    ) -> Option<ClientId> {
        let live = self.dialogs.get(&dialog).filter(|live| live.deferred.is_none())?;
        match method {
            Method::Ack | Method::Cancel | Method::Other => return None,
            Method::Invite | Method::Update if !self.may_change(dialog, method, body.is_some()) => return None,
            Method::Bye if !live.confirmed && live.invite_in.is_some() => return None,
            Method::Bye => return Some(self.bye(now, dialog, headers, body)),
            Method::Invite
            | Method::Options
            | Method::Register
            | Method::Prack
            | Method::Update
            | Method::Info
            | Method::Refer
            | Method::Subscribe
            | Method::Notify
            | Method::Message
            | Method::Publish => {}
        }
        if self.clients_full(now) {
            self.drop_message(DropReason::Full);
            return None;
        }
        let id = ClientId(self.fresh_id());
        if method == Method::Update && body.is_some() {
            self.note_update_out(dialog, id);
        }
        self.send_within(now, id, dialog, method, &headers, body.as_ref(), false);
        Some(id)
    }

    /// Sends OPTIONS outside of any dialog. Where the table is full it ends at once with [`Event::TransportFailed`].
    pub fn options(&mut self, now: Instant, flow: Flow, local: Local, party: Party, uri: &str) -> ClientId {
        let id = ClientId(self.fresh_id());
        if self.clients_full(now) {
            self.drop_message(DropReason::Full);
            self.tell(Event::TransportFailed { id });
            return id;
        }
        let (call_id, tag, branch) = (self.tokens.call_id(), self.tokens.tag(), self.tokens.branch());
        let us = contact("", local, flow.transport, is_sips(uri));
        let mut writer = Head {
            method: Method::Options,
            uri,
            transport: flow.transport,
            local,
            branch: &branch,
            max_forwards: MAX_FORWARDS,
            routes: &[],
            from: &tagged(&us, &tag),
            to: &name_addr(uri),
            call_id: &call_id,
            cseq: 1,
            product: &self.product,
            alias: self.offers_reuse(party),
        }
        .begin();
        writer.header("Contact", &us);
        writer.header("Accept", "application/sdp");
        let credentials = self.credentials(party, flow.remote, Method::Options, uri, None);
        write_extras(&mut writer, &credentials);
        key::client(&mut self.scratch, branch.as_bytes(), Method::Options);
        let (way, request) = ((flow, local, party), writer.finish(None));
        let (client, step) = Client::new(Method::Options, self.scratch.as_slice().into(), way, request, &call_id);
        self.start_client(now, id, client, step);
        id
    }

    /// Lets go of a request that is no INVITE and in no dialog: it is repeated no more, an answer finds nobody.
    pub fn forget(&mut self, id: ClientId) {
        if self.clients.get(&id).is_some_and(|client| client.invite.is_none() && client.dialog.is_none()) {
            self.remove_client(id);
        }
    }

    /// BYE, now or once the far end has acknowledged our 2xx.
    fn bye(&mut self, now: Instant, dialog: DialogId, headers: Vec<Extra>, body: Option<Body>) -> ClientId {
        let id = ClientId(self.fresh_id());
        self.send_ack(dialog, None);
        match self.dialogs.get_mut(&dialog) {
            Some(live) if live.unacked.is_some() => live.deferred = Some(Box::new(DeferredBye { id, headers, body })),
            _ => self.send_bye(now, id, dialog, &headers, body.as_ref(), false),
        }
        id
    }

    /// Sends BYE and takes the dialog out with what is open in it.
    pub(super) fn send_bye(
        &mut self,
        now: Instant,
        id: ClientId,
        dialog: DialogId,
        headers: &[Extra],
        body: Option<&Body>,
        silent: bool,
    ) {
        self.send_within(now, id, dialog, Method::Bye, headers, body, silent);
        let is_confirmed = self.dialogs.get(&dialog).is_some_and(|live| live.confirmed);
        self.end_dialog(now, dialog);
        // It is the last one that ended.
        if let Some((_, bye)) = self.ended.back_mut().filter(|_| is_confirmed) {
            *bye = Some(id);
        }
    }

    /// Acknowledges and ends a dialog that nobody wants any more; the BYE.
    pub(super) fn hang_up(&mut self, now: Instant, invite: ClientId, dialog: DialogId) -> Option<ClientId> {
        self.send_ack(dialog, None);
        let began_by_it = self.clients.get(&invite).is_some_and(|client| client.dialog.is_none());
        if !began_by_it || !self.dialogs.contains_key(&dialog) {
            return None;
        }
        let id = ClientId(self.fresh_id());
        self.send_bye(now, id, dialog, &[], None, true);
        Some(id)
    }

    /// A request inside a dialog, sent.
    #[allow(clippy::too_many_arguments)] // one call's parts, from two callers
    fn send_within(
        &mut self,
        now: Instant,
        id: ClientId,
        dialog_id: DialogId,
        method: Method,
        headers: &[Extra],
        body: Option<&Body>,
        silent: bool,
    ) {
        let Some(dialog) = self.dialogs.get_mut(&dialog_id) else { return };
        let (cseq, branch) = (dialog.plain.next_cseq(), self.tokens.branch());
        let flow = request_flow(dialog, reach_of(&self.reach, dialog));
        let alias = self.reusing.contains(&dialog.plain.party);
        let mut begun = Begun::within(dialog, flow, method, cseq, &branch, &self.product, alias);
        // Target refreshes, and requests that make dialogs of their own (RFC 3261 §12.2, RFC 6665, RFC 3515).
        let plain = &dialog.plain;
        if matches!(method, Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer) {
            let us = contact(&plain.contact_user, plain.local, begun.flow.transport, plain.secure);
            begun.writer.header("Contact", &us);
        }
        if matches!(method, Method::Invite | Method::Update) {
            let replaces = self.replacing.contains(&dialog.plain.party);
            self.rules.write_abilities(&mut begun.writer, replaces);
        }
        write_extras(&mut begun.writer, headers);
        let Begun { flow, mut writer, uri, routes, to } = begun;
        let subject = Subject {
            method: method.as_str().as_bytes(),
            uri: uri.as_bytes(),
            body: body.map_or(b"".as_slice(), |body| &body.bytes),
        };
        let credentials = self.keyring.write(plain.party, flow.remote, subject, &mut || self.tokens.nonce());
        write_extras(&mut writer, &credentials);
        key::client(&mut self.scratch, branch.as_bytes(), method);
        let (way, request) = ((flow, plain.local, plain.party), writer.finish(body));
        let new = Client::new(method, self.scratch.as_slice().into(), way, request, &plain.call_id);
        let invite = (method == Method::Invite).then(|| {
            Box::new(Inviting {
                branch,
                uri,
                routes,
                local_uri: plain.local_uri.clone(),
                local_tag: plain.local_tag.clone(),
                to,
                remote_uri: plain.remote_uri.clone(),
                cseq,
                offers: body.is_some(),
                contact_user: plain.contact_user.clone(),
                credentials,
                cancel: Cancel::No,
                elsewhere: false,
                ack: None,
                forks: Vec::new(),
                caused: Vec::new(),
            })
        });
        if method == Method::Invite {
            dialog.invite_out = Some(id);
        }
        let client = Client { dialog: Some(dialog_id), silent, invite, ..new.0 };
        self.start_client(now, id, client, new.1);
    }

    /// The ACK to a 2xx, where one is due: a request of its own, outside of any transaction (RFC 3261 §13.2.2.4).
    pub(super) fn send_ack(&mut self, dialog_id: DialogId, body: Option<&Body>) {
        let Some(dialog) = self.dialogs.get_mut(&dialog_id) else { return };
        let Some(cseq) = dialog.ack_due.take() else { return };
        dialog.acknowledged = true;
        let client = dialog.invite_out.take();
        let flow = request_flow(dialog, reach_of(&self.reach, dialog));
        let branch = self.tokens.branch();
        let alias = self.reusing.contains(&dialog.plain.party);
        let Begun { mut writer, .. } = Begun::within(dialog, flow, Method::Ack, cseq, &branch, &self.product, alias);
        // RFC 3261 §22.1: as its INVITE had them.
        let credentials = client.and_then(|id| self.clients.get(&id)).and_then(|client| client.invite.as_deref());
        write_extras(&mut writer, credentials.map_or(&[], |inviting| &inviting.credentials));
        let bytes = writer.finish(body);
        let what = Sent {
            method: Method::Ack,
            code: None,
            party: dialog.plain.party,
            again: false,
            client,
            server: None,
            dialog: Some(dialog_id),
        };
        let inviting = client.and_then(|id| self.clients.get_mut(&id)).and_then(|c| c.invite.as_deref_mut());
        let fork = inviting.and_then(|i| i.forks.iter_mut().find(|fork| fork.dialog == dialog_id));
        if let Some(fork) = fork {
            fork.ack = Some((flow, bytes.clone()));
        }
        self.transmit(flow, bytes, what);
    }

    /// Sends a request of which nothing has been heard once more, by a new connection: the one that it went by had been up
    /// and is lost. To a far end that has got it already it is a retransmission (RFC 3261 §17.2.3). Whether it was sent.
    pub(super) fn send_once_more(&mut self, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        if client.sent_once_more || !client.machine.is_unheard() {
            return false;
        }
        let flow = match client.dialog.and_then(|dialog| self.dialogs.get(&dialog)) {
            Some(dialog) => request_flow(dialog, reach_of(&self.reach, dialog)),
            None => Flow { connection: None, ..client.flow },
        };
        // Its Via names the transport.
        if flow.transport != client.flow.transport {
            return false;
        }
        client.sent_once_more = true;
        self.waiting.remove(&(client.flow.remote, client.flow.transport, id));
        client.flow = flow;
        self.waiting.insert((flow.remote, flow.transport, id));
        let (bytes, what) = (client.request.clone(), client.sent(id, client.method, true));
        self.transmit(flow, bytes, what);
        true
    }

    /// CANCEL, once (RFC 3261 §9.1); from now on the INVITE has 64·T1 to end.
    pub(super) fn send_cancel(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(inviting) = client.invite.as_deref_mut() else { return };
        if inviting.cancel == Cancel::Sent {
            return;
        }
        inviting.cancel = Cancel::Sent;
        let wait = Step { timeout: Slot::Arm(Reason::CancelWait, T1_64), ..Step::IDLE };
        client.slots.apply(&mut self.timers, now, super::Timer::Client(id), wait);
        let Some(request) = client.tied(Method::Cancel, None, &self.product, self.reusing.contains(&client.party))
        else {
            return;
        };
        let branch = client.invite.as_deref().map(|inviting| inviting.branch.as_bytes()).unwrap_or_default();
        key::client(&mut self.scratch, branch, Method::Cancel);
        let way = (client.flow, client.local, client.party);
        let new = Client::new(Method::Cancel, self.scratch.as_slice().into(), way, request, &client.call_id);
        let cancel = Client { dialog: client.dialog, silent: true, ..new.0 };
        let id = ClientId(self.fresh_id());
        self.start_client(now, id, cancel, new.1);
    }
}

impl Client {
    /// The CANCEL of an INVITE, or the ACK to its non-2xx final with that answer's To: the same Via, Request-URI,
    /// Route, From and CSeq number (RFC 3261 §9.1, §17.1.1.3).
    pub(super) fn tied(&self, method: Method, to: Option<&str>, product: &str, alias: bool) -> Option<Bytes> {
        let inviting = self.invite.as_deref()?;
        let head = Head {
            method,
            uri: &inviting.uri,
            transport: self.flow.transport,
            local: self.local,
            branch: &inviting.branch,
            max_forwards: MAX_FORWARDS,
            routes: &inviting.routes,
            from: &tagged(&inviting.local_uri, &inviting.local_tag),
            to: to.unwrap_or(&inviting.to),
            call_id: &self.call_id,
            cseq: inviting.cseq,
            product,
            alias,
        };
        let mut writer = head.begin();
        if method == Method::Cancel && inviting.elsewhere {
            writer.header("Reason", COMPLETED_ELSEWHERE);
        }
        Some(writer.finish(None))
    }
}

/// A request inside a dialog, begun: the lines that every request has are written (RFC 3261 §12.2.1.1).
struct Begun {
    flow: Flow,
    writer: Writer,
    uri: String,
    routes: Vec<String>,
    to: String,
}

impl Begun {
    fn within(
        dialog: &Dialog,
        flow: Flow,
        method: Method,
        cseq: u32,
        branch: &str,
        product: &str,
        alias: bool,
    ) -> Begun {
        let (uri, routes) = dialog.request_line();
        let plain = &dialog.plain;
        let to = tagged(&plain.remote_uri, &plain.remote_tag);
        let writer = Head {
            method,
            uri: &uri,
            transport: flow.transport,
            local: plain.local,
            branch,
            max_forwards: MAX_FORWARDS,
            routes: &routes,
            from: &tagged(&plain.local_uri, &plain.local_tag),
            to: &to,
            call_id: &plain.call_id,
            cseq,
            product,
            alias,
        }
        .begin();
        Begun { flow, writer, uri, routes, to }
    }
}

/// The networks that a dialog's far end may send us to.
fn reach_of<'a>(reach: &'a HashMap<Party, Vec<IpNet>>, dialog: &Dialog) -> &'a [IpNet] {
    reach.get(&dialog.plain.party).map_or(&[], Vec::as_slice)
}

pub(super) fn write_extras(writer: &mut Writer, headers: &[Extra]) {
    for extra in headers {
        writer.header(&extra.name, &extra.value);
    }
}
