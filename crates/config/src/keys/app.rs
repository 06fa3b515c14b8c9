//! Keys of applications and of the Twilio-compatible API: `[app.NAME]`, `[recognition]`, `[[number]]`, `[api]`.

use std::time::Duration;

use trunkgate_call::RecogniserSpec;
use trunkgate_media::agent::AgentFormat;
use trunkgate_route::WebhookMethod;

use super::{
    COUNT, ConfigKey, FILE, FieldSetter, MUST, NONE, NUMBER, SOCKET, TEXT, ValueKind, is, keyed, keys, must, read, told,
};
use crate::apps::{self, AppKeys};
use crate::types::ApiSettings;
use crate::values::KeyReader;
use crate::{agents, api, caller_id, documents, recognition, webhook_url};

keyed! {
    /// Keys of `[app.NAME]`.
    APP, PUT_APP: AppKeys;
    "url": ValueKind::Url
        => read!(webhook_url::read, |app, url| app.url = Some(url)), NONE, "URL of the webhook that answers with TwiML; either `url` or `file` is required";
    "file": FILE
        => read!(documents::file, |app, file| app.file = Some(file)), NONE, "TwiML file below the directory of this file, instead of a webhook";
    "method": ValueKind::Word(&["POST", "GET"])
        => FieldSetter::Word(|app, word| app.method = if word == "GET" { WebhookMethod::Get } else { WebhookMethod::Post }), is(r#""POST""#).beside("url"), "HTTP method of `url`";
    "fallback_url": ValueKind::Url
        => read!(webhook_url::read, |app, url| app.fallback_url = Some(url)), NONE, "URL requested when a document cannot be retrieved or run";
    "status_callback": ValueKind::Url
        => read!(webhook_url::read, |app, url| app.status_callback = Some(url)), NONE, "URL notified of the progress of each call";
    "status_callback_events": ValueKind::Many(&ValueKind::Word(&["initiated", "ringing", "answered", "completed"]))
        => read!(apps::events, |app, events| app.events = events), is(r#"["completed"]"#).beside("status_callback"), "events sent to `status_callback`";
    "allow_private": ValueKind::Boolean
        => FieldSetter::Boolean(|app, is_so| app.allow_private = is_so), is("false"), "lets webhooks, callbacks, Play and Stream of the app reach private and loopback addresses";
    "insecure_redirects": ValueKind::Boolean
        => FieldSetter::Boolean(|app, is_so| app.insecure_redirects = is_so), is("false"), "follows redirects of the app's host from https to http without TLS; by default the edge requests the same path over HTTPS";
    "sip_to": ValueKind::Many(&TEXT)
        => read!(apps::sip_to, |app, rules| app.sip_to = rules), is("[]"), "SIP addresses that Dial and Refer may reach in addition to trunks, such as sip:*@HOST";
    "callers": ValueKind::Many(&TEXT)
        => read!(caller_id::callers, |app, callers| app.callers = callers), is("[]"), "numbers that `callerId` of Dial may show in addition to each [[number]] and the numbers of the call: exact, prefixes with `*`, or /expressions/";
}

keyed! {
    /// Keys of `[recognition]`.
    RECOGNITION, PUT_RECOGNITION: RecogniserSpec;
    "url": ValueKind::Url
        => read!(recognition::url, |to, url| to.url = url), must(r#"add url = "wss://asr.example.com/stream""#), "WebSocket URL of the recogniser; its query is sent";
    "token": ValueKind::Secret
        => FieldSetter::Secret(|to, secret| to.token = Some(secret.reveal().to_owned())), NONE, "token sent as `Authorization: Bearer`";
    "ca": FILE
        => read!(agents::certificates, |to, pem| to.ca = Some(pem)), told("system roots"), "CA bundle (PEM) to verify the recogniser's certificate";
    "format": ValueKind::Word(&["l16/8000", "l16/16000"])
        => FieldSetter::Word(|to, word| to.format = if word == "l16/16000" { AgentFormat::L16Rate16000 } else { AgentFormat::L16Rate8000 }), is(r#""l16/8000""#), "audio format: linear 16 bit, little-endian, at 8 or 16 kHz";
    "connect_timeout": ValueKind::Duration
        => FieldSetter::DurationFrom((Duration::from_millis(100), "the recogniser has to answer the TLS and WebSocket handshakes in it"), |to, time| to.connect_timeout = time), is(r#""3s""#), "maximum time to open the WebSocket; after that a Gather continues without speech";
    "max_sessions": COUNT
        => FieldSetter::Integer(|to, most| to.max_sessions = most), is("0"), "maximum number of concurrent recognitions; further Gathers continue without speech; 0: one for each call";
    "events": ValueKind::Boolean
        => FieldSetter::Boolean(|to, is_so| to.events = is_so), is("false"), "publishes what live transcriptions understand as `call.transcribed` of `/v1/events`, readable with the token of [http]";
}

/// Keys of `[[number]]`.
pub(crate) const NUMBERS: &[ConfigKey] = keys! {
    "number": NUMBER, MUST, "phone number";
    "name": TEXT, NONE, "name of the number, `friendly_name` in the Twilio-compatible API";
    "app": ValueKind::Name, told("none: routes decide"), "app that takes calls to the number, ahead of all routes";
    "from": ValueKind::Many(&TEXT), told("all trunks without `accept_register`"), "source trunks";
};

keyed! {
    /// Keys of `[api]`.
    API, PUT_API: ApiSettings;
    "account_sid": TEXT
        => read!(api::account_sid, |api, sid| api.account_sid = sid), told("`AC` and a hash of `[edge] name`"), "account SID sent to agents and webhooks";
    "auth_token": ValueKind::Secret
        => FieldSetter::Secret(|api, secret| api.auth_token = Some(secret)), NONE, "secret that signs webhooks (`X-Twilio-Signature`) and opens the Twilio-compatible API; required if an app has a URL";
    "connect": ValueKind::Many(&ValueKind::Text("target")), told("the routes, as for a call from the caller's trunk"), "trunks through which calls dialled by an app leave, tried in order";
    "allow_private": ValueKind::Boolean
        => FieldSetter::Boolean(|api, is_so| api.allow_private = is_so), is("false").beside("auth_token"), "lets URLs given through the Twilio-compatible API reach private and loopback addresses";
    "emergency_calls": ValueKind::Integer(0, 1_000)
        => FieldSetter::Integer(|api, most| api.emergency_calls = most as usize), is("3"), "maximum number of concurrent emergency calls over HTTP, with four times as many attempts per minute; 0: none; those of callers have no limit";
    "requests_per_second": COUNT
        => FieldSetter::Integer(|api, most| api.requests_per_second = most), is("100").beside("auth_token"), "maximum number of requests to the Twilio-compatible API per second; further requests get 429; 0: unlimited";
    "keep_calls": ValueKind::Duration
        => FieldSetter::Duration(|api, time| api.keep_calls = time), is(r#""30d""#).beside("auth_token"), "how long ended calls stay in the lists of the Twilio-compatible API and of `/v1/calls` over restarts, at most 250,000 calls; `0s`: until the restart";
    "proxy": ValueKind::Either(&[ValueKind::Boolean, ValueKind::Word(&["tunnel"])])
        => read!(api::proxy, |api, proxy| api.proxy = proxy), is("false").beside("auth_token"), "`true`: CONNECT for api and lookups.twilio.com leads to the Twilio-compatible API; `\"tunnel\"`: loopback clients reach other hosts too";
    "tls": SOCKET
        => read!(KeyReader::socket_address, |api, address| api.tls = Some(address)), NONE.beside("auth_token"), "address and port, usually 443, of a TLS listener for the Twilio-compatible API alone, as api and lookups.twilio.com, with a certificate of the edge's CA";
    "strict": ValueKind::Boolean
        => FieldSetter::Boolean(|api, is_so| api.strict = is_so), is("false").beside("auth_token"), "refuses parameters of Twilio-compatible requests that have no effect, instead of counting them; for CI";
}
