//! Ends of connections: close_notify, alerts, faults.

use rustls::{AlertDescription, Error};

use crate::support::{Options, Pair, SIDES, Side, read, versions};

#[test]
fn the_peer_closes() {
    for suite in versions() {
        for side in SIDES {
            for is_resumed in [false, true] {
                let mut pair = Pair::open(suite, side);
                if is_resumed {
                    pair = pair.cross();
                }
                let mut records = pair.records(b"last");
                pair.peer.send_close_notify();
                records.extend(pair.receive_from_peer());
                records.extend(b"ignored");
                pair.session.receive(&records).unwrap();
                assert!(!pair.session.is_ended());
                assert_eq!(read(&mut pair.session), b"last");
                assert!(pair.session.is_ended() && !pair.session.can_cross());
                pair.session.receive(b"ignored").unwrap();
                pair.session.write(b"goodbye").unwrap();
                pair.session.close();
                pair.pass_to_peer().unwrap();
                assert_eq!(pair.peer_reads(), b"goodbye");
            }
        }
    }
}

#[test]
fn a_tampered_record_ends_the_connection_with_an_alert() {
    for suite in versions() {
        for is_resumed in [false, true] {
            let mut pair = Pair::open(suite, Side::Client);
            if is_resumed {
                pair = pair.cross();
            }
            let mut records = pair.records(b"hello");
            let last = records.len() - 1;
            records[last] ^= 1;
            assert_eq!(pair.session.receive(&records), Err(Error::DecryptError));
            assert_eq!(pair.session.receive(b""), Err(Error::DecryptError));
            assert!(pair.session.write(b"more").is_err() && !pair.session.can_cross());
            assert_eq!(pair.pass_to_peer(), Err(Error::AlertReceived(AlertDescription::BadRecordMac)));
            assert!(read(&mut pair.session).is_empty());
        }
    }
}

#[test]
fn a_record_is_accepted_once() {
    for suite in versions() {
        let mut pair = Pair::open(suite, Side::Server).cross();
        let records = pair.records(b"hello");
        pair.session.receive(&records).unwrap();
        assert_eq!(pair.session.receive(&records), Err(Error::DecryptError));
        assert_eq!(read(&mut pair.session), b"hello");
    }
}

#[test]
fn a_header_that_is_none_ends_the_connection() {
    for suite in versions() {
        for (header, alert) in [
            (&[0x47][..], AlertDescription::UnexpectedMessage),
            (&[23, 2], AlertDescription::ProtocolVersion),
            (&[23, 3, 3, 0xff, 0xff], AlertDescription::RecordOverflow),
        ] {
            let mut pair = Pair::open(suite, Side::Client).cross();
            pair.session.receive(header).unwrap_err();
            assert_eq!(pair.pass_to_peer(), Err(Error::AlertReceived(alert)), "{header:?}");
        }
    }
}

#[test]
fn records_without_protection_are_refused() {
    for suite in versions() {
        for kind in [20, 21, 22] {
            let mut pair = Pair::open(suite, Side::Client).cross();
            pair.session.receive(&[kind, 3, 3, 0, 2, 1, 0]).unwrap_err();
            assert!(!pair.session.can_cross());
            pair.pass_to_peer().unwrap_err();
        }
    }
}

#[test]
fn a_failed_handshake_sends_its_alert() {
    for suite in versions() {
        for side in SIDES {
            let mut pair = Pair::before_handshake(Options { is_trusted: false, ..Options::new(suite, side) });
            let fault = pair.transfer().unwrap_err();
            assert!(matches!(fault, Error::InvalidCertificate(_)), "{fault}");
            match side {
                Side::Client => assert!(matches!(pair.pass_to_peer(), Err(Error::AlertReceived(_)))),
                Side::Server => assert!(matches!(pair.session.receive(b""), Err(Error::AlertReceived(_)))),
            }
        }
    }
}
