//! Scripted agents: the actions on each WebSocket that the edge requests.

use std::time::Duration;

use rand::RngExt as _;
use trunkgate_media::agent::StreamLoss;

use super::{SimEvent, World};
use crate::edge::AgentAct;

/// Share of seeds with mostly unreachable agents, which the edge skips: one seed in this many.
const DOWN_IN: u64 = 8;

/// Requests of agents for warm transfers: connected at the answer; after the whisper, if no machine answers; or by a
/// digit, which no phone presses.
const WARM: [&str; 3] = [
    r#"{"event":"transfer","target":"trunk:b","warm":{}}"#,
    r#"{"event":"transfer","target":"trunk:b","warm":{"whisper":{"file":"a.wav"},"detection":true}}"#,
    r#"{"event":"transfer","target":"trunk:b","warm":{"whisper":{"text":"a caller"},"accept":"1","wait":2}}"#,
];

/// Schedules the agents' actions on each WebSocket that the edge has requested.
pub(crate) fn decide(world: &mut World) {
    while let Some(socket) = world.edge.sockets.asked.pop_front() {
        let (first, later) = script(world);
        let opens = Duration::from_millis(world.rng.random_range(1..3000));
        let then = opens + Duration::from_millis(world.rng.random_range(0..15_000));
        let acts = first.map(|act| (opens, act)).into_iter().chain(later.map(|act| (then, act)));
        for (after, act) in acts {
            world.at(world.now + after, SimEvent::Agent(socket, act));
        }
    }
}

/// Returns the first action on a new WebSocket, and a later one.
fn script(world: &mut World) -> (Option<AgentAct>, Option<AgentAct>) {
    let opens = Some(AgentAct::Opens);
    match world.rng.random_range(0..100) {
        0..70 if world.options.seed.is_multiple_of(DOWN_IN) => (Some(AgentAct::Fails(StreamLoss::Unreachable)), None),
        0..8 => (Some(AgentAct::Fails(StreamLoss::Unreachable)), None),
        8..14 => (Some(AgentAct::Fails(StreamLoss::Status(404))), None),
        // The WebSocket never opens, so the edge's own timeout must end the attempt.
        14..20 => (None, None),
        20..34 => (opens, Some(AgentAct::Fails(StreamLoss::Reset))),
        34..42 => (opens, Some(AgentAct::Closes(1011))),
        42..52 => (opens, Some(AgentAct::Closes(1000))),
        52..58 => (opens, Some(AgentAct::GoesDeaf)),
        58..64 => (opens, Some(AgentAct::Says(r#"{"event":"hangup"}"#))),
        64..72 => (opens, Some(AgentAct::Says(r#"{"event":"transfer","target":"trunk:b"}"#))),
        72..76 => (opens, Some(AgentAct::Says(r#"{"event":"transfer","target":"agent:night"}"#))),
        76..79 => (opens, Some(AgentAct::Says(r#"{"event":"transfer","target":"trunk:nowhere"}"#))),
        79..82 => (opens, Some(AgentAct::Says("{nonsense"))),
        82..86 => (opens, Some(AgentAct::Says(r#"{"event":"dtmf","digits":"123#"}"#))),
        86..90 => (opens, Some(AgentAct::Says(r#"{"event":"transfer","target":"trunk:b","consult":true}"#))),
        90..92 => (opens, Some(AgentAct::Says(r#"{"event":"transfer","target":"agent:night","consult":true}"#))),
        92..96 => (opens, Some(AgentAct::Says(WARM[world.rng.random_range(0..WARM.len())]))),
        _ => (opens, None),
    }
}
