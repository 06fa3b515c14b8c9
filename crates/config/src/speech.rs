//! `[speech]`: text-to-speech program or service for `text` of `hold` and for applications, and its audio cache. The
//! default is espeak-ng, if installed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use url::Url;

use super::code;
use super::diagnostic::Findings;
use super::section::Section;
use super::types::{SpeechEndpoint, SpeechEngine, SpeechSettings};
use super::values::KeyReader;
use trunkgate_system::programs;

/// Default text-to-speech program.
const INSTALLED: &str = "espeak-ng";
/// Twilio language codes that the default program knows by another name. It accepts any region of a known language.
const INSTALLED_VOICES: [(&str, &str); 1] = [("arb", "ar")];
/// Default `model` of a text-to-speech service.
const MODEL: &str = "tts-1";
/// Audio formats of a text-to-speech service.
const FORMATS: [(&str, &str); 4] = [("wav", "wav"), ("mp3", "mp3"), ("opus", "opus"), ("pcm", "pcm")];
/// Message texts for an unusable URL.
#[derive(Debug, Clone, Copy)]
pub(super) struct UrlWords {
    /// Message for a URL that contains a user part.
    pub(super) user: &'static str,
    /// Message for a URL that sends data unencrypted over the network.
    pub(super) clear: &'static str,
    /// Help text with an example of a valid URL.
    pub(super) help: &'static str,
    /// True if `http://` is accepted for host names; their addresses are checked on connection.
    pub(super) names_may_be_near: bool,
}

const OURS: UrlWords = UrlWords {
    user: "contains a user part: use `token` for the key",
    clear: "sends texts and token unencrypted: http:// is allowed for loopback and [edge] local_networks only",
    help: "use \"https://api.openai.com/v1/audio/speech\"",
    names_may_be_near: false,
};
/// Maximum length of a voice name in bytes.
const VOICE_BYTES: usize = 256;
/// Keys of `[speech]` that apply only together with `url`.
const OF_ENDPOINT: [&str; 3] = ["token", "model", "format"];

/// Reads `[speech]`; without `command` and `url`, an installed program is used. Returns `None` if text-to-speech is not
/// available or is switched off, or if neither `command` nor `url` can be used.
pub(super) fn read(section: Option<&Section<'_>>, findings: &mut Findings) -> Option<SpeechSettings> {
    let Some(section) = section else { return installed() };
    let words = section.read("command", findings, command);
    let url = section.read("url", findings, |reader| web_address(reader, OURS));
    let token = section.read("token", findings, |reader| reader.secret());
    let model = section.read("model", findings, |reader| reader.string());
    let format = section.read("format", findings, |reader| reader.one_of(&FORMATS));
    let cache = section.read("cache", findings, |reader| reader.path());
    let voices = section.read("voices", findings, voices).unwrap_or_default();
    let is_on = section.read("installed", findings, |reader| reader.boolean()).unwrap_or(true);
    match (section.get("command"), section.get("url")) {
        (Some(_), Some(url)) => {
            let message = "both `url` and `command` are set";
            findings.error(code::BAD_VALUE, url.span(), message, "keep one of them");
            return None;
        }
        (None, None) if !is_on => return None,
        (None, None) => {
            let Some(speech) = installed() else {
                let message =
                    "no text-to-speech: espeak-ng is not installed, and [speech] has neither `command` nor `url`";
                let help = "install espeak-ng, or add command = [\"PROGRAM\", \"{text}\"], or url = \"https://…\"";
                findings.warning(code::NO_VOICE, Some(section.span.clone()), message, help);
                return None;
            };
            return Some(SpeechSettings { cache, voices: with_installed(voices), ..speech });
        }
        (Some(_), None) => {
            for value in OF_ENDPOINT.iter().filter_map(|key| section.get(key)) {
                let message = "this key has no effect with `command`";
                findings.warning(code::BAD_VALUE, Some(value.span()), message, "it belongs to `url`");
            }
        }
        (None, Some(_)) => {}
    }
    if let Some(value) = section.get("installed").filter(|_| !is_on) {
        let message = "`installed` has no effect with `command` or `url`";
        findings.warning(code::BAD_VALUE, Some(value.span()), message, "remove it");
    }
    let endpoint = |url| SpeechEndpoint {
        url,
        token,
        model: model.unwrap_or_else(|| MODEL.to_owned()),
        format: format.unwrap_or("wav"),
    };
    let by = words.map(SpeechEngine::Command).or_else(|| url.map(endpoint).map(SpeechEngine::Endpoint))?;
    Some(SpeechSettings { by, cache, voices, is_installed: false })
}

/// Returns whether the section turns text-to-speech off.
pub(super) fn is_off(section: &Section<'_>) -> bool {
    let is_false = section.get("installed").is_some_and(|value| value.get_ref().as_bool() == Some(false));
    is_false && section.get("command").is_none() && section.get("url").is_none()
}

/// Returns the settings of the installed program, if any.
fn installed() -> Option<SpeechSettings> {
    let program = programs::installed(INSTALLED)?.to_str()?.to_owned();
    let words = [program.as_str(), "-m", "--stdout", "-v", "{voice}", "{ssml}"].map(str::to_owned);
    let voices = with_installed(BTreeMap::new());
    Some(SpeechSettings { by: SpeechEngine::Command(words.into()), cache: None, voices, is_installed: true })
}

/// Adds the voices of the default program. Voices of the file take precedence, regardless of case.
fn with_installed(mut voices: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (name, voice) in INSTALLED_VOICES {
        if !voices.keys().any(|given| given.eq_ignore_ascii_case(name)) {
            voices.insert(name.to_owned(), voice.to_owned());
        }
    }
    voices
}

/// Reads `voices`: the program's or service's name of each voice, by the name that applications use.
fn voices(reader: &mut KeyReader<'_>) -> Option<BTreeMap<String, String>> {
    let is_name =
        |text: &str| !text.trim().is_empty() && text.len() <= VOICE_BYTES && !text.chars().any(char::is_control);
    let key = reader.key;
    let mut voices = BTreeMap::new();
    for entry in reader.entries("a table: { \"Polly.Joanna\" = \"en-us+f3\" }")? {
        let mut value = reader.entry(&entry);
        value.key = key;
        let Some(voice) = value.string() else { continue };
        for (text, span) in [(entry.name, entry.span.clone()), (voice.as_str(), entry.value.span())] {
            if !is_name(text) {
                let help = format!("1 to {VOICE_BYTES} bytes, in one line");
                value.error_at(code::BAD_VALUE, span, ": this cannot be the name of a voice", help);
            }
        }
        voices.insert(entry.name.to_owned(), voice);
    }
    Some(voices)
}

fn command(reader: &mut KeyReader<'_>) -> Option<Vec<String>> {
    let words = reader.list_items(|reader| reader.string())?;
    let wrong = match words.split_first() {
        None => "is not a program",
        Some((program, _)) if program.is_empty() => "is not a program",
        Some((_, rest)) if !rest.iter().any(|word| word.contains("{text}") || word.contains("{ssml}")) => {
            "contains neither {text} nor {ssml}"
        }
        Some(_) if words.iter().any(|word| word.contains('\0')) => "holds a NUL",
        Some((program, _)) => {
            if found(program).is_none() {
                let help = "install it, or use its full path; without it callers hear the ringback tone";
                reader.warning(code::BAD_FILE, format!(": program {program} not found"), help);
            }
            return Some(words);
        }
    };
    let help = "[\"espeak-ng\", \"--stdout\", \"-v\", \"{voice}\", \"{text}\"], which writes WAV to its output";
    reader.reject(code::BAD_VALUE, wrong, help)
}

/// Returns the path of a program that the system would run; `None` if there is none.
fn found(program: &str) -> Option<PathBuf> {
    let can_run = |path: &PathBuf| programs::is_executable(path);
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(can_run);
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(can_run)
}

/// Reads the URL of a web service. Unencrypted `http://` is allowed only within our own networks.
pub(super) fn web_address(reader: &mut KeyReader<'_>, words: UrlWords) -> Option<String> {
    let local_networks = &reader.scope.edge.local_networks;
    let text = reader.string()?;
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let is_near = |url: &Url| {
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let near = |ip: IpAddr| ip.is_loopback() || local_networks.iter().any(|network| network.contains(&ip));
        let may_be = words.names_may_be_near && url.domain().is_some();
        may_be || host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| near(ip.to_canonical()))
    };
    let wrong = match url {
        None => "is not a web address",
        Some(url) if !url.username().is_empty() || url.password().is_some() => words.user,
        Some(url) if url.scheme() == "http" && !is_near(&url) => words.clear,
        Some(_) => return Some(text),
    };
    reader.reject(code::BAD_ADDRESS, wrong, words.help)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_program_that_this_user_may_not_execute_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("espeak-ng");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        let is_root = nix::unistd::geteuid().is_root();
        // For the owner only the owner's mode bits count; root may execute a file that any user may execute.
        for (mode, may_run) in [(0o644, false), (0o755, true), (0o100, true), (0o611, is_root), (0o644, false)] {
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(mode)).unwrap();
            let name = program.to_str().unwrap();
            assert_eq!(found(name).is_some(), may_run, "{mode:o}");
        }
        assert_eq!(found(&format!("{}/", folder.path().display())), None, "a directory");
    }

    #[test]
    fn voices_of_the_file_come_before_those_of_the_installed_program() {
        let voices = |given: &[(&str, &str)]| {
            let given = given.iter().map(|(name, voice)| ((*name).to_owned(), (*voice).to_owned())).collect();
            with_installed(given).into_iter().collect::<Vec<_>>()
        };
        let pair = |name: &str, voice: &str| (name.to_owned(), voice.to_owned());
        assert_eq!(voices(&[]), [pair("arb", "ar")]);
        assert_eq!(voices(&[("ARB", "ar+f2"), ("gl-ES", "pt")]), [pair("ARB", "ar+f2"), pair("gl-ES", "pt")]);
    }
}
