//! Keys of what the edge tells, and of the services that it uses: `[cdr]`, `[hep]`, `[otel]`, `[api]`, `[twilio]`, `[sms]`.

use super::{COUNT, FILE, FOLDER, Key, Kind, MUST, NONE, OUTPUT, PREFIX, TEXT, is, keys, told};

const TWILIO_API: Kind = Kind::Later("the Twilio-compatible API");

/// `[cdr]`
pub(in crate::config) const CDR: &[Key] = keys! {
    "file": OUTPUT, NONE, "call record file, one record per call (also after a crash)";
    "format": Kind::Word(&["jsonl", "csv"]), is(r#""jsonl""#).beside("file"), "format of `file`";
    "rotate": Kind::Many(&Kind::Text("size or duration")), NONE, "file rotation by size (\"100 MiB\", minimum 64 KiB), by age (\"1d\", minimum 1m), or both";
    "keep": Kind::Either(&[Kind::Integer(1, 1_000_000), Kind::Duration]), told("all"), "rotated files to keep, by number or by age";
    "url": Kind::Url, NONE, "webhook that receives each record (HTTP POST, at least once)";
    "secret": Kind::Many(&Kind::Secret), NONE, "secret that signs each POST (Standard Webhooks); a list during rotation";
    "token": Kind::Secret, NONE, "token sent as `Authorization: Bearer`";
    "ca": FILE, told("system roots"), "CA bundle (PEM) to verify the endpoint";
    "spool": FOLDER, told("`cdr.spool` beside `file`, else beside this file"), "directory of an earlier version's queue; moved to `[edge] data_directory` at the start";
    "spool_size": Kind::Size, is(r#""256 MiB""#).beside("url"), "maximum size of the records that wait for delivery";
};

/// `[hep]`
pub(in crate::config) const HEP: &[Key] = keys! {
    "address": TEXT, MUST, "host and port of the HEP server that receives a copy of each call's SIP messages";
    "id": Kind::Integer(1, u32::MAX), is("1"), "capture agent ID";
    "password": Kind::Secret, NONE, "authentication key of the HEP server";
};

/// `[otel]`
pub(in crate::config) const OTEL: &[Key] = keys! {
    "endpoint": Kind::Url, MUST, "OTLP/HTTP endpoint: base URL of a collector, or a full URL that ends in /v1/traces";
    "headers": Kind::Map(&Kind::Secret), is("{}"), "HTTP headers sent with each request";
    "sample": Kind::Share, is("1"), "fraction of calls whose traces are exported, 0 to 1";
    "service_name": TEXT, is(r#""trunkgate""#), "`service.name` of the spans";
    "timeout": Kind::Duration, is(r#""10s""#), "timeout of one request; maximum 60 s";
    "ca": FILE, told("system roots"), "CA bundle (PEM) to verify the endpoint";
};

/// `[api]`
pub(in crate::config) const API: &[Key] = keys! {
    "account_sid": TEXT, told("`AC` and a hash of `[edge] name`"), "`accountSid` sent to agents";
    "auth_token": TWILIO_API, NONE, "secret of the Twilio-compatible API";
    "connect": TWILIO_API, NONE, "targets of calls placed through the API";
};

/// `[twilio]`
pub(in crate::config) const TWILIO: &[Key] = keys! {
    "account_sid": TEXT, MUST, "account SID: `AC` and 32 hexadecimal digits";
    "auth_token": Kind::Secret, MUST, "auth token of the account; also verifies requests to `/sms/inbound`";
    "base_url": Kind::Url, is(r#""https://api.twilio.com""#), "base URL of the Twilio API";
    "timeout": Kind::Duration, is(r#""10s""#), "timeout of one request";
    "status_callback": Kind::Url, NONE, "URL to which Twilio reports the delivery status of each message";
};

/// `[sms]`
pub(in crate::config) const SMS: &[Key] = keys! {
    "store": OUTPUT, told("`sms.db` in `$STATE_DIRECTORY`, else beside this file"), "database of an earlier version; moved to `[edge] data_directory` at the start";
    "expires": Kind::Duration, is(r#""4h""#), "maximum time in the queue; a message not sent by then is discarded";
    "per_recipient_per_day": COUNT, is("5"), "maximum number of messages to one number in 24 hours; 0: no limit";
    "per_day": COUNT, is("2000"), "maximum number of messages in 24 hours; 0: no limit";
    "allow_prefixes": Kind::Many(&PREFIX), told("numbers of the countries of `[edge] country` and of `from`, not those of other countries with the same calling code"), "number prefixes to which messages are sent";
    "replies": Kind::Table(REPLIES), NONE, "replies to STOP, START and HELP";
};

/// `replies` of `[sms]`.
pub(in crate::config) const REPLIES: &[Key] = keys! {
    "stop": TEXT, NONE, "reply to STOP";
    "start": TEXT, NONE, "reply to START";
    "help": TEXT, NONE, "reply to HELP";
};

/// A route's `sms_on_failure`.
pub(in crate::config) const SMS_ON_FAILURE: &[Key] = keys! {
    "to": TEXT, MUST, "recipient: \"{caller}\" or a number";
    "from": TEXT, MUST, "sender: a number of the account, a short code, the SID of a messaging service, or an alphanumeric sender ID";
    "body": TEXT, MUST, "text of the message; {caller}, {called}, {route}, {trunk}, {outcome} and {reason} are replaced";
    "on": Kind::Many(&Kind::Word(&["busy", "no_answer", "failed", "canceled"])), is(r#"["busy", "no_answer", "failed"]"#), "call outcomes after which the message is sent";
};
