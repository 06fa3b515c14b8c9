//! `headers` and `identity` of a trunk.

use std::ops::Range;

use trunkgate_route::headers::{HeaderPattern, HeaderRuleError, HeaderRules, may_rule};
use trunkgate_route::{HeaderCondition, ParameterTemplate};

use super::code;
use super::diagnostic::Findings;
use super::keys;
use super::section::{Section, SpannedValue};
use super::values;

/// Maximum number of headers that a trunk may add.
const MAX_ADDED: usize = 32;
/// Maximum length of an added header value, in bytes.
const MAX_VALUE_BYTES: usize = 1024;

/// Reads `{ add = { X-Tenant = "acme" }, pass = ["X-*"], remove = [] }`.
pub(super) fn read<'a>(value: &'a SpannedValue<'a>, findings: &mut Findings) -> Option<HeaderRules> {
    let section = Section::open("`headers`", value, keys::HEADERS, findings)?;
    let mut patterns = |key: &str| {
        let list =
            section.read(key, findings, |key, value, findings| values::one_or_list(key, value, findings, pattern))?;
        Some(list.into_iter().map(|(pattern, _)| pattern).collect::<Vec<_>>())
    };
    let (pass, remove) = (patterns("pass"), patterns("remove").unwrap_or_default());
    let add = section.read("add", findings, added).unwrap_or_default();
    Some(HeaderRules { add, pass, remove, foreign: Vec::new() })
}

fn pattern(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<HeaderPattern> {
    let text = values::string(key, value, findings)?;
    match HeaderPattern::parse(&text) {
        Ok(pattern) => Some(pattern),
        Err(wrong) => {
            refuse(key, &text, wrong, value.span(), findings);
            None
        }
    }
}

fn added(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Vec<(String, String)>> {
    let Some(table) = value.get_ref().as_table() else {
        values::wrong_type(key, value, "a table as { X-Tenant = \"acme\" }", findings);
        return None;
    };
    if table.len() > MAX_ADDED {
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` has too many"), format!("{MAX_ADDED} at most"));
        return None;
    }
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut all = Vec::new();
    for (name, value) in entries {
        let (name, place) = (name.get_ref().as_ref(), name.span());
        if let Err(wrong) = may_rule(name) {
            refuse(key, name, wrong, place, findings);
            continue;
        }
        let Some(text) = values::string(name, value, findings) else { continue };
        if text.len() > MAX_VALUE_BYTES || text.chars().any(char::is_control) {
            let help = format!("use one line of at most {MAX_VALUE_BYTES} bytes without control characters");
            findings.error(code::BAD_VALUE, value.span(), format!("`{key}`: invalid value of {name}"), help);
            continue;
        }
        all.push((name.to_owned(), text));
    }
    Some(all)
}

/// Reads `{ X-Tenant = "acme", X-Tier = ["1", "2"] }`: accepted values for headers of the INVITE.
pub(super) fn conditions(
    key: &str,
    value: &SpannedValue<'_>,
    findings: &mut Findings,
    is_partial: &mut bool,
) -> Vec<HeaderCondition> {
    *is_partial = true;
    let Some(table) = value.get_ref().as_table() else {
        values::wrong_type(key, value, "a table as { X-Tenant = \"acme\" }", findings);
        return Vec::new();
    };
    if table.is_empty() {
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is empty"), "remove it to match any");
        return Vec::new();
    }
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut all = Vec::new();
    for (name, value) in entries {
        let (name, place) = (name.get_ref().as_ref(), name.span());
        if !ParameterTemplate::may_ask_for(name) {
            let message = format!("`{key}`: routes cannot match on {name}");
            findings.error(
                code::BAD_VALUE,
                place,
                message,
                "use a name such as X-Tenant; credentials cannot be matched",
            );
            continue;
        }
        let values = values::one_or_list(name, value, findings, super::routes::pattern).unwrap_or_default();
        if values.is_empty() {
            continue;
        }
        all.push(HeaderCondition {
            name: name.to_owned(),
            values: values.into_iter().map(|(value, _)| value).collect(),
        });
    }
    *is_partial = all.len() < table.len();
    all
}

fn refuse(key: &str, name: &str, wrong: HeaderRuleError, place: Range<usize>, findings: &mut Findings) {
    match wrong {
        HeaderRuleError::Owned => {
            let message = format!("`{key}`: the edge generates {name} itself");
            findings.error(code::OWN_HEADER, place, message, "remove it");
        }
        HeaderRuleError::Identity => {
            let message = format!("`{key}`: {name} is controlled by `identity`");
            findings.error(code::OWN_HEADER, place, message, "identity = \"pass\" or \"strip\"");
        }
        HeaderRuleError::NoName => {
            let message = format!("`{key}`: \"{name}\" is not a header name");
            findings.error(code::BAD_VALUE, place, message, "use \"X-Tenant\", or \"X-*\" for all with this prefix");
        }
    }
}
