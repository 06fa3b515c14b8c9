//! Fault matrix: failures of an agent, and the time until the caller reaches the next target. Real binary, real
//! sockets, real SIP and RTP; figures for `docs/configure/fallback.md`.

mod agent;
mod crowd;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

pub(crate) use agent::echo_for_all;
use agent::{Agent, Certificates, Fault, Moment};
use crowd::{Callee, Met, Talking};

use crate::interop::Setting;
use crate::interop::edge::{self, Edge};

/// Options of `cargo xtask faults`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Calls a cell.
    #[arg(long, default_value_t = 100)]
    calls: u32,
    /// Calls of one agent that is killed.
    #[arg(long, default_value_t = 200)]
    killed: u32,
    /// Only the cells whose name contains this, as "reset" or "mid-call".
    #[arg(long)]
    only: Option<String>,
}

/// Time to the next target from which a caller counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// Interval between two calls of a batch.
const APART: Duration = Duration::from_millis(10);
/// Ringing time of the next target in the run with a killed agent.
const RINGING: Duration = Duration::from_millis(1_500);
/// Time within which each caller of a killed agent must hear hold audio.
const HOLD_WITHIN: Duration = Duration::from_millis(200);

/// Cell of the fault matrix: an agent failure and its moment.
#[derive(Debug, Clone, Copy)]
struct Job {
    fault: Fault,
    moment: Moment,
}

/// Runs the matrix and the calls of a killed agent. Returns false if a caller was lost or a cell is empty.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    let cells: Vec<Job> = all().filter(|job| is_wanted(*job, options.only.as_deref())).collect();
    if cells.is_empty() && options.only.as_deref() != Some("killed") {
        bail!("no cell is named so: {}", all().map(name).collect::<Vec<_>>().join(" · "));
    }
    let (mut rows, mut good) = (Vec::new(), options.calls > 0);
    for (at, job) in cells.iter().enumerate() {
        eprint!("[{}/{}] {}: {} calls … ", at + 1, cells.len(), name(*job), options.calls);
        let waits = batch(&vec![*job; usize::try_from(options.calls)?], false)?;
        let (cell, lost) = Cell::of(*job, waits);
        eprintln!("{}", cell.told());
        lost.iter().take(3).for_each(|why| eprintln!("      {why}"));
        good &= lost.is_empty() && !cell.waits.is_empty();
        rows.push(cell);
    }
    let mut page = String::new();
    if !rows.is_empty() {
        page.push_str(
            "| the agent | when | calls | lost | p50 | p99 | max |\n| --- | --- | --- | --- | --- | --- | --- |\n",
        );
        rows.iter().try_for_each(|cell| writeln!(page, "{}", cell.row()))?;
        let lost: usize = rows.iter().map(|cell| cell.lost).sum();
        writeln!(page, "\n{} cells, {lost} callers lost", rows.len())?;
    }
    if options.only.as_deref().is_none_or(|only| only == "killed") {
        eprint!("an agent killed under {} calls … ", options.killed);
        let (line, held) = killed(options.killed)?;
        eprintln!("{}", if held { "held" } else { "NOT HELD" });
        writeln!(page, "{line}")?;
        good &= held;
    }
    println!("{page}");
    Ok(good)
}

/// Runs the short form as a case of the interop suite: one call for each cell, all at the same time; then an agent that
/// is killed during a few calls.
pub(crate) fn case(setting: &Setting) -> anyhow::Result<String> {
    let jobs: Vec<Job> = all().collect();
    let waits = batch(&jobs, setting.sabotage)?;
    let lost: Vec<String> = waits
        .iter()
        .zip(&jobs)
        .filter_map(|(wait, job)| Some(format!("{}: {}", name(*job), wait.as_ref().err()?)))
        .collect();
    if !lost.is_empty() {
        bail!("{} of {} callers lost:\n{}", lost.len(), jobs.len(), lost.join("\n"));
    }
    let longest = waits.into_iter().filter_map(Result::ok).max().unwrap_or_default();
    let (line, held) = killed(setting.calls(50, 20))?;
    if !held {
        bail!("{line}");
    }
    Ok(format!("{} ways and moments, 0 callers lost, {} ms at most; {line}", jobs.len(), longest.as_millis()))
}

fn all() -> impl Iterator<Item = Job> {
    Fault::ALL.into_iter().flat_map(|fault| Moment::ALL.into_iter().map(move |moment| Job { fault, moment }))
}

fn name(job: Job) -> String {
    format!("{}, {}", job.fault.name(), job.moment.name())
}

fn is_wanted(job: Job, only: Option<&str>) -> bool {
    only.is_none_or(|only| name(job).contains(only))
}

/// Results of the calls of a cell.
struct Cell {
    job: Job,
    /// Times until the next target was heard, sorted.
    waits: Vec<Duration>,
    lost: usize,
}

impl Cell {
    fn of(job: Job, waits: Vec<Result<Duration, String>>) -> (Cell, Vec<String>) {
        let (met, lost): (Vec<_>, Vec<_>) = waits.into_iter().partition(Result::is_ok);
        let mut waits: Vec<Duration> = met.into_iter().filter_map(Result::ok).collect();
        waits.sort_unstable();
        let lost: Vec<String> = lost.into_iter().filter_map(Result::err).collect();
        (Cell { job, waits, lost: lost.len() }, lost)
    }

    fn told(&self) -> String {
        format!("{} lost, p50 {}, p99 {}, max {}", self.lost, self.at(50), self.at(99), self.at(100))
    }

    fn row(&self) -> String {
        let (fault, moment) = (self.job.fault.name(), self.job.moment.name());
        let calls = self.waits.len() + self.lost;
        format!(
            "| {fault} | {moment} | {calls} | {} | {} | {} | {} |",
            self.lost,
            self.at(50),
            self.at(99),
            self.at(100)
        )
    }

    fn at(&self, percent: usize) -> String {
        ms(at_percent(&self.waits, percent))
    }
}

/// Returns the value at a percentile of sorted ones.
fn at_percent(values: &[Duration], percent: usize) -> Option<Duration> {
    values.get((values.len() * percent).div_ceil(100).max(1) - 1).copied()
}

fn ms(time: Option<Duration>) -> String {
    time.map_or_else(|| "–".to_owned(), |time| format!("{} ms", time.as_millis()))
}

/// Returns the called number of the call at this position of a batch.
fn number(at: usize) -> String {
    format!("+1415555{at:04}")
}

/// Makes all these calls at once, each with its own agent and route, so that no agent is skipped for the failures of
/// others; returns each call's time until the next target, or the reason of its loss. `alone`: the routes have no next
/// target.
fn batch(jobs: &[Job], alone: bool) -> anyhow::Result<Vec<Result<Duration, String>>> {
    let folder = tempfile::tempdir()?;
    let certificates = Certificates::new()?;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &certificates.pem)?;
    let mut file = head();
    let mut agents = Vec::new();
    for (n, job) in jobs.iter().enumerate() {
        let agent = Agent::start(job.fault, job.moment, &certificates)?;
        writeln!(
            file,
            "[agent.a{n}]\nurl = \"{}\"\nconnect_timeout = \"1s\"\nfirst_audio_timeout = \"1s\"",
            agent.url
        )?;
        if job.fault.is_over_tls() {
            writeln!(file, "ca = \"{}\"", ca.display())?;
        }
        writeln!(file, "retry = {}", u8::from(job.fault.meets_a_new_stream(job.moment)))?;
        agents.push(agent);
    }
    for n in 0..jobs.len() {
        let next = if alone { "" } else { ", \"trunk:pbx\"" };
        writeln!(file, "[[route]]\nfrom = [\"carrier\"]\nto = [\"{}\"]\nconnect = [\"agent:a{n}\"{next}]", number(n))?;
    }
    let mut edge = Edge::start(&file)?;
    let callee = Callee::start(Duration::ZERO)?;
    let met = callers(&edge, jobs.len(), number, &Talking::default())?;
    edge.assert_alive()?;
    callee.end()?;
    let reasons = reasons(&edge)?;
    let wait = |(n, ((met, agent), job)): (usize, ((Met, &Agent), &Job))| -> Result<Duration, String> {
        if let Some(why) = met.lost {
            let reason = reasons.get(&number(n)).map_or("no record", String::as_str);
            return Err(format!("{why}: {reason}"));
        }
        let next = met.next.ok_or("nobody else")?;
        match job.moment {
            Moment::Before => Ok(next.saturating_duration_since(met.called)),
            Moment::FirstSecond | Moment::MidCall => {
                Ok(next.saturating_duration_since(agent.failed_at().ok_or("its agent never failed")?))
            }
        }
    };
    Ok(met.into_iter().zip(&agents).zip(jobs).enumerate().map(wait).collect())
}

/// Returns the end reason of each call, by called number.
fn reasons(edge: &Edge) -> anyhow::Result<BTreeMap<String, String>> {
    let text = |record: &serde_json::Value, key| record.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    let reason = |record: &serde_json::Value| Some((text(record, "to")?, text(record, "reason")?));
    Ok(edge.records()?.iter().filter_map(reason).collect())
}

/// Returns the configuration's trunks, and limits that no batch reaches.
fn head() -> String {
    r#"
[limits]
calls_per_second = 0
[api]
account_sid = "AC0123456789abcdef0123456789abcdef"
[trunk.carrier]
accept_from = ["127.0.0.2/32"]
[trunk.pbx]
options_interval = "0s"
peers = ["sip:127.0.0.3:5060"]
"#
    .to_owned()
}

/// Runs this many callers, each in a thread of its own.
fn callers(edge: &Edge, calls: usize, number: fn(usize) -> String, talking: &Talking) -> anyhow::Result<Vec<Met>> {
    let udp = edge.udp;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..calls)
            .map(|n| {
                std::thread::sleep(APART);
                scope.spawn(move || crowd::call(udp, &number(n), PATIENCE, talking))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a caller panicked"))?).collect()
    })
}

/// Kills an agent's process during this many calls. Returns a description of the result, and whether each caller heard
/// hold audio within [`HOLD_WITHIN`] and none was lost.
fn killed(calls: u32) -> anyhow::Result<(String, bool)> {
    let mut child = Command::new(std::env::current_exe()?).arg("faults-agent").stdout(Stdio::piped()).spawn()?;
    let mut address = String::new();
    BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut address)?;
    let mut file = head();
    writeln!(
        file,
        "[agent.bot]\nurl = \"ws://{}/media\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"agent:bot\", \"trunk:pbx\"]",
        address.trim()
    )?;
    let mut edge = Edge::start(&file)?;
    let callee = Callee::start(RINGING)?;
    let talking = Talking::default();
    let (met, at) = std::thread::scope(|scope| {
        let killer = scope.spawn(|| -> anyhow::Result<Instant> {
            let began = Instant::now();
            while talking.count() < calls && began.elapsed() < PATIENCE / 2 {
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_secs(1));
            let at = Instant::now();
            child.kill()?;
            child.wait()?;
            Ok(at)
        });
        let met = callers(&edge, usize::try_from(calls)?, number, &talking)?;
        let at = killer.join().map_err(|_| anyhow!("the killer panicked"))??;
        Ok::<_, anyhow::Error>((met, at))
    })?;
    edge.assert_alive()?;
    let answers: Vec<_> = (0..met.len()).map(|n| callee.answered_at(&number(n))).collect();
    callee.end()?;
    let lost: Vec<&String> = met.iter().filter_map(|met| met.lost.as_ref()).collect();
    let mut hold: Vec<Duration> = met.iter().filter_map(|met| Some(met.hold?.saturating_duration_since(at))).collect();
    let between = met.iter().zip(answers);
    let mut next: Vec<Duration> =
        between.filter_map(|(met, answered)| Some(met.next?.saturating_duration_since(answered?))).collect();
    hold.sort_unstable();
    next.sort_unstable();
    let all = |times: &[Duration]| times.len() == met.len();
    let held = lost.is_empty()
        && all(&hold)
        && all(&next)
        && talking.count() == calls
        && hold.last().is_some_and(|longest| *longest <= HOLD_WITHIN);
    let spread = |times: &[Duration]| {
        format!(
            "p50 {}, p99 {}, max {}",
            ms(at_percent(times, 50)),
            ms(at_percent(times, 99)),
            ms(at_percent(times, 100))
        )
    };
    let mut line = format!(
        "An agent killed under {} calls: {} lost; hold heard by {} ({}); the next target heard by {} after its answer ({})",
        met.len(),
        lost.len(),
        hold.len(),
        spread(&hold),
        next.len(),
        spread(&next)
    );
    if let Some(why) = lost.first() {
        write!(line, "; the first was lost for: {why}")?;
    }
    Ok((line, held))
}
