//! Our answers (RFC 3261 §8.2.6, §13.3.1), and the 2xx repeated until its ACK comes.

use std::time::Instant;

use super::client::write_extras;
use super::reliable::{OPTION_TAG, Turn};
use super::{Endpoint, Timer};
use crate::compose::{self, begins_secure, contact};
use crate::dialog::{Dialog, DialogSnapshot, Unacked, bare_address, contact_uri, record_routes};
use crate::event::{Answer, DialogId, Event, Reason, Sent, ServerId};
use crate::method::Method;
use crate::timer::{T1, T1_64, T2};
use crate::transaction::{Class, Send, ServerEvent, Tell, key};
use crate::write::Writer;

impl Endpoint {
    /// Answers a request. For an INVITE: provisionals above 100 carry our tag and make an early dialog, a 2xx a
    /// confirmed one (retransmitted until its ACK); the dialog is returned. `None` too where the transaction is gone.
    /// A reliable provisional answer, and a 2xx behind one with a session description, may have to wait for a PRACK: they are
    /// kept, and go out by themselves (RFC 3262 §3).
    pub fn respond(&mut self, now: Instant, id: ServerId, answer: Answer) -> Option<DialogId> {
        let server = self.servers.get(&id)?;
        if !server.machine.is_open() || !(101..=699).contains(&answer.code) {
            return None;
        }
        let (class, invite) = (Class::of(answer.code), server.method == Method::Invite);
        let turn = if invite { self.turn_of(id, &answer) } else { Turn::Now };
        if turn == Turn::Never {
            return None;
        }
        if invite && class != Class::Failure {
            self.answered_dialog(id, class == Class::Success && turn != Turn::Later, &answer.contact_user);
        }
        if turn == Turn::Later {
            self.weigh_server(id);
            return self.servers.get(&id)?.dialog;
        }
        let rseq = if let Turn::Reliably(rseq) = turn { Some(rseq) } else { None };
        let bytes = self.compose_answer(id, &answer, rseq)?;
        let server = self.servers.get_mut(&id)?;
        server.last = Some((bytes.clone(), answer.code));
        if class != Class::Provisional {
            server.request = None;
        }
        let (dialog, initial, cseq, reply) = (server.dialog, server.initial, server.cseq, server.reply);
        self.weigh_server(id);
        self.step_server(now, id, ServerEvent::Send(class));
        if rseq.is_some() {
            self.await_prack(now, id, answer.body.is_some());
        } else if class != Class::Provisional {
            self.stop_provisionals(id);
        }
        let dialog_id = dialog?;
        if class != Class::Provisional {
            self.update_in_over(dialog_id, id);
        }
        if !invite || class == Class::Provisional {
            return dialog;
        }
        if class == Class::Failure && initial {
            self.remove_dialog(dialog_id);
            return None;
        }
        let live = self.dialogs.get_mut(&dialog_id)?;
        live.invite_in = None;
        if class == Class::Success {
            let retransmit = self.timers.arm(now + T1, Reason::Retransmit2xx, Timer::Dialog(dialog_id));
            let wait = self.timers.arm(now + T1_64, Reason::AckWait, Timer::Dialog(dialog_id));
            live.unacked = Some(Box::new(Unacked {
                cseq,
                server: id,
                code: answer.code,
                flow: reply,
                bytes,
                interval: T1,
                retransmit,
                wait,
            }));
        }
        dialog
    }

    /// 100 Trying, at once: the layer above may take longer than 200 ms (RFC 3261 §17.2.1).
    pub(super) fn send_trying(&mut self, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let Some(request) = &server.request else { return };
        let bytes = compose::answer(request, server.source, 100, "", "", false).finish(None);
        server.last = Some((bytes.clone(), 100));
        let (reply, what) = (server.reply, server.sent(id, 100, false));
        self.weigh_server(id);
        self.transmit(reply, bytes, what);
    }

    /// A 2xx that is acknowledged is not sent again (RFC 6026 §7.1): its transaction goes on without it.
    pub(super) fn forget_success(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.last = None;
            self.weigh_server(id);
        }
    }

    /// 487 to a request that was cancelled, has expired, or whose dialog has ended.
    pub(super) fn terminate_request(&mut self, now: Instant, id: ServerId) {
        self.respond(now, id, Answer { code: 487, ..Answer::default() });
    }

    /// Steps a server's machine and sends what it says; a transaction that is over is taken out.
    pub(super) fn step_server(&mut self, now: Instant, id: ServerId, event: ServerEvent) -> Tell {
        let Some(server) = self.servers.get_mut(&id) else { return Tell::Nothing };
        let step = server.machine.step(event);
        server.slots.apply(&mut self.timers, now, Timer::Server(id), step);
        let over = server.machine.is_over();
        if step.send == Send::Message
            && let Some((bytes, code)) = server.last.clone()
        {
            let again = !matches!(event, ServerEvent::Send(_));
            let (reply, what) = (server.reply, server.sent(id, code, again));
            self.transmit(reply, bytes, what);
        }
        if over {
            self.remove_server(id);
        } else if matches!(event, ServerEvent::Send(Class::Success | Class::Failure)) {
            self.note_answered(now, id);
        }
        step.tell
    }

    pub(super) fn on_server_timer(&mut self, now: Instant, id: ServerId, reason: Reason) {
        if reason == Reason::InviteExpires {
            self.terminate_request(now, id);
            return self.tell(Event::Expired { id });
        }
        if reason == Reason::Retransmit1xx {
            return self.repeat_provisional(now, id);
        }
        if reason == Reason::PrackWait {
            return self.on_prack_missing(now, id);
        }
        // A non-2xx final without ACK (timer H) harms nobody: the layer above has ended that call already.
        self.step_server(now, id, ServerEvent::Timer(reason));
    }

    /// The 2xx once more: T1 doubling to T2, over streams too (RFC 3261 §13.3.1.4).
    pub(super) fn repeat_success(&mut self, now: Instant, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let party = dialog.plain.party;
        let Some(unacked) = dialog.unacked.as_mut() else { return };
        unacked.interval = (unacked.interval * 2).min(T2);
        unacked.retransmit = self.timers.arm(now + unacked.interval, Reason::Retransmit2xx, Timer::Dialog(id));
        let what = Sent {
            method: Method::Invite,
            code: Some(unacked.code),
            party,
            again: true,
            client: None,
            server: Some(unacked.server),
            dialog: Some(id),
        };
        let (flow, bytes) = (unacked.flow, unacked.bytes.clone());
        self.transmit(flow, bytes, what);
    }

    /// Server, as configured.
    pub(super) fn write_product(&self, writer: &mut Writer) {
        if !self.product.is_empty() {
            writer.header("Server", &self.product);
        }
    }

    fn compose_answer(&self, id: ServerId, answer: &Answer, rseq: Option<u32>) -> Option<bytes::Bytes> {
        let server = self.servers.get(&id)?;
        let request = server.request.as_ref()?;
        let (class, method) = (Class::of(answer.code), server.method);
        let invite = method == Method::Invite;
        let makes_dialog = invite && class != Class::Failure;
        let (source, tag) = (server.source, server.tag.as_str());
        let mut writer = compose::answer(request, source, answer.code, &answer.reason, tag, makes_dialog);
        // RFC 3261 §13.3.1.1, RFC 3311 §5.2, RFC 3515 §2.2: these answers say where we are to be found.
        if makes_dialog || (matches!(method, Method::Update | Method::Refer) && class == Class::Success) {
            let dialog = server.dialog.and_then(|dialog| self.dialogs.get(&dialog));
            let secure = dialog.map_or_else(|| begins_secure(request), |dialog| dialog.plain.secure);
            // A dialog that stands has the one that it began with.
            let user = dialog.map_or(&answer.contact_user, |dialog| &dialog.plain.contact_user);
            writer.header("Contact", &contact(user, server.local, source.transport, secure));
        }
        if class == Class::Success && matches!(method, Method::Invite | Method::Options | Method::Update) {
            self.rules.write_abilities(&mut writer, self.replacing.contains(&server.party));
        }
        if class == Class::Success && method == Method::Options {
            writer.header("Accept", "application/sdp");
        }
        if let Some(rseq) = rseq {
            writer.header("Require", OPTION_TAG).header("RSeq", &rseq.to_string());
        }
        write_extras(&mut writer, &answer.headers);
        self.write_product(&mut writer);
        Some(writer.finish(answer.body.as_ref()))
    }

    /// The dialog of an INVITE that we answer: made by the first answer (RFC 3261 §12.1.1), confirmed by the 2xx.
    fn answered_dialog(&mut self, id: ServerId, confirmed: bool, contact_user: &str) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        if let Some(dialog) = server.dialog {
            if let Some(live) = self.dialogs.get_mut(&dialog) {
                live.confirmed |= confirmed;
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
        let mut dialog = Dialog::new(plain, confirmed);
        dialog.invite_in = Some(id);
        if std::mem::take(&mut server.reserved) {
            self.reserved -= 1;
        }
        let dialog = self.insert_dialog(dialog);
        if let Some(server) = self.servers.get_mut(&id) {
            server.dialog = Some(dialog);
        }
    }
}
