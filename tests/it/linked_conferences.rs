//! Conferences of several edges that are linked by calls: no feedback, no endless chain of calls, and a link that ends
//! at one edge ends at the other.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::conferences::{Party, hear, speak};
use crate::support::calls::Phone;
use crate::support::codecs::Codec;
use crate::support::sip::to_tag;
use crate::support::{Process, config, unhurried, until};
use crate::twilio_api::{SID, TOKEN, fetched, posted};
use crate::twilio_messages::form;

/// IP addresses of the edges.
const EDGES: [&str; 3] = ["127.0.0.31", "127.0.0.32", "127.0.0.33"];
/// Conference number of each edge; `ROUND`: number of a document that dials the conference of the other edge.
const NUMBERS: [&str; 3] = ["+14155550131", "+14155550132", "+14155550133"];
const ROUND: &str = "+14155550134";
/// Number of frames that must pass without an echo: 4 s.
const STEADY: usize = 200;
/// Level from which a tone counts as an echo, in dBFS: a loop repeats it at -16 dB or louder, and artefacts of a busy
/// machine are far below.
const ROUND_AGAIN: f64 = -25.0;
/// Level of a phone's own tone, in dBFS.
const SAID: f64 = -16.0;

/// Returns the configuration of an edge with a person's phone, a conference, and trunks to the other edges; outgoing
/// API calls go to the next edge.
fn configured(at: usize, phone: &Phone, edges: &[SocketAddr]) -> String {
    let (own, next) = (NUMBERS[at], (at + 1) % edges.len());
    let listening = config("").replace("127.0.0.1:0", &format!("{}:0", EDGES[at]));
    let others = edges.iter().enumerate().filter(|(other, _)| *other != at).map(|(other, address)| {
        let (number, there) = (NUMBERS[other], EDGES[other]);
        format!(
            "[trunk.edge{other}]\npeers = [\"sip:{address}\"]\naccept_from = [\"{there}/32\"]\nmedia_from = [\"127.0.0.1/32\"]\n\
             options_interval = \"0s\"\ncodecs = [\"PCMU\"]\n[[route]]\nto = [\"{number}\"]\nconnect = [\"trunk:edge{other}\"]\n"
        )
    });
    let others: String = others.collect();
    let rest = format!(
        "{}codecs = [\"PCMU\"]\n{others}\
         [api]\naccount_sid = \"{SID}\"\nauth_token = \"{TOKEN}\"\nconnect = [\"trunk:edge{next}\"]\nrequests_per_second = 0\n\
         [[number]]\nnumber = \"{own}\"\n[app.round]\nfile = \"round.xml\"\n\
         [[route]]\nto = [\"{own}\"]\nconnect = [\"conference:room\"]\n\
         [[route]]\nto = [\"{ROUND}\"]\nconnect = [\"app:round\"]\n",
        phone.trunk("phone")
    );
    listening + &unhurried(&rest)
}

/// Starts edges that know each other, each with a person's phone.
fn edges<const N: usize>() -> ([Process; N], Vec<Party>) {
    let tones = [700.0, 1_100.0, 1_700.0];
    let parties: Vec<Party> =
        (0..N).map(|at| Party::new(23 + at, Codec::Pcmu, tones[at]).calling(NUMBERS[at])).collect();
    let document = format!("<Response><Dial><Number>{ROUND}</Number></Dial></Response>");
    let files: [(&str, &[u8]); 1] = [("round.xml", document.as_bytes())];
    let nowhere = [SocketAddr::new(EDGES[1].parse().unwrap(), 9); N];
    let edges: [Process; N] =
        std::array::from_fn(|at| Process::start_with_documents(&configured(at, &parties[at].phone, &nowhere), &files));
    let addresses: Vec<SocketAddr> = edges.iter().map(|edge| edge.address("udp")).collect();
    for (at, edge) in edges.iter().enumerate() {
        std::fs::write(&edge.file, configured(at, &parties[at].phone, &addresses)).unwrap();
        assert_eq!(edge.post("/v1/reload", &json!({})).0, 200);
    }
    (edges, parties)
}

/// Dials the conference of another edge into that of an edge; returns the SID of the call.
fn dials(edges: &[Process], at: usize, other: usize) -> String {
    let to = format!("sip:{}@{}", NUMBERS[other], edges[other].address("udp"));
    let fields = [("To", &*to), ("From", NUMBERS[at]), ("Beep", "false")];
    let call = posted(&edges[at], "Conferences/room/Participants.json", &form(&fields));
    call["call_sid"].as_str().unwrap().to_owned()
}

/// Waits until the conferences of the edges have these numbers of joined participants.
fn have(edges: &[Process], counts: &[usize]) {
    until("the lines are there", || {
        let are_joined = edges.iter().zip(counts).all(|(edge, count)| parties_of(edge) == *count);
        are_joined.then_some(())
    });
}

/// Returns the number of joined participants of an edge's conference.
fn parties_of(edge: &Process) -> usize {
    let conferences = fetched(edge, "Conferences.json");
    let mut all = conferences["conferences"].as_array().unwrap().iter();
    let Some(live) = all.find(|conference| conference["status"] != "completed") else { return 0 };
    let list: Value = fetched(edge, &format!("Conferences/{}/Participants.json", live["sid"].as_str().unwrap()));
    list["participants"].as_array().unwrap().iter().filter(|party| party["status"] == "connected").count()
}

/// Waits until all calls have ended.
fn are_over(edges: &[Process]) {
    until("all calls are over", || edges.iter().all(|edge| edge.json("/v1/status")["calls"] == 0).then_some(()));
}

/// Checks that a link that would close a loop is ended.
fn is_refused(edges: &[Process], at: usize, other: usize) {
    let sid = dials(edges, at, other);
    let over = || edges[at].json(&format!("/v1/calls/{sid}"))["state"] == "ended";
    until("the line is over", || over().then_some(()));
}

/// Checks for a while that no party hears its own tone.
fn nothing_comes_back(parties: &mut [Party]) {
    let at = parties[0].frames();
    speak(parties, "nothing comes back for a while", |parties| {
        for party in parties {
            let back = party.own_level();
            assert!(back < ROUND_AGAIN, "its own tone comes back to a party at {back} dB");
        }
        parties[0].frames() > at + STEADY
    });
}

#[test]
fn conferences_that_dial_each_other_do_not_howl_and_end_together() {
    let (edges, mut parties) = edges::<2>();
    let [first, second] = &edges;
    parties[0].joins(first);
    parties[1].joins(second);
    dials(&edges, 0, 1);
    have(&edges, &[2, 2]);
    speak(&mut parties, "the two hear each other", |parties| hear(parties, |at, other| at != other));
    // A second link, in either direction, would be a loop.
    is_refused(&edges, 1, 0);
    is_refused(&edges, 0, 1);
    speak(&mut parties, "all is as before", |parties| hear(parties, |at, other| at != other));
    nothing_comes_back(&mut parties);
    speak(&mut parties, "the two hear each other still", |parties| hear(parties, |at, other| at != other));
    // At each edge, the conference has a phone and a link.
    for edge in &edges {
        assert_eq!((parties_of(edge), edge.json("/v1/status")["calls"].clone()), (2, json!(2)));
    }
    let conference = fetched(first, "Conferences.json?Status=in-progress")["conferences"][0]["sid"].clone();
    posted(first, &format!("Conferences/{}.json", conference.as_str().unwrap()), "Status=completed");
    parties[0].is_hung_up_on();
    until("the line is over at both edges", || {
        (first.json("/v1/status")["calls"] == 0 && second.json("/v1/status")["calls"] == 1).then_some(())
    });
    assert_eq!(parties_of(second), 1, "the person of the other edge stays");
    parties[1].leaves();
    are_over(&edges);
}

#[test]
fn conferences_that_only_a_line_is_left_in_end() {
    let (edges, mut parties) = edges::<2>();
    // A link that joins first waits for a person, and sends no music into the other conference.
    parties[0].joins(&edges[0]);
    dials(&edges, 0, 1);
    have(&edges, &[2, 1]);
    speak(&mut parties, "the line is silent", |parties| parties[0].hears_nothing());
    parties[1].joins(&edges[1]);
    speak(&mut parties, "the two hear each other", |parties| hear(parties, |at, other| at != other));
    // The person at the called edge leaves: the link alone does not keep the conference open.
    parties[1].leaves();
    have(&edges, &[1, 0]);
    dials(&edges, 0, 1);
    have(&edges, &[2, 1]);
    // The last person, at the calling edge, leaves.
    parties[0].leaves();
    are_over(&edges);
}

#[test]
fn lines_over_three_edges_make_no_ring() {
    let (edges, mut parties) = edges::<3>();
    parties.iter_mut().zip(&edges).for_each(|(party, edge)| party.joins(edge));
    // The two calling edges know of each other only from the third one's answer.
    dials(&edges, 0, 1);
    have(&edges, &[2, 2, 1]);
    dials(&edges, 2, 1);
    have(&edges, &[2, 3, 2]);
    is_refused(&edges, 0, 2);
    is_refused(&edges, 2, 0);
    speak(&mut parties, "all hear each other", |parties| hear(parties, |at, other| at != other));
    nothing_comes_back(&mut parties);
    parties.iter_mut().for_each(Party::leaves);
    are_over(&edges);
}

#[test]
fn a_ring_of_three_edges_that_is_not_seen_does_not_howl() {
    let (edges, mut parties) = edges::<3>();
    parties.iter_mut().zip(&edges).for_each(|(party, edge)| party.joins(edge));
    dials(&edges, 0, 1);
    have(&edges, &[2, 2, 1]);
    dials(&edges, 1, 2);
    have(&edges, &[2, 3, 2]);
    // A call made by a document does not carry the identity of its conference.
    let document = "<Response><Dial><Conference beep=\"false\">room</Conference></Dial></Response>";
    posted(&edges[2], "Calls.json", &form(&[("To", NUMBERS[0]), ("From", NUMBERS[2]), ("Twiml", document)]));
    have(&edges, &[3, 3, 3]);
    let hears = |parties: &[Party]| {
        (0..3).all(|at| (0..3).all(|other| at == other || parties[at].hears([700.0, 1_100.0, 1_700.0][other])))
    };
    speak(&mut parties, "all hear each other", hears);
    let at = parties[0].frames();
    speak(&mut parties, "the ring turns for a while", |parties| parties[0].frames() > at + STEADY);
    let back: Vec<f64> = parties.iter().map(Party::own_level).collect();
    assert!(back.iter().all(|level| *level < SAID), "a tone has grown on its way round: {back:?} dB");
    parties.iter_mut().for_each(Party::falls_silent);
    speak(&mut parties, "what goes round has died away", |parties| parties.iter().all(Party::hears_nothing));
}

#[test]
fn documents_that_dial_each_other_end_after_two_rounds() {
    let (edges, parties) = edges::<2>();
    let [first, second] = &edges;
    let sip = &parties[0].phone.sip;
    let udp = first.address("udp");
    let offer = Codec::Pcmu.sdp(&parties[0].phone);
    sip.send(udp, &sip.request_with("INVITE", ROUND, udp, "round", (1, ""), &offer));
    // The document answers the caller, dials, and ends with the failure of the loop.
    let (ok, _) = sip.receive("SIP/2.0 200");
    sip.send(udp, &sip.request_with("ACK", ROUND, udp, "round", (1, to_tag(&ok)), ""));
    let (bye, from) = sip.receive("BYE ");
    sip.send(from, &sip.answer_with(&bye, "200 OK", ""));
    are_over(&edges);
    let counts = [first, second].map(|edge| edge.json("/v1/calls?state=ended")["calls"].as_array().unwrap().len());
    assert_eq!(counts, [2, 2], "each edge has had it twice");
}
