//! `headers` and `identity` of a trunk.

use std::ops::Range;

use trunkgate_route::headers::{HeaderPattern, HeaderRuleError, HeaderRules, may_rule};
use trunkgate_route::{HeaderCondition, ParameterTemplate};

use super::code;
use super::keys;
use super::values::KeyReader;

/// Maximum number of headers that a trunk may add.
const MAX_ADDED: usize = 32;
/// Maximum length of an added header value, in bytes.
const MAX_VALUE_BYTES: usize = 1024;

/// Reads `{ add = { X-Tenant = "acme" }, pass = ["X-*"], remove = [] }`.
pub(super) fn read(reader: &mut KeyReader<'_>) -> Option<HeaderRules> {
    let section = reader.section(keys::HEADERS)?;
    let mut patterns = |key: &str| section.read(key, reader.findings, |reader| reader.items(pattern));
    let (pass, remove) = (patterns("pass"), patterns("remove").unwrap_or_default());
    let add = section.read("add", reader.findings, added).unwrap_or_default();
    Some(HeaderRules { add, pass, remove, foreign: Vec::new() })
}

fn pattern(reader: &mut KeyReader<'_>) -> Option<HeaderPattern> {
    let text = reader.string()?;
    HeaderPattern::parse(&text).map_err(|wrong| refuse(reader, &text, wrong, reader.span())).ok()
}

fn added(reader: &mut KeyReader<'_>) -> Option<Vec<(String, String)>> {
    let entries = reader.entries("a table as { X-Tenant = \"acme\" }")?;
    if entries.len() > MAX_ADDED {
        return reader.reject(code::BAD_VALUE, "has too many headers", format!("{MAX_ADDED} at most"));
    }
    let mut all = Vec::new();
    for entry in entries {
        let name = entry.name;
        if let Err(wrong) = may_rule(name) {
            refuse(reader, name, wrong, entry.span);
            continue;
        }
        let Some(text) = reader.entry(&entry).string() else { continue };
        if text.len() > MAX_VALUE_BYTES || text.chars().any(char::is_control) {
            let help = format!("use one line of at most {MAX_VALUE_BYTES} bytes without control characters");
            reader.error_at(code::BAD_VALUE, entry.value.span(), format!(": invalid value of {name}"), help);
            continue;
        }
        all.push((name.to_owned(), text));
    }
    Some(all)
}

/// Reads `{ X-Tenant = "acme", X-Tier = ["1", "2"] }`: accepted values for headers of the INVITE.
pub(super) fn conditions(reader: &mut KeyReader<'_>, is_partial: &mut bool) -> Option<Vec<HeaderCondition>> {
    *is_partial = true;
    let entries = reader.entries("a table as { X-Tenant = \"acme\" }")?;
    if entries.is_empty() {
        return reader.reject(code::BAD_VALUE, "is empty", "remove it to match any");
    }
    let mut all = Vec::new();
    for entry in &entries {
        let name = entry.name;
        if !ParameterTemplate::may_ask_for(name) {
            let help = "use a name such as X-Tenant; credentials cannot be matched";
            reader.error_at(code::BAD_VALUE, entry.span.clone(), format!(": routes cannot match on {name}"), help);
            continue;
        }
        let values = reader.entry(entry).items(super::routes::pattern).unwrap_or_default();
        if !values.is_empty() {
            all.push(HeaderCondition { name: name.to_owned(), values });
        }
    }
    *is_partial = all.len() < entries.len();
    Some(all)
}

fn refuse(reader: &mut KeyReader<'_>, name: &str, wrong: HeaderRuleError, place: Range<usize>) {
    let (code, what, help) = match wrong {
        HeaderRuleError::Owned => (code::OWN_HEADER, format!(": the edge generates {name} itself"), "remove it"),
        HeaderRuleError::Identity => {
            (code::OWN_HEADER, format!(": {name} is controlled by `identity`"), "identity = \"pass\" or \"strip\"")
        }
        HeaderRuleError::NoName => {
            let help = "use \"X-Tenant\", or \"X-*\" for all with this prefix";
            (code::BAD_VALUE, format!(": \"{name}\" is not a header name"), help)
        }
    };
    reader.error_at(code, place, what, help);
}
