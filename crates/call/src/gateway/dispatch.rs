//! Dispatch of the SIP endpoint's events to their call and leg; every message is counted and traced.
//!
//! An INVITE over UDP that is longer than its trunk's `udp_mtu` is noted with its longest parts, since fragments may be
//! lost. A call refused by a limit gets a record, a trace and a line in `calls`, up to a rate; such calls are kept
//! apart, so that a flood of them displaces no other.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::admission::limited::CallLimit;
use trunkgate_resources::edge::not_served;
use trunkgate_resources::io::{GatewayOutput, StreamFailure};
use trunkgate_resources::limits::{HEADER_NAME_CHARS, RETRY_AFTER_SECONDS};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::index::{LegRef, RequestPurpose};
use trunkgate_resources::lookups::key::CallKey;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_resources::trunks::challenge::auth_fault;
use trunkgate_resources::trunks::quotas::CallNumbers;
use trunkgate_resources::trunks::rejection::failure_response;
use trunkgate_route::{HeaderRules, SendNumbers, Trunk};
use trunkgate_sip::{
    ClientId, DIGEST_URI_DIFFERS, DialogId, DropReason, EndpointEvent, HeaderName, MessageBody, Method, ResponseSpec,
    ServerId, SipMessage, SipPartyId, SipTransmit, Transport,
};
use trunkgate_story::numbers::{called, caller, is_emergency, plain};
use trunkgate_story::reason::{ReasonSlug, q850_of};
use trunkgate_story::unsent;

use crate::call::legs::event::CallEvent::{self, Due, Negotiation, Search, Side, Transfer};
use crate::call::legs::event::{NegotiationEvent as N, SearchEvent as S, SideEvent as D, TransferEvent as T};
use crate::call::legs::headers::{self, RelayedHeaders};
use crate::call::legs::info::Info;
use crate::call::legs::leg::Leg;
use crate::call::legs::session_timer::SessionTimerRequest;
use crate::call::media::wiring::refused_offer;
use crate::call::parts::Call;
use crate::call::parts::release;
use crate::call::search::candidates::limit_of;
use crate::call::search::redirect;
use crate::call::words::answer::{FinalAnswer, refuse_request};
use crate::call::words::incoming::IncomingInvite;
use crate::call::words::refer::{ReferRefusal, ReferRequest};
use crate::call::words::refer_report::ReferReport;
use crate::call::words::state::CallState;
use crate::gateway::{Gateway, conferences};

impl Gateway {
    /// Carries out the endpoint's outputs until it is idle.
    pub(crate) fn settle(&mut self, now: Instant) {
        self.edge.pump();
        loop {
            while let Some(output) = self.edge.turn_mut().pending.pop_front() {
                match output {
                    trunkgate_sip::EndpointOutput::Transmit(transmit) => self.transmit(now, transmit),
                    trunkgate_sip::EndpointOutput::Event(event) => self.sip_event(now, event),
                }
                self.edge.pump();
            }
            let conferred = conferences::settle(self, now);
            let paced = self.edge.trunks_mut().woken().into_iter().map(|(key, branch)| (key, CallTimer::Pace(branch)));
            let queued = self.edge.agents_mut().woken().into_iter().map(|key| (key, CallTimer::Queue));
            let woken: Vec<(CallKey, CallTimer)> = paced.chain(queued).collect();
            let unjoined = std::mem::take(&mut self.edge.turn_mut().unjoined);
            if woken.is_empty() && unjoined.is_empty() && !conferred {
                break;
            }
            for (key, client, reason) in unjoined {
                self.tell(now, key, Side(D::Unjoined { client, reason }));
            }
            for (key, timer) in woken {
                self.tell(now, key, Due(timer));
            }
        }
        for client in std::mem::take(&mut self.edge.turn_mut().finished) {
            self.edge.index_mut().clients.remove(&client);
        }
        for server in std::mem::take(&mut self.edge.turn_mut().refused) {
            self.edge.index_mut().servers.remove(&server);
        }
        let counts = self.edge.endpoint().counts();
        self.edge.metrics_mut().sip.transactions_active = (counts.servers + counts.clients) as u64;
        self.edge.metrics_mut().sip.dialogs_active = counts.dialogs as u64;
        self.edge.metrics_mut().message_texts.bytes = self.edge.tracing().message_bytes as u64;
        self.edge.metrics_mut().media_ports_in_use = 2 * self.edge.sessions().ports.in_use() as u64;
        self.forget_done(now);
    }

    fn transmit(&mut self, now: Instant, transmit: SipTransmit) {
        let what = transmit.what;
        let trunk = self.edge.party_name(what.party);
        let metrics = self.edge.metrics_mut();
        if what.again {
            metrics.sip.retransmissions += 1;
        } else {
            match what.code {
                Some(code) => {
                    *metrics.sip.responses.entry((trunk, what.method.as_str(), code, "out")).or_default() += 1
                }
                None => *metrics.sip.requests.entry((trunk, what.method.as_str(), "out")).or_default() += 1,
            }
        }
        let index = self.edge.index();
        let place = what.client.and_then(|id| index.clients.get(&id).map(|c| c.at));
        let place = place.or_else(|| what.server.and_then(|id| index.servers.get(&id).copied()));
        let place = place.or_else(|| what.dialog.and_then(|id| self.edge.place_of(id)));
        let place = place.or_else(|| self.edge.place_of_cancel(&transmit));
        match (place, what.server) {
            // This is a retransmission of the 100 to the caller, which is not traced.
            (Some(_), _) if what.code == Some(100) => {}
            (Some(at), _) => {
                self.edge.trace_sent(now, at, &transmit);
                self.note_oversize(now, at, &transmit);
            }
            (None, Some(server)) if what.code == Some(100) => {
                self.edge.turn_mut().trying = Some((server, transmit.flow, transmit.bytes.clone()));
            }
            (None, _) => {}
        }
        self.arrivals().note_answer(&transmit.flow, transmit.bytes.len());
        self.edge.output(GatewayOutput::Transmit(transmit));
    }

    fn sip_event(&mut self, now: Instant, event: EndpointEvent) {
        let Some(event) = self.edge.take_notifier_event(now, event) else { return };
        match event {
            EndpointEvent::Invite { id, flow, party, request } => {
                self.edge.right_credentials(party, flow.remote);
                self.invited(now, id, flow, party, request);
            }
            EndpointEvent::Request { id: Some(id), dialog: None, method: Method::Register, flow, party, request } => {
                self.edge.right_credentials(party, flow.remote);
                self.edge.registering(now, id, party, flow, &request);
                self.edge.phone_registered(now, party);
            }
            // MESSAGE in a dialog goes to the other side; outside of one it is refused.
            EndpointEvent::Request { id: Some(id), dialog: None, method: Method::Message, party, .. } => {
                let name = self.edge.party_name(party);
                let answer = self.edge.refuse_method(now, &name, Method::Message);
                self.edge.respond(now, id, answer);
            }
            EndpointEvent::Request { id, dialog, method, request, .. } => {
                self.requested(now, id, dialog, method, &request)
            }
            EndpointEvent::EarlyBye { invite, is_last } => {
                let at = self.edge.index().clients.get(&invite).map(|client| client.at);
                if let Some(at) = at {
                    self.edge.trace_received(now, at);
                    if is_last {
                        self.tell(now, at.key, Search(S::EarlyBye { leg: at.leg }));
                    }
                }
            }
            EndpointEvent::Ack { dialog, request } => {
                if let Some(at) = self.dialog_traced(now, dialog, &request) {
                    self.tell(now, at.key, Negotiation(N::Acked { leg: at.leg, sdp: request.sdp() }));
                }
            }
            EndpointEvent::Prack { id, dialog, request, .. } => {
                if let Some(at) = self.dialog_traced(now, dialog, &request) {
                    self.learn(at, &request);
                    self.tell(now, at.key, Negotiation(N::Pracked { leg: at.leg, server: id, sdp: request.sdp() }));
                }
            }
            EndpointEvent::PrackMissing { id, .. } => {
                if let Some(at) = self.edge.index().servers.get(&id).copied() {
                    self.edge.decide(now, at.key, "a provisional response was not acknowledged");
                    self.tell(now, at.key, Side(D::PrackMissing));
                }
            }
            EndpointEvent::Canceled { id, elsewhere } => {
                if let Some(at) = self.edge.index().servers.get(&id).copied() {
                    self.tell(now, at.key, Side(D::Canceled { server: id, elsewhere }));
                }
            }
            EndpointEvent::Expired { id } => {
                if let Some(at) = self.edge.index().servers.get(&id).copied() {
                    self.edge.decide(now, at.key, "the INVITE has expired (Expires)");
                    self.tell(now, at.key, Side(D::Canceled { server: id, elsewhere: false }));
                }
            }
            EndpointEvent::Response { id, response, .. } if self.edge.registrations().owns(id) => {
                self.edge.register_answered(now, id, Some(&response));
            }
            EndpointEvent::Response { id, dialog, code, response, had_credentials } => {
                self.responded(now, id, dialog, code, (&response, had_credentials));
            }
            EndpointEvent::Trying { id } => {
                if let Some(entry) = self.edge.index().clients.get(&id).copied() {
                    self.edge.trace_received(now, entry.at);
                    if entry.purpose == RequestPurpose::Invite {
                        self.tell(now, entry.at.key, Search(S::Trying { leg: entry.at.leg }));
                    }
                }
            }
            EndpointEvent::Challenged { id, .. } if self.edge.registrations().owns(id) => {
                self.edge.register_challenged(now, id)
            }
            EndpointEvent::Challenged { id, code, response } => {
                if let Some(entry) = self.edge.index().clients.get(&id).copied() {
                    self.edge.trace_received(now, entry.at);
                    if let Some(least) = response.min_se().filter(|_| code == 422) {
                        let leg = entry.at.leg;
                        self.tell(now, entry.at.key, Negotiation(N::SessionTooShort { leg, least }));
                    }
                    if entry.purpose == RequestPurpose::Invite {
                        self.tell(now, entry.at.key, Search(S::Challenged { leg: entry.at.leg }));
                    }
                }
            }
            EndpointEvent::WrongCredentials { party, flow, proven, user, is_user_known } => {
                let trunk = self.edge.party_name(party);
                if proven || flow.transport.is_reliable() {
                    self.arrivals().guessed(now, &flow, &trunk);
                }
                self.edge.wrong_credentials(now, &trunk, flow.remote, (&user, is_user_known));
            }
            EndpointEvent::TimedOut { id } | EndpointEvent::TransportFailed { id }
                if self.edge.registrations().owns(id) =>
            {
                self.edge.register_answered(now, id, None);
            }
            EndpointEvent::TimedOut { id } => self.unanswered(now, id, true),
            EndpointEvent::TransportFailed { id } => self.unanswered(now, id, false),
            EndpointEvent::AckMissing { dialog } => {
                if let Some(at) = self.edge.index().dialogs.get(&dialog).copied() {
                    self.edge.decide(now, at.key, "2xx was not acknowledged");
                    self.tell(now, at.key, Side(D::AckMissing { leg: at.leg }));
                }
            }
            EndpointEvent::Refused { party, method, code, defect } => {
                let trunk = self.edge.party_name(party);
                let part = defect.map(|d| format!(": {}", d.what)).unwrap_or_default();
                let text = format!("its {method} was refused with {code}{part}");
                self.edge.trunks_mut().problem(now, &trunk, text.clone());
                if defect.is_some_and(|d| d.what == DIGEST_URI_DIFFERS) && self.edge.admission_mut().may_log(now) {
                    let text = format!(
                        "trunk {trunk}: {text}. The request was changed on the way; for a proxy that is meant to: \
                         `digest_uri = \"any\"`"
                    );
                    self.edge.log("", text, None);
                }
            }
            EndpointEvent::Dropped(reason) => {
                if reason == DropReason::StrayAck {
                    self.edge.note_stray_ack(now);
                }
                self.edge.metrics_mut().dropped(word_of(reason));
            }
        }
    }

    fn invited(
        &mut self,
        now: Instant,
        server: ServerId,
        flow: trunkgate_sip::Flow,
        party: SipPartyId,
        request: SipMessage,
    ) {
        let name = self.edge.party_name(party);
        let Some(trunk) = self.edge.table().trunk(&name).filter(|trunk| trunk.siprec.is_none()).cloned() else {
            // The party has no trunk: removed by a reload since the look-up, never one, or a recording server.
            return refuse_request(now, &mut self.edge, server, 403);
        };
        if request.header(HeaderName::Replaces).is_some() {
            return self.replacing(now, &IncomingInvite { server, flow, party, trunk, request });
        }
        let admitted = match is_emergency(&request, &trunk, self.edge.numbers()) {
            true => {
                let admitted =
                    self.edge.admission().check_emergency().map(|()| self.edge.resume_trunk_call(&trunk.name));
                admitted.map_err(|reason| AdmissionRefusal { reason, key: String::new(), is_of_trunk: false })
            }
            false => self.admitted(now, &trunk, &request),
        };
        let incoming = IncomingInvite { server, flow, party, trunk, request };
        if let Err(why) = admitted {
            return self.refuse_by_limit(now, &incoming, &why);
        }
        self.edge.admission_mut().begin(now, &incoming.trunk.name);
        let key = CallKey(self.next_call);
        self.next_call += 1;
        self.begin_work(key);
        let call = Call::new(now, &mut self.edge, key, &incoming);
        let call = self.calls.entry(key).or_insert(Box::new(call));
        let (parts, mut cx) = call.act(now, &mut self.edge);
        parts.begin(&mut cx, &incoming);
        cx.note_legs();
        if call.shared.state != CallState::Ended {
            self.edge.output(GatewayOutput::Began(Box::new(call.view())));
        }
        self.at_work = None;
        self.note_if_done(key);
    }

    /// Checks a new call against the limits of the edge and of its trunk.
    ///
    /// # Errors
    /// The limit that refuses the call.
    fn admitted(&mut self, now: Instant, trunk: &Arc<Trunk>, request: &SipMessage) -> Result<(), AdmissionRefusal> {
        self.edge.admission_mut().check(now, &trunk.name).map_err(|reason| {
            let key = self.edge.admission().limit_of(reason);
            self.edge.limit_alarm(now, &trunk.name, reason, &key);
            AdmissionRefusal { reason, key, is_of_trunk: false }
        })?;
        self.edge.begin_trunk_call(now, &trunk.name).map_err(|reason| {
            self.edge.alarm(now, "", &trunk.name, reason, "calls from it");
            AdmissionRefusal { reason, key: limit_of(trunk, reason, trunk.calls_per_second_in), is_of_trunk: true }
        })?;
        if trunk.quotas.is_empty() {
            return Ok(());
        }
        let numbers = self.edge.numbers();
        let called = called(request, trunk, numbers);
        let called = called.map(|number| numbers.spoken_forms(&number, SendNumbers::AsIs)).unwrap_or_default();
        let caller = caller(request, numbers).number.text;
        let who = (CallKey(self.next_call), None);
        let taken = self.edge.take_quota(now, &trunk.name, CallNumbers { called: &called, caller: &caller }, who);
        taken.map_err(|(reason, key)| {
            self.edge.end_trunk_call(&trunk.name);
            self.edge.alarm(now, "", &trunk.name, reason, &key);
            AdmissionRefusal { reason, key, is_of_trunk: true }
        })
    }

    fn requested(
        &mut self,
        now: Instant,
        id: Option<ServerId>,
        dialog: Option<DialogId>,
        method: Method,
        request: &SipMessage,
    ) {
        let place = dialog.and_then(|dialog| self.dialog_traced(now, dialog, request));
        if let Some(at) = place {
            self.learn(at, request);
        }
        match (method, place, id) {
            (Method::Bye, Some(at), _) => {
                let headers = self.brought(at, request);
                self.tell(now, at.key, Side(D::Bye { leg: at.leg, headers }));
            }
            (Method::Invite, Some(at), Some(server)) => {
                let (sdp, session) = (request.sdp(), SessionTimerRequest::of(request));
                let event = Negotiation(N::Reinvite { leg: at.leg, server, sdp, session });
                self.tell(now, at.key, event);
            }
            (Method::Update, Some(at), Some(server)) => {
                let (sdp, session) = (request.sdp(), SessionTimerRequest::of(request));
                let event = Negotiation(N::Update { leg: at.leg, server, sdp, session });
                self.tell(now, at.key, event);
            }
            (Method::Info | Method::Message, Some(at), Some(server)) => {
                let info = Box::new(self.info(at, request));
                self.tell(now, at.key, Negotiation(N::Info { leg: at.leg, server, info }));
            }
            (Method::Refer, Some(at), Some(server)) => match refer_of(request, self, at) {
                Ok(refer) => {
                    if let Some(refer) = self.attended(now, at, server, refer) {
                        self.tell(now, at.key, Transfer(T::Refer { leg: at.leg, server, refer: Box::new(refer) }));
                    }
                }
                Err(unreadable) => {
                    self.edge.respond(now, server, unreadable.answer());
                }
            },
            (Method::Notify, Some(at), Some(server)) => match ReferReport::read(request) {
                Some(report) => self.tell(now, at.key, Transfer(T::Reported { leg: at.leg, server, report })),
                // No other event is subscribed to (RFC 6665 §4.1.3).
                None => refuse_request(now, &mut self.edge, server, 489),
            },
            (Method::Options, _, Some(server)) => {
                let answer = self.options_answer(dialog.is_some());
                self.edge.respond(now, server, answer);
            }
            // A call's dialog offers no event package.
            (Method::Subscribe, _, Some(server)) => {
                self.edge.respond(now, server, not_served(Method::Subscribe));
            }
            // The endpoint refuses all other methods.
            (_, _, Some(server)) => refuse_request(now, &mut self.edge, server, 481),
            (_, _, None) => {}
        }
    }

    /// Records the capabilities of a leg's remote party that a message announces.
    fn learn(&mut self, at: LegRef, message: &SipMessage) {
        if let Some(call) = self.calls.get_mut(&at.key) {
            call.shared.learn(at.leg, message);
        }
    }

    /// Returns the content of an INFO or MESSAGE, to be relayed to the other leg.
    fn info(&self, at: LegRef, request: &SipMessage) -> Info {
        let text = |name| request.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let bytes = request.body();
        let body = (!bytes.is_empty()).then(|| MessageBody {
            content_type: text(HeaderName::ContentType).unwrap_or_default(),
            bytes: bytes::Bytes::copy_from_slice(bytes),
        });
        let (disposition, is_packaged) =
            (text(HeaderName::ContentDisposition), text(HeaderName::InfoPackage).is_some());
        let is_text = request.method() == Method::Message;
        Info { body, disposition, is_text, is_packaged, headers: self.brought(at, request) }
    }

    /// Returns the response to OPTIONS: our capabilities, or 503 while draining (RFC 3261 §11.2).
    fn options_answer(&self, in_dialog: bool) -> ResponseSpec {
        if self.edge.admission().draining && !in_dialog {
            let headers = vec![extra("Retry-After", RETRY_AFTER_SECONDS.to_string())];
            return ResponseSpec { code: 503, headers, ..ResponseSpec::default() };
        }
        // The endpoint adds Allow and Accept.
        ResponseSpec { code: 200, ..ResponseSpec::default() }
    }

    /// Records the duration of a transaction at its first final response.
    fn observe_transaction(&mut self, now: Instant, id: ClientId, sent: Instant) {
        let seconds = now.saturating_duration_since(sent).as_secs_f64();
        self.edge.metrics_mut().sip.transaction_seconds.observe(seconds);
        if let Some(entry) = self.edge.index_mut().clients.get_mut(&id) {
            entry.sent = None;
        }
    }

    fn responded(
        &mut self,
        now: Instant,
        id: ClientId,
        dialog: Option<DialogId>,
        code: u16,
        (response, had_credentials): (&SipMessage, bool),
    ) {
        if self.edge.peer_answered(now, id, code, response) {
            return;
        }
        let Some(entry) = self.edge.index().clients.get(&id).copied() else {
            return self.nobody_waits(now, dialog, code, response);
        };
        self.edge.trace_received(now, entry.at);
        self.learn(entry.at, response);
        self.proves(now, entry.at);
        let final_answer = code >= 200;
        if final_answer && let Some(sent) = entry.sent {
            self.observe_transaction(now, id, sent);
        }
        let (client, leg, sdp, session) = (id, entry.at.leg, response.sdp(), response.session_expires());
        let q850 = || response.headers(HeaderName::Reason).find_map(q850_of);
        let event = match (entry.purpose, code, dialog) {
            (RequestPurpose::Invite, 0..=199, dialog) => {
                let (is_reliable, headers) = (response.is_reliable(), self.brought_by_answer(entry.at, response));
                Search(S::Provisional { leg, code, dialog, sdp, is_reliable, headers })
            }
            (RequestPurpose::Invite, 200..=299, Some(dialog)) => {
                Search(S::Accepted { leg, dialog, sdp, headers: self.brought_by_answer(entry.at, response), session })
            }
            (RequestPurpose::Invite, 200..=299, None) | (_, 0..=199, _) => return,
            (RequestPurpose::Invite, _, _) => {
                self.address_rests(now, entry.at, response, code);
                let detail = match code {
                    401 | 407 => Some(self.unanswerable(entry.at, response)),
                    488 | 606 => self.leg_at(entry.at).and_then(|leg| refused_offer(leg, response)),
                    _ => None,
                };
                let contacts = if code < 400 { redirect::contacts(response) } else { Vec::new() };
                let (said, headers) =
                    (failure_response(code, had_credentials, response), self.brought(entry.at, response));
                Search(S::Rejected { leg, said, q850: q850(), detail, headers, contacts })
            }
            (RequestPurpose::Join, _, _) => {
                self.edge.turn_mut().finished.push(id);
                return self.join_answered(now, entry.at, id, (code, dialog), (sdp, session));
            }
            (RequestPurpose::Info | RequestPurpose::Message, _, _) => Negotiation(N::InfoAnswered { client, code }),
            (RequestPurpose::Refer | RequestPurpose::News, _, _) => Transfer(T::PassedAnswered { client, code }),
            (RequestPurpose::Notify, _, _) => Transfer(T::Notified { client, taken: (200..300).contains(&code) }),
            (RequestPurpose::Update, _, _) => {
                Negotiation(N::ReinviteAnswered { client, code, dialog: None, sdp, session })
            }
            (RequestPurpose::Reinvite, _, dialog) => {
                Negotiation(N::ReinviteAnswered { client, code, dialog, sdp, session })
            }
            (RequestPurpose::Refresh | RequestPurpose::RefreshByUpdate, _, dialog) => {
                let dialog = dialog.filter(|_| entry.purpose == RequestPurpose::Refresh);
                Negotiation(N::Refreshed { leg, client, code: Some(code), dialog, sdp, session })
            }
            // Any other response comes from a party that knows the dialog (RFC 3261 §12.2.1.2).
            (RequestPurpose::HoldCheck, code, _) => {
                Negotiation(N::HoldChecked { client, alive: !matches!(code, 408 | 481) })
            }
            (RequestPurpose::Bye, _, _) => Side(D::ByeDone { leg }),
        };
        if final_answer && entry.purpose != RequestPurpose::Invite {
            self.edge.turn_mut().finished.push(id);
        }
        self.tell(now, entry.at.key, event);
    }

    /// Records that a response has proven the address of a leg's remote party: the response repeats the branch of our
    /// request, so its sender receives our messages.
    fn proves(&mut self, now: Instant, at: LegRef) {
        if let Some(call) = self.calls.get_mut(&at.key).filter(|call| call.shared.legs.has(at.leg)) {
            call.act(now, &mut self.edge).1.prove(at.leg, "a request of ours was answered");
        }
    }

    fn leg_at(&self, at: LegRef) -> Option<&Leg> {
        self.calls.get(&at.key)?.shared.legs.get(at.leg)
    }

    /// Returns the reason why the challenge to an INVITE could not be answered, or why the credentials were rejected.
    fn unanswerable(&self, at: LegRef, response: &SipMessage) -> String {
        let trunk = self.leg_at(at).and_then(|leg| leg.trunk.as_ref());
        auth_fault(trunk.and_then(|trunk| trunk.auth.as_ref()), response)
    }

    /// Backs off from an address for the time that its 503 names (RFC 3261 §21.5.4).
    fn address_rests(&mut self, now: Instant, at: LegRef, response: &SipMessage, code: u16) {
        if let Some(spot) = self.leg_at(at).and_then(Leg::spot).filter(|_| code == 503) {
            self.edge.health_mut().start_backoff(now, &spot, response);
        }
    }

    /// Returns the headers of a response to our INVITE that may be passed on, and those about the answering party.
    fn brought_by_answer(&self, at: LegRef, answer: &SipMessage) -> RelayedHeaders {
        let trunk = self.leg_at(at).and_then(|leg| leg.trunk.as_deref());
        let mut all = self.brought(at, answer);
        // The configuration of an agent may name these headers as well.
        all.retain(|(name, _)| headers::CONNECTED.iter().all(|own| !own.as_str().eq_ignore_ascii_case(name)));
        all.extend(headers::connected(answer, trunk));
        all
    }

    /// Returns the headers of a message in a leg that may be passed on.
    fn brought(&self, at: LegRef, message: &SipMessage) -> RelayedHeaders {
        let trunk = self.leg_at(at).and_then(|leg| leg.trunk.clone());
        let rules = trunk.as_ref().map_or(HeaderRules::untrusted_uri(), |trunk| &trunk.headers);
        headers::collect_relayed_headers(message, rules, self.edge.table())
    }

    /// Ends the dialog of a 2xx that arrived for an INVITE without a live call: by ACK and BYE (RFC 3261 §13.2.2.4).
    fn nobody_waits(&mut self, now: Instant, dialog: Option<DialogId>, code: u16, response: &SipMessage) {
        // The endpoint has sent this PRACK itself.
        if response.method() == Method::Prack
            && let Some(at) = dialog.and_then(|dialog| self.edge.place_of(dialog))
        {
            self.edge.trace_received(now, at);
        }
        if let Some(dialog) = dialog.filter(|_| (200..300).contains(&code) && response.method() == Method::Invite) {
            self.edge.ack(now, dialog);
            self.edge.endpoint_mut().request(now, dialog, Method::Bye, Vec::new(), None);
            self.edge.pump();
        }
    }

    fn unanswered(&mut self, now: Instant, id: ClientId, sent: bool) {
        if self.edge.peer_unanswered(now, id, sent) {
            return;
        }
        let Some(entry) = self.edge.index().clients.get(&id).copied() else { return };
        let text = match &self.edge.turn().cause {
            _ if sent => "no final answer in time".to_owned(),
            Some(StreamFailure::Tls(what)) => format!("TLS failed: {what}"),
            Some(StreamFailure::Stream(what)) => format!("could not be sent: {what}"),
            Some(StreamFailure::Unsent(why)) => {
                let flow = self.leg_at(entry.at).and_then(|leg| leg.flow);
                unsent::text(*why, &flow.map_or_else(String::new, |flow| flow.remote.to_string()))
            }
            None => "could not be sent".to_owned(),
        };
        let leg = entry.at.leg;
        let name = self.calls.get(&entry.at.key).map(|call| call.shared.legs.name_of(leg)).unwrap_or_default();
        self.edge.decide(now, entry.at.key, format!("{} to {name}: {text}", entry.purpose.method()));
        let event = match entry.purpose {
            RequestPurpose::Invite => Search(S::Unanswered { leg, sent }),
            RequestPurpose::Join => {
                self.edge.turn_mut().finished.push(id);
                return self.join_answered(now, entry.at, id, (408, None), (None, None));
            }
            RequestPurpose::Reinvite | RequestPurpose::Update => Negotiation(N::ReinviteUnanswered { client: id }),
            RequestPurpose::Refresh | RequestPurpose::RefreshByUpdate => {
                Negotiation(N::Refreshed { leg, client: id, code: None, dialog: None, sdp: None, session: None })
            }
            RequestPurpose::HoldCheck => Negotiation(N::HoldChecked { client: id, alive: false }),
            RequestPurpose::Info | RequestPurpose::Message => Negotiation(N::InfoAnswered { client: id, code: 408 }),
            RequestPurpose::Refer | RequestPurpose::News => Transfer(T::PassedAnswered { client: id, code: 408 }),
            RequestPurpose::Notify => Transfer(T::Notified { client: id, taken: false }),
            RequestPurpose::Bye => Side(D::ByeDone { leg }),
        };
        if entry.purpose != RequestPurpose::Invite {
            self.edge.turn_mut().finished.push(id);
        }
        self.tell(now, entry.at.key, event);
    }

    /// Passes an event to a call, if it still exists.
    pub(crate) fn tell(&mut self, now: Instant, key: CallKey, event: CallEvent) {
        self.begin_work(key);
        if let Some(call) = self.calls.get_mut(&key) {
            call.take(now, &mut self.edge, event);
        }
        self.at_work = None;
        self.note_if_done(key);
    }

    pub(crate) fn note_if_done(&mut self, key: CallKey) {
        if self.calls.get(&key).is_some_and(|call| call.shared.is_done()) {
            self.done.push(key);
        }
    }

    /// Removes calls that have ended and wait for no response.
    fn forget_done(&mut self, now: Instant) {
        for key in std::mem::take(&mut self.done) {
            let Some(mut call) = self.calls.remove(&key) else { continue };
            let (parts, mut cx) = call.act(now, &mut self.edge);
            release::forget(parts, &mut cx);
            call.tell_sampled(&mut self.edge);
            self.edge.apps_mut().cookies.remove(call.shared.legs.sid());
            self.edge.keep_trace(key, call.head(), call.shared.story.is_turned_down);
        }
    }

    /// Returns the leg of a dialog, after adding the request to its trace. `None` if the dialog belongs to no leg.
    fn dialog_traced(&mut self, now: Instant, dialog: DialogId, request: &SipMessage) -> Option<LegRef> {
        // In an early dialog of a target only UPDATE concerns the call.
        let entered = self.edge.index().dialogs.get(&dialog).copied();
        let at = if request.method() == Method::Update { self.edge.place_of(dialog) } else { entered }?;
        self.edge.trace_received(now, at);
        Some(at)
    }

    /// Ends every call: by BYE, CANCEL or 503.
    pub(crate) fn end_all(&mut self, now: Instant) {
        let keys: Vec<CallKey> = self.calls.keys().copied().collect();
        for key in keys {
            self.tell(now, key, Side(D::Hangup(ReasonSlug::Operator)));
        }
    }

    /// Ends the calls that are being set up: by 503, and CANCEL to the targets. With `all`, calls with unconfirmed
    /// dialogs are ended too, because a snapshot would omit them.
    pub(crate) fn end_unanswered(&mut self, now: Instant, all: bool) {
        let is_unanswered = |call: &Call| call.shared.state == CallState::Searching;
        let is_ended = |call: &Call| call.shared.state == CallState::Ended;
        let ends = |call: &Call| is_unanswered(call) || all && !is_ended(call) && call.is_omitted(&self.edge);
        let keys: Vec<CallKey> = self.calls.iter().filter(|(_, call)| ends(call)).map(|(key, _)| *key).collect();
        for key in keys {
            self.tell(now, key, Side(D::Hangup(ReasonSlug::Draining)));
        }
    }

    /// Notes an INVITE over UDP that is longer than its trunk's `udp_mtu`: in the call's trace each time, in the log
    /// once per minute and trunk.
    pub(crate) fn note_oversize(&mut self, now: Instant, at: LegRef, transmit: &SipTransmit) {
        let what = &transmit.what;
        let is_invite = what.method == Method::Invite && what.code.is_none() && !what.again;
        if !is_invite || transmit.flow.transport != Transport::Udp {
            return;
        }
        let name = self.edge.party_name(what.party);
        let Some(limit) = self.edge.table().trunk(&name).map(|trunk| trunk.udp_mtu) else { return };
        let bytes = transmit.bytes.len();
        if bytes <= limit {
            return;
        }
        let Ok(request) = SipMessage::parse(transmit.bytes.clone()) else { return };
        let text = format!(
            "INVITE of {bytes} bytes to {name} over UDP exceeds udp_mtu ({limit}): fragments may be lost; {}",
            what_is_long(&request)
        );
        if self.edge.trunks_mut().may_log_oversize(now, &name) {
            let sid = self.calls.get(&at.key).map(|call| call.shared.legs.sid().to_owned()).unwrap_or_default();
            let fix = "try: oversize = \"tcp\", or headers.remove";
            self.edge.warn(&sid, format!("{text}; {fix}"), None);
        }
        self.edge.decide(now, at.key, text);
    }

    /// Refuses a call that is not admitted. Above a rate, such calls are only counted.
    fn refuse_by_limit(&mut self, now: Instant, incoming: &IncomingInvite, why: &AdmissionRefusal) {
        let (name, reason) = (&incoming.trunk.name, why.reason);
        let which = why.which(name);
        if self.edge.admission_mut().may_log(now) {
            let which = if which.is_empty() { String::new() } else { format!(" ({which})") };
            let text = format!("call on trunk {name} refused: {}{which}", reason.sentence());
            self.edge.log("", text, Some(reason));
        }
        let limit = why.limit(name);
        let answer = FinalAnswer::new(503, reason);
        if !self.edge.admission_mut().may_record(now) {
            if let Some(limit) = limit {
                self.edge.admission_mut().limited.count_refusal(now, limit, &why.key, None);
            }
            self.edge.respond(now, incoming.server, answer.to_sip());
            *self.edge.metrics_mut().calls.entry((name.clone(), "".into(), "refused")).or_default() += 1;
            return;
        }
        self.edge.admission_mut().begin(now, name);
        let key = CallKey(self.next_call);
        self.next_call += 1;
        let call = Call::new(now, &mut self.edge, key, incoming);
        if let Some(limit) = limit {
            self.edge.admission_mut().limited.count_refusal(now, limit, &why.key, Some(call.shared.legs.sid()));
        }
        self.calls.insert(key, Box::new(call));
        self.act_on(now, key, |parts, cx| parts.turn_down(cx, incoming, &answer, &which));
    }
}

/// Reason for which a new call is not admitted.
struct AdmissionRefusal {
    reason: ReasonSlug,
    /// Configuration key of the limit with its value; empty: no limit is involved.
    key: String,
    /// Whether the limit belongs to the trunk, and not to the edge.
    is_of_trunk: bool,
}

impl AdmissionRefusal {
    /// Describes the limit: the trunk to which it belongs, and the configuration key.
    fn which(&self, trunk: &str) -> String {
        let is_trunks = self.is_of_trunk && !self.key.is_empty();
        if is_trunks { format!("trunk {trunk}, {}", self.key) } else { self.key.clone() }
    }

    fn limit(&self, trunk: &Arc<str>) -> Option<CallLimit> {
        CallLimit::from_reason(Some(trunk).filter(|_| self.is_of_trunk), false, self.reason)
    }
}

/// Returns the size of a request's body and of its three longest headers, by name. Values are omitted, as they contain
/// numbers and keys.
fn what_is_long(request: &SipMessage) -> String {
    // Length of a header on the wire: `Name: value` and the line end.
    let mut headers: Vec<(&[u8], usize)> =
        request.fields().map(|(name, value)| (name, name.len() + value.len() + ": \r\n".len())).collect();
    headers.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let named = |(name, bytes): &(&[u8], usize)| {
        format!("{} {bytes} bytes", plain(&String::from_utf8_lossy(name), HEADER_NAME_CHARS))
    };
    let longest = headers.iter().take(3).map(named).collect::<Vec<_>>().join(", ");
    format!("longest headers: {longest}; body {} bytes", request.body().len())
}

/// Returns the metric label of a reason for a dropped message.
const fn word_of(reason: DropReason) -> &'static str {
    match reason {
        DropReason::StrayResponse => "stray_response",
        DropReason::StrayAck => "stray_ack",
        DropReason::DamagedResponse => "damaged_response",
        DropReason::Unanswerable => "unanswerable",
        DropReason::Full => "full",
    }
}

/// Parses a REFER that has arrived on a leg of a call.
///
/// # Errors
/// As of [`ReferRequest::read`].
fn refer_of(request: &SipMessage, gateway: &Gateway, at: LegRef) -> Result<ReferRequest, ReferRefusal> {
    let leg = gateway.calls.get(&at.key).and_then(|call| call.shared.legs.get(at.leg));
    ReferRequest::read(request, gateway.edge.numbers(), leg.and_then(|leg| leg.trunk.as_deref()))
}
