//! Transfers by REFER (RFC 3515): what trunks may do, when their phones ask for one, and that each hears of it once how it
//! ended.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_phone::{Ending, Leaving, PhoneCall, Referred, Within};
use trunkgate_route::ReferMode;

use crate::actions::Action;
use crate::net::Weather;
use crate::options::Sabotage;
use crate::within::Said;
use crate::world::{Happening, MOBILE_SEAT, World};

/// What a seed says of transfers.
#[derive(Debug, Clone, Copy)]
pub struct Transfers {
    /// What the edge does with a REFER of the carrier and of each trunk.
    pub modes: [ReferMode; 3],
    /// What each phone does with one, in the order of their seats.
    pub phones: [Referred; 5],
}

impl Transfers {
    /// What a seed says.
    pub(crate) fn draw(rng: &mut ChaCha12Rng) -> Transfers {
        let mode = |rng: &mut ChaCha12Rng| match rng.random_range(0..10) {
            0..6 => ReferMode::Local,
            6..9 => ReferMode::Relay,
            _ => ReferMode::Refuse,
        };
        let referred = |rng: &mut ChaCha12Rng| match rng.random_range(0..10) {
            0..4 => Referred::Tells(200),
            4..7 => Referred::Tells(486),
            7..9 => Referred::Silent,
            _ => Referred::Refuses,
        };
        Transfers { modes: [(); 3].map(|()| mode(rng)), phones: [(); 5].map(|()| referred(rng)) }
    }
}

/// Puts transfers into the queue; drawn apart from all else.
pub(crate) fn plan(world: &mut World, within: Duration) {
    if world.options.sabotage == Sabotage::PhonesNeverEnd {
        return;
    }
    let mut rng = ChaCha12Rng::seed_from_u64(world.options.seed ^ 0x7472_616e_7366_6572);
    for _ in 0..rng.random_range(0..6) {
        let leaving = [Leaving::AtOnce, Leaving::OnceDone, Leaving::Never][rng.random_range(0..3usize)];
        let said = Said { who: rng.random_range(0..1000), what: Some(Within::Transfer(leaving)) };
        let at = world.start + within.mul_f64(f64::from(rng.random_range(0..1000u32)) / 1000.0);
        world.at(at, Happening::Act(Action::Say(said)));
    }
}

impl World {
    /// Numbers of calls in which somebody has asked for a transfer.
    pub(crate) fn transferred(&self) -> BTreeSet<&str> {
        let calls = self.seats.iter().flat_map(|seat| seat.phone.calls());
        calls.filter(|call| call.has_referred()).map(|call| call.called()).collect()
    }

    /// What the edge does with a REFER of a seat's phone.
    fn refer_mode(&self, seat: usize) -> ReferMode {
        // Both phones of the second trunk are its; the one that registers has a trunk of its own.
        let mode = self.options.transfers.modes.get(seat.min(2)).filter(|_| seat != MOBILE_SEAT);
        mode.copied().unwrap_or_default()
    }

    /// Who has sent a REFER hears once how it ended, and nothing after that.
    pub(crate) fn check_told(&self) -> Result<(), String> {
        for seat in &self.seats {
            for told in seat.phone.calls().map(PhoneCall::news) {
                let mut ends = told.iter().enumerate().filter(|(_, news)| news.is_last);
                if ends.any(|(at, last)| told.iter().skip(at + 1).any(|news| news.id == last.id)) {
                    let name = &seat.phone.config().name;
                    return Err(format!("{name} hears more than the end of its transfer: {told:?}"));
                }
            }
        }
        Ok(())
    }

    /// Where nothing was lost or overtaken, and the edge itself has called the target, it does hear it, unless it has left before.
    pub(crate) fn check_news(&self) -> Result<(), String> {
        if self.rough || self.options.weather != Weather::CALM {
            return Ok(());
        }
        for (at, seat) in self.seats.iter().enumerate() {
            let is_local = self.refer_mode(at) == ReferMode::Local;
            let stayed = |call: &&PhoneCall| is_local && call.ending() == Some(Ending::HungUpThere);
            for call in seat.phone.calls().filter(stayed) {
                let ends = call.news().iter().filter(|news| news.is_last).count();
                if ends != call.transfers() as usize {
                    let (name, told) = (&seat.phone.config().name, call.news());
                    return Err(format!("{name} has had {} transfers and has heard {told:?}", call.transfers()));
                }
            }
        }
        Ok(())
    }
}
