//! What is gathered of calls that OpenTelemetry is sent, and where their traces begin.

use std::time::Instant;

use trunkgate_story::report::CallRecord;
use trunkgate_story::sampled::{LegTimes, traceparent};
use trunkgate_story::trace::Trace;

use crate::edge::Edge;
use crate::key::CallKey;

/// What is gathered of a call that is told of.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The times of its legs.
    pub legs: Vec<LegTimes>,
    /// Once it is over: its record, with its beginning, and when it was over.
    pub over: Option<Box<(CallRecord, u64)>>,
}

impl Edge {
    /// Begins the trace of a call, and decides whether it is told of.
    pub fn begin_trace(&mut self, now: Instant, key: CallKey, sid: &str) {
        self.traces.insert(key, Trace::new(now, sid));
        if self.sampling.takes(sid) {
            self.sampled.insert(key, Gathered::default());
        }
    }

    /// What the far end of a leg is told, where its call is told of.
    pub fn traceparent(&self, key: CallKey, call: &str, leg: &str) -> Option<String> {
        traceparent(call, leg).filter(|_| self.sampled.contains_key(&key))
    }
}
