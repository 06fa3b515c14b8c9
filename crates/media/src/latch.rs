//! Symmetric RTP: whose packets count, and where ours go (`[media] latch`).
//!
//! RTP counts only from expected addresses; the first such packet's source wins until a negotiation opens the latch
//! anew, or, where the far side may change (`relearn`), until it has been silent. RTCP is latched on its own by the same
//! rule. Nothing is learned from anybody else, so nothing of a call can be drawn to a stranger (RTP bleed) nor put into
//! it by one (RTP inject), before the latch as after it.

use std::net::{SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use crate::limits::{RELEARN_SILENCE, STRAGGLER_WINDOW, SWEEP_INTERVAL};
use crate::spec::{LatchMode, RemoteSpec};

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
    /// When the winner was last heard.
    heard: Option<Instant>,
    /// Whether it has been heard lately: until [`Self::rest`] says otherwise nobody else can take over.
    speaks: bool,
    /// The former source and until when its packets are stragglers.
    former: Option<(SocketAddr, Instant)>,
}

fn is_expected(source: SocketAddr, remote: &RemoteSpec) -> bool {
    let ip = source.ip();
    remote.expected.contains(&ip) || remote.expected_networks.iter().any(|network| network.contains(&ip))
}

impl Latch {
    /// Locked to known sources, as if they had been heard `now`.
    pub fn locked(now: Instant, rtp: Option<SocketAddr>, rtcp: Option<SocketAddr>) -> Latch {
        Latch { rtp, rtcp, heard: Some(now), speaks: true, former: None }
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
    pub fn accepts_rtp(&self, now: Instant, source: SocketAddr, remote: &RemoteSpec) -> bool {
        match (remote.latch, self.rtp) {
            (LatchMode::Off, _) => remote.rtp == Some(source),
            (LatchMode::Strict | LatchMode::Relearn, None) => is_expected(source, remote),
            (LatchMode::Strict, Some(locked)) => source == locked,
            (LatchMode::Relearn, Some(locked)) => {
                source == locked || (self.is_silent(now) && is_expected(source, remote))
            }
        }
    }
    /// Whether RTCP from this source counts.
    pub fn accepts_rtcp(&self, source: SocketAddr, remote: &RemoteSpec) -> bool {
        match (remote.latch, self.rtcp, self.rtp) {
            (LatchMode::Off, _, _) => remote.rtcp == Some(source),
            (_, Some(locked), _) => source == locked,
            (_, None, Some(rtp)) if source.ip() == rtp.ip() => true,
            (_, None, _) => is_expected(source, remote),
        }
    }
    /// Locks to a source that was accepted and sent a good packet; true where that is news.
    pub fn lock_rtp(&mut self, now: Instant, source: SocketAddr, mode: LatchMode) -> bool {
        if self.rtp == Some(source) {
            (self.heard, self.speaks) = (Some(now), true);
            return false;
        }
        if self.rtp.is_some() && mode != LatchMode::Relearn {
            return false;
        }
        if self.former.is_some_and(|(former, until)| former == source && now < until) {
            return false;
        }
        // Who takes over sends its RTCP from elsewhere too.
        self.rtcp = if self.rtp.is_some() { None } else { self.rtcp };
        (self.rtp, self.heard, self.former) = (Some(source), Some(now), None);
        self.speaks = true;
        true
    }
    /// Looks at the silence of a winner that may be replaced; true where its sockets are to hear others again: asked each
    /// [`SWEEP_INTERVAL`], so early enough.
    pub fn rest(&mut self, now: Instant, mode: LatchMode) -> bool {
        let rests =
            mode == LatchMode::Relearn && self.speaks && self.silent_for(now) >= RELEARN_SILENCE - SWEEP_INTERVAL;
        self.speaks &= !rests;
        rests
    }
    /// The same for RTCP.
    pub fn lock_rtcp(&mut self, source: SocketAddr) {
        self.rtcp.get_or_insert(source);
    }
    /// Where RTP goes, and whether that is locked: no other source counts, or not for now ([`Self::rest`]).
    pub fn rtp_destination(&self, remote: &RemoteSpec) -> Option<(SocketAddr, bool)> {
        Some(self.destination(remote.rtp?, self.rtp, remote.latch))
    }
    /// Where RTCP goes, and whether that is locked.
    pub fn rtcp_destination(&self, remote: &RemoteSpec) -> Option<(SocketAddr, bool)> {
        Some(self.destination(remote.rtcp?, self.rtcp, remote.latch))
    }

    fn destination(&self, named: SocketAddr, won: Option<SocketAddr>, mode: LatchMode) -> (SocketAddr, bool) {
        match mode {
            LatchMode::Strict => (won.unwrap_or(named), won.is_some()),
            LatchMode::Relearn => (won.unwrap_or(named), won.is_some() && self.speaks),
            LatchMode::Off => (named, won == Some(named)),
        }
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.silent_for(now) >= RELEARN_SILENCE
    }

    fn silent_for(&self, now: Instant) -> Duration {
        self.heard.map_or(Duration::MAX, |heard| now.saturating_duration_since(heard))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

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
            ..RemoteSpec::default()
        }
    }

    #[test]
    fn any_port_of_an_expected_address_until_locked() {
        let (now, remote) = (Instant::now(), remote("192.0.2.1:4000"));
        let mut latch = Latch::default();
        assert!(latch.accepts_rtp(now, addr("192.0.2.1:9"), &remote));
        assert!(latch.accepts_rtp(now, addr("198.51.100.77:9"), &remote));
        assert!(!latch.accepts_rtp(now, addr("192.0.2.2:4000"), &remote));
        assert_eq!(latch.rtp_destination(&remote), Some((addr("192.0.2.1:4000"), false)));
        assert!(latch.lock_rtp(now, addr("192.0.2.1:9"), LatchMode::Strict));
        assert!(!latch.lock_rtp(now, addr("192.0.2.1:10"), LatchMode::Strict));
        assert!(!latch.accepts_rtp(now, addr("192.0.2.1:4000"), &remote));
        assert_eq!(latch.rtp_destination(&remote), Some((addr("192.0.2.1:9"), true)));
    }

    #[test]
    fn rtcp_locks_by_itself() {
        let (now, remote) = (Instant::now(), remote("192.0.2.1:4000"));
        let mut latch = Latch::default();
        assert!(!latch.accepts_rtcp(addr("203.0.113.1:1"), &remote));
        latch.lock_rtp(now, addr("198.51.100.7:50000"), LatchMode::Strict);
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
        latch.lock_rtp(now, addr("192.0.2.1:4000"), LatchMode::Strict);
        latch.open(now, Some(&before), &after);
        assert!(latch.accepts_rtp(now, addr("192.0.2.1:4000"), &after));
        assert!(!latch.lock_rtp(now, addr("192.0.2.1:4000"), LatchMode::Strict));
        assert!(latch.clone().lock_rtp(now, addr("192.0.2.1:5000"), LatchMode::Strict));
        assert!(latch.lock_rtp(now + Duration::from_secs(1), addr("192.0.2.1:4000"), LatchMode::Strict));
    }

    #[test]
    fn a_source_behind_nat_locks_again_at_once() {
        let now = Instant::now();
        let (before, after) = (remote("192.0.2.1:4000"), remote("192.0.2.1:5000"));
        let mut latch = Latch::default();
        latch.lock_rtp(now, addr("192.0.2.1:61000"), LatchMode::Strict);
        latch.open(now, Some(&before), &after);
        assert_eq!(latch.rtp(), None);
        assert!(latch.lock_rtp(now, addr("192.0.2.1:61000"), LatchMode::Strict));
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
        let latch = Latch::locked(Instant::now(), Some(addr("192.0.2.1:4000")), Some(addr("192.0.2.1:4001")));
        assert_eq!(latch.rtp_destination(&held), None);
        assert_eq!(latch.rtcp_destination(&held), None);
    }

    /// Packets one after the other: when, from where, whether it counts, and where RTP goes then.
    #[test]
    fn each_mode_by_its_table() {
        const NAMED: &str = "192.0.2.1:4000";
        const OTHER_PORT: &str = "192.0.2.1:9";
        const OTHER_ADDRESS: &str = "198.51.100.77:9";
        const STRANGER: &str = "203.0.113.1:4000";
        type Step = (u64, &'static str, bool, &'static str);
        let strict: &[Step] = &[
            (0, STRANGER, false, NAMED),
            (0, OTHER_PORT, true, OTHER_PORT),
            (0, NAMED, false, OTHER_PORT),
            (60_000, OTHER_ADDRESS, false, OTHER_PORT),
            (60_000, OTHER_PORT, true, OTHER_PORT),
        ];
        let relearn: &[Step] = &[
            (0, STRANGER, false, NAMED),
            (0, OTHER_PORT, true, OTHER_PORT),
            (2_999, NAMED, false, OTHER_PORT),
            // The winner still speaks: its silence begins anew.
            (2_999, OTHER_PORT, true, OTHER_PORT),
            (5_998, OTHER_ADDRESS, false, OTHER_PORT),
            (5_999, STRANGER, false, OTHER_PORT),
            (5_999, OTHER_ADDRESS, true, OTHER_ADDRESS),
            (5_999, OTHER_PORT, false, OTHER_ADDRESS),
            (8_999, OTHER_PORT, true, OTHER_PORT),
        ];
        let off: &[Step] = &[
            (0, OTHER_PORT, false, NAMED),
            (0, OTHER_ADDRESS, false, NAMED),
            (0, STRANGER, false, NAMED),
            (0, NAMED, true, NAMED),
            (60_000, OTHER_PORT, false, NAMED),
            (60_000, NAMED, true, NAMED),
        ];
        for (mode, steps) in [(LatchMode::Strict, strict), (LatchMode::Relearn, relearn), (LatchMode::Off, off)] {
            let (start, remote) = (Instant::now(), RemoteSpec { latch: mode, ..remote(NAMED) });
            let mut latch = Latch::default();
            for (at, (ms, source, counts, goes_to)) in steps.iter().enumerate() {
                let now = start + Duration::from_millis(*ms);
                assert_eq!(latch.accepts_rtp(now, addr(source), &remote), *counts, "{mode:?} {at}");
                if *counts {
                    latch.lock_rtp(now, addr(source), mode);
                }
                let destination = latch.rtp_destination(&remote).map(|(to, _)| to);
                assert_eq!(destination, Some(addr(goes_to)), "{mode:?} {at}");
            }
            let locked = latch.rtp_destination(&remote).is_some_and(|(_, locked)| locked);
            assert!(locked, "{mode:?}");
        }
    }

    #[test]
    fn a_winner_that_may_be_replaced_is_tied_to_while_it_speaks() {
        let (start, remote) = (Instant::now(), RemoteSpec { latch: LatchMode::Relearn, ..remote("192.0.2.1:4000") });
        let at = |ms| start + Duration::from_millis(ms);
        let locked =
            |latch: &Latch| [latch.rtp_destination(&remote), latch.rtcp_destination(&remote)].map(|d| d.unwrap().1);
        let mut latch = Latch::default();
        assert_eq!((locked(&latch), latch.rest(at(0), LatchMode::Relearn)), ([false; 2], false));
        latch.lock_rtp(at(0), addr("192.0.2.1:4000"), LatchMode::Relearn);
        assert_eq!(locked(&latch), [true, false]);
        latch.lock_rtcp(addr("192.0.2.1:4001"));
        assert_eq!((locked(&latch), latch.rest(at(1999), LatchMode::Relearn)), ([true; 2], false));
        // Others are let in before they count, once.
        assert!(!latch.clone().rest(at(2000), LatchMode::Strict));
        assert!(latch.rest(at(2000), LatchMode::Relearn) && !latch.rest(at(2000), LatchMode::Relearn));
        assert_eq!(locked(&latch), [false; 2]);
        assert!(!latch.accepts_rtp(at(2999), addr("192.0.2.1:9"), &remote));
        latch.lock_rtp(at(2999), addr("192.0.2.1:4000"), LatchMode::Relearn);
        assert_eq!(locked(&latch), [true; 2]);
    }

    #[test]
    fn off_takes_rtcp_from_where_it_was_described_only() {
        let remote = RemoteSpec { latch: LatchMode::Off, ..remote("192.0.2.1:4000") };
        let mut latch = Latch::default();
        latch.lock_rtp(Instant::now(), addr("192.0.2.1:4000"), LatchMode::Strict);
        assert!(latch.accepts_rtcp(addr("192.0.2.1:4001"), &remote));
        assert!(!latch.accepts_rtcp(addr("192.0.2.1:4002"), &remote));
    }

    #[test]
    fn who_takes_over_brings_its_own_rtcp() {
        let (now, remote) = (Instant::now(), RemoteSpec { latch: LatchMode::Relearn, ..remote("192.0.2.1:4000") });
        let mut latch = Latch::default();
        latch.lock_rtp(now, addr("192.0.2.1:9"), LatchMode::Strict);
        latch.lock_rtcp(addr("192.0.2.1:10"));
        assert!(!latch.accepts_rtcp(addr("192.0.2.1:21"), &remote));
        assert!(latch.lock_rtp(now + RELEARN_SILENCE, addr("192.0.2.1:20"), LatchMode::Relearn));
        assert!(latch.accepts_rtcp(addr("192.0.2.1:21"), &remote));
        assert_eq!(latch.rtcp_destination(&remote), Some((addr("192.0.2.1:4001"), false)));
    }

    #[test]
    fn a_restart_is_no_silence() {
        let (now, remote) = (Instant::now(), RemoteSpec { latch: LatchMode::Relearn, ..remote("192.0.2.1:4000") });
        let latch = Latch::locked(now, Some(addr("192.0.2.1:9")), None);
        assert!(!latch.accepts_rtp(now, addr("192.0.2.1:4000"), &remote));
        assert!(latch.accepts_rtp(now + RELEARN_SILENCE, addr("192.0.2.1:4000"), &remote));
    }
}
