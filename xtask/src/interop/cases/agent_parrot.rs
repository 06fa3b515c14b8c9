//! Turn-taking agents of `examples/`, in Python and in Node: first with `trunkgate agent test`, then in a call.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::interop::Setting;
use crate::interop::bots::{Bot, Manner, with_agent};
use crate::interop::edge::{Edge, binary};
use crate::interop::node;
use crate::interop::python::{self, Packages, Script};
use crate::interop::raw::{Phone, tone_frame};
use crate::interop::recording::{Heard, Line, converse, one_stream};
use crate::interop::rtp;
use crate::interop::sipp::CARRIER;

/// Minimum SNR of a tone that the agent has stored and played.
const SNR_DB: f64 = 30.0;
/// Number of packets that the caller sends while speaking, and while listening.
const SAYS: u32 = 75;
const LISTENS: u32 = 150;

/// Tests both agents.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let agents = [
        ("Python", Script::start(Packages::Base, &python::example("parrot_agent.py"), &[])?),
        ("Node", node::start(node::Packages::Base, &python::example("parrot_agent.js"), &[])?),
    ];
    // Broken: the agent receives and sends nothing.
    let mute = Bot::start(Manner::Mute)?;
    let mut figures = Vec::new();
    for (name, agent) in &agents {
        let url = if setting.sabotage { mute.url() } else { format!("ws://{}/media", agent.address) };
        let tested = tested(&url).with_context(|| format!("{name}: {}", agent.lines().join("\n")))?;
        let called = called(&url).with_context(|| format!("{name}: {}", agent.lines().join("\n")))?;
        figures.push(format!("{name}: {tested}, {called}"));
    }
    Ok(figures.join("; "))
}

/// Runs `trunkgate agent test` on the agent: nothing fails, and the agent stops when interrupted.
fn tested(url: &str) -> anyhow::Result<String> {
    let output = Command::new(binary()).args(["agent", "test", url, "--times", "1", "--json"]).output()?;
    let told: Value = serde_json::from_slice(&output.stdout).context("agent test")?;
    let cleared = told["interruption"]["cleared_ms"].as_u64();
    match (output.status.success(), cleared.zip(told["interruption"]["at_ms"].as_u64())) {
        (true, Some((cleared, at))) => Ok(format!("clears {} ms after it is interrupted", cleared.saturating_sub(at))),
        _ => bail!("agent test: {told:#}"),
    }
}

/// Makes a call in which the caller speaks once and the agent answers; returns the edge, and the audio that the caller
/// received.
pub(super) fn conversation(url: &str) -> anyhow::Result<(Edge, Vec<Heard>)> {
    // The agent answers two seconds after the start, when the round-trip time is known.
    let keys = format!("url = \"{url}\"\nping = \"500ms\"");
    let mut edge = Edge::start(&with_agent(&keys, "\"agent:bot\""))?;
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let call = caller.call(edge.udp, "+14155550100").with_context(|| edge.log_tail())?;
    let line = Line { socket: &caller.rtp, to: call.media };
    let says = |_, n| if n < SAYS { tone_frame(n) } else { vec![0xff; 160] };
    let heard = converse(&[line], SAYS + LISTENS, &says, Duration::from_millis(300))?.pop().unwrap_or_default();
    caller.bye(&call)?;
    edge.assert_alive()?;
    Ok((edge, heard))
}

/// Checks in a call that the agent plays the caller's audio once the caller is silent.
fn called(url: &str) -> anyhow::Result<String> {
    let (_edge, heard) = conversation(url)?;
    one_stream(&heard)?;
    let tone: Vec<&Heard> = heard.iter().filter(|packet| rtp::is_heard(&packet.payload)).collect();
    // Without the first and the last packets of the tone.
    let inner: Vec<u8> = tone.iter().skip(3).take(65).flat_map(|packet| packet.payload.iter().copied()).collect();
    let snr = rtp::tone_snr_db(&inner);
    if tone.len() < 70 || tone.len() > 80 || snr < SNR_DB {
        bail!("of {SAYS} packets {} came back, SNR {snr:.1} dB", tone.len());
    }
    Ok(format!("{} of {SAYS} packets said back at {snr:.1} dB", tone.len()))
}
