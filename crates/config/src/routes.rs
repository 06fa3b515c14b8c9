//! Reads `[[route]]` tables into routes.

use std::sync::Arc;

use trunkgate_call::limits::{LISTENERS_PER_CALL, SIPREC_PER_CALL};
use trunkgate_route::{Pattern, Route, SEARCH_TIMEOUT, SiprecSettings, TrunkOrder};

use super::code;
use super::diagnostic::Findings;
use super::draft::{SourceSpan, SpannedRoute, TargetSpan};
use super::keys;
use super::section::Section;
use super::values::KeyReader;
use super::{caller_id, headers, hours, sms, targets};

/// Reads all routes in file order.
pub(super) fn read(root: &Section<'_>, findings: &mut Findings) -> Vec<SpannedRoute> {
    let sections = root.rows("route", keys::ROUTE, findings);
    (1..).zip(&sections).map(|(position, section)| read_one(position, section, findings)).collect()
}

fn read_one(position: usize, section: &Section<'_>, findings: &mut Findings) -> SpannedRoute {
    let name = section.read("name", findings, |reader| reader.name()).unwrap_or_else(|| format!("route-{position}"));
    let mut is_partial = false;
    let from = conditions(section, "from", findings, &mut is_partial, |reader| reader.string());
    let to = conditions(section, "to", findings, &mut is_partial, pattern);
    let caller = conditions(section, "caller", findings, &mut is_partial, pattern);
    let when = conditions(section, "when", findings, &mut is_partial, hours::read);
    let header = section.read("header", findings, |reader| headers::conditions(reader, &mut is_partial));
    let share = condition(section, "share", findings, &mut is_partial, percent);
    let file = condition(section, "routes_file", findings, &mut is_partial, file_name);
    let connect = connect(section, (&name, file.is_some()), findings);
    let order = section.read("order", findings, targets::order).unwrap_or_default();
    if let Some(value) = section.get("order").filter(|_| order == TrunkOrder::AnswerRatio && file.is_none()) {
        targets::order_decides(connect.iter().map(|(target, _)| target), value.span(), findings);
    }
    let fork = listeners(section, findings);
    let mut is_on = |key: &str| section.read(key, findings, |reader| reader.boolean()).unwrap_or(false);
    let (on_busy, record) = (is_on("on_busy"), is_on("record"));
    let siprec = recorders(section, findings);
    let ring_timeout = section.read("ring_timeout", findings, |reader| reader.duration());
    let caller_id = section.read("caller_id", findings, caller_id::number);
    let search_timeout = section.read("search_timeout", findings, |reader| reader.duration()).unwrap_or(SEARCH_TIMEOUT);
    let text = section.read("sms_on_failure", findings, sms::rule);
    let (from, from_spans) = from.into_iter().unzip();
    let (to, to_spans) = to.into_iter().unzip();
    let (caller, caller_spans) = caller.into_iter().unzip();
    let (fork, fork_spans) = fork.into_iter().unzip();
    let by_ratio = TargetSpan::by_ratio(connect.iter().map(|(_, place)| place));
    let (connect, connect_places) = connect.into_iter().unzip();
    SpannedRoute {
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
        name: section.span_of("name").unwrap_or_else(|| section.span.clone()),
        from: from_spans,
        to: to_spans,
        caller: caller_spans,
        connect: connect_places,
        fork: fork_spans,
        siprec: siprec.1,
        file,
        sms: section.span_of("sms_on_failure"),
        is_partial,
    }
}

/// Reads a key that restricts the matched calls; sets `is_partial` if it is invalid.
fn condition<T>(
    section: &Section<'_>,
    key: &str,
    findings: &mut Findings,
    is_partial: &mut bool,
    read: impl FnOnce(&mut KeyReader<'_>) -> Option<T>,
) -> Option<T> {
    let found = section.read(key, findings, read);
    *is_partial |= found.is_none() && section.get(key).is_some();
    found
}

/// Reads the targets of a route; they are optional if the route has a routes file.
fn connect(
    section: &Section<'_>,
    (name, has_file): (&str, bool),
    findings: &mut Findings,
) -> Vec<targets::SpannedTarget> {
    if section.get("connect").is_none() && !has_file && !section.misspells(&["connect"], keys::ROUTE) {
        let message = format!("route {name} has no `connect`");
        findings.error(code::MISSING, section.span.clone(), message, "add connect = [\"trunk:NAME\"]");
    }
    section.read("connect", findings, |reader| Some(targets::connect(reader))).unwrap_or_default()
}

/// Reads `routes_file` with its position.
fn file_name(reader: &mut KeyReader<'_>) -> Option<(String, SourceSpan)> {
    let written = reader.string()?;
    if written.is_empty() {
        let help = "use a CSV file: routes_file = \"numbers.csv\"";
        return reader.reject(code::BAD_VALUE, "is empty", help);
    }
    Some((written, reader.span()))
}

/// Reads `fork`: the listeners of the route, limited in number.
fn listeners(section: &Section<'_>, findings: &mut Findings) -> Vec<(String, SourceSpan)> {
    let fork = section.read("fork", findings, |reader| {
        let fork = reader.one_or_list(listener)?;
        if fork.len() > LISTENERS_PER_CALL {
            reader.error(code::BAD_VALUE, ": too many listeners", format!("{LISTENERS_PER_CALL} at most"));
        }
        Some(fork)
    });
    fork.unwrap_or_default()
}

/// Reads `siprec`: the recording servers of the route, limited in number and without duplicates.
fn recorders(section: &Section<'_>, findings: &mut Findings) -> (Vec<Arc<str>>, Vec<SourceSpan>) {
    let written = section.read("siprec", findings, |reader| {
        let written = reader.one_or_list(|reader| reader.string())?;
        if written.len() > SIPREC_PER_CALL {
            reader.error(code::BAD_VALUE, ": too many recording servers", format!("{SIPREC_PER_CALL} at most"));
        }
        Some(written)
    });
    let (mut names, mut spans): (Vec<Arc<str>>, Vec<SourceSpan>) = (Vec::new(), Vec::new());
    for (name, span) in written.into_iter().flatten() {
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
pub(super) fn percent(reader: &mut KeyReader<'_>) -> Option<u32> {
    if reader.value.get_ref().as_integer().is_none() {
        return reader.reject(code::WRONG_TYPE, "is not a percentage", "use 1 to 100: share = 10");
    }
    reader.integer(1..=100)
}

/// Reads the name of a listener agent.
pub(super) fn listener(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let name = text.strip_prefix("agent:").filter(|name| !name.is_empty());
    if name.is_none() {
        let help = if text.starts_with("rtp://") || text.starts_with("ws://") || text.starts_with("wss://") {
            format!("write url = \"{text}\" in [agent.NAME], and \"agent:NAME\" here")
        } else if text.is_empty() || text.contains(':') {
            "agent:NAME".to_owned()
        } else {
            format!("did you mean \"agent:{text}\"?")
        };
        reader.error(code::BAD_TARGET, format!(": \"{text}\" cannot listen"), help);
    }
    name.map(str::to_owned)
}

/// Reads a list of conditions. An empty list is rejected, because its meaning (nothing or anything) would be unclear.
fn conditions<T>(
    section: &Section<'_>,
    key: &str,
    findings: &mut Findings,
    is_partial: &mut bool,
    item: impl FnMut(&mut KeyReader<'_>) -> Option<T>,
) -> Vec<(T, SourceSpan)> {
    let read = section.read(key, findings, |reader| {
        if reader.is_empty_list() {
            reader.error(code::BAD_VALUE, "is empty", "remove it to match any");
        }
        let written = reader.written_items();
        let read = reader.one_or_list(item).unwrap_or_default();
        *is_partial |= written == 0 || read.len() < written;
        Some(read)
    });
    read.unwrap_or_default()
}

pub(super) fn pattern(reader: &mut KeyReader<'_>) -> Option<Pattern> {
    let text = reader.string()?;
    let what = format!(": \"{text}\" is not a pattern");
    Pattern::parse(&text).map_err(|error| reader.error(code::BAD_PATTERN, what, error.message)).ok()
}
