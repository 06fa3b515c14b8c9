//! Decoder of audio other than G.711 for an agent: restores the packet order and decodes into packets of 20 ms on an 8
//! kHz clock.

use std::time::Instant;

use trunkgate_agent::AgentFormat;

use crate::codec::PayloadCodec;
use crate::codec::g711::CLOCK_HZ;
use crate::counters::DropReason;
use crate::rtp::{JitterBuffer, PacketBuf, RtpHeader};
use crate::transcode::{EventsSpec, TranscodeSpec, Transcoder};

/// Payload type of decoded audio in the decoder's output.
const AUDIO: u8 = 0;
const NO_AUDIO: u8 = 1;
const PACKET_MS: u8 = 20;
/// Payload type of comfort noise (RFC 3551 §6).
const COMFORT_NOISE: u8 = 13;

/// Decoder of one track, with its jitter buffer.
#[derive(Debug)]
pub(super) struct TrackDecoder {
    buffer: JitterBuffer,
    decoder: DecoderState,
}

#[derive(Debug)]
struct DecoderState {
    transcoder: Transcoder,
    packet: PacketBuf,
    /// Sequence number of the next decoded packet; continuous, also after a loss.
    sequence: u16,
    /// Reason why a packet that left the jitter buffer could not be decoded, until it is returned.
    spoilt: Option<DropReason>,
    /// Digits of tones that have begun, until they are taken; as many as the jitter buffer can release at once.
    digits: [Option<char>; 4],
}

/// Returns the transcoding of these payload types (`keys` is that of telephone-event) to an agent's format; `None` if
/// all of them are G.711.
pub(super) fn decoded(audio: &[(u8, PayloadCodec)], keys: Option<u8>, format: AgentFormat) -> Option<TranscodeSpec> {
    if audio.iter().all(|(_, coding)| coding.is_g711()) {
        return None;
    }
    let to = match format {
        AgentFormat::Mulaw8000 => PayloadCodec::Pcmu,
        AgentFormat::L16Rate8000 => PayloadCodec::Linear(CLOCK_HZ),
        AgentFormat::L16Rate16000 | AgentFormat::L16Rate24000 => PayloadCodec::Linear(crate::codec::g722::RATE_HZ),
    };
    // Only the order of events matters to a listener, not their duration.
    let events = keys.map(|number| EventsSpec { from: (number, CLOCK_HZ), to: (NO_AUDIO, CLOCK_HZ) });
    Some(TranscodeSpec {
        from: audio.to_vec(),
        to: (AUDIO, to),
        packet_ms: PACKET_MS,
        events: events.into_iter().collect(),
        noise: Some((COMFORT_NOISE, None)),
    })
}

impl TrackDecoder {
    /// Creates a decoder; `None` if `spec` names no codec that the edge decodes.
    pub(super) fn new(spec: TranscodeSpec) -> Option<Box<TrackDecoder>> {
        let transcoder = Transcoder::new(spec, 0, (0, 0, 0))?;
        let decoder =
            DecoderState { transcoder, packet: PacketBuf::new(), sequence: 0, spoilt: None, digits: [None; 4] };
        Some(Box::new(TrackDecoder { buffer: JitterBuffer::new(), decoder }))
    }

    /// Returns the specification that the decoder was created with.
    pub(super) fn spec(&self) -> &TranscodeSpec {
        self.decoder.transcoder.spec()
    }

    /// Returns whether the decoder handles a payload type.
    pub(super) fn takes(&self, number: u8) -> bool {
        self.decoder.transcoder.takes(number)
    }

    /// Turns in-band DTMF detection, which removes tones from the audio, on or off.
    pub(super) fn watch_tones(&mut self, now: Instant, wanted: bool) {
        self.decoder.transcoder.watch_tones(now, wanted);
    }

    /// Removes and returns the next digit detected at the beginning of its tone; `None` if there is none.
    pub(super) fn digit_begun(&mut self) -> Option<char> {
        self.decoder.digits.iter_mut().find_map(Option::take)
    }

    /// Queues a packet and passes every packet that is now due to `heard`: header, bytes, and the codec of its audio,
    /// if any.
    ///
    /// # Errors
    ///
    /// Returns the reason if this packet, or one that waited for it in the jitter buffer, is late, damaged, or exceeds
    /// the pace limit.
    pub(super) fn take(
        &mut self,
        now: Instant,
        rtp: &RtpHeader,
        bytes: &[u8],
        mut heard: impl FnMut(&RtpHeader, &[u8], Option<PayloadCodec>),
    ) -> Result<(), DropReason> {
        let payload = bytes.get(rtp.payload.clone()).unwrap_or_default();
        self.buffer.add_packet(now, rtp, payload, |rtp, payload| self.decoder.decode(now, rtp, payload, &mut heard))?;
        self.decoder.spoilt.take().map_or(Ok(()), Err)
    }

    /// Releases packets that have waited too long for an earlier one.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        mut heard: impl FnMut(&RtpHeader, &[u8], Option<PayloadCodec>),
    ) {
        self.buffer.handle_timeout(now, |rtp, payload| self.decoder.decode(now, rtp, payload, &mut heard));
    }

    /// Returns the time at which the next waiting packet is released.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.buffer.poll_timeout()
    }

    /// Returns whether packets wait for an earlier one.
    pub(super) fn waits(&self) -> bool {
        self.buffer.waits()
    }
}

impl DecoderState {
    fn decode(
        &mut self,
        now: Instant,
        rtp: &RtpHeader,
        payload: &[u8],
        heard: &mut impl FnMut(&RtpHeader, &[u8], Option<PayloadCodec>),
    ) {
        // A packet that is neither audio nor DTMF only keeps its place in the order.
        if !self.transcoder.takes(rtp.payload_type) {
            return;
        }
        if let Err(reason) = self.transcoder.push(now, rtp, payload) {
            self.spoilt = Some(reason);
        }
        let key = self.transcoder.watch_mut().and_then(|watch| watch.take_begun());
        if let Some((place, key)) = self.digits.iter_mut().find(|place| place.is_none()).zip(key) {
            *place = Some(key);
        }
        while let Some(rtp) = self.transcoder.poll(&mut self.packet) {
            let coding = (rtp.payload_type == AUDIO).then(|| self.transcoder.spec().to.1);
            heard(&RtpHeader { sequence: self.sequence, ..rtp }, self.packet.data(), coding);
            self.sequence = self.sequence.wrapping_add(1);
        }
    }
}
