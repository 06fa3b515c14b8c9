//! Dial: calls to other parties.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkgate_detection::{DetectionMode, DetectionSettings, ThresholdParameter};

use super::audio::is_digits;
use super::conference::{self, ConferenceNoun};
use super::fields::{ElementFields, HttpMethod};
use super::queue::{self, QueueNoun};
use super::record::{self, DialRecord};
use super::verb::{UnsupportedVerb, VerbKind};
use super::{DocumentWarnings, unknown};
use crate::compat::{self, FeatureSupport, VOICE};
use crate::limits::{NOUNS, RING_SECONDS, SECONDS, SIP_HEADER_BYTES};
use crate::problem::code;
use crate::secret::SensitiveText;
use crate::xml::XmlElement;

/// Default maximum duration of the connection.
const TIME_LIMIT_SECONDS: u32 = 14_400;

/// Verb that connects the caller with another party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialVerb {
    /// URL requested at the end of the Dial, as written. If `None`, the document continues with the next verb.
    pub action: Option<String>,
    /// Method of the request to `action`.
    pub method: HttpMethod,
    /// Maximum ringing time; of each party with `sequential`, otherwise of all together.
    pub timeout: Duration,
    /// Maximum duration of the connection.
    pub time_limit: Duration,
    /// Caller ID presented to the parties; if `None`, the caller's number.
    pub caller_id: Option<String>,
    /// True if the caller ends the parties' call by pressing `*`.
    pub hangup_on_star: bool,
    /// True if the caller's call is answered only when a party answers.
    pub answer_on_bridge: bool,
    /// True if parties are called one after the other instead of simultaneously.
    pub sequential: bool,
    /// Recording of the connection; `None` for no recording.
    #[serde(default)]
    pub record: Option<Box<DialRecord>>,
    /// Parties to call, in order.
    pub targets: Vec<DialTarget>,
    /// Conference that the caller joins instead of calling a party.
    #[serde(default)]
    pub conference: Option<Box<ConferenceNoun>>,
    /// Queue from which a caller is taken instead of calling a party.
    #[serde(default)]
    pub queue: Option<Box<QueueNoun>>,
}

impl Default for DialVerb {
    fn default() -> Self {
        DialVerb {
            action: None,
            method: HttpMethod::Post,
            timeout: Duration::from_secs(30),
            time_limit: Duration::from_secs(u64::from(TIME_LIMIT_SECONDS)),
            caller_id: None,
            hangup_on_star: false,
            answer_on_bridge: false,
            sequential: false,
            record: None,
            targets: Vec::new(),
            conference: None,
            queue: None,
        }
    }
}

/// Party that a Dial verb calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DialTarget {
    /// Telephone number.
    Number {
        /// Telephone number as written in the document.
        number: String,
        /// DTMF digits sent after the answer; `w` is a pause.
        send_digits: Option<SensitiveText>,
        /// Document and progress callbacks of the party.
        callback: PartyCallbacks,
    },
    /// Voice SDK client, which the configuration maps to a SIP party or an agent.
    Client {
        /// Identity of the Voice SDK client.
        identity: String,
        /// Document and progress callbacks of the party.
        callback: PartyCallbacks,
    },
    /// SIP address.
    Sip {
        /// Addresses and headers of the party.
        party: SipParty,
        /// Document and progress callbacks of the party.
        callback: PartyCallbacks,
    },
}

/// Document and callbacks of a party that is dialled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyCallbacks {
    /// Document run for the party between its answer and the connection, as written; `None` for no document.
    pub url: Option<String>,
    /// Method of the request for `url`.
    pub method: HttpMethod,
    /// URL that receives call progress events, as written; `None` if no events are reported.
    pub status: Option<String>,
    /// Method of the requests to the URL in `status`.
    pub status_method: HttpMethod,
    /// Events to report to the URL in `status`.
    pub events: CallbackEvents,
    /// Answering machine detection on the party's call; `None` if not requested.
    #[serde(default)]
    pub detection: Option<DialDetection>,
}

/// Answering machine detection for a party's call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialDetection {
    /// Detection thresholds and timeout.
    pub settings: DetectionSettings,
    /// URL that receives the detection result, as written; `None` if the result is not reported.
    pub receiver: Option<String>,
    /// Method of the request to the URL in `receiver`.
    pub method: HttpMethod,
}

/// Call progress events that are reported for a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackEvents {
    /// True if the start of the call is reported.
    pub initiated: bool,
    /// True if ringing is reported.
    pub ringing: bool,
    /// True if the answer is reported.
    pub answered: bool,
    /// True if the end of the call is reported.
    pub completed: bool,
}

impl Default for CallbackEvents {
    fn default() -> Self {
        CallbackEvents { initiated: false, ringing: false, answered: false, completed: true }
    }
}

/// SIP party with one address, or several ordered by priority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipParty {
    /// Addresses of the party; at least one.
    pub uris: Vec<SipUri>,
    /// Headers of the INVITE to any of the addresses, in order.
    pub headers: Vec<SipHeader>,
}

/// SIP address with its headers and priority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipUri {
    /// URI without headers; `sip:` is prepended to an address without a scheme.
    pub uri: String,
    /// Headers after the `?` of the URI, in order.
    pub headers: Vec<SipHeader>,
    /// Priority of the address; lower values are tried first.
    pub priority: u16,
    /// Relative share among addresses of equal priority.
    pub weight: u16,
}

/// SIP header that an application sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SipHeader {
    /// Name of the header.
    pub name: String,
    /// Value of the header.
    pub value: String,
}

/// Reads a Dial; a Dial with an unsupported noun is rejected as a whole.
pub(super) fn dial(mut fields: ElementFields<'_>) -> VerbKind {
    let mut dial = DialVerb {
        action: fields.text("action"),
        method: fields.method("method", 13210),
        timeout: fields.seconds_from_one("timeout", 13212, 30, RING_SECONDS),
        time_limit: fields.seconds_from_one("timeLimit", 13216, TIME_LIMIT_SECONDS, SECONDS),
        caller_id: fields.text("callerId"),
        hangup_on_star: fields.flag("hangupOnStar", 13213),
        answer_on_bridge: fields.flag("answerOnBridge", 13219),
        sequential: fields.flag("sequential", 13218),
        record: record::of_dial(&mut fields),
        targets: Vec::new(),
        conference: None,
        queue: None,
    };
    let (element, path, warnings) = (fields.element, fields.path(), fields.warnings);
    let text = element.text();
    if !text.is_empty()
        && let Some(number) = number_of(&text, element, warnings)
    {
        dial.targets.push(DialTarget::Number { number, send_digits: None, callback: PartyCallbacks::default() });
    }
    for child in element.elements() {
        let Some(entry) = compat::entry(VOICE, path, &child.name) else {
            unknown(child, path, warnings);
            continue;
        };
        if let FeatureSupport::NotSupported(text) = entry.state {
            return VerbKind::Refused(UnsupportedVerb::new(entry.path, code::DIAL_NOUN, text));
        }
        let is_alone = matches!(entry.path, "Dial/Conference" | "Dial/Queue");
        let has_one = dial.conference.is_some() || dial.queue.is_some();
        if has_one || (is_alone && !dial.targets.is_empty()) {
            let only = if dial.queue.is_some() || entry.path == "Dial/Queue" { "Queue" } else { "Conference" };
            let message = format!("<{}> is skipped: a <{only}> is the only noun of its <Dial>", child.name);
            warnings.add(code::CONFERENCE_BESIDE, child.position, message);
            continue;
        }
        let noun = ElementFields::open(entry, child, warnings);
        match entry.path {
            "Dial/Number" => dial.targets.extend(number_noun(noun)),
            "Dial/Client" => dial.targets.extend(client_noun(noun)),
            "Dial/Conference" => dial.conference = conference::conference(noun).map(Box::new),
            "Dial/Queue" => dial.queue = queue::queue(noun).map(Box::new),
            _ => dial.targets.extend(sip_noun(noun)),
        }
    }
    if dial.targets.len() > NOUNS {
        let message = format!("<Dial> has more than {NOUNS} nouns; the rest is not called");
        warnings.add(code::DIAL_NOUNS, element.position, message);
        dial.targets.truncate(NOUNS);
    }
    if dial.targets.is_empty() && dial.conference.is_none() && dial.queue.is_none() {
        warnings.add(code::DIAL_NUMBER, element.position, "<Dial> has no party to call");
    }
    VerbKind::Dial(Box::new(dial))
}

fn number_noun(mut fields: ElementFields<'_>) -> Option<DialTarget> {
    let text = fields.element.text();
    if text.is_empty() {
        fields.warnings.add(code::DIAL_NUMBER, fields.element.position, "<Number> without a number is skipped");
        return None;
    }
    let number = number_of(&text, fields.element, fields.warnings)?;
    let mut send_digits = fields.text("sendDigits");
    if send_digits.as_ref().is_some_and(|digits| !is_digits(digits)) {
        let message = "sendDigits of <Number> may contain only 0-9, A-D, #, *, w and W: no digits are sent";
        fields.warnings.add(13222, fields.element.position, message);
        send_digits = None;
    }
    let callback = callback(&mut fields, 13221);
    Some(DialTarget::Number { number, send_digits: send_digits.map(SensitiveText::new), callback })
}

/// Returns a handwritten phone number with slashes and no-break spaces replaced by spaces; `None` for other texts, such
/// as `client:ann`. The numbering plan decides whether the number is callable.
pub fn written_number(text: &str) -> Option<String> {
    let number = text.replace(['/', '\u{a0}'], " ");
    let is_written = number.chars().all(|char| char.is_ascii_digit() || "+*#()-. ".contains(char));
    let has_key = number.contains(|char: char| char.is_ascii_digit() || "*#".contains(char));
    (is_written && has_key).then_some(number)
}

/// Returns the phone number of an element; other texts, such as `sip:ann@example.com`, are skipped with a warning.
fn number_of(text: &str, element: &XmlElement, warnings: &mut DocumentWarnings) -> Option<String> {
    let number = written_number(text);
    if number.is_none() {
        let noun = match text.split_once(':').map(|(scheme, _)| scheme) {
            Some("client") => ": a client is <Client>",
            Some("sip" | "sips") => ": a SIP address is <Sip>",
            Some(_) | None => "",
        };
        let message = format!("<{}> has no phone number{noun}; it is not called", element.name);
        warnings.add(code::NOT_A_NUMBER, element.position, message);
    }
    number
}

fn client_noun(mut fields: ElementFields<'_>) -> Option<DialTarget> {
    let callback = progress(&mut fields, 13241);
    let (element, path, warnings) = (fields.element, fields.path(), fields.warnings);
    let mut identity = element.text();
    for child in element.elements() {
        let Some(entry) = compat::entry(VOICE, path, &child.name) else {
            unknown(child, path, warnings);
            continue;
        };
        let inner = ElementFields::open(entry, child, warnings);
        if entry.path == "Dial/Client/Identity" {
            identity = inner.element.text();
        }
    }
    if identity.is_empty() {
        warnings.add(code::DIAL_NUMBER, element.position, "<Client> without an identity is skipped");
        return None;
    }
    Some(DialTarget::Client { identity, callback })
}

fn sip_noun(mut fields: ElementFields<'_>) -> Option<DialTarget> {
    let callback = callback(&mut fields, 13241);
    let (element, path, warnings) = (fields.element, fields.path(), fields.warnings);
    let mut party = SipParty { uris: Vec::new(), headers: Vec::new() };
    if let Some(uri) = sip_uri(element) {
        let (uri, headers) = headers_of_uri(&uri, element, warnings);
        party.uris.push(SipUri { uri, headers, priority: 0, weight: 0 });
    }
    for child in element.elements() {
        let Some(entry) = compat::entry(VOICE, path, &child.name) else {
            unknown(child, path, warnings);
            continue;
        };
        let mut inner = ElementFields::open(entry, child, warnings);
        if entry.path == "Dial/Sip/Uri" {
            let mut number = |name| inner.number(name, code::SIP_URI, u32::from(u16::MAX)).unwrap_or(0);
            let [priority, weight] = ["priority", "weight"].map(|name| u16::try_from(number(name)).unwrap_or(u16::MAX));
            if let Some(uri) = sip_uri(child) {
                let (uri, headers) = headers_of_uri(&uri, child, inner.warnings);
                party.uris.push(SipUri { uri, headers, priority, weight });
            }
        } else {
            headers(inner, &mut party.headers);
        }
    }
    if party.uris.is_empty() {
        warnings.add(code::SIP_URI, element.position, "<Sip> without a SIP URI is skipped");
        return None;
    }
    // The sort is stable, so that addresses of equal priority keep the document's order.
    party.uris.sort_by_key(|uri| uri.priority);
    party.uris.truncate(NOUNS);
    Some(DialTarget::Sip { party, callback })
}

fn headers(fields: ElementFields<'_>, headers: &mut Vec<SipHeader>) {
    for child in fields.element.elements() {
        let Some(entry) = compat::entry(VOICE, fields.path(), &child.name) else {
            unknown(child, fields.path(), fields.warnings);
            continue;
        };
        let header = ElementFields::open(entry, child, fields.warnings);
        match (header.text("name"), header.raw("value")) {
            (Some(name), Some(value)) => {
                add_header(headers, SipHeader { name, value: value.trim().to_owned() }, child, header.warnings);
            }
            _ => {
                header.warnings.add(
                    code::SIP_HEADER,
                    child.position,
                    "<Header> needs a name and a value; it is skipped",
                );
            }
        }
    }
}

/// Splits the headers (after `?`) off a SIP URI.
pub(super) fn headers_of_uri(
    uri: &str,
    element: &XmlElement,
    warnings: &mut DocumentWarnings,
) -> (String, Vec<SipHeader>) {
    let (uri, written) = split_headers(uri);
    let mut headers = Vec::new();
    for header in written {
        add_header(&mut headers, header, element, warnings);
    }
    (uri.to_owned(), headers)
}

/// Splits the headers after `?` off a SIP URI of an API request, and returns the URI and the headers.
///
/// # Errors
/// Returns a message with the name of the first header that must not be set, and the reason.
pub fn headers_of_request(uri: &str) -> Result<(String, Vec<SipHeader>), String> {
    let (uri, written) = split_headers(uri);
    let mut headers = Vec::new();
    for header in written {
        judge_header(&headers, &header).map_err(|why| format!("SIP header {:?}: {why}", shown_name(&header)))?;
        headers.push(header);
    }
    Ok((uri.to_owned(), headers))
}

/// Splits a URI at `?` and decodes the headers after it, form-encoded except that `+` is literal.
fn split_headers(uri: &str) -> (&str, Vec<SipHeader>) {
    let (uri, written) = uri.split_once('?').unwrap_or((uri, ""));
    let written = written.replace('+', "%2B");
    let header = |(name, value): (Cow<'_, str>, Cow<'_, str>)| SipHeader {
        name: name.trim().to_owned(),
        value: value.trim().to_owned(),
    };
    (uri, url::form_urlencoded::parse(written.as_bytes()).map(header).collect())
}

/// Adds a header if applications may set it; otherwise adds a warning.
fn add_header(headers: &mut Vec<SipHeader>, header: SipHeader, element: &XmlElement, warnings: &mut DocumentWarnings) {
    let Err(why) = judge_header(headers, &header) else { return headers.push(header) };
    let message = format!("SIP header {:?} of <{}> is skipped: {why}", shown_name(&header), element.name);
    warnings.add(code::SIP_HEADER, element.position, message);
}

fn shown_name(header: &SipHeader) -> String {
    header.name.chars().take(40).collect()
}

/// Checks whether applications may set a header in addition to `headers`: only `User-to-User` and `X-…` are allowed,
/// except those that the edge itself writes.
///
/// # Errors
/// Returns the reason why the header must not be set.
fn judge_header(headers: &[SipHeader], header: &SipHeader) -> Result<(), &'static str> {
    let name = header.name.to_ascii_lowercase();
    let is_token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._!%*+`'~".contains(&byte));
    let may_be_set = is_token && (name == "user-to-user" || (name.starts_with("x-") && name.len() > 2));
    let is_own = name.starts_with("x-trunkgate-") || name == "x-call-hops";
    let bytes: usize = headers.iter().chain([header]).map(|one| one.name.len() + one.value.len()).sum();
    if !may_be_set {
        Err("only X-… and User-to-User may be set")
    } else if is_own {
        Err("X-Call-Hops and X-Trunkgate-… are the edge's own")
    } else if header.value.is_empty() || has_control(&header.value) {
        Err("its value is empty or holds control characters")
    } else if bytes > SIP_HEADER_BYTES {
        Err("the headers are too long together")
    } else {
        Ok(())
    }
}

/// Returns whether a value contains a control character, literal or `%`-encoded, which a SIP peer may decode.
fn has_control(value: &str) -> bool {
    let mut unescaped = url::form_urlencoded::parse(value.as_bytes());
    let has_one = |text: &str| text.chars().any(char::is_control);
    has_one(value) || unescaped.any(|(name, value)| has_one(&name) || has_one(&value))
}

/// Returns the SIP URI in the text of an element, with `sip:` prepended to a text without a scheme; `None` if the text
/// is empty, or contains white space or a control character.
pub(super) fn sip_uri(element: &XmlElement) -> Option<String> {
    let text = element.text();
    let has_scheme = ["sip:", "sips:"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    match text {
        text if text.is_empty() || text.contains(char::is_whitespace) => None,
        // Headers after the URI are checked one by one elsewhere.
        text if has_control(text.split('?').next().unwrap_or_default()) => None,
        text if has_scheme => Some(text),
        text => Some(format!("sip:{text}")),
    }
}

fn callback(fields: &mut ElementFields<'_>, code: u16) -> PartyCallbacks {
    PartyCallbacks { detection: detection(fields), ..progress(fields, code) }
}

/// Reads the document and the progress callback of a party.
fn progress(fields: &mut ElementFields<'_>, code: u16) -> PartyCallbacks {
    PartyCallbacks {
        url: fields.text("url"),
        method: fields.method("method", code),
        status: fields.text("statusCallback"),
        status_method: fields.method("statusCallbackMethod", code),
        events: events(fields),
        detection: None,
    }
}

fn detection(fields: &mut ElementFields<'_>) -> Option<DialDetection> {
    let modes = DetectionMode::ALL.map(|(mode, name)| (name, Some(mode)));
    let mode = fields.choice("machineDetection", code::SCHEMA, &modes, None)?;
    let values = [
        fields.threshold("machineDetectionTimeout", &ThresholdParameter::TIMEOUT),
        fields.threshold("machineDetectionSpeechThreshold", &ThresholdParameter::SPEECH),
        fields.threshold("machineDetectionSpeechEndThreshold", &ThresholdParameter::SPEECH_END),
        fields.threshold("machineDetectionSilenceTimeout", &ThresholdParameter::SILENCE),
    ];
    Some(DialDetection {
        settings: DetectionSettings::new(mode, values),
        receiver: fields.text("amdStatusCallback"),
        method: fields.method("amdStatusCallbackMethod", code::SCHEMA),
    })
}

/// Reads event names separated by white space, as in TwiML; commas are accepted too.
fn events(fields: &mut ElementFields<'_>) -> CallbackEvents {
    let Some(words) = fields.text("statusCallbackEvent") else { return CallbackEvents::default() };
    let mut events = CallbackEvents { completed: false, ..CallbackEvents::default() };
    for word in words.split(|sign: char| sign.is_whitespace() || sign == ',').filter(|word| !word.is_empty()) {
        match word {
            "initiated" => events.initiated = true,
            "ringing" => events.ringing = true,
            "answered" => events.answered = true,
            "completed" => events.completed = true,
            _ => fields.invalid("statusCallbackEvent", code::SCHEMA, "names an unknown event"),
        }
    }
    events
}
