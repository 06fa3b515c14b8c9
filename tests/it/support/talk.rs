//! Call between a phone and an agent that both belong to the test: audio of the agent, and packets that the phone
//! receives.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::SupportedProtocolVersion;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};
use trunkgate_media::rtp::RtpHeader;

use super::calls::{NUMBER, Phone, is_keep_alive, media_of, next_port, wait_until_bound};
use super::pace::Watch;
use super::sip::to_tag;
use super::tls_proxy::TlsProxy;
use super::{PATIENCE, Process, config, until, with_state};

/// Edge with a single route, to the agent of the test and then possibly to a PBX.
pub(crate) struct Rig {
    pub(crate) edge: Process,
    pub(crate) caller: Phone,
    pub(crate) pbx: Phone,
    door: TcpListener,
    /// URL of the agent.
    url: String,
    connect: &'static str,
}

/// Call that the agent serves.
pub(crate) struct Talk {
    pub(crate) agent: WebSocket<TcpStream>,
    pub(crate) start: Value,
    /// Tag of the edge in the caller's dialog.
    pub(crate) tag: String,
    /// Address for the caller's RTP at the edge.
    pub(crate) near: SocketAddr,
    pub(crate) rtp: UdpSocket,
    /// All packets that the phone has received so far, in order.
    pub(crate) heard: Vec<(RtpHeader, Vec<u8>)>,
    pub(crate) watch: Watch,
}

impl Rig {
    /// Starts an edge with these keys of the agent, and no further target.
    pub(crate) fn new(keys: &str) -> Rig {
        Rig::with(keys, r#""agent:bot""#)
    }

    /// Starts an edge with these targets, which can be `agent:bot` and `trunk:pbx`.
    pub(crate) fn with(keys: &str, connect: &'static str) -> Rig {
        Rig::of(Phone::new("127.0.0.1"), keys, connect)
    }

    /// Starts an edge with these targets and this phone as the caller.
    pub(crate) fn of(caller: Phone, keys: &str, connect: &'static str) -> Rig {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/media", door.local_addr().unwrap());
        Rig::at(caller, (door, url), keys, connect)
    }

    /// Starts an edge whose agent is behind TLS of these versions; the proxy has the connections.
    pub(crate) fn over_tls(versions: &[&'static SupportedProtocolVersion]) -> (Rig, TlsProxy) {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = TlsProxy::new(door.local_addr().unwrap(), versions);
        let url = format!("wss://localhost:{}/media", proxy.address.port());
        let keys = format!("ca = {:?}\n", proxy.ca());
        (Rig::at(Phone::new("127.0.0.1"), (door, url), &keys, r#""agent:bot""#), proxy)
    }

    /// Starts an edge like [`Self::new`] whose calls outlive a crash.
    pub(crate) fn with_state(keys: &str) -> Rig {
        Rig::started(keys, |config| Process::start(&with_state(config)))
    }

    /// Starts an edge like [`Self::new`] whose allocator returns freed memory to the system at once, so that the size
    /// of the process shows what the edge holds.
    pub(crate) fn without_spare_memory(keys: &str) -> Rig {
        Rig::started(keys, |config| Process::start_with(config, &[("MIMALLOC_PURGE_DELAY", "0")]))
    }

    fn at(caller: Phone, (door, url): (TcpListener, String), keys: &str, connect: &'static str) -> Rig {
        Rig::started_at(caller, (door, url), (keys, connect), Process::start)
    }

    fn started(keys: &str, start: impl FnOnce(&str) -> Process) -> Rig {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/media", door.local_addr().unwrap());
        Rig::started_at(Phone::new("127.0.0.1"), (door, url), (keys, r#""agent:bot""#), start)
    }

    fn started_at(
        caller: Phone,
        (door, url): (TcpListener, String),
        (keys, connect): (&str, &'static str),
        start: impl FnOnce(&str) -> Process,
    ) -> Rig {
        let pbx = Phone::new("127.0.0.3");
        let edge = start(&configured([&caller, &pbx], &url, keys, connect));
        Rig { edge, caller, pbx, door, url, connect }
    }

    /// Returns the edge's configuration with other keys of the agent.
    pub(crate) fn configured(&self, keys: &str) -> String {
        configured([&self.caller, &self.pbx], &self.url, keys, self.connect)
    }

    /// Makes a call that offers these formats, which can be PCMU (0), PCMA (8) and telephone-events (101).
    pub(crate) fn call(&self, id: &str, formats: &str) -> Talk {
        self.invite(id, formats);
        let agent = self.connected();
        let (near, tag) = self.answered(id);
        self.talk(agent, near, tag)
    }

    /// Sends the caller's INVITE.
    pub(crate) fn invite(&self, id: &str, formats: &str) {
        let (edge, caller) = (self.edge.address("udp"), &self.caller);
        let events = if formats.contains("101") { "a=rtpmap:101 telephone-event/8000\r\n" } else { "" };
        let media = format!("m=audio {} RTP/AVP {formats}\r\n{events}", caller.rtp_address().port());
        let offer = caller.described(1, &media);
        caller.sip.send(edge, &caller.sip.request_with("INVITE", NUMBER, edge, id, (1, ""), &offer));
    }

    /// Accepts the edge's connection to the agent.
    pub(crate) fn connected(&self) -> WebSocket<TcpStream> {
        loop {
            let stream = self.door.accept().unwrap().0;
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // After a lost connection, the edge first connects without a handshake, and disconnects.
            if let Ok(socket) = accept(stream) {
                return socket;
            }
        }
    }

    /// Receives the caller's 200 and acknowledges it; returns the address for the caller's RTP, and the edge's tag.
    pub(crate) fn answered(&self, id: &str) -> (SocketAddr, String) {
        let (edge, caller) = (self.edge.address("udp"), &self.caller);
        let (ok, _) = caller.sip.receive("SIP/2.0 200");
        let tag = to_tag(&ok).to_owned();
        caller.sip.send(edge, &caller.sip.request_with("ACK", NUMBER, edge, id, (1, &tag), ""));
        let near = media_of(&ok);
        wait_until_bound(next_port(near));
        (near, tag)
    }

    /// Returns the call once the agent's stream has begun.
    pub(crate) fn talk(&self, agent: WebSocket<TcpStream>, near: SocketAddr, tag: String) -> Talk {
        let rtp = self.caller.rtp.try_clone().unwrap();
        let mut talk = Talk { agent, start: Value::Null, tag, near, rtp, heard: vec![], watch: Watch::new() };
        talk.start = talk.next("start");
        talk
    }

    /// Returns the trace of the newest call.
    pub(crate) fn trace(&self) -> String {
        self.edge.get(&format!("/v1/calls/{}/trace.txt", self.edge.sid())).1
    }
}

fn configured([caller, pbx]: [&Phone; 2], url: &str, keys: &str, connect: &str) -> String {
    let trunks = caller.trunk("carrier") + &pbx.trunk("pbx");
    config(&format!(
        "{trunks}[agent.bot]\nurl = \"{url}\"\nextras = true\n{keys}\n\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [{connect}]\n"
    ))
}

impl Talk {
    /// Returns the next message of this kind to the agent.
    pub(crate) fn next(&mut self, event: &str) -> Value {
        self.next_of(&[event])
    }

    /// Returns the next message of one of these kinds to the agent.
    pub(crate) fn next_of(&mut self, events: &[&str]) -> Value {
        loop {
            if let Message::Text(text) = self.agent.read().unwrap() {
                let message: Value = serde_json::from_str(&text).unwrap();
                if events.iter().any(|event| message["event"] == *event) {
                    return message;
                }
            }
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.agent.send(Message::text(text)).unwrap();
    }

    pub(crate) fn say(&mut self, audio: &[u8]) {
        let message = serde_json::json!({"event": "media", "media": {"payload": STANDARD.encode(audio)}});
        self.agent.send(Message::text(message.to_string())).unwrap();
    }

    pub(crate) fn mark(&mut self, name: &str) {
        self.agent.send(Message::text(format!(r#"{{"event":"mark","mark":{{"name":"{name}"}}}}"#))).unwrap();
    }

    pub(crate) fn clear(&mut self) {
        self.agent.send(Message::text(r#"{"event":"clear"}"#)).unwrap();
    }

    /// Reads the packets that the phone has received so far.
    pub(crate) fn take_in(&mut self) {
        self.rtp.set_nonblocking(true).unwrap();
        let mut bytes = [0; 2048];
        while let Ok((len, _)) = self.rtp.recv_from(&mut bytes) {
            if !is_keep_alive(&bytes[..len]) && bytes[1] & 0x7f < 64 {
                self.heard.push((RtpHeader::parse(&bytes[..len]).unwrap(), bytes[12..len].to_vec()));
            }
        }
        self.rtp.set_nonblocking(false).unwrap();
    }

    /// Returns the audio that the caller has received so far, one stream without a gap: from the first sample that is
    /// not silent to the last.
    pub(crate) fn audio(&self) -> Vec<u8> {
        for pair in self.heard.windows(2) {
            let [(before, _), (after, payload)] = pair else { panic!() };
            assert_eq!((after.sequence, after.ssrc), (before.sequence.wrapping_add(1), before.ssrc));
            // After a stall of the edge, its stream continues at the current time.
            let step = after.timestamp.wrapping_sub(before.timestamp);
            assert!(step == 160 || step.is_multiple_of(160) && !self.watch.is_in_time(), "a step of {step}");
            assert_eq!(payload.len(), 160);
        }
        let all: Vec<u8> = self.heard.iter().flat_map(|(_, payload)| payload.iter().copied()).collect();
        let is_heard = |code: &u8| *code != 0xff;
        let begin = all.iter().position(is_heard).unwrap_or(all.len());
        let end = all.iter().rposition(is_heard).map_or(begin, |last| last + 1);
        all[begin..end].to_vec()
    }

    /// Receives packets until the caller has heard audio and then silence, for a number of packets.
    pub(crate) fn until_silence(&mut self) {
        until("silence comes", || {
            self.take_in();
            let tail = self.heard.len().saturating_sub(4);
            let silent = self.heard[tail..].iter().all(|(_, payload)| payload.iter().all(|code| *code == 0xff));
            (silent && !self.audio().is_empty()).then_some(())
        });
    }
}

/// Returns audio that has distinct sections and no silence.
pub(crate) fn speech(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| 1 + ((n / 7 + n * n / 251) % 250) as u8).collect()
}
