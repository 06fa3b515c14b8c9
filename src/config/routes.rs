//! `[[route]]` turned into routes and their targets.

use std::sync::Arc;

use toml::Spanned;
use toml::de::DeValue;
use trunkgate_call::limits::LISTENERS_PER_CALL;
use trunkgate_route::{Numbers, Pattern, Route, TargetSpec};

use super::code;
use super::diagnostic::{Findings, nearest};
use super::draft::{PlacedRoute, Span};
use super::keys;
use super::schema::not_yet;
use super::section::{Section, Value};
use super::trunks::{SipAddress, sip_uri};
use super::values;

/// Kinds of targets that are still to come.
const LATER_TARGETS: [(&str, &str); 3] =
    [("app", "webhook applications"), ("group", "groups of targets"), ("play", "playing of files")];

/// All routes in the order of the file.
pub(super) fn read<'a>(value: &'a Value<'a>, numbers: &Numbers, findings: &mut Findings) -> Vec<PlacedRoute> {
    let DeValue::Array(array) = value.get_ref() else {
        values::wrong_type("route", value, "tables with double brackets: [[route]]", findings);
        return Vec::new();
    };
    let read = |(at, value): (usize, &'a Value<'a>)| read_one(at + 1, value, numbers, findings);
    array.iter().enumerate().filter_map(read).collect()
}

fn read_one<'a>(
    position: usize,
    value: &'a Value<'a>,
    numbers: &Numbers,
    findings: &mut Findings,
) -> Option<PlacedRoute> {
    let section = Section::open("[[route]]", value, keys::ROUTE, findings)?;
    let name = section.read("name", findings, values::name).unwrap_or_else(|| format!("route-{position}"));
    let mut is_partial = section.get("when").is_some();
    let from = conditions(&section, "from", findings, &mut is_partial, values::string);
    let to = conditions(&section, "to", findings, &mut is_partial, pattern);
    let caller = conditions(&section, "caller", findings, &mut is_partial, pattern);
    let connect = match section.get("connect") {
        Some(value) => {
            let read = |key: &str, value: &'a Value<'a>, findings: &mut Findings| {
                let text = values::string(key, value, findings)?;
                target(&text, value.span(), numbers, findings)
            };
            if value.get_ref().as_array().is_some_and(|list| list.is_empty()) {
                findings.error(
                    code::MISSING,
                    value.span(),
                    "`connect` is empty",
                    "where the call goes: \"trunk:NAME\"",
                );
            }
            values::one_or_list("connect", value, findings, read).unwrap_or_default()
        }
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
    let (connect, connect_spans) = connect.into_iter().unzip();
    Some(PlacedRoute {
        route: Route { name: Arc::from(name), from, to, caller, connect, fork, on_busy, ring_timeout },
        name: section.get("name").map_or(section.span.clone(), Spanned::span),
        from: from_spans,
        to: to_spans,
        caller: caller_spans,
        connect: connect_spans,
        fork: fork_spans,
        is_partial,
    })
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
            let SipAddress { destination, .. } = sip_uri(text, "a target", span, findings)?;
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
                _ => "trunk:NAME, trunk:NAME/NUMBER, agent:NAME, sip:URI or reject:CODE".to_owned(),
            };
            findings.error(code::BAD_TARGET, span, format!("\"{text}\" is not a target"), help);
            None
        }
    }
}

fn trunk_target(text: &str, rest: &str, span: Span, numbers: &Numbers, findings: &mut Findings) -> Option<TargetSpec> {
    if rest.contains('@') {
        not_yet(span, "a target's @WEIGHT", "shares between targets", findings);
        return None;
    }
    let (name, number) = match rest.split_once('/') {
        Some((name, number)) => (name, Some(number)),
        None => (rest, None),
    };
    if name.is_empty() {
        findings.error(code::BAD_TARGET, span, format!("\"{text}\" names no trunk"), "trunk:NAME");
        return None;
    }
    if number.is_some_and(|number| numbers.normalise(number, None).is_err()) {
        let message = format!("\"{text}\": no number can be called so");
        findings.error(code::BAD_TARGET, span, message, "as trunk:NAME/+14155551234");
        return None;
    }
    Some(TargetSpec::Trunk { name: name.to_owned(), number: number.map(str::to_owned) })
}
