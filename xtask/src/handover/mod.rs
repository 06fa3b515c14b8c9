//! `cargo xtask handover`: calls of all kinds while the edge is upgraded, killed and stopped again and again, judged
//! packet by packet and call by call. A kind is an entry in [`kinds`]; [`rig`] sets calls up, [`exchange`] and [`lines`] are their
//! parties, [`media`] is their audio; [`judge`], [`outcome`] and [`recording`] judge, and [`table`] has the goals. The shapes of whole
//! systems under load belong to `bench`.

mod configuration;
mod exchange;
mod judge;
mod kinds;
mod lines;
mod media;
mod outcome;
mod recording;
mod rig;
mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use nix::sys::signal::Signal;

use crate::bench::process;
use crate::bench::restart::{PAUSE, Successors, milliseconds};
use crate::interop::edge;
use judge::{Event, EventKind, Judge};
use kinds::CallKind;
use media::Audio;
use outcome::CallFigures;
use rig::{Rig, Streams};

/// Options of `cargo xtask handover`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Calls.
    #[arg(long, default_value_t = 500)]
    calls: usize,
    /// Calls with media, of all kinds; the other ones are plain [default: all].
    #[arg(long)]
    media: Option<usize>,
    /// Upgrades.
    #[arg(long, default_value_t = 20)]
    upgrades: usize,
    /// Kills.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// Times at which the process is stopped for 66 s, after upgrades and kills.
    #[arg(long, default_value_t = 0)]
    freezes: usize,
    /// Seconds over which upgrades, kills and stops are spread.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Short run: 32 calls, two upgrades and two kills in 50 s.
    #[arg(long)]
    quick: bool,
    /// Only the kinds of calls whose name contains this.
    #[arg(long)]
    only: Vec<String>,
    /// Binary of the edge [default: built as for packages].
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Maximum wait for a message of the edge.
const PATIENCE: Duration = Duration::from_secs(15);
/// Interval of checks.
const LOOK: Duration = Duration::from_millis(5);
/// Time before an event that gives the usual delay.
const LEAD: Duration = Duration::from_secs(2);
/// Time after an event until calls being set up are judged.
const SETTLED: Duration = Duration::from_secs(3);
/// Shortest interval of events.
const SHORTEST: Duration = Duration::from_secs(8);
/// Time of audio before the first event, and after the last one.
const WARM_UP: Duration = Duration::from_secs(2);
/// Time for which the process is stopped: longer than 64·T1, after which SIP transactions end (RFC 3261 §17.1.1.2).
const FROZEN: Duration = Duration::from_secs(66);
/// Delay of a sent packet from which the machine counts as too busy to judge.
const LATE: Duration = Duration::from_millis(200);

/// Runs the calls and prints the table. Returns `false` if a goal is missed.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let (calls, upgrades, kills, seconds) = match options.quick {
        true => (32, 2, 2, 50),
        false => (options.calls, options.upgrades, options.kills, options.seconds),
    };
    let freezes = options.freezes;
    let restarts = upgrades + kills;
    let events = restarts + freezes;
    let every = Duration::from_secs(seconds) / u32::try_from(events.max(1))?;
    let shortest = if freezes > 0 { SHORTEST + FROZEN } else { SHORTEST };
    ensure!(events > 0 && every >= shortest, "{events} events in {seconds} s: at least {shortest:?} each");
    let binary = match &options.binary {
        Some(binary) => binary.canonicalize()?,
        None => {
            edge::build()?;
            edge::binary()
        }
    };
    process::raise_descriptor_limit()?;
    let is_chosen =
        |kind: &&CallKind| options.only.is_empty() || options.only.iter().any(|part| kind.name.contains(part));
    let kinds: Vec<CallKind> = kinds::KINDS.iter().filter(is_chosen).copied().collect();
    ensure!(!kinds.is_empty(), "no kind has such a name");
    let with_media = options.media.unwrap_or(calls).min(calls);
    let shares = kinds::shares(&kinds, with_media);
    let (mut rig, mut streams) = (Rig::start(&kinds, &shares, &binary)?, Streams::default());
    for (kind, share) in shares.iter().enumerate() {
        for n in 0..*share {
            rig.add_call(kind, n, true, &mut streams)?;
        }
    }
    for n in rig.calls.len()..calls {
        rig.add_call(0, n, false, &mut streams)?;
    }
    println!(
        "Machine: {}. {} calls, {upgrades} upgrades, {kills} kills and {freezes} stops in {seconds} s.\n",
        process::machine(),
        rig.calls.len()
    );
    let mut run = Run {
        judge: Judge::new(streams.judged, kinds.len()),
        figures: vec![CallFigures::default(); kinds.len()],
        successors: Successors::default(),
        times: Vec::new(),
        rig,
    };
    let audio = Audio::start(streams.streams)?;
    let kind = |n: usize| match n < restarts {
        false => EventKind::Freeze,
        true if (n + 1) * kills / restarts > n * kills / restarts => EventKind::Crash,
        true => EventKind::Upgrade,
    };
    run.go_through((0..events).map(kind), every, &audio, &binary)?;
    let late = audio.end()?;
    outcome::finish(&mut run.rig, &mut run.figures, &run.times)?;
    let is_met = table::print(&kinds, &run.judge.figures, &run.figures);
    println!("\nLatest packet of the parties: {:.1} ms after its time.", milliseconds(Some(late)));
    if late >= LATE {
        println!("The machine was not free: take fewer calls, or an idle machine.");
    }
    Ok(is_met && late < LATE)
}

/// Run with its figures so far.
struct Run {
    judge: Judge,
    figures: Vec<CallFigures>,
    successors: Successors,
    /// Events by the clock of the parties.
    times: Vec<(EventKind, Instant)>,
    rig: Rig,
}

impl Run {
    /// Lets the events happen at equal intervals, and judges each of them.
    fn go_through(
        &mut self,
        events: impl Iterator<Item = EventKind>,
        every: Duration,
        audio: &Audio,
        binary: &Path,
    ) -> anyhow::Result<()> {
        let began = Instant::now() + WARM_UP;
        let mut last = None;
        for (n, kind) in (0_u32..).zip(events) {
            let at = began + every * n + every / 2;
            std::thread::sleep((at - LEAD).saturating_duration_since(Instant::now()));
            self.judge(last.take(), audio)?;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            last = Some(self.happen(kind, binary)?);
            std::thread::sleep(SETTLED);
            outcome::renew(&mut self.rig, &mut self.figures)?;
        }
        std::thread::sleep(WARM_UP);
        self.judge(last, audio)
    }

    /// Judges the packets since the last cut, which are around this event.
    fn judge(&mut self, event: Option<Event>, audio: &Audio) -> anyhow::Result<()> {
        let sections = audio.cut()?;
        let Some(event) = event else { return Ok(()) };
        let figures = self.judge.judge(&event, &sections, media::now());
        eprintln!(
            "{:?} {}: p99 {:.1} ms, longest {:.1} ms, {} packets lost, {} calls silent, ready after {:.0} ms",
            event.kind,
            self.times.len(),
            milliseconds(figures.p99),
            milliseconds(figures.longest),
            figures.lost,
            figures.silent,
            milliseconds(Some(Duration::from_nanos(event.ready.saturating_sub(event.began))))
        );
        Ok(())
    }

    /// Upgrades the edge, kills it and starts it again, or stops it for a while.
    fn happen(&mut self, kind: EventKind, binary: &Path) -> anyhow::Result<Event> {
        self.times.push((kind, Instant::now()));
        let began = media::now();
        let mut restarted = began;
        match kind {
            EventKind::Upgrade => self.successors.upgrade(&self.rig.edge)?,
            EventKind::Crash => {
                self.successors.crash(&mut self.rig.edge)?;
                std::thread::sleep(PAUSE);
                restarted = media::now();
                self.rig.start_again(binary)?;
            }
            EventKind::Freeze => {
                self.successors.signal(&self.rig.edge, Signal::SIGSTOP)?;
                std::thread::sleep(FROZEN);
                self.successors.signal(&self.rig.edge, Signal::SIGCONT)?;
                restarted = media::now();
            }
        }
        Ok(Event { kind, began, restarted, ready: media::now() })
    }
}
