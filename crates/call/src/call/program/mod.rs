//! Applications: calls controlled by documents (TwiML).
//!
//! [`Run`] is a call's program (`trunkgate_twiml`) with the event in the call that it waits for. It is polled after
//! each of its steps and after every event that belongs to it: fetched documents and sounds, digits, parties that
//! answer and leave. A party that it dials is searched for as any other target; the route's remaining targets wait
//! until the program is over.
//!
//! A program acts directly on the parts below it (media, negotiation, search, recorders), and returns an
//! [`effects::ProgramEffect`] for actions above it. A part of a program takes its run as a parameter and has no access
//! to the other parts, which `run.rs`, `steps.rs` and `side.rs` bring together. Matters of several calls or rooms, such
//! as a party that continues in a call of its own, are in `parts/`.
//!
//! | the program runs | the call's state |
//! | --- | --- |
//! | its caller has no answer yet | searching |
//! | its caller hears prompts, or the ringing of a dialled party | rerouting |
//! | a dialled party or a stream is connected | answered |
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | the shell answers a question of the application | the program continues | the document of a called party continues | the program continues | the same | – |
//! | the program's timer | the program continues | the same | the same | the same | – |
//! | a digit for the program | – | of a called party's document, or `hangupOnStar` | the program continues | – | – |
//! | `timeLimit` of a Dial | – | BYE to the party, the program continues | – | – | – |
//! | a dialled agent has not accepted the caller in time | next turn of the Dial, or the program continues | – | the same | – | – |
//! | an event of the caller's conference | – | – | the program continues, or the caller's audio changes | – | – |
//! | an event or time-out of the caller's queue | – | – | the program continues, or the caller's audio changes | – | – |
//! | NOTIFY of the program's own REFER | – | – | the program continues | – | – |

pub(crate) mod callback;
pub(crate) mod conference;
pub(crate) mod dial;
pub(crate) mod effects;
mod music;
pub(crate) mod parameters;
pub(crate) mod partials;
pub(crate) mod progress;
pub(crate) mod prompt;
pub(crate) mod queueing;
pub(crate) mod recognition;
pub(crate) mod records;
pub(crate) mod refer;
pub(crate) mod run;
pub(crate) mod runner;
pub(crate) mod side;
pub(crate) mod snapshot;
pub(crate) mod steps;
pub(crate) mod streams;
pub(crate) mod transcripts;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::{EndId, WireSpec};
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_route::{App, AppDocument, Target, TargetSpec};
use trunkgate_twiml::{Input, Location, Method, PartyDetection, Program, Secret, Source, Step, VoiceMessage};

use crate::call::media::CallMedia;
use crate::call::program::callback::CallReports;
use crate::call::program::conference::CallerConference;
use crate::call::program::effects::ProgramEffect;
use crate::call::program::progress::PartyCall;
use crate::call::program::queueing::{CallerQueue, QueueReturn};
use crate::call::program::recognition::CallerRecognition;
use crate::call::program::records::DialRecording;
use crate::call::program::refer::CallerReferral;
use crate::call::program::runner::{ProgramRunner, Waits};
use crate::call::program::streams::AppStreams;
use crate::call::program::transcripts::LiveTranscripts;
use crate::call::search::controller::Controller;
use crate::call::shared::{Shared, ShownCallerId};
use crate::call::words::webhooks;

/// The applications of a call: the running program, and the streams, queues and reports that programs have begun.
#[derive(Debug, Default)]
pub(crate) struct CallProgram {
    /// Program that controls the call.
    run: Option<Box<Run>>,
    /// Streams and recognisers opened by applications; boxed, as few calls have any.
    opened: Option<Box<OpenedByApps>>,
    /// Conference of the caller.
    pub(crate) conference: CallerConference,
    /// Queue in which the caller waits, or which the caller has dialled.
    pub(crate) queue: CallerQueue,
    /// Reports of the call's progress.
    pub(crate) reports: CallReports,
}

/// Streams and recognisers that applications have opened beside the call.
#[derive(Debug, Default)]
struct OpenedByApps {
    /// Streams.
    streams: AppStreams,
    /// Recognition of the caller's speech for the program.
    recognition: CallerRecognition,
    /// Live transcriptions.
    transcripts: LiveTranscripts,
}

/// A running program of a call.
#[derive(Debug)]
pub(crate) struct Run {
    /// Application of the program.
    app: Arc<App>,
    /// Interpreter, and the answer that it waits for.
    runner: ProgramRunner,
    /// Targets of the route that follow after the program.
    behind: Controller,
    /// Step in progress; carried out again after a restart.
    under_way: Option<Box<Step>>,
    /// Party that the program dials, or its stream.
    side: Option<Side>,
    /// Queue position kept by a restart, until it is taken again.
    back_in_queue: Option<Box<QueueReturn>>,
    /// Called party that hears this program; `None`: the caller does.
    called: Option<Called>,
    /// Transfer of the caller by REFER.
    referral: CallerReferral,
    /// Caller ID set by the route, which a Dial may replace for its parties.
    shown_as: Option<Box<ShownCallerId>>,
    /// The ring time-out of the route.
    ring_timeout: Option<Duration>,
    /// Whether a conference refused the caller before the call was answered.
    is_turned_away: bool,
    /// Whether a request has replaced the document. The permissions that the configuration gives to the application's
    /// own documents do not apply to it.
    is_redirected: bool,
}

/// A party or stream that has the caller, or is being connected with the caller.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// Id of the step.
    id: u32,
    /// Whether the side is a stream.
    is_stream: bool,
    /// Time at which it was connected with the caller.
    since: Option<Instant>,
    /// Maximum time together; zero: no limit.
    limit: Duration,
    /// SID of the connected party's call.
    sid: Option<String>,
    /// Whether the caller and the party hear each other.
    is_bridged: bool,
    /// Parties that are called now, by branch.
    parties: Vec<Dialled>,
    /// Recording of the Dial.
    record: Option<Box<DialRecording>>,
    /// Parties to call next, in turns; the parties of one turn are called at once.
    further: VecDeque<Vec<Dialled>>,
}

/// A party of a Dial.
#[derive(Debug, Clone)]
pub(crate) struct Dialled {
    /// Targets of the party in order: the next one is called if one fails.
    targets: Vec<Target>,
    /// Digits and document for the party before it is connected.
    whisper: Option<Whisper>,
    /// Detection of a human or a machine at the answer.
    detection: Option<PartyDetection>,
    /// Progress of its call.
    call: PartyCall,
}

/// Digits, then a document, played to a called party before it is connected.
#[derive(Debug, Clone)]
pub(crate) struct Whisper {
    /// Digits to play first.
    digits: Option<Secret>,
    /// Location of the document, and the method of its request.
    document: Option<(Location, Method)>,
    /// Address of the party, as the program named it.
    to: String,
}

impl Side {
    /// Creates a party or stream that is not connected yet.
    pub(crate) fn new(id: u32, is_stream: bool) -> Side {
        Side {
            id,
            is_stream,
            since: None,
            limit: Duration::ZERO,
            sid: None,
            is_bridged: false,
            record: None,
            parties: Vec::new(),
            further: VecDeque::new(),
        }
    }
}

/// A called party that hears a document before it is connected.
#[derive(Debug)]
pub(crate) struct Called {
    /// Party and its future connection.
    parted: Parted,
    /// Document to play after the digits.
    then: Option<(Location, Method)>,
    /// Program of the caller.
    outer: Box<Run>,
}

/// A party that has answered and is kept apart from the caller.
#[derive(Debug)]
pub(crate) struct Parted {
    /// Leg of the party.
    leg: LegId,
    /// Address of the party, as the program named it.
    to: String,
    /// Media connections to be made with the caller later.
    wires: Vec<(EndId, (EndId, WireSpec))>,
}

impl Run {
    /// Creates the run of an application's program that begins at `began`.
    pub(crate) fn new(app: Arc<App>, program: Program, began: Instant) -> Run {
        Run {
            app,
            runner: ProgramRunner::new(program, began),
            behind: Controller::Done,
            under_way: None,
            side: None,
            back_in_queue: None,
            called: None,
            referral: CallerReferral::default(),
            shown_as: None,
            ring_timeout: None,
            is_turned_away: false,
            is_redirected: false,
        }
    }

    /// Ends the current step with the input of its part, if there is one.
    pub(crate) fn end_step_by(&mut self, now: Instant, input: Option<Input>) -> ProgramEffect {
        input.map_or(ProgramEffect::Stay, |input| self.end_step(now, input))
    }

    /// Gives the interpreter the input that ends the current step.
    pub(crate) fn end_step(&mut self, now: Instant, input: Input) -> ProgramEffect {
        self.under_way = None;
        self.take_input(now, input)
    }

    /// Gives the interpreter an input without ending a step.
    pub(crate) fn take_input(&mut self, now: Instant, input: Input) -> ProgramEffect {
        self.runner.take_input(now, input);
        ProgramEffect::Run
    }

    /// Returns whether the program waits for anything.
    pub(crate) fn is_waiting(&self) -> bool {
        let ProgramRunner { program, waits, .. } = &self.runner;
        *waits != Waits::Nothing
            || self.referral.is_pending()
            || program.is_recording()
            || program.poll_timeout().is_some()
    }
    /// Returns whether the program's timer must run.
    pub(crate) fn has_deadline(&self) -> bool {
        match self.runner.waits {
            Waits::Digits { .. } => true,
            Waits::Caller => false,
            Waits::Nothing | Waits::Document { .. } | Waits::Sound { .. } | Waits::Played { .. } => {
                self.referral.is_pending() || self.runner.program.poll_timeout().is_some()
            }
        }
    }
    /// Returns the caller's program, which a called party's program may have displaced.
    pub(crate) fn of_caller(&self) -> &Run {
        self.called.as_ref().map_or(self, |called| &called.outer)
    }
    /// Returns the caller's program, mutably.
    pub(crate) fn of_caller_mut(&mut self) -> &mut Run {
        match self.called {
            Some(ref mut called) => &mut called.outer,
            None => self,
        }
    }
    /// Returns whether digits from `end` go to the program.
    pub(crate) fn takes_digits_of(&self, call: &Shared, media: &CallMedia, end: EndId) -> bool {
        let leg = call.legs.leg_of(end);
        match &self.called {
            Some(called) => leg == Some(called.parted.leg),
            None => leg == Some(call.legs.near) && (call.legs.callee.is_none() || media.tells_digits),
        }
    }
    /// Returns whether `end` is the player of the program.
    pub(crate) fn plays_by(&self, media: &CallMedia, end: EndId) -> bool {
        match self.called {
            Some(_) => media.called_player == Some(end),
            None => media.player.is_some_and(|player| player.end == end),
        }
    }
    /// Returns the digits and document for a ringing party to hear once it answers.
    pub(crate) fn whisper_of(&self, branch: Branch) -> Option<Whisper> {
        self.side.as_ref()?.parties.get(branch.place())?.whisper.clone()
    }
    /// Returns whether all ringing parties hear a document before they are connected, so that their digits must be
    /// received.
    pub(crate) fn asks_parties(&self) -> bool {
        let parties = self.side.as_ref().map(|side| &side.parties).filter(|parties| !parties.is_empty());
        parties.is_some_and(|parties| parties.iter().all(|party| party.whisper.is_some()))
    }
    /// Returns whether a called party is hearing its document.
    pub(crate) const fn is_whispering(&self) -> bool {
        self.called.is_some()
    }
    /// Returns whether the program has a party or stream: ringing, connected, or about to be.
    pub(crate) fn has_side(&self) -> bool {
        self.side.is_some()
    }
    /// Returns the targets of the route that follow after the program.
    pub(crate) fn targets_behind(&self) -> impl Iterator<Item = TargetSpec> {
        self.behind.left()
    }
    /// Returns whether the program is an announcement, after which the next target of the route is tried.
    pub(crate) fn is_announcement(&self) -> bool {
        self.app.as_sound().is_some()
    }
    /// Returns whether documents control the call: the program is no announcement, mailbox or conference.
    pub(crate) fn is_application(&self) -> bool {
        match self.app.document {
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => true,
            AppDocument::Sound(_) | AppDocument::Mailbox(_) | AppDocument::Conference(_) => false,
        }
    }
    /// Records the application or mailbox in the story of the call.
    pub(crate) fn note(&self, call: &mut Shared) {
        if let Some(mailbox) = self.app.as_mailbox() {
            call.story.app.get_or_insert_default().mailbox = Some(mailbox.name.clone());
        } else if self.is_application() {
            call.story.app.get_or_insert_default().name = Some(self.app.name.clone());
        }
    }
}

/// Returns an application's first document.
pub(crate) fn first_document(document: &AppDocument) -> Source {
    let (location, method) = match document {
        AppDocument::Url { url, method } => (Location::Url(url.clone()), webhooks::method_of(*method)),
        AppDocument::File(path) | AppDocument::Sound(path) => (Location::File(path.clone()), Method::Get),
        AppDocument::Text(text) => return Source::Text(text.to_string()),
        AppDocument::Conference(name) => return Source::Conference(name.to_string()),
        AppDocument::Mailbox(mailbox) => {
            let greeting = mailbox.greeting.clone().map(Location::File);
            let (silence, max_length) = (mailbox.silence, mailbox.max_length);
            return Source::Message(VoiceMessage { greeting, silence, max_length });
        }
    };
    Source::Fetch { location, method }
}

/// Returns the fallback of an application.
pub(crate) fn fallback_of(app: &App) -> Option<(Location, Method)> {
    let url = app.fallback_url.clone()?;
    Some((Location::Url(url), webhooks::method_of(app.fallback_method)))
}
