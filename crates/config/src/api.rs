//! `[api]`: the Twilio-compatible REST API.

use sha2::{Digest as _, Sha256};
use trunkgate_route::TargetSpec;

use super::code;
use super::diagnostic::Findings;
use super::draft::{SpannedApi, SpannedRoute, TargetSpan};
use super::keys;
use super::section::Section;
use super::targets;
use super::types::{ApiSettings, ProxyMode};
use super::values::KeyReader;

use trunkgate_system::text::hex;

/// Reads `[api]`.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> SpannedApi {
    let account_sid = default_sid(&section.scope().edge.name);
    let mut api = ApiSettings { account_sid, ..ApiSettings::default() };
    section.fill((keys::API, keys::PUT_API), &mut api, findings);
    let (targets, connect) = section.read("connect", findings, connect).unwrap_or_default();
    api.connect = targets;
    SpannedApi { api, connect }
}

fn default_sid(edge: &str) -> String {
    stable_sid("AC", &format!("trunkgate{edge}"))
}

/// Returns a stable SID for a resource that is not a call: the two letters of its kind and the first half of the
/// SHA-256 of its identity, in hex. The SID survives restarts.
pub(crate) fn stable_sid(kind: &str, what: &str) -> String {
    let digits = hex(&Sha256::digest(what));
    format!("{kind}{}", digits.get(..32).unwrap_or_default())
}

/// Reads `connect`: the trunks that carry API calls, in order; the called number comes from the request.
fn connect(reader: &mut KeyReader<'_>) -> Option<(Vec<TargetSpec>, Vec<TargetSpan>)> {
    reader.scope.groups = None;
    let read = targets::connect(reader);
    let is_plain = |(target, place): &targets::SpannedTarget| {
        let is_it = matches!(target, TargetSpec::Trunk { number: None, weight: None, .. });
        if !is_it {
            let message = "`connect` of [api] lists trunks, each without number and weight";
            reader.findings.error(code::BAD_TARGET, place.span.clone(), message, "use trunk:NAME");
        }
        is_it
    };
    Some(read.into_iter().filter(is_plain).unzip())
}

/// Reads `account_sid`: `AC` and 32 lower-case hex digits.
pub(super) fn account_sid(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let is_hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let fits = text.len() == 34 && text.strip_prefix("AC").is_some_and(is_hex);
    if !fits {
        let help = "use AC and 32 hexadecimal digits";
        reader.error(code::BAD_VALUE, format!("cannot be \"{text}\""), help);
    }
    fits.then_some(text)
}

/// Reads `proxy`: `false`, `true` or `"tunnel"`.
pub(super) fn proxy(reader: &mut KeyReader<'_>) -> Option<ProxyMode> {
    let known = reader.value.get_ref();
    match (known.as_bool(), known.as_str()) {
        (Some(false), _) => Some(ProxyMode::Off),
        (Some(true), _) => Some(ProxyMode::Api),
        (None, Some("tunnel")) => Some(ProxyMode::Tunnel),
        (None, Some(text)) => {
            reader.reject(code::BAD_VALUE, format!("cannot be \"{text}\""), "use true, false or \"tunnel\"")
        }
        (None, None) => reader.wrong_type("true, false or \"tunnel\""),
    }
}

impl SpannedApi {
    /// Returns `connect` as a route, to be checked like one.
    pub(super) fn route(&self) -> SpannedRoute {
        let route = trunkgate_route::Route::named("api", self.api.connect.clone());
        SpannedRoute { connect: self.connect.clone(), ..SpannedRoute::at(route, 0..0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected value: `printf trunkgateedge-1 | sha256sum`.
    #[test]
    fn an_edge_keeps_the_account_of_its_name() {
        assert_eq!(default_sid("edge-1"), "AC6c8032919dfd8c347e0edfc8ea2deb14");
        assert_ne!(default_sid("edge-1"), default_sid("edge-2"));
    }
}
