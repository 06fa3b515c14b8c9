//! `[voicemail.NAME]`: mailboxes that record messages of callers.

use std::ops::RangeInclusive;
use std::time::Duration;

use trunkgate_route::{Mailbox, MwiParty, TargetSpec};

use super::code;
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SpannedMailbox};
use super::keys;
use super::recording::ADD_RECORDING;
use super::section::{NamedSection, Section};
use super::values::KeyReader;
use super::{mail, webhook_url};

/// Range of `max_length`.
const LENGTHS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// Maximum length of a user in `mwi`, in bytes.
const USER_BYTES: usize = 128;
/// Range of `max_size`.
const SIZES: RangeInclusive<u64> = 1 << 20..=1 << 40;
/// Range of `silence`.
const SILENCES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// Reads all mailboxes in file order.
pub(super) fn read(root: &Section<'_>, findings: &mut Findings) -> Vec<SpannedMailbox> {
    let tables = root.named_tables("voicemail", keys::VOICEMAIL, findings);
    tables.into_iter().map(|table| read_one(table, findings)).collect()
}

fn read_one(table: NamedSection<'_>, findings: &mut Findings) -> SpannedMailbox {
    let NamedSection { name, span, section } = table;
    let mut mailbox = Mailbox::new(name);
    section.fill((keys::VOICEMAIL, keys::PUT_VOICEMAIL), &mut mailbox, findings);
    if let (Some(name), Some(span)) = (&mailbox.greeting, section.span_of("greeting")) {
        section.scope().sounds.judge(("`greeting`", name), span, findings);
    }
    let parties = section.read("mwi", findings, |reader| reader.one_or_list(mwi_party));
    let (parties, mwi) = parties.unwrap_or_default().into_iter().unzip();
    mailbox.mwi = parties;
    SpannedMailbox { mailbox, name: span, keys: section.spans(), mwi }
}

/// Reads an entry of `mwi`: a trunk, and the user that is notified of waiting messages.
fn mwi_party(reader: &mut KeyReader<'_>) -> Option<MwiParty> {
    let text = reader.string()?;
    let named =
        text.strip_prefix("trunk:").map(|rest| rest.split_once('/').map_or((rest, None), |(a, b)| (a, Some(b))));
    let is_user =
        |user: &str| !user.is_empty() && user.len() <= USER_BYTES && user.bytes().all(|byte| byte.is_ascii_graphic());
    match named {
        Some((trunk, user))
            if !trunk.is_empty() && user.is_none_or(|user| is_user(user) && !user.contains(['@', '/'])) =>
        {
            Some(MwiParty { trunk: trunk.into(), user: user.map(str::to_owned) })
        }
        _ => {
            let help = "use \"trunk:NAME\" or \"trunk:NAME/USER\"";
            reader.reject(code::BAD_TARGET, format!(": \"{text}\" is neither a trunk nor a user of one"), help)
        }
    }
}

/// Reads `max_length`: the maximum duration of a message.
pub(super) fn max_length(reader: &mut KeyReader<'_>) -> Option<Duration> {
    reader.duration_within(LENGTHS, "use \"1s\" to \"1h\"")
}

/// Reads `max_size`: the total size of messages at which the mailbox is full.
pub(super) fn max_size(reader: &mut KeyReader<'_>) -> Option<u64> {
    reader.size_within(SIZES, "is not a size from 1 MiB to 1 TiB", "use \"1 GiB\"")
}

/// Reads `silence`: the duration of silence that ends a message.
pub(super) fn silence(reader: &mut KeyReader<'_>) -> Option<Duration> {
    reader.duration_within(SILENCES, "use \"1s\" to \"1m\"")
}

/// Reads `notify`: the URL or e-mail address that is notified of new messages.
pub(super) fn notify(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.text().unwrap_or_default();
    if text.get(..Mailbox::MAILTO.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(Mailbox::MAILTO)) {
        return mail::mailto(reader);
    }
    if mail::wrong_address(text).is_none() {
        return reader.reject(code::BAD_WEBHOOK, "is not a web address", "write mailto: before the address");
    }
    webhook_url::read_of_receiver(reader)
}

/// Checks the mailboxes against the other tables.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    for placed in &draft.mailboxes {
        let name = &placed.mailbox.name;
        if draft.spans.table("recording").is_none() {
            let message = format!("voicemail {name} needs [recording]");
            findings.error(code::MISSING, placed.name.clone(), message, ADD_RECORDING);
        }
        if let Some(span) = placed.keys.of("transcribe").filter(|_| placed.mailbox.transcribe)
            && draft.spans.table("transcription").is_none()
        {
            let message = format!("`transcribe` of voicemail {name} needs [transcription]");
            let help = "add [transcription] with url = \"https://asr.example.com/v1/audio/transcriptions\"";
            findings.error(code::MISSING, span.clone(), message, help);
        }
        let is_it = |target: &TargetSpec| matches!(target, TargetSpec::Voicemail(named) if **named == **name);
        if !draft.is_target(is_it) {
            let message = format!("no route uses voicemail {name}");
            let help = format!("add \"voicemail:{name}\" to `connect` of a route");
            findings.warning(code::IDLE_PART, Some(placed.name.clone()), message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::line_and_column;
    use crate::{Config, parse};

    const REST: &str = "[trunk.a]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = ['trunk:a', 'voicemail:front']\n";
    const RECORDING: &str = "[recording]\ndirectory = 'r'\n";

    /// Returns the diagnostics of a file with these lines, and the configuration if it is usable.
    fn read(lines: &str) -> (Vec<String>, Option<Config>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("r")).unwrap();
        std::fs::write(folder.path().join("hello.mp3"), include_bytes!("../../../tests/data/tone.mp3")).unwrap();
        let (found, config) = match parse(&folder.path().join("trunkgate.toml"), lines) {
            Ok((config, found)) => (found, Some(config)),
            Err(found) => (found, None),
        };
        let shown = found.iter().filter(|one| one.code != "TG0123").map(|one| {
            let (line, column) = one.span.as_ref().map(|span| line_and_column(lines, span.start)).unwrap_or_default();
            format!("{} {line}:{column} {}. {}", one.code, one.message, one.help)
        });
        (shown.collect(), config)
    }

    #[test]
    fn a_mailbox_is_read_with_its_defaults_and_its_keys() {
        let (found, config) = read(&format!("{REST}{RECORDING}[voicemail.front]\n"));
        assert_eq!(found, [""; 0]);
        assert_eq!(config.unwrap().mailboxes, [Mailbox::new("front")]);
        let keys = "greeting = 'hello.mp3'\nmax_length = '90s'\nsilence = '3s'\ntranscribe = true\nmwi = ['trunk:a', 'trunk:a/100']\nnotify = 'https://h.example/?key=1'\n";
        let (found, config) =
            read(&format!("{REST}{RECORDING}[transcription]\nurl = 'https://asr.example/'\n[voicemail.front]\n{keys}"));
        assert_eq!(found, [""; 0]);
        let config = config.unwrap();
        let expected = Mailbox {
            greeting: Some("hello.mp3".into()),
            max_length: Duration::from_secs(90),
            silence: Duration::from_secs(3),
            notify: Some("https://h.example/?key=1".into()),
            transcribe: true,
            mwi: vec![
                MwiParty { trunk: "a".into(), user: None },
                MwiParty { trunk: "a".into(), user: Some("100".into()) },
            ],
            ..Mailbox::new("front")
        };
        assert_eq!(config.mailboxes, [expected]);
        assert!(config.sounds.contains_key("hello.mp3"), "it is decoded once");
    }

    #[test]
    fn a_section_with_a_mistake_is_not_said_to_be_missing() {
        let all = "[recording]\ndirectory = 'hello.mp3'\n[transcription]\nurl = 'ftp://asr'\n[voicemail.front]\ntranscribe = true\n";
        let (found, _) = read(&format!("{REST}record = true\n{all}"));
        let codes: Vec<&str> = found.iter().map(|one| &one[..6]).collect();
        assert_eq!(codes, ["TG0159", "TG0108"], "{found:#?}");
    }

    #[test]
    fn each_mistake_is_found_at_its_place() {
        let of = |keys: &str| format!("{REST}{RECORDING}[voicemail.front]\n{keys}\n");
        for (lines, expected) in [
            (format!("{REST}[voicemail.front]\n"), "TG0106 5:12 voicemail front needs [recording]. add [recording]"),
            (format!("{REST}{RECORDING}"), "TG0160 4:23 unknown voicemail: front. the file has no mailboxes"),
            (
                format!("{REST}{RECORDING}[voicemail.frond]\n"),
                "TG0160 4:23 unknown voicemail: front. did you mean \"frond\"?",
            ),
            (
                format!("{REST}{RECORDING}[voicemail.front]\n[voicemail.back]\n"),
                "TG0145 8:12 no route uses voicemail back. add \"voicemail:back\" to `connect` of a route",
            ),
            (of("greeting = 'no.wav'"), "TG0114 8:12 `greeting`: no such file"),
            (of("greeting = '../no.wav'"), "8:12 `greeting`: "),
            (of("max_length = '2h'"), "TG0105 8:14 `max_length` is out of range. use \"1s\" to \"1h\""),
            (of("max_length = 60"), "TG0109 8:14 `max_length` has no unit"),
            (of("silence = '0s'"), "TG0105 8:11 `silence` is out of range. use \"1s\" to \"1m\""),
            (of("notify = 'ftp://h/'"), "TG0154 8:10 `notify` is not a web address"),
            (
                of("notify = 'http://169.254.169.254/x'"),
                "TG0154 8:10 `notify` can never be reached: 169.254.169.254 is a cloud metadata address. use the address",
            ),
            (
                of("transcribe = true"),
                "TG0106 8:14 `transcribe` of voicemail front needs [transcription]. add [transcription] with",
            ),
            (of("mwi = 'trunk:b'"), "TG0120 8:7 unknown trunk: b. did you mean \"a\"?"),
            (
                of("mwi = ['trunk:a', 'trunk:a/10', 'trunk:a']"),
                "TG0107 8:33 `mwi` of voicemail front has an entry twice",
            ),
            (
                of("mwi = 'a'"),
                "8:7 `mwi`: \"a\" is neither a trunk nor a user of one. use \"trunk:NAME\" or \"trunk:NAME/USER\"",
            ),
            (of("mwi = 'trunk:a/1 0'"), "\"trunk:a/1 0\" is neither a trunk nor"),
            (of("mwi = 'trunk:a/10@h'"), "\"trunk:a/10@h\" is neither a trunk nor"),
            (of("mwi = 'trunk:'"), "\"trunk:\" is neither a trunk nor"),
            (of("greetings = 'a'"), "did you mean `greeting`?"),
            (format!("{REST}{RECORDING}[voicemail.'../front']\n"), "7:12 "),
            (REST.replace("voicemail:front", "voicemail:../front"), "TG0160 4:23 unknown voicemail: ../front"),
            (REST.replace("'voicemail:front'", "'voicemail:'"), "4:23 \"voicemail:\" is not a mailbox. voicemail:NAME"),
            (
                REST.replace("['trunk:a', 'voicemail:front']", "[{ ring_all = ['trunk:a', 'voicemail:front'] }]"),
                "`ring_all`: \"voicemail:front\" is not allowed. a mailbox answers immediately: list it after the table",
            ),
        ] {
            let (found, _) = read(&lines);
            assert!(found.iter().any(|one| one.contains(expected)), "{lines}: {expected}\n{found:#?}");
        }
    }
}
