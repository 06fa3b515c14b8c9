//! `[recognition]`: speech recogniser for callers.

use std::sync::Arc;
use std::time::Duration;

use trunkgate_call::RecogniserSpec;
use trunkgate_media::agent::AgentFormat;

use super::code;
use super::diagnostic::{Diagnostic, Findings};
use super::draft::ConfigDraft;
use super::keys;
use super::section::Section;
use super::values::KeyReader;
use trunkgate_system::agent_url;

/// Reads `[recognition]`.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Option<Arc<RecogniserSpec>> {
    let mut spec = RecogniserSpec {
        url: String::new(),
        token: None,
        ca: None,
        format: AgentFormat::L16Rate8000,
        connect_timeout: Duration::ZERO,
        max_sessions: 0,
        events: false,
    };
    section.fill((keys::RECOGNITION, keys::PUT_RECOGNITION), &mut spec, findings);
    if let Some(value) = section.get("ca").filter(|_| spec.url.starts_with("ws:")) {
        let message = "`ca` has no effect on a ws:// URL";
        findings.warning(code::BAD_VALUE, Some(value.span()), message, "certificates are used with wss:// only");
    }
    Some(spec).filter(|spec| !spec.url.is_empty()).map(Arc::new)
}

/// Reads `url`: a WebSocket URL, by the rules for agents; its query is sent.
pub(super) fn url(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let fault = match agent_url::check(&text, &reader.scope.edge.local_networks) {
        Ok(url) if url.scheme() != "rtp" => return Some(text),
        Ok(_) => ("`url` cannot start with rtp:".to_owned(), "use \"wss://asr.example.com/stream\""),
        // The help text of this fault is about agents.
        Err(fault) if fault.message.contains("user part") => (fault.message, "`token` is sent with the handshake"),
        Err(fault) => (fault.message, fault.help),
    };
    reader.findings.error(code::BAD_URL, reader.value.span(), fault.0, fault.1);
    None
}

/// Checks `[recognition]` against the applications.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    let Some(span) = draft.spans.table("recognition") else {
        for app in &draft.apps {
            let Some(place) = &app.speech_input else { continue };
            findings.add(Diagnostic {
                code: code::BAD_DOCUMENT.id,
                is_error: false,
                message: "<Gather> of speech without a [recognition]: nothing that callers say is recognised"
                    .to_owned(),
                span: Some(app.name.clone()),
                help: "add [recognition] with the url of a recogniser, or use input=\"dtmf\"".to_owned(),
                elsewhere: Some(place.clone()),
            });
        }
        return;
    };
    if draft.apps.is_empty() && draft.spans.key("api", "auth_token").is_none() {
        let help = "<Gather input=\"speech\"> of an [app] uses it; remove it, or add an app";
        findings.warning(code::IDLE_PART, Some(span.clone()), "[recognition] is not used", help);
    }
}
