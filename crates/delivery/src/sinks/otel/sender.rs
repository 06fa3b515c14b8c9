//! Sender of traces: converts ended calls to spans, batches them, and sends one request at a time, with growing pauses
//! between retries.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use rand::TryRng as _;
use tokio::sync::{mpsc, watch};
use trunkgate_call::SampledCall;

use super::held::WaitingSpans;
use super::shown::NumberMask;
use super::way::{OtelCollector, PostOutcome};
use super::{CallSpans, OtelCounters, OtelTarget, json};
use trunkgate_system::backoff::Backoff;
use trunkgate_system::limits::{OTEL_COMPLAINT_SECONDS, OTEL_LAST_SECONDS, OTEL_PAUSE_SECONDS};
use trunkgate_system::log::LogThrottle;

/// Retry intervals while the collector does not accept requests.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(OTEL_PAUSE_SECONDS));

type PendingPost = Pin<Box<dyn Future<Output = PostOutcome> + Send>>;

/// OTLP request that is repeated until the collector accepts or permanently rejects it.
struct TraceRequest {
    body: Bytes,
    spans: u64,
}

/// Task that sends the spans of ended calls.
pub struct OtelTask {
    calls: mpsc::Receiver<Box<SampledCall>>,
    target: watch::Receiver<Option<OtelTarget>>,
    counters: Arc<OtelCounters>,
    shown: NumberMask,
    held: WaitingSpans,
    way: Option<Arc<OtelCollector>>,
    letter: Option<TraceRequest>,
    /// Number of attempts that failed since the last success.
    failures: u32,
    /// Earliest time of the next attempt; `None` if it need not wait.
    rests: Option<Instant>,
    /// Deadline for the remaining spans; `None` until all handles have been dropped.
    last: Option<Instant>,
    complaint: LogThrottle,
    /// Number of dropped spans at the last log entry about them, and its time.
    told_dropped: (u64, Option<Instant>),
}

impl OtelTask {
    pub(super) fn new(
        calls: mpsc::Receiver<Box<SampledCall>>,
        target: watch::Receiver<Option<OtelTarget>>,
        counters: Arc<OtelCounters>,
        shown: NumberMask,
    ) -> OtelTask {
        OtelTask {
            calls,
            target,
            counters,
            shown,
            held: WaitingSpans::default(),
            way: None,
            letter: None,
            failures: 0,
            rests: None,
            last: None,
            complaint: LogThrottle::default(),
            told_dropped: (0, None),
        }
    }

    /// Sends spans until every handle has been dropped, then the remaining ones for some seconds.
    pub async fn run(mut self) {
        self.follow();
        let mut under_way: Option<PendingPost> = None;
        loop {
            let now = Instant::now();
            self.tell_dropped(now);
            if under_way.is_none() {
                under_way = self.begin(now);
            }
            let is_over = self.last.is_some_and(|last| now >= last);
            if self.last.is_some() && (is_over || under_way.is_none() && self.letter.is_none()) {
                return self.end();
            }
            let wake = self.wake(under_way.is_some());
            tokio::select! {
                outcome = next(&mut under_way) => {
                    under_way = None;
                    self.settle(outcome);
                }
                Ok(()) = self.target.changed() => {
                    // A request to the unchanged collector continues, because a repetition would arrive twice.
                    if !self.follow() {
                        under_way = None;
                    }
                }
                call = self.calls.recv(), if self.last.is_none() => match call {
                    Some(call) => self.take(&call),
                    None => {
                        self.last = Some(Instant::now() + Duration::from_secs(OTEL_LAST_SECONDS));
                        // The remaining spans are sent without the pause that Retry-After or a failure demands.
                        self.rests = None;
                    }
                },
                () = sleep(wake) => {}
            }
        }
    }

    /// Applies a changed configuration; returns whether requests go to the same collector as before.
    fn follow(&mut self) -> bool {
        let target = self.target.borrow_and_update().clone();
        let is_same = self.way.as_ref().zip(target.as_ref()).is_some_and(|(way, target)| way.leads_to(target));
        (self.failures, self.rests) = (0, None);
        self.counters.tell(None);
        self.way = target.and_then(|target| match OtelCollector::new(target) {
            Ok(way) => Some(Arc::new(way)),
            Err(what) => {
                tracing::error!("traces are not delivered: `endpoint` of [otel]: {what}");
                self.counters.tell(Some(what.to_string()));
                None
            }
        });
        if self.way.is_none() {
            let lost = self.letter.take().map_or(0, |letter| letter.spans) + self.held.clear() as u64;
            self.counters.dropped.add(lost);
            // Spans discarded by a configuration change need no warning.
            self.told_dropped.0 += lost;
        }
        is_same
    }

    fn take(&mut self, call: &SampledCall) {
        // Without `[otel]` the remaining calls are not converted.
        if self.way.is_none() {
            return;
        }
        let written = CallSpans::of(call, self.shown, Instant::now());
        let spans = written.spans as u64;
        if !self.held.push(written) {
            self.counters.dropped.add(spans);
        }
    }

    /// Starts a request if one is due and no pause prevents it.
    fn begin(&mut self, now: Instant) -> Option<PendingPost> {
        let way = Arc::clone(self.way.as_ref()?);
        if self.rests.is_some_and(|at| at > now) {
            return None;
        }
        if self.letter.is_none() {
            let is_due = self.last.is_some() || self.held.due().is_some_and(|at| at <= now);
            let batch = if is_due { self.held.take() } else { None };
            self.letter = batch.map(|batch| {
                let body = json::request(&way.resource(), &batch.json);
                TraceRequest { body: body.into(), spans: batch.spans as u64 }
            });
        }
        let body = self.letter.as_ref()?.body.clone();
        Some(Box::pin(way.post(body)))
    }

    /// Returns the time of the next action; `None` if only a call or a response can cause one.
    fn wake(&self, is_under_way: bool) -> Option<Instant> {
        let next = match (&self.letter, is_under_way) {
            (_, true) => None,
            (Some(_), false) => self.rests,
            (None, false) => self.held.due().max(self.rests.filter(|_| self.held.due().is_some())),
        };
        next.into_iter().chain(self.last).min()
    }

    fn settle(&mut self, outcome: PostOutcome) {
        let now = Instant::now();
        match outcome {
            PostOutcome::Taken(rejected, why) => {
                let spans = self.letter.take().map_or(0, |letter| letter.spans);
                self.counters.sent.add(spans.saturating_sub(rejected));
                self.counters.refused.add(rejected.min(spans));
                if rejected > 0 {
                    self.complain(now, &format!("it rejected {rejected} of {spans} spans: {why}"));
                } else {
                    self.counters.tell(None);
                    if self.failures > 0 {
                        tracing::info!("traces are delivered again");
                    }
                }
                (self.failures, self.rests) = (0, None);
                self.held.done();
            }
            PostOutcome::Refused(what) => {
                let spans = self.letter.take().map_or(0, |letter| letter.spans);
                self.counters.refused.add(spans);
                self.complain(now, &format!("{what}: {spans} spans are discarded"));
                (self.failures, self.rests) = (0, None);
                self.held.done();
            }
            PostOutcome::Later(asked, what) => {
                self.failures = self.failures.saturating_add(1);
                let random = rand::rngs::SysRng.try_next_u32().unwrap_or_default();
                self.rests = Some(now + asked.unwrap_or_default().max(PAUSES.pause(self.failures, random)));
                self.complain(now, &format!("{what}; they are queued and retried"));
            }
        }
    }

    fn complain(&mut self, now: Instant, what: &str) {
        let place = self.way.as_ref().map(|way| way.place().to_owned()).unwrap_or_default();
        self.counters.tell(Some(format!("{place}: {what}")));
        if let Some(more) = self.complaint.due_each(now, OTEL_COMPLAINT_SECONDS) {
            tracing::warn!(reason = "otel_failed", "not all traces are delivered: {place}: {what}{more}");
        }
    }

    fn tell_dropped(&mut self, now: Instant) {
        let (before, told) = self.told_dropped;
        let dropped = self.counters.dropped.get();
        let pause = Duration::from_secs(OTEL_COMPLAINT_SECONDS);
        if dropped > before && told.is_none_or(|told| now.saturating_duration_since(told) >= pause) {
            self.told_dropped = (dropped, Some(now));
            tracing::warn!(
                reason = "otel_failed",
                "spans dropped, because the queue for [otel] is full: {}",
                dropped - before
            );
        }
    }

    fn end(self) {
        let left = self.held.spans() as u64 + self.letter.map_or(0, |letter| letter.spans);
        if left > 0 {
            tracing::warn!(
                reason = "otel_failed",
                "spans lost, because they were not sent to [otel] before shutdown: {left}"
            );
        }
    }
}

async fn next(under_way: &mut Option<PendingPost>) -> PostOutcome {
    match under_way {
        Some(request) => request.await,
        None => std::future::pending().await,
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
