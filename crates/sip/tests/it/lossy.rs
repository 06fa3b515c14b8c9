//! Two endpoints on virtual time, over a network that loses, duplicates and reorders packets. Under random actions by
//! both upper layers nothing panics, every request ends, and no state is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_sip::{
    ClientId, ConnectionId, DialogId, EndpointConfig, EndpointCounts, EndpointEvent, EndpointInput, EndpointOutput,
    Flow, InviteRequest, ListenerId, LocalAddress, MessageBody, Method, ResponseSpec, ServerId, SipEndpoint,
    SipMessage, SipPartyId, Transport,
};

const ADDRESSES: [&str; 2] = ["192.0.2.1:5060", "192.0.2.2:5060"];

/// One of the two endpoints, with the state of its upper layer.
struct Side {
    endpoint: SipEndpoint,
    /// Received INVITEs without final response, initial and in-dialog ones.
    ringing: Vec<ServerId>,
    /// Outgoing requests that have not ended.
    open: BTreeSet<ClientId>,
    /// Outgoing INVITEs, ended or not.
    invites: Vec<ClientId>,
    dialogs: BTreeSet<DialogId>,
}

/// Returns a configuration with reliable provisional responses.
fn config(edge: u32) -> EndpointConfig {
    let config = crate::peer::config(edge);
    let methods = [config.methods.as_slice(), &[Method::Prack]].concat();
    EndpointConfig { methods, extensions: vec!["100rel".into()], ..config }
}

struct World {
    now: Instant,
    rng: ChaCha12Rng,
    transport: Transport,
    sides: [Side; 2],
    /// Packets in transit by arrival time; a number distinguishes those of the same instant.
    network: BTreeMap<(Instant, u64), (usize, Bytes)>,
    sent: u64,
    ending: bool,
    answered: u32,
    acknowledged: u32,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let transport = if rng.random_bool(0.7) { Transport::Udp } else { Transport::Tcp };
        let side = |n: u32| Side {
            endpoint: SipEndpoint::new(config(n + 1), [n as u8; 32]),
            ringing: Vec::new(),
            open: BTreeSet::new(),
            invites: Vec::new(),
            dialogs: BTreeSet::new(),
        };
        let sides = [side(0), side(1)];
        let (network, now) = (BTreeMap::new(), crate::peer::start());
        World { now, rng, transport, sides, network, sent: 0, ending: false, answered: 0, acknowledged: 0 }
    }

    fn flow(&self, side: usize) -> Flow {
        let connection = self.transport.is_reliable().then_some(ConnectionId(1));
        let remote = ADDRESSES[1 - side].parse().unwrap();
        Flow { transport: self.transport, listener: ListenerId(0), remote, connection }
    }

    fn local(side: usize) -> LocalAddress {
        let address = crate::peer::address(ADDRESSES[side]);
        LocalAddress { ip: address.ip(), port: address.port() }
    }

    fn carry(&mut self, from: usize, bytes: Bytes) {
        let reliable = self.transport.is_reliable();
        let copies = match self.rng.random_range(0..100) {
            _ if reliable => 1,
            0..20 => 0,
            20..30 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let slow = !reliable && self.rng.random_bool(0.05);
            let delay = if slow { self.rng.random_range(0..3_000) } else { self.rng.random_range(5..60) };
            let delay = if reliable { 20 } else { delay };
            self.sent += 1;
            self.network.insert((self.now + Duration::from_millis(delay), self.sent), (1 - from, bytes.clone()));
        }
    }

    fn drain(&mut self, side: usize) {
        while let Some(output) = self.sides[side].endpoint.poll_output() {
            match output {
                EndpointOutput::Transmit(transmit) => {
                    assert_eq!(transmit.flow.remote, crate::peer::address(ADDRESSES[1 - side]));
                    let what = transmit.what;
                    if let Some(id) = what.client.filter(|_| what.method == Method::Prack && !what.again) {
                        self.sides[side].open.insert(id);
                    }
                    self.carry(side, transmit.bytes);
                }
                EndpointOutput::Event(event) => self.react(side, event),
            }
        }
        self.sides[side].endpoint.check_invariants().unwrap();
    }

    fn react(&mut self, side: usize, event: EndpointEvent) {
        match event {
            EndpointEvent::Invite { id, .. } => self.sides[side].ringing.push(id),
            EndpointEvent::Request { id, dialog, method, .. } => match (id, dialog) {
                (None, Some(dialog)) => {
                    self.sides[side].dialogs.remove(&dialog);
                }
                (Some(id), _) if method == Method::Invite => self.sides[side].ringing.push(id),
                (Some(id), _) => {
                    self.sides[side].endpoint.respond(
                        self.now,
                        id,
                        ResponseSpec { code: 200, ..ResponseSpec::default() },
                    );
                }
                (None, None) => panic!("neither a transaction nor a dialog"),
            },
            EndpointEvent::Canceled { id, .. } | EndpointEvent::Expired { id } => {
                self.sides[side].ringing.retain(|ringing| *ringing != id)
            }
            EndpointEvent::Prack { .. } => self.acknowledged += 1,
            EndpointEvent::PrackMissing { id, dialog } => {
                self.sides[side].ringing.retain(|ringing| *ringing != id);
                self.sides[side].dialogs.retain(|known| Some(*known) != dialog);
            }
            EndpointEvent::Response { id, dialog, code, .. } => self.on_response(side, id, dialog, code),
            EndpointEvent::TimedOut { id } | EndpointEvent::TransportFailed { id } => self.close(side, id),
            EndpointEvent::AckMissing { dialog } => self.hang_up(side, dialog),
            EndpointEvent::Ack { .. }
            | EndpointEvent::Trying { .. }
            | EndpointEvent::Challenged { .. }
            | EndpointEvent::WrongCredentials { .. } => {}
            // Both sides answer before they hang up.
            EndpointEvent::EarlyBye { .. } => panic!("no side hangs up early"),
            EndpointEvent::Refused { .. } | EndpointEvent::Dropped(_) => {}
        }
    }

    fn on_response(&mut self, side: usize, id: ClientId, dialog: Option<DialogId>, code: u16) {
        if code < 200 {
            return;
        }
        let invite = self.sides[side].invites.contains(&id);
        self.close(side, id);
        let Some(dialog) = dialog.filter(|_| invite && code < 300) else { return };
        self.answered += 1;
        self.sides[side].dialogs.insert(dialog);
        if self.rng.random_bool(0.9) {
            self.sides[side].endpoint.ack(self.now, dialog, None);
        }
        if self.ending || self.rng.random_bool(0.1) {
            self.hang_up(side, dialog);
        }
    }

    /// Records the end of an outgoing request, and checks that each ends only once, except for further 2xx to an
    /// INVITE.
    fn close(&mut self, side: usize, id: ClientId) {
        let invite = self.sides[side].invites.contains(&id);
        assert!(self.sides[side].open.remove(&id) || invite, "{id:?} ended twice");
    }

    fn hang_up(&mut self, side: usize, dialog: DialogId) {
        self.sides[side].dialogs.remove(&dialog);
        match self.sides[side].endpoint.request(self.now, dialog, Method::Bye, vec![], None) {
            Some(id) => {
                self.sides[side].open.insert(id);
            }
            // The 2xx waits for a PRACK.
            None if self.sides[side].endpoint.dialog_flow(dialog).is_some() => {
                self.sides[side].dialogs.insert(dialog);
            }
            None => {}
        }
    }

    /// Performs a random action of one upper layer.
    fn act(&mut self) {
        let side = self.rng.random_range(0..2);
        match self.rng.random_range(0..100) {
            0..25 => self.invite(side),
            25..60 => {
                let code = [180, 183, 200, 200, 200, 486, 302][self.rng.random_range(0..7)];
                self.answer(side, code);
            }
            60..72 => self.withdraw(side),
            72..85 => {
                if let Some(dialog) = self.any_dialog(side) {
                    self.hang_up(side, dialog);
                }
            }
            85..92 => self.within(side, Method::Invite),
            92..95 => self.within(side, Method::Update),
            _ => self.within(side, Method::Options),
        }
        self.drain(side);
    }

    fn invite(&mut self, side: usize) {
        let invite = InviteRequest {
            flow: Flow { connection: None, ..self.flow(side) },
            local: World::local(side),
            party: SipPartyId(1),
            uri: format!("sip:b@{}", ADDRESSES[1 - side]),
            from: format!("<sip:a@{}>", ADDRESSES[side]),
            to: format!("<sip:b@{}>", ADDRESSES[1 - side]),
            oversize: None,
            contact_user: String::new(),
            max_forwards: 70,
            headers: vec![],
            body: Some(MessageBody::sdp("v=0\r\n")),
        };
        let id = self.sides[side].endpoint.invite(self.now, invite);
        self.sides[side].open.insert(id);
        self.sides[side].invites.push(id);
    }

    fn answer(&mut self, side: usize, code: u16) {
        let ringing = self.sides[side].ringing.len();
        if ringing == 0 {
            return;
        }
        let at = self.rng.random_range(0..ringing);
        let id = self.sides[side].ringing[at];
        let reliable = code == 183 || self.rng.random_bool(0.2);
        let body = reliable.then(|| MessageBody::sdp("v=0\r\n"));
        let answer = ResponseSpec { code, reliable, body, ..ResponseSpec::default() };
        let dialog = self.sides[side].endpoint.respond(self.now, id, answer);
        if code >= 200 {
            self.sides[side].ringing.remove(at);
        }
        if let Some(dialog) = dialog.filter(|_| (200..300).contains(&code)) {
            self.sides[side].dialogs.insert(dialog);
        }
    }

    fn withdraw(&mut self, side: usize) {
        let invites = &self.sides[side].invites;
        if invites.is_empty() {
            return;
        }
        let id = invites[self.rng.random_range(0..invites.len())];
        if self.rng.random_bool(0.5) {
            self.sides[side].endpoint.cancel(self.now, id);
        } else {
            self.sides[side].endpoint.abandon(self.now, id);
            self.sides[side].open.remove(&id);
        }
    }

    fn within(&mut self, side: usize, method: Method) {
        let Some(dialog) = self.any_dialog(side) else { return };
        let body = (method == Method::Update && self.rng.random_bool(0.5)).then(|| MessageBody::sdp("v=0\r\n"));
        if let Some(id) = self.sides[side].endpoint.request(self.now, dialog, method, vec![], body) {
            self.sides[side].open.insert(id);
            if method == Method::Invite {
                self.sides[side].invites.push(id);
            }
        }
    }

    fn any_dialog(&mut self, side: usize) -> Option<DialogId> {
        let count = self.sides[side].dialogs.len();
        if count == 0 { None } else { self.sides[side].dialogs.iter().nth(self.rng.random_range(0..count)).copied() }
    }

    /// Runs until `end`: delivers packets and fires timers in the order of their times.
    fn run(&mut self, end: Instant) {
        loop {
            let packet = self.network.first_key_value().map(|((at, _), _)| *at);
            let timers = [0, 1].map(|n: usize| self.sides[n].endpoint.poll_timeout().map(|(at, _)| at));
            let Some(next) = packet.into_iter().chain(timers.into_iter().flatten()).min().filter(|at| *at <= end)
            else {
                break;
            };
            self.now = self.now.max(next);
            if packet == Some(next) {
                let (_, (to, bytes)) = self.network.pop_first().unwrap();
                let message = SipMessage::parse(bytes).unwrap();
                assert_eq!(message.defect(), None);
                let (flow, local, party) = (self.flow(to), World::local(to), SipPartyId(1));
                self.sides[to].endpoint.handle_input(self.now, EndpointInput::Received { flow, local, party, message });
                self.drain(to);
            } else {
                for side in [0, 1] {
                    self.sides[side].endpoint.handle_timeout(self.now);
                    self.drain(side);
                }
            }
        }
        self.now = end;
    }

    /// Ends all calls and requests of both sides.
    fn end(&mut self) {
        self.ending = true;
        for side in [0, 1] {
            while !self.sides[side].ringing.is_empty() {
                self.answer(side, 480);
            }
            for id in self.sides[side].invites.clone() {
                self.sides[side].endpoint.cancel(self.now, id);
            }
            for dialog in self.sides[side].dialogs.clone() {
                self.hang_up(side, dialog);
            }
            self.drain(side);
        }
    }
}

fn play(seed: u64) -> (u32, u32) {
    let mut world = World::new(seed);
    for _ in 0..60 {
        world.act();
        let pause = if world.rng.random_bool(0.1) { 8_000 } else { world.rng.random_range(0..400) };
        world.run(world.now + Duration::from_millis(pause));
    }
    // Calls that ring or are answered late end in the next round.
    for _ in 0..4 {
        world.end();
        world.run(world.now + Duration::from_secs(70));
    }
    for (n, side) in world.sides.iter().enumerate() {
        assert_eq!(side.endpoint.counts(), EndpointCounts::default(), "seed {seed}, side {n}");
        assert_eq!(side.endpoint.poll_timeout(), None, "seed {seed}, side {n}");
        assert!(side.open.is_empty(), "seed {seed}, side {n}: the end of a request was not reported");
    }
    (world.answered, world.acknowledged)
}

#[test]
fn nothing_is_left_whatever_happens_in_whatever_order() {
    let sum = |(answered, acknowledged): (u32, u32), seed| {
        let played = play(seed);
        (answered + played.0, acknowledged + played.1)
    };
    let (answered, acknowledged) = (0..200).fold((0, 0), sum);
    assert!(answered > 600 && acknowledged > 200, "the calls must come about: {answered}, {acknowledged}");
}
