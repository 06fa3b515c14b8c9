//! The edge behind a one-to-one NAT, with a carrier outside and a PBX inside: each gets the address that it can reach,
//! in Via, Contact and SDP, and neither sees the other's address or our address for the other.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use crate::bench::*;
use trunkgate_media::MediaCommand;

/// Checks that messages to a side contain this address of ours, and none of the hidden ones.
fn shown(sent: &Sent, ours: &str, hidden: [&str; 3]) {
    assert!(sent.to.to_string() == CARRIER || sent.to.to_string() == PBX);
    // Only the tag of the To line is ours.
    let said = sent.text.lines().filter(|line| !line.starts_with("To: "));
    for line in said {
        assert!(!hidden.iter().any(|address| line.contains(address)), "{line} in:\n{}", sent.text);
    }
    if !sent.body().is_empty() {
        assert!(sent.body().contains(&format!("c=IN IP4 {ours}\r\n")), "{}", sent.text);
        assert!(sent.body().contains(&format!(" IN IP4 {ours}\r\ns=-")), "o= in:\n{}", sent.text);
    }
    if sent.message.code().is_none() {
        assert!(sent.header("Via").contains(&format!(" {ours}:5060")), "{}", sent.text);
    }
    for contact in sent.headers("Contact") {
        assert!(contact.contains(&format!("@{ours}:5060")), "{}", sent.text);
    }
}

#[test]
fn a_pbx_inside_and_a_carrier_outside_each_see_their_own_address_of_ours() {
    let outside = (CARRIER, PUBLIC, [LOCAL, "10.0.0.20", "192.0.2.5"]);
    let inside = (PBX, LOCAL, [PUBLIC, "198.51.100.7", "192.0.2.5"]);
    let peers = [sdp("198.51.100.7", 40_000, 1, "0 101", "sendrecv"), sdp("10.0.0.20", 30_000, 1, "0 101", "sendrecv")];
    for (calling, called, target, [offer, answer]) in
        [(outside, inside, "pbx", peers.clone()), (inside, outside, "carrier", [peers[1].clone(), peers[0].clone()])]
    {
        let mut bench = Bench::with(table(usual_trunks(), vec![route(vec![to_trunk(target)])]));
        let mut caller = bench.invite(calling.0, "+14155550100", &offer);
        bench.expect(calling.0, "SIP/2.0 100");
        let invite = bench.expect(called.0, "INVITE");
        shown(&invite, called.1, called.2);
        let callee = Dialed::new(called.0, invite);
        bench.receive(called.0, callee.answer(180, ""));
        shown(&bench.expect(calling.0, "SIP/2.0 180"), calling.1, calling.2);
        bench.receive(called.0, callee.answer(200, &answer));
        shown(&bench.expect(called.0, "ACK"), called.1, called.2);
        let ok = bench.expect(calling.0, "SIP/2.0 200");
        shown(&ok, calling.1, calling.2);
        // The worker knows the address shown to each side.
        let told: Vec<_> = bench
            .take_media()
            .into_iter()
            .filter_map(|command| match command {
                MediaCommand::SetRemote { remote, .. } => {
                    Some((remote.rtp?.ip().to_string(), remote.shown?.to_string()))
                }
                _ => None,
            })
            .collect();
        for (far, ours) in [("198.51.100.7", PUBLIC), ("10.0.0.20", LOCAL)] {
            assert!(told.contains(&(far.to_owned(), ours.to_owned())), "{told:?}");
        }
        caller.to_tag = ok.tag("To");
        bench.receive(calling.0, caller.request("ACK", "", ""));
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}
