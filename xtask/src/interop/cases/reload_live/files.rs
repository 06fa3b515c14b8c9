//! Files that are replaced: the configuration, different in each round, and certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::bench::dialer::{FAR, NEAR};
use crate::interop::cases::tls_kamailio::Authority;

/// Certificates with their names: of the edge's listener, and of the edge towards the TLS trunk.
const OURS: [(&str, &str); 2] = [("edge", "edge.test"), ("us", "us.test")];

/// Round without the trunk of half of the calls.
pub(super) const WITHOUT_FAR: usize = 3;

/// Returns the response that a test call gets by the routes of a round; 503 if the limit is below the active calls.
pub(super) fn answer(round: usize) -> u16 {
    if is_full(round) { 503 } else { code(round) }
}

fn code(round: usize) -> u16 {
    [480, 486, 404, 410, 603][round % 5]
}

fn is_full(round: usize) -> bool {
    round % 4 == 1
}

/// Folder with the files of the edge.
pub(super) struct Files {
    folder: tempfile::TempDir,
    authority: Authority,
    plain: SocketAddr,
    secure: SocketAddr,
}

impl Files {
    /// Creates the first certificates; `plain` and `secure` are the addresses of the called sides.
    pub(super) fn new(plain: SocketAddr, secure: SocketAddr) -> anyhow::Result<Files> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new(folder.path(), "authority")?;
        authority.issue(folder.path(), "far", &[&secure.ip().to_string()])?;
        for (file, name) in OURS {
            authority.issue(folder.path(), file, &[name])?;
        }
        Ok(Files { folder, authority, plain, secure })
    }

    fn at(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the certificates by atomic renames; returns the certificate that new connections must present.
    pub(super) fn replace_certificates(&self, round: usize) -> anyhow::Result<Vec<u8>> {
        for (file, name) in OURS {
            self.authority.issue(self.at(), "next", &[name, &format!("round{round}.test")])?;
            for kind in ["pem", "key"] {
                std::fs::rename(self.at().join(format!("next.{kind}")), self.at().join(format!("{file}.{kind}")))?;
            }
        }
        self.newest("edge")
    }

    /// Truncates the certificate of the edge's listener.
    pub(super) fn break_certificates(&self) -> anyhow::Result<()> {
        let path = self.at().join("edge.pem");
        let whole = std::fs::read(&path)?;
        std::fs::write(&path, whole.get(..whole.len() / 2).unwrap_or_default())?;
        Ok(())
    }

    /// Returns the first certificate of a file.
    pub(super) fn newest(&self, file: &str) -> anyhow::Result<Vec<u8>> {
        Ok(CertificateDer::from_pem_file(self.at().join(format!("{file}.pem")))?.to_vec())
    }

    fn roots(&self) -> anyhow::Result<Arc<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.at().join("authority.pem"))?)?;
        Ok(Arc::new(roots))
    }

    /// Returns the TLS configuration for clients of the edge.
    pub(super) fn client(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Arc::new(builder.with_root_certificates(self.roots()?).with_no_client_auth()))
    }

    /// Returns the TLS configuration for servers that require the edge's certificate.
    pub(super) fn server(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?, Arc::clone(&provider)).build()?;
        let chain = vec![CertificateDer::from_pem_file(self.at().join("far.pem"))?];
        let key = PrivateKeyDer::from_pem_file(self.at().join("far.key"))?;
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key);
        Ok(Arc::new(config.context("the far side's certificate")?))
    }

    /// Returns the configuration of a round: routes in another order with other targets; limits, once below the active
    /// calls; changed keys of the calls' trunks, one of which is left out once; an agent that appears, changes and
    /// disappears.
    pub(super) fn configuration(&self, round: usize) -> String {
        let at = self.at().display();
        let Files { plain, secure, .. } = self;
        let (limit, rate) = if is_full(round) { ("calls = 10\n", 0) } else { ("calls = 2000\n", 1000 * (round % 3)) };
        let ring = 20 + round % 7;
        let codecs = ["\"PCMU\"", "\"PCMA\", \"PCMU\"", "\"PCMU\", \"opus\""][round % 3];
        let far = format!(
            "[trunk.far]\npeers = [\"sip:{plain}\"]\naccept_from = [\"{FAR}/32\"]\noptions_interval = \"0s\"\n\
             codecs = [{codecs}]\nring_timeout = \"{ring}s\"\nmax_calls = {}\n",
            300 * (round % 2)
        );
        let far_route = "[[route]]\nfrom = [\"near\"]\nconnect = [\"trunk:far\"]\n";
        let agent = match round % 3 {
            0 => String::new(),
            n => format!(
                "[agent.desk]\nurl = \"ws://127.0.0.1:{n}/\"\nmax_sessions = {n}\n[[route]]\nto = [\"+1418*\"]\nconnect = [\"agent:desk\"]\n"
            ),
        };
        let asks = format!("[[route]]\nfrom = [\"asks\"]\nconnect = [\"reject:{}\"]\n", code(round));
        let is_left_out = round % 5 == WITHOUT_FAR;
        let (far, far_route) = if is_left_out { ("", "") } else { (far.as_str(), far_route) };
        let routes = if round.is_multiple_of(2) { format!("{asks}{far_route}") } else { format!("{far_route}{asks}") };
        format!(
            r#"
[[listen]]
transport = "tls"
address = "127.0.0.1:0"
certificate = "{at}/edge.pem"
private_key = "{at}/edge.key"
[limits]
{limit}calls_per_second = {rate}
[trunk.asks]
accept_from = ["127.0.0.6/32"]
[trunk.near]
accept_from = ["{NEAR}/32"]
codecs = [{codecs}]
[trunk.secure_near]
accept_from = ["127.0.0.1/32"]
session_expires = "{ring}m"
{far}
[trunk.secure]
peers = ["sip:{secure};transport=tls"]
media_from = ["{FAR}/32"]
options_interval = "0s"
srtp = "{srtp}"
ring_timeout = "{ring}s"
tls = {{ ca = "{at}/authority.pem", certificate = "{at}/us.pem", private_key = "{at}/us.key" }}
[[route]]
from = ["secure_near"]
connect = ["trunk:secure"]
{agent}{routes}"#,
            srtp = ["required", "optional"][round % 2],
        )
    }
}
