//! Our registrations with trunks (RFC 3261 §10.2): refreshed at half their time, at the next address where one fails, after a
//! growing pause where all do (RFC 5626 §4.5), and taken back at the end.
//!
//! | state | its deadline | answer |
//! | --- | --- | --- |
//! | waiting | the next attempt | – |
//! | resolving | the name is not found in time | the ways to the registrar |
//! | asking | no answer: the next way | 2xx: registered; 423: once more for longer; else the next way, or a pause |
//! | registered | half the time is over: asking again | – |

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trunkgate_media::canonical;
use trunkgate_route::{Credentials, Register as Wanted, Server, Trunk};
use trunkgate_sip::{ClientId, Flow, Local, Message, Party, Register, Transport};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::RegistrationView;

use crate::challenge::auth_fault;
use crate::edge::Edge;
use crate::io::QueryId;
use crate::limits::{
    REGISTER_FIRST_PAUSE_SECONDS, REGISTER_LONGEST_PAUSE_SECONDS, REGISTER_LONGEST_SECONDS, REGISTER_WAIT_SECONDS,
    REGISTER_WAYS,
};

/// Where a registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// For its next attempt.
    Waiting,
    /// For the registrar's addresses.
    Resolving(QueryId),
    /// For an answer.
    Asking(ClientId),
    /// The registrar knows where we are.
    Registered,
}

/// A way to the registrar that is being tried, or was taken.
#[derive(Debug, Clone, Copy)]
struct Way {
    flow: Flow,
    local: Local,
}

/// One trunk's registration.
#[derive(Debug)]
struct Registration {
    party: Party,
    wanted: Wanted,
    /// What it shows; with another, a registration that failed is asked for at once.
    auth: Option<Credentials>,
    listen: Option<String>,
    /// How long one address may be silent.
    patience: Duration,
    state: State,
    due: Option<Instant>,
    ways: VecDeque<(Transport, SocketAddr)>,
    asking: Option<Way>,
    call_id: Option<String>,
    cseq: u32,
    /// Asked for, in seconds: more than configured where the registrar wants it so.
    expires: u32,
    /// In a row, each after all ways.
    failures: u32,
    /// The binding that the registrar holds, and until when.
    bound: Option<(Way, Instant)>,
    problem: Option<String>,
}

/// All of them by trunk.
#[derive(Debug, Default)]
pub struct Registrations {
    by_trunk: BTreeMap<Arc<str>, Registration>,
    clients: HashMap<ClientId, Arc<str>>,
    queries: HashMap<QueryId, Arc<str>>,
    due: BTreeSet<(Instant, Arc<str>)>,
    /// Bindings that are being taken back: where from, and whose they are.
    leaving: BTreeMap<ClientId, (IpAddr, Party)>,
    /// Where our registrars are: what comes from there is their trunk's.
    sources: HashMap<IpAddr, Party>,
}

impl Registrations {
    /// The earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }
    /// Whether a transaction is a registration's.
    pub fn owns(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id) || self.leaving.contains_key(&id)
    }
    /// Bindings that are being taken back.
    pub fn leaving(&self) -> usize {
        self.leaving.len()
    }
    /// The trunk that a registrar's address belongs to.
    pub fn party_at(&self, source: IpAddr) -> Option<Party> {
        self.sources.get(&source).copied()
    }
    /// Whose binding is being taken back at an address: its answer is awaited there and nothing else.
    pub fn leaving_at(&self, source: IpAddr) -> Option<Party> {
        self.leaving.values().find(|(registrar, _)| *registrar == source).map(|(_, party)| *party)
    }
    /// Whether a party's credentials are needed, for its binding is there still or being taken back.
    pub fn needs_credentials(&self, party: Party) -> bool {
        self.by_trunk.values().any(|registration| registration.party == party)
            || self.leaving.values().any(|(_, leaving)| *leaving == party)
    }

    fn set_due(&mut self, name: &Arc<str>, at: Option<Instant>) {
        let Some(registration) = self.by_trunk.get_mut(name) else { return };
        if let Some(before) = std::mem::replace(&mut registration.due, at) {
            self.due.remove(&(before, name.clone()));
        }
        if let Some(at) = at {
            self.due.insert((at, name.clone()));
        }
    }

    /// Gives up what a registration waits for.
    fn let_go(&mut self, name: &Arc<str>) {
        match self.by_trunk.get(name).map(|registration| registration.state) {
            Some(State::Resolving(query)) => drop(self.queries.remove(&query)),
            Some(State::Asking(id)) => drop(self.clients.remove(&id)),
            Some(State::Waiting | State::Registered) | None => {}
        }
        if let Some(registration) = self.by_trunk.get_mut(name) {
            registration.state = State::Waiting;
            registration.asking = None;
        }
        self.set_due(name, None);
    }

    fn note_sources(&mut self) {
        let ways = |r: &Registration| [r.asking, r.bound.map(|(way, _)| way)].map(|way| Some((way?, r.party)));
        let sources = self.by_trunk.values().flat_map(ways).flatten();
        self.sources = sources.map(|(way, party)| (way.flow.remote.ip(), party)).collect();
    }
}

impl Edge {
    /// Takes over which trunks we register with: what is new begins at once, what has gone is taken back.
    pub fn configure_registrations(&mut self, now: Instant) {
        let table = Arc::clone(&self.table);
        let wanted = |trunk: &Trunk| trunk.register.clone().map(|register| (register, trunk.listen.clone()));
        let known: Vec<Arc<str>> = self.registrations.by_trunk.keys().cloned().collect();
        for name in known {
            let before = self.registrations.by_trunk.get(&name).map(|r| (r.wanted.clone(), r.listen.clone()));
            if table.trunk(&name).and_then(|trunk| wanted(trunk)) != before {
                self.unregister(now, &name);
            }
        }
        for trunk in table.trunks() {
            let Some((wanted, listen)) = wanted(trunk) else { continue };
            let patience = match trunk.no_response_timeout {
                Duration::ZERO => Duration::from_secs(REGISTER_WAIT_SECONDS),
                patience => patience,
            };
            if let Some(known) = self.registrations.by_trunk.get_mut(&trunk.name) {
                known.patience = patience;
                if known.auth != trunk.auth {
                    known.auth.clone_from(&trunk.auth);
                    known.failures = 0;
                    self.registrations.let_go(&trunk.name);
                    self.registrations.set_due(&trunk.name, Some(now));
                }
                continue;
            }
            let registration = Registration {
                party: self.party(&trunk.name),
                expires: u32::try_from(wanted.expires.as_secs()).unwrap_or(u32::MAX),
                wanted,
                auth: trunk.auth.clone(),
                listen,
                patience,
                state: State::Waiting,
                due: None,
                ways: VecDeque::new(),
                asking: None,
                call_id: None,
                cseq: 0,
                failures: 0,
                bound: None,
                problem: None,
            };
            self.registrations.by_trunk.insert(trunk.name.clone(), registration);
            self.registrations.set_due(&trunk.name, Some(now));
        }
    }

    /// Takes every binding back: the edge ends.
    pub fn unregister_all(&mut self, now: Instant) {
        let names: Vec<Arc<str>> = self.registrations.by_trunk.keys().cloned().collect();
        names.iter().for_each(|name| self.unregister(now, name));
    }

    /// Our addresses have changed: what is bound to an old one is bound anew.
    pub fn recheck_registrations(&mut self, now: Instant) {
        let moved = |(name, r): (&Arc<str>, &Registration)| {
            let (way, _) = r.bound.filter(|_| r.state == State::Registered)?;
            let local = self.addressing.local(way.flow.remote.ip(), way.flow.listener);
            (local != Some(way.local)).then(|| name.clone())
        };
        let moved: Vec<Arc<str>> = self.registrations.by_trunk.iter().filter_map(moved).collect();
        moved.iter().for_each(|name| self.registrations.set_due(name, Some(now)));
    }

    /// A connection is lost: a registrar that would call us over it is told of a new one (RFC 5626 §4.5).
    pub fn registrar_lost(&mut self, now: Instant, lost: Flow) {
        let over_it = |(name, r): (&Arc<str>, &Registration)| {
            let (way, _) = r.bound.filter(|_| r.state == State::Registered)?;
            let same = (way.flow.remote, way.flow.transport) == (lost.remote, lost.transport);
            (same && lost.transport.is_reliable()).then(|| name.clone())
        };
        let names: Vec<Arc<str>> = self.registrations.by_trunk.iter().filter_map(over_it).collect();
        let soon = now + Duration::from_secs(1);
        names.iter().for_each(|name| self.registrations.set_due(name, Some(soon)));
    }

    /// Does what is due.
    pub fn registrations_due(&mut self, now: Instant) {
        while let Some((at, name)) = self.registrations.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.registrations.due.remove(&(at, name.clone()));
            let Some(registration) = self.registrations.by_trunk.get_mut(&name) else { continue };
            registration.due = None;
            match registration.state {
                State::Waiting | State::Registered => self.find_registrar(now, &name),
                State::Resolving(_) => {
                    self.registrations.let_go(&name);
                    self.registration_failed(now, &name, "name not found in DNS", None);
                }
                State::Asking(_) => {
                    self.registrations.let_go(&name);
                    self.ask_registrar(now, &name, "no answer", None);
                }
            }
        }
    }

    fn find_registrar(&mut self, now: Instant, name: &Arc<str>) {
        let Some(registration) = self.registrations.by_trunk.get(name) else { return };
        let (destination, patience) = (registration.wanted.registrar.clone(), registration.patience);
        if let Some(server) = destination.literal() {
            return self.registrar_found(now, name, &[server]);
        }
        let query = self.question(destination);
        self.registrations.queries.insert(query, name.clone());
        if let Some(registration) = self.registrations.by_trunk.get_mut(name) {
            registration.state = State::Resolving(query);
        }
        self.registrations.set_due(name, Some(now + patience));
    }

    /// The name service's answer.
    pub fn registrar_resolved(&mut self, now: Instant, query: QueryId, servers: &[Server]) {
        let Some(name) = self.registrations.queries.get(&query).cloned() else { return };
        self.registrations.let_go(&name);
        self.registrar_found(now, &name, servers);
    }

    fn registrar_found(&mut self, now: Instant, name: &Arc<str>, servers: &[Server]) {
        let servers = self.in_order(servers);
        let Some(registration) = self.registrations.by_trunk.get_mut(name) else { return };
        let at = |server: &Server| {
            let transport = server.transport;
            server.sockets().map(move |socket| (transport, canonical(socket))).collect::<Vec<_>>()
        };
        let mut ways: Vec<_> = servers.iter().flat_map(at).collect();
        // Where the binding is, while that is still one of its addresses.
        let bound = registration.bound.map(|(way, _)| (way.flow.transport, way.flow.remote));
        ways.sort_by_key(|way| Some(*way) != bound);
        ways.truncate(REGISTER_WAYS);
        registration.ways = ways.into();
        self.ask_registrar(now, name, "name not found in DNS", None);
    }

    /// Asks at the next address; with none left it has failed, as `problem` says.
    fn ask_registrar(&mut self, now: Instant, name: &Arc<str>, problem: &str, pause: Option<Duration>) {
        loop {
            let Some(registration) = self.registrations.by_trunk.get_mut(name) else { return };
            let Some((transport, remote)) = registration.ways.pop_front() else {
                return self.registration_failed(now, name, problem, pause);
            };
            let way = self.addressing.way(registration.listen.as_deref(), transport, remote);
            let Some((flow, local)) = way else { continue };
            let expires = registration.expires;
            return self.send_register(now, name, Way { flow, local }, expires);
        }
    }

    fn send_register(&mut self, now: Instant, name: &Arc<str>, way: Way, expires: u32) {
        let Some(registration) = self.registrations.by_trunk.get_mut(name) else { return };
        let id = registration.send(&mut self.endpoint, now, way, expires);
        registration.state = State::Asking(id);
        registration.asking = Some(way);
        let patience = registration.patience;
        self.registrations.clients.insert(id, name.clone());
        self.registrations.note_sources();
        self.registrations.set_due(name, Some(now + patience));
        self.pump();
    }

    /// A REGISTER of ours has been challenged, and went out again under the next number.
    pub fn register_challenged(&mut self, now: Instant, id: ClientId) {
        let Some(name) = self.registrations.clients.get(&id).cloned() else { return };
        let Some(registration) = self.registrations.by_trunk.get_mut(&name) else { return };
        registration.cseq = registration.cseq.saturating_add(1);
        let patience = registration.patience;
        self.registrations.set_due(&name, Some(now + patience));
    }

    /// An answer, or `None`: there will be none.
    pub fn register_answered(&mut self, now: Instant, id: ClientId, response: Option<&Message>) {
        let code = response.and_then(Message::code).unwrap_or_default();
        if response.is_some() && code < 200 {
            return;
        }
        if let Some((_, party)) = self.registrations.leaving.remove(&id) {
            return self.forget_credentials(party);
        }
        let Some(name) = self.registrations.clients.get(&id).cloned() else { return };
        let way = self.registrations.by_trunk.get(&name).and_then(|registration| registration.asking);
        self.registrations.let_go(&name);
        let Some(registration) = self.registrations.by_trunk.get_mut(&name) else { return };
        let (Some(way), Some(response)) = (way, response) else {
            return self.ask_registrar(now, &name, "unreachable", None);
        };
        match code {
            200..=299 => {
                let asked = registration.expires;
                let granted = response.granted_seconds(&registration.wanted.user, way.local).unwrap_or(asked);
                if granted == 0 {
                    return self.ask_registrar(now, &name, "it returned no binding", None);
                }
                self.registered(now, &name, way, granted.min(REGISTER_LONGEST_SECONDS));
            }
            423 => match response.seconds("Min-Expires").filter(|least| *least > registration.expires) {
                Some(least) if least <= REGISTER_LONGEST_SECONDS => {
                    registration.expires = least;
                    self.send_register(now, &name, way, least);
                }
                Some(_) | None => self.ask_registrar(now, &name, "423 without a usable Min-Expires", None),
            },
            _ => {
                let pause = response.seconds("Retry-After").map(|seconds| Duration::from_secs(seconds.into()));
                let problem = match code {
                    401 | 407 => format!("{code} to REGISTER: {}", auth_fault(registration.auth.as_ref(), response)),
                    _ => format!("{code} to REGISTER"),
                };
                self.ask_registrar(now, &name, &problem, pause);
            }
        }
    }

    fn registered(&mut self, now: Instant, name: &Arc<str>, way: Way, seconds: u32) {
        let Some(registration) = self.registrations.by_trunk.get_mut(name) else { return };
        let lasts = Duration::from_secs(seconds.into());
        let is_new = registration.bound.is_none_or(|(_, until)| until <= now) || registration.failures > 0;
        registration.state = State::Registered;
        registration.failures = 0;
        registration.problem = None;
        registration.bound = Some((way, now + lasts));
        let text = format!("trunk {name}: registered with {} for {seconds} s", way.flow.remote);
        self.metrics.registration_ends.insert(name.clone(), self.wall.at(now + lasts));
        self.registrations.set_due(name, Some(now + lasts / 2));
        self.registrations.note_sources();
        if is_new {
            self.log("", text, None);
        }
    }

    /// All ways have failed: a pause (RFC 5626 §4.5), of what the registrar asked for at least.
    fn registration_failed(&mut self, now: Instant, name: &Arc<str>, problem: &str, least: Option<Duration>) {
        let chance = self.chance();
        let Some(registration) = self.registrations.by_trunk.get_mut(name) else { return };
        registration.state = State::Waiting;
        registration.failures = registration.failures.saturating_add(1);
        let doublings = registration.failures.saturating_sub(1).min(16);
        let longest = REGISTER_FIRST_PAUSE_SECONDS.saturating_mul(1 << doublings).min(REGISTER_LONGEST_PAUSE_SECONDS);
        // Between half of it and all of it.
        let pause = Duration::from_secs(longest).mul_f64(0.5 + chance / 2.0);
        let asked = least.unwrap_or_default().min(Duration::from_secs(REGISTER_LONGEST_PAUSE_SECONDS));
        registration.problem = Some(problem.to_owned());
        // One that never was there has ended as well: an alert waits for a time that is past.
        self.metrics.registration_ends.entry(Arc::clone(name)).or_insert(SystemTime::UNIX_EPOCH);
        let text = format!("trunk {name}: not registered with {}: {problem}", registration.wanted.uri);
        self.registrations.set_due(name, Some(now + pause.max(asked)));
        self.trunks.problem(now, name, format!("not registered: {problem}"));
        self.warn("", text, Some(ReasonSlug::NotRegistered));
    }

    /// Takes a binding back, and forgets the registration.
    fn unregister(&mut self, now: Instant, name: &Arc<str>) {
        self.registrations.let_go(name);
        let Some(mut registration) = self.registrations.by_trunk.remove(name) else { return };
        if let Some((way, _)) = registration.bound.filter(|(_, until)| *until > now) {
            let id = registration.send(&mut self.endpoint, now, way, 0);
            self.registrations.leaving.insert(id, (way.flow.remote.ip(), registration.party));
            self.log("", format!("trunk {name}: registration removed"), None);
            self.pump();
        }
        self.forget_credentials(registration.party);
        self.metrics.registration_ends.remove(name);
        self.registrations.note_sources();
    }

    /// Of a party that is no trunk any more, once its registrar needs them no longer.
    fn forget_credentials(&mut self, party: Party) {
        let is_gone = self.table.trunk(&self.party_name(party)).is_none();
        if is_gone && !self.registrations.needs_credentials(party) {
            self.endpoint.set_credentials(party, None);
        }
    }

    /// How a trunk's registration stands; `None` where there is none.
    pub fn registration_view(&self, now: Instant, name: &str) -> Option<RegistrationView> {
        let registration = self.registrations.by_trunk.get(name)?;
        let until = registration.bound.map(|(_, until)| until).filter(|until| *until > now);
        Some(RegistrationView {
            registrar: registration.wanted.uri.clone(),
            state: match (until, registration.failures) {
                (Some(_), _) => "registered",
                (None, 0) => "trying",
                (None, _) => "failed",
            },
            expires_at: until.map(|until| trunkgate_story::wall::rfc3339(self.date(until))),
            last_problem: registration.problem.clone(),
        })
    }
}

impl Registration {
    fn send(&mut self, endpoint: &mut trunkgate_sip::Endpoint, now: Instant, way: Way, expires: u32) -> ClientId {
        self.cseq = self.cseq.saturating_add(1);
        let Wanted { uri, user, .. } = &self.wanted;
        let host = uri.split_once(':').map_or("", |(_, rest)| rest).split(';').next().unwrap_or_default();
        let scheme = uri.split(':').next().unwrap_or("sip");
        let id = endpoint.register(
            now,
            Register {
                flow: way.flow,
                local: way.local,
                party: self.party,
                uri: format!("{scheme}:{host}"),
                address: format!("{scheme}:{}@{host}", crate::rewrite::escape_user(user)),
                contact_user: crate::rewrite::escape_user(user),
                expires,
                call_id: self.call_id.clone(),
                cseq: self.cseq,
            },
        );
        self.call_id = self.call_id.take().or_else(|| endpoint.call_id(id).map(str::to_owned));
        id
    }
}
