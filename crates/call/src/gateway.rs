//! All calls of the edge: the one object that the signalling loop talks to.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trunkgate_route::Table;

use crate::addressing::Addressing;
use crate::io::{Input, Output};
use crate::metrics::Metrics;
use crate::trace::TraceView;
use crate::view::{CallView, StatusView};

/// What a gateway is told at the start.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// `[edge] name`.
    pub name: String,
    /// A moment in both clocks, so that reports can be dated.
    pub epoch: (Instant, SystemTime),
    /// Seed of every name, tag, branch and SSRC.
    pub seed: [u8; 32],
    /// Calls at once.
    pub max_calls: u32,
    /// New calls a second; 0: no limit.
    pub calls_per_second: u32,
    /// Longest SIP message, in bytes.
    pub sip_message_bytes: usize,
    /// First and last media port; RTP takes the even ones.
    pub media_ports: (u16, u16),
    /// `[media] idle_timeout`; zero: none.
    pub idle_timeout: Duration,
    /// Whether numbers are shown in full in log lines.
    pub full_numbers: bool,
}

/// Answered calls in plain data.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct GatewaySnapshot {
    /// One entry a call.
    pub calls: Vec<crate::view::CallSnapshot>,
}

/// All calls.
#[derive(Debug)]
pub struct Gateway {}

impl Gateway {
    /// A gateway without calls.
    pub fn new(config: GatewayConfig, table: Arc<Table>, addressing: Addressing) -> Gateway {
        let _ = (config, table, addressing);
        unimplemented!()
    }
    /// Takes a change from outside; drain [`Self::poll_output`] afterwards.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        let _ = (now, input);
        unimplemented!()
    }
    /// Fires what is due; drain afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        unimplemented!()
    }
    /// The next output, or `None` when idle.
    pub fn poll_output(&mut self) -> Option<Output> {
        unimplemented!()
    }
    /// When to be woken, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        unimplemented!()
    }
    /// Live and recent calls, newest first.
    pub fn calls(&self, now: Instant) -> Vec<CallView> {
        let _ = now;
        unimplemented!()
    }
    /// One call, live or recent.
    pub fn call(&self, now: Instant, sid: &str) -> Option<CallView> {
        let _ = (now, sid);
        unimplemented!()
    }
    /// A call's event ring.
    pub fn trace(&self, sid: &str) -> Option<TraceView> {
        let _ = sid;
        unimplemented!()
    }
    /// One glance.
    pub fn status(&self, now: Instant) -> StatusView {
        let _ = now;
        unimplemented!()
    }
    /// Counters and histograms.
    pub fn metrics(&self) -> &Metrics {
        unimplemented!()
    }
    /// Calls that have not ended.
    pub fn live_calls(&self) -> usize {
        unimplemented!()
    }
    /// Answered calls in plain data; calls still being set up are not in it.
    pub fn snapshot(&self, now: Instant) -> GatewaySnapshot {
        let _ = now;
        unimplemented!()
    }
    /// Takes calls back; their media sessions are told anew by [`Output::Media`] unless the caller restored them.
    pub fn restore(&mut self, now: Instant, snapshot: GatewaySnapshot) {
        let _ = (now, snapshot);
        unimplemented!()
    }
    /// In debug builds and tests: that no index points nowhere and nothing is left of ended calls.
    ///
    /// # Errors
    /// The first invariant that does not hold, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        unimplemented!()
    }
}
