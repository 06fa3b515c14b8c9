//! Recordings of a call: start, pause and end, and the recorded side.
//!
//! A recorder is a media end that listens to the caller's side, like a recogniser; it is not a leg. The shell writes
//! the file.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use trunkgate_media::agent::TrackSet;
use trunkgate_media::{AudioListenerSpec, Channels, EndId, MediaCommand, RecorderSpec, RecordingId, RecordingPause};
use trunkgate_resources::limits::{RECORDINGS_AT_ONCE, RECORDINGS_PER_CALL};
use trunkgate_resources::recordings::losses::RecordingLosses;
use trunkgate_resources::recordings::{InterruptedRecording, RecordingRequest, RecordingSource, trimmed};
use trunkgate_route::{App, CallTarget, Route, RoutePlan};
use trunkgate_story::view::RecordingView;
use trunkgate_twiml::{ProgramInput, RecordResult};

use crate::call::media::CallMedia;
use crate::call::shared::{CallCx, UnannouncedParties};
use crate::call::words::party::CallParty;
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;

/// Status of a recording that has ended.
const STOPPED: &str = "stopped";

/// Requested change of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingChange {
    /// Pauses the recording.
    Pause(RecordingPause),
    /// Resumes the recording.
    Resume,
    /// Ends the recording.
    Stop,
}

/// A recording that a request has begun.
#[derive(Debug, Clone, PartialEq)]
pub struct BegunRecording {
    /// The recording as shown by the API.
    pub view: RecordingView,
    /// Time at which the recording began.
    pub began: SystemTime,
}

/// The Record step of a program that waits for a recording.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordWait {
    /// Id of the step.
    pub(crate) id: u32,
    /// Length of silence to report.
    pub(crate) silence: Duration,
}

/// The recordings of a call, including finished ones.
#[derive(Debug, Default)]
pub(crate) struct CallRecordings {
    /// Recordings of the call; boxed, as few calls have any.
    list: Option<Box<RecordingList>>,
}

#[derive(Debug, Default)]
struct RecordingList {
    list: Vec<CallRecording>,
}

/// Announcement that a call is recorded, for parties that have not heard it.
#[derive(Debug)]
#[must_use]
pub(crate) struct RecordingAnnouncement {
    pub(crate) parties: Vec<CallParty>,
    /// File name of the announcement.
    pub(crate) name: String,
    pub(crate) sound: Arc<[u8]>,
}

/// Recordings of an answered call as plain data. Their files continue beside the media session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RecordingsSnapshot {
    list: Vec<CallRecording>,
}

impl RecordingsSnapshot {
    /// Lists the recordings that have not ended: id and SID.
    pub(crate) fn open(&self) -> impl Iterator<Item = (RecordingId, &str)> {
        let open = self.list.iter().filter(|recording| !recording.is_over);
        open.map(|recording| (recording.id, recording.sid.as_str()))
    }

    /// Lists the recordings that a crash has interrupted.
    pub(crate) fn interrupted(&self) -> impl Iterator<Item = InterruptedRecording> {
        self.list.iter().filter(|recording| !recording.is_over).map(|recording| InterruptedRecording {
            id: recording.id,
            sid: recording.sid.clone(),
            is_cut: recording.pause == Some(RecordingPause::Cut),
            is_trimmed: recording.trim,
            lost: recording.lost,
        })
    }
}

/// Recording of a call, in progress or finished.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct CallRecording {
    /// Id of the recording at the media worker and the writer.
    id: RecordingId,
    sid: String,
    source: RecordingSource,
    channels: Channels,
    tracks: TrackSet,
    trim: bool,
    /// Length of silence that a program's step is informed of.
    silence: Option<Duration>,
    /// Id of the program's step that waits for the recording.
    verb: Option<u32>,
    /// End of the recorder in the media session.
    end: EndId,
    pause: Option<RecordingPause>,
    /// Number of 20 ms frames in the file, once the recording has ended.
    frames: Option<u64>,
    /// Audio missing from the recording.
    lost: RecordingLosses,
    is_over: bool,
}

impl CallRecording {
    fn view(&self) -> RecordingView {
        let status = match (self.is_over, self.pause) {
            (true, _) => STOPPED,
            (false, Some(_)) => "paused",
            (false, None) => "in-progress",
        };
        RecordingView {
            sid: self.sid.clone(),
            status,
            source: self.source.as_str(),
            channels: self.channels.count(),
            seconds: self.frames.map(|frames| frames as f64 / 50.0),
            lost: self.lost.views(),
        }
    }
}

impl RecordingList {
    fn views(&self) -> impl Iterator<Item = RecordingView> {
        self.list.iter().map(CallRecording::view)
    }

    /// Finds a recording by its SID; without one, the newest that is running.
    fn find(&mut self, sid: Option<&str>) -> Option<&mut CallRecording> {
        match sid {
            Some(sid) => self.list.iter_mut().find(|recording| recording.sid == sid),
            None => self.list.iter_mut().rev().find(|recording| !recording.is_over),
        }
    }
}

impl CallRecordings {
    /// Returns the views of the recordings.
    pub(crate) fn views(&self) -> Vec<RecordingView> {
        self.list.iter().flat_map(|kept| kept.views()).collect()
    }

    /// Returns the recordings as plain data.
    pub(crate) fn snapshot(&self) -> Option<RecordingsSnapshot> {
        self.list.as_ref().map(|kept| RecordingsSnapshot { list: kept.list.clone() })
    }

    /// Restores the recordings of a call; [`Self::resume`] continues them.
    pub(crate) fn restore(snapshot: RecordingsSnapshot) -> CallRecordings {
        CallRecordings { list: Some(Box::new(RecordingList { list: snapshot.list })) }
    }

    /// Continues the recordings of a restored call. Their recorders are in the media session already, if it has crossed
    /// from another process.
    pub(crate) fn resume(&self, cx: &mut CallCx<'_>) {
        let Some(session) = cx.call.session else { return };
        for recording in self.list().iter().filter(|recording| !recording.is_over) {
            let CallRecording { id, end, tracks, silence, pause, ref sid, .. } = *recording;
            cx.edge.resume_recording(id, sid, cx.call.legs.sid());
            let spec = RecorderSpec { recording: id, tracks, silence };
            cx.edge.media(session, MediaCommand::AddListener { end, spec: AudioListenerSpec::Recorder(spec) });
            if pause.is_some() {
                cx.edge.media(session, MediaCommand::PauseRecorder { end, pause });
            }
            cx.call.listeners.add(end, TrackSet::Both);
        }
    }

    /// Lists the recordings that are in progress and not paused.
    pub(crate) fn running(&self) -> impl Iterator<Item = RecordingId> {
        let running = self.list().iter().filter(|recording| !recording.is_over && recording.pause.is_none());
        running.map(|recording| recording.id)
    }

    /// Replaces the audio losses of a recording, as last reported by its writer.
    pub(crate) fn lack(&mut self, sid: &str, lost: &RecordingLosses) {
        if let Some(recording) = self.list_mut().find(|recording| recording.sid == sid) {
            recording.lost = *lost;
        }
    }

    /// Returns the SID of the recording that a program's step waits for.
    pub(crate) fn of_verb(&self, id: u32) -> Option<&str> {
        self.list().iter().rev().find(|recording| recording.verb == Some(id)).map(|recording| recording.sid.as_str())
    }

    /// Returns whether a program's step waits for a recording that is running.
    pub(crate) fn records_for(&self, id: u32) -> bool {
        self.list().iter().any(|recording| recording.verb == Some(id) && !recording.is_over)
    }

    /// Returns the SID of the running recording of a Dial, which a Dial that begins again after a restart continues.
    pub(crate) fn open_of_dial(&self) -> Option<&str> {
        let mut open = self.list().iter().filter(|recording| !recording.is_over);
        open.find(|recording| recording.source == RecordingSource::DialVerb).map(|recording| recording.sid.as_str())
    }

    /// Returns whether any recording is running.
    fn is_any_open(&self) -> bool {
        self.list().iter().any(|recording| !recording.is_over)
    }

    fn list(&self) -> &[CallRecording] {
        self.list.as_ref().map_or(&[], |kept| &kept.list)
    }

    fn list_mut(&mut self) -> impl Iterator<Item = &mut CallRecording> {
        self.list.iter_mut().flat_map(|kept| &mut kept.list)
    }

    fn at(&mut self, end: EndId) -> Option<&mut CallRecording> {
        self.list_mut().find(|recording| recording.end == end)
    }

    /// Plans the recording of a transfer's route; the new party hears the announcement, too.
    pub(super) fn plan_later(&self, cx: &mut CallCx<'_>, route: &Route) {
        if !route.record {
            return;
        }
        cx.call.facts.record |= !self.is_any_open();
        if cx.edge.sessions().recordings.announcement().is_some() {
            cx.call.facts.unannounced = UnannouncedParties::Both;
        }
    }

    /// Begins the recording of the route, once the call is answered. Returns the announcement for the parties. `None`
    /// without parties to whom one is played.
    pub(super) fn begin_by_route(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
    ) -> Option<RecordingAnnouncement> {
        if cx.call.state != CallState::Answered {
            return None;
        }
        if std::mem::take(&mut cx.call.facts.record) {
            let request = RecordingRequest::new(RecordingSource::Route, Channels::Dual);
            if self.begin_unasked(cx, media, request, "its route asks for").is_none() {
                cx.call.facts.unannounced = UnannouncedParties::None;
            }
        }
        if cx.call.facts.unannounced == UnannouncedParties::None {
            return None;
        }
        let announcement = cx.edge.sessions().recordings.announcement().cloned()?;
        let is_wanted = |party: &CallParty| match party {
            CallParty::Caller => announcement.to_caller && cx.call.facts.unannounced == UnannouncedParties::Both,
            CallParty::Callee => announcement.to_callee,
        };
        let parties: Vec<CallParty> = CallParty::ALL.into_iter().filter(is_wanted).collect();
        if parties.is_empty() {
            cx.call.facts.unannounced = UnannouncedParties::None;
            return None;
        }
        Some(RecordingAnnouncement { parties, name: announcement.file.clone(), sound: announcement.sound.clone() })
    }

    /// Begins a recording that no HTTP request waits for, and returns its SID. A failure is written to log and trace,
    /// and gives `None`; `wanted` is a clause for the log such as `its route asks for`.
    pub(crate) fn begin_unasked(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        request: RecordingRequest,
        wanted: &str,
    ) -> Option<String> {
        match self.begin(cx, media, request, None) {
            Ok(begun) => Some(begun.view.sid),
            Err(why) => {
                let sid = cx.call.legs.sid().to_owned();
                cx.edge.decide(cx.now, cx.call.key, format!("not recorded: {why}"));
                cx.edge.warn(&sid, format!("the call is not recorded, although {wanted} it: {why}"), None);
                None
            }
        }
    }

    /// Begins a recording.
    ///
    /// # Errors
    /// Recording is not configured, the audio cannot be decoded, the maximum number of recordings is reached, or no
    /// media end is available.
    pub(crate) fn begin(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        request: RecordingRequest,
        verb: Option<RecordWait>,
    ) -> Result<BegunRecording, RequestRefusal> {
        if !cx.edge.sessions().recordings.is_on() {
            return Err(RequestRefusal::NoRecording);
        }
        if media.speaks_other_audio(cx.call) {
            return Err(RequestRefusal::OtherAudio);
        }
        let list = self.list();
        let open = list.iter().filter(|recording| !recording.is_over).count();
        if open >= RECORDINGS_AT_ONCE || list.len() >= RECORDINGS_PER_CALL {
            return Err(RequestRefusal::TooManyRecordings);
        }
        let session = cx.call.session.ok_or(RequestRefusal::Internal)?;
        let end = cx.edge.new_end(session).ok_or(RequestRefusal::Internal)?;
        let (source, channels, trim, tracks) = (request.source, request.channels, request.trim, request.tracks);
        let (id, sid) = cx.edge.begin_recording(cx.now, cx.call.legs.sid(), request);
        let silence = verb.map(|verb| verb.silence);
        let spec = RecorderSpec { recording: id, tracks, silence };
        cx.edge.media(session, MediaCommand::AddListener { end, spec: AudioListenerSpec::Recorder(spec) });
        cx.edge.decide(cx.now, cx.call.key, format!("recording {sid} begins"));
        let verb = verb.map(|verb| verb.id);
        let recording = CallRecording {
            id,
            sid,
            source,
            channels,
            tracks,
            trim,
            silence,
            verb,
            end,
            pause: None,
            frames: None,
            lost: RecordingLosses::default(),
            is_over: false,
        };
        let view = recording.view();
        self.list.get_or_insert_default().list.push(recording);
        cx.call.listeners.add(end, TrackSet::Both);
        media.tap_caller(cx);
        Ok(BegunRecording { view, began: cx.edge.date(cx.now) })
    }

    /// Changes the recording with this SID; without one, the newest that is running.
    ///
    /// # Errors
    /// No recording has the SID, or the recording has ended.
    pub(crate) fn change(
        &mut self,
        cx: &mut CallCx<'_>,
        sid: Option<&str>,
        change: RecordingChange,
    ) -> Result<RecordingView, RequestRefusal> {
        let view = self.carry_out(cx, sid, change)?;
        let what = match change {
            RecordingChange::Pause(_) => "is paused",
            RecordingChange::Resume => "is resumed",
            RecordingChange::Stop => "is stopped",
        };
        cx.edge.decide(cx.now, cx.call.key, format!("recording {} {what}, as requested", view.sid));
        Ok(view)
    }

    fn carry_out(
        &mut self,
        cx: &mut CallCx<'_>,
        sid: Option<&str>,
        change: RecordingChange,
    ) -> Result<RecordingView, RequestRefusal> {
        let media = cx.call.session.ok_or(RequestRefusal::RecordingEnded)?;
        let kept = self.list.as_mut().ok_or(RequestRefusal::UnknownRecording)?;
        let had_any = sid.is_none() && !kept.list.is_empty();
        let unknown = if had_any { RequestRefusal::RecordingEnded } else { RequestRefusal::UnknownRecording };
        let recording = kept.find(sid).ok_or(unknown)?;
        if recording.is_over {
            return Err(RequestRefusal::RecordingEnded);
        }
        let end = recording.end;
        let command = match change {
            RecordingChange::Pause(pause) => {
                recording.pause = Some(pause);
                MediaCommand::PauseRecorder { end, pause: Some(pause) }
            }
            RecordingChange::Resume => {
                recording.pause = None;
                MediaCommand::PauseRecorder { end, pause: None }
            }
            RecordingChange::Stop => {
                recording.is_over = true;
                cx.call.listeners.remove(end);
                MediaCommand::RemoveEnd { end }
            }
        };
        let view = recording.view();
        cx.edge.media(media, command);
        Ok(view)
    }

    /// Ends the recording with this SID, unless it has ended.
    pub(crate) fn stop(&mut self, cx: &mut CallCx<'_>, sid: &str) {
        if let Ok(view) = self.carry_out(cx, Some(sid), RecordingChange::Stop) {
            cx.edge.decide(cx.now, cx.call.key, format!("recording {} ends", view.sid));
        }
    }

    /// Returns the input for a Record step after the reported time of silence. `end` is the recorder's; `None` if no
    /// step waits for the recording.
    pub(super) fn silent(&mut self, end: EndId) -> Option<ProgramInput> {
        let id = self.at(end)?.verb?;
        Some(ProgramInput::Silent { id })
    }

    /// Handles the end of a recorder. `frames` is the number of 20 ms frames in its file, `sound` the first and last
    /// frame with sound. Returns the input for the program's waiting step. `None` if no step waits.
    pub(super) fn ended(
        &mut self,
        cx: &mut CallCx<'_>,
        end: EndId,
        (frames, sound): (u64, Option<(u64, u64)>),
    ) -> Option<ProgramInput> {
        let recording = self.at(end)?;
        cx.call.listeners.remove(end);
        (recording.is_over, recording.frames) = (true, Some(frames));
        let id = recording.verb.take()?;
        let sid = recording.sid.clone();
        let kept = if recording.trim { trimmed(frames, sound) } else { 0..frames };
        let seconds = trunkgate_resources::recordings::seconds((kept.end - kept.start) * 20);
        let url = cx.edge.sessions().recordings.links().map(|links| links.of(&sid)).unwrap_or_default();
        Some(ProgramInput::Recorded { id, result: RecordResult { sid, url, seconds, is_silent: sound.is_none() } })
    }
}

/// Plans the recording of a route. The caller hears the announcement before the first agent, application or mailbox
/// among the targets; in a call between two parties both hear it once they are connected. Emergency calls skip it.
pub(super) fn plan(cx: &mut CallCx<'_>, plan: &mut RoutePlan, is_emergency: bool) {
    if !plan.route.record {
        return;
    }
    cx.call.facts.record = true;
    let Some(announcement) = cx.edge.sessions().recordings.announcement().filter(|_| !is_emergency) else { return };
    cx.call.facts.unannounced = UnannouncedParties::Both;
    let talks = |target: &CallTarget| match target {
        CallTarget::Agent(_) => true,
        CallTarget::App(app) => app.as_sound().is_none(),
        CallTarget::Trunk { .. } | CallTarget::Uri { .. } | CallTarget::Reject(_) | CallTarget::RingAll(_) => false,
    };
    if let Some(first) = plan.targets.iter().position(talks).filter(|_| announcement.to_caller) {
        plan.targets.insert(first, CallTarget::App(Arc::new(App::playing(&announcement.file))));
    }
}

/// Notes that the caller hears the announcement, if the sound of `app` is the announcement.
pub(crate) fn caller_hears(cx: &mut CallCx<'_>, app: &App) {
    let Some(announcement) = cx.edge.sessions().recordings.announcement() else { return };
    if cx.call.facts.unannounced == UnannouncedParties::Both && app.as_sound() == Some(&announcement.file) {
        cx.call.facts.unannounced = UnannouncedParties::Callee;
    }
}

/// Records the result of the announcement. Parties that are not connected yet hear it later.
pub(crate) fn announced(cx: &mut CallCx<'_>, played: Result<(), RequestRefusal>) {
    match played {
        Err(
            RequestRefusal::NotAnswered
            | RequestRefusal::Transferring
            | RequestRefusal::Changing
            | RequestRefusal::HasAgent
            | RequestRefusal::InApplication,
        ) => return,
        Err(why) => {
            cx.edge.decide(cx.now, cx.call.key, format!("the announcement of the recording was not played: {why}"))
        }
        Ok(()) => {}
    }
    cx.call.facts.unannounced = UnannouncedParties::None;
}
