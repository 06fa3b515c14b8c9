//! Caller and callee of a request, and masking of numbers for log lines.

pub use trunkgate_route::number::is_control_char;
use trunkgate_route::number::{AddressIncomplete, compact};
use trunkgate_route::{Number, NumberingPlan, Trunk};
use trunkgate_sip::{SipMessage, Uri};

use crate::limits::{DISPLAY_NAME_CHARS, NUMBER_CHARS};

/// Caller of a request.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Caller {
    /// Number of the caller; its text is empty if the caller is anonymous.
    pub number: Number,
    /// Sanitized display name without quotes; may be empty.
    pub display: String,
    /// Whether the caller withholds its number (RFC 3323 §4.1.1.3).
    pub anonymous: bool,
}

impl Caller {
    /// Returns an unknown caller.
    pub fn unknown() -> Caller {
        Caller { number: Number::unknown(), display: String::new(), anonymous: true }
    }

    /// Returns the caller's number for views and records.
    pub fn shown(&self) -> String {
        if self.anonymous { "anonymous".to_owned() } else { plain(&self.number.text, NUMBER_CHARS) }
    }

    /// Returns the number that identifies the caller, if there is one.
    pub fn known_number(&self) -> Option<&str> {
        Some(self.number.text.as_str()).filter(|text| !self.anonymous && !text.is_empty())
    }
}

/// Returns the called number: the user of the Request-URI, or of To if the Request-URI has the user of the trunk's
/// registration.
///
/// # Errors
/// [`AddressIncomplete`] if there is no user, or it is not a complete number by the numbering plan.
pub fn called(request: &SipMessage, trunk: &Trunk, numbers: &NumberingPlan) -> Result<Number, AddressIncomplete> {
    let (user, context) = dialled(request, trunk).ok_or(AddressIncomplete)?;
    numbers.normalise(&user, context.as_deref())
}

/// Returns whether an INVITE is an emergency call, to which limits do not apply.
pub fn is_emergency(request: &SipMessage, trunk: &Trunk, numbers: &NumberingPlan) -> bool {
    dialled(request, trunk).is_some_and(|(user, _)| numbers.is_emergency_text(&user))
}

/// Returns the parameters of the called number that its trunk may set (RFC 3966 §3), in the form in which they follow a
/// number: `;npdi;rn=+14155550199`. Parameters with invalid values are omitted.
pub fn number_parameters(request: &SipMessage, trunk: &Trunk, numbers: &NumberingPlan) -> Box<str> {
    // An emergency call, to which limits do not apply, is routed by its number alone.
    if trunk.number_parameters.is_empty() || is_emergency(request, trunk, numbers) {
        return Box::default();
    }
    let told = of_dialled(request, trunk, |uri| {
        let told = trunk.number_parameters.iter().filter_map(|name| Some((name, uri.user_param(name)?)));
        let told = told.filter(|(name, value)| value.len() <= NUMBER_CHARS && may_be_value(name, value));
        told.map(|(name, value)| if value.is_empty() { format!(";{name}") } else { format!(";{name}={value}") })
            .collect()
    });
    told.map_or_else(Box::default, String::into_boxed_str)
}

/// Returns whether a parameter's value is a number, a domain or a word, without characters that end a user part or
/// begin another parameter. A routing number must consist of digits and separators.
fn may_be_value(name: &str, value: &str) -> bool {
    let is_number = |byte: u8| byte.is_ascii_digit() || b"+-.".contains(&byte);
    match name {
        "rn" => value.bytes().all(is_number) && value.bytes().any(|byte| byte.is_ascii_digit()),
        _ => value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-._*".contains(&byte)),
    }
}

/// Returns the user part of the called URI and its `phone-context`; `None` without a Request-URI.
fn dialled(request: &SipMessage, trunk: &Trunk) -> Option<(String, Option<String>)> {
    of_dialled(request, trunk, |uri| {
        (shortened(&uri.user_unescaped()), uri.user_param("phone-context").map(str::to_owned))
    })
}

/// Applies `read` to the called URI: that of To if the Request-URI has the user of the trunk's registration, else the
/// Request-URI. `None` if the Request-URI is invalid.
fn of_dialled<T>(request: &SipMessage, trunk: &Trunk, read: impl FnOnce(Uri<'_>) -> T) -> Option<T> {
    let uri = request.uri()?;
    let is_our_name = trunk.register.as_ref().is_some_and(|register| register.user == uri.user_unescaped());
    let to = request.to().filter(|_| is_our_name);
    let of_to = to.as_ref().and_then(|to| to.parsed_uri()).filter(|uri| !uri.user.is_empty());
    Some(read(of_to.unwrap_or(uri)))
}

/// Returns the caller from From.
pub fn caller(request: &SipMessage, numbers: &NumberingPlan) -> Caller {
    let from = request.from();
    let uri: Option<Uri<'_>> = from.as_ref().and_then(|f| f.parsed_uri());
    let user = uri.map(|u| plain(&shortened(&u.user_unescaped()), NUMBER_CHARS)).unwrap_or_default();
    let hidden_host = uri.is_some_and(|u| u.host.host.eq_ignore_ascii_case("anonymous.invalid"));
    let anonymous = hidden_host || user.eq_ignore_ascii_case("anonymous") || user.is_empty();
    if anonymous {
        return Caller::unknown();
    }
    let number = numbers.normalise_caller(&user, uri.and_then(|u| u.user_param("phone-context")));
    Caller { number, display: display_name(from.map_or(&[][..], |f| f.display)), anonymous }
}

/// Returns a display name without its quotes and escapes (RFC 3261 §25.1 quoted-string), and without characters that
/// are not text or [control](is_control_char) the display.
pub fn display_name(received: &[u8]) -> String {
    let text = String::from_utf8_lossy(received);
    let text = text.trim();
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let mut clean = String::new();
    let mut escaped = false;
    for c in inner.unwrap_or(text).chars() {
        if c == '\\' && inner.is_some() && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        if !is_control_char(c) && c != char::REPLACEMENT_CHARACTER {
            clean.push(c);
        }
    }
    clean.trim().chars().take(DISPLAY_NAME_CHARS).collect()
}

/// Returns a number for logs: `+1415****234`, or `****` for a shorter one. Names (`service`) and short codes (`911`)
/// identify no person and stay readable, unless they contain non-printing characters.
pub fn mask(number: &str) -> String {
    const SHOWN: (usize, usize) = (5, 3);
    const SHORT_CHARS: usize = 11;
    const NUMBER_DIGITS: usize = 7;
    let digits = number.chars().filter(|c| c.is_numeric()).count();
    if digits < NUMBER_DIGITS && number.chars().all(|c| c.is_ascii_graphic()) {
        return number.to_owned();
    }
    let chars: Vec<char> = number.chars().collect();
    if chars.len() < SHORT_CHARS {
        return "****".to_owned();
    }
    let head: String = chars.iter().take(SHOWN.0).collect();
    let tail: String = chars.iter().skip(chars.len() - SHOWN.1).collect();
    format!("{head}****{tail}")
}

/// Returns text of a remote party for views, traces and log lines: at most `chars` characters, without characters
/// that control a terminal, break a line or change the direction of writing (Unicode TR 36 §2.5).
pub fn plain(text: &str, chars: usize) -> String {
    // No early exit, so that the compiler can vectorize the check.
    let is_plain = |all: bool, byte: u8| all & matches!(byte, b' '..=b'~');
    if text.len() <= chars && text.bytes().fold(true, is_plain) {
        return text.to_owned();
    }
    text.chars().filter(|c| !is_control_char(*c)).take(chars).collect()
}

/// Returns the first `chars` characters of a rejected text, with escapes (`\u{200b}`) for characters that are
/// invisible or control the display.
pub fn escaped(text: &str, chars: usize) -> String {
    let mut escaped = String::new();
    for c in text.chars().take(chars) {
        if is_control_char(c) { escaped.extend(c.escape_unicode()) } else { escaped.push(c) }
    }
    escaped
}

/// Returns a user part of limited length; separators of a number do not count.
pub fn shortened(user: &str) -> String {
    let digits = (user.len() > NUMBER_CHARS).then(|| compact(user)).flatten();
    digits.as_deref().unwrap_or(user).chars().take(NUMBER_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_of_a_refused_text_are_escaped() {
        assert_eq!(escaped("+1415\u{200b}5550199\u{202e}\n", 32), "+1415\\u{200b}5550199\\u{202e}\\u{a}");
        assert_eq!(escaped("\u{e4}bc", 2), "\u{e4}b");
    }

    #[test]
    fn numbers_are_masked() {
        for (number, masked) in [
            ("+14155551234", "+1415****234"),
            ("14155551234", "14155****234"),
            ("4155551234", "****"),
            ("1234567", "****"),
            ("alice1234567", "alice****567"),
            ("911", "911"),
            ("service", "service"),
            ("two\nlines", "****"),
            ("\u{1b}[31mred", "****"),
            ("", ""),
            ("anonymous", "anonymous"),
            ("äöüäöüäöüäöü", "äöüäö****äöü"),
        ] {
            assert_eq!(mask(number), masked);
        }
    }

    #[test]
    fn display_names_are_plain_text() {
        for (received, clean) in [
            ("\"Alice\"", "Alice"),
            ("Alice Smith ", "Alice Smith"),
            ("\"a \\\"b\\\" \\\\c\"", "a \"b\" \\c"),
            ("\"x\r\n\u{7f}y\"", "xy"),
            ("\"\u{202e}4321\u{2066}\u{61c} eciclA\u{2029}\"", "4321 eciclA"),
            ("", ""),
        ] {
            assert_eq!(display_name(received.as_bytes()), clean);
        }
        assert_eq!(display_name(&[b'a', 0xff, b'b']), "ab");
        assert_eq!(display_name("x".repeat(500).as_bytes()).len(), DISPLAY_NAME_CHARS);
    }
}
