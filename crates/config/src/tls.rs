//! TLS files of `[[listen]]` and of `tls` of a trunk, checked with the configuration, so that handshakes do not fail
//! later.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::ServerName;

use super::acme::AcmeSettings;
use super::code;
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SourceSpan};
use super::keys::{self, ReadScope};
use super::section::{Section, SpannedValue};
use super::types::{HttpTls, ListenTls, TrunkTls};
use super::values;
pub(crate) use trunkgate_system::certificates::{PairFault, TrustAnchors, read_certificate, read_key, read_pair};
use trunkgate_system::clock;
use trunkgate_system::limits::CERTIFICATE_WARNING_DAYS;

/// Reads the TLS keys of a listener; `None` if they are incomplete or invalid. The default certificate is that of
/// `acme`.
pub(super) fn listener(
    section: &Section<'_>,
    folder: &Path,
    acme: Option<&AcmeSettings>,
    findings: &mut Findings,
) -> Option<ListenTls> {
    let client_ca = section.read("client_ca", findings, |key, value, findings| trusted(key, value, folder, findings));
    let is_written = section.get("certificate").is_some() || section.get("private_key").is_some();
    let tls = match acme.filter(|_| !is_written) {
        Some(acme) => issued(acme),
        None => ListenTls { own: Some(written_pair(section, is_written, folder, findings)?), ..ListenTls::default() },
    };
    let further = match section.get("certificates") {
        Some(value) => further(value, folder, findings)?,
        None => Vec::new(),
    };
    let is_partial = client_ca.is_none() && section.get("client_ca").is_some();
    (!is_partial).then_some(ListenTls { further, client_ca, ..tls })
}

/// Returns the TLS settings of a listener that uses the certificate of `acme`.
pub(super) fn issued(acme: &AcmeSettings) -> ListenTls {
    ListenTls { own: Some((acme.certificate(), acme.certificate())), is_issued: true, ..ListenTls::default() }
}

fn written_pair(
    section: &Section<'_>,
    is_written: bool,
    folder: &Path,
    findings: &mut Findings,
) -> Option<(PathBuf, PathBuf)> {
    if !is_written {
        let help = "add certificate = \"fullchain.pem\" and private_key = \"key.pem\", or acme = { domains = [\"…\"] } in [tls]";
        findings.error(code::MISSING, section.span.clone(), "a TLS listener without a certificate", help);
        return None;
    }
    pair(section, folder, findings)
}

/// Reads `certificates` of a listener; `None` if one of them is missing or invalid.
fn further<'a>(value: &'a SpannedValue<'a>, folder: &Path, findings: &mut Findings) -> Option<Vec<(PathBuf, PathBuf)>> {
    let mut is_partial = false;
    let one = |_: &str, value: &'a SpannedValue<'a>, findings: &mut Findings| {
        let read = Section::open("`certificates`", value, keys::CERTIFICATE, findings).and_then(|section| {
            if section.get("certificate").is_none() && section.get("private_key").is_none() {
                let help = "write { certificate = \"fullchain.pem\", private_key = \"key.pem\" }";
                findings.error(code::MISSING, value.span(), "one of `certificates` without a certificate", help);
            }
            pair(&section, folder, findings)
        });
        is_partial |= read.is_none();
        read
    };
    let all = values::one_or_list("certificates", value, findings, one)?;
    (!is_partial).then(|| all.into_iter().map(|(pair, _)| pair).collect())
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
pub(super) fn trunk<'a>(
    value: &'a SpannedValue<'a>,
    folder: &Path,
    may_be_client: bool,
    findings: &mut Findings,
) -> Option<(TrunkTls, Vec<String>)> {
    let section = Section::open("`tls`", value, keys::TRUNK_TLS, findings)?;
    let ca = section.read("ca", findings, |key, value, findings| trusted(key, value, folder, findings));
    let own = pair(&section, folder, findings);
    let verify = section.read("verify", findings, values::boolean).unwrap_or(true);
    if let Some(value) = section.get("verify").filter(|_| !verify) {
        let message = "`verify = false`: the connection can be intercepted and modified";
        findings.warning(
            code::UNVERIFIED,
            Some(value.span()),
            message,
            "add the certificate or its CA to `ca` instead",
        );
    }
    let names = section.read("names", findings, |key, value, findings| values::one_or_list(key, value, findings, name));
    let names: Vec<String> = names.unwrap_or_default().into_iter().map(|(name, _)| name).collect();
    let any_client_usage = client_usage(&section, may_be_client && section.get("names").is_some(), findings);
    Some((TrunkTls { ca, own, verify, any_client_usage }, names))
}

/// Reads `client_certificate_usage` of `tls`; `is_named` is true if the certificate's name identifies a client as this
/// trunk.
fn client_usage(section: &Section<'_>, is_named: bool, findings: &mut Findings) -> bool {
    let word = |key: &str, value: &SpannedValue<'_>, findings: &mut Findings| {
        values::one_of(key, value, findings, &[("client", false), ("any", true)])
    };
    let is_any = section.read("client_certificate_usage", findings, word).unwrap_or(false);
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
pub(super) fn http(
    key: &str,
    value: &SpannedValue<'_>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Option<HttpTls> {
    let folder = around.folder;
    let section = Section::open(&format!("`{key}`"), value, keys::HTTP_TLS, findings)?;
    let ca = section.read("ca", findings, |key, value, findings| trusted(key, value, folder, findings));
    if section.get("certificate").is_none() && section.get("private_key").is_none() {
        let help = "add certificate = \"fullchain.pem\" and private_key = \"key.pem\"";
        findings.error(code::MISSING, value.span(), "`tls` of [http] without a certificate", help);
    }
    Some(HttpTls { own: pair(&section, folder, findings)?, ca })
}

/// Reads a domain or address that a certificate may contain.
fn name(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<String> {
    let text = values::string(key, value, findings)?;
    if ServerName::try_from(text.as_str()).is_ok() && !text.contains('*') {
        return Some(text);
    }
    let help = "use a domain or address from the certificate: \"sbc.carrier.example\"";
    findings.error(code::BAD_VALUE, value.span(), format!("`{key}` cannot be \"{text}\""), help);
    None
}

fn path_of(key: &str, value: &SpannedValue<'_>, folder: &Path, findings: &mut Findings) -> Option<PathBuf> {
    Some(values::relative_to(folder, &values::string(key, value, findings)?))
}

/// Reads `ca` of another table.
pub(super) fn bundle(
    key: &str,
    value: &SpannedValue<'_>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Option<PathBuf> {
    trusted(key, value, around.folder, findings)
}

/// Reads a CA bundle.
fn trusted(key: &str, value: &SpannedValue<'_>, folder: &Path, findings: &mut Findings) -> Option<PathBuf> {
    let path = path_of(key, value, folder, findings)?;
    match TrustAnchors::of_file(&path) {
        Ok(_) => Some(path),
        Err(what) => {
            let message = format!("`{key}`: {}: {what}", path.display());
            findings.error(code::BAD_FILE, value.span(), message, "use a readable PEM file of certificates");
            None
        }
    }
}

/// Reads `certificate` and `private_key`, which must match.
fn pair(section: &Section<'_>, folder: &Path, findings: &mut Findings) -> Option<(PathBuf, PathBuf)> {
    let (certificate, private_key) = match (section.get("certificate"), section.get("private_key")) {
        (Some(certificate), Some(private_key)) => (certificate, private_key),
        (None, None) => return None,
        (Some(one), None) => {
            unreadable(("certificate", one), folder, read_certificate, CERTIFICATE_HELP, findings);
            return alone("certificate", "private_key", one.span(), findings);
        }
        (None, Some(one)) => {
            unreadable(("private_key", one), folder, read_key, KEY_HELP, findings);
            return alone("private_key", "certificate", one.span(), findings);
        }
    };
    let certificate_path = path_of("certificate", certificate, folder, findings);
    let private_key_path = path_of("private_key", private_key, folder, findings);
    let (certificate_path, private_key_path) = (certificate_path?, private_key_path?);
    match read_pair(&certificate_path, &private_key_path) {
        Ok(pair) => {
            judge_end(pair.expires, certificate.span(), findings);
            Some((certificate_path, private_key_path))
        }
        Err(fault) => {
            let (key, span, path, help) = match &fault {
                PairFault::Certificate(_) => {
                    // The private key was not checked in this case.
                    unreadable(("private_key", private_key), folder, read_key, KEY_HELP, findings);
                    ("certificate", certificate.span(), certificate_path, CERTIFICATE_HELP)
                }
                PairFault::PrivateKey(_) => ("private_key", private_key.span(), private_key_path, KEY_HELP),
            };
            let message = format!("`{key}`: {}: {}", path.display(), fault.what());
            findings.error(code::BAD_FILE, span, message, help);
            None
        }
    }
}

const CERTIFICATE_HELP: &str = "use a readable PEM file: the certificate, then its intermediates";
const KEY_HELP: &str = "use a readable PEM file with the private key of the certificate";

/// Checks one file of a pair if the other one is missing or unusable.
fn unreadable(
    (key, value): (&str, &SpannedValue<'_>),
    folder: &Path,
    read: impl Fn(&Path) -> Result<(), String>,
    help: &str,
    findings: &mut Findings,
) {
    let Some(path) = path_of(key, value, folder, findings) else { return };
    if let Err(what) = read(&path) {
        findings.error(code::BAD_FILE, value.span(), format!("`{key}`: {}: {what}", path.display()), help);
    }
}

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
