//! Composes outgoing requests: INVITE with its ACK, CANCEL and PRACK, in-dialog requests, OPTIONS, NOTIFY and
//! REGISTER. Also repeats a rejected request with credentials (RFC 3261 §22.2, §22.3) or a longer session interval
//! (RFC 4028 §7.3).

use std::net::SocketAddr;

use bytes::Bytes;

use super::ClientTransactions;
use super::transaction::{CancelState, ClientTransaction, InviteState, MAX_FORWARDS};
use crate::compose::{OwnUris, RequestHead, contact, is_sips, name_addr, tagged, write_extras};
use crate::cx::EndpointCx;
use crate::dialog::{Dialog, LAST_CSEQ, PrackDue};
use crate::digest::DigestSubject;
use crate::event::{
    ClientId, DialogId, DropReason, EndpointEvent, ExtraHeader, Flow, InviteRequest, LocalAddress, MessageBody,
    NotifyRequest, RegisterRequest, SentMessage, SipPartyId, TimerReason,
};
use crate::header::{HeaderName, RAck, SessionExpires};
use crate::limits;
use crate::message::{SipMessage, StartLine};
use crate::method::Method;
use crate::shared::{EndpointShared, MessageOrigin, TimerOwner};
use crate::timer::{T1_64, T4, TIMER_D};
use crate::transaction::{TimerChange, TransactionStep, key};
use crate::write::MessageWriter;

/// Headers not copied when a request is repeated: the credentials are computed again, and the writer adds both body
/// headers.
const WRITTEN_ANEW: [HeaderName; 4] =
    [HeaderName::Authorization, HeaderName::ProxyAuthorization, HeaderName::ContentType, HeaderName::ContentLength];

/// Request to compose inside a dialog.
#[derive(Debug)]
pub(crate) struct InDialogRequest<'a> {
    /// Dialog in which the request is sent.
    pub(crate) dialog: DialogId,
    /// Method of the request.
    pub(crate) method: Method,
    /// Headers in addition to those that the dialog prescribes.
    pub(crate) headers: &'a [ExtraHeader],
    /// Body of the request, if any.
    pub(crate) body: Option<&'a MessageBody>,
    /// Whether the layer above receives no event about this request.
    pub(crate) silent: bool,
}

/// Request outside any dialog that creates none, to compose.
#[derive(Debug)]
struct OutOfDialogRequest<'a> {
    method: Method,
    way: (Flow, LocalAddress, SipPartyId),
    uri: &'a str,
    /// Value of From, without tag.
    from: &'a str,
    to: &'a str,
    contact: &'a str,
    headers: &'a [ExtraHeader],
    body: Option<&'a MessageBody>,
}

impl ClientTransactions {
    /// Sends an INVITE that begins a dialog; see [`SipEndpoint::invite`](crate::SipEndpoint::invite).
    pub(crate) fn invite(&mut self, cx: &mut EndpointCx<'_>, invite: InviteRequest) -> ClientId {
        let id = ClientId(cx.shared.fresh_id());
        if self.is_full(cx) || cx.dialogs.is_full() {
            cx.shared.drop_message(DropReason::Full);
            cx.shared.queue_event(EndpointEvent::TransportFailed { id });
            return id;
        }
        let (call_id, local_tag, branch) =
            (cx.shared.tokens.call_id(), cx.shared.tokens.tag(), cx.shared.tokens.branch());
        let (local_uri, to) = (name_addr(&invite.from), name_addr(&invite.to));
        let from = tagged(&local_uri, &local_tag);
        let InviteRequest { mut flow, mut local, party, .. } = invite;
        let credentials =
            self.credentials(cx.shared, party, flow.remote, Method::Invite, &invite.uri, invite.body.as_ref());
        let written = |flow: Flow, local: LocalAddress| {
            let mut writer = RequestHead {
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
                product: cx.shared.product(),
                alias: cx.shared.peers.offers_reuse(party),
            }
            .write_head();
            let (peers, secure) = (&cx.shared.peers, is_sips(&invite.uri));
            writer.header("Contact", &peers.contact(party, &invite.contact_user, local, flow.transport, secure));
            cx.shared.rules.write_abilities(&mut writer, cx.shared.peers.abilities(party));
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
        key::client(&mut cx.shared.scratch, branch.as_bytes(), Method::Invite);
        let inviting = InviteState {
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
            cancel: CancelState::No,
            elsewhere: false,
            ack: None,
            forks: Vec::new(),
            caused: Vec::new(),
        };
        let way = (flow, local, party);
        let new = ClientTransaction::new(Method::Invite, cx.shared.scratch.as_slice().into(), way, request, &call_id);
        let client = ClientTransaction { reserved: true, invite: Some(Box::new(inviting)), ..new.0 };
        self.start(cx, id, client, new.1);
        id
    }

    /// Sends OPTIONS outside any dialog. Fails at once when the table is full.
    pub(crate) fn options(
        &mut self,
        cx: &mut EndpointCx<'_>,
        way: (Flow, LocalAddress, SipPartyId),
        uri: &str,
    ) -> ClientId {
        let (flow, local, party) = way;
        let OwnUris { from, contact } = cx.shared.peers.own_uris(party, local, flow.transport, uri);
        let accept = [ExtraHeader { name: "Accept".into(), value: "application/sdp".into() }];
        let (to, method) = (name_addr(uri), Method::Options);
        let (from, to, contact) = (from.as_str(), to.as_str(), contact.as_str());
        self.send_out_of_dialog(
            cx,
            &OutOfDialogRequest { method, way, uri, from, to, contact, headers: &accept, body: None },
        )
    }

    /// Sends an unsolicited NOTIFY (without subscription). Fails at once when the table is full.
    pub(crate) fn notify(&mut self, cx: &mut EndpointCx<'_>, notify: &NotifyRequest) -> ClientId {
        let NotifyRequest { flow, local, party, uri, headers, .. } = notify;
        let contact = &cx.shared.peers.own_address(*party, "", *local, flow.transport, is_sips(uri));
        let (from, to) = (&name_addr(&notify.from), &name_addr(&notify.to));
        let (way, body) = ((*flow, *local, *party), Some(&notify.body));
        self.send_out_of_dialog(
            cx,
            &OutOfDialogRequest { method: Method::Notify, way, uri, from, to, contact, headers, body },
        )
    }

    /// Sends a request outside any dialog that creates no dialog. Fails at once when the table is full.
    fn send_out_of_dialog(&mut self, cx: &mut EndpointCx<'_>, request: &OutOfDialogRequest<'_>) -> ClientId {
        let id = ClientId(cx.shared.fresh_id());
        if self.is_full(cx) {
            cx.shared.drop_message(DropReason::Full);
            cx.shared.queue_event(EndpointEvent::TransportFailed { id });
            return id;
        }
        let OutOfDialogRequest { method, way: (flow, local, party), uri, from, to, contact, headers, body } = *request;
        let (call_id, tag, branch) = (cx.shared.tokens.call_id(), cx.shared.tokens.tag(), cx.shared.tokens.branch());
        let mut writer = RequestHead {
            method,
            uri,
            transport: flow.transport,
            local,
            branch: &branch,
            max_forwards: MAX_FORWARDS,
            routes: &[],
            from: &tagged(from, &tag),
            to,
            call_id: &call_id,
            cseq: 1,
            product: cx.shared.product(),
            alias: cx.shared.peers.offers_reuse(party),
        }
        .write_head();
        writer.header("Contact", contact);
        if method == Method::Options {
            cx.shared.rules.write_abilities(&mut writer, cx.shared.peers.abilities(party));
        }
        write_extras(&mut writer, headers);
        let credentials = self.credentials(cx.shared, party, flow.remote, method, uri, body);
        write_extras(&mut writer, &credentials);
        key::client(&mut cx.shared.scratch, branch.as_bytes(), method);
        let message = writer.finish(body);
        let key = cx.shared.scratch.as_slice().into();
        let (client, step) = ClientTransaction::new(method, key, (flow, local, party), message, &call_id);
        self.start(cx, id, client, step);
        id
    }

    /// Sends a REGISTER. Fails at once when the table is full.
    pub(crate) fn register(&mut self, cx: &mut EndpointCx<'_>, register: RegisterRequest) -> ClientId {
        let id = ClientId(cx.shared.fresh_id());
        if self.is_full(cx) {
            cx.shared.drop_message(DropReason::Full);
            cx.shared.queue_event(EndpointEvent::TransportFailed { id });
            return id;
        }
        let RegisterRequest { flow, local, party, uri, address, contact_user, contact_host, expires, call_id, cseq } =
            register;
        let call_id = call_id.unwrap_or_else(|| cx.shared.tokens.call_id());
        let (tag, branch) = (cx.shared.tokens.tag(), cx.shared.tokens.branch());
        let to = name_addr(&address);
        let mut writer = RequestHead {
            method: Method::Register,
            uri: &uri,
            transport: flow.transport,
            local,
            branch: &branch,
            max_forwards: MAX_FORWARDS,
            routes: &[],
            from: &tagged(&to, &tag),
            to: &to,
            call_id: &call_id,
            cseq,
            product: cx.shared.product(),
            alias: cx.shared.peers.offers_reuse(party),
        }
        .write_head();
        let contact = contact(&contact_user, contact_host.as_deref(), local, flow.transport, is_sips(&uri));
        writer.header("Contact", &contact);
        writer.header("Expires", &expires.to_string());
        cx.shared.rules.write_abilities(&mut writer, cx.shared.peers.abilities(party));
        let credentials = self.credentials(cx.shared, party, flow.remote, Method::Register, &uri, None);
        write_extras(&mut writer, &credentials);
        key::client(&mut cx.shared.scratch, branch.as_bytes(), Method::Register);
        let (way, request) = ((flow, local, party), writer.finish(None));
        let (client, step) =
            ClientTransaction::new(Method::Register, cx.shared.scratch.as_slice().into(), way, request, &call_id);
        self.start(cx, id, client, step);
        id
    }

    /// Sends an in-dialog request. Returns `None` if the table is full, a BYE is deferred, or a session change is open.
    pub(crate) fn request(&mut self, cx: &mut EndpointCx<'_>, within: &InDialogRequest<'_>) -> Option<ClientId> {
        let live = cx.dialogs.get(within.dialog).filter(|live| !live.has_deferred_bye())?;
        let (method, offers) = (within.method, within.body.is_some());
        if matches!(method, Method::Invite | Method::Update) && !live.may_change(method, offers) {
            return None;
        }
        if self.is_full(cx) {
            cx.shared.drop_message(DropReason::Full);
            return None;
        }
        let id = ClientId(cx.shared.fresh_id());
        if method == Method::Update
            && offers
            && let Some(live) = cx.dialogs.get_mut(within.dialog)
        {
            live.begin_update_out(id);
        }
        self.send_within(cx, id, within);
        Some(id)
    }

    /// Sends an in-dialog request under the given id, without checking for open session changes.
    pub(crate) fn send_within(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, within: &InDialogRequest<'_>) {
        let InDialogRequest { method, headers, body, silent, .. } = *within;
        let Some(dialog) = cx.dialogs.get_mut(within.dialog) else { return };
        let (cseq, branch) = (dialog.next_cseq(), cx.shared.tokens.branch());
        let flow = dialog.request_flow(cx.shared.peers.reach(dialog.party()));
        let RequestDraft { mut writer, uri, routes, to } =
            RequestDraft::start_in_dialog(cx.shared, dialog, flow, method, cseq, &branch);
        // Target refreshes and requests that create their own dialogs (RFC 3261 §12.2, RFC 6665, RFC 3515) need a
        // Contact.
        let plain = dialog.plain();
        if matches!(method, Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer) {
            let (peers, user) = (&cx.shared.peers, &plain.contact_user);
            writer.header("Contact", &peers.contact(plain.party, user, plain.local, flow.transport, plain.secure));
        }
        if matches!(method, Method::Invite | Method::Update) {
            cx.shared.rules.write_abilities(&mut writer, cx.shared.peers.abilities(plain.party));
        }
        write_extras(&mut writer, headers);
        let subject = DigestSubject {
            method: method.as_str().as_bytes(),
            uri: uri.as_bytes(),
            body: body.map_or(b"".as_slice(), |body| &body.bytes),
        };
        let credentials = self.keyring.write(plain.party, flow.remote, subject, &mut || cx.shared.tokens.nonce());
        write_extras(&mut writer, &credentials);
        key::client(&mut cx.shared.scratch, branch.as_bytes(), method);
        let (way, request) = ((flow, plain.local, plain.party), writer.finish(body));
        let new = ClientTransaction::new(method, cx.shared.scratch.as_slice().into(), way, request, &plain.call_id);
        let invite = (method == Method::Invite).then(|| {
            Box::new(InviteState {
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
                cancel: CancelState::No,
                elsewhere: false,
                ack: None,
                forks: Vec::new(),
                caused: Vec::new(),
            })
        });
        if method == Method::Invite {
            dialog.begin_invite_out(id);
        }
        let client = ClientTransaction { dialog: Some(within.dialog), silent, invite, ..new.0 };
        self.start(cx, id, client, new.1);
    }

    /// Sends the ACK to a 2xx if one is due, as a request outside any transaction (RFC 3261 §13.2.2.4).
    pub(crate) fn send_ack(&mut self, cx: &mut EndpointCx<'_>, dialog_id: DialogId, body: Option<&MessageBody>) {
        let Some(dialog) = cx.dialogs.get_mut(dialog_id) else { return };
        let Some((cseq, client)) = dialog.take_ack_due() else { return };
        let flow = dialog.request_flow(cx.shared.peers.reach(dialog.party()));
        let branch = cx.shared.tokens.branch();
        let RequestDraft { mut writer, .. } =
            RequestDraft::start_in_dialog(cx.shared, dialog, flow, Method::Ack, cseq, &branch);
        // RFC 3261 §22.1: the ACK carries the credentials of its INVITE.
        let inviting = client.and_then(|id| self.inviting(id));
        write_extras(&mut writer, inviting.map_or(&[], |inviting| &inviting.credentials));
        let bytes = writer.finish(body);
        let what = SentMessage {
            method: Method::Ack,
            code: None,
            party: dialog.party(),
            again: false,
            client,
            server: None,
            dialog: Some(dialog_id),
        };
        let inviting = client.and_then(|id| self.inviting_mut(id));
        let fork = inviting.and_then(|i| i.forks.iter_mut().find(|fork| fork.dialog == dialog_id));
        if let Some(fork) = fork {
            fork.ack = Some((flow, bytes.clone()));
        }
        cx.shared.transmit(flow, bytes, what);
    }

    /// Sends PRACK for a reliable provisional response, with `body` as the answer if that response made an offer.
    /// Returns whether the PRACK was sent.
    pub(crate) fn prack(
        &mut self,
        cx: &mut EndpointCx<'_>,
        dialog: DialogId,
        due: PrackDue,
        body: Option<&MessageBody>,
    ) -> bool {
        // If there is no room, the next retransmission is acknowledged instead.
        if !self.may_cause_request(due.invite) {
            cx.shared.drop_message(DropReason::Full);
            return false;
        }
        let rack = [ExtraHeader { name: "RAck".into(), value: RAck::of_invite(due.rseq, due.cseq) }];
        let within = InDialogRequest { dialog, method: Method::Prack, headers: &rack, body, silent: false };
        let Some(prack) = self.request(cx, &within) else { return false };
        self.note_caused(due.invite, prack);
        if let Some(live) = cx.dialogs.get_mut(dialog) {
            live.note_prack(due.cseq, due.rseq);
        }
        true
    }

    /// Resends a request without any response over a new connection, after its established connection was lost. A
    /// remote party that already received the request treats the copy as a retransmission (RFC 3261 §17.2.3). Returns
    /// whether the request was sent; it is resent only once.
    pub(super) fn send_once_more(&mut self, cx: &mut EndpointCx<'_>, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        if client.sent_once_more || !client.machine.is_unheard() {
            return false;
        }
        let flow = match client.dialog.and_then(|dialog| cx.dialogs.get(dialog)) {
            Some(dialog) => dialog.request_flow(cx.shared.peers.reach(dialog.party())),
            None => Flow { connection: None, ..client.flow },
        };
        // The Via of the request names the transport, so the transport must not change.
        if flow.transport != client.flow.transport {
            return false;
        }
        client.sent_once_more = true;
        self.waiting.remove(&(client.flow.remote, client.flow.transport, id));
        client.flow = flow;
        self.waiting.insert((flow.remote, flow.transport, id));
        let (bytes, what) = (client.request.clone(), client.sent(id, client.method, true));
        cx.shared.transmit(flow, bytes, what);
        true
    }

    /// Sends CANCEL, once (RFC 3261 §9.1). The INVITE then has 64·T1 to end.
    pub(super) fn send_cancel(&mut self, cx: &mut EndpointCx<'_>, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let Some(inviting) = client.invite.as_deref_mut() else { return };
        if inviting.cancel == CancelState::Sent {
            return;
        }
        inviting.cancel = CancelState::Sent;
        let wait =
            TransactionStep { timeout: TimerChange::Arm(TimerReason::CancelWait, T1_64), ..TransactionStep::IDLE };
        client.slots.apply(&mut cx.shared.timers, cx.now, TimerOwner::Client(id), wait);
        let Some(request) = client.build_tied_request(
            Method::Cancel,
            None,
            cx.shared.product(),
            cx.shared.peers.offers_reuse(client.party),
        ) else {
            return;
        };
        let branch = client.invite.as_deref().map(|inviting| inviting.branch.as_bytes()).unwrap_or_default();
        key::client(&mut cx.shared.scratch, branch, Method::Cancel);
        let way = (client.flow, client.local, client.party);
        let new =
            ClientTransaction::new(Method::Cancel, cx.shared.scratch.as_slice().into(), way, request, &client.call_id);
        let cancel = ClientTransaction { dialog: client.dialog, silent: true, ..new.0 };
        let id = ClientId(cx.shared.fresh_id());
        self.start(cx, id, cancel, new.1);
    }

    /// Handles a 401 or 407: repeats the request with credentials, if any fit the challenge. Returns whether the
    /// request was repeated, under the same id, so that the layer above sees only one request.
    pub(super) fn answer_challenge(
        &mut self,
        cx: &mut EndpointCx<'_>,
        id: ClientId,
        arrival: MessageOrigin,
        refusal: &SipMessage,
    ) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        if client.silent || client.is_withdrawn() || client.method == Method::Cancel {
            return false;
        }
        let (party, remote) = (client.party, client.flow.remote);
        self.keyring.store_challenges(party, remote, &mut client.answered, refusal)
            && self.repeat_request(cx, id, arrival, refusal, &[])
    }

    /// Handles a 422: repeats the request once, with the required minimum session interval. Returns whether the request
    /// was repeated, under the same id, so that the layer above sees only one request.
    pub(super) fn retry_longer_interval(
        &mut self,
        cx: &mut EndpointCx<'_>,
        id: ClientId,
        arrival: MessageOrigin,
        refusal: &SipMessage,
    ) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let withdrawn = client.is_withdrawn();
        let asked = SipMessage::parse(client.request.clone()).ok().and_then(|request| request.session_expires());
        let (Some(asked), Some(least)) = (asked, refusal.min_se()) else { return false };
        let worth_it = least > asked.seconds && least <= limits::SESSION_SECONDS;
        if client.silent || withdrawn || !worth_it || std::mem::replace(&mut client.lengthened, true) {
            return false;
        }
        let header = |name: HeaderName, value: String| ExtraHeader { name: name.as_str().to_owned(), value };
        let longer = SessionExpires { seconds: least, ..asked };
        let changed =
            [header(HeaderName::SessionExpires, longer.to_string()), header(HeaderName::MinSe, least.to_string())];
        self.repeat_request(cx, id, arrival, refusal, &changed)
    }

    /// Repeats a rejected request with a new branch and CSeq; `changed` replaces headers of the same name. Returns
    /// whether the request was repeated. In a dialog that has ended, only the BYE is repeated, because the next CSeq is
    /// only known from the last request.
    fn repeat_request(
        &mut self,
        cx: &mut EndpointCx<'_>,
        id: ClientId,
        arrival: MessageOrigin,
        refusal: &SipMessage,
        changed: &[ExtraHeader],
    ) -> bool {
        let Some(client) = self.clients.get(&id) else { return false };
        let within = client.dialog;
        let is_lost = client.method != Method::Bye && within.is_some_and(|dialog| !cx.dialogs.contains(dialog));
        if is_lost || self.is_full(cx) {
            return false;
        }
        let Some(old) = self.set_aside(cx, id) else { return false };
        let Ok(before) = SipMessage::parse(old.request.clone()) else { return false };
        cx.shared.queue_event(EndpointEvent::Challenged {
            id,
            code: refusal.code().unwrap_or_default(),
            response: refusal.clone(),
        });
        let cseq = match within.and_then(|dialog| cx.dialogs.get_mut(dialog)) {
            Some(dialog) => dialog.next_cseq(),
            None => before.cseq().map_or(1, |cseq| cseq.number).saturating_add(1).min(LAST_CSEQ),
        };
        let branch = cx.shared.tokens.branch();
        let (request, credentials) = self.with_credentials(cx.shared, &old, &before, (cseq, &branch), changed);
        key::client(&mut cx.shared.scratch, branch.as_bytes(), old.method);
        let mut flow = old.flow;
        flow.connection = arrival.flow.connection.or(flow.connection);
        let way = (flow, old.local, old.party);
        let (new, step) =
            ClientTransaction::new(old.method, cx.shared.scratch.as_slice().into(), way, request, &old.call_id);
        let invite =
            old.invite.map(|inviting| Box::new(InviteState { branch, cseq, credentials, ack: None, ..*inviting }));
        let ClientTransaction { dialog, reserved, answered, lengthened, .. } = old;
        self.start(cx, id, ClientTransaction { dialog, reserved, invite, answered, lengthened, ..new }, step);
        true
    }

    /// Removes the rejected transaction and returns it. A remainder under another id absorbs retransmissions of the
    /// response.
    fn set_aside(&mut self, cx: &mut EndpointCx<'_>, id: ClientId) -> Option<ClientTransaction> {
        let mut old = *self.clients.remove(&id)?;
        old.slots.clear(&mut cx.shared.timers);
        self.waiting.remove(&(old.flow.remote, old.flow.transport, id));
        cx.dialogs.release(old.reserved);
        let early: Vec<_> = old.invite.as_deref_mut().map(|i| std::mem::take(&mut i.forks)).unwrap_or_default();
        for fork in early {
            cx.dialogs.remove(cx.shared, fork.dialog);
        }
        if old.machine.is_over() {
            self.keys.remove(&old.key);
            return Some(old);
        }
        let rest = ClientId(cx.shared.fresh_id());
        let way = (old.flow, old.local, old.party);
        let (mut kept, _) = ClientTransaction::new(old.method, old.key.clone(), way, Bytes::new(), &old.call_id);
        kept.silent = true;
        std::mem::swap(&mut kept.machine, &mut old.machine);
        kept.invite = old.invite.clone();
        let (reason, wait) =
            if old.method == Method::Invite { (TimerReason::TimerD, TIMER_D) } else { (TimerReason::TimerK, T4) };
        let step = TransactionStep { timeout: TimerChange::Arm(reason, wait), ..TransactionStep::IDLE };
        kept.slots.apply(&mut cx.shared.timers, cx.now, TimerOwner::Client(rest), step);
        self.keys.insert(kept.key.clone(), rest);
        self.clients.insert(rest, Box::new(kept));
        Some(old)
    }

    /// Composes a request again with a new CSeq, branch, the changed headers and the credentials that answer the
    /// challenges.
    fn with_credentials(
        &mut self,
        shared: &mut EndpointShared,
        old: &ClientTransaction,
        before: &SipMessage,
        (cseq, branch): (u32, &str),
        changed: &[ExtraHeader],
    ) -> (Bytes, Vec<ExtraHeader>) {
        let uri = match before.start_line() {
            StartLine::Request { uri, .. } => String::from_utf8_lossy(uri).into_owned(),
            StartLine::Response { .. } => String::new(),
        };
        let mut writer = MessageWriter::request(old.method, &uri);
        let via = before.via();
        let old_branch = via.as_ref().and_then(|via| via.branch).map(String::from_utf8_lossy).unwrap_or_default();
        for (name, value) in before.fields() {
            let known = HeaderName::from_bytes(name);
            let is_changed = || changed.iter().any(|extra| HeaderName::from_bytes(extra.name.as_bytes()) == known);
            if known == HeaderName::Via {
                writer.header("Via", &String::from_utf8_lossy(value).replace(&*old_branch, branch));
            } else if known == HeaderName::CSeq {
                writer.header("CSeq", &format!("{cseq} {}", old.method));
            } else if !WRITTEN_ANEW.contains(&known) && !is_changed() {
                writer.header_bytes(&String::from_utf8_lossy(name), value);
            }
        }
        write_extras(&mut writer, changed);
        // The Content-Type keeps its parameters: a multipart body needs its boundary.
        let body = before
            .header_text(HeaderName::ContentType)
            .map(|content_type| MessageBody { content_type, bytes: Bytes::copy_from_slice(before.body()) });
        let credentials = self.credentials(shared, old.party, old.flow.remote, old.method, &uri, body.as_ref());
        write_extras(&mut writer, &credentials);
        (writer.finish(body.as_ref()), credentials)
    }

    /// Returns the authorization headers for a request to a remote address that has challenged an earlier one.
    fn credentials(
        &mut self,
        shared: &mut EndpointShared,
        party: SipPartyId,
        remote: SocketAddr,
        method: Method,
        uri: &str,
        body: Option<&MessageBody>,
    ) -> Vec<ExtraHeader> {
        let body = body.map_or(b"".as_slice(), |body| &body.bytes);
        let subject = DigestSubject { method: method.as_str().as_bytes(), uri: uri.as_bytes(), body };
        self.keyring.write(party, remote, subject, &mut || shared.tokens.nonce())
    }
}

/// In-dialog request with the mandatory headers already written (RFC 3261 §12.2.1.1).
struct RequestDraft {
    writer: MessageWriter,
    uri: String,
    routes: Vec<String>,
    to: String,
}

impl RequestDraft {
    fn start_in_dialog(
        shared: &EndpointShared,
        dialog: &Dialog,
        flow: Flow,
        method: Method,
        cseq: u32,
        branch: &str,
    ) -> RequestDraft {
        let (uri, routes) = dialog.request_line();
        let plain = dialog.plain();
        let to = tagged(&plain.remote_uri, &plain.remote_tag);
        let writer = RequestHead {
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
            product: shared.product(),
            alias: shared.peers.offers_reuse(plain.party),
        }
        .write_head();
        RequestDraft { writer, uri, routes, to }
    }
}
