//! Sweep of a session, once a second: checks silence, quality, and due reports and keep-alive packets.
//! [`Session::poll_packet`](super::Session::poll_packet) generates the packets that are due.

use std::time::{Duration, Instant};

use trunkgate_agent::limits::STANDSTILL;

use crate::limits::SWEEP_INTERVAL;
use crate::spec::EndId;

use super::cx::SessionCx;
use super::end::RtpEnd;
use super::ends::RtpEnds;

/// Schedule of a session's sweeps, and the results of the last one.
#[derive(Debug)]
pub(super) struct SweepSchedule {
    idle_timeout: Duration,
    next: Option<Instant>,
    /// Ends with a silent source that another one may replace; their sockets must accept other sources.
    resting: Vec<EndId>,
    /// Ends with losses since the previous sweep.
    lossy: Vec<EndId>,
}

impl SweepSchedule {
    /// Creates a schedule without a planned sweep.
    pub(super) fn new(idle_timeout_ms: u64) -> SweepSchedule {
        let idle_timeout = Duration::from_millis(idle_timeout_ms);
        SweepSchedule { idle_timeout, next: None, resting: Vec::new(), lossy: Vec::new() }
    }

    /// Sets the idle timeout, in milliseconds.
    pub(super) fn set_idle_timeout(&mut self, idle_timeout_ms: u64) {
        self.idle_timeout = Duration::from_millis(idle_timeout_ms);
    }

    /// Returns the idle timeout, in milliseconds.
    pub(super) fn idle_timeout_ms(&self) -> u64 {
        u64::try_from(self.idle_timeout.as_millis()).unwrap_or(u64::MAX)
    }

    /// Schedules the next sweep, or none while no remote party is known.
    pub(super) fn plan(&mut self, now: Instant, ends: &RtpEnds) {
        if !ends.iter().any(RtpEnd::has_remote) {
            self.next = None;
        } else if self.next.is_none() {
            self.next = now.checked_add(SWEEP_INTERVAL);
        }
    }

    /// Cancels the sweeps.
    pub(super) fn stop(&mut self) {
        self.next = None;
    }

    /// Returns the time of the next sweep; `None` if none is planned.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    /// Sweeps the ends, if due, and schedules the next sweep.
    pub(super) fn handle_timeout(&mut self, cx: &mut SessionCx<'_>, ends: &mut RtpEnds) {
        let Some(due) = self.next.filter(|due| *due <= cx.now) else { return };
        let late = cx.now.saturating_duration_since(due);
        for at in ends.slots() {
            let reports = ends.passes_rtcp_to(at).is_none();
            let Some(end) = ends.get_mut(at) else { continue };
            // This process or its machine stood still; packets sent meanwhile have not been read yet.
            if late >= STANDSTILL {
                end.stood_still(cx.now, late);
            }
            let swept = end.sweep(cx, self.idle_timeout, reports);
            if swept.is_resting {
                self.resting.push(end.id());
            }
            if swept.is_lossy {
                self.lossy.push(end.id());
            }
        }
        for at in ends.slots() {
            if ends.is_sent_to(cx.now, at)
                && let Some(end) = ends.get_mut(at)
            {
                end.report_stop(cx);
            }
        }
        self.next = None;
        self.plan(cx.now, ends);
    }

    /// Removes and returns the next end with a silent source that another one may replace; `None` if there is none.
    pub(super) fn poll_resting(&mut self) -> Option<EndId> {
        self.resting.pop()
    }

    /// Removes and returns the next end with losses since the previous sweep; `None` if there is none.
    pub(super) fn poll_lossy(&mut self) -> Option<EndId> {
        self.lossy.pop()
    }
}
