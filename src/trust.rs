//! Certificates that are trusted, read from a PEM file: when the configuration is read, so that a bad file is named
//! there, and when a connection is made.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The certificates of a PEM file.
///
/// # Errors
/// What is wrong with the file, as a clause.
pub(crate) fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (at, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let wrong = |error: String| format!("certificate {} cannot be used: {error}", at + 1);
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_certificate_of_a_file_counts() {
        let pem = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap().cert.pem();
        let (one, other) = (pem("a.example"), pem("b.example"));
        assert_eq!(roots(one.as_bytes()).unwrap().len(), 1);
        assert_eq!(roots(format!("{one}\n# another\n{other}").as_bytes()).unwrap().len(), 2);
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pem, part) in [
            ("".to_owned(), "no certificate"),
            ("text".to_owned(), "no certificate"),
            (one.replace("CERTIFICATE", "PRIVATE KEY"), "no certificate"),
            (one.split_at(one.len() / 2).0.to_owned(), "certificate 1"),
            (garbage.to_owned(), "certificate 1"),
            (format!("{one}{garbage}"), "certificate 2"),
        ] {
            let error = roots(pem.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{error}: {pem}");
        }
    }
}
