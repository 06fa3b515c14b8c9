//! `trunkgate twilio env`: prints environment variables that direct a program's requests for api.twilio.com to the
//! edge's proxy (`[api] proxy`).

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use trunkgate_route::is_loopback_host;
use url::Url;

use crate::cli::TwilioEnv;
use crate::client;
use crate::twilio::ca::{self, CA_OF_PROXY};
use trunkgate_system::files::{REPORT, ReplacedRights, replace};
use trunkgate_system::text::hex;
use trunkgate_system::{authority, certificates, web};

/// API path with information on the Twilio-compatible API.
const API: &str = "/v1/api";
/// Hosts that a program reaches without the proxy.
const NO_PROXY: &str = "localhost,127.0.0.1,::1";
/// Shell comment that names clients which ignore the variables.
const NOT_ENOUGH: &str = "# Not enough for aiohttp, fetch of Node, node-fetch, got, pycurl, PHP and twilio-python before 7.16: trunkgate twilio hosts";
/// Maximum size of a CA certificate, in bytes.
const CA_BYTES: u64 = 1 << 20;
/// Line length of PEM, in characters (RFC 7468 §2).
const PEM_COLUMNS: usize = 64;

/// Prints the environment variables as shell lines.
pub(super) fn run(config: Option<&Path>, options: &TwilioEnv) -> ExitCode {
    client::talk(config, &options.remote, async |edge| {
        let proxy = ProxyAddress::of(edge.base())?;
        let ca = ca::of_proxy(edge).await?;
        let directory = options.directory.clone().or_else(cache).ok_or("no $HOME: name a directory by --directory")?;
        // A proxy reached over HTTPS presents the certificate of [http].
        let of_edge =
            if edge.base().starts_with("https:") { edge.trusted()?.unwrap_or_default() } else { String::new() };
        let files = CertificateFiles::write(&directory, &ca, &of_edge)?;
        if !proxy.is_here {
            eprintln!(
                "note: {} is not on this machine: the lines take TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN from the shell, which must have them",
                edge.base()
            );
        }
        let account = if proxy.is_here { account_of(edge).await } else { None };
        if proxy.is_here && account.is_none() {
            eprintln!(
                "note: TWILIO_ACCOUNT_SID is not among the lines: the edge shows it with the token of [http] only"
            );
        }
        Ok(lines(&proxy, &files, account.as_deref()))
    })
}

/// Returns the account SID of an edge; `None` without a valid response.
async fn account_of(edge: &client::EdgeTarget) -> Option<String> {
    let answer: Value = serde_json::from_str(&edge.text(API).await.ok()?).ok()?;
    answer["account_sid"].as_str().filter(|sid| is_account(sid)).map(str::to_owned)
}

/// Returns whether a text has the form of an account SID, which is safe in a shell line.
fn is_account(sid: &str) -> bool {
    sid.strip_prefix("AC").is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Returns environment variables for a program started next to a local edge, after writing the edge's CA certificate
/// into a directory.
///
/// # Errors
/// Returns a message if the edge does not send a CA certificate limited to Twilio's names, or a file cannot be written.
pub(super) async fn variables(base: &str, directory: &Path) -> Result<Vec<(&'static str, String)>, String> {
    let url = Url::parse(base).and_then(|url| url.join(CA_OF_PROXY)).map_err(|error| error.to_string())?;
    let request = web::request(hyper::Method::GET, &url).body(Full::default()).map_err(|error| error.to_string())?;
    let answer = web::ask(&url, request, |_| CA_BYTES).await.map_err(|fault| fault.what().to_owned())?;
    let ca = ca::limited(String::from_utf8(answer.body).map_err(|error| error.to_string())?, base)?;
    let files = CertificateFiles::write(directory, &ca, "")?;
    let shown = |path: &Path| path.display().to_string();
    let without = |name: &str| {
        let own = std::env::var(name).ok().filter(|value| !value.is_empty());
        own.map_or_else(|| NO_PROXY.to_owned(), |own| format!("{NO_PROXY},{own}"))
    };
    let (proxy, bundle, alone) = (base.to_owned(), shown(&files.bundle), shown(&files.alone));
    Ok(named(&proxy, &bundle, &alone, [without("NO_PROXY"), without("no_proxy")]).into())
}

/// Returns the user's cache directory; `None` if neither XDG_CACHE_HOME nor HOME is set.
fn cache() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    // A relative path is ignored (XDG Base Directory Specification).
    let cache = named("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    Some(cache.or_else(|| Some(named("HOME")?.join(".cache")))?.join("trunkgate"))
}

/// Address of the edge as an HTTP proxy.
#[derive(Debug, PartialEq, Eq)]
struct ProxyAddress {
    /// Proxy URL as a shell word.
    word: String,
    /// Whether the edge is on this machine and needs no credentials.
    is_here: bool,
}

impl ProxyAddress {
    fn of(base: &str) -> Result<ProxyAddress, String> {
        let wrong = || format!("{base} is not a proxy address: use http://HOST:PORT or https://HOST:PORT");
        let url = Url::parse(base).map_err(|_| wrong())?;
        if url.path() != "/" || url.query().is_some() {
            return Err(wrong());
        }
        let host = url.host().ok_or_else(wrong)?;
        let is_here = is_loopback_host(&host.to_string());
        let (scheme, port) = (url.scheme(), url.port_or_known_default().ok_or_else(wrong)?);
        // Host and port cannot contain a quotation mark or dollar sign.
        let word = if is_here {
            format!("'{scheme}://{host}:{port}'")
        } else {
            format!("\"{scheme}://$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN@{host}:{port}\"")
        };
        Ok(ProxyAddress { word, is_here })
    }
}

/// Certificate files for clients. Their names depend on the CA, so that each edge has its own.
#[derive(Debug)]
struct CertificateFiles {
    /// File with the system's roots and the edge's CA.
    bundle: PathBuf,
    /// File with the edge's CA only.
    alone: PathBuf,
}

impl CertificateFiles {
    fn write(directory: &Path, ca: &str, of_edge: &str) -> Result<CertificateFiles, String> {
        let own = format!("{}\n{of_edge}", ca.trim_end());
        let roots = certificates::system_certificates();
        let roots: Vec<_> = roots.iter().filter(|root| !is_ours(root)).map(|root| pem(root)).collect();
        if roots.is_empty() {
            let hint = std::env::var("SSL_CERT_FILE").map(|file| format!(" (SSL_CERT_FILE is {file})"));
            return Err(format!(
                "this system has no root certificates{}: install ca-certificates",
                hint.unwrap_or_default()
            ));
        }
        let hash = hex(Sha256::digest(&own).get(..4).unwrap_or_default());
        let named = |name: &str| directory.join(format!("twilio-{name}-{hash}.pem"));
        let files = CertificateFiles { bundle: named("bundle"), alone: named("ca") };
        let failed = |error: io::Error| format!("{}: {error}", directory.display());
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let put = |path: &Path, text: &str| replace(path, text.as_bytes(), ReplacedRights::New(REPORT));
        put(&files.alone, &own).map_err(failed)?;
        put(&files.bundle, &format!("{}{own}", roots.concat())).map_err(failed)?;
        let absolute = |path: PathBuf| path.canonicalize().map_err(failed);
        Ok(CertificateFiles { bundle: absolute(files.bundle)?, alone: absolute(files.alone)? })
    }
}

/// Returns whether a root certificate is an edge's CA. `SSL_CERT_FILE` may already name a file written by this command.
fn is_ours(root: &[u8]) -> bool {
    let name = authority::COMMON_NAME.as_bytes();
    root.windows(name.len()).any(|window| window == name)
}

fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let mut lines = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(PEM_COLUMNS));
        lines.push_str(line);
        lines.push('\n');
        rest = behind;
    }
    lines + "-----END CERTIFICATE-----\n"
}

/// Quotes a text as a shell word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn lines(proxy: &ProxyAddress, files: &CertificateFiles, account: Option<&str>) -> String {
    let (bundle, alone) = (quoted(&files.bundle.display().to_string()), quoted(&files.alone.display().to_string()));
    // The user's own exclusions in these variables are kept.
    let without = |name: &str| format!("{}\"${{{name}:+,${name}}}\"", quoted(NO_PROXY));
    let variables = named(&proxy.word, &bundle, &alone, [without("NO_PROXY"), without("no_proxy")]);
    let exports = variables.iter().map(|(name, word)| format!("export {name}={word}\n"));
    let account = account.map(|account| format!("export TWILIO_ACCOUNT_SID='{account}'\n"));
    exports.chain(account).chain([format!("{NOT_ENOUGH}\n")]).collect()
}

/// Returns the names of all variables with their values; the values may be shell words.
fn named(proxy: &str, bundle: &str, alone: &str, without: [String; 2]) -> [(&'static str, String); 10] {
    let [upper, lower] = without;
    // curl reads only the lower-case `http_proxy`; Twilio's library for Node reads `HTTP_PROXY`.
    [
        ("HTTPS_PROXY", proxy.to_owned()),
        ("https_proxy", proxy.to_owned()),
        ("HTTP_PROXY", proxy.to_owned()),
        ("http_proxy", proxy.to_owned()),
        ("NO_PROXY", upper),
        ("no_proxy", lower),
        ("REQUESTS_CA_BUNDLE", bundle.to_owned()),
        ("SSL_CERT_FILE", bundle.to_owned()),
        ("CURL_CA_BUNDLE", bundle.to_owned()),
        ("NODE_EXTRA_CA_CERTS", alone.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_on_this_machine_needs_no_credentials() {
        for (base, word) in [
            ("http://127.0.0.1:8080", "'http://127.0.0.1:8080'"),
            ("http://localhost", "'http://localhost:80'"),
            ("http://[::1]:8080", "'http://[::1]:8080'"),
            ("https://127.0.0.1:8443", "'https://127.0.0.1:8443'"),
        ] {
            assert_eq!(ProxyAddress::of(base), Ok(ProxyAddress { word: word.to_owned(), is_here: true }));
        }
        let remote = ProxyAddress::of("https://edge.example.com").unwrap();
        assert_eq!(remote.word, "\"https://$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN@edge.example.com:443\"");
        assert!(!remote.is_here);
        for base in ["http://127.0.0.1:8080/edge", "mailto:a", "http://127.0.0.1:8080?a", ""] {
            assert!(ProxyAddress::of(base).unwrap_err().contains("is not a proxy address"), "{base}");
        }
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        let files = CertificateFiles { bundle: "/srv/o'neill/$HOME/a b.pem".into(), alone: "/c.pem".into() };
        let account = "AC0123456789abcdef0123456789abcdef";
        let printed = lines(&ProxyAddress::of("http://127.0.0.1:8080").unwrap(), &files, Some(account));
        assert!(is_account(account) && !is_account("AC'; reboot; '23456789abcdef01234567"));
        assert!(printed.contains(&format!("export TWILIO_ACCOUNT_SID='{account}'\n")), "{printed}");
        assert!(printed.contains("export CURL_CA_BUNDLE='/srv/o'\\''neill/$HOME/a b.pem'\n"), "{printed}");
        let without = "export no_proxy='localhost,127.0.0.1,::1'\"${no_proxy:+,$no_proxy}\"\n";
        assert!(printed.contains(without), "{printed}");
        assert!(printed.contains("export NODE_EXTRA_CA_CERTS='/c.pem'\n"), "{printed}");
        let (exports, rest): (Vec<&str>, Vec<&str>) = printed.lines().partition(|line| line.starts_with("export "));
        assert_eq!((exports.len(), rest), (11, vec![NOT_ENOUGH]));
    }

    #[test]
    fn roots_are_written_as_pem_and_own_ones_are_not_taken_twice() {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let ours = |text: &str| is_ours(text.as_bytes());
        assert_eq!(pem(made.cert.der()).replace('\n', ""), made.cert.pem().replace("\r\n", "\n").replace('\n', ""));
        assert!(ours("…Trunkgate CA for twilio.com (12345678)") && !ours("DST Root"));
    }
}
