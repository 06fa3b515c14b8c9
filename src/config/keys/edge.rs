//! Keys of the edge itself: `[edge]`, `[[listen]]`, `[media]`, `[limits]`, `[http]`, `[log]`.

use super::{ADDRESS, COUNT, FILE, Key, Kind, MUST, NETWORK, NONE, NUMBER, SOCKET, is, keys, told};

/// `[edge]`
pub(in crate::config) const EDGE: &[Key] = keys! {
    "name": Kind::Name, told("the host's name"), "names the edge in logs, status and metrics";
    "public_address": Kind::Many(&ADDRESS), told("the local address that reaches the peer"), "what far ends outside `local_networks` are shown in Via, Contact and SDP; one of each family at most";
    "local_networks": Kind::List(&NETWORK), is(r#"["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "127.0.0.0/8", "::1/128"]"#), "far ends in these are shown our local address";
    "country": Kind::Text("country"), is(r#""US""#), "region of numbers without a country code (ISO 3166)";
    "emergency": Kind::Many(&NUMBER), told("those of `country`"), "emergency numbers as they are dialled, two to six digits";
    "state": Kind::OnlyText("memory"), is(r#""memory""#), "where what several edges share is kept";
    "time_zone": Kind::Text("time zone"), is(r#""UTC""#), "by whose clocks `when` of a route is read";
    "holidays": Kind::Many(&Kind::Text("date")), NONE, "what `holidays` in a `when` means: each year, or once";
};

/// `[[listen]]`
pub(in crate::config) const LISTEN: &[Key] = keys! {
    "name": Kind::Name, told("transport and address"), "what a trunk's `listen` calls it";
    "transport": Kind::Word(&["udp", "tcp", "tls"]), is(r#""udp""#), "what is spoken there";
    "address": SOCKET, MUST, "where it is bound; port 0 takes a free one";
    "public_address": Kind::Many(&ADDRESS), told("`[edge]`'s"), "what far ends are shown that are reached by this listener";
    "certificate": FILE, told("must be there for `tls`"), "PEM: our certificate, then those that it comes from; read again when it changes";
    "private_key": FILE, told("must be there for `tls`"), "PEM: its key";
    "client_ca": FILE, NONE, "PEM: each client must show a certificate from one of these";
};

/// `[media]`
pub(in crate::config) const MEDIA: &[Key] = keys! {
    "address": Kind::Many(&ADDRESS), is(r#"["0.0.0.0", "::"]"#), "what media sockets are bound to: the first of the far end's family";
    "ports": Kind::Text("range"), is(r#""16384-32767""#), "RTP on even ports, RTCP on the next odd one; four for each call";
    "engine": Kind::Word(&["auto", "user"]), is(r#""auto""#), "who moves the packets";
    "threads": Kind::Integer(0, 256), is("0"), "media workers; 0: one per core";
    "idle_timeout": Kind::Duration, is(r#""60s""#), "no RTP for so long from a leg that should send ends the call; hold respected";
    "latch": Kind::Word(&["strict", "relearn", "off"]), is(r#""strict""#), "what is learned of a far end's media address from its packets";
};

/// `[limits]`
pub(in crate::config) const LIMITS: &[Key] = keys! {
    "calls": Kind::Integer(1, u32::MAX), told("media ports / 4"), "calls at once; more is answered 503";
    "calls_per_second": COUNT, is("200"), "new calls a second; more is answered 503";
    "sip_message_bytes": Kind::Integer(1_500, 65_535), is("65535"), "a longer message is refused";
    "unknown_messages_per_second": COUNT, is("200"), "messages of one address of no trunk that are looked at";
    "ban": Kind::Table(BAN), is(r#"{ after = 20, within = "10s", lasting = "10m" }"#), "when nothing of an address of no trunk is looked at any more";
};

/// `ban` of `[limits]`.
pub(in crate::config) const BAN: &[Key] = keys! {
    "after": Kind::Integer(0, 1_000), is("20"), "so many failed digests and malformed messages; 0: nobody is banned";
    "within": Kind::Duration, is(r#""10s""#), "in this time";
    "lasting": Kind::Duration, is(r#""10m""#), "are answered by nothing for so long";
};

/// `[http]`
pub(in crate::config) const HTTP: &[Key] = keys! {
    "address": SOCKET, is(r#""127.0.0.1:8080""#), "where health, metrics, status and calls are";
    "token": Kind::Secret, NONE, "bearer token; must be there unless the address is loopback";
    "public_url": Kind::Url, NONE, "the address under which browsers reach it";
    "tls": Kind::Table(HTTP_TLS), NONE, "HTTPS instead of HTTP";
};

/// `tls` of `[http]`.
pub(in crate::config) const HTTP_TLS: &[Key] = keys! {
    "certificate": FILE, MUST, "PEM: our certificate, then those that it comes from; read again when it changes";
    "private_key": FILE, MUST, "PEM: its key";
    "ca": FILE, told("`certificate`"), "PEM: whom verbs as `status`, which read this file, believe that it is the edge";
};

/// `[log]`
pub(in crate::config) const LOG: &[Key] = keys! {
    "format": Kind::Word(&["auto", "text", "json"]), is(r#""auto""#), "`auto`: text on a terminal, else JSON";
    "level": Kind::Text("level"), is(r#""info""#), "or a filter as \"info,trunkgate=debug\"";
    "numbers": Kind::Word(&["masked", "full"]), is(r#""masked""#), "whether numbers are shown whole";
};
