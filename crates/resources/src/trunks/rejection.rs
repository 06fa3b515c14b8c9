//! Reasons that a remote party gives for rejecting a call, parsed from its response.

use trunkgate_sip::{HeaderName, SipMessage, StartLine};
use trunkgate_story::FailureResponse;
use trunkgate_story::numbers::plain;
use trunkgate_story::redact::addresses;
use trunkgate_story::sentence::without_numbers;

use crate::limits::{REJECTION_TEXT_CHARS, REJECTION_TEXTS};
use crate::trunks::health::retry_after;

/// Parts of the names of headers that carriers use for reasons.
const TELLING: [&str; 5] = ["reason", "error", "cause", "warning", "message"];

/// Returns code and texts of a final response to a request with or without credentials.
pub fn failure_response(code: u16, had_credentials: bool, response: &SipMessage) -> FailureResponse {
    let phrase = match response.start_line() {
        StartLine::Response { reason, .. } => words(reason, REJECTION_TEXT_CHARS).replace('"', "'"),
        StartLine::Request { .. } => String::new(),
    };
    let mut texts: Vec<String> = Vec::new();
    let reasons = response.headers(HeaderName::Reason).filter_map(text_of_reason);
    let warnings = response.headers(HeaderName::Warning).filter_map(quoted);
    let own = response.fields().filter(|(name, _)| gives_reason(name)).map(|(_, value)| value);
    for text in reasons.chain(warnings).chain(own).map(|text| words(text, REJECTION_TEXT_CHARS).replace('"', "'")) {
        let is_known = text.eq_ignore_ascii_case(&phrase) || texts.contains(&text);
        if !text.is_empty() && !is_known && texts.len() < REJECTION_TEXTS {
            texts.push(text);
        }
    }
    let q850 = response.headers(HeaderName::Reason).find_map(cause_of_reason);
    FailureResponse {
        code,
        phrase,
        texts,
        retry_after: retry_after(response),
        had_credentials,
        q850,
        answers_others: false,
    }
}

/// Returns whether a proprietary header gives a reason.
fn gives_reason(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    name.starts_with("x-") && TELLING.iter().any(|part| name.contains(part))
}

/// Returns the `text` of a Reason (RFC 3326 §2).
fn text_of_reason(value: &[u8]) -> Option<&[u8]> {
    let at = value.windows(4).position(|word| word.eq_ignore_ascii_case(b"text"))? + 4;
    let rest = value.get(at..)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    quoted(rest).or_else(|| rest.split(|byte| matches!(byte, b';' | b',')).next())
}

/// Returns the cause of a Q.850 Reason.
fn cause_of_reason(value: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(value).ok()?.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let is_q850 = parts.next().is_some_and(|protocol| protocol == "q.850");
    let cause = parts.find_map(|part| {
        let (key, cause) = part.split_once('=')?;
        if key.trim() == "cause" { cause.trim().parse().ok() } else { None }
    });
    cause.filter(|_| is_q850)
}

/// Returns the text between the first two quotation marks.
fn quoted(value: &[u8]) -> Option<&[u8]> {
    let from = value.iter().position(|byte| *byte == b'"')? + 1;
    let rest = value.get(from..)?;
    rest.get(..rest.iter().position(|byte| *byte == b'"')?)
}

/// Returns text of a remote party without keys and whole numbers, shortened to `longest` characters.
pub fn words(text: &[u8], longest: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let key = text.to_ascii_lowercase().find("inline").unwrap_or(text.len());
    // Truncated before it is scanned.
    let text: String = text.get(..key).unwrap_or_default().chars().take(longest).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    plain(&without_numbers(&addresses(words.join(" "))), longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str, headers: &str) -> String {
        let text = format!(
            "SIP/2.0 {line}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        let message = SipMessage::parse(text.into()).unwrap();
        failure_response(403, false, &message).to_string()
    }

    #[test]
    fn every_text_of_a_rejection_is_quoted_once_and_hides_numbers_and_keys() {
        for (line, headers, shown) in [
            ("403 Forbidden", "", "403 Forbidden"),
            ("403 ", "", "403"),
            (
                "403 Forbidden",
                "Reason: Q.850;cause=21;text=\"Call Rejected\"\r\n",
                "403 Forbidden \"Call Rejected\" (Q.850 21)",
            ),
            ("403 No", "Reason: Q.850;cause=21;text=\"CLI\"\r\n", "403 No \"CLI\" (Q.850 21, call rejected)"),
            ("403 No", "Reason: SIP ;cause=403 ;TEXT = plain;x=1\r\n", "403 No \"plain\""),
            ("403 No", "Reason: Q.850;cause=21\r\nWarning: 399 h \"no \"\r\n", "403 No (Q.850 21, call rejected)"),
            ("503 X", "Reason: q.850 ; cause = 34\r\n", "403 X (Q.850 34, no circuit available)"),
            ("503 X", "Reason: SIP;cause=503\r\n", "403 X"),
            ("503 X", "Reason: Q.850;cause=999\r\n", "403 X"),
            ("403 No", "Warning: 399 h \"CLI +14155550100 is unknown\"\r\n", "403 No \"CLI +1415****100 is unknown\""),
            ("403 No", "Warning: 399 h \"1 415 555 0100, (415) 555-0100\"\r\n", "403 No \"14155****100, ****\""),
            ("403 No +1 415 555 0100", "", "403 No +1415****100"),
            ("403 No", "X-Reason: sip:bob:S3CR3T@h;token=x is bad\r\n", "403 No \"sip:bob@h is bad\""),
            ("403 No", "X-Twilio-Error: 21210 not verified\r\nX-Other: x\r\n", "403 No \"21210 not verified\""),
            ("403 No", "X-Error-Info: key inline:SECRET\r\n", "403 No \"key\""),
            ("403 No", "Retry-After: 30 (maintenance)\r\n", "403 No (Retry-After 30)"),
        ] {
            assert_eq!(of(line, headers), shown, "{line} {headers}");
        }
        let many: String = (0..9).map(|n| format!("X-Reason-{n}: {}\r\n", format!("w{n} ").repeat(200))).collect();
        assert!(of("403 No", &many).len() < 4 * 210);
    }
}
