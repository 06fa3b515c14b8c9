//! Session timers (RFC 4028): which phones keep them and how, and that a call ends in time whose far end is not there any more,
//! and no other.

use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use trunkgate_phone::{Ending, Sessions, State};

use crate::actions::Action;
use crate::options::Sabotage;
use crate::world::{Happening, World};

/// Past the end of a session, for what is under way: Timer F of a BYE that nobody answers.
const OVER_BY: Duration = Duration::from_secs(40);

/// What a seed says of sessions.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// `session_expires` of the carrier and each trunk, in seconds.
    pub by_edge: [u16; 3],
    /// How each phone keeps its own, in the order of their seats.
    pub by_phones: [Option<Sessions>; 5],
    /// How many times as long as else calls last.
    pub stretch: u32,
    /// A phone of which no SIP comes from some moment on and which none reaches, while it talks on.
    pub deaf: Option<(usize, Duration)>,
}

impl Kept {
    /// What a seed says.
    pub(crate) fn draw(rng: &mut ChaCha12Rng, busy: Duration) -> Kept {
        let phone = |rng: &mut ChaCha12Rng| {
            let sessions = Sessions {
                seconds: [0, 0, 60, 90, 120][rng.random_range(0..5usize)],
                least: [90, 90, 90, 100, 150][rng.random_range(0..5usize)],
                refreshes: rng.random_bool(0.5),
                by_update: rng.random_bool(0.5),
                forgets: rng.random_bool(0.05),
            };
            rng.random_bool(0.6).then_some(sessions)
        };
        Kept {
            by_edge: [(); 3].map(|()| [90, 90, 120, 300, 1800][rng.random_range(0..5usize)]),
            by_phones: [(); 5].map(|()| phone(rng)),
            stretch: if rng.random_bool(0.4) { 10 } else { 1 },
            deaf: rng.random_bool(0.2).then(|| (rng.random_range(0..4usize), busy.mul_f64(rng.random()))),
        }
    }
    /// Whether a phone says that it refreshes, and never does.
    fn is_forgotten(&self) -> bool {
        self.by_phones.iter().flatten().any(|sessions| sessions.forgets)
    }
}

/// Puts into the queue what a seed says.
pub(crate) fn plan(world: &mut World) {
    if let Some((seat, after)) = world.options.sessions.deaf {
        world.at(world.start + after, Happening::Act(Action::Deafen(seat)));
    }
}

/// A phone hears and says no SIP any more: its calls that have agreed on an interval are over in time.
pub(crate) fn deafen(world: &mut World, at: usize) {
    let Some(seat) = world.seats.get_mut(at).filter(|seat| !seat.dead) else { return };
    seat.deaf = world.options.sabotage != Sabotage::DeafPhonesHear;
    let talking = seat.phone.calls().filter(|call| call.state() == State::Talking);
    let kept = talking.filter_map(|call| Some((call.session_seconds()?, call.call_id().to_vec())));
    let kept: Vec<_> = kept.collect();
    for (seconds, call_id) in kept {
        let over = world.now + Duration::from_secs(seconds.into()) + OVER_BY;
        world.summary.deserted += 1;
        world.at(over, Happening::Act(Action::ExpectOver(String::from_utf8_lossy(&call_id).into_owned())));
    }
}

/// The leg of that name is over.
pub(crate) fn expect_over(world: &mut World, call_id: &str) {
    let calls = world.edge.gateway.calls(world.now);
    let live = calls.iter().filter(|call| call.state != "ended").flat_map(|call| &call.legs);
    if live.filter(|leg| leg.state != "ended").any(|leg| leg.sip_call_id == call_id) {
        world.fail(format!("the leg {call_id} goes on, its far end has not refreshed its session"));
    }
}

impl World {
    /// Where nothing was lost, a session is over only where somebody forgot to refresh it.
    pub(crate) fn check_sessions(&self) -> Result<(), String> {
        if self.rough || self.options.sessions.is_forgotten() {
            return Ok(());
        }
        if let Some(sid) = self.expired.first() {
            return Err(format!("the session of {sid} is over, and everybody refreshes"));
        }
        for seat in &self.seats {
            if let Some(call) = seat.phone.calls().find(|call| call.ending() == Some(Ending::SessionExpired)) {
                let name = &seat.phone.config().name;
                return Err(format!("{name} was not refreshed in {:?}", call.number()));
            }
        }
        Ok(())
    }
}

/// Whether it is a change in a dialog, which begins a session anew.
pub(crate) fn is_refresh(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let within = || text.lines().any(|line| line.starts_with("To:") && line.contains(";tag="));
    text.starts_with("UPDATE ") || (text.starts_with("INVITE ") && within())
}
