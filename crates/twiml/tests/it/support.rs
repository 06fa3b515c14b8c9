//! Call on virtual time. The program is saved and restored before each event, so that every test shows that no state is
//! lost.

use std::time::Duration;

use trunkgate_twiml::{
    DialResult, DialStatus, DocumentLocation, DocumentSource, FetchPurpose, FetchRequest, HttpMethod, LoopCount,
    PartyAddress, Program, ProgramInput, ProgramSettings, ProgramStep, ProgramTrace, RecogniserResult, RecordingStep,
    SensitiveText, TraceNote,
};

/// Defines tests with the rows that they demonstrate, and the list of both.
macro_rules! behaviours {
    ($([$($row:literal),+ $(,)?] fn $name:ident() $body:block)*) => {
        $(#[test] fn $name() $body)*
        pub(crate) const ROWS: &[(&str, &str)] = &[$($(($row, stringify!($name))),+),*];
    };
}

pub(crate) const PAGE: &str = "https://app.example/ivr/menu";

/// Call with its program.
pub(crate) struct Call {
    program: Program,
    now: Duration,
    /// Id of the last step with a report.
    id: u32,
    /// Id of the last recognition.
    listening: u32,
    pub(crate) traces: Vec<ProgramTrace>,
    /// Steps so far.
    pub(crate) raw: Vec<ProgramStep>,
}

impl Call {
    pub(crate) fn with(settings: ProgramSettings) -> Self {
        let (program, now) = (Program::new(settings), Duration::from_secs(100));
        Call { program, now, id: 0, listening: 0, traces: Vec::new(), raw: Vec::new() }
    }

    /// Starts a call with the first document at [`PAGE`]; returns the following steps.
    pub(crate) fn begin(body: &str) -> (Self, Vec<String>) {
        let mut call = Call::with(ProgramSettings::default());
        assert_eq!(call.start_at(PAGE), [format!("POST {PAGE} start")]);
        let steps = call.document(body);
        (call, steps)
    }

    /// Starts a call with a recogniser; returns the steps after the first document.
    pub(crate) fn heard_by_recogniser(body: &str) -> (Self, Vec<String>) {
        let mut call = Call::with(ProgramSettings { recognition: true, ..ProgramSettings::default() });
        assert_eq!(call.start_at(PAGE), [format!("POST {PAGE} start")]);
        let steps = call.document(body);
        (call, steps)
    }

    /// Feeds a partial result of the active recogniser.
    pub(crate) fn partial(&mut self, text: &str) -> Vec<String> {
        self.understood(text, false, None)
    }

    /// Feeds a final result of the active recogniser.
    pub(crate) fn said(&mut self, text: &str, confidence_ppm: u32) -> Vec<String> {
        self.understood(text, true, Some(confidence_ppm))
    }

    pub(crate) fn understood(&mut self, text: &str, is_final: bool, confidence_ppm: Option<u32>) -> Vec<String> {
        let heard = RecogniserResult { text: SensitiveText::new(text), is_final, confidence_ppm };
        self.input(ProgramInput::Speech { id: self.listening, heard })
    }

    /// Feeds the failure of the recogniser.
    pub(crate) fn recogniser_fails(&mut self) -> Vec<String> {
        self.input(ProgramInput::RecognitionFailed { id: self.listening, text: "closed with 1011".to_owned() })
    }

    /// Returns the id of the recogniser that a restored program requests again.
    pub(crate) fn recognition(&self) -> Option<u32> {
        self.program.recognition().map(|step| step.id)
    }

    /// Starts a call that is already answered.
    pub(crate) fn answered(body: &str) -> (Self, Vec<String>) {
        let mut call = Call::with(ProgramSettings::default());
        let location = DocumentLocation::url(PAGE).unwrap();
        call.program.start(call.now, DocumentSource::Fetch { location, method: HttpMethod::Get }, true);
        assert_eq!(call.steps(), [format!("GET {PAGE} start")]);
        let steps = call.document(body);
        (call, steps)
    }

    pub(crate) fn start_at(&mut self, url: &str) -> Vec<String> {
        self.start(DocumentLocation::url(url).unwrap())
    }

    pub(crate) fn start(&mut self, location: DocumentLocation) -> Vec<String> {
        self.program.start(self.now, DocumentSource::Fetch { location, method: HttpMethod::Post }, false);
        self.steps()
    }

    pub(crate) fn start_text(&mut self, text: &str, answered: bool) -> Vec<String> {
        self.start_with(DocumentSource::Text(text.to_owned()), answered)
    }

    pub(crate) fn start_with(&mut self, source: DocumentSource, answered: bool) -> Vec<String> {
        self.program.start(self.now, source, answered);
        self.steps()
    }

    /// Feeds the requested document.
    pub(crate) fn document(&mut self, body: &str) -> Vec<String> {
        self.response(None, "text/xml", &format!("<Response>{body}</Response>"))
    }

    pub(crate) fn response(&mut self, url: Option<&str>, content_type: &str, body: &str) -> Vec<String> {
        let content_type = Some(content_type.to_owned());
        let url = url.map(str::to_owned);
        self.input(ProgramInput::Fetched { id: self.id, url, content_type, body: body.as_bytes().to_vec() })
    }

    pub(crate) fn fetch_fails(&mut self, code: u16) -> Vec<String> {
        self.input(ProgramInput::FetchFailed { id: self.id, code, text: "no answer".to_owned() })
    }

    /// Feeds the end of the sound.
    pub(crate) fn played(&mut self) -> Vec<String> {
        self.input(ProgramInput::Played { id: self.id })
    }

    pub(crate) fn digits(&mut self, digits: &str) -> Vec<String> {
        digits.chars().flat_map(|digit| self.input(ProgramInput::Digit(digit))).collect()
    }

    pub(crate) fn dial_answered(&mut self) -> Vec<String> {
        self.input(ProgramInput::DialAnswered { id: self.id })
    }

    pub(crate) fn dial_ended(&mut self, result: DialResult) -> Vec<String> {
        self.input(ProgramInput::DialEnded { id: self.id, result })
    }

    pub(crate) fn not_reached(&mut self, status: DialStatus) -> Vec<String> {
        self.dial_ended(DialResult::unanswered(status))
    }

    pub(crate) fn hung_up(&mut self) -> Vec<String> {
        self.input(ProgramInput::HungUp)
    }

    /// Redirects the program from outside.
    pub(crate) fn redirect(&mut self, source: DocumentSource) -> Vec<String> {
        assert_eq!(self.try_redirect(source), Ok(true));
        self.steps()
    }

    pub(crate) fn try_redirect(&mut self, source: DocumentSource) -> Result<bool, trunkgate_twiml::DocumentError> {
        self.restore();
        self.program.redirect(self.now, source, None)
    }

    pub(crate) fn input(&mut self, input: ProgramInput) -> Vec<String> {
        self.restore();
        self.program.handle_input(self.now, input);
        self.steps()
    }

    /// Returns the `Debug` output of the program, which a panic or log line could show.
    pub(crate) fn program_debug(&self) -> String {
        format!("{:?}", self.program)
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Advances the time, deadline by deadline.
    pub(crate) fn wait(&mut self, millis: u64) -> Vec<String> {
        let until = self.now + Duration::from_millis(millis);
        let mut steps = Vec::new();
        while let Some(due) = self.program.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.restore();
            self.program.handle_timeout(self.now);
            steps.extend(self.steps());
        }
        self.now = until;
        self.program.handle_timeout(self.now);
        steps.extend(self.steps());
        steps
    }

    pub(crate) fn is_over(&self) -> bool {
        self.program.is_over()
    }

    /// Returns codes and texts of warnings and errors so far.
    pub(crate) fn notes(&self) -> Vec<String> {
        let shown = |trace: &ProgramTrace| match &trace.note {
            TraceNote::Warning { code, text } => Some(format!("warning {code} line {}: {text}", trace.line)),
            TraceNote::Unheard { code, text } | TraceNote::Error { code, text } => {
                Some(format!("error {code} line {}: {text}", trace.line))
            }
            TraceNote::Began | TraceNote::Result(_) => None,
        };
        self.traces.iter().filter_map(shown).collect()
    }

    #[track_caller]
    pub(crate) fn noted(&self, code: u16, text: &str) {
        let notes = self.notes();
        let found = notes.iter().any(|note| note.contains(&format!(" {code} ")) && note.contains(text));
        assert!(found, "no {code} with {text:?} in {notes:#?}");
    }

    fn restore(&mut self) {
        let written = serde_json::to_string(&self.program).unwrap();
        self.program = serde_json::from_str(&written).unwrap();
    }

    fn steps(&mut self) -> Vec<String> {
        let mut steps = Vec::new();
        while let Some(step) = self.program.poll_output() {
            match &step {
                ProgramStep::Trace(trace) => {
                    self.traces.push(trace.clone());
                    continue;
                }
                ProgramStep::Fetch { id, .. }
                | ProgramStep::Say { id, .. }
                | ProgramStep::Play { id, .. }
                | ProgramStep::PlayDigits { id, .. }
                | ProgramStep::Beep { id }
                | ProgramStep::Refer { id, .. } => self.id = *id,
                ProgramStep::Dial(dial) => self.id = dial.id,
                ProgramStep::Conference(conference) => self.id = conference.id,
                ProgramStep::Enqueue(step) => self.id = step.id,
                ProgramStep::DialQueue(step) => self.id = step.id,
                ProgramStep::Record(record) => self.id = record.id,
                ProgramStep::ConnectStream(stream) => self.id = stream.id,
                ProgramStep::StartRecognition(step) => self.listening = step.id,
                _ => {}
            }
            steps.push(shown(&step));
            self.raw.push(step);
        }
        steps
    }
}

fn times(repeat: LoopCount) -> String {
    match repeat {
        LoopCount::Times(1) => String::new(),
        LoopCount::Times(times) => format!(" x{times}"),
        LoopCount::Forever => " forever".to_owned(),
    }
}

fn request(request: &FetchRequest) -> String {
    let FetchRequest { location, method, purpose, parameters } = request;
    let method = match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
    };
    let file = if matches!(location, DocumentLocation::File(_)) { "file:" } else { "" };
    let parameters: String = parameters.iter().map(|one| format!(" {}={}", one.name, one.value)).collect();
    format!("{method} {file}{location} {}{parameters}", FetchPurpose::name(*purpose))
}

fn address(address: &PartyAddress) -> String {
    match address {
        PartyAddress::Number { number, .. } => number.clone(),
        PartyAddress::Client { identity } => format!("client:{identity}"),
        PartyAddress::Sip { uris, .. } => uris.iter().map(|uri| uri.uri.clone()).collect::<Vec<_>>().join("|"),
    }
}

fn recording(step: &RecordingStep) -> String {
    let RecordingStep { dual, track, trim, status } = step;
    let status = status.as_ref().map(|(url, method, events)| {
        let method = if *method == HttpMethod::Get { "GET" } else { "POST" };
        let named =
            [(events.in_progress, " in-progress"), (events.completed, " completed"), (events.absent, " absent")];
        let events: String = named.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| *name).collect();
        format!(" {method} {url}{events}")
    });
    let (channels, trimmed) = (if *dual { "dual" } else { "mono" }, if *trim { " trimmed" } else { "" });
    let track = format!("{track:?}").to_lowercase();
    format!("{channels} {track}{trimmed}{}", status.unwrap_or_default())
}

/// Describes a step in a few words.
pub(crate) fn shown(step: &ProgramStep) -> String {
    match step {
        ProgramStep::Fetch { request: one, .. } => request(one),
        ProgramStep::Notify(one) => format!("notify {}", request(one)),
        ProgramStep::StartRecognition(step) => {
            let model = step.model.as_deref().map(|model| format!(" {model}")).unwrap_or_default();
            let flags = [(step.enhanced, " enhanced"), (!step.profanity_filter, " unfiltered")];
            let flags: String = flags.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| *flag).collect();
            format!("listen {}{model}{flags} {}", step.language, step.hints.join("|")).trim_end().to_owned()
        }
        ProgramStep::StopRecognition { .. } => "listen no more".to_owned(),
        ProgramStep::ReportPartial(one) => format!("report {}", request(one)),
        ProgramStep::Answer => "answer".to_owned(),
        ProgramStep::Say { say, .. } => format!("say {}{}", say.text, times(say.repeat)),
        ProgramStep::Play { location, repeat, .. } => format!("play {location}{}", times(*repeat)),
        ProgramStep::PlayDigits { digits, repeat, .. } => format!("digits {}{}", digits.reveal(), times(*repeat)),
        ProgramStep::StopPlaying { .. } => "stop".to_owned(),
        ProgramStep::NotifyRecorded { request: one, .. } => format!("notify once recorded {}", request(one)),
        ProgramStep::Beep { .. } => "beep".to_owned(),
        ProgramStep::Record(record) => {
            format!("record {} silence {}", recording(&record.recording), record.silence.as_secs())
        }
        ProgramStep::StopRecord { .. } => "stop record".to_owned(),
        ProgramStep::StartRecording(step) => format!("start recording {}", recording(step)),
        ProgramStep::Dial(dial) => {
            let parties: Vec<String> = dial.parties.iter().map(|party| address(&party.address)).collect();
            let recorded = dial.record.as_ref().map(|record| {
                let from = if record.from_ringing { " from ringing" } else { "" };
                format!(" recorded{from} {}", recording(&record.recording))
            });
            format!("dial {}{}", parties.join(" "), recorded.unwrap_or_default())
        }
        ProgramStep::Conference(step) => format!("conference {}", step.conference.name),
        ProgramStep::Enqueue(step) => format!("enqueue {}", step.name),
        ProgramStep::LeaveQueue { why, .. } => format!("leave queue {}", why.name()),
        ProgramStep::ConnectQueued { .. } => "connect queued".to_owned(),
        ProgramStep::DialQueue(step) => format!("dial queue {}", step.name),
        ProgramStep::PlayMusic { .. } => "music".to_owned(),
        ProgramStep::EndDial { .. } => "end dial".to_owned(),
        ProgramStep::EndStream { .. } => "end stream".to_owned(),
        ProgramStep::ConnectStream(stream) => format!("connect {}", stream.url),
        ProgramStep::StartStream(stream) => format!("start {} {}", stream.name.as_deref().unwrap_or("-"), stream.url),
        ProgramStep::StopStream { name } => format!("stop stream {name}"),
        ProgramStep::StartSiprec(step) => {
            let status = step.status.as_ref().map_or("-".to_owned(), |(url, method)| format!("{method:?} {url}"));
            format!("siprec {} {} {status}", step.connector, step.name.as_deref().unwrap_or("-"))
        }
        ProgramStep::StartTranscript(step) => {
            let status = step.status.as_ref().map_or("-".to_owned(), |(url, method)| format!("{method:?} {url}"));
            format!("transcribe {} {:?} {status}", step.name.as_deref().unwrap_or("-"), step.tracks)
        }
        ProgramStep::StopTranscript { name } => format!("stop transcript {name}"),
        ProgramStep::StopSiprec { name } => format!("stop siprec {name}"),
        ProgramStep::Refer { uri, headers, .. } => {
            let headers: String = headers.iter().map(|one| format!(" {}={}", one.name, one.value)).collect();
            format!("refer {uri}{headers}")
        }
        ProgramStep::Reject(reason) => format!("reject {reason:?}"),
        ProgramStep::Hangup => "hangup".to_owned(),
        ProgramStep::Join => "join".to_owned(),
        ProgramStep::Failed { code } => format!("failed {code}"),
        ProgramStep::Trace(_) => "trace".to_owned(),
    }
}
