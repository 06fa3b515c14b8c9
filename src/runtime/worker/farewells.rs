//! The last events of sessions that signalling has closed. They free ports and no more, so signalling is not woken for each:
//! those of a while are handed over together.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use trunkgate_media::{Event, MediaId};

/// How long they may wait for others.
const WHILE: Duration = Duration::from_millis(20);

/// Events that wait.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    events: Vec<(MediaId, Event)>,
    /// When they are handed over.
    due: Option<Instant>,
}

impl Farewells {
    /// Adds the last event of a session.
    pub(super) fn add(&mut self, now: Instant, id: MediaId, event: Event) {
        self.due.get_or_insert(now + WHILE);
        self.events.push((id, event));
    }
    /// Returns when they are to be handed over.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
    /// Hands them over where their time has come.
    pub(super) fn call_due(&mut self, now: Instant, events: &UnboundedSender<(MediaId, Event)>) {
        if self.due.is_some_and(|due| due <= now) {
            self.hand_over(events);
        }
    }
    /// Hands them over now.
    pub(super) fn hand_over(&mut self, events: &UnboundedSender<(MediaId, Event)>) {
        self.due = None;
        for event in self.events.drain(..) {
            // Nobody listens any more when the process ends.
            let _ = events.send(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    #[test]
    fn farewells_of_a_while_are_handed_over_together() {
        let (now, (events, mut told)) = (Instant::now(), unbounded_channel());
        let mut farewells = Farewells::default();
        assert_eq!(farewells.due(), None);
        farewells.add(now, MediaId(1), Event::Closed);
        farewells.add(now + WHILE / 2, MediaId(2), Event::Closed);
        assert_eq!(farewells.due(), Some(now + WHILE));
        farewells.call_due(now + WHILE / 2, &events);
        assert!(told.is_empty());
        farewells.call_due(now + WHILE, &events);
        assert_eq!([told.try_recv(), told.try_recv()], [1, 2].map(|id| Ok((MediaId(id), Event::Closed))));
        assert_eq!((farewells.due(), told.is_empty()), (None, true));
    }
}
