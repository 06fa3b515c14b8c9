//! Checks a demo call: audio expected at each party against audio received.

use std::time::Duration;

use trunkgate_call::CallView;

use super::agent::AgentConversation;
use super::call::{DemoAgentRole, DemoCallPlan};
use super::party::codec;
use super::quality::{AudioDirection, ExpectedFrames, FrameJournal, PartyMedia};

/// Maximum gap in the caller's audio when an agent is lost.
const LONGEST_GAP: Duration = Duration::from_millis(200);
/// Names of the agents in the output: the one that talks, then the one that listens.
const TALKER: &str = "echo";
const LISTENER: &str = "scribe";

/// Audio of all parties of a demo call.
#[derive(Debug, Default)]
pub(super) struct CallMediaSet {
    /// Name and audio of the caller.
    pub(super) near: (&'static str, PartyMedia),
    /// Whether the caller uses TLS and SRTP.
    pub(super) secure: bool,
    /// Index, name and audio of the phone that answered.
    pub(super) far: Option<(usize, &'static str, PartyMedia)>,
    /// Records of all connections to agents.
    pub(super) agents: Vec<AgentConversation>,
}

/// Returns the agent connection required by the plan; its errors are appended to `problems`.
fn agent_of<'a>(
    plan: &DemoCallPlan,
    parts: &'a CallMediaSet,
    problems: &mut Vec<String>,
) -> Option<&'a AgentConversation> {
    let agent = match (plan.agent, parts.agents.as_slice()) {
        (DemoAgentRole::None, []) => None,
        (DemoAgentRole::Talks { .. } | DemoAgentRole::Listens, [agent]) => Some(agent),
        (_, agents) => {
            problems.push(format!("{} streams to an agent", agents.len()));
            None
        }
    };
    let wrong = agent.into_iter().flat_map(|agent| &agent.problems);
    problems.extend(wrong.map(|problem| format!("agent: {problem}")));
    agent
}

/// Checks each direction of a call; errors are appended to `problems`.
pub(super) fn directions(
    plan: &DemoCallPlan,
    parts: &CallMediaSet,
    journal: &FrameJournal,
    problems: &mut Vec<String>,
) -> Vec<AudioDirection> {
    let mut all = Vec::new();
    let mut judge = |names: (&str, &str), speaker: &PartyMedia, listener: &PartyMedia, share, alone| {
        let (direction, wrong) = AudioDirection::judge(names, speaker, listener, share, alone);
        all.push(direction);
        wrong
    };
    let (near, here) = (parts.near.0, &parts.near.1);
    let killed = matches!(plan.agent, DemoAgentRole::Talks { killed_after: Some(_) });
    let agent = agent_of(plan, parts, problems);
    if agent.is_some_and(|agent| agent.ended_well == killed) {
        problems.push("agent: the stream did not end with stop and 1000".into());
    }
    if let (DemoAgentRole::Talks { .. }, Some(agent)) = (plan.agent, agent) {
        let share = if killed { ExpectedFrames::Head } else { ExpectedFrames::Whole };
        problems.extend(judge((near, TALKER), here, &agent.inbound, share, true));
        // The agent sends the audio it received.
        problems.extend(judge((TALKER, near), here, here, share, false));
    }
    if killed {
        problems.extend(here.continuity.problems(LONGEST_GAP));
    } else if let Some(first) = &here.continuity.first_break {
        problems.push(format!("the caller's stream is broken at {first}"));
    }
    let Some((at, far, there)) = &parts.far else {
        if plan.answered_by.is_some() {
            problems.push("no trunk answered".into());
        }
        return all;
    };
    if Some(*at) != plan.answered_by {
        problems.push(format!("answered by trunk {far}"));
    }
    if plan.converted {
        let (caller, trunk, mulaw) = (codec(parts.secure), codec(false), codec(false));
        let far: &str = far;
        let mut ways = vec![(near, here, far, there, [caller, trunk]), (far, there, near, here, [trunk, caller])];
        if let (DemoAgentRole::Listens, Some(agent)) = (plan.agent, agent) {
            ways.push((near, here, LISTENER, &agent.inbound, [caller, mulaw]));
            ways.push((far, there, LISTENER, &agent.outbound, [trunk, mulaw]));
        }
        for (from, speaker, to, listener, codecs) in ways {
            let (direction, wrong) = AudioDirection::by_ear((from, to), speaker, listener, codecs, journal);
            all.push(direction);
            problems.extend(wrong);
        }
        return all;
    }
    let talked = matches!(plan.agent, DemoAgentRole::Talks { .. });
    let share = if talked { ExpectedFrames::Tail } else { ExpectedFrames::Whole };
    problems.extend(judge((near, far), here, there, share, true));
    problems.extend(judge((far, near), there, here, ExpectedFrames::Whole, !talked));
    if let (DemoAgentRole::Listens, Some(agent)) = (plan.agent, agent) {
        problems.extend(judge((near, LISTENER), here, &agent.inbound, ExpectedFrames::Whole, true));
        problems.extend(judge((far, LISTENER), there, &agent.outbound, ExpectedFrames::Whole, true));
    }
    all
}

/// Checks that the edge's call record agrees with the observed audio and agents.
pub(super) fn edge(plan: &DemoCallPlan, parts: &CallMediaSet, call: Option<&CallView>, problems: &mut Vec<String>) {
    let Some(call) = call else {
        problems.push("the edge has no record of the call".into());
        return;
    };
    if call.outcome != Some("answered") {
        problems.push(format!("the edge's outcome is {:?}, reason {:?}", call.outcome, call.reason));
    }
    let far = parts.far.as_ref().map(|(_, name, side)| (*name, side));
    for (name, side) in std::iter::once((parts.near.0, &parts.near.1)).chain(far) {
        match call.legs.iter().find(|leg| leg.trunk == name) {
            None => problems.push(format!("the edge has no leg of {name}")),
            Some(leg) if leg.rtp.lost > 0 || leg.rtp.rx_packets != side.sent => problems.push(format!(
                "the edge received {} of {name}'s {} packets, {} lost",
                leg.rtp.rx_packets, side.sent, leg.rtp.lost
            )),
            Some(_) => {}
        }
    }
    if let Some(leg) = call.legs.first()
        && (leg.srtp.is_some(), leg.transport == "tls") != (parts.secure, parts.secure)
    {
        problems.push(format!(
            "the caller's leg has the wrong transport ({}) or media encryption ({})",
            leg.transport,
            leg.srtp.unwrap_or("no SRTP")
        ));
    }
    let of_trunks = call.legs.iter().filter(|leg| leg.kind != "agent");
    let codecs: Vec<&str> = of_trunks.map(|leg| leg.codec.as_str()).collect();
    if plan.converted && codecs != [codec(true), codec(false)] {
        problems.push(format!("the edge's legs have {codecs:?}"));
    }
    if matches!(plan.agent, DemoAgentRole::Talks { .. }) && !call.legs.iter().any(|leg| leg.kind == "agent") {
        problems.push("the edge has no leg of the agent".into());
    }
}
