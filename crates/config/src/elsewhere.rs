//! Key names of other products, used for suggestions.

use super::keys::{AGENT, API, APP, CDR, ConfigKey, HOLD, NUMBERS, RATES, ROUTE, SMS, SPEECH, TRUNK};

/// Key names of other products and our names. If several match, the one that exists in the table is suggested.
pub(super) const ELSEWHERE: ForeignNames = &[
    (
        &[
            "external_ip",
            "external_address",
            "external_media_address",
            "external_signaling_address",
            "public_ip",
            "advertised_address",
        ],
        "public_address",
    ),
    (&["localnet", "local_net"], "local_networks"),
    (&["cert", "certfile", "cert_file"], "certificate"),
    (&["key", "keyfile", "key_file", "priv_key_file"], "private_key"),
    (&["ca_file", "cafile", "verify_client"], "client_ca"),
    (&["nat", "comedia", "rtp_symmetric", "symmetric_rtp"], "latch"),
    (&["rtp_timeout", "rtptimeout"], "idle_timeout"),
    (&["rtp_ports", "port_range"], "ports"),
    (&["media_encryption", "encryption", "secure_media"], "srtp"),
    (&["allow", "disallow"], "codecs"),
    (&["host", "hostname", "server", "proxy", "outbound_proxy", "contact", "gateway"], "peers"),
    (&["host"], "address"),
    (&["match", "permit", "allowed_ips", "trusted", "acl", "whitelist", "allowlist"], "accept_from"),
    (&["qualify", "qualify_frequency", "keepalive"], "options_interval"),
    (&["timers_sess_expires", "session_timeout"], "session_expires"),
    (&["outbound_auth"], "auth"),
    (&["inbound_auth"], "require_auth"),
    (&["registration"], "register"),
    (&["dtmfmode", "dtmf_mode"], "dtmf"),
    (&["call_limit", "max_channels", "max_sessions"], "max_calls"),
    (&["max_calls", "sessions", "concurrency", "max_concurrent", "max_concurrent_calls"], "max_sessions"),
    (&["cps", "max_cps"], "calls_per_second"),
    (&["failover_codes"], "failover_on"),
    (&["blocked", "blacklist"], "deny"),
    (&["trustrpid", "sendrpid", "trust_id_inbound", "send_pai"], "identity"),
    (&["disable_tcp_switch"], "oversize"),
    (&["number_format"], "send_numbers"),
];

/// Key names used by other products, with our equivalent key or help text.
type ForeignNames = &'static [(&'static [&'static str], &'static str)];

/// Names with another meaning in a specific table.
pub(super) const OF_TABLES: &[(&[ConfigKey], ForeignNames)] = &[
    (TRUNK, OF_TRUNKS),
    (AGENT, OF_AGENTS),
    (HOLD, OF_HOLD),
    (SPEECH, OF_SPEECH),
    (ROUTE, OF_ROUTES),
    (APP, OF_APPS),
    (NUMBERS, OF_NUMBERS),
    (API, OF_API),
    (RATES, OF_RATES),
    (CDR, OF_CDR),
    (SMS, OF_SMS),
];

const IN_STORE: &str = "remove it: `data_directory` of [edge] has the store with all that waits";

const OF_CDR: ForeignNames = &[(&["spool"], IN_STORE)];

const OF_SMS: ForeignNames = &[(&["store"], IN_STORE)];

const OF_RATES: ForeignNames = &[(&["inbound", "outbound"], "the keys here are `in`, `out`")];

/// Keys of other products that are part of a table here, such as the credentials of a trunk.
const OF_TRUNKS: ForeignNames = &[
    (
        &["secret", "remotesecret", "pass", "auth_password", "user", "defaultuser", "authuser", "auth_user"],
        "`auth = { username = \"…\", password = … }` has the edge's credentials, `require_auth` those of the peer",
    ),
    (&["server_uri", "client_uri"], "register = { registrar = \"sip:HOST\", user = \"…\" }"),
    (&["port", "transport"], "part of a peer: peers = [\"sip:HOST:5060;transport=tcp\"]"),
    (&["context"], "[[route]] with from = [\"NAME\"] routes its calls"),
    (&["directmedia", "direct_media", "bypass_media"], "audio always passes through the edge: remove it"),
    (&["force_rport", "rewrite_contact"], "always enabled: remove it"),
    (
        &["moh", "mohsuggest", "moh_suggest", "musicclass", "musiconhold", "music_on_hold"],
        "hold = \"local\" and hold_music = \"hold.mp3\"",
    ),
];

/// Other products' names for keys of agents, with suggestions.
const OF_AGENTS: ForeignNames = &[
    (
        &["tls", "tls_ca", "verify", "certificate"],
        "`wss://` in `url` is TLS; ca = \"ca.pem\" for a private or self-signed certificate",
    ),
    (
        &["hold_music", "hold_audio", "moh", "musiconhold", "music_on_hold", "music", "audio"],
        "hold = { strategy = \"music\", music = \"hold.mp3\" }",
    ),
    (
        &["greeting", "welcome", "welcome_greeting", "first_message", "announcement"],
        "the agent speaks first; audio until it is connected: answer = \"at_once\" and hold = { strategy = \"audio\", \
         audio = \"greeting.wav\" }",
    ),
    (&["farewell", "bye", "end_message", "end_call_message"], "goodbye = \"goodbye.wav\""),
    (
        &["whitelist", "allowlist", "allow_list", "allow", "allowed", "allowed_callers", "callers"],
        "allow_callers = [\"+14155551234\"]",
    ),
    (
        &["transfer", "transfers", "transfer_targets", "allow_transfer", "allowed_transfers", "destinations"],
        "transfer_to = [\"trunk:pbx\", \"agent:night\"]",
    ),
    (&["codec", "codecs", "encoding", "audio_format", "sample_rate"], "format = \"mulaw/8000\""),
    (&["token", "secret", "api_key", "signing_secret"], "`auth_token` signs the handshake"),
    (&["max_calls", "call_limit", "concurrency", "max_concurrent_calls"], "`max_sessions`"),
    (&["max_duration", "max_call_duration", "max_length", "time_limit"], "max_call = \"10m\""),
    (&["custom_parameters", "customParameters", "params", "metadata", "variables"], "`parameters`"),
    (&["uri", "address", "host", "server", "endpoint", "websocket", "ws_url", "stream_url"], "`url`"),
];

/// Other products' names for keys of `hold` of an agent, with suggestions.
const OF_HOLD: ForeignNames = &[
    (&["file", "path", "filename", "hold_music", "moh"], "`audio` is a file played once, `music` one played in a loop"),
    (&["message", "say", "prompt", "tts"], "`text`"),
    (&["type", "mode"], "`strategy`"),
];

/// Other products' names for keys of `[speech]`, with suggestions.
const OF_SPEECH: ForeignNames = &[
    (&["voice", "text"], "use it in `hold` of the agent"),
    (&["api_key", "apikey", "key", "secret", "auth_token"], "`token`"),
    (&["program", "cmd", "exec"], "`command`"),
    (&["uri", "endpoint", "address", "base_url"], "`url`"),
];

/// Other products' names for keys of `[[route]]`, with suggestions.
const OF_ROUTES: ForeignNames = &[
    (
        &["called", "callee", "called_number", "number", "numbers", "did", "dialled", "dialed", "destination", "exten"],
        "to = \"+14155551234\" or to = \"+4930*\" is the called number; `caller` the calling one",
    ),
    (&["headers"], "`header`"),
    (&["hours", "schedule", "time", "times", "business_hours", "days"], "when = \"mon-fri 09:00-17:00\""),
    (
        &["weight", "percent", "percentage", "probability"],
        "share = 10 (percent of the calls), or a weight of a target: \"trunk:a@70\"",
    ),
];

/// Other products' names for keys of `[app.NAME]`, with suggestions.
const OF_APPS: ForeignNames = &[
    (&["voice_url", "webhook", "webhook_url", "answer_url", "uri", "endpoint", "VoiceUrl"], "`url`"),
    (&["voice_method", "http_method", "VoiceMethod"], "`method`"),
    (&["voice_fallback_url", "fallback", "VoiceFallbackUrl"], "`fallback_url`"),
    (&["status_callback_url", "callback", "StatusCallback"], "`status_callback`"),
    (&["status_callback_event", "events", "StatusCallbackEvent"], "`status_callback_events`"),
    (&["twiml", "xml", "document", "path"], "file = \"menu.xml\""),
    (&["auth_token", "token", "secret"], "`auth_token` of [api] signs the webhooks of all apps"),
    (&["connect", "trunk"], "`connect` of [api] names the trunks of calls that apps dial"),
];

/// Other products' names for keys of `[[number]]`, with suggestions.
const OF_NUMBERS: ForeignNames = &[
    (&["phone_number", "did", "to", "PhoneNumber"], "`number`"),
    (&["friendly_name", "label", "FriendlyName"], "`name`"),
    (&["application", "connect", "route", "voice_application_sid"], "app = \"NAME\", with [app.NAME]"),
    (&["url", "voice_url", "VoiceUrl"], "app = \"NAME\", with url in [app.NAME]"),
    (&["trunk", "trunks", "trunk_sid"], "`from`"),
];

/// Other products' names for keys of `[api]`, with suggestions.
const OF_API: ForeignNames =
    &[(&["token", "secret", "password"], "`auth_token`"), (&["sid", "account", "AccountSid"], "`account_sid`")];
