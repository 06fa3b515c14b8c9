//! `auth` and `require_auth` of a trunk: a user and a password.

use std::path::Path;

use trunkgate_route::Credentials;

use super::code;
use super::diagnostic::Findings;
use super::keys;
use super::section::{Section, Value};
use super::values;

/// Longest user, password or realm, in bytes.
const TEXT_BYTES: usize = 256;

/// `{ username = "…", password = …, realm = "…" }`.
pub(super) fn read(key: &str, value: &Value<'_>, folder: &Path, findings: &mut Findings) -> Option<Credentials> {
    if !value.get_ref().is_table() {
        values::wrong_type(key, value, "{ username = \"…\", password = { env = \"NAME\" } }", findings);
        return None;
    }
    let section = Section::open(&format!("`{key}`"), value, keys::CREDENTIALS, findings)?;
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
    Some(Credentials { username: username?, password: password?, realm })
}

fn required<'a>(
    section: &Section<'a>,
    key: &str,
    name: &str,
    whole: &Value<'_>,
    findings: &mut Findings,
) -> Option<&'a Value<'a>> {
    let found = section.get(name);
    if found.is_none() {
        let help = format!("as {{ username = \"…\", password = {{ env = \"NAME\" }} }}: add {name}");
        findings.error(code::MISSING, whole.span(), format!("`{key}` has no `{name}`"), help);
    }
    found
}

fn text(key: &str, value: &Value<'_>, findings: &mut Findings) -> Option<String> {
    sound(key, values::string(key, value, findings)?, value, findings)
}

/// What can stand in a header.
fn sound(key: &str, text: String, value: &Value<'_>, findings: &mut Findings) -> Option<String> {
    let fault = match text.len() {
        0 => "is empty",
        1..=TEXT_BYTES if !text.chars().any(char::is_control) => return Some(text),
        1..=TEXT_BYTES => "has a control character",
        _ => "is longer than 256 bytes",
    };
    findings.error(code::BAD_VALUE, value.span(), format!("`{key}` {fault}"), "as it was agreed with the far end");
    None
}
