//! One recording that is being written: frames in, a file out. Frames that come while the disk refuses are left out; silence of their
//! length takes their place once it is ready.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_call::{LossReason, Losses};
use trunkgate_recording::age::Identities;
use trunkgate_recording::limits::{FRAME_MS, FRAME_SAMPLES};
use trunkgate_recording::{Channels, Container, Encoder};

use super::drawn;
use super::figures::RecordingFigures;
use super::index::Entry;
use super::output::Output;
use super::place::Place;
use super::{Begin, Block, Gap, RecordingId, Sound};
use trunkgate_config::Recording;
use trunkgate_system::limits::{RECORDINGS_FLUSH_FRAMES, RECORDINGS_SILENCE_FRAMES};

/// Samples of a frame, of both parties.
const STEREO: usize = 2 * FRAME_SAMPLES;
/// Loss of which the call is notified while it goes on, in milliseconds.
const TOLD_MS: u64 = 1_000;
/// Cause of frames that never came to the writer.
const BEHIND: &str = "the writer was behind";

/// A recording.
#[derive(Debug)]
pub(super) struct Live {
    id: RecordingId,
    encoder: Encoder,
    output: Output,
    /// Its entry in the index as it began.
    entry: Entry,
    /// Frames that were encoded since the last write.
    gathered: u64,
    /// Frames up to the end of the latest block, written or lost.
    heard: u64,
    gaps: u64,
    lost: Losses,
    /// Milliseconds of loss that the call knows of.
    told: u64,
    trim: bool,
    key: Option<Arc<Identities>>,
    figures: Arc<RecordingFigures>,
}

/// A recording that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) id: Option<RecordingId>,
    pub(super) place: Place,
    pub(super) entry: Entry,
    /// Its file; `None` where it could not be created.
    pub(super) file: Option<File>,
    /// Whether all of it was written.
    pub(super) is_whole: bool,
    /// What of it has a sound, where silence around that is to be removed.
    pub(super) trim: Option<Sound>,
    /// What it lacks, and why it lacks what the disk has not taken at its end.
    pub(super) lost: (Losses, LossReason),
}

fn milliseconds(frames: u64) -> u64 {
    frames * u64::from(FRAME_MS)
}

/// Makes an encoder, and what stands at the beginning of its file.
///
/// # Errors
/// The system's, where it has no random numbers.
fn encoder(container: Container, channels: Channels, key: Option<&Identities>) -> io::Result<(Encoder, Vec<u8>)> {
    let encryption = drawn::encryption(key)?;
    let mut beginning = Vec::new();
    let encoder = Encoder::new(container, channels, encryption.as_ref(), drawn::serial()?, &mut beginning)
        .ok_or_else(|| io::Error::other("the encoder cannot be made"))?;
    Ok((encoder, beginning))
}

impl Live {
    /// Begins a recording.
    ///
    /// # Errors
    /// The system's, where it has no random numbers.
    pub(super) fn new(begin: &Begin, settings: &Recording, figures: Arc<RecordingFigures>) -> io::Result<Live> {
        let (encoder, beginning) = encoder(settings.container, begin.channels, settings.key.as_deref())?;
        let kind = (settings.container, settings.key.is_some());
        let place = Place::new(&settings.directory, &begin.sid, begin.started_at, kind);
        let entry = Entry {
            file: Some((place.root().to_string_lossy().into_owned(), place.path())),
            is_opus: settings.container == Container::Opus,
            is_encrypted: settings.key.is_some(),
            ..begin.entry()
        };
        let output = Output::new(place, beginning, Arc::clone(&figures));
        Ok(Live {
            id: begin.id,
            encoder,
            output,
            entry,
            gathered: 0,
            heard: 0,
            gaps: 0,
            lost: Losses::default(),
            told: 0,
            trim: begin.trim,
            key: settings.key.clone(),
            figures,
        })
    }

    /// Returns its entry in the index as it began.
    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Takes a block; returns the gap before it, where it closes one.
    pub(super) fn take(&mut self, block: &Block, now: Instant) -> Option<Gap> {
        let frames = (block.samples.len() / STEREO) as u64;
        self.heard = self.heard.max(block.first.saturating_add(frames));
        self.look(now);
        if !self.is_ready(now) {
            return None;
        }
        let gap = self.silence(block.first, now);
        let at = self.encoder.frames();
        if self.output.is_refused() || at < block.first {
            return gap;
        }
        let known = usize::try_from(at - block.first).unwrap_or(usize::MAX).saturating_mul(STEREO);
        let new = block.samples.linear(known);
        self.encoder.push(&new, self.output.pending());
        self.gathered += (new.len() / STEREO) as u64;
        if self.gathered >= RECORDINGS_FLUSH_FRAMES {
            self.flush(now);
        }
        gap
    }

    /// Fills the file with silence up to a frame, as far as the disk takes it and other recordings are not kept waiting.
    fn silence(&mut self, until: u64, now: Instant) -> Option<Gap> {
        let at = self.encoder.frames();
        let mut left = until.saturating_sub(at).min(RECORDINGS_SILENCE_FRAMES);
        while left > 0 && !self.output.is_refused() {
            let made = self.encoder.push_silence(left, self.output.pending());
            left -= made;
            self.gathered += made;
            self.flush(now);
        }
        let frames = self.encoder.frames() - at;
        if frames == 0 {
            return None;
        }
        let reason = self.output.take_reason();
        self.lose(frames, reason);
        let cause = match reason {
            LossReason::DiskSlow => BEHIND,
            LossReason::DiskFull | LossReason::DiskFailed | LossReason::Restart => {
                self.output.error().unwrap_or(BEHIND)
            }
        };
        Some(Gap {
            sid: self.entry.sid.clone(),
            call_sid: self.entry.call_sid.clone(),
            at_milliseconds: milliseconds(at),
            milliseconds: milliseconds(frames),
            cause: cause.to_owned(),
        })
    }

    fn lose(&mut self, frames: u64, reason: LossReason) {
        self.lost.add(reason, milliseconds(frames));
        self.figures.lost(milliseconds(frames));
        self.figures.gap(self.gaps == 0);
        self.gaps += 1;
    }

    /// Returns what is lost until now, a gap that is still open too, where that is news for the call: each second of it.
    pub(super) fn losing(&mut self) -> Option<(RecordingId, Losses)> {
        let mut lost = self.lost;
        if self.output.is_refused() {
            let missing = self.heard.saturating_sub(self.encoder.frames());
            lost.add(self.output.reason(), milliseconds(missing));
        }
        let is_new = lost.total() >= self.told + TOLD_MS || lost == self.lost && lost.total() != self.told;
        is_new.then(|| {
            self.told = lost.total();
            (self.id, lost)
        })
    }

    /// Begins again where the file was removed: all that it had is a gap then.
    fn look(&mut self, now: Instant) {
        if !self.output.is_gone(now) {
            return;
        }
        let container = if self.entry.is_opus { Container::Opus } else { Container::Wav };
        let channels = Channels::of(self.entry.channels).unwrap_or(Channels::Dual);
        // Without random numbers the next look tries again.
        let Ok((encoder, beginning)) = encoder(container, channels, self.key.as_deref()) else { return };
        (self.encoder, self.gathered) = (encoder, 0);
        // Gaps that the file had are parts of the one that follows.
        (self.gaps, self.lost) = (0, Losses::default());
        self.output.begin_again(beginning, now);
    }

    /// Whether the disk takes what it has refused before; it is asked once in a while.
    fn is_ready(&mut self, now: Instant) -> bool {
        !self.output.is_refused() || self.output.may_try(now) && self.write(now)
    }

    fn write(&mut self, now: Instant) -> bool {
        let encoder = &self.encoder;
        self.output.write(now, |length| encoder.header(length))
    }

    /// Brings what was gathered to the file.
    pub(super) fn flush(&mut self, now: Instant) {
        self.look(now);
        if !self.is_ready(now) || self.gathered == 0 {
            return;
        }
        self.encoder.flush(self.output.pending());
        self.figures.milliseconds.add(milliseconds(self.gathered));
        self.gathered = 0;
        self.write(now);
    }

    /// Ends it; what the disk refuses now is lost.
    pub(super) fn end(mut self, sound: Sound, now: Instant) -> Ended {
        self.output.look_again();
        self.look(now);
        if self.output.is_refused() {
            self.write(now);
        }
        self.flush(now);
        let (missing, reason) = (self.heard.saturating_sub(self.encoder.frames()), self.output.reason());
        if missing > 0 {
            self.lose(missing, reason);
        }
        let Live { id, encoder, mut output, entry, gaps, lost, trim, .. } = self;
        let has_header = encoder.header(output.written()).is_some();
        let frames = encoder.milliseconds();
        let mut is_whole = !output.is_refused();
        if !has_header {
            encoder.finish(output.pending());
            is_whole = is_whole && output.write(now, |_| None);
        }
        let entry = Entry {
            milliseconds: frames,
            bytes: output.written(),
            gaps,
            lost_milliseconds: lost.total(),
            error: output.error().map(str::to_owned),
            ..entry
        };
        let (place, file) = output.into_parts();
        Ended { id: Some(id), place, entry, file, is_whole, trim: trim.then_some(sound), lost: (lost, reason) }
    }
}
