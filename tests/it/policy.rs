//! Policies of trunks through the real binary: headers, identity, limits, denied numbers, long requests.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use crate::support::sip::{Party, field, to_tag};
use crate::support::{PATIENCE, Process, config, finish, until};
use serde_json::Value;

const NUMBER: &str = "+14155550123";

/// Starts an edge with keys of a caller's trunk (`near`) and of a PBX's trunk (`far`), and routes for the numbers.
fn edge(caller: &Party, callee: &Party, near: &str, far: &str, rest: &str) -> Process {
    Process::start(&config(&format!(
        "[trunk.caller]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n{near}\n\
         [trunk.pbx]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n{far}\n{rest}\n\
         [[route]]\nname = \"in\"\nfrom = [\"caller\"]\nconnect = [\"trunk:pbx\"]\n",
        caller.address, callee.address
    )))
}

/// Returns an INVITE of the caller with these headers.
fn invite(caller: &Party, number: &str, sip: SocketAddr, id: &str, headers: &str) -> String {
    let plain = caller.request("INVITE", number, sip, id, 1, "");
    plain.replace("Max-Forwards: 70\r\n", &format!("Max-Forwards: 70\r\n{headers}"))
}

/// Returns an INVITE as the callee receives it; the callee finally rejects the call.
fn sent_on(edge: &Process, caller: &Party, callee: &Party, id: &str, headers: &str) -> String {
    let sip = edge.address("udp");
    caller.send(sip, &invite(caller, NUMBER, sip, id, headers));
    let (got, from) = callee.receive("INVITE ");
    callee.send(from, &callee.answer(&got, "404 Not Found", false));
    callee.receive("ACK ");
    end(caller, sip, NUMBER, id, "404");
    got
}

/// Receives the final response at the caller and acknowledges it.
fn end(caller: &Party, sip: SocketAddr, number: &str, id: &str, code: &str) -> String {
    let (answer, _) = caller.receive(&format!("SIP/2.0 {code}"));
    let ack = caller.request("ACK", number, sip, id, 1, to_tag(&answer));
    caller.send(sip, &ack.replace(&format!("{id}ACK1"), &format!("{id}INVITE1")));
    answer
}

fn has(message: &str, name: &str) -> bool {
    message.lines().any(|line| line.to_ascii_lowercase().starts_with(&format!("{}:", name.to_ascii_lowercase())))
}

#[test]
fn headers_are_added_passed_and_removed_as_both_trunks_say() {
    let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let near = "headers = { pass = [\"X-*\"], remove = [\"X-Secret\"] }";
    let far = "headers = { add = { X-Edge = \"one\" }, remove = [\"X-Else\"] }";
    let edge = edge(&caller, &callee, near, far, "");
    let headers = "X-Tenant: acme\r\nx-secret : s3cret\r\nX-Else: e1se\r\nSubject: hell0\r\n";
    let got = sent_on(&edge, &caller, &callee, "one", headers);
    assert_eq!((field(&got, "X-Tenant"), field(&got, "X-Edge")), ("acme", "one"));
    for text in ["s3cret", "e1se", "hell0"] {
        assert!(!got.contains(text), "{text} in {got}");
    }
}

#[test]
fn nothing_is_smuggled_past_the_rules() {
    let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let edge = edge(&caller, &callee, "headers = { pass = [\"X-A\"] }", "", "");
    let sip = edge.address("udp");
    let smuggled = ["X-A: 1\rRoute: <sip:10.1.1.1;lr>\r\n", "X-A: 1\0\r\n", "X A: 1\r\n", "X-A: 1\n X-C\0: 2\r\n"];
    for (at, smuggled) in smuggled.into_iter().enumerate() {
        let id = format!("smuggled{at}");
        caller.send(sip, &invite(&caller, NUMBER, sip, &id, smuggled));
        end(&caller, sip, NUMBER, &id, "400");
    }
    assert!(callee.heard_nothing());
    // Permitted headers are passed on.
    let got = sent_on(&edge, &caller, &callee, "good", "X-A: 1\r\nX-B: 2\r\n");
    assert_eq!((field(&got, "X-A"), has(&got, "X-B")), ("1", false));
}

#[test]
fn each_side_is_hidden_from_the_other() {
    let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let edge = edge(&caller, &callee, "", "", "");
    let sip = edge.address("udp");
    let headers = "User-Agent: Carrier/9.9\r\nSubject: x\r\nCall-Info: <http://127.0.0.4/>\r\n\
                   Diversion: <sip:+14155550177@127.0.0.4>;reason=no-answer\r\nRecord-Route: <sip:127.0.0.4;lr>\r\n\
                   P-Asserted-Identity: <sip:+14155550100@127.0.0.4>\r\n";
    caller.send(sip, &invite(&caller, NUMBER, sip, "leak", headers));
    let (got, from) = callee.receive("INVITE ");
    assert!(!got.contains("127.0.0.4") && !got.contains("Carrier") && !got.contains("leak"), "{got}");
    assert!(field(&got, "Diversion").contains("+14155550177") && has(&got, "P-Asserted-Identity"), "{got}");
    let ok = callee.answer(&got, "200 OK", true);
    let ok = ok.replacen("Contact:", "Server: PBX/1.2\r\nX-Internal: 10.0.0.7\r\nContact:", 1);
    callee.send(from, &ok);
    callee.receive("ACK ");
    let (ok, _) = caller.receive("SIP/2.0 200");
    assert!(!ok.contains("127.0.0.5") && !ok.contains("PBX/1.2") && !ok.contains("10.0.0.7"), "{ok}");
    caller.send(sip, &caller.request("ACK", NUMBER, sip, "leak", 1, to_tag(&ok)));
    caller.send(sip, &caller.request("BYE", NUMBER, sip, "leak", 2, to_tag(&ok)));
    let (bye, from) = callee.receive("BYE ");
    assert!(!bye.contains("127.0.0.4"), "{bye}");
    callee.send(from, &callee.answer(&bye, "200 OK", false));
    caller.receive("SIP/2.0 200");
}

#[test]
fn identity_goes_to_trusted_trunks() {
    let headers = "P-Asserted-Identity: \"Alice\" <sip:+14155550100@127.0.0.4>\r\nPrivacy: id\r\n";
    for (near, far, told) in [("", "", true), ("identity = \"strip\"", "", false), ("", "identity = \"strip\"", false)]
    {
        let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
        let edge = edge(&caller, &callee, near, far, "");
        let got = sent_on(&edge, &caller, &callee, "who", headers);
        assert_eq!((has(&got, "P-Asserted-Identity"), has(&got, "Privacy")), (told, told), "{near} {far}: {got}");
        assert_eq!(got.contains("5550100"), told, "{got}");
        assert_eq!(field(&got, "From").contains("anonymous.invalid"), !told, "{got}");
    }
}

/// Makes two concurrent calls to a trunk with a limit of one; returns the target of the second call after the first has
/// ended.
fn second_of_two(pace: &str) -> &'static str {
    let (caller, callee, spare) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"), Party::new("127.0.0.6"));
    let text = config(&format!(
        "[trunk.caller]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [trunk.pbx]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\nmax_calls = 1\npace = \"{pace}\"\n\
         [trunk.spare]\npeers = [\"sip:{}\"]\noptions_interval = \"0s\"\n\
         [[route]]\nfrom = [\"caller\"]\nconnect = [\"trunk:pbx\", \"trunk:spare\"]\n",
        caller.address, callee.address, spare.address
    ));
    let edge = Process::start(&text);
    let sip = edge.address("udp");
    caller.send(sip, &caller.request("INVITE", NUMBER, sip, "first", 1, ""));
    let (first, from) = callee.receive("INVITE ");
    callee.send(from, &callee.answer(&first, "180 Ringing", false));
    caller.receive("SIP/2.0 180");
    caller.send(sip, &caller.request("INVITE", NUMBER, sip, "second", 1, ""));
    let refuse = |party: &Party| {
        let (invite, from) = party.receive("INVITE ");
        party.send(from, &party.answer(&invite, "404 Not Found", false));
        party.receive("ACK ");
        end(&caller, sip, NUMBER, "second", "404");
    };
    if pace == "0s" {
        refuse(&spare);
        return "spare";
    }
    until("the second waits", || (edge.json("/v1/calls")["calls"].as_array().unwrap().len() == 2).then_some(()));
    assert!(spare.heard_nothing() && callee.heard_nothing(), "it waits for its turn");
    callee.send(from, &callee.answer(&first, "404 Not Found", false));
    callee.receive("ACK ");
    end(&caller, sip, NUMBER, "first", "404");
    refuse(&callee);
    assert!(spare.heard_nothing());
    "pbx"
}

#[test]
fn a_call_waits_for_a_full_trunk_as_long_as_its_pace_and_no_longer() {
    assert_eq!(second_of_two("10m"), "pbx");
    assert_eq!(second_of_two("0s"), "spare");
}

#[test]
fn a_denied_number_is_refused_and_why_says_so() {
    let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let edge = edge(&caller, &callee, "", "deny = [\"+881*\", \"+882*\"]", "");
    let sip = edge.address("udp");
    let denied = "+881612345678";
    caller.send(sip, &caller.request("INVITE", denied, sip, "denied", 1, ""));
    end(&caller, sip, denied, "denied", "403");
    assert!(callee.heard_nothing());
    let (file, url) = (edge.file.to_str().unwrap(), edge.url());
    let why = |number: &str, more: &[&str]| -> Value {
        let mut arguments = vec!["--config", file, "why", "--from", "caller", "--called", number, "--json"];
        arguments.extend(more);
        serde_json::from_slice(&finish(&arguments).stdout).unwrap()
    };
    for more in [&[][..], &["--url", &url]] {
        let told = why(denied, more);
        assert_eq!(told["attempts"][0]["denied"]["by"], "+881*", "{told}");
        assert_eq!(told["targets"], serde_json::json!(["trunk:pbx"]));
        assert!(why(NUMBER, more)["attempts"][0]["denied"].is_null());
    }
    // With more digits than a number has, the remote party would use only those of a denied number.
    let long = "8816123456789999";
    caller.send(sip, &caller.request("INVITE", long, sip, "long", 1, ""));
    end(&caller, sip, long, "long", "403");
    assert_eq!(why(long, &[])["attempts"][0]["denied"]["by"], "+881*");
    let page = finish(&["--config", file, "why", "--from", "127.0.0.4", "--called", denied]);
    let page = String::from_utf8(page.stdout).unwrap();
    let line = format!("source 127.0.0.4 → trunk caller (peers sip:{}, {file}:", caller.address);
    assert!(page.starts_with(&line) && page.contains("✗ trunk:pbx  403"), "{page}");
    assert_eq!(edge.json("/v1/calls")["calls"][0]["reason"], "denied");
    sent_on(&edge, &caller, &callee, "allowed", "");
}

/// Returns the bytes received on a connection: an INVITE of more than 576 bytes is sent over TCP.
fn by_tcp(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut read, mut buffer) = (String::new(), [0; 4096]);
    while !read.contains("a=rtpmap") {
        let len = stream.read(&mut buffer).unwrap();
        assert_ne!(len, 0, "{read}");
        read.push_str(&String::from_utf8_lossy(&buffer[..len]));
    }
    let mut refusal = String::from("SIP/2.0 404 Not Found\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let tag = if name == "To" { ";tag=callee" } else { "" };
        refusal.push_str(&format!("{name}: {}{tag}\r\n", field(&read, name)));
    }
    stream.write_all(format!("{refusal}Content-Length: 0\r\n\r\n").as_bytes()).unwrap();
    // The connection stays open until the ACK, or until the edge closes it.
    let _ = stream.read(&mut buffer);
    read
}

/// Starts an edge that sends requests above a length over TCP.
fn careful(caller: &Party, callee: &Party) -> Process {
    edge(caller, callee, "", "oversize = \"tcp\"\nudp_mtu = 576", "")
}

#[test]
fn a_long_invite_goes_by_tcp() {
    let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let edge = careful(&caller, &callee);
    let (sip, listener) = (edge.address("udp"), TcpListener::bind(callee.address).unwrap());
    let began = Instant::now();
    caller.send(sip, &invite(&caller, NUMBER, sip, "taken", ""));
    let got = by_tcp(&listener);
    let is_in_time = began.elapsed() < trunkgate_call::limits::OVERSIZE_SILENCE / 2;
    assert!(got.starts_with("INVITE ") && got.contains("Via: SIP/2.0/TCP"), "{got}");
    // If the answer takes a second, the edge has tried UDP meanwhile.
    if is_in_time {
        end(&caller, sip, NUMBER, "taken", "404");
        assert!(callee.heard_nothing());
    }
}

#[test]
fn a_long_invite_goes_by_udp_where_tcp_is_refused_or_silent() {
    for silent in [false, true] {
        let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
        let edge = careful(&caller, &callee);
        // The kernel accepts the connection, but nothing reads it.
        let listener = silent.then(|| TcpListener::bind(callee.address).unwrap());
        let got = sent_on(&edge, &caller, &callee, "long", "");
        assert!(got.contains("Via: SIP/2.0/UDP"), "{got}");
        let tried = listener.is_some_and(|listener| {
            listener.set_nonblocking(true).unwrap();
            listener.accept().is_ok()
        });
        assert_eq!(tried, silent);
    }
}

#[test]
fn a_long_invite_goes_by_udp_where_nothing_is_said() {
    let (caller, callee) = (Party::new("127.0.0.4"), Party::new("127.0.0.5"));
    let listener = TcpListener::bind(callee.address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let edge = edge(&caller, &callee, "", "", "");
    let filler = format!("User-to-User: {}\r\n", "ab".repeat(700));
    let got = sent_on(&edge, &caller, &callee, "long", &filler);
    assert!(got.len() > 1500 && got.contains("Via: SIP/2.0/UDP") && listener.accept().is_err(), "{got}");
}

#[test]
fn presets_are_listed_and_shown_with_their_sources() {
    let told = |arguments: &[&str]| {
        let output = finish(arguments);
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, list, _) = told(&["preset", "list"]);
    assert_eq!(code, Some(0));
    for preset in trunkgate_config::preset::all() {
        assert!(list.lines().any(|line| line.starts_with(preset.name)), "{list}");
    }
    let (_, shown, _) = told(&["preset", "show", "whatsapp"]);
    for part in ["codecs = [\"opus\"]", "\n# require_auth: ", "\n# contact_host: for calls to users", "\n# caller_id: "]
    {
        assert!(shown.contains(part), "{part}{shown}");
    }
    let (code, shown, _) = told(&["preset", "show", "twilio"]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("preset = \"twilio\"") && shown.contains("# https://www.twilio.com/docs"), "{shown}");
    let (_, json, _) = told(&["preset", "show", "twilio", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(
        shown.contains("# domain = \"acme.sip.twilio.com\"") && shown.contains("# only for a domain in .pstn"),
        "{shown}"
    );
    let forms = json["domain"]["forms"].as_array().unwrap();
    assert_eq!((forms.len(), &forms[1]["at_edge"]), (2, &Value::from(".sip.EDGE.twilio.com")), "{json}");
    let values = json["values"].as_array().unwrap();
    assert!(!values.is_empty() && values.iter().all(|value| !value["source"].as_str().unwrap().is_empty()), "{json}");
    let (_, shown, _) = told(&["preset", "show", "telnyx"]);
    for part in [
        "\n# region = \"us\"   # the default; or one of \"eu\", \"ca\", \"au\"\n",
        "\npeers = [\"sip:sip.telnyx.com\"]\n",
        "\n# peers = [\"sip:sip.telnyx.eu\"]   # with region = \"eu\"\n",
        " (read 2026-11-28)\n",
        "\n# Left to you:\n# auth: user name and password of the connection",
    ] {
        assert!(shown.contains(part), "{part}{shown}");
    }
    for (name, meant) in [("twillio", "twilio"), ("teams", "microsoft-teams")] {
        let (code, _, error) = told(&["preset", "show", name]);
        assert_eq!(code, Some(2));
        assert!(error.contains("twilio, carrier") && error.contains(&format!("; did you mean {meant}?")), "{error}");
    }
}
