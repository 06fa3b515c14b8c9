//! Figures of transcriptions, and what `status` says of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use trunkgate_media::counters::Counter;

use crate::system::problem::{Harm, Problem};
use crate::system::text::number;

/// Figures of all transcriptions since the start.
#[derive(Debug, Default)]
pub(crate) struct TranscriptionFigures {
    /// Transcriptions that wait for the service.
    pub(crate) waiting: Counter,
    /// Transcriptions with a text.
    pub(crate) completed: Counter,
    /// Transcriptions that are given up.
    pub(crate) failed: Counter,
    /// Requests that are repeated.
    pub(crate) retried: Counter,
    /// Service and reason while requests fail.
    trouble: Mutex<Option<String>>,
}

impl TranscriptionFigures {
    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request has failed and is repeated.
    pub(super) fn refused(&self, what: String) {
        self.retried.add(1);
        let mut trouble = self.trouble();
        if trouble.is_none() {
            tracing::warn!(reason = "transcription_failed", "recordings are not transcribed: {what}");
        }
        *trouble = Some(what);
    }

    /// Notes that the service answers.
    pub(super) fn answered(&self) {
        if self.trouble().take().is_some() {
            tracing::info!("recordings are transcribed again");
        }
    }

    /// Returns the problem while requests fail.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let trouble = self.trouble().clone()?;
        let waiting = usize::try_from(self.waiting.get()).unwrap_or(usize::MAX);
        let evidence = format!("{trouble}; {} wait", number(waiting, "transcription"));
        let problem = Problem::new(Harm::Records, "recordings are not transcribed").shown_by(evidence);
        Some(problem.fixed_by("check `url`, `token` and `model` of [transcription]"))
    }
}
