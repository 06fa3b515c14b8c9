//! All pairs of configuration sections: any two of them can be in one file.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use trunkgate_config::{self as config, Config, Diagnostic};
use trunkgate_route::{CallInfo, CallTarget};

/// Section of docs/reference/keys.md in its minimal form.
struct Section {
    /// Title of the section in the documentation.
    title: &'static str,
    /// Titles of the sections that this one requires.
    needs: &'static [&'static str],
    /// Lines of the section in a file.
    text: &'static str,
}

const fn section(title: &'static str, needs: &'static [&'static str], text: &'static str) -> Section {
    Section { title, needs, text }
}

const TRUNK: &str = "[trunk.NAME]";
const APP: &str = "[app.NAME]";

/// All sections in a minimal form, some in a second one.
const SECTIONS: [Section; 32] = [
    section("[edge]", &[], "[edge]\nname = 'edge-1'\n"),
    section("[[listen]]", &[], "[[listen]]\ntransport = 'udp'\naddress = '127.0.0.1:5060'\n"),
    section("[media]", &[], "[media]\nports = '16384-20000'\n"),
    section("[limits]", &[], "[limits]\ncalls_per_second = 10\n"),
    section("[http]", &[], "[http]\naddress = '127.0.0.1:8080'\n"),
    section(TRUNK, &[], "[trunk.carrier]\npeers = ['sip:198.51.100.7']\n"),
    section(
        TRUNK,
        &[],
        "[trunk.phones]\naccept_register = true\nrequire_auth = { username = 'phones', password = 'a-long-password-1' }\n",
    ),
    section("[[route]]", &[TRUNK], "[[route]]\nconnect = ['trunk:carrier']\n"),
    section("[group.NAME]", &[TRUNK], "[group.desk]\nconnect = ['trunk:carrier']\n"),
    section("[log]", &[], "[log]\nlevel = 'info'\n"),
    section("[cdr]", &[], "[cdr]\nurl = 'https://billing.example.com/calls'\n"),
    section("[agent.NAME]", &[], "[agent.receptionist]\nurl = 'wss://bot.example.com/media'\n"),
    section("[api]", &[], "[api]\nauth_token = '0123456789abcdef0123456789abcdef'\n"),
    section(APP, &["[api]"], "[app.ivr]\nurl = 'https://app.example.com/voice'\n"),
    section("[[number]]", &[TRUNK], "[[number]]\nnumber = '+14155550100'\n"),
    section("[[number]]", &[TRUNK, APP], "[[number]]\nnumber = '+14155550101'\napp = 'ivr'\n"),
    section("[[number]]", &[TRUNK, APP], "[[number]]\nnumber = '+14155550102'\napp = 'ivr'\nfrom = ['carrier']\n"),
    section(
        "[twilio]",
        &[],
        "[twilio]\naccount_sid = 'AC0123456789abcdef0123456789abcdef'\nauth_token = '0123456789abcdef0123456789abcdef'\n",
    ),
    section("[sms]", &["[twilio]"], "[sms]\nper_day = 100\n"),
    section("[messages]", &[], "[messages]\nurl = 'https://sms.example.com/send'\ntoken = 'a-long-token-of-ours'\n"),
    section("[speech]", &[], "[speech]\nurl = 'https://speech.example.com/v1/audio/speech'\n"),
    section("[recognition]", &[], "[recognition]\nurl = 'wss://asr.example.com/stream'\n"),
    section("[recording]", &[], "[recording]\ndirectory = '/tmp'\n"),
    section(
        "[transcription]",
        &["[recording]"],
        "[transcription]\nurl = 'https://speech.example.com/v1/audio/transcriptions'\n",
    ),
    section("[siprec.NAME]", &[], "[siprec.recorder]\npeers = ['sip:10.9.0.7']\n"),
    section("[siprec.NAME]", &[], "[siprec.second]\npeers = ['sip:10.9.0.8']\nrequired = true\n"),
    section("[voicemail.NAME]", &["[recording]"], "[voicemail.desk]\n"),
    section("[mail]", &[], "[mail]\nserver = 'smtp://127.0.0.1'\nfrom = 'edge@example.com'\n"),
    section(
        "[tls]",
        &["[[listen]]"],
        "[[listen]]\ntransport = 'tls'\naddress = '127.0.0.1:5061'\n[tls]\nacme = { domains = 'sbc.example.com' }\n",
    ),
    section("[hep]", &[], "[hep]\naddress = '127.0.0.1:9060'\n"),
    section("[alerts]", &[], "[alerts]\nurl = 'https://h/'\n"),
    section("[otel]", &[], "[otel]\nendpoint = 'http://127.0.0.1:4318'\n"),
];

/// Returns a file with these sections and those that they require, each once, in the order of the list.
fn file(wanted: &[usize]) -> String {
    let mut all: BTreeSet<usize> = wanted.iter().copied().collect();
    let mut pending = wanted.to_vec();
    while let Some(at) = pending.pop() {
        for title in SECTIONS[at].needs {
            let needed = SECTIONS.iter().position(|section| section.title == *title).unwrap();
            if all.insert(needed) {
                pending.push(needed);
            }
        }
    }
    all.into_iter().map(|at| SECTIONS[at].text).collect()
}

fn parse(text: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    config::parse(Path::new("trunkgate.toml"), text)
}

#[test]
fn the_list_has_every_section() {
    let keys = config::markdown();
    let titles = keys.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`'));
    let listed: BTreeSet<&str> = SECTIONS.iter().map(|section| section.title).collect();
    assert_eq!(titles.collect::<BTreeSet<&str>>(), listed);
}

#[test]
fn any_two_sections_may_stand_in_one_file() {
    for one in 0..SECTIONS.len() {
        for other in one..SECTIONS.len() {
            let text = file(&[one, other]);
            if let Err(found) = parse(&text) {
                panic!("{text}\n{found:#?}");
            }
        }
    }
}

#[test]
fn all_sections_may_stand_in_one_file() {
    let all: Vec<usize> = (0..SECTIONS.len()).collect();
    let text = file(&all);
    let (config, _) = parse(&text).unwrap_or_else(|found| panic!("{text}\n{found:#?}"));
    // Default of `from`: all trunks that place calls, except for those of phones.
    for number in &config.numbers {
        assert_eq!(number.from, ["carrier"], "{}", number.number);
    }
}

#[test]
fn a_number_takes_calls_from_every_trunk_whichever_recording_servers_there_are() {
    let app = "[api]\nauth_token = '0123456789abcdef0123456789abcdef'\n\
               [app.ivr]\nurl = 'https://app.example.com/voice'\n[[number]]\nnumber = '+14155550101'\napp = 'ivr'\n";
    let trunks = "[trunk.carrier]\npeers = ['sip:198.51.100.7']\n[trunk.other]\npeers = ['sip:198.51.100.8']\n";
    let phones =
        "[trunk.phones]\naccept_register = true\nrequire_auth = { username = 'p', password = 'a-long-password-1' }\n";
    let recorder = "[siprec.recorder]\npeers = ['sip:10.9.0.7']\n[siprec.second]\npeers = ['sip:10.9.0.8']\n";
    for more in ["", phones] {
        for servers in ["", recorder] {
            let text = format!("{trunks}{more}{servers}{app}");
            let (config, _) = parse(&text).unwrap_or_else(|found| panic!("{text}\n{found:#?}"));
            assert_eq!(config.numbers[0].from, ["carrier", "other"], "{text}");
            let table = config.table(&HashMap::new());
            for (from, is_taken) in [("carrier", true), ("other", true), ("phones", more.is_empty())] {
                let call = CallInfo { from, called: "+14155550101", caller: "+12125550100", ..CallInfo::default() };
                let plan = table.plan(&call, &mut |_| 0);
                let is_app = plan.is_some_and(|plan| matches!(plan.targets.first(), Some(CallTarget::App(_))));
                assert_eq!(is_app, is_taken, "{from}\n{text}");
            }
        }
    }
}
