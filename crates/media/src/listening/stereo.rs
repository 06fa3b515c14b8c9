//! Pairs of frames from both directions of an end, as recorded: G.711 codes as received if both directions use the
//! same law, otherwise linear samples.
//!
//! The cost of a recorder is the cache traffic of each call's own memory. G.711 codes halve the bytes on the way to the
//! file writer, which decodes them.

use std::collections::VecDeque;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_agent::{StreamTracks, TrackFrame, TrackInput, TrackName, TrackSample, TrackSet, TracksSnapshot};
use trunkgate_terms::{Alaw, RecordedSamples};

use crate::codec::PayloadCodec;
use crate::codec::g711::{decode_alaw, decode_ulaw};
use crate::codec::level::level_of;
use crate::limits::RECORDED_FRAMES_PER_BLOCK;
use crate::rtp::{PACKET, RtpHeader};

use super::hearing::TrackFraming;
use super::uplink::samples;

/// Samples of one direction in a frame: 20 ms at 8 kHz.
const SAMPLES: usize = 160;
/// Samples of a direction in a block.
const BLOCK: usize = SAMPLES * RECORDED_FRAMES_PER_BLOCK;

/// Recorded sample that can be converted to a linear one.
pub(super) trait LinearSample: TrackSample {
    /// Returns the sample as a linear 16-bit value.
    fn linear(self) -> i16;
}

impl LinearSample for u8 {
    fn linear(self) -> i16 {
        decode_ulaw(self)
    }
}

impl LinearSample for Alaw {
    fn linear(self) -> i16 {
        decode_alaw(self.0)
    }
}

impl LinearSample for i16 {
    fn linear(self) -> i16 {
        self
    }
}

/// Treatment of a pair of frames in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameTreatment {
    /// The file gets the audio of these directions, and silence for the others.
    Audio(TrackSet),
    /// Silence is written to the file.
    Silence,
    /// Nothing is written to the file.
    Cut,
}

/// Joins the received frames of both directions to stereo audio and collects it in blocks for the recording file. The
/// variant is the sample format of the blocks.
#[derive(Debug)]
pub(super) enum StereoFrames {
    /// μ-law codes.
    Pcmu(FramePairs<u8>),
    /// A-law codes.
    Pcma(FramePairs<Alaw>),
    /// Linear samples.
    Linear(FramePairs<i16>),
}

/// Frames and blocks of [`StereoFrames`] in one sample format.
#[derive(Debug)]
pub(super) struct FramePairs<S> {
    tracks: StreamTracks<S>,
    /// Frames of one track for which the other track has no frame yet.
    halves: VecDeque<[S; SAMPLES]>,
    /// Track of the frames in `halves`.
    ahead: TrackName,
    /// Recorded audio not passed to the file writer yet.
    block: Vec<[S; 2]>,
    /// Whether any audio has arrived.
    is_heard: bool,
}

/// Format of the samples in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum SampleFormat {
    Pcmu,
    Pcma,
    Linear,
}

/// Frames as plain data, without audio already passed to the file writer. Samples are numbers: G.711 codes, or linear
/// values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StereoSnapshot {
    format: SampleFormat,
    tracks: TracksSnapshot,
    halves: Vec<Vec<i16>>,
    ahead: TrackName,
    is_heard: bool,
}

impl StereoSnapshot {
    /// Forgets the RTP source of a track, because the track's decoder starts in its initial state.
    pub(super) fn forget_source(&mut self, track: TrackName) {
        self.tracks.forget_source(track);
    }
}

impl StereoFrames {
    /// Returns the frames as plain data, without the current block, which must have been passed to the file writer.
    pub(super) fn snapshot(&self, now: Instant) -> StereoSnapshot {
        match self {
            StereoFrames::Pcmu(pairs) => pairs.snapshot(now, SampleFormat::Pcmu, i16::from),
            StereoFrames::Pcma(pairs) => pairs.snapshot(now, SampleFormat::Pcma, |code| i16::from(code.0)),
            StereoFrames::Linear(pairs) => pairs.snapshot(now, SampleFormat::Linear, |sample| sample),
        }
    }

    /// Restores frames; `now` is the time of the snapshot.
    pub(super) fn restore(now: Instant, snapshot: StereoSnapshot) -> StereoFrames {
        let code = |number: i16| u8::try_from(number).unwrap_or(u8::SILENCE);
        match snapshot.format {
            SampleFormat::Pcmu => StereoFrames::Pcmu(FramePairs::restore(now, snapshot, code)),
            SampleFormat::Pcma => StereoFrames::Pcma(FramePairs::restore(now, snapshot, |number| Alaw(code(number)))),
            SampleFormat::Linear => StereoFrames::Linear(FramePairs::restore(now, snapshot, |number| number)),
        }
    }

    /// Creates an empty buffer for frames from `now` on.
    pub(super) fn new(now: Instant) -> StereoFrames {
        StereoFrames::Pcmu(FramePairs::new(StreamTracks::recorded(now, TrackSet::Both)))
    }

    /// Takes the next frame of either direction; `enter` maps the levels of each complete pair to its treatment in
    /// the file. Returns whether a frame was taken.
    pub(super) fn take_half(&mut self, now: Instant, enter: impl FnOnce([u16; 2]) -> FrameTreatment) -> bool {
        match self {
            StereoFrames::Pcmu(pairs) => pairs.take_half(now, enter),
            StereoFrames::Pcma(pairs) => pairs.take_half(now, enter),
            StereoFrames::Linear(pairs) => pairs.take_half(now, enter),
        }
    }

    /// Passes a full block to `take`; with `rest` also an incomplete one. Returns whether there was a block.
    pub(super) fn drain(&mut self, rest: bool, take: impl FnOnce(RecordedSamples<'_>)) -> bool {
        match self {
            StereoFrames::Pcmu(pairs) => pairs.drain(rest, |block| take(RecordedSamples::Pcmu(block))),
            StereoFrames::Pcma(pairs) => pairs.drain(rest, |block| take(RecordedSamples::Pcma(block))),
            StereoFrames::Linear(pairs) => pairs.drain(rest, |block| take(RecordedSamples::Linear(block))),
        }
    }

    /// Returns the time at which [`Self::take_half`] has a frame at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            StereoFrames::Pcmu(pairs) => pairs.tracks.poll_timeout(),
            StereoFrames::Pcma(pairs) => pairs.tracks.poll_timeout(),
            StereoFrames::Linear(pairs) => pairs.tracks.poll_timeout(),
        }
    }

    /// Selects the sample format: the G.711 law of the first audio, and linear as soon as audio of another codec
    /// arrives.
    fn suit(&mut self, now: Instant, coding: PayloadCodec) {
        let is_suited = match self {
            StereoFrames::Pcmu(_) => coding == PayloadCodec::Pcmu,
            StereoFrames::Pcma(_) => coding == PayloadCodec::Pcma,
            StereoFrames::Linear(_) => true,
        };
        if !is_suited {
            self.convert(now, coding);
        }
    }

    #[cold]
    fn convert(&mut self, now: Instant, coding: PayloadCodec) {
        *self = match (std::mem::replace(self, StereoFrames::new(now)), coding) {
            (StereoFrames::Pcmu(pairs), PayloadCodec::Pcma) if !pairs.is_heard => {
                StereoFrames::Pcma(pairs.map(|_| Alaw::SILENCE))
            }
            (StereoFrames::Pcmu(pairs), _) => StereoFrames::Linear(pairs.map(LinearSample::linear)),
            (StereoFrames::Pcma(pairs), _) => StereoFrames::Linear(pairs.map(LinearSample::linear)),
            (linear @ StereoFrames::Linear(_), _) => linear,
        };
    }
}

impl TrackFraming for StereoFrames {
    fn push(&mut self, now: Instant, track: TrackName, rtp: &RtpHeader, bytes: &[u8], coding: Option<PayloadCodec>) {
        let payload = bytes.get(rtp.payload.clone()).filter(|_| coding.is_some()).unwrap_or_default();
        if let Some(coding) = coding {
            self.suit(now, coding);
        }
        match self {
            StereoFrames::Pcmu(pairs) => pairs.push(now, track, rtp, payload),
            StereoFrames::Pcma(pairs) => {
                let mut scratch = [Alaw::SILENCE; PACKET];
                let count = scratch.iter_mut().zip(payload).map(|(to, code)| *to = Alaw(*code)).count();
                pairs.push(now, track, rtp, scratch.get(..count).unwrap_or_default());
            }
            StereoFrames::Linear(pairs) => {
                let mut scratch = [0; PACKET];
                pairs.push(now, track, rtp, samples(payload, coding.unwrap_or_default(), &mut scratch));
            }
        }
    }

    fn hold(&mut self, track: TrackName, held: bool) {
        match self {
            StereoFrames::Pcmu(pairs) => pairs.tracks.hold(track, held),
            StereoFrames::Pcma(pairs) => pairs.tracks.hold(track, held),
            StereoFrames::Linear(pairs) => pairs.tracks.hold(track, held),
        }
    }
}

impl<S: LinearSample> FramePairs<S> {
    fn new(tracks: StreamTracks<S>) -> FramePairs<S> {
        let block = Vec::with_capacity(BLOCK);
        FramePairs { tracks, halves: VecDeque::new(), ahead: TrackName::Inbound, block, is_heard: false }
    }

    fn snapshot(&self, now: Instant, format: SampleFormat, number: impl Fn(S) -> i16) -> StereoSnapshot {
        let half = |half: &[S; SAMPLES]| half.iter().map(|sample| number(*sample)).collect();
        StereoSnapshot {
            format,
            tracks: self.tracks.snapshot(now, &number),
            halves: self.halves.iter().map(half).collect(),
            ahead: self.ahead,
            is_heard: self.is_heard,
        }
    }

    fn restore(now: Instant, snapshot: StereoSnapshot, sample: impl Fn(i16) -> S) -> FramePairs<S> {
        let StereoSnapshot { format: _, tracks, halves, ahead, is_heard } = snapshot;
        let half = |numbers: Vec<i16>| {
            let mut half = [S::SILENCE; SAMPLES];
            half.iter_mut().zip(numbers).for_each(|(to, number)| *to = sample(number));
            half
        };
        let halves = halves.into_iter().map(half).collect();
        let tracks = StreamTracks::restore_recorded(now, tracks, &sample);
        FramePairs { halves, ahead, is_heard, ..FramePairs::new(tracks) }
    }

    fn push(&mut self, now: Instant, track: TrackName, rtp: &RtpHeader, payload: &[S]) {
        self.is_heard |= !payload.is_empty();
        let (ssrc, sequence, timestamp) = (rtp.ssrc, rtp.sequence, rtp.timestamp);
        self.tracks.push(now, track, &TrackInput { ssrc, sequence, timestamp, payload });
    }

    fn take_half(&mut self, now: Instant, enter: impl FnOnce([u16; 2]) -> FrameTreatment) -> bool {
        let Some(TrackFrame { track, audio }) = self.tracks.poll(now) else { return false };
        if self.halves.is_empty() {
            // Reuses the same memory for each frame, so that each call occupies fewer cache lines.
            self.halves.clear();
            self.ahead = track;
        }
        let other = if track == self.ahead { None } else { self.halves.pop_front() };
        match (other, track) {
            (None, _) => self.halves.push_back(audio),
            (Some(right), TrackName::Inbound) => self.join(&audio, &right, enter),
            (Some(left), TrackName::Outbound) => self.join(&left, &audio, enter),
        }
        true
    }

    fn join(&mut self, left: &[S; SAMPLES], right: &[S; SAMPLES], enter: impl FnOnce([u16; 2]) -> FrameTreatment) {
        let level = |samples: &[S; SAMPLES]| level_of(samples.iter().map(|sample| sample.linear()));
        let silence = [S::SILENCE; SAMPLES];
        let (left, right) = match enter([level(left), level(right)]) {
            FrameTreatment::Cut => return,
            FrameTreatment::Silence => (&silence, &silence),
            FrameTreatment::Audio(tracks) => (
                if tracks.has(TrackName::Inbound) { left } else { &silence },
                if tracks.has(TrackName::Outbound) { right } else { &silence },
            ),
        };
        self.block.extend(left.iter().zip(right).map(|(left, right)| [*left, *right]));
    }

    fn drain(&mut self, rest: bool, take: impl FnOnce(&[S])) -> bool {
        let is_due = self.block.len() >= BLOCK || rest && !self.block.is_empty();
        if is_due {
            take(self.block.as_flattened());
            self.block.clear();
        }
        is_due
    }

    fn map<T: LinearSample>(self, sample: impl Fn(S) -> T) -> FramePairs<T> {
        let mut block = Vec::with_capacity(BLOCK.max(self.block.len()));
        block.extend(self.block.iter().map(|pair| pair.map(&sample)));
        let halves = self.halves.into_iter().map(|half| half.map(&sample)).collect();
        FramePairs { tracks: self.tracks.map(&sample), halves, ahead: self.ahead, block, is_heard: self.is_heard }
    }
}
