//! In-dialog requests (RFC 3261 §12.2.2, §14.2, §15.1.2) and the end of a dialog, which involve transactions of both
//! sides.

use std::time::Instant;

use super::{EndpointParts, SipEndpoint};
use crate::client::{HangUp, InDialogRequest};
use crate::dialog::{AckClass, DeferredBye, Dialog, OpenChange};
use crate::event::{ClientId, DialogId, DropReason, EndpointEvent, ExtraHeader, MessageBody, ResponseSpec};
use crate::message::SipMessage;
use crate::method::Method;
use crate::sanity::RequestRejection;
use crate::shared::MessageOrigin;
use crate::transaction::key::{self, IndexKey};

/// Upper bound of the Retry-After in a 500 to a session change, in seconds (RFC 3261 §14.2, RFC 3311 §5.2).
const RETRY_SECONDS: u32 = 10;

impl SipEndpoint {
    /// Sends an in-dialog request: a BYE (which ends the dialog), a re-INVITE, an UPDATE (RFC 3311; allowed in an early
    /// dialog; an offer in `body` changes the session, without one the dialog is refreshed) or another method. Returns
    /// `None` if the dialog is gone, a session change by either side is still open (RFC 3261 §14.1), or only the remote
    /// party may send a BYE.
    ///
    /// A BYE first acknowledges a 2xx that waits for [`Self::ack`], and is held back until our own 2xx is acknowledged
    /// or given up (§15). An open received re-INVITE gets 487; an open re-INVITE of ours is cancelled, and its end is
    /// reported.
    pub fn request(
        &mut self,
        now: Instant,
        dialog: DialogId,
        method: Method,
        headers: Vec<ExtraHeader>,
        body: Option<MessageBody>,
    ) -> Option<ClientId> {
        match method {
            Method::Ack | Method::Cancel | Method::Other => None,
            Method::Bye => {
                let live = self.dialogs.get(dialog).filter(|live| !live.has_deferred_bye())?;
                if !live.is_confirmed() && live.has_invite_in() {
                    return None;
                }
                Some(self.bye(now, dialog, headers, body))
            }
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
            | Method::Publish => {
                let EndpointParts { mut cx, clients, .. } = self.parts(now);
                let within = InDialogRequest { dialog, method, headers: &headers, body: body.as_ref(), silent: false };
                clients.request(&mut cx, &within)
            }
        }
    }

    /// Sends BYE, deferred until the remote party has acknowledged our 2xx.
    fn bye(
        &mut self,
        now: Instant,
        dialog: DialogId,
        headers: Vec<ExtraHeader>,
        body: Option<MessageBody>,
    ) -> ClientId {
        let id = ClientId(self.shared.fresh_id());
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        clients.send_ack(&mut cx, dialog, None);
        let bye = DeferredBye { id, headers, body };
        let bye = match cx.dialogs.get_mut(dialog) {
            Some(live) => live.defer_bye(bye),
            None => Some(bye),
        };
        if let Some(bye) = bye {
            self.send_bye(now, dialog, &bye, false);
        }
        id
    }

    /// Sends BYE and removes the dialog with its open transactions.
    fn send_bye(&mut self, now: Instant, dialog: DialogId, bye: &DeferredBye, silent: bool) {
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        let within =
            InDialogRequest { dialog, method: Method::Bye, headers: &bye.headers, body: bye.body.as_ref(), silent };
        clients.send_within(&mut cx, bye.id, &within);
        let is_confirmed = cx.dialogs.get(dialog).is_some_and(Dialog::is_confirmed);
        self.end_dialog(now, dialog);
        // This dialog is the most recently ended one.
        if is_confirmed {
            self.dialogs.note_bye(bye.id);
        }
    }

    /// Acknowledges the 2xx of a dialog that the layer above does not use, and ends the dialog. Returns the BYE, if one
    /// was sent.
    pub(super) fn hang_up(&mut self, now: Instant, invite: ClientId, dialog: DialogId) -> Option<ClientId> {
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        clients.send_ack(&mut cx, dialog, None);
        if !clients.is_initial(invite) || !cx.dialogs.contains(dialog) {
            return None;
        }
        let id = ClientId(cx.shared.fresh_id());
        self.send_bye(now, dialog, &DeferredBye { id, headers: Vec::new(), body: None }, true);
        Some(id)
    }

    /// Handles a response, and hangs up on a dialog created by an unwanted 2xx.
    pub(super) fn on_response(&mut self, now: Instant, arrival: MessageOrigin, response: SipMessage) {
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        let Some(HangUp { invite, dialog, is_caused }) = clients.on_response(&mut cx, arrival, response) else {
            return;
        };
        if let Some(bye) = self.hang_up(now, invite, dialog).filter(|_| is_caused) {
            self.clients.note_caused(invite, bye);
        }
    }

    /// Handles a request with a To tag: finds its dialog, or responds with 481.
    pub(super) fn on_request_within(
        &mut self,
        now: Instant,
        arrival: MessageOrigin,
        key: IndexKey,
        request: SipMessage,
    ) {
        let method = request.method();
        let Some(id) = self.dialogs.find(&mut self.shared, arrival.party, &request) else {
            // A BYE that crosses ours (RFC 3261 §15.1.2) gets 200: the dialog has ended as requested.
            let bye = || self.dialogs.bye_of_ended(&self.shared, arrival.party);
            let crosses = method == Method::Bye && bye().is_some_and(|bye| self.clients.contains(bye));
            let refusal = RequestRejection::with_code(if crosses { 200 } else { 481 });
            return self.shared.refuse(&arrival, &request, refusal);
        };
        let number = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
        if let Some(refusal) = self.refusal_within(id, method, number, request.sdp().is_some()) {
            return self.shared.refuse(&arrival, &request, refusal);
        }
        let EndpointParts { mut cx, servers, .. } = self.parts(now);
        servers.make_room(&mut cx, arrival.party);
        let full = servers.is_full(arrival.party);
        if full && method != Method::Bye {
            return cx.shared.refuse_full(&arrival, &request);
        }
        if cx.dialogs.get_mut(id).is_some_and(|dialog| dialog.take_request(method, number, &request)) {
            cx.dialogs.set_flow(id, arrival.flow);
        }
        if method == Method::Prack {
            return servers.on_prack(&mut cx, arrival, key, id, request);
        }
        let (flow, party, dialog) = (arrival.flow, arrival.party, Some(id));
        let event = |id, request| EndpointEvent::Request { id, dialog, flow, party, method, request };
        if method == Method::Bye {
            if full {
                cx.shared.refuse(&arrival, &request, RequestRejection::with_code(200));
            } else {
                let server = servers.insert_request(&mut cx, arrival, key, request.clone(), Some(id));
                servers.respond(&mut cx, server, ResponseSpec { code: 200, ..ResponseSpec::default() });
            }
            if let Some(invite) =
                self.dialogs.get(id).filter(|dialog| !dialog.is_confirmed()).and_then(Dialog::invite_out)
            {
                let EndpointParts { mut cx, clients, .. } = self.parts(now);
                let is_last = clients.forget_fork(&mut cx, invite, id);
                return self.shared.queue_event(EndpointEvent::EarlyBye { invite, is_last });
            }
            self.end_dialog(now, id);
            return self.shared.queue_event(event(None, request));
        }
        let server = servers.insert_request(&mut cx, arrival, key, request.clone(), Some(id));
        if method == Method::Invite {
            if let Some(dialog) = cx.dialogs.get_mut(id) {
                dialog.begin_invite_in(server);
            }
            servers.send_trying(&mut cx, server);
        }
        if method == Method::Update
            && let Some(dialog) = cx.dialogs.get_mut(id)
        {
            dialog.begin_update_in(server);
        }
        cx.shared.queue_event(event(Some(server), request));
    }

    fn refusal_within(&mut self, id: DialogId, method: Method, number: u32, offers: bool) -> Option<RequestRejection> {
        let dialog = self.dialogs.get(id)?;
        if dialog.has_deferred_bye() && method != Method::Bye {
            return Some(RequestRejection::with_code(481));
        }
        if dialog.is_out_of_order(method, number) {
            return Some(RequestRejection::with_code(500));
        }
        match dialog.obstacle(method, offers)? {
            OpenChange::Theirs => {
                let seconds = self.shared.tokens.below(RETRY_SECONDS + 1);
                Some(RequestRejection::with_header(500, "Retry-After", seconds.to_string()))
            }
            OpenChange::Ours => Some(RequestRejection::with_code(491)),
        }
    }

    /// Handles an ACK that matches no transaction: for our 2xx, or for a stateless rejection.
    pub(super) fn on_ack_within(&mut self, now: Instant, arrival: MessageOrigin, ack: SipMessage) {
        let number = ack.cseq().map(|cseq| cseq.number);
        let Some(id) = self.dialogs.find(&mut self.shared, arrival.party, &ack) else {
            if key::to_tag(&ack) != self.shared.stateless_tag(&ack).as_bytes() {
                self.shared.drop_message(DropReason::StrayAck);
            }
            return;
        };
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        match dialog.take_ack(number) {
            AckClass::First { timers, server, bye } => {
                timers.into_iter().for_each(|timer| self.shared.timers.cancel(timer));
                self.servers.forget_success(server);
                match bye {
                    Some(bye) => self.send_bye(now, id, &bye, false),
                    None => self.shared.queue_event(EndpointEvent::Ack { dialog: id, request: ack }),
                }
            }
            AckClass::Again => {}
            AckClass::Stray => self.shared.drop_message(DropReason::StrayAck),
        }
    }

    /// Reports a 2xx that was not acknowledged within 64·T1 (RFC 3261 §13.3.1.4), and sends a BYE that waited for the
    /// ACK.
    pub(super) fn on_ack_missing(&mut self, now: Instant, id: DialogId) {
        let Some(dialog) = self.dialogs.get_mut(id) else { return };
        let (retransmit, bye) = dialog.give_up_ack();
        if let Some(retransmit) = retransmit {
            self.shared.timers.cancel(retransmit);
        }
        match bye {
            Some(bye) => self.send_bye(now, id, &bye, false),
            None => self.shared.queue_event(EndpointEvent::AckMissing { dialog: id }),
        }
    }

    /// Ends a dialog after a BYE by either side, together with all transactions open in it.
    fn end_dialog(&mut self, now: Instant, id: DialogId) {
        let EndpointParts { mut cx, clients, .. } = self.parts(now);
        clients.send_ack(&mut cx, id, None);
        let Some(leftover) = cx.dialogs.get_mut(id).map(Dialog::take_leftover) else { return };
        if let Some(bye) = leftover.bye {
            // The layer above awaits a response to its deferred BYE, which crossed the remote party's.
            self.send_bye(now, id, &bye, false);
        }
        let EndpointParts { mut cx, clients, servers } = self.parts(now);
        for server in leftover.theirs {
            servers.terminate(&mut cx, server);
        }
        // The initial INVITE is not ended with this dialog: other forks may still respond.
        if let Some(invite) = leftover.invite.filter(|invite| clients.is_within(*invite, id)) {
            clients.give_up(&mut cx, invite);
        }
        cx.dialogs.remove(cx.shared, id);
    }
}
