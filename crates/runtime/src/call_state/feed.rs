//! Follows the gateway's changes in the signalling loop: each call that changed is written at most once per interval.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use trunkgate_call::gateway::GatewaySnapshot;
use trunkgate_call::{CallKey, Gateway};
use trunkgate_system::clock;

use super::writer::{StateCommand, StateWriter};

/// Interval of writes; the file is behind by at most this time and the writer's own.
const INTERVAL: Duration = Duration::from_millis(20);
/// Shortest interval at which the part that calls share is written.
const SHARED_INTERVAL: Duration = Duration::from_secs(1);
/// The shared part takes at most this fraction of the loop's time: many phones may be registered.
const SHARED_FRACTION: u32 = 200;

/// Source of the state file's changes.
#[derive(Debug)]
pub struct StateFeed {
    writer: StateWriter,
    /// Calls in the file.
    written: HashSet<CallKey>,
    /// Time of the next write of calls.
    next: Instant,
    /// Time of the next write of the shared part.
    shared_at: Instant,
    /// Whether the shared part may have changed since it was written.
    is_shared_changed: bool,
}

impl StateFeed {
    /// Follows a gateway from now on; its calls are written first.
    pub fn new(now: Instant, gateway: &mut Gateway, writer: StateWriter) -> StateFeed {
        gateway.track_changes();
        StateFeed { writer, written: HashSet::new(), next: now, shared_at: now, is_shared_changed: true }
    }

    /// Records that the gateway has handled an event.
    pub fn handled(&mut self) {
        self.is_shared_changed = true;
    }

    /// Returns the time of the next write, if anything waits for one.
    pub fn poll_timeout(&self, gateway: &Gateway) -> Option<Instant> {
        let calls = gateway.has_changes().then_some(self.next);
        calls.into_iter().chain(self.is_shared_changed.then_some(self.shared_at)).min()
    }

    /// Writes what has changed, if the interval is over. `snapshot` returns a call as plain data.
    pub fn write(
        &mut self,
        now: Instant,
        gateway: &mut Gateway,
        mut snapshot: impl FnMut(&mut Gateway, CallKey) -> Option<trunkgate_call::CallSnapshot>,
    ) {
        if self.next <= now && gateway.has_changes() {
            self.next = now + INTERVAL;
            if self.writer.take_behind() {
                gateway.track_changes();
            }
            let at = clock::monotonic();
            for key in gateway.take_changes() {
                match snapshot(gateway, key) {
                    Some(call) => {
                        self.written.insert(key);
                        self.writer.write(StateCommand::Call(key.0, at, Box::new(call)));
                    }
                    // A call in a state that cannot be written keeps its former snapshot.
                    None if gateway.is_live(key) => {}
                    None if self.written.remove(&key) => self.writer.write(StateCommand::Gone(key.0)),
                    None => {}
                }
            }
        }
        if self.is_shared_changed && self.shared_at <= now {
            let began = Instant::now();
            let shared = Box::new(GatewaySnapshot::without_calls(gateway, now));
            self.writer.write(StateCommand::Shared(clock::monotonic(), shared));
            self.is_shared_changed = false;
            self.shared_at = now + SHARED_INTERVAL.max(began.elapsed() * SHARED_FRACTION);
        }
    }

    /// Ends the feed: the file stays for the process that has got the calls, or is removed with the last call.
    pub fn end(self, is_handed_over: bool) {
        if is_handed_over {
            self.writer.keep_file();
        }
    }
}
