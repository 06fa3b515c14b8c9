//! One recorder: both directions of an end as frames of 20 ms on the edge's clock, caller left, what the caller hears right.

use std::time::{Duration, Instant};

use trunkgate_agent::limits::{FRAME, SILENCE_AFTER};
use trunkgate_agent::{Format, TrackName, TrackSet};
use trunkgate_terms::{Recorded, RecordingId, RecordingPause};

use crate::codec::Coding;
use crate::limits::RECORDED_SOUND;
use crate::spec::{EndId, RecorderSpec, TapSpec};

use super::hearing::{Decoders, Framing as _};
use super::listener::TrackPacket;
use super::stereo::{Entry, Stereo};

/// A recorder.
#[derive(Debug)]
pub(super) struct Recorder {
    id: EndId,
    recording: RecordingId,
    decoders: Decoders,
    stereo: Stereo,
    file: File,
    is_over: bool,
}

/// What a file has of the frames that were heard.
#[derive(Debug)]
struct File {
    begun: Instant,
    tracks: TrackSet,
    pause: Option<RecordingPause>,
    /// Frames heard since it began, whether written or cut out.
    heard: u64,
    /// Number of the first frame that is not handed over yet.
    first: u64,
    /// Frames in the file.
    frames: u64,
    silence: Silence,
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
        Recorder {
            id,
            recording: spec.recording,
            decoders: Decoders::default(),
            stereo: Stereo::new(now),
            file: File {
                begun: now,
                tracks: spec.tracks,
                pause: None,
                heard: 0,
                first: 0,
                frames: 0,
                silence: Silence { limit: spec.silence, frames: 0, is_reported: false, sound: None },
            },
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
        self.file.silence.sound
    }

    /// Sets the audio that it hears.
    pub(super) fn tune(&mut self, audio: &TapSpec) {
        for (track, audio) in [(TrackName::Inbound, &audio.inbound), (TrackName::Outbound, &audio.outbound)] {
            if self.decoders.tune(track, audio, None, Format::L16Rate8000) {
                self.stereo.hold(track, false);
            }
        }
    }

    /// Returns whether audio is decoded for it: audio that is not G.711.
    pub(super) fn decodes(&self) -> bool {
        self.decoders.decode()
    }

    /// Pauses it, or lets it go on: what was heard before is recorded as before.
    pub(super) fn set_pause(&mut self, now: Instant, pause: Option<RecordingPause>) {
        self.catch_up(now);
        self.file.silence.frames = 0;
        self.file.pause = pause;
    }

    /// Takes a packet that it hears; `coding`: that of its audio, `None` where it has none.
    pub(super) fn hear(&mut self, now: Instant, packet: &TrackPacket<'_>, coding: Option<Coding>) {
        // A packet of no use leaves silence.
        let _ = self.decoders.take(now, packet, coding, &mut self.stereo);
        self.record(now);
    }

    /// Goes on without packets that have been waited for.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.decoders.handle_timeout(now, &mut self.stereo);
        self.record(now);
    }

    /// Returns when it does.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.decoders.deadlines().chain(self.stereo.poll_timeout()).min()
    }

    /// Returns whether a silence of the caller is to be reported now, once until a sound comes: whether it was heard before.
    pub(super) fn silence_over(&mut self) -> Option<bool> {
        let silence = &mut self.file.silence;
        let limit = silence.limit.filter(|_| self.file.pause.is_none() && !silence.is_reported)?;
        (FRAME * silence.frames >= limit).then(|| {
            silence.is_reported = true;
            silence.sound.is_some()
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
        let (recording, first) = (self.recording, self.file.first);
        if self.stereo.drain(rest, |samples| take(recording, Recorded::Audio { first, samples })) {
            self.file.first = self.file.frames;
        }
    }

    /// Records all frames whose time was over before `now`: what is missing of them then does not come any more.
    fn catch_up(&mut self, now: Instant) {
        self.decoders.handle_timeout(now, &mut self.stereo);
        self.record(now);
        let frames = now.saturating_duration_since(self.file.begun).as_millis() / FRAME.as_millis();
        let over = now + SILENCE_AFTER;
        while u128::from(self.file.heard) < frames && self.take_half(over) {}
    }

    fn record(&mut self, now: Instant) {
        while self.take_half(now) {}
    }

    /// Takes the next frame of either direction, and records it where its other half is there; returns whether there was one.
    fn take_half(&mut self, now: Instant) -> bool {
        let file = &mut self.file;
        self.stereo.take_half(now, |levels| file.enter(levels))
    }
}

impl File {
    /// Counts a pair of frames of these levels, and says how it comes into the file.
    fn enter(&mut self, levels: [u16; 2]) -> Entry {
        self.heard += 1;
        let entry = match self.pause {
            Some(RecordingPause::Cut) => return Entry::Cut,
            Some(RecordingPause::Silence) => Entry::Silence,
            None => {
                self.silence.note(levels, self.tracks, self.frames);
                Entry::Audio(self.tracks)
            }
        };
        self.frames += 1;
        entry
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
