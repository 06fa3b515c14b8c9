//! Document in the interpreter, without a call: each step that waits for an event gets one at once.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use anyhow::{Context as _, bail};
use trunkgate_twiml::{
    ConferenceStep, DialQueueStep, DialResult, DialStatus, Input, Location, Loop, Method, Note, Program, QueueOutcome,
    QueueResult, RecordResult, ReferResult, Settings, Source, Step, Trace,
};

/// Maximum number of steps and events of one run.
const BOUND: usize = 10_000;
/// Code of a stream that fails in the manner `Absent`.
pub(super) const STREAM_FAILED: u16 = 31_920;
/// Response to any other document request.
const NEXT: &str = "<Response><Hangup/></Response>";

/// Behaviour of caller and parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Digits are pressed, calls are answered, transfers succeed.
    Present,
    /// No digit is pressed, no call is answered, streams and transfers fail.
    Absent,
}

/// Completed run.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Lines of verbs that were reached.
    pub(super) begun: BTreeSet<u32>,
    /// Errors and warnings: code and text.
    pub(super) notes: Vec<(u16, String)>,
    /// Whether the program ended by an error.
    pub(super) failed: bool,
}

impl Run {
    /// Records a trace entry of the program.
    fn note(&mut self, trace: Trace) {
        match trace.note {
            Note::Began => _ = self.begun.insert(trace.line),
            Note::Warning { code, text } | Note::Unheard { code, text } | Note::Error { code, text } => {
                self.notes.push((code, text));
            }
            Note::Result(_) => {}
        }
    }
}

/// Runs a document; an error if it does not end.
pub(super) fn run(body: &[u8], manner: Manner) -> anyhow::Result<Run> {
    let mut driver = Driver {
        program: Program::new(Settings { recognition: true, records: true, ..Settings::default() }),
        manner,
        now: Duration::ZERO,
        first: Some(body.to_vec()),
        run: Run::default(),
    };
    let location = Location::url("https://app.example/voice").map_err(anyhow::Error::msg)?;
    driver.program.start(driver.now, Source::Fetch { location, method: Method::Post }, false);
    driver.drive()?;
    Ok(driver.run)
}

struct Driver {
    program: Program,
    manner: Manner,
    now: Duration,
    /// Document, until it was requested.
    first: Option<Vec<u8>>,
    run: Run,
}

impl Driver {
    fn drive(&mut self) -> anyhow::Result<()> {
        let mut waiting: VecDeque<Input> = VecDeque::new();
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
                    // A Gather ends by its digit, other verbs by their timeout.
                    for key in ['1', '#'] {
                        self.program.handle_input(self.now, Input::Digit(key));
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

    /// Returns the events after a step.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others are not reported; a program that waits for one of them is an error"
    )]
    fn events(&mut self, step: Step) -> anyhow::Result<Vec<Input>> {
        let present = self.manner == Manner::Present;
        Ok(match step {
            Step::Fetch { id, .. } => {
                let body = self.first.take().unwrap_or_else(|| NEXT.as_bytes().to_vec());
                vec![Input::Fetched { id, url: None, content_type: Some("text/xml".to_owned()), body }]
            }
            Step::Say { id, say } => vec![Driver::sounded(id, say.repeat)],
            Step::Play { id, repeat, .. } | Step::PlayDigits { id, repeat, .. } => vec![Driver::sounded(id, repeat)],
            Step::Beep { id } => vec![Input::Played { id }],
            // A present caller speaks; an absent one is silent.
            Step::Record(record) if present => vec![Input::Recorded { id: record.id, result: recorded(false) }],
            Step::Record(record) => {
                let (id, result) = (record.id, recorded(true));
                vec![Input::Silent { id }, Input::Recorded { id, result }]
            }
            Step::Dial(dial) if present => {
                dial.parties.first().context("a Dial without a party")?;
                let result = DialResult {
                    status: DialStatus::Completed,
                    sid: Some("CA00000000000000000000000000000001".to_owned()),
                    duration: Some(Duration::from_secs(9)),
                    bridged: true,
                    further: Vec::new(),
                };
                vec![Input::DialAnswered { id: dial.id }, Input::DialEnded { id: dial.id, result }]
            }
            Step::Dial(dial) => Driver::unanswered(dial.id),
            Step::Conference(ConferenceStep { id, .. }) | Step::DialQueue(DialQueueStep { id, .. }) => {
                Driver::conferred(id, present)
            }
            Step::Enqueue(step) => Driver::queued(step.id, present),
            Step::ConnectStream(stream) => {
                vec![Input::StreamEnded { id: stream.id, error: (!present).then_some(STREAM_FAILED) }]
            }
            Step::Refer { id, .. } => {
                let status = if present { "completed" } else { "failed" };
                let result = ReferResult { status: Some(status), refer: Some(202), notify: Some(200) };
                vec![Input::ReferEnded { id, result }]
            }
            Step::Failed { .. } => self.failed(),
            Step::Trace(trace) => {
                self.run.note(trace);
                Vec::new()
            }
            step if step.is_reported() => bail!("a run has no event for {step:?}"),
            _ => Vec::new(),
        })
    }

    /// Marks the run as failed.
    fn failed(&mut self) -> Vec<Input> {
        self.run.failed = true;
        Vec::new()
    }

    /// Returns the result of a party that does not answer.
    fn unanswered(id: u32) -> Vec<Input> {
        vec![Input::DialEnded { id, result: DialResult::unanswered(DialStatus::NoAnswer) }]
    }

    /// Returns the result of a conference that the caller joins or cannot join, or of a dialled queue.
    fn conferred(id: u32, present: bool) -> Vec<Input> {
        if !present {
            return vec![Input::DialEnded { id, result: DialResult::unanswered(DialStatus::Failed) }];
        }
        let result = DialResult { bridged: true, ..DialResult::unanswered(DialStatus::Answered) };
        vec![Input::DialAnswered { id }, Input::DialEnded { id, result }]
    }

    /// Returns the result of a queue that the caller enters, or that is full.
    fn queued(id: u32, present: bool) -> Vec<Input> {
        let was_in = present.then(|| ("QU00000000000000000000000000000001".to_owned(), Duration::from_secs(9)));
        let outcome = if present { QueueOutcome::Bridged } else { QueueOutcome::QueueFull };
        vec![Input::QueueLeft { id, result: QueueResult { outcome, was_in } }]
    }

    /// Returns the end of a sound; an endless one plays until the caller hangs up.
    fn sounded(id: u32, repeat: Loop) -> Input {
        match repeat {
            Loop::Times(_) => Input::Played { id },
            Loop::Forever => Input::HungUp,
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
