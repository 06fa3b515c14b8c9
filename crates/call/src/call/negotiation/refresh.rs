//! Session timers (RFC 4028): each leg agrees with its far end on how long a session lasts without a refresh, whatever the
//! other leg has agreed on. One side of it refreshes at half that time; where nobody does, the call ends before it is over.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Purpose;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::{
    REFRESH_RETRY_SECONDS, SESSION_LEAST_SECONDS, SESSION_TAKEN_SECONDS, URI_SESSION_SECONDS,
};
use trunkgate_resources::sip::{TIMER, extra};
use trunkgate_sdp::{AgreedStream, Description};
use trunkgate_sip::header::{Refresher, SessionExpires};
use trunkgate_sip::{Body, ClientId, DialogId, Extra, Message, ServerId};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::wall::unix_ms;

use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::written::Written;
use crate::call::negotiation::owed::glare_wait;
use crate::call::search::answer::FinalAnswer;
use crate::call::{Call, State};

/// What a far end's INVITE says of session timers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// Whether it knows them.
    supports: bool,
    expires: Option<SessionExpires>,
    least: Option<u32>,
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
    asked: Option<Asked>,
    /// The least interval that its far end has named, in seconds: our requests say it again (RFC 4028 §7.4).
    least: u32,
    agreed: Option<Agreed>,
    /// Our refresh that is not answered yet.
    pub(crate) refresh: Option<ClientId>,
}

/// What is agreed on.
#[derive(Debug, Clone, Copy)]
struct Agreed {
    seconds: u32,
    /// Whether it is for us to refresh.
    ours: bool,
    /// When we do; `None` where it is not for us, or under way.
    refresh: Option<Instant>,
    /// When the call ends if nobody has.
    expires: Instant,
}

/// The same in plain data.
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
    fn new(now: Instant, seconds: u32, ours: bool) -> Agreed {
        let interval = Duration::from_secs(seconds.max(SESSION_TAKEN_SECONDS).into());
        // RFC 4028 §10.
        let early = (interval / 3).min(Duration::from_secs(32));
        Agreed { seconds, ours, refresh: ours.then_some(now + interval / 2), expires: now + (interval - early) }
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
    fn next(&self) -> Option<Instant> {
        self.agreed.map(|agreed| agreed.refresh.map_or(agreed.expires, |refresh| refresh.min(agreed.expires)))
    }

    /// In plain data; a refresh that is under way is made again.
    pub(crate) fn written(&self, now: Instant, edge: &Edge) -> Option<WrittenTimer> {
        let Agreed { seconds, ours, refresh, expires } = self.agreed?;
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
        let agreed = Agreed { seconds, ours, refresh: refresh_ms.map(at), expires: at(expires_ms) };
        SessionTimer { least, agreed: Some(agreed), ..SessionTimer::default() }
    }
}

impl Leg {
    /// The interval that we ask for, in seconds; `None` where we ask for none.
    fn session_wanted(&self) -> Option<u32> {
        let wanted = self
            .trunk
            .as_ref()
            .map_or(URI_SESSION_SECONDS, |trunk| u32::try_from(trunk.session_expires.as_secs()).unwrap_or(u32::MAX));
        (wanted > 0).then_some(wanted.max(SESSION_LEAST_SECONDS))
    }

    /// What an INVITE of ours to it says of session timers: in its first one what we want, later what is agreed on
    /// (RFC 4028 §7.1, §7.4).
    pub(crate) fn session_headers(&self) -> Vec<Extra> {
        let expires = match self.timer.agreed {
            Some(Agreed { seconds, ours, .. }) => {
                let refresher = Some(if ours { Refresher::Uac } else { Refresher::Uas });
                SessionExpires { seconds, refresher }
            }
            // Who refreshes is for the far end to choose.
            None if self.dialog.is_none() => match self.session_wanted() {
                Some(seconds) => SessionExpires { seconds, refresher: None },
                None => return Vec::new(),
            },
            None => return Vec::new(),
        };
        let least = self.timer.least.max(SESSION_LEAST_SECONDS);
        vec![extra("Session-Expires", expires.to_string()), extra("Min-SE", least.to_string())]
    }

    /// Answers what its INVITE asked for, which begins a new interval: the headers of the 2xx (RFC 4028 §9, table 2).
    fn answer_session(&mut self, now: Instant, asked: Asked) -> Vec<Extra> {
        let before = self.timer.agreed.take();
        self.timer.lengthen(asked.least.unwrap_or_default());
        let least = self.timer.least.max(SESSION_LEAST_SECONDS);
        let (seconds, ours) = match asked.expires {
            Some(theirs) => {
                let wanted = self.session_wanted().unwrap_or(u32::MAX).max(least);
                let ours = match theirs.refresher {
                    Some(refresher) => refresher == Refresher::Uas,
                    // Its own proxy may have asked in its place.
                    None => !asked.supports || before.is_some_and(|before| before.ours),
                };
                (theirs.seconds.min(wanted), ours)
            }
            None if !asked.supports => return Vec::new(),
            None => match (before, self.session_wanted()) {
                (Some(before), _) => (before.seconds.max(least), before.ours),
                // It could, and has not asked: whoever wants it does the work.
                (None, Some(wanted)) => (wanted.max(least), true),
                (None, None) => return Vec::new(),
            },
        };
        self.timer.agreed = Some(Agreed::new(now, seconds, ours));
        let refresher = Some(if ours { Refresher::Uas } else { Refresher::Uac });
        let expires = extra("Session-Expires", SessionExpires { seconds, refresher }.to_string());
        let required = asked.supports.then(|| extra("Require", TIMER));
        std::iter::once(expires).chain(required).collect()
    }

    /// Takes what its 2xx to a request of ours says: a new interval, or none any more (RFC 4028 §7.2).
    fn take_session(&mut self, now: Instant, answered: Option<SessionExpires>) {
        self.timer.agreed = answered.map(|SessionExpires { seconds, refresher }| {
            // Without a word it is for us: two that refresh do no harm.
            Agreed::new(now, seconds, refresher != Some(Refresher::Uas))
        });
    }
}

impl Call {
    /// Refuses a request in a dialog that asks for a session that is too short. Whether it does.
    pub(crate) fn refused_as_too_short(&self, now: Instant, edge: &mut Edge, server: ServerId, session: Asked) -> bool {
        if session.is_too_short() {
            edge.respond(now, server, FinalAnswer::new(422, ReasonSlug::SessionTooShort).to_sip());
        }
        session.is_too_short()
    }

    /// A far end has taken an INVITE of ours.
    pub(crate) fn session_taken(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        answered: Option<SessionExpires>,
    ) {
        self.legs[leg].take_session(now, answered);
        self.arm_sessions(now, edge);
    }

    /// The headers of our 2xx to a leg's INVITE.
    pub(crate) fn session_answer(&mut self, now: Instant, edge: &mut Edge, leg: LegId) -> Vec<Extra> {
        match self.legs[leg].timer.asked.take() {
            Some(asked) => self.session_agreed(now, edge, leg, asked),
            None => Vec::new(),
        }
    }

    /// The same of a 2xx to any request of its.
    pub(crate) fn session_agreed(&mut self, now: Instant, edge: &mut Edge, leg: LegId, asked: Asked) -> Vec<Extra> {
        let headers = self.legs[leg].answer_session(now, asked);
        self.arm_sessions(now, edge);
        headers
    }

    /// Waits for whichever leg is due first.
    pub(crate) fn arm_sessions(&mut self, now: Instant, edge: &mut Edge) {
        let live = self.legs.iter().filter(|leg| leg.state == LegState::Answered);
        match live.filter_map(|leg| leg.timer.next()).min() {
            // Zero would be none.
            Some(at) => {
                let wait = at.saturating_duration_since(now).max(Duration::from_millis(1));
                self.arm(now, edge, Timer::Session, wait);
            }
            None => self.disarm(edge, Timer::Session),
        }
    }

    /// A refresh of a leg that talks is answered here, the other side need not know. Whether it was one.
    pub(crate) fn refreshed_here(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        (leg, other): (LegId, LegId),
        server: ServerId,
        offer: &Description,
    ) -> bool {
        let is_same = self.legs[leg].theirs.as_ref().is_some_and(|theirs| theirs.says(offer));
        let as_before = |first: &AgreedStream| {
            let codecs = [first.codec.as_str(), first.codec_of_answerer()];
            codecs == [leg, other].map(|at| self.legs[at].codec.as_str())
        };
        let stands = is_same
            && self.as_agreed(leg, other, offer).is_some_and(|(_, streams)| streams.first().is_some_and(as_before));
        stands && self.answer_alone(now, edge, (leg, other), server, offer)
    }

    /// A leg's session is to be refreshed, or is over.
    pub(crate) fn session_due(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::Session);
        for leg in self.legs.ids() {
            let Some(agreed) = self.legs[leg].timer.agreed.filter(|_| self.legs[leg].state == LegState::Answered)
            else {
                continue;
            };
            if agreed.expires <= now {
                return self.session_over(now, edge, leg, agreed);
            }
            if agreed.refresh.is_some_and(|at| at <= now) {
                self.refresh(now, edge, leg);
            }
        }
        self.arm_sessions(now, edge);
    }

    fn session_over(&mut self, now: Instant, edge: &mut Edge, leg: LegId, agreed: Agreed) {
        let (name, seconds) = (self.legs.name_of(leg), agreed.seconds);
        let text = if agreed.ours {
            format!("{name} did not accept our refresh: its session of {seconds} s has expired")
        } else {
            format!("{name} did not refresh its session of {seconds} s")
        };
        edge.decide(now, self.key, text.clone());
        self.session_lost(now, edge, leg, text);
    }

    /// A far end is not there any more. One that has transferred its side, and is none of the two, leaves alone.
    fn session_lost(&mut self, now: Instant, edge: &mut Edge, leg: LegId, proof: String) {
        if self.legs.is_side(leg) {
            self.story.proof = Some((ReasonSlug::SessionExpired, proof.into()));
            return self.end(now, edge, ReasonSlug::SessionExpired);
        }
        self.legs[leg].end_with(ReasonSlug::SessionExpired, EndedBy::Edge);
        self.hang_up_leg(now, edge, leg, ReasonSlug::SessionExpired);
        self.referrer_left(now, edge, leg);
        self.arm_sessions(now, edge);
    }

    /// Sends UPDATE without a description where the far end takes it; else a re-INVITE with ours as it is in force, with
    /// the version that it has (RFC 4028 §7.4): nothing but the interval is new.
    fn refresh(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        let client = self.ask_to_refresh(now, edge, leg);
        let timer = &mut self.legs[leg].timer;
        timer.refresh = client;
        if let Some(agreed) = &mut timer.agreed {
            // What is under way in its dialog may be over soon, and may be a refresh itself.
            let again = now + Duration::from_secs(REFRESH_RETRY_SECONDS);
            agreed.refresh = client.is_none().then_some(again);
        }
    }

    fn ask_to_refresh(&mut self, now: Instant, edge: &mut Edge, leg: LegId) -> Option<ClientId> {
        if self.negotiation.late == Some(leg) || self.is_leaving(leg) {
            return None;
        }
        if self.negotiation.renegotiation.as_ref().is_some_and(|r| r.way.to == leg || r.way.from == leg) {
            return None;
        }
        let at = self.legs.place(leg);
        let side = &mut self.legs[leg];
        let (dialog, headers) = (side.dialog?, side.session_headers());
        if side.takes_update {
            return edge.request(now, at, dialog, Purpose::RefreshByUpdate, headers, None);
        }
        let ours = side.ours.as_ref().and_then(Written::read)?;
        let body = Body::sdp(side.stamp(ours).to_string());
        edge.request(now, at, dialog, Purpose::Refresh, headers, Some(body))
    }

    /// What came of a refresh of ours; no code: nothing.
    pub(crate) fn refresh_answered(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        (leg, client): (LegId, ClientId),
        code: Option<u16>,
        (dialog, sdp): (Option<DialogId>, Option<Bytes>),
        answered: Option<SessionExpires>,
    ) {
        let is_taken = code.is_some_and(|code| (200..300).contains(&code));
        if let Some(dialog) = dialog.filter(|_| is_taken) {
            edge.ack(now, dialog);
        }
        let is_ours = self.legs[leg].timer.refresh.take_if(|open| *open == client).is_some();
        if !is_ours || self.state == State::Ended {
            return;
        }
        match code {
            Some(_) if is_taken => {
                self.session_taken(now, edge, leg, answered);
                self.take_refreshed(now, edge, leg, sdp);
            }
            // RFC 4028 §7.4.
            Some(408 | 481) | None => {
                let name = self.legs.name_of(leg);
                let what = code.map_or_else(|| "did not answer".to_owned(), |code| format!("answered {code} to"));
                let text = format!("{name} {what} our refresh");
                edge.decide(now, self.key, text.clone());
                self.session_lost(now, edge, leg, text);
            }
            Some(405 | 501) if self.legs[leg].takes_update => {
                self.legs[leg].takes_update = false;
                self.refresh(now, edge, leg);
                self.arm_sessions(now, edge);
            }
            Some(code) => self.refresh_refused(now, edge, leg, code),
        }
    }

    /// It is tried again, until the session is over.
    fn refresh_refused(&mut self, now: Instant, edge: &mut Edge, leg: LegId, code: u16) {
        let Some(expires) = self.legs[leg].timer.agreed.map(|agreed| agreed.expires) else { return };
        let wait = if code == 491 {
            glare_wait(edge, &self.legs[leg])
        } else {
            let half = expires.saturating_duration_since(now) / 2;
            half.max(Duration::from_secs(REFRESH_RETRY_SECONDS))
        };
        if let Some(agreed) = &mut self.legs[leg].timer.agreed {
            agreed.refresh = Some(now + wait);
        }
        self.arm_sessions(now, edge);
    }

    /// The description that came with it, where that is another one than before.
    fn take_refreshed(&mut self, now: Instant, edge: &mut Edge, leg: LegId, sdp: Option<Bytes>) {
        let Some(sdp) = sdp.filter(|_| self.legs.is_side(leg)) else { return };
        let read = Description::parse(&sdp).ok().map(|description| Written::new(&description));
        let is_new = match (&read, &self.legs[leg].theirs) {
            (Some(now), Some(before)) => before.has_other_origin(now),
            (None, _) | (_, None) => true,
        };
        if is_new {
            self.take_late_answer(now, edge, leg, Some(sdp), false);
        }
    }
}
