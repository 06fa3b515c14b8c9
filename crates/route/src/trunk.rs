//! Trunks: carriers, PBXs and phones that the edge exchanges SIP with.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::caller_id::CallerIdRule;
use crate::headers::{HeaderRules, IdentityTrust};
use crate::locate::{Destination, DestinationServer, in_order};
use crate::number::SendNumbers;
use crate::pattern::Pattern;
use crate::quota::Quota;
use crate::share;
use trunkgate_terms::{Credentials, DigestHash, OwnHosts, Srtp, Suite, Transport};

/// Default codecs of a trunk, in order, as rtpmap names.
pub const DEFAULT_CODECS: [&str; 3] = ["PCMU", "PCMA", "opus"];

/// Default size of an INVITE over UDP, in bytes, above which a warning is logged: an Ethernet MTU of 1500, less 200
/// for headers that proxies may add (RFC 3261 §18.1.1).
const UDP_MTU: usize = 1300;
/// Default of `unproven_early_media`: a few callers may hear an announcement at the same time.
const UNPROVEN_EARLY_MEDIA_CALLS: u32 = 5;

/// Peer of a trunk: a SIP URI that calls are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// URI as written, e.g. `sip:sbc.example.com;transport=tcp`; identifies the peer in logs and metrics.
    pub uri: String,
    /// Host, port and transport of the URI.
    pub destination: Destination,
    /// Priority of the peer, lower first.
    pub priority: u16,
    /// Weight among peers of equal priority (RFC 2782), 0 to 65535.
    pub weight: u16,
    /// Servers of the peer, as far as known when the table was built.
    pub servers: Vec<DestinationServer>,
}

impl Peer {
    /// Creates a peer at an IP address, with priority 0 and weight 0.
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

    /// Creates a peer from a URI, with priority 0 and weight 0; its server is known if the URI contains an IP address.
    pub fn to(uri: String, destination: Destination) -> Peer {
        let servers = destination.literal().into_iter().collect();
        Peer { uri, destination, priority: 0, weight: 0, servers }
    }

    /// Iterates over the known IP addresses of the peer's servers.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.servers.iter().flat_map(|server| server.addresses.iter().copied())
    }

    /// Iterates over the known addresses of the peer's servers, with their ports.
    pub fn sockets(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.servers.iter().flat_map(DestinationServer::sockets)
    }
}

/// Method by which DTMF digits are exchanged with a trunk, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtmfMode {
    /// Telephone-events in the media (RFC 4733).
    #[default]
    Rfc4733,
    /// DTMF digits are sent by SIP INFO in the dialog.
    Info,
    /// DTMF digits are sent as audible tones within the audio.
    Inband,
}

/// Handling of a hold request (`hold`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HoldMode {
    /// Forward the request to the other leg, which answers it.
    #[default]
    Relay,
    /// Answer the request and play music to the other leg, without a re-INVITE there.
    Local,
}

/// Handling of a session change (codec, address, direction) that the other leg of an answered call requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReinviteMode {
    /// Forward the change to the trunk as a re-INVITE or UPDATE, which the trunk answers.
    #[default]
    Relay,
    /// Answer the change; the session with the trunk stays as it is.
    Local,
}

/// Handling of a REFER that a trunk sends (`refer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReferMode {
    /// The edge calls the target and connects it with the other leg.
    #[default]
    Local,
    /// The REFER is forwarded to the other leg.
    Relay,
    /// The REFER is rejected.
    Refuse,
    /// The edge calls the target at the trunk itself if Refer-To has one of the trunk's hosts; otherwise as `Local`.
    Return,
}

/// Parameters of the called number that may be exchanged with a trunk: number portability and routing (RFC 4694),
/// trunk groups (RFC 4904), caller category and line, extension, subaddress, and post-dial digits (RFC 3966).
pub const NUMBER_PARAMETERS: [&str; 11] =
    ["npdi", "rn", "cic", "dai", "tgrp", "trunk-context", "cpc", "oli", "ext", "isub", "postd"];

/// Form of the target in a forwarded REFER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReferTo {
    /// SIP URI at the edge, through which the recipient of the REFER calls the number.
    #[default]
    Edge,
    /// URI of scheme `tel:`; the recipient of the REFER calls the number itself.
    Tel,
}

/// Handling of a redirection (3xx) with which a trunk responds (`redirect`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectMode {
    /// Followed to peers of trunks; a number at the edge itself is called as in a call from this trunk.
    #[default]
    Follow,
    /// Followed only to peers of trunks, not to the edge itself.
    Peers,
    /// Not followed: the response counts as a failure.
    Refuse,
}

/// Settings of the edge's registration with a trunk (RFC 3261 §10.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationSettings {
    /// URI of the registrar as written, which is the Request-URI of REGISTER.
    pub uri: String,
    /// Host, port and transport of the registrar.
    pub registrar: Destination,
    /// User part of the address-of-record and of the edge's Contact.
    pub user: String,
    /// Lifetime of the registration that the edge requests.
    pub expires: Duration,
}

/// Settings of a trunk that represents the recording servers of `[siprec.NAME]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SiprecSettings {
    /// Whether calls that cannot be recorded are rejected or ended.
    pub required: bool,
}

impl SiprecSettings {
    /// Prefix of the names of recording trunks; configured names contain no colon.
    pub const PREFIX: &str = "siprec:";

    /// Returns the name of the trunk for the recording servers of `[siprec.NAME]`.
    pub fn trunk_name(name: &str) -> String {
        format!("{}{name}", SiprecSettings::PREFIX)
    }
}

/// Trunk of the configuration, with defaults applied.
#[derive(Debug, Clone)]
pub struct Trunk {
    /// Name, used as metric label, log field and console path.
    pub name: Arc<str>,
    /// Peers that calls are sent to; empty for phones that register.
    pub peers: Vec<Peer>,
    /// Networks that requests of the trunk come from; empty for the peers' addresses.
    pub accept_from: Vec<IpNet>,
    /// Networks that RTP may come from, in addition to the trunk's addresses.
    pub media_from: Vec<IpNet>,
    /// Maximum concurrent calls with early media to an address that has not yet proven to be the trunk's own.
    pub unproven_early_media: u32,
    /// Name of the listener from which requests are sent; `None` uses the first one of the transport.
    pub listen: Option<String>,
    /// Host names shown to the trunk instead of the edge's address.
    pub own_hosts: OwnHosts,
    /// User part of From in INVITEs to the trunk, which identifies the account; `None` uses the caller's number.
    pub from_user: Option<Arc<str>>,
    /// Number format of P-Preferred-Identity (RFC 3325 §9.2); `None` omits the header.
    pub preferred_identity: Option<SendNumbers>,
    /// Names accepted in the trunk's TLS certificate, in addition to a peer's host. A client certificate with such a
    /// name identifies the trunk.
    pub certificate_names: Vec<String>,
    /// Whether the edge presents a client certificate over TLS.
    pub shows_certificate: bool,
    /// Permitted codecs, in order, as rtpmap names.
    pub codecs: Vec<String>,
    /// Packet duration of audio generated by the edge, in milliseconds, unless the trunk requests another.
    pub ptime_ms: u32,
    /// Maximum time that an attempt may ring; zero for no limit.
    pub ring_timeout: Duration,
    /// Maximum time without a provisional response before the next peer is tried; zero waits until Timer B.
    pub no_response_timeout: Duration,
    /// Interval between OPTIONS requests to each address; zero sends none.
    pub options_interval: Duration,
    /// Session interval that the edge requests (RFC 4028); zero requests none.
    pub session_expires: Duration,
    /// Status codes after which the next target is tried.
    pub failover_on: Vec<u16>,
    /// Status codes by which peers signal that the trunk has too many calls.
    pub congested_on: Vec<u16>,
    /// Maximum concurrent calls with the trunk; 0 for no limit.
    pub max_calls: u32,
    /// Maximum new calls per second in both directions together; 0 for no limit.
    pub calls_per_second: u32,
    /// Maximum new calls per second from the trunk; 0 for no limit.
    pub calls_per_second_in: u32,
    /// Maximum new calls per second to the trunk; 0 for no limit.
    pub calls_per_second_out: u32,
    /// Maximum new calls per second to one address of the trunk; 0 for no limit.
    pub peer_calls_per_second: u32,
    /// Maximum size of an INVITE over UDP, in bytes, that is sent without a warning.
    pub udp_mtu: usize,
    /// Whether INVITEs larger than `udp_mtu` are sent over TCP (RFC 3261 §18.1.1).
    pub oversize_by_tcp: bool,
    /// Format of numbers sent to the trunk.
    pub send_numbers: SendNumbers,
    /// Use of SRTP for media of the trunk.
    pub srtp: Srtp,
    /// SRTP suites offered to the trunk, in order, and accepted in its offers; empty for the defaults in offers and
    /// any in answers.
    pub srtp_suites: Vec<Suite>,
    /// Method by which DTMF digits are exchanged, in both directions.
    pub dtmf: DtmfMode,
    /// Credentials with which the edge answers the trunk's challenges; `None` answers none.
    pub auth: Option<Credentials>,
    /// Credentials that the edge requires from the trunk; `None` requires none.
    pub require_auth: Option<Credentials>,
    /// Digest algorithms offered in challenges, in order.
    pub challenge_with: Vec<DigestHash>,
    /// Whether credentials with a `uri` other than the Request-URI are accepted.
    pub any_digest_uri: bool,
    /// Registration of the edge with the trunk; `None` for no registration.
    pub register: Option<RegistrationSettings>,
    /// Header rules for both directions.
    pub headers: HeaderRules,
    /// Trust in caller identity headers, for both directions.
    pub identity: IdentityTrust,
    /// Caller ID policy for calls to the trunk; `None` keeps the caller's number.
    pub caller_id: Option<CallerIdRule>,
    /// Caller ID policy for calls from the trunk; `None` permits any number.
    pub caller_id_in: Option<CallerIdRule>,
    /// Called numbers that the trunk does not accept.
    pub deny: Vec<Pattern>,
    /// Prefixes of the only called numbers that the trunk accepts; empty for any.
    pub allow_prefixes: Vec<String>,
    /// Whether the trunk accepts calls to ranges known for toll fraud.
    pub takes_high_risk: bool,
    /// Limits on subsets of the trunk's calls, by number.
    pub quotas: Vec<Quota>,
    /// Maximum time that a call waits for a rate limit instead of being rejected.
    pub pace: Duration,
    /// Whether phones may register with the credentials in `require_auth`.
    pub accept_register: bool,
    /// Handling of holds from the trunk, and of holds towards it.
    pub hold: HoldMode,
    /// Hold music of the trunk, μ-law at 8 kHz; `None` for the built-in melody.
    pub hold_music: Option<Arc<[u8]>>,
    /// Handling of session changes that the other leg requests.
    pub reinvite: ReinviteMode,
    /// Handling of REFER requests from the trunk.
    pub refer: ReferMode,
    /// Parameters of the called number (RFC 3966 §3, RFC 4694) exchanged with the trunk, from [`NUMBER_PARAMETERS`].
    pub number_parameters: Vec<&'static str>,
    /// Form of the target in a REFER forwarded to the trunk.
    pub refer_to: ReferTo,
    /// Handling of redirections (3xx) by the trunk.
    pub redirect: RedirectMode,
    /// Recording settings, if the trunk represents recording servers, which have no calls of their own.
    pub siprec: Option<SiprecSettings>,
}

/// Returns whether a status code means that the callee is busy: 486 or 600.
pub const fn is_busy(code: u16) -> bool {
    matches!(code, 486 | 600)
}

impl Trunk {
    /// Returns whether the trunk consists only of phones that register; if so, calls reach it only after a
    /// registration.
    pub fn is_of_phones(&self) -> bool {
        self.accept_register && self.peers.is_empty()
    }

    /// Returns whether a call continues with the route's next target after this status code. It does not if the code
    /// ends the search, or if it means busy, for which the route decides (`on_busy`).
    pub fn leads_on(&self, code: u16) -> bool {
        // The endpoint has already answered all challenges it could, and the contacts of a redirection are tried
        // first.
        let is_never_the_end = matches!(code, 401 | 407 | 300..=399);
        is_never_the_end || self.congested_on.contains(&code) || self.failover_on.contains(&code) && !is_busy(code)
    }

    /// Creates a trunk without peers and with the configuration's defaults, except that no OPTIONS are sent to it.
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
            dtmf: DtmfMode::Rfc4733,
            auth: None,
            require_auth: None,
            challenge_with: vec![DigestHash::Sha256, DigestHash::Md5],
            any_digest_uri: false,
            register: None,
            headers: HeaderRules::default(),
            identity: IdentityTrust::Pass,
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

    /// Returns the peers in the order to try them, each with its servers in order: by priority, then weighted random
    /// choice (RFC 2782). `pick(total)` returns a random number below `total`.
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
