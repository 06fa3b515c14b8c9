//! Who shows credentials to whom, what a proxy makes of that, and what must never be seen: a trunk's credentials at another.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;
use trunkgate_call::QueryId;
use trunkgate_phone::{Manner, PhoneCall, PhoneConfig};
use trunkgate_route::{Server, Transport as PeerTransport, Trunk};
use trunkgate_sip::{Flow, ListenerId, Transport};

use crate::agents::FORKED;
use crate::edge::{CARRIER, FAR_HOST, MOBILE, OUT, REGISTRAR, REGISTRAR_HOST, TRUNK_A, TRUNK_B, TRUNK_B2};
use crate::log::describe;
use crate::net::Carriage;
use crate::options::{Asked, Options, Sabotage, Trust};
use crate::registrar::Mood;
use crate::world::{Happening, TRUNK_A_SEAT, TRUNK_B_SEAT, TRUNK_B2_SEAT, World};

/// The users by which the edge is known at its trunks begin so.
const OURS: &str = "edge-at-";

/// The trunk that an address belongs to.
pub(crate) fn owner(address: SocketAddr) -> Option<&'static str> {
    let known =
        [(CARRIER, "carrier"), (TRUNK_A, "a"), (REGISTRAR, "a"), (TRUNK_B, "b"), (TRUNK_B2, "b"), (MOBILE, "mobile")];
    known.into_iter().find(|(at, _)| at.ip() == address.ip()).map(|(_, name)| name)
}

fn asked(trust: &Trust, name: &str) -> (Asked, Asked) {
    let at = match name {
        "carrier" => 0,
        "a" => 1,
        "b" => 2,
        // Who registers here has to show credentials.
        _ if trust.of_phones[0] == Asked::Wrong => return (Asked::Nothing, Asked::Wrong),
        _ => return (Asked::Nothing, Asked::Right),
    };
    (trust.of_edge[at], trust.of_phones[at])
}

fn password(name: &str, asked: Asked) -> String {
    if asked == Asked::Wrong { "guessed".to_owned() } else { format!("secret of {name}") }
}

/// What a trunk is configured with.
pub(crate) fn of_trunk(options: &Options, trunk: Trunk) -> Trunk {
    let (of_edge, of_phone) = asked(&options.trust, &trunk.name);
    let shown_at =
        if options.sabotage == Sabotage::CredentialsLeak && &*trunk.name == "b" { "a" } else { &*trunk.name };
    let credentials =
        |username: String, password: String| trunkgate_route::Credentials { username, password, realm: None };
    let auth = credentials(format!("{OURS}{shown_at}"), password(shown_at, of_edge));
    let require_auth = credentials(format!("phone-{}", trunk.name), password(&trunk.name, Asked::Right));
    Trunk {
        auth: (of_edge != Asked::Nothing).then_some(auth),
        require_auth: (of_phone != Asked::Nothing).then_some(require_auth),
        options_interval: options.trust.options_interval,
        ..trunk
    }
}

/// The same of the phone there.
pub(crate) fn of_phone(options: &Options, name: &str, config: &mut PhoneConfig) {
    let (of_edge, of_phone) = asked(&options.trust, name);
    let credentials =
        |username: String, password: String| trunkgate_sip::Credentials { username, password, realm: None };
    if of_edge != Asked::Nothing {
        config.asks = Some(credentials(format!("{OURS}{name}"), password(name, Asked::Right)));
    }
    if of_phone != Asked::Nothing {
        config.credentials = Some(credentials(format!("phone-{name}"), password(name, of_phone)));
    }
}

/// Whether a message of the edge shows the credentials of one trunk to another.
pub(crate) fn leak(to: SocketAddr, bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let user = format!("username=\"{OURS}");
    let shown = text.split(&user).skip(1).filter_map(|rest| rest.split('"').next());
    let mut foreign = shown.filter(|name| owner(to) != Some(*name));
    foreign.next().map(|name| format!("credentials of trunk {name} go to {to}"))
}

/// A message of the first trunk as its proxy passes it on.
pub(crate) fn from_behind_proxy(bytes: Bytes) -> Bytes {
    replaced(
        bytes,
        &[("SIP/2.0 401 Unauthorized", "SIP/2.0 407 Proxy"), ("\r\nWWW-Authenticate:", "\r\nProxy-Authenticate:")],
    )
}

/// A message to it.
pub(crate) fn to_behind_proxy(bytes: Bytes) -> Bytes {
    replaced(bytes, &[("\r\nProxy-Authorization:", "\r\nAuthorization:")])
}

fn replaced(bytes: Bytes, pairs: &[(&str, &str)]) -> Bytes {
    match std::str::from_utf8(&bytes) {
        Ok(text) if pairs.iter().any(|(from, _)| text.contains(from)) => {
            pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)).into()
        }
        Ok(_) | Err(_) => bytes,
    }
}

/// Whether it asks for credentials.
pub(crate) fn is_challenge(bytes: &[u8]) -> bool {
    bytes.starts_with(b"SIP/2.0 401") || bytes.starts_with(b"SIP/2.0 407")
}

/// What the registrar asks for.
pub(crate) fn of_registrar(options: &Options) -> Option<trunkgate_sip::Credentials> {
    let username = format!("{OURS}a");
    let password = password("a", Asked::Right);
    let asks = asked(&options.trust, "a").0 != Asked::Nothing;
    asks.then_some(trunkgate_sip::Credentials { username, password, realm: None })
}

impl World {
    /// Looks at what the edge sends: whose credentials go where, and what there is to count.
    pub(crate) fn note_sent(&mut self, flow: Flow, bytes: &[u8]) {
        if let Some(leak) = leak(flow.remote, bytes) {
            self.fail(leak);
        }
        self.summary.challenged += u64::from(is_challenge(bytes));
        let long = flow.transport == Transport::Tcp && self.options.tcp_trunk != 2 && owner(flow.remote) == Some("b");
        self.summary.oversize += u64::from(long && bytes.starts_with(b"INVITE "));
        self.summary.registered += u64::from(bytes.starts_with(b"SIP/2.0 200") && is_of_register(bytes));
    }

    /// A message arrives at the registrar, which is of changing mood until all is well.
    pub(crate) fn registers(&mut self, bytes: Bytes) {
        let mood = match self.rng.random_range(0..100) {
            _ if self.healed => Mood::Good,
            0..50 => Mood::Good,
            50..70 => Mood::Strict,
            70..80 => Mood::Refusing(503),
            80..88 => Mood::Refusing(403),
            _ => Mood::Silent,
        };
        self.log.line(self.now, format_args!("registrar ← {} ({mood:?})", describe(&bytes)));
        for answer in self.registrar.receive(self.now, bytes, mood) {
            self.summary.challenged += u64::from(is_challenge(&answer));
            self.summary.registered += u64::from(answer.starts_with(b"SIP/2.0 200"));
            let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: REGISTRAR, connection: None };
            for arrival in self.net.arrivals(self.now, Carriage::Datagram) {
                self.at(arrival, Happening::ToEdge(flow, answer.clone()));
            }
        }
    }

    /// The name service, which knows most of what it is asked for.
    pub(crate) fn look_up(&mut self, query: QueryId, host: &str) {
        let at = |at: SocketAddr| Server {
            transport: PeerTransport::Udp,
            port: at.port(),
            tier: 0,
            priority: 0,
            weight: 0,
            addresses: vec![at.ip()],
        };
        let found = match host {
            _ if !self.healed && self.rng.random_bool(0.2) => Vec::new(),
            FAR_HOST => vec![at(TRUNK_B)],
            REGISTRAR_HOST => vec![at(REGISTRAR)],
            _ => Vec::new(),
        };
        self.at(self.now + Duration::from_millis(5), Happening::Resolved(query, found));
    }

    /// Whether the edge is registered, long after everything went well again.
    pub(crate) fn check_registered(&mut self) {
        let trust = &self.options.trust;
        let has_first = self.table_version.is_multiple_of(2);
        let wanted = trust.registers && has_first && trust.of_edge[1] != Asked::Wrong;
        let status = self.edge.gateway.status(self.now);
        let first = status.trunks.iter().find(|trunk| trunk.name == "a");
        let state = first.and_then(|trunk| trunk.registration.as_ref()).map(|registration| registration.state);
        let bound = self.registrar.bound(self.now);
        if wanted && (state != Some("registered") || bound != 1) {
            self.fail(format!("the edge is registered as {state:?}, the registrar has {bound} bindings of it"));
        }
    }

    /// What is left of registrations at the end.
    pub(crate) fn check_bindings(&self) -> Result<(), String> {
        let bound = self.registrar.bound(self.now);
        let (leaving, phones) = (self.edge.gateway.leaving_registrations(), self.edge.gateway.registered_phones());
        if bound + leaving + phones != 0 {
            return Err(format!("{bound} bindings at the registrar, {leaving} leaving, {phones} phones are left"));
        }
        Ok(())
    }

    /// Where nothing was lost, a call that reached nobody has asked at every address at which somebody is.
    pub(crate) fn check_reached(&self) -> Result<(), String> {
        if self.rough || self.limited {
            return Ok(());
        }
        let trust = &self.options.trust;
        // A phone whose trunk has the wrong password asks for another, and never hears of the call.
        let [_, a, b] = trust.of_edge.map(|asked| asked != Asked::Wrong);
        let seats =
            [(TRUNK_A_SEAT, a && self.table_version == 0), (TRUNK_B_SEAT, b), (TRUNK_B2_SEAT, b && trust.two_phones)];
        let seats: Vec<usize> = seats.into_iter().filter(|(_, answers)| *answers).map(|(at, _)| at).collect();
        // Who was silent or asked for a rest is left out for a while.
        let is_shy = |call: &PhoneCall| {
            matches!(call.manner(), Some(Manner::Silent | Manner::Late { .. } | Manner::Rest { .. }))
        };
        // Whoever was transferred was to be connected with somebody else.
        let transferred = self.transferred();
        let stays = |to: &str| to.starts_with(OUT) && !transferred.contains(to);
        for (to, reason) in self.unreached.iter().filter(|(to, _)| stays(to)) {
            // Calls that an agent listens to go to the second trunk alone.
            let listened = |at: &usize| to.starts_with(FORKED) && *at == TRUNK_A_SEAT;
            for seat in seats.iter().filter(|at| !listened(at)).filter_map(|at| self.seats.get(*at)) {
                let mut calls = seat.phone.calls();
                if !calls.any(|call| is_shy(call) || (call.called() == to && !call.is_outgoing())) {
                    let name = &seat.phone.config().name;
                    return Err(format!("the call to {to} ended with {reason}, and {name} was never asked"));
                }
            }
        }
        Ok(())
    }
}

fn is_of_register(bytes: &[u8]) -> bool {
    describe(bytes).ends_with(" REGISTER]")
}
