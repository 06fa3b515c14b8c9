//! Changes of keys in TLS 1.3.

use rustls::Error;

use crate::support::{Pair, SIDES, Side, versions};

#[test]
fn keys_change_before_and_after_the_crossing() {
    let [suite, _] = versions();
    for side in SIDES {
        let mut pair = Pair::open(suite, side);
        let update = |pair: &mut Pair| {
            pair.peer.refresh_traffic_keys().unwrap();
            pair.transfer().unwrap();
            pair.talk(b"under new keys");
        };
        update(&mut pair);
        let mut pair = pair.cross();
        update(&mut pair);
        update(&mut pair);
        let mut pair = pair.cross();
        update(&mut pair);
        update(&mut pair);
    }
}

/// The response to a KeyUpdate is not lost, although nothing was written between the request and the move to another
/// process.
#[test]
fn a_request_that_was_not_answered_is_answered_after_the_crossing() {
    let [suite, _] = versions();
    for side in SIDES {
        for requests in [1, 2] {
            let mut pair = Pair::open(suite, side);
            for _ in 0..requests {
                pair.peer.refresh_traffic_keys().unwrap();
            }
            let bytes = pair.receive_from_peer();
            pair.session.receive(&bytes).unwrap();
            let mut pair = pair.cross();
            pair.talk(b"under new keys");
            let mut pair = pair.cross();
            pair.talk(b"and on");
        }
    }
}

/// A peer that requests more keys than the snapshot contained gets a close_notify.
#[test]
fn a_connection_without_further_keys_is_closed() {
    let [suite, _] = versions();
    let mut pair = Pair::open(suite, Side::Client).cross();
    for _ in 0..4 {
        pair.peer.refresh_traffic_keys().unwrap();
        pair.transfer().unwrap();
        pair.talk(b"under new keys");
    }
    pair.peer.refresh_traffic_keys().unwrap();
    let bytes = pair.receive_from_peer();
    assert!(matches!(pair.session.receive(&bytes), Err(Error::General(_))));
    pair.pass_to_peer().unwrap();
    assert!(pair.peer.process_new_packets().unwrap().peer_has_closed());
}
