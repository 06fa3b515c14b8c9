//! A caller in a queue, or one that has dialled it: what it hears, and with whom it is connected.
//!
//! Two calls are connected in front of a mixer with two seats, as parties of a conference are: each keeps its own legs, program and
//! media session, and goes on with its document when the other one leaves.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_conference::{ConferenceId, NodeCommand, SeatId, SeatPart};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::io::Output;
use trunkgate_resources::queues::{Entering, QueueNews, QueueRefusal, Standing};
use trunkgate_twiml::{
    Background, DialQueueStep, DialResult, DialStatus, EnqueueStep, Input, Parameter, Purpose, QueueOutcome,
    QueueResult, Step,
};

use crate::call::Parts;
use crate::call::program::chair::Chair;
use crate::call::program::{Runner, parameters};
use crate::call::shared::Cx;

/// The place of a call in a queue.
#[derive(Debug)]
pub(crate) struct QueuePlace {
    /// Id of the program's step.
    id: u32,
    part: Part,
    connected: Option<Connected>,
}

/// What a call does in a queue.
#[derive(Debug, Clone)]
enum Part {
    /// It waits, and hears this.
    Waits(Background),
    /// It takes a caller out, for this long at most. `is_late`: it has waited for as long as it may.
    Dials { limit: Duration, is_late: bool },
}

/// The call that it is connected with.
#[derive(Debug)]
struct Connected {
    chair: Chair,
    since: Instant,
    /// SID of the other call.
    with: String,
    /// SID of the queue, and the caller's time in it.
    was_in: Option<(String, Duration)>,
}

/// What a restart keeps of a place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct QueueReturn {
    step: Step,
    #[serde(default)]
    waited: Duration,
    /// SID of the call that it was connected with.
    #[serde(default)]
    with: Option<String>,
}

impl QueueReturn {
    /// Returns what is kept of a place now.
    pub(crate) fn at(step: &Step, standing: Option<&Standing>, with: Option<&str>) -> QueueReturn {
        let waited = standing.map(|standing| standing.waited).unwrap_or_default();
        QueueReturn { step: step.clone(), waited, with: with.map(str::to_owned) }
    }
}

impl QueuePlace {
    /// Returns its end before the mixer.
    pub(crate) fn chair(&self) -> Option<&Chair> {
        self.connected.as_ref().map(|connected| &connected.chair)
    }

    /// Returns the same, to be changed.
    pub(crate) fn chair_mut(&mut self) -> Option<&mut Chair> {
        self.connected.as_mut().map(|connected| &mut connected.chair)
    }
}

/// Has the caller of a program enter queues, dial them and leave them.
pub(crate) struct Queueing<'p> {
    parts: &'p mut Parts,
}

impl<'p> Queueing<'p> {
    /// Acts on the program of a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Queueing<'p> {
        Queueing { parts }
    }
}

impl Queueing<'_> {
    /// Puts the caller into a queue. A failure goes to the program.
    pub(crate) fn enqueue(&mut self, cx: &mut Cx<'_>, step: EnqueueStep) {
        self.enter(cx, step, (Duration::ZERO, None));
    }

    /// Has the caller wait for the first one of a queue. A failure goes to the program.
    pub(crate) fn dial(&mut self, cx: &mut Cx<'_>, step: DialQueueStep) {
        self.wait(cx, step, None);
    }

    /// Takes the place again that it had before a restart.
    pub(crate) fn resume(&mut self, cx: &mut Cx<'_>, back: QueueReturn) {
        if let Step::Enqueue(step) = back.step {
            self.enter(cx, step, (back.waited, back.with));
        } else if let Step::DialQueue(step) = back.step {
            self.wait(cx, step, back.with);
        }
    }

    fn enter(&mut self, cx: &mut Cx<'_>, step: EnqueueStep, (waited, with): (Duration, Option<String>)) {
        let EnqueueStep { id, name, most, wait } = step.clone();
        let entering = self.entering(cx, waited, with);
        let random = &mut cx.edge.random;
        let entered = match self.parts.bridge.media.spoken_end(cx.call) {
            None => Err(None),
            Some(_) => {
                let queues = &mut cx.edge.sessions.queues;
                queues.enqueue(cx.now, (&name, most), || random.queue_sid(), entering).map_err(Some)
            }
        };
        if let Err(why) = entered {
            let words = why.map_or("the edge cannot speak to the caller", QueueRefusal::words);
            cx.edge.decide(cx.now, cx.call.key, format!("queue {name}: not entered: {words}"));
            let outcome = match why {
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
            };
            let result = QueueResult { outcome, was_in: None };
            return Runner::of(self.parts).tell_program(cx, Input::QueueLeft { id, result });
        }
        self.note(cx, &name, "waits in");
        cx.call.queue = Some(Box::new(QueuePlace { id, part: Part::Waits(wait.clone()), connected: None }));
        self.keep(Some(Step::Enqueue(step)));
        self.parts.bridge.media.talk_to_caller(cx);
        if cx.edge.sessions.queues.is_waiting(cx.call.key) {
            Runner::of(self.parts).inform_program(cx, Input::Background { id, background: Some(wait) });
        }
    }

    fn wait(&mut self, cx: &mut Cx<'_>, step: DialQueueStep, with: Option<String>) {
        let DialQueueStep { id, name, prelude, timeout, time_limit } = step.clone();
        let prelude =
            prelude.and_then(|(location, method)| Some((parameters::place(&location)?, parameters::method(method))));
        let entering = self.entering(cx, Duration::ZERO, with);
        let dialled = match self.parts.bridge.media.spoken_end(cx.call) {
            None => Err("the edge cannot speak to the caller"),
            Some(_) => {
                let queues = &mut cx.edge.sessions.queues;
                queues.dial(cx.now, &name, prelude, entering).map_err(QueueRefusal::words)
            }
        };
        if let Err(why) = dialled {
            cx.edge.decide(cx.now, cx.call.key, format!("queue {name}: not dialled: {why}"));
            let result = DialResult::unanswered(DialStatus::Failed);
            return Runner::of(self.parts).tell_program(cx, Input::DialEnded { id, result });
        }
        cx.edge.decide(cx.now, cx.call.key, format!("dials queue {name}"));
        let part = Part::Dials { limit: time_limit, is_late: false };
        cx.call.queue = Some(Box::new(QueuePlace { id, part, connected: None }));
        self.keep(Some(Step::DialQueue(step)));
        cx.arm(Timer::Queued, timeout);
        self.parts.bridge.media.ring_to_caller(cx);
    }

    fn entering(&self, cx: &Cx<'_>, waited: Duration, with: Option<String>) -> Entering {
        let call_sid = cx.call.legs.sid().to_owned();
        Entering { key: cx.call.key, call_sid, date: cx.edge.date(cx.now), waited, with }
    }

    /// Takes news of the queue.
    pub(crate) fn take(&mut self, cx: &mut Cx<'_>, news: QueueNews) {
        let Some(place) = &mut cx.call.queue else { return };
        let id = place.id;
        match news {
            QueueNews::Taken((place, method)) => {
                let (location, method) = (parameters::location(place), parameters::method_of(method));
                Runner::of(self.parts).inform_program(cx, Input::Prelude { id, location, method });
            }
            QueueNews::WaitsAgain => {
                if let Part::Waits(wait) = &place.part {
                    let background = Some(wait.clone());
                    Runner::of(self.parts).inform_program(cx, Input::Background { id, background });
                }
            }
            QueueNews::DialsAgain => {
                if matches!(place.part, Part::Dials { is_late: true, .. }) {
                    self.timed_out(cx);
                }
            }
            QueueNews::Connected { conference, seat, with } => self.connect(cx, (conference, seat), with),
            QueueNews::Parted => {
                let ended = self.ended(cx, None);
                self.tell(cx, ended);
            }
            QueueNews::Deleted => {
                cx.edge.decide(cx.now, cx.call.key, "the queue that it has dialled is deleted");
                let ended = self.ended(cx, Some(DialStatus::Failed));
                self.tell(cx, ended);
            }
        }
    }

    /// Lets the caller and the other call hear each other.
    fn connect(&mut self, cx: &mut Cx<'_>, (conference, seat): (ConferenceId, SeatId), with: String) {
        let standing = cx.edge.sessions.queues.standing(cx.now, cx.call.key);
        let was_in = standing.map(|standing| (standing.sid, standing.waited));
        let chair = match Chair::take(self.parts, cx, conference, seat) {
            Ok(chair) => chair,
            Err(why) => {
                cx.edge.decide(cx.now, cx.call.key, format!("queue: not connected: {why}"));
                return self.leave(cx, QueueOutcome::SystemError);
            }
        };
        let part = NodeCommand::Part { seat, part: SeatPart::Speaker };
        cx.edge.turn.outputs.push_back(Output::Conference(Box::new(part)));
        let Some(place) = &mut cx.call.queue else { return };
        let (id, text) = (place.id, format!("connected with call {with} by a queue"));
        place.connected = Some(Connected { chair, since: cx.now, with, was_in });
        let limit = match place.part {
            Part::Waits(_) => None,
            Part::Dials { limit, .. } => Some(limit),
        };
        cx.edge.decide(cx.now, cx.call.key, text.clone());
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, text, None);
        self.parts.bridge.media.stop_playing_to_caller(cx);
        let Some(limit) = limit else {
            return Runner::of(self.parts).inform_program(cx, Input::Background { id, background: None });
        };
        cx.disarm(Timer::Queued);
        if !limit.is_zero() {
            cx.arm(Timer::Queued, limit);
        }
        Runner::of(self.parts).tell_program(cx, Input::DialAnswered { id });
    }

    /// Notes that a queued caller has heard the document of the party that has taken it.
    pub(crate) fn ready(&self, cx: &mut Cx<'_>) {
        cx.edge.sessions.queues.ready(cx.call.key);
    }

    /// Has the caller leave because the program says so.
    pub(crate) fn leave(&mut self, cx: &mut Cx<'_>, why: QueueOutcome) {
        let left = self.left(cx, why);
        self.tell(cx, left);
    }

    /// A party that has dialled a queue has waited or been connected for as long as it may.
    pub(crate) fn due(&mut self, cx: &mut Cx<'_>) {
        cx.call.deadlines.remove(Timer::Queued);
        let Some(place) = &mut cx.call.queue else { return };
        if place.connected.is_some() {
            cx.edge.decide(cx.now, cx.call.key, "Dial: timeLimit has passed");
            return self.leave(cx, QueueOutcome::Bridged);
        }
        if cx.edge.sessions.queues.is_waiting(cx.call.key) {
            return self.timed_out(cx);
        }
        // It has a caller that is not connected yet.
        if let Part::Dials { is_late, .. } = &mut place.part {
            *is_late = true;
        }
    }

    fn timed_out(&mut self, cx: &mut Cx<'_>) {
        cx.edge.sessions.queues.leave(cx.now, cx.call.key);
        let ended = self.ended(cx, Some(DialStatus::NoAnswer));
        self.tell(cx, ended);
    }

    /// The call is over: it leaves. Returns the report for its program.
    pub(crate) fn hung_up(&mut self, cx: &mut Cx<'_>) -> Option<Input> {
        self.left(cx, QueueOutcome::Hangup)
    }

    /// Takes the call out of its queue. `why`: the outcome, where it was not connected.
    fn left(&mut self, cx: &mut Cx<'_>, why: QueueOutcome) -> Option<Input> {
        let place = cx.call.queue.as_mut()?;
        let (id, is_connected, waits) = (place.id, place.connected.is_some(), matches!(place.part, Part::Waits(_)));
        let standing = cx.edge.sessions.queues.standing(cx.now, cx.call.key);
        cx.edge.sessions.queues.leave(cx.now, cx.call.key);
        if !waits || (is_connected && why != QueueOutcome::Redirected) {
            return self.ended(cx, None);
        }
        let outcome = if is_connected { QueueOutcome::RedirectedFromBridged } else { why };
        let was_in = standing.map(|standing| (standing.sid, standing.waited));
        self.stand_up(cx)?;
        Some(Input::QueueLeft { id, result: QueueResult { outcome, was_in } })
    }

    /// Returns the report of a place that is no longer. `status`: that of a Dial, where it is not known from the connection.
    fn ended(&mut self, cx: &mut Cx<'_>, status: Option<DialStatus>) -> Option<Input> {
        let QueuePlace { id, part, .. } = cx.call.queue.as_deref()?;
        let (id, part) = (*id, part.clone());
        let connected = self.stand_up(cx)?;
        let was_in = connected.as_ref().and_then(|connected| connected.was_in.clone());
        Some(match part {
            Part::Waits(_) => Input::QueueLeft { id, result: QueueResult { outcome: QueueOutcome::Bridged, was_in } },
            Part::Dials { .. } => {
                let known = if connected.is_some() { DialStatus::Completed } else { DialStatus::Canceled };
                let result = DialResult {
                    sid: connected.as_ref().map(|connected| connected.with.clone()),
                    duration: connected.as_ref().map(|one| cx.now.saturating_duration_since(one.since)),
                    bridged: connected.is_some(),
                    ..DialResult::unanswered(status.unwrap_or(known))
                };
                Input::DialEnded { id, result }
            }
        })
    }

    /// Takes the place away. Returns the connection that it had.
    fn stand_up(&mut self, cx: &mut Cx<'_>) -> Option<Option<Connected>> {
        let QueuePlace { connected, .. } = *cx.call.queue.take()?;
        cx.disarm(Timer::Queued);
        self.keep(None);
        if let Some(connected) = &connected {
            connected.chair.leave(self.parts, cx);
        }
        Some(connected)
    }

    /// Tells the program that the place is no longer.
    fn tell(&mut self, cx: &mut Cx<'_>, left: Option<Input>) {
        let Some(left) = left else { return };
        cx.edge.decide(cx.now, cx.call.key, "left the queue");
        self.parts.bridge.media.stop_playing_to_caller(cx);
        Runner::of(self.parts).tell_program(cx, left);
    }

    /// Keeps the step of the place for a restart.
    fn keep(&mut self, step: Option<Step>) {
        if let Some(run) = &mut self.parts.program {
            run.queue = step.map(Box::new);
            run.under_way = None;
        }
    }

    /// Notes a place in the trace, and in the log by the queue's SID alone: its name may be a number.
    fn note(&self, cx: &mut Cx<'_>, name: &str, what: &str) {
        let standing = cx.edge.sessions.queues.standing(cx.now, cx.call.key);
        let sid = standing.map(|standing| standing.sid).unwrap_or_default();
        cx.edge.decide(cx.now, cx.call.key, format!("{what} queue {name} ({sid})"));
        let call = cx.call.legs.sid().to_owned();
        cx.edge.log(&call, format!("{what} queue {sid}"), None);
    }
}

/// Returns what a request says of the queue that the caller is in.
pub(crate) fn parameters_of(cx: &Cx<'_>, purpose: Purpose) -> Vec<Parameter> {
    if !matches!(purpose, Purpose::QueueWait | Purpose::Dequeue) {
        return Vec::new();
    }
    let Some(standing) = cx.edge.sessions.queues.standing(cx.now, cx.call.key) else { return Vec::new() };
    let seconds = |time: Duration| time.as_secs().to_string();
    let mut all = vec![Parameter::new("QueueSid", standing.sid), Parameter::new("QueueTime", seconds(standing.waited))];
    if purpose == Purpose::Dequeue {
        all.extend(standing.by.map(|by| Parameter::new("DequeingCallSid", by)));
        return all;
    }
    all.extend(standing.position.map(|position| Parameter::new("QueuePosition", position.to_string())));
    all.push(Parameter::new("AvgQueueTime", seconds(standing.average)));
    all.push(Parameter::new("CurrentQueueSize", standing.size.to_string()));
    all.push(Parameter::new("MaxQueueSize", standing.most.to_string()));
    all
}
