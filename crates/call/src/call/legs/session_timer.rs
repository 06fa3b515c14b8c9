//! Session timers (RFC 4028): each leg agrees with its remote party on how long a session lasts without a refresh, independently of the other
//! leg. One side refreshes at half that time; without a refresh the call ends before the session expires.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_media::agent::limits::STANDSTILL;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{SESSION_LEAST_SECONDS, SESSION_TAKEN_SECONDS};
use trunkgate_resources::lookups::sip::TIMER;
use trunkgate_sip::header::SessionExpires;
use trunkgate_sip::{ClientId, Message};
use trunkgate_story::wall::unix_ms;

/// What a far end's INVITE says of session timers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// Whether it knows them.
    pub(crate) supports: bool,
    pub(crate) expires: Option<SessionExpires>,
    pub(crate) least: Option<u32>,
}

impl Asked {
    /// Of a request.
    pub(crate) fn of(request: &Message) -> Asked {
        Asked { supports: request.supports(TIMER), expires: request.session_expires(), least: request.min_se() }
    }

    /// Whether its interval is shorter than we take (RFC 4028 §9).
    pub(crate) fn is_too_short(&self) -> bool {
        self.expires.is_some_and(|expires| expires.seconds < SESSION_LEAST_SECONDS)
    }
}

/// Session timers of a leg.
#[derive(Debug, Default)]
pub(crate) struct SessionTimer {
    /// What its INVITE says that we have not answered yet.
    pub(crate) asked: Option<Asked>,
    /// The least interval that its far end has named, in seconds: our requests say it again (RFC 4028 §7.4).
    pub(crate) least: u32,
    pub(crate) agreed: Option<Agreed>,
    /// Our refresh that is not answered yet.
    pub(crate) refresh: Option<ClientId>,
}

/// What is agreed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agreed {
    pub(crate) seconds: u32,
    /// Whether it is for us to refresh.
    pub(crate) ours: bool,
    /// When we do; `None` where it is not for us, or under way.
    pub(crate) refresh: Option<Instant>,
    /// When the call ends if nobody has.
    pub(crate) expires: Instant,
    /// That was met late and put off.
    pub(crate) was_put_off: bool,
}

/// What is due of a leg's session.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SessionDue {
    /// Nothing yet.
    Nothing,
    /// Our refresh.
    Refresh,
    /// Its end: nobody has refreshed it.
    Over(Agreed),
}

/// A session that is agreed on, in plain data. It does not carry a refresh that is under way: it is made again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WrittenTimer {
    least: u32,
    seconds: u32,
    ours: bool,
    expires_ms: u64,
    refresh_ms: Option<u64>,
}

impl Agreed {
    /// From now on.
    pub(crate) fn new(now: Instant, seconds: u32, ours: bool) -> Agreed {
        let interval = Duration::from_secs(seconds.max(SESSION_TAKEN_SECONDS).into());
        // RFC 4028 §10.
        let early = (interval / 3).min(Duration::from_secs(32));
        Agreed {
            seconds,
            ours,
            refresh: ours.then_some(now + interval / 2),
            expires: now + (interval - early),
            was_put_off: false,
        }
    }
}

impl SessionTimer {
    /// Notes what a request of the far end asks for.
    pub(crate) fn ask(&mut self, asked: Asked) {
        self.asked = Some(asked);
    }

    /// Notes that the far end wants sessions no shorter than this.
    pub(crate) fn lengthen(&mut self, least: u32) {
        self.least = self.least.max(least);
    }

    /// Whether its session ends by itself where its far end is gone.
    pub(crate) fn is_agreed(&self) -> bool {
        self.agreed.is_some()
    }

    /// When it is to be looked at next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.agreed.map(|agreed| agreed.refresh.map_or(agreed.expires, |refresh| refresh.min(agreed.expires)))
    }

    /// Returns what is due now.
    pub(crate) fn due(&mut self, now: Instant) -> SessionDue {
        let Some(agreed) = self.agreed else { return SessionDue::Nothing };
        let late = now.saturating_duration_since(agreed.expires);
        if late >= STANDSTILL && !agreed.was_put_off {
            // This process stood still: a refresh may have come that is read only now, or ours is overdue.
            let expires = now + late.min(Duration::from_secs(u64::from(agreed.seconds)));
            self.agreed = Some(Agreed { expires, was_put_off: true, ..agreed });
        } else if agreed.expires <= now {
            return SessionDue::Over(agreed);
        }
        if agreed.refresh.is_some_and(|at| at <= now) { SessionDue::Refresh } else { SessionDue::Nothing }
    }

    /// In plain data; a refresh that is under way is made again.
    pub(crate) fn written(&self, now: Instant, edge: &Edge) -> Option<WrittenTimer> {
        let Agreed { seconds, ours, refresh, expires, .. } = self.agreed?;
        let date = |at: Instant| unix_ms(edge.date(at));
        let refresh_ms = ours.then(|| date(refresh.unwrap_or(now)));
        Some(WrittenTimer { least: self.least, seconds, ours, expires_ms: date(expires), refresh_ms })
    }

    /// From plain data; what was due while nobody was there is due at once.
    pub(crate) fn restore(now: Instant, edge: &Edge, written: Option<WrittenTimer>) -> SessionTimer {
        let Some(WrittenTimer { least, seconds, ours, expires_ms, refresh_ms }) = written else {
            return SessionTimer::default();
        };
        let today = unix_ms(edge.date(now));
        let at = |ms: u64| now.checked_add(Duration::from_millis(ms.saturating_sub(today))).unwrap_or(now);
        let agreed = Agreed { seconds, ours, refresh: refresh_ms.map(at), expires: at(expires_ms), was_put_off: false };
        SessionTimer { least, agreed: Some(agreed), ..SessionTimer::default() }
    }
}
