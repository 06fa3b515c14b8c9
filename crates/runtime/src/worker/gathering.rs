//! When a worker lets packets and messages gather before it looks at its sockets again.
//!
//! To sleep and to be woken for each is the dearest part of them. Where dozens of agents are on a worker, one comes
//! every few hundred microseconds, and a short pause lets one wake-up serve several: the caller's packet is that much later
//! with its agent, and so much later are packets to callers, which is far below what a network adds. Fewer agents, and relayed
//! calls alone, are served at once.

use std::time::{Duration, Instant};

/// The pause; the system adds its timers' slack, 50 µs.
const PAUSE: Duration = Duration::from_micros(120);
/// How long events are counted before it is decided again.
const WINDOW: Duration = Duration::from_millis(10);
/// Agents' events in a window from which on there is a pause: some thirty agents that speak.
const EVENTS_TO_PAUSE: u32 = 15;

/// How busy a worker's agents keep it.
#[derive(Debug)]
pub(super) struct Gathering {
    events: u32,
    /// When the present window ends.
    until: Instant,
    pauses: bool,
}

impl Gathering {
    /// Nothing has come.
    pub(super) fn new(now: Instant) -> Gathering {
        Gathering { events: 0, until: now + WINDOW, pauses: false }
    }
    /// An agent's socket had something.
    pub(super) fn count(&mut self) {
        self.events = self.events.saturating_add(1);
    }
    /// How long to let things gather now; asked once a turn.
    pub(super) fn pause(&mut self, now: Instant) -> Duration {
        if now >= self.until {
            // A window that lasted longer was a quiet one.
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
        let mut gathering = Gathering::new(start);
        let mut window = |ms, events| {
            (0..events).for_each(|_| gathering.count());
            (gathering.pause(at(ms - 1)), gathering.pause(at(ms)))
        };
        assert_eq!(window(10, EVENTS_TO_PAUSE - 1), (Duration::ZERO, Duration::ZERO));
        assert_eq!(window(20, EVENTS_TO_PAUSE), (Duration::ZERO, PAUSE));
        assert_eq!(window(30, EVENTS_TO_PAUSE - 1), (PAUSE, Duration::ZERO));
        // As many, but of a longer time.
        assert_eq!(window(60, EVENTS_TO_PAUSE).1, Duration::ZERO);
    }
}
