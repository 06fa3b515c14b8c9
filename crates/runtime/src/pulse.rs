//! Whether the loops turn: what `/healthz` says, and what the service manager's watchdog is fed by.

use std::fmt;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use crate::handle::Handle;
use trunkgate_system::limits;

/// What does not turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stuck {
    /// The signalling loop has ended.
    Gone,
    /// The signalling loop has not answered in time.
    Signalling,
    /// This media worker has had no turn for too long.
    Worker(usize),
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stuck::Gone => f.write_str("the signalling loop has ended"),
            Stuck::Signalling => {
                write!(f, "the signalling loop did not respond within {} ms", limits::HEALTH_MILLISECONDS)
            }
            Stuck::Worker(worker) => write!(f, "media worker {worker} is stuck"),
        }
    }
}

impl Handle {
    /// Asks the signalling loop, and looks whether every media worker turns; as long as
    /// [`HEALTH_MILLISECONDS`](limits::HEALTH_MILLISECONDS) at most.
    pub async fn pulse(&self) -> Result<(), Stuck> {
        let limit = Duration::from_millis(limits::HEALTH_MILLISECONDS);
        match tokio::time::timeout(limit, self.ask(|_, _| ())).await {
            Ok(Ok(())) => self.silent_worker().map_or(Ok(()), |worker| Err(Stuck::Worker(worker))),
            Ok(Err(_)) => Err(Stuck::Gone),
            Err(_) => Err(Stuck::Signalling),
        }
    }

    /// The first media worker that has had no turn for longer than it may, as far as the looks at them tell.
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
