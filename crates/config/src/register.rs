//! `register` of a trunk: registrar and registered user.

use std::time::Duration;

use trunkgate_route::RegistrationSettings;

use super::code;
use super::cover::told;
use super::keys;
use super::trunks;
use super::values::KeyReader;

/// Default lifetime of a registration.
const EXPIRES: Duration = Duration::from_secs(600);
/// Minimum and maximum of `expires`.
const ALLOWED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));

/// Reads `{ registrar = "sip:carrier.example", user = "acme", expires = "10m" }`.
pub(super) fn read(reader: &mut KeyReader<'_>) -> Option<RegistrationSettings> {
    const FORM: &str = "{ registrar = \"sip:carrier.example\", user = \"acme\" }";
    if !reader.value.get_ref().is_table() {
        return reader.wrong_type(FORM);
    }
    let section = reader.section(keys::REGISTER)?;
    section.require("registrar", format!("use {FORM}"), reader.findings);
    section.require("user", format!("use {FORM}"), reader.findings);
    let registrar = section.read("registrar", reader.findings, |reader| {
        let text = reader.string()?;
        let address = trunks::sip_uri(&text, "a registrar", reader.value.span(), reader.findings)?;
        if !address.user.is_empty() {
            let (text, user) = (told(&text), address.user.split(':').next().unwrap_or_default());
            let help = format!("remove `{user}@`: use the key `user`");
            let message = format!("\"{text}\" contains a user part");
            reader.findings.error(code::BAD_ADDRESS, reader.value.span(), message, help);
            return None;
        }
        Some((text, address.destination))
    });
    let user = section.read("user", reader.findings, |reader| {
        let text = reader.string()?;
        if text.is_empty() || text.len() > 128 || text.chars().any(|c| c.is_control() || c == '@') {
            let help = "use the user part only: \"acme\" or \"+14155551234\"";
            return reader.reject(code::BAD_VALUE, format!("cannot be \"{}\"", told(&text)), help);
        }
        Some(text)
    });
    let expires = section.read("expires", reader.findings, |reader| {
        let expires = reader.duration()?;
        if !(ALLOWED.0..=ALLOWED.1).contains(&expires) {
            return reader.reject(code::BAD_VALUE, "is out of range", "\"1m\" to \"24h\"");
        }
        Some(expires)
    });
    let (uri, registrar) = registrar?;
    Some(RegistrationSettings { uri, registrar, user: user?, expires: expires.unwrap_or(EXPIRES) })
}
