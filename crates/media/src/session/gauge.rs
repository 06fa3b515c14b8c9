//! Gauge of transcoding sessions.

use std::sync::Arc;

use crate::counters::WorkerCounters;

/// Entry of a session in its worker's gauge of transcoding sessions, if it transcodes.
#[derive(Debug, Default)]
pub(super) struct TranscodingGauge(Option<GaugedSession>);

/// Counted session; dropping it decrements the gauge.
#[derive(Debug)]
struct GaugedSession(Arc<WorkerCounters>);

impl TranscodingGauge {
    /// Counts the session in a worker's gauge once; `None` removes it.
    pub(super) fn set(&mut self, worker: Option<&Arc<WorkerCounters>>) {
        match worker {
            Some(worker) if self.0.is_none() => self.0 = Some(GaugedSession::new(worker)),
            Some(_) => {}
            None => self.0 = None,
        }
    }
}

impl GaugedSession {
    fn new(worker: &Arc<WorkerCounters>) -> GaugedSession {
        worker.transcoding.add(1);
        GaugedSession(Arc::clone(worker))
    }
}

impl Drop for GaugedSession {
    fn drop(&mut self) {
        self.0.transcoding.sub(1);
    }
}
