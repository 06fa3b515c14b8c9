//! Session timers of a call (RFC 4028): what it asks for and takes, and the deadlines that follow.

use std::time::Duration;

use trunkgate_sip::header::{Refresher, SessionExpires};
use trunkgate_sip::{Answer, Extra, Message, ServerId};

use crate::cx::Cx;
use crate::deadlines::{Deadlines, Due};
use crate::limits;
use crate::script::PhoneConfig;

/// The option tag.
pub(crate) const TIMER: &str = "timer";

/// The session of a call.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Interval in seconds, and whether it is for us to refresh.
    agreed: Option<(u32, bool)>,
    /// What an INVITE asks for that has no answer yet, and whether its sender knows session timers.
    asked: Option<(Option<SessionExpires>, bool)>,
    /// Refreshes by either side.
    refreshed: u32,
}

fn header(name: &str, value: impl ToString) -> Extra {
    Extra { name: name.to_owned(), value: value.to_string() }
}

/// Returns what the first INVITE of a call says.
pub(crate) fn wanted(config: &PhoneConfig) -> Vec<Extra> {
    let Some(sessions) = config.sessions.filter(|sessions| sessions.seconds > 0) else { return Vec::new() };
    let refresher = sessions.refreshes.then_some(Refresher::Uac);
    if sessions.seconds < limits::SESSION_LEAST_S {
        // Too short for anybody, and so to be refused.
        return vec![header("Session-Expires", SessionExpires { seconds: sessions.seconds, refresher })];
    }
    let seconds = sessions.seconds.max(sessions.least);
    vec![header("Session-Expires", SessionExpires { seconds, refresher }), header("Min-SE", sessions.least)]
}

/// Reports whether a request asks for a shorter session than this phone takes; then it is refused.
pub(crate) fn refuses(cx: &mut Cx<'_>, id: ServerId, request: &Message) -> bool {
    let Some(sessions) = cx.config.sessions else { return false };
    let is_short = request.session_expires().is_some_and(|expires| expires.seconds < sessions.least);
    if is_short {
        let headers = vec![header("Min-SE", sessions.least)];
        cx.endpoint.respond(cx.now, id, Answer { code: 422, headers, ..Answer::default() });
    }
    is_short
}

impl Session {
    /// Returns its interval in seconds; `None` where it may last for ever.
    pub(super) fn seconds(&self) -> Option<u32> {
        self.agreed.map(|(seconds, _)| seconds)
    }

    /// Reports whether it is for us to refresh it.
    pub(super) fn refreshes(&self) -> bool {
        self.agreed.is_some_and(|(_, ours)| ours)
    }

    /// Returns the number of refreshes by either side.
    pub(super) fn refreshed(&self) -> u32 {
        self.refreshed
    }

    /// Notes what an INVITE asks for.
    pub(super) fn note(&mut self, cx: &Cx<'_>, request: &Message) {
        if cx.config.sessions.is_some() {
            self.asked = Some((request.session_expires(), request.supports(TIMER)));
        }
    }

    /// Returns what the 2xx to an INVITE says; an interval begins.
    pub(super) fn answer(&mut self, cx: &Cx<'_>, deadlines: &mut Deadlines) -> Vec<Extra> {
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
        self.begin(cx, deadlines, agreed);
        let Some((seconds, ours)) = agreed else { return Vec::new() };
        let refresher = Some(if ours { Refresher::Uas } else { Refresher::Uac });
        let required = supports.then(|| header("Require", TIMER));
        std::iter::once(header("Session-Expires", SessionExpires { seconds, refresher })).chain(required).collect()
    }

    /// Takes what a 2xx to an INVITE or UPDATE of ours says.
    pub(super) fn take(&mut self, cx: &Cx<'_>, deadlines: &mut Deadlines, response: &Message) {
        if cx.config.sessions.is_none() {
            return;
        }
        let agreed = response.session_expires();
        let agreed = agreed.map(|expires| (expires.seconds, expires.refresher != Some(Refresher::Uas)));
        self.begin(cx, deadlines, agreed);
    }

    fn begin(&mut self, cx: &Cx<'_>, deadlines: &mut Deadlines, agreed: Option<(u32, bool)>) {
        let forgets = cx.config.sessions.is_some_and(|sessions| sessions.forgets);
        self.refreshed += u32::from(self.agreed.is_some() && agreed.is_some());
        self.agreed = agreed;
        deadlines.forget(Due::Refresh);
        deadlines.forget(Due::SessionOver);
        let Some((seconds, ours)) = agreed.filter(|_| !forgets) else { return };
        let interval = Duration::from_secs(seconds.into());
        // RFC 4028 §10.
        deadlines.wake(cx.now + (interval - (interval / 3).min(limits::SESSION_EARLY)), Due::SessionOver);
        if ours {
            deadlines.wake(cx.now + interval / 2, Due::Refresh);
        }
    }

    /// Returns what a change of ours in an answered call says of its session.
    pub(super) fn headers(&self, cx: &Cx<'_>) -> Vec<Extra> {
        let (Some(sessions), Some((seconds, ours))) = (cx.config.sessions, self.agreed) else { return Vec::new() };
        let refresher = Some(if ours { Refresher::Uac } else { Refresher::Uas });
        let least = sessions.least.max(limits::SESSION_LEAST_S);
        vec![header("Session-Expires", SessionExpires { seconds, refresher }), header("Min-SE", least)]
    }
}
