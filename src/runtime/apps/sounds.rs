//! Sounds that callers of applications hear: speech and audio files, decoded once for many calls.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use trunkgate_call::trace::Webhook;
use trunkgate_call::{AppAnswer, AppPlace};

use super::answers::{NOT_FETCHED, Noted, Settings, failed, of_audio, unheard, webhook};
use crate::audio::{self, Most, Use};
use crate::limits::{
    APP_DECODED_AT_ONCE, APP_SOUNDS_BYTES, APP_SPOKEN_AT_ONCE, APP_SPOKEN_AT_ONCE_OF_ONE, AUDIO_FILE_BYTES,
    PLAY_SECONDS, SAY_SECONDS,
};
use crate::runtime::own_recordings::{self, NamedRecording};
use crate::runtime::speech::{self, Wording};
use crate::sinks::recordings::NotOpened;
use crate::system::below::below;
use crate::system::shares::Shares;
use crate::webhooks::client::Client;
use crate::webhooks::media::{Media, MediaCache, Room, Source};
use crate::webhooks::shown_url;

/// Twilio's code of a file of Play that is no audio.
const NOT_PLAYABLE: u16 = 13_420;
/// Twilio's code of a text that could not be spoken.
const NOT_SPOKEN: u16 = 13_520;

/// μ-law at 8 kHz, or what is wrong with it.
type Decoded = Result<Arc<[u8]>, String>;
/// SHA-256 of a sound file.
type Key = [u8; 32];

/// Makes sounds, and keeps those that were used last.
pub(super) struct AppSounds {
    media: Arc<MediaCache>,
    speaking: Shares,
    decoding: Shares,
    recent: Arc<Mutex<Recent>>,
}

impl AppSounds {
    /// Sounds of URLs are fetched by `client`.
    pub(super) fn new(client: Arc<Client>) -> AppSounds {
        AppSounds {
            media: Arc::new(MediaCache::new(client, Room::default())),
            speaking: Shares::new(APP_SPOKEN_AT_ONCE_OF_ONE, APP_SPOKEN_AT_ONCE),
            decoding: Shares::new(1, APP_DECODED_AT_ONCE),
            recent: Arc::default(),
        }
    }

    /// Gets an audio file.
    pub(super) async fn play(&self, settings: Settings, place: AppPlace) -> Noted {
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
                        (name, media.bytes, told, webhook, media.memory)
                    }
                    Err(failure) => return unheard(&name, &failure),
                }
            }
        };
        let answer = match self.decoded(&settings.app, move || Ok(bytes)).await {
            Ok(sound) => AppAnswer::Sound { sound, told },
            Err(what) => failed(NOT_PLAYABLE, format!("{name}: {what}")),
        };
        (answer, webhook)
    }

    /// Gets a recording of the edge's own; `None`: the URL names none.
    async fn own(&self, settings: &Settings, url: &str) -> Option<AppAnswer> {
        let NamedRecording { sid, is_own_host } = settings.own.named_by(url, &settings.reach)?;
        let reader = match settings.own.open(&sid).await {
            Ok(reader) => reader,
            Err(NotOpened::Absent) if !is_own_host => return None,
            Err(why) => return Some(failed(NOT_FETCHED, format!("{sid}: {why}"))),
        };
        let told = format!("play {sid} of the edge itself ({} bytes)", reader.bytes());
        Some(match self.decoded(&settings.app, move || own_recordings::read(reader)).await {
            Ok(sound) => AppAnswer::Sound { sound, told },
            Err(what) => failed(NOT_PLAYABLE, format!("{sid}: {what}")),
        })
    }

    /// Reads and decodes a file for an application; one that was decoded lately is not decoded again.
    async fn decoded(
        &self,
        app: &Arc<str>,
        read: impl FnOnce() -> Result<Arc<[u8]>, String> + Send + 'static,
    ) -> Decoded {
        let recent = self.recent.clone();
        let place = self.decoding.take(app).await.map_err(|error| error.to_string())?;
        let decode = move || {
            // As long as the thread works, also for a call that is gone.
            let _place = place;
            let bytes = read()?;
            let key: Key = Sha256::digest(&bytes).into();
            let lock = || recent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = lock().find(&key) {
                return Ok(known);
            }
            let most = Most { bytes: AUDIO_FILE_BYTES, seconds: PLAY_SECONDS };
            let sound = audio::mulaw_of(&bytes, most, Use::Once)?;
            lock().keep(key, sound.clone());
            Ok(sound)
        };
        spawn_blocking(decode).await.map_err(|error| error.to_string())?
    }

    /// Has a text spoken, in the voice and language that an application names.
    pub(super) async fn say(
        &self,
        settings: Settings,
        text: String,
        ssml: Option<String>,
        (voice, language): (Option<String>, Option<String>),
    ) -> AppAnswer {
        let Some(speech) = settings.speech else {
            let what = "nothing can speak it: espeak-ng is not installed, and [speech] names nothing else";
            return failed(NOT_SPOKEN, what.to_owned());
        };
        let until = Instant::now() + Duration::from_secs(SAY_SECONDS);
        let Ok(Ok(place)) = timeout_at(until, self.speaking.take(&settings.app)).await else {
            return failed(NOT_SPOKEN, format!("[speech] was busy with other texts for {SAY_SECONDS} s"));
        };
        let said = spawn_blocking(move || {
            let _place = place;
            let voice = speech::voice(&speech, voice.as_deref(), language.as_deref());
            let wording = Wording { text: &text, ssml: ssml.as_deref(), voice: voice.as_deref() };
            speech::say(&speech, &wording, until.into_std())
        });
        match said.await {
            Ok(Ok(sound)) => {
                let key: Key = Sha256::digest(&sound).into();
                self.recent.lock().unwrap_or_else(PoisonError::into_inner).keep(key, sound.clone());
                AppAnswer::Sound { sound, told: String::new() }
            }
            Ok(Err(what)) => failed(NOT_SPOKEN, format!("the text cannot be spoken: {what}")),
            Err(_) => failed(NOT_SPOKEN, "the text cannot be spoken".to_owned()),
        }
    }
}

/// Reads a sound file below a folder.
async fn read(folder: PathBuf, name: String) -> Result<Arc<[u8]>, String> {
    let read = spawn_blocking(move || {
        let path = below(&folder, &name).map_err(|error| error.to_string())?;
        audio::read(&path, AUDIO_FILE_BYTES)
    });
    read.await.map_err(|_| "the file cannot be read".to_owned())?.map(Arc::from)
}

/// The origin of a file, as a trace shows it: a sentence, or the request where there was one.
fn shown_media(media: &Media) -> (String, Option<Webhook>) {
    let what = of_audio(&media.media_type, media.bytes.len());
    let how = match media.source {
        Source::Kept => return (format!("play ({what}): kept from an earlier request"), None),
        Source::Revalidated => ", unchanged",
        Source::Fetched => "",
        Source::Stale => ", kept from an earlier request",
    };
    (String::new(), Some(webhook("play", "GET", &media.attempts, None, format!("{what}{how}"))))
}

/// The sounds that were used last, within [`APP_SOUNDS_BYTES`].
#[derive(Default)]
struct Recent {
    /// In the order of their last use.
    sounds: Vec<(Key, Arc<[u8]>)>,
    bytes: usize,
}

impl Recent {
    fn find(&mut self, key: &Key) -> Option<Arc<[u8]>> {
        let at = self.sounds.iter().position(|(known, _)| known == key)?;
        let found = self.sounds.remove(at);
        let sound = found.1.clone();
        self.sounds.push(found);
        Some(sound)
    }

    fn keep(&mut self, key: Key, sound: Arc<[u8]>) {
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
    use super::*;

    #[test]
    fn the_sounds_used_last_are_kept() {
        let mut recent = Recent::default();
        let quarter: Arc<[u8]> = vec![0; APP_SOUNDS_BYTES / 4].into();
        (1..=4).for_each(|key| recent.keep([key; 32], quarter.clone()));
        assert!(recent.find(&[1; 32]).is_some());
        recent.keep([5; 32], quarter.clone());
        assert_eq!([1, 2, 3, 4, 5].map(|key| recent.find(&[key; 32]).is_some()), [true, false, true, true, true]);
        recent.keep([6; 32], vec![0; APP_SOUNDS_BYTES + 1].into());
        assert_eq!((recent.sounds.len(), recent.bytes), (0, 0), "one that is larger than all is not kept");
    }
}
