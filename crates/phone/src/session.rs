//! Session timers of a phone (RFC 4028): what it asks for and takes, when it refreshes, and when it has waited long enough.

use std::time::{Duration, Instant};

use trunkgate_sip::header::{Refresher, SessionExpires};
use trunkgate_sip::{Body, ClientId, Extra, Message, Method, ServerId};

use crate::call::{Due, Ending, PhoneCall, State};
use crate::limits;
use crate::phone::Phone;

/// The option tag.
pub(crate) const TIMER: &str = "timer";

/// How a phone keeps its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// The interval that it asks for, in seconds; 0: none, but it takes one that is asked of it.
    pub seconds: u32,
    /// The shortest that it takes, in seconds: what is less is refused with 422.
    pub least: u32,
    /// Whether it refreshes itself where that is for it to choose.
    pub refreshes: bool,
    /// Whether it does so by UPDATE; else by re-INVITE.
    pub by_update: bool,
    /// Whether it says that it refreshes and never does.
    pub forgets: bool,
}

/// What a call has agreed on.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Interval in seconds, and whether it is for us to refresh.
    agreed: Option<(u32, bool)>,
    /// What an INVITE asks for that has no answer yet, and whether its sender knows session timers.
    asked: Option<(Option<SessionExpires>, bool)>,
    /// An UPDATE of ours that has no answer yet.
    pub(crate) update: Option<ClientId>,
    /// Whether it makes an offer.
    pub(crate) offers: bool,
}

fn header(name: &str, value: impl ToString) -> Extra {
    Extra { name: name.to_owned(), value: value.to_string() }
}

impl PhoneCall {
    /// The interval that its session has, in seconds; `None` where it may last for ever.
    pub fn session_seconds(&self) -> Option<u32> {
        self.session.agreed.map(|(seconds, _)| seconds)
    }
    /// Whether it is for us to refresh it.
    pub fn refreshes(&self) -> bool {
        self.session.agreed.is_some_and(|(_, ours)| ours)
    }
    /// Times that the session was begun anew by either side.
    pub fn refreshed(&self) -> u32 {
        self.refreshed
    }
}

impl Phone {
    /// What the first INVITE of a call says.
    pub(crate) fn session_wanted(&self) -> Vec<Extra> {
        let Some(sessions) = self.config.sessions.filter(|sessions| sessions.seconds > 0) else { return Vec::new() };
        let refresher = sessions.refreshes.then_some(Refresher::Uac);
        if sessions.seconds < limits::SESSION_LEAST_S {
            // Too short for anybody, and so to be refused.
            return vec![header("Session-Expires", SessionExpires { seconds: sessions.seconds, refresher })];
        }
        let seconds = sessions.seconds.max(sessions.least);
        vec![header("Session-Expires", SessionExpires { seconds, refresher }), header("Min-SE", sessions.least)]
    }

    /// Whether a request asks for a shorter session than this phone takes; then it is refused.
    pub(crate) fn refuses_session(&mut self, now: Instant, id: ServerId, request: &Message) -> bool {
        let Some(sessions) = self.config.sessions else { return false };
        let is_short = request.session_expires().is_some_and(|expires| expires.seconds < sessions.least);
        if is_short {
            let headers = vec![header("Min-SE", sessions.least)];
            self.endpoint.respond(now, id, trunkgate_sip::Answer { code: 422, headers, ..Default::default() });
        }
        is_short
    }

    /// Notes what an INVITE asks for.
    pub(crate) fn note_session(&self, call: &mut PhoneCall, request: &Message) {
        if self.config.sessions.is_some() {
            call.session.asked = Some((request.session_expires(), request.supports(TIMER)));
        }
    }

    /// What the 2xx to it says; an interval begins.
    pub(crate) fn session_answer(&mut self, now: Instant, call: &mut PhoneCall) -> Vec<Extra> {
        let (Some(sessions), Some((expires, supports))) = (self.config.sessions, call.session.asked.take()) else {
            return Vec::new();
        };
        let before = call.session.agreed;
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
        self.begin_session(now, call, agreed);
        let Some((seconds, ours)) = agreed else { return Vec::new() };
        let refresher = Some(if ours { Refresher::Uas } else { Refresher::Uac });
        let required = supports.then(|| header("Require", TIMER));
        std::iter::once(header("Session-Expires", SessionExpires { seconds, refresher })).chain(required).collect()
    }

    /// What a 2xx to an INVITE or UPDATE of ours says.
    pub(crate) fn take_session(&mut self, now: Instant, call: &mut PhoneCall, response: &Message) {
        if self.config.sessions.is_none() {
            return;
        }
        let agreed = response.session_expires();
        let agreed = agreed.map(|expires| (expires.seconds, expires.refresher != Some(Refresher::Uas)));
        self.begin_session(now, call, agreed);
    }

    fn begin_session(&self, now: Instant, call: &mut PhoneCall, agreed: Option<(u32, bool)>) {
        let forgets = self.config.sessions.is_some_and(|sessions| sessions.forgets);
        call.refreshed += u32::from(call.session.agreed.is_some() && agreed.is_some());
        call.session.agreed = agreed;
        call.forget(Due::Refresh);
        call.forget(Due::SessionOver);
        let Some((seconds, ours)) = agreed.filter(|_| !forgets) else { return };
        let interval = Duration::from_secs(seconds.into());
        // RFC 4028 §10.
        call.wake(now + (interval - (interval / 3).min(limits::SESSION_EARLY)), Due::SessionOver);
        if ours {
            call.wake(now + interval / 2, Due::Refresh);
        }
    }

    /// What a change of ours in an answered call says of its session.
    pub(crate) fn session_headers(&self, call: &PhoneCall) -> Vec<Extra> {
        let (Some(sessions), Some((seconds, ours))) = (self.config.sessions, call.session.agreed) else {
            return Vec::new();
        };
        let refresher = Some(if ours { Refresher::Uac } else { Refresher::Uas });
        let least = sessions.least.max(limits::SESSION_LEAST_S);
        vec![header("Session-Expires", SessionExpires { seconds, refresher }), header("Min-SE", least)]
    }

    /// Says that we are still there; later, where something else is under way.
    pub(crate) fn refresh(&mut self, now: Instant, call: &mut PhoneCall) {
        let by_update = self.config.sessions.is_some_and(|sessions| sessions.by_update);
        if by_update {
            self.update(now, call);
        } else if let Some(dialog) = call.dialog.filter(|_| call.acked && call.reinvite.is_none()) {
            // The session as it is, with the version that it has (RFC 4028 §7.4).
            let headers = self.session_headers(call);
            if let Some(ours) = &call.ours {
                let body = Body::sdp(ours.to_string());
                call.reinvite = self.endpoint.request(now, dialog, Method::Invite, headers, Some(body));
                call.repeats = call.reinvite.is_some();
            }
        }
        if call.session.update.is_none() && call.reinvite.is_none() {
            call.wake(now + limits::REFRESH_RETRY, Due::Refresh);
        }
    }

    /// UPDATE without a description.
    pub(crate) fn update(&mut self, now: Instant, call: &mut PhoneCall) {
        if let Some(dialog) = call.dialog.filter(|_| call.session.update.is_none()) {
            let headers = self.session_headers(call);
            call.session.update = self.endpoint.request(now, dialog, Method::Update, headers, None);
        }
    }

    /// The answer to it.
    pub(crate) fn updated(&mut self, now: Instant, call: &mut PhoneCall, code: u16, response: &Message) {
        if code < 200 {
            return;
        }
        call.session.update = None;
        let offers = std::mem::take(&mut call.session.offers);
        match code {
            200..=299 => {
                // Before the answer it is for the INVITE to say what is agreed on.
                if call.state == State::Talking {
                    self.take_session(now, call, response);
                }
                if offers {
                    self.read_far(now, call, response);
                }
            }
            // The dialog is gone on the far side (RFC 3261 §12.2.1.2).
            408 | 481 => self.end(now, call, Ending::Refused(code)),
            _ => {
                if offers {
                    call.secure.keep_keys();
                }
                self.refresh_later(now, call);
            }
        }
    }

    /// A change of ours was refused: where it was to refresh the session, that is still to be done.
    pub(crate) fn refresh_later(&mut self, now: Instant, call: &mut PhoneCall) {
        if call.state == State::Talking && call.refreshes() && !call.due.iter().any(|(_, due)| *due == Due::Refresh) {
            call.wake(now + limits::REFRESH_RETRY, Due::Refresh);
        }
    }
}
