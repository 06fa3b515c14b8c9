//! Thread that handles HTTP requests, separate from the one that accepts connections, so that slow lists do not delay
//! probes.

use std::future::pending;
use std::io;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::ApiError;
use trunkgate_system::limits;

/// Handle of the request thread, which ends with the last clone.
#[derive(Debug, Clone)]
pub(super) struct RequestThread {
    runtime: Handle,
    /// Limit for the number of concurrent requests that read, because each one keeps its response in memory.
    reading: Arc<Semaphore>,
    _end: Arc<oneshot::Sender<()>>,
}

/// Task that handles a request, and is aborted when the request is dropped.
struct RequestTask(JoinHandle<Response>);

impl Drop for RequestTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RequestThread {
    /// Starts the request thread.
    ///
    /// # Errors
    /// Returns an error if the system cannot create the thread.
    pub(super) fn start() -> io::Result<RequestThread> {
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(16).build()?;
        let (end, ended) = oneshot::channel::<()>();
        let work = RequestThread {
            runtime: runtime.handle().clone(),
            reading: Arc::new(Semaphore::new(limits::HTTP_READING)),
            _end: Arc::new(end),
        };
        std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            // Nothing is ever sent; the thread ends when the sender is dropped.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        Ok(work)
    }
}

/// Handles a request on the request thread; probes are handled on the accepting thread.
pub(super) async fn off_thread(State(work): State<RequestThread>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/healthz" | "/readyz") {
        return next.run(request).await;
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let _permit = match reads {
        true => work.reading.acquire().await.ok(),
        false => None,
    };
    let mut task = RequestTask(work.runtime.spawn(next.run(request)));
    match (&mut task.0).await {
        Ok(response) => response,
        Err(error) if error.is_panic() => {
            let message = "a bug ended the request: please report this with the log of the edge";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message).into_response()
        }
        // The thread has ended only if the process is ending.
        Err(_) => pending().await,
    }
}
