//! `cargo xtask bench rtp`: CPU time per packet and added delay of the edge, of rtpengine in user space and of a bare
//! relay, for the same sessions and packets, relayed or transcoded; cost of listeners; memory of a held call and of a
//! fork.

use std::time::Duration;

use anyhow::Context as _;

use super::dialer::{Dialer, FAR, NEAR};
use super::echo::Agent;
use super::generator::{self, Pair, Paths, Seen};
use super::listener::Listener;
use super::process::{self, on_device_core};
use super::rtpengine::Rtpengine;
use super::speech::Codec;
use super::srtp::Suite;
use super::table::Table;
use super::{bare, fork, listener};
use crate::interop::edge::{self, Edge, LISTENERS};
use crate::interop::install;

/// Options of `cargo xtask bench rtp`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs of each device in each case, one device after the other.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds that a run is measured.
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// Only the cases whose name contains this.
    #[arg(long)]
    only: Vec<String>,
    /// The edge with libopus instead of ropus; needs cmake.
    #[arg(long)]
    libopus: bool,
    /// Writes the tables to this file as well (Markdown).
    #[arg(long)]
    out: Option<std::path::PathBuf>,
}

/// Kind of listener that each call is forked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fork {
    Nobody,
    /// WebSocket agent that receives both directions.
    WebSocket,
    /// Ordinary WebSocket agent that receives both directions: a process in epoll, woken for each message, which shares
    /// the device's core.
    Waiting,
    /// Socket that receives both directions as plain RTP.
    Raw,
}

/// Relayed traffic, and the devices to compare with it.
struct Case {
    name: &'static str,
    sessions: usize,
    suite: Option<Suite>,
    fork: Fork,
    /// Codecs of the caller and of the called side.
    codecs: (Codec, Codec),
    devices: &'static [Kind],
}

/// Device under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Edge,
    /// Edge with the same calls, but without their listeners.
    Unheard,
    Rtpengine,
    Bare,
}

impl Kind {
    /// Returns the device's name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Edge => "Trunkgate",
            Kind::Unheard => "Trunkgate, nobody listens",
            Kind::Rtpengine => "rtpengine",
            Kind::Bare => "bare relay",
        }
    }
}

const ALL: &[Kind] = &[Kind::Edge, Kind::Rtpengine, Kind::Bare];
const BOTH: &[Kind] = &[Kind::Edge, Kind::Rtpengine];
const OURS: &[Kind] = &[Kind::Edge];
const HEARD_OR_NOT: &[Kind] = &[Kind::Unheard, Kind::Edge];

const RELAYED: Case =
    Case { name: "", sessions: 0, suite: None, fork: Fork::Nobody, codecs: (Codec::Pcmu, Codec::Pcmu), devices: BOTH };
const CM: Option<Suite> = Some(Suite::AesCm128HmacSha1_80);
const GCM: Option<Suite> = Some(Suite::AeadAes128Gcm);

const CASES: &[Case] = &[
    Case { name: "relay-100", sessions: 100, devices: ALL, ..RELAYED },
    Case { name: "relay-300", sessions: 300, devices: ALL, ..RELAYED },
    // Loads two thirds of the device's core, while the generator's core is always busy: no packet may be lost.
    Case { name: "relay-600", sessions: 600, devices: OURS, ..RELAYED },
    Case { name: "srtp-cm-300", sessions: 300, suite: CM, ..RELAYED },
    Case { name: "srtp-gcm-300", sessions: 300, suite: GCM, ..RELAYED },
    Case { name: "pcmu-pcma-100", sessions: 100, codecs: (Codec::Pcmu, Codec::Pcma), devices: ALL, ..RELAYED },
    Case { name: "pcmu-opus-40", sessions: 40, codecs: (Codec::Pcmu, Codec::Opus), ..RELAYED },
    Case { name: "fork-raw-100", sessions: 100, fork: Fork::Raw, ..RELAYED },
    Case { name: "fork-ws-100", sessions: 100, fork: Fork::WebSocket, devices: HEARD_OR_NOT, ..RELAYED },
    Case { name: "fork-ws-waiting-100", sessions: 100, fork: Fork::Waiting, devices: HEARD_OR_NOT, ..RELAYED },
    Case {
        name: "fork-ws-srtp-200",
        sessions: 200,
        suite: CM,
        fork: Fork::WebSocket,
        devices: HEARD_OR_NOT,
        ..RELAYED
    },
];

/// Number of held calls in the case `memory`.
const HELD: usize = 1000;

/// Measures the selected cases and prints their tables.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    install::packages(&[("rtpengine", "rtpengine-daemon"), ("taskset", "util-linux"), ("espeak-ng", "espeak-ng")])?;
    if options.libopus {
        install::packages(&[("cmake", "cmake")])?;
        edge::build_with(&["libopus"])?;
    } else {
        edge::build()?;
    }
    process::raise_descriptor_limit()?;
    process::stay_on_generator_core()?;
    let chosen = |name: &str| options.only.is_empty() || options.only.iter().any(|part| name.contains(part.as_str()));
    let mut table = Table::new(options.runs, options.seconds);
    for case in CASES.iter().filter(|case| chosen(case.name)) {
        for run in 1..=options.runs {
            for kind in case.devices {
                let seen = measure(*kind, case, options.seconds)
                    .with_context(|| format!("{} of {}", case.name, kind.name()))?;
                eprintln!(
                    "{} {run}/{} {}: {}",
                    case.name,
                    options.runs,
                    kind.name(),
                    table.add(case.name, *kind, seen)
                );
            }
        }
    }
    if chosen("fork-begun") {
        table.add_fork(fork::measure()?);
    }
    if chosen("memory") {
        table.add_memory(memory()?);
    }
    let text = table.text();
    println!("{text}");
    if let Some(file) = &options.out {
        std::fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    Ok(true)
}

fn measure(kind: Kind, case: &Case, seconds: u32) -> anyhow::Result<Seen> {
    let pairs = generator::coded_pairs(case.sessions, case.codecs)?;
    match kind {
        Kind::Bare => {
            let (device, paths) = bare::start(&pairs)?;
            drive(&pairs, &paths, seconds, device.pid())
        }
        Kind::Rtpengine => {
            let engine = Rtpengine::start()?;
            let paths = engine.dial(&pairs, case.suite)?;
            let sink = listener::sink()?;
            if case.fork == Fork::Raw {
                engine.subscribe(case.sessions, sink.address)?;
            }
            drive(&pairs, &paths, seconds, engine.device.pid())
        }
        Kind::Edge | Kind::Unheard => {
            let dialer = Dialer::new()?;
            let listener = Listener::start()?;
            let waiting = (case.fork == Fork::Waiting).then(Agent::start_mute).transpose()?;
            let sink = listener::sink()?;
            let url = match case.fork {
                Fork::Nobody => None,
                Fork::WebSocket | Fork::Waiting | Fork::Raw if kind == Kind::Unheard => None,
                Fork::Waiting => waiting.as_ref().map(|agent| format!("ws://{}/media", agent.address)),
                Fork::WebSocket => Some(format!("ws://{}/media", listener.address)),
                Fork::Raw => Some(format!("rtp://{}", sink.address)),
            };
            let edge = start_edge(&dialer, case.suite.is_some(), url.as_deref(), case.codecs)?;
            let paths = dialer.dial(edge.udp, &pairs, case.suite).with_context(|| edge.log_tail())?;
            drive(&pairs, &paths, seconds, edge.pid())
        }
    }
}

fn drive(pairs: &[Pair], paths: &[Paths], seconds: u32, pid: u32) -> anyhow::Result<Seen> {
    generator::drive(pairs, paths, seconds, &|| process::cpu(pid))
}

/// Starts an edge between the two sides of the dialer, both with PCMU.
pub(super) fn start_relay(dialer: &Dialer) -> anyhow::Result<Edge> {
    start_edge(dialer, false, None, RELAYED.codecs)
}

/// Returns the configuration of an edge between the two sides of the dialer, both with PCMU, with one media thread.
pub(super) fn relay_configuration(dialer: &Dialer) -> anyhow::Result<String> {
    let configuration = configuration(dialer, "", "", "", RELAYED.codecs)?;
    Ok(configuration.replace("[media]\n", "[media]\nthreads = 1\n"))
}

/// Starts an edge with this section `recording`; `is_by_route`: the route has every call recorded.
pub(super) fn start_recorded(dialer: &Dialer, section: &str, is_by_route: bool) -> anyhow::Result<Edge> {
    let key = if is_by_route { "record = true\n" } else { "" };
    let configuration = configuration(dialer, "", section, key, RELAYED.codecs)?;
    Edge::start_as(on_device_core(edge::binary()), &configuration)
}

/// Starts an edge for sides with these codecs; `fork`: address of a listener that hears every call.
pub(super) fn start_edge(
    dialer: &Dialer,
    srtp: bool,
    fork: Option<&str>,
    codecs: (Codec, Codec),
) -> anyhow::Result<Edge> {
    let configuration = edge_configuration(dialer, srtp, fork, codecs)?;
    Edge::start_as(on_device_core(edge::binary()), &configuration)
}

/// Returns the configuration of [`start_edge`].
pub(super) fn edge_configuration(
    dialer: &Dialer,
    srtp: bool,
    fork: Option<&str>,
    codecs: (Codec, Codec),
) -> anyhow::Result<String> {
    let srtp = if srtp { "srtp = \"required\"\n" } else { "" };
    let agent = fork.map_or(String::new(), |url| format!("[agent.scribe]\nurl = \"{url}\"\n"));
    let fork = if fork.is_some() { "fork = [\"agent:scribe\"]\n" } else { "" };
    configuration(dialer, srtp, &agent, fork, codecs)
}

/// Returns a configuration with further keys of the called trunk, further sections, and further keys of the route.
fn configuration(
    dialer: &Dialer,
    called_keys: &str,
    sections: &str,
    route_keys: &str,
    codecs: (Codec, Codec),
) -> anyhow::Result<String> {
    let called = dialer.called()?;
    let rest = format!(
        "[limits]\ncalls_per_second = 0\n[trunk.near]\naccept_from = [\"{NEAR}/32\"]\ncodecs = [\"{}\"]\n\
         [trunk.far]\naccept_from = [\"{FAR}/32\"]\npeers = [\"sip:{called}\"]\ncodecs = [\"{}\"]\n{called_keys}\
         {sections}[[route]]\nfrom = [\"near\"]\nconnect = [\"trunk:far\"]\n{route_keys}",
        codecs.0.name(),
        codecs.1.name()
    );
    // Silent calls are held for a minute and must not end meanwhile.
    let listeners = LISTENERS.replace("[media]\n", "[media]\nidle_timeout = \"1h\"\n");
    Ok(format!("{listeners}{rest}"))
}

/// Returns the bytes of the idle process, and the bytes per call with [`HELD`] silent calls.
fn memory() -> anyhow::Result<(u64, u64)> {
    let dialer = Dialer::new()?;
    let edge = start_relay(&dialer)?;
    std::thread::sleep(Duration::from_millis(500));
    let idle = process::private_bytes(edge.pid())?;
    let pairs = generator::pairs(HELD)?;
    dialer.dial(edge.udp, &pairs, None)?;
    std::thread::sleep(Duration::from_millis(500));
    let held = process::private_bytes(edge.pid())?;
    Ok((idle, held.saturating_sub(idle) / u64::try_from(HELD)?))
}
