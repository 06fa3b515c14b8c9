//! Transcription service of a sandbox for `[transcription] url` (docs/configure/recording.md). The text comes from the
//! script, otherwise from the words decoded from the recording. A recording without either has no text.

use std::collections::{BTreeMap, VecDeque};
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use serde_json::json;
use tokio::net::TcpListener;
use trunkgate_call::CallView;

use super::owners::{CallOwners, ScriptId};
use super::voice::{Codebook, HeardSound, SoundDecoder};
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::limits::TRANSCRIPTION_AUDIO_BYTES;

/// Path of the service, as in OpenAI's API.
const PATH: &str = "/v1/audio/transcriptions";
/// Maximum size of a form without the audio, in bytes.
const FORM_BYTES: usize = 64 << 10;
/// Text in the form that precedes the SID of the recording.
const NAME: &[u8] = b"filename=\"";
/// Number of samples decoded at once, and number of such blocks per second.
const PART: (usize, f64) = (160, 50.0);

/// Recording that the service has transcribed.
#[derive(Debug, Clone)]
pub(super) struct TranscribedRecording {
    pub(super) at: Instant,
    /// Script that the recording belongs to; `None` if no running script has its call.
    pub(super) script: Option<ScriptId>,
    /// Text returned to the edge; `None` for a recording without words.
    pub(super) text: Option<String>,
}

/// Transcription service on loopback; serves until the runtime ends.
#[derive(Debug)]
pub(super) struct SandboxTranscriber {
    /// URL to which the edge sends recordings.
    pub(super) url: String,
    texts: TextQueue,
    edge: Arc<OnceLock<EdgeHandle>>,
}

/// Expected texts of the running scripts, and transcribed recordings.
#[derive(Debug, Clone, Default)]
struct TextQueue(Arc<Mutex<QueuedTexts>>);

#[derive(Debug, Default)]
struct QueuedTexts {
    /// Expected texts that no recording has used yet, by running script.
    waiting: BTreeMap<ScriptId, VecDeque<String>>,
    done: Vec<TranscribedRecording>,
}

/// State of the service's request handler.
#[derive(Debug, Clone)]
struct TranscriberState {
    book: Codebook,
    texts: TextQueue,
    owners: CallOwners,
    edge: Arc<OnceLock<EdgeHandle>>,
}

impl TranscriberState {
    /// Returns the script of the call that a recording (given by its SID) belongs to.
    async fn script_of(&self, recording: &str) -> Option<ScriptId> {
        let calls = self.edge.get()?.calls().await.ok()?;
        let has_it = |call: &&CallView| call.recordings.iter().any(|one| one.sid == recording);
        self.owners.script_of(calls.iter().find(has_it)?)
    }
}

impl TextQueue {
    fn lock(&self) -> MutexGuard<'_, QueuedTexts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the text for a recording: the next expected text of its script, otherwise the decoded `words`. A
    /// recording without a script counts for the only running one.
    fn take(&self, script: Option<ScriptId>, words: String) -> Option<String> {
        let mut texts = self.lock();
        let only = texts.waiting.keys().next().copied().filter(|_| texts.waiting.len() == 1);
        let script = script.or(only);
        let given = script.and_then(|script| texts.waiting.get_mut(&script)?.pop_front());
        let text = given.or_else(|| Some(words).filter(|words| !words.is_empty()));
        texts.done.push(TranscribedRecording { at: Instant::now(), script, text: text.clone() });
        text
    }
}

impl SandboxTranscriber {
    /// Binds a free port and starts serving.
    pub(super) async fn start(book: Codebook, owners: CallOwners) -> std::io::Result<SandboxTranscriber> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}{PATH}", listener.local_addr()?);
        let (texts, edge) = (TextQueue::default(), Arc::<OnceLock<EdgeHandle>>::default());
        let endpoint = TranscriberState { book, texts: texts.clone(), owners, edge: Arc::clone(&edge) };
        let limit = DefaultBodyLimit::max(TRANSCRIPTION_AUDIO_BYTES + FORM_BYTES);
        let routes = Router::new().route(PATH, post(transcribe)).layer(limit).with_state(endpoint);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(SandboxTranscriber { url, texts, edge })
    }

    /// Sets the edge that the recordings come from.
    pub(super) fn attach(&self, edge: EdgeHandle) {
        let _ = self.edge.set(edge);
    }

    /// Sets the texts expected for a script's recordings, in order.
    pub(super) fn expect(&self, script: ScriptId, texts: VecDeque<String>) {
        self.texts.lock().waiting.insert(script, texts);
    }

    /// Returns the number of a script's expected texts that no recording has used yet.
    pub(super) fn waiting(&self, script: ScriptId) -> usize {
        self.texts.lock().waiting.get(&script).map_or(0, VecDeque::len)
    }

    /// Removes the expected texts of a script that has ended.
    pub(super) fn forget(&self, script: ScriptId) {
        self.texts.lock().waiting.remove(&script);
    }

    /// Returns the number of transcribed recordings.
    pub(super) fn count(&self) -> usize {
        self.texts.lock().done.len()
    }

    /// Returns the transcribed recordings from index `first` on.
    pub(super) fn since(&self, first: usize) -> Vec<TranscribedRecording> {
        self.texts.lock().done.get(first..).unwrap_or_default().to_vec()
    }
}

async fn transcribe(State(endpoint): State<TranscriberState>, form: Bytes) -> Response {
    let Some(words) = words(&endpoint.book, &form) else {
        return refused(StatusCode::BAD_REQUEST, "the form has no WAV file");
    };
    let script = match recording(&form) {
        Some(sid) => endpoint.script_of(&sid).await,
        None => None,
    };
    match endpoint.texts.take(script, words) {
        Some(text) => Json(json!({ "text": text })).into_response(),
        // With this status the edge does not retry the recording.
        None => refused(StatusCode::UNPROCESSABLE_ENTITY, "nothing was said in the recording"),
    }
}

fn refused(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": { "message": message } }))).into_response()
}

/// Returns the SID of the recording, from the file name in the form.
fn recording(form: &[u8]) -> Option<String> {
    let at = form.windows(NAME.len()).position(|part| part == NAME)? + NAME.len();
    let sid: Vec<u8> = form.get(at..)?.iter().copied().take_while(u8::is_ascii_alphanumeric).collect();
    String::from_utf8(sid).ok()
}

/// Returns the words decoded from the WAV file in a form; `None` without a file.
fn words(book: &Codebook, form: &[u8]) -> Option<String> {
    let file = form.get(form.windows(4).position(|four| four == b"RIFF")?..)?;
    let reader = hound::WavReader::new(Cursor::new(file)).ok()?;
    let samples: Vec<i16> = reader.into_samples().map_while(Result::ok).collect();
    let mut ear = SoundDecoder::default();
    for (at, part) in samples.chunks(PART.0).enumerate() {
        ear.take(book, at as f64 / PART.1, part);
    }
    Some(ear.heard().iter().filter_map(HeardSound::words).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a form with these samples as a WAV file.
    fn form(samples: &[i16]) -> Vec<u8> {
        let (sample_rate, sample_format) = (8000, hound::SampleFormat::Int);
        let spec = hound::WavSpec { channels: 1, sample_rate, bits_per_sample: 16, sample_format };
        let mut file = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
        samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
        writer.finalize().unwrap();
        let head = b"--tg\r\nContent-Disposition: form-data; name=\"file\"; filename=\"RE1.wav\"\r\n\r\n";
        [&head[..], &file.into_inner(), b"\r\n--tg--\r\n"].concat()
    }

    #[test]
    fn the_words_of_a_recording_are_read_back() {
        let book = Codebook::default();
        let (first, second) = (book.speak("Call me back"), book.speak("about the invoice"));
        let samples = [&[0_i16; 437][..], &first, &[0; 4000], &second, &[0; 800]].concat();
        assert_eq!(words(&book, &form(&samples)).as_deref(), Some("Call me back about the invoice"));
        assert_eq!(words(&book, &form(&[0; 8000])).as_deref(), Some(""));
        assert_eq!(words(&book, b"--tg--\r\n"), None);
        assert_eq!(recording(&form(&[])).as_deref(), Some("RE1"));
    }

    #[test]
    fn texts_of_the_script_come_first() {
        let texts = TextQueue::default();
        let (one, other) = (ScriptId(0), ScriptId(1));
        let expect = |script: ScriptId, text: &str| drop(texts.lock().waiting.insert(script, [text.to_owned()].into()));
        let take = |script, words: &str| texts.take(script, words.to_owned()).unwrap_or_default();
        expect(one, "One");
        assert_eq!([take(None, "Two"), take(None, "Three"), take(None, "")], ["One", "Three", ""]);
        expect(one, "Four");
        expect(other, "Five");
        assert_eq!(
            [take(Some(other), "Six"), take(None, "Seven"), take(Some(one), "Eight")],
            ["Five", "Seven", "Four"]
        );
        let scripts: Vec<_> = texts.lock().done.iter().map(|one| one.script).collect();
        assert_eq!(scripts, [Some(one), Some(one), Some(one), Some(other), None, Some(one)]);
    }
}
