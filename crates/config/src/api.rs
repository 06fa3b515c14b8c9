//! `[api]`: the Twilio-compatible REST API.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use trunkgate_route::TargetSpec;

use super::code;
use super::diagnostic::Findings;
use super::draft::{SpannedApi, SpannedRoute, TargetSpan};
use super::keys::{self, ReadScope};
use super::section::{Section, SpannedValue};
use super::targets::{self, TargetScope};
use super::types::{ApiSettings, ProxyMode};
use super::values;

use trunkgate_system::text::hex;

/// Reads the section; `edge` is the name of the edge.
pub(super) fn read<'a>(
    section: Option<&Section<'a>>,
    edge: &str,
    means: TargetScope<'_>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> SpannedApi {
    let mut api = ApiSettings {
        account_sid: default_sid(edge),
        auth_token: None,
        connect: Vec::new(),
        allow_private: false,
        requests_per_second: 0,
        emergency_calls: 0,
        keep_calls: Duration::ZERO,
        proxy: ProxyMode::Off,
        tls: None,
        strict: false,
    };
    keys::fill((keys::API, keys::PUT_API), section, &mut api, around, findings);
    let token = section.and_then(|section| section.get("auth_token"));
    for key in ["allow_private", "requests_per_second", "keep_calls", "proxy", "tls", "strict"] {
        let Some(value) = section.and_then(|section| section.get(key)).filter(|_| token.is_none()) else { continue };
        let message = format!("`{key}` has no effect without `auth_token`, which opens the API");
        findings.warning(code::BAD_VALUE, Some(value.span()), message, "remove it, or add `auth_token`");
    }
    let proxy = section.filter(|_| api.proxy != ProxyMode::Off).and_then(|section| section.get("proxy"));
    let (connect, places) = section.map(|section| connect(section, means, findings)).unwrap_or_default();
    api.connect = connect;
    let (proxy, tls) = (proxy.map(|value| value.span()), section.and_then(|section| section.get("tls")));
    let tls = tls.map(|value| value.span());
    SpannedApi { api, connect: places, auth_token: token.map(|value| value.span()), proxy, tls }
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
fn connect(
    section: &Section<'_>,
    means: TargetScope<'_>,
    findings: &mut Findings,
) -> (Vec<TargetSpec>, Vec<TargetSpan>) {
    let Some(value) = section.get("connect") else { return Default::default() };
    let read = targets::connect(value, TargetScope { groups: None, ..means }, findings);
    let is_plain = |(target, place): &targets::SpannedTarget| {
        let is_it = matches!(target, TargetSpec::Trunk { number: None, weight: None, .. });
        if !is_it {
            let message = "`connect` of [api] lists trunks, each without number and weight";
            findings.error(code::BAD_TARGET, place.span.clone(), message, "use trunk:NAME");
        }
        is_it
    };
    read.into_iter().filter(is_plain).unzip()
}

/// Reads `account_sid`: `AC` and 32 lower-case hex digits.
pub(super) fn account_sid(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<String> {
    let text = values::string(key, value, findings)?;
    let is_hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let fits = text.len() == 34 && text.strip_prefix("AC").is_some_and(is_hex);
    if !fits {
        let help = "use AC and 32 hexadecimal digits";
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` cannot be \"{text}\""), help);
    }
    fits.then_some(text)
}

/// Reads `proxy`: `false`, `true` or `"tunnel"`.
pub(super) fn proxy(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<ProxyMode> {
    let known = value.get_ref();
    match (known.as_bool(), known.as_str()) {
        (Some(false), _) => return Some(ProxyMode::Off),
        (Some(true), _) => return Some(ProxyMode::Api),
        (None, Some("tunnel")) => return Some(ProxyMode::Tunnel),
        (None, Some(text)) => {
            let help = "use true, false or \"tunnel\"";
            findings.error(code::BAD_VALUE, value.span(), format!("`{key}` cannot be \"{text}\""), help);
        }
        (None, None) => values::wrong_type(key, value, "true, false or \"tunnel\"", findings),
    }
    None
}

impl SpannedApi {
    /// Returns whether API requests can place calls; such an edge is useful without any route.
    pub(super) fn places_calls(&self) -> bool {
        self.auth_token.is_some() && !self.api.connect.is_empty()
    }

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
