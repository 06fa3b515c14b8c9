//! Call recording: one thread writes the frames of media sessions to files. A second one closes files, completes
//! recordings that a crash interrupted, and deletes expired ones. A slow or full disk delays nothing else: frames that
//! the writer cannot accept leave a gap of their length.

mod block;
mod closing;
mod drawn;
mod figures;
mod index;
mod live;
mod mail;
mod output;
mod place;
mod reader;
mod repair;
mod report;
mod sent;
mod shared;
mod transcription;
mod trim;
mod unindexed;
mod unlisted;
mod waveform;
mod writer;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use trunkgate_call::{
    GatewayInput, InterruptedRecording, RecordingBegun, RecordingDone, RecordingLinks, RecordingLosses,
    RecordingReceiver, RecordingSource, TranscriptionRequest, VoicemailMessage, track_name,
};
use trunkgate_media::RecordingId;
use trunkgate_media::agent::TrackSet;
use trunkgate_recording::Channels;

use crate::sinks::callbacks::StoredCallbackSender;
use crate::sinks::store::Store;
use trunkgate_config::RecordingSettings;
use trunkgate_system::clock;
use trunkgate_system::limits::{RECORDINGS_CLOSING, RECORDINGS_QUEUE_BYTES};

pub use block::FrameBlock;
pub use figures::RecordingFigures;
pub use index::{MailboxCounts, RecordingEntry, RecordingFilter, RecordingState};
pub use live::SuspendedRecording;
pub use mail::reach as reach_mail_server;
pub use place::is_sid;
pub use reader::RecordingReader;
pub use shared::{DeletionOutcome, RecordingOpenError};
pub use transcription::{Part as TranscriptionPart, Transcription};
pub use unlisted::UnlistedFiles;
pub(crate) use waveform::Waveform;

use closing::RecordingCloser;
use mail::MailOutbox;
use shared::SharedRecordings;
use transcription::Transcriber;
use writer::RecordingWriter;

/// Size of a command in the writer's queue in addition to its samples, in bytes.
const COMMAND_BYTES: usize = 256;
/// Maximum time for the writer to write recordings that another process continues.
const SUSPEND_WITHIN: Duration = Duration::from_secs(1);

/// Parameters of a new recording.
#[derive(Debug, Clone)]
pub struct NewRecording {
    /// Id of the recording in this process.
    pub(crate) id: RecordingId,
    /// SID of the recording, `RE` and 32 hex digits; also the name of its file.
    pub(crate) sid: String,
    /// SID of the recorded call.
    pub(crate) call_sid: String,
    /// SID of the recorded conference, if any.
    pub(crate) conference_sid: Option<String>,
    /// Number and meaning of the file's channels.
    pub(crate) channels: Channels,
    /// Request or setting that started the recording.
    pub(crate) source: RecordingSource,
    /// Directions of the call's audio that are recorded.
    pub(crate) tracks: TrackSet,
    /// True if silence at the beginning and the end of the file is removed.
    pub(crate) trim: bool,
    /// Receiver of status callbacks about the recording.
    pub(crate) receiver: Option<Box<RecordingReceiver>>,
    /// Mailbox and parties, if the recording is a voicemail message.
    pub(crate) message: Option<Box<VoicemailMessage>>,
    /// Transcription of the recording; `None` if not requested.
    pub(crate) transcription: Option<Box<TranscriptionRequest>>,
    /// Time of the first audio frame.
    pub(crate) started_at: Timestamp,
}

impl NewRecording {
    /// Returns the index entry with which the recording starts, without its file.
    fn entry(&self) -> RecordingEntry {
        RecordingEntry {
            sid: self.sid.clone(),
            call_sid: self.call_sid.clone(),
            conference_sid: self.conference_sid.clone(),
            source: self.source.as_str().to_owned(),
            channels: self.channels.count(),
            track: track_name(self.tracks).to_owned(),
            receiver: self.receiver.as_deref().cloned(),
            message: self.message.as_deref().cloned(),
            transcription: self.transcription.as_deref().cloned(),
            ..RecordingEntry::begun(self.started_at.as_millisecond())
        }
    }
}

impl From<RecordingBegun> for NewRecording {
    fn from(begun: RecordingBegun) -> NewRecording {
        NewRecording {
            id: begun.id,
            sid: begun.sid,
            call_sid: begun.call,
            conference_sid: begun.conference,
            channels: begun.channels,
            source: begun.source,
            tracks: begun.tracks,
            trim: begun.trim,
            receiver: begun.receiver,
            message: begun.message,
            transcription: begun.transcription,
            started_at: Timestamp::try_from(begun.began).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

/// Reason why a recording cannot start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingBeginError {
    /// `[recording]` is not configured.
    Off,
    /// The queue of the recording writer is full.
    Busy,
    /// The SID is not `RE` and 32 lower-case hex digits.
    Sid,
}

impl fmt::Display for RecordingBeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecordingBeginError::Off => "there is no [recording] in the configuration",
            RecordingBeginError::Busy => "the writer of recordings is behind: the disk is too slow",
            RecordingBeginError::Sid => "the SID is not a recording SID",
        })
    }
}

/// Event of a recording, for other parts of the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordingEvent {
    /// Frames were lost and replaced by silence.
    Gap(RecordingGap),
    /// Losses so far, of a recording in progress.
    Losing(RecordingId, RecordingLosses),
    /// A recording has ended; its file is closed. If its entry has an error, the closing is retried later.
    Finished(Box<FinishedRecording>),
    /// Changed message counts of mailboxes; the first event contains all mailboxes with messages.
    Messages(Vec<MailboxCounts>),
}

impl RecordingEvent {
    /// Returns the SID of the call and a description; `None` for [`RecordingEvent::Losing`], which gaps describe.
    pub fn in_words(&self) -> Option<(String, String)> {
        match self {
            RecordingEvent::Losing(..) => None,
            RecordingEvent::Gap(gap) => {
                let RecordingGap { sid, call_sid, at_milliseconds: at, milliseconds, cause } = gap;
                let text = format!("recording {sid} has a gap of {milliseconds} ms at {at} ms: {cause}");
                Some((call_sid.clone(), text))
            }
            RecordingEvent::Finished(finished) => {
                let RecordingEntry { sid, state, milliseconds, gaps, lost_milliseconds: lost, .. } = &finished.entry;
                let lost = if *lost > 0 { format!(", {gaps} gaps, {lost} ms lost") } else { String::new() };
                let error = finished.entry.error.as_deref();
                let text = if *state == RecordingState::Absent {
                    format!(
                        "recording {sid} is not kept: {}{lost}",
                        error.unwrap_or("it has no audio, or only silence")
                    )
                } else {
                    let error = error.map_or(String::new(), |error| format!(": {error}"));
                    format!("recording {sid} {}: {milliseconds} ms{lost}{error}", state.as_str())
                };
                Some((finished.entry.call_sid.clone(), text))
            }
            RecordingEvent::Messages(messages) => {
                let one =
                    |one: &MailboxCounts| format!("voicemail {}: {} new, {} heard", one.mailbox, one.new, one.heard);
                Some((String::new(), messages.iter().map(one).collect::<Vec<_>>().join("; ")))
            }
        }
    }
}

impl RecordingEvent {
    /// Returns the input for the signalling loop, if a recording of this process lost audio or ended.
    pub fn input(&self) -> Option<GatewayInput> {
        match self {
            RecordingEvent::Gap(_) | RecordingEvent::Messages(_) => None,
            RecordingEvent::Losing(id, lost) => Some(GatewayInput::RecordingLost(*id, *lost)),
            RecordingEvent::Finished(finished) => {
                let FinishedRecording { id, entry, lost } = &**finished;
                let (milliseconds, error) = (entry.milliseconds, entry.error.clone());
                Some(GatewayInput::Recorded(Box::new(RecordingDone { id: (*id)?, milliseconds, lost: *lost, error })))
            }
        }
    }
}

/// Frames that were lost in a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingGap {
    /// SID of the recording.
    pub(crate) sid: String,
    /// SID of the recorded call.
    pub(crate) call_sid: String,
    /// Position of the gap in the file, in milliseconds.
    pub(crate) at_milliseconds: u64,
    /// Length of the gap in milliseconds.
    pub(crate) milliseconds: u64,
    /// Cause of the loss, as a text.
    pub(crate) cause: String,
}

/// Recording that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedRecording {
    /// Id of the recording in this process; `None` if the recording was interrupted and completed later.
    pub(crate) id: Option<RecordingId>,
    /// Final index entry of the recording.
    pub(crate) entry: RecordingEntry,
    /// Losses by reason; empty if `id` is `None`.
    pub(crate) lost: RecordingLosses,
}

/// Event callback, called by the recording threads; must not block.
pub(crate) type EventCallback = Arc<dyn Fn(RecordingEvent) + Send + Sync>;

/// First and last frame with sound; `None` if the audio is silent or unknown.
pub(crate) type SoundRange = Option<(u64, u64)>;

/// Command to the writer thread.
#[derive(Debug)]
enum RecordingCommand {
    Begin(Box<NewRecording>),
    Block(FrameBlock),
    /// Ends a recording; contains its first and last frame with sound.
    End(RecordingId, SoundRange),
    /// Ends all recordings except those with these ids, which are handed over to another process later.
    Keep(Vec<RecordingId>),
    /// Writes recordings to the disk and returns them, for another process.
    Suspend(Vec<RecordingId>, SyncSender<Vec<SuspendedRecording>>),
    /// Continues a recording of another process.
    Resume(Box<SuspendedRecording>),
    /// Continues the recordings of a crashed process.
    Reopen(Vec<InterruptedRecording>),
    /// No further recording of another process follows.
    ResumeNoMore,
    /// Audio of this length has not arrived, because the process was stopped.
    ProcessStopped(Vec<RecordingId>, Duration),
    Stop,
}

/// Handle of the recording threads; clones share them.
#[derive(Debug, Clone)]
pub struct RecordingsHandle {
    commands: Sender<RecordingCommand>,
    shared: Arc<SharedRecordings>,
}

/// Join handles of the recording threads.
#[derive(Debug)]
pub struct RecordingThreads {
    commands: Sender<RecordingCommand>,
    writing: JoinHandle<()>,
    /// Threads that close files, and send transcriptions and e-mails.
    others: Vec<JoinHandle<()>>,
    shared: Arc<SharedRecordings>,
}

impl RecordingThreads {
    /// Ends all recordings and waits until their files are closed.
    pub fn stop(mut self) {
        let _ = self.commands.send(RecordingCommand::Stop);
        self.end_others();
        let _ = self.writing.join();
    }

    /// Ends all recordings except these and waits until their files are closed. Audio of these is written until they
    /// are [suspended](RecordingsHandle::suspend); the store is not used any more.
    pub fn keep_only(&mut self, kept: Vec<RecordingId>) {
        let _ = self.commands.send(RecordingCommand::Keep(kept));
        self.end_others();
    }

    /// Ends the threads that close files and send transcriptions and e-mails, after the last command of the writer.
    fn end_others(&mut self) {
        self.shared.transcribing.stop();
        self.shared.mailing.stop();
        for thread in self.others.drain(..) {
            let _ = thread.join();
        }
    }
}

impl RecordingsHandle {
    /// Starts the recording threads. Recordings of an earlier process are completed in the background. `tell` receives
    /// all events.
    ///
    /// # Errors
    /// Returns the system's error if a thread cannot be created.
    pub fn start(
        (store, expected): (Store, Vec<String>),
        (settings, links): (Option<RecordingSettings>, Option<RecordingLinks>),
        figures: Arc<RecordingFigures>,
        tell: EventCallback,
    ) -> io::Result<(RecordingsHandle, RecordingThreads)> {
        let (commands, commands_in) = channel();
        let (closing, closing_in) = sync_channel(RECORDINGS_CLOSING);
        let shared = Arc::new(SharedRecordings::new(store, figures, tell));
        shared.expect(expected);
        shared.configure(settings);
        shared.reports.configure(links.unwrap_or_default());
        let writer = RecordingWriter::new(Arc::clone(&shared), closing);
        let closer = RecordingCloser::new(Arc::clone(&shared));
        let begin = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let writing = begin("recordings").spawn(move || writer.run(&commands_in))?;
        let closing = begin("recordings-end").spawn(move || closer.run(&closing_in))?;
        let transcriber = Transcriber::new(Arc::clone(&shared), transcription::PACE);
        let mailer = MailOutbox::new(Arc::clone(&shared), mail::PACE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sending = begin("recordings-sent").spawn(move || {
            runtime.block_on(async { tokio::join!(transcriber.keep(), mailer.keep()) });
            // A DNS lookup may still block a thread of the runtime.
            runtime.shutdown_background();
        })?;
        let others = vec![closing, sending];
        let threads = RecordingThreads { commands: commands.clone(), writing, others, shared: Arc::clone(&shared) };
        Ok((RecordingsHandle { commands, shared }, threads))
    }

    /// Applies a new configuration; recordings in progress keep the old one.
    pub fn configure(&self, settings: Option<RecordingSettings>, links: Option<RecordingLinks>) {
        self.shared.configure(settings);
        self.shared.reports.configure(links.unwrap_or_default());
        self.shared.transcribing.wake();
        self.shared.mailing.wake();
    }

    /// Sets the sender of status callbacks.
    pub fn report_by(&self, desk: StoredCallbackSender) {
        self.shared.reports.send_by(desk);
    }

    /// Returns whether `[recording]` is configured.
    pub(crate) fn is_on(&self) -> bool {
        self.shared.settings().is_some()
    }

    /// Returns whether new calls may be accepted: false while the disk refuses recordings and `on_full` rejects calls.
    pub fn takes_calls(&self) -> bool {
        self.shared.takes_calls()
    }

    /// Returns whether the disk currently refuses recordings.
    pub fn is_failing(&self) -> bool {
        self.shared.figures.is_failing()
    }

    /// Starts a recording without waiting for its file.
    ///
    /// # Errors
    /// Returns an error without `[recording]`, for an invalid SID, or if the writer's queue is full.
    pub fn begin(&self, begin: NewRecording) -> Result<(), RecordingBeginError> {
        if !self.is_on() {
            return Err(RecordingBeginError::Off);
        }
        if !is_sid(&begin.sid) {
            return Err(RecordingBeginError::Sid);
        }
        if self.queue(COMMAND_BYTES, RecordingCommand::Begin(Box::new(begin))) {
            Ok(())
        } else {
            Err(RecordingBeginError::Busy)
        }
    }

    /// Hands frames to the writer without blocking; returns false if the queue is full and the frames are lost.
    pub fn write(&self, block: FrameBlock) -> bool {
        let bytes = COMMAND_BYTES + block.samples.bytes();
        let is_taken = self.queue(bytes, RecordingCommand::Block(block));
        if !is_taken {
            self.shared.figures.refused_blocks.add(1);
        }
        is_taken
    }

    /// Ends a recording; [`RecordingEvent::Finished`] follows when its file is closed.
    pub fn end(&self, id: RecordingId, sound: SoundRange) {
        // Ends are not limited, because they are no more frequent than beginnings, which are.
        let _ = self.commands.send(RecordingCommand::End(id, sound));
    }

    /// Writes recordings to the disk, behind all blocks queued so far, and returns them for another process. Waits for
    /// the writer; recordings that it does not return in time are completed by the next process as after a crash.
    pub fn suspend(&self, ids: Vec<RecordingId>) -> Vec<SuspendedRecording> {
        let (answer, suspended) = sync_channel(1);
        if ids.is_empty() || self.commands.send(RecordingCommand::Suspend(ids, answer)).is_err() {
            return Vec::new();
        }
        suspended.recv_timeout(SUSPEND_WITHIN).unwrap_or_default()
    }

    /// Continues a recording of another process; blocks of it may follow at once.
    pub fn resume(&self, suspended: SuspendedRecording) {
        let _ = self.commands.send(RecordingCommand::Resume(Box::new(suspended)));
    }

    /// Continues the recordings of a crashed process in their files. One that cannot be continued ends with the crash.
    pub fn reopen(&self, interrupted: Vec<InterruptedRecording>) {
        let _ = self.commands.send(RecordingCommand::Reopen(interrupted));
        self.resume_no_more();
    }

    /// Gives up waiting for recordings of another process.
    pub fn resume_no_more(&self) {
        let _ = self.commands.send(RecordingCommand::ResumeNoMore);
    }

    /// Counts audio that these recordings lack, because the process did not run for this long.
    pub fn note_stop(&self, running: Vec<RecordingId>, pause: Duration) {
        let _ = self.commands.send(RecordingCommand::ProcessStopped(running, pause));
    }

    fn queue(&self, bytes: usize, command: RecordingCommand) -> bool {
        self.shared.figures.reserve(bytes, RECORDINGS_QUEUE_BYTES) && self.commands.send(command).is_ok()
    }

    /// Reads a page of the index, newest first; blocks on the disk.
    pub fn list(&self, part: RecordingFilter, most: usize) -> io::Result<Vec<RecordingEntry>> {
        self.shared.list(part, most)
    }

    /// Reads the index entry of a recording; blocks on the disk.
    pub fn find(&self, sid: &str) -> io::Result<Option<RecordingEntry>> {
        self.shared.find(sid)
    }

    /// Returns the reason why a recording that a crash interrupted cannot be completed; `None` for any other recording.
    pub fn why_incomplete(&self, sid: &str) -> Option<String> {
        self.shared.why_incomplete(sid)
    }

    /// Returns the files without an index entry that the latest search of the directory has found.
    pub fn unlisted(&self) -> UnlistedFiles {
        self.shared.figures.unlisted()
    }

    /// Counts the messages in each mailbox that has any; blocks on the disk.
    pub fn messages(&self) -> io::Result<Vec<MailboxCounts>> {
        self.shared.change(index::messages)
    }

    /// Marks one message of a mailbox as played, or all without a SID; returns the number of marked messages. Blocks on
    /// the disk.
    pub fn heard(&self, mailbox: &str, sid: Option<&str>) -> io::Result<usize> {
        let (mailbox, sid) = (mailbox.to_owned(), sid.map(str::to_owned));
        let now = clock::now().as_millisecond();
        let name = mailbox.clone();
        let heard = self.shared.change(move |store| index::heard(store, &name, sid.as_deref(), now))?;
        if heard > 0 {
            self.shared.tell_messages(&mailbox);
        }
        Ok(heard)
    }

    /// Opens the audio of a completed recording, decrypted if needed; blocks on the disk.
    ///
    /// # Errors
    /// Returns an error if the recording is not completed, is damaged, cannot be decrypted, or the disk fails.
    pub fn open(&self, sid: &str) -> Result<(RecordingEntry, RecordingReader), RecordingOpenError> {
        self.shared.open(sid)
    }

    /// Returns the waveform of a completed recording; reads the file unless the waveform is cached.
    ///
    /// # Errors
    /// Returns an error if the recording is not completed, is damaged, cannot be decrypted, or the disk fails.
    pub fn waveform(&self, sid: &str) -> Result<Arc<Waveform>, RecordingOpenError> {
        self.shared.waveform(sid)
    }

    /// Returns whether a file still has the checksum that it had when it was closed; blocks on the disk.
    ///
    /// # Errors
    /// Returns an error if the recording is not completed or the disk fails.
    pub fn verify(&self, sid: &str) -> Result<bool, RecordingOpenError> {
        self.shared.verify(sid)
    }

    /// Reads a page of the list of transcriptions, newest first; blocks on the disk.
    ///
    /// # Errors
    /// Returns the error of the store.
    pub fn transcriptions(&self, part: TranscriptionPart, most: usize) -> io::Result<Vec<Transcription>> {
        transcription::list(&self.shared, part, most)
    }

    /// Reads a transcription by its SID; blocks on the disk.
    pub fn transcription(&self, sid: &str) -> io::Result<Option<Transcription>> {
        transcription::find(&self.shared, sid)
    }

    /// Returns the text of a transcription, decrypted if needed; `None` if the service returned none.
    pub fn text_of(&self, one: &Transcription) -> Result<Option<String>, RecordingOpenError> {
        transcription::opened(one, self.shared.settings().and_then(|settings| settings.key.clone()).as_deref())
    }

    /// Deletes a transcription; returns whether it existed. Blocks on the disk.
    ///
    /// # Errors
    /// Returns the error of the store.
    pub fn delete_transcription(&self, sid: &str) -> io::Result<bool> {
        transcription::delete(&self.shared, sid)
    }

    /// Deletes the file of a recording and its transcriptions; its index entry is kept for 40 days. Blocks on the disk.
    pub fn delete(&self, sid: &str) -> io::Result<DeletionOutcome> {
        self.shared.delete(sid)
    }
}

/// Checks that recordings can be written to a directory, by writing a file.
///
/// # Errors
/// Returns the system's error if the file cannot be written.
pub fn try_directory(directory: &Path) -> io::Result<()> {
    place::probe(directory)
}

/// Returns the size of a command in the writer's queue, in bytes.
fn bytes_of(command: &RecordingCommand) -> usize {
    match command {
        RecordingCommand::Begin(_) => COMMAND_BYTES,
        RecordingCommand::Block(block) => COMMAND_BYTES + block.samples.bytes(),
        RecordingCommand::End(..)
        | RecordingCommand::Keep(_)
        | RecordingCommand::Suspend(..)
        | RecordingCommand::Resume(_)
        | RecordingCommand::Reopen(_)
        | RecordingCommand::ResumeNoMore
        | RecordingCommand::ProcessStopped(..)
        | RecordingCommand::Stop => 0,
    }
}

#[cfg(test)]
mod tests;
