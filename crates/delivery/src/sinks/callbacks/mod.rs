//! Callbacks: reports of events to applications, delivered at least once, those about one resource in order. Each is written into the store
//! while its first attempt is made, and repeated with the same parameters and idempotency token until a receiver answers 2xx, for 24
//! hours. A thread of their own sends them, so that no receiver delays a call or what a call asks an application for.

mod figures;
mod sender;
mod stored;

use std::sync::Arc;

use tokio::sync::mpsc;
use trunkgate_call::AppCallback;

use crate::webhooks::outcome::{Failure, Reply};
use trunkgate_config::Secret;
use trunkgate_system::limits::CALLBACK_QUEUE;
use trunkgate_system::reach::Reach;

pub use crate::sinks::outbox::Head;
pub use figures::{CallbackFigures, Counts as CallbackCounts, Last as LastFailure};
pub use sender::Callbacks;
pub use stored::{Callback, write};

use crate::sinks::outbox;

/// A callback on its way to the sender.
type Handed = outbox::Handed<AppCallback>;
/// Name of the kind in the store.
const NAME: &str = "callback";

/// A way to the sender.
#[derive(Debug, Clone)]
pub struct Desk {
    callbacks: mpsc::Sender<Handed>,
    figures: Arc<CallbackFigures>,
}

/// A way to the sender for callbacks that the store has; the sender ends with the last [`Desk`] all the same.
#[derive(Debug, Clone)]
pub struct StoredDesk {
    callbacks: mpsc::WeakSender<Handed>,
}

impl StoredDesk {
    /// Hands over a callback. Where the sender has ended, the next start sends it.
    pub async fn hand_over(&self, head: Head) {
        if let Some(callbacks) = self.callbacks.upgrade() {
            let _ = callbacks.send(Handed::Stored(head)).await;
        }
    }

    /// The same on a thread that may wait.
    pub(crate) fn hand_over_blocking(&self, head: Head) {
        if let Some(callbacks) = self.callbacks.upgrade() {
            let _ = callbacks.blocking_send(Handed::Stored(head));
        }
    }
}

/// Callbacks that come by a [`Desk`].
pub type Incoming = mpsc::Receiver<Handed>;

/// Makes the way.
pub fn desk(figures: &Arc<CallbackFigures>) -> (Desk, Incoming) {
    let (callbacks, incoming) = mpsc::channel(CALLBACK_QUEUE);
    (Desk { callbacks, figures: Arc::clone(figures) }, incoming)
}

impl Desk {
    /// Hands a callback over; one too many is dropped and counted.
    pub fn hand_over(&self, callback: Box<AppCallback>) {
        let app = Arc::clone(&callback.app);
        if self.callbacks.try_send(Handed::New(callback)).is_err() {
            self.figures.dropped(&app);
        }
    }

    /// Makes a way for callbacks that the store has.
    pub fn for_stored(&self) -> StoredDesk {
        StoredDesk { callbacks: self.callbacks.downgrade() }
    }
}

/// Result of one attempt, with its number from 1.
pub struct Tried<'a> {
    /// The callback.
    pub callback: &'a Callback,
    /// Number of the attempt, from 1 on.
    pub attempt: u32,
    /// Result of the attempt.
    pub result: Result<Reply, Failure>,
}

/// Parts of the running edge that the sender needs.
pub struct Means {
    /// Returns the addresses that may be reached now and the token that signs now; the argument is the callback's `allow_private`.
    pub sending: Box<dyn Fn(bool) -> (Reach, Option<Secret>) + Send + Sync>,
    /// Counts an attempt and has the trace of its call show it.
    pub tried: Box<dyn Fn(Tried<'_>) + Send + Sync>,
}

#[cfg(test)]
mod tests;
