//! Instructions of a relayed packet, counted by callgrind: the difference of a short and a long run of the same calls.
//!
//! The number includes the worker's wake-ups, which depend on how packets arrive: sessions send evenly over a frame.

use anyhow::{Context as _, ensure};

use super::counters::{callgrind, total_instructions};
use super::dialer::Dialer;
use super::{generator, rtp};
use crate::interop::edge::Edge;

/// Sessions; under callgrind the edge is fast enough for a thousand packets a second.
const SESSIONS: usize = 10;
/// Seconds of packets of the short and of the long run.
const SHORT: u32 = 2;
const LONG: u32 = 22;

/// Instructions and packets of a run.
struct RelayCount {
    instructions: u64,
    packets: u64,
}

/// Returns the instructions for one packet.
pub(super) fn count_instructions() -> anyhow::Result<f64> {
    let (short, long) = (RelayCount::of_run(SHORT)?, RelayCount::of_run(LONG)?);
    Ok((long.instructions as f64 - short.instructions as f64) / (long.packets as f64 - short.packets as f64))
}

impl RelayCount {
    /// Relays packets for this many seconds.
    fn of_run(seconds: u32) -> anyhow::Result<RelayCount> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("out");
        let dialer = Dialer::new()?;
        let mut edge = Edge::start_as(callgrind(&file), &rtp::relay_configuration(&dialer)?)?;
        let pairs = generator::pairs(SESSIONS)?;
        let calls = dialer.dial_all(edge.udp, &pairs, None).with_context(|| edge.log_tail())?;
        let paths: Vec<_> = calls.iter().map(|call| call.paths.clone()).collect();
        let seen = generator::drive(&pairs, &paths, seconds, &|| Ok(std::time::Duration::ZERO))?;
        ensure!(seen.lost == 0, "{} of {} packets were lost", seen.lost, seen.packets);
        for call in &calls {
            dialer.hang_up(edge.udp, call)?;
        }
        edge.end()?;
        Ok(RelayCount { instructions: total_instructions(&file)?, packets: seen.in_all.1 })
    }
}
