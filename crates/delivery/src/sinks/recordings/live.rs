//! Recording in progress: encodes frames to a file. Frames that arrive while the disk refuses writes are replaced by
//! silence of equal length.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_call::{InterruptedRecording, LossReason, RecordingLosses};
use trunkgate_recording::age::AgeIdentities;
use trunkgate_recording::limits::{FRAME_MS, FRAME_SAMPLES};
use trunkgate_recording::{Channels, Container, EncoderSnapshot, RecordingEncoder};

use super::drawn;
use super::figures::RecordingFigures;
use super::index::RecordingEntry;
use super::output::{OutputSnapshot, RecordingOutput};
use super::place::RecordingLocation;
use super::repair;
use super::{FrameBlock, NewRecording, RecordingGap, RecordingId, SoundRange};
use trunkgate_config::RecordingSettings;
use trunkgate_system::clock;
use trunkgate_system::limits::{RECORDINGS_FLUSH_FRAMES, RECORDINGS_SILENCE_FRAMES};

/// Number of samples of a frame with both channels.
const STEREO: usize = 2 * FRAME_SAMPLES;
/// Minimum growth of the loss, in milliseconds, before a recording in progress reports it to its call again.
const TOLD_MS: u64 = 1_000;
/// Cause of a gap for frames that never reached the writer.
const BEHIND: &str = "the writer was behind";
/// Cause of a gap until another process continued the recording.
const CRASHED: &str = "the edge crashed";
/// Cause of a gap in which the process of the edge was stopped, or its machine paused.
const STOPPED: &str = "the process did not run";

/// Recording that is being written.
#[derive(Debug)]
pub(super) struct LiveRecording {
    id: RecordingId,
    encoder: RecordingEncoder,
    output: RecordingOutput,
    /// Index entry at the start.
    entry: RecordingEntry,
    /// Number of frames encoded since the last write.
    gathered: u64,
    /// Frame at which the recorder of this process began; 0 unless an earlier process has crashed.
    first: u64,
    /// End of the audio of a process that has crashed, until the first block gives the length of the gap.
    crashed: Option<Instant>,
    /// End of the latest block, in frames since the start.
    heard: u64,
    /// Time at which the latest block was complete; `None` before the first block of this process.
    heard_at: Option<Instant>,
    gaps: u64,
    lost: RecordingLosses,
    /// Loss already reported to the call, in milliseconds.
    told: u64,
    trim: bool,
    key: Option<Arc<AgeIdentities>>,
    figures: Arc<RecordingFigures>,
}

/// Recording whose file another process continues, as plain data. The key of an encrypted file is in clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspendedRecording {
    id: RecordingId,
    entry: RecordingEntry,
    encoder: EncoderSnapshot,
    output: OutputSnapshot,
    first: u64,
    heard: u64,
    gaps: u64,
    lost: RecordingLosses,
    told: u64,
    trim: bool,
}

impl SuspendedRecording {
    /// Returns the id of the recording.
    pub(super) fn id(&self) -> RecordingId {
        self.id
    }

    /// Returns the index entry of the recording at its start.
    pub(super) fn entry(&self) -> &RecordingEntry {
        &self.entry
    }
}

/// Recording that has ended, for the closing thread.
#[derive(Debug)]
pub(super) struct EndedRecording {
    pub(super) id: Option<RecordingId>,
    pub(super) place: RecordingLocation,
    pub(super) entry: RecordingEntry,
    /// File of the recording; `None` if it could not be created.
    pub(super) file: Option<File>,
    /// True if all encoded audio is in the file.
    pub(super) is_whole: bool,
    /// First and last frame with sound, if silence around them is to be trimmed.
    pub(super) trim: Option<SoundRange>,
    /// Losses so far, and the reason for audio that the disk refused at the end.
    pub(super) lost: (RecordingLosses, LossReason),
}

fn milliseconds(frames: u64) -> u64 {
    frames * u64::from(FRAME_MS)
}

fn frames(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) / u64::from(FRAME_MS)
}

fn container_of(entry: &RecordingEntry) -> Container {
    if entry.is_opus { Container::Opus } else { Container::Wav }
}

/// Creates an encoder, and the first bytes of its file.
///
/// # Errors
/// Returns the system's error if random numbers are unavailable.
fn encoder(
    container: Container,
    channels: Channels,
    key: Option<&AgeIdentities>,
) -> io::Result<(RecordingEncoder, Vec<u8>)> {
    let encryption = drawn::encryption(key)?;
    let mut beginning = Vec::new();
    let encoder = RecordingEncoder::new(container, channels, encryption.as_ref(), drawn::serial()?, &mut beginning)
        .ok_or_else(|| io::Error::other("the encoder cannot be made"))?;
    Ok((encoder, beginning))
}

impl LiveRecording {
    /// Starts a recording.
    ///
    /// # Errors
    /// Returns the system's error if random numbers are unavailable.
    pub(super) fn new(
        begin: &NewRecording,
        settings: &RecordingSettings,
        figures: Arc<RecordingFigures>,
    ) -> io::Result<LiveRecording> {
        let (encoder, beginning) = encoder(settings.container, begin.channels, settings.key.as_deref())?;
        let kind = (settings.container, settings.key.is_some());
        let place = RecordingLocation::new(&settings.directory, &begin.sid, begin.started_at, kind);
        let entry = RecordingEntry {
            file: Some((place.root().to_string_lossy().into_owned(), place.path())),
            is_opus: settings.container == Container::Opus,
            is_encrypted: settings.key.is_some(),
            ..begin.entry()
        };
        let output = RecordingOutput::new(place, beginning, Arc::clone(&figures));
        Ok(LiveRecording {
            id: begin.id,
            encoder,
            output,
            entry,
            gathered: 0,
            first: 0,
            crashed: None,
            heard: 0,
            heard_at: None,
            gaps: 0,
            lost: RecordingLosses::default(),
            told: 0,
            trim: begin.trim,
            key: settings.key.clone(),
            figures,
        })
    }

    /// Writes all audio and gives the recording to another process, which continues its file.
    pub(super) fn suspend(mut self, now: Instant) -> SuspendedRecording {
        if self.output.is_refused() {
            self.write(now);
        }
        self.flush(now);
        let LiveRecording { id, encoder, mut output, entry, first, heard, gaps, lost, told, trim, .. } = self;
        let encoder = encoder.suspend(output.pending());
        let output = output.snapshot();
        SuspendedRecording { id, entry, encoder, output, first, heard, gaps, lost, told, trim }
    }

    /// Continues the file of a recording of another process.
    ///
    /// # Errors
    /// Returns the reason why the file cannot be continued.
    pub(super) fn resume(
        suspended: SuspendedRecording,
        key: Option<Arc<AgeIdentities>>,
        figures: Arc<RecordingFigures>,
        now: Instant,
    ) -> io::Result<LiveRecording> {
        let SuspendedRecording { id, entry, encoder, output, first, heard, gaps, lost, told, trim } = suspended;
        let place = entry.file.as_ref().and_then(|(root, path)| RecordingLocation::of(root, path));
        let place = place.ok_or_else(|| io::Error::other("the recording has no file"))?;
        let encoder =
            RecordingEncoder::resume(encoder).ok_or_else(|| io::Error::other("the encoder cannot be made"))?;
        let (key, kept) = (key.filter(|_| entry.is_encrypted), Arc::clone(&figures));
        let (output, is_gone) = match RecordingOutput::resume(place.clone(), output, Arc::clone(&figures), now) {
            Ok(output) => (output, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (RecordingOutput::new(place, Vec::new(), Arc::clone(&figures)), true)
            }
            Err(error) => return Err(error),
        };
        let mut live = LiveRecording {
            id,
            encoder,
            output,
            entry,
            gathered: 0,
            first,
            crashed: None,
            heard,
            heard_at: None,
            gaps,
            lost,
            told,
            trim,
            key,
            figures: kept,
        };
        if is_gone {
            live.begin_again(now);
        }
        Ok(live)
    }

    /// Returns the index entry with which the recording started.
    pub(super) fn entry(&self) -> &RecordingEntry {
        &self.entry
    }

    /// Continues the file of a crashed process at the time `now`, which is `date` in milliseconds since 1970. The time
    /// from the end of the file's audio to the first block is a gap, unless a pause is cut out of the recording.
    ///
    /// # Errors
    /// Returns the reason why the file cannot be continued.
    pub(super) fn reopen(
        interrupted: &InterruptedRecording,
        entry: RecordingEntry,
        figures: Arc<RecordingFigures>,
        (now, date): (Instant, i64),
    ) -> io::Result<LiveRecording> {
        if entry.is_encrypted {
            return Err(io::Error::other("the key of an encrypted file is lost"));
        }
        let channels = Channels::of(entry.channels).unwrap_or(Channels::Dual);
        let place = entry.file.as_ref().and_then(|(root, path)| RecordingLocation::of(root, path));
        let place = place.ok_or_else(|| io::Error::other("the recording has no file"))?;
        let file = match place.open(true) {
            Ok(file) => Some(file),
            // The process had not written the file yet, or it was removed: its audio so far is in the gap.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let (encoder, output, changed) = match file {
            Some(file) => {
                let about = file.metadata()?;
                let (encoder, written) = repair::continued(&file, about.len(), (entry.is_opus, channels))
                    .ok_or_else(|| io::Error::other("the file is damaged"))?;
                file.set_len(written)?;
                let encoder =
                    RecordingEncoder::resume(encoder).ok_or_else(|| io::Error::other("the encoder cannot be made"))?;
                let output = RecordingOutput::new(place, Vec::new(), Arc::clone(&figures)).with_file(file, written);
                let changed = about.mtime().saturating_mul(1000).saturating_add(about.mtime_nsec() / 1_000_000);
                (encoder, output, changed)
            }
            None => {
                let (encoder, beginning) = encoder(container_of(&entry), channels, None)?;
                (encoder, RecordingOutput::new(place, beginning, Arc::clone(&figures)), entry.started)
            }
        };
        let absent = Duration::from_millis(u64::try_from(date.saturating_sub(changed)).unwrap_or(0));
        let first = encoder.frames() + if interrupted.is_cut { 0 } else { frames(absent) };
        Ok(LiveRecording {
            id: interrupted.id,
            encoder,
            output: output.after_crash(),
            entry,
            gathered: 0,
            first,
            crashed: now.checked_sub(absent).filter(|_| !interrupted.is_cut),
            heard: first,
            heard_at: None,
            // Gaps before the crash count as one, because only their length is known.
            gaps: u64::from(interrupted.lost.total() > 0),
            lost: interrupted.lost,
            told: interrupted.lost.total(),
            trim: interrupted.is_trimmed,
            key: None,
            figures,
        })
    }

    /// Adds a block of frames; returns the gap before the block, if silence was written for it.
    pub(super) fn take(&mut self, block: &FrameBlock, now: Instant) -> Option<RecordingGap> {
        let length = (block.samples.len() / STEREO) as u64;
        if let Some(crashed) = self.crashed.take() {
            // Its recorder began some time after this process.
            let absent = frames(block.at.saturating_duration_since(crashed)).saturating_sub(length + block.first);
            self.first = self.first.max(self.encoder.frames() + absent);
        }
        let first = block.first.saturating_add(self.first);
        (self.heard, self.heard_at) = (self.heard.max(first.saturating_add(length)), Some(block.at));
        self.look(now);
        if !self.is_ready(now) {
            return None;
        }
        let gap = self.silence(first, now);
        let at = self.encoder.frames();
        if self.output.is_refused() || at < first {
            return gap;
        }
        let known = usize::try_from(at - first).unwrap_or(usize::MAX).saturating_mul(STEREO);
        let new = block.samples.linear(known);
        self.encoder.push(&new, self.output.pending());
        self.gathered += (new.len() / STEREO) as u64;
        if self.gathered >= RECORDINGS_FLUSH_FRAMES {
            self.flush(now);
        }
        gap
    }

    /// Writes silence up to a frame, as far as the disk accepts it; returns the gap. The amount is limited, so that
    /// other recordings are not delayed.
    fn silence(&mut self, until: u64, now: Instant) -> Option<RecordingGap> {
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
            LossReason::DiskFull | LossReason::DiskFailed => self.output.error().unwrap_or(BEHIND),
            LossReason::Restart => CRASHED,
            LossReason::ProcessStopped => STOPPED,
        };
        Some(self.describe_gap(at, frames, cause))
    }

    /// Counts audio that has not arrived, because the process did not run for this long; returns the gap. The recorder
    /// has put silence there.
    pub(super) fn note_stop(&mut self, pause: Duration) -> RecordingGap {
        let length = frames(pause);
        self.lose(length, LossReason::ProcessStopped);
        self.describe_gap(self.encoder.frames().saturating_sub(length), length, STOPPED)
    }

    fn describe_gap(&self, at: u64, frames: u64, cause: &str) -> RecordingGap {
        RecordingGap {
            sid: self.entry.sid.clone(),
            call_sid: self.entry.call_sid.clone(),
            at_milliseconds: milliseconds(at),
            milliseconds: milliseconds(frames),
            cause: cause.to_owned(),
        }
    }

    fn lose(&mut self, frames: u64, reason: LossReason) {
        self.lost.add(reason, milliseconds(frames));
        // These have nothing to do with the disk.
        if !matches!(reason, LossReason::Restart | LossReason::ProcessStopped) {
            self.figures.lost(milliseconds(frames));
            self.figures.gap(self.gaps == 0);
        }
        self.gaps += 1;
    }

    /// Returns the losses so far, including a gap that has not ended, and marks them as reported. Returns `None` if
    /// they have grown by less than [`TOLD_MS`] since the last report and a gap is open, or have not changed.
    pub(super) fn losing(&mut self) -> Option<(RecordingId, RecordingLosses)> {
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

    /// Starts a new file if the current one was removed; the audio in the removed file counts as a gap.
    fn look(&mut self, now: Instant) {
        if self.output.is_gone(now) {
            self.begin_again(now);
        }
    }

    /// Starts the file again from its beginning.
    fn begin_again(&mut self, now: Instant) {
        if self.entry.is_encrypted && self.key.is_none() {
            // A reload or an upgrade has removed the key.
            return;
        }
        let channels = Channels::of(self.entry.channels).unwrap_or(Channels::Dual);
        // Without random numbers the file is started by the next check.
        let Ok((encoder, beginning)) = encoder(container_of(&self.entry), channels, self.key.as_deref()) else {
            return;
        };
        (self.encoder, self.gathered) = (encoder, 0);
        // The lost audio includes the earlier gaps.
        (self.gaps, self.lost) = (0, RecordingLosses::default());
        self.output.begin_again(beginning, now);
    }

    /// Returns whether the disk accepts writes; retries a refused write at intervals.
    fn is_ready(&mut self, now: Instant) -> bool {
        !self.output.is_refused() || self.output.may_try(now) && self.write(now)
    }

    fn write(&mut self, now: Instant) -> bool {
        let encoder = &self.encoder;
        let is_written = self.output.write(now, |length| encoder.header(length));
        if let Some(end) = self.end_of_audio().filter(|_| is_written) {
            self.output.set_end(clock::wall().checked_sub(now.saturating_duration_since(end)));
        }
        is_written
    }

    /// Returns the time of the last encoded sample; `None` before the first block of this process.
    fn end_of_audio(&self) -> Option<Instant> {
        let missing = milliseconds(self.heard.saturating_sub(self.encoder.frames()));
        self.heard_at?.checked_sub(Duration::from_millis(missing))
    }

    /// Writes the frames encoded so far to the file.
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

    /// Ends the recording. Audio that the disk refuses now is lost.
    pub(super) fn end(mut self, sound: SoundRange, now: Instant) -> EndedRecording {
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
        let LiveRecording { id, encoder, mut output, entry, gaps, lost, trim, first, .. } = self;
        // After a crash the recorder counts from its own beginning, and the sound before it is unknown.
        let sound = match first {
            0 => sound,
            _ => Some((0, sound.map_or(first, |(_, ends)| first.saturating_add(ends)))),
        };
        let has_header = encoder.header(output.written()).is_some();
        let frames = encoder.milliseconds();
        let mut is_whole = !output.is_refused();
        if !has_header {
            encoder.finish(output.pending());
            is_whole = is_whole && output.write(now, |_| None);
        }
        let entry = RecordingEntry {
            milliseconds: frames,
            bytes: output.written(),
            gaps,
            lost_milliseconds: lost.total(),
            error: output.error().map(str::to_owned),
            ..entry
        };
        let (place, file) = output.into_parts();
        EndedRecording { id: Some(id), place, entry, file, is_whole, trim: trim.then_some(sound), lost: (lost, reason) }
    }
}
