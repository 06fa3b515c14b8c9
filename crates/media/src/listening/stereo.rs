//! Both directions of an end in pairs of frames, as recorded: G.711 codes as received if both directions use the same
//! law, otherwise linear samples.
//!
//! The cost of a recorder is the cache traffic of each call's own memory. G.711 codes halve the bytes on the way to the
//! file writer, which decodes them.

use std::collections::VecDeque;
use std::time::Instant;

use trunkgate_agent::{Frame, Packet, Sample, TrackName, TrackSet, Tracks};
use trunkgate_terms::{Alaw, RecordedSamples};

use crate::codec::Coding;
use crate::codec::g711::{decode_alaw, decode_ulaw};
use crate::codec::level::level_of;
use crate::limits::RECORDED_FRAMES_PER_BLOCK;
use crate::rtp::{PACKET, Rtp};

use super::hearing::Framing;
use super::uplink::samples;

/// Samples of one direction in a frame: 20 ms at 8 kHz.
const SAMPLES: usize = 160;
/// Samples of a direction in a block.
const BLOCK: usize = SAMPLES * RECORDED_FRAMES_PER_BLOCK;

/// Sample with a linear value.
pub(super) trait Sound: Sample {
    /// Returns the linear value.
    fn linear(self) -> i16;
}

impl Sound for u8 {
    fn linear(self) -> i16 {
        decode_ulaw(self)
    }
}

impl Sound for Alaw {
    fn linear(self) -> i16 {
        decode_alaw(self.0)
    }
}

impl Sound for i16 {
    fn linear(self) -> i16 {
        self
    }
}

/// Treatment of a pair of frames in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Audio of these directions, silence for the others.
    Audio(TrackSet),
    /// Silence.
    Silence,
    /// Omitted.
    Cut,
}

/// Recorded frames of both directions, from their packets to a block of the file, by kind of sample.
#[derive(Debug)]
pub(super) enum Stereo {
    /// μ-law codes.
    Pcmu(Pairs<u8>),
    /// A-law codes.
    Pcma(Pairs<Alaw>),
    /// Linear samples.
    Linear(Pairs<i16>),
}

/// Frames of one kind of samples.
#[derive(Debug)]
pub(super) struct Pairs<S> {
    tracks: Tracks<S>,
    /// Frames still waiting for their other half, all of one track.
    halves: VecDeque<[S; SAMPLES]>,
    /// Track of the waiting frames.
    ahead: TrackName,
    /// Audio of the file not handed over yet.
    block: Vec<[S; 2]>,
    /// Whether audio has arrived.
    is_heard: bool,
}

impl Stereo {
    /// Creates an empty buffer; the first frame begins at `now`.
    pub(super) fn new(now: Instant) -> Stereo {
        Stereo::Pcmu(Pairs::new(Tracks::recorded(now, TrackSet::Both)))
    }

    /// Takes the next frame of either direction; `enter` maps the levels of each complete pair to its treatment in the
    /// file. Returns whether there was a frame.
    pub(super) fn take_half(&mut self, now: Instant, enter: impl FnOnce([u16; 2]) -> Entry) -> bool {
        match self {
            Stereo::Pcmu(pairs) => pairs.take_half(now, enter),
            Stereo::Pcma(pairs) => pairs.take_half(now, enter),
            Stereo::Linear(pairs) => pairs.take_half(now, enter),
        }
    }

    /// Hands over a full block; with `rest` also a partial one. Returns whether there was a block.
    pub(super) fn drain(&mut self, rest: bool, take: impl FnOnce(RecordedSamples<'_>)) -> bool {
        match self {
            Stereo::Pcmu(pairs) => pairs.drain(rest, |block| take(RecordedSamples::Pcmu(block))),
            Stereo::Pcma(pairs) => pairs.drain(rest, |block| take(RecordedSamples::Pcma(block))),
            Stereo::Linear(pairs) => pairs.drain(rest, |block| take(RecordedSamples::Linear(block))),
        }
    }

    /// Returns the time at which a frame is due at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Stereo::Pcmu(pairs) => pairs.tracks.poll_timeout(),
            Stereo::Pcma(pairs) => pairs.tracks.poll_timeout(),
            Stereo::Linear(pairs) => pairs.tracks.poll_timeout(),
        }
    }

    /// Selects the kind of samples: the law of the first audio, and linear as soon as another kind arrives.
    fn suit(&mut self, now: Instant, coding: Coding) {
        let is_suited = match self {
            Stereo::Pcmu(_) => coding == Coding::Pcmu,
            Stereo::Pcma(_) => coding == Coding::Pcma,
            Stereo::Linear(_) => true,
        };
        if !is_suited {
            self.convert(now, coding);
        }
    }

    #[cold]
    fn convert(&mut self, now: Instant, coding: Coding) {
        *self = match (std::mem::replace(self, Stereo::new(now)), coding) {
            (Stereo::Pcmu(pairs), Coding::Pcma) if !pairs.is_heard => Stereo::Pcma(pairs.map(|_| Alaw::SILENCE)),
            (Stereo::Pcmu(pairs), _) => Stereo::Linear(pairs.map(Sound::linear)),
            (Stereo::Pcma(pairs), _) => Stereo::Linear(pairs.map(Sound::linear)),
            (linear @ Stereo::Linear(_), _) => linear,
        };
    }
}

impl Framing for Stereo {
    fn push(&mut self, now: Instant, track: TrackName, rtp: &Rtp, bytes: &[u8], coding: Option<Coding>) {
        let payload = bytes.get(rtp.payload.clone()).filter(|_| coding.is_some()).unwrap_or_default();
        if let Some(coding) = coding {
            self.suit(now, coding);
        }
        match self {
            Stereo::Pcmu(pairs) => pairs.push(now, track, rtp, payload),
            Stereo::Pcma(pairs) => {
                let mut scratch = [Alaw::SILENCE; PACKET];
                let count = scratch.iter_mut().zip(payload).map(|(to, code)| *to = Alaw(*code)).count();
                pairs.push(now, track, rtp, scratch.get(..count).unwrap_or_default());
            }
            Stereo::Linear(pairs) => {
                let mut scratch = [0; PACKET];
                pairs.push(now, track, rtp, samples(payload, coding.unwrap_or_default(), &mut scratch));
            }
        }
    }

    fn hold(&mut self, track: TrackName, held: bool) {
        match self {
            Stereo::Pcmu(pairs) => pairs.tracks.hold(track, held),
            Stereo::Pcma(pairs) => pairs.tracks.hold(track, held),
            Stereo::Linear(pairs) => pairs.tracks.hold(track, held),
        }
    }
}

impl<S: Sound> Pairs<S> {
    fn new(tracks: Tracks<S>) -> Pairs<S> {
        let block = Vec::with_capacity(BLOCK);
        Pairs { tracks, halves: VecDeque::new(), ahead: TrackName::Inbound, block, is_heard: false }
    }

    fn push(&mut self, now: Instant, track: TrackName, rtp: &Rtp, payload: &[S]) {
        self.is_heard |= !payload.is_empty();
        let (ssrc, sequence, timestamp) = (rtp.ssrc, rtp.sequence, rtp.timestamp);
        self.tracks.push(now, track, &Packet { ssrc, sequence, timestamp, payload });
    }

    fn take_half(&mut self, now: Instant, enter: impl FnOnce([u16; 2]) -> Entry) -> bool {
        let Some(Frame { track, audio }) = self.tracks.poll(now) else { return false };
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

    fn join(&mut self, left: &[S; SAMPLES], right: &[S; SAMPLES], enter: impl FnOnce([u16; 2]) -> Entry) {
        let level = |samples: &[S; SAMPLES]| level_of(samples.iter().map(|sample| sample.linear()));
        let silence = [S::SILENCE; SAMPLES];
        let (left, right) = match enter([level(left), level(right)]) {
            Entry::Cut => return,
            Entry::Silence => (&silence, &silence),
            Entry::Audio(tracks) => (
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

    fn map<T: Sound>(self, sample: impl Fn(S) -> T) -> Pairs<T> {
        let mut block = Vec::with_capacity(BLOCK.max(self.block.len()));
        block.extend(self.block.iter().map(|pair| pair.map(&sample)));
        let halves = self.halves.into_iter().map(|half| half.map(&sample)).collect();
        Pairs { tracks: self.tracks.map(&sample), halves, ahead: self.ahead, block, is_heard: self.is_heard }
    }
}
