//! A program that runs: in a call, or as an announcement in a conference.
//!
//! The runner owns the interpreter, the program's time, and what it waits for: a document or sound of the shell, or the end of what is heard. Its
//! owner takes the steps from it and has the sounds heard, by the player of a call or by the mixer of a conference.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_resources::applications::question::{AppAnswer, AppWanted, DocumentRequest};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::QueryId;
use trunkgate_resources::lookups::key::CallKey;
use trunkgate_route::App;
use trunkgate_twiml::{Input, Location, Loop, Program, Say, Secret, Step};

use crate::call::shared::Shared;
use crate::call::words::webhooks;

/// A program that runs.
#[derive(Debug)]
pub(crate) struct ProgramRunner {
    /// The interpreter.
    pub(super) program: Program,
    /// The beginning of its time.
    began: Instant,
    /// What the program waits for.
    pub(super) waits: Waits,
}

/// What a program waits for, apart from its own time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Nothing.
    Nothing,
    /// The caller's ports, or its ACK with a media address, before anything else.
    Caller,
    /// A document.
    Document { query: QueryId, id: u32 },
    /// A sound that is fetched or made.
    Sound { query: QueryId, id: u32, repeat: Loop },
    /// The end of a sound, which is heard again so many times.
    Played { id: u32, sound: Arc<[u8]>, left: u32 },
    /// The end of digits that are played: how many of them are, and how often all are to be played still.
    Digits { id: u32, digits: Secret, played: usize, left: u32 },
}

/// Origin of a program's requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestOrigin<'a> {
    /// The call that gets the answers; `None`: an announcement gets them.
    pub(crate) key: Option<CallKey>,
    /// SID of the call whose trace has the requests.
    pub(crate) sid: &'a str,
    /// The application.
    pub(crate) app: &'a Arc<App>,
}

/// An answer of the shell that the program has waited for.
#[derive(Debug)]
pub(crate) struct TakenAnswer {
    /// Origin of the document or sound, for the trace; may be empty.
    pub(crate) origin: String,
    /// The sound, which is to be heard, with its step's id and repetitions. The interpreter has any other answer.
    pub(crate) sound: Option<(u32, Loop, Arc<[u8]>)>,
}

/// Consequence of the end of a sound.
#[derive(Debug)]
pub(crate) enum SoundEnd {
    /// The sound is heard again.
    Again(Arc<[u8]>),
    /// The step is over, which the interpreter knows.
    StepOver,
}

impl<'a> RequestOrigin<'a> {
    /// Returns that of the program of a call.
    pub(crate) fn of_call(call: &'a Shared, app: &'a Arc<App>) -> RequestOrigin<'a> {
        RequestOrigin { key: Some(call.key), sid: call.legs.sid(), app }
    }
}

impl ProgramRunner {
    /// Makes the runner of a program whose time began then.
    pub(crate) fn new(program: Program, began: Instant) -> ProgramRunner {
        ProgramRunner { program, began, waits: Waits::Nothing }
    }

    /// Returns the time of the program.
    pub(crate) fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Returns when the program goes on by itself.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.began.checked_add(self.program.poll_timeout()?)
    }

    /// Returns whether no step follows and nothing is waited for.
    pub(crate) fn is_over(&self) -> bool {
        self.program.is_over() && self.waits == Waits::Nothing
    }

    /// Returns the next step, in order.
    pub(crate) fn poll_step(&mut self) -> Option<Step> {
        self.program.poll_output()
    }

    /// Gives the interpreter an input.
    pub(crate) fn take_input(&mut self, now: Instant, input: Input) {
        self.program.handle_input(self.time(now), input);
    }

    /// Gives the interpreter the time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.program.handle_timeout(self.time(now));
    }

    /// Asks for a document.
    pub(crate) fn fetch(&mut self, edge: &mut Edge, origin: RequestOrigin<'_>, id: u32, request: DocumentRequest) {
        let query = self.ask(edge, origin, AppWanted::Document(request));
        self.waits = Waits::Document { query, id };
    }

    /// Asks for a text as speech.
    pub(crate) fn say(&mut self, edge: &mut Edge, origin: RequestOrigin<'_>, id: u32, say: Say) {
        let Say { text, ssml, voice, language, repeat } = say;
        let query = self.ask(edge, origin, AppWanted::Speech { text, ssml, voice, language });
        self.waits = Waits::Sound { query, id, repeat };
    }

    /// Asks for a sound file.
    pub(crate) fn play_file(
        &mut self,
        edge: &mut Edge,
        origin: RequestOrigin<'_>,
        (id, repeat): (u32, Loop),
        location: &Location,
    ) {
        if let Some(place) = webhooks::place(location) {
            let query = self.ask(edge, origin, AppWanted::Sound(place));
            self.waits = Waits::Sound { query, id, repeat };
        }
    }

    fn ask(&mut self, edge: &mut Edge, origin: RequestOrigin<'_>, wanted: AppWanted) -> QueryId {
        self.drop_question(edge);
        edge.ask_for(origin.key, origin.sid, origin.app, wanted)
    }

    /// Returns whether the program waits for the answer to a question.
    pub(crate) fn has_asked(&self, query: QueryId) -> bool {
        matches!(self.waits, Waits::Document { query: asked, .. } | Waits::Sound { query: asked, .. } if asked == query)
    }

    /// Takes the shell's answer to a question; `None` where the program does not wait for it.
    pub(crate) fn take_answer(&mut self, now: Instant, query: QueryId, answer: AppAnswer) -> Option<TakenAnswer> {
        if !self.has_asked(query) {
            return None;
        }
        let (origin, input) = match (std::mem::replace(&mut self.waits, Waits::Nothing), answer) {
            (Waits::Document { id, .. }, AppAnswer::Document { url, content_type, body, told }) => {
                (told, Input::Fetched { id, url, content_type, body })
            }
            (Waits::Document { id, .. }, AppAnswer::Failed { code, text }) => {
                (String::new(), Input::FetchFailed { id, code, text })
            }
            (Waits::Sound { id, repeat, .. }, AppAnswer::Sound { sound, told }) => {
                return Some(TakenAnswer { origin: told, sound: Some((id, repeat, sound)) });
            }
            (Waits::Sound { id, .. }, AppAnswer::Failed { code, text }) => {
                (String::new(), Input::PlayFailed { id, code, text })
            }
            _ => return None,
        };
        self.take_input(now, input);
        Some(TakenAnswer { origin, sound: None })
    }

    /// Notes that a sound is heard from now on, with the repetitions of its step.
    pub(crate) fn begin_sound(&mut self, (id, repeat): (u32, Loop), sound: Arc<[u8]>) {
        self.waits = Waits::Played { id, sound, left: further_times(repeat) };
    }

    /// Notes that the sound has been heard to its end; `None` where none was.
    pub(crate) fn end_sound(&mut self, now: Instant) -> Option<SoundEnd> {
        let Waits::Played { sound, left, .. } = &mut self.waits else { return None };
        if let Some(again) = left.checked_sub(1) {
            *left = again;
            return Some(SoundEnd::Again(sound.clone()));
        }
        self.finish_sound(now);
        Some(SoundEnd::StepOver)
    }

    /// Ends the step of the sound, which is not heard again.
    pub(crate) fn finish_sound(&mut self, now: Instant) {
        if let Waits::Played { id, .. } = self.waits {
            self.waits = Waits::Nothing;
            self.take_input(now, Input::Played { id });
        }
    }

    /// Stops what is heard, or was about to be.
    pub(crate) fn stop_playing(&mut self, edge: &mut Edge) {
        self.drop_question(edge);
        if matches!(self.waits, Waits::Played { .. } | Waits::Digits { .. }) {
            self.waits = Waits::Nothing;
        }
    }

    /// Gives up what the program has asked the shell for.
    pub(crate) fn drop_question(&mut self, edge: &mut Edge) {
        if let Waits::Document { query, .. } | Waits::Sound { query, .. } = self.waits {
            edge.give_up(query);
            self.waits = Waits::Nothing;
        }
    }
}

/// Returns how often something is heard after the first time.
pub(crate) const fn further_times(repeat: Loop) -> u32 {
    match repeat {
        Loop::Times(times) => times.saturating_sub(1),
        Loop::Forever => u32::MAX,
    }
}
