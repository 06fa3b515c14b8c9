//! A trunk's `headers` and `identity`.

use std::ops::Range;

use trunkgate_route::headers::{HeaderPattern, HeaderRules, Unruled, may_rule};

use super::code;
use super::diagnostic::Findings;
use super::keys;
use super::section::{Section, Value};
use super::values;

/// Headers that one trunk may have added.
const MAX_ADDED: usize = 32;
/// Longest value of an added header, in bytes.
const MAX_VALUE_BYTES: usize = 1024;

/// `{ add = { X-Tenant = "acme" }, pass = ["X-*"], remove = [] }`
pub(super) fn read<'a>(value: &'a Value<'a>, findings: &mut Findings) -> Option<HeaderRules> {
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

fn pattern(key: &str, value: &Value<'_>, findings: &mut Findings) -> Option<HeaderPattern> {
    let text = values::string(key, value, findings)?;
    match HeaderPattern::parse(&text) {
        Ok(pattern) => Some(pattern),
        Err(wrong) => {
            refuse(key, &text, wrong, value.span(), findings);
            None
        }
    }
}

fn added(key: &str, value: &Value<'_>, findings: &mut Findings) -> Option<Vec<(String, String)>> {
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
            let help = format!("one line of {MAX_VALUE_BYTES} bytes at most, without control characters");
            findings.error(code::BAD_VALUE, value.span(), format!("`{key}`: a value that {name} cannot have"), help);
            continue;
        }
        all.push((name.to_owned(), text));
    }
    Some(all)
}

fn refuse(key: &str, name: &str, wrong: Unruled, place: Range<usize>, findings: &mut Findings) {
    match wrong {
        Unruled::Owned => {
            let message = format!("`{key}`: the edge writes {name} itself");
            findings.error(code::OWN_HEADER, place, message, "leave it out");
        }
        Unruled::Identity => {
            let message = format!("`{key}`: {name} belongs to `identity`");
            findings.error(code::OWN_HEADER, place, message, "identity = \"pass\" or \"strip\"");
        }
        Unruled::NoName => {
            let message = format!("`{key}`: \"{name}\" is no name of a header");
            findings.error(code::BAD_VALUE, place, message, "as \"X-Tenant\", or \"X-*\" for all that begin so");
        }
    }
}
