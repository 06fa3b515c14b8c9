//! What the gateway counts: plain numbers, read by whoever renders them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// A histogram with fixed upper bounds, in its base unit.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// Upper bounds, rising; the last bucket has none.
    pub bounds: &'static [f64],
    /// Counts, one more than bounds; not cumulative.
    pub counts: Vec<u64>,
    /// Sum of all values.
    pub sum: f64,
}

impl Histogram {
    /// An empty one.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }
    /// Adds a value.
    pub fn observe(&mut self, value: f64) {
        let at = self.bounds.iter().position(|b| value <= *b).unwrap_or(self.bounds.len());
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum += value;
    }
}

/// Messages, transactions and dialogs.
#[derive(Debug, Clone)]
pub struct SipMetrics {
    /// (trunk, method, direction `in`/`out`)
    pub requests: BTreeMap<(Arc<str>, &'static str, &'static str), u64>,
    /// (trunk, method, code, direction)
    pub responses: BTreeMap<(Arc<str>, &'static str, u16, &'static str), u64>,
    /// Messages sent again.
    pub retransmissions: u64,
    /// By reason: `unknown_source`, `not_sip`, and the endpoint's.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Gauge.
    pub transactions_active: u64,
    /// Gauge.
    pub dialogs_active: u64,
    /// Gauge: subscriptions to the messages of mailboxes.
    pub subscriptions_active: u64,
    /// Request to final answer of our client transactions, seconds.
    pub transaction_seconds: Histogram,
}

/// Sessions of agents, and callers that wait for one.
#[derive(Debug, Clone)]
pub struct AgentMetrics {
    /// From the call for an agent's socket until it is open, seconds.
    pub connect_seconds: Histogram,
    /// Agent; answered calls that it had for at least 10 s without being heard.
    pub silent: BTreeMap<Arc<str>, u64>,
    /// Gauge: agents' sockets that are open.
    pub sessions: u64,
    /// Gauge: agent; callers that wait in line for it.
    pub waiting: BTreeMap<Arc<str>, u64>,
    /// From when a caller got in line for an agent until it left, with its turn or without, seconds.
    pub wait_seconds: Histogram,
    /// Gauge: agent; whether it is skipped because it keeps failing.
    pub skipped: BTreeMap<Arc<str>, bool>,
}

/// Recognitions of callers' speech.
#[derive(Debug, Clone)]
pub struct RecognitionMetrics {
    /// Gauge: recognisers that listen.
    pub sessions: u64,
    /// Result; recognitions that have ended.
    pub results: BTreeMap<&'static str, u64>,
    /// From the call for a recogniser's socket until it is open, seconds.
    pub connect_seconds: Histogram,
}

/// Recording sessions (SIPREC), by the trunk that a group of recording servers is.
#[derive(Debug, Clone, Default)]
pub struct SiprecMetrics {
    /// Gauge: sessions in which a server records.
    pub sessions: BTreeMap<Arc<str>, u64>,
    /// (trunk, result)
    pub results: BTreeMap<(Arc<str>, &'static str), u64>,
    /// Gauge: whether no server recorded the latest call.
    pub failing: BTreeMap<Arc<str>, bool>,
}

impl SiprecMetrics {
    /// Counts a session in or out.
    pub fn count_session(&mut self, trunk: &Arc<str>, begins: bool) {
        let sessions = self.sessions.entry(Arc::clone(trunk)).or_default();
        *sessions = if begins { *sessions + 1 } else { sessions.saturating_sub(1) };
    }

    /// Counts a result.
    pub fn count(&mut self, trunk: &Arc<str>, result: &'static str) {
        *self.results.entry((Arc::clone(trunk), result)).or_default() += 1;
        if matches!(result, "recorded" | "failed") {
            self.failing.insert(Arc::clone(trunk), result == "failed");
        }
    }
}

/// Messages that traces keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextMetrics {
    /// Gauge: what they take, in bytes.
    pub bytes: u64,
    /// Those that are no longer kept, to make room for those of later calls.
    pub dropped: u64,
}

/// RTP packets of a trunk's parties.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrunkPackets {
    /// Received.
    pub received: u64,
    /// Missing in what was received.
    pub lost: u64,
    /// Sent.
    pub sent: u64,
    /// Missing in what they received, as they report by RTCP.
    pub far_lost: u64,
}

/// Everything that the gateway counts; names as in the contract's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Gauge: trunk.
    pub calls_active: BTreeMap<Arc<str>, u64>,
    /// (trunk, route, outcome)
    pub calls: BTreeMap<(Arc<str>, Arc<str>, &'static str), u64>,
    /// (trunk, reason): calls that a limit, `deny` or the like refused.
    pub limits_reached: BTreeMap<(Arc<str>, &'static str), u64>,
    /// (trunk, `unknown_user` or `wrong_password`): requests with wrong credentials for the trunk's `require_auth`.
    pub wrong_credentials: BTreeMap<(Arc<str>, &'static str), u64>,
    /// (route, reason)
    pub failovers: BTreeMap<(Arc<str>, &'static str), u64>,
    /// From INVITE in to the 2xx out, seconds.
    pub call_setup_seconds: Histogram,
    /// From answer to end, seconds.
    pub call_duration_seconds: Histogram,
    /// From INVITE in to the first 18x out, seconds.
    pub post_dial_delay_seconds: Histogram,
    /// Interarrival jitter of each side of an answered call that was heard, at its end, in seconds.
    pub rtp_jitter_seconds: Histogram,
    /// Round trip to the far side by RTCP of each side of an answered call where it was measured, at its end, in seconds.
    pub rtp_round_trip_seconds: Histogram,
    /// Mean score of what each side of an answered call sent.
    pub call_mos: Histogram,
    /// (trunk, side): `caller`, `callee` or `both` sent no media within five seconds of the answer although they should.
    pub media_one_way: BTreeMap<(Arc<str>, &'static str), u64>,
    /// Trunk: packets of its parties in answered calls.
    pub rtp_of_trunks: BTreeMap<Arc<str>, TrunkPackets>,
    /// Gauge: ports taken from the pool, two to each end.
    pub media_ports_in_use: u64,
    /// Gauge: trunk; whether any peer of it answered when it was last tried.
    pub trunk_up: BTreeMap<Arc<str>, bool>,
    /// Gauge: addresses that are banned.
    pub sources_banned: u64,
    /// Gauge: trunk; when our registration with it ends; 1970 where it was refused and never has been.
    pub registration_ends: BTreeMap<Arc<str>, SystemTime>,
    /// Gauge: (trunk, peer as written); whether it answered when it was last tried.
    pub peer_up: BTreeMap<(Arc<str>, String), bool>,
    /// From OPTIONS to a trunk's address until its answer, seconds.
    pub trunk_keepalive_rtt_seconds: Histogram,
    /// Gauge.
    pub draining: bool,
    /// Messages in traces.
    pub message_texts: TextMetrics,
    /// Messages, transactions and dialogs.
    pub sip: SipMetrics,
    /// Sessions of agents, and callers that wait for one.
    pub agent: AgentMetrics,
    /// Recognitions of callers' speech.
    pub recognition: RecognitionMetrics,
    /// Recording sessions.
    pub siprec: SiprecMetrics,
}

/// Bounds for call set-up and for SIP transactions, in seconds.
const SETUP_BOUNDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0];
/// Bounds for jitter, in seconds.
const JITTER_BOUNDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2];
/// Bounds for round trips, in seconds.
const TRIP_BOUNDS: &[f64] = &[0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0];
/// Bounds for scores: those of ITU-T G.107 Annex B (R 50, 60, 70, 80, 90) and some between.
const MOS_BOUNDS: &[f64] = &[1.5, 2.0, 2.58, 3.1, 3.6, 3.8, 4.03, 4.2, 4.34, 4.5];
/// Bounds for the length of calls, in seconds.
const CALL_BOUNDS: &[f64] = &[1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0];

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Metrics {
        Metrics {
            calls_active: BTreeMap::new(),
            calls: BTreeMap::new(),
            limits_reached: BTreeMap::new(),
            wrong_credentials: BTreeMap::new(),
            failovers: BTreeMap::new(),
            call_setup_seconds: Histogram::new(SETUP_BOUNDS),
            call_duration_seconds: Histogram::new(CALL_BOUNDS),
            post_dial_delay_seconds: Histogram::new(SETUP_BOUNDS),
            rtp_jitter_seconds: Histogram::new(JITTER_BOUNDS),
            rtp_round_trip_seconds: Histogram::new(TRIP_BOUNDS),
            call_mos: Histogram::new(MOS_BOUNDS),
            media_one_way: BTreeMap::new(),
            rtp_of_trunks: BTreeMap::new(),
            media_ports_in_use: 0,
            trunk_up: BTreeMap::new(),
            registration_ends: BTreeMap::new(),
            sources_banned: 0,
            peer_up: BTreeMap::new(),
            trunk_keepalive_rtt_seconds: Histogram::new(TRIP_BOUNDS),
            message_texts: TextMetrics::default(),
            draining: false,
            sip: SipMetrics {
                requests: BTreeMap::new(),
                responses: BTreeMap::new(),
                retransmissions: 0,
                dropped: BTreeMap::new(),
                transactions_active: 0,
                dialogs_active: 0,
                subscriptions_active: 0,
                transaction_seconds: Histogram::new(SETUP_BOUNDS),
            },
            agent: AgentMetrics {
                connect_seconds: Histogram::new(SETUP_BOUNDS),
                silent: BTreeMap::new(),
                sessions: 0,
                waiting: BTreeMap::new(),
                wait_seconds: Histogram::new(SETUP_BOUNDS),
                skipped: BTreeMap::new(),
            },
            recognition: RecognitionMetrics {
                sessions: 0,
                results: BTreeMap::new(),
                connect_seconds: Histogram::new(SETUP_BOUNDS),
            },
            siprec: SiprecMetrics::default(),
        }
    }
    /// Counts a message that was dropped.
    pub fn dropped(&mut self, reason: &'static str) {
        *self.sip.dropped.entry(reason).or_default() += 1;
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}
