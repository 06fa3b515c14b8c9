//! State shared by the parts of a call, and the context in which they act.

pub(crate) mod agents;
pub(crate) mod caller_id;
pub(crate) mod cx;
pub(crate) mod flaws;
pub(crate) mod listeners;
pub(crate) mod logged;
pub(crate) mod story;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use trunkgate_media::{EndId, MediaId};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::REQUESTED_PACE_SECONDS;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_resources::lookups::rewrite;
use trunkgate_route::{CallTarget, HoldMode, Number, SendNumbers, TransferTarget};
use trunkgate_sdp::{AgreedStream, MediaDirection, SessionDescription};
use trunkgate_sip::ServerId;
use trunkgate_story::few::SmallMap;
use trunkgate_story::numbers::Caller;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::{CallView, LegView, RecordingView, status_of_unanswered};
use trunkgate_story::wall::{ClockStep, millis, of_unix_ms, unix_ms};

use crate::call::legs::caller_id::Hops;
use crate::call::legs::headers::{CallerIdentity, RelayedHeaders};
use crate::call::legs::leg::LegState;
use crate::call::legs::list::Legs;
use crate::call::legs::location::CallerLocation;
use crate::call::legs::requested::RequestOrigin;
use crate::call::shared::listeners::CallerListeners;
use crate::call::shared::story::CallNotes;
use crate::call::words::answer::FinalAnswer;
use crate::call::words::incoming::MAX_FORWARDS;
use crate::call::words::refer::ActiveReferral;
use crate::call::words::state::CallState;
use crate::call::words::uri::number_of_uri;

/// State that every part of a call uses.
#[derive(Debug)]
pub(crate) struct SharedCallState {
    /// Key of the call in the edge.
    pub(crate) key: CallKey,
    /// State of the call.
    pub(crate) state: CallState,
    /// Facts from the INVITE and the route.
    pub(crate) facts: CallFacts,
    /// Times of the call's events.
    pub(crate) times: CallTimes,
    /// Running timers, with the times of their entries among all deadlines.
    pub(crate) deadlines: SmallMap<CallTimer, Instant>,
    /// Outcome of the call, once it has ended.
    pub(crate) ending: Option<CallOutcome>,
    /// Origin of a call that an HTTP request has begun.
    pub(crate) origin: Option<Box<RequestOrigin>>,
    /// Legs of the call.
    pub(crate) legs: Legs,
    /// Media session at a worker.
    pub(crate) session: Option<MediaId>,
    /// Media ends that listen to the caller's side.
    pub(crate) listeners: CallerListeners,
    /// Whether an application controls the call.
    pub(crate) is_programmed: bool,
    /// Whether the targets of a requested call wait for the verdict of answering machine detection.
    pub(crate) awaits_verdict: bool,
    /// Notes for records, verdicts and traces that the legs do not contain.
    pub(crate) story: CallNotes,
}

/// Context in which a part of a call acts: the time, the edge, and the shared state.
#[derive(Debug)]
pub(crate) struct CallCx<'a> {
    /// Time of the event.
    pub(crate) now: Instant,
    /// State shared by all calls.
    pub(crate) edge: &'a mut Edge,
    /// State shared by the parts of this call.
    pub(crate) call: &'a mut SharedCallState,
}

/// Next step of the call, returned by a part after its own work. No part ends the call itself.
#[derive(Debug)]
#[must_use]
pub(crate) enum CallEffect {
    /// The call continues.
    Stay,
    /// The answered call ends.
    End(ReasonSlug),
    /// The caller's INVITE is refused.
    Refuse(Box<FinalAnswer>),
    /// The answered call ends: its caller's CANCEL crossed our 2xx.
    Canceled,
    /// The remaining targets are tried, because the caller's media address is known now.
    Search,
    /// The caller's session with the edge is agreed, and the search continues with it.
    CallerSpoke {
        /// Whether the search waited for the caller's description.
        first: bool,
        /// Session description that is sent to the caller as the answer of the edge.
        answer: Option<Box<LocalAnswer>>,
    },
    /// The ringing target has a new session description.
    SaidAgain(Box<SessionDescription>),
    /// A leg that is not a side of the call has left.
    OutsiderLeft(LegId),
    /// The call ends, because its caller sends no ACK; the endpoint has sent this final response.
    Unacknowledged(u16),
}

/// Answer of the edge itself to a change of the caller's session.
#[derive(Debug)]
pub(crate) struct LocalAnswer {
    /// Server transaction of the request.
    pub(crate) server: ServerId,
    /// Our session description.
    pub(crate) ours: SessionDescription,
}

/// Times of a call's events.
#[derive(Debug)]
pub(crate) struct CallTimes {
    /// Monotonic start of the call, for delays.
    pub(crate) began: Instant,
    /// Arrival of the INVITE.
    pub(crate) started: SystemTime,
    /// Time from the INVITE to the first 18x that the edge sent.
    pub(crate) first_ring: Option<Duration>,
    /// Time of the 2xx that the edge sent.
    pub(crate) answered: Option<SystemTime>,
    /// End of the call.
    pub(crate) ended: Option<SystemTime>,
}

/// Times of an answered call as plain data. The monotonic start is omitted: delays count from the restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TimesSnapshot {
    started_ms: u64,
    answered_ms: u64,
    first_ring_ms: Option<u64>,
}

/// Media session of an answered call as plain data: its id, and the ids of its ends. Players, mixers, listeners and
/// recorders are omitted, because their parts add them again; the worker's state has its own snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MediaSessionSnapshot {
    id: MediaId,
    next_end: u16,
    /// RTP ends of legs that are not restored.
    ends_left: Vec<EndId>,
}

impl CallTimes {
    /// Returns the times of an answered call in plain data; `None` before the answer.
    pub(crate) fn snapshot(&self) -> Option<TimesSnapshot> {
        let CallTimes { started, first_ring, answered, began: _, ended: _ } = *self;
        let (started_ms, answered_ms) = (unix_ms(started), unix_ms(answered?));
        Some(TimesSnapshot { started_ms, answered_ms, first_ring_ms: first_ring.map(millis) })
    }

    /// Returns the time from the answer in the snapshot to `date`; zero if `date` is earlier.
    pub(crate) fn since_answer(snapshot: &TimesSnapshot, date: SystemTime) -> Duration {
        date.duration_since(of_unix_ms(snapshot.answered_ms)).unwrap_or_default()
    }

    /// Restores the times; `now` becomes the start from which delays count.
    pub(crate) fn restore(now: Instant, snapshot: TimesSnapshot) -> CallTimes {
        let TimesSnapshot { started_ms, answered_ms, first_ring_ms } = snapshot;
        CallTimes {
            began: now,
            started: of_unix_ms(started_ms),
            first_ring: first_ring_ms.map(Duration::from_millis),
            answered: Some(of_unix_ms(answered_ms)),
            ended: None,
        }
    }
}

impl MediaSessionSnapshot {
    /// Creates the snapshot of a session; `None` if no such session exists. `is_kept` returns whether a restored leg
    /// owns an end.
    pub(crate) fn of(edge: &Edge, id: MediaId, is_kept: impl Fn(EndId) -> bool) -> Option<MediaSessionSnapshot> {
        let (mut ends_left, next_end) = edge.sessions().ends(id)?;
        ends_left.retain(|end| !is_kept(*end));
        Some(MediaSessionSnapshot { id, next_end, ends_left })
    }

    /// Reopens the session, and removes the ends of legs that are not restored. Returns the session's id.
    pub(crate) fn restore(self, edge: &mut Edge, key: CallKey) -> MediaId {
        let MediaSessionSnapshot { id, next_end, ends_left } = self;
        edge.resume_session(id, key, next_end);
        ends_left.into_iter().for_each(|end| edge.remove_end(id, end));
        id
    }
}

/// Outcome of an ended call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallOutcome {
    /// Outcome as in call records, such as `answered` or `busy`.
    pub(crate) outcome: &'static str,
    /// Reason of the end.
    pub(crate) reason: ReasonSlug,
    /// Final response code towards the caller.
    pub(crate) code: u16,
}

impl CallOutcome {
    /// Returns Twilio's status for the outcome of an unanswered call.
    pub(crate) fn status_of_unanswered(&self) -> &'static str {
        status_of_unanswered(Some(self.outcome), Some(self.reason.as_str()), Some(self.code))
    }
}

/// Caller ID that parties are shown instead of the caller's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ShownCallerId {
    pub(crate) number: Arc<Number>,
    /// Whether carriers must not see this caller ID.
    pub(crate) is_private: bool,
    /// Whether this caller ID is the identity of a Voice SDK client.
    pub(crate) is_client: bool,
}

impl ShownCallerId {
    /// Creates a caller ID that every party may see.
    pub(crate) fn public(number: Arc<Number>) -> Box<ShownCallerId> {
        Box::new(ShownCallerId { number, is_private: false, is_client: false })
    }

    /// Returns the caller ID in the form of callbacks and call lists.
    pub(crate) fn name(&self) -> String {
        let scheme = if self.is_client { "client:" } else { "" };
        format!("{scheme}{}", self.number.text)
    }
}

/// Facts from a call's INVITE and its route. Skipped fields are missing from the plain data: they are used only by the
/// search for the first target, or belong to a transfer in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CallFacts {
    /// Calling party.
    pub(crate) caller: Caller,
    /// Called number.
    pub(crate) called: Number,
    /// Whether the called user is not a callable number or name (484).
    #[serde(skip)]
    pub(crate) is_incomplete: bool,
    /// Parameters of the called number that the trunk is trusted to set: `;npdi;rn=+14155550199`.
    #[serde(skip)]
    pub(crate) number_parameters: Box<str>,
    /// Headers of the INVITE that may be passed on, or that agents receive.
    pub(crate) headers: RelayedHeaders,
    /// Location of the caller, from the INVITE.
    pub(crate) locations: Box<[CallerLocation]>,
    /// Identity headers of the caller, from the INVITE.
    pub(crate) identity: CallerIdentity,
    /// Max-Forwards of the edge's requests for this call.
    pub(crate) max_forwards: u8,
    /// Edges that the call has passed.
    #[serde(skip)]
    pub(crate) hops: Hops,
    /// Name of the route; empty before it is known.
    pub(crate) route: Arc<str>,
    /// `ring_timeout` of the route.
    pub(crate) ring_timeout: Option<Duration>,
    /// Caller ID of the route or of a document that replaces the caller's; boxed, since few calls have one.
    pub(crate) shown_as: Option<Box<ShownCallerId>>,
    /// Whether the caller's CANCEL gives an answer elsewhere as its reason; the edge's CANCELs then do so too.
    #[serde(skip)]
    pub(crate) answered_elsewhere: bool,
    /// Transfer in progress: the called party, and the leg of the transferor.
    #[serde(skip)]
    pub(crate) referral: Option<Box<ActiveReferral>>,
    /// Whether the route requires a recording that has not begun.
    #[serde(skip)]
    pub(crate) record: bool,
    /// Parties that have not heard the announcement of the route's recording.
    #[serde(skip)]
    pub(crate) unannounced: UnannouncedParties,
}

/// Parties that have not heard that the call is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum UnannouncedParties {
    /// No party: all have heard the announcement, or there is none.
    #[default]
    None,
    /// Only the called party.
    Callee,
    /// Both parties.
    Both,
}

impl CallFacts {
    /// Returns the facts of a call that no INVITE to the edge has begun.
    pub(crate) fn of_request(caller: Number, called: Number, route: Arc<str>) -> CallFacts {
        CallFacts {
            caller: Caller { number: caller, display: String::new(), anonymous: false },
            called,
            is_incomplete: false,
            number_parameters: Box::default(),
            headers: RelayedHeaders::new(),
            locations: Box::default(),
            identity: CallerIdentity::default(),
            max_forwards: MAX_FORWARDS,
            hops: Hops::default(),
            route,
            ring_timeout: None,
            shown_as: None,
            answered_elsewhere: false,
            referral: None,
            record: false,
            unannounced: UnannouncedParties::None,
        }
    }

    /// Counts a transfer as a hop, so that a loop through transfers ends.
    pub(crate) const fn spend_hop(&mut self) {
        self.max_forwards = self.max_forwards.saturating_sub(1);
    }
}

impl SharedCallState {
    /// Changes the state of the call, and returns the previous one.
    pub(crate) fn enter(&mut self, state: CallState) -> CallState {
        debug_assert!(self.state.may_become(state), "{:?} does not become {state:?}", self.state);
        std::mem::replace(&mut self.state, state)
    }

    /// Returns the SID of a party's call, as used in requests to applications: for the party of a requested call, the
    /// SID of the call itself.
    pub(crate) fn called_sid(&self, leg: LegId) -> &str {
        if self.is_requested_party(leg) { self.legs.sid() } else { &self.legs[leg].sid }
    }

    /// Returns whether a leg is that of the party of a requested call.
    pub(crate) fn is_requested_party(&self, leg: LegId) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.party() == Some(leg))
    }

    /// Returns whether an HTTP request has begun the call.
    pub(crate) fn is_requested(&self) -> bool {
        self.origin.is_some()
    }

    /// Returns whether a leg leads to the party of a requested call: all legs do that were called before its answer.
    pub(crate) fn leads_to_party(&self, leg: LegId) -> bool {
        let Some(origin) = &self.origin else { return false };
        leg != LegId::CALLER && origin.party().is_none_or(|party| leg <= party)
    }

    /// Returns the time from answer to end, in seconds; `None` if the call was not answered or has not ended.
    pub(crate) fn talked_seconds(&self) -> Option<f64> {
        let (answered, ended) = (self.times.answered?, self.times.ended?);
        Some(ended.duration_since(answered).unwrap_or_default().as_secs_f64())
    }

    /// Returns the view of the call, without its recording sessions.
    pub(crate) fn view(&self, recordings: Vec<RecordingView>) -> CallView {
        let time = |at: Option<SystemTime>| at.map(trunkgate_story::wall::rfc3339);
        CallView {
            sid: self.legs.sid().to_owned(),
            state: self.shown_state(),
            outcome: self.ending.map(|e| e.outcome).or(self.times.answered.map(|_| "answered")),
            reason: self.ending.map(|e| e.reason.as_str()),
            sip_code: self.ending.map(|e| e.code).or(self.times.answered.map(|_| 200)),
            app: self.story.app.as_ref().and_then(|app| app.name.as_deref()).map(str::to_owned),
            voicemail: self.story.app.as_ref().and_then(|app| app.mailbox.as_deref()).map(str::to_owned),
            conference: self.story.app.as_ref().and_then(|app| app.conference.as_deref()).cloned(),
            requested: self.is_requested(),
            parent: self.origin.as_ref().and_then(|origin| origin.parent()).map(str::to_owned),
            verstat: self.facts.identity.verstat().map(str::to_owned),
            route: self.facts.route.to_string(),
            flags: self.flags(&recordings),
            from: self.facts.caller.shown(),
            to: self.shown_called(),
            started_at: trunkgate_story::wall::rfc3339(self.times.started),
            answered_at: time(self.times.answered),
            ended_at: time(self.times.ended),
            legs: self
                .legs
                .with_ids()
                .map(|(at, leg)| LegView { to_requested: self.leads_to_party(at), ..leg.view() })
                .collect(),
            recordings,
            passed_over: self.story.passed_over(),
            // Set by the parts that own these fields.
            ..CallView::default()
        }
    }

    /// Returns the maximum wait for a slot at a trunk with this `pace`. The wait of a requested call is much longer,
    /// because no caller waits.
    pub(crate) fn patience(&self, pace: Duration) -> Duration {
        let has_caller = self.origin.as_ref().is_none_or(|origin| origin.party().is_some());
        if has_caller { pace } else { pace.max(Duration::from_secs(REQUESTED_PACE_SECONDS)) }
    }

    /// Returns whether the edge handles a hold of one side.
    pub(crate) fn is_held_here(&self) -> bool {
        !self.legs.holds.is_empty()
    }

    /// Returns whether a description starts (`true`) or ends (`false`) a hold that the edge handles. `None`: it
    /// does neither, it also changes the codec or the streams, or the other side takes part in the hold because neither
    /// trunk has `hold = "local"` or no music can be played to it.
    pub(crate) fn local_hold_change(
        &self,
        leg: LegId,
        other: LegId,
        theirs: &SessionDescription,
        streams: &[AgreedStream],
    ) -> Option<bool> {
        let is_known = |at: LegId| {
            let leg = &self.legs[at];
            leg.ends.len() == streams.len() && streams.iter().all(|stream| leg.end(stream.index).is_some())
        };
        let same_codec = streams.first().is_some_and(|first| {
            let (codecs, now) = ([first.codec.as_str(), first.codec_of_answerer()], [leg, other]);
            let now = now.map(|at| self.legs[at].codec.as_str());
            now == codecs || now == [codecs[1], codecs[0]]
        });
        if !(same_codec && is_known(leg) && is_known(other)) {
            return None;
        }
        let directions = || streams.iter().filter_map(|s| Some(theirs.direction_of(theirs.media.get(s.index)?)));
        let involved = self.legs.holds.contains(leg) || self.legs.holds.contains(other);
        if directions().all(|direction| direction == MediaDirection::SendRecv) {
            return involved.then_some(false);
        }
        let local = |at: LegId| self.legs[at].trunk.as_ref().is_some_and(|trunk| trunk.hold == HoldMode::Local);
        let may = involved || local(leg) || local(other);
        let holds = directions().all(|direction| !direction.receives());
        (may && holds && self.legs.playback_wire(other).is_some()).then_some(true)
    }

    /// Returns the last description of a side; `None` if it has sent none. A hold that the edge handles is removed from
    /// it, because the other side is not aware of the hold.
    pub(crate) fn standing(&self, leg: LegId) -> Option<SessionDescription> {
        let mut theirs = self.legs[leg].theirs()?;
        if self.legs.holds.contains(leg) {
            let ours = self.legs[leg].sdp.media_ip;
            theirs.take_off_hold(ours);
        }
        Some(theirs)
    }

    /// Returns whether the edge would notice that the remote parties of an answered call are gone, by missing media or
    /// by the end of a session interval. True in all other states.
    pub(crate) fn is_watched(&self) -> bool {
        let is_heard =
            |leg: LegId| self.legs[leg].ends.iter().filter_map(|end| end.remote.as_ref()).any(|r| r.watch_idle);
        match self.state {
            CallState::Answered if self.is_local() => is_heard(self.legs.near),
            CallState::Answered => self.legs.talking().any(|leg| is_heard(leg) || self.legs[leg].timer.is_agreed()),
            CallState::Searching | CallState::Rerouting | CallState::Leaving | CallState::Ended => true,
        }
    }

    /// Returns whether the call has ended and waits for no response.
    pub(crate) fn is_done(&self) -> bool {
        self.state == CallState::Ended && self.legs.iter().all(|leg| leg.state == LegState::Ended)
    }

    /// Adjusts the dates of a live call to a step of the wall clock.
    pub(crate) fn set_clock(&mut self, step: ClockStep) {
        if self.state != CallState::Ended {
            self.times.started = step.apply_to(self.times.started);
            self.times.answered = self.times.answered.map(|at| step.apply_to(at));
            self.story.series.set_clock(step);
        }
    }

    /// Returns the time since the call began; for a restored call, the time since the restart.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.times.began)
    }

    pub(crate) fn shown_state(&self) -> &'static str {
        match self.state {
            CallState::Searching => match self.legs[LegId::CALLER].state {
                LegState::Ringing => "ringing",
                LegState::Early => "early",
                LegState::Trying | LegState::Answered | LegState::Canceling | LegState::Closing | LegState::Ended => {
                    "trying"
                }
            },
            CallState::Answered if self.is_held() => "held",
            CallState::Answered | CallState::Leaving => "answered",
            CallState::Rerouting if self.is_programmed || self.awaits_verdict || self.legs.answered_by.is_none() => {
                "answered"
            }
            CallState::Rerouting => "transferring",
            CallState::Ended => "ended",
        }
    }

    /// Returns whether the edge handles a hold, or no stream of the caller's side flows both ways. False before any
    /// stream is agreed.
    fn is_held(&self) -> bool {
        if self.is_held_here() {
            return true;
        }
        let mut remotes = self.legs.near_leg().ends.iter().filter_map(|end| end.remote.as_ref()).peekable();
        remotes.peek().is_some() && remotes.all(|r| r.rtp.is_none() || !(r.may_send && r.may_receive))
    }

    /// Returns whether the call is answered and connected; only then does missing media count as a fault.
    pub(crate) fn is_answered(&self) -> bool {
        self.state == CallState::Answered
    }

    /// Returns the user part of the edge's Contact towards the caller: the user that the caller has called.
    pub(crate) fn contact_user(&self) -> String {
        rewrite::escape_user(&self.facts.called.received)
    }

    /// Returns whether an agent that is tried now determines when the caller is answered: the caller has no 2xx, and
    /// neither an HTTP request nor an application controls the call.
    pub(crate) fn is_answered_by_agent(&self) -> bool {
        self.state == CallState::Searching && !self.is_requested() && !self.is_programmed
    }

    /// Returns whether the edge itself is the caller's media peer: for an agent, or during a search after the answer.
    pub(crate) fn is_local(&self) -> bool {
        self.state == CallState::Rerouting || self.legs.callee.is_some_and(|leg| self.legs[leg].agent.is_some())
    }

    /// Returns whether the agent on `leg` may transfer its caller to a target.
    pub(crate) fn may_go(&self, edge: &Edge, leg: LegId, target: &CallTarget) -> bool {
        let Some(side) = &self.legs[leg].agent else { return false };
        let numbers = edge.numbers();
        let ways = |number: &Number, form| {
            let mut ways = numbers.spoken_forms(number, form);
            // A name may contain separators, and be listed with them.
            let named = ways.clone();
            if let Some(first) = ways.first_mut() {
                first.clone_from(&number.text);
            }
            [named, ways]
        };
        match target {
            CallTarget::Trunk { trunk, number, .. } => {
                let number = number.as_deref().map(|number| numbers.normalise_caller(number, None));
                let all = ways(number.as_ref().unwrap_or(&self.facts.called), trunk.send_numbers);
                all.iter().any(|ways| side.agent.may_transfer_to(TransferTarget::Trunk(&trunk.name, ways)))
            }
            CallTarget::Uri { uri, destination, .. } => {
                let Some(number) = number_of_uri(uri, numbers) else { return false };
                let all = ways(&number, SendNumbers::AsIs);
                all.iter().any(|ways| side.agent.may_transfer_to(TransferTarget::Uri(uri, destination, ways)))
            }
            CallTarget::Agent(agent) => side.agent.may_transfer_to(TransferTarget::Agent(&agent.name)),
            CallTarget::App(_) | CallTarget::Reject(_) | CallTarget::RingAll(_) => false,
        }
    }

    /// Returns the number of a leg: the calling number for the caller's leg, else the called number.
    pub(crate) fn number_of(&self, leg: LegId) -> &Number {
        match leg {
            _ if self.is_requested_party(leg) => &self.facts.called,
            LegId::CALLER => &self.facts.caller.number,
            _ => self.legs[leg].number.as_deref().unwrap_or(&self.facts.called),
        }
    }
}
