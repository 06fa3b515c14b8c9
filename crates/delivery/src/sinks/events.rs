//! Live events for `GET /v1/events` and for charts. Publishing never blocks: a slow listener loses the oldest events
//! and is notified of their number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};
use trunkgate_call::EdgeEvent;
use trunkgate_call::ReasonSlug;

use trunkgate_system::clock;
use trunkgate_system::limits;

/// Number of events after which [`EventChannel::many`] returns, well before a listener would lose the oldest of them.
const MANY: u64 = limits::EVENTS_KEPT as u64 / 4;

/// Event of the edge with its time and number.
#[derive(Debug, Serialize)]
pub struct LiveEvent {
    /// Number of the event, counted from 1 at the start of the edge.
    #[serde(skip)]
    pub id: u64,
    /// Time of the event.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// Change that the event reports.
    #[serde(flatten)]
    pub change: EdgeEvent,
}

/// Serialises a time as RFC 3339 in UTC with milliseconds.
pub fn as_text<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{at:.3}"))
}

/// Broadcast channel of live events.
#[derive(Debug)]
pub struct EventChannel {
    sender: broadcast::Sender<Arc<LiveEvent>>,
    last: AtomicU64,
    many: Notify,
    places: Arc<Semaphore>,
}

/// Subscription of an HTTP client; dropping it makes room for another one.
#[derive(Debug)]
pub struct EventListener {
    /// Receiver of the events.
    pub receiver: broadcast::Receiver<Arc<LiveEvent>>,
    _place: OwnedSemaphorePermit,
}

impl Default for EventChannel {
    fn default() -> EventChannel {
        EventChannel::new()
    }
}

impl EventChannel {
    /// Creates a channel without listeners.
    pub fn new() -> EventChannel {
        let sender = broadcast::Sender::new(limits::EVENTS_KEPT);
        let places = Arc::new(Semaphore::new(limits::EVENT_LISTENERS));
        EventChannel { sender, last: AtomicU64::new(0), many: Notify::new(), places }
    }

    /// Publishes an event to all listeners.
    pub fn tell(&self, change: EdgeEvent) {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        // Sending fails only if there are no listeners.
        let _ = self.sender.send(Arc::new(LiveEvent { id, at: clock::now(), change }));
        if id.is_multiple_of(MANY) {
            self.many.notify_one();
        }
    }

    /// Waits until many further events may have been published, for a listener that need not wake for each one.
    pub async fn many(&self) {
        self.many.notified().await;
    }

    /// Subscribes a listener within the process.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<LiveEvent>> {
        self.sender.subscribe()
    }

    /// Subscribes an HTTP listener; `None` if the limit of listeners is reached.
    pub fn listen(&self) -> Option<EventListener> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(EventListener { receiver: self.subscribe(), _place: place })
    }
}

/// Returns whether a reason is a normal end of an answered call.
pub fn is_usual(reason: &str) -> bool {
    const USUAL: [ReasonSlug; 9] = [
        ReasonSlug::CallerHungUp,
        ReasonSlug::CalleeHungUp,
        ReasonSlug::AgentHungUp,
        ReasonSlug::Operator,
        ReasonSlug::Transferred,
        ReasonSlug::MaxCall,
        ReasonSlug::AppHungUp,
        ReasonSlug::Announced,
        ReasonSlug::VoicemailEnded,
    ];
    USUAL.iter().any(|usual| usual.as_str() == reason)
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::error::RecvError;
    use trunkgate_call::EdgeEventKind;

    use super::*;

    #[tokio::test]
    async fn a_slow_listener_misses_the_oldest_and_is_told_how_many() {
        let events = EventChannel::new();
        let mut slow = events.listen().unwrap().receiver;
        for _ in 0..limits::EVENTS_KEPT + 3 {
            events.tell(EdgeEvent::new(EdgeEventKind::Drain));
        }
        assert!(matches!(slow.recv().await, Err(RecvError::Lagged(3))));
        assert_eq!(slow.recv().await.unwrap().id, 4);
    }

    #[test]
    fn a_place_is_free_again_when_its_listener_has_gone() {
        let events = EventChannel::new();
        let mut all: Vec<_> = (0..limits::EVENT_LISTENERS).map(|_| events.listen().unwrap()).collect();
        assert!(events.listen().is_none());
        all.pop();
        assert!(events.listen().is_some());
    }
}
