//! A caller in a conference: its seat in the media session, and the events of its room.
//!
//! The caller hears the seat while it hears the other parties, and the program's player while it waits or is on hold.
//! Its digits always go to the program.

use trunkgate_conference::{
    BeepPolicy, CallbackMethod as RoomMethod, ConferenceCallbacks, Departure, EventSet, JoinRequest, LeaveReason,
    WaitMusic,
};
use trunkgate_media::{HoldSound, PlayerSound};
use trunkgate_resources::conferences::{ConferenceEvent, Joiner, NotJoined, ParticipantHandle};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_story::view::ConferenceView;
use trunkgate_twiml::{
    BackgroundAudio, ConferenceNoun, ConferenceStep, DialResult, DialStatus, DocumentLocation, FetchPurpose,
    HttpMethod, ProgramInput, ProgramStep, RequestParameter,
};

use crate::call::legs::leg::Leg;
use crate::call::media::CallMedia;
use crate::call::media::mixer::{CallerMixerEnd, NO_AUDIO_TO_CALLER};
use crate::call::program::effects::ProgramEffect;
use crate::call::program::music::music;
use crate::call::program::{ProgramRun, records};
use crate::call::shared::CallCx;
use crate::call::words::state::CallState;

/// Conference membership of a program's caller; at most one at a time.
#[derive(Debug, Default)]
pub(crate) struct CallerConference {
    seat: Option<Box<ConferenceSeat>>,
}

/// The caller's place in a conference.
#[derive(Debug)]
struct ConferenceSeat {
    /// Step of the program by which the caller has joined, carried out again after a restart.
    step: ConferenceStep,
    seated: ParticipantHandle,
    /// Whether the caller hears the other parties.
    is_heard: bool,
    /// Whether the caller hears an announcement for it alone.
    is_announced: bool,
    /// Whether the caller leaves because another document replaces the program's.
    is_redirected: bool,
}

/// Result of a caller's attempt to join a conference.
#[derive(Debug)]
#[must_use]
pub(crate) enum ConferenceJoin {
    /// The call must be answered first; the step is then carried out again.
    Unanswered,
    /// The program has been informed that its caller has joined, or has not.
    Informed(ProgramEffect),
    /// The conference is the target of a route and has refused the caller; with the reason.
    Refused(String),
}

impl ConferenceSeat {
    /// Selects the source that the caller hears when it is connected with the program next: its seat, or the program's
    /// player.
    fn wire(&self, media: &mut CallMedia) {
        if let Some(seat) = &mut media.mixer_end {
            seat.hear(self.is_heard || self.is_announced);
        }
    }
}

impl CallerConference {
    /// Returns whether the caller is in a conference.
    pub(crate) fn is_joined(&self) -> bool {
        self.seat.is_some()
    }

    /// Returns the step by which the caller has joined.
    pub(crate) fn step(&self) -> Option<&ConferenceStep> {
        self.seat.as_ref().map(|seat| &seat.step)
    }

    /// Returns the request parameters for the conference in which the caller waits.
    pub(crate) fn parameters_of(&self, purpose: FetchPurpose) -> impl Iterator<Item = RequestParameter> {
        let seat = self.seat.as_ref().filter(|_| purpose == FetchPurpose::Wait);
        let named = |seat: &ConferenceSeat| {
            let ParticipantHandle { sid, name, .. } = &seat.seated;
            [RequestParameter::new("ConferenceSid", sid.clone()), RequestParameter::new("FriendlyName", name.clone())]
        };
        seat.map(|seat| named(seat)).into_iter().flatten()
    }

    /// Joins the caller to a conference; the call must be answered first.
    pub(crate) fn join(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &mut ProgramRun,
        step: ConferenceStep,
    ) -> ConferenceJoin {
        let id = step.id;
        let is_answered = cx.call.state != CallState::Searching;
        let taken = match would_take(cx, run, &step) {
            Ok(()) if !is_answered => {
                run.under_way = None;
                run.runner.program.put_back(ProgramStep::Conference(step));
                return ConferenceJoin::Unanswered;
            }
            Ok(()) => self.take_seat(cx, media, run, &step),
            Err(why) => Err(why),
        };
        match taken {
            Ok(seated) => {
                let text = format!("joined conference {} ({})", seated.name, seated.sid);
                cx.edge.decide(cx.now, cx.call.key, text.clone());
                let sid = cx.call.legs.sid().to_owned();
                cx.edge.log(&sid, text, None);
                let view = ConferenceView { sid: seated.sid, name: seated.name };
                cx.call.story.app.get_or_insert_default().conference = Some(Box::new(view));
                ConferenceJoin::Informed(run.end_step(cx.now, ProgramInput::DialAnswered { id }))
            }
            Err(why) => {
                cx.edge.decide(cx.now, cx.call.key, format!("conference {}: not joined: {why}", step.conference.name));
                run.is_turned_away |= !is_answered;
                if cx.call.legs.agent_in_place_of_caller().is_some() || run.app.is_conference() {
                    return ConferenceJoin::Refused(why);
                }
                let result = DialResult::unanswered(DialStatus::Failed);
                ConferenceJoin::Informed(run.end_step(cx.now, ProgramInput::DialEnded { id, result }))
            }
        }
    }

    /// Takes a seat in the room, and connects the caller with the others.
    ///
    /// # Errors
    /// The conference refuses the caller, or the edge cannot send audio to it: the reason in plain text.
    fn take_seat(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &ProgramRun,
        step: &ConferenceStep,
    ) -> Result<ParticipantHandle, String> {
        let is_agent = cx.call.legs.agent_in_place_of_caller().is_some();
        if !is_agent && media.spoken_end(cx.call).is_none() {
            return Err(NO_AUDIO_TO_CALLER.to_owned());
        }
        let joining = JoinRequest { is_agent, ..joining(cx.call.legs.sid(), step) };
        let record = step.record.clone().map(|record| Box::new(records::of_conference(&run.app, *record)));
        let joiner = Joiner { record, ..joiner(cx, run) };
        let joined = cx.edge.join_conference(cx.now, &step.conference.name, joining, joiner);
        let seated = joined.map_err(in_words)?;
        if let Err(why) = CallerMixerEnd::take(media, cx, seated.conference(), seated.seat) {
            cx.edge.sessions_mut().conferences.leave(cx.now, &seated, Departure::HungUp);
            return Err(why.to_owned());
        }
        if let Some(origin) = &mut cx.call.origin {
            origin.comes_no_longer(cx.now, cx.edge, cx.call.key);
        }
        let (step, place) = (step.clone(), seated.clone());
        let seat = ConferenceSeat { step, seated: place, is_heard: true, is_announced: false, is_redirected: false };
        self.seat = Some(Box::new(seat));
        media.talk_to_caller(cx);
        Ok(seated)
    }

    /// Handles an event of the room.
    pub(crate) fn take_news(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &mut ProgramRun,
        news: ConferenceEvent,
    ) -> ProgramEffect {
        let Some(seat) = &mut self.seat else { return ProgramEffect::Stay };
        let id = seat.step.id;
        match news {
            ConferenceEvent::Hears(music) => {
                seat.is_heard = music.is_none();
                seat.wire(media);
                media.talk_to_caller(cx);
                run.take_input(cx.now, ProgramInput::Background { id, background: music.map(background) })
            }
            ConferenceEvent::Announced(is_announced) => {
                seat.is_announced = is_announced;
                seat.wire(media);
                media.talk_to_caller(cx);
                ProgramEffect::Stay
            }
            ConferenceEvent::Released(reason) => self.released(cx, media, run, (reason.name(), DialStatus::Answered)),
            ConferenceEvent::Lost => {
                let seated = seat.seated.clone();
                cx.edge.sessions_mut().conferences.leave(cx.now, &seated, Departure::HungUp);
                self.released(cx, media, run, ("the mixer has no place for the caller", DialStatus::Failed))
            }
        }
    }

    /// Removes the caller from the conference at the program's request: because of the star key, or for another
    /// document.
    pub(crate) fn end(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, run: &mut ProgramRun) -> ProgramEffect {
        let Some(seat) = &self.seat else { return ProgramEffect::Stay };
        let seated = seat.seated.clone();
        if seat.is_redirected {
            cx.edge.sessions_mut().conferences.leave(cx.now, &seated, Departure::Redirected);
            return self.released(cx, media, run, (LeaveReason::UpdatedViaApi.name(), DialStatus::Answered));
        }
        cx.edge.sessions_mut().conferences.leave_by_key(cx.now, &seated);
        ProgramEffect::Stay
    }

    /// Continues the program after its caller has left the conference.
    fn released(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        run: &mut ProgramRun,
        (why, status): (&str, DialStatus),
    ) -> ProgramEffect {
        let Some(id) = self.stand_up(cx, media) else { return ProgramEffect::Stay };
        cx.edge.decide(cx.now, cx.call.key, format!("left the conference: {why}"));
        media.stop_playing_to_caller(cx);
        let result = DialResult { bridged: true, ..DialResult::unanswered(status) };
        run.end_step(cx.now, ProgramInput::DialEnded { id, result })
    }

    /// Leaves the conference because the call is over. Returns the report for its program. `None` if it is in no
    /// conference.
    pub(crate) fn hung_up(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) -> Option<ProgramInput> {
        let seated = self.seat.as_ref()?.seated.clone();
        cx.edge.sessions_mut().conferences.leave(cx.now, &seated, Departure::HungUp);
        let id = self.stand_up(cx, media)?;
        let result = DialResult { bridged: true, ..DialResult::unanswered(DialStatus::Answered) };
        Some(ProgramInput::DialEnded { id, result })
    }

    /// Marks the caller as leaving for another document.
    pub(crate) fn redirected(&mut self) {
        if let Some(seat) = &mut self.seat {
            seat.is_redirected = true;
        }
    }

    /// Removes the seat. Returns the id of the step by which the caller had joined. `None` if there is no seat.
    fn stand_up(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) -> Option<u32> {
        let seat = self.seat.take()?;
        CallerMixerEnd::leave(media, cx);
        Some(seat.step.id)
    }
}

/// Checks whether the conference would accept the caller now, so that a call is not answered only to be refused.
///
/// # Errors
/// The conference refuses the caller: the reason in plain text.
fn would_take(cx: &CallCx<'_>, run: &ProgramRun, step: &ConferenceStep) -> Result<(), String> {
    let is_agent = cx.call.legs.agent_in_place_of_caller().is_some();
    let joining = JoinRequest { is_agent, ..joining(cx.call.legs.sid(), step) };
    cx.edge.sessions().conferences.would_take(&step.conference.name, joining, &joiner(cx, run)).map_err(in_words)
}

/// Returns the data of the call that conferences need, without a recording.
fn joiner(cx: &CallCx<'_>, run: &ProgramRun) -> Joiner {
    // A party that was called for a conference already carries that conference's hop words in its own INVITE.
    let called = cx.call.origin.as_ref();
    let trunk = cx.call.legs.get(LegId::CALLER).map_or("", Leg::trunk_name);
    Joiner {
        key: cx.call.key,
        app: run.app.name.clone(),
        allow_private: run.app.allow_private,
        record: None,
        date: cx.edge.date(cx.now),
        hops: called.map_or(&cx.call.facts.hops, |origin| origin.linked()).words.clone(),
        is_called: called.is_some(),
        hop_key: cx.edge.random().hop_key,
        trunk: trunk.into(),
    }
}

/// Returns the reason for a refusal by a conference, with Twilio's code.
fn in_words(why: NotJoined) -> String {
    let code = why.code().map(|code| format!("error {code}: ")).unwrap_or_default();
    format!("{code}{}", why.words())
}

/// Plays the edge's music to the caller until another sound replaces it.
pub(crate) fn play_music(media: &mut CallMedia, cx: &mut CallCx<'_>) {
    let sound = HoldSound { first: None, music: Some(music()) };
    media.play_to_caller(cx, PlayerSound::Hold(sound));
}

/// Returns the settings of a conference step in the form that the room needs.
fn joining(sid: &str, step: &ConferenceStep) -> JoinRequest {
    let ConferenceNoun { muted, beeps, starts, ends, label, coach, most, status, status_method, events, .. } =
        &step.conference;
    let mut joining = JoinRequest::new(sid);
    joining.label.clone_from(label);
    joining.is_muted = *muted;
    joining.beep = match beeps {
        (true, true) => BeepPolicy::Both,
        (true, false) => BeepPolicy::OnEnter,
        (false, true) => BeepPolicy::OnExit,
        (false, false) => BeepPolicy::Never,
    };
    (joining.starts, joining.ends) = (*starts, *ends);
    joining.wait = match &step.wait {
        BackgroundAudio::Music => WaitMusic::BuiltIn,
        BackgroundAudio::Silence => WaitMusic::Silence,
        BackgroundAudio::Document { location, method } => {
            WaitMusic::Url { url: location.to_string(), method: method_of(*method) }
        }
    };
    if let Some(most) = most.and_then(|most| usize::try_from(most).ok()) {
        joining.max_participants = most;
    }
    joining.coached.clone_from(coach);
    joining.is_recorded = step.record.is_some();
    joining.is_trimmed = step.record.as_ref().is_some_and(|record| record.trim);
    joining.callbacks = status.clone().map(|url| ConferenceCallbacks {
        url,
        method: method_of(*status_method),
        events: EventSet::parse(events).unwrap_or_default(),
    });
    joining.leaves_on_star = step.leaves_on_star;
    joining.time_limit = Some(step.time_limit).filter(|limit| !limit.is_zero());
    joining
}

const fn method_of(method: HttpMethod) -> RoomMethod {
    match method {
        HttpMethod::Get => RoomMethod::Get,
        HttpMethod::Post => RoomMethod::Post,
    }
}

/// Returns the audio for a participant that does not hear the others. A location other than a URL is a file of the
/// configuration.
fn background(music: WaitMusic) -> BackgroundAudio {
    match music {
        WaitMusic::BuiltIn => BackgroundAudio::Music,
        WaitMusic::Silence => BackgroundAudio::Silence,
        WaitMusic::Url { url, method } => {
            let location = DocumentLocation::url(&url).unwrap_or(DocumentLocation::File(url));
            let method = match method {
                RoomMethod::Get => HttpMethod::Get,
                RoomMethod::Post => HttpMethod::Post,
            };
            BackgroundAudio::Document { location, method }
        }
    }
}
