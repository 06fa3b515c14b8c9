//! A request over HTTP gives a call to an application that did not have it.

use std::sync::Arc;

use trunkgate_resources::key::LegId;
use trunkgate_route::{App, AppDocument, Target};
use trunkgate_story::reason::ReasonSlug;

use crate::call::Parts;
use crate::call::legs::leg_end::EndedBy;
use crate::call::media::coaching::Coaching;
use crate::call::parts::requested::Originator;
use crate::call::program::{Dialler, Runner};
use crate::call::search::controller::Controller;
use crate::call::shared::Cx;
use crate::call::words::refused::Refused;
use crate::call::words::state::State;

/// Gives calls to applications.
pub(crate) struct Takeover<'p> {
    parts: &'p mut Parts,
}

impl<'p> Takeover<'p> {
    /// Acts on the parts of a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Takeover<'p> {
        Takeover { parts }
    }

    /// Has the call go on with the first document of an application, whatever it does now. An application that has the call already
    /// keeps it, with its own keys.
    ///
    /// # Errors
    /// The call has ended, is being changed, or its caller cannot hear the edge; or the text is no document. Nothing changes then.
    pub(crate) fn take_over(&mut self, cx: &mut Cx<'_>, app: Arc<App>) -> Result<(), Refused> {
        if let AppDocument::Text(text) = &app.document
            && trunkgate_twiml::parse(text).is_err()
        {
            return Err(Refused::BadDocument);
        }
        if self.parts.program.run.as_ref().is_some_and(|run| run.is_application() || run.app.is_conference()) {
            // Before its first step, which may be a Dial.
            if let Some(run) = &mut self.parts.program.run {
                run.is_redirected = true;
            }
            return Runner::of(self.parts).redirect(cx, &app);
        }
        match cx.call.state {
            State::Leaving | State::Ended => Err(Refused::CallEnded),
            State::Searching => self.take_ringing(cx, app),
            State::Answered => self.take_answered(cx, app),
            State::Rerouting => Err(Refused::Transferring),
        }
    }

    /// Takes a call that is not answered: its targets are withdrawn. The party of a requested call goes on ringing.
    fn take_ringing(&mut self, cx: &mut Cx<'_>, app: Arc<App>) -> Result<(), Refused> {
        if let Some(requested) = &mut cx.call.requested {
            requested.put_onward(Target::App(app));
            Originator::comes_no_longer(cx);
            return Ok(());
        }
        if self.parts.program.run.is_some() {
            return Err(Refused::InApplication);
        }
        self.note(cx);
        self.parts.search.withdraw_all(cx, &mut self.parts.bridge, ReasonSlug::Transferred);
        self.parts.search.controller = Controller::plan_of(vec![Target::App(app)]);
        self.parts.advance(cx, None);
        Ok(())
    }

    /// Takes an answered call: the party on the other side leaves.
    fn take_answered(&mut self, cx: &mut Cx<'_>, app: Arc<App>) -> Result<(), Refused> {
        let (near, callee) = (cx.call.legs.near, cx.call.legs.callee.ok_or(Refused::Changing)?);
        if self.parts.bridge.negotiation.is_unsettled() {
            return Err(Refused::Changing);
        }
        let hears = |leg: LegId| cx.call.legs.offer_of(leg).is_some_and(|(_, spoken)| spoken.is_some());
        if cx.call.legs[callee].agent.is_none() && !hears(near) {
            return Err(Refused::OtherAudio);
        }
        self.note(cx);
        Coaching::end(&mut self.parts.bridge.media, cx, (ReasonSlug::Transferred, EndedBy::Edge));
        cx.call.legs[callee].end_with(ReasonSlug::Transferred, EndedBy::Edge);
        self.parts.bridge.media.hang_up_leg(cx, callee, ReasonSlug::Transferred);
        if Dialler::of(self.parts).take_caller_back(cx, callee) {
            self.parts.search.controller = Controller::plan_of(vec![Target::App(app)]);
            self.parts.search_on(cx);
        } else {
            self.parts.end(cx, ReasonSlug::Internal);
        }
        Ok(())
    }

    fn note(&self, cx: &mut Cx<'_>) {
        cx.edge.decide(cx.now, cx.call.key, "another document was requested: an application takes the call");
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, "is given to an application, as requested".to_owned(), None);
    }
}
