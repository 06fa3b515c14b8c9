//! Fork of a call to a listener that stops reading.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use crate::interop::Setting;
use crate::interop::bots::{Bot, Manner, with_agent};
use crate::interop::edge::Edge;
use crate::interop::raw::{Phone, number_of, numbered};
use crate::interop::recording::{Line, converse};
use crate::interop::sipp::{CARRIER, PBX};

/// Permitted growth of the edge's memory.
const GROWTH_MIB: f64 = 16.0;

/// Makes a trunk call with a fork to such a listener.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let packets = setting.calls(1_500, 600);
    // Broken: the listener reads everything.
    let agent = Bot::start(if setting.sabotage { Manner::Mute } else { Manner::StopsReading { after: 20 } })?;
    let configuration = with_agent(&format!("url = \"{}\"\nping = \"0s\"", agent.url()), "\"trunk:pbx\"");
    let mut edge = Edge::start(&format!("{configuration}fork = [\"agent:bot\"]\n"))?;
    let (caller, callee) = (Phone::new(CARRIER, 0, "caller")?, Phone::new(PBX, 5060, "callee")?);
    let udp = edge.udp;
    let before = edge.resident_bytes()?;
    let (there, back) = std::thread::scope(|scope| {
        let far = scope.spawn(|| -> anyhow::Result<_> {
            let call = callee.answer()?;
            let line = Line { socket: &callee.rtp, to: call.media };
            let heard = converse(&[line], packets, &|_, n| numbered(n), Duration::from_millis(500))?;
            callee.expect_bye()?;
            Ok(heard.concat())
        });
        let call = caller.call(udp, "+14155550100")?;
        let line = Line { socket: &caller.rtp, to: call.media };
        // The callee may begin later, and is heard until its last packet.
        let heard = converse(&[line], packets, &|_, n| numbered(n), Duration::from_millis(1_500))?;
        caller.bye(&call)?;
        let far = far.join().map_err(|_| anyhow!("the callee panicked"))??;
        Ok::<_, anyhow::Error>((far, heard.concat()))
    })
    .with_context(|| edge.log_tail())?;
    edge.assert_alive()?;
    for (way, heard) in [("to the callee", &there), ("to the caller", &back)] {
        let numbers: BTreeSet<u32> = heard.iter().filter_map(|packet| number_of(&packet.payload)).collect();
        let whole = numbers.len();
        if whole != usize::try_from(packets)? || heard.len() != whole {
            let missing: Vec<u32> = (0..packets).filter(|n| !numbers.contains(n)).take(10).collect();
            bail!(
                "{way}: {whole} of {packets} packets came bit-identical, {} in all; missing {missing:?}\n{}",
                heard.len(),
                edge.drops()?
            );
        }
    }
    let growth = (edge.resident_bytes()? - before) / 1_048_576.0;
    let dropped = edge.metric("trunkgate_agent_frames_dropped_total")?;
    if dropped < 1.0 || growth > GROWTH_MIB {
        bail!("{dropped} frames counted as dropped, memory {growth:+.1} MiB\n{}", edge.only_trace()?);
    }
    Ok(format!("{packets} packets each way bit-identical, {dropped} frames dropped, memory {growth:+.1} MiB"))
}
