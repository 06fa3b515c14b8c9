//! Run of a document in the interpreter, without a call: each step that waits for an event gets one at once.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use anyhow::{Context as _, bail};
use trunkgate_twiml::{
    ConferenceStep, DialQueueStep, DialResult, DialStatus, DocumentLocation, DocumentSource, HttpMethod, LoopCount,
    Program, ProgramInput, ProgramSettings, ProgramStep, ProgramTrace, QueueOutcome, QueueResult, RecordResult,
    ReferResult, TraceNote,
};

/// Maximum number of steps and events in one run.
const BOUND: usize = 10_000;
/// Error code of a stream that fails in the manner `Absent`.
pub(super) const STREAM_FAILED: u16 = 31_920;
/// Document returned for any further request.
const NEXT: &str = "<Response><Hangup/></Response>";

/// Behaviour of the caller and of the called parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Digits are pressed, calls are answered, and transfers succeed.
    Present,
    /// No digit is pressed, no call is answered, and streams and transfers fail.
    Absent,
}

/// Result of a run that has ended.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Lines of the verbs that were reached.
    pub(super) begun: BTreeSet<u32>,
    /// Errors and warnings, with code and text.
    pub(super) notes: Vec<(u16, String)>,
    /// Whether an error ended the program.
    pub(super) failed: bool,
}

impl Run {
    /// Records a trace entry of the program.
    fn note(&mut self, trace: ProgramTrace) {
        match trace.note {
            TraceNote::Began => _ = self.begun.insert(trace.line),
            TraceNote::Warning { code, text } | TraceNote::Unheard { code, text } | TraceNote::Error { code, text } => {
                self.notes.push((code, text));
            }
            TraceNote::Result(_) => {}
        }
    }
}

/// Runs a document to its end; returns an error if it does not end.
pub(super) fn run(body: &[u8], manner: Manner) -> anyhow::Result<Run> {
    let mut driver = Driver {
        program: Program::new(ProgramSettings { recognition: true, records: true, ..ProgramSettings::default() }),
        manner,
        now: Duration::ZERO,
        first: Some(body.to_vec()),
        run: Run::default(),
    };
    let location = DocumentLocation::url("https://app.example/voice").map_err(anyhow::Error::msg)?;
    driver.program.start(driver.now, DocumentSource::Fetch { location, method: HttpMethod::Post }, false);
    driver.drive()?;
    Ok(driver.run)
}

struct Driver {
    program: Program,
    manner: Manner,
    now: Duration,
    /// Document to run; `None` once it was requested.
    first: Option<Vec<u8>>,
    run: Run,
}

impl Driver {
    fn drive(&mut self) -> anyhow::Result<()> {
        let mut waiting: VecDeque<ProgramInput> = VecDeque::new();
        for _ in 0..BOUND {
            while let Some(step) = self.program.poll_output() {
                waiting.extend(self.events(step)?);
            }
            if self.program.is_over() {
                return Ok(());
            }
            match (waiting.pop_front(), self.program.poll_timeout()) {
                (Some(input), _) => self.program.handle_input(self.now, input),
                (None, Some(due)) if self.manner == Manner::Present => {
                    // A Gather ends by a digit, and other verbs by their timeout.
                    for key in ['1', '#'] {
                        self.program.handle_input(self.now, ProgramInput::Digit(key));
                    }
                    self.now = self.now.max(due);
                    self.program.handle_timeout(self.now);
                }
                (None, Some(due)) => {
                    self.now = self.now.max(due);
                    self.program.handle_timeout(self.now);
                }
                // The program waits for a step that is not reported.
                (None, None) => bail!("the program waits, and nothing follows"),
            }
        }
        bail!("no end after {BOUND} events")
    }

    /// Carries out a step, and returns the events that follow it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others are not reported; a program that waits for one of them is an error"
    )]
    fn events(&mut self, step: ProgramStep) -> anyhow::Result<Vec<ProgramInput>> {
        let present = self.manner == Manner::Present;
        Ok(match step {
            ProgramStep::Fetch { id, .. } => {
                let body = self.first.take().unwrap_or_else(|| NEXT.as_bytes().to_vec());
                vec![ProgramInput::Fetched { id, url: None, content_type: Some("text/xml".to_owned()), body }]
            }
            ProgramStep::Say { id, say } => vec![Driver::sounded(id, say.repeat)],
            ProgramStep::Play { id, repeat, .. } | ProgramStep::PlayDigits { id, repeat, .. } => {
                vec![Driver::sounded(id, repeat)]
            }
            ProgramStep::Beep { id } => vec![ProgramInput::Played { id }],
            // A caller who is present speaks; one who is absent stays silent.
            ProgramStep::Record(record) if present => {
                vec![ProgramInput::Recorded { id: record.id, result: recorded(false) }]
            }
            ProgramStep::Record(record) => {
                let (id, result) = (record.id, recorded(true));
                vec![ProgramInput::Silent { id }, ProgramInput::Recorded { id, result }]
            }
            ProgramStep::Dial(dial) if present => {
                dial.parties.first().context("a Dial without a party")?;
                let result = DialResult {
                    status: DialStatus::Completed,
                    sid: Some("CA00000000000000000000000000000001".to_owned()),
                    duration: Some(Duration::from_secs(9)),
                    bridged: true,
                    further: Vec::new(),
                };
                vec![ProgramInput::DialAnswered { id: dial.id }, ProgramInput::DialEnded { id: dial.id, result }]
            }
            ProgramStep::Dial(dial) => Driver::unanswered(dial.id),
            ProgramStep::Conference(ConferenceStep { id, .. }) | ProgramStep::DialQueue(DialQueueStep { id, .. }) => {
                Driver::conferred(id, present)
            }
            ProgramStep::Enqueue(step) => Driver::queued(step.id, present),
            ProgramStep::ConnectStream(stream) => {
                vec![ProgramInput::StreamEnded { id: stream.id, error: (!present).then_some(STREAM_FAILED) }]
            }
            ProgramStep::Refer { id, .. } => {
                let status = if present { "completed" } else { "failed" };
                let result = ReferResult { status: Some(status), refer: Some(202), notify: Some(200) };
                vec![ProgramInput::ReferEnded { id, result }]
            }
            ProgramStep::Failed { .. } => self.failed(),
            ProgramStep::Trace(trace) => {
                self.run.note(trace);
                Vec::new()
            }
            step if step.is_reported() => bail!("a run has no event for {step:?}"),
            _ => Vec::new(),
        })
    }

    /// Marks the run as failed; returns no events.
    fn failed(&mut self) -> Vec<ProgramInput> {
        self.run.failed = true;
        Vec::new()
    }

    /// Returns the result of a party that does not answer.
    fn unanswered(id: u32) -> Vec<ProgramInput> {
        vec![ProgramInput::DialEnded { id, result: DialResult::unanswered(DialStatus::NoAnswer) }]
    }

    /// Returns the result of a conference that the caller joins or cannot join, or of a queue that is dialled.
    fn conferred(id: u32, present: bool) -> Vec<ProgramInput> {
        if !present {
            return vec![ProgramInput::DialEnded { id, result: DialResult::unanswered(DialStatus::Failed) }];
        }
        let result = DialResult { bridged: true, ..DialResult::unanswered(DialStatus::Answered) };
        vec![ProgramInput::DialAnswered { id }, ProgramInput::DialEnded { id, result }]
    }

    /// Returns the result of a queue that the caller enters, or that is full.
    fn queued(id: u32, present: bool) -> Vec<ProgramInput> {
        let was_in = present.then(|| ("QU00000000000000000000000000000001".to_owned(), Duration::from_secs(9)));
        let outcome = if present { QueueOutcome::Bridged } else { QueueOutcome::QueueFull };
        vec![ProgramInput::QueueLeft { id, result: QueueResult { outcome, was_in } }]
    }

    /// Returns the event at the end of a sound; an endless sound plays until the caller hangs up.
    fn sounded(id: u32, repeat: LoopCount) -> ProgramInput {
        match repeat {
            LoopCount::Times(_) => ProgramInput::Played { id },
            LoopCount::Forever => ProgramInput::HungUp,
        }
    }
}

fn recorded(is_silent: bool) -> RecordResult {
    let sid = "RE00000000000000000000000000000001".to_owned();
    RecordResult { url: format!("https://example.com/{sid}"), sid, seconds: 9, is_silent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_manners_come_drive_and_together_to_each_verb() {
        let text = "<Response>\n<Gather action='a'><Say>One</Say></Gather>\n<Dial>5551234</Dial>\n<Say loop='0'>Two</Say>\n</Response>";
        let runs = [Manner::Present, Manner::Absent].map(|manner| run(text.as_bytes(), manner).unwrap());
        assert!(runs.iter().all(|run| !run.failed && run.notes.is_empty()));
        assert!(runs[0].begun.contains(&2) && !runs[0].begun.contains(&3), "the key leads elsewhere");
        assert!([2, 3, 4].iter().all(|line| runs[1].begun.contains(line)));
        let refused = run(b"<Response><Pay/></Response>", Manner::Present).unwrap();
        assert!(refused.failed && refused.notes.len() == 1);
    }
}
