//! Sounds for callers of applications: speech and audio files, decoded once for many calls.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use trunkgate_call::trace::WebhookExchange;
use trunkgate_call::{AppAnswer, AppPlace};

use super::answers::{AppQueryResult, AppQuerySettings, NOT_FETCHED, failed, of_audio, unheard, webhook};
use crate::own_recordings::{self, NamedRecording};
use crate::speech::{self, SpokenText, SynthesisText};
use trunkgate_audio::{self as audio, AudioLimits, BareAudio, Use};
use trunkgate_delivery::sinks::recordings::RecordingOpenError;
use trunkgate_delivery::webhooks::client::WebhookClient;
pub(crate) use trunkgate_delivery::webhooks::media::{CacheLimits, FetchedMedia, MediaCache, MediaSource};
use trunkgate_delivery::webhooks::shown_url;
use trunkgate_system::below::below;
use trunkgate_system::limits::{
    APP_DECODED_AT_ONCE, APP_SOUNDS_BYTES, APP_SPOKEN_AT_ONCE, APP_SPOKEN_AT_ONCE_OF_ONE, AUDIO_FILE_BYTES,
    OWN_RECORDINGS_READ_AT_ONCE, PLAY_SECONDS, SAY_SECONDS,
};
use trunkgate_system::shares::{ShareGrant, SlotShares};

/// Twilio's error code for a `<Play>` file that is not audio (13420).
const NOT_PLAYABLE: u16 = 13_420;
/// Twilio's error code for a text that could not be synthesized (13520).
const NOT_SPOKEN: u16 = 13_520;

/// Decoded audio, μ-law at 8 kHz; the error describes the problem.
type SoundResult = Result<Arc<[u8]>, String>;
/// SHA-256 of a sound file.
type SoundHash = [u8; 32];

/// Reason why one of the edge's own sounds cannot be played.
#[derive(Debug, PartialEq, Eq)]
struct PlayFault {
    /// Error code of Twilio.
    code: u16,
    what: String,
}

impl From<String> for PlayFault {
    fn from(what: String) -> PlayFault {
        PlayFault { code: NOT_PLAYABLE, what }
    }
}

/// File read from disk, with its reserved memory.
struct LoadedFile {
    bytes: Vec<u8>,
    _memory: ShareGrant,
}

impl AsRef<[u8]> for LoadedFile {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Provider of sounds, with a cache of the recently used ones.
pub(super) struct AppSounds {
    client: Arc<WebhookClient>,
    media: Arc<MediaCache>,
    /// Limit of concurrent reads of the edge's own recordings: one per application, so that further calls with the same
    /// recording find it in `recent`.
    reading: SlotShares,
    speaking: SlotShares,
    decoding: SlotShares,
    recent: Arc<Mutex<RecentSounds>>,
}

impl AppSounds {
    /// Creates a provider; sounds with a URL are fetched by `client`.
    pub(super) fn new(client: Arc<WebhookClient>) -> AppSounds {
        AppSounds {
            media: Arc::new(MediaCache::new(Arc::clone(&client), CacheLimits::default())),
            client,
            reading: SlotShares::new(1, OWN_RECORDINGS_READ_AT_ONCE),
            speaking: SlotShares::new(APP_SPOKEN_AT_ONCE_OF_ONE, APP_SPOKEN_AT_ONCE),
            decoding: SlotShares::new(1, APP_DECODED_AT_ONCE),
            recent: Arc::default(),
        }
    }

    /// Fetches or reads an audio file and decodes it.
    pub(super) async fn play(&self, settings: AppQuerySettings, place: AppPlace) -> AppQueryResult {
        let mut bare = None;
        let (name, bytes, told, webhook, _memory) = match place {
            AppPlace::File(name) => {
                let told = format!("play {name}");
                if let Some(sound) = settings.sound {
                    return (AppAnswer::Sound { sound, told }, None);
                }
                match read(settings.folder.clone(), name.clone()).await {
                    Ok(bytes) => (name, bytes, told, None, None),
                    Err(what) => return (failed(NOT_FETCHED, format!("{name}: {what}")), None),
                }
            }
            AppPlace::Url(url) => {
                let name = shown_url(&url);
                if let Some(answer) = self.own(&settings, &url).await {
                    return (answer, None);
                }
                match self.media.get(&url, &settings.reach, settings.auth_token.as_ref(), &settings.app).await {
                    Ok(media) => {
                        let (told, webhook) = shown_media(&media);
                        bare = BareAudio::from_media_type(&media.media_type);
                        (name, media.bytes, told, webhook, media.memory)
                    }
                    Err(failure) => return unheard(&name, &failure),
                }
            }
        };
        let answer = match self.decoded(&settings.app, bytes, bare, None).await {
            Ok(sound) => AppAnswer::Sound { sound, told },
            Err(what) => failed(NOT_PLAYABLE, format!("{name}: {what}")),
        };
        (answer, webhook)
    }

    /// Reads and decodes one of the edge's own recordings; `None` if the URL does not refer to one.
    async fn own(&self, settings: &AppQuerySettings, url: &str) -> Option<AppAnswer> {
        let NamedRecording { sid, is_own_host } = settings.own.named_by(url, &settings.reach)?;
        let reader = match settings.own.open(&sid).await {
            Ok(reader) => reader,
            Err(RecordingOpenError::Absent) if !is_own_host => return None,
            Err(why) => return Some(failed(NOT_FETCHED, format!("{sid}: {why}"))),
        };
        let bytes = reader.bytes();
        let told = format!("play {sid} of the edge itself ({bytes} bytes)");
        // A completed recording does not change.
        let key: SoundHash = Sha256::digest(format!("{sid} {bytes}")).into();
        Some(match self.read_once(&settings.app, key, bytes, move || own_recordings::read(reader)).await {
            Ok(sound) => AppAnswer::Sound { sound, told },
            Err(PlayFault { code, what }) => failed(code, format!("{sid}: {what}")),
        })
    }

    /// Reads and decodes a file of `bytes` bytes for an application, unless the sound is cached under `key`. The file
    /// counts towards the application's memory limit for fetched files.
    async fn read_once(
        &self,
        app: &Arc<str>,
        key: SoundHash,
        bytes: u64,
        read: impl FnOnce() -> Result<Vec<u8>, String> + Send + 'static,
    ) -> Result<Arc<[u8]>, PlayFault> {
        if bytes > AUDIO_FILE_BYTES {
            return Err(format!("more than {} MiB", AUDIO_FILE_BYTES >> 20).into());
        }
        let _place = self.reading.take(app).await.map_err(|error| error.to_string())?;
        let known = self.recent.lock().unwrap_or_else(PoisonError::into_inner).find(&key);
        if let Some(known) = known {
            return Ok(known);
        }
        let Some(memory) = self.client.take_audio_memory(app, bytes) else {
            let what = "not enough memory: many other files are being fetched for the application".to_owned();
            return Err(PlayFault { code: NOT_FETCHED, what });
        };
        let read = spawn_blocking(move || read().map(|bytes| LoadedFile { bytes, _memory: memory }));
        let file = read.await.map_err(|error| error.to_string())??;
        Ok(self.decoded(app, file, None, Some(key)).await?)
    }

    /// Decodes a file for an application, unless cached. `known_as` is its cache key, if that is not the digest of its
    /// bytes.
    async fn decoded(
        &self,
        app: &Arc<str>,
        bytes: impl AsRef<[u8]> + Send + 'static,
        bare: Option<BareAudio>,
        known_as: Option<SoundHash>,
    ) -> SoundResult {
        let recent = self.recent.clone();
        let place = self.decoding.take(app).await.map_err(|error| error.to_string())?;
        let decode = move || {
            // Held while the thread works, even if the call has ended.
            let _place = place;
            let bytes = bytes.as_ref();
            let key: SoundHash = known_as.unwrap_or_else(|| audio::digest_of(bytes, bare));
            let lock = || recent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = lock().find(&key) {
                return Ok(known);
            }
            let most = AudioLimits { bytes: AUDIO_FILE_BYTES, seconds: PLAY_SECONDS };
            let sound = audio::mulaw_of(bytes, bare, most, Use::Once)?;
            lock().keep(key, sound.clone());
            Ok(sound)
        };
        spawn_blocking(decode).await.map_err(|error| error.to_string())?
    }

    /// Synthesizes a text with the voice and language requested by an application.
    pub(super) async fn say(
        &self,
        settings: AppQuerySettings,
        text: String,
        ssml: Option<String>,
        (voice, language): (Option<String>, Option<String>),
    ) -> AppAnswer {
        let Some(speech) = settings.speech else {
            let what = "there is no text-to-speech: [speech] has neither `command` nor `url`, and espeak-ng is not installed or is switched off";
            return failed(NOT_SPOKEN, what.to_owned());
        };
        let until = Instant::now() + Duration::from_secs(SAY_SECONDS);
        let Ok(Ok(place)) = timeout_at(until, self.speaking.take(&settings.app)).await else {
            return failed(NOT_SPOKEN, format!("[speech] was busy with other texts for {SAY_SECONDS} s"));
        };
        let said = spawn_blocking(move || {
            let _place = place;
            let voice = speech::voice(&speech, voice.as_deref(), language.as_deref());
            let wording = SynthesisText { text: &text, ssml: ssml.as_deref(), voice: voice.as_deref() };
            speech::say(&speech, &wording, until.into_std())
        });
        match said.await {
            Ok(Ok(SpokenText { sound, note })) => {
                let key: SoundHash = Sha256::digest(&sound).into();
                self.recent.lock().unwrap_or_else(PoisonError::into_inner).keep(key, sound.clone());
                AppAnswer::Sound { sound, told: note }
            }
            Ok(Err(what)) => failed(NOT_SPOKEN, format!("the text cannot be spoken: {what}")),
            Err(_) => failed(NOT_SPOKEN, "the text cannot be spoken".to_owned()),
        }
    }
}

/// Reads a sound file below a folder.
///
/// # Errors
/// Returns the reason why it cannot be read.
async fn read(folder: PathBuf, name: String) -> Result<Bytes, String> {
    let read = spawn_blocking(move || {
        let path = below(&folder, &name).map_err(|error| error.to_string())?;
        audio::read(&path, AUDIO_FILE_BYTES)
    });
    read.await.map_err(|_| "the file cannot be read".to_owned())?.map(Bytes::from)
}

/// Describes a fetched audio file for the trace: in words, and as the HTTP request if one was needed.
fn shown_media(media: &FetchedMedia) -> (String, Option<WebhookExchange>) {
    let what = of_audio(&media.media_type, media.bytes.len());
    let how = match media.source {
        MediaSource::Kept => return (format!("play ({what}): kept from an earlier request"), None),
        MediaSource::Revalidated => ", unchanged",
        MediaSource::Fetched => "",
        MediaSource::Stale => ", kept from an earlier request",
    };
    (String::new(), Some(webhook("play", "GET", &media.attempts, None, format!("{what}{how}"))))
}

/// Cache of the recently used sounds, limited to [`APP_SOUNDS_BYTES`].
#[derive(Default)]
struct RecentSounds {
    /// Sounds by their hash, in the order of their last use.
    sounds: Vec<(SoundHash, Arc<[u8]>)>,
    bytes: usize,
}

impl RecentSounds {
    fn find(&mut self, key: &SoundHash) -> Option<Arc<[u8]>> {
        let at = self.sounds.iter().position(|(known, _)| known == key)?;
        let found = self.sounds.remove(at);
        let sound = found.1.clone();
        self.sounds.push(found);
        Some(sound)
    }

    fn keep(&mut self, key: SoundHash, sound: Arc<[u8]>) {
        if self.find(&key).is_some() {
            return;
        }
        self.bytes += sound.len();
        self.sounds.push((key, sound));
        while self.bytes > APP_SOUNDS_BYTES && !self.sounds.is_empty() {
            self.bytes -= self.sounds.remove(0).1.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use super::*;
    use trunkgate_system::limits::MEDIA_FETCHED_BYTES_OF_ONE;

    /// Returns a WAV file with constant amplitude.
    fn wav(level: i16) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        audio::wav::write(file.path(), audio::wav::RATE_HZ, &[level; 800]).unwrap();
        std::fs::read(file.path()).unwrap()
    }

    #[tokio::test]
    async fn a_recording_that_many_calls_play_is_read_once() {
        let sounds = AppSounds::new(Arc::new(WebhookClient::new()));
        let (app, reads): (Arc<str>, _) = ("ivr".into(), Arc::new(AtomicUsize::new(0)));
        let play = |key: u8| {
            let reads = Arc::clone(&reads);
            let read = move || {
                reads.fetch_add(1, Ordering::Relaxed);
                Ok(wav(1_100))
            };
            sounds.read_once(&app, [key; 32], 1_644, read)
        };
        let (one, two, three) = tokio::join!(play(1), play(1), play(1));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!(Arc::ptr_eq(&one, &two) && Arc::ptr_eq(&one, &three.unwrap()) && one.len() == 800);
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        assert_eq!(play(2).await.unwrap().len(), 800);
        assert_eq!(reads.load(Ordering::Relaxed), 2, "another recording");
    }

    #[tokio::test]
    async fn files_are_decoded_while_recordings_are_read() {
        let sounds = Arc::new(AppSounds::new(Arc::new(WebhookClient::new())));
        let mut slow = Vec::new();
        for number in 0..APP_DECODED_AT_ONCE {
            let ((begun, begins), (end, ends)) = (channel(), channel::<()>());
            let read = move || {
                begun.send(()).unwrap();
                ends.recv().unwrap();
                Ok(wav(1_200))
            };
            let (sounds, app): (_, Arc<str>) = (Arc::clone(&sounds), format!("slow {number}").into());
            let key = [10 + u8::try_from(number).unwrap(); 32];
            let playing = tokio::spawn(async move { sounds.read_once(&app, key, 1_644, read).await });
            spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
            slow.push((playing, end));
        }
        // Otherwise each unresponsive disk would occupy a slot until none is left.
        let quick: Arc<str> = "quick".into();
        let decoded = sounds.decoded(&quick, wav(1_300), None, None);
        assert_eq!(tokio::time::timeout(Duration::from_secs(60), decoded).await.unwrap().unwrap().len(), 800);
        for (playing, end) in slow {
            end.send(()).unwrap();
            assert_eq!(playing.await.unwrap().unwrap().len(), 800);
        }
    }

    #[tokio::test]
    async fn a_recording_takes_memory_of_the_files_that_are_fetched() {
        let client = Arc::new(WebhookClient::new());
        let sounds = AppSounds::new(Arc::clone(&client));
        let app: Arc<str> = "ivr".into();
        let others = client.take_audio_memory(&app, MEDIA_FETCHED_BYTES_OF_ONE as u64 - (1 << 20)).unwrap();
        let refused = sounds.read_once(&app, [20; 32], 1_644, || Ok(wav(1_400))).await.unwrap_err();
        assert!(refused.code == NOT_FETCHED && refused.what.starts_with("not enough memory"), "{refused:?}");
        drop(others);
        assert!(sounds.read_once(&app, [20; 32], 1_644, || Ok(wav(1_400))).await.is_ok());
        let large = sounds.read_once(&app, [21; 32], AUDIO_FILE_BYTES + 1, || Ok(Vec::new())).await.unwrap_err();
        assert_eq!((large.code, large.what.as_str()), (NOT_PLAYABLE, "more than 64 MiB"));
    }

    #[test]
    fn the_sounds_used_last_are_kept() {
        let mut recent = RecentSounds::default();
        let quarter: Arc<[u8]> = vec![0; APP_SOUNDS_BYTES / 4].into();
        (1..=4).for_each(|key| recent.keep([key; 32], quarter.clone()));
        assert!(recent.find(&[1; 32]).is_some());
        recent.keep([5; 32], quarter.clone());
        assert_eq!([1, 2, 3, 4, 5].map(|key| recent.find(&[key; 32]).is_some()), [true, false, true, true, true]);
        recent.keep([6; 32], vec![0; APP_SOUNDS_BYTES + 1].into());
        assert_eq!((recent.sounds.len(), recent.bytes), (0, 0), "one that is larger than all is not kept");
    }
}
