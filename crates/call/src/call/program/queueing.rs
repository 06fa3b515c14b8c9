//! A caller in a queue, or one that has dialled it: the audio, and the connection with the other call.
//!
//! Two calls are connected by a mixer with two seats, like parties of a conference: each keeps its own legs, program
//! and media session, and continues with its document when the other leaves.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_conference::{ConferenceId, NodeCommand, ParticipantId, ParticipantRole};
use trunkgate_resources::conferences::queues::{QueueEntry, QueueEvent, QueueRefusal, Queues};
use trunkgate_resources::io::GatewayOutput;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::CallKey;
use trunkgate_twiml::{
    BackgroundAudio, DialQueueStep, DialResult, DialStatus, EnqueueStep, FetchPurpose, ProgramInput, ProgramStep,
    QueueOutcome, QueueResult, RequestParameter,
};

use crate::call::media::CallMedia;
use crate::call::media::mixer::{CallerMixerEnd, NO_AUDIO_TO_CALLER};
use crate::call::program::ProgramRun;
use crate::call::program::effects::ProgramEffect;
use crate::call::shared::CallCx;
use crate::call::words::webhooks;

/// Queue membership of a program's caller: it waits in a queue, or has dialled one; at most one at a time.
#[derive(Debug, Default)]
pub(crate) struct CallerQueue {
    place: Option<Box<QueuePlace>>,
}

/// The caller's place in a queue.
#[derive(Debug)]
struct QueuePlace {
    /// Step of the program by which the caller waits or dials, carried out again after a restart.
    step: ProgramStep,
    /// Id of the step by which the caller waits or dials.
    id: u32,
    part: QueueRole,
    connected: Option<QueueConnection>,
}

/// Role of a call in a queue.
#[derive(Debug, Clone)]
enum QueueRole {
    /// The call waits, and hears this audio meanwhile.
    Waits(BackgroundAudio),
    /// The call takes a queued caller out of the queue. `limit` is the maximum time of the connection, zero for none.
    /// `is_late` is true if the wait for a caller has timed out.
    Dials { limit: Duration, is_late: bool },
}

/// Connection with another call.
#[derive(Debug)]
struct QueueConnection {
    since: Instant,
    /// SID of the other call.
    with: String,
    /// SID of the queue, and the caller's time in it.
    was_in: Option<(String, Duration)>,
}

/// A queue position in plain data, which the restored call takes again. The time for which two calls were connected is
/// omitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct QueueReturn {
    step: ProgramStep,
    waited: Duration,
    /// SID of the call with which this call was connected.
    with: Option<String>,
}

impl CallerQueue {
    /// Returns whether the caller is in a queue or has dialled one.
    pub(crate) fn has_place(&self) -> bool {
        self.place.is_some()
    }

    /// Returns the queue position that a restart keeps.
    pub(crate) fn snapshot(&self, now: Instant, key: CallKey, queues: &Queues) -> Option<QueueReturn> {
        let step = self.place.as_ref()?.step.clone();
        let waited = queues.standing(now, key).map(|standing| standing.waited).unwrap_or_default();
        Some(QueueReturn { step, waited, with: queues.connected_with(key).map(str::to_owned) })
    }

    /// Puts the caller into a queue.
    pub(crate) fn enqueue(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &mut ProgramRun,
        step: EnqueueStep,
    ) -> ProgramEffect {
        self.enter(cx, media, run, (step, Duration::ZERO, None))
    }

    /// Makes the caller wait for the first call of a queue.
    pub(crate) fn dial(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &mut ProgramRun,
        step: DialQueueStep,
    ) -> ProgramEffect {
        self.wait(cx, media, run, (step, None))
    }

    /// Restores the queue position from before a restart.
    pub(crate) fn resume(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &mut ProgramRun,
        back: QueueReturn,
    ) -> ProgramEffect {
        let QueueReturn { step, waited, with } = back;
        if let ProgramStep::Enqueue(step) = step {
            self.enter(cx, media, run, (step, waited, with))
        } else if let ProgramStep::DialQueue(step) = step {
            self.wait(cx, media, run, (step, with))
        } else {
            ProgramEffect::Stay
        }
    }

    fn enter(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &mut ProgramRun,
        (step, waited, with): (EnqueueStep, Duration, Option<String>),
    ) -> ProgramEffect {
        let EnqueueStep { id, name, most, wait } = step.clone();
        let entering = entering(cx, waited, with);
        let entered = match media.spoken_end(cx.call) {
            None => Err(None),
            Some(_) => cx.edge.enqueue(cx.now, (&name, most), entering).map_err(Some),
        };
        if let Err(why) = entered {
            let words = why.map_or(NO_AUDIO_TO_CALLER, QueueRefusal::words);
            cx.edge.decide(cx.now, cx.call.key, format!("queue {name}: not entered: {words}"));
            let result = QueueResult { outcome: outcome_of(why), was_in: None };
            return run.end_step(cx.now, ProgramInput::QueueLeft { id, result });
        }
        note(cx, &name, "waits in");
        let (step, part) = (ProgramStep::Enqueue(step), QueueRole::Waits(wait.clone()));
        self.place = Some(Box::new(QueuePlace { step, id, part, connected: None }));
        run.under_way = None;
        media.talk_to_caller(cx);
        match cx.edge.sessions().queues.is_waiting(cx.call.key) {
            true => run.take_input(cx.now, ProgramInput::Background { id, background: Some(wait) }),
            false => ProgramEffect::Stay,
        }
    }

    fn wait(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &mut ProgramRun,
        (step, with): (DialQueueStep, Option<String>),
    ) -> ProgramEffect {
        let DialQueueStep { id, name, prelude, timeout, time_limit } = step.clone();
        let prelude =
            prelude.and_then(|(location, method)| Some((webhooks::place(&location)?, webhooks::method(method))));
        let entering = entering(cx, Duration::ZERO, with);
        let dialled = match media.spoken_end(cx.call) {
            None => Err(NO_AUDIO_TO_CALLER),
            Some(_) => {
                let queues = &mut cx.edge.sessions_mut().queues;
                queues.dial(cx.now, &name, prelude, entering).map_err(QueueRefusal::words)
            }
        };
        if let Err(why) = dialled {
            cx.edge.decide(cx.now, cx.call.key, format!("queue {name}: not dialled: {why}"));
            let result = DialResult::unanswered(DialStatus::Failed);
            return run.end_step(cx.now, ProgramInput::DialEnded { id, result });
        }
        cx.edge.decide(cx.now, cx.call.key, format!("dials queue {name}"));
        let (step, part) = (ProgramStep::DialQueue(step), QueueRole::Dials { limit: time_limit, is_late: false });
        self.place = Some(Box::new(QueuePlace { step, id, part, connected: None }));
        run.under_way = None;
        cx.arm(CallTimer::Queued, timeout);
        media.ring_to_caller(cx);
        ProgramEffect::Stay
    }

    /// Handles an event of the queue.
    pub(crate) fn take_news(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &mut ProgramRun,
        news: QueueEvent,
    ) -> ProgramEffect {
        let Some(place) = &self.place else { return ProgramEffect::Stay };
        let id = place.id;
        match news {
            QueueEvent::Taken((place, method)) => {
                let (location, method) = (webhooks::location(place), webhooks::method_of(method));
                run.take_input(cx.now, ProgramInput::Prelude { id, location, method })
            }
            QueueEvent::WaitsAgain => match &place.part {
                QueueRole::Waits(wait) => {
                    run.take_input(cx.now, ProgramInput::Background { id, background: Some(wait.clone()) })
                }
                QueueRole::Dials { .. } => ProgramEffect::Stay,
            },
            QueueEvent::DialsAgain => match &place.part {
                QueueRole::Dials { is_late: true, .. } => self.timed_out(cx, media, run),
                QueueRole::Dials { .. } | QueueRole::Waits(_) => ProgramEffect::Stay,
            },
            QueueEvent::Connected { conference, seat, with } => self.connect(cx, media, run, (conference, seat, with)),
            QueueEvent::Parted => {
                let ended = self.ended(cx, media, None);
                inform(cx, media, run, ended)
            }
            QueueEvent::Deleted => {
                cx.edge.decide(cx.now, cx.call.key, "the queue that it has dialled is deleted");
                let ended = self.ended(cx, media, Some(DialStatus::Failed));
                inform(cx, media, run, ended)
            }
        }
    }

    /// Connects the caller and the other call.
    fn connect(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &mut ProgramRun,
        (conference, seat, with): (ConferenceId, ParticipantId, String),
    ) -> ProgramEffect {
        let standing = cx.edge.sessions().queues.standing(cx.now, cx.call.key);
        let was_in = standing.map(|standing| (standing.sid, standing.waited));
        if let Err(why) = CallerMixerEnd::take(media, cx, conference, seat) {
            cx.edge.decide(cx.now, cx.call.key, format!("queue: not connected: {why}"));
            return self.leave(cx, media, run, QueueOutcome::SystemError);
        }
        let part = NodeCommand::Part { seat, part: ParticipantRole::Speaker };
        cx.edge.output(GatewayOutput::Conference(Box::new(part)));
        let Some(place) = &mut self.place else { return ProgramEffect::Stay };
        let (id, text) = (place.id, format!("connected with call {with} by a queue"));
        place.connected = Some(QueueConnection { since: cx.now, with, was_in });
        let limit = match place.part {
            QueueRole::Waits(_) => None,
            QueueRole::Dials { limit, .. } => Some(limit),
        };
        cx.edge.decide(cx.now, cx.call.key, text.clone());
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, text, None);
        media.stop_playing_to_caller(cx);
        let Some(limit) = limit else {
            return run.take_input(cx.now, ProgramInput::Background { id, background: None });
        };
        cx.disarm(CallTimer::Queued);
        if !limit.is_zero() {
            cx.arm(CallTimer::Queued, limit);
        }
        run.end_step(cx.now, ProgramInput::DialAnswered { id })
    }

    /// Removes the caller from the queue at the program's request.
    pub(crate) fn leave(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &mut ProgramRun,
        why: QueueOutcome,
    ) -> ProgramEffect {
        let left = self.left(cx, media, why);
        inform(cx, media, run, left)
    }

    /// Handles the end of the wait or of the connection of a party that has dialled a queue.
    pub(crate) fn due(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, run: &mut ProgramRun) -> ProgramEffect {
        let Some(place) = &mut self.place else { return ProgramEffect::Stay };
        if place.connected.is_some() {
            cx.edge.decide(cx.now, cx.call.key, "Dial: timeLimit has passed");
            return self.leave(cx, media, run, QueueOutcome::Bridged);
        }
        if cx.edge.sessions().queues.is_waiting(cx.call.key) {
            return self.timed_out(cx, media, run);
        }
        // A queued caller is reserved for this party, but not connected yet.
        if let QueueRole::Dials { is_late, .. } = &mut place.part {
            *is_late = true;
        }
        ProgramEffect::Stay
    }

    fn timed_out(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, run: &mut ProgramRun) -> ProgramEffect {
        cx.edge.sessions_mut().queues.leave(cx.now, cx.call.key);
        let ended = self.ended(cx, media, Some(DialStatus::NoAnswer));
        inform(cx, media, run, ended)
    }

    /// Leaves the queue because the call is over. Returns the report for its program. `None` if it is in no queue.
    pub(crate) fn hung_up(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) -> Option<ProgramInput> {
        self.left(cx, media, QueueOutcome::Hangup)
    }

    /// Removes the call from its queue. `why` is the outcome if it was not connected.
    fn left(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, why: QueueOutcome) -> Option<ProgramInput> {
        let place = self.place.as_ref()?;
        let (id, is_connected, waits) =
            (place.id, place.connected.is_some(), matches!(place.part, QueueRole::Waits(_)));
        let standing = cx.edge.sessions().queues.standing(cx.now, cx.call.key);
        cx.edge.sessions_mut().queues.leave(cx.now, cx.call.key);
        if !waits || (is_connected && why != QueueOutcome::Redirected) {
            return self.ended(cx, media, None);
        }
        let outcome = if is_connected { QueueOutcome::RedirectedFromBridged } else { why };
        let was_in = standing.map(|standing| (standing.sid, standing.waited));
        self.stand_up(cx, media)?;
        Some(ProgramInput::QueueLeft { id, result: QueueResult { outcome, was_in } })
    }

    /// Returns the report of a queue place that has ended. `status` is the status of a Dial that the connection does
    /// not determine. `None` if there is none.
    fn ended(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        status: Option<DialStatus>,
    ) -> Option<ProgramInput> {
        let QueuePlace { id, part, connected, .. } = self.stand_up(cx, media)?;
        let was_in = connected.as_ref().and_then(|connected| connected.was_in.clone());
        Some(match part {
            QueueRole::Waits(_) => {
                ProgramInput::QueueLeft { id, result: QueueResult { outcome: QueueOutcome::Bridged, was_in } }
            }
            QueueRole::Dials { .. } => {
                let known = if connected.is_some() { DialStatus::Completed } else { DialStatus::Canceled };
                let result = DialResult {
                    sid: connected.as_ref().map(|connected| connected.with.clone()),
                    duration: connected.as_ref().map(|one| cx.now.saturating_duration_since(one.since)),
                    bridged: connected.is_some(),
                    ..DialResult::unanswered(status.unwrap_or(known))
                };
                ProgramInput::DialEnded { id, result }
            }
        })
    }

    /// Removes the queue place, and the caller's media end at the mixer.
    fn stand_up(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) -> Option<QueuePlace> {
        let place = *self.place.take()?;
        cx.disarm(CallTimer::Queued);
        if place.connected.is_some() {
            CallerMixerEnd::leave(media, cx);
        }
        Some(place)
    }
}

/// Reports to the program that the queue place has ended.
fn inform(
    cx: &mut CallCx<'_>,
    media: &mut CallMedia,
    run: &mut ProgramRun,
    left: Option<ProgramInput>,
) -> ProgramEffect {
    let Some(left) = left else { return ProgramEffect::Stay };
    cx.edge.decide(cx.now, cx.call.key, "left the queue");
    media.stop_playing_to_caller(cx);
    run.end_step(cx.now, left)
}

/// Returns the outcome of an Enqueue that a queue has refused.
const fn outcome_of(why: Option<QueueRefusal>) -> QueueOutcome {
    match why {
        Some(QueueRefusal::Full) => QueueOutcome::QueueFull,
        Some(QueueRefusal::BadName) => QueueOutcome::Error,
        None
        | Some(
            QueueRefusal::TooMany
            | QueueRefusal::NameTaken
            | QueueRefusal::Unknown
            | QueueRefusal::NotEmpty
            | QueueRefusal::AlreadyIn,
        ) => QueueOutcome::SystemError,
    }
}

fn entering(cx: &CallCx<'_>, waited: Duration, with: Option<String>) -> QueueEntry {
    let call_sid = cx.call.legs.sid().to_owned();
    QueueEntry { key: cx.call.key, call_sid, date: cx.edge.date(cx.now), waited, with }
}

/// Notes a change of a queue position in the trace. The log names the queue by SID only, because its name may be a
/// number.
fn note(cx: &mut CallCx<'_>, name: &str, what: &str) {
    let standing = cx.edge.sessions().queues.standing(cx.now, cx.call.key);
    let sid = standing.map(|standing| standing.sid).unwrap_or_default();
    cx.edge.decide(cx.now, cx.call.key, format!("{what} queue {name} ({sid})"));
    let call = cx.call.legs.sid().to_owned();
    cx.edge.log(&call, format!("{what} queue {sid}"), None);
}

/// Returns the request parameters for the caller's queue.
pub(crate) fn parameters_of(cx: &CallCx<'_>, purpose: FetchPurpose) -> Vec<RequestParameter> {
    if !matches!(purpose, FetchPurpose::QueueWait | FetchPurpose::Dequeue) {
        return Vec::new();
    }
    let Some(standing) = cx.edge.sessions().queues.standing(cx.now, cx.call.key) else { return Vec::new() };
    let seconds = |time: Duration| time.as_secs().to_string();
    let mut all = vec![
        RequestParameter::new("QueueSid", standing.sid),
        RequestParameter::new("QueueTime", seconds(standing.waited)),
    ];
    if purpose == FetchPurpose::Dequeue {
        all.extend(standing.by.map(|by| RequestParameter::new("DequeingCallSid", by)));
        return all;
    }
    all.extend(standing.position.map(|position| RequestParameter::new("QueuePosition", position.to_string())));
    all.push(RequestParameter::new("AvgQueueTime", seconds(standing.average)));
    all.push(RequestParameter::new("CurrentQueueSize", standing.size.to_string()));
    all.push(RequestParameter::new("MaxQueueSize", standing.most.to_string()));
    all
}
