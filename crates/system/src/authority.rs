//! Private certificate authority (CA) for the names below one domain. The edge generates it at first use and keeps it
//! in one file with its key. Name constraints (RFC 5280 §4.2.1.10) make it useless for other names.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData as _, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use sha2::{Digest as _, Sha256};
use webpki::KeyUsage;

use crate::certificates::{TrustAnchors, not_after, provider};
use crate::clock;
use crate::files::{self, ReplacedRights};
use crate::limits::{CERTIFICATE_FILE_BYTES, PROXY_HOSTS};
use crate::text::hex;

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Validity of a new authority's certificate, in days.
const OWN_DAYS: i32 = 5 * 365;
/// Remaining validity below which [`CertificateAuthority::open`] replaces an authority, in days.
const OWN_LEFT_DAYS: i32 = 30;
/// Validity of a host certificate, in days.
const HOST_DAYS: i32 = 30;

/// Private certificate authority with its key.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// Private key shared by all host certificates.
    hosts_key: KeyPair,
    /// TLS configurations of recently requested server names, most recent last.
    hosts: Mutex<VecDeque<HostServer>>,
}

/// TLS configuration for one server name, with its certificate.
#[derive(Clone)]
struct HostServer {
    host: String,
    /// Expiry date of the server's certificate.
    until: Timestamp,
    key: Arc<CertifiedKey>,
    config: Arc<ServerConfig>,
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority").finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// Reads the authority for `domain` from a file. If the file does not exist, or its authority has expired or soon
    /// will, generates a new one there, readable by the owner only.
    ///
    /// # Errors
    /// Returns a message if the file is not an authority of this program for `domain`, or cannot be read or written.
    pub fn open(path: &Path, domain: &str, now: Timestamp) -> Result<CertificateAuthority, String> {
        let named = |what: String| format!("{}: {what}", path.display());
        let mut replaced = None;
        match files::read_to_string(path, CERTIFICATE_FILE_BYTES) {
            Ok(text) => {
                let (found, until) = CertificateAuthority::of_text(&text, domain, now).map_err(named)?;
                if until > now + DAY * OWN_LEFT_DAYS {
                    return Ok(found);
                }
                replaced = Some(until);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(error.to_string())),
        }
        let key = key()?;
        let made = own(&key, domain, now)?.self_signed(&key).map_err(|error| error.to_string())?;
        let text = key.serialize_pem() + &made.pem();
        write(path, text.as_bytes()).map_err(|error| named(error.to_string()))?;
        match replaced {
            Some(until) => tracing::warn!(
                "{}: the CA that expires on {until} was replaced: clients that trust the old one now fail; run `trunkgate twilio trust` on their machines",
                path.display()
            ),
            None => tracing::info!("{}: a CA for names below {domain} was created", path.display()),
        }
        CertificateAuthority::of_text(&text, domain, now).map(|(made, _)| made).map_err(named)
    }

    /// Parses an authority from the PEM text of its key and certificate, and checks that they match and that the
    /// certificate is constrained to `domain`. Also returns the expiry date.
    fn of_text(text: &str, domain: &str, now: Timestamp) -> Result<(CertificateAuthority, Timestamp), String> {
        let broken = "not a CA created by Trunkgate: remove the file, and a new CA is created";
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| broken)?;
        let key = KeyPair::try_from(&key).map_err(|_| broken)?;
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| broken)?;
        let until = not_after(&certificate).ok_or(broken)?;
        let pem = text.find("-----BEGIN CERTIFICATE").and_then(|at| text.get(at..)).ok_or(broken)?.to_owned();
        let issuer = Issuer::new(own(&key, domain, now)?, key);
        let authority = CertificateAuthority { issuer, pem, hosts_key: self::key()?, hosts: Mutex::default() };
        // A certificate of another program may permit other names than this domain's.
        let host = authority.issue(&format!("api.{domain}"), now)?;
        let trust = TrustAnchors::of_pem(authority.pem.as_bytes())?;
        let time = UnixTime::since_unix_epoch(since_epoch(now));
        if until > now {
            trust.judge(&host, &[], KeyUsage::server_auth(), time).map_err(|_| broken)?;
        }
        Ok((authority, until))
    }

    /// Returns the authority's certificate (PEM), which its clients must trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the TLS configuration of a server with this name, with a certificate issued by the authority.
    ///
    /// # Errors
    /// Returns the cryptography provider's error.
    pub fn server(&self, host: &str, now: Timestamp) -> Result<Arc<ServerConfig>, String> {
        self.of_host(host, now).map(|server| server.config)
    }

    /// Returns certificate and key for a server with this name.
    ///
    /// # Errors
    /// Returns the cryptography provider's error.
    pub fn certified(&self, host: &str, now: Timestamp) -> Result<Arc<CertifiedKey>, String> {
        self.of_host(host, now).map(|server| server.key)
    }

    fn of_host(&self, host: &str, now: Timestamp) -> Result<HostServer, String> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.retain(|server| server.until > now + DAY);
        if let Some(server) = hosts.iter().find(|server| server.host == host) {
            return Ok(server.clone());
        }
        let certificate = self.issue(host, now)?;
        let key = PrivateKeyDer::Pkcs8(self.hosts_key.serialize_der().into());
        let key = CertifiedKey::from_der(vec![certificate], key, &provider()).map_err(|error| error.to_string())?;
        let key = Arc::new(key);
        let config = server_by(Arc::new(SingleCertAndKey::from(Arc::clone(&key))))?;
        let server = HostServer { host: host.to_owned(), until: now + DAY * HOST_DAYS, key, config };
        if hosts.len() >= PROXY_HOSTS {
            hosts.pop_front();
        }
        hosts.push_back(server.clone());
        Ok(server)
    }

    fn issue(&self, host: &str, now: Timestamp) -> Result<CertificateDer<'static>, String> {
        let wrong = |error: rcgen::Error| error.to_string();
        let mut params = CertificateParams::new([host.to_owned()]).map_err(wrong)?;
        let common_name = host.get(..host.len().min(COMMON_NAME_CHARS)).unwrap_or_default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // The start in the past allows for clients with a slow clock.
        params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(now - DAY);
        params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(now + DAY * HOST_DAYS);
        let made = params.signed_by(&self.hosts_key, &self.issuer).map_err(wrong)?;
        Ok(made.der().clone())
    }
}

/// Returns the TLS configuration of an HTTP/1.1 server with these certificates.
///
/// # Errors
/// Returns the cryptography provider's error.
pub fn server_by(certificates: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, String> {
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.map_err(|error| error.to_string())?.with_no_client_auth();
    let mut config = config.with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Returns whether a certificate (PEM) is a CA with the constraints that this module sets for `domain`. A client that
/// trusts such a CA trusts it for names below `domain` only.
pub fn is_constrained(pem: &str, domain: &str) -> bool {
    let made = || {
        let key = key().ok()?;
        let own = own(&key, domain, clock::now()).ok()?.self_signed(&key).ok()?;
        Some(webpki::anchor_from_trusted_cert(own.der()).ok()?.to_owned())
    };
    let given: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let [Ok(given)] = given.as_slice() else { return false };
    let given = webpki::anchor_from_trusted_cert(given).ok();
    let constraints = given.and_then(|given| given.name_constraints);
    constraints.is_some() && made().is_some_and(|made| made.name_constraints == constraints)
}

/// Maximum length of a common name (RFC 5280, ub-common-name).
const COMMON_NAME_CHARS: usize = 64;

/// Prefix of an authority's common name, followed by the domain.
pub const COMMON_NAME: &str = "Trunkgate CA for ";

fn key() -> Result<KeyPair, String> {
    KeyPair::generate().map_err(|error| error.to_string())
}

fn since_epoch(moment: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(moment.as_second()).unwrap_or_default())
}

/// Returns the parameters of an authority's own certificate. The subject is derived from the key, so that a file with
/// key and certificate is sufficient, and no two authorities have equal subjects.
fn own(key: &KeyPair, domain: &str, now: Timestamp) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(|error| error.to_string())?;
    let hash = hex(Sha256::digest(key.der_bytes()).get(..4).unwrap_or_default());
    params.distinguished_name.push(DnType::CommonName, format!("{COMMON_NAME}{domain} ({hash})"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Without a constraint for addresses, all addresses would be permitted.
    let every_address = [CidrSubnet::from_v4_prefix([0; 4], 0), CidrSubnet::from_v6_prefix([0; 16], 0)];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
        excluded_subtrees: every_address.map(GeneralSubtree::IpAddress).to_vec(),
    });
    params.not_before = date_time_ymd(1970, 1, 1) + since_epoch(now - DAY);
    params.not_after = date_time_ymd(1970, 1, 1) + since_epoch(now + DAY * OWN_DAYS);
    Ok(params)
}

/// Replaces a file atomically, readable by the owner only. Creates the last directory of its path if it is missing.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        match std::fs::DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    files::replace(path, bytes, ReplacedRights::New(files::SECRET))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use rustls::CertificateError;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::ServerName;

    use super::*;
    use crate::verifier::ServerVerifier;

    const DOMAIN: &str = "twilio.com";

    fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/ca.pem");
        (folder, path)
    }

    /// Checks whether a client that trusts the authority accepts its certificate for `host` on a connection to `name`.
    fn is_taken(authority: &CertificateAuthority, host: &str, name: &str) -> Result<(), rustls::Error> {
        let certificate = authority.issue(host, Timestamp::now()).unwrap();
        let trust = TrustAnchors::of_pem(authority.pem().as_bytes()).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::now();
        ServerVerifier::new(Some(trust), Vec::new()).verify_server_cert(&certificate, &[], &name, &[], now).map(drop)
    }

    #[test]
    fn it_is_made_once_for_the_owner_alone() {
        let (_folder, path) = file();
        let made = CertificateAuthority::open(&path, DOMAIN, Timestamp::now()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = CertificateAuthority::open(&path, DOMAIN, Timestamp::now()).unwrap();
        assert_eq!(made.pem(), again.pem());
        assert!(!made.pem().contains("PRIVATE") && !format!("{made:?}").contains("BEGIN"));
        is_taken(&again, "api.twilio.com", "api.twilio.com").unwrap();
        is_taken(&again, "api.dublin.ie1.twilio.com", "api.dublin.ie1.twilio.com").unwrap();
    }

    #[test]
    fn a_client_takes_its_certificates_for_names_below_the_domain_only() {
        let (_folder, path) = file();
        let authority = CertificateAuthority::open(&path, DOMAIN, Timestamp::now()).unwrap();
        for name in ["example.com", "twilio.com.example.com", "nottwilio.com", "192.0.2.1", "2001:db8::1"] {
            let refused = is_taken(&authority, name, name).unwrap_err();
            assert!(!matches!(refused, rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)), "{name}");
            assert!(format!("{refused:?}").contains("NameConstraintViolation"), "{name}: {refused:?}");
        }
    }

    #[test]
    fn a_ca_for_other_names_is_recognised() {
        let (_folder, path) = file();
        let authority = CertificateAuthority::open(&path, DOMAIN, Timestamp::now()).unwrap();
        assert!(is_constrained(authority.pem(), DOMAIN));
        assert!(!is_constrained(authority.pem(), "example.com"));
        assert!(!is_constrained(&(authority.pem().to_owned() + authority.pem()), DOMAIN));
        let key = key().unwrap();
        let mut any = own(&key, DOMAIN, Timestamp::now()).unwrap();
        any.name_constraints = None;
        assert!(!is_constrained(&any.self_signed(&key).unwrap().pem(), DOMAIN));
        assert!(!is_constrained("", DOMAIN) && !is_constrained("<html>", DOMAIN));
    }

    #[test]
    fn one_that_ends_soon_is_replaced_and_a_foreign_file_is_not() {
        let (_folder, path) = file();
        let made = CertificateAuthority::open(&path, DOMAIN, Timestamp::now()).unwrap();
        for (later, is_kept) in
            [(OWN_DAYS - OWN_LEFT_DAYS - 1, true), (OWN_DAYS - OWN_LEFT_DAYS, false), (9_999, false)]
        {
            let found = CertificateAuthority::open(&path, DOMAIN, Timestamp::now() + DAY * later).unwrap();
            assert_eq!(found.pem() == made.pem(), is_kept, "{later} days later");
        }
        let other = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        for text in ["", "nonsense", &(other.signing_key.serialize_pem() + &other.cert.pem())] {
            std::fs::write(&path, text).unwrap();
            let refused = CertificateAuthority::open(&path, DOMAIN, Timestamp::now()).unwrap_err();
            assert!(refused.contains("ca.pem: not a CA created by Trunkgate"), "{refused}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn certificates_of_hosts_are_kept_bounded_and_renewed() {
        let (_folder, path) = file();
        let now = Timestamp::now();
        let authority = CertificateAuthority::open(&path, DOMAIN, now).unwrap();
        let server = |host: &str, days: i32| authority.server(host, now + DAY * days).unwrap();
        let first = server("api.twilio.com", 0);
        assert!(Arc::ptr_eq(&first, &server("api.twilio.com", HOST_DAYS - 2)));
        assert!(!Arc::ptr_eq(&first, &server("api.twilio.com", HOST_DAYS - 1)));
        for n in 0..2 * PROXY_HOSTS {
            server(&format!("api.r{n}.twilio.com"), 0);
        }
        assert_eq!(authority.hosts.lock().unwrap().len(), PROXY_HOSTS);
    }
}
