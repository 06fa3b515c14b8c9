//! A trunk: a party we exchange SIP with.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::caller_id::CallerIdRule;
use crate::headers::{HeaderRules, Identities};
use crate::locate::{Destination, Server, in_order};
use crate::number::SendNumbers;
use crate::pattern::Pattern;
use crate::quota::Quota;
use crate::share;
use trunkgate_terms::{Credentials, DigestHash, OwnHosts, Srtp, Suite, Transport};

/// The codecs that a trunk may use where its file names none, in order: rtpmap names.
pub const DEFAULT_CODECS: [&str; 3] = ["PCMU", "PCMA", "opus"];

/// The longest INVITE by UDP that is not told where the file says nothing, in bytes: 1500 of an Ethernet less 200 that
/// headers may grow by on the way (RFC 3261 §18.1.1).
const UDP_MTU: usize = 1300;
/// `unproven_early_media` where the file says nothing: a handful of callers hear an announcement at once.
const UNPROVEN_EARLY_MEDIA_CALLS: u32 = 5;

/// One address of a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// As written, e.g. `sip:sbc.example.com;transport=tcp`: names the peer in logs and metrics.
    pub uri: String,
    /// Where its URI leads.
    pub destination: Destination,
    /// Lower first.
    pub priority: u16,
    /// Share among equals (RFC 2782); 0 to 65535.
    pub weight: u16,
    /// The servers that it is, as far as known when the table was built.
    pub servers: Vec<Server>,
}

impl Peer {
    /// A peer known by its address, of priority 0 and weight 0.
    pub fn at(address: IpAddr, port: Option<u16>, transport: Transport) -> Peer {
        let mut uri = match address {
            IpAddr::V4(v4) => format!("sip:{v4}"),
            IpAddr::V6(v6) => format!("sip:[{v6}]"),
        };
        if let Some(port) = port {
            uri.push_str(&format!(":{port}"));
        }
        if transport != Transport::Udp {
            uri.push_str(&format!(";transport={}", transport.as_str()));
        }
        let destination = Destination { host: address.to_string(), port, transport, is_fixed: true };
        Peer::to(uri, destination)
    }

    /// A peer where a URI leads, of priority 0 and weight 0; its server is known where the URI has an address.
    pub fn to(uri: String, destination: Destination) -> Peer {
        let servers = destination.literal().into_iter().collect();
        Peer { uri, destination, priority: 0, weight: 0, servers }
    }

    /// Every address that it is known to have.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.servers.iter().flat_map(|server| server.addresses.iter().copied())
    }

    /// Returns its addresses and ports that are known.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.servers.iter().flat_map(Server::sockets)
    }
}

/// How a trunk presses keys, and is told those of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dtmf {
    /// Telephone-events in its media (RFC 4733).
    #[default]
    Rfc4733,
    /// INFO in its dialog.
    Info,
    /// Tones in its audio.
    Inband,
}

/// What becomes of a far end that puts the other on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HoldMode {
    /// The other side is told, and answers.
    #[default]
    Relay,
    /// The edge answers, and plays music to the other side, which is told nothing.
    Local,
}

/// Handling of a change of the session (codec, address, direction) by the other side of an answered call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReinviteMode {
    /// The trunk's side is sent a re-INVITE, or an UPDATE, and answers.
    #[default]
    Relay,
    /// The edge answers, and the trunk's side keeps its session.
    Local,
}

/// What becomes of a REFER of a far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReferMode {
    /// The edge calls the target itself, and connects the other side with it.
    #[default]
    Local,
    /// It goes on to the other side.
    Relay,
    /// It is refused.
    Refuse,
    /// The edge calls Refer-To at the trunk itself, where that names one of the trunk's hosts; any other is as with `Local`.
    Return,
}

/// Parameters of a called number that a trunk may be trusted with: number portability and routing (RFC 4694), trunk groups (RFC
/// 4904), the caller's category and line, extension, subaddress, and digits that follow (RFC 3966).
pub const NUMBER_PARAMETERS: [&str; 11] =
    ["npdi", "rn", "cic", "dai", "tgrp", "trunk-context", "cpc", "oli", "ext", "isub", "postd"];

/// How the target of a REFER that goes on is written (`refer = "relay"` of the trunk it comes from).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReferTo {
    /// As an address of the edge: the far end calls the number through it.
    #[default]
    Edge,
    /// As a `tel:` URI: the far end calls the number itself.
    Tel,
}

/// What becomes of a redirection (3xx) of a far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectMode {
    /// To a peer of a trunk it is followed; a number at the edge itself is called as a call from this trunk would be.
    #[default]
    Follow,
    /// It is followed to peers of trunks only.
    Peers,
    /// It counts as a failure.
    Refuse,
}

/// A registration of ours with a trunk (RFC 3261 §10.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The registrar as written: Request-URI of REGISTER.
    pub uri: String,
    /// Where it is.
    pub registrar: Destination,
    /// User part of the address of record, and of our Contact.
    pub user: String,
    /// How long a registration is asked for.
    pub expires: Duration,
}

/// What makes a trunk the recording servers of a `[siprec.NAME]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Siprec {
    /// Whether a call goes on only while it is recorded.
    pub required: bool,
}

impl Siprec {
    /// Begins the names of such trunks. No name that is written in a file has a colon.
    pub const PREFIX: &str = "siprec:";

    /// Returns the name of the trunk that `[siprec.NAME]` is.
    pub fn trunk_name(name: &str) -> String {
        format!("{}{name}", Siprec::PREFIX)
    }
}

/// A trunk as configured.
#[derive(Debug, Clone)]
pub struct Trunk {
    /// Its name: metric label, log field, console path.
    pub name: Arc<str>,
    /// Its addresses.
    pub peers: Vec<Peer>,
    /// Networks its requests come from; empty: the peers' addresses.
    pub accept_from: Vec<IpNet>,
    /// Further networks its RTP may come from.
    pub media_from: Vec<IpNet>,
    /// Calls of it at a time whose early media goes to an address that nothing has proven to be its own.
    pub unproven_early_media: u32,
    /// The listener its requests leave by.
    pub listen: Option<String>,
    /// Host names that it is shown in the place of our address.
    pub own_hosts: OwnHosts,
    /// User part of From in its INVITEs, by which it knows the account; `None`: the caller's number.
    pub from_user: Option<Arc<str>>,
    /// Form of the caller's number in P-Preferred-Identity (RFC 3325 §9.2); `None`: the header is not sent.
    pub preferred_identity: Option<SendNumbers>,
    /// Names that its TLS certificate may carry besides a peer's host; a client's certificate with one of them is its.
    pub certificate_names: Vec<String>,
    /// Whether we show it a certificate of ours under TLS.
    pub shows_certificate: bool,
    /// Codecs it may use, in order, as rtpmap names.
    pub codecs: Vec<String>,
    /// Milliseconds of audio in a packet that the edge makes for it, where it asks for none itself.
    pub ptime_ms: u32,
    /// How long one attempt may ring; zero: no limit.
    pub ring_timeout: Duration,
    /// How long without any provisional answer before the next peer; zero: until Timer B.
    pub no_response_timeout: Duration,
    /// Between two OPTIONS to each of its addresses; zero: none is sent.
    pub options_interval: Duration,
    /// How long a session lasts that nobody refreshes, where we ask for that (RFC 4028); zero: we do not.
    pub session_expires: Duration,
    /// Answers on which the next target is tried.
    pub failover_on: Vec<u16>,
    /// Codes by which its peers say that it has too many calls.
    pub congested_on: Vec<u16>,
    /// Calls at once; 0: no limit.
    pub max_calls: u32,
    /// New calls a second; 0: no limit.
    pub calls_per_second: u32,
    /// New calls a second from it alone; 0: no limit.
    pub calls_per_second_in: u32,
    /// New calls a second to it alone; 0: no limit.
    pub calls_per_second_out: u32,
    /// New calls a second to one address of it; 0: no limit.
    pub peer_calls_per_second: u32,
    /// The longest INVITE that is sure to go by UDP in one piece, in bytes; longer ones are told.
    pub udp_mtu: usize,
    /// Whether longer ones go by TCP instead (RFC 3261 §18.1.1).
    pub oversize_by_tcp: bool,
    /// The form of numbers towards it.
    pub send_numbers: SendNumbers,
    /// Its media's protection.
    pub srtp: Srtp,
    /// The SRTP suites of offers to it, in order, and those that it may offer; empty: the usual ones, and any.
    pub srtp_suites: Vec<Suite>,
    /// How keys come from it and go to it.
    pub dtmf: Dtmf,
    /// What we show where it asks for credentials.
    pub auth: Option<Credentials>,
    /// What it has to show.
    pub require_auth: Option<Credentials>,
    /// By which of these, in the order in which they are offered.
    pub challenge_with: Vec<DigestHash>,
    /// Whether its credentials may be for another `uri` than the Request-URI.
    pub any_digest_uri: bool,
    /// Where we register.
    pub register: Option<Register>,
    /// Which headers go on, from it and to it.
    pub headers: HeaderRules,
    /// Whether it is trusted with who calls.
    pub identity: Identities,
    /// What it is shown as the caller's number; `None`: whatever the caller has.
    pub caller_id: Option<CallerIdRule>,
    /// What calls from it may show as the caller's number; `None`: anything.
    pub caller_id_in: Option<CallerIdRule>,
    /// Called numbers that it does not get.
    pub deny: Vec<Pattern>,
    /// Beginnings of the only called numbers that it gets; empty: any.
    pub allow_prefixes: Vec<String>,
    /// Whether it gets calls to ranges that are known for toll fraud.
    pub takes_high_risk: bool,
    /// Limits for some of its calls.
    pub quotas: Vec<Quota>,
    /// How long a call waits for one of its limits.
    pub pace: Duration,
    /// Whether its phones may register here, with `require_auth`.
    pub accept_register: bool,
    /// Holds that come from it, and those that would go to it.
    pub hold: HoldMode,
    /// What is heard by whoever it puts on hold, μ-law at 8 kHz; `None`: the edge's own melody.
    pub hold_music: Option<Arc<[u8]>>,
    /// Handling of changes by the other side.
    pub reinvite: ReinviteMode,
    /// What becomes of its REFERs.
    pub refer: ReferMode,
    /// Parameters of the called number (RFC 3966 §3, RFC 4694) that it is trusted with, both ways; each of [`NUMBER_PARAMETERS`].
    pub number_parameters: Vec<&'static str>,
    /// How it is told the target of a REFER that goes on to it.
    pub refer_to: ReferTo,
    /// What becomes of its redirections.
    pub redirect: RedirectMode,
    /// Whether it is recording servers, which no call comes from or goes to.
    pub siprec: Option<Siprec>,
}

/// Whether a code says that the called party is busy.
pub const fn is_busy(code: u16) -> bool {
    matches!(code, 486 | 600)
}

impl Trunk {
    /// Whether nothing but phones that register makes it: without one no call gets there.
    pub fn is_of_phones(&self) -> bool {
        self.accept_register && self.peers.is_empty()
    }

    /// Whether a call whose INVITE it has answered with this code goes on to the route's next target: not where it ends the
    /// search, and not where that depends on the route (`on_busy`).
    pub fn leads_on(&self, code: u16) -> bool {
        // What could be answered has been, by the endpoint; what a redirection names is tried first.
        let is_never_the_end = matches!(code, 401 | 407 | 300..=399);
        is_never_the_end || self.congested_on.contains(&code) || self.failover_on.contains(&code) && !is_busy(code)
    }

    /// A trunk without peers, with every default of the configuration, save that it is asked by no OPTIONS.
    pub fn named(name: &str) -> Trunk {
        Trunk {
            name: Arc::from(name),
            peers: Vec::new(),
            accept_from: Vec::new(),
            media_from: Vec::new(),
            unproven_early_media: UNPROVEN_EARLY_MEDIA_CALLS,
            listen: None,
            own_hosts: OwnHosts::default(),
            from_user: None,
            preferred_identity: None,
            certificate_names: Vec::new(),
            shows_certificate: false,
            codecs: DEFAULT_CODECS.map(str::to_owned).to_vec(),
            ptime_ms: 20,
            ring_timeout: Duration::from_secs(60),
            no_response_timeout: Duration::from_secs(4),
            options_interval: Duration::ZERO,
            session_expires: Duration::from_secs(1_800),
            failover_on: vec![408, 429, 480, 500, 502, 503, 504],
            congested_on: Vec::new(),
            max_calls: 0,
            calls_per_second: 0,
            calls_per_second_in: 0,
            calls_per_second_out: 0,
            peer_calls_per_second: 0,
            udp_mtu: UDP_MTU,
            oversize_by_tcp: false,
            send_numbers: SendNumbers::E164,
            srtp: Srtp::Off,
            srtp_suites: Vec::new(),
            dtmf: Dtmf::Rfc4733,
            auth: None,
            require_auth: None,
            challenge_with: vec![DigestHash::Sha256, DigestHash::Md5],
            any_digest_uri: false,
            register: None,
            headers: HeaderRules::default(),
            identity: Identities::Pass,
            caller_id: None,
            caller_id_in: None,
            deny: Vec::new(),
            allow_prefixes: Vec::new(),
            takes_high_risk: false,
            quotas: Vec::new(),
            pace: Duration::from_secs(2),
            accept_register: false,
            hold: HoldMode::Relay,
            hold_music: None,
            reinvite: ReinviteMode::Relay,
            refer: ReferMode::Local,
            number_parameters: Vec::new(),
            refer_to: ReferTo::Edge,
            redirect: RedirectMode::Follow,
            siprec: None,
        }
    }

    /// Its peers in the order to try them, each with its servers in theirs: priority, then weighted chance (RFC 2782).
    /// `pick(total)` returns a random number below `total`.
    pub fn ordered_peers(&self, pick: &mut dyn FnMut(u32) -> u32) -> Vec<Peer> {
        let mut peers = share::ordered(self.peers.clone(), |peer| peer.priority, |peer| peer.weight, pick);
        for peer in &mut peers {
            peer.servers = in_order(&peer.servers, pick);
        }
        peers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk(peers: &[(&str, u16, u16)]) -> Trunk {
        let mut trunk = Trunk::named("t");
        for (address, priority, weight) in peers {
            let mut peer = Peer::at(address.parse().unwrap(), None, Transport::Udp);
            peer.priority = *priority;
            peer.weight = *weight;
            trunk.peers.push(peer);
        }
        trunk
    }

    fn order(trunk: &Trunk, pick: &mut dyn FnMut(u32) -> u32) -> Vec<String> {
        trunk.ordered_peers(pick).into_iter().map(|peer| peer.destination.host).collect()
    }

    #[test]
    fn priority_comes_before_weight() {
        let trunk = trunk(&[("10.0.0.3", 20, 65535), ("10.0.0.1", 0, 0), ("10.0.0.2", 10, 1)]);
        assert_eq!(order(&trunk, &mut |_| 0), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        assert_eq!(order(&trunk, &mut |total| total - 1), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    }

    #[test]
    fn without_weights_the_order_of_the_file_holds() {
        let trunk = trunk(&[("10.0.0.1", 0, 0), ("10.0.0.2", 0, 0), ("10.0.0.3", 0, 0)]);
        assert_eq!(order(&trunk, &mut |total| total - 1), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    }

    #[test]
    fn weights_share_the_first_place() {
        let trunk = trunk(&[("10.0.0.1", 0, 75), ("10.0.0.2", 0, 25), ("10.0.0.3", 0, 0)]);
        let mut firsts = std::collections::HashMap::new();
        for number in 0..=100 {
            let mut asked = 0;
            let first = order(&trunk, &mut |total| {
                asked += 1;
                if asked == 1 {
                    assert_eq!(total, 101, "RFC 2782: 0 to the sum, both included");
                    number
                } else {
                    0
                }
            })
            .remove(0);
            *firsts.entry(first).or_insert(0) += 1;
        }
        assert_eq!(firsts["10.0.0.1"], 75);
        assert_eq!(firsts["10.0.0.2"], 25);
        assert_eq!(firsts["10.0.0.3"], 1, "weight 0 has a small chance");
    }

    #[test]
    fn every_peer_is_tried_once() {
        let trunk = trunk(&[("10.0.0.1", 0, 65535), ("10.0.0.2", 0, 65535), ("10.0.0.3", 5, 1), ("10.0.0.4", 5, 9)]);
        for number in [0, 1, 65534, 65535, 65536, 131_070, u32::MAX] {
            let mut all = order(&trunk, &mut |_| number);
            all.sort();
            assert_eq!(all, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"], "{number}");
        }
    }

    #[test]
    fn a_peer_by_address_is_written_as_a_uri() {
        let v6 = Peer::at("2001:db8::1".parse().unwrap(), Some(5070), Transport::Tcp);
        assert_eq!(v6.uri, "sip:[2001:db8::1]:5070;transport=tcp");
        assert_eq!(v6.destination.host, "2001:db8::1");
        assert_eq!(Peer::at("10.0.0.1".parse().unwrap(), None, Transport::Tls).destination.port_or_default(), 5061);
    }
}
