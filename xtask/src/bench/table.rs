//! Results of benchmarks as Markdown: medians with their spread, and the relevant ratios.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::fork::Cost;
use super::generator::Seen;
use super::process::machine;
use super::rtp::Kind;

/// Results of the runs so far.
#[derive(Debug)]
pub(crate) struct Table {
    runs: usize,
    seconds: u32,
    /// Names of the cases, in the order of their first run.
    cases: Vec<&'static str>,
    seen: BTreeMap<(&'static str, &'static str), Vec<Seen>>,
    memory: Option<(u64, u64)>,
    fork: Option<Cost>,
}

/// Returns the device's CPU time per packet, in µs.
fn cost(seen: &Seen) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let packets = seen.packets.max(1) as f64;
    seen.cpu.as_secs_f64() * 1e6 / packets
}

/// Returns the median, the minimum and the maximum of values.
pub(super) fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |n: usize| values.get(n).copied().unwrap_or(f64::NAN);
    (at(values.len() / 2), at(0), at(values.len().saturating_sub(1)))
}

impl Table {
    /// Creates an empty table.
    pub(crate) fn new(runs: usize, seconds: u32) -> Table {
        Table { runs, seconds, cases: Vec::new(), seen: BTreeMap::new(), memory: None, fork: None }
    }

    /// Adds the results of a run; returns a line that describes them.
    pub(crate) fn add(&mut self, case: &'static str, kind: Kind, seen: Seen) -> String {
        if !self.cases.contains(&case) {
            self.cases.push(case);
        }
        self.seen.entry((case, kind.name())).or_default().push(seen);
        format!(
            "{:.2} µs a packet, p50 {:.0} µs, p99 {:.0} µs, {} packets, {} lost, {} not authentic",
            cost(&seen),
            seen.p50_us,
            seen.p99_us,
            seen.packets,
            seen.lost,
            seen.forged
        )
    }

    /// Sets the bytes of the idle process, and those of a held call.
    pub(crate) fn add_memory(&mut self, memory: (u64, u64)) {
        self.memory = Some(memory);
    }

    /// Sets the cost of a fork in mid-call, apart from its messages.
    pub(crate) fn add_fork(&mut self, cost: Cost) {
        self.fork = Some(cost);
    }

    fn median(&self, case: &'static str, kind: Kind) -> Option<f64> {
        Some(spread(self.seen.get(&(case, kind.name()))?.iter().map(cost)).0)
    }

    /// Returns the tables as Markdown.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "Machine: {}. Device and generator on a core each; medians of {} alternating runs of {} s (smallest–largest).\n\n\
             | case | device | CPU µs per packet | of rtpengine | of the bare relay | p50 µs | p99 µs | lost | not authentic |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            machine(),
            self.runs,
            self.seconds
        );
        for case in &self.cases {
            for kind in [Kind::Edge, Kind::Unheard, Kind::Rtpengine, Kind::Bare] {
                self.row(&mut text, case, kind);
            }
        }
        for case in &self.cases {
            if let Some((heard, unheard)) = self.median(case, Kind::Edge).zip(self.median(case, Kind::Unheard)) {
                let (times, more) = (heard / unheard, heard - unheard);
                let _ = writeln!(
                    text,
                    "\n{case}: {times:.2}× the CPU of the same calls to which nobody listens, {more:.2} µs a message."
                );
            }
        }
        if let Some(Cost { p50_us, p99_us, bytes }) = self.fork {
            let _ = writeln!(
                text,
                "\nFork in mid-call: its first message after {:.2} ms (p50), {:.2} ms (p99); {:.1} KiB each.",
                p50_us / 1000.0,
                p99_us / 1000.0,
                bytes as f64 / 1024.0
            );
        }
        if let Some((idle, held)) = self.memory {
            let mib = idle / 1024 / 1024;
            let _ = writeln!(text, "\nMemory: {mib} MiB idle, {:.1} KiB for each held call.", held as f64 / 1024.0);
        }
        text
    }

    fn row(&self, text: &mut String, case: &'static str, kind: Kind) {
        let Some(seen) = self.seen.get(&(case, kind.name())) else { return };
        let (median, least, most) = spread(seen.iter().map(cost));
        let of = |other: Kind| match self.median(case, other) {
            Some(base) if other != kind => format!("{:.2}×", median / base),
            _ => "–".to_owned(),
        };
        let (p50, ..) = spread(seen.iter().map(|seen| seen.p50_us));
        let (p99, ..) = spread(seen.iter().map(|seen| seen.p99_us));
        let lost: u64 = seen.iter().map(|seen| seen.lost).sum();
        let forged: u64 = seen.iter().map(|seen| seen.forged).sum();
        let _ = writeln!(
            text,
            "| {case} | {} | {median:.2} ({least:.2}–{most:.2}) | {} | {} | {p50:.0} | {p99:.0} | {lost} | {forged} |",
            kind.name(),
            of(Kind::Rtpengine),
            of(Kind::Bare)
        );
    }
}
