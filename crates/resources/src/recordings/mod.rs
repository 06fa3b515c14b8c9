//! Recordings of calls in progress, and their data until the file is complete.
//!
//! Signalling begins and ends recordings, media sessions deliver the audio, and a writer in the shell owns the files.
//! A recording outlives its call until its file is complete.

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
use crate::recordings::losses::RecordingLosses;

/// Recording of a process that has crashed. The next process completes its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterruptedRecording {
    /// Id of the recording.
    pub id: RecordingId,
    /// SID of the recording.
    pub sid: String,
    /// Whether the recording is in a pause that is left out of the file.
    pub is_cut: bool,
    /// Whether silence around the sound is removed at the end.
    pub is_trimmed: bool,
    /// Audio lost before the crash.
    pub lost: RecordingLosses,
}

/// Trigger of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordingSource {
    /// `record` of a route.
    Route,
    /// An API request during the call.
    Request,
    /// `Record` of the API request that started the call.
    OutboundApi,
    /// `Record` of a document.
    RecordVerb,
    /// `record` of a Dial.
    DialVerb,
    /// `Recording` in Start of a document.
    StartVerb,
    /// The message of a caller in a mailbox.
    Voicemail,
    /// `record` of a Conference.
    Conference,
}

impl RecordingSource {
    /// Returns the stable name, as in `source` of Twilio's API.
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

/// Events of a recording that are reported to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingEvents {
    /// The recording has begun.
    pub in_progress: bool,
    /// The file is complete.
    pub completed: bool,
    /// The recording has no audio, and no file.
    pub absent: bool,
}

impl RecordingEvents {
    /// All events.
    pub const ALL: RecordingEvents = RecordingEvents { in_progress: true, completed: true, absent: true };
    /// Events that Twilio reports by default.
    pub const COMPLETED: RecordingEvents = RecordingEvents { in_progress: false, completed: true, absent: false };
}

/// Receiver of a recording's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingReceiver {
    /// Name of the application, for metrics.
    pub app: String,
    /// Absolute URL of the receiver.
    pub url: String,
    /// HTTP method of the callbacks.
    pub method: WebhookMethod,
    /// Events to report.
    pub events: RecordingEvents,
    /// Whether the URL may resolve to private and loopback addresses.
    pub allow_private: bool,
}

impl RecordingReceiver {
    /// Returns the receiver that the configuration sets for all recordings.
    pub fn of_all(url: &str) -> RecordingReceiver {
        RecordingReceiver {
            app: OF_ALL.to_owned(),
            url: url.to_owned(),
            method: WebhookMethod::Post,
            events: RecordingEvents::ALL,
            allow_private: true,
        }
    }

    /// Returns the receiver that a mailbox sets for its messages; `None` without `notify`.
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

/// Transcription requested for a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptionRequest {
    /// Name of the application, for metrics.
    pub app: String,
    /// Absolute URL notified of the result.
    pub url: Option<String>,
    /// Whether `url` may resolve to private and loopback addresses.
    pub allow_private: bool,
    /// Number of the caller.
    pub from: String,
    /// Number dialled.
    pub to: String,
}

impl TranscriptionRequest {
    /// Returns the receiver of the result, if there is one.
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
    /// Number dialled.
    pub to: String,
}

/// Name of the receiver of all recordings' events, for metrics.
const OF_ALL: &str = "recording";
/// Purpose of recording callbacks in traces.
pub const RECORDING_PURPOSE: &str = "recording";
/// Purpose of transcription callbacks in traces.
pub const TRANSCRIPTION_PURPOSE: &str = "transcription";

/// Naming and reporting of recordings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordingLinks {
    /// SID of the account.
    pub account: String,
    /// Base URL of the account's recordings, without a trailing slash.
    pub base: String,
    /// URL notified of every recording.
    pub notify: Option<String>,
    /// Whether requested transcriptions are made.
    pub transcribes: bool,
}

impl RecordingLinks {
    /// Returns the URL of a recording's audio.
    pub fn of(&self, sid: &str) -> String {
        format!("{}/{sid}", self.base)
    }

    /// Returns the receivers of a recording's events: `own`, and the receiver for all recordings.
    pub fn receivers(&self, own: Option<&RecordingReceiver>) -> impl Iterator<Item = RecordingReceiver> {
        own.cloned().into_iter().chain(self.notify.as_deref().map(RecordingReceiver::of_all))
    }
}

/// Announcement that parties hear before they are connected in a call recorded by its route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingAnnouncement {
    /// Name of the file, below the configuration's directory.
    pub file: String,
    /// Audio: μ-law at 8 kHz.
    pub sound: Arc<[u8]>,
    /// Whether callers hear the announcement.
    pub to_caller: bool,
    /// Whether callees hear the announcement.
    pub to_callee: bool,
}

/// Data of a recording event.
#[derive(Debug, Clone)]
pub struct RecordingReport<'a> {
    /// SID of the call.
    pub call: &'a str,
    /// SID of the conference, if one is recorded.
    pub conference: Option<&'a str>,
    /// SID of the recording.
    pub sid: &'a str,
    /// `in-progress`, `completed` or `absent`.
    pub status: &'static str,
    /// Trigger of the recording, as in Twilio's API.
    pub source: &'a str,
    /// Number of channels in the file.
    pub channels: u16,
    /// Recorded directions, as in Twilio's API.
    pub track: &'a str,
    /// Start of the recording.
    pub started: SystemTime,
    /// Length of the file, once known.
    pub milliseconds: Option<u64>,
    /// Twilio's code of an error.
    pub error: Option<u32>,
    /// Message of a mailbox, if the recording is one.
    pub message: Option<&'a VoicemailMessage>,
}

impl RecordingReport<'_> {
    /// Returns the parameters with Twilio's names.
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

/// Data of the event for a finished transcription.
#[derive(Debug, Clone)]
pub struct TranscriptionReport<'a> {
    /// SID of the transcription.
    pub sid: &'a str,
    /// SID of the recording.
    pub recording: &'a str,
    /// SID of the call.
    pub call: &'a str,
    /// Text; `None` if the transcription has failed.
    pub text: Option<&'a str>,
    /// Request of the transcription, if the recording's trigger made one.
    pub request: Option<&'a TranscriptionRequest>,
}

impl TranscriptionReport<'_> {
    /// Returns the parameters with Twilio's names.
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

/// Returns the duration of a recording in whole seconds, rounded; at least one if there is any audio.
pub const fn seconds(milliseconds: u64) -> u64 {
    let rounded = milliseconds.saturating_add(500) / 1000;
    if rounded == 0 && milliseconds > 0 { 1 } else { rounded }
}

/// Frames of 20 ms kept before the first sound and after the last sound of a trimmed recording, since speech begins
/// softly.
const MARGIN: u64 = 5;

/// Returns the frames of a recording that remain when leading and trailing silence is removed. `sound`: the first and
/// last frame with a sound.
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

/// A request to begin a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingRequest {
    /// Trigger of the recording.
    pub source: RecordingSource,
    /// Channels of the file.
    pub channels: Channels,
    /// Recorded directions; in a file with two channels the other direction is silence.
    pub tracks: TrackSet,
    /// Whether leading and trailing silence is removed.
    pub trim: bool,
    /// Receiver of the recording's events.
    pub receiver: Option<Box<RecordingReceiver>>,
    /// Message of a mailbox, if the recording is one.
    pub message: Option<Box<VoicemailMessage>>,
    /// Requested transcription.
    pub transcription: Option<Box<TranscriptionRequest>>,
    /// SID of the recorded conference; `None` if the call is recorded.
    pub conference: Option<String>,
}

impl RecordingRequest {
    /// Returns a request for both directions, untrimmed, without its own receiver.
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

    /// Returns the recording that this request begins.
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

/// A recording that has begun: the shell creates its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingBegun {
    /// Id of the recorded audio.
    pub id: RecordingId,
    /// SID of the recording: `RE` and 32 hex digits.
    pub sid: String,
    /// SID of the call; for a conference, of the participant that requested the recording.
    pub call: String,
    /// SID of the recorded conference.
    pub conference: Option<String>,
    /// Trigger of the recording.
    pub source: RecordingSource,
    /// Channels of the file.
    pub channels: Channels,
    /// Recorded directions.
    pub tracks: TrackSet,
    /// Whether leading and trailing silence is removed.
    pub trim: bool,
    /// Receiver of the recording's events.
    pub receiver: Option<Box<RecordingReceiver>>,
    /// Message of a mailbox, if the recording is one.
    pub message: Option<Box<VoicemailMessage>>,
    /// Requested transcription.
    pub transcription: Option<Box<TranscriptionRequest>>,
    /// Start of the recording.
    pub began: SystemTime,
}

impl RecordingBegun {
    /// Returns the callbacks for the beginning. The end is reported when the file is closed.
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

/// A recording with a complete file, or one that has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingDone {
    /// Id of the recorded audio.
    pub id: RecordingId,
    /// Length of the file, in milliseconds.
    pub milliseconds: u64,
    /// Audio lost between the call and the disk.
    pub lost: RecordingLosses,
    /// Error that prevented or cut short the file.
    pub error: Option<String>,
}

/// A request of an application that waits for the file of a recording: its caller has hung up, and the duration is
/// not known yet.
#[derive(Debug)]
pub struct AfterRecording {
    /// Application that sends the request.
    pub app: Arc<App>,
    /// The request, without the duration.
    pub request: DocumentRequest,
}

impl AfterRecording {
    /// Returns the application and its request with the duration of the file.
    pub(crate) fn request(self, milliseconds: u64) -> (Arc<App>, DocumentRequest) {
        let AfterRecording { app, mut request } = self;
        request.parameters.push(("RecordingDuration".to_owned(), seconds(milliseconds).to_string()));
        (app, request)
    }
}

/// A recording with an incomplete file: SIDs of recording and call, and the request to send once the file is complete.
#[derive(Debug)]
pub(crate) struct OpenRecording {
    pub(crate) sid: String,
    pub(crate) call: String,
    pub(crate) after: Option<Box<AfterRecording>>,
}

/// Recordings of an edge.
#[derive(Debug, Default)]
pub struct EdgeRecordings {
    /// Naming of recordings, if there is a writer.
    links: Option<Arc<RecordingLinks>>,
    announcement: Option<Arc<RecordingAnnouncement>>,
    /// Whether calls that must be recorded are refused because the writer cannot write.
    refuses: bool,
    /// Calls refused because the writer cannot write.
    refused: LastHour<1>,
    /// SID of the call that was most recently refused because the writer cannot write.
    last_refused: Option<String>,
    /// Whether the writer cannot write.
    fails: bool,
    /// Number of messages in each mailbox, and size of their files.
    messages: HashMap<String, (u64, u64)>,
    next: u64,
    /// Recordings with incomplete files.
    open: HashMap<RecordingId, OpenRecording>,
}

impl EdgeRecordings {
    /// Sets the naming of recordings, if there is a writer, and the announcement for routes.
    pub(crate) fn configure(
        &mut self,
        links: Option<Arc<RecordingLinks>>,
        announcement: Option<Arc<RecordingAnnouncement>>,
    ) {
        (self.links, self.announcement) = (links, announcement);
    }

    /// Returns the announcement for recordings of routes; `None` without one, or if recordings are not configured.
    pub fn announcement(&self) -> Option<&Arc<RecordingAnnouncement>> {
        self.announcement.as_ref().filter(|_| self.is_on())
    }

    /// Returns whether there is a writer.
    pub fn is_on(&self) -> bool {
        self.links.is_some()
    }

    /// Returns whether requested transcriptions are made.
    pub fn transcribes(&self) -> bool {
        self.links.as_ref().is_some_and(|links| links.transcribes)
    }

    /// Returns the naming of recordings.
    pub fn links(&self) -> Option<&RecordingLinks> {
        self.links.as_deref()
    }

    /// Returns the naming of recordings as a shared pointer.
    pub(crate) fn links_shared(&self) -> Option<Arc<RecordingLinks>> {
        self.links.clone()
    }

    /// Sets whether calls that must be recorded are refused.
    pub fn refuse(&mut self, refuses: bool) {
        self.refuses = refuses;
    }

    /// Returns whether a call that must be recorded is refused.
    pub fn refuses(&self) -> bool {
        self.is_on() && self.refuses
    }

    /// Counts a call that was refused because it cannot be recorded.
    pub fn note_refused(&mut self, now: Instant, sid: &str) {
        self.refused.count(now, [true]);
        self.last_refused = Some(sid.to_owned());
    }

    /// Returns the calls refused in the last hour; `None` if calls are not refused now.
    pub fn refused(&self, now: Instant) -> Option<UnrecordedView> {
        let ([calls], [recent]) = (self.refused.sums(now), self.refused.recent(now));
        let last_sid = self.last_refused.clone().filter(|_| calls > 0);
        self.refuses().then_some(UnrecordedView { calls, recent, last_sid })
    }

    /// Records whether the writer reports that it cannot write, for example to a full disk; mailboxes then accept no
    /// messages.
    pub fn fail(&mut self, fails: bool) {
        self.fails = fails;
    }

    /// Returns whether mailboxes accept messages.
    pub fn takes_messages(&self) -> bool {
        self.is_on() && !self.fails
    }

    /// Sets the number of messages in a mailbox, and the size of their files.
    pub(crate) fn note_messages(&mut self, mailbox: &str, messages: u64, bytes: u64) {
        self.messages.insert(mailbox.to_owned(), (messages, bytes));
    }

    /// Returns whether a mailbox is full.
    pub fn is_full(&self, mailbox: &Mailbox) -> bool {
        self.messages.get(&*mailbox.name).is_some_and(|(messages, bytes)| mailbox.is_full(*messages, *bytes))
    }

    /// Adds a recording. Returns its id.
    pub(crate) fn begin(&mut self, sid: &str, call: &str) -> RecordingId {
        self.next += 1;
        let id = RecordingId(self.next);
        self.open.insert(id, OpenRecording { sid: sid.to_owned(), call: call.to_owned(), after: None });
        id
    }

    /// Adds a recording that an earlier process began; ids of new recordings follow.
    pub(crate) fn resume(&mut self, id: RecordingId, sid: &str, call: &str) {
        self.next = self.next.max(id.0);
        self.open.insert(id, OpenRecording { sid: sid.to_owned(), call: call.to_owned(), after: None });
    }

    /// Schedules a request for the time when the file of a recording is complete; it is dropped if the file has no
    /// audio.
    pub fn make_after(&mut self, sid: &str, after: AfterRecording) {
        if let Some(open) = self.open.values_mut().find(|open| open.sid == sid) {
            open.after = Some(Box::new(after));
        }
    }

    /// Returns the SID of a recording with an incomplete file, and the SID of its call.
    pub fn sids(&self, id: RecordingId) -> Option<(String, String)> {
        self.open.get(&id).map(|open| (open.sid.clone(), open.call.clone()))
    }

    /// Removes a recording, because its file is complete or has failed; `None` if it has been removed.
    pub(crate) fn done(&mut self, id: RecordingId) -> Option<OpenRecording> {
        self.open.remove(&id)
    }

    /// Returns the number of incomplete files.
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
