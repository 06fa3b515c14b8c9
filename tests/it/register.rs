//! Registrations of the real edge, as the registrar sees them.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use crate::support::sip::{Party, field};
use crate::support::{Process, config, until};
use nix::sys::signal::Signal;

const UNKNOWN_SOURCE: &str = "trunkgate_sip_dropped_total{reason=\"unknown_source\"} ";

#[test]
fn the_edge_registers_takes_a_call_and_takes_the_registration_back() {
    let (registrar, pbx) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let edge = Process::start(&config(&format!(
        "[trunk.carrier]\nregister = {{ registrar = \"sip:{}\", user = \"acme\", expires = \"2m\" }}\n\
         [trunk.pbx]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
        registrar.address, pbx.address
    )));
    let (request, from) = registrar.receive("REGISTER");
    let contact = field(&request, "Contact");
    assert_eq!(contact, format!("<sip:acme@{from}>"), "{request}");
    assert_eq!((field(&request, "Expires"), from), ("120", edge.address("udp")));
    let ok = registrar.answer(&request, "200 OK", false).replace("Contact: ", "X: ");
    registrar.send(from, &ok.replace("\r\n\r\n", &format!("\r\nContact: {contact};expires=120\r\n\r\n")));
    let status = until("it is registered", || {
        let trunk = edge.json("/v1/status")["trunks"][0].clone();
        (trunk["registration"]["state"] == "registered").then_some(trunk)
    });
    assert!(status["registration"]["expires_at"].as_str().unwrap().ends_with('Z'), "{status}");
    assert!(edge.metric("trunkgate_trunk_registration_expiry_timestamp_seconds{trunk=\"carrier\"}") > 1e9);
    // For calls from the registrar, the file needs no peer with the registrar's address.
    registrar.send(from, &registrar.request("INVITE", "+14155550123", from, "r1", 1, ""));
    pbx.receive("INVITE sip:+14155550123@");
    registrar
        .send(from, &registrar.request("CANCEL", "+14155550123", from, "r1", 1, "").replace("CANCEL1;", "INVITE1;"));
    registrar.receive("SIP/2.0 487");
    registrar.send(from, &registrar.request("ACK", "+14155550123", from, "r1", 1, "").replace("ACK1;", "INVITE1;"));
    edge.signal(Signal::SIGTERM);
    let (back, _) = registrar.receive("REGISTER");
    assert_eq!(field(&back, "Expires"), "0", "{back}");
    registrar.send(from, &registrar.answer(&back, "200 OK", false));
    let (status, _, log) = edge.end();
    assert!(status.success(), "{log}");
}

/// One of the two edges is the registrar, and the other one registers.
#[test]
fn a_phone_registers_from_an_unknown_address_and_is_called() {
    for transport in ["udp", "tcp"] {
        let caller = Party::new("127.0.0.5");
        let pbx = Party::new("127.0.0.6");
        let registrar = Process::start(&config(&format!(
            "[trunk.phones]\naccept_register = true\nrequire_auth = {{ username = \"desk\", password = \"right\" }}\n\
             [trunk.carrier]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:phones\"]\n",
            caller.address
        )));
        let at = registrar.address(transport);
        let phone = Process::start(&config(&format!(
            "[trunk.office]\nregister = {{ registrar = \"sip:{at};transport={transport}\", user = \"desk\" }}\n\
             auth = {{ username = \"desk\", password = \"right\" }}\n\
             [trunk.inside]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n[[route]]\nfrom = [\"office\"]\nconnect = [\"trunk:inside\"]\n",
            pbx.address
        )));
        until("it is registered", || {
            let state = phone.json("/v1/status")["trunks"][0]["registration"]["state"].clone();
            (state == "registered").then_some(())
        });
        // The number in To arrives at the other end of both edges.
        let sip = registrar.address("udp");
        caller.send(sip, &caller.request("INVITE", "+14155550123", sip, transport, 1, ""));
        pbx.receive("INVITE sip:+14155550123@");
        // No other request from an unknown address is answered.
        let stranger = Party::new("127.0.0.7");
        for method in ["OPTIONS", "INVITE", "REGISTER"] {
            stranger.send(sip, &stranger.request(method, "+14155550123", sip, "s", 1, ""));
        }
        caller.receive("SIP/2.0 100");
        until("it has been looked at", || {
            // The counter may include messages of other tests to a reused port; before the first message, the line is
            // missing.
            let page = registrar.get("/metrics").1;
            let dropped = page.lines().find_map(|line| line.strip_prefix(UNKNOWN_SOURCE));
            dropped.and_then(|dropped| dropped.parse::<f64>().ok()).filter(|dropped| *dropped >= 3.0)
        });
        assert!(stranger.heard_nothing());
        assert_eq!(registrar.metric("trunkgate_sources_banned"), 0.0);
        // The operator sees the user that a phone may have meant, but the phone does not.
        let problems = |registrar: &Process| registrar.json("/v1/status")["problems"].to_string();
        assert!(problems(&registrar).contains("unknown user \\\"+1415****123\\\": no trunk has"));
        stranger.send(sip, &stranger.request("REGISTER", "dekS", sip, "t", 1, ""));
        let told = until("the problem names the phone", || {
            Some(problems(&registrar))
                .filter(|told| told.contains("REGISTER from 127.0.0.7 for unknown user"))
                .filter(|told| told.contains("did you mean \\\"desk\\\"?"))
        });
        assert!(told.contains("(2 REGISTERs for unknown users in the last hour"), "{told}");
        until("the log has it", || registrar.log().contains("did you mean \\\"desk\\\"?").then_some(()));
        assert!(stranger.heard_nothing());
    }
}

#[test]
fn a_phone_with_a_wrong_password_is_the_cause_of_its_trunk_being_down() {
    let caller = Party::new("127.0.0.5");
    let registrar = Process::start(&config(&format!(
        "[trunk.phones]\naccept_register = true\nrequire_auth = {{ username = \"desk\", password = \"right\" }}\n\
         [trunk.carrier]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:phones\"]\n",
        caller.address
    )));
    let at = registrar.address("udp");
    // Messages of other tests to a reused port belong to no trunk.
    let problems = || -> Vec<serde_json::Value> {
        let all = registrar.json("/v1/status")["problem_details"].clone();
        all.as_array().unwrap().iter().filter(|problem| problem["trunk"] == "phones").cloned().collect()
    };
    let phone = |password: &str| {
        let phone = format!(
            "[trunk.office]\nregister = {{ registrar = \"sip:{at}\", user = \"desk\" }}\n\
             auth = {{ username = \"desk\", password = \"{password}\" }}\n"
        );
        Process::start(&config(&phone))
    };
    let registered = |phone: &Process, state: &str| {
        until("it has its answer", || {
            (phone.json("/v1/status")["trunks"][0]["registration"]["state"] == *state).then_some(())
        });
    };
    assert_eq!(problems()[0]["evidence"], "no phone is registered");
    // Each edge keeps its source address, and registers once.
    let wrong: Vec<Process> = (0..3).map(|_| phone("wrong")).collect();
    wrong.iter().for_each(|phone| registered(phone, "failed"));
    let all = problems();
    assert_eq!(all.len(), 1, "one problem: {all:?}");
    let (headline, evidence, fix) = (&all[0]["headline"], &all[0]["evidence"], &all[0]["fix"]);
    assert_eq!((headline, &all[0]["harm"]), (&"trunk phones is down".into(), &"calls".into()), "{all:?}");
    let shown = evidence.as_str().unwrap();
    assert!(
        shown.starts_with("wrong password for user \"desk\" from 127.0.0.1, ") && shown.contains(" in a row, "),
        "{shown}"
    );
    assert!(shown.ends_with("; no phone is registered"), "{shown}");
    assert_eq!(*fix, "correct the password in the phone at 127.0.0.1, or `require_auth` of [trunk.phones]");
    drop(wrong);
    let right = phone("right");
    registered(&right, "registered");
    assert_eq!(problems(), Vec::<serde_json::Value>::new());
}

#[test]
fn a_source_that_guesses_slowly_is_shut_out_of_the_phone_that_it_guesses_at() {
    let phone = |name: &str| {
        format!(
            "[trunk.{name}]\naccept_register = true\nrequire_auth = {{ username = \"{name}\", password = \"a-right-one\" }}\n"
        )
    };
    let limits = "[limits]\nban = { slow_after = 1, slow_within = \"1h\", slow_lasting = \"1h\" }\n";
    let registrar = Process::start(&config(&format!("{limits}{}{}", phone("anna"), phone("ben"))));
    let registering = |name: &str, password: &str| {
        Process::start(&config(&format!(
            "[trunk.office]\nregister = {{ registrar = \"sip:{}\", user = \"{name}\" }}\n\
             auth = {{ username = \"{name}\", password = \"{password}\" }}\n",
            registrar.address("udp")
        )))
    };
    let wrong = registering("anna", "a-wrong-one");
    let line = "trunk anna is closed to 127.0.0.1 for 3600 s: too many wrong passwords";
    until("the account is closed", || registrar.log().contains(line).then_some(()));
    drop(wrong);
    let _anna = registering("anna", "a-right-one");
    let dropped = "trunkgate_sip_dropped_total{reason=\"banned\"}";
    until("its messages are dropped", || registrar.get("/metrics").1.contains(dropped).then_some(()));
    let ben = registering("ben", "a-right-one");
    until("another phone behind the address registers", || {
        (ben.json("/v1/status")["trunks"][0]["registration"]["state"] == "registered").then_some(())
    });
    assert_eq!(registrar.metric("trunkgate_sources_banned"), 0.0);
}
