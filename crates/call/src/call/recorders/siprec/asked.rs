//! Recording sessions requested by documents (`Start` with `Siprec`): their names, and the requests that report them
//! (`statusCallback`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkgate_resources::applications::question::{AppCallback, AppPlace, DocumentRequest};
use trunkgate_resources::limits::{NUMBER_CHARS, SIPREC_PER_CALL, SIPREC_SESSIONS_PER_CALL};
use trunkgate_route::{App, SiprecSettings};
use trunkgate_story::numbers::plain;
use trunkgate_story::wall::rfc3339;
use trunkgate_twiml::{HttpMethod, SiprecStep};

use super::recorded::{PlannedSession, RecordingSessions};
use super::session::{SiprecEvent, SiprecState};
use crate::call::media::CallMedia;
use crate::call::shared::CallCx;
use crate::call::words::webhooks;

/// Reason for rejecting a single direction: sending both would record more than requested.
const ONE_TRACK: &str = "recording servers get both directions: `track` can only be both_tracks";

/// A document's request for a recording session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SiprecRequest {
    /// Application of the document.
    app: Arc<App>,
    /// SID of the requested session: `SR` and 32 hex digits.
    sid: String,
    /// Name by which a document can end the session.
    name: Option<String>,
    receiver: Option<(String, HttpMethod)>,
    /// Whether the beginning of the session has been reported.
    has_begun: bool,
    /// Whether the end of the session has been reported.
    is_over: bool,
}

impl SiprecRequest {
    /// Records that the session has entered this state, and returns the event to report; `None` if there is none, or it
    /// has been reported.
    fn follow(&mut self, stage: SiprecState) -> Option<&'static str> {
        if self.is_over {
            return None;
        }
        self.is_over = stage.is_over();
        match stage {
            SiprecState::Asking => None,
            SiprecState::Recording if self.has_begun => None,
            SiprecState::Recording => {
                self.has_begun = true;
                Some("siprec-started")
            }
            SiprecState::Failed => Some("siprec-error"),
            SiprecState::Ended => self.has_begun.then_some("siprec-stopped"),
        }
    }

    /// Reports one event of the session to its receiver.
    fn report(&self, cx: &mut CallCx<'_>, event: &'static str, problem: Option<&str>) {
        let Some((url, method)) = &self.receiver else { return };
        let call = cx.call.legs.sid().to_owned();
        let mut named = vec![
            ("AccountSid", cx.edge.config().account_sid.clone()),
            ("CallSid", call.clone()),
            ("SiprecSid", self.sid.clone()),
            ("SiprecName", self.name.clone().unwrap_or_else(|| self.sid.clone())),
            ("SiprecEvent", event.to_owned()),
            ("Timestamp", rfc3339(cx.edge.date(cx.now))),
        ];
        named.extend(problem.map(|problem| ("SiprecError", problem.to_owned())));
        let parameters = named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let place = AppPlace::Url(url.clone());
        let request = DocumentRequest { place, method: webhooks::method(*method), purpose: "siprec", parameters };
        let (app, allow_private, about) = (self.app.name.clone(), self.app.allow_private, self.sid.clone());
        cx.edge.call_back(AppCallback { call, about, app, allow_private, request });
    }
}

impl RecordingSessions {
    /// Starts a recording session with a group of servers for a document. If that is not possible, the receiver of its
    /// reports is notified, and the call continues.
    pub(crate) fn start(&mut self, cx: &mut CallCx<'_>, app: &Arc<App>, step: &SiprecStep) {
        let asked = SiprecRequest {
            app: Arc::clone(app),
            sid: cx.edge.random_mut().siprec_sid(),
            name: step.name.clone(),
            receiver: step.status.clone(),
            has_begun: false,
            is_over: false,
        };
        let group: Arc<str> = SiprecSettings::trunk_name(&step.connector).into();
        let connector = plain(&step.connector, NUMBER_CHARS);
        let one_track = step.is_one_track.then_some(ONE_TRACK);
        if let Some(why) = one_track.or_else(|| self.refused(cx, &group, step.name.as_deref())) {
            let text = format!("Siprec: the call is not recorded by {connector}: {why}");
            let sid = cx.call.legs.sid().to_owned();
            cx.edge.decide(cx.now, cx.call.key, text.clone());
            cx.edge.warn(&sid, text, None);
            return asked.report(cx, "siprec-error", Some(why));
        }
        self.wait_for(PlannedSession { group, request: Some(Box::new(asked)) });
    }

    /// Returns the reason why a group does not begin to record the call; `None` if it begins.
    fn refused(&self, cx: &CallCx<'_>, group: &Arc<str>, name: Option<&str>) -> Option<&'static str> {
        if cx.edge.table().trunk(group).is_none_or(|trunk| trunk.siprec.is_none()) {
            return Some("the configuration has no [siprec] of that name");
        }
        let named = |asked: &SiprecRequest| name.is_some() && asked.name.as_deref() == name && !asked.is_over;
        let waiting = self.waiting().iter().filter_map(|waiting| waiting.request.as_deref());
        let mut known = self.all().iter().filter_map(|session| session.request.as_deref()).chain(waiting);
        if self.groups().any(|known| known == group) {
            return Some("it already records the call");
        }
        if known.any(named) {
            return Some("another recording of the call has this name");
        }
        let is_full = self.groups().count() >= SIPREC_PER_CALL
            || self.all().len() + self.waiting().len() >= SIPREC_SESSIONS_PER_CALL;
        is_full.then_some("the limit of recordings of the call is reached")
    }

    /// Ends the recording session with this name that a document has requested.
    pub(crate) fn stop(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, name: &str) {
        let is_it = |asked: &Option<Box<SiprecRequest>>| {
            asked.as_ref().is_some_and(|asked| asked.name.as_deref() == Some(name) && !asked.is_over)
        };
        let waited =
            self.waiting_mut().is_some_and(|waiting| waiting.extract_if(.., |one| is_it(&one.request)).count() > 0);
        match self.all().iter().position(|session| is_it(&session.request)) {
            // The end of a requested session never ends the call, even if recording is required.
            Some(at) => {
                let _ = self.advance_session(cx, media, at, SiprecEvent::Stop);
            }
            None if waited => {}
            None => cx.edge.decide(cx.now, cx.call.key, "Stop: no recording by servers has that name"),
        }
        self.report(cx);
    }

    /// Reports the new events of the sessions that documents have requested.
    pub(crate) fn report(&mut self, cx: &mut CallCx<'_>) {
        for session in self.all_mut() {
            let Some(asked) = &mut session.request else { continue };
            if let Some(event) = asked.follow(session.stage) {
                let problem = session.problem.as_deref().filter(|_| event == "siprec-error");
                asked.report(cx, event, problem);
            }
        }
    }
}
