//! Announcements in conferences: an audio file, or a document with Say, Play, Pause and Redirect, which all parties hear, or one.
//!
//! A document is a program of its own beside those of the calls. Its sounds are clips of the conference's mixer; announcements of the
//! same audience are heard one after the other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_conference::{AnnouncementId, ClipId, MemberId, RoomId};
use trunkgate_media::codec::g711::decode_ulaw;
use trunkgate_resources::applications::question::{AppAnswer, AppQuestion, AppWanted, DocumentRequest};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::Output;
use trunkgate_resources::lookups::key::QueryId;
use trunkgate_route::App;
use trunkgate_twiml::{Input, Location, Loop, Method, Note, Program, Role, Say, Settings, Source, Step};

use crate::call::words::webhooks;

/// Failure of keys in place of a sound.
const NO_KEYS: &str = "keys are not played to a conference";

/// An announcement that is asked for.
#[derive(Debug)]
pub(super) struct Announcement {
    /// The conference.
    pub(super) room: RoomId,
    /// Number in the room.
    pub(super) id: AnnouncementId,
    /// The party that hears it; `None`: all.
    pub(super) member: Option<MemberId>,
    /// SID of the call whose trace has its requests.
    pub(super) call: String,
    /// Application whose rules hold for its requests.
    pub(super) app: Arc<App>,
    /// Place of the document.
    pub(super) source: (Location, Method),
    /// Parameters of its requests.
    pub(super) parameters: Vec<(String, String)>,
}

/// One that is heard, or waits for an earlier one.
#[derive(Debug)]
struct Running {
    asked: Announcement,
    began: Option<Instant>,
    program: Program,
    waits: Waits,
    /// Cause for which it cannot go on.
    failed: Option<String>,
}

/// Event that an announcement waits for, with the id of the program's step.
#[derive(Debug)]
enum Waits {
    Nothing,
    Document { query: QueryId, id: u32 },
    Sound { query: QueryId, id: u32, repeat: Loop },
    Clip { clip: ClipId, id: u32, samples: Arc<[i16]>, left: u32 },
}

impl Running {
    fn is_over(&self) -> bool {
        self.program.is_over() && matches!(self.waits, Waits::Nothing)
    }

    fn time(&self, now: Instant) -> Duration {
        self.began.map(|began| now.saturating_duration_since(began)).unwrap_or_default()
    }

    fn next(&self) -> Option<Instant> {
        self.began?.checked_add(self.program.poll_timeout()?)
    }

    fn hears_the_same(&self, other: &Running) -> bool {
        (self.asked.room, self.asked.member) == (other.asked.room, other.asked.member)
    }

    /// Begins the announcement, advances its time, and executes its steps. Returns whether there was one.
    fn go_on(&mut self, edge: &mut Edge, now: Instant) -> bool {
        let mut any = false;
        if self.began.is_none() {
            any = true;
            self.began = Some(now);
            let (location, method) = self.asked.source.clone();
            self.program.start(Duration::ZERO, Source::Fetch { location, method }, true);
            edge.sessions_mut().conferences.announces(self.asked.room, self.asked.member, true);
        }
        if self.next().is_some_and(|at| at <= now) {
            let time = self.time(now);
            self.program.handle_timeout(time);
        }
        while let Some(step) = self.program.poll_output() {
            any = true;
            self.carry_out(edge, now, step);
        }
        any
    }

    fn carry_out(&mut self, edge: &mut Edge, now: Instant, step: Step) {
        match step {
            Step::Fetch { id, request } => {
                let Some(place) = webhooks::place(&request.location) else { return };
                let further = request.parameters.into_iter().map(|field| (field.name.into_owned(), field.value));
                let parameters = self.asked.parameters.iter().cloned().chain(further).collect();
                let method = webhooks::method(request.method);
                let request = DocumentRequest { place, method, purpose: request.purpose.name(), parameters };
                let query = self.ask(edge, AppWanted::Document(request));
                self.waits = Waits::Document { query, id };
            }
            Step::Say { id, say } => {
                let Say { text, ssml, voice, language, repeat } = say;
                let query = self.ask(edge, AppWanted::Speech { text, ssml, voice, language });
                self.waits = Waits::Sound { query, id, repeat };
            }
            Step::Play { id, location, repeat } => {
                let Some(place) = webhooks::place(&location) else { return };
                let query = self.ask(edge, AppWanted::Sound(place));
                self.waits = Waits::Sound { query, id, repeat };
            }
            Step::PlayDigits { id, .. } => {
                let (time, text) = (self.time(now), NO_KEYS.to_owned());
                self.program.handle_input(time, Input::PlayFailed { id, code: trunkgate_twiml::code::SCHEMA, text });
            }
            Step::StopPlaying { .. } => self.give_up(edge),
            Step::Failed { code } => {
                self.failed.get_or_insert_with(|| format!("error {code}"));
            }
            Step::Trace(trace) => {
                if let Note::Error { code, text } | Note::Unheard { code, text } = &trace.note {
                    self.failed = Some(format!("error {code}: {}", text.lines().next().unwrap_or_default()));
                }
            }
            // A document with other verbs fails.
            Step::Notify(_)
            | Step::NotifyRecorded { .. }
            | Step::StartRecognition(_)
            | Step::StopRecognition { .. }
            | Step::ReportPartial(_)
            | Step::Answer
            | Step::Beep { .. }
            | Step::Record(_)
            | Step::StopRecord { .. }
            | Step::StartRecording(_)
            | Step::Dial(_)
            | Step::Conference(_)
            | Step::Enqueue(_)
            | Step::LeaveQueue { .. }
            | Step::ConnectQueued { .. }
            | Step::DialQueue(_)
            | Step::PlayMusic { .. }
            | Step::EndDial { .. }
            | Step::EndStream { .. }
            | Step::ConnectStream(_)
            | Step::StartStream(_)
            | Step::StartSiprec(_)
            | Step::StopSiprec { .. }
            | Step::StartTranscript(_)
            | Step::StopTranscript { .. }
            | Step::StopStream { .. }
            | Step::Refer { .. }
            | Step::Reject(_)
            | Step::Hangup
            | Step::Join => {}
        }
    }

    fn ask(&self, edge: &mut Edge, wanted: AppWanted) -> QueryId {
        let query = edge.index_mut().query();
        let (call, app) = (self.asked.call.clone(), Arc::clone(&self.asked.app));
        let cookies = edge.apps().cookies.of_call(&call);
        let question = AppQuestion { query: Some(query), call, app, wanted, cookies };
        edge.output(Output::App(Box::new(question)));
        query
    }

    /// Cancels the request or clip that the announcement waits for.
    fn give_up(&mut self, edge: &mut Edge) {
        match std::mem::replace(&mut self.waits, Waits::Nothing) {
            Waits::Nothing => {}
            Waits::Document { query, .. } | Waits::Sound { query, .. } => {
                edge.output(Output::AppGivenUp(query));
            }
            Waits::Clip { clip, .. } => edge.sessions_mut().conferences.stop_clip(clip),
        }
    }
}

/// Those of all conferences, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Announcements {
    list: Vec<Running>,
}

impl Announcements {
    /// Adds one.
    pub(super) fn add(&mut self, asked: Announcement) {
        let program = Program::new(Settings { role: Role::Announced, ..Settings::default() });
        self.list.push(Running { asked, began: None, program, waits: Waits::Nothing, failed: None });
    }

    /// Returns when the next one goes on.
    pub(super) fn next(&self) -> Option<Instant> {
        self.list.iter().filter_map(Running::next).min()
    }

    /// Continues the announcements. Returns whether something followed.
    pub(super) fn settle(&mut self, edge: &mut Edge, now: Instant) -> bool {
        let mut list = std::mem::take(&mut self.list);
        let mut any = false;
        let mut at = 0;
        while let Some((earlier, one)) =
            list.split_at_mut_checked(at).and_then(|(earlier, rest)| Some((earlier, rest.first_mut()?)))
        {
            let conferences = &edge.sessions().conferences;
            if !conferences.is_there(one.asked.room, one.asked.member) {
                any = true;
                one.give_up(edge);
                edge.sessions_mut().conferences.announced(&one.asked.at(), Some("the participant has left"));
                list.remove(at);
                continue;
            }
            let waits = one.began.is_none() && earlier.iter().any(|other| other.hears_the_same(one));
            if !waits {
                any |= one.go_on(edge, now);
            }
            if one.began.is_some() && one.is_over() {
                any = true;
                edge.sessions_mut().conferences.announced(&one.asked.at(), one.failed.as_deref());
                list.remove(at);
                continue;
            }
            at += 1;
        }
        self.list = list;
        any
    }

    /// Handles the answer to a question of an announcement; any other is dropped.
    pub(super) fn answered(&mut self, edge: &mut Edge, now: Instant, query: QueryId, answer: AppAnswer) {
        let is_its = |waits: &Waits| match waits {
            Waits::Document { query: asked, .. } | Waits::Sound { query: asked, .. } => *asked == query,
            Waits::Nothing | Waits::Clip { .. } => false,
        };
        let Some(one) = self.list.iter_mut().find(|one| is_its(&one.waits)) else { return };
        let time = one.time(now);
        let input = match (std::mem::replace(&mut one.waits, Waits::Nothing), answer) {
            (Waits::Document { id, .. }, AppAnswer::Document { url, content_type, body, .. }) => {
                Input::Fetched { id, url, content_type, body }
            }
            (Waits::Document { id, .. }, AppAnswer::Failed { code, text }) => Input::FetchFailed { id, code, text },
            (Waits::Sound { id, repeat, .. }, AppAnswer::Sound { sound, .. }) => {
                let samples: Arc<[i16]> = sound.iter().map(|code| decode_ulaw(*code)).collect();
                let (left, is_repeated) = match repeat {
                    Loop::Times(times) => (times.saturating_sub(1), false),
                    Loop::Forever => (0, true),
                };
                let (room, member) = (one.asked.room, one.asked.member);
                match edge.sessions_mut().conferences.play((room, member), &samples, is_repeated) {
                    Some(clip) => {
                        one.waits = Waits::Clip { clip, id, samples, left };
                        return;
                    }
                    None => Input::Played { id },
                }
            }
            (Waits::Sound { id, .. }, AppAnswer::Failed { code, text }) => Input::PlayFailed { id, code, text },
            (waits, _) => {
                one.waits = waits;
                return;
            }
        };
        one.program.handle_input(time, input);
    }

    /// Plays the next repetition of a clip that has ended, or continues its announcement.
    pub(super) fn clip_ended(&mut self, edge: &mut Edge, now: Instant, ended: ClipId) {
        let is_its = |one: &&mut Running| matches!(&one.waits, Waits::Clip { clip, .. } if *clip == ended);
        let Some(one) = self.list.iter_mut().find(is_its) else { return };
        let time = one.time(now);
        if let Waits::Clip { id, samples, left, .. } = std::mem::replace(&mut one.waits, Waits::Nothing) {
            let (room, member) = (one.asked.room, one.asked.member);
            let again =
                if left > 0 { edge.sessions_mut().conferences.play((room, member), &samples, false) } else { None };
            match again {
                Some(clip) => one.waits = Waits::Clip { clip, id, samples, left: left - 1 },
                None => one.program.handle_input(time, Input::Played { id }),
            }
        }
    }
}

impl Announcement {
    fn at(&self) -> (RoomId, AnnouncementId, Option<MemberId>) {
        (self.room, self.id, self.member)
    }
}
