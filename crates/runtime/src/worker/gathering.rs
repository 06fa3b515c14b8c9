//! Short pauses that let packets and messages accumulate before a worker checks its sockets again.
//!
//! Wake-ups dominate the cost of packets and messages. With dozens of agents on a worker, a message arrives every few
//! hundred microseconds, and a short pause lets one wake-up handle several. This delays packets to agents and callers
//! by the pause, far less than network jitter. With fewer agents, or only relayed calls, there is no pause.

use std::time::{Duration, Instant};

/// Duration of the pause; the kernel adds its timer slack of 50 µs.
const PAUSE: Duration = Duration::from_micros(120);
/// Interval over which events are counted for the decision.
const WINDOW: Duration = Duration::from_millis(10);
/// Minimum number of agent events per window for a pause, equivalent to about thirty speaking agents.
const EVENTS_TO_PAUSE: u32 = 15;

/// Event rate of a worker's agents.
#[derive(Debug)]
pub(super) struct AgentEventRate {
    events: u32,
    /// End of the current window.
    until: Instant,
    pauses: bool,
}

impl AgentEventRate {
    /// Starts with no events.
    pub(super) fn new(now: Instant) -> AgentEventRate {
        AgentEventRate { events: 0, until: now + WINDOW, pauses: false }
    }

    /// Counts an event of an agent's socket towards the rate.
    pub(super) fn count(&mut self) {
        self.events = self.events.saturating_add(1);
    }

    /// Returns the pause before this turn's wait; zero at a low event rate. Call it once per turn.
    pub(super) fn pause(&mut self, now: Instant) -> Duration {
        if now >= self.until {
            // A longer window had a lower rate.
            let lasted = now.saturating_duration_since(self.until) + WINDOW;
            self.pauses = lasted < 2 * WINDOW && self.events >= EVENTS_TO_PAUSE;
            (self.events, self.until) = (0, now + WINDOW);
        }
        if self.pauses { PAUSE } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_busy_with_agents_pauses() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut gathering = AgentEventRate::new(start);
        let mut window = |ms, events| {
            (0..events).for_each(|_| gathering.count());
            (gathering.pause(at(ms - 1)), gathering.pause(at(ms)))
        };
        assert_eq!(window(10, EVENTS_TO_PAUSE - 1), (Duration::ZERO, Duration::ZERO));
        assert_eq!(window(20, EVENTS_TO_PAUSE), (Duration::ZERO, PAUSE));
        assert_eq!(window(30, EVENTS_TO_PAUSE - 1), (PAUSE, Duration::ZERO));
        // The same number of events in a longer time.
        assert_eq!(window(60, EVENTS_TO_PAUSE).1, Duration::ZERO);
    }
}
