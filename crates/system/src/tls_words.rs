//! Messages for TLS failures, each with its fix. The library's own texts contain names of its types, so they are not
//! shown.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};
use trunkgate_call::tls;
use trunkgate_call::tls::{AND_OF_ANOTHER_NAME, UNTRUSTED};

pub use trunkgate_call::tls::{NOT_TLS, UNKNOWN_ISSUER};

/// Message about a client that connects to a TLS listener without TLS.
pub const CLIENT_NOT_TLS: &str = "the client does not use TLS: it uses the TLS port without `transport=tls` or `sips:`";

/// Maximum number of a certificate's names in a message.
const NAMES_SHOWN: usize = 3;
/// Maximum length of a name in a message, in characters.
const NAME_CHARS: usize = 64;

/// Message for a certificate that cannot be parsed.
const UNREADABLE: &str = "cannot be read as an X.509 certificate: have its CA issue it again";
/// Message for an invalid signature on a certificate.
const FORGED: &str = "is not signed by the key of its issuer: `ca` or the chain contains another certificate of the same name, \
                      or an RSA key of less than 2048 bits";
/// Message for an unsupported signature algorithm.
const ALGORITHM: &str =
    "is signed with an algorithm that is not supported: have it issued with RSA or ECDSA and SHA-256 or better";
/// Message for a certificate chain beyond the verifier's limits.
const TOO_LONG: &str = "has a chain that is too long or too complex: send only the intermediates that lead to the root";
/// Message for a certificate with names that cannot be parsed.
const BAD_NAMES: &str = "contains names that cannot be read: correct its subjectAltName";
/// Message for a certificate with another extended key usage.
const PURPOSE: &str =
    "is not issued for this use: its extendedKeyUsage must contain serverAuth (clientAuth for a client)";
/// Message for an unsupported critical extension.
const CRITICAL: &str = "contains a critical extension that is not supported: have it issued without that extension";
/// Message for an expired certificate.
const EXPIRED: &str = "has expired";
/// Message for an expired certificate, to be followed by the date.
const EXPIRED_ON: &str = "expired";
const EARLY: &str = "is not valid yet: compare the clocks of both machines";
/// Message for an unknown revocation status; the edge never requests that status.
const REVOCATION: &str = "has a revocation status that cannot be verified: ask its CA for a new certificate";
/// Message for any other fault of a certificate.
const OTHER: &str = "cannot be verified: look at it with `openssl x509 -noout -text -in FILE`";

/// Returns the message for an error of the TLS library.
pub(crate) fn of(error: &Error) -> String {
    if let Error::InvalidCertificate(fault) = error {
        return of_certificate("its certificate", fault);
    }
    if let Error::AlertReceived(alert) = error {
        return of_alert(*alert);
    }
    if let Error::PeerIncompatible(why) = error {
        return format!("no agreement on TLS: {}", disagreement(why));
    }
    if let Error::General(text) = error {
        return format!("TLS failed: {text}");
    }
    let known = [
        (matches!(error, Error::InvalidMessage(_)), NOT_TLS),
        (
            matches!(error, Error::NoCertificatesPresented),
            "it presented no client certificate, required by `client_ca`",
        ),
        (
            matches!(error, Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. }),
            "the remote party sent a TLS message out of order: check which program listens there",
        ),
        (matches!(error, Error::PeerSentOversizedRecord), "the remote party sent a TLS record that is too long"),
        (
            matches!(error, Error::PeerMisbehaved(_)),
            "the remote party violates the TLS protocol: update its TLS library, or look for a device that changes the packets",
        ),
        (
            matches!(error, Error::DecryptError),
            "a TLS record cannot be decrypted: look for a device that changes the packets",
        ),
        (
            matches!(error, Error::NoApplicationProtocol),
            "no application protocol in common (ALPN): check which service listens there",
        ),
        (matches!(error, Error::InconsistentKeys(_)), "the private key does not belong to the certificate"),
        (
            matches!(error, Error::FailedToGetCurrentTime | Error::FailedToGetRandomBytes),
            "the system has no clock or no random numbers for TLS",
        ),
        (matches!(error, Error::HandshakeNotComplete), "the TLS handshake is not complete"),
    ];
    let words = known.into_iter().find(|(is_it, _)| *is_it).map(|(_, words)| words);
    words.unwrap_or("TLS failed: compare with `openssl s_client -connect HOST:PORT`").to_owned()
}

/// Error of a certificate with an untrusted issuer and for another name: that of another server, or of an impostor.
#[derive(Debug)]
struct ForeignCertificate {
    expected: String,
    presented: Vec<String>,
    is_self_signed: bool,
}

impl std::fmt::Display for ForeignCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ForeignCertificate { expected, presented, is_self_signed } = self;
        let issuer = if *is_self_signed { "it is self-signed: " } else { "" };
        write!(f, "is not valid for name {}, it names {}, and {issuer}{UNTRUSTED}", shown(expected), names(presented))
    }
}

impl std::error::Error for ForeignCertificate {}

/// Error of an expired certificate for another name.
#[derive(Debug)]
struct ExpiredForeign {
    not_after: Option<UnixTime>,
    expected: String,
    presented: Vec<String>,
}

impl std::fmt::Display for ExpiredForeign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let expired = self.not_after.map_or(EXPIRED.to_owned(), |at| format!("{EXPIRED_ON}{}", on(at)));
        let (expected, names) = (shown(&self.expected), names(&self.presented));
        write!(f, "{expired}, {AND_OF_ANOTHER_NAME} {expected}, it names {names}")
    }
}

impl std::error::Error for ExpiredForeign {}

/// Lists the names of a certificate, at most [`NAMES_SHOWN`].
fn names(presented: &[String]) -> String {
    let names: Vec<String> = presented.iter().map(|one| shown(bare(one))).take(NAMES_SHOWN).collect();
    match (names.is_empty(), presented.len() - names.len()) {
        (true, _) => "no name".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

/// Returns the end of a name that is too long, because the beginning of a host name is less significant.
fn shown(name: &str) -> String {
    match name.char_indices().rev().nth(NAME_CHARS) {
        Some((at, _)) => format!("…{}", name.get(at..).unwrap_or_default()),
        None => name.to_owned(),
    }
}

/// Combines a fault of the chain with a name mismatch into one error. For an expired certificate the message names
/// both. For an untrusted one the mismatch comes first, because the advice would otherwise be to trust the wrong
/// server.
pub(crate) fn of_foreign(fault: Error, of_name: Error, is_self_signed: bool) -> Error {
    let Error::InvalidCertificate(CertificateError::NotValidForNameContext { expected, presented }) = of_name else {
        return fault;
    };
    let expected = expected.to_str().into_owned();
    let not_after = if let Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) = &fault {
        Some(Some(*not_after))
    } else {
        matches!(&fault, Error::InvalidCertificate(CertificateError::Expired)).then_some(None)
    };
    let is_of_chain = |other: &OtherError| {
        matches!(other.0.downcast_ref(), Some(webpki::Error::UnknownIssuer | webpki::Error::CaUsedAsEndEntity))
    };
    let is_untrusted = matches!(&fault, Error::InvalidCertificate(CertificateError::UnknownIssuer))
        || matches!(&fault, Error::InvalidCertificate(CertificateError::Other(other)) if is_of_chain(other));
    let both: Arc<dyn std::error::Error + Send + Sync> = match not_after {
        Some(not_after) => Arc::new(ExpiredForeign { not_after, expected, presented }),
        None if is_untrusted => Arc::new(ForeignCertificate { expected, presented, is_self_signed }),
        None => return fault,
    };
    CertificateError::Other(OtherError(both)).into()
}

/// Returns the message for a fault of a certificate; `subject` names the certificate in the sentence.
pub(crate) fn of_certificate(subject: &str, fault: &CertificateError) -> String {
    use CertificateError as C;
    if let C::NotValidForNameContext { expected, presented } = fault {
        let expected = expected.to_str();
        return format!("{subject} is not valid for name {}, it names {}", shown(&expected), names(presented));
    }
    if matches!(fault, C::UnknownIssuer) {
        return UNKNOWN_ISSUER.to_owned();
    }
    if let C::ExpiredContext { not_after, .. } = fault {
        return format!("{subject} {EXPIRED_ON}{}", on(*not_after));
    }
    if let C::Other(other) = fault
        && let Some(foreign) = other.0.downcast_ref::<ForeignCertificate>()
    {
        return format!("{subject} {foreign}");
    }
    if let C::Other(other) = fault
        && let Some(both) = other.0.downcast_ref::<ExpiredForeign>()
    {
        return format!("{subject} {both}");
    }
    if let C::Other(other) = fault {
        let words = other.0.downcast_ref().map_or(OTHER, of_chain);
        return if words == UNKNOWN_ISSUER { words.to_owned() } else { format!("{subject} {words}") };
    }
    let known = [
        (matches!(fault, C::Expired | C::ExpiredContext { .. }), EXPIRED),
        (matches!(fault, C::NotValidYet | C::NotValidYetContext { .. }), EARLY),
        (matches!(fault, C::BadEncoding), UNREADABLE),
        (matches!(fault, C::Revoked), "was revoked by its CA: ask for a new certificate"),
        (matches!(fault, C::UnhandledCriticalExtension), CRITICAL),
        (
            matches!(
                fault,
                C::UnknownRevocationStatus
                    | C::ExpiredRevocationList
                    | C::ExpiredRevocationListContext { .. }
                    | C::InvalidOcspResponse
            ),
            REVOCATION,
        ),
        (matches!(fault, C::BadSignature), FORGED),
        (
            matches!(
                fault,
                C::UnsupportedSignatureAlgorithmContext { .. }
                    | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
            ),
            ALGORITHM,
        ),
        (
            matches!(fault, C::NotValidForName),
            "is not valid for the name of the remote party: correct its subjectAltName",
        ),
        (matches!(fault, C::InvalidPurpose | C::InvalidPurposeContext { .. }), PURPOSE),
        (matches!(fault, C::ApplicationVerificationFailure), "is too large"),
    ];
    let words = known.into_iter().find(|(is_it, _)| *is_it).map_or(OTHER, |(_, words)| words);
    format!("{subject} {words}")
}

/// Formats an expiry date, such as ` on 2026-11-23 00:00 UTC`.
fn on(time: UnixTime) -> String {
    let at = i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map(|at| format!(" on {}", at.strftime("%Y-%m-%d %H:%M UTC"))).unwrap_or_default()
}

/// Returns advice for a trunk about a connection that failed with this message; `None` if the message is not about TLS.
pub fn fix_of_trunk(what: &str, trunk: &str) -> Option<String> {
    Some(tls::fix(what)?.replace(tls::ITS_TRUNK, &format!("[trunk.{trunk}]")))
}

/// Returns the message for a fault of a certificate chain.
fn of_chain(fault: &webpki::Error) -> &'static str {
    use webpki::Error as W;
    let known = [
        (
            matches!(
                fault,
                W::BadDer
                    | W::BadDerTime
                    | W::ExtensionValueInvalid
                    | W::InvalidSerialNumber
                    | W::MalformedExtensions
                    | W::TrailingData(_)
            ),
            UNREADABLE,
        ),
        (matches!(fault, W::CaUsedAsEndEntity), "is a CA certificate (CA:TRUE), which no server may use"),
        (
            matches!(fault, W::EndEntityUsedAsCa),
            "is issued by a certificate that is not a CA (CA:FALSE): complete the chain with the issuer's intermediates",
        ),
        (matches!(fault, W::CertDistrusted | W::CertRevoked), "was revoked by its CA: ask for a new certificate"),
        (matches!(fault, W::CertExpired { .. }), EXPIRED),
        (matches!(fault, W::CertNotValidYet { .. }), EARLY),
        (matches!(fault, W::InvalidCertValidity), "ends before it begins: have it issued with correct dates"),
        (
            matches!(fault, W::CertNotValidForName(_)),
            "is not valid for the name of the remote party: correct its subjectAltName",
        ),
        (matches!(fault, W::MalformedDnsIdentifier | W::UnsupportedNameType), BAD_NAMES),
        (matches!(fault, W::InvalidSignatureForPublicKey), FORGED),
        (
            matches!(
                fault,
                W::SignatureAlgorithmMismatch
                    | W::UnsupportedSignatureAlgorithmContext(_)
                    | W::UnsupportedSignatureAlgorithmForPublicKeyContext(_)
            ),
            ALGORITHM,
        ),
        (
            matches!(fault, W::NameConstraintViolation | W::MalformedNameConstraint | W::InvalidNetworkMaskConstraint),
            "carries a name that its CA may not issue (name constraints): have it issued by another CA",
        ),
        (
            matches!(fault, W::PathLenConstraintViolated),
            "has more intermediates than its CA permits (pathlen): have it issued by a CA nearer to the root",
        ),
        (
            matches!(
                fault,
                W::MaximumNameConstraintComparisonsExceeded
                    | W::MaximumPathBuildCallsExceeded
                    | W::MaximumPathDepthExceeded
                    | W::MaximumSignatureChecksExceeded
            ),
            TOO_LONG,
        ),
        (matches!(fault, W::RequiredEkuNotFoundContext(_) | W::EmptyEkuExtension), PURPOSE),
        (matches!(fault, W::UnknownIssuer), UNKNOWN_ISSUER),
        (
            matches!(fault, W::UnsupportedCertVersion),
            "is of X.509 version 1 or 2: have it issued as version 3, with a subjectAltName",
        ),
        (matches!(fault, W::UnsupportedCriticalExtension), CRITICAL),
        (matches!(fault, W::UnknownRevocationStatus | W::CrlExpired { .. } | W::IssuerNotCrlSigner), REVOCATION),
    ];
    known.into_iter().find(|(is_it, _)| *is_it).map_or(OTHER, |(_, words)| words)
}

/// Returns the message for a TLS feature that the remote party does not share.
fn disagreement(why: &PeerIncompatible) -> &'static str {
    use PeerIncompatible as P;
    let known = [
        (
            matches!(why, P::NoCipherSuitesInCommon),
            "no cipher suite in common; use TLS 1.3, or TLS 1.2 with ECDHE and AES-GCM or ChaCha20",
        ),
        (
            matches!(
                why,
                P::NoKxGroupsInCommon
                    | P::NamedGroupsExtensionRequired
                    | P::KeyShareExtensionRequired
                    | P::NoEcPointFormatsInCommon
                    | P::UncompressedEcPointsRequired
                    | P::EcPointsExtensionRequired
            ),
            "no key exchange in common; use X25519, P-256 or P-384",
        ),
        (
            matches!(
                why,
                P::NoSignatureSchemesInCommon
                    | P::NoCertificateRequestSignatureSchemesInCommon
                    | P::SignatureAlgorithmsExtensionRequired
            ),
            "no signature scheme in common; use a certificate with RSA of 2048 bits or ECDSA P-256",
        ),
        (
            matches!(
                why,
                P::ServerDoesNotSupportTls12Or13
                    | P::ServerTlsVersionIsDisabledByOurConfig
                    | P::SupportedVersionsExtensionRequired
                    | P::Tls12NotOffered
                    | P::Tls12NotOfferedOrEnabled
            ),
            "the remote party supports neither TLS 1.2 nor TLS 1.3; update it",
        ),
        (
            matches!(why, P::ExtendedMasterSecretExtensionRequired),
            "the remote party lacks extended_master_secret (RFC 7627); update it, or enable TLS 1.3 there",
        ),
    ];
    let words = known.into_iter().find(|(is_it, _)| *is_it).map(|(_, words)| words);
    words.unwrap_or("the remote party uses an extension that is not supported; compare with `openssl s_client`")
}

/// Returns the message for an alert of the remote party.
fn of_alert(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let known = [
        (
            matches!(alert, A::HandshakeFailure | A::InsufficientSecurity),
            "no TLS version, cipher suite or key type in common; it must support TLS 1.2 or 1.3",
        ),
        (matches!(alert, A::ProtocolVersion), "it supports neither TLS 1.2 nor TLS 1.3; update it"),
        (matches!(alert, A::UnrecognisedName), "it does not serve this host name; use the name in its certificate"),
        (
            matches!(alert, A::CertificateRequired | A::NoCertificate),
            "it requires a client certificate (`certificate`, `private_key`)",
        ),
        (
            matches!(alert, A::AccessDenied),
            "it requires another client certificate, or one at all (`certificate`, `private_key`)",
        ),
        (matches!(alert, A::NoApplicationProtocol), "it does not serve this protocol on that port (ALPN)"),
    ];
    let words = known.into_iter().find(|(is_it, _)| *is_it).map_or("see its log", |(_, words)| words);
    format!("the remote party ended TLS: {words} (alert {})", alert_name(alert))
}

/// Returns the name of a TLS alert (RFC 8446 §6), or its number.
pub(crate) fn alert_name(alert: AlertDescription) -> String {
    const NAMES: [(u8, &str); 27] = [
        (0, "close_notify"),
        (10, "unexpected_message"),
        (20, "bad_record_mac"),
        (22, "record_overflow"),
        (40, "handshake_failure"),
        (42, "bad_certificate"),
        (43, "unsupported_certificate"),
        (44, "certificate_revoked"),
        (45, "certificate_expired"),
        (46, "certificate_unknown"),
        (47, "illegal_parameter"),
        (48, "unknown_ca"),
        (49, "access_denied"),
        (50, "decode_error"),
        (51, "decrypt_error"),
        (70, "protocol_version"),
        (71, "insufficient_security"),
        (80, "internal_error"),
        (86, "inappropriate_fallback"),
        (90, "user_canceled"),
        (109, "missing_extension"),
        (110, "unsupported_extension"),
        (112, "unrecognized_name"),
        (113, "bad_certificate_status_response"),
        (115, "unknown_psk_identity"),
        (116, "certificate_required"),
        (120, "no_application_protocol"),
    ];
    let number = u8::from(alert);
    NAMES.iter().find(|(known, _)| *known == number).map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

/// Returns a name without the type that the library writes around it, as in `DnsName("a.example")`.
fn bare(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(presented);
    inner.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{InconsistentKeys, InvalidMessage, PeerMisbehaved};

    use super::*;

    fn of_webpki(fault: webpki::Error) -> Error {
        CertificateError::Other(OtherError(Arc::new(fault))).into()
    }

    #[test]
    fn a_fault_of_a_trunk_has_its_own_advice() {
        let (time, not_after) = (UnixTime::now(), UnixTime::since_unix_epoch(std::time::Duration::from_secs(86_400)));
        let expired = of(&CertificateError::ExpiredContext { time, not_after }.into());
        assert_eq!(expired, "its certificate expired on 1970-01-02 00:00 UTC");
        let fix = |error: &Error| fix_of_trunk(&format!("192.0.2.1:5061: TLS failed: {}", of(error)), "alpha").unwrap();
        for of_expired in [CertificateError::ExpiredContext { time, not_after }, CertificateError::Expired] {
            let fix = fix(&of_expired.into());
            let meanwhile = "`tls = { verify = false }` in [trunk.alpha] and `trunkgate reload` accept it, at the risk";
            assert!(fix.starts_with("ask the peer's operator to renew it") && fix.contains(meanwhile), "{fix}");
        }
        assert!(fix(&CertificateError::UnknownIssuer.into()).contains("`tls = { ca = \"FILE\" }` in [trunk.alpha]"));
        let name = ServerName::try_from("pbx.example").unwrap();
        let wrong = CertificateError::NotValidForNameContext { expected: name, presented: vec![] };
        assert!(fix(&wrong.into()).contains("`peers` of [trunk.alpha]"));
        assert!(fix(&CertificateError::NotValidYet.into()).contains("clocks"));
        assert!(
            fix(&Error::AlertReceived(AlertDescription::CertificateRequired))
                .contains("private_key = \"FILE\" }` in [trunk.alpha]")
        );
        let required = of(&Error::AlertReceived(AlertDescription::CertificateRequired));
        assert!(required.contains("it requires a client certificate (`certificate`, `private_key`)"), "{required}");
        assert!(fix(&Error::AlertReceived(AlertDescription::HandshakeFailure)).contains("openssl s_client"));
        assert_eq!(fix_of_trunk("192.0.2.1:5060: no answer to OPTIONS", "alpha"), None);
    }

    #[test]
    fn a_strangers_certificate_of_another_name_is_said_to_be_that_and_never_to_be_trusted() {
        let of_name = || {
            let expected = ServerName::try_from("mail.example").unwrap();
            let presented = vec!["DnsName(\"wrong.example\")".to_owned()];
            Error::from(CertificateError::NotValidForNameContext { expected, presented })
        };
        for fault in [of_webpki(webpki::Error::CaUsedAsEndEntity), CertificateError::UnknownIssuer.into()] {
            let words = of(&of_foreign(fault, of_name(), true));
            let begins = "its certificate is not valid for name mail.example, it names wrong.example, and it is self-signed: no trusted CA";
            assert!(words.starts_with(begins) && !words.contains("`ca`"), "{words}");
            let fix = fix_of_trunk(&format!("192.0.2.1:5061: TLS failed: {words}"), "alpha").unwrap();
            assert!(fix.starts_with("check the address in `peers` of [trunk.alpha]"), "{fix}");
        }
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(3 * 86_400));
        let not_after = UnixTime::since_unix_epoch(std::time::Duration::from_secs(86_400));
        for fault in [CertificateError::ExpiredContext { time, not_after }, CertificateError::Expired] {
            let words = of(&of_foreign(fault.into(), of_name(), false));
            let name = ", and it is not valid for name mail.example, it names wrong.example";
            assert!(words.contains("expired") && words.ends_with(name), "{words}");
            let fix = fix_of_trunk(&format!("192.0.2.1:5061: TLS failed: {words}"), "alpha").unwrap();
            assert!(fix.contains("renew") && fix.contains("for the name in `peers` of [trunk.alpha]"), "{fix}");
        }
    }

    #[test]
    fn no_name_of_the_librarys_types_is_printed() {
        use CertificateError as C;
        use webpki::Error as W;
        let all = [
            of_webpki(W::UnsupportedCertVersion),
            of_webpki(W::BadDer),
            of_webpki(W::EndEntityUsedAsCa),
            of_webpki(W::PathLenConstraintViolated),
            of_webpki(W::NameConstraintViolation),
            of_webpki(W::InvalidCertValidity),
            of_webpki(W::MaximumPathDepthExceeded),
            of_webpki(W::UnsupportedDeltaCrl),
            C::BadEncoding.into(),
            C::BadSignature.into(),
            C::NotValidYet.into(),
            C::Revoked.into(),
            C::InvalidPurpose.into(),
            C::ApplicationVerificationFailure.into(),
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::PeerMisbehaved(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec),
            Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon),
            Error::PeerIncompatible(PeerIncompatible::NullCompressionRequired),
            Error::InconsistentKeys(InconsistentKeys::Unknown),
            Error::AlertReceived(AlertDescription::HandshakeFailure),
            Error::AlertReceived(AlertDescription::Unknown(200)),
            Error::Other(OtherError(Arc::new(W::BadDer))),
        ];
        for error in all {
            let words = of(&error);
            let in_camel_case = words.split(|c: char| !c.is_alphanumeric()).find(|word| {
                let letters: Vec<char> = word.chars().collect();
                letters.windows(2).any(|two| matches!(two, [low, high] if low.is_lowercase() && high.is_uppercase()))
                    && !["subjectAltName", "extendedKeyUsage", "serverAuth", "clientAuth"].contains(word)
            });
            assert_eq!(in_camel_case, None, "{words}");
        }
    }

    #[test]
    fn words_say_what_is_wrong_and_what_to_do() {
        let version = of(&of_webpki(webpki::Error::UnsupportedCertVersion));
        assert!(
            version.contains("its certificate is of X.509 version 1 or 2: have it issued as version 3"),
            "{version}"
        );
        let name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("b.example").unwrap(),
            presented: vec!["DnsName(\"a.example\")".to_owned(), "IpAddress(192.0.2.1)".to_owned()],
        };
        let name = of(&name.into());
        assert!(name.contains("not valid for name b.example, it names a.example, 192.0.2.1"), "{name}");
        let alert = of(&Error::AlertReceived(AlertDescription::ProtocolVersion));
        assert!(alert.contains("TLS 1.2") && alert.ends_with("(alert protocol_version)"), "{alert}");
        assert_eq!(alert_name(AlertDescription::Unknown(200)), "200");
    }
}
