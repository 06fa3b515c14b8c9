//! `[[route]]` turned into routes and their targets.

use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;
use trunkgate_call::limits::{LISTENERS_PER_CALL, RING_ALL_TARGETS};
use trunkgate_route::captured::filled;
use trunkgate_route::{Numbers, Pattern, Route, TargetSpec};

use super::code;
use super::diagnostic::{Findings, nearest};
use super::draft::{PlacedRoute, Span, TargetPlace};
use super::keys;
use super::schema::not_yet;
use super::section::{Section, Value};
use super::trunks::{SipAddress, sip_uri};
use super::types::Edge;
use super::{headers, hours, values};

/// Kinds of targets that are still to come.
const LATER_TARGETS: [(&str, &str); 3] =
    [("app", "webhook applications"), ("group", "groups of targets"), ("play", "playing of files")];

/// All routes in the order of the file.
pub(super) fn read<'a>(value: &'a Value<'a>, edge: &Edge, findings: &mut Findings) -> Vec<PlacedRoute> {
    let DeValue::Array(array) = value.get_ref() else {
        values::wrong_type("route", value, "tables with double brackets: [[route]]", findings);
        return Vec::new();
    };
    let read = |(at, value): (usize, &'a Value<'a>)| read_one(at + 1, value, edge, findings);
    array.iter().enumerate().filter_map(read).collect()
}

fn read_one<'a>(position: usize, value: &'a Value<'a>, edge: &Edge, findings: &mut Findings) -> Option<PlacedRoute> {
    let numbers = &edge.numbers;
    let section = Section::open("[[route]]", value, keys::ROUTE, findings)?;
    let name = section.read("name", findings, values::name).unwrap_or_else(|| format!("route-{position}"));
    let mut is_partial = false;
    let from = conditions(&section, "from", findings, &mut is_partial, values::string);
    let to = conditions(&section, "to", findings, &mut is_partial, pattern);
    let caller = conditions(&section, "caller", findings, &mut is_partial, pattern);
    let when = |key: &str, value: &Value<'_>, f: &mut Findings| hours::read(key, value, &edge.calendar, f);
    let when = conditions(&section, "when", findings, &mut is_partial, when);
    let header = section.get("header").map(|value| headers::conditions("header", value, findings, &mut is_partial));
    let share = section.read("share", findings, |key, value, f| values::integer(key, value, f, 1..=100));
    is_partial |= share.is_none() && section.get("share").is_some();
    let connect = match section.get("connect") {
        Some(_) => targets(&section, numbers, findings),
        None => {
            let message = format!("the route {name} has no `connect`");
            findings.error(code::MISSING, section.span.clone(), message, "add connect = [\"trunk:NAME\"]");
            Vec::new()
        }
    };
    let fork =
        section.read("fork", findings, |key, value, findings| values::one_or_list(key, value, findings, listener));
    if let (Some(value), true) =
        (section.get("fork"), fork.as_ref().is_some_and(|list| list.len() > LISTENERS_PER_CALL))
    {
        let help = format!("{LISTENERS_PER_CALL} at most");
        findings.error(code::BAD_VALUE, value.span(), "`fork`: too many listeners", help);
    }
    let on_busy = section.read("on_busy", findings, values::boolean).unwrap_or(false);
    let ring_timeout = section.read("ring_timeout", findings, values::duration);
    let (from, from_spans) = from.into_iter().unzip();
    let (to, to_spans) = to.into_iter().unzip();
    let (caller, caller_spans) = caller.into_iter().unzip();
    let (fork, fork_spans) = fork.unwrap_or_default().into_iter().unzip();
    let place = |((target, members), span)| (target, TargetPlace { span, members });
    let (connect, connect_places) = connect.into_iter().map(place).unzip();
    Some(PlacedRoute {
        route: Route {
            name: Arc::from(name),
            from,
            to,
            caller,
            header: header.unwrap_or_default(),
            when: when.into_iter().map(|(hours, _)| hours).collect(),
            share: share.and_then(|share| u8::try_from(share).ok()).unwrap_or(100),
            connect,
            fork,
            on_busy,
            ring_timeout,
        },
        name: section.get("name").map_or(section.span.clone(), Spanned::span),
        from: from_spans,
        to: to_spans,
        caller: caller_spans,
        connect: connect_places,
        fork: fork_spans,
        is_partial,
    })
}

/// `connect`, each with its place and those of its members.
fn targets<'a>(
    section: &Section<'a>,
    numbers: &Numbers,
    findings: &mut Findings,
) -> Vec<((TargetSpec, Vec<Span>), Span)> {
    let Some(value) = section.get("connect") else { return Vec::new() };
    let read = |key: &str, value: &'a Value<'a>, findings: &mut Findings| {
        if value.get_ref().is_table() {
            return ring_all(value, numbers, findings);
        }
        let text = values::string(key, value, findings)?;
        Some((target(&text, value.span(), numbers, findings)?, Vec::new()))
    };
    if value.get_ref().as_array().is_some_and(|list| list.is_empty()) {
        let help = "where the call goes: \"trunk:NAME\"";
        findings.error(code::MISSING, value.span(), "`connect` is empty", help);
    }
    values::one_or_list("connect", value, findings, read).unwrap_or_default()
}

/// The name of an agent that is to listen.
fn listener(key: &str, value: &Value<'_>, findings: &mut Findings) -> Option<String> {
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

/// A list of conditions. An empty list would match nothing, or anything: it is refused.
fn conditions<'a, T>(
    section: &Section<'a>,
    key: &str,
    findings: &mut Findings,
    is_partial: &mut bool,
    item: impl FnMut(&str, &'a Value<'a>, &mut Findings) -> Option<T>,
) -> Vec<(T, Span)> {
    let Some(value) = section.get(key) else { return Vec::new() };
    let written = value.get_ref().as_array().map_or(1, |list| list.len());
    if written == 0 {
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is empty"), "leave it out to match any");
    }
    let read = values::one_or_list(key, value, findings, item).unwrap_or_default();
    *is_partial |= written == 0 || read.len() < written;
    read
}

pub(super) fn pattern(key: &str, value: &Value<'_>, findings: &mut Findings) -> Option<Pattern> {
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

fn target(text: &str, span: Span, numbers: &Numbers, findings: &mut Findings) -> Option<TargetSpec> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "trunk" => trunk_target(text, rest, span, numbers, findings),
        "sip" | "sips" => {
            // Pieces may stand in the user part only: where a call goes is not a caller's to say.
            let (user, host) = text.split_once('@').unwrap_or(("", text));
            let plain =
                if user.is_empty() { text.to_owned() } else { format!("{}@{host}", filled(user, |_| "0".to_owned())) };
            let SipAddress { destination, .. } = sip_uri(&plain, "a target", span, findings)?;
            Some(TargetSpec::Uri { uri: text.to_owned(), destination })
        }
        "agent" if rest.is_empty() => {
            findings.error(code::BAD_TARGET, span, format!("\"{text}\" names no agent"), "agent:NAME");
            None
        }
        "agent" => Some(TargetSpec::Agent(rest.to_owned())),
        "reject" => {
            let code = rest.parse::<u16>().ok().filter(|code| (300..=699).contains(code));
            if code.is_none() {
                let message = format!("\"{text}\" is not an answer");
                findings.error(code::BAD_TARGET, span, message, "reject:CODE with a code from 300 to 699");
            }
            code.map(TargetSpec::Reject)
        }
        _ => {
            if let Some((_, feature)) = LATER_TARGETS.iter().find(|(later, _)| *later == kind) {
                not_yet(span, &format!("the target {kind}:"), feature, findings);
                return None;
            }
            let kinds = ["trunk", "agent", "sip", "reject"].into_iter();
            let help = match nearest(kind, kinds.chain(LATER_TARGETS.iter().map(|(later, _)| *later))) {
                Some(known) if !rest.is_empty() => format!("did you mean \"{known}:{rest}\"?"),
                // The commonest slip is a name alone.
                _ if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) => {
                    format!("did you mean \"trunk:{text}\" or \"agent:{text}\"?")
                }
                _ => {
                    "trunk:NAME, trunk:NAME/NUMBER, agent:NAME, sip:URI, reject:CODE or { ring_all = [...] }".to_owned()
                }
            };
            findings.error(code::BAD_TARGET, span, format!("\"{text}\" is not a target"), help);
            None
        }
    }
}

/// `{ ring_all = [...] }`, with the place of each.
fn ring_all<'a>(value: &'a Value<'a>, numbers: &Numbers, findings: &mut Findings) -> Option<(TargetSpec, Vec<Span>)> {
    let section = Section::open("a target", value, keys::RING_ALL, findings)?;
    let Some(list) = section.get("ring_all") else {
        let help = "{ ring_all = [\"trunk:a\", \"trunk:b\"] }";
        findings.error(code::BAD_TARGET, value.span(), "a table that is no target", help);
        return None;
    };
    let DeValue::Array(written) = list.get_ref() else {
        values::wrong_type("ring_all", list, "a list of targets", findings);
        return None;
    };
    if written.is_empty() {
        findings.error(code::MISSING, list.span(), "`ring_all` is empty", "who rings: [\"trunk:a\", \"trunk:b\"]");
    }
    if written.len() > RING_ALL_TARGETS {
        let help = format!("{RING_ALL_TARGETS} at most");
        findings.error(code::BAD_VALUE, list.span(), "`ring_all`: too many targets at once", help);
    }
    let (mut targets, mut spans) = (Vec::new(), Vec::new());
    for value in written {
        let Some(target) = rings(value, numbers, findings) else { continue };
        if targets.contains(&target) {
            let message = "`ring_all` names a target twice";
            findings.error(code::BAD_TARGET, value.span(), message, "each once: one call rings it");
            continue;
        }
        targets.push(target);
        spans.push(value.span());
    }
    Some((TargetSpec::RingAll(targets), spans))
}

/// One of those that ring at once.
fn rings(value: &Value<'_>, numbers: &Numbers, findings: &mut Findings) -> Option<TargetSpec> {
    if value.get_ref().is_table() || value.get_ref().is_array() {
        let message = "`ring_all` in `ring_all`";
        findings.error(code::BAD_TARGET, value.span(), message, "one list of all that ring at once");
        return None;
    }
    let text = values::string("ring_all", value, findings)?;
    let help = match target(&text, value.span(), numbers, findings)? {
        TargetSpec::Trunk { weight: Some(_), .. } => "a weight says who is first, and here all are: leave it out",
        TargetSpec::Agent(_) => "an agent takes the call as soon as it is there: name it before or behind the table",
        TargetSpec::Reject(_) => "name it behind the table",
        rings @ (TargetSpec::Trunk { .. } | TargetSpec::Uri { .. } | TargetSpec::RingAll(_)) => return Some(rings),
    };
    findings.error(code::BAD_TARGET, value.span(), format!("`ring_all`: \"{text}\" cannot ring"), help);
    None
}

fn trunk_target(text: &str, rest: &str, span: Span, numbers: &Numbers, findings: &mut Findings) -> Option<TargetSpec> {
    let (rest, weight) = match rest.rsplit_once('@') {
        None => (rest, None),
        Some((rest, written)) => {
            let Ok(weight) = written.parse::<u16>() else {
                let message = format!("\"{text}\": \"{written}\" is no weight");
                findings.error(code::BAD_TARGET, span, message, "as trunk:NAME@70, from 0 to 65535");
                return None;
            };
            (rest, Some(weight))
        }
    };
    let (name, number) = match rest.split_once('/') {
        Some((name, number)) => (name, Some(number)),
        None => (rest, None),
    };
    if name.is_empty() {
        findings.error(code::BAD_TARGET, span, format!("\"{text}\" names no trunk"), "trunk:NAME");
        return None;
    }
    // Pieces of the call's numbers stand for digits.
    if number.is_some_and(|number| numbers.normalise(&filled(number, |_| "0".to_owned()), None).is_err()) {
        let message = format!("\"{text}\": no number can be called so");
        findings.error(code::BAD_TARGET, span, message, "as trunk:NAME/+14155551234");
        return None;
    }
    Some(TargetSpec::Trunk { name: name.to_owned(), number: number.map(str::to_owned), weight })
}
