//! Audio for callers of an agent: before the agent answers (`answer`), while waiting (`hold`), and at the end
//! (`goodbye`).

use std::path::Path;
use std::sync::Arc;

use trunkgate_route::{Agent, AnswerTime, HoldAudio, HoldMode, TargetSpec};

use super::code;
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SpannedAgent};
use super::keys;
use super::section::Section;
use super::types::{AgentAnnouncement, SpeechEngine, SpeechSettings};
use super::values::KeyReader;
use trunkgate_audio::{self as audio, AudioLimits, Use};
use trunkgate_system::limits::{
    ANNOUNCEMENT_SECONDS, AUDIO_FILE_BYTES, GOODBYE_SECONDS, MUSIC_SECONDS, SPEECH_TEXT_BYTES,
};

/// Help text for an unreadable audio file.
const NO_FILE: &str =
    "use a file that the user of the edge can read; relative paths start at the directory of this configuration";
/// Help text for an unsupported or too large audio file.
const HELP: &str = "use WAV (PCM, μ-law, A-law), MP3, Ogg Vorbis or Ogg Opus, or convert: ffmpeg -i FILE -ac 1 -ar 8000 -c:a pcm_s16le out.wav";

/// First announcement of `hold`, and whether music follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HoldStrategy {
    first: FirstHoldItem,
    music: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FirstHoldItem {
    Nothing,
    Audio,
    Text,
}

const STRATEGIES: [(&str, HoldStrategy); 6] = [
    ("none", HoldStrategy { first: FirstHoldItem::Nothing, music: false }),
    ("text", HoldStrategy { first: FirstHoldItem::Text, music: false }),
    ("audio", HoldStrategy { first: FirstHoldItem::Audio, music: false }),
    ("music", HoldStrategy { first: FirstHoldItem::Nothing, music: true }),
    ("audio_then_music", HoldStrategy { first: FirstHoldItem::Audio, music: true }),
    ("text_then_music", HoldStrategy { first: FirstHoldItem::Text, music: true }),
];

/// Reads the audio keys into the agent. Returns the text to be synthesized, if any.
pub(super) fn read(agent: &mut Agent, section: &Section<'_>, findings: &mut Findings) -> Option<AgentAnnouncement> {
    agent.goodbye = section.read("goodbye", findings, |reader| file(reader, GOODBYE_SECONDS, Use::Once));
    let (hold, said) = section.read("hold", findings, hold).unzip();
    agent.hold = hold;
    if agent.answer == AnswerTime::Early
        && agent.hold.is_none()
        // An invalid `hold` has its own error.
        && !section.get("hold").is_some_and(|_| findings.has_errors())
        && let Some(value) = section.get("answer")
    {
        let message = "`answer` is \"early\" and there is nothing to play: the caller hears ringing";
        findings.warning(code::UNHEARD, Some(value.span()), message, "add `hold` with text, audio or music");
    }
    let (text, voice) = said.flatten()?;
    Some(AgentAnnouncement { agent: agent.name.clone(), text, voice })
}

/// Text, and the voice that speaks it.
type HoldText = (String, Option<String>);

fn hold(reader: &mut KeyReader<'_>) -> Option<(HoldAudio, Option<HoldText>)> {
    if !reader.value.get_ref().is_table() {
        return reader.wrong_type("a table such as { strategy = \"music\", music = \"hold.mp3\" }");
    }
    let section = reader.section(keys::HOLD)?;
    section.require("strategy", "add strategy = \"music\" or another one", reader.findings);
    let chosen = section.span_of("strategy")?;
    let strategy = section.read("strategy", reader.findings, |reader| reader.one_of(&STRATEGIES))?;
    let says = strategy.first == FirstHoldItem::Text;
    let keys =
        [("audio", strategy.first == FirstHoldItem::Audio), ("music", strategy.music), ("text", says), ("voice", says)];
    for (key, used) in keys {
        match section.get(key) {
            None if key == "voice" => {}
            Some(value) if !used => {
                let message = format!("`{key}` has no effect with this `strategy`");
                let help = "use another strategy, or remove the key";
                reader.findings.warning(code::BAD_VALUE, Some(value.span()), message, help);
            }
            None if used => {
                let help = match key {
                    "text" => "text = \"One moment, please.\"".to_owned(),
                    _ => format!("{key} = \"hold.mp3\""),
                };
                let chosen = chosen.clone();
                reader.findings.error(code::MISSING, chosen, format!("this `strategy` needs `{key}`"), help);
            }
            Some(_) | None => {}
        }
    }
    let plain = format!("use plain text of at most {SPEECH_TEXT_BYTES} bytes");
    let name = "use a voice name such as \"en-us\"; the default is that of [speech]";
    let mut said = |key, help| section.read(key, reader.findings, |reader| words(reader, help));
    let (text, voice) = if says { (said("text", &plain), said("voice", name)) } else { (None, None) };
    let mut sound = |key, used: bool, seconds, how| {
        let key = Some(key).filter(|_| used)?;
        section.read(key, reader.findings, |reader| file(reader, seconds, how))
    };
    let first = sound("audio", strategy.first == FirstHoldItem::Audio, ANNOUNCEMENT_SECONDS, Use::Once);
    let music = sound("music", strategy.music, MUSIC_SECONDS, Use::Again);
    let heard = first.is_some() || music.is_some() || text.is_some();
    heard.then_some((HoldAudio { first, music }, text.map(|text| (text, voice))))
}

/// Reads a text for the speech program.
fn words(reader: &mut KeyReader<'_>, help: &str) -> Option<String> {
    let text = reader.string()?;
    let wrong = match &text {
        text if text.trim().is_empty() => "is empty".to_owned(),
        text if text.len() > SPEECH_TEXT_BYTES => format!("has {} bytes", text.len()),
        text if text.chars().any(|c| c.is_control() && c != '\n') => "contains a control character".to_owned(),
        _ => return Some(text),
    };
    reader.reject(code::BAD_VALUE, wrong, help)
}

/// Returns whether the command passes the voice to the program.
fn has_voice(words: &[String]) -> bool {
    words.iter().any(|word| word.contains("{voice}"))
}

/// Warns of voices that the command does not use, and of an unused `[speech]`.
fn judge_speech(draft: &ConfigDraft, findings: &mut Findings) {
    let says = |placed: &&SpannedAgent| placed.said.is_some();
    let has_apps = !draft.apps.is_empty() || draft.api.api.takes_documents(&draft.numbers);
    if let Some(SpeechSettings { by: SpeechEngine::Command(words), .. }) = &draft.speech
        && !has_voice(words)
    {
        for span in draft.agents.iter().filter(says).filter_map(|placed| placed.voice.clone()) {
            let message = "`voice` has no effect: `command` of [speech] has no {voice}";
            findings.warning(code::BAD_VALUE, Some(span), message, "add \"{voice}\" to it, or remove `voice`");
        }
    }
    if let Some(span) = draft.spans.key("speech", "voices").cloned() {
        let says_by_command =
            |speech: &SpeechSettings| matches!(&speech.by, SpeechEngine::Command(words) if !has_voice(words));
        let wrong = match &draft.speech {
            _ if !has_apps => Some(("the file has no app", "add [app.NAME]")),
            Some(speech) if says_by_command(speech) => Some(("`command` has no {voice}", "add \"{voice}\" to it")),
            _ => None,
        };
        if let Some((why, help)) = wrong {
            let help = format!("{help}, or remove `voices`");
            findings.warning(code::BAD_VALUE, Some(span), format!("`voices` has no effect: {why}"), help);
        }
    }
    // An invalid `text` has its own error. Any application, including one named by an API request, may use `Say`.
    if let Some(span) = draft.spans.table("speech").cloned()
        && !draft.agents.iter().any(|placed| placed.said.is_some())
        && !has_apps
        && !findings.has_errors()
    {
        let help =
            "hold = { strategy = \"text\", text = \"One moment, please.\" } of an agent uses it, and <Say> of an app";
        findings.warning(code::UNHEARD, Some(span), "[speech] is not used", help);
    }
}

/// Warns of hold audio that is never played: the call is answered by the agent and no target follows, or no trunk ends
/// hold locally.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    judge_speech(draft, findings);
    let is_local = draft.trunks.iter().any(|placed| placed.trunk.hold == HoldMode::Local);
    for placed in draft.trunks.iter().filter(|placed| !is_local && placed.trunk.hold_music.is_some()) {
        let message = format!("`hold_music` of {} is never played: no trunk has hold = \"local\"", placed.trunk.name);
        findings.warning(code::UNHEARD, Some(placed.name.clone()), message, "add hold = \"local\"");
    }
    for placed in &draft.agents {
        let Some(span) = placed.hold.clone() else { continue };
        if placed.said.is_some() && draft.cannot_speak() {
            match draft.speech_is_off {
                true => findings.error(
                    code::MISSING,
                    span,
                    "`hold` has a `text`, but [speech] has `installed = false` and neither `command` nor `url`",
                    "remove `installed = false`, or add a `command` or `url` to [speech]",
                ),
                false => findings.warning(
                    code::NO_VOICE,
                    Some(span),
                    "`hold` has a `text`, but there is no text-to-speech: espeak-ng is not installed, and [speech] has neither `command` nor `url`",
                    "install espeak-ng, or add [speech] with a `command` or `url`; until then callers hear the ringback tone",
                ),
            }
            continue;
        }
        let agent = &placed.agent;
        let is_it = |target: &TargetSpec| matches!(target, TargetSpec::Agent(name) if **name == *agent.name);
        let is_followed = |connect: &[TargetSpec]| {
            let behind = connect.iter().skip_while(|target| !is_it(target)).skip(1);
            behind.into_iter().any(|target| !matches!(target, TargetSpec::Reject(_)))
        };
        let mut routes = draft.routes.iter().map(|placed| placed.route.connect.as_slice());
        let mut files = draft.routes.iter().filter_map(|placed| placed.route.file.as_ref());
        let heard = agent.answer != AnswerTime::OnConnect
            || agent.retry > 0
            || routes.any(is_followed)
            || files.any(|file| file.targets().any(|connect| is_followed(&connect)));
        if !heard {
            let message = format!("`hold` of {} is played only while the agent transfers a call", agent.name);
            let help = "set answer = \"early\" or \"at_once\", or add a target after the agent in `connect`";
            findings.warning(code::UNHEARD, Some(span), message, help);
        }
    }
}

/// Reads an audio file named by a key.
pub(super) fn file(reader: &mut KeyReader<'_>, seconds: usize, how: Use) -> Option<Arc<[u8]>> {
    let path = reader.path()?;
    match sound(&path, seconds, how) {
        Ok(codes) => Some(codes),
        Err((what, help)) => reader.reject(code::BAD_FILE, format!(": {}: {what}", path.display()), help),
    }
}

/// Decodes an audio file to μ-law.
///
/// # Errors
/// Returns a message and a help text if the file cannot be read or decoded.
pub(super) fn sound(path: &Path, seconds: usize, how: Use) -> Result<Arc<[u8]>, (String, String)> {
    let what = match audio::mulaw(path, AudioLimits { bytes: AUDIO_FILE_BYTES, seconds }, how) {
        Ok(codes) => return Ok(codes),
        Err(what) => what,
    };
    let is_large = std::fs::metadata(path).is_ok_and(|about| about.len() > AUDIO_FILE_BYTES);
    let help = match audio::read(path, AUDIO_FILE_BYTES) {
        Ok(_) if what == audio::too_long(seconds) => format!("{seconds} s of it: ffmpeg -i FILE -t {seconds} out.wav"),
        Ok(_) => HELP.to_owned(),
        Err(_) if is_large => HELP.to_owned(),
        Err(_) => NO_FILE.to_owned(),
    };
    Err((what, help))
}
