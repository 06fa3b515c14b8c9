//! Who has answered: the detection of answering machines at the party of a requested call, and at parties that a program has dialled.
//!
//! The party of a requested call is judged from its answer on; its targets wait for the verdict unless the request says otherwise. A
//! dialled party that hears a document is judged from its answer on by what comes from it, meanwhile and once it is connected. Another dialled party is judged from its connection with the caller on, by what the caller hears. A restart ends a detection without a verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::agent::TrackName;
use trunkgate_media::detection::{AnsweredBy, Mode, Settings, Verdict};
use trunkgate_media::{Command, EndId, JudgeSpec, MediaId, TapSpec};
use trunkgate_resources::applications::question::{AppCallback, AppPlace, DocumentRequest};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{App, WebhookMethod};

use crate::call::media::CallMedia;
use crate::call::parts::Parts;
use crate::call::shared::Cx;
use crate::call::words::state::State;

/// A detection that a request asks for.
#[derive(Debug, Clone)]
pub struct DetectionRequest {
    /// Thresholds.
    pub settings: Settings,
    /// Whether the targets of the request wait for the verdict.
    pub waits: bool,
    /// URL that the verdict is posted to, and the method.
    pub receiver: Option<(String, WebhookMethod)>,
}

/// Receiver of a verdict.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    /// The application whose keys hold.
    pub(crate) app: Arc<App>,
    /// URL, and the method.
    pub(crate) at: (String, WebhookMethod),
}

/// The detections of a call that are under way; at least one.
#[derive(Debug, Default)]
pub(crate) struct Detections {
    list: Vec<Detection>,
}

/// A detection.
#[derive(Debug)]
struct Detection {
    /// The party.
    leg: LegId,
    /// The end in the media session that judges.
    end: EndId,
    /// What is heard of the near leg: what comes from it, or what leaves to it.
    track: TrackName,
    receiver: Option<Receiver>,
    began: Instant,
    /// Whether the targets of the call wait for it.
    is_awaited: bool,
    /// Whether it hears the party itself, which has answered and is not connected with the caller.
    is_apart: bool,
    /// What it hears of the caller's side, and by which of its ends.
    hears: Option<(EndId, TapSpec)>,
}

impl Detections {
    /// Whether the targets of the call wait for a verdict.
    pub(crate) fn are_awaited(&self) -> bool {
        self.list.iter().any(|detection| detection.is_awaited)
    }
}

/// Begins to judge the party of a requested call. Returns whether its targets wait for the verdict.
pub(crate) fn begin_requested(
    media: &mut CallMedia,
    cx: &mut Cx<'_>,
    leg: LegId,
    request: DetectionRequest,
    app: Option<Arc<App>>,
) -> bool {
    let receiver = app.zip(request.receiver).map(|(app, at)| Receiver { app, at });
    let waits = request.waits;
    let begun = begin(media, cx, (leg, TrackName::Inbound), (request.settings, receiver), waits);
    if begun && waits {
        // The party is heard, and hears silence.
        media.talk_to_caller(cx);
    }
    begun && waits
}

/// Begins to judge a party that is connected with the caller of a program.
pub(crate) fn begin_dialled(
    media: &mut CallMedia,
    cx: &mut Cx<'_>,
    leg: LegId,
    settings: Settings,
    receiver: Option<Receiver>,
) {
    begin(media, cx, (leg, TrackName::Outbound), (settings, receiver), false);
}

/// Begins to judge a party that is asked whether it takes a caller, by what comes from it.
pub(crate) fn begin_asked(cx: &mut Cx<'_>, leg: LegId) {
    begin_apart(cx, leg, Settings::new(Mode::Enable, [None; 4]), None);
}

/// Begins to judge a party that is not connected with the caller yet, by what comes from it.
pub(crate) fn begin_apart(cx: &mut Cx<'_>, leg: LegId, settings: Settings, receiver: Option<Receiver>) {
    let heard = cx.call.legs.spoken_end(leg).zip(cx.call.session);
    let begun = heard.and_then(|(heard, media)| Some((heard, media, cx.edge.new_end(media)?)));
    let Some(((of, spoken), media, end)) = begun else { return unheard(cx, leg, receiver) };
    let track = TrackName::Inbound;
    let audio = TapSpec { outbound: Vec::new(), ..TapSpec::both(spoken.audio, spoken.coding) };
    let (began, hears) = (cx.now, Some((of, audio.clone())));
    let detection = Detection { leg, end, track, receiver, began, is_awaited: false, is_apart: true, hears };
    add(cx, media, detection, settings);
    cx.edge.media(media, Command::Tap { of, listener: end, audio });
}

/// Adds a detection and its judge.
fn add(cx: &mut Cx<'_>, media: MediaId, detection: Detection, settings: Settings) {
    let (end, spec) = (detection.end, JudgeSpec { track: detection.track, settings });
    cx.edge.media(media, Command::AddJudge { end, spec });
    cx.call.detections.get_or_insert_default().list.push(detection);
    cx.edge.decide(cx.now, cx.call.key, "answering-machine detection begins");
}

/// Returns whether it begins; else the party is `unknown`.
fn begin(
    media: &mut CallMedia,
    cx: &mut Cx<'_>,
    (leg, track): (LegId, TrackName),
    (settings, receiver): (Settings, Option<Receiver>),
    is_awaited: bool,
) -> bool {
    let session = cx.call.session.filter(|_| !media.speaks_other_audio(cx.call));
    let Some((session, end)) = session.and_then(|session| Some((session, cx.edge.new_end(session)?))) else {
        unheard(cx, leg, receiver);
        return false;
    };
    let began = cx.now;
    let detection = Detection { leg, end, track, receiver, began, is_awaited, is_apart: false, hears: None };
    add(cx, session, detection, settings);
    media.tap_caller(cx);
    true
}

/// Notes that a party cannot be judged.
fn unheard(cx: &mut Cx<'_>, leg: LegId, receiver: Option<Receiver>) {
    cx.edge.decide(cx.now, cx.call.key, "answering-machine detection: the edge cannot hear the party");
    note(cx, leg, receiver, Verdict { answered_by: AnsweredBy::Unknown, duration: Duration::ZERO });
}

/// Lets the judges hear the caller's side as it is wired now.
pub(crate) fn tap(cx: &mut Cx<'_>, heard: Option<&(EndId, TapSpec)>) {
    let (Some(media), Some((of, audio)), Some(all)) = (cx.call.session, heard, &mut cx.call.detections) else {
        return;
    };
    for detection in all.list.iter_mut().filter(|detection| !detection.is_apart) {
        let audio = match detection.track {
            TrackName::Inbound => TapSpec { outbound: Vec::new(), ..audio.clone() },
            TrackName::Outbound => TapSpec { inbound: Vec::new(), ..audio.clone() },
        };
        let heard = (*of, audio);
        if detection.hears.as_ref() != Some(&heard) {
            detection.hears = Some(heard.clone());
            cx.edge.media(media, Command::Tap { of: heard.0, listener: detection.end, audio: heard.1 });
        }
    }
}

/// A judge has its verdict: it is reported, and targets that have waited for it are tried.
pub(crate) fn judged(parts: &mut Parts, cx: &mut Cx<'_>, end: EndId, verdict: Verdict) {
    let Some(detection) = take(cx, |detection| detection.end == end) else { return };
    let is_awaited = detection.is_awaited;
    note(cx, detection.leg, detection.receiver, verdict);
    if detection.is_apart {
        return parts.search.consults.judged(detection.leg, verdict).act(parts, cx);
    }
    if is_awaited && cx.call.state == State::Rerouting && !parts.program.is_running() {
        parts.search_on(cx);
    }
}

/// Ends the detection at a party that has left: the receiver of its verdict gets `unknown`.
pub(crate) fn leave(cx: &mut Cx<'_>, leg: LegId) {
    if let Some(detection) = take(cx, |detection| detection.leg == leg) {
        end_unknown(cx, detection);
    }
}

/// The call is over: the same for all of its parties.
pub(crate) fn end(cx: &mut Cx<'_>) {
    while let Some(detection) = take(cx, |_| true) {
        end_unknown(cx, detection);
    }
}

fn end_unknown(cx: &mut Cx<'_>, Detection { leg, receiver, began, .. }: Detection) {
    if receiver.is_some() {
        let duration = cx.now.saturating_duration_since(began);
        note(cx, leg, receiver, Verdict { answered_by: AnsweredBy::Unknown, duration });
    }
}

/// Takes a detection away; its judge is let go.
fn take(cx: &mut Cx<'_>, is_it: impl Fn(&Detection) -> bool) -> Option<Detection> {
    let all = cx.call.detections.as_mut()?;
    let at = all.list.iter().position(is_it)?;
    let detection = all.list.remove(at);
    if all.list.is_empty() {
        cx.call.detections = None;
    }
    if let Some(media) = cx.call.session {
        cx.edge.remove_end(media, detection.end);
    }
    Some(detection)
}

/// Notes a verdict for the records of the call, and posts it to its receiver.
fn note(cx: &mut Cx<'_>, leg: LegId, receiver: Option<Receiver>, verdict: Verdict) {
    let (name, after) = (verdict.answered_by.name(), verdict.duration.as_secs_f64());
    if let Some(dialled) = &mut cx.call.legs[leg].sip.dialled {
        dialled.judged(verdict);
    }
    cx.edge.decide(cx.now, cx.call.key, format!("answering-machine detection: {name} after {after:.1} s"));
    let call = cx.call.legs.sid().to_owned();
    cx.edge.log(&call, format!("answered by {name} after {after:.1} s of detection"), None);
    let Some(Receiver { app, at: (url, method) }) = receiver else { return };
    let sid = cx.call.called_sid(leg).to_owned();
    let base = [("CallSid", sid.clone()), ("AccountSid", cx.edge.config().account_sid.clone())];
    let parameters = base.into_iter().chain(parameters(verdict)).map(|(name, value)| (name.to_owned(), value));
    let (place, parameters) = (AppPlace::Url(url), parameters.collect());
    let request = DocumentRequest { place, method, purpose: "amd", parameters };
    let (allow_private, app) = (app.allow_private, app.name.clone());
    cx.edge.call_back(AppCallback { call, about: sid, app, allow_private, request });
}

/// Returns the parameters of requests that have a verdict.
pub(crate) fn parameters(verdict: Verdict) -> [(&'static str, String); 2] {
    [
        ("AnsweredBy", verdict.answered_by.name().to_owned()),
        ("MachineDetectionDuration", verdict.duration.as_millis().to_string()),
    ]
}
