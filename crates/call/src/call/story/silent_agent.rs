//! Voice agents that have the caller and say nothing: told in the call's trace, log and verdict, and kept for the agent.
//!
//! An agent may listen first, so that silence at the beginning is no fault. One that has had a caller who is heard for
//! [`AGENT_UNHEARD_AFTER`] without a word of audio is; so is one whose messages are for another stream, which the edge drops.

use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::AGENT_UNHEARD_AFTER;
use trunkgate_story::diagnosis::{Diagnosis, SentInstead};
use trunkgate_story::redact;
use trunkgate_story::trace::TraceItem;

use crate::call::legs::agents::shortened;
use crate::call::shared::{Cx, Shared};

/// From so many messages for another stream on it is no chance: 200 ms of audio.
const FOREIGN_LEAST: u64 = 10;

/// Notes, once, that the agent which has the caller is not heard.
pub(crate) fn look(cx: &mut Cx<'_>) {
    let Some((leg, found)) = silent(cx).filter(|(leg, _)| cx.call.legs[*leg].quality.unheard.is_none()) else { return };
    let name = cx.edge.shown_name(&cx.call.legs.name_of(leg));
    let line = format!("no audio from {name}: {}; try: {}", found.text, found.fix);
    cx.edge.trace(cx.now, cx.call.key, TraceItem::Media { leg: leg.index(), text: line });
    note(cx, leg, found);
}

/// Judges the agent that has the caller as the call ends: heard, or silent for too long.
pub(crate) fn settle(cx: &mut Cx<'_>) {
    let Some(leg) = talker(cx.call) else { return };
    let found = silent(cx).map(|(_, found)| found);
    let was_noted = cx.call.legs[leg].quality.unheard.is_some();
    match found {
        Some(found) if !was_noted => note(cx, leg, found),
        Some(found) => cx.call.legs[leg].quality.unheard = Some(Box::new(found)),
        None => {}
    }
    let side = &cx.call.legs[leg];
    let is_heard = side.view().rtp.rx_packets > 0;
    let Some(agent) = side.agent.as_ref().filter(|agent| !agent.has_failed && !agent.agent.name.is_empty()) else {
        return;
    };
    if is_heard || side.quality.unheard.is_some() {
        let (name, unheard) = (agent.agent.name.clone(), side.quality.unheard.clone());
        cx.edge.agents.listened(cx.now, &name, cx.call.legs.sid(), unheard.as_deref());
    }
}

/// Keeps it for the verdict, counts it, and reports it to observers and the log.
fn note(cx: &mut Cx<'_>, leg: LegId, found: Diagnosis) {
    let name = cx.edge.shown_name(&cx.call.legs.name_of(leg));
    let line = format!("no audio from {name} in an answered call: {}", found.text);
    let fix = found.fix.clone();
    cx.call.legs[leg].quality.unheard = Some(Box::new(found));
    cx.count_silent_agent(leg, line, fix);
}

/// The leg of the agent that has the caller.
fn talker(call: &Shared) -> Option<LegId> {
    let leg = call.legs.callee?;
    call.legs[leg].agent.as_ref().filter(|side| !side.listens())?;
    Some(leg)
}

/// The agent that has had the caller for too long without a word, and why it is not heard.
fn silent(cx: &Cx<'_>) -> Option<(LegId, Diagnosis)> {
    let call = &cx.call;
    let leg = talker(call)?;
    let side = call.legs[leg].agent.as_ref()?;
    let opened = side.opened?;
    // Without a word of the caller, or on hold, it has nothing to answer.
    let is_asked = call.legs.near_leg().view().rtp.rx_packets > 0 && call.legs.holds.is_empty();
    if side.has_failed || !is_asked || call.legs[leg].view().rtp.rx_packets > 0 {
        return None;
    }
    let held = cx.since_answer().min(cx.now.saturating_duration_since(opened));
    let foreign = side.queue.as_ref().map_or(0, |queue| queue.foreign.get());
    let is_late = held >= AGENT_UNHEARD_AFTER || foreign >= FOREIGN_LEAST;
    is_late.then(|| {
        let problem = side.fault.as_ref().map(|(_, text)| redact::addresses(shortened(text)));
        let sent = SentInstead { foreign, problem: problem.as_deref() };
        (leg, Diagnosis::of_agent(&side.agent.name, held, &sent))
    })
}
