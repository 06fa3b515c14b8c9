//! Handles responses (RFC 3261 §8.1.3, §13.2.2), the dialogs they create, and requests that get no response.

use std::net::IpAddr;

use bytes::Bytes;

use super::ClientTransactions;
use super::transaction::{CancelState, ForkedBranch};
use crate::compose::{RequestHead, is_sips, tagged};
use crate::cx::EndpointCx;
use crate::dialog::{Dialog, DialogSnapshot, PrackDue, contact_uri, record_routes};
use crate::event::{
    ClientId, DialogId, DropReason, EndpointEvent, Flow, SentMessage, SipPartyId, TimerReason, Transport,
};
use crate::header::HeaderName;
use crate::header::rack::rseq;
use crate::message::SipMessage;
use crate::method::Method;
use crate::sanity::names_reliable;
use crate::shared::{EndpointShared, MessageOrigin, TimerOwner};
use crate::transaction::{ClientEvent, StatusClass, StepMessage, StepReport, TimerChange, key};

/// Status code of 199 Early Dialog Terminated (RFC 6228).
const EARLY_DIALOG_TERMINATED: u16 = 199;

/// Dialog created by a 2xx that must be acknowledged and then ended with a BYE.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HangUp {
    /// INVITE to which the response belongs.
    pub(crate) invite: ClientId,
    /// Dialog to end.
    pub(crate) dialog: DialogId,
    /// Whether the BYE counts towards the limit of requests that responses to the INVITE may cause.
    pub(crate) is_caused: bool,
}

impl ClientTransactions {
    /// Handles a response. Returns a dialog that the endpoint must hang up on, if any.
    pub(crate) fn on_response(
        &mut self,
        cx: &mut EndpointCx<'_>,
        arrival: MessageOrigin,
        response: SipMessage,
    ) -> Option<HangUp> {
        if response.defect().is_some() {
            cx.shared.drop_message(DropReason::DamagedResponse);
            return None;
        }
        let Some((id, code)) = self.find_transaction(cx.shared, &arrival, &response) else {
            cx.shared.drop_message(DropReason::StrayResponse);
            return None;
        };
        let class = StatusClass::from_code(code);
        if class == StatusClass::Failure {
            self.prepare_ack(cx.shared, id, &response);
        }
        if class != StatusClass::Provisional {
            self.stop_waiting(id);
        }
        let first = cx.shared.outputs();
        let told = self.step(cx, id, ClientEvent::Response(class)) == StepReport::Message;
        let repeated = told
            && match code {
                401 | 407 => self.answer_challenge(cx, id, arrival, &response),
                422 => self.retry_longer_interval(cx, id, arrival, &response),
                _ => false,
            };
        let mut hang_up = None;
        if told && !repeated {
            let flow = arrival.flow;
            match class {
                StatusClass::Provisional if self.inviting(id).is_some() => {
                    self.on_invite_provisional(cx, id, flow, code, response);
                }
                StatusClass::Success if self.inviting(id).is_some() => {
                    hang_up = self.on_invite_success(cx, id, flow, code, response);
                }
                StatusClass::Failure if self.inviting(id).is_some() => self.on_invite_failure(cx, id, code, response),
                StatusClass::Provisional | StatusClass::Success | StatusClass::Failure => {
                    self.on_other_response(cx, id, code, response)
                }
            }
        }
        if class != StatusClass::Provisional
            && !repeated
            && let Some(client) = self.clients.get_mut(&id)
        {
            // The request is not sent again, so its bytes can be freed.
            client.request = Bytes::new();
        }
        cx.shared.put_event_first(first);
        self.settle_transaction(cx, id);
        hang_up
    }

    /// Handles an expired timer of a client transaction.
    pub(crate) fn on_timer(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, reason: TimerReason) {
        let tell = self.step(cx, id, ClientEvent::Timer(reason));
        self.end_transaction(cx, id, tell);
    }

    /// Returns the transaction of a response (RFC 3261 §17.1.3), provided the response comes from the party of its
    /// request.
    fn find_transaction(
        &self,
        shared: &mut EndpointShared,
        arrival: &MessageOrigin,
        response: &SipMessage,
    ) -> Option<(ClientId, u16)> {
        let code = response.code()?;
        let id = self.answered_by(shared, response)?;
        let client = self.clients.get(&id)?;
        (client.party == arrival.party).then_some((id, code))
    }

    /// Returns the transaction that matches the branch, method and Call-ID of a response, without checking the party.
    fn answered_by(&self, shared: &mut EndpointShared, response: &SipMessage) -> Option<ClientId> {
        let branch = response.via()?.branch?;
        key::client(&mut shared.scratch, branch, response.method());
        let id = self.at_key(shared)?;
        let client = self.clients.get(&id)?;
        (response.call_id() == Some(client.call_id.as_bytes())).then_some(id)
    }

    /// Returns the party of the request that a response answers, if `source` is in the party's networks or is the
    /// address the request was sent to.
    pub(crate) fn find_party(
        &self,
        shared: &mut EndpointShared,
        response: &SipMessage,
        source: IpAddr,
    ) -> Option<SipPartyId> {
        let client = self.clients.get(&self.answered_by(shared, response)?)?;
        let is_its = shared.peers.reach(client.party).iter().any(|network| network.contains(&source));
        (is_its || client.flow.remote.ip() == source).then_some(client.party)
    }

    /// Advances a state machine and sends the message that the step requires.
    pub(super) fn step(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, event: ClientEvent) -> StepReport {
        let Some(client) = self.clients.get_mut(&id) else { return StepReport::Nothing };
        let step = client.machine.step(event);
        client.slots.apply(&mut cx.shared.timers, cx.now, TimerOwner::Client(id), step);
        if matches!(step.timeout, TimerChange::Arm(TimerReason::TimerM | TimerReason::TimerD, _)) {
            self.note_settled(cx.now, id);
        }
        let Some(client) = self.clients.get(&id) else { return StepReport::Nothing };
        match step.send {
            StepMessage::Nothing => {}
            StepMessage::Message => {
                let (flow, bytes, what) = (client.flow, client.request.clone(), client.sent(id, client.method, true));
                cx.shared.transmit(flow, bytes, what);
            }
            StepMessage::Ack => {
                let ack = client.invite.as_deref().and_then(|inviting| inviting.ack.clone());
                let (flow, what) = (client.flow, client.sent(id, Method::Ack, step.tell == StepReport::Nothing));
                if let Some(bytes) = ack {
                    cx.shared.transmit(flow, bytes, what);
                }
            }
        }
        step.tell
    }

    fn settle_transaction(&mut self, cx: &mut EndpointCx<'_>, id: ClientId) {
        if self.clients.get(&id).is_some_and(|client| client.machine.is_over()) {
            self.remove(cx.shared, cx.dialogs, id);
        }
    }

    /// Acknowledges a reliable provisional response. Returns whether the response is to be reported: retransmissions
    /// and responses with a missing predecessor are not (RFC 3262 §4). A response that makes an offer is acknowledged
    /// by [`SipEndpoint::answer_early`](crate::SipEndpoint::answer_early).
    fn acknowledge_provisional(
        &mut self,
        cx: &mut EndpointCx<'_>,
        id: ClientId,
        dialog: Option<DialogId>,
        response: &SipMessage,
    ) -> bool {
        let number = response.header(HeaderName::RSeq).and_then(rseq);
        let Some(number) = number.filter(|_| names_reliable(response, HeaderName::Require)) else { return true };
        let begins = self.is_initial(id);
        let (Some(dialog), Some(inviting)) = (dialog, self.inviting(id)) else { return false };
        let (asks, cseq) = (begins && !inviting.offers, inviting.cseq);
        let Some(live) = cx.dialogs.get_mut(dialog) else { return false };
        let (of, last) = live.last_prack();
        if of == cseq && last.checked_add(1) != Some(number) {
            return false;
        }
        let due = PrackDue { invite: id, cseq, rseq: number };
        if asks && of != cseq && response.sdp().is_some() {
            live.owe_prack(due);
            return true;
        }
        self.prack(cx, dialog, due, None)
    }

    /// Builds the ACK to a non-2xx final response from the first such response (RFC 3261 §17.1.1.3).
    fn prepare_ack(&mut self, shared: &EndpointShared, id: ClientId, response: &SipMessage) {
        let Some(client) = self.clients.get(&id) else { return };
        if client.invite.as_deref().is_none_or(|inviting| inviting.ack.is_some()) {
            return;
        }
        let to = response.header(HeaderName::To).map(|to| String::from_utf8_lossy(to).into_owned());
        let ack = client.build_tied_request(
            Method::Ack,
            to.as_deref(),
            shared.product(),
            shared.peers.offers_reuse(client.party),
        );
        if let Some(inviting) = self.clients.get_mut(&id).and_then(|client| client.invite.as_deref_mut()) {
            inviting.ack = ack;
        }
    }

    /// Removes a transaction from the index of waiting requests: it sends nothing more, so a transport failure must
    /// not end it.
    fn stop_waiting(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get(&id) {
            self.waiting.remove(&(client.flow.remote, client.flow.transport, id));
        }
    }

    fn on_invite_provisional(
        &mut self,
        cx: &mut EndpointCx<'_>,
        id: ClientId,
        flow: Flow,
        code: u16,
        response: SipMessage,
    ) {
        if flow.transport == Transport::Udp {
            self.stop_waiting(id);
        }
        let Some(client) = self.clients.get(&id) else { return };
        let silent = client.silent;
        if client.invite.as_deref().is_some_and(|inviting| inviting.cancel == CancelState::Wanted) {
            self.send_cancel(cx, id);
        }
        if silent {
            return;
        }
        if code == 100 {
            return cx.shared.queue_event(EndpointEvent::Trying { id });
        }
        let within = self.clients.get(&id).and_then(|client| client.dialog);
        let dialog = match within {
            Some(dialog) => Some(dialog),
            None if key::to_tag(&response).is_empty() => None,
            None if code == EARLY_DIALOG_TERMINATED => self.end_fork(cx, id, &response),
            None => match self.fork_dialog(cx, id, flow, &response, false) {
                Some(dialog) => Some(dialog),
                None => {
                    cx.shared.drop_message(DropReason::Full);
                    None
                }
            },
        };
        if self.acknowledge_provisional(cx, id, dialog, &response) {
            cx.shared.queue_event(EndpointEvent::Response { id, dialog, code, response, had_credentials: false });
        }
    }

    /// Handles 199 (RFC 6228 §4): ends the early dialog and frees its slot. Returns that dialog, or `None` if no such
    /// early dialog exists.
    fn end_fork(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, response: &SipMessage) -> Option<DialogId> {
        let tag = key::to_tag(response);
        let inviting = self.clients.get_mut(&id)?.invite.as_deref_mut()?;
        let at = inviting.forks.iter().position(|fork| *fork.tag == *tag && !fork.confirmed)?;
        let dialog = inviting.forks.get(at)?.dialog;
        // A reliable 199 is acknowledged inside this dialog, which is removed later with the others.
        if response.count(HeaderName::RSeq) == 0 {
            inviting.forks.remove(at);
            cx.dialogs.remove(cx.shared, dialog);
        }
        Some(dialog)
    }

    /// Removes an early dialog of an INVITE. Returns whether the INVITE has no other dialog left.
    pub(crate) fn forget_fork(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, dialog: DialogId) -> bool {
        let inviting = self.clients.get_mut(&id).and_then(|client| client.invite.as_deref_mut());
        let is_last = inviting.is_none_or(|inviting| {
            inviting.forks.retain(|fork| fork.dialog != dialog);
            inviting.forks.is_empty()
        });
        cx.dialogs.remove(cx.shared, dialog);
        is_last
    }

    fn on_invite_success(
        &mut self,
        cx: &mut EndpointCx<'_>,
        id: ClientId,
        flow: Flow,
        code: u16,
        response: SipMessage,
    ) -> Option<HangUp> {
        let event = |dialog, response| EndpointEvent::Response { id, dialog, code, response, had_credentials: false };
        let client = self.clients.get(&id)?;
        let inviting = client.invite.as_deref()?;
        let (silent, cseq) = (client.silent, inviting.cseq);
        let tag = key::to_tag(&response);
        let known = inviting.forks.iter().find(|fork| fork.confirmed && (client.dialog.is_some() || *fork.tag == *tag));
        if let Some(fork) = known {
            // Retransmitted 2xx, sent before our ACK arrived.
            let again = fork.ack.clone().map(|(flow, bytes)| {
                (flow, bytes, SentMessage { dialog: Some(fork.dialog), ..client.sent(id, Method::Ack, true) })
            });
            if let Some((flow, bytes, what)) = again {
                cx.shared.transmit(flow, bytes, what);
            }
            return None;
        }
        let dialog = match client.dialog {
            Some(dialog) if cx.dialogs.contains(dialog) => dialog,
            Some(_) => {
                self.ack_without_dialog(cx, id, &response);
                if !silent {
                    cx.shared.queue_event(event(None, response));
                }
                return None;
            }
            None => match self.fork_dialog(cx, id, flow, &response, true) {
                Some(dialog) => dialog,
                None => return self.hang_up_on_fork(cx, id, flow, cseq, &response),
            },
        };
        let re_invite = self.clients.get(&id).is_some_and(|client| client.dialog.is_some());
        if re_invite {
            cx.dialogs.set_flow(dialog, flow);
            let inviting = self.clients.get_mut(&id).and_then(|client| client.invite.as_deref_mut());
            if let Some(inviting) = inviting {
                inviting.forks.push(ForkedBranch {
                    tag: key::to_tag(&response).into(),
                    dialog,
                    confirmed: true,
                    ack: None,
                });
            }
        }
        if let Some(live) = cx.dialogs.get_mut(dialog) {
            live.owe_ack(cseq);
            live.begin_invite_out(id);
            if re_invite {
                live.refresh_target(&response);
            }
        }
        if silent {
            return Some(HangUp { invite: id, dialog, is_caused: false });
        }
        cx.shared.queue_event(event(Some(dialog), response));
        None
    }

    fn on_invite_failure(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, code: u16, response: SipMessage) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let (silent, within) = (client.silent, client.dialog);
        let had_credentials = client.invite.as_deref().is_some_and(|inviting| !inviting.credentials.is_empty());
        let early: Vec<DialogId> =
            client.invite.as_deref_mut().map(|i| i.forks.drain(..).map(|f| f.dialog).collect()).unwrap_or_default();
        for dialog in early {
            cx.dialogs.remove(cx.shared, dialog);
        }
        if let Some(dialog) = within.and_then(|dialog| cx.dialogs.get_mut(dialog)) {
            dialog.invite_out_refused(id);
        }
        if !silent {
            cx.shared.queue_event(EndpointEvent::Response { id, dialog: within, code, response, had_credentials });
        }
    }

    fn on_other_response(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, code: u16, response: SipMessage) {
        let Some(client) = self.clients.get(&id) else { return };
        if client.silent {
            return;
        }
        let (method, dialog, class) = (client.method, client.dialog, StatusClass::from_code(code));
        if method == Method::Update
            && class != StatusClass::Provisional
            && let Some(live) = dialog.and_then(|dialog| cx.dialogs.get_mut(dialog))
        {
            live.end_update_out(id);
            if class == StatusClass::Success {
                live.refresh_target(&response);
            }
        }
        cx.shared.queue_event(EndpointEvent::Response { id, dialog, code, response, had_credentials: false });
    }

    /// Returns the dialog of a response to an INVITE: the one named by the To tag, or a new one (RFC 3261 §12.1.2).
    /// Returns `None` past the limits: every INVITE may create one dialog, further ones only while there is room.
    fn fork_dialog(
        &mut self,
        cx: &mut EndpointCx<'_>,
        id: ClientId,
        flow: Flow,
        response: &SipMessage,
        confirmed: bool,
    ) -> Option<DialogId> {
        let tag = key::to_tag(response);
        let inviting = self.clients.get_mut(&id)?.invite.as_deref_mut()?;
        let known = inviting.forks.iter().position(|fork| *fork.tag == *tag);
        let fork = known.and_then(|at| inviting.forks.get_mut(at));
        if let Some(fork) = fork {
            fork.confirmed |= confirmed;
            let dialog = fork.dialog;
            if cx.dialogs.contains(dialog) {
                cx.dialogs.set_flow(dialog, flow);
                let live = cx.dialogs.get_mut(dialog)?;
                live.refresh_target(response);
                if confirmed && !live.is_confirmed() {
                    live.confirm();
                    live.set_routes(reversed(record_routes(response)));
                }
                return Some(dialog);
            }
        }
        if known.is_none() && !self.has_room_for_fork(cx, id, confirmed) {
            return None;
        }
        let dialog = self.insert_fork(cx, id, flow, response, confirmed)?;
        let inviting = self.clients.get_mut(&id)?.invite.as_deref_mut()?;
        match known.and_then(|at| inviting.forks.get_mut(at)) {
            Some(fork) => fork.dialog = dialog,
            None => {
                // Further forks are rare, so that space is reserved for one only.
                inviting.forks.reserve_exact(1);
                inviting.forks.push(ForkedBranch { tag: tag.into(), dialog, confirmed, ack: None });
            }
        }
        Some(dialog)
    }

    /// Makes room for a dialog that a response from another fork creates: a confirmed dialog may evict an early one.
    /// Returns whether there is room.
    fn has_room_for_fork(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, confirmed: bool) -> bool {
        let room = !cx.dialogs.is_full();
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let Some(inviting) = client.invite.as_deref_mut() else { return false };
        if inviting.forks.len() < self.most_forks && (client.reserved || room) {
            return true;
        }
        let early = inviting.forks.iter().position(|fork| !fork.confirmed).filter(|_| confirmed);
        let Some(fork) = early.map(|at| inviting.forks.remove(at)) else { return false };
        cx.dialogs.remove(cx.shared, fork.dialog);
        true
    }

    /// Creates a dialog for a 2xx beyond the limits, to be acknowledged and hung up on, so that the callee is not left
    /// in a half-open call (RFC 3261 §13.2.2.4). A retransmitted 2xx is handled in the same way.
    fn hang_up_on_fork(
        &mut self,
        cx: &mut EndpointCx<'_>,
        id: ClientId,
        flow: Flow,
        cseq: u32,
        response: &SipMessage,
    ) -> Option<HangUp> {
        cx.shared.drop_message(DropReason::Full);
        if !self.may_cause_request(id) {
            return None;
        }
        let dialog = self.insert_fork(cx, id, flow, response, true)?;
        if let Some(live) = cx.dialogs.get_mut(dialog) {
            live.owe_ack(cseq);
        }
        Some(HangUp { invite: id, dialog, is_caused: true })
    }

    /// Adds the dialog that a response to an INVITE creates to the table.
    fn insert_fork(
        &mut self,
        cx: &mut EndpointCx<'_>,
        id: ClientId,
        flow: Flow,
        response: &SipMessage,
        confirmed: bool,
    ) -> Option<DialogId> {
        let client = self.clients.get_mut(&id)?;
        let inviting = client.invite.as_deref()?;
        let mut plain = DialogSnapshot {
            call_id: client.call_id.clone(),
            local_tag: inviting.local_tag.clone(),
            remote_tag: String::from_utf8_lossy(key::to_tag(response)).into_owned(),
            local_uri: inviting.local_uri.clone(),
            remote_uri: inviting.remote_uri.clone(),
            remote_target: contact_uri(response).unwrap_or_else(|| inviting.uri.clone()),
            route_set: reversed(record_routes(response)),
            local_cseq: inviting.cseq,
            remote_cseq: None,
            contact_user: inviting.contact_user.clone(),
            secure: is_sips(&inviting.uri),
            flow,
            local: client.local,
            party: client.party,
        };
        if client.is_taken_over {
            plain.skip_cseqs(1);
        }
        cx.dialogs.release(std::mem::take(&mut client.reserved));
        Some(cx.dialogs.insert(cx.shared, Dialog::of_client(plain, confirmed, id)))
    }

    /// Acknowledges the 2xx to a re-INVITE after its dialog has ended, to stop the retransmissions.
    fn ack_without_dialog(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, response: &SipMessage) {
        let Some(client) = self.clients.get(&id) else { return };
        let Some(inviting) = client.invite.as_deref() else { return };
        let bytes = RequestHead {
            method: Method::Ack,
            uri: &contact_uri(response).unwrap_or_else(|| inviting.uri.clone()),
            transport: client.flow.transport,
            local: client.local,
            branch: &cx.shared.tokens.branch(),
            max_forwards: 70,
            routes: &inviting.routes,
            from: &tagged(&inviting.local_uri, &inviting.local_tag),
            to: &inviting.to,
            call_id: &client.call_id,
            cseq: inviting.cseq,
            product: cx.shared.product(),
            alias: cx.shared.peers.offers_reuse(client.party),
        }
        .write_head()
        .finish(None);
        let (flow, what) = (client.flow, client.sent(id, Method::Ack, false));
        let fork = ForkedBranch {
            tag: key::to_tag(response).into(),
            dialog: client.dialog.unwrap_or(DialogId(0)),
            confirmed: true,
            ack: Some((flow, bytes.clone())),
        };
        if let Some(inviting) = self.clients.get_mut(&id).and_then(|client| client.invite.as_deref_mut()) {
            inviting.forks.push(fork);
        }
        cx.shared.transmit(flow, bytes, what);
    }

    pub(super) fn end_transaction(&mut self, cx: &mut EndpointCx<'_>, id: ClientId, tell: StepReport) {
        let silent = self.clients.get(&id).is_none_or(|client| client.silent);
        self.settle_transaction(cx, id);
        match tell {
            StepReport::TimedOut if !silent => cx.shared.queue_event(EndpointEvent::TimedOut { id }),
            StepReport::TransportFailed if !silent => cx.shared.queue_event(EndpointEvent::TransportFailed { id }),
            StepReport::TimedOut | StepReport::TransportFailed | StepReport::Nothing | StepReport::Message => {}
        }
    }
}

/// Returns the route set for the caller's side: the Record-Route list in reverse order (RFC 3261 §12.1.2).
fn reversed(mut routes: Vec<String>) -> Vec<String> {
    routes.reverse();
    routes
}
