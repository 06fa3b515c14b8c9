//! Tables of all configuration keys: value kind, default and description. The parser, `config schema`, `config show`
//! and docs/reference/keys.md use the same tables. A key that is not implemented is an error, never ignored.

use std::sync::LazyLock;

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
    ACME, BAN, CERTIFICATE, EDGE, HTTP, HTTP_TLS, LIMITS, LISTEN, LOG, MEDIA, PUT_ACME, PUT_BAN, PUT_EDGE, PUT_HTTP,
    PUT_LIMITS, PUT_LOG, PUT_MEDIA, TLS,
};
pub(super) use put::{EmptyScope, FieldSetter, ReadScope, fill};
pub(super) use reports::{
    ALERTS, CDR, HEP, MAIL, MESSAGES, OTEL, PUT_ALERTS, PUT_CDR, PUT_HEP, PUT_MAIL, PUT_MESSAGES, PUT_OTEL,
    PUT_RECORDING, PUT_REPLIES, PUT_SMS, PUT_TRANSCRIPTION, PUT_TWILIO, PUT_VOICEMAIL, RECORDING, REPLIES, SMS,
    SMS_ON_FAILURE, TRANSCRIPTION, TWILIO, VOICEMAIL,
};
pub(super) use route::{GROUP, RING_ALL, ROUTE};
pub(super) use trunk::{
    AUTH, CALLER_ID, HEADERS, PEER, PUT_SIPREC, PUT_TRUNK, QUOTA, RATES, REGISTER, REQUIRE_AUTH, SIPREC, TRUNK,
    TRUNK_PARTS, TRUNK_TLS,
};

/// Type of a key's value, with its restrictions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ValueKind {
    /// A string; the text names its kind.
    Text(&'static str),
    /// Name of a trunk, listener or route: letters, digits, `-`, `_` and `.`.
    Name,
    /// URL; its secret parts are masked.
    Url,
    /// URL of which all but the server is a secret, as of a chat service's webhook.
    SecretUrl,
    /// Secret string, `{ env = "NAME" }` or `{ file = "PATH" }`; never displayed.
    Secret,
    /// Duration such as `"30s"`, or 0.
    Duration,
    /// Size such as `"256 MiB"`.
    Size,
    /// `true` or `false`.
    Boolean,
    /// Integer in this range; `u32::MAX`: no upper limit.
    Integer(u32, u32),
    /// Number from 0 to 1.
    Share,
    /// One of these integers.
    Choice(&'static [u32]),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Program with its arguments, of which only the placeholders are displayed.
    Command,
    /// List of values of this kind.
    List(&'static ValueKind),
    /// List of values, or a single value without brackets.
    Many(&'static ValueKind),
    /// Table with arbitrary keys, whose values are of this kind.
    Map(&'static ValueKind),
    /// Table with these keys.
    Table(&'static [ConfigKey]),
    /// Named tables: `[trunk.NAME]`.
    Named(&'static [ConfigKey]),
    /// Array of tables: `[[route]]`.
    Rows(&'static [ConfigKey]),
    /// Value of any of these kinds.
    Either(&'static [ValueKind]),
}

impl ValueKind {
    /// Returns the keys of a top-level table.
    pub(super) fn keys(self) -> Option<&'static [ConfigKey]> {
        if let ValueKind::Table(keys) | ValueKind::Named(keys) | ValueKind::Rows(keys) = self {
            Some(keys)
        } else {
            None
        }
    }
}

/// Default of a key, or its meaning if it is absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct KeyDefault {
    /// Value if the key is absent.
    pub(super) is: AbsentMeaning,
    /// Key without which this one has no effect.
    pub(super) beside: Option<&'static str>,
}

/// Meaning of an absent key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum AbsentMeaning {
    /// The key has this default, in TOML syntax.
    Value(&'static str),
    /// Default that no value can express, in words.
    Told(&'static str),
    /// The key is required; the correction is reported if the key is missing. Without a correction the reader of the
    /// table reports it.
    Required(&'static str),
}

impl KeyDefault {
    /// Makes the default depend on another key.
    pub(super) const fn beside(self, key: &'static str) -> KeyDefault {
        KeyDefault { beside: Some(key), ..self }
    }
}

/// Returns a default value given in TOML syntax.
pub(super) const fn is(value: &'static str) -> KeyDefault {
    KeyDefault { is: AbsentMeaning::Value(value), beside: None }
}

/// Returns a default described in words.
pub(super) const fn told(words: &'static str) -> KeyDefault {
    KeyDefault { is: AbsentMeaning::Told(words), beside: None }
}

/// Default of a key that must be set.
pub(super) const MUST: KeyDefault = KeyDefault { is: AbsentMeaning::Required(""), beside: None };
/// Returns that a key is required, with the correction for a table without it.
pub(super) const fn must(help: &'static str) -> KeyDefault {
    KeyDefault { is: AbsentMeaning::Required(help), beside: None }
}

/// Default of a key that has no value unless it is set.
pub(super) const NONE: KeyDefault = told("none");

/// Key of a configuration table, with its type and documentation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ConfigKey {
    /// Name of the key.
    pub(super) name: &'static str,
    /// Type of the key's value.
    pub(super) kind: ValueKind,
    /// Default if the key is absent.
    pub(super) default: KeyDefault,
    /// Description for docs/reference/keys.md.
    pub(super) about: &'static str,
}

impl ConfigKey {
    /// Returns the title of a top-level table: `[edge]`, `[trunk.NAME]`, `[[route]]`.
    pub(super) fn title(&self) -> String {
        if matches!(self.kind, ValueKind::Named(_)) {
            format!("[{}.NAME]", self.name)
        } else if matches!(self.kind, ValueKind::Rows(_)) {
            format!("[[{}]]", self.name)
        } else {
            format!("[{}]", self.name)
        }
    }
}

/// Table of keys: `"name": KIND, DEFAULT, "description";` and so on.
macro_rules! keys {
    ($($name:literal: $kind:expr, $default:expr, $about:literal;)*) => {
        &[$($crate::keys::ConfigKey { name: $name, kind: $kind, default: $default, about: $about }),*]
    };
}
pub(super) use keys;

/// Table of keys with setters: `TABLE, PLACES: TYPE` first, and the setter after the kind of a key.
macro_rules! keyed {
    (
        $(#[$about_all:meta])* $table:ident, $places:ident: $of:ty;
        $($name:literal: $kind:expr $(=> $put:expr)?, $default:expr, $about:literal;)*
    ) => {
        $(#[$about_all])*
        pub(crate) const $table: &[ConfigKey] = keys! { $($name: $kind, $default, $about;)* };
        /// Setters of the keys; keys with a reader of their own are left out.
        pub(crate) const $places: &[(&str, FieldSetter<$of>)] = &[$($(($name, $put),)?)*];
    };
}
pub(super) use keyed;

/// Setter for the result of a reader: `read!(reader, |to, made| …)`.
macro_rules! read {
    ($reader:expr, |$to:ident, $made:ident| $set:expr) => {
        FieldSetter::Read(|$to, reader| {
            if let Some($made) = $reader(reader) {
                $set;
            }
        })
    };
}
pub(super) use read;

/// String without further restrictions.
pub(super) const TEXT: ValueKind = ValueKind::Text("string");
/// Value of an added header, which may be a credential.
pub(super) const HEADER_VALUE: ValueKind = ValueKind::Text("header value");
/// Path of a file to be read.
pub(super) const FILE: ValueKind = ValueKind::Text("file");
/// Path of a file to be written.
pub(super) const OUTPUT: ValueKind = ValueKind::Text("file to write");
/// Path of a folder.
pub(super) const FOLDER: ValueKind = ValueKind::Text("folder");
/// IP address.
pub(super) const ADDRESS: ValueKind = ValueKind::Text("address");
/// IP address with a port.
pub(super) const SOCKET: ValueKind = ValueKind::Text("address:port");
/// Network in CIDR notation.
pub(super) const NETWORK: ValueKind = ValueKind::Text("network");
/// Pattern of phone numbers.
pub(super) const PATTERN: ValueKind = ValueKind::Text("number, prefix* or /expression/");
/// One phone number.
pub(super) const NUMBER: ValueKind = ValueKind::Text("number");
/// Prefix of phone numbers.
pub(super) const PREFIX: ValueKind = ValueKind::Text("prefix");
/// Maximum count; 0: no limit.
pub(super) const COUNT: ValueKind = ValueKind::Integer(0, u32::MAX);

/// Top-level tables of the file.
pub(super) const ROOT: &[ConfigKey] = keys! {
    "edge": ValueKind::Table(EDGE), is("{}"), "identity and addresses of the edge";
    "listen": ValueKind::Rows(LISTEN), told("UDP and TCP port 5060; TLS port 5061 if a peer uses TLS"), "SIP listeners";
    "media": ValueKind::Table(MEDIA), is("{}"), "RTP addresses, ports and threads";
    "limits": ValueKind::Table(LIMITS), is("{}"), "limits of the whole edge";
    "http": ValueKind::Table(HTTP), is("{}"), "HTTP API: health, metrics, status, calls";
    "tls": ValueKind::Table(TLS), NONE, "certificates that the edge obtains by itself";
    "trunk": ValueKind::Named(TRUNK), NONE, "SIP peers: carriers, PBXs, phones";
    "route": ValueKind::Rows(ROUTE), NONE, "routes; the first match handles the call";
    "group": ValueKind::Named(GROUP), NONE, "targets shared by several routes";
    "log": ValueKind::Table(LOG), is("{}"), "log output";
    "cdr": ValueKind::Table(CDR), NONE, "call records";
    "alerts": ValueKind::Table(ALERTS), NONE, "webhook of problems";
    "agent": ValueKind::Named(AGENT), NONE, "voice agents";
    "api": ValueKind::Table(API), is("{}"), "identity sent to agents and webhooks";
    "client": ValueKind::Map(&ValueKind::Many(&ValueKind::Text("target"))), NONE, "SIP parties and voice agents by the identities of Voice SDK clients: `agent1 = \"trunk:pbx/201\"`";
    "app": ValueKind::Named(APP), NONE, "applications that answer with TwiML";
    "number": ValueKind::Rows(NUMBERS), NONE, "phone numbers of this edge";
    "twilio": ValueKind::Table(TWILIO), NONE, "Twilio account";
    "sms": ValueKind::Table(SMS), NONE, "text messages after unanswered calls";
    "messages": ValueKind::Table(MESSAGES), NONE, "text messages of the Twilio-compatible API";
    "speech": ValueKind::Table(SPEECH), NONE, "text-to-speech for `hold` and apps";
    "recognition": ValueKind::Table(RECOGNITION), NONE, "speech recognition for Gather of apps";
    "recording": ValueKind::Table(RECORDING), NONE, "files of call recordings";
    "transcription": ValueKind::Table(TRANSCRIPTION), NONE, "transcription of recordings";
    "siprec": ValueKind::Named(SIPREC), NONE, "recording servers (SIPREC) of calls whose route names them";
    "voicemail": ValueKind::Named(VOICEMAIL), NONE, "mailboxes that take messages of callers";
    "mail": ValueKind::Table(MAIL), NONE, "mail server for voicemail";
    "hep": ValueKind::Table(HEP), NONE, "copies of SIP messages for Homer (HEP)";
    "otel": ValueKind::Table(OTEL), NONE, "call traces for OpenTelemetry";
};

/// Keys of a secret given as a table.
pub(super) const SECRET: &[ConfigKey] = keys! {
    "env": TEXT, NONE, "environment variable that holds the secret";
    "file": FILE, NONE, "file that holds the secret";
};

/// Top-level tables in the order in which a misplaced key is looked up.
const LOOKED_UP: [&str; 28] = [
    "edge",
    "listen",
    "media",
    "limits",
    "http",
    "tls",
    "trunk",
    "agent",
    "app",
    "number",
    "route",
    "group",
    "api",
    "speech",
    "recognition",
    "twilio",
    "messages",
    "sms",
    "log",
    "cdr",
    "alerts",
    "recording",
    "transcription",
    "siprec",
    "voicemail",
    "mail",
    "hep",
    "otel",
];

/// Titles and keys of all tables, used to suggest the right table for a misplaced key.
pub(super) static TABLES: LazyLock<Vec<(String, &[ConfigKey])>> = LazyLock::new(|| {
    let table = |name: &&str| {
        let key = ROOT.iter().find(|key| key.name == *name)?;
        Some((key.title(), key.kind.keys()?))
    };
    LOOKED_UP.iter().filter_map(table).collect()
});

#[cfg(test)]
mod tests;

/// Returns whether two key lists have the same keys.
pub(super) fn same(one: &[ConfigKey], other: &[ConfigKey]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.name == other.name)
}
