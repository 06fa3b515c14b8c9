//! Detects that a server requests a client certificate, to name the missing flags if the call fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

/// Whether a server has requested a client certificate, and whether one is configured.
#[derive(Debug, Clone, Default)]
pub(super) struct CertificateRequest {
    came: Arc<AtomicBool>,
    has_own: bool,
}

impl CertificateRequest {
    /// Returns TLS settings for one connection that record a server's request for a client certificate.
    pub(super) fn watch(config: &ClientConfig) -> (Arc<ClientConfig>, CertificateRequest) {
        let inner = Arc::clone(&config.client_auth_cert_resolver);
        let request = CertificateRequest { came: Arc::default(), has_own: inner.has_certs() };
        let watched = ObservingResolver { inner, came: Arc::clone(&request.came) };
        let mut config = config.clone();
        config.client_auth_cert_resolver = Arc::new(watched);
        (Arc::new(config), request)
    }

    /// Adds the flags `--certificate` and `--private-key` to a connection error if the server requested a certificate.
    pub(super) fn explain(&self, what: &str) -> String {
        let what = what.replace("(`certificate`, `private_key`)", "(--certificate, --private-key)");
        match (self.came.load(Ordering::Relaxed), self.has_own) {
            (false, _) => what,
            (true, false) => {
                format!(
                    "{what}; the server asks for a client certificate: add --certificate FILE and --private-key FILE"
                )
            }
            (true, true) => {
                format!("{what}; the server asked for a client certificate: check that its CA has issued --certificate")
            }
        }
    }
}

/// Certificate resolver that records the server's request and returns the certificate of `inner`.
#[derive(Debug)]
struct ObservingResolver {
    inner: Arc<dyn ResolvesClientCert>,
    came: Arc<AtomicBool>,
}

impl ResolvesClientCert for ObservingResolver {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.came.store(true, Ordering::Relaxed);
        self.inner.resolve(issuers, schemes)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.inner.only_raw_public_keys()
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}
