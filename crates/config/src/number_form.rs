//! Warnings about number patterns that no normalised number matches: national form, separators, missing `*`.

use trunkgate_route::{NumberingPlan, Pattern};

use super::code;
use super::diagnostic::Findings;
use super::draft::SourceSpan;

/// Separators allowed between the digits of a written number.
const SEPARATORS: &str = " -.()/";

/// Warns of a number or prefix in a form that no normalised number has.
pub(super) fn number_form(
    key: &str,
    pattern: &Pattern,
    span: SourceSpan,
    numbers: &NumberingPlan,
    findings: &mut Findings,
) {
    let never = |message: String, help: String| findings.warning(code::NEVER_MATCHES, Some(span), message, help);
    match pattern {
        Pattern::Prefix(text) => {
            let digits = text.strip_prefix('+').filter(|digits| digits.contains(|c: char| SEPARATORS.contains(c)));
            let Some(digits) = digits else { return };
            let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
            let message = format!("`{key}`: no number starts with \"{text}\" after normalization");
            never(message, format!("write \"+{digits}*\""));
        }
        Pattern::Exact(text) => {
            let normalised = numbers.normalise_caller(text, None);
            if normalised.text != *text {
                let message = format!("`{key}`: no number equals \"{text}\" after normalization");
                never(message, format!("write \"{}\"", normalised.text));
            } else if key == "to" && numbers.normalise(text, None).is_err() {
                let message = format!("`{key}`: \"{text}\" is rejected with 484 before routing");
                never(message, "use `+` and digits, or a name without `+`".to_owned());
            } else if !normalised.is_e164
                && let Some(digits) = whole(text)
            {
                let is_possible = |len: usize| {
                    let beginning = digits.get(..len).unwrap_or_default();
                    numbers.normalise_caller(&format!("+{beginning}"), None).is_e164
                };
                let (what, help) = match (1..digits.len()).any(is_possible) {
                    true => ("long", "is there an extra digit?".to_owned()),
                    false => ("short", format!("write \"+{digits}*\" for all numbers with this prefix")),
                };
                never(format!("`{key}`: \"{text}\" is too {what} for a number with its country code"), help);
            }
        }
        Pattern::Regex(_) => {}
    }
}

/// Returns the digits after `+` if the text is a complete number.
fn whole(text: &str) -> Option<String> {
    let digits = text.strip_prefix('+')?;
    let is_number = digits.chars().all(|c| c.is_ascii_digit() || SEPARATORS.contains(c));
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    (is_number && !digits.is_empty()).then_some(digits)
}

/// Number of digits that may follow a prefix.
const RESTS: std::ops::RangeInclusive<usize> = 4..=11;

/// Warns of a prefix without country code, which after normalisation only matches extensions and short codes. Routes
/// may mean those; rules that reject, allow or count calls rarely do.
pub(super) fn national_beginning(
    key: &str,
    pattern: &Pattern,
    span: SourceSpan,
    numbers: &NumberingPlan,
    findings: &mut Findings,
) {
    let Pattern::Prefix(text) = pattern else { return };
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_digit()) {
        return;
    }
    let begins = |rest: usize| {
        let number = numbers.normalise_caller(&format!("{text}{}", "2".repeat(rest)), None);
        let end = number.text.len().saturating_sub(rest);
        number.text.get(..end).filter(|_| number.is_e164).map(str::to_owned)
    };
    let Some(begins) = RESTS.filter_map(begins).min_by_key(String::len) else { return };
    let message = format!("`{key}`: numbers are compared after normalization: {text}* becomes {begins}*");
    // A missing `+` and a missing country code have different corrections.
    let other = format!("+{text}");
    let help = match text.starts_with('0') || other == begins {
        true => format!("write \"{begins}*\""),
        false => format!("write \"{begins}*\"; \"{other}*\" if {text} starts with the country code"),
    };
    findings.warning(code::NEVER_MATCHES, Some(span), message, help);
}
