//! One call of a sandbox: carries out the steps of its script, and notes what happens.

use std::time::{Duration, Instant};

use trunkgate_call::trace::{TraceItem, TraceView, Webhook};
use trunkgate_phone::{Answer, CallNumber, Ending, Manner};

use super::phone::{News, Telephone};
use super::script::{PartyActs, Script, Step, What};
use super::voice::{Codebook, Ear, Heard, Sound};
use crate::runtime::handle::Handle;

/// Time after which a party answers that does.
const ANSWER_AFTER: Duration = Duration::from_millis(100);
/// How long the end of a call and its trace are waited for.
const AT_END: Duration = Duration::from_secs(5);
/// How often the trace is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Where the calls of a sandbox go, and from whom.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) edge: std::net::SocketAddr,
    pub(super) number: String,
    pub(super) from: String,
    /// Longest wait for an expectation.
    pub(super) patience: Duration,
}

/// Something that happened in a call, in seconds since it began.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moment {
    pub(super) at: f64,
    pub(super) text: String,
}

/// Result of one script.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) name: String,
    /// What happened, in order.
    pub(super) transcript: Vec<Moment>,
    /// Expectations that failed, and errors of the application: a sentence each.
    pub(super) failures: Vec<String>,
    /// Why the application could not be asked; then it is what failed.
    pub(super) unreachable: Option<String>,
    pub(super) seconds: f64,
    /// Words of Say that the caller heard, in order.
    pub(super) heard: Vec<String>,
    pub(super) sid: Option<String>,
    pub(super) status: Option<String>,
}

/// A call under way.
struct Talk<'a> {
    line: &'a Line,
    book: &'a Codebook,
    phone: &'a mut Telephone,
    began: Instant,
    caller: CallNumber,
    ear: Ear,
    /// Numbers that the application has called, with the parties' calls that are live.
    called: Vec<(CallNumber, String)>,
    parties: Vec<CallNumber>,
    is_answered: bool,
    ending: Option<Ending>,
    notes: Vec<Moment>,
    /// Sound, and characters of it, behind which the next words are to be heard.
    cursor: (usize, usize),
    /// Dialled numbers that steps have seen.
    seen: usize,
}

/// Runs a script.
pub(super) async fn run(script: &Script, line: &Line, book: &Codebook, phone: &mut Telephone, edge: &Handle) -> Report {
    for step in &script.steps {
        if let What::Dial(_, acts) = &step.what {
            phone.expect(answer(*acts)).await;
        }
    }
    let began = Instant::now();
    let Some(caller) = phone.dial(line.edge, &line.number, &line.from).await else {
        let failures = vec!["the caller has no media port left".to_owned()];
        return Report { name: script.name.clone(), failures, ..Report::default() };
    };
    let mut talk = Talk {
        line,
        book,
        phone,
        began,
        caller,
        ear: Ear::default(),
        called: Vec::new(),
        parties: Vec::new(),
        is_answered: false,
        ending: None,
        notes: Vec::new(),
        cursor: (0, 0),
        seen: 0,
    };
    talk.note(format!("calls {} from {}", line.number, line.from));
    let mut failures = Vec::new();
    for step in &script.steps {
        if let Err(why) = talk.carry_out(step).await {
            failures.push(format!("{}:{}: {}: {why}", script.name, step.line, step.text));
            break;
        }
    }
    talk.leave(script.steps.is_empty()).await;
    let seconds = began.elapsed().as_secs_f64();
    let trace = trace_of(edge, &talk).await;
    let mut report = Report { name: script.name.clone(), failures, seconds, ..Report::default() };
    report.status = Some(talk.status().to_owned());
    report.heard = talk.ear.heard().iter().filter_map(Heard::words).collect();
    report.transcript = std::mem::take(&mut talk.notes);
    report.transcript.extend(talk.ear.heard().iter().map(shown));
    if let Some(trace) = trace {
        report.add_trace(&trace);
    }
    report.transcript.sort_by(|one, other| one.at.total_cmp(&other.at));
    report
}

/// Returns how a party answers that is to do this.
fn answer(acts: PartyActs) -> Answer {
    let rejected = |code: u16| Answer::of(Manner::Reject { code, after: ANSWER_AFTER });
    match acts {
        PartyActs::Answers => Answer::ring(ANSWER_AFTER),
        PartyActs::IsBusy => rejected(486),
        PartyActs::RingsForEver => Answer::of(Manner::RingForever),
        PartyActs::Fails => rejected(500),
    }
}

/// Returns the trace of the call once the edge has done with it.
async fn trace_of(edge: &Handle, talk: &Talk<'_>) -> Option<TraceView> {
    let until = Instant::now() + AT_END;
    loop {
        let calls = edge.calls().await.ok()?;
        let own = calls.iter().filter(|call| !call.requested && call.to == talk.line.number);
        let newest = own.max_by(|one, other| one.started_at.cmp(&other.started_at))?;
        if newest.state == "ended" || Instant::now() >= until {
            return edge.trace(&newest.sid).await.ok().flatten();
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns a sound as the transcript has it.
fn shown(heard: &Heard) -> Moment {
    let text = match heard.words() {
        Some(words) => format!("hears: {words}{}", if heard.is_cut_off() { " [cut off]" } else { "" }),
        None => format!("hears audio for {:.1} s", heard.to - heard.from + 0.02),
    };
    Moment { at: heard.from, text }
}

impl Talk<'_> {
    fn note(&mut self, text: String) {
        let at = self.began.elapsed().as_secs_f64();
        self.notes.push(Moment { at, text });
    }

    async fn carry_out(&mut self, step: &Step) -> Result<(), String> {
        match &step.what {
            What::Hear(words) => self.wait_for(|talk| talk.hears(words), "the caller did not hear it").await,
            What::HearAudio => self.wait_for(Talk::hears_audio, "the caller heard no audio but speech").await,
            What::Press(digits) => {
                self.wait_for(|talk| talk.is_answered.then_some(()), "the call was not answered").await?;
                self.note(format!("presses {digits}"));
                match self.phone.press(self.caller, digits).await {
                    true => Ok(()),
                    false => Err("the call takes no digits".to_owned()),
                }
            }
            What::Wait(time) => {
                self.listen_until(Instant::now() + *time).await;
                Ok(())
            }
            What::Dial(number, _) => {
                self.wait_for(Talk::dials, "the application dialled no number").await?;
                let dialled = self.called.get(self.seen).map(|(_, called)| called.clone()).unwrap_or_default();
                self.seen += 1;
                if dialled == *number { Ok(()) } else { Err(format!("the application dialled {dialled}")) }
            }
            What::PartyHangsUp => match self.parties.last().copied() {
                Some(party) => {
                    self.note("the party hangs up".to_owned());
                    self.phone.hang_up(party).await;
                    Ok(())
                }
                None => Err("no party is in the call".to_owned()),
            },
            What::HangUp => {
                self.hang_up().await;
                Ok(())
            }
            What::Ends(status) => {
                self.wait_for(|talk| talk.ending.map(drop), "the application did not end the call").await?;
                match status {
                    Some(status) if *status != self.status() => Err(format!("it ended as {}", self.status())),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Waits until something is so; the error says what was heard instead.
    async fn wait_for(&mut self, holds: impl Fn(&mut Self) -> Option<()>, otherwise: &str) -> Result<(), String> {
        let until = Instant::now() + self.line.patience;
        loop {
            if holds(self).is_some() {
                return Ok(());
            }
            let why = if self.ending.is_some() {
                format!("{otherwise}: the call has ended ({})", self.status())
            } else if Instant::now() >= until {
                format!("{otherwise} within {:.0} s", self.line.patience.as_secs_f64())
            } else {
                self.listen(until).await;
                continue;
            };
            return Err(format!("{why}. {}", self.instead()));
        }
    }

    /// Says what the caller has heard behind the last expectation.
    fn instead(&self) -> String {
        let rest = self.ear.heard().get(self.cursor.0..).unwrap_or_default();
        let heard: Vec<String> =
            rest.iter().map(|heard| heard.words().map_or("audio".to_owned(), |words| format!("\"{words}\""))).collect();
        if heard.is_empty() { "It heard nothing".to_owned() } else { format!("It heard {}", heard.join(", ")) }
    }

    /// Whether these words stand behind those of the last expectation.
    fn hears(&mut self, words: &str) -> Option<()> {
        let wanted = plain(words);
        for (at, heard) in self.ear.heard().iter().enumerate().skip(self.cursor.0) {
            let Some(said) = heard.words() else { continue };
            let said = plain(&said);
            let from = if at == self.cursor.0 { self.cursor.1 } else { 0 };
            if let Some(found) = said.get(from..).and_then(|rest| rest.find(&wanted)) {
                self.cursor = (at, from + found + wanted.len());
                return Some(());
            }
        }
        None
    }

    fn hears_audio(&mut self) -> Option<()> {
        let found = self.ear.heard().iter().enumerate().skip(self.cursor.0);
        let (at, _) = found.into_iter().find(|(_, heard)| heard.what == Sound::Audio)?;
        self.cursor = (at + 1, 0);
        Some(())
    }

    fn dials(&mut self) -> Option<()> {
        self.called.get(self.seen).map(drop)
    }

    /// Takes what happens until then, or the next thing that does.
    async fn listen(&mut self, until: Instant) {
        if let Ok(Some((at, news))) = tokio::time::timeout_at(until.into(), self.phone.next()).await {
            self.take(at, news);
        }
    }

    async fn listen_until(&mut self, until: Instant) {
        while Instant::now() < until && self.ending.is_none() {
            self.listen(until).await;
        }
    }

    fn take(&mut self, at: Instant, news: News) {
        let seconds = at.saturating_duration_since(self.began).as_secs_f64();
        match news {
            News::Heard(call, samples) if call == self.caller => self.ear.take(self.book, seconds, &samples),
            News::Called(call, number) => {
                self.note(format!("the application dials {number}"));
                self.called.push((call, number));
                self.parties.push(call);
            }
            News::Answered(call) if call == self.caller => {
                self.is_answered = true;
                self.note("is answered".to_owned());
            }
            News::Answered(call) => {
                if let Some((_, number)) = self.called.iter().find(|(called, _)| *called == call) {
                    self.note(format!("{number} answers"));
                }
            }
            News::Ended(call, ending) if call == self.caller => {
                self.ending = Some(ending);
                let who = if ending == Ending::HungUp { "the caller hangs up" } else { "the call ends" };
                self.note(format!("{who}: {}", self.status()));
            }
            News::Ended(call, _) => self.parties.retain(|party| *party != call),
            News::Heard(..) => {}
        }
    }

    async fn hang_up(&mut self) {
        if self.ending.is_none() {
            self.phone.hang_up(self.caller).await;
            self.listen_until(Instant::now() + AT_END).await;
        }
    }

    /// Ends what is left of the call: without steps, once the application does or nothing has been heard for a while.
    async fn leave(&mut self, has_no_steps: bool) {
        if has_no_steps {
            self.listen_until(Instant::now() + self.line.patience).await;
        }
        self.hang_up().await;
        let until = Instant::now() + AT_END;
        for party in self.parties.clone() {
            self.phone.hang_up(party).await;
        }
        while !self.parties.is_empty() && Instant::now() < until {
            self.listen(until).await;
        }
    }

    /// Returns how the call has ended, in Twilio's word.
    fn status(&self) -> &'static str {
        match self.ending {
            None if self.is_answered => "in-progress",
            None => "ringing",
            Some(_) if self.is_answered => "completed",
            Some(Ending::Refused(486 | 600)) => "busy",
            Some(Ending::Refused(408 | 480 | 487) | Ending::Canceled | Ending::TimedOut) => "no-answer",
            Some(_) => "failed",
        }
    }
}

/// Returns a text as it is compared.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

impl Report {
    /// Adds requests to the application, and its errors.
    fn add_trace(&mut self, trace: &TraceView) {
        self.sid = Some(trace.sid.clone());
        for entry in &trace.entries {
            let at = entry.at_us as f64 / 1e6;
            match &entry.what {
                TraceItem::Webhook { webhook, .. } => {
                    self.transcript.push(Moment { at, text: request(webhook) });
                    if webhook.error.is_some() && webhook.purpose != "callback" {
                        self.unreachable.get_or_insert_with(|| request(webhook));
                    }
                }
                // Of a request that failed, the line of the request says it all.
                TraceItem::Decision { text } if text.contains(": error ") && self.unreachable.is_none() => {
                    self.transcript.push(Moment { at, text: text.clone() });
                    self.failures.push(format!("{}: the application: {text}", self.name));
                }
                TraceItem::Decision { .. }
                | TraceItem::Message { .. }
                | TraceItem::Agent { .. }
                | TraceItem::Media { .. } => {}
            }
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.failures.is_empty() && self.unreachable.is_none()
    }
}

/// Returns a request as one line, with its last try and without the body.
fn request(webhook: &Webhook) -> String {
    let Some(last) = webhook.tries.last() else { return webhook.method.clone() };
    let status = last.status.map(|status| format!("HTTP {status}"));
    let result = status.or_else(|| last.failure.clone()).unwrap_or_else(|| "no answer".to_owned());
    let tries = if webhook.tries.len() > 1 { format!(", {} tries", webhook.tries.len()) } else { String::new() };
    let error = webhook.error.map(|code| format!(" (error {code})")).unwrap_or_default();
    format!("{} {}: {result} after {} ms{tries}{error}", webhook.method, last.url, last.duration_ms)
}
