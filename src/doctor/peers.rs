//! Who the edge talks to: names, an answer to OPTIONS from each address, certificates on both sides, agents' sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::UnixTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use trunkgate_route::locate::Located;
use trunkgate_route::{Peer, Transport};
use webpki::KeyUsage;

use super::Finding;
use crate::certificates::{Pair, Trust, not_after};
use crate::config::Config;
use crate::dns::{Resolver, means};
use crate::limits::CERTIFICATE_WARNING_DAYS;
use crate::line::{Line, plain};
use crate::transport::Settings;
use crate::worker;

/// Longest wait for an answer to OPTIONS.
const PATIENCE: Duration = Duration::from_secs(4);
/// Between two datagrams, doubling (RFC 3261 §17.1.2.2).
const T1: Duration = Duration::from_millis(500);
/// Bytes of an answer that are looked at.
const ANSWER_BYTES: usize = 4_096;
/// An end that is further away is told by its date.
const DAYS_COUNTED: i64 = 1_000;

/// The certificates that we show.
pub(super) fn certificates(config: &Config, settings: &Settings, faults: Vec<String>) -> Vec<Finding> {
    let system = Trust::of_system();
    let judge = |(kind, name, pair): (&str, String, &Pair)| {
        let own = config.listen.iter().find(|listen| kind == "listener" && listen.name == name);
        match own.and_then(|listen| listen.tls.as_ref()) {
            Some(tls) if tls.own.is_none() => {
                let text =
                    format!("listener {name}: no certificate written, so that calls go out by it and none come in");
                Finding::ok("tls", text)
            }
            Some(_) | None => judge_own(&format!("{kind} {name}"), pair, &system, kind == "listener"),
        }
    };
    let faults = faults.into_iter().map(|fault| Finding::fail("tls", fault, "trunkgate help TG0114"));
    settings.pairs().into_iter().map(judge).chain(faults).collect()
}

/// One of ours: its end, and whether who trusts what this machine trusts can follow its chain.
fn judge_own(whose: &str, pair: &Pair, system: &Trust, is_server: bool) -> Finding {
    let end = judge_end(whose, pair.expires);
    let usage = if is_server { KeyUsage::server_auth() } else { KeyUsage::client_auth() };
    let chain = pair.key.cert.split_first();
    let is_complete = chain.is_some_and(|(own, others)| system.judge(own, others, usage, UnixTime::now()).is_ok());
    if end.level != super::Level::Ok {
        return end;
    }
    if is_complete {
        return Finding::ok("tls", format!("{}, chain complete", end.text));
    }
    let text = format!("{}; its chain leads to nobody whom this machine trusts", end.text);
    Finding::warn(
        "tls",
        text,
        "the certificates between it and its root behind it in the file; a private issuer's is trusted by `ca` there",
    )
}

fn judge_end(whose: &str, expires: Timestamp) -> Finding {
    let text = format!("certificate of {whose}: {}", left(expires));
    match expires.duration_since(Timestamp::now()) {
        left if left.is_negative() => Finding::fail("tls", format!("certificate of {whose} has expired"), "a new one"),
        left if left < SignedDuration::from_hours(24 * CERTIFICATE_WARNING_DAYS) => {
            Finding::warn("tls", text, "a new one in its place is taken up without a restart")
        }
        _ => Finding::ok("tls", text),
    }
}

/// How long a certificate holds, in words.
fn left(expires: Timestamp) -> String {
    match expires.duration_since(Timestamp::now()).as_hours() / 24 {
        days if days > DAYS_COUNTED => format!("until {}", expires.strftime("%Y-%m-%d")),
        1 => "1 day left".to_owned(),
        days => format!("{days} days left"),
    }
}

/// All that is asked of one trunk's peers at once.
#[derive(Debug, Clone)]
struct Asker {
    config: Arc<Config>,
    settings: Arc<Settings>,
    resolver: Resolver,
}

/// Each peer of each trunk: its name, then each of its addresses; all at once, told in the order of the file. With these
/// the addresses that were found.
pub(super) async fn examine(config: &Arc<Config>, settings: &Arc<Settings>) -> (Vec<Finding>, Vec<IpAddr>) {
    let resolver = match Resolver::new(means(config.listen.iter().map(|listen| (listen.transport, listen.address)))) {
        Ok(resolver) => resolver,
        Err(error) => {
            let found = Finding::fail("dns", error.to_string(), "/etc/resolv.conf, or TRUNKGATE_DNS");
            return (vec![found], Vec::new());
        }
    };
    let asker = Asker { config: Arc::clone(config), settings: Arc::clone(settings), resolver };
    let peers = config.trunks.iter().flat_map(|trunk| trunk.peers.iter().map(|peer| (Arc::clone(&trunk.name), peer)));
    let begun = peers.map(|(trunk, peer)| {
        let (asker, peer) = (asker.clone(), peer.clone());
        tokio::spawn(async move { asker.examine(&trunk, &peer).await })
    });
    let (findings, addresses): (Vec<_>, Vec<_>) = all(begun.collect()).await.into_iter().unzip();
    (findings.into_iter().flatten().collect(), addresses.into_iter().flatten().collect())
}

/// What tasks came to, in their order.
async fn all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks {
        results.extend(task.await);
    }
    results
}

impl Asker {
    async fn examine(&self, trunk: &str, peer: &Peer) -> (Vec<Finding>, Vec<IpAddr>) {
        let destination = &peer.destination;
        let mut findings = Vec::new();
        let servers = match destination.literal() {
            Some(server) => vec![server],
            None => {
                let located = self.resolver.locate(destination.clone()).await;
                findings.push(of_name(trunk, &destination.host, &located));
                located.servers
            }
        };
        let sockets = servers.iter().flat_map(|server| server.sockets().map(|socket| (server.transport, socket)));
        let begun = sockets.map(|(transport, address)| {
            let (asker, trunk, host) = (self.clone(), trunk.to_owned(), destination.host.clone());
            tokio::spawn(async move { asker.ask(&trunk, &host, transport, address).await })
        });
        findings.extend(all(begun.collect()).await);
        (findings, servers.iter().flat_map(|server| server.addresses.clone()).collect())
    }

    /// OPTIONS to one address.
    async fn ask(&self, trunk: &str, host: &str, transport: Transport, address: SocketAddr) -> Finding {
        let name = format!("options {trunk}");
        let shown = format!("{} {address}", transport.as_str());
        let began = Instant::now();
        let answer = match transport {
            Transport::Udp => self.by_datagrams(trunk, host, address).await.map(|line| (line, None)),
            Transport::Tcp => by_stream("TCP", host, Line::open(address, None).await).await,
            Transport::Tls => match self.settings.towards(trunk) {
                Some(tls) => by_stream("TLS", host, Line::open(address, Some((tls, host))).await).await,
                None => Err("no listener speaks TLS".to_owned()),
            },
        };
        let (line, expires) = match answer {
            Ok(answer) => answer,
            Err(what) => {
                let fix = "its address and port, firewalls on the way, and whether it lets this machine's address in";
                return Finding::fail(name, format!("{shown}: {what}"), fix);
            }
        };
        let seen = format!("{shown}: {line} after {} ms", began.elapsed().as_millis());
        let certificate = expires.map(|expires| format!("; its certificate: {}", left(expires))).unwrap_or_default();
        let is_soon = |expires: Timestamp| {
            expires.duration_since(Timestamp::now()) < SignedDuration::from_hours(24 * CERTIFICATE_WARNING_DAYS)
        };
        match line.get(8..11) {
            Some("408" | "503") => Finding::warn(name, format!("{seen}: it takes no calls now"), "its owner knows why"),
            _ if expires.is_some_and(is_soon) => Finding::warn(name, format!("{seen}{certificate}"), "tell its owner"),
            _ => Finding::ok(name, format!("{seen}{certificate}")),
        }
    }

    async fn by_datagrams(&self, trunk: &str, host: &str, address: SocketAddr) -> Result<String, String> {
        let own = self.own_address(trunk, address);
        let socket = UdpSocket::bind((own, 0)).await.map_err(|error| plain(&error))?;
        socket.connect(address).await.map_err(|error| plain(&error))?;
        let us = socket.local_addr().map_err(|error| plain(&error))?;
        let question = options("UDP", host, us, branch());
        let mut buffer = vec![0; ANSWER_BYTES];
        let (deadline, mut pause) = (Instant::now() + PATIENCE, T1);
        loop {
            socket.send(question.as_bytes()).await.map_err(|error| plain(&error))?;
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(pause.min(left), socket.recv(&mut buffer)).await {
                Ok(Ok(length)) => return first_line(buffer.get(..length).unwrap_or_default()),
                Ok(Err(error)) => return Err(plain(&error)),
                Err(_) if left <= pause => return Err(format!("no answer to OPTIONS in {} s", PATIENCE.as_secs())),
                Err(_) => pause *= 2,
            }
        }
    }

    /// By the address of the listener that the trunk's requests leave by, where it has one: a peer may know us by it.
    fn own_address(&self, trunk: &str, remote: SocketAddr) -> IpAddr {
        let listen =
            self.config.trunks.iter().find(|known| *known.name == *trunk).and_then(|trunk| trunk.listen.as_deref());
        let fits = |address: &SocketAddr| address.is_ipv4() == remote.is_ipv4() && !address.ip().is_unspecified();
        let mut listeners = self.config.listen.iter().filter(|one| match listen {
            Some(name) => one.name == name,
            None => one.transport == Transport::Udp,
        });
        let any: IpAddr = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        listeners.find_map(|one| Some(one.address).filter(fits)).map_or(any, |address| address.ip())
    }
}

fn of_name(trunk: &str, host: &str, located: &Located) -> Finding {
    let shown = located.servers.iter().flat_map(|server| {
        server.sockets().map(|at| format!("{} {at}", server.transport.as_str())).collect::<Vec<_>>()
    });
    let shown: Vec<String> = shown.collect();
    match (shown.is_empty(), located.is_complete) {
        (false, _) => Finding::ok("dns", format!("{trunk}: {host} → {}", shown.join(", "))),
        (true, true) => {
            Finding::fail("dns", format!("{trunk}: {host} has no address"), "the name in `peers` or `domain`")
        }
        (true, false) => {
            let fix = "/etc/resolv.conf, and whether this machine may ask its name servers";
            Finding::fail("dns", format!("{trunk}: no name server answers for {host}"), fix)
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
    let line = text.trim_start().lines().next().unwrap_or_default();
    let shown: String = line.chars().filter(|c| !c.is_control()).take(80).collect();
    if shown.starts_with("SIP/2.0 ") { Ok(shown) } else { Err("what answers does not speak SIP".to_owned()) }
}

/// A name that is not likely to come twice.
fn branch() -> u32 {
    std::process::id() ^ u32::try_from(Timestamp::now().as_millisecond() & 0xffff_ffff).unwrap_or_default()
}

/// The answer over a connection, and when the first of the far end's certificates ends.
async fn by_stream(
    transport: &str,
    host: &str,
    line: Result<Line, String>,
) -> Result<(String, Option<Timestamp>), String> {
    let Line { mut stream, local, shown } = line?;
    let question = options(transport, host, local, branch());
    let mut buffer = Vec::new();
    let talked = timeout(PATIENCE, async {
        stream.write_all(question.as_bytes()).await?;
        stream.flush().await?;
        // Until its first line is whole: keep-alives may come before it.
        loop {
            let is_whole = String::from_utf8_lossy(&buffer).trim_start().contains('\n');
            if is_whole || buffer.len() >= ANSWER_BYTES || stream.read_buf(&mut buffer).await? == 0 {
                return std::io::Result::Ok(());
            }
        }
    });
    match talked.await {
        Ok(Ok(())) if buffer.is_empty() => Err("it closed the connection".to_owned()),
        Ok(Ok(())) => Ok((first_line(&buffer)?, shown.iter().filter_map(|one| not_after(one)).min())),
        Ok(Err(error)) => Err(plain(&error)),
        Err(_) => Err(format!("no answer to OPTIONS in {} s", PATIENCE.as_secs())),
    }
}

/// Each agent's WebSocket, opened and closed again; all at once.
pub(super) async fn agents(config: &Arc<Config>) -> Vec<Finding> {
    let begun = config.agents.iter().filter(|agent| !agent.is_raw()).map(|agent| {
        let (agent, config) = (agent.clone(), Arc::clone(config));
        tokio::spawn(async move {
            let (name, began) = (format!("agent {}", agent.name), Instant::now());
            match worker::try_agent(&agent, &config.edge.local_networks).await {
                Ok(()) => Finding::ok(name, format!("its socket opens, after {} ms", began.elapsed().as_millis())),
                Err(what) => Finding::fail(name, what, "its `url`, `auth_token` and `ca`, and whether it runs"),
            }
        })
    });
    all(begun.collect()).await
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

    async fn asked(text: &str) -> Vec<Finding> {
        let config = Arc::new(configured(text));
        let settings = Arc::new(Settings::read(&config, &Settings::default()).0);
        examine(&config, &settings).await.0
    }

    #[tokio::test]
    async fn any_answer_of_sip_is_a_sign_of_life() {
        for (answer, level) in [
            ("SIP/2.0 200 OK\r\n\r\n", Level::Ok),
            ("SIP/2.0 404 Not Found\r\n\r\n", Level::Ok),
            ("SIP/2.0 503 Service Unavailable\r\n\r\n", Level::Warn),
            ("HTTP/1.1 400 Bad Request\r\n\r\n", Level::Fail),
        ] {
            let address = peer(answer).await;
            let found = asked(&format!("[trunk.x]\npeers = ['sip:{address}']\n")).await;
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].level, level, "{found:?}");
        }
    }

    #[tokio::test]
    async fn who_is_not_there_fails() {
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for uri in [format!("sip:{gone}"), format!("sip:{gone};transport=tcp")] {
            let found = asked(&format!("[trunk.x]\npeers = ['{uri}']\n")).await;
            assert_eq!(found[0].level, Level::Fail, "{found:?}");
            assert!(found[0].text.contains("refused") && !found[0].fix.is_empty(), "{found:?}");
        }
        let text = format!("[agent.bot]\nurl = 'ws://{gone}/'\n");
        let found = agents(&Arc::new(configured(&text))).await;
        assert_eq!((found[0].level, found[0].name.as_str()), (Level::Fail, "agent bot"), "{found:?}");
    }

    #[test]
    fn certificates_end() {
        let at = |days: i64| Timestamp::now() + SignedDuration::from_hours(24 * days + 1);
        for (days, level) in [(-2, Level::Fail), (3, Level::Warn), (90, Level::Ok)] {
            assert_eq!(judge_end("listener x", at(days)).level, level, "{days}");
        }
        let told = [1, 71, 1_000].map(|days| left(at(days)));
        assert_eq!(told, ["1 day left", "71 days left", "1000 days left"]);
        let far: Timestamp = "4096-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(left(far), "until 4096-01-01");
    }
}
