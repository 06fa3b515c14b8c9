//! Phones and PBXes that register here (RFC 3261 §10.3): each binding belongs to the flow that it came by, a connection or
//! the source of a datagram, and calls go back over that flow, through whatever NAT lies between.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::canonical;
use trunkgate_route::Destination;
use trunkgate_sip::header::NameAddr;
use trunkgate_sip::{Answer, ConnectionId, Flow, HeaderName, ListenerId, Message, Party, Scheme, ServerId};
use trunkgate_story::view::PhoneView;

use crate::edge::{Edge, METHODS};
use crate::io::Output;
use crate::limits::{
    BINDING_CONTACT_BYTES, BINDING_LEAST_SECONDS, BINDING_SECONDS, BINDINGS_PER_TRUNK, CONTACTS_PER_REGISTER,
};
use crate::sip::extra;

/// What makes a flow another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Datagrams(ListenerId, SocketAddr),
    Stream(ConnectionId),
}

impl Source {
    fn of(flow: &Flow) -> Source {
        match flow.connection {
            Some(connection) => Source::Stream(connection),
            None => Source::Datagrams(flow.listener, flow.remote),
        }
    }
}

/// Where a phone is.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The way to it.
    pub flow: Flow,
    /// Its Contact: Request-URI of calls to it.
    pub contact: String,
    until: Instant,
    call_id: Vec<u8>,
    cseq: u32,
}

/// All of them by trunk.
#[derive(Debug, Default)]
pub struct Registrar {
    by_trunk: HashMap<Arc<str>, Vec<Binding>>,
    /// Whose flows are.
    flows: HashMap<Source, Party>,
    due: BTreeSet<(Instant, Arc<str>)>,
}

/// What one Contact of a REGISTER asks for.
struct Wish {
    contact: String,
    seconds: u32,
}

impl Registrar {
    /// Whose a flow is.
    pub fn party_of(&self, flow: &Flow) -> Option<Party> {
        self.flows.get(&Source::of(flow)).copied()
    }

    /// Where a trunk's phones are, the newest first.
    pub fn bindings(&self, trunk: &str) -> &[Binding] {
        self.by_trunk.get(trunk).map_or(&[], Vec::as_slice)
    }

    /// Returns the trunk whose phone has registered from an address; of several at it, the one at its port.
    pub fn trunk_at(&self, remote: SocketAddr) -> Option<Arc<str>> {
        let remote = canonical(remote);
        let at = |fits: &dyn Fn(SocketAddr) -> bool| {
            let mut trunks = self.by_trunk.iter();
            let found = trunks.find(|(_, bindings)| bindings.iter().any(|b| fits(canonical(b.flow.remote))));
            found.map(|(name, _)| name.clone())
        };
        at(&|known| known == remote).or_else(|| at(&|known| known.ip() == remote.ip()))
    }

    /// Bindings in all.
    pub fn count(&self) -> usize {
        self.by_trunk.values().map(Vec::len).sum()
    }

    /// When the next binding ends.
    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Keeps the bindings that are wanted, and the look-ups in step.
    fn keep(&mut self, trunk: &Arc<str>, party: Party, wanted: impl Fn(&Binding) -> bool) {
        let Some(bindings) = self.by_trunk.get_mut(trunk) else { return };
        bindings.retain(wanted);
        self.flows.retain(|_, of| *of != party);
        for binding in bindings.iter() {
            self.flows.insert(Source::of(&binding.flow), party);
        }
        self.due.retain(|(_, name)| name != trunk);
        match bindings.iter().map(|binding| binding.until).min() {
            Some(first) => drop(self.due.insert((first, trunk.clone()))),
            None => drop(self.by_trunk.remove(trunk)),
        }
    }
}

impl Edge {
    /// Forgets the bindings of trunks that take none any more; all others outlive a reload.
    pub fn configure_registrar(&mut self) {
        let table = Arc::clone(&self.table);
        let gone = |name: &&Arc<str>| !table.trunk(name).is_some_and(|trunk| trunk.accept_register);
        let gone: Vec<Arc<str>> = self.registrar.by_trunk.keys().filter(gone).cloned().collect();
        for name in gone {
            let party = self.party(&name);
            self.registrar.keep(&name, party, |_| false);
        }
    }

    /// Forgets bindings whose time is over.
    pub fn bindings_due(&mut self, now: Instant) {
        while let Some((at, name)) = self.registrar.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.registrar.due.remove(&(at, name.clone()));
            let party = self.party(&name);
            self.forget_phones(&name, party, "did not refresh its registration", |binding| binding.until > now);
        }
    }

    /// Keeps the bindings that are wanted; of each other phone is said why it is gone.
    fn forget_phones(&mut self, name: &Arc<str>, party: Party, why: &str, wanted: impl Fn(&Binding) -> bool) {
        let gone = self.registrar.bindings(name).iter().filter(|binding| !wanted(binding));
        let lines: Vec<_> = gone.map(|gone| format!("trunk {name}: the phone at {} {why}", gone.flow.remote)).collect();
        lines.into_iter().for_each(|line| self.log("", line, None));
        self.registrar.keep(name, party, wanted);
        self.show_trunk(name);
    }

    /// The phones of a trunk at a glance.
    pub fn phones_view(&self, name: &str) -> Vec<PhoneView> {
        let phone = |binding: &Binding| PhoneView {
            transport: binding.flow.transport,
            address: binding.flow.remote,
            expires_at: trunkgate_story::wall::rfc3339(self.date(binding.until)),
        };
        self.registrar.bindings(name).iter().map(phone).collect()
    }

    /// A connection is gone, and with it the phones behind it.
    pub fn flow_lost(&mut self, lost: Flow) {
        let Some(party) = lost.connection.and_then(|_| self.registrar.party_of(&lost)) else { return };
        let name = self.party_name(party);
        let why = "has lost its connection";
        self.forget_phones(&name, party, why, |binding| binding.flow.connection != lost.connection);
    }

    /// Answers a REGISTER whose sender has shown its credentials.
    pub fn registering(&mut self, now: Instant, server: ServerId, party: Party, flow: Flow, request: &Message) {
        let name = self.party_name(party);
        let answer = match self.table.trunk(&name).cloned().filter(|trunk| trunk.accept_register) {
            None => {
                let served = METHODS.iter().map(|method| method.as_str()).filter(|method| *method != "REGISTER");
                let allow = served.collect::<Vec<_>>().join(", ");
                self.trunks.problem(now, &name, "its REGISTER was rejected with 405".to_owned());
                Answer { code: 405, headers: vec![extra("Allow", allow)], ..Answer::default() }
            }
            Some(trunk) => {
                let user = trunk.require_auth.as_ref().map(|required| required.username.as_str());
                let to = request.to().and_then(|to| to.parsed_uri()).map(|uri| uri.user_unescaped());
                if to.as_deref() == user { self.bind(now, &trunk.name, party, flow, request) } else { refusal(404) }
            }
        };
        if let (200, Some(connection)) = (answer.code, flow.connection) {
            self.outputs.push_back(Output::Registered(connection));
        }
        self.respond(now, server, answer);
    }

    fn bind(&mut self, now: Instant, name: &Arc<str>, party: Party, flow: Flow, request: &Message) -> Answer {
        let (call_id, cseq) = (request.call_id().unwrap_or_default(), request.cseq().map_or(0, |cseq| cseq.number));
        let out_of_order = |binding: &&Binding| binding.call_id == call_id && binding.cseq >= cseq;
        let contacts = request.addresses(HeaderName::Contact);
        let star = request.headers(HeaderName::Contact).any(|value| value.trim_ascii() == b"*");
        if star {
            // RFC 3261 §10.3 step 6: all of them, and nothing else.
            let expires = request.header_str(HeaderName::Expires).map(str::trim);
            if request.count(HeaderName::Contact) > 1 || expires != Some("0") {
                return refusal(400);
            }
            if self.registrar.bindings(name).iter().any(|binding| out_of_order(&binding)) {
                return refusal(500);
            }
            self.registrar.keep(name, party, |_| false);
            self.show_trunk(name);
            self.log("", format!("trunk {name}: all registrations removed by {}", flow.remote), None);
            return self.listing(now, name);
        }
        let wishes: Option<Vec<Wish>> = contacts.iter().map(|contact| wish(contact, request)).collect();
        let Some(wishes) = wishes.filter(|wishes| wishes.len() <= CONTACTS_PER_REGISTER) else { return refusal(400) };
        if wishes.iter().any(|wish| (1..BINDING_LEAST_SECONDS).contains(&wish.seconds)) {
            let headers = vec![extra("Min-Expires", BINDING_LEAST_SECONDS.to_string())];
            return Answer { code: 423, headers, ..Answer::default() };
        }
        let known = self.registrar.bindings(name);
        let is_wished = |binding: &&Binding| wishes.iter().any(|wish| wish.contact == binding.contact);
        if known.iter().filter(is_wished).any(|binding| out_of_order(&binding)) {
            return refusal(500);
        }
        let others = known.iter().filter(|binding| !is_wished(binding)).count();
        let asked = wishes.iter().filter(|wish| wish.seconds > 0).count();
        if others + asked > BINDINGS_PER_TRUNK {
            self.metrics.dropped("bindings_full");
            return refusal(403);
        }
        if !wishes.is_empty() {
            let is_new = !known.iter().any(|binding| Source::of(&binding.flow) == Source::of(&flow));
            let bindings = self.registrar.by_trunk.entry(name.clone()).or_default();
            let gone = |binding: &Binding| wishes.iter().any(|w| w.seconds == 0 && w.contact == binding.contact);
            let taken_back = bindings.iter().filter(|binding| gone(binding)).count();
            bindings.retain(|binding| !wishes.iter().any(|wish| wish.contact == binding.contact));
            for Wish { contact, seconds } in wishes.into_iter().filter(|wish| wish.seconds > 0) {
                // One that is named twice is one.
                bindings.retain(|binding| binding.contact != contact);
                let until = now + Duration::from_secs(seconds.into());
                bindings.insert(0, Binding { flow, contact, until, call_id: call_id.to_vec(), cseq });
            }
            self.registrar.keep(name, party, |_| true);
            self.show_trunk(name);
            self.unknown.known(flow.remote.ip());
            let user = self.table.trunk(name).and_then(|trunk| trunk.require_auth.as_ref());
            if let Some(user) = user.map(|user| self.shown(&user.username)).filter(|_| is_new && asked > 0) {
                self.strays.known(flow.remote.ip(), &user);
            }
            if is_new && asked > 0 {
                self.log("", format!("trunk {name}: phone registered from {}", flow.remote), None);
            }
            if taken_back > 0 {
                self.log("", format!("trunk {name}: a registration removed by {}", flow.remote), None);
            }
        }
        self.listing(now, name)
    }

    /// What is bound now (RFC 3261 §10.3 step 8).
    fn listing(&self, now: Instant, name: &str) -> Answer {
        let contact = |binding: &Binding| {
            let left = binding.until.saturating_duration_since(now).as_secs();
            extra("Contact", format!("<{}>;expires={left}", binding.contact))
        };
        let headers = self.registrar.bindings(name).iter().map(contact).collect();
        Answer { code: 200, headers, ..Answer::default() }
    }
}

fn refusal(code: u16) -> Answer {
    Answer { code, ..Answer::default() }
}

/// One Contact read; `None` where it is not to be used.
fn wish(contact: &NameAddr<'_>, request: &Message) -> Option<Wish> {
    let text = std::str::from_utf8(contact.uri).ok()?;
    contact.parsed_uri().filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips))?;
    let sound = !text.is_empty() && text.len() <= BINDING_CONTACT_BYTES && !text.contains(['<', '>', '"', '\\', ' ']);
    if !sound || text.chars().any(char::is_control) {
        return None;
    }
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let own = contact.param("expires").and_then(|value| number(std::str::from_utf8(value).ok()?));
    let seconds = own.or_else(|| number(request.header_str(HeaderName::Expires)?)).unwrap_or(BINDING_SECONDS);
    Some(Wish { contact: text.to_owned(), seconds: seconds.min(BINDING_SECONDS) })
}

impl Binding {
    /// What stands for a peer in a search.
    pub fn destination(&self) -> Destination {
        let transport = self.flow.transport;
        let (host, port) = (self.flow.remote.ip().to_string(), Some(self.flow.remote.port()));
        Destination { host, port, transport, is_fixed: true }
    }
}
