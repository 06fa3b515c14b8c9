//! Interpreter: runs documents for one call, or for a called party before it is connected.
//!
//! A [`Program`] is plain data, so that a call can be saved and restored at any point. Like every sans-I/O core, it
//! takes inputs with `now`, then yields steps until there are none, then the next deadline. `now` is the time since any
//! fixed moment, such as the start of the call, and never decreases.

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

use gathering::{Ending, Gathering};
use pace::{DOCUMENTS, Pace};
use queueing::Queued;
use recording::Recording;
use steps::{Sound, Steps};

use crate::document::{self, Conference, Dial, Document, Kind, Loop, Method, Play, PlaySource, Say, Verb, Warnings};
use crate::location::Location;
use crate::problem::{Error, Position, code};
use crate::secret::Secret;

pub use input::{DialResult, DialStatus, Input, QueueOutcome, QueueResult, RecordResult, ReferResult, Source};
pub use message::VoiceMessage;
pub use spoken::Heard;
pub use step::{
    Address, Background, ConferenceStep, DialQueueStep, DialRecordStep, DialStep, EnqueueStep, Note, Parameter, Party,
    PartyDetection, Purpose, RecognitionStep, RecordStep, RecordingStep, Request, SiprecStep, StatusCallback, Step,
    StreamStep, Trace, TranscriptStep, TranscriptionStep,
};

/// Settings of an application for its programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Document requested after an error: location and method.
    pub fallback: Option<(Location, Method)>,
    /// Party that the documents serve.
    pub role: Role,
    /// True if speech can be recognised.
    #[serde(default)]
    pub recognition: bool,
    /// True if calls can be recorded.
    #[serde(default)]
    pub records: bool,
    /// True if recordings are transcribed.
    #[serde(default)]
    pub transcribes: bool,
}

/// Party that a program serves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The caller.
    #[default]
    Caller,
    /// Called party between its answer and the connection.
    Called,
    /// Conference party that does not hear the others.
    Waiting,
    /// Conference parties that hear an announcement.
    Announced,
    /// Caller waiting in a queue.
    Queued,
    /// Queued caller about to be connected.
    Connecting,
}

/// Program of one call.
///
/// ```
/// use std::time::Duration;
/// use trunkgate_twiml::{Input, Program, Settings, Source, Step};
///
/// let mut program = Program::new(Settings::default());
/// let text = "<Response><Pause length='2'/><Reject reason='busy'/></Response>";
/// program.start(Duration::ZERO, Source::Text(text.to_owned()), false);
/// while program.poll_output().is_some() {}
/// assert_eq!(program.poll_timeout(), Some(Duration::from_secs(2)));
///
/// program.handle_timeout(Duration::from_secs(2));
/// let steps: Vec<Step> = std::iter::from_fn(|| program.poll_output()).collect();
/// assert!(steps.iter().any(|step| matches!(step, Step::Reject(_))));
/// assert!(program.is_over());
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Program {
    settings: Settings,
    /// Location of the current document.
    location: Location,
    /// Verbs of the current document that have not started.
    verbs: VecDeque<Verb>,
    /// Document that follows the remaining verbs.
    #[serde(default)]
    then: Option<Source>,
    /// Document of a waiting party, repeated at its end.
    #[serde(default)]
    waits_with: Option<Source>,
    /// True if the current document came from the fallback URL.
    in_fallback: bool,
    /// True if the caller's call is answered.
    answered: bool,
    /// True if a conference rejected the caller before the call was answered.
    #[serde(default)]
    is_turned_away: bool,
    pace: Pace,
    /// True if the fallback was requested because of the pace limit, which happens only once.
    overrun: bool,
    state: State,
    steps: Steps,
}

/// Event that a program waits for.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum State {
    /// No event: the next verb starts.
    Ready,
    /// Document being fetched.
    Fetching { id: u32, request: Request },
    /// End of a Say or Play.
    Playing(Sound),
    /// End of a Pause.
    Pausing { until: Duration },
    /// Digits or speech.
    Gathering(Box<Gathering>),
    /// Result of a Record.
    Recording(Box<Recording>),
    /// Result of a Dial.
    Dialling(Dialling),
    /// End of the caller's time in a queue.
    Queued(Box<Queued>),
    /// End of a connected stream.
    Streaming { id: u32, after: After },
    /// Result of a transfer. `abandoned` is true if the caller has hung up and only the action remains to be requested.
    Referring { id: u32, after: After, abandoned: bool },
    /// The program has ended.
    Over,
}

/// Request at the end of a verb.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct After {
    line: u32,
    action: Option<String>,
    method: Method,
}

/// Dial in progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Dialling {
    id: u32,
    after: After,
    hangup_on_star: bool,
    /// True if a party is connected.
    bridged: bool,
    /// True if the caller has hung up and only the action remains to be requested.
    abandoned: bool,
    /// True if the other parties are those of a conference, which answers the caller's call when it admits the caller.
    #[serde(default)]
    is_conference: bool,
    /// Document for the caller in a conference while it does not hear the others.
    #[serde(default)]
    waits: Option<Box<Program>>,
}

impl Program {
    /// Creates a program that is idle until [`start`](Program::start).
    pub fn new(settings: Settings) -> Self {
        Program {
            settings,
            location: Location::Inline,
            verbs: VecDeque::new(),
            then: None,
            waits_with: None,
            in_fallback: false,
            answered: false,
            is_turned_away: false,
            pace: Pace::default(),
            overrun: false,
            state: State::Over,
            steps: Steps::default(),
        }
    }

    /// Starts the first document; `answered` is true if the call is already answered.
    pub fn start(&mut self, now: Duration, source: Source, answered: bool) {
        self.answered = answered;
        match source {
            Source::Fetch { location, method } => {
                self.location = location.clone();
                let purpose = match self.settings.role {
                    Role::Waiting => {
                        self.waits_with = Some(Source::Fetch { location: location.clone(), method });
                        Purpose::Wait
                    }
                    Role::Queued => {
                        self.waits_with = Some(Source::Fetch { location: location.clone(), method });
                        Purpose::QueueWait
                    }
                    Role::Connecting => Purpose::Dequeue,
                    Role::Announced => Purpose::Announce,
                    Role::Caller | Role::Called => Purpose::Start,
                };
                let request = Request { location, method, purpose, parameters: Vec::new() };
                self.fetch(now, request);
            }
            Source::Text(text) => {
                self.location = Location::Inline;
                self.load(now, document::parse(&text));
            }
            Source::Digits(digits) => {
                let play = Play { source: PlaySource::Digits(digits), repeat: Loop::Times(1) };
                self.verbs = VecDeque::from([Verb { position: Position::START, kind: Kind::Play(play) }]);
                self.state = State::Ready;
            }
            Source::Message(message) => {
                self.location = message.location();
                self.verbs = message.verbs().into();
                self.state = State::Ready;
            }
            Source::Conference(name) => {
                self.verbs = VecDeque::from([Verb { position: Position::START, kind: Kind::Dial(joining(&name)) }]);
                self.state = State::Ready;
            }
        }
        self.run(now);
    }

    /// Sends digits to the answered party, then starts the first document.
    pub fn start_after(&mut self, now: Duration, digits: Option<Secret>, source: Source, answered: bool) {
        match digits {
            Some(digits) => {
                self.then = Some(source);
                self.start(now, Source::Digits(digits), answered);
            }
            None => self.start(now, source, answered),
        }
    }

    /// Handles an event of the call.
    pub fn handle_input(&mut self, now: Duration, input: Input) {
        let input = if let State::Dialling(dialling) = &mut self.state {
            dialling.tell_waiting(now, input, &mut self.steps)
        } else if let State::Queued(queued) = &mut self.state {
            queued.tell(now, input, &mut self.steps)
        } else {
            Some(input)
        };
        let Some(input) = input else { return };
        match input {
            Input::Fetched { id, url, content_type, body } => {
                self.fetched(now, id, url, content_type.as_deref(), &body)
            }
            Input::FetchFailed { id, code, text } => self.fetch_failed(now, id, code, &text),
            Input::Played { id } => self.played(now, id),
            Input::PlayFailed { id, code, text } => self.play_failed(now, id, Note::Unheard { code, text }),
            Input::Digit(digit) => self.digit(now, digit),
            Input::Speech { id, heard } => self.heard(now, id, &heard),
            Input::RecognitionFailed { id, text } => self.recognition_failed(now, id, text),
            Input::Silent { id } => self.end_record(id, "silence"),
            Input::Recorded { id, result } => self.recorded(now, id, result),
            Input::RecordFailed { id, text } => self.record_failed(now, id, text),
            Input::DialAnswered { id } => self.dial_answered(id),
            Input::DialEnded { id, result } => self.dial_ended(now, id, result),
            Input::Background { id, background } => {
                if let State::Dialling(dialling) = &mut self.state
                    && dialling.id == id
                    && !dialling.abandoned
                {
                    dialling.take_background(now, background, &mut self.steps);
                } else if let State::Queued(queued) = &mut self.state
                    && queued.is(id)
                {
                    queued.take_background(now, background, &mut self.steps);
                }
            }
            Input::Prelude { id, location, method } => {
                if let State::Queued(queued) = &mut self.state
                    && queued.is(id)
                {
                    queued.take_prelude(now, (location, method), &mut self.steps);
                }
            }
            Input::QueueLeft { id, result } => self.queue_left(now, id, result),
            Input::StreamEnded { id, error } => self.stream_ended(now, id, error),
            Input::ReferEnded { id, result } => self.refer_ended(now, id, &result),
            Input::HungUp => self.hung_up(),
        }
        self.run(now);
    }

    /// Handles the passage of time up to `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            match &mut self.state {
                State::Pausing { .. } => self.state = State::Ready,
                State::Gathering(gathering) => {
                    if let Some(ending) = gathering.timeout(now, &self.location, &mut self.steps) {
                        self.gathered(now, ending);
                    }
                }
                State::Recording(recording) => recording.end("maxLength has passed", &mut self.steps),
                State::Dialling(dialling) => dialling.pass_waiting(now, &mut self.steps),
                State::Queued(queued) => queued.pass(now, &mut self.steps),
                State::Ready
                | State::Fetching { .. }
                | State::Playing(_)
                | State::Streaming { .. }
                | State::Referring { .. }
                | State::Over => {}
            }
        }
        self.run(now);
    }

    /// Returns the next step, in order.
    pub fn poll_output(&mut self) -> Option<Step> {
        self.steps.pop()
    }

    /// Returns the latest time for the next call of [`handle_timeout`](Program::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Pausing { until } => Some(*until),
            State::Gathering(gathering) => gathering.deadline(),
            State::Recording(recording) => recording.deadline(),
            State::Dialling(dialling) => dialling.deadline(),
            State::Queued(queued) => queued.deadline(),
            State::Ready
            | State::Fetching { .. }
            | State::Playing(_)
            | State::Streaming { .. }
            | State::Referring { .. }
            | State::Over => None,
        }
    }

    /// Returns whether a Record is in progress or waits for its result.
    pub fn is_recording(&self) -> bool {
        matches!(self.state, State::Recording(_))
    }

    /// Returns whether the program has ended; steps already queued may remain.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Runs verbs until one waits for an event.
    fn run(&mut self, now: Duration) {
        loop {
            if self.steps.is_overrun() {
                self.sounds_overrun(now);
            }
            if !matches!(self.state, State::Ready) {
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

    /// Ends a document with sounds that follow one another too fast, for example because they fail. The fallback may
    /// start new sounds once.
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
            Role::Caller => {
                self.steps.trace(0, "Response", Note::Result("the document ends: the call is hung up".to_owned()));
                self.hang_up();
            }
            Role::Called | Role::Connecting => {
                self.steps.trace(0, "Response", Note::Result("the document ends: the party is connected".to_owned()));
                self.steps.push(Step::Join);
                self.state = State::Over;
            }
            Role::Announced => self.state = State::Over,
            // The party is still waiting.
            Role::Waiting | Role::Queued => match self.waits_with.clone() {
                Some(source) => self.start(now, source, true),
                None => self.state = State::Over,
            },
        }
    }

    /// Ends the call. An unanswered call is answered first, as at Twilio, unless a conference rejected it.
    fn hang_up(&mut self) {
        if !self.is_turned_away {
            self.answer();
        }
        self.steps.push(Step::Hangup);
        self.state = State::Over;
    }

    fn answer(&mut self) {
        self.is_turned_away = false;
        if !self.answered {
            self.answered = true;
            self.steps.push(Step::Answer);
        }
    }

    // Documents.

    /// Requests a document, unless the call exceeds the limit of documents.
    fn fetch(&mut self, now: Duration, request: Request) {
        let text = match (self.pace.allows(now, &DOCUMENTS), request.purpose) {
            (true, _) => None,
            // The fallback may break a loop once.
            (false, Purpose::Fallback) if !self.overrun => {
                self.overrun = true;
                None
            }
            (false, _) => Some("documents follow one another too fast, or there were too many".to_owned()),
        };
        if let Some(text) = text {
            return self.fail(now, code::TOO_MANY_DOCUMENTS, 0, "Response", text);
        }
        self.verbs.clear();
        let id = self.steps.id();
        self.state = State::Fetching { id, request: request.clone() };
        self.steps.push(Step::Fetch { id, request });
    }

    fn fetched(&mut self, now: Duration, id: u32, url: Option<String>, content_type: Option<&str>, body: &[u8]) {
        let Some(request) = self.take_fetch(id) else { return };
        self.in_fallback = request.purpose == Purpose::Fallback;
        self.location = match (request.location, url) {
            (Location::Url(_), Some(url)) => Location::Url(url),
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
                    Role::Waiting | Role::Queued => (Loop::Forever, "again and again"),
                    Role::Announced => (Loop::Times(1), "then the announcement ends"),
                    Role::Connecting => (Loop::Times(1), "then the caller is connected"),
                    Role::Caller | Role::Called => (Loop::Times(1), "then the call ends"),
                };
                self.steps.trace(0, "Response", Note::Result(format!("{audio} is played, {then}")));
                self.answer();
                self.state = State::Playing(self.steps.play_location(self.location.clone(), repeat, 0));
            }
            other => {
                let shown: String = other.chars().take(40).collect();
                let text = format!("content type {shown:?} is neither XML nor audio nor text/plain");
                self.fail(now, code::CONTENT_TYPE, 0, "Response", text);
            }
        }
    }

    /// Speaks a `text/plain` response, which is not a document.
    fn load_text(&mut self, text: &str) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text: String = text.chars().take(crate::limits::SAY_CHARS).collect();
        self.steps.trace(0, "Response", Note::Result("text/plain is said, then the call ends".to_owned()));
        self.verbs.clear();
        self.state = State::Ready;
        if !text.is_empty() {
            let say = Say { text, ssml: None, voice: None, language: None, repeat: Loop::Times(1) };
            self.verbs.push_back(Verb { position: Position::START, kind: Kind::Say(say) });
        }
    }

    /// Replaces the current document by a parsed one.
    fn load(&mut self, now: Duration, document: Result<Document, Error>) {
        match document {
            Ok(document) => {
                self.warn(document.warnings);
                self.verbs = document.verbs.into();
                self.state = State::Ready;
            }
            Err(wrong) => {
                let text = format!("column {}: {}", wrong.position.column, wrong.message);
                self.fail(now, wrong.code, wrong.position.line, "Response", text);
            }
        }
    }

    /// Traces the warnings of a document.
    fn warn(&mut self, warnings: Warnings) {
        for warning in warnings.list {
            let note = Note::Warning { code: warning.code, text: warning.message };
            self.steps.trace(warning.position.line, "Response", note);
        }
        if warnings.more > 0 {
            let text = format!("and {} more warnings", warnings.more);
            self.steps.trace(0, "Response", Note::Warning { code: code::SCHEMA, text });
        }
    }

    fn fetch_failed(&mut self, now: Duration, id: u32, code: u16, text: &str) {
        let Some(request) = self.take_fetch(id) else { return };
        self.in_fallback = request.purpose == Purpose::Fallback;
        self.location = request.location;
        self.fail(now, code, 0, "Response", text.to_owned());
    }

    /// Ends a fetch and returns its request; `None` for a stale id.
    fn take_fetch(&mut self, fetched: u32) -> Option<Request> {
        match &self.state {
            State::Fetching { id, request } if *id == fetched => Some(request.clone()),
            State::Fetching { .. }
            | State::Ready
            | State::Playing(_)
            | State::Pausing { .. }
            | State::Gathering(_)
            | State::Recording(_)
            | State::Dialling(_)
            | State::Queued(_)
            | State::Streaming { .. }
            | State::Referring { .. }
            | State::Over => None,
        }
    }

    /// Ends the current document with an error: continues with the fallback, or ends the program.
    fn fail(&mut self, now: Duration, code: u16, line: u32, verb: &str, text: String) {
        self.steps.trace(line, verb, Note::Error { code, text });
        if let State::Gathering(gathering) = &mut self.state {
            gathering.stop_listening(&mut self.steps);
        }
        self.verbs.clear();
        // A loop through the fallback ends in `Failed` because of the pace limit.
        let stuck = self.in_fallback || (code == code::TOO_MANY_DOCUMENTS && self.overrun);
        match self.settings.fallback.clone() {
            Some((location, method)) if !stuck => {
                let mut parameters = vec![Parameter::new("ErrorCode", code.to_string())];
                parameters.extend(self.location.without_secrets().map(|url| Parameter::new("ErrorUrl", url)));
                self.fetch(now, Request { location, method, purpose: Purpose::Fallback, parameters });
            }
            _ => {
                self.steps.push(Step::Failed { code });
                self.state = State::Over;
            }
        }
    }

    // Events of verbs in progress.

    fn played(&mut self, now: Duration, played: u32) {
        if let State::Gathering(gathering) = &mut self.state {
            gathering.played(played, now, &self.location, &mut self.steps);
        } else if let State::Recording(recording) = &mut self.state
            && recording.id == played
        {
            recording.open(now, &mut self.steps);
        } else if let State::Playing(sound) = self.state
            && sound.id == played
        {
            self.state = State::Ready;
        }
    }

    fn play_failed(&mut self, now: Duration, played: u32, note: Note) {
        if let State::Gathering(gathering) = &mut self.state {
            gathering.play_failed(played, note, now, &self.location, &mut self.steps);
        } else if matches!(self.state, State::Recording(_)) {
            // The recording starts even if the tone failed.
            self.played(now, played);
        } else if let State::Playing(sound) = self.state
            && sound.id == played
        {
            self.steps.sound_failed(sound, note);
            self.state = State::Ready;
        }
    }

    fn digit(&mut self, now: Duration, digit: char) {
        if !matches!(digit, '0'..='9' | '#' | '*' | 'A'..='D') {
            return;
        }
        if let State::Gathering(gathering) = &mut self.state {
            if let Some(ending) = gathering.digit(digit, now, &mut self.steps) {
                self.gathered(now, ending);
            }
        } else if let State::Recording(recording) = &mut self.state {
            recording.digit(digit, &mut self.steps);
        } else if let State::Playing(sound) = self.state
            && self.ends_greeting(digit)
        {
            self.steps.trace(0, "Play", Note::Result("skipped: a key was pressed".to_owned()));
            self.steps.push(Step::StopPlaying { id: sound.id });
            self.state = State::Ready;
        } else if let State::Dialling(dialling) = &self.state
            && digit == '*'
            && dialling.hangup_on_star
            && dialling.bridged
        {
            let (id, line) = (dialling.id, dialling.after.line);
            self.steps.trace(line, "Dial", Note::Result("the caller pressed *".to_owned()));
            self.steps.push(Step::EndDial { id });
        }
    }

    /// Returns whether a digit skips the current sound: the greeting of a mailbox, by the digit that ends a message.
    fn ends_greeting(&self, digit: char) -> bool {
        let next = self.verbs.front().map(|verb| &verb.kind);
        matches!(next, Some(Kind::Record(record)) if record.action.is_none() && record.finish_on_key.contains(digit))
    }

    fn heard(&mut self, now: Duration, id: u32, heard: &Heard) {
        if let State::Gathering(gathering) = &mut self.state
            && let Some(ending) = gathering.heard(now, id, heard, &mut self.steps)
        {
            self.gathered(now, ending);
        }
    }

    fn recognition_failed(&mut self, now: Duration, id: u32, text: String) {
        let State::Gathering(gathering) = &mut self.state else { return };
        if gathering.listening().is_none_or(|listening| listening.id != id) {
            return;
        }
        let line = gathering.line;
        let ending = gathering.recognition_failed(now, id);
        self.steps.trace(line, "Gather", Note::Result(format!("speech is not recognised: {text}")));
        if let Some(ending) = ending {
            self.gathered(now, ending);
        }
    }

    /// Returns the recognition in progress, which must be requested again after a restore.
    pub fn recognition(&self) -> Option<RecognitionStep> {
        match &self.state {
            State::Gathering(gathering) => gathering.listening(),
            State::Ready
            | State::Fetching { .. }
            | State::Playing(_)
            | State::Pausing { .. }
            | State::Recording(_)
            | State::Dialling(_)
            | State::Queued(_)
            | State::Streaming { .. }
            | State::Referring { .. }
            | State::Over => None,
        }
    }

    fn gathered(&mut self, now: Duration, ending: Ending) {
        let State::Gathering(gathering) = std::mem::replace(&mut self.state, State::Ready) else { return };
        self.steps.trace(gathering.line, "Gather", Note::Result(ending.shown()));
        if ending.is_empty() && !gathering.action_on_empty_result {
            return;
        }
        let parameters = verbs::gather_parameters(ending);
        let action = gathering.action.unwrap_or_default();
        let after = After { line: gathering.line, action: Some(action), method: gathering.method };
        self.finish(now, "Gather", after, Purpose::Gather, parameters);
    }

    /// Requests the action of a finished verb, or continues with the next verb.
    fn finish(&mut self, now: Duration, verb: &str, after: After, purpose: Purpose, parameters: Vec<Parameter>) {
        let Some(action) = after.action else {
            self.state = State::Ready;
            return;
        };
        match self.location.resolve(&action) {
            Ok(location) => self.fetch(now, Request { location, method: after.method, purpose, parameters }),
            Err(text) => self.fail(now, code::BAD_URL, after.line, verb, text),
        }
    }

    /// Requests the action of a finished verb without running the response, because the caller has hung up.
    fn notify(&mut self, verb: &str, after: &After, purpose: Purpose, parameters: Vec<Parameter>) {
        let Some(action) = &after.action else { return };
        match self.location.resolve(action) {
            Ok(location) => {
                self.steps.push(Step::Notify(Request { location, method: after.method, purpose, parameters }));
            }
            Err(text) => self.steps.trace(after.line, verb, Note::Error { code: code::BAD_URL, text }),
        }
    }

    /// Ends a Record and waits for its result.
    fn end_record(&mut self, id: u32, why: &str) {
        if let State::Recording(recording) = &mut self.state
            && recording.id == id
        {
            recording.end(why, &mut self.steps);
        }
    }

    /// Handles the result of a Record: requests its action or, if nothing was said, continues with the next verb.
    fn recorded(&mut self, now: Duration, id: u32, result: RecordResult) {
        let State::Recording(recording) = &self.state else { return };
        if recording.id != id {
            return;
        }
        let (after, silent) = (recording.after.clone(), result.is_silent || result.seconds == 0);
        let parameters = recording.parameters(result.clone());
        self.state = State::Ready;
        if silent {
            let note = Note::Result("nothing was said: the next verb follows".to_owned());
            return self.steps.trace(after.line, "Record", note);
        }
        self.steps.trace(after.line, "Record", Note::Result(format!("{} of {} s", result.sid, result.seconds)));
        self.finish(now, "Record", after, Purpose::Record, parameters);
    }

    /// Handles a failed Record: continues with the next verb; for a voicemail message the program ends.
    fn record_failed(&mut self, now: Duration, id: u32, text: String) {
        if let State::Recording(recording) = &self.state
            && recording.id == id
        {
            let line = recording.after.line;
            if recording.after.action.is_none() {
                return self.fail(now, code::SCHEMA, line, "Record", text);
            }
            self.steps.trace(line, "Record", Note::Error { code: code::SCHEMA, text });
            self.state = State::Ready;
        }
    }

    fn dial_answered(&mut self, answered: u32) {
        if let State::Dialling(dialling) = &mut self.state
            && dialling.id == answered
        {
            dialling.bridged = true;
            // With `answerOnBridge` the party's answer has answered the caller's call.
            self.answered = true;
            self.steps.trace(dialling.after.line, "Dial", Note::Result("answered".to_owned()));
        }
    }

    fn dial_ended(&mut self, now: Duration, ended: u32, result: DialResult) {
        let State::Dialling(dialling) = &self.state else { return };
        if dialling.id != ended {
            return;
        }
        let dialling = dialling.clone();
        self.is_turned_away = dialling.is_conference && !self.answered;
        if dialling.abandoned {
            let parameters = verbs::dial_parameters(result);
            self.state = State::Over;
            self.notify("Dial", &dialling.after, Purpose::Dial, parameters);
        } else {
            self.dialled(now, dialling.after, result);
        }
    }

    /// Handles the end of a Dial while the caller is connected.
    fn dialled(&mut self, now: Duration, after: After, result: DialResult) {
        self.steps.trace(after.line, "Dial", Note::Result(result.status.name().to_owned()));
        let parameters = verbs::dial_parameters(result);
        self.finish(now, "Dial", after, Purpose::Dial, parameters);
    }

    /// Handles the end of an Enqueue. The response to its action is run, unless the caller has hung up or was
    /// redirected.
    fn queue_left(&mut self, now: Duration, left: u32, result: QueueResult) {
        let State::Queued(queued) = &self.state else { return };
        if queued.id != left {
            return;
        }
        let (line, action, abandoned) = (queued.line, queued.action.clone(), queued.abandoned);
        self.steps.trace(line, "Enqueue", Note::Result(result.outcome.name().to_owned()));
        let outcome = result.outcome;
        let parameters = verbs::queue_parameters(result);
        let request =
            action.map(|(location, method)| Request { location, method, purpose: Purpose::Enqueue, parameters });
        let is_redirected = matches!(outcome, QueueOutcome::Redirected | QueueOutcome::RedirectedFromBridged);
        self.state = State::Ready;
        match request {
            Some(request) if abandoned || is_redirected || outcome == QueueOutcome::Hangup => {
                self.steps.push(Step::Notify(request));
            }
            Some(request) => return self.fetch(now, request),
            None => {}
        }
        if abandoned {
            self.state = State::Over;
        } else if outcome == QueueOutcome::Hangup {
            self.hang_up();
        }
    }

    fn stream_ended(&mut self, now: Duration, ended: u32, error: Option<u16>) {
        let State::Streaming { id, after } = &self.state else { return };
        if *id != ended {
            return;
        }
        let after = after.clone();
        let note = match error {
            Some(code) => Note::Error { code, text: "the stream failed".to_owned() },
            None => Note::Result("the stream ended".to_owned()),
        };
        self.steps.trace(after.line, "Connect", note);
        self.finish(now, "Connect", after, Purpose::Connect, Vec::new());
    }

    fn refer_ended(&mut self, now: Duration, ended: u32, result: &ReferResult) {
        let State::Referring { id, after, abandoned } = &self.state else { return };
        if *id != ended {
            return;
        }
        let (after, abandoned) = (after.clone(), *abandoned);
        if abandoned {
            self.state = State::Over;
            return self.notify("Refer", &after, Purpose::Refer, verbs::refer_parameters(result));
        }
        let status = result.status.unwrap_or("no result");
        self.steps.trace(after.line, "Refer", Note::Result(status.to_owned()));
        self.finish(now, "Refer", after, Purpose::Refer, verbs::refer_parameters(result));
    }

    fn hung_up(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Dialling(dialling) if dialling.abandoned => self.state = State::Dialling(dialling),
            State::Dialling(dialling) => {
                self.steps.push(Step::EndDial { id: dialling.id });
                // The outcome is known when the parties' calls have ended.
                if dialling.after.action.is_some() {
                    self.state = State::Dialling(Dialling { abandoned: true, waits: None, ..dialling });
                }
            }
            State::Queued(mut queued) => {
                // The outcome is known when the call has left the queue.
                queued.abandoned = true;
                self.state = State::Queued(queued);
            }
            State::Streaming { after, .. } => self.notify("Connect", &after, Purpose::Connect, Vec::new()),
            State::Recording(recording) if recording.has_begun() => self.notify_recorded(&recording),
            // The progress of the transfer is reported once more.
            State::Referring { id, after, .. } if after.action.is_some() => {
                self.state = State::Referring { id, after, abandoned: true };
            }
            State::Ready
            | State::Fetching { .. }
            | State::Playing(_)
            | State::Pausing { .. }
            | State::Gathering(_)
            | State::Recording(_)
            | State::Referring { .. }
            | State::Over => {}
        }
    }

    /// Requests the action of a Record that the caller ended by hanging up, when the audio is complete.
    fn notify_recorded(&mut self, recording: &Recording) {
        let (id, after) = (recording.id, &recording.after);
        let Some(action) = &after.action else { return };
        match self.location.resolve(action) {
            Ok(location) => {
                let parameters = vec![Parameter::new("Digits", "hangup")];
                let request = Request { location, method: after.method, purpose: Purpose::Record, parameters };
                self.steps.push(Step::NotifyRecorded { id, request });
            }
            Err(text) => self.steps.trace(after.line, "Record", Note::Error { code: code::BAD_URL, text }),
        }
    }
}

/// Returns the Dial of a call that only joins a conference.
fn joining(name: &str) -> Box<Dial> {
    Box::new(Dial { conference: Some(Box::new(Conference::named(name))), ..Dial::default() })
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
