//! Heap memory for each held call, measured by the allocator over calls that are set up, carry audio and are held, to
//! detect growth. Sockets and the worker's slots for sockets are excluded; `cargo xtask bench sip` measures those.

#![allow(unsafe_code, reason = "a global allocator cannot be written without; this one only counts")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "virtual time begins somewhere")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use trunkgate_call::{Addressing, Gateway, GatewayConfig, GatewayInput, GatewayOutput, Interfaces, ListenerSpec};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{EndId, LatchMode, MediaCommand, MediaEvent, MediaId, PacketBuf, Session};
use trunkgate_route::{
    NumberingPlan, Pattern, Peer, Route, RoutingTable, TableDefinition, TargetSpec, Transport as PeerTransport, Trunk,
};
use trunkgate_sip::{Flow, ListenerId, Transport};

/// Number of held calls.
const CALLS: u64 = 2_000;
/// Maximum bytes for a call while its INVITE transactions (32 s) and unpacked messages (1 s) are in memory.
const FRESH_BYTES: u64 = 19_712;
/// Maximum bytes for a call a minute after its set-up.
const HELD_BYTES: u64 = 16_820;

struct Counting;

thread_local! {
    static HEAP: Cell<u64> = const { Cell::new(0) };
}

/// Returns the heap memory that a block takes: glibc adds 8 bytes and rounds up to 16.
const fn taken(size: usize) -> u64 {
    let size = (size as u64 + 8).next_multiple_of(16);
    if size < 32 { 32 } else { size }
}

fn count(grown: u64, shrunk: u64) {
    HEAP.with(|heap| heap.set(heap.get().wrapping_add(grown).wrapping_sub(shrunk)));
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(taken(layout.size()), 0);
        // SAFETY: as the caller promised us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, taken(layout.size()));
        // SAFETY: as the caller promised us.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(taken(size), taken(layout.size()));
        // SAFETY: as the caller promised us.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn heap() -> u64 {
    HEAP.with(Cell::get)
}

const CARRIER: &str = "198.51.100.7:5060";
const PBX: &str = "10.0.0.20:5060";
const EDGE: &str = "10.0.0.5";

/// Edge without a network, and the media sessions of its calls.
struct Rig {
    gateway: Gateway,
    sessions: Vec<Session>,
    sent: VecDeque<(SocketAddr, String)>,
    packet: PacketBuf,
    now: Instant,
}

fn trunk(name: &str, address: &str) -> Trunk {
    let address: SocketAddr = address.parse().unwrap();
    Trunk { peers: vec![Peer::at(address.ip(), Some(address.port()), PeerTransport::Udp)], ..Trunk::named(name) }
}

impl Rig {
    fn new() -> Rig {
        let route = Route {
            to: vec![Pattern::Prefix("+1415".into())],
            ..Route::named("main", vec![TargetSpec::Trunk { name: "pbx".into(), number: None, weight: None }])
        };
        let trunks = vec![trunk("carrier", CARRIER), trunk("pbx", PBX)];
        let numbers = NumberingPlan::new("US").unwrap();
        let table =
            Arc::new(RoutingTable::new(TableDefinition { numbers, trunks, agents: vec![], routes: vec![route] }));
        let now = Instant::now();
        let config = GatewayConfig {
            name: "edge".into(),
            epoch: (now, UNIX_EPOCH + Duration::from_secs(1_800_000_000)),
            seed: [7; 32],
            max_calls: 10_000,
            calls_per_second: 0,
            sip_message_bytes: 65_535,
            media_ports: (16_384, 32_767),
            latch: LatchMode::Strict,
            idle_timeout: Duration::ZERO,
            full_numbers: false,
            account_sid: format!("AC{:032x}", 0),
        };
        let addressing = Addressing {
            listeners: vec![ListenerSpec {
                id: ListenerId(0),
                name: "udp".into(),
                transport: Transport::Udp,
                bound: format!("{EDGE}:5060").parse().unwrap(),
                public_addresses: vec![],
            }],
            public_addresses: vec![],
            local_networks: vec![],
            interfaces: Interfaces { default_v4: Some(EDGE.parse().unwrap()), ..Interfaces::default() },
            media_bind: vec![EDGE.parse().unwrap()],
        };
        let gateway = Gateway::new(config, table, addressing);
        Rig { gateway, sessions: vec![], sent: VecDeque::new(), packet: PacketBuf::new(), now }
    }

    fn receive(&mut self, from: &str, text: String) {
        let remote = from.parse().unwrap();
        let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
        // A datagram also is a copy of exactly the message's length.
        let bytes = bytes::Bytes::copy_from_slice(text.as_bytes());
        self.gateway.handle_input(self.now, GatewayInput::Received { flow, bytes });
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.gateway.poll_output() {
            match output {
                GatewayOutput::Transmit(transmit) => {
                    let text = String::from_utf8(transmit.bytes.to_vec()).unwrap();
                    self.sent.push_back((transmit.flow.remote, text));
                }
                GatewayOutput::Media { id, command } => self.media(id, command),
                GatewayOutput::Resolve { .. } | GatewayOutput::Pong { .. } | GatewayOutput::Registered(_) => {
                    panic!("not requested")
                }
                GatewayOutput::Began(_)
                | GatewayOutput::Report(_)
                | GatewayOutput::Log(_)
                | GatewayOutput::Counted(_)
                | GatewayOutput::ConferenceEnded(_)
                | GatewayOutput::Sms(_)
                | GatewayOutput::Changed(_) => {}
                GatewayOutput::Captured(_)
                | GatewayOutput::Sampled(_)
                | GatewayOutput::App(_)
                | GatewayOutput::AppGivenUp(_)
                | GatewayOutput::Recording(_)
                | GatewayOutput::Conference(_)
                | GatewayOutput::Callback(_) => panic!("not requested"),
            }
        }
    }

    fn media(&mut self, id: MediaId, command: MediaCommand) {
        let at = usize::try_from(id.0).unwrap();
        if self.sessions.len() == at {
            self.sessions.push(Session::new(id, 0));
        }
        let bound =
            if let MediaCommand::AddEnd { end, .. } = &command { Some(MediaEvent::Bound { end: *end }) } else { None };
        self.sessions[at].handle_input(self.now, command);
        if let Some(event) = bound {
            self.gateway.handle_input(self.now, GatewayInput::Media { id, event });
        }
        self.tell(at);
    }

    fn tell(&mut self, at: usize) {
        let id = self.sessions[at].id();
        while let Some(event) = self.sessions[at].poll_output() {
            self.gateway.handle_input(self.now, GatewayInput::Media { id, event });
        }
    }

    fn take(&mut self, to: &str, begins: &str) -> String {
        let to: SocketAddr = to.parse().unwrap();
        let at = self.sent.iter().position(|(at, text)| *at == to && text.starts_with(begins));
        let at = at.unwrap_or_else(|| panic!("no {begins} to {to} in {:?}", self.sent));
        let (_, text) = self.sent.remove(at).unwrap();
        self.sent.clear();
        text
    }

    /// Sets up a call, answers it and sends audio both ways.
    fn call(&mut self, n: u64) {
        self.now += Duration::from_millis(5);
        self.receive(CARRIER, invite(n));
        let invite = self.take(PBX, "INVITE");
        for (code, body) in [("100 Trying", None), ("180 Ringing", None), ("200 OK", Some(sdp("10.0.0.20", 30_000, n)))]
        {
            self.receive(PBX, answer(&invite, code, body));
        }
        let ok = self.take(CARRIER, "SIP/2.0 200");
        self.receive(CARRIER, acknowledge(n, &ok));
        self.sent.clear();
        let at = self.sessions.len() - 1;
        (0..10).for_each(|sequence| self.speak(at, sequence));
        self.tell(at);
        self.drain();
    }

    /// Sends a packet from each side of a call.
    fn speak(&mut self, at: usize, sequence: u16) {
        for (end, far) in [(0, "198.51.100.7:40000"), (1, "10.0.0.20:30000")] {
            let header =
                RtpHeader { marker: false, payload_type: 0, sequence, timestamp: 0, ssrc: end + 1, payload: 0..0 };
            let mut image = Vec::new();
            header.build(&[0xff; 160], &mut image);
            self.packet.receive_area()[..image.len()].copy_from_slice(&image);
            self.packet.set_len(image.len());
            let (end, far) = (EndId(end as u16), far.parse().unwrap());
            let went = self.sessions[at].handle_packet(self.now, end, false, far, &mut self.packet);
            assert!(went.is_some(), "packet {sequence} of session {at} is lost");
        }
    }

    /// Advances the clock second by second, with a packet from each side of every call.
    fn pass(&mut self, seconds: u32) {
        for second in 0..seconds {
            self.now += Duration::from_secs(1);
            self.gateway.handle_timeout(self.now);
            self.drain();
            self.sent.clear();
            for at in 0..self.sessions.len() {
                self.speak(at, 10 + second as u16);
                self.sessions[at].handle_timeout(self.now);
                while self.sessions[at].poll_packet(&mut self.packet).is_some() {}
                self.tell(at);
            }
        }
    }
}

fn sdp(ip: &str, port: u16, n: u64) -> String {
    format!(
        "v=0\r\no=- {n} {n} IN IP4 {ip}\r\ns=session\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 8 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
         a=ptime:20\r\na=sendrecv\r\n"
    )
}

fn with_body(mut head: String, body: Option<String>) -> String {
    if body.is_some() {
        head.push_str("Content-Type: application/sdp\r\n");
    }
    let body = body.unwrap_or_default();
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn of_caller(method: &str, n: u64, to_tag: &str) -> String {
    format!(
        "{method} sip:+14155550100@{EDGE} SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{method}-{n:08x};rport\r\n\
         Max-Forwards: 70\r\nFrom: \"Alice\" <sip:+14155551234@198.51.100.7>;tag=caller-{n:08x}\r\n\
         To: <sip:+14155550100@{EDGE}>{to_tag}\r\nCall-ID: {n:032x}@198.51.100.7\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:+14155551234@{CARRIER}>\r\nUser-Agent: Carrier 1.0\r\n"
    )
}

fn invite(n: u64) -> String {
    let head = of_caller("INVITE", n, "");
    let more = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\nSupported: timer\r\n\
                P-Asserted-Identity: <sip:+14155551234@198.51.100.7>\r\n";
    with_body(head + more, Some(sdp("198.51.100.7", 40_000, n)))
}

fn acknowledge(n: u64, ok: &str) -> String {
    let tag = header(ok, "To").split(";tag=").nth(1).unwrap();
    with_body(of_caller("ACK", n, &format!(";tag={tag}")), None)
}

fn header<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap()
}

fn answer(request: &str, status: &str, body: Option<String>) -> String {
    let [via, from, to, call_id, cseq] = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| header(request, name));
    let tag = if status.starts_with("100") { String::new() } else { format!(";tag={}", &call_id[..8]) };
    let head = format!(
        "SIP/2.0 {status}\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}{tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n\
         Contact: <sip:+14155550100@{PBX}>\r\nServer: PBX 1.0\r\n"
    );
    with_body(head, body)
}

#[test]
fn a_held_call_costs_no_more_than_this() {
    let mut rig = Rig::new();
    rig.sessions.reserve_exact(CALLS as usize + 1);
    rig.call(0);
    let before = heap();
    for n in 1..=CALLS {
        rig.call(n);
    }
    let sessions = size_of::<Session>() as u64;
    let fresh = (heap() - before) / CALLS + sessions;
    rig.pass(60);
    assert_eq!(rig.gateway.live_calls() as u64, CALLS + 1);
    let held = (heap() - before) / CALLS + sessions;
    println!("{fresh} bytes a call just answered, {held} bytes a call held for a minute");
    assert!(fresh <= FRESH_BYTES && held <= HELD_BYTES, "{fresh} bytes just answered, {held} a minute later");
    // This also shows that the allocator counts.
    assert!(held > sessions && fresh > held);
}
