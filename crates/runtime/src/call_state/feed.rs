//! Feeds the changes of calls from the signalling loop to the state file.

use std::time::{Duration, Instant};

use trunkgate_call::gateway::{ChangeFeed, ConferenceStates, GatewaySnapshot};
use trunkgate_call::{CallKey, CallSnapshot, Gateway};
use trunkgate_system::clock;

use super::writer::{StateCommand, StateWriter};

/// Minimum interval between two writes of the state that calls share.
const SHARED_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum interval between two writes of the conferences.
const CONFERENCES_INTERVAL: Duration = Duration::from_millis(250);
/// Divisor of the loop's time: at most 1/200 of it is used to write the shared state, which is large with many
/// registered phones, and as much for the conferences.
const SHARED_FRACTION: u32 = 200;

/// Writes the changes of a gateway to the state file.
#[derive(Debug)]
pub struct StateFeed {
    writer: StateWriter,
    calls: ChangeFeed,
    /// Time of the next write of the shared state.
    shared_at: Instant,
    /// Whether the shared state may have changed since it was written.
    is_shared_changed: bool,
    /// Earliest time of the next write of the conferences.
    conferences_at: Instant,
    /// Number of changes of conferences that the file has; `None` if they have to be written.
    conference_changes: Option<u64>,
    /// Whether all calls that the gateway had at first have been queued, so that the file begins.
    is_begun: bool,
}

impl StateFeed {
    /// Follows a gateway from now on; its existing calls are written first.
    pub fn new(now: Instant, gateway: &mut Gateway, writer: StateWriter) -> StateFeed {
        let calls = ChangeFeed::new(now, gateway);
        StateFeed {
            writer,
            calls,
            shared_at: now,
            is_shared_changed: true,
            conferences_at: now,
            conference_changes: None,
            is_begun: false,
        }
    }

    /// Records that the gateway has handled an event.
    pub fn handled(&mut self) {
        self.is_shared_changed = true;
    }

    /// Returns the time of the next write, if anything waits for one.
    pub fn poll_timeout(&self, gateway: &Gateway) -> Option<Instant> {
        let shared = self.is_shared_changed.then_some(self.shared_at);
        let conferences = self.are_conferences_changed(gateway).then_some(self.conferences_at);
        self.calls.poll_timeout().into_iter().chain(shared).chain(conferences).min()
    }

    fn are_conferences_changed(&self, gateway: &Gateway) -> bool {
        self.conference_changes != Some(gateway.conference_changes())
    }

    /// Writes the changes that are due. `snapshot` returns a call as plain data; if it returns `None`, the file keeps
    /// the call's previous snapshot.
    pub fn write(
        &mut self,
        now: Instant,
        gateway: &mut Gateway,
        mut snapshot: impl FnMut(&mut Gateway, CallKey) -> Option<CallSnapshot>,
    ) {
        for key in self.calls.take_ended(gateway) {
            self.writer.write(StateCommand::Gone(key.0));
        }
        let due = self.calls.take_due(now);
        if !due.is_empty() {
            let at = clock::monotonic();
            for key in due {
                if let Some(call) = snapshot(gateway, key) {
                    self.calls.note_written(now, key);
                    self.writer.write(StateCommand::Call(key.0, at, Box::new(call)));
                }
            }
            if self.is_begun && self.writer.take_behind() {
                self.rewrite(now, gateway);
            }
        }
        if self.are_conferences_changed(gateway) && self.conferences_at <= now {
            let began = Instant::now();
            let conferences = Box::new(ConferenceStates::of(gateway, now));
            self.writer.write(StateCommand::Conferences(clock::monotonic(), conferences));
            self.conference_changes = Some(gateway.conference_changes());
            self.conferences_at = now + CONFERENCES_INTERVAL.max(began.elapsed() * SHARED_FRACTION);
        }
        if self.is_shared_changed && self.shared_at <= now {
            let began = Instant::now();
            let shared = Box::new(GatewaySnapshot::of_shared_state(gateway, now));
            self.writer.write(StateCommand::Shared(clock::monotonic(), shared));
            self.is_shared_changed = false;
            self.shared_at = now + SHARED_INTERVAL.max(began.elapsed() * SHARED_FRACTION);
        }
        self.begin(now, gateway);
    }

    /// Lets the file begin once all calls are queued. If some were lost on the way, all are queued again first.
    fn begin(&mut self, now: Instant, gateway: &Gateway) {
        if self.is_begun || self.calls.has_more() {
            return;
        }
        if self.writer.take_behind() {
            self.rewrite(now, gateway);
        } else {
            self.is_begun = true;
            self.writer.begin();
        }
    }

    /// Queues all calls again, because changes were lost.
    fn rewrite(&mut self, now: Instant, gateway: &Gateway) {
        let live = self.calls.begin_again(now, gateway);
        self.writer.write(StateCommand::Only(live.into_iter().map(|key| key.0).collect()));
        self.conference_changes = None;
    }

    /// Ends the feed. After a hand-over the file remains for the process that continues the calls; otherwise it is
    /// removed with the last call.
    pub fn end(self, is_handed_over: bool) {
        if is_handed_over {
            self.writer.keep_file();
        }
    }
}
