//! Copies of an end's packets as plain RTP, for listeners of raw forks: one stream for each direction, with sequence
//! numbers and timestamps that continue when the audio's source changes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_agent::{TrackName, TrackSet};

use crate::counters::EndCounters;
use crate::rtp::{OutgoingStream, PACKET};
use crate::spec::{EndId, RawSpec};

use super::listener::{EndListener, TrackPacket};

/// Outgoing stream of one direction.
#[derive(Debug)]
struct CopyStream {
    ssrc: u32,
    outgoing: OutgoingStream,
}

impl CopyStream {
    fn new(ssrc: u32) -> CopyStream {
        CopyStream { ssrc, outgoing: OutgoingStream::default() }
    }
}

/// Raw fork that receives copies of an end's packets.
#[derive(Debug)]
struct CopyListener {
    id: EndId,
    tracks: TrackSet,
    counters: Arc<EndCounters>,
    /// Destination of the copies; `None` until it is known.
    to: Option<SocketAddr>,
    inbound: CopyStream,
    outbound: CopyStream,
}

/// Raw listeners of a session, and the copies queued for the I/O layer to send.
#[derive(Debug, Default)]
pub(crate) struct CopyListeners {
    ends: Vec<CopyListener>,
    /// Bytes of the packets in `waiting`, concatenated.
    bytes: Vec<u8>,
    waiting: Vec<(SocketAddr, usize)>,
}

impl CopyListeners {
    /// Adds a listener; its address is set by [`Self::set_destination`].
    pub(crate) fn add(&mut self, id: EndId, spec: RawSpec, tracks: TrackSet, counters: Arc<EndCounters>) {
        let (inbound, outbound) = (CopyStream::new(spec.inbound), CopyStream::new(spec.outbound));
        self.ends.push(CopyListener { id, tracks, counters, to: None, inbound, outbound });
        // Reserved up front so that no copy allocates: a packet is copied once on its way in and once on its way out.
        self.bytes.reserve(2 * PACKET * self.ends.len());
        self.waiting.reserve(2 * self.ends.len());
    }

    /// Removes a listener from the session.
    pub(crate) fn remove(&mut self, id: EndId) {
        self.ends.retain(|end| end.id != id);
    }

    /// Iterates over the ids of the listeners.
    pub(crate) fn names(&self) -> impl Iterator<Item = EndId> {
        self.ends.iter().map(|end| end.id)
    }

    /// Returns whether an end is a raw listener.
    pub(crate) fn has(&self, id: EndId) -> bool {
        self.names().any(|name| name == id)
    }

    /// Sets the destination of a listener's copies; returns whether the listener exists.
    pub(crate) fn set_destination(&mut self, id: EndId, to: SocketAddr) -> bool {
        let end = self.ends.iter_mut().find(|end| end.id == id);
        end.map(|end| end.to = Some(to)).is_some()
    }

    /// Queues a copy of a packet for each raw fork among `listeners`.
    pub(crate) fn hear_all(&mut self, now: Instant, listeners: &[EndListener], packet: &TrackPacket<'_>) {
        if self.ends.is_empty() {
            return;
        }
        let hears =
            |end: &CopyListener| end.tracks.has(packet.track) && listeners.iter().any(|listener| listener.is(end.id));
        for end in self.ends.iter_mut().filter(|end| hears(end)) {
            let Some(to) = end.to else { continue };
            let stream = match packet.track {
                TrackName::Inbound => &mut end.inbound,
                TrackName::Outbound => &mut end.outbound,
            };
            let mut copy = packet.rtp.clone();
            // Each source of the end counts as another feeder; the copies keep their own SSRC.
            stream.outgoing.pass(now, packet.rtp.ssrc, packet.clock_hz, &mut copy, |_, _| true);
            copy.ssrc = stream.ssrc;
            let from = self.bytes.len();
            self.bytes.extend_from_slice(packet.bytes);
            copy.write(self.bytes.get_mut(from..).unwrap_or_default());
            self.waiting.push((to, packet.bytes.len()));
            end.counters.sent(packet.bytes.len());
        }
    }

    /// Passes the queued copies to `send`, in order, and removes them.
    pub(crate) fn drain(&mut self, mut send: impl FnMut(SocketAddr, &[u8])) {
        let mut from = 0;
        for (to, len) in self.waiting.drain(..) {
            send(to, self.bytes.get(from..from + len).unwrap_or_default());
            from += len;
        }
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use std::time::Duration;

    use super::*;
    use crate::rtp::RtpHeader;
    use crate::spec::TapSpec;

    fn packet(ssrc: u32, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80, 18];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend(ssrc.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    struct Copied {
        to: SocketAddr,
        ssrc: u32,
        sequence: u16,
        timestamp: u32,
        payload: Vec<u8>,
    }

    fn drained(raws: &mut CopyListeners) -> Vec<Copied> {
        let mut all = Vec::new();
        raws.drain(|to, bytes| {
            let rtp = RtpHeader::parse(bytes).unwrap();
            let payload = bytes[rtp.payload.clone()].to_vec();
            all.push(Copied { to, ssrc: rtp.ssrc, sequence: rtp.sequence, timestamp: rtp.timestamp, payload });
        });
        all
    }

    fn hear(raws: &mut CopyListeners, now: Instant, track: TrackName, bytes: &[u8]) {
        let listener = EndListener::new(EndId(5), TapSpec::default());
        let packet = TrackPacket { track, rtp: &RtpHeader::parse(bytes).unwrap(), bytes, clock_hz: 8000 };
        raws.hear_all(now, &[listener], &packet);
    }

    #[test]
    fn one_source_for_each_direction_whoever_speaks() {
        let (mut now, mut raws) = (Instant::now(), CopyListeners::default());
        let to: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let counters = Arc::new(EndCounters::default());
        raws.add(EndId(5), RawSpec { inbound: 100, outbound: 200 }, TrackSet::Both, counters.clone());
        // Nothing is sent before the address is known.
        hear(&mut raws, now, TrackName::Inbound, &packet(1, 9, 9, b"early"));
        assert!(drained(&mut raws).is_empty());
        assert!(raws.set_destination(EndId(5), to) && !raws.set_destination(EndId(6), to));
        hear(&mut raws, now, TrackName::Inbound, &packet(1, 10, 1600, b"a"));
        hear(&mut raws, now, TrackName::Outbound, &packet(2, 700, 9000, b"b"));
        now += Duration::from_millis(20);
        // Another source of the same direction: a new stream of the caller, or another target.
        hear(&mut raws, now, TrackName::Inbound, &packet(77, 4000, 50_000, b"c"));
        now += Duration::from_millis(20);
        hear(&mut raws, now, TrackName::Inbound, &packet(77, 4001, 50_160, b"d"));
        let seen: Vec<_> = drained(&mut raws);
        assert!(seen.iter().all(|copy| copy.to == to));
        let numbers: Vec<_> = seen.iter().map(|copy| (copy.ssrc, copy.sequence, copy.timestamp)).collect();
        assert_eq!(numbers, [(100, 10, 1600), (200, 700, 9000), (100, 11, 1760), (100, 12, 1920)]);
        let payloads: Vec<&[u8]> = seen.iter().map(|copy| copy.payload.as_slice()).collect();
        assert_eq!(payloads, [b"a", b"b", b"c", b"d"]);
        assert!(drained(&mut raws).is_empty());
        assert_eq!((counters.tx_packets.get(), counters.tx_bytes.get()), (4, 4 * 13), "what leaves is counted");
    }

    #[test]
    fn a_listener_to_one_side_hears_that_alone() {
        let (now, mut raws) = (Instant::now(), CopyListeners::default());
        for (set, heard) in [(TrackSet::Inbound, b"a"), (TrackSet::Outbound, b"b")] {
            raws.add(EndId(5), RawSpec { inbound: 1, outbound: 2 }, set, Arc::default());
            raws.set_destination(EndId(5), "127.0.0.1:4000".parse().unwrap());
            hear(&mut raws, now, TrackName::Inbound, &packet(1, 10, 1600, b"a"));
            hear(&mut raws, now, TrackName::Outbound, &packet(2, 10, 1600, b"b"));
            let payloads: Vec<_> = drained(&mut raws).into_iter().map(|copy| copy.payload).collect();
            assert_eq!(payloads, [heard]);
            raws.remove(EndId(5));
        }
    }

    #[test]
    fn only_who_is_tapped_hears() {
        let (now, mut raws) = (Instant::now(), CopyListeners::default());
        raws.add(EndId(6), RawSpec { inbound: 1, outbound: 2 }, TrackSet::Both, Arc::default());
        raws.set_destination(EndId(6), "127.0.0.1:4000".parse().unwrap());
        hear(&mut raws, now, TrackName::Inbound, &packet(1, 10, 1600, b"a"));
        assert!(drained(&mut raws).is_empty());
        assert!(raws.has(EndId(6)));
        raws.remove(EndId(6));
        assert!(!raws.has(EndId(6)));
    }
}
