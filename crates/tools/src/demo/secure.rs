//! TLS in the demo: a certificate created for each run, and the TLS connection of a phone.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncWriteExt as _, WriteHalf};
use tokio::sync::mpsc;

use crate::line::{self, ByteStream};

/// Maximum number of directory names tried for the certificate.
const FOLDERS: u32 = 16;

/// Certificate for 127.0.0.1 and its key, in private files that are removed on drop.
#[derive(Debug)]
pub(super) struct DemoCertificate {
    folder: PathBuf,
    trusts: Arc<ClientConfig>,
}

impl DemoCertificate {
    /// Creates the certificate and writes it to private files.
    pub(super) fn make() -> anyhow::Result<DemoCertificate> {
        let name = Ipv4Addr::LOCALHOST.to_string();
        let made = rcgen::generate_simple_self_signed([name]).context("no certificate can be made")?;
        let folder = folder()?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let trusts = Arc::new(versions.with_root_certificates(roots).with_no_client_auth());
        let certificate = DemoCertificate { folder, trusts };
        std::fs::write(certificate.path("certificate.pem"), made.cert.pem())?;
        std::fs::write(certificate.path("key.pem"), made.signing_key.serialize_pem())?;
        Ok(certificate)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// Returns a temporary data directory for the demo's edge; the current directory may belong to another edge.
    pub(super) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Returns the configuration text of a TLS listener with this certificate.
    pub(super) fn listener(&self) -> String {
        format!(
            "[[listen]]\nname = \"secure\"\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n\
             certificate = {:?}\nprivate_key = {:?}\n",
            self.path("certificate.pem"),
            self.path("key.pem")
        )
    }

    /// Returns a phone's TLS connection that trusts this certificate; not opened yet.
    pub(super) fn line(&self) -> PhoneConnection {
        PhoneConnection { trusts: Arc::clone(&self.trusts), stream: None }
    }
}

/// Creates a private directory, skipping names left behind by a killed demo.
fn folder() -> anyhow::Result<PathBuf> {
    let name = |n: u32| std::env::temp_dir().join(format!("trunkgate-demo-{}-{n}", std::process::id()));
    let create = |folder: &PathBuf| std::fs::DirBuilder::new().mode(0o700).create(folder);
    let made = (0..FOLDERS).map(name).find(|folder| create(folder).is_ok());
    made.with_context(|| format!("no folder can be made in {}", std::env::temp_dir().display()))
}

impl Drop for DemoCertificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// TLS connection of a phone to the edge, opened by the first message sent.
pub(super) struct PhoneConnection {
    trusts: Arc<ClientConfig>,
    stream: Option<WriteHalf<Box<dyn ByteStream>>>,
}

impl std::fmt::Debug for PhoneConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhoneConnection").field("is_open", &self.stream.is_some()).finish_non_exhaustive()
    }
}

impl PhoneConnection {
    /// Sends a message; complete received messages go to `messages`.
    pub(super) async fn send(
        &mut self,
        to: SocketAddr,
        message: &[u8],
        messages: &mpsc::Sender<Bytes>,
    ) -> anyhow::Result<()> {
        if self.stream.is_none() {
            let host = to.ip().to_string();
            let opened = line::ConnectedStream::open(to, Some((Arc::clone(&self.trusts), &host))).await;
            let (read, write) = tokio::io::split(opened.map_err(anyhow::Error::msg)?.stream);
            tokio::task::spawn_local(line::receive(read, messages.clone()));
            self.stream = Some(write);
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        stream.write_all(message).await?;
        Ok(stream.flush().await?)
    }
}
