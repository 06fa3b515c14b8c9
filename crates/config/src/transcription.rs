//! `[transcription]`: the service that transcribes recordings.

use super::code;
use super::diagnostic::Findings;
use super::draft::ConfigDraft;
use super::keys;
use super::recording::ADD_RECORDING;
use super::section::Section;
use super::speech::{self, UrlWords};
use super::types::Secret;
use super::values::KeyReader;

/// Maximum length of a model or language name in bytes.
const NAME_BYTES: usize = 256;

const WORDS: UrlWords = UrlWords {
    user: "contains a user part: use `token` for the key",
    clear: "sends recordings and token unencrypted: http:// is allowed for loopback and [edge] local_networks only",
    help: "use \"https://asr.example.com/v1/audio/transcriptions\"",
    names_may_be_near: false,
};

/// Settings of `[transcription]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TranscriptionSettings {
    /// URL of the transcription service.
    pub url: String,
    /// Bearer token for the service; `None` to send no token.
    pub token: Option<Secret>,
    /// Name of the model that the service is asked to use.
    pub model: String,
    /// Spoken language; `None` if the service detects it.
    pub language: Option<String>,
    /// True if every recording is transcribed; false if only those that request it are.
    pub all: bool,
}

/// Reads `[transcription]`; `None` without a usable URL.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Option<TranscriptionSettings> {
    let mut read = TranscriptionSettings::default();
    section.fill((keys::TRANSCRIPTION, keys::PUT_TRANSCRIPTION), &mut read, findings);
    Some(read).filter(|read| !read.url.is_empty())
}

/// Reads the URL of the service.
pub(super) fn url(reader: &mut KeyReader<'_>) -> Option<String> {
    speech::web_address(reader, WORDS)
}

/// Reads the name of a model or a language.
pub(super) fn name(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let is_name = !text.trim().is_empty() && text.len() <= NAME_BYTES && !text.chars().any(char::is_control);
    if !is_name {
        let help = format!("1 to {NAME_BYTES} bytes, in one line");
        reader.error(code::BAD_VALUE, "is not a name", help);
    }
    is_name.then_some(text)
}

/// Checks `[transcription]` against the other tables.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    if let (Some(_), Some(span)) = (&draft.transcription, draft.spans.table("transcription"))
        && draft.spans.table("recording").is_none()
    {
        let message = "[transcription] is not used without [recording]";
        findings.warning(code::IDLE_PART, Some(span.clone()), message, ADD_RECORDING);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{Config, parse};

    fn read(transcription: &str) -> Result<Config, Vec<(&'static str, String)>> {
        let text = format!(
            "[trunk.a]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = ['trunk:a']\n\
             [recording]\ndirectory = '/tmp/r'\n[transcription]\n{transcription}\n"
        );
        let found = parse(Path::new("trunkgate.toml"), &text);
        found.map(|(config, _)| config).map_err(|all| all.into_iter().map(|one| (one.code, one.message)).collect())
    }

    #[test]
    fn a_service_has_an_address_a_key_a_model_and_a_language() {
        let of = |text: &str| read(text).unwrap().recording.unwrap().transcription.unwrap();
        let plain = of("url = 'https://asr.example.com/v1/audio/transcriptions'");
        assert_eq!((plain.model.as_str(), &plain.language, plain.all), ("whisper-1", &None, false));
        let all = of("url = 'http://127.0.0.1:9/t'\ntoken = 'hunter2'\nmodel = 'large'\nlanguage = 'de'\nall = true");
        assert_eq!((all.model.as_str(), all.language.as_deref(), all.all), ("large", Some("de"), true));
        assert_eq!(all.token.as_ref().map(|token| token.reveal()), Some("hunter2"));
        assert!(!format!("{all:?}").contains("hunter2"));
    }

    #[test]
    fn each_mistake_is_named() {
        let url = "url = 'https://h/'\n";
        for (text, code, about) in [
            ("all = true".to_owned(), "TG0106", "no `url`"),
            ("url = 'ftp://h/'".to_owned(), "TG0108", "not a web address"),
            ("url = 'http://asr.example.com/'".to_owned(), "TG0108", "unencrypted"),
            ("url = 'https://ann:hunter2@h/'".to_owned(), "TG0108", "user part"),
            (format!("{url}model = ''"), "TG0105", "`model`"),
            (format!("{url}language = \"e\\nn\""), "TG0105", "`language`"),
            (format!("{url}all = 1"), "TG0103", "`all`"),
        ] {
            let found = read(&text).unwrap_err();
            assert!(found.iter().any(|(id, what)| *id == code && what.contains(about)), "{text}: {found:?}");
            assert!(!found.iter().any(|(_, what)| what.contains("hunter2")), "{found:?}");
        }
    }
}
