//! Requests to Twilio's Messages resource, and the meaning of their responses.
//!
//! Sending a message is not idempotent at Twilio, which offers no idempotency key for it (error 20500). Without a
//! response, or after 5xx, it is unknown whether Twilio accepted the message. The edge therefore looks it up before it
//! sends it again: a message to the same recipient with the same text, created since, with a SID that belongs to no
//! other call.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::Serializer;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;
use trunkgate_call::numbers::plain;
use url::Url;

use trunkgate_config::{SmsSettings, is_service};
use trunkgate_system::limits::{SMS_COMPLAINT_CHARACTERS, SMS_LISTED, SMS_RETRY_AFTER_SECONDS};
pub(crate) use trunkgate_system::web::{self, ExchangeFault, HttpAnswer};

/// Twilio's error code for a recipient on its own opt-out list (STOP).
const OPTED_OUT: u32 = 21_610;
/// Maximum difference between Twilio's clock and ours, in seconds.
const CLOCKS_SECONDS: i64 = 300;

/// Message to be sent by a service.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) to: String,
    pub(super) from: String,
    pub(super) body: String,
}

/// Result of a request that sends a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Posted {
    /// The service accepted the message, with this SID.
    Taken(String),
    /// The service did not accept the message; it may be sent again after this pause.
    Later(Duration, String),
    /// Unknown whether the service accepted the message.
    Doubtful(String),
    /// The service permanently rejected the message; `opted_out` is true if the recipient is on Twilio's opt-out list.
    Refused { opted_out: bool, code: Option<u32>, why: String },
}

/// Result of a request that looks a message up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Looked {
    /// The message was accepted, with this SID.
    Found(String),
    /// The message is not in the list.
    Absent,
    /// Unknown whether the message was accepted.
    Doubtful(String),
}

/// Returns the request that sends a message, and its URL. Twilio sends status callbacks to `status_url`.
pub(super) fn post(
    settings: &SmsSettings,
    message: &Message,
    status_url: Option<&str>,
) -> Result<(Url, Request<Full<Bytes>>), String> {
    let url = messages(settings)?;
    let mut form = Serializer::new(String::new());
    form.append_pair("To", &message.to);
    form.append_pair(if is_service(&message.from) { "MessagingServiceSid" } else { "From" }, &message.from);
    form.append_pair("Body", &message.body);
    if let Some(callback) = status_url {
        form.append_pair("StatusCallback", callback);
    }
    let request = request(settings, Method::POST, &url, Some(form.finish()))?;
    Ok((url, request))
}

/// Returns the request that lists the messages to a recipient, and its URL.
pub(super) fn look(settings: &SmsSettings, message: &Message) -> Result<(Url, Request<Full<Bytes>>), String> {
    let mut url = messages(settings)?;
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("To", &message.to);
        if !is_service(&message.from) {
            query.append_pair("From", &message.from);
        }
        query.append_pair("PageSize", &SMS_LISTED.to_string());
    }
    let request = request(settings, Method::GET, &url, None)?;
    Ok((url, request))
}

fn messages(settings: &SmsSettings) -> Result<Url, String> {
    let base = settings.base_url.trim_end_matches('/');
    Url::parse(&format!("{base}/2010-04-01/Accounts/{}/Messages.json", settings.account_sid))
        .map_err(|error| error.to_string())
}

fn request(
    settings: &SmsSettings,
    method: Method,
    url: &Url,
    form: Option<String>,
) -> Result<Request<Full<Bytes>>, String> {
    let credentials = STANDARD.encode(format!("{}:{}", settings.account_sid, settings.auth_token.reveal()));
    let mut request = web::request(method, url)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "Trunkgate")
        .header(AUTHORIZATION, format!("Basic {credentials}"));
    if form.is_some() {
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    // The library's error text may contain the value of a header.
    request
        .body(Full::new(Bytes::from(form.unwrap_or_default())))
        .map_err(|_| "`base_url` or `account_sid` has characters that an HTTP request cannot carry".to_owned())
}

/// Fields of an error response of Twilio.
#[derive(Debug, Default, Deserialize)]
struct Complaint {
    #[serde(default)]
    code: Option<u32>,
    #[serde(default)]
    message: Option<String>,
}

/// Fields of a message in Twilio's list.
#[derive(Debug, Deserialize)]
struct Listed {
    sid: String,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    direction: Option<String>,
    #[serde(default)]
    date_created: Option<String>,
}

#[derive(Debug, Deserialize)]
struct List {
    messages: Vec<Listed>,
}

/// Returns the meaning of the response to [`post`].
pub(super) fn judge_post(answer: &Result<HttpAnswer, ExchangeFault>) -> Posted {
    let answer = match answer {
        Ok(answer) => answer,
        Err(ExchangeFault::NotSent(what)) => return Posted::Later(Duration::ZERO, what.clone()),
        Err(ExchangeFault::Unanswered(what)) => return Posted::Doubtful(what.clone()),
    };
    let status = answer.status.as_u16();
    match status {
        200..=299 => match serde_json::from_slice::<Listed>(&answer.body) {
            Ok(made) if is_sid(&made.sid) => Posted::Taken(made.sid),
            // The response is not Twilio's, so its server may have forwarded the request.
            Ok(_) | Err(_) => Posted::Doubtful(format!("answered {status} without a message")),
        },
        // A redirect would send the text to a host that is not configured, so it is not followed. It may be temporary.
        300..=399 | 429 => {
            let later = web::retry_after(&answer.headers, SMS_RETRY_AFTER_SECONDS).unwrap_or_default();
            Posted::Later(later, complaint(answer).1)
        }
        500..=599 => Posted::Doubtful(complaint(answer).1),
        _ => {
            let (code, why) = complaint(answer);
            Posted::Refused { opted_out: code == Some(OPTED_OUT), code, why }
        }
    }
}

/// Evaluates the response to [`look`]. `since` is the time of the first attempt, `known` contains the SIDs of other
/// calls' messages.
pub(super) fn judge_look(
    answer: &Result<HttpAnswer, ExchangeFault>,
    message: &Message,
    since: Timestamp,
    known: &HashSet<String>,
) -> Looked {
    let answer = match answer {
        Ok(answer) if answer.status.is_success() => answer,
        Ok(answer) => return Looked::Doubtful(complaint(answer).1),
        Err(fault) => return Looked::Doubtful(fault.what().to_owned()),
    };
    let Ok(list) = serde_json::from_slice::<List>(&answer.body) else {
        return Looked::Doubtful("the response is not a list of messages".to_owned());
    };
    let found = list.messages.into_iter().find(|listed| {
        let is_ours = listed.direction.as_deref().is_none_or(|direction| direction == "outbound-api");
        let to = listed.to.as_deref() == Some(&message.to);
        let body = listed.body.as_deref().is_some_and(|body| is_text(body, &message.body));
        is_sid(&listed.sid)
            && is_ours
            && to
            && body
            && is_since(listed.date_created.as_deref(), since)
            && !known.contains(&listed.sid)
    });
    found.map_or(Looked::Absent, |found| Looked::Found(found.sid))
}

/// Returns whether a listed text is the sent one. A trial account prepends words, and smart encoding replaces
/// characters other than letters.
fn is_text(listed: &str, ours: &str) -> bool {
    let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let plain = letters(ours);
    listed.ends_with(ours) || (!plain.is_empty() && letters(listed).ends_with(&plain))
}

/// Returns whether a message was created at a time or later; true if its date is unknown.
fn is_since(date: Option<&str>, since: Timestamp) -> bool {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let made = date.and_then(|date| PARSER.parse_timestamp(date).ok());
    made.is_none_or(|made| made.as_second() + CLOCKS_SECONDS >= since.as_second())
}

fn is_sid(sid: &str) -> bool {
    sid.len() == 34 && sid.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Returns Twilio's error code and message, with all digits of the message masked, because it often contains the
/// recipient's number.
pub(super) fn complaint(answer: &HttpAnswer) -> (Option<u32>, String) {
    let status = answer.status.as_u16();
    let Complaint { code, message } = serde_json::from_slice(&answer.body).unwrap_or_default();
    let hidden: String =
        message.unwrap_or_default().chars().map(|c| if c.is_ascii_digit() { '*' } else { c }).collect();
    let words = plain(&hidden, SMS_COMPLAINT_CHARACTERS);
    let code_text = code.map(|code| format!(", error {code}")).unwrap_or_default();
    (code, format!("answered {status}{code_text}{}{words}", if words.is_empty() { "" } else { ": " }))
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, StatusCode};

    use super::super::tests::settings;
    use super::*;

    const SID: &str = "SM0123456789abcdef0123456789abcdef";

    fn message() -> Message {
        Message {
            to: "+14155550100".into(), from: "+14155551234".into(), body: "We missed your call. 5 € + 1".into()
        }
    }

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Result<HttpAnswer, ExchangeFault> {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        Ok(HttpAnswer { status, headers, body: body.as_bytes().to_vec(), is_whole: true })
    }

    #[test]
    fn a_message_is_a_form() {
        let (url, request) = post(&settings(), &message(), None).unwrap();
        let account = "AC0123456789abcdef0123456789abcdef";
        assert_eq!(url.as_str(), format!("https://api.twilio.com/2010-04-01/Accounts/{account}/Messages.json"));
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, url.path()));
        let basic = STANDARD.encode(format!("{account}:12345"));
        assert_eq!(request.headers()[AUTHORIZATION], format!("Basic {basic}"));
        let (url, request) = look(&settings(), &message()).unwrap();
        assert_eq!(url.query(), Some("To=%2B14155550100&From=%2B14155551234&PageSize=100"));
        assert_eq!(request.method(), Method::GET);
    }

    #[test]
    fn what_an_answer_means() {
        let busy = r#"{"code":20429,"message":"Too Many Requests","status":429}"#;
        let stop = r#"{"code":21610,"message":"Attempt to send to unsubscribed recipient +14155550100","status":400}"#;
        let later = |seconds| {
            Posted::Later(Duration::from_secs(seconds), "answered 429, error 20429: Too Many Requests".to_owned())
        };
        for (answered, meaning) in [
            (answer(201, &[], &format!(r#"{{"sid":"{SID}"}}"#)), Posted::Taken(SID.to_owned())),
            (answer(200, &[], "<html>"), Posted::Doubtful("answered 200 without a message".into())),
            (answer(429, &[], busy), later(0)),
            (answer(429, &[("retry-after", "7")], busy), later(7)),
            (answer(429, &[("retry-after", "999999")], busy), later(SMS_RETRY_AFTER_SECONDS)),
            (answer(500, &[], ""), Posted::Doubtful("answered 500".into())),
            (answer(503, &[], "x"), Posted::Doubtful("answered 503".into())),
            (
                answer(400, &[], stop),
                Posted::Refused {
                    opted_out: true,
                    code: Some(OPTED_OUT),
                    why: "answered 400, error 21610: Attempt to send to unsubscribed recipient +***********".into(),
                },
            ),
            (answer(401, &[], ""), Posted::Refused { opted_out: false, code: None, why: "answered 401".into() }),
            (answer(302, &[], ""), Posted::Later(Duration::ZERO, "answered 302".into())),
            (Err(ExchangeFault::NotSent("TLS".into())), Posted::Later(Duration::ZERO, "TLS".into())),
            (Err(ExchangeFault::Unanswered("gone".into())), Posted::Doubtful("gone".into())),
        ] {
            assert_eq!(judge_post(&answered), meaning);
        }
    }

    #[test]
    fn only_a_message_that_can_be_ours_is_found() {
        let since: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let body = message().body;
        let listed = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut one = serde_json::json!({
                "sid": SID, "to": "+14155550100", "from": "+14155551234", "body": body, "direction": "outbound-api",
                "date_created": "Fri, 20 Nov 2026 12:00:01 +0000", "date_sent": null, "status": "queued",
            });
            change(&mut one);
            answer(200, &[], &serde_json::json!({ "messages": [one] }).to_string())
        };
        let look = |answer: &Result<HttpAnswer, ExchangeFault>| judge_look(answer, &message(), since, &HashSet::new());
        let found = Looked::Found(SID.to_owned());
        assert_eq!(look(&listed(&|_| ())), found);
        let trial = format!("Sent from your Twilio trial account - {body}");
        assert_eq!(look(&listed(&|one| one["body"] = trial.as_str().into())), found);
        assert_eq!(look(&listed(&|one| one["body"] = body.replace('€', "EUR").as_str().into())), Looked::Absent);
        assert_eq!(look(&listed(&|one| one["body"] = body.replace('€', "?").as_str().into())), found);
        for (key, value) in [
            ("to", "+14155550101"),
            ("body", "Your order is ready"),
            ("direction", "inbound"),
            ("sid", "SM1"),
            ("date_created", "Fri, 20 Nov 2026 11:50:00 +0000"),
        ] {
            assert_eq!(look(&listed(&|one| one[key] = value.into())), Looked::Absent, "{key}");
        }
        let known = HashSet::from([SID.to_owned()]);
        assert_eq!(judge_look(&listed(&|_| ()), &message(), since, &known), Looked::Absent, "another call's");
        for broken in [answer(500, &[], ""), answer(200, &[], "{}"), Err(ExchangeFault::NotSent("x".into()))] {
            assert!(matches!(look(&broken), Looked::Doubtful(_)));
        }
    }
}
