//! Evaluation of received audio: loss, order, jitter, and whether each payload is bit for bit the one sent.
//!
//! A payload identifies its voice and frame. If the RTP header has the voice's SSRC, sequence number and timestamp
//! must be the original ones. If it has another SSRC, an intermediary has spliced the voice into an earlier stream,
//! and both must differ from the original by constant offsets. The intermediary may insert silence when a frame is
//! late: all later frames are then shifted by the same amount, and nothing counts as lost.

use std::collections::VecDeque;
use std::time::Instant;

use crate::ear::{fit, level_dbfs, snr_db};
use crate::limits;
use crate::tone::{FRAME_MS, FRAME_SAMPLES, G711Codec, MarkedVoice, RTP_HEADER_BYTES, SAMPLE_RATE};

/// SSRC and frame index of the voice in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameId {
    /// SSRC of the voice.
    pub ssrc: u32,
    /// Index of the frame in the voice, from 0.
    pub index: u32,
}

/// Evaluation of all audio received in one call.
#[derive(Debug, Default)]
pub struct AudioVerifier {
    streams: Vec<ReceivedVoice>,
    not_rtp: u64,
    /// SSRC and sequence number of the latest received packets of silence.
    silence: VecDeque<(u32, u16)>,
}

/// Evaluation of one voice received in a call.
#[derive(Debug, Clone, PartialEq)]
pub struct VoiceReport {
    /// SSRC of the voice.
    pub ssrc: u32,
    /// Codec of the voice, by payload type.
    pub codec: G711Codec,
    /// Packets received, including duplicates.
    pub packets: u64,
    /// Missing frames from the voice's first to the last received one.
    pub lost: u64,
    /// Frames before the first received one, sent before the path was open.
    pub late_start: u64,
    /// Packets that were received twice.
    pub duplicates: u64,
    /// Packets received after a later one.
    pub reordered: u64,
    /// Packets with a payload, length, sequence number or timestamp that was not sent.
    pub damaged: u64,
    /// Frames of silence inserted between two frames, by which later ones are shifted.
    pub delayed: u64,
    /// Whether the voice arrived under another SSRC, spliced into an earlier stream.
    pub joined: bool,
    /// Interarrival jitter (RFC 3550 §6.4.1), in milliseconds.
    pub jitter_ms: f64,
    /// Level of the 440 Hz tone in dBFS; `None` if nothing was received.
    pub level_dbfs: Option<f64>,
    /// Ratio of the tone to all other audio, in dB.
    pub snr_db: Option<f64>,
}

impl VoiceReport {
    /// Returns the total shift by inserted silence, in milliseconds.
    pub fn delayed_ms(&self) -> u64 {
        self.delayed * FRAME_MS
    }

    /// Returns whether all frames arrived once and undamaged, and form a tone.
    pub fn intact(&self) -> bool {
        self.lost == 0 && self.duplicates == 0 && self.damaged == 0 && self.is_tone()
    }

    /// Returns whether the audio is a tone of sufficient level.
    pub fn is_tone(&self) -> bool {
        self.snr_db.is_some_and(|snr| snr >= limits::TONE_SNR_DB)
            && self.level_dbfs.is_some_and(|level| level >= limits::TONE_LEVEL_DBFS)
    }
}

impl AudioVerifier {
    /// Evaluates one packet. Returns `None` if it is not an RTP packet of a voice.
    pub fn add_packet(&mut self, now: Instant, packet: &[u8]) -> Option<FrameId> {
        let heard = self.classify_packet(now, packet);
        if heard.is_none() {
            self.not_rtp += 1;
        }
        heard
    }

    fn classify_packet(&mut self, now: Instant, packet: &[u8]) -> Option<FrameId> {
        let (header, payload) = packet.split_at_checked(RTP_HEADER_BYTES)?;
        let &[first, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] = header else { return None };
        if first != 0x80 {
            return None;
        }
        let codec = G711Codec::of_payload(second & 0x7f)?;
        let head = RtpPosition {
            ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        };
        let name = MarkedVoice::identify(codec, payload);
        // A payload of no voice counts as damage to the voice named by the header.
        let speaker = name.map_or(head.ssrc, |(ssrc, _)| ssrc);
        let before = self.streams.iter().rfind(|s| s.head.ssrc == head.ssrc && s.voice.ssrc() != speaker);
        let before = before.map(|s| s.head.sequence);
        let is_new = !self.streams.iter().any(|s| s.has_used(head.ssrc));
        let at = match self.streams.iter().position(|s| s.voice.ssrc() == speaker && s.voice.codec() == codec) {
            Some(at) => at,
            None if self.streams.len() < limits::STREAMS => {
                self.streams.push(ReceivedVoice::new(MarkedVoice::new(speaker, codec), head));
                self.streams.len() - 1
            }
            None => return None,
        };
        let stream = self.streams.get_mut(at)?;
        stream.packets += 1;
        stream.jitter(now, head.timestamp);
        let Some((ssrc, index)) = name.filter(|(_, index)| *index < limits::FRAMES) else {
            stream.damaged += 1;
            if payload.len() == FRAME_SAMPLES && payload.iter().all(|byte| codec.decode(*byte) == 0) {
                if self.silence.len() == limits::SILENT_FRAMES {
                    self.silence.pop_front();
                }
                self.silence.push_back((head.ssrc, head.sequence));
            }
            return Some(FrameId { ssrc: head.ssrc, index: 0 });
        };
        stream.note_start(head, index, is_new);
        stream.check_header(head, index, before, &self.silence);
        stream.hear(index, payload);
        Some(FrameId { ssrc, index })
    }

    /// Returns the results so far, one per voice, in order of their first packet.
    pub fn voice_reports(&self) -> Vec<VoiceReport> {
        self.streams.iter().map(ReceivedVoice::voice_report).collect()
    }

    /// Returns the number of packets of all voices.
    pub fn packets(&self) -> u64 {
        self.streams.iter().map(|s| s.packets).sum()
    }

    /// Returns the number of packets that belong to no voice.
    pub fn not_rtp(&self) -> u64 {
        self.not_rtp
    }

    /// Returns the number of damaged packets.
    pub fn damaged(&self) -> u64 {
        self.streams.iter().map(|s| s.damaged).sum()
    }
}

/// Fields of an RTP header that determine a packet's position in the stream.
#[derive(Debug, Clone, Copy)]
struct RtpPosition {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

#[derive(Debug)]
struct ReceivedVoice {
    voice: MarkedVoice,
    /// Header fields of the latest frame.
    head: RtpPosition,
    /// Sequence number and timestamp of frame 0, once known.
    origin: Option<(u16, u32)>,
    /// SSRC and origin before the sender began a stream with another SSRC.
    former: Option<(u32, (u16, u32))>,
    packets: u64,
    duplicates: u64,
    reordered: u64,
    damaged: u64,
    delayed: u64,
    highest: u32,
    lowest: u32,
    seen: Vec<u64>,
    transit: Option<(Instant, u32, f64)>,
    recent: VecDeque<[u8; FRAME_SAMPLES]>,
}

impl ReceivedVoice {
    fn new(voice: MarkedVoice, head: RtpPosition) -> ReceivedVoice {
        ReceivedVoice {
            voice,
            head,
            origin: None,
            former: None,
            packets: 0,
            duplicates: 0,
            reordered: 0,
            damaged: 0,
            delayed: 0,
            highest: 0,
            lowest: u32::MAX,
            seen: Vec::new(),
            transit: None,
            recent: VecDeque::new(),
        }
    }

    /// Returns whether the voice was heard under this SSRC.
    fn has_used(&self, ssrc: u32) -> bool {
        self.head.ssrc == ssrc || self.former.is_some_and(|(former, _)| former == ssrc)
    }

    /// Records that a later frame arrives under an SSRC that is new to the call: its sender began another stream, with
    /// numbers of its own (RFC 3550 §8.1), as a sender does that has lost its SRTP indices.
    fn note_start(&mut self, head: RtpPosition, index: u32, is_new: bool) {
        if let Some(origin) = self.origin.filter(|_| is_new && index > self.highest) {
            self.former = Some((self.head.ssrc, origin));
            self.origin = Some(self.origin_of(head, index));
            self.head = head;
        }
    }

    /// Returns the sequence number and timestamp of frame 0 if `index` has this header.
    fn origin_of(&self, head: RtpPosition, index: u32) -> (u16, u32) {
        let (sequence, timestamp) =
            (self.voice.sequence(index).wrapping_sub(self.voice.first_sequence()), self.voice.timestamp(index));
        (
            head.sequence.wrapping_sub(sequence),
            head.timestamp.wrapping_sub(timestamp.wrapping_sub(self.voice.first_timestamp())),
        )
    }

    /// Checks the header of a frame. `before` is the last sequence number of the stream it was spliced into, and
    /// `silence` lists the packets of silence received.
    fn check_header(&mut self, head: RtpPosition, index: u32, before: Option<u16>, silence: &VecDeque<(u32, u16)>) {
        let origin = self.origin_of(head, index);
        let own = (self.voice.first_sequence(), self.voice.first_timestamp());
        let right = match self.origin {
            Some(known) if head.ssrc == self.head.ssrc && origin == known => true,
            // A packet of the stream before arrives late.
            Some(_) if self.former == Some((head.ssrc, origin)) => true,
            Some(known) => match self.silence_before(head, index, known, origin, silence) {
                Some(frames) => {
                    self.delayed += u64::from(frames);
                    self.origin = Some(origin);
                    true
                }
                None => false,
            },
            None if head.ssrc == self.voice.ssrc() => origin == own,
            // A spliced voice continues where the earlier stream ended, within the tolerance for reordering.
            None => before.is_none_or(|last| head.sequence.wrapping_sub(last) as i16 > -limits::REORDERED),
        };
        if !right {
            self.damaged += 1;
        }
        self.origin.get_or_insert(origin);
        if index >= self.highest {
            self.head = head;
        }
    }

    /// Returns the number of frames of silence between the latest frame and this one. Returns `None` if anything else
    /// is between them, or if the voice was not spliced, in which case no intermediary could have inserted silence.
    fn silence_before(
        &self,
        head: RtpPosition,
        index: u32,
        known: (u16, u32),
        origin: (u16, u32),
        silence: &VecDeque<(u32, u16)>,
    ) -> Option<u16> {
        let frames = origin.0.wrapping_sub(known.0);
        let follows = head.ssrc == self.head.ssrc
            && head.ssrc != self.voice.ssrc()
            && Some(index) == self.highest.checked_add(1)
            && usize::from(frames) <= limits::SILENT_FRAMES
            && origin.1.wrapping_sub(known.1) == u32::from(frames) * FRAME_SAMPLES as u32;
        let is_silent = |n: u16| silence.contains(&(head.ssrc, self.head.sequence.wrapping_add(n)));
        (follows && frames > 0 && (1..=frames).all(is_silent)).then_some(frames)
    }

    fn hear(&mut self, index: u32, payload: &[u8]) {
        let (word, bit) = (index as usize / 64, 1u64 << (index % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let Some(seen) = self.seen.get_mut(word) else { return };
        if *seen & bit != 0 {
            self.duplicates += 1;
            return;
        }
        *seen |= bit;
        if index < self.highest {
            self.reordered += 1;
        }
        self.highest = self.highest.max(index);
        self.lowest = self.lowest.min(index);
        if let Ok(frame) = <[u8; FRAME_SAMPLES]>::try_from(payload) {
            if self.recent.len() == limits::RECENT_FRAMES {
                self.recent.pop_front();
            }
            self.recent.push_back(frame);
        }
    }

    fn jitter(&mut self, now: Instant, timestamp: u32) {
        let Some((since, first, jitter)) = self.transit else {
            self.transit = Some((now, timestamp, 0.0));
            return;
        };
        let arrived = now.saturating_duration_since(since).as_secs_f64() * f64::from(SAMPLE_RATE);
        let sent = f64::from(timestamp.wrapping_sub(first) as i32);
        let difference = (arrived - sent).abs();
        self.transit = Some((now, timestamp, jitter + (difference - jitter) / 16.0));
    }

    fn voice_report(&self) -> VoiceReport {
        let heard: u64 = self.seen.iter().map(|word| u64::from(word.count_ones())).sum();
        let expected = if heard == 0 { 0 } else { u64::from(self.highest) + 1 };
        let (level_dbfs, snr_db) = match self.tone() {
            Some((level, snr)) => (Some(level), Some(snr)),
            None => (None, None),
        };
        VoiceReport {
            ssrc: self.voice.ssrc(),
            codec: self.voice.codec(),
            packets: self.packets,
            lost: expected.saturating_sub(heard),
            late_start: if heard == 0 { 0 } else { u64::from(self.lowest) },
            duplicates: self.duplicates,
            reordered: self.reordered,
            damaged: self.damaged,
            delayed: self.delayed,
            joined: self.head.ssrc != self.voice.ssrc(),
            jitter_ms: self.transit.map_or(0.0, |(_, _, jitter)| jitter * 1000.0 / f64::from(SAMPLE_RATE)),
            level_dbfs,
            snr_db,
        }
    }

    /// Returns level (dBFS) and SNR (dB) of the tone: the median of the latest frames.
    fn tone(&self) -> Option<(f64, f64)> {
        let mut frames: Vec<(f64, f64)> =
            self.recent.iter().map(|frame| tone_of(frame.iter().map(|b| self.voice.codec().decode(*b)))).collect();
        frames.sort_by(|a, b| a.1.total_cmp(&b.1));
        frames.get(frames.len() / 2).copied()
    }
}

/// Returns level (dBFS) and SNR (dB) of the tone in one frame.
fn tone_of(samples: impl ExactSizeIterator<Item = i16>) -> (f64, f64) {
    let count = samples.len().max(1) as f64;
    let (tone, rest) = fit(samples);
    if tone <= 0.0 {
        return (f64::NEG_INFINITY, f64::NEG_INFINITY);
    }
    (level_dbfs(tone / count), snr_db(tone, rest))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // tests need an arbitrary start time
mod tests {
    use super::*;
    use crate::tone::PACKET_BYTES;
    use std::time::Duration;

    fn hear_all(judge: &mut AudioVerifier, voice: &MarkedVoice, indexes: impl IntoIterator<Item = u32>) {
        let start = Instant::now();
        for (n, index) in indexes.into_iter().enumerate() {
            let packet = voice.packet(index, voice.codec().payload());
            judge.add_packet(start + Duration::from_millis(20 * n as u64), &packet).unwrap();
        }
    }

    #[test]
    fn a_whole_stream_is_intact() {
        for codec in [G711Codec::Pcmu, G711Codec::Pcma] {
            let mut judge = AudioVerifier::default();
            hear_all(&mut judge, &MarkedVoice::new(99, codec), 0..200);
            let verdict = &judge.voice_reports()[0];
            assert!(verdict.intact(), "{verdict:?}");
            assert_eq!((verdict.packets, verdict.lost, verdict.reordered), (200, 0, 0));
            assert!(verdict.jitter_ms < 0.001, "{verdict:?}");
            assert!((verdict.level_dbfs.unwrap() + 10.3).abs() < 0.5, "{verdict:?}");
        }
    }

    #[test]
    fn a_wrap_of_the_sequence_is_no_loss() {
        let mut judge = AudioVerifier::default();
        let voices = (0..).map(|ssrc| MarkedVoice::new(ssrc, G711Codec::Pcmu));
        let voice = voices.into_iter().find(|v| v.first_sequence() > u16::MAX - 50).unwrap();
        hear_all(&mut judge, &voice, 0..100);
        assert!(judge.voice_reports()[0].intact());
    }

    #[test]
    fn loss_order_and_repetition_are_counted() {
        let mut judge = AudioVerifier::default();
        hear_all(&mut judge, &MarkedVoice::new(5, G711Codec::Pcmu), [2, 3, 3, 6, 5, 9]);
        let verdict = &judge.voice_reports()[0];
        assert_eq!((verdict.lost, verdict.late_start, verdict.duplicates, verdict.reordered), (5, 2, 1, 1));
        assert!(!verdict.intact());
    }

    #[test]
    fn one_wrong_bit_is_damage() {
        let voice = MarkedVoice::new(5, G711Codec::Pcmu);
        for at in [12, 100, 171] {
            let mut judge = AudioVerifier::default();
            let mut packet = voice.packet(0, 0);
            packet[at] ^= 1;
            judge.add_packet(Instant::now(), &packet);
            assert_eq!((judge.damaged(), judge.voice_reports()[0].ssrc), (1, 5));
        }
    }

    #[test]
    fn a_header_that_does_not_fit_is_damage() {
        let voice = MarkedVoice::new(5, G711Codec::Pcmu);
        for at in [3, 7] {
            let mut judge = AudioVerifier::default();
            let mut packet = voice.packet(0, 0);
            packet[at] ^= 1;
            judge.add_packet(Instant::now(), &packet);
            assert_eq!(judge.damaged(), 1);
        }
    }

    /// Returns a frame of `voice` under another SSRC, with this sequence number and timestamp.
    fn joined(voice: &MarkedVoice, index: u32, ssrc: u32, sequence: u16, timestamp: u32) -> [u8; PACKET_BYTES] {
        let mut packet = voice.packet(index, 0);
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        packet
    }

    #[test]
    fn a_voice_joined_to_another_stream_keeps_its_steps() {
        let (first, second) = (MarkedVoice::new(5, G711Codec::Pcmu), MarkedVoice::new(6, G711Codec::Pcmu));
        // Steps of frame 1 in sequence number and timestamp, and whether they are correct.
        for (step, clock, right) in [(1, 160, true), (2, 160, false), (1, 161, false)] {
            let mut judge = AudioVerifier::default();
            hear_all(&mut judge, &first, 0..10);
            let now = Instant::now();
            let (sequence, timestamp) = (first.sequence(10), first.timestamp(10));
            judge.add_packet(now, &joined(&second, 0, 5, sequence, timestamp));
            judge.add_packet(now, &joined(&second, 1, 5, sequence.wrapping_add(step), timestamp.wrapping_add(clock)));
            let verdicts = judge.voice_reports();
            assert_eq!((verdicts[0].joined, verdicts[1].joined), (false, true));
            assert_eq!((verdicts[1].ssrc, verdicts[1].packets, verdicts[1].damaged == 0), (6, 2, right));
        }
        // The voice must not go back before the packets already sent.
        let mut judge = AudioVerifier::default();
        hear_all(&mut judge, &first, 0..100);
        judge.add_packet(Instant::now(), &joined(&second, 0, 5, first.sequence(20), first.timestamp(20)));
        assert_eq!(judge.damaged(), 1);
    }

    #[test]
    fn rfc3550_8_1_a_sender_may_begin_another_stream_in_mid_voice() {
        let voice = MarkedVoice::new(5, G711Codec::Pcmu);
        // Step of the second frame in the new stream, and whether it is correct.
        for (step, right) in [(1, true), (2, false)] {
            let (mut judge, now) = (AudioVerifier::default(), Instant::now());
            hear_all(&mut judge, &voice, 0..10);
            judge.add_packet(now, &joined(&voice, 12, 77, 1_000, 40_000));
            judge.add_packet(now, &joined(&voice, 13, 77, 1_000 + step, 40_160));
            // A packet of the former stream arrives late.
            judge.add_packet(now, &voice.packet(10, 0));
            let verdict = &judge.voice_reports()[0];
            assert_eq!((verdict.packets, verdict.lost, verdict.damaged == 0), (13, 1, right));
        }
        // Frames that were heard before are not heard again under another SSRC.
        let mut judge = AudioVerifier::default();
        hear_all(&mut judge, &voice, 0..10);
        judge.add_packet(Instant::now(), &joined(&voice, 4, 77, 1_000, 40_000));
        assert_eq!(judge.damaged(), 1);
    }

    /// Returns a frame of silence in a stream.
    fn silent(ssrc: u32, sequence: u16, timestamp: u32) -> [u8; PACKET_BYTES] {
        let mut packet = joined(&MarkedVoice::new(ssrc, G711Codec::Pcmu), 0, ssrc, sequence, timestamp);
        packet[12..].fill(0xff);
        packet
    }

    /// Evaluates a voice in a stream with SSRC 5: frames by index, or `None` for silence, each one sequence number and
    /// `step` timestamp units after the previous one.
    fn judge_joined(frames: &[Option<u32>], step: u32) -> VoiceReport {
        let (voice, mut judge) = (MarkedVoice::new(6, G711Codec::Pcmu), AudioVerifier::default());
        let start = Instant::now();
        for (n, frame) in (0u16..).zip(frames) {
            let (sequence, timestamp) = (65_530u16.wrapping_add(n), 1000 + u32::from(n) * step);
            let packet = match frame {
                Some(index) => joined(&voice, *index, 5, sequence, timestamp),
                None => silent(5, sequence, timestamp),
            };
            judge.add_packet(start + Duration::from_millis(20) * u32::from(n), &packet);
        }
        judge.voice_reports().into_iter().find(|verdict| verdict.ssrc == 6).unwrap()
    }

    #[test]
    fn silence_before_a_late_frame_is_delay_and_no_damage() {
        let whole = judge_joined(&[Some(0), Some(1), None, None, Some(2), Some(3), None, Some(4)], 160);
        assert!(whole.intact() && whole.joined, "{whole:?}");
        assert_eq!((whole.delayed_ms(), whole.packets, whole.damaged), (60, 5, 0));
        let none = judge_joined(&[Some(0), Some(1), Some(2)], 160);
        assert_eq!((none.delayed_ms(), none.intact()), (0, true));
    }

    #[test]
    fn silence_in_the_place_of_a_frame_is_loss() {
        // A missing frame in place, and one after a delayed frame.
        let lost = judge_joined(&[Some(0), None, Some(2), Some(3)], 160);
        assert_eq!((lost.lost, lost.delayed, lost.intact()), (1, 0, false));
        let lost = judge_joined(&[Some(0), None, None, Some(2), Some(3)], 160);
        assert!(lost.lost == 1 && !lost.intact(), "{lost:?}");
        // Timestamps that do not advance with the silence.
        assert!(!judge_joined(&[Some(0), Some(1), None, Some(2)], 161).intact());
    }

    #[test]
    fn a_jump_without_silence_and_noise_between_frames_are_damage() {
        let (voice, mut judge, now) = (MarkedVoice::new(6, G711Codec::Pcmu), AudioVerifier::default(), Instant::now());
        judge.add_packet(now, &joined(&voice, 0, 5, 1, 160));
        judge.add_packet(now, &joined(&voice, 1, 5, 3, 480));
        assert_eq!((judge.damaged(), judge.voice_reports()[0].delayed), (1, 0), "no speech between them");
        let mut judge = AudioVerifier::default();
        judge.add_packet(now, &joined(&voice, 0, 5, 1, 160));
        let mut noise = silent(5, 2, 320);
        noise[100] = 0x70;
        judge.add_packet(now, &noise);
        judge.add_packet(now, &joined(&voice, 1, 5, 3, 480));
        let verdict = judge.voice_reports().into_iter().find(|verdict| verdict.ssrc == 6).unwrap();
        assert_eq!((verdict.damaged, verdict.delayed), (1, 0), "a frame that was changed is none of silence");
        // Silence must not be inserted into a stream that is not spliced.
        let mut judge = AudioVerifier::default();
        judge.add_packet(now, &voice.packet(0, 0));
        judge.add_packet(now, &silent(6, voice.sequence(1), voice.timestamp(1)));
        judge.add_packet(now, &joined(&voice, 1, 6, voice.sequence(2), voice.timestamp(2)));
        assert!(judge.voice_reports().iter().all(|verdict| verdict.delayed == 0) && judge.damaged() == 2);
    }

    #[test]
    fn silence_remembered_is_bounded() {
        let late = |frames: usize| {
            let mut all = vec![Some(0)];
            all.extend(vec![None; frames]);
            all.push(Some(1));
            judge_joined(&all, 160)
        };
        assert!(late(limits::SILENT_FRAMES).intact());
        assert!(!late(limits::SILENT_FRAMES + 1).intact());
    }

    #[test]
    fn noise_is_no_tone() {
        let (_, snr) = tone_of((0..160u16).map(|n| (crate::tone::mix(u64::from(n)) as i16) / 4));
        assert!(snr < 0.0, "{snr}");
        let (level, _) = tone_of((0..160).map(|_| 0));
        assert_eq!(level, f64::NEG_INFINITY);
    }

    #[test]
    fn streams_are_bounded() {
        let mut judge = AudioVerifier::default();
        for ssrc in 0..limits::STREAMS as u32 + 1 {
            judge.add_packet(Instant::now(), &MarkedVoice::new(ssrc, G711Codec::Pcmu).packet(0, 0));
        }
        assert_eq!((judge.voice_reports().len(), judge.not_rtp()), (limits::STREAMS, 1));
    }

    #[test]
    fn what_is_not_rtp_is_counted() {
        let mut judge = AudioVerifier::default();
        assert_eq!(judge.add_packet(Instant::now(), b"hello"), None);
        let mut packet = MarkedVoice::new(1, G711Codec::Pcmu).packet(0, 0);
        packet[1] = 99;
        assert_eq!(judge.add_packet(Instant::now(), &packet), None, "an unknown payload type");
        assert_eq!(judge.not_rtp(), 2);
    }
}
