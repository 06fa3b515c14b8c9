//! Transfers of an agent's caller, requested by the agent or over HTTP.

use trunkgate_resources::limits::ATTEMPTS_PER_CALL;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::CallTarget;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg_end::EndedBy;
use crate::call::program::effects::LowerParts;
use crate::call::search::Search;
use crate::call::search::consults::ConsultTarget;
use crate::call::shared::CallCx;
use crate::call::transfer::effects::TransferEffect;
use crate::call::transfer::warm::{self, TransferMode};
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;

/// Handles an agent's request to transfer its caller.
pub(crate) fn requested_by_agent(
    cx: &mut CallCx<'_>,
    lower: &mut LowerParts<'_>,
    leg: LegId,
    text: &str,
    mode: TransferMode,
) -> TransferEffect {
    let target = target_of(lower.search, cx, leg, text, &mode).and_then(|target| {
        if cx.call.may_go(cx.edge, leg, &target) { Ok(target) } else { Err(RequestRefusal::NotAllowed) }
    });
    match target {
        Ok(target) => {
            let then = mode.condition();
            cx.call.legs.note(cx.now, cx.edge, leg, &format!("transfers the caller to {text}{then}"));
            send_on(cx, lower, leg, (target, text), mode, EndedBy::FarEnd)
        }
        Err(refused) => {
            refuse_agent(cx, leg, text, refused, mode.keeps_agent());
            TransferEffect::Stay
        }
    }
}

/// Notes the reason for a refused transfer in the trace, and reports it to the agent. `stays` is true if the agent
/// would have kept its leg until the target answers; for other transfers only forbidden targets and the hop limit are
/// reported.
fn refuse_agent(cx: &mut CallCx<'_>, leg: LegId, text: &str, refused: RequestRefusal, stays: bool) {
    let is_barred = matches!(refused, RequestRefusal::NotAllowed | RequestRefusal::ForbiddenAddress);
    let why = if refused == RequestRefusal::TooManyTargets {
        "too many transfers: the caller stays".to_owned()
    } else if refused == RequestRefusal::SameAgent {
        format!("transfer to {text}: it already has the caller")
    } else if refused == RequestRefusal::NotAllowed {
        format!("transfer to {text}: refused, not in `transfer_to`")
    } else if refused == RequestRefusal::ForbiddenAddress {
        format!("transfer to {text}: refused, {refused}")
    } else if refused == RequestRefusal::TooManyHops {
        format!("transfer to {text}: {refused}")
    } else if refused == RequestRefusal::BadTarget {
        format!("transfer to {text}: malformed target, or a warm transfer to an agent")
    } else {
        format!("transfer to {text}: unknown target")
    };
    let is_noted = cx.call.legs.note_request(cx.now, cx.edge, leg, &why);
    if is_barred && is_noted {
        let sid = cx.call.legs.sid().to_owned();
        let line = format!(
            "{} may not transfer its caller to {}: {refused}",
            cx.call.legs.name_of(leg),
            cx.edge.shown_name(text)
        );
        cx.edge.warn(&sid, line, None);
    }
    if stays || is_barred || refused == RequestRefusal::TooManyHops {
        cx.report_transfer_failure(leg, text, refused.as_str(), None);
    }
}

/// Handles an HTTP request to transfer the caller of an agent.
///
/// # Errors
/// An application has the call, no agent has the caller, a transfer is in progress, or the target cannot be used
/// ([`target_of`]). The caller stays with the agent.
pub(crate) fn requested(
    cx: &mut CallCx<'_>,
    lower: &mut LowerParts<'_>,
    text: &str,
    mode: TransferMode,
) -> Result<TransferEffect, RequestRefusal> {
    if cx.call.is_programmed {
        return Err(RequestRefusal::NoAgent);
    }
    if cx.call.state == CallState::Rerouting && !lower.search.is_consulting() {
        return Err(RequestRefusal::Transferring);
    }
    let leg = cx.call.legs.callee.filter(|leg| cx.call.legs[*leg].agent.is_some()).ok_or(RequestRefusal::NoAgent)?;
    let target = target_of(lower.search, cx, leg, text, &mode)?;
    let how = if mode.keeps_agent() { "is to be sent" } else { "is sent" };
    cx.call.legs.note(cx.now, cx.edge, leg, &format!("its caller {how} to {text}, as requested"));
    Ok(send_on(cx, lower, leg, (target, text), mode, EndedBy::Edge))
}

/// Puts the target, shown as `text`, in front of the remaining ones, so that the search tries it next. A consultation
/// in progress is withdrawn.
fn send_on(
    cx: &mut CallCx<'_>,
    LowerParts { bridge, search, .. }: &mut LowerParts<'_>,
    leg: LegId,
    (target, text): (CallTarget, &str),
    mode: TransferMode,
    by: EndedBy,
) -> TransferEffect {
    search.withdraw_consult(cx, bridge);
    cx.call.facts.spend_hop();
    search.controller.put_first(target);
    if mode == TransferMode::AtOnce {
        if by == EndedBy::FarEnd {
            cx.call.legs.agent_went_well(cx.edge, leg);
        }
        cx.call.legs[leg].end_with(ReasonSlug::Transferred, by);
        return TransferEffect::AgentLeaves(leg);
    }
    search.consults.begun += 1;
    search.consults.now = Some(Box::new(ConsultTarget { target: text.to_owned(), by }));
    cx.call.enter(CallState::Rerouting);
    if let TransferMode::Warm(settings) = mode {
        warm::begin(cx, &mut search.consults, *settings);
        search.ring_back(cx, bridge);
    }
    TransferEffect::SearchWithAck
}

/// Returns the transfer target of an agent's caller, or of a party in a call between two.
///
/// # Errors
/// The target is invalid, unknown or forbidden, already has the caller, cannot be prompted, or exceeds a limit.
pub(crate) fn target_of(
    search: &Search,
    cx: &mut CallCx<'_>,
    leg: LegId,
    text: &str,
    mode: &TransferMode,
) -> Result<CallTarget, RequestRefusal> {
    let target = search.transfer_target(cx, text)?;
    let (consults, asks) = (mode.keeps_agent(), matches!(mode, TransferMode::Warm(_)));
    if consults && search.consults.begun >= ATTEMPTS_PER_CALL {
        return Err(RequestRefusal::TooManyTargets);
    }
    let has_it = |agent: &trunkgate_route::Agent| {
        cx.call.legs[leg].agent.as_ref().is_some_and(|side| side.agent.name == agent.name)
    };
    match &target {
        // No whisper can be played to an agent.
        CallTarget::Agent(_) if asks => Err(RequestRefusal::BadTarget),
        CallTarget::Agent(agent) if consults && has_it(agent) => Err(RequestRefusal::SameAgent),
        CallTarget::Trunk { .. } | CallTarget::Uri { .. } if cx.call.facts.max_forwards == 0 => {
            Err(RequestRefusal::TooManyHops)
        }
        CallTarget::Agent(_)
        | CallTarget::App(_)
        | CallTarget::Trunk { .. }
        | CallTarget::Uri { .. }
        | CallTarget::Reject(_)
        | CallTarget::RingAll(_) => Ok(target),
    }
}
