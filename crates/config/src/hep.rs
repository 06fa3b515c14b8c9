//! `[hep]`: capture server for copies of SIP messages and media reports.

use std::net::SocketAddr;

use super::code;
use super::cover::told;
use super::diagnostic::Findings;
use super::keys;
use super::section::Section;
use super::types::Secret;
use super::values::KeyReader;

/// Maximum length of a host name (RFC 1035 §2.3.4).
const HOST_CHARS: usize = 253;

/// Settings of `[hep]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HepSettings {
    /// Host and port of the capture server.
    pub address: String,
    /// Capture agent ID that packets carry.
    pub id: u32,
    /// Authentication key of the capture server.
    pub password: Option<Secret>,
}

/// Reads `[hep]`; `None` without a usable address.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Option<HepSettings> {
    let mut hep = HepSettings::default();
    section.fill((keys::HEP, keys::PUT_HEP), &mut hep, findings);
    Some(hep).filter(|hep| !hep.address.is_empty())
}

/// Reads `address`: an IP address or host name, with a port.
pub(super) fn address(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
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
    reader.reject(code::BAD_ADDRESS, format!(": \"{}\" is not host:port", told(&text)), help)
}
