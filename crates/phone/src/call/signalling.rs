//! Course of a call from INVITE to its end: the handling of endpoint events and timers.

use std::net::SocketAddr;

use trunkgate_sdp::MediaDirection;
use trunkgate_sip::{
    DialogId, ExtraHeader, HeaderName, InviteRequest, LocalAddress, MessageBody, ResponseSpec, ServerId, SipMessage,
};

use super::PhoneCall;
use super::session::wanted;
use super::transfer::notify;
use crate::cx::PhoneCx;
use crate::deadlines::DueAction;
use crate::event::{CallEnding, CallNumber, PhoneCallState, PhoneEvent};
use crate::script::{AnswerKind, OutgoingCall, PhoneConfig};

impl PhoneCall {
    /// Places a call that uses this local media address.
    pub(crate) fn dial(
        cx: &mut PhoneCx<'_>,
        number: CallNumber,
        ssrc: u32,
        media: SocketAddr,
        dial: OutgoingCall,
    ) -> PhoneCall {
        let mut call = PhoneCall::new(number, true, ssrc);
        call.audio.open(cx, Some(media));
        call.called = user_of(dial.uri.as_bytes());
        call.talk = dial.talk;
        call.never_ack = dial.never_ack;
        call.negotiation.set_early(dial.offer);
        let body = dial.offer.then(|| {
            call.negotiation.set_offered(true);
            call.negotiation.offer(cx, &mut call.audio, dial.multipart)
        });
        call.deadlines.wake_after(cx.now, dial.cancel_after, DueAction::Cancel);
        call.deadlines.wake_after(cx.now, cx.config.give_up.map(|g| g.no_final), DueAction::NoFinal);
        let mut headers = dial.headers;
        headers.extend(wanted(cx.config));
        let id = cx.endpoint.invite(
            cx.now,
            InviteRequest {
                flow: dial.flow,
                local: LocalAddress { ip: cx.config.sip.ip(), port: cx.config.sip.port() },
                oversize: None,
                party: PhoneConfig::PARTY,
                uri: dial.uri.clone(),
                from: dial.from,
                to: format!("<{}>", dial.uri),
                contact_user: cx.config.name.clone(),
                max_forwards: 70,
                headers,
                body,
            },
        );
        call.client = Some(id);
        call.call_id = cx.endpoint.call_id(id).unwrap_or_default().as_bytes().to_vec();
        call
    }

    /// Handles a response to the INVITE.
    pub(crate) fn invite_answered(
        &mut self,
        cx: &mut PhoneCx<'_>,
        dialog: Option<DialogId>,
        code: u16,
        response: &SipMessage,
    ) {
        match code {
            0..=199 => self.progressed(cx, dialog, response),
            200..=299 => {
                if let Some(dialog) = dialog {
                    self.answered(cx, dialog, response);
                }
            }
            300.. => {
                let ending = self.canceling.unwrap_or(CallEnding::Refused(code));
                self.ended(cx, ending);
            }
        }
    }

    fn progressed(&mut self, cx: &mut PhoneCx<'_>, dialog: Option<DialogId>, response: &SipMessage) {
        if self.state == PhoneCallState::Calling {
            self.state = PhoneCallState::Ringing;
            cx.queue_event(PhoneEvent::Ringing(self.number));
        }
        if self.state != PhoneCallState::Ringing {
            return;
        }
        let is_reliable = response.header(HeaderName::RSeq).is_some();
        self.pracked |= is_reliable;
        self.early = dialog.filter(|_| self.pracked);
        if self.negotiation.is_offered() {
            self.read_far(cx, response);
        } else if is_reliable
            && !self.negotiation.has_ours()
            && let Some(dialog) = dialog
            && let Some(answer) = self.answer_to(cx, response)
        {
            // An offer in a provisional response is answered before the 2xx (RFC 3262 §5).
            cx.endpoint.answer_early(cx.now, dialog, MessageBody::sdp(answer));
        }
    }

    fn answered(&mut self, cx: &mut PhoneCx<'_>, dialog: DialogId, response: &SipMessage) {
        if self.dialog == Some(dialog) {
            return;
        }
        if self.state == PhoneCallState::Ended || self.canceling.is_some() || self.dialog.is_some() {
            cx.endpoint.ack(cx.now, dialog, None);
            cx.bye(dialog);
            if let Some(ending) = self.canceling.filter(|_| self.dialog.is_none()) {
                self.ended(cx, ending);
            }
            return;
        }
        self.dialog = Some(dialog);
        let body = if self.negotiation.is_offered() {
            self.read_far(cx, response);
            None
        } else {
            self.answer_to(cx, response).map(MessageBody::sdp)
        };
        self.negotiation.set_offered(false);
        if !self.never_ack {
            cx.endpoint.ack(cx.now, dialog, body);
        }
        self.acked = true;
        self.session.apply_response(cx, &mut self.deadlines, response);
        self.talking(cx);
    }

    fn talking(&mut self, cx: &mut PhoneCx<'_>) {
        self.state = PhoneCallState::Talking;
        self.answered_at = Some(cx.now);
        for due in [DueAction::Cancel, DueAction::NoFinal, DueAction::Answer] {
            self.deadlines.forget(due);
        }
        self.deadlines.wake_after(cx.now, self.talk.hang_up_after, DueAction::HangUp);
        self.deadlines.wake_after(cx.now, self.talk.hold_after, DueAction::Hold);
        self.deadlines.wake_after(cx.now, self.talk.resume_after, DueAction::Resume);
        self.deadlines.wake_after(cx.now, cx.config.give_up.map(|g| g.call), DueAction::TooLong);
        cx.queue_event(PhoneEvent::Answered(self.number));
    }

    /// Begins an incoming call with its INVITE, using a media address if one is free.
    pub(crate) fn begin_incoming(
        &mut self,
        cx: &mut PhoneCx<'_>,
        id: ServerId,
        media: Option<SocketAddr>,
        called: String,
        request: &SipMessage,
    ) {
        self.call_id = request.call_id().unwrap_or_default().to_vec();
        self.called = called;
        let from = request.from();
        self.calling = from.and_then(|from| Some(from.parsed_uri()?.user_unescaped())).unwrap_or_default();
        self.server = Some(id);
        self.audio.open(cx, media);
        if media.is_none() {
            cx.answer(id, 503);
            self.ended(cx, CallEnding::Rejected(503));
            return;
        }
        self.deadlines.wake_after(cx.now, cx.config.give_up.map(|g| g.no_final), DueAction::NoFinal);
        self.session.note_request(cx, request);
        self.negotiation.take_first_offer(request);
        match self.manner.unwrap_or(AnswerKind::RingForever) {
            AnswerKind::Ring { answer_after } => {
                self.provisional(cx, id, 180);
                self.deadlines.wake(cx.now + answer_after, DueAction::Answer);
            }
            AnswerKind::Early { answer_after } => {
                if self.negotiation.has_offer() && self.describe(cx).is_none() {
                    self.refuse_media(cx, id);
                    return;
                }
                self.audio.start(cx, &mut self.deadlines);
                self.provisional(cx, id, 183);
                self.deadlines.wake(cx.now + answer_after, DueAction::Answer);
            }
            AnswerKind::Reject { code, after } => {
                if !after.is_zero() {
                    self.provisional(cx, id, 180);
                }
                self.deadlines.wake(cx.now + after, DueAction::Reject(code));
            }
            AnswerKind::Rest { seconds } => {
                let headers = vec![ExtraHeader { name: "Retry-After".into(), value: seconds.to_string() }];
                cx.endpoint.respond(cx.now, id, ResponseSpec { code: 503, headers, ..ResponseSpec::default() });
                self.ended(cx, CallEnding::Rejected(503));
            }
            AnswerKind::Redirect { to } => {
                let contact = |at: &SocketAddr| format!("<sip:{}@{at}>", self.called);
                let value = to.iter().flatten().map(contact).collect::<Vec<_>>().join(", ");
                let headers = vec![ExtraHeader { name: "Contact".into(), value }];
                cx.endpoint.respond(cx.now, id, ResponseSpec { code: 302, headers, ..ResponseSpec::default() });
                self.ended(cx, CallEnding::Rejected(302));
            }
            AnswerKind::RingForever => self.provisional(cx, id, 180),
            AnswerKind::Silent => {}
            AnswerKind::Late { .. } => self.deadlines.wake(cx.now, DueAction::Answer),
        }
    }

    fn provisional(&mut self, cx: &mut PhoneCx<'_>, id: ServerId, code: u16) {
        let body = if code == 183 { self.negotiation.body() } else { None };
        // The first reliable response must carry an offer if the INVITE has none (RFC 3262 §5); this phone makes its
        // offer in the 2xx.
        let reliable = cx.config.reliable && self.negotiation.has_offer();
        self.told_early = reliable && body.is_some() && cx.endpoint.may_be_reliable(id);
        let contact_user = cx.config.name.clone();
        let answer = ResponseSpec { code, body, contact_user, reliable, ..ResponseSpec::default() };
        self.dialog = cx.endpoint.respond(cx.now, id, answer);
        self.state = PhoneCallState::Ringing;
    }

    /// Performs all actions that are due at the current time.
    pub(crate) fn handle_timeout(&mut self, cx: &mut PhoneCx<'_>) {
        while let Some(due) = self.deadlines.take_due(cx.now) {
            self.perform_action(cx, due);
        }
    }

    fn perform_action(&mut self, cx: &mut PhoneCx<'_>, due: DueAction) {
        match due {
            DueAction::Answer => self.pick_up(cx),
            DueAction::Reject(code) => {
                if let Some(id) = self.server {
                    cx.answer(id, code);
                    self.ended(cx, CallEnding::Rejected(code));
                }
            }
            DueAction::Cancel => self.end(cx, CallEnding::Canceled),
            DueAction::HangUp => self.end(cx, CallEnding::HungUp),
            DueAction::NoFinal | DueAction::TooLong => self.end(cx, CallEnding::GaveUp),
            DueAction::Refresh => self.refresh(cx),
            DueAction::Tell(code) => {
                if let Some(dialog) = self.dialog.filter(|_| self.state == PhoneCallState::Talking) {
                    notify(cx, dialog, code);
                }
            }
            DueAction::SessionOver => self.end(cx, CallEnding::SessionExpired),
            DueAction::Hold => self.reinvite(cx, MediaDirection::SendOnly),
            DueAction::Resume => self.reinvite(cx, MediaDirection::SendRecv),
            DueAction::Frame => self.audio.send_frame(cx, &mut self.deadlines, self.number, &self.talk),
            DueAction::Report => self.audio.report(cx, &mut self.deadlines, false),
        }
    }

    fn pick_up(&mut self, cx: &mut PhoneCx<'_>) {
        let Some(id) = self.server else { return };
        if !self.negotiation.has_ours() {
            if self.negotiation.has_offer() {
                if self.describe(cx).is_none() {
                    self.refuse_media(cx, id);
                    return;
                }
            } else {
                self.negotiation.offer(cx, &mut self.audio, false);
                self.negotiation.set_offered(true);
            }
        }
        let body = if self.told_early { None } else { self.negotiation.body() };
        let headers = self.session.answer(cx, &mut self.deadlines);
        match cx.agree(id, headers, body) {
            Some(dialog) => {
                self.dialog = Some(dialog);
                self.talking(cx);
            }
            None => self.ended(cx, CallEnding::TimedOut),
        }
    }

    fn refuse_media(&mut self, cx: &mut PhoneCx<'_>, id: ServerId) {
        cx.answer(id, 488);
        self.ended(cx, CallEnding::Rejected(488));
    }

    /// Handles the ACK to our 2xx, and starts sending. Audio sent earlier could be read by a busy remote party before
    /// the 2xx, which has the address from which the remote party accepts audio.
    pub(crate) fn acked(&mut self, cx: &mut PhoneCx<'_>, request: &SipMessage) {
        self.acked = true;
        if self.negotiation.set_offered(false) {
            self.read_far(cx, request);
        } else {
            self.audio.start(cx, &mut self.deadlines);
        }
        if let Some(ending) = self.bye_at_ack.take() {
            self.end(cx, ending);
        }
    }

    /// Records that our reliable provisional response was acknowledged.
    pub(crate) fn note_prack(&mut self) {
        self.pracked = true;
    }

    /// Ends the call because our 2xx was never acknowledged.
    pub(crate) fn ack_missing(&mut self, cx: &mut PhoneCx<'_>, dialog: DialogId) {
        cx.bye(dialog);
        self.ended(cx, CallEnding::AckMissing);
    }

    /// Handles the failure of the INVITE.
    pub(crate) fn invite_failed(&mut self, cx: &mut PhoneCx<'_>, ending: CallEnding) {
        let ending = self.canceling.unwrap_or(ending);
        self.ended(cx, ending);
    }

    /// Ends the call in any state, by the request or response that the state requires.
    pub(crate) fn end(&mut self, cx: &mut PhoneCx<'_>, ending: CallEnding) {
        match (self.state, self.outgoing) {
            (PhoneCallState::Ended, _) => {}
            (PhoneCallState::Talking, false) if !self.acked => self.bye_at_ack = Some(ending),
            (PhoneCallState::Talking, _) => {
                if let Some(dialog) = self.dialog {
                    cx.bye(dialog);
                }
                self.ended(cx, ending);
            }
            (PhoneCallState::Calling | PhoneCallState::Ringing, true) => {
                if let Some(id) = self.client.filter(|_| self.canceling.is_none()) {
                    self.canceling = Some(ending);
                    cx.endpoint.cancel(cx.now, id);
                }
            }
            (PhoneCallState::Calling | PhoneCallState::Ringing, false) => {
                if let Some(id) = self.server {
                    cx.answer(id, 480);
                }
                self.ended(cx, ending);
            }
        }
    }

    /// Records the end of the call with its outcome, and reports it.
    pub(crate) fn ended(&mut self, cx: &mut PhoneCx<'_>, ending: CallEnding) {
        if self.state != PhoneCallState::Ended {
            self.audio.report(cx, &mut self.deadlines, true);
            self.state = PhoneCallState::Ended;
            self.ending = Some(ending);
            cx.queue_event(PhoneEvent::Ended(self.number, ending));
        }
    }

    /// Answers the current offer; returns our description, or `None` if no format matches.
    pub(super) fn describe(&mut self, cx: &mut PhoneCx<'_>) -> Option<String> {
        self.negotiation.answer(cx, &mut self.audio)
    }

    /// Answers the offer in a 2xx, and starts sending; returns our description, or `None` if no format matches.
    pub(super) fn answer_to(&mut self, cx: &mut PhoneCx<'_>, response: &SipMessage) -> Option<String> {
        let answer = self.negotiation.answer_to(cx, &mut self.audio, response)?;
        self.audio.start(cx, &mut self.deadlines);
        Some(answer)
    }

    /// Applies the remote party's answer to our offer, and starts sending.
    pub(super) fn read_far(&mut self, cx: &PhoneCx<'_>, message: &SipMessage) {
        if self.negotiation.read(cx, &mut self.audio, message) {
            self.audio.start(cx, &mut self.deadlines);
        }
    }
}

fn user_of(uri: &[u8]) -> String {
    trunkgate_sip::Uri::parse(uri).map(|uri| uri.user_unescaped()).unwrap_or_default()
}
