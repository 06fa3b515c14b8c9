//! `auth` and `require_auth` of a trunk: user name and password.

use trunkgate_route::{Credentials, DigestHash};

use super::code;
use super::keys::{self, ConfigKey};
use super::secrets;
use super::values::KeyReader;

/// Maximum length of a user name, password or realm, in bytes.
const TEXT_BYTES: usize = 256;

/// Digest algorithms that a challenge may offer.
const HASHES: [(&str, DigestHash); 3] =
    [("MD5", DigestHash::Md5), ("SHA-256", DigestHash::Sha256), ("SHA-512-256", DigestHash::Sha512_256)];

/// Reads `auth = { username = "…", password = …, realm = "…" }`.
pub(super) fn auth(reader: &mut KeyReader<'_>) -> Option<Credentials> {
    read(reader, keys::AUTH).map(|(credentials, _)| credentials)
}

/// Reads `require_auth`: like `auth`, with an optional list such as `algorithms = ["SHA-256", "MD5"]`.
pub(super) fn require_auth(reader: &mut KeyReader<'_>) -> Option<(Credentials, Option<Vec<DigestHash>>)> {
    read(reader, keys::REQUIRE_AUTH)
}

fn read(reader: &mut KeyReader<'_>, known: &'static [ConfigKey]) -> Option<(Credentials, Option<Vec<DigestHash>>)> {
    if !reader.value.get_ref().is_table() {
        return reader.wrong_type("{ username = \"…\", password = { env = \"NAME\" } }");
    }
    let section = reader.section(known)?;
    for name in ["username", "password"] {
        let help = format!("use {{ username = \"…\", password = {{ env = \"NAME\" }} }}: add {name}");
        section.require(name, help, reader.findings);
    }
    let username = section.read("username", reader.findings, text);
    let password = section.read("password", reader.findings, |reader| {
        let secret = reader.secret()?;
        sound(reader, secret.reveal().to_owned())
    });
    let realm = match section.get("realm") {
        Some(_) => Some(section.read("realm", reader.findings, text)?),
        None => None,
    };
    let algorithms = section.read("algorithms", reader.findings, algorithms);
    let credentials = Credentials { username: username?, password: password?, realm };
    let place = section.span_of("password").unwrap_or_else(|| reader.span());
    secrets::password(&credentials, place, reader.findings);
    Some((credentials, algorithms))
}

fn algorithms(reader: &mut KeyReader<'_>) -> Option<Vec<DigestHash>> {
    let read = reader.one_or_list(|reader| reader.one_of(&HASHES))?;
    let mut hashes: Vec<DigestHash> = Vec::new();
    for (hash, span) in read {
        if hashes.contains(&hash) {
            let help = "list each once, in order of preference";
            reader.error_at(code::BAD_VALUE, span, "contains a duplicate", help);
        } else {
            hashes.push(hash);
        }
    }
    if reader.is_empty_list() {
        let help = "[\"SHA-256\", \"MD5\"], or [\"MD5\"] for phones that reject unknown algorithms";
        reader.error(code::BAD_VALUE, "is empty", help);
    }
    Some(hashes)
}

fn text(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    sound(reader, text)
}

/// Returns a text that can be sent in a SIP header, and reports any other.
fn sound(reader: &mut KeyReader<'_>, text: String) -> Option<String> {
    let fault = match text.len() {
        0 => "is empty",
        1..=TEXT_BYTES if !text.chars().any(char::is_control) => return Some(text),
        1..=TEXT_BYTES => "contains a control character",
        _ => "is longer than 256 bytes",
    };
    reader.reject(code::BAD_VALUE, fault, "use the value agreed with the provider")
}
