//! Waker for tasks that read the store.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Wakes or stops a task that reads the store.
#[derive(Debug, Default)]
pub(super) struct TaskWaker {
    notify: Notify,
    is_stopped: AtomicBool,
}

impl TaskWaker {
    /// Wakes the task to read the store.
    pub(super) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Stops the task at its next check.
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
