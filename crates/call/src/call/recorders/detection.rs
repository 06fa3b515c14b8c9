//! Answering machine detection for the party of a requested call, and for parties that a program has dialled.
//!
//! The party of a requested call is analysed from its answer on; its targets wait for the verdict unless the request
//! disables that. A dialled party that hears a document is analysed from its answer on by its own audio, until after it
//! is connected. Any other dialled party is analysed from its connection on, by the audio that the caller hears. A
//! restart ends a detection without a verdict.

use std::sync::Arc;

use trunkgate_media::EndId;
use trunkgate_media::agent::TrackName;
use trunkgate_media::detection::{DetectionSettings, DetectionVerdict};
use trunkgate_resources::applications::question::{AppCallback, AppPlace, DocumentRequest};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{App, WebhookMethod};
use trunkgate_story::few::SmallMap;

use crate::call::media::CallMedia;
use crate::call::media::judge::MachineDetection;
use crate::call::shared::{CallCx, CallEffect};
use crate::call::words::state::CallState;

/// Answering machine detection of a request.
#[derive(Debug, Clone)]
pub struct DetectionRequest {
    /// Thresholds of the detector.
    pub settings: DetectionSettings,
    /// Whether the targets of the request wait for the verdict.
    pub waits: bool,
    /// URL to which the verdict is posted, and the method.
    pub receiver: Option<(String, WebhookMethod)>,
}

/// Receiver of a verdict.
#[derive(Debug, Clone)]
pub(crate) struct VerdictReceiver {
    /// Application with the settings for the report.
    pub(crate) app: Arc<App>,
    /// URL to which the verdict is posted, and the method.
    pub(crate) at: (String, WebhookMethod),
}

/// Running detections of a call.
#[derive(Debug, Default)]
pub(crate) struct Detections {
    /// Detections by the end of their detector; boxed, as few calls have any.
    list: Option<Box<SmallMap<EndId, RunningDetection>>>,
}

/// A running detection.
#[derive(Debug)]
struct RunningDetection {
    judge: MachineDetection,
    receiver: Option<VerdictReceiver>,
    /// Whether the targets of the call wait for the verdict.
    is_awaited: bool,
}

impl Detections {
    /// Begins the detection of the party of a requested call. Returns whether the targets of the call wait for the
    /// verdict.
    pub(crate) fn begin_requested(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        leg: LegId,
        request: DetectionRequest,
        app: Option<Arc<App>>,
    ) -> bool {
        let receiver = app.zip(request.receiver).map(|(app, at)| VerdictReceiver { app, at });
        let judge = MachineDetection::of_caller_side(media, cx, leg, TrackName::Inbound, request.settings);
        let waits = self.add(cx, leg, judge, receiver, request.waits) && request.waits;
        if waits {
            // Connects the party with the edge, so that its audio arrives; it hears silence.
            media.talk_to_caller(cx);
        }
        waits
    }

    /// Begins the detection of a party that is connected with the caller of a program.
    pub(crate) fn begin_dialled(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        leg: LegId,
        settings: DetectionSettings,
        receiver: Option<VerdictReceiver>,
    ) {
        let judge = MachineDetection::of_caller_side(media, cx, leg, TrackName::Outbound, settings);
        self.add(cx, leg, judge, receiver, false);
    }

    /// Begins the detection of a party that is not connected with the caller yet, by the party's own audio.
    pub(crate) fn begin_apart(
        &mut self,
        cx: &mut CallCx<'_>,
        leg: LegId,
        settings: DetectionSettings,
        receiver: Option<VerdictReceiver>,
    ) {
        let judge = MachineDetection::apart(cx, leg, settings);
        self.add(cx, leg, judge, receiver, false);
    }

    /// Adds a detection, or reports the party as `unknown` if none could begin. Returns whether it has begun.
    fn add(
        &mut self,
        cx: &mut CallCx<'_>,
        leg: LegId,
        judge: Result<MachineDetection, DetectionVerdict>,
        receiver: Option<VerdictReceiver>,
        is_awaited: bool,
    ) -> bool {
        match judge {
            Ok(judge) => {
                cx.call.awaits_verdict |= is_awaited;
                let list = self.list.get_or_insert_default();
                list.insert(judge.end(), RunningDetection { judge, receiver, is_awaited });
                true
            }
            Err(verdict) => {
                post(cx, leg, receiver, verdict);
                false
            }
        }
    }

    /// Returns whether `end` is one of the detectors.
    pub(crate) fn has(&self, end: EndId) -> bool {
        self.list.as_ref().is_some_and(|list| list.contains(end))
    }

    /// Handles and reports the verdict of a detector. Targets that waited for it are tried, unless an application has
    /// the call (`has_program`).
    pub(crate) fn judged(
        &mut self,
        cx: &mut CallCx<'_>,
        end: EndId,
        verdict: DetectionVerdict,
        has_program: bool,
    ) -> CallEffect {
        let Some(detection) = self.take(cx, |judge| judge.end() == end) else { return CallEffect::Stay };
        let is_awaited = detection.is_awaited;
        detection.settle(cx, verdict);
        if is_awaited && cx.call.state == CallState::Rerouting && !has_program {
            CallEffect::Search
        } else {
            CallEffect::Stay
        }
    }

    /// Ends the detection of a party that has left; its receiver gets `unknown`.
    pub(crate) fn leave(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        if let Some(detection) = self.take(cx, |judge| judge.leg() == leg) {
            detection.end(cx);
        }
    }

    /// Ends all detections with the call.
    pub(super) fn end(&mut self, cx: &mut CallCx<'_>) {
        while let Some(detection) = self.take(cx, |_| true) {
            detection.end(cx);
        }
    }

    fn take(&mut self, cx: &mut CallCx<'_>, is_it: impl Fn(&MachineDetection) -> bool) -> Option<RunningDetection> {
        let list = self.list.as_mut()?;
        let (end, _) = list.iter().find(|(_, detection)| is_it(&detection.judge))?;
        let detection = list.remove(end);
        cx.call.awaits_verdict = list.values().any(|detection| detection.is_awaited);
        self.list.take_if(|list| list.is_empty());
        detection
    }
}

impl RunningDetection {
    fn settle(self, cx: &mut CallCx<'_>, verdict: DetectionVerdict) {
        let leg = self.judge.leg();
        self.judge.settle(cx, verdict);
        post(cx, leg, self.receiver, verdict);
    }

    /// Ends the detection without a verdict of the detector; its receiver, if any, gets `unknown`.
    fn end(self, cx: &mut CallCx<'_>) {
        if self.receiver.is_none() {
            return self.judge.dismiss(cx);
        }
        let verdict = self.judge.unknown(cx.now);
        self.settle(cx, verdict);
    }
}

/// Posts a verdict to its receiver.
fn post(cx: &mut CallCx<'_>, leg: LegId, receiver: Option<VerdictReceiver>, verdict: DetectionVerdict) {
    let Some(VerdictReceiver { app, at: (url, method) }) = receiver else { return };
    let call = cx.call.legs.sid().to_owned();
    let sid = cx.call.called_sid(leg).to_owned();
    let base = [("CallSid", sid.clone()), ("AccountSid", cx.edge.config().account_sid.clone())];
    let parameters = base.into_iter().chain(parameters(verdict)).map(|(name, value)| (name.to_owned(), value));
    let (place, parameters) = (AppPlace::Url(url), parameters.collect());
    let request = DocumentRequest { place, method, purpose: "amd", parameters };
    let (allow_private, app) = (app.allow_private, app.name.clone());
    cx.edge.call_back(AppCallback { call, about: sid, app, allow_private, request });
}

/// Returns the request parameters of a verdict.
pub(crate) fn parameters(verdict: DetectionVerdict) -> [(&'static str, String); 2] {
    [
        ("AnsweredBy", verdict.answered_by.name().to_owned()),
        ("MachineDetectionDuration", verdict.duration.as_millis().to_string()),
    ]
}
