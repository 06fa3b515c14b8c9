//! Runs one script of a sandbox: carries out its steps and records the events.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use trunkgate_call::trace::TraceView;
use trunkgate_call::view::RecordingView;
use trunkgate_call::{CallView, RecordingSource};
use trunkgate_phone::{AnswerKind, AnswerScript, CallEnding, CallNumber};

use super::application::Application;
use super::listener::AudioMatcher;
use super::owners::{CallOwners, ScriptId};
use super::phone::{ANSWER_AFTER, Extension, PlacedCall, ScriptCallEvent, Telephone, overheard};
use super::recogniser::SandboxRecogniser;
use super::refusals::{self, RefusalLog};
use super::report::{
    RefusedRequest, ReportRules, SILENT_MS, ScriptReport, StepOutcome, TranscriptEvent, has_given_up, shown,
};
use super::script::{
    ExpectedCall, ExpectedSound, OutOfCallStep, PartyBehaviour, PartyStep, Script, ScriptStep, StepAction,
};
use super::stop::StopReceiver;
use super::texts::{SandboxTexts, SentText};
use super::transcriber::SandboxTranscriber;
use super::voice::{Codebook, HeardSound};
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::clock;
use trunkgate_system::terminal;

/// Error of a step of a party, if no party has answered.
const NO_PARTY: &str = "no party has answered";
/// Maximum wait for the end of a call and its trace.
const AT_END: Duration = Duration::from_secs(5);
/// Maximum wait for the end of a call and its trace after a stop signal.
const AT_STOP: Duration = Duration::from_millis(300);
/// Maximum wait for the trace entry of a request that was open when a call timed out.
const OPEN_REQUEST: Duration = Duration::from_millis(300);
/// Sample rate of the audio, in Hz.
const RATE: u32 = 8000;
/// Interval at which conditions without an event are checked.
const LOOK: Duration = Duration::from_millis(20);
/// Silence after recorded words, so that the next step does not cut them off.
const RECORD_PAUSE: Duration = Duration::from_millis(200);
/// Twilio status of a recording that is still active.
const IN_PROGRESS: &str = "in-progress";

/// Route of a sandbox's calls: edge, called number and calling number.
#[derive(Debug, Clone)]
pub(super) struct SandboxRoute {
    pub(super) edge: std::net::SocketAddr,
    pub(super) number: String,
    pub(super) from: String,
    /// Numbers that the application may show to a party: those of the account, and the caller's.
    pub(super) callers: Vec<String>,
    /// Maximum wait until an expectation is met.
    pub(super) patience: Duration,
}

/// Services and settings that all scripts share.
#[derive(Clone, Copy)]
pub(super) struct ScriptEnvironment<'a> {
    pub(super) line: &'a SandboxRoute,
    /// Calling numbers of all scripts that run at a time.
    pub(super) callers: &'a [String],
    pub(super) owners: &'a CallOwners,
    pub(super) book: &'a Codebook,
    pub(super) recogniser: &'a SandboxRecogniser,
    pub(super) transcriber: &'a SandboxTranscriber,
    pub(super) texts: &'a SandboxTexts,
    pub(super) refusals: &'a RefusalLog,
    pub(super) application: &'a Application,
    pub(super) edge: &'a EdgeHandle,
    pub(super) stop: &'a StopReceiver,
    pub(super) rules: &'a ReportRules,
}

/// Party that the application has called.
struct CalledParty {
    call: CallNumber,
    number: String,
    from: String,
    acts: PartyBehaviour,
    /// Whether a step of the script expects the call.
    is_declared: bool,
    /// Whether a step has already matched the call.
    is_seen: bool,
    listener: AudioMatcher,
    is_answered: bool,
    is_live: bool,
}

/// State of a running script.
struct ScriptRun<'a> {
    id: ScriptId,
    means: &'a ScriptEnvironment<'a>,
    phone: Extension,
    began: Instant,
    /// Call of the script's caller; `None` if the script places no call.
    caller: Option<PlacedCall>,
    caller_sid: Option<String>,
    listener: AudioMatcher,
    /// All numbers that steps expect to be called, then the calls still expected.
    numbers: Vec<String>,
    expected: Vec<ExpectedCall>,
    parties: Vec<CalledParty>,
    is_answered: bool,
    ending: Option<CallEnding>,
    /// Whether a step has already noticed the end of the caller's call.
    knows_end: bool,
    /// Whether events are printed as they occur.
    is_shown: bool,
    notes: Vec<TranscriptEvent>,
    /// Errors that Twilio would have reported for the application's calls.
    refused: Vec<String>,
    /// Index of the next text message for a step, then of the next one for the transcript.
    texts_seen: usize,
    texts_noted: usize,
    /// Number of transcribed recordings that are already in the transcript.
    transcribed: usize,
    /// Requests refused by the proxy, then the number of those already in the transcript.
    refused_requests: Vec<RefusedRequest>,
    refusals_noted: usize,
}

/// Call in which a step of the script expects something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExpectationScope {
    Caller,
    Party,
    /// No call, as for a text message.
    None,
}

/// Service that listens to the caller's speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpeechListener {
    /// Recogniser of a Gather, or of a live transcription.
    Recogniser,
    /// Recording made by a Record verb.
    Record,
}

/// Runs a script and returns its report.
pub(super) async fn run(
    id: ScriptId,
    script: &Script,
    means: &ScriptEnvironment<'_>,
    telephone: &Telephone,
) -> ScriptReport {
    let began_at = clock::now();
    let expected: Vec<ExpectedCall> = script.dialled().cloned().collect();
    let answers = expected.iter().map(|one| (one.number.clone(), answer(one.acts))).collect();
    let mut talk = ScriptRun::new(id, means, telephone.open(id, &means.line.from, answers).await, expected);
    means.transcriber.expect(id, script.transcriptions().map(|(_, text)| text.to_owned()).collect());
    let mut report = ScriptReport { name: script.name.clone(), ..ScriptReport::default() };
    if script.has_call() && !talk.call().await {
        report.failures.push("the caller has no media port left".to_owned());
        means.transcriber.forget(id);
        return report;
    }
    for step in &script.steps {
        let failure = talk.carry_out(step).await.err();
        if let Some(why) = &failure {
            report.failures.push(format!("{}:{}: {}: {why}", script.name, step.line, step.text));
        }
        let is_failed = failure.is_some();
        report.steps.push(StepOutcome { line: step.line, text: step.text.clone(), at: talk.seconds(), failure });
        if is_failed {
            break;
        }
    }
    if report.failures.is_empty() && !script.steps.is_empty() {
        report.failures.extend(talk.undeclared().map(|what| format!("{}: {what}", script.name)));
    }
    report.silent_ms = talk.leave(script.steps.is_empty()).await;
    if report.failures.is_empty() {
        talk.expect_transcriptions(script, &mut report).await;
    }
    means.transcriber.forget(id);
    report.seconds = talk.began.elapsed().as_secs_f64();
    let traces = traces_of(&talk, began_at, report.silent_ms.is_some()).await;
    talk.report(&mut report, &traces);
    report
}

/// Prints the calls that the application places, until a signal stops the sandbox.
pub(super) async fn watch(id: ScriptId, means: &ScriptEnvironment<'_>, telephone: &Telephone) {
    let phone = telephone.open(id, &means.line.from, Vec::new()).await;
    let mut talk = ScriptRun { is_shown: true, ..ScriptRun::new(id, means, phone, Vec::new()) };
    while talk.means.stop.came().is_none() {
        talk.listen(Instant::now() + AT_END).await;
        talk.note_services();
        talk.parties.retain(|party| party.is_live);
        talk.notes.clear();
        talk.refused_requests.clear();
    }
}

/// Returns the phone's answer for a party's behaviour.
fn answer(acts: PartyBehaviour) -> AnswerScript {
    let rejected = |code: u16| AnswerScript::from_kind(AnswerKind::Reject { code, after: ANSWER_AFTER });
    overheard(match acts {
        PartyBehaviour::Answers => AnswerScript::ring(ANSWER_AFTER),
        PartyBehaviour::IsBusy => rejected(486),
        PartyBehaviour::RingsForEver => AnswerScript::from_kind(AnswerKind::RingForever),
        PartyBehaviour::Fails => rejected(500),
    })
}

/// Returns the traces of the script's calls after their end, the caller's first, each with the call's start in seconds.
/// `is_timed_out`: a request may have been open at the end, so its entry is awaited.
async fn traces_of(talk: &ScriptRun<'_>, began_at: Timestamp, is_timed_out: bool) -> Vec<(f64, TraceView)> {
    let until = Instant::now() + talk.last_wait();
    let requests_until = Instant::now() + if is_timed_out { OPEN_REQUEST } else { Duration::ZERO };
    let began = |text: &str| {
        let at: Timestamp = text.parse().ok()?;
        // The edge's times have a resolution of milliseconds.
        (at.as_millisecond() >= began_at.as_millisecond()).then(|| at.duration_since(began_at).as_secs_f64().max(0.0))
    };
    loop {
        let Ok(mut calls) = talk.means.edge.calls().await else { return Vec::new() };
        calls.retain(|call| began(&call.started_at).is_some() && talk.has_call(call));
        // The entry of an abandoned request follows the end of the call.
        tokio::time::sleep(LOOK).await;
        let is_over = calls.iter().all(|call| call.state == "ended");
        if !is_over && Instant::now() < until {
            continue;
        }
        calls.sort_by_key(|call| call.requested);
        let mut traces = Vec::new();
        for call in &calls {
            if let (Some(at), Ok(Some(trace))) = (began(&call.started_at), talk.means.edge.trace(&call.sid).await) {
                traces.push((at, trace));
            }
        }
        if Instant::now() < requests_until && !traces.iter().any(|(_, trace)| has_given_up(trace)) {
            continue;
        }
        return traces;
    }
}

impl<'a> ScriptRun<'a> {
    fn new(
        id: ScriptId,
        means: &'a ScriptEnvironment<'a>,
        phone: Extension,
        expected: Vec<ExpectedCall>,
    ) -> ScriptRun<'a> {
        ScriptRun {
            id,
            means,
            phone,
            began: Instant::now(),
            caller: None,
            caller_sid: None,
            listener: AudioMatcher::default(),
            numbers: expected.iter().map(|one| one.number.clone()).collect(),
            expected,
            parties: Vec::new(),
            is_answered: false,
            ending: None,
            knows_end: false,
            is_shown: false,
            notes: Vec::new(),
            refused: Vec::new(),
            texts_seen: means.texts.count(),
            texts_noted: means.texts.count(),
            transcribed: means.transcriber.count(),
            refused_requests: Vec::new(),
            refusals_noted: means.refusals.shown(),
        }
    }

    /// Places the caller's call; returns false if the phone cannot.
    async fn call(&mut self) -> bool {
        let line = self.means.line;
        self.caller = self.phone.dial(line.edge, &line.number, &line.from).await;
        self.note(format!("calls {} from {}", line.number, line.from));
        self.caller.is_some()
    }

    /// Returns whether a call of the edge belongs to the script: by its legs, otherwise if no other script runs or the
    /// script expects the called number.
    fn has_call(&self, call: &CallView) -> bool {
        match self.means.owners.script_of(call) {
            Some(id) => id == self.id,
            None => self.means.callers.len() == 1 || self.numbers.contains(&call.to),
        }
    }

    /// Returns whether a text message may belong to the script, because it is not for the caller of another script.
    fn has_text(&self, text: &SentText) -> bool {
        text.to == self.means.line.from || !self.means.callers.contains(&text.to)
    }

    /// Returns the caller's call at the telephone; `None` for a script without a call.
    fn caller(&self) -> Option<CallNumber> {
        self.caller.as_ref().map(|placed| placed.number)
    }

    /// Returns the SID of the caller's call; `None` until the edge has assigned it.
    async fn caller_sid(&mut self) -> Option<String> {
        if self.caller_sid.is_none() {
            let id = &self.caller.as_ref()?.sip_call_id;
            let calls = self.means.edge.calls().await.ok()?;
            let is_it = |call: &&CallView| call.legs.first().is_some_and(|leg| leg.sip_call_id == *id);
            self.caller_sid = calls.iter().find(is_it).map(|call| call.sid.clone());
        }
        self.caller_sid.clone()
    }

    fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn note(&mut self, text: String) {
        self.note_at(self.seconds(), text);
    }

    fn note_at(&mut self, at: f64, text: String) {
        if self.is_shown {
            eprintln!("  {at:>7.2} s  {}", terminal::harmless(&text));
        }
        self.notes.push(TranscriptEvent { at, text });
    }

    /// Appends new text messages, transcriptions and refused proxy requests to the transcript.
    fn note_services(&mut self) {
        for text in self.means.texts.since(self.texts_noted) {
            self.texts_noted += 1;
            if !self.has_text(&text) {
                continue;
            }
            let at = text.at.saturating_duration_since(self.began).as_secs_f64();
            self.note_at(at, format!("a text to {} from {}: {}", text.to, text.from, text.body));
        }
        for one in self.means.transcriber.since(self.transcribed) {
            self.transcribed += 1;
            if one.script.is_some_and(|script| script != self.id) {
                continue;
            }
            let at = one.at.saturating_duration_since(self.began).as_secs_f64();
            self.note_at(
                at,
                match one.text {
                    Some(text) => format!("a recording is transcribed: {text}"),
                    None => "a recording cannot be transcribed: it contains no speech".to_owned(),
                },
            );
        }
        for refusal in self.means.refusals.since(self.refusals_noted) {
            self.refusals_noted += 1;
            let at = refusal.at.saturating_duration_since(self.began).as_secs_f64();
            self.note_at(at, refusals::in_words(&refusal));
            let reason = refusals::reason(&refusal).to_owned();
            let (method, target) = (refusal.method, refusal.target);
            self.refused_requests.push(RefusedRequest { at, method, target, reason });
        }
    }

    async fn carry_out(&mut self, step: &ScriptStep) -> Result<(), String> {
        match &step.what {
            StepAction::NoCall | StepAction::Transcribes(_) => Ok(()),
            StepAction::Hear(words) => {
                self.wait_for(
                    ExpectationScope::Caller,
                    |talk| talk.listener.hears(words),
                    "the caller did not hear this text",
                )
                .await
            }
            StepAction::HearSound(sound) => {
                let otherwise = match sound {
                    ExpectedSound::Audio => "the caller heard no audio but speech and ringing",
                    ExpectedSound::Party => "the caller heard no party",
                    ExpectedSound::Ringing => "the caller heard no ringing",
                };
                self.wait_for(ExpectationScope::Caller, |talk| talk.listener.hears_sound(*sound), otherwise).await
            }
            StepAction::Press(digits) => {
                let is_answered = |talk: &mut Self| talk.is_answered.then_some(());
                self.wait_for(ExpectationScope::Caller, is_answered, "the call was not answered").await?;
                let Some(caller) = self.caller() else { return Err("there is no call".to_owned()) };
                self.note(format!("presses {digits}"));
                self.press(caller, digits).await
            }
            StepAction::Say(words) => self.say(words).await,
            StepAction::Wait(time) => {
                self.listen_until(Instant::now() + *time).await;
                Ok(())
            }
            StepAction::HangUp => {
                self.hang_up().await;
                self.knows_end = true;
                Ok(())
            }
            StepAction::Ends(status) => {
                let has_ended = |talk: &mut Self| talk.ending.map(drop);
                self.wait_for(ExpectationScope::Caller, has_ended, "the application did not end the call").await?;
                self.knows_end = true;
                match status {
                    Some(status) if *status != self.status() => Err(format!("it ended as {}", self.status())),
                    _ => Ok(()),
                }
            }
            StepAction::Dial(dialled) => self.dials(dialled).await,
            StepAction::Party(step) => self.carry_out_of_party(step).await,
            StepAction::Beside(step) => self.carry_out_beside(step).await,
        }
    }

    /// Carries out a step of a party.
    async fn carry_out_of_party(&mut self, step: &PartyStep) -> Result<(), String> {
        match step {
            PartyStep::Answers => self.has_answered().await,
            PartyStep::Hears(words) => {
                self.may_answer(|party| party.is_answered)?;
                let hears = |talk: &mut Self| talk.listening_party()?.listener.hears(words);
                self.wait_for(ExpectationScope::Party, hears, "the party did not hear this text").await
            }
            PartyStep::Presses(digits) => {
                self.has_answered().await?;
                let Some(call) = self.party().map(|party| party.call) else { return Err(NO_PARTY.to_owned()) };
                self.note(format!("the party presses {digits}"));
                self.press(call, digits).await
            }
            PartyStep::HangsUp => {
                self.has_answered().await?;
                let Some(call) = self.party().map(|party| party.call) else { return Err(NO_PARTY.to_owned()) };
                self.note("the party hangs up".to_owned());
                self.phone.hang_up(call).await;
                Ok(())
            }
        }
    }

    /// Carries out a step outside of calls.
    async fn carry_out_beside(&mut self, step: &OutOfCallStep) -> Result<(), String> {
        match step {
            OutOfCallStep::SendText(text) => {
                self.note(format!("sends a text: {text}"));
                let line = self.means.line;
                self.means.texts.send(&line.from, &line.number, text).await
            }
            OutOfCallStep::GetText(to, words) => {
                let to = to.clone().unwrap_or_else(|| self.means.line.from.clone());
                let comes = |talk: &mut Self| {
                    let found = talk.means.texts.find(talk.texts_seen, &to, words)?;
                    talk.texts_seen = found + 1;
                    Some(())
                };
                let result = self.wait_for(ExpectationScope::None, comes, "the application sent no such text").await;
                let instead = || self.means.texts.instead(self.texts_seen, |text| self.has_text(text));
                result.map_err(|why| format!("{why}. {}", instead()))
            }
            OutOfCallStep::Request(method, place, form) => {
                let answered = self.means.application.ask(method, place, form).await;
                self.note(format!("{method} {place}: {}", answered.as_ref().unwrap_or_else(|why| why)));
                answered.map(drop)
            }
        }
    }

    async fn press(&self, call: CallNumber, digits: &str) -> Result<(), String> {
        if self.phone.press(call, digits).await { Ok(()) } else { Err("the call does not accept digits".to_owned()) }
    }

    /// Sends spoken words as soon as the application listens.
    async fn say(&mut self, words: &str) -> Result<(), String> {
        let otherwise = "the application did not listen for speech (Gather with input=\"speech\", or Record)";
        let until = Instant::now() + self.means.line.patience;
        let samples = self.means.book.speak(words);
        let takes = Duration::from_secs(1) * u32::try_from(samples.len()).unwrap_or(u32::MAX) / RATE;
        let listener = loop {
            // The edge may begin to listen before the telephone has received the answer.
            if let Some(listener) = self.speech_listener().await
                && let Some(caller) = self.caller()
                && self.phone.speak(caller, samples.clone()).await
            {
                break listener;
            }
            self.go_on(ExpectationScope::Caller, until, otherwise).await?;
        };
        self.note(format!("says: {words}"));
        let pause = match listener {
            SpeechListener::Recogniser => Duration::ZERO,
            SpeechListener::Record => RECORD_PAUSE,
        };
        self.listen_until(Instant::now() + takes + pause).await;
        Ok(())
    }

    /// Returns the service that listens to the caller; `None` if there is none.
    async fn speech_listener(&mut self) -> Option<SpeechListener> {
        let sid = self.caller_sid().await?;
        let call = self.means.edge.known_call(&sid).await.ok().flatten();
        let is_record =
            |one: &RecordingView| one.source == RecordingSource::RecordVerb.as_str() && one.status == IN_PROGRESS;
        if call.is_some_and(|call| call.recordings.iter().any(is_record)) {
            return Some(SpeechListener::Record);
        }
        self.means.recogniser.listens(&sid).then_some(SpeechListener::Recogniser)
    }

    /// Waits until the application calls the expected number; calls may arrive in any order.
    async fn dials(&mut self, wanted: &ExpectedCall) -> Result<(), String> {
        let is_it = |party: &CalledParty| !party.is_seen && party.number == wanted.number;
        let dials = |talk: &mut Self| talk.parties.iter().any(is_it).then_some(());
        // A callback may place the call after the end of the caller's call.
        let of = if self.knows_end { ExpectationScope::None } else { ExpectationScope::Caller };
        self.wait_for(of, dials, "the application did not dial it").await?;
        let Some(party) = self.parties.iter_mut().find(|party| is_it(party)) else { return Err(NO_PARTY.to_owned()) };
        party.is_seen = true;
        match &wanted.from {
            Some(from) if *from != party.from => Err(format!("the party is shown {}", party.from)),
            _ => Ok(()),
        }
    }

    /// Waits until a party has answered.
    async fn has_answered(&mut self) -> Result<(), String> {
        self.may_answer(|party| party.is_live)?;
        let has = |talk: &mut Self| talk.party().map(|_| ());
        self.wait_for(ExpectationScope::Party, has, NO_PARTY).await
    }

    /// Checks whether a called party can still answer, or one selected by `is_there` has answered.
    ///
    /// # Errors
    /// Returns a message if parties have been called, but neither is the case.
    fn may_answer(&self, is_there: impl Fn(&CalledParty) -> bool) -> Result<(), String> {
        let never = self
            .parties
            .last()
            .filter(|_| !self.parties.iter().any(|party| party.may_answer() || is_there(party) && party.is_answered));
        match never {
            Some(party) => {
                Err(format!("{NO_PARTY}, and none will: the script has `{}` for {}", party.acts, party.number))
            }
            None => Ok(()),
        }
    }

    /// Returns the party called last of those that have answered and are still in their calls.
    fn party(&mut self) -> Option<&mut CalledParty> {
        self.parties.iter_mut().rev().find(|party| party.is_live && party.is_answered)
    }

    /// Returns the party called last of those that have answered, preferably one still in its call.
    fn listening_party(&mut self) -> Option<&mut CalledParty> {
        let live = self.parties.iter().rposition(|party| party.is_live && party.is_answered);
        let at = live.or_else(|| self.parties.iter().rposition(|party| party.is_answered))?;
        self.parties.get_mut(at)
    }

    /// Handles events until a condition holds. The error names the expectation (`otherwise`), and the sounds heard
    /// instead.
    async fn wait_for(
        &mut self,
        of: ExpectationScope,
        holds: impl Fn(&mut Self) -> Option<()>,
        otherwise: &str,
    ) -> Result<(), String> {
        let until = Instant::now() + self.means.line.patience;
        while holds(self).is_none() {
            self.go_on(of, until, otherwise).await?;
        }
        Ok(())
    }

    /// Handles the next event. The error names the reason why the wait ended, and the sounds heard instead.
    async fn go_on(&mut self, of: ExpectationScope, until: Instant, otherwise: &str) -> Result<(), String> {
        let is_over = self.ending.is_some()
            && match of {
                ExpectationScope::Caller => true,
                ExpectationScope::Party => !self.parties.iter().any(|party| party.is_live),
                ExpectationScope::None => false,
            };
        let why = if let Some(signal) = self.means.stop.came() {
            return Err(format!("interrupted by {}", signal.name()));
        } else if let Some(what) = self.undeclared().next() {
            what
        } else if is_over {
            format!("{otherwise}: the call has ended ({})", self.status())
        } else if Instant::now() >= until {
            format!("{otherwise} within {:.0} s", self.means.line.patience.as_secs_f64())
        } else {
            self.listen(until.min(Instant::now() + LOOK)).await;
            self.note_services();
            return Ok(());
        };
        let mut heard = String::new();
        if self.caller.is_some() {
            heard.push_str(&format!(". Since the step before, the caller {}", self.listener.instead()));
        }
        if let Some(party) = self.listening_party() {
            let separator = if heard.is_empty() { ". Since the step before" } else { ";" };
            heard.push_str(&format!("{separator} the party {}", party.listener.instead()));
        }
        Err(format!("{why}{heard}"))
    }

    /// Returns an error for each call to a number that no step expects, unless such calls are accepted.
    fn undeclared(&self) -> impl Iterator<Item = String> {
        let strange = |party: &&CalledParty| !party.is_declared && !self.means.rules.allow_undeclared_dials;
        self.parties.iter().filter(strange).map(|party| {
            format!(
                "the application dialled {}, which no step expects (--allow-undeclared-dials accepts it)",
                party.number
            )
        })
    }

    /// Handles the next event that occurs before the given time, if any.
    async fn listen(&mut self, until: Instant) {
        let stop = self.means.stop;
        let is_stopped = stop.came().is_some();
        let next = tokio::time::timeout_at(until.into(), self.phone.next());
        let news = tokio::select! {
            news = next => news,
            _ = stop.comes(), if !is_stopped => return,
        };
        if let Ok(Some((at, news))) = news {
            self.take(at, news);
        }
    }

    async fn listen_until(&mut self, until: Instant) {
        while Instant::now() < until && self.ending.is_none() && self.means.stop.came().is_none() {
            self.listen(until.min(Instant::now() + AT_STOP)).await;
        }
        self.note_services();
    }

    fn take(&mut self, at: Instant, news: ScriptCallEvent) {
        let seconds = at.saturating_duration_since(self.began).as_secs_f64();
        let book = self.means.book;
        let caller = self.caller();
        match news {
            ScriptCallEvent::Heard(call, samples) if Some(call) == caller => {
                self.listener.take(book, seconds, &samples)
            }
            ScriptCallEvent::Heard(call, samples) => {
                if let Some(party) = self.called(call) {
                    party.listener.take(book, seconds, &samples);
                }
            }
            ScriptCallEvent::Called { call, number, from } => self.is_called(seconds, call, number, from),
            ScriptCallEvent::Answered(call) if Some(call) == caller => {
                self.is_answered = true;
                self.note_at(seconds, "is answered".to_owned());
            }
            ScriptCallEvent::Answered(call) => {
                let answered = self.called(call).map(|party| {
                    party.is_answered = true;
                    format!("{} answers", party.number)
                });
                answered.into_iter().for_each(|text| self.note_at(seconds, text));
            }
            ScriptCallEvent::Ended(call, ending) if Some(call) == caller => {
                self.ending = Some(ending);
                let who = if ending == CallEnding::HungUp { "the caller hangs up" } else { "the call ends" };
                self.note_at(seconds, format!("{who}: {}", self.status()));
            }
            ScriptCallEvent::Ended(call, _) => {
                let is_shown = self.is_shown;
                let ended = self.called(call).map(|party| {
                    party.is_live = false;
                    let heard = party.listener.heard().iter().map(|heard| shown(&format!("{} ", party.number), heard));
                    let heard: Vec<TranscriptEvent> = heard.filter(|_| is_shown).collect();
                    (heard, format!("the call to {} ends", party.number))
                });
                let Some((heard, text)) = ended else { return };
                heard.into_iter().for_each(|moment| self.note_at(moment.at, moment.text));
                self.note_at(seconds, text);
            }
        }
    }

    /// Records a call of the application to a number.
    fn is_called(&mut self, seconds: f64, call: CallNumber, number: String, from: String) {
        self.note_at(seconds, format!("the application dials {number} from {from}"));
        let at = self.expected.iter().position(|dialled| dialled.number == number);
        let declared = at.map(|at| self.expected.remove(at));
        if !is_e164(&number) {
            self.refused.push(format!("error 13224: \"{number}\" is dialled, but is not a valid phone number"));
        } else if !self.means.line.callers.contains(&from) {
            self.refused.push(format!(
                "error 13214: {number} is dialled with callerId \"{from}\", which is neither a number of the account nor the caller's \
                 (--number adds one)"
            ));
        }
        self.parties.push(CalledParty {
            call,
            number,
            from,
            acts: declared.as_ref().map_or(PartyBehaviour::Answers, |dialled| dialled.acts),
            is_declared: declared.is_some(),
            is_seen: false,
            listener: AudioMatcher::default(),
            is_answered: false,
            is_live: true,
        });
    }

    fn called(&mut self, call: CallNumber) -> Option<&mut CalledParty> {
        self.parties.iter_mut().find(|party| party.call == call)
    }

    /// Returns the maximum wait for the end of a call, which is shorter after a stop signal.
    fn last_wait(&self) -> Duration {
        if self.means.stop.came().is_some() { AT_STOP } else { AT_END }
    }

    async fn hang_up(&mut self) {
        let until = Instant::now() + self.last_wait();
        if let Some(caller) = self.caller().filter(|_| self.ending.is_none()) {
            self.phone.hang_up(caller).await;
            while self.ending.is_none() && Instant::now() < until {
                self.listen(until).await;
            }
        }
    }

    /// Ends the remaining calls. Without steps, waits for the application to end the call first, for up to `--timeout`.
    /// If that expires, returns the age in milliseconds from which an open request counts as not answered.
    async fn leave(&mut self, has_no_steps: bool) -> Option<u64> {
        let patience = self.means.line.patience;
        if has_no_steps {
            self.listen_until(Instant::now() + patience).await;
        }
        let is_timed_out = has_no_steps && self.ending.is_none() && self.means.stop.came().is_none();
        self.hang_up().await;
        let until = Instant::now() + self.last_wait();
        for party in self.parties.iter().filter(|party| party.is_live) {
            self.phone.hang_up(party.call).await;
        }
        while self.parties.iter().any(|party| party.is_live) && Instant::now() < until {
            self.listen(until).await;
        }
        self.note_services();
        // No request can be open for a second with a short `--timeout`.
        let half = u64::try_from((patience / 2).as_millis()).unwrap_or(u64::MAX);
        is_timed_out.then(|| SILENT_MS.min(half))
    }

    /// Waits until every expected text has a recording. The first step without one fails.
    async fn expect_transcriptions(&mut self, script: &Script, report: &mut ScriptReport) {
        let until = Instant::now() + self.last_wait();
        while self.means.transcriber.waiting(self.id) > 0 && Instant::now() < until {
            self.listen(until.min(Instant::now() + LOOK)).await;
        }
        self.note_services();
        let Some((step, _)) = script.transcriptions().rev().take(self.means.transcriber.waiting(self.id)).last() else {
            return;
        };
        let why = "the application had no recording transcribed (Record with transcribe=\"true\")";
        report.failures.push(format!("{}:{}: {}: {why}", script.name, step.line, step.text));
        if let Some(outcome) = report.steps.iter_mut().find(|outcome| outcome.line == step.line) {
            outcome.failure = Some(why.to_owned());
        }
    }

    /// Returns the status of the caller's call, in Twilio's words.
    fn status(&self) -> &'static str {
        match self.ending {
            None if self.is_answered => "in-progress",
            None => "ringing",
            Some(_) if self.is_answered => "completed",
            Some(CallEnding::Refused(486 | 600)) => "busy",
            Some(CallEnding::Refused(408 | 480 | 487) | CallEnding::Canceled | CallEnding::TimedOut) => "no-answer",
            Some(_) => "failed",
        }
    }

    /// Adds the events, sounds and traces of the script to its report.
    fn report(mut self, report: &mut ScriptReport, traces: &[(f64, TraceView)]) {
        report.status = self.caller.is_some().then(|| self.status().to_owned());
        report.heard = self.listener.heard().iter().filter_map(HeardSound::words).collect();
        report.transcript = std::mem::take(&mut self.notes);
        report.refused = std::mem::take(&mut self.refused_requests);
        report.transcript.extend(self.listener.heard().iter().map(|heard| shown("", heard)));
        for party in &self.parties {
            let words = party.listener.heard().iter().filter(|heard| heard.words().is_some());
            report.transcript.extend(words.map(|heard| shown(&format!("{} ", party.number), heard)));
        }
        let refused = self.refused.iter().map(|what| format!("{}: the application: {what}", report.name));
        report.failures.extend(refused.collect::<Vec<_>>());
        if let Some((_, trace)) = traces.first().filter(|_| self.caller.is_some()) {
            report.sid = Some(trace.sid.clone());
        }
        for (at, trace) in traces {
            report.add_trace(*at, trace, self.means.rules);
        }
        report.transcript.sort_by(|one, other| one.at.total_cmp(&other.at));
    }
}

impl CalledParty {
    /// Returns whether the party's call is active and the party will answer.
    fn may_answer(&self) -> bool {
        self.is_live && self.acts == PartyBehaviour::Answers
    }
}

/// Returns whether a number is in E.164.
fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}
