//! Agent that is killed during a conversation.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::interop::Setting;
use crate::interop::bots::with_agent;
use crate::interop::edge::Edge;
use crate::interop::python::{self, Packages, Script};
use crate::interop::raw::{Phone, number_of, numbered};
use crate::interop::recording::{Line, converse, one_stream};
use crate::interop::rtp;
use crate::interop::sipp::{CARRIER, PBX};

/// Number of packets from the caller: 10 s.
const PACKETS: u32 = 500;
/// Time from the start of the conversation to the kill.
const KILLED_AFTER: Duration = Duration::from_secs(3);
/// Ringing time of the callee.
const RINGING: Duration = Duration::from_millis(1_500);
/// Number of the callee's first packet, above all packet numbers of the caller.
const CALLEE: u32 = 1_000_000;
/// Maximum silence that the caller hears.
const GAP: Duration = Duration::from_millis(200);

/// Kills the agent's process by `kill -9` in mid-call.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let mut agent = Script::start(Packages::Base, &python::echo_agent(), &[])?;
    // Broken: the route has no next target.
    let connect = if setting.sabotage { "\"agent:bot\"" } else { "\"agent:bot\", \"trunk:pbx\"" };
    let mut edge = Edge::start(&with_agent(&format!("url = \"ws://{}/media\"", agent.address), connect))?;
    let (caller, callee) = (Phone::new(CARRIER, 0, "caller")?, Phone::new(PBX, 5060, "callee")?);
    let call = caller.call(edge.udp, "+14155550100").with_context(|| edge.log_tail())?;
    let (to_caller, to_callee) = std::thread::scope(|scope| {
        let far = scope.spawn(|| -> anyhow::Result<_> {
            let call = callee.answer_after(RINGING)?;
            let line = Line { socket: &callee.rtp, to: call.media };
            let heard = converse(&[line], 200, &|_, n| numbered(CALLEE + n), Duration::from_millis(300))?;
            callee.expect_bye()?;
            Ok(heard)
        });
        let killer = scope.spawn(move || {
            std::thread::sleep(KILLED_AFTER);
            agent.kill()
        });
        let line = Line { socket: &caller.rtp, to: call.media };
        let heard = converse(&[line], PACKETS, &|_, n| numbered(n), Duration::from_millis(300))?;
        killer.join().map_err(|_| anyhow!("the killer panicked"))??;
        caller.bye(&call)?;
        let far = far.join().map_err(|_| anyhow!("the callee panicked"))?.context("the callee")?;
        Ok::<_, anyhow::Error>((heard, far))
    })
    .with_context(|| edge.only_trace().unwrap_or_default())?;
    edge.assert_alive()?;
    let (to_caller, to_callee) = (to_caller.concat(), to_callee.concat());
    let stream = one_stream(&to_caller).context("what the caller heard")?;
    let (mut agent, mut hold, mut trunk) = (0, 0, 0);
    for packet in &to_caller {
        match number_of(&packet.payload) {
            Some(CALLEE..) => trunk += 1,
            Some(_) => agent += 1,
            None if rtp::is_heard(&packet.payload) => hold += 1,
            None => {}
        }
    }
    let passed_on = to_callee.iter().filter(|packet| number_of(&packet.payload).is_some_and(|n| n < CALLEE)).count();
    if agent < 100 || hold < 25 || trunk < 150 || passed_on < 150 {
        bail!(
            "the caller heard {agent} packets of the agent, {hold} of the hold tone, {trunk} of the trunk, which heard \
             {passed_on} of his\n{}",
            edge.only_trace()?
        );
    }
    if stream.largest_gap > GAP {
        bail!("a gap of {} ms", stream.largest_gap.as_millis());
    }
    Ok(format!(
        "{} packets under one SSRC, sequence +1, timestamp +160 (agent {agent}, hold tone {hold}, trunk {trunk}), largest \
         gap {} ms",
        stream.packets,
        stream.largest_gap.as_millis()
    ))
}
