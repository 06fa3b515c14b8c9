//! Session timers (RFC 4028): each leg negotiates with its remote party how long a session lasts without a refresh,
//! independently of the other leg. One side refreshes at half that time; otherwise the call ends before the session
//! expires.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{SESSION_LEAST_SECONDS, SESSION_TAKEN_SECONDS};
use trunkgate_resources::lookups::sip::TIMER;
use trunkgate_sip::header::SessionExpires;
use trunkgate_sip::{ClientId, SipMessage};
use trunkgate_story::wall::unix_ms;

/// Session timer parameters of a remote party's INVITE.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionTimerRequest {
    /// True if the sender supports session timers.
    pub(crate) supports: bool,
    pub(crate) expires: Option<SessionExpires>,
    pub(crate) least: Option<u32>,
}

impl SessionTimerRequest {
    /// Reads the parameters of a request.
    pub(crate) fn of(request: &SipMessage) -> SessionTimerRequest {
        SessionTimerRequest {
            supports: request.supports(TIMER),
            expires: request.session_expires(),
            least: request.min_se(),
        }
    }

    /// Returns whether the interval is below our minimum (RFC 4028 §9).
    pub(crate) fn is_too_short(&self) -> bool {
        self.expires.is_some_and(|expires| expires.seconds < SESSION_LEAST_SECONDS)
    }
}

/// Session timer of a leg.
#[derive(Debug, Default)]
pub(crate) struct SessionTimer {
    /// Parameters of an INVITE that we have not answered yet.
    pub(crate) asked: Option<SessionTimerRequest>,
    /// Minimum interval named by the remote party, in seconds, which our requests repeat (RFC 4028 §7.4).
    pub(crate) least: u32,
    pub(crate) agreed: Option<SessionInterval>,
    /// Our unanswered refresh.
    pub(crate) refresh: Option<ClientId>,
}

/// Negotiated session interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionInterval {
    pub(crate) seconds: u32,
    /// True if the edge refreshes the session.
    pub(crate) ours: bool,
    /// Time of the edge's next refresh; `None` if the remote party refreshes, or while a refresh is in progress.
    pub(crate) refresh: Option<Instant>,
    /// Time when the call ends without a refresh.
    pub(crate) expires: Instant,
}

/// Due action of a leg's session.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SessionDue {
    /// No action is due.
    Nothing,
    /// Our refresh is due.
    Refresh,
    /// The session has expired without a refresh.
    Over(SessionInterval),
}

/// Negotiated session in plain data. A refresh in progress is not included; it is repeated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SessionTimerSnapshot {
    least: u32,
    seconds: u32,
    ours: bool,
    expires_ms: u64,
    refresh_ms: Option<u64>,
}

impl SessionInterval {
    /// Starts an interval at `now`.
    pub(crate) fn new(now: Instant, seconds: u32, ours: bool) -> SessionInterval {
        let interval = Duration::from_secs(seconds.max(SESSION_TAKEN_SECONDS).into());
        // RFC 4028 §10.
        let early = (interval / 3).min(Duration::from_secs(32));
        SessionInterval {
            seconds,
            ours,
            refresh: ours.then_some(now + interval / 2),
            expires: now + (interval - early),
        }
    }
}

impl SessionTimer {
    /// Stores the parameters of a remote party's request.
    pub(crate) fn ask(&mut self, asked: SessionTimerRequest) {
        self.asked = Some(asked);
    }

    /// Raises the minimum interval named by the remote party.
    pub(crate) fn lengthen(&mut self, least: u32) {
        self.least = self.least.max(least);
    }

    /// Returns whether the remote party has agreed on a session timer, which ends the call if that party is gone.
    pub(crate) fn is_agreed(&self) -> bool {
        self.agreed.is_some()
    }

    /// Returns the time of the next refresh, or of the end of the call; `None` without a session timer.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.agreed.map(|agreed| agreed.refresh.map_or(agreed.expires, |refresh| refresh.min(agreed.expires)))
    }

    /// Postpones the expiry by a time in which the process did not run. Our own refresh stays due.
    pub(crate) fn postpone(&mut self, pause: Duration) {
        if let Some(agreed) = &mut self.agreed {
            agreed.expires += pause;
        }
    }

    /// Returns the action that is due.
    pub(crate) fn due(&self, now: Instant) -> SessionDue {
        let Some(agreed) = self.agreed else { return SessionDue::Nothing };
        if agreed.expires <= now {
            return SessionDue::Over(agreed);
        }
        if agreed.refresh.is_some_and(|at| at <= now) { SessionDue::Refresh } else { SessionDue::Nothing }
    }

    /// Returns the session in plain data; a refresh in progress will be repeated. `None` if no session interval is
    /// agreed.
    pub(crate) fn written(&self, now: Instant, edge: &Edge) -> Option<SessionTimerSnapshot> {
        let SessionInterval { seconds, ours, refresh, expires, .. } = self.agreed?;
        let date = |at: Instant| unix_ms(edge.date(at));
        let refresh_ms = ours.then(|| date(refresh.unwrap_or(now)));
        Some(SessionTimerSnapshot { least: self.least, seconds, ours, expires_ms: date(expires), refresh_ms })
    }

    /// Restores the session; actions missed during the restart are due immediately.
    pub(crate) fn restore(now: Instant, edge: &Edge, written: Option<SessionTimerSnapshot>) -> SessionTimer {
        let Some(SessionTimerSnapshot { least, seconds, ours, expires_ms, refresh_ms }) = written else {
            return SessionTimer::default();
        };
        let today = unix_ms(edge.date(now));
        let at = |ms: u64| now.checked_add(Duration::from_millis(ms.saturating_sub(today))).unwrap_or(now);
        let agreed = SessionInterval { seconds, ours, refresh: refresh_ms.map(at), expires: at(expires_ms) };
        SessionTimer { least, agreed: Some(agreed), ..SessionTimer::default() }
    }
}
