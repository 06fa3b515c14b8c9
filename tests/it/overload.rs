//! Edge in overload: the process is stopped for a while, so that messages wait in its sockets.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::calls::{Call, NUMBER, Phone, Speaking, rtp};
use crate::support::sip::{Party, field};
use crate::support::{Process, config, until};
use nix::sys::signal::Signal;

/// Number of callers: more than a short stall would delay.
const CALLERS: usize = 100;

fn edge(caller: &Phone, callee: &Phone) -> Process {
    let trunks = format!("{}{}", caller.trunk("carrier"), callee.trunk("pbx"));
    Process::start(&config(&format!("{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n")))
}

fn invite(caller: &Party, edge: &Process, name: &str) -> String {
    caller.request("INVITE", NUMBER, edge.address("udp"), name, 1, "")
}

/// Sleeps: these tests depend on the delay of waiting messages.
fn pass(time: Duration) {
    let begin = Instant::now();
    until("the time has passed", || (begin.elapsed() >= time).then_some(()));
}

/// Stops the process during `meanwhile` and a moment longer.
fn stopped(edge: &Process, meanwhile: impl FnOnce()) {
    edge.signal(Signal::SIGSTOP);
    until("it stands still", || edge.is_stopped().then_some(()));
    meanwhile();
    pass(Duration::from_millis(200));
    edge.signal(Signal::SIGCONT);
}

#[test]
fn established_calls_come_first() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.3"));
    let edge = edge(&caller, &callee);
    let sip = edge.address("udp");
    let up = Call::set_up(&edge, "up", &caller, &callee);
    let me = &caller.sip;
    stopped(&edge, || {
        me.send(sip, &me.request("OPTIONS", NUMBER, sip, "options", 1, ""));
        for n in 0..CALLERS {
            me.send(sip, &invite(me, &edge, &format!("new{n}")));
        }
        me.send(sip, &invite(me, &edge, "new0"));
        me.send(sip, &me.request("BYE", NUMBER, sip, &up.id, 2, &up.tag));
    });
    // The message sent last is answered first.
    let (first, _) = me.receive("SIP/2.0 ");
    assert_eq!((first.lines().next().unwrap(), field(&first, "CSeq")), ("SIP/2.0 200 OK", "2 BYE"));
    callee.sip.receive("BYE ");
    let mut refused = BTreeSet::new();
    while refused.len() < CALLERS - trunkgate_call::limits::INVITES_ALWAYS_SERVED {
        let (answer, _) = me.receive("SIP/2.0 ");
        // The calls that waited longest are refused, and the last few are served.
        assert_eq!(answer.lines().next().unwrap(), "SIP/2.0 503 Service Unavailable");
        assert!((1..=4).contains(&field(&answer, "Retry-After").parse::<u32>().unwrap()));
        assert_eq!(field(&answer, "Reason"), "Q.850;cause=42;text=\"overloaded\"");
        refused.insert(field(&answer, "Call-ID").to_owned());
    }
    let dropped = |reason: &str| edge.metric(&format!("trunkgate_sip_dropped_total{{reason=\"{reason}\"}}"));
    // The OPTIONS is oldest; if the overload has ended before its turn, it is answered.
    let is_answered = || me.heard().iter().any(|answer| field(answer, "CSeq").ends_with(" OPTIONS"));
    until("the rest is dropped", || (dropped("overloaded") == 1.0 || is_answered()).then_some(()));
    assert_eq!((dropped("repeated"), dropped("queue_full"), dropped("udp_unread")), (1.0, 0.0, 0.0));

    // After the overload, calls are accepted again, but not the retransmission of a refused one.
    until("the overload is over", || (edge.metric("trunkgate_overloaded") == 0.0).then_some(()));
    me.send(sip, &invite(me, &edge, "new1"));
    // Its response may be worded like that to the first call.
    while field(&me.receive_any("SIP/2.0 503").0, "Call-ID") != "new1" {}
    me.send(sip, &invite(me, &edge, "later"));
    while field(&me.receive("SIP/2.0 100").0, "Call-ID") != "later" {}
    let log = edge.whole_log();
    assert_eq!(log.matches("overloaded: new calls that would wait too long get 503").count(), 1, "{log}");
    assert_eq!(log.matches("no longer overloaded").count(), 1, "{log}");
    assert_eq!(edge.json("/v1/status")["overloaded"], false);
}

#[test]
fn a_few_calls_that_came_during_a_pause_are_served() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.3"));
    let edge = edge(&caller, &callee);
    let me = &caller.sip;
    stopped(&edge, || {
        for name in ["a", "b", "c"] {
            me.send(edge.address("udp"), &invite(me, &edge, name));
        }
        // A canceled call is not lost: it begins and ends.
        let bare = me.request_with("INVITE", NUMBER, edge.address("udp"), "c", (1, ""), "");
        let cancel = bare.replacen("INVITE", "CANCEL", 1).replace("1 INVITE", "1 CANCEL");
        me.send(edge.address("udp"), &cancel);
    });
    let mut calls = BTreeSet::new();
    // An unanswered INVITE is retransmitted.
    while calls.len() < 3 {
        calls.insert(field(&callee.sip.receive("INVITE ").0, "Call-ID").to_owned());
    }
    assert_eq!(field(&me.receive("SIP/2.0 487").0, "Call-ID"), "c");
}

#[test]
fn a_process_that_stood_still_keeps_its_calls() {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.3"));
    let trunks = format!("{}{}", caller.trunk("carrier"), callee.trunk("pbx"));
    let text = config(&format!("{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n"));
    let edge = Process::start(&text.replace("idle_timeout = \"10m\"", "idle_timeout = \"2s\""));
    let call = Call::set_up(&edge, "stopped", &caller, &callee);
    let (from_caller, from_callee) = (caller.rtp.try_clone().unwrap(), callee.rtp.try_clone().unwrap());
    let _caller = Speaking::new(&from_caller, call.near, |n| rtp(7, n));
    let _callee = Speaking::new(&from_callee, call.far, |n| rtp(8, n));
    stopped(&edge, || pass(Duration::from_secs(6)));
    // This lasts twice the limit of silence, and the call continues.
    let received = || edge.json(&format!("/v1/calls/{}", edge.sid()))["legs"][0]["rtp"]["rx_packets"].as_u64().unwrap();
    let before = received();
    until("four seconds of audio have come", || (received() >= before + 200).then_some(()));
    let calls = edge.json("/v1/calls");
    assert_eq!(calls["calls"][0]["state"], "answered", "{calls}");
    call.hang_up(2, &caller, &callee);
}
