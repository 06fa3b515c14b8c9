//! OpenAI's agents SDK for Node with its own Twilio transport, unmodified, and a simulated model: the SDK remembers
//! exactly the part of an interrupted answer that the caller has heard.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::bots::with_agent;
use crate::interop::edge::Edge;
use crate::interop::node::{self, Packages};
use crate::interop::raw::Phone;
use crate::interop::recording::{interrupt, one_stream};
use crate::interop::rtp;
use crate::interop::sipp::CARRIER;

/// Milliseconds that the SDK adds to the last returned mark.
const ADDED_MS: i64 = 50;
/// Audio that may pass between the last mark and the clear: the SDK's chunk of 40 ms, and the delay of the caller's
/// voice.
const APART_MS: i64 = 120;

/// Makes a call in which the caller listens to an answer and interrupts it.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    // Broken: no mark reaches the SDK.
    let flags: &[&str] = if setting.sabotage { &["--swallow-marks"] } else { &[] };
    let agent = node::start(Packages::OpenAi, &node::script("openai_agent.cjs"), flags)?;
    let mut edge = Edge::start(&with_agent(&format!("url = \"ws://{}/media\"", agent.address), "\"agent:bot\""))?;
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let call = caller.call(edge.udp, "+14155550100").with_context(|| edge.log_tail())?;
    let heard = interrupt(&caller, &call)?;
    caller.bye(&call)?;
    edge.assert_alive()?;
    let told = || agent.lines().join("\n");
    one_stream(&heard).with_context(told)?;
    let heard = heard.iter().filter(|packet| rtp::is_heard(&packet.payload)).count();
    let heard_ms = i64::try_from(heard)? * 20;
    let cut = agent.wait_for("truncated item_1 at ", Duration::from_secs(5))?;
    let remembered_ms: i64 = cut.parse().with_context(|| cut.clone())?;
    if heard_ms < 500 || (remembered_ms - ADDED_MS - heard_ms).abs() > APART_MS {
        bail!("the caller heard {heard_ms} ms, the model remembers {remembered_ms} ms\n{}", told());
    }
    let closed = agent.wait_for("closed with 1000 after ", Duration::from_secs(5)).with_context(told)?;
    if agent.lines().iter().any(|line| line.starts_with("error")) {
        bail!("{}", told());
    }
    Ok(format!(
        "4000 ms at once, {heard_ms} ms heard, then interrupted: the model remembers {remembered_ms} ms; {closed}"
    ))
}
