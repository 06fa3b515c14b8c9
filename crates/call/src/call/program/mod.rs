//! Applications: a caller who talks to documents.
//!
//! [`Run`] is a call's program (`trunkgate_twiml`) with what it waits for in the call. It is asked after each of its
//! steps, and by every event that is its own: documents and sounds that arrive, digits, parties that answer and leave. A
//! party that it dials is searched for as any other target is; the route's own targets wait behind the program.
//!
//! | the program runs | the call's state |
//! | --- | --- |
//! | its caller has no answer yet | searching |
//! | its caller hears prompts, or the ringing of a dialled party | rerouting |
//! | a dialled party or a stream is connected | answered |

pub(crate) mod callback;
pub(crate) mod conference;
pub(crate) mod detached;
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
pub(crate) mod snapshot;
pub(crate) mod steps;
pub(crate) mod streams;
pub(crate) mod takeover;
pub(crate) mod transcripts;
pub(crate) mod whisper;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::{EndId, WireSpec};
use trunkgate_resources::app::AppAnswer;
use trunkgate_resources::conferences::ConferenceNews;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::io::QueryId;
use trunkgate_resources::key::{Branch, LegId};
use trunkgate_resources::queues::QueueNews;
use trunkgate_route::{App, AppDocument, Target};
use trunkgate_twiml::{Input, Location, Loop, Method, PartyDetection, Program, Secret, Source, Step, VoiceMessage};

use crate::call::Parts;
use crate::call::media::CallMedia;
use crate::call::program::callback::CallReports;
use crate::call::program::conference::CallerConference;
use crate::call::program::effects::ProgramEffect;
use crate::call::program::progress::PartyCall;
use crate::call::program::queueing::CallerQueue;
use crate::call::program::recognition::CallerRecognition;
use crate::call::program::records::DialRecording;
use crate::call::program::refer::Referral;
use crate::call::search::controller::Controller;

use crate::call::CallEvent;
use crate::call::program::streams::Streams;
pub(crate) use crate::call::program::takeover::Takeover;
use crate::call::program::transcripts::LiveTranscripts;
use crate::call::shared::{Cx, Shared, ShownCallerId};

/// The applications of a call: the program that runs, and what programs have begun.
#[derive(Debug, Default)]
pub(crate) struct CallProgram {
    /// The program that has the call.
    pub(crate) run: Option<Box<Run>>,
    /// Streams of applications, also of those that the call has left.
    pub(crate) streams: Option<Box<Streams>>,
    /// Recognition of what the caller says to the program.
    pub(crate) recognition: CallerRecognition,
    /// Live transcriptions.
    pub(crate) transcripts: LiveTranscripts,
    /// The conference that the caller is in.
    pub(crate) conference: CallerConference,
    /// The queue that the caller is in, or has dialled.
    pub(crate) queue: CallerQueue,
    /// Reports of the call's progress.
    pub(crate) reports: CallReports,
}

/// The program that runs in a call.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its application.
    pub(crate) app: Arc<App>,
    /// The interpreter.
    pub(crate) program: Program,
    /// The beginning of its time.
    pub(crate) began: Instant,
    /// Targets of the route behind it.
    pub(crate) behind: Controller,
    /// What it waits for of the shell or the worker.
    pub(crate) waits: Waits,
    /// The step that it waits for, which is carried out again after a restart.
    pub(crate) under_way: Option<Box<Step>>,
    /// A party that it dials, or a stream.
    pub(crate) side: Option<Side>,
    /// The called party whose document it runs; `None`: it is the caller's.
    pub(crate) called: Option<Called>,
    /// A REFER that it waits for.
    pub(crate) referral: Option<Referral>,
    /// The route's caller number, in the place of which a Dial may show another.
    pub(crate) shown_as: Option<Box<ShownCallerId>>,
    /// The ring time-out of the route.
    pub(crate) ring_timeout: Option<Duration>,
    /// Whether a conference has not taken its caller, before the call was answered.
    pub(crate) is_turned_away: bool,
    /// Whether a request has given it another document: what the file allows to those of its application no longer holds.
    pub(crate) is_redirected: bool,
}

/// Runs the program of a call: its steps and its events.
pub(crate) struct Runner<'p> {
    parts: &'p mut Parts,
}

/// Plays what a program says, to the caller or to the called party whose document it is.
pub(crate) struct Prompter<'p> {
    parts: &'p mut Parts,
}

/// Sends the caller of a program elsewhere.
pub(crate) struct Referrer<'p> {
    parts: &'p mut Parts,
}

/// Calls the parties of a program, and connects them with the caller.
pub(crate) struct Dialler<'p> {
    parts: &'p mut Parts,
}

impl<'p> Runner<'p> {
    /// Acts on the program of a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Runner<'p> {
        Runner { parts }
    }
}

impl<'p> Prompter<'p> {
    /// Acts on the program of a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Prompter<'p> {
        Prompter { parts }
    }
}

impl<'p> Referrer<'p> {
    /// Acts on the program of a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Referrer<'p> {
        Referrer { parts }
    }
}

impl<'p> Dialler<'p> {
    /// Acts on the program of a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Dialler<'p> {
        Dialler { parts }
    }
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
    /// The end of a sound.
    Played { id: u32, sound: Arc<[u8]>, left: u32 },
    /// The end of digits that are played: how many of them are, and how often all are to be played still.
    Digits { id: u32, digits: Secret, played: usize, left: u32 },
}

/// A party or stream that has the caller, or is to have it.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    /// Id of the step.
    pub(crate) id: u32,
    /// Whether it is a stream.
    pub(crate) is_stream: bool,
    /// When it was connected with the caller.
    pub(crate) since: Option<Instant>,
    /// Longest time together; zero: no limit.
    pub(crate) limit: Duration,
    /// The sid of the connected party's call.
    pub(crate) sid: Option<String>,
    /// Whether the caller and the party hear each other.
    pub(crate) is_bridged: bool,
    /// The parties that are called now, by their branches.
    pub(crate) parties: Vec<Dialled>,
    /// Recording of the Dial.
    pub(crate) record: Option<Box<DialRecording>>,
    /// Parties that are called after them: in turn, those of one turn at once.
    pub(crate) further: VecDeque<Vec<Dialled>>,
}

/// A party of a Dial.
#[derive(Debug, Clone)]
pub(crate) struct Dialled {
    /// Its targets in order: the next one is called where one cannot be had.
    pub(crate) targets: Vec<Target>,
    /// What it hears before it is connected.
    pub(crate) whisper: Option<Whisper>,
    /// Detection of who has answered.
    pub(crate) detection: Option<PartyDetection>,
    /// Its call.
    pub(crate) call: PartyCall,
}

/// What a called party hears before it is connected: digits, then a document.
#[derive(Debug, Clone)]
pub(crate) struct Whisper {
    /// The digits.
    pub(crate) digits: Option<Secret>,
    /// Place of the document, and the method of its request.
    pub(crate) document: Option<(Location, Method)>,
    /// The party, as the program named it.
    pub(crate) to: String,
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
    pub(crate) parted: Parted,
    /// The document that follows.
    pub(crate) then: Option<(Location, Method)>,
    /// The caller's program.
    pub(crate) outer: Box<Run>,
}

/// A party that has answered and is parted from the caller.
#[derive(Debug)]
pub(crate) struct Parted {
    /// Its leg.
    pub(crate) leg: LegId,
    /// Its address, as the program named it.
    pub(crate) to: String,
    /// How it is to be connected with the caller.
    pub(crate) wires: Vec<(EndId, (EndId, WireSpec))>,
}

impl CallProgram {
    /// Returns whether a step or an input of its program is under way.
    pub(crate) fn is_waiting(&self) -> bool {
        let runs_on = self.run.as_ref().is_some_and(|run| run.is_waiting());
        runs_on || self.conference.is_joined() || self.queue.has_place()
    }

    /// Takes an event of the recogniser of the caller's speech.
    pub(crate) fn recognised(&mut self, cx: &mut Cx<'_>, event: CallEvent) -> ProgramEffect {
        match self.recognition.handle(cx, event).zip(self.run.as_mut()) {
            Some((input, run)) => run.take_input(cx.now, input),
            None => ProgramEffect::Stay,
        }
    }

    /// Takes the response to the report of a partial result, which is not run; false where it is another's.
    fn partial_answered(&mut self, cx: &mut Cx<'_>, query: QueryId, answer: &AppAnswer) -> bool {
        let app = self.run.as_ref().map(|run| &run.app);
        self.transcripts.partial_answered(cx, query, answer)
            || self.recognition.partial_answered(cx, app, query, answer)
    }

    /// Takes news of the queue that the caller is in or has dialled.
    pub(crate) fn queue_news(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia, news: QueueNews) -> ProgramEffect {
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        self.queue.take_news(cx, media, run, news)
    }

    /// The caller has waited for the queue that it has dialled, or been connected by it, for as long as it may.
    pub(crate) fn queue_due(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia) -> ProgramEffect {
        cx.call.deadlines.remove(Timer::Queued);
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        self.queue.due(cx, media, run)
    }

    /// Takes news of the conference that the caller is in.
    pub(crate) fn conference_news(
        &mut self,
        cx: &mut Cx<'_>,
        media: &mut CallMedia,
        news: ConferenceNews,
    ) -> ProgramEffect {
        let Some(run) = &mut self.run else { return ProgramEffect::Stay };
        self.conference.take_news(cx, media, run, news)
    }
}

impl Run {
    /// Gives the interpreter an input by which the step ends that is under way.
    pub(crate) fn end_step(&mut self, now: Instant, input: Input) -> ProgramEffect {
        self.under_way = None;
        self.take_input(now, input)
    }

    /// Gives the interpreter an input by which no step ends.
    pub(crate) fn take_input(&mut self, now: Instant, input: Input) -> ProgramEffect {
        let time = self.time(now);
        self.program.handle_input(time, input);
        ProgramEffect::Run
    }

    /// Returns the time of the program.
    pub(crate) fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
    /// Returns whether something of it is under way.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waits != Waits::Nothing
            || self.referral.is_some()
            || self.program.is_recording()
            || self.program.poll_timeout().is_some()
    }
    /// Returns whether its timer has to run.
    pub(crate) fn has_deadline(&self) -> bool {
        match self.waits {
            Waits::Digits { .. } => true,
            Waits::Caller => false,
            Waits::Nothing | Waits::Document { .. } | Waits::Sound { .. } | Waits::Played { .. } => {
                self.referral.is_some() || self.program.poll_timeout().is_some()
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
        AppDocument::Url { url, method } => (Location::Url(url.clone()), parameters::method_of(*method)),
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
    Some((Location::Url(url), parameters::method_of(app.fallback_method)))
}
