//! Session timers of a call (RFC 4028): requested and accepted intervals, and the resulting deadlines.

use std::time::Duration;

use trunkgate_sip::header::{Refresher, SessionExpires};
use trunkgate_sip::{ExtraHeader, ResponseSpec, ServerId, SipMessage};

use crate::cx::PhoneCx;
use crate::deadlines::{DueAction, PhoneDeadlines};
use crate::limits;
use crate::script::PhoneConfig;

/// Option tag of RFC 4028.
pub(crate) const TIMER: &str = "timer";

/// Session timer of a call.
#[derive(Debug, Default)]
pub(super) struct RefreshTimer {
    /// Agreed interval in seconds, and whether this phone refreshes.
    agreed: Option<(u32, bool)>,
    /// Interval requested by an unanswered INVITE, and whether its sender supports session timers.
    asked: Option<(Option<SessionExpires>, bool)>,
    /// Number of refreshes by either side.
    refreshed: u32,
}

fn header(name: &str, value: impl ToString) -> ExtraHeader {
    ExtraHeader { name: name.to_owned(), value: value.to_string() }
}

/// Returns the session timer headers of the initial INVITE.
pub(crate) fn wanted(config: &PhoneConfig) -> Vec<ExtraHeader> {
    let Some(sessions) = config.sessions.filter(|sessions| sessions.seconds > 0) else { return Vec::new() };
    let refresher = sessions.refreshes.then_some(Refresher::Uac);
    if sessions.seconds < limits::SESSION_LEAST_S {
        // An interval that no remote party may accept, so that it is rejected.
        return vec![header("Session-Expires", SessionExpires { seconds: sessions.seconds, refresher })];
    }
    let seconds = sessions.seconds.max(sessions.least);
    vec![header("Session-Expires", SessionExpires { seconds, refresher }), header("Min-SE", sessions.least)]
}

/// Rejects a request for a session interval that is too short. Returns whether the request was rejected.
pub(crate) fn refuses(cx: &mut PhoneCx<'_>, id: ServerId, request: &SipMessage) -> bool {
    let Some(sessions) = cx.config.sessions else { return false };
    let is_short = request.session_expires().is_some_and(|expires| expires.seconds < sessions.least);
    if is_short {
        let headers = vec![header("Min-SE", sessions.least)];
        cx.endpoint.respond(cx.now, id, ResponseSpec { code: 422, headers, ..ResponseSpec::default() });
    }
    is_short
}

impl RefreshTimer {
    /// Returns the session interval in seconds, or `None` without session timer.
    pub(super) fn seconds(&self) -> Option<u32> {
        self.agreed.map(|(seconds, _)| seconds)
    }

    /// Returns whether this phone refreshes the session.
    pub(super) fn refreshes(&self) -> bool {
        self.agreed.is_some_and(|(_, ours)| ours)
    }

    /// Returns the number of refreshes by either side.
    pub(super) fn refreshed(&self) -> u32 {
        self.refreshed
    }

    /// Records the interval that an INVITE requests.
    pub(super) fn note_request(&mut self, cx: &PhoneCx<'_>, request: &SipMessage) {
        if cx.config.sessions.is_some() {
            self.asked = Some((request.session_expires(), request.supports(TIMER)));
        }
    }

    /// Returns the session timer headers of the 2xx to an INVITE, and starts the interval.
    pub(super) fn answer(&mut self, cx: &PhoneCx<'_>, deadlines: &mut PhoneDeadlines) -> Vec<ExtraHeader> {
        let (Some(sessions), Some((expires, supports))) = (cx.config.sessions, self.asked.take()) else {
            return Vec::new();
        };
        let before = self.agreed;
        let agreed = match expires {
            Some(SessionExpires { seconds, refresher }) => {
                let ours = match refresher {
                    Some(refresher) => refresher == Refresher::Uas,
                    None => before.map_or(sessions.refreshes || !supports, |(_, ours)| ours),
                };
                Some((seconds, ours))
            }
            None if sessions.seconds > 0 => Some((sessions.seconds.max(sessions.least), true)),
            None => None,
        };
        self.start_timer(cx, deadlines, agreed);
        let Some((seconds, ours)) = agreed else { return Vec::new() };
        let refresher = Some(if ours { Refresher::Uas } else { Refresher::Uac });
        let required = supports.then(|| header("Require", TIMER));
        std::iter::once(header("Session-Expires", SessionExpires { seconds, refresher })).chain(required).collect()
    }

    /// Applies the session timer headers of a 2xx to our INVITE or UPDATE.
    pub(super) fn apply_response(&mut self, cx: &PhoneCx<'_>, deadlines: &mut PhoneDeadlines, response: &SipMessage) {
        if cx.config.sessions.is_none() {
            return;
        }
        let agreed = response.session_expires();
        let agreed = agreed.map(|expires| (expires.seconds, expires.refresher != Some(Refresher::Uas)));
        self.start_timer(cx, deadlines, agreed);
    }

    fn start_timer(&mut self, cx: &PhoneCx<'_>, deadlines: &mut PhoneDeadlines, agreed: Option<(u32, bool)>) {
        let forgets = cx.config.sessions.is_some_and(|sessions| sessions.forgets);
        self.refreshed += u32::from(self.agreed.is_some() && agreed.is_some());
        self.agreed = agreed;
        deadlines.forget(DueAction::Refresh);
        deadlines.forget(DueAction::SessionOver);
        let Some((seconds, ours)) = agreed.filter(|_| !forgets) else { return };
        let interval = Duration::from_secs(seconds.into());
        // The session is ended shortly before its interval expires (RFC 4028 §10).
        deadlines.wake(cx.now + (interval - (interval / 3).min(limits::SESSION_EARLY)), DueAction::SessionOver);
        if ours {
            deadlines.wake(cx.now + interval / 2, DueAction::Refresh);
        }
    }

    /// Returns the session timer headers of a request that refreshes or changes the answered call.
    pub(super) fn headers(&self, cx: &PhoneCx<'_>) -> Vec<ExtraHeader> {
        let (Some(sessions), Some((seconds, ours))) = (cx.config.sessions, self.agreed) else { return Vec::new() };
        let refresher = Some(if ours { Refresher::Uac } else { Refresher::Uas });
        let least = sessions.least.max(limits::SESSION_LEAST_S);
        vec![header("Session-Expires", SessionExpires { seconds, refresher }), header("Min-SE", least)]
    }
}
