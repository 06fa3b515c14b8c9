//! Transcoder of one end's audio for another end. Each packet is decoded on arrival, and packets of the sink's length
//! are sent as soon as they are full. There is no tick, and only partial packets are buffered.
//!
//! The output is a stream of the edge's own, continuous in time. A short loss is concealed when the next packet arrives
//! (by its redundancy, if Opus has any), a long one stays a gap, suppressed silence is a jump of the timestamp, late
//! packets are dropped. Telephone-events and comfort noise pass in order.

mod concealing;
mod credit;
mod incoming;
mod noise;
mod retimed;
mod spec;

pub use spec::{EventsSpec, TranscodeSpec};

use std::time::{Duration, Instant};

use crate::codec::{DECODED_MOST, PayloadCodec, SinkEncoder, SourceDecoder};
use crate::counters::DropReason;
use crate::dtmf::Detector;
use crate::limits::{ASIDE_BYTES, AUDIO_CONCEALED_MOST_MS, AUDIO_FRAME_MOST_MS, AUDIO_PACKET_MOST_MS};
use crate::rtp::{FIXED_HEADER, PacketBuf, RtpHeader, StreamStart};

use concealing::Concealer;
use credit::Credit;
use incoming::{IncomingStream, PacketRelation};
use noise::NoiseGenerator;
use retimed::DigitRetimer;

/// Working rate if no codec determines it, in Hz.
const WIDE_BAND_HZ: u32 = 16_000;
/// Units of time per second. Every clock and sampling rate divides this number.
const TIME_HZ: u32 = 48_000;
const TIME_PER_MS: u64 = 48;

/// Transcoder of one stream between two ends.
#[derive(Debug)]
pub struct Transcoder {
    /// Serial number of the stream among the sources that have fed its sink.
    serial: u32,
    spec: TranscodeSpec,
    sources: Vec<SourceDecoder>,
    encoding: SinkEncoder,
    rate_hz: u32,
    /// Samples of one outgoing packet.
    frame: usize,
    incoming: IncomingStream,
    credit: Credit,
    /// Decoded samples; those from `start` to `end` have not been sent yet.
    pending: Box<[i16]>,
    start: usize,
    end: usize,
    jump: Option<TimeJump>,
    aside: Option<PassthroughPayload>,
    press: DigitRetimer,
    concealer: Box<Concealer>,
    /// Arrival of the last packet at the transcoder that this one replaces, until this one receives its first packet.
    goes_on: Option<Instant>,
    /// Whether no packet was processed yet, by this transcoder or one that it continues.
    fresh: bool,
    /// Detects and mutes DTMF tones in the audio; `None` if tones are not digits.
    watch: Option<Box<Detector>>,
    noise: NoiseGenerator,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// Time of the sample at `start`, in units of [`TIME_HZ`] since the beginning of the stream.
    time: u64,
    marker: bool,
}

/// Position in `pending` at which time jumps ahead.
#[derive(Debug, Clone, Copy)]
struct TimeJump {
    at: usize,
    time: u64,
    /// Number of packets that were lost at the jump.
    missing: u16,
    marker: bool,
}

/// Payload, such as a telephone-event, sent unchanged between the audio before and after it.
#[derive(Debug, Clone, Copy)]
struct PassthroughPayload {
    number: u8,
    marker: bool,
    time: u64,
    bytes: usize,
    payload: [u8; ASIDE_BYTES],
}

/// Index of a source among the decoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SourceIndex(usize);

/// Treatment of a payload type.
#[derive(Debug, Clone, Copy)]
enum PayloadClass {
    Audio(SourceIndex),
    Event(EventsSpec),
    Noise(Option<u8>),
}

impl Transcoder {
    /// Creates a transcoder with initial SSRC, sequence number and timestamp; `None` if `spec` has no codecs that the
    /// edge can transcode.
    pub fn new(spec: TranscodeSpec, serial: u32, numbers: (u32, u16, u32)) -> Option<Self> {
        let (ssrc, sequence, timestamp) = numbers;
        Transcoder::after(None, spec, StreamStart { serial, ssrc, sequence, timestamp })
    }

    /// Creates a transcoder that replaces `before`, which fed the same sink. Decoders of unchanged codecs, the
    /// encoder and the audio history continue, so that there is no audible step.
    pub fn after(before: Option<Transcoder>, spec: TranscodeSpec, start: StreamStart) -> Option<Self> {
        let StreamStart { serial, ssrc, sequence, timestamp } = start;
        let before = before.filter(|before| before.spec.to.1 == spec.to.1);
        let codings = || spec.from.iter().map(|(_, coding)| *coding);
        let highest = codings().filter_map(PayloadCodec::rate_hz).max().unwrap_or(WIDE_BAND_HZ);
        // An Opus stream keeps its bandwidth for the whole call.
        let highest = before.as_ref().map_or(highest, |before| highest.max(before.rate_hz));
        let rate_hz = spec.to.1.rate_hz().unwrap_or(highest);
        let sources = codings().map(|coding| SourceDecoder::new(coding, rate_hz)).collect::<Option<Vec<_>>>()?;
        let encoding = SinkEncoder::new(spec.to.1, rate_hz)?;
        let per_ms = rate_hz as usize / 1000;
        let packet_ms = match spec.to.1 {
            PayloadCodec::Pcmu | PayloadCodec::Pcma | PayloadCodec::G722 | PayloadCodec::Linear(_) => {
                usize::from(spec.packet_ms).clamp(10, AUDIO_FRAME_MOST_MS)
            }
            PayloadCodec::Opus(_) => match spec.packet_ms {
                0..20 => 10,
                20..40 => 20,
                40..60 => 40,
                60.. => AUDIO_FRAME_MOST_MS,
            },
        };
        let room_ms = AUDIO_FRAME_MOST_MS + AUDIO_CONCEALED_MOST_MS + AUDIO_PACKET_MOST_MS;
        let clock_hz = codings().next()?.clock_hz();
        let mut transcoder = Transcoder {
            serial,
            sources,
            encoding,
            rate_hz,
            frame: packet_ms * per_ms,
            incoming: IncomingStream::new(clock_hz),
            credit: Credit::default(),
            pending: vec![0; room_ms * per_ms].into_boxed_slice(),
            start: 0,
            end: 0,
            jump: None,
            aside: None,
            press: DigitRetimer::default(),
            concealer: Box::new(Concealer::new(rate_hz)),
            goes_on: None,
            fresh: true,
            watch: None,
            noise: NoiseGenerator::new(ssrc),
            ssrc,
            sequence,
            timestamp,
            time: 0,
            marker: true,
            spec,
        };
        if let Some(before) = before {
            transcoder.follow(before);
        }
        Some(transcoder)
    }

    /// Returns the specification with which the transcoder was created.
    pub fn spec(&self) -> &TranscodeSpec {
        &self.spec
    }

    /// Returns whether the transcoder handles a payload type.
    pub fn takes(&self, number: u8) -> bool {
        self.class(number).is_some()
    }

    /// Turns DTMF detection, which removes tones from the audio, on or off.
    pub(crate) fn watch_tones(&mut self, now: Instant, wanted: bool) {
        match wanted {
            true => _ = self.watch.get_or_insert_with(|| Box::new(Detector::new(now, self.rate_hz))),
            false => self.watch = None,
        }
    }

    /// Returns the DTMF detector, if tones are detected.
    pub(crate) fn watch(&self) -> Option<&Detector> {
        self.watch.as_deref()
    }

    /// Returns the DTMF detector, if tones are detected, mutably.
    pub(crate) fn watch_mut(&mut self) -> Option<&mut Detector> {
        self.watch.as_deref_mut()
    }

    /// Returns true once, for the first packet, if no preceding transcoder has encoded for the sink.
    pub(crate) fn begins(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    /// Returns the encoder, so that another feeder can continue its state.
    pub(crate) fn encoding(&mut self) -> &mut SinkEncoder {
        &mut self.encoding
    }

    /// Records that a packet of the stream is processed elsewhere, so that it does not count as lost.
    pub(crate) fn pass_over(&mut self, rtp: &RtpHeader) {
        self.incoming.pass_over(rtp);
    }

    /// Returns the serial number among the feeders of its sink.
    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }

    /// Returns the clock rate of the outgoing stream, in Hz.
    pub fn clock_hz(&self) -> u32 {
        self.spec.to.1.clock_hz()
    }

    /// Processes a packet; [`Self::poll`] returns the resulting packets. Allocates only inside Opus.
    /// # Errors
    ///
    /// Returns the reason if the payload type is unknown, or the packet is late, damaged, or exceeds the pace limit
    /// ([`AUDIO_PACE`](crate::limits::AUDIO_PACE)).
    pub fn push(&mut self, now: Instant, rtp: &RtpHeader, payload: &[u8]) -> Result<(), DropReason> {
        let class = self.class(rtp.payload_type).ok_or(DropReason::UnknownPayload)?;
        let clock_hz = match class {
            PayloadClass::Audio(source) => self.spec.from.get(source.0).map(|(_, coding)| coding.clock_hz()),
            PayloadClass::Event(_) | PayloadClass::Noise(_) => None,
        };
        if !self.credit.allows(now) {
            return Err(DropReason::TooFast);
        }
        let step = self.incoming.step(now, rtp, clock_hz).ok_or(DropReason::Late)?;
        self.pending.copy_within(self.start..self.end, 0);
        self.jump = self.jump.map(|jump| TimeJump { at: jump.at.saturating_sub(self.start), ..jump });
        (self.start, self.end) = (0, self.end - self.start);
        let before = self.end;
        let taken = match class {
            PayloadClass::Audio(source) => self.take_audio(now, source, step, rtp, payload),
            PayloadClass::Event(events) => {
                self.take_event(events, step, rtp, payload);
                Ok(())
            }
            PayloadClass::Noise(to) => {
                self.take_noise(to, step, rtp, payload);
                Ok(())
            }
        };
        // The gap before an undecodable packet may have been concealed.
        let most = AUDIO_CONCEALED_MOST_MS as u64 * TIME_PER_MS;
        let tried = if taken.is_err() { step.time().min(most) } else { 0 };
        let made = time_of(self.end - before, self.rate_hz).max(tried);
        self.credit.spend(now, Duration::from_micros(made * 1000 / TIME_PER_MS));
        taken?;
        self.incoming.taken(now, rtp, matches!(class, PayloadClass::Event(_)));
        Ok(())
    }

    /// Writes the next full outgoing packet into `packet` and returns its header; `None` if there is none.
    pub fn poll(&mut self, packet: &mut PacketBuf) -> Option<RtpHeader> {
        loop {
            if let Some(jump) = self.jump.take_if(|jump| jump.at <= self.start) {
                self.time = jump.time;
                self.sequence = self.sequence.wrapping_add(jump.missing);
                self.marker |= jump.marker;
            }
            let until = self.jump.map_or(self.end, |jump| jump.at);
            let frame = self.pending.get(self.start..self.start + self.frame);
            let Some(frame) = frame.filter(|_| self.start + self.frame <= until) else { break };
            let payload = packet.receive_area().get_mut(FIXED_HEADER..)?;
            let bytes = self.encoding.encode(frame, payload);
            self.start += self.frame;
            let time = self.time;
            self.time += time_of(self.frame, self.rate_hz);
            if bytes == 0 {
                // Suppressed silence: the next packet begins a talk spurt.
                self.marker = true;
                continue;
            }
            let marker = std::mem::take(&mut self.marker);
            return self.finish(marker, self.spec.to.0, time, bytes, packet);
        }
        let aside = self.aside.take()?;
        let room = packet.receive_area().get_mut(FIXED_HEADER..FIXED_HEADER + aside.bytes)?;
        room.copy_from_slice(aside.payload.get(..aside.bytes)?);
        self.finish(aside.marker, aside.number, aside.time, aside.bytes, packet)
    }

    /// Continues from `before`, a transcoder to the same sink and codec. If the sampling rate differs (Opus with more
    /// bandwidth), only the rate limit is kept.
    fn follow(&mut self, before: Transcoder) {
        self.credit = before.credit;
        if before.rate_hz != self.rate_hz {
            return;
        }
        (self.encoding, self.concealer, self.goes_on) = (before.encoding, before.concealer, before.incoming.came);
        self.fresh = false;
        // The partial packet is taken over, unless time jumps within it.
        let rest = before.pending.get(before.start..before.end).filter(|_| before.jump.is_none()).unwrap_or_default();
        if let Some(room) = self.pending.get_mut(..rest.len()) {
            room.copy_from_slice(rest);
            self.end = rest.len();
            self.incoming.at = time_of(rest.len(), self.rate_hz);
        }
    }

    fn class(&self, number: u8) -> Option<PayloadClass> {
        if let Some(source) = self.spec.from.iter().position(|(from, _)| *from == number) {
            return Some(PayloadClass::Audio(SourceIndex(source)));
        }
        if let Some(events) = self.spec.events.iter().find(|events| events.from.0 == number) {
            return Some(PayloadClass::Event(*events));
        }
        self.spec.noise.filter(|(from, _)| *from == number).map(|(_, to)| PayloadClass::Noise(to))
    }

    fn take_audio(
        &mut self,
        now: Instant,
        source: SourceIndex,
        step: PacketRelation,
        rtp: &RtpHeader,
        payload: &[u8],
    ) -> Result<(), DropReason> {
        if payload.is_empty() {
            return Ok(());
        }
        let mut next = [0; DECODED_MOST];
        let Some(decoding) = self.sources.get_mut(source.0) else { return Ok(()) };
        let concealed = match step {
            PacketRelation::Lost { time, .. } if time <= AUDIO_CONCEALED_MOST_MS as u64 * TIME_PER_MS => {
                (time * u64::from(self.rate_hz) / u64::from(TIME_HZ)) as usize
            }
            PacketRelation::GoesOn
            | PacketRelation::Silent { .. }
            | PacketRelation::Lost { .. }
            | PacketRelation::Restarted { .. } => 0,
        };
        let lost = self.pending.get_mut(self.end..self.end + concealed).unwrap_or_default();
        let made = decoding.conceal(payload, self.incoming.samples, lost);
        if let PacketRelation::Restarted { .. } = step {
            decoding.begin_again();
        }
        let count = decoding.decode(payload, &mut next);
        if count == 0 {
            return Err(DropReason::Damaged);
        }
        let next = next.get_mut(..count).unwrap_or_default();
        let clock_hz = self.spec.from.get(source.0).map_or(TIME_HZ, |(_, coding)| coding.clock_hz());
        let watch = self.watch.as_mut();
        let is_key = watch.is_some_and(|watch| watch.hear(now, rtp, clock_hz, next));
        if is_key {
            // The codec's own concealment would continue the tone.
            next.fill(0);
            lost.fill(0);
        }
        let begin = self.incoming.at;
        let goes_on = self.goes_on.take().is_some_and(|came| {
            now.saturating_duration_since(came) < Duration::from_millis(AUDIO_CONCEALED_MOST_MS as u64)
        });
        if concealed > 0 {
            if let Some(rest) = lost.get_mut(made..).filter(|rest| !is_key && !rest.is_empty()) {
                self.concealer.conceal(rest, next);
            }
            self.end += lost.len();
            self.incoming.at += time_of(concealed, self.rate_hz);
        } else if step.time() > 0 {
            self.jump_by(begin, step);
        } else if goes_on || matches!(step, PacketRelation::Restarted { .. }) {
            // Another decoder has another state, so the concealer joins the audio without a step.
            self.concealer.conceal(&mut [], next);
        }
        self.concealer.hear(next);
        let room = self.pending.get_mut(self.end..self.end + count).unwrap_or_default();
        room.copy_from_slice(next.get(..room.len()).unwrap_or_default());
        self.end += room.len();
        self.incoming.heard(rtp, count, time_of(count, self.rate_hz));
        Ok(())
    }

    /// Completes the partial packet with fading audio; the following audio begins after the gap `step` behind the time
    /// `at`.
    fn jump_by(&mut self, at: u64, step: PacketRelation) {
        self.fill_up();
        let end = self.time + time_of(self.end - self.start, self.rate_hz);
        let time = at.saturating_add(step.time()).max(end);
        let frame_time = time_of(self.frame, self.rate_hz);
        let missing = match step {
            // No truncation: at most a jump of 3,000 packets.
            PacketRelation::Lost { packets, .. } => (step.time() / frame_time).min(u64::from(packets) * 12) as u16,
            PacketRelation::GoesOn | PacketRelation::Silent { .. } | PacketRelation::Restarted { .. } => 0,
        };
        let marker = missing == 0 && step.time() >= frame_time;
        self.jump = Some(TimeJump { at: self.end, time, missing, marker });
        self.incoming.at = time;
    }

    /// Completes the partial packet, if any, with fading audio.
    fn fill_up(&mut self) {
        let rest = (self.end - self.start) % self.frame;
        if rest > 0 {
            let room = self.pending.get_mut(self.end..self.end + self.frame - rest).unwrap_or_default();
            self.concealer.conceal(room, &mut []);
            self.concealer.hear(room);
            self.end += room.len();
        }
    }

    fn take_event(&mut self, events: EventsSpec, step: PacketRelation, rtp: &RtpHeader, payload: &[u8]) {
        if let PacketRelation::Restarted { .. } = step {
            self.jump_by(self.incoming.at, step);
            self.incoming.next = rtp.timestamp;
        } else {
            self.fill_up();
        }
        let mut payload = PassthroughPayload::from_payload(payload);
        let mut time = self.incoming.time_of(rtp.timestamp);
        if payload.bytes >= 4
            && let Some(bytes) = payload.payload.first_chunk_mut()
        {
            time = self.press.retime(rtp, bytes, time, events);
        }
        self.aside = Some(PassthroughPayload { number: events.to.0, marker: rtp.marker, time, ..payload });
    }

    fn take_noise(&mut self, to: Option<u8>, step: PacketRelation, rtp: &RtpHeader, payload: &[u8]) {
        if step.time() > 0 {
            self.jump_by(self.incoming.at, step);
        } else {
            self.fill_up();
        }
        self.incoming.next = rtp.timestamp;
        if let Some(number) = to {
            self.aside = Some(PassthroughPayload {
                number,
                marker: false,
                time: self.incoming.at,
                ..PassthroughPayload::from_payload(payload)
            });
            return;
        }
        let room = self.pending.get_mut(self.end..self.end + self.frame).unwrap_or_default();
        self.noise.fill(payload, room);
        self.concealer.hear(room);
        self.end += room.len();
    }

    /// Builds the header of a packet with `bytes` of payload and advances the sequence number.
    fn finish(
        &mut self,
        marker: bool,
        number: u8,
        time: u64,
        bytes: usize,
        packet: &mut PacketBuf,
    ) -> Option<RtpHeader> {
        *packet.receive_area().first_mut()? = 0x80;
        packet.set_len(FIXED_HEADER + bytes);
        let ticks = time / u64::from(TIME_HZ / self.clock_hz());
        let rtp = RtpHeader {
            marker,
            payload_type: number,
            sequence: self.sequence,
            // Truncation is intended: timestamps are modulo 2^32.
            timestamp: self.timestamp.wrapping_add(ticks as u32),
            ssrc: self.ssrc,
            payload: FIXED_HEADER..FIXED_HEADER + bytes,
        };
        self.sequence = self.sequence.wrapping_add(1);
        rtp.write(packet.data_mut());
        Some(rtp)
    }
}

impl PassthroughPayload {
    fn from_payload(bytes: &[u8]) -> PassthroughPayload {
        let mut payload = [0; ASIDE_BYTES];
        let bytes = payload.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count();
        PassthroughPayload { number: 0, marker: false, time: 0, bytes, payload }
    }
}

/// Returns the duration of a number of samples, in units of [`TIME_HZ`].
fn time_of(samples: usize, rate_hz: u32) -> u64 {
    samples as u64 * u64::from(TIME_HZ / rate_hz)
}
