//! Writer thread of recordings: carries out commands and writes files.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use trunkgate_call::{InterruptedRecording, RecordingLosses};

use super::closing::TOO_SHORT;
use super::live::{EndedRecording, LiveRecording, SuspendedRecording};
use super::shared::SharedRecordings;
use super::{
    FinishedRecording, NewRecording, RecordingBeginError, RecordingCommand, RecordingEntry, RecordingEvent,
    RecordingId, RecordingState, SoundRange, bytes_of, place,
};
use trunkgate_system::clock;
use trunkgate_system::limits::{RECORDINGS_PAUSE_MILLISECONDS, RECORDINGS_PROBE_MILLISECONDS};

/// Maximum wait for a command before the buffered audio is checked.
const PAUSE: Duration = Duration::from_millis(RECORDINGS_PAUSE_MILLISECONDS);
const PROBE: Duration = Duration::from_millis(RECORDINGS_PROBE_MILLISECONDS);

/// State of the thread that writes recordings.
#[derive(Debug)]
pub(super) struct RecordingWriter {
    shared: Arc<SharedRecordings>,
    live: HashMap<RecordingId, LiveRecording>,
    /// Queue of the closing thread; `None` once another process closes the recordings.
    closing: Option<SyncSender<Box<EndedRecording>>>,
    looked: Instant,
    probed: Option<Instant>,
}

impl RecordingWriter {
    pub(super) fn new(shared: Arc<SharedRecordings>, closing: SyncSender<Box<EndedRecording>>) -> RecordingWriter {
        RecordingWriter { shared, live: HashMap::new(), closing: Some(closing), looked: Instant::now(), probed: None }
    }

    /// Carries out commands until one ends the writer or all senders are gone.
    pub(super) fn run(mut self, commands: &Receiver<RecordingCommand>) {
        // The directory exists before an entry refers to it; otherwise a crash would leave an entry with an unknown
        // state.
        self.look(Instant::now());
        loop {
            let command = match commands.recv_timeout(PAUSE) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let now = Instant::now();
            if let Some(command) = command {
                self.shared.figures.release(bytes_of(&command));
                if !self.take(command, now) {
                    break;
                }
            }
            if now.duration_since(self.looked) >= PAUSE {
                self.look(now);
            }
        }
        self.end_others(&[], Instant::now());
    }

    /// Ends all recordings except these.
    fn end_others(&mut self, kept: &[RecordingId], now: Instant) {
        let ended: Vec<RecordingId> = self.live.keys().filter(|id| !kept.contains(id)).copied().collect();
        ended.into_iter().for_each(|id| self.end(id, None, now));
    }

    /// Carries out a command; returns false if it ends the writer.
    pub(super) fn take(&mut self, command: RecordingCommand, now: Instant) -> bool {
        match command {
            RecordingCommand::Begin(begin) => self.begin(&begin),
            RecordingCommand::Block(block) => {
                let Some(live) = self.live.get_mut(&block.recording) else { return true };
                let (gap, losing) = (live.take(&block, now), live.losing());
                if let Some(gap) = gap {
                    self.shared.tell(RecordingEvent::Gap(gap));
                }
                if let Some((id, lost)) = losing {
                    self.shared.tell(RecordingEvent::Losing(id, lost));
                }
            }
            RecordingCommand::End(id, sound) => self.end(id, sound, now),
            RecordingCommand::Keep(kept) => {
                self.end_others(&kept, now);
                self.closing = None;
            }
            RecordingCommand::Suspend(ids, answer) => {
                let suspended = ids.iter().filter_map(|id| self.live.remove(id)).map(|live| live.suspend(now));
                // The asker may have given up; the file is completed by the next process.
                let _ = answer.send(suspended.collect());
            }
            RecordingCommand::Resume(suspended) => self.resume(*suspended, now),
            RecordingCommand::Reopen(interrupted) => interrupted.iter().for_each(|one| self.reopen(one, now)),
            RecordingCommand::ResumeNoMore => self.shared.expect_no_more(),
            RecordingCommand::ProcessStopped(ids, pause) => {
                for id in ids {
                    let Some(live) = self.live.get_mut(&id) else { continue };
                    self.shared.tell(RecordingEvent::Gap(live.note_stop(pause)));
                    live.losing().into_iter().for_each(|(id, lost)| self.shared.tell(RecordingEvent::Losing(id, lost)));
                }
            }
            RecordingCommand::Stop => return false,
        }
        true
    }

    /// Continues a recording of another process. One that cannot be continued is completed as after a crash.
    fn resume(&mut self, suspended: SuspendedRecording, now: Instant) {
        let (id, entry) = (suspended.id(), suspended.entry().clone());
        let key = self.shared.settings().and_then(|settings| settings.key.clone());
        let live = LiveRecording::resume(suspended, key, Arc::clone(&self.shared.figures), now);
        self.adopt_recording(id, live, |error| RecordingEntry {
            error: Some(format!("not continued after an upgrade: {error}")),
            ..entry
        });
    }

    /// Continues a recording of a crashed process. One that cannot be continued is completed as it is.
    fn reopen(&mut self, interrupted: &InterruptedRecording, now: Instant) {
        let InterruptedRecording { id, sid, .. } = interrupted;
        // A recording that is not in the index has no file.
        let Ok(Some(entry)) = self.shared.find(sid) else { return };
        let times = (now, clock::now().as_millisecond());
        let live = LiveRecording::reopen(interrupted, entry.clone(), Arc::clone(&self.shared.figures), times);
        self.adopt_recording(*id, live, |error| {
            tracing::error!(
                reason = "recording_failed",
                "recording {sid} ends at the crash, because its file cannot be continued: {error}"
            );
            RecordingEntry { error: Some(format!("not continued after a crash: {error}")), ..entry }
        });
    }

    /// Adds a recording of another process, or reports the entry of one that cannot be continued.
    fn adopt_recording(
        &mut self,
        id: RecordingId,
        live: io::Result<LiveRecording>,
        failed: impl FnOnce(io::Error) -> RecordingEntry,
    ) {
        match live {
            Ok(live) => {
                self.shared.begun(&live.entry().sid);
                self.live.insert(id, live);
            }
            Err(error) => {
                let (entry, lost) = (failed(error), RecordingLosses::default());
                self.shared.closed(&entry.sid);
                self.shared.tell(RecordingEvent::Finished(Box::new(FinishedRecording { id: Some(id), entry, lost })));
            }
        }
    }

    fn begin(&mut self, begin: &NewRecording) {
        let Some(settings) = self.shared.settings() else {
            // The section was removed after the recording was queued.
            return self.not_begun(begin, &RecordingBeginError::Off);
        };
        match LiveRecording::new(begin, &settings, Arc::clone(&self.shared.figures)) {
            Ok(live) => {
                self.shared.begun(&begin.sid);
                self.shared.note(live.entry().clone());
                self.live.insert(begin.id, live);
            }
            Err(error) => self.not_begun(begin, &error),
        }
    }

    /// Reports a recording that cannot start as one without audio.
    fn not_begun(&self, begin: &NewRecording, why: &dyn Display) {
        self.shared.figures.absent.add(1);
        let (error, error_code) = (Some(why.to_string()), Some(TOO_SHORT));
        let entry = RecordingEntry { state: RecordingState::Absent, error, error_code, ..begin.entry() };
        self.shared.note(entry.clone());
        self.shared.tell(RecordingEvent::Finished(Box::new(FinishedRecording {
            id: Some(begin.id),
            entry,
            lost: RecordingLosses::default(),
        })));
    }

    fn end(&mut self, id: RecordingId, sound: SoundRange, now: Instant) {
        let Some(live) = self.live.remove(&id) else { return };
        let ended = Box::new(live.end(sound, now));
        let Some(closing) = &self.closing else {
            tracing::warn!("recording {} ended during the handover: the next process completes it", ended.entry.sid);
            return self.shared.closed(&ended.entry.sid);
        };
        match closing.try_send(ended) {
            Ok(()) => {}
            Err(TrySendError::Full(ended) | TrySendError::Disconnected(ended)) => {
                // Its entry is in the index, so it is completed like one of an earlier process.
                tracing::warn!(
                    "recording {} is completed later: too many recordings wait to be completed",
                    ended.entry.sid
                );
                self.shared.closed(&ended.entry.sid);
            }
        }
    }

    /// Writes the buffered audio of paused recordings, and checks that the disk accepts recordings while none is
    /// written.
    pub(super) fn look(&mut self, now: Instant) {
        self.looked = now;
        self.live.values_mut().for_each(|live| live.flush(now));
        // Active recordings test the disk by their own writes.
        let is_idle = self.live.is_empty() || self.shared.figures.is_failing();
        if is_idle && self.probed.is_none_or(|at| now.duration_since(at) >= PROBE) {
            self.probed = Some(now);
            self.shared.probe(place::probe);
        }
    }
}
