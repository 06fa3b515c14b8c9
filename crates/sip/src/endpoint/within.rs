//! Requests inside dialogs (RFC 3261 §12.2.2, §14.2, §15.1.2), and what ends a dialog.

use std::time::Instant;

use super::{Arrival, Endpoint};
use crate::event::{Answer, DialogId, DropReason, Event};
use crate::message::Message;
use crate::method::Method;
use crate::sanity::Refusal;
use crate::transaction::key::{self, Key};

impl Endpoint {
    /// A request with a To tag: into its dialog, or 481.
    pub(super) fn on_request_within(&mut self, now: Instant, arrival: Arrival, key: Key, request: Message) {
        let method = request.method();
        let Some(id) = self.find_dialog(&arrival, &request) else {
            // One that crosses ours (RFC 3261 §15.1.2) has what it wants.
            let crosses = method == Method::Bye && self.is_hung_up_on(arrival.party);
            return self.refuse_as(&arrival, &request, Refusal::plain(if crosses { 200 } else { 481 }));
        };
        let number = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let offers = request.sdp().is_some();
        if let Some(refusal) = self.refusal_within(id, method, number, offers) {
            return self.refuse_as(&arrival, &request, refusal);
        }
        self.make_room(now, arrival.party);
        let full = self.servers_full(arrival.party);
        if full && method != Method::Bye {
            return self.refuse_full(&arrival, &request);
        }
        if let Some(dialog) = self.dialogs.get_mut(&id) {
            dialog.plain.remote_cseq = Some(number);
            let refreshes = matches!(method, Method::Invite | Method::Update);
            if refreshes {
                dialog.refresh_target(&request);
            }
            if refreshes || dialog.flow_lost {
                self.set_dialog_flow(id, arrival.flow);
            }
        }
        if method == Method::Prack {
            return self.on_prack(now, arrival, key, id, request);
        }
        let (flow, party) = (arrival.flow, arrival.party);
        if method == Method::Bye {
            if full {
                self.refuse_as(&arrival, &request, Refusal::plain(200));
            } else {
                let server = self.start_server(now, arrival, key, request.clone(), Some(id));
                self.respond(now, server, Answer { code: 200, ..Answer::default() });
            }
            self.end_dialog(now, id);
            return self.tell(Event::Request { id: None, dialog: Some(id), flow, party, method, request });
        }
        let server = self.start_server(now, arrival, key, request.clone(), Some(id));
        if method == Method::Invite {
            if let Some(dialog) = self.dialogs.get_mut(&id) {
                dialog.invite_in = Some(server);
            }
            self.send_trying(server);
        }
        if method == Method::Update {
            self.note_update_in(id, server);
        }
        self.tell(Event::Request { id: Some(server), dialog: Some(id), flow, party, method, request });
    }

    /// The dialog that a request names; only its own party may speak in it.
    pub(super) fn find_dialog(&mut self, arrival: &Arrival, request: &Message) -> Option<DialogId> {
        let call_id = request.call_id()?;
        key::dialog(&mut self.scratch, call_id, key::to_tag(request), key::from_tag(request));
        let id = *self.dialog_keys.get(self.scratch.as_slice())?;
        let dialog = self.dialogs.get(&id)?;
        (dialog.plain.party == arrival.party).then_some(id)
    }

    fn refusal_within(&mut self, id: DialogId, method: Method, number: u32, offers: bool) -> Option<Refusal> {
        let dialog = self.dialogs.get(&id)?;
        let invite = method == Method::Invite;
        if dialog.deferred.is_some() && method != Method::Bye {
            return Some(Refusal::plain(481));
        }
        let last = dialog.plain.remote_cseq;
        // RFC 3261 §12.2.2; an INVITE that repeats a number under another branch is out of order too.
        if last.is_some_and(|last| number < last || (invite && number == last)) {
            return Some(Refusal::plain(500));
        }
        self.refusal_of_change(id, method, offers)
    }

    /// An ACK that no transaction wanted: to a 2xx of ours, or to a refusal that nothing was kept of.
    pub(super) fn on_ack_within(&mut self, now: Instant, arrival: Arrival, ack: Message) {
        let number = ack.cseq().map(|cseq| cseq.number);
        let Some(id) = self.find_dialog(&arrival, &ack) else {
            if key::to_tag(&ack) != self.stateless_tag(&ack).as_bytes() {
                self.drop_message(DropReason::StrayAck);
            }
            return;
        };
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        match dialog.unacked.take_if(|unacked| Some(unacked.cseq) == number) {
            Some(unacked) => {
                dialog.acked_cseq = number;
                dialog.acknowledged = true;
                let deferred = dialog.deferred.take();
                self.timers.cancel(unacked.retransmit);
                self.timers.cancel(unacked.wait);
                self.forget_success(unacked.server);
                match deferred {
                    Some(bye) => self.send_bye(now, bye.id, id, &bye.headers, bye.body.as_ref(), false),
                    None => self.tell(Event::Ack { dialog: id, request: ack }),
                }
            }
            None if dialog.acked_cseq == number => {}
            None => self.drop_message(DropReason::StrayAck),
        }
    }

    /// Our 2xx was never acknowledged (RFC 3261 §13.3.1.4).
    pub(super) fn on_ack_missing(&mut self, now: Instant, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        if let Some(unacked) = dialog.unacked.take() {
            self.timers.cancel(unacked.retransmit);
        }
        match dialog.deferred.take() {
            Some(bye) => self.send_bye(now, bye.id, id, &bye.headers, bye.body.as_ref(), false),
            None => self.tell(Event::AckMissing { dialog: id }),
        }
    }

    /// A BYE of either side: nothing that was open in the dialog may outlive it.
    pub(super) fn end_dialog(&mut self, now: Instant, id: DialogId) {
        self.send_ack(id, None);
        let Some(dialog) = self.dialogs.get_mut(&id) else { return };
        let update = dialog.updates.take().and_then(|updates| updates.theirs);
        let (theirs, ours, deferred) = (dialog.invite_in.take(), dialog.invite_out, dialog.deferred.take());
        if let Some(bye) = deferred {
            // The layer above waits for an answer to this one; the far end's crossed it.
            self.send_bye(now, bye.id, id, &bye.headers, bye.body.as_ref(), false);
        }
        for server in theirs.into_iter().chain(update) {
            self.terminate_request(now, server);
        }
        // An initial INVITE of ours is not the dialog's alone: other forks may answer it.
        let re_invite = ours.filter(|client| self.clients.get(client).is_some_and(|client| client.dialog == Some(id)));
        if let Some(client) = re_invite {
            self.give_up(now, client);
        }
        self.remove_dialog(id);
    }
}
