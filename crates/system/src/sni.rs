//! Selects the certificate of a TLS listener: the first one that is valid for the name that the client requests (SNI,
//! RFC 6066 §3).

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificates::carries;

/// Certificates of one listener, the default first.
#[derive(Debug)]
pub struct CertificatesByName(Vec<Arc<CertifiedKey>>);

impl CertificatesByName {
    /// Returns a resolver for these certificates in their order; clients that request no known name get the first one.
    pub fn new(all: Vec<Arc<CertifiedKey>>) -> CertificatesByName {
        CertificatesByName(all)
    }

    /// Returns the certificate for a requested name, otherwise the first one.
    fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let is_for = |key: &&Arc<CertifiedKey>, name: &str| key.cert.first().is_some_and(|own| carries(own, name));
        // A single certificate is presented for any name.
        let name = name.filter(|_| self.0.len() > 1);
        name.and_then(|name| self.0.iter().find(|key| is_for(key, name))).or_else(|| self.0.first())
    }
}

impl ResolvesServerCert for CertificatesByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivateKeyDer;

    use super::*;
    use crate::certificates::provider;

    fn made(names: &[&str]) -> Arc<CertifiedKey> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        Arc::new(CertifiedKey::from_der(vec![made.cert.der().clone()], key, &provider()).unwrap())
    }

    #[test]
    fn the_first_certificate_for_a_name_is_found_else_the_first() {
        let all = [made(&["a.example", "b.example"]), made(&["b.example", "*.c.example"]), made(&["x.c.example"])];
        let certificates = CertificatesByName::new(all.to_vec());
        for (name, at) in [
            (Some("a.example"), 0),
            (Some("b.example"), 0),
            (Some("x.c.example"), 1),
            (Some("X.C.EXAMPLE"), 1),
            (Some("c.example"), 0),
            (Some("else.example"), 0),
            (None, 0),
        ] {
            let found = certificates.find(name).unwrap();
            assert!(Arc::ptr_eq(found, &all[at]), "{name:?}");
        }
    }
}
