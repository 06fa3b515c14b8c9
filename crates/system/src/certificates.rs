//! Certificates and private keys: reads and verifies files, expiry dates and names. Private keys stay in a type that is
//! never printed.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, Error, OtherError, RootCertStore};
use webpki::{EndEntityCert, KeyUsage};

use crate::limits::CERTIFICATE_FILE_BYTES;
use crate::{files, tls_words};
use trunkgate_call::tls::UNSUITED_USE;

/// Error text for a remote party that closes the connection without a TLS alert.
pub const CLOSED: &str = "the connection was closed during the handshake";

/// Returns the cryptography provider for all TLS connections.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Certificate chain with its private key.
#[derive(Clone)]
pub struct CertificatePair {
    /// Chain and key for handshakes.
    pub key: Arc<CertifiedKey>,
    /// Earliest expiry date of the certificates in the chain.
    pub expires: Timestamp,
}

impl fmt::Debug for CertificatePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificatePair").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Reason why a certificate file and its key file cannot be used, by the file that is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairFault {
    /// The certificate file is faulty.
    Certificate(String),
    /// The private key file is faulty.
    PrivateKey(String),
}

impl PairFault {
    /// Returns the fault in words.
    pub fn what(&self) -> &str {
        match self {
            PairFault::Certificate(what) | PairFault::PrivateKey(what) => what,
        }
    }
}

/// Reads a certificate chain (leaf first) and its private key from PEM files.
pub fn read_pair(certificate: &Path, private_key: &Path) -> Result<CertificatePair, PairFault> {
    let chain = read(certificate).map_err(PairFault::Certificate)?;
    // Of two unusable files, the error names the certificate.
    chain_of(&chain).map_err(PairFault::Certificate)?;
    pair_of(&chain, &read(private_key).map_err(PairFault::PrivateKey)?)
}

/// Parses a certificate chain (leaf first) and its private key from PEM text.
pub fn pair_of(chain: &[u8], private_key: &[u8]) -> Result<CertificatePair, PairFault> {
    let chain = chain_of(chain).map_err(PairFault::Certificate)?;
    let key = key_of(private_key).map_err(PairFault::PrivateKey)?;
    let dates: Option<Vec<Timestamp>> = chain.iter().map(|one| not_after(one)).collect();
    let expires = dates.and_then(|dates| dates.into_iter().min());
    let expires =
        expires.ok_or_else(|| PairFault::Certificate("its certificate has no readable expiry date".into()))?;
    let fits_another = chain.iter().skip(1).any(|one| {
        let alone = CertifiedKey::from_der(vec![one.clone()], key.clone_key(), &provider());
        alone.is_ok()
    });
    let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        if matches!(error, Error::InconsistentKeys(_)) && fits_another {
            return PairFault::Certificate("the certificate of the key is not the first in the file".into());
        }
        if matches!(error, Error::InconsistentKeys(_)) {
            return PairFault::PrivateKey("it is not the private key of the certificate".into());
        }
        if error.to_string().contains("failed to parse private key") {
            return PairFault::PrivateKey(
                "unsupported key type: use RSA with at least 2048 bits, ECDSA or Ed25519".into(),
            );
        }
        let of_certificate = matches!(error, Error::InvalidCertificate(_));
        if of_certificate {
            PairFault::Certificate(own_words("the certificate", &error))
        } else {
            PairFault::PrivateKey(own_words("the certificate", &error))
        }
    })?;
    Ok(CertificatePair { key: Arc::new(key), expires })
}

/// Checks that a file contains a certificate, without its private key.
///
/// # Errors
/// Returns the reason why the file cannot be used.
pub fn read_certificate(path: &Path) -> Result<(), String> {
    read_chain(path).map(drop)
}

/// Checks that a file contains a private key, without its certificate.
///
/// # Errors
/// Returns the reason why the file cannot be used.
pub fn read_key(path: &Path) -> Result<(), String> {
    key_of(&read(path)?).map(drop)
}

fn key_of(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| no_key(pem))
}

/// Generates a self-signed certificate with its key, which exist only as long as the process runs.
pub fn make_pair() -> Result<CertificatePair, String> {
    let made = rcgen::generate_simple_self_signed(["trunkgate.invalid".to_owned()]).map_err(|e| e.to_string())?;
    let expires = not_after(made.cert.der()).ok_or("a truncated certificate")?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let key = CertifiedKey::from_der(vec![made.cert.der().clone()], key, &provider());
    let key = key.map_err(|error| own_words("the certificate", &error))?;
    Ok(CertificatePair { key: Arc::new(key), expires })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    chain_of(&read(path)?)
}

fn chain_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| format!("it is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err(match kind(pem) {
            CertificateFileKind::Binary => format!("no certificate in it (PEM): {BINARY}"),
            CertificateFileKind::Key => "no certificate in it, but a private key".into(),
            CertificateFileKind::EncryptedKey | CertificateFileKind::Certificate | CertificateFileKind::Other => {
                "no certificate in it (PEM)".into()
            }
        });
    }
    Ok(chain)
}

/// Message for a certificate or key file that is not text.
const BINARY: &str = "it is DER or PKCS#12; convert it with `openssl x509 -inform der` or `openssl pkcs12 -nodes`";

/// Apparent contents of a file without the expected PEM section.
enum CertificateFileKind {
    Binary,
    Certificate,
    Key,
    EncryptedKey,
    Other,
}

fn kind(file: &[u8]) -> CertificateFileKind {
    let holds = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    // A DER file begins with the tag of a SEQUENCE.
    if file.first() == Some(&0x30) {
        CertificateFileKind::Binary
    } else if holds("ENCRYPTED") {
        CertificateFileKind::EncryptedKey
    } else if holds("PRIVATE KEY-----") {
        CertificateFileKind::Key
    } else if holds("BEGIN CERTIFICATE-----") {
        CertificateFileKind::Certificate
    } else {
        CertificateFileKind::Other
    }
}

fn no_key(file: &[u8]) -> String {
    match kind(file) {
        CertificateFileKind::Binary => format!("no private key in it (PEM): {BINARY}"),
        CertificateFileKind::EncryptedKey => {
            "the key is encrypted: decrypt it with `openssl pkey -in FILE -out key.pem`".into()
        }
        CertificateFileKind::Certificate => "no private key in it, but a certificate".into(),
        CertificateFileKind::Key | CertificateFileKind::Other => {
            "no private key in it (PEM: PKCS#8, PKCS#1 or SEC1, not encrypted)".into()
        }
    }
}

/// Returns whether an error comes from TLS rather than from the connection beneath it.
pub fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Error>())
}

/// Describes why a connection or its TLS handshake failed.
pub fn words(error: &io::Error) -> String {
    let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        let text = error.to_string();
        if text.contains("handshake eof") {
            return format!(
                "{CLOSED}: no TLS on that port, or a client certificate is required (`certificate`, `private_key`)"
            );
        }
        return text;
    };
    if let (Some(rejected), Error::AlertReceived(alert)) = (CertificateRejection::of(error), fault) {
        let alert = tls_words::alert_name(*alert);
        return format!("the remote party rejected our certificate: {} (alert {alert})", rejected.why());
    }
    tls_words::of(fault)
}

/// Describes an error that the TLS library found in a local certificate or in a file; `subject` names that certificate.
fn own_words(subject: &str, error: &Error) -> String {
    if let Error::InvalidCertificate(fault) = error {
        tls_words::of_certificate(subject, fault)
    } else {
        tls_words::of(error)
    }
}

/// Returns whether issuer and subject of a certificate are equal; the signature is not verified.
pub fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    EndEntityCert::try_from(certificate).is_ok_and(|one| one.issuer() == one.subject())
}

/// Reason why a remote party rejected the local certificate, from its alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateRejection {
    /// The certificate has expired.
    Expired,
    /// The issuer is unknown or not trusted.
    Issuer,
    /// The certificate is not valid for this use (extendedKeyUsage).
    Use,
    /// Another reason, such as the names or the key of the certificate.
    Other,
}

/// TLS alerts for a rejected certificate, with their meanings (RFC 8446 §6.2).
const REJECTIONS: [(AlertDescription, CertificateRejection); 6] = [
    (AlertDescription::CertificateExpired, CertificateRejection::Expired),
    (AlertDescription::UnknownCA, CertificateRejection::Issuer),
    (AlertDescription::BadCertificate, CertificateRejection::Other),
    (AlertDescription::UnsupportedCertificate, CertificateRejection::Use),
    (AlertDescription::CertificateRevoked, CertificateRejection::Other),
    (AlertDescription::CertificateUnknown, CertificateRejection::Other),
];

impl CertificateRejection {
    /// Returns the reason why the remote party rejected the local certificate; `None` if the handshake failed for
    /// another reason.
    pub(crate) fn of(error: &io::Error) -> Option<CertificateRejection> {
        let Error::AlertReceived(alert) = error.get_ref()?.downcast_ref()? else { return None };
        REJECTIONS.iter().find(|(known, _)| known == alert).map(|(_, rejected)| *rejected)
    }

    const fn why(self) -> &'static str {
        match self {
            CertificateRejection::Expired => "it has expired",
            CertificateRejection::Issuer => "its issuer is not trusted there",
            CertificateRejection::Use => UNSUITED_USE,
            CertificateRejection::Other => "its names, issuer, key or use do not suit",
        }
    }

    /// Returns advice on how to correct a rejected local certificate.
    pub const fn fix(self) -> &'static str {
        match self {
            CertificateRejection::Expired => {
                "replace it with a certificate that is valid now, and compare the clocks of both machines"
            }
            CertificateRejection::Issuer => {
                "use a certificate of a CA that the peer trusts, followed by its intermediates, or give the peer that CA"
            }
            CertificateRejection::Use => {
                "ask its operator whether it needs extendedKeyUsage serverAuth, and have the certificate issued with it"
            }
            CertificateRejection::Other => {
                "compare its subjectAltName with the name that the peer connects to, its dates and its intermediates"
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = files::read(path, CERTIFICATE_FILE_BYTES).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > CERTIFICATE_FILE_BYTES {
        return Err(format!("more than {} MiB", CERTIFICATE_FILE_BYTES >> 20));
    }
    Ok(bytes)
}

/// Returns the system's trusted roots; empty if there are none. Reads some hundred files.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system_certificates());
    roots
}

/// Returns the system's trusted certificates, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR` if set.
pub fn system_certificates() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// Trusted certificates, by which those of remote parties are verified.
#[derive(Debug, Clone)]
pub struct TrustAnchors {
    pub(crate) roots: Arc<RootCertStore>,
    /// Certificates that are also accepted as those of a remote party. `ca` may contain the remote party's own
    /// certificate, even one marked as a CA, as `openssl req -x509` creates it.
    themselves: Arc<[CertificateDer<'static>]>,
}

impl TrustAnchors {
    /// Reads the trusted certificates of a PEM file.
    pub fn of_file(path: &Path) -> Result<TrustAnchors, String> {
        TrustAnchors::of_pem(&read(path)?)
    }

    /// Parses trusted certificates from PEM text.
    pub fn of_pem(pem: &[u8]) -> Result<TrustAnchors, String> {
        let mut roots = RootCertStore::empty();
        let all = chain_of(pem)?;
        for (at, certificate) in all.iter().enumerate() {
            let wrong = |error: Error| own_words(&format!("certificate {} of the file", at + 1), &error);
            roots.add(certificate.clone()).map_err(wrong)?;
        }
        Ok(TrustAnchors { roots: Arc::new(roots), themselves: all.into() })
    }

    /// Returns the certificates that were read from a file; empty for the system's roots.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.themselves
    }

    /// Returns whether no certificate can be trusted both by this value and by `other`: both contain only root
    /// certificates, and no subject occurs in both. With intermediates this is unknown, and the result is false.
    pub fn is_apart_from(&self, other: &TrustAnchors) -> bool {
        let are_roots =
            |trust: &TrustAnchors| !trust.themselves.is_empty() && trust.themselves.iter().all(is_self_signed);
        let (own, others) = (self.roots.subjects(), other.roots.subjects());
        let is_shared = own.iter().any(|name| others.iter().any(|other| other.as_ref() == name.as_ref()));
        are_roots(self) && are_roots(other) && !is_shared
    }

    /// Returns trust anchors for the system's roots.
    pub fn of_system() -> TrustAnchors {
        TrustAnchors { roots: Arc::new(system_roots()), themselves: Arc::default() }
    }

    /// Verifies the certificate `own` of a server or client for a usage; `others` are the intermediates that it
    /// presented. A certificate that is itself trusted is only checked for expiry.
    pub fn judge(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        usage: KeyUsage,
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.themselves.iter().any(|trusted| trusted.as_ref() == own.as_ref()) {
            let end = not_after(own).and_then(|end| u64::try_from(end.as_second()).ok());
            return match end {
                Some(end) if end >= now.as_secs() => Ok(()),
                Some(_) => Err(CertificateError::Expired.into()),
                None => Err(CertificateError::BadEncoding.into()),
            };
        }
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
        let certificate = EndEntityCert::try_from(own).map_err(fault)?;
        certificate
            .verify_for_usage(algorithms, &self.roots.roots, others, now, usage, None, None)
            .map(drop)
            .map_err(fault)
    }
}

/// Extended key usages that are accepted in a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientUsage {
    /// Client authentication only.
    Client,
    /// Client or server authentication, because public CAs issue certificates for servers only.
    Any,
}

impl TrustAnchors {
    /// Verifies the certificate of a client for client authentication and, if `usage` permits it, otherwise for server
    /// authentication. The error is that for client authentication.
    pub fn judge_client(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        usage: ClientUsage,
        now: UnixTime,
    ) -> Result<(), Error> {
        let as_client = self.judge(own, others, KeyUsage::client_auth(), now);
        if as_client.is_err() && usage == ClientUsage::Any {
            return self.judge(own, others, KeyUsage::server_auth(), now).or(as_client);
        }
        as_client
    }
}

/// Converts the most common webpki errors into rustls errors of the same meaning.
fn fault(error: webpki::Error) -> Error {
    use webpki::Error::{CertExpired, CertNotValidYet, UnknownIssuer};
    if let CertExpired { time, not_after } = error {
        return CertificateError::ExpiredContext { time, not_after }.into();
    }
    if let CertNotValidYet { time, not_before } = error {
        return CertificateError::NotValidYetContext { time, not_before }.into();
    }
    if error == UnknownIssuer {
        return CertificateError::UnknownIssuer.into();
    }
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

/// Returns whether a certificate is valid for a host: an address, a name, or the domain of a SIP URI without a user
/// part (RFC 5922 §7.1). The common name is ignored. Contrary to RFC 5922 §7.2, a `*` may stand for the first label,
/// because large carriers use such certificates.
pub fn carries(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return false };
    let by_name =
        ServerName::try_from(host).is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok());
    by_name
        || certificate
            .valid_uri_names()
            .any(|uri| sip_domain(uri).is_some_and(|domain| domain.eq_ignore_ascii_case(host)))
}

/// Returns the domain of a SIP URI without a user part: `carrier.example` for `sip:carrier.example`.
fn sip_domain(uri: &str) -> Option<&str> {
    let uri = trunkgate_sip::Uri::parse(uri.as_bytes())?;
    let plain = uri.scheme == trunkgate_sip::Scheme::Sip && uri.user.is_empty();
    plain.then_some(uri.host.host)
}

/// Returns the DNS names in a certificate; empty if it cannot be parsed.
pub fn dns_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    certificate.valid_dns_names().map(str::to_owned).collect()
}

/// Returns the expiry date of a DER certificate (RFC 5280 §4.1.2.5); `None` if it cannot be parsed.
pub fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let mut dates = dates(certificate)?;
    element(&mut dates)?;
    date(&mut dates)
}

/// Returns the first date at which a DER certificate is valid (RFC 5280 §4.1.2.5); `None` if it cannot be parsed.
pub fn not_before(certificate: &[u8]) -> Option<Timestamp> {
    date(&mut dates(certificate)?)
}

/// Returns the contents of a certificate's validity element.
fn dates(certificate: &[u8]) -> Option<&[u8]> {
    let mut signed = within(&mut within(&mut { certificate })?)?;
    // The version ([0], absent in old certificates), serial number, algorithm and issuer precede the validity.
    let (tag, _) = element(&mut signed)?;
    for _ in 0..if tag == 0xa0 { 3 } else { 2 } {
        element(&mut signed)?;
    }
    within(&mut signed)
}

/// Reads the next date of a validity element (UTCTime or GeneralizedTime).
fn date(dates: &mut &[u8]) -> Option<Timestamp> {
    let (tag, date) = element(dates)?;
    let date = std::str::from_utf8(date).ok()?.strip_suffix('Z')?;
    match tag {
        // UTCTime has two digits for the year, of which 50 to 99 mean the 20th century.
        0x17 if date.len() == 12 => {
            let century = if date >= "50" { "19" } else { "20" };
            moment(&format!("{century}{date}"))
        }
        0x18 => moment(date),
        _ => None,
    }
}

/// Returns the contents of the next DER element if it is a SEQUENCE.
fn within<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    element(input).filter(|(tag, _)| *tag == 0x30).map(|(_, body)| body)
}

/// Parses a UTC time of 14 digits such as `20261120111500`.
fn moment(digits: &str) -> Option<Timestamp> {
    if digits.len() != 14 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, len: usize| digits.get(from..from + len)?.parse::<i8>().ok();
    let year = digits.get(..4)?.parse().ok()?;
    let date = DateTime::new(year, part(4, 2)?, part(6, 2)?, part(8, 2)?, part(10, 2)?, part(12, 2)?, 0).ok()?;
    Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Returns tag and contents of the next DER element.
fn element<'a>(input: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (digits, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        length =
            digits.iter().try_fold(0_usize, |sum, digit| sum.checked_mul(256)?.checked_add(usize::from(*digit)))?;
        rest = behind;
    }
    let (body, behind) = rest.split_at_checked(length)?;
    *input = behind;
    Some((tag, body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};

    fn certificate(names: Vec<SanType>, end: (i32, u8, u8)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.subject_alt_names = names;
        params.not_after = date_time_ymd(end.0, end.1, end.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_on_both_sides_of_2050() {
        for (year, month, day) in [(1999, 12, 31), (2026, 2, 28), (2049, 12, 31), (2050, 1, 1), (4096, 1, 1)] {
            let end = not_after(&certificate(vec![], (year, month, day))).unwrap();
            assert_eq!(end.to_string(), format!("{year}-{month:02}-{day:02}T00:00:00Z"));
        }
        // rcgen sets this start date by default.
        assert_eq!(not_before(&certificate(vec![], (2030, 1, 1))).unwrap().to_string(), "1975-01-01T00:00:00Z");
    }

    #[test]
    fn alternative_names_are_used() {
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
        let address = SanType::IpAddress("192.0.2.7".parse().unwrap());
        let all = vec![dns("sbc.example"), dns("*.pool.example"), uri("sip:domain.example"), address];
        let one = certificate(all, (2099, 1, 1));
        for (name, is_its) in [
            ("sbc.example", true),
            ("SBC.example", true),
            ("a.pool.example", true),
            ("a.b.pool.example", false),
            ("pool.example", false),
            ("domain.example", true),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("other.example", false),
            ("", false),
        ] {
            assert_eq!(carries(&one, name), is_its, "{name}");
        }
        // A SIP URI with a user part and a URI of another scheme do not name a domain (RFC 5922 §7.1).
        let others = certificate(vec![uri("sip:bob@domain.example"), uri("https://domain.example")], (2099, 1, 1));
        assert!(!carries(&others, "domain.example"));
    }

    #[test]
    fn nothing_of_a_pair_is_printed() {
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (chain, private) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let pem = CertificateParams::new(vec!["a.example".into()]).unwrap().self_signed(&key).unwrap().pem();
        std::fs::write(&chain, pem).unwrap();
        std::fs::write(&private, key.serialize_pem()).unwrap();
        assert_eq!(format!("{:?}", read_pair(&chain, &private).unwrap()).find("key"), None);
    }

    #[test]
    fn the_commonest_kinds_of_keys_are_read() {
        use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256};
        let folder = tempfile::tempdir().unwrap();
        let (chain, private) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        for kind in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256] {
            let key = KeyPair::generate_for(kind).unwrap();
            let pem = CertificateParams::new(vec!["a.example".into()]).unwrap().self_signed(&key).unwrap().pem();
            std::fs::write(&chain, pem).unwrap();
            std::fs::write(&private, key.serialize_pem()).unwrap();
            assert!(read_pair(&chain, &private).is_ok(), "{kind:?}");
        }
    }

    #[test]
    fn every_certificate_of_a_file_counts() {
        let pem = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem();
        let (one, other) = (pem("a.example"), pem("b.example"));
        let both = TrustAnchors::of_pem(format!("{one}\n# another\n{other}").as_bytes()).unwrap();
        assert_eq!((both.roots.len(), both.themselves.len()), (2, 2));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pem, part) in [
            (String::new(), "no certificate"),
            ("text".to_owned(), "no certificate"),
            (one.replace("CERTIFICATE", "PRIVATE KEY"), "no certificate"),
            (one.split_at(one.len() / 2).0.to_owned(), "not PEM"),
            (garbage.to_owned(), "certificate 1 of the file cannot be read"),
            (format!("{one}{garbage}"), "certificate 2"),
        ] {
            let error = TrustAnchors::of_pem(pem.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{error}: {pem}");
        }
    }

    #[test]
    fn a_certificate_that_is_trusted_itself_is_believed_until_its_end() {
        let own = certificate(vec![SanType::DnsName("a.example".try_into().unwrap())], (2040, 1, 1));
        let trust = TrustAnchors { roots: Arc::new(RootCertStore::empty()), themselves: [own.clone()].into() };
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        assert_eq!(trust.judge(&own, &[], KeyUsage::server_auth(), at(1_800_000_000)), Ok(()));
        let late = trust.judge(&own, &[], KeyUsage::server_auth(), at(2_300_000_000));
        assert_eq!(late, Err(CertificateError::Expired.into()));
        let other = certificate(vec![], (2040, 1, 1));
        assert!(trust.judge(&other, &[], KeyUsage::server_auth(), at(1_800_000_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_certificate_and_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = not_after(&bytes);
        }

        #[test]
        fn a_damaged_certificate_does_no_harm(at in 0_usize..300, byte: u8, cut in 0_usize..400) {
            let mut bytes = certificate(vec![], (2030, 1, 1)).to_vec();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(cut);
            let _ = not_after(&bytes);
            let _ = carries(&CertificateDer::from(bytes), "a.example");
        }
    }
}
