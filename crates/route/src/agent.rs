//! An agent: a voice-agent backend that takes part in a call, or listens, over a media stream.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use trunkgate_terms::UrlOrigin;

use crate::number::Number;
use crate::transfer_to::{TransferRule, Wanted};

/// What follows when the agent closes its stream in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnClose {
    /// The call is over.
    #[default]
    Hangup,
    /// The caller goes on to the next target.
    Next,
}

/// When the caller gets its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerTime {
    /// Once the agent's stream is up; until then its phone rings.
    #[default]
    OnConnect,
    /// The same, but until then it hears hold audio.
    Early,
    /// Before the agent is asked for.
    AtOnce,
}

/// Callers that wait for an agent whose sessions are all in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// How many.
    pub size: u32,
    /// How long each, before the next target is tried.
    pub wait: Duration,
}

impl Default for Queue {
    /// 20 callers, two minutes.
    fn default() -> Queue {
        Queue { size: 20, wait: Duration::from_secs(120) }
    }
}

/// What a caller hears while nobody has it, μ-law at 8 kHz. Where there is neither, our own ringback tone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hold {
    /// Heard once.
    pub first: Option<Arc<[u8]>>,
    /// Heard again and again after that.
    pub music: Option<Arc<[u8]>>,
}

/// A piece of a parameter's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As written.
    Text(String),
    /// `{caller}`: the calling number.
    Caller,
    /// `{called}`: the called number.
    Called,
    /// `{route}`: the name of the route.
    Route,
    /// `{trunk}`: the name of the caller's trunk.
    Trunk,
    /// `{header:NAME}`: that header of the caller's INVITE.
    Header(String),
    /// `{outcome}`: how the call ended.
    Outcome,
    /// `{reason}`: why.
    Reason,
}

/// What the pieces of a parameter stand for in one call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// Calling number.
    pub caller: &'a str,
    /// Called number.
    pub called: &'a str,
    /// Name of the route.
    pub route: &'a str,
    /// Name of the caller's trunk.
    pub trunk: &'a str,
    /// Headers of the caller's INVITE, name and value; one that is not there stands for nothing.
    pub headers: &'a [(String, String)],
    /// How the call ended, of one that has.
    pub outcome: &'a str,
    /// Why, of one that has ended.
    pub reason: &'a str,
}

/// What a far end proves itself with: told to nobody.
const SECRET_HEADERS: [&str; 2] = ["Authorization", "Proxy-Authorization"];

/// A header's name that a value may ask for: a token (RFC 3261 §25.1).
fn is_header(name: &str) -> bool {
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    !name.is_empty()
        && name.chars().all(token)
        && !SECRET_HEADERS.iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

fn header(name: &str) -> Piece {
    Piece::Header(name.to_owned())
}

/// A parameter's value with its placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// Reads a value. A `{` that begins no placeholder stands for itself only where no `}` follows it.
    ///
    /// # Errors
    /// The first word in braces that is none of the placeholders.
    pub fn parse(text: &str) -> Result<Template, String> {
        Template::read(text, |name| name.strip_prefix("header:").filter(|header| is_header(header)).map(header))
    }

    /// Makes a template of a text that stands for itself.
    pub fn literal(text: &str) -> Template {
        Template { pieces: vec![Piece::Text(text.to_owned())] }
    }

    /// The same for what is said of a call that has ended: it may hold `{outcome}` and `{reason}`, and no headers, which whoever
    /// calls writes as it likes.
    ///
    /// # Errors
    /// The first word in braces that is none of the placeholders.
    pub fn parse_ended(text: &str) -> Result<Template, String> {
        Template::read(text, |name| match name {
            "outcome" => Some(Piece::Outcome),
            "reason" => Some(Piece::Reason),
            _ => None,
        })
    }

    /// Reads a value; `more` knows the placeholders that not every template has.
    fn read(text: &str, more: impl Fn(&str) -> Option<Piece>) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else { break };
            let piece = match name {
                "caller" => Piece::Caller,
                "called" => Piece::Called,
                "route" => Piece::Route,
                "trunk" => Piece::Trunk,
                _ => more(name).ok_or_else(|| name.to_owned())?,
            };
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(piece);
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Template { pieces })
    }

    /// The value in one call.
    pub fn fill(&self, facts: &Facts<'_>) -> String {
        let text = |piece: &Piece| -> String {
            match piece {
                Piece::Text(text) => text.clone(),
                Piece::Caller => facts.caller.to_owned(),
                Piece::Called => facts.called.to_owned(),
                Piece::Route => facts.route.to_owned(),
                Piece::Trunk => facts.trunk.to_owned(),
                Piece::Header(name) => {
                    let found = facts.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                    found.map(|(_, value)| value.clone()).unwrap_or_default()
                }
                Piece::Outcome => facts.outcome.to_owned(),
                Piece::Reason => facts.reason.to_owned(),
            }
        };
        self.pieces.iter().map(text).collect()
    }

    /// Whether a value or a route may go by a header of this name.
    pub fn may_ask_for(name: &str) -> bool {
        is_header(name)
    }

    /// The headers that it asks for.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Header(name) => Some(name.as_str()),
            Piece::Text(_) | Piece::Caller | Piece::Called | Piece::Route | Piece::Trunk => None,
            Piece::Outcome | Piece::Reason => None,
        })
    }

    /// Whether it is that one placeholder and nothing else.
    pub fn is_only(&self, piece: &Piece) -> bool {
        matches!(&self.pieces[..], [only] if only == piece)
    }
}

/// An agent as configured.
#[derive(Clone)]
pub struct Agent {
    /// Its name: log field, column of the ladder.
    pub name: Arc<str>,
    /// `ws://`, `wss://` or, for a listener that takes plain RTP, `rtp://`.
    pub url: String,
    /// Origin of the URL.
    pub origin: UrlOrigin,
    /// PEM certificates trusted instead of the system's.
    pub ca: Option<Arc<[u8]>>,
    /// Signs the handshake.
    pub auth_token: Option<String>,
    /// `customParameters` in the order of the file.
    pub parameters: Vec<(String, Template)>,
    /// The form of the audio both ways, by its name in the configuration: `mulaw/8000`, `l16/16000` and the like.
    pub format: &'static str,
    /// Whether our own fields and events are sent besides Twilio's.
    pub extras: bool,
    /// How long what it was saying fades out after its `clear`; zero: not at all.
    pub clear_fade: Duration,
    /// Until the socket is open; zero: no limit.
    pub connect_timeout: Duration,
    /// From then until it first speaks; zero: no limit.
    pub first_audio_timeout: Duration,
    /// New streams to it, one after the other, before the next target is tried.
    pub retry: u32,
    /// What follows its close with 1000.
    pub on_close: OnClose,
    /// Between two pings; zero: none.
    pub ping: Duration,
    /// Between two probes, each a handshake and a close; zero: none.
    pub probe: Duration,
    /// μ-law at 8 kHz: heard by a caller for whom no target is left.
    pub goodbye: Option<Arc<[u8]>>,
    /// When the caller is answered.
    pub answer: AnswerTime,
    /// What the caller hears meanwhile, and when the agent is lost.
    pub hold: Option<Hold>,
    /// How long it may have a caller; zero: no limit.
    pub max_call: Duration,
    /// Callers that it has at once, from when a stream is asked for until it has ended; 0: no limit.
    pub max_sessions: u32,
    /// Who waits while they are all in use; `None`: nobody.
    pub queue: Option<Queue>,
    /// Who may call it, as E.164; empty: everybody.
    pub allow_callers: BTreeSet<String>,
    /// Where it may transfer its caller; `None`: to every trunk and agent by its name.
    pub transfer_to: Option<Vec<TransferRule>>,
}

/// A URL as messages show it: some have a key in their query.
pub fn url_place(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

impl Agent {
    /// An agent at a URL, with every default of the configuration.
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

    /// Its name; of one that has none, because it was named by its URL in mid-call, that without what follows a `?`.
    pub fn shown(&self) -> &str {
        if self.name.is_empty() { url_place(&self.url) } else { &self.name }
    }

    /// Whether it takes calls of this caller. Who hides its number, or has none that is E.164, is on nobody's list.
    pub fn allows(&self, caller: &Number) -> bool {
        self.allow_callers.is_empty() || (caller.is_e164 && self.allow_callers.contains(&caller.text))
    }

    /// Whether it may transfer its caller to a target.
    pub fn may_transfer_to(&self, wanted: Wanted<'_>) -> bool {
        match &self.transfer_to {
            Some(rules) => rules.iter().any(|rule| rule.allows(wanted)),
            None => matches!(wanted, Wanted::Trunk(..) | Wanted::Agent(_)),
        }
    }

    /// Whether it takes copies as plain RTP (`rtp://`): it can listen, and nothing else.
    pub fn is_raw(&self) -> bool {
        self.url.starts_with("rtp:")
    }
}

/// Without the secret, and without what may be secret in the URL and in parameters.
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
        let facts = Facts {
            caller: "+14155551234",
            called: "100",
            route: "main",
            trunk: "carrier",
            headers: &headers,
            ..Facts::default()
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
            assert_eq!(Template::parse(text).unwrap().fill(&facts), expected, "{text}");
        }
    }

    #[test]
    fn other_words_in_braces_are_refused() {
        for header in ["header:", "header:X Name", "header:X{", "header:authorization", "header:Proxy-Authorization"] {
            assert_eq!(Template::parse(&format!("x {{{header}}}")), Err(header.into()));
        }
        assert_eq!(Template::parse("{}"), Err(String::new()));
        assert_eq!(Template::parse("{\"a\":1}"), Err("\"a\":1".into()));
    }

    #[test]
    fn what_is_said_of_an_ended_call_may_name_its_outcome_and_no_header() {
        let facts = Facts { caller: "+14155551234", outcome: "busy", reason: "target_busy", ..Facts::default() };
        let template = Template::parse_ended("{caller}: {outcome} ({reason})").unwrap();
        assert_eq!(template.fill(&facts), "+14155551234: busy (target_busy)");
        assert_eq!(Template::parse_ended("{header:X-Name}"), Err("header:X-Name".into()));
        assert_eq!(Template::parse("{outcome}"), Err("outcome".into()));
        assert!(Template::parse_ended("{caller}").unwrap().is_only(&Piece::Caller));
        assert!(!template.is_only(&Piece::Caller));
    }

    #[test]
    fn the_headers_that_a_value_asks_for_are_told() {
        let template = Template::parse("{header:X-One}{caller}-{header:To}").unwrap();
        assert_eq!(template.headers().collect::<Vec<_>>(), ["X-One", "To"]);
    }

    #[test]
    fn one_without_a_name_is_shown_by_its_url() {
        assert_eq!(Agent::at("scribe", "wss://a.example/").shown(), "scribe");
        assert_eq!(Agent::at("", "wss://a.example/media?token=secret").shown(), "wss://a.example/media");
    }

    #[test]
    fn only_those_on_the_list_may_call() {
        let numbers = crate::Numbers::new("US").unwrap();
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
