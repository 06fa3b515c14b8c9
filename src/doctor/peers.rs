//! Who the edge talks to: names, an answer to OPTIONS from each address, certificates on both sides, agents' sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use trunkgate_route::{Peer, Transport};

use super::Finding;
use crate::certificates::{not_after, words};
use crate::config::Config;
use crate::dns::Resolver;
use crate::edge::Listener;
use crate::limits::{CERTIFICATE_WARNING_DAYS, CONNECT_SECONDS};
use crate::transport::Settings;
use crate::worker;

/// Longest wait for an answer to OPTIONS.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between two datagrams, doubling (RFC 3261 §17.1.2.2).
const T1: Duration = Duration::from_millis(500);
/// Bytes of an answer that are looked at.
const ANSWER_BYTES: usize = 4_096;

/// The certificates that we show.
pub(super) fn certificates(config: &Config) -> Vec<Finding> {
    let (settings, faults) = Settings::read(config, &Settings::default());
    let ends =
        settings.expiries().into_iter().map(|(kind, name, expires)| judge_end(&format!("{kind} {name}"), expires));
    let faults = faults.into_iter().map(|fault| Finding::fail("tls", fault, "trunkgate help TG0114"));
    ends.chain(faults).collect()
}

fn judge_end(whose: &str, expires: Timestamp) -> Finding {
    let left = expires.duration_since(Timestamp::now());
    let days = left.as_hours() / 24;
    let text = format!("certificate of {whose}: {days} days left");
    match left {
        left if left.is_negative() => Finding::fail("tls", format!("certificate of {whose} has expired"), "a new one"),
        left if left < SignedDuration::from_hours(24 * CERTIFICATE_WARNING_DAYS) => {
            Finding::warn("tls", text, "a new one in its place is taken up without a restart")
        }
        _ => Finding::ok("tls", text),
    }
}

/// Each peer of each trunk: its name, then each of its addresses.
pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let listeners = config.listen.iter().map(|listen| Listener {
        name: listen.name.clone(),
        transport: listen.transport,
        address: listen.address,
    });
    let listeners: Vec<Listener> = listeners.collect();
    let resolver = match Resolver::new(&listeners) {
        Ok(resolver) => resolver,
        Err(error) => return vec![Finding::fail("dns", error.to_string(), "/etc/resolv.conf, or TRUNKGATE_DNS")],
    };
    let (settings, _) = Settings::read(config, &Settings::default());
    let mut all = Vec::new();
    for trunk in &config.trunks {
        for peer in &trunk.peers {
            let destination = &peer.destination;
            let servers = match destination.literal() {
                Some(server) => vec![server],
                None => resolver.locate(destination.clone()).await.servers,
            };
            let found: Vec<(Transport, SocketAddr)> = servers
                .iter()
                .flat_map(|server| {
                    server.addresses.iter().map(|ip| (server.transport, SocketAddr::new(*ip, server.port)))
                })
                .collect();
            if destination.literal().is_none() {
                all.push(of_name(&trunk.name, &destination.host, &found));
            }
            for (transport, address) in found {
                all.push(ask(config, &settings, &trunk.name, peer, transport, address).await);
            }
        }
    }
    all
}

fn of_name(trunk: &str, host: &str, found: &[(Transport, SocketAddr)]) -> Finding {
    if found.is_empty() {
        let fix = "the name in `peers` or `domain`, and the name servers";
        return Finding::fail("dns", format!("{trunk}: {host} has no address"), fix);
    }
    let shown: Vec<String> = found.iter().map(|(transport, at)| format!("{} {at}", transport.as_str())).collect();
    Finding::ok("dns", format!("{trunk}: {host} → {}", shown.join(", ")))
}

/// OPTIONS to one address.
async fn ask(
    config: &Config,
    settings: &Settings,
    trunk: &str,
    peer: &Peer,
    transport: Transport,
    address: SocketAddr,
) -> Finding {
    let name = format!("options {trunk}");
    let shown = format!("{} {address}", transport.as_str());
    let began = Instant::now();
    let host = &peer.destination.host;
    let answer = match transport {
        Transport::Udp => by_datagrams(config, host, address).await.map(|line| (line, None)),
        Transport::Tcp => by_stream(host, address).await.map(|line| (line, None)),
        Transport::Tls => match settings.towards(trunk) {
            Some(tls) => by_tls(tls, host, address).await,
            None => Err("no listener speaks TLS".to_owned()),
        },
    };
    match answer {
        Ok((line, expires)) => {
            let ms = began.elapsed().as_millis();
            let seen = format!("{shown}: {line} after {ms} ms");
            match expires.map(|expires| expires.duration_since(Timestamp::now()).as_hours() / 24) {
                Some(days) if days < CERTIFICATE_WARNING_DAYS => {
                    Finding::warn(name, format!("{seen}; its certificate ends in {days} days"), "tell its owner")
                }
                Some(days) => Finding::ok(name, format!("{seen}; its certificate holds {days} days")),
                None => Finding::ok(name, seen),
            }
        }
        Err(what) => {
            let fix = "its address and port, firewalls on the way, and whether it lets this machine's address in";
            Finding::fail(name, format!("{shown}: {what}"), fix)
        }
    }
}

/// The question; nothing of the configuration but the peer's host is in it.
fn options(transport: &str, host: &str, us: SocketAddr, branch: u32) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!(
        "OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/{transport} {us};branch=z9hG4bKdoctor{branch};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{us}>;tag=doctor{branch}\r\nTo: <sip:{host}>\r\nCall-ID: doctor{branch}@{us}\r\n\
         CSeq: 1 OPTIONS\r\nContact: <sip:{us}>\r\nAccept: application/sdp\r\nUser-Agent: Trunkgate\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// The first line of an answer: any answer shows that the peer lives.
fn first_line(bytes: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().next().unwrap_or_default();
    let shown: String = line.chars().filter(|c| !c.is_control()).take(80).collect();
    if shown.starts_with("SIP/2.0 ") { Ok(shown) } else { Err("what answers does not speak SIP".to_owned()) }
}

/// A name that is not likely to come twice.
fn branch() -> u32 {
    std::process::id() ^ u32::try_from(Timestamp::now().as_millisecond() & 0xffff_ffff).unwrap_or_default()
}

async fn by_datagrams(config: &Config, host: &str, address: SocketAddr) -> Result<String, String> {
    // By the address that the listener has, where it has one: a peer may know us by it.
    let own = config.listen.iter().map(|listen| listen.address.ip());
    let own = own.into_iter().find(|ip| ip.is_ipv4() == address.is_ipv4() && !ip.is_unspecified());
    let any: IpAddr = if address.is_ipv4() { [0, 0, 0, 0].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((own.unwrap_or(any), 0)).await.map_err(|error| error.to_string())?;
    socket.connect(address).await.map_err(|error| error.to_string())?;
    let us = socket.local_addr().map_err(|error| error.to_string())?;
    let question = options("UDP", host, us, branch());
    let mut buffer = vec![0; ANSWER_BYTES];
    let (deadline, mut pause) = (Instant::now() + PATIENCE, T1);
    loop {
        socket.send(question.as_bytes()).await.map_err(|error| error.to_string())?;
        let left = deadline.saturating_duration_since(Instant::now());
        match timeout(pause.min(left), socket.recv(&mut buffer)).await {
            Ok(Ok(length)) => return first_line(buffer.get(..length).unwrap_or_default()),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) if left <= pause => return Err(format!("no answer to OPTIONS in {} s", PATIENCE.as_secs())),
            Err(_) => pause *= 2,
        }
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    match timeout(Duration::from_secs(CONNECT_SECONDS), TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no connection".to_owned()),
    }
}

async fn by_stream(host: &str, address: SocketAddr) -> Result<String, String> {
    let stream = connect(address).await?;
    let us = stream.local_addr().map_err(|error| error.to_string())?;
    talk(stream, &options("TCP", host, us, branch())).await
}

async fn by_tls(
    tls: Arc<ClientConfig>,
    host: &str,
    address: SocketAddr,
) -> Result<(String, Option<Timestamp>), String> {
    let stream = connect(address).await?;
    let us = stream.local_addr().map_err(|error| error.to_string())?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let stream = timeout(Duration::from_secs(CONNECT_SECONDS), TlsConnector::from(tls).connect(name, stream)).await;
    let stream = stream.map_err(|_| "no TLS handshake".to_owned())?;
    let stream = stream.map_err(|error| format!("TLS failed: {}", words(&error)))?;
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let expires = shown.iter().filter_map(|one| not_after(one)).min();
    let line = talk(stream, &options("TLS", host, us, branch())).await?;
    Ok((line, expires))
}

async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin, question: &str) -> Result<String, String> {
    let mut buffer = vec![0; ANSWER_BYTES];
    let talked = timeout(PATIENCE, async {
        stream.write_all(question.as_bytes()).await?;
        stream.flush().await?;
        stream.read(&mut buffer).await
    });
    match talked.await {
        Ok(Ok(0)) => Err("it closed the connection".to_owned()),
        Ok(Ok(length)) => first_line(buffer.get(..length).unwrap_or_default()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer to OPTIONS in {} s", PATIENCE.as_secs())),
    }
}

/// Each agent's WebSocket, opened and closed again.
pub(super) async fn agents(config: &Config) -> Vec<Finding> {
    let mut all = Vec::new();
    for agent in config.agents.iter().filter(|agent| !agent.is_raw()) {
        let (name, began) = (format!("agent {}", agent.name), Instant::now());
        all.push(match worker::try_agent(agent, &config.edge.local_networks).await {
            Ok(()) => Finding::ok(name, format!("its socket opens, after {} ms", began.elapsed().as_millis())),
            Err(what) => Finding::fail(name, what, "its `url`, `auth_token` and `ca`, and whether it runs"),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::{Level, configured};
    use super::*;

    /// A peer that answers the first request of a socket with this.
    async fn peer(answer: &'static str) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 2_048];
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            assert!(buffer[..length].starts_with(b"OPTIONS sip:127.0.0.1 SIP/2.0\r\n"));
            socket.send_to(answer.as_bytes(), from).await.unwrap();
        });
        address
    }

    #[tokio::test]
    async fn any_answer_of_sip_is_a_sign_of_life() {
        for (answer, level) in [
            ("SIP/2.0 200 OK\r\n\r\n", Level::Ok),
            ("SIP/2.0 404 Not Found\r\n\r\n", Level::Ok),
            ("HTTP/1.1 400 Bad Request\r\n\r\n", Level::Fail),
        ] {
            let address = peer(answer).await;
            let config = configured(&format!("[trunk.x]\npeers = ['sip:{address}']\n"));
            let found = examine(&config).await;
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].level, level, "{found:?}");
        }
    }

    #[tokio::test]
    async fn who_is_not_there_fails() {
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for uri in [format!("sip:{gone}"), format!("sip:{gone};transport=tcp")] {
            let found = examine(&configured(&format!("[trunk.x]\npeers = ['{uri}']\n"))).await;
            assert_eq!(found[0].level, Level::Fail, "{found:?}");
            assert!(found[0].text.contains("refused") && !found[0].fix.is_empty(), "{found:?}");
        }
        let text = format!("[agent.bot]\nurl = 'ws://{gone}/'\n");
        let found = agents(&configured(&text)).await;
        assert_eq!((found[0].level, found[0].name.as_str()), (Level::Fail, "agent bot"), "{found:?}");
    }

    #[test]
    fn certificates_end() {
        let at = |days: i64| Timestamp::now() + SignedDuration::from_hours(24 * days + 1);
        for (days, level) in [(-2, Level::Fail), (3, Level::Warn), (90, Level::Ok)] {
            assert_eq!(judge_end("listener x", at(days)).level, level, "{days}");
        }
    }
}
