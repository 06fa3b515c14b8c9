//! Latch of one stream: the winning source, and takeovers by other sources. The rules are in [the module](super).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::limits::{
    LATCH_CONTENDER_GAP, LATCH_CONTENDER_PACKETS, LATCH_CONTENDER_SPAN, LATCH_EXACT_SILENCE,
    LATCH_RTCP_CONTENDER_PACKETS, LATCH_RTCP_CONTENDER_SPAN, LATCH_RTCP_SETTLED_AFTER, LATCH_RTCP_SETTLED_PACKETS,
    LATCH_RTCP_SETTLED_WITHIN, LATCH_RTCP_SILENCE, LATCH_SETTLED_AFTER, LATCH_SETTLED_PACKETS, LATCH_SETTLED_WITHIN,
    LATCH_STRICT_SILENCE, LATCH_UNSETTLED_SILENCE, RELEARN_SILENCE, SWEEP_INTERVAL,
};
use crate::spec::{LatchMode, RemoteSpec};

/// Packet counts and durations by which a latch selects its winner.
#[derive(Debug)]
pub(super) struct LatchRules {
    settled_packets: u32,
    settled_after: Duration,
    settled_within: Duration,
    /// Silence of the latched source after which the packets of another one are counted, and after which a latched
    /// source that never settled is replaced.
    unsettled_silence: Duration,
    exact_silence: Duration,
    relearn_silence: Duration,
    strict_silence: Duration,
    contender_packets: u32,
    contender_span: Duration,
    contender_gap: Duration,
}

/// Rules for the latch of RTP.
pub(super) static RTP: LatchRules = LatchRules {
    settled_packets: LATCH_SETTLED_PACKETS,
    settled_after: LATCH_SETTLED_AFTER,
    settled_within: LATCH_SETTLED_WITHIN,
    unsettled_silence: LATCH_UNSETTLED_SILENCE,
    exact_silence: LATCH_EXACT_SILENCE,
    relearn_silence: RELEARN_SILENCE,
    strict_silence: LATCH_STRICT_SILENCE,
    contender_packets: LATCH_CONTENDER_PACKETS,
    contender_span: LATCH_CONTENDER_SPAN,
    contender_gap: LATCH_CONTENDER_GAP,
};

/// Rules for RTCP, for which one packet about every five seconds from each source is assumed.
pub(super) static RTCP: LatchRules = LatchRules {
    settled_packets: LATCH_RTCP_SETTLED_PACKETS,
    settled_after: LATCH_RTCP_SETTLED_AFTER,
    settled_within: LATCH_RTCP_SETTLED_WITHIN,
    unsettled_silence: LATCH_RTCP_SILENCE,
    exact_silence: LATCH_RTCP_SILENCE,
    relearn_silence: LATCH_RTCP_SILENCE,
    strict_silence: LATCH_RTCP_SILENCE,
    contender_packets: LATCH_RTCP_CONTENDER_PACKETS,
    contender_span: LATCH_RTCP_CONTENDER_SPAN,
    contender_gap: LATCH_RTCP_SILENCE,
};

/// Conditions under which a packet's source is evaluated.
pub(super) struct LatchConditions<'a> {
    pub(super) now: Instant,
    pub(super) rules: &'static LatchRules,
    pub(super) remote: &'a RemoteSpec,
    /// The announced address and port of this stream.
    pub(super) exact: Option<SocketAddr>,
    /// Time until which only the exact source may win a latch without a winner.
    pub(super) pinned_until: Option<Instant>,
    /// Whether the announced address can be the real one: a run of the exact source then displaces any other winner.
    pub(super) pins: bool,
    /// Address that is expected too, because RTP arrives from it.
    pub(super) beside: Option<IpAddr>,
    /// Whether the remote party may send; if so, silence can mean that the winner is gone.
    pub(super) may_send: bool,
    /// Whether the remote party has to send continuously.
    pub(super) must_send: bool,
}

impl LatchConditions<'_> {
    fn is_exact(&self, source: SocketAddr) -> bool {
        self.exact == Some(source)
    }

    fn is_expected(&self, source: SocketAddr) -> bool {
        self.beside == Some(source.ip()) || is_expected(source, self.remote)
    }

    fn silence(&self, winner: &LatchedSource) -> Duration {
        self.now.saturating_duration_since(winner.run.heard)
    }

    /// Silence after which a source other than the exact one may take over from `winner`; `None` means never.
    ///
    /// A winner that was never established yields soon unless it is the exact source: it may have been one packet of an
    /// attacker. Under `strict` an established winner yields only while the remote party has to send (not on hold, in
    /// early media or in a fax), and an established exact source keeps the latch through any silence: a muted phone is
    /// not to lose its call's audio to another port of its address.
    fn yields_after(&self, winner: &LatchedSource) -> Option<Duration> {
        let exact = self.is_exact(winner.run.source);
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

/// Consecutive packets from one source.
#[derive(Debug, Clone)]
struct SourceRun {
    source: SocketAddr,
    /// Time of the last packet, or of a later description from which the silence is counted.
    heard: Instant,
    /// Time of the first counted packet; `packets` is the number of packets since then.
    since: Instant,
    packets: u32,
}

impl SourceRun {
    fn new(now: Instant, source: SocketAddr) -> SourceRun {
        SourceRun { source, heard: now, since: now, packets: 1 }
    }

    /// Counts a packet; restarts the count if it spans more time than a stream of so many packets takes.
    fn take(&mut self, now: Instant, rules: &LatchRules) {
        self.heard = now;
        if now.saturating_duration_since(self.since) > rules.settled_within {
            (self.since, self.packets) = (now, 0);
        }
        self.packets = self.packets.saturating_add(1);
    }

    fn has(&self, packets: u32, over: Duration) -> bool {
        self.packets >= packets && self.heard.saturating_duration_since(self.since) >= over
    }

    /// Returns whether the run is a stream and not just occasional packets.
    fn settles(&self, rules: &LatchRules) -> bool {
        self.has(rules.settled_packets, rules.settled_after)
    }

    fn continues(&self, terms: &LatchConditions<'_>) -> bool {
        terms.now.saturating_duration_since(self.heard) < terms.rules.contender_gap
    }
}

/// Winner of the latch: the source that sends the packets that count.
#[derive(Debug, Clone)]
struct LatchedSource {
    run: SourceRun,
    /// Whether the winner has ever settled, that is, proven to be a stream.
    established: bool,
    /// Whether the winner has settled since the last description; if so, a single packet of the exact source does not
    /// displace it.
    settled: bool,
    /// Whether the winner was active recently; until [`SourceLatch::rest`] clears this flag no other source can take
    /// over.
    speaks: bool,
}

impl LatchedSource {
    fn new(now: Instant, source: SocketAddr) -> LatchedSource {
        LatchedSource { run: SourceRun::new(now, source), established: false, settled: false, speaks: true }
    }

    fn take(&mut self, now: Instant, rules: &LatchRules) {
        self.speaks = true;
        if self.settled {
            self.run.heard = now;
        } else {
            self.run.take(now, rules);
            self.settled = self.run.settles(rules);
            self.established |= self.settled;
        }
    }
}

/// Result of comparing a packet's source with the latch, without a change of the latch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceClaim {
    /// The source is the winner.
    Holds,
    /// The packets count, but the source does not win: they are stragglers from before a re-negotiation.
    Straggles,
    /// The source wins with this packet.
    Wins,
    /// The packets are only counted towards a takeover while the winner is silent.
    Contends,
    /// The packets do not count.
    Refused,
}

/// Effect of an authenticated packet on the latch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatchOutcome {
    /// The packet does not count.
    Refused,
    /// The packet counts.
    Counts,
    /// The packet counts, and its source is the new winner.
    Won,
}

/// Source that the latch treats specially, in addition to the winner.
#[derive(Debug, Clone)]
enum OtherSource {
    /// Former source of a latch without a winner, and the time until which its packets are stragglers.
    Former { source: SocketAddr, until: Instant },
    /// Expected source that sends next to a winner, or while the winner is silent.
    Contender(SourceRun),
}

/// Latch of one stream, RTP or RTCP.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceLatch {
    winner: Option<LatchedSource>,
    beside: Option<OtherSource>,
    /// Whether the exact source has won since its address was announced; then no NAT hides it, and it may always
    /// return.
    exact_won: bool,
    /// First source other than the exact one that was established since the address was announced. It may return from
    /// any winner except the exact source.
    first: Option<SocketAddr>,
}

impl SourceLatch {
    /// Creates a latch without a winner; packets of `former` count until the given time and do not win.
    pub(super) fn opened(former: Option<(SocketAddr, Instant)>) -> SourceLatch {
        let beside = former.map(|(source, until)| OtherSource::Former { source, until });
        SourceLatch { beside, ..SourceLatch::default() }
    }

    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.winner.as_ref().map(|winner| winner.run.source)
    }

    pub(super) fn claim(&self, source: SocketAddr, terms: &LatchConditions<'_>) -> SourceClaim {
        if terms.remote.latch == LatchMode::Off {
            return match (terms.is_exact(source), self.source() == Some(source)) {
                (true, true) => SourceClaim::Holds,
                (true, false) => SourceClaim::Wins,
                (false, _) => SourceClaim::Refused,
            };
        }
        match &self.winner {
            Some(winner) if winner.run.source == source => SourceClaim::Holds,
            _ if !terms.is_expected(source) => SourceClaim::Refused,
            Some(winner) if terms.is_exact(source) => self.claim_of_exact(winner, source, terms),
            Some(winner) => self.claim_of_other(winner, source, terms),
            None if terms.is_exact(source) => SourceClaim::Wins,
            None if self.is_straggler(source, terms) => SourceClaim::Straggles,
            None if terms.pinned_until.is_some_and(|until| terms.now < until) => SourceClaim::Refused,
            None => SourceClaim::Wins,
        }
    }

    fn claim_of_exact(&self, winner: &LatchedSource, source: SocketAddr, terms: &LatchConditions<'_>) -> SourceClaim {
        let takes_over = self.exact_won || !winner.settled || terms.silence(winner) >= terms.rules.exact_silence;
        let run = self.run_with(source, terms);
        if takes_over || terms.pins && run.has(terms.rules.contender_packets, terms.rules.contender_span) {
            SourceClaim::Wins
        } else if terms.pins {
            SourceClaim::Contends
        } else {
            SourceClaim::Refused
        }
    }

    fn claim_of_other(&self, winner: &LatchedSource, source: SocketAddr, terms: &LatchConditions<'_>) -> SourceClaim {
        let is_exact = terms.is_exact(winner.run.source);
        if self.first == Some(source) && !is_exact {
            return SourceClaim::Wins;
        }
        let (rules, silence) = (terms.rules, terms.silence(winner));
        // Neither source has proven to be a stream yet; the first that does wins.
        let is_open = !winner.established && !is_exact;
        let Some(after) = terms.yields_after(winner).filter(|_| is_open || silence >= rules.unsettled_silence) else {
            return SourceClaim::Refused;
        };
        if self.contender().is_some_and(|other| other.continues(terms) && terms.is_exact(other.source)) {
            return SourceClaim::Refused;
        }
        let run = self.run_with(source, terms);
        let by_silence = silence >= after && run.has(rules.contender_packets, rules.contender_span);
        if by_silence || is_open && run.settles(rules) { SourceClaim::Wins } else { SourceClaim::Contends }
    }

    fn contender(&self) -> Option<&SourceRun> {
        match &self.beside {
            Some(OtherSource::Contender(run)) => Some(run),
            Some(OtherSource::Former { .. }) | None => None,
        }
    }

    /// Counts a packet of a contender. There is one contender slot: a packet of another source decrements its count, so
    /// that the source with the most packets keeps the slot (Boyer–Moore majority vote) and occasional packets do not
    /// displace a stream. The exact source replaces a contender with its first packet.
    fn contend(&mut self, source: SocketAddr, terms: &LatchConditions<'_>) {
        if let Some(OtherSource::Contender(run)) = &mut self.beside
            && run.source != source
            && run.continues(terms)
            && !terms.is_exact(source)
        {
            run.packets = run.packets.saturating_sub(1);
            if run.packets > 0 {
                return;
            }
        }
        self.beside = Some(OtherSource::Contender(self.run_with(source, terms)));
    }

    /// Creates a latch without a winner after a new description with the same address; the exact source and the first
    /// other source keep their right to return.
    pub(super) fn reopened(former: Option<(SocketAddr, Instant)>, before: &SourceLatch) -> SourceLatch {
        SourceLatch { exact_won: before.exact_won, first: before.first, ..SourceLatch::opened(former) }
    }

    fn is_straggler(&self, of: SocketAddr, terms: &LatchConditions<'_>) -> bool {
        matches!(self.beside, Some(OtherSource::Former { source, until }) if source == of && terms.now < until)
    }

    /// Returns the run of packets from `source`, including one at this moment; a new run unless `source` is the
    /// contender.
    fn run_with(&self, source: SocketAddr, terms: &LatchConditions<'_>) -> SourceRun {
        let Some(running) = self.contender().filter(|run| run.continues(terms) && run.source == source) else {
            return SourceRun::new(terms.now, source);
        };
        let mut run = running.clone();
        run.take(terms.now, terms.rules);
        run
    }

    pub(super) fn accept_packet(&mut self, source: SocketAddr, terms: &LatchConditions<'_>) -> LatchOutcome {
        let now = terms.now;
        match self.claim(source, terms) {
            SourceClaim::Holds => {
                if let Some(winner) = &mut self.winner {
                    winner.take(now, terms.rules);
                    if winner.established && !terms.is_exact(source) {
                        self.first.get_or_insert(source);
                    }
                    // Next to an established winner, only a run of the exact source counts.
                    let is_exact =
                        matches!(&self.beside, Some(OtherSource::Contender(run)) if terms.is_exact(run.source));
                    if winner.established && !is_exact {
                        self.beside = None;
                    }
                }
                LatchOutcome::Counts
            }
            SourceClaim::Wins => {
                self.exact_won |= terms.is_exact(source);
                self.winner = Some(LatchedSource::new(now, source));
                self.beside = None;
                LatchOutcome::Won
            }
            SourceClaim::Straggles => LatchOutcome::Counts,
            SourceClaim::Contends => {
                self.contend(source, terms);
                LatchOutcome::Refused
            }
            SourceClaim::Refused => LatchOutcome::Refused,
        }
    }

    /// Applies a description that does not open the latch: the winner's silence restarts, and the exact source may take
    /// over as from a new winner.
    pub(super) fn describe(&mut self, now: Instant) {
        if let Some(winner) = &mut self.winner {
            winner.run = SourceRun { packets: 0, ..SourceRun::new(now, winner.run.source) };
            winner.settled = false;
        }
        if self.winner.is_some() {
            self.beside = None;
        }
    }

    /// Returns whether no source but the winner can count until the next [`Self::rest`].
    fn is_locked(&self, exact: SocketAddr, mode: LatchMode, pins: bool) -> bool {
        self.winner.as_ref().is_some_and(|winner| {
            let source = winner.run.source;
            let may_return = pins || self.exact_won || self.first.is_some_and(|first| first != source);
            match mode {
                LatchMode::Off => source == exact,
                LatchMode::Strict | LatchMode::Relearn => {
                    winner.speaks && (source == exact || winner.settled && !may_return)
                }
            }
        })
    }

    pub(super) fn destination(&self, exact: SocketAddr, mode: LatchMode, pins: bool) -> (SocketAddr, bool) {
        let learned = self.source().filter(|_| mode != LatchMode::Off);
        (learned.unwrap_or(exact), self.is_locked(exact, mode, pins))
    }

    /// Clears the lock of a winner that has been silent for so long that another source may take over before the next
    /// sweep; returns whether the latch was locked until now.
    pub(super) fn rest(&mut self, terms: &LatchConditions<'_>) -> bool {
        let is_locked = |exact: &SocketAddr| self.is_locked(*exact, terms.remote.latch, terms.pins);
        let Some(exact) = terms.exact.filter(is_locked) else { return false };
        let Some(winner) = &mut self.winner else { return false };
        let by_exact = (winner.run.source != exact).then_some(terms.rules.exact_silence);
        let soonest = terms.yields_after(winner).into_iter().chain(by_exact).min();
        let rests = terms.remote.latch != LatchMode::Off
            && soonest.is_some_and(|soonest| terms.silence(winner) + SWEEP_INTERVAL >= soonest);
        winner.speaks &= !rests;
        rests
    }

    pub(super) fn restored(now: Instant, source: Option<SocketAddr>, known: LatchSnapshot) -> SourceLatch {
        let winner = source.map(|source| {
            let run = SourceRun { packets: 0, ..SourceRun::new(now, source) };
            LatchedSource { run, established: known.established, ..LatchedSource::new(now, source) }
        });
        SourceLatch { winner, exact_won: known.exact_won, first: known.first, ..SourceLatch::default() }
    }

    pub(super) fn known(&self) -> LatchSnapshot {
        let established = self.winner.as_ref().is_some_and(|winner| winner.established);
        LatchSnapshot { established, exact_won: self.exact_won, first: self.first }
    }
}

/// State of a winner that survives a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LatchSnapshot {
    /// Whether the winner has ever settled.
    pub established: bool,
    /// Whether the exact source has won since its address was announced.
    pub exact_won: bool,
    /// First source other than the exact one that was established since the address was announced.
    #[serde(default)]
    pub first: Option<SocketAddr>,
}

pub(super) fn is_expected(source: SocketAddr, remote: &RemoteSpec) -> bool {
    let ip = source.ip();
    remote.expected.contains(&ip) || remote.expected_networks.iter().any(|network| network.contains(&ip))
}
