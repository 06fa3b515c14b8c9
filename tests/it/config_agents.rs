//! `[agent.NAME]`, `[api]` and `fork`: accepted values, and the place of each mistake.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trunkgate_config::{self as config, Config};
use trunkgate_route::{AnswerTime, OnClose, QueueSettings, TargetSpec, TemplateValues};

use crate::support::depends_on_machine;

const TRUNK: &str = "[trunk.carrier]\npeers = ['sip:192.0.2.9']\n";

fn parse(text: &str) -> Result<(Config, Vec<config::Diagnostic>), Vec<config::Diagnostic>> {
    config::parse(Path::new("trunkgate.toml"), text)
}

fn accepted(text: &str) -> Config {
    let (config, warnings) = parse(text).unwrap_or_else(|found| panic!("{found:#?}"));
    let warnings: Vec<_> = warnings.iter().filter(|warning| !depends_on_machine(warning.code)).collect();
    assert!(warnings.is_empty(), "{warnings:#?}");
    config
}

/// Checks the only error for an agent with this line, and the text that the error marks.
#[track_caller]
fn refused(line: &str, code: &str, about: &str) {
    let url = if line.starts_with("url") { "" } else { "url = 'wss://127.0.0.1:9/'\n" };
    let text = format!("{TRUNK}[[route]]\nconnect = ['agent:a']\n[agent.a]\n{url}{line}\n");
    let found = parse(&text).expect_err(line);
    let [error] = &found.iter().filter(|found| !depends_on_machine(found.code)).collect::<Vec<_>>()[..] else {
        panic!("{line}: {found:#?}")
    };
    assert_eq!((error.code, &text[error.span.clone().unwrap()]), (code, about), "{line}: {}", error.message);
    assert!(!error.help.is_empty());
}

fn certificate() -> String {
    rcgen::generate_simple_self_signed(["agent.example".to_owned()]).unwrap().cert.pem()
}

#[test]
fn an_agent_has_its_defaults() {
    let config =
        accepted(&format!("{TRUNK}[[route]]\nconnect = ['agent:a']\n[agent.a]\nurl = 'wss://agent.example/m'\n"));
    let agent = &config.agents[0];
    assert_eq!((&*agent.name, agent.url.as_str()), ("a", "wss://agent.example/m"));
    assert_eq!((agent.connect_timeout, agent.ping), (Duration::from_secs(10), Duration::from_secs(2)));
    assert_eq!((agent.on_close, agent.extras), (OnClose::Hangup, false));
    assert_eq!((agent.format, agent.clear_fade), ("mulaw/8000", Duration::ZERO));
    assert!(agent.ca.is_none() && agent.auth_token.is_none() && agent.goodbye.is_none());
    assert!(agent.parameters.is_empty() && agent.allow_callers.is_empty() && agent.transfer_to.is_none());
    assert_eq!((agent.first_audio_timeout, agent.max_call, agent.retry), (Duration::ZERO, Duration::ZERO, 0));
    assert_eq!((agent.max_sessions, agent.queue), (0, None));
    assert_eq!(config.routes[0].connect, [TargetSpec::Agent("a".into())]);
}

#[test]
fn an_agent_with_everything() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), certificate()).unwrap();
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(folder.path().join("bye.wav"), spec).unwrap();
    for _ in 0..160 {
        wav.write_sample(0_i16).unwrap();
    }
    wav.finalize().unwrap();
    let text = format!(
        "{TRUNK}[agent.full]\nurl = 'wss://agent.example/m?x=1'\nca = 'ca.pem'\nauth_token = 'hunter2'\n\
         format = 'l16/16000'\nclear_fade = '10ms'\nparameters = {{ tenant = 'acme', caller = '<{{caller}}>' }}\nextras = true\n\
         connect_timeout = '3s'\nfirst_audio_timeout = '15s'\nanswer = 'on_connect'\nretry = 3\non_close = 'next'\n\
         ping = '0s'\nmax_call = '10m'\nmax_sessions = 4\nqueue = {{ size = 7 }}\ngoodbye = 'bye.wav'\nhold = {{ strategy = 'none' }}\n\
         [agent.scribe]\nurl = 'ws://10.1.2.3:8080/listen'\n[api]\naccount_sid = 'AC0123456789abcdef0123456789abcdef'\n\
         [[route]]\nconnect = ['agent:full', 'trunk:carrier']\nfork = 'agent:scribe'\n"
    );
    let path = folder.path().join("trunkgate.toml");
    let (config, _) = config::parse(&path, &text).unwrap_or_else(|found| panic!("{found:#?}"));
    let agent = &config.agents[0];
    assert_eq!((agent.connect_timeout, agent.ping), (Duration::from_secs(3), Duration::ZERO));
    assert_eq!((agent.on_close, agent.extras), (OnClose::Next, true));
    assert_eq!((agent.format, agent.clear_fade), ("l16/16000", Duration::from_millis(10)));
    assert_eq!((agent.first_audio_timeout, agent.retry), (Duration::from_secs(15), 3));
    assert_eq!(agent.max_call, Duration::from_secs(600));
    assert_eq!((agent.max_sessions, agent.queue), (4, Some(QueueSettings { size: 7, wait: Duration::from_secs(120) })));
    assert_eq!(agent.auth_token.as_deref(), Some("hunter2"));
    assert!(agent.ca.as_deref().is_some_and(|pem| pem.starts_with(b"-----BEGIN")));
    assert_eq!(agent.goodbye.as_deref(), Some(&[0xff; 160][..]));
    let facts = TemplateValues { caller: "+14155551234", ..TemplateValues::default() };
    let filled: Vec<_> = agent.parameters.iter().map(|(name, value)| (name.as_str(), value.fill(&facts))).collect();
    assert_eq!(filled, [("tenant", "acme".to_owned()), ("caller", "<+14155551234>".to_owned())]);
    assert_eq!(config.routes[0].fork, ["scribe"]);
    assert_eq!(config.api.account_sid, "AC0123456789abcdef0123456789abcdef");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn the_account_is_named_after_the_edge() {
    let sid = |name: &str| {
        accepted(&format!("[edge]\nname = '{name}'\n{TRUNK}[[route]]\nconnect = 'trunk:carrier'\n")).api.account_sid
    };
    let one = sid("edge-1");
    assert!(one.len() == 34 && one.starts_with("AC") && one[2..].bytes().all(|b| b.is_ascii_hexdigit()), "{one}");
    assert_eq!(one, sid("edge-1"));
    assert_ne!(one, sid("edge-2"));
}

#[test]
fn a_url_leads_to_a_websocket_and_keeps_secrets() {
    for (url, code) in [
        ("agent.example/m", "TG0113"),
        ("http://agent.example/m", "TG0113"),
        ("wss://", "TG0113"),
        ("wss://user:pass@agent.example/m", "TG0113"),
        ("wss://agent.example/m#part", "TG0113"),
        ("ws://203.0.113.5/m", "TG0113"),
        ("ws://[2001:db8::5]/m", "TG0113"),
        ("rtp://127.0.0.1", "TG0113"),
        ("rtp://127.0.0.1:0", "TG0113"),
        ("rtp://127.0.0.1:4000/media", "TG0113"),
        ("rtp://203.0.113.5:4000", "TG0113"),
    ] {
        refused(&format!("url = '{url}'"), code, &format!("'{url}'"));
    }
    for url in [
        "ws://127.0.0.1:8765/m",
        "ws://[::1]:8765/",
        "ws://10.0.0.7/",
        "ws://localhost/",
        "ws://agent:8080/m",
        "wss://203.0.113.5/m",
    ] {
        accepted(&format!("{TRUNK}[[route]]\nconnect = 'agent:a'\n[agent.a]\nurl = '{url}'\n"));
    }
    let found = parse(&format!("{TRUNK}[[route]]\nconnect = 'trunk:carrier'\n[agent.a]\nextras = true\n")).unwrap_err();
    assert_eq!(found[0].code, "TG0106");
}

#[test]
fn plain_rtp_listens_and_has_no_conversation() {
    let route = |key: &str| format!("{TRUNK}[[route]]\nconnect = 'trunk:carrier'\n{key}\n");
    let agent = "[agent.a]\nurl = 'rtp://127.0.0.1:4000'\n";
    assert!(accepted(&format!("{}{agent}", route("fork = 'agent:a'"))).agents[0].is_raw());
    let found = parse(&format!("{TRUNK}[[route]]\nconnect = 'agent:a'\n{agent}")).unwrap_err();
    assert_eq!((found.len(), found[0].code), (1, "TG0112"));
    let (_, warnings) = parse(&format!("{}{agent}ping = '1s'\n", route("fork = 'agent:a'"))).unwrap();
    assert!(warnings.iter().any(|warning| warning.message.contains("`ping` has no effect")), "{warnings:?}");
}

#[test]
fn mistakes_in_an_agent_are_named() {
    for (line, code, about) in [
        ("ca = '/nowhere/ca.pem'", "TG0114", "'/nowhere/ca.pem'"),
        ("ca = 'Cargo.toml'", "TG0114", "'Cargo.toml'"),
        ("goodbye = '/nowhere/bye.wav'", "TG0114", "'/nowhere/bye.wav'"),
        ("goodbye = 'Cargo.toml'", "TG0114", "'Cargo.toml'"),
        ("auth_token = ''", "TG0110", "''"),
        ("on_close = 'stop'", "TG0105", "'stop'"),
        ("retry = 11", "TG0105", "11"),
        ("retry = -1", "TG0105", "-1"),
        ("retry = '3'", "TG0103", "'3'"),
        ("max_call = 600", "TG0109", "600"),
        ("max_sessions = -1", "TG0105", "-1"),
        ("max_sessions = '10'", "TG0103", "'10'"),
        ("max_calls = 10", "TG0104", "max_calls"),
        ("queue = 20", "TG0103", "20"),
        ("queue = { size = 0 }", "TG0105", "0"),
        ("queue = { size = 1001 }", "TG0105", "1001"),
        ("queue = { wait = '0s' }", "TG0105", "'0s'"),
        ("queue = { wait = '61m' }", "TG0105", "'61m'"),
        ("queue = { wait = 120 }", "TG0109", "120"),
        ("queue = { length = 5 }", "TG0104", "length"),
        ("first_audio_timeout = 15", "TG0109", "15"),
        ("allow_callers = ['+14155551234', '+1415*']", "TG0105", "'+1415*'"),
        ("allow_callers = ['anonymous']", "TG0105", "'anonymous'"),
        ("allow_callers = ['']", "TG0105", "''"),
        ("allow_callers = ['5551234']", "TG0105", "'5551234'"),
        ("allow_callers = [14155551234]", "TG0103", "14155551234"),
        ("ping = 2", "TG0109", "2"),
        ("extras = 'yes'", "TG0103", "'yes'"),
        ("parameters = 'x'", "TG0103", "'x'"),
        ("parameters = { x = 5 }", "TG0103", "5"),
        ("parameters = { x = '{callers}' }", "TG0105", "'{callers}'"),
        ("parameters = { x = '{header:Authorization}' }", "TG0105", "'{header:Authorization}'"),
        ("format = 'l16/48000'", "TG0105", "'l16/48000'"),
        ("clear_fade = '21ms'", "TG0105", "'21ms'"),
        ("clear_fade = 10", "TG0109", "10"),
        ("tokn = 'x'", "TG0104", "tokn"),
        ("timeout = '3s'", "TG0104", "timeout"),
        ("answer = 'never'", "TG0105", "'never'"),
        ("hold = { strategy = 'silence' }", "TG0105", "'silence'"),
        ("hold = { strategy = 'music' }", "TG0106", "'music'"),
        ("hold = { strategy = 'music', music = 'Cargo.toml' }", "TG0114", "'Cargo.toml'"),
        ("hold = { strategy = 'audio', audio = '/dev/zero' }", "TG0114", "'/dev/zero'"),
        ("hold = { music = 'm.mp3' }", "TG0106", "{ music = 'm.mp3' }"),
        ("hold = { strategy = 'text' }", "TG0106", "'text'"),
        ("hold = { strategy = 'text', text = ' ' }\n[speech]\ncommand = ['sh', '{text}']", "TG0105", "' '"),
        ("[speech]\ncommand = 'espeak-ng'", "TG0103", "'espeak-ng'"),
        ("[speech]\ncommand = []", "TG0105", "[]"),
        (
            "answer = 'early'\nhold = { strategy = 'text', text = 'x' }\n[speech]\ncommand = ['say']",
            "TG0105",
            "['say']",
        ),
        ("[speech]\nurl = 'ftp://h/'", "TG0108", "'ftp://h/'"),
        ("[speech]\nurl = 'http://tts.example/'", "TG0108", "'http://tts.example/'"),
        ("[speech]\nurl = 'https://me:x@tts.example/'", "TG0108", "'https://me:x@tts.example/'"),
        ("[speech]\nurl = 'https://h/'\nformat = 'flac'", "TG0105", "'flac'"),
        ("[speech]\nurl = 'https://h/'\ncommand = ['sh', '{text}']", "TG0105", "'https://h/'"),
        ("[speech]\ncommand = ['espeak-ng', 'hello']", "TG0105", "['espeak-ng', 'hello']"),
        ("hold = 'music'", "TG0103", "'music'"),
    ] {
        refused(line, code, about);
    }
    refused(&format!("parameters = {{ x = '{}' }}", "y".repeat(5000)), "TG0105", &format!("'{}'", "y".repeat(5000)));
    let many: Vec<String> = (0..65).map(|n| format!("p{n} = ''")).collect();
    let many = format!("{{ {} }}", many.join(", "));
    refused(&format!("parameters = {many}"), "TG0105", &many);
}

#[test]
fn a_text_that_nothing_can_speak_is_an_error() {
    let text = "{ strategy = 'text', text = 'wait' }";
    refused(&format!("hold = {text}\n[speech]\ninstalled = false"), "TG0106", text);
    refused("[speech]\ninstalled = 1", "TG0103", "1");
}

#[test]
fn hold_audio_is_decoded_and_shared() {
    let folder = tempfile::tempdir().unwrap();
    for (name, rate) in [("wait.wav", 44_100_u32), ("music.wav", 8000)] {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(folder.path().join(name), spec).unwrap();
        (0..rate).for_each(|_| wav.write_sample(1000_i16).unwrap());
        wav.finalize().unwrap();
    }
    let agent = |name: &str, answer: &str| {
        format!(
            "[agent.{name}]\nurl = 'ws://127.0.0.1/{name}'\nanswer = '{answer}'\n\
             hold = {{ strategy = 'audio_then_music', audio = 'wait.wav', music = 'music.wav' }}\n"
        )
    };
    let route = "[[route]]\nconnect = ['agent:a', 'agent:b']\n";
    let path = folder.path().join("trunkgate.toml");
    let text = format!("{TRUNK}{route}{}{}", agent("a", "at_once"), agent("b", "early"));
    let (config, warnings) = config::parse(&path, &text).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let holds: Vec<_> = config.agents.iter().map(|agent| agent.hold.clone().unwrap()).collect();
    assert_eq!((config.agents[0].answer, config.agents[1].answer), (AnswerTime::AtOnce, AnswerTime::Early));
    let (first, music) = (holds[0].first.clone().unwrap(), holds[0].music.clone().unwrap());
    assert_eq!((first.len(), music.len()), (4000, 4000), "half a second of two channels");
    assert!(
        Arc::ptr_eq(&first, holds[1].first.as_ref().unwrap()) && Arc::ptr_eq(&music, holds[1].music.as_ref().unwrap())
    );
}

/// Hold music of a trunk is used only if the edge terminates its holds.
#[test]
fn hold_music_of_a_trunk_is_decoded_and_warned_of_where_no_hold_ends_here() {
    let folder = tempfile::tempdir().unwrap();
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(folder.path().join("music.wav"), spec).unwrap();
    (0..4000).for_each(|_| wav.write_sample(1000_i16).unwrap());
    wav.finalize().unwrap();
    let path = folder.path().join("trunkgate.toml");
    for (hold, warned) in [("hold = 'local'", 0), ("hold = 'relay'", 1), ("", 1)] {
        let text = format!(
            "[trunk.a]\npeers = ['sip:127.0.0.9']\nhold_music = 'music.wav'\n{hold}\n[[route]]\nconnect = ['trunk:a']\n"
        );
        let (config, warnings) = config::parse(&path, &text).unwrap();
        assert_eq!(config.trunks[0].hold_music.as_ref().unwrap().len(), 4000);
        assert_eq!(warnings.iter().filter(|w| w.code == "TG0139").count(), warned, "{hold}: {warnings:?}");
    }
    let text = "[trunk.a]\npeers = ['sip:127.0.0.9']\nhold = 'locally'\nhold_music = 'gone.wav'\n";
    assert!(config::parse(&path, text).is_err());
}

#[test]
fn hold_audio_that_nobody_hears_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(folder.path().join("m.wav"), spec).unwrap();
    (0..800).for_each(|_| wav.write_sample(1000_i16).unwrap());
    wav.finalize().unwrap();
    let path = folder.path().join("trunkgate.toml");
    let hold = "hold = { strategy = 'music', music = 'm.wav' }\n";
    let warned = |connect: &str, keys: &str| {
        let text = format!("{TRUNK}[[route]]\nconnect = {connect}\n[agent.a]\nurl = 'ws://127.0.0.1/a'\n{keys}");
        let (_, warnings) = config::parse(&path, &text).unwrap();
        warnings.iter().filter(|warning| warning.code == "TG0139").count()
    };
    for (connect, keys, count) in [
        ("['agent:a']", "", 0),
        ("['agent:a']", hold, 1),
        ("['trunk:carrier', 'agent:a']", hold, 1),
        ("['agent:a', 'reject:480']", hold, 1),
        ("['agent:a', 'trunk:carrier']", hold, 0),
    ] {
        assert_eq!(warned(connect, keys), count, "{connect} {keys}");
    }
    for key in ["answer = 'early'", "answer = 'at_once'", "retry = 1"] {
        assert_eq!(warned("['agent:a']", &format!("{key}\n{hold}")), 0, "{key}");
    }
    assert_eq!(warned("['agent:a']", "answer = 'early'\n"), 1, "there is nothing to play");
}

#[test]
fn parts_that_come_to_nothing_are_warned_of() {
    let warned = |keys: &str, route: &str| {
        let agents = format!("[agent.a]\nurl = 'ws://127.0.0.1/a'\n{keys}[agent.b]\nurl = 'ws://127.0.0.1/b'\n");
        let text = format!("{TRUNK}[[route]]\n{route}\n{agents}");
        let (_, warnings) = config::parse(Path::new("trunkgate.toml"), &text).unwrap();
        warnings
            .into_iter()
            .filter(|warning| warning.code == "TG0145")
            .map(|warning| warning.message)
            .collect::<Vec<_>>()
    };
    let next = "on_close = 'next'\n";
    for (keys, route, parts) in [
        ("", "connect = ['trunk:carrier']\nfork = ['agent:a', 'agent:b']", vec![]),
        ("", "connect = ['trunk:carrier']\nfork = ['agent:a', 'agent:b', 'agent:a']", vec!["a is listed twice"]),
        ("", "connect = ['agent:a']\nfork = ['agent:b', 'agent:a']", vec!["a is the agent of this route"]),
        (next, "connect = ['agent:a', 'trunk:carrier']", vec![]),
        (next, "connect = ['trunk:carrier', 'agent:a']", vec!["a has on_close = \"next\""]),
        (next, "connect = ['trunk:carrier', 'agent:b']\nfork = ['agent:a']", vec![]),
    ] {
        let messages = warned(keys, route);
        assert_eq!(messages.len(), parts.len(), "{route}: {messages:?}");
        assert!(messages.iter().zip(parts).all(|(message, part)| message.starts_with(part)), "{messages:?}");
    }
}

#[test]
fn callers_are_read_in_every_form_that_a_number_has() {
    let list = "['+1 (415) 555-1234', '4155551234', 'tel:+49-30-901820', ' 001 212 555 0100 ']";
    let config = accepted(&format!(
        "{TRUNK}[[route]]\nconnect = 'agent:a'\n[agent.a]\nurl = 'ws://127.0.0.1/'\nallow_callers = {list}\n"
    ));
    let numbers: Vec<&str> = config.agents[0].allow_callers.iter().map(String::as_str).collect();
    assert_eq!(numbers, ["+12125550100", "+14155551234", "+4930901820"]);
    let text = format!(
        "[edge]\ncountry = 'DE'\n{TRUNK}[[route]]\nconnect = 'agent:a'\n[agent.a]\nurl = 'ws://127.0.0.1/'\n\
         allow_callers = ['030 901820']\n"
    );
    assert!(accepted(&text).agents[0].allow_callers.contains("+4930901820"));
    let one = text.replace("['030 901820']", "'030 901820'");
    assert_eq!(accepted(&one).agents[0].allow_callers.len(), 1);
}

#[test]
fn a_target_behind_an_agent_with_a_list_is_warned_of() {
    let found = |connect: &str, keys: &str| -> Vec<String> {
        let text = format!("{TRUNK}[[route]]\nconnect = {connect}\n[agent.a]\nurl = 'ws://127.0.0.1/'\n{keys}\n");
        let (_, warnings) = parse(&text).unwrap();
        let told = warnings.iter().filter(|warning| warning.code == "TG0138");
        told.map(|warning| format!("{}: {}", &text[warning.span.clone().unwrap()], warning.message)).collect()
    };
    let list = "allow_callers = ['+14155551234']";
    let told = "'agent:a': only the one caller in `allow_callers` of a get past it: all others get 486";
    assert_eq!(found("['agent:a', 'trunk:carrier']", list), [told]);
    assert!(found("['trunk:carrier', 'agent:a']", list).is_empty());
    assert!(found("['agent:a', 'trunk:carrier']", "allow_callers = []").is_empty());
}

#[test]
fn a_wait_for_the_first_word_that_no_agent_can_keep_is_warned_of() {
    let text = format!(
        "{TRUNK}[[route]]\nconnect = 'agent:a'\n[agent.a]\nurl = 'ws://127.0.0.1/'\nfirst_audio_timeout = '500ms'\n"
    );
    let (_, warnings) = parse(&text).unwrap();
    assert!(warnings.iter().any(|warning| warning.message.contains("`first_audio_timeout` is very short")));
}

#[test]
fn routes_name_agents_that_exist() {
    for (line, code, about) in [
        ("connect = ['agent:recepton']", "TG0133", "'agent:recepton'"),
        ("connect = ['agent:']", "TG0112", "'agent:'"),
        ("connect = 'trunk:carrier'\nfork = ['agent:nobody']", "TG0133", "'agent:nobody'"),
        ("connect = 'trunk:carrier'\nfork = ['trunk:carrier']", "TG0112", "'trunk:carrier'"),
        ("connect = 'trunk:carrier'\nfork = 7", "TG0103", "7"),
    ] {
        let text = format!("{TRUNK}[agent.reception]\nurl = 'ws://127.0.0.1/'\n[[route]]\n{line}\n");
        let found = parse(&text).expect_err(line);
        let found: Vec<_> = found.iter().map(|found| (found.code, &text[found.span.clone().unwrap()])).collect();
        assert_eq!(found, [(code, about)], "{line}");
    }
    let found =
        parse(&format!("{TRUNK}[agent.reception]\nurl = 'ws://127.0.0.1/'\n[[route]]\nconnect = 'agent:recepton'\n"))
            .unwrap_err();
    assert_eq!(found[0].help, "did you mean \"reception\"?");
    for (line, help) in [
        ("connect = 'trunk:reception'", "did you mean \"agent:reception\"?"),
        ("connect = 'agent:carrier'", "did you mean \"trunk:carrier\"?"),
        ("connect = 'reception'", "did you mean \"trunk:reception\" or \"agent:reception\"?"),
        ("connect = 'trunk:carrier'\nfork = 'reception'", "did you mean \"agent:reception\"?"),
        ("connect = 'trunk:carrier'\nfork = 'agent:carrier'", "the agents are reception"),
        ("connect = 'trunk:carrier'\nfork = 'trunk:carrier'", "agent:NAME"),
    ] {
        let text = format!("{TRUNK}[agent.reception]\nurl = 'ws://127.0.0.1/'\n[[route]]\n{line}\n");
        assert_eq!(parse(&text).expect_err(line)[0].help, help, "{line}");
    }
    let five = "['agent:reception', 'agent:reception', 'agent:reception', 'agent:reception', 'agent:reception']";
    let text = format!(
        "{TRUNK}[agent.reception]\nurl = 'ws://127.0.0.1/'\n[[route]]\nconnect = 'trunk:carrier'\nfork = {five}\n"
    );
    assert_eq!(parse(&text).unwrap_err()[0].code, "TG0105");
    for sid in ["AC1", "AC0123456789ABCDEF0123456789ABCDEF", "XX0123456789abcdef0123456789abcdef"] {
        let found =
            parse(&format!("{TRUNK}[[route]]\nconnect = 'trunk:carrier'\n[api]\naccount_sid = '{sid}'\n")).unwrap_err();
        assert_eq!(found[0].code, "TG0105", "{sid}");
    }
}

#[test]
fn a_file_of_broken_certificates_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{TRUNK}[[route]]\nconnect = 'agent:a'\n[agent.a]\nurl = 'wss://a.example/'\nca = 'ca.pem'\n");
    let whole = certificate();
    for pem in [whole.split_at(whole.len() / 2).0, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
        let found = config::parse(&folder.path().join("trunkgate.toml"), &text).expect_err(pem);
        assert_eq!((found[0].code, &text[found[0].span.clone().unwrap()]), ("TG0114", "'ca.pem'"), "{found:?}");
    }
}

#[test]
fn a_part_of_a_key_is_known_again() {
    let text = format!("{TRUNK}[[route]]\nconnect = 'agent:a'\n[agent.a]\nurl = 'wss://a.example/'\ntimeout = '3s'\n");
    assert_eq!(parse(&text).unwrap_err()[0].help, "did you mean `connect_timeout` or `first_audio_timeout`?");
}

/// Returns each finding for an agent with these lines, with its suggestion.
fn told(folder: &Path, lines: &str) -> Vec<(String, String)> {
    let text = format!(
        "[media]\nports = '16384-24001'\n{TRUNK}[[route]]\nconnect = ['agent:a', 'trunk:carrier']\n\
         [agent.a]\nurl = 'ws://127.0.0.1/'\n{lines}\n"
    );
    let found = config::parse(&folder.join("trunkgate.toml"), &text);
    let found = found.map_or_else(|found| found, |(_, warnings)| warnings);
    found.into_iter().filter(|one| !depends_on_machine(one.code)).map(|one| (one.message, one.help)).collect()
}

#[test]
fn help_says_what_to_write_instead() {
    let folder = tempfile::tempdir().unwrap();
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(folder.path().join("long.wav"), spec).unwrap();
    (0..61 * 8000).for_each(|_| wav.write_sample(1000_i16).unwrap());
    wav.finalize().unwrap();
    let speech = "[speech]\ncommand = ['sh', '{voice}', '{text}']";
    let music = "hold = { strategy = \"music\", music = \"hold.mp3\" }";
    for (lines, help) in [
        (&*format!("hold = {{ strategy = 'text_then_music', text = 'x' }}\n{speech}"), "music = \"hold.mp3\""),
        (&*format!("hold = {{ strategy = 'text', text = 'x', voice = '' }}\n{speech}"), "use a voice name"),
        ("hold = { strategy = 'audio_then_music', music = 'long.wav' }", "audio = \"hold.mp3\""),
        ("hold = 'file'", "should be a table such as { strategy = \"music\""),
        ("hold = { strategy = 'file' }", "one of none, text, audio, music"),
        ("hold = { strategy = 'none', file = 'm.wav' }", "`audio` is a file played once"),
        ("goodbye = 'long.wav'", "60 s of it: ffmpeg"),
        ("goodbye = 'gone.wav'", "use a file that the user of the edge can read"),
        ("clear_fade = 10", "\"10ms\", maximum \"20ms\""),
        ("clear_fade = '10'", "\"10ms\", maximum \"20ms\""),
        ("clear_fade = '50ms'", "\"10ms\", maximum \"20ms\""),
        ("ping = 2", "write \"2s\" for seconds"),
        ("format = 'l16/48000'", "one of mulaw/8000, l16/8000, l16/16000, l16/24000"),
        ("format = 'l6/8000'", "one of mulaw/8000, l16/8000, l16/16000, l16/24000"),
        ("format = 'mulow/8000'", "did you mean \"mulaw/8000\"?"),
        ("hold_music = 'm.wav'", music),
        ("moh = 'm.wav'", music),
        ("greeting = 'm.wav'", "the agent speaks first"),
        ("whitelist = ['+14155551234']", "allow_callers = ["),
        ("codecs = ['PCMU']", "format = "),
        ("max_calls = 3", "`max_sessions`"),
        ("[speech]\nvoice = 'en'\ncommand = ['sh', '{text}']", "use it in `hold`"),
        ("[speech]\nkey = 'sk'\nurl = 'https://h/'", "`token`"),
    ] {
        let found = told(folder.path(), lines);
        assert!(found.len() == 1 && found[0].1.starts_with(help), "{lines}: {found:?}");
    }
}

#[test]
fn what_comes_to_nothing_is_not_accepted_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "no program").unwrap();
    let says = |voice: &str, words: &str| {
        format!(
            "answer = 'at_once'\nhold = {{ strategy = 'text', text = 'x'{voice} }}\n[speech]\ncommand = [{words}, '{{text}}']"
        )
    };
    let voice = ", voice = 'en'";
    for (lines, message) in [
        (says("", "'sh'"), None),
        (says(voice, "'sh', '-v{voice}'"), None),
        (says(voice, "'/bin/sh'"), Some("`voice` has no effect")),
        (says("", "'no-such-program'"), Some("`command`: program no-such-program")),
        (says("", &format!("'{}'", plain.display())), Some("`command`: program /")),
        ("[speech]\ncommand = ['sh', '{text}']".to_owned(), Some("[speech] is not used")),
        ("ping = '500ms'".to_owned(), None),
        ("ping = 0".to_owned(), None),
        ("ping = '1ms'".to_owned(), Some("`ping` is very short")),
        ("max_call = '20s'\nfirst_audio_timeout = '10s'".to_owned(), None),
        ("max_call = '0s'\nfirst_audio_timeout = '10s'".to_owned(), None),
        ("max_call = '10s'\nfirst_audio_timeout = '10s'".to_owned(), Some("`max_call` ends before")),
    ] {
        let found = told(folder.path(), &lines);
        let as_expected = match message {
            Some(message) => found.len() == 1 && found[0].0.starts_with(message),
            None => found.is_empty(),
        };
        assert!(as_expected, "{lines}: {found:?}");
    }
}

#[test]
fn a_query_is_said_not_to_be_sent() {
    let text = format!("{TRUNK}[[route]]\nconnect = 'agent:a'\n[agent.a]\nurl = 'wss://a.example/m?tenant=acme'\n");
    let (_, warnings) = parse(&text).unwrap();
    let warning = warnings.iter().find(|warning| warning.code == "TG0113").expect("a warning");
    assert_eq!(&text[warning.span.clone().unwrap()], "'wss://a.example/m?tenant=acme'");
    assert!(warning.help.contains("parameters"));
}

#[test]
fn certificates_for_a_plain_url_are_of_no_use() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), certificate()).unwrap();
    let text = format!("{TRUNK}[[route]]\nconnect = 'agent:a'\n[agent.a]\nurl = 'ws://127.0.0.1/'\nca = 'ca.pem'\n");
    let (_, warnings) = config::parse(&folder.path().join("trunkgate.toml"), &text).unwrap();
    assert!(
        warnings.iter().any(|warning| warning.code == "TG0105" && warning.message.contains("`ca`")),
        "{warnings:?}"
    );
}

#[test]
fn a_queue_that_nobody_waits_in_or_hears_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let codes = |keys: &str| {
        let text = format!(
            "{TRUNK}[[route]]\nconnect = ['agent:a', 'trunk:carrier']\n[agent.a]\nurl = 'wss://agent.example/m'\n{keys}\n"
        );
        let (_, warnings) = config::parse(&folder.path().join("trunkgate.toml"), &text).unwrap();
        warnings.iter().map(|found| (found.code, found.message.clone())).collect::<Vec<_>>()
    };
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(folder.path().join("hold.wav"), spec).unwrap();
    (0..8_000).for_each(|n: i16| wav.write_sample(n).unwrap());
    wav.finalize().unwrap();
    let music = "hold = { strategy = 'music', music = 'hold.wav' }";
    for (keys, code, part) in [
        ("queue = {}".to_owned(), "TG0105", "is never used"),
        ("max_sessions = 2\nqueue = {}".to_owned(), "TG0139", "hear ringing"),
        ("max_sessions = 2\nqueue = {}\nanswer = 'at_once'".to_owned(), "TG0139", "ringback tone"),
    ] {
        let found = codes(&keys);
        assert!(found.iter().any(|(c, message)| *c == code && message.contains(part)), "{keys}: {found:?}");
    }
    for keys in [
        "max_sessions = 2\nqueue = { wait = '30s' }".to_owned(),
        format!("max_sessions = 2\nqueue = {{}}\nanswer = 'at_once'\n{music}"),
        format!("max_sessions = 2\nqueue = {{}}\nanswer = 'early'\n{music}"),
        "max_sessions = 2".to_owned(),
    ] {
        assert_eq!(codes(&keys), [], "{keys}");
    }
}

/// One bot is at 8080, the default port of the edge's own HTTP, and one at a SIP port.
#[test]
fn a_url_that_leads_back_into_the_edge_is_an_error() {
    let with = |url: &str, more: &str| {
        parse(&format!("{more}{TRUNK}[[route]]\nconnect = 'agent:a'\n[agent.a]\nurl = '{url}'\n"))
    };
    let own = ["ws://127.0.0.1:8080/media", "wss://localhost:8080/", "ws://127.0.0.1:5060/", "rtp://127.0.0.1:5060"];
    let both = "listen = [\n{ transport = 'udp', address = '0.0.0.0:5060' },\n{ transport = 'tcp', address = '127.0.0.1:5060' },\n]\n";
    for url in own {
        let found = with(url, both).unwrap_err();
        let error = found.iter().find(|one| one.code == "TG0113").unwrap();
        assert!(error.message.contains("the edge itself"), "{}", error.message);
    }
    let elsewhere = [("ws://127.0.0.1:8081/", ""), ("ws://127.0.0.1:8080/", "[http]\naddress = '127.0.0.1:8088'\n")];
    for (url, more) in elsewhere.into_iter().chain([("rtp://127.0.0.1:8080", ""), ("wss://bot.example.com:8080/", "")])
    {
        let found = with(url, more).map_or_else(|found| found, |(_, warnings)| warnings);
        assert!(!found.iter().any(|one| one.message.contains("the edge itself")), "{url}: {found:#?}");
    }
}
