//! Actions that a seed schedules: calls of all kinds, and disturbances.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_call::{GatewayInput, OperatorCommand};
use trunkgate_phone::{AnswerKind, AnswerScript, CallScript, G711Codec, MarkedVoice, OutgoingCall};
use trunkgate_sip::{ConnectionId, Flow, ListenerId, Transport};

use super::asked::{self, CallRequestKind, RequestedTarget};
use super::within::{self, MidCallRequest};
use super::{RECOVERY, SimEvent, SimPhone, World, crashes, freezes, registrations, sessions, transfers};
use crate::edge;
use crate::net::NetworkConditions;
use crate::options::Sabotage;
use crate::places::{
    AGENTS, APPS, CARRIER, CARRIER_SEAT, DEAD, EDGE, ELSEWHERE, FORKED, MOBILE_SEAT, OUT, REGISTERED, STRANGER,
    TOGETHER, TRUNK_A, TRUNK_A_SEAT, TRUNK_B, TRUNK_B_SEAT, TRUNK_B2,
};

/// Action of a seed, carried out at its scheduled time.
#[derive(Debug)]
pub(crate) enum WorldAction {
    /// A phone places a call.
    Dial(usize, Box<OutgoingCall>),
    /// An unknown source sends this datagram to the edge's SIP port.
    Stranger(Bytes),
    /// An unknown source sends RTP to each open media port.
    StrangerRtp,
    /// A phone, by index, sends data that is not SIP.
    Noise(usize, Bytes),
    /// A phone, by index, sends an OPTIONS outside any call.
    Options(usize),
    /// The gateway's limit of concurrent calls changes to this number.
    Limit(u32),
    /// Another process takes a media port (true) or releases it.
    Squat(u16, bool),
    /// The configuration is reloaded as the next version.
    Reload,
    /// The network conditions become bad for a time.
    Storm(NetworkConditions),
    /// The network conditions become normal again.
    Calm,
    /// A phone, by index, becomes unreachable permanently.
    Die(usize),
    /// A phone, by index, becomes unreachable for a time.
    Cut(usize),
    /// A phone, by index, becomes reachable again.
    Mend(usize),
    /// The edge is restarted from a snapshot, with or without its media sessions.
    Restart { keep_media: bool },
    /// The edge crashes, now or soon after its next request within a dialog.
    Crash { is_after_request: bool },
    /// The process of the edge is stopped for a while.
    Freeze { is_after_message: bool },
    /// An operator sends a command.
    Control(OperatorAction),
    /// An API request about a random call.
    Ask(CallRequestKind),
    /// An API request for a new call.
    Originate { call: u32, wanted: RequestedTarget, digits: bool },
    /// A phone sends a request within an answered call, outside its script.
    Say(MidCallRequest),
    /// A phone, by index, neither sends nor receives SIP any more, while its media continues.
    Deafen(usize),
    /// The leg with this Call-ID must have ended by now.
    ExpectOver(String),
    /// The mobile phone registers from this port, for this number of seconds.
    Register { port: u16, seconds: u32 },
    /// No further actions occur, and the network becomes ideal.
    Heal,
    /// Activity that does not depend on calls is removed from the edge's configuration.
    Quiet,
}

/// Command of an operator to the gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OperatorAction {
    /// Hang up a random live call.
    Hangup,
    /// Reject new calls from now on.
    Drain,
    /// Accept new calls again.
    Resume,
    /// End all calls.
    EndAll,
}

impl fmt::Display for WorldAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorldAction::Dial(from, dial) => write!(
                f,
                "phone {from} dials {} offer={} multipart={} cancel={:?} never_ack={} {:?}",
                dial.uri, dial.offer, dial.multipart, dial.cancel_after, dial.never_ack, dial.talk
            ),
            WorldAction::Stranger(bytes) => write!(f, "a stranger sends {} bytes", bytes.len()),
            WorldAction::Noise(from, bytes) => write!(f, "phone {from} sends {} bytes of noise", bytes.len()),
            WorldAction::StrangerRtp
            | WorldAction::Options(_)
            | WorldAction::Limit(_)
            | WorldAction::Squat(..)
            | WorldAction::Reload
            | WorldAction::Storm(_)
            | WorldAction::Calm
            | WorldAction::Die(_)
            | WorldAction::Cut(_)
            | WorldAction::Mend(_)
            | WorldAction::Restart { .. }
            | WorldAction::Crash { .. }
            | WorldAction::Freeze { .. }
            | WorldAction::Control(_)
            | WorldAction::Ask(_)
            | WorldAction::Originate { .. }
            | WorldAction::Say(_)
            | WorldAction::Deafen(_)
            | WorldAction::ExpectOver(_)
            | WorldAction::Register { .. }
            | WorldAction::Heal
            | WorldAction::Quiet => write!(f, "{self:?}"),
        }
    }
}

impl WorldAction {
    /// Returns whether the action also changes the configuration of the edge.
    pub(crate) fn configures_edge(&self) -> bool {
        matches!(self, WorldAction::Reload | WorldAction::Heal | WorldAction::Quiet)
    }

    /// Returns whether the action does nothing while the edge is down. A reload changes the configuration with which the
    /// edge starts.
    pub(crate) fn needs_edge(&self) -> bool {
        match self {
            WorldAction::Stranger(_)
            | WorldAction::StrangerRtp
            | WorldAction::Noise(..)
            | WorldAction::Limit(_)
            | WorldAction::Restart { .. }
            | WorldAction::Crash { .. }
            | WorldAction::Freeze { .. }
            | WorldAction::Control(_)
            | WorldAction::Ask(_)
            | WorldAction::Originate { .. } => true,
            WorldAction::Dial(..)
            | WorldAction::Options(_)
            | WorldAction::Squat(..)
            | WorldAction::Reload
            | WorldAction::Storm(_)
            | WorldAction::Calm
            | WorldAction::Die(_)
            | WorldAction::Cut(_)
            | WorldAction::Mend(_)
            | WorldAction::Say(_)
            | WorldAction::Deafen(_)
            | WorldAction::ExpectOver(_)
            | WorldAction::Register { .. }
            | WorldAction::Heal
            | WorldAction::Quiet => false,
        }
    }
}

/// Schedules all actions that a seed determines.
pub(crate) fn plan(world: &mut World) {
    let busy = world.options.busy;
    let mut elsewhere = ChaCha12Rng::seed_from_u64(world.options.seed ^ 0x7265_6469_7265_6374);
    for seat in 0..world.seats.len() {
        for _ in 0..2 * world.options.calls {
            let mut answer = random_answer(world);
            if world.options.redirects && elsewhere.random_bool(0.4) {
                answer.manner = random_redirect(&mut elsewhere);
            }
            if let Some(seat) = world.seats.get_mut(seat) {
                seat.phone.expect(answer);
            }
        }
    }
    for call in 0..world.options.calls {
        let at = random_moment(world, busy.mul_f64(0.7));
        let mut action = random_dial(world, call);
        if let WorldAction::Dial(_, dial) = &mut action
            && world.options.apps
            && world.apps.takes_call()
        {
            dial.uri = format!("sip:{APPS}555{call:04}@{EDGE}");
        }
        world.at(at, SimEvent::Act(action));
    }
    for _ in 0..world.options.disturbances {
        disturb(world, busy);
    }
    asked::plan(world, busy);
    asked::plan_requests(world, busy);
    asked::plan_warm(world, busy);
    asked::plan_detached(world, busy);
    within::plan(world, busy);
    sessions::plan(world);
    transfers::plan(world, busy);
    if world.options.trust.registrar {
        register_now_and_then(world, busy);
    }
    let end = world.start + busy;
    world.at(end, SimEvent::Act(WorldAction::Heal));
    world.at(end + RECOVERY, SimEvent::Act(WorldAction::Quiet));
}

/// Schedules registrations of the mobile phone, which sometimes changes its port, as behind a NAT or in another
/// network.
fn register_now_and_then(world: &mut World, busy: Duration) {
    for _ in 0..world.rng.random_range(1..5) {
        let at = random_moment(world, busy.mul_f64(0.8));
        let port = 5060 + world.rng.random_range(0..3);
        let seconds = [0, 30, 60, 90, 300][world.rng.random_range(0..5usize)];
        world.at(at, SimEvent::Act(WorldAction::Register { port, seconds }));
    }
}

fn random_moment(world: &mut World, within: Duration) -> Instant {
    world.start + Duration::from_micros(world.rng.random_range(0..within.as_micros().max(1) as u64))
}

fn millis(world: &mut World, from: u64, to: u64) -> Duration {
    Duration::from_millis(world.rng.random_range(from..to))
}

fn random_answer(world: &mut World) -> AnswerScript {
    let answer_after = millis(world, 0, 6000);
    let manner = match world.rng.random_range(0..100) {
        0..50 => AnswerKind::Ring { answer_after },
        50..62 => AnswerKind::Early { answer_after },
        62..66 => AnswerKind::Rest { seconds: world.rng.random_range(0..20) },
        66..76 => {
            let code = [486, 503, 404, 480, 600, 302, 408, 500, 488][world.rng.random_range(0..9usize)];
            let after = if world.rng.random_bool(0.5) { Duration::ZERO } else { answer_after };
            AnswerKind::Reject { code, after }
        }
        76..82 => AnswerKind::RingForever,
        82..92 => AnswerKind::Silent,
        _ => AnswerKind::Late { answer_after: millis(world, 100, 12_000) },
    };
    AnswerScript { manner, talk: random_talk(world) }
}

/// Returns a redirection to one to three addresses, some of them peers of trunks. The phone's own address may be
/// among them, so that loops occur.
fn random_redirect(rng: &mut ChaCha12Rng) -> AnswerKind {
    const PLACES: [SocketAddr; 7] = [TRUNK_A, TRUNK_A, TRUNK_B, TRUNK_B2, CARRIER, DEAD, STRANGER];
    let mut place = |share| rng.random_bool(share).then(|| PLACES[rng.random_range(0..PLACES.len())]);
    AnswerKind::Redirect { to: [place(1.0), place(0.6), place(0.3)] }
}

fn random_talk(world: &mut World) -> CallScript {
    if world.options.sabotage == Sabotage::PhonesNeverEnd {
        return CallScript::default();
    }
    let mut talk = CallScript::default();
    if world.rng.random_bool(0.7) {
        talk.hang_up_after = Some(millis(world, 0, 20_000) * world.options.sessions.stretch);
    }
    if world.rng.random_bool(0.2) {
        talk.hold_after = Some(millis(world, 200, 6000));
        if world.rng.random_bool(0.7) {
            talk.resume_after = Some(millis(world, 1000, 12_000));
        }
    }
    // The call becomes silent at some time: the edge's idle timeout must end it.
    if world.rng.random_bool(0.2) {
        talk.frames = Some(world.rng.random_range(0..40));
    }
    talk
}

fn random_dial(world: &mut World, call: u32) -> WorldAction {
    let from = if world.rng.random_bool(0.8) {
        CARRIER_SEAT
    } else if world.options.trust.registrar && world.rng.random_bool(0.4) {
        MOBILE_SEAT
    } else if world.rng.random_bool(0.5) {
        TRUNK_A_SEAT
    } else {
        TRUNK_B_SEAT
    };
    let number = match world.rng.random_range(0..100) {
        0..60 if world.options.few.is_wanted() => format!("{AGENTS}555{call:04}"),
        0..36 => format!("{OUT}555{call:04}"),
        36..48 if world.options.trust.registrar => format!("{REGISTERED}555{call:04}"),
        36..48 => format!("{TOGETHER}556{call:04}"),
        48..60 => format!("{FORKED}{call:03}"),
        60..82 => format!("{AGENTS}555{call:04}"),
        82..90 => format!("{ELSEWHERE}555{call:04}"),
        90..94 => format!("+1888555{call:04}"),
        94..97 => format!("+4930123{call:04}"),
        _ => format!("service{call}"),
    };
    let transport = world.seats.get(from).map_or(Transport::Udp, |seat| seat.transport);
    let flow = Flow {
        transport,
        listener: ListenerId(0),
        remote: EDGE,
        connection: (transport == Transport::Tcp).then_some(ConnectionId(0)),
    };
    let mut dial = OutgoingCall::new(flow, format!("sip:{number}@{EDGE}"), "<sip:+14155550100@carrier.example>");
    dial.offer = world.rng.random_bool(0.9);
    dial.multipart = world.rng.random_bool(0.1);
    if world.options.sabotage != Sabotage::PhonesNeverEnd {
        dial.cancel_after = world.rng.random_bool(0.2).then(|| millis(world, 0, 8000));
        dial.never_ack = world.rng.random_bool(0.05);
    }
    dial.talk = random_talk(world);
    WorldAction::Dial(from, Box::new(dial))
}

fn disturb(world: &mut World, busy: Duration) {
    let at = random_moment(world, busy);
    let later = at + millis(world, 500, 8000);
    let seat = world.rng.random_range(0..world.seats.len());
    let (first, second) = match world.rng.random_range(0..100) {
        0..16 => (WorldAction::Stranger(random_sip(world)), None),
        16..28 => (WorldAction::StrangerRtp, None),
        28..36 => (WorldAction::Noise(seat, random_noise(world)), None),
        36..44 => (WorldAction::Reload, None),
        44..47 => (WorldAction::Options(seat), None),
        47..50 => (WorldAction::Limit(world.rng.random_range(0..3)), Some(WorldAction::Limit(1000))),
        50..54 => {
            let port = 2 * world.rng.random_range(0..world.options.port_pairs);
            (WorldAction::Squat(port, true), Some(WorldAction::Squat(port, false)))
        }
        54..62 => {
            let loss = f64::from(world.rng.random_range(30..=100u32)) / 100.0;
            let storm = NetworkConditions { loss, ..world.options.weather };
            (WorldAction::Storm(storm), Some(WorldAction::Calm))
        }
        62..70 => (WorldAction::Cut(seat), Some(WorldAction::Mend(seat))),
        70..76 if world.options.deaths => (WorldAction::Die(seat), None),
        76..88 if world.options.restarts => (WorldAction::Restart { keep_media: world.rng.random_bool(0.5) }, None),
        88..93 => (WorldAction::Control(OperatorAction::Hangup), None),
        93..97 => (WorldAction::Control(OperatorAction::Drain), Some(WorldAction::Control(OperatorAction::Resume))),
        97.. => (WorldAction::Control(OperatorAction::EndAll), None),
        _ => (WorldAction::StrangerRtp, None),
    };
    world.at(at, SimEvent::Act(first));
    if let Some(second) = second {
        world.at(later, SimEvent::Act(second));
    }
}

/// Returns an OPTIONS with which a trunk checks the edge.
fn options_request(from: SocketAddr, n: u32) -> Bytes {
    format!(
        "OPTIONS sip:{EDGE} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{n};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:x@{from}>;tag={n}\r\nTo: <sip:{EDGE}>\r\nCall-ID: o{n}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into()
}

fn random_noise(world: &mut World) -> Bytes {
    let len = world.rng.random_range(0..400usize);
    (0..len).map(|_| world.rng.random::<u8>()).collect::<Vec<u8>>().into()
}

/// Returns a random message such as scanners send.
fn random_sip(world: &mut World) -> Bytes {
    let method = ["INVITE", "OPTIONS", "REGISTER", "BYE", "ACK", "CANCEL"][world.rng.random_range(0..6usize)];
    let n: u32 = world.rng.random();
    match world.rng.random_range(0..4) {
        0 => random_noise(world),
        1 => Bytes::from_static(b"\r\n\r\n"),
        2 => format!("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {EDGE};branch=z9hG4bK{n}\r\n\r\n").into(),
        _ => format!(
            "{method} sip:+12125550000@{EDGE} SIP/2.0\r\nVia: SIP/2.0/UDP {STRANGER};branch=z9hG4bK{n}\r\n\
             From: <sip:1@x>;tag={n}\r\nTo: <sip:2@x>\r\nCall-ID: {n}\r\nCSeq: 1 {method}\r\n\
             Max-Forwards: 70\r\nContact: <sip:1@{STRANGER}>\r\nContent-Length: 0\r\n\r\n"
        )
        .into(),
    }
}

/// Carries out an action now.
pub(crate) fn act(world: &mut World, action: WorldAction) {
    let now = world.now;
    let is_fault = matches!(
        action,
        WorldAction::Storm(_)
            | WorldAction::Cut(_)
            | WorldAction::Die(_)
            | WorldAction::Deafen(_)
            | WorldAction::Restart { .. }
    );
    world.rough |= is_fault;
    world.faulty |= is_fault;
    world.limited |= matches!(action, WorldAction::Limit(_) | WorldAction::Control(OperatorAction::Drain));
    match action {
        WorldAction::Dial(from, dial) => {
            if let Some(seat) = world.seats.get_mut(from).filter(|seat| !seat.dead) {
                world.summary.placed += u64::from(seat.phone.dial(now, *dial).is_some());
            }
        }
        WorldAction::Stranger(bytes) => {
            let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: STRANGER, connection: None };
            if world.options.sabotage == Sabotage::EdgeAnswersStrangers {
                world.edge_sends(flow, Bytes::from_static(b"SIP/2.0 403 Forbidden\r\n\r\n"));
            }
            world.edge.gateway.handle_input(now, GatewayInput::Received { flow, bytes });
        }
        WorldAction::StrangerRtp => {
            // The packet goes to every open port, with a voice of no phone.
            let packet = Bytes::copy_from_slice(&MarkedVoice::new(world.rng.random(), G711Codec::Pcmu).packet(0, 0));
            let open: Vec<_> = world.edge.ports.keys().copied().collect();
            for port in open {
                world.send_rtp(STRANGER, port, packet.clone());
            }
        }
        WorldAction::Noise(from, bytes) => {
            let Some(remote) = world.seats.get(from).map(|seat| seat.address) else { return };
            let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
            world.edge.gateway.handle_input(now, GatewayInput::Received { flow, bytes });
        }
        WorldAction::Options(from) => {
            let n = world.rng.random();
            let Some(remote) = world.seats.get(from).map(|seat| seat.address) else { return };
            let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
            world.at(now, SimEvent::ToEdge(flow, options_request(remote, n)));
        }
        WorldAction::Limit(calls) => {
            world.edge.configure(now, |settings| (settings.calls, settings.calls_per_second) = (calls, 0));
        }
        WorldAction::Squat(port, taken) => world.edge.squat(port, taken),
        WorldAction::Reload => {
            world.table_version += 1;
            let table = edge::table(&world.options, world.table_version, false);
            if !world.edge.is_down() {
                world.edge.configure(now, |settings| settings.table = table);
            }
        }
        WorldAction::Storm(weather) => world.net.set(weather),
        WorldAction::Calm => world.net.clear(),
        WorldAction::Die(at) => with_seat(world, at, |seat| seat.dead = true),
        WorldAction::Cut(at) => with_seat(world, at, |seat| seat.cut = true),
        WorldAction::Mend(at) => with_seat(world, at, |seat| seat.cut = false),
        WorldAction::Restart { keep_media } => {
            world.before.forget();
            restart(world, keep_media);
        }
        WorldAction::Crash { is_after_request } => crashes::crash(world, is_after_request),
        WorldAction::Freeze { is_after_message } => freezes::freeze(world, is_after_message),
        WorldAction::Control(wish) => control(world, wish),
        WorldAction::Ask(asked) => asked::ask(world, asked),
        WorldAction::Originate { call, wanted, digits } => asked::originate(world, call, wanted, digits),
        WorldAction::Say(said) => within::say(world, said),
        WorldAction::Deafen(at) => sessions::deafen(world, at),
        WorldAction::ExpectOver(call_id) => sessions::expect_over(world, &call_id),
        WorldAction::Register { port, seconds } => {
            let Some(seat) = world.seats.get_mut(MOBILE_SEAT).filter(|seat| !seat.dead) else { return };
            // Packets still in transit to the previous port are lost.
            world.rough |= seat.address.port() != port;
            world.faulty |= seat.address.port() != port;
            seat.address.set_port(port);
            let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote: EDGE, connection: None };
            seat.phone.register(now, flow, &format!("sip:{EDGE}"), "phone-mobile", seconds);
        }
        WorldAction::Quiet => {
            if let Err(what) = registrations::registered(world) {
                world.fail(what);
            }
            world.table_is_quiet = true;
            let table = edge::table(&world.options, world.table_version, true);
            world.edge.configure(now, |settings| settings.table = table);
        }
        WorldAction::Heal => {
            world.healed = true;
            world.net.heal();
            for seat in &mut world.seats {
                seat.cut = false;
            }
            control(world, OperatorAction::Resume);
        }
    }
}

fn with_seat(world: &mut World, at: usize, what: impl FnOnce(&mut SimPhone)) {
    if let Some(seat) = world.seats.get_mut(at) {
        what(seat);
    }
}

fn restart(world: &mut World, keep_media: bool) {
    world.summary.restarts += 1;
    let table = edge::table(&world.options, world.table_version, false);
    match world.edge.restart(world.now, table, keep_media) {
        Ok(()) => {
            world.drain_gateway();
            world.edge.forget_kept();
        }
        Err(what) => world.fail(what),
    }
}

fn control(world: &mut World, wish: OperatorAction) {
    let control = match wish {
        OperatorAction::Drain => OperatorCommand::Drain { on: true },
        OperatorAction::Resume => OperatorCommand::Drain { on: false },
        OperatorAction::EndAll => OperatorCommand::EndAll,
        OperatorAction::Hangup => {
            let live = world.edge.gateway.calls(world.now).into_iter().find(|call| call.state != "ended");
            match live {
                Some(call) => OperatorCommand::Hangup { sid: call.sid },
                None => return,
            }
        }
    };
    world.edge.gateway.handle_input(world.now, GatewayInput::Control(control));
}
