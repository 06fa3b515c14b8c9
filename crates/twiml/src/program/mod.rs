//! Interpreter: runs documents for one call, or for a called party before it is connected.
//!
//! A [`Program`] is plain data, so that a call can be saved and restored at any point. Like every core without I/O,
//! it takes inputs with `now`, then yields steps until there are none, then the next deadline. `now` is the time
//! since any fixed moment, such as the start of the call, and never decreases.

mod gathering;
mod input;
mod message;
mod pace;
mod queueing;
mod recording;
mod redirect;
mod spoken;
mod step;
mod steps;
mod verbs;
mod waiting;

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use gathering::{GatherResult, RunningGather};
use pace::{DOCUMENTS, PaceCounter};
use queueing::RunningEnqueue;
use recording::RunningRecord;
use steps::{PlayingSound, StepQueue};

use crate::document::{
    self, CallDocument, ConferenceNoun, DialVerb, DocumentWarnings, HttpMethod, LoopCount, PlaySource, PlayVerb,
    SayVerb, Verb, VerbKind,
};
use crate::location::DocumentLocation;
use crate::problem::{DocumentError, DocumentPosition, code};
use crate::secret::SensitiveText;

pub use input::{
    DialResult, DialStatus, DocumentSource, ProgramInput, QueueOutcome, QueueResult, RecordResult, ReferResult,
};
pub use message::VoiceMessage;
pub use spoken::RecogniserResult;
pub use step::{
    BackgroundAudio, ConferenceStep, DialPartyStep, DialQueueStep, DialRecordStep, DialStep, EnqueueStep, FetchPurpose,
    FetchRequest, PartyAddress, PartyDetection, ProgramStep, ProgramTrace, RecognitionStep, RecordStep, RecordingStep,
    RequestParameter, SiprecStep, StatusCallback, StreamStep, TraceNote, TranscriptStep, TranscriptionStep,
};

/// Settings of an application for its programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramSettings {
    /// Location and method of the document requested after an error; `None` for no fallback.
    pub fallback: Option<(DocumentLocation, HttpMethod)>,
    /// Party for which the documents are executed.
    pub role: ProgramRole,
    /// True if the edge has a speech recogniser.
    #[serde(default)]
    pub recognition: bool,
    /// True if the edge can record calls.
    #[serde(default)]
    pub records: bool,
    /// True if recordings are transcribed.
    #[serde(default)]
    pub transcribes: bool,
}

/// Party for which a program executes documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProgramRole {
    /// The documents serve the caller.
    #[default]
    Caller,
    /// The documents serve a called party between its answer and the connection.
    Called,
    /// The documents serve a conference party that does not hear the others.
    Waiting,
    /// The documents serve conference parties that hear an announcement.
    Announced,
    /// The documents serve a caller waiting in a queue.
    Queued,
    /// The documents serve a queued caller about to be connected.
    Connecting,
}

/// Program of one call.
///
/// ```
/// use std::time::Duration;
/// use trunkgate_twiml::{DocumentSource, Program, ProgramSettings, ProgramStep};
///
/// let mut program = Program::new(ProgramSettings::default());
/// let text = "<Response><Pause length='2'/><Reject reason='busy'/></Response>";
/// program.start(Duration::ZERO, DocumentSource::Text(text.to_owned()), false);
/// while program.poll_output().is_some() {}
/// assert_eq!(program.poll_timeout(), Some(Duration::from_secs(2)));
///
/// program.handle_timeout(Duration::from_secs(2));
/// let steps: Vec<ProgramStep> = std::iter::from_fn(|| program.poll_output()).collect();
/// assert!(steps.iter().any(|step| matches!(step, ProgramStep::Reject(_))));
/// assert!(program.is_over());
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Program {
    settings: ProgramSettings,
    /// Location of the current document.
    location: DocumentLocation,
    /// Verbs of the current document that have not started.
    verbs: VecDeque<Verb>,
    /// Document to run after the remaining verbs; `None` for no document.
    #[serde(default)]
    then: Option<DocumentSource>,
    /// Document of a waiting party, which is repeated at its end; `None` for any other party.
    #[serde(default)]
    waits_with: Option<DocumentSource>,
    /// True if the current document came from the fallback URL.
    in_fallback: bool,
    /// True if the caller's call is answered.
    answered: bool,
    /// True if a conference rejected the caller before the call was answered.
    #[serde(default)]
    is_turned_away: bool,
    pace: PaceCounter,
    /// True if the fallback was requested because of the pace limit, which happens only once.
    overrun: bool,
    state: ProgramState,
    steps: StepQueue,
}

/// Event that a program waits for, with the verb in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum ProgramState {
    /// No event is awaited: the next verb starts.
    Ready,
    /// The program waits for a document.
    Fetching { id: u32, request: FetchRequest },
    /// The program waits for the end of a Say or Play.
    Playing(PlayingSound),
    /// The program waits for the end of a Pause.
    Pausing { until: Duration },
    /// The program waits for digits or speech.
    Gathering(Box<RunningGather>),
    /// The program waits for the result of a Record.
    Recording(Box<RunningRecord>),
    /// The program waits for the result of a Dial.
    Dialling(RunningDial),
    /// The program waits for the end of the caller's time in a queue.
    Queued(Box<RunningEnqueue>),
    /// The program waits for the end of a connected stream.
    Streaming { id: u32, after: VerbAction },
    /// The program waits for the result of a transfer. `abandoned` is true if the caller has hung up and only the
    /// action remains to be requested.
    Referring { id: u32, after: VerbAction, abandoned: bool },
    /// The program has ended; events have no effect.
    Over,
}

/// Request that follows the end of a verb, from its `action`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct VerbAction {
    line: u32,
    action: Option<String>,
    method: HttpMethod,
}

/// Dial in progress, of parties, a conference or a queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunningDial {
    id: u32,
    after: VerbAction,
    hangup_on_star: bool,
    /// True if a party is connected with the caller.
    bridged: bool,
    /// True if the caller has hung up and only the action remains to be requested.
    abandoned: bool,
    /// True if the other parties are those of a conference, which answers the caller's call when it admits the caller.
    #[serde(default)]
    is_conference: bool,
    /// Program of the document for the caller in a conference while it does not hear the others; `None` if no document
    /// runs.
    #[serde(default)]
    waits: Option<Box<Program>>,
}

impl Program {
    /// Creates a program that is idle until [`start`](Program::start).
    pub fn new(settings: ProgramSettings) -> Self {
        Program {
            settings,
            location: DocumentLocation::Inline,
            verbs: VecDeque::new(),
            then: None,
            waits_with: None,
            in_fallback: false,
            answered: false,
            is_turned_away: false,
            pace: PaceCounter::default(),
            overrun: false,
            state: ProgramState::Over,
            steps: StepQueue::default(),
        }
    }

    /// Starts the first document; `answered` is true if the call is already answered.
    pub fn start(&mut self, now: Duration, source: DocumentSource, answered: bool) {
        self.answered = answered;
        match source {
            DocumentSource::Fetch { location, method } => {
                self.location = location.clone();
                let purpose = match self.settings.role {
                    ProgramRole::Waiting => {
                        self.waits_with = Some(DocumentSource::Fetch { location: location.clone(), method });
                        FetchPurpose::Wait
                    }
                    ProgramRole::Queued => {
                        self.waits_with = Some(DocumentSource::Fetch { location: location.clone(), method });
                        FetchPurpose::QueueWait
                    }
                    ProgramRole::Connecting => FetchPurpose::Dequeue,
                    ProgramRole::Announced => FetchPurpose::Announce,
                    ProgramRole::Caller | ProgramRole::Called => FetchPurpose::Start,
                };
                let request = FetchRequest { location, method, purpose, parameters: Vec::new() };
                self.fetch(now, request);
            }
            DocumentSource::Text(text) => {
                self.location = DocumentLocation::Inline;
                self.load(now, document::parse(&text));
            }
            DocumentSource::Digits(digits) => {
                let play = PlayVerb { source: PlaySource::Digits(digits), repeat: LoopCount::Times(1) };
                self.verbs = VecDeque::from([Verb { position: DocumentPosition::START, kind: VerbKind::Play(play) }]);
                self.state = ProgramState::Ready;
            }
            DocumentSource::Message(message) => {
                self.location = message.location();
                self.verbs = message.verbs().into();
                self.state = ProgramState::Ready;
            }
            DocumentSource::Conference(name) => {
                self.verbs =
                    VecDeque::from([Verb { position: DocumentPosition::START, kind: VerbKind::Dial(joining(&name)) }]);
                self.state = ProgramState::Ready;
            }
        }
        self.run(now);
    }

    /// Sends digits to the answered party, then starts the first document.
    pub fn start_after(
        &mut self,
        now: Duration,
        digits: Option<SensitiveText>,
        source: DocumentSource,
        answered: bool,
    ) {
        match digits {
            Some(digits) => {
                self.then = Some(source);
                self.start(now, DocumentSource::Digits(digits), answered);
            }
            None => self.start(now, source, answered),
        }
    }

    /// Handles an event of the call, or the result of a step.
    pub fn handle_input(&mut self, now: Duration, input: ProgramInput) {
        let input = if let ProgramState::Dialling(dialling) = &mut self.state {
            dialling.tell_waiting(now, input, &mut self.steps)
        } else if let ProgramState::Queued(queued) = &mut self.state {
            queued.tell(now, input, &mut self.steps)
        } else {
            Some(input)
        };
        let Some(input) = input else { return };
        match input {
            ProgramInput::Fetched { id, url, content_type, body } => {
                self.fetched(now, id, url, content_type.as_deref(), &body)
            }
            ProgramInput::FetchFailed { id, code, text } => self.fetch_failed(now, id, code, &text),
            ProgramInput::Played { id } => self.played(now, id),
            ProgramInput::PlayFailed { id, code, text } => self.play_failed(now, id, TraceNote::Unheard { code, text }),
            ProgramInput::Digit(digit) => self.digit(now, digit),
            ProgramInput::Speech { id, heard } => self.heard(now, id, &heard),
            ProgramInput::RecognitionFailed { id, text } => self.recognition_failed(now, id, text),
            ProgramInput::Silent { id } => self.end_record(id, "silence"),
            ProgramInput::Recorded { id, result } => self.recorded(now, id, result),
            ProgramInput::RecordFailed { id, text } => self.record_failed(now, id, text),
            ProgramInput::DialAnswered { id } => self.dial_answered(id),
            ProgramInput::DialEnded { id, result } => self.dial_ended(now, id, result),
            ProgramInput::Background { id, background } => {
                if let ProgramState::Dialling(dialling) = &mut self.state
                    && dialling.id == id
                    && !dialling.abandoned
                {
                    dialling.take_background(now, background, &mut self.steps);
                } else if let ProgramState::Queued(queued) = &mut self.state
                    && queued.is(id)
                {
                    queued.take_background(now, background, &mut self.steps);
                }
            }
            ProgramInput::Prelude { id, location, method } => {
                if let ProgramState::Queued(queued) = &mut self.state
                    && queued.is(id)
                {
                    queued.take_prelude(now, (location, method), &mut self.steps);
                }
            }
            ProgramInput::QueueLeft { id, result } => self.queue_left(now, id, result),
            ProgramInput::StreamEnded { id, error } => self.stream_ended(now, id, error),
            ProgramInput::ReferEnded { id, result } => self.refer_ended(now, id, &result),
            ProgramInput::HungUp => self.hung_up(),
        }
        self.run(now);
    }

    /// Handles an expired deadline, if one is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            match &mut self.state {
                ProgramState::Pausing { .. } => self.state = ProgramState::Ready,
                ProgramState::Gathering(gathering) => {
                    if let Some(ending) = gathering.timeout(now, &self.location, &mut self.steps) {
                        self.gathered(now, ending);
                    }
                }
                ProgramState::Recording(recording) => recording.end("maxLength has passed", &mut self.steps),
                ProgramState::Dialling(dialling) => dialling.pass_waiting(now, &mut self.steps),
                ProgramState::Queued(queued) => queued.pass(now, &mut self.steps),
                ProgramState::Ready
                | ProgramState::Fetching { .. }
                | ProgramState::Playing(_)
                | ProgramState::Streaming { .. }
                | ProgramState::Referring { .. }
                | ProgramState::Over => {}
            }
        }
        self.run(now);
    }

    /// Returns the next step; to be called until `None` after each input and each timeout.
    pub fn poll_output(&mut self) -> Option<ProgramStep> {
        self.steps.pop()
    }

    /// Returns the latest time for the next call of [`handle_timeout`](Program::handle_timeout); `None` if the program
    /// waits for no deadline.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.state {
            ProgramState::Pausing { until } => Some(*until),
            ProgramState::Gathering(gathering) => gathering.deadline(),
            ProgramState::Recording(recording) => recording.deadline(),
            ProgramState::Dialling(dialling) => dialling.deadline(),
            ProgramState::Queued(queued) => queued.deadline(),
            ProgramState::Ready
            | ProgramState::Fetching { .. }
            | ProgramState::Playing(_)
            | ProgramState::Streaming { .. }
            | ProgramState::Referring { .. }
            | ProgramState::Over => None,
        }
    }

    /// Returns whether a Record is in progress or waits for its result.
    pub fn is_recording(&self) -> bool {
        matches!(self.state, ProgramState::Recording(_))
    }

    /// Returns whether the program has ended; steps already queued may remain.
    pub fn is_over(&self) -> bool {
        matches!(self.state, ProgramState::Over)
    }

    /// Runs verbs until one waits for an event.
    fn run(&mut self, now: Duration) {
        loop {
            if self.steps.is_overrun() {
                self.sounds_overrun(now);
            }
            if !matches!(self.state, ProgramState::Ready) {
                return;
            }
            match self.verbs.pop_front() {
                Some(verb) => self.begin(now, verb),
                None => match self.then.take() {
                    Some(source) => self.start(now, source, self.answered),
                    None => self.end_of_document(now),
                },
            }
        }
    }

    /// Ends a document with sounds that follow one another too fast, for example because they fail. The fallback
    /// document may start new sounds once.
    fn sounds_overrun(&mut self, now: Duration) {
        if !self.is_over() {
            let text = "sounds follow one another too fast".to_owned();
            self.fail(now, code::TOO_MANY_DOCUMENTS, 0, "Response", text);
        }
        self.overrun = true;
        self.steps.reset_sounds();
    }

    fn end_of_document(&mut self, now: Duration) {
        match self.settings.role {
            ProgramRole::Caller => {
                self.steps.trace(0, "Response", TraceNote::Result("the document ends: the call is hung up".to_owned()));
                self.hang_up();
            }
            ProgramRole::Called | ProgramRole::Connecting => {
                self.steps.trace(
                    0,
                    "Response",
                    TraceNote::Result("the document ends: the party is connected".to_owned()),
                );
                self.steps.push(ProgramStep::Join);
                self.state = ProgramState::Over;
            }
            ProgramRole::Announced => self.state = ProgramState::Over,
            // The party is still waiting, so its document is repeated.
            ProgramRole::Waiting | ProgramRole::Queued => match self.waits_with.clone() {
                Some(source) => self.start(now, source, true),
                None => self.state = ProgramState::Over,
            },
        }
    }

    /// Ends the call. An unanswered call is answered first, as on Twilio, unless a conference rejected it.
    fn hang_up(&mut self) {
        if !self.is_turned_away {
            self.answer();
        }
        self.steps.push(ProgramStep::Hangup);
        self.state = ProgramState::Over;
    }

    fn answer(&mut self) {
        self.is_turned_away = false;
        if !self.answered {
            self.answered = true;
            self.steps.push(ProgramStep::Answer);
        }
    }

    // Documents.

    /// Requests a document. Beyond the limits of documents the program fails instead; one fallback document is exempt.
    fn fetch(&mut self, now: Duration, request: FetchRequest) {
        let text = match (self.pace.allows(now, &DOCUMENTS), request.purpose) {
            (true, _) => None,
            // The fallback document may break a loop once.
            (false, FetchPurpose::Fallback) if !self.overrun => {
                self.overrun = true;
                None
            }
            (false, _) => Some("the call requested documents too fast, or too many of them".to_owned()),
        };
        if let Some(text) = text {
            return self.fail(now, code::TOO_MANY_DOCUMENTS, 0, "Response", text);
        }
        self.verbs.clear();
        let id = self.steps.id();
        self.state = ProgramState::Fetching { id, request: request.clone() };
        self.steps.push(ProgramStep::Fetch { id, request });
    }

    fn fetched(&mut self, now: Duration, id: u32, url: Option<String>, content_type: Option<&str>, body: &[u8]) {
        let Some(request) = self.take_fetch(id) else { return };
        self.in_fallback = request.purpose == FetchPurpose::Fallback;
        self.location = match (request.location, url) {
            (DocumentLocation::Url(_), Some(url)) => DocumentLocation::Url(url),
            (location, _) => location,
        };
        let (mime, charset) = media_type(content_type.unwrap_or_default());
        match mime.as_str() {
            "text/xml" | "application/xml" | "text/html" => self.load(now, document::parse_body(body, charset)),
            "text/plain" => match document::plain_text(body, charset) {
                Ok(text) => self.load_text(&text),
                Err(wrong) => self.load(now, Err(wrong)),
            },
            audio if audio.starts_with("audio/") => {
                let (repeat, then) = match self.settings.role {
                    ProgramRole::Waiting | ProgramRole::Queued => (LoopCount::Forever, "again and again"),
                    ProgramRole::Announced => (LoopCount::Times(1), "then the announcement ends"),
                    ProgramRole::Connecting => (LoopCount::Times(1), "then the caller is connected"),
                    ProgramRole::Caller | ProgramRole::Called => (LoopCount::Times(1), "then the call ends"),
                };
                self.steps.trace(0, "Response", TraceNote::Result(format!("{audio} is played, {then}")));
                self.answer();
                self.state = ProgramState::Playing(self.steps.play_location(self.location.clone(), repeat, 0));
            }
            other => {
                let shown: String = other.chars().take(40).collect();
                let text = format!("content type {shown:?} is neither XML nor audio nor text/plain");
                self.fail(now, code::CONTENT_TYPE, 0, "Response", text);
            }
        }
    }

    /// Speaks the text of a `text/plain` response in place of a document, then ends the call.
    fn load_text(&mut self, text: &str) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text: String = text.chars().take(crate::limits::SAY_CHARS).collect();
        self.steps.trace(0, "Response", TraceNote::Result("text/plain is spoken, then the call ends".to_owned()));
        self.verbs.clear();
        self.state = ProgramState::Ready;
        if !text.is_empty() {
            let say = SayVerb { text, ssml: None, voice: None, language: None, repeat: LoopCount::Times(1) };
            self.verbs.push_back(Verb { position: DocumentPosition::START, kind: VerbKind::Say(say) });
        }
    }

    /// Replaces the current document by a parsed one.
    fn load(&mut self, now: Duration, document: Result<CallDocument, DocumentError>) {
        match document {
            Ok(document) => {
                self.warn(document.warnings);
                self.verbs = document.verbs.into();
                self.state = ProgramState::Ready;
            }
            Err(wrong) => {
                let text = format!("column {}: {}", wrong.position.column, wrong.message);
                self.fail(now, wrong.code, wrong.position.line, "Response", text);
            }
        }
    }

    /// Traces the warnings of a document.
    fn warn(&mut self, warnings: DocumentWarnings) {
        for warning in warnings.list {
            let note = TraceNote::Warning { code: warning.code, text: warning.message };
            self.steps.trace(warning.position.line, "Response", note);
        }
        if warnings.more > 0 {
            let text = format!("and {} more warnings", warnings.more);
            self.steps.trace(0, "Response", TraceNote::Warning { code: code::SCHEMA, text });
        }
    }

    fn fetch_failed(&mut self, now: Duration, id: u32, code: u16, text: &str) {
        let Some(request) = self.take_fetch(id) else { return };
        self.in_fallback = request.purpose == FetchPurpose::Fallback;
        self.location = request.location;
        self.fail(now, code, 0, "Response", text.to_owned());
    }

    /// Ends a fetch and returns its request; `None` if the id is not that of the current fetch.
    fn take_fetch(&mut self, fetched: u32) -> Option<FetchRequest> {
        match &self.state {
            ProgramState::Fetching { id, request } if *id == fetched => Some(request.clone()),
            ProgramState::Fetching { .. }
            | ProgramState::Ready
            | ProgramState::Playing(_)
            | ProgramState::Pausing { .. }
            | ProgramState::Gathering(_)
            | ProgramState::Recording(_)
            | ProgramState::Dialling(_)
            | ProgramState::Queued(_)
            | ProgramState::Streaming { .. }
            | ProgramState::Referring { .. }
            | ProgramState::Over => None,
        }
    }

    /// Ends the current document with an error: continues with the fallback, or ends the program.
    fn fail(&mut self, now: Duration, code: u16, line: u32, verb: &str, text: String) {
        self.steps.trace(line, verb, TraceNote::Error { code, text });
        if let ProgramState::Gathering(gathering) = &mut self.state {
            gathering.stop_listening(&mut self.steps);
        }
        self.verbs.clear();
        // A loop through the fallback ends in `Failed` because of the pace limit.
        let stuck = self.in_fallback || (code == code::TOO_MANY_DOCUMENTS && self.overrun);
        match self.settings.fallback.clone() {
            Some((location, method)) if !stuck => {
                let mut parameters = vec![RequestParameter::new("ErrorCode", code.to_string())];
                parameters.extend(self.location.without_secrets().map(|url| RequestParameter::new("ErrorUrl", url)));
                self.fetch(now, FetchRequest { location, method, purpose: FetchPurpose::Fallback, parameters });
            }
            _ => {
                self.steps.push(ProgramStep::Failed { code });
                self.state = ProgramState::Over;
            }
        }
    }

    // Events of verbs in progress.

    fn played(&mut self, now: Duration, played: u32) {
        if let ProgramState::Gathering(gathering) = &mut self.state {
            gathering.played(played, now, &self.location, &mut self.steps);
        } else if let ProgramState::Recording(recording) = &mut self.state
            && recording.id == played
        {
            recording.open(now, &mut self.steps);
        } else if let ProgramState::Playing(sound) = self.state
            && sound.id == played
        {
            self.state = ProgramState::Ready;
        }
    }

    fn play_failed(&mut self, now: Duration, played: u32, note: TraceNote) {
        if let ProgramState::Gathering(gathering) = &mut self.state {
            gathering.play_failed(played, note, now, &self.location, &mut self.steps);
        } else if matches!(self.state, ProgramState::Recording(_)) {
            // The recording starts even if the tone failed.
            self.played(now, played);
        } else if let ProgramState::Playing(sound) = self.state
            && sound.id == played
        {
            self.steps.sound_failed(sound, note);
            self.state = ProgramState::Ready;
        }
    }

    fn digit(&mut self, now: Duration, digit: char) {
        if !matches!(digit, '0'..='9' | '#' | '*' | 'A'..='D') {
            return;
        }
        if let ProgramState::Gathering(gathering) = &mut self.state {
            if let Some(ending) = gathering.digit(digit, now, &mut self.steps) {
                self.gathered(now, ending);
            }
        } else if let ProgramState::Recording(recording) = &mut self.state {
            recording.digit(digit, &mut self.steps);
        } else if let ProgramState::Playing(sound) = self.state
            && self.ends_greeting(digit)
        {
            self.steps.trace(0, "Play", TraceNote::Result("skipped: a key was pressed".to_owned()));
            self.steps.push(ProgramStep::StopPlaying { id: sound.id });
            self.state = ProgramState::Ready;
        } else if let ProgramState::Dialling(dialling) = &self.state
            && digit == '*'
            && dialling.hangup_on_star
            && dialling.bridged
        {
            let (id, line) = (dialling.id, dialling.after.line);
            self.steps.trace(line, "Dial", TraceNote::Result("the caller pressed *".to_owned()));
            self.steps.push(ProgramStep::EndDial { id });
        }
    }

    /// Returns whether a digit skips the current sound: the greeting of a mailbox, by the digit that ends a message.
    fn ends_greeting(&self, digit: char) -> bool {
        let next = self.verbs.front().map(|verb| &verb.kind);
        matches!(next, Some(VerbKind::Record(record)) if record.action.is_none() && record.finish_on_key.contains(digit))
    }

    fn heard(&mut self, now: Duration, id: u32, heard: &RecogniserResult) {
        if let ProgramState::Gathering(gathering) = &mut self.state
            && let Some(ending) = gathering.heard(now, id, heard, &mut self.steps)
        {
            self.gathered(now, ending);
        }
    }

    fn recognition_failed(&mut self, now: Duration, id: u32, text: String) {
        let ProgramState::Gathering(gathering) = &mut self.state else { return };
        if gathering.listening().is_none_or(|listening| listening.id != id) {
            return;
        }
        let line = gathering.line;
        let ending = gathering.recognition_failed(now, id);
        self.steps.trace(line, "Gather", TraceNote::Result(format!("speech is not recognised: {text}")));
        if let Some(ending) = ending {
            self.gathered(now, ending);
        }
    }

    /// Returns the recognition in progress, which must be requested again after a restore; `None` if there is none.
    pub fn recognition(&self) -> Option<RecognitionStep> {
        match &self.state {
            ProgramState::Gathering(gathering) => gathering.listening(),
            ProgramState::Ready
            | ProgramState::Fetching { .. }
            | ProgramState::Playing(_)
            | ProgramState::Pausing { .. }
            | ProgramState::Recording(_)
            | ProgramState::Dialling(_)
            | ProgramState::Queued(_)
            | ProgramState::Streaming { .. }
            | ProgramState::Referring { .. }
            | ProgramState::Over => None,
        }
    }

    /// Skips sequence numbers of partial results that crashed processes may have reported since the program was
    /// saved: a margin as many times as given.
    pub fn skip_partial_results(&mut self, margins: u32) {
        if let ProgramState::Gathering(gathering) = &mut self.state {
            gathering.skip_partial_results(margins);
        }
    }

    fn gathered(&mut self, now: Duration, ending: GatherResult) {
        let ProgramState::Gathering(gathering) = std::mem::replace(&mut self.state, ProgramState::Ready) else {
            return;
        };
        self.steps.trace(gathering.line, "Gather", TraceNote::Result(ending.shown()));
        if ending.is_empty() && !gathering.action_on_empty_result {
            return;
        }
        let parameters = verbs::gather_parameters(ending);
        let action = gathering.action.unwrap_or_default();
        let after = VerbAction { line: gathering.line, action: Some(action), method: gathering.method };
        self.finish(now, "Gather", after, FetchPurpose::Gather, parameters);
    }

    /// Requests the action of a finished verb; without an action, continues with the next verb.
    fn finish(
        &mut self,
        now: Duration,
        verb: &str,
        after: VerbAction,
        purpose: FetchPurpose,
        parameters: Vec<RequestParameter>,
    ) {
        let Some(action) = after.action else {
            self.state = ProgramState::Ready;
            return;
        };
        match self.location.resolve(&action) {
            Ok(location) => self.fetch(now, FetchRequest { location, method: after.method, purpose, parameters }),
            Err(text) => self.fail(now, code::BAD_URL, after.line, verb, text),
        }
    }

    /// Requests the action of a finished verb, but ignores the response, because the caller has hung up.
    fn notify(&mut self, verb: &str, after: &VerbAction, purpose: FetchPurpose, parameters: Vec<RequestParameter>) {
        let Some(action) = &after.action else { return };
        match self.location.resolve(action) {
            Ok(location) => {
                self.steps.push(ProgramStep::Notify(FetchRequest {
                    location,
                    method: after.method,
                    purpose,
                    parameters,
                }));
            }
            Err(text) => self.steps.trace(after.line, verb, TraceNote::Error { code: code::BAD_URL, text }),
        }
    }

    /// Ends a Record and waits for its result.
    fn end_record(&mut self, id: u32, why: &str) {
        if let ProgramState::Recording(recording) = &mut self.state
            && recording.id == id
        {
            recording.end(why, &mut self.steps);
        }
    }

    /// Handles the result of a Record: requests its action or, if nothing was said, continues with the next verb.
    fn recorded(&mut self, now: Duration, id: u32, result: RecordResult) {
        let ProgramState::Recording(recording) = &self.state else { return };
        if recording.id != id {
            return;
        }
        let (after, silent) = (recording.after.clone(), result.is_silent || result.seconds == 0);
        let parameters = recording.parameters(result.clone());
        self.state = ProgramState::Ready;
        if silent {
            let note = TraceNote::Result("nothing was said: the next verb follows".to_owned());
            return self.steps.trace(after.line, "Record", note);
        }
        self.steps.trace(after.line, "Record", TraceNote::Result(format!("{} of {} s", result.sid, result.seconds)));
        self.finish(now, "Record", after, FetchPurpose::Record, parameters);
    }

    /// Handles a failed Record: continues with the next verb, or ends the program of a voicemail message.
    fn record_failed(&mut self, now: Duration, id: u32, text: String) {
        if let ProgramState::Recording(recording) = &self.state
            && recording.id == id
        {
            let line = recording.after.line;
            if recording.after.action.is_none() {
                return self.fail(now, code::SCHEMA, line, "Record", text);
            }
            self.steps.trace(line, "Record", TraceNote::Error { code: code::SCHEMA, text });
            self.state = ProgramState::Ready;
        }
    }

    fn dial_answered(&mut self, answered: u32) {
        if let ProgramState::Dialling(dialling) = &mut self.state
            && dialling.id == answered
        {
            dialling.bridged = true;
            // A restored caller joins its conference again. The document that it heard belongs to its former seat.
            dialling.waits = None;
            // With `answerOnBridge` the party's answer has answered the caller's call.
            self.answered = true;
            self.steps.trace(dialling.after.line, "Dial", TraceNote::Result("answered".to_owned()));
        }
    }

    fn dial_ended(&mut self, now: Duration, ended: u32, result: DialResult) {
        let ProgramState::Dialling(dialling) = &self.state else { return };
        if dialling.id != ended {
            return;
        }
        let dialling = dialling.clone();
        self.is_turned_away = dialling.is_conference && !self.answered;
        if dialling.abandoned {
            let parameters = verbs::dial_parameters(result);
            self.state = ProgramState::Over;
            self.notify("Dial", &dialling.after, FetchPurpose::Dial, parameters);
        } else {
            self.dialled(now, dialling.after, result);
        }
    }

    /// Handles the end of a Dial while the caller is connected.
    fn dialled(&mut self, now: Duration, after: VerbAction, result: DialResult) {
        self.steps.trace(after.line, "Dial", TraceNote::Result(result.status.name().to_owned()));
        let parameters = verbs::dial_parameters(result);
        self.finish(now, "Dial", after, FetchPurpose::Dial, parameters);
    }

    /// Handles the end of an Enqueue. The document in the response to its action is run, unless the caller has hung
    /// up or was redirected.
    fn queue_left(&mut self, now: Duration, left: u32, result: QueueResult) {
        let ProgramState::Queued(queued) = &self.state else { return };
        if queued.id != left {
            return;
        }
        let (line, action, abandoned) = (queued.line, queued.action.clone(), queued.abandoned);
        self.steps.trace(line, "Enqueue", TraceNote::Result(result.outcome.name().to_owned()));
        let outcome = result.outcome;
        let parameters = verbs::queue_parameters(result);
        let request = action.map(|(location, method)| FetchRequest {
            location,
            method,
            purpose: FetchPurpose::Enqueue,
            parameters,
        });
        let is_redirected = matches!(outcome, QueueOutcome::Redirected | QueueOutcome::RedirectedFromBridged);
        self.state = ProgramState::Ready;
        match request {
            Some(request) if abandoned || is_redirected || outcome == QueueOutcome::Hangup => {
                self.steps.push(ProgramStep::Notify(request));
            }
            Some(request) => return self.fetch(now, request),
            None => {}
        }
        if abandoned {
            self.state = ProgramState::Over;
        } else if outcome == QueueOutcome::Hangup {
            self.hang_up();
        }
    }

    fn stream_ended(&mut self, now: Duration, ended: u32, error: Option<u16>) {
        let ProgramState::Streaming { id, after } = &self.state else { return };
        if *id != ended {
            return;
        }
        let after = after.clone();
        let note = match error {
            Some(code) => TraceNote::Error { code, text: "the stream failed".to_owned() },
            None => TraceNote::Result("the stream ended".to_owned()),
        };
        self.steps.trace(after.line, "Connect", note);
        self.finish(now, "Connect", after, FetchPurpose::Connect, Vec::new());
    }

    fn refer_ended(&mut self, now: Duration, ended: u32, result: &ReferResult) {
        let ProgramState::Referring { id, after, abandoned } = &self.state else { return };
        if *id != ended {
            return;
        }
        let (after, abandoned) = (after.clone(), *abandoned);
        if abandoned {
            self.state = ProgramState::Over;
            return self.notify("Refer", &after, FetchPurpose::Refer, verbs::refer_parameters(result));
        }
        let status = result.status.unwrap_or("no result");
        self.steps.trace(after.line, "Refer", TraceNote::Result(status.to_owned()));
        self.finish(now, "Refer", after, FetchPurpose::Refer, verbs::refer_parameters(result));
    }

    fn hung_up(&mut self) {
        match std::mem::replace(&mut self.state, ProgramState::Over) {
            ProgramState::Dialling(dialling) if dialling.abandoned => self.state = ProgramState::Dialling(dialling),
            ProgramState::Dialling(dialling) => {
                self.steps.push(ProgramStep::EndDial { id: dialling.id });
                // The outcome is known when the parties' calls have ended.
                if dialling.after.action.is_some() {
                    self.state = ProgramState::Dialling(RunningDial { abandoned: true, waits: None, ..dialling });
                }
            }
            ProgramState::Queued(mut queued) => {
                // The outcome is known when the call has left the queue.
                queued.abandoned = true;
                self.state = ProgramState::Queued(queued);
            }
            ProgramState::Streaming { after, .. } => self.notify("Connect", &after, FetchPurpose::Connect, Vec::new()),
            ProgramState::Recording(recording) if recording.has_begun() => self.notify_recorded(&recording),
            // The progress of the transfer is still to be reported.
            ProgramState::Referring { id, after, .. } if after.action.is_some() => {
                self.state = ProgramState::Referring { id, after, abandoned: true };
            }
            ProgramState::Ready
            | ProgramState::Fetching { .. }
            | ProgramState::Playing(_)
            | ProgramState::Pausing { .. }
            | ProgramState::Gathering(_)
            | ProgramState::Recording(_)
            | ProgramState::Referring { .. }
            | ProgramState::Over => {}
        }
    }

    /// Requests the action of a Record that the caller ended by hanging up, when the audio is complete.
    fn notify_recorded(&mut self, recording: &RunningRecord) {
        let (id, after) = (recording.id, &recording.after);
        let Some(action) = &after.action else { return };
        match self.location.resolve(action) {
            Ok(location) => {
                let parameters = vec![RequestParameter::new("Digits", "hangup")];
                let request =
                    FetchRequest { location, method: after.method, purpose: FetchPurpose::Record, parameters };
                self.steps.push(ProgramStep::NotifyRecorded { id, request });
            }
            Err(text) => self.steps.trace(after.line, "Record", TraceNote::Error { code: code::BAD_URL, text }),
        }
    }
}

/// Returns the Dial of a program that only joins a conference.
fn joining(name: &str) -> Box<DialVerb> {
    Box::new(DialVerb { conference: Some(Box::new(ConferenceNoun::named(name))), ..DialVerb::default() })
}

/// Returns the media type and charset of a Content-Type.
fn media_type(value: &str) -> (String, Option<&str>) {
    let mut parts = value.split(';');
    let mime = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    (mime, charset)
}
