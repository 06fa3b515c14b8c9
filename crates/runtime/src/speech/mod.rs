//! Text-to-speech (`[speech]`): announcements are synthesized when the configuration is loaded, so that no call waits
//! for them; texts of applications on demand. A text is not synthesized again while its audio is in use or cached.

mod cache;
mod endpoint;
mod program;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use cache::SpeechCache;
use trunkgate_audio::{self as audio, AudioLimits, Use};
use trunkgate_config::{AgentAnnouncement, Config, SpeechEngine, SpeechSettings};
use trunkgate_system::limits::{ANNOUNCEMENT_SECONDS, SPEECH_AT_ONCE, SPEECH_BYTES, SPEECH_SECONDS};

/// Default voice for a program (`[speech] command`).
const VOICE: &str = "en-us";
/// Default voice for a service (`[speech] url`).
const ENDPOINT_VOICE: &str = "alloy";
/// Interval at which a running program is checked for its end.
const LOOK: Duration = Duration::from_millis(5);

/// Hash of a text with its voice and engine.
type SpeechKey = [u8; 32];

/// Synthesized texts that are in use, shared by all their users.
static SPOKEN: LazyLock<Mutex<HashMap<SpeechKey, Weak<[u8]>>>> = LazyLock::new(Mutex::default);

/// True when the process ends, so that running programs are killed and none is waited for.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Stops speech synthesis, because the process ends; running programs are killed.
pub fn stop() {
    STOPPED.store(true, Ordering::Relaxed);
}

/// Returns whether the deadline has not passed and the process is not ending.
fn in_time(until: Instant) -> bool {
    Instant::now() < until && !STOPPED.load(Ordering::Relaxed)
}

/// Synthesizes the announcements of a new configuration and assigns them to its agents. Failures are logged. Blocks for
/// at most [`SPEECH_SECONDS`].
pub fn speak(config: &mut Config) {
    let cache = config.speech.as_ref().and_then(|speech| speech.cache.clone()).map(SpeechCache::at);
    for fault in attempt(config, cache.as_ref()) {
        tracing::warn!("{fault}; callers hear the ringback tone instead");
    }
    if let Some(Err(what)) = cache.map(SpeechCache::close) {
        tracing::warn!("[speech] cache: {what}; texts may be generated again at the next start");
    }
}

/// Synthesizes the announcements without the cache; returns a sentence for each failure.
pub fn try_out(config: &mut Config) -> Vec<String> {
    attempt(config, None)
}

fn attempt(config: &mut Config, cache: Option<&SpeechCache>) -> Vec<String> {
    let Some(speech) = config.speech.clone() else { return Vec::new() };
    let until = Instant::now() + Duration::from_secs(SPEECH_SECONDS);
    let announcements = std::mem::take(&mut config.announcements);
    let mut faults = Vec::new();
    for (announcement, said) in announcements.iter().zip(say_all(&speech, &announcements, cache, until)) {
        let agent = config.agents.iter_mut().find(|agent| *agent.name == *announcement.agent);
        match (said, agent.and_then(|agent| agent.hold.as_mut())) {
            (Ok(codes), Some(hold)) => hold.first = Some(codes),
            (Ok(_), None) => {}
            (Err(what), _) => faults.push(format!("`hold` of agent {}: {what}", announcement.agent)),
        }
    }
    config.announcements = announcements;
    faults
}

type SynthesisResult = Result<Arc<[u8]>, String>;

/// Failure to synthesize a text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SpeechFault {
    /// Description of the failure.
    what: String,
    /// True if the program ended with a non-zero exit status, as for an unknown voice.
    is_refusal: bool,
}

impl From<String> for SpeechFault {
    fn from(what: String) -> SpeechFault {
        SpeechFault { what, is_refusal: false }
    }
}

/// Synthesizes announcements with limited concurrency until a deadline; identical ones only once.
fn say_all(
    speech: &SpeechSettings,
    announcements: &[AgentAnnouncement],
    cache: Option<&SpeechCache>,
    until: Instant,
) -> Vec<SynthesisResult> {
    let next = AtomicUsize::new(0);
    let said: Mutex<Vec<SynthesisResult>> = Mutex::new(vec![Err("not generated".to_owned()); announcements.len()]);
    let first_like = |one: &AgentAnnouncement| {
        announcements.iter().position(|other| (&one.text, &one.voice) == (&other.text, &other.voice))
    };
    let some = || {
        while let Some((at, announcement)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            announcements.get(at).map(|announcement| (at, announcement))
        } {
            if first_like(announcement) != Some(at) {
                continue;
            }
            let wording = SynthesisText { text: &announcement.text, ssml: None, voice: announcement.voice.as_deref() };
            let late = format!("timeout: all texts together may take {SPEECH_SECONDS} s");
            let one = say_by(&speech.by, &wording, cache, (until, &late)).map_err(|fault| fault.what);
            if let Some(place) = said.lock().unwrap_or_else(PoisonError::into_inner).get_mut(at) {
                *place = one;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..SPEECH_AT_ONCE.min(announcements.len()) {
            scope.spawn(some);
        }
    });
    let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
    let of = |one| first_like(one).and_then(|at| said.get(at)).cloned();
    announcements.iter().filter_map(of).collect()
}

/// Text to be synthesized.
#[derive(Debug, Clone, Copy)]
pub struct SynthesisText<'a> {
    /// Text without tags.
    pub text: &'a str,
    /// Text with SSML tags, without the enclosing `<speak>`.
    pub ssml: Option<&'a str>,
    /// Voice as named by the program or service; `None` selects the default voice.
    pub voice: Option<&'a str>,
}

/// Returns the engine's voice for the voice and language requested by an application: the entry of `voices` for the
/// voice, else for the language, else for the language without its region. Without an entry, a program gets the
/// language itself, since espeak-ng names its voices like that.
pub(crate) fn voice(speech: &SpeechSettings, voice: Option<&str>, language: Option<&str>) -> Option<String> {
    let short = language.and_then(|language| language.split_once('-')).map(|(short, _)| short);
    let known = |name: &str| {
        let mut voices = speech.voices.iter();
        voices.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, voice)| voice.clone())
    };
    let mapped = [voice, language, short].into_iter().flatten().find_map(known);
    mapped.or_else(|| match speech.by {
        SpeechEngine::Command(_) => language.filter(|language| is_language(language)).map(str::to_ascii_lowercase),
        SpeechEngine::Endpoint(_) => None,
    })
}

/// Returns whether a text has the form of a language tag (RFC 5646 §2.1); checked because it may become a program
/// argument.
fn is_language(text: &str) -> bool {
    let is_subtag = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 35 && text.split('-').all(is_subtag)
}

/// Synthesized text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpokenText {
    /// Audio in μ-law at 8 kHz.
    pub(crate) sound: Arc<[u8]>,
    /// Note that another voice than the requested one was used; empty otherwise.
    pub(crate) note: String,
}

/// Synthesizes a text of an application. Blocks until it is complete or the deadline has passed.
///
/// # Errors
/// Returns the reason why there is no audio.
pub fn say(speech: &SpeechSettings, wording: &SynthesisText<'_>, until: Instant) -> Result<SpokenText, String> {
    let cache = speech.cache.clone().map(SpeechCache::at);
    let say = |wording: &SynthesisText<'_>| say_by(&speech.by, wording, cache.as_ref(), (until, "timeout"));
    let other_voice = wording.voice.filter(|voice| speech.is_installed && *voice != VOICE);
    let said = match (say(wording), other_voice) {
        // The default program may lack the language; its default voice is better than silence. After a crash or a
        // timeout the program is not run again.
        (Err(fault), Some(voice)) if fault.is_refusal => {
            let note = format!("{VOICE} speaks instead of the voice {voice}: {}", fault.what);
            say(&SynthesisText { voice: None, ..*wording }).map(|sound| SpokenText { sound, note })
        }
        (said, _) => said.map(|sound| SpokenText { sound, note: String::new() }),
    };
    if let Some(Err(what)) = cache.map(SpeechCache::close) {
        tracing::warn!("[speech] cache: {what}; texts may be generated again");
    }
    said.map_err(|fault| fault.what)
}

/// Synthesizes a text to μ-law at 8 kHz; `late` is the error if the deadline passes before synthesis starts.
fn say_by(
    by: &SpeechEngine,
    wording: &SynthesisText<'_>,
    cache: Option<&SpeechCache>,
    (until, late): (Instant, &str),
) -> Result<Arc<[u8]>, SpeechFault> {
    let order = SynthesisRequest::new(by, wording);
    let key = order.key();
    let spoken = || SPOKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = spoken().get(&key).and_then(Weak::upgrade);
    if let Some(known) = known.or_else(|| cache?.find(&key)) {
        spoken().insert(key, Arc::downgrade(&known));
        return Ok(known);
    }
    if !in_time(until) {
        return Err(late.to_owned().into());
    }
    let file = order.fulfil(until)?;
    let most = AudioLimits { bytes: SPEECH_BYTES, seconds: ANNOUNCEMENT_SECONDS };
    let codes = audio::mulaw_of(&file, None, most, Use::Once)
        .map_err(|what| SpeechFault::from(format!("{} gave no audio: {what}", order.whom())))?;
    if let Some(cache) = cache {
        cache.keep(&key, &codes);
    }
    let mut spoken = spoken();
    spoken.retain(|_, codes| codes.strong_count() > 0);
    spoken.insert(key, Arc::downgrade(&codes));
    Ok(codes)
}

/// Request to a program (its command line) or to a service.
enum SynthesisRequest<'a> {
    Program(Vec<String>),
    Endpoint { endpoint: &'a trunkgate_config::SpeechEndpoint, voice: &'a str, text: &'a str },
}

impl<'a> SynthesisRequest<'a> {
    fn new(by: &'a SpeechEngine, wording: &SynthesisText<'a>) -> SynthesisRequest<'a> {
        let SynthesisText { text, ssml, voice } = *wording;
        match by {
            SpeechEngine::Command(words) => {
                let voice = voice.unwrap_or(VOICE);
                let ssml = ssml.map_or_else(|| escaped(text), str::to_owned);
                let filling = program::PlaceholderValues { voice, text, ssml: &format!("<speak>{ssml}</speak>") };
                SynthesisRequest::Program(words.iter().map(|word| filling.fill(word)).collect())
            }
            SpeechEngine::Endpoint(endpoint) => {
                SynthesisRequest::Endpoint { endpoint, voice: voice.unwrap_or(ENDPOINT_VOICE), text }
            }
        }
    }

    /// Returns a hash that is equal for equal text, voice and engine, and independent of secrets.
    fn key(&self) -> SpeechKey {
        let mut hash = Sha256::new();
        let mut take = |word: &str| {
            hash.update((word.len() as u64).to_le_bytes());
            hash.update(word);
        };
        match self {
            SynthesisRequest::Program(words) => {
                take("command");
                words.iter().for_each(|word| take(word));
            }
            SynthesisRequest::Endpoint { endpoint, voice, text } => {
                ["url", endpoint.url.as_str(), &endpoint.model, endpoint.format, voice, text]
                    .into_iter()
                    .for_each(take);
            }
        }
        hash.finalize().into()
    }

    fn fulfil(&self, until: Instant) -> Result<Vec<u8>, SpeechFault> {
        match self {
            SynthesisRequest::Program(words) => program::run(words, until),
            SynthesisRequest::Endpoint { endpoint, voice, text } => {
                endpoint::ask(endpoint, voice, text, until).map_err(SpeechFault::from)
            }
        }
    }

    fn whom(&self) -> &str {
        match self {
            SynthesisRequest::Program(words) => words.first().map(String::as_str).unwrap_or_default(),
            SynthesisRequest::Endpoint { endpoint, .. } => trunkgate_route::url_place(&endpoint.url),
        }
    }
}

/// Escapes a text for XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI16, Ordering};

    use super::*;

    fn announcement(text: &str) -> AgentAnnouncement {
        AgentAnnouncement { agent: "a".into(), text: text.to_owned(), voice: None }
    }

    fn command(words: &[&str]) -> SpeechEngine {
        SpeechEngine::Command(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn say(by: &SpeechEngine, text: &str, cache: Option<&SpeechCache>) -> SynthesisResult {
        let wording = SynthesisText { text, ssml: None, voice: None };
        say_by(by, &wording, cache, (Instant::now() + Duration::from_secs(60), "late")).map_err(|fault| fault.what)
    }

    #[test]
    fn a_voice_is_found_by_its_name_or_its_language() {
        let voices = [("Polly.Vicki", "de+f3"), ("fr-CA", "fr-ca"), ("es", "es-419")];
        let voices = voices.map(|(name, voice)| (name.to_owned(), voice.to_owned())).into();
        let mut speech =
            SpeechSettings { by: command(&["espeak-ng", "{text}"]), cache: None, voices, is_installed: false };
        for (name, language, expected) in [
            (Some("polly.vicki"), Some("fr-CA"), Some("de+f3")),
            (Some("alice"), Some("fr-CA"), Some("fr-ca")),
            (None, Some("es-MX"), Some("es-419")),
            (Some("alice"), Some("de-DE"), Some("de-de")),
            (Some("alice"), None, None),
            (Some("alice"), Some("-f/etc/passwd"), None),
        ] {
            assert_eq!(voice(&speech, name, language).as_deref(), expected, "{name:?} {language:?}");
        }
        speech.by = SpeechEngine::Endpoint(trunkgate_config::SpeechEndpoint {
            url: "http://127.0.0.1/".to_owned(),
            token: None,
            model: "tts-1".to_owned(),
            format: "wav",
        });
        assert_eq!(voice(&speech, None, Some("de-DE")), None, "a service has no voices by language");
    }

    #[test]
    fn a_program_that_takes_ssml_gets_it() {
        let by = command(&["say", "{ssml}"]);
        let words = |text, ssml| match SynthesisRequest::new(&by, &SynthesisText { text, ssml, voice: None }) {
            SynthesisRequest::Program(words) => words.get(1).cloned(),
            SynthesisRequest::Endpoint { .. } => None,
        };
        let tagged = Some("Hello <break time=\"1s\"/>");
        assert_eq!(words("Hello", tagged).as_deref(), Some("<speak>Hello <break time=\"1s\"/></speak>"));
        assert_eq!(words("Q & <A>", None).as_deref(), Some("<speak>Q &amp; &lt;A&gt;</speak>"));
    }

    #[test]
    fn a_program_that_is_not_named_speaks_in_its_usual_voice_where_it_lacks_a_language() {
        let folder = tempfile::tempdir().unwrap();
        audio::wav::write(&folder.path().join("said.wav"), audio::wav::RATE_HZ, &[900; 800]).unwrap();
        let script = format!("[ \"$0\" = en-us ] && cat {}/said.wav", folder.path().display());
        let by = command(&["sh", "-c", &script, "{voice}", "{text}"]);
        let mut speech = SpeechSettings { by, cache: None, voices: Default::default(), is_installed: true };
        let wording = SynthesisText { text: "lacking", ssml: None, voice: Some("tlh") };
        let until = Instant::now() + Duration::from_secs(60);
        let spoken = super::say(&speech, &wording, until).unwrap();
        assert_eq!(spoken.sound.len(), 800);
        assert!(spoken.note.starts_with("en-us speaks instead of the voice tlh: sh failed"), "{spoken:?}");
        let usual = SynthesisText { voice: None, ..wording };
        assert_eq!(super::say(&speech, &usual, until).map(|spoken| spoken.note), Ok(String::new()));
        speech.is_installed = false;
        assert!(super::say(&speech, &wording, until).is_err(), "a program that is named is asked once");
    }

    #[test]
    fn a_program_that_crashes_or_hangs_is_run_once() {
        for (end, patience) in [("kill -KILL $$", 60_000), ("sleep 1000", 300)] {
            let folder = tempfile::tempdir().unwrap();
            let script = format!("echo x >> {}/runs; {end}", folder.path().display());
            let by = command(&["sh", "-c", &script, "{voice}", "{text}"]);
            let speech = SpeechSettings { by, cache: None, voices: Default::default(), is_installed: true };
            let wording = SynthesisText { text: "crashing", ssml: None, voice: Some("de") };
            let said = super::say(&speech, &wording, Instant::now() + Duration::from_millis(patience)).unwrap_err();
            assert!(said.contains("failed (signal: 9") || said.contains("did not finish within"), "{said}");
            // On a busy machine the program that hangs may not have started.
            assert!(runs(folder.path()) <= 1, "{end}");
        }
    }

    #[test]
    fn texts_share_one_time_and_are_said_side_by_side() {
        let texts: Vec<_> = ["1000", "0", "1000", "0", "0", "0"].into_iter().map(announcement).collect();
        let by = command(&["sh", "-c", "sleep $0; echo no audio", "{text}"]);
        let said = say_all(
            &SpeechSettings { by, cache: None, voices: Default::default(), is_installed: false },
            &texts,
            None,
            Instant::now() + Duration::from_secs(5),
        );
        let late = |said: &SynthesisResult| said.as_ref().unwrap_err().contains("did not finish within");
        assert_eq!(said.iter().map(late).collect::<Vec<_>>(), [true, false, true, false, false, false], "{said:?}");
        assert!(said[1].as_ref().unwrap_err().contains("sh gave no audio"), "{said:?}");
        let late = say_all(
            &SpeechSettings { by: command(&["echo"]), cache: None, voices: Default::default(), is_installed: false },
            &texts,
            None,
            Instant::now(),
        );
        assert!(late.iter().all(|said| said.as_ref().unwrap_err().contains("timeout")), "{late:?}");
    }

    /// Returns a program that counts its runs. Each has its own audio, because audio in use is shared between tests.
    fn counting(folder: &std::path::Path) -> SpeechEngine {
        static LEVEL: AtomicI16 = AtomicI16::new(1000);
        let (wav, level) = (folder.join("said.wav"), LEVEL.fetch_add(500, Ordering::Relaxed));
        audio::wav::write(&wav, audio::wav::RATE_HZ, &[level; 800]).unwrap();
        command(&["sh", "-c", &format!("echo x >> {0}/runs; cat {0}/said.wav", folder.display()), "{text}"])
    }

    fn runs(folder: &std::path::Path) -> usize {
        std::fs::read_to_string(folder.join("runs")).unwrap_or_default().lines().count()
    }

    #[test]
    fn what_is_in_use_is_not_said_again() {
        let folder = tempfile::tempdir().unwrap();
        let by = counting(folder.path());
        let (one, again) = (say(&by, "one", None).unwrap(), say(&by, "one", None).unwrap());
        assert!(Arc::ptr_eq(&one, &again) && one.len() == 800);
        assert_eq!(runs(folder.path()), 1);
        let alike: Vec<_> = ["two", "two", "one", "two"].into_iter().map(announcement).collect();
        let said = say_all(
            &SpeechSettings { by, cache: None, voices: Default::default(), is_installed: false },
            &alike,
            None,
            Instant::now() + Duration::from_secs(60),
        );
        assert!(said.iter().all(Result::is_ok) && said.len() == 4, "{said:?}");
        assert_eq!(runs(folder.path()), 2);
    }

    #[test]
    fn what_the_cache_has_is_not_said_again_unless_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let by = counting(folder.path());
        let cache = SpeechCache::at(folder.path().join("cache"));
        let first = say(&by, "one", Some(&cache)).unwrap().to_vec();
        assert_eq!((say(&by, "one", Some(&cache)).unwrap().to_vec(), runs(folder.path())), (first.clone(), 1));
        let file = std::fs::read_dir(folder.path().join("cache")).unwrap().next().unwrap().unwrap().path();
        for damage in [&b"short"[..], &[0; 832], b""] {
            let before = runs(folder.path());
            std::fs::write(&file, damage).unwrap();
            assert_eq!(say(&by, "one", Some(&cache)).unwrap().to_vec(), first);
            assert_eq!(runs(folder.path()), before + 1, "generated again");
        }
        assert_eq!((say(&by, "one", Some(&cache)).unwrap().len(), runs(folder.path())), (800, 4));
    }
}
