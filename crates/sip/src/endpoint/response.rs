//! Answers to our requests (RFC 3261 §8.1.3, §13.2.2), and requests of ours that get none.

use std::time::Instant;

use bytes::Bytes;

use super::tables::{Cancel, Fork};
use super::{Arrival, Endpoint, Timer};
use crate::compose::{Head, is_sips, tagged};
use crate::dialog::{Dialog, DialogSnapshot, contact_uri, record_routes};
use crate::event::{ClientId, DialogId, DropReason, Event, Flow, Output, Reason, Sent, Transport};
use crate::header::HeaderName;
use crate::message::Message;
use crate::method::Method;
use crate::transaction::{Class, ClientEvent, Send, Slot, Tell, key};

/// 199 Early Dialog Terminated.
const EARLY_DIALOG_TERMINATED: u16 = 199;

impl Endpoint {
    pub(super) fn on_response(&mut self, now: Instant, arrival: Arrival, response: Message) {
        if response.defect().is_some() {
            return self.drop_message(DropReason::DamagedResponse);
        }
        let Some((id, code)) = self.response_owner(&arrival, &response) else {
            return self.drop_message(DropReason::StrayResponse);
        };
        let class = Class::of(code);
        if class == Class::Failure {
            self.prepare_ack(id, &response);
        }
        if class != Class::Provisional {
            self.stop_waiting(id);
        }
        let first = self.out.len();
        let told = self.step_client(now, id, ClientEvent::Response(class)) == Tell::Message;
        let repeated = told
            && match code {
                401 | 407 => self.answer_challenge(now, id, arrival, &response),
                422 => self.lengthen(now, id, arrival, &response),
                _ => false,
            };
        if told && !repeated {
            let is_invite = self.clients.get(&id).is_some_and(|client| client.invite.is_some());
            match class {
                Class::Provisional if is_invite => self.on_invite_provisional(now, id, arrival.flow, code, response),
                Class::Success if is_invite => self.on_invite_success(now, id, arrival.flow, code, response),
                Class::Failure if is_invite => self.on_invite_failure(id, code, response),
                Class::Provisional | Class::Success | Class::Failure => self.on_other_response(id, code, response),
            }
        }
        if class != Class::Provisional
            && !repeated
            && let Some(client) = self.clients.get_mut(&id)
        {
            // It is not sent again.
            client.request = Bytes::new();
        }
        // News of an answer goes before the ACK that it got, so that a trace reads as it was.
        if let (Some(Output::Transmit(_)), Some(Output::Event(_))) = (self.out.get(first), self.out.get(first + 1)) {
            self.out.swap(first, first + 1);
        }
        self.settle_client(id);
    }

    /// The transaction that a response belongs to (RFC 3261 §17.1.3): only its party may answer it.
    fn response_owner(&mut self, arrival: &Arrival, response: &Message) -> Option<(ClientId, u16)> {
        let code = response.code()?;
        let branch = response.via()?.branch?;
        key::client(&mut self.scratch, branch, response.method());
        let id = *self.client_keys.get(self.scratch.as_slice())?;
        let client = self.clients.get(&id)?;
        let same_call = response.call_id() == Some(client.call_id.as_bytes());
        (client.party == arrival.party && same_call).then_some((id, code))
    }

    /// Steps a client's machine and sends what it says.
    fn step_client(&mut self, now: Instant, id: ClientId, event: ClientEvent) -> Tell {
        let Some(client) = self.clients.get_mut(&id) else { return Tell::Nothing };
        let step = client.machine.step(event);
        client.slots.apply(&mut self.timers, now, Timer::Client(id), step);
        if matches!(step.timeout, Slot::Arm(Reason::TimerM | Reason::TimerD, _)) {
            self.note_settled(now, id);
        }
        let Some(client) = self.clients.get(&id) else { return Tell::Nothing };
        match step.send {
            Send::Nothing => {}
            Send::Message => {
                let (flow, bytes, what) = (client.flow, client.request.clone(), client.sent(id, client.method, true));
                self.transmit(flow, bytes, what);
            }
            Send::Ack => {
                let ack = client.invite.as_deref().and_then(|inviting| inviting.ack.clone());
                let (flow, what) = (client.flow, client.sent(id, Method::Ack, step.tell == Tell::Nothing));
                if let Some(bytes) = ack {
                    self.transmit(flow, bytes, what);
                }
            }
        }
        step.tell
    }

    fn settle_client(&mut self, id: ClientId) {
        if self.clients.get(&id).is_some_and(|client| client.machine.is_over()) {
            self.remove_client(id);
        }
    }

    /// The ACK to a non-2xx final, made of the first one that comes (RFC 3261 §17.1.1.3).
    fn prepare_ack(&mut self, id: ClientId, response: &Message) {
        let Some(client) = self.clients.get(&id) else { return };
        if client.invite.as_deref().is_none_or(|inviting| inviting.ack.is_some()) {
            return;
        }
        let to = response.header(HeaderName::To).map(|to| String::from_utf8_lossy(to).into_owned());
        let ack = client.tied(Method::Ack, to.as_deref(), &self.product, self.offers_reuse(client.party));
        if let Some(inviting) = self.clients.get_mut(&id).and_then(|client| client.invite.as_deref_mut()) {
            inviting.ack = ack;
        }
    }

    /// A transport that fails from now on ends nothing of this one: nothing more is being sent.
    fn stop_waiting(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get(&id) {
            self.waiting.remove(&(client.flow.remote, client.flow.transport, id));
        }
    }

    fn on_invite_provisional(&mut self, now: Instant, id: ClientId, flow: Flow, code: u16, response: Message) {
        if flow.transport == Transport::Udp {
            self.stop_waiting(id);
        }
        let Some(client) = self.clients.get(&id) else { return };
        let silent = client.silent;
        if client.invite.as_deref().is_some_and(|inviting| inviting.cancel == Cancel::Wanted) {
            self.send_cancel(now, id);
        }
        if silent {
            return;
        }
        if code == 100 {
            return self.tell(Event::Trying { id });
        }
        let within = self.clients.get(&id).and_then(|client| client.dialog);
        let dialog = match within {
            Some(dialog) => Some(dialog),
            None if key::to_tag(&response).is_empty() => None,
            None if code == EARLY_DIALOG_TERMINATED => self.end_fork(id, &response),
            None => match self.fork_dialog(id, flow, &response, false) {
                Some(dialog) => Some(dialog),
                None => {
                    self.drop_message(DropReason::Full);
                    None
                }
            },
        };
        if self.acknowledge_provisional(now, id, dialog, &response) {
            self.tell(Event::Response { id, dialog, code, response });
        }
    }

    /// 199 (RFC 6228 §4): the far end's early dialog is over, and makes room; which one it was. One that we never had is not
    /// made for that.
    fn end_fork(&mut self, id: ClientId, response: &Message) -> Option<DialogId> {
        let tag = key::to_tag(response);
        let inviting = self.clients.get_mut(&id)?.invite.as_deref_mut()?;
        let at = inviting.forks.iter().position(|fork| *fork.tag == *tag && !fork.confirmed)?;
        let dialog = inviting.forks.get(at)?.dialog;
        // A reliable one is acknowledged in that dialog, which then goes with the others.
        if response.count(HeaderName::RSeq) == 0 {
            inviting.forks.remove(at);
            self.remove_dialog(dialog);
        }
        Some(dialog)
    }

    fn on_invite_success(&mut self, now: Instant, id: ClientId, flow: Flow, code: u16, response: Message) {
        let Some(client) = self.clients.get(&id) else { return };
        let Some(inviting) = client.invite.as_deref() else { return };
        let (silent, cseq) = (client.silent, inviting.cseq);
        let tag = key::to_tag(&response);
        let known = inviting.forks.iter().find(|fork| fork.confirmed && (client.dialog.is_some() || *fork.tag == *tag));
        if let Some(fork) = known {
            // A repetition, from before our ACK arrived there.
            let again = fork.ack.clone().map(|(flow, bytes)| {
                (flow, bytes, Sent { dialog: Some(fork.dialog), ..client.sent(id, Method::Ack, true) })
            });
            if let Some((flow, bytes, what)) = again {
                self.transmit(flow, bytes, what);
            }
            return;
        }
        let dialog = match client.dialog {
            Some(dialog) if self.dialogs.contains_key(&dialog) => dialog,
            Some(_) => {
                self.ack_without_dialog(id, &response);
                if !silent {
                    self.tell(Event::Response { id, dialog: None, code, response });
                }
                return;
            }
            None => match self.fork_dialog(id, flow, &response, true) {
                Some(dialog) => dialog,
                None => return self.hang_up_on_fork(now, id, flow, cseq, &response),
            },
        };
        let re_invite = self.clients.get(&id).is_some_and(|client| client.dialog.is_some());
        if re_invite {
            self.set_dialog_flow(dialog, flow);
            let inviting = self.clients.get_mut(&id).and_then(|client| client.invite.as_deref_mut());
            if let Some(inviting) = inviting {
                inviting.forks.push(Fork { tag: key::to_tag(&response).into(), dialog, confirmed: true, ack: None });
            }
        }
        if let Some(live) = self.dialogs.get_mut(&dialog) {
            live.ack_due = Some(cseq);
            live.invite_out = Some(id);
            if re_invite {
                live.refresh_target(&response);
            }
        }
        if silent {
            self.hang_up(now, id, dialog);
        } else {
            self.tell(Event::Response { id, dialog: Some(dialog), code, response });
        }
    }

    fn on_invite_failure(&mut self, id: ClientId, code: u16, response: Message) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let (silent, within) = (client.silent, client.dialog);
        let early: Vec<DialogId> =
            client.invite.as_deref_mut().map(|i| i.forks.drain(..).map(|f| f.dialog).collect()).unwrap_or_default();
        for dialog in early {
            self.remove_dialog(dialog);
        }
        if let Some(dialog) = within.and_then(|dialog| self.dialogs.get_mut(&dialog))
            && dialog.invite_out == Some(id)
        {
            dialog.invite_out = None;
        }
        if !silent {
            self.tell(Event::Response { id, dialog: within, code, response });
        }
    }

    fn on_other_response(&mut self, id: ClientId, code: u16, response: Message) {
        let Some(client) = self.clients.get(&id) else { return };
        if client.silent {
            return;
        }
        let (method, dialog, class) = (client.method, client.dialog, Class::of(code));
        if let Some(dialog) = dialog.filter(|_| method == Method::Update && class != Class::Provisional) {
            self.update_out_over(dialog, id);
        }
        if method == Method::Update
            && class == Class::Success
            && let Some(live) = dialog.and_then(|dialog| self.dialogs.get_mut(&dialog))
        {
            live.refresh_target(&response);
        }
        self.tell(Event::Response { id, dialog, code, response });
    }

    /// The dialog of an answer to our INVITE: the one its To tag names, or a new one (RFC 3261 §12.1.2). `None` past
    /// the limits: one INVITE makes one dialog by right, more only while there is room.
    fn fork_dialog(&mut self, id: ClientId, flow: Flow, response: &Message, confirmed: bool) -> Option<DialogId> {
        let tag = key::to_tag(response);
        let inviting = self.clients.get_mut(&id)?.invite.as_deref_mut()?;
        let known = inviting.forks.iter().position(|fork| *fork.tag == *tag);
        let fork = known.and_then(|at| inviting.forks.get_mut(at));
        if let Some(fork) = fork {
            fork.confirmed |= confirmed;
            let dialog = fork.dialog;
            if self.dialogs.contains_key(&dialog) {
                self.set_dialog_flow(dialog, flow);
                let live = self.dialogs.get_mut(&dialog)?;
                live.refresh_target(response);
                if confirmed && !live.confirmed {
                    live.confirmed = true;
                    live.set_routes(reversed(record_routes(response)));
                }
                return Some(dialog);
            }
        }
        if known.is_none() && !self.has_room_for_fork(id, confirmed) {
            return None;
        }
        let dialog = self.insert_fork(id, flow, response, confirmed)?;
        let inviting = self.clients.get_mut(&id)?.invite.as_deref_mut()?;
        match known.and_then(|at| inviting.forks.get_mut(at)) {
            Some(fork) => fork.dialog = dialog,
            None => {
                // Further ones are rare.
                inviting.forks.reserve_exact(1);
                inviting.forks.push(Fork { tag: tag.into(), dialog, confirmed, ack: None });
            }
        }
        Some(dialog)
    }

    /// Whether an answer from one more far end may make a dialog. An early one gives way to one that has answered.
    fn has_room_for_fork(&mut self, id: ClientId, confirmed: bool) -> bool {
        let room = self.dialogs.len() + self.reserved < self.limits.dialogs;
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let Some(inviting) = client.invite.as_deref_mut() else { return false };
        if inviting.forks.len() < self.limits.forks && (client.reserved || room) {
            return true;
        }
        let early = inviting.forks.iter().position(|fork| !fork.confirmed).filter(|_| confirmed);
        let Some(fork) = early.map(|at| inviting.forks.remove(at)) else { return false };
        self.remove_dialog(fork.dialog);
        true
    }

    /// A 2xx that no dialog can be kept of: acknowledged and hung up on, so that the far end is not left talking to
    /// nobody (RFC 3261 §13.2.2.4). Its repetition is treated in the same way.
    fn hang_up_on_fork(&mut self, now: Instant, id: ClientId, flow: Flow, cseq: u32, response: &Message) {
        self.drop_message(DropReason::Full);
        if !self.may_cause_request(id) {
            return;
        }
        let Some(dialog) = self.insert_fork(id, flow, response, true) else { return };
        if let Some(live) = self.dialogs.get_mut(&dialog) {
            live.ack_due = Some(cseq);
        }
        if let Some(bye) = self.hang_up(now, id, dialog) {
            self.note_caused(id, bye);
        }
    }

    /// A dialog of an answer to our INVITE, taken into the table.
    fn insert_fork(&mut self, id: ClientId, flow: Flow, response: &Message, confirmed: bool) -> Option<DialogId> {
        let client = self.clients.get_mut(&id)?;
        let inviting = client.invite.as_deref()?;
        let plain = DialogSnapshot {
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
        let mut dialog = Dialog::new(plain, confirmed);
        dialog.invite_out = Some(id);
        if std::mem::take(&mut client.reserved) {
            self.reserved -= 1;
        }
        Some(self.insert_dialog(dialog))
    }

    /// The ACK to a re-INVITE's 2xx whose dialog has ended meanwhile; the far end must not go on repeating.
    fn ack_without_dialog(&mut self, id: ClientId, response: &Message) {
        let Some(client) = self.clients.get(&id) else { return };
        let Some(inviting) = client.invite.as_deref() else { return };
        let bytes = Head {
            method: Method::Ack,
            uri: &contact_uri(response).unwrap_or_else(|| inviting.uri.clone()),
            transport: client.flow.transport,
            local: client.local,
            branch: &self.tokens.branch(),
            max_forwards: 70,
            routes: &inviting.routes,
            from: &tagged(&inviting.local_uri, &inviting.local_tag),
            to: &inviting.to,
            call_id: &client.call_id,
            cseq: inviting.cseq,
            product: &self.product,
            alias: self.offers_reuse(client.party),
        }
        .begin()
        .finish(None);
        let (flow, what) = (client.flow, client.sent(id, Method::Ack, false));
        let fork = Fork {
            tag: key::to_tag(response).into(),
            dialog: client.dialog.unwrap_or(DialogId(0)),
            confirmed: true,
            ack: Some((flow, bytes.clone())),
        };
        if let Some(inviting) = self.clients.get_mut(&id).and_then(|client| client.invite.as_deref_mut()) {
            inviting.forks.push(fork);
        }
        self.transmit(flow, bytes, what);
    }

    pub(super) fn on_client_timer(&mut self, now: Instant, id: ClientId, reason: Reason) {
        let tell = self.step_client(now, id, ClientEvent::Timer(reason));
        self.end_client(id, tell);
    }

    pub(super) fn on_client_failed(&mut self, now: Instant, id: ClientId) {
        let tell = self.step_client(now, id, ClientEvent::TransportFailed);
        self.end_client(id, tell);
    }

    fn end_client(&mut self, id: ClientId, tell: Tell) {
        let silent = self.clients.get(&id).is_none_or(|client| client.silent);
        self.settle_client(id);
        match tell {
            Tell::TimedOut if !silent => self.tell(Event::TimedOut { id }),
            Tell::TransportFailed if !silent => self.tell(Event::TransportFailed { id }),
            Tell::TimedOut | Tell::TransportFailed | Tell::Nothing | Tell::Message => {}
        }
    }
}

/// A caller's route set is the Record-Route list from the end (RFC 3261 §12.1.2).
fn reversed(mut routes: Vec<String>) -> Vec<String> {
    routes.reverse();
    routes
}
