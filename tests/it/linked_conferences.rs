//! Two edges whose conferences are parties of each other: nothing howls, no chain of calls goes on for ever, and what one of them ends is over at
//! the other.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::conferences::{Party, hear, speak};
use crate::support::calls::Phone;
use crate::support::codecs::Codec;
use crate::support::sip::to_tag;
use crate::support::{Process, config, until};
use crate::twilio_api::{SID, TOKEN, fetched, posted};
use crate::twilio_messages::form;

/// Addresses of the two edges.
const EDGES: [&str; 2] = ["127.0.0.31", "127.0.0.32"];
/// Number of the conference of each edge, and one that each gives to a document which dials it at the other edge.
const NUMBERS: [&str; 2] = ["+14155550131", "+14155550132"];
const ROUND: &str = "+14155550133";
/// Frames in which nothing may come back: 4 s.
const STEADY: usize = 200;
/// Level of a tone that has gone round, in dB below full scale: a ring repeats it at -16 dB and louder; a gap in the other tone, which a busy
/// machine makes, is far below.
const ROUND_AGAIN: f64 = -25.0;

/// An edge with a person's phone, a conference, and a trunk to the other edge.
fn configured(at: usize, phone: &Phone, other: SocketAddr) -> String {
    let (own, theirs, there) = (NUMBERS[at], NUMBERS[1 - at], EDGES[1 - at]);
    let listening = config("").replace("127.0.0.1:0", &format!("{}:0", EDGES[at]));
    format!(
        "{listening}{}codecs = [\"PCMU\"]\n\
         [trunk.other]\npeers = [\"sip:{other}\"]\naccept_from = [\"{there}/32\"]\nmedia_from = [\"127.0.0.1/32\"]\noptions_interval = \"0s\"\n\
         codecs = [\"PCMU\"]\n\
         [api]\naccount_sid = \"{SID}\"\nauth_token = \"{TOKEN}\"\nconnect = [\"trunk:other\"]\nrequests_per_second = 0\n\
         [[number]]\nnumber = \"{own}\"\n[app.round]\nfile = \"round.xml\"\n\
         [[route]]\nto = [\"{own}\"]\nconnect = [\"conference:room\"]\n\
         [[route]]\nto = [\"{theirs}\"]\nconnect = [\"trunk:other\"]\n\
         [[route]]\nto = [\"{ROUND}\"]\nconnect = [\"app:round\"]\n",
        phone.trunk("phone")
    )
}

/// Two edges that know each other, and the person of each.
fn edges() -> ([Process; 2], Vec<Party>) {
    let party = |at: usize, hz| Party::new(23 + at, Codec::Pcmu, hz).calling(NUMBERS[at]);
    let parties = vec![party(0, 700.0), party(1, 1100.0)];
    let document = format!("<Response><Dial><Number>{ROUND}</Number></Dial></Response>");
    let files: [(&str, &[u8]); 1] = [("round.xml", document.as_bytes())];
    let nowhere = SocketAddr::new(EDGES[1].parse().unwrap(), 9);
    let first = Process::start_with_documents(&configured(0, &parties[0].phone, nowhere), &files);
    let second = Process::start_with_documents(&configured(1, &parties[1].phone, first.address("udp")), &files);
    std::fs::write(&first.file, configured(0, &parties[0].phone, second.address("udp"))).unwrap();
    assert_eq!(first.post("/v1/reload", &json!({})).0, 200);
    ([first, second], parties)
}

/// Has the conference of an edge dial that of the other one; the SID of that call.
fn dials(edge: &Process, at: usize) -> String {
    let path = "Conferences/room/Participants.json";
    let fields = [("To", NUMBERS[1 - at]), ("From", NUMBERS[at]), ("Beep", "false")];
    posted(edge, path, &form(&fields))["call_sid"].as_str().unwrap().to_owned()
}

fn parties_of(edge: &Process) -> usize {
    let conferences = fetched(edge, "Conferences.json?Status=in-progress");
    let Some(sid) = conferences["conferences"][0]["sid"].as_str() else { return 0 };
    let list: Value = fetched(edge, &format!("Conferences/{sid}/Participants.json"));
    list["participants"].as_array().unwrap().len()
}

#[test]
fn conferences_that_dial_each_other_do_not_howl_and_end_together() {
    let ([first, second], mut parties) = edges();
    parties[0].joins(&first);
    parties[1].joins(&second);
    dials(&first, 0);
    until("the line is there", || (parties_of(&first) == 2 && parties_of(&second) == 2).then_some(()));
    speak(&mut parties, "the two hear each other", |parties| hear(parties, |at, other| at != other));
    // A second line would be a loop, whichever side dials it.
    for (at, edge) in [&second, &first].into_iter().enumerate() {
        let sid = dials(edge, 1 - at);
        let over = || edge.json(&format!("/v1/calls/{sid}"))["state"] == "ended";
        until("the second line is over", || over().then_some(()));
    }
    speak(&mut parties, "all is as before", |parties| hear(parties, |at, other| at != other));
    let at = parties[0].frames();
    speak(&mut parties, "nothing comes back for a while", |parties| {
        for party in parties {
            let back = party.own_level();
            assert!(back < ROUND_AGAIN, "its own tone comes back to a party at {back} dB");
        }
        parties[0].frames() > at + STEADY
    });
    speak(&mut parties, "the two hear each other still", |parties| hear(parties, |at, other| at != other));
    // A phone and a line at each edge.
    for edge in [&first, &second] {
        assert_eq!((parties_of(edge), edge.json("/v1/status")["calls"].clone()), (2, json!(2)));
    }
    let conference = fetched(&first, "Conferences.json?Status=in-progress")["conferences"][0]["sid"].clone();
    posted(&first, &format!("Conferences/{}.json", conference.as_str().unwrap()), "Status=completed");
    parties[0].is_hung_up_on();
    until("the line is over at both edges", || {
        (first.json("/v1/status")["calls"] == 0 && second.json("/v1/status")["calls"] == 1).then_some(())
    });
    assert_eq!(parties_of(&second), 1, "the person of the other edge stays");
    parties[1].leaves();
    until("the other conference is over", || (second.json("/v1/status")["calls"] == 0).then_some(()));
}

#[test]
fn documents_that_dial_each_other_end_after_two_rounds() {
    let ([first, second], parties) = edges();
    let sip = &parties[0].phone.sip;
    let udp = first.address("udp");
    let offer = Codec::Pcmu.sdp(&parties[0].phone);
    sip.send(udp, &sip.request_with("INVITE", ROUND, udp, "round", (1, ""), &offer));
    // The document answers its caller, dials, and ends with the failure of the loop.
    let (ok, _) = sip.receive("SIP/2.0 200");
    sip.send(udp, &sip.request_with("ACK", ROUND, udp, "round", (1, to_tag(&ok)), ""));
    let (bye, from) = sip.receive("BYE ");
    sip.send(from, &sip.answer_with(&bye, "200 OK", ""));
    until("all calls are over", || {
        [&first, &second].iter().all(|edge| edge.json("/v1/status")["calls"] == 0).then_some(())
    });
    let counts = [&first, &second].map(|edge| edge.json("/v1/calls?state=ended")["calls"].as_array().unwrap().len());
    assert_eq!(counts, [2, 2], "each edge has had it twice");
}
