//! Call on virtual time. The program is saved and restored before each event, so that every test shows that no state is
//! lost.

use std::time::Duration;

use trunkgate_twiml::{
    Address, DialResult, DialStatus, Heard, Input, Location, Loop, Method, Note, Program, Purpose, RecordingStep,
    Request, Secret, Settings, Source, Step, Trace,
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
    pub(crate) traces: Vec<Trace>,
    /// Steps so far.
    pub(crate) raw: Vec<Step>,
}

impl Call {
    pub(crate) fn with(settings: Settings) -> Self {
        let (program, now) = (Program::new(settings), Duration::from_secs(100));
        Call { program, now, id: 0, listening: 0, traces: Vec::new(), raw: Vec::new() }
    }

    /// Starts a call with the first document at [`PAGE`]; returns the following steps.
    pub(crate) fn begin(body: &str) -> (Self, Vec<String>) {
        let mut call = Call::with(Settings::default());
        assert_eq!(call.start_at(PAGE), [format!("POST {PAGE} start")]);
        let steps = call.document(body);
        (call, steps)
    }

    /// Starts a call with a recogniser; returns the steps after the first document.
    pub(crate) fn heard_by_recogniser(body: &str) -> (Self, Vec<String>) {
        let mut call = Call::with(Settings { recognition: true, ..Settings::default() });
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
        let heard = Heard { text: Secret::new(text), is_final, confidence_ppm };
        self.input(Input::Speech { id: self.listening, heard })
    }

    /// Feeds the failure of the recogniser.
    pub(crate) fn recogniser_fails(&mut self) -> Vec<String> {
        self.input(Input::RecognitionFailed { id: self.listening, text: "closed with 1011".to_owned() })
    }

    /// Returns the id of the recogniser that a restored program requests again.
    pub(crate) fn recognition(&self) -> Option<u32> {
        self.program.recognition().map(|step| step.id)
    }

    /// Starts a call that is already answered.
    pub(crate) fn answered(body: &str) -> (Self, Vec<String>) {
        let mut call = Call::with(Settings::default());
        let location = Location::url(PAGE).unwrap();
        call.program.start(call.now, Source::Fetch { location, method: Method::Get }, true);
        assert_eq!(call.steps(), [format!("GET {PAGE} start")]);
        let steps = call.document(body);
        (call, steps)
    }

    pub(crate) fn start_at(&mut self, url: &str) -> Vec<String> {
        self.start(Location::url(url).unwrap())
    }

    pub(crate) fn start(&mut self, location: Location) -> Vec<String> {
        self.program.start(self.now, Source::Fetch { location, method: Method::Post }, false);
        self.steps()
    }

    pub(crate) fn start_text(&mut self, text: &str, answered: bool) -> Vec<String> {
        self.start_with(Source::Text(text.to_owned()), answered)
    }

    pub(crate) fn start_with(&mut self, source: Source, answered: bool) -> Vec<String> {
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
        self.input(Input::Fetched { id: self.id, url, content_type, body: body.as_bytes().to_vec() })
    }

    pub(crate) fn fetch_fails(&mut self, code: u16) -> Vec<String> {
        self.input(Input::FetchFailed { id: self.id, code, text: "no answer".to_owned() })
    }

    /// Feeds the end of the sound.
    pub(crate) fn played(&mut self) -> Vec<String> {
        self.input(Input::Played { id: self.id })
    }

    pub(crate) fn digits(&mut self, digits: &str) -> Vec<String> {
        digits.chars().flat_map(|digit| self.input(Input::Digit(digit))).collect()
    }

    pub(crate) fn dial_answered(&mut self) -> Vec<String> {
        self.input(Input::DialAnswered { id: self.id })
    }

    pub(crate) fn dial_ended(&mut self, result: DialResult) -> Vec<String> {
        self.input(Input::DialEnded { id: self.id, result })
    }

    pub(crate) fn not_reached(&mut self, status: DialStatus) -> Vec<String> {
        self.dial_ended(DialResult::unanswered(status))
    }

    pub(crate) fn hung_up(&mut self) -> Vec<String> {
        self.input(Input::HungUp)
    }

    /// Redirects the program from outside.
    pub(crate) fn redirect(&mut self, source: Source) -> Vec<String> {
        assert_eq!(self.try_redirect(source), Ok(true));
        self.steps()
    }

    pub(crate) fn try_redirect(&mut self, source: Source) -> Result<bool, trunkgate_twiml::Error> {
        self.restore();
        self.program.redirect(self.now, source, None)
    }

    pub(crate) fn input(&mut self, input: Input) -> Vec<String> {
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
        let shown = |trace: &Trace| match &trace.note {
            Note::Warning { code, text } => Some(format!("warning {code} line {}: {text}", trace.line)),
            Note::Unheard { code, text } | Note::Error { code, text } => {
                Some(format!("error {code} line {}: {text}", trace.line))
            }
            Note::Began | Note::Result(_) => None,
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
                Step::Trace(trace) => {
                    self.traces.push(trace.clone());
                    continue;
                }
                Step::Fetch { id, .. }
                | Step::Say { id, .. }
                | Step::Play { id, .. }
                | Step::PlayDigits { id, .. }
                | Step::Beep { id }
                | Step::Refer { id, .. } => self.id = *id,
                Step::Dial(dial) => self.id = dial.id,
                Step::Conference(conference) => self.id = conference.id,
                Step::Enqueue(step) => self.id = step.id,
                Step::DialQueue(step) => self.id = step.id,
                Step::Record(record) => self.id = record.id,
                Step::ConnectStream(stream) => self.id = stream.id,
                Step::StartRecognition(step) => self.listening = step.id,
                _ => {}
            }
            steps.push(shown(&step));
            self.raw.push(step);
        }
        steps
    }
}

fn times(repeat: Loop) -> String {
    match repeat {
        Loop::Times(1) => String::new(),
        Loop::Times(times) => format!(" x{times}"),
        Loop::Forever => " forever".to_owned(),
    }
}

fn request(request: &Request) -> String {
    let Request { location, method, purpose, parameters } = request;
    let method = match method {
        Method::Get => "GET",
        Method::Post => "POST",
    };
    let file = if matches!(location, Location::File(_)) { "file:" } else { "" };
    let parameters: String = parameters.iter().map(|one| format!(" {}={}", one.name, one.value)).collect();
    format!("{method} {file}{location} {}{parameters}", Purpose::name(*purpose))
}

fn address(address: &Address) -> String {
    match address {
        Address::Number { number, .. } => number.clone(),
        Address::Client { identity } => format!("client:{identity}"),
        Address::Sip { uris, .. } => uris.iter().map(|uri| uri.uri.clone()).collect::<Vec<_>>().join("|"),
    }
}

fn recording(step: &RecordingStep) -> String {
    let RecordingStep { dual, track, trim, status } = step;
    let status = status.as_ref().map(|(url, method, events)| {
        let method = if *method == Method::Get { "GET" } else { "POST" };
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
pub(crate) fn shown(step: &Step) -> String {
    match step {
        Step::Fetch { request: one, .. } => request(one),
        Step::Notify(one) => format!("notify {}", request(one)),
        Step::StartRecognition(step) => {
            let model = step.model.as_deref().map(|model| format!(" {model}")).unwrap_or_default();
            let flags = [(step.enhanced, " enhanced"), (!step.profanity_filter, " unfiltered")];
            let flags: String = flags.iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| *flag).collect();
            format!("listen {}{model}{flags} {}", step.language, step.hints.join("|")).trim_end().to_owned()
        }
        Step::StopRecognition { .. } => "listen no more".to_owned(),
        Step::ReportPartial(one) => format!("report {}", request(one)),
        Step::Answer => "answer".to_owned(),
        Step::Say { say, .. } => format!("say {}{}", say.text, times(say.repeat)),
        Step::Play { location, repeat, .. } => format!("play {location}{}", times(*repeat)),
        Step::PlayDigits { digits, repeat, .. } => format!("digits {}{}", digits.reveal(), times(*repeat)),
        Step::StopPlaying { .. } => "stop".to_owned(),
        Step::NotifyRecorded { request: one, .. } => format!("notify once recorded {}", request(one)),
        Step::Beep { .. } => "beep".to_owned(),
        Step::Record(record) => {
            format!("record {} silence {}", recording(&record.recording), record.silence.as_secs())
        }
        Step::StopRecord { .. } => "stop record".to_owned(),
        Step::StartRecording(step) => format!("start recording {}", recording(step)),
        Step::Dial(dial) => {
            let parties: Vec<String> = dial.parties.iter().map(|party| address(&party.address)).collect();
            let recorded = dial.record.as_ref().map(|record| {
                let from = if record.from_ringing { " from ringing" } else { "" };
                format!(" recorded{from} {}", recording(&record.recording))
            });
            format!("dial {}{}", parties.join(" "), recorded.unwrap_or_default())
        }
        Step::Conference(step) => format!("conference {}", step.conference.name),
        Step::Enqueue(step) => format!("enqueue {}", step.name),
        Step::LeaveQueue { why, .. } => format!("leave queue {}", why.name()),
        Step::ConnectQueued { .. } => "connect queued".to_owned(),
        Step::DialQueue(step) => format!("dial queue {}", step.name),
        Step::PlayMusic { .. } => "music".to_owned(),
        Step::EndDial { .. } => "end dial".to_owned(),
        Step::EndStream { .. } => "end stream".to_owned(),
        Step::ConnectStream(stream) => format!("connect {}", stream.url),
        Step::StartStream(stream) => format!("start {} {}", stream.name.as_deref().unwrap_or("-"), stream.url),
        Step::StopStream { name } => format!("stop stream {name}"),
        Step::StartSiprec(step) => {
            let status = step.status.as_ref().map_or("-".to_owned(), |(url, method)| format!("{method:?} {url}"));
            format!("siprec {} {} {status}", step.connector, step.name.as_deref().unwrap_or("-"))
        }
        Step::StartTranscript(step) => {
            let status = step.status.as_ref().map_or("-".to_owned(), |(url, method)| format!("{method:?} {url}"));
            format!("transcribe {} {:?} {status}", step.name.as_deref().unwrap_or("-"), step.tracks)
        }
        Step::StopTranscript { name } => format!("stop transcript {name}"),
        Step::StopSiprec { name } => format!("stop siprec {name}"),
        Step::Refer { uri, headers, .. } => {
            let headers: String = headers.iter().map(|one| format!(" {}={}", one.name, one.value)).collect();
            format!("refer {uri}{headers}")
        }
        Step::Reject(reason) => format!("reject {reason:?}"),
        Step::Hangup => "hangup".to_owned(),
        Step::Join => "join".to_owned(),
        Step::Failed { code } => format!("failed {code}"),
        Step::Trace(_) => "trace".to_owned(),
    }
}
