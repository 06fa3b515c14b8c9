//! URLs of webhooks: their syntax, and whether they can be reached.

use url::Url;

use super::code;
use super::diagnostic::Findings;
use super::draft::SourceSpan;
use super::nearest;
use super::values::KeyReader;
use trunkgate_system::limits::{
    WEBHOOK_CONNECT_MOST_MILLISECONDS, WEBHOOK_LEAST_MILLISECONDS, WEBHOOK_RETRIES, WEBHOOK_TOTAL_MILLISECONDS,
    WEBHOOK_URL_BYTES,
};
use trunkgate_system::reach::ReachRules;

const HELP: &str = "use \"https://app.example.com/voice\"";

/// Numeric settings in the fragment of a URL (Twilio's connection overrides), each with its range.
const NUMBERS: [(&str, u64, u64, &str); 4] = [
    ("ct", WEBHOOK_LEAST_MILLISECONDS, WEBHOOK_CONNECT_MOST_MILLISECONDS, "milliseconds for the TCP connection"),
    ("rt", WEBHOOK_LEAST_MILLISECONDS, WEBHOOK_TOTAL_MILLISECONDS, "milliseconds for the answer"),
    ("tt", WEBHOOK_LEAST_MILLISECONDS, WEBHOOK_TOTAL_MILLISECONDS, "milliseconds for everything"),
    ("rc", 0, WEBHOOK_RETRIES as u64, "further tries"),
];
/// Failures after which a request is retried.
const POLICIES: [&str; 5] = ["ct", "rt", "4xx", "5xx", "all"];
/// Twilio's overrides without effect here.
const IDLE: [&str; 2] = ["sni", "e"];

/// Reads a URL. Messages never contain its secret parts.
pub(super) fn read(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let wrong = match &url {
        _ if text.len() > WEBHOOK_URL_BYTES => "has more than 4096 bytes",
        _ if text.trim() != text || text.chars().any(char::is_control) => {
            "begins or ends with a space, or has a control character"
        }
        None => "is not a web address",
        Some(url) if url.port() == Some(0) => "has port 0",
        Some(_) => "",
    };
    if !wrong.is_empty() {
        return reader.reject(code::BAD_WEBHOOK, wrong, HELP);
    }
    let fragment = url.as_ref().and_then(Url::fragment).unwrap_or_default();
    overrides(reader, fragment).then_some(text)
}

/// Checks connection overrides: an invalid value is an error, an unknown name a warning.
fn overrides(reader: &mut KeyReader<'_>, fragment: &str) -> bool {
    let mut is_usable = true;
    let mut refuse = |what: String, help: String| {
        reader.error(code::BAD_WEBHOOK, format!(": {what}"), help);
        is_usable = false;
    };
    let mut idle = Vec::new();
    for (name, text) in form_urlencoded::parse(fragment.as_bytes()) {
        if let Some((_, least, most, what)) = NUMBERS.iter().find(|(known, ..)| *known == name) {
            if !text.parse().is_ok_and(|number: u64| (*least..=*most).contains(&number)) {
                refuse(format!("`{name}` of the fragment is out of range"), format!("{least} to {most} ({what})"));
            }
        } else if name == "rp" {
            let words = text.split(',').map(str::trim);
            if words.into_iter().any(|word| !POLICIES.contains(&word)) {
                let help = format!("use {}, or several with commas between", POLICIES.join(", "));
                refuse("`rp` of the fragment names no kind of failure".to_owned(), help);
            }
        } else {
            idle.push(name.into_owned());
        }
    }
    for name in idle {
        let known = NUMBERS.iter().map(|(known, ..)| *known).chain(["rp"]);
        let help = match nearest(&name, known) {
            Some(near) if !IDLE.contains(&name.as_str()) => format!("did you mean `{near}`?"),
            _ => "remove it: a fragment may set only ct, rt, tt, rc and rp, and is not sent".to_owned(),
        };
        // Any other name may be a secret without `=`.
        let idle = IDLE.iter().find(|idle| **idle == name);
        let part = idle.map_or_else(|| "this part".to_owned(), |idle| format!("`{idle}`"));
        reader.warning(code::BAD_WEBHOOK, format!(": {part} of the fragment (after `#`) has no effect"), help);
    }
    is_usable
}

/// Rejects a URL with an address that is not allowed. Host names are checked on use. `section` is the table with this
/// `allow_private`.
pub(super) fn judge_reach(
    key: &str,
    text: &str,
    section: &str,
    allow_private: bool,
    span: SourceSpan,
    findings: &mut Findings,
) {
    judge_by(&ReachRules { allow_private, ..ReachRules::default() }, section, key, text, span, findings);
}

/// Reads a URL of the operator's own receiver, and warns of an address to which connections are never allowed, such as
/// a cloud metadata service.
pub(super) fn read_of_receiver(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = read(reader)?;
    let reach = ReachRules { allow_private: true, ..ReachRules::default() };
    if let Some(why) = Url::parse(&text).ok().and_then(|url| reach.judge_url(&url).err()) {
        reader.warning(code::BAD_WEBHOOK, format!("can never be reached: {why}"), "use the address of your receiver");
    }
    Some(text)
}

/// Rejects a URL that these rules forbid. `section` is the table with the `allow_private` that applies.
pub(super) fn judge_by(
    reach: &ReachRules,
    section: &str,
    key: &str,
    text: &str,
    span: SourceSpan,
    findings: &mut Findings,
) {
    let Ok(url) = Url::parse(text) else { return };
    let Err(why) = reach.judge_url(&url) else { return };
    let help = match (ReachRules { allow_private: true, ..reach.clone() }).judge_url(&url) {
        Ok(()) => format!(
            "set `allow_private = true` in {section} if your own application is there, or use its public address"
        ),
        Err(_) => "use the address of your application".to_owned(),
    };
    findings.error(code::BAD_WEBHOOK, span, format!("`{key}` can never be reached: {why}"), help);
}
