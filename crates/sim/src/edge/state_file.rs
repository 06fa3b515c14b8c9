//! State of calls that outlives a crash of the edge, with the contents and the delays of the state file of the product:
//! calls are written by its schedule, and the part that calls share at most every second.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use trunkgate_call::gateway::{ChangeFeed, ConferenceStates, GatewaySnapshot};
use trunkgate_call::{CallKey, CallSnapshot, CrashGap, Gateway};

/// Interval of writes of the part that calls share.
const SHARED_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of writes of the conferences.
const CONFERENCES_INTERVAL: Duration = Duration::from_millis(250);
/// Fields of a snapshot that change without an event of the call: audio figures, times until the snapshot, removed
/// ends that the worker has still to close, and the CSeq of requests that the endpoint answers alone.
const MOVING: [&str; 11] = [
    "answered_ms",
    "ends_left",
    "figures",
    "held_ms",
    "leaves_in_ms",
    "ran_ms",
    "refresh_ms",
    "remote_cseq",
    "scores",
    "talked_ms",
    "waited",
];

/// Snapshot of a call or of the conferences as it was written.
#[derive(Debug)]
struct WrittenState {
    at: Instant,
    json: String,
}

/// State file of one process of the edge.
#[derive(Debug)]
pub(crate) struct StateFile {
    calls: BTreeMap<CallKey, WrittenState>,
    shared: Option<String>,
    feed: ChangeFeed,
    /// Time of the next write of the shared part.
    shared_at: Instant,
    /// Whether the shared part may have changed since it was written.
    is_shared_changed: bool,
    conferences: Option<WrittenState>,
    /// Time of the next write of the conferences.
    conferences_at: Instant,
    /// Number of changes of conferences that the file has.
    conference_changes: u64,
    /// Whether changes of calls that are in the file are missed: a fault for tests.
    misses_changes: bool,
}

/// Calls that a crashed process has left.
#[derive(Debug)]
pub(crate) struct LeftCalls {
    calls: Vec<WrittenState>,
    shared: Option<String>,
    conferences: Option<WrittenState>,
}

impl StateFile {
    /// Follows a gateway from now on; its calls are written first.
    pub(crate) fn follow(now: Instant, gateway: &mut Gateway, misses_changes: bool) -> StateFile {
        StateFile {
            calls: BTreeMap::new(),
            shared: None,
            feed: ChangeFeed::new(now, gateway),
            shared_at: now,
            is_shared_changed: true,
            conferences: None,
            conferences_at: now,
            conference_changes: 0,
            misses_changes,
        }
    }

    /// Follows the gateway of a new process, which replaces the file.
    pub(crate) fn start_over(&mut self, now: Instant, gateway: &mut Gateway) {
        *self = StateFile::follow(now, gateway, self.misses_changes);
    }

    /// Notes that the gateway has handled an event.
    pub(crate) fn handled(&mut self) {
        self.is_shared_changed = true;
    }

    /// Returns the time of the next write; `None` if there is nothing to write.
    pub(crate) fn poll_timeout(&self, gateway: &Gateway) -> Option<Instant> {
        let shared = self.is_shared_changed.then_some(self.shared_at);
        let conferences = (self.conference_changes != gateway.conference_changes()).then_some(self.conferences_at);
        self.feed.poll_timeout().into_iter().chain(shared).chain(conferences).min()
    }

    /// Writes the changes, if the interval is over.
    ///
    /// # Errors
    /// Returns a message if a snapshot cannot be written.
    pub(crate) fn write(&mut self, now: Instant, gateway: &mut Gateway) -> Result<(), String> {
        for key in self.feed.take_ended(gateway) {
            self.calls.remove(&key);
        }
        for key in self.feed.take_due(now) {
            if self.misses_changes && self.calls.contains_key(&key) {
                continue;
            }
            // A call in a state that cannot be written keeps its former snapshot.
            if let Some(call) = gateway.snapshot_call(now, key) {
                self.feed.note_written(now, key);
                self.calls.insert(key, WrittenState { at: now, json: written(&call)? });
            }
        }
        if self.is_shared_changed && self.shared_at <= now {
            self.shared = Some(written(&GatewaySnapshot::of_shared_state(gateway, now))?);
            self.is_shared_changed = false;
            self.shared_at = now + SHARED_INTERVAL;
        }
        if self.conference_changes != gateway.conference_changes() && self.conferences_at <= now {
            self.conferences = Some(WrittenState { at: now, json: written(&ConferenceStates::of(gateway, now))? });
            self.conference_changes = gateway.conference_changes();
            self.conferences_at = now + CONFERENCES_INTERVAL;
        }
        Ok(())
    }

    /// Checks that only calls whose change is still to be written differ from the file.
    ///
    /// # Errors
    /// Returns a message on the first call that differs although no change of it was listed, that has ended, or that is
    /// missing in the file.
    pub(crate) fn check(&mut self, now: Instant, gateway: &mut Gateway) -> Result<(), String> {
        for key in self.feed.take_ended(gateway) {
            self.calls.remove(&key);
        }
        if self.conference_changes == gateway.conference_changes() {
            let current = comparable(&written(&ConferenceStates::of(gateway, now))?)?;
            let file = match &self.conferences {
                Some(state) => comparable(&state.json)?,
                None => comparable(&written(&ConferenceStates::default())?)?,
            };
            if let Some(place) = difference(&file, &current) {
                return Err(format!("conferences have changed, and the state file has not: {place}"));
            }
        }
        let keys: BTreeSet<CallKey> = self.calls.keys().copied().chain(gateway.call_keys()).collect();
        for key in keys.iter().filter(|key| !self.feed.is_waiting(**key)) {
            let current = gateway.snapshot_call(now, *key);
            match (self.calls.get(key), current) {
                (None, None) => {}
                (Some(_), None) if gateway.is_live(*key) => {}
                (Some(_), None) => return Err(format!("{key:?} has ended, and the state file has it")),
                (None, Some(call)) => return Err(format!("call {} is answered, and not in the state file", call.sid)),
                (Some(file), Some(call)) => {
                    let (file, call) = (comparable(&file.json)?, comparable(&written(&call)?)?);
                    if let Some(place) = difference(&file, &call) {
                        return Err(format!("{key:?} has changed, and the state file has not: {place}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the contents of the file after a crash.
    pub(crate) fn into_left(self) -> LeftCalls {
        let StateFile { calls, shared, conferences, .. } = self;
        LeftCalls { calls: calls.into_values().collect(), shared, conferences }
    }
}

impl LeftCalls {
    /// Reads the calls for a process that starts now. With `is_counted`, they are restored as after a crash, otherwise
    /// as in an upgrade.
    ///
    /// # Errors
    /// Returns a message if a snapshot cannot be read.
    pub(crate) fn read(self, now: Instant, is_counted: bool) -> Result<GatewaySnapshot, String> {
        let mut snapshot = match self.shared {
            Some(json) => read(&json)?,
            None => GatewaySnapshot::default(),
        };
        if let Some(WrittenState { at, json }) = self.conferences {
            snapshot.conferences = read(&json)?;
            if is_counted {
                snapshot.conferences.outlive_crash(CrashGap::new(0, now.saturating_duration_since(at)));
            }
        }
        for WrittenState { at, json } in self.calls {
            let mut call: CallSnapshot = read(&json)?;
            if is_counted {
                call.outlive_crash(CrashGap::new(0, now.saturating_duration_since(at)));
            }
            snapshot.calls.push(call);
        }
        Ok(snapshot)
    }
}

fn written(value: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| format!("snapshot cannot be written: {error}"))
}

fn read<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| format!("snapshot cannot be read: {error}"))
}

/// Returns a snapshot without the fields that change by themselves.
fn comparable(json: &str) -> Result<Value, String> {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !MOVING.contains(&name.as_str()));
                fields.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut value = read(json)?;
    strip(&mut value);
    Ok(value)
}

/// Returns the path of the first difference between two values, with both.
fn difference(file: &Value, call: &Value) -> Option<String> {
    match (file, call) {
        (Value::Object(file), Value::Object(call)) => {
            let names: BTreeSet<&String> = file.keys().chain(call.keys()).collect();
            names.into_iter().find_map(|name| {
                let found = difference(file.get(name).unwrap_or(&Value::Null), call.get(name).unwrap_or(&Value::Null));
                found.map(|rest| format!("{name}.{rest}"))
            })
        }
        (Value::Array(file), Value::Array(call)) if file.len() == call.len() => {
            let mut items = file.iter().zip(call).enumerate();
            items.find_map(|(at, (file, call))| Some(format!("{at}.{}", difference(file, call)?)))
        }
        (file, call) => (file != call).then(|| format!(" {file} is now {call}")),
    }
}
