//! `trunkgate demo`: an edge, a carrier and two trunks on loopback over real sockets. Two calls with a tone both ways: one
//! straight through, one whose first trunk is silent and that goes on to the second. Needs no file, root or network.

mod call;
mod party;
mod progress;
mod quality;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;
use tokio::sync::mpsc;
use trunkgate_phone::Answer;

use crate::config;
use crate::edge::Edge;
use call::{CallResult, Plan, Stage};
use party::Party;
use progress::Progress;
use quality::Journal;

/// Set to `audio`, the demo's far phones send other audio than they say, and the demo has to exit 1. For tests.
pub const SABOTAGE: &str = "TRUNKGATE_SABOTAGE";
/// How long the trunk that does not answer is waited for.
const NO_RESPONSE: Duration = Duration::from_secs(1);
/// Media ports that the demo's edge may use.
const MEDIA_PORTS: u16 = 32;
/// Where the search for them begins and ends: below the ephemeral range.
const PORT_SEARCH: (u16, u16) = (16_384, 32_000);
/// News of phones that may wait.
const NEWS: usize = 1024;

/// All that the demo found, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Outcome {
    ok: bool,
    seconds: f64,
    calls: Vec<CallResult>,
}

/// Runs the demo: exit 0 if each call's audio arrived intact, 1 if not, 2 where it cannot be started.
pub fn run(json: bool) -> ExitCode {
    let harm = match std::env::var(SABOTAGE).as_deref() {
        Ok("audio") => true,
        Ok("") | Err(_) => false,
        Ok(other) => return complain(&anyhow!("{SABOTAGE}={other} is unknown; only `audio` is")),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.into()),
    };
    let outcome = tokio::task::LocalSet::new().block_on(&runtime, demonstrate(harm));
    match outcome {
        Ok(outcome) => {
            let text = if json { as_json(&outcome) } else { as_text(&outcome) };
            print(&text);
            if outcome.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => complain(&error),
    }
}

fn complain(error: &anyhow::Error) -> ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "error: the demo cannot be started: {error:#}");
    ExitCode::from(2)
}

fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

async fn demonstrate(harm: bool) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let mut progress = Progress::new();
    let (news, mut news_in) = mpsc::channel(NEWS);
    let journal = Journal::default();
    let mut parties = Vec::new();
    for (index, name) in ["carrier", "a", "b"].into_iter().enumerate() {
        let harm = harm && index > 0;
        let party = Party::start(index, name, journal.clone(), news.clone(), harm).await;
        parties.push(party.context("a phone cannot be started")?);
    }
    let edge = start_edge(&parties).await?;
    let address = edge.listeners.first().map(|l| l.address).context("the edge does not listen")?;
    progress.say(&format!("edge on {address}, carrier and trunks a and b beside it"));

    let mut calls = Vec::new();
    for plan in plans() {
        let mut stage = Stage {
            parties: &parties,
            edge: address,
            handle: edge.handle(),
            news: &mut news_in,
            progress: &mut progress,
        };
        calls.push(stage.play(&plan).await?);
    }
    progress.done();
    let edge = tokio::task::spawn_blocking(move || edge.shutdown());
    edge.await.context("the edge did not stop")?;
    let ok = !calls.is_empty() && calls.iter().all(|call| call.problems.is_empty());
    Ok(Outcome { ok, seconds: began.elapsed().as_secs_f64(), calls })
}

/// The demo's two calls.
fn plans() -> [Plan; 2] {
    let ring = Answer::ring(Duration::from_millis(400));
    [
        Plan { title: "straight through", number: "+12125550101", answers: vec![(1, ring.clone())], answered_by: 1 },
        Plan {
            title: "the first trunk is silent, the second takes it",
            number: "+12125550102",
            answers: vec![(1, Answer::of(trunkgate_phone::Manner::Silent)), (2, ring)],
            answered_by: 2,
        },
    ]
}

async fn start_edge(parties: &[Party]) -> anyhow::Result<Edge> {
    let text = config_text(parties, free_ports()?);
    let (config, _) = config::parse(Path::new("demo.toml"), &text)
        .map_err(|wrong| anyhow!("{}", config::render(Path::new("demo.toml"), &text, &wrong)))?;
    let started = tokio::task::spawn_blocking(move || Edge::start(config)).await?;
    started.map_err(|error| anyhow!("{error}"))
}

fn config_text(parties: &[Party], first_port: u16) -> String {
    let mut text = format!(
        "[edge]\nname = \"demo\"\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [media]\naddress = [\"127.0.0.1\"]\nports = \"{first_port}-{}\"\nthreads = 1\n\
         [limits]\ncalls = 4\n\
         [http]\naddress = \"127.0.0.1:0\"\n",
        first_port + MEDIA_PORTS - 1
    );
    for party in parties {
        text.push_str(&format!(
            "[trunk.{}]\npeers = [\"sip:{}\"]\nno_response_timeout = \"{}ms\"\n",
            party.name,
            party.address,
            NO_RESPONSE.as_millis()
        ));
    }
    text.push_str("[[route]]\nname = \"out\"\nfrom = [\"carrier\"]\nconnect = [\"trunk:a\", \"trunk:b\"]\n");
    text
}

/// The first of a run of free UDP ports on loopback.
fn free_ports() -> anyhow::Result<u16> {
    let free = |first: u16| {
        let bound: Vec<_> = (first..first + MEDIA_PORTS)
            .map_while(|port| UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok())
            .collect();
        bound.len() == usize::from(MEDIA_PORTS)
    };
    // Two demos at once begin their search at different places.
    let (low, high) = PORT_SEARCH;
    let runs = (high - low) / MEDIA_PORTS;
    let begin = (std::process::id() % u32::from(runs)) as u16;
    let found = (0..runs).map(|n| low + (begin + n) % runs * MEDIA_PORTS).find(|first| free(*first));
    match found {
        Some(first) => Ok(first),
        None => bail!("no {MEDIA_PORTS} free UDP ports in a row between {low} and {high} on 127.0.0.1"),
    }
}

fn as_json(outcome: &Outcome) -> String {
    serde_json::to_string_pretty(outcome).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")) + "\n"
}

fn as_text(outcome: &Outcome) -> String {
    let mut out = String::new();
    for (at, call) in outcome.calls.iter().enumerate() {
        out.push_str(&format!("\ncall {}: {}\n{}", at + 1, call.title, call.text()));
    }
    let verdict = if outcome.ok {
        "ok: all audio arrived intact, both ways, in both calls".to_owned()
    } else {
        let count: usize = outcome.calls.iter().map(|call| call.problems.len()).sum();
        format!("FAILED: {count} problems")
    };
    out.push_str(&format!("\n{verdict} ({:.1} s)\n", outcome.seconds));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_free_ports_is_found_and_is_even() {
        let first = free_ports().unwrap();
        assert!(first.is_multiple_of(2) && first >= PORT_SEARCH.0);
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert_ne!(free_ports().unwrap(), first);
        drop(taken);
    }
}
