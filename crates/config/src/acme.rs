//! Table `acme` of `[tls]`: the certificate that the edge obtains and renews through ACME (RFC 8555).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;
use sha2::{Digest as _, Sha256};
use trunkgate_route::is_loopback_host;
use url::Url;

use super::code;
use super::cover::told;
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SourceSpan, SpannedListen};
use super::keys;
use super::values::KeyReader;
use trunkgate_system::files;
use trunkgate_system::limits::ACME_ACCOUNT_BYTES;
use trunkgate_system::text::hex;

/// Maximum number of names in a certificate, the limit of public certificate authorities.
const DOMAINS: usize = 100;
/// Maximum length of a contact address in bytes (RFC 5321 §4.5.3.1.3).
const EMAIL_BYTES: usize = 254;
/// Port that the certificate authority connects to for `http-01` (RFC 8555 §8.3).
const CHALLENGE_PORT: u16 = 80;
/// Folder below the data directory for ACME accounts and certificates.
const FOLDER: &str = "acme";
/// File with the ACME account and its private key.
const ACCOUNT: &str = "account.json";
/// Maximum number of URL characters in a folder name.
const NAME_CHARACTERS: usize = 200;

const DOMAIN_HELP: &str = "use the host name that peers connect to: \"sbc.example.com\"";

/// Settings of `acme` in `[tls]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// DNS names of the certificate, in lower case.
    pub domains: Vec<String>,
    /// E-mail address with which the ACME account is registered.
    pub email: Option<String>,
    /// URL of the ACME directory.
    pub directory: String,
    /// CA bundle (PEM) to verify the ACME server; `None` selects the system roots.
    pub ca: Option<PathBuf>,
    /// Local address of the HTTP listener for `http-01` challenges.
    pub challenge_address: SocketAddr,
    /// Folder of the account and the certificate. Each ACME directory has its own folder, so that the certificate of a
    /// staging directory is never used in production.
    pub folder: PathBuf,
}

impl AcmeSettings {
    /// Returns the path of the certificate chain and its private key.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// Returns the path of the account and its private key.
    pub fn account(&self) -> PathBuf {
        self.folder.join(ACCOUNT)
    }

    /// Returns whether the URL of the ACME directory is unencrypted `http`, which is accepted for loopback only.
    pub fn is_in_clear(&self) -> bool {
        Url::parse(&self.directory).is_ok_and(|url| url.scheme() == "http")
    }
}

/// Settings of `acme` with their positions in the file.
#[derive(Debug)]
pub(super) struct SpannedAcme {
    pub(super) acme: AcmeSettings,
    pub(super) span: SourceSpan,
    /// Position of `challenge_address`, if set.
    pub(super) address: Option<SourceSpan>,
}

/// Reads `acme` of `[tls]`; `data` is the data directory.
pub(super) fn read(reader: &mut KeyReader<'_>, data: &Path) -> Option<SpannedAcme> {
    let table = reader.section(keys::ACME)?;
    if table.get("domains").is_none() {
        let help = "add domains = [\"sbc.example.com\"]";
        reader.findings.error(code::MISSING, reader.value.span(), "`acme` of [tls] without `domains`", help);
    }
    let mut acme = AcmeSettings {
        domains: Vec::new(),
        email: None,
        directory: String::new(),
        ca: None,
        challenge_address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, CHALLENGE_PORT)),
        folder: PathBuf::new(),
    };
    table.fill((keys::ACME, keys::PUT_ACME), &mut acme, reader.findings);
    acme.folder = folder(data, &acme.directory);
    Some(SpannedAcme { acme, span: reader.span(), address: table.span_of("challenge_address") })
}

/// Reads `domains`: the DNS names of the certificate.
pub(super) fn domains(reader: &mut KeyReader<'_>) -> Option<Vec<String>> {
    let mut domains: Vec<String> = Vec::new();
    for (domain, span) in reader.one_or_list(domain)? {
        if domains.contains(&domain) {
            reader.error_at(code::BAD_VALUE, span, format!("has {domain} twice"), "remove one of them");
            continue;
        }
        domains.push(domain);
    }
    if reader.is_empty_list() {
        reader.error(code::BAD_VALUE, "cannot be empty", DOMAIN_HELP);
    }
    if domains.len() > DOMAINS {
        reader.error(
            code::BAD_VALUE,
            format!("cannot have more than {DOMAINS} names"),
            "list the names that peers connect to",
        );
    }
    Some(domains)
}

fn domain(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    if text.starts_with("*.") {
        let what = format!("cannot be \"{}\": the challenge http-01 proves no wildcard", told(&text));
        return reader.reject(code::BAD_VALUE, what, "list each host name");
    }
    let is_name = matches!(ServerName::try_from(text.as_str()), Ok(ServerName::DnsName(_))) && !text.ends_with('.');
    if !is_name {
        reader.error(code::BAD_VALUE, format!("cannot be \"{}\"", told(&text)), DOMAIN_HELP);
    }
    is_name.then(|| text.to_ascii_lowercase())
}

/// Reads `email`: the contact address of the account.
pub(super) fn email(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let sign = |c: char| c.is_ascii_graphic() && !matches!(c, ',' | '?' | '%' | '<' | '>' | '"' | '@' | ':');
    let usable = text.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && local.chars().all(sign) && host.contains('.') && host.chars().all(sign)
    });
    if !usable || text.len() > EMAIL_BYTES {
        return reader.reject(
            code::BAD_VALUE,
            format!(": \"{}\" is not an e-mail address", told(&text)),
            "use \"ops@example.com\"",
        );
    }
    Some(text)
}

/// Reads the URL of the ACME directory: `https`, or `http` on loopback (RFC 8555 §6.1).
pub(super) fn directory(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let usable = Url::parse(&text).is_ok_and(|url| {
        let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        is_plain && (url.scheme() == "https" && url.has_host() || is_local(&url))
    });
    if !usable {
        let help = "use \"https://acme-v02.api.letsencrypt.org/directory\", or that of another authority";
        reader.error(code::BAD_ADDRESS, format!(": \"{}\" is not the https:// URL of a directory", told(&text)), help);
    }
    usable.then_some(text)
}

fn is_local(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(is_loopback_host)
}

/// Returns the folder for an ACME directory. An existing own folder wins; otherwise the folder of an earlier version is
/// used if that has an account for the directory.
fn folder(data: &Path, directory: &str) -> PathBuf {
    let folders = data.join(FOLDER);
    let own = folders.join(folder_name(directory));
    let earlier = folders.join(readable_name(directory));
    if !own.exists() && is_account_of(&earlier.join(ACCOUNT), directory) { earlier } else { own }
}

/// Returns whether the account file belongs to an ACME directory.
fn is_account_of(account: &Path, directory: &str) -> bool {
    let bytes = files::read_whole(account, ACME_ACCOUNT_BYTES).ok();
    let account = bytes.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    account.is_some_and(|account| account["directory"] == directory)
}

/// Returns the unique folder name of an ACME directory: `HOST-directory` for `https://HOST/directory`, a readable name
/// with a hash of the URL for any other.
fn folder_name(directory: &str) -> String {
    let name = readable_name(directory);
    let host = name.strip_suffix("-directory").filter(|_| name.len() < NAME_CHARACTERS);
    if host.is_some_and(|host| directory == format!("https://{host}/directory")) {
        return name;
    }
    let hash = hex(Sha256::digest(directory).get(..8).unwrap_or_default());
    // A readable name never contains `_`, so the two forms cannot collide.
    format!("{name}_{hash}")
}

/// Returns the URL without its scheme and with only those characters that a file name may contain.
fn readable_name(directory: &str) -> String {
    let text = directory.split_once("://").map_or(directory, |(_, rest)| rest).trim_end_matches('/');
    let sign = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '-' };
    let name: String = text.chars().map(sign).take(NAME_CHARACTERS).collect();
    // A name of dots alone would be another folder.
    if name.chars().all(|c| c == '.') { "directory".to_owned() } else { name }
}

/// Checks `acme` against the other tables: a free address for the challenge, and a listener that uses the certificate.
pub(super) fn judge(draft: &ConfigDraft, taken: impl Fn(SocketAddr) -> Option<String>, findings: &mut Findings) {
    let Some(SpannedAcme { acme, span, address }) = &draft.acme else { return };
    let shows = |placed: &SpannedListen| placed.listen.tls.as_ref().is_some_and(|tls| tls.is_issued);
    if !draft.listen.iter().any(shows) && !draft.listen_is_partial {
        let message = "`acme` of [tls]: no listener shows the certificate";
        let help = "add a [[listen]] with transport = \"tls\" and without `certificate`";
        findings.error(code::ACME, span.clone(), message, help);
    }
    let at = acme.challenge_address;
    let place = address.clone().unwrap_or_else(|| span.clone());
    if let Some(other) = taken(at) {
        let message = format!("no listener for the challenge http-01: {at} is already used by {other}");
        findings.error(
            code::SAME_SOCKET,
            place,
            message,
            "set another `challenge_address`, or move the other listener",
        );
        return;
    }
    let is_public = !Url::parse(&acme.directory).is_ok_and(|url| is_local(&url));
    if is_public && at.port() == 0 {
        let message = format!("no listener for the challenge http-01: {at} gets another port at each start");
        findings.error(code::ACME, place, message, "use port 80, or a port that port 80 is forwarded to");
    } else if is_public && at.port() == CHALLENGE_PORT && is_loopback(at.ip()) {
        let message = format!("no listener for the challenge http-01: the authority does not reach {at}");
        findings.error(code::ACME, place, message, "challenge_address = \"0.0.0.0:80\"");
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Diagnostic, parse};

    const TRUNK: &str = "[trunk.a]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = ['trunk:a']\n";
    const LISTENER: &str = "[[listen]]\ntransport = 'tls'\naddress = '127.0.0.1:5061'\n\
                            [[listen]]\ntransport = 'udp'\naddress = '0.0.0.0:5060'\n";

    fn read(acme: &str, rest: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
        let source = format!("{TRUNK}{rest}[tls]\nacme = {{ {acme} }}\n");
        parse(Path::new("/etc/t/trunkgate.toml"), &source)
    }

    #[test]
    fn a_domain_is_enough() {
        let (config, _) = read("domains = 'SBC.example.com'", LISTENER).unwrap();
        let acme = config.acme.unwrap();
        assert_eq!((acme.domains, acme.email), (vec!["sbc.example.com".to_owned()], None));
        assert_eq!(acme.directory, "https://acme-v02.api.letsencrypt.org/directory");
        assert_eq!(acme.challenge_address, "0.0.0.0:80".parse().unwrap());
        assert_eq!(acme.folder, Path::new("/etc/t/acme/acme-v02.api.letsencrypt.org-directory"));
        let tls = config.listen[0].tls.clone().unwrap();
        assert!(tls.is_issued);
        assert_eq!(tls.own.unwrap().0, acme.folder.join("certificate.pem"));
    }

    #[test]
    fn a_listener_with_a_certificate_of_its_own_keeps_it() {
        let other =
            "[[listen]]\ntransport = 'tls'\naddress = '127.0.0.1:5062'\ncertificate = '/none'\nprivate_key = '/none'\n";
        let found = read("domains = 'a.example'", other).unwrap_err();
        assert!(found.iter().any(|one| one.message.starts_with("`certificate`: /none")), "{found:?}");
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("email = 'a@b.example'", "`acme` of [tls] without `domains`"),
            ("domains = []", "`domains` cannot be empty"),
            ("domains = ['*.example.com']", "the challenge http-01 proves no wildcard"),
            ("domains = ['203.0.113.7']", "`domains` cannot be \"203.0.113.7\""),
            ("domains = ['a.example', 'A.example']", "`domains` has a.example twice"),
            ("domains = 'a.example', email = 'ops'", "`email`: \"ops\" is not an e-mail address"),
            ("domains = 'a.example', directory = 'http://ca.example/d'", "is not the https:// URL of a directory"),
            ("domains = 'a.example', challenge = 'tls-alpn-01'", "`challenge`"),
            ("domains = 'a.example', challenge_address = '127.0.0.1:80'", "the authority does not reach 127.0.0.1:80"),
            ("domains = 'a.example', challenge_address = '0.0.0.0:0'", "gets another port at each start"),
            (
                "domains = 'a.example', challenge_address = '127.0.0.1:5061'",
                "is already used by the listener tls:127.0.0.1:5061",
            ),
            ("domains = 'a.example', challenge_address = '127.0.0.1:8080'", "is already used by [http] address"),
        ];
        for (acme, message) in cases {
            let found = read(acme, LISTENER).unwrap_err();
            assert!(found.iter().any(|one| one.is_error && one.message.contains(message)), "{acme}: {found:?}");
        }
        let found = read("domains = 'a.example'", "").unwrap_err();
        assert!(found.iter().any(|one| one.message.contains("no listener shows the certificate")), "{found:?}");
    }

    #[test]
    fn each_directory_has_a_folder_of_its_own() {
        let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
        assert_eq!(folder_name(staging), "acme-staging-v02.api.letsencrypt.org-directory");
        let local = folder_name("http://127.0.0.1:14000/dir/");
        assert_eq!(local.strip_prefix("127.0.0.1-14000-dir_").unwrap().len(), 16);
        let long = format!("https://ca.example/{}", "x".repeat(2 * NAME_CHARACTERS));
        let directories = [
            "https://ca.example/directory",
            "https://ca.example/directory/",
            "http://ca.example/directory",
            "https://ca-example/directory",
            "https://ca/example/directory",
            "https://ca.example-directory",
            "https://ca.example/../x?y=z",
            "https://ca.example/..-x/y-z",
            &long,
            &format!("{long}y"),
        ];
        let names: std::collections::BTreeSet<_> = directories.into_iter().map(folder_name).collect();
        assert_eq!(names.len(), directories.len(), "{names:?}");
        let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        assert!(names.iter().all(|name| name.len() < 255 && name.chars().all(sign)), "{names:?}");
    }

    #[test]
    fn a_folder_of_an_earlier_version_stays_that_of_the_directory_whose_account_it_has() {
        let data = tempfile::tempdir().unwrap();
        let (one, other) = ("https://ca.example/acme/directory", "https://ca.example/acme-directory");
        let earlier = data.path().join("acme/ca.example-acme-directory");
        std::fs::create_dir_all(&earlier).unwrap();
        assert_ne!(folder(data.path(), one), earlier, "without an account");
        std::fs::write(earlier.join(ACCOUNT), format!("{{\"id\":\"x\",\"directory\":\"{one}\"}}")).unwrap();
        assert_eq!(folder(data.path(), one), earlier);
        assert_eq!(folder(data.path(), other), data.path().join("acme").join(folder_name(other)));
        let own = data.path().join("acme").join(folder_name(one));
        std::fs::create_dir(&own).unwrap();
        assert_eq!(folder(data.path(), one), own);
    }
}
