//! `allow_prefixes`, `high_risk`, `limits` and `calls_per_day` of a trunk: permitted destinations and call quotas.

use jiff::tz::TimeZone;
use trunkgate_route::{NumberingPlan, Pattern, Quota, Trunk};

use super::code;
use super::diagnostic::Findings;
use super::draft::SourceSpan;
use super::number_form::{national_beginning, number_form};
use super::section::{Section, SpannedValue};
use super::types::EdgeConfig;
use super::{emergency, keys, routes, values};

/// Maximum number of `limits` of a trunk; each call is checked against all of them.
const LIMITS: usize = 100;

/// Values of `high_risk`.
const HIGH_RISK: [(&str, bool); 2] = [("refuse", false), ("allow", true)];

/// Reads all quota keys of a trunk; `preset` is its preset.
pub(super) fn read(
    section: &Section<'_>,
    trunk: &mut Trunk,
    preset: Option<&str>,
    edge: &EdgeConfig,
    findings: &mut Findings,
) {
    let has_phones = trunk.accept_register || preset.is_some_and(emergency::is_of_phones);
    let words =
        |key: &str, value: &SpannedValue<'_>, findings: &mut Findings| values::one_of(key, value, findings, &HIGH_RISK);
    trunk.takes_high_risk = section.read("high_risk", findings, words).unwrap_or(has_phones);
    if let Some(value) = section.get("allow_prefixes") {
        let prefixes = values::one_or_list("allow_prefixes", value, findings, prefix).unwrap_or_default();
        allowed(&prefixes, &edge.numbers, findings);
        trunk.allow_prefixes = prefixes.into_iter().map(|(prefix, _)| prefix).collect();
        if value.get_ref().as_array().is_some_and(|list| list.is_empty()) {
            let help = "remove it to allow any; deny = [\"*\"] for none";
            findings.error(code::BAD_VALUE, value.span(), "`allow_prefixes` is empty", help);
        }
    }
    let zone = &edge.calendar.zone;
    let limit = |_: &str, value: &SpannedValue<'_>, findings: &mut Findings| limit(value, edge, findings);
    let limits = section.read("limits", findings, |key, value, f| values::one_or_list(key, value, f, limit));
    trunk.quotas = limits.into_iter().flatten().map(|(quota, _)| quota).collect();
    if let Some(value) = section.get("limits").filter(|_| trunk.quotas.len() > LIMITS) {
        findings.error(code::BAD_VALUE, value.span(), "`limits`: too many", format!("{LIMITS} at most"));
    }
    let calls_per_day = section.read("calls_per_day", findings, number).unwrap_or(0);
    if calls_per_day > 0 {
        trunk.quotas.push(Quota { calls_per_day, ..any(zone) });
    }
}

fn any(zone: &TimeZone) -> Quota {
    let (to, caller, zone) = (Vec::new(), Vec::new(), zone.clone());
    Quota { to, caller, max_calls: 0, calls_per_second: 0, calls_per_day: 0, zone }
}

/// Reads `{ to = ["+44*"], caller = ["+1415*"], max_calls = 5, calls_per_second = 1, calls_per_day = 100 }`.
fn limit(value: &SpannedValue<'_>, edge: &EdgeConfig, findings: &mut Findings) -> Option<Quota> {
    let table = Section::open("`limits`", value, keys::QUOTA, findings)?;
    let mut quota = any(&edge.calendar.zone);
    for (key, target) in [("to", &mut quota.to), ("caller", &mut quota.caller)] {
        let patterns = table.read(key, findings, |key, value, f| values::one_or_list(key, value, f, routes::pattern));
        for (pattern, span) in patterns.into_iter().flatten() {
            number_form(key, &pattern, span.clone(), &edge.numbers, findings);
            national_beginning(key, &pattern, span, &edge.numbers, findings);
            target.push(pattern);
        }
    }
    for (key, target) in [
        ("max_calls", &mut quota.max_calls),
        ("calls_per_second", &mut quota.calls_per_second),
        ("calls_per_day", &mut quota.calls_per_day),
    ] {
        *target = table.read(key, findings, number).unwrap_or(0);
    }
    if [quota.max_calls, quota.calls_per_second, quota.calls_per_day] == [0; 3] {
        let help = "add max_calls, calls_per_second or calls_per_day";
        findings.error(code::MISSING, value.span(), "an entry of `limits` without a limit", help);
        return None;
    }
    Some(quota)
}

fn number(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<u32> {
    values::integer(key, value, findings, 0..=u32::MAX)
}

/// Warns of prefixes that match only numbers without a country code, unless the list has the form with `+` as well.
fn allowed(prefixes: &[(String, SourceSpan)], numbers: &NumberingPlan, findings: &mut Findings) {
    for (prefix, span) in prefixes {
        if !prefixes.iter().any(|(other, _)| other.strip_prefix('+') == Some(prefix)) {
            let pattern = Pattern::Prefix(prefix.clone());
            national_beginning("allow_prefixes", &pattern, span.clone(), numbers, findings);
        }
    }
}

/// Reads a prefix: `+44` or `+44*`.
fn prefix(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<String> {
    let text = values::string(key, value, findings)?;
    let prefix = text.strip_suffix('*').unwrap_or(&text);
    let digits = prefix.strip_prefix('+').unwrap_or(prefix);
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
        let message = format!("`{key}`: \"{text}\" is not a number prefix");
        findings.error(code::BAD_VALUE, value.span(), message, "use `+` and digits: \"+1\" or \"+4420\"");
        return None;
    }
    Some(prefix.to_owned())
}
