//! Applications: a caller who talks to documents.
//!
//! [`Run`] is a call's program (`trunkgate_twiml`) with what it waits for in the call. It is asked after each of its
//! steps, and by every event that is its own: documents and sounds that arrive, digits, parties that answer and leave. A
//! party that it dials is searched for as any other target is; the route's own targets wait behind the program.
//!
//! What a program does with the call below it (media, negotiation, search, recorders) it does itself; what it asks of the call above it is a
//! [`effects::ProgramEffect`]. A part of a program takes its run as a parameter and has no way to the other parts, which `run.rs`, `steps.rs` and
//! `side.rs` bring together. What concerns several calls or rooms, as a party that goes on in a call of its own, stands in `parts/`.
//!
//! | the program runs | the call's state |
//! | --- | --- |
//! | its caller has no answer yet | searching |
//! | its caller hears prompts, or the ringing of a dialled party | rerouting |
//! | a dialled party or a stream is connected | answered |
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | the shell answers a question of the application | the program goes on | the document of a called party goes on | the program goes on | the same | – |
//! | the program's timer | the program goes on | the same | the same | the same | – |
//! | a digit for the program | – | of a called party's document, or `hangupOnStar` | the program goes on | – | – |
//! | `timeLimit` of a Dial | – | BYE to the party, the program goes on | – | – | – |
//! | a dialled agent has not taken the caller in time | next turn of the Dial, or the program goes on | – | the same | – | – |
//! | an event of the caller's conference | – | – | the program goes on, or the caller hears something else | – | – |
//! | an event of the caller's queue; its time has passed | – | – | the program goes on, or the caller hears something else | – | – |
//! | NOTIFY of the program's own REFER | – | – | the program goes on | – | – |

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

/// The applications of a call: the program that runs, and what programs have begun.
#[derive(Debug, Default)]
pub(crate) struct CallProgram {
    /// The program that has the call.
    run: Option<Box<Run>>,
    /// What applications have opened; boxed, as few calls have any of it.
    opened: Option<Box<OpenedByApps>>,
    /// The conference that the caller is in.
    pub(crate) conference: CallerConference,
    /// The queue that the caller is in, or has dialled.
    pub(crate) queue: CallerQueue,
    /// Reports of the call's progress.
    pub(crate) reports: CallReports,
}

/// What applications have opened beside the call: streams, and recognisers.
#[derive(Debug, Default)]
struct OpenedByApps {
    /// Streams.
    streams: AppStreams,
    /// Recognition of what the caller says to the program.
    recognition: CallerRecognition,
    /// Live transcriptions.
    transcripts: LiveTranscripts,
}

/// The program that runs in a call.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its application.
    app: Arc<App>,
    /// The interpreter, with what it waits for.
    runner: ProgramRunner,
    /// Targets of the route behind it.
    behind: Controller,
    /// The step that it waits for, which is carried out again after a restart.
    under_way: Option<Box<Step>>,
    /// A party that it dials, or a stream.
    side: Option<Side>,
    /// The place in a queue that a restart has kept, until it is taken again.
    back_in_queue: Option<Box<QueueReturn>>,
    /// The called party whose document it runs; `None`: it is the caller's.
    called: Option<Called>,
    /// Transfer of its caller by REFER.
    referral: CallerReferral,
    /// The route's caller number, in the place of which a Dial may show another.
    shown_as: Option<Box<ShownCallerId>>,
    /// The ring time-out of the route.
    ring_timeout: Option<Duration>,
    /// Whether a conference has not taken its caller, before the call was answered.
    is_turned_away: bool,
    /// Whether a request has given it another document: what the file allows to those of its application no longer holds.
    is_redirected: bool,
}

/// A party or stream that has the caller, or is to have it.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// Id of the step.
    id: u32,
    /// Whether it is a stream.
    is_stream: bool,
    /// When it was connected with the caller.
    since: Option<Instant>,
    /// Longest time together; zero: no limit.
    limit: Duration,
    /// The sid of the connected party's call.
    sid: Option<String>,
    /// Whether the caller and the party hear each other.
    is_bridged: bool,
    /// The parties that are called now, by their branches.
    parties: Vec<Dialled>,
    /// Recording of the Dial.
    record: Option<Box<DialRecording>>,
    /// Parties that are called after them: in turn, those of one turn at once.
    further: VecDeque<Vec<Dialled>>,
}

/// A party of a Dial.
#[derive(Debug, Clone)]
pub(crate) struct Dialled {
    /// Its targets in order: the next one is called where one cannot be had.
    targets: Vec<Target>,
    /// What it hears before it is connected.
    whisper: Option<Whisper>,
    /// Detection of who has answered.
    detection: Option<PartyDetection>,
    /// Its call.
    call: PartyCall,
}

/// What a called party hears before it is connected: digits, then a document.
#[derive(Debug, Clone)]
pub(crate) struct Whisper {
    /// The digits.
    digits: Option<Secret>,
    /// Place of the document, and the method of its request.
    document: Option<(Location, Method)>,
    /// The party, as the program named it.
    to: String,
}

impl Side {
    /// A party or stream that is not connected yet.
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
    /// The party.
    parted: Parted,
    /// The document that follows.
    then: Option<(Location, Method)>,
    /// The caller's program.
    outer: Box<Run>,
}

/// A party that has answered and is parted from the caller.
#[derive(Debug)]
pub(crate) struct Parted {
    /// Its leg.
    leg: LegId,
    /// Its address, as the program named it.
    to: String,
    /// How it is to be connected with the caller.
    wires: Vec<(EndId, (EndId, WireSpec))>,
}

impl Run {
    /// Makes the run of a program of an application that begins now.
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

    /// Gives the interpreter the input by which a part ends its step, where it has one.
    pub(crate) fn end_step_by(&mut self, now: Instant, input: Option<Input>) -> ProgramEffect {
        input.map_or(ProgramEffect::Stay, |input| self.end_step(now, input))
    }

    /// Gives the interpreter an input by which the step ends that is under way.
    pub(crate) fn end_step(&mut self, now: Instant, input: Input) -> ProgramEffect {
        self.under_way = None;
        self.take_input(now, input)
    }

    /// Gives the interpreter an input by which no step ends.
    pub(crate) fn take_input(&mut self, now: Instant, input: Input) -> ProgramEffect {
        self.runner.take_input(now, input);
        ProgramEffect::Run
    }

    /// Returns whether something of it is under way.
    pub(crate) fn is_waiting(&self) -> bool {
        let ProgramRunner { program, waits, .. } = &self.runner;
        *waits != Waits::Nothing
            || self.referral.is_pending()
            || program.is_recording()
            || program.poll_timeout().is_some()
    }
    /// Returns whether its timer has to run.
    pub(crate) fn has_deadline(&self) -> bool {
        match self.runner.waits {
            Waits::Digits { .. } => true,
            Waits::Caller => false,
            Waits::Nothing | Waits::Document { .. } | Waits::Sound { .. } | Waits::Played { .. } => {
                self.referral.is_pending() || self.runner.program.poll_timeout().is_some()
            }
        }
    }
    /// Returns the caller's program, which may be behind that of a called party.
    pub(crate) fn of_caller(&self) -> &Run {
        self.called.as_ref().map_or(self, |called| &called.outer)
    }
    /// Returns the same, to be changed.
    pub(crate) fn of_caller_mut(&mut self) -> &mut Run {
        match self.called {
            Some(ref mut called) => &mut called.outer,
            None => self,
        }
    }
    /// Returns whether digits of an end are its own.
    pub(crate) fn takes_digits_of(&self, call: &Shared, media: &CallMedia, end: EndId) -> bool {
        let leg = call.legs.leg_of(end);
        match &self.called {
            Some(called) => leg == Some(called.parted.leg),
            None => leg == Some(call.legs.near) && (call.legs.callee.is_none() || media.tells_digits),
        }
    }
    /// Returns whether an end is its player.
    pub(crate) fn plays_by(&self, media: &CallMedia, end: EndId) -> bool {
        match self.called {
            Some(_) => media.called_player == Some(end),
            None => media.player.is_some_and(|player| player.end == end),
        }
    }
    /// Returns what a party that is being called is to hear once it answers.
    pub(crate) fn whisper_of(&self, branch: Branch) -> Option<Whisper> {
        self.side.as_ref()?.parties.get(branch.place())?.whisper.clone()
    }
    /// Returns whether all parties that are being called hear something before they are connected, and may press keys meanwhile.
    pub(crate) fn asks_parties(&self) -> bool {
        let parties = self.side.as_ref().map(|side| &side.parties).filter(|parties| !parties.is_empty());
        parties.is_some_and(|parties| parties.iter().all(|party| party.whisper.is_some()))
    }
    /// Returns whether a called party hears its document.
    pub(crate) const fn is_whispering(&self) -> bool {
        self.called.is_some()
    }
    /// Returns whether it has a party or stream: called, connected, or about to be.
    pub(crate) fn has_side(&self) -> bool {
        self.side.is_some()
    }
    /// Returns the targets of the route behind it.
    pub(crate) fn targets_behind(&self) -> impl Iterator<Item = TargetSpec> {
        self.behind.left()
    }
    /// Returns whether its end leads to the next target of the route.
    pub(crate) fn is_announcement(&self) -> bool {
        self.app.as_sound().is_some()
    }
    /// Returns whether documents decide about the call: it is neither an announcement nor a mailbox.
    pub(crate) fn is_application(&self) -> bool {
        match self.app.document {
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => true,
            AppDocument::Sound(_) | AppDocument::Mailbox(_) | AppDocument::Conference(_) => false,
        }
    }
    /// Notes for the story of the call which application or mailbox has it.
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
