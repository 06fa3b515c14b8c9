//! Locates SIP servers (RFC 3263): selects the next DNS queries, evaluates their records, and orders the servers
//! found. The caller provides sockets, timeouts and the clock.

use std::net::{IpAddr, SocketAddr};

use crate::share;
use trunkgate_terms::Transport;

/// Maximum number of NAPTR records evaluated per name.
pub const NAPTR_RECORDS: usize = 8;
/// Maximum number of servers kept per destination.
pub const SERVERS: usize = 16;
/// Maximum number of addresses kept per server.
pub const SERVER_ADDRESSES: usize = 8;

/// Destination of a SIP URI: host, port and transport, before any DNS lookup.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Destination {
    /// Host name or IP address (IPv6 without brackets).
    pub host: String,
    /// Port, if written; DNS is then queried only for addresses (RFC 3263 §4.2).
    pub port: Option<u16>,
    /// Transport; the default is UDP, or TLS for `sips`.
    pub transport: Transport,
    /// Whether the transport is written; if so, DNS does not select it (RFC 3263 §4.1).
    #[serde(default)]
    pub is_fixed: bool,
}

impl Destination {
    /// Returns the host as a server, if it is an IP address; `None` for a host name.
    pub fn literal(&self) -> Option<DestinationServer> {
        let address: IpAddr = self.host.parse().ok()?;
        Some(DestinationServer { addresses: vec![address], ..self.server(self.transport) })
    }

    /// Returns whether the host is a number that some resolvers interpret as an IPv4 address (`0x7f.1`, `2130706433`,
    /// `127.0.0.01`, `127.0.0.1.`). No host name ends in a number (RFC 3696 §2), so such a host is never resolved.
    pub fn is_odd_address(&self) -> bool {
        let last = bare_host(&self.host).rsplit('.').next().unwrap_or_default();
        let is_hex = last.get(..2).is_some_and(|begins| begins.eq_ignore_ascii_case("0x"));
        let is_number = is_hex || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
        is_number && self.host.parse::<IpAddr>().is_err()
    }

    /// Returns the port of the URI, or else the default port of its transport.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(self.transport.default_port())
    }

    /// Returns the host itself as a server for a transport, without addresses.
    fn server(&self, transport: Transport) -> DestinationServer {
        let port = self.port.unwrap_or(transport.default_port());
        DestinationServer { transport, port, tier: 0, priority: 0, weight: 0, addresses: Vec::new() }
    }
}

/// Server of a destination: the target of an SRV record, or the host of the URI itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationServer {
    /// Transport to the server.
    pub transport: Transport,
    /// Port of the server.
    pub port: u16,
    /// Rank by NAPTR order and preference, lower first.
    pub tier: u8,
    /// SRV priority, lower first (RFC 2782).
    pub priority: u16,
    /// SRV weight among servers of equal priority (RFC 2782).
    pub weight: u16,
    /// Addresses of the server, IPv4 first.
    pub addresses: Vec<IpAddr>,
}

impl DestinationServer {
    /// Iterates over the server's addresses, each with its port.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().map(|address| SocketAddr::new(*address, self.port))
    }
}

/// Returns the servers in the order to try them. `pick(total)` returns a random number below `total`. The addresses
/// of one server begin at a random one, IPv4 before IPv6.
pub fn in_order(servers: &[DestinationServer], pick: &mut dyn FnMut(u32) -> u32) -> Vec<DestinationServer> {
    let rank = |server: &DestinationServer| (server.tier, server.priority);
    let mut servers = share::ordered(servers.to_vec(), rank, |server| server.weight, pick);
    for server in &mut servers {
        let v4 = server.addresses.iter().take_while(|address| address.is_ipv4()).count();
        let (v4, v6) = server.addresses.split_at_mut(v4);
        for family in [v4, v6].into_iter().filter(|family| family.len() > 1) {
            let first = pick(u32::try_from(family.len()).unwrap_or(u32::MAX));
            family.rotate_left(usize::try_from(first).unwrap_or(0) % family.len());
        }
    }
    servers
}

/// Transports and address families with which the edge's listeners can send.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AvailableTransports {
    /// Transports of the edge's listeners.
    pub transports: Vec<Transport>,
    /// Whether a listener can send over IPv4.
    pub v4: bool,
    /// Whether a listener can send over IPv6.
    pub v6: bool,
}

/// DNS query that the caller of the search is to send.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DnsQuery {
    /// Query for the NAPTR records of this name.
    Naptr(String),
    /// Query for the SRV records of this name.
    Srv(String),
    /// A and AAAA records of a name, each only if its address family is available.
    Addresses(String),
}

/// NAPTR record (RFC 3403 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// NAPTR order, lower first.
    pub order: u16,
    /// Preference among records of equal order, lower first.
    pub preference: u16,
    /// Flags; `s` means that `replacement` is a name for SRV queries.
    pub flags: String,
    /// Service: `SIP+D2U` (UDP), `SIP+D2T` (TCP) or `SIPS+D2T` (TLS).
    pub service: String,
    /// Domain name to query next.
    pub replacement: String,
}

/// SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// SRV priority, lower first.
    pub priority: u16,
    /// SRV weight among records of equal priority.
    pub weight: u16,
    /// Port of the server.
    pub port: u16,
    /// Host name of the server; the root (`.`) means that the service is not available.
    pub target: String,
}

/// Result of a DNS query: records of the queried type, or the reason for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsRecords {
    /// NAPTR records of the name.
    Naptr(Vec<Naptr>),
    /// SRV records of the name.
    Srv(Vec<Srv>),
    /// Addresses of the name, IPv4 first.
    Addresses(Vec<IpAddr>),
    /// The name has no records of this type.
    Nothing,
    /// There was no usable response; results of an earlier lookup may still be valid.
    Failed(NameFault),
}

/// Reason why a lookup has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameFault {
    /// DNS reports that the name has no address.
    NotFound,
    /// No response from a DNS server in time.
    Unanswered,
    /// The DNS server responded with SERVFAIL or another server error.
    ServerFailure,
    /// The DNS server responded with REFUSED: it does not serve this machine.
    Refused,
}

/// DNS records with their lifetime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsAnswer {
    /// Records of the response, or the reason why there are none.
    pub records: DnsRecords,
    /// Lifetime of the records in seconds; `None` if unknown.
    pub ttl_seconds: Option<u32>,
}

/// Next step of a search for servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocateStep {
    /// Send these queries in parallel, and pass their results to [`ServerSearch::process_answers`].
    Ask(Vec<DnsQuery>),
    /// The search is complete, with these servers.
    Found(LocatedServers),
}

/// Result of a search for servers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocatedServers {
    /// Servers found, in no particular order within a tier and priority.
    pub servers: Vec<DestinationServer>,
    /// Lifetime of the result in seconds: the shortest lifetime of any record used; `None` if unknown.
    pub ttl_seconds: Option<u32>,
    /// Reason why a query failed; `None` if all succeeded. After a failure, an older result may be better.
    pub unanswered: Option<NameFault>,
}

impl LocatedServers {
    /// Returns whether all queries of the search succeeded.
    pub const fn is_complete(&self) -> bool {
        self.unanswered.is_none()
    }

    /// Returns the reason for an empty result; `None` if a server was found.
    pub fn fault(&self) -> Option<NameFault> {
        self.servers.is_empty().then(|| self.unanswered.unwrap_or(NameFault::NotFound))
    }
}

/// Name to query for SRV records, with the transport that its servers use.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SrvName {
    name: String,
    transport: Transport,
}

/// SRV record selected by the search; the addresses of its target are not yet known.
#[derive(Debug)]
struct SrvCandidate {
    target: String,
    server: DestinationServer,
}

/// Search for the servers of one destination (RFC 3263).
#[derive(Debug)]
pub struct ServerSearch {
    destination: Destination,
    means: AvailableTransports,
    offered: Vec<SrvName>,
    candidates: Vec<SrvCandidate>,
    ttl_seconds: Option<u32>,
    unanswered: Option<NameFault>,
}

impl ServerSearch {
    /// Creates a search for a destination with the available transports and address families.
    pub fn new(destination: Destination, means: AvailableTransports) -> ServerSearch {
        let (offered, candidates) = (Vec::new(), Vec::new());
        ServerSearch { destination, means, offered, candidates, ttl_seconds: None, unanswered: None }
    }

    /// Starts the search. Returns the first queries to send, or the result if no query is needed.
    pub fn start_search(&mut self) -> LocateStep {
        if self.destination.is_odd_address() {
            return self.found(Vec::new());
        }
        if let Some(server) = self.destination.literal() {
            return LocateStep::Found(LocatedServers { servers: vec![server], ttl_seconds: None, unanswered: None });
        }
        if self.destination.port.is_some() {
            return self.ask_host();
        }
        if self.destination.is_fixed {
            return self.ask_services(vec![self.destination.transport]);
        }
        LocateStep::Ask(vec![DnsQuery::Naptr(self.destination.host.clone())])
    }

    /// Processes the results of the last queries and returns the next step; a query without a result counts as
    /// failed.
    pub fn process_answers(&mut self, answers: &[(DnsQuery, DnsAnswer)]) -> LocateStep {
        for (_, answer) in answers {
            if let DnsRecords::Failed(fault) = answer.records {
                // An error response is more specific than no response.
                let is_known = self.unanswered.is_some_and(|known| known != NameFault::Unanswered);
                self.unanswered = self.unanswered.filter(|_| is_known).or(Some(fault));
            }
            self.ttl_seconds = match (self.ttl_seconds, answer.ttl_seconds) {
                (Some(known), Some(new)) => Some(known.min(new)),
                (known, new) => known.or(new),
            };
        }
        match answers.first() {
            Some((DnsQuery::Naptr(_), answer)) => self.naptr(&answer.records),
            Some((DnsQuery::Srv(_), _)) => self.srv(answers),
            Some((DnsQuery::Addresses(_), _)) => self.addresses(answers),
            None => {
                self.unanswered.get_or_insert(NameFault::Unanswered);
                self.found(Vec::new())
            }
        }
    }

    /// Selects the services of the NAPTR records that both sides support, in the domain's order (RFC 3263 §4.1).
    /// Without NAPTR records, SRV is queried for each transport.
    fn naptr(&mut self, records: &DnsRecords) -> LocateStep {
        let mut usable: Vec<(u16, u16, SrvName)> = Vec::new();
        if let DnsRecords::Naptr(records) = records {
            for record in records.iter().take(NAPTR_RECORDS).filter(|record| record.flags.eq_ignore_ascii_case("s")) {
                let transport = match record.service.to_ascii_uppercase().as_str() {
                    "SIP+D2U" => Transport::Udp,
                    "SIP+D2T" => Transport::Tcp,
                    "SIPS+D2T" => Transport::Tls,
                    _ => continue,
                };
                if self.may_use(transport) {
                    let service = SrvName { name: record.replacement.clone(), transport };
                    usable.push((record.order, record.preference, service));
                }
            }
        }
        usable.sort_by_key(|(order, preference, _)| (*order, *preference));
        if usable.is_empty() {
            let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
            // Without NAPTR, a `sip` URI does not use TLS.
            let plain = all.into_iter().filter(|transport| self.is_secure() == (*transport == Transport::Tls));
            return self.ask_services(plain.filter(|transport| self.may_use(*transport)).collect());
        }
        self.offered = usable.into_iter().map(|(_, _, service)| service).collect();
        self.ask_srv()
    }

    /// Makes each SRV record a server; without records, the host itself is the server (RFC 3263 §4.2). If all records
    /// decline the service (target `.` or port 0), no server is found.
    fn srv(&mut self, answers: &[(DnsQuery, DnsAnswer)]) -> LocateStep {
        let mut is_declined = false;
        for (tier, service) in (0..).zip(&self.offered) {
            let asked = |question: &DnsQuery| matches!(question, DnsQuery::Srv(name) if *name == service.name);
            let Some((_, answer)) = answers.iter().find(|(question, _)| asked(question)) else { continue };
            let DnsRecords::Srv(records) = &answer.records else { continue };
            for record in records {
                if matches!(record.target.as_str(), "" | ".") || record.port == 0 {
                    is_declined = true;
                    continue;
                }
                let Srv { priority, weight, port, .. } = *record;
                let transport = service.transport;
                let server = DestinationServer { transport, port, tier, priority, weight, addresses: Vec::new() };
                self.candidates.push(SrvCandidate { target: record.target.clone(), server });
            }
        }
        self.candidates.sort_by_key(|candidate| (candidate.server.tier, candidate.server.priority));
        self.candidates.truncate(SERVERS);
        if self.candidates.is_empty() {
            return if is_declined { self.found(Vec::new()) } else { self.ask_host() };
        }
        let mut targets: Vec<DnsQuery> = Vec::new();
        for candidate in &self.candidates {
            let question = DnsQuery::Addresses(candidate.target.clone());
            if !targets.contains(&question) {
                targets.push(question);
            }
        }
        LocateStep::Ask(targets)
    }

    fn addresses(&mut self, answers: &[(DnsQuery, DnsAnswer)]) -> LocateStep {
        let mut servers = Vec::new();
        for candidate in std::mem::take(&mut self.candidates) {
            let asked =
                |question: &DnsQuery| matches!(question, DnsQuery::Addresses(name) if *name == candidate.target);
            let answer = answers.iter().find(|(question, _)| asked(question)).map(|(_, answer)| &answer.records);
            let Some(DnsRecords::Addresses(found)) = answer else { continue };
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.iter().map(IpAddr::to_canonical) {
                let wanted = if address.is_ipv4() { self.means.v4 } else { self.means.v6 };
                if wanted && addresses.len() < SERVER_ADDRESSES && !addresses.contains(&address) && is_host(address) {
                    addresses.push(address);
                }
            }
            if !addresses.is_empty() {
                // DNS rotates the order of addresses; a different order must not count as a change of the result.
                addresses.sort_unstable();
                servers.push(DestinationServer { addresses, ..candidate.server });
            }
        }
        self.found(servers)
    }

    fn ask_services(&mut self, transports: Vec<Transport>) -> LocateStep {
        let name = |transport: Transport| {
            let prefix = match transport {
                Transport::Udp => "_sip._udp",
                Transport::Tcp => "_sip._tcp",
                Transport::Tls => "_sips._tcp",
            };
            SrvName { name: format!("{prefix}.{}", self.destination.host), transport }
        };
        self.offered = transports.into_iter().map(name).collect();
        self.ask_srv()
    }

    fn ask_srv(&self) -> LocateStep {
        let mut names: Vec<DnsQuery> = Vec::new();
        for service in &self.offered {
            let question = DnsQuery::Srv(service.name.clone());
            if !names.contains(&question) {
                names.push(question);
            }
        }
        LocateStep::Ask(names)
    }

    fn ask_host(&mut self) -> LocateStep {
        let target = self.destination.host.clone();
        self.candidates =
            vec![SrvCandidate { target: target.clone(), server: self.destination.server(self.destination.transport) }];
        LocateStep::Ask(vec![DnsQuery::Addresses(target)])
    }

    fn found(&self, servers: Vec<DestinationServer>) -> LocateStep {
        LocateStep::Found(LocatedServers { servers, ttl_seconds: self.ttl_seconds, unanswered: self.unanswered })
    }

    /// Returns whether the URI has the scheme `sips`, which requires TLS (RFC 3261 §26.2.2).
    fn is_secure(&self) -> bool {
        self.destination.transport == Transport::Tls
    }

    fn may_use(&self, transport: Transport) -> bool {
        let own = transport == self.destination.transport;
        own || (self.means.transports.contains(&transport) && !self.is_secure())
    }
}

/// Returns a host name without the trailing dot of the root.
pub fn bare_host(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Returns whether two hosts are equal: names without regard to case and a trailing dot, addresses by value.
pub fn same_host(one: &str, other: &str) -> bool {
    let address = |host: &str| host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    match (address(one), address(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => bare_host(one).eq_ignore_ascii_case(bare_host(other)),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Returns whether an address can be that of a host: unspecified and multicast addresses cannot.
fn is_host(address: IpAddr) -> bool {
    !(address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_the_same_by_name_or_by_address() {
        for (one, other) in
            [("carrier.test", "Carrier.TEST."), ("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8::1", "2001:DB8:0:0::1")]
        {
            assert!(same_host(one, other) && same_host(other, one), "{one} {other}");
        }
        for (one, other) in
            [("carrier.test", "xcarrier.test"), ("192.0.2.1", "192.0.2.1."), ("192.0.2.1", "::192.0.2.1")]
        {
            assert!(!same_host(one, other), "{one} {other}");
        }
    }

    #[test]
    fn what_only_looks_like_an_address_is_asked_of_nobody() {
        let to = |host: &str| Destination {
            host: host.into(),
            port: Some(5060),
            transport: Transport::Udp,
            is_fixed: false,
        };
        for host in ["0x7f.1", "2130706433", "127.1", "127.0.0.01", "127.0.0.1.", "x.0X7F", "1.2.3.4.5"] {
            assert!(to(host).is_odd_address(), "{host}");
            let LocateStep::Found(found) = ServerSearch::new(to(host), AvailableTransports::default()).start_search()
            else {
                panic!("{host}")
            };
            assert!(found.servers.is_empty(), "{host}");
        }
        for host in ["127.0.0.1", "2001:db8::1", "::ffff:1.2.3.4", "carrier.test", "4.example", "sbc1.x9"] {
            assert!(!to(host).is_odd_address(), "{host}");
        }
    }
}
