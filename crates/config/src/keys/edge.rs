//! Keys of the edge itself: `[edge]`, `[[listen]]`, `[media]`, `[limits]`, `[http]`, `[log]`.

use std::time::Duration;

use trunkgate_call::BanRule;
use trunkgate_media::LatchMode;

use super::{
    ADDRESS, COUNT, ConfigKey, FILE, FOLDER, FieldSetter, MUST, NETWORK, NONE, NUMBER, SOCKET, ValueKind, is, keyed,
    keys, read, told,
};
use crate::acme::{self, AcmeSettings};
use crate::types::{EdgeConfig, HttpSettings, LimitSettings, MediaSettings};
use crate::values::KeyReader;
use crate::{emergency, hours, schema, tls};
use trunkgate_system::log::LogSettings;

keyed! {
    /// Keys of `[edge]`.
    EDGE, PUT_EDGE: EdgeConfig;
    "name": ValueKind::Name
        => read!(KeyReader::name, |edge, name| edge.name = name), told("host name"), "name of the edge in logs, status and metrics";
    "public_address": ValueKind::Many(&ADDRESS)
        => read!(schema::public_addresses, |edge, list| edge.public_address = list), told("the listener's address, else that of the route to the peer"), "address in Via, Contact and SDP sent to peers outside `local_networks`; at most one per address family";
    "local_networks": ValueKind::List(&NETWORK)
        => read!(schema::local_networks, |edge, list| edge.local_networks = list), is(r#"["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "127.0.0.0/8", "::1/128"]"#), "networks whose peers get the local address in Via, Contact and SDP";
    "country": ValueKind::Text("country")
        => read!(schema::country, |edge, numbers| edge.numbers = numbers), is(r#""US""#), "country of numbers without a country code (ISO 3166)";
    "emergency": ValueKind::Many(&NUMBER)
        => read!(emergency::read, |edge, list| edge.numbers = edge.numbers.clone().with_emergency(list)), told("those of `country`"), "emergency numbers as dialled, two to six digits";
    "data_directory": FOLDER, told("`$STATE_DIRECTORY` (systemd's `StateDirectory`), else beside this file"), "directory of the store: queued call records and messages, opt-outs (STOP), daily counts";
    "data_required": ValueKind::Boolean, is("false"), "refuses the start (TG0202) while the store, `[cdr] file` or `[recording] directory` cannot be written; false: takes calls and reports it in `status`";
    "state": ValueKind::Word(&["memory", "file"]), is(r#""memory""#), "place of the state of answered calls: a \"file\" in `state_directory`, from which they continue after a crash";
    "state_directory": FOLDER, told("`$RUNTIME_DIRECTORY` (systemd's `RuntimeDirectory`)"), "directory of that file, best on a tmpfs";
    "standby": ValueKind::Boolean, is("false"), "keeps a second process of `trunkgate keeper` waiting to continue the calls after a crash";
    "time_zone": ValueKind::Text("time zone")
        => read!(hours::time_zone, |edge, zone| edge.calendar.zone = zone), is(r#""UTC""#), "time zone used to evaluate route schedules (`when`)";
    "holidays": ValueKind::Many(&ValueKind::Text("date"))
        => read!(hours::holidays, |edge, dates| edge.calendar.holidays = dates.into()), NONE, "dates matched by `holidays` in a `when`: `12-25` each year, `2026-12-25` once";
}

/// Keys of `[[listen]]`.
pub(crate) const LISTEN: &[ConfigKey] = keys! {
    "name": ValueKind::Name, told("transport and address"), "name of the listener, used by `listen` of a trunk";
    "transport": ValueKind::Word(&["udp", "tcp", "tls"]), is(r#""udp""#), "SIP transport";
    "address": SOCKET, MUST, "local address and port; port 0 selects a free port";
    "public_address": ValueKind::Many(&ADDRESS), told("`[edge] public_address`"), "address in Via, Contact and SDP sent through this listener";
    "certificate": FILE, told("required for `tls` without `[tls] acme`"), "certificate chain (PEM), leaf first; reloaded when the file changes";
    "private_key": FILE, told("required for `tls` without `[tls] acme`"), "private key (PEM) of `certificate`";
    "certificates": ValueKind::Many(&ValueKind::Table(CERTIFICATE)), NONE, "additional certificates; a client gets the first one, beginning with `certificate`, that is valid for its server name (SNI)";
    "client_ca": FILE, NONE, "CA bundle (PEM) to verify client certificates; makes a client certificate mandatory";
};

/// Keys of an entry in `certificates` of a listener.
pub(crate) const CERTIFICATE: &[ConfigKey] = keys! {
    "certificate": FILE, MUST, "certificate chain (PEM), leaf first; reloaded when the file changes";
    "private_key": FILE, MUST, "private key (PEM) of `certificate`";
};

keyed! {
    /// Keys of `[media]`.
    MEDIA, PUT_MEDIA: MediaSettings;
    "address": ValueKind::Many(&ADDRESS)
        => read!(schema::media_addresses, |media, list| media.address = list), is(r#"["0.0.0.0", "::"]"#), "local addresses of media sockets; the first of the remote party's address family is used";
    "ports": ValueKind::Text("range")
        => read!(schema::port_range, |media, range| media.ports = range), is(r#""16384-32767""#), "UDP port range: RTP on even ports, RTCP on the next odd port, four ports per call";
    "engine": ValueKind::Word(&["auto", "user"])
        => FieldSetter::Read(|_, reader| schema::judge_engine(reader)), is(r#""auto""#), "media relay implementation";
    "threads": ValueKind::Integer(0, 256)
        => FieldSetter::Integer(|media, number| media.threads = number as usize), is("0"), "number of media worker threads; 0: one per core";
    "idle_timeout": ValueKind::Duration
        => FieldSetter::DurationFrom((Duration::from_secs(5), "a pause caused by silence suppression would end the call"), |media, time| media.idle_timeout = time), is(r#""60s""#), "maximum time without RTP from a leg that should send before the call is ended; legs on hold are exempt";
    "latch": ValueKind::Word(&["strict", "relearn", "off"])
        => FieldSetter::Word(|media, word| media.latch = match word { "relearn" => LatchMode::Relearn, "off" => LatchMode::Off, _ => LatchMode::Strict }), is(r#""strict""#), "learning of the remote media address: another expected source takes over after 10 s of silence, except from the announced source; after 3 s; or never";
}

keyed! {
    /// Keys of `[limits]`.
    LIMITS, PUT_LIMITS: LimitSettings;
    "calls": ValueKind::Integer(1, u32::MAX)
        => FieldSetter::Integer(|limits, most| limits.calls = most), told("media ports / 4"), "maximum number of concurrent calls; further calls are rejected with 503";
    "calls_per_second": COUNT
        => FieldSetter::Integer(|limits, most| limits.calls_per_second = most), is("200"), "maximum number of new calls per second; further calls are rejected with 503";
    "sip_message_bytes": ValueKind::Integer(1_500, 65_535)
        => FieldSetter::Integer(|limits, most| limits.sip_message_bytes = most as usize), is("65535"), "maximum size of a SIP message in bytes; larger messages are rejected";
    "unknown_messages_per_second": COUNT
        => FieldSetter::Integer(|limits, most| limits.strangers.messages_per_second = most), is("200"), "maximum number of SIP messages per second processed from one unknown source address";
    "ban": ValueKind::Table(BAN)
        => read!(schema::ban, |limits, ban| limits.strangers.ban = ban), is(r#"{ after = 20, within = "10s", lasting = "10m", slow_after = 100, slow_within = "1h", slow_lasting = "6h" }"#), "ban of unknown source addresses after failed attempts";
}

keyed! {
    /// Keys of `ban` of `[limits]`.
    BAN, PUT_BAN: BanRule;
    "after": ValueKind::Integer(0, 1_000)
        => FieldSetter::Integer(|ban, failures| ban.after = failures), is("20"), "number of failed digests and malformed messages before an address is banned; 0: no bans";
    "within": ValueKind::Duration
        => FieldSetter::Duration(|ban, time| ban.within = time), is(r#""10s""#), "period in which failures are counted";
    "lasting": ValueKind::Duration
        => FieldSetter::Duration(|ban, time| ban.lasting = time), is(r#""10m""#), "ban duration";
    "slow_after": ValueKind::Integer(0, 100_000)
        => FieldSetter::Integer(|ban, failures| ban.slow.after = failures), is("100"), "number of failed digests of one trunk's `require_auth` before that trunk is closed to the address; four times as many at several trunks ban the address; 0: off";
    "slow_within": ValueKind::Duration
        => FieldSetter::Duration(|ban, time| ban.slow.within = time), is(r#""1h""#), "period in which `slow_after` is counted";
    "slow_lasting": ValueKind::Duration
        => FieldSetter::Duration(|ban, time| ban.slow.lasting = time), is(r#""6h""#), "how long the trunk stays closed to the address, or the address banned";
}

keyed! {
    /// Keys of `[http]`.
    HTTP, PUT_HTTP: HttpSettings;
    "address": SOCKET
        => read!(KeyReader::socket_address, |http, address| http.address = address), is(r#""127.0.0.1:8080""#), "local address and port of the HTTP API (health, metrics, status, calls)";
    "token": ValueKind::Secret
        => FieldSetter::Secret(|http, secret| http.token = Some(secret)), NONE, "bearer token of the HTTP API; required unless `address` is loopback and no `public_url` is set";
    "public_url": ValueKind::Url
        => read!(schema::web_url, |http, url| http.public_url = Some(url)), NONE, "URL under which browsers and Twilio reach the HTTP API";
    "trusted_proxies": ValueKind::Many(&NETWORK)
        => read!(schema::proxies, |http, networks| http.trusted_proxies = networks), NONE, "addresses of reverse proxies; of requests from there, the client's address is the last one in `X-Forwarded-For` that is not one of these proxies";
    "tls": ValueKind::Table(HTTP_TLS)
        => read!(tls::http, |http, tls| http.tls = Some(tls)), NONE, "certificate for HTTPS instead of HTTP";
}

/// Keys of `[tls]`.
pub(crate) const TLS: &[ConfigKey] = keys! {
    "acme": ValueKind::Table(ACME), NONE, "certificate of `[[listen]]` tables with `transport = \"tls\"` and no `certificate`, obtained and renewed by ACME";
};

keyed! {
    /// Keys of `acme` of `[tls]`.
    ACME, PUT_ACME: AcmeSettings;
    "domains": ValueKind::Many(&ValueKind::Text("host name"))
        => read!(acme::domains, |acme, list| acme.domains = list), MUST, "host names of the certificate";
    "email": ValueKind::Text("e-mail address")
        => read!(acme::email, |acme, email| acme.email = Some(email)), NONE, "contact of the account with the certificate authority";
    "directory": ValueKind::Url
        => read!(acme::directory, |acme, url| acme.directory = url), is(r#""https://acme-v02.api.letsencrypt.org/directory""#), "URL of the authority's ACME directory";
    "ca": FILE
        => read!(tls::trusted, |acme, path| acme.ca = Some(path)), told("system roots"), "CA bundle (PEM) to verify the server of `directory`";
    "challenge": ValueKind::Word(&["http-01"])
        => FieldSetter::Word(|_, _| {}), is(r#""http-01""#), "proof of control over each host name";
    "challenge_address": SOCKET
        => read!(KeyReader::socket_address, |acme, address| acme.challenge_address = address), is(r#""0.0.0.0:80""#), "local address and port that answer the challenge; the authority connects to port 80 of each host name";
}

/// Keys of `tls` of `[http]`.
pub(crate) const HTTP_TLS: &[ConfigKey] = keys! {
    "certificate": FILE, MUST, "certificate chain (PEM), leaf first; reloaded when the file changes";
    "private_key": FILE, MUST, "private key (PEM) of `certificate`";
    "ca": FILE, told("`certificate`"), "CA bundle (PEM) with which verbs such as `status` verify this edge";
};

keyed! {
    /// Keys of `[log]`.
    LOG, PUT_LOG: LogSettings;
    "format": ValueKind::Word(&["auto", "text", "json"])
        => FieldSetter::Word(|log, word| log.format = word.to_owned()), is(r#""auto""#), "log format; `auto`: text on a terminal, JSON otherwise";
    "level": ValueKind::Text("level")
        => read!(schema::log_level, |log, level| log.level = level), is(r#""info""#), "log level, or a filter such as \"info,trunkgate=debug\"";
    "numbers": ValueKind::Word(&["masked", "full"])
        => FieldSetter::Word(|log, word| log.full_numbers = word == "full"), is(r#""masked""#), "telephone numbers in logs: masked or in full";
}
