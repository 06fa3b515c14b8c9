//! What a phone does at each event of its endpoint and at each deadline of a call.

use std::net::SocketAddr;
use std::time::Instant;

use trunkgate_media::PressSpec;
use trunkgate_media::dtmf::{Sender, Signal};
use trunkgate_media::rtp::Rtp;
use trunkgate_sdp::{Description, Direction};
use trunkgate_sip::{
    Answer, Body, ClientId, DialogId, Event as SipEvent, Extra, HeaderName, Message, Method, Output as SipOutput,
    ServerId,
};

use crate::call::{Due, Ending, PhoneCall, State};
use crate::judge::Heard;
use crate::limits;
use crate::phone::{CallNumber, Event, Output, Phone};
use crate::script::Manner;

impl Phone {
    /// Passes on what the endpoint has to say until it is idle.
    pub(crate) fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                SipOutput::Transmit(transmit) => self.outputs.push_back(Output::Transmit(transmit)),
                SipOutput::Event(event) => self.handle_event(now, event),
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: SipEvent) {
        if self.registration.heard(&event) {
            return;
        }
        match event {
            SipEvent::Invite { id, request, .. } => self.incoming(now, id, &request),
            SipEvent::Request { id, dialog, method, request, .. } => self.request(now, id, dialog, method, &request),
            SipEvent::Ack { dialog, request } => {
                self.at(now, self.of_dialog(dialog), |phone, now, call| phone.acked(now, call, &request));
            }
            SipEvent::Canceled { id, .. } | SipEvent::Expired { id } => {
                let number = self.find(|c| c.server == Some(id));
                self.at(now, number, |phone, now, call| phone.ended(now, call, Ending::CanceledThere));
            }
            SipEvent::Response { id, dialog, code, response } => self.response(now, id, dialog, code, &response),
            SipEvent::TimedOut { id } => self.failed(now, id, Ending::TimedOut),
            SipEvent::TransportFailed { id } => self.failed(now, id, Ending::Unreachable),
            SipEvent::AckMissing { dialog } => {
                self.at(now, self.of_dialog(dialog), |phone, now, call| {
                    phone.bye(now, dialog);
                    phone.ended(now, call, Ending::AckMissing);
                });
            }
            SipEvent::Trying { .. } | SipEvent::Challenged { .. } | SipEvent::WrongCredentials { .. } => {}
            SipEvent::Prack { id, dialog, .. } => {
                // What was agreed on before the answer stands.
                if let Some(id) = id {
                    self.answer(now, id, 488, None);
                }
                self.at(now, self.of_dialog(dialog), |_, _, call| call.pracked = true);
            }
            SipEvent::PrackMissing { id, .. } => {
                let number = self.find(|c| c.server == Some(id));
                self.at(now, number, |phone, now, call| phone.ended(now, call, Ending::PrackMissing));
            }
            SipEvent::Refused { .. } | SipEvent::Dropped(_) => {}
        }
    }

    fn request(
        &mut self,
        now: Instant,
        id: Option<ServerId>,
        dialog: Option<DialogId>,
        method: Method,
        request: &Message,
    ) {
        let number = dialog.and_then(|d| self.of_dialog(d));
        if method == Method::Bye {
            self.at(now, number, |phone, now, call| phone.ended(now, call, Ending::HungUpThere));
            return;
        }
        let Some(id) = id else { return };
        let changes = matches!(method, Method::Invite | Method::Update);
        if changes && number.is_some() && self.refuses_session(now, id, request) {
            return;
        }
        if (changes || method == Method::Refer) && number.is_none() {
            self.answer(now, id, 481, None);
        } else if method == Method::Invite || (method == Method::Update && request.sdp().is_some()) {
            self.at(now, number, |phone, now, call| phone.renegotiate(now, call, id, request));
        } else if method == Method::Update {
            self.at(now, number, |phone, now, call| {
                // What an INVITE asks for is answered with its 2xx.
                let headers = if call.state == State::Talking {
                    phone.note_session(call, request);
                    phone.session_answer(now, call)
                } else {
                    Vec::new()
                };
                phone.agreed(now, id, headers, None);
            });
        } else if method == Method::Refer {
            self.at(now, number, |phone, now, call| phone.referred(now, call, id));
        } else {
            self.answer(now, id, 200, None);
            if method == Method::Notify {
                self.at(now, number, |phone, now, call| phone.told(now, call, request));
            }
        }
    }

    fn response(&mut self, now: Instant, id: ClientId, dialog: Option<DialogId>, code: u16, response: &Message) {
        if let Some(number) = self.find(|c| c.session.update == Some(id)) {
            self.at(now, Some(number), |phone, now, call| phone.updated(now, call, code, response));
            return;
        }
        if let Some(number) = self.find(|c| c.reinvite == Some(id)) {
            self.at(now, Some(number), |phone, now, call| phone.reinvited(now, call, code, response));
            return;
        }
        if let Some(number) = self.find(|c| c.transfer.open == Some(id)) {
            self.at(now, Some(number), |phone, now, call| phone.refer_answered(now, call, code));
            return;
        }
        let number = self.find(|c| c.client == Some(id));
        if number.is_none() && (200..300).contains(&code) && response.method() == Method::Invite {
            // The call is forgotten; the far side must not be left with half a dialog.
            if let Some(dialog) = dialog {
                self.endpoint.ack(now, dialog, None);
                self.bye(now, dialog);
            }
            return;
        }
        self.at(now, number, |phone, now, call| match code {
            0..=199 => phone.progressed(now, call, dialog, response),
            200..=299 => {
                if let Some(dialog) = dialog {
                    phone.answered(now, call, dialog, response);
                }
            }
            300.. => {
                let ending = call.canceling.unwrap_or(Ending::Refused(code));
                phone.ended(now, call, ending);
            }
        });
    }

    fn progressed(&mut self, now: Instant, call: &mut PhoneCall, dialog: Option<DialogId>, response: &Message) {
        if call.state == State::Calling {
            call.state = State::Ringing;
            self.outputs.push_back(Output::Event(Event::Ringing(call.number)));
        }
        if call.state != State::Ringing {
            return;
        }
        call.pracked |= response.header(HeaderName::RSeq).is_some();
        call.early = dialog.filter(|_| call.pracked);
        if call.offered {
            self.read_far(now, call, response);
        } else if response.header(HeaderName::RSeq).is_some()
            && call.ours.is_none()
            && let Some(dialog) = dialog
            && let Some(answer) = self.answer_to(now, call, response)
        {
            // An offer that comes before the 2xx is answered before it (RFC 3262 §5).
            self.endpoint.answer_early(now, dialog, Body::sdp(answer));
        }
    }

    fn answered(&mut self, now: Instant, call: &mut PhoneCall, dialog: DialogId, response: &Message) {
        if call.dialog == Some(dialog) {
            return;
        }
        if call.state == State::Ended || call.canceling.is_some() || call.dialog.is_some() {
            self.endpoint.ack(now, dialog, None);
            self.bye(now, dialog);
            if let Some(ending) = call.canceling.filter(|_| call.dialog.is_none()) {
                self.ended(now, call, ending);
            }
            return;
        }
        call.dialog = Some(dialog);
        let body = if call.offered {
            self.read_far(now, call, response);
            None
        } else {
            self.answer_to(now, call, response).map(Body::sdp)
        };
        call.offered = false;
        if !call.never_ack {
            self.endpoint.ack(now, dialog, body);
        }
        call.acked = true;
        self.take_session(now, call, response);
        self.talking(now, call);
    }

    fn talking(&mut self, now: Instant, call: &mut PhoneCall) {
        call.state = State::Talking;
        call.answered_at = Some(now);
        for due in [Due::Cancel, Due::NoFinal, Due::Answer] {
            call.forget(due);
        }
        let talk = call.talk.clone();
        call.wake_after(now, talk.hang_up_after, Due::HangUp);
        call.wake_after(now, talk.hold_after, Due::Hold);
        call.wake_after(now, talk.resume_after, Due::Resume);
        call.wake_after(now, self.config.give_up.map(|g| g.call), Due::TooLong);
        self.outputs.push_back(Output::Event(Event::Answered(call.number)));
    }

    /// The first steps of an incoming call.
    pub(crate) fn begin(&mut self, now: Instant, call: &mut PhoneCall, request: &Message) {
        let Some(id) = call.server else { return };
        if call.media.is_none() {
            self.answer(now, id, 503, None);
            self.ended(now, call, Ending::Rejected(503));
            return;
        }
        call.wake_after(now, self.config.give_up.map(|g| g.no_final), Due::NoFinal);
        self.note_session(call, request);
        call.offer = request.sdp().and_then(|sdp| Description::parse(&sdp).ok());
        call.early_offer = call.offer.is_some();
        match call.manner.unwrap_or(Manner::RingForever) {
            Manner::Ring { answer_after } => {
                self.provisional(now, call, id, 180);
                call.wake(now + answer_after, Due::Answer);
            }
            Manner::Early { answer_after } => {
                if call.offer.is_some() && self.describe(now, call).is_none() {
                    self.refuse_media(now, call, id);
                    return;
                }
                self.provisional(now, call, id, 183);
                call.wake(now + answer_after, Due::Answer);
            }
            Manner::Reject { code, after } => {
                if !after.is_zero() {
                    self.provisional(now, call, id, 180);
                }
                call.wake(now + after, Due::Reject(code));
            }
            Manner::Rest { seconds } => {
                let headers = vec![Extra { name: "Retry-After".into(), value: seconds.to_string() }];
                self.endpoint.respond(now, id, Answer { code: 503, headers, ..Answer::default() });
                self.ended(now, call, Ending::Rejected(503));
            }
            Manner::Redirect { to } => {
                let contact = |at: &SocketAddr| format!("<sip:{}@{at}>", call.called);
                let value = to.iter().flatten().map(contact).collect::<Vec<_>>().join(", ");
                let headers = vec![Extra { name: "Contact".into(), value }];
                self.endpoint.respond(now, id, Answer { code: 302, headers, ..Answer::default() });
                self.ended(now, call, Ending::Rejected(302));
            }
            Manner::RingForever => self.provisional(now, call, id, 180),
            Manner::Silent => {}
            Manner::Late { .. } => call.wake(now, Due::Answer),
        }
    }

    fn provisional(&mut self, now: Instant, call: &mut PhoneCall, id: ServerId, code: u16) {
        let body = call.ours.as_ref().filter(|_| code == 183).map(|ours| Body::sdp(ours.to_string()));
        // The first reliable one has an offer where the INVITE had none (RFC 3262 §5): this phone makes its with the 2xx.
        let reliable = self.config.reliable && call.offer.is_some();
        call.told_early = reliable && body.is_some() && self.endpoint.may_be_reliable(id);
        let contact_user = self.config.name.clone();
        let answer = Answer { code, body, contact_user, reliable, ..Answer::default() };
        call.dialog = self.endpoint.respond(now, id, answer);
        call.state = State::Ringing;
    }

    /// Does what a deadline asks for.
    pub(crate) fn act(&mut self, now: Instant, call: &mut PhoneCall, due: Due) {
        match due {
            Due::Answer => self.pick_up(now, call),
            Due::Reject(code) => {
                if let Some(id) = call.server {
                    self.answer(now, id, code, None);
                    self.ended(now, call, Ending::Rejected(code));
                }
            }
            Due::Cancel => self.end(now, call, Ending::Canceled),
            Due::HangUp => self.end(now, call, Ending::HungUp),
            Due::NoFinal | Due::TooLong => self.end(now, call, Ending::GaveUp),
            Due::Refresh => self.refresh(now, call),
            Due::Tell(code) => self.tell(now, call, code),
            Due::SessionOver => self.end(now, call, Ending::SessionExpired),
            Due::Hold => self.reinvite(now, call, Direction::SendOnly),
            Due::Resume => self.reinvite(now, call, Direction::SendRecv),
            Due::Frame => self.say(now, call),
            Due::Report => self.report(now, call, false),
        }
    }

    fn pick_up(&mut self, now: Instant, call: &mut PhoneCall) {
        let Some(id) = call.server else { return };
        if call.ours.is_none() {
            if call.offer.is_some() {
                if self.describe(now, call).is_none() {
                    self.refuse_media(now, call, id);
                    return;
                }
            } else {
                self.own_offer(call, false);
                call.offered = true;
            }
        }
        let body = call.ours.as_ref().filter(|_| !call.told_early).map(|ours| Body::sdp(ours.to_string()));
        let headers = self.session_answer(now, call);
        match self.agreed(now, id, headers, body) {
            Some(dialog) => {
                call.dialog = Some(dialog);
                self.talking(now, call);
            }
            None => self.ended(now, call, Ending::TimedOut),
        }
    }

    fn refuse_media(&mut self, now: Instant, call: &mut PhoneCall, id: ServerId) {
        self.answer(now, id, 488, None);
        self.ended(now, call, Ending::Rejected(488));
    }

    fn acked(&mut self, now: Instant, call: &mut PhoneCall, request: &Message) {
        call.acked = true;
        if call.offered {
            call.offered = false;
            self.read_far(now, call, request);
        }
        if let Some(ending) = call.bye_at_ack.take() {
            self.end(now, call, ending);
        }
    }

    /// Ends a call in whatever state it is.
    pub(crate) fn end(&mut self, now: Instant, call: &mut PhoneCall, ending: Ending) {
        match (call.state, call.outgoing) {
            (State::Ended, _) => {}
            (State::Talking, false) if !call.acked => call.bye_at_ack = Some(ending),
            (State::Talking, _) => {
                if let Some(dialog) = call.dialog {
                    self.bye(now, dialog);
                }
                self.ended(now, call, ending);
            }
            (State::Calling | State::Ringing, true) => {
                if let Some(id) = call.client.filter(|_| call.canceling.is_none()) {
                    call.canceling = Some(ending);
                    self.endpoint.cancel(now, id);
                }
            }
            (State::Calling | State::Ringing, false) => {
                if let Some(id) = call.server {
                    self.answer(now, id, 480, None);
                }
                self.ended(now, call, ending);
            }
        }
    }

    fn failed(&mut self, now: Instant, id: ClientId, ending: Ending) {
        if let Some(number) = self.find(|c| c.is_open(id)) {
            self.at(now, Some(number), |phone, now, call| {
                (call.reinvite, call.session.update, call.transfer.open) = (None, None, None);
                phone.end(now, call, ending);
            });
        }
        let number = self.find(|c| c.client == Some(id) && c.state != State::Talking);
        self.at(now, number, |phone, now, call| {
            let ending = call.canceling.unwrap_or(ending);
            phone.ended(now, call, ending);
        });
    }

    pub(crate) fn reinvite(&mut self, now: Instant, call: &mut PhoneCall, direction: Direction) {
        let Some(dialog) = call.dialog.filter(|_| call.acked && call.reinvite.is_none()) else { return };
        let before = (call.direction, call.ours.clone());
        call.direction = direction;
        call.version += 1;
        call.has_held = true;
        let body = self.own_offer(call, false);
        let headers = self.session_headers(call);
        call.reinvite = self.endpoint.request(now, dialog, Method::Invite, headers, Some(body));
        if call.reinvite.is_none() {
            (call.direction, call.ours) = before;
            call.secure.keep_keys();
        }
    }

    fn reinvited(&mut self, now: Instant, call: &mut PhoneCall, code: u16, response: &Message) {
        if code < 200 {
            return;
        }
        call.reinvite = None;
        let (asked, repeats) = (std::mem::take(&mut call.asked), std::mem::take(&mut call.repeats));
        match code {
            200..=299 => {
                self.take_session(now, call, response);
                call.version += u64::from(asked);
                let body = if asked { self.answer_to(now, call, response).map(Body::sdp) } else { None };
                if let Some(dialog) = call.dialog {
                    self.endpoint.ack(now, dialog, body);
                }
                if !asked {
                    self.read_far(now, call, response);
                }
            }
            // The dialog is gone on the far side (RFC 3261 §12.2.1.2).
            408 | 481 => self.end(now, call, Ending::Refused(code)),
            _ if repeats => self.refresh_later(now, call),
            _ => {
                call.secure.keep_keys();
                self.refresh_later(now, call);
            }
        }
    }

    /// A re-INVITE of the far side.
    fn renegotiate(&mut self, now: Instant, call: &mut PhoneCall, id: ServerId, request: &Message) {
        call.version += 1;
        self.note_session(call, request);
        let body = match request.sdp().and_then(|sdp| Description::parse(&sdp).ok()) {
            Some(offer) => {
                call.offer = Some(offer);
                self.describe(now, call).map(Body::sdp)
            }
            None => {
                call.offered = true;
                Some(self.own_offer(call, false))
            }
        };
        match body {
            Some(body) => {
                let headers = self.session_answer(now, call);
                self.agreed(now, id, headers, Some(body))
            }
            None => self.answer(now, id, 488, None),
        };
    }

    /// The first frame leaves one frame's time from now: it has to be recorded first.
    pub(crate) fn start_talking(&mut self, now: Instant, call: &mut PhoneCall) {
        if !call.speech.ticking {
            call.speech.ticking = true;
            call.speech.next_at = Some(now + self.config.frame_interval);
            call.wake(now + self.config.frame_interval, Due::Frame);
            if call.reporting.is_some() {
                call.wake(now, Due::Report);
            }
        }
    }

    fn say(&mut self, now: Instant, call: &mut PhoneCall) {
        if call.talk.frames.is_some_and(|most| call.speech.sent >= most) {
            return;
        }
        // By schedule, so that waking late does not slow the voice; after a long sleep from now on.
        let interval = self.config.frame_interval;
        let due = call.speech.next_at.unwrap_or(now);
        let next = if due + interval * limits::FRAMES_BEHIND < now { now + interval } else { due + interval };
        call.speech.next_at = Some(next);
        call.wake(next, Due::Frame);
        let speech = &mut call.speech;
        let (Some(voice), Some(to), Some(from), true) = (&speech.voice, speech.to, call.media, speech.allowed) else {
            return;
        };
        let frame = Heard { ssrc: speech.ssrc, index: speech.sent };
        let packet = match &call.talk.audio {
            Some(audio) => voice.packet_of(speech.sent, speech.payload, audio),
            None => voice.packet(speech.sent, speech.payload),
        };
        let mut coded = match &mut speech.coded {
            Some(coded) => coded.code(voice.codec(), &packet),
            None => None,
        };
        if let (Some(keys), Some((payload, clock_hz)), true) =
            (&call.talk.keys, speech.events, speech.sent >= limits::KEYS_AFTER)
        {
            let presses = speech.presses.get_or_insert_with(|| {
                let mut presses = Sender::default();
                presses.add(PressSpec::Event { payload, clock_hz }, keys, limits::KEY_MS);
                presses
            });
            // In the place of the audio that is said meanwhile.
            coded = key(presses, coded.as_deref().unwrap_or(&packet)).or(coded);
        }
        let Some(bytes) = call.secure.seal(false, coded.as_deref().unwrap_or(&packet)) else { return };
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        speech.sent += 1;
        self.outputs.push_back(Output::Rtp { call: call.number, from, to, frame, bytes });
    }

    pub(crate) fn ended(&mut self, now: Instant, call: &mut PhoneCall, ending: Ending) {
        if call.state != State::Ended {
            self.report(now, call, true);
            call.state = State::Ended;
            call.ending = Some(ending);
            self.outputs.push_back(Output::Event(Event::Ended(call.number, ending)));
        }
    }

    fn bye(&mut self, now: Instant, dialog: DialogId) {
        self.endpoint.request(now, dialog, Method::Bye, Vec::new(), None);
    }

    fn agreed(&mut self, now: Instant, id: ServerId, headers: Vec<Extra>, body: Option<Body>) -> Option<DialogId> {
        let contact_user = self.config.name.clone();
        self.endpoint.respond(now, id, Answer { code: 200, headers, body, contact_user, ..Answer::default() })
    }

    fn answer(&mut self, now: Instant, id: ServerId, code: u16, body: Option<Body>) -> Option<DialogId> {
        let contact_user = self.config.name.clone();
        self.endpoint.respond(now, id, Answer { code, body, contact_user, ..Answer::default() })
    }

    fn at(&mut self, now: Instant, number: Option<CallNumber>, what: impl FnOnce(&mut Phone, Instant, &mut PhoneCall)) {
        if let Some(number) = number {
            self.with_call(now, number, what);
        }
    }
    fn find(&self, is_it: impl Fn(&PhoneCall) -> bool) -> Option<CallNumber> {
        self.calls.values().find(|c| is_it(c)).map(|c| c.number)
    }
    fn of_dialog(&self, dialog: DialogId) -> Option<CallNumber> {
        self.find(|c| c.dialog == Some(dialog))
    }
}
/// The packet of a key that is due in the place of one of audio.
fn key(presses: &mut Sender, audio: &[u8]) -> Option<Vec<u8>> {
    let rtp = Rtp::parse(audio).ok()?;
    let Signal::Event(key) = presses.next(rtp.timestamp)? else { return None };
    let mut bytes = Vec::new();
    let (marker, payload_type, timestamp) = (key.marker, key.payload_type, key.timestamp);
    Rtp { marker, payload_type, timestamp, ..rtp }.build(&key.payload, &mut bytes);
    Some(bytes)
}
