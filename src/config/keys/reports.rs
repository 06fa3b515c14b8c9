//! Keys of what the edge tells, and of the services that it uses: `[cdr]`, `[hep]`, `[otel]`, `[api]`, `[twilio]`, `[sms]`.

use super::{COUNT, FILE, FOLDER, Key, Kind, MUST, NONE, OUTPUT, PREFIX, TEXT, is, keys, told};

const TWILIO_API: Kind = Kind::Later("the Twilio-compatible API");

/// `[cdr]`
pub(in crate::config) const CDR: &[Key] = keys! {
    "file": OUTPUT, NONE, "call records, one a call, also after a crash";
    "format": Kind::Word(&["jsonl", "csv"]), is(r#""jsonl""#).beside("file"), "of the file";
    "rotate": Kind::Many(&Kind::Text("size or duration")), NONE, "when the file is put aside: \"100 MiB\" (64 KiB or more), \"1d\" (1m or more), or both";
    "keep": Kind::Either(&[Kind::Integer(1, 1_000_000), Kind::Duration]), told("all"), "of those that were put aside";
    "url": Kind::Url, NONE, "each record is posted there, at least once";
    "secret": Kind::Many(&Kind::Secret), NONE, "signs what is posted (Standard Webhooks)";
    "token": Kind::Secret, NONE, "shown as `Authorization: Bearer`";
    "ca": FILE, told("the system's"), "PEM: whom the endpoint's certificate must come from";
    "spool": FOLDER, told("`cdr.spool` beside `file`, else beside the configuration"), "where records wait for the endpoint";
    "spool_size": Kind::Size, is(r#""256 MiB""#).beside("url"), "what it may hold";
};

/// `[hep]`
pub(in crate::config) const HEP: &[Key] = keys! {
    "address": TEXT, MUST, "host and port of the server that gets a copy of calls' SIP";
    "id": Kind::Integer(1, u32::MAX), is("1"), "the capture agent's number";
    "password": Kind::Secret, NONE, "what the server asks for";
};

/// `[otel]`
pub(in crate::config) const OTEL: &[Key] = keys! {
    "endpoint": Kind::Url, MUST, "OTLP over HTTP: a collector's base address, or the whole one that ends in /v1/traces";
    "headers": Kind::Map(&Kind::Secret), is("{}"), "sent with each request";
    "sample": Kind::Share, is("1"), "the share of calls whose traces are sent";
    "service_name": TEXT, is(r#""trunkgate""#), "`service.name` of the spans";
    "timeout": Kind::Duration, is(r#""10s""#), "for one request, 60 s at most";
    "ca": FILE, told("the system's"), "PEM: whom the endpoint's certificate must come from";
};

/// `[api]`
pub(in crate::config) const API: &[Key] = keys! {
    "account_sid": TEXT, told("`AC` and a hash of `[edge] name`"), "what agents are told as `accountSid`";
    "auth_token": TWILIO_API, NONE, "of the Twilio-compatible API";
    "connect": TWILIO_API, NONE, "how calls made through the API leave";
};

/// `[twilio]`
pub(in crate::config) const TWILIO: &[Key] = keys! {
    "account_sid": TEXT, MUST, "`AC` and 32 hex digits";
    "auth_token": Kind::Secret, MUST, "it signs what comes to `/sms/inbound` as well";
    "base_url": Kind::Url, is(r#""https://api.twilio.com""#), "where Twilio's interface is";
    "timeout": Kind::Duration, is(r#""10s""#), "for one request";
    "status_callback": Kind::Url, NONE, "where Twilio reports what becomes of each message";
};

/// `[sms]`
pub(in crate::config) const SMS: &[Key] = keys! {
    "store": OUTPUT, told("`sms.db` in `$STATE_DIRECTORY` (systemd's `StateDirectory`), else beside this file"), "the queue, and who has said STOP";
    "expires": Kind::Duration, is(r#""4h""#), "a text that could not be sent by then is not sent any more";
    "per_recipient_per_day": COUNT, is("5"), "texts to one number in 24 hours; 0: no limit";
    "per_day": COUNT, is("2000"), "texts in 24 hours; 0: no limit";
    "allow_prefixes": Kind::Many(&PREFIX), told("numbers of the countries of `[edge] country` and of `from`: where several share a calling code, of those alone"), "what a caller's number must begin with to get one";
    "replies": Kind::Table(REPLIES), NONE, "what we answer to STOP, START and HELP";
};

/// `replies` of `[sms]`.
pub(in crate::config) const REPLIES: &[Key] = keys! {
    "stop": TEXT, NONE, "to STOP";
    "start": TEXT, NONE, "to START";
    "help": TEXT, NONE, "to HELP";
};

/// A route's `sms_on_failure`.
pub(in crate::config) const SMS_ON_FAILURE: &[Key] = keys! {
    "to": TEXT, MUST, "\"{caller}\", or a number";
    "from": TEXT, MUST, "a number of the account's, a short code, the sid of a messaging service, or a name";
    "body": TEXT, MUST, "with {caller}, {called}, {route}, {trunk}, {outcome} and {reason}";
    "on": Kind::Many(&Kind::Word(&["busy", "no_answer", "failed", "canceled"])), is(r#"["busy", "no_answer", "failed"]"#), "after which outcomes";
};
