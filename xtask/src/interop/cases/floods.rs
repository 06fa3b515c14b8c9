//! Floods by one source, and the service that others still get; credentials that were computed for another number.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use md5::{Digest as _, Md5};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::raw::Text;

/// IP address of the trunk that floods.
const FLOOD: &str = "127.0.0.5";
/// IP address of the trunk with few calls.
const GOOD: &str = "127.0.0.2";
/// Number of INVITEs that the flood sends every 5 ms: 400 per second.
const BURST: u32 = 2;

/// Configuration with a route that rejects the calls of both trunks: an admitted call gets 486, one refused by a limit
/// 503.
const TWO_TRUNKS: &str = r#"
[limits]
calls_per_second = 30
[trunk.flood]
accept_from = ["127.0.0.5"]
[trunk.good]
accept_from = ["127.0.0.2"]
[[route]]
connect = ["reject:486"]
"#;

fn invite(here: SocketAddr, edge: SocketAddr, number: &str, call: &str, lines: &str) -> String {
    format!(
        "INVITE sip:{number}@{edge} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{call};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:x@{here}>;tag=1\r\nTo: <sip:{number}@{edge}>\r\nCall-ID: {call}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:x@{here}>\r\n{lines}Content-Length: 0\r\n\r\n"
    )
}

/// Sends an INVITE, waits for the final response and acknowledges it.
fn ask(socket: &UdpSocket, edge: SocketAddr, number: &str, call: &str, lines: &str) -> anyhow::Result<Text> {
    let here = socket.local_addr()?;
    let request = invite(here, edge, number, call, lines);
    let mut buffer = vec![0; 65_535];
    for _ in 0..20 {
        socket.send_to(request.as_bytes(), edge)?;
        while let Ok(length) = socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
            let text = Text(text);
            if text.header("Call-ID") != call || text.code().is_none_or(|code| code < 200) {
                continue;
            }
            let ack = request.replace("INVITE sip", "ACK sip").replace("CSeq: 1 INVITE", "CSeq: 1 ACK");
            let ack = ack.replace(&format!("To: <sip:{number}@{edge}>"), &format!("To: {}", text.header("To")));
            socket.send_to(ack.as_bytes(), edge)?;
            return Ok(text);
        }
    }
    bail!("no final answer to {call}")
}

fn patient(address: &str) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((address, 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    Ok(socket)
}

/// Makes 50 calls from one trunk, ten per second, while another trunk sends 400 INVITEs per second.
pub(crate) fn fairness(setting: &Setting) -> anyhow::Result<String> {
    let mut edge = Edge::start(TWO_TRUNKS)?;
    let udp = edge.udp;
    let is_over = AtomicBool::new(false);
    // Broken: the few calls come from the flooding trunk.
    let good = patient(if setting.sabotage { FLOOD } else { GOOD })?;
    let (sent, answers) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| -> anyhow::Result<u32> {
            let socket = UdpSocket::bind((FLOOD, 0))?;
            let here = socket.local_addr()?;
            let mut sent = 0;
            while !is_over.load(Ordering::Relaxed) {
                for _ in 0..BURST {
                    sent += 1;
                    socket.send_to(invite(here, udp, "+14155550100", &format!("flood{sent}"), "").as_bytes(), udp)?;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(sent)
        });
        let asked = (0..50).map(|n| {
            std::thread::sleep(Duration::from_millis(100));
            let answer = ask(&good, udp, "+14155550100", &format!("good{n}"), "")?;
            answer.code().context("no code")
        });
        let answers: anyhow::Result<Vec<u16>> = asked.collect();
        is_over.store(true, Ordering::Relaxed);
        let sent = flood.join().map_err(|_| anyhow::anyhow!("the flood panicked"))??;
        Ok::<_, anyhow::Error>((sent, answers?))
    })?;
    edge.assert_alive()?;
    let refused = answers.iter().filter(|code| **code != 486).count();
    ensure!(refused == 0, "{refused} of {} calls of the other trunk were refused\n{}", answers.len(), edge.log_tail());
    let flooded = edge.labelled("trunkgate_sip_responses_total", "code=\"503\"")?;
    ensure!(flooded > 0.0, "the flood of {sent} was not limited: nothing is proven");
    Ok(format!(
        "{} of {} calls admitted beside {sent} INVITEs, {flooded} of them refused",
        answers.len(),
        answers.len()
    ))
}

const PHONES: &str = r#"
[trunk.phones]
accept_register = true
require_auth = { username = "desk", password = "right", algorithms = ["MD5"] }
"#;

fn connect_from(address: std::net::Ipv4Addr, to: SocketAddr) -> anyhow::Result<TcpStream> {
    use std::os::fd::AsRawFd as _;
    let SocketAddr::V4(to) = to else { bail!("IPv4 only") };
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(std::net::SocketAddrV4::new(address, 0)))?;
    connect(fd.as_raw_fd(), &SockaddrIn::from(to))?;
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(stream)
}

fn hash(parts: &[&str]) -> String {
    Md5::digest(parts.join(":").as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the Authorization header of a user in response to an MD5 challenge.
fn shown(challenge: &Text, method: &str, user: &str, password: &str, uri: &str) -> anyhow::Result<String> {
    let asked =
        challenge.all("WWW-Authenticate").find(|asked| asked.contains("MD5")).context("no challenge with MD5")?;
    let value = |name: &str| asked.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
    let (realm, nonce) = (value("realm").context("no realm")?, value("nonce").context("no nonce")?);
    let (a1, a2) = (hash(&[user, realm, password]), hash(&[method, uri]));
    let response = hash(&[&a1, nonce, "00000001", "c", "auth", &a2]);
    Ok(format!(
        "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm=MD5, cnonce=\"c\", qop=auth, nc=00000001\r\n"
    ))
}

/// Sends a REGISTER on a connection; returns the response to it.
fn register(stream: &mut TcpStream, edge: SocketAddr, cseq: u32, lines: &str) -> anyhow::Result<Text> {
    let here = stream.local_addr()?;
    write!(
        stream,
        "REGISTER sip:{edge} SIP/2.0\r\nVia: SIP/2.0/TCP {here};branch=z9hG4bKr{cseq};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:desk@{edge}>;tag=1\r\nTo: <sip:desk@{edge}>\r\nCall-ID: phone\r\nCSeq: {cseq} REGISTER\r\n\
         Contact: <sip:desk@{here};transport=tcp>\r\nExpires: 600\r\n{lines}Content-Length: 0\r\n\r\n"
    )?;
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while !text.contains("\r\n\r\n") {
        let length = stream.read(&mut buffer)?;
        ensure!(length > 0, "the connection was closed");
        text.push_str(&String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()));
    }
    Ok(Text(text))
}

/// Opens connections from unknown sources that only send a keep-alive, while a phone registers.
pub(crate) fn idle_strangers(setting: &Setting) -> anyhow::Result<String> {
    let mut edge = Edge::start(PHONES)?;
    let tcp = edge.tcp.context("no TCP listener")?;
    // Below the limit on new connections of unknown addresses: all of these occupy slots.
    let count = setting.calls(1_100, 300);
    let mut idle = Vec::new();
    for n in 0..count {
        let mut stream = connect_from(std::net::Ipv4Addr::new(127, 1, 0, u8::try_from(1 + n % 250)?), tcp)?;
        drop(stream.write_all(b"\r\n\r\n"));
        idle.push(stream);
        std::thread::sleep(Duration::from_millis(21));
    }
    // Broken: the phone has a wrong password, so it is one of those that never register.
    let password = if setting.sabotage { "wrong" } else { "right" };
    let phone = || -> anyhow::Result<TcpStream> {
        let mut stream = connect_from(std::net::Ipv4Addr::new(127, 0, 0, 9), tcp)?;
        let challenge = register(&mut stream, tcp, 1, "")?;
        let line = shown(&challenge, "REGISTER", "desk", password, &format!("sip:{tcp}"))?;
        let answer = register(&mut stream, tcp, 2, &line)?;
        ensure!(answer.code() == Some(200), "{} to the phone", answer.first());
        Ok(stream)
    };
    let mut registered = phone().context("the phone")?;
    let open = edge.metric("trunkgate_sip_connections_active")?;
    let took = edge.wait_until("connections without a registration are closed", Duration::from_secs(45), |edge| {
        Ok(edge.metric("trunkgate_sip_connections_active")? <= 1.0)
    })?;
    registered.write_all(b"\r\n\r\n")?;
    let mut pong = [0; 2];
    registered.read_exact(&mut pong).context("the phone's connection is gone")?;
    edge.assert_alive()?;
    let [evicted, unregistered] = ["evicted", "unregistered"]
        .map(|reason| edge.labelled("trunkgate_sip_dropped_total", &format!("reason=\"connection_{reason}\"")));
    let (evicted, unregistered) = (evicted?, unregistered?);
    ensure!(unregistered > 0.0 && (count < 1_025 || evicted > 0.0), "{evicted} evicted, {unregistered} unregistered");
    Ok(format!(
        "a phone registered beside {open} connections; {evicted} were evicted, the others closed {took:.0?} later"
    ))
}

/// Requests `/healthz` on a new connection.
fn probe(http: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&http, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    ensure!(text.starts_with("HTTP/1.1 200"), "{}", text.lines().next().unwrap_or_default());
    Ok(())
}

/// Sends incomplete requests and bodies, and keeps idle connections, while `/healthz` is requested nine times.
pub(crate) fn slow_http(setting: &Setting) -> anyhow::Result<String> {
    let mut edge = Edge::start("[trunk.one]\naccept_from = [\"127.0.0.2\"]\n")?;
    let http = edge.http;
    let mut failed = 0;
    let mut flood = Vec::new();
    for round in 0..9 {
        let half: &[u8] = match round % 3 {
            0 => b"GET /healthz HTTP/1.1\r\nHost: local",
            1 => b"POST /sms/inbound HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf",
            _ => b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        };
        for n in 0..384_u16 {
            // The edge may have closed an older connection meanwhile.
            let mut stream = connect_from(std::net::Ipv4Addr::new(127, 0, 2, u8::try_from(1 + n % 6)?), http)?;
            drop(stream.write_all(half));
            flood.push(stream);
        }
        flood.drain(..flood.len().saturating_sub(384));
        // Broken: the edge is stopped.
        if setting.sabotage {
            edge.signal(Signal::SIGSTOP)?;
        }
        failed += u32::from(probe(http).is_err());
        edge.signal(Signal::SIGCONT)?;
    }
    drop(flood);
    edge.assert_alive()?;
    ensure!(failed == 0, "{failed} of 9 probes failed\n{}", edge.log_tail());
    let evicted = edge.labelled("trunkgate_http_connections_dropped_total", "reason=\"evicted\"")?;
    ensure!(evicted > 0.0, "nothing was evicted: the flood was none");
    Ok(format!("9 of 9 probes answered, {evicted} incomplete connections evicted"))
}

/// Sends an INVITE with credentials computed for another called number.
pub(crate) fn digest_uri(setting: &Setting) -> anyhow::Result<String> {
    // Broken: the trunk accepts credentials for any number.
    let any = if setting.sabotage { "digest_uri = \"any\"\n" } else { "" };
    let mut edge = Edge::start(&format!(
        "[trunk.good]\naccept_from = [\"127.0.0.2\"]\n{any}\
         require_auth = {{ username = \"good\", password = \"right\", algorithms = [\"MD5\"] }}\n\
         [[route]]\nconnect = [\"reject:486\"]\n"
    ))?;
    let (socket, udp) = (patient(GOOD)?, edge.udp);
    let meant = format!("sip:+14155550100@{udp}");
    let mut codes = Vec::new();
    for (n, (called, password)) in
        [("+14155550100", "right"), ("+88112345678", "right"), ("+88112345678", "wrong")].into_iter().enumerate()
    {
        let challenge = ask(&socket, udp, "+14155550100", &format!("asked{n}"), "")?;
        ensure!(challenge.code() == Some(401), "{} without credentials", challenge.first());
        let line = shown(&challenge, "INVITE", "good", password, &meant)?;
        let answer = ask(&socket, udp, called, &format!("shown{n}"), &line)?;
        codes.push(answer.code().unwrap_or_default());
    }
    edge.assert_alive()?;
    ensure!(codes == [486, 400, 401], "{codes:?} instead of 486, 400 and 401");
    let began = Instant::now();
    while !edge.log_tail().contains("the digest uri is not the Request-URI") {
        ensure!(began.elapsed() < Duration::from_secs(5), "the log does not say why\n{}", edge.log_tail());
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok("as meant: 486 of its route; another number: 400; another number and a wrong password: 401".to_owned())
}
