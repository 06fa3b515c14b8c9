//! Session between two remote parties, A and B, fed packet by packet, and the agents and players that join it.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; a test may unwrap")]
#![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::agent::{Settings, Transmit as AgentTransmit};
use trunkgate_media::rtp::Rtp;
use trunkgate_media::{
    AgentInput, AgentQueue, AgentSpec, Coding, Command, DropReason, EndCounters, EndId, EndSpec, Event, LegTurns,
    MediaId, PacketBuf, RemoteSpec, Session, SocketSpec, Transmit, UrlOrigin, WireSpec, WorkerCounters,
};

pub(crate) const A: EndId = EndId(0);
pub(crate) const B: EndId = EndId(1);
pub(crate) const C: EndId = EndId(2);
/// Announced addresses of the remote parties.
pub(crate) const A_RTP: &str = "192.0.2.1:4000";
pub(crate) const A_RTCP: &str = "192.0.2.1:4001";
pub(crate) const B_RTP: &str = "198.51.100.1:6000";
pub(crate) const B_RTCP: &str = "198.51.100.1:6001";
pub(crate) const C_RTP: &str = "198.51.100.9:8000";
pub(crate) const STRANGER: &str = "203.0.113.66:4000";

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Returns a remote party that sends and receives.
pub(crate) fn remote(rtp: &str) -> RemoteSpec {
    let rtp = addr(rtp);
    RemoteSpec {
        rtp: Some(rtp),
        rtcp: Some(SocketAddr::new(rtp.ip(), rtp.port() + 1)),
        expected: vec![rtp.ip()],
        expected_networks: vec![],
        may_send: true,
        may_receive: true,
        relatch: true,
        watch_idle: true,
        ..RemoteSpec::default()
    }
}

/// PCMU as it is, telephone-event renumbered.
pub(crate) fn wire() -> WireSpec {
    WireSpec { payloads: vec![(0, 0), (101, 96)], clocks: vec![], ..WireSpec::default() }
}

pub(crate) fn header(sequence: u16) -> Rtp {
    Rtp {
        marker: false,
        payload_type: 0,
        sequence,
        timestamp: u32::from(sequence) * 160,
        ssrc: 0xaaaa_0001,
        payload: 0..0,
    }
}

pub(crate) fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    header(sequence).build(&[sequence as u8; 160], &mut packet);
    packet
}

/// An empty receiver report.
pub(crate) fn rtcp() -> Vec<u8> {
    vec![0x80, 201, 0, 1, 0, 0, 0, 7]
}

/// Session with its counters.
pub(crate) struct Bench {
    pub(crate) now: Instant,
    /// Waiting time of fed packets in the socket.
    pub(crate) waited: Duration,
    pub(crate) session: Session,
    pub(crate) worker: Arc<WorkerCounters>,
    pub(crate) counters: Vec<Arc<EndCounters>>,
    /// RTCP that the session made, in order.
    pub(crate) reports: Vec<Made>,
    /// Gauges of the agent added last.
    pub(crate) queue: Arc<AgentQueue>,
    /// Response times of the agent added last.
    pub(crate) turns: Arc<LegTurns>,
}

impl Bench {
    /// Ends A, B and C; C only bound.
    pub(crate) fn unconnected() -> Bench {
        let mut session = Session::new(MediaId(1), 60_000);
        let worker = Arc::new(WorkerCounters::default());
        session.count_in(worker.clone());
        let mut bench = Bench {
            now: Instant::now(),
            waited: Duration::ZERO,
            session,
            worker,
            counters: vec![],
            reports: vec![],
            queue: Arc::default(),
            turns: Arc::default(),
        };
        for end in [A, B, C] {
            let counters = Arc::new(EndCounters::default());
            bench.counters.push(counters.clone());
            let bind = SocketAddr::from(([127, 0, 0, 1], 16_384 + end.0 * 2));
            bench.command(Command::AddEnd { end, spec: EndSpec { bind, counters } });
        }
        bench
    }

    /// A and B wired both ways.
    pub(crate) fn connected() -> Bench {
        let mut bench = Bench::unconnected();
        bench.set_remote(A, remote(A_RTP));
        bench.set_remote(B, remote(B_RTP));
        bench.wire(A, B);
        bench.wire(B, A);
        bench
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.session.handle_input(self.now, command);
    }

    pub(crate) fn set_remote(&mut self, end: EndId, remote: RemoteSpec) {
        self.command(Command::SetRemote { end, remote });
    }

    pub(crate) fn wire(&mut self, from: EndId, to: EndId) {
        self.command(Command::Wire { from, to, wire: wire() });
    }

    pub(crate) fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// Feeds one datagram; returns its destination and bytes.
    pub(crate) fn feed(
        &mut self,
        end: EndId,
        is_rtcp: bool,
        source: &str,
        bytes: &[u8],
    ) -> Option<(Transmit, Vec<u8>)> {
        let mut packet = PacketBuf::new();
        packet.receive_area()[..bytes.len()].copy_from_slice(bytes);
        packet.set_len(bytes.len());
        packet.set_waited(self.waited);
        let transmit = self.session.handle_packet(self.now, end, is_rtcp, addr(source), &mut packet)?;
        Some((transmit, packet.data().to_vec()))
    }

    /// Feeds one RTP packet; returns its destination.
    pub(crate) fn rtp(&mut self, end: EndId, source: &str, sequence: u16) -> Option<SocketAddr> {
        self.feed(end, false, source, &rtp(sequence)).map(|(transmit, _)| transmit.to)
    }

    /// Feeds one RTCP packet; returns its destination.
    pub(crate) fn rtcp(&mut self, end: EndId, source: &str) -> Option<SocketAddr> {
        self.feed(end, true, source, &rtcp()).map(|(transmit, _)| transmit.to)
    }

    /// Adds an agent before its socket is open.
    pub(crate) fn add_agent(&mut self, end: EndId, settings: Settings) -> Arc<EndCounters> {
        self.add_fading_agent(end, settings, Duration::ZERO)
    }

    /// Adds an agent with a fade-out time for `clear`.
    pub(crate) fn add_fading_agent(
        &mut self,
        end: EndId,
        settings: Settings,
        clear_fade: Duration,
    ) -> Arc<EndCounters> {
        let counters = Arc::new(EndCounters::default());
        let socket = SocketSpec {
            origin: UrlOrigin::Configuration,
            url: "wss://agent.example/media".into(),
            auth_token: None,
            ca: None,
            plain_networks: vec![],
            traceparent: None,
            bearer: None,
            sends_query: false,
        };
        (self.queue, self.turns) = (Arc::default(), Arc::default());
        let (counted, queue, turns) = (counters.clone(), self.queue.clone(), Some(self.turns.clone()));
        let spec = AgentSpec { settings, socket, counters: counted, queue, turns, clear_fade, raw: None };
        self.command(Command::AddAgent { end, spec: Arc::new(spec) });
        counters
    }

    pub(crate) fn agent(&mut self, end: EndId, input: AgentInput<'_>) {
        self.session.handle_agent(self.now, end, input);
    }

    pub(crate) fn say(&mut self, end: EndId, text: &str) {
        self.agent(end, AgentInput::Text(text));
    }

    /// An agent's audio: a frame for each of `codes`.
    pub(crate) fn say_audio(&mut self, end: EndId, codes: &[u8]) {
        self.say(end, &media(codes));
    }

    /// Returns the messages for an agent's socket.
    pub(crate) fn written(&mut self, end: EndId) -> Vec<serde_json::Value> {
        let texts = std::iter::from_fn(|| self.session.poll_agent(end));
        let text = |transmit| match transmit {
            AgentTransmit::Text(text) => Some(serde_json::from_slice(&text).unwrap()),
            AgentTransmit::Binary(_) | AgentTransmit::Ping | AgentTransmit::Close(_) => None,
        };
        texts.filter_map(text).collect()
    }

    /// The clock runs on: the RTP packets that the session makes meanwhile, with the time of each.
    pub(crate) fn run(&mut self, ms: u64) -> Vec<Made> {
        self.run_until(self.now + Duration::from_millis(ms))
    }

    /// Advances the clock to `until`; returns the RTP packets generated meanwhile.
    pub(crate) fn run_until(&mut self, until: Instant) -> Vec<Made> {
        let mut made = Vec::new();
        let mut packet = PacketBuf::new();
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            while let Some(transmit) = self.session.poll_packet(&mut packet) {
                let kind = if transmit.rtcp { &mut self.reports } else { &mut made };
                kind.push(Made { at: self.now, transmit, bytes: packet.data().to_vec() });
            }
        }
        self.now = until;
        made
    }

    /// Advances the clock without processing, and then processes everything due.
    pub(crate) fn stand_still(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        while self.session.poll_timeout().is_some_and(|due| due <= self.now) {
            self.session.handle_timeout(self.now);
        }
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    pub(crate) fn dropped(&self, end: EndId, reason: DropReason) -> u64 {
        let at = self.counters[usize::from(end.0)].dropped.of(reason);
        assert!(self.worker.dropped[reason as usize].get() >= at);
        at
    }
}

/// A packet that the session made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) at: Instant,
    pub(crate) transmit: Transmit,
    pub(crate) bytes: Vec<u8>,
}

impl Made {
    pub(crate) fn rtp(&self) -> Rtp {
        Rtp::parse(&self.bytes).unwrap()
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[12..]
    }
}

pub(crate) const ULAW: WireFrom = WireFrom { payload: 0, coding: Coding::Pcmu };
pub(crate) const ALAW: WireFrom = WireFrom { payload: 8, coding: Coding::Pcma };

/// The RTP end's audio on a wire to or from an agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WireFrom {
    pub(crate) payload: u8,
    pub(crate) coding: Coding,
}

impl WireFrom {
    pub(crate) fn spec(self) -> WireSpec {
        WireSpec {
            payloads: vec![(self.payload, self.payload)],
            coding: self.coding,
            keys: Some(101),
            ..WireSpec::default()
        }
    }
}

/// A `media` message: a frame for each of `codes`.
pub(crate) fn media(codes: &[u8]) -> String {
    let audio: Vec<u8> = codes.iter().flat_map(|code| [*code; 160]).collect();
    media_of(&audio)
}

/// A `media` message with these bytes.
pub(crate) fn media_of(audio: &[u8]) -> String {
    format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, base64(audio))
}

pub(crate) fn mark(name: &str) -> String {
    format!(r#"{{"event":"mark","mark":{{"name":"{name}"}}}}"#)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes as Base64 without padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        text.extend((0..=chunk.len()).map(|n| char::from(ALPHABET[(word >> (18 - 6 * n)) as usize & 63])));
    }
    text
}

/// The audio in a `media` message.
pub(crate) fn audio(message: &serde_json::Value) -> Vec<u8> {
    let text = message["media"]["payload"].as_str().unwrap().trim_end_matches('=');
    let bits = text.bytes().map(|c| ALPHABET.iter().position(|each| *each == c).unwrap() as u32);
    let mut bytes = Vec::new();
    let (mut word, mut have) = (0u32, 0);
    for six in bits {
        word = word << 6 | six;
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push((word >> have) as u8);
        }
    }
    bytes
}
