//! Configuration of the edge: addresses, trunks, agents and routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use trunkgate_call::{Addressing, Interfaces, ListenerSpec};
use trunkgate_route::{
    Agent, App, AppDocument, Destination, DestinationServer, HoldAudio, HoldMode, NumberingPlan, OnClose, Pattern,
    Peer, ReferMode, RegistrationSettings, Route, RoutingTable, SiprecSettings, Srtp, TableDefinition, TargetSpec,
    Trunk, WebhookMethod,
};
use trunkgate_sip::{ListenerId, Transport};

use crate::credentials;
use crate::options::{OversizeTransport, Sabotage, SeedOptions};
use crate::places::{
    AGENTS, APPS, CARRIER, DEAD, DESK, EDGE, ELSEWHERE, FAR_HOST, FORKED, MOBILE, REGISTERED, REGISTRAR_HOST, TOGETHER,
    TRUNK_A, TRUNK_B, TRUNK_B2, VAULT,
};

/// Lifetime of the edge's registration with the first trunk, in seconds.
const REGISTERED_SECONDS: u64 = 60;
/// Maximum size of an INVITE over UDP, in bytes; every INVITE of the edge is longer.
const DATAGRAM_BYTES: usize = 500;

/// Returns the listeners and addresses of the edge.
pub(crate) fn addressing() -> Addressing {
    let listener = |id, transport| ListenerSpec {
        id: ListenerId(id),
        name: format!("listener-{id}"),
        transport,
        bound: EDGE,
        public_addresses: Vec::new(),
    };
    Addressing {
        listeners: vec![listener(0, Transport::Udp), listener(1, Transport::Tcp)],
        public_addresses: Vec::new(),
        local_networks: Vec::new(),
        interfaces: Interfaces { default_v4: Some(EDGE.ip()), ..Interfaces::default() },
        media_bind: vec![EDGE.ip()],
    }
}

/// Returns a trunk with one peer and the settings of the seed.
fn trunk(options: &SeedOptions, name: &str, address: SocketAddr, transport: Transport, srtp: Srtp) -> Trunk {
    let at = ["carrier", "a", "b"].iter().position(|known| *known == name);
    let hold_ends_here = at.is_some_and(|at| options.holds_end_here[at]);
    let trunk = Trunk {
        hold: if hold_ends_here { HoldMode::Local } else { HoldMode::Relay },
        // A phone counts any audio other than voice as damaged, so the music is silence.
        hold_music: Some(Arc::from([0xff_u8; 160])),
        peers: vec![Peer { priority: 10, weight: 10, ..Peer::at(address.ip(), None, transport) }],
        accept_from: vec![IpNet::from(address.ip())],
        ring_timeout: Duration::from_secs(20),
        refer: at.map_or(ReferMode::Local, |at| options.transfers.modes[at]),
        session_expires: Duration::from_secs(at.map_or(1_800, |at| options.sessions.by_edge[at].into())),
        srtp: match srtp {
            Srtp::Off => Srtp::Off,
            Srtp::Optional => Srtp::Optional,
            Srtp::Required => Srtp::Required,
        },
        ..Trunk::named(name)
    };
    credentials::of_trunk(options, trunk)
}

/// Returns the servers to which the second trunk's name resolves.
fn servers_of_b(options: &SeedOptions) -> Vec<DestinationServer> {
    let transport = if options.tcp_trunk == 2 { Transport::Tcp } else { Transport::Udp };
    let at = |priority, at: SocketAddr| DestinationServer {
        transport,
        port: at.port(),
        tier: 0,
        priority,
        weight: 0,
        addresses: vec![at.ip()],
    };
    let trust = &options.trust;
    let lost = options.sabotage == Sabotage::AddressesAreLost;
    let dead = (trust.dead_first || lost).then(|| at(0, DEAD));
    let second = (trust.two_phones && !lost).then(|| at(20, TRUNK_B2));
    dead.into_iter().chain((!lost).then(|| at(10, TRUNK_B))).chain(second).collect()
}

/// Returns the second trunk, whose peer has a host name.
fn second_trunk(options: &SeedOptions, srtp: Srtp) -> Trunk {
    let servers = servers_of_b(options);
    let transport = servers.first().map_or(Transport::Udp, |server| server.transport);
    let trunk = trunk(options, "b", TRUNK_B, transport, srtp);
    let destination = Destination { host: "b.example".into(), port: None, transport, is_fixed: true };
    Trunk {
        peers: vec![Peer { servers, ..Peer::to("sip:b.example".into(), destination) }],
        accept_from: vec![IpNet::from(TRUNK_B.ip()), IpNet::from(TRUNK_B2.ip())],
        udp_mtu: DATAGRAM_BYTES,
        oversize_by_tcp: options.trust.oversize != OversizeTransport::Never,
        ..trunk
    }
}

/// Returns the first trunk, with which the edge registers if the seed has a registration.
fn first_trunk(options: &SeedOptions, quiet: bool, transport: Transport, srtp: Srtp) -> Trunk {
    let register = RegistrationSettings {
        uri: format!("sip:{REGISTRAR_HOST}"),
        registrar: Destination { host: REGISTRAR_HOST.into(), port: None, transport: Transport::Udp, is_fixed: false },
        user: "edge".into(),
        expires: Duration::from_secs(REGISTERED_SECONDS),
    };
    let register = (options.trust.registers && !quiet).then_some(register);
    Trunk { register, ..trunk(options, "a", TRUNK_A, transport, srtp) }
}

fn to_trunk(name: &str) -> TargetSpec {
    TargetSpec::Trunk { name: name.into(), number: None, weight: None }
}

fn route(name: &str, from: &[&str], to: &str, connect: Vec<TargetSpec>) -> Route {
    Route {
        from: from.iter().map(|s| (*s).to_owned()).collect(),
        to: vec![Pattern::Prefix(to.into())],
        ..Route::named(name, connect)
    }
}

/// Returns the agents: one with a goodbye and retries, one that fails over when it closes and has a maximum call
/// time, and one that listens.
fn agents(options: &SeedOptions, version: u32) -> Vec<Agent> {
    let agent = |name: &str| Agent::at(name, &format!("ws://10.0.0.9/{name}"));
    let goodbye = Some(Arc::from([0xff_u8; 8000]));
    let music = Some(Arc::from([0x7f_u8; 800]));
    let (max_sessions, queue) = options.few.of(version);
    let desk = Agent {
        goodbye,
        retry: 2,
        first_audio_timeout: Duration::from_secs(12),
        max_sessions,
        queue,
        answer: options.few.answer,
        hold: Some(HoldAudio { first: None, music }),
        ..agent(DESK)
    };
    let others = [
        Agent {
            on_close: OnClose::Next,
            connect_timeout: Duration::from_secs(5),
            retry: 1,
            max_call: Duration::from_secs(8),
            ..agent("night")
        },
        agent("scribe"),
    ];
    options.few.is_there(version).then_some(desk).into_iter().chain(others).collect()
}

/// Returns the application, which calls numbers at both trunks in turn.
fn application() -> App {
    let document = AppDocument::Url { url: "http://10.0.0.9/voice".into(), method: WebhookMethod::Post };
    let mut app = App::new("ivr", document);
    app.connect = vec![to_trunk("a"), to_trunk("b")];
    app
}

/// Returns the trunk of the recording server; calls may require it.
fn vault(options: &SeedOptions) -> Trunk {
    let at =
        |address: SocketAddr, priority| Peer { priority, weight: 10, ..Peer::at(address.ip(), None, Transport::Udp) };
    let dead = options.trust.dead_first.then(|| at(DEAD, 1));
    Trunk {
        peers: dead.into_iter().chain([at(VAULT, 2)]).collect(),
        udp_mtu: usize::from(u16::MAX),
        siprec: Some(SiprecSettings { required: options.trust.two_phones }),
        oversize_by_tcp: options.trust.oversize != OversizeTransport::Never,
        ..Trunk::named(&SiprecSettings::trunk_name("vault"))
    }
}

/// Returns the configuration. Odd versions lack the first trunk; a `quiet` one has no activity without calls.
pub fn table(options: &SeedOptions, version: u32, quiet: bool) -> Arc<RoutingTable> {
    let over = |trunk: u8| if options.tcp_trunk == trunk { Transport::Tcp } else { Transport::Udp };
    let [carrier, a, b] = options.srtp.map(|(edge, _)| edge);
    let mut trunks = vec![trunk(options, "carrier", CARRIER, Transport::Udp, carrier)];
    let agent = |name: &str| TargetSpec::Agent(name.into());
    let desk = options.few.is_there(version).then(|| agent(DESK));
    let mut routes = vec![
        route("agents", &[], AGENTS, desk.into_iter().chain([to_trunk("b"), agent("night")]).collect()),
        Route { fork: vec!["scribe".into()], ..route("forked", &["carrier"], FORKED, vec![to_trunk("b")]) },
        route("refused", &["carrier"], "+1888", vec![TargetSpec::Reject(603)]),
        route(
            "together",
            &["carrier"],
            TOGETHER,
            vec![TargetSpec::RingAll(vec![to_trunk("a"), to_trunk("b")]), to_trunk("b")],
        ),
        route(
            "elsewhere",
            &["carrier"],
            ELSEWHERE,
            vec![TargetSpec::Uri {
                in_call: false,
                uri: format!("sip:{FAR_HOST}"),
                destination: Destination {
                    host: FAR_HOST.into(),
                    port: None,
                    transport: Transport::Udp,
                    is_fixed: false,
                },
            }],
        ),
    ];
    if options.trust.registrar {
        let mobile = trunk(options, "mobile", MOBILE, Transport::Udp, Srtp::Off);
        trunks.push(Trunk { peers: Vec::new(), accept_from: Vec::new(), accept_register: true, ..mobile });
        routes.push(route("registered", &["carrier"], REGISTERED, vec![to_trunk("mobile"), to_trunk("b")]));
        routes.push(route("from-registered", &["mobile"], "+1", vec![to_trunk("b")]));
    }
    if version.is_multiple_of(2) {
        routes.push(route("back", &["a", "b"], "+1", vec![to_trunk("carrier")]));
        routes.push(route("out", &["carrier"], "+1", vec![to_trunk("a"), to_trunk("b")]));
        trunks.push(first_trunk(options, quiet, over(1), a));
    } else {
        routes.push(route("back", &["b"], "+1", vec![to_trunk("carrier")]));
        routes.push(route("out", &["carrier"], "+1", vec![to_trunk("b")]));
    }
    trunks.push(second_trunk(options, b));
    if options.siprec {
        routes.iter_mut().for_each(|route| route.siprec.push(SiprecSettings::trunk_name("vault").into()));
        trunks.push(vault(options));
    }
    if quiet {
        trunks.iter_mut().for_each(|trunk| trunk.options_interval = Duration::ZERO);
    }
    if options.apps {
        let app = TargetSpec::App("ivr".into());
        routes.insert(0, route("apps", &[], APPS, vec![app, to_trunk("b")]));
    }
    let numbers = NumberingPlan::new("US").unwrap_or_else(|| unreachable!("US is a country"));
    let definition = TableDefinition { numbers, trunks, agents: agents(options, version), routes };
    let apps = if options.apps { vec![application()] } else { Vec::new() };
    Arc::new(RoutingTable::new(definition).with_apps(apps))
}
