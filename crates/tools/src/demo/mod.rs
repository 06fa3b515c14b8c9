//! `trunkgate demo`: an edge, a carrier, two trunks and two agents on loopback, with real sockets. Four calls with a
//! tone in both directions: to an agent; to an agent that is killed, with failover to a trunk; over TLS and SRTP, with
//! transcoding from Opus while an agent listens; with a first trunk that does not respond. Needs no file, root or
//! network.

mod agent;
mod call;
mod judgement;
mod party;
mod quality;
mod secure;
mod stream;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;
use tokio::sync::mpsc;
use trunkgate_phone::{AnswerKind, AnswerScript, PhoneEvent};

use crate::progress::ProgressOutput;
use agent::DemoAgents;
use call::{CallResult, DemoAgentRole, DemoCallPlan, DemoCallRunner};
use party::{DemoPhone, PhoneTransport};
use quality::FrameJournal;
use secure::DemoCertificate;
use trunkgate_boot::edge::RunningEdge;
use trunkgate_config as config;
use trunkgate_system::free_ports::free_ports;
use trunkgate_system::terminal;

/// Environment variable for tests: with `audio`, the far phones send damaged audio, and the demo must exit with 1.
pub(crate) const SABOTAGE: &str = "TRUNKGATE_SABOTAGE";
/// Hint for the next step.
const NEXT: &str = "next: `trunkgate init` writes a trunkgate.toml; `trunkgate demo --serve` keeps this edge running";
/// Timeout for the trunk that does not respond.
const NO_RESPONSE: Duration = Duration::from_secs(1);
/// Number of media ports of the demo's edge.
const MEDIA_PORTS: u16 = 32;
/// CPU wait above which packets may be late, in milliseconds: an agent's audio is reordered within 40 ms.
const BUSY_MS: u64 = 30;
/// Total CPU wait of all threads in a call that indicates a busy machine, in milliseconds.
const BUSY_THREADS_MS: u64 = 300;
/// Number of bytes changed in a damaged frame.
const HARMED_BYTES: usize = 80;
/// Capacity of the event queue of phones and agents.
const NEWS: usize = 1024;

/// Event of a phone or an agent.
#[derive(Debug, Clone, Copy)]
enum DemoEvent {
    /// Event of a phone's call.
    Phone {
        /// Index of the phone.
        party: usize,
        /// The event.
        event: PhoneEvent,
    },
    /// A stream to an agent was opened.
    AgentOpen {
        /// Whether the stream goes to the echo agent.
        echo: bool,
    },
    /// A stream to an agent has ended.
    AgentEnded,
}

/// Result of the demo, printed by `--json`.
#[derive(Debug, Serialize)]
struct DemoOutcome {
    /// Whether all audio was correct, that is, exit code 0.
    ok: bool,
    /// Duration of the demo, in seconds.
    seconds: f64,
    /// Calls of the demo.
    calls: Vec<CallResult>,
}

/// Runs the demo. Exit code 0 if the audio of all calls is correct, 1 if not, 2 if the demo cannot be started. With
/// `serve` the edge runs until Ctrl-C.
pub fn run(json: bool, serve: bool) -> ExitCode {
    let harm = match std::env::var(SABOTAGE).as_deref() {
        Ok("audio") => true,
        Ok("") | Err(_) => false,
        Ok(other) => return complain(&anyhow!("{SABOTAGE}={other} is unknown: use `audio`")),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.into()),
    };
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, demonstrate(json, serve, harm));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => complain(&error),
    }
}

/// Inverts the second half of a frame's samples; a single changed bit would not be noticeable after transcoding.
pub(crate) fn harm(frame: &mut [u8]) {
    let half = frame.len().saturating_sub(HARMED_BYTES);
    for byte in frame.iter_mut().skip(half) {
        *byte ^= 0x80;
    }
}

fn complain(error: &anyhow::Error) -> ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "error: the demo cannot be started: {error:#}");
    ExitCode::from(2)
}

fn print(text: &str) {
    use std::io::Write as _;
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

async fn demonstrate(json: bool, serve: bool, harm: bool) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut progress = ProgressOutput::new();
    let (news, mut news_in) = mpsc::channel(NEWS);
    let journal = FrameJournal::default();
    let certificate = DemoCertificate::make()?;
    let mut parties = Vec::new();
    for (index, (name, harm, way)) in [
        ("carrier", false, PhoneTransport::Plain),
        ("a", harm, PhoneTransport::Plain),
        ("b", harm, PhoneTransport::Plain),
        ("secure", false, PhoneTransport::Secure(certificate.line())),
    ]
    .into_iter()
    .enumerate()
    {
        let party = DemoPhone::start(index, name, journal.clone(), news.clone(), harm, way).await;
        parties.push(party.context("a phone cannot be started")?);
    }
    let agents = DemoAgents::start(journal.clone(), news, harm).context("the agents cannot be started")?;
    let edge = start_edge(&parties, &agents, &certificate).await?;
    let [plain, secure] = edge.listeners.as_slice() else { bail!("the edge does not listen") };
    let address = (plain.address, secure.address);
    progress.say(&format!(
        "edge on {}, TLS on {}; simulated: a carrier, a TLS caller, trunks a and b, an agent, a listener",
        address.0, address.1
    ));

    let mut calls = Vec::new();
    for plan in plans() {
        let mut stage = DemoCallRunner {
            parties: &parties,
            agents: &agents,
            edge: address,
            handle: edge.handle(),
            journal: &journal,
            news: &mut news_in,
            progress: &mut progress,
        };
        calls.push(stage.play(&plan).await?);
    }
    progress.done();
    let ok = !calls.is_empty() && calls.iter().all(|call| call.problems.is_empty());
    let outcome = DemoOutcome { ok, seconds: began.elapsed().as_secs_f64(), calls };
    print(&if json { as_json(&outcome) } else { as_text(&outcome, terminal::width()) });
    if serve {
        let url = format!("http://{}", edge.http);
        progress.say(&format!(
            "the edge keeps running, console at {url}; try `trunkgate calls --url {url}`. Press Ctrl-C to stop"
        ));
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    }
    let edge = tokio::task::spawn_blocking(move || edge.shutdown());
    edge.await.context("the edge did not stop")?;
    Ok(ok)
}

/// Returns the calls of the demo.
fn plans() -> [DemoCallPlan; 4] {
    let ring = |ms| AnswerScript::ring(Duration::from_millis(ms));
    let plan = DemoCallPlan {
        title: "an agent answers and echoes the caller's audio",
        caller: 0,
        number: "+12125550101",
        answers: Vec::new(),
        answered_by: None,
        agent: DemoAgentRole::Talks { killed_after: None },
        converted: false,
        frames: 50,
        far_frames: 50,
        length: Duration::from_millis(1450),
    };
    [
        DemoCallPlan { ..plan.clone() },
        DemoCallPlan {
            title: "the agent is killed during the call, trunk a takes over",
            caller: 0,
            number: "+12125550102",
            answers: vec![(1, ring(200))],
            answered_by: Some(1),
            agent: DemoAgentRole::Talks { killed_after: Some(Duration::from_millis(600)) },
            converted: false,
            frames: 110,
            far_frames: 50,
            length: Duration::from_millis(2700),
        },
        DemoCallPlan {
            title: "a caller with TLS, SRTP and Opus, a trunk with PCMU, an agent listens",
            caller: 3,
            number: "+12125550103",
            answers: vec![(1, ring(200))],
            answered_by: Some(1),
            agent: DemoAgentRole::Listens,
            converted: true,
            ..plan.clone()
        },
        DemoCallPlan {
            title: "the first trunk does not respond, the second answers",
            number: "+12125550104",
            answers: vec![(1, AnswerScript::from_kind(AnswerKind::Silent)), (2, ring(200))],
            answered_by: Some(2),
            agent: DemoAgentRole::None,
            ..plan
        },
    ]
}

async fn start_edge(
    parties: &[DemoPhone],
    agents: &DemoAgents,
    certificate: &DemoCertificate,
) -> anyhow::Result<RunningEdge> {
    let text = config_text(parties, agents, certificate, free_ports(MEDIA_PORTS)?);
    let (config, _) = config::parse(Path::new("demo.toml"), &text)
        .map_err(|wrong| anyhow!("{}", config::render(Path::new("demo.toml"), &text, &wrong)))?;
    let started = tokio::task::spawn_blocking(move || RunningEdge::start(config)).await?;
    started.map_err(|error| anyhow!("{error}"))
}

fn config_text(parties: &[DemoPhone], agents: &DemoAgents, certificate: &DemoCertificate, first_port: u16) -> String {
    let mut text = format!(
        "[edge]\nname = \"demo\"\ndata_directory = {:?}\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n{}\
         [media]\naddress = [\"127.0.0.1\"]\nports = \"{first_port}-{}\"\nthreads = 1\n\
         [limits]\ncalls = 4\n\
         [http]\naddress = \"127.0.0.1:0\"\n",
        certificate.data(),
        certificate.listener(),
        first_port + MEDIA_PORTS - 1
    );
    text.push_str("[trunk.secure]\naccept_from = [\"127.0.0.1\"]\nlisten = \"secure\"\nsrtp = \"required\"\n");
    for party in parties.iter().filter(|party| !party.secure) {
        text.push_str(&format!(
            "[trunk.{}]\npeers = [\"sip:{}\"]\nno_response_timeout = \"{}ms\"\n",
            party.name,
            party.address,
            NO_RESPONSE.as_millis()
        ));
    }
    for (name, path) in [("echo", "echo"), ("scribe", "scribe")] {
        text.push_str(&format!("[agent.{name}]\nurl = \"ws://{}/{path}\"\n", agents.address));
    }
    for (name, to, connect, fork) in [
        ("agent", "+12125550101", "\"agent:echo\"", ""),
        ("agent-then-trunk", "+12125550102", "\"agent:echo\", \"trunk:a\"", ""),
        ("overheard", "+12125550103", "\"trunk:a\"", "fork = [\"agent:scribe\"]\n"),
        ("two-trunks", "+12125550104", "\"trunk:a\", \"trunk:b\"", ""),
    ] {
        text.push_str(&format!("[[route]]\nname = \"{name}\"\nto = [\"{to}\"]\nconnect = [{connect}]\n{fork}"));
    }
    text
}

fn as_json(outcome: &DemoOutcome) -> String {
    serde_json::to_string_pretty(outcome).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")) + "\n"
}

fn as_text(outcome: &DemoOutcome, width: Option<usize>) -> String {
    let mut out = String::new();
    for (at, call) in outcome.calls.iter().enumerate() {
        let title = terminal::wrapped(&format!("call {}: {}", at + 1, call.title), 2, width);
        out.push_str(&format!("\n{title}{}", call.text(width)));
    }
    let count = outcome.calls.iter().map(|call| call.problems.len()).sum();
    let waited_ms = outcome.calls.iter().filter_map(|call| waited_too_long(call.waited_ms, call.queued_ms)).max();
    let verdict = format!("{} ({:.1} s)", verdict(outcome.ok, count, waited_ms), outcome.seconds);
    out.push_str(&format!("\n{}", terminal::wrapped(&verdict, 2, width)));
    if outcome.ok {
        out.push_str(&terminal::wrapped(NEXT, 2, width));
    }
    out
}

/// Returns the longer CPU wait, in milliseconds, if it may have affected audio. `threads_ms` is the sum over all
/// threads.
fn waited_too_long(waited_ms: u64, threads_ms: u64) -> Option<u64> {
    let is_busy = waited_ms >= BUSY_MS || threads_ms >= BUSY_THREADS_MS;
    is_busy.then(|| waited_ms.max(threads_ms))
}

fn verdict(ok: bool, problems: usize, waited_ms: Option<u64>) -> String {
    if ok {
        return "ok: all audio arrived intact in every call".to_owned();
    }
    let busy = waited_ms.map_or_else(String::new, |waited_ms| {
        format!(
            ", and the machine is busy: the demo waited {waited_ms} ms for a CPU. Try again when the machine is idle"
        )
    });
    format!("FAILED: {problems} problem{}{busy}", if problems == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_cut_between_words() {
        let outcome = DemoOutcome { ok: true, seconds: 12.0, calls: Vec::new() };
        let last = as_text(&outcome, Some(60));
        assert!(last.lines().all(|line| line.chars().count() <= 60) && last.contains("\n  "), "{last}");
        assert!(as_text(&outcome, None).ends_with(&format!(" (12.0 s)\n{NEXT}\n")));
    }

    #[test]
    fn a_busy_machine_is_named_where_something_failed() {
        assert!(verdict(true, 0, Some(500)).starts_with("ok: all audio"));
        assert_eq!(verdict(false, 2, waited_too_long(BUSY_MS - 1, BUSY_THREADS_MS - 1)), "FAILED: 2 problems");
        assert_eq!(waited_too_long(5, 700), Some(700));
        let busy = verdict(false, 1, waited_too_long(189, 20));
        assert!(busy.starts_with("FAILED: 1 problem, ") && busy.contains("189 ms for a CPU"), "{busy}");
    }
}
