//! Consistency of the key tables with the parser, which does not use their kinds and defaults, and with the documents.

use std::path::Path;

use trunkgate_route::App;

use super::super::reference::{inner, markdown};
use super::super::{Config, Diagnostic, parse};
use super::*;

const TWILIO_ACCOUNT: &str = "[twilio]\naccount_sid = 'AC0123456789abcdef0123456789abcdef'\nauth_token = 't'\n";

/// Configuration text for each key table; `KEYS` is replaced by one key.
const PLACES: &[(&str, &[ConfigKey])] = &[
    ("[edge]\nKEYS", EDGE),
    ("[[listen]]\naddress = '127.0.0.1:0'\nKEYS", LISTEN),
    ("[[listen]]\naddress = '127.0.0.1:0'\ntransport = 'tls'\ncertificates = [{ KEYS }]", CERTIFICATE),
    ("[media]\nKEYS", MEDIA),
    ("[limits]\nKEYS", LIMITS),
    ("[limits]\nban = { KEYS }", BAN),
    ("[http]\nKEYS", HTTP),
    ("[http]\ntls = { KEYS }", HTTP_TLS),
    ("[tls]\nKEYS", TLS),
    ("[[listen]]\naddress = '127.0.0.1:0'\ntransport = 'tls'\n[tls]\nacme = { domains = 'a.example',KEYS }", ACME),
    ("[log]\nKEYS", LOG),
    ("[cdr]\nfile = 'x'\nurl = 'https://h/'\nKEYS", CDR),
    ("[recording]\ndirectory = 'x'\nKEYS", RECORDING),
    ("[recording]\ndirectory = 'x'\n[transcription]\nurl = 'https://h/'\nKEYS", TRANSCRIPTION),
    (
        "[recording]\ndirectory = 'x'\n[transcription]\nurl = 'https://h/'\n[[route]]\nconnect = ['voicemail:x']\n[voicemail.x]\nKEYS",
        VOICEMAIL,
    ),
    (
        "[recording]\ndirectory = 'x'\n[[route]]\nconnect = ['voicemail:x']\n[voicemail.x]\nnotify = 'mailto:a@b'\n[mail]\nserver = 'smtp://u@h'\nKEYS",
        MAIL,
    ),
    ("[hep]\naddress = '127.0.0.1:9060'\nKEYS", HEP),
    ("[alerts]\nurl = 'https://h/'\nKEYS", ALERTS),
    ("[otel]\nendpoint = 'http://127.0.0.1:4318'\nKEYS", OTEL),
    ("[api]\nKEYS", API),
    ("[api]\nauth_token = 't'\n[app.x]\nurl = 'https://h/'\nstatus_callback = 'https://h/'\nKEYS", APP),
    ("[[number]]\nnumber = '+14155550100'\nKEYS", NUMBERS),
    ("[trunk.x]\npeers = ['sip:192.0.2.9']\nKEYS", TRUNK),
    ("[siprec.x]\npeers = ['sip:192.0.2.9']\nKEYS", SIPREC),
    ("[trunk.x]\npeers = ['sip:192.0.2.9;transport=tls']\ntls = { KEYS }", TRUNK_TLS),
    ("[trunk.x]\npeers = ['sip:192.0.2.9']\nauth = { username = 'u', password = 'p',KEYS }", AUTH),
    ("[trunk.x]\npeers = ['sip:192.0.2.9']\nrequire_auth = { username = 'u', password = 'p',KEYS }", REQUIRE_AUTH),
    ("[trunk.x]\nregister = { registrar = 'sip:192.0.2.9', user = 'u',KEYS }", REGISTER),
    ("[trunk.x]\npeers = ['sip:192.0.2.9']\ncalls_per_second = { KEYS }", RATES),
    ("[trunk.x]\npeers = ['sip:192.0.2.9']\ncaller_id = { default = '+14155550100',KEYS }", CALLER_ID),
    ("[trunk.x]\npeers = ['sip:192.0.2.9']\nlimits = [{ max_calls = 1,KEYS }]", QUOTA),
    ("[trunk.x]\npeers = ['sip:192.0.2.9']\nheaders = { KEYS }", HEADERS),
    ("[trunk.x]\npeers = [{ uri = 'sip:192.0.2.9',KEYS }]", PEER),
    ("[agent.x]\nurl = 'ws://127.0.0.1:1/'\nKEYS", AGENT),
    ("[agent.x]\nurl = 'ws://127.0.0.1:1/'\nmax_sessions = 1\nqueue = { KEYS }", QUEUE),
    ("[agent.x]\nurl = 'ws://127.0.0.1:1/'\nhold = { strategy = 'none',KEYS }", HOLD),
    ("[api]\nauth_token = 't'\n[app.x]\nurl = 'https://h/'\n[speech]\nurl = 'https://h/'\nKEYS", SPEECH),
    ("[[route]]\nconnect = ['reject:404']\nKEYS", ROUTE),
    ("[[route]]\nconnect = [{ KEYS }]", RING_ALL),
    ("[group.x]\nconnect = ['reject:404']\nKEYS", GROUP),
    ("TWILIO[twilio]\nKEYS", TWILIO),
    ("TWILIO[sms]\nKEYS", SMS),
    ("[api]\nauth_token = 't'\n[app.x]\nurl = 'https://h/'\n[recognition]\nurl = 'wss://h/'\nKEYS", RECOGNITION),
    ("[api]\nauth_token = 't'\n[messages]\nurl = 'https://h/'\nKEYS", MESSAGES),
    ("TWILIO[sms]\nreplies = { KEYS }", REPLIES),
    (
        "TWILIO[[route]]\nconnect = ['reject:404']\nsms_on_failure = { to = '{caller}', from = '+14155551234', body = 'x',KEYS }",
        SMS_ON_FAILURE,
    ),
];

fn file(place: &str, keys: &str) -> String {
    let place = place.replace("TWILIO[twilio]\n", TWILIO_ACCOUNT).replace("TWILIO", TWILIO_ACCOUNT);
    let with = if keys.is_empty() { place.replace(",KEYS", "") } else { place.replace(",KEYS", ", KEYS") };
    format!("{}\n", with.replace("KEYS", keys))
}

fn read(place: &str, keys: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    parse(Path::new("trunkgate.toml"), &file(place, keys))
}

/// Returns all values of a configuration without their positions.
fn values(config: &Config) -> String {
    let listen: Vec<_> = config.listen.iter().map(|one| (&one.name, one.transport, one.address)).collect();
    let http = (config.http.address, &config.http.token, &config.http.public_url);
    let calls = (&config.trunks, &config.trunk_tls, &config.agents, &config.routes);
    let told = (
        &config.log,
        (&config.cdr, &config.alerts, &config.recording, &config.mailboxes),
        &config.api,
        &config.sms,
        &config.speech,
        &config.otel,
        &config.messages,
        &config.acme,
    );
    // `Debug` of an application hides its URLs.
    let app = |app: &App| {
        let document = config.app_settings.get(&app.name).map(|one| one.document.clone());
        let callback =
            app.status_callback.clone().map(|one| (one.url, one.initiated, one.ringing, one.answered, one.completed));
        let callback = (callback, document);
        let rest = (app.allow_private, app.connect.clone(), app.sip_to.clone(), app.callers.clone(), callback);
        (app.name.clone(), app.document.clone(), app.fallback_url.clone(), rest)
    };
    let apps: Vec<_> = config.apps.iter().map(app).collect();
    format!("{:?}", (&config.edge, &config.media, &config.limits, listen, http, calls, told, apps, &config.numbers))
}

/// Returns the keys of each table that its text does not already contain.
fn all() -> impl Iterator<Item = (&'static str, ConfigKey)> {
    let free = |place: &str, key: &ConfigKey| !place.contains(&format!("{} =", key.name));
    PLACES
        .iter()
        .flat_map(move |(place, keys)| keys.iter().filter(move |key| free(place, key)).map(move |key| (*place, *key)))
}

#[test]
fn every_list_is_tried() {
    let mut lists: Vec<&[ConfigKey]> = TABLES.iter().map(|(_, keys)| *keys).collect();
    while let Some(keys) = lists.pop() {
        assert!(PLACES.iter().any(|(_, known)| same(known, keys)), "{keys:?}");
        lists.extend(keys.iter().filter_map(|key| inner(key.kind)));
    }
}

#[test]
fn a_default_is_what_holds_where_nothing_is_written() {
    let mut tried = 0;
    for (place, key) in all() {
        let AbsentMeaning::Value(default) = key.default.is else { continue };
        if key.default.beside.is_some_and(|other| !place.contains(other)) {
            continue;
        }
        let (without, with) = (read(place, ""), read(place, &format!("{} = {default}", key.name)));
        let (Ok((without, _)), Ok((with, warnings))) = (without, with) else { panic!("{place} {}", key.name) };
        assert_eq!(values(&without), values(&with), "{place} {}", key.name);
        let quoted = format!("`{}`", key.name);
        assert!(!warnings.iter().any(|one| one.message.contains(&quoted)), "{place} {}: {warnings:?}", key.name);
        tried += 1;
    }
    assert!(tried > 80, "{tried}");
}

#[test]
fn words_and_ranges_are_those_that_are_taken() {
    let complaints = |place: &str, key: &ConfigKey, value: &str| -> Vec<String> {
        let (Ok((_, found)) | Err(found)) = read(place, &format!("{} = {value}", key.name));
        let of_key = |one: &Diagnostic| {
            one.is_error && (one.message.contains("cannot be") || one.message.contains("out of range"))
        };
        found.into_iter().filter(of_key).map(|one| one.message).collect()
    };
    for (place, key) in all() {
        if let ValueKind::Word(words) = key.kind {
            for word in words {
                let found = complaints(place, &key, &format!("'{word}'"));
                // A preset may require further keys.
                assert!(key.name == "preset" || found.is_empty(), "{place} {} = {word}: {found:?}", key.name);
            }
            assert!(read(place, &format!("{} = 'xyzzy'", key.name)).is_err(), "{place} {}", key.name);
        }
        if let ValueKind::Integer(least, most) = key.kind {
            for inside in [least, least + 1] {
                let found = complaints(place, &key, &inside.to_string());
                assert!(found.is_empty(), "{place} {} = {inside}: {found:?}", key.name);
            }
            let outside = [i64::from(least) - 1, i64::from(most) + 1];
            assert!(
                outside.iter().all(|number| read(place, &format!("{} = {number}", key.name)).is_err()),
                "{place} {}",
                key.name
            );
            let range = complaints(place, &key, &most.to_string());
            assert!(range.is_empty(), "{place} {} = {most}: {range:?}", key.name);
        }
    }
}

#[test]
fn no_key_takes_what_it_is_not() {
    // Keys that the `strategy` does not need are not read.
    let unread = |place: &str, key: &ConfigKey| place.contains("hold = {") && key.name != "strategy";
    for (place, key) in all().filter(|(place, key)| !unread(place, key)) {
        // No key accepts a date, or a table without a known key.
        for wrong in ["1979-05-27", "{ xyzzy = 1979-05-27 }", "[1979-05-27]"] {
            let read = read(place, &format!("{} = {wrong}", key.name));
            assert!(read.is_err(), "{place} {} = {wrong}", key.name);
        }
        let is_a = |value: &str| read(place, &format!("{} = {value}", key.name)).is_ok();
        let kinds = if let ValueKind::Either(kinds) = key.kind { kinds } else { &[key.kind] };
        let takes_true = kinds.contains(&ValueKind::Boolean);
        // These keys need another key or table.
        if !matches!(key.name, "accept_register" | "secure" | "record") {
            assert_eq!(is_a("true"), takes_true, "{place} {}", key.name);
        }
    }
}

#[test]
fn every_key_has_a_text() {
    for (_, keys) in PLACES {
        for key in *keys {
            let ends_well = !key.about.is_empty() && !key.about.ends_with('.') && key.about.len() < 160;
            assert!(ends_well, "{}: {:?}", key.name, key.about);
        }
    }
}

#[test]
fn the_page_of_all_keys_is_made_of_them() {
    let page = include_str!("../../../../docs/reference/keys.md");
    assert!(page == markdown(), "cargo run -- config schema --markdown > docs/reference/keys.md");
}

#[test]
fn the_page_of_the_configuration_explains_every_section() {
    let page = include_str!("../../../../docs/configure/configuration.md");
    let is_missing = |name: &&str| {
        let forms = [format!("`[{name}]`"), format!("`[[{name}]]`"), format!("`[{name}.NAME]`")];
        !forms.iter().any(|form| page.contains(form))
    };
    let missing: Vec<&str> = ROOT.iter().map(|key| key.name).filter(is_missing).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
