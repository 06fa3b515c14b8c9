//! Execution of effects: a lower part, a recorder, a transfer or a program returns an effect for actions in the parts
//! beside and above it.

use std::sync::Arc;

use trunkgate_resources::lookups::key::Branch;
use trunkgate_route::App;

use crate::call::parts::CallParts;
use crate::call::parts::detached::DetachedParty;
use crate::call::parts::operator::RemoteParties;
use crate::call::parts::takeover::Takeover;
use crate::call::program::CallProgram;
use crate::call::program::effects::{LowerParts, ProgramEffect};
use crate::call::recorders::RecorderEffect;
use crate::call::recorders::recording::{self, RecordingAnnouncement};
use crate::call::shared::{CallCx, CallEffect};
use crate::call::transfer::effects::TransferEffect;
use crate::call::transfer::warm;
use crate::call::words::refused::RequestRefusal;

/// Runs a function of the call's program, and carries out its effect.
pub(crate) fn in_program(
    parts: &mut CallParts,
    cx: &mut CallCx<'_>,
    act: impl FnOnce(&mut CallProgram, &mut CallCx<'_>, &mut LowerParts<'_>) -> ProgramEffect,
) {
    act(&mut parts.program, cx, &mut LowerParts::of(&mut parts.bridge, &mut parts.search, &mut parts.recorders))
        .act(parts, cx);
}

/// Gives a call to an application on request, and carries out the program's effect.
///
/// # Errors
/// The application cannot get the call ([`Takeover::begin`]); the call continues unchanged.
pub(crate) fn take_over(parts: &mut CallParts, cx: &mut CallCx<'_>, app: Arc<App>) -> Result<(), RequestRefusal> {
    let lower = &mut LowerParts::of(&mut parts.bridge, &mut parts.search, &mut parts.recorders);
    let effect = Takeover { app }.begin(cx, &mut parts.program, lower, parts.requested.as_deref_mut())?;
    effect.act(parts, cx);
    Ok(())
}

/// Takes the party of a Dial out of its call, for a call of its own.
///
/// # Errors
/// The party cannot leave ([`DetachedParty::take`]); it stays in the call.
pub(crate) fn take_party_out(
    parts: &mut CallParts,
    cx: &mut CallCx<'_>,
    sid: &str,
) -> Result<DetachedParty, RequestRefusal> {
    let lower = &mut LowerParts::of(&mut parts.bridge, &mut parts.search, &mut parts.recorders);
    DetachedParty::take(&mut parts.program, cx, lower, sid)
}

impl CallEffect {
    /// Carries out the next step that a part has returned.
    pub(crate) fn act(self, parts: &mut CallParts, cx: &mut CallCx<'_>) {
        match self {
            CallEffect::Stay => {}
            CallEffect::End(reason) => parts.end(cx, reason),
            CallEffect::Refuse(answer) => parts.refuse(cx, &answer),
            CallEffect::Canceled => parts.caller_withdrew_answered(cx),
            CallEffect::Search => parts.search_on(cx),
            CallEffect::CallerSpoke { first, answer } => {
                let next = parts.search.caller_spoke(cx, &mut parts.bridge, first);
                if let Some(answer) = answer {
                    parts.bridge.negotiation.record_second_answer(cx.call);
                    cx.answer_request(cx.call.legs.near, answer.server, &answer.ours);
                }
                next.act(parts, cx);
            }
            CallEffect::SaidAgain(said) => parts.search.said_again(&said),
            CallEffect::OutsiderLeft(leg) => parts.transfers.referrer_left(cx, &mut parts.bridge.media, leg),
            CallEffect::Unacknowledged(code) => parts.end_unacknowledged(cx, code),
        }
    }
}

impl TransferEffect {
    /// Carries out the effect of a transfer.
    pub(crate) fn act(self, parts: &mut CallParts, cx: &mut CallCx<'_>) {
        match self {
            TransferEffect::Stay => {}
            TransferEffect::End(reason) => parts.end(cx, reason),
            TransferEffect::Advance => parts.advance(cx, None),
            TransferEffect::SearchWithAck => parts.search_on_with_ack(cx),
            TransferEffect::AgentLeaves(leg) => parts.go_on(cx, leg, None),
            TransferEffect::Accepted => {
                let is_programmed = parts.program.is_running();
                let lower = &mut LowerParts::of(&mut parts.bridge, &mut parts.search, &mut parts.recorders);
                warm::accept(cx, lower, &mut parts.transfers, is_programmed).act(parts, cx);
            }
            TransferEffect::Declined(failure, by) => {
                let lower = &mut LowerParts::of(&mut parts.bridge, &mut parts.search, &mut parts.recorders);
                warm::decline(cx, lower, *failure, by).act(parts, cx);
            }
            TransferEffect::Joined(leg) => {
                in_program(parts, cx, |program, cx, lower| program.side_joined(cx, lower, leg, None));
            }
            TransferEffect::TargetFailed(branch, result) => parts.fail_target(cx, branch, *result),
        }
    }
}

impl RecorderEffect {
    /// Carries out the effect of a recorder.
    pub(crate) fn act(self, parts: &mut CallParts, cx: &mut CallCx<'_>) {
        match self {
            RecorderEffect::Next(next) => next.act(parts, cx),
            RecorderEffect::Recorded(input) => {
                parts.program.with_run(|run| run.record_event(cx.now, input)).act(parts, cx);
            }
            RecorderEffect::Announce(RecordingAnnouncement { parties, name, sound }) => {
                let remote = RemoteParties::of(cx, parts);
                let why = "because the call is recorded";
                let sound = (name.as_str(), &sound);
                let played = remote.and_then(|remote| remote.play(cx, &mut parts.bridge, &parties, sound, why));
                recording::announced(cx, played);
            }
        }
    }
}

impl ProgramEffect {
    /// Carries out the effect of a program.
    pub(crate) fn act(self, parts: &mut CallParts, cx: &mut CallCx<'_>) {
        match self {
            ProgramEffect::Stay => {}
            ProgramEffect::Run => {
                // The effects of a step are carried out before the next step.
                while let Some(effect) = parts
                    .program
                    .run_steps(cx, &mut LowerParts::of(&mut parts.bridge, &mut parts.search, &mut parts.recorders))
                {
                    effect.act(parts, cx);
                }
            }
            ProgramEffect::Next(next) => next.act(parts, cx),
            ProgramEffect::Advance => parts.advance(cx, None),
            ProgramEffect::NotConnected(result) => parts.advance(cx, Some(*result)),
            ProgramEffect::TargetFailed(result) => parts.fail_target(cx, Branch::ALONE, *result),
            ProgramEffect::SideLeft(reason) => parts.side_left(cx, reason),
        }
    }
}
