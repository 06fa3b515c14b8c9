//! Symmetric RTP: which source's packets count, and where ours are sent (`[media] latch`).
//!
//! RTP counts only from expected addresses, and of those only from one source at a time, the winner. The *exact* source,
//! the address and port that the remote party announced, ranks above every other one: any other expected source may
//! belong to an attacker on the same address, or behind the same NAT.
//!
//! - While no source has won, the first packet wins. Where the announced address can be the real one ([`pins`]), only the
//!   exact source may win for the first [`LATCH_GRACE`].
//! - The exact source takes over with one packet from a winner that is not settled yet ([`LATCH_SETTLED_PACKETS`] over
//!   [`LATCH_SETTLED_AFTER`], counted again from each new description), from one that has been silent for
//!   [`LATCH_EXACT_SILENCE`], and from any winner once it has itself been heard under the same description.
//! - Any other expected source takes over only from a silent winner, and only with a run of packets
//!   ([`LATCH_CONTENDER_PACKETS`] over [`LATCH_CONTENDER_SPAN`]) that no packet of the winner interrupts. How long the
//!   winner has to be silent is in [`Terms::yields_after`].
//!
//! A winner that continues is therefore never displaced by a source other than the exact one. RTCP has a latch of its own
//! with the same rules and longer times ([`RTCP`]); it opens when the RTP source changes.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use crate::limits::{
    LATCH_CONTENDER_GAP, LATCH_CONTENDER_PACKETS, LATCH_CONTENDER_SPAN, LATCH_EXACT_SILENCE, LATCH_GRACE,
    LATCH_RTCP_CONTENDER_PACKETS, LATCH_RTCP_CONTENDER_SPAN, LATCH_RTCP_SETTLED_AFTER, LATCH_RTCP_SETTLED_PACKETS,
    LATCH_RTCP_SILENCE, LATCH_SETTLED_AFTER, LATCH_SETTLED_PACKETS, LATCH_STRICT_SILENCE, LATCH_UNSETTLED_SILENCE,
    RELEARN_SILENCE, STRAGGLER_WINDOW, SWEEP_INTERVAL,
};
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

/// Numbers and times of one latch.
#[derive(Debug)]
struct Rules {
    settled_packets: u32,
    settled_after: Duration,
    /// Silence after which a contender's packets are counted, and after which a winner that was never established yields.
    unsettled_silence: Duration,
    exact_silence: Duration,
    relearn_silence: Duration,
    strict_silence: Duration,
    contender_packets: u32,
    contender_span: Duration,
    contender_gap: Duration,
}

/// Rules for RTP.
static RTP: Rules = Rules {
    settled_packets: LATCH_SETTLED_PACKETS,
    settled_after: LATCH_SETTLED_AFTER,
    unsettled_silence: LATCH_UNSETTLED_SILENCE,
    exact_silence: LATCH_EXACT_SILENCE,
    relearn_silence: RELEARN_SILENCE,
    strict_silence: LATCH_STRICT_SILENCE,
    contender_packets: LATCH_CONTENDER_PACKETS,
    contender_span: LATCH_CONTENDER_SPAN,
    contender_gap: LATCH_CONTENDER_GAP,
};

/// Rules for RTCP, of which a source sends one packet in about five seconds.
static RTCP: Rules = Rules {
    settled_packets: LATCH_RTCP_SETTLED_PACKETS,
    settled_after: LATCH_RTCP_SETTLED_AFTER,
    unsettled_silence: LATCH_RTCP_SILENCE,
    exact_silence: LATCH_RTCP_SILENCE,
    relearn_silence: LATCH_RTCP_SILENCE,
    strict_silence: LATCH_RTCP_SILENCE,
    contender_packets: LATCH_RTCP_CONTENDER_PACKETS,
    contender_span: LATCH_RTCP_CONTENDER_SPAN,
    contender_gap: LATCH_RTCP_SILENCE,
};

/// Conditions under which a source is judged.
struct Terms<'a> {
    now: Instant,
    rules: &'static Rules,
    remote: &'a RemoteSpec,
    /// The announced address and port of this stream.
    exact: Option<SocketAddr>,
    /// Until when only the exact source may win a latch without a winner.
    pinned_until: Option<Instant>,
    /// An address that is expected because RTP comes from there.
    beside: Option<IpAddr>,
    /// Whether the remote party is allowed to send, so that a silence can mean that the winner has gone.
    may_send: bool,
    /// Whether it has to send all the time.
    must_send: bool,
}

impl Terms<'_> {
    fn is_exact(&self, source: SocketAddr) -> bool {
        self.exact == Some(source)
    }

    fn is_expected(&self, source: SocketAddr) -> bool {
        self.beside == Some(source.ip()) || is_expected(source, self.remote)
    }

    fn silence(&self, winner: &Winner) -> Duration {
        self.now.saturating_duration_since(winner.heard)
    }

    /// Silence after which a source other than the exact one may take over from `winner`; `None`: never.
    ///
    /// A winner that was never established yields soon unless it is the exact source: it may have been one packet of an
    /// attacker. Under `strict` an established winner yields only while the remote party has to send (not on hold, in
    /// early media or in a fax), and an established exact source keeps the latch through any silence: a muted phone is
    /// not to lose its call's audio to another port of its address.
    fn yields_after(&self, winner: &Winner) -> Option<Duration> {
        let exact = self.is_exact(winner.source);
        match self.remote.latch {
            LatchMode::Strict | LatchMode::Relearn if !self.may_send => None,
            LatchMode::Strict | LatchMode::Relearn if !winner.established && !exact => {
                Some(self.rules.unsettled_silence)
            }
            LatchMode::Relearn => Some(self.rules.relearn_silence),
            LatchMode::Strict if winner.established && (exact || !self.must_send) => None,
            LatchMode::Strict => Some(self.rules.strict_silence),
            LatchMode::Off => None,
        }
    }
}

/// The source that counts.
#[derive(Debug, Clone)]
struct Winner {
    source: SocketAddr,
    /// When it was last heard, or a description restarted its silence.
    heard: Instant,
    /// Since when its packets are counted, and how many came since then.
    since: Instant,
    packets: u32,
    /// Whether it has settled at any time: it is a stream, not one packet.
    established: bool,
    /// Whether it has settled since the last description: no longer does one packet of the exact source displace it.
    settled: bool,
    /// Whether it has been heard lately: until [`Latch::rest`] says otherwise no other source can take over.
    speaks: bool,
}

impl Winner {
    fn new(now: Instant, source: SocketAddr) -> Winner {
        Winner { source, heard: now, since: now, packets: 1, established: false, settled: false, speaks: true }
    }

    fn take(&mut self, now: Instant, rules: &Rules) {
        (self.heard, self.speaks) = (now, true);
        if !self.settled {
            self.packets = self.packets.saturating_add(1);
            self.settled = self.packets >= rules.settled_packets
                && now.saturating_duration_since(self.since) >= rules.settled_after;
            self.established |= self.settled;
        }
    }
}

/// An expected source that sends while the winner is silent.
#[derive(Debug, Clone)]
struct Contender {
    source: SocketAddr,
    since: Instant,
    heard: Instant,
    packets: u32,
}

/// Standing of a packet's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It is the winner.
    Holds,
    /// Its packets count, but it does not win: they are left over from before a re-negotiation.
    Straggles,
    /// It wins with this packet.
    Wins,
    /// Its packets are only counted: enough of them win, if the winner stays silent.
    Contends,
    /// Its packets do not count.
    Refused,
}

/// Outcome of an authenticated packet for the latch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The packet does not count.
    Refused,
    /// The packet counts.
    Counts,
    /// The packet counts, and its source is the new winner.
    Won,
}

/// The latch of one stream, RTP or RTCP.
#[derive(Debug, Clone, Default)]
struct SourceLatch {
    winner: Option<Winner>,
    contender: Option<Contender>,
    /// Whether the exact source has won since the latch was opened: no NAT hides it, so it may always return.
    exact_won: bool,
    /// The former source and until when its packets are stragglers.
    former: Option<(SocketAddr, Instant)>,
}

impl SourceLatch {
    fn source(&self) -> Option<SocketAddr> {
        self.winner.as_ref().map(|winner| winner.source)
    }

    fn claim(&self, source: SocketAddr, terms: &Terms<'_>) -> Claim {
        if terms.remote.latch == LatchMode::Off {
            return match (terms.is_exact(source), self.source() == Some(source)) {
                (true, true) => Claim::Holds,
                (true, false) => Claim::Wins,
                (false, _) => Claim::Refused,
            };
        }
        match &self.winner {
            Some(winner) if winner.source == source => Claim::Holds,
            _ if !terms.is_expected(source) => Claim::Refused,
            Some(winner) if terms.is_exact(source) => self.claim_of_exact(winner, terms),
            Some(winner) => self.claim_of_other(winner, source, terms),
            None if terms.is_exact(source) => Claim::Wins,
            None if self.former.is_some_and(|(former, until)| former == source && terms.now < until) => {
                Claim::Straggles
            }
            None if terms.pinned_until.is_some_and(|until| terms.now < until) => Claim::Refused,
            None => Claim::Wins,
        }
    }

    fn claim_of_exact(&self, winner: &Winner, terms: &Terms<'_>) -> Claim {
        let takes_over = self.exact_won || !winner.settled || terms.silence(winner) >= terms.rules.exact_silence;
        if takes_over { Claim::Wins } else { Claim::Refused }
    }

    fn claim_of_other(&self, winner: &Winner, source: SocketAddr, terms: &Terms<'_>) -> Claim {
        let silence = terms.silence(winner);
        let Some(after) = terms.yields_after(winner).filter(|_| silence >= terms.rules.unsettled_silence) else {
            return Claim::Refused;
        };
        match &self.contender {
            Some(contender) if contender.is_running(terms) && contender.source == source => {
                let long_enough = contender.packets + 1 >= terms.rules.contender_packets
                    && terms.now.saturating_duration_since(contender.since) >= terms.rules.contender_span;
                if long_enough && silence >= after { Claim::Wins } else { Claim::Contends }
            }
            Some(contender) if contender.is_running(terms) => Claim::Refused,
            Some(_) | None => Claim::Contends,
        }
    }

    fn take(&mut self, source: SocketAddr, terms: &Terms<'_>) -> Taken {
        let now = terms.now;
        match self.claim(source, terms) {
            Claim::Holds => {
                if let Some(winner) = &mut self.winner {
                    winner.take(now, terms.rules);
                }
                self.contender = None;
                Taken::Counts
            }
            Claim::Wins => {
                self.exact_won |= terms.is_exact(source);
                self.winner = Some(Winner::new(now, source));
                (self.contender, self.former) = (None, None);
                Taken::Won
            }
            Claim::Straggles => Taken::Counts,
            Claim::Contends => {
                match &mut self.contender {
                    Some(contender) if contender.is_running(terms) && contender.source == source => {
                        (contender.heard, contender.packets) = (now, contender.packets.saturating_add(1));
                    }
                    contender => *contender = Some(Contender { source, since: now, heard: now, packets: 1 }),
                }
                Taken::Refused
            }
            Claim::Refused => Taken::Refused,
        }
    }

    /// A description that does not open the latch: the winner's silence begins again, and the exact source may take over
    /// as from a new winner.
    fn describe(&mut self, now: Instant) {
        if let Some(winner) = &mut self.winner {
            (winner.heard, winner.since, winner.packets, winner.settled) = (now, now, 0, false);
        }
        self.contender = None;
    }

    /// Whether no source but the winner can count for now.
    fn is_locked(&self, exact: SocketAddr, mode: LatchMode) -> bool {
        self.winner.as_ref().is_some_and(|winner| match mode {
            LatchMode::Off => winner.source == exact,
            LatchMode::Strict | LatchMode::Relearn => {
                winner.speaks && (winner.source == exact || winner.settled && !self.exact_won)
            }
        })
    }

    fn destination(&self, exact: SocketAddr, mode: LatchMode) -> (SocketAddr, bool) {
        let learned = self.source().filter(|_| mode != LatchMode::Off);
        (learned.unwrap_or(exact), self.is_locked(exact, mode))
    }

    /// Ends the lock of a winner that has been silent for so long that another source may take over before the next
    /// sweep; true where that is news.
    fn rest(&mut self, terms: &Terms<'_>) -> bool {
        let Some(exact) = terms.exact.filter(|exact| self.is_locked(*exact, terms.remote.latch)) else { return false };
        let Some(winner) = &mut self.winner else { return false };
        let by_exact = (winner.source != exact).then_some(terms.rules.exact_silence);
        let soonest = terms.yields_after(winner).into_iter().chain(by_exact).min();
        let rests = terms.remote.latch != LatchMode::Off
            && soonest.is_some_and(|soonest| terms.silence(winner) + SWEEP_INTERVAL >= soonest);
        winner.speaks &= !rests;
        rests
    }

    fn restored(now: Instant, source: Option<SocketAddr>, known: Known) -> SourceLatch {
        let winner =
            source.map(|source| Winner { packets: 0, established: known.established, ..Winner::new(now, source) });
        SourceLatch { winner, exact_won: known.exact_won, ..SourceLatch::default() }
    }

    fn known(&self) -> Known {
        let established = self.winner.as_ref().is_some_and(|winner| winner.established);
        Known { established, exact_won: self.exact_won }
    }
}

impl Contender {
    fn is_running(&self, terms: &Terms<'_>) -> bool {
        terms.now.saturating_duration_since(self.heard) < terms.rules.contender_gap
    }
}

/// Knowledge of a winner that outlives a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Known {
    /// Whether the winner has settled at any time.
    pub established: bool,
    /// Whether the exact source has won since the latch was opened.
    pub exact_won: bool,
}

/// Sources that an end has learned of its remote party. All addresses are [`canonical`].
#[derive(Debug, Clone, Default)]
pub struct Latch {
    rtp: SourceLatch,
    rtcp: SourceLatch,
    pinned_until: Option<Instant>,
}

fn is_expected(source: SocketAddr, remote: &RemoteSpec) -> bool {
    let ip = source.ip();
    remote.expected.contains(&ip) || remote.expected_networks.iter().any(|network| network.contains(&ip))
}

/// Whether the announced address can be the one that packets come from: it is public, or no other address is expected. A
/// private address beside another expected one is that of a remote party behind NAT.
fn pins(remote: &RemoteSpec) -> bool {
    let can_be_real =
        |exact: SocketAddr| !is_private(exact.ip()) || remote.expected.iter().all(|expected| *expected == exact.ip());
    let exact = remote.rtp.filter(|exact| remote.latch != LatchMode::Off && is_expected(*exact, remote));
    exact.is_some_and(can_be_real)
}

/// Whether an address means nothing outside its own network (RFC 1918, RFC 6598, RFC 4193, link-local, loopback).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || v4.is_loopback() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

impl Latch {
    /// Restores the winners that were known before a restart, as if they had been heard `now`.
    pub fn restored(
        now: Instant,
        [rtp, rtcp]: [Option<SocketAddr>; 2],
        known: [Known; 2],
        remote: Option<&RemoteSpec>,
    ) -> Latch {
        let [rtp, rtcp] = [SourceLatch::restored(now, rtp, known[0]), SourceLatch::restored(now, rtcp, known[1])];
        Latch {
            rtp,
            rtcp,
            pinned_until: remote.filter(|remote| pins(remote)).and_then(|_| now.checked_add(LATCH_GRACE)),
        }
    }
    /// The RTP source that won.
    pub fn rtp(&self) -> Option<SocketAddr> {
        self.rtp.source()
    }
    /// The RTCP source that won.
    pub fn rtcp(&self) -> Option<SocketAddr> {
        self.rtcp.source()
    }
    /// Knowledge of RTP's and of RTCP's winner that outlives a restart.
    pub fn known(&self) -> [Known; 2] {
        [self.rtp.known(), self.rtcp.known()]
    }
    /// Whether the latch has no winner yet and waits for the exact source, though `source` is expected too.
    pub fn waits_for_another(&self, source: SocketAddr, remote: &RemoteSpec) -> bool {
        self.rtp.winner.is_none() && remote.latch != LatchMode::Off && is_expected(source, remote)
    }
    /// Opens the latch. Where the remote party announces another address than before, packets still under way from its
    /// former source count for a while and do not win.
    pub fn open(&mut self, now: Instant, before: Option<&RemoteSpec>, after: &RemoteSpec) {
        let named_before = before.and_then(|remote| remote.rtp);
        let moves = named_before != after.rtp;
        let pinned = moves && pins(after);
        let was_exact = self.rtp().is_some() && self.rtp() == named_before;
        let window = match (moves && was_exact, pinned) {
            (true, _) => Some(STRAGGLER_WINDOW),
            (false, true) => Some(LATCH_GRACE),
            (false, false) => None,
        };
        let former = self.rtp().zip(window.and_then(|window| now.checked_add(window)));
        self.rtp = SourceLatch { former, ..SourceLatch::default() };
        self.rtcp = SourceLatch::default();
        self.pinned_until = if pinned { now.checked_add(LATCH_GRACE) } else { None };
    }
    /// Takes a description that does not open the latch.
    pub fn describe(&mut self, now: Instant) {
        self.rtp.describe(now);
        self.rtcp.describe(now);
    }
    /// Whether RTP from this source is looked at: it counts, or is counted towards a takeover by [`Self::take_rtp`].
    pub fn accepts_rtp(&self, now: Instant, source: SocketAddr, remote: &RemoteSpec) -> bool {
        self.rtp.claim(source, &self.rtp_terms(now, remote)) != Claim::Refused
    }
    /// Whether RTCP on the port of RTP counts from this source, which it never makes the winner.
    pub fn accepts_shared_rtcp(&self, now: Instant, source: SocketAddr, remote: &RemoteSpec) -> bool {
        match self.rtp.claim(source, &self.rtp_terms(now, remote)) {
            Claim::Holds | Claim::Straggles => true,
            Claim::Wins => self.rtp.winner.is_none(),
            Claim::Contends | Claim::Refused => false,
        }
    }
    /// Whether RTCP from this source is looked at.
    pub fn accepts_rtcp(&self, now: Instant, source: SocketAddr, remote: &RemoteSpec) -> bool {
        self.rtcp.claim(source, &self.rtcp_terms(now, remote)) != Claim::Refused
    }
    /// Takes a good RTP packet, authenticated where the stream is encrypted.
    pub fn take_rtp(&mut self, now: Instant, source: SocketAddr, remote: &RemoteSpec) -> Taken {
        let terms = self.rtp_terms(now, remote);
        let taken = self.rtp.take(source, &terms);
        if taken == Taken::Won && self.rtcp.winner.is_some() {
            // Another RTP source sends its RTCP from elsewhere too.
            self.rtcp = SourceLatch::default();
        }
        taken
    }
    /// Takes a good RTCP packet.
    pub fn take_rtcp(&mut self, now: Instant, source: SocketAddr, remote: &RemoteSpec) -> Taken {
        let terms = self.rtcp_terms(now, remote);
        self.rtcp.take(source, &terms)
    }
    /// Looks at the silence of winners that may be replaced; true where the end's sockets have to hear other sources
    /// again. Asked each [`SWEEP_INTERVAL`], so early enough.
    pub fn rest(&mut self, now: Instant, remote: &RemoteSpec) -> bool {
        let (rtp, rtcp) = (self.rtp_terms(now, remote), self.rtcp_terms(now, remote));
        let rtp_rests = self.rtp.rest(&rtp);
        self.rtcp.rest(&rtcp) || rtp_rests
    }
    /// Where RTP goes, and whether that is locked: no other source can count for now ([`Self::rest`]).
    pub fn rtp_destination(&self, remote: &RemoteSpec) -> Option<(SocketAddr, bool)> {
        Some(self.rtp.destination(remote.rtp?, remote.latch))
    }
    /// Whether nothing may go to a far side whose address is not proven: no packet has come from where RTP would go.
    pub fn withholds(&self, remote: &RemoteSpec) -> bool {
        remote.withheld && self.rtp_destination(remote).is_none_or(|(to, _)| self.rtp() != Some(to))
    }
    /// Whether a source that won has this address.
    pub fn has_heard(&self, ip: IpAddr) -> bool {
        [self.rtp(), self.rtcp()].into_iter().flatten().any(|won| won.ip() == ip)
    }
    /// Where RTCP goes, and whether that is locked.
    pub fn rtcp_destination(&self, remote: &RemoteSpec) -> Option<(SocketAddr, bool)> {
        Some(self.rtcp.destination(remote.rtcp?, remote.latch))
    }

    fn rtp_terms<'a>(&self, now: Instant, remote: &'a RemoteSpec) -> Terms<'a> {
        Terms {
            now,
            rules: &RTP,
            remote,
            exact: remote.rtp,
            pinned_until: self.pinned_until,
            beside: None,
            may_send: remote.may_send,
            must_send: remote.watch_idle,
        }
    }

    /// RTCP is sent on hold too (RFC 3264 §5.1).
    fn rtcp_terms<'a>(&self, now: Instant, remote: &'a RemoteSpec) -> Terms<'a> {
        Terms {
            now,
            rules: &RTCP,
            remote,
            exact: remote.rtcp,
            pinned_until: self.pinned_until,
            beside: self.rtp().map(|rtp| rtp.ip()),
            may_send: true,
            must_send: true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use proptest::prelude::*;

    use super::*;

    const EXACT: &str = "192.0.2.1:4000";
    const EXACT_RTCP: &str = "192.0.2.1:4001";
    const OTHER_PORT: &str = "192.0.2.1:9";
    const OTHER_ADDRESS: &str = "198.51.100.77:9";
    const STRANGER: &str = "203.0.113.1:4000";

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

    /// A latch in virtual time, and what it is told of the remote party.
    struct Bench {
        start: Instant,
        remote: RemoteSpec,
        latch: Latch,
    }

    impl Bench {
        /// Opened at 0 ms, with the grace period that belongs to `remote`.
        fn of(remote: RemoteSpec) -> Bench {
            let (start, mut latch) = (Instant::now(), Latch::default());
            latch.open(start, None, &remote);
            Bench { start, remote, latch }
        }
        fn new(mode: LatchMode) -> Bench {
            Bench::of(RemoteSpec { latch: mode, ..remote(EXACT) })
        }
        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }
        /// Whether an RTP packet counts.
        fn rtp(&mut self, ms: u64, source: &str) -> bool {
            let now = self.at(ms);
            let looked_at = self.latch.accepts_rtp(now, addr(source), &self.remote);
            let taken = self.latch.take_rtp(now, addr(source), &self.remote);
            assert!(looked_at || taken == Taken::Refused);
            taken != Taken::Refused
        }
        fn rtcp(&mut self, ms: u64, source: &str) -> bool {
            let now = self.at(ms);
            let looked_at = self.latch.accepts_rtcp(now, addr(source), &self.remote);
            let taken = self.latch.take_rtcp(now, addr(source), &self.remote);
            assert!(looked_at || taken == Taken::Refused);
            taken != Taken::Refused
        }
        /// One packet each 20 ms in `[from, to)`; how many count.
        fn stream(&mut self, from: u64, to: u64, source: &str) -> usize {
            (from..to).step_by(20).filter(|ms| self.rtp(*ms, source)).count()
        }
        fn locked(&self) -> [bool; 2] {
            let latch = &self.latch;
            [latch.rtp_destination(&self.remote), latch.rtcp_destination(&self.remote)].map(|way| way.unwrap().1)
        }
        fn rest(&mut self, ms: u64) -> bool {
            let now = self.at(ms);
            self.latch.rest(now, &self.remote)
        }
    }

    /// Packets one after the other: when, from where, whether it counts, and where RTP goes then.
    #[test]
    fn each_mode_by_its_table() {
        type Step = (u64, &'static str, bool, &'static str);
        let strict: &[Step] = &[
            (0, STRANGER, false, EXACT),
            // Another port is not believed in the grace period, and displaced by the exact source after it.
            (249, OTHER_PORT, false, EXACT),
            (250, OTHER_PORT, true, OTHER_PORT),
            (251, OTHER_ADDRESS, false, OTHER_PORT),
            (252, EXACT, true, EXACT),
            (253, OTHER_PORT, false, EXACT),
            (60_000, STRANGER, false, EXACT),
            (60_000, EXACT, true, EXACT),
        ];
        let relearn: &[Step] = &[
            (0, STRANGER, false, EXACT),
            (249, OTHER_PORT, false, EXACT),
            (250, OTHER_PORT, true, OTHER_PORT),
            (252, EXACT, true, EXACT),
            (3_251, OTHER_ADDRESS, false, EXACT),
            // One packet steals nothing at a silence, from wherever it comes.
            (3_252, OTHER_ADDRESS, false, EXACT),
            (3_253, OTHER_PORT, false, EXACT),
            (3_254, STRANGER, false, EXACT),
            (3_255, EXACT, true, EXACT),
        ];
        let off: &[Step] = &[
            (0, OTHER_PORT, false, EXACT),
            (0, OTHER_ADDRESS, false, EXACT),
            (0, STRANGER, false, EXACT),
            (0, EXACT, true, EXACT),
            (60_000, OTHER_PORT, false, EXACT),
            (60_000, EXACT, true, EXACT),
        ];
        for (mode, steps) in [(LatchMode::Strict, strict), (LatchMode::Relearn, relearn), (LatchMode::Off, off)] {
            let mut bench = Bench::new(mode);
            for (at, (ms, source, counts, goes_to)) in steps.iter().enumerate() {
                assert_eq!(bench.rtp(*ms, source), *counts, "{mode:?} {at}");
                let destination = bench.latch.rtp_destination(&bench.remote).map(|(to, _)| to);
                assert_eq!(destination, Some(addr(goes_to)), "{mode:?} {at}");
            }
            assert!(bench.locked()[0], "{mode:?}");
        }
    }

    #[test]
    fn any_port_of_an_expected_address_wins_after_the_grace_period() {
        for source in [OTHER_PORT, OTHER_ADDRESS] {
            let mut bench = Bench::new(LatchMode::Strict);
            assert!(!bench.rtp(249, source));
            assert!(bench.latch.waits_for_another(addr(source), &bench.remote));
            assert!(bench.rtp(250, source));
            assert_eq!(bench.latch.rtp_destination(&bench.remote), Some((addr(source), false)));
        }
        assert!(!Bench::new(LatchMode::Strict).rtp(60_000, "192.0.2.2:4000"));
    }

    /// Announced address, the other expected one, whether another port wins at once.
    #[test]
    fn a_private_address_beside_the_one_of_signalling_is_not_waited_for() {
        let table = [
            ("10.0.0.9:4000", Some("192.0.2.1"), true),
            ("100.64.0.9:4000", Some("192.0.2.1"), true),
            ("[fd00::9]:4000", Some("2001:db8::1"), true),
            ("127.0.0.9:4000", Some("127.0.0.1"), true),
            // In one network there is no NAT.
            ("10.0.0.9:4000", None, false),
            ("192.0.2.1:4000", Some("192.0.2.2"), false),
            ("[2001:db8::9]:4000", Some("2001:db8::1"), false),
        ];
        for (announced, signalling, at_once) in table {
            let expected: Vec<IpAddr> =
                [Some(addr(announced).ip()), signalling.map(|ip| ip.parse().unwrap())].into_iter().flatten().collect();
            let source = SocketAddr::new(*expected.last().unwrap(), 61_000).to_string();
            let mut bench = Bench::of(RemoteSpec { expected, ..remote(announced) });
            assert_eq!(bench.rtp(0, &source), at_once, "{announced} {signalling:?}");
        }
    }

    #[test]
    fn an_attacker_that_sends_first_is_displaced_by_the_first_packet_of_the_exact_source() {
        for mode in [LatchMode::Strict, LatchMode::Relearn] {
            // A burst settles nothing, nor does one packet now and then.
            let mut bench = Bench::new(mode);
            for _ in 0..1000 {
                bench.rtp(300, OTHER_PORT);
            }
            assert!(bench.rtp(301, EXACT) && !bench.rtp(302, OTHER_PORT), "{mode:?}");
            let mut bench = Bench::new(mode);
            for n in 0..49 {
                assert!(bench.rtp(300 + n * 400, OTHER_PORT));
            }
            assert!(bench.rtp(20_000, EXACT) && !bench.rtp(20_001, OTHER_PORT), "{mode:?}");
        }
    }

    #[test]
    fn a_settled_winner_that_continues_is_displaced_by_nothing_until_the_next_description() {
        let mut bench = Bench::new(LatchMode::Strict);
        assert_eq!(bench.stream(300, 1300, OTHER_PORT), 50);
        assert!(!bench.locked()[0]);
        assert!(bench.rtp(1300, OTHER_PORT) && bench.locked()[0]);
        for ms in (1320..10_000).step_by(20) {
            assert!(bench.rtp(ms, OTHER_PORT));
            assert!(!bench.rtp(ms + 1, EXACT) && !bench.rtp(ms + 2, OTHER_ADDRESS) && !bench.rtp(ms + 3, STRANGER));
        }
        // The answer: the exact source has its chance again, the others have not.
        bench.latch.describe(bench.at(10_000));
        assert!(!bench.locked()[0]);
        assert!(!bench.rtp(10_000, OTHER_ADDRESS));
        assert!(bench.rtp(10_001, EXACT));
        assert_eq!(bench.stream(10_020, 12_000, OTHER_PORT), 0);
    }

    #[test]
    fn a_winner_that_stops_loses_to_the_exact_source_sooner_than_to_others() {
        for (mode, others_after) in [(LatchMode::Strict, 10_000), (LatchMode::Relearn, 3000)] {
            let mut bench = Bench::new(mode);
            bench.stream(300, 1320, OTHER_PORT);
            let stopped = 1300;
            let mut exact = Bench { latch: bench.latch.clone(), remote: bench.remote.clone(), ..bench };
            assert!(!exact.rtp(stopped + 1999, EXACT), "{mode:?}");
            assert!(exact.rtp(stopped + 2000, EXACT), "{mode:?}");
            let first = (stopped..stopped + 20_000).step_by(20).find(|ms| bench.rtp(*ms, OTHER_ADDRESS));
            assert_eq!(first, Some(stopped + others_after), "{mode:?}");
        }
    }

    #[test]
    fn one_packet_of_an_attacker_behind_the_same_nat_costs_a_second_not_the_call() {
        let expected = vec!["10.0.0.9".parse().unwrap(), "192.0.2.1".parse().unwrap()];
        let mut bench = Bench::of(RemoteSpec { expected, ..remote("10.0.0.9:4000") });
        assert!(bench.rtp(0, "192.0.2.1:666"));
        let first = (1..5000).step_by(20).find(|ms| bench.rtp(*ms, "192.0.2.1:61000"));
        assert!(first.is_some_and(|ms| ms < 1000), "{first:?}");
        assert!(!bench.rtp(first.unwrap() + 1, "192.0.2.1:666"));
    }

    #[test]
    fn no_burst_at_a_silence_steals_and_the_exact_source_returns_with_one_packet() {
        let mut bench = Bench::new(LatchMode::Relearn);
        bench.stream(0, 2000, EXACT);
        for _ in 0..1000 {
            assert!(!bench.rtp(6000, OTHER_PORT));
        }
        // A run that the winner interrupts counts for nothing.
        assert!(bench.rtp(6100, EXACT));
        assert_eq!(bench.stream(6120, 9080, OTHER_PORT), 0);
        assert!(bench.rtp(9100, OTHER_PORT));
        // It may have settled meanwhile.
        assert_eq!(bench.stream(9120, 19_120, OTHER_PORT), 500);
        assert!(!bench.locked()[0], "tied, the exact source could not return");
        assert!(bench.rtp(19_121, EXACT) && !bench.rtp(19_122, OTHER_PORT));
    }

    #[test]
    fn a_muted_phone_keeps_its_latch() {
        let mut bench = Bench::new(LatchMode::Strict);
        bench.stream(0, 2000, EXACT);
        assert!(!bench.rest(60_000) && bench.locked()[0]);
        assert_eq!(bench.stream(60_000, 90_000, OTHER_PORT), 0);
        // Behind NAT: on hold, before the answer and in a fax.
        for quiet in
            [RemoteSpec { may_send: false, ..remote(EXACT) }, RemoteSpec { watch_idle: false, ..remote(EXACT) }]
        {
            let mut bench = Bench::new(LatchMode::Strict);
            bench.stream(300, 2000, OTHER_PORT);
            bench.remote = quiet;
            bench.latch.describe(bench.at(2000));
            assert_eq!(bench.stream(60_000, 90_000, OTHER_ADDRESS), 0);
            assert!(bench.rtp(90_000, OTHER_PORT));
            // Back from it, the silence begins at that moment.
            bench.remote = remote(EXACT);
            bench.latch.describe(bench.at(100_000));
            assert_eq!(bench.stream(100_000, 109_999, OTHER_ADDRESS), 0);
        }
    }

    #[test]
    fn a_contender_that_pauses_makes_room() {
        let mut bench = Bench::new(LatchMode::Relearn);
        bench.stream(0, 2000, EXACT);
        assert!(!bench.rtp(6000, OTHER_PORT));
        assert!(!bench.rtp(6100, OTHER_ADDRESS));
        assert_eq!(bench.stream(6500, 6680, OTHER_ADDRESS), 0);
        assert!(bench.rtp(6680, OTHER_ADDRESS));
    }

    #[test]
    fn rtcp_has_a_latch_of_its_own() {
        let mut bench = Bench::new(LatchMode::Strict);
        assert!(!bench.rtcp(0, STRANGER) && !bench.rtcp(0, "192.0.2.1:10"));
        // A remote party outside of the expected addresses cannot be; RTCP beside RTP is expected.
        bench.rtp(300, OTHER_ADDRESS);
        assert!(bench.rtcp(300, "198.51.100.77:10"));
        assert_eq!(bench.latch.rtcp_destination(&bench.remote), Some((addr("198.51.100.77:10"), false)));
        assert!(!bench.rtcp(301, "198.51.100.77:11"));
        assert!(bench.rtcp(302, EXACT_RTCP));
        assert_eq!(bench.latch.rtcp_destination(&bench.remote), Some((addr(EXACT_RTCP), true)));
        assert!(!bench.rtcp(303, "198.51.100.77:10"));
    }

    #[test]
    fn an_rtcp_winner_settles_and_yields_slowly() {
        let other = "192.0.2.1:10";
        let mut bench = Bench::new(LatchMode::Strict);
        for n in 0..5 {
            assert!(bench.rtcp(300 + n * 5000, other));
        }
        assert!(bench.locked()[1] && !bench.rtcp(20_400, EXACT_RTCP));
        assert!(!bench.rest(49_299) && bench.rest(49_300) && !bench.locked()[1]);
        assert!(!bench.rtcp(50_299, EXACT_RTCP) && bench.rtcp(50_300, EXACT_RTCP));
        let mut bench = Bench::new(LatchMode::Strict);
        assert!(bench.rtcp(300, other));
        assert!(!bench.rtcp(30_300, "192.0.2.1:20") && bench.rtcp(35_300, "192.0.2.1:20"));
    }

    #[test]
    fn a_new_rtp_source_brings_its_own_rtcp() {
        let mut bench = Bench::new(LatchMode::Relearn);
        bench.rtp(300, OTHER_PORT);
        bench.rtcp(300, "192.0.2.1:10");
        assert!(!bench.rtcp(301, "192.0.2.1:21"));
        bench.stream(400, 2000, "192.0.2.1:20");
        assert_eq!(bench.latch.rtp(), Some(addr("192.0.2.1:20")));
        assert_eq!(bench.latch.rtcp_destination(&bench.remote), Some((addr(EXACT_RTCP), false)));
        assert!(bench.rtcp(2000, "192.0.2.1:21"));
    }

    #[test]
    fn stragglers_from_the_former_address_do_not_win() {
        let mut bench = Bench::new(LatchMode::Strict);
        bench.rtp(0, EXACT);
        let after = remote("192.0.2.1:5000");
        bench.latch.open(bench.at(1000), Some(&bench.remote), &after);
        bench.remote = after;
        assert!(bench.rtp(1000, EXACT) && bench.rtp(1999, EXACT));
        assert_eq!(bench.latch.rtp(), None);
        assert!(!bench.rtp(1249, OTHER_PORT), "the grace period begins again");
        let mut moved = Bench { latch: bench.latch.clone(), remote: bench.remote.clone(), ..bench };
        assert!(moved.rtp(1100, "192.0.2.1:5000") && !moved.rtp(1101, EXACT));
        assert!(bench.rtp(2000, EXACT));
        assert_eq!(bench.latch.rtp(), Some(addr(EXACT)));
    }

    #[test]
    fn a_source_behind_nat_is_heard_all_through_a_renegotiation() {
        let mut bench = Bench::new(LatchMode::Strict);
        assert!(bench.rtp(300, "192.0.2.1:61000"));
        let after = remote("192.0.2.1:5000");
        bench.latch.open(bench.at(1000), Some(&bench.remote), &after);
        bench.remote = after;
        assert!(!bench.rtp(1000, "192.0.2.1:62000"));
        assert!(bench.rtp(1000, "192.0.2.1:61000") && bench.latch.rtp().is_none());
        assert!(bench.rtp(1250, "192.0.2.1:61000") && bench.latch.rtp().is_some());
        // One that announces the same address again has no grace period.
        bench.latch.open(bench.at(2000), Some(&bench.remote), &bench.remote);
        assert!(bench.rtp(2000, "192.0.2.1:62000"));
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
        let mut bench = Bench::new(LatchMode::Strict);
        assert!(bench.rtp(0, EXACT) && bench.rtcp(0, EXACT_RTCP));
        (bench.remote.rtp, bench.remote.rtcp) = (None, None);
        assert_eq!(bench.latch.rtp_destination(&bench.remote), None);
        assert_eq!(bench.latch.rtcp_destination(&bench.remote), None);
    }

    #[test]
    fn a_winner_that_may_be_replaced_is_locked_while_it_speaks() {
        let mut bench = Bench::new(LatchMode::Relearn);
        assert_eq!((bench.locked(), bench.rest(0)), ([false; 2], false));
        bench.rtp(0, EXACT);
        assert_eq!(bench.locked(), [true, false]);
        bench.rtcp(0, EXACT_RTCP);
        assert_eq!((bench.rest(1999), bench.locked()), (false, [true; 2]));
        // Others are let in before they count, once.
        assert!(bench.rest(2000) && !bench.rest(2000));
        assert_eq!(bench.locked(), [false, true]);
        assert!(!bench.rtp(2999, OTHER_PORT));
        bench.rtp(2999, EXACT);
        assert_eq!(bench.locked(), [true; 2]);
        // Where the exact source may come, it is let in sooner.
        let mut bench = Bench::new(LatchMode::Strict);
        bench.stream(300, 1320, OTHER_PORT);
        assert!(bench.locked()[0] && !bench.rest(2299) && bench.rest(2300) && !bench.locked()[0]);
    }

    #[test]
    fn off_takes_rtcp_from_where_it_was_described_only() {
        let mut bench = Bench::new(LatchMode::Off);
        assert!(bench.rtp(0, EXACT) && bench.rtcp(0, EXACT_RTCP));
        assert!(!bench.rtcp(0, "192.0.2.1:4002"));
        assert!(bench.locked() == [true; 2] && !bench.rest(90_000));
    }

    #[test]
    fn a_restart_is_no_silence_and_keeps_what_was_known() {
        let restored = |bench: &Bench, ms| {
            let sources = [bench.latch.rtp(), bench.latch.rtcp()];
            let latch = Latch::restored(bench.at(ms), sources, bench.latch.known(), Some(&bench.remote));
            Bench { latch, remote: bench.remote.clone(), start: bench.start }
        };
        // A settled winner that is not the exact source: the latter has its chance again, the others have not.
        let mut bench = Bench::new(LatchMode::Strict);
        bench.stream(300, 2000, OTHER_PORT);
        let mut back = restored(&bench, 5000);
        assert!(!back.rtp(5000, OTHER_ADDRESS) && back.rtp(5001, OTHER_PORT));
        assert_eq!(back.stream(5020, 14_000, OTHER_ADDRESS), 0);
        assert!(restored(&bench, 5000).rtp(5000, EXACT));
        // The exact source returns after the restart too.
        let mut bench = Bench::new(LatchMode::Relearn);
        bench.rtp(0, EXACT);
        bench.stream(3000, 5000, OTHER_PORT);
        assert_eq!(bench.latch.rtp(), Some(addr(OTHER_PORT)));
        let mut back = restored(&bench, 5000);
        back.stream(5000, 9000, OTHER_PORT);
        assert!(!back.locked()[0] && back.rtp(9000, EXACT));
        // Without a winner the grace period begins again.
        let mut back = restored(&Bench::new(LatchMode::Strict), 5000);
        assert!(!back.rtp(5249, OTHER_PORT) && back.rtp(5250, OTHER_PORT));
    }

    /// The rules of RTP, written down once more without state of its own: everything is looked up in the list of packets.
    struct Model {
        mode: LatchMode,
        must_send: bool,
        /// When, from which source, whether it counted.
        packets: Vec<(u64, usize, bool)>,
        /// When the latch was described, without being opened, in order.
        described: Vec<u64>,
    }

    const SOURCES: [&str; 4] = [EXACT, OTHER_PORT, OTHER_ADDRESS, STRANGER];

    impl Model {
        fn winner(&self) -> Option<usize> {
            self.packets.iter().rev().find(|(_, _, counted)| *counted).map(|(_, source, _)| *source)
        }
        /// Packets of the winner since it won; all that counted since another source did.
        fn reign(&self) -> Vec<u64> {
            let winner = self.winner();
            let counted = self.packets.iter().rev().filter(|(_, _, counted)| *counted);
            let mut reign: Vec<u64> =
                counted.take_while(|(_, source, _)| Some(*source) == winner).map(|(at, _, _)| *at).collect();
            reign.reverse();
            reign
        }
        /// Whether so many packets came over so long, between two descriptions.
        fn settled(reign: &[u64], since: u64, until: u64) -> bool {
            let begins = reign.first().copied().unwrap_or(0).max(since);
            let counted = reign.iter().filter(|at| (since + 1..=until).contains(at));
            counted.enumerate().any(|(n, at)| n + 1 >= 50 && at - begins >= 1000)
        }
        fn packet(&mut self, now: u64, source: usize) -> bool {
            let counts = self.counts(now, source);
            self.packets.push((now, source, counts));
            counts
        }
        fn counts(&self, now: u64, source: usize) -> bool {
            let (exact, stranger) = (source == 0, source == 3);
            let Some(winner) = self.winner() else { return exact || !stranger && now >= 250 };
            if stranger || winner == source {
                return !stranger;
            }
            let reign = self.reign();
            let described = self.described.last().copied().unwrap_or(0);
            let silent = now - described.max(*reign.last().unwrap());
            if exact {
                let exact_won = self.packets.iter().any(|(_, source, counted)| *counted && *source == 0);
                return exact_won || !Model::settled(&reign, described, u64::MAX) || silent >= 2000;
            }
            let bounds: Vec<u64> = [0].iter().chain(&self.described).chain(&[u64::MAX]).copied().collect();
            let established = bounds.windows(2).any(|of| Model::settled(&reign, of[0], of[1]));
            let after = match (self.mode, established, winner == 0) {
                (_, false, false) => 500,
                (LatchMode::Relearn, _, _) => 3000,
                (_, true, true) => return false,
                (_, true, false) if !self.must_send => return false,
                (_, _, _) => 10_000,
            };
            // A run: none of the winner in between, no pause, and the first that began it is the one that counts.
            let quiet_since = now - silent + 500;
            let mut run: Option<(usize, u64, u64, u32)> = None;
            let tries = self.packets.iter().map(|(at, source, _)| (*at, *source)).chain([(now, source)]);
            let last_counted = self.packets.iter().rposition(|(_, _, counted)| *counted).map_or(0, |at| at + 1);
            for (at, source) in
                tries.skip(last_counted).filter(|(at, source)| *at >= quiet_since && (1..3).contains(source))
            {
                run = match run {
                    Some((of, since, last, n)) if at - last < 500 && of == source => Some((of, since, at, n + 1)),
                    Some(running) if at - running.2 < 500 => Some(running),
                    _ => Some((source, at, at, 1)),
                };
            }
            silent >= after && run.is_some_and(|(of, since, _, n)| of == source && n >= 10 && now - since >= 150)
        }
    }

    /// A step of the world: how long nothing comes, then from where how many packets come, each 20 ms after the other.
    fn steps() -> impl Strategy<Value = Vec<(u64, usize, usize, bool)>> {
        let pause = prop_oneof![0u64..30, 0u64..700, 400u64..4000, 9000u64..12_000];
        let length = prop_oneof![1usize..3, 1usize..15, 40usize..80];
        proptest::collection::vec((pause, 0usize..4, length, prop::bool::weighted(0.05)), 1..40)
    }

    proptest! {
        #[test]
        fn every_order_of_packets_keeps_the_rules(
            steps in steps(),
            mode in prop_oneof![Just(LatchMode::Strict), Just(LatchMode::Relearn)],
            must_send in any::<bool>(),
        ) {
            let remote = RemoteSpec { latch: mode, watch_idle: must_send, ..remote(EXACT) };
            let mut bench = Bench::of(remote);
            let mut model = Model { mode, must_send, packets: vec![], described: vec![] };
            let (mut now, mut swept) = (0, 0);
            let (mut heard, mut exact_won) = (0, false);
            for (pause, source, length, describes) in steps {
                now += pause;
                if describes {
                    bench.latch.describe(bench.at(now));
                    model.described.push(now);
                }
                for _ in 0..length {
                    now += 20;
                    while swept + 1000 <= now {
                        swept += 1000;
                        bench.rest(swept);
                    }
                    let before = bench.latch.rtp();
                    let locked = bench.locked()[0];
                    let counts = bench.rtp(now, SOURCES[source]);
                    prop_assert_eq!(counts, model.packet(now, source), "{} ms, source {}", now, source);
                    let displaced = before.is_some() && bench.latch.rtp() != before;
                    // An unexpected source neither counts nor wins.
                    prop_assert!(!counts || SOURCES[source] != STRANGER);
                    prop_assert!(bench.latch.rtp() != Some(addr(STRANGER)));
                    // A source that counts is the winner.
                    prop_assert!(!counts || bench.latch.rtp() == Some(addr(SOURCES[source])));
                    // A winner that continues is displaced by the exact source alone.
                    prop_assert!(!displaced || source == 0 || now - heard >= 500);
                    // The exact source is heard with its first packet in the grace period, and always once it has been.
                    prop_assert!(source != 0 || counts || now > 1250 && !exact_won);
                    // A socket that is tied to the winner keeps out nothing that would have counted.
                    prop_assert!(!locked || !displaced);
                    exact_won |= counts && source == 0;
                    heard = if counts { now } else { heard };
                }
            }
        }
    }
}
