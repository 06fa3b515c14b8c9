//! Recordings of a call: what begins, pauses and ends them, and which side of the call they hear.
//!
//! A recorder is an end of the media session that listens to the caller's side, as a recogniser is, and no leg. The file is the shell's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use trunkgate_media::{Channels, Command, EndId, RecorderSpec, RecordingPause, TapSpec};
use trunkgate_resources::limits::{RECORDINGS_AT_ONCE, RECORDINGS_PER_CALL};
use trunkgate_resources::recordings::losses::{LossReason, Losses};
use trunkgate_resources::recordings::{RecordingRequest, RecordingSource, trimmed};
use trunkgate_route::{App, Plan, Route, Target};
use trunkgate_story::view::{RecordingLoss, RecordingView};
use trunkgate_story::wall::{of_unix_ms, unix_ms};
use trunkgate_twiml::{Input, RecordResult};

use crate::call::media::CallMedia;
use crate::call::parts::Parts;
use crate::call::parts::operator::RemoteParties;
use crate::call::shared::{Cx, Unannounced};
use crate::call::words::party::CallParty;
use crate::call::words::refused::Refused;
use crate::call::words::state::State;

/// State of a recording that has ended.
const STOPPED: &str = "stopped";

/// A change of a recording that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingChange {
    /// It pauses.
    Pause(RecordingPause),
    /// It goes on.
    Resume,
    /// It ends.
    Stop,
}

/// A recording that a request has begun.
#[derive(Debug, Clone, PartialEq)]
pub struct BegunRecording {
    /// The recording as it is shown.
    pub view: RecordingView,
    /// When it began.
    pub began: SystemTime,
}

/// The Record of a program that waits for a recording.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verb {
    /// Id of its step.
    pub(crate) id: u32,
    /// Silence that it is to be notified of.
    pub(crate) silence: Duration,
}

/// The recordings of a call, those that have ended too.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    /// Those that a restart of the edge has ended, as they are shown.
    earlier: Vec<RecordingView>,
    /// When that was, where the route's recording is to go on and has not yet.
    cut: Option<SystemTime>,
    list: Vec<Recording>,
}

/// Recordings of a call that goes on over a restart, as they are shown after it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RecordingsSnapshot {
    views: Vec<RecordingView>,
    /// Whether the route's recording is to go on, as another one.
    goes_on: bool,
    taken_ms: u64,
}

impl RecordingsSnapshot {
    /// Returns whether the call is to be recorded again.
    pub(crate) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Makes the recordings of the restored call.
    pub(crate) fn restore(self) -> Box<Recordings> {
        let cut = self.goes_on.then(|| of_unix_ms(self.taken_ms));
        Box::new(Recordings { earlier: self.views, cut, list: Vec::new() })
    }
}

/// One recording.
#[derive(Debug)]
struct Recording {
    sid: String,
    source: RecordingSource,
    channels: Channels,
    trim: bool,
    /// Id of the program's step that waits for it.
    verb: Option<u32>,
    /// Its end in the media session.
    end: EndId,
    pause: Option<RecordingPause>,
    /// What of the caller's side it hears, and by which of its ends.
    hears: Option<(EndId, TapSpec)>,
    /// Frames of 20 ms in the file, once it has ended.
    frames: Option<u64>,
    /// Audio that it lacks.
    lost: Losses,
    is_over: bool,
}

impl Recordings {
    /// Returns them as they are shown.
    pub(crate) fn views(&self) -> Vec<RecordingView> {
        self.earlier.iter().cloned().chain(self.list.iter().map(Recording::view)).collect()
    }

    /// Returns them in plain data, as a restart leaves them: all have ended.
    pub(crate) fn snapshot(&self, now: SystemTime) -> RecordingsSnapshot {
        let is_cut = |recording: &Recording| {
            recording.source == RecordingSource::Route && !recording.is_over && recording.pause.is_none()
        };
        RecordingsSnapshot {
            views: self.views().into_iter().map(|view| RecordingView { status: STOPPED, ..view }).collect(),
            goes_on: self.cut.is_some() || self.list.iter().any(is_cut),
            taken_ms: unix_ms(self.cut.unwrap_or(now)),
        }
    }

    /// Notes that the recording that a restart has cut goes on now; returns how long it has not.
    fn goes_on(&mut self, now: SystemTime) -> Option<Duration> {
        let missed = now.duration_since(self.cut.take()?).unwrap_or_default();
        let of_route = |view: &&mut RecordingView| view.source == RecordingSource::Route.as_str();
        let cut = self.earlier.iter_mut().rev().find(of_route)?;
        let loss = RecordingLoss { reason: LossReason::Restart.as_str(), seconds: missed.as_millis() as f64 / 1000.0 };
        cut.lost.push(loss);
        Some(missed)
    }

    /// Returns whether a restart has ended a recording; without a SID, whether there were any.
    fn is_earlier(&self, sid: Option<&str>) -> bool {
        match sid {
            Some(sid) => self.earlier.iter().any(|view| view.sid == sid),
            None => !(self.list.is_empty() && self.earlier.is_empty()),
        }
    }

    /// Returns whether one is being made.
    pub(crate) fn is_any_open(&self) -> bool {
        self.list.iter().any(|recording| !recording.is_over)
    }

    fn at(&mut self, end: EndId) -> Option<&mut Recording> {
        self.list.iter_mut().find(|recording| recording.end == end)
    }

    /// Notes what a recording lacks until now.
    pub(crate) fn lack(&mut self, sid: &str, lost: &Losses) {
        if let Some(recording) = self.list.iter_mut().find(|recording| recording.sid == sid) {
            recording.lost = *lost;
        }
    }

    /// Returns whether one of them lacks audio.
    pub(crate) fn lack_audio(&self) -> bool {
        self.earlier.iter().any(|view| !view.lost.is_empty()) || self.list.iter().any(|one| one.lost.total() > 0)
    }

    /// Finds the recording that is asked for by its SID; without one, the newest that is being made.
    fn find(&mut self, sid: Option<&str>) -> Option<&mut Recording> {
        match sid {
            Some(sid) => self.list.iter_mut().find(|recording| recording.sid == sid),
            None => self.list.iter_mut().rev().find(|recording| !recording.is_over),
        }
    }

    /// Returns the SID of the recording that a step of the program waits for.
    pub(crate) fn of_verb(&self, id: u32) -> Option<&str> {
        self.list.iter().rev().find(|recording| recording.verb == Some(id)).map(|recording| recording.sid.as_str())
    }
}

impl Recording {
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

    /// Takes what of the caller's side is there to be heard; returns the command for the media session, where that is new.
    fn listen_to(&mut self, heard: &(EndId, TapSpec)) -> Option<Command> {
        let is_new = !self.is_over && self.hears.as_ref() != Some(heard);
        is_new.then(|| {
            let (of, audio) = heard.clone();
            self.hears = Some(heard.clone());
            Command::Tap { of, listener: self.end, audio }
        })
    }
}

/// Plans the recording that a route asks for. Before the first agent, application or mailbox among the targets, the caller hears the
/// announcement; parties of a call between two hear it once they are connected. Emergency calls lose no time with it.
pub(crate) fn plan(cx: &mut Cx<'_>, plan: &mut Plan, is_emergency: bool) {
    if !plan.route.record {
        return;
    }
    cx.call.facts.record = true;
    let Some(announcement) = cx.edge.sessions().recordings.announcement().filter(|_| !is_emergency) else { return };
    cx.call.facts.unannounced = Unannounced::Both;
    let talks = |target: &Target| match target {
        Target::Agent(_) => true,
        Target::App(app) => app.as_sound().is_none(),
        Target::Trunk { .. } | Target::Uri { .. } | Target::Reject(_) | Target::RingAll(_) => false,
    };
    if let Some(first) = plan.targets.iter().position(talks).filter(|_| announcement.to_caller) {
        plan.targets.insert(first, Target::App(Arc::new(App::playing(&announcement.file))));
    }
}

/// Plans the recording that the route of a transfer asks for: the party that comes hears the announcement, too.
pub(crate) fn plan_later(cx: &mut Cx<'_>, route: &Route) {
    if !route.record {
        return;
    }
    cx.call.facts.record |= !cx.call.is_recorded();
    if cx.edge.sessions().recordings.announcement().is_some() {
        cx.call.facts.unannounced = Unannounced::Both;
    }
}

/// Notes that the caller hears a sound, which may be the announcement.
pub(crate) fn caller_hears(cx: &mut Cx<'_>, app: &App) {
    let Some(announcement) = cx.edge.sessions().recordings.announcement() else { return };
    if cx.call.facts.unannounced == Unannounced::Both && app.as_sound() == Some(&announcement.file) {
        cx.call.facts.unannounced = Unannounced::Callee;
    }
}

/// Begins the recording that the route asks for, once the call is answered, and has it announced.
pub(crate) fn begin_by_route(parts: &mut Parts, cx: &mut Cx<'_>) {
    if cx.call.state != State::Answered {
        return;
    }
    if std::mem::take(&mut cx.call.facts.record) {
        let request = RecordingRequest::new(RecordingSource::Route, Channels::Dual);
        if begin_unasked(&mut parts.bridge.media, cx, request, "its route asks for").is_none() {
            cx.call.facts.unannounced = Unannounced::None;
        }
    }
    if cx.call.facts.unannounced != Unannounced::None {
        announce(parts, cx);
    }
}

/// Plays the announcement once two parties talk with each other.
fn announce(parts: &mut Parts, cx: &mut Cx<'_>) {
    let Some(announcement) = cx.edge.sessions().recordings.announcement().cloned() else { return };
    let is_wanted = |party: &CallParty| match party {
        CallParty::Caller => announcement.to_caller && cx.call.facts.unannounced == Unannounced::Both,
        CallParty::Callee => announcement.to_callee,
    };
    let parties: Vec<CallParty> = CallParty::ALL.into_iter().filter(is_wanted).collect();
    if parties.is_empty() {
        cx.call.facts.unannounced = Unannounced::None;
        return;
    }
    let sound = (announcement.file.as_str(), &announcement.sound);
    let remote = RemoteParties::of(cx, parts);
    let why = "because the call is recorded";
    match remote.and_then(|remote| remote.play(cx, &mut parts.bridge, &parties, sound, why)) {
        // Those who are not connected yet hear it when they are.
        Err(
            Refused::NotAnswered
            | Refused::Transferring
            | Refused::Changing
            | Refused::HasAgent
            | Refused::InApplication,
        ) => return,
        Err(why) => cx.edge.decide(cx.now, cx.call.key, format!("the recording is not announced: {why}")),
        Ok(()) => {}
    }
    cx.call.facts.unannounced = Unannounced::None;
}

/// Begins a recording for which no request waits: the log and the trace have why there is none. Returns its SID.
pub(crate) fn begin_unasked(
    media: &mut CallMedia,
    cx: &mut Cx<'_>,
    request: RecordingRequest,
    wanted: &str,
) -> Option<String> {
    match begin(media, cx, request, None) {
        Ok(begun) => Some(begun.view.sid),
        Err(why) => {
            let sid = cx.call.legs.sid().to_owned();
            cx.edge.decide(cx.now, cx.call.key, format!("not recorded: {why}"));
            cx.edge.warn(&sid, format!("the call is not recorded, as {wanted}: {why}"), None);
            None
        }
    }
}

/// Begins a recording.
///
/// # Errors
/// There is nothing to record by, nothing that can be heard, or as many recordings as may be.
pub(crate) fn begin(
    media: &mut CallMedia,
    cx: &mut Cx<'_>,
    request: RecordingRequest,
    verb: Option<Verb>,
) -> Result<BegunRecording, Refused> {
    if !cx.edge.sessions().recordings.is_on() {
        return Err(Refused::NoRecording);
    }
    if media.speaks_other_audio(cx.call) {
        return Err(Refused::OtherAudio);
    }
    let list = cx.call.recordings.as_ref().map_or(&[][..], |recordings| &recordings.list);
    let open = list.iter().filter(|recording| !recording.is_over).count();
    if open >= RECORDINGS_AT_ONCE || list.len() >= RECORDINGS_PER_CALL {
        return Err(Refused::TooManyRecordings);
    }
    let session = cx.call.session.ok_or(Refused::Internal)?;
    let end = cx.edge.new_end(session).ok_or(Refused::Internal)?;
    let (source, channels, trim, tracks) = (request.source, request.channels, request.trim, request.tracks);
    let (id, sid) = cx.edge.begin_recording(cx.now, cx.call.legs.sid(), request);
    let spec = RecorderSpec { recording: id, tracks, silence: verb.map(|verb| verb.silence) };
    cx.edge.media(session, Command::AddRecorder { end, spec });
    cx.edge.decide(cx.now, cx.call.key, format!("recording {sid} begins"));
    let verb = verb.map(|verb| verb.id);
    let recording = Recording {
        sid,
        source,
        channels,
        trim,
        verb,
        end,
        pause: None,
        hears: None,
        frames: None,
        lost: Losses::default(),
        is_over: false,
    };
    let view = recording.view();
    let now = cx.edge.date(cx.now);
    let recordings = cx.call.recordings.get_or_insert_default();
    let missed = if source == RecordingSource::Route { recordings.goes_on(now) } else { None };
    recordings.list.push(recording);
    if let Some(missed) = missed {
        let text = format!("the restart has cost the recording {} ms", missed.as_millis());
        cx.edge.decide(cx.now, cx.call.key, text);
    }
    media.tap_caller(cx);
    Ok(BegunRecording { view, began: cx.edge.date(cx.now) })
}

/// Changes a recording: that of a SID, or the newest that is being made.
///
/// # Errors
/// There is no such recording, or it has ended.
pub(crate) fn change(cx: &mut Cx<'_>, sid: Option<&str>, change: RecordingChange) -> Result<RecordingView, Refused> {
    let view = carry_out(cx, sid, change)?;
    let what = match change {
        RecordingChange::Pause(_) => "pauses",
        RecordingChange::Resume => "goes on",
        RecordingChange::Stop => "ends",
    };
    cx.edge.decide(cx.now, cx.call.key, format!("recording {} {what}, as requested", view.sid));
    Ok(view)
}

fn carry_out(cx: &mut Cx<'_>, sid: Option<&str>, change: RecordingChange) -> Result<RecordingView, Refused> {
    let media = cx.call.session.ok_or(Refused::RecordingEnded)?;
    let recordings = cx.call.recordings.as_mut().ok_or(Refused::UnknownRecording)?;
    let is_earlier = recordings.is_earlier(sid);
    let unknown = if is_earlier { Refused::RecordingEnded } else { Refused::UnknownRecording };
    let recording = recordings.find(sid).ok_or(unknown)?;
    if recording.is_over {
        return Err(Refused::RecordingEnded);
    }
    let end = recording.end;
    let command = match change {
        RecordingChange::Pause(pause) => {
            recording.pause = Some(pause);
            Command::PauseRecorder { end, pause: Some(pause) }
        }
        RecordingChange::Resume => {
            recording.pause = None;
            Command::PauseRecorder { end, pause: None }
        }
        RecordingChange::Stop => {
            recording.is_over = true;
            Command::RemoveEnd { end }
        }
    };
    let view = recording.view();
    cx.edge.media(media, command);
    Ok(view)
}

/// Ends a recording, unless it has ended.
pub(crate) fn stop(cx: &mut Cx<'_>, sid: &str) {
    if let Ok(view) = carry_out(cx, Some(sid), RecordingChange::Stop) {
        cx.edge.decide(cx.now, cx.call.key, format!("recording {} ends", view.sid));
    }
}

/// Lets recorders hear the caller's side as it is wired now.
pub(crate) fn tap(cx: &mut Cx<'_>, heard: Option<&(EndId, TapSpec)>) {
    let Some((media, heard)) = cx.call.session.zip(heard) else { return };
    let recordings = cx.call.recordings.iter_mut().flat_map(|recordings| &mut recordings.list);
    for tap in recordings.filter_map(|recording| recording.listen_to(heard)) {
        cx.edge.media(media, tap);
    }
}

/// The caller has been silent for as long as a recorder reports.
pub(crate) fn silent(parts: &mut Parts, cx: &mut Cx<'_>, end: EndId) {
    let verb = cx.call.recordings.as_mut().and_then(|recordings| recordings.at(end)).and_then(|one| one.verb);
    if let Some(id) = verb {
        parts.program.with_run(|run| run.record_event(cx.now, Input::Silent { id })).act(parts, cx);
    }
}

/// A recorder has ended, with so many frames of 20 ms in its file; `sound`: the first and the last of them with a sound.
pub(crate) fn ended(parts: &mut Parts, cx: &mut Cx<'_>, end: EndId, (frames, sound): (u64, Option<(u64, u64)>)) {
    let Some(recording) = cx.call.recordings.as_mut().and_then(|recordings| recordings.at(end)) else { return };
    (recording.is_over, recording.frames) = (true, Some(frames));
    let Some(id) = recording.verb.take() else { return };
    let sid = recording.sid.clone();
    let kept = if recording.trim { trimmed(frames, sound) } else { 0..frames };
    let seconds = trunkgate_resources::recordings::seconds((kept.end - kept.start) * 20);
    let url = cx.edge.sessions().recordings.links().map(|links| links.of(&sid)).unwrap_or_default();
    let result = RecordResult { sid, url, seconds, is_silent: sound.is_none() };
    parts.program.with_run(|run| run.record_event(cx.now, Input::Recorded { id, result })).act(parts, cx);
}
