//! Reads `[[route]]` tables into routes.

use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;
use trunkgate_call::limits::{LISTENERS_PER_CALL, SIPREC_PER_CALL};
use trunkgate_route::{Pattern, Route, SEARCH_TIMEOUT, SiprecSettings, TrunkOrder};

use super::code;
use super::diagnostic::Findings;
use super::draft::{SourceSpan, SpannedRoute, TargetSpan};
use super::keys;
use super::section::{Section, SpannedValue};
use super::targets::TargetScope;
use super::types::EdgeConfig;
use super::{caller_id, headers, hours, sms, targets, values};

/// Reads all routes in file order.
pub(super) fn read<'a>(
    value: &'a SpannedValue<'a>,
    edge: &EdgeConfig,
    means: TargetScope<'_>,
    texts_to: &[String],
    findings: &mut Findings,
) -> Vec<SpannedRoute> {
    let DeValue::Array(array) = value.get_ref() else {
        values::wrong_type("route", value, "tables with double brackets: [[route]]", findings);
        return Vec::new();
    };
    let read = |(at, value): (usize, &'a SpannedValue<'a>)| read_one(at + 1, value, edge, (means, texts_to), findings);
    array.iter().enumerate().filter_map(read).collect()
}

fn read_one<'a>(
    position: usize,
    value: &'a SpannedValue<'a>,
    edge: &EdgeConfig,
    (means, texts_to): (TargetScope<'_>, &[String]),
    findings: &mut Findings,
) -> Option<SpannedRoute> {
    let section = Section::open("[[route]]", value, keys::ROUTE, findings)?;
    let name = section.read("name", findings, values::name).unwrap_or_else(|| format!("route-{position}"));
    let mut is_partial = false;
    let from = conditions(&section, "from", findings, &mut is_partial, values::string);
    let to = conditions(&section, "to", findings, &mut is_partial, pattern);
    let caller = conditions(&section, "caller", findings, &mut is_partial, pattern);
    let when = |key: &str, value: &SpannedValue<'_>, f: &mut Findings| hours::read(key, value, &edge.calendar, f);
    let when = conditions(&section, "when", findings, &mut is_partial, when);
    let header = section.get("header").map(|value| headers::conditions("header", value, findings, &mut is_partial));
    let share = condition(&section, "share", findings, &mut is_partial, percent);
    let file = condition(&section, "routes_file", findings, &mut is_partial, file_name);
    let connect = connect(&section, (&name, file.is_some()), means, findings);
    let order = section.read("order", findings, targets::order).unwrap_or_default();
    if let Some(value) = section.get("order").filter(|_| order == TrunkOrder::AnswerRatio && file.is_none()) {
        targets::order_decides(connect.iter().map(|(target, _)| target), value.span(), findings);
    }
    let fork = listeners(&section, findings);
    let mut is_on = |key: &str| section.read(key, findings, values::boolean).unwrap_or(false);
    let (on_busy, record) = (is_on("on_busy"), is_on("record"));
    let siprec = recorders(&section, findings);
    let ring_timeout = section.read("ring_timeout", findings, values::duration);
    let caller_id =
        section.read("caller_id", findings, |key, value, f| caller_id::number(key, value, &edge.numbers, f));
    let search_timeout = section.read("search_timeout", findings, values::duration).unwrap_or(SEARCH_TIMEOUT);
    let text = section.read("sms_on_failure", findings, |key, value, f| sms::rule(key, value, edge, texts_to, f));
    let (from, from_spans) = from.into_iter().unzip();
    let (to, to_spans) = to.into_iter().unzip();
    let (caller, caller_spans) = caller.into_iter().unzip();
    let (fork, fork_spans) = fork.into_iter().unzip();
    let by_ratio = TargetSpan::by_ratio(connect.iter().map(|(_, place)| place));
    let (connect, connect_places) = connect.into_iter().unzip();
    Some(SpannedRoute {
        route: Route {
            from,
            to,
            caller,
            header: header.unwrap_or_default(),
            when: when.into_iter().map(|(hours, _)| hours).collect(),
            share: share.and_then(|share| u8::try_from(share).ok()).unwrap_or(100),
            order,
            by_ratio,
            fork,
            record,
            siprec: siprec.0,
            on_busy,
            ring_timeout,
            caller_id: caller_id.map(Arc::new),
            search_timeout,
            sms: text.map(Arc::new),
            ..Route::named(&name, connect)
        },
        name: section.get("name").map_or(section.span.clone(), Spanned::span),
        from: from_spans,
        to: to_spans,
        caller: caller_spans,
        connect: connect_places,
        fork: fork_spans,
        siprec: siprec.1,
        file,
        sms: section.get("sms_on_failure").map(Spanned::span),
        is_partial,
    })
}

/// Reads a key that restricts the matched calls; sets `is_partial` if it is invalid.
fn condition<'a, T>(
    section: &Section<'a>,
    key: &str,
    findings: &mut Findings,
    is_partial: &mut bool,
    read: impl FnOnce(&str, &'a SpannedValue<'a>, &mut Findings) -> Option<T>,
) -> Option<T> {
    let value = section.get(key)?;
    let found = read(key, value, findings);
    *is_partial |= found.is_none();
    found
}

/// Reads the targets of a route; they are optional if the route has a routes file.
fn connect<'a>(
    section: &Section<'a>,
    (name, has_file): (&str, bool),
    means: TargetScope<'_>,
    findings: &mut Findings,
) -> Vec<targets::SpannedTarget> {
    match section.get("connect") {
        Some(value) => targets::connect(value, means, findings),
        None if has_file || section.misspells(&["connect"], keys::ROUTE) => Vec::new(),
        None => {
            let message = format!("route {name} has no `connect`");
            findings.error(code::MISSING, section.span.clone(), message, "add connect = [\"trunk:NAME\"]");
            Vec::new()
        }
    }
}

/// Reads `routes_file` with its position.
fn file_name(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<(String, SourceSpan)> {
    let written = values::string(key, value, findings)?;
    if written.is_empty() {
        let help = "use a CSV file: routes_file = \"numbers.csv\"";
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is empty"), help);
        return None;
    }
    Some((written, value.span()))
}

/// Reads `fork`: the listeners of the route, limited in number.
fn listeners(section: &Section<'_>, findings: &mut Findings) -> Vec<(String, SourceSpan)> {
    let fork =
        section.read("fork", findings, |key, value, findings| values::one_or_list(key, value, findings, listener));
    if let (Some(value), true) =
        (section.get("fork"), fork.as_ref().is_some_and(|list| list.len() > LISTENERS_PER_CALL))
    {
        let help = format!("{LISTENERS_PER_CALL} at most");
        findings.error(code::BAD_VALUE, value.span(), "`fork`: too many listeners", help);
    }
    fork.unwrap_or_default()
}

/// Reads `siprec`: the recording servers of the route, limited in number and without duplicates.
fn recorders(section: &Section<'_>, findings: &mut Findings) -> (Vec<Arc<str>>, Vec<SourceSpan>) {
    let Some(value) = section.get("siprec") else { return (Vec::new(), Vec::new()) };
    let written = values::one_or_list("siprec", value, findings, values::string).unwrap_or_default();
    if written.len() > SIPREC_PER_CALL {
        let help = format!("{SIPREC_PER_CALL} at most");
        findings.error(code::BAD_VALUE, value.span(), "`siprec`: too many recording servers", help);
    }
    let (mut names, mut spans): (Vec<Arc<str>>, Vec<SourceSpan>) = (Vec::new(), Vec::new());
    for (name, span) in written {
        let trunk = Arc::from(SiprecSettings::trunk_name(&name));
        if names.contains(&trunk) {
            findings.error(code::DUPLICATE, span, format!("`siprec` has {name} twice"), "list each name once");
        } else {
            names.push(trunk);
            spans.push(span);
        }
    }
    (names, spans)
}

/// Reads a percentage.
pub(super) fn percent(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<u32> {
    if value.get_ref().as_integer().is_none() {
        let message = format!("`{key}` is not a percentage");
        findings.error(code::WRONG_TYPE, value.span(), message, "use 1 to 100: share = 10");
        return None;
    }
    values::integer(key, value, findings, 1..=100)
}

/// Reads the name of a listener agent.
pub(super) fn listener(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<String> {
    let text = values::string(key, value, findings)?;
    let name = text.strip_prefix("agent:").filter(|name| !name.is_empty());
    if name.is_none() {
        let help = if text.starts_with("rtp://") || text.starts_with("ws://") || text.starts_with("wss://") {
            format!("write url = \"{text}\" in [agent.NAME], and \"agent:NAME\" here")
        } else if text.is_empty() || text.contains(':') {
            "agent:NAME".to_owned()
        } else {
            format!("did you mean \"agent:{text}\"?")
        };
        findings.error(code::BAD_TARGET, value.span(), format!("`{key}`: \"{text}\" cannot listen"), help);
    }
    name.map(str::to_owned)
}

/// Reads a list of conditions. An empty list is rejected, because its meaning (nothing or anything) would be unclear.
fn conditions<'a, T>(
    section: &Section<'a>,
    key: &str,
    findings: &mut Findings,
    is_partial: &mut bool,
    item: impl FnMut(&str, &'a SpannedValue<'a>, &mut Findings) -> Option<T>,
) -> Vec<(T, SourceSpan)> {
    let Some(value) = section.get(key) else { return Vec::new() };
    let written = value.get_ref().as_array().map_or(1, |list| list.len());
    if written == 0 {
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is empty"), "remove it to match any");
    }
    let read = values::one_or_list(key, value, findings, item).unwrap_or_default();
    *is_partial |= written == 0 || read.len() < written;
    read
}

pub(super) fn pattern(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Pattern> {
    let text = values::string(key, value, findings)?;
    match Pattern::parse(&text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let message = format!("`{key}`: \"{text}\" is not a pattern");
            findings.error(code::BAD_PATTERN, value.span(), message, error.message);
            None
        }
    }
}
