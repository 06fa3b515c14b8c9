//! The media workers: threads that share nothing. Each has its own epoll, its own sockets and its own sessions; a
//! session lives on worker `id % workers` for its whole life.

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use trunkgate_media::{Command, Event, MediaId, WorkerCounters};

/// The running workers.
#[derive(Debug)]
pub struct Workers {}

impl Workers {
    /// Starts `threads` workers (0: one per core). Their events come by the receiver.
    ///
    /// # Errors
    /// The system's, where a thread or an epoll cannot be made.
    pub fn start(threads: usize) -> std::io::Result<(Workers, UnboundedReceiver<(MediaId, Event)>)> {
        let _ = threads;
        unimplemented!()
    }
    /// Hands a command to the session's worker; never waits.
    pub fn send(&self, id: MediaId, command: Command) {
        let _ = (id, command);
        unimplemented!()
    }
    /// Each worker's counters.
    pub fn counters(&self) -> &[Arc<WorkerCounters>] {
        unimplemented!()
    }
    /// Ends the threads after their present turn and waits for them.
    pub fn stop(self) {
        unimplemented!()
    }
}
