//! Upgrades and crashes of an edge under measurement: its configuration with the state of calls in a file, the process
//! that takes over, and figures that both need.

use std::collections::{HashMap, HashSet};
use std::ops::Sub;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::interop::edge::Edge;

/// Address of the edge, which is the same after each start.
pub(crate) const EDGE: &str = "127.0.0.44";
const SIP_PORT: u16 = 5060;
const HTTP_PORT: u16 = 8080;
/// Time from the end of a process to the next start, as with `RestartSec=50ms` of systemd.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);
/// Interval of the checks for the end of an upgrade.
const LOOK: Duration = Duration::from_millis(50);
/// Number of checks until an upgrade must have ended.
const LOOKS: usize = 400;

/// IDs of the processes that have taken over; the last process is killed on drop.
#[derive(Debug, Default)]
pub(crate) struct Successors(pub(crate) Vec<i32>);

impl Successors {
    /// Replaces the edge and waits until the new process answers.
    pub(crate) fn upgrade(&mut self, edge: &Edge) -> anyhow::Result<()> {
        let before = start_time(edge).context("no status before an upgrade")?;
        let begun: Value = serde_json::from_str(&edge.post("/v1/upgrade", "")?)?;
        self.0.push(i32::try_from(begun["pid"].as_i64().context("no process")?)?);
        let is_other = |_| {
            std::thread::sleep(LOOK);
            start_time(edge).is_some_and(|start| start != before)
        };
        ensure!((0..LOOKS).any(is_other), "an upgrade is not over in time: {}", edge.log_tail());
        Ok(())
    }

    /// Kills the running process, which is the newest one, waits for the end of the first one, and forgets all of them.
    pub(crate) fn crash(&mut self, edge: &mut Edge) -> anyhow::Result<()> {
        self.signal(edge, Signal::SIGKILL)?;
        self.0.clear();
        edge.gone()
    }

    /// Sends a signal to the running process, which is the newest one.
    pub(crate) fn signal(&self, edge: &Edge, signal: Signal) -> anyhow::Result<()> {
        match self.0.last() {
            Some(newest) => Ok(kill(Pid::from_raw(*newest), signal)?),
            None => edge.signal(signal),
        }
    }
}

impl Drop for Successors {
    fn drop(&mut self) {
        for pid in &self.0 {
            // All processes but the last one have ended.
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
    }
}

fn start_time(edge: &Edge) -> Option<String> {
    let status: Value = serde_json::from_str(&edge.get("/v1/status").ok()?).ok()?;
    status["started_at"].as_str().map(str::to_owned)
}

/// Returns the folder for the state directory, and whether its files are in memory.
pub(crate) fn state_parent() -> (PathBuf, bool) {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() {
        return (shared.to_owned(), true);
    }
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(own) if own.is_dir() => (own, true),
        _ => (std::env::temp_dir(), false),
    }
}

/// Returns the configuration with fixed addresses and the state of calls in a file of this folder.
pub(crate) fn with_state(text: &str, state: &Path) -> String {
    text.replacen("\"127.0.0.1:0\"", &format!("\"{EDGE}:{SIP_PORT}\""), 2)
        .replacen("\"127.0.0.1:0\"", &format!("\"{EDGE}:{HTTP_PORT}\""), 1)
        .replacen("[\"127.0.0.1\"]", &format!("[{EDGE:?}]"), 1)
        .replacen("[edge]\n", &format!("[edge]\nstate = \"file\"\nstate_directory = {state:?}\n"), 1)
}

/// Returns a percentile of sorted values.
pub(crate) fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().checked_sub(1)?)).copied()
}

/// Returns a duration in milliseconds, NaN for none.
pub(crate) fn milliseconds(duration: Option<Duration>) -> f64 {
    duration.map_or(f64::NAN, |duration| duration.as_secs_f64() * 1000.0)
}

/// Returns the silence over a restart by the times of all packets: from the last one before `restarted` to the first one
/// after it; `Err` if none followed, `Ok(None)` if none came before.
pub(crate) fn silence<T: Copy + PartialOrd + Sub>(came: &[T], restarted: T) -> Result<Option<T::Output>, ()> {
    let first = came.partition_point(|at| *at < restarted);
    let next = came.get(first).ok_or(())?;
    Ok(first.checked_sub(1).and_then(|last| came.get(last)).map(|last| *next - *last))
}

/// SSRCs and indices (RFC 3711 §3.3.1) of the packets under one key: packets with the same ones would have the same
/// keystream.
#[derive(Debug, Default)]
pub(crate) struct IndexHistory {
    highest: HashMap<u32, i64>,
    seen: HashSet<(u32, i64)>,
}

impl IndexHistory {
    /// Adds a packet; returns whether an earlier one had the same SSRC and index.
    pub(crate) fn is_reused(&mut self, ssrc: u32, sequence: u16) -> bool {
        let highest = self.highest.entry(ssrc).or_insert(0x1_0000 + i64::from(sequence));
        // The index next to the highest one that has this sequence number.
        let index = *highest + i64::from(sequence.wrapping_sub(*highest as u16).cast_signed());
        *highest = index.max(*highest);
        !self.seen.insert((ssrc, index))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn an_index_counts_as_reused_only_with_its_ssrc_and_roll_over() {
        let reused = |numbers: &[(u32, u16)]| {
            let mut history = IndexHistory::default();
            numbers.iter().filter(|(ssrc, sequence)| history.is_reused(*ssrc, *sequence)).count()
        };
        assert_eq!(reused(&[(1, 65_534), (1, 65_535), (1, 0), (2, 65_535), (2, 0)]), 0);
        assert_eq!(reused(&[(1, 3), (1, 5), (1, 4), (1, 5)]), 1);
        let rolled: Vec<(u32, u16)> = (0..140_000_u32).map(|n| (1, n as u16)).collect();
        assert_eq!(reused(&rolled), 0);
    }

    #[test]
    fn a_silence_lasts_from_the_last_packet_before_a_start_to_the_first_after_it() {
        let began = Instant::now();
        let at = |ms: u64| began + Duration::from_millis(ms);
        let came = [20, 40, 130, 150].map(at);
        assert_eq!(silence(&came, at(100)), Ok(Some(Duration::from_millis(90))));
        assert_eq!((silence(&came, at(200)), silence(&came, began)), (Err(()), Ok(None)));
    }
}
