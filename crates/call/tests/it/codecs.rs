//! Codecs offered from one side to the other: those that both trunks allow, then those that the edge transcodes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // helpers of tests are not `#[test]` themselves

use crate::bench::*;
use trunkgate_call::trace::TraceItem;
use trunkgate_media::{MediaCommand, PayloadCodec, WireSpec};
use trunkgate_route::{DtmfMode, Trunk};

fn trunks(carrier: &[&str], pbx: &[&str]) -> Vec<Trunk> {
    let codecs = |list: &[&str]| list.iter().map(|codec| (*codec).to_owned()).collect();
    vec![
        Trunk { codecs: codecs(carrier), ..trunk("carrier", &[CARRIER]) },
        Trunk { codecs: codecs(pbx), ptime_ms: 40, ..trunk("pbx", &[PBX]) },
    ]
}

fn bench(carrier: &[&str], pbx: &[&str]) -> Bench {
    Bench::with(table(trunks(carrier, pbx), vec![route(vec![to_trunk("pbx")])]))
}

/// Returns the decisions in the trace of the newest call.
fn decisions(bench: &Bench) -> Vec<String> {
    let sid = bench.gateway.calls(bench.now).remove(0).sid;
    let entries = bench.gateway.trace(&sid).unwrap().entries.into_iter();
    entries.filter_map(|entry| if let TraceItem::Decision { text } = entry.what { Some(text) } else { None }).collect()
}

/// Returns a description with these formats.
fn described(ip: &str, port: u16, version: u64, formats: &str) -> String {
    let opus = if formats.contains("107") { "a=rtpmap:107 opus/48000/2\r\na=fmtp:107 useinbandfec=1\r\n" } else { "" };
    sdp(ip, port, version, formats, "sendrecv") + opus
}

/// Returns the last wires commanded, in order.
fn wires(bench: &mut Bench) -> Vec<WireSpec> {
    let wire = |command| match command {
        MediaCommand::Wire { wire, .. } => Some(wire),
        _ => None,
    };
    bench.take_media().into_iter().filter_map(wire).collect()
}

#[test]
fn what_suits_both_trunks_comes_first() {
    for (carrier, pbx, offered) in [
        (&["PCMU", "PCMA"][..], &["PCMU", "PCMA"][..], "RTP/AVP 0 8 101"),
        (&["PCMU", "PCMA"], &["PCMA", "PCMU"], "RTP/AVP 8 0 101"),
        (&["PCMA"], &["PCMU", "PCMA"], "RTP/AVP 8 0 101"),
        (&["PCMU", "PCMA"], &["PCMA"], "RTP/AVP 8 101"),
        (&["PCMU", "PCMA"], &["opus", "PCMA"], "RTP/AVP 8 107 101"),
        (&["PCMU"], &["G722", "opus"], "RTP/AVP 9 107 101"),
    ] {
        let mut bench = bench(carrier, pbx);
        bench.invite(CARRIER, "+14155550100", &offer());
        let invite = bench.expect(PBX, "INVITE");
        assert!(invite.body().contains(offered), "{}", invite.body());
    }
}

/// Makes an answered call; returns the codecs of both legs, and its wires.
fn answered(bench: &mut Bench, offered: &str, formats: &str) -> (Vec<String>, Vec<WireSpec>) {
    bench.invite(CARRIER, "+14155550100", &described("198.51.100.7", 40_000, 1, offered));
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.take_media();
    bench.receive(PBX, callee.answer(200, &described("10.0.0.20", 50_000, 1, formats)));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    let legs = bench.gateway.calls(bench.now).remove(0).legs;
    (legs.into_iter().map(|leg| leg.codec).collect(), wires(bench))
}

#[test]
fn by_default_any_two_of_g711_and_opus_are_converted_and_what_both_have_is_relayed() {
    for (offered, formats, codecs, converted) in [
        ("0 8 101", "0 101", ["PCMU", "PCMU"], [false; 2]),
        ("107 101", "107 101", ["opus", "opus"], [false; 2]),
        ("107 0 101", "0 101", ["PCMU", "PCMU"], [false; 2]),
        ("0 101", "8 101", ["PCMU", "PCMA"], [true; 2]),
        ("0 101", "107 101", ["PCMU", "opus"], [true; 2]),
        ("107 101", "0 101", ["opus", "PCMU"], [true; 2]),
        // The answer lists several codecs: PCMU passes, and the others are transcoded if they arrive.
        ("0 101", "107 8 0 101", ["PCMU", "PCMU"], [false, true]),
    ] {
        let trunks = vec![trunk("carrier", &[CARRIER]), trunk("pbx", &[PBX])];
        let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
        let (legs, wires) = answered(&mut bench, offered, formats);
        assert_eq!(legs, codecs, "{offered} / {formats}");
        let found: Vec<bool> = wires.iter().map(|wire| wire.transcode.is_some()).collect();
        assert_eq!(found, converted, "{offered} / {formats}");
        let passes = codecs[0] == codecs[1];
        assert!(wires.iter().all(|wire| wire.payloads.is_empty() != passes), "{wires:?}");
    }
}

/// Makes a call between two sides without a common codec; returns both sides, and its wires.
fn converted(bench: &mut Bench) -> (Dialing, Dialed, Vec<WireSpec>) {
    let mut caller = bench.invite(CARRIER, "+14155550100", &described("198.51.100.7", 40_000, 1, "0 101"));
    bench.expect(CARRIER, "SIP/2.0 100");
    let invite = bench.expect(PBX, "INVITE");
    let callee = Dialed::new(PBX, invite);
    bench.take_media();
    bench.receive(PBX, callee.answer(200, &described("10.0.0.20", 50_000, 1, "107 101")));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("RTP/AVP 0 101"), "{}", ok.body());
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let wires = wires(bench);
    (caller, callee, wires)
}

#[test]
fn sides_that_share_nothing_are_converted_between() {
    let mut bench = bench(&["PCMU"], &["opus"]);
    let (mut caller, callee, wires) = converted(&mut bench);
    let [there, back] = &wires[..] else { panic!("{wires:?}") };
    let (there, back) = (there.transcode.as_ref().unwrap(), back.transcode.as_ref().unwrap());
    assert_eq!(
        (there.from[0], there.to.0, there.packet_ms),
        ((0, PayloadCodec::Pcmu), 107, 40),
        "by the trunk's `ptime`"
    );
    let PayloadCodec::Opus(wanted) = there.to.1 else { panic!("{there:?}") };
    assert!(wanted.fec && !wanted.dtx);
    assert_eq!((back.from[0].0, back.to, back.packet_ms), (107, (0, PayloadCodec::Pcmu), 20));
    assert_eq!(there.events[0].to, (101, 8000));
    let view = bench.gateway.calls(bench.now).remove(0);
    let codecs: Vec<_> = view.legs.iter().map(|leg| (leg.codec.as_str(), leg.converted_to)).collect();
    assert_eq!(codecs, [("PCMU", Some("opus")), ("opus", Some("PCMU"))]);
    let trace = decisions(&bench);
    let why = "media: PCMU with carrier, opus with pbx: transcoded, no common codec \
        (carrier has PCMU, may use PCMU; pbx took opus, may use opus)";
    assert!(trace.iter().any(|said| said == why), "{trace:?}");
    let keys = "keys: RFC 4733 101/8000 with carrier ↔ RFC 4733 101/8000 with pbx";
    assert!(trace.iter().any(|said| said == keys), "{trace:?}");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_re_invite_may_end_the_conversion_and_begin_it_again() {
    let mut bench = bench(&["PCMU", "PCMA"], &["PCMA"]);
    let mut caller = bench.invite(CARRIER, "+14155550100", &described("198.51.100.7", 40_000, 1, "0 101"));
    bench.expect(CARRIER, "SIP/2.0 100");
    let invite = bench.expect(PBX, "INVITE");
    let callee = Dialed::new(PBX, invite);
    bench.receive(PBX, callee.answer(200, &described("10.0.0.20", 50_000, 1, "8 101")));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(wires(&mut bench).iter().all(|wire| wire.transcode.is_some()));
    for (cseq, formats, is_converted) in [(2, "8 101", false), (3, "0 101", true)] {
        caller.cseq = cseq;
        let version = u64::from(cseq);
        bench.receive(CARRIER, caller.request("INVITE", &described("198.51.100.7", 40_000, version, formats), ""));
        bench.expect(CARRIER, "SIP/2.0 100");
        let again = bench.expect(PBX, "INVITE");
        assert!(again.body().contains("RTP/AVP 8 101"), "{}", again.body());
        bench.receive(PBX, callee.respond(&again, 200, &described("10.0.0.20", 50_000, 1, "8 101")));
        bench.expect(PBX, "ACK");
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        assert!(ok.body().contains(&format!("RTP/AVP {formats}")), "{}", ok.body());
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        let wires = wires(&mut bench);
        assert_eq!(wires.len(), 2);
        assert!(wires.iter().all(|wire| wire.transcode.is_some() == is_converted), "{wires:?}");
        assert!(wires.iter().all(|wire| wire.payloads.is_empty() == is_converted), "{wires:?}");
    }
}

#[test]
fn a_caller_without_offer_may_be_converted_too() {
    let mut bench = bench(&["PCMU"], &["PCMA"]);
    let mut caller = bench.invite(CARRIER, "+14155550100", "");
    bench.expect(CARRIER, "SIP/2.0 100");
    let invite = bench.expect(PBX, "INVITE");
    assert!(invite.body().contains("RTP/AVP 8 101"), "{}", invite.body());
    let callee = Dialed::new(PBX, invite);
    bench.receive(PBX, callee.answer(200, &described("10.0.0.20", 50_000, 1, "8 101")));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("RTP/AVP 0 101"), "{}", ok.body());
    caller.to_tag = ok.tag("To");
    bench.take_media();
    bench.receive(CARRIER, caller.request("ACK", &described("198.51.100.7", 40_000, 1, "0 101"), ""));
    let wires = wires(&mut bench);
    assert_eq!(wires.len(), 2);
    assert!(wires.iter().all(|wire| wire.transcode.is_some()), "{wires:?}");
}

#[test]
fn no_codec_that_suits_is_488_with_both_lists() {
    let mut bench = bench(&["PCMU"], &["PCMA"]);
    bench.invite(CARRIER, "+14155550100", &described("198.51.100.7", 40_000, 1, "8 101"));
    bench.expect(CARRIER, "SIP/2.0 100");
    let refused = bench.expect(CARRIER, "SIP/2.0 488");
    assert!(refused.header("Warning").starts_with("305 "), "{}", refused.text);
    let lists = "offered PCMA, telephone-event; allowed PCMU";
    assert!(refused.header("Warning").contains(lists), "{}", refused.text);
    let trace = decisions(&bench);
    assert!(trace.iter().any(|said| said.contains(lists)), "{trace:?}");
}

#[test]
fn a_target_that_refuses_our_offer_is_told_of_with_what_it_was_offered_and_its_warning() {
    let mut bench = bench(&["PCMU", "PCMA"], &["PCMA"]);
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let invite = bench.expect(PBX, "INVITE");
    let callee = Dialed::new(PBX, invite);
    let refusal = callee.answer(488, "");
    let warning = "SIP/2.0 488 x\r\nWarning: 305 pbx \"Incompatible +14155550100 inline:c2VjcmV0\"\r\n";
    let (_, rest) = refusal.split_once("\r\n").unwrap();
    bench.receive(PBX, format!("{warning}{rest}"));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 488");
    let trace = decisions(&bench);
    let why = "answered 488: it was offered PCMA by RTP/AVP, Warning: 305 pbx \"Incompatible +1415****100";
    assert!(trace.iter().any(|said| said.ends_with(why)), "{trace:?}");
}

#[test]
fn keys_that_each_side_presses_in_its_own_way_are_told_of() {
    let mut trunks = trunks(&["PCMU"], &["PCMU"]);
    trunks[1].dtmf = DtmfMode::Info;
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]));
    answered(&mut bench, "0 101", "0");
    let trace = decisions(&bench);
    assert!(trace.iter().any(|said| said == "media: PCMU"), "{trace:?}");
    let keys = "keys: RFC 4733 101/8000 with carrier ↔ INFO with pbx";
    assert!(trace.iter().any(|said| said == keys), "{trace:?}");
    let legs = bench.gateway.calls(bench.now).remove(0).legs;
    assert!(legs.iter().all(|leg| leg.converted_to.is_none()), "{legs:?}");
}

#[test]
fn rfc3264_6_an_answer_with_another_number_of_m_lines_ends_no_call() {
    let video = "m=video 40002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
    for (offered, answered, told) in
        [(offer() + video, answer(), "m=video 0 "), (offer(), answer() + video, "m=audio ")]
    {
        let mut bench = bench(&["PCMU"], &["PCMU"]);
        let mut caller = bench.invite(CARRIER, "+14155550100", &offered);
        bench.expect(CARRIER, "SIP/2.0 100");
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(200, &answered));
        bench.expect(PBX, "ACK");
        let ok = bench.expect(CARRIER, "SIP/2.0 200");
        let lines = |text: &str| text.lines().filter(|line| line.starts_with("m=")).count();
        assert!(lines(ok.body()) == lines(&offered) && ok.body().contains(told), "{}", ok.text);
        assert_ne!(ok.port(), 0);
        let said = decisions(&bench).into_iter().find(|text| text.contains("the matching ones are used"));
        assert!(said.is_some_and(|text| text.contains("m-lines with")), "{:?}", decisions(&bench));
        caller.to_tag = ok.tag("To");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        // The same applies to an answer to a re-INVITE.
        caller.cseq += 1;
        let again = offered.replace("sendrecv", "sendonly");
        bench.receive(CARRIER, caller.request("INVITE", &again, ""));
        bench.expect(CARRIER, "SIP/2.0 100");
        let asked = bench.expect(PBX, "INVITE");
        bench.receive(PBX, callee.respond(&asked, 200, &answered.replace("sendrecv", "recvonly")));
        bench.expect(PBX, "ACK");
        bench.expect(CARRIER, "SIP/2.0 200");
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}
