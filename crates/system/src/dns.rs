//! DNS queries to the system's name servers, as many as are needed to locate a destination (RFC 3263).
//! `trunkgate_route::locate` decides on the queries and interprets the records. Nothing is cached here;
//! `crates/runtime/src/names.rs` caches the results.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::task::JoinSet;
use tokio::time::timeout;
use trunkgate_route::locate::{
    AvailableTransports, DnsAnswer, DnsQuery, DnsRecords, LocateStep, LocatedServers, NameFault, Naptr, ServerSearch,
    Srv,
};
use trunkgate_route::{Destination, Transport};

use crate::limits;

/// Environment variable with name servers in place of the system's: comma-separated addresses, with port 53 by default.
const NAME_SERVERS: &str = "TRUNKGATE_DNS";
/// Files that configure the system's resolver.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Resolver of DNS names; clones share its sockets.
#[derive(Debug, Clone)]
pub struct Resolver {
    means: Arc<AvailableTransports>,
    /// Name servers of `TRUNKGATE_DNS`; empty if the system's are used.
    servers: Arc<[SocketAddr]>,
    asking: Arc<Mutex<ResolverState>>,
}

/// Resolver in use, with the state of the configuration files from which it was created.
struct ResolverState {
    resolver: TokioResolver,
    stamp: Vec<Option<(i64, i64, u64)>>,
}

impl std::fmt::Debug for ResolverState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResolverState").field("stamp", &self.stamp).finish_non_exhaustive()
    }
}

impl Resolver {
    /// Creates a resolver for destinations that these transports and address families can reach.
    ///
    /// # Errors
    /// Returns an error if `TRUNKGATE_DNS` is not a list of addresses, or if the resolver cannot be created.
    pub fn new(means: AvailableTransports) -> io::Result<Resolver> {
        let servers: Arc<[SocketAddr]> = configured_servers()?.into();
        let asking = ResolverState { resolver: build(&servers, ResolveHosts::default())?, stamp: stamp() };
        Ok(Resolver { means: Arc::new(means), servers, asking: Arc::new(Mutex::new(asking)) })
    }

    /// Locates the servers of a destination, by several queries if necessary. Each query may take
    /// [`limits::LOOKUP_SECONDS`].
    pub async fn locate(&self, destination: Destination) -> LocatedServers {
        let resolver = self.resolver();
        let mut locating = ServerSearch::new(destination, AvailableTransports::clone(&self.means));
        let mut next = locating.start_search();
        loop {
            let questions = match next {
                LocateStep::Found(located) => return located,
                LocateStep::Ask(questions) => questions,
            };
            let mut asking = JoinSet::new();
            for question in questions {
                let (resolver, means) = (resolver.clone(), Arc::clone(&self.means));
                asking.spawn(async move {
                    let answer = ask(&resolver, &means, &question).await;
                    (question, answer)
                });
            }
            next = locating.process_answers(&asking.join_all().await);
        }
    }

    /// Returns the resolver. Recreates it if the system's configuration files have changed; keeps the old one if
    /// that fails.
    fn resolver(&self) -> TokioResolver {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamp();
        if asking.stamp != now {
            match build(&self.servers, ResolveHosts::default()) {
                Ok(resolver) => asking.resolver = resolver,
                Err(error) => tracing::warn!(
                    "changed name servers are not used, because their configuration cannot be read: {error}"
                ),
            }
            asking.stamp = now;
        }
        asking.resolver.clone()
    }
}

/// Returns the transports and address families that listeners with these addresses make available.
pub fn means(listeners: impl IntoIterator<Item = (Transport, SocketAddr)>) -> AvailableTransports {
    let mut means = AvailableTransports::default();
    for (transport, address) in listeners {
        if !means.transports.contains(&transport) {
            means.transports.push(transport);
        }
        means.v4 |= address.is_ipv4();
        means.v6 |= address.is_ipv6();
    }
    means
}

/// Returns the addresses of a host from the DNS servers, ignoring the hosts file.
///
/// # Errors
/// Returns an error if the resolver cannot be created, or the servers do not respond.
pub(crate) async fn addresses_by_servers(host: &str) -> io::Result<Vec<IpAddr>> {
    let resolver = build(&configured_servers()?, ResolveHosts::Never)?;
    let means = AvailableTransports { v4: true, v6: true, ..AvailableTransports::default() };
    match ask(&resolver, &means, &DnsQuery::Addresses(host.to_owned())).await.records {
        DnsRecords::Addresses(found) => Ok(found),
        DnsRecords::Failed(fault) => Err(io::Error::other(trunkgate_call::dns::words(fault, host))),
        DnsRecords::Nothing | DnsRecords::Naptr(_) | DnsRecords::Srv(_) => Ok(Vec::new()),
    }
}

/// Returns the name servers of `TRUNKGATE_DNS`; empty if the system's are used.
fn configured_servers() -> io::Result<Vec<SocketAddr>> {
    std::env::var(NAME_SERVERS).map_or_else(|_| Ok(Vec::new()), |text| name_servers(&text))
}

fn name_servers(text: &str) -> io::Result<Vec<SocketAddr>> {
    let read = |one: &str| {
        let one = one.trim();
        let bare = one.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        one.parse()
            .or(bare)
            .map_err(|_| io::Error::other(format!("{NAME_SERVERS}: `{one}` is not the address of a DNS server")))
    };
    text.split(',').filter(|one| !one.trim().is_empty()).map(read).collect()
}

fn build(servers: &[SocketAddr], hosts: ResolveHosts) -> io::Result<TokioResolver> {
    let (config, mut options) = match servers {
        [] => match read_system_conf() {
            Ok(found) => found,
            // The C library falls back to a server on this machine, too.
            Err(error) => {
                tracing::warn!("{}: {error}; using a DNS server on this machine", FILES[0]);
                let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
                (ResolverConfig::from_name_servers(vec![local]), ResolverOpts::default())
            }
        },
        servers => {
            let server = |address: &SocketAddr| {
                let at = |mut connection: ConnectionConfig| {
                    connection.port = address.port();
                    connection
                };
                let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
                NameServerConfig::new(address.ip(), true, connections)
            };
            (ResolverConfig::from_name_servers(servers.iter().map(server).collect()), ResolverOpts::default())
        }
    };
    // The caller caches results and queries again when they expire, so another cache would only serve older records.
    options.cache_size = 0;
    // Otherwise a query may use any port from 1024 on, and occupy a media port while it waits.
    options.os_port_selection = true;
    options.use_hosts_file = hosts;
    options.timeout = options.timeout.min(Duration::from_millis(limits::NAME_SERVER_MILLISECONDS));
    options.attempts = options.attempts.min(1);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build().map_err(io::Error::other)
}

fn stamp() -> Vec<Option<(i64, i64, u64)>> {
    let of = |file| std::fs::metadata(file).ok().map(|about| (about.mtime(), about.mtime_nsec(), about.ino()));
    FILES.into_iter().map(of).collect()
}

async fn ask(resolver: &TokioResolver, means: &AvailableTransports, question: &DnsQuery) -> DnsAnswer {
    match question {
        DnsQuery::Naptr(name) => lookup(resolver, name, RecordType::NAPTR).await,
        DnsQuery::Srv(name) => lookup(resolver, name, RecordType::SRV).await,
        DnsQuery::Addresses(name) => {
            let (v4, v6) = tokio::join!(
                async { if means.v4 { Some(lookup(resolver, name, RecordType::A).await) } else { None } },
                async { if means.v6 { Some(lookup(resolver, name, RecordType::AAAA).await) } else { None } },
            );
            both(v4, v6)
        }
    }
}

/// Merges the answers for IPv4 and IPv6 addresses into one.
fn both(v4: Option<DnsAnswer>, v6: Option<DnsAnswer>) -> DnsAnswer {
    let (mut addresses, mut ttl_seconds, mut failed) = (Vec::new(), None::<u32>, None);
    for answer in [v4, v6].into_iter().flatten() {
        match answer.records {
            DnsRecords::Failed(fault) => {
                failed.get_or_insert(fault);
                continue;
            }
            DnsRecords::Addresses(found) => addresses.extend(found),
            DnsRecords::Nothing | DnsRecords::Naptr(_) | DnsRecords::Srv(_) => continue,
        }
        ttl_seconds = match (ttl_seconds, answer.ttl_seconds) {
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
    }
    let records = match (addresses.is_empty(), failed) {
        (true, Some(fault)) => DnsRecords::Failed(fault),
        (true, None) => DnsRecords::Nothing,
        (false, _) => DnsRecords::Addresses(addresses),
    };
    DnsAnswer { records, ttl_seconds }
}

async fn lookup(resolver: &TokioResolver, name: &str, kind: RecordType) -> DnsAnswer {
    // A name with a dot is not searched for in the system's search domains, because a name found there may belong to
    // another operator.
    let absolute = if name.contains('.') && !name.ends_with('.') { format!("{name}.") } else { name.to_owned() };
    let looking = resolver.lookup(absolute, kind);
    match timeout(Duration::from_secs(limits::LOOKUP_SECONDS), looking).await {
        Ok(Ok(found)) => answer(found.answers(), kind),
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none)))) => {
            DnsAnswer { records: DnsRecords::Nothing, ttl_seconds: none.negative_ttl }
        }
        Ok(Err(error)) => {
            tracing::debug!("{kind} of `{name}`: {error}");
            DnsAnswer { records: DnsRecords::Failed(fault(&error)), ttl_seconds: None }
        }
        Err(_) => {
            tracing::debug!("{kind} of `{name}`: no answer in {} s", limits::LOOKUP_SECONDS);
            DnsAnswer { records: DnsRecords::Failed(NameFault::Unanswered), ttl_seconds: None }
        }
    }
}

/// Converts a resolver error into the reason why a name cannot be used.
fn fault(error: &NetError) -> NameFault {
    let NetError::Dns(DnsError::ResponseCode(code)) = error else { return NameFault::Unanswered };
    if *code == ResponseCode::Refused { NameFault::Refused } else { NameFault::ServerFailure }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "DNS has dozens of kinds, and these are asked for")]
fn answer(records: &[Record], kind: RecordType) -> DnsAnswer {
    let (mut naptr, mut srv, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
    let mut ttl_seconds: Option<u32> = None;
    for record in records.iter().take(limits::DNS_RECORDS) {
        match &record.data {
            RData::A(ip) => addresses.push(IpAddr::V4(ip.0)),
            RData::AAAA(ip) => addresses.push(IpAddr::V6(ip.0)),
            RData::SRV(one) => srv.push(Srv {
                priority: one.priority,
                weight: one.weight,
                port: one.port,
                target: one.target.to_ascii(),
            }),
            RData::NAPTR(one) => naptr.push(Naptr {
                order: one.order,
                preference: one.preference,
                flags: String::from_utf8_lossy(&one.flags).into_owned(),
                service: String::from_utf8_lossy(&one.services).into_owned(),
                replacement: one.replacement.to_ascii(),
            }),
            _ => continue,
        }
        ttl_seconds = Some(ttl_seconds.map_or(record.ttl, |known| known.min(record.ttl)));
    }
    let records = match kind {
        RecordType::NAPTR if !naptr.is_empty() => DnsRecords::Naptr(naptr),
        RecordType::SRV if !srv.is_empty() => DnsRecords::Srv(srv),
        RecordType::A | RecordType::AAAA if !addresses.is_empty() => DnsRecords::Addresses(addresses),
        _ => DnsRecords::Nothing,
    };
    DnsAnswer { records, ttl_seconds }
}

/// Formats the servers of a destination for a log line.
pub fn shown(servers: &[trunkgate_route::DestinationServer]) -> String {
    let one = |server: &trunkgate_route::DestinationServer| {
        let transport: Transport = server.transport;
        server.sockets().map(|socket| format!("{}:{socket}", transport.as_str())).collect::<Vec<_>>().join(" ")
    };
    servers.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_addresses_with_or_without_a_port() {
        let read = |text: &str| name_servers(text).map_err(|error| error.to_string());
        let expected: Vec<SocketAddr> =
            ["127.0.0.1:5353", "[2001:db8::1]:53", "192.0.2.1:53"].map(|a| a.parse().unwrap()).into();
        assert_eq!(read("127.0.0.1:5353, 2001:db8::1,192.0.2.1"), Ok(expected));
        assert_eq!(read(""), Ok(vec![]));
        assert!(read("dns.example").unwrap_err().contains("`dns.example` is not the address"));
    }

    #[test]
    fn families_are_one_answer() {
        let some = |text: &str, ttl| DnsAnswer {
            records: DnsRecords::Addresses(vec![text.parse().unwrap()]),
            ttl_seconds: Some(ttl),
        };
        let none = |records| DnsAnswer { records, ttl_seconds: Some(1) };
        let joined = both(Some(some("192.0.2.1", 60)), Some(some("2001:db8::1", 30)));
        let addresses = ["192.0.2.1", "2001:db8::1"].map(|a| a.parse().unwrap()).to_vec();
        assert_eq!(joined, DnsAnswer { records: DnsRecords::Addresses(addresses), ttl_seconds: Some(30) });
        let half = both(Some(some("192.0.2.1", 60)), Some(none(DnsRecords::Failed(NameFault::Refused))));
        assert_eq!(half, some("192.0.2.1", 60));
        assert_eq!(
            both(Some(none(DnsRecords::Nothing)), Some(none(DnsRecords::Failed(NameFault::Refused)))).records,
            DnsRecords::Failed(NameFault::Refused)
        );
        assert_eq!(both(Some(none(DnsRecords::Nothing)), None).records, DnsRecords::Nothing);
    }
}
