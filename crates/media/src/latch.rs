//! Symmetric RTP: whose packets count, and where ours go (the contract's `latch = "strict"`).
//!
//! RTP counts only from expected addresses; the first such packet's source wins until a negotiation opens the latch
//! anew. RTCP is latched on its own by the same rule. Nothing is learned from anybody else, so nothing of a call can be
//! drawn to a stranger (RTP bleed) nor put into it by one (RTP inject), before the latch as after it.

use std::net::{SocketAddr, SocketAddrV6};
use std::time::Instant;

use crate::limits::STRAGGLER_WINDOW;
use crate::spec::RemoteSpec;

/// An address in the one form that is compared: IPv4 never as mapped IPv6, no flow label. A link-local address keeps its
/// interface (RFC 4007 §11): without it nothing can be sent there.
pub fn canonical(source: SocketAddr) -> SocketAddr {
    match source {
        SocketAddr::V4(_) => source,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id())),
        },
    }
}

/// What an end has learned of its far side's sources. All addresses are [`canonical`].
#[derive(Debug, Clone, Default)]
pub struct Latch {
    rtp: Option<SocketAddr>,
    rtcp: Option<SocketAddr>,
    /// The former source and until when its packets are stragglers.
    former: Option<(SocketAddr, Instant)>,
}

fn is_expected(source: SocketAddr, remote: &RemoteSpec) -> bool {
    let ip = source.ip();
    remote.expected.contains(&ip) || remote.expected_networks.iter().any(|network| network.contains(&ip))
}

impl Latch {
    /// Locked to known sources.
    pub fn locked(rtp: Option<SocketAddr>, rtcp: Option<SocketAddr>) -> Latch {
        Latch { rtp, rtcp, former: None }
    }
    /// The RTP source that won.
    pub fn rtp(&self) -> Option<SocketAddr> {
        self.rtp
    }
    /// The RTCP source that won.
    pub fn rtcp(&self) -> Option<SocketAddr> {
        self.rtcp
    }
    /// Opens the latch. Where the far side sent from the very address it had named and now names another, packets still
    /// under way from there must not win the new latch.
    pub fn open(&mut self, now: Instant, before: Option<&RemoteSpec>, after: &RemoteSpec) {
        let named_before = before.and_then(|remote| remote.rtp);
        let moved = named_before.is_some() && self.rtp == named_before && named_before != after.rtp;
        self.former = if moved { self.rtp.zip(now.checked_add(STRAGGLER_WINDOW)) } else { None };
        self.rtp = None;
        self.rtcp = None;
    }
    /// Whether RTP from this source counts.
    pub fn accepts_rtp(&self, source: SocketAddr, remote: &RemoteSpec) -> bool {
        match self.rtp {
            Some(locked) => source == locked,
            None => is_expected(source, remote),
        }
    }
    /// Whether RTCP from this source counts.
    pub fn accepts_rtcp(&self, source: SocketAddr, remote: &RemoteSpec) -> bool {
        match (self.rtcp, self.rtp) {
            (Some(locked), _) => source == locked,
            (None, Some(rtp)) if source.ip() == rtp.ip() => true,
            (None, _) => is_expected(source, remote),
        }
    }
    /// Locks to a source that was accepted and sent a good packet; true where it was open.
    pub fn lock_rtp(&mut self, now: Instant, source: SocketAddr) -> bool {
        if self.rtp.is_some() || self.former.is_some_and(|(former, until)| former == source && now < until) {
            return false;
        }
        self.former = None;
        self.rtp = Some(source);
        true
    }
    /// The same for RTCP.
    pub fn lock_rtcp(&mut self, source: SocketAddr) {
        self.rtcp.get_or_insert(source);
    }
    /// Where RTP goes, and whether that is locked.
    pub fn rtp_destination(&self, remote: &RemoteSpec) -> Option<(SocketAddr, bool)> {
        let named = remote.rtp?;
        Some((self.rtp.unwrap_or(named), self.rtp.is_some()))
    }
    /// Where RTCP goes, and whether that is locked.
    pub fn rtcp_destination(&self, remote: &RemoteSpec) -> Option<(SocketAddr, bool)> {
        let named = remote.rtcp?;
        Some((self.rtcp.unwrap_or(named), self.rtcp.is_some()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use std::time::Duration;

    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn remote(rtp: &str) -> RemoteSpec {
        let rtp = addr(rtp);
        RemoteSpec {
            rtp: Some(rtp),
            rtcp: Some(SocketAddr::new(rtp.ip(), rtp.port() + 1)),
            expected: vec![rtp.ip()],
            expected_networks: vec!["198.51.100.0/24".parse().unwrap()],
            may_send: true,
            may_receive: true,
            relatch: true,
            watch_idle: true,
            srtp: None,
        }
    }

    #[test]
    fn any_port_of_an_expected_address_until_locked() {
        let (now, remote) = (Instant::now(), remote("192.0.2.1:4000"));
        let mut latch = Latch::default();
        assert!(latch.accepts_rtp(addr("192.0.2.1:9"), &remote));
        assert!(latch.accepts_rtp(addr("198.51.100.77:9"), &remote));
        assert!(!latch.accepts_rtp(addr("192.0.2.2:4000"), &remote));
        assert_eq!(latch.rtp_destination(&remote), Some((addr("192.0.2.1:4000"), false)));
        assert!(latch.lock_rtp(now, addr("192.0.2.1:9")));
        assert!(!latch.lock_rtp(now, addr("192.0.2.1:10")));
        assert!(!latch.accepts_rtp(addr("192.0.2.1:4000"), &remote));
        assert_eq!(latch.rtp_destination(&remote), Some((addr("192.0.2.1:9"), true)));
    }

    #[test]
    fn rtcp_locks_by_itself() {
        let (now, remote) = (Instant::now(), remote("192.0.2.1:4000"));
        let mut latch = Latch::default();
        assert!(!latch.accepts_rtcp(addr("203.0.113.1:1"), &remote));
        latch.lock_rtp(now, addr("198.51.100.7:50000"));
        assert!(latch.accepts_rtcp(addr("198.51.100.7:50001"), &remote));
        assert_eq!(latch.rtcp_destination(&remote), Some((addr("192.0.2.1:4001"), false)));
        latch.lock_rtcp(addr("198.51.100.7:50001"));
        latch.lock_rtcp(addr("192.0.2.1:4001"));
        assert_eq!(latch.rtcp_destination(&remote), Some((addr("198.51.100.7:50001"), true)));
        assert!(!latch.accepts_rtcp(addr("192.0.2.1:4001"), &remote));
    }

    #[test]
    fn stragglers_from_the_former_address_do_not_lock() {
        let now = Instant::now();
        let (before, after) = (remote("192.0.2.1:4000"), remote("192.0.2.1:5000"));
        let mut latch = Latch::default();
        latch.lock_rtp(now, addr("192.0.2.1:4000"));
        latch.open(now, Some(&before), &after);
        assert!(latch.accepts_rtp(addr("192.0.2.1:4000"), &after));
        assert!(!latch.lock_rtp(now, addr("192.0.2.1:4000")));
        assert!(latch.clone().lock_rtp(now, addr("192.0.2.1:5000")));
        assert!(latch.lock_rtp(now + Duration::from_secs(1), addr("192.0.2.1:4000")));
    }

    #[test]
    fn a_source_behind_nat_locks_again_at_once() {
        let now = Instant::now();
        let (before, after) = (remote("192.0.2.1:4000"), remote("192.0.2.1:5000"));
        let mut latch = Latch::default();
        latch.lock_rtp(now, addr("192.0.2.1:61000"));
        latch.open(now, Some(&before), &after);
        assert_eq!(latch.rtp(), None);
        assert!(latch.lock_rtp(now, addr("192.0.2.1:61000")));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(canonical(addr("[::ffff:192.0.2.1]:7")), addr("192.0.2.1:7"));
        assert_eq!(canonical(addr("[2001:db8::1]:7")), addr("[2001:db8::1]:7"));
        assert_eq!(canonical(addr("192.0.2.1:7")), addr("192.0.2.1:7"));
        let labelled = SocketAddrV6::new("fe80::1".parse().unwrap(), 7, 9, 3);
        assert_eq!(canonical(labelled.into()), addr("[fe80::1%3]:7"));
    }

    #[test]
    fn hold_by_no_address_sends_nothing() {
        let mut held = remote("192.0.2.1:4000");
        held.rtp = None;
        held.rtcp = None;
        let latch = Latch::locked(Some(addr("192.0.2.1:4000")), Some(addr("192.0.2.1:4001")));
        assert_eq!(latch.rtp_destination(&held), None);
        assert_eq!(latch.rtcp_destination(&held), None);
    }
}
