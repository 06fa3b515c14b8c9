//! `[otel]`: OpenTelemetry traces of calls, and their sampling.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use ipnet::IpNet;
use toml::de::DeValue;
use trunkgate_call::Sampling;
use url::Url;

use super::code;
use super::diagnostic::Findings;
use super::keys;
use super::section::Section;
use super::speech::{UrlWords, web_address};
use super::types::Secret;
use super::values::KeyReader;

/// Path of traces below an endpoint (OTLP, "OTLP/HTTP Request").
const TRACES: &str = "/v1/traces";
/// Maximum of `timeout`.
const LONGEST: Duration = Duration::from_secs(60);
/// Headers that every request has already.
const OURS: [&str; 6] =
    ["host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection"];
/// Message texts for an invalid `endpoint`.
const URL_WORDS: UrlWords = UrlWords {
    user: "contains a user part: use Authorization in `headers`",
    clear: "sends traces unencrypted: http:// is allowed for loopback and [edge] local_networks only",
    help: "use \"http://127.0.0.1:4318\" or \"https://otlp.example.com\"",
    names_may_be_near: true,
};

/// Settings of `[otel]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtelSettings {
    /// URL for traces, including the path.
    pub url: String,
    /// Names and values of the headers sent with each request.
    pub headers: Vec<(String, Secret)>,
    /// Selection of the calls that are traced.
    pub sampling: Sampling,
    /// Resource attribute `service.name`.
    pub service_name: String,
    /// Maximum duration of a request to the collector.
    pub timeout: Duration,
    /// CA bundle (PEM) to verify the collector; `None` selects the system roots.
    pub ca: Option<Arc<[u8]>>,
    /// Networks for which `http://` is allowed in addition to loopback.
    pub local_networks: Vec<IpNet>,
}

/// Reads `[otel]`; `None` without a usable endpoint.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Option<OtelSettings> {
    let mut otel = OtelSettings {
        url: String::new(),
        headers: Vec::new(),
        sampling: Sampling::NONE,
        service_name: String::new(),
        timeout: Duration::ZERO,
        ca: None,
        local_networks: section.scope().edge.local_networks.clone(),
    };
    section.fill((keys::OTEL, keys::PUT_OTEL), &mut otel, findings);
    Some(otel).filter(|otel| !otel.url.is_empty())
}

/// Reads `endpoint` and returns the URL for traces.
pub(super) fn endpoint(reader: &mut KeyReader<'_>) -> Option<String> {
    of_traces(&web_address(reader, URL_WORDS)?)
}

/// Appends the path of traces to a base URL, unless the URL already ends in it; `None` if the text is not a URL.
fn of_traces(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&if path.ends_with(TRACES) { path } else { path + TRACES });
    url.set_fragment(None);
    Some(url.into())
}

/// Reads a number from 0 to 1.
pub(super) fn share(reader: &mut KeyReader<'_>) -> Option<f64> {
    let number: Option<f64> = match reader.value.get_ref() {
        DeValue::Float(number) => number.as_str().replace('_', "").parse().ok(),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
        }
        DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            return reader.wrong_type("use a number from 0 to 1");
        }
    };
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    if number.is_none() {
        let help = "use 0 to 1: 0.1 exports one call in ten";
        reader.error(code::BAD_VALUE, "is out of range", help);
    }
    number
}

pub(super) fn service_name(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let fits = !text.trim().is_empty() && text.len() <= 255 && !text.contains(char::is_control);
    if !fits {
        reader.error(code::BAD_VALUE, "is not a valid name", "use 1 to 255 bytes: \"trunkgate\"");
    }
    fits.then_some(text)
}

pub(super) fn timeout(reader: &mut KeyReader<'_>) -> Option<Duration> {
    let found = reader.duration()?;
    let fits = !found.is_zero() && found <= LONGEST;
    if !fits {
        reader.error(code::BAD_VALUE, "is out of range", "maximum \"60s\", not 0");
    }
    fits.then_some(found)
}

/// Reads headers; their values are never displayed.
pub(super) fn headers(reader: &mut KeyReader<'_>) -> Option<Vec<(String, Secret)>> {
    let entries = reader.entries("a table of headers such as { Authorization = { env = \"OTLP_TOKEN\" } }")?;
    let mut all = Vec::new();
    for entry in entries {
        let name = entry.name;
        let is_ours = OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours));
        if is_ours || HeaderName::from_bytes(name.as_bytes()).is_err() {
            let what = if is_ours { "is set by the HTTP client itself" } else { "is not a header name" };
            let message = format!("`{}` in `{}` {what}", name.escape_debug(), reader.key);
            reader.findings.error(code::BAD_VALUE, entry.span, message, "use Authorization or x-api-key");
            continue;
        }
        let mut value = reader.entry(&entry);
        let Some(secret) = value.secret() else { continue };
        if HeaderValue::from_str(secret.reveal()).is_err() {
            value.error(code::BAD_SECRET, ": invalid header value", "use printable ASCII in one line");
            continue;
        }
        all.push((name.to_owned(), secret));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::parse;

    fn read(otel: &str) -> Result<OtelSettings, Vec<&'static str>> {
        let text = format!("[trunk.a]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = ['trunk:a']\n[otel]\n{otel}\n");
        let parsed = parse(Path::new("x/trunkgate.toml"), &text);
        parsed
            .map(|(config, _)| config.otel.unwrap())
            .map_err(|found| found.iter().filter(|one| one.is_error).map(|one| one.code).collect())
    }

    #[test]
    fn an_endpoint_is_a_base_or_the_whole_address() {
        for (written, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/v1/traces", "http://127.0.0.1:4318/v1/traces"),
            ("http://[::1]:4318/v1/traces/", "http://[::1]:4318/v1/traces"),
            ("https://h.example/otlp", "https://h.example/otlp/v1/traces"),
            ("https://h.example/otlp?tenant=1#x", "https://h.example/otlp/v1/traces?tenant=1"),
            // Host names are checked after resolution.
            ("http://collector:4318", "http://collector:4318/v1/traces"),
        ] {
            assert_eq!(read(&format!("endpoint = '{written}'")).unwrap().url, url);
        }
    }

    #[test]
    fn what_is_written_is_what_is_done() {
        let otel = read(
            "endpoint = 'https://h'\nsample = 0.25\nservice_name = 'edge eu'\ntimeout = '3s'\n\
             headers = { Authorization = 'Bearer x', 'x-scope' = 'acme' }",
        );
        let otel = otel.unwrap();
        assert_eq!((otel.sampling, otel.timeout), (Sampling::of_share(0.25), Duration::from_secs(3)));
        let headers: Vec<_> = otel.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
        assert_eq!(
            (headers, &*otel.service_name),
            (vec![("Authorization", "Bearer x"), ("x-scope", "acme")], "edge eu")
        );
        assert!(!format!("{:?}", otel.headers).contains("Bearer"));
        let plain = read("endpoint = 'https://h'").unwrap();
        assert_eq!((plain.sampling, plain.timeout), (Sampling::of_share(1.0), Duration::from_secs(10)));
        assert_eq!((plain.service_name.as_str(), plain.headers.len()), ("trunkgate", 0));
        assert_eq!(read("endpoint = 'https://h'\nsample = 0").unwrap().sampling, Sampling::NONE);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (otel, codes) in [
            ("", &["TG0106"][..]),
            ("endpoint = 'ftp://h'", &["TG0108"]),
            ("endpoint = 'http://192.0.2.9:4318'", &["TG0108"]),
            ("endpoint = 'https://user:word@h'", &["TG0108"]),
            ("endpoint = 'https://h'\nsample = 1.1", &["TG0105"]),
            ("endpoint = 'https://h'\nsample = nan", &["TG0105"]),
            ("endpoint = 'https://h'\nsample = -1", &["TG0105"]),
            ("endpoint = 'https://h'\nsample = '10%'", &["TG0103"]),
            ("endpoint = 'https://h'\ntimeout = '0s'", &["TG0105"]),
            ("endpoint = 'https://h'\ntimeout = '2m'", &["TG0105"]),
            ("endpoint = 'https://h'\nservice_name = ' '", &["TG0105"]),
            ("endpoint = 'https://h'\nheaders = 'x'", &["TG0103"]),
            ("endpoint = 'https://h'\nheaders = { 'a b' = 'x' }", &["TG0105"]),
            ("endpoint = 'https://h'\nheaders = { Content-Type = 'x' }", &["TG0105"]),
            ("endpoint = 'https://h'\nheaders = { x = \"a\\nb\" }", &["TG0110"]),
            ("endpoint = 'https://h'\nca = 'nowhere.pem'", &["TG0114"]),
        ] {
            assert_eq!(read(otel).unwrap_err(), codes, "{otel}");
        }
    }
}
