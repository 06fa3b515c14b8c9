//! Liveness of the signalling loop and the media workers, for `/healthz` and the watchdog of the service manager.

use std::fmt;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::handle::EdgeHandle;
use trunkgate_system::limits;

/// Component that makes no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StalledComponent {
    /// The signalling loop has ended.
    Gone,
    /// The signalling loop did not respond in time.
    Signalling,
    /// The media worker with this number has not completed a turn for too long.
    Worker(usize),
}

impl fmt::Display for StalledComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StalledComponent::Gone => f.write_str("the signalling loop has ended"),
            StalledComponent::Signalling => {
                write!(f, "the signalling loop did not respond within {} ms", limits::HEALTH_MILLISECONDS)
            }
            StalledComponent::Worker(worker) => write!(f, "media worker {worker} is stuck"),
        }
    }
}

impl EdgeHandle {
    /// Checks that the signalling loop and all media workers make progress, within
    /// [`HEALTH_MILLISECONDS`](limits::HEALTH_MILLISECONDS).
    ///
    /// # Errors
    /// Returns the first component that makes no progress.
    pub async fn pulse(&self) -> Result<(), StalledComponent> {
        let limit = Duration::from_millis(limits::HEALTH_MILLISECONDS);
        match tokio::time::timeout(limit, self.ask(|_, _| ())).await {
            Ok(Ok(())) => self.silent_worker().map_or(Ok(()), |worker| Err(StalledComponent::Worker(worker))),
            Ok(Err(_)) => Err(StalledComponent::Gone),
            Err(_) => Err(StalledComponent::Signalling),
        }
    }

    /// Returns the first media worker that has made no turn for longer than allowed, and records the counts for the
    /// next check.
    fn silent_worker(&self) -> Option<usize> {
        let (now, allowed) = (Instant::now(), Duration::from_millis(limits::WORKER_MILLISECONDS));
        let mut seen = self.shared.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        seen.resize(self.shared.workers.len(), (u64::MAX, now));
        let mut silent = None;
        for (position, (worker, seen)) in self.shared.workers.iter().zip(seen.iter_mut()).enumerate() {
            let turns = worker.turns.get();
            if turns != seen.0 {
                *seen = (turns, now);
            } else if now.duration_since(seen.1) > allowed {
                silent = silent.or(Some(position));
            }
        }
        silent
    }
}
