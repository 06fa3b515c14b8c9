//! Keys of `[trunk.NAME]` and of the tables in it.

use std::time::Duration;

use trunkgate_route::{
    DtmfMode, HoldMode, IdentityTrust, NUMBER_PARAMETERS, RedirectMode, ReferMode, ReferTo, ReinviteMode, SendNumbers,
    SiprecSettings, Srtp, Trunk,
};

use super::{
    COUNT, ConfigKey, FILE, FieldSetter, HEADER_VALUE, MUST, NETWORK, NONE, NUMBER, PATTERN, PREFIX, TEXT, ValueKind,
    is, keyed, keys, read, told,
};
use crate::values::KeyReader;
use crate::{credentials, preset, register, trunks};

/// SIP timer T1: delay before a request is retransmitted (RFC 3261 §17.1.1.1).
const T1: Duration = Duration::from_millis(500);

keyed! {
    /// Keys of `[trunk.NAME]`.
    TRUNK, PUT_TRUNK: Trunk;
    "preset": ValueKind::Word(&preset::NAMES), NONE, "settings for a known provider, voice-agent platform or PBX; keys of the trunk override them";
    "domain": ValueKind::Text("host"), NONE, "termination domain of a Twilio trunk, or SIP domain (BYOC), from which `peers` is derived (preset `twilio`)";
    "edges": ValueKind::Many(&TEXT), NONE, "Twilio edge locations to try, in order (preset `twilio`)";
    "region": ValueKind::Text("name"), told("the preset's first one"), "region of the provider, which selects the addresses of the preset (`trunkgate preset show NAME`)";
    "secure": ValueKind::Boolean, told("`true`"), "TLS and SRTP, or UDP without SRTP (preset `twilio`)";
    "peers": ValueKind::Many(&ValueKind::Either(&[ValueKind::Text("SIP URI"), ValueKind::Table(PEER)])), NONE, "SIP URIs to which calls are sent, by priority, then weight";
    "accept_from": ValueKind::Many(&NETWORK), told("the peers' addresses"), "networks from which requests of this trunk are accepted";
    "media_from": ValueKind::Many(&NETWORK), NONE, "additional networks from which RTP of this trunk is accepted, and to which it is sent before the ACK";
    "unproven_early_media": COUNT
        => FieldSetter::Integer(|trunk, most| trunk.unproven_early_media = most), is("5"), "maximum number of concurrent calls whose early media is sent, for 15 s, to an unproven address; 0: none";
    "listen": TEXT
        => read!(KeyReader::string, |trunk, name| trunk.listen = Some(name)), told("the first listener of its transport at the peer's side"), "listener used for outgoing requests";
    "contact_host": TEXT
        => read!(trunks::own_host, |trunk, host| trunk.own_hosts.contact = Some(host)), told("the address"), "host name of the edge in every Contact sent to this trunk";
    "from_host": TEXT
        => read!(trunks::own_host, |trunk, host| trunk.own_hosts.from = Some(host)), told("`contact_host`, else the address"), "host name of the edge in From, and in other headers with a caller's address, sent to this trunk";
    "from_user": TEXT
        => read!(trunks::from_user, |trunk, user| trunk.from_user = Some(user)), told("the caller's number"), "user part of From in INVITEs to this trunk, for a carrier that identifies the account by it";
    "preferred_identity": ValueKind::Word(&["off", "e164", "plus-less", "national"])
        => FieldSetter::Word(|trunk, word| trunk.preferred_identity = match word { "e164" => Some(SendNumbers::E164), "plus-less" => Some(SendNumbers::PlusLess), "national" => Some(SendNumbers::National), _ => None }), is(r#""off""#), "P-Preferred-Identity with the caller's number in INVITEs to this trunk, and its format";
    "tls": ValueKind::Table(TRUNK_TLS), told("`{ verify = true }`"), "verification of the peer's certificate, and the client certificate";
    "codecs": ValueKind::List(&ValueKind::Text("codec"))
        => read!(trunks::codecs, |trunk, codecs| trunk.codecs = codecs), is(r#"["PCMU", "PCMA", "opus"]"#), "allowed codecs in order of preference: PCMU, PCMA, G722, opus";
    "ptime": ValueKind::Choice(&[10, 20, 30, 40, 60])
        => read!(trunks::ptime, |trunk, ms| trunk.ptime_ms = ms), is("20"), "packet duration of RTP generated for this trunk, in milliseconds";
    "ring_timeout": ValueKind::Duration
        => FieldSetter::DurationFrom((Duration::from_secs(1), "too short for an answer"), |trunk, time| trunk.ring_timeout = time), is(r#""60s""#), "maximum time a target may ring before the next one is tried";
    "no_response_timeout": ValueKind::Duration
        => FieldSetter::DurationFrom((T1, "a lost packet is retransmitted after 500 ms"), |trunk, time| trunk.no_response_timeout = time), is(r#""4s""#), "maximum time without any response before the next peer is tried";
    "options_interval": ValueKind::Duration
        => FieldSetter::DurationFrom((Duration::from_secs(1), "a peer may treat it as an attack"), |trunk, time| trunk.options_interval = time), is(r#""30s""#), "interval of OPTIONS health checks to each address; 0: no checks";
    "session_expires": ValueKind::Duration
        => read!(trunks::session, |trunk, time| trunk.session_expires = time), is(r#""30m""#), "session timer (RFC 4028): a session not refreshed within this time is ended; 0: not requested";
    "oversize": ValueKind::Word(&["udp", "tcp"])
        => FieldSetter::Word(|trunk, word| trunk.oversize_by_tcp = word == "tcp"), is(r#""udp""#), "transport of an INVITE larger than `udp_mtu`";
    "udp_mtu": ValueKind::Integer(576, 65_535)
        => FieldSetter::Integer(|trunk, bytes| trunk.udp_mtu = bytes as usize), is("1300"), "INVITE size in bytes above which a warning is logged, and TCP is used with `oversize = \"tcp\"`";
    "failover_on": ValueKind::List(&ValueKind::Integer(300, 699))
        => FieldSetter::Codes(|trunk, codes| trunk.failover_on = codes), is("[408, 429, 480, 500, 502, 503, 504]"), "SIP status codes after which the next target is tried";
    "congested_on": ValueKind::List(&ValueKind::Integer(400, 699))
        => FieldSetter::Codes(|trunk, codes| trunk.congested_on = codes), is("[]"), "SIP status codes that mean too many calls: if all peers give one, or one gives 429, calls with another target skip the trunk for a time";
    "max_calls": COUNT
        => FieldSetter::Integer(|trunk, most| trunk.max_calls = most), is("0"), "maximum number of concurrent calls, both directions; 0: no limit";
    "calls_per_second": ValueKind::Either(&[COUNT, ValueKind::Table(RATES)])
        => read!(trunks::rates, |trunk, each| [trunk.calls_per_second, trunk.calls_per_second_in, trunk.calls_per_second_out] = each), is("0"), "maximum number of new calls per second, for both directions together or each separately; 0: no limit";
    "peer_calls_per_second": COUNT
        => FieldSetter::Integer(|trunk, most| trunk.peer_calls_per_second = most), is("0"), "maximum number of new calls per second to one address of the trunk; 0: no limit";
    "pace": ValueKind::Duration
        => FieldSetter::Duration(|trunk, time| trunk.pace = time), is(r#""2s""#), "maximum time a call to this trunk waits for its limits before the next target is tried";
    "calls_per_day": COUNT, is("0"), "maximum number of new calls per day, both directions; 0: no limit";
    "limits": ValueKind::Many(&ValueKind::Table(QUOTA)), NONE, "limits for a subset of calls";
    "deny": ValueKind::Many(&PATTERN), NONE, "called numbers that are not sent to this trunk";
    "allow_prefixes": ValueKind::Many(&PREFIX), told("any"), "prefixes of called numbers; other numbers are not sent to this trunk";
    "high_risk": ValueKind::Word(&["refuse", "allow"]), told("`\"refuse\"`, with phones `\"allow\"`"), "calls to number ranges known for toll fraud";
    "send_numbers": ValueKind::Word(&["e164", "plus-less", "national", "as-is"])
        => FieldSetter::Word(|trunk, word| trunk.send_numbers = match word { "plus-less" => SendNumbers::PlusLess, "national" => SendNumbers::National, "as-is" => SendNumbers::AsIs, _ => SendNumbers::E164 }), is(r#""e164""#), "format of numbers sent to this trunk";
    "number_parameters": ValueKind::List(&ValueKind::Word(&NUMBER_PARAMETERS))
        => read!(trunks::parameters, |trunk, names| trunk.number_parameters = names), is("[]"), "parameters of the called number accepted from and passed to this trunk";
    "srtp": ValueKind::Word(&["off", "optional", "required"])
        => FieldSetter::Word(|trunk, word| trunk.srtp = match word { "optional" => Srtp::Optional, "required" => Srtp::Required, _ => Srtp::Off }), is(r#""off""#), "media encryption: SRTP with keys in SDP (SDES)";
    "srtp_suites": ValueKind::List(&ValueKind::Word(&["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"]))
        => read!(trunks::suites, |trunk, suites| trunk.srtp_suites = suites), told("offered: AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80, AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80; accepted: all six"), "SRTP cipher suites: offered in this order, others not accepted";
    "auth": ValueKind::Table(AUTH)
        => read!(credentials::auth, |trunk, credentials| trunk.auth = Some(credentials)), NONE, "credentials for digest challenges of this trunk";
    "require_auth": ValueKind::Table(REQUIRE_AUTH), NONE, "credentials that requests of this trunk must present";
    "digest_uri": ValueKind::Word(&["match", "any"])
        => FieldSetter::Word(|trunk, word| trunk.any_digest_uri = word == "any"), is(r#""match""#), "with `require_auth`: comparison of the credentials' `uri` with the called user of the Request-URI, or none";
    "accept_register": ValueKind::Boolean
        => FieldSetter::Boolean(|trunk, is_so| trunk.accept_register = is_so), is("false"), "accepts registrations of phones or PBXes as the user of `require_auth`";
    "register": ValueKind::Table(REGISTER)
        => read!(register::read, |trunk, register| trunk.register = Some(register)), NONE, "registration at the trunk's registrar";
    "headers": ValueKind::Table(HEADERS), told(r#"`{ add = {}, pass = ["User-to-User", "Diversion", "Geolocation", "Geolocation-Routing", "Geolocation-Error"], remove = [] }`"#), "headers to add, pass through or remove";
    "identity": ValueKind::Word(&["pass", "strip"])
        => FieldSetter::Word(|trunk, word| trunk.identity = match word { "strip" => IdentityTrust::Strip, _ => IdentityTrust::Pass }), is(r#""pass""#), "handling of P-Asserted-Identity, Privacy and Identity: pass to and accept from this trunk, or remove";
    "caller_id": ValueKind::Either(&[NUMBER, ValueKind::List(&PATTERN), ValueKind::Table(CALLER_ID)]), told("anything"), "allowed caller IDs of calls to this trunk, and a default";
    "caller_id_in": ValueKind::Either(&[NUMBER, ValueKind::List(&PATTERN), ValueKind::Table(CALLER_ID)]), told("anything"), "allowed caller IDs of calls from this trunk, and a default";
    "hold": ValueKind::Word(&["relay", "local"])
        => FieldSetter::Word(|trunk, word| trunk.hold = match word { "local" => HoldMode::Local, _ => HoldMode::Relay }), is(r#""relay""#), "handling of hold: relay to the other side, or answer locally";
    "hold_music": FILE
        => read!(trunks::music, |trunk, music| trunk.hold_music = Some(music)), told("a built-in melody"), "audio file played to parties on hold with `hold = \"local\"`";
    "reinvite": ValueKind::Word(&["relay", "local"])
        => FieldSetter::Word(|trunk, word| trunk.reinvite = match word { "local" => ReinviteMode::Local, _ => ReinviteMode::Relay }), is(r#""relay""#), "handling of a change of the session (codec, address) by the other side: relay to this trunk, or answer locally";
    "refer": ValueKind::Word(&["local", "relay", "refuse", "return"])
        => FieldSetter::Word(|trunk, word| trunk.refer = match word { "relay" => ReferMode::Relay, "refuse" => ReferMode::Refuse, "return" => ReferMode::Return, _ => ReferMode::Local }), is(r#""local""#), "transfer (REFER) from this trunk: made by the edge, relayed to the other side, refused, or as `local` but returned to the peers for targets at their own hosts";
    "refer_to": ValueKind::Word(&["edge", "tel"])
        => FieldSetter::Word(|trunk, word| trunk.refer_to = match word { "tel" => ReferTo::Tel, _ => ReferTo::Edge }), is(r#""edge""#), "Refer-To of a REFER relayed to this trunk: the number at the edge, or a `tel:` URI that the far end calls itself";
    "redirect": ValueKind::Word(&["follow", "peers", "refuse"])
        => FieldSetter::Word(|trunk, word| trunk.redirect = match word { "peers" => RedirectMode::Peers, "refuse" => RedirectMode::Refuse, _ => RedirectMode::Follow }), is(r#""follow""#), "handling of a redirection (3xx) from this trunk: followed to the edge itself and to peers of trunks, to peers only, or a failure";
    "dtmf": ValueKind::Word(&["rfc4733", "info", "inband"])
        => FieldSetter::Word(|trunk, word| trunk.dtmf = match word { "info" => DtmfMode::Info, "inband" => DtmfMode::Inband, _ => DtmfMode::Rfc4733 }), is(r#""rfc4733""#), "DTMF method of this trunk, both directions";
}

keyed! {
    /// Keys of `[siprec.NAME]`.
    SIPREC, PUT_SIPREC: Trunk;
    "peers": ValueKind::Many(&ValueKind::Either(&[ValueKind::Text("SIP URI"), ValueKind::Table(PEER)])), MUST, "SIP URIs of the recording servers: one records a call, the next one if it fails, by priority, then weight";
    "required": ValueKind::Boolean
        => FieldSetter::Boolean(|trunk, required| trunk.siprec = Some(SiprecSettings { required })), is("false"), "rejects or ends calls that no server records";
    "codecs": ValueKind::List(&ValueKind::Text("codec"))
        => read!(trunks::codecs, |trunk, codecs| trunk.codecs = codecs), is(r#"["PCMU", "PCMA"]"#), "offered codecs in order of preference: PCMU, PCMA, G722, opus";
    "srtp": ValueKind::Word(&["off", "optional", "required"])
        => FieldSetter::Word(|trunk, word| trunk.srtp = match word { "optional" => Srtp::Optional, "required" => Srtp::Required, _ => Srtp::Off }), is(r#""off""#), "media encryption: SRTP with keys in SDP (SDES)";
    "srtp_suites": ValueKind::List(&ValueKind::Word(&["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"]))
        => read!(trunks::suites, |trunk, suites| trunk.srtp_suites = suites), told("offered: AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80, AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80; accepted: all six"), "SRTP cipher suites: offered in this order, others not accepted";
    "listen": TEXT
        => read!(KeyReader::string, |trunk, name| trunk.listen = Some(name)), told("the listener of its transport"), "listener used for requests to the servers";
    "tls": ValueKind::Table(TRUNK_TLS), told("`{ verify = true }`"), "verification of the servers' certificates, and the client certificate";
    "auth": ValueKind::Table(AUTH)
        => read!(credentials::auth, |trunk, credentials| trunk.auth = Some(credentials)), NONE, "credentials for digest challenges of the servers";
    "no_response_timeout": ValueKind::Duration
        => FieldSetter::DurationFrom((T1, "a lost packet is retransmitted after 500 ms"), |trunk, time| trunk.no_response_timeout = time), is(r#""4s""#), "maximum time without any response before the next server is tried";
    "options_interval": ValueKind::Duration
        => FieldSetter::DurationFrom((Duration::from_secs(1), "a peer may treat it as an attack"), |trunk, time| trunk.options_interval = time), is(r#""30s""#), "interval of OPTIONS health checks to each server; 0: no checks";
}

/// Keys of `tls` of a trunk.
pub(crate) const TRUNK_TLS: &[ConfigKey] = keys! {
    "ca": FILE, told("system roots"), "CA bundle (PEM) to verify the peer's certificate";
    "names": ValueKind::Many(&TEXT), NONE, "additional names accepted in the peer's certificate, also those that identify a TLS client as this trunk";
    "certificate": FILE, NONE, "client certificate chain (PEM)";
    "private_key": FILE, NONE, "private key (PEM) of `certificate`";
    "verify": ValueKind::Boolean, is("true"), "verification of the peer's certificate; `false` accepts any certificate";
    "client_certificate_usage": ValueKind::Word(&["client", "any"]), is(r#""client""#), "with `names`: extendedKeyUsage that a TLS client's certificate must allow; `any`: a certificate for servers is accepted, too";
};

/// Keys of `auth` of a trunk.
pub(crate) const AUTH: &[ConfigKey] = keys! {
    "username": TEXT, MUST, "user name";
    "password": ValueKind::Secret, MUST, "password";
    "realm": TEXT, told("any"), "realm for which the credentials are valid; other realms get no credentials";
};

/// Keys of `require_auth` of a trunk.
pub(crate) const REQUIRE_AUTH: &[ConfigKey] = keys! {
    "username": TEXT, MUST, "user name";
    "password": ValueKind::Secret, MUST, "password";
    "realm": TEXT, is(r#""trunkgate""#), "realm of the edge's challenge";
    "algorithms": ValueKind::List(&ValueKind::Word(&["MD5", "SHA-256", "SHA-512-256"])), is(r#"["SHA-256", "MD5"]"#), "digest algorithms, in order of preference";
};

/// Keys of `register` of a trunk.
pub(crate) const REGISTER: &[ConfigKey] = keys! {
    "registrar": ValueKind::Text("SIP URI"), MUST, "SIP URI of the registrar";
    "user": TEXT, MUST, "user part of the registered address-of-record";
    "expires": ValueKind::Duration, is(r#""10m""#), "requested lifetime of the registration";
};

/// Keys of `calls_per_second` of a trunk, per direction.
pub(crate) const RATES: &[ConfigKey] = keys! {
    "in": COUNT, is("0"), "maximum number of new calls per second from this trunk; 0: no limit";
    "out": COUNT, is("0"), "maximum number of new calls per second to this trunk; 0: no limit";
};

/// Keys of `caller_id` and `caller_id_in` of a trunk.
pub(crate) const CALLER_ID: &[ConfigKey] = keys! {
    "allow": ValueKind::Many(&PATTERN), told("none but `default`"), "allowed caller IDs";
    "default": NUMBER, NONE, "caller ID that replaces any other number; without it the call is rejected";
};

/// Keys of an entry in `limits` of a trunk.
pub(crate) const QUOTA: &[ConfigKey] = keys! {
    "to": ValueKind::Many(&PATTERN), told("any"), "called numbers to which the limit applies";
    "caller": ValueKind::Many(&PATTERN), told("any"), "calling numbers to which the limit applies";
    "max_calls": COUNT, is("0"), "maximum number of concurrent calls; 0: no limit";
    "calls_per_second": COUNT, is("0"), "maximum number of new calls per second; 0: no limit";
    "calls_per_day": COUNT, is("0"), "maximum number of new calls per day; 0: no limit";
};

/// Keys of `headers` of a trunk.
pub(crate) const HEADERS: &[ConfigKey] = keys! {
    "add": ValueKind::Map(&HEADER_VALUE), is("{}"), "headers added to each initial INVITE to this trunk";
    "pass": ValueKind::Many(&TEXT), told("the other trunk's, else the five of the default"), "headers passed through to this trunk, by name or as \"X-*\"";
    "remove": ValueKind::Many(&TEXT), is("[]"), "headers removed";
};

/// Keys of a peer given as a table.
pub(crate) const PEER: &[ConfigKey] = keys! {
    "uri": ValueKind::Text("SIP URI"), MUST, "SIP URI of the peer";
    "priority": ValueKind::Integer(0, 65_535), is("0"), "priority; the lowest value is tried first";
    "weight": ValueKind::Integer(0, 65_535), is("0"), "relative share among peers of equal priority";
};

/// Tables inside a trunk, used to suggest the right table for a misplaced key.
pub(crate) const TRUNK_PARTS: &[(&str, &[ConfigKey])] = &[
    ("`auth` or `require_auth`", AUTH),
    ("`require_auth`", REQUIRE_AUTH),
    ("`register`", REGISTER),
    ("`tls`", TRUNK_TLS),
    ("`headers`", HEADERS),
    ("`caller_id`", CALLER_ID),
    ("a peer such as { uri = \"sip:HOST\", priority = 10, weight = 50 }", PEER),
];
