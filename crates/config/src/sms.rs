//! `[twilio]`, `[sms]` and `sms_on_failure` of a route: text messages after unanswered calls.

use std::time::Duration;

use trunkgate_route::agent::TemplatePiece;
use trunkgate_route::sms::SMS_CHARS;
use trunkgate_route::{NumberingPlan, ParameterTemplate, SmsRecipients, SmsRule, TextOutcome};

use super::code;
use super::diagnostic::Findings;
use super::draft::ConfigDraft;
use super::keys;
use super::nearest;
use super::section::Section;
use super::speech;
use super::types::Secret;
use super::values::KeyReader;

/// Settings of `[twilio]` and `[sms]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SmsSettings {
    /// Account SID: `AC` and 32 hex digits.
    pub account_sid: String,
    /// Credential of our requests, and key of the signatures on Twilio's requests.
    pub auth_token: Secret,
    /// `http` or `https` URL of Twilio's API.
    pub base_url: String,
    /// Maximum duration of a request to the service.
    pub timeout: Duration,
    /// URL for Twilio's status callbacks of each message.
    pub status_callback: Option<String>,
    /// Maximum age of a message to be sent; zero if unlimited.
    pub expires: Duration,
    /// Maximum number of messages to one recipient in 24 hours; 0: no limit.
    pub per_recipient_per_day: u32,
    /// Maximum number of messages in 24 hours; 0: no limit.
    pub per_day: u32,
    /// Replies to STOP, START and HELP.
    pub replies: OptOutReplies,
}

/// Replies to opt-out keywords; each is optional, because Twilio replies to them itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OptOutReplies {
    /// Reply to STOP; `None` for no reply.
    pub stop: Option<String>,
    /// Reply to START; `None` for no reply.
    pub start: Option<String>,
    /// Reply to HELP; `None` for no reply.
    pub help: Option<String>,
}

/// Returns whether a sender is the SID of a messaging service.
pub fn is_service(from: &str) -> bool {
    from.len() == 34 && from.starts_with("MG")
}

/// Returns whether digits are a short code.
pub fn is_short_code(digits: &str) -> bool {
    (3..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Placeholders of a message text, written in braces.
const WORDS: [&str; 6] = ["caller", "called", "route", "trunk", "outcome", "reason"];
/// Maximum length of an alphanumeric sender in characters, as on Twilio.
const NAME_CHARS: usize = 11;

/// Reads `[twilio]` and `[sms]`; `None` without a usable account.
pub(super) fn read(root: &Section<'_>, findings: &mut Findings) -> Option<SmsSettings> {
    let twilio = root.open_table("twilio", keys::TWILIO, findings);
    let sms = root.table_or_empty("sms", keys::SMS, findings);
    let mut read = SmsSettings::default();
    sms.fill((keys::SMS, keys::PUT_SMS), &mut read, findings);
    let twilio = twilio?;
    twilio.fill((keys::TWILIO, keys::PUT_TWILIO), &mut read, findings);
    for key in ["account_sid", "auth_token"] {
        if twilio.get(key).is_none() {
            let help = "copy them from Twilio's console";
            findings.error(code::MISSING, twilio.span.clone(), format!("[twilio] without `{key}`"), help);
        }
    }
    Some(read).filter(|read| !read.account_sid.is_empty() && !read.auth_token.reveal().is_empty())
}

/// Reads `base_url`: the URL of Twilio's API.
pub(super) fn base_url(reader: &mut KeyReader<'_>) -> Option<String> {
    let words = speech::UrlWords {
        user: "contains a user part: use `account_sid` and `auth_token`",
        clear: "sends texts and token unencrypted: http:// is allowed for loopback and [edge] local_networks only",
        help: "use \"https://api.twilio.com\"",
        names_may_be_near: false,
    };
    speech::web_address(reader, words)
}

/// Reads `timeout`: the maximum duration of one request.
pub(super) fn timeout(reader: &mut KeyReader<'_>) -> Option<Duration> {
    let found = reader.duration()?;
    if found.is_zero() {
        reader.error(code::BAD_VALUE, "cannot be off", "use \"10s\"");
    }
    Some(found)
}

/// Reads `replies`: our replies to opt-out keywords.
pub(super) fn replies(reader: &mut KeyReader<'_>) -> Option<OptOutReplies> {
    let section = reader.section(keys::REPLIES)?;
    let mut replies = OptOutReplies::default();
    section.fill((keys::REPLIES, keys::PUT_REPLIES), &mut replies, reader.findings);
    Some(replies)
}

/// Reads a non-empty text that fits into one message.
pub(super) fn text_of_message(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let chars = text.chars().count();
    if text.trim().is_empty() || chars > SMS_CHARS {
        let what = if chars > SMS_CHARS { "is too long" } else { "is empty" };
        let help = format!("1 to {SMS_CHARS} characters");
        return reader.reject(code::BAD_VALUE, what, help);
    }
    Some(text)
}

/// Reads `allow_prefixes` of `[sms]`; empty if not set.
pub(super) fn allowed(reader: &mut KeyReader<'_>) -> Option<Vec<String>> {
    let list = reader.items(|reader| {
        let text = reader.string()?;
        let digits = text.strip_prefix('+');
        let fits = digits.is_some_and(|digits| digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit()));
        if !fits {
            let help = "use `+` and digits: \"+1\" or \"+44\"; \"+\" is any number";
            reader.error(code::BAD_VALUE, format!(": \"{text}\" is not a number prefix"), help);
        }
        fits.then_some(text)
    });
    if reader.is_empty_list() {
        let help = "remove it for the countries of [edge] and of the sender, or use [\"+\"] for any";
        reader.error(code::BAD_VALUE, "is empty", help);
    }
    list
}

/// Reads `sms_on_failure`.
pub(super) fn rule(reader: &mut KeyReader<'_>) -> Option<SmsRule> {
    let section = reader.section(keys::SMS_ON_FAILURE)?;
    for part in ["to", "from", "body"] {
        if section.get(part).is_none() {
            let help = "{ to = \"{caller}\", from = \"+14155551234\", body = \"We missed your call.\" }";
            reader.error(code::MISSING, format!("without `{part}`"), help);
        }
    }
    let KeyReader { scope, ref mut findings, .. } = *reader;
    let to = section.read("to", findings, recipient);
    let from = section.read("from", findings, sender);
    let body = section.read("body", findings, |reader| {
        let text = text_of_message(reader)?;
        template(reader, &text)
    });
    let outcomes = TextOutcome::ALL.map(|outcome| (outcome.as_str(), outcome));
    let on = section.read("on", findings, |reader| reader.items(|reader| reader.one_of(&outcomes)));
    if let (Some(value), Some(true)) = (section.get("on"), on.as_ref().map(Vec::is_empty)) {
        findings.error(code::BAD_VALUE, value.span(), "`on` is empty", "remove it for busy, no_answer and failed");
    }
    let (to, from, body) = (to?, from?, body?);
    let recipients = match () {
        // A recipient configured in the file is always permitted.
        () if !to.is_only(&TemplatePiece::Caller) => SmsRecipients::Any,
        () if !scope.texts_to.is_empty() => SmsRecipients::Prefixes(scope.texts_to.to_vec()),
        () => {
            let mut home = vec![scope.edge.numbers.country().to_owned()];
            home.extend(NumberingPlan::country_of(&from).filter(|country| !home.contains(country)));
            SmsRecipients::Countries(home)
        }
    };
    let on = on.unwrap_or_else(|| TextOutcome::USUAL.to_vec());
    Some(SmsRule { to, from, body, on, recipients })
}

/// Reads the recipient: `{caller}` or a fixed number.
fn recipient(reader: &mut KeyReader<'_>) -> Option<ParameterTemplate> {
    let text = reader.string()?;
    let template = template(reader, &text)?;
    if template.is_only(&TemplatePiece::Caller) {
        return Some(template);
    }
    let number = reader.scope.edge.numbers.normalise_caller(&text, None);
    if !number.is_e164 {
        let help = "use \"{caller}\" or a number: \"+14155550199\"";
        return reader.reject(code::BAD_VALUE, format!(": \"{text}\" cannot receive text messages"), help);
    }
    ParameterTemplate::parse_ended(&number.text).ok()
}

/// Reads the sender: a number, a short code, a messaging service or a name.
fn sender(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let is_name = (1..=NAME_CHARS).contains(&text.len())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" +-_&".contains(&byte));
    if is_service(&text) || is_short_code(&text) || is_name {
        return Some(text);
    }
    let number = reader.scope.edge.numbers.normalise_caller(&text, None);
    if !number.is_e164 {
        let help =
            "use a number of the account (\"+14155551234\"), a short code, a sender ID of up to 11 letters, or MG…";
        return reader.reject(code::BAD_VALUE, format!(": \"{text}\" cannot send text messages"), help);
    }
    Some(number.text)
}

fn template(reader: &mut KeyReader<'_>, text: &str) -> Option<ParameterTemplate> {
    match ParameterTemplate::parse_ended(text) {
        Ok(template) => Some(template),
        Err(word) => {
            let help = match nearest(&word, WORDS.into_iter()) {
                Some(known) => format!("did you mean {{{known}}}?"),
                None => WORDS.map(|word| format!("{{{word}}}")).join(", "),
            };
            reader.reject(code::BAD_VALUE, format!(": unknown placeholder {{{word}}}"), help)
        }
    }
}

/// Checks `sms_on_failure`, `[twilio]` and `[sms]` against each other.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    let mut any = false;
    for placed in &draft.routes {
        let Some(span) = &placed.sms else { continue };
        any = true;
        if draft.spans.table("twilio").is_none() {
            let message = format!("route {} sends text messages, but [twilio] is not configured", placed.route.name);
            let help = "add [twilio] with account_sid and auth_token";
            findings.error(code::TEXTS, span.clone(), message, help);
        }
    }
    match (draft.spans.table("twilio"), draft.spans.table("sms")) {
        (Some(span), _) if any && draft.http.public_url.is_none() => {
            let message = "STOP replies do not arrive: Twilio cannot reach POST /sms/inbound without `public_url`";
            let help = "add public_url to [http], and enter PUBLIC_URL/sms/inbound as webhook of the number in Twilio's console";
            findings.warning(code::TEXTS, Some(span.clone()), message, help);
        }
        // The API sends messages through Twilio, too.
        (Some(span), _) | (None, Some(span)) if !any && draft.spans.key("api", "auth_token").is_none() => {
            let message = "no route sends text messages";
            let help = "add sms_on_failure to a [[route]]";
            findings.warning(code::TEXTS, Some(span.clone()), message, help);
        }
        _ => {}
    }
}
