//! Responses to received requests (RFC 3261 §8.2.6, §13.3.1), and the handling of CANCEL, ACK and timers for them.

use super::ServerTransactions;
use super::reliable::ResponseTiming;
use super::transaction::ServerTransaction;
use crate::compose::{self, begins_secure, write_extras};
use crate::cx::EndpointCx;
use crate::dialog::{Dialog, DialogSnapshot, SuccessResponse, bare_address, contact_uri, record_routes};
use crate::event::{DialogId, EndpointEvent, ResponseSpec, SentMessage, ServerId, TimerReason};
use crate::header::{HeaderName, params};
use crate::message::SipMessage;
use crate::method::Method;
use crate::open::{OpenInvite, OpenInviteSide, response_head};
use crate::reply::{late_reply_flow, reply_flow};
use crate::sanity::{RELIABLE, RequestRejection};
use crate::scan::{split, trim};
use crate::shared::{MessageOrigin, TimerOwner};
use crate::transaction::key::{self, IndexKey};
use crate::transaction::{ServerEvent, StatusClass, StepMessage, StepReport};

impl ServerTransactions {
    /// Responds to a request; see [`SipEndpoint::respond`](crate::SipEndpoint::respond).
    pub(crate) fn respond(&mut self, cx: &mut EndpointCx<'_>, id: ServerId, answer: ResponseSpec) -> Option<DialogId> {
        let server = self.servers.get(&id)?;
        if !server.machine.is_open() || !(101..=699).contains(&answer.code) {
            return None;
        }
        let (class, invite) = (StatusClass::from_code(answer.code), server.method == Method::Invite);
        let subscribes = server.method == Method::Subscribe;
        let turn = if invite { self.response_timing(cx.shared, id, &answer) } else { ResponseTiming::Now };
        if turn == ResponseTiming::Never {
            return None;
        }
        if invite && class != StatusClass::Failure {
            self.answered_dialog(
                cx,
                id,
                class == StatusClass::Success && turn != ResponseTiming::Later,
                &answer.contact_user,
            );
        }
        if subscribes && class == StatusClass::Success {
            self.answered_dialog(cx, id, true, &answer.contact_user);
        }
        if turn == ResponseTiming::Later {
            self.update_memory(id);
            return self.dialog_of(id);
        }
        let rseq = if let ResponseTiming::Reliably(rseq) = turn { Some(rseq) } else { None };
        let bytes = self.compose_answer(cx, id, &answer, rseq)?;
        let server = self.servers.get_mut(&id)?;
        server.last = Some((bytes.clone(), answer.code));
        if class != StatusClass::Provisional {
            server.request = None;
        }
        if subscribes && class == StatusClass::Failure {
            cx.dialogs.release(std::mem::take(&mut server.reserved));
        }
        let (dialog, initial, cseq, flow) = (server.dialog, server.initial, server.cseq, server.reply);
        self.update_memory(id);
        self.step(cx, id, ServerEvent::Send(class));
        if rseq.is_some() {
            self.await_prack(cx, id, answer.body.is_some());
        } else if class != StatusClass::Provisional {
            self.stop_provisionals(cx.shared, id);
        }
        let dialog_id = dialog?;
        if class != StatusClass::Provisional
            && let Some(live) = cx.dialogs.get_mut(dialog_id)
        {
            live.end_update_in(id);
        }
        if !invite || class == StatusClass::Provisional {
            return dialog;
        }
        if class == StatusClass::Failure && initial {
            cx.dialogs.remove(cx.shared, dialog_id);
            return None;
        }
        cx.dialogs.get_mut(dialog_id)?.invite_in_answered();
        if class == StatusClass::Success {
            let success = SuccessResponse { cseq, server: id, code: answer.code, flow, bytes };
            cx.dialogs.await_ack(cx.shared, cx.now, dialog_id, success);
        }
        dialog
    }

    /// Returns the initial INVITEs without a final response.
    pub(crate) fn open_invites(&self) -> impl Iterator<Item = OpenInvite> {
        let open = |server: &&ServerTransaction| server.initial && server.machine.is_open();
        let invites = self.servers.values().map(Box::as_ref).filter(|server| server.method == Method::Invite);
        invites.filter(open).filter_map(|server| {
            let request = server.request.as_ref()?;
            Some(OpenInvite {
                flow: server.source,
                local: server.local,
                party: server.party,
                call_id: std::str::from_utf8(request.call_id()?).ok()?.to_owned(),
                side: OpenInviteSide::Received { head: response_head(request)?, tag: server.tag.clone() },
            })
        })
    }

    /// Refuses an INVITE of another process, whose responses carried `tag`, and repeats the response until its ACK.
    /// Returns false if the INVITE is invalid or the table is full.
    pub(crate) fn refuse_open(
        &mut self,
        cx: &mut EndpointCx<'_>,
        origin: MessageOrigin,
        request: SipMessage,
        tag: String,
        answer: ResponseSpec,
    ) -> bool {
        let is_valid = request.method() == Method::Invite && request.defect().is_none();
        if !is_valid || key::server(&mut cx.shared.scratch, origin.party, Method::Invite, &request).is_none() {
            return false;
        }
        if self.at_key(cx.shared).is_some() || self.is_full(origin.party) || cx.dialogs.is_full() {
            return false;
        }
        let key: IndexKey = cx.shared.scratch.as_slice().into();
        let reply = late_reply_flow(&request, origin.flow);
        let id = self.insert_request(cx, origin, key, request, None);
        if let Some(server) = self.servers.get_mut(&id) {
            server.tag = tag;
            server.reply = reply;
        }
        self.respond(cx, id, answer);
        true
    }

    /// Sends 100 Trying immediately, because the layer above may take longer than 200 ms (RFC 3261 §17.2.1).
    pub(crate) fn send_trying(&mut self, cx: &mut EndpointCx<'_>, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let Some(request) = &server.request else { return };
        let bytes = compose::begin_response(request, server.source, 100, "", "", false).finish(None);
        server.last = Some((bytes.clone(), 100));
        let (reply, what) = (server.reply, server.sent(id, 100, false));
        self.update_memory(id);
        cx.shared.transmit(reply, bytes, what);
    }

    /// Releases an acknowledged 2xx, which is never sent again (RFC 6026 §7.1); the transaction continues without it.
    pub(crate) fn forget_success(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.last = None;
            self.update_memory(id);
        }
    }

    /// Responds with 487 to a request that was cancelled, has expired, or has lost its dialog.
    pub(crate) fn terminate(&mut self, cx: &mut EndpointCx<'_>, id: ServerId) {
        self.respond(cx, id, ResponseSpec { code: 487, ..ResponseSpec::default() });
    }

    /// Handles a retransmitted request by repeating the response. It is sent on the stream on which the retransmission
    /// arrived, also if the stream of the original is open, which deviates from RFC 3261 §18.2.2.
    pub(crate) fn on_repetition(&mut self, cx: &mut EndpointCx<'_>, id: ServerId, arrival: &MessageOrigin) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let usual = server.reply;
        if arrival.flow.transport.is_reliable() {
            server.reply = arrival.flow;
        }
        self.step(cx, id, ServerEvent::Request);
        if let Some(server) = self.servers.get_mut(&id) {
            server.reply = usual;
        }
    }

    /// Handles a CANCEL (RFC 3261 §9.2) without keeping state: while the INVITE exists, a retransmitted CANCEL gets
    /// the same response.
    pub(crate) fn on_cancel(&mut self, cx: &mut EndpointCx<'_>, arrival: MessageOrigin, cancel: &SipMessage) {
        let found = self.find(cx.shared, arrival.party, Method::Invite, cancel);
        let Some((id, server)) = found.and_then(|id| Some((id, self.servers.get(&id)?))) else {
            return cx.shared.refuse(&arrival, cancel, RequestRejection::with_code(481));
        };
        let open = server.machine.is_open();
        let mut writer = compose::begin_response(cancel, arrival.flow, 200, "", &server.tag, false);
        cx.shared.write_product(&mut writer);
        let what = SentMessage { method: Method::Cancel, dialog: server.dialog, ..server.sent(id, 200, !open) };
        cx.shared.transmit(reply_flow(cancel, arrival.flow), writer.finish(None), what);
        if open {
            self.terminate(cx, id);
            let elsewhere = cancel.headers(HeaderName::Reason).any(says_elsewhere);
            cx.shared.queue_event(EndpointEvent::Canceled { id, elsewhere });
        }
    }

    /// Handles an ACK to a non-2xx final response. Returns false if the ACK belongs to no such response.
    pub(crate) fn on_ack(&mut self, cx: &mut EndpointCx<'_>, arrival: &MessageOrigin, ack: &SipMessage) -> bool {
        let Some(id) = self.find(cx.shared, arrival.party, Method::Invite, ack) else { return false };
        // RFC 3261 §17.2.3: from an RFC 2543 client, the To tag must equal the one in our response.
        let legacy = !ack.via().and_then(|via| via.branch).is_some_and(key::is_unique);
        let ours = self.servers.get(&id).is_some_and(|server| server.tag.as_bytes() == key::to_tag(ack));
        (!legacy || ours) && self.step(cx, id, ServerEvent::Ack) != StepReport::Message
    }

    /// Handles an expired timer.
    pub(crate) fn on_timer(&mut self, cx: &mut EndpointCx<'_>, id: ServerId, reason: TimerReason) {
        if reason == TimerReason::InviteExpires {
            self.terminate(cx, id);
            return cx.shared.queue_event(EndpointEvent::Expired { id });
        }
        if reason == TimerReason::Retransmit1xx {
            return self.repeat_provisional(cx, id);
        }
        if reason == TimerReason::PrackWait {
            return self.on_prack_missing(cx, id);
        }
        // A non-2xx final response without ACK (Timer H) needs no event: the layer above has already ended that call.
        self.step(cx, id, ServerEvent::Timer(reason));
    }

    /// Advances a state machine, sends the message that the step requires, and removes a terminated transaction.
    fn step(&mut self, cx: &mut EndpointCx<'_>, id: ServerId, event: ServerEvent) -> StepReport {
        let Some(server) = self.servers.get_mut(&id) else { return StepReport::Nothing };
        let step = server.machine.step(event);
        server.slots.apply(&mut cx.shared.timers, cx.now, TimerOwner::Server(id), step);
        let over = server.machine.is_over();
        if step.send == StepMessage::Message
            && let Some((bytes, code)) = server.last.clone()
        {
            let again = !matches!(event, ServerEvent::Send(_));
            let (reply, what) = (server.reply, server.sent(id, code, again));
            cx.shared.transmit(reply, bytes, what);
        }
        if over {
            self.remove(cx, id);
        } else if matches!(event, ServerEvent::Send(StatusClass::Success | StatusClass::Failure)) {
            self.note_answered(cx.now, id);
        }
        step.tell
    }

    fn compose_answer(
        &self,
        cx: &EndpointCx<'_>,
        id: ServerId,
        answer: &ResponseSpec,
        rseq: Option<u32>,
    ) -> Option<bytes::Bytes> {
        let server = self.servers.get(&id)?;
        let request = server.request.as_ref()?;
        let (class, method) = (StatusClass::from_code(answer.code), server.method);
        let subscribes = method == Method::Subscribe && class == StatusClass::Success;
        let makes_dialog = subscribes || (method == Method::Invite && class != StatusClass::Failure);
        let (source, tag) = (server.source, server.tag.as_str());
        let mut writer = compose::begin_response(request, source, answer.code, &answer.reason, tag, makes_dialog);
        // RFC 3261 §13.3.1.1, RFC 3311 §5.2, RFC 3515 §2.2: these responses carry a Contact.
        if makes_dialog || (matches!(method, Method::Update | Method::Refer) && class == StatusClass::Success) {
            let dialog = server.dialog.and_then(|dialog| cx.dialogs.get(dialog)).map(Dialog::plain);
            let secure = dialog.map_or_else(|| begins_secure(request), |plain| plain.secure);
            // An existing dialog keeps its Contact user.
            let user = dialog.map_or(&answer.contact_user, |plain| &plain.contact_user);
            let (peers, local) = (&cx.shared.peers, server.local);
            writer.header("Contact", &peers.contact(server.party, user, local, source.transport, secure));
        }
        if class == StatusClass::Success && matches!(method, Method::Invite | Method::Options | Method::Update) {
            cx.shared.rules.write_abilities(&mut writer, cx.shared.peers.abilities(server.party));
        }
        if class == StatusClass::Success && method == Method::Options {
            writer.header("Accept", "application/sdp");
        }
        if let Some(rseq) = rseq {
            writer.header("Require", RELIABLE).header("RSeq", &rseq.to_string());
        }
        write_extras(&mut writer, &answer.headers);
        cx.shared.write_product(&mut writer);
        Some(writer.finish(answer.body.as_ref()))
    }

    /// Creates the dialog of an INVITE with the first response (RFC 3261 §12.1.1) or confirms it with the 2xx; creates
    /// the dialog of a SUBSCRIBE, confirmed at once (RFC 6665 §4.2.1).
    fn answered_dialog(&mut self, cx: &mut EndpointCx<'_>, id: ServerId, confirmed: bool, contact_user: &str) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if let Some(dialog) = server.dialog {
            if let Some(live) = cx.dialogs.get_mut(dialog).filter(|_| confirmed) {
                live.confirm();
            }
            return;
        }
        let Some(request) = &server.request else { return };
        let target =
            contact_uri(request).or_else(|| request.from().map(|from| String::from_utf8_lossy(from.uri).into_owned()));
        let plain = DialogSnapshot {
            call_id: String::from_utf8_lossy(request.call_id().unwrap_or_default()).into_owned(),
            local_tag: server.tag.clone(),
            remote_tag: String::from_utf8_lossy(key::from_tag(request)).into_owned(),
            local_uri: bare_address(request.to()),
            remote_uri: bare_address(request.from()),
            remote_target: target.unwrap_or_default(),
            route_set: record_routes(request),
            local_cseq: 0,
            remote_cseq: Some(server.cseq),
            contact_user: contact_user.to_owned(),
            secure: begins_secure(request),
            flow: server.source,
            local: server.local,
            party: server.party,
        };
        cx.dialogs.release(std::mem::take(&mut server.reserved));
        let dialog = if server.method == Method::Subscribe {
            Dialog::of_subscription(plain)
        } else {
            Dialog::of_server(plain, confirmed, id)
        };
        server.dialog = Some(cx.dialogs.insert(cx.shared, dialog));
    }
}

/// Returns whether a value of Reason contains `SIP;cause=200` (RFC 3326 §3.1): the call was answered elsewhere.
fn says_elsewhere(value: &[u8]) -> bool {
    split(value, b',').any(|entry| {
        let protocol = split(entry, b';').next().map(trim).unwrap_or_default();
        protocol.eq_ignore_ascii_case(b"SIP") && params::find(entry, "cause") == Some(b"200")
    })
}
