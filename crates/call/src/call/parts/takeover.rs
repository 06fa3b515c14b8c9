//! Assignment of a call to another application, by HTTP request.

use std::sync::Arc;

use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{App, AppDocument, CallTarget};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg_end::EndedBy;
use crate::call::media::coaching::Coaching;
use crate::call::parts::requested::PendingCallRequest;
use crate::call::program::CallProgram;
use crate::call::program::effects::{LowerParts, ProgramEffect};
use crate::call::program::side::take_caller_back;
use crate::call::search::controller::Controller;
use crate::call::shared::CallCx;
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;

/// Request that gives a call to an application.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// Application with its first document.
    pub(crate) app: Arc<App>,
}

impl Takeover {
    /// Continues the call with the first document of the application, regardless of its current activity. An
    /// application that already has the call keeps it, with its own configuration.
    ///
    /// # Errors
    /// The call has ended, is being transferred or changed, or its caller cannot hear the edge; or the document is
    /// invalid. The call continues unchanged then.
    pub(crate) fn begin(
        self,
        cx: &mut CallCx<'_>,
        program: &mut CallProgram,
        lower: &mut LowerParts<'_>,
        requested: Option<&mut PendingCallRequest>,
    ) -> Result<ProgramEffect, RequestRefusal> {
        if let AppDocument::Text(text) = &self.app.document
            && trunkgate_twiml::parse(text).is_err()
        {
            return Err(RequestRefusal::BadDocument);
        }
        if program.is_redirectable() {
            return program.redirect(cx, lower, &self.app);
        }
        match cx.call.state {
            CallState::Leaving | CallState::Ended => Err(RequestRefusal::CallEnded),
            CallState::Searching => self.take_ringing(cx, program, lower, requested),
            CallState::Answered => self.take_answered(cx, lower),
            CallState::Rerouting => Err(RequestRefusal::Transferring),
        }
    }

    /// Takes over an unanswered call and withdraws its targets. The party of a requested call continues to ring.
    ///
    /// # Errors
    /// An application already controls the call.
    fn take_ringing(
        self,
        cx: &mut CallCx<'_>,
        program: &CallProgram,
        lower: &mut LowerParts<'_>,
        requested: Option<&mut PendingCallRequest>,
    ) -> Result<ProgramEffect, RequestRefusal> {
        if let Some(requested) = requested {
            requested.put_onward(CallTarget::App(self.app));
            if let Some(origin) = &mut cx.call.origin {
                origin.comes_no_longer(cx.now, cx.edge, cx.call.key);
            }
            return Ok(ProgramEffect::Stay);
        }
        if program.is_running() {
            return Err(RequestRefusal::InApplication);
        }
        note(cx);
        lower.search.withdraw_all(cx, lower.bridge, ReasonSlug::Transferred);
        lower.search.controller = Controller::plan_of(vec![CallTarget::App(self.app)]);
        Ok(ProgramEffect::Advance)
    }

    /// Takes over an answered call; the other party is hung up on.
    ///
    /// # Errors
    /// The session is changing, or the edge cannot transcode for the caller.
    fn take_answered(self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>) -> Result<ProgramEffect, RequestRefusal> {
        let (near, callee) = (cx.call.legs.near, cx.call.legs.callee.ok_or(RequestRefusal::Changing)?);
        if lower.bridge.negotiation.is_unsettled() {
            return Err(RequestRefusal::Changing);
        }
        let hears = |leg: LegId| cx.call.legs.offer_of(leg).is_some_and(|(_, spoken)| spoken.is_some());
        if cx.call.legs[callee].agent.is_none() && !hears(near) {
            return Err(RequestRefusal::OtherAudio);
        }
        note(cx);
        // The agent's limit does not apply to the application.
        cx.disarm(CallTimer::MaxCall);
        Coaching::end(&mut lower.bridge.media, cx, (ReasonSlug::Transferred, EndedBy::Edge));
        cx.call.legs[callee].end_with(ReasonSlug::Transferred, EndedBy::Edge);
        lower.bridge.media.hang_up_leg(cx, callee, ReasonSlug::Transferred);
        if !take_caller_back(cx, lower, callee) {
            return Ok(ProgramEffect::end(ReasonSlug::Internal));
        }
        lower.search.controller = Controller::plan_of(vec![CallTarget::App(self.app)]);
        Ok(ProgramEffect::search_on())
    }
}

fn note(cx: &mut CallCx<'_>) {
    cx.edge.decide(cx.now, cx.call.key, "another document was requested: an application takes the call");
    let sid = cx.call.legs.sid().to_owned();
    cx.edge.log(&sid, "is given to an application, as requested".to_owned(), None);
}
