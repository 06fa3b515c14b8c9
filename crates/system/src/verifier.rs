//! Verifiers of remote parties' certificates, which rustls calls in each handshake.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::KeyUsage;

use crate::certificates::{ClientUsage, TrustAnchors, carries, is_self_signed, provider};
use crate::limits::CERTIFICATE_BYTES;
use crate::tls_words;

/// Verifies the certificates of servers.
#[derive(Debug)]
pub struct ServerVerifier {
    /// Trust anchors; `None` accepts any certificate for any host (`verify = false`).
    trust: Option<TrustAnchors>,
    /// Names that are accepted in addition to the host that is connected to.
    names: Vec<String>,
    /// Certificate that is accepted regardless of its names, issuer and expiry date.
    itself: Option<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    /// Creates a verifier for servers with a certificate that is valid for the host that is connected to, or for one of
    /// these names. Without `trust`, any certificate is accepted.
    pub fn new(trust: Option<TrustAnchors>, names: Vec<String>) -> ServerVerifier {
        ServerVerifier { trust, names, itself: None, algorithms: provider().signature_verification_algorithms }
    }

    /// Returns the verifier, changed to accept this exact certificate, too.
    pub fn or_itself(self, itself: Option<CertificateDer<'static>>) -> ServerVerifier {
        ServerVerifier { itself, ..self }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        if self.itself.as_ref().is_some_and(|itself| itself == own) {
            return Ok(ServerCertVerified::assertion());
        }
        let named = carries(own, &host.to_str()) || self.names.iter().any(|name| carries(own, name));
        // The error of this check contains the names in the certificate.
        let named = if named { Ok(()) } else { verify_server_name(&ParsedCertificate::try_from(own)?, host) };
        match (trust.judge(own, others, KeyUsage::server_auth(), now), named) {
            (Err(fault), Err(of_name)) => Err(tls_words::of_foreign(fault, of_name, is_self_signed(own))),
            (Err(fault), Ok(())) => Err(fault),
            (Ok(()), named) => named.map(|()| ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, own, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, own, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies the certificates of clients.
#[derive(Debug)]
pub struct ClientVerifier {
    /// Trust anchors; `None` requests a certificate from the client, but leaves its verification to the caller.
    trust: Option<TrustAnchors>,
    /// Names of clients that may present a certificate for server authentication only.
    any_usage: Vec<String>,
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientVerifier {
    /// Creates a verifier for clients. The certificate of one with a name in `any_usage` may be issued for server
    /// authentication. Without `trust`, a certificate is requested, but not required.
    pub fn new(trust: Option<TrustAnchors>, any_usage: Vec<String>) -> ClientVerifier {
        let hints = trust.as_ref().map(|trust| trust.roots.subjects()).unwrap_or_default();
        ClientVerifier { trust, any_usage, hints, algorithms: provider().signature_verification_algorithms }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.trust.is_some()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if own.len() > CERTIFICATE_BYTES {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        if let Some(trust) = &self.trust {
            let is_named = self.any_usage.iter().any(|name| carries(own, name));
            let usage = if is_named { ClientUsage::Any } else { ClientUsage::Client };
            trust.judge_client(own, others, usage, now)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, own, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, own, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
