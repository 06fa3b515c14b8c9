//! `caller_id` and `caller_id_in` of a trunk, `caller_id` of a route: rules for the presented caller number.

use trunkgate_route::{CallerIdRule, Number, NumberingPlan, Pattern, Trunk};

use super::code;
use super::diagnostic::Findings;
use super::draft::SourceSpan;
use super::keys::ReadScope;
use super::number_form::number_form;
use super::section::{Section, SpannedValue};
use super::{keys, routes, values};

/// Reads the outbound and the inbound rule of a trunk.
pub(super) fn read(section: &Section<'_>, trunk: &mut Trunk, numbers: &NumberingPlan, findings: &mut Findings) {
    for (key, target) in [("caller_id", &mut trunk.caller_id), ("caller_id_in", &mut trunk.caller_id_in)] {
        *target = section.read(key, findings, |key, value, findings| rule(key, value, numbers, findings));
    }
}

/// Reads one rule: a table, a list of allowed numbers, or a single number that is always presented.
fn rule(key: &str, value: &SpannedValue<'_>, numbers: &NumberingPlan, findings: &mut Findings) -> Option<CallerIdRule> {
    if value.get_ref().as_str().is_some() {
        return Some(CallerIdRule { allow: Vec::new(), default: Some(number(key, value, numbers, findings)?) });
    }
    if value.get_ref().as_array().is_some() {
        let allow = allowed(key, value, numbers, findings)?;
        return Some(CallerIdRule { allow, default: None });
    }
    let table = Section::open(&format!("`{key}`"), value, keys::CALLER_ID, findings)?;
    if table.get("allow").is_none() && table.get("default").is_none() {
        let help = "allow = [\"+1415555*\"], default = \"+14155550100\", or both";
        findings.error(code::MISSING, value.span(), format!("`{key}` has no effect"), help);
        return None;
    }
    let default = table.read("default", findings, |key, value, findings| number(key, value, numbers, findings));
    let allow = table.read("allow", findings, |key, value, findings| allowed(key, value, numbers, findings));
    Some(CallerIdRule { allow: allow.unwrap_or_default(), default })
}

fn allowed(
    key: &str,
    value: &SpannedValue<'_>,
    numbers: &NumberingPlan,
    findings: &mut Findings,
) -> Option<Vec<Pattern>> {
    let patterns = values::one_or_list(key, value, findings, routes::pattern)?;
    if value.get_ref().as_array().is_some_and(|list| list.is_empty()) {
        let help = "set the allowed caller IDs, or a default";
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is empty"), help);
        return None;
    }
    Some(in_number_form(key, patterns, numbers, findings))
}

/// Reads `callers` of an application: numbers that its documents may present.
pub(super) fn callers(
    key: &str,
    value: &SpannedValue<'_>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Option<Vec<Pattern>> {
    let patterns = values::one_or_list(key, value, findings, routes::pattern)?;
    Some(in_number_form(key, patterns, around.numbers, findings))
}

/// Reads number patterns and checks their form.
fn in_number_form(
    key: &str,
    patterns: Vec<(Pattern, SourceSpan)>,
    numbers: &NumberingPlan,
    findings: &mut Findings,
) -> Vec<Pattern> {
    let judge = |(pattern, span): (Pattern, SourceSpan)| {
        number_form(key, &pattern, span, numbers, findings);
        pattern
    };
    patterns.into_iter().map(judge).collect()
}

/// Reads a complete number that may be presented as caller ID.
pub(super) fn number(
    key: &str,
    value: &SpannedValue<'_>,
    numbers: &NumberingPlan,
    findings: &mut Findings,
) -> Option<Number> {
    let text = values::string(key, value, findings)?;
    let number = numbers.normalise_caller(text.trim().trim_start_matches("tel:"), None);
    if !number.is_e164 {
        let message = format!("`{key}`: \"{text}\" is not a valid calling number in {}", numbers.country());
        findings.error(code::BAD_VALUE, value.span(), message, "use complete numbers: \"+14155551234\"");
        return None;
    }
    Some(Number { received: number.text.clone(), ..number })
}
