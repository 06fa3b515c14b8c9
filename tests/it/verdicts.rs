//! Reports about calls without audio: each fault is made with real sockets, and the trace and `trunkgate trace` name
//! its cause and its fix.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::json::assert_documented;
use crate::support::calls::{Call, NUMBER, Phone, Speaking, media_of, rtp};
use crate::support::secure::{Media, described, offered};
use crate::support::sip::to_tag;
use crate::support::{Process, config, finish, media_ports, until, until_within};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const ROUTE: &str = "[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n";
/// Timeout longer than the 32 s for an ACK, on a loaded machine.
const ACK_PATIENCE: Duration = Duration::from_secs(90);

fn phones() -> (Phone, Phone) {
    (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"))
}

/// Starts an edge between two phones, with further configuration.
fn edge(caller: &Phone, callee: &Phone, more: &str) -> Process {
    Process::start(&config(&(caller.trunk("carrier") + &callee.trunk("pbx") + more + ROUTE)))
}

fn verdict(edge: &Process) -> String {
    edge.json(&format!("/v1/calls/{}/trace", edge.sid()))["verdict"].as_str().unwrap().to_owned()
}

/// Waits until the newest call's verdict contains all of `what`; `trunkgate trace` must agree.
fn told(edge: &Process, what: &[&str]) -> String {
    told_within(edge, crate::support::PATIENCE, what)
}

fn told_within(edge: &Process, patience: Duration, what: &[&str]) -> String {
    let says = |text: &str| what.iter().all(|what| text.contains(what));
    let text =
        until_within(patience, &format!("the verdict says {what:?}"), || Some(verdict(edge)).filter(|text| says(text)));
    let page = finish(&["trace", "last", "--url", &edge.url()]).stdout;
    // Long lines are folded on the page.
    let page = String::from_utf8(page).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(says(&page), "{page}");
    text
}

#[test]
fn a_private_address_that_the_callee_announced() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::behind_nat("127.0.0.1", "192.168.77.20"));
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "private", &caller, &callee);
    caller.rtp.send_to(&rtp(7, 1), call.near).unwrap();
    let port = callee.rtp_address().port();
    told(
        &edge,
        &[
            "No media from pbx: it announced 192.168.77.20, a private address, but its SIP comes from 127.0.0.1",
            &format!(
                "(announced 192.168.77.20:{port}, expected from 192.168.77.20, 127.0.0.1; our SDP says {})",
                call.far
            ),
            "Try: set the external address and the local networks in the NAT settings of pbx",
        ],
    );
    // `status` has a line for a single live call; lists mark the call.
    let status = finish(&["status", "--url", &edge.url()]).stdout;
    let status = String::from_utf8(status).unwrap();
    let line = "! no media from pbx in a live call (private address)";
    assert!(status.contains(line) && status.contains("\n  it announced 192.168.77.20, a private address"), "{status}");
    assert!(
        status.lines().filter(|line| line.starts_with("! no media")).all(|line| line.chars().count() <= 100),
        "{status}"
    );
    assert!(status.contains(line) && status.contains("\n  try: set the external address"), "{status}");
    let listed = finish(&["calls", "--flag", "one_way", "--url", &edge.url()]).stdout;
    assert!(String::from_utf8(listed).unwrap().contains("answered !silent"));
    until("it is among what went wrong", || {
        let history = edge.json("/v1/history");
        let fixes = history["troubles"].as_array()?.iter().filter_map(|trouble| trouble["fix"].as_str());
        fixes.into_iter().any(|fix| fix.starts_with("set the external address")).then_some(())
    });
    // The verdict is also in the log, and at its place in the ladder diagram.
    until("the log says so", || edge.log().contains("no media from pbx 5 s after").then_some(()));
    let text = edge.get(&format!("/v1/calls/{}/trace.txt", edge.sid())).1;
    assert!(text.contains("pbx: no RTP for 5 s: it announced 192.168.77.20"), "{text}");
}

#[test]
fn a_public_address_that_is_not_ours() {
    let (caller, callee) = phones();
    let text = config(&(caller.trunk("carrier") + &callee.trunk("pbx") + ROUTE));
    let wrong = "[edge]\npublic_address = \"127.0.0.99\"\nlocal_networks = [\"10.0.0.0/8\"]\n";
    let edge = Process::start(&text.replacen("[edge]\n", wrong, 1));
    // Both sides are given that address, and both send there.
    let sip = edge.address("udp");
    caller
        .sip
        .send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "public", (1, ""), &caller.description(1, "")));
    let (invite, from) = callee.sip.receive("INVITE ");
    callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &callee.description(1, "")));
    let (ok, _) = caller.sip.receive("SIP/2.0 200");
    caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, "public", (1, to_tag(&ok)), ""));
    let (near, far) = (media_of(&ok), media_of(&invite));
    assert_eq!((near.ip().to_string(), far.ip().to_string()), ("127.0.0.99".into(), "127.0.0.99".into()));
    let _speaking = [Speaking::tone(&caller.rtp, near), Speaking::tone(&callee.rtp, far)];
    let ours = "no packets were received; our SDP announces `public_address`, which is not an address of this machine";
    let fix = "Try: set `public_address` to the address that the remote party sees (`trunkgate doctor`, line public address);";
    let either = "No audio from either side.";
    told(&edge, &[either, &format!("Of carrier: {ours}"), &format!("Of pbx: {ours}"), fix]);
    let silent = until("status has it", || {
        let problems = edge.json("/v1/status")["problem_details"].as_array()?.clone();
        let silent: Vec<_> = problems.into_iter().filter(|one| one["kind"] == "one_way").collect();
        (!silent.is_empty()).then_some(silent)
    });
    assert_eq!(silent.len(), 1, "one problem for both sides: {silent:?}");
    let headline = silent[0]["headline"].as_str().unwrap();
    assert_eq!(headline, "no audio from either side, carrier and pbx, in a live call");
    assert_eq!(silent[0]["others"], serde_json::json!([{"trunk": "pbx", "kind": "one_way"}]));
    assert!(edge.get("/metrics").1.contains("trunkgate_media_one_way_total{trunk=\"carrier\",silent=\"both\"} 1"));
    assert_documented(&edge);
}

#[test]
fn packets_from_where_none_are_expected_and_what_lets_them_in() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "elsewhere", &caller, &callee);
    let media = UdpSocket::bind("127.0.0.2:0").unwrap();
    let from = media.local_addr().unwrap();
    let _speaking = [Speaking::tone(&caller.rtp, call.near), Speaking::tone(&media, call.far)];
    told(
        &edge,
        &[
            &format!(
                "packets came from another address, the last from {from} (announced {}, expected from 127.0.0.1;",
                callee.rtp_address()
            ),
            "Try: set `media_from = [\"127.0.0.2/32\"]` in [trunk.pbx] if these are its packets.",
        ],
    );
    // The suggested fix works.
    let (caller, callee) = phones();
    let open = callee.trunk("pbx") + "media_from = [\"127.0.0.2/32\"]\n";
    let edge = Process::start(&config(&(caller.trunk("carrier") + &open + ROUTE)));
    let call = Call::set_up(&edge, "let-in", &caller, &callee);
    let _speaking = [Speaking::tone(&caller.rtp, call.near), Speaking::tone(&media, call.far)];
    until("it is heard", || edge.metric("trunkgate_rtp_packets_total{direction=\"out\"}").ge(&100.0).then_some(()));
    call.hang_up(2, &caller, &callee);
    assert!(!told(&edge, &["Answered by pbx, ended after "]).contains("Try:"));
}

#[test]
fn srtp_under_another_key_than_was_announced() {
    let (caller, callee) = phones();
    let trunks = caller.trunk("carrier") + &callee.trunk("pbx") + "srtp = \"required\"\n";
    let edge = Process::start(&config(&(trunks + ROUTE)));
    let (sip, offer) = (edge.address("udp"), described(&caller, 1, "0", None, "sendrecv"));
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "wrong-key", (1, ""), &offer));
    let invite = callee.sip.receive("INVITE ");
    let (tag, _) = offered(&invite.0).unwrap();
    let answer = described(&callee, 1, "0", Some((tag, 3)), "sendrecv");
    let call = Call::answered(sip, "wrong-key", &caller, invite, (&callee, &answer));
    let mut wrong = Media::new(&callee, call.far, Some(4), &call.invite.0);
    let _speaking = Speaking::tone(&caller.rtp, call.near);
    for n in 0..20 {
        wrong.send(&rtp(8, n));
    }
    told(
        &edge,
        &[
            "No media from pbx: 20 packets of its SRTP do not authenticate: the key differs from its description",
            "`srtp = \"off\"` in [trunk.pbx] shows whether plain RTP works",
        ],
    );
    assert!(edge.metric("trunkgate_srtp_errors_total{reason=\"auth\"}") >= 20.0);
}

#[test]
fn packets_of_a_payload_that_nobody_agreed_on() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "payload", &caller, &callee);
    let of_g722 = |n| {
        let mut packet = rtp(8, n);
        packet[1] = 9;
        packet
    };
    let _speaking = [Speaking::tone(&caller.rtp, call.near), Speaking::new(&callee.rtp, call.far, of_g722)];
    told(
        &edge,
        &[
            "packets from pbx have payload type 9, which was not negotiated: negotiated 0 (PCMU)",
            "Try: check `codecs` in [trunk.pbx] and the codecs of pbx",
        ],
    );
    until("the log says so", || edge.log().contains("from pbx have payload type 9").then_some(()));
}

#[test]
fn packets_of_digital_silence() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "silence", &caller, &callee);
    let silence = |n| {
        let mut packet = rtp(8, n);
        packet[12..].fill(0xff);
        packet
    };
    let _speaking = [Speaking::tone(&caller.rtp, call.near), Speaking::new(&callee.rtp, call.far, silence)];
    let text =
        told(&edge, &["packets from pbx are digital silence. Try: check microphone, mute key and audio source at pbx"]);
    assert!(text.contains(". All "), "{text}");
    assert!(!text.contains("from carrier"), "{text}");
}

#[test]
fn a_far_side_that_has_the_call_on_hold() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let held = callee.description(1, "a=inactive\r\n");
    let offer = caller.description(1, "");
    let call = Call::agree(edge.address("udp"), "held", (&caller, &offer), (&callee, &held));
    caller.rtp.send_to(&rtp(7, 1), call.near).unwrap();
    told(
        &edge,
        &["pbx has the call on hold: its session description says a=inactive. Try: take the call off hold at pbx"],
    );
    call.hang_up(2, &caller, &callee);
    let text = told(&edge, &["ended after", "pbx has the call on hold"]);
    assert!(!text.contains("from carrier"), "{text}");
}

/// Starts an edge with few media ports, and with a limit for the calls that fit.
fn with_ports(caller: &Phone, callee: &Phone, first: u16, last: u16) -> Process {
    let text = config(&(caller.trunk("carrier") + &callee.trunk("pbx") + "[limits]\ncalls = 1\n" + ROUTE));
    Process::start(&media_ports::replaced(&text, first, last))
}

/// Returns the first of four free ports from `begin` on: below the media ports of tests and the ephemeral range, which
/// are assigned at random.
fn four_ports(begin: u16) -> u16 {
    let is_free = |first: &u16| (*first..first + 4).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok());
    (begin..begin + 2_000).step_by(4).find(is_free).unwrap()
}

/// Checks that the edge refuses a call with 503.
fn refused(edge: &Process, caller: &Phone, body: &str) {
    let sip = edge.address("udp");
    caller.sip.send(sip, &caller.sip.request_with("INVITE", NUMBER, sip, "refused", (1, ""), body));
    let (refused, _) = caller.sip.receive("SIP/2.0 503");
    caller.sip.send(sip, &caller.sip.request_with("ACK", NUMBER, sip, "refused", (1, to_tag(&refused)), ""));
}

#[test]
fn no_media_port_is_left() {
    let (caller, callee) = phones();
    // The ports suffice for a call with one stream, but this one has two.
    let first = four_ports(14_000);
    let edge = with_ports(&caller, &callee, first, first + 3);
    let port = caller.rtp_address().port();
    let both = format!("m=audio {port} RTP/AVP 0\r\nm=video {port} RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n");
    refused(&edge, &caller, &caller.described(1, &both));
    told(
        &edge,
        &[
            "Not answered (503): no free media port: 4 of 4 media ports are in use.",
            "Try: widen `[media] ports`; `ss -lunp` shows programs that use some of them.",
        ],
    );
}

#[test]
fn media_ports_that_another_program_has() {
    let (caller, callee) = phones();
    let first = four_ports(12_000);
    // All four ports are taken, in whichever order the edge selects them.
    let _taken: Vec<UdpSocket> = (first..first + 4).map(|port| UdpSocket::bind(("127.0.0.1", port)).unwrap()).collect();
    let edge = with_ports(&caller, &callee, first, first + 3);
    refused(&edge, &caller, &caller.description(1, ""));
    told(
        &edge,
        &[
            "Not answered (503): no free media port: ports not bound: 127.0.0.1:",
            "Address already in use",
            "Try: widen",
        ],
    );
}

#[test]
fn what_is_sent_comes_back_as_unreachable() {
    let (caller, mut callee) = phones();
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "closed", &caller, &callee);
    let closed = callee.rtp_address();
    // The phone's media ports are closed, as by a killed process.
    let other = Phone::new("127.0.0.3");
    (callee.rtp, callee.rtcp) = (other.rtp, other.rtcp);
    let _speaking = Speaking::tone(&caller.rtp, call.near);
    told(
        &edge,
        &[
            &format!("No media from pbx: packets to {closed} are returned as unreachable (ICMP, "),
            "the port is closed, or a firewall rejects it",
            "Try: check the media ports of pbx, its firewall",
        ],
    );
}

#[test]
fn a_side_that_was_heard_and_cannot_be_reached_any_more() {
    let (caller, mut callee) = phones();
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "gone", &caller, &callee);
    callee.rtp.send_to(&rtp(8, 1), call.far).unwrap();
    let closed = callee.rtp_address();
    until("it is heard", || verdict_of_latch(&edge, closed).then_some(()));
    let other = Phone::new("127.0.0.3");
    (callee.rtp, callee.rtcp) = (other.rtp, other.rtcp);
    let _speaking = Speaking::tone(&caller.rtp, call.near);
    told(&edge, &[&format!("packets to {closed} are returned as unreachable (ICMP, ")]);
}

/// Returns whether media of a leg comes from this address.
fn verdict_of_latch(edge: &Process, from: SocketAddr) -> bool {
    let call = edge.json(&format!("/v1/calls/{}", edge.sid()));
    call["legs"].as_array().unwrap().iter().any(|leg| leg["rtp"]["latched"] == from.to_string())
}

#[test]
fn packets_that_this_machine_dropped() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "unread", &caller, &callee);
    caller.rtp.send_to(&rtp(7, 1), call.near).unwrap();
    callee.rtp.send_to(&rtp(8, 0), call.far).unwrap();
    until("it is heard", || verdict_of_latch(&edge, callee.rtp_address()).then_some(()));
    // The edge reads nothing meanwhile, and the socket's buffer is too small for so many packets.
    edge.signal(Signal::SIGSTOP);
    until("it is stopped", || edge.is_stopped().then_some(()));
    for n in 1..2_500 {
        callee.rtp.send_to(&rtp(8, n), call.far).unwrap();
    }
    edge.signal(Signal::SIGCONT);
    let socket = callee.rtp.try_clone().unwrap();
    let _speaking = Speaking::new(&socket, call.far, |n| rtp(8, n + 2_500));
    told(
        &edge,
        &["This machine dropped ", " packets from pbx (receive buffer full)", "Try: check the load of this machine"],
    );
}

#[test]
fn an_answer_that_is_never_acknowledged() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let sip = edge.address("udp");
    let invite = caller.sip.request_with("INVITE", NUMBER, sip, "no-ack", (1, ""), &caller.description(1, ""));
    let hop = "Record-Route: <sip:127.0.0.44:5099;lr>\r\nContact:";
    caller.sip.send(sip, &invite.replacen("Contact:", hop, 1));
    let (invite, from) = callee.sip.receive("INVITE ");
    callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &callee.description(1, "")));
    caller.sip.receive("SIP/2.0 200");
    let me = caller.sip.address;
    told_within(
        &edge,
        ACK_PATIENCE,
        &[
            "the 200 OK was not acknowledged: carrier sent no ACK for the 200 OK that went to ",
            &format!("it goes to our Contact, {sip} (its own Contact {me}, Record-Route 127.0.0.44:5099)"),
            "Try: check `public_address`: the ACK is sent to the edge's Contact; a SIP ALG or proxy may drop it",
        ],
    );
}

#[test]
fn one_way_audio_in_a_short_call_has_its_cause() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "short", &caller, &callee);
    caller.rtp.send_to(&rtp(7, 1), call.near).unwrap();
    UdpSocket::bind("127.0.0.2:0").unwrap().send_to(&rtp(8, 1), call.far).unwrap();
    let dropped = "trunkgate_rtp_dropped_total{reason=\"unexpected_source\"}";
    until("both have come", || (edge.metric(dropped) >= 1.0 && heard(&edge) >= 1).then_some(()));
    call.hang_up(2, &caller, &callee);
    told(
        &edge,
        &[
            "ended after",
            "No media from pbx: 1 packet came from another address",
            "Try: set `media_from = [\"127.0.0.2/32\"]`",
        ],
    );
    // `status` still has the cause of the only call, although it has ended.
    let status = finish(&["status", "--url", &edge.url()]).stdout;
    let status = String::from_utf8(status).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let line = "! no media from pbx in 1 of 1 calls of the last hour (unexpected source)";
    assert!(status.contains(line) && status.contains(" 1 packet came from another address"), "{status}");
    assert!(status.contains(" try: set `media_from = [\"127.0.0.2/32\"]`"), "{status}");
    assert!(status.contains(&format!(" see: trunkgate trace {} ", edge.sid())), "{status}");
}

#[test]
fn audio_that_stops_in_mid_call_is_one_way_from_then_on() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let began = Instant::now();
    let call = Call::set_up(&edge, "stops", &caller, &callee);
    let _speaking = Speaking::tone(&caller.rtp, call.near);
    let answering = Speaking::tone(&callee.rtp, call.far);
    until("the callee has been heard for some seconds", || (packets_of(&edge, 1) >= 220).then_some(()));
    drop(answering);
    // The time, by the edge's clock, is between the first packet and the last.
    let longest = began.elapsed().as_secs() + 1;
    let since = "No media from pbx since ";
    let text = told(
        &edge,
        &[since, " s after the answer: no packets arrived for 5 s, after ", "Try: check whether pbx is muted"],
    );
    let (_, behind) = text.split_once(since).unwrap();
    let second: u64 = behind.split(' ').next().unwrap().parse().unwrap();
    assert!((3..=longest).contains(&second), "{text}, {longest} s in all");
    assert!(!text.contains("from carrier"), "{text}");
    let shown = String::from_utf8(finish(&["calls", "show", "last", "--url", &edge.url()]).stdout).unwrap();
    assert!(shown.contains("flags        one_way\n") && shown.contains("\nverdict      Answered by pbx."), "{shown}");
    assert!(edge.get("/metrics").1.contains("trunkgate_media_one_way_total{trunk=\"pbx\",silent=\"callee\"} 1"));
    let status = edge.json("/v1/status");
    let problem = &status["problem_details"][0];
    assert_eq!((&problem["trunk"], &problem["kind"]), (&json!("pbx"), &json!("stopped")), "{status}");
    assert!(problem["headline"].as_str().unwrap().starts_with("audio stopped in 1 of 1 calls"), "{problem}");
    assert!(problem["fix"].as_str().unwrap().contains("check whether pbx is muted"), "{problem}");
    assert_documented(&edge);
}

#[test]
fn packet_loss_is_named_with_its_direction_and_figures() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "lossy", &caller, &callee);
    // Every fourth sequence number is missing.
    let speaking = Speaking::new(&caller.rtp, call.near, |n| rtp(7, n + n / 3));
    let _answering = Speaking::tone(&callee.rtp, call.far);
    until("a hundred packets have come", || (packets_of(&edge, 0) >= 100).then_some(()));
    drop(speaking);
    call.hang_up(2, &caller, &callee);
    let text = told(
        &edge,
        &[" % packet loss from carrier to this machine since the answer: ", ", MOS ", "Try: run `mtr -u 127.0.0.1`"],
    );
    assert!(!text.contains("to pbx"), "{text}");
    // A quarter is lost, apart from a gap after the last packet.
    let (percent, _) = text.split_once(" % packet loss").unwrap();
    let percent: u32 = percent.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((24..=25).contains(&percent), "{text}");
    // The loss gives 2.2; jitter of a late sender lowers the score further.
    let (_, mos) = text.split_once(", MOS ").unwrap();
    let mos: f64 = mos.split([' ', ',', ';']).next().unwrap().trim_end_matches('.').parse().unwrap();
    assert!((1.0..3.0).contains(&mos), "{text}");
    assert_documented(&edge);
}

#[test]
fn a_call_that_is_silent_in_both_directions_has_rows_and_a_verdict() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "mute", &caller, &callee);
    let answered = Instant::now();
    until("a second has passed", || (answered.elapsed() > Duration::from_millis(1_200)).then_some(()));
    call.hang_up(2, &caller, &callee);
    told(&edge, &["No audio from either side, carrier and pbx: 0 packets arrived in 1."]);
    let ladder = edge.get(&format!("/v1/calls/{}/trace.txt", edge.sid())).1;
    assert_eq!(
        ladder.lines().filter(|line| line.starts_with("         RTP ") && line.contains("═0═")).count(),
        4,
        "{ladder}"
    );
}

/// Returns the number of packets that the edge has received on a leg.
fn packets_of(edge: &Process, leg: usize) -> u64 {
    edge.json(&format!("/v1/calls/{}", edge.sid()))["legs"][leg]["rtp"]["rx_packets"].as_u64().unwrap()
}

fn heard(edge: &Process) -> u64 {
    edge.json(&format!("/v1/calls/{}", edge.sid()))["legs"][0]["rtp"]["rx_packets"].as_u64().unwrap()
}

#[test]
fn status_says_that_a_trunk_is_not_heard_in_many_calls() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let calls: Vec<Call> = (0..3).map(|n| Call::set_up(&edge, &format!("call-{n}"), &caller, &callee)).collect();
    for call in &calls {
        caller.rtp.send_to(&rtp(7, 1), call.near).unwrap();
    }
    let line = until("status says so", || {
        let status = edge.json("/v1/status");
        let problems = status["problems"].as_array().unwrap().iter().filter_map(Value::as_str);
        problems.filter(|line| line.starts_with("no media from pbx in 3 of 3 calls")).map(str::to_owned).next()
    });
    assert!(line.contains(" of the last hour: no packets arrived at ") && line.contains("; try: open udp "), "{line}");
    assert!(line.contains("; see: trunkgate trace CA"), "{line}");
    let page = String::from_utf8(finish(&["status", "--url", &edge.url()]).stdout).unwrap();
    assert!(page.contains("! no media from pbx in 3 of 3 calls"), "{page}");
    let unheard = &edge.json("/v1/trunks")["trunks"][1]["unheard"];
    assert_eq!((&unheard["calls"], &unheard["of"]), (&3.into(), &3.into()), "{unheard}");
}

#[test]
fn status_says_that_a_trunk_sends_only_digital_silence() {
    let (caller, callee) = phones();
    let edge = edge(&caller, &callee, "");
    let calls: Vec<Call> = (0..3).map(|n| Call::set_up(&edge, &format!("mute-{n}"), &caller, &callee)).collect();
    let silence = |n| {
        let mut packet = rtp(8, n);
        packet[12..].fill(0xff);
        packet
    };
    let speaking: Vec<Speaking> = calls
        .iter()
        .flat_map(|call| [Speaking::tone(&caller.rtp, call.near), Speaking::new(&callee.rtp, call.far, silence)])
        .collect();
    let problem = |begin: &str| {
        until("status says so", || {
            let status = edge.json("/v1/status");
            let problems = status["problems"].as_array().unwrap().iter().filter_map(Value::as_str);
            problems.filter(|line| line.starts_with(begin)).map(str::to_owned).next()
        })
    };
    let line = problem("pbx sends only digital silence in 3 live calls");
    assert!(line.contains("; try: check microphone, mute key and audio source at pbx"), "{line}");
    let list = String::from_utf8(finish(&["calls", "--url", &edge.url()]).stdout).unwrap();
    assert_eq!(list.matches("!silent").count(), 3, "{list}");
    drop(speaking);
    for call in &calls {
        call.hang_up(2, &caller, &callee);
    }
    let line = problem("pbx sends only digital silence in 3 of 3 calls of the last hour");
    assert!(line.contains("; see: trunkgate trace CA"), "{line}");
}
