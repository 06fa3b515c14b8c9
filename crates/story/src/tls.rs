//! Fixes for TLS failures of a trunk, selected by the error text.

/// Placeholder for the trunk's section in the result of [`fix`].
pub const ITS_TRUNK: &str = "[trunk.NAME]";

/// Error text for a remote party that does not use TLS.
pub const NOT_TLS: &str = "the server does not use TLS";
/// Error text for a certificate from an unknown issuer.
pub const UNKNOWN_ISSUER: &str =
    "the certificate chain does not end in a trusted root: add its issuer, or itself, to `ca`";
/// End of the error text for a certificate that no trusted CA issued and that has another name.
pub const UNTRUSTED: &str = "no trusted CA issued it";

/// Start of the error text for an expired certificate that also has another name; the name follows.
pub const AND_OF_ANOTHER_NAME: &str = "and it is not valid for name";

/// Error text for a certificate of the edge that the remote party rejects because of its extended key usage.
pub const UNSUITED_USE: &str = "it does not accept this certificate's use";

/// Words of error texts with the fix for each; the first match counts.
const FIXES: [(&[&str], &str); 12] = [
    (
        &["handshake not finished"],
        "restart the SIP server or the TLS proxy of this peer: it accepts the connection and does not answer the TLS handshake; check that the port in `peers` of \
         [trunk.NAME] is its TLS port, and that no firewall on the path holds back large packets (MTU)",
    ),
    (
        &["connection not up"],
        "`trunkgate doctor --only peers` shows whether it accepts connections: if it does, restart the SIP server or the TLS proxy of this peer, which does \
         not answer the TLS handshake; if not, check that the port in `peers` of [trunk.NAME] is its TLS port, and the firewall",
    ),
    (
        &[AND_OF_ANOTHER_NAME],
        "check the address in `peers` of [trunk.NAME] and its DNS: another server may answer there. If it is the right one, two things are wrong: its operator \
         has to renew the certificate, and to have it issued for the name in `peers` of [trunk.NAME] (or write `tls = { names = [\"…\"] }` there with a name \
         of it). Until then `tls = { verify = false }` in [trunk.NAME] and `trunkgate reload` accept it, at the risk that any server may pose as this peer",
    ),
    (
        &["has expired", "expired on "],
        "ask the peer's operator to renew it. Until then `tls = { verify = false }` in [trunk.NAME] and `trunkgate reload` accept it, at the risk that \
         any server may pose as this peer: remove the setting once the certificate is renewed",
    ),
    (
        &["is not valid yet"],
        "compare the clocks of both machines (`trunkgate doctor`, line clock); if they agree, the peer's operator has to replace the certificate",
    ),
    (
        &["does not end in a trusted root"],
        "write `tls = { ca = \"FILE\" }` in [trunk.NAME], with its issuer's certificate or its own in FILE (PEM), or ask its operator for the whole chain",
    ),
    (
        &["(CA:TRUE)"],
        "compare its fingerprint with its operator, then write `tls = { ca = \"FILE\" }` in [trunk.NAME], with exactly this certificate in FILE (PEM); better, have \
         the server use a certificate that is not a CA",
    ),
    (
        &[UNTRUSTED],
        "check the address in `peers` of [trunk.NAME] and its DNS: another server may answer there, or one that poses as it. If it is the right one, two \
         things are wrong: write `tls = { ca = \"FILE\", names = [\"…\"] }` in [trunk.NAME], with a name of its certificate, and in FILE (PEM) its issuer's \
         certificate, or its own once its operator confirms the fingerprint; or have it issued for the name in `peers`",
    ),
    (
        &["is not valid for"],
        "use a name of its certificate in `peers` of [trunk.NAME], or write `tls = { names = [\"…\"] }` there with such a name, or ask its operator for a \
         certificate of that name",
    ),
    (
        &[UNSUITED_USE],
        "ask its operator whether it needs extendedKeyUsage clientAuth, which public CAs no longer issue, and set `certificate` and `private_key` in `tls` of \
         [trunk.NAME] to a certificate that it accepts",
    ),
    (
        &["client certificate"],
        "write `tls = { certificate = \"FILE\", private_key = \"FILE\" }` in [trunk.NAME], with a certificate that it accepts",
    ),
    (
        &["does not use TLS"],
        "set in `peers` of [trunk.NAME] the port at which it accepts TLS (usually 5061), or `sip:…;transport=tcp` if it has none: then audio keys are readable \
         in transit",
    ),
];

/// Returns the fix for a TLS failure of a trunk by the error text (`… TLS failed: its certificate has expired`), with
/// [`ITS_TRUNK`] in place of the trunk's section. Returns `None` if the error is not one of TLS.
pub fn fix(text: &str) -> Option<&'static str> {
    let (_, why) = text.split_once("TLS failed: ")?;
    let known = FIXES.iter().find(|(words, _)| words.iter().any(|words| why.contains(words)));
    Some(known.map_or(
        "compare with `openssl s_client -connect` to that address; ask the peer's operator for the TLS requirements",
        |(_, fix)| fix,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_own_fix() {
        let of = |why: &str| fix(&format!("sips:a.example: TLS failed: {why}")).unwrap();
        assert!(
            of("its certificate expired on 2026-11-23 12:41 UTC").starts_with("ask the peer's operator to renew it")
        );
        assert!(of("its certificate is not valid for name a, it names b").contains("in `peers` of [trunk.NAME]"));
        assert!(of("its certificate is a CA certificate (CA:TRUE)").starts_with("compare its fingerprint"));
        assert!(of("connection not up within 2 s").contains("does not answer the TLS handshake"));
        assert!(of("the server does not use TLS").contains("transport=tcp"));
        let of_use = of(&format!("the remote party rejected our certificate: {UNSUITED_USE} (alert 43)"));
        assert!(of_use.starts_with("ask its operator whether it needs extendedKeyUsage clientAuth"), "{of_use}");
        assert!(of("the remote party ended TLS: see its log (alert internal_error)").contains("openssl s_client"));
        let both =
            of("its certificate is not valid for name a, it names b, and it is self-signed: no trusted CA issued it");
        assert!(
            both.contains("have it issued for")
                && both.contains("`tls = { ca = \"FILE\", names = [\"…\"] }` in [trunk.NAME]"),
            "{both}"
        );
        assert_eq!(fix("the connection was refused"), None);
    }
}
