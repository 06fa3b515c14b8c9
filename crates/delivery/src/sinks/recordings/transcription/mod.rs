//! Transcription of recordings, a kind of the outbox: a service gets the audio of a completed recording and returns its
//! text. One transaction writes the transcription and its row; another one writes the text with its callbacks and
//! removes the row. A crash therefore loses none, and an interrupted request is repeated.

mod audio;
mod endpoint;
pub(super) mod figures;
pub(super) mod table;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::task::spawn_blocking;
use trunkgate_call::{TRANSCRIPTION_PURPOSE, TranscriptionReport, TranscriptionRequest};
use trunkgate_recording::age::{AgeIdentities, PayloadKey, Sealer};

use super::drawn;
use super::index::RecordingEntry;
use super::mail;
use super::report::callback_to;
use super::sent::Pace;
use super::shared::{RecordingOpenError, SharedRecordings, on_disk};
use crate::sinks::callbacks::{Head, StoredCallback};
use crate::sinks::outbox::table::Counts;
use crate::sinks::outbox::{self, Event, Intake, Kind, Outcome, Refusal, Row, Settled, Worker};
use trunkgate_config as config;
use trunkgate_system::backoff::Backoff;
use trunkgate_system::clock;
use trunkgate_system::limits::{
    TRANSCRIPTION_FAILED_SECONDS, TRANSCRIPTION_PATIENCE_SECONDS, TRANSCRIPTION_PAUSE_MOST_SECONDS,
    TRANSCRIPTION_PAUSE_SECONDS, TRANSCRIPTION_REPORT_BYTES, TRANSCRIPTION_SECONDS, TRANSCRIPTION_TRIED_SECONDS,
    TRANSCRIPTIONS_AT_ONCE,
};
use trunkgate_system::sids;

pub use table::{Part, Transcription};

use table::{State, Stored};

/// Name of transcriptions among the kinds of the outbox.
const NAME: &str = "transcription";
/// Time for which `status` reports a given-up transcription, in milliseconds.
const FAILED_MILLISECONDS: i64 = TRANSCRIPTION_FAILED_SECONDS.cast_signed() * 1000;
/// Time limits and pauses of requests. In addition, a request may take as long as its recording before `status` reports
/// it.
pub(super) const PACE: Pace = Pace {
    within: Duration::from_secs(TRANSCRIPTION_SECONDS),
    patience: Duration::from_secs(TRANSCRIPTION_PATIENCE_SECONDS),
    backoff: Backoff::new(
        Duration::from_secs(TRANSCRIPTION_PAUSE_SECONDS),
        Duration::from_secs(TRANSCRIPTION_PAUSE_MOST_SECONDS),
    ),
    tried: Duration::from_secs(TRANSCRIPTION_TRIED_SECONDS),
};

/// Returns a pending transcription for a completed recording; `None` if it is not to be transcribed.
///
/// # Errors
/// Returns the system's error if random numbers are unavailable.
pub(super) fn wanted(
    entry: &RecordingEntry,
    settings: Option<&config::TranscriptionSettings>,
) -> io::Result<Option<Transcription>> {
    let Some(settings) = settings.filter(|_| entry.state == super::RecordingState::Completed) else { return Ok(None) };
    if entry.transcription.is_none() && !settings.all {
        return Ok(None);
    }
    let now = clock::now().as_millisecond();
    Ok(Some(Transcription {
        sid: sids::random("TR")?,
        recording: entry.sid.clone(),
        call: entry.call_sid.clone(),
        state: State::InProgress,
        created: now,
        updated: now,
        milliseconds: entry.milliseconds,
        text: None,
        error: None,
        asked: entry.transcription.clone(),
    }))
}

/// Reads a page of transcriptions, newest first.
pub(super) fn list(shared: &SharedRecordings, part: Part, most: usize) -> io::Result<Vec<Transcription>> {
    shared.change(move |store| table::list(store, &part, most))
}

/// Reads a transcription by its SID.
pub(super) fn find(shared: &SharedRecordings, sid: &str) -> io::Result<Option<Transcription>> {
    let sid = sid.to_owned();
    shared.change(move |store| table::find(store, &sid))
}

/// Deletes a transcription; returns whether it existed.
pub(super) fn delete(shared: &SharedRecordings, sid: &str) -> io::Result<bool> {
    let sid = sid.to_owned();
    shared.change(move |store| table::delete(store, &sid))
}

/// Transcript returned by the transcription service.
pub(super) struct Text {
    said: String,
    stored: Stored,
}

/// Data read by [`Kind::settle`], for counters, and for events and callbacks about ended transcriptions.
pub(super) struct Seen {
    counts: Counts,
    /// Transcriptions that have ended.
    ended: Vec<Transcription>,
    /// Stored callbacks about the ended transcriptions.
    reports: Vec<Head>,
}

/// Transcriptions as a kind of deliveries in the outbox.
#[derive(Debug)]
pub(super) struct Transcriber {
    shared: Arc<SharedRecordings>,
    pace: Pace,
}

impl Transcriber {
    pub(super) fn new(shared: Arc<SharedRecordings>, pace: Pace) -> Transcriber {
        Transcriber { shared, pace }
    }

    /// Requests transcriptions until the worker is stopped. An interrupted request is repeated after the next start.
    pub(super) async fn keep(self) {
        let (store, wake) = (self.shared.store.clone(), Arc::clone(&self.shared.transcribing));
        Worker::new(store, self).keep(Intake::Woken(wake)).await;
    }

    fn settings(&self) -> Option<Arc<config::TranscriptionSettings>> {
        self.shared.settings()?.transcription.clone()
    }

    fn refused(&self, what: &str) {
        if self.shared.figures.transcriptions.refused(what.to_owned()) {
            tracing::warn!(
                reason = "transcription_failed",
                "recordings cannot be transcribed at present: {what}; requests are retried, and logged if they are abandoned"
            );
        }
    }
}

impl Kind for Transcriber {
    const NAME: &'static str = NAME;
    const NOUN: &'static str = "transcription";

    type New = Row;
    type Taken = Text;
    type Seen = Seen;

    fn pace(&self) -> outbox::Pace {
        self.pace.of_kind(TRANSCRIPTIONS_AT_ONCE)
    }

    fn most(&self, _: Instant) -> (usize, Option<Instant>) {
        let is_on = self.settings().is_some();
        (if is_on { TRANSCRIPTIONS_AT_ONCE } else { 0 }, None)
    }

    fn row(&self, new: Row, _: i64) -> Option<Row> {
        Some(new)
    }

    async fn attempt(&self, row: &Row, _: u32) -> Result<Text, Refusal> {
        let off = || Refusal::here("the configuration has no [transcription]".to_owned());
        let settings = self.settings().ok_or_else(off)?;
        let recording = row.head.place.clone();
        let read = on_disk(&self.shared, move |shared| Ok(audio_of(shared, &recording))).await;
        let (audio, length) = read.map_err(|error| Refusal::here(error.to_string()))??;
        let figures = &self.shared.figures.transcriptions;
        figures.begin(&row.head.key, self.pace.patience.max(length));
        let said = endpoint::ask(&settings, audio, self.pace.within).await;
        figures.end(&row.head.key);
        let (said, recording) = (said?, self.shared.settings());
        let key = recording.as_ref().and_then(|settings| settings.key.as_deref());
        let stored = sealed(&said, key).map_err(|error| Refusal::here(error.to_string()))?;
        Ok(Text { said, stored })
    }

    fn note(&self, _: &str, _: &Arc<str>, event: Event<'_>) {
        match event {
            Event::Over(_, true) => {
                if self.shared.figures.transcriptions.answered() {
                    tracing::info!("the transcription service responds again");
                }
            }
            Event::Failed(_, Refusal { what, .. }, _) | Event::GivenUp(_, Refusal { what, is_final: false, .. }) => {
                self.refused(what);
            }
            Event::GivenUp(..)
            | Event::Entered(_)
            | Event::Dropped
            | Event::MadeWay(_)
            | Event::Retried
            | Event::Over(_, false) => {}
        }
    }

    fn stored(&self, done: &io::Result<()>, _: &Path) {
        if let Some(error) = self.shared.figures.transcriptions.stored(done) {
            tracing::error!(
                reason = "transcription_failed",
                "transcriptions wait, because the store cannot be read or written: {error}"
            );
        }
    }

    fn settle(&self, store: &Connection, settled: &[Settled<Text>]) -> rusqlite::Result<Seen> {
        let now = clock::now().as_millisecond();
        let (mut ended, mut reports) = (Vec::new(), Vec::new());
        for (sid, outcome) in settled {
            // A transcription that was deleted meanwhile stays deleted.
            let pending = table::find(store, sid)?.filter(|one| one.state == State::InProgress);
            let Some(next) = pending.map(|one| concluded(one, outcome, now)) else { continue };
            table::update(store, &next)?;
            if next.state == State::InProgress {
                continue;
            }
            outbox::table::hasten(store, mail::NAME, &next.recording, now)?;
            let said = if let Outcome::Delivered(text) = &**outcome { Some(text.said.as_str()) } else { None };
            reports.extend(super::report::write(store, &reports_of(&self.shared, &next, said))?);
            ended.push(next);
        }
        let counts = outbox::table::counts(store, NAME, now.saturating_sub(FAILED_MILLISECONDS))?;
        Ok(Seen { counts, ended, reports })
    }

    fn seen(&self, Seen { counts, ended, reports }: Seen) {
        let figures = &self.shared.figures.transcriptions;
        figures.seen(counts);
        if ended.is_empty() {
            return;
        }
        self.shared.mailing.wake();
        for Transcription { sid, recording, call, state, error, .. } in ended {
            if state == State::Completed {
                figures.completed.add(1);
                tracing::info!(%call, "recording {recording} is transcribed: {sid}");
            } else {
                figures.failed.add(1);
                let why = error.unwrap_or_default();
                tracing::warn!(%call, reason = "transcription_failed", "recording {recording} is not transcribed: {why}");
            }
        }
        let shared = Arc::clone(&self.shared);
        spawn_blocking(move || shared.reports.hand_over(reports));
    }
}

/// Reads the audio of a recording, and the duration of the recording.
fn audio_of(shared: &SharedRecordings, recording: &str) -> Result<(audio::Audio, Duration), Refusal> {
    let failed = |is_final: bool, what: String| Refusal { is_final, ..Refusal::here(what) };
    let (entry, mut reader) = shared.open(recording).map_err(|error| {
        let is_final = matches!(error, RecordingOpenError::Absent | RecordingOpenError::Deleted);
        failed(is_final, error.to_string())
    })?;
    let audio = audio::read(&entry, &mut reader)
        .map_err(|error| failed(error.kind() == io::ErrorKind::FileTooLarge, error.to_string()))?;
    Ok((audio, Duration::from_millis(entry.milliseconds)))
}

/// Returns a pending transcription with the outcome of its row applied.
fn concluded(one: Transcription, outcome: &Outcome<Text>, now: i64) -> Transcription {
    let (state, updated, error) = match outcome {
        Outcome::Delivered(text) => {
            let text = Some(text.stored.clone());
            return Transcription { state: State::Completed, updated: now, text, error: None, ..one };
        }
        Outcome::Failed(failure) => (State::InProgress, failure.at, failure.error.as_str()),
        Outcome::GivenUp(failure) => (State::Failed, failure.at, failure.error.as_str()),
        Outcome::Dropped => (State::Failed, now, "too many transcriptions wait"),
    };
    Transcription { state, updated, error: Some(error.to_owned()), ..one }
}

/// Returns the callbacks about an ended transcription: to the receiver in its request, and to the receiver for all
/// recordings.
fn reports_of(shared: &SharedRecordings, one: &Transcription, text: Option<&str>) -> Vec<StoredCallback> {
    let links = shared.reports.links();
    let text = text.map(|text| cut(text, TRANSCRIPTION_REPORT_BYTES));
    let (sid, recording, call) = (one.sid.as_str(), one.recording.as_str(), one.call.as_str());
    let report = TranscriptionReport { sid, recording, call, text, request: one.asked.as_ref() };
    let parameters = report.parameters(&links);
    let own = one.asked.as_ref().and_then(TranscriptionRequest::receiver);
    let created = clock::now().as_microsecond();
    let callback =
        |receiver| callback_to(receiver, (call, recording), TRANSCRIPTION_PURPOSE, parameters.clone(), created);
    links.receivers(own.as_ref()).map(callback).collect()
}

/// Returns the first `most` bytes of a text, rounded down to a character boundary.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// Returns a text in its stored form, encrypted if a key is configured.
fn sealed(text: &str, key: Option<&AgeIdentities>) -> io::Result<Stored> {
    let Some(by) = drawn::encryption(key)? else { return Ok(Stored::Plain(text.to_owned())) };
    let mut bytes = Vec::new();
    let sealer = Sealer::new(by.recipient, &by.randomness, &mut bytes);
    let mut sealer = sealer.ok_or_else(|| io::Error::other("the text is not encrypted"))?;
    sealer.push(text.as_bytes(), &mut bytes);
    sealer.finish(&mut bytes);
    Ok(Stored::Sealed(bytes))
}

/// Returns the text of a transcription; `None` if it has none.
pub(super) fn opened(one: &Transcription, key: Option<&AgeIdentities>) -> Result<Option<String>, RecordingOpenError> {
    let sealed = match &one.text {
        None => return Ok(None),
        Some(Stored::Plain(text)) => return Ok(Some(text.clone())),
        Some(Stored::Sealed(sealed)) => sealed,
    };
    let payload =
        PayloadKey::open(sealed, key.ok_or(RecordingOpenError::NoKey)?).map_err(RecordingOpenError::Refused)?;
    let text = payload.open_all(sealed).map_err(RecordingOpenError::Refused)?;
    String::from_utf8(text).map(Some).map_err(|_| RecordingOpenError::Refused(super::reader::OPEN))
}

#[cfg(test)]
mod tests;
