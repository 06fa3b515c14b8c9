//! Locating SIP servers (RFC 3263): which question to DNS comes next, what its records come to, and in which order the
//! servers found are tried. Sockets, time-outs and the clock are the asker's.

use std::net::{IpAddr, SocketAddr};

use crate::share;
use trunkgate_terms::Transport;

/// NAPTR records of one name that are looked at.
pub const NAPTR_RECORDS: usize = 8;
/// Servers of one destination that are kept.
pub const SERVERS: usize = 16;
/// Addresses of one server that are kept.
pub const SERVER_ADDRESSES: usize = 8;

/// Where a SIP URI leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Destination {
    /// Host name or address (IPv6 without brackets).
    pub host: String,
    /// Port, where written: DNS is then asked for addresses only (RFC 3263 §4.2).
    pub port: Option<u16>,
    /// Transport; UDP where none is written, TLS under `sips`.
    pub transport: Transport,
    /// Whether the transport is written: DNS does not choose it then (RFC 3263 §4.1).
    #[serde(default)]
    pub is_fixed: bool,
}

impl Destination {
    /// The server that an address names by itself.
    pub fn literal(&self) -> Option<Server> {
        let address: IpAddr = self.host.parse().ok()?;
        Some(Server { addresses: vec![address], ..self.server(self.transport) })
    }

    /// Whether the host is a number in a form that some resolvers take for an IPv4 address (`0x7f.1`, `2130706433`,
    /// `127.0.0.01`, `127.0.0.1.`): no name ends in one (RFC 3696 §2), and it is asked of no name service.
    pub fn is_odd_address(&self) -> bool {
        let last = bare_host(&self.host).rsplit('.').next().unwrap_or_default();
        let is_hex = last.get(..2).is_some_and(|begins| begins.eq_ignore_ascii_case("0x"));
        let is_number = is_hex || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
        is_number && self.host.parse::<IpAddr>().is_err()
    }

    /// The port that requests go to where no name service says otherwise.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(self.transport.default_port())
    }

    /// The host itself over a transport, still without addresses.
    fn server(&self, transport: Transport) -> Server {
        let port = self.port.unwrap_or(transport.default_port());
        Server { transport, port, tier: 0, priority: 0, weight: 0, addresses: Vec::new() }
    }
}

/// One server of a destination: the target of an SRV record, or the host itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// How it is spoken to.
    pub transport: Transport,
    /// Its port.
    pub port: u16,
    /// Lower first: NAPTR's order and preference, counted.
    pub tier: u8,
    /// Lower first (RFC 2782).
    pub priority: u16,
    /// Share among equals (RFC 2782).
    pub weight: u16,
    /// Its addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
}

impl Server {
    /// Each of its addresses with the port.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.addresses.iter().map(|address| SocketAddr::new(*address, self.port))
    }
}

/// Servers in the order to try them; `pick(total)` returns a random number below `total`. Several addresses of one server
/// are equals: each begins as often as the others, IPv4 before IPv6.
pub fn in_order(servers: &[Server], pick: &mut dyn FnMut(u32) -> u32) -> Vec<Server> {
    let rank = |server: &Server| (server.tier, server.priority);
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

/// What we can send by: the transports and address families of our listeners.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Means {
    /// Transports.
    pub transports: Vec<Transport>,
    /// Whether IPv4 addresses are of use.
    pub v4: bool,
    /// Whether IPv6 addresses are.
    pub v6: bool,
}

/// A question to DNS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// NAPTR of a name.
    Naptr(String),
    /// SRV of a name.
    Srv(String),
    /// A and AAAA of a name, as far as they are of use.
    Addresses(String),
}

/// A NAPTR record (RFC 3403 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// Lower first.
    pub order: u16,
    /// Lower first within an order.
    pub preference: u16,
    /// `s`: the replacement is a name for SRV.
    pub flags: String,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`.
    pub service: String,
    /// Where it leads.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// Share among equals.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// The server's name; the root: the service is not offered.
    pub target: String,
}

/// What DNS said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Records {
    /// NAPTR records.
    Naptr(Vec<Naptr>),
    /// SRV records.
    Srv(Vec<Srv>),
    /// Addresses, IPv4 first.
    Addresses(Vec<IpAddr>),
    /// There are none of that kind.
    Nothing,
    /// No answer, or one that says nothing: what was known before may still hold.
    Failed(NameFault),
}

/// Cause of a look-up without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameFault {
    /// DNS says that the name has no address.
    NotFound,
    /// No DNS server answered in time.
    Unanswered,
    /// The DNS server answered SERVFAIL, or another error of its own.
    ServerFailure,
    /// The DNS server answered REFUSED: it does not serve this machine.
    Refused,
}

/// An answer and how long it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it says.
    pub records: Records,
    /// In seconds; `None`: it does not say.
    pub ttl_seconds: Option<u32>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// These questions, all at once.
    Ask(Vec<Question>),
    /// It is done.
    Found(Located),
}

/// What a destination was found to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Located {
    /// Its servers, still without an order among those of one tier and priority.
    pub servers: Vec<Server>,
    /// How long that holds, in seconds: the shortest life of any record that it rests on.
    pub ttl_seconds: Option<u32>,
    /// Why a question was not answered; `None`: each was. Where one was not, an older result may be the better one.
    pub unanswered: Option<NameFault>,
}

impl Located {
    /// Whether every question was answered.
    pub const fn is_complete(&self) -> bool {
        self.unanswered.is_none()
    }

    /// Returns why nothing was found; `None`: something was.
    pub fn fault(&self) -> Option<NameFault> {
        self.servers.is_empty().then(|| self.unanswered.unwrap_or(NameFault::NotFound))
    }
}

/// A name for SRV and the transport that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offered {
    name: String,
    transport: Transport,
}

/// An SRV record that was taken, still without addresses.
#[derive(Debug)]
struct Candidate {
    target: String,
    server: Server,
}

/// The search for the servers of one destination.
#[derive(Debug)]
pub struct Locating {
    destination: Destination,
    means: Means,
    offered: Vec<Offered>,
    candidates: Vec<Candidate>,
    ttl_seconds: Option<u32>,
    unanswered: Option<NameFault>,
}

impl Locating {
    /// Of a destination, with what we can send by.
    pub fn new(destination: Destination, means: Means) -> Locating {
        let (offered, candidates) = (Vec::new(), Vec::new());
        Locating { destination, means, offered, candidates, ttl_seconds: None, unanswered: None }
    }

    /// What to ask first.
    pub fn begin(&mut self) -> Next {
        if self.destination.is_odd_address() {
            return self.found(Vec::new());
        }
        if let Some(server) = self.destination.literal() {
            return Next::Found(Located { servers: vec![server], ttl_seconds: None, unanswered: None });
        }
        if self.destination.port.is_some() {
            return self.ask_host();
        }
        if self.destination.is_fixed {
            return self.ask_services(vec![self.destination.transport]);
        }
        Next::Ask(vec![Question::Naptr(self.destination.host.clone())])
    }

    /// What to ask next, now that the last questions are answered; one that is not in `answers` has failed.
    pub fn answered(&mut self, answers: &[(Question, Answer)]) -> Next {
        for (_, answer) in answers {
            if let Records::Failed(fault) = answer.records {
                // A server that answers with an error says more than one that is silent.
                let is_known = self.unanswered.is_some_and(|known| known != NameFault::Unanswered);
                self.unanswered = self.unanswered.filter(|_| is_known).or(Some(fault));
            }
            self.ttl_seconds = match (self.ttl_seconds, answer.ttl_seconds) {
                (Some(known), Some(new)) => Some(known.min(new)),
                (known, new) => known.or(new),
            };
        }
        match answers.first() {
            Some((Question::Naptr(_), answer)) => self.naptr(&answer.records),
            Some((Question::Srv(_), _)) => self.srv(answers),
            Some((Question::Addresses(_), _)) => self.addresses(answers),
            None => {
                self.unanswered.get_or_insert(NameFault::Unanswered);
                self.found(Vec::new())
            }
        }
    }

    /// RFC 3263 §4.1: the services that both sides have, in the domain's order; without any, SRV of each transport.
    fn naptr(&mut self, records: &Records) -> Next {
        let mut usable: Vec<(u16, u16, Offered)> = Vec::new();
        if let Records::Naptr(records) = records {
            for record in records.iter().take(NAPTR_RECORDS).filter(|record| record.flags.eq_ignore_ascii_case("s")) {
                let transport = match record.service.to_ascii_uppercase().as_str() {
                    "SIP+D2U" => Transport::Udp,
                    "SIP+D2T" => Transport::Tcp,
                    "SIPS+D2T" => Transport::Tls,
                    _ => continue,
                };
                if self.may_use(transport) {
                    let service = Offered { name: record.replacement.clone(), transport };
                    usable.push((record.order, record.preference, service));
                }
            }
        }
        usable.sort_by_key(|(order, preference, _)| (*order, *preference));
        if usable.is_empty() {
            let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
            // Without NAPTR a `sip` URI does not ask for TLS.
            let plain = all.into_iter().filter(|transport| self.is_secure() == (*transport == Transport::Tls));
            return self.ask_services(plain.filter(|transport| self.may_use(*transport)).collect());
        }
        self.offered = usable.into_iter().map(|(_, _, service)| service).collect();
        self.ask_srv()
    }

    /// RFC 3263 §4.2: each SRV record is a server; where there are none, the host itself is.
    fn srv(&mut self, answers: &[(Question, Answer)]) -> Next {
        let mut is_declined = false;
        for (tier, service) in (0..).zip(&self.offered) {
            let asked = |question: &Question| matches!(question, Question::Srv(name) if *name == service.name);
            let Some((_, answer)) = answers.iter().find(|(question, _)| asked(question)) else { continue };
            let Records::Srv(records) = &answer.records else { continue };
            for record in records {
                if matches!(record.target.as_str(), "" | ".") || record.port == 0 {
                    is_declined = true;
                    continue;
                }
                let Srv { priority, weight, port, .. } = *record;
                let transport = service.transport;
                let server = Server { transport, port, tier, priority, weight, addresses: Vec::new() };
                self.candidates.push(Candidate { target: record.target.clone(), server });
            }
        }
        self.candidates.sort_by_key(|candidate| (candidate.server.tier, candidate.server.priority));
        self.candidates.truncate(SERVERS);
        if self.candidates.is_empty() {
            return if is_declined { self.found(Vec::new()) } else { self.ask_host() };
        }
        let mut targets: Vec<Question> = Vec::new();
        for candidate in &self.candidates {
            let question = Question::Addresses(candidate.target.clone());
            if !targets.contains(&question) {
                targets.push(question);
            }
        }
        Next::Ask(targets)
    }

    fn addresses(&mut self, answers: &[(Question, Answer)]) -> Next {
        let mut servers = Vec::new();
        for candidate in std::mem::take(&mut self.candidates) {
            let asked =
                |question: &Question| matches!(question, Question::Addresses(name) if *name == candidate.target);
            let answer = answers.iter().find(|(question, _)| asked(question)).map(|(_, answer)| &answer.records);
            let Some(Records::Addresses(found)) = answer else { continue };
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found.iter().map(IpAddr::to_canonical) {
                let wanted = if address.is_ipv4() { self.means.v4 } else { self.means.v6 };
                if wanted && addresses.len() < SERVER_ADDRESSES && !addresses.contains(&address) && is_host(address) {
                    addresses.push(address);
                }
            }
            if !addresses.is_empty() {
                // The order of answers changes from one to the next; that alone is no change.
                addresses.sort_unstable();
                servers.push(Server { addresses, ..candidate.server });
            }
        }
        self.found(servers)
    }

    fn ask_services(&mut self, transports: Vec<Transport>) -> Next {
        let name = |transport: Transport| {
            let prefix = match transport {
                Transport::Udp => "_sip._udp",
                Transport::Tcp => "_sip._tcp",
                Transport::Tls => "_sips._tcp",
            };
            Offered { name: format!("{prefix}.{}", self.destination.host), transport }
        };
        self.offered = transports.into_iter().map(name).collect();
        self.ask_srv()
    }

    fn ask_srv(&self) -> Next {
        let mut names: Vec<Question> = Vec::new();
        for service in &self.offered {
            let question = Question::Srv(service.name.clone());
            if !names.contains(&question) {
                names.push(question);
            }
        }
        Next::Ask(names)
    }

    fn ask_host(&mut self) -> Next {
        let target = self.destination.host.clone();
        self.candidates =
            vec![Candidate { target: target.clone(), server: self.destination.server(self.destination.transport) }];
        Next::Ask(vec![Question::Addresses(target)])
    }

    fn found(&self, servers: Vec<Server>) -> Next {
        Next::Found(Located { servers, ttl_seconds: self.ttl_seconds, unanswered: self.unanswered })
    }

    /// Whether the URI is a `sips` one, for which only TLS will do (RFC 3261 §26.2.2).
    fn is_secure(&self) -> bool {
        self.destination.transport == Transport::Tls
    }

    fn may_use(&self, transport: Transport) -> bool {
        let own = transport == self.destination.transport;
        own || (self.means.transports.contains(&transport) && !self.is_secure())
    }
}

/// A host without the dot of the root.
pub fn bare_host(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Whether two hosts are the same: names without regard to case and the dot of the root, addresses by value.
pub fn same_host(one: &str, other: &str) -> bool {
    let address = |host: &str| host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    match (address(one), address(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => bare_host(one).eq_ignore_ascii_case(bare_host(other)),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Nobody is reached at these.
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
            let Next::Found(found) = Locating::new(to(host), Means::default()).begin() else { panic!("{host}") };
            assert!(found.servers.is_empty(), "{host}");
        }
        for host in ["127.0.0.1", "2001:db8::1", "::ffff:1.2.3.4", "carrier.test", "4.example", "sbc1.x9"] {
            assert!(!to(host).is_odd_address(), "{host}");
        }
    }
}
