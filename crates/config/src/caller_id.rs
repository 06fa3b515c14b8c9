//! `caller_id` and `caller_id_in` of a trunk, `caller_id` of a route: rules for the presented caller number.

use trunkgate_route::{CallerIdRule, Number, Pattern, Trunk};

use super::code;
use super::diagnostic::Findings;
use super::number_form::number_form;
use super::section::Section;
use super::values::KeyReader;
use super::{keys, routes};

/// Reads the outbound and the inbound rule of a trunk.
pub(super) fn read(section: &Section<'_>, trunk: &mut Trunk, findings: &mut Findings) {
    for (key, target) in [("caller_id", &mut trunk.caller_id), ("caller_id_in", &mut trunk.caller_id_in)] {
        *target = section.read(key, findings, rule);
    }
}

/// Reads one rule: a table, a list of allowed numbers, or a single number that is always presented.
fn rule(reader: &mut KeyReader<'_>) -> Option<CallerIdRule> {
    if reader.text().is_some() {
        return Some(CallerIdRule { allow: Vec::new(), default: Some(number(reader)?) });
    }
    if reader.value.get_ref().is_array() {
        return Some(CallerIdRule { allow: allowed(reader)?, default: None });
    }
    let table = reader.section(keys::CALLER_ID)?;
    if table.get("allow").is_none() && table.get("default").is_none() {
        let help = "allow = [\"+1415555*\"], default = \"+14155550100\", or both";
        return reader.reject(code::MISSING, "has neither `allow` nor `default`", help);
    }
    let default = table.read("default", reader.findings, number);
    let allow = table.read("allow", reader.findings, allowed);
    Some(CallerIdRule { allow: allow.unwrap_or_default(), default })
}

fn allowed(reader: &mut KeyReader<'_>) -> Option<Vec<Pattern>> {
    let patterns = callers(reader)?;
    if reader.is_empty_list() {
        return reader.reject(code::BAD_VALUE, "is empty", "set the allowed caller IDs, or a default");
    }
    Some(patterns)
}

/// Reads number patterns and checks their form, also those that documents of an application may present.
pub(super) fn callers(reader: &mut KeyReader<'_>) -> Option<Vec<Pattern>> {
    reader.items(|reader| {
        let pattern = routes::pattern(reader)?;
        number_form(reader.key, &pattern, reader.value.span(), &reader.scope.edge.numbers, reader.findings);
        Some(pattern)
    })
}

/// Reads a complete number that may be presented as caller ID.
pub(super) fn number(reader: &mut KeyReader<'_>) -> Option<Number> {
    let text = reader.string()?;
    let numbers = &reader.scope.edge.numbers;
    let number = numbers.normalise_caller(text.trim().trim_start_matches("tel:"), None);
    if !number.is_e164 {
        let what = format!(": \"{text}\" is not a valid calling number in {}", numbers.country());
        return reader.reject(code::BAD_VALUE, what, "use complete numbers: \"+14155551234\"");
    }
    Some(Number { received: number.text.clone(), ..number })
}
