//! Every key of the configuration, with whether this version does what it says. A key that is not built yet is refused
//! at its place, never accepted without effect.

/// What this version does with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// What it says.
    Built,
    /// Nothing: the feature is still to come. Its name, in words.
    Later(&'static str),
    /// Only what this text says; any other value is still to come.
    OnlyText(&'static str),
    /// Only `false` holds; `true` is still to come.
    OnlyFalse,
}

/// A key of a table.
pub(super) type Key = (&'static str, State);

use State::{Built, Later, OnlyFalse, OnlyText};

const TWILIO_API: State = Later("the Twilio-compatible API");

/// The file itself.
pub(super) const ROOT: &[Key] = &[
    ("edge", Built),
    ("listen", Built),
    ("media", Built),
    ("limits", Built),
    ("http", Built),
    ("trunk", Built),
    ("route", Built),
    ("group", Built),
    ("log", Built),
    ("cdr", Built),
    ("agent", Built),
    ("api", Built),
    ("app", Later("webhook applications")),
    ("twilio", Built),
    ("sms", Built),
    ("speech", Built),
    ("recording", Later("recording")),
    ("hep", Later("HEP")),
    ("otel", Later("OpenTelemetry")),
];

/// `[edge]`
pub(super) const EDGE: &[Key] = &[
    ("name", Built),
    ("public_address", Built),
    ("local_networks", Built),
    ("country", Built),
    ("emergency", Built),
    ("state", OnlyText("memory")),
    ("time_zone", Built),
    ("holidays", Built),
];

/// `[[listen]]`
pub(super) const LISTEN: &[Key] = &[
    ("name", Built),
    ("transport", Built),
    ("address", Built),
    ("public_address", Built),
    ("certificate", Built),
    ("private_key", Built),
    ("client_ca", Built),
];

/// `[media]`
pub(super) const MEDIA: &[Key] = &[
    ("address", Built),
    ("ports", Built),
    ("engine", Built),
    ("threads", Built),
    ("idle_timeout", Built),
    ("latch", Built),
];

/// `[limits]`
pub(super) const LIMITS: &[Key] = &[
    ("calls", Built),
    ("calls_per_second", Built),
    ("sip_message_bytes", Built),
    ("unknown_messages_per_second", Built),
    ("ban", Built),
];

/// `[http]`
pub(super) const HTTP: &[Key] = &[("address", Built), ("token", Built), ("public_url", Built), ("tls", Later("HTTPS"))];

/// `[trunk.NAME]`
pub(super) const TRUNK: &[Key] = &[
    ("peers", Built),
    ("accept_from", Built),
    ("media_from", Built),
    ("listen", Built),
    ("codecs", Built),
    ("ring_timeout", Built),
    ("no_response_timeout", Built),
    ("options_interval", Built),
    ("udp_mtu", Built),
    ("oversize", Built),
    ("failover_on", Built),
    ("max_calls", Built),
    ("calls_per_second", Built),
    ("peer_calls_per_second", Built),
    ("send_numbers", Built),
    ("srtp", Built),
    ("dtmf", Built),
    ("hold", Built),
    ("hold_music", Built),
    ("accept_register", Built),
    ("preset", Built),
    ("domain", Built),
    ("edges", Built),
    ("secure", Built),
    ("tls", Built),
    ("auth", Built),
    ("require_auth", Built),
    ("register", Built),
    ("ptime", Built),
    ("session_expires", Built),
    ("pace", Built),
    ("headers", Built),
    ("identity", Built),
    ("caller_id", Built),
    ("caller_id_in", Built),
    ("refer", Built),
    ("deny", Built),
    ("allow_prefixes", Built),
    ("high_risk", Built),
    ("limits", Built),
    ("calls_per_day", Built),
];

/// A trunk's `tls`.
pub(super) const TRUNK_TLS: &[Key] =
    &[("ca", Built), ("names", Built), ("certificate", Built), ("private_key", Built), ("verify", Built)];

/// A trunk's `auth`.
pub(super) const AUTH: &[Key] = &[("username", Built), ("password", Built), ("realm", Built)];

/// A trunk's `require_auth`.
pub(super) const REQUIRE_AUTH: &[Key] =
    &[("username", Built), ("password", Built), ("realm", Built), ("algorithms", Built)];

/// `ban` of `[limits]`.
pub(super) const BAN: &[Key] = &[("after", Built), ("within", Built), ("lasting", Built)];

/// A trunk's `register`.
pub(super) const REGISTER: &[Key] = &[("registrar", Built), ("user", Built), ("expires", Built)];

/// A trunk's `calls_per_second`, each direction by itself.
pub(super) const RATES: &[Key] = &[("in", Built), ("out", Built)];

/// A trunk's `caller_id` or `caller_id_in`.
pub(super) const CALLER_ID: &[Key] = &[("allow", Built), ("default", Built)];

/// One of a trunk's `limits`.
pub(super) const QUOTA: &[Key] =
    &[("to", Built), ("caller", Built), ("max_calls", Built), ("calls_per_second", Built), ("calls_per_day", Built)];

/// A trunk's `headers`.
pub(super) const HEADERS: &[Key] = &[("add", Built), ("pass", Built), ("remove", Built)];

/// A peer written as a table.
pub(super) const PEER: &[Key] = &[("uri", Built), ("priority", Built), ("weight", Built)];

/// `[group.NAME]`
pub(super) const GROUP: &[Key] = &[("connect", Built), ("order", Built)];

/// A target of a route that is several.
pub(super) const RING_ALL: &[Key] = &[("ring_all", Built)];

/// `[[route]]`
pub(super) const ROUTE: &[Key] = &[
    ("name", Built),
    ("from", Built),
    ("to", Built),
    ("caller", Built),
    ("connect", Built),
    ("order", Built),
    ("routes_file", Built),
    ("on_busy", Built),
    ("ring_timeout", Built),
    ("search_timeout", Built),
    ("record", OnlyFalse),
    ("when", Built),
    ("header", Built),
    ("share", Built),
    ("caller_id", Built),
    ("fork", Built),
    ("sms_on_failure", Built),
];

/// `[agent.NAME]`
pub(super) const AGENT: &[Key] = &[
    ("url", Built),
    ("ca", Built),
    ("auth_token", Built),
    ("format", Built),
    ("parameters", Built),
    ("extras", Built),
    ("clear_fade", Built),
    ("connect_timeout", Built),
    ("first_audio_timeout", Built),
    ("answer", Built),
    ("retry", Built),
    ("on_close", Built),
    ("ping", Built),
    ("max_call", Built),
    ("max_sessions", Built),
    ("queue", Built),
    ("goodbye", Built),
    ("allow_callers", Built),
    ("hold", Built),
];

/// An agent's `queue`.
pub(super) const QUEUE: &[Key] = &[("size", Built), ("wait", Built)];

/// An agent's `hold`.
pub(super) const HOLD: &[Key] =
    &[("strategy", Built), ("text", Built), ("voice", Built), ("audio", Built), ("music", Built)];

/// `[api]`
pub(super) const API: &[Key] = &[("account_sid", Built), ("auth_token", TWILIO_API), ("connect", TWILIO_API)];

/// `[twilio]`
pub(super) const TWILIO: &[Key] = &[
    ("account_sid", Built),
    ("auth_token", Built),
    ("base_url", Built),
    ("timeout", Built),
    ("status_callback", Built),
];

/// `[sms]`
pub(super) const SMS: &[Key] = &[
    ("store", Built),
    ("expires", Built),
    ("per_recipient_per_day", Built),
    ("per_day", Built),
    ("allow_prefixes", Built),
    ("replies", Built),
];

/// `replies` of `[sms]`.
pub(super) const REPLIES: &[Key] = &[("stop", Built), ("start", Built), ("help", Built)];

/// A route's `sms_on_failure`.
pub(super) const SMS_ON_FAILURE: &[Key] = &[("to", Built), ("from", Built), ("body", Built), ("on", Built)];

/// `[speech]`
pub(super) const SPEECH: &[Key] =
    &[("command", Built), ("url", Built), ("token", Built), ("model", Built), ("format", Built), ("cache", Built)];

/// `[log]`
pub(super) const LOG: &[Key] = &[("format", Built), ("level", Built), ("numbers", Built)];

/// `[cdr]`
pub(super) const CDR: &[Key] = &[
    ("file", Built),
    ("format", Built),
    ("rotate", Built),
    ("keep", Built),
    ("url", Built),
    ("secret", Built),
    ("token", Built),
    ("ca", Built),
    ("spool", Built),
    ("spool_size", Built),
];

/// A secret written as a table.
pub(super) const SECRET: &[Key] = &[("env", Built), ("file", Built)];

/// Every table, to say where a misplaced key belongs.
pub(super) const TABLES: &[(&str, &[Key])] = &[
    ("[edge]", EDGE),
    ("[[listen]]", LISTEN),
    ("[media]", MEDIA),
    ("[limits]", LIMITS),
    ("[http]", HTTP),
    ("[trunk.NAME]", TRUNK),
    ("[agent.NAME]", AGENT),
    ("[[route]]", ROUTE),
    ("[group.NAME]", GROUP),
    ("[api]", API),
    ("[speech]", SPEECH),
    ("[twilio]", TWILIO),
    ("[sms]", SMS),
    ("[log]", LOG),
    ("[cdr]", CDR),
];

/// What stands inside of a trunk's keys, to say where a misplaced one belongs.
pub(super) const TRUNK_PARTS: &[(&str, &[Key])] = &[
    ("`auth` or `require_auth`", AUTH),
    ("`require_auth`", REQUIRE_AUTH),
    ("`register`", REGISTER),
    ("`tls`", TRUNK_TLS),
    ("`headers`", HEADERS),
    ("`caller_id`", CALLER_ID),
    ("a peer, as { uri = \"sip:HOST\", priority = 10, weight = 50 }", PEER),
];
