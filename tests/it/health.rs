//! Health of peers through the real binary: OPTIONS on the wire, `status` and `/metrics`.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use crate::support::sip::Party;
use crate::support::{Process, config, finish, until};
use serde_json::Value;

fn pbx(edge: &Process) -> Value {
    let trunks = edge.json("/v1/trunks")["trunks"].clone();
    trunks.as_array().unwrap().iter().find(|trunk| trunk["name"] == "pbx").unwrap().clone()
}

#[test]
fn a_peer_is_asked_goes_down_is_skipped_and_comes_back() {
    let (caller, first, second) = (Party::new("127.0.0.1"), Party::new("127.0.0.2"), Party::new("127.0.0.3"));
    let text = config(&format!(
        "[trunk.caller]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [trunk.pbx]\npeers = [{{ uri = \"sip:{}\", priority = 1 }}, {{ uri = \"sip:{}\", priority = 2 }}]\n\
         options_interval = \"1s\"\nno_response_timeout = \"500ms\"\n\
         [[route]]\nfrom = [\"caller\"]\nconnect = [\"trunk:pbx\"]\n",
        caller.address, first.address, second.address
    ));
    let edge = Process::start(&text);
    let answer_all = |party: &Party| {
        let party = (party.socket.try_clone().unwrap(), party.shared());
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = std::sync::Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !flag.load(std::sync::atomic::Ordering::Relaxed) {
                let (options, from) = party.1.receive("OPTIONS ");
                party.1.send(from, &party.1.answer(&options, "200 OK", false));
            }
        });
        move || {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            thread.join().unwrap();
        }
    };
    let (stop_first, stop_second) = (answer_all(&first), answer_all(&second));
    until("both are up", || pbx(&edge)["peers"].as_array().unwrap().iter().all(|p| p["state"] == "up").then_some(()));
    let peer = &pbx(&edge)["peers"][0];
    assert_eq!(peer["uri"], format!("sip:{}", first.address));
    assert_eq!(peer["addresses"][0]["transport"], "udp");
    assert!(peer["addresses"][0]["rtt_ms"].as_f64().unwrap() >= 0.0);
    assert!(peer["addresses"][0]["last_options"].as_str().unwrap().ends_with('Z'));
    assert_eq!(edge.metric("trunkgate_trunk_up{trunk=\"pbx\"}"), 1.0);
    assert!(edge.metric("trunkgate_trunk_keepalive_rtt_seconds_count") >= 2.0);

    stop_first();
    until("the first is down", || (pbx(&edge)["peers"][0]["state"] == "down").then_some(()));
    let label = format!("trunkgate_peer_up{{trunk=\"pbx\",peer=\"sip:{}\"}}", first.address);
    assert_eq!(edge.metric(&label), 0.0);
    assert!(edge.whole_log().contains("is down: no answer to OPTIONS"), "{}", edge.log());
    let url = edge.url();
    let shown = finish(&["--config", edge.file.to_str().unwrap(), "status", "--url", &url]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let line = shown.lines().find(|line| line.starts_with(&format!("sip:{}", first.address))).unwrap().to_owned();
    assert!(line.contains("down") && line.contains(" ago"), "{shown}");
    stop_second();

    // A call goes to the second target at once, without an attempt at the first.
    let sip = edge.address("udp");
    caller.send(sip, &caller.request("INVITE", "+14155550123", sip, "one", 1, ""));
    let (invite, from) = second.receive("INVITE ");
    second.send(from, &second.answer(&invite, "404 Not Found", false));
    caller.receive("SIP/2.0 404");
    let calls = edge.json("/v1/calls")["calls"].clone();
    assert_eq!(calls[0]["legs"].as_array().unwrap().len(), 2, "one attempt: {calls}");

    let stop = answer_all(&first);
    until("the first is up again", || (pbx(&edge)["peers"][0]["state"] == "up").then_some(()));
    assert!(edge.whole_log().contains("answers again"));
    stop();
}

#[test]
fn two_trunks_with_one_peer_are_both_up() {
    let carrier = Party::new("127.0.0.3");
    let trunk = |name: &str| {
        format!(
            "[trunk.{name}]\npeers = [\"sip:{}\"]\noptions_interval = \"1s\"\nno_response_timeout = \"500ms\"\n",
            carrier.address
        )
    };
    let edge = Process::start(&config(&(trunk("a") + &trunk("b") + "[[route]]\nconnect = [\"trunk:b\"]\n")));
    let state = |trunk: usize| edge.json("/v1/trunks")["trunks"][trunk]["state"].clone();
    let answered = |answers: usize| {
        for _ in 0..answers {
            let (options, from) = carrier.receive("OPTIONS ");
            carrier.send(from, &carrier.answer(&options, "200 OK", false));
        }
    };
    answered(8);
    until("both are up", || (state(0) == "up" && state(1) == "up").then_some(()));
    assert_eq!(edge.json("/v1/security")["dropped"]["stray_response"], Value::Null);
    assert_eq!(edge.json("/v1/status")["problems"], Value::Array(Vec::new()));
}
