//! Reads `[agent.NAME]` tables into agents.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use trunkgate_media::limits::CLEAR_FADE_MOST;
use trunkgate_route::{Agent, NumberingPlan, ParameterTemplate, TransferRule};

use super::caller_id;
use super::code;
use super::cover::{is_telling, told};
use super::diagnostic::Findings;
use super::draft::{SourceSpan, SpannedAgent};
use super::hold;
use super::keys::{self, ReadScope};
use super::number_form::number_form;
use super::queue;
use super::section::{Section, SpannedValue};
use super::values;
use trunkgate_system::agent_url;
use trunkgate_system::certificates::TrustAnchors;
use trunkgate_system::files;
use trunkgate_system::limits::{AGENT_FILE_BYTES, AGENT_PARAMETER_BYTES, AGENT_PARAMETERS};

/// Keys that need a conversation; not available to a listener (agent that only receives plain RTP).
const WITHOUT_CONVERSATION: [&str; 20] = [
    "ca",
    "auth_token",
    "format",
    "parameters",
    "extras",
    "clear_fade",
    "connect_timeout",
    "first_audio_timeout",
    "retry",
    "on_close",
    "ping",
    "probe",
    "max_call",
    "max_sessions",
    "queue",
    "goodbye",
    "answer",
    "hold",
    "allow_callers",
    "transfer_to",
];
/// Help text for an invalid `clear_fade`.
const FADES: &str = "\"10ms\", maximum \"20ms\"; \"0s\" is off";

/// Reads all agents in file order.
pub(super) fn read<'a>(
    value: &'a SpannedValue<'a>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Vec<SpannedAgent> {
    let entries = values::named_tables("agent", value, findings);
    entries.into_iter().filter_map(|(name, value)| read_one(name, value, around, findings)).collect()
}

fn read_one<'a>(
    name: &'a Spanned<std::borrow::Cow<'a, str>>,
    value: &'a SpannedValue<'a>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Option<SpannedAgent> {
    let (text, span) = (name.get_ref().as_ref(), name.span());
    let section = Section::open(&format!("[agent.{text}]"), value, keys::AGENT, findings)?;
    values::name_text("agent", text, span.clone(), findings);
    let url = section.get("url");
    if url.is_none() {
        let message = format!("the agent {text} has no `url`");
        findings.error(code::MISSING, span.clone(), message, "add url = \"wss://agent.example.com/media\"");
    }
    let url = url.and_then(|value| url_of(value, around.local_networks, findings));
    let mut agent = Agent::at(text, url.as_deref().unwrap_or_default());
    keys::fill((keys::AGENT, keys::PUT_AGENT), Some(&section), &mut agent, around, findings);
    if let Some(value) = section.get("ca")
        && agent.url.starts_with("ws:")
    {
        let message = "`ca` has no effect on a ws:// URL";
        findings.warning(code::BAD_VALUE, Some(value.span()), message, "certificates are used with wss:// only");
    }
    if agent.is_raw() {
        for key in WITHOUT_CONVERSATION {
            if let Some(value) = section.get(key) {
                let message = format!("`{key}` has no effect on an rtp:// URL");
                findings.warning(code::BAD_VALUE, Some(value.span()), message, "an RTP listener only receives audio");
            }
        }
    }
    judge_limits(&agent, &section, findings);
    let transfer_to = section.read("transfer_to", findings, |key, value, findings| {
        values::one_or_list(key, value, findings, |key, value, f| transfer_rule(key, value, around.numbers, f))
    });
    let (rules, transfer_to): (Option<Vec<_>>, Vec<SourceSpan>) = match transfer_to {
        Some(entries) => {
            let (rules, spans) = entries.into_iter().unzip();
            (Some(rules), spans)
        }
        None => (None, Vec::new()),
    };
    agent.transfer_to = rules;
    let said = hold::read(&mut agent, &section, around.folder, findings);
    queue::read(&mut agent, &section, findings);
    let hold = section.get("hold").filter(|_| agent.hold.is_some());
    let voice = hold.and_then(|hold| hold.get_ref().as_table()?.get("voice")).map(Spanned::span);
    let url = section.get("url").filter(|_| !agent.url.is_empty()).map(Spanned::span);
    Some(SpannedAgent { agent, url, hold: hold.map(Spanned::span), voice, said, transfer_to })
}

/// Reads one entry of `transfer_to`.
fn transfer_rule(
    key: &str,
    value: &SpannedValue<'_>,
    numbers: &NumberingPlan,
    findings: &mut Findings,
) -> Option<TransferRule> {
    let text = values::string(key, value, findings)?;
    match TransferRule::parse(&text) {
        Ok(rule) => {
            if let Some(pattern) = rule.number() {
                number_form(key, pattern, value.span(), numbers, findings);
            }
            Some(rule)
        }
        Err(what) => {
            let help = "trunk:NAME, trunk:NAME/NUMBER, agent:NAME, sip:*@HOST; * for NAME: any; \"*\" alone: anything";
            findings.error(code::BAD_TARGET, value.span(), format!("`{key}`: \"{}\": {what}", told(&text)), help);
            None
        }
    }
}

/// Reads `clear_fade`: the fade-out time of interrupted audio.
pub(super) fn clear_fade(key: &str, value: &SpannedValue<'_>, findings: &mut Findings) -> Option<Duration> {
    let fade = values::duration_as(key, value, FADES, findings)?;
    if fade > CLEAR_FADE_MOST {
        findings.error(code::BAD_VALUE, value.span(), format!("`{key}` is longer than a packet"), FADES);
    }
    Some(fade)
}

/// Reads `allow_callers`: the set of caller numbers that the agent accepts.
pub(super) fn callers(
    key: &str,
    value: &SpannedValue<'_>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Option<BTreeSet<String>> {
    let numbers = values::one_or_list(key, value, findings, |key, value, findings| {
        caller_id::number(key, value, around.numbers, findings)
    })?;
    Some(numbers.into_iter().map(|(number, _)| number.text).collect())
}

/// Warns of a limit that can never take effect because another one is lower.
fn judge_limits(agent: &Agent, section: &Section<'_>, findings: &mut Findings) {
    if let Some(value) = section.get("max_call")
        && !agent.max_call.is_zero()
        && agent.max_call <= agent.first_audio_timeout
    {
        let message = "`max_call` ends before `first_audio_timeout`: a silent agent is not detected";
        findings.warning(code::BAD_VALUE, Some(value.span()), message, "use a longer `max_call`");
    }
}

/// Reads and checks `url`: the WebSocket address of the agent.
fn url_of(value: &SpannedValue<'_>, local_networks: &[IpNet], findings: &mut Findings) -> Option<String> {
    let text = values::string("url", value, findings)?;
    let span = value.span();
    match agent_url::check(&text, local_networks) {
        Err(fault) => {
            findings.error(code::BAD_URL, span, fault.message, fault.help);
            return None;
        }
        Ok(url) if url.query().is_some() => {
            findings.warning(code::BAD_URL, Some(span), agent_url::QUERY_UNSENT, agent_url::QUERY_HELP);
        }
        Ok(_) => {}
    }
    Some(text)
}

/// Reads a CA bundle (PEM).
pub(super) fn certificates(
    key: &str,
    value: &SpannedValue<'_>,
    around: ReadScope<'_>,
    findings: &mut Findings,
) -> Option<Arc<[u8]>> {
    let path = values::relative_to(around.folder, &values::string(key, value, findings)?);
    let what = match files::read(&path, AGENT_FILE_BYTES) {
        Ok(pem) if pem.len() as u64 > AGENT_FILE_BYTES => format!("more than {} MiB", AGENT_FILE_BYTES >> 20),
        Ok(pem) => match TrustAnchors::of_pem(&pem) {
            Ok(_) => return Some(pem.into()),
            Err(what) => what,
        },
        Err(error) => error.to_string(),
    };
    let message = format!("`{key}`: {}: {what}", path.display());
    findings.error(code::BAD_FILE, value.span(), message, "use a readable PEM file of certificates");
    None
}

/// Reads `parameters`: the `customParameters` of the start message, in file order.
pub(super) fn parameters<'a>(
    key: &str,
    value: &'a SpannedValue<'a>,
    findings: &mut Findings,
) -> Option<Vec<(String, ParameterTemplate)>> {
    let Some(table) = value.get_ref().as_table() else {
        values::wrong_type(
            key,
            value,
            "use a table of strings: { tenant = \"acme\", caller = \"{caller}\" }",
            findings,
        );
        return None;
    };
    if table.len() > AGENT_PARAMETERS {
        let message = format!("`{key}` has {} entries", table.len());
        findings.error(code::BAD_VALUE, value.span(), message, format!("{AGENT_PARAMETERS} at most"));
        return None;
    }
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let read = |(name, value): (&'a Spanned<_>, &'a SpannedValue<'a>)| {
        let name: &std::borrow::Cow<'a, str> = name.get_ref();
        let text = values::string(name, value, findings)?;
        if name.len() + text.len() > AGENT_PARAMETER_BYTES {
            let help = format!("maximum {AGENT_PARAMETER_BYTES} bytes for name and value together");
            findings.error(code::BAD_VALUE, value.span(), format!("`{name}` is too long"), help);
            return None;
        }
        Some((name.clone().into_owned(), template(name, &text, value.span(), findings)?))
    };
    Some(entries.into_iter().filter_map(read).collect())
}

fn template(name: &str, text: &str, span: SourceSpan, findings: &mut Findings) -> Option<ParameterTemplate> {
    match ParameterTemplate::parse(text) {
        Ok(template) => Some(template),
        Err(word) => {
            let is_secret = is_telling(name) || told(text) != text;
            let word = if is_secret { String::new() } else { format!(" {{{word}}}") };
            let message = format!("`{name}`: unknown placeholder{word}");
            findings.error(code::BAD_VALUE, span, message, "{caller}, {called}, {route}, {trunk} and {header:X-Name}");
            None
        }
    }
}
