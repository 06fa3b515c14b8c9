//! Recordings of calls: frames of media sessions become files, one thread writes them, and a second one closes them, completes those that a
//! crash has cut, and deletes those that are over their time. Neither a slow nor a full disk delays anything else: frames that the writer
//! cannot take leave a gap of their length.

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
mod shared;
mod transcription;
mod trim;
mod under_way;
mod unindexed;
mod unlisted;
mod waveform;
mod writer;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;

use jiff::Timestamp;
use trunkgate_call::{
    Input, Losses, RecordingBegun, RecordingDone, RecordingLinks, RecordingReceiver, RecordingSource,
    TranscriptionRequest, VoicemailMessage, track_name,
};
use trunkgate_media::RecordingId;
use trunkgate_media::agent::TrackSet;
use trunkgate_recording::Channels;

use crate::sinks::callbacks::StoredDesk;
use crate::sinks::store::Store;
use trunkgate_config::Recording;
use trunkgate_system::clock;
use trunkgate_system::limits::{RECORDINGS_CLOSING, RECORDINGS_QUEUE_BYTES};

pub use block::Block;
pub use figures::{REFUSED, RecordingFigures};
pub use index::{Entry, Messages, Part, State};
pub use mail::reach as reach_mail_server;
pub use place::is_sid;
pub use reader::Reader;
pub use shared::{Deleted, NotOpened};
pub use transcription::{Part as TranscriptionPart, Transcription};
pub use unlisted::Unlisted;
pub(crate) use waveform::Waveform;

use closing::Closer;
use mail::Mailer;
use shared::Shared;
use transcription::Transcriber;
use writer::Writer;

/// What a command counts in the queue beside its samples, in bytes.
const COMMAND_BYTES: usize = 256;

/// A recording that begins.
#[derive(Debug, Clone)]
pub struct Begin {
    /// Its number.
    pub(crate) id: RecordingId,
    /// `RE` and 32 hex digits, which name the file.
    pub(crate) sid: String,
    /// SID of the call.
    pub(crate) call_sid: String,
    /// SID of the conference, for a recording of one.
    pub(crate) conference_sid: Option<String>,
    /// Channels of the file.
    pub(crate) channels: Channels,
    /// Origin.
    pub(crate) source: RecordingSource,
    /// Directions that are recorded.
    pub(crate) tracks: TrackSet,
    /// Whether silence at its beginning and its end is removed.
    pub(crate) trim: bool,
    /// Receiver of what becomes of it.
    pub(crate) receiver: Option<Box<RecordingReceiver>>,
    /// The message that it is, where a mailbox takes it.
    pub(crate) message: Option<Box<VoicemailMessage>>,
    /// The transcription that it asks for.
    pub(crate) transcription: Option<Box<TranscriptionRequest>>,
    /// Time of its first frame.
    pub(crate) started_at: Timestamp,
}

impl Begin {
    /// Returns its entry in the index, without a file.
    fn entry(&self) -> Entry {
        Entry {
            sid: self.sid.clone(),
            call_sid: self.call_sid.clone(),
            conference_sid: self.conference_sid.clone(),
            source: self.source.as_str().to_owned(),
            channels: self.channels.count(),
            track: track_name(self.tracks).to_owned(),
            receiver: self.receiver.as_deref().cloned(),
            message: self.message.as_deref().cloned(),
            transcription: self.transcription.as_deref().cloned(),
            ..Entry::begun(self.started_at.as_millisecond())
        }
    }
}

impl From<RecordingBegun> for Begin {
    fn from(begun: RecordingBegun) -> Begin {
        Begin {
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

/// Reason why a recording does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotBegun {
    /// There is no `[recording]`.
    Off,
    /// The writer has too much to do.
    Busy,
    /// The SID is not `RE` and 32 lower-case hex digits.
    Sid,
}

impl fmt::Display for NotBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotBegun::Off => "there is no [recording] in the configuration",
            NotBegun::Busy => "the writer of recordings is behind: the disk is too slow",
            NotBegun::Sid => "the SID is not one of a recording",
        })
    }
}

/// News of recordings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Frames were lost: silence stands in their place.
    Gap(Gap),
    /// What a recording that goes on lacks until now.
    Losing(RecordingId, Losses),
    /// A recording has ended, and its file and index are on disk.
    Finished(Box<Finished>),
    /// The messages of these mailboxes; the first time all that have any.
    Messages(Vec<Messages>),
}

impl Event {
    /// Returns the SID of its call, and the news in words; `None` for one that others tell of in words.
    pub fn in_words(&self) -> Option<(String, String)> {
        match self {
            Event::Losing(..) => None,
            Event::Gap(gap) => {
                let Gap { sid, call_sid, at_milliseconds: at, milliseconds, cause } = gap;
                let text = format!("recording {sid} has a gap of {milliseconds} ms at {at} ms: {cause}");
                Some((call_sid.clone(), text))
            }
            Event::Finished(finished) => {
                let Entry { sid, state, milliseconds, gaps, lost_milliseconds: lost, .. } = &finished.entry;
                let lost = if *lost > 0 { format!(", {gaps} gaps, {lost} ms lost") } else { String::new() };
                let error = finished.entry.error.as_ref().map_or(String::new(), |error| format!(": {error}"));
                let text = format!("recording {sid} {}: {milliseconds} ms{lost}{error}", state.as_str());
                Some((finished.entry.call_sid.clone(), text))
            }
            Event::Messages(messages) => {
                let one = |one: &Messages| format!("voicemail {}: {} new, {} heard", one.mailbox, one.new, one.heard);
                Some((String::new(), messages.iter().map(one).collect::<Vec<_>>().join("; ")))
            }
        }
    }
}

impl Event {
    /// Returns what signalling has to know: that a recording of this process lacks audio, or has ended.
    pub fn input(&self) -> Option<Input> {
        match self {
            Event::Gap(_) | Event::Messages(_) => None,
            Event::Losing(id, lost) => Some(Input::RecordingLost(*id, *lost)),
            Event::Finished(finished) => {
                let Finished { id, entry, lost } = &**finished;
                let (milliseconds, error) = (entry.milliseconds, entry.error.clone());
                Some(Input::Recorded(Box::new(RecordingDone { id: (*id)?, milliseconds, lost: *lost, error })))
            }
        }
    }
}

/// Frames that were lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The recording.
    pub(crate) sid: String,
    /// SID of its call.
    pub(crate) call_sid: String,
    /// Place in the file, in milliseconds.
    pub(crate) at_milliseconds: u64,
    /// Length.
    pub(crate) milliseconds: u64,
    /// Why.
    pub(crate) cause: String,
}

/// A recording that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its number; `None` for one that an earlier process has begun.
    pub(crate) id: Option<RecordingId>,
    /// The recording as the index has it.
    pub(crate) entry: Entry,
    /// What it lacks, by reason; of one that an earlier process has begun, what is known of it.
    pub(crate) lost: Losses,
}

/// Receiver of news; it is called by the threads of recordings and must not wait.
pub(crate) type Tell = Arc<dyn Fn(Event) + Send + Sync>;

/// The first and the last frame with a sound; `None`: all of a recording is silence, or nothing is known of it.
pub(crate) type Sound = Option<(u64, u64)>;

/// A command to the writer.
#[derive(Debug)]
enum Command {
    Begin(Box<Begin>),
    Block(Block),
    /// The end of one, with the first and the last of its frames that have a sound.
    End(RecordingId, Sound),
    Stop,
}

/// Way to the recordings; clones lead to the same ones.
#[derive(Debug, Clone)]
pub struct Recordings {
    commands: Sender<Command>,
    shared: Arc<Shared>,
}

/// Threads of recordings.
#[derive(Debug)]
pub struct Threads {
    commands: Sender<Command>,
    threads: [JoinHandle<()>; 3],
    shared: Arc<Shared>,
}

impl Threads {
    /// Ends all recordings and waits until their files are closed.
    pub fn stop(self) {
        let _ = self.commands.send(Command::Stop);
        self.shared.transcribing.stop();
        self.shared.mailing.stop();
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

impl Recordings {
    /// Starts the threads. Recordings that an earlier process has left are completed beside the start; `tell` hears of each.
    ///
    /// # Errors
    /// The system's, where it has no thread.
    pub fn start(
        store: Store,
        (settings, links): (Option<Recording>, Option<RecordingLinks>),
        figures: Arc<RecordingFigures>,
        tell: Tell,
    ) -> io::Result<(Recordings, Threads)> {
        let (commands, commands_in) = channel();
        let (closing, closing_in) = sync_channel(RECORDINGS_CLOSING);
        let shared = Arc::new(Shared::new(store, figures, tell));
        shared.configure(settings);
        shared.reports.configure(links.unwrap_or_default());
        let writer = Writer::new(Arc::clone(&shared), closing);
        let closer = Closer::new(Arc::clone(&shared));
        let begin = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let writing = begin("recordings").spawn(move || writer.run(&commands_in))?;
        let closing = begin("recordings-end").spawn(move || closer.run(&closing_in))?;
        let transcriber = Transcriber::new(Arc::clone(&shared), transcription::Pace::default());
        let mailer = Mailer::new(Arc::clone(&shared), mail::Pace::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sending = begin("recordings-sent").spawn(move || {
            runtime.block_on(async { tokio::join!(transcriber.keep(), mailer.keep()) });
            // A name may still be looked up.
            runtime.shutdown_background();
        })?;
        let threads = [writing, closing, sending];
        let threads = Threads { commands: commands.clone(), threads, shared: Arc::clone(&shared) };
        Ok((Recordings { commands, shared }, threads))
    }

    /// Takes another configuration; recordings that have begun go on as they are.
    pub fn configure(&self, settings: Option<Recording>, links: Option<RecordingLinks>) {
        self.shared.configure(settings);
        self.shared.reports.configure(links.unwrap_or_default());
        self.shared.transcribing.wake();
        self.shared.mailing.wake();
    }

    /// Sets the sender of what receivers are notified of.
    pub fn report_by(&self, desk: StoredDesk) {
        self.shared.reports.send_by(desk);
    }

    /// Whether there is a `[recording]`.
    pub(crate) fn is_on(&self) -> bool {
        self.shared.settings().is_some()
    }

    /// Whether new calls may be accepted: not while recordings cannot be written and `on_full` refuses calls.
    pub fn takes_calls(&self) -> bool {
        self.shared.takes_calls()
    }

    /// Whether recordings cannot be written for now.
    pub fn is_failing(&self) -> bool {
        self.shared.figures.is_failing()
    }

    /// Begins a recording, without waiting for its file.
    ///
    /// # Errors
    /// Why it does not begin.
    pub fn begin(&self, begin: Begin) -> Result<(), NotBegun> {
        if !self.is_on() {
            return Err(NotBegun::Off);
        }
        if !is_sid(&begin.sid) {
            return Err(NotBegun::Sid);
        }
        if self.queue(COMMAND_BYTES, Command::Begin(Box::new(begin))) { Ok(()) } else { Err(NotBegun::Busy) }
    }

    /// Hands frames over, without waiting; `false`: the writer is behind, and they are lost.
    pub fn write(&self, block: Block) -> bool {
        let bytes = COMMAND_BYTES + block.samples.bytes();
        let is_taken = self.queue(bytes, Command::Block(block));
        if !is_taken {
            self.shared.figures.refused_blocks.add(1);
        }
        is_taken
    }

    /// Ends a recording: [`Event::Finished`] follows once its file is closed.
    pub fn end(&self, id: RecordingId, sound: Sound) {
        // It is as rare as its beginning, which was counted.
        let _ = self.commands.send(Command::End(id, sound));
    }

    fn queue(&self, bytes: usize, command: Command) -> bool {
        self.shared.figures.reserve(bytes, RECORDINGS_QUEUE_BYTES) && self.commands.send(command).is_ok()
    }

    /// Reads a part of the list, the newest first, at most so many; waits for the disk.
    ///
    /// # Errors
    /// Those of the store.
    pub fn list(&self, part: Part, most: usize) -> io::Result<Vec<Entry>> {
        self.shared.list(part, most)
    }

    /// Reads one; waits for the disk.
    ///
    /// # Errors
    /// Those of the store.
    pub fn find(&self, sid: &str) -> io::Result<Option<Entry>> {
        self.shared.find(sid)
    }

    /// Returns why a recording that a crash has cut is not completed.
    pub fn why_incomplete(&self, sid: &str) -> Option<String> {
        self.shared.why_incomplete(sid)
    }

    /// Returns the files in the directory that no recording names, as the latest look has found them.
    pub fn unlisted(&self) -> Unlisted {
        self.shared.figures.unlisted()
    }

    /// Counts the messages of each mailbox that has any; waits for the disk.
    ///
    /// # Errors
    /// Those of the store.
    pub fn messages(&self) -> io::Result<Vec<Messages>> {
        self.shared.change(index::messages)
    }

    /// Notes that a message of a mailbox, or with no SID all of them, were heard; how many there are. Waits for the disk.
    ///
    /// # Errors
    /// Those of the store.
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

    /// Opens the audio of a completed recording, decrypted where it is encrypted; waits for the disk.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open(&self, sid: &str) -> Result<(Entry, Reader), NotOpened> {
        self.shared.open(sid)
    }

    /// Returns the levels of a completed recording over its time; reads its file, unless they were asked for lately.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn waveform(&self, sid: &str) -> Result<Arc<Waveform>, NotOpened> {
        self.shared.waveform(sid)
    }

    /// Returns whether the file is the one that was closed, by its check sum; waits for the disk.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn verify(&self, sid: &str) -> Result<bool, NotOpened> {
        self.shared.verify(sid)
    }

    /// Reads a part of the list of transcriptions, the newest first, at most so many; waits for the disk.
    ///
    /// # Errors
    /// Those of the store.
    pub fn transcriptions(&self, part: TranscriptionPart, most: usize) -> io::Result<Vec<Transcription>> {
        transcription::list(&self.shared, part, most)
    }

    /// Reads a transcription; waits for the disk.
    ///
    /// # Errors
    /// Those of the store.
    pub fn transcription(&self, sid: &str) -> io::Result<Option<Transcription>> {
        transcription::find(&self.shared, sid)
    }

    /// Returns the text of a transcription, decrypted where it is encrypted; `None`: there is none.
    ///
    /// # Errors
    /// It does not open with the identities of `key`.
    pub fn text_of(&self, one: &Transcription) -> Result<Option<String>, NotOpened> {
        transcription::opened(one, self.shared.settings().and_then(|settings| settings.key.clone()).as_deref())
    }

    /// Deletes a transcription; whether it was there. Waits for the disk.
    ///
    /// # Errors
    /// Those of the store.
    pub fn delete_transcription(&self, sid: &str) -> io::Result<bool> {
        transcription::delete(&self.shared, sid)
    }

    /// Deletes the file of a recording and its transcriptions; its entry stays for a while. Waits for the disk.
    ///
    /// # Errors
    /// Those of the disk and of the store.
    pub fn delete(&self, sid: &str) -> io::Result<Deleted> {
        self.shared.delete(sid)
    }
}

/// Tries whether a directory takes recordings.
///
/// # Errors
/// Why it does not.
pub fn try_directory(directory: &Path) -> io::Result<()> {
    place::probe(directory)
}

/// Bytes that a command has in the queue.
fn bytes_of(command: &Command) -> usize {
    match command {
        Command::Begin(_) => COMMAND_BYTES,
        Command::Block(block) => COMMAND_BYTES + block.samples.bytes(),
        Command::End(..) | Command::Stop => 0,
    }
}

#[cfg(test)]
mod tests;
