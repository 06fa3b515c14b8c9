//! `[hep]`: capture server for copies of SIP messages and media reports.

use std::net::SocketAddr;

use super::code;
use super::cover::told;
use super::diagnostic::Findings;
use super::keys::{self, ReadScope};
use super::section::{Section, SpannedValue};
use super::types::Secret;
use super::values;

/// Maximum length of a host name (RFC 1035 §2.3.4).
const HOST_CHARS: usize = 253;

/// Settings of `[hep]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HepSettings {
    /// Host and port of the capture server.
    pub address: String,
    /// Capture agent ID.
    pub id: u32,
    /// Authentication key of the capture server.
    pub password: Option<Secret>,
}

/// Reads the section; `None` without a usable address.
pub(super) fn read(section: &Section<'_>, around: ReadScope<'_>, findings: &mut Findings) -> Option<HepSettings> {
    if section.get("address").is_none() {
        let message = "[hep] has no `address`";
        findings.error(code::MISSING, section.span.clone(), message, "address = \"127.0.0.1:9060\"");
    }
    let mut hep = HepSettings { address: String::new(), id: 0, password: None };
    keys::fill((keys::HEP, keys::PUT_HEP), Some(section), &mut hep, around, findings);
    Some(hep).filter(|hep| !hep.address.is_empty())
}

/// Reads `address`: an IP address or host name, with a port.
pub(super) fn address(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<String> {
    let text = values::string(key, value, findings)?;
    let is_name = |host: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !host.is_empty() && host.len() <= HOST_CHARS && host.chars().all(known)
    };
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let literal = text.parse::<SocketAddr>().is_ok_and(|address| address.port() > 0 && !address.ip().is_unspecified());
    let named = text.rsplit_once(':').is_some_and(|(host, rest)| is_name(host) && port(rest).is_some());
    // A malformed IP literal is not a host name either.
    if literal || named && text.parse::<SocketAddr>().is_err() {
        return Some(text);
    }
    let help = "use host and port of the server: \"127.0.0.1:9060\", \"homer.example.com:9060\"";
    findings.error(code::BAD_ADDRESS, value.span(), format!("`{key}`: \"{}\" is not host:port", told(&text)), help);
    None
}
