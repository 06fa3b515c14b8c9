//! Text formats of Twilio's API: dates, phone numbers, and URIs of subresources.

use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value};

use trunkgate_system::clock;

/// Converts an RFC 3339 time to RFC 2822 in UTC; `None` if it cannot be parsed.
pub(super) fn date(written: &str) -> Option<String> {
    written.parse::<Timestamp>().ok().map(moment)
}

/// Formats a timestamp in RFC 2822, in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    trunkgate_call::rfc2822(SystemTime::from(at))
}

/// Returns the current time in RFC 2822, in UTC.
pub(super) fn now() -> String {
    moment(clock::now())
}

/// Formats a North American number as `(415) 555-0100`; other numbers stay unchanged.
pub(super) fn formatted(number: &str) -> String {
    let digits = number.strip_prefix("+1").filter(|rest| rest.len() == 10 && rest.bytes().all(|b| b.is_ascii_digit()));
    let parts = digits.and_then(|digits| Some((digits.get(..3)?, digits.get(3..6)?, digits.get(6..)?)));
    parts.map_or_else(|| number.to_owned(), |(area, exchange, line)| format!("({area}) {exchange}-{line}"))
}

/// Returns `subresource_uris`: the address below `uri` of each name in snake case; the address is in camel case.
pub(super) fn subresources(uri: &str, names: &[&str]) -> Value {
    let camel = |name: &str| {
        let words = name.split('_').map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            first.to_uppercase() + rest
        });
        words.collect::<String>()
    };
    let all = names.iter().map(|name| ((*name).to_owned(), Value::String(format!("{uri}/{}.json", camel(name)))));
    Value::Object(all.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_as_twilio_writes_them() {
        assert_eq!(date("2026-11-24T03:04:05.678Z").as_deref(), Some("Tue, 24 Nov 2026 03:04:05 +0000"));
        assert_eq!(date("x"), None);
        assert_eq!(formatted("+14155550100"), "(415) 555-0100");
        for other in ["+442071838750", "+1415555", "anonymous", "+1415555010é", ""] {
            assert_eq!(formatted(other), other);
        }
        let uris = subresources("/a/CA1", &["user_defined_messages", "streams"]);
        assert_eq!(uris["user_defined_messages"], "/a/CA1/UserDefinedMessages.json");
        assert_eq!(uris["streams"], "/a/CA1/Streams.json");
    }
}
