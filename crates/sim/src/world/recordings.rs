//! Recordings of calls, begun and changed by requests. Their chance is their own, so that nothing else of a seed's world shifts by them.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_call::{
    CallRecordings, Channels, Input, RecordingChange, RecordingDone, RecordingRequest, RecordingSource, Refused,
};
use trunkgate_media::RecordingPause;
use trunkgate_media::agent::TrackSet;

use super::{Happening, World};

/// In one seed of so many, calls are recorded.
const RECORDED_IN: u64 = 3;
/// Requests in such a seed.
const REQUESTS: u32 = 24;

/// Chance of requests for recordings.
#[derive(Debug)]
pub(crate) struct Requests {
    rng: ChaCha12Rng,
}

impl Requests {
    /// Those of a seed.
    pub(crate) fn new(seed: u64) -> Requests {
        Requests { rng: ChaCha12Rng::seed_from_u64(seed ^ 0x7265_636f_7264) }
    }
}

/// Puts a seed's requests into the queue.
pub(crate) fn plan(world: &mut World) {
    if !world.options.seed.is_multiple_of(RECORDED_IN) {
        return;
    }
    for _ in 0..REQUESTS {
        let part = f64::from(world.recordings.rng.random_range(0..1000_u32)) / 1000.0;
        world.at(world.start + world.options.busy.mul_f64(part), Happening::Record);
    }
}

/// Asks it of some answered call.
pub(crate) fn ask(world: &mut World) {
    let now = world.now;
    let mut calls = world.edge.gateway.calls(now);
    calls.retain(|call| matches!(call.state, "answered" | "held" | "transferring"));
    let rng = &mut world.recordings.rng;
    let Some(call) = calls.get(rng.random_range(0..calls.len().max(1))) else { return };
    let gateway = &mut world.edge.gateway;
    let pause = if rng.random_bool(0.5) { RecordingPause::Cut } else { RecordingPause::Silence };
    let change = match rng.random_range(0..10) {
        0..2 => RecordingChange::Pause(pause),
        2..4 => RecordingChange::Resume,
        4 => RecordingChange::Stop,
        _ => {
            let tracks = if rng.random_bool(0.8) { TrackSet::Both } else { TrackSet::Inbound };
            let request = RecordingRequest { source: RecordingSource::Request, channels: Channels::Dual, tracks };
            let begun = CallRecordings::of(gateway, &call.sid).begin(now, request);
            world.summary.recordings += u64::from(begun.is_ok());
            if begun == Err(Refused::Internal) {
                world.fail(format!("a recording of {}: a fault of the edge's own", call.sid));
            }
            return;
        }
    };
    // Most have none.
    let _ = CallRecordings::of(gateway, &call.sid).change(now, None, change);
}

/// Tells the gateway of recordings whose files are complete, as a writer does some time later.
pub(crate) fn finish(world: &mut World) {
    while let Some((id, frames)) = world.edge.recorded.finished.pop_front() {
        let error = world.recordings.rng.random_bool(0.1).then(|| "no space left on device".to_owned());
        let done = RecordingDone { id, milliseconds: frames * 20, lost_ms: 0, error };
        let after = Duration::from_millis(world.recordings.rng.random_range(1..3_000));
        world.at(world.now + after, Happening::Recorded(Box::new(done)));
    }
    if let Some(fault) = world.edge.recorded.fault.take() {
        world.fail(fault);
    }
}

/// Tells the gateway so.
pub(crate) fn done(world: &mut World, done: Box<RecordingDone>) {
    world.edge.gateway.handle_input(world.now, Input::Recorded(done));
}
