//! One test conversation with an agent: the edge's stream and playout on a real WebSocket, a scripted caller, and a
//! record of all events.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use trunkgate_media::agent::limits::{FRAME, STOP_TIMEOUT};
use trunkgate_media::agent::{Format, Input, Loss, Output, Playout, Settings, Stream, Ticks, TrackName, Transmit};

use super::Plan;
use super::record::{Interruption, Record, Tick};
use trunkgate_runtime::own_sockets::OwnSockets;
use trunkgate_runtime::worker::{self, Done, Failed, Visit};

/// Minimum time allowed for the connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Time for which the caller waits for a greeting, in ticks of 20 ms.
const BEGINNING: u32 = 100;
/// Maximum length of a greeting that the caller does not interrupt, in ticks.
const GREETING: u32 = 500;
/// Time for which the caller waits for an answer, in ticks.
const ANSWER: u32 = 500;
/// Length of the answer after which the caller interrupts it, in ticks.
const UNDISTURBED: u32 = 50;
/// Length of the interruption, in ticks.
const INTERRUPTION: u32 = 50;
/// Time in which an interrupted agent should fall silent, in ticks.
const REACTION: u32 = 150;
/// Silence after which the agent has finished, in ticks.
const QUIET: u32 = 75;
/// Maximum length of an answer, in ticks.
const LONGEST: u32 = 1_500;
/// Time after a DTMF digit, in ticks.
const KEY: u32 = 25;

/// Step of the caller's script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Beginning,
    Greeted,
    Speaking,
    Listening,
    Interrupting,
    Waiting,
    Key,
    Leaving,
}

/// State of a conversation.
struct Talk<'a> {
    plan: &'a Plan,
    /// Whether the complete script runs, not only up to the agent's first word.
    whole: bool,
    began: Instant,
    format: Format,
    stream: Stream,
    playout: Playout,
    act: Act,
    /// Ticks since the step began.
    acted: u32,
    /// Bytes of the caller's words already sent.
    said: usize,
    /// Ticks of the agent's voice in this step, and ticks since its last voice.
    voiced: u32,
    quiet: u32,
    pinged: Option<Instant>,
    left: Option<Instant>,
    is_closed: bool,
    /// Reason given by the agent when it closed the WebSocket.
    reason: String,
    tick: Tick,
    record: Record,
}

/// Returns the maximum time for the connection.
fn patience(plan: &Plan) -> Duration {
    plan.subject.most_ms.0.map(Duration::from_millis).unwrap_or_default().max(CONNECT)
}

/// Returns the maximum duration of a complete conversation.
pub(super) fn longest(plan: &Plan) -> Duration {
    let speech = u32::try_from(plan.speech.len() / plan.subject.settings.format.frame_bytes()).unwrap_or(u32::MAX);
    let ticks = [GREETING, LONGEST, INTERRUPTION, REACTION, KEY, speech];
    patience(plan) + FRAME * ticks.into_iter().fold(0, u32::saturating_add) + STOP_TIMEOUT
}

/// Holds a conversation. `whole`: with all steps, otherwise until the agent's first voice.
pub(super) async fn talk(plan: &Plan, whole: bool) -> Record {
    let asked = Instant::now();
    let most = patience(plan);
    let opened = timeout(most, Visit::open(&plan.subject.spec, &OwnSockets::none())).await;
    let mut visit = match opened {
        Ok(Ok(visit)) => visit,
        Ok(Err(failed)) => return Record { lost: Some(lost(failed)), ..Record::default() },
        Err(_) => {
            let lost = worker::why_late(&plan.subject.spec, most).await;
            return Record { lost: Some((Loss::ConnectTimeout, lost)), ..Record::default() };
        }
    };
    let began = Instant::now();
    let mut talk = Talk::new(plan, whole, began);
    talk.record.connect_ms = Some(ms(began - asked));
    if whole {
        plan.show(&format!("  connected after {} ms; waiting for a greeting", ms(began - asked)));
    }
    if let Err(failed) = talk.go(&mut visit).await {
        // After the test has closed, connection errors are expected.
        if talk.left.is_none() {
            talk.record.lost = Some(lost(failed));
        }
    }
    talk.record
}

fn lost((loss, detail): Failed) -> (Loss, String) {
    (loss, if detail.is_empty() { loss.to_string() } else { format!("{loss}: {detail}") })
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl<'a> Talk<'a> {
    fn new(plan: &'a Plan, whole: bool, began: Instant) -> Talk<'a> {
        let settings = Settings {
            account_sid: plan.name("AC"),
            call_sid: plan.name("CA"),
            stream_sid: plan.name("MZ"),
            ..plan.subject.settings.clone()
        };
        let format = settings.format;
        let mut stream = Stream::new(began, settings);
        stream.handle_input(began, Input::Opened);
        Talk {
            plan,
            whole,
            began,
            format,
            stream,
            playout: Playout::new(format),
            act: Act::Beginning,
            acted: 0,
            said: 0,
            voiced: 0,
            quiet: 0,
            pinged: None,
            left: None,
            is_closed: false,
            reason: String::new(),
            tick: Tick::default(),
            record: Record { format, ..Record::default() },
        }
    }

    /// Runs the conversation to its end.
    async fn go(&mut self, visit: &mut Visit) -> Result<(), Failed> {
        let mut ticks = Ticks::new(self.began);
        loop {
            let now = Instant::now();
            if self.stream.poll_timeout().is_some_and(|(due, _)| due <= now) {
                self.stream.handle_timeout(now);
                self.drain(now);
            }
            while ticks.take(now).is_some() && self.act != Act::Leaving {
                self.tick(now);
            }
            self.write(visit)?;
            while !self.is_closed && self.stream.wants_more() && self.playout.wants_more() {
                let now = Instant::now();
                let Some(done) = visit.read()? else { break };
                self.hear(now, done);
            }
            self.write(visit)?;
            if self.is_closed {
                return Ok(());
            }
            let due = self.stream.poll_timeout().map_or(now + FRAME, |(due, _)| due);
            visit.wait(due.min(ticks.next_due()).max(now)).await;
        }
    }

    fn write(&mut self, visit: &mut Visit) -> Result<(), Failed> {
        let (stream, pinged) = (&mut self.stream, &mut self.pinged);
        visit.write(|| {
            let transmit = stream.poll_transmit();
            if transmit == Some(Transmit::Ping) {
                pinged.get_or_insert_with(Instant::now);
            }
            transmit
        })
    }

    fn since(&self, now: Instant) -> u64 {
        ms(now.saturating_duration_since(self.began))
    }

    /// Handles an event of the WebSocket.
    fn hear(&mut self, now: Instant, done: Done) {
        match done {
            Done::Text(text) => self.stream.handle_input(now, Input::Text(&text)),
            Done::Binary(bytes) => self.stream.handle_input(now, Input::Binary(bytes)),
            Done::Pong => {
                let trip = self.pinged.take().map(|sent| ms(now.saturating_duration_since(sent)));
                self.record.pings_ms.extend(trip);
                self.stream.handle_input(now, Input::Pong);
            }
            Done::Ping => {}
            Done::Closed(code, reason) => {
                if let Some(left) = self.left {
                    self.record.closed_after_ms = Some(ms(now.saturating_duration_since(left)));
                }
                self.reason = reason;
                self.stream.handle_input(now, Input::Closed(code));
            }
        }
        self.drain(now);
    }

    /// Handles the outputs of the stream.
    fn drain(&mut self, now: Instant) {
        let at_ms = self.since(now);
        let mut is_cleared = false;
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Play(audio) => {
                    let is_voice = self.format.is_heard(audio);
                    self.record.piece(at_ms, audio, is_voice);
                    if is_voice && self.record.interruption.is_none() && self.record.spoke_ms.is_some() {
                        self.record.answer_ms.get_or_insert(at_ms);
                    }
                    self.playout.push(audio);
                    self.record.held_ms = self.record.held_ms.max(self.playout.held_ms());
                }
                Output::Mark(name) => {
                    self.record.marks_set += 1;
                    self.playout.mark(name);
                }
                Output::Clear => {
                    self.playout.clear();
                    (is_cleared, self.tick.clear) = (true, true);
                    if let Some(interruption) = &mut self.record.interruption {
                        interruption.cleared_ms.get_or_insert(at_ms);
                    }
                }
                Output::Request(request) => self.record.wish(&request.to_string()),
                Output::Problem(problem) => self.record.problem(&problem),
                Output::Lost(loss) => {
                    let reason = std::mem::take(&mut self.reason);
                    let words = if reason.is_empty() { loss.to_string() } else { format!("{loss} \"{reason}\"") };
                    self.record.lost = Some((loss, words));
                }
                Output::Ended => self.record.hung_up_ms = Some(at_ms),
                Output::FallsBehind | Output::Recognised(_) => {}
                Output::Closed => self.is_closed = true,
            }
        }
        self.return_marks(now);
        if is_cleared {
            self.stream.handle_input(now, Input::Cleared { played_ms: self.playout.played_ms() });
        }
    }

    fn return_marks(&mut self, now: Instant) {
        while let Some(mark) = self.playout.poll_mark() {
            self.stream.handle_input(now, Input::MarkPlayed { name: &mark.name, played_ms: mark.played_ms });
            self.record.marks_returned += 1;
            self.tick.mark = true;
        }
    }

    /// Advances the call by 20 ms.
    fn tick(&mut self, now: Instant) {
        let (format, bytes) = (self.format, self.format.frame_bytes());
        let frame = self.playout.next_frame();
        let (is_played, is_voice) = (frame.is_some(), frame.is_some_and(|frame| format.is_heard(frame)));
        let until = self.record.heard.len() + bytes;
        self.record.heard.extend_from_slice(frame.unwrap_or_default());
        self.record.heard.resize(until, format.silence());
        self.return_marks(now);
        let words = match self.act {
            Act::Speaking => self.plan.speech.get(self.said..).unwrap_or_default(),
            // The interruption repeats the beginning of the words.
            Act::Interrupting => self.plan.speech.get(self.acted as usize * bytes..).unwrap_or_default(),
            Act::Beginning | Act::Greeted | Act::Listening | Act::Waiting | Act::Key | Act::Leaving => &[],
        };
        let words = words.get(..words.len().min(bytes)).unwrap_or_default();
        let mut audio = vec![format.silence(); bytes];
        audio.iter_mut().zip(words).for_each(|(place, word)| *place = *word);
        self.said += if self.act == Act::Speaking { words.len() } else { 0 };
        self.stream.handle_input(now, Input::Frame { track: TrackName::Inbound, audio: &audio });
        let is_speaking = format.is_heard(&audio);
        self.record.ticks.push(Tick { caller: is_speaking, played: is_played, voice: is_voice, ..self.tick });
        self.tick = Tick::default();
        self.voiced += u32::from(is_voice);
        self.quiet = if is_voice { 0 } else { self.quiet.saturating_add(1) };
        self.acted += 1;
        let at_ms = self.since(now);
        if self.act == Act::Speaking && self.said >= self.plan.speech.len() {
            self.record.said_ms = Some(at_ms);
        }
        let next = self.next(at_ms);
        if next != self.act {
            self.begin(now, at_ms, next);
        }
        self.drain(now);
    }

    fn begin(&mut self, now: Instant, at_ms: u64, next: Act) {
        let step = match next {
            Act::Speaking if self.record.first_voice_ms.is_some() => Some("it greets; now the caller speaks"),
            Act::Speaking => Some("no greeting; now the caller speaks"),
            Act::Listening => Some("the caller has spoken; waiting for an answer"),
            Act::Interrupting => Some("it answers; now the caller interrupts it"),
            Act::Leaving if self.whole => Some("the call ends"),
            Act::Beginning | Act::Greeted | Act::Waiting | Act::Key | Act::Leaving => None,
        };
        if let Some(step) = step {
            self.plan.show(&format!("  {:.1} s: {step}", at_ms as f64 / 1e3));
        }
        let interruption = Interruption { at_ms, held_ms: self.playout.held_ms(), cleared_ms: None, silent_ms: None };
        match next {
            Act::Speaking => {
                self.record.spoke_ms = Some(at_ms);
                // An endless greeting is interrupted by the words.
                if self.act == Act::Greeted && self.quiet < QUIET {
                    self.record.interruption = Some(interruption);
                }
            }
            Act::Interrupting => self.record.interruption = Some(interruption),
            Act::Key => self.stream.handle_input(now, Input::Dtmf('1')),
            Act::Leaving => {
                self.left = Some(now);
                self.stream.handle_input(now, Input::Stop);
            }
            Act::Beginning | Act::Greeted | Act::Listening | Act::Waiting => {}
        }
        (self.act, self.acted, self.voiced) = (next, 0, 0);
    }

    /// Returns the next step of the script.
    fn next(&mut self, at_ms: u64) -> Act {
        let (has_spoken, has_answered) = (self.record.first_voice_ms.is_some(), self.record.answer_ms.is_some());
        let is_interrupted = self.record.interruption.is_some();
        let is_over = self.quiet >= QUIET && self.playout.held_ms() == 0;
        // An interrupted agent may pause between two words.
        if let Some(interruption) = self.record.interruption.as_mut().filter(|_| self.quiet >= KEY) {
            interruption.silent_ms.get_or_insert(at_ms.saturating_sub(u64::from(self.quiet) * 20));
        }
        match self.act {
            Act::Beginning | Act::Greeted | Act::Listening if !self.whole && has_spoken => Act::Leaving,
            Act::Beginning if has_spoken => Act::Greeted,
            Act::Beginning if self.acted >= BEGINNING => Act::Speaking,
            Act::Greeted if is_over || self.acted >= GREETING => Act::Speaking,
            Act::Speaking if self.record.said_ms.is_some() => Act::Listening,
            Act::Listening if !has_spoken && self.acted >= ANSWER => Act::Leaving,
            Act::Listening if is_interrupted && self.quiet >= KEY => Act::Key,
            Act::Listening if !has_answered && self.acted >= ANSWER => Act::Key,
            Act::Listening if !is_interrupted && has_answered && self.voiced >= UNDISTURBED => Act::Interrupting,
            Act::Listening if (has_answered && is_over) || self.acted >= LONGEST => Act::Key,
            Act::Interrupting if self.acted >= INTERRUPTION => Act::Waiting,
            Act::Waiting if self.quiet >= KEY || self.acted >= REACTION => Act::Key,
            Act::Key if self.acted >= KEY => Act::Leaving,
            Act::Beginning
            | Act::Greeted
            | Act::Speaking
            | Act::Listening
            | Act::Interrupting
            | Act::Waiting
            | Act::Key
            | Act::Leaving => self.act,
        }
    }
}
