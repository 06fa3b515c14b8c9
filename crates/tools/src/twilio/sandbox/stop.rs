//! Signals that stop a sandbox and the application it started.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Maximum time after a signal for the current call and its report.
const GRACE: Duration = Duration::from_secs(3);
/// Offset of the exit code of a process that a signal ended; the signal's number is added.
const SIGNALLED: u8 = 128;

/// Signal that stops the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopSignal {
    Hangup,
    Interrupt,
    Terminate,
}

impl StopSignal {
    pub(super) fn name(self) -> &'static str {
        match self {
            StopSignal::Hangup => "SIGHUP",
            StopSignal::Interrupt => "SIGINT",
            StopSignal::Terminate => "SIGTERM",
        }
    }

    /// Returns the exit code used by shells for this signal.
    pub(super) fn exit_code(self) -> u8 {
        SIGNALLED
            + match self {
                StopSignal::Hangup => 1,
                StopSignal::Interrupt => 2,
                StopSignal::Terminate => 15,
            }
    }
}

/// First stop signal received, shared by all tasks that wait for it.
#[derive(Debug, Clone)]
pub(super) struct StopReceiver(watch::Receiver<Option<StopSignal>>);

impl StopReceiver {
    /// Begins to handle the signals that stop the sandbox.
    ///
    /// # Errors
    /// Returns the system's error if a signal handler cannot be installed.
    pub(super) fn listen() -> std::io::Result<StopReceiver> {
        let (mut hangup, mut interrupt) = (signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?);
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(None);
        tokio::task::spawn_local(async move {
            loop {
                let came = tokio::select! {
                    Some(()) = hangup.recv() => StopSignal::Hangup,
                    Some(()) = interrupt.recv() => StopSignal::Interrupt,
                    Some(()) = terminate.recv() => StopSignal::Terminate,
                };
                sender.send_modify(|first| *first = first.or(Some(came)));
            }
        });
        Ok(StopReceiver(receiver))
    }

    /// Returns the stop signal; `None` if none was received yet.
    pub(super) fn came(&self) -> Option<StopSignal> {
        *self.0.borrow()
    }

    /// Waits for the first stop signal.
    pub(super) async fn comes(&self) -> StopSignal {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await.map(|came| *came) {
            Ok(Some(came)) => came,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Waits for a signal, and then for [`GRACE`].
    pub(super) async fn is_overdue(&self) -> StopSignal {
        let came = self.comes().await;
        tokio::time::sleep(GRACE).await;
        came
    }
}
