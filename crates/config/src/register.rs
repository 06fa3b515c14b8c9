//! `register` of a trunk: registrar and registered user.

use std::time::Duration;

use trunkgate_route::RegistrationSettings;

use super::code;
use super::cover::told;
use super::diagnostic::Findings;
use super::keys;
use super::section::{Section, SpannedValue};
use super::{trunks, values};

/// Default registration lifetime.
const EXPIRES: Duration = Duration::from_secs(600);
/// Minimum and maximum of `expires`.
const ALLOWED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));

/// Reads `{ registrar = "sip:carrier.example", user = "acme", expires = "10m" }`.
pub(super) fn read(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<RegistrationSettings> {
    const FORM: &str = "{ registrar = \"sip:carrier.example\", user = \"acme\" }";
    if !value.get_ref().is_table() {
        values::wrong_type(key, value, FORM, findings);
        return None;
    }
    let section = Section::open(&format!("`{key}`"), value, keys::REGISTER, findings)?;
    for name in ["registrar", "user"] {
        if section.get(name).is_none() {
            findings.error(code::MISSING, value.span(), format!("`{key}` has no `{name}`"), format!("use {FORM}"));
        }
    }
    let registrar = section.read("registrar", findings, |key, value, findings| {
        let text = values::string(key, value, findings)?;
        let address = trunks::sip_uri(&text, "a registrar", value.span(), findings)?;
        if !address.user.is_empty() {
            let (text, user) = (told(&text), address.user.split(':').next().unwrap_or_default());
            let help = format!("remove `{user}@`: use the key `user`");
            findings.error(code::BAD_ADDRESS, value.span(), format!("\"{text}\" contains a user part"), help);
            return None;
        }
        Some((text, address.destination))
    });
    let user = section.read("user", findings, |key, value, findings| {
        let text = values::string(key, value, findings)?;
        if text.is_empty() || text.len() > 128 || text.chars().any(|c| c.is_control() || c == '@') {
            let help = "use the user part only: \"acme\" or \"+14155551234\"";
            findings.error(code::BAD_VALUE, value.span(), format!("`{key}` cannot be \"{}\"", told(&text)), help);
            return None;
        }
        Some(text)
    });
    let expires = section.read("expires", findings, |key, value, findings| {
        let expires = values::duration(key, value, findings)?;
        if !(ALLOWED.0..=ALLOWED.1).contains(&expires) {
            findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is out of range"), "\"1m\" to \"24h\"");
            return None;
        }
        Some(expires)
    });
    let (uri, registrar) = registrar?;
    Some(RegistrationSettings { uri, registrar, user: user?, expires: expires.unwrap_or(EXPIRES) })
}
