//! Bodies of the fuzz targets, kept here so that they are compiled with the code that they test.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_agent::limits::REORDER_MOST;

use crate::codec::PayloadCodec;
use crate::codec::opus::OpusPreferences;
use crate::counters::EndCounters;
use crate::limits::JITTER_PACKETS;
use crate::rtcp::ClockEpoch;
use crate::rtp::{JitterBuffer, PacketBuf, RtpHeader};
use crate::session::Session;
use crate::spec::{EndId, EndSpec, MediaCommand, MediaId, PlayerSound, RemoteSpec, WireSpec};
use crate::srtp::{SrtpInbound, SrtpKey, SrtpOutbound, Suite};
use crate::transcode::{EventsSpec, TranscodeSpec, Transcoder};

/// Feeds any datagram to the RTP and RTCP sockets of a wired end, and to the RTP and RTCP parsers.
pub fn rtp_packet(data: &[u8]) {
    let _ = (RtpHeader::parse(data), crate::rtcp::classify(data), crate::rtcp::is_well_formed(data));
    #[expect(clippy::disallowed_methods, reason = "a fuzz target begins somewhere in time")]
    let now = Instant::now();
    let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
    let mut session = Session::new(MediaId(0), 0);
    for end in [EndId(0), EndId(1)] {
        let spec = EndSpec { bind: source, counters: Arc::new(EndCounters::default()) };
        session.handle_input(now, MediaCommand::AddEnd { end, spec });
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
        session.handle_input(now, MediaCommand::SetRemote { end, remote });
    }
    let wire = WireSpec {
        payloads: (0..128).map(|payload| (payload, payload)).collect(),
        clocks: Vec::new(),
        ..WireSpec::default()
    };
    session.handle_input(now, MediaCommand::Wire { from: EndId(0), to: EndId(1), wire });
    let mut packet = PacketBuf::new();
    for rtcp in [false, true] {
        let len = fill(&mut packet, data);
        if let Some(transmit) = session.handle_packet(now, EndId(0), rtcp, source, &mut packet) {
            assert_eq!((transmit.via, transmit.rtcp, packet.data().len()), (EndId(1), rtcp, len));
        }
    }
}

/// Feeds any stream to a transcoder between any two codecs. Output packets must be numbered in order and bounded in
/// number.
///
/// # Panics
///
/// Panics if the output breaks one of these rules.
pub fn transcode(data: &[u8]) {
    #[expect(clippy::disallowed_methods, reason = "a fuzz target begins somewhere in time")]
    let mut now = Instant::now();
    let Some((&[pair, packet_ms], mut rest)) = data.split_first_chunk::<2>() else { return };
    let codings = [
        PayloadCodec::Pcmu,
        PayloadCodec::Pcma,
        PayloadCodec::G722,
        PayloadCodec::Opus(OpusPreferences { dtx: pair & 0x80 != 0, ..OpusPreferences::default() }),
    ];
    let (Some(from), Some(to)) = (codings.get(usize::from(pair & 3)), codings.get(usize::from(pair >> 2 & 3))) else {
        return;
    };
    let events = vec![EventsSpec { from: (101, 8000), to: (96, to.clock_hz()) }];
    let noise = Some((13, (pair & 0x40 != 0).then_some(13)));
    let spec = TranscodeSpec { from: vec![(97, *from)], to: (98, *to), packet_ms, events, noise };
    let Some(mut transcoder) = Transcoder::new(spec, 1, (7, 1, 0)) else { return };
    let (mut sequence, mut timestamp, mut last) = (0_u16, 0_u32, 0_u16);
    let mut packet = PacketBuf::new();
    while let Some((&[kind, ahead, frames, len], more)) = rest.split_first_chunk::<4>() {
        let (payload, more) = more.split_at(usize::from(len).min(more.len()));
        rest = more;
        now += Duration::from_millis(u64::from(kind >> 3));
        sequence = sequence.wrapping_add(u16::from(ahead)).wrapping_sub(2);
        timestamp = timestamp.wrapping_add(u32::from(frames) * 80);
        let payload_type = match kind & 7 {
            0 => 101,
            1 => 13,
            _ => 97,
        };
        let ssrc = u32::from(kind == 0xff);
        let rtp = RtpHeader { marker: false, payload_type, sequence, timestamp, ssrc, payload: 0..0 };
        let _ = transcoder.push(now, &rtp, payload);
        let mut made = 0;
        while let Some(rtp) = transcoder.poll(&mut packet) {
            made += 1;
            assert!((1..0x8000).contains(&rtp.sequence.wrapping_sub(last)), "numbers grow");
            last = rtp.sequence;
        }
        // At most the partial packet, a concealed loss and the longest packet, in packets of 10 ms, and the payloads
        // that pass along with them.
        assert!(made <= 31, "{made}");
    }
}

/// Feeds any RTCP to an end that plays a tone. The RTCP must not be forwarded; the edge's reports must stay
/// well-formed and bounded.
pub fn rtcp_packet(data: &[u8]) {
    #[expect(clippy::disallowed_methods, reason = "a fuzz target begins somewhere in time")]
    let now = Instant::now();
    let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
    let (end, player) = (EndId(0), EndId(1));
    let mut session = Session::new(MediaId(0), 0);
    session.date_by(ClockEpoch::new(now, Duration::from_secs(1)));
    let spec = EndSpec { bind: source, counters: Arc::new(EndCounters::default()) };
    session.handle_input(now, MediaCommand::AddEnd { end, spec });
    let remote = RemoteSpec {
        rtp: Some(source),
        rtcp: Some(source),
        expected: vec![source.ip()],
        may_receive: true,
        ..RemoteSpec::default()
    };
    session.handle_input(now, MediaCommand::SetRemote { end, remote });
    session.handle_input(now, MediaCommand::AddPlayer { end: player, sound: PlayerSound::Ringback });
    let wire = WireSpec { payloads: vec![(0, 0)], ..WireSpec::default() };
    session.handle_input(now, MediaCommand::Wire { from: player, to: end, wire });
    let mut packet = PacketBuf::new();
    let mut reports = 0;
    for second in 0..30 {
        let now = now + Duration::from_secs(second);
        session.handle_timeout(now);
        while let Some(transmit) = session.poll_packet(&mut packet) {
            let bytes = packet.data();
            assert!(!transmit.rtcp || crate::rtcp::is_well_formed(bytes) && bytes.len() <= 124, "{bytes:?}");
            reports += u32::from(transmit.rtcp);
        }
        fill(&mut packet, data);
        assert_eq!(session.handle_packet(now, end, true, source, &mut packet), None);
    }
    assert!(reports >= 2, "{reports}");
}

/// Feeds any stream to a jitter buffer. Each accepted packet must leave once, and in time.
///
/// # Panics
///
/// Panics if a packet leaves twice, never or too late.
pub fn jitter(data: &[u8]) {
    #[expect(clippy::disallowed_methods, reason = "a fuzz target begins somewhere in time")]
    let mut now = Instant::now();
    let mut buffer = JitterBuffer::new();
    let (mut inside, mut left) = (HashMap::<u32, Instant>::new(), Vec::<u32>::new());
    let (mut sequence, mut rest) = (0_u16, data);
    for index in 0_u32.. {
        let Some((&[wait_ms, kind, ahead, len], more)) = rest.split_first_chunk::<4>() else { break };
        rest = more;
        let until = now + Duration::from_millis(u64::from(wait_ms));
        while let Some(over) = buffer.poll_timeout().filter(|over| *over < until) {
            now = now.max(over);
            buffer.handle_timeout(now, |rtp, _| left.push(rtp.timestamp));
            leave(now, &mut inside, &mut left);
        }
        now = until;
        sequence = match kind & 7 {
            0 => u16::from_be_bytes([ahead, len]),
            _ => sequence.wrapping_add(u16::from(ahead & 63)).wrapping_sub(16),
        };
        let payload = vec![0; usize::from(len) * usize::from(kind >> 4)];
        let ssrc = u32::from(kind >> 3 & 1);
        // The jitter buffer ignores timestamps.
        let rtp = RtpHeader { marker: false, payload_type: 0, sequence, timestamp: index, ssrc, payload: 0..0 };
        if buffer.add_packet(now, &rtp, &payload, |rtp, _| left.push(rtp.timestamp)).is_ok() {
            inside.insert(index, now);
        }
        leave(now, &mut inside, &mut left);
        assert!(inside.len() <= JITTER_PACKETS && buffer.waits() != inside.is_empty());
    }
}

/// Checks that the released packets were queued, and for no longer than allowed.
fn leave(now: Instant, inside: &mut HashMap<u32, Instant>, left: &mut Vec<u32>) {
    for index in left.drain(..) {
        assert!(inside.remove(&index).is_some_and(|came| now <= came + REORDER_MOST), "{index}");
    }
}

/// Feeds any datagram to SRTP of each suite. It must not be accepted or change the state, and a packet that the edge
/// encrypts must decrypt to the original.
pub fn srtp_packet(data: &[u8]) {
    for suite in Suite::ALL {
        let material = [7; 46];
        let Some(key) = material.get(..suite.key_len() + suite.salt_len()) else { continue };
        let Ok(key) = SrtpKey::new(suite, key, data.first().map(std::slice::from_ref)) else { continue };
        let (mut inbound, mut outbound) = (SrtpInbound::new(&key), SrtpOutbound::new(&key));
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

/// Copies a datagram into the buffer, truncated as on reception; returns its length.
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
        fn any_stream_to_be_converted(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            super::transcode(&bytes);
        }

        #[test]
        fn any_stream_to_be_put_in_order(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            super::jitter(&bytes);
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
        fn anything_like_rtcp(packets in proptest::collection::vec(
            (0u8..32, 198u8..210, proptest::collection::vec(any::<u32>(), 0..20)),
            1..4,
        )) {
            let mut bytes = Vec::new();
            for (count, kind, words) in packets {
                bytes.extend([0x80 | count, kind, 0, words.len() as u8]);
                bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
            }
            super::rtcp_packet(&bytes);
            super::rtp_packet(&bytes);
        }

        #[test]
        fn anything_like_rtp(bytes in proptest::collection::vec(any::<u8>(), 2..60)) {
            let mut bytes = bytes;
            bytes[0] = bytes[0] & 0x3f | 0x80;
            super::rtp_packet(&bytes);
        }
    }
}
