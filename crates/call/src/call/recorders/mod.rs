//! What listens to a call for others than its parties: recordings, recording sessions (SIPREC) and the detection of answering machines.
//!
//! Each recorder owns its state and adds the ends by which it hears the call to the list of the caller's listeners. It acts on the media below it;
//! what it asks of the parts above it is a [`RecorderEffect`].
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | a recorder has ended, or reports silence | the Record of a program goes on | the same | the same | the same | the same |
//! | verdict on a party of a request or a program | reported | the same | reported; targets that have waited for it are tried | reported | – |
//! | of a leg that leads to a recording server | its session goes on, the next server is asked, or the call ends | the same | the same | the same | leg gone |

pub(crate) mod detection;
pub(crate) mod recording;
pub(crate) mod siprec;

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use trunkgate_media::{EndId, RecorderEvent};
use trunkgate_route::{Plan, Route};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::CallView;
use trunkgate_twiml::Input;

use crate::call::media::CallMedia;
use crate::call::recorders::detection::Detections;
use crate::call::recorders::recording::{RecordingAnnouncement, Recordings, RecordingsSnapshot};
use crate::call::recorders::siprec::RecordingSessions;
use crate::call::shared::{Cx, Next, Shared};
use crate::call::words::answer::FinalAnswer;

/// The recorders of a call.
#[derive(Debug, Default)]
pub(crate) struct Recorders {
    /// Recordings by the edge.
    pub(crate) recordings: Recordings,
    /// Recording sessions at servers (SIPREC).
    pub(crate) siprec: RecordingSessions,
    /// Detections of answering machines that are under way.
    pub(crate) detections: Detections,
}

/// Recorders of an answered call in plain data. It does not carry sessions with recording servers, which begin again as others, and detections.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RecordersSnapshot {
    recordings: Option<RecordingsSnapshot>,
    /// Groups of recording servers that record the call.
    siprec: Vec<Arc<str>>,
}

/// A consequence that a recorder returns: it is carried out once its own work is done.
#[derive(Debug)]
#[must_use]
pub(crate) enum RecorderEffect {
    /// The call ends, or the targets that are left are tried.
    Next(Next),
    /// A Record of the program has an input.
    Recorded(Input),
    /// Parties hear that the call is recorded.
    Announce(RecordingAnnouncement),
}

impl Recorders {
    /// Returns their call as it is shown.
    pub(crate) fn view(&self, call: &Shared) -> CallView {
        CallView { siprec: self.siprec.views(call), ..call.view(self.recordings.views()) }
    }

    /// Writes the recorders down.
    pub(crate) fn snapshot(&self, date: SystemTime) -> RecordersSnapshot {
        let Recorders { recordings, siprec, detections: _ } = self;
        RecordersSnapshot { recordings: recordings.snapshot(date), siprec: siprec.resumed_groups() }
    }

    /// Makes the recorders again.
    pub(crate) fn restore(snapshot: RecordersSnapshot) -> Recorders {
        let RecordersSnapshot { recordings, siprec } = snapshot;
        Recorders {
            recordings: recordings.map(Recordings::restore).unwrap_or_default(),
            siprec: RecordingSessions::restored(siprec),
            detections: Detections::default(),
        }
    }

    /// Plans what the route of a call asks for, once the call is answered.
    ///
    /// # Errors
    /// The call has to be recorded, and cannot be.
    pub(crate) fn plan(&mut self, cx: &mut Cx<'_>, plan: &mut Plan) -> Result<(), FinalAnswer> {
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

    /// Plans what the route of a transfer asks for, whose parties talk already.
    pub(crate) fn plan_later(&mut self, cx: &mut Cx<'_>, route: &Route) {
        self.recordings.plan_later(cx, route);
        self.siprec.plan_later(cx, &route.siprec);
    }

    /// Begins the recording that the route asks for, once the call is answered, and has it announced.
    pub(crate) fn begin_by_route(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia) -> RecorderEffect {
        let announcement = self.recordings.begin_by_route(cx, media);
        announcement.map_or(RecorderEffect::Next(Next::Stay), RecorderEffect::Announce)
    }

    /// Takes an event of a recorder.
    pub(crate) fn handle(&mut self, cx: &mut Cx<'_>, end: EndId, event: RecorderEvent) -> RecorderEffect {
        let input = match event {
            RecorderEvent::Ended { frames, sound } => self.recordings.ended(cx, end, (frames, sound)),
            RecorderEvent::Silent { .. } => self.recordings.silent(end),
        };
        input.map_or(RecorderEffect::Next(Next::Stay), RecorderEffect::Recorded)
    }

    /// Ends them: the call is over.
    pub(crate) fn end(&mut self, cx: &mut Cx<'_>) {
        self.siprec.end(cx);
        self.detections.end(cx);
    }
}
