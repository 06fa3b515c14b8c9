//! Callbacks: event reports to applications, delivered at least once and in order per resource. A callback is written
//! to the store during its first attempt, and repeated with the same parameters and idempotency token for 24 hours
//! until the receiver responds with 2xx. A separate thread sends callbacks, so that a slow receiver delays neither
//! calls nor their webhook requests.

mod figures;
mod sender;
mod stored;

use std::sync::Arc;

use tokio::sync::mpsc;
use trunkgate_call::AppCallback;

use crate::webhooks::outcome::{WebhookFailure, WebhookReply};
use trunkgate_config::Secret;
use trunkgate_system::limits::CALLBACK_QUEUE;
use trunkgate_system::reach::ReachRules;

pub use crate::sinks::outbox::Head;
pub use figures::{CallbackCounts, CallbackFigures, LastFailure};
pub use sender::CallbackWorker;
pub use stored::{StoredCallback, write};

use crate::sinks::outbox;

/// Callback on its way to the sender.
type QueuedCallback = outbox::Handed<AppCallback>;
/// Name of callbacks among the kinds of the outbox.
const NAME: &str = "callback";

/// Handle that hands new callbacks to the sender without blocking.
#[derive(Debug, Clone)]
pub struct CallbackSender {
    callbacks: mpsc::Sender<QueuedCallback>,
    figures: Arc<CallbackFigures>,
}

/// Handle for callbacks that are already in the store. It does not keep the sender alive.
#[derive(Debug, Clone)]
pub struct StoredCallbackSender {
    callbacks: mpsc::WeakSender<QueuedCallback>,
}

impl StoredCallbackSender {
    /// Hands over a stored callback. If the sender has ended, the next start sends it.
    pub async fn hand_over(&self, head: Head) {
        if let Some(callbacks) = self.callbacks.upgrade() {
            let _ = callbacks.send(QueuedCallback::Stored(head)).await;
        }
    }

    /// Hands over a stored callback from a thread that may block.
    pub(crate) fn hand_over_blocking(&self, head: Head) {
        if let Some(callbacks) = self.callbacks.upgrade() {
            let _ = callbacks.blocking_send(QueuedCallback::Stored(head));
        }
    }
}

/// Receiving end of a [`CallbackSender`], for the thread that delivers callbacks.
pub type CallbackReceiver = mpsc::Receiver<QueuedCallback>;

/// Creates the handle and the receiving end for the sender.
pub fn desk(figures: &Arc<CallbackFigures>) -> (CallbackSender, CallbackReceiver) {
    let (callbacks, incoming) = mpsc::channel(CALLBACK_QUEUE);
    (CallbackSender { callbacks, figures: Arc::clone(figures) }, incoming)
}

impl CallbackSender {
    /// Hands over a callback; if the queue is full, the callback is dropped and counted.
    pub fn hand_over(&self, callback: Box<AppCallback>) {
        let app = Arc::clone(&callback.app);
        if self.callbacks.try_send(QueuedCallback::New(callback)).is_err() {
            self.figures.dropped(&app);
        }
    }

    /// Creates a handle for callbacks already in the store.
    pub fn for_stored(&self) -> StoredCallbackSender {
        StoredCallbackSender { callbacks: self.callbacks.downgrade() }
    }
}

/// Attempt to deliver a callback, with its result.
pub struct CallbackAttempt<'a> {
    /// Callback that the attempt sent.
    pub callback: &'a StoredCallback,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Response with a success status, or the failure.
    pub result: Result<WebhookReply, WebhookFailure>,
}

/// Functions of the running edge used by the sender.
pub struct CallbackHooks {
    /// Returns the reachability rules and the signing token currently in force; the argument is the callback's
    /// `allow_private`.
    pub sending: Box<dyn Fn(bool) -> (ReachRules, Option<Secret>) + Send + Sync>,
    /// Counts an attempt and adds it to the trace of its call.
    pub tried: Box<dyn Fn(CallbackAttempt<'_>) + Send + Sync>,
}

#[cfg(test)]
mod tests;
