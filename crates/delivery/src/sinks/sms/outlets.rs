//! Services that send texts: the accounts of `[twilio]` and `[messages]`.

use std::sync::Arc;
use std::time::Duration;

use form_urlencoded::Serializer;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request};
use url::Url;

use super::message::{Message, Posted, complaint};
use trunkgate_config::{Config, MessageSettings, SmsSettings};
use trunkgate_system::limits::SMS_RETRY_AFTER_SECONDS;
pub use trunkgate_system::web::{self, ExchangeFault, HttpAnswer};

/// Path of the edge's HTTP server for status callbacks of services.
pub const STATUS_PATH: &str = "/sms/status";

/// Service that sends a text, and kind of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Text after a call, sent by Twilio.
    Call = 0,
    /// API message, sent by Twilio.
    Twilio = 1,
    /// API message, sent by the service of `[messages]`.
    Service = 2,
}

impl Channel {
    /// Returns the channel for its number in the store.
    pub(super) fn of(stored: u8) -> Channel {
        match stored {
            1 => Channel::Twilio,
            2 => Channel::Service,
            _ => Channel::Call,
        }
    }
}

/// Services that send texts, from the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlets {
    pub(crate) twilio: Option<Arc<SmsSettings>>,
    /// Service of `[messages]`, if it has a `url`.
    pub(crate) service: Option<Arc<MessageSettings>>,
    /// URL to which services send status callbacks.
    pub(crate) status_url: Option<String>,
    /// Permitted prefixes for recipients of API messages; empty: all are permitted.
    pub(crate) allow_prefixes: Vec<String>,
}

impl Outlets {
    /// Returns the services of a configuration.
    pub fn of(config: &Config) -> Outlets {
        let base = config.http.public_url.as_deref().map(|url| trunkgate_route::url_place(url).trim_end_matches('/'));
        Outlets {
            twilio: config.sms.clone(),
            service: Some(config.messages.clone()).filter(|messages| messages.url.is_some()),
            status_url: base.map(|base| format!("{base}{STATUS_PATH}")),
            allow_prefixes: config.messages.allow_prefixes.clone(),
        }
    }

    /// Returns whether a service is configured.
    pub fn is_any(&self) -> bool {
        self.twilio.is_some() || self.service.is_some()
    }

    /// Returns the channel for an API message; `None` without a service. A messaging service requires Twilio.
    pub fn channel(&self, has_messaging_service: bool) -> Option<Channel> {
        match (self.service.is_some() && !has_messaging_service, self.twilio.is_some()) {
            (true, _) => Some(Channel::Service),
            (false, true) => Some(Channel::Twilio),
            (false, false) => None,
        }
    }
}

/// Returns the request that sends a message through the service of `[messages]`, and its URL.
pub(super) fn post(
    settings: &MessageSettings,
    sid: &str,
    message: &Message,
    status_url: Option<&str>,
) -> Result<(Url, Request<Full<Bytes>>), String> {
    let url = Url::parse(settings.url.as_deref().unwrap_or_default()).map_err(|error| error.to_string())?;
    let mut form = Serializer::new(String::new());
    for (name, value) in [("To", &*message.to), ("From", &message.from), ("Body", &message.body), ("MessageSid", sid)] {
        form.append_pair(name, value);
    }
    if let Some(status_url) = status_url {
        form.append_pair("StatusCallback", status_url);
    }
    let mut request = web::request(Method::POST, &url)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "Trunkgate")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(token) = &settings.token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
    }
    // The library's error text may contain the value of a header.
    let request = request.body(Full::new(Bytes::from(form.finish())));
    Ok((url, request.map_err(|_| "`url` or `token` has characters that an HTTP request cannot carry".to_owned())?))
}

/// Evaluates the response of the service of `[messages]`. The service recognises a message by its SID, so a request
/// with an unknown result is repeated.
pub(super) fn judge(sid: &str, answer: &Result<HttpAnswer, ExchangeFault>) -> Posted {
    let answer = match answer {
        Ok(answer) => answer,
        Err(fault) => return Posted::Later(Duration::ZERO, fault.what().to_owned()),
    };
    match answer.status.as_u16() {
        200..=299 => Posted::Taken(sid.to_owned()),
        // A redirect would send the text to a host that is not configured, so it is not followed. It may be temporary.
        300..=399 | 408 | 425 | 429 | 500..=599 => {
            let later = web::retry_after(&answer.headers, SMS_RETRY_AFTER_SECONDS).unwrap_or_default();
            Posted::Later(later, complaint(answer).1)
        }
        _ => {
            let (code, why) = complaint(answer);
            Posted::Refused { opted_out: false, code, why }
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, StatusCode};

    use super::*;
    use trunkgate_config::Secret;

    fn settings() -> MessageSettings {
        let (url, token) = (Some("https://sms.example.com/send?x=1".into()), Some(Secret::new("secret".into())));
        MessageSettings { url, token, timeout: Duration::from_secs(10), ..MessageSettings::default() }
    }

    #[test]
    fn a_request_has_the_message_its_sid_and_the_token() {
        let message = Message { to: "+14155550199".into(), from: "+14155550100".into(), body: "Hi & bye".into() };
        let (url, request) = post(&settings(), "SM1", &message, Some("https://edge.example.com/sms/status")).unwrap();
        assert_eq!(url.as_str(), "https://sms.example.com/send?x=1");
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer secret");
        assert_eq!((request.method(), request.uri().query()), (&Method::POST, Some("x=1")));
        assert!(post(&MessageSettings::default(), "SM1", &message, None).is_err());
    }

    #[test]
    fn what_an_answer_means() {
        let answer = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            Ok(HttpAnswer { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec(), is_whole: true })
        };
        assert_eq!(judge("SM1", &answer(204, "")), Posted::Taken("SM1".into()));
        for status in [301, 307, 429, 500, 503] {
            assert!(matches!(judge("SM1", &answer(status, "")), Posted::Later(..)), "{status}");
        }
        assert!(matches!(judge("SM1", &Err(ExchangeFault::Unanswered("gone".into()))), Posted::Later(..)));
        let refused = judge("SM1", &answer(400, r#"{"code":21614,"message":"not a mobile number"}"#));
        assert!(matches!(refused, Posted::Refused { code: Some(21_614), opted_out: false, .. }), "{refused:?}");
        assert!(matches!(judge("SM1", &answer(404, "")), Posted::Refused { code: None, .. }));
    }

    #[test]
    fn a_messaging_service_is_twilios() {
        let service = Some(Arc::new(settings()));
        let only_service = Outlets { service, ..Outlets::default() };
        assert_eq!([only_service.channel(false), only_service.channel(true)], [Some(Channel::Service), None]);
        assert_eq!(Outlets::default().channel(false), None);
        assert!(!Outlets::default().is_any() && only_service.is_any());
    }
}
