//! Wires from RTP ends to the ends that receive their media, compiled for the packet path.

use std::time::Instant;

use crate::codec::PayloadCodec;
use crate::codec::g711::{CLOCK_HZ, ULAW_SILENCE, decode_alaw, decode_ulaw, ulaw_to_alaw};
use crate::dtmf::Detector;
use crate::rtp::{DEFAULT_CLOCK_HZ, PACKET, PacketBuf, RtpHeader};
use crate::spec::{EndId, WireSpec};
use crate::transcode::Transcoder;

const NOT_AGREED: u8 = 0xff;
/// Number of payload type pairs that fit into [`PayloadMap::Few`].
const FEW: usize = 8;

/// Mapping of payload types from source to sink.
#[derive(Debug)]
enum PayloadMap {
    /// Pairs of source and sink, padded with [`NOT_AGREED`].
    Few([(u8, u8); FEW]),
    /// Table by the source's payload type: the sink's payload type, or [`NOT_AGREED`].
    Many(Box<[u8; 128]>),
}

impl PayloadMap {
    /// Builds the mapping; the last entry for a payload type wins. Payload types above 127 are ignored.
    fn new(agreed: impl Iterator<Item = (u8, u8)>) -> PayloadMap {
        let mut table = [NOT_AGREED; 128];
        for (from, to) in agreed.filter(|(_, to)| *to < 128) {
            if let Some(entry) = table.get_mut(usize::from(from)) {
                *entry = to;
            }
        }
        let pairs = || (0..).zip(table).filter(|(_, to)| *to != NOT_AGREED);
        if pairs().count() > FEW {
            return PayloadMap::Many(Box::new(table));
        }
        let mut few = [(NOT_AGREED, NOT_AGREED); FEW];
        few.iter_mut().zip(pairs()).for_each(|(place, pair)| *place = pair);
        PayloadMap::Few(few)
    }

    fn get(&self, from: u8) -> Option<u8> {
        let to = match self {
            PayloadMap::Few(pairs) => pairs.iter().find(|pair| pair.0 == from)?.1,
            PayloadMap::Many(table) => *table.get(usize::from(from))?,
        };
        (to != NOT_AGREED).then_some(to)
    }
}

/// Wire to one end, with its specification in a form for the packet path.
#[derive(Debug)]
pub(super) struct CompiledWire {
    to: EndId,
    spec: WireSpec,
    /// Fields used for each packet are stored here and not read from `spec`, because each further location is another
    /// cache miss.
    payloads: PayloadMap,
    /// Clock rates by the source's payload type, in Hz, 0 for [`DEFAULT_CLOCK_HZ`]; `None` if all have the default.
    clocks: Option<Box<[u32; 128]>>,
    /// Transcoder; `None` until a packet needs one.
    transcoder: Option<Box<Transcoder>>,
    /// Detects and mutes DTMF tones in G.711; the transcoder handles audio of other codecs.
    detector: Option<Box<Detector>>,
}

/// Returns the clock rates by payload type, in Hz, 0 for [`DEFAULT_CLOCK_HZ`]; `None` if all have the default.
fn clocks_of(named: &[(u8, u32)]) -> Option<Box<[u32; 128]>> {
    if named.iter().all(|(_, hz)| [0, DEFAULT_CLOCK_HZ].contains(hz)) {
        return None;
    }
    let mut clocks = Box::new([0; 128]);
    // The first entry for a payload type wins.
    for (from, hz) in named.iter().rev().filter(|(_, hz)| *hz > 0) {
        if let Some(entry) = clocks.get_mut(usize::from(*from)) {
            *entry = *hz;
        }
    }
    Some(clocks)
}

impl CompiledWire {
    /// Creates a wire to the end `to`; payload types above 127 are ignored.
    pub(super) fn new(to: EndId, spec: WireSpec) -> CompiledWire {
        // Telephone-events that need inspection are not in the map, so that audio packets are not compared with their
        // type.
        let payloads = PayloadMap::new(spec.payloads.iter().copied().filter(|(from, _)| spec.keys != Some(*from)));
        let clocks = clocks_of(&spec.clocks);
        CompiledWire { to, spec, payloads, clocks, transcoder: None, detector: None }
    }

    /// Sets the transcoder, if any.
    pub(super) fn converting(self, transcoder: Option<Box<Transcoder>>) -> CompiledWire {
        CompiledWire { transcoder, ..self }
    }

    /// Adds a DTMF detector if the specification says that tones in the source's G.711 audio are digits.
    pub(super) fn watching(mut self, now: Instant) -> CompiledWire {
        if self.spec.listens_for_tones() {
            // G.711 tones are removed before any listener gets the packet, other tones after decoding.
            let is_g711 = match &self.transcoder {
                Some(transcoder) => transcoder.spec().from.iter().all(|(_, coding)| coding.is_g711()),
                None => self.digits_only().map_or(self.spec.coding, |(_, coding)| coding).is_g711(),
            };
            match &mut self.transcoder {
                _ if is_g711 => self.detector = Some(Box::new(Detector::new(now, DEFAULT_CLOCK_HZ))),
                Some(transcoder) => transcoder.watch_tones(now, true),
                None => {}
            }
        }
        self
    }

    /// Returns the id of the sink.
    pub(super) fn to(&self) -> EndId {
        self.to
    }

    /// Returns whether the wire transcodes.
    pub(super) fn is_converting(&self) -> bool {
        self.transcoder.is_some()
    }

    /// Returns whether the wire transcodes packets of a payload type.
    pub(super) fn converts(&self, number: u8) -> bool {
        self.transcoder.as_ref().is_some_and(|transcoder| transcoder.takes(number))
    }

    /// Returns whether the wire converts telephone-events of a payload type.
    pub(super) fn converts_event(&self, number: u8) -> bool {
        let spec = self.transcoder.as_ref().map(|transcoder| transcoder.spec());
        spec.is_some_and(|spec| spec.events.iter().any(|events| events.from.0 == number))
    }

    /// Returns the transcoder; `None` until a packet needs one.
    pub(super) fn transcoder_mut(&mut self) -> Option<&mut Transcoder> {
        self.transcoder.as_deref_mut()
    }

    /// Sets the transcoder of a wire that has passed all audio unchanged until now; returns whether the wire transcodes
    /// from now on.
    pub(super) fn begin_converting(&mut self, transcoder: Option<Box<Transcoder>>) -> bool {
        self.transcoder = transcoder;
        self.transcoder.is_some()
    }

    /// Returns the transcoder of a removed wire.
    pub(super) fn into_transcoder(self) -> Option<Box<Transcoder>> {
        self.transcoder
    }

    /// Mutes DTMF tones in G.711 audio before any listener gets it.
    pub(super) fn mute_tones(&mut self, now: Instant, rtp: &RtpHeader, packet: &mut PacketBuf) {
        if self.detector.is_none() {
            return;
        }
        let Some((coding, detector)) = self.coding(rtp.payload_type).zip(self.detector.as_deref_mut()) else { return };
        let Some(payload) = packet.data_mut().get_mut(rtp.payload.clone()) else { return };
        let mut samples = [0; PACKET];
        let (decode, silence): (fn(u8) -> i16, u8) = match coding {
            PayloadCodec::Pcmu => (decode_ulaw, ULAW_SILENCE),
            PayloadCodec::Pcma => (decode_alaw, ulaw_to_alaw(ULAW_SILENCE)),
            PayloadCodec::G722 | PayloadCodec::Opus(_) | PayloadCodec::Linear(_) => return,
        };
        samples.iter_mut().zip(&*payload).for_each(|(to, code)| *to = decode(*code));
        if detector.hear(now, rtp, CLOCK_HZ, samples.get(..payload.len()).unwrap_or_default()) {
            payload.fill(silence);
        }
    }

    /// Returns the sink's payload type for a telephone-event payload type if its packets are forwarded and also
    /// reported to signalling; `None` for other payload types.
    pub(super) fn passed(&self, number: u8) -> Option<u8> {
        let pair = |number: u8| self.spec.payloads.iter().find(|(from, _)| *from == number);
        self.spec.keys.filter(|keys| *keys == number).and_then(pair).map(|(_, to)| *to)
    }

    /// Returns payload type and codec of the audio of a source from which only digits are wanted.
    pub(super) fn digits_only(&self) -> Option<(u8, PayloadCodec)> {
        self.spec.parted.as_ref().and_then(|parted| parted.digits_only)
    }

    /// Returns the codec of a payload type; `None` if it is not audio.
    fn coding(&self, number: u8) -> Option<PayloadCodec> {
        if let Some((audio, coding)) = self.digits_only() {
            return (audio == number).then_some(coding);
        }
        let converted = self.spec.transcode.iter().flat_map(|spec| &spec.from).find(|(from, _)| *from == number);
        converted.map(|(_, coding)| *coding).or_else(|| self.payload(number).map(|_| self.spec.coding))
    }

    /// Returns the DTMF detector for the wire's audio, if tones are digits.
    pub(super) fn watch_mut(&mut self) -> Option<&mut Detector> {
        let converting = self.transcoder.as_mut().and_then(|transcoder| transcoder.watch_mut());
        converting.or(self.detector.as_deref_mut())
    }

    /// Records that a packet is deliberately removed from its stream, so that the transcoder does not count it as lost.
    pub(super) fn pass_over(&mut self, rtp: &RtpHeader) {
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.pass_over(rtp);
        }
    }

    /// Returns the time at which the current DTMF tone counts as ended unless more audio arrives; `None` without a
    /// tone.
    pub(super) fn tone_lost_at(&self) -> Option<Instant> {
        let converting = self.transcoder.as_ref().and_then(|transcoder| transcoder.watch());
        converting.or(self.detector.as_deref())?.lost_at()
    }

    /// Returns the specification from which the wire was created.
    pub(super) fn spec(&self) -> &WireSpec {
        &self.spec
    }

    /// Returns whether the wire uses a payload type of the source: its packets are forwarded, transcoded, or searched
    /// for digits.
    pub(super) fn knows(&self, number: u8) -> bool {
        self.converts(number) || self.coding(number).is_some() || self.spec.keys == Some(number)
    }

    /// Returns the sink's payload type for one of the source; `None` if it is not negotiated.
    pub(super) fn payload(&self, from: u8) -> Option<u8> {
        self.payloads.get(from)
    }

    /// Returns the clock rate of a payload type of the source, in Hz.
    pub(super) fn clock_hz(&self, from: u8) -> u32 {
        let named = self.clocks.as_ref().and_then(|clocks| clocks.get(usize::from(from)).copied());
        named.filter(|hz| *hz > 0).unwrap_or(DEFAULT_CLOCK_HZ)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_maps_what_was_agreed_and_nothing_else() {
        let spec = WireSpec {
            payloads: vec![(0, 0), (101, 96), (200, 1), (5, 200)],
            clocks: vec![(101, 48_000), (0, 8000), (101, 16_000)],
            ..WireSpec::default()
        };
        let wire = CompiledWire::new(EndId(1), spec);
        let mapped: Vec<(u8, u8)> = (0..=255).filter_map(|pt| Some((pt, wire.payload(pt)?))).collect();
        assert_eq!(mapped, [(0, 0), (101, 96)]);
        assert_eq!((wire.clock_hz(0), wire.clock_hz(101)), (8000, 48_000));
    }

    #[test]
    fn few_and_many_payload_numbers_are_mapped_alike() {
        for count in [0, 1, FEW as u8, FEW as u8 + 1, 128] {
            let payloads =
                PayloadMap::new((0..count).map(|from| (from, 1)).chain((0..count).map(|from| (from, 127 - from))));
            let mapped: Vec<u8> = (0..=255).filter_map(|from| payloads.get(from)).collect();
            assert_eq!(mapped, (0..count).map(|from| 127 - from).collect::<Vec<u8>>());
            assert_eq!(matches!(payloads, PayloadMap::Few(_)), usize::from(count) <= FEW);
        }
    }
}
