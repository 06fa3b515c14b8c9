//! Sending side of a call: voice, codec, schedule and DTMF digits.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkgate_media::DigitFormat;
use trunkgate_media::dtmf::{DigitSignal, DtmfSender};
use trunkgate_media::rtcp::Stream;
use trunkgate_media::rtp::RtpHeader;
use trunkgate_sdp::{MediaEndpoint, SessionDescription};

use super::coded::{CallCodec, CodecPair};
use crate::limits;
use crate::script::CallScript;
use crate::tone::{FRAME_SAMPLES, G711Codec, MarkedVoice, PACKET_BYTES, SAMPLE_RATE};

/// Sending side of a call's audio.
#[derive(Debug)]
pub(crate) struct AudioSender {
    ssrc: u32,
    voice: Option<MarkedVoice>,
    /// Agreed codec; `None` before the session is agreed.
    spoken: Option<CallCodec>,
    /// Encoder and decoder, for codecs other than G.711.
    coded: Option<Box<CodecPair>>,
    /// Payload type and clock rate (Hz) of the remote party's telephone-events, if it supports them.
    events: Option<(u8, u32)>,
    /// Sender of DTMF digits; `None` before the first one.
    presses: Option<DtmfSender>,
    /// Number of scripted digits and pauses that have begun; `digits_left` have not, and the next of them begins at
    /// frame `next_digit_at`.
    digits_begun: usize,
    digits_left: usize,
    next_digit_at: u32,
    /// Samples to send instead of the scripted audio.
    spoken_next: VecDeque<i16>,
    payload: u8,
    to: Option<SocketAddr>,
    /// Remote RTCP address.
    reports_to: Option<SocketAddr>,
    allowed: bool,
    sent: u32,
    ticking: bool,
    /// Time of the next frame; `None` before the start.
    next_at: Option<Instant>,
}

impl AudioSender {
    /// Creates a sending side that has not started.
    pub(super) fn new(ssrc: u32) -> AudioSender {
        AudioSender {
            ssrc,
            voice: None,
            spoken: None,
            coded: None,
            events: None,
            presses: None,
            digits_begun: 0,
            digits_left: 0,
            next_digit_at: limits::KEYS_AFTER,
            spoken_next: VecDeque::new(),
            payload: 0,
            to: None,
            reports_to: None,
            allowed: false,
            sent: 0,
            ticking: false,
            next_at: None,
        }
    }

    /// Returns the SSRC of the sent audio.
    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Returns the G.711 codec of the generated voice.
    pub(crate) fn codec(&self) -> Option<G711Codec> {
        self.voice.as_ref().map(MarkedVoice::codec)
    }

    /// Returns the agreed codec.
    pub(crate) fn spoken(&self) -> Option<CallCodec> {
        self.spoken
    }

    /// Returns payload type and clock rate (Hz) of the remote party's telephone-events.
    pub(crate) fn events(&self) -> Option<(u8, u32)> {
        self.events
    }

    /// Returns whether all DTMF digits of the script have been sent.
    pub(crate) fn has_pressed_all(&self) -> bool {
        self.digits_left == 0 && self.presses.as_ref().is_some_and(DtmfSender::is_over)
    }

    pub(crate) fn sent(&self) -> u32 {
        self.sent
    }

    /// Returns the remote RTP address.
    pub(crate) fn to(&self) -> Option<SocketAddr> {
        self.to
    }

    /// Returns the remote RTCP address.
    pub(super) fn reports_to(&self) -> Option<SocketAddr> {
        self.reports_to
    }

    /// Returns the clock rate of the agreed codec, in Hz.
    pub(super) fn clock_hz(&self) -> u32 {
        self.spoken.map_or(SAMPLE_RATE, CallCodec::clock_hz)
    }

    /// Returns payload type and clock rate (Hz) of the agreed codec; those of PCMU before the session is agreed.
    pub(super) fn payload_and_clock(&self) -> (u8, u32) {
        self.spoken.map_or((0, SAMPLE_RATE), |spoken| (self.payload, spoken.clock_hz()))
    }

    /// Applies the destination, payload type, codec and direction from the remote description.
    pub(super) fn listen_to(&mut self, far: MediaEndpoint, payload: u8, spoken: CallCodec, sends: bool) {
        (self.to, self.reports_to) = (far.rtp, far.rtcp);
        self.payload = payload;
        self.allowed = far.direction.receives() && sends;
        if self.codec() != Some(spoken.voice()) {
            self.voice = Some(MarkedVoice::new(self.ssrc, spoken.voice()));
        }
        self.spoken = Some(spoken);
        if !self.coded.as_ref().is_some_and(|coded| coded.is_of(spoken)) {
            self.coded = CodecPair::new(spoken).map(Box::new);
        }
    }

    /// Records the telephone-events in the remote description.
    pub(super) fn note_events(&mut self, theirs: &SessionDescription) {
        let section = theirs.media.iter().find(|media| media.kind == "audio" && media.port != 0);
        self.events = section.and_then(|section| {
            let known = section.payloads().into_iter().filter_map(|number| Some((number, section.rtpmap(number)?)));
            let mut events = known.filter(|(_, map)| map.is("telephone-event"));
            events.next().map(|(number, map)| (number, map.clock))
        });
    }

    /// Starts sending. Returns the time of the first frame; `None` if sending has already started.
    pub(super) fn start(&mut self, now: Instant, interval: Duration) -> Option<Instant> {
        if std::mem::replace(&mut self.ticking, true) {
            return None;
        }
        self.next_at = Some(now + interval);
        self.next_at
    }

    /// Returns the time of the frame after the one due now, or `None` if all are sent. The time follows the schedule,
    /// so that late wake-ups do not slow the voice; after a long delay the schedule restarts at `now`.
    pub(super) fn next_at(&mut self, now: Instant, interval: Duration, talk: &CallScript) -> Option<Instant> {
        if talk.frames.is_some_and(|most| self.sent >= most) {
            return None;
        }
        let due = self.next_at.unwrap_or(now);
        let next = if due + interval * limits::FRAMES_BEHIND < now { now + interval } else { due + interval };
        self.next_at = Some(next);
        self.next_at
    }

    /// Returns destination and packet of the frame due now; the third value is the packet to send instead if the codec
    /// is not G.711 or a DTMF digit replaces the frame. Returns `None` if nothing may be sent.
    pub(super) fn frame(&mut self, talk: &CallScript) -> Option<(SocketAddr, [u8; PACKET_BYTES], Option<Vec<u8>>)> {
        let (Some(voice), Some(to), true) = (&self.voice, self.to, self.allowed) else { return None };
        let next: Vec<i16> = self.spoken_next.drain(..FRAME_SAMPLES.min(self.spoken_next.len())).collect();
        let packet = match &talk.audio {
            _ if !next.is_empty() => voice.packet_saying(self.sent, self.payload, &next),
            Some(audio) => voice.packet_of(self.sent, self.payload, audio),
            None => voice.packet(self.sent, self.payload),
        };
        let mut coded = match &mut self.coded {
            Some(coded) => coded.code(voice.codec(), &packet),
            None => None,
        };
        if let Some(keys) = talk.keys.as_deref() {
            self.press_next(keys);
        }
        if let Some(presses) = &mut self.presses {
            // A DTMF event replaces the audio.
            coded = digit(presses, coded.as_deref().unwrap_or(&packet)).or(coded);
        }
        Some((to, packet, coded))
    }

    /// Appends samples to those sent instead of the scripted audio.
    pub(super) fn speak(&mut self, samples: &[i16]) {
        self.spoken_next.extend(samples);
    }

    /// Begins the next scripted digit or pause, if it is due and the remote party supports telephone-events.
    fn press_next(&mut self, keys: &str) {
        let mut signs = keys.chars().skip(self.digits_begun);
        let is_due = self.sent >= self.next_digit_at && self.events.is_some();
        let Some(sign) = signs.next().filter(|_| is_due) else { return };
        (self.digits_begun, self.digits_left) = (self.digits_begun + 1, signs.count());
        let frames = match sign {
            'w' => limits::PAUSE_FRAMES.0,
            'W' => limits::PAUSE_FRAMES.1,
            digit => {
                self.queue_digits(digit.encode_utf8(&mut [0; 4]));
                limits::KEY_FRAMES
            }
        };
        self.next_digit_at = self.sent + frames;
    }

    /// Queues digits. Returns whether the remote party supports telephone-events.
    pub(super) fn queue_digits(&mut self, digits: &str) -> bool {
        let Some((payload, clock_hz)) = self.events else { return false };
        let presses = self.presses.get_or_insert_default();
        presses.add(DigitFormat::Event { payload, clock_hz }, digits, limits::KEY_MS);
        true
    }

    /// Counts a frame that was sent.
    pub(super) fn note_sent(&mut self) {
        self.sent += 1;
    }

    /// Returns the state of the sent stream for a report, or `None` before a session is agreed.
    pub(super) fn stream(&self) -> Option<Stream> {
        let voice = self.voice.as_ref()?;
        let octets = self.sent.wrapping_mul(FRAME_SAMPLES as u32);
        let scale = self.spoken.map_or(1, |spoken| spoken.clock_hz() / SAMPLE_RATE);
        let timestamp = voice.timestamp(self.sent).wrapping_mul(scale);
        Some(Stream { ssrc: self.ssrc, timestamp, packets: self.sent, octets, all: self.sent.into() })
    }

    /// Decodes a received packet. Returns its header, clock rate (Hz) and samples, or `None` if it has no audio.
    pub(super) fn decode(&mut self, packet: &[u8]) -> Option<(RtpHeader, u32, Vec<i16>)> {
        let rtp = RtpHeader::parse(packet).ok()?;
        let payload = packet.get(rtp.payload.clone()).unwrap_or_default();
        let clock_hz = self.clock_hz();
        let (clock_hz, samples) = match (&mut self.coded, G711Codec::of_payload(rtp.payload_type)) {
            (_, Some(codec)) => (SAMPLE_RATE, payload.iter().map(|byte| codec.decode(*byte)).collect()),
            (Some(coded), None) if rtp.payload_type == self.payload => (clock_hz, coded.decode(payload)),
            (Some(_) | None, None) => return None,
        };
        Some((rtp, clock_hz, samples))
    }
}

/// Returns the packet of a DTMF digit to send instead of an audio packet; `None` while no digit is being sent.
fn digit(presses: &mut DtmfSender, audio: &[u8]) -> Option<Vec<u8>> {
    let rtp = RtpHeader::parse(audio).ok()?;
    let DigitSignal::Event(key) = presses.next(rtp.timestamp)? else { return None };
    let mut bytes = Vec::new();
    let (marker, payload_type, timestamp) = (key.marker, key.payload_type, key.timestamp);
    RtpHeader { marker, payload_type, timestamp, ..rtp }.build(&key.payload, &mut bytes);
    Some(bytes)
}
