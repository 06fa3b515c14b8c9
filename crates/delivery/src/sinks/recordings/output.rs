//! The file of a recording that is being written, with the bytes that it has not taken yet.
//!
//! Bytes that the disk refuses stay as they are and are tried again: a sealed chunk must never be made a second time of other contents.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_call::LossReason;

use super::figures::RecordingFigures;
use super::place::Place;
use crate::sinks::store::disk;
use trunkgate_system::limits::RECORDINGS_PAUSE_MILLISECONDS;

/// How long the disk is left alone after it has refused a file.
const PAUSE: Duration = Duration::from_millis(RECORDINGS_PAUSE_MILLISECONDS);

/// Time between two looks whether the file still has its name.
const LOOK: Duration = Duration::from_secs(1);
/// What became of a file that has lost its name.
pub(super) const GONE: &str = "its file was removed while it was written";

/// Returns which kind of loss a refusal of the disk is.
pub(super) fn reason_of(error: &io::Error) -> LossReason {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if is_full { LossReason::DiskFull } else { LossReason::DiskFailed }
}

/// A file.
#[derive(Debug)]
pub(super) struct Output {
    place: Place,
    file: Option<File>,
    /// Length of the file.
    written: u64,
    /// Bytes that are to follow.
    pending: Vec<u8>,
    /// Time until which the disk is left alone.
    rests: Option<Instant>,
    /// Time of the next look whether the file still has its name.
    looks: Option<Instant>,
    /// The first refusal.
    error: Option<String>,
    /// What kind the latest one is of that no gap was noted for.
    reason: Option<LossReason>,
    figures: Arc<RecordingFigures>,
}

impl Output {
    /// Begins with these bytes; the file is created with the first write.
    pub(super) fn new(place: Place, beginning: Vec<u8>, figures: Arc<RecordingFigures>) -> Output {
        Output {
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

    /// Returns the first refusal of the disk.
    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Returns why audio is lost now: the disk has refused it, or the writer was behind.
    pub(super) fn reason(&self) -> LossReason {
        self.reason.unwrap_or(LossReason::DiskSlow)
    }

    /// The same for a gap that is noted now: a later one has its own reason.
    pub(super) fn take_reason(&mut self) -> LossReason {
        self.reason.take().unwrap_or(LossReason::DiskSlow)
    }

    /// Returns where bytes are appended that are to follow.
    pub(super) fn pending(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Whether the last write was refused.
    pub(super) fn is_refused(&self) -> bool {
        self.rests.is_some()
    }

    /// Whether it is time to try again what was refused.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.rests.is_none_or(|until| now >= until)
    }

    /// Whether the file has lost its name, and all that was written with it; looked at once in a while.
    pub(super) fn is_gone(&mut self, now: Instant) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| self.looks.is_none_or(|due| now >= due)) else { return false };
        self.looks = Some(now + LOOK);
        // Where it cannot be seen, the next write shows what is wrong.
        !self.place.leads_to(file).unwrap_or(true)
    }

    /// Has the next look be the next thing.
    pub(super) fn look_again(&mut self) {
        self.looks = None;
    }

    /// Begins again with another file of the same name.
    pub(super) fn begin_again(&mut self, beginning: Vec<u8>, now: Instant) {
        (self.file, self.written, self.pending) = (None, 0, beginning);
        self.refused(&io::Error::new(io::ErrorKind::NotFound, GONE), now);
        self.rests = Some(now);
    }

    fn refused(&mut self, error: &io::Error, now: Instant) {
        if error.kind() == io::ErrorKind::AlreadyExists {
            // A matter of this file, and not of the disk.
            self.figures.disk_errors.add(1);
        } else {
            self.figures.failed(error, self.place.root());
        }
        self.reason = Some(reason_of(error));
        self.error.get_or_insert_with(|| error.to_string());
        self.rests = Some(now + PAUSE);
    }

    /// Writes what waits, and the header for the length that the file has then; whether the disk has taken all of it.
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

    /// Ends it: the place, and the file, where it could be created.
    pub(super) fn into_parts(self) -> (Place, Option<File>) {
        (self.place, self.file)
    }
}
