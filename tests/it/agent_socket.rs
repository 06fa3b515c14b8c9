//! Agents over real sockets: audio in both directions, and each kind of loss, after which the call continues.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::support::closed_address;
use crate::support::pace::Pace;
use crate::worker::agent::*;
use crate::worker::rig::*;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept, accept_hdr};
use trunkgate_media::agent::{SIGNATURE_HEADER, StreamLoss, StreamSettings, TrackSet, sign};
use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{
    AgentEvent, EndId, MediaCommand, MediaEvent, MediaId, PayloadCodec, PlayerSound, SocketSpec, TapSpec,
};

const ID: MediaId = MediaId(0);

/// Returns a call with its caller's side, and an agent to which the edge is connecting.
fn with_agent(settings: StreamSettings, socket: SocketSpec) -> (Rig, Side) {
    let mut rig = Rig::new(1);
    rig.workers.send(ID, MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None });
    let side = rig.side(ID, A, "127.0.0.1".parse().unwrap());
    rig.add_agent(ID, settings, socket);
    (rig, side)
}

fn loss(settings: StreamSettings, socket: SocketSpec) -> StreamLoss {
    let (mut rig, _side) = with_agent(settings, socket);
    let MediaEvent::Agent { end: AGENT, event: AgentEvent::Lost(loss) } = rig.told() else { panic!("not lost") };
    assert_eq!(rig.gauge(|counters| counters.agents.get()), 0);
    rig.workers.stop();
    loss
}

fn loss_of(server: &Server) -> StreamLoss {
    loss(settings(), socket_spec(server.url()))
}

/// Sends this many frames of 20 ms from the caller; returns the packets received meanwhile.
fn speak(side: &Side, frames: u16) -> Vec<(RtpHeader, Vec<u8>)> {
    let start = Instant::now();
    let mut heard = Vec::new();
    for n in 0..frames {
        side.rtp.send_to(&rtp(7, n), side.edge).unwrap();
        let until = start + Duration::from_millis(20) * u32::from(n + 1);
        while let Some(rest) = until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
            side.rtp.set_read_timeout(Some(rest)).unwrap();
            let mut bytes = [0; 2048];
            if let Ok((len, _)) = side.rtp.recv_from(&mut bytes) {
                heard.push((RtpHeader::parse(&bytes[..len]).unwrap(), bytes[12..len].to_vec()));
            }
        }
    }
    side.rtp.set_read_timeout(Some(PATIENCE)).unwrap();
    heard
}

fn echo_call(socket: SocketSpec) {
    let (mut rig, side) = with_agent(settings(), socket);
    assert_eq!(rig.told(), MediaEvent::Agent { end: AGENT, event: AgentEvent::Open });
    rig.wire_agent(ID);
    rig.settle(ID);
    let heard = speak(&side, 100);
    for pair in heard.windows(2) {
        let (one, two) = (&pair[0].0, &pair[1].0);
        assert_eq!((two.ssrc, two.sequence), (one.ssrc, one.sequence.wrapping_add(1)));
        assert_eq!(two.timestamp, one.timestamp.wrapping_add(160));
    }
    // The audio comes back bit for bit.
    let said: Vec<Vec<u8>> = (0..100).map(|n| rtp(7, n)[12..].to_vec()).collect();
    let mut back = heard.iter().map(|(_, payload)| payload);
    let mut same = 0;
    for frame in &said {
        let mut ahead = back.clone();
        if ahead.any(|payload| payload == frame) {
            back = ahead;
            same += 1;
        }
    }
    assert!(same >= 80, "{same} of 100 frames came back in order");
    assert_eq!(rig.gauge(|counters| counters.agents.get()), 1);
    assert_eq!(rig.told(), MediaEvent::Agent { end: AGENT, event: AgentEvent::Spoke });
    rig.workers.send(ID, MediaCommand::Close);
    assert!(matches!(rig.told(), MediaEvent::EndClosed { end: A, .. }));
    assert_eq!(rig.told(), MediaEvent::Closed);
    assert_eq!(rig.gauge(|counters| counters.agents.get()), 0);
    assert_eq!(rig.gauge(|counters| counters.panics.get()), 0);
    rig.workers.stop();
}

#[test]
fn what_the_caller_says_comes_back() {
    let server = Server::open(|socket, request| {
        let expected = sign("secret", &format!("ws://{}/media", request.headers()["host"].to_str().unwrap()));
        assert_eq!(request.headers()[SIGNATURE_HEADER], expected);
        assert_eq!(request.headers().get("sec-websocket-extensions"), None);
        assert_eq!(request.uri().query(), None);
        echo(socket);
    });
    let url = format!("{}?tenant=acme", server.url());
    echo_call(SocketSpec { auth_token: Some("secret".into()), ..socket_spec(url) });
    server.join();
}

#[test]
fn over_tls_with_a_certificate_that_is_trusted() {
    let certificate = Certificate::of("localhost");
    let server = Server::secure(&certificate, echo);
    let url = format!("wss://localhost:{}/media", server.address.port());
    let ca = Some(certificate.pem.as_bytes().into());
    echo_call(SocketSpec { ca, ..socket_spec(url) });
    server.join();
}

#[test]
fn a_certificate_that_is_not_trusted_or_of_another_name_is_refused() {
    let (ours, other) = (Certificate::of("localhost"), Certificate::of("localhost"));
    let elsewhere = Certificate::of("agent.example");
    for (certificate, ca) in [(&ours, None), (&ours, Some(&other)), (&elsewhere, Some(&elsewhere))] {
        let server = Server::secure(certificate, |_| panic!("accepted"));
        let url = format!("wss://localhost:{}/media", server.address.port());
        let ca = ca.map(|certificate| certificate.pem.as_bytes().into());
        assert_eq!(loss(settings(), SocketSpec { ca, ..socket_spec(url) }), StreamLoss::Tls);
        server.join();
    }
    let plain = Server::answers("HTTP/1.1 200 OK\r\n\r\n");
    let url = format!("wss://localhost:{}/media", plain.address.port());
    let ca = Some(ours.pem.as_bytes().into());
    let quick = StreamSettings { connect_timeout: Duration::from_secs(1), ..settings() };
    let lost = loss(quick, SocketSpec { ca, ..socket_spec(url) });
    assert!(matches!(lost, StreamLoss::Tls | StreamLoss::ConnectTimeout), "{lost:?}");
}

#[test]
fn what_answers_otherwise_is_told_apart() {
    for (answer, expected) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", StreamLoss::Status(404)),
        ("HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", StreamLoss::Status(302)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", StreamLoss::Status(200)),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", StreamLoss::NotWebSocket),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", StreamLoss::NotWebSocket),
        ("", StreamLoss::NotWebSocket),
    ] {
        let server = Server::answers(answer);
        assert_eq!(loss_of(&server), expected, "{answer}");
        server.join();
    }
}

/// The edge has offered no extension, so it could not decompress the data.
#[test]
fn an_extension_that_was_not_offered_is_refused() {
    #[expect(clippy::result_large_err, reason = "the library's callback refuses by a whole response")]
    let server = Server::raw(|stream| {
        let extend = |_: &Request, mut response: Response| {
            let extension = "permessage-deflate".parse().unwrap();
            response.headers_mut().insert("Sec-WebSocket-Extensions", extension);
            Ok(response)
        };
        let _ = accept_hdr(stream, extend);
    });
    assert_eq!(loss_of(&server), StreamLoss::NotWebSocket);
    server.join();
}

#[test]
fn who_is_not_there_or_may_not_be_reached_is_unreachable() {
    let free = closed_address();
    for url in [
        format!("ws://{free}/"),
        "ws://agent.invalid/".into(),
        // The URL has no TLS, and its address is outside of the local networks.
        "ws://203.0.113.1:9/".into(),
        "http://127.0.0.1/".into(),
    ] {
        assert_eq!(loss(settings(), socket_spec(url.clone())), StreamLoss::Unreachable, "{url}");
    }
}

#[test]
fn who_does_not_answer_in_time_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let quick = StreamSettings { connect_timeout: Duration::from_millis(50), ..settings() };
    assert_eq!(loss(quick, socket_spec(url)), StreamLoss::ConnectTimeout);
}

#[test]
fn an_agent_without_a_session_is_lost() {
    let mut rig = Rig::new(1);
    rig.add_agent(ID, settings(), socket_spec("ws://127.0.0.1:1/".into()));
    assert_eq!(rig.told(), MediaEvent::Agent { end: AGENT, event: AgentEvent::Lost(StreamLoss::Unreachable) });
    rig.workers.stop();
}

/// Returns the event at the end of an open agent that closes its socket by `deed`.
fn end_of(deed: impl FnOnce(WebSocket<TcpStream>) + Send + 'static) -> MediaEvent {
    let server = Server::open(|socket, _| deed(socket));
    let (mut rig, side) = with_agent(settings(), socket_spec(server.url()));
    assert_eq!(rig.told(), MediaEvent::Agent { end: AGENT, event: AgentEvent::Open });
    rig.wire_agent(ID);
    let event = rig.told();
    // The caller's stream continues.
    received(&side.rtp);
    received(&side.rtp);
    server.join();
    rig.workers.stop();
    event
}

fn close(code: Option<u16>) -> impl FnOnce(WebSocket<TcpStream>) + Send {
    move |mut socket| {
        let frame = code.map(|code| CloseFrame { code: code.into(), reason: "".into() });
        socket.close(frame).unwrap();
        while socket.read().is_ok() {}
    }
}

#[test]
fn each_end_is_told_as_what_it_is() {
    let lost = |loss| MediaEvent::Agent { end: AGENT, event: AgentEvent::Lost(loss) };
    assert_eq!(end_of(close(Some(1000))), MediaEvent::Agent { end: AGENT, event: AgentEvent::Ended });
    assert_eq!(end_of(close(Some(1001))), lost(StreamLoss::Closed(Some(1001))));
    assert_eq!(end_of(close(Some(4000))), lost(StreamLoss::Closed(Some(4000))));
    assert_eq!(end_of(close(None)), lost(StreamLoss::Closed(None)));
    // The socket is closed as by `kill -9`.
    assert_eq!(end_of(drop), lost(StreamLoss::Reset));
    let reset = |socket: WebSocket<TcpStream>| {
        socket2::SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    };
    assert_eq!(end_of(reset), lost(StreamLoss::Reset));
    let rude = |mut socket: WebSocket<TcpStream>| {
        // The frame has reserved bits set.
        std::io::Write::write_all(socket.get_mut(), &[0xf1, 0]).unwrap();
        while socket.read().is_ok() {}
    };
    assert_eq!(end_of(rude), lost(StreamLoss::ProtocolError));
    let endless = |mut socket: WebSocket<TcpStream>| {
        let _ = socket.send(Message::text("x".repeat((16 << 20) + 1)));
        while socket.read().is_ok() {}
    };
    assert_eq!(end_of(endless), lost(StreamLoss::ProtocolError));
}

#[test]
fn nonsense_is_noted_and_the_agent_stays() {
    let (done, wait) = channel::<()>();
    let server = Server::open(move |mut socket, _| {
        socket.send(Message::text("{")).unwrap();
        socket.send(Message::binary(vec![1, 2, 3])).unwrap();
        socket.send(Message::Ping(vec![1].into())).unwrap();
        socket.send(Message::text(r#"{"event":"hangup"}"#)).unwrap();
        let _ = wait.recv();
    });
    let (mut rig, _side) = with_agent(settings(), socket_spec(server.url()));
    assert_eq!(rig.event().1, MediaEvent::Agent { end: AGENT, event: AgentEvent::Open });
    assert!(matches!(rig.event().1, MediaEvent::Agent { event: AgentEvent::Note { .. }, .. }));
    assert!(matches!(rig.event().1, MediaEvent::Agent { event: AgentEvent::Note { .. }, .. }));
    assert!(matches!(rig.event().1, MediaEvent::Agent { event: AgentEvent::Request(_), .. }));
    drop(done);
    rig.workers.stop();
    server.join();
}

#[test]
fn a_removed_agent_gets_stop_and_a_close_with_1000() {
    for whole_session in [false, true] {
        let (texts, heard) = channel();
        let server = Server::open(move |mut socket, _| texts.send(read_all(&mut socket)).unwrap());
        let (mut rig, _side) = with_agent(settings(), socket_spec(server.url()));
        assert_eq!(rig.told(), MediaEvent::Agent { end: AGENT, event: AgentEvent::Open });
        let command = if whole_session { MediaCommand::Close } else { MediaCommand::RemoveEnd { end: AGENT } };
        rig.workers.send(ID, command);
        let (texts, code) = heard.recv_timeout(PATIENCE).unwrap();
        let events: Vec<_> = texts.iter().map(|text| text["event"].as_str().unwrap()).collect();
        assert_eq!((events.first(), events.last(), code), (Some(&"connected"), Some(&"stop"), Some(1000)));
        rig.workers.stop();
        server.join();
    }
}

#[test]
fn an_agent_that_is_told_goodbye_and_stays_is_left() {
    let (left, heard) = channel();
    let server = Server::open(move |mut socket, _| {
        // The agent answers no ping, and continues to send.
        let (mut stream, mut bytes) = (socket.get_mut().try_clone().unwrap(), [0; 4096]);
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let ended = Instant::now() + PATIENCE;
        while Instant::now() < ended && !matches!(stream.read(&mut bytes), Ok(0)) {
            if socket.send(Message::text(r#"{"event":"clear","streamSid":"MZ"}"#)).is_err() {
                break;
            }
        }
        left.send(Instant::now() < ended).unwrap();
    });
    let (mut rig, side) = with_agent(settings(), socket_spec(server.url()));
    assert_eq!(rig.told(), MediaEvent::Agent { end: AGENT, event: AgentEvent::Open });
    rig.workers.send(ID, MediaCommand::RemoveEnd { end: AGENT });
    assert!(heard.recv_timeout(2 * PATIENCE).unwrap(), "its socket stays open");
    drop(side);
    rig.workers.stop();
    server.join();
}

#[test]
fn workers_that_stop_say_goodbye() {
    let (texts, heard) = channel();
    let server = Server::open(move |mut socket, _| texts.send(read_all(&mut socket)).unwrap());
    let (mut rig, _side) = with_agent(settings(), socket_spec(server.url()));
    assert_eq!(rig.told(), MediaEvent::Agent { end: AGENT, event: AgentEvent::Open });
    rig.workers.stop();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap().1, Some(1000));
    server.join();
}

#[test]
fn an_agent_that_sends_too_much_is_read_no_further() {
    const TOTAL: usize = 400;
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let server = Server::open(move |mut socket, _| {
        // Each message contains ten seconds.
        let text = format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "A".repeat(80_000 / 3 * 4));
        while count.load(Ordering::Relaxed) < TOTAL && socket.send(Message::text(text.clone())).is_ok() {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (mut rig, _side) = with_agent(settings(), socket_spec(server.url()));
    assert_eq!(rig.told(), MediaEvent::Agent { end: AGENT, event: AgentEvent::Open });
    rig.wire_agent(ID);
    let is_full = |event: &MediaEvent| matches!(event, MediaEvent::Agent { event: AgentEvent::Note { text, .. }, .. } if text.starts_with("sends audio faster than it is played"));
    while !is_full(&rig.event().1) {}
    // The worker runs often enough to read all of it, if it tried to.
    rig.settle(ID);
    rig.settle(ID);
    rig.workers.send(ID, MediaCommand::RemoveEnd { end: AGENT });
    server.join();
    let taken = written.load(Ordering::Relaxed);
    assert!((60..TOTAL).contains(&taken), "{taken} messages taken");
    rig.workers.stop();
}

/// Unread pongs would accumulate in memory.
#[test]
fn an_agent_that_pings_and_does_not_read_is_read_no_further() {
    const TOTAL: usize = 40_000;
    let (written, wait) = channel();
    let server = Server::raw(move |stream| {
        let socket = socket2::SockRef::from(&stream);
        socket.set_recv_buffer_size(4096).unwrap();
        socket.set_send_buffer_size(64 << 10).unwrap();
        let mut stream = accept(stream).unwrap().into_inner();
        let ping = [&[0x89, 125][..], &[b'p'; 125]].concat();
        let count = (0..TOTAL).take_while(|_| std::io::Write::write_all(&mut stream, &ping).is_ok()).count();
        written.send(count).unwrap();
    });
    let (mut rig, _side) = with_agent(settings(), socket_spec(server.url()));
    assert_eq!(rig.told(), MediaEvent::Agent { end: AGENT, event: AgentEvent::Open });
    assert!(matches!(rig.told(), MediaEvent::Agent { event: AgentEvent::Lost(_), .. }));
    rig.workers.send(ID, MediaCommand::RemoveEnd { end: AGENT });
    let written = wait.recv_timeout(PATIENCE).unwrap();
    assert!((256..TOTAL / 2).contains(&written), "{written} pings taken");
    server.join();
    rig.workers.stop();
}

#[test]
fn a_listener_that_does_not_read_changes_nothing_for_the_call() {
    let (done, wait) = channel::<()>();
    let server = Server::raw(move |stream| {
        socket2::SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
        let socket = accept(stream).unwrap();
        let _ = wait.recv();
        drop(socket);
    });
    let mut rig = Rig::new(1);
    let (a, b) = rig.call(ID, "127.0.0.1".parse().unwrap());
    let listener = StreamSettings { talks: false, tracks: TrackSet::Both, ..settings() };
    let counters = rig.add_agent(ID, listener, socket_spec(server.url()));
    rig.workers.send(ID, MediaCommand::Tap { of: A, listener: AGENT, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
    assert_eq!(rig.told(), MediaEvent::Agent { end: AGENT, event: AgentEvent::Open });
    let (mut sequence, mut pace) = (0, Pace::new());
    let deadline = Instant::now() + PATIENCE;
    while counters.frames_dropped.get() == 0 {
        assert!(Instant::now() < deadline, "nothing is dropped");
        pass(&a, &b, sequence);
        pass(&b, &a, sequence);
        sequence += 1;
        pace.wait();
    }
    assert_eq!(rig.gauge(|counters| counters.agent_frames_dropped.get()), counters.frames_dropped.get());
    // In the end the agent is lost, but the call is not.
    let lost = rig.told();
    assert!(matches!(lost, MediaEvent::Agent { end: AGENT, event: AgentEvent::Lost(_) }), "{lost:?}");
    pass(&a, &b, sequence);
    drop(done);
    server.join();
    rig.workers.stop();
}

/// Sends a packet from one side to the other, which must receive it unchanged.
fn pass(from: &Side, to: &Side, sequence: u16) {
    let bytes = rtp(u32::from(from.edge.port()), sequence);
    from.rtp.send_to(&bytes, from.edge).unwrap();
    assert_eq!(received(&to.rtp), (bytes, to.edge));
}

#[test]
fn a_listener_hears_both_directions_of_a_call() {
    let (texts, heard) = channel();
    let server = Server::open(move |mut socket, _| texts.send(read_all(&mut socket)).unwrap());
    let mut rig = Rig::new(1);
    let (a, b) = rig.call(ID, "127.0.0.1".parse().unwrap());
    let listener = StreamSettings { talks: false, tracks: TrackSet::Both, ..settings() };
    rig.add_agent(ID, listener, socket_spec(server.url()));
    rig.workers.send(ID, MediaCommand::Tap { of: A, listener: AGENT, audio: TapSpec::both(0, PayloadCodec::Pcmu) });
    assert_eq!(rig.told(), MediaEvent::Agent { end: AGENT, event: AgentEvent::Open });
    let mut pace = Pace::new();
    for sequence in 0..50 {
        pace.wait();
        pass(&a, &b, sequence);
        pass(&b, &a, sequence);
    }
    rig.workers.send(ID, MediaCommand::RemoveEnd { end: AGENT });
    let (texts, _) = heard.recv_timeout(PATIENCE).unwrap();
    for track in ["inbound", "outbound"] {
        let frames = texts.iter().filter(|text| text["media"]["track"] == track).count();
        assert!(frames >= 45, "{track}: {frames}");
    }
    server.join();
    rig.workers.stop();
}

#[test]
fn ringback_is_paced_by_the_clock() {
    let mut rig = Rig::new(1);
    rig.workers.send(ID, MediaCommand::Open { idle_timeout_ms: 0, names_key: [0; 16], beside: None });
    let side = rig.side(ID, A, "127.0.0.1".parse().unwrap());
    let tone = EndId(3);
    rig.workers.send(ID, MediaCommand::AddPlayer { end: tone, sound: PlayerSound::Ringback });
    rig.workers.send(ID, MediaCommand::Wire { from: tone, to: A, wire: wire() });
    let first = RtpHeader::parse(&received(&side.rtp).0).unwrap();
    let start = Instant::now();
    for n in 1..=100 {
        let next = RtpHeader::parse(&received(&side.rtp).0).unwrap();
        assert_eq!((next.ssrc, next.sequence), (first.ssrc, first.sequence.wrapping_add(n)));
        assert_eq!(next.timestamp, first.timestamp.wrapping_add(160 * u32::from(n)));
    }
    // The end is never early; how late it is depends on the machine.
    assert!(start.elapsed() >= Duration::from_millis(1900));
    rig.workers.stop();
}
