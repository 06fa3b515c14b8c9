//! Emergency numbers: configuration, warnings of `check`, and a call through the binary that no limit refuses.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use crate::support::sip::{Party, to_tag};
use crate::support::{Process, config, depends_on_machine, finish};
use trunkgate_config as file;

/// Returns code and message of each finding.
fn found(text: &str) -> Vec<(&'static str, String)> {
    let (Ok((_, found)) | Err(found)) = file::parse(Path::new("t.toml"), text);
    let found = found.into_iter().filter(|diagnostic| !depends_on_machine(diagnostic.code));
    found.map(|diagnostic| (diagnostic.code, diagnostic.message)).collect()
}

#[test]
fn a_trunk_with_phones_needs_a_route_for_them() {
    let pbx = "[trunk.pbx]\npreset = 'freepbx'\npeers = ['sip:10.0.0.5']\n";
    let carrier = "[trunk.carrier]\npeers = ['sip:198.51.100.7']\n";
    let phones = "[trunk.pbx]\naccept_register = true\nrequire_auth = { username = 'a', password = 'b' }\n";
    for (edge, trunk, route, warned) in [
        ("", pbx, "from = ['pbx']", false),
        ("", pbx, "from = ['pbx']\nto = ['+1*']", true),
        ("", pbx, "from = ['pbx']\nto = ['+1*', '911']", false),
        ("", pbx, "from = ['carrier']", true),
        ("", pbx, "to = ['/^[19]1[12]$/']", false),
        ("", phones, "from = ['pbx']\nto = ['+1*']", true),
        ("", "[trunk.pbx]\npeers = ['sip:10.0.0.5']\n", "from = ['pbx']\nto = ['+1*']", false),
        ("[edge]\ncountry = 'GB'\n", pbx, "to = ['911', '+44*']", true),
        ("[edge]\ncountry = 'GB'\n", pbx, "to = ['999', '+44*']", false),
        ("[edge]\nemergency = '1234'\n", pbx, "to = ['911']", true),
        ("[edge]\nemergency = ['1234']\n", pbx, "to = ['1234']", false),
        ("[edge]\nemergency = []\n", pbx, "to = ['1']", false),
    ] {
        let text = format!("{edge}{carrier}{trunk}[[route]]\n{route}\nconnect = ['trunk:carrier']\n");
        let found = found(&text);
        assert_eq!(found.iter().any(|(code, _)| *code == "TG0146"), warned, "{edge} {trunk} {route}: {found:?}");
    }
    for bad in ["'+1911'", "'9'", "'4155550100'", "['911', 'help']", "911"] {
        let text = format!("[edge]\nemergency = {bad}\n{carrier}[[route]]\nconnect = ['trunk:carrier']\n");
        assert!(found(&text).iter().any(|(code, _)| ["TG0105", "TG0103"].contains(code)), "{bad}");
    }
}

#[test]
fn nothing_refuses_a_call_for_help() {
    let (pbx, far) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let limits = "max_calls = 1\ncalls_per_second = 1\npace = \"0s\"";
    let edge = Process::start(&config(&format!(
        "[limits]\ncalls = 1\ncalls_per_second = 1\n\
         [trunk.pbx]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n{limits}\n\
         [trunk.far]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\ndeny = [\"*\"]\n{limits}\n\
         [[route]]\nfrom = [\"pbx\"]\nconnect = [\"trunk:far\"]\n",
        pbx.address, far.address
    )));
    let sip = edge.address("udp");
    // Three calls ring at once, although the limit is one.
    for id in ["a", "b", "c"] {
        pbx.send(sip, &pbx.request("INVITE", "911", sip, id, 1, ""));
        let (got, from) = far.receive("INVITE ");
        assert!(got.starts_with("INVITE sip:911@"), "{got}");
        far.send(from, &far.answer(&got, "180 Ringing", false));
        pbx.receive("SIP/2.0 180");
    }
    for (id, number) in [("d", "+14155550123"), ("e", "9911"), ("f", "911%3b9005550123")] {
        pbx.send(sip, &pbx.request("INVITE", number, sip, id, 1, ""));
        let (answer, _) = pbx.receive("SIP/2.0 503");
        let ack = pbx.request("ACK", number, sip, id, 1, to_tag(&answer));
        pbx.send(sip, &ack.replace(&format!("{id}ACK1"), &format!("{id}INVITE1")));
    }
    // On a slow machine an INVITE may be a retransmission.
    assert!(far.heard().iter().all(|got| got.starts_with("INVITE sip:911@")), "only calls for help went on");
    let why = finish(&["why", "--url", &edge.url(), "--from", "pbx", "--called", "911"]);
    let why = String::from_utf8(why.stdout).unwrap();
    assert!(why.contains("called 911 (emergency: exempt from limits)") && !why.contains("→ 403"), "{why}");
}
