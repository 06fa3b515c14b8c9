//! One call of a sandbox: carries out the steps of its script, and notes what happens.

use std::time::{Duration, Instant};

use trunkgate_call::trace::{TraceItem, TraceView, Webhook};
use trunkgate_phone::{Answer, CallNumber, Ending, Manner};

use super::listener::Listener;
use super::phone::{ANSWER_AFTER, News, Telephone, overheard};
use super::recogniser::Recogniser;
use super::script::{PartyActs, Script, Step, What};
use super::voice::{Codebook, Heard};
use crate::runtime::handle::Handle;

/// A step asks for a party, and there is none.
const NO_PARTY: &str = "no party is in the call";
/// How long the end of a call and its trace are waited for.
const AT_END: Duration = Duration::from_secs(5);
/// Samples of a second.
const RATE: u32 = 8000;
/// How often a condition that no news tells of is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Where the calls of a sandbox go, and from whom.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) edge: std::net::SocketAddr,
    pub(super) number: String,
    pub(super) from: String,
    /// Longest wait for an expectation.
    pub(super) patience: Duration,
    /// Whether a Play whose file cannot be had fails no call.
    pub(super) allow_missing_audio: bool,
}

/// What a sandbox has for its calls.
pub(super) struct Means<'a> {
    pub(super) line: &'a Line,
    pub(super) book: &'a Codebook,
    pub(super) recogniser: &'a Recogniser,
    pub(super) edge: &'a Handle,
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

/// A party that the application has called.
struct Party {
    call: CallNumber,
    number: String,
    acts: PartyActs,
    listener: Listener,
    is_answered: bool,
    is_live: bool,
}

/// A call under way.
struct Talk<'a> {
    means: &'a Means<'a>,
    phone: &'a mut Telephone,
    began: Instant,
    caller: CallNumber,
    listener: Listener,
    /// What the parties do that are yet to be called, in order.
    acts: std::vec::IntoIter<PartyActs>,
    parties: Vec<Party>,
    is_answered: bool,
    ending: Option<Ending>,
    notes: Vec<Moment>,
    /// Dialled numbers that steps have seen.
    seen: usize,
}

/// Runs a script.
pub(super) async fn run(script: &Script, means: &Means<'_>, phone: &mut Telephone) -> Report {
    let acts: Vec<PartyActs> = script.steps.iter().filter_map(|step| step.what.acts()).collect();
    phone.answer(acts.iter().map(|acts| answer(*acts)).collect()).await;
    let (began, line) = (Instant::now(), means.line);
    let Some(caller) = phone.dial(line.edge, &line.number, &line.from).await else {
        let failures = vec!["the caller has no media port left".to_owned()];
        return Report { name: script.name.clone(), failures, ..Report::default() };
    };
    let mut talk = Talk {
        means,
        phone,
        began,
        caller,
        listener: Listener::default(),
        acts: acts.into_iter(),
        parties: Vec::new(),
        is_answered: false,
        ending: None,
        notes: Vec::new(),
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
    let trace = trace_of(means.edge, &talk).await;
    let mut report = Report { name: script.name.clone(), failures, seconds, ..Report::default() };
    report.status = Some(talk.status().to_owned());
    report.heard = talk.listener.heard().iter().filter_map(Heard::words).collect();
    report.transcript = std::mem::take(&mut talk.notes);
    report.transcript.extend(talk.listener.heard().iter().map(|heard| shown("", heard)));
    for party in &talk.parties {
        let words = party.listener.heard().iter().filter(|heard| heard.words().is_some());
        report.transcript.extend(words.map(|heard| shown(&format!("{} ", party.number), heard)));
    }
    if let Some(trace) = trace {
        report.add_trace(&trace, line.allow_missing_audio);
    }
    report.transcript.sort_by(|one, other| one.at.total_cmp(&other.at));
    report
}

/// Returns how a party answers that is to do this.
fn answer(acts: PartyActs) -> Answer {
    let rejected = |code: u16| Answer::of(Manner::Reject { code, after: ANSWER_AFTER });
    overheard(match acts {
        PartyActs::Answers => Answer::ring(ANSWER_AFTER),
        PartyActs::IsBusy => rejected(486),
        PartyActs::RingsForEver => Answer::of(Manner::RingForever),
        PartyActs::Fails => rejected(500),
    })
}

/// Returns the trace of the call once the edge has done with it.
async fn trace_of(edge: &Handle, talk: &Talk<'_>) -> Option<TraceView> {
    let until = Instant::now() + AT_END;
    loop {
        let calls = edge.calls().await.ok()?;
        let own = calls.iter().filter(|call| !call.requested && call.to == talk.means.line.number);
        let newest = own.max_by(|one, other| one.started_at.cmp(&other.started_at))?;
        if newest.state == "ended" || Instant::now() >= until {
            return edge.trace(&newest.sid).await.ok().flatten();
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns a sound as the transcript has it, of the caller or of the party that is named first.
fn shown(who: &str, heard: &Heard) -> Moment {
    let text = match heard.words() {
        Some(words) => format!("{who}hears: {words}{}", if heard.is_cut_off() { " [cut off]" } else { "" }),
        None => format!("{who}hears audio for {:.1} s", heard.to - heard.from + 0.02),
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
            What::Hear(words) => self.wait_for(|talk| talk.listener.hears(words), "the caller did not hear it").await,
            What::HearAudio => {
                self.wait_for(|talk| talk.listener.hears_audio(), "the caller heard no audio but speech").await
            }
            What::Press(digits) => {
                self.wait_for(|talk| talk.is_answered.then_some(()), "the call was not answered").await?;
                self.note(format!("presses {digits}"));
                self.press(self.caller, digits).await
            }
            What::Say(words) => self.say(words).await,
            What::Wait(time) => {
                self.listen_until(Instant::now() + *time).await;
                Ok(())
            }
            What::Dial(number, _) => {
                self.wait_for(Talk::dials, "the application dialled no number").await?;
                let dialled = self.parties.get(self.seen).map(|party| party.number.clone()).unwrap_or_default();
                self.seen += 1;
                if dialled == *number { Ok(()) } else { Err(format!("the application dialled {dialled}")) }
            }
            What::PartyHears(words) => {
                self.wait_for(|talk| talk.last_party()?.listener.hears(words), "the party did not hear it").await
            }
            What::PartyPresses(digits) => {
                self.wait_for(|talk| talk.party()?.is_answered.then_some(()), "no party has answered").await?;
                let Some(call) = self.party().map(|party| party.call) else { return Err(NO_PARTY.to_owned()) };
                self.note(format!("the party presses {digits}"));
                self.press(call, digits).await
            }
            What::PartyHangsUp => self.party_hangs_up().await,
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

    async fn press(&self, call: CallNumber, digits: &str) -> Result<(), String> {
        if self.phone.press(call, digits).await { Ok(()) } else { Err("the call takes no digits".to_owned()) }
    }

    /// Says words once the application listens.
    async fn say(&mut self, words: &str) -> Result<(), String> {
        let listens = |talk: &mut Self| talk.means.recogniser.listens().then_some(());
        self.wait_for(listens, "the application did not listen for speech (Gather with input=\"speech\")").await?;
        self.note(format!("says: {words}"));
        let samples = self.means.book.speak(words);
        let takes = Duration::from_secs(1) * u32::try_from(samples.len()).unwrap_or(u32::MAX) / RATE;
        if !self.phone.speak(self.caller, samples).await {
            return Err("the call is not answered".to_owned());
        }
        self.listen_until(Instant::now() + takes).await;
        Ok(())
    }

    /// Ends the call of the party that was called last. One that answers does so first.
    async fn party_hangs_up(&mut self) -> Result<(), String> {
        let is_ready = |talk: &mut Self| {
            talk.party().filter(|party| party.is_answered || party.acts != PartyActs::Answers).map(|_| ())
        };
        self.wait_for(is_ready, NO_PARTY).await?;
        let Some(call) = self.party().map(|party| party.call) else { return Err(NO_PARTY.to_owned()) };
        self.note("the party hangs up".to_owned());
        self.phone.hang_up(call).await;
        Ok(())
    }

    /// Returns the live party that was called last.
    fn party(&mut self) -> Option<&mut Party> {
        self.parties.iter_mut().rev().find(|party| party.is_live)
    }

    /// Returns the party that was called last, also where its call has ended and no other is live.
    fn last_party(&mut self) -> Option<&mut Party> {
        let live = self.parties.iter().rposition(|party| party.is_live);
        let at = live.or(self.parties.len().checked_sub(1))?;
        self.parties.get_mut(at)
    }

    /// Waits until something is so; the error says what was heard instead.
    async fn wait_for(&mut self, holds: impl Fn(&mut Self) -> Option<()>, otherwise: &str) -> Result<(), String> {
        let until = Instant::now() + self.means.line.patience;
        loop {
            if holds(self).is_some() {
                return Ok(());
            }
            let why = if self.ending.is_some() {
                format!("{otherwise}: the call has ended ({})", self.status())
            } else if Instant::now() >= until {
                format!("{otherwise} within {:.0} s", self.means.line.patience.as_secs_f64())
            } else {
                self.listen(until.min(Instant::now() + LOOK)).await;
                continue;
            };
            let mut heard = format!("The caller {}", self.listener.instead());
            if let Some(party) = self.last_party().filter(|party| party.is_answered) {
                heard.push_str(&format!("; the party {}", party.listener.instead()));
            }
            return Err(format!("{why}. {heard}"));
        }
    }

    fn dials(&mut self) -> Option<()> {
        self.parties.get(self.seen).map(drop)
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
        let book = self.means.book;
        match news {
            News::Heard(call, samples) if call == self.caller => self.listener.take(book, seconds, &samples),
            News::Heard(call, samples) => {
                if let Some(party) = self.called(call) {
                    party.listener.take(book, seconds, &samples);
                }
            }
            News::Called(call, number) => {
                self.note(format!("the application dials {number}"));
                let acts = self.acts.next().unwrap_or(PartyActs::Answers);
                let listener = Listener::default();
                self.parties.push(Party { call, number, acts, listener, is_answered: false, is_live: true });
            }
            News::Answered(call) if call == self.caller => {
                self.is_answered = true;
                self.note("is answered".to_owned());
            }
            News::Answered(call) => {
                let answered = self.called(call).map(|party| {
                    party.is_answered = true;
                    format!("{} answers", party.number)
                });
                answered.into_iter().for_each(|text| self.note(text));
            }
            News::Ended(call, ending) if call == self.caller => {
                self.ending = Some(ending);
                let who = if ending == Ending::HungUp { "the caller hangs up" } else { "the call ends" };
                self.note(format!("{who}: {}", self.status()));
            }
            News::Ended(call, _) => {
                if let Some(party) = self.called(call) {
                    party.is_live = false;
                }
            }
        }
    }

    fn called(&mut self, call: CallNumber) -> Option<&mut Party> {
        self.parties.iter_mut().find(|party| party.call == call)
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
            self.listen_until(Instant::now() + self.means.line.patience).await;
        }
        self.hang_up().await;
        let until = Instant::now() + AT_END;
        for party in self.parties.iter().filter(|party| party.is_live) {
            self.phone.hang_up(party.call).await;
        }
        while self.party().is_some() && Instant::now() < until {
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

impl Report {
    /// Adds requests to the application, and its errors; of a Play without its file only where that is one.
    fn add_trace(&mut self, trace: &TraceView, allow_missing_audio: bool) {
        self.sid = Some(trace.sid.clone());
        for entry in &trace.entries {
            let at = entry.at_us as f64 / 1e6;
            match &entry.what {
                TraceItem::Webhook { webhook, .. } => {
                    self.transcript.push(Moment { at, text: request(webhook) });
                    let is_allowed = webhook.purpose == "play" && allow_missing_audio;
                    if webhook.error.is_some() && webhook.purpose != "callback" && !is_allowed {
                        self.unreachable.get_or_insert_with(|| request(webhook));
                    }
                }
                // Of a request that failed, the line of the request says it all.
                TraceItem::Decision { text } if text.contains(": error ") && self.unreachable.is_none() => {
                    self.transcript.push(Moment { at, text: text.clone() });
                    if allow_missing_audio && text.starts_with("Play") {
                        continue;
                    }
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
