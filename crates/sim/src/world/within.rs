//! Requests of phones in answered calls outside their scripts, at any time: digits, refreshes, holds, re-INVITEs
//! without an offer; and simultaneous hang-ups. The phone is drawn when the request is scheduled.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_phone::{CallNumber, InCallRequest, PhoneCall, PhoneCallState};

use super::actions::WorldAction;
use super::{SimEvent, World};
use crate::options::Sabotage;

/// Request that a phone sends in an answered call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MidCallRequest {
    /// Index of the phone among all phones with an answered call, modulo their number.
    pub(crate) who: usize,
    /// Request to send; `None` lets both phones of the call hang up.
    pub(crate) what: Option<InCallRequest>,
}

/// Schedules requests, drawn from a separate generator.
pub(crate) fn plan(world: &mut World, within: Duration) {
    if world.options.sabotage == Sabotage::PhonesNeverEnd {
        return;
    }
    let mut rng = ChaCha12Rng::seed_from_u64(world.options.seed ^ 0x7769_7468_696e_2121);
    for _ in 0..rng.random_range(0..14) {
        let what = match rng.random_range(0..100) {
            0..20 => Some(InCallRequest::Key),
            20..35 => Some(InCallRequest::Refresh),
            35..60 => Some(InCallRequest::Offerless),
            60..75 => Some(InCallRequest::Hold),
            75..88 => Some(InCallRequest::Resume),
            _ => None,
        };
        let said = MidCallRequest { who: rng.random_range(0..1000), what };
        let at = world.start + within.mul_f64(f64::from(rng.random_range(0..1000u32)) / 1000.0);
        world.at(at, SimEvent::Act(WorldAction::Say(said)));
    }
    for _ in 0..rng.random_range(0..6) {
        let said = MidCallRequest {
            who: rng.random_range(0..1000),
            what: Some(InCallRequest::Offer { holds: rng.random_bool(0.6) }),
        };
        let at = world.start + within.mul_f64(f64::from(rng.random_range(0..1000u32)) / 1000.0);
        world.at(at, SimEvent::Act(WorldAction::Say(said)));
    }
}

/// Sends a scheduled request from the chosen phone.
pub(crate) fn say(world: &mut World, said: MidCallRequest) {
    let now = world.now;
    let offers = matches!(said.what, Some(InCallRequest::Offer { .. }));
    let mut talking: Vec<(usize, CallNumber, String)> = Vec::new();
    for (at, seat) in world.seats.iter().enumerate().filter(|(_, seat)| !seat.dead) {
        // An offer may also be sent before the answer.
        let early = |call: &&PhoneCall| offers && call.state() == PhoneCallState::Ringing && call.is_pracked();
        let calls = seat.phone.calls().filter(|call| call.state() == PhoneCallState::Talking || early(call));
        talking.extend(calls.map(|call| (at, call.number(), call.called().to_owned())));
    }
    let Some((_, number, called)) = talking.get(said.who % talking.len().max(1)).cloned() else { return };
    let Some(what) = said.what else {
        let both = talking.iter().filter(|(.., other)| *other == called);
        world.summary.both_hung_up += u64::from(both.clone().count() > 1);
        for (at, number, _) in both {
            if let Some(seat) = world.seats.get_mut(*at) {
                seat.phone.hang_up(now, *number);
            }
        }
        return;
    };
    let at = talking.get(said.who % talking.len()).map_or(0, |(at, ..)| *at);
    if let Some(seat) = world.seats.get_mut(at) {
        let rings = seat.phone.call(number).is_some_and(|call| call.state() == PhoneCallState::Ringing);
        world.summary.changed_early += u64::from(rings);
        world.summary.said += 1;
        seat.phone.say_within(now, number, what);
    }
}
