//! Changes in an answered call by either side: re-INVITE, UPDATE, session refreshes, and scripted requests.

use trunkgate_sdp::MediaDirection;
use trunkgate_sip::{ClientId, MessageBody, Method, ServerId, SipMessage};

use super::PhoneCall;
use super::session::refuses;
use super::transfer::referred;
use crate::cx::PhoneCx;
use crate::deadlines::DueAction;
use crate::event::{CallEnding, PhoneCallState};
use crate::limits;
use crate::script::InCallRequest;

/// Outgoing re-INVITE and UPDATE without final response, and whether the phone has sent certain requests before.
#[derive(Debug, Default)]
pub(super) struct SessionChanges {
    reinvite: Option<ClientId>,
    /// Whether the re-INVITE has no offer; if so, the 2xx makes one.
    asked: bool,
    /// Whether the re-INVITE repeats the session unchanged, as a refresh.
    repeats: bool,
    update: Option<ClientId>,
    /// Whether the UPDATE makes an offer.
    offers: bool,
    /// Whether the phone has held or resumed the call.
    has_held: bool,
    /// Whether the phone has sent a re-INVITE without offer.
    has_asked: bool,
}

impl SessionChanges {
    pub(super) fn has_held(&self) -> bool {
        self.has_held
    }

    pub(super) fn has_asked(&self) -> bool {
        self.has_asked
    }

    pub(super) fn is_open(&self, id: ClientId) -> bool {
        [self.reinvite, self.update].contains(&Some(id))
    }

    fn forget_open(&mut self) {
        (self.reinvite, self.update) = (None, None);
    }
}

impl PhoneCall {
    /// Handles a request of the remote party in the dialog, except BYE.
    pub(crate) fn take_request(&mut self, cx: &mut PhoneCx<'_>, id: ServerId, method: Method, request: &SipMessage) {
        if matches!(method, Method::Invite | Method::Update) && refuses(cx, id, request) {
            return;
        }
        if method == Method::Invite || (method == Method::Update && request.sdp().is_some()) {
            self.renegotiate(cx, id, request);
        } else if method == Method::Update {
            // Before the answer, the session timer is left to the 2xx to the INVITE.
            let headers = if self.state == PhoneCallState::Talking {
                self.session.note_request(cx, request);
                self.session.answer(cx, &mut self.deadlines)
            } else {
                Vec::new()
            };
            cx.agree(id, headers, None);
        } else if method == Method::Refer {
            referred(cx, &mut self.deadlines, id);
        } else {
            cx.answer(id, 200);
            if method == Method::Notify && self.transfer.notified(request) && self.state == PhoneCallState::Talking {
                self.end(cx, CallEnding::HungUp);
            }
        }
    }

    /// Handles the response to one of our requests in the answered call.
    pub(crate) fn request_answered(&mut self, cx: &mut PhoneCx<'_>, id: ClientId, code: u16, response: &SipMessage) {
        if self.change.update == Some(id) {
            self.updated(cx, code, response);
        } else if self.change.reinvite == Some(id) {
            self.reinvited(cx, code, response);
        } else if self.transfer.open() == Some(id)
            && let Some(ending) = self.transfer.answered(code)
        {
            self.end(cx, ending);
        }
    }

    /// Handles the failure of one of our requests in the answered call.
    pub(crate) fn request_failed(&mut self, cx: &mut PhoneCx<'_>, ending: CallEnding) {
        self.change.forget_open();
        self.transfer.forget_open();
        self.end(cx, ending);
    }

    /// Sends digits in an answered call. Returns whether the remote party supports telephone-events.
    pub(crate) fn send_digits(&mut self, digits: &str) -> bool {
        self.state == PhoneCallState::Talking && self.audio.send_digits(digits)
    }

    /// Sends samples in an answered call. Returns whether the call is answered.
    pub(crate) fn speak(&mut self, samples: &[i16]) -> bool {
        let talks = self.state == PhoneCallState::Talking;
        if talks {
            self.audio.speak(samples);
        }
        talks
    }

    /// Sends a request in an answered call.
    pub(crate) fn say_within(&mut self, cx: &mut PhoneCx<'_>, what: InCallRequest) {
        if let InCallRequest::Offer { holds } = what {
            return self.update_offer(cx, if holds { MediaDirection::SendOnly } else { MediaDirection::SendRecv });
        }
        let Some(dialog) = self.dialog.filter(|_| self.state == PhoneCallState::Talking && self.acked) else { return };
        match what {
            InCallRequest::Key => {
                let bytes = "Signal=5\r\nDuration=160\r\n".into();
                let body = MessageBody { content_type: "application/dtmf-relay".into(), bytes };
                cx.endpoint.request(cx.now, dialog, Method::Info, Vec::new(), Some(body));
            }
            InCallRequest::Refresh => self.update(cx),
            InCallRequest::Offerless if self.change.reinvite.is_none() => {
                let headers = self.session.headers(cx);
                self.change.reinvite = cx.endpoint.request(cx.now, dialog, Method::Invite, headers, None);
                self.change.asked = self.change.reinvite.is_some();
                self.change.has_asked |= self.change.asked;
            }
            InCallRequest::Offerless | InCallRequest::Offer { .. } => {}
            InCallRequest::Hold => self.reinvite(cx, MediaDirection::SendOnly),
            InCallRequest::Resume => self.reinvite(cx, MediaDirection::SendRecv),
            InCallRequest::Transfer(leaving) => self.transfer.refer(cx, dialog, &self.called, leaving),
        }
    }

    /// Sends UPDATE with an offer of this direction.
    fn update_offer(&mut self, cx: &mut PhoneCx<'_>, direction: MediaDirection) {
        let early = || self.dialog.or(self.early).filter(|_| self.state == PhoneCallState::Ringing && self.pracked);
        let dialog = if self.state == PhoneCallState::Talking { self.dialog.filter(|_| self.acked) } else { early() };
        let may_offer = self.change.update.is_none() && self.negotiation.has_ours();
        let Some(dialog) = dialog.filter(|_| may_offer) else { return };
        let before = self.negotiation.turn(direction);
        self.change.has_held = true;
        let body = self.negotiation.offer(cx, &mut self.audio, false);
        let headers = if self.state == PhoneCallState::Talking { self.session.headers(cx) } else { Vec::new() };
        self.change.update = cx.endpoint.request(cx.now, dialog, Method::Update, headers, Some(body));
        self.change.offers = self.change.update.is_some();
        if !self.change.offers {
            self.negotiation.turn_back(&mut self.audio, before);
        }
    }

    /// Sends re-INVITE with an offer of this direction.
    pub(super) fn reinvite(&mut self, cx: &mut PhoneCx<'_>, direction: MediaDirection) {
        let Some(dialog) = self.dialog.filter(|_| self.acked && self.change.reinvite.is_none()) else { return };
        let before = self.negotiation.turn(direction);
        self.change.has_held = true;
        let body = self.negotiation.offer(cx, &mut self.audio, false);
        let headers = self.session.headers(cx);
        self.change.reinvite = cx.endpoint.request(cx.now, dialog, Method::Invite, headers, Some(body));
        if self.change.reinvite.is_none() {
            self.negotiation.turn_back(&mut self.audio, before);
        }
    }

    fn reinvited(&mut self, cx: &mut PhoneCx<'_>, code: u16, response: &SipMessage) {
        if code < 200 {
            return;
        }
        self.change.reinvite = None;
        let (asked, repeats) = (std::mem::take(&mut self.change.asked), std::mem::take(&mut self.change.repeats));
        match code {
            200..=299 => {
                self.session.apply_response(cx, &mut self.deadlines, response);
                let body = if asked {
                    self.negotiation.change();
                    self.answer_to(cx, response).map(MessageBody::sdp)
                } else {
                    None
                };
                if let Some(dialog) = self.dialog {
                    cx.endpoint.ack(cx.now, dialog, body);
                }
                if !asked {
                    self.read_far(cx, response);
                }
            }
            // The dialog no longer exists at the remote party (RFC 3261 §12.2.1.2).
            408 | 481 => self.end(cx, CallEnding::Refused(code)),
            _ if repeats => self.refresh_later(cx),
            _ => {
                self.audio.keep_keys();
                self.refresh_later(cx);
            }
        }
    }

    /// Handles a re-INVITE of the remote party, or its UPDATE with an offer.
    fn renegotiate(&mut self, cx: &mut PhoneCx<'_>, id: ServerId, request: &SipMessage) {
        self.negotiation.change();
        self.session.note_request(cx, request);
        let body = if self.negotiation.take_new_offer(request) {
            self.describe(cx).map(MessageBody::sdp)
        } else {
            self.negotiation.set_offered(true);
            Some(self.negotiation.offer(cx, &mut self.audio, false))
        };
        match body {
            Some(body) => {
                let headers = self.session.answer(cx, &mut self.deadlines);
                cx.agree(id, headers, Some(body));
            }
            None => cx.answer(id, 488),
        }
    }

    /// Sends a session refresh; if another change is open, schedules a retry.
    pub(super) fn refresh(&mut self, cx: &mut PhoneCx<'_>) {
        let by_update = cx.config.sessions.is_some_and(|sessions| sessions.by_update);
        if by_update {
            self.update(cx);
        } else if let Some(dialog) = self.dialog.filter(|_| self.acked && self.change.reinvite.is_none()) {
            // The session is repeated unchanged, with the same version (RFC 4028 §7.4).
            let headers = self.session.headers(cx);
            if let Some(body) = self.negotiation.body() {
                self.change.reinvite = cx.endpoint.request(cx.now, dialog, Method::Invite, headers, Some(body));
                self.change.repeats = self.change.reinvite.is_some();
            }
        }
        if self.change.update.is_none() && self.change.reinvite.is_none() {
            self.deadlines.wake(cx.now + limits::REFRESH_RETRY, DueAction::Refresh);
        }
    }

    /// Sends UPDATE without a description.
    fn update(&mut self, cx: &mut PhoneCx<'_>) {
        if let Some(dialog) = self.dialog.filter(|_| self.change.update.is_none()) {
            let headers = self.session.headers(cx);
            self.change.update = cx.endpoint.request(cx.now, dialog, Method::Update, headers, None);
        }
    }

    fn updated(&mut self, cx: &mut PhoneCx<'_>, code: u16, response: &SipMessage) {
        if code < 200 {
            return;
        }
        self.change.update = None;
        let offers = std::mem::take(&mut self.change.offers);
        match code {
            200..=299 => {
                // Before the answer, the INVITE transaction determines the session timer.
                if self.state == PhoneCallState::Talking {
                    self.session.apply_response(cx, &mut self.deadlines, response);
                }
                if offers {
                    self.read_far(cx, response);
                }
            }
            // The dialog no longer exists at the remote party (RFC 3261 §12.2.1.2).
            408 | 481 => self.end(cx, CallEnding::Refused(code)),
            _ => {
                if offers {
                    self.audio.keep_keys();
                }
                self.refresh_later(cx);
            }
        }
    }

    /// Schedules another attempt to refresh the session after one was rejected.
    fn refresh_later(&mut self, cx: &PhoneCx<'_>) {
        if self.state == PhoneCallState::Talking && self.session.refreshes() && !self.deadlines.has(DueAction::Refresh)
        {
            self.deadlines.wake(cx.now + limits::REFRESH_RETRY, DueAction::Refresh);
        }
    }
}
