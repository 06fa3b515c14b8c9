//! Targets that are tried while another side has the caller: an agent's consultation, and the prompt of a warm
//! transfer.

use std::sync::Arc;

use trunkgate_media::agent::WarmTransfer;
use trunkgate_media::{EndId, WireSpec};
use trunkgate_resources::io::QueryId;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_sdp::{SessionDescription, offer_events};

use crate::call::legs::leg_end::EndedBy;
use crate::call::media::CallMedia;
use crate::call::media::judge::MachineDetection;
use crate::call::shared::CallCx;

/// Targets that ring while the caller talks to its agent.
#[derive(Debug, Default)]
pub(crate) struct Consults {
    /// Consultation in progress.
    pub(crate) now: Option<Box<ConsultTarget>>,
    /// Prompt for the party that answers; kept if the agent has left, and used for calls without an agent.
    pub(crate) warm: Option<Box<WarmTransferState>>,
    /// Number of consultations so far; limited, because a consultation that fails before it rings creates no leg.
    pub(crate) begun: usize,
}

/// Target that is tried while an agent has the caller.
#[derive(Debug)]
pub(crate) struct ConsultTarget {
    /// Target as the agent or the HTTP request named it.
    pub(crate) target: String,
    /// Side that requested the consultation: the agent, or the edge for an HTTP request.
    pub(crate) by: EndedBy,
}

/// Warm transfer in progress.
#[derive(Debug)]
pub(crate) struct WarmTransferState {
    pub(crate) settings: WarmTransfer,
    pub(crate) whisper: WhisperSound,
    pub(crate) prompted: Option<PromptedParty>,
}

/// Sound of the whisper of a warm transfer.
#[derive(Debug)]
pub(crate) enum WhisperSound {
    /// The transfer has no whisper.
    Silence,
    /// The sound is being fetched or synthesized.
    Wanted(QueryId),
    /// The sound is ready to be played.
    Ready(Arc<[u8]>),
    /// The sound failed for this reason; no party is connected without it.
    Failed(String),
}

/// Party that has answered and is being prompted.
#[derive(Debug)]
pub(crate) struct PromptedParty {
    pub(crate) leg: LegId,
    /// Wires that will connect the party with the caller.
    pub(crate) wires: Vec<(EndId, (EndId, WireSpec))>,
    /// True once the party has heard the whisper.
    pub(crate) has_heard: bool,
    /// Answering-machine detection of the party.
    pub(crate) judge: Option<MachineDetection>,
    /// True once machine detection has finished, or if there is none.
    pub(crate) is_judged: bool,
    /// True once the party has pressed the digit that accepts; it is connected shortly after, even during the whisper.
    pub(crate) accepts: bool,
}

impl WarmTransferState {
    pub(crate) fn waits_for(&self, query: QueryId) -> bool {
        matches!(self.whisper, WhisperSound::Wanted(wanted) if wanted == query)
    }

    /// Ends the prompt with its timer, its machine detection and its player.
    pub(crate) fn end(mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) {
        self.leave_party(cx, media);
        if let WhisperSound::Wanted(query) = self.whisper {
            cx.edge.give_up(query);
        }
    }

    /// Ends the prompt of the current party; the party of the next target may be prompted again.
    pub(crate) fn leave_party(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) {
        cx.disarm(CallTimer::Asked);
        if let Some(asked) = self.prompted.take() {
            asked.judge.into_iter().for_each(|judge| judge.dismiss(cx));
            media.end_talk_to_called(cx);
        }
    }
}

impl Consults {
    /// Returns whether the caller hears music while a target is tried, instead of its agent or party.
    pub(crate) fn holds_caller(&self) -> bool {
        self.warm.is_some()
    }

    /// Returns the offer for a target. A party that will be prompted is offered telephone-events even if its caller has
    /// none.
    pub(crate) fn offered(&self, mut offer: SessionDescription) -> SessionDescription {
        if self.holds_caller() {
            offer_events(&mut offer);
        }
        offer
    }

    /// Returns the leg of the party that is being prompted.
    pub(crate) fn asked(&self) -> Option<LegId> {
        Some(self.warm.as_ref()?.prompted.as_ref()?.leg)
    }

    /// Returns whether the party on a leg is being prompted.
    pub(crate) fn asks(&self, leg: LegId) -> bool {
        self.asked() == Some(leg)
    }

    /// Returns whether an end belongs to the party that is being prompted.
    pub(crate) fn asks_at(&self, cx: &CallCx<'_>, end: EndId) -> bool {
        self.asked().is_some_and(|leg| cx.call.legs.leg_of(end) == Some(leg))
    }

    /// Returns whether `query` fetches the whisper.
    pub(crate) fn wants_whisper(&self, query: QueryId) -> bool {
        self.warm.as_ref().is_some_and(|warm| warm.waits_for(query))
    }

    /// Removes the waiting agent from the sides of the call, so that it stays as a coach; `None` if it has left.
    pub(crate) fn keep_agent(&mut self, cx: &mut CallCx<'_>) -> Option<(LegId, Box<ConsultTarget>)> {
        let agent = cx.call.legs.callee.filter(|leg| cx.call.legs[*leg].agent.is_some())?;
        let consult = self.now.take()?;
        cx.call.legs.callee = None;
        cx.disarm(CallTimer::HoldCheck);
        Some((agent, consult))
    }

    /// Ends the prompt of a warm transfer. Returns whether a warm transfer was in progress.
    pub(crate) fn end_warm(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) -> bool {
        let Some(warm) = self.warm.take() else { return false };
        warm.end(cx, media);
        true
    }
}
