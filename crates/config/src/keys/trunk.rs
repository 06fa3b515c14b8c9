//! Keys of `[trunk.NAME]` and of the tables in it.

use std::time::Duration;

use trunkgate_route::{
    Dtmf, HoldMode, Identities, NUMBER_PARAMETERS, RedirectMode, ReferMode, ReferTo, ReinviteMode, SendNumbers, Siprec,
    Srtp, Trunk,
};

use super::{
    COUNT, FILE, Key, Kind, MUST, NETWORK, NONE, NUMBER, PATTERN, PREFIX, Put, TEXT, is, keyed, keys, read, told,
};
use crate::{credentials, preset, register, trunks, values};

/// SIP timer T1: delay before a request is retransmitted (RFC 3261 §17.1.1.1).
const T1: Duration = Duration::from_millis(500);

keyed! {
    /// `[trunk.NAME]`
    TRUNK, PUT_TRUNK: Trunk;
    "preset": Kind::Word(&preset::NAMES), NONE, "settings for a known provider, voice-agent platform or PBX; keys of the trunk override them";
    "domain": Kind::Text("host"), NONE, "termination domain of a Twilio trunk, or SIP domain (BYOC), from which `peers` is derived (preset `twilio`)";
    "edges": Kind::Many(&TEXT), NONE, "Twilio edge locations to try, in order (preset `twilio`)";
    "region": Kind::Text("name"), told("the preset's first one"), "region of the provider, which selects the addresses of the preset (`trunkgate preset show NAME`)";
    "secure": Kind::Boolean, told("`true`"), "TLS and SRTP, or UDP without SRTP (preset `twilio`)";
    "peers": Kind::Many(&Kind::Either(&[Kind::Text("SIP URI"), Kind::Table(PEER)])), NONE, "SIP URIs to which calls are sent, by priority, then weight";
    "accept_from": Kind::Many(&NETWORK), told("the peers' addresses"), "networks from which requests of this trunk are accepted";
    "media_from": Kind::Many(&NETWORK), NONE, "additional networks from which RTP of this trunk is accepted, and to which it is sent before the ACK";
    "unproven_early_media": COUNT
        => Put::Integer(|trunk, most| trunk.unproven_early_media = most), is("5"), "maximum number of concurrent calls whose early media is sent, for 15 s, to an unproven address; 0: none";
    "listen": TEXT
        => read!(values::string, |trunk, name| trunk.listen = Some(name)), told("the first listener of its transport at the peer's side"), "listener used for outgoing requests";
    "contact_host": TEXT
        => read!(trunks::own_host, |trunk, host| trunk.own_hosts.contact = Some(host)), told("the address"), "host name of the edge in every Contact sent to this trunk";
    "from_host": TEXT
        => read!(trunks::own_host, |trunk, host| trunk.own_hosts.from = Some(host)), told("`contact_host`, else the address"), "host name of the edge in From, and in other headers with a caller's address, sent to this trunk";
    "from_user": TEXT
        => read!(trunks::from_user, |trunk, user| trunk.from_user = Some(user)), told("the caller's number"), "user part of From in INVITEs to this trunk, for a carrier that identifies the account by it";
    "preferred_identity": Kind::Word(&["off", "e164", "plus-less", "national"])
        => Put::Word(|trunk, word| trunk.preferred_identity = match word { "e164" => Some(SendNumbers::E164), "plus-less" => Some(SendNumbers::PlusLess), "national" => Some(SendNumbers::National), _ => None }), is(r#""off""#), "P-Preferred-Identity with the caller's number in INVITEs to this trunk, and its format";
    "tls": Kind::Table(TRUNK_TLS), told("`{ verify = true }`"), "verification of the peer's certificate, and the client certificate";
    "codecs": Kind::List(&Kind::Text("codec"))
        => read!(trunks::codecs, |trunk, codecs| trunk.codecs = codecs), is(r#"["PCMU", "PCMA", "opus"]"#), "allowed codecs in order of preference: PCMU, PCMA, G722, opus";
    "ptime": Kind::Choice(&[10, 20, 30, 40, 60])
        => read!(trunks::ptime, |trunk, ms| trunk.ptime_ms = ms), is("20"), "packet duration of RTP generated for this trunk, in milliseconds";
    "ring_timeout": Kind::Duration
        => Put::DurationFrom((Duration::from_secs(1), "too short for an answer"), |trunk, time| trunk.ring_timeout = time), is(r#""60s""#), "maximum time a target may ring before the next one is tried";
    "no_response_timeout": Kind::Duration
        => Put::DurationFrom((T1, "a lost packet is retransmitted after 500 ms"), |trunk, time| trunk.no_response_timeout = time), is(r#""4s""#), "maximum time without any response before the next peer is tried";
    "options_interval": Kind::Duration
        => Put::DurationFrom((Duration::from_secs(1), "a peer may treat it as an attack"), |trunk, time| trunk.options_interval = time), is(r#""30s""#), "interval of OPTIONS health checks to each address; 0: no checks";
    "session_expires": Kind::Duration
        => read!(trunks::session, |trunk, time| trunk.session_expires = time), is(r#""30m""#), "session timer (RFC 4028): a session not refreshed within this time is ended; 0: not requested";
    "oversize": Kind::Word(&["udp", "tcp"])
        => Put::Word(|trunk, word| trunk.oversize_by_tcp = word == "tcp"), is(r#""udp""#), "transport of an INVITE larger than `udp_mtu`";
    "udp_mtu": Kind::Integer(576, 65_535)
        => Put::Integer(|trunk, bytes| trunk.udp_mtu = bytes as usize), is("1300"), "INVITE size in bytes above which a warning is logged, and TCP is used with `oversize = \"tcp\"`";
    "failover_on": Kind::List(&Kind::Integer(300, 699))
        => Put::Codes(|trunk, codes| trunk.failover_on = codes), is("[408, 429, 480, 500, 502, 503, 504]"), "SIP status codes after which the next target is tried";
    "congested_on": Kind::List(&Kind::Integer(400, 699))
        => Put::Codes(|trunk, codes| trunk.congested_on = codes), is("[]"), "SIP status codes that mean too many calls: if all peers give one, or one gives 429, calls with another target skip the trunk for a time";
    "max_calls": COUNT
        => Put::Integer(|trunk, most| trunk.max_calls = most), is("0"), "maximum number of concurrent calls, both directions; 0: no limit";
    "calls_per_second": Kind::Either(&[COUNT, Kind::Table(RATES)])
        => read!(trunks::rates, |trunk, each| [trunk.calls_per_second, trunk.calls_per_second_in, trunk.calls_per_second_out] = each), is("0"), "maximum number of new calls per second, for both directions together or each separately; 0: no limit";
    "peer_calls_per_second": COUNT
        => Put::Integer(|trunk, most| trunk.peer_calls_per_second = most), is("0"), "maximum number of new calls per second to one address of the trunk; 0: no limit";
    "pace": Kind::Duration
        => Put::Duration(|trunk, time| trunk.pace = time), is(r#""2s""#), "maximum time a call to this trunk waits for its limits before the next target is tried";
    "calls_per_day": COUNT, is("0"), "maximum number of new calls per day, both directions; 0: no limit";
    "limits": Kind::Many(&Kind::Table(QUOTA)), NONE, "limits for a subset of calls";
    "deny": Kind::Many(&PATTERN), NONE, "called numbers that are not sent to this trunk";
    "allow_prefixes": Kind::Many(&PREFIX), told("any"), "prefixes of called numbers; other numbers are not sent to this trunk";
    "high_risk": Kind::Word(&["refuse", "allow"]), told("`\"refuse\"`, with phones `\"allow\"`"), "calls to number ranges known for toll fraud";
    "send_numbers": Kind::Word(&["e164", "plus-less", "national", "as-is"])
        => Put::Word(|trunk, word| trunk.send_numbers = match word { "plus-less" => SendNumbers::PlusLess, "national" => SendNumbers::National, "as-is" => SendNumbers::AsIs, _ => SendNumbers::E164 }), is(r#""e164""#), "format of numbers sent to this trunk";
    "number_parameters": Kind::List(&Kind::Word(&NUMBER_PARAMETERS))
        => read!(trunks::parameters, |trunk, names| trunk.number_parameters = names), is("[]"), "parameters of the called number accepted from and passed to this trunk";
    "srtp": Kind::Word(&["off", "optional", "required"])
        => Put::Word(|trunk, word| trunk.srtp = match word { "optional" => Srtp::Optional, "required" => Srtp::Required, _ => Srtp::Off }), is(r#""off""#), "media encryption: SRTP with keys in SDP (SDES)";
    "srtp_suites": Kind::List(&Kind::Word(&["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"]))
        => read!(trunks::suites, |trunk, suites| trunk.srtp_suites = suites), told("offered: AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80, AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80; accepted: all six"), "SRTP cipher suites: offered in this order, others not accepted";
    "auth": Kind::Table(AUTH)
        => read!(in credentials::auth, |trunk, credentials| trunk.auth = Some(credentials)), NONE, "credentials for digest challenges of this trunk";
    "require_auth": Kind::Table(REQUIRE_AUTH), NONE, "credentials that requests of this trunk must present";
    "digest_uri": Kind::Word(&["match", "any"])
        => Put::Word(|trunk, word| trunk.any_digest_uri = word == "any"), is(r#""match""#), "with `require_auth`: comparison of the credentials' `uri` with the called user of the Request-URI, or none";
    "accept_register": Kind::Boolean
        => Put::Boolean(|trunk, is_so| trunk.accept_register = is_so), is("false"), "accepts registrations of phones or PBXes as the user of `require_auth`";
    "register": Kind::Table(REGISTER)
        => read!(register::read, |trunk, register| trunk.register = Some(register)), NONE, "registration at the trunk's registrar";
    "headers": Kind::Table(HEADERS), told(r#"`{ add = {}, pass = ["User-to-User", "Diversion", "Geolocation", "Geolocation-Routing", "Geolocation-Error"], remove = [] }`"#), "headers to add, pass through or remove";
    "identity": Kind::Word(&["pass", "strip"])
        => Put::Word(|trunk, word| trunk.identity = match word { "strip" => Identities::Strip, _ => Identities::Pass }), is(r#""pass""#), "handling of P-Asserted-Identity, Privacy and Identity: pass to and accept from this trunk, or remove";
    "caller_id": Kind::Either(&[NUMBER, Kind::List(&PATTERN), Kind::Table(CALLER_ID)]), told("anything"), "allowed caller IDs of calls to this trunk, and a default";
    "caller_id_in": Kind::Either(&[NUMBER, Kind::List(&PATTERN), Kind::Table(CALLER_ID)]), told("anything"), "allowed caller IDs of calls from this trunk, and a default";
    "hold": Kind::Word(&["relay", "local"])
        => Put::Word(|trunk, word| trunk.hold = match word { "local" => HoldMode::Local, _ => HoldMode::Relay }), is(r#""relay""#), "handling of hold: relay to the other side, or answer locally";
    "hold_music": FILE
        => read!(in trunks::music, |trunk, music| trunk.hold_music = Some(music)), told("a built-in melody"), "audio file played to parties on hold with `hold = \"local\"`";
    "reinvite": Kind::Word(&["relay", "local"])
        => Put::Word(|trunk, word| trunk.reinvite = match word { "local" => ReinviteMode::Local, _ => ReinviteMode::Relay }), is(r#""relay""#), "handling of a change of the session (codec, address) by the other side: relay to this trunk, or answer locally";
    "refer": Kind::Word(&["local", "relay", "refuse", "return"])
        => Put::Word(|trunk, word| trunk.refer = match word { "relay" => ReferMode::Relay, "refuse" => ReferMode::Refuse, "return" => ReferMode::Return, _ => ReferMode::Local }), is(r#""local""#), "handling of a transfer (REFER) from this trunk";
    "refer_to": Kind::Word(&["edge", "tel"])
        => Put::Word(|trunk, word| trunk.refer_to = match word { "tel" => ReferTo::Tel, _ => ReferTo::Edge }), is(r#""edge""#), "Refer-To of a REFER relayed to this trunk: the number at the edge, or a `tel:` URI that the far end calls itself";
    "redirect": Kind::Word(&["follow", "peers", "refuse"])
        => Put::Word(|trunk, word| trunk.redirect = match word { "peers" => RedirectMode::Peers, "refuse" => RedirectMode::Refuse, _ => RedirectMode::Follow }), is(r#""follow""#), "handling of a redirection (3xx) from this trunk: followed to the edge itself and to peers of trunks, to peers only, or a failure";
    "dtmf": Kind::Word(&["rfc4733", "info", "inband"])
        => Put::Word(|trunk, word| trunk.dtmf = match word { "info" => Dtmf::Info, "inband" => Dtmf::Inband, _ => Dtmf::Rfc4733 }), is(r#""rfc4733""#), "DTMF method of this trunk, both directions";
}

keyed! {
    /// `[siprec.NAME]`
    SIPREC, PUT_SIPREC: Trunk;
    "peers": Kind::Many(&Kind::Either(&[Kind::Text("SIP URI"), Kind::Table(PEER)])), MUST, "SIP URIs of the recording servers: one records a call, the next one if it fails, by priority, then weight";
    "required": Kind::Boolean
        => Put::Boolean(|trunk, required| trunk.siprec = Some(Siprec { required })), is("false"), "rejects or ends calls that no server records";
    "codecs": Kind::List(&Kind::Text("codec"))
        => read!(trunks::codecs, |trunk, codecs| trunk.codecs = codecs), is(r#"["PCMU", "PCMA"]"#), "offered codecs in order of preference: PCMU, PCMA, G722, opus";
    "srtp": Kind::Word(&["off", "optional", "required"])
        => Put::Word(|trunk, word| trunk.srtp = match word { "optional" => Srtp::Optional, "required" => Srtp::Required, _ => Srtp::Off }), is(r#""off""#), "media encryption: SRTP with keys in SDP (SDES)";
    "srtp_suites": Kind::List(&Kind::Word(&["AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32", "AEAD_AES_128_GCM", "AEAD_AES_256_GCM"]))
        => read!(trunks::suites, |trunk, suites| trunk.srtp_suites = suites), told("offered: AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80, AEAD_AES_256_GCM, AES_256_CM_HMAC_SHA1_80; accepted: all six"), "SRTP cipher suites: offered in this order, others not accepted";
    "listen": TEXT
        => read!(values::string, |trunk, name| trunk.listen = Some(name)), told("the listener of its transport"), "listener used for requests to the servers";
    "tls": Kind::Table(TRUNK_TLS), told("`{ verify = true }`"), "verification of the servers' certificates, and the client certificate";
    "auth": Kind::Table(AUTH)
        => read!(in credentials::auth, |trunk, credentials| trunk.auth = Some(credentials)), NONE, "credentials for digest challenges of the servers";
    "no_response_timeout": Kind::Duration
        => Put::DurationFrom((T1, "a lost packet is retransmitted after 500 ms"), |trunk, time| trunk.no_response_timeout = time), is(r#""4s""#), "maximum time without any response before the next server is tried";
    "options_interval": Kind::Duration
        => Put::DurationFrom((Duration::from_secs(1), "a peer may treat it as an attack"), |trunk, time| trunk.options_interval = time), is(r#""30s""#), "interval of OPTIONS health checks to each server; 0: no checks";
}

/// Keys of `tls` of a trunk.
pub(crate) const TRUNK_TLS: &[Key] = keys! {
    "ca": FILE, told("system roots"), "CA bundle (PEM) to verify the peer's certificate";
    "names": Kind::Many(&TEXT), NONE, "additional names accepted in the peer's certificate, also those that identify a TLS client as this trunk";
    "certificate": FILE, NONE, "client certificate chain (PEM)";
    "private_key": FILE, NONE, "private key (PEM) of `certificate`";
    "verify": Kind::Boolean, is("true"), "verification of the peer's certificate; `false` accepts any certificate";
    "client_certificate_usage": Kind::Word(&["client", "any"]), is(r#""client""#), "with `names`: extendedKeyUsage that a TLS client's certificate must allow; `any`: a certificate for servers is accepted, too";
};

/// Keys of `auth` of a trunk.
pub(crate) const AUTH: &[Key] = keys! {
    "username": TEXT, MUST, "user name";
    "password": Kind::Secret, MUST, "password";
    "realm": TEXT, told("any"), "realm for which the credentials are valid; other realms get no credentials";
};

/// Keys of `require_auth` of a trunk.
pub(crate) const REQUIRE_AUTH: &[Key] = keys! {
    "username": TEXT, MUST, "user name";
    "password": Kind::Secret, MUST, "password";
    "realm": TEXT, is(r#""trunkgate""#), "realm of our challenge";
    "algorithms": Kind::List(&Kind::Word(&["MD5", "SHA-256", "SHA-512-256"])), is(r#"["SHA-256", "MD5"]"#), "digest algorithms, in order of preference";
};

/// Keys of `register` of a trunk.
pub(crate) const REGISTER: &[Key] = keys! {
    "registrar": Kind::Text("SIP URI"), MUST, "SIP URI of the registrar";
    "user": TEXT, MUST, "user part of the registered address-of-record";
    "expires": Kind::Duration, is(r#""10m""#), "requested lifetime of the registration";
};

/// Keys of `calls_per_second` of a trunk, per direction.
pub(crate) const RATES: &[Key] = keys! {
    "in": COUNT, is("0"), "maximum number of new calls per second from this trunk; 0: no limit";
    "out": COUNT, is("0"), "maximum number of new calls per second to this trunk; 0: no limit";
};

/// Keys of `caller_id` and `caller_id_in` of a trunk.
pub(crate) const CALLER_ID: &[Key] = keys! {
    "allow": Kind::Many(&PATTERN), told("none but `default`"), "allowed caller IDs";
    "default": NUMBER, NONE, "caller ID that replaces any other number; without it the call is rejected";
};

/// Keys of an entry in `limits` of a trunk.
pub(crate) const QUOTA: &[Key] = keys! {
    "to": Kind::Many(&PATTERN), told("any"), "called numbers to which the limit applies";
    "caller": Kind::Many(&PATTERN), told("any"), "calling numbers to which the limit applies";
    "max_calls": COUNT, is("0"), "maximum number of concurrent calls; 0: no limit";
    "calls_per_second": COUNT, is("0"), "maximum number of new calls per second; 0: no limit";
    "calls_per_day": COUNT, is("0"), "maximum number of new calls per day; 0: no limit";
};

/// Keys of `headers` of a trunk.
pub(crate) const HEADERS: &[Key] = keys! {
    "add": Kind::Map(&TEXT), is("{}"), "headers added to each initial INVITE to this trunk";
    "pass": Kind::Many(&TEXT), told("the other trunk's, else the five of the default"), "headers passed through to this trunk, by name or as \"X-*\"";
    "remove": Kind::Many(&TEXT), is("[]"), "headers removed";
};

/// Keys of a peer given as a table.
pub(crate) const PEER: &[Key] = keys! {
    "uri": Kind::Text("SIP URI"), MUST, "SIP URI of the peer";
    "priority": Kind::Integer(0, 65_535), is("0"), "priority; the lowest value is tried first";
    "weight": Kind::Integer(0, 65_535), is("0"), "relative share among peers of equal priority";
};

/// Tables inside a trunk, used to suggest the right table for a misplaced key.
pub(crate) const TRUNK_PARTS: &[(&str, &[Key])] = &[
    ("`auth` or `require_auth`", AUTH),
    ("`require_auth`", REQUIRE_AUTH),
    ("`register`", REGISTER),
    ("`tls`", TRUNK_TLS),
    ("`headers`", HEADERS),
    ("`caller_id`", CALLER_ID),
    ("a peer, as { uri = \"sip:HOST\", priority = 10, weight = 50 }", PEER),
];
