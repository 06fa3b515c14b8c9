//! Test phone: a SIP endpoint, the calls on top of it, and the script that controls them.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng as _;
use trunkgate_sip::{
    ClientId, DialogId, EndpointConfig, EndpointCounts, EndpointEvent as SipEvent, EndpointOutput as SipOutput, Flow,
    HeaderName, LocalAddress, Method, ProcessIdentity, ServerId, SipEndpoint, SipMessage, StartLine,
};

use crate::call::PhoneCall;
use crate::call::session::{TIMER, refuses};
use crate::cx::PhoneCx;
use crate::event::{CallEnding, CallNumber, PhoneCallState, PhoneEvent, PhoneInput, PhoneOutput};
use crate::limits;
use crate::registration::RegistrarBinding;
use crate::script::{AnswerKind, AnswerScript, InCallRequest, OutgoingCall, PhoneConfig};
use crate::tone::mix;

/// INVITE left without response.
#[derive(Debug)]
struct IgnoredInvite {
    call_id: Vec<u8>,
    call: CallNumber,
    /// Time at which the first copy is processed after all, with its flow and message.
    until: Option<(Instant, Flow, SipMessage)>,
}

/// Test phone, which places and answers calls by script.
#[derive(Debug)]
pub struct Phone {
    config: PhoneConfig,
    endpoint: SipEndpoint,
    calls: BTreeMap<CallNumber, PhoneCall>,
    outputs: VecDeque<PhoneOutput>,
    /// Random generator for keys.
    keys: ChaCha12Rng,
    free_media: VecDeque<SocketAddr>,
    answers: VecDeque<AnswerScript>,
    default_answer: AnswerScript,
    ignored: VecDeque<IgnoredInvite>,
    /// Number of a call that was delayed by its script, reserved until its INVITE is processed.
    late: Option<CallNumber>,
    registration: RegistrarBinding,
    last: u32,
}

/// Methods that a phone serves.
const METHODS: [Method; 7] =
    [Method::Invite, Method::Ack, Method::Cancel, Method::Bye, Method::Options, Method::Info, Method::Update];

impl Phone {
    /// Creates a phone without calls; by default it answers after one second.
    pub fn new(config: PhoneConfig) -> Phone {
        let (mut methods, mut extensions) = (METHODS.to_vec(), Vec::new());
        if config.reliable {
            methods.push(Method::Prack);
            extensions.push("100rel".to_owned());
        }
        if config.transfers.is_some() {
            methods.extend([Method::Refer, Method::Notify]);
        }
        if config.sessions.is_some() {
            extensions.push(TIMER.to_owned());
        }
        let mut endpoint = SipEndpoint::new(
            EndpointConfig {
                identity: ProcessIdentity { edge: number_of(&config.seed), generation: 0, shard: 0 },
                product: "Trunkgate phone".into(),
                methods,
                extensions,
                message_bytes: trunkgate_sip::limits::MESSAGE_BYTES,
                limits: trunkgate_sip::EndpointLimits::default(),
            },
            config.seed,
        );
        endpoint.set_credentials(PhoneConfig::PARTY, config.credentials.clone());
        endpoint.require_credentials(PhoneConfig::PARTY, config.asks.clone());
        // Keys use another stream of the seed than the endpoint.
        let mut keys = ChaCha12Rng::from_seed(config.seed);
        keys.set_stream(1);
        let free_media = config.media.iter().copied().collect();
        Phone {
            config,
            endpoint,
            calls: BTreeMap::new(),
            outputs: VecDeque::new(),
            keys,
            free_media,
            answers: VecDeque::new(),
            default_answer: AnswerScript::ring(std::time::Duration::from_secs(1)),
            ignored: VecDeque::new(),
            late: None,
            registration: RegistrarBinding::default(),
            last: 0,
        }
    }

    /// Queues the answer to a future incoming call, after the answers queued before.
    pub fn expect(&mut self, answer: AnswerScript) {
        self.answers.push_back(answer);
    }

    /// Sets the answer to calls without a queued one.
    pub fn set_default_answer(&mut self, answer: AnswerScript) {
        self.default_answer = answer;
    }

    /// Places a call. Returns `None` if no media address is free.
    pub fn dial(&mut self, now: Instant, dial: OutgoingCall) -> Option<CallNumber> {
        let media = self.free_media.pop_front()?;
        let number = self.next_number();
        let ssrc = self.ssrc(number);
        let call = PhoneCall::dial(&mut self.cx(now), number, ssrc, media, dial);
        self.store_call(call);
        self.drain(now);
        Some(number)
    }

    /// Ends a call in any state.
    pub fn hang_up(&mut self, now: Instant, number: CallNumber) {
        self.with_call(now, Some(number), |cx, call| call.end(cx, CallEnding::HungUp));
        self.drain(now);
    }

    /// Sends a request in a call; has no effect before the answer.
    pub fn say_within(&mut self, now: Instant, number: CallNumber, what: InCallRequest) {
        self.with_call(now, Some(number), |cx, call| call.say_within(cx, what));
        self.drain(now);
    }

    /// Queues digits to send as telephone-events in an answered call. Returns whether the remote party supports them.
    pub fn send_digits(&mut self, number: CallNumber, digits: &str) -> bool {
        self.calls.get_mut(&number).is_some_and(|call| call.send_digits(digits))
    }

    /// Queues samples, at 8 kHz, to send in an answered call instead of the audio of its
    /// [`CallScript`](crate::CallScript). Returns whether the call is answered.
    pub fn speak(&mut self, number: CallNumber, samples: &[i16]) -> bool {
        self.calls.get_mut(&number).is_some_and(|call| call.speak(samples))
    }

    /// Registers `user` at `uri` for `expires` seconds over this flow; 0 removes the registration.
    pub fn register(&mut self, now: Instant, flow: Flow, uri: &str, user: &str, expires: u32) {
        let mut registration = std::mem::take(&mut self.registration);
        registration.register(&mut self.cx(now), flow, uri, (user, expires));
        self.registration = registration;
        self.drain(now);
    }

    /// Returns the status code of the last response to REGISTER, 0 if there was none in time, and `None` before that.
    pub fn registered(&self) -> Option<u16> {
        self.registration.code()
    }

    /// Handles an input from outside.
    pub fn handle_input(&mut self, now: Instant, input: PhoneInput) {
        match input {
            PhoneInput::Sip { flow, bytes } => {
                if let Ok(message) = SipMessage::parse(bytes) {
                    self.handle_message(now, flow, message);
                }
            }
            PhoneInput::Rtp { to, bytes } => {
                self.hear(to, |call, cx| call.receive_packet(cx, &bytes), now);
            }
            PhoneInput::Rtcp { to, bytes } => {
                self.hear(to, |call, cx| call.hear_report(cx.now, &bytes), now);
            }
            PhoneInput::TransportFailed { flow } => {
                self.endpoint.handle_input(
                    now,
                    trunkgate_sip::EndpointInput::TransportFailed { flow, party: None, was_up: false },
                );
            }
        }
        self.drain(now);
    }

    /// Performs all actions that are due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.drain(now);
        while let Some(at) = self.ignored.iter().position(|i| i.until.as_ref().is_some_and(|u| u.0 <= now)) {
            let Some(ignored) = self.ignored.remove(at) else { break };
            if let Some((_, flow, message)) = ignored.until {
                self.late = Some(ignored.call);
                self.handle_message(now, flow, message);
                self.drain(now);
                if let Some(refused) = self.late.take() {
                    // The credentials were wrong.
                    self.with_call(now, Some(refused), |cx, call| call.ended(cx, CallEnding::Rejected(401)));
                }
            }
        }
        let numbers: Vec<CallNumber> =
            self.calls.values().filter(|c| c.next_due().is_some_and(|at| at <= now)).map(PhoneCall::number).collect();
        for number in numbers {
            self.with_call(now, Some(number), |cx, call| call.handle_timeout(cx));
        }
        self.drain(now);
    }

    /// Removes and returns the next output; `None` if there is none.
    pub fn poll_output(&mut self) -> Option<PhoneOutput> {
        self.outputs.pop_front()
    }

    /// Returns the next deadline, for [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let calls = self.calls.values().filter_map(PhoneCall::next_due);
        let ignored = self.ignored.iter().filter_map(|i| i.until.as_ref().map(|u| u.0));
        calls.chain(ignored).chain(self.endpoint.poll_timeout().map(|(at, _)| at)).min()
    }

    /// Returns all calls in order, ended ones included.
    pub fn calls(&self) -> impl Iterator<Item = &PhoneCall> {
        self.calls.values()
    }

    /// Returns the call with this number, if it is known.
    pub fn call(&self, number: CallNumber) -> Option<&PhoneCall> {
        self.calls.get(&number)
    }

    /// Returns the settings of the phone.
    pub fn config(&self) -> &PhoneConfig {
        &self.config
    }

    /// Returns the numbers of live transactions and dialogs.
    pub fn counts(&self) -> EndpointCounts {
        self.endpoint.counts()
    }

    /// Handles a received message, unless the script ignores its call.
    fn handle_message(&mut self, now: Instant, flow: Flow, message: SipMessage) {
        let call_id = message.call_id().unwrap_or_default();
        if self.ignored.iter().any(|i| i.call_id == call_id) {
            return;
        }
        // The endpoint requires credentials before the script decides about the call.
        let is_asked = self.config.asks.is_some() && message.header(HeaderName::Authorization).is_none();
        let is_first = !is_asked
            && matches!(message.start_line(), StartLine::Request { method: Method::Invite, .. })
            && message.to().is_some_and(|to| to.tag().is_none())
            && !self.calls.values().any(|c| c.call_id() == call_id);
        if is_first {
            let until = match self.answers.front().unwrap_or(&self.default_answer).manner {
                AnswerKind::Silent => Some(None),
                AnswerKind::Late { answer_after } => Some(Some(now + answer_after)),
                AnswerKind::Ring { .. }
                | AnswerKind::Early { .. }
                | AnswerKind::Reject { .. }
                | AnswerKind::Rest { .. }
                | AnswerKind::Redirect { .. }
                | AnswerKind::RingForever => None,
            };
            if let Some(until) = until {
                self.ignore(call_id.to_vec(), until, flow, message);
                return;
            }
        }
        let local = self.local();
        self.endpoint.handle_input(
            now,
            trunkgate_sip::EndpointInput::Received { flow, local, party: PhoneConfig::PARTY, message },
        );
    }

    fn ignore(&mut self, call_id: Vec<u8>, until: Option<Instant>, flow: Flow, message: SipMessage) {
        let called = self.called(&message);
        let mut call = self.next_call();
        let number = call.number();
        call.ignore(call_id.clone(), called, until.is_none());
        self.store_call(call);
        self.outputs.push_back(PhoneOutput::Event(PhoneEvent::Incoming(number)));
        if self.ignored.len() == limits::IGNORED {
            self.ignored.pop_front();
        }
        self.ignored.push_back(IgnoredInvite { call_id, call: number, until: until.map(|at| (at, flow, message)) });
    }

    /// Handles an INVITE accepted by the endpoint: begins a new call, or continues the one that was delayed.
    fn incoming(&mut self, now: Instant, id: ServerId, request: &SipMessage) {
        // After a 422 the caller sends another INVITE, which begins the call.
        if refuses(&mut self.cx(now), id, request) {
            return;
        }
        let called = self.called(request);
        let mut call = match self.late.take().and_then(|number| self.calls.remove(&number)) {
            Some(call) => call,
            None => {
                let call = self.next_call();
                self.outputs.push_back(PhoneOutput::Event(PhoneEvent::Incoming(call.number())));
                call
            }
        };
        let media = self.free_media.pop_front();
        call.begin_incoming(&mut self.cx(now), id, media, called, request);
        self.store_call(call);
    }

    /// Processes the outputs of the endpoint until there are none.
    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                SipOutput::Transmit(transmit) => self.outputs.push_back(PhoneOutput::Transmit(transmit)),
                SipOutput::Event(event) => self.handle_event(now, event),
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: SipEvent) {
        if self.registration.handle_endpoint_event(&event) {
            return;
        }
        match event {
            SipEvent::Invite { id, request, .. } => self.incoming(now, id, &request),
            SipEvent::Request { id, dialog, method, request, .. } => self.request(now, (id, dialog), method, &request),
            SipEvent::Ack { dialog, request } => {
                self.with_call(now, self.of_dialog(dialog), |cx, call| call.acked(cx, &request));
            }
            SipEvent::Canceled { id, .. } | SipEvent::Expired { id } => {
                let number = self.find(|c| c.is_server(id));
                self.with_call(now, number, |cx, call| call.ended(cx, CallEnding::CanceledThere));
            }
            SipEvent::Response { id, dialog, code, response, .. } => self.response(now, (id, dialog), code, &response),
            SipEvent::TimedOut { id } => self.failed(now, id, CallEnding::TimedOut),
            SipEvent::TransportFailed { id } => self.failed(now, id, CallEnding::Unreachable),
            SipEvent::AckMissing { dialog } => {
                self.with_call(now, self.of_dialog(dialog), |cx, call| call.ack_missing(cx, dialog));
            }
            // The response to the INVITE determines the outcome of the call.
            SipEvent::Trying { .. }
            | SipEvent::EarlyBye { .. }
            | SipEvent::Challenged { .. }
            | SipEvent::WrongCredentials { .. } => {}
            SipEvent::Prack { id, dialog, .. } => {
                // The session agreed before the answer is kept.
                if let Some(id) = id {
                    self.cx(now).answer(id, 488);
                }
                self.with_call(now, self.of_dialog(dialog), |_, call| call.note_prack());
            }
            SipEvent::PrackMissing { id, .. } => {
                let number = self.find(|c| c.is_server(id));
                self.with_call(now, number, |cx, call| call.ended(cx, CallEnding::PrackMissing));
            }
            SipEvent::Refused { .. } | SipEvent::Dropped(_) => {}
        }
    }

    fn request(
        &mut self,
        now: Instant,
        (id, dialog): (Option<ServerId>, Option<DialogId>),
        method: Method,
        request: &SipMessage,
    ) {
        let number = dialog.and_then(|d| self.of_dialog(d));
        if method == Method::Bye {
            self.with_call(now, number, |cx, call| call.ended(cx, CallEnding::HungUpThere));
            return;
        }
        let Some(id) = id else { return };
        if number.is_some() {
            self.with_call(now, number, |cx, call| call.take_request(cx, id, method, request));
        } else if matches!(method, Method::Invite | Method::Update | Method::Refer) {
            self.cx(now).answer(id, 481);
        } else {
            self.cx(now).answer(id, 200);
        }
    }

    fn response(&mut self, now: Instant, (id, dialog): (ClientId, Option<DialogId>), code: u16, response: &SipMessage) {
        if let Some(number) = self.find(|c| c.is_open(id)) {
            self.with_call(now, Some(number), |cx, call| call.request_answered(cx, id, code, response));
            return;
        }
        let number = self.find(|c| c.is_client(id));
        if number.is_none() && (200..300).contains(&code) && response.method() == Method::Invite {
            // The call is no longer known, but the remote party must not keep a half-open dialog.
            if let Some(dialog) = dialog {
                self.endpoint.ack(now, dialog, None);
                self.cx(now).bye(dialog);
            }
            return;
        }
        self.with_call(now, number, |cx, call| call.invite_answered(cx, dialog, code, response));
    }

    fn failed(&mut self, now: Instant, id: ClientId, ending: CallEnding) {
        if let Some(number) = self.find(|c| c.is_open(id)) {
            self.with_call(now, Some(number), |cx, call| call.request_failed(cx, ending));
        }
        let number = self.find(|c| c.is_client(id) && c.state() != PhoneCallState::Talking);
        self.with_call(now, number, |cx, call| call.invite_failed(cx, ending));
    }

    /// Calls `what` with the call that has this media address.
    fn hear(&mut self, to: SocketAddr, what: impl FnOnce(&mut PhoneCall, &mut PhoneCx<'_>), now: Instant) {
        let Phone { config, endpoint, keys, outputs, calls, .. } = self;
        if let Some(call) = calls.values_mut().find(|call| call.listens_at(to)) {
            what(call, &mut PhoneCx { now, config, endpoint, keys, outputs });
        }
    }

    /// Calls `what` with a call, and releases the resources of an ended one.
    fn with_call(
        &mut self,
        now: Instant,
        number: Option<CallNumber>,
        what: impl FnOnce(&mut PhoneCx<'_>, &mut PhoneCall),
    ) {
        if let Some(mut call) = number.and_then(|number| self.calls.remove(&number)) {
            what(&mut self.cx(now), &mut call);
            self.store_call(call);
        }
    }

    fn cx(&mut self, now: Instant) -> PhoneCx<'_> {
        let Phone { config, endpoint, keys, outputs, .. } = self;
        PhoneCx { now, config, endpoint, keys, outputs }
    }

    fn find(&self, is_it: impl Fn(&PhoneCall) -> bool) -> Option<CallNumber> {
        self.calls.values().find(|c| is_it(c)).map(PhoneCall::number)
    }

    fn of_dialog(&self, dialog: DialogId) -> Option<CallNumber> {
        self.find(|c| c.is_of(dialog))
    }

    /// Stores a call, and releases the resources of an ended one.
    fn store_call(&mut self, mut call: PhoneCall) {
        self.free_media.extend(call.settle());
        self.calls.insert(call.number(), call);
        if self.calls.len() > limits::CALLS {
            let oldest = self.calls.values().find(|c| c.state() == PhoneCallState::Ended).map(PhoneCall::number);
            if let Some(oldest) = oldest {
                self.calls.remove(&oldest);
            }
        }
    }

    fn local(&self) -> LocalAddress {
        LocalAddress { ip: self.config.sip.ip(), port: self.config.sip.port() }
    }

    /// Returns the called user: that of the Request-URI, or that of To if the Request-URI names this phone's
    /// registered Contact.
    fn called(&self, request: &SipMessage) -> String {
        let user = request.uri().map(|uri| uri.user_unescaped()).unwrap_or_default();
        let to = || request.to()?.parsed_uri().map(|uri| uri.user_unescaped());
        if user == self.config.name { to().unwrap_or(user) } else { user }
    }

    /// Creates the next incoming call.
    fn next_call(&mut self) -> PhoneCall {
        let answer = self.answers.pop_front().unwrap_or_else(|| self.default_answer.clone());
        let number = self.next_number();
        PhoneCall::incoming(number, self.ssrc(number), answer)
    }

    fn next_number(&mut self) -> CallNumber {
        self.last += 1;
        CallNumber(self.last)
    }

    fn ssrc(&self, number: CallNumber) -> u32 {
        (mix((u64::from(number_of(&self.config.seed)) << 32) | u64::from(number.0)) >> 16) as u32
    }
}

fn number_of(seed: &[u8; 32]) -> u32 {
    let folded = seed.iter().fold(0u64, |sum, byte| mix(sum ^ u64::from(*byte)));
    (folded >> 32) as u32
}
