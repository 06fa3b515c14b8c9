//! The gauge of sessions that convert audio.

use std::sync::Arc;

use crate::counters::WorkerCounters;

/// A session's place among those of its worker that convert audio, if it does.
#[derive(Debug, Default)]
pub(super) struct TranscodingGauge(Option<Counted>);

/// One session that is counted, until it is dropped.
#[derive(Debug)]
struct Counted(Arc<WorkerCounters>);

impl TranscodingGauge {
    /// Counts the session in this worker, or no longer.
    pub(super) fn set(&mut self, worker: Option<&Arc<WorkerCounters>>) {
        match worker {
            Some(worker) if self.0.is_none() => self.0 = Some(Counted::new(worker)),
            Some(_) => {}
            None => self.0 = None,
        }
    }
}

impl Counted {
    fn new(worker: &Arc<WorkerCounters>) -> Counted {
        worker.transcoding.add(1);
        Counted(Arc::clone(worker))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.transcoding.sub(1);
    }
}
