//! One test conversation with an agent: the edge's stream and playout on a real WebSocket, a scripted caller, and a
//! record of all events.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use trunkgate_media::agent::limits::{FRAME, STOP_TIMEOUT};
use trunkgate_media::agent::{
    AgentFormat, PlayoutQueue, SocketMessage, Stream, StreamInput, StreamLoss, StreamOutput, StreamSettings,
    TickGenerator, TrackName,
};

use super::AgentTestPlan;
use super::record::{ConversationRecord, Interruption, TickRecord};
use trunkgate_runtime::own_sockets::OwnSockets;
use trunkgate_runtime::worker::{self, AgentWebSocket, WebSocketEvent, WebSocketFailure};

/// Minimum time allowed for the agent's WebSocket to open.
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
/// Silence after which the agent has finished speaking, in ticks.
const QUIET: u32 = 75;
/// Maximum length of an agent's answer, in ticks.
const LONGEST: u32 = 1_500;
/// Silence after which an interrupted agent counts as silent, and time after the DTMF digit, in ticks.
const KEY: u32 = 25;

/// Step of the scripted caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallerStep {
    Beginning,
    Greeted,
    Speaking,
    Listening,
    Interrupting,
    Waiting,
    Key,
    Leaving,
}

/// State of a test conversation.
struct TestConversation<'a> {
    plan: &'a AgentTestPlan,
    /// Whether the complete script runs; otherwise the conversation ends with the agent's first word.
    whole: bool,
    began: Instant,
    format: AgentFormat,
    stream: Stream,
    playout: PlayoutQueue,
    act: CallerStep,
    /// Ticks since the step began.
    acted: u32,
    /// Bytes of the caller's words already sent.
    said: usize,
    /// Ticks of the agent's voice in this step, and ticks since its last voice (`quiet`).
    voiced: u32,
    quiet: u32,
    pinged: Option<Instant>,
    left: Option<Instant>,
    is_closed: bool,
    /// Reason given by the agent when it closed the WebSocket.
    reason: String,
    tick: TickRecord,
    record: ConversationRecord,
}

/// Returns the maximum time to open the WebSocket: the agent's `connect_timeout`, and at least [`CONNECT`].
fn patience(plan: &AgentTestPlan) -> Duration {
    plan.subject.most_ms.0.map(Duration::from_millis).unwrap_or_default().max(CONNECT)
}

/// Returns the maximum duration of a complete conversation, including the connection.
pub(super) fn longest(plan: &AgentTestPlan) -> Duration {
    let speech = u32::try_from(plan.speech.len() / plan.subject.settings.format.frame_bytes()).unwrap_or(u32::MAX);
    let ticks = [GREETING, LONGEST, INTERRUPTION, REACTION, KEY, speech];
    patience(plan) + FRAME * ticks.into_iter().fold(0, u32::saturating_add) + STOP_TIMEOUT
}

/// Holds a conversation. With `whole` the complete script runs, otherwise only up to the agent's first word.
pub(super) async fn talk(plan: &AgentTestPlan, whole: bool) -> ConversationRecord {
    let asked = Instant::now();
    let most = patience(plan);
    let opened = timeout(most, AgentWebSocket::open(&plan.subject.spec, &OwnSockets::none())).await;
    let mut visit = match opened {
        Ok(Ok(visit)) => visit,
        Ok(Err(failed)) => return ConversationRecord { lost: Some(lost(failed)), ..ConversationRecord::default() },
        Err(_) => {
            let lost = worker::why_late(&plan.subject.spec, most).await;
            return ConversationRecord {
                lost: Some((StreamLoss::ConnectTimeout, lost)),
                ..ConversationRecord::default()
            };
        }
    };
    let began = Instant::now();
    let mut talk = TestConversation::new(plan, whole, began);
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

fn lost((loss, detail): WebSocketFailure) -> (StreamLoss, String) {
    (loss, if detail.is_empty() { loss.to_string() } else { format!("{loss}: {detail}") })
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl<'a> TestConversation<'a> {
    fn new(plan: &'a AgentTestPlan, whole: bool, began: Instant) -> TestConversation<'a> {
        let settings = StreamSettings {
            account_sid: plan.name("AC"),
            call_sid: plan.name("CA"),
            stream_sid: plan.name("MZ"),
            ..plan.subject.settings.clone()
        };
        let format = settings.format;
        let mut stream = Stream::new(began, settings);
        stream.handle_input(began, StreamInput::Opened);
        TestConversation {
            plan,
            whole,
            began,
            format,
            stream,
            playout: PlayoutQueue::new(format),
            act: CallerStep::Beginning,
            acted: 0,
            said: 0,
            voiced: 0,
            quiet: 0,
            pinged: None,
            left: None,
            is_closed: false,
            reason: String::new(),
            tick: TickRecord::default(),
            record: ConversationRecord { format, ..ConversationRecord::default() },
        }
    }

    /// Runs the conversation to its end.
    async fn go(&mut self, visit: &mut AgentWebSocket) -> Result<(), WebSocketFailure> {
        let mut ticks = TickGenerator::new(self.began);
        loop {
            let now = Instant::now();
            if self.stream.poll_timeout().is_some_and(|(due, _)| due <= now) {
                self.stream.handle_timeout(now);
                self.drain(now);
            }
            while ticks.take_tick(now).is_some() && self.act != CallerStep::Leaving {
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

    fn write(&mut self, visit: &mut AgentWebSocket) -> Result<(), WebSocketFailure> {
        let (stream, pinged) = (&mut self.stream, &mut self.pinged);
        visit.write(|| {
            let transmit = stream.poll_transmit();
            if transmit == Some(SocketMessage::Ping) {
                pinged.get_or_insert_with(Instant::now);
            }
            transmit
        })
    }

    fn since(&self, now: Instant) -> u64 {
        ms(now.saturating_duration_since(self.began))
    }

    /// Handles an event of the WebSocket.
    fn hear(&mut self, now: Instant, done: WebSocketEvent) {
        match done {
            WebSocketEvent::Text(text) => self.stream.handle_input(now, StreamInput::Text(&text)),
            WebSocketEvent::Binary(bytes) => self.stream.handle_input(now, StreamInput::Binary(bytes)),
            WebSocketEvent::Pong => {
                let trip = self.pinged.take().map(|sent| ms(now.saturating_duration_since(sent)));
                self.record.pings_ms.extend(trip);
                self.stream.handle_input(now, StreamInput::Pong);
            }
            WebSocketEvent::Ping => {}
            WebSocketEvent::Closed(code, reason) => {
                if let Some(left) = self.left {
                    self.record.closed_after_ms = Some(ms(now.saturating_duration_since(left)));
                }
                self.reason = reason;
                self.stream.handle_input(now, StreamInput::Closed(code));
            }
        }
        self.drain(now);
    }

    /// Handles the outputs of the agent stream.
    fn drain(&mut self, now: Instant) {
        let at_ms = self.since(now);
        let mut is_cleared = false;
        while let Some(output) = self.stream.poll_output() {
            match output {
                StreamOutput::Play(audio) => {
                    let is_voice = self.format.is_heard(audio);
                    self.record.piece(at_ms, audio, is_voice);
                    if is_voice && self.record.interruption.is_none() && self.record.spoke_ms.is_some() {
                        self.record.answer_ms.get_or_insert(at_ms);
                    }
                    self.playout.push(audio);
                    self.record.held_ms = self.record.held_ms.max(self.playout.held_ms());
                }
                StreamOutput::Mark(name) => {
                    self.record.marks_set += 1;
                    self.playout.mark(name);
                }
                StreamOutput::Clear => {
                    self.playout.clear();
                    (is_cleared, self.tick.clear) = (true, true);
                    if let Some(interruption) = &mut self.record.interruption {
                        interruption.cleared_ms.get_or_insert(at_ms);
                    }
                }
                StreamOutput::Request(request) => self.record.wish(&request.to_string()),
                StreamOutput::Problem(problem) => self.record.problem(&problem),
                StreamOutput::Lost(loss) => {
                    let reason = std::mem::take(&mut self.reason);
                    let words = if reason.is_empty() { loss.to_string() } else { format!("{loss} \"{reason}\"") };
                    self.record.lost = Some((loss, words));
                }
                StreamOutput::Ended => self.record.hung_up_ms = Some(at_ms),
                StreamOutput::FallsBehind | StreamOutput::Recognised(_) => {}
                StreamOutput::Closed => self.is_closed = true,
            }
        }
        self.return_marks(now);
        if is_cleared {
            self.stream.handle_input(now, StreamInput::Cleared { played_ms: self.playout.played_ms() });
        }
    }

    fn return_marks(&mut self, now: Instant) {
        while let Some(mark) = self.playout.poll_mark() {
            self.stream.handle_input(now, StreamInput::MarkPlayed { name: &mark.name, played_ms: mark.played_ms });
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
            CallerStep::Speaking => self.plan.speech.get(self.said..).unwrap_or_default(),
            // The interruption repeats the beginning of the words.
            CallerStep::Interrupting => self.plan.speech.get(self.acted as usize * bytes..).unwrap_or_default(),
            CallerStep::Beginning
            | CallerStep::Greeted
            | CallerStep::Listening
            | CallerStep::Waiting
            | CallerStep::Key
            | CallerStep::Leaving => &[],
        };
        let words = words.get(..words.len().min(bytes)).unwrap_or_default();
        let mut audio = vec![format.silence(); bytes];
        audio.iter_mut().zip(words).for_each(|(place, word)| *place = *word);
        self.said += if self.act == CallerStep::Speaking { words.len() } else { 0 };
        self.stream.handle_input(now, StreamInput::Frame { track: TrackName::Inbound, audio: &audio });
        let is_speaking = format.is_heard(&audio);
        self.record.ticks.push(TickRecord { caller: is_speaking, played: is_played, voice: is_voice, ..self.tick });
        self.tick = TickRecord::default();
        self.voiced += u32::from(is_voice);
        self.quiet = if is_voice { 0 } else { self.quiet.saturating_add(1) };
        self.acted += 1;
        let at_ms = self.since(now);
        if self.act == CallerStep::Speaking && self.said >= self.plan.speech.len() {
            self.record.said_ms = Some(at_ms);
        }
        let next = self.next(at_ms);
        if next != self.act {
            self.begin(now, at_ms, next);
        }
        self.drain(now);
    }

    fn begin(&mut self, now: Instant, at_ms: u64, next: CallerStep) {
        let step = match next {
            CallerStep::Speaking if self.record.first_voice_ms.is_some() => Some("it greets; now the caller speaks"),
            CallerStep::Speaking => Some("no greeting; now the caller speaks"),
            CallerStep::Listening => Some("the caller has spoken; waiting for an answer"),
            CallerStep::Interrupting => Some("it answers; now the caller interrupts it"),
            CallerStep::Leaving if self.whole => Some("the call ends"),
            CallerStep::Beginning
            | CallerStep::Greeted
            | CallerStep::Waiting
            | CallerStep::Key
            | CallerStep::Leaving => None,
        };
        if let Some(step) = step {
            self.plan.show(&format!("  {:.1} s: {step}", at_ms as f64 / 1e3));
        }
        let interruption = Interruption { at_ms, held_ms: self.playout.held_ms(), cleared_ms: None, silent_ms: None };
        match next {
            CallerStep::Speaking => {
                self.record.spoke_ms = Some(at_ms);
                // An endless greeting is interrupted by the words.
                if self.act == CallerStep::Greeted && self.quiet < QUIET {
                    self.record.interruption = Some(interruption);
                }
            }
            CallerStep::Interrupting => self.record.interruption = Some(interruption),
            CallerStep::Key => self.stream.handle_input(now, StreamInput::Dtmf('1')),
            CallerStep::Leaving => {
                self.left = Some(now);
                self.stream.handle_input(now, StreamInput::Stop);
            }
            CallerStep::Beginning | CallerStep::Greeted | CallerStep::Listening | CallerStep::Waiting => {}
        }
        (self.act, self.acted, self.voiced) = (next, 0, 0);
    }

    /// Returns the next step of the script.
    fn next(&mut self, at_ms: u64) -> CallerStep {
        let (has_spoken, has_answered) = (self.record.first_voice_ms.is_some(), self.record.answer_ms.is_some());
        let is_interrupted = self.record.interruption.is_some();
        let is_over = self.quiet >= QUIET && self.playout.held_ms() == 0;
        // An interrupted agent may pause between two words.
        if let Some(interruption) = self.record.interruption.as_mut().filter(|_| self.quiet >= KEY) {
            interruption.silent_ms.get_or_insert(at_ms.saturating_sub(u64::from(self.quiet) * 20));
        }
        match self.act {
            CallerStep::Beginning | CallerStep::Greeted | CallerStep::Listening if !self.whole && has_spoken => {
                CallerStep::Leaving
            }
            CallerStep::Beginning if has_spoken => CallerStep::Greeted,
            CallerStep::Beginning if self.acted >= BEGINNING => CallerStep::Speaking,
            CallerStep::Greeted if is_over || self.acted >= GREETING => CallerStep::Speaking,
            CallerStep::Speaking if self.record.said_ms.is_some() => CallerStep::Listening,
            CallerStep::Listening if !has_spoken && self.acted >= ANSWER => CallerStep::Leaving,
            CallerStep::Listening if is_interrupted && self.quiet >= KEY => CallerStep::Key,
            CallerStep::Listening if !has_answered && self.acted >= ANSWER => CallerStep::Key,
            CallerStep::Listening if !is_interrupted && has_answered && self.voiced >= UNDISTURBED => {
                CallerStep::Interrupting
            }
            CallerStep::Listening if (has_answered && is_over) || self.acted >= LONGEST => CallerStep::Key,
            CallerStep::Interrupting if self.acted >= INTERRUPTION => CallerStep::Waiting,
            CallerStep::Waiting if self.quiet >= KEY || self.acted >= REACTION => CallerStep::Key,
            CallerStep::Key if self.acted >= KEY => CallerStep::Leaving,
            CallerStep::Beginning
            | CallerStep::Greeted
            | CallerStep::Speaking
            | CallerStep::Listening
            | CallerStep::Interrupting
            | CallerStep::Waiting
            | CallerStep::Key
            | CallerStep::Leaving => self.act,
        }
    }
}
