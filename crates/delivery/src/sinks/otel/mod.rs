//! `[otel]`: traces of ended calls, sent by OTLP over HTTP. A separate task sends them. Handing over a call never
//! blocks; spans that exceed the queue are counted and dropped.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use trunkgate_call::SampledCall;
use trunkgate_media::counters::Counter;

use trunkgate_config::{Config, OtelSettings};
use trunkgate_system::limits;
use trunkgate_system::problem::Problem;
use trunkgate_system::problem::kind::{EdgeProblem, ProblemKind};

mod held;
mod json;
mod sender;
mod shown;
mod span;
mod way;

pub use sender::OtelTask;
use shown::NumberMask;

/// OTLP collector, and the name of the edge in traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtelTarget {
    /// Settings of `[otel]`.
    otel: OtelSettings,
    /// Name of the edge in traces.
    node: String,
}

impl OtelTarget {
    /// Returns the OTLP target of a configuration; `None` without `[otel]`.
    pub fn of(config: &Config) -> Option<OtelTarget> {
        let otel = config.otel.clone()?;
        Some(OtelTarget { otel, node: config.edge.name.clone() })
    }
}

/// Counters of the spans sent to the OTLP collector.
#[derive(Debug, Default)]
pub struct OtelCounters {
    /// Number of spans accepted by the collector.
    sent: Counter,
    /// Spans dropped because the queue was full or the configuration has no collector.
    dropped: Counter,
    /// Spans permanently rejected by the collector.
    refused: Counter,
    /// Reason of the current failure; `None` while requests succeed.
    problem: Mutex<Option<String>>,
}

impl OtelCounters {
    fn tell(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Returns the problem for `status` while the collector does not accept spans.
    pub fn problem(&self) -> Option<Problem> {
        let why = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let lost = self.dropped.get() + self.refused.get();
        let shown = format!("not all traces are delivered: {why}; {lost} spans lost since the start");
        Some(Problem::of(ProblemKind::Edge(EdgeProblem::Otel)).shown_by(shown))
    }

    /// Returns each counter with its label in metrics.
    pub fn results(&self) -> [(&'static str, u64); 3] {
        [("sent", self.sent.get()), ("dropped", self.dropped.get()), ("refused", self.refused.get())]
    }
}

/// Handle that hands ended calls to the sending task.
#[derive(Debug)]
pub struct OtelSender {
    calls: mpsc::Sender<Box<SampledCall>>,
    counters: Arc<OtelCounters>,
}

impl OtelSender {
    /// Hands over a call; if the queue is full, its spans are counted and dropped.
    pub fn hand_over(&self, call: Box<SampledCall>) {
        let spans = call.legs.len() as u64;
        if self.calls.try_send(call).is_err() {
            self.counters.dropped.add(spans);
        }
    }
}

/// Creates the handle and the task, connected by a queue. `full_numbers`: `[log] numbers = "full"`.
pub fn desk(
    target: watch::Receiver<Option<OtelTarget>>,
    counters: &Arc<OtelCounters>,
    full_numbers: bool,
) -> (OtelSender, OtelTask) {
    let (calls, waiting) = mpsc::channel(limits::OTEL_QUEUE);
    let desk = OtelSender { calls, counters: Arc::clone(counters) };
    (desk, OtelTask::new(waiting, target, Arc::clone(counters), NumberMask { full: full_numbers }))
}

/// Serialised spans of one call.
#[derive(Debug)]
struct CallSpans {
    /// Spans as comma-separated JSON objects.
    json: Vec<u8>,
    spans: usize,
    /// Time at which the call was handed over.
    at: Instant,
}

impl CallSpans {
    /// Serialises the spans of an ended call.
    fn of(call: &SampledCall, shown: NumberMask, at: Instant) -> CallSpans {
        let spans = span::spans(call, shown);
        let mut json = Vec::new();
        for (place, span) in spans.iter().enumerate() {
            if place > 0 {
                json.push(b',');
            }
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut json, span);
        }
        CallSpans { json, spans: spans.len(), at }
    }
}

#[cfg(test)]
pub(crate) mod tests;
