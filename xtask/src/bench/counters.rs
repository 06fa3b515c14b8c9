//! `cargo xtask bench counters`: cost of a SIPp call through the edge in counts independent of the load and speed of
//! the machine: instructions (callgrind), system calls (strace) and wake-ups per thread. Each is the difference of two
//! runs with few and many calls, which excludes start and end of the process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::table::spread;
use super::{packet_count, process};
use crate::interop::edge::{self, Edge, LISTENERS};
use crate::interop::sipp::{CARRIER_TO_PBX, Callee, Calls, PBX};

/// Configuration of the counted calls. A change that affects the cost of a call updates `instructions` in the same
/// commit.
#[derive(Debug)]
struct Setup {
    name: &'static str,
    /// Instructions of a call of 13 messages: set-up, answer and end, with media ports, trace, record and log.
    instructions: u64,
    /// Permitted deviation in percent.
    tolerance_percent: u64,
    /// Whether the configuration is realistic, and the calls are between telephone numbers.
    is_as_used: bool,
    /// Whether the state of calls is in a file.
    has_state: bool,
}

/// Instructions of a call.
#[derive(Debug, Clone, Copy)]
struct InstructionCount {
    /// Instructions of all threads.
    total: u64,
    /// Instructions of the thread that writes the state of calls, which are part of the total.
    writer: u64,
}

/// Minimal configuration for a call: a UDP and a TCP listener, two trunks, one route.
const BARE: Setup =
    Setup { name: "bare", instructions: 889_000, tolerance_percent: 3, is_as_used: false, has_state: false };
/// Realistic configuration: also a country, a TLS listener, and ten trunks with a route each, except for the called
/// one.
const AS_USED: Setup =
    Setup { name: "as used", instructions: 940_000, tolerance_percent: 3, is_as_used: true, has_state: false };
/// [`AS_USED`] with the state of calls in a file; not checked, since the times of its writes depend on the machine.
const WITH_STATE: Setup = Setup { name: "as used, with state", has_state: true, ..AS_USED };
const SETUPS: [&Setup; 2] = [&BARE, &AS_USED];
/// Function of the thread that writes the state of calls.
const WRITER: &str = "call_state::writer::WriterThread::run";
/// Trunks of [`AS_USED`] in addition to those of [`CARRIER_TO_PBX`].
const OTHER_TRUNKS: u8 = 8;
/// File names of the certificate and the key of the TLS listener in [`AS_USED`].
const CERTIFICATE: &str = "certificate.pem";
const PRIVATE_KEY: &str = "key.pem";
/// Calling and called number; the called one is in national format.
const CALLER_NUMBER: &str = "+14155550100";
const CALLED_NUMBER: &str = "4155550123";
/// Scenario of the caller; `sipp` is the called user.
const CALLER: &str = include_str!("../interop/scenarios/uac_bench.xml");
/// Numbers of calls in the two runs.
const FEW: u32 = 50;
const MANY: u32 = 250;
/// Calls per second, without retransmissions, under a tool that slows the edge down many times.
const SLOW_RATE: u32 = 8;
/// Calls per second while wake-ups are counted.
const RATE: u32 = 200;
/// Calls of a run in which their CPU time is measured, and runs of each configuration.
const CPU_CALLS: u32 = 10 * RATE;
const CPU_RUNS: usize = 5;
/// Length of a call.
const LENGTH: Duration = Duration::from_millis(500);
/// Wait after the last call, for the work after its end.
const SETTLE: Duration = Duration::from_secs(2);

/// Options of `cargo xtask bench counters`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fail if the instructions per call differ from the numbers in the repository by more than 3 %
    #[arg(long)]
    check: bool,
    /// Only the instructions of a relayed packet
    #[arg(long, conflicts_with = "check")]
    packet: bool,
    /// Only the instructions of a call
    #[arg(long, conflicts_with_all = ["check", "packet"])]
    instructions: bool,
    /// Only the CPU time of a call, with and without the state of calls in a file
    #[arg(long, conflicts_with_all = ["check", "packet", "instructions"])]
    cpu: bool,
}

/// Prints the counts for one call in each configuration.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    if options.check {
        println!("{}", check("")?);
        return Ok(true);
    }
    if options.cpu {
        return compare_cpu().map(|()| true);
    }
    if options.instructions {
        println!("| of one call | instructions | of which the writer of the state file |\n| --- | --- | --- |");
        for setup in SETUPS.into_iter().chain([&WITH_STATE]) {
            let InstructionCount { total, writer } = setup.count_instructions("")?;
            println!("| {} | {total} | {writer} |", setup.name);
        }
        return Ok(true);
    }
    println!("| of one relayed packet | count |\n| --- | --- |");
    println!("| instructions | {:.0} |\n", packet_count::count_instructions()?);
    if options.packet {
        return Ok(true);
    }
    for setup in SETUPS.into_iter().chain([&WITH_STATE]) {
        println!("| of one call, {} | count |\n| --- | --- |", setup.name);
        let counted = setup.count_instructions("")?;
        println!("| instructions | {} |", counted.total);
        if setup.has_state {
            println!("| of which the writer of the state file | {} |", counted.writer);
        }
        println!("| system calls | {:.1} |", setup.count_system_calls()?);
        for (thread, woken) in setup.wake_ups()? {
            println!("| wake-ups of {thread} | {woken:.1} |");
        }
        println!();
    }
    Ok(true)
}

/// Prints the CPU time of a call without and with the state of calls in a file: medians of alternating runs.
fn compare_cpu() -> anyhow::Result<()> {
    let setups = [&AS_USED, &WITH_STATE];
    let mut measured = setups.map(|_| Vec::new());
    for _ in 0..CPU_RUNS {
        for (setup, times) in setups.iter().zip(&mut measured) {
            times.push(setup.cpu_of_call()?);
        }
    }
    println!("| of one call | CPU \u{b5}s, median (smallest\u{2013}largest) |\n| --- | --- |");
    for (setup, times) in setups.into_iter().zip(measured) {
        let (median, least, most) = spread(times.into_iter());
        println!("| {} | {median:.0} ({least:.0}\u{2013}{most:.0}) |", setup.name);
    }
    Ok(())
}

/// Checks that a call takes the recorded number of instructions; `more` is appended to each configuration.
pub(crate) fn check(more: &str) -> anyhow::Result<String> {
    let (mut counted, mut differs) = (Vec::new(), false);
    for setup in SETUPS {
        let instructions = setup.count_instructions(more)?.total;
        differs |= setup.differs(instructions);
        counted.push(format!("{}: {instructions} ({} expected)", setup.name, setup.instructions));
    }
    let counted = counted.join(", ");
    if differs {
        bail!(
            "instructions of a call: {counted}: write the new numbers into xtask/src/bench/counters.rs, and the reason into \
             the commit"
        );
    }
    Ok(format!("instructions of a call: {counted}"))
}

impl Setup {
    fn differs(&self, instructions: u64) -> bool {
        instructions.abs_diff(self.instructions) * 100 > self.instructions * self.tolerance_percent
    }

    /// Returns the configuration of the edge: the defaults, with one media thread on every machine.
    fn configuration(&self, more: &str) -> String {
        let listeners = LISTENERS.replace("[media]\n", "[media]\nthreads = 1\n");
        if !self.is_as_used {
            return format!("{listeners}[limits]\ncalls_per_second = 0\n{CARRIER_TO_PBX}{more}");
        }
        let state = if self.has_state { "state = \"file\"\nstate_directory = \"state\"\n" } else { "" };
        let listeners = listeners.replace("[edge]\n", &format!("[edge]\ncountry = \"US\"\n{state}"));
        let others: String = (1..=OTHER_TRUNKS).map(other_trunk).collect();
        format!(
            "{listeners}[[listen]]\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n\
             certificate = {CERTIFICATE:?}\nprivate_key = {PRIVATE_KEY:?}\n\
             [limits]\ncalls_per_second = 0\n{others}{CARRIER_TO_PBX}{more}"
        )
    }

    /// Starts the edge by this command.
    fn start(&self, command: Command, more: &str) -> anyhow::Result<Edge> {
        let configuration = self.configuration(more);
        if !self.is_as_used {
            return Edge::start_as(command, &configuration);
        }
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let files = [(CERTIFICATE, certificate.as_bytes()), (PRIVATE_KEY, key.as_bytes())];
        Edge::start_in(command, &configuration, &files)
    }

    /// Returns SIPp's calls for this configuration.
    fn calls(&self, calls: u32, per_second: u32) -> Calls {
        let calls = Calls::new(calls, per_second, LENGTH);
        if !self.is_as_used {
            return calls;
        }
        let scenario = CALLER.replace("sip:sipp@", &format!("sip:{CALLER_NUMBER}@"));
        Calls { scenario: Some(scenario.into()), number: CALLED_NUMBER, ..calls }
    }

    /// Starts the edge by a command, runs this many calls through it, and ends it.
    fn load(&self, command: Command, calls: u32, more: &str) -> anyhow::Result<()> {
        let _callee = Callee::start(PBX, 5060)?;
        let mut edge = self.start(command, more)?;
        self.calls(calls, SLOW_RATE).all_succeed(&mut edge)?;
        std::thread::sleep(SETTLE);
        edge.end()
    }

    fn count_instructions(&self, more: &str) -> anyhow::Result<InstructionCount> {
        let counted = |calls| {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("out");
            self.load(callgrind_of_threads(&file), calls, more).context("under callgrind")?;
            InstructionCount::of_threads(folder.path())
        };
        let [total, writer] = of_one_call(counted)?;
        Ok(InstructionCount { total: total as u64, writer: writer as u64 })
    }

    fn count_system_calls(&self) -> anyhow::Result<f64> {
        of_one_call(|calls| {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("out");
            let mut command = Command::new("strace");
            // The edge runs as a separate process, so that signals reach it.
            command
                .args(["--daemonize", "--follow-forks", "--summary-only", "--output"])
                .arg(&file)
                .arg(edge::binary());
            self.load(command, calls, "").context("under strace")?;
            std::thread::sleep(SETTLE);
            // Last line of strace: `100.00    0.041083          12      3421        56 total`
            field(&file, |line| line.strip_suffix(" total")?.split_whitespace().nth(3)?.parse().ok())
                .map(|calls| [calls])
        })
        .map(|[calls]| calls)
    }

    /// Measures the CPU time of all threads per call in microseconds.
    fn cpu_of_call(&self) -> anyhow::Result<f64> {
        let _callee = Callee::start(PBX, 5060)?;
        let mut edge = self.start(Command::new(edge::binary()), "")?;
        self.calls(FEW, RATE).all_succeed(&mut edge)?;
        let before = process::cpu(edge.pid())?;
        self.calls(CPU_CALLS, RATE).all_succeed(&mut edge)?;
        let used = process::cpu(edge.pid())?.saturating_sub(before);
        Ok(used.as_secs_f64() * 1e6 / f64::from(CPU_CALLS))
    }

    /// Counts the wake-ups of each thread per call, sorted in descending order.
    fn wake_ups(&self) -> anyhow::Result<Vec<(String, f64)>> {
        let _callee = Callee::start(PBX, 5060)?;
        let mut edge = self.start(Command::new(edge::binary()), "")?;
        self.calls(FEW, RATE).all_succeed(&mut edge)?;
        let before = process::threads(edge.pid())?;
        self.calls(10 * RATE, RATE).all_succeed(&mut edge)?;
        let after = process::threads(edge.pid())?;
        let woken = |(thread, work): (String, process::Work)| {
            let known = before.get(&thread).map_or(0, |before| before.woken);
            (thread, work.woken.saturating_sub(known) as f64 / f64::from(10 * RATE))
        };
        let mut all: Vec<(String, f64)> = after.into_iter().map(woken).filter(|(_, woken)| *woken >= 0.05).collect();
        all.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        Ok(all)
    }
}

/// Returns a trunk with an address of its own, and the route to it.
fn other_trunk(number: u8) -> String {
    let address = format!("127.0.0.{}", 10 + number);
    format!(
        "[trunk.provider{number}]\noptions_interval = \"0s\"\npeers = [\"sip:{address}:5060\"]\n\
         accept_from = [\"{address}/32\"]\n[[route]]\nfrom = [\"provider{number}\"]\nconnect = [\"trunk:pbx\"]\n"
    )
}

impl InstructionCount {
    /// Returns the instructions of all threads and of the writer from the files of [`callgrind_of_threads`].
    fn of_threads(folder: &Path) -> anyhow::Result<[u64; 2]> {
        let [mut total, mut writer] = [0, 0];
        for entry in std::fs::read_dir(folder)? {
            let file = entry?.path();
            // The file without the number of a thread.
            if file.metadata()?.len() == 0 {
                continue;
            }
            total += total_instructions(&file)?;
            writer += writer_instructions(&std::fs::read_to_string(&file)?)?;
        }
        Ok([total, writer])
    }
}

/// Returns counts for one call: the differences of the two runs, divided by the difference of their calls.
fn of_one_call<const N: usize>(count: impl Fn(u32) -> anyhow::Result<[u64; N]>) -> anyhow::Result<[f64; N]> {
    let (few, many) = (count(FEW)?, count(MANY)?);
    Ok(std::array::from_fn(|n| (many[n] as f64 - few[n] as f64) / f64::from(MANY - FEW)))
}

/// Returns the command that runs the edge under callgrind, which writes this file.
pub(super) fn callgrind(file: &Path) -> Command {
    callgrind_with(&[], file)
}

/// Returns the command that runs the edge under callgrind, which writes a file with this prefix for each thread.
fn callgrind_of_threads(file: &Path) -> Command {
    callgrind_with(&["--separate-threads=yes"], file)
}

fn callgrind_with(options: &[&str], file: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]).args(options);
    command.arg(format!("--callgrind-out-file={}", file.display())).arg(edge::binary());
    command
}

/// Returns the instructions in a file of callgrind.
pub(super) fn total_instructions(file: &Path) -> anyhow::Result<u64> {
    field(file, |line| line.strip_prefix("totals: ")?.trim().parse().ok())
}

/// Returns the instructions of the writer in the text of callgrind for a thread. The thread that had the same number
/// before is in the same file.
fn writer_instructions(text: &str) -> anyhow::Result<u64> {
    let mut lines = text.lines();
    // The name, the number of calls, then the position and the instructions of the call.
    let Some(_) = lines.find(|line| line.starts_with("cfn=") && line.ends_with(WRITER)) else { return Ok(0) };
    let call = lines.nth(1).and_then(|line| line.rsplit(' ').next()?.parse().ok());
    call.with_context(|| format!("no instructions of {WRITER}"))
}

fn field(file: &Path, of: impl Fn(&str) -> Option<u64>) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    text.lines().rev().find_map(of).with_context(|| format!("no count in {text}"))
}
