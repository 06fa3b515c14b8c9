//! Scripted speech recognisers. They have their own random generator, so that the other events of a seed stay
//! unchanged.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_media::agent::StreamLoss;

use super::{SimEvent, World};
use crate::edge::AgentAct;

/// Share of seeds that have Gathers with speech: one seed in this many.
const SPEECH_IN: u64 = 2;
/// Verbs that are replaced by a Gather with speech in such a seed.
const ASKS: [&str; 2] =
    ["<Gather numDigits='1' timeout='3'><Say>press a key</Say></Gather>", "<Say loop='2'>hello</Say>"];
const OF_SPEECH: [&str; 3] = [
    "<Gather input='dtmf speech' numDigits='1' timeout='3' partialResultCallback='/partial'><Say>speak</Say></Gather>",
    "<Gather input='speech' timeout='3' speechTimeout='auto'><Say>speak</Say></Gather>",
    "<Gather input='speech' timeout='3' bargeIn='false' speechTimeout='2'><Say>speak</Say></Gather>",
];

const PARTIAL: &str = r#"{"type":"transcription","is_final":false,"alternatives":[{"transcript":"put me"}]}"#;
const FINAL: &str =
    r#"{"type":"transcription","is_final":true,"alternatives":[{"transcript":"Put me through.","confidence":0.9}]}"#;

/// Recognisers of a run, and whether it has any.
#[derive(Debug)]
pub(crate) struct SimRecognisers {
    rng: ChaCha12Rng,
    is_used: bool,
}

impl SimRecognisers {
    /// Returns the recognisers of a run.
    pub(crate) fn new(seed: u64) -> SimRecognisers {
        SimRecognisers { rng: ChaCha12Rng::seed_from_u64(seed ^ 0x6173_7221), is_used: seed.is_multiple_of(SPEECH_IN) }
    }

    /// Replaces a verb of a document by a Gather with speech, at random.
    pub(crate) fn speaking(&mut self, document: String) -> String {
        let asks = ASKS.iter().find(|asks| document.contains(**asks)).filter(|_| self.is_used);
        let Some(asks) = asks else { return document };
        let Some(gather) = OF_SPEECH.get(self.rng.random_range(0..4_usize)) else { return document };
        document.replacen(asks, gather, 1)
    }
}

/// Schedules the recognisers' actions on each WebSocket that the edge has requested.
pub(crate) fn decide(world: &mut World) {
    while let Some(socket) = world.edge.sockets.asked_recognisers.pop_front() {
        world.summary.recognitions += 1;
        let rng = &mut world.recognisers.rng;
        let acts: &[AgentAct] = match rng.random_range(0..100) {
            0..8 => &[AgentAct::Fails(StreamLoss::Unreachable)],
            8..14 => &[AgentAct::Fails(StreamLoss::Status(404))],
            // The WebSocket never opens.
            14..20 => &[],
            20..28 => &[AgentAct::Opens, AgentAct::Fails(StreamLoss::Reset)],
            28..34 => &[AgentAct::Opens, AgentAct::Says(PARTIAL), AgentAct::Closes(1011)],
            34..42 => &[AgentAct::Opens, AgentAct::Says(FINAL), AgentAct::Closes(1000)],
            42..48 => &[AgentAct::Opens, AgentAct::Says("{nonsense")],
            48..52 => &[AgentAct::Opens, AgentAct::Says(r#"{"type":"error","error":"no model"}"#)],
            52..58 => &[AgentAct::Opens, AgentAct::GoesDeaf],
            58..66 => &[AgentAct::Opens],
            _ => &[AgentAct::Opens, AgentAct::Says(PARTIAL), AgentAct::Says(PARTIAL), AgentAct::Says(FINAL)],
        };
        let mut after = Duration::ZERO;
        for act in acts {
            after += Duration::from_millis(world.recognisers.rng.random_range(1..1500));
            world.at(world.now + after, SimEvent::Agent(socket, *act));
        }
    }
}
