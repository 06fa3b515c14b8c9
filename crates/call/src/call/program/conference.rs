//! A caller in a conference: its seat in the media session, and what comes of its room.
//!
//! The caller hears the seat where it hears the other parties, and the program's player where it waits or is on hold. Its digits are
//! the program's in either case.

use trunkgate_conference::{Beep, Callbacks, Departure, EventSet, Joining, LeaveReason, Method as RoomMethod, Music};
use trunkgate_media::{EndId, HoldSound, Sound};
use trunkgate_resources::conferences::{ConferenceNews, Joiner, NotJoined, Seated};
use trunkgate_resources::key::LegId;
use trunkgate_story::view::ConferenceView;
use trunkgate_twiml::{Background, Conference, ConferenceStep, DialResult, DialStatus, Input, Location, Method, Step};

use crate::call::Parts;
use crate::call::legs::leg::Leg;
use crate::call::parts::requested::Originator;
use crate::call::program::chair::Chair;
use crate::call::program::records::Records;
use crate::call::program::{Runner, music::music};
use crate::call::shared::Cx;
use crate::call::words::state::State;

/// The place of a call in a conference.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Id of the program's step.
    id: u32,
    seated: Seated,
    /// Its end before the mixer.
    pub(crate) chair: Chair,
    /// Whether the caller hears the other parties.
    is_heard: bool,
    /// Whether it hears an announcement of its own.
    is_announced: bool,
    /// Whether another document takes the caller out.
    is_redirected: bool,
}

impl Seat {
    /// Returns its end where the caller hears it.
    pub(crate) fn heard(&self) -> Option<EndId> {
        (self.is_heard || self.is_announced).then_some(self.chair.end())
    }

    /// Returns the SID and the name of the conference.
    pub(crate) fn conference(&self) -> (&str, &str) {
        (&self.seated.sid, &self.seated.name)
    }
}

/// Has the caller of a program join a conference and leave it.
pub(crate) struct Conferring<'p> {
    parts: &'p mut Parts,
}

impl<'p> Conferring<'p> {
    /// Acts on the program of a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Conferring<'p> {
        Conferring { parts }
    }
}

impl Conferring<'_> {
    /// Has the caller join, and answers its call for that. A failure goes to the program.
    pub(crate) fn join(&mut self, cx: &mut Cx<'_>, step: ConferenceStep) {
        let id = step.id;
        let is_answered = cx.call.state != State::Searching;
        let taken = match self.would_take(cx, &step) {
            Ok(()) if !is_answered => {
                if let Some(run) = &mut self.parts.program {
                    run.under_way = None;
                    run.program.put_back(Step::Conference(step));
                }
                return Runner::of(self.parts).answer_for_program(cx);
            }
            Ok(()) => self.take_seat(cx, &step),
            Err(why) => Err(why),
        };
        match taken {
            Ok(seated) => {
                let text = format!("joined conference {} ({})", seated.name, seated.sid);
                cx.edge.decide(cx.now, cx.call.key, text.clone());
                let sid = cx.call.legs.sid().to_owned();
                cx.edge.log(&sid, text, None);
                if let Some(run) = &mut self.parts.program {
                    run.conference = Some(Box::new(step));
                }
                let view = ConferenceView { sid: seated.sid, name: seated.name };
                cx.call.story.app.get_or_insert_default().conference = Some(Box::new(view));
                Runner::of(self.parts).tell_program(cx, Input::DialAnswered { id });
            }
            Err(why) => {
                cx.edge.decide(cx.now, cx.call.key, format!("conference {}: not joined: {why}", step.conference.name));
                let is_agent = cx.call.legs.agent_in_place_of_caller().is_some();
                if let Some(run) = self.parts.program.as_mut().filter(|_| !is_answered) {
                    run.is_turned_away = true;
                }
                if is_agent || self.parts.program.as_ref().is_some_and(|run| run.app.is_conference()) {
                    return Runner::of(self.parts).conference_refused(cx, &why);
                }
                let result = DialResult::unanswered(DialStatus::Failed);
                Runner::of(self.parts).tell_program(cx, Input::DialEnded { id, result });
            }
        }
    }

    /// Judges whether the conference would take the caller now, so that its call is not answered for one that does not.
    ///
    /// # Errors
    /// Why it would not, in words.
    fn would_take(&self, cx: &Cx<'_>, step: &ConferenceStep) -> Result<(), String> {
        let is_agent = cx.call.legs.agent_in_place_of_caller().is_some();
        let joining = Joining { is_agent, ..joining(cx.call.legs.sid(), step) };
        let joiner = self.joiner(cx)?;
        cx.edge.sessions.conferences.would_take(&step.conference.name, joining, &joiner).map_err(in_words)
    }

    /// Returns what the conferences of the edge know of the call, but for the recording that it asks for.
    ///
    /// # Errors
    /// No application has the call.
    fn joiner(&self, cx: &Cx<'_>) -> Result<Joiner, String> {
        let run = self.parts.program.as_ref().ok_or("no application has the call")?;
        // One that was called for a conference has the words of this one in its own INVITE.
        let called = cx.call.requested.as_ref();
        let trunk = cx.call.legs.get(LegId::CALLER).map_or("", Leg::trunk_name);
        Ok(Joiner {
            key: cx.call.key,
            app: run.app.name.clone(),
            allow_private: run.app.allow_private,
            record: None,
            date: cx.edge.date(cx.now),
            hops: called.map_or(&cx.call.facts.hops, |requested| &requested.linked).words.clone(),
            is_called: called.is_some(),
            hop_key: cx.edge.random.hop_key,
            trunk: trunk.into(),
        })
    }

    /// Takes a place in the room, and has the caller hear the others.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn take_seat(&mut self, cx: &mut Cx<'_>, step: &ConferenceStep) -> Result<Seated, String> {
        let is_agent = cx.call.legs.agent_in_place_of_caller().is_some();
        if !is_agent && self.parts.bridge.media.spoken_end(cx.call).is_none() {
            return Err("the edge cannot speak to the caller".to_owned());
        }
        let joining = Joining { is_agent, ..joining(cx.call.legs.sid(), step) };
        let record =
            step.record.clone().and_then(|record| Records::of(self.parts).of_conference(*record)).map(Box::new);
        let joiner = Joiner { record, ..self.joiner(cx)? };
        let random = &mut cx.edge.random;
        let (name, sid) = (&step.conference.name, || random.conference_sid());
        let joined = cx.edge.sessions.conferences.join(cx.now, name, sid, joining, joiner);
        let seated = joined.map_err(in_words)?;
        let chair = match Chair::take(self.parts, cx, seated.conference(), seated.seat) {
            Ok(chair) => chair,
            Err(why) => {
                cx.edge.sessions.conferences.leave(cx.now, &seated, Departure::HungUp);
                return Err(why.to_owned());
            }
        };
        Originator::comes_no_longer(cx);
        let (id, seated_as) = (step.id, seated.clone());
        let seat = Seat { id, seated: seated_as, chair, is_heard: true, is_announced: false, is_redirected: false };
        cx.call.seat = Some(Box::new(seat));
        self.parts.bridge.media.talk_to_caller(cx);
        Ok(seated)
    }

    /// Takes news of the room.
    pub(crate) fn take(&mut self, cx: &mut Cx<'_>, news: ConferenceNews) {
        let Some(seat) = &mut cx.call.seat else { return };
        let id = seat.id;
        match news {
            ConferenceNews::Hears(music) => {
                seat.is_heard = music.is_none();
                self.parts.bridge.media.talk_to_caller(cx);
                Runner::of(self.parts).inform_program(cx, Input::Background { id, background: music.map(background) });
            }
            ConferenceNews::Announced(is_announced) => {
                seat.is_announced = is_announced;
                self.parts.bridge.media.talk_to_caller(cx);
            }
            ConferenceNews::Released(reason) => self.released(cx, reason.name(), DialStatus::Answered),
            ConferenceNews::Lost => {
                let seated = seat.seated.clone();
                cx.edge.sessions.conferences.leave(cx.now, &seated, Departure::HungUp);
                self.released(cx, "the mixer has no place for the caller", DialStatus::Failed);
            }
        }
    }

    /// Has the caller leave because the program says so: by the star key, or for another document.
    pub(crate) fn end(&mut self, cx: &mut Cx<'_>) {
        let Some(seat) = &cx.call.seat else { return };
        let seated = seat.seated.clone();
        if seat.is_redirected {
            cx.edge.sessions.conferences.leave(cx.now, &seated, Departure::Redirected);
            return self.released(cx, LeaveReason::UpdatedViaApi.name(), DialStatus::Answered);
        }
        cx.edge.sessions.conferences.leave_by_key(cx.now, &seated);
    }

    /// The caller is in the conference no longer, and is still there.
    fn released(&mut self, cx: &mut Cx<'_>, why: &str, status: DialStatus) {
        let Some(id) = self.stand_up(cx) else { return };
        cx.edge.decide(cx.now, cx.call.key, format!("left the conference: {why}"));
        self.parts.bridge.media.stop_playing_to_caller(cx);
        let result = DialResult { bridged: true, ..DialResult::unanswered(status) };
        Runner::of(self.parts).tell_program(cx, Input::DialEnded { id, result });
    }

    /// The call is over: its party leaves. Returns the report for its program.
    pub(crate) fn hung_up(&mut self, cx: &mut Cx<'_>) -> Option<Input> {
        let seated = cx.call.seat.as_ref()?.seated.clone();
        cx.edge.sessions.conferences.leave(cx.now, &seated, Departure::HungUp);
        let id = self.stand_up(cx)?;
        let result = DialResult { bridged: true, ..DialResult::unanswered(DialStatus::Answered) };
        Some(Input::DialEnded { id, result })
    }

    /// Notes that another document takes the caller out.
    pub(crate) fn redirected(&self, cx: &mut Cx<'_>) {
        if let Some(seat) = &mut cx.call.seat {
            seat.is_redirected = true;
        }
    }

    /// Takes the seat away. Returns the id of the program's step.
    fn stand_up(&mut self, cx: &mut Cx<'_>) -> Option<u32> {
        let seat = cx.call.seat.take()?;
        if let Some(run) = &mut self.parts.program {
            run.conference = None;
        }
        seat.chair.leave(self.parts, cx);
        Some(seat.id)
    }
}

/// Returns why a call is not in a conference, with Twilio's code.
fn in_words(why: NotJoined) -> String {
    let code = why.code().map(|code| format!("error {code}: ")).unwrap_or_default();
    format!("{code}{}", why.words())
}

/// Plays the edge's music to the caller until something else is played.
pub(crate) fn play_music(parts: &mut Parts, cx: &mut Cx<'_>) {
    let sound = HoldSound { first: None, music: Some(music()) };
    parts.bridge.media.play_to_caller(cx, Sound::Hold(sound));
}

/// Returns the settings of a party as the room has them.
fn joining(sid: &str, step: &ConferenceStep) -> Joining {
    let Conference { muted, beeps, starts, ends, label, coach, most, status, status_method, events, .. } =
        &step.conference;
    let mut joining = Joining::new(sid);
    joining.label.clone_from(label);
    joining.is_muted = *muted;
    joining.beep = match beeps {
        (true, true) => Beep::Both,
        (true, false) => Beep::OnEnter,
        (false, true) => Beep::OnExit,
        (false, false) => Beep::Never,
    };
    (joining.starts, joining.ends) = (*starts, *ends);
    joining.wait = match &step.wait {
        Background::Music => Music::BuiltIn,
        Background::Silence => Music::Silence,
        Background::Document { location, method } => {
            Music::Url { url: location.to_string(), method: method_of(*method) }
        }
    };
    if let Some(most) = most.and_then(|most| usize::try_from(most).ok()) {
        joining.max_participants = most;
    }
    joining.coached.clone_from(coach);
    joining.is_recorded = step.record.is_some();
    joining.is_trimmed = step.record.as_ref().is_some_and(|record| record.trim);
    joining.callbacks = status.clone().map(|url| Callbacks {
        url,
        method: method_of(*status_method),
        events: EventSet::parse(events).unwrap_or_default(),
    });
    joining.leaves_on_star = step.leaves_on_star;
    joining.time_limit = Some(step.time_limit).filter(|limit| !limit.is_zero());
    joining
}

const fn method_of(method: Method) -> RoomMethod {
    match method {
        Method::Get => RoomMethod::Get,
        Method::Post => RoomMethod::Post,
    }
}

/// Returns what a party hears that does not hear the others. A place that is no URL is a file of the configuration's.
fn background(music: Music) -> Background {
    match music {
        Music::BuiltIn => Background::Music,
        Music::Silence => Background::Silence,
        Music::Url { url, method } => {
            let location = Location::url(&url).unwrap_or(Location::File(url));
            let method = match method {
                RoomMethod::Get => Method::Get,
                RoomMethod::Post => Method::Post,
            };
            Background::Document { location, method }
        }
    }
}
