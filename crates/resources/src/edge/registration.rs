//! Registration in both directions: this edge with registrars of its trunks, phones with this edge.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trunkgate_media::canonical;
use trunkgate_route::DestinationServer;
use trunkgate_route::locate::NameFault;
use trunkgate_sip::{ClientId, Flow, HeaderName, Method, ResponseSpec, ServerId, SipMessage, SipPartyId};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::{PhoneView, RegistrationView};

use crate::edge::base::EdgeBase;
use crate::edge::trunk_states::TrunkStates;
use crate::io::{GatewayOutput, QueryId};
use crate::limits::{
    BINDING_LEAST_SECONDS, BINDINGS_PER_TRUNK, CONTACTS_PER_REGISTER, REGISTER_FIRST_PAUSE_SECONDS,
    REGISTER_LONGEST_PAUSE_SECONDS, REGISTER_LONGEST_SECONDS, REGISTER_WAIT_SECONDS, REGISTER_WAYS,
};
use crate::lookups::sip::extra;
use crate::registration::register::{RegistrarFlow, RegistrationState, TrunkRegistration, UNREACHABLE};
use crate::registration::registrar::{Binding, ContactRequest, FlowKey, KeptBinding, parse_contact, refusal};
use crate::sources::Sources;
use crate::trunks::NOT_REGISTERED;

impl TrunkStates {
    /// Applies the table's outbound registrations: new ones begin at once, removed ones are unregistered.
    pub(super) fn configure_registrations(&mut self, base: &mut EdgeBase, now: Instant) {
        let table = Arc::clone(&base.table);
        let known: Vec<Arc<str>> = self.registrations.by_trunk.keys().cloned().collect();
        for name in known {
            let before = self.registrations.by_trunk.get(&name);
            let stays = table.trunk(&name).zip(before).is_some_and(|(trunk, before)| before.is_as_wanted(trunk));
            if !stays {
                self.unregister(base, now, &name);
            }
        }
        for trunk in table.trunks() {
            let Some(wanted) = &trunk.register else { continue };
            let patience = match trunk.no_response_timeout {
                Duration::ZERO => Duration::from_secs(REGISTER_WAIT_SECONDS),
                patience => patience,
            };
            if let Some(known) = self.registrations.by_trunk.get_mut(&trunk.name) {
                known.patience = patience;
                if known.auth != trunk.auth {
                    known.auth.clone_from(&trunk.auth);
                    (known.failures, known.has_shown) = (0, false);
                    self.registrations.stop_waiting(&trunk.name);
                    self.registrations.set_due(&trunk.name, Some(now));
                }
                continue;
            }
            let registration = TrunkRegistration::new(base.party(&trunk.name), trunk, wanted, patience);
            self.registrations.by_trunk.insert(trunk.name.clone(), registration);
            self.registrations.set_due(&trunk.name, Some(now));
        }
    }

    /// Removes all outbound registrations, before the edge stops.
    pub(super) fn unregister_all(&mut self, base: &mut EdgeBase, now: Instant) {
        let names: Vec<Arc<str>> = self.registrations.by_trunk.keys().cloned().collect();
        names.iter().for_each(|name| self.unregister(base, now, name));
    }

    /// Registers again if an address of this edge has changed.
    pub(super) fn recheck_registrations(&mut self, base: &mut EdgeBase, now: Instant) {
        let moved = |(name, r): (&Arc<str>, &TrunkRegistration)| {
            let (way, _) = r.bound.filter(|_| r.state == RegistrationState::Registered)?;
            let local = base.addressing.local(way.flow.remote.ip(), way.flow.listener);
            (local != Some(way.local)).then(|| name.clone())
        };
        let moved: Vec<Arc<str>> = self.registrations.by_trunk.iter().filter_map(moved).collect();
        moved.iter().for_each(|name| self.registrations.set_due(name, Some(now)));
    }

    /// Registers again, after a lost connection, with a registrar that sends calls over it (RFC 5626 §4.5).
    pub(super) fn registrar_lost(&mut self, now: Instant, lost: Flow) {
        let over_it = |(name, r): (&Arc<str>, &TrunkRegistration)| {
            let (way, _) = r.bound.filter(|_| r.state == RegistrationState::Registered)?;
            let same = (way.flow.remote, way.flow.transport) == (lost.remote, lost.transport);
            (same && lost.transport.is_reliable()).then(|| name.clone())
        };
        let names: Vec<Arc<str>> = self.registrations.by_trunk.iter().filter_map(over_it).collect();
        let soon = now + Duration::from_secs(1);
        names.iter().for_each(|name| self.registrations.set_due(name, Some(soon)));
    }

    /// Sends the REGISTERs that are due, and gives up those without a response.
    pub(super) fn registrations_due(&mut self, base: &mut EdgeBase, now: Instant) {
        while let Some((at, name)) = self.registrations.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.registrations.due.remove(&(at, name.clone()));
            let Some(registration) = self.registrations.by_trunk.get_mut(&name) else { continue };
            registration.due = None;
            match registration.state {
                RegistrationState::Waiting | RegistrationState::Registered => self.find_registrar(base, now, &name),
                RegistrationState::Resolving(_) => {
                    let problem = self.registrations.looked_up(&name, Some(NameFault::Unanswered));
                    self.registration_failed(base, now, &name, &problem, None);
                }
                RegistrationState::Asking(_) => {
                    self.registrations.stop_waiting(&name);
                    self.ask_registrar(base, now, &name, "no answer", None);
                }
            }
        }
    }

    fn find_registrar(&mut self, base: &mut EdgeBase, now: Instant, name: &Arc<str>) {
        let Some(registration) = self.registrations.by_trunk.get(name) else { return };
        let (destination, patience) = (registration.wanted.registrar.clone(), registration.patience);
        if let Some(server) = destination.literal() {
            return self.registrar_found(base, now, name, &[server], UNREACHABLE);
        }
        let query = base.question(destination);
        self.registrations.queries.insert(query, name.clone());
        if let Some(registration) = self.registrations.by_trunk.get_mut(name) {
            registration.state = RegistrationState::Resolving(query);
        }
        self.registrations.set_due(name, Some(now + patience));
    }

    /// Handles the DNS result for a registrar.
    pub(super) fn registrar_resolved(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        query: QueryId,
        found: Result<&[DestinationServer], NameFault>,
    ) {
        let Some(name) = self.registrations.queries.get(&query).cloned() else { return };
        let problem = self.registrations.looked_up(&name, found.err());
        self.registrar_found(base, now, &name, found.unwrap_or_default(), &problem);
    }

    fn registrar_found(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        name: &Arc<str>,
        servers: &[DestinationServer],
        problem: &str,
    ) {
        let servers = base.random.in_order(servers);
        let Some(registration) = self.registrations.by_trunk.get_mut(name) else { return };
        let at = |server: &DestinationServer| {
            let transport = server.transport;
            server.sockets().map(move |socket| (transport, canonical(socket))).collect::<Vec<_>>()
        };
        let mut ways: Vec<_> = servers.iter().flat_map(at).collect();
        // The address of the current binding comes first, while it is still one of the registrar's.
        let bound = registration.bound.map(|(way, _)| (way.flow.transport, way.flow.remote));
        ways.sort_by_key(|way| Some(*way) != bound);
        ways.truncate(REGISTER_WAYS);
        registration.ways = ways.into();
        self.ask_registrar(base, now, name, problem, None);
    }

    /// Sends a REGISTER to the next address. If no address is left, the registration has failed with `problem`, and the
    /// next attempt is at least `pause` away.
    fn ask_registrar(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        name: &Arc<str>,
        problem: &str,
        pause: Option<Duration>,
    ) {
        loop {
            let Some(registration) = self.registrations.by_trunk.get_mut(name) else { return };
            let Some((transport, remote)) = registration.ways.pop_front() else {
                return self.registration_failed(base, now, name, problem, pause);
            };
            let way = base.addressing.way(registration.listen.as_deref(), transport, remote);
            let Some((flow, local)) = way else { continue };
            let expires = registration.expires;
            return self.send_register(base, now, name, RegistrarFlow { flow, local }, expires);
        }
    }

    fn send_register(&mut self, base: &mut EdgeBase, now: Instant, name: &Arc<str>, way: RegistrarFlow, expires: u32) {
        let Some(registration) = self.registrations.by_trunk.get_mut(name) else { return };
        let id = registration.send(&mut base.endpoint, now, way, expires);
        registration.state = RegistrationState::Asking(id);
        registration.asking = Some(way);
        let patience = registration.patience;
        self.registrations.clients.insert(id, name.clone());
        self.registrations.note_sources();
        self.registrations.set_due(name, Some(now + patience));
        base.pump();
    }

    /// Handles the challenge of a REGISTER, which the endpoint has sent again with the next CSeq.
    pub(super) fn register_challenged(&mut self, now: Instant, id: ClientId) {
        let Some(name) = self.registrations.clients.get(&id).cloned() else { return };
        let Some(registration) = self.registrations.by_trunk.get_mut(&name) else { return };
        registration.cseq = registration.cseq.saturating_add(1);
        registration.has_shown = true;
        let patience = registration.patience;
        self.registrations.set_due(&name, Some(now + patience));
    }

    /// Handles the response to a REGISTER; `None` if there will be none.
    pub(super) fn register_answered(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        id: ClientId,
        response: Option<&SipMessage>,
    ) {
        let code = response.and_then(SipMessage::code).unwrap_or_default();
        if response.is_some() && code < 200 {
            return;
        }
        if let Some((_, party)) = self.registrations.leaving.remove(&id) {
            return self.forget_credentials(base, party);
        }
        let Some(name) = self.registrations.clients.get(&id).cloned() else { return };
        let way = self.registrations.by_trunk.get(&name).and_then(|registration| registration.asking);
        self.registrations.stop_waiting(&name);
        let Some(registration) = self.registrations.by_trunk.get_mut(&name) else { return };
        let (Some(way), Some(response)) = (way, response) else {
            return self.ask_registrar(base, now, &name, "unreachable", None);
        };
        registration.code = Some(code);
        registration.note_words(code, response);
        match code {
            200..=299 => {
                let asked = registration.expires;
                let host = registration.contact_host.as_deref();
                let granted = response.granted_seconds(&registration.wanted.user, host, way.local).unwrap_or(asked);
                if granted == 0 {
                    return self.ask_registrar(base, now, &name, "it returned no binding", None);
                }
                self.registered(base, now, &name, way, granted.min(REGISTER_LONGEST_SECONDS));
            }
            423 => match response.seconds("Min-Expires").filter(|least| *least > registration.expires) {
                Some(least) if least <= REGISTER_LONGEST_SECONDS => {
                    registration.expires = least;
                    self.send_register(base, now, &name, way, least);
                }
                Some(_) | None => self.ask_registrar(base, now, &name, "423 without a usable Min-Expires", None),
            },
            _ => {
                let pause = response.seconds("Retry-After").map(|seconds| Duration::from_secs(seconds.into()));
                let problem = registration.why(code, response);
                self.ask_registrar(base, now, &name, &problem, pause);
            }
        }
    }

    fn registered(&mut self, base: &mut EdgeBase, now: Instant, name: &Arc<str>, way: RegistrarFlow, seconds: u32) {
        let Some(registration) = self.registrations.by_trunk.get_mut(name) else { return };
        let lasts = Duration::from_secs(seconds.into());
        let is_new = registration.bound.is_none_or(|(_, until)| until <= now) || registration.failures > 0;
        registration.state = RegistrationState::Registered;
        registration.failures = 0;
        registration.problem = None;
        self.trunks.registered(name);
        registration.bound = Some((way, now + lasts));
        let text = format!("trunk {name}: registered with {} for {seconds} s", way.flow.remote);
        base.metrics.registration_ends.insert(name.clone(), base.wall.at(now + lasts));
        self.registrations.set_due(name, Some(now + lasts / 2));
        self.registrations.note_sources();
        if is_new {
            base.log("", text, None);
        }
    }

    /// Schedules the next attempt after all addresses have failed: after a random pause that grows with each failure
    /// (RFC 5626 §4.5), but not before `least`.
    fn registration_failed(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        name: &Arc<str>,
        problem: &str,
        least: Option<Duration>,
    ) {
        let chance = base.random.chance();
        let Some(registration) = self.registrations.by_trunk.get_mut(name) else { return };
        registration.state = RegistrationState::Waiting;
        registration.failures = registration.failures.saturating_add(1);
        let doublings = registration.failures.saturating_sub(1).min(16);
        let longest = REGISTER_FIRST_PAUSE_SECONDS.saturating_mul(1 << doublings).min(REGISTER_LONGEST_PAUSE_SECONDS);
        // Random, between half of the pause and all of it.
        let pause = Duration::from_secs(longest).mul_f64(0.5 + chance / 2.0);
        let asked = least.unwrap_or_default().min(Duration::from_secs(REGISTER_LONGEST_PAUSE_SECONDS));
        registration.problem = Some(problem.to_owned());
        // A registration that never succeeded counts as expired, so that alerts on expiry work.
        base.metrics.registration_ends.entry(Arc::clone(name)).or_insert(SystemTime::UNIX_EPOCH);
        let text = format!("trunk {name}: not registered with {}: {problem}", registration.wanted.uri);
        self.registrations.set_due(name, Some(now + pause.max(asked)));
        self.trunks.problem(now, name, format!("{NOT_REGISTERED}{problem}"));
        base.warn("", text, Some(ReasonSlug::NotRegistered));
    }

    /// Removes the edge's binding at the registrar (REGISTER with expiry 0), and forgets the registration.
    fn unregister(&mut self, base: &mut EdgeBase, now: Instant, name: &Arc<str>) {
        self.registrations.stop_waiting(name);
        let Some(mut registration) = self.registrations.by_trunk.remove(name) else { return };
        if let Some((way, _)) = registration.bound.filter(|(_, until)| *until > now) {
            let id = registration.send(&mut base.endpoint, now, way, 0);
            self.registrations.leaving.insert(id, (way.flow.remote.ip(), registration.party));
            base.log("", format!("trunk {name}: registration removed"), None);
            base.pump();
        }
        self.forget_credentials(base, registration.party);
        base.metrics.registration_ends.remove(name);
        self.registrations.note_sources();
    }

    /// Forgets the credentials of a removed trunk, once its registration does not need them.
    fn forget_credentials(&mut self, base: &mut EdgeBase, party: SipPartyId) {
        let is_gone = base.table.trunk(&base.party_name(party)).is_none();
        if is_gone && !self.registrations.needs_credentials(party) {
            base.endpoint.set_credentials(party, None);
        }
    }

    /// Returns the state of a trunk's registration; `None` if the trunk has none.
    pub(super) fn registration_view(&self, base: &EdgeBase, now: Instant, name: &str) -> Option<RegistrationView> {
        let registration = self.registrations.by_trunk.get(name)?;
        let until = registration.bound.map(|(_, until)| until).filter(|until| *until > now);
        Some(RegistrationView {
            registrar: registration.wanted.uri.clone(),
            state: match (until, registration.failures) {
                (Some(_), _) => "registered",
                (None, 0) => "trying",
                (None, _) => "failed",
            },
            expires_at: until.map(|until| trunkgate_story::wall::rfc3339(base.date(until))),
            last_problem: registration.problem.clone(),
            fix: registration.problem.as_ref().map(|_| registration.fix(now, name)),
        })
    }

    /// Forgets bindings of trunks that no longer accept registrations; all others survive a reload.
    pub(super) fn configure_registrar(&mut self, base: &mut EdgeBase) {
        let table = Arc::clone(&base.table);
        let gone = |name: &&Arc<str>| !table.trunk(name).is_some_and(|trunk| trunk.accept_register);
        let gone: Vec<Arc<str>> = self.registrar.by_trunk.keys().filter(gone).cloned().collect();
        for name in gone {
            let party = base.party(&name);
            self.registrar.keep(&name, party, |_| false);
        }
    }

    /// Restores bindings of the previous process. Those of a lost connection, or of a trunk that no longer accepts
    /// registrations, are forgotten.
    pub(super) fn restore_phones(&mut self, base: &mut EdgeBase, now: Instant, bindings: Vec<KeptBinding>) {
        let mut trunks = BTreeSet::new();
        for kept in bindings {
            let trunk = base.table.trunk(kept.trunk()).filter(|trunk| trunk.accept_register);
            let is_reachable = base.kept_flow(*kept.flow()) == *kept.flow();
            let Some(name) = trunk.filter(|_| is_reachable).map(|trunk| Arc::clone(&trunk.name)) else { continue };
            self.registrar.by_trunk.entry(Arc::clone(&name)).or_default().push(kept.restored(now));
            trunks.insert(name);
        }
        for name in trunks {
            let party = base.party(&name);
            self.registrar.keep(&name, party, |_| true);
            self.show_trunk(base, &name);
        }
    }

    /// Forgets expired bindings.
    pub(super) fn bindings_due(&mut self, base: &mut EdgeBase, now: Instant) {
        while let Some((at, name)) = self.registrar.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.registrar.due.remove(&(at, name.clone()));
            let party = base.party(&name);
            self.forget_phones(base, &name, party, "did not refresh its registration", |binding| binding.until > now);
        }
    }

    /// Removes the bindings of a trunk for which `wanted` returns false, and logs each with the reason `why`.
    fn forget_phones(
        &mut self,
        base: &mut EdgeBase,
        name: &Arc<str>,
        party: SipPartyId,
        why: &str,
        wanted: impl Fn(&Binding) -> bool,
    ) {
        let gone = self.registrar.bindings(name).iter().filter(|binding| !wanted(binding));
        let lines: Vec<_> = gone.map(|gone| format!("trunk {name}: the phone at {} {why}", gone.flow.remote)).collect();
        lines.into_iter().for_each(|line| base.log("", line, None));
        self.registrar.keep(name, party, wanted);
        self.show_trunk(base, name);
    }

    /// Returns the registered phones of a trunk.
    pub(super) fn phones_view(&self, base: &EdgeBase, name: &str) -> Vec<PhoneView> {
        let phone = |binding: &Binding| PhoneView {
            transport: binding.flow.transport,
            address: binding.flow.remote,
            expires_at: trunkgate_story::wall::rfc3339(base.date(binding.until)),
        };
        self.registrar.bindings(name).iter().map(phone).collect()
    }

    /// Forgets the phones behind a lost connection.
    pub(super) fn flow_lost(&mut self, base: &mut EdgeBase, lost: Flow) {
        let Some(party) = lost.connection.and_then(|_| self.registrar.party_of(&lost)) else { return };
        let name = base.party_name(party);
        let why = "has lost its connection";
        self.forget_phones(base, &name, party, why, |binding| binding.flow.connection != lost.connection);
    }

    /// Responds to an authenticated REGISTER; its source is no longer unknown.
    pub(super) fn registering(
        &mut self,
        base: &mut EdgeBase,
        sources: &mut Sources,
        now: Instant,
        server: ServerId,
        (party, flow): (SipPartyId, Flow),
        request: &SipMessage,
    ) {
        let name = base.party_name(party);
        let answer = match base.table.trunk(&name).cloned().filter(|trunk| trunk.accept_register) {
            None => self.refuse_method(now, &name, Method::Register),
            Some(trunk) => {
                let user = trunk.require_auth.as_ref().map(|required| required.username.as_str());
                let to = request.to().and_then(|to| to.parsed_uri()).map(|uri| uri.user_unescaped());
                if to.as_deref() == user {
                    self.bind(base, sources, now, &trunk.name, (party, flow), request)
                } else {
                    refusal(404)
                }
            }
        };
        if let (200, Some(connection)) = (answer.code, flow.connection) {
            base.output(GatewayOutput::Registered(connection));
        }
        base.respond(now, server, answer);
    }

    /// Removes all bindings of a trunk.
    fn remove_all(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        name: &Arc<str>,
        (party, flow): (SipPartyId, Flow),
    ) -> ResponseSpec {
        self.registrar.keep(name, party, |_| false);
        self.show_trunk(base, name);
        base.log("", format!("trunk {name}: all registrations removed by {}", flow.remote), None);
        self.registrar.listing(now, name)
    }

    fn bind(
        &mut self,
        base: &mut EdgeBase,
        sources: &mut Sources,
        now: Instant,
        name: &Arc<str>,
        (party, flow): (SipPartyId, Flow),
        request: &SipMessage,
    ) -> ResponseSpec {
        let (call_id, cseq) = (request.call_id().unwrap_or_default(), request.cseq().map_or(0, |cseq| cseq.number));
        let out_of_order = |binding: &&Binding| binding.call_id == call_id && binding.cseq >= cseq;
        let contacts = request.addresses(HeaderName::Contact);
        let star = request.headers(HeaderName::Contact).any(|value| value.trim_ascii() == b"*");
        if star {
            // RFC 3261 §10.3 step 6: removal of all bindings, without other contacts.
            let expires = request.header_str(HeaderName::Expires).map(str::trim);
            if request.count(HeaderName::Contact) > 1 || expires != Some("0") {
                return refusal(400);
            }
            if self.registrar.bindings(name).iter().any(|binding| out_of_order(&binding)) {
                return refusal(500);
            }
            return self.remove_all(base, now, name, (party, flow));
        }
        let wishes: Option<Vec<ContactRequest>> =
            contacts.iter().map(|contact| parse_contact(contact, request)).collect();
        let Some(wishes) = wishes.filter(|wishes| wishes.len() <= CONTACTS_PER_REGISTER) else { return refusal(400) };
        if wishes.iter().any(|wish| (1..BINDING_LEAST_SECONDS).contains(&wish.seconds)) {
            let headers = vec![extra("Min-Expires", BINDING_LEAST_SECONDS.to_string())];
            return ResponseSpec { code: 423, headers, ..ResponseSpec::default() };
        }
        let known = self.registrar.bindings(name);
        let is_wished = |binding: &&Binding| wishes.iter().any(|wish| wish.contact == binding.contact);
        if known.iter().filter(is_wished).any(|binding| out_of_order(&binding)) {
            return refusal(500);
        }
        let others = known.iter().filter(|binding| !is_wished(binding)).count();
        let asked = wishes.iter().filter(|wish| wish.seconds > 0).count();
        if others + asked > BINDINGS_PER_TRUNK {
            base.metrics.dropped("bindings_full");
            return refusal(403);
        }
        if !wishes.is_empty() {
            let is_new = !known.iter().any(|binding| FlowKey::of(&binding.flow) == FlowKey::of(&flow));
            let bindings = self.registrar.by_trunk.entry(name.clone()).or_default();
            let gone = |binding: &Binding| wishes.iter().any(|w| w.seconds == 0 && w.contact == binding.contact);
            let taken_back = bindings.iter().filter(|binding| gone(binding)).count();
            bindings.retain(|binding| !wishes.iter().any(|wish| wish.contact == binding.contact));
            for ContactRequest { contact, seconds } in wishes.into_iter().filter(|wish| wish.seconds > 0) {
                // A Contact that is listed twice makes one binding.
                bindings.retain(|binding| binding.contact != contact);
                let until = now + Duration::from_secs(seconds.into());
                bindings.insert(0, Binding { flow, contact, until, call_id: call_id.to_vec(), cseq });
            }
            self.registrar.keep(name, party, |_| true);
            self.show_trunk(base, name);
            sources.unknown.known(flow.remote.ip());
            let user = base.table.trunk(name).and_then(|trunk| trunk.require_auth.as_ref());
            if let Some(user) = user.map(|user| base.shown(&user.username)).filter(|_| is_new && asked > 0) {
                sources.strays.known(flow.remote.ip(), &user);
            }
            if is_new && asked > 0 {
                base.log("", format!("trunk {name}: phone registered from {}", flow.remote), None);
            }
            if taken_back > 0 {
                base.log("", format!("trunk {name}: a registration removed by {}", flow.remote), None);
            }
        }
        self.registrar.listing(now, name)
    }
}
