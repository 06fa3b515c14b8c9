//! `[messages]`: text messages through the operator's own service.

use std::time::Duration;

use super::code;
use super::diagnostic::Findings;
use super::draft::ConfigDraft;
use super::keys;
use super::section::Section;
use super::speech::{UrlWords, web_address};
use super::types::Secret;
use super::values::KeyReader;
use super::webhook_url;

/// Message texts for an invalid `url`.
const URL_WORDS: UrlWords = UrlWords {
    user: "contains a user part: use `token` for the key",
    clear: "sends messages unencrypted: http:// is allowed for loopback and [edge] local_networks only",
    help: "use \"https://sms.example.com/send\"",
    names_may_be_near: false,
};

/// Settings of `[messages]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageSettings {
    /// URL of the service that sends messages; `None` without such a service.
    pub url: Option<String>,
    /// Shared secret of the edge and the service.
    pub token: Option<Secret>,
    /// Maximum duration of a request to the service.
    pub timeout: Duration,
    /// Webhook for messages to numbers without their own webhook.
    pub inbound: Option<String>,
    /// Allowed prefixes of recipients, from `[sms]`. If empty, all are allowed.
    pub allow_prefixes: Vec<String>,
}

impl MessageSettings {
    /// Returns whether `allow_prefixes` of `[sms]` permits a recipient.
    pub fn permits(&self, recipient: &str) -> bool {
        permits(&self.allow_prefixes, recipient)
    }
}

/// Returns whether a list of prefixes permits a recipient; `+` permits any number, an empty list every recipient.
pub fn permits(prefixes: &[String], recipient: &str) -> bool {
    let is_one = |prefix: &String| prefix == "+" || recipient.starts_with(prefix.as_str());
    prefixes.is_empty() || prefixes.iter().any(is_one)
}

/// Reads `[messages]`.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> MessageSettings {
    let mut read = MessageSettings { allow_prefixes: section.scope().texts_to.to_vec(), ..MessageSettings::default() };
    section.fill((keys::MESSAGES, keys::PUT_MESSAGES), &mut read, findings);
    read
}

/// Reads the URL of the service.
pub(super) fn url(reader: &mut KeyReader<'_>) -> Option<String> {
    web_address(reader, URL_WORDS)
}

/// Checks `[messages]` against the other tables.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    let Some(span) = draft.spans.table("messages").cloned() else { return };
    let messages = &draft.messages;
    if let (Some(url), Some(place)) = (&messages.inbound, draft.spans.key("messages", "inbound")) {
        webhook_url::judge_reach("inbound", url, "[api]", draft.api.api.allow_private, place.clone(), findings);
        if draft.spans.key("api", "auth_token").is_none() {
            let help = "add [api] with auth_token = { env = \"TRUNKGATE_AUTH_TOKEN\" }, 32 characters or more";
            let message = "`inbound` of [messages] needs `auth_token` of [api], which signs webhooks";
            findings.error(code::MISSING, place.clone(), message, help);
        }
        if messages.token.is_none() && draft.spans.table("twilio").is_none() {
            let message = "messages to your numbers are rejected: neither [twilio] nor `token` of [messages] authenticates a service";
            findings.warning(code::TEXTS, Some(place.clone()), message, "add `token`, and give it to the service");
        }
    }
    if messages.url.is_some() && messages.token.is_none() {
        let message = "delivery reports and messages from the service are rejected: [messages] has no `token`";
        let help = "add token = { env = \"TRUNKGATE_MESSAGES_TOKEN\" }, and give it to the service";
        findings.warning(code::TEXTS, Some(span.clone()), message, help);
    }
    if messages.url.is_some() && draft.spans.key("api", "auth_token").is_none() {
        let message =
            "`url` of [messages] has no effect without `auth_token` of [api], which opens the API that sends messages";
        findings.warning(code::TEXTS, Some(span), message, "add auth_token to [api]");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_bound_recipients() {
        let of = |prefixes: &[&str]| prefixes.iter().map(|prefix| (*prefix).to_owned()).collect::<Vec<_>>();
        assert!(permits(&[], "+14155550199") && permits(&[], "72727"));
        assert!(permits(&of(&["+1415", "+44"]), "+442079460018"));
        assert!(!permits(&of(&["+1415"]), "+18095551234") && !permits(&of(&["+1415"]), "72727"));
        assert!(permits(&of(&["+"]), "+882165551234") && permits(&of(&["+"]), "72727"));
    }
}
