//! Recorder: both directions of an end as frames of 20 ms on the edge's clock, the caller on the left channel, the
//! audio sent to the caller on the right.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_agent::limits::{FRAME, SILENCE_AFTER};
use trunkgate_agent::{AgentFormat, TrackName, TrackSet};
use trunkgate_terms::{Recorded, RecordingId, RecordingPause};

use crate::codec::PayloadCodec;
use crate::limits::RECORDED_SOUND;
use crate::spec::{EndId, RecorderSpec, TapSpec};

use super::hearing::{TrackDecoders, TrackFraming as _};
use super::listener::TrackPacket;
use super::stereo::{FrameTreatment, StereoFrames, StereoSnapshot};

/// Recorder of one end; writes no file itself.
#[derive(Debug)]
pub(super) struct Recorder {
    id: EndId,
    recording: RecordingId,
    decoders: TrackDecoders,
    stereo: StereoFrames,
    file: RecordedFile,
    is_over: bool,
}

/// Number of frames in the recorded file, and the treatment of pauses.
#[derive(Debug)]
struct RecordedFile {
    begun: Instant,
    tracks: TrackSet,
    pause: Option<RecordingPause>,
    /// Pairs of frames received since the start, whether written or cut out.
    heard: u64,
    /// Number of the first frame not passed to the file writer yet.
    first: u64,
    /// Number of frames written to the file so far.
    frames: u64,
    silence: SilenceDetector,
}

/// Silence detection on the caller's audio.
#[derive(Debug)]
struct SilenceDetector {
    /// Duration of silence to report; `None` reports none.
    limit: Option<Duration>,
    /// Consecutive frames without a sound of the caller.
    frames: u32,
    is_reported: bool,
    /// First and last frame of the file with a sound, if any.
    sound: Option<(u64, u64)>,
}

/// Recorder as plain data. Audio already passed to the file writer is omitted; decoders start in their initial state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecorderSnapshot {
    /// Id of the recorder in its session.
    pub end: EndId,
    /// The recording.
    pub recording: RecordingId,
    tracks: TrackSet,
    pause: Option<RecordingPause>,
    /// Time from the beginning of the recording to the snapshot, in microseconds.
    begun_us: u64,
    heard: u64,
    frames: u64,
    silence_ms: Option<u64>,
    silent_frames: u32,
    sound: Option<(u64, u64)>,
    stereo: StereoSnapshot,
}

impl Recorder {
    /// Returns the recorder as plain data. Call it once all of its audio has been passed to the file writer.
    pub(super) fn snapshot(&self, now: Instant) -> RecorderSnapshot {
        let mut stereo = self.stereo.snapshot(now);
        self.decoders.decoded_tracks().for_each(|track| stereo.forget_source(track));
        let RecordedFile { begun, tracks, pause, heard, first: _, frames, silence } = &self.file;
        // A silence reported to the process that ends is reported to the next one again.
        let SilenceDetector { limit, frames: silent_frames, is_reported: _, sound } = silence;
        RecorderSnapshot {
            end: self.id,
            recording: self.recording,
            tracks: *tracks,
            pause: *pause,
            begun_us: u64::try_from(now.saturating_duration_since(*begun).as_micros()).unwrap_or(u64::MAX),
            heard: *heard,
            frames: *frames,
            silence_ms: limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            silent_frames: *silent_frames,
            sound: *sound,
            stereo,
        }
    }

    /// Restores a recorder; `now` is the time of the snapshot.
    pub(super) fn restore(now: Instant, snapshot: RecorderSnapshot) -> Recorder {
        let RecorderSnapshot {
            end,
            recording,
            tracks,
            pause,
            begun_us,
            heard,
            frames,
            silence_ms,
            silent_frames,
            sound,
            stereo,
        } = snapshot;
        let limit = silence_ms.map(Duration::from_millis);
        Recorder {
            id: end,
            recording,
            decoders: TrackDecoders::default(),
            stereo: StereoFrames::restore(now, stereo),
            file: RecordedFile {
                begun: now.checked_sub(Duration::from_micros(begun_us)).unwrap_or(now),
                tracks,
                pause,
                heard,
                first: frames,
                frames,
                silence: SilenceDetector { limit, frames: silent_frames, is_reported: false, sound },
            },
            is_over: false,
        }
    }

    /// Turns waiting packets of the decoders into frames, because the decoders end with this process.
    pub(super) fn release_decoders(&mut self, now: Instant) {
        self.decoders.release_all(now, &mut self.stereo);
        self.record(now);
    }

    /// Creates a recorder that records from `now` on.
    pub(super) fn new(now: Instant, id: EndId, spec: &RecorderSpec) -> Recorder {
        Recorder {
            id,
            recording: spec.recording,
            decoders: TrackDecoders::default(),
            stereo: StereoFrames::new(now),
            file: RecordedFile {
                begun: now,
                tracks: spec.tracks,
                pause: None,
                heard: 0,
                first: 0,
                frames: 0,
                silence: SilenceDetector { limit: spec.silence, frames: 0, is_reported: false, sound: None },
            },
            is_over: false,
        }
    }

    /// Returns the id of the recorder among the ends of the session.
    pub(super) fn id(&self) -> EndId {
        self.id
    }

    /// Returns the id of the recording that the recorder feeds.
    pub(super) fn recording(&self) -> RecordingId {
        self.recording
    }

    /// Returns the number of frames in the file.
    pub(super) fn frames(&self) -> u64 {
        self.file.frames
    }

    /// Returns the first and the last frame with a sound of the caller; `None` if the caller was silent.
    pub(super) fn sound(&self) -> Option<(u64, u64)> {
        self.file.silence.sound
    }

    /// Sets the codecs of both directions by payload type.
    pub(super) fn tune(&mut self, audio: &TapSpec) {
        for (track, audio) in [(TrackName::Inbound, &audio.inbound), (TrackName::Outbound, &audio.outbound)] {
            if self.decoders.tune(track, audio, None, AgentFormat::L16Rate8000) {
                self.stereo.hold(track, false);
            }
        }
    }

    /// Returns whether a codec other than G.711 is decoded.
    pub(super) fn decodes(&self) -> bool {
        self.decoders.decode()
    }

    /// Pauses or resumes the recording; audio before `now` is recorded under the previous setting.
    pub(super) fn set_pause(&mut self, now: Instant, pause: Option<RecordingPause>) {
        if self.file.pause == pause {
            // It arrives again from another process.
            return;
        }
        self.catch_up(now);
        self.file.silence.frames = 0;
        self.file.pause = pause;
    }

    /// Processes a packet; `coding` is the codec of its audio, `None` for a packet without audio.
    pub(super) fn hear(&mut self, now: Instant, packet: &TrackPacket<'_>, coding: Option<PayloadCodec>) {
        // The recording has silence in place of an unusable packet.
        let _ = self.decoders.take(now, packet, coding, &mut self.stereo);
        self.record(now);
    }

    /// Releases packets that have waited too long for an earlier one.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.decoders.handle_timeout(now, &mut self.stereo);
        self.record(now);
    }

    /// Returns the time at which the recorder must be polled again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.decoders.deadlines().chain(self.stereo.poll_timeout()).min()
    }

    /// Returns `Some` if a silence of the caller is to be reported now, at most once until the caller's next sound. The
    /// value is `true` if the caller had made a sound before.
    pub(super) fn silence_over(&mut self) -> Option<bool> {
        let silence = &mut self.file.silence;
        let limit = silence.limit.filter(|_| self.file.pause.is_none() && !silence.is_reported)?;
        (FRAME * silence.frames >= limit).then(|| {
            silence.is_reported = true;
            silence.sound.is_some()
        })
    }

    /// Ends the recording; audio up to `now` is in the file.
    pub(super) fn end(&mut self, now: Instant) {
        self.catch_up(now);
        self.is_over = true;
    }

    /// Returns whether the recording has ended.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Passes full blocks of recorded audio to `take`; with `rest` also an incomplete block.
    pub(super) fn drain(&mut self, rest: bool, take: &mut impl FnMut(RecordingId, Recorded<'_>)) {
        let (recording, first) = (self.recording, self.file.first);
        if self.stereo.drain(rest, |samples| take(recording, Recorded::Audio { first, samples })) {
            self.file.first = self.file.frames;
        }
    }

    /// Records all frames due before `now`, with silence for audio that has not arrived.
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

    /// Takes the next frame of either direction, and records the pair once both directions have a frame. Returns
    /// whether a frame was taken.
    fn take_half(&mut self, now: Instant) -> bool {
        let file = &mut self.file;
        self.stereo.take_half(now, |levels| file.enter(levels))
    }
}

impl RecordedFile {
    /// Counts a pair of frames with these levels and returns its treatment in the file.
    fn enter(&mut self, levels: [u16; 2]) -> FrameTreatment {
        self.heard += 1;
        let entry = match self.pause {
            Some(RecordingPause::Cut) => return FrameTreatment::Cut,
            Some(RecordingPause::Silence) => FrameTreatment::Silence,
            None => {
                self.silence.note(levels, self.tracks, self.frames);
                FrameTreatment::Audio(self.tracks)
            }
        };
        self.frames += 1;
        entry
    }
}

impl SilenceDetector {
    /// Updates the silence detection by the levels of a frame of the file: of the caller, and of the audio sent to
    /// the caller. `recorded` is the set of recorded directions.
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
