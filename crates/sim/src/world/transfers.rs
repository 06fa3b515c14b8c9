//! Transfers by REFER (RFC 3515) and by operators, with checks that each phone is notified of the result once.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_phone::{CallEnding, InCallRequest, LeaveTime, PhoneCall};
use trunkgate_route::ReferMode;

use super::actions::WorldAction;
use super::within::MidCallRequest;
use super::{SimEvent, World};
use crate::net::NetworkConditions;
use crate::options::Sabotage;
use crate::places::MOBILE_SEAT;

/// Schedules transfers, drawn from a separate generator.
pub(crate) fn plan(world: &mut World, within: Duration) {
    if world.options.sabotage == Sabotage::PhonesNeverEnd {
        return;
    }
    let mut rng = ChaCha12Rng::seed_from_u64(world.options.seed ^ 0x7472_616e_7366_6572);
    for _ in 0..rng.random_range(0..6) {
        let leaving = [LeaveTime::AtOnce, LeaveTime::OnceDone, LeaveTime::Never][rng.random_range(0..3usize)];
        let said = MidCallRequest { who: rng.random_range(0..1000), what: Some(InCallRequest::Transfer(leaving)) };
        let at = world.start + within.mul_f64(f64::from(rng.random_range(0..1000u32)) / 1000.0);
        world.at(at, SimEvent::Act(WorldAction::Say(said)));
    }
}

/// Returns the called numbers of calls that a phone or an operator has transferred.
pub(crate) fn transferred(world: &World) -> BTreeSet<&str> {
    let calls = world.seats.iter().flat_map(|seat| seat.phone.calls());
    let by_phones = calls.filter(|call| call.has_referred()).map(|call| call.called());
    by_phones.chain(world.sent_elsewhere.iter().map(String::as_str)).collect()
}

/// Returns how the edge treats a REFER from the phone with index `seat`.
fn refer_mode(world: &World, seat: usize) -> ReferMode {
    // Both phones of the second trunk share its mode; the phone that registers has its own trunk.
    let mode = world.options.transfers.modes.get(seat.min(2)).filter(|_| seat != MOBILE_SEAT);
    mode.copied().unwrap_or_default()
}

/// Checks that the sender of a REFER receives one final NOTIFY, and no NOTIFY after it.
pub(crate) fn told(world: &World) -> Result<(), String> {
    for seat in &world.seats {
        for told in seat.phone.calls().map(PhoneCall::transfer_progress) {
            let mut ends = told.iter().enumerate().filter(|(_, news)| news.is_last);
            if ends.any(|(at, last)| told.iter().skip(at + 1).any(|news| news.id == last.id)) {
                let name = &seat.phone.config().name;
                return Err(format!("{name} hears more than the end of its transfer: {told:?}"));
            }
        }
    }
    Ok(())
}

/// Checks that, without loss or reordering, the sender of a REFER that the edge handles itself is notified of the
/// result, unless it has already hung up.
pub(crate) fn news(world: &World) -> Result<(), String> {
    if world.rough || world.was_frozen() || world.options.weather != NetworkConditions::CALM {
        return Ok(());
    }
    for (at, seat) in world.seats.iter().enumerate() {
        let is_local = refer_mode(world, at) == ReferMode::Local;
        let stayed = |call: &&PhoneCall| is_local && call.ending() == Some(CallEnding::HungUpThere);
        for call in seat.phone.calls().filter(stayed) {
            let ends = call.transfer_progress().iter().filter(|news| news.is_last).count();
            if ends != call.transfers() as usize {
                let (name, told) = (&seat.phone.config().name, call.transfer_progress());
                return Err(format!("{name} has had {} transfers and has heard {told:?}", call.transfers()));
            }
        }
    }
    Ok(())
}
