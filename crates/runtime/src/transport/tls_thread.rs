//! The thread on which TLS is spoken: handshakes, and what is encrypted of the connections that come of them. A handshake
//! costs milliseconds of signatures where keys are long, and who begins one need be nobody: calls do not wait for it.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The thread; it ends, and its connections with it, when this is dropped.
#[derive(Debug)]
pub(super) struct TlsThread {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TlsThread {
    pub(super) fn start() -> io::Result<TlsThread> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("tls".into()).spawn(move || {
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(TlsThread { handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Where its tasks are begun.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for TlsThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
