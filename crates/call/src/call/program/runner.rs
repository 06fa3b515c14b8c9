//! A running program: in a call, or as an announcement in a conference.
//!
//! The runner owns the interpreter, the program's clock, and the pending wait: for a document or sound from the shell,
//! or for the end of a sound. Its owner takes the steps from it and plays the sounds, with the player of a call or the
//! mixer of a conference.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use trunkgate_media::{HoldSound, PlayerSound};
use trunkgate_resources::applications::question::{AppAnswer, AppResource, DocumentRequest};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::QueryId;
use trunkgate_resources::lookups::key::CallKey;
use trunkgate_route::App;
use trunkgate_twiml::{DocumentLocation, LoopCount, Program, ProgramInput, ProgramStep, SayVerb, SensitiveText};

use crate::call::shared::SharedCallState;
use crate::call::words::webhooks;

/// A running program, and the event for which it waits.
#[derive(Debug)]
pub(crate) struct ProgramRunner {
    /// Interpreter of the program.
    pub(super) program: Program,
    /// Start of the program's clock.
    began: Instant,
    /// Event that the program waits for.
    pub(super) waits: ProgramWait,
}

/// Event that a program waits for, apart from its own timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProgramWait {
    /// The program waits for no event.
    Nothing,
    /// The caller's ports, or its ACK with a media address; no step is carried out before.
    Caller,
    /// The response to the request of a document.
    Document { query: QueryId, id: u32 },
    /// A sound that is being fetched or synthesised.
    Sound { query: QueryId, id: u32, repeat: LoopCount },
    /// The end of a sound, with the number of remaining repetitions (`left`).
    Played { id: u32, sound: Arc<[u8]>, left: u32 },
    /// The end of digits being played, with the digits sent so far (`played`), and the number of remaining repetitions
    /// (`left`).
    Digits { id: u32, digits: SensitiveText, played: usize, left: u32 },
}

/// Sound that a program plays, as plain data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlayingSnapshot {
    id: u32,
    /// Samples in μ-law, in base64.
    sound: String,
    left: u32,
}

/// Maximum length of a sound that another process continues, in bytes: 131 s. A longer one begins again.
const KEPT_SOUND_BYTES: usize = 1 << 20;

/// Origin of a program's requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgramRequestOrigin<'a> {
    /// Call that receives the responses; `None` if an announcement receives them.
    pub(crate) key: Option<CallKey>,
    /// SID of the call with the requests in its trace.
    pub(crate) sid: &'a str,
    /// Application that makes the requests.
    pub(crate) app: &'a Arc<App>,
}

/// Response of the shell for which the program has waited.
#[derive(Debug)]
pub(crate) struct ProgramAnswer {
    /// Origin of the document or sound, for the trace; may be empty.
    pub(crate) origin: String,
    /// Sound to play, with the step's id and repetitions; `None` if the interpreter has consumed the response.
    pub(crate) sound: Option<(u32, LoopCount, Arc<[u8]>)>,
}

/// Effect of the end of a sound.
#[derive(Debug)]
pub(crate) enum SoundEnd {
    /// The sound is played again.
    Again(Arc<[u8]>),
    /// The step has ended, and the interpreter has been informed.
    StepOver,
}

impl<'a> ProgramRequestOrigin<'a> {
    /// Returns the origin for the program of a call.
    pub(crate) fn of_call(call: &'a SharedCallState, app: &'a Arc<App>) -> ProgramRequestOrigin<'a> {
        ProgramRequestOrigin { key: Some(call.key), sid: call.legs.sid(), app }
    }
}

impl ProgramRunner {
    /// Creates the runner of a program with a clock that starts at `began`.
    pub(crate) fn new(program: Program, began: Instant) -> ProgramRunner {
        ProgramRunner { program, began, waits: ProgramWait::Nothing }
    }

    /// Returns the time since the program's start.
    pub(crate) fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Returns the time of the program's next timeout.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.began.checked_add(self.program.poll_timeout()?)
    }

    /// Returns whether the program has no further step and waits for nothing.
    pub(crate) fn is_over(&self) -> bool {
        self.program.is_over() && self.waits == ProgramWait::Nothing
    }

    /// Returns the next step of the program; `None` if it waits.
    pub(crate) fn poll_step(&mut self) -> Option<ProgramStep> {
        self.program.poll_output()
    }

    /// Passes an input to the interpreter at the time `now`.
    pub(crate) fn take_input(&mut self, now: Instant, input: ProgramInput) {
        self.program.handle_input(self.time(now), input);
    }

    /// Returns the sound that the program plays as plain data; `None` without one, or if it is too long.
    pub(super) fn playing(&self) -> Option<PlayingSnapshot> {
        let ProgramWait::Played { id, sound, left } = &self.waits else { return None };
        let sound = Some(sound).filter(|sound| sound.len() <= KEPT_SOUND_BYTES)?;
        Some(PlayingSnapshot { id: *id, sound: STANDARD.encode(sound), left: *left })
    }

    /// Restores the wait for the end of a sound, which [`Self::played_again`] returns.
    pub(super) fn restore_playing(&mut self, snapshot: PlayingSnapshot) {
        let PlayingSnapshot { id, sound, left } = snapshot;
        if let Ok(sound) = STANDARD.decode(sound) {
            self.waits = ProgramWait::Played { id, sound: sound.into(), left };
        }
    }

    /// Returns the sound that a restored program plays.
    pub(super) fn played_again(&self) -> Option<PlayerSound> {
        let ProgramWait::Played { sound, left, .. } = &self.waits else { return None };
        Some(if *left == u32::MAX {
            PlayerSound::Hold(HoldSound { first: None, music: Some(sound.clone()) })
        } else {
            PlayerSound::Once(sound.clone())
        })
    }

    /// Informs the interpreter of the current time.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.program.handle_timeout(self.time(now));
    }

    /// Requests a document, and waits for it.
    pub(crate) fn fetch(
        &mut self,
        edge: &mut Edge,
        origin: ProgramRequestOrigin<'_>,
        id: u32,
        request: DocumentRequest,
    ) {
        let query = self.ask(edge, origin, AppResource::Document(request));
        self.waits = ProgramWait::Document { query, id };
    }

    /// Requests that a text be synthesised.
    pub(crate) fn say(&mut self, edge: &mut Edge, origin: ProgramRequestOrigin<'_>, id: u32, say: SayVerb) {
        let SayVerb { text, ssml, voice, language, repeat } = say;
        let query = self.ask(edge, origin, AppResource::Speech { text, ssml, voice, language });
        self.waits = ProgramWait::Sound { query, id, repeat };
    }

    /// Requests a sound file, and waits for it. Does nothing for an inline document.
    pub(crate) fn play_file(
        &mut self,
        edge: &mut Edge,
        origin: ProgramRequestOrigin<'_>,
        (id, repeat): (u32, LoopCount),
        location: &DocumentLocation,
    ) {
        if let Some(place) = webhooks::place(location) {
            let query = self.ask(edge, origin, AppResource::Sound(place));
            self.waits = ProgramWait::Sound { query, id, repeat };
        }
    }

    fn ask(&mut self, edge: &mut Edge, origin: ProgramRequestOrigin<'_>, wanted: AppResource) -> QueryId {
        self.drop_question(edge);
        edge.ask_for(origin.key, origin.sid, origin.app, wanted)
    }

    /// Returns whether the program waits for the answer to this query.
    pub(crate) fn has_asked(&self, query: QueryId) -> bool {
        matches!(self.waits, ProgramWait::Document { query: asked, .. } | ProgramWait::Sound { query: asked, .. } if asked == query)
    }

    /// Handles the shell's answer to a query; `None` if the program does not wait for it.
    pub(crate) fn take_answer(&mut self, now: Instant, query: QueryId, answer: AppAnswer) -> Option<ProgramAnswer> {
        if !self.has_asked(query) {
            return None;
        }
        let (origin, input) = match (std::mem::replace(&mut self.waits, ProgramWait::Nothing), answer) {
            (ProgramWait::Document { id, .. }, AppAnswer::Document { url, content_type, body, told }) => {
                (told, ProgramInput::Fetched { id, url, content_type, body })
            }
            (ProgramWait::Document { id, .. }, AppAnswer::Failed { code, text }) => {
                (String::new(), ProgramInput::FetchFailed { id, code, text })
            }
            (ProgramWait::Sound { id, repeat, .. }, AppAnswer::Sound { sound, told }) => {
                return Some(ProgramAnswer { origin: told, sound: Some((id, repeat, sound)) });
            }
            (ProgramWait::Sound { id, .. }, AppAnswer::Failed { code, text }) => {
                (String::new(), ProgramInput::PlayFailed { id, code, text })
            }
            _ => return None,
        };
        self.take_input(now, input);
        Some(ProgramAnswer { origin, sound: None })
    }

    /// Records the start of a sound, with the repetitions of its step.
    pub(crate) fn begin_sound(&mut self, (id, repeat): (u32, LoopCount), sound: Arc<[u8]>) {
        self.waits = ProgramWait::Played { id, sound, left: further_times(repeat) };
    }

    /// Records the end of a sound; `None` if none was playing.
    pub(crate) fn end_sound(&mut self, now: Instant) -> Option<SoundEnd> {
        let ProgramWait::Played { sound, left, .. } = &mut self.waits else { return None };
        if let Some(again) = left.checked_sub(1) {
            *left = again;
            return Some(SoundEnd::Again(sound.clone()));
        }
        self.finish_sound(now);
        Some(SoundEnd::StepOver)
    }

    /// Ends the step of the current sound, without further repetitions.
    pub(crate) fn finish_sound(&mut self, now: Instant) {
        if let ProgramWait::Played { id, .. } = self.waits {
            self.waits = ProgramWait::Nothing;
            self.take_input(now, ProgramInput::Played { id });
        }
    }

    /// Stops the current or pending sound.
    pub(crate) fn stop_playing(&mut self, edge: &mut Edge) {
        self.drop_question(edge);
        if matches!(self.waits, ProgramWait::Played { .. } | ProgramWait::Digits { .. }) {
            self.waits = ProgramWait::Nothing;
        }
    }

    /// Cancels the program's pending question to the shell.
    pub(crate) fn drop_question(&mut self, edge: &mut Edge) {
        if let ProgramWait::Document { query, .. } | ProgramWait::Sound { query, .. } = self.waits {
            edge.give_up(query);
            self.waits = ProgramWait::Nothing;
        }
    }
}

/// Returns the number of repetitions after the first playing.
pub(crate) const fn further_times(repeat: LoopCount) -> u32 {
    match repeat {
        LoopCount::Times(times) => times.saturating_sub(1),
        LoopCount::Forever => u32::MAX,
    }
}
