//! Certificates for Twilio's host names, issued by the edge's CA, for clients of the proxy and of the TLS listener of
//! `[api]`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::http::StatusCode;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::OnceCell;

use super::ApiError;
use trunkgate_system::authority::{self, CertificateAuthority};
use trunkgate_system::certificates::CLOSED;
use trunkgate_system::clock;
use trunkgate_system::connector::TlsFault;
use trunkgate_system::log::LogThrottle;
use trunkgate_system::twilio_hosts::{API, DOMAIN, is_served};

/// Name of the CA's file in the data directory.
const FILE: &str = "twilio-ca.pem";

/// Way in which a client reaches the edge as api.twilio.com; it decides on the fix that is logged for a failed
/// handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientPath {
    /// The client connects through the proxy, with CONNECT.
    Proxy,
    /// The client connects to the TLS listener directly, by a hosts entry or DNS alias.
    Listener,
}

/// CA of the edge with the certificates that it issues; opened at first use.
#[derive(Debug)]
pub(super) struct HostCertificates {
    path: PathBuf,
    authority: OnceCell<Arc<CertificateAuthority>>,
    by_name: OnceCell<Arc<ServerConfig>>,
    complaint: Mutex<LogThrottle>,
}

impl HostCertificates {
    /// Creates the certificates for a CA file in the data directory.
    pub(super) fn new(directory: PathBuf) -> HostCertificates {
        HostCertificates {
            path: directory.join(FILE),
            authority: OnceCell::new(),
            by_name: OnceCell::new(),
            complaint: Mutex::default(),
        }
    }

    /// Returns the CA certificate (PEM).
    ///
    /// # Errors
    /// Returns 503 `no_proxy_ca` if the CA can be neither read nor created.
    pub(super) async fn pem(&self) -> Result<&str, ApiError> {
        Ok(self.authority().await?.pem())
    }

    /// Returns the TLS configuration for one host name.
    ///
    /// # Errors
    /// Returns 503 `no_proxy_ca`, as [`HostCertificates::pem`] does.
    pub(super) async fn of_host(&self, host: &str) -> Result<Arc<ServerConfig>, ApiError> {
        let authority = self.authority().await?;
        authority.server(host, clock::now()).map_err(|why| self.no_authority(&why))
    }

    /// Returns the TLS configuration for all host names of the API and of Lookup, selected by SNI (RFC 6066 §3). A
    /// client without SNI gets api.twilio.com; with any other name the handshake fails.
    ///
    /// # Errors
    /// Returns 503 `no_proxy_ca`, as [`HostCertificates::pem`] does.
    pub(super) async fn by_name(&self) -> Result<Arc<ServerConfig>, ApiError> {
        let authority = Arc::clone(self.authority().await?);
        let make = || async { authority::server_by(Arc::new(CertificateByName { authority })) };
        self.by_name.get_or_try_init(make).await.cloned().map_err(|why| self.no_authority(&why))
    }

    async fn authority(&self) -> Result<&Arc<CertificateAuthority>, ApiError> {
        let path = self.path.clone();
        let open = || async {
            let opened = move || CertificateAuthority::open(&path, DOMAIN, clock::now()).map(Arc::new);
            tokio::task::spawn_blocking(opened).await.map_err(|error| error.to_string()).flatten()
        };
        self.authority.get_or_try_init(open).await.map_err(|why| self.no_authority(&why))
    }

    fn no_authority(&self, why: &str) -> ApiError {
        if let Some(more) = self.due() {
            tracing::error!("the CA of the edge cannot be used, so clients of api.twilio.com get 503: {why}{more}");
        }
        let message = "the CA of the edge cannot be used: the log of the edge has the cause";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "no_proxy_ca", message)
    }

    /// Logs a failed handshake, which most often means that the client does not trust the CA.
    pub(super) fn complain(&self, source: IpAddr, host: &str, fault: &TlsFault, path: ClientPath) {
        let Some(more) = self.due() else { return };
        // The text for a closed connection explains the servers' side, which does not apply to a client.
        let what = if fault.what.starts_with(CLOSED) { CLOSED } else { &fault.what };
        let (kind, fix) = match path {
            ClientPath::Proxy => ("proxy", "start the client with the variables that `trunkgate twilio env` prints"),
            ClientPath::Listener => ("api", "`trunkgate twilio trust` adds the CA to the client's trust store"),
        };
        if fault.rejected.is_some() {
            tracing::info!("{kind}: client {source} does not trust the CA of the edge for {host}: {what}. {fix}{more}");
        } else {
            tracing::info!(
                "{kind}: TLS with client {source} for {host} failed: {what}. If it does not trust the CA: {fix}{more}"
            );
        }
    }

    fn due(&self) -> Option<String> {
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        complaint.due(Instant::now()).map(|more| more.to_string())
    }
}

/// Certificate resolver that selects by SNI.
#[derive(Debug)]
struct CertificateByName {
    authority: Arc<CertificateAuthority>,
}

impl ResolvesServerCert for CertificateByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name().map_or_else(|| API.to_owned(), str::to_ascii_lowercase);
        is_served(&host).then(|| self.authority.certified(&host, clock::now()).ok()).flatten()
    }
}
