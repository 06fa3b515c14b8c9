//! Freezes of the edge: its process does not run for a while (SIGSTOP, a paused virtual machine), and the network goes
//! on. Messages wait in its sockets; on waking it learns how long it was stopped. Freezes have their own random
//! generator, so that the other events of a seed stay unchanged.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_call::GatewayInput;

use super::actions::WorldAction;
use super::{SimEvent, World};
use crate::options::Sabotage;
use crate::places::EDGE;

/// Range of the length of a freeze, in milliseconds: up to more than 64·T1, after which transactions end (RFC 3261
/// §17.1.1.2).
const FROZEN_MS: std::ops::Range<u64> = 1_500..40_000;

/// Freeze in progress, with the events that wait for the edge.
#[derive(Debug)]
struct Freeze {
    began: Instant,
    until: Instant,
    held: Vec<SimEvent>,
}

/// Freezes of a run.
#[derive(Debug)]
pub(crate) struct SimFreezes {
    rng: ChaCha12Rng,
    /// Whether the edge freezes soon after its next INVITE or 200.
    is_armed: bool,
    freeze: Option<Freeze>,
}

impl SimFreezes {
    /// Returns the freezes of a run, none of which has begun.
    pub(crate) fn new(seed: u64) -> SimFreezes {
        SimFreezes { rng: ChaCha12Rng::seed_from_u64(seed ^ 0x6672_6565_7a65_2121), is_armed: false, freeze: None }
    }

    /// Returns the time at which the edge runs again; `None` while it runs.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.freeze.as_ref().map(|freeze| freeze.until)
    }

    /// Keeps an event that needs the edge until it runs again. Returns other events, and all while the edge runs.
    pub(crate) fn pass(&mut self, event: SimEvent) -> Option<SimEvent> {
        match &mut self.freeze {
            Some(freeze) if needs_edge(&event) => {
                // Media that comes too late is not read.
                if !matches!(event, SimEvent::Rtp { .. }) {
                    freeze.held.push(event);
                }
                None
            }
            _ => Some(event),
        }
    }
}

/// Returns whether the edge takes part in an event.
fn needs_edge(event: &SimEvent) -> bool {
    let is_edge = |address: &SocketAddr| address.ip() == EDGE.ip();
    match event {
        SimEvent::ToPhone(..) | SimEvent::ToRegistrar(_) | SimEvent::ToVault(_) => false,
        SimEvent::Rtp { to, .. } => is_edge(to),
        SimEvent::Act(action) => action.needs_edge() || action.configures_edge(),
        SimEvent::ToEdge(..)
        | SimEvent::Lost(_)
        | SimEvent::Agent(..)
        | SimEvent::Told
        | SimEvent::Mix
        | SimEvent::Resolved(..)
        | SimEvent::Answered(..)
        | SimEvent::Record
        | SimEvent::Recorded(_)
        | SimEvent::Recover => true,
    }
}

/// Schedules the freezes of a seed.
pub(crate) fn plan(world: &mut World) {
    for _ in 0..world.options.freezes {
        let at = world.start + world.options.busy.mul_f64(world.freezes.rng.random());
        let is_after_message = world.freezes.rng.random_bool(0.6);
        world.at(at, SimEvent::Act(WorldAction::Freeze { is_after_message }));
    }
}

/// Freezes the edge soon after an INVITE or a 200 that it has sent, if that is due: timers that wait for an answer run.
pub(crate) fn sent(world: &mut World, bytes: &[u8]) {
    if world.freezes.is_armed && (bytes.starts_with(b"INVITE ") || bytes.starts_with(b"SIP/2.0 200")) {
        world.freezes.is_armed = false;
        let after = Duration::from_micros(world.freezes.rng.random_range(50..25_000));
        world.at(world.now + after, SimEvent::Act(WorldAction::Freeze { is_after_message: false }));
    }
}

/// Freezes the edge now, or soon after its next INVITE or 200.
pub(crate) fn freeze(world: &mut World, is_after_message: bool) {
    if is_after_message {
        world.freezes.is_armed = true;
        return;
    }
    if world.edge.is_down() || world.freezes.freeze.is_some() || world.healed {
        return;
    }
    let pause = Duration::from_millis(world.freezes.rng.random_range(FROZEN_MS));
    world.log.line(world.now, format_args!("action  the edge is stopped for {} ms", pause.as_millis()));
    world.summary.freezes += 1;
    world.before.forget();
    let until = world.now + pause;
    // Sessions end later by as much.
    let expected = |event: &SimEvent| matches!(event, SimEvent::Act(WorldAction::ExpectOver(_)));
    let late: Vec<_> = world.queue.extract_if(.., |_, event| expected(event)).collect();
    for ((at, _), event) in late {
        world.at(at + pause * 2, event);
    }
    world.freezes.freeze = Some(Freeze { began: world.now, until, held: Vec::new() });
}

/// Lets the edge run again: it learns of the pause, then reads what waits for it.
pub(crate) fn thaw(world: &mut World) {
    let Some(Freeze { began, held, .. }) = world.freezes.freeze.take() else { return };
    world.log.line(world.now, format_args!("action  the edge runs again"));
    if world.options.sabotage != Sabotage::PausesAreMissed {
        world.edge.gateway.handle_input(world.now, GatewayInput::Paused(world.now - began));
        world.drain_gateway();
    }
    world.edge.gateway.handle_timeout(world.now);
    for event in held {
        world.at(world.now, event);
    }
}
