//! Session timers (RFC 4028): calls end only if a remote party is unreachable, and then in time.

use std::time::Duration;

use trunkgate_phone::{CallEnding, PhoneCallState};

use super::actions::WorldAction;
use super::{SimEvent, World};
use crate::options::{OversizeTransport, Sabotage};

/// Grace period after a session has expired: Timer F of an unanswered BYE.
const OVER_BY: Duration = Duration::from_secs(40);

/// Schedules the time at which a phone becomes deaf, if the seed has such a phone.
pub(crate) fn plan(world: &mut World) {
    if let Some((seat, after)) = world.options.sessions.deaf {
        world.at(world.start + after, SimEvent::Act(WorldAction::Deafen(seat)));
    }
}

/// Makes a phone deaf to SIP, and schedules checks that its calls with a session timer end.
pub(crate) fn deafen(world: &mut World, at: usize) {
    let Some(seat) = world.seats.get_mut(at).filter(|seat| !seat.dead) else { return };
    seat.deaf = world.options.sabotage != Sabotage::DeafPhonesHear;
    let talking = seat.phone.calls().filter(|call| call.state() == PhoneCallState::Talking);
    let kept = talking.filter_map(|call| Some((call.session_seconds()?, call.call_id().to_vec())));
    let kept: Vec<_> = kept.collect();
    for (seconds, call_id) in kept {
        let over = world.now + Duration::from_secs(seconds.into()) + OVER_BY;
        world.summary.deserted += 1;
        world.at(over, SimEvent::Act(WorldAction::ExpectOver(String::from_utf8_lossy(&call_id).into_owned())));
    }
}

/// Checks that the leg with this Call-ID has ended.
pub(crate) fn expect_over(world: &mut World, call_id: &str) {
    let calls = world.edge.gateway.calls(world.now);
    let live = calls.iter().filter(|call| call.state != "ended").flat_map(|call| &call.legs);
    if live.filter(|leg| leg.state != "ended").any(|leg| leg.sip_call_id == call_id) {
        world.fail(format!("the leg {call_id} goes on, its far end has not refreshed its session"));
    }
}

/// Checks that, without network faults, sessions expire only if a phone omits its refreshes. After a crash, this holds for
/// the calls that continued; requests over a connection of the crashed edge are lost.
pub(crate) fn check(world: &World) -> Result<(), String> {
    let is_connected = world.options.tcp_trunk != 0 || world.options.trust.oversize == OversizeTransport::Taken;
    let is_cut = world.summary.crashes > 0 && is_connected;
    if world.faulty || is_cut || world.options.sessions.is_forgotten() {
        return Ok(());
    }
    let is_checked = |sid: &&String| !world.rough || world.crashes.continued.contains(*sid);
    if let Some(sid) = world.expired.iter().find(is_checked) {
        return Err(format!("the session of {sid} is over, and everybody refreshes"));
    }
    // The phones of calls that a crash has ended are not notified.
    for seat in world.seats.iter().filter(|_| !world.rough && !world.was_frozen()) {
        if let Some(call) = seat.phone.calls().find(|call| call.ending() == Some(CallEnding::SessionExpired)) {
            let name = &seat.phone.config().name;
            return Err(format!("{name} was not refreshed in {:?}", call.number()));
        }
    }
    Ok(())
}

/// Returns whether a message may be a session refresh: a re-INVITE or an UPDATE.
pub(crate) fn is_refresh(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let within = || text.lines().any(|line| line.starts_with("To:") && line.contains(";tag="));
    text.starts_with("UPDATE ") || (text.starts_with("INVITE ") && within())
}
