//! One recorder: both directions of an end as frames of 20 ms on the edge's clock, caller left, what the caller hears right.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use trunkgate_agent::limits::{FRAME, SILENCE_AFTER};
use trunkgate_agent::{Format, Frame, TrackName, TrackSet};
use trunkgate_terms::{Recorded, RecordingId, RecordingPause};

use crate::codec::Coding;
use crate::codec::level::level;
use crate::limits::{RECORDED_FRAMES_PER_BLOCK, RECORDED_SOUND};
use crate::spec::{EndId, RecorderSpec, TapSpec};

use super::hearing::Hearing;
use super::listener::TrackPacket;

/// Samples of one direction in a frame: 20 ms at 8 kHz.
const SAMPLES: usize = 160;
/// Samples of a direction in a block.
const BLOCK: usize = SAMPLES * RECORDED_FRAMES_PER_BLOCK;

type Samples = [i16; SAMPLES];

/// A recorder.
#[derive(Debug)]
pub(super) struct Recorder {
    id: EndId,
    recording: RecordingId,
    tracks: TrackSet,
    begun: Instant,
    hearing: Hearing,
    /// Frames whose other half is not there yet: all of one track.
    halves: VecDeque<Samples>,
    /// The track that they are of.
    ahead: TrackName,
    /// Frames heard since it began, whether written or cut out.
    heard: u64,
    pause: Option<RecordingPause>,
    file: File,
    silence: Silence,
    is_over: bool,
}

/// The audio of the file that is not handed over yet.
#[derive(Debug)]
struct File {
    /// Number of the first frame in `block`.
    first: u64,
    /// Frames in the file.
    frames: u64,
    block: Vec<[i16; 2]>,
}

/// Silence of the caller.
#[derive(Debug)]
struct Silence {
    /// The silence that is reported.
    limit: Option<Duration>,
    /// Frames since the last sound.
    frames: u32,
    is_reported: bool,
    /// The first and the last frame of the file with a sound.
    sound: Option<(u64, u64)>,
}

impl Recorder {
    /// Creates a recorder that records from `now` on.
    pub(super) fn new(now: Instant, id: EndId, spec: &RecorderSpec) -> Recorder {
        let mut hearing = Hearing::new(Format::L16Rate8000);
        hearing.begin_recorded(now, TrackSet::Both);
        Recorder {
            id,
            recording: spec.recording,
            tracks: spec.tracks,
            begun: now,
            hearing,
            halves: VecDeque::new(),
            ahead: TrackName::Inbound,
            heard: 0,
            pause: None,
            file: File { first: 0, frames: 0, block: Vec::with_capacity(BLOCK) },
            silence: Silence { limit: spec.silence, frames: 0, is_reported: false, sound: None },
            is_over: false,
        }
    }
    /// Returns its name.
    pub(super) fn id(&self) -> EndId {
        self.id
    }
    /// Returns the recording that it makes.
    pub(super) fn recording(&self) -> RecordingId {
        self.recording
    }
    /// Returns the frames of the file.
    pub(super) fn frames(&self) -> u64 {
        self.file.frames
    }
    /// Returns the first and the last frame with a sound of the caller.
    pub(super) fn sound(&self) -> Option<(u64, u64)> {
        self.silence.sound
    }
    /// Sets the audio that it hears.
    pub(super) fn tune(&mut self, audio: &TapSpec) {
        self.hearing.tune(TrackName::Inbound, &audio.inbound, None);
        self.hearing.tune(TrackName::Outbound, &audio.outbound, None);
    }
    /// Returns whether audio is decoded for it: audio that is not G.711.
    pub(super) fn decodes(&self) -> bool {
        self.hearing.decodes()
    }
    /// Pauses it, or lets it go on: what was heard before is recorded as before.
    pub(super) fn set_pause(&mut self, now: Instant, pause: Option<RecordingPause>) {
        self.catch_up(now);
        self.silence.frames = 0;
        self.pause = pause;
    }
    /// Takes a packet that it hears; `coding`: that of its audio, `None` where it has none.
    pub(super) fn hear(&mut self, now: Instant, packet: &TrackPacket<'_>, coding: Option<Coding>) {
        // A packet of no use leaves silence.
        let _ = self.hearing.take(now, packet, coding);
        self.record(now);
    }
    /// Goes on without packets that have been waited for.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.hearing.handle_timeout(now);
        self.record(now);
    }
    /// Returns when it does.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.hearing.poll_timeout()
    }
    /// Returns whether a silence of the caller is to be reported now, once until a sound comes: whether it was heard before.
    pub(super) fn silence_over(&mut self) -> Option<bool> {
        let limit = self.silence.limit.filter(|_| self.pause.is_none() && !self.silence.is_reported)?;
        (FRAME * self.silence.frames >= limit).then(|| {
            self.silence.is_reported = true;
            self.silence.sound.is_some()
        })
    }
    /// Ends it: what was heard until `now` is in its file.
    pub(super) fn end(&mut self, now: Instant) {
        self.catch_up(now);
        self.is_over = true;
    }
    /// Returns whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }
    /// Hands over whole blocks; with `rest` also one that is not full.
    pub(super) fn drain(&mut self, rest: bool, take: &mut impl FnMut(RecordingId, Recorded<'_>)) {
        let is_full = self.file.block.len() >= BLOCK;
        if is_full || (rest && !self.file.block.is_empty()) {
            take(self.recording, Recorded::Audio { first: self.file.first, samples: self.file.block.as_flattened() });
            self.file.block.clear();
            self.file.first = self.file.frames;
        }
    }

    /// Records all frames whose time was over before `now`: what is missing of them then does not come any more.
    fn catch_up(&mut self, now: Instant) {
        self.hearing.handle_timeout(now);
        self.record(now);
        let frames = now.saturating_duration_since(self.begun).as_millis() / FRAME.as_millis();
        let over = now + SILENCE_AFTER;
        while u128::from(self.heard) < frames && self.take_half(over) {}
    }

    fn record(&mut self, now: Instant) {
        while self.take_half(now) {}
    }

    /// Takes the next frame of either direction, and records it where its other half is there; returns whether there was one.
    fn take_half(&mut self, now: Instant) -> bool {
        let Some(Frame { track, audio }) = self.hearing.poll_recorded(now) else { return false };
        if self.halves.is_empty() {
            self.ahead = track;
        }
        let other = if track == self.ahead { None } else { self.halves.pop_front() };
        match (other, track) {
            (None, _) => self.halves.push_back(audio),
            (Some(right), TrackName::Inbound) => self.join(&audio, &right),
            (Some(left), TrackName::Outbound) => self.join(&left, &audio),
        }
        true
    }

    /// Records a frame of both directions.
    fn join(&mut self, left: &Samples, right: &Samples) {
        self.heard += 1;
        match self.pause {
            Some(RecordingPause::Cut) => {}
            Some(RecordingPause::Silence) => self.file.push(&[0; SAMPLES], &[0; SAMPLES]),
            None => {
                self.silence.note([level(left), level(right)], self.tracks, self.file.frames);
                let of = |track, samples| if self.tracks.has(track) { samples } else { &[0; SAMPLES] };
                self.file.push(of(TrackName::Inbound, left), of(TrackName::Outbound, right));
            }
        }
    }
}

impl File {
    fn push(&mut self, left: &Samples, right: &Samples) {
        self.block.extend(left.iter().zip(right).map(|(left, right)| [*left, *right]));
        self.frames += 1;
    }
}

impl Silence {
    /// Notes the levels of the caller and of what the caller hears in a frame of the file, and which of them are recorded.
    fn note(&mut self, levels: [u16; 2], recorded: TrackSet, frame: u64) {
        let [caller, heard] = levels.map(|level| level >= RECORDED_SOUND);
        if caller {
            (self.frames, self.is_reported) = (0, false);
        } else {
            self.frames = self.frames.saturating_add(1);
        }
        if caller && recorded.has(TrackName::Inbound) || heard && recorded.has(TrackName::Outbound) {
            self.sound = Some((self.sound.map_or(frame, |(first, _)| first), frame));
        }
    }
}
