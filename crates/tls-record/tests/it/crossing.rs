//! Connections that move to another process, once or twice, at any byte of the stream.

use crate::support::{Options, Pair, SIDES, Side, read, restored, stored, suites, versions};

#[test]
fn a_connection_of_every_suite_goes_on_in_two_further_processes() {
    for suite in suites() {
        for side in SIDES {
            let mut pair = Pair::open(suite, side);
            pair.talk(b"before");
            for text in ["after", "again"] {
                pair = pair.cross();
                pair.talk(text.as_bytes());
                // Several records.
                pair.talk(&[7; 40_000]);
            }
            pair.session.close();
            pair.pass_to_peer().unwrap();
            assert!(pair.peer.process_new_packets().unwrap().peer_has_closed(), "{suite:?} {side:?}");
        }
    }
}

#[test]
fn a_stream_may_be_cut_at_every_byte() {
    let texts = [b"first".as_slice(), b"", b"the second one", b"x"];
    for suite in versions() {
        for side in SIDES {
            let mut length = 1;
            let mut cut = 0;
            while cut <= length {
                let mut pair = Pair::open(suite, side);
                let records: Vec<u8> = texts.iter().flat_map(|text| pair.records(text)).collect();
                length = records.len();
                pair.session.receive(&records[..cut]).unwrap();
                let mut pair = pair.cross();
                pair.session.receive(&records[cut..]).unwrap();
                assert_eq!(read(&mut pair.session), texts.concat(), "{suite:?} {side:?} cut at {cut}");
                pair.talk(b"both ways");
                cut += 1;
            }
        }
    }
}

#[test]
fn a_resumed_stream_may_be_cut_at_every_byte_and_pair_of_bytes() {
    for suite in versions() {
        let (snapshot, rest) = Pair::open(suite, Side::Client).crossing();
        let mut pair = rest.resumed(&snapshot);
        let records: Vec<u8> = ["one", "two"].iter().flat_map(|text| pair.records(text.as_bytes())).collect();
        for first in 0..=records.len() {
            for second in first..=records.len() {
                let mut session = restored(&snapshot);
                session.receive(&records[..first]).unwrap();
                let mut session = restored(&stored(session));
                session.receive(&records[first..second]).unwrap();
                let mut session = restored(&stored(session));
                session.receive(&records[second..]).unwrap();
                assert_eq!(read(&mut session), b"onetwo", "{first} {second}");
            }
        }
    }
}

#[test]
fn bytes_that_were_not_read_or_sent_cross() {
    for suite in versions() {
        for is_resumed in [false, true] {
            let mut pair = Pair::open(suite, Side::Client);
            if is_resumed {
                pair = pair.cross();
            }
            let records = pair.records(b"unread");
            pair.session.receive(&records).unwrap();
            assert_eq!(pair.session.write(b"unsent").unwrap(), 6);
            let mut pair = pair.cross();
            assert!(pair.session.has_data());
            assert_eq!(read(&mut pair.session), b"unread");
            pair.pass_to_peer().unwrap();
            assert_eq!(pair.peer_reads(), b"unsent");
            pair.talk(b"on");
        }
    }
}

/// Session tickets that arrive after the move to another process are ignored.
#[test]
fn tickets_are_no_obstacle() {
    let [suite, _] = versions();
    let options = Options { tickets: 4, ..Options::new(suite, Side::Client) };
    let mut pair = Pair::before_handshake(options);
    while pair.peer.is_handshaking() {
        pair.pass_to_peer().unwrap();
        if pair.peer.is_handshaking() {
            let bytes = pair.receive_from_peer();
            pair.session.receive(&bytes).unwrap();
        }
    }
    let tickets = pair.receive_from_peer();
    assert!(tickets.len() > 300, "{}", tickets.len());
    let mut pair = pair.cross();
    for byte in tickets {
        pair.session.receive(&[byte]).unwrap();
    }
    pair.talk(b"hello");
}

#[test]
fn only_an_open_connection_of_a_configuration_that_allows_it_crosses() {
    for suite in versions() {
        let options = Options::new(suite, Side::Client);
        let refused = Pair::with(Options { allows_extraction: false, ..options });
        assert!(!refused.session.can_cross());
        assert!(refused.session.into_snapshot().is_err());
        assert!(!Pair::before_handshake(options).session.can_cross());
        for is_resumed in [false, true] {
            let mut pair = Pair::open(suite, Side::Client);
            if is_resumed {
                pair = pair.cross();
            }
            pair.session.close();
            assert!(!pair.session.can_cross());
            assert!(pair.session.write(b"more").is_err());
        }
    }
}

#[test]
fn keys_and_data_are_never_printed() {
    let mut pair = Pair::open(versions()[0], Side::Client);
    let records = pair.records(b"AAAA");
    pair.session.receive(&records).unwrap();
    let session = format!("{:?}", pair.session);
    let snapshot = format!("{:?}", pair.session.into_snapshot().unwrap());
    for text in [session, snapshot] {
        assert!(!text.contains("65, 65") && !text.contains("AAAA"), "{text}");
    }
}
