//! Location of a caller (RFC 6442): Geolocation and the documents that it names, from an INVITE to the target's.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // only tests stand here

use crate::bench::*;
use trunkgate_call::limits::{LOCATION_BYTES, LOCATIONS};
use trunkgate_route::{Destination, HeaderPattern, HeaderRules, IdentityTrust, TargetSpec, Transport, Trunk};

const PIDF: &str = "<?xml version=\"1.0\"?>\r\n<presence entity=\"pres:alice@atlanta.example\"/>";

/// Returns a body part with this head.
fn part(head: &str, inside: &str) -> String {
    format!("--b1\r\n{head}\r\n\r\n{inside}\r\n")
}

fn document(id: &str, inside: &str) -> String {
    let head = format!(
        "Content-Type: application/pidf+xml;charset=utf-8\r\nContent-ID: <{id}>\r\n\
         Content-Disposition: render;handling=optional"
    );
    part(&head, inside)
}

/// Returns an INVITE with these headers, and these parts before its offer.
fn invite(headers: &str, parts: &str) -> String {
    let caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: String::new() };
    let body = format!("{parts}{}--b1--\r\n", part("Content-Type: application/sdp", &offer()));
    caller
        .request("INVITE", &body, headers)
        .replace("application/sdp\r\nContent-Length", "multipart/mixed;boundary=b1\r\nContent-Length")
}

fn bench(carrier: Trunk, pbx: Trunk) -> Bench {
    Bench::with(table(vec![carrier, pbx], vec![route(vec![to_trunk("pbx")])]))
}

fn usual() -> Bench {
    bench(trunk("carrier", &[CARRIER]), trunk("pbx", &[PBX]))
}

fn sent_on(bench: &mut Bench, headers: &str, parts: &str) -> Sent {
    bench.receive(CARRIER, invite(headers, parts));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(PBX, "INVITE")
}

/// Returns the parts of a message: heads and contents.
fn parts(message: &Sent) -> Vec<(String, String)> {
    let kind = message.header("Content-Type");
    let boundary = kind.split_once("boundary=").unwrap().1;
    let body = message.body().strip_suffix(&format!("\r\n--{boundary}--\r\n")).unwrap();
    let between = format!("\r\n--{boundary}\r\n");
    let parts = body.strip_prefix(&between[2..]).unwrap().split(&between);
    parts.map(|part| part.split_once("\r\n\r\n").map(|(head, inside)| (head.into(), inside.into())).unwrap()).collect()
}

const BY_VALUE: &str = "Geolocation: <cid:a%40b.example>;loc-src=atlanta.example\r\nGeolocation-Routing: yes\r\n";

#[test]
fn rfc6442_location_document_is_relayed() {
    let mut bench = usual();
    let sent = sent_on(&mut bench, BY_VALUE, &document("a@b.example", PIDF));
    assert_eq!(sent.header("Geolocation"), "<cid:a%40b.example>;loc-src=atlanta.example");
    assert_eq!(sent.header("Geolocation-Routing"), "yes");
    assert!(sent.header("Content-Type").starts_with("multipart/mixed;boundary="));
    let parts = parts(&sent);
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].0, "Content-Type: application/sdp");
    assert!(parts[0].1.starts_with("v=0\r\n") && parts[0].1.contains(LOCAL) && !parts[0].1.contains("198.51.100.7"));
    assert!(parts[1].0.contains("Content-Type: application/pidf+xml;charset=utf-8"), "{}", parts[1].0);
    assert!(parts[1].0.contains("Content-ID: <a@b.example>"));
    assert!(parts[1].0.contains("Content-Disposition: render;handling=optional"));
    assert_eq!(parts[1].1, PIDF);
    // The target's Geolocation-Error is passed back, and the location itself is not displayed.
    let callee = Dialed::new(PBX, sent);
    let ringing = callee
        .answer(180, "")
        .replace("Content-Length", "Geolocation-Error: 100;code=\"Cannot Process\"\r\nContent-Length");
    bench.receive(PBX, ringing);
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 180").header("Geolocation-Error"), "100;code=\"Cannot Process\"");
    let trace = serde_json::to_string(&bench.gateway.trace(&bench.gateway.calls(bench.now)[0].sid)).unwrap();
    assert!(!trace.contains("presence") && !format!("{:?}", bench.logs).contains("presence"));
}

#[test]
fn only_named_documents_go_on_and_only_where_the_name_does() {
    let other = part("Content-Type: application/vnd.secret+xml\r\nContent-ID: <x@y>", "secret");
    for (headers, documents, geolocation, ids) in [
        // By reference: only the header.
        ("Geolocation: <https://lis.example/1>\r\n", document("a@b", PIDF), Some("<https://lis.example/1>"), vec![]),
        // Without the header, no document is passed.
        ("", document("a@b", PIDF), None, vec![]),
        // One of two documents is named, and one of two names exists; a document of another type is not passed.
        (
            "Geolocation: <cid:a@b>, <sips:1@lis.example>\r\nGeolocation: <cid:x@y>, <cid:gone@b>\r\n",
            document("c@d", PIDF) + &document("a@b", PIDF) + &other,
            Some("<cid:a@b>, <sips:1@lis.example>"),
            vec!["a@b"],
        ),
        // Of two documents with the same name, the first counts.
        (
            "Geolocation: <cid:a@b>\r\n",
            document("a@b", PIDF) + &document("a@b", "twice"),
            Some("<cid:a@b>"),
            vec!["a@b"],
        ),
    ] {
        let mut bench = usual();
        let sent = sent_on(&mut bench, headers, &documents);
        assert_eq!(sent.headers("Geolocation"), geolocation.into_iter().collect::<Vec<_>>(), "{headers}");
        assert!(!sent.text.contains("secret+xml"));
        if ids.is_empty() {
            assert_eq!(sent.header("Content-Type"), "application/sdp");
            continue;
        }
        let heads: Vec<String> = parts(&sent).into_iter().skip(1).map(|(head, _)| head).collect();
        assert_eq!(heads.len(), ids.len());
        assert!(heads.iter().zip(ids).all(|(head, id)| head.contains(&format!("<{id}>"))), "{heads:?}");
    }
}

#[test]
fn rules_privacy_and_strangers_keep_a_location_back() {
    let rules = |pass: Option<&[&str]>, remove: &[&str]| {
        let patterns = |texts: &[&str]| texts.iter().map(|text| HeaderPattern::parse(text).unwrap()).collect();
        HeaderRules { pass: pass.map(patterns), remove: patterns(remove), ..HeaderRules::default() }
    };
    let pbx = || trunk("pbx", &[PBX]);
    for (trunk, more, passes) in [
        (pbx(), "", true),
        (Trunk { headers: rules(Some(&["X-*"]), &[]), ..pbx() }, "", false),
        (Trunk { headers: rules(Some(&["Geolocation"]), &[]), ..pbx() }, "", true),
        (Trunk { headers: rules(None, &["Geolocation"]), ..pbx() }, "", false),
        (Trunk { identity: IdentityTrust::Strip, ..pbx() }, "Privacy: id\r\n", false),
        (Trunk { identity: IdentityTrust::Strip, ..pbx() }, "", true),
        (pbx(), "Privacy: id\r\n", true),
    ] {
        let mut bench = bench(self::trunk("carrier", &[CARRIER]), trunk);
        let sent = sent_on(&mut bench, &format!("{BY_VALUE}{more}"), &document("a@b.example", PIDF));
        assert_eq!(
            (sent.headers("Geolocation").len() == 1, sent.text.contains("presence")),
            (passes, passes),
            "{more}"
        );
    }
    let destination =
        Destination { host: "10.0.0.20".into(), port: Some(5060), transport: Transport::Udp, is_fixed: true };
    let uri = TargetSpec::Uri { uri: format!("sip:+14155550100@{PBX}"), destination, in_call: false };
    let mut bench = Bench::with(table(vec![trunk("carrier", &[CARRIER])], vec![route(vec![uri])]));
    let sent = sent_on(&mut bench, BY_VALUE, &document("a@b.example", PIDF));
    assert!(sent.headers("Geolocation").is_empty() && !sent.text.contains("presence"));
}

#[test]
fn rfc3261_21_4_13_a_target_that_takes_no_such_body_is_asked_again_without() {
    let mut bench = usual();
    let headers = "Geolocation: <cid:a@b>, <https://lis.example/1>\r\n";
    let sent = sent_on(&mut bench, headers, &document("a@b", PIDF));
    assert_eq!(parts(&sent).len(), 2);
    let callee = Dialed::new(PBX, sent);
    bench.receive(PBX, callee.answer(415, ""));
    bench.expect(PBX, "ACK");
    let again = bench.expect(PBX, "INVITE");
    assert_eq!(
        (again.header("Content-Type"), again.header("Geolocation")),
        ("application/sdp", "<https://lis.example/1>")
    );
    assert!(again.body().starts_with("v=0"));
    // Only one retry is sent.
    let callee = Dialed::new(PBX, again);
    bench.receive(PBX, callee.answer(415, ""));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 415");
    bench.nothing();
    // A target that got no such body means something else.
    let mut bench = usual();
    let callee = Dialed::new(PBX, sent_on(&mut bench, "", ""));
    bench.receive(PBX, callee.answer(415, ""));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 415");
    bench.nothing();
}

#[test]
fn rfc6442_4_3_a_bad_location_is_told_to_the_caller() {
    for removed in [false, true] {
        let mut pbx = trunk("pbx", &[PBX]);
        if removed {
            pbx.headers.remove = vec![HeaderPattern::parse("Geolocation-Error").unwrap()];
        }
        let mut bench = bench(trunk("carrier", &[CARRIER]), pbx);
        let callee = Dialed::new(PBX, sent_on(&mut bench, BY_VALUE, &document("a@b.example", PIDF)));
        let refusal = callee
            .answer(424, "")
            .replace("Content-Length", "Geolocation-Error: 201;code=\"No Location\"\r\nContent-Length");
        bench.receive(PBX, refusal);
        bench.expect(PBX, "ACK");
        let told = bench.expect(CARRIER, "SIP/2.0 424");
        let expected: &[&str] = if removed { &[] } else { &["201;code=\"No Location\""] };
        assert_eq!(told.headers("Geolocation-Error"), expected);
    }
}

#[test]
fn number_and_length_of_documents_are_bounded() {
    let many = 0..LOCATIONS + 2;
    let names: Vec<String> = many.clone().map(|n| format!("<cid:{n}@b>")).collect();
    let documents: String = many.map(|n| document(&format!("{n}@b"), PIDF)).collect();
    let mut bench = usual();
    let sent = sent_on(&mut bench, &format!("Geolocation: {}\r\n", names.join(",")), &documents);
    assert_eq!(parts(&sent).len(), 1 + LOCATIONS);
    assert_eq!(sent.header("Geolocation").matches("cid:").count(), LOCATIONS, "and no name without its document");
    for (length, is_sent) in [(LOCATION_BYTES, true), (LOCATION_BYTES + 1, false)] {
        let mut bench = usual();
        let sent = sent_on(&mut bench, "Geolocation: <cid:a@b>\r\n", &document("a@b", &"x".repeat(length)));
        assert_eq!((sent.headers("Geolocation").len() == 1, sent.body().len() > LOCATION_BYTES), (is_sent, is_sent));
    }
    // A name that cannot be displayed, or is too long.
    for id in ["a@b\u{1b}[31m".to_owned(), "x".repeat(257)] {
        let mut bench = usual();
        let sent = sent_on(&mut bench, "Geolocation: <cid:a@b>\r\n", &document(&id, PIDF));
        assert!(!sent.text.contains("presence") && !sent.text.contains(&id), "{}", sent.text);
    }
}

#[test]
fn messages_in_a_call_name_no_document() {
    let mut bench = usual();
    let callee = Dialed::new(PBX, sent_on(&mut bench, BY_VALUE, &document("a@b.example", PIDF)));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    let mut caller =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: ok.tag("To") };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", "Geolocation: <cid:a@b>, <https://lis.example/1>\r\n"));
    bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(bench.expect(PBX, "BYE").header("Geolocation"), "<https://lis.example/1>");
}
