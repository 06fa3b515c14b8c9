//! Stalls of the machine during a long measurement: a thread that wakes every 20 ms counts the ticks in which it woke
//! late itself, or in which a thread of the edge or of an agent waited for a CPU. Audio is late then without a fault of
//! the edge.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use trunkgate_testing::cpu_waits::CpuWaits;

use super::recording::FRAME;

/// Lateness from which a tick counts as a stall: half of what makes a packet late.
const STALL: Duration = Duration::from_millis(10);
/// Largest share of ticks with a stall at which a measurement still means something: one in this number.
const MOST: usize = 100;

/// Runs `measured` beside the monitor; returns its result and the number of ticks with a stall.
///
/// # Errors
/// Fails with the error of `measured`, and if more than one tick in a hundred had a stall.
pub(crate) fn during<T>(measured: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, usize)> {
    let is_over = AtomicBool::new(false);
    let (result, ticks, stalls) = std::thread::scope(|scope| {
        let monitor = scope.spawn(|| count(&is_over));
        let result = measured();
        is_over.store(true, Ordering::Relaxed);
        monitor.join().map(|(ticks, stalls)| (result, ticks, stalls)).map_err(|_| anyhow!("the monitor panicked"))
    })?;
    let result = result?;
    if stalls > ticks.div_ceil(MOST) {
        bail!("the machine is too busy for this case: it stood still in {stalls} of {ticks} ticks of 20 ms");
    }
    Ok((result, stalls))
}

/// Counts ticks, and those with a stall, until `is_over` is set.
fn count(is_over: &AtomicBool) -> (usize, usize) {
    let (mut due, mut waits) = (Instant::now(), CpuWaits::read());
    let (mut ticks, mut stalls) = (0, 0);
    while !is_over.load(Ordering::Relaxed) {
        due += FRAME;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let own = due.elapsed();
        let now = CpuWaits::read();
        ticks += 1;
        if own.max(now.longest_since(&waits)) >= STALL {
            stalls += 1;
        }
        waits = now;
        // Ticks that passed during a stall count once.
        due = due.max(Instant::now().checked_sub(FRAME).unwrap_or(due));
    }
    (ticks, stalls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_returns_its_result_or_its_error() {
        assert!(during(|| -> anyhow::Result<()> { bail!("broken") }).is_err());
    }
}
