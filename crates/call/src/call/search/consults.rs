//! Targets that are tried while another side has the caller: consultation by an agent, and the question to the party of a warm transfer.

use std::sync::Arc;

use trunkgate_media::agent::WarmTransfer;
use trunkgate_media::{EndId, WireSpec};
use trunkgate_resources::io::QueryId;
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_sdp::{Description, offer_events};

use crate::call::legs::leg_end::EndedBy;
use crate::call::media::CallMedia;
use crate::call::media::judge::Judge;
use crate::call::shared::Cx;

/// Targets that ring while the caller talks with its agent.
#[derive(Debug, Default)]
pub(crate) struct Consults {
    /// The one that is under way.
    pub(crate) now: Option<Box<Consult>>,
    /// The question that a party of the target is asked first, also where the agent has left meanwhile or none had the caller.
    pub(crate) warm: Option<Box<Warm>>,
    /// How many there were: one that fails before it rings costs no leg, and none is to be asked for without end.
    pub(crate) begun: usize,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Consult {
    /// Where to, as it was asked for.
    pub(crate) target: String,
    /// Who asked for it: the agent, or a request over HTTP.
    pub(crate) by: EndedBy,
}

/// A warm transfer that is under way.
#[derive(Debug)]
pub(crate) struct Warm {
    pub(crate) settings: WarmTransfer,
    pub(crate) whisper: WhisperSound,
    pub(crate) asked: Option<AskedParty>,
}

/// The sound of a whisper.
#[derive(Debug)]
pub(crate) enum WhisperSound {
    /// None is wanted.
    Silence,
    /// It is fetched or made.
    Wanted(QueryId),
    /// It can be played.
    Ready(Arc<[u8]>),
    /// It could not be made, for this reason: no party is connected without it.
    Failed(String),
}

/// A party that has answered, and is asked.
#[derive(Debug)]
pub(crate) struct AskedParty {
    pub(crate) leg: LegId,
    /// How it is to be connected with the caller.
    pub(crate) wires: Vec<(EndId, (EndId, WireSpec))>,
    /// Whether it has heard the whisper.
    pub(crate) has_heard: bool,
    /// The judge of whether a machine has answered.
    pub(crate) judge: Option<Judge>,
    /// Whether it is known that no machine has answered, or not to be known.
    pub(crate) is_judged: bool,
    /// Whether it has pressed the digit that accepts, and is connected once that is over.
    pub(crate) accepts: bool,
}

impl Warm {
    pub(crate) fn waits_for(&self, query: QueryId) -> bool {
        matches!(self.whisper, WhisperSound::Wanted(wanted) if wanted == query)
    }

    /// Ends what only the question needed: its timer, its detection, the player of the whisper.
    pub(crate) fn end(mut self, cx: &mut Cx<'_>, media: &mut CallMedia) {
        self.leave_party(cx, media);
        if let WhisperSound::Wanted(query) = self.whisper {
            cx.edge.give_up(query);
        }
    }

    /// Ends the question of the party that is asked; the next target may have another one.
    pub(crate) fn leave_party(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia) {
        cx.disarm(Timer::Asked);
        if let Some(asked) = self.asked.take() {
            asked.judge.into_iter().for_each(|judge| judge.dismiss(cx));
            media.end_talk_to_called(cx);
        }
    }
}

impl Consults {
    /// Returns whether the caller hears music while a target is tried, instead of the side that it talked to.
    pub(crate) fn holds_caller(&self) -> bool {
        self.warm.is_some()
    }

    /// Returns what a target is offered of what its caller has agreed on. A party that is asked may press keys, also where its caller has none.
    pub(crate) fn offered(&self, mut offer: Description) -> Description {
        if self.holds_caller() {
            offer_events(&mut offer);
        }
        offer
    }

    /// Returns the leg of the party that is asked.
    pub(crate) fn asked(&self) -> Option<LegId> {
        Some(self.warm.as_ref()?.asked.as_ref()?.leg)
    }

    /// Returns whether the party on a leg is being asked.
    pub(crate) fn asks(&self, leg: LegId) -> bool {
        self.asked() == Some(leg)
    }

    /// Returns whether an end is that of the party that is asked.
    pub(crate) fn asks_at(&self, cx: &Cx<'_>, end: EndId) -> bool {
        self.asked().is_some_and(|leg| cx.call.legs.leg_of(end) == Some(leg))
    }

    /// Returns whether the whisper comes as the answer of this question.
    pub(crate) fn wants_whisper(&self, query: QueryId) -> bool {
        self.warm.as_ref().is_some_and(|warm| warm.waits_for(query))
    }

    /// Takes the agent that has waited out of the call's sides, where it is still there: it is to stay as a coach.
    pub(crate) fn keep_agent(&mut self, cx: &mut Cx<'_>) -> Option<(LegId, Box<Consult>)> {
        let agent = cx.call.legs.callee.filter(|leg| cx.call.legs[*leg].agent.is_some())?;
        let consult = self.now.take()?;
        cx.call.legs.callee = None;
        cx.disarm(Timer::HoldCheck);
        Some((agent, consult))
    }

    /// Ends the question of a warm transfer; returns whether there was one.
    pub(crate) fn end_warm(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia) -> bool {
        let Some(warm) = self.warm.take() else { return false };
        warm.end(cx, media);
        true
    }
}
