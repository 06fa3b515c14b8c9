//! Transfers of an agent's caller, requested by the agent or over HTTP.

use trunkgate_resources::limits::ATTEMPTS_PER_CALL;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::Target;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg_end::EndedBy;
use crate::call::program::effects::LowerParts;
use crate::call::search::Search;
use crate::call::search::consults::Consult;
use crate::call::shared::Cx;
use crate::call::transfer::effects::TransferEffect;
use crate::call::transfer::warm::{self, TransferMode};
use crate::call::words::refused::Refused;
use crate::call::words::state::State;

/// Handles an agent's request to transfer its caller.
pub(crate) fn requested_by_agent(
    cx: &mut Cx<'_>,
    lower: &mut LowerParts<'_>,
    leg: LegId,
    text: &str,
    mode: TransferMode,
) -> TransferEffect {
    let target = target_of(lower.search, cx, leg, text, &mode)
        .and_then(|target| if cx.call.may_go(cx.edge, leg, &target) { Ok(target) } else { Err(Refused::NotAllowed) });
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

/// Notes the reason for a refused transfer, and notifies an agent that would otherwise wait; `stays`: the agent still
/// has the caller.
fn refuse_agent(cx: &mut Cx<'_>, leg: LegId, text: &str, refused: Refused, stays: bool) {
    let is_barred = matches!(refused, Refused::NotAllowed | Refused::ForbiddenAddress);
    let why = if refused == Refused::TooManyTargets {
        "too many transfers: the caller stays".to_owned()
    } else if refused == Refused::SameAgent {
        format!("transfer to {text}: it already has the caller")
    } else if refused == Refused::NotAllowed {
        format!("transfer to {text}: refused, not in `transfer_to`")
    } else if refused == Refused::ForbiddenAddress {
        format!("transfer to {text}: refused, {refused}")
    } else if refused == Refused::TooManyHops {
        format!("transfer to {text}: {refused}")
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
    if stays || is_barred || refused == Refused::TooManyHops {
        cx.tell_agent(leg, text, refused.as_str(), None);
    }
}

/// Handles an HTTP request to transfer the caller of an agent.
///
/// # Errors
/// [`Refused`]: the reason why the caller stays.
pub(crate) fn requested(
    cx: &mut Cx<'_>,
    lower: &mut LowerParts<'_>,
    text: &str,
    mode: TransferMode,
) -> Result<TransferEffect, Refused> {
    if cx.call.is_programmed {
        return Err(Refused::NoAgent);
    }
    if cx.call.state == State::Rerouting && !lower.search.is_consulting() {
        return Err(Refused::Transferring);
    }
    let leg = cx.call.legs.callee.filter(|leg| cx.call.legs[*leg].agent.is_some()).ok_or(Refused::NoAgent)?;
    let target = target_of(lower.search, cx, leg, text, &mode)?;
    let how = if mode.keeps_agent() { "is to be sent" } else { "is sent" };
    cx.call.legs.note(cx.now, cx.edge, leg, &format!("its caller {how} to {text}, as requested"));
    Ok(send_on(cx, lower, leg, (target, text), mode, EndedBy::Edge))
}

/// Tries the target; `text` is its name. An earlier consultation is withdrawn.
fn send_on(
    cx: &mut Cx<'_>,
    LowerParts { bridge, search, .. }: &mut LowerParts<'_>,
    leg: LegId,
    (target, text): (Target, &str),
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
    search.consults.now = Some(Box::new(Consult { target: text.to_owned(), by }));
    cx.call.enter(State::Rerouting);
    if let TransferMode::Warm(settings) = mode {
        warm::begin(cx, &mut search.consults, *settings);
        search.ring_back(cx, bridge);
    }
    TransferEffect::SearchWithAck
}

/// Returns the transfer target of an agent's caller, or of a party in a call between two.
///
/// # Errors
/// The transfer to this target is not possible.
pub(crate) fn target_of(
    search: &Search,
    cx: &mut Cx<'_>,
    leg: LegId,
    text: &str,
    mode: &TransferMode,
) -> Result<Target, Refused> {
    let target = search.transfer_target(cx, text)?;
    let (consults, asks) = (mode.keeps_agent(), matches!(mode, TransferMode::Warm(_)));
    if consults && search.consults.begun >= ATTEMPTS_PER_CALL {
        return Err(Refused::TooManyTargets);
    }
    let has_it = |agent: &trunkgate_route::Agent| {
        cx.call.legs[leg].agent.as_ref().is_some_and(|side| side.agent.name == agent.name)
    };
    match &target {
        // No whisper can be played to an agent.
        Target::Agent(_) if asks => Err(Refused::BadTarget),
        Target::Agent(agent) if consults && has_it(agent) => Err(Refused::SameAgent),
        Target::Trunk { .. } | Target::Uri { .. } if cx.call.facts.max_forwards == 0 => Err(Refused::TooManyHops),
        Target::Agent(_)
        | Target::App(_)
        | Target::Trunk { .. }
        | Target::Uri { .. }
        | Target::Reject(_)
        | Target::RingAll(_) => Ok(target),
    }
}
