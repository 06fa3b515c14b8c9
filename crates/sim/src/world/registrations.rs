//! Invariants of registrations, and of the addresses that were tried for calls that reached no phone.

use trunkgate_phone::{AnswerKind, PhoneCall};

use super::World;
use super::transfers::transferred;
use crate::options::CredentialCheck;
use crate::places::{FORKED, OUT, TRUNK_A_SEAT, TRUNK_B_SEAT, TRUNK_B2_SEAT};

/// Checks that the edge is registered once the network has been ideal for a long time.
pub(crate) fn registered(world: &World) -> Result<(), String> {
    let trust = &world.options.trust;
    let has_first = world.table_version.is_multiple_of(2);
    let wanted = trust.registers && has_first && trust.of_edge[1] != CredentialCheck::Wrong;
    let status = world.edge.gateway.status(world.now);
    let first = status.trunks.iter().find(|trunk| trunk.name == "a");
    let state =
        first.and_then(|trunk| trunk.registrations.registration.as_ref()).map(|registration| registration.state);
    let bound = world.registrar.bound(world.now);
    if wanted && (state != Some("registered") || bound != 1) {
        return Err(format!("the edge is registered as {state:?}, the registrar has {bound} bindings of it"));
    }
    Ok(())
}

/// Checks that no registrations of the edge or of phones are left at the end.
pub(crate) fn bindings(world: &World) -> Result<(), String> {
    let bound = world.registrar.bound(world.now);
    let (leaving, phones) = (world.edge.gateway.leaving_registrations(), world.edge.gateway.registered_phones());
    if bound + leaving + phones != 0 {
        return Err(format!("{bound} bindings at the registrar, {leaving} leaving, {phones} phones are left"));
    }
    Ok(())
}

/// Checks that, without network faults, a call that reached no phone was tried at every address with a phone.
pub(crate) fn reached(world: &World) -> Result<(), String> {
    if world.rough || world.was_frozen() || world.limited {
        return Ok(());
    }
    let trust = &world.options.trust;
    // A phone at a trunk with a wrong password repeats the challenge, and never receives the call.
    let [_, a, b] = trust.of_edge.map(|asked| asked != CredentialCheck::Wrong);
    let seats =
        [(TRUNK_A_SEAT, a && world.table_version == 0), (TRUNK_B_SEAT, b), (TRUNK_B2_SEAT, b && trust.two_phones)];
    let seats: Vec<usize> = seats.into_iter().filter(|(_, answers)| *answers).map(|(at, _)| at).collect();
    // A phone that was silent or sent Retry-After is skipped by the edge for a time.
    let is_shy = |call: &PhoneCall| {
        matches!(call.answer_kind(), Some(AnswerKind::Silent | AnswerKind::Late { .. } | AnswerKind::Rest { .. }))
    };
    // A transferred party was to be connected to another phone.
    let transferred = transferred(world);
    // After a redirection, the contacts replace the other addresses of the target.
    let redirects = |to: &str, call: &PhoneCall| {
        call.called() == to && matches!(call.answer_kind(), Some(AnswerKind::Redirect { .. }))
    };
    let is_redirected =
        |to: &str| world.seats.iter().flat_map(|seat| seat.phone.calls()).any(|call| redirects(to, call));
    let stays = |to: &str| to.starts_with(OUT) && !transferred.contains(to) && !is_redirected(to);
    for (to, reason) in world.unreached.iter().filter(|(to, _)| stays(to)) {
        // Calls with a listening agent are routed to the second trunk only.
        let listened = |at: &usize| to.starts_with(FORKED) && *at == TRUNK_A_SEAT;
        for seat in seats.iter().filter(|at| !listened(at)).filter_map(|at| world.seats.get(*at)) {
            let mut calls = seat.phone.calls();
            if !calls.any(|call| is_shy(call) || (call.called() == to && !call.is_outgoing())) {
                let name = &seat.phone.config().name;
                return Err(format!("the call to {to} ended with {reason}, and {name} was never asked"));
            }
        }
    }
    Ok(())
}
