//! E-mail about a voicemail message: header, text, and the audio as an attachment (RFC 5322, RFC 2045), all in ASCII.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trunkgate_call::numbers::plain;
use trunkgate_call::{recorded_seconds, rfc2822};
use trunkgate_route::is_loopback_host;
use url::Url;

use crate::sinks::recordings::index::RecordingEntry;
use trunkgate_system::limits::MAIL_TEXT_BYTES;
use trunkgate_system::terminal::harmless;

/// Maximum length of a phone number in the subject, in characters.
const NUMBER_CHARACTERS: usize = 64;
/// Maximum number of bytes in one encoded word of a header: 75 characters (RFC 2047 §2).
const WORD_BYTES: usize = 45;
/// Number of bytes in one base64 line: 76 characters (RFC 2045 §6.8).
const LINE_BYTES: usize = 57;

/// Contents of an e-mail about a voicemail message.
#[derive(Debug)]
pub(super) struct MailText<'a> {
    /// Index entry of the voicemail message.
    pub(super) entry: &'a RecordingEntry,
    /// E-mail address of the sender.
    pub(super) from: &'a str,
    /// E-mail address of the recipient.
    pub(super) to: &'a str,
    /// URL of the message's audio.
    pub(super) url: &'a str,
    /// Transcription of the message, if available.
    pub(super) said: Option<&'a str>,
    /// Audio to be attached, or the reason why it is not.
    pub(super) audio: Result<&'a [u8], &'a str>,
}

impl MailText<'_> {
    /// Returns the maximum size of an e-mail with this many bytes of audio.
    pub(super) const fn bytes_with(audio: u64) -> u64 {
        // A line has 78 bytes including its end; headers are short.
        (audio + MAIL_TEXT_BYTES as u64) / LINE_BYTES as u64 * 78 + 16_384
    }

    /// Returns the file name of the attachment.
    fn file(&self) -> String {
        format!("{}.{}", self.entry.sid, if self.entry.is_opus { "opus" } else { "wav" })
    }

    /// Returns the URL of the audio, or the command that exports it if the URL leads to loopback and is useless for the
    /// reader.
    fn place(&self) -> String {
        let url = Url::parse(self.url).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let is_here = is_loopback_host(host) || matches!(host, "0.0.0.0" | "[::]");
        match is_here {
            true => format!("trunkgate recordings export {}", self.entry.sid),
            false => format!("{}.{}", self.url, if self.entry.is_opus { "opus" } else { "wav" }),
        }
    }

    /// Returns the text part: data of the message, one per line, and the transcription.
    fn body(&self) -> String {
        let RecordingEntry { sid, started, milliseconds, message, .. } = self.entry;
        let (mailbox, from, to) = message
            .as_ref()
            .map_or(("", "", ""), |message| (message.mailbox.as_str(), message.from.as_str(), message.to.as_str()));
        let began = jiff::Timestamp::from_millisecond(*started).unwrap_or_default();
        let mut body = format!("New message in the mailbox {mailbox}.\r\n\r\n");
        let lines = [
            ("From", plain(from, NUMBER_CHARACTERS)),
            ("To", plain(to, NUMBER_CHARACTERS)),
            ("Received", began.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
            ("Length", length(*milliseconds)),
            ("Recording", sid.clone()),
            ("Audio", self.place()),
        ];
        for (name, value) in lines {
            let _ = write!(body, "{name}: {value}\r\n");
        }
        if let Some(said) = self.said {
            // The transcription may contain any words, including control characters.
            let said = harmless(said).lines().collect::<Vec<_>>().join("\r\n");
            let _ = write!(body, "\r\n{said}\r\n");
        }
        if let Err(why) = self.audio {
            let _ = write!(body, "\r\nThe audio is not attached: {why}.\r\n");
        }
        body
    }

    /// Returns the complete e-mail with header and attachment.
    pub(super) fn written(&self) -> Vec<u8> {
        let MailText { entry, from, to, audio, .. } = self;
        let caller = entry.message.as_ref().map_or("", |message| message.from.as_str());
        let mailbox = entry.message.as_ref().map_or("", |message| message.mailbox.as_str());
        let caller = plain(if caller.is_empty() { "unknown" } else { caller }, NUMBER_CHARACTERS);
        let subject = format!("Voicemail {mailbox}: {caller}, {}", length(entry.milliseconds));
        // The date is that of the message, so that every attempt sends the same e-mail.
        let sent = Duration::from_millis(u64::try_from(entry.updated).unwrap_or(0));
        let domain = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
        let boundary = format!("=_{}", entry.sid);
        let text = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64";
        let mut written = format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: {}\r\nDate: {}\r\nMessage-ID: <{}@{domain}>\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n",
            header(&subject),
            rfc2822(SystemTime::UNIX_EPOCH + sent),
            entry.sid,
        );
        let Ok(audio) = audio else {
            let _ = write!(written, "{text}\r\n\r\n");
            lines(&mut written, self.body().as_bytes());
            return written.into_bytes();
        };
        let file = self.file();
        let media_type = if entry.is_opus { "audio/ogg" } else { "audio/wav" };
        let _ = write!(
            written,
            "Content-Type: multipart/mixed;\r\n boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n{text}\r\n\r\n"
        );
        lines(&mut written, self.body().as_bytes());
        let _ = write!(
            written,
            "--{boundary}\r\nContent-Type: {media_type};\r\n name=\"{file}\"\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment;\r\n filename=\"{file}\"\r\n\r\n"
        );
        written.reserve(audio.len() / LINE_BYTES * 78 + 256);
        lines(&mut written, audio);
        let _ = write!(written, "--{boundary}--\r\n");
        written.into_bytes()
    }
}

/// Formats a duration as minutes and seconds.
fn length(milliseconds: u64) -> String {
    let seconds = recorded_seconds(milliseconds);
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Writes bytes as base64 lines.
fn lines(to: &mut String, bytes: &[u8]) {
    for part in bytes.chunks(LINE_BYTES) {
        STANDARD.encode_string(part, to);
        to.push_str("\r\n");
    }
}

/// Returns a text as a header value; a text that is not ASCII becomes encoded words (RFC 2047).
fn header(text: &str) -> String {
    // A caller may have supplied an encoded word, which mail programs would decode.
    if text.is_ascii() && !text.contains("=?") {
        return text.to_owned();
    }
    let (mut words, mut word) = (Vec::new(), String::new());
    for c in text.chars() {
        if word.len() + c.len_utf8() > WORD_BYTES {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let encoded = words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
    encoded.collect::<Vec<_>>().join("\r\n ")
}

#[cfg(test)]
mod tests {
    use trunkgate_call::VoicemailMessage;

    use super::*;

    fn entry(from: &str) -> RecordingEntry {
        let message = VoicemailMessage { mailbox: "front".into(), from: from.into(), to: "+14155550199".into() };
        RecordingEntry {
            sid: "RE0123456789abcdef0123456789abcdef".into(),
            milliseconds: 62_400,
            updated: 1_795_600_080_000,
            message: Some(message),
            ..RecordingEntry::begun(1_795_600_000_000)
        }
    }

    fn written(entry: &RecordingEntry, audio: Result<&[u8], &str>) -> String {
        let (from, to) = ("voicemail@example.com", "desk@example.com");
        let url = "https://edge.example.com/2010-04-01/Accounts/AC1/Recordings/RE1";
        String::from_utf8(MailText { entry, from, to, url, said: Some("Call me\nback, Jörg."), audio }.written())
            .unwrap()
    }

    fn decoded(lines: &str) -> Vec<u8> {
        STANDARD.decode(lines.split_whitespace().collect::<String>()).unwrap()
    }

    #[test]
    fn what_was_said_steers_no_mail_program() {
        let entry = entry("+14155550100");
        let said = Some("pay \u{1b}[2J\u{202e}gnp.exe\u{7}\r\nnow\rthen");
        let text =
            MailText { entry: &entry, from: "a@b", to: "c@d", url: "https://h/RE1", said, audio: Err("it is long") };
        assert!(text.body().contains("\r\npay ·[2J·gnp.exe··\r\nnow·then\r\n"), "{:?}", text.body());
    }

    #[test]
    fn an_e_mail_has_a_text_and_the_audio() {
        let audio: Vec<u8> = (0..1000_u32).map(|at| at as u8).collect();
        let mail = written(&entry("+14155550100"), Ok(&audio));
        let (head, parts) = mail.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            head.lines().collect::<Vec<_>>(),
            [
                "From: <voicemail@example.com>",
                "To: <desk@example.com>",
                "Subject: Voicemail front: +14155550100, 1:02",
                "Date: Wed, 25 Nov 2026 09:48:00 +0000",
                "Message-ID: <RE0123456789abcdef0123456789abcdef@example.com>",
                "Auto-Submitted: auto-generated",
                "MIME-Version: 1.0",
                "Content-Type: multipart/mixed;",
                " boundary=\"=_RE0123456789abcdef0123456789abcdef\"",
            ]
        );
        let parts: Vec<&str> = parts.split("--=_RE0123456789abcdef0123456789abcdef").collect();
        assert_eq!((parts.len(), parts[3]), (4, "--\r\n"));
        let body = String::from_utf8(decoded(parts[1].split_once("\r\n\r\n").unwrap().1)).unwrap();
        for line in [
            "New message in the mailbox front.",
            "From: +14155550100",
            "To: +14155550199",
            "Received: 2026-11-25 09:46:40 UTC",
            "Length: 1:02",
            "Call me",
            "back, Jörg.",
            "Recording: RE0123456789abcdef0123456789abcdef",
            "Audio: https://edge.example.com/2010-04-01/Accounts/AC1/Recordings/RE1.wav",
        ] {
            assert!(body.lines().any(|has| has == line), "{line}\n{body}");
        }
        let (head, file) = parts[2].split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("Content-Type: audio/wav;\r\n name=\"RE0123456789abcdef0123456789abcdef.wav\""),
            "{head}"
        );
        assert!(
            head.contains("Content-Disposition: attachment;\r\n filename=\"RE0123456789abcdef0123456789abcdef.wav\"")
        );
        assert_eq!(decoded(file), audio);
        assert!(mail.lines().all(|line| line.len() <= 78), "{mail}");
        assert!(mail.len() as u64 <= MailText::bytes_with(audio.len() as u64));
    }

    #[test]
    fn an_address_of_this_machine_is_no_link() {
        let entry = entry("+14155550100");
        let place =
            |url: &str| MailText { entry: &entry, from: "a@b", to: "c@d", url, said: None, audio: Err("x") }.place();
        for here in ["http://127.0.0.1:8080/Recordings/RE1", "http://[::1]:8080/RE1", "https://localhost/RE1"] {
            assert_eq!(place(here), format!("trunkgate recordings export {}", entry.sid));
        }
        assert_eq!(place("https://edge.example.com/RE1"), "https://edge.example.com/RE1.wav");
    }

    #[test]
    fn an_e_mail_without_audio_says_why() {
        let mail = written(&entry("+14155550100"), Err("it is too long"));
        let body = String::from_utf8(decoded(mail.split_once("\r\n\r\n").unwrap().1)).unwrap();
        assert!(body.ends_with("\r\nThe audio is not attached: it is too long.\r\n"), "{body}");
        assert!(mail.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "{mail}");
    }

    #[test]
    fn a_caller_cannot_write_headers() {
        let mail = written(&entry("x\r\nBcc: all@example.com\r\n\r\nhello"), Err("x"));
        assert!(!mail.contains("\r\nBcc"), "{mail}");
        assert_eq!(mail.matches("\r\n\r\n").count(), 1);
        let mail = written(&entry(&"Jörg ".repeat(10)), Err("x"));
        assert!(mail.is_ascii());
        let subject = mail.split_once("Subject: ").unwrap().1.split_once("\r\nDate").unwrap().0;
        let words = subject.split("\r\n ").map(|word| {
            assert!(word.len() <= 75, "{word}");
            decoded(word.strip_prefix("=?utf-8?B?").unwrap().strip_suffix("?=").unwrap())
        });
        let text: Vec<String> = words.map(|word| String::from_utf8(word).unwrap()).collect();
        assert_eq!(text.concat(), format!("Voicemail front: {}, 1:02", "Jörg ".repeat(10)));
        let word = "=?utf-8?Q?=E2=80=AE?=";
        let mail = written(&entry(word), Err("x"));
        let subject = mail.split_once("Subject: ").unwrap().1.split_once("\r\nDate").unwrap().0;
        let words = subject
            .split("\r\n ")
            .flat_map(|word| decoded(word.strip_prefix("=?utf-8?B?").unwrap().strip_suffix("?=").unwrap()));
        assert_eq!(String::from_utf8(words.collect()).unwrap(), format!("Voicemail front: {word}, 1:02"));
        let unknown = written(&entry(""), Err("x"));
        assert!(unknown.contains("Subject: Voicemail front: unknown, 1:02\r\n"), "{unknown}");
    }
}
