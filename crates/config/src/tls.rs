//! TLS files of `[[listen]]` and of `tls` of a trunk, checked with the configuration, so that handshakes do not fail
//! later.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::ServerName;

use super::acme::AcmeSettings;
use super::code;
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SourceSpan};
use super::keys;
use super::section::Section;
use super::types::{HttpTls, ListenTls, TrunkTls};
use super::values::KeyReader;
pub(crate) use trunkgate_system::certificates::{PairFault, TrustAnchors, read_certificate, read_key, read_pair};
use trunkgate_system::clock;
use trunkgate_system::limits::CERTIFICATE_WARNING_DAYS;

/// Reads the TLS keys of a listener; `None` if they are incomplete or invalid. The default certificate is that of
/// `acme`.
pub(super) fn listener(
    section: &Section<'_>,
    acme: Option<&AcmeSettings>,
    findings: &mut Findings,
) -> Option<ListenTls> {
    let client_ca = section.read("client_ca", findings, trusted);
    let is_written = section.get("certificate").is_some() || section.get("private_key").is_some();
    let tls = match acme.filter(|_| !is_written) {
        Some(acme) => issued(acme),
        None => ListenTls { own: Some(written_pair(section, is_written, findings)?), ..ListenTls::default() },
    };
    let further = match section.get("certificates") {
        Some(_) => section.read("certificates", findings, further)?,
        None => Vec::new(),
    };
    let is_partial = client_ca.is_none() && section.get("client_ca").is_some();
    (!is_partial).then_some(ListenTls { further, client_ca, ..tls })
}

/// Returns the TLS settings of a listener that uses the certificate of `acme`.
pub(super) fn issued(acme: &AcmeSettings) -> ListenTls {
    ListenTls { own: Some((acme.certificate(), acme.certificate())), is_issued: true, ..ListenTls::default() }
}

fn written_pair(section: &Section<'_>, is_written: bool, findings: &mut Findings) -> Option<(PathBuf, PathBuf)> {
    if !is_written {
        let help = "add certificate = \"fullchain.pem\" and private_key = \"key.pem\", or acme = { domains = [\"…\"] } in [tls]";
        findings.error(code::MISSING, section.span.clone(), "a TLS listener without a certificate", help);
        return None;
    }
    pair(section, findings)
}

/// Reads `certificates` of a listener; `None` if one of them is missing or invalid.
fn further(reader: &mut KeyReader<'_>) -> Option<Vec<(PathBuf, PathBuf)>> {
    let all = reader.items(|reader| {
        let section = reader.section(keys::CERTIFICATE)?;
        if section.get("certificate").is_none() && section.get("private_key").is_none() {
            let help = "write { certificate = \"fullchain.pem\", private_key = \"key.pem\" }";
            let message = "an entry of `certificates` has neither `certificate` nor `private_key`";
            reader.findings.error(code::MISSING, reader.value.span(), message, help);
        }
        pair(&section, reader.findings)
    })?;
    (all.len() == reader.written_items()).then_some(all)
}

/// Reports TLS keys of a listener with another transport.
pub(super) fn not_for(transport: &str, section: &Section<'_>, findings: &mut Findings) {
    for key in ["certificate", "private_key", "certificates", "client_ca"] {
        if let Some(value) = section.get(key) {
            let message = format!("`{key}` has no effect on a {transport} listener");
            findings.error(code::BAD_VALUE, value.span(), message, "transport = \"tls\"");
        }
    }
}

/// Reads `tls` of a trunk, with the accepted certificate names.
pub(super) fn trunk(reader: &mut KeyReader<'_>, may_be_client: bool) -> Option<(TrunkTls, Vec<String>)> {
    let section = reader.section(keys::TRUNK_TLS)?;
    let findings = &mut *reader.findings;
    let ca = section.read("ca", findings, trusted);
    let own = pair(&section, findings);
    let verify = section.read("verify", findings, |reader| reader.boolean()).unwrap_or(true);
    if let Some(value) = section.get("verify").filter(|_| !verify) {
        let message = "`verify = false`: the connection can be intercepted and modified";
        let help = "add the certificate or its CA to `ca` instead";
        findings.warning(code::UNVERIFIED, Some(value.span()), message, help);
    }
    let names = section.read("names", findings, |reader| reader.items(name)).unwrap_or_default();
    let any_client_usage = client_usage(&section, may_be_client && section.get("names").is_some(), findings);
    Some((TrunkTls { ca, own, verify, any_client_usage }, names))
}

/// Reads `client_certificate_usage` of `tls`; `is_named` is true if the certificate's name identifies a client as this
/// trunk.
fn client_usage(section: &Section<'_>, is_named: bool, findings: &mut Findings) -> bool {
    let known = [("client", false), ("any", true)];
    let is_any = section.read("client_certificate_usage", findings, |reader| reader.one_of(&known)).unwrap_or(false);
    if let Some(value) = section.get("client_certificate_usage").filter(|_| is_any && !is_named) {
        let message = "`client_certificate_usage` has no effect without `names`";
        let help = "add names = [\"sbc.carrier.example\"]: a client is identified by a name in its certificate";
        findings.error(code::BAD_VALUE, value.span(), message, help);
    }
    is_any
}

/// Returns the first TLS listener if all of them require client certificates from CAs unrelated to `ca`: clients with a
/// certificate of `ca` would be rejected before a trunk is searched.
pub(super) fn excluded_by<'a>(ca: &Path, draft: &'a ConfigDraft) -> Option<&'a str> {
    let ca = TrustAnchors::of_file(ca).ok()?;
    let mut listeners = draft.listen.iter().filter_map(|placed| Some((&placed.listen, placed.listen.tls.as_ref()?)));
    let excludes = |tls: &ListenTls| {
        let demanded = tls.client_ca.as_deref().and_then(|path| TrustAnchors::of_file(path).ok());
        demanded.is_some_and(|demanded| demanded.is_apart_from(&ca))
    };
    let first = listeners.next().filter(|(_, tls)| excludes(tls))?;
    (!draft.listen_is_partial && listeners.all(|(_, tls)| excludes(tls))).then_some(first.0.name.as_str())
}

/// Reads `tls` of `[http]`.
pub(super) fn http(reader: &mut KeyReader<'_>) -> Option<HttpTls> {
    let section = reader.section(keys::HTTP_TLS)?;
    let ca = section.read("ca", reader.findings, trusted);
    if section.get("certificate").is_none() && section.get("private_key").is_none() {
        let help = "add certificate = \"fullchain.pem\" and private_key = \"key.pem\"";
        reader.findings.error(code::MISSING, reader.value.span(), "`tls` of [http] without a certificate", help);
    }
    Some(HttpTls { own: pair(&section, reader.findings)?, ca })
}

/// Reads a domain or address that a certificate may contain.
fn name(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    if ServerName::try_from(text.as_str()).is_ok() && !text.contains('*') {
        return Some(text);
    }
    let help = "use a domain or address from the certificate: \"sbc.carrier.example\"";
    reader.reject(code::BAD_VALUE, format!("cannot be \"{text}\""), help)
}

/// Reads a CA bundle.
pub(super) fn trusted(reader: &mut KeyReader<'_>) -> Option<PathBuf> {
    let path = reader.path()?;
    match TrustAnchors::of_file(&path) {
        Ok(_) => Some(path),
        Err(what) => {
            let help = "use a readable PEM file of certificates";
            reader.reject(code::BAD_FILE, format!(": {}: {what}", path.display()), help)
        }
    }
}

/// Reads `certificate` and `private_key`, which must match.
fn pair(section: &Section<'_>, findings: &mut Findings) -> Option<(PathBuf, PathBuf)> {
    let judge = |key: &str, findings: &mut Findings| {
        let is_certificate = key == "certificate";
        let help = if is_certificate { CERTIFICATE_HELP } else { KEY_HELP };
        section.read(key, findings, |reader| {
            let path = reader.path()?;
            let what = if is_certificate { read_certificate(&path) } else { read_key(&path) }.err()?;
            reader.reject::<()>(code::BAD_FILE, format!(": {}: {what}", path.display()), help)
        });
    };
    let (certificate, private_key) = match (section.span_of("certificate"), section.span_of("private_key")) {
        (Some(certificate), Some(private_key)) => (certificate, private_key),
        (None, None) => return None,
        (Some(one), None) => {
            judge("certificate", findings);
            return alone("certificate", "private_key", one, findings);
        }
        (None, Some(one)) => {
            judge("private_key", findings);
            return alone("private_key", "certificate", one, findings);
        }
    };
    let certificate_path = section.read("certificate", findings, |reader| reader.path());
    let private_key_path = section.read("private_key", findings, |reader| reader.path());
    let (certificate_path, private_key_path) = (certificate_path?, private_key_path?);
    match read_pair(&certificate_path, &private_key_path) {
        Ok(pair) => {
            judge_end(pair.expires, certificate, findings);
            Some((certificate_path, private_key_path))
        }
        Err(fault) => {
            let (key, span, path, help) = match &fault {
                PairFault::Certificate(_) => {
                    // The private key was not checked in this case.
                    judge("private_key", findings);
                    ("certificate", certificate, certificate_path, CERTIFICATE_HELP)
                }
                PairFault::PrivateKey(_) => ("private_key", private_key, private_key_path, KEY_HELP),
            };
            let message = format!("`{key}`: {}: {}", path.display(), fault.what());
            findings.error(code::BAD_FILE, span, message, help);
            None
        }
    }
}

const CERTIFICATE_HELP: &str = "use a readable PEM file: the certificate, then its intermediates";
const KEY_HELP: &str = "use the PEM file of the private key for which the certificate was issued";

fn alone(key: &str, other: &str, span: SourceSpan, findings: &mut Findings) -> Option<(PathBuf, PathBuf)> {
    findings.error(code::MISSING, span, format!("`{key}` without `{other}`"), format!("add {other} = \"…\""));
    None
}

/// Warns of a certificate that has expired or is about to. It is used nevertheless, because the remote party decides
/// about its validity.
fn judge_end(expires: Timestamp, span: SourceSpan, findings: &mut Findings) {
    let left = expires.duration_since(clock::now());
    let date = expires.strftime("%Y-%m-%d");
    let message = if left.is_negative() {
        format!("`certificate`: it expired on {date}")
    } else if left < SignedDuration::from_hours(24 * CERTIFICATE_WARNING_DAYS) {
        format!("`certificate`: it expires on {date}")
    } else {
        return;
    };
    findings.warning(code::EXPIRY, Some(span), message, "a new certificate is loaded as soon as the file is replaced");
}
