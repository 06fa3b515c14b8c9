//! Recordings of calls: those that are being made, and what is known of each until its file is complete.
//!
//! Signalling begins and ends them, media sessions hear the audio, and a writer of the shell's has the files. A recording outlives its call
//! by the time that its file needs.

pub mod losses;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};
use trunkgate_media::agent::TrackSet;
use trunkgate_media::{Channels, RecordingId};
use trunkgate_route::{App, Mailbox, WebhookMethod};
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::UnrecordedView;
use trunkgate_story::wall::rfc2822;

use crate::applications::question::{AppCallback, AppPlace, DocumentRequest};
use crate::recordings::losses::Losses;

/// What a recording was begun by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingSource {
    /// `record` of a route.
    Route,
    /// A request over HTTP.
    Request,
    /// A request that has begun the call, with `Record`.
    OutboundApi,
    /// `Record` of a document.
    RecordVerb,
    /// `record` of a Dial.
    DialVerb,
    /// `Recording` in Start of a document.
    StartVerb,
    /// A mailbox: the message of a caller.
    Voicemail,
    /// `record` of a Conference.
    Conference,
}

impl RecordingSource {
    /// Returns its stable name: as Twilio's API has it in `source`.
    pub const fn as_str(self) -> &'static str {
        match self {
            RecordingSource::Route => "Trunking",
            RecordingSource::Request => "StartCallRecordingAPI",
            RecordingSource::OutboundApi => "OutboundAPI",
            RecordingSource::RecordVerb => "RecordVerb",
            RecordingSource::DialVerb => "DialVerb",
            RecordingSource::StartVerb => "StartCallRecordingTwiML",
            RecordingSource::Voicemail => "Voicemail",
            RecordingSource::Conference => "Conference",
        }
    }
}

/// Events of a recording that a receiver is notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingEvents {
    /// It has begun.
    pub in_progress: bool,
    /// Its file is complete.
    pub completed: bool,
    /// There is no audio, and no file.
    pub absent: bool,
}

impl RecordingEvents {
    /// All of them.
    pub const ALL: RecordingEvents = RecordingEvents { in_progress: true, completed: true, absent: true };
    /// Those that Twilio reports where nothing else is asked for.
    pub const COMPLETED: RecordingEvents = RecordingEvents { in_progress: false, completed: true, absent: false };
}

/// A receiver of what becomes of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingReceiver {
    /// Name of the application, for figures.
    pub app: String,
    /// Absolute URL.
    pub url: String,
    /// Method.
    pub method: WebhookMethod,
    /// Events to report.
    pub events: RecordingEvents,
    /// Whether its URL may lead to private and loopback addresses.
    pub allow_private: bool,
}

impl RecordingReceiver {
    /// Returns the receiver that the configuration names for every recording.
    pub fn of_all(url: &str) -> RecordingReceiver {
        RecordingReceiver {
            app: OF_ALL.to_owned(),
            url: url.to_owned(),
            method: WebhookMethod::Post,
            events: RecordingEvents::ALL,
            allow_private: true,
        }
    }

    /// Returns the receiver that a mailbox names for its messages.
    pub fn of_mailbox(mailbox: &Mailbox) -> Option<RecordingReceiver> {
        Some(RecordingReceiver {
            app: mailbox.target(),
            url: mailbox.notify.clone()?,
            method: WebhookMethod::Post,
            events: RecordingEvents::COMPLETED,
            allow_private: true,
        })
    }
}

/// A transcription that a recording asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptionRequest {
    /// Name of the application, for figures.
    pub app: String,
    /// Absolute URL that is notified of the result.
    pub url: Option<String>,
    /// Whether that URL may lead to private and loopback addresses.
    pub allow_private: bool,
    /// Number of the caller.
    pub from: String,
    /// Number that was called.
    pub to: String,
}

impl TranscriptionRequest {
    /// Returns the receiver of the result, where it names one.
    pub fn receiver(&self) -> Option<RecordingReceiver> {
        Some(RecordingReceiver {
            app: self.app.clone(),
            url: self.url.clone()?,
            method: WebhookMethod::Post,
            events: RecordingEvents::COMPLETED,
            allow_private: self.allow_private,
        })
    }
}

/// A message in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoicemailMessage {
    /// Name of the mailbox.
    pub mailbox: String,
    /// Number of the caller.
    pub from: String,
    /// Number that was called.
    pub to: String,
}

/// Name in figures of the receiver of every recording.
const OF_ALL: &str = "recording";
/// Purpose of the callbacks of recordings, in traces.
pub const RECORDING_PURPOSE: &str = "recording";
/// Purpose of the callbacks of transcriptions, in traces.
pub const TRANSCRIPTION_PURPOSE: &str = "transcription";

/// How recordings are named and reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordingLinks {
    /// SID of the account.
    pub account: String,
    /// URL below which the recordings of the account are, without a slash at its end.
    pub base: String,
    /// URL that is notified of every recording.
    pub notify: Option<String>,
    /// Whether recordings that ask for it are transcribed.
    pub transcribes: bool,
}

impl RecordingLinks {
    /// Returns the URL of a recording: that of its audio.
    pub fn of(&self, sid: &str) -> String {
        format!("{}/{sid}", self.base)
    }

    /// Lists the receivers of a recording: its own, and that of every recording.
    pub fn receivers(&self, own: Option<&RecordingReceiver>) -> impl Iterator<Item = RecordingReceiver> {
        own.cloned().into_iter().chain(self.notify.as_deref().map(RecordingReceiver::of_all))
    }
}

/// What parties hear before they are connected in a call that its route records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingAnnouncement {
    /// Name of the file, below the directory of the configuration.
    pub file: String,
    /// The sound: μ-law at 8 kHz.
    pub sound: Arc<[u8]>,
    /// Whether callers hear it.
    pub to_caller: bool,
    /// Whether called parties hear it.
    pub to_callee: bool,
}

/// What a report says of a recording.
#[derive(Debug, Clone)]
pub struct RecordingReport<'a> {
    /// SID of its call.
    pub call: &'a str,
    /// SID of its conference, of a recording of one.
    pub conference: Option<&'a str>,
    /// Its SID.
    pub sid: &'a str,
    /// `in-progress`, `completed` or `absent`.
    pub status: &'static str,
    /// What it was begun by.
    pub source: &'a str,
    /// Channels of the file.
    pub channels: u16,
    /// Directions that are recorded.
    pub track: &'a str,
    /// When it began.
    pub started: SystemTime,
    /// Length of the file, once it is known.
    pub milliseconds: Option<u64>,
    /// Twilio's code of what is wrong.
    pub error: Option<u32>,
    /// The message that it is, where a mailbox has taken it.
    pub message: Option<&'a VoicemailMessage>,
}

impl RecordingReport<'_> {
    /// Returns its parameters, in Twilio's names.
    pub fn parameters(&self, links: &RecordingLinks) -> Vec<(String, String)> {
        let named = [
            ("AccountSid", links.account.clone()),
            ("CallSid", self.call.to_owned()),
            ("RecordingSid", self.sid.to_owned()),
            ("RecordingUrl", links.of(self.sid)),
            ("RecordingStatus", self.status.to_owned()),
            ("RecordingChannels", self.channels.to_string()),
            ("RecordingStartTime", rfc2822(self.started)),
            ("RecordingSource", self.source.to_owned()),
            ("RecordingTrack", self.track.to_owned()),
            ("ErrorCode", self.error.unwrap_or_default().to_string()),
        ];
        let conference = self.conference.map(|sid| ("ConferenceSid", sid.to_owned()));
        let duration = self.milliseconds.map(|length| ("RecordingDuration", seconds(length).to_string()));
        let message = self.message.into_iter().flat_map(|message| {
            let VoicemailMessage { mailbox, from, to } = message.clone();
            [("From", from), ("To", to), ("Voicemail", mailbox)]
        });
        let more = conference.into_iter().chain(duration).chain(message);
        named.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// What a report says of a transcription that has ended.
#[derive(Debug, Clone)]
pub struct TranscriptionReport<'a> {
    /// Its SID.
    pub sid: &'a str,
    /// SID of the recording.
    pub recording: &'a str,
    /// SID of the call.
    pub call: &'a str,
    /// The text; `None`: the transcription has failed.
    pub text: Option<&'a str>,
    /// The request, where the recording has asked for it.
    pub request: Option<&'a TranscriptionRequest>,
}

impl TranscriptionReport<'_> {
    /// Returns its parameters, in Twilio's names.
    pub fn parameters(&self, links: &RecordingLinks) -> Vec<(String, String)> {
        let status = if self.text.is_some() { "completed" } else { "failed" };
        let named = [
            ("AccountSid", links.account.clone()),
            ("ApiVersion", "2010-04-01".to_owned()),
            ("CallSid", self.call.to_owned()),
            ("RecordingSid", self.recording.to_owned()),
            ("RecordingUrl", links.of(self.recording)),
            ("TranscriptionSid", self.sid.to_owned()),
            ("TranscriptionStatus", status.to_owned()),
            ("TranscriptionText", self.text.unwrap_or_default().to_owned()),
            ("TranscriptionType", "fast".to_owned()),
            ("TranscriptionUrl", format!("{}/Transcriptions/{}", links.of(self.recording), self.sid)),
        ];
        let parties = self.request.into_iter().flat_map(|request| {
            let (from, to) = (request.from.clone(), request.to.clone());
            [("Called", to.clone()), ("Caller", from.clone()), ("From", from), ("To", to)]
        });
        named.into_iter().chain(parties).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Returns the duration of a recording in whole seconds: rounded, and of one with any audio at least one.
pub const fn seconds(milliseconds: u64) -> u64 {
    let rounded = milliseconds.saturating_add(500) / 1000;
    if rounded == 0 && milliseconds > 0 { 1 } else { rounded }
}

/// Frames of 20 ms that stay before the first sound of a trimmed recording, and behind its last: speech begins softly.
const MARGIN: u64 = 5;

/// Returns the frames of a recording that remain once silence at its beginning and its end is removed. `sound`: the first and the last
/// frame with a sound.
pub fn trimmed(frames: u64, sound: Option<(u64, u64)>) -> Range<u64> {
    let Some((first, last)) = sound else { return 0..0 };
    let end = last.saturating_add(1 + MARGIN).min(frames);
    first.saturating_sub(MARGIN).min(end)..end
}

/// Returns the name of directions in Twilio's API.
pub const fn track_name(tracks: TrackSet) -> &'static str {
    match tracks {
        TrackSet::Inbound => "inbound",
        TrackSet::Outbound => "outbound",
        TrackSet::Both => "both",
    }
}

/// A recording that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingRequest {
    /// What it was begun by.
    pub source: RecordingSource,
    /// The channels of the file.
    pub channels: Channels,
    /// Directions that are recorded; the other one is silence.
    pub tracks: TrackSet,
    /// Whether silence at its beginning and its end is removed.
    pub trim: bool,
    /// Receiver of what becomes of it.
    pub receiver: Option<Box<RecordingReceiver>>,
    /// The message that it is, where a mailbox takes it.
    pub message: Option<Box<VoicemailMessage>>,
    /// The transcription that it asks for.
    pub transcription: Option<Box<TranscriptionRequest>>,
    /// SID of the conference that is recorded; `None`: the call is.
    pub conference: Option<String>,
}

impl RecordingRequest {
    /// Requests a recording of both directions as it is heard, of which no receiver of its own is notified.
    pub const fn new(source: RecordingSource, channels: Channels) -> RecordingRequest {
        RecordingRequest {
            source,
            channels,
            tracks: TrackSet::Both,
            trim: false,
            receiver: None,
            message: None,
            transcription: None,
            conference: None,
        }
    }

    /// Returns the recording that begins by this request.
    pub(crate) fn begun(self, (id, sid): (RecordingId, &str), call: &str, began: SystemTime) -> RecordingBegun {
        let RecordingRequest { source, channels, tracks, trim, receiver, message, transcription, conference } = self;
        let (sid, call) = (sid.to_owned(), call.to_owned());
        RecordingBegun {
            id,
            sid,
            call,
            conference,
            source,
            channels,
            tracks,
            trim,
            receiver,
            message,
            transcription,
            began,
        }
    }
}

/// A recording that has begun: its file is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingBegun {
    /// The number that its audio has.
    pub id: RecordingId,
    /// `RE` + 32 hex.
    pub sid: String,
    /// SID of its call; of a recording of a conference, that of the party which asks for it.
    pub call: String,
    /// SID of the conference that is recorded.
    pub conference: Option<String>,
    /// What it was begun by.
    pub source: RecordingSource,
    /// The channels of the file.
    pub channels: Channels,
    /// Directions that are recorded.
    pub tracks: TrackSet,
    /// Whether silence at its beginning and its end is removed.
    pub trim: bool,
    /// Receiver of what becomes of it.
    pub receiver: Option<Box<RecordingReceiver>>,
    /// The message that it is, where a mailbox takes it.
    pub message: Option<Box<VoicemailMessage>>,
    /// The transcription that it asks for.
    pub transcription: Option<Box<TranscriptionRequest>>,
    /// When it began.
    pub began: SystemTime,
}

impl RecordingBegun {
    /// Returns the callbacks of its beginning. Its end is reported where its file is closed.
    pub(crate) fn reports(&self, links: &RecordingLinks) -> Vec<AppCallback> {
        let report = RecordingReport {
            call: &self.call,
            conference: self.conference.as_deref(),
            sid: &self.sid,
            status: "in-progress",
            source: self.source.as_str(),
            channels: self.channels.count(),
            track: track_name(self.tracks),
            started: self.began,
            milliseconds: None,
            error: None,
            message: self.message.as_deref(),
        };
        let parameters = report.parameters(links);
        let receivers = links.receivers(self.receiver.as_deref()).filter(|receiver| receiver.events.in_progress);
        let callback = |receiver: RecordingReceiver| {
            let RecordingReceiver { app, url, method, allow_private, .. } = receiver;
            let (place, purpose, parameters) = (AppPlace::Url(url), RECORDING_PURPOSE, parameters.clone());
            let request = DocumentRequest { place, method, purpose, parameters };
            let (call, about) = (self.call.clone(), self.sid.clone());
            AppCallback { call, about, app: app.as_str().into(), allow_private, request }
        };
        receivers.map(callback).collect()
    }
}

/// A recording whose file is complete, or will not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingDone {
    /// The number that its audio had.
    pub id: RecordingId,
    /// Length of the file, in milliseconds.
    pub milliseconds: u64,
    /// Audio that was lost between the call and the disk.
    pub lost: Losses,
    /// Why there is no file, or why it ends before its time.
    pub error: Option<String>,
}

/// A request that waits for the file of a recording: its caller has hung up, and what it says of the recording is not known yet.
#[derive(Debug)]
pub struct AfterRecording {
    /// The application that makes it.
    pub app: Arc<App>,
    /// The request, without the duration.
    pub request: DocumentRequest,
}

impl AfterRecording {
    /// Returns the request, and whose it is, once the duration of the file is known.
    pub(crate) fn request(self, milliseconds: u64) -> (Arc<App>, DocumentRequest) {
        let AfterRecording { app, mut request } = self;
        request.parameters.push(("RecordingDuration".to_owned(), seconds(milliseconds).to_string()));
        (app, request)
    }
}

/// A recording whose file is not complete.
#[derive(Debug)]
pub(crate) struct OpenRecording {
    pub(crate) sid: String,
    pub(crate) call: String,
    pub(crate) after: Option<Box<AfterRecording>>,
}

/// The recordings of an edge.
#[derive(Debug, Default)]
pub struct Recordings {
    /// How they are named, where there is a writer.
    links: Option<Arc<RecordingLinks>>,
    announcement: Option<Arc<RecordingAnnouncement>>,
    /// Whether calls that are to be recorded are refused, because the writer cannot write.
    refuses: bool,
    /// Calls that were refused for that.
    refused: LastHour<1>,
    /// The last of them.
    last_refused: Option<String>,
    /// Whether the writer cannot write.
    fails: bool,
    /// Messages of each mailbox that has any, and bytes of their files.
    messages: HashMap<String, (u64, u64)>,
    next: u64,
    /// Those whose files are not complete.
    open: HashMap<RecordingId, OpenRecording>,
}

impl Recordings {
    /// Sets how recordings are named, where there is a writer, and how those of routes are announced.
    pub(crate) fn configure(
        &mut self,
        links: Option<Arc<RecordingLinks>>,
        announcement: Option<Arc<RecordingAnnouncement>>,
    ) {
        (self.links, self.announcement) = (links, announcement);
    }

    /// Returns how recordings of routes are announced.
    pub fn announcement(&self) -> Option<&Arc<RecordingAnnouncement>> {
        self.announcement.as_ref().filter(|_| self.is_on())
    }

    /// Returns whether there is a writer.
    pub fn is_on(&self) -> bool {
        self.links.is_some()
    }

    /// Returns whether recordings that ask for it are transcribed.
    pub fn transcribes(&self) -> bool {
        self.links.as_ref().is_some_and(|links| links.transcribes)
    }

    /// Returns how recordings are named.
    pub fn links(&self) -> Option<&RecordingLinks> {
        self.links.as_deref()
    }

    /// Returns the same, to be kept.
    pub(crate) fn links_shared(&self) -> Option<Arc<RecordingLinks>> {
        self.links.clone()
    }

    /// Sets whether calls that are to be recorded are refused.
    pub fn refuse(&mut self, refuses: bool) {
        self.refuses = refuses;
    }

    /// Returns whether a call that is to be recorded is refused.
    pub fn refuses(&self) -> bool {
        self.is_on() && self.refuses
    }

    /// Notes a call that is refused because it cannot be recorded.
    pub fn note_refused(&mut self, now: Instant, sid: &str) {
        self.refused.count(now, [true]);
        self.last_refused = Some(sid.to_owned());
    }

    /// Returns the calls of the last hour that were refused; `None`: none is refused now.
    pub fn refused(&self, now: Instant) -> Option<UnrecordedView> {
        let ([calls], [recent]) = (self.refused.sums(now), self.refused.recent(now));
        let last_sid = self.last_refused.clone().filter(|_| calls > 0);
        self.refuses().then_some(UnrecordedView { calls, recent, last_sid })
    }

    /// Sets whether the writer cannot write.
    pub fn fail(&mut self, fails: bool) {
        self.fails = fails;
    }

    /// Returns whether mailboxes take messages.
    pub fn takes_messages(&self) -> bool {
        self.is_on() && !self.fails
    }

    /// Notes how many messages a mailbox has, and how many bytes together.
    pub(crate) fn note_messages(&mut self, mailbox: &str, messages: u64, bytes: u64) {
        self.messages.insert(mailbox.to_owned(), (messages, bytes));
    }

    /// Returns whether a mailbox takes no more messages.
    pub fn is_full(&self, mailbox: &Mailbox) -> bool {
        self.messages.get(&*mailbox.name).is_some_and(|(messages, bytes)| mailbox.is_full(*messages, *bytes))
    }

    /// Enters a recording, and returns its number.
    pub(crate) fn begin(&mut self, sid: &str, call: &str) -> RecordingId {
        self.next += 1;
        let id = RecordingId(self.next);
        self.open.insert(id, OpenRecording { sid: sid.to_owned(), call: call.to_owned(), after: None });
        id
    }

    /// Has a request made once the file of a recording is complete, unless that has no audio.
    pub fn make_after(&mut self, sid: &str, after: AfterRecording) {
        if let Some(open) = self.open.values_mut().find(|open| open.sid == sid) {
            open.after = Some(Box::new(after));
        }
    }

    /// Returns the SIDs of a recording whose file is not complete, and of its call.
    pub fn sids(&self, id: RecordingId) -> Option<(String, String)> {
        self.open.get(&id).map(|open| (open.sid.clone(), open.call.clone()))
    }

    /// Takes a recording out whose file is complete.
    pub(crate) fn done(&mut self, id: RecordingId) -> Option<OpenRecording> {
        self.open.remove(&id)
    }

    /// Returns how many files are not complete.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_removed_but_for_a_margin() {
        for (frames, sound, kept) in
            [(100, Some((20, 40)), 15..46), (100, Some((2, 98)), 0..100), (100, Some((3, 3)), 0..9), (100, None, 0..0)]
        {
            assert_eq!(trimmed(frames, sound), kept, "{sound:?} of {frames}");
        }
    }

    #[test]
    fn durations_are_rounded_and_audio_has_one_second_at_least() {
        let all = [0, 1, 499, 500, 1_499, 1_500, u64::MAX].map(seconds);
        assert_eq!(all, [0, 1, 1, 1, 1, 2, u64::MAX / 1000]);
    }
}
