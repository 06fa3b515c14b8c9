//! Keys of reports and external services: `[cdr]`, `[alerts]`, `[hep]`, `[otel]`, `[twilio]`, `[sms]`, `[messages]`,
//! `[recording]`, `[transcription]`, `[voicemail.NAME]`, `[mail]`.

use trunkgate_call::Sampling;
use trunkgate_recording::Container;
use trunkgate_route::Mailbox;

use super::{
    COUNT, ConfigKey, FILE, FOLDER, FieldSetter, MUST, NONE, OUTPUT, PREFIX, TEXT, ValueKind, is, keyed, keys, must,
    read, told,
};
use crate::cdr::{self, CdrDraft, CdrFormat};
use crate::hep::{self, HepSettings};
use crate::mail::{self, MailSettings};
use crate::messages::{self, MessageSettings};
use crate::otel::{self, OtelSettings};
use crate::receiver::{self, WebhookReceiver};
use crate::recording::{self, AnnounceTo, OnFull, RecordingSettings};
use crate::sms::{self, OptOutReplies, SmsSettings};
use crate::transcription::{self, TranscriptionSettings};
use crate::values::KeyReader;
use crate::{agents, alerts, api, schema, voicemail, webhook_url};

keyed! {
    /// Keys of `[cdr]`.
    CDR, PUT_CDR: CdrDraft;
    "file": OUTPUT
        => read!(cdr::path, |to, path| to.file.path = path), NONE, "call record file, one record per call (also after a crash)";
    "format": ValueKind::Word(&["jsonl", "csv"])
        => FieldSetter::Word(|to, word| to.file.format = if word == "csv" { CdrFormat::Csv } else { CdrFormat::Jsonl }), is(r#""jsonl""#).beside("file"), "format of `file`";
    "rotate": ValueKind::Many(&ValueKind::Text("size or duration"))
        => read!(cdr::rotation, |to, rotation| (to.file.rotate_bytes, to.file.rotate_every) = rotation), NONE.beside("file"), "file rotation by size (\"100 MiB\", minimum 64 KiB), by age (\"1d\", minimum 1m), or both";
    "keep": ValueKind::Either(&[ValueKind::Integer(1, 1_000_000), ValueKind::Duration])
        => read!(cdr::keep, |to, keep| to.file.keep = keep), told("all").beside("file"), "rotated files to keep, by number or by age";
    "url": ValueKind::Url
        => read!(cdr::url, |to, url| to.url.receiver.url = url), NONE, "webhook that receives each record (HTTP POST, at least once)";
    "secret": ValueKind::Many(&ValueKind::Secret)
        => read!(receiver::secrets, |to, secrets| to.url.receiver.secrets = secrets), NONE.beside("url"), "secret that signs each POST (Standard Webhooks); a list during rotation";
    "token": ValueKind::Secret
        => FieldSetter::Secret(|to, secret| to.url.receiver.token = Some(secret)), NONE.beside("url"), "token sent as `Authorization: Bearer`";
    "ca": FILE
        => read!(agents::certificates, |to, pem| to.url.receiver.ca = Some(pem)), told("system roots").beside("url"), "CA bundle (PEM) to verify the endpoint";
    "timeout": ValueKind::Duration
        => read!(otel::timeout, |to, time| to.url.receiver.timeout = time), is(r#""20s""#).beside("url"), "timeout of one request to `url`; maximum 60 s";
    "spool_size": ValueKind::Size
        => read!(cdr::spool_size, |to, bytes| to.url.most_waiting = bytes), is(r#""256 MiB""#).beside("url"), "maximum size of the records that wait for delivery";
}

keyed! {
    /// Keys of `[alerts]`.
    ALERTS, PUT_ALERTS: WebhookReceiver;
    "url": ValueKind::SecretUrl
        => read!(alerts::url, |to, url| to.url = url), must(r#"add url = "https://hooks.example.com/trunkgate""#), "webhook for problems that begin or end";
    "secret": ValueKind::Many(&ValueKind::Secret)
        => read!(receiver::secrets, |to, secrets| to.secrets = secrets), NONE, "as in `[cdr]`";
    "token": ValueKind::Secret
        => FieldSetter::Secret(|to, secret| to.token = Some(secret)), NONE, "as in `[cdr]`";
    "ca": FILE
        => read!(agents::certificates, |to, pem| to.ca = Some(pem)), told("system roots"), "as in `[cdr]`";
    "timeout": ValueKind::Duration
        => read!(otel::timeout, |to, time| to.timeout = time), is(r#""20s""#), "as in `[cdr]`";
}

keyed! {
    /// Keys of `[recording]`.
    RECORDING, PUT_RECORDING: RecordingSettings;
    "directory": FOLDER
        => read!(recording::directory, |to, path| to.directory = path), must(r#"add directory = "/var/lib/trunkgate/recordings""#), "directory of the recordings; the edge creates the last part of the path, with mode 700";
    "format": ValueKind::Word(&["wav", "opus"])
        => FieldSetter::Word(|to, word| to.container = if word == "opus" { Container::Opus } else { Container::Wav }), is(r#""wav""#), "format of new recordings: WAV (16-bit, 8 kHz) or Ogg Opus";
    "keep": ValueKind::Duration
        => read!(recording::keep, |to, keep| to.keep = keep), told("for ever"), "time after which a recording is deleted, from its start; minimum 1m";
    "key": ValueKind::Secret
        => read!(recording::key, |to, key| to.key = Some(key)), told("recordings are not encrypted"), "age identity that recordings are encrypted for; further ones in the file open older recordings";
    "announce": FILE
        => read!(KeyReader::string, |to, file| to.announce = Some(file)), NONE, "announcement that the parties of a call hear before a recording requested by its route: a file below the directory of this configuration";
    "announce_to": ValueKind::Word(&["both", "caller", "callee"])
        => FieldSetter::Word(|to, word| to.announce_to = AnnounceTo::of(word)), is(r#""both""#).beside("announce"), "parties that hear `announce`";
    "on_full": ValueKind::Word(&["continue", "refuse_calls"])
        => FieldSetter::Word(|to, word| to.on_full = if word == "refuse_calls" { OnFull::RefuseCalls } else { OnFull::Continue }), is(r#""continue""#), "new calls while recordings cannot be written: accepted with gaps in their recordings, or refused";
    "url": ValueKind::Url
        => read!(webhook_url::read_of_receiver, |to, url| to.notify = Some(url)), NONE, "webhook that is notified of the beginning and the end of each recording (form, at least once)";
}

keyed! {
    /// Keys of `[voicemail.NAME]`.
    VOICEMAIL, PUT_VOICEMAIL: Mailbox;
    "greeting": FILE
        => read!(KeyReader::string, |to, file| to.greeting = Some(file)), told("the tone alone"), "sound that callers hear before the tone: a file below the directory of this file";
    "max_length": ValueKind::Duration
        => read!(voicemail::max_length, |to, time| to.max_length = time), is(r#""3m""#), "longest message: 1s to 1h";
    "max_messages": ValueKind::Integer(1, 100_000)
        => FieldSetter::Integer(|to, most| to.max_messages = u64::from(most)), is("1000"), "maximum number of messages in the mailbox; a full one does not answer: calls go to the next target, or get 480 (`mailbox_full`)";
    "max_size": ValueKind::Size
        => read!(voicemail::max_size, |to, bytes| to.max_bytes = bytes), is(r#""1 GiB""#), "size of all messages from which on the mailbox is full: 1 MiB to 1 TiB";
    "silence": ValueKind::Duration
        => read!(voicemail::silence, |to, time| to.silence = time), is(r#""5s""#), "silence that ends a message: 1s to 1m";
    "notify": ValueKind::Url
        => read!(voicemail::notify, |to, url| to.notify = Some(url)), NONE, "receiver that is notified of each message: a webhook (form), or \"mailto:ADDRESS\" (e-mail with the audio, needs `[mail]`); at least once";
    "mwi": ValueKind::Many(&ValueKind::Text("trunk:NAME or trunk:NAME/USER")), NONE, "phones and extensions that show new messages (MWI): trunks that may subscribe, and users of a trunk that are notified without a subscription";
    "transcribe": ValueKind::Boolean
        => FieldSetter::Boolean(|to, is_so| to.transcribe = is_so), is("false"), "transcribes messages by `[transcription]`; `notify` gets the text";
}

keyed! {
    /// Keys of `[mail]`.
    MAIL, PUT_MAIL: MailSettings;
    "server": ValueKind::Text("smtps:// or smtp:// URL")
        => read!(mail::server, |to, place| place.put(to)), must(mail::SERVER_HELP), "mail server with its user: `smtps://user@host` (TLS), or `smtp://user@host` (STARTTLS required, except to loopback)";
    "password": ValueKind::Secret
        => FieldSetter::Secret(|to, secret| to.password = Some(secret)), NONE, "password of the user in `server`";
    "from": TEXT
        => read!(mail::address, |to, address| to.from = address), must(r#"add from = "voicemail@example.com""#), "address of the sender";
    "ca": FILE
        => read!(agents::certificates, |to, pem| to.ca = Some(pem)), told("system roots"), "CA bundle (PEM) to verify the server; with it `smtp://` to loopback requires STARTTLS, too";
}

keyed! {
    /// Keys of `[transcription]`.
    TRANSCRIPTION, PUT_TRANSCRIPTION: TranscriptionSettings;
    "url": ValueKind::Url
        => read!(transcription::url, |to, url| to.url = url), must(r#"add url = "https://asr.example.com/v1/audio/transcriptions""#), "service compatible with OpenAI's `/audio/transcriptions`; `http://` only to loopback and `[edge] local_networks`";
    "token": ValueKind::Secret
        => FieldSetter::Secret(|to, secret| to.token = Some(secret)), NONE, "key of the service, sent as `Authorization: Bearer`";
    "model": TEXT
        => read!(transcription::name, |to, name| to.model = name), is(r#""whisper-1""#), "model requested from the service";
    "language": TEXT
        => read!(transcription::name, |to, name| to.language = Some(name)), told("recognised by the service"), "language of the recordings, as the service names it: \"en\"";
    "all": ValueKind::Boolean
        => FieldSetter::Boolean(|to, is_so| to.all = is_so), is("false"), "transcribes every recording, not only those with a transcription request";
}

keyed! {
    /// Keys of `[hep]`.
    HEP, PUT_HEP: HepSettings;
    "address": TEXT
        => read!(hep::address, |hep, address| hep.address = address), must(r#"address = "127.0.0.1:9060""#), "host and port of the HEP server that receives a copy of each call's SIP messages";
    "id": ValueKind::Integer(1, u32::MAX)
        => FieldSetter::Integer(|hep, id| hep.id = id), is("1"), "capture agent ID";
    "password": ValueKind::Secret
        => FieldSetter::Secret(|hep, secret| hep.password = Some(secret)), NONE, "authentication key of the HEP server";
}

keyed! {
    /// Keys of `[otel]`.
    OTEL, PUT_OTEL: OtelSettings;
    "endpoint": ValueKind::Url
        => read!(otel::endpoint, |otel, url| otel.url = url), must(r#"endpoint = "http://127.0.0.1:4318""#), "OTLP/HTTP endpoint: base URL of a collector, or a full URL that ends in /v1/traces";
    "headers": ValueKind::Map(&ValueKind::Secret)
        => read!(otel::headers, |otel, headers| otel.headers = headers), is("{}"), "HTTP headers sent with each request";
    "sample": ValueKind::Share
        => read!(otel::share, |otel, share| otel.sampling = Sampling::of_share(share)), is("1"), "fraction of calls whose traces are exported, 0 to 1";
    "service_name": TEXT
        => read!(otel::service_name, |otel, name| otel.service_name = name), is(r#""trunkgate""#), "`service.name` of the spans";
    "timeout": ValueKind::Duration
        => read!(otel::timeout, |otel, time| otel.timeout = time), is(r#""10s""#), "timeout of one request; maximum 60 s";
    "ca": FILE
        => read!(agents::certificates, |otel, pem| otel.ca = Some(pem)), told("system roots"), "CA bundle (PEM) to verify the endpoint";
}

keyed! {
    /// Keys of `[twilio]`.
    TWILIO, PUT_TWILIO: SmsSettings;
    "account_sid": TEXT
        => read!(api::account_sid, |sms, sid| sms.account_sid = sid), MUST, "account SID: `AC` and 32 hexadecimal digits";
    "auth_token": ValueKind::Secret
        => FieldSetter::Secret(|sms, secret| sms.auth_token = secret), MUST, "auth token of the account; also verifies requests to `/sms/inbound`";
    "base_url": ValueKind::Url
        => read!(sms::base_url, |sms, url| sms.base_url = url), is(r#""https://api.twilio.com""#), "base URL of the Twilio API";
    "timeout": ValueKind::Duration
        => read!(sms::timeout, |sms, time| sms.timeout = time), is(r#""10s""#), "timeout of one request";
    "status_callback": ValueKind::Url
        => read!(schema::web_url, |sms, url| sms.status_callback = Some(url)), NONE, "URL to which Twilio reports the delivery status of each message";
}

keyed! {
    /// Keys of `[sms]`.
    SMS, PUT_SMS: SmsSettings;
    "expires": ValueKind::Duration
        => FieldSetter::Duration(|sms, time| sms.expires = time), is(r#""4h""#), "maximum time in the queue; a message not sent by then is discarded";
    "per_recipient_per_day": COUNT
        => FieldSetter::Integer(|sms, most| sms.per_recipient_per_day = most), is("5"), "maximum number of messages to one number in 24 hours; 0: no limit";
    "per_day": COUNT
        => FieldSetter::Integer(|sms, most| sms.per_day = most), is("2000"), "maximum number of messages in 24 hours; 0: no limit";
    "allow_prefixes": ValueKind::Many(&PREFIX), told("numbers of the countries of `[edge] country` and of `from`, not those of other countries with the same calling code"), "number prefixes to which messages are sent";
    "replies": ValueKind::Table(REPLIES)
        => read!(sms::replies, |sms, replies| sms.replies = replies), NONE, "replies to STOP, START and HELP";
}

keyed! {
    /// Keys of `[messages]`.
    MESSAGES, PUT_MESSAGES: MessageSettings;
    "url": ValueKind::Url
        => read!(messages::url, |to, url| to.url = Some(url)), told("messages leave through `[twilio]`"), "service that sends messages: POST of a form with To, From, Body, MessageSid and StatusCallback";
    "token": ValueKind::Secret
        => FieldSetter::Secret(|to, secret| to.token = Some(secret)), NONE, "secret sent to the service as `Authorization: Bearer`, and required in its requests to the edge";
    "timeout": ValueKind::Duration
        => read!(sms::timeout, |to, time| to.timeout = time), is(r#""10s""#).beside("url"), "timeout of one request to `url`";
    "inbound": ValueKind::Url
        => read!(webhook_url::read, |to, url| to.inbound = Some(url)), NONE, "webhook for messages to a `[[number]]` without an SmsUrl, which answers with TwiML or a text";
}

keyed! {
    /// Keys of `replies` of `[sms]`.
    REPLIES, PUT_REPLIES: OptOutReplies;
    "stop": TEXT
        => read!(sms::text_of_message, |replies, text| replies.stop = Some(text)), NONE, "reply to STOP";
    "start": TEXT
        => read!(sms::text_of_message, |replies, text| replies.start = Some(text)), NONE, "reply to START";
    "help": TEXT
        => read!(sms::text_of_message, |replies, text| replies.help = Some(text)), NONE, "reply to HELP";
}

/// Keys of `sms_on_failure` of a route.
pub(crate) const SMS_ON_FAILURE: &[ConfigKey] = keys! {
    "to": TEXT, MUST, "recipient: \"{caller}\" or a number";
    "from": TEXT, MUST, "sender: a number of the account, a short code, the SID of a messaging service, or an alphanumeric sender ID";
    "body": TEXT, MUST, "text of the message; {caller}, {called}, {route}, {trunk}, {outcome} and {reason} are replaced";
    "on": ValueKind::Many(&ValueKind::Word(&["busy", "no_answer", "failed", "canceled"])), is(r#"["busy", "no_answer", "failed"]"#), "call outcomes after which the message is sent";
};
