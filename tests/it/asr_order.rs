//! `order = "asr"` through the real binary: two upstreams, the first of which fails; `status`, `why`, the trace and a
//! reload.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use crate::support::calls::{Call, NUMBER, Phone};
use crate::support::sip::to_tag;
use crate::support::{Process, config, depends_on_machine, finish, until};
use serde_json::Value;

struct Rig {
    caller: Phone,
    one: Phone,
    two: Phone,
    edge: Process,
}

impl Rig {
    fn dial(&self, id: &str, number: &str) {
        let (sip, offer) = (self.edge.address("udp"), self.caller.description(1, ""));
        self.caller.sip.send(sip, &self.caller.sip.request_with("INVITE", number, sip, id, (1, ""), &offer));
    }

    /// Returns the targets in their current order, and the reason for this order.
    fn why(&self) -> (Vec<String>, Value) {
        let answer = self.edge.json(&format!("/v1/why?from=carrier&called={}", NUMBER.replace('+', "%2B")));
        let names = answer["targets"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
        (names.collect(), answer["order"].clone())
    }

    fn lately(&self, trunk: &str) -> Value {
        let trunks = self.edge.json("/v1/trunks")["trunks"].clone();
        trunks.as_array().unwrap().iter().find(|view| view["name"] == trunk).unwrap()["lately"].clone()
    }
}

#[test]
fn the_trunk_that_fails_is_asked_last_and_whoever_asks_is_told_why() {
    let [caller, one, two] = [(); 3].map(|()| Phone::new("127.0.0.1"));
    let patience = "no_response_timeout = \"30s\"\n";
    let edge = Process::start(&config(&format!(
        "{}{}{patience}{}{patience}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:one\", \"trunk:two\"]\norder = \"asr\"\n",
        caller.trunk("carrier"),
        one.trunk("one"),
        two.trunk("two"),
    )));
    let rig = Rig { caller, one, two, edge };
    assert_eq!(rig.why().0, ["trunk:one", "trunk:two"]);
    for id in ["first", "second"] {
        rig.dial(id, NUMBER);
        let invite = rig.one.sip.receive("INVITE ");
        rig.one.sip.send(invite.1, &rig.one.sip.answer_with(&invite.0, "503 Service Unavailable", ""));
        rig.one.sip.receive("ACK ");
        let invite = rig.two.sip.receive("INVITE ");
        let answer = rig.two.description(1, "");
        let call = Call::answered(rig.edge.address("udp"), id, &rig.caller, invite, (&rig.two, &answer));
        call.hang_up(2, &rig.caller, &rig.two);
    }
    let expect = |rig: &Rig| {
        assert_eq!(rig.lately("one")["ratio"], 0.0);
        assert_eq!((&rig.lately("one")["grade"], &rig.lately("two")["grade"]), (&8.into(), &9.into()));
        let (targets, order) = rig.why();
        assert_eq!(targets, ["trunk:two", "trunk:one"], "{order}");
        assert_eq!(order[0][1]["why"], "answered 0 % of 2, grade 8");
    };
    expect(&rig);
    let url = rig.edge.url();
    let page = finish(&["why", "--url", &url, "--from", "carrier", "--called", NUMBER]);
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains("  order asr: two (answered 100 % of 2, grade 9"), "{page}");
    let status = String::from_utf8(finish(&["status", "--url", &url]).stdout).unwrap();
    assert!(status.contains("answered 0 of 2   "), "a grade of so few calls would mislead: {status}");
    // The order survives a reload.
    let loaded = |rig: &Rig| rig.edge.json("/v1/status")["config"]["loaded_at"].clone();
    let before = loaded(&rig);
    rig.edge.signal(nix::sys::signal::Signal::SIGHUP);
    until("the file is read again", || (loaded(&rig) != before).then_some(()));
    expect(&rig);
    // This call is no probe: the second target is tried first, and its response goes to the caller.
    rig.dial("help", "911");
    let invite = rig.two.sip.receive("INVITE ");
    let sid = rig.edge.sid();
    rig.two.sip.send(invite.1, &rig.two.sip.answer_with(&invite.0, "486 Busy Here", ""));
    rig.two.sip.receive("ACK ");
    let (busy, _) = rig.caller.sip.receive("SIP/2.0 486");
    let (sip, tag) = (rig.edge.address("udp"), to_tag(&busy));
    rig.caller.sip.send(sip, &rig.caller.sip.request_with("ACK", "911", sip, "help", (1, tag), ""));
    let trace = rig.edge.json(&format!("/v1/calls/{sid}/trace"));
    let mut texts = trace["entries"].as_array().unwrap().iter().filter_map(|entry| entry["text"].as_str());
    assert!(texts.any(|text| text.starts_with("order asr: two (answered 100 % of 2")), "{trace}");
    assert_eq!(rig.lately("two")["calls"], 2.0, "a busy callee is nothing of the trunk's");
}

#[test]
fn what_decides_nothing_is_warned_of_and_groups_have_an_order_of_their_own() {
    let trunks = "[trunk.a]\npeers = ['sip:10.0.0.1']\n[trunk.b]\npeers = ['sip:10.0.0.2']\n[trunk.c]\npeers = ['sip:10.0.0.3']\n\
                  [agent.desk]\nurl = 'ws://127.0.0.1:9/'\n";
    let found = |rest: &str| {
        let read = trunkgate_config::parse(std::path::Path::new("t.toml"), &format!("{trunks}{rest}"));
        let (Ok((_, found)) | Err(found)) = &read;
        let all = found.iter().filter(|one| !depends_on_machine(one.code));
        let told: Vec<String> = all.map(|one| format!("{} {}", one.code, one.message)).collect();
        (told, read.ok().map(|(config, _)| config))
    };
    let nothing = "TG0145 `order = \"asr\"` has no effect: no two trunks are adjacent";
    for (rest, expected) in [
        ("[[route]]\nconnect = ['trunk:a', 'trunk:b', 'trunk:c']\norder = 'asr'\n", vec![]),
        ("[[route]]\nconnect = ['trunk:a', 'trunk:b', 'trunk:c']\norder = 'listed'\n", vec![]),
        ("[[route]]\nconnect = ['trunk:a', 'agent:desk', 'trunk:b']\norder = 'asr'\n", vec![nothing]),
        ("[group.g]\nconnect = ['trunk:a']\norder = 'asr'\n[[route]]\nconnect = ['group:g']\n", vec![nothing]),
        ("[[route]]\nconnect = ['trunk:a', 'trunk:b']\norder = 'ASR'\n", vec!["TG0105 `order` cannot be \"ASR\""]),
    ] {
        assert_eq!(found(rest).0, expected, "{rest}");
    }
    let two =
        "[group.g]\nconnect = ['trunk:b', 'trunk:c']\norder = 'asr'\n[[route]]\nconnect = ['trunk:a', 'group:g']\n";
    let (told, config) = found(two);
    assert_eq!(told, [""; 0]);
    let table = trunkgate_route::RoutingTable::new(config.unwrap().definition(&Default::default()));
    let plan = table.plan(&trunkgate_route::CallInfo::default(), &mut |_| 0).unwrap();
    assert_eq!(plan.by_ratio.first(), Some(&(1..3)));
    // The key may also be in a line of a routes file.
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("n.csv");
    std::fs::write(&csv, "to,connect\n+14155551234,trunk:a group:g\n").unwrap();
    let lines = two.replace("connect = ['trunk:a', 'group:g']", &format!("routes_file = '{}'", csv.display()));
    let table = trunkgate_route::RoutingTable::new(found(&lines).1.unwrap().definition(&Default::default()));
    let call = trunkgate_route::CallInfo { called: "+14155551234", ..Default::default() };
    assert_eq!(table.plan(&call, &mut |_| 0).unwrap().by_ratio.first(), Some(&(1..3)));
}
