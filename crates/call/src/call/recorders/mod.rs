//! Recorders of a call: recordings, recording sessions (SIPREC) and answering machine detection.
//!
//! Each recorder owns its state and adds its media ends to the list of the caller's listeners. It acts on the media
//! below it, and returns a [`RecorderEffect`] for the parts above it.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | a recorder has ended, or reports silence | the Record of a program continues | the same | the same | the same | the same |
//! | verdict on a party of a request or a program | reported | the same | reported; targets that waited for it are tried | reported | – |
//! | event of a recording server's leg | its session continues, the next server is tried, or the call ends | the same | the same | the same | leg gone |

pub(crate) mod detection;
pub(crate) mod recording;
pub(crate) mod siprec;

use serde::{Deserialize, Serialize};
use trunkgate_media::{EndId, RecorderEvent, RecordingId};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::recordings::InterruptedRecording;
use trunkgate_route::{Route, RoutePlan};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::CallView;
use trunkgate_twiml::ProgramInput;

use crate::call::legs::list::{Legs, LegsSnapshot};
use crate::call::media::CallMedia;
use crate::call::recorders::detection::Detections;
use crate::call::recorders::recording::{CallRecordings, RecordingAnnouncement, RecordingsSnapshot};
use crate::call::recorders::siprec::{RecordingSessions, RecordingSessionsSnapshot};
use crate::call::shared::{CallCx, CallEffect, SharedCallState};
use crate::call::words::answer::FinalAnswer;

/// The recorders of a call.
#[derive(Debug, Default)]
pub(crate) struct CallRecorders {
    /// Recordings made by the edge.
    pub(crate) recordings: CallRecordings,
    /// Recording sessions at servers (SIPREC).
    pub(crate) siprec: RecordingSessions,
    /// Running answering machine detections.
    pub(crate) detections: Detections,
}

/// Recorders of an answered call as plain data. Detections are omitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RecordersSnapshot {
    recordings: Option<RecordingsSnapshot>,
    siprec: RecordingSessionsSnapshot,
}

impl RecordersSnapshot {
    /// Lists the recordings that have not ended: id and SID.
    pub(crate) fn recordings(&self) -> impl Iterator<Item = (RecordingId, &str)> {
        self.recordings.iter().flat_map(RecordingsSnapshot::open)
    }

    /// Lists the recordings that a crash has interrupted.
    pub(crate) fn interrupted(&self) -> impl Iterator<Item = InterruptedRecording> {
        self.recordings.iter().flat_map(RecordingsSnapshot::interrupted)
    }
}

/// Effect of a recorder on the call; carried out once the recorder's own work is done.
#[derive(Debug)]
#[must_use]
pub(crate) enum RecorderEffect {
    /// The call ends, continues unchanged, or the remaining targets are tried.
    Next(CallEffect),
    /// Input for the Record step of the program.
    Recorded(ProgramInput),
    /// Announcement to parties that the call is recorded.
    Announce(RecordingAnnouncement),
}

impl CallRecorders {
    /// Returns the view of the call with its recordings.
    pub(crate) fn view(&self, call: &SharedCallState) -> CallView {
        CallView { siprec: self.siprec.views(call), ..call.view(self.recordings.views()) }
    }

    /// Returns the recorders in plain data.
    pub(crate) fn snapshot(&self, legs: &LegsSnapshot) -> RecordersSnapshot {
        let CallRecorders { recordings, siprec, detections: _ } = self;
        RecordersSnapshot { recordings: recordings.snapshot(), siprec: siprec.snapshot(legs) }
    }

    /// Restores the recorders; [`Self::resume`] continues them.
    pub(crate) fn restore(edge: &Edge, legs: &Legs, snapshot: RecordersSnapshot) -> CallRecorders {
        let RecordersSnapshot { recordings, siprec } = snapshot;
        CallRecorders {
            recordings: recordings.map(CallRecordings::restore).unwrap_or_default(),
            siprec: RecordingSessions::restore(edge, legs, siprec),
            detections: Detections::default(),
        }
    }

    /// Continues the recorders of a restored call.
    pub(crate) fn resume(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) -> CallEffect {
        self.recordings.resume(cx);
        self.siprec.resume(cx, media)
    }

    /// Plans the recordings of the call's route, to begin with the answer.
    ///
    /// # Errors
    /// The call must be recorded and cannot be: 503.
    pub(crate) fn plan(&mut self, cx: &mut CallCx<'_>, plan: &mut RoutePlan) -> Result<(), FinalAnswer> {
        let is_emergency = cx.edge.numbers().is_emergency(&cx.call.facts.called);
        recording::plan(cx, plan, is_emergency);
        if plan.route.record && !is_emergency && cx.edge.sessions().recordings.refuses() {
            let (now, sid) = (cx.now, cx.call.legs.sid());
            cx.edge.sessions_mut().recordings.note_refused(now, sid);
            return Err(FinalAnswer::new(503, ReasonSlug::RecordingUnavailable));
        }
        let planned = self.siprec.plan(cx, &plan.route.siprec, is_emergency);
        planned.map_err(|reason| FinalAnswer::new(503, reason))
    }

    /// Plans the recordings of a transfer's route; its parties are already connected.
    pub(crate) fn plan_later(&mut self, cx: &mut CallCx<'_>, route: &Route) {
        self.recordings.plan_later(cx, route);
        self.siprec.plan_later(cx, &route.siprec);
    }

    /// Begins the recording of the route once the call is answered, and returns its announcement.
    pub(crate) fn begin_by_route(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) -> RecorderEffect {
        let announcement = self.recordings.begin_by_route(cx, media);
        announcement.map_or(RecorderEffect::Next(CallEffect::Stay), RecorderEffect::Announce)
    }

    /// Handles the end of a recorder, or the silence that a Record step waits for.
    pub(crate) fn handle(&mut self, cx: &mut CallCx<'_>, end: EndId, event: RecorderEvent) -> RecorderEffect {
        let input = match event {
            RecorderEvent::Ended { frames, sound } => self.recordings.ended(cx, end, (frames, sound)),
            RecorderEvent::Silent { .. } => self.recordings.silent(end),
        };
        input.map_or(RecorderEffect::Next(CallEffect::Stay), RecorderEffect::Recorded)
    }

    /// Ends all recorders with the call.
    pub(crate) fn end(&mut self, cx: &mut CallCx<'_>) {
        self.siprec.end(cx);
        self.detections.end(cx);
    }
}
