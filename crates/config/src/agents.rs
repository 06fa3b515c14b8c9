//! Reads `[agent.NAME]` tables into agents.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use trunkgate_media::limits::CLEAR_FADE_MOST;
use trunkgate_route::{Agent, ParameterTemplate, TransferRule};

use super::caller_id;
use super::code;
use super::cover::{is_telling, told};
use super::diagnostic::Findings;
use super::draft::{SourceSpan, SpannedAgent};
use super::hold;
use super::keys;
use super::number_form::number_form;
use super::queue;
use super::section::{NamedSection, Section};
use super::values::KeyReader;
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
pub(super) fn read(root: &Section<'_>, findings: &mut Findings) -> Vec<SpannedAgent> {
    let tables = root.named_tables("agent", keys::AGENT, findings);
    tables.into_iter().map(|table| read_one(table, findings)).collect()
}

fn read_one(table: NamedSection<'_>, findings: &mut Findings) -> SpannedAgent {
    let NamedSection { name, span, section } = table;
    if section.get("url").is_none() {
        let message = format!("the agent {name} has no `url`");
        findings.error(code::MISSING, span, message, "add url = \"wss://agent.example.com/media\"");
    }
    let url = section.read("url", findings, url);
    let mut agent = Agent::at(name, url.as_deref().unwrap_or_default());
    section.fill((keys::AGENT, keys::PUT_AGENT), &mut agent, findings);
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
    let transfer_to = section.read("transfer_to", findings, |reader| reader.one_or_list(transfer_rule));
    let (rules, transfer_to): (Option<Vec<_>>, Vec<SourceSpan>) = match transfer_to {
        Some(entries) => {
            let (rules, spans) = entries.into_iter().unzip();
            (Some(rules), spans)
        }
        None => (None, Vec::new()),
    };
    agent.transfer_to = rules;
    let said = hold::read(&mut agent, &section, findings);
    queue::read(&mut agent, &section, findings);
    let hold = section.get("hold").filter(|_| agent.hold.is_some());
    let voice = hold.and_then(|hold| hold.get_ref().as_table()?.get("voice")).map(Spanned::span);
    let url = section.span_of("url").filter(|_| !agent.url.is_empty());
    SpannedAgent { agent, url, hold: hold.map(Spanned::span), voice, said, transfer_to }
}

/// Reads one entry of `transfer_to`.
fn transfer_rule(reader: &mut KeyReader<'_>) -> Option<TransferRule> {
    let text = reader.string()?;
    match TransferRule::parse(&text) {
        Ok(rule) => {
            if let Some(pattern) = rule.number() {
                number_form(reader.key, pattern, reader.value.span(), &reader.scope.edge.numbers, reader.findings);
            }
            Some(rule)
        }
        Err(what) => {
            let help = "trunk:NAME, trunk:NAME/NUMBER, agent:NAME, sip:*@HOST; * for NAME: any; \"*\" alone: anything";
            reader.reject(code::BAD_TARGET, format!(": \"{}\": {what}", told(&text)), help)
        }
    }
}

/// Reads `clear_fade`: the fade-out time of interrupted audio.
pub(super) fn clear_fade(reader: &mut KeyReader<'_>) -> Option<Duration> {
    let fade = reader.duration_as(FADES)?;
    if fade > CLEAR_FADE_MOST {
        reader.error(code::BAD_VALUE, "is longer than a packet", FADES);
    }
    Some(fade)
}

/// Reads `allow_callers`: the set of caller numbers that the agent accepts.
pub(super) fn callers(reader: &mut KeyReader<'_>) -> Option<BTreeSet<String>> {
    Some(reader.items(caller_id::number)?.into_iter().map(|number| number.text).collect())
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
fn url(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let span = reader.span();
    match agent_url::check(&text, &reader.scope.edge.local_networks) {
        Err(fault) => {
            reader.findings.error(code::BAD_URL, span, fault.message, fault.help);
            return None;
        }
        Ok(url) if url.query().is_some() => {
            reader.findings.warning(code::BAD_URL, Some(span), agent_url::QUERY_UNSENT, agent_url::QUERY_HELP);
        }
        Ok(_) => {}
    }
    Some(text)
}

/// Reads a CA bundle (PEM).
pub(super) fn certificates(reader: &mut KeyReader<'_>) -> Option<Arc<[u8]>> {
    let path = reader.path()?;
    let what = match files::read(&path, AGENT_FILE_BYTES) {
        Ok(pem) if pem.len() as u64 > AGENT_FILE_BYTES => format!("more than {} MiB", AGENT_FILE_BYTES >> 20),
        Ok(pem) => match TrustAnchors::of_pem(&pem) {
            Ok(_) => return Some(pem.into()),
            Err(what) => what,
        },
        Err(error) => error.to_string(),
    };
    reader.reject(code::BAD_FILE, format!(": {}: {what}", path.display()), "use a readable PEM file of certificates")
}

/// Reads `parameters`: the `customParameters` of the start message, in file order.
pub(super) fn parameters(reader: &mut KeyReader<'_>) -> Option<Vec<(String, ParameterTemplate)>> {
    let entries = reader.entries("use a table of strings: { tenant = \"acme\", caller = \"{caller}\" }")?;
    if entries.len() > AGENT_PARAMETERS {
        let help = format!("{AGENT_PARAMETERS} at most");
        return reader.reject(code::BAD_VALUE, format!("has {} entries", entries.len()), help);
    }
    let parameters = entries.iter().filter_map(|entry| parameter(&mut reader.entry(entry)));
    Some(parameters.collect())
}

fn parameter(reader: &mut KeyReader<'_>) -> Option<(String, ParameterTemplate)> {
    let (name, text) = (reader.key, reader.string()?);
    if name.len() + text.len() > AGENT_PARAMETER_BYTES {
        let help = format!("maximum {AGENT_PARAMETER_BYTES} bytes for name and value together");
        return reader.reject(code::BAD_VALUE, "is too long", help);
    }
    match ParameterTemplate::parse(&text) {
        Ok(template) => Some((name.to_owned(), template)),
        Err(word) => {
            let is_secret = is_telling(name) || told(&text) != text;
            let word = if is_secret { String::new() } else { format!(" {{{word}}}") };
            let help = "{caller}, {called}, {route}, {trunk} and {header:X-Name}";
            reader.reject(code::BAD_VALUE, format!(": unknown placeholder{word}"), help)
        }
    }
}
