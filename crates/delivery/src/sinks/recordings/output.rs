//! File of a recording in progress, with the bytes that are not written yet.
//!
//! Bytes that the disk refuses are kept unchanged and retried, because an encrypted chunk must never be encrypted again
//! with other contents.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use trunkgate_call::LossReason;

use super::figures::RecordingFigures;
use super::place::RecordingLocation;
use crate::sinks::store::disk;
use trunkgate_system::limits::RECORDINGS_PAUSE_MILLISECONDS;

/// Pause after the disk has refused a write.
const PAUSE: Duration = Duration::from_millis(RECORDINGS_PAUSE_MILLISECONDS);

/// Interval between checks that the file still has its name.
const LOOK: Duration = Duration::from_secs(1);
/// Cause of a gap for a file that was removed during the recording.
pub(super) const GONE: &str = "its file was removed while it was written";

/// Returns the reason of a loss for an error of the disk.
pub(super) fn reason_of(error: &io::Error) -> LossReason {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if is_full { LossReason::DiskFull } else { LossReason::DiskFailed }
}

/// File of a recording in progress, with its pending bytes.
#[derive(Debug)]
pub(super) struct RecordingOutput {
    place: RecordingLocation,
    file: Option<File>,
    /// Length of the written file in bytes.
    written: u64,
    /// Bytes that are still to be appended.
    pending: Vec<u8>,
    /// Time of the next attempt after a refusal.
    rests: Option<Instant>,
    /// Time of the next check that the file still has its name.
    looks: Option<Instant>,
    /// First write error, as text.
    error: Option<String>,
    /// Reason of the latest refusal, until it is part of a gap.
    reason: Option<LossReason>,
    figures: Arc<RecordingFigures>,
}

/// Output as plain data. The location is in the index entry; the file is opened again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OutputSnapshot {
    written: u64,
    /// Bytes that the disk has not accepted, in base64.
    pending: String,
    is_refused: bool,
    error: Option<String>,
    reason: Option<LossReason>,
}

impl RecordingOutput {
    /// Returns the output as plain data.
    pub(super) fn snapshot(&self) -> OutputSnapshot {
        OutputSnapshot {
            written: self.written,
            pending: STANDARD.encode(&self.pending),
            is_refused: self.is_refused(),
            error: self.error.clone(),
            reason: self.reason,
        }
    }

    /// Continues a file of another process. A file that was not created yet is created by the next write.
    ///
    /// # Errors
    /// Returns the reason why the file cannot be continued.
    pub(super) fn resume(
        place: RecordingLocation,
        snapshot: OutputSnapshot,
        figures: Arc<RecordingFigures>,
        now: Instant,
    ) -> io::Result<RecordingOutput> {
        let OutputSnapshot { written, pending, is_refused, error, reason } = snapshot;
        let pending = STANDARD.decode(pending).map_err(io::Error::other)?;
        let file = if written == 0 { None } else { Some(place.open(true)?) };
        if let Some(file) = &file
            && file.metadata()?.len() < written
        {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was written"));
        }
        let rests = is_refused.then_some(now);
        Ok(RecordingOutput { place, file, written, pending, rests, looks: None, error, reason, figures })
    }

    /// Continues a file that has this length.
    pub(super) fn with_file(self, file: File, written: u64) -> RecordingOutput {
        RecordingOutput { file: Some(file), written, ..self }
    }

    /// Attributes the next gap to a crash of the edge.
    pub(super) fn after_crash(self) -> RecordingOutput {
        RecordingOutput { reason: Some(LossReason::Restart), ..self }
    }

    /// Creates the output with its first bytes; the file is created by the first write.
    pub(super) fn new(place: RecordingLocation, beginning: Vec<u8>, figures: Arc<RecordingFigures>) -> RecordingOutput {
        RecordingOutput {
            place,
            file: None,
            written: 0,
            pending: beginning,
            rests: None,
            looks: None,
            error: None,
            reason: None,
            figures,
        }
    }

    /// Returns the length of the file.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Returns the first error of the disk; `None` if there was none.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Returns the reason for audio that is lost now: the last refusal of the disk, or a slow writer.
    pub(super) fn reason(&self) -> LossReason {
        self.reason.unwrap_or(LossReason::DiskSlow)
    }

    /// Returns the reason of a gap that ends now, and forgets it.
    pub(super) fn take_reason(&mut self) -> LossReason {
        self.reason.take().unwrap_or(LossReason::DiskSlow)
    }

    /// Returns the buffer of bytes to be appended.
    pub(super) fn pending(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Returns whether the last write was refused.
    pub(super) fn is_refused(&self) -> bool {
        self.rests.is_some()
    }

    /// Returns whether the pause after a refused write has ended.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.rests.is_none_or(|until| now >= until)
    }

    /// Returns whether the file was removed; if so, its contents are lost; checked at most every [`LOOK`].
    pub(super) fn is_gone(&mut self, now: Instant) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| self.looks.is_none_or(|due| now >= due)) else { return false };
        self.looks = Some(now + LOOK);
        // If the check itself fails, the next write reveals the problem.
        !self.place.leads_to(file).unwrap_or(true)
    }

    /// Makes the next call of [`Self::is_gone`] check at once.
    pub(super) fn look_again(&mut self) {
        self.looks = None;
    }

    /// Starts another file with the same name, beginning with these bytes.
    pub(super) fn begin_again(&mut self, beginning: Vec<u8>, now: Instant) {
        (self.file, self.written, self.pending) = (None, 0, beginning);
        self.refused(&io::Error::new(io::ErrorKind::NotFound, GONE), now);
        self.rests = Some(now);
    }

    fn refused(&mut self, error: &io::Error, now: Instant) {
        if error.kind() == io::ErrorKind::AlreadyExists {
            // The loss concerns one file only, so the disk is not failing.
            self.figures.disk_errors.add(1);
        } else {
            self.figures.failed(error, self.place.root());
        }
        self.reason = Some(reason_of(error));
        self.error.get_or_insert_with(|| error.to_string());
        self.rests = Some(now + PAUSE);
    }

    /// Writes the pending bytes, then the header for the new length; returns whether the disk accepted all of them.
    pub(super) fn write(&mut self, now: Instant, header: impl Fn(u64) -> Option<[u8; 80]>) -> bool {
        match self.try_write(header) {
            Ok(()) => {
                if self.rests.take().is_some() {
                    self.figures.took();
                }
                true
            }
            Err(error) => {
                self.refused(&error, now);
                false
            }
        }
    }

    /// Records the time at which the written audio ends as the modification time of the file. A process that continues
    /// the file after a crash derives the length of the gap from it: bytes are written up to half a second after the
    /// audio.
    pub(super) fn set_end(&self, end: Option<SystemTime>) {
        // Without it, the time of the write is used.
        let _ = self.file.as_ref().zip(end).map(|(file, end)| file.set_modified(end));
    }

    fn try_write(&mut self, header: impl Fn(u64) -> Option<[u8; 80]>) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.place.create()?,
        };
        let file = self.file.insert(file);
        let mut taken = 0;
        let done = loop {
            let rest = self.pending.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match disk::write_at(file, rest, self.written) {
                Ok(bytes) => {
                    taken += bytes;
                    self.written += bytes as u64;
                }
                Err(error) => break Err(error),
            }
        };
        self.figures.bytes.add(taken as u64);
        self.pending.drain(..taken);
        done?;
        if let Some(header) = header(self.written) {
            disk::write_all_at(file, &header, 0)?;
        }
        Ok(())
    }

    /// Returns the location of the file, and the file if it was created.
    pub(super) fn into_parts(self) -> (RecordingLocation, Option<File>) {
        (self.place, self.file)
    }
}
