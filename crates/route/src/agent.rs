//! Agents: voice-agent backends that take part in a call, or listen to it, over a media stream.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use trunkgate_terms::UrlOrigin;

use crate::number::Number;
use crate::transfer_to::{TransferRule, TransferTarget};

/// Action after an agent closes its stream with code 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnClose {
    /// End the caller's call.
    #[default]
    Hangup,
    /// Try the next target of the route.
    Next,
}

/// Time at which a call to an agent is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerTime {
    /// Answer once the agent's stream is connected; until then the caller hears ringing.
    #[default]
    OnConnect,
    /// Answer once the agent's stream is connected; until then the caller hears hold audio as early media.
    Early,
    /// Answer before a stream to the agent is requested.
    AtOnce,
}

/// Queue for callers while all sessions of an agent are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSettings {
    /// Maximum number of waiting callers.
    pub size: u32,
    /// Maximum waiting time of a caller before the next target is tried.
    pub wait: Duration,
}

impl Default for QueueSettings {
    /// Returns a queue of 20 callers, each of whom waits for up to two minutes.
    fn default() -> QueueSettings {
        QueueSettings { size: 20, wait: Duration::from_secs(120) }
    }
}

/// Audio for a waiting caller, in μ-law at 8 kHz. If both fields are `None`, the edge plays ringback tone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HoldAudio {
    /// Announcement played once.
    pub first: Option<Arc<[u8]>>,
    /// Music repeated after the announcement.
    pub music: Option<Arc<[u8]>>,
}

/// Part of a parameter template: literal text or a placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePiece {
    /// Text that is copied unchanged.
    Text(String),
    /// Placeholder `{caller}`: the calling number.
    Caller,
    /// Placeholder `{called}`: the called number.
    Called,
    /// Placeholder `{route}`: name of the route.
    Route,
    /// Placeholder `{trunk}`: name of the caller's trunk.
    Trunk,
    /// Placeholder `{header:NAME}`: value of this header in the caller's INVITE.
    Header(String),
    /// Placeholder `{outcome}`: outcome of a call that has ended.
    Outcome,
    /// Placeholder `{reason}`: reason for the outcome of a call that has ended.
    Reason,
}

/// Values of the placeholders in one call.
#[derive(Debug, Clone, Copy, Default)]
pub struct TemplateValues<'a> {
    /// Calling number.
    pub caller: &'a str,
    /// Called number.
    pub called: &'a str,
    /// Name of the route.
    pub route: &'a str,
    /// Name of the caller's trunk.
    pub trunk: &'a str,
    /// Headers of the caller's INVITE, as name and value. A placeholder for a missing header yields an empty text.
    pub headers: &'a [(String, String)],
    /// Outcome of the call; empty before its end.
    pub outcome: &'a str,
    /// Reason for the outcome; empty before the end of the call.
    pub reason: &'a str,
}

/// Headers with credentials, which placeholders must not reveal.
const SECRET_HEADERS: [&str; 2] = ["Authorization", "Proxy-Authorization"];

/// Returns whether a placeholder may refer to a header: its name is a token (RFC 3261 §25.1) and it has no
/// credentials.
fn is_header(name: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    !name.is_empty()
        && name.chars().all(token)
        && !SECRET_HEADERS.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

fn header(name: &str) -> TemplatePiece {
    TemplatePiece::Header(name.to_owned())
}

/// Text of a parameter with placeholders such as `{caller}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterTemplate {
    pieces: Vec<TemplatePiece>,
}

impl ParameterTemplate {
    /// Parses a text with placeholders. A `{` without a matching `}` is literal text.
    ///
    /// # Errors
    /// Returns the name of the first unknown placeholder, without braces.
    pub fn parse(text: &str) -> Result<ParameterTemplate, String> {
        ParameterTemplate::read(text, |name| {
            name.strip_prefix("header:").filter(|header| is_header(header)).map(header)
        })
    }

    /// Creates a template of literal text, in which braces have no meaning.
    pub fn literal(text: &str) -> ParameterTemplate {
        ParameterTemplate { pieces: vec![TemplatePiece::Text(text.to_owned())] }
    }

    /// Parses a template for calls that have ended. It may contain `{outcome}` and `{reason}`, but no
    /// `{header:NAME}`, because callers control headers.
    ///
    /// # Errors
    /// Returns the name of the first unknown placeholder, without braces.
    pub fn parse_ended(text: &str) -> Result<ParameterTemplate, String> {
        ParameterTemplate::read(text, |name| match name {
            "outcome" => Some(TemplatePiece::Outcome),
            "reason" => Some(TemplatePiece::Reason),
            _ => None,
        })
    }

    /// Parses a template; `more` resolves the placeholders that not every template allows.
    fn read(text: &str, more: impl Fn(&str) -> Option<TemplatePiece>) -> Result<ParameterTemplate, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else { break };
            let piece = match name {
                "caller" => TemplatePiece::Caller,
                "called" => TemplatePiece::Called,
                "route" => TemplatePiece::Route,
                "trunk" => TemplatePiece::Trunk,
                _ => more(name).ok_or_else(|| name.to_owned())?,
            };
            if !before.is_empty() {
                pieces.push(TemplatePiece::Text(before.to_owned()));
            }
            pieces.push(piece);
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(TemplatePiece::Text(rest.to_owned()));
        }
        Ok(ParameterTemplate { pieces })
    }

    /// Returns the text with each placeholder replaced by its value in `facts`.
    pub fn fill(&self, facts: &TemplateValues<'_>) -> String {
        let text = |piece: &TemplatePiece| -> String {
            match piece {
                TemplatePiece::Text(text) => text.clone(),
                TemplatePiece::Caller => facts.caller.to_owned(),
                TemplatePiece::Called => facts.called.to_owned(),
                TemplatePiece::Route => facts.route.to_owned(),
                TemplatePiece::Trunk => facts.trunk.to_owned(),
                TemplatePiece::Header(name) => {
                    let found = facts.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.clone()).unwrap_or_default()
                }
                TemplatePiece::Outcome => facts.outcome.to_owned(),
                TemplatePiece::Reason => facts.reason.to_owned(),
            }
        };
        self.pieces.iter().map(text).collect()
    }

    /// Returns whether a template or a route condition may refer to this header: any token except those with
    /// credentials.
    pub fn may_ask_for(name: &str) -> bool {
        is_header(name)
    }

    /// Iterates over the headers that the template refers to.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            TemplatePiece::Header(name) => Some(name.as_str()),
            TemplatePiece::Text(_)
            | TemplatePiece::Caller
            | TemplatePiece::Called
            | TemplatePiece::Route
            | TemplatePiece::Trunk => None,
            TemplatePiece::Outcome | TemplatePiece::Reason => None,
        })
    }

    /// Returns whether the template consists of exactly this placeholder and nothing else.
    pub fn is_only(&self, piece: &TemplatePiece) -> bool {
        matches!(&self.pieces[..], [only] if only == piece)
    }
}

/// Agent of the configuration: a WebSocket or RTP backend and its settings.
#[derive(Clone)]
pub struct Agent {
    /// Name, used in logs and the call ladder.
    pub name: Arc<str>,
    /// URL: `ws://`, `wss://` or, for a listener that receives plain RTP, `rtp://`.
    pub url: String,
    /// Origin of the URL, which determines the addresses that it may lead to.
    pub origin: UrlOrigin,
    /// CA certificates (PEM) trusted instead of the system's; `None` trusts the system's.
    pub ca: Option<Arc<[u8]>>,
    /// Token that signs the WebSocket handshake; `None` sends no signature.
    pub auth_token: Option<String>,
    /// Custom parameters (`customParameters`) of the start message, in file order.
    pub parameters: Vec<(String, ParameterTemplate)>,
    /// Audio format in both directions, as written in the configuration: `mulaw/8000`, `l16/16000`, …
    pub format: &'static str,
    /// Whether fields and events beyond Twilio's protocol are sent.
    pub extras: bool,
    /// Fade-out of the agent's audio after a `clear`; zero stops it immediately.
    pub clear_fade: Duration,
    /// Maximum time until the WebSocket is open; zero for no limit.
    pub connect_timeout: Duration,
    /// Maximum time from the open WebSocket to the agent's first audio; zero for no limit.
    pub first_audio_timeout: Duration,
    /// Number of further streams to the agent that are tried before the next target.
    pub retry: u32,
    /// Action after the agent closes the stream with code 1000.
    pub on_close: OnClose,
    /// Interval between WebSocket pings; zero sends none.
    pub ping: Duration,
    /// Interval between health probes (a handshake and a close); zero sends none.
    pub probe: Duration,
    /// Announcement in μ-law at 8 kHz for a caller for whom no target remains.
    pub goodbye: Option<Arc<[u8]>>,
    /// Time at which a call to the agent is answered.
    pub answer: AnswerTime,
    /// Audio for the caller before the agent is connected, and after it is lost.
    pub hold: Option<HoldAudio>,
    /// Maximum duration of a caller's session; zero for no limit.
    pub max_call: Duration,
    /// Maximum number of concurrent sessions, each counted from the request of its stream to its end; 0 for no limit.
    pub max_sessions: u32,
    /// Queue for callers while all sessions are in use; `None` for no queue.
    pub queue: Option<QueueSettings>,
    /// Callers that the agent accepts, in E.164; empty for all.
    pub allow_callers: BTreeSet<String>,
    /// Targets the agent may transfer its caller to; `None` allows all trunks and agents by name.
    pub transfer_to: Option<Vec<TransferRule>>,
}

/// Returns a URL for messages, without its query, which may contain a key.
pub fn url_place(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

impl Agent {
    /// Creates an agent with this name and URL, and the configuration's defaults.
    pub fn at(name: &str, url: &str) -> Agent {
        Agent {
            name: Arc::from(name),
            url: url.to_owned(),
            origin: UrlOrigin::Configuration,
            ca: None,
            auth_token: None,
            parameters: Vec::new(),
            format: "mulaw/8000",
            extras: false,
            clear_fade: Duration::ZERO,
            connect_timeout: Duration::from_secs(10),
            first_audio_timeout: Duration::ZERO,
            retry: 0,
            on_close: OnClose::Hangup,
            ping: Duration::from_secs(2),
            probe: Duration::ZERO,
            goodbye: None,
            answer: AnswerTime::OnConnect,
            hold: None,
            max_call: Duration::ZERO,
            max_sessions: 0,
            queue: None,
            allow_callers: BTreeSet::new(),
            transfer_to: None,
        }
    }

    /// Returns the agent's name, or the URL without its query for an agent without a name, which a call gave by URL.
    pub fn shown(&self) -> &str {
        if self.name.is_empty() { url_place(&self.url) } else { &self.name }
    }

    /// Returns whether the agent accepts this caller. A caller without an E.164 number is on no list.
    pub fn allows(&self, caller: &Number) -> bool {
        self.allow_callers.is_empty() || (caller.is_e164 && self.allow_callers.contains(&caller.text))
    }

    /// Returns whether the agent's `transfer_to` permits it to transfer its caller to a target.
    pub fn may_transfer_to(&self, wanted: TransferTarget<'_>) -> bool {
        match &self.transfer_to {
            Some(rules) => rules.iter().any(|rule| rule.allows(wanted)),
            None => matches!(wanted, TransferTarget::Trunk(..) | TransferTarget::Agent(_)),
        }
    }

    /// Returns whether the agent receives plain RTP (`rtp://`), and thus can only listen.
    pub fn is_raw(&self) -> bool {
        self.url.starts_with("rtp:")
    }
}

/// Omits the token, the URL and the parameters, which may contain secrets.
impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("name", &self.name).field("on_close", &self.on_close).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled() {
        let headers = [("X-Tenant".to_owned(), "acme".to_owned())];
        let facts = TemplateValues {
            caller: "+14155551234",
            called: "100",
            route: "main",
            trunk: "carrier",
            headers: &headers,
            ..TemplateValues::default()
        };
        for (text, expected) in [
            ("acme", "acme"),
            ("", ""),
            ("{caller}", "+14155551234"),
            ("{called}/{route}-{trunk}!", "100/main-carrier!"),
            ("a{", "a{"),
            ("}{caller}}", "}+14155551234}"),
            ("<{header:x-tenant}>{header:X-Other}", "<acme>"),
        ] {
            assert_eq!(ParameterTemplate::parse(text).unwrap().fill(&facts), expected, "{text}");
        }
    }

    #[test]
    fn other_words_in_braces_are_refused() {
        for header in ["header:", "header:X Name", "header:X{", "header:authorization", "header:Proxy-Authorization"] {
            assert_eq!(ParameterTemplate::parse(&format!("x {{{header}}}")), Err(header.into()));
        }
        assert_eq!(ParameterTemplate::parse("{}"), Err(String::new()));
        assert_eq!(ParameterTemplate::parse("{\"a\":1}"), Err("\"a\":1".into()));
    }

    #[test]
    fn what_is_said_of_an_ended_call_may_name_its_outcome_and_no_header() {
        let facts = TemplateValues {
            caller: "+14155551234",
            outcome: "busy",
            reason: "target_busy",
            ..TemplateValues::default()
        };
        let template = ParameterTemplate::parse_ended("{caller}: {outcome} ({reason})").unwrap();
        assert_eq!(template.fill(&facts), "+14155551234: busy (target_busy)");
        assert_eq!(ParameterTemplate::parse_ended("{header:X-Name}"), Err("header:X-Name".into()));
        assert_eq!(ParameterTemplate::parse("{outcome}"), Err("outcome".into()));
        assert!(ParameterTemplate::parse_ended("{caller}").unwrap().is_only(&TemplatePiece::Caller));
        assert!(!template.is_only(&TemplatePiece::Caller));
    }

    #[test]
    fn the_headers_that_a_value_asks_for_are_told() {
        let template = ParameterTemplate::parse("{header:X-One}{caller}-{header:To}").unwrap();
        assert_eq!(template.headers().collect::<Vec<_>>(), ["X-One", "To"]);
    }

    #[test]
    fn one_without_a_name_is_shown_by_its_url() {
        assert_eq!(Agent::at("scribe", "wss://a.example/").shown(), "scribe");
        assert_eq!(Agent::at("", "wss://a.example/media?token=secret").shown(), "wss://a.example/media");
    }

    #[test]
    fn only_those_on_the_list_may_call() {
        let numbers = crate::NumberingPlan::new("US").unwrap();
        let allow_callers = BTreeSet::from(["+14155551234".to_owned()]);
        let agent = Agent { allow_callers, ..Agent::at("a", "ws://127.0.0.1/") };
        for (caller, context, allowed) in [
            ("+14155551234", None, true),
            ("+1 (415) 555-1234", None, true),
            ("4155551234", None, true),
            ("14155551234", None, true),
            ("0014155551234", None, true),
            ("5551234", Some("+1415"), true),
            ("+14155551235", None, false),
            ("+14155551234x", None, false),
            ("5551234", None, false),
            ("anonymous", None, false),
            ("", None, false),
        ] {
            assert_eq!(agent.allows(&numbers.normalise_caller(caller, context)), allowed, "{caller}");
        }
        assert!(Agent::at("a", "").allows(&numbers.normalise_caller("", None)), "no list: everybody");
    }

    #[test]
    fn a_secret_is_never_printed() {
        let agent = Agent { auth_token: Some("hunter2".into()), ..Agent::at("a", "ws://127.0.0.1/?token=hunter2") };
        assert!(!format!("{agent:?}").contains("hunter2"));
    }
}
