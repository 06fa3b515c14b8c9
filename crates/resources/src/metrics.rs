//! Counters and gauges of the gateway: plain numbers, without a rendering.

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
    /// Returns an empty histogram.
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
    /// Requests, by (trunk, method, direction `in`/`out`).
    pub requests: BTreeMap<(Arc<str>, &'static str, &'static str), u64>,
    /// Responses, by (trunk, method, status code, direction).
    pub responses: BTreeMap<(Arc<str>, &'static str, u16, &'static str), u64>,
    /// Retransmitted messages.
    pub retransmissions: u64,
    /// Dropped messages, by reason: `unknown_source`, `not_sip`, and those of the endpoint.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Gauge: active transactions.
    pub transactions_active: u64,
    /// Gauge: active dialogs.
    pub dialogs_active: u64,
    /// Gauge: subscriptions to the messages of mailboxes.
    pub subscriptions_active: u64,
    /// Time from request to final response of client transactions, in seconds.
    pub transaction_seconds: Histogram,
}

/// Sessions of agents, and callers queued for one.
#[derive(Debug, Clone)]
pub struct AgentMetrics {
    /// Time until an agent's WebSocket is open, in seconds.
    pub connect_seconds: Histogram,
    /// Answered calls of at least 10 s in which the agent was not heard, by agent.
    pub silent: BTreeMap<Arc<str>, u64>,
    /// Gauge: open WebSockets of agents.
    pub sessions: u64,
    /// Gauge: callers queued for an agent, by agent.
    pub waiting: BTreeMap<Arc<str>, u64>,
    /// Time that callers spent in the queue of an agent, whether they reached the agent or not, in seconds.
    pub wait_seconds: Histogram,
    /// Gauge: whether an agent is skipped because it keeps failing, by agent.
    pub skipped: BTreeMap<Arc<str>, bool>,
}

/// Speech recognition of callers.
#[derive(Debug, Clone)]
pub struct RecognitionMetrics {
    /// Gauge: active recognition sessions.
    pub sessions: u64,
    /// Finished recognitions, by result.
    pub results: BTreeMap<&'static str, u64>,
    /// Time until a recogniser's WebSocket is open, in seconds.
    pub connect_seconds: Histogram,
}

/// Recording sessions (SIPREC), by trunk of the group of recording servers.
#[derive(Debug, Clone, Default)]
pub struct SiprecMetrics {
    /// Gauge: sessions in which a server records.
    pub sessions: BTreeMap<Arc<str>, u64>,
    /// Results of sessions, by (trunk, result).
    pub results: BTreeMap<(Arc<str>, &'static str), u64>,
    /// Gauge: whether no server recorded the latest call.
    pub failing: BTreeMap<Arc<str>, bool>,
}

impl SiprecMetrics {
    /// Adds a session to the gauge, or removes one.
    pub fn count_session(&mut self, trunk: &Arc<str>, begins: bool) {
        let sessions = self.sessions.entry(Arc::clone(trunk)).or_default();
        *sessions = if begins { *sessions + 1 } else { sessions.saturating_sub(1) };
    }

    /// Counts a result; `recorded` and `failed` also set the gauge `failing`.
    pub fn count(&mut self, trunk: &Arc<str>, result: &'static str) {
        *self.results.entry((Arc::clone(trunk), result)).or_default() += 1;
        if matches!(result, "recorded" | "failed") {
            self.failing.insert(Arc::clone(trunk), result == "failed");
        }
    }
}

/// Messages kept in traces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextMetrics {
    /// Gauge: memory used, in bytes.
    pub bytes: u64,
    /// Messages dropped to make room for later calls.
    pub dropped: u64,
}

/// RTP packets of a trunk's remote parties.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrunkPackets {
    /// Packets received.
    pub received: u64,
    /// Packets lost on the way to the edge.
    pub lost: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets lost on the way to the remote parties, as reported by RTCP.
    pub far_lost: u64,
}

/// All metrics of the gateway (docs/operate/metrics.md).
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Gauge: active calls, by trunk.
    pub calls_active: BTreeMap<Arc<str>, u64>,
    /// Calls, by (trunk, route, outcome).
    pub calls: BTreeMap<(Arc<str>, Arc<str>, &'static str), u64>,
    /// Calls refused by a limit, `deny` or a similar rule, by (trunk, reason).
    pub limits_reached: BTreeMap<(Arc<str>, &'static str), u64>,
    /// Requests with wrong credentials for `require_auth`, by (trunk, `unknown_user` or `wrong_password`).
    pub wrong_credentials: BTreeMap<(Arc<str>, &'static str), u64>,
    /// Failovers, by (route, reason).
    pub failovers: BTreeMap<(Arc<str>, &'static str), u64>,
    /// Time from the inbound INVITE to the outbound 2xx, in seconds.
    pub call_setup_seconds: Histogram,
    /// Time from answer to end, in seconds.
    pub call_duration_seconds: Histogram,
    /// Time from the inbound INVITE to the first outbound 18x, in seconds.
    pub post_dial_delay_seconds: Histogram,
    /// Interarrival jitter at the end of an answered call, for each side that sent media, in seconds.
    pub rtp_jitter_seconds: Histogram,
    /// RTCP round-trip time at the end of an answered call, for each side that reported it, in seconds.
    pub rtp_round_trip_seconds: Histogram,
    /// Mean opinion score of the media that each side of an answered call sent.
    pub call_mos: Histogram,
    /// Answered calls without media from a side within five seconds of the answer, by (trunk, `caller`, `callee` or
    /// `both`).
    pub media_one_way: BTreeMap<(Arc<str>, &'static str), u64>,
    /// RTP packets in answered calls, by trunk.
    pub rtp_of_trunks: BTreeMap<Arc<str>, TrunkPackets>,
    /// Gauge: media ports in use, two for each RTP stream endpoint.
    pub media_ports_in_use: u64,
    /// Gauge: whether a trunk can take calls, because an address of a peer is up or a phone is registered, by trunk;
    /// absent while unknown.
    pub trunk_up: BTreeMap<Arc<str>, bool>,
    /// Gauge: banned addresses.
    pub sources_banned: u64,
    /// Gauge: expiry of the edge's registration, by trunk; 1970 if it has failed and never succeeded.
    pub registration_ends: BTreeMap<Arc<str>, SystemTime>,
    /// Gauge: whether a peer answered when last tried, by (trunk, peer as configured).
    pub peer_up: BTreeMap<(Arc<str>, String), bool>,
    /// Round-trip time of OPTIONS requests to trunks, in seconds.
    pub trunk_keepalive_rtt_seconds: Histogram,
    /// Gauge: whether the edge is draining.
    pub draining: bool,
    /// Messages in traces.
    pub message_texts: TextMetrics,
    /// Messages, transactions and dialogs.
    pub sip: SipMetrics,
    /// Sessions of agents, and callers queued for one.
    pub agent: AgentMetrics,
    /// Speech recognition of callers.
    pub recognition: RecognitionMetrics,
    /// Recording sessions (SIPREC).
    pub siprec: SiprecMetrics,
}

/// Bounds for call set-up and SIP transactions, in seconds.
const SETUP_BOUNDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0];
/// Bounds for jitter, in seconds.
const JITTER_BOUNDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2];
/// Bounds for round-trip times, in seconds.
const TRIP_BOUNDS: &[f64] = &[0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0];
/// Bounds for mean opinion scores: those of ITU-T G.107 Annex B (R 50, 60, 70, 80, 90) and some between.
const MOS_BOUNDS: &[f64] = &[1.5, 2.0, 2.58, 3.1, 3.6, 3.8, 4.03, 4.2, 4.34, 4.5];
/// Bounds for call duration, in seconds.
const CALL_BOUNDS: &[f64] = &[1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0];

impl Metrics {
    /// Returns metrics that are all zero.
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

    /// Counts a dropped message.
    pub fn dropped(&mut self, reason: &'static str) {
        *self.sip.dropped.entry(reason).or_default() += 1;
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}
