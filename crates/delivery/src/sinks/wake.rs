//! A waker of tasks that look at the store.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Wakes a keeper of tasks, and stops it.
#[derive(Debug, Default)]
pub(super) struct Wake {
    notify: Notify,
    is_stopped: AtomicBool,
}

impl Wake {
    /// Has the keeper look at the store.
    pub(super) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Ends the keeper.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Release);
        self.wake();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    pub(super) async fn woken(&self) {
        self.notify.notified().await;
    }
}
