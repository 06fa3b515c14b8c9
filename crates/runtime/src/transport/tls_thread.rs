//! TLS thread: handshakes and the traffic of TLS connections. A handshake with a long key costs milliseconds of CPU
//! time, and anyone can start one, so it must not delay calls.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// TLS thread; dropping it ends the thread and its connections.
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

    /// Returns the handle by which tasks are started on the thread.
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
