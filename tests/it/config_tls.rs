//! Findings of `check` about TLS: files that are missing, wrong, mismatched or about to expire; keys without effect.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::path::Path;

use crate::support::depends_on_machine;
use crate::support::tls::{Authority, Pair};
use trunkgate_config as config;

/// Returns the code, line, column and message of each finding; codes of warnings have a `w` prefix.
fn found(folder: &Path, text: &str) -> Vec<(String, u64, u64, String)> {
    let path = folder.join("trunkgate.toml");
    let (Ok((_, mut found)) | Err(mut found)) = config::parse(&path, text);
    found.retain(|diagnostic| diagnostic.code != "TG0130" && !depends_on_machine(diagnostic.code));
    let json = config::to_json(&path, text, &found);
    let number = |json: &serde_json::Value, key: &str| json[key].as_u64().unwrap_or(0);
    let one = |(diagnostic, json): (&config::Diagnostic, &serde_json::Value)| {
        let mark = if diagnostic.is_error { "" } else { "w" };
        let code = format!("{mark}{}", diagnostic.code);
        (code, number(json, "line"), number(json, "column"), diagnostic.message.clone())
    };
    found.iter().zip(json.as_array().unwrap()).map(one).collect()
}

/// Returns the only finding for a text, if there is one.
fn only(folder: &Path, text: &str) -> Option<(String, u64, u64, String)> {
    let mut all = found(folder, text);
    assert!(all.len() <= 1, "{text}\n{all:#?}");
    all.pop()
}

fn listener(certificate: &str, private_key: &str, more: &str) -> String {
    format!(
        "[[listen]]\ntransport = 'tls'\naddress = '127.0.0.1:0'\ncertificate = '{certificate}'\nprivate_key = '{private_key}'\n{more}"
    )
}

fn days_from_now(days: i64) -> (i32, u8, u8) {
    let date = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days)).strftime("%Y-%m-%d").to_string();
    let mut parts = date.split('-');
    let mut next = || parts.next().unwrap();
    (next().parse().unwrap(), next().parse().unwrap(), next().parse().unwrap())
}

#[test]
fn files_are_judged_where_they_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new(folder, "authority");
    authority.issue("good", &["localhost"]);
    authority.issue("other", &["localhost"]);
    authority.issue_until("old", &["localhost"], (2020, 1, 1));
    authority.issue_until("soon", &["localhost"], days_from_now(10));
    authority.issue_until("later", &["localhost"], days_from_now(20));
    std::fs::write(folder.join("text"), "text").unwrap();
    std::fs::write(folder.join("binary"), [0x30, 0x82, 1, 2]).unwrap();
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(folder.join("locked"), locked).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    std::fs::write(folder.join("turned"), read("authority.pem") + &read("good.pem")).unwrap();
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(folder.join("cut"), cut).unwrap();
    for (certificate, private_key, more, expected) in [
        ("good.pem", "good.key", "", None),
        ("later.pem", "later.key", "", None),
        ("good.pem", "good.key", "client_ca = 'authority.pem'\n", None),
        ("missing", "good.key", "", Some(("TG0114", 4, 15, "No such file"))),
        ("good.pem", "missing", "", Some(("TG0114", 5, 15, "No such file"))),
        ("text", "good.key", "", Some(("TG0114", 4, 15, "no certificate in it"))),
        ("cut", "good.key", "", Some(("TG0114", 4, 15, "certificate"))),
        ("good.key", "good.key", "", Some(("TG0114", 4, 15, "no certificate in it, but a private key"))),
        ("good.pem", "good.pem", "", Some(("TG0114", 5, 15, "no private key in it, but a certificate"))),
        ("binary", "good.key", "", Some(("TG0114", 4, 15, "it is DER or PKCS#12"))),
        ("good.pem", "binary", "", Some(("TG0114", 5, 15, "it is DER or PKCS#12"))),
        ("good.pem", "locked", "", Some(("TG0114", 5, 15, "the key is encrypted: decrypt it with `openssl pkey"))),
        ("turned", "good.key", "", Some(("TG0114", 4, 15, "is not the first in the file"))),
        ("good.pem", "other.key", "", Some(("TG0114", 5, 15, "not the private key of the certificate"))),
        ("good.pem", "good.key", "client_ca = 'missing'\n", Some(("TG0114", 6, 13, "No such file"))),
        ("good.pem", "good.key", "client_ca = 'text'\n", Some(("TG0114", 6, 13, "no certificate in it"))),
        ("old.pem", "old.key", "", Some(("wTG0115", 4, 15, "it expired on 2020-01-01"))),
        ("soon.pem", "soon.key", "", Some(("wTG0115", 4, 15, "expires on"))),
    ] {
        let text = listener(certificate, private_key, more);
        let found = only(folder, &text);
        let Some((code, line, column, part)) = expected else {
            assert_eq!(found, None, "{text}");
            continue;
        };
        let Some(found) = found else { panic!("nothing in {text}") };
        assert_eq!((found.0.as_str(), found.1, found.2), (code, line, column), "{text}");
        assert!(found.3.contains(part), "{}", found.3);
    }
}

#[test]
fn keys_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let Pair { .. } = Authority::new(folder.path(), "authority").issue("good", &["localhost"]);
    let tls = "[[listen]]\ntransport = 'tls'\naddress = '127.0.0.1:0'\n";
    let tcp = "[[listen]]\ntransport = 'tcp'\naddress = '127.0.0.1:0'\n";
    let good = listener("good.pem", "good.key", "");
    let peer = "[trunk.x]\npeers = 'sip:127.0.0.1;transport=tls'\n";
    type Case = (String, &'static [(&'static str, u64, u64)]);
    let cases: [Case; 20] = [
        (tls.to_owned(), &[("TG0106", 1, 1)]),
        (format!("{tls}certificate = 'good.pem'\n"), &[("TG0106", 4, 15)]),
        (format!("{tls}private_key = 'good.key'\n"), &[("TG0106", 4, 15)]),
        (format!("{tcp}client_ca = 'authority.pem'\n"), &[("TG0105", 4, 13)]),
        (format!("{tcp}certificates = []\n"), &[("TG0105", 4, 16)]),
        (
            format!("{tls}certificates = [{{ certificate = 'good.pem', private_key = 'good.key' }}]\n"),
            &[("TG0106", 1, 1)],
        ),
        (format!("{good}certificates = [{{ certificate = 'good.pem' }}]\n"), &[("TG0106", 6, 33)]),
        (format!("{good}certificates = [{{ }}]\n"), &[("TG0106", 6, 17)]),
        (
            format!("{good}certificates = {{ certificate = 'missing', private_key = 'good.key' }}\n"),
            &[("TG0114", 6, 32)],
        ),
        (format!("{good}{peer}tls = {{ names = ['*.x.example'] }}\n"), &[("TG0105", 8, 18)]),
        (format!("{good}{peer}tls = {{ verify = false }}\n"), &[("wTG0116", 8, 18)]),
        (format!("{good}{peer}tls = {{ client_certificate_usage = 'any' }}\n"), &[("TG0105", 8, 36)]),
        (
            format!("{good}{peer}tls = {{ names = ['x.example'], client_certificate_usage = 'any' }}\n"),
            &[("TG0105", 8, 7)],
        ),
        (
            format!("{good}{peer}tls = {{ names = ['x.example'], client_certificate_usage = 'server' }}\n"),
            &[("TG0105", 8, 59)],
        ),
        (format!("{good}{peer}tls = {{ nmaes = ['x.example'] }}\n"), &[("TG0104", 8, 9)]),
        // Without a TLS peer and without names, the keys have no effect; a UDP listener is missing, since only TLS is
        // configured.
        (
            format!("{good}[trunk.x]\npeers = 'sip:127.0.0.1'\ntls = {{ ca = 'authority.pem' }}\n"),
            &[("TG0121", 7, 9), ("wTG0105", 8, 7)],
        ),
        (format!("{good}[trunk.x]\ntls = {{ names = ['x.example'] }}\n"), &[("TG0127", 7, 7)]),
        ("[trunk.x]\ntls = { names = ['x.example'], ca = 'authority.pem' }\n".into(), &[("TG0121", 2, 7)]),
        ("[trunk.x]\npeers = 'sips:127.0.0.1'\n".into(), &[("wTG0135", 2, 9)]),
        (format!("{good}[trunk.x]\npeers = 'sips:127.0.0.1;transport=udp'\n"), &[("TG0108", 7, 9)]),
    ];
    for (text, expected) in cases {
        let found = found(folder.path(), &text);
        let places: Vec<_> = found.iter().map(|one| (one.0.as_str(), one.1, one.2)).collect();
        assert_eq!(places, expected, "{text}");
    }
    let trunk = "[trunk.x]\npeers = ['sip:x.example;transport=tls', 'sips:y.example:5071']\ntls = { ca = 'authority.pem', names = ['z.example', '192.0.2.7'] }\n";
    let path = folder.path().join("trunkgate.toml");
    let (config, _) = config::parse(&path, &format!("{good}{trunk}")).unwrap();
    let ports: Vec<u16> = config.trunks[0].peers.iter().map(|peer| peer.destination.port_or_default()).collect();
    assert_eq!(ports, [5061, 5071]);
    assert_eq!(config.trunks[0].certificate_names, ["z.example", "192.0.2.7"]);
    let more = "certificates = [{ certificate = 'other.pem', private_key = 'other.key' }]\n";
    Authority::new(folder.path(), "further").issue("other", &["sbc.example.com"]);
    let (further, _) = config::parse(&path, &format!("{good}{more}{peer}")).unwrap();
    let files: Vec<_> = further.tls_files().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(files, ["good.pem", "good.key", "other.pem", "other.key"]);
    let files: Vec<_> = config.tls_files().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(files, ["good.pem", "good.key", "authority.pem"]);
}

#[test]
fn a_ca_that_no_listener_lets_in_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    Authority::new(folder, "authority").issue("good", &["localhost"]);
    Authority::new(folder, "other").issue("else", &["localhost"]);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    std::fs::write(folder.join("both.pem"), read("authority.pem") + &read("other.pem")).unwrap();
    let demanding = |ca: &str| listener("good.pem", "good.key", &format!("client_ca = '{ca}'\n"));
    let trunk = |ca: &str, more: &str| format!("[trunk.x]\ntls = {{ {ca}names = ['x.example']{more} }}\n");
    let any = ", client_certificate_usage = 'any'";
    let peer = "peers = 'sip:x.example;transport=tls'\n";
    let warned = Some("`client_ca` of listener tls:127.0.0.1:0 accepts no certificate that its `ca` verifies");
    let open = listener("good.pem", "good.key", "").replace("127.0.0.1:0", "127.0.0.1:5071");
    for (text, expected) in [
        // The client is verified by the listener's CA, or by the trunk's own if the listener also trusts it.
        (demanding("authority.pem") + &trunk("", any), None),
        (demanding("authority.pem") + &trunk("ca = 'authority.pem', ", any), None),
        (demanding("both.pem") + &trunk("ca = 'other.pem', ", any), None),
        (demanding("authority.pem") + &trunk("ca = 'other.pem', ", any), warned),
        (demanding("authority.pem") + &trunk("ca = 'other.pem', ", ""), warned),
        (demanding("authority.pem") + &trunk("ca = 'other.pem', ", any) + peer, warned),
        // The names apply to outgoing connections only.
        (demanding("authority.pem") + &trunk("ca = 'other.pem', ", "") + peer, None),
        // A certificate other than a root cannot be judged.
        (demanding("authority.pem") + &trunk("ca = 'else.pem', ", any), None),
        (demanding("authority.pem") + &open + &trunk("ca = 'other.pem', ", any), None),
    ] {
        match (only(folder, &text), expected) {
            (Some((code, _, _, message)), Some(part)) => {
                assert!(code == "wTG0105" && message.contains(part), "{text}{code} {message}");
            }
            (found, expected) => assert_eq!((found, expected), (None, None), "{text}"),
        }
    }
}

#[test]
fn tcp_and_tls_share_their_ports() {
    let folder = tempfile::tempdir().unwrap();
    Authority::new(folder.path(), "authority").issue("good", &["localhost"]);
    let text = "[[listen]]\ntransport = 'tcp'\naddress = '127.0.0.1:5061'\n[[listen]]\ntransport = 'tls'\naddress = '127.0.0.1:5061'\n\
                certificate = 'good.pem'\nprivate_key = 'good.key'\n[http]\naddress = '127.0.0.1:5061'\n";
    let found = found(folder.path(), text);
    let places: Vec<_> = found.iter().map(|one| (one.0.as_str(), one.1)).collect();
    assert_eq!(places, [("TG0126", 6), ("TG0126", 10)]);
}

#[test]
fn each_file_of_a_pair_is_judged_where_the_other_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    Authority::new(folder, "authority").issue("good", &["localhost"]);
    let places = |text: &str| found(folder, text).into_iter().map(|(code, line, ..)| (code, line)).collect::<Vec<_>>();
    let of = |code: &str, line| (code.to_owned(), line);
    let both = [of("TG0114", 4), of("TG0114", 5)];
    assert_eq!(places(&listener("missing", "missing", "")), both, "both files are missing");
    assert_eq!(places(&listener("missing", "good.pem", "")), both, "the key is none");
    assert_eq!(places(&listener("missing", "good.key", "")), [of("TG0114", 4)]);
    let alone = |key: &str, file: &str| {
        listener("good.pem", "good.key", "")
            .lines()
            .filter(|line| line.starts_with(key) || !line.contains("good"))
            .map(|line| line.replace("good.pem", file).replace("good.key", file) + "\n")
            .collect::<String>()
    };
    for key in ["certificate", "private_key"] {
        assert_eq!(places(&alone(key, "missing")), [of("TG0114", 4), of("TG0106", 4)], "{key}");
    }
    assert_eq!(places(&alone("private_key", "good.key")), [of("TG0106", 4)]);
}
