//! Keys of `[trunk.NAME]` and of the tables in it.

use super::{COUNT, FILE, Key, Kind, MUST, NETWORK, NONE, NUMBER, PATTERN, PREFIX, TEXT, is, keys, told};

/// `[trunk.NAME]`
pub(in crate::config) const TRUNK: &[Key] = keys! {
    "preset": Kind::Word(&["twilio", "carrier", "freepbx", "asterisk", "freeswitch", "3cx"]), NONE, "what is known of such a far end; any key that the trunk has itself wins";
    "domain": Kind::Text("host"), NONE, "of the preset `twilio`: the trunk's domain there, which its peers are made from";
    "edges": Kind::Many(&TEXT), NONE, "of the preset `twilio`: the edges of Twilio to try, in order";
    "secure": Kind::Boolean, told("`true`"), "of the preset `twilio`: TLS and SRTP, or UDP and no SRTP";
    "peers": Kind::Many(&Kind::Either(&[Kind::Text("SIP URI"), Kind::Table(PEER)])), NONE, "where it is called, by priority, then weight";
    "accept_from": Kind::Many(&NETWORK), told("the peers' addresses"), "networks its requests come from";
    "media_from": Kind::Many(&NETWORK), NONE, "further networks its RTP may come from, and may go to before its ACK";
    "unproven_early_media": COUNT, is("5"), "calls of it at once whose early media goes, for 15 s, to an address that is not proven; 0: none";
    "listen": TEXT, told("the listener of its transport"), "the listener its requests leave by";
    "tls": Kind::Table(TRUNK_TLS), told("`{ verify = true }`"), "whom it is believed to be over TLS, and what it is shown";
    "codecs": Kind::List(&Kind::Text("codec")), is(r#"["PCMU", "PCMA", "opus"]"#), "of PCMU, PCMA, G722 and opus, those that it may use, in order";
    "ptime": Kind::Choice(&[10, 20, 30, 40, 60]), is("20"), "milliseconds of audio in a packet that is made for it";
    "ring_timeout": Kind::Duration, is(r#""60s""#), "how long each attempt may ring";
    "no_response_timeout": Kind::Duration, is(r#""4s""#), "no provisional answer for so long: the next peer";
    "options_interval": Kind::Duration, is(r#""30s""#), "how often each of its addresses is asked by OPTIONS";
    "session_expires": Kind::Duration, is(r#""30m""#), "how long a session lasts that neither side refreshes (RFC 4028)";
    "oversize": Kind::Word(&["udp", "tcp"]), is(r#""udp""#), "`tcp`: an INVITE longer than `udp_mtu` goes by TCP";
    "udp_mtu": Kind::Integer(576, 65_535), is("1300"), "bytes of an INVITE: what is longer is told, and goes by TCP under `oversize = \"tcp\"`";
    "failover_on": Kind::List(&Kind::Integer(300, 699)), is("[408, 429, 480, 500, 502, 503, 504]"), "answers on which the next target is tried";
    "max_calls": COUNT, is("0"), "calls at once, from it and to it; 0: no limit";
    "calls_per_second": Kind::Either(&[COUNT, Kind::Table(RATES)]), is("0"), "new calls a second, both ways together, or each by itself";
    "peer_calls_per_second": COUNT, is("0"), "new calls a second to one address of it";
    "pace": Kind::Duration, is(r#""2s""#), "how long a call to it waits for its limits before the target counts as failed";
    "calls_per_day": COUNT, is("0"), "new calls a day, from it and to it; 0: no limit";
    "limits": Kind::Many(&Kind::Table(QUOTA)), NONE, "limits for some of its calls";
    "deny": Kind::Many(&PATTERN), NONE, "called numbers that it does not get";
    "allow_prefixes": Kind::Many(&PREFIX), told("any"), "beginnings of the only called numbers that it gets";
    "high_risk": Kind::Word(&["refuse", "allow"]), told("`\"refuse\"`, with phones `\"allow\"`"), "calls to it in ranges that are known for toll fraud";
    "send_numbers": Kind::Word(&["e164", "plus-less", "national", "as-is"]), is(r#""e164""#), "how numbers are written to it";
    "srtp": Kind::Word(&["off", "optional", "required"]), is(r#""off""#), "SRTP with keys in SDP (SDES)";
    "auth": Kind::Table(AUTH), NONE, "credentials that are shown where it asks for some";
    "require_auth": Kind::Table(REQUIRE_AUTH), NONE, "credentials that it has to show";
    "digest_uri": Kind::Word(&["match", "any"]), is(r#""match""#), "with `require_auth`, whether the `uri` of its credentials must name the called user of the Request-URI";
    "accept_register": Kind::Boolean, is("false"), "phones or PBXes may register here as the user of `require_auth`";
    "register": Kind::Table(REGISTER), NONE, "where we register";
    "headers": Kind::Table(HEADERS), told(r#"`{ add = {}, pass = ["User-to-User", "Diversion", "Geolocation", "Geolocation-Routing", "Geolocation-Error"], remove = [] }`"#), "headers that are added, go on, stay behind";
    "identity": Kind::Word(&["pass", "strip"]), is(r#""pass""#), "whether it is trusted with who calls";
    "caller_id": Kind::Either(&[NUMBER, Kind::List(&PATTERN), Kind::Table(CALLER_ID)]), told("anything"), "what it is shown as the caller's number";
    "caller_id_in": Kind::Either(&[NUMBER, Kind::List(&PATTERN), Kind::Table(CALLER_ID)]), told("anything"), "what calls that come from it may show";
    "hold": Kind::Word(&["relay", "local"]), is(r#""relay""#), "whether a hold goes on to the other side or is answered here";
    "hold_music": FILE, told("a melody of our own"), "with `hold = \"local\"`, what those hear whom it puts on hold";
    "refer": Kind::Word(&["local", "relay", "refuse"]), is(r#""local""#), "what becomes of a transfer that it asks for";
    "dtmf": Kind::Word(&["rfc4733", "info", "inband"]), is(r#""rfc4733""#), "how it presses keys, and is told those of the other side";
};

/// A trunk's `tls`.
pub(in crate::config) const TRUNK_TLS: &[Key] = keys! {
    "ca": FILE, told("the system's"), "PEM: whom its certificate must come from";
    "names": Kind::Many(&TEXT), NONE, "what that may carry besides the peer's host, and by which a client is this trunk";
    "certificate": FILE, NONE, "PEM: our certificate towards it";
    "private_key": FILE, NONE, "PEM: its key";
    "verify": Kind::Boolean, is("true"), "`false`: any certificate will do";
};

/// A trunk's `auth`.
pub(in crate::config) const AUTH: &[Key] = keys! {
    "username": TEXT, MUST, "the user";
    "password": Kind::Secret, MUST, "its password";
    "realm": TEXT, told("any"), "shown only where it asks for this one";
};

/// A trunk's `require_auth`.
pub(in crate::config) const REQUIRE_AUTH: &[Key] = keys! {
    "username": TEXT, MUST, "the user";
    "password": Kind::Secret, MUST, "its password";
    "realm": TEXT, is(r#""trunkgate""#), "what we ask for";
    "algorithms": Kind::List(&Kind::Word(&["MD5", "SHA-256", "SHA-512-256"])), is(r#"["SHA-256", "MD5"]"#), "how, the preferred one first";
};

/// A trunk's `register`.
pub(in crate::config) const REGISTER: &[Key] = keys! {
    "registrar": Kind::Text("SIP URI"), MUST, "where we register";
    "user": TEXT, MUST, "as whom";
    "expires": Kind::Duration, is(r#""10m""#), "for how long";
};

/// A trunk's `calls_per_second`, each direction by itself.
pub(in crate::config) const RATES: &[Key] = keys! {
    "in": COUNT, is("0"), "calls from it";
    "out": COUNT, is("0"), "calls to it";
};

/// A trunk's `caller_id` or `caller_id_in`.
pub(in crate::config) const CALLER_ID: &[Key] = keys! {
    "allow": Kind::Many(&PATTERN), told("none but `default`"), "numbers that may be shown";
    "default": NUMBER, NONE, "what is shown in the place of any other";
};

/// One of a trunk's `limits`.
pub(in crate::config) const QUOTA: &[Key] = keys! {
    "to": Kind::Many(&PATTERN), told("any"), "called numbers that it is for";
    "caller": Kind::Many(&PATTERN), told("any"), "calling numbers that it is for";
    "max_calls": COUNT, is("0"), "at once; 0: no limit";
    "calls_per_second": COUNT, is("0"), "new ones a second; 0: no limit";
    "calls_per_day": COUNT, is("0"), "new ones a day; 0: no limit";
};

/// A trunk's `headers`.
pub(in crate::config) const HEADERS: &[Key] = keys! {
    "add": Kind::Map(&TEXT), is("{}"), "goes into each INVITE that begins a call to it";
    "pass": Kind::Many(&TEXT), told("the other trunk's, else the five of the default"), "names of headers that go on, or \"X-*\"";
    "remove": Kind::Many(&TEXT), is("[]"), "names of headers that stay behind";
};

/// A peer written as a table.
pub(in crate::config) const PEER: &[Key] = keys! {
    "uri": Kind::Text("SIP URI"), MUST, "where it is";
    "priority": Kind::Integer(0, 65_535), is("0"), "the lowest is tried first";
    "weight": Kind::Integer(0, 65_535), is("0"), "its share among equals";
};

/// What stands inside of a trunk's keys, to say where a misplaced one belongs.
pub(in crate::config) const TRUNK_PARTS: &[(&str, &[Key])] = &[
    ("`auth` or `require_auth`", AUTH),
    ("`require_auth`", REQUIRE_AUTH),
    ("`register`", REGISTER),
    ("`tls`", TRUNK_TLS),
    ("`headers`", HEADERS),
    ("`caller_id`", CALLER_ID),
    ("a peer, as { uri = \"sip:HOST\", priority = 10, weight = 50 }", PEER),
];
