//! Feeds the history: a sample of the edge's counts at each interval, and changes before too many of them wait.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use crate::limits;
use crate::runtime::handle::Handle;
use crate::system::clock;

/// Takes changes in before too many wait, and ends intervals, until the edge ends.
pub(crate) async fn keep(handle: Handle) {
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
