//! Process that does not run for a while (SIGSTOP, a paused virtual machine): what waits for a remote party gets its
//! time again, and what the remote party sent meanwhile is read first.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` themselves

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::calls::{Call, NUMBER, Phone};
use crate::support::{Process, config, until};

/// Time without running, which is longer than all timeouts of the tests and than a second, the least that is noticed.
const FROZEN: Duration = Duration::from_secs(7);

/// Starts an edge that gives up a silent target after less time than [`FROZEN`].
fn edge(caller: &Phone, callee: &Phone) -> Process {
    Process::start(&config(&format!(
        "{}{}no_response_timeout = \"6s\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
        caller.trunk("carrier"),
        callee.trunk("pbx"),
    )))
}

/// Stops the process, does something, and lets it run again after [`FROZEN`].
fn freeze(edge: &Process, meanwhile: impl FnOnce()) {
    let stopped = Instant::now();
    edge.signal(Signal::SIGSTOP);
    until("it is stopped", || edge.is_stopped().then_some(()));
    meanwhile();
    until("it was stopped for long enough", || (stopped.elapsed() >= FROZEN).then_some(()));
    edge.signal(Signal::SIGCONT);
}

fn dial(edge: &Process, caller: &Phone, id: &str) {
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, id, (1, ""), &caller.description(1, "")));
}

#[test]
fn a_silent_target_gets_its_time_again_after_a_freeze() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&caller, &callee);
    dial(&edge, &caller, "silent");
    let invite = callee.sip.receive("INVITE ");
    freeze(&edge, || ());
    until("the edge runs again", || edge.log().contains("the process did not run for ").then_some(()));
    let ok = callee.description(1, "");
    let call = Call::answered(edge.address("udp"), "silent", &caller, invite, (&callee, &ok));
    call.hang_up(2, &caller, &callee);
}

#[test]
fn an_answer_that_came_during_a_freeze_is_read_before_timers() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&caller, &callee);
    dial(&edge, &caller, "answered");
    let (invite, from) = callee.sip.receive("INVITE ");
    let ok = callee.description(1, "");
    freeze(&edge, || callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &ok)));
    callee.sip.receive("ACK ");
    caller.sip.receive("SIP/2.0 200");
}

#[test]
fn a_recording_names_the_time_in_which_the_process_was_stopped() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.3"));
    let edge = Process::start(&config(&format!(
        "{}{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\nrecord = true\n\
         [recording]\ndirectory = \"recordings\"\n",
        caller.trunk("carrier"),
        callee.trunk("pbx"),
    )));
    let call = Call::set_up(&edge, "recorded", &caller, &callee);
    let path = format!("/v1/calls/{}", edge.sid());
    freeze(&edge, || ());
    let lost = until("the gap is shown", || {
        let lost = &edge.json(&path)["recordings"][0]["lost"];
        lost.is_array().then(|| lost.clone())
    });
    assert_eq!(lost[0]["reason"], "process_stopped");
    assert!(lost[0]["seconds"].as_f64().unwrap() >= 6.0, "{lost}");
    call.hang_up(2, &caller, &callee);
}
