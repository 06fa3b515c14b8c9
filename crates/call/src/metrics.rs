//! What the gateway counts: plain numbers, read by whoever renders them.

use std::collections::BTreeMap;
use std::sync::Arc;

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

/// Everything that the gateway counts; names as in the contract's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// (trunk, method, direction `in`/`out`)
    pub sip_requests: BTreeMap<(Arc<str>, &'static str, &'static str), u64>,
    /// (trunk, method, code, direction)
    pub sip_responses: BTreeMap<(Arc<str>, &'static str, u16, &'static str), u64>,
    /// Messages sent again.
    pub sip_retransmissions: u64,
    /// By reason: `unknown_source`, `not_sip`, and the endpoint's.
    pub sip_dropped: BTreeMap<&'static str, u64>,
    /// Gauge.
    pub sip_transactions_active: u64,
    /// Gauge.
    pub sip_dialogs_active: u64,
    /// Gauge: trunk.
    pub calls_active: BTreeMap<Arc<str>, u64>,
    /// (trunk, route, outcome)
    pub calls: BTreeMap<(Arc<str>, Arc<str>, &'static str), u64>,
    /// (route, reason)
    pub failovers: BTreeMap<(Arc<str>, &'static str), u64>,
    /// From INVITE in to the 2xx out, seconds.
    pub call_setup_seconds: Histogram,
    /// From answer to end, seconds.
    pub call_duration_seconds: Histogram,
    /// From INVITE in to the first 18x out, seconds.
    pub post_dial_delay_seconds: Histogram,
    /// Request to final answer of our client transactions, seconds.
    pub sip_transaction_seconds: Histogram,
    /// Gauge: ports taken from the pool.
    pub media_ports_in_use: u64,
    /// Gauge.
    pub draining: bool,
}
