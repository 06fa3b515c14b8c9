//! Applications: calls controlled by documents (TwiML).
//!
//! [`ProgramRun`] is a call's program (`trunkgate_twiml`) with the event in the call that it waits for. It is polled
//! after each of its steps and after every event that belongs to it: fetched documents and sounds, digits, parties that
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
//! | an event of the caller's conference | – | coaching ends | the program continues, or the caller's audio changes | – | – |
//! | an event or time-out of the caller's queue | – | – | the program continues, or the caller's audio changes | – | – |
//! | NOTIFY of the program's own REFER | – | – | the program continues | – | – |

mod app_snapshot;
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
use trunkgate_route::{App, AppDocument, CallTarget, TargetSpec};
use trunkgate_twiml::{
    DocumentLocation, DocumentSource, HttpMethod, PartyDetection, Program, ProgramInput, ProgramStep, SensitiveText,
    VoiceMessage,
};

use crate::call::media::CallMedia;
use crate::call::program::callback::CallReports;
use crate::call::program::conference::CallerConference;
use crate::call::program::effects::ProgramEffect;
use crate::call::program::progress::PartyCall;
use crate::call::program::queueing::{CallerQueue, QueueReturn};
use crate::call::program::recognition::CallerRecognition;
use crate::call::program::records::DialRecording;
use crate::call::program::refer::CallerReferral;
use crate::call::program::runner::{ProgramRunner, ProgramWait};
use crate::call::program::streams::AppStreams;
use crate::call::program::transcripts::LiveTranscripts;
use crate::call::search::controller::Controller;
use crate::call::shared::{SharedCallState, ShownCallerId};
use crate::call::words::webhooks;

/// The applications of a call: the running program, and the streams, queues and reports that programs have begun.
#[derive(Debug, Default)]
pub(crate) struct CallProgram {
    /// Program that controls the call.
    run: Option<Box<ProgramRun>>,
    /// Streams and recognisers opened by applications; boxed, as few calls have any.
    opened: Option<Box<OpenedByApps>>,
    /// Conference of which the caller is a participant.
    pub(crate) conference: CallerConference,
    /// Queue in which the caller waits, or which the caller has dialled.
    pub(crate) queue: CallerQueue,
    /// Reports of the call's progress.
    pub(crate) reports: CallReports,
}

/// Streams and recognisers that applications have opened beside the call.
#[derive(Debug, Default)]
struct OpenedByApps {
    /// Streams of the caller's audio to WebSockets.
    streams: AppStreams,
    /// Recognition of the caller's speech for the program.
    recognition: CallerRecognition,
    /// Live transcriptions.
    transcripts: LiveTranscripts,
}

/// A running program of a call.
#[derive(Debug)]
pub(crate) struct ProgramRun {
    /// Application to which the program belongs.
    app: Arc<App>,
    /// Interpreter, and the answer that it waits for.
    runner: ProgramRunner,
    /// Targets of the route that follow after the program.
    behind: Controller,
    /// Step in progress; carried out again after a restart.
    under_way: Option<Box<ProgramStep>>,
    /// Party that the program dials, or its stream.
    side: Option<ProgramConnection>,
    /// Queue position from before a restart, until the caller takes it again.
    back_in_queue: Option<Box<QueueReturn>>,
    /// Called party that hears this program; `None` if the caller does.
    screened: Option<ScreenedParty>,
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
pub(crate) struct ProgramConnection {
    /// Id of the step that dials the party or opens the stream.
    id: u32,
    /// Whether the side is a stream.
    is_stream: bool,
    /// Time at which the party or stream was connected with the caller.
    since: Option<Instant>,
    /// Maximum time of the connection with the caller; zero if unlimited.
    limit: Duration,
    /// SID of the connected party's call.
    sid: Option<String>,
    /// Whether the caller and the party hear each other.
    is_bridged: bool,
    /// Parties that are being called, by branch.
    parties: Vec<DialParty>,
    /// Recording that the Dial has requested.
    record: Option<Box<DialRecording>>,
    /// Parties to call next, in turns; the parties of one turn are called at once.
    further: VecDeque<Vec<DialParty>>,
}

/// A party of a Dial.
#[derive(Debug, Clone)]
pub(crate) struct DialParty {
    /// Targets of the party in order: the next one is called if one fails.
    targets: Vec<CallTarget>,
    /// Digits and document for the party before it is connected.
    whisper: Option<PartyWhisper>,
    /// Detection of a human or a machine at the answer.
    detection: Option<PartyDetection>,
    /// Progress of the party's call.
    call: PartyCall,
}

/// Digits, then a document, played to a called party before it is connected.
#[derive(Debug, Clone)]
pub(crate) struct PartyWhisper {
    /// Digits to play first.
    digits: Option<SensitiveText>,
    /// Location of the document, and the method of its request.
    document: Option<(DocumentLocation, HttpMethod)>,
    /// Address of the party, as the program named it.
    to: String,
}

impl ProgramConnection {
    /// Creates a party or stream that is not connected yet.
    pub(crate) fn new(id: u32, is_stream: bool) -> ProgramConnection {
        ProgramConnection {
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
pub(crate) struct ScreenedParty {
    /// The party, with its future connection to the caller.
    party: SeparatedParty,
    /// Document to play after the digits.
    then: Option<(DocumentLocation, HttpMethod)>,
    /// Program of the caller, which continues after this one.
    outer: Box<ProgramRun>,
}

/// A party that has answered and is kept apart from the caller.
#[derive(Debug)]
pub(crate) struct SeparatedParty {
    /// Leg of the party.
    leg: LegId,
    /// Address of the party, as the program named it.
    to: String,
    /// Media connections that will be made with the caller.
    wires: Vec<(EndId, (EndId, WireSpec))>,
}

impl ProgramRun {
    /// Creates the run of an application's program that begins at `began`.
    pub(crate) fn new(app: Arc<App>, program: Program, began: Instant) -> ProgramRun {
        ProgramRun {
            app,
            runner: ProgramRunner::new(program, began),
            behind: Controller::Done,
            under_way: None,
            side: None,
            back_in_queue: None,
            screened: None,
            referral: CallerReferral::default(),
            shown_as: None,
            ring_timeout: None,
            is_turned_away: false,
            is_redirected: false,
        }
    }

    /// Ends the current step with the input of its part, if there is one.
    pub(crate) fn end_step_by(&mut self, now: Instant, input: Option<ProgramInput>) -> ProgramEffect {
        input.map_or(ProgramEffect::Stay, |input| self.end_step(now, input))
    }

    /// Passes the input that ends the current step to the interpreter.
    pub(crate) fn end_step(&mut self, now: Instant, input: ProgramInput) -> ProgramEffect {
        self.under_way = None;
        self.take_input(now, input)
    }

    /// Passes an input to the interpreter without ending a step.
    pub(crate) fn take_input(&mut self, now: Instant, input: ProgramInput) -> ProgramEffect {
        self.runner.take_input(now, input);
        ProgramEffect::Run
    }

    /// Returns whether the program waits for an event or its timer.
    pub(crate) fn is_waiting(&self) -> bool {
        let ProgramRunner { program, waits, .. } = &self.runner;
        *waits != ProgramWait::Nothing
            || self.referral.is_pending()
            || program.is_recording()
            || program.poll_timeout().is_some()
    }

    /// Returns whether the program's timer must run.
    pub(crate) fn has_deadline(&self) -> bool {
        match self.runner.waits {
            ProgramWait::Digits { .. } => true,
            ProgramWait::Caller => false,
            ProgramWait::Nothing
            | ProgramWait::Document { .. }
            | ProgramWait::Sound { .. }
            | ProgramWait::Played { .. } => self.referral.is_pending() || self.runner.program.poll_timeout().is_some(),
        }
    }

    /// Returns the caller's program, which a called party's program may have displaced.
    pub(crate) fn of_caller(&self) -> &ProgramRun {
        self.screened.as_ref().map_or(self, |called| &called.outer)
    }

    /// Returns the caller's program, which a called party's program may have displaced, for modification.
    pub(crate) fn of_caller_mut(&mut self) -> &mut ProgramRun {
        match self.screened {
            Some(ref mut called) => &mut called.outer,
            None => self,
        }
    }

    /// Returns whether digits from `end` go to the program.
    pub(crate) fn takes_digits_of(&self, call: &SharedCallState, media: &CallMedia, end: EndId) -> bool {
        let leg = call.legs.leg_of(end);
        match &self.screened {
            Some(called) => leg == Some(called.party.leg),
            None => leg == Some(call.legs.near) && (call.legs.callee.is_none() || media.tells_digits),
        }
    }

    /// Returns whether `end` is the player of the program.
    pub(crate) fn plays_by(&self, media: &CallMedia, end: EndId) -> bool {
        match self.screened {
            Some(_) => media.called_player == Some(end),
            None => media.player.is_some_and(|player| player.end == end),
        }
    }

    /// Returns the digits and document for a ringing party to hear once it answers.
    pub(crate) fn whisper_of(&self, branch: Branch) -> Option<PartyWhisper> {
        self.side.as_ref()?.parties.get(branch.place())?.whisper.clone()
    }

    /// Returns whether all ringing parties hear a document before they are connected; if so, their digits must be
    /// received.
    pub(crate) fn asks_parties(&self) -> bool {
        let parties = self.side.as_ref().map(|side| &side.parties).filter(|parties| !parties.is_empty());
        parties.is_some_and(|parties| parties.iter().all(|party| party.whisper.is_some()))
    }

    /// Returns whether a called party is hearing its document.
    pub(crate) const fn is_whispering(&self) -> bool {
        self.screened.is_some()
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

    /// Returns whether documents control the call: the program is not an announcement, mailbox or conference.
    pub(crate) fn is_application(&self) -> bool {
        match self.app.document {
            AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => true,
            AppDocument::Sound(_) | AppDocument::Mailbox(_) | AppDocument::Conference(_) => false,
        }
    }

    /// Records the application or mailbox in the story of the call.
    pub(crate) fn note(&self, call: &mut SharedCallState) {
        if let Some(mailbox) = self.app.as_mailbox() {
            call.story.app.get_or_insert_default().mailbox = Some(mailbox.name.clone());
        } else if self.is_application() {
            call.story.app.get_or_insert_default().name = Some(self.app.name.clone());
        }
    }
}

/// Returns an application's first document.
pub(crate) fn first_document(document: &AppDocument) -> DocumentSource {
    let (location, method) = match document {
        AppDocument::Url { url, method } => (DocumentLocation::Url(url.clone()), webhooks::method_of(*method)),
        AppDocument::File(path) | AppDocument::Sound(path) => (DocumentLocation::File(path.clone()), HttpMethod::Get),
        AppDocument::Text(text) => return DocumentSource::Text(text.to_string()),
        AppDocument::Conference(name) => return DocumentSource::Conference(name.to_string()),
        AppDocument::Mailbox(mailbox) => {
            let greeting = mailbox.greeting.clone().map(DocumentLocation::File);
            let (silence, max_length) = (mailbox.silence, mailbox.max_length);
            return DocumentSource::Message(VoiceMessage { greeting, silence, max_length });
        }
    };
    DocumentSource::Fetch { location, method }
}

/// Returns the fallback of an application.
pub(crate) fn fallback_of(app: &App) -> Option<(DocumentLocation, HttpMethod)> {
    let url = app.fallback_url.clone()?;
    Some((DocumentLocation::Url(url), webhooks::method_of(app.fallback_method)))
}
