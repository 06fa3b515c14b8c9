//! `[hep]`: where a copy of calls' SIP and reports on their media goes.

use std::net::SocketAddr;
use std::path::Path;

use super::code;
use super::cover::told;
use super::diagnostic::Findings;
use super::section::{Section, Value};
use super::types::Secret;
use super::values;

/// The number of a capture agent that has none of its own.
const AGENT_ID: u32 = 1;
/// Longest name of a host (RFC 1035 §2.3.4).
const HOST_CHARS: usize = 253;

/// `[hep]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hep {
    /// Host and port.
    pub address: String,
    /// The capture agent's number.
    pub id: u32,
    /// What the server asks for.
    pub password: Option<Secret>,
}

/// Reads the section; `None` where it has no address that can be used.
pub(super) fn read(section: &Section<'_>, folder: &Path, findings: &mut Findings) -> Option<Hep> {
    let address = section.read("address", findings, address);
    if section.get("address").is_none() {
        let message = "[hep] has no `address`";
        findings.error(code::MISSING, section.span.clone(), message, "address = \"127.0.0.1:9060\"");
    }
    let id = section.read("id", findings, |key, value, findings| values::integer(key, value, findings, 1..=u32::MAX));
    let password = section.get("password").and_then(|value| values::secret("password", value, findings, folder));
    Some(Hep { address: address?, id: id.unwrap_or(AGENT_ID), password })
}

/// An IP address or a name, and a port.
fn address(key: &str, value: &Value<'_>, findings: &mut Findings) -> Option<String> {
    let text = values::string(key, value, findings)?;
    let is_name = |host: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !host.is_empty() && host.len() <= HOST_CHARS && host.chars().all(known)
    };
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let literal = text.parse::<SocketAddr>().is_ok_and(|address| address.port() > 0 && !address.ip().is_unspecified());
    let named = text.rsplit_once(':').is_some_and(|(host, rest)| is_name(host) && port(rest).is_some());
    // A literal that may not be one is no name either.
    if literal || named && text.parse::<SocketAddr>().is_err() {
        return Some(text);
    }
    let help = "use host and port of the server: \"127.0.0.1:9060\", \"homer.example.com:9060\"";
    findings.error(code::BAD_ADDRESS, value.span(), format!("`{key}`: \"{}\" is not host:port", told(&text)), help);
    None
}
