//! Task that feeds the history: adds a sample of the edge's counters at each interval, and has live events processed
//! before too many are pending.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use crate::handle::EdgeHandle;
use trunkgate_system::clock;
use trunkgate_system::limits;

/// Takes samples and processes live events until the edge ends.
pub async fn keep(handle: EdgeHandle) {
    let mut ticks = interval(Duration::from_secs(limits::HISTORY_FINE_SECONDS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = handle.shared.events.many() => handle.history(|_| {}),
            _ = ticks.tick() => {
                let Ok(counted) = handle.counted().await else { return };
                let calls = handle.live_calls() as u64;
                let now = clock::now();
                let at = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
                handle.history(|history| history.sample(at, calls, &counted));
            }
        }
    }
}
