//! `cargo xtask bench upgrade`: relayed calls while the edge is replaced again and again, measured packet by packet:
//! lost packets, added delay, and the calls that remain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::kinds::{self, RelayedCalls};
use super::restart::Successors;
use super::{generator, process};
use crate::interop::edge::{self, Edge};

/// Options of `cargo xtask bench upgrade`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Relayed calls.
    #[arg(long, default_value_t = 300)]
    calls: usize,
    /// Seconds of audio.
    #[arg(long, default_value_t = 40)]
    seconds: u32,
    /// Only the kinds of calls whose name contains this.
    #[arg(long)]
    only: Vec<String>,
    /// Seconds between two upgrades.
    #[arg(long, default_value_t = 4)]
    every: u64,
}

/// Time from the set-up of the calls to the first upgrade.
const SETTLE: Duration = Duration::from_secs(3);
/// Measures calls of each kind and prints a table. Returns `false` if a packet, a call or a stream is lost.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    process::raise_descriptor_limit()?;
    process::stay_on_generator_core()?;
    println!(
        "Machine: {}.\n\n| calls | upgrades | packets | lost | not authentic | p50 µs | p99 µs | longest ms | calls left |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        process::machine()
    );
    let mut is_kept = true;
    for kind in kinds::chosen(&options.only) {
        let command = process::on_device_core(edge::binary());
        let RelayedCalls { edge, listener, pairs, paths, .. } = kind.set_up(options.calls, command, |text| text)?;
        let is_over = AtomicBool::new(false);
        let (seen, upgraded) = std::thread::scope(|scope| {
            let upgrading = scope.spawn(|| upgrade_until(&edge, Duration::from_secs(options.every), &is_over));
            let seen = generator::drive(&pairs, &paths, options.seconds, &|| process::cpu(edge.pid()));
            is_over.store(true, Ordering::Relaxed);
            (seen, upgrading.join())
        });
        let (seen, successors) = (seen?, upgraded.map_err(|_| anyhow::anyhow!("the upgrades ended by a panic"))??);
        let left: Value = serde_json::from_str(&edge.get("/v1/status")?)?;
        let left = left["calls"].as_u64().context("no number of live calls")?;
        println!(
            "| {} {} | {} | {} | {} | {} | {:.0} | {:.0} | {:.1} | {left} |",
            options.calls,
            kind.name,
            successors.0.len(),
            seen.packets,
            seen.lost,
            seen.forged,
            seen.p50_us,
            seen.p99_us,
            seen.max_us / 1000.0
        );
        is_kept &= seen.lost == 0 && seen.forged == 0 && left == u64::try_from(options.calls)?;
        if kind.is_forked && listener.accepted() != options.calls {
            println!("\n{} streams instead of {}: some were opened again.", listener.accepted(), options.calls);
            is_kept = false;
        }
    }
    Ok(is_kept)
}

/// Upgrades at intervals until asked to end.
fn upgrade_until(edge: &Edge, every: Duration, is_over: &AtomicBool) -> anyhow::Result<Successors> {
    let mut successors = Successors::default();
    std::thread::sleep(SETTLE);
    while !is_over.load(Ordering::Relaxed) {
        successors.upgrade(edge)?;
        std::thread::sleep(every);
    }
    Ok(successors)
}
