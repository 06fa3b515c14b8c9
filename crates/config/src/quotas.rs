//! `allow_prefixes`, `high_risk`, `limits` and `calls_per_day` of a trunk: permitted destinations and call quotas.

use jiff::tz::TimeZone;
use trunkgate_route::{Pattern, Quota, Trunk};

use super::code;
use super::diagnostic::Findings;
use super::number_form::{national_beginning, number_form};
use super::section::Section;
use super::values::KeyReader;
use super::{emergency, keys, routes};

/// Maximum number of `limits` of a trunk; each call is checked against all of them.
const LIMITS: usize = 100;

/// Values of `high_risk`.
const HIGH_RISK: [(&str, bool); 2] = [("refuse", false), ("allow", true)];

/// Reads all quota keys of a trunk; `preset` is its preset.
pub(super) fn read(section: &Section<'_>, trunk: &mut Trunk, preset: Option<&str>, findings: &mut Findings) {
    let has_phones = trunk.accept_register || preset.is_some_and(emergency::is_of_phones);
    let words = section.read("high_risk", findings, |reader| reader.one_of(&HIGH_RISK));
    trunk.takes_high_risk = words.unwrap_or(has_phones);
    trunk.allow_prefixes = section.read("allow_prefixes", findings, allowed).unwrap_or_default();
    let zone = &section.scope().edge.calendar.zone;
    trunk.quotas = section.read("limits", findings, |reader| reader.items(limit)).unwrap_or_default();
    if let Some(span) = section.span_of("limits").filter(|_| trunk.quotas.len() > LIMITS) {
        findings.error(code::BAD_VALUE, span, "`limits` has too many entries", format!("{LIMITS} at most"));
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
fn limit(reader: &mut KeyReader<'_>) -> Option<Quota> {
    let table = reader.section(keys::QUOTA)?;
    let (edge, findings) = (reader.scope.edge, &mut *reader.findings);
    let mut quota = any(&edge.calendar.zone);
    for (key, target) in [("to", &mut quota.to), ("caller", &mut quota.caller)] {
        let patterns = table.read(key, findings, |reader| reader.one_or_list(routes::pattern));
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
        findings.error(code::MISSING, table.span, "an entry of `limits` without a limit", help);
        return None;
    }
    Some(quota)
}

fn number(reader: &mut KeyReader<'_>) -> Option<u32> {
    reader.integer(0..=u32::MAX)
}

/// Reads `allow_prefixes`. Warns of prefixes that match only numbers without a country code, unless the list has the
/// form with `+` as well.
fn allowed(reader: &mut KeyReader<'_>) -> Option<Vec<String>> {
    let prefixes = reader.one_or_list(prefix)?;
    for (prefix, span) in &prefixes {
        if !prefixes.iter().any(|(other, _)| other.strip_prefix('+') == Some(prefix)) {
            let (pattern, numbers) = (Pattern::Prefix(prefix.clone()), &reader.scope.edge.numbers);
            national_beginning("allow_prefixes", &pattern, span.clone(), numbers, reader.findings);
        }
    }
    if reader.is_empty_list() {
        reader.error(code::BAD_VALUE, "is empty", "remove it to allow any; deny = [\"*\"] for none");
    }
    Some(prefixes.into_iter().map(|(prefix, _)| prefix).collect())
}

/// Reads a prefix: `+44` or `+44*`.
fn prefix(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let prefix = text.strip_suffix('*').unwrap_or(&text);
    let digits = prefix.strip_prefix('+').unwrap_or(prefix);
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
        let what = format!(": \"{text}\" is not a number prefix");
        return reader.reject(code::BAD_VALUE, what, "use `+` and digits: \"+1\" or \"+4420\"");
    }
    Some(prefix.to_owned())
}
