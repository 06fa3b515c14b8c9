//! Arrival of messages, before the SIP endpoint handles them. Messages are admitted by their source; unknown sources
//! get no service. Sorting and delivery are separate steps, between which a message may be queued.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rand::RngExt as _;
use trunkgate_media::canonical;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::GatewayOutput;
use trunkgate_resources::limits::{OVERLOAD_RETRY_AFTER_SECONDS, STRAY_USER_CHARS};
use trunkgate_resources::sources::strays::UnknownRegistration;
use trunkgate_resources::sources::unknown_sources::BanScope;
use trunkgate_resources::sources::unknown_traffic::TrafficKind;
use trunkgate_resources::traces::traced::ReceivedMessage;
use trunkgate_route::Trunk;
use trunkgate_sip::{Flow, MessageDefect, Method, SipMessage, SipPartyId, StartLine};
use trunkgate_story::numbers::{is_emergency, mask, plain};
use trunkgate_story::reason::ReasonSlug;

/// Trunk or live leg to which a source belongs.
struct SourceOwner {
    /// Trunk proven by the certificate, inside and outside of dialogs.
    certain: Option<SipPartyId>,
    /// Trunk that matches best outside of dialogs; inside a dialog, any address of its trunk is valid.
    fit: Option<SipPartyId>,
}

/// Arrivals at an edge: the policy for unknown sources, and the path to the endpoint for all others.
pub(crate) struct ArrivalDispatch<'e> {
    /// State shared by all calls.
    pub(crate) edge: &'e mut Edge,
}

impl ArrivalDispatch<'_> {
    /// Sorts a received packet by its source. Returns `None` if the packet has been handled; for an unknown source that
    /// costs no more than a table look-up. A returned message may be queued before it is passed back as
    /// [`crate::GatewayInput::Message`].
    pub(crate) fn sort(&mut self, now: Instant, flow: Flow, bytes: Bytes) -> Option<SipMessage> {
        let flow = as_known(flow);
        let source = flow.remote.ip();
        let table = Arc::clone(self.edge.table());
        let trunk = table.trunk_of(flow.remote);
        if trunk.is_none() && self.edge.sources().strangers.is_banned(source) {
            return self.dropped("banned");
        }
        let is_known = self.known(&flow, trunk).is_some();
        if !is_known && !table.takes_registrations() {
            return self.unknown(now, source);
        }
        if !is_known
            && let Err(reason) =
                self.edge.sources_mut().strangers.check_message(now, source, datagram(&flow, bytes.len()))
        {
            return self.dropped(reason);
        }
        if is_known && bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            if bytes.starts_with(b"\r\n\r\n") {
                self.edge.output(GatewayOutput::Pong { flow });
            }
            return None;
        }
        let Ok(message) = SipMessage::parse(bytes) else {
            self.malformed(now, &flow);
            return self.dropped("not_sip");
        };
        if !is_known && self.registrant(now, &flow, &message).is_none() {
            return None;
        }
        Some(message)
    }

    /// Returns whether a sorted message begins an emergency call, which does not wait behind other new calls. The rate
    /// of such calls is limited, so that a flood of them does not displace other calls.
    pub(crate) fn is_urgent(&mut self, now: Instant, flow: &Flow, message: &SipMessage) -> bool {
        let is_new = message.method() == Method::Invite
            && message.is_request()
            && message.to().and_then(|to| to.tag()).is_none_or(|tag| tag.is_empty());
        let table = Arc::clone(self.edge.table());
        let trunk = table.trunk_of(canonical(flow.remote)).filter(|_| is_new);
        let is_emergency = trunk.is_some_and(|trunk| is_emergency(message, trunk, table.numbers()));
        is_emergency && self.edge.admission_mut().urgent.take_token(now)
    }

    /// Returns the trunk that determines the queue of a sorted INVITE; INVITEs without a trunk share a queue.
    pub(crate) fn origin(&mut self, flow: &Flow, message: &SipMessage) -> SipPartyId {
        if message.method() != Method::Invite || !message.is_request() {
            return SipPartyId(0);
        }
        let flow = as_known(*flow);
        let table = Arc::clone(self.edge.table());
        let who = self.known(&flow, table.trunk_of(flow.remote));
        who.and_then(|who| who.certain.or(who.fit)).unwrap_or(SipPartyId(0))
    }

    /// Delivers a sorted message to its transaction or dialog.
    pub(crate) fn deliver(&mut self, now: Instant, flow: Flow, message: SipMessage) {
        let flow = as_known(flow);
        let Some(party) = self.sender(now, &flow, &message) else { return };
        let Some(local) = self.edge.addressing().local(flow.remote.ip(), flow.listener) else {
            return self.edge.metrics_mut().dropped("no_local_address");
        };
        self.count_received(party, &message);
        self.edge.turn_mut().arriving = Some(ReceivedMessage::new(flow, message.clone()));
        self.edge
            .endpoint_mut()
            .handle_input(now, trunkgate_sip::EndpointInput::Received { flow, local, party, message });
    }

    /// Rejects an INVITE that waited too long with 503 and Retry-After, and keeps no state. Retransmissions of accepted
    /// INVITEs, and messages with a response of their own, are delivered.
    pub(crate) fn reject_overload(&mut self, now: Instant, flow: Flow, message: SipMessage) {
        let known = as_known(flow);
        let Some(party) = self.sender(now, &known, &message) else { return };
        if message.defect().is_some() || self.edge.endpoint_mut().has_begun(party, &message) {
            return self.deliver(now, flow, message);
        }
        self.count_received(party, &message);
        let reason = ReasonSlug::Overloaded;
        let seconds = self.edge.random_mut().rng.random_range(OVERLOAD_RETRY_AFTER_SECONDS);
        let headers = vec![("Reason", reason.header(reason.q850())), ("Retry-After", seconds.to_string())];
        self.edge.endpoint_mut().turn_away(known, party, &message, headers);
        let trunk = self.edge.party_name(party);
        if self.edge.admission_mut().may_log(now) {
            let text = format!("call on trunk {trunk} refused: {}", reason.sentence());
            self.edge.log("", text, Some(reason));
        }
        *self.edge.metrics_mut().calls.entry((trunk, "".into(), "refused")).or_default() += 1;
    }

    /// Handles a connection that has lost its framing: responds with 400 if possible.
    pub(crate) fn broken(&mut self, flow: Flow, bytes: Bytes, what: &'static str) {
        let flow = as_known(flow);
        let table = Arc::clone(self.edge.table());
        let party = self.known(&flow, table.trunk_of(flow.remote)).and_then(|who| who.certain.or(who.fit));
        let Some(party) = party else { return self.edge.metrics_mut().dropped("unknown_source") };
        self.edge.metrics_mut().dropped("not_sip");
        if let Ok(message) = SipMessage::parse(bytes) {
            self.count_received(party, &message);
            self.edge.endpoint_mut().refuse(flow, party, &message, MessageDefect { code: 400, what });
        }
    }

    /// Returns the party of a sorted message. A message without one is dropped; the configuration may have changed
    /// while the message was queued. `None` if the message was dropped.
    fn sender(&mut self, now: Instant, flow: &Flow, message: &SipMessage) -> Option<SipPartyId> {
        let source = flow.remote.ip();
        let table = Arc::clone(self.edge.table());
        let who = self.known(flow, table.trunk_of(flow.remote));
        if let Some(who) = &who {
            let named =
                message.call_id().and_then(|id| self.edge.index().named(id)).filter(|named| named.covers(source));
            let named = named.map(|named| named.party);
            let leaves = self.edge.registrations().leaving_at(source).filter(|_| !message.is_request());
            // Several trunks may share a peer: a response belongs to the trunk of its request.
            let asked =
                || if message.is_request() { None } else { self.edge.endpoint_mut().responding_party(message, source) };
            let named = named.or_else(asked);
            if let Some(party) = who.certain.or(named).or(who.fit).or(leaves) {
                let is_closed = who.certain.is_none() && self.is_closed(flow, party, message);
                return if is_closed { self.dropped("banned") } else { Some(party) };
            }
            // The source is a remote party of a call, but no trunk's address: perhaps a phone that registers again.
            if !table.takes_registrations() {
                return self.unknown(now, source);
            }
            let bytes = datagram(flow, message.as_bytes().len());
            if let Err(reason) = self.edge.sources_mut().strangers.check_message(now, source, bytes) {
                return self.dropped(reason);
            }
        }
        let trunk = self.registrant(now, flow, message)?;
        Some(self.edge.party(&trunk))
    }

    /// Returns the trunk of the user in a REGISTER from an unknown source, if phones may register; the REGISTER is then
    /// challenged. Returns `None` if the message has been handled.
    fn registrant(&mut self, now: Instant, flow: &Flow, message: &SipMessage) -> Option<Arc<str>> {
        if message.is_request() && message.defect().is_some() {
            self.malformed(now, flow);
        }
        let source = flow.remote.ip();
        let is_register = message.is_request() && message.defect().is_none() && message.method() == Method::Register;
        let has_local = self.edge.addressing().local(source, flow.listener).is_some();
        let user = message.to().and_then(|to| to.parsed_uri()).filter(|_| is_register && has_local);
        let Some(user) = user.map(|user| user.user_unescaped()) else { return self.unknown(now, source) };
        let found = self.edge.table().registrant(&user).map(|trunk| trunk.name.clone());
        let Some(found) = found else {
            self.stray(now, source, &user);
            return None;
        };
        let party = self.edge.party(&found);
        if self.is_closed(flow, party, message) { self.dropped("banned") } else { Some(found) }
    }

    /// Records a REGISTER for an unknown user; its sender gets no response, like any unknown source.
    fn stray(&mut self, now: Instant, source: IpAddr, user: &str) {
        let (table, full) = (Arc::clone(self.edge.table()), self.edge.config().full_numbers);
        let shown = |user: &str| plain(&if full { user.to_owned() } else { mask(user) }, STRAY_USER_CHARS);
        // A user name that cannot be displayed unchanged is not a typing error.
        let is_plain = plain(user, STRAY_USER_CHARS) == user;
        let near = || table.nearest_registrant(user).filter(|_| is_plain).map(shown);
        let line = self
            .edge
            .sources_mut()
            .strays
            .note(now, source, || UnknownRegistration { near: near(), user: shown(user) });
        if let Some(line) = line {
            self.edge.log("", line, None);
        }
        self.edge.metrics_mut().dropped("unknown_source");
    }

    /// Records and drops a message of an unknown source. Always `None`.
    fn unknown<T>(&mut self, now: Instant, source: IpAddr) -> Option<T> {
        if let Some(line) = self.edge.sources_mut().unknown.note(now, source, TrafficKind::Message) {
            self.edge.log("", line, None);
        }
        self.dropped("unknown_source")
    }

    fn dropped<T>(&mut self, reason: &'static str) -> Option<T> {
        self.edge.metrics_mut().dropped(reason);
        None
    }

    /// Counts the bytes sent to an unknown source by datagram, since its address may be forged.
    pub(crate) fn note_answer(&mut self, flow: &Flow, bytes: usize) {
        let source = flow.remote.ip();
        if flow.transport.is_reliable() || !self.edge.sources().strangers.knows(source) {
            return;
        }
        let table = Arc::clone(self.edge.table());
        if self.known(flow, table.trunk_of(flow.remote)).and_then(|who| who.certain.or(who.fit)).is_none() {
            self.edge.sources_mut().strangers.answered(source, bytes);
        }
    }

    /// Counts a malformed message of an unknown source. Datagrams do not count, because their source may be forged.
    fn malformed(&mut self, now: Instant, flow: &Flow) {
        if flow.transport.is_reliable() {
            self.misbehaved(now, flow);
        }
    }

    /// Counts wrong credentials for a trunk from an unknown source, and bans the source after too many.
    pub(crate) fn guessed(&mut self, now: Instant, flow: &Flow, trunk: &Arc<str>) {
        if self.edge.table().trunk_of(flow.remote).is_some() {
            return;
        }
        let source = flow.remote.ip();
        match self.edge.sources_mut().strangers.guessed(now, source, trunk) {
            BanScope::None => {}
            BanScope::Account => {
                let seconds = self.edge.sources().strangers.limits().ban.slow.lasting.as_secs();
                let text = format!("trunk {trunk} is closed to {source} for {seconds} s: too many wrong passwords");
                self.edge.warn("", text, Some(ReasonSlug::WrongCredentials));
            }
            BanScope::Source => self.banned(now, source, "wrong credentials", Some(ReasonSlug::WrongCredentials)),
        }
    }

    /// Counts a malformed message of an unknown source, and bans the source after too many.
    fn misbehaved(&mut self, now: Instant, flow: &Flow) {
        let source = flow.remote.ip();
        if self.edge.table().trunk_of(flow.remote).is_none() && self.edge.sources_mut().strangers.failed(now, source) {
            self.banned(now, source, "a malformed message", None);
        }
    }

    /// Counts and logs a new ban. `last` names the failure that led to it.
    fn banned(&mut self, now: Instant, source: IpAddr, last: &str, reason: Option<ReasonSlug>) {
        let strangers = &self.edge.sources().strangers;
        let (count, until) = (strangers.banned() as u64, strangers.banned_until(source));
        let seconds = until.map_or(0, |until| until.saturating_duration_since(now).as_secs());
        self.edge.metrics_mut().sources_banned = count;
        let text = format!("{source} is banned for {seconds} s: too many failures (last: {last}); its SIP is dropped");
        self.edge.warn("", text, reason);
    }

    /// Returns whether a request is for a trunk that is closed to its source after guessed passwords. Requests in a
    /// dialog, from the trunk's own address, or of a phone registered with it, are exempt.
    fn is_closed(&self, flow: &Flow, party: SipPartyId, message: &SipMessage) -> bool {
        let is_new = message.is_request() && message.to().and_then(|to| to.tag()).is_none_or(|tag| tag.is_empty());
        is_new
            && self.edge.sources().strangers.is_closed(flow.remote.ip(), &self.edge.party_name(party))
            && self.edge.table().trunk_of(flow.remote).is_none()
            && self.edge.registrar().party_of(flow) != Some(party)
    }

    /// Returns the owner of a known source: a trunk by its certificate or address, or the remote party of a live leg
    /// that no trunk names (a bare URI, a trunk removed by a reload). `at_home`: the trunk with this address. `None`
    /// for an unknown source.
    fn known(&mut self, flow: &Flow, at_home: Option<&Arc<Trunk>>) -> Option<SourceOwner> {
        let identity = flow.connection.and_then(|connection| self.edge.index().identities.get(&connection));
        let identity = identity.map(|known| known.identity.clone());
        let named = identity.as_ref().and_then(|identity| self.edge.table().trunk(&identity.trunk)).cloned();
        let by_certificate = identity.as_ref().and_then(|identity| identity.certificate_name.as_deref());
        if let (Some(trunk), Some(name)) = (&named, by_certificate)
            && trunk.certificate_names.iter().any(|known| known == name)
        {
            return Some(SourceOwner { certain: Some(self.edge.party(&trunk.name)), fit: None });
        }
        // A connection that we made for a trunk belongs to it, even if another trunk has the address.
        let made_for = named.as_ref().filter(|_| by_certificate.is_none());
        match made_for.or(at_home) {
            Some(trunk) => Some(SourceOwner { certain: None, fit: Some(self.edge.party(&trunk.name)) }),
            None => {
                let registered = self.edge.registrar().party_of(flow);
                let fit = registered.or_else(|| self.edge.registrations().party_at(flow.remote.ip()));
                let source = flow.remote.ip();
                let awaited = self.edge.registrations().leaving_at(source).is_some();
                let known = fit.is_some() || awaited || self.edge.index().is_far_end(source);
                known.then_some(SourceOwner { certain: None, fit })
            }
        }
    }

    /// Counts a message received from a trunk.
    fn count_received(&mut self, party: SipPartyId, message: &SipMessage) {
        let trunk = self.edge.party_name(party);
        let method = message.method().as_str();
        let metrics = self.edge.metrics_mut();
        match message.start_line() {
            StartLine::Request { .. } => *metrics.sip.requests.entry((trunk, method, "in")).or_default() += 1,
            // The remote party must not choose the label: only three-digit codes count.
            StartLine::Response { code, .. } if (100..700).contains(&code) => {
                *metrics.sip.responses.entry((trunk, method, code, "in")).or_default() += 1;
            }
            StartLine::Response { .. } => {}
        }
    }
}

/// Returns the length of a datagram, which limits the bytes sent back because its source may be forged; 0 for a
/// message of a connection.
fn datagram(flow: &Flow, bytes: usize) -> usize {
    if flow.transport.is_reliable() { 0 } else { bytes }
}

/// Returns the flow with the remote address in its canonical form.
fn as_known(flow: Flow) -> Flow {
    Flow { remote: canonical(flow.remote), ..flow }
}
