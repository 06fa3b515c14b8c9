//! Transcription of recordings: a task sends the audio of completed recordings to a service and stores the texts.
//! Pending transcriptions are in the store, so a crash loses none; an interrupted request is repeated.

mod audio;
mod endpoint;
mod figures;
pub(super) mod table;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use trunkgate_call::{TRANSCRIPTION_PURPOSE, TranscriptionReport, TranscriptionRequest};
use trunkgate_recording::age::{Identities, Payload, Sealer};

use super::drawn;
use super::index::Entry;
use super::mail;
use super::report::callback_to;
use super::shared::{NotOpened, Shared, on_disk};
use super::under_way::UnderWay;
use crate::sinks::callbacks::Callback;
use crate::sinks::outbox;
use trunkgate_config as config;
use trunkgate_system::backoff::Backoff;
use trunkgate_system::clock;
use trunkgate_system::limits::{
    TRANSCRIPTION_FAILED_SECONDS, TRANSCRIPTION_PATIENCE_SECONDS, TRANSCRIPTION_PAUSE_MOST_SECONDS,
    TRANSCRIPTION_PAUSE_SECONDS, TRANSCRIPTION_REPORT_BYTES, TRANSCRIPTION_SECONDS, TRANSCRIPTION_TRIED_SECONDS,
    TRANSCRIPTIONS_AT_ONCE,
};
use trunkgate_system::sids;

pub(crate) use figures::TranscriptionFigures;
pub use table::{Part, Transcription};

use endpoint::NoText;
use table::{State, Stored, Waiting};

/// Maximum time between two reads of the store.
const LOOK: Duration = Duration::from_secs(60);

/// Times of requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Maximum duration of a request.
    pub(super) within: Duration,
    /// Time without a response after which `status` reports it, unless the recording is longer.
    pub(super) patience: Duration,
    /// Intervals between retries.
    pub(super) backoff: Backoff,
    /// Age at which a transcription is given up.
    pub(super) tried: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        let seconds = Duration::from_secs;
        Pace {
            within: seconds(TRANSCRIPTION_SECONDS),
            patience: seconds(TRANSCRIPTION_PATIENCE_SECONDS),
            backoff: Backoff::new(seconds(TRANSCRIPTION_PAUSE_SECONDS), seconds(TRANSCRIPTION_PAUSE_MOST_SECONDS)),
            tried: seconds(TRANSCRIPTION_TRIED_SECONDS),
        }
    }
}

/// Returns the pending transcription of a complete recording, if it is to be transcribed.
///
/// # Errors
/// Returns the system's error if random numbers are unavailable.
pub(super) fn wanted(entry: &Entry, settings: Option<&config::Transcription>) -> io::Result<Option<Transcription>> {
    let Some(settings) = settings.filter(|_| entry.state == super::State::Completed) else { return Ok(None) };
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
        attempts: 0,
        due: now,
        text: None,
        error: None,
        asked: entry.transcription.clone(),
    }))
}

/// Reads a page of the list.
pub(super) fn list(shared: &Shared, part: Part, most: usize) -> io::Result<Vec<Transcription>> {
    shared.change(move |store| table::list(store, &part, most))
}

/// Reads a transcription.
pub(super) fn find(shared: &Shared, sid: &str) -> io::Result<Option<Transcription>> {
    let sid = sid.to_owned();
    shared.change(move |store| table::find(store, &sid))
}

/// Deletes a transcription; returns whether it existed.
pub(super) fn delete(shared: &Shared, sid: &str) -> io::Result<bool> {
    let sid = sid.to_owned();
    shared.change(move |store| table::delete(store, &sid))
}

/// Task that requests the texts.
#[derive(Debug)]
pub(super) struct Transcriber {
    shared: Arc<Shared>,
    pace: Pace,
}

impl Transcriber {
    pub(super) fn new(shared: Arc<Shared>, pace: Pace) -> Transcriber {
        Transcriber { shared, pace }
    }

    /// Transcribes until it is stopped; interrupted requests are repeated after the next start.
    pub(super) async fn keep(self) {
        let mut under_way = UnderWay::new(TRANSCRIPTIONS_AT_ONCE);
        while !self.shared.transcribing.is_stopped() {
            let pause = self.begin(&mut under_way).await;
            tokio::select! {
                () = under_way.ended() => {}
                () = self.shared.transcribing.woken() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Starts due requests up to the concurrency limit; returns the time until the next check.
    async fn begin(&self, under_way: &mut UnderWay) -> Duration {
        let settings = self.shared.settings().and_then(|settings| settings.transcription.clone());
        let Some(settings) = settings.filter(|_| self.shared.store.has_any()) else { return LOOK };
        let now = clock::now().as_millisecond();
        // Requests under way are also due.
        let most = TRANSCRIPTIONS_AT_ONCE;
        let failed_since = now.saturating_sub(milliseconds(Duration::from_secs(TRANSCRIPTION_FAILED_SECONDS)));
        let read = move |store: &rusqlite::Connection| table::waiting(store, now, failed_since, most);
        let waiting = on_disk(&self.shared, move |shared| shared.change(read));
        let waiting = match waiting.await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(reason = "transcription_failed", "the list of transcriptions is not read: {error}");
                return LOOK;
            }
        };
        self.shared.figures.transcriptions.seen(&waiting);
        let Waiting { due, next, .. } = waiting;
        for one in due {
            let sid = one.sid.clone();
            under_way.begin(&sid, transcribe(Arc::clone(&self.shared), settings.clone(), self.pace, one));
        }
        let left = next.map(|next| Duration::from_millis(u64::try_from(next - now).unwrap_or(0)));
        left.unwrap_or(LOOK).min(LOOK)
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Makes one request and stores the result.
async fn transcribe(shared: Arc<Shared>, settings: Arc<config::Transcription>, pace: Pace, one: Transcription) {
    let recording = one.recording.clone();
    let read = on_disk(&shared, move |shared| Ok(audio_of(shared, &recording))).await;
    let result = match read {
        Ok(Ok(audio)) => {
            let attempts = &shared.figures.transcriptions.attempts;
            attempts.begin(&one.sid, pace.patience.max(Duration::from_millis(one.milliseconds)));
            let result = endpoint::ask(&settings, audio, pace.within).await;
            attempts.end(&one.sid);
            result
        }
        Ok(Err(no)) => Err(no),
        Err(error) => Err(NoText::Yet(error.to_string(), None)),
    };
    let sid = one.sid.clone();
    let stored = on_disk(&shared, move |shared| conclude(shared, pace, one, result)).await;
    if let Err(error) = stored {
        // The transcription is still pending, and the request is repeated.
        tracing::error!(reason = "transcription_failed", "transcription {sid} is not stored: {error}");
        tokio::time::sleep(pace.backoff.pause(1, u32::MAX)).await;
    }
}

fn audio_of(shared: &Shared, recording: &str) -> Result<audio::Audio, NoText> {
    let (entry, mut reader) = shared.open(recording).map_err(|error| match error {
        NotOpened::Absent | NotOpened::Deleted => NoText::Ever(error.to_string()),
        NotOpened::InProgress
        | NotOpened::Incomplete(_)
        | NotOpened::Cut { .. }
        | NotOpened::NoKey
        | NotOpened::Refused(_)
        | NotOpened::Io(_) => NoText::Yet(error.to_string(), None),
    })?;
    audio::read(&entry, &mut reader).map_err(|error| {
        if error.kind() == io::ErrorKind::FileTooLarge {
            NoText::Ever(error.to_string())
        } else {
            NoText::Yet(error.to_string(), None)
        }
    })
}

/// Stores the text, the time of the next request, or the permanent failure. A transcription deleted meanwhile stays
/// deleted.
fn conclude(shared: &Shared, pace: Pace, one: Transcription, result: Result<String, NoText>) -> io::Result<()> {
    let now = clock::now().as_millisecond();
    let figures = &shared.figures.transcriptions;
    let attempts = one.attempts.saturating_add(u32::from(result.is_err()));
    let mut next = Transcription { updated: now, attempts, ..one.clone() };
    let mut said = None;
    match result {
        Ok(text) => {
            figures.answered();
            let settings = shared.settings();
            let key = settings.as_ref().and_then(|settings| settings.key.as_deref());
            next = Transcription { state: State::Completed, text: Some(sealed(&text, key)?), error: None, ..next };
            said = Some(text);
        }
        Err(NoText::Yet(what, later)) => {
            figures.refused(what.clone());
            let pause = pace.backoff.pause(attempts, rand::random()).max(later.unwrap_or_default());
            next.due = now.saturating_add(milliseconds(pause));
            next.error = Some(what);
            if now - one.created >= milliseconds(pace.tried) {
                next.state = State::Failed;
            }
        }
        Err(NoText::Ever(what)) => {
            next.error = Some(what);
            next.state = State::Failed;
        }
    }
    let state = next.state;
    let reports = if state == State::InProgress { Vec::new() } else { reports(shared, &next, said.as_deref()) };
    let changed = next.clone();
    let written = shared.change(move |store| {
        if !table::update(store, &changed)? {
            return Ok(None);
        }
        if changed.state != State::InProgress {
            outbox::table::hasten(store, mail::NAME, &changed.recording, now)?;
        }
        super::report::write(store, &reports).map(Some)
    })?;
    let Some(heads) = written else { return Ok(()) };
    if state != State::InProgress {
        shared.mailing.wake();
    }
    let Transcription { sid, recording, call, error, .. } = next;
    match state {
        State::InProgress => {}
        State::Completed => {
            figures.completed.add(1);
            tracing::info!(%call, "recording {recording} is transcribed: {sid}");
        }
        State::Failed => {
            figures.failed.add(1);
            let why = error.unwrap_or_default();
            tracing::warn!(%call, reason = "transcription_failed", "recording {recording} is not transcribed: {why}");
        }
    }
    shared.reports.hand_over(heads);
    Ok(())
}

/// Returns the callbacks of an ended transcription: to its own receiver, and to the receiver of all recordings.
fn reports(shared: &Shared, one: &Transcription, text: Option<&str>) -> Vec<Callback> {
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

/// Returns the stored form of a text: encrypted if a key is configured.
fn sealed(text: &str, key: Option<&Identities>) -> io::Result<Stored> {
    let Some(by) = drawn::encryption(key)? else { return Ok(Stored::Plain(text.to_owned())) };
    let mut bytes = Vec::new();
    let sealer = Sealer::new(by.recipient, &by.randomness, &mut bytes);
    let mut sealer = sealer.ok_or_else(|| io::Error::other("the text is not encrypted"))?;
    sealer.push(text.as_bytes(), &mut bytes);
    sealer.finish(&mut bytes);
    Ok(Stored::Sealed(bytes))
}

/// Returns the text of a transcription, if any.
///
/// # Errors
/// Returns an error if the text cannot be decrypted with the identities of `key`.
pub(super) fn opened(one: &Transcription, key: Option<&Identities>) -> Result<Option<String>, NotOpened> {
    let sealed = match &one.text {
        None => return Ok(None),
        Some(Stored::Plain(text)) => return Ok(Some(text.clone())),
        Some(Stored::Sealed(sealed)) => sealed,
    };
    let payload = Payload::open(sealed, key.ok_or(NotOpened::NoKey)?).map_err(NotOpened::Refused)?;
    let text = payload.open_all(sealed).map_err(NotOpened::Refused)?;
    String::from_utf8(text).map(Some).map_err(|_| NotOpened::Refused(super::reader::OPEN))
}

#[cfg(test)]
mod tests;
