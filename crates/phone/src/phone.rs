//! The phone: an [`Endpoint`] below, calls above, and the script that says what to do next.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use trunkgate_media::Origin;
use trunkgate_sip::{
    Counts, Endpoint, EndpointConfig, Flow, HeaderName, Identity, Invite, Local, Message, Method, ServerId, StartLine,
    Transmit,
};

use crate::call::{Due, Ending, PhoneCall, State};
use crate::coded::{Spoken, decode, listen};
use crate::judge::Heard;
use crate::limits;
use crate::registration::Registration;
use crate::reporting::Reporting;
use crate::script::{Answer, Dial, Manner, PhoneConfig};
use crate::session::TIMER;
use crate::tone::{SAMPLE_RATE, mix};

/// One call of a phone, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallNumber(pub u32);

/// A change from outside.
#[derive(Debug)]
pub enum Input {
    /// A SIP message.
    Sip {
        /// The way it came.
        flow: Flow,
        /// The message.
        bytes: Bytes,
    },
    /// An RTP packet.
    Rtp {
        /// The media address it came to.
        to: SocketAddr,
        /// The packet.
        bytes: Bytes,
    },
    /// An RTCP packet.
    Rtcp {
        /// The media address of the call, whose port is that of RTP.
        to: SocketAddr,
        /// The packet.
        bytes: Bytes,
    },
    /// A send failed.
    TransportFailed {
        /// The way that failed.
        flow: Flow,
    },
}

/// What comes out.
#[derive(Debug)]
pub enum Output {
    /// A SIP message to send.
    Transmit(Transmit),
    /// An RTP packet to send.
    Rtp {
        /// The call.
        call: CallNumber,
        /// The media address it leaves from.
        from: SocketAddr,
        /// Where it goes.
        to: SocketAddr,
        /// Which frame of which voice.
        frame: Heard,
        /// The packet.
        bytes: Bytes,
    },
    /// An RTCP packet to send.
    Rtcp {
        /// The media address of the call, whose port is that of RTP.
        from: SocketAddr,
        /// Where it goes.
        to: SocketAddr,
        /// The packet.
        bytes: Bytes,
    },
    /// The audio of an RTP packet that was heard, where [`Talk::overheard`](crate::Talk::overheard) asks for it.
    Heard {
        /// The call.
        call: CallNumber,
        /// Its source.
        ssrc: u32,
        /// Its timestamp, and the clock of that, in Hz.
        timestamp: (u32, u32),
        /// Its samples, 8000 a second.
        samples: Vec<i16>,
    },
    /// News.
    Event(Event),
}

/// What a phone tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Somebody calls.
    Incoming(CallNumber),
    /// The far side rings; told once.
    Ringing(CallNumber),
    /// 200 has been sent or received.
    Answered(CallNumber),
    /// A packet was heard.
    Heard(CallNumber, Heard),
    /// A call is over.
    Ended(CallNumber, Ending),
}

/// What is done with an INVITE that is to be ignored.
#[derive(Debug)]
pub(crate) struct Ignored {
    call_id: Vec<u8>,
    call: CallNumber,
    /// When the first copy is taken up after all.
    until: Option<(Instant, Flow, Message)>,
}

/// A softphone.
#[derive(Debug)]
pub struct Phone {
    pub(crate) config: PhoneConfig,
    pub(crate) endpoint: Endpoint,
    pub(crate) calls: BTreeMap<CallNumber, PhoneCall>,
    pub(crate) outputs: VecDeque<Output>,
    /// Its keys are drawn from here.
    pub(crate) keys: ChaCha12Rng,
    free_media: VecDeque<SocketAddr>,
    answers: VecDeque<Answer>,
    default_answer: Answer,
    ignored: VecDeque<Ignored>,
    /// A call taken up late: it has its number already.
    late: Option<CallNumber>,
    /// Where it can be called, as it has told a registrar.
    pub(crate) registration: Registration,
    last: u32,
    stray_rtp: u64,
}

/// What a phone serves.
const METHODS: [Method; 7] =
    [Method::Invite, Method::Ack, Method::Cancel, Method::Bye, Method::Options, Method::Info, Method::Update];

impl Phone {
    /// A phone without calls; until told otherwise it answers after a second.
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
        let mut endpoint = Endpoint::new(
            EndpointConfig {
                identity: Identity { edge: number_of(&config.seed), generation: 0, shard: 0 },
                product: "Trunkgate phone".into(),
                methods,
                extensions,
                message_bytes: trunkgate_sip::limits::MESSAGE_BYTES,
                limits: trunkgate_sip::Limits::default(),
            },
            config.seed,
        );
        endpoint.set_credentials(PhoneConfig::PARTY, config.credentials.clone());
        endpoint.require_credentials(PhoneConfig::PARTY, config.asks.clone());
        // Apart from what the endpoint draws of the same seed.
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
            default_answer: Answer::ring(std::time::Duration::from_secs(1)),
            ignored: VecDeque::new(),
            late: None,
            registration: Registration::default(),
            last: 0,
            stray_rtp: 0,
        }
    }

    /// How the next call that comes in, after those told before, is answered.
    pub fn expect(&mut self, answer: Answer) {
        self.answers.push_back(answer);
    }
    /// How calls are answered for which nothing was told.
    pub fn set_default_answer(&mut self, answer: Answer) {
        self.default_answer = answer;
    }

    /// Places a call; `None` where no media address is free.
    pub fn dial(&mut self, now: Instant, dial: Dial) -> Option<CallNumber> {
        let media = self.free_media.pop_front()?;
        let number = self.next_number();
        let mut call = PhoneCall::new(number, true, self.ssrc(number), Vec::new());
        call.media = Some(media);
        call.reporting = self.reporting();
        call.called = user_of(dial.uri.as_bytes());
        call.talk = dial.talk;
        call.never_ack = dial.never_ack;
        call.early_offer = dial.offer;
        let body = dial.offer.then(|| {
            call.offered = true;
            self.own_offer(&mut call, dial.multipart)
        });
        call.wake_after(now, dial.cancel_after, Due::Cancel);
        call.wake_after(now, self.config.give_up.map(|g| g.no_final), Due::NoFinal);
        let mut headers = dial.headers;
        headers.extend(self.session_wanted());
        let id = self.endpoint.invite(
            now,
            Invite {
                flow: dial.flow,
                local: self.local(),
                oversize: None,
                party: PhoneConfig::PARTY,
                uri: dial.uri.clone(),
                from: dial.from,
                to: format!("<{}>", dial.uri),
                contact_user: self.config.name.clone(),
                max_forwards: 70,
                headers,
                body,
            },
        );
        call.client = Some(id);
        call.call_id = self.endpoint.call_id(id).unwrap_or_default().as_bytes().to_vec();
        self.keep(call);
        self.drain(now);
        Some(number)
    }

    /// Ends a call in whatever state it is.
    pub fn hang_up(&mut self, now: Instant, number: CallNumber) {
        self.with_call(now, number, |phone, now, call| phone.end(now, call, Ending::HungUp));
        self.drain(now);
    }

    /// Takes a change from outside.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Sip { flow, bytes } => {
                if let Ok(message) = Message::parse(bytes) {
                    self.take(now, flow, message);
                }
            }
            Input::Rtp { to, bytes } => self.hear(now, to, &bytes),
            Input::Rtcp { to, bytes } => self.hear_report(now, to, &bytes),
            Input::TransportFailed { flow } => {
                self.endpoint
                    .handle_input(now, trunkgate_sip::Input::TransportFailed { flow, party: None, was_up: false });
            }
        }
        self.drain(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.drain(now);
        while let Some(at) = self.ignored.iter().position(|i| i.until.as_ref().is_some_and(|u| u.0 <= now)) {
            let Some(ignored) = self.ignored.remove(at) else { break };
            if let Some((_, flow, message)) = ignored.until {
                self.late = Some(ignored.call);
                self.take(now, flow, message);
                self.drain(now);
                if let Some(refused) = self.late.take() {
                    // Its credentials were wrong.
                    self.with_call(now, refused, |phone, now, call| phone.ended(now, call, Ending::Rejected(401)));
                }
            }
        }
        let numbers: Vec<CallNumber> =
            self.calls.values().filter(|c| c.next_due().is_some_and(|at| at <= now)).map(|c| c.number).collect();
        for number in numbers {
            self.with_call(now, number, |phone, now, call| {
                while let Some(due) = call.take_due(now) {
                    phone.act(now, call, due);
                }
            });
        }
        self.drain(now);
    }

    /// The next output, or `None` when idle.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to be woken.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let calls = self.calls.values().filter_map(PhoneCall::next_due);
        let ignored = self.ignored.iter().filter_map(|i| i.until.as_ref().map(|u| u.0));
        calls.chain(ignored).chain(self.endpoint.poll_timeout().map(|(at, _)| at)).min()
    }

    /// Its calls in order, ended ones too.
    pub fn calls(&self) -> impl Iterator<Item = &PhoneCall> {
        self.calls.values()
    }
    /// One call.
    pub fn call(&self, number: CallNumber) -> Option<&PhoneCall> {
        self.calls.get(&number)
    }
    /// How it was set up.
    pub fn config(&self) -> &PhoneConfig {
        &self.config
    }
    /// What is alive below.
    pub fn counts(&self) -> Counts {
        self.endpoint.counts()
    }
    /// Packets that came to an address of no call.
    pub fn stray_rtp(&self) -> u64 {
        self.stray_rtp
    }

    /// A message, unless its call is one to be ignored.
    fn take(&mut self, now: Instant, flow: Flow, message: Message) {
        let call_id = message.call_id().unwrap_or_default();
        if self.ignored.iter().any(|i| i.call_id == call_id) {
            return;
        }
        // Who has to show credentials is asked for them by the endpoint, before anybody decides about the call.
        let is_asked = self.config.asks.is_some() && message.header(HeaderName::Authorization).is_none();
        let is_first = !is_asked
            && matches!(message.start_line(), StartLine::Request { method: Method::Invite, .. })
            && message.to().is_some_and(|to| to.tag().is_none())
            && !self.calls.values().any(|c| c.call_id == call_id);
        if is_first {
            let until = match self.answers.front().unwrap_or(&self.default_answer).manner {
                Manner::Silent => Some(None),
                Manner::Late { answer_after } => Some(Some(now + answer_after)),
                Manner::Ring { .. }
                | Manner::Early { .. }
                | Manner::Reject { .. }
                | Manner::Rest { .. }
                | Manner::Redirect { .. }
                | Manner::RingForever => None,
            };
            if let Some(until) = until {
                self.ignore(call_id.to_vec(), until, flow, message);
                return;
            }
        }
        let local = self.local();
        self.endpoint
            .handle_input(now, trunkgate_sip::Input::Received { flow, local, party: PhoneConfig::PARTY, message });
    }

    fn ignore(&mut self, call_id: Vec<u8>, until: Option<Instant>, flow: Flow, message: Message) {
        let answer = self.next_answer();
        let number = self.next_number();
        let mut call = PhoneCall::new(number, false, self.ssrc(number), call_id.clone());
        call.called = self.called(&message);
        call.manner = Some(answer.manner);
        call.talk = answer.talk;
        if until.is_none() {
            call.state = State::Ended;
            call.ending = Some(Ending::Ignored);
        }
        self.keep(call);
        self.outputs.push_back(Output::Event(Event::Incoming(number)));
        if self.ignored.len() == limits::IGNORED {
            self.ignored.pop_front();
        }
        self.ignored.push_back(Ignored { call_id, call: number, until: until.map(|at| (at, flow, message)) });
    }

    /// An INVITE that the endpoint took: a new call of its own, or the one that was left waiting.
    pub(crate) fn incoming(&mut self, now: Instant, id: ServerId, request: &Message) {
        // Whoever asks for a longer session then calls once more: that is the call.
        if self.refuses_session(now, id, request) {
            return;
        }
        let mut call = match self.late.take().and_then(|number| self.calls.remove(&number)) {
            Some(call) => call,
            None => {
                let answer = self.next_answer();
                let number = self.next_number();
                let mut call = PhoneCall::new(number, false, self.ssrc(number), Vec::new());
                call.manner = Some(answer.manner);
                call.talk = answer.talk;
                self.outputs.push_back(Output::Event(Event::Incoming(number)));
                call
            }
        };
        call.call_id = request.call_id().unwrap_or_default().to_vec();
        call.called = self.called(request);
        call.server = Some(id);
        call.media = self.free_media.pop_front();
        call.reporting = self.reporting();
        self.begin(now, &mut call, request);
        self.keep(call);
    }

    fn hear(&mut self, now: Instant, to: SocketAddr, bytes: &[u8]) {
        let found = self.calls.values_mut().find(|c| c.media == Some(to) && c.state != State::Ended);
        match found {
            None => self.stray_rtp += 1,
            Some(call) => {
                let Some(bytes) = call.secure.open(now, false, bytes) else { return };
                if let Some(reporting) = &mut call.reporting {
                    let spoken =
                        call.speech.spoken.map_or((0, SAMPLE_RATE), |spoken| (call.speech.payload, spoken.clock_hz()));
                    reporting.take(now, bytes, spoken);
                }
                let wanted = call.talk.overheard || call.talk.by_ear;
                if wanted && let Some((rtp, clock_hz, samples)) = decode(&mut call.speech, bytes) {
                    if call.talk.by_ear {
                        listen(&mut call.ear, now, &rtp, &samples);
                    }
                    if call.talk.overheard {
                        let timestamp = (rtp.timestamp, clock_hz);
                        let heard = Output::Heard { call: call.number, ssrc: rtp.ssrc, timestamp, samples };
                        self.outputs.push_back(heard);
                    }
                }
                if !call.talk.by_ear
                    && let Some(heard) = call.judge.hear(now, bytes)
                {
                    self.outputs.push_back(Output::Event(Event::Heard(call.number, heard)));
                }
            }
        }
    }

    fn hear_report(&mut self, now: Instant, to: SocketAddr, bytes: &[u8]) {
        let found = self.calls.values_mut().find(|c| c.media == Some(to) && c.state != State::Ended);
        let Some(call) = found else { return };
        let (ssrc, clock_hz) = (call.speech.ssrc, call.speech.spoken.map_or(SAMPLE_RATE, Spoken::clock_hz));
        if let Some(reporting) = &mut call.reporting
            && let Some(bytes) = call.secure.open(now, true, bytes)
        {
            reporting.hear(now, (ssrc, clock_hz), bytes);
        }
    }

    /// Runs `what` on a call taken out of the map, and puts it back.
    pub(crate) fn with_call(
        &mut self,
        now: Instant,
        number: CallNumber,
        what: impl FnOnce(&mut Phone, Instant, &mut PhoneCall),
    ) {
        if let Some(mut call) = self.calls.remove(&number) {
            what(self, now, &mut call);
            self.keep(call);
        }
    }

    /// Puts a call into the map and gives back what an ended one no longer needs.
    pub(crate) fn keep(&mut self, mut call: PhoneCall) {
        if call.state == State::Ended {
            call.due.clear();
            if let Some(media) = call.media.take() {
                self.free_media.push_back(media);
            }
        }
        self.calls.insert(call.number, call);
        if self.calls.len() > limits::CALLS {
            let oldest = self.calls.values().find(|c| c.state == State::Ended).map(|c| c.number);
            if let Some(oldest) = oldest {
                self.calls.remove(&oldest);
            }
        }
    }

    fn reporting(&mut self) -> Option<Reporting> {
        let mut key = [0; 16];
        let epoch = self.config.reports?;
        self.keys.fill_bytes(&mut key);
        Some(Reporting::new(Origin::new(epoch, key)))
    }
    pub(crate) fn local(&self) -> Local {
        Local { ip: self.config.sip.ip(), port: self.config.sip.port() }
    }
    /// Who is called: the Request-URI's user. Where that is our own name, we are called as who has registered by it, and To
    /// says whom.
    fn called(&self, request: &Message) -> String {
        let user = request.uri().map(|uri| uri.user_unescaped()).unwrap_or_default();
        let to = || request.to()?.parsed_uri().map(|uri| uri.user_unescaped());
        if user == self.config.name { to().unwrap_or(user) } else { user }
    }
    fn next_answer(&mut self) -> Answer {
        self.answers.pop_front().unwrap_or_else(|| self.default_answer.clone())
    }
    fn next_number(&mut self) -> CallNumber {
        self.last += 1;
        CallNumber(self.last)
    }
    fn ssrc(&self, number: CallNumber) -> u32 {
        (mix((u64::from(number_of(&self.config.seed)) << 32) | u64::from(number.0)) >> 16) as u32
    }
}

fn user_of(uri: &[u8]) -> String {
    trunkgate_sip::Uri::parse(uri).map(|uri| uri.user_unescaped()).unwrap_or_default()
}

fn number_of(seed: &[u8; 32]) -> u32 {
    let folded = seed.iter().fold(0u64, |sum, byte| mix(sum ^ u64::from(*byte)));
    (folded >> 32) as u32
}
