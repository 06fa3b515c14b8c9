//! Voice agents that have the caller and send no audio: reported in the call's trace, log and verdict, and recorded for
//! the agent.
//!
//! An agent may listen first, so silence at the beginning is not a fault. An agent is at fault after
//! [`AGENT_UNHEARD_AFTER`] without audio while its caller is heard; also if its messages are for another stream or in
//! no form of its protocol, which the edge drops; and if it sends no audio in several calls in a row whose
//! callers hung up earlier ([`AGENT_SHORT_AFTER`]).

use std::time::Duration;

use trunkgate_media::AgentQueue;
use trunkgate_resources::limits::{AGENT_SHORT_AFTER, AGENT_UNHEARD_AFTER};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_story::diagnosis::{Diagnosis, SentInstead};
use trunkgate_story::redact;
use trunkgate_story::trace::TraceItem;

use crate::call::legs::agents::shortened;
use crate::call::shared::{CallCx, SharedCallState};

/// Minimum number of messages for another stream, or in no form of the protocol, that counts as a fault: 200 ms of
/// audio.
const IN_VAIN_LEAST: u64 = 10;

/// Reports, once, that the agent that has the caller is not heard.
pub(crate) fn look(cx: &mut CallCx<'_>) {
    let is_new = |found: &SilentAgent| cx.call.legs[found.leg].quality.unheard.is_none();
    let Some(found) = silent(cx, false).filter(is_new) else { return };
    let leg = found.leg;
    let found = found.into_diagnosis(cx, 1);
    let name = cx.edge.shown_name(&cx.call.legs.name_of(leg));
    let line = format!("no audio from {name}: {}; try: {}", found.text, found.fix);
    cx.edge.trace(cx.now, cx.call.key, TraceItem::Media { leg: leg.index(), text: line });
    note(cx, leg, found);
}

/// Records for the agent at the end of the call whether it was heard, silent for too long, or silent in another short
/// call. A call too short for a decision is not recorded.
pub(crate) fn settle(cx: &mut CallCx<'_>) {
    let Some(leg) = talker(cx.call) else { return };
    let agent = cx.call.legs[leg].agent.as_ref().filter(|agent| !agent.has_failed && !agent.agent.name.is_empty());
    let name = agent.map(|agent| agent.agent.name.clone());
    let was_noted = cx.call.legs[leg].quality.unheard.is_some();
    let found = silent(cx, true).and_then(|found| match &name {
        Some(name) => {
            let in_row = cx.edge.agents_mut().silent_in_row(name, cx.call.legs.sid(), found.is_proof)?;
            Some(found.into_diagnosis(cx, in_row))
        }
        None => found.is_proof.then(|| found.into_diagnosis(cx, 1)),
    });
    match found {
        Some(found) if !was_noted => note(cx, leg, found),
        Some(found) => cx.call.legs[leg].quality.unheard = Some(Box::new(found)),
        None => {}
    }
    let side = &cx.call.legs[leg];
    if let Some(name) = name
        && (side.rtp().rx_packets > 0 || side.quality.unheard.is_some())
    {
        let unheard = side.quality.unheard.as_deref();
        let earlier = cx.edge.agents_mut().listened(cx.now, &name, cx.call.legs.sid(), unheard);
        // Earlier short calls in the row count as faulty together with this one.
        for sid in earlier {
            cx.edge.recent_mut().note_silent_agent(&sid, &name);
        }
    }
}

/// Stores the diagnosis for the verdict, counts it, and reports it to observers and the log.
fn note(cx: &mut CallCx<'_>, leg: LegId, found: Diagnosis) {
    let name = cx.edge.shown_name(&cx.call.legs.name_of(leg));
    let line = format!("no audio from {name} in an answered call: {}", found.text);
    let fix = found.fix.clone();
    cx.call.legs[leg].quality.unheard = Some(Box::new(found));
    cx.count_silent_agent(leg, line, fix);
}

/// Returns the leg of the agent that has the caller; `None` if the called party is not an agent or only listens.
fn talker(call: &SharedCallState) -> Option<LegId> {
    let leg = call.legs.callee?;
    call.legs[leg].agent.as_ref().filter(|side| !side.listens())?;
    Some(leg)
}

/// An agent that has the caller and was not heard.
struct SilentAgent {
    leg: LegId,
    /// Time for which the agent has had the caller.
    held: Duration,
    /// Number of the agent's messages for another stream, and of messages that its protocol does not define.
    foreign: u64,
    invalid: u64,
    /// Whether this call alone proves a fault.
    is_proof: bool,
    /// Whether the call continues.
    is_up: bool,
}

impl SilentAgent {
    /// Returns the diagnosis. `in_row` is the number of consecutive calls without audio from the agent, including this
    /// one.
    fn into_diagnosis(self, cx: &CallCx<'_>, in_row: u64) -> Diagnosis {
        let side = cx.call.legs[self.leg].agent.as_ref();
        let problem = side.and_then(|side| side.fault.as_ref()).map(|(_, text)| redact::addresses(shortened(text)));
        let in_row = if self.is_proof { 0 } else { in_row };
        let SilentAgent { foreign, invalid, is_up, .. } = self;
        let sent = SentInstead { foreign, invalid, problem: problem.as_deref(), in_row, is_up };
        Diagnosis::of_agent(side.map_or("", |side| &side.agent.name), self.held, &sent)
    }
}

/// Returns the agent if it has sent no audio for [`AGENT_UNHEARD_AFTER`] while its caller was heard, or for
/// [`AGENT_SHORT_AFTER`] if the call ends now (`is_over`), or if the edge had to drop its messages.
fn silent(cx: &CallCx<'_>, is_over: bool) -> Option<SilentAgent> {
    let call = &cx.call;
    let leg = talker(call)?;
    let side = call.legs[leg].agent.as_ref()?;
    let opened = side.opened?;
    if side.has_failed || call.legs[leg].rtp().rx_packets > 0 {
        return None;
    }
    let held = cx.since_answer().min(cx.now.saturating_duration_since(opened));
    let count = |of: fn(&AgentQueue) -> u64| side.queue.as_deref().map_or(0, of);
    let (foreign, invalid) = (count(|queue| queue.foreign.get()), count(|queue| queue.invalid.get()));
    // Without audio from the caller, or on hold, an agent has nothing to answer; undeliverable messages count in any
    // case.
    let is_asked = call.legs.near_leg().rtp().rx_packets > 0 && call.legs.holds.is_empty();
    let is_settled = is_over || held >= AGENT_SHORT_AFTER;
    let is_in_vain = foreign.max(invalid) >= IN_VAIN_LEAST || invalid > 0 && is_settled;
    let is_proof = is_in_vain || is_asked && held >= AGENT_UNHEARD_AFTER;
    let is_short = is_over && is_asked && held >= AGENT_SHORT_AFTER;
    (is_proof || is_short).then_some(SilentAgent { leg, held, foreign, invalid, is_proof, is_up: !is_over })
}
