//! `auth` and `require_auth` of a trunk: user name and password.

use std::path::Path;

use trunkgate_route::{Credentials, DigestHash};

use super::code;
use super::diagnostic::Findings;
use super::keys::ReadScope;
use super::keys::{self, ConfigKey};
use super::section::{Section, SpannedValue};
use super::{secrets, values};

/// Maximum length of a user name, password or realm, in bytes.
const TEXT_BYTES: usize = 256;

/// Digest algorithms that a challenge may offer.
const HASHES: [(&str, DigestHash); 3] =
    [("MD5", DigestHash::Md5), ("SHA-256", DigestHash::Sha256), ("SHA-512-256", DigestHash::Sha512_256)];

/// Reads `auth = { username = "…", password = …, realm = "…" }`.
pub(super) fn auth(
    key: &str,
    value: &SpannedValue<'_>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Option<Credentials> {
    read(key, keys::AUTH, value, around.folder, findings).map(|(credentials, _)| credentials)
}

/// Reads `require_auth`: like `auth`, with an optional list such as `algorithms = ["SHA-256", "MD5"]`.
pub(super) fn require_auth(
    value: &SpannedValue<'_>,
    folder: &Path,
    findings: &mut Findings,
) -> Option<(Credentials, Option<Vec<DigestHash>>)> {
    read("require_auth", keys::REQUIRE_AUTH, value, folder, findings)
}

fn read(
    key: &str,
    known: &'static [ConfigKey],
    value: &SpannedValue<'_>,
    folder: &Path,
    findings: &mut Findings,
) -> Option<(Credentials, Option<Vec<DigestHash>>)> {
    if !value.get_ref().is_table() {
        values::wrong_type(key, value, "{ username = \"…\", password = { env = \"NAME\" } }", findings);
        return None;
    }
    let section = Section::open(&format!("`{key}`"), value, known, findings)?;
    let username = required(&section, key, "username", value, findings);
    let password = required(&section, key, "password", value, findings);
    let username = username.and_then(|value| text("username", value, findings));
    let password = password.and_then(|value| {
        let secret = values::secret("password", value, findings, folder)?;
        sound("password", secret.reveal().to_owned(), value, findings)
    });
    let realm = match section.get("realm") {
        Some(value) => Some(text("realm", value, findings)?),
        None => None,
    };
    let algorithms = section.get("algorithms").and_then(|value| algorithms(value, findings));
    let credentials = Credentials { username: username?, password: password?, realm };
    let place = section.get("password").unwrap_or(value);
    secrets::password(&credentials, place.span(), findings);
    Some((credentials, algorithms))
}

fn algorithms(value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Vec<DigestHash>> {
    let one =
        |key: &str, value: &SpannedValue<'_>, findings: &mut Findings| values::one_of(key, value, findings, &HASHES);
    let read = values::one_or_list("algorithms", value, findings, one)?;
    let mut hashes: Vec<DigestHash> = Vec::new();
    for (hash, span) in read {
        if hashes.contains(&hash) {
            findings.error(
                code::BAD_VALUE,
                span,
                "`algorithms` contains a duplicate",
                "list each once, in order of preference",
            );
        } else {
            hashes.push(hash);
        }
    }
    if value.get_ref().as_array().is_some_and(|list| list.is_empty()) {
        let help = "[\"SHA-256\", \"MD5\"], or [\"MD5\"] for phones that reject unknown algorithms";
        findings.error(code::BAD_VALUE, value.span(), "`algorithms` is empty", help);
    }
    Some(hashes)
}

fn required<'a>(
    section: &Section<'a>,
    key: &str,
    name: &str,
    whole: &SpannedValue<'_>,
    findings: &mut Findings,
) -> Option<&'a SpannedValue<'a>> {
    let found = section.get(name);
    if found.is_none() {
        let help = format!("use {{ username = \"…\", password = {{ env = \"NAME\" }} }}: add {name}");
        findings.error(code::MISSING, whole.span(), format!("`{key}` has no `{name}`"), help);
    }
    found
}

fn text(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<String> {
    sound(key, values::string(key, value, findings)?, value, findings)
}

/// Returns a text that can be sent in a SIP header, and reports any other.
fn sound(key: &str, text: String, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<String> {
    let fault = match text.len() {
        0 => "is empty",
        1..=TEXT_BYTES if !text.chars().any(char::is_control) => return Some(text),
        1..=TEXT_BYTES => "contains a control character",
        _ => "is longer than 256 bytes",
    };
    findings.error(code::BAD_VALUE, value.span(), format!("`{key}` {fault}"), "use the value agreed with the provider");
    None
}
