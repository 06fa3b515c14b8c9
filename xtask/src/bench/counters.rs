//! `cargo xtask bench counters`: what a call of SIPp through the edge takes, as counts that do not depend on how busy or how fast the
//! machine is: instructions (by callgrind), system calls (by strace) and wake-ups of each thread. Each is the difference of two runs
//! with few and many calls, so that start and end of the process do not count.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::process;
use crate::interop::edge::{self, Edge, LISTENERS};
use crate::interop::sipp::{CARRIER_TO_PBX, Callee, Calls, PBX};

/// A configuration whose calls are counted. A change that makes a call cost more, or less, changes `instructions` in the same commit.
#[derive(Debug)]
struct Setup {
    name: &'static str,
    /// Instructions of a call of 13 messages, set up, answered and ended, with media ports, trace, records and log.
    instructions: u64,
    /// Largest difference from that, in percent.
    tolerance_percent: u64,
    /// Whether the edge is configured as users configure it, and its calls go from number to number.
    is_as_used: bool,
}

/// The least that a call needs: a UDP and a TCP listener, two trunks, one route.
const BARE: Setup = Setup { name: "bare", instructions: 889_000, tolerance_percent: 3, is_as_used: false };
/// A configuration as users have it: a country, a TLS listener as well, ten trunks with a route each but the called one.
const AS_USED: Setup = Setup { name: "as used", instructions: 940_000, tolerance_percent: 3, is_as_used: true };
const SETUPS: [&Setup; 2] = [&BARE, &AS_USED];
/// Trunks of [`AS_USED`] in addition to those of [`CARRIER_TO_PBX`].
const OTHER_TRUNKS: u8 = 8;
/// Files of its TLS listener.
const CERTIFICATE: &str = "certificate.pem";
const PRIVATE_KEY: &str = "key.pem";
/// Numbers of its calls, the called one as it is dialled inside the country.
const CALLER_NUMBER: &str = "+14155550100";
const CALLED_NUMBER: &str = "4155550123";
/// The caller's scenario; `sipp` is the user it calls as.
const CALLER: &str = include_str!("../interop/scenarios/uac_bench.xml");
/// Calls of the two runs.
const FEW: u32 = 50;
const MANY: u32 = 250;
/// Calls a second under a tool that makes the process many times slower: no message is sent twice.
const SLOW_RATE: u32 = 8;
/// Calls a second for wake-ups.
const RATE: u32 = 200;
/// Length of a call.
const LENGTH: Duration = Duration::from_millis(500);
/// Time for everything that follows a call's end.
const SETTLE: Duration = Duration::from_secs(2);

/// Flags of `cargo xtask bench counters`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fails where the instructions of a call differ from the numbers in the repository by more than 3 %.
    #[arg(long)]
    check: bool,
}

/// Prints the counts of one call.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    if options.check {
        println!("{}", check("")?);
        return Ok(true);
    }
    for setup in SETUPS {
        println!("| of one call, {} | count |\n| --- | --- |", setup.name);
        println!("| instructions | {} |", setup.count_instructions("")?);
        println!("| system calls | {:.1} |", setup.count_system_calls()?);
        for (thread, woken) in setup.wake_ups()? {
            println!("| wake-ups of {thread} | {woken:.1} |");
        }
        println!();
    }
    Ok(true)
}

/// Holds that a call takes as many instructions as the repository says; `more` is added to each configuration.
pub(crate) fn check(more: &str) -> anyhow::Result<String> {
    let (mut counted, mut differs) = (Vec::new(), false);
    for setup in SETUPS {
        let instructions = setup.count_instructions(more)?;
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

    /// Returns the configuration: as by default, with one media thread on every machine.
    fn configuration(&self, more: &str) -> String {
        let listeners = LISTENERS.replace("[media]\n", "[media]\nthreads = 1\n");
        if !self.is_as_used {
            return format!("{listeners}[limits]\ncalls_per_second = 0\n{CARRIER_TO_PBX}{more}");
        }
        let listeners = listeners.replace("[edge]\n", "[edge]\ncountry = \"US\"\n");
        let others: String = (1..=OTHER_TRUNKS).map(other_trunk).collect();
        format!(
            "{listeners}[[listen]]\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n\
             certificate = {CERTIFICATE:?}\nprivate_key = {PRIVATE_KEY:?}\n\
             [limits]\ncalls_per_second = 0\n{others}{CARRIER_TO_PBX}{more}"
        )
    }

    /// Starts the edge by a command.
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

    /// Returns calls that suit the configuration.
    fn calls(&self, calls: u32, per_second: u32) -> Calls {
        let calls = Calls::new(calls, per_second, LENGTH);
        if !self.is_as_used {
            return calls;
        }
        let scenario = CALLER.replace("sip:sipp@", &format!("sip:{CALLER_NUMBER}@"));
        Calls { scenario: Some(scenario.into()), number: CALLED_NUMBER, ..calls }
    }

    /// Runs so many calls through an edge that a command starts, and ends it.
    fn load(&self, command: Command, calls: u32, more: &str) -> anyhow::Result<()> {
        let _callee = Callee::start(PBX, 5060)?;
        let mut edge = self.start(command, more)?;
        self.calls(calls, SLOW_RATE).all_succeed(&mut edge)?;
        std::thread::sleep(SETTLE);
        edge.end()
    }

    fn count_instructions(&self, more: &str) -> anyhow::Result<u64> {
        let counted = |calls| {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("out");
            let mut command = Command::new("valgrind");
            command.args(["--tool=callgrind", "--quiet"]);
            command.arg(format!("--callgrind-out-file={}", file.display())).arg(edge::binary());
            self.load(command, calls, more).context("under callgrind")?;
            field(&file, |line| line.strip_prefix("totals: ")?.trim().parse().ok())
        };
        Ok(of_one_call(counted)? as u64)
    }

    fn count_system_calls(&self) -> anyhow::Result<f64> {
        of_one_call(|calls| {
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("out");
            let mut command = Command::new("strace");
            // As a process of its own: a signal then reaches the edge.
            command
                .args(["--daemonize", "--follow-forks", "--summary-only", "--output"])
                .arg(&file)
                .arg(edge::binary());
            self.load(command, calls, "").context("under strace")?;
            std::thread::sleep(SETTLE);
            // `100.00    0.041083          12      3421        56 total`
            field(&file, |line| line.strip_suffix(" total")?.split_whitespace().nth(3)?.parse().ok())
        })
    }

    /// Counts how often each thread is woken for a call, the most often woken first.
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

/// A trunk with an address of its own, and its route.
fn other_trunk(number: u8) -> String {
    let address = format!("127.0.0.{}", 10 + number);
    format!(
        "[trunk.provider{number}]\noptions_interval = \"0s\"\npeers = [\"sip:{address}:5060\"]\n\
         accept_from = [\"{address}/32\"]\n[[route]]\nfrom = [\"provider{number}\"]\nconnect = [\"trunk:pbx\"]\n"
    )
}

/// The difference of two counts, for one call.
fn of_one_call(count: impl Fn(u32) -> anyhow::Result<u64>) -> anyhow::Result<f64> {
    let (few, many) = (count(FEW)?, count(MANY)?);
    Ok((many as f64 - few as f64) / f64::from(MANY - FEW))
}

fn field(file: &Path, of: impl Fn(&str) -> Option<u64>) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    text.lines().rev().find_map(of).with_context(|| format!("no count in {text}"))
}
