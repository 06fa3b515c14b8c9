//! Bodies of the fuzz targets: they live here so that a change of the code they drive cannot break them unseen.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use crate::counters::EndCounters;
use crate::packet::PacketBuf;
use crate::session::Session;
use crate::spec::{Command, EndId, EndSpec, MediaId, RemoteSpec, WireSpec};
use crate::srtp::{Inbound, Outbound, SrtpKey, Suite};

/// Any datagram on both sockets of an end that is wired to another, and on the views below.
pub fn rtp_packet(data: &[u8]) {
    let _ = (crate::rtp::Rtp::parse(data), crate::rtcp::classify(data), crate::rtcp::is_well_formed(data));
    #[expect(clippy::disallowed_methods, reason = "a fuzz target begins somewhere in time")]
    let now = Instant::now();
    let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
    let mut session = Session::new(MediaId(0), 0);
    for end in [EndId(0), EndId(1)] {
        let spec = EndSpec { bind: source, counters: Arc::new(EndCounters::default()) };
        session.handle_input(now, Command::AddEnd { end, spec });
        let remote = RemoteSpec {
            rtp: Some(source),
            rtcp: Some(source),
            expected: vec![source.ip()],
            expected_networks: Vec::new(),
            may_send: true,
            may_receive: true,
            relatch: true,
            watch_idle: true,
            ..RemoteSpec::default()
        };
        session.handle_input(now, Command::SetRemote { end, remote });
    }
    let wire = WireSpec {
        payloads: (0..128).map(|payload| (payload, payload)).collect(),
        clocks: Vec::new(),
        ..WireSpec::default()
    };
    session.handle_input(now, Command::Wire { from: EndId(0), to: EndId(1), wire });
    let mut packet = PacketBuf::new();
    for rtcp in [false, true] {
        let len = fill(&mut packet, data);
        if let Some(transmit) = session.handle_packet(now, EndId(0), rtcp, source, &mut packet) {
            assert_eq!((transmit.via, transmit.rtcp, packet.data().len()), (EndId(1), rtcp, len));
        }
    }
}

/// Any datagram from a far side of which SRTP is expected, for each suite: never taken, and never changes anything. What
/// we encrypt of it comes back.
pub fn srtp_packet(data: &[u8]) {
    for suite in Suite::ALL {
        let material = [7; 46];
        let Some(key) = material.get(..suite.key_len() + suite.salt_len()) else { continue };
        let Ok(key) = SrtpKey::new(suite, key, data.first().map(std::slice::from_ref)) else { continue };
        let (mut inbound, mut outbound) = (Inbound::new(&key), Outbound::new(&key));
        let mut packet = PacketBuf::new();
        for again in [false, true] {
            fill(&mut packet, data);
            assert!(inbound.unprotect_rtp(&mut packet, again).is_err(), "a forgery is taken");
            fill(&mut packet, data);
            assert!(inbound.unprotect_rtcp(&mut packet, again).is_err(), "a forgery is taken");
        }
        assert!(inbound.snapshot().is_empty(), "a forgery leaves a trace");
        let len = fill(&mut packet, data);
        if outbound.protect_rtp(&mut packet).is_ok() {
            assert_eq!(inbound.unprotect_rtp(&mut packet, false), Ok(()));
            assert_eq!(Some(packet.data()), data.get(..len));
        }
        fill(&mut packet, data);
        if outbound.protect_rtcp(&mut packet).is_ok() {
            assert_eq!(inbound.unprotect_rtcp(&mut packet, false), Ok(()));
            assert_eq!(Some(packet.data()), data.get(..len));
        }
    }
}

/// Puts a datagram into the buffer, as much of it as is received; returns its length.
fn fill(packet: &mut PacketBuf, data: &[u8]) -> usize {
    let len = data.len().min(packet.receive_area().len());
    if let (Some(area), Some(data)) = (packet.receive_area().get_mut(..len), data.get(..len)) {
        area.copy_from_slice(data);
    }
    packet.set_len(len);
    len
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_datagram(bytes in proptest::collection::vec(any::<u8>(), 0..2100)) {
            super::rtp_packet(&bytes);
        }

        #[test]
        fn any_srtp_datagram(bytes in proptest::collection::vec(any::<u8>(), 0..2100), like in any::<bool>()) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut().filter(|_| like) {
                *first = *first & 0x3f | 0x80;
            }
            super::srtp_packet(&bytes);
        }

        #[test]
        fn anything_like_rtp(bytes in proptest::collection::vec(any::<u8>(), 2..60)) {
            let mut bytes = bytes;
            bytes[0] = bytes[0] & 0x3f | 0x80;
            super::rtp_packet(&bytes);
        }
    }
}
