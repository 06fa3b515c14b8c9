//! Peers of the edge: name resolution, the response to OPTIONS from each address, certificates of both sides, and the
//! agents' WebSockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rustls::ClientConfig;
use rustls::pki_types::UnixTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use trunkgate_call::{Addressing, dns, unsent};
use trunkgate_media::SendFailure;
use trunkgate_route::locate::{LocatedServers, NameFault};
use trunkgate_route::{Agent, Destination, Peer, Transport, Trunk};
use trunkgate_sip::{FramedItem, Framer, LocalAddress, OwnHosts, OwnUris};
use webpki::KeyUsage;

use super::answer::{Answer, Question, Seen};
use super::machine::is_local;
use super::path::Told;
use super::{Report, all, own_host};
use crate::announced::{self, TrunkAddresses};
use crate::findings::{Finding, Level};
use crate::line::{ConnectedStream, plain};
use trunkgate_call::agent_fix::remedy_of;
use trunkgate_config::Config;
use trunkgate_runtime::settings::{self, BoundListener, ResolvedServers};
use trunkgate_runtime::transport;
use trunkgate_runtime::transport::{CertificateOwner, TlsSettings};
use trunkgate_runtime::worker;
use trunkgate_system::certificates::{CertificatePair, TrustAnchors, is_self_signed, not_after};
use trunkgate_system::clock;
use trunkgate_system::dns::{Resolver, means};
use trunkgate_system::limits::CERTIFICATE_WARNING_DAYS;
use trunkgate_system::tls_words;

/// Time limit for a response to OPTIONS.
const PATIENCE: Duration = Duration::from_secs(4);
/// Initial retransmission interval, doubling (RFC 3261 §17.1.2.2).
const T1: Duration = Duration::from_millis(500);
/// Maximum number of bytes read of a response to OPTIONS.
const ANSWER_BYTES: usize = 4_096;
/// Remaining validity of a certificate above which the expiry date is shown instead of the days.
const DAYS_COUNTED: i64 = 1_000;

/// Checks the certificates of the edge's listeners and trunks.
pub(super) fn certificates(config: &Config, settings: &TlsSettings, faults: Vec<String>) -> Vec<Finding> {
    let system = TrustAnchors::of_system();
    let judge = |(owner, pair): (CertificateOwner, &CertificatePair)| {
        let CertificateOwner { kind, name, at } = owner;
        let own = config.listen.iter().find(|listen| kind == "listener" && listen.name == name);
        match own.and_then(|listen| listen.tls.as_ref()) {
            Some(tls) if tls.own.is_none() => {
                let text = format!("listener {name}: no certificate configured: outgoing calls only");
                Finding::ok("tls", text)
            }
            Some(tls) if tls.is_issued && tls.own.as_ref().is_some_and(|(file, _)| !file.exists()) => {
                let text = format!("listener {name}: ACME has not stored a certificate that this user can read");
                Finding::warn("tls", text, "start the edge: `trunkgate status` shows why an order fails")
            }
            Some(_) | None => judge_own(&whose(kind, &name, at), pair, &system, kind == "listener"),
        }
    };
    let faults = faults.into_iter().map(|fault| Finding::fail("tls", fault, "trunkgate help TG0114"));
    let of_hosts = own_host::certificates(config, settings);
    settings.pairs().into_iter().map(judge).chain(of_hosts).chain(faults).collect()
}

/// Names a local certificate, with a number from the second one of a listener on.
fn whose(kind: &str, name: &str, at: usize) -> String {
    let number = if at > 0 { format!(", certificate {}", at + 1) } else { String::new() };
    format!("{kind} {name}{number}")
}

/// Checks a local certificate: its expiry, and whether its chain is complete for peers that trust the same roots as
/// this machine.
fn judge_own(whose: &str, pair: &CertificatePair, system: &TrustAnchors, is_server: bool) -> Finding {
    let end = judge_end(whose, pair.expires);
    let chain = pair.key.cert.split_first();
    let is_complete =
        |usage| chain.is_some_and(|(own, others)| system.judge(own, others, usage, UnixTime::now()).is_ok());
    if end.level != Level::Ok {
        return end;
    }
    if is_complete(if is_server { KeyUsage::server_auth() } else { KeyUsage::client_auth() }) {
        return Finding::ok("tls", format!("{}, chain complete", end.text));
    }
    // Public CAs no longer issue client certificates; some peers, such as Microsoft Teams, accept server certificates
    // from clients.
    if !is_server && is_complete(KeyUsage::server_auth()) {
        let text = format!("{}, chain complete, without client usage: some remote parties require it", end.text);
        return Finding::ok("tls", text);
    }
    if chain.is_some_and(|(own, _)| is_self_signed(own)) {
        let text = format!("{}; self-signed: only remote parties that have this certificate itself trust it", end.text);
        let fix = "nothing, if each remote party trusts it; otherwise use a certificate of a CA that they trust";
        return Finding::warn("tls", text, fix);
    }
    let text = format!("{}; the certificate chain does not end in a trusted root of this machine", end.text);
    Finding::warn(
        "tls",
        text,
        "append the intermediate certificates to the file; if a private CA issued it, import that CA at the remote party",
    )
}

pub(super) fn judge_end(whose: &str, expires: Timestamp) -> Finding {
    let text = format!("certificate of {whose}: {}", left(expires));
    match expires.duration_since(clock::now()) {
        left if left.is_negative() => {
            let text = format!("certificate of {whose} expired on {}", expires.strftime("%Y-%m-%d %H:%M UTC"));
            Finding::fail("tls", text, "replace the file: it is reloaded without a restart")
        }
        left if left < SignedDuration::from_hours(24 * CERTIFICATE_WARNING_DAYS) => {
            Finding::warn("tls", text, "replace the file: it is reloaded without a restart")
        }
        _ => Finding::ok("tls", text),
    }
}

/// Formats the remaining validity of a certificate.
fn left(expires: Timestamp) -> String {
    match expires.duration_since(clock::now()).as_hours() / 24 {
        days if days > DAYS_COUNTED => format!("until {}", expires.strftime("%Y-%m-%d")),
        1 => "1 day left".to_owned(),
        days => format!("{days} days left"),
    }
}

/// State shared by the concurrent OPTIONS requests.
#[derive(Debug, Clone)]
struct Asker {
    config: Arc<Config>,
    settings: Arc<TlsSettings>,
    resolver: Resolver,
    addressing: Arc<Addressing>,
    /// Whether the file has errors; if so, some of its tables are not tested.
    is_partial: bool,
    report: Arc<Report>,
}

/// Results of the OPTIONS requests, in addition to the findings.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// All resolved addresses of the peers.
    pub(super) addresses: Vec<IpAddr>,
    /// Observations about the network path.
    pub(super) told: Vec<Told>,
    /// Resolved names of the peers.
    found: ResolvedServers,
    /// Addresses that the edge would announce to the peers of each trunk.
    pub(super) announced: Vec<TrunkAddresses>,
}

/// Address of a trunk's peer to send OPTIONS to.
#[derive(Debug, Clone)]
struct PeerAddress {
    trunk: String,
    peer: Peer,
    transport: Transport,
    address: SocketAddr,
}

/// Findings about one address, and the observations about its path.
type Asked = (Vec<Finding>, Option<Told>);

/// Kinds of lines that need the peers' responses.
const NEEDED_BY: [&str; 6] = ["dns", "options", "public address", "inbound udp", "sip alg", "clock"];

/// Resolves all peers of all trunks and sends OPTIONS to each address, concurrently; the findings are in the order of
/// the file.
pub(super) async fn examine(
    config: &Arc<Config>,
    settings: &Arc<TlsSettings>,
    is_partial: bool,
    report: &Arc<Report>,
) -> (Vec<Finding>, Heard) {
    if !NEEDED_BY.into_iter().any(|kind| report.wants(kind)) {
        return (Vec::new(), Heard::default());
    }
    let asker = match Asker::new(config, settings, is_partial, report) {
        Ok(asker) => asker,
        Err(found) => return (report.take(vec![found]), Heard::default()),
    };
    let peers = config.trunks.iter().flat_map(|trunk| trunk.peers.iter().map(|peer| (Arc::clone(&trunk.name), peer)));
    let begun = peers.map(|(trunk, peer)| {
        let (asker, peer) = (asker.clone(), peer.clone());
        tokio::spawn(async move { asker.examine(&trunk, &peer).await })
    });
    let (mut findings, mut heard) = (Vec::new(), Heard::default());
    let registrars: Vec<_> =
        registrars(config).map(|(trunk, at)| tokio::spawn(asker.clone().look_up(trunk, at))).collect();
    let hosts: Vec<_> = own_host::named(config)
        .map(|(trunk, host)| tokio::spawn(asker.clone().look_up_own(Arc::clone(&trunk.name), host.to_owned())))
        .collect();
    for (lines, of_peer) in all(begun.collect()).await {
        findings.extend(lines);
        heard.addresses.extend(of_peer.addresses);
        heard.told.extend(of_peer.told);
        heard.found.extend(of_peer.found);
    }
    heard.announced = announced::of_config(config, &heard.found);
    findings.extend(all(registrars).await.into_iter().chain(all(hosts).await).flatten());
    (findings, heard)
}

/// Returns the registrars with a name, each with its trunk, except those that are peers as well and already have lines.
fn registrars(config: &Config) -> impl Iterator<Item = (Arc<str>, Destination)> {
    let own = |trunk: &Trunk| {
        let at = &trunk.register.as_ref()?.registrar;
        let is_peer = trunk.peers.iter().any(|peer| peer.destination.host.eq_ignore_ascii_case(&at.host));
        (at.literal().is_none() && !is_peer).then(|| (Arc::clone(&trunk.name), at.clone()))
    };
    config.trunks.iter().filter_map(own)
}

/// Returns a warning if addresses of a peer are outside the networks from which requests of its trunk are accepted.
fn outside_networks(trunk: &Trunk, addresses: &[IpAddr]) -> Option<Finding> {
    let is_outside = |ip: &&IpAddr| !trunk.accept_from.iter().any(|network| network.contains(*ip));
    let outside: Vec<String> = addresses.iter().filter(is_outside).map(IpAddr::to_string).collect();
    let first = outside.first().filter(|_| !trunk.accept_from.is_empty())?;
    let (name, all) = (&trunk.name, outside.join(", "));
    Some(Finding::warn(
        format!("options {name}"),
        format!("{all}: not in `accept_from` of [trunk.{name}]: requests from there are ignored"),
        format!("add {first} to `accept_from`, if this peer sends requests"),
    ))
}

impl Asker {
    fn new(
        config: &Arc<Config>,
        settings: &Arc<TlsSettings>,
        is_partial: bool,
        report: &Arc<Report>,
    ) -> Result<Asker, Finding> {
        let resolver = Resolver::new(means(config.listen.iter().map(|listen| (listen.transport, listen.address))));
        let resolver = resolver
            .map_err(|error| Finding::fail("dns", error.to_string(), "check /etc/resolv.conf, or TRUNKGATE_DNS"))?;
        let listeners = config.listen.iter().map(|listen| BoundListener {
            name: listen.name.clone(),
            transport: listen.transport,
            address: listen.address,
        });
        let interfaces = settings::machine_addresses(&config.table(&ResolvedServers::new()));
        let addressing = settings::addressing(config, &listeners.collect::<Vec<_>>(), &interfaces);
        Ok(Asker {
            config: Arc::clone(config),
            settings: Arc::clone(settings),
            resolver,
            addressing: Arc::new(addressing),
            is_partial,
            report: Arc::clone(report),
        })
    }

    fn trunk(&self, name: &str) -> Option<&Trunk> {
        self.config.trunks.iter().find(|known| *known.name == *name)
    }

    /// Resolves the host name of a trunk's registrar.
    async fn look_up(self, trunk: Arc<str>, registrar: Destination) -> Vec<Finding> {
        let located = self.resolver.locate(registrar.clone()).await;
        let whose = format!("registrar of {trunk}");
        self.report.take(vec![of_name(&whose, &format!("`register` of [trunk.{trunk}]"), &registrar.host, &located)])
    }

    /// Resolves the `contact_host` of a trunk.
    async fn look_up_own(self, trunk: Arc<str>, host: String) -> Vec<Finding> {
        let located = self.resolver.locate(own_host::destination(&host)).await;
        let found = self.trunk(&trunk).map(|trunk| own_host::judge_name(&self.config, trunk, &host, &located));
        self.report.take(found.into_iter().collect())
    }

    async fn examine(&self, trunk: &str, peer: &Peer) -> (Vec<Finding>, Heard) {
        let destination = &peer.destination;
        let mut findings = Vec::new();
        let servers = match destination.literal() {
            Some(server) => vec![server],
            None => {
                let located = self.resolver.locate(destination.clone()).await;
                let place = format!("`peers` or `domain` of [trunk.{trunk}]");
                findings.extend(self.report.take(vec![of_name(trunk, &place, &destination.host, &located)]));
                located.servers
            }
        };
        let sockets = servers.iter().flat_map(|server| server.sockets().map(|socket| (server.transport, socket)));
        let begun = sockets.map(|(transport, address)| {
            let (asker, place) =
                (self.clone(), PeerAddress { trunk: trunk.to_owned(), peer: peer.clone(), transport, address });
            tokio::spawn(async move {
                let (findings, told) = asker.ask(&place).await;
                (asker.report.take(findings), told)
            })
        });
        let addresses: Vec<IpAddr> = servers.iter().flat_map(|server| server.addresses.clone()).collect();
        let outside = self.trunk(trunk).and_then(|trunk| outside_networks(trunk, &addresses));
        findings.extend(self.report.take(outside.into_iter().collect()));
        let found = ResolvedServers::from([(destination.clone(), servers.clone())]);
        let mut heard = Heard { addresses, found, ..Heard::default() };
        for (lines, told) in all(begun.collect::<Vec<JoinHandle<Asked>>>()).await {
            findings.extend(lines);
            heard.told.extend(told);
        }
        (findings, heard)
    }

    /// Sends OPTIONS to one address; returns the finding and the observations about the path.
    async fn ask(&self, place: &PeerAddress) -> Asked {
        let PeerAddress { trunk, transport, address, .. } = place;
        let name = format!("options {trunk}");
        let shown = format!("{} {address}", transport.as_str());
        let began = Instant::now();
        let replied = match transport {
            Transport::Udp => self.by_datagrams(place).await,
            Transport::Tcp => self.by_stream(place, None).await,
            Transport::Tls => match self.settings.towards(trunk) {
                Some(tls) => self.by_stream(place, Some(tls)).await,
                None if self.is_partial => {
                    let text = format!("{shown}: not examined: the errors in the file leave no TLS listener");
                    return (vec![Finding::warn(name, text, "trunkgate check")], None);
                }
                None => Err(self.without_tls()),
            },
        };
        let Reply { answer, local, expires } = match replied {
            Ok(reply) => reply,
            Err(Unreached { what, fix }) => {
                let fix = tls_words::fix_of_trunk(&what, trunk).unwrap_or(fix);
                // A peer without `options_interval` need not respond to OPTIONS.
                let finding = if self.trunk(trunk).is_some_and(|trunk| trunk.options_interval.is_zero()) {
                    Finding::warn(
                        name,
                        format!("{shown}: {what} (not checked in operation: `options_interval` is 0)"),
                        fix,
                    )
                } else {
                    Finding::fail(name, format!("{shown}: {what}"), fix)
                };
                return (vec![finding], None);
            }
        };
        let seen = format!("{shown}: {} after {} ms", answer.line, began.elapsed().as_millis());
        let certificate = expires.map(|expires| format!("; its certificate: {}", left(expires))).unwrap_or_default();
        let is_soon = |expires: Timestamp| {
            expires.duration_since(clock::now()) < SignedDuration::from_hours(24 * CERTIFICATE_WARNING_DAYS)
        };
        let contact_host = self.trunk(trunk).and_then(|trunk| trunk.own_hosts.contact.as_deref());
        let finding = match (answer.line.get(8..11), contact_host) {
            (Some("403"), Some(host)) => Finding::warn(
                name,
                format!("{seen}: the far end knows the connection, but not the name {host}"),
                format!("check that {host} (`contact_host` of [trunk.{trunk}]) is paired at the far end"),
            ),
            (Some("408" | "503"), _) => {
                Finding::warn(name, format!("{seen}: it accepts no calls now"), "ask its operator")
            }
            _ if expires.is_some_and(is_soon) => {
                Finding::warn(name, format!("{seen}{certificate}"), "contact its operator")
            }
            _ => Finding::ok(name, format!("{seen}{certificate}")),
        };
        (vec![finding], Some(self.told(place, local, answer)))
    }

    /// Returns the reason why TLS peers are not tested: no TLS listener, or none with a usable certificate.
    fn without_tls(&self) -> Unreached {
        let listener = self.config.listen.iter().find(|listen| listen.transport == Transport::Tls);
        let (what, fix) = match listener {
            Some(listener) => (
                format!("not examined: the certificate of our listener {} cannot be used", listener.name),
                format!(
                    "correct `certificate` and `private_key` of [[listen]] {}, as line tls shows; then run doctor again",
                    listener.name
                ),
            ),
            None => (
                "no TLS listener, which the edge needs to connect".to_owned(),
                "add a [[listen]] with transport = \"tls\", or another `transport` in the peer's URI".to_owned(),
            ),
        };
        Unreached { what, fix }
    }

    /// Combines a response with the address that the edge would announce in a call to the peer.
    fn told(&self, place: &PeerAddress, local: SocketAddr, answer: Answer) -> Told {
        let PeerAddress { trunk, transport, address, .. } = place;
        let listen = self.trunk(trunk).and_then(|trunk| trunk.listen.as_deref());
        let way = self.addressing.way(listen, *transport, *address);
        let shown = way.map(|(_, local)| local.ip);
        let of_listener = way.and_then(|(flow, _)| self.config.listen.get(usize::from(flow.listener.0)));
        let of_listener = of_listener.filter(|listen| listen.public_address.iter().any(|ip| Some(*ip) == shown));
        let key = match of_listener {
            Some(listen) => Some(format!("[[listen]] `{}`: public_address", listen.name)),
            None => shown
                .filter(|shown| self.config.edge.public_address.contains(shown))
                .map(|_| "[edge] public_address".to_owned()),
        };
        Told {
            trunk: trunk.clone(),
            is_tls: *transport == Transport::Tls,
            local,
            shown,
            is_outside: !is_local(&self.config, address.ip()),
            key,
            // A stream's source port does not show how NAT treats datagrams.
            seen: answer.seen.map(|seen| Seen { port: seen.port.filter(|_| *transport == Transport::Udp), ..seen }),
            rewritten: answer.rewritten,
            ahead_ms: answer.ahead_ms,
        }
    }

    /// Returns the OPTIONS request for an address. For a trunk with `contact_host`, From and Contact name that host;
    /// otherwise they contain the socket's address, which reveals changes on the path.
    fn question(&self, place: &PeerAddress, us: SocketAddr) -> Question {
        let PeerAddress { trunk, peer, transport, address } = place;
        let named = self.trunk(trunk).filter(|trunk| trunk.own_hosts != OwnHosts::default());
        let way = named.and_then(|trunk| self.addressing.way(trunk.listen.as_deref(), *transport, *address));
        let local = way.map_or(LocalAddress { ip: us.ip(), port: us.port() }, |(_, local)| local);
        let hosts = named.map(|trunk| trunk.own_hosts.clone()).unwrap_or_default();
        let own = OwnUris::new(&hosts, local, *transport, &peer.uri);
        Question::new(*transport, &peer.destination.host, us, own)
    }

    async fn by_datagrams(&self, place: &PeerAddress) -> Result<Reply, Unreached> {
        let address = place.address;
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let own = self.source(place).unwrap_or(any);
        let failed = |error: std::io::Error| Unreached::of(&error, address, own);
        let socket = UdpSocket::bind((own, 0)).await.map_err(failed)?;
        socket.connect(address).await.map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        let question = self.question(place, local);
        let mut buffer = vec![0; ANSWER_BYTES];
        let (deadline, mut pause) = (Instant::now() + PATIENCE, T1);
        loop {
            let sent = Instant::now();
            socket.send(question.text().as_bytes()).await.map_err(failed)?;
            let left = deadline.saturating_duration_since(sent);
            match timeout(pause.min(left), socket.recv(&mut buffer)).await {
                Ok(Ok(length)) => {
                    let answer = question.read(buffer.get(..length).unwrap_or_default(), sent.elapsed())?;
                    return Ok(Reply { answer, local, expires: None });
                }
                // The socket is connected, so this is an ICMP error of the peer's address.
                Ok(Err(error)) => return Err(plain(&error).into()),
                Err(_) if left <= pause => {
                    return Err(format!("no answer to OPTIONS in {} s", PATIENCE.as_secs()).into());
                }
                Err(_) => pause *= 2,
            }
        }
    }

    /// Sends OPTIONS over a connection and returns the response.
    async fn by_stream(&self, place: &PeerAddress, tls: Option<Arc<ClientConfig>>) -> Result<Reply, Unreached> {
        let source = self.source(place);
        let connected = ConnectedStream::connect(source, place.address).await;
        let connected = connected.map_err(|error| Unreached::of_connection(&error, place.address, source))?;
        let tls = tls.map(|tls| (tls, place.peer.destination.host.as_str()));
        let ConnectedStream { mut stream, local, shown } = ConnectedStream::over(connected, tls).await?;
        let question = self.question(place, local);
        let (mut buffer, mut framer, mut whole) = (Vec::new(), Framer::new(ANSWER_BYTES), None);
        let began = Instant::now();
        let talked = timeout(PATIENCE, async {
            stream.write_all(question.text().as_bytes()).await?;
            stream.flush().await?;
            // Reads until a message is complete; keep-alives may precede it.
            while whole.is_none() && buffer.len() < ANSWER_BYTES {
                let before = buffer.len();
                if stream.read_buf(&mut buffer).await? == 0 {
                    break;
                }
                framer.push(buffer.get(before..).unwrap_or_default());
                while let Some(framed) = framer.pop() {
                    match framed {
                        FramedItem::Message(bytes) => whole = Some(bytes),
                        FramedItem::Ping => {}
                        FramedItem::Broken { .. } => return std::io::Result::Ok(()),
                    }
                }
            }
            Ok(())
        });
        match talked.await {
            Ok(Ok(())) if buffer.is_empty() => return Err("it closed the connection".to_owned().into()),
            Ok(Err(error)) => return Err(plain(&error).into()),
            // Even an incomplete response shows that the peer is alive.
            Err(_) if !buffer.contains(&b'\n') => {
                return Err(format!("no answer to OPTIONS in {} s", PATIENCE.as_secs()).into());
            }
            Ok(Ok(())) | Err(_) => {}
        }
        let answer = question.read(whole.as_deref().unwrap_or(&buffer), began.elapsed())?;
        Ok(Reply { answer, local, expires: shown.iter().filter_map(|one| not_after(one)).min() })
    }

    /// Returns the source address that the edge uses towards a peer, by which the peer may identify the edge: that of
    /// the edge's listener; `None` if the listener is bound to all addresses.
    fn source(&self, place: &PeerAddress) -> Option<IpAddr> {
        let listen = self.trunk(&place.trunk).and_then(|trunk| trunk.listen.as_deref());
        let listener = self.addressing.listener_for(listen, place.transport, place.address.ip())?;
        transport::source_of(listener.bound)
    }
}

/// Returns the finding about the DNS result for a host. `place` is the configuration key with the host.
pub(super) fn of_name(whose: &str, place: &str, host: &str, located: &LocatedServers) -> Finding {
    let shown = located.servers.iter().flat_map(|server| {
        server.sockets().map(|at| format!("{} {at}", server.transport.as_str())).collect::<Vec<_>>()
    });
    let shown: Vec<String> = shown.collect();
    match located.fault() {
        None => Finding::ok("dns", format!("{whose}: {host} → {}", shown.join(", "))),
        Some(NameFault::NotFound) => {
            let text = format!("{whose}: {host} has no address: {}", dns::words(NameFault::NotFound, host));
            Finding::fail("dns", text, format!("check the name in {place}"))
        }
        Some(fault) => {
            let fix = match fault {
                NameFault::Unanswered => dns::REACH_SERVERS.to_owned(),
                NameFault::NotFound | NameFault::ServerFailure | NameFault::Refused => dns::fix(fault, host, place),
            };
            Finding::fail("dns", format!("{whose}: {}", dns::words(fault, host)), fix)
        }
    }
}

/// Response to OPTIONS from one address.
struct Reply {
    pub answer: Answer,
    /// Local address of the OPTIONS request.
    local: SocketAddr,
    /// Earliest expiry date of the peer's certificates.
    expires: Option<Timestamp>,
}

/// Reason why an address did not respond, with the fix.
#[derive(Debug, PartialEq, Eq)]
struct Unreached {
    what: String,
    fix: String,
}

impl From<String> for Unreached {
    fn from(what: String) -> Unreached {
        let fix = "check its address and port, firewalls on the path, and whether it accepts this machine's address";
        Unreached { what, fix: fix.to_owned() }
    }
}

impl Unreached {
    /// Returns why a connection failed. For an unusable source address the fix concerns this machine, not the peer.
    fn of_connection(error: &std::io::Error, to: SocketAddr, source: Option<IpAddr>) -> Unreached {
        match source {
            Some(source) if matches!(transport::unsent(error), SendFailure::NotFromThere) => {
                Unreached::of(error, to, source)
            }
            _ => plain(error).into(),
        }
    }

    /// Describes an error of this machine's network in the words used for calls; the fix does not concern the peer.
    fn of(error: &std::io::Error, to: SocketAddr, from: IpAddr) -> Unreached {
        match transport::unsent(error) {
            SendFailure::Other => plain(error).into(),
            why @ (SendFailure::Forbidden | SendFailure::NoRoute | SendFailure::NotFromThere) => {
                let from = Some(from).filter(|from| !from.is_unspecified());
                Unreached { what: unsent::text(why, &to.to_string()), fix: unsent::fix_of_peer(why, to.ip(), from) }
            }
        }
    }
}

/// Opens and closes the WebSocket of each agent, concurrently.
pub(super) async fn agents(config: &Arc<Config>, report: &Arc<Report>) -> Vec<Finding> {
    let asked = config.agents.iter().filter(|agent| report.wants("agent") && !agent.is_raw());
    let begun = asked.map(|agent| {
        let (agent, config, report) = (agent.clone(), Arc::clone(config), Arc::clone(report));
        tokio::spawn(async move {
            let (name, began) = (format!("agent {}", agent.name), Instant::now());
            let found = match worker::try_agent(&agent, &config.edge.local_networks).await {
                Ok(()) => of_opened(name, &agent, began.elapsed()),
                Err((loss, what)) => {
                    let fix = remedy_of(&agent, loss, &what);
                    Finding::fail(name, what, fix)
                }
            };
            report.take(vec![found])
        })
    });
    all(begun.collect()).await.into_iter().flatten().collect()
}

/// Returns the finding about an opened WebSocket, which must have opened within the agent's `connect_timeout`.
fn of_opened(name: String, agent: &Agent, took: Duration) -> Finding {
    let opened = format!("WebSocket opened after {} ms", took.as_millis());
    if took < agent.connect_timeout {
        return Finding::ok(name, opened);
    }
    let fix = format!(
        "have the bot accept connections sooner (keep it running, load models before the first call), or set `connect_timeout` of [agent.{}] \
         above {} s",
        agent.name,
        took.as_secs() + 1
    );
    let limit = agent.connect_timeout.as_secs_f64();
    Finding::fail(
        name,
        format!("{opened}, but calls wait {limit} s at most (`connect_timeout`): they do not reach it"),
        fix,
    )
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::{configured, everything};
    use super::*;

    /// Starts a UDP peer that sends `answer` to the first request.
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
        let settings = Arc::new(TlsSettings::read(&config, &TlsSettings::default()).0);
        examine(&config, &settings, false, &everything()).await.0
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

    /// Sends OPTIONS to the first peer of the first trunk, given by address.
    async fn asked_at_once(text: &str) -> Finding {
        let config = Arc::new(configured(text));
        let settings = Arc::new(TlsSettings::read(&config, &TlsSettings::default()).0);
        let asker = Asker::new(&config, &settings, false, &everything()).unwrap();
        let peer = config.trunks[0].peers[0].clone();
        let server = peer.destination.literal().unwrap();
        let (transport, address) = (server.transport, server.sockets().next().unwrap());
        let place = PeerAddress { trunk: config.trunks[0].name.to_string(), peer, transport, address };
        asker.ask(&place).await.0.remove(0)
    }

    /// Starts a TCP peer that sends `answer` to the first bytes received; returns their source and text.
    async fn stream_peer(answer: &'static str) -> (SocketAddr, JoinHandle<(SocketAddr, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = tokio::spawn(async move {
            let (mut stream, from) = listener.accept().await.unwrap();
            let mut buffer = Vec::with_capacity(8_192);
            stream.read_buf(&mut buffer).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            (from, String::from_utf8_lossy(&buffer).into_owned())
        });
        (address, heard)
    }

    #[tokio::test]
    async fn options_have_the_names_that_the_edge_shows() {
        for (hosts, from, contact) in [
            ("", "127.0.0.1", "127.0.0.1"),
            ("contact_host = 'sbc.example.com'", "sbc.example.com", "sbc.example.com"),
            ("contact_host = 'sbc.example.com'\nfrom_host = 'example.com'", "example.com", "sbc.example.com"),
        ] {
            let (address, heard) = stream_peer("SIP/2.0 200 OK\r\n\r\n").await;
            let found = asked_at_once(&format!(
                "[[listen]]\ntransport = 'tcp'\naddress = '127.0.0.1:5090'\n\
                 [trunk.x]\npeers = ['sip:{address};transport=tcp']\n{hosts}\n"
            ))
            .await;
            assert_eq!(found.level, Level::Ok, "{found:?}");
            let (source, request) = heard.await.unwrap();
            let port = if hosts.is_empty() { source.port() } else { 5090 };
            assert!(request.contains(&format!("\r\nFrom: <sip:{from}:{port};transport=tcp>;tag=")), "{request}");
            assert!(request.contains(&format!("\r\nContact: <sip:{contact}:{port};transport=tcp>\r\n")), "{request}");
        }
    }

    #[tokio::test]
    async fn connections_come_from_the_address_of_the_listener() {
        let (folder, made) = (tempfile::tempdir().unwrap(), rcgen::generate_simple_self_signed(vec![]).unwrap());
        let file = folder.path().join("edge.pem");
        std::fs::write(&file, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
        let pair = format!("certificate = '{0}'\nprivate_key = '{0}'\n", file.display());
        for (transport, keys) in [("tcp", ""), ("tls", pair.as_str())] {
            let (address, heard) = stream_peer("SIP/2.0 200 OK\r\n\r\n").await;
            let of = |source| {
                format!(
                    "[[listen]]\ntransport = '{transport}'\naddress = '{source}:5090'\n{keys}\
                     [trunk.x]\npeers = ['sip:{address};transport={transport}']\n"
                )
            };
            asked_at_once(&of("127.0.0.2")).await;
            assert_eq!(heard.await.unwrap().0.ip(), IpAddr::from([127, 0, 0, 2]), "{transport}");
            // A documentation address (RFC 5737), which no interface has.
            let found = asked_at_once(&of("192.0.2.9")).await;
            assert!(found.text.contains("the source address cannot be used"), "{found:?}");
            assert!(found.fix.contains("from 192.0.2.9` and set `[[listen]] address`"), "{found:?}");
        }
    }

    #[test]
    fn a_trunk_may_have_a_certificate_without_client_usage() {
        let of_authority = |names: Vec<String>| rcgen::CertificateParams::new(names).unwrap();
        let (authority_key, key) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
        let mut authority = of_authority(Vec::new());
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let trust = TrustAnchors::of_pem(root.pem().as_bytes()).unwrap();
        let pair = |usages: Vec<rcgen::ExtendedKeyUsagePurpose>| {
            let mut params = of_authority(vec!["sbc.example.com".to_owned()]);
            params.extended_key_usages = usages;
            params.distinguished_name.push(rcgen::DnType::CommonName, "sbc.example.com");
            let made = params.signed_by(&key, &issuer).unwrap();
            trunkgate_system::certificates::pair_of(made.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
        };
        use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        for (usages, is_server, level, end) in [
            (vec![ServerAuth], true, Level::Ok, "chain complete"),
            (vec![ServerAuth, ClientAuth], false, Level::Ok, "chain complete"),
            (vec![ServerAuth], false, Level::Ok, "without client usage: some remote parties require it"),
            (vec![ClientAuth], true, Level::Warn, "does not end in a trusted root of this machine"),
        ] {
            let found = judge_own("trunk x", &pair(usages), &trust, is_server);
            assert!(found.level == level && found.text.ends_with(end), "{found:?}");
        }
    }

    #[test]
    fn a_peer_outside_the_accepted_networks_is_a_warning() {
        let of = |networks: &str| {
            let text = format!("[trunk.x]\npeers = ['sip:192.0.2.7']\naccept_from = [{networks}]\n");
            let addresses = ["192.0.2.7".parse().unwrap(), "198.51.100.7".parse().unwrap()];
            outside_networks(&configured(&text).trunks[0], &addresses)
        };
        assert_eq!((of(""), of("'192.0.2.0/24', '198.51.100.0/24'")), (None, None));
        let found = of("'192.0.2.0/24'").unwrap();
        assert_eq!(found.level, Level::Warn);
        assert!(found.text.starts_with("198.51.100.7: not in `accept_from` of [trunk.x]"), "{found:?}");
    }

    #[tokio::test]
    async fn a_403_to_a_name_is_a_warning() {
        for (host, level) in [("", Level::Ok), ("contact_host = 'sbc.example.com'", Level::Warn)] {
            let address = peer("SIP/2.0 403 Forbidden\r\n\r\n").await;
            let found = asked_at_once(&format!("[trunk.x]\npeers = ['sip:{address}']\n{host}\n")).await;
            assert_eq!(found.level, level, "{found:?}");
            assert_eq!(found.text.contains("not the name sbc.example.com"), level == Level::Warn, "{found:?}");
            assert_eq!(found.fix.contains("`contact_host` of [trunk.x]"), level == Level::Warn, "{found:?}");
        }
    }

    #[test]
    fn an_agent_that_opens_too_late_for_calls_fails() {
        let agent = Agent { connect_timeout: Duration::from_secs(3), ..Agent::at("bot", "ws://127.0.0.1/") };
        let of = |ms| of_opened("agent bot".to_owned(), &agent, Duration::from_millis(ms));
        assert_eq!(of(2_999), Finding::ok("agent bot", "WebSocket opened after 2999 ms"));
        let late = of(5_002);
        assert_eq!(late.level, Level::Fail);
        assert!(late.text.contains("calls wait 3 s at most (`connect_timeout`)"), "{late:?}");
        assert!(late.fix.ends_with("set `connect_timeout` of [agent.bot] above 6 s"), "{late:?}");
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
        let found = agents(&Arc::new(configured(&text)), &everything()).await;
        assert_eq!((found[0].level, found[0].name.as_str()), (Level::Fail, "agent bot"), "{found:?}");
    }

    #[test]
    fn what_this_machine_refuses_is_its_own_fault() {
        let (to, from) = ("198.51.100.7:5060".parse().unwrap(), [0; 4].into());
        let of = |errno| Unreached::of(&std::io::Error::from_raw_os_error(errno), to, from);
        let forbidden = of(nix::libc::EPERM);
        assert!(forbidden.what.starts_with("this machine cannot send packets to 198.51.100.7:5060"), "{forbidden:?}");
        assert!(forbidden.what.contains("(EPERM)") && forbidden.fix.contains("`iptables -S OUTPUT`"), "{forbidden:?}");
        assert!(!forbidden.fix.contains("accepts this machine's address"), "{forbidden:?}");
        assert!(of(nix::libc::ENETUNREACH).fix.contains("`ip route get 198.51.100.7`"));
        let refused = of(nix::libc::ECONNREFUSED);
        assert!(
            refused.what.starts_with("refused") && refused.fix.starts_with("check its address and port"),
            "{refused:?}"
        );
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
