//! End of a call at a FastAPI bot. Once a close frame has arrived, uvicorn discards received messages: a bot that is a
//! few messages behind loses a `stop` sent just before the close frame.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::bots::with_agent;
use crate::interop::edge::Edge;
use crate::interop::python::{self, Packages, Script};
use crate::interop::raw::{Phone, tone_frame};
use crate::interop::recording::{Line, converse};
use crate::interop::sipp::CARRIER;

/// Number of frames of 20 ms in a call.
const FRAMES: u32 = 40;

/// Makes calls in sequence, each of which the caller ends.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let calls = setting.calls(40, 10);
    // Broken: the agent closes in mid-call, and gets no later messages.
    let flags: &[&str] = if setting.sabotage { &["--leave-after", "10"] } else { &[] };
    let agent = Script::start(Packages::FastApi, &python::script("fastapi_agent.py"), flags)?;
    let url = format!("url = \"ws://{}/media\"", agent.address);
    let mut edge = Edge::start(&with_agent(&url, "\"agent:bot\""))?;
    let caller = Phone::new(CARRIER, 0, "caller")?;
    for _ in 0..calls {
        let call = caller.call(edge.udp, "+14155550100").with_context(|| edge.log_tail())?;
        let line = Line { socket: &caller.rtp, to: call.media };
        converse(&[line], FRAMES, &|_, n| tone_frame(n), Duration::from_millis(100))?;
        caller.bye(&call)?;
    }
    let said = |what: &str| agent.lines().iter().filter(|line| line.starts_with(what)).count();
    edge.wait_until("each conversation is over", Duration::from_secs(10), |_| {
        Ok(said("closed with") >= usize::try_from(calls)?)
    })
    .with_context(|| agent.lines().join("\n"))?;
    edge.assert_alive()?;
    let (stops, normal) = (said("told of the end by stop"), said("closed with 1000"));
    if stops != usize::try_from(calls)? || normal != stops {
        bail!("{calls} calls, {stops} ended by stop, {normal} closed with 1000");
    }
    Ok(format!("{calls} calls, {stops} ended by stop, each closed with 1000 behind it"))
}
