//! `[otel]`: calls that are over as traces, by OTLP over HTTP. A task of its own sends them; who has something to send never
//! waits, and what finds no room is counted and lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use trunkgate_call::SampledCall;
use trunkgate_media::counters::Counter;

use trunkgate_config::{Config, Otel};
use trunkgate_system::limits;
use trunkgate_system::problem::{Harm, Problem};

mod held;
mod json;
mod sender;
mod shown;
mod span;
mod way;

pub use sender::Sender;
use shown::Shown;

/// Where to, and by which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `[otel]`
    otel: Otel,
    /// `[edge] name`
    node: String,
}

impl Target {
    /// That of a configuration, where it has one.
    pub fn of(config: &Config) -> Option<Target> {
        let otel = config.otel.clone()?;
        Some(Target { otel, node: config.edge.name.clone() })
    }
}

/// What became of spans.
#[derive(Debug, Default)]
pub struct OtelCounters {
    /// Taken by the collector.
    sent: Counter,
    /// Found no room.
    dropped: Counter,
    /// Refused by it for good.
    refused: Counter,
    /// Why they are not taken, where they are not.
    problem: Mutex<Option<String>>,
}

impl OtelCounters {
    fn tell(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Returns what is wrong now.
    pub fn problem(&self) -> Option<Problem> {
        let why = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let lost = self.dropped.get() + self.refused.get();
        let shown = format!("traces are not delivered: {why}; {lost} spans lost since the start");
        Some(Problem::new(Harm::Telemetry, "[otel]").shown_by(shown))
    }

    /// Each result with its count.
    pub fn results(&self) -> [(&'static str, u64); 3] {
        [("sent", self.sent.get()), ("dropped", self.dropped.get()), ("refused", self.refused.get())]
    }
}

/// The way to the task.
#[derive(Debug)]
pub struct Desk {
    calls: mpsc::Sender<Box<SampledCall>>,
    counters: Arc<OtelCounters>,
}

impl Desk {
    /// Hands one over, or counts it.
    pub fn hand_over(&self, call: Box<SampledCall>) {
        let spans = call.legs.len() as u64;
        if self.calls.try_send(call).is_err() {
            self.counters.dropped.add(spans);
        }
    }
}

/// Both ends; `full_numbers`: `[log] numbers = "full"`.
pub fn desk(
    target: watch::Receiver<Option<Target>>,
    counters: &Arc<OtelCounters>,
    full_numbers: bool,
) -> (Desk, Sender) {
    let (calls, waiting) = mpsc::channel(limits::OTEL_QUEUE);
    let desk = Desk { calls, counters: Arc::clone(counters) };
    (desk, Sender::new(waiting, target, Arc::clone(counters), Shown { full: full_numbers }))
}

/// Spans of a call as they go into a request.
#[derive(Debug)]
struct Written {
    /// JSON, with commas between.
    json: Vec<u8>,
    spans: usize,
    /// When they came.
    at: Instant,
}

impl Written {
    /// Of a call that is over.
    fn of(call: &SampledCall, shown: Shown, at: Instant) -> Written {
        let spans = span::spans(call, shown);
        let mut json = Vec::new();
        for (place, span) in spans.iter().enumerate() {
            if place > 0 {
                json.push(b',');
            }
            // Into memory nothing fails.
            let _ = serde_json::to_writer(&mut json, span);
        }
        Written { json, spans: spans.len(), at }
    }
}

#[cfg(test)]
pub(crate) mod tests;
