//! `[app.NAME]`: applications that control calls with TwiML documents.

use std::sync::Arc;

use trunkgate_route::{App, AppDocument, Pattern, StatusCallback, TargetSpec, TransferRule, WebhookMethod};

use super::code;
use super::cover::told;
use super::diagnostic::{Diagnostic, Findings};
use super::documents::TwimlFile;
use super::draft::{ConfigDraft, SpannedApp};
use super::keys;
use super::section::{NamedSection, Section};
use super::values::KeyReader;
use super::{own, recognition, webhook_url};

/// Call state reported to `status_callback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum StatusEvent {
    /// The call was placed.
    Initiated,
    /// The called party is ringing.
    Ringing,
    /// The call is answered.
    Answered,
    /// The call has ended.
    Completed,
}

impl StatusEvent {
    /// All events with their names in the configuration and in Twilio's parameters.
    const ALL: [(&str, StatusEvent); 4] = [
        ("initiated", StatusEvent::Initiated),
        ("ringing", StatusEvent::Ringing),
        ("answered", StatusEvent::Answered),
        ("completed", StatusEvent::Completed),
    ];
}

/// Settings of an `[app.NAME]` that the call core does not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSettings {
    /// Contents of the TwiML document named by `file`.
    pub document: Option<Arc<str>>,
}

/// Raw values of the keys of one application.
#[derive(Debug, Default)]
pub(super) struct AppKeys {
    pub(super) url: Option<String>,
    pub(super) file: Option<TwimlFile>,
    pub(super) method: WebhookMethod,
    pub(super) fallback_url: Option<String>,
    pub(super) status_callback: Option<String>,
    pub(super) events: Vec<StatusEvent>,
    pub(super) allow_private: bool,
    pub(super) insecure_redirects: bool,
    pub(super) sip_to: Vec<TransferRule>,
    pub(super) callers: Vec<Pattern>,
}

/// Keys that hold URLs.
const URLS: [&str; 3] = ["url", "fallback_url", "status_callback"];

/// Reads all applications in file order.
pub(super) fn read(root: &Section<'_>, findings: &mut Findings) -> Vec<SpannedApp> {
    let tables = root.named_tables("app", keys::APP, findings);
    tables.into_iter().map(|table| read_one(table, findings)).collect()
}

fn read_one(table: NamedSection<'_>, findings: &mut Findings) -> SpannedApp {
    let NamedSection { name, span, section } = table;
    let mut read = AppKeys::default();
    section.fill((keys::APP, keys::PUT_APP), &mut read, findings);
    judge_keys(name, &section, findings);
    let urls = URLS.into_iter().filter_map(|key| Some((key, section.get(key)?)));
    let webhooks: Vec<_> =
        urls.map(|(key, value)| (key, value.get_ref().as_str().unwrap_or_default().to_owned(), value.span())).collect();
    for (key, url, span) in &webhooks {
        webhook_url::judge_reach(key, url, section.title(), read.allow_private, span.clone(), findings);
    }
    let document = match (read.url, &read.file) {
        (Some(url), _) => AppDocument::Url { url, method: read.method },
        (None, Some(file)) => AppDocument::File(file.name.clone()),
        // The missing key was reported above.
        (None, None) => AppDocument::Url { url: String::new(), method: read.method },
    };
    let wants = |event| read.events.contains(&event);
    let status_callback = read.status_callback.map(|url| StatusCallback {
        url,
        method: WebhookMethod::Post,
        initiated: wants(StatusEvent::Initiated),
        ringing: wants(StatusEvent::Ringing),
        answered: wants(StatusEvent::Answered),
        completed: wants(StatusEvent::Completed),
    });
    let app = App {
        status_callback,
        fallback_url: read.fallback_url,
        allow_private: read.allow_private,
        insecure_redirects: read.insecure_redirects,
        sip_to: read.sip_to,
        callers: read.callers,
        ..App::new(name, document)
    };
    let (document, speech, speech_input) =
        read.file.map(|file| (file.text, file.speech, file.speech_input)).unwrap_or_default();
    SpannedApp { app, settings: AppSettings { document }, name: span, webhooks, speech, speech_input }
}

/// Checks keys that require or exclude each other.
fn judge_keys(name: &str, section: &Section<'_>, findings: &mut Findings) {
    match (section.get("url"), section.get("file")) {
        (Some(_), Some(file)) => {
            findings.error(code::BAD_VALUE, file.span(), "both `url` and `file` are set", "keep one of them");
        }
        (None, None) => {
            let message = format!("the app {name} has neither `url` nor `file`");
            let help = "add url = \"https://app.example.com/voice\", or file = \"menu.xml\" with TwiML";
            findings.error(code::MISSING, section.span.clone(), message, help);
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
}

/// Reads `status_callback_events`, without duplicates, in the order of a call.
pub(super) fn events(reader: &mut KeyReader<'_>) -> Option<Vec<StatusEvent>> {
    let mut events = reader.items(|reader| reader.one_of(&StatusEvent::ALL))?;
    if reader.is_empty_list() {
        let help = "remove the key to get the default [\"completed\"], or remove `status_callback` to get no callbacks";
        reader.error(code::BAD_VALUE, "is empty", help);
    }
    events.sort_unstable();
    events.dedup();
    Some(events)
}

/// Reads `sip_to`: SIP addresses, with the syntax of `transfer_to` of an agent.
pub(super) fn sip_to(reader: &mut KeyReader<'_>) -> Option<Vec<TransferRule>> {
    reader.items(|reader| {
        let text = reader.string()?;
        let is_uri = ["sip:", "sips:"].iter().any(|scheme| text.starts_with(scheme));
        let rule = if is_uri { TransferRule::parse(&text) } else { Err("it is not a SIP address".to_owned()) };
        let help = "sip:*@HOST, sips:*@HOST; *.DOMAIN for hosts of a domain. Trunks need no entry";
        let what = |what| format!(": \"{}\": {what}", told(&text));
        rule.map_err(what).map_or_else(|what| reader.reject(code::BAD_TARGET, what, help), Some)
    })
}

/// Checks the applications against the other tables.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    let unsigned = draft.apps.iter().find_map(|placed| Some((placed, placed.webhooks.first()?)));
    if let Some((placed, (key, _, span))) = unsigned.filter(|_| draft.spans.key("api", "auth_token").is_none()) {
        let message =
            format!("`{key}` of the app {} needs `auth_token` of [api], which signs webhooks", placed.app.name);
        let help = "add [api] with auth_token = { env = \"TRUNKGATE_AUTH_TOKEN\" }, 32 characters or more";
        findings.error(code::MISSING, span.clone(), message, help);
    }
    own::apps(draft, findings);
    own::recogniser(draft, findings);
    recognition::judge(draft, findings);
    judge_voice(draft, findings);
    for placed in &draft.apps {
        if let Some(place) = placed.speech.as_ref().filter(|_| draft.cannot_speak()) {
            findings.add(Diagnostic {
                code: code::BAD_DOCUMENT.id,
                is_error: false,
                message: "<Say>, but there is no text-to-speech: [speech] has neither `command` nor `url`, and espeak-ng is not installed or is switched off"
                    .to_owned(),
                span: Some(placed.name.clone()),
                help: "install espeak-ng, remove `installed = false`, add a `command` or `url` to [speech], or use <Play>".to_owned(),
                elsewhere: Some(place.clone()),
            });
        }
        let is_it = |target: &TargetSpec| matches!(target, TargetSpec::App(name) if **name == *placed.app.name);
        // A number that could not be read may belong to this application.
        if !draft.is_target(is_it) && draft.numbers.iter().all(|number| !number.is_partial) {
            let name = &placed.app.name;
            let message = format!("no route and no [[number]] uses the app {name}");
            let help = format!("add \"app:{name}\" to `connect` of a route, or app = \"{name}\" to a [[number]]");
            findings.warning(code::IDLE_PART, Some(placed.name.clone()), message, help);
        }
    }
}

/// Warns if an application in the file or in an API request may use `Say` but no text-to-speech is configured.
fn judge_voice(draft: &ConfigDraft, findings: &mut Findings) {
    if !draft.cannot_speak() || draft.speech_is_off {
        return;
    }
    let asks = |placed: &&SpannedApp| matches!(placed.app.document, AppDocument::Url { .. });
    let of_requests =
        || draft.spans.key("api", "auth_token").cloned().filter(|_| draft.api.api.takes_documents(&draft.numbers));
    let (span, who) = match draft.apps.iter().find(asks) {
        Some(placed) => (Some(placed.name.clone()), format!("the app {}", placed.app.name)),
        None => (of_requests(), "applications that requests to the API name".to_owned()),
    };
    if span.is_some() {
        let message = format!("{who} may use <Say>, but there is no text-to-speech: espeak-ng is not installed");
        let help = "install espeak-ng, add [speech] with a `command` or `url`, \
                    or set `installed = false` there if no app speaks";
        findings.warning(code::NO_VOICE, span, message, help);
    }
}
