//! Every key of the configuration: what may stand there, what holds where nothing does, and what it is for, in one line. A
//! key that is not built yet is refused at its place, never accepted without effect. The reader judges keys by these lists;
//! `config schema`, `config show` and docs/reference/keys.md are made of them.

mod agent;
mod app;
mod edge;
mod put;
mod reports;
mod route;
mod trunk;

pub(super) use agent::{AGENT, HOLD, PUT_AGENT, QUEUE, SPEECH};
pub(super) use app::{API, APP, NUMBERS, PUT_API, PUT_APP, PUT_RECOGNITION, RECOGNITION};
pub(super) use edge::{
    ACME, BAN, CERTIFICATE, EDGE, HTTP, HTTP_TLS, LIMITS, LISTEN, LOG, MEDIA, PUT_ACME, PUT_BAN, PUT_HTTP, PUT_LIMITS,
    PUT_LOG, PUT_MEDIA, TLS,
};
pub(super) use put::{Around, Put, fill};
pub(super) use reports::{
    CDR, HEP, MAIL, MESSAGES, OTEL, PUT_CDR, PUT_HEP, PUT_MAIL, PUT_MESSAGES, PUT_OTEL, PUT_RECORDING, PUT_REPLIES,
    PUT_SMS, PUT_TRANSCRIPTION, PUT_TWILIO, PUT_VOICEMAIL, RECORDING, REPLIES, SMS, SMS_ON_FAILURE, TRANSCRIPTION,
    TWILIO, VOICEMAIL,
};
pub(super) use route::{GROUP, RING_ALL, ROUTE};
pub(super) use trunk::{
    AUTH, CALLER_ID, HEADERS, PEER, PUT_SIPREC, PUT_TRUNK, QUOTA, RATES, REGISTER, REQUIRE_AUTH, SIPREC, TRUNK,
    TRUNK_PARTS, TRUNK_TLS,
};

/// What may stand behind a key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// A string; what it is, in a word or two.
    Text(&'static str),
    /// A name of trunks, listeners, routes: letters, digits, `-`, `_` and `.`.
    Name,
    /// A URL: what may be secret in it is not shown.
    Url,
    /// A string that is never shown, `{ env = "NAME" }` or `{ file = "PATH" }`.
    Secret,
    /// `"30s"`, or 0.
    Duration,
    /// `"256 MiB"`.
    Size,
    /// `true` or `false`.
    Boolean,
    /// An integer of this range; `u32::MAX` is no upper end.
    Integer(u32, u32),
    /// A number from 0 to 1.
    Share,
    /// One of these integers.
    Choice(&'static [u32]),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list.
    List(&'static Kind),
    /// A list, or one of it without brackets.
    Many(&'static Kind),
    /// A table with names of the user's own.
    Map(&'static Kind),
    /// A table with these keys.
    Table(&'static [Key]),
    /// Tables with names: `[trunk.NAME]`.
    Named(&'static [Key]),
    /// Tables in an order: `[[route]]`.
    Rows(&'static [Key]),
    /// Any of these.
    Either(&'static [Kind]),
    /// This text only; any other is still to come.
    OnlyText(&'static str),
}

impl Kind {
    /// The keys of a table of the file itself.
    pub(super) fn keys(self) -> Option<&'static [Key]> {
        if let Kind::Table(keys) | Kind::Named(keys) | Kind::Rows(keys) = self { Some(keys) } else { None }
    }
}

/// What holds where a key is not written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Default {
    /// What it is.
    pub(super) is: Absent,
    /// The key beside it without which it says nothing.
    pub(super) beside: Option<&'static str>,
}

/// What holds in its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Absent {
    /// This value, as it would be written.
    Value(&'static str),
    /// What no value of the file says, in words.
    Told(&'static str),
    /// Nothing: it must be there.
    Required,
}

impl Default {
    /// Holds only where that key is written, too.
    pub(super) const fn beside(self, key: &'static str) -> Default {
        Default { beside: Some(key), ..self }
    }
}

/// This value, as TOML.
pub(super) const fn is(value: &'static str) -> Default {
    Default { is: Absent::Value(value), beside: None }
}

/// In words.
pub(super) const fn told(words: &'static str) -> Default {
    Default { is: Absent::Told(words), beside: None }
}

/// It must be there.
pub(super) const MUST: Default = Default { is: Absent::Required, beside: None };
/// Nothing.
pub(super) const NONE: Default = told("none");

/// A key of a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Key {
    /// As it is written.
    pub(super) name: &'static str,
    /// What may stand there.
    pub(super) kind: Kind,
    /// What holds where it is not written.
    pub(super) default: Default,
    /// What it is for.
    pub(super) about: &'static str,
}

/// `"name": KIND, DEFAULT, "what it is for";` and so on.
macro_rules! keys {
    ($($name:literal: $kind:expr, $default:expr, $about:literal;)*) => {
        &[$($crate::keys::Key { name: $name, kind: $kind, default: $default, about: $about }),*]
    };
}
pub(super) use keys;

/// The same, `TABLE, PLACES: TYPE` before them; where the value of a key goes stands behind its kind.
macro_rules! keyed {
    (
        $(#[$about_all:meta])* $table:ident, $places:ident: $of:ty;
        $($name:literal: $kind:expr $(=> $put:expr)?, $default:expr, $about:literal;)*
    ) => {
        $(#[$about_all])*
        pub(crate) const $table: &[Key] = keys! { $($name: $kind, $default, $about;)* };
        /// Where the values of its keys go, but of those that have readers.
        pub(crate) const $places: &[(&str, Put<$of>)] = &[$($(($name, $put),)?)*];
    };
}
pub(super) use keyed;

/// A place for what a reader makes of a value: `read!(reader, |to, made| …)`. The reader gets key, value and findings, with `in` before it
/// what stands around the value as well.
macro_rules! read {
    (in $reader:expr, |$to:ident, $made:ident| $set:expr) => {
        Put::Read(|$to, key, value, around, findings| {
            if let Some($made) = $reader(key, value, around, findings) {
                $set;
            }
        })
    };
    ($reader:expr, |$to:ident, $made:ident| $set:expr) => {
        Put::Read(|$to, key, value, _, findings| {
            if let Some($made) = $reader(key, value, findings) {
                $set;
            }
        })
    };
}
pub(super) use read;

/// Any string.
pub(super) const TEXT: Kind = Kind::Text("string");
/// A path.
pub(super) const FILE: Kind = Kind::Text("file");
/// A path that is written to, not read.
pub(super) const OUTPUT: Kind = Kind::Text("file to write");
/// A path.
pub(super) const FOLDER: Kind = Kind::Text("folder");
/// An IP address.
pub(super) const ADDRESS: Kind = Kind::Text("address");
/// An address with a port.
pub(super) const SOCKET: Kind = Kind::Text("address:port");
/// A network.
pub(super) const NETWORK: Kind = Kind::Text("network");
/// Numbers of a kind.
pub(super) const PATTERN: Kind = Kind::Text("number, prefix* or /expression/");
/// One number.
pub(super) const NUMBER: Kind = Kind::Text("number");
/// The beginning of one.
pub(super) const PREFIX: Kind = Kind::Text("prefix");
/// How many there may be, or none.
pub(super) const COUNT: Kind = Kind::Integer(0, u32::MAX);

/// The file itself.
pub(super) const ROOT: &[Key] = keys! {
    "edge": Kind::Table(EDGE), is("{}"), "identity and addresses of the edge";
    "listen": Kind::Rows(LISTEN), told("UDP and TCP port 5060; TLS port 5061 if a peer uses TLS"), "SIP listeners";
    "media": Kind::Table(MEDIA), is("{}"), "RTP addresses, ports and threads";
    "limits": Kind::Table(LIMITS), is("{}"), "limits of the whole edge";
    "http": Kind::Table(HTTP), is("{}"), "HTTP API: health, metrics, status, calls";
    "tls": Kind::Table(TLS), NONE, "certificates that the edge obtains by itself";
    "trunk": Kind::Named(TRUNK), NONE, "SIP peers: carriers, PBXs, phones";
    "route": Kind::Rows(ROUTE), NONE, "routes; the first match handles the call";
    "group": Kind::Named(GROUP), NONE, "targets shared by several routes";
    "log": Kind::Table(LOG), is("{}"), "log output";
    "cdr": Kind::Table(CDR), NONE, "call records";
    "agent": Kind::Named(AGENT), NONE, "voice agents";
    "api": Kind::Table(API), is("{}"), "identity sent to agents and webhooks";
    "client": Kind::Map(&Kind::Many(&Kind::Text("target"))), NONE, "SIP parties and voice agents by the identities of Voice SDK clients: `agent1 = \"trunk:pbx/201\"`";
    "app": Kind::Named(APP), NONE, "applications that answer with TwiML";
    "number": Kind::Rows(NUMBERS), NONE, "phone numbers of this edge";
    "twilio": Kind::Table(TWILIO), NONE, "Twilio account";
    "sms": Kind::Table(SMS), NONE, "text messages after unanswered calls";
    "messages": Kind::Table(MESSAGES), NONE, "text messages of the Twilio-compatible API";
    "speech": Kind::Table(SPEECH), NONE, "text-to-speech for `hold` and apps";
    "recognition": Kind::Table(RECOGNITION), NONE, "speech recognition for Gather of apps";
    "recording": Kind::Table(RECORDING), NONE, "files of call recordings";
    "transcription": Kind::Table(TRANSCRIPTION), NONE, "transcription of recordings";
    "siprec": Kind::Named(SIPREC), NONE, "recording servers (SIPREC) of calls whose route names them";
    "voicemail": Kind::Named(VOICEMAIL), NONE, "mailboxes that take messages of callers";
    "mail": Kind::Table(MAIL), NONE, "mail server for voicemail";
    "hep": Kind::Table(HEP), NONE, "copies of SIP messages for Homer (HEP)";
    "otel": Kind::Table(OTEL), NONE, "call traces for OpenTelemetry";
};

/// A secret written as a table.
pub(super) const SECRET: &[Key] = keys! {
    "env": TEXT, NONE, "environment variable that holds the secret";
    "file": FILE, NONE, "file that holds the secret";
};

/// Every table, to say where a misplaced key belongs.
pub(super) const TABLES: &[(&str, &[Key])] = &[
    ("[edge]", EDGE),
    ("[[listen]]", LISTEN),
    ("[media]", MEDIA),
    ("[limits]", LIMITS),
    ("[http]", HTTP),
    ("[tls]", TLS),
    ("[trunk.NAME]", TRUNK),
    ("[agent.NAME]", AGENT),
    ("[app.NAME]", APP),
    ("[[number]]", NUMBERS),
    ("[[route]]", ROUTE),
    ("[group.NAME]", GROUP),
    ("[api]", API),
    ("[speech]", SPEECH),
    ("[recognition]", RECOGNITION),
    ("[twilio]", TWILIO),
    ("[messages]", MESSAGES),
    ("[sms]", SMS),
    ("[log]", LOG),
    ("[cdr]", CDR),
    ("[recording]", RECORDING),
    ("[transcription]", TRANSCRIPTION),
    ("[siprec.NAME]", SIPREC),
    ("[voicemail.NAME]", VOICEMAIL),
    ("[mail]", MAIL),
    ("[hep]", HEP),
    ("[otel]", OTEL),
];

#[cfg(test)]
mod tests;

/// Whether two lists are the same one.
pub(super) fn same(one: &[Key], other: &[Key]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.name == other.name)
}
