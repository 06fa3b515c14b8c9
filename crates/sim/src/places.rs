//! Addresses, names and numbers of the simulated network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// SIP address of the edge, UDP and TCP.
pub const EDGE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 5060);
/// SIP address of the carrier.
pub const CARRIER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 5060);
/// SIP address of the first trunk.
pub const TRUNK_A: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)), 5060);
/// SIP address of the second trunk.
pub(crate) const TRUNK_B: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 20)), 5060);
/// SIP address of the second trunk's second phone.
pub(crate) const TRUNK_B2: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 21)), 5060);
/// Address of the second trunk at which there is no host.
pub const DEAD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 29)), 5060);
/// Initial address of the phone that registers with the edge.
pub(crate) const MOBILE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 40)), 5060);
/// SIP address of the first trunk's registrar.
pub const REGISTRAR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 15)), 5060);
/// Host name of the first trunk's registrar.
pub(crate) const REGISTRAR_HOST: &str = "registrar.example";
/// SIP address of the recording server.
pub(crate) const VAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 50)), 5060);
/// Prefix of numbers routed to the phone that registers.
pub(crate) const REGISTERED: &str = "+1666";
/// Prefix of numbers that ring at both trunks simultaneously.
pub const TOGETHER: &str = "+1313";
/// Prefix of numbers routed to both trunks.
pub const OUT: &str = "+1212";
/// Address of a source that belongs to no trunk.
pub const STRANGER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66)), 5060);
/// Host name of the second trunk in targets that are URIs.
pub const FAR_HOST: &str = "far.example";
/// Prefix of numbers routed to a URI at [`FAR_HOST`].
pub const ELSEWHERE: &str = "+1999";
/// Prefix of numbers routed to an agent first.
pub(crate) const AGENTS: &str = "+1777";
/// Prefix of numbers routed to an application first.
pub(crate) const APPS: &str = "+1444";
/// Prefix of numbers routed so that an agent listens to the call.
pub(crate) const FORKED: &str = "+12125551";
/// Name of the agent that has a limit of sessions.
pub(crate) const DESK: &str = "desk";
/// Index of the carrier's phone.
pub(crate) const CARRIER_SEAT: usize = 0;
/// Index of the first trunk's phone.
pub(crate) const TRUNK_A_SEAT: usize = 1;
/// Index of the second trunk's phone.
pub(crate) const TRUNK_B_SEAT: usize = 2;
/// Index of the second trunk's second phone.
pub(crate) const TRUNK_B2_SEAT: usize = 3;
/// Index of the phone that registers.
pub(crate) const MOBILE_SEAT: usize = 4;

/// Returns the name of the trunk to which an address belongs.
pub(crate) fn owner(address: SocketAddr) -> Option<&'static str> {
    let known =
        [(CARRIER, "carrier"), (TRUNK_A, "a"), (REGISTRAR, "a"), (TRUNK_B, "b"), (TRUNK_B2, "b"), (MOBILE, "mobile")];
    known.into_iter().find(|(at, _)| at.ip() == address.ip()).map(|(_, name)| name)
}
