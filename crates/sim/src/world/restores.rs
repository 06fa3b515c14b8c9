//! Comparison of restored calls with calls that were not interrupted: at some steps, or at every one, a second gateway
//! restores the calls of the first, as after an upgrade, and its calls must be equal. Steps have their own random
//! generator, so that the other events of a seed stay unchanged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use serde_json::Value;
use trunkgate_call::gateway::GatewaySnapshot;

use super::World;
use crate::edge;
use crate::options::SeedOptions;

/// Paths of values that may differ after a restore. Each process has SSRCs of its own under an SRTP key.
const DIFFERENT: [&str; 15] = [
    ".srtp_history.processes",
    ".srtp.own_sources",
    ".srtp.rolled",
    // Connections end with a simulated process, so that agents get new streams, and may fail.
    ".flow.connection",
    ".legs.former",
    ".legs.servers",
    ".media.goodbye",
    ".media.hold",
    ".session.ends_left",
    ".session.next_end",
    ".story.failovers",
    ".targets",
    // Verbs that begin again.
    ".state.Dialling",
    ".state.Queued",
    // An answered call has proved its address.
    ".proof.",
];

/// Number of random steps at which calls are compared, unless every step is.
const STEPS: usize = 2;

/// Steps at which calls are compared.
#[derive(Debug)]
pub(crate) struct RestoreSteps {
    /// Times of the next steps, the latest first.
    times: Vec<Instant>,
    is_every: bool,
}

impl RestoreSteps {
    /// Draws the steps of a seed.
    pub(crate) fn new(options: &SeedOptions, start: Instant) -> RestoreSteps {
        let mut rng = ChaCha12Rng::seed_from_u64(options.seed ^ 0x7265_7374_6f72_6521);
        let busy = options.busy + Duration::from_secs(10);
        let mut times: Vec<Instant> = (0..STEPS).map(|_| start + busy.mul_f64(rng.random())).collect();
        times.sort_unstable_by(|one, other| other.cmp(one));
        RestoreSteps { times, is_every: options.restores_every_step }
    }

    /// Returns whether calls are compared after a step at `now`.
    fn are_due(&mut self, now: Instant) -> bool {
        let is_due = self.times.last().is_some_and(|next| *next <= now);
        if is_due {
            self.times.pop();
        }
        is_due || self.is_every
    }
}

/// Compares all calls with their restored copies, if that is due after this step.
pub(crate) fn check(world: &mut World) -> Result<(), String> {
    if !world.restores.are_due(world.now) || world.edge.is_down() || world.freezes.until().is_some() {
        return Ok(());
    }
    let table = edge::table(&world.options, world.table_version, world.table_is_quiet);
    let before = world.edge.gateway.snapshot(world.now);
    if before.calls.is_empty() {
        return Ok(());
    }
    let (restored, said) = world.edge.restored_copy(world.now, table, &before)?;
    let after = restored.snapshot(world.now);
    let (before, mut after) = (by_sid(&before)?, by_sid(&after)?);
    world.summary.compared += before.len() as u64;
    for (sid, call) in &before {
        // The targets of a caller without a remote party may have left the configuration.
        let has_party = call["targets"].as_array().is_none_or(Vec::is_empty);
        let Some(copy) = after.remove(sid) else {
            if has_party {
                return Err(format!("call {sid} is lost by a restore{said}"));
            }
            continue;
        };
        let mut differences = Vec::new();
        compare("", call, &copy, &mut differences);
        // A Refer begins again.
        differences.retain(|one| !(one.contains("local_cseq") && said.contains("sends REFER")));
        // So does a Dial; its recording too, if that had ended.
        differences.retain(|one| !(one.starts_with(".recorders.recordings.list:") && said.contains("sends INVITE")));
        if !differences.is_empty() {
            return Err(format!("call {sid} is restored with differences: {}{said}", differences.join("; ")));
        }
    }
    match after.keys().next() {
        Some(sid) => Err(format!("a restore has made call {sid}")),
        None => Ok(()),
    }
}

/// Returns the calls of a snapshot as JSON, by SID.
fn by_sid(snapshot: &GatewaySnapshot) -> Result<BTreeMap<String, Value>, String> {
    let of = |call| serde_json::to_value(call).map_err(|error| format!("a call cannot be written: {error}"));
    snapshot.calls.iter().map(|call| Ok((call.sid.clone(), of(call)?))).collect()
}

/// Adds the paths at which two values differ, with both.
fn compare(path: &str, before: &Value, after: &Value, differences: &mut Vec<String>) {
    if before == after || DIFFERENT.iter().any(|part| path.contains(part)) {
        return;
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                compare(&format!("{path}.{key}"), value, after.get(key).unwrap_or(&Value::Null), differences);
            }
            let new = after.iter().filter(|(key, _)| !before.contains_key(*key));
            differences.extend(new.map(|(key, value)| format!("{path}.{key}: new: {value}")));
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (at, (before, after)) in before.iter().zip(after).enumerate() {
                compare(&format!("{path}[{at}]"), before, after, differences);
            }
        }
        _ => differences.push(format!("{path}: {before} became {after}")),
    }
}
