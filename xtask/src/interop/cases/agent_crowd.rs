//! Many concurrent calls to an agent, each with its own phone and connection.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::bots::{Bot, Manner, with_agent};
use crate::interop::edge::Edge;
use crate::interop::raw::{Phone, number_of, numbered};
use crate::interop::recording::{Line, converse, lateness, one_stream};
use crate::interop::sipp::CARRIER;

/// Maximum lateness of all but one packet in a thousand.
const LATE: Duration = Duration::from_millis(20);

/// Makes 100 calls of 60 s.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let (calls, seconds) = (setting.calls(100, 20), setting.calls(60, 15));
    // Broken: an agent that leaves out one frame in 500.
    let agent = Bot::start(Manner::Echo { leave_out: if setting.sabotage { 500 } else { 0 } })?;
    let mut edge = Edge::start(&with_agent(&format!("url = \"{}\"", agent.url()), "\"agent:bot\""))?;
    let phones: Vec<Phone> = (0..calls).map(|_| Phone::new(CARRIER, 0, "caller")).collect::<anyhow::Result<_>>()?;
    let placed = phones.iter().map(|phone| phone.call(edge.udp, "+14155550100"));
    let placed: Vec<_> = placed.collect::<anyhow::Result<_>>().with_context(|| edge.log_tail())?;
    let lines: Vec<Line<'_>> =
        phones.iter().zip(&placed).map(|(phone, call)| Line { socket: &phone.rtp, to: call.media }).collect();
    let packets = seconds * 50;
    let heard = converse(&lines, packets, &|_, n| numbered(n), Duration::from_millis(700))?;
    for (phone, call) in phones.iter().zip(&placed) {
        phone.bye(call)?;
    }
    edge.assert_alive()?;
    let (mut lost, mut late) = (0, Vec::new());
    for (at, heard) in heard.iter().enumerate() {
        one_stream(heard).with_context(|| format!("call {at}"))?;
        let back: HashSet<u32> = heard.iter().filter_map(|packet| number_of(&packet.payload)).collect();
        lost += (0..packets).filter(|n| !back.contains(n)).count();
        late.extend(lateness(heard));
    }
    late.sort_unstable();
    let share = |per_mille: usize| late.get((late.len().saturating_sub(1)) * per_mille / 1_000).copied();
    let (Some(median), Some(most), Some(worst)) = (share(500), share(999), late.last().copied()) else {
        bail!("nothing was heard");
    };
    let figure = format!(
        "{calls} calls for {seconds} s, {} packets: {lost} lost, lateness p50 {:.1} ms, p99.9 {:.1} ms, worst {:.1} ms",
        late.len(),
        median.as_secs_f64() * 1_000.0,
        most.as_secs_f64() * 1_000.0,
        worst.as_secs_f64() * 1_000.0
    );
    if lost > 0 || most > LATE {
        bail!("{figure}");
    }
    edge.wait_until("no agent session is left", Duration::from_secs(10), |edge| {
        Ok(edge.metric("trunkgate_agent_sessions")? == 0.0)
    })?;
    Ok(figure)
}
