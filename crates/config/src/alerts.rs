//! `[alerts]`: the receiver of problems that begin and end.

use super::diagnostic::Findings;
use super::keys;
use super::receiver::WebhookReceiver;
use super::section::Section;
use super::speech::{UrlWords, web_address};
use super::values::KeyReader;

/// Message texts for an invalid `url`.
const URL_WORDS: UrlWords = UrlWords {
    user: "contains a user part: use `token` for the key",
    clear: "sends alerts unencrypted: http:// is allowed for loopback and [edge] local_networks only",
    help: "use \"https://hooks.example.com/trunkgate\"",
    names_may_be_near: false,
};

/// Reads `[alerts]`; `None` without a usable `url`.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Option<WebhookReceiver> {
    let mut receiver = WebhookReceiver::default();
    section.fill((keys::ALERTS, keys::PUT_ALERTS), &mut receiver, findings);
    Some(receiver).filter(|receiver| !receiver.url.is_empty())
}

/// Reads `url`.
pub(super) fn url(reader: &mut KeyReader<'_>) -> Option<String> {
    web_address(reader, URL_WORDS)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::parse;

    #[test]
    fn alerts_need_an_address_that_may_be_in_clear_text_nearby_only() {
        let read = |alerts: &str| {
            let trunk = "[trunk.a]\npeers = ['sip:127.0.0.1']\n[[route]]\nfrom = ['a']\nconnect = ['reject:404']\n";
            parse(Path::new("t.toml"), &format!("{trunk}[alerts]\n{alerts}\n"))
        };
        let (config, warnings) = read("url = 'https://h/x'\ntoken = 't'").unwrap();
        let alerts = config.alerts.unwrap();
        assert_eq!((&*alerts.url, alerts.token.is_some(), alerts.timeout.as_secs()), ("https://h/x", true, 20));
        assert!(warnings.iter().all(|one| !one.message.contains("alerts")), "{warnings:?}");
        assert!(read("url = 'http://127.0.0.1:9/'").is_ok());
        for refused in
            ["", "url = 'http://hooks.example.com/'", "url = 'https://u:p@h/'", "url = 'https://h/'\nsecret = 's'"]
        {
            assert!(read(refused).is_err(), "{refused}");
        }
    }
}
