//! Execution of verbs: the start of each, and the parameters of its action's request.

use std::time::Duration;

use super::gathering::{GatherResult, RunningGather};
use super::input::{DialResult, DialStatus, QueueOutcome, QueueResult, ReferResult};
use super::queueing::{RunningEnqueue, may_queue_with};
use super::recording::RunningRecord;
use super::step::{
    BackgroundAudio, ConferenceStep, DialPartyStep, DialQueueStep, DialRecordStep, DialStep, EnqueueStep, FetchPurpose,
    PartyAddress, PartyDetection, ProgramStep, RecognitionStep, RecordStep, RecordingStep, RequestParameter,
    SiprecStep, StatusCallback, StreamStep, TraceNote, TranscriptStep, TranscriptionStep,
};
use super::waiting::may_wait_with;
use super::{Program, ProgramRole, ProgramState, RunningDial, VerbAction};
use crate::document::{
    ConferenceNoun, ConnectVerb, DialTarget, DialVerb, EnqueueVerb, GatherVerb, HttpMethod, LiveTranscript,
    PartyCallbacks, PlaySource, PlayVerb, QueueNoun, RecordVerb, RecordingNoun, ReferVerb, RejectReason, SayVerb,
    SiprecNoun, Stream, TranscriptionNoun, Verb, VerbKind,
};
use crate::problem::code;

impl Program {
    /// Starts a verb. The program stays ready for the next verb if this one does not wait for an event.
    pub(super) fn begin(&mut self, now: Duration, verb: Verb) {
        let line = verb.position.line;
        self.steps.trace(line, verb.kind.name(), TraceNote::Began);
        let is_allowed = match self.settings.role {
            ProgramRole::Waiting | ProgramRole::Announced | ProgramRole::Connecting => may_wait_with(&verb.kind),
            ProgramRole::Queued => may_queue_with(&verb.kind),
            ProgramRole::Caller | ProgramRole::Called => true,
        };
        if !is_allowed {
            let text = "not allowed in a document for a party that waits, or of an announcement".to_owned();
            return self.fail(now, code::WAIT_VERB, line, verb.kind.name(), text);
        }
        if self.settings.role == ProgramRole::Called
            && matches!(
                verb.kind,
                VerbKind::Dial(_)
                    | VerbKind::Enqueue(_)
                    | VerbKind::Connect(_)
                    | VerbKind::Refer(_)
                    | VerbKind::Record(_)
                    | VerbKind::Reject(_)
            )
        {
            let text = "not allowed in the document of a called party".to_owned();
            return self.fail(now, code::NOT_IN_WHISPER, line, verb.kind.name(), text);
        }
        match verb.kind {
            VerbKind::Say(say) => self.begin_say(now, say, line),
            VerbKind::Play(play) => self.begin_play(now, play, line),
            VerbKind::Pause(pause) => self.state = ProgramState::Pausing { until: now.saturating_add(pause.length) },
            VerbKind::Gather(gather) => self.begin_gather(now, *gather, line),
            VerbKind::Record(record) => self.begin_record(now, *record, line),
            VerbKind::StartRecording(noun) => self.start_recording(now, *noun, line),
            VerbKind::Dial(dial) => self.begin_dial(now, *dial, line),
            VerbKind::Enqueue(enqueue) => self.begin_enqueue(now, *enqueue, line),
            VerbKind::Leave => self.leave(line),
            VerbKind::Connect(connect) => self.begin_connect(now, *connect, line),
            VerbKind::StartStream(stream) => {
                if let Some(step) = self.stream(now, *stream, line, "Start") {
                    self.steps.push(ProgramStep::StartStream(step));
                }
            }
            VerbKind::StopStream { name } => self.steps.push(ProgramStep::StopStream { name }),
            VerbKind::StartTranscript(noun) => self.start_transcript(*noun, line),
            VerbKind::StopTranscript { name } => self.steps.push(ProgramStep::StopTranscript { name }),
            VerbKind::StartSiprec(noun) => self.start_siprec(*noun, line),
            VerbKind::StopSiprec { name } => self.steps.push(ProgramStep::StopSiprec { name }),
            VerbKind::Redirect(redirect) => {
                let after = VerbAction { line, action: Some(redirect.url), method: redirect.method };
                self.finish(now, "Redirect", after, FetchPurpose::Redirect, Vec::new());
            }
            VerbKind::Reject(reject) => self.begin_reject(reject, line),
            VerbKind::Hangup => self.hang_up(),
            VerbKind::Refer(refer) => self.begin_refer(*refer, line),
            VerbKind::Refused(refused) => {
                let text = format!("<{}> is refused: {}", refused.what, refused.reason);
                self.fail(now, refused.code, line, &refused.what, text);
            }
        }
    }

    /// Starts to collect input for a Gather. Without a recogniser, speech is ignored if digits are accepted too;
    /// input by speech only ends as no input.
    fn begin_gather(&mut self, now: Duration, mut gather: GatherVerb, line: u32) {
        let has_recogniser = self.settings.recognition;
        if !has_recogniser && let Some(speech) = &gather.speech {
            let why = match self.settings.role {
                ProgramRole::Caller | ProgramRole::Queued => "no recogniser is configured ([recognition])",
                ProgramRole::Called | ProgramRole::Waiting | ProgramRole::Announced | ProgramRole::Connecting => {
                    "the speech of this party is not recognised"
                }
            };
            let text = if speech.with_digits {
                format!("input=\"dtmf speech\" gathers digits only: {why}")
            } else {
                format!("input=\"speech\" cannot collect speech: {why}")
            };
            self.steps.trace(line, "Gather", TraceNote::Warning { code: code::GATHER_INPUT, text });
            gather.speech = gather.speech.filter(|speech| !speech.with_digits);
        }
        self.answer();
        let at = (line, now);
        let gathering = RunningGather::begin(gather, has_recogniser, at, &self.location, &mut self.steps);
        self.state = ProgramState::Gathering(Box::new(gathering));
    }

    /// Starts to record the caller for a Record; the program fails if the edge has no `[recording]`.
    fn begin_record(&mut self, now: Duration, record: RecordVerb, line: u32) {
        if !self.settings.records {
            return self.fail(now, code::SCHEMA, line, "Record", refused_recording("Record"));
        }
        self.answer();
        let recording = self.recording(record.recording, line, "Record");
        let transcription = self.transcription(record.transcription, line);
        let step = RecordStep { id: self.steps.id(), silence: record.timeout, recording, transcription };
        let after = VerbAction { line, action: record.action, method: record.method };
        let ends = (record.finish_on_key, record.max_length, record.play_beep);
        self.state = ProgramState::Recording(Box::new(RunningRecord::begin(now, step, after, ends, &mut self.steps)));
    }

    /// Resolves the callback of a transcription. Returns `None`, with a warning, if the edge does not transcribe.
    fn transcription(&mut self, noun: Option<TranscriptionNoun>, line: u32) -> Option<TranscriptionStep> {
        let noun = noun?;
        if !self.settings.transcribes {
            let text = "the recording is not transcribed: there is no [transcription] in the configuration".to_owned();
            self.steps.trace(line, "Record", TraceNote::Warning { code: code::SCHEMA, text });
            return None;
        }
        Some(TranscriptionStep { status: self.callback_url(noun.status.as_deref(), line, "Record") })
    }

    fn start_recording(&mut self, now: Duration, noun: RecordingNoun, line: u32) {
        if !self.settings.records {
            return self.fail(now, code::SCHEMA, line, "Start", refused_recording("Start/Recording"));
        }
        let recording = self.recording(noun, line, "Start");
        self.steps.push(ProgramStep::StartRecording(recording));
    }

    /// Starts a recording by recording servers, after resolving its callback.
    fn start_siprec(&mut self, noun: SiprecNoun, line: u32) {
        let SiprecNoun { connector, is_one_track, name, status, status_method } = noun;
        let status = self.callback_url(status.as_deref(), line, "Start").map(|url| (url, status_method));
        self.steps.push(ProgramStep::StartSiprec(SiprecStep { connector, is_one_track, name, status }));
    }

    /// Starts a live transcription, after resolving its callback.
    fn start_transcript(&mut self, noun: LiveTranscript, line: u32) {
        let LiveTranscript { name, tracks, labels, partial, language, hints, model, profanity_filter, .. } = noun;
        let status = self.callback_url(noun.status.as_deref(), line, "Start").map(|url| (url, noun.status_method));
        let id = self.steps.id();
        let speech = RecognitionStep { id, language, hints, model, enhanced: false, profanity_filter };
        let step = TranscriptStep { name, tracks, labels, status, partial, speech };
        self.steps.push(ProgramStep::StartTranscript(Box::new(step)));
    }

    /// Converts the settings of a recording to a step and resolves its callback.
    fn recording(&mut self, noun: RecordingNoun, line: u32, verb: &str) -> RecordingStep {
        let RecordingNoun { dual, track, trim, status, status_method, events } = noun;
        let status = self.callback_url(status.as_deref(), line, verb).map(|url| (url, status_method, events));
        RecordingStep { dual, track, trim, status }
    }

    fn begin_say(&mut self, now: Duration, say: SayVerb, line: u32) {
        self.answer();
        if let Some(sound) = self.steps.say(now, say, line) {
            self.state = ProgramState::Playing(sound);
        }
    }

    fn begin_play(&mut self, now: Duration, play: PlayVerb, line: u32) {
        // A sound that cannot be played must not answer the call.
        if let PlaySource::File(reference) = &play.source
            && self.location.resolve(reference).is_ok()
        {
            self.answer();
        } else if matches!(play.source, PlaySource::Digits(_)) {
            self.answer();
        }
        if let Some(sound) = self.steps.play(now, play, &self.location, line) {
            self.state = ProgramState::Playing(sound);
        }
    }

    fn begin_reject(&mut self, reject: RejectReason, line: u32) {
        if self.answered {
            let text = "the call is answered already: it is hung up".to_owned();
            self.steps.trace(line, "Reject", TraceNote::Warning { code: code::SCHEMA, text });
            return self.hang_up();
        }
        self.steps.push(ProgramStep::Reject(reject));
        self.state = ProgramState::Over;
    }

    fn begin_refer(&mut self, refer: ReferVerb, line: u32) {
        self.answer();
        let id = self.steps.id();
        let after = VerbAction { line, action: refer.action, method: refer.method };
        self.state = ProgramState::Referring { id, after, abandoned: false };
        self.steps.push(ProgramStep::Refer { id, uri: refer.uri, headers: refer.headers });
    }

    fn begin_connect(&mut self, now: Duration, connect: ConnectVerb, line: u32) {
        let Some(step) = self.stream(now, connect.stream, line, "Connect") else { return };
        self.answer();
        let after = VerbAction { line, action: connect.action, method: connect.method };
        self.state = ProgramState::Streaming { id: step.id, after };
        self.steps.push(ProgramStep::ConnectStream(step));
    }

    /// Resolves the URLs of a stream. With an unresolvable WebSocket URL the program fails, and `None` is returned.
    fn stream(&mut self, now: Duration, stream: Stream, line: u32, verb: &str) -> Option<StreamStep> {
        let url = match self.location.resolve_socket(&stream.url) {
            Ok(url) => url,
            Err(text) => {
                self.fail(now, code::BAD_URL, line, verb, text);
                return None;
            }
        };
        let status = self.callback_url(stream.status.as_deref(), line, verb).map(|url| (url, stream.status_method));
        let id = self.steps.id();
        let Stream { name, tracks, parameters, .. } = stream;
        Some(StreamStep { id, url, name, tracks, status, parameters })
    }

    fn begin_dial(&mut self, now: Duration, mut dial: DialVerb, line: u32) {
        if let Some(conference) = dial.conference.take() {
            return self.begin_conference(*conference, dial, line);
        }
        if let Some(queue) = dial.queue.take() {
            return self.begin_dial_queue(now, *queue, dial, line);
        }
        let after = VerbAction { line, action: dial.action, method: dial.method };
        let mut parties = Vec::with_capacity(dial.targets.len());
        for target in dial.targets {
            let (address, callback) = match target {
                DialTarget::Number { number, send_digits, callback } => {
                    (PartyAddress::Number { number, send_digits }, callback)
                }
                DialTarget::Client { identity, callback } => (PartyAddress::Client { identity }, callback),
                DialTarget::Sip { party, callback } => {
                    (PartyAddress::Sip { uris: party.uris, headers: party.headers }, callback)
                }
            };
            match self.party(address, callback, line) {
                Ok(party) => parties.push(party),
                // A party with an unresolvable screening document must not be connected unscreened.
                Err(text) => return self.fail(now, code::BAD_URL, line, "Dial", text),
            }
        }
        if parties.is_empty() {
            return self.dialled(now, after, DialResult::unanswered(DialStatus::Failed));
        }
        if !dial.answer_on_bridge {
            self.answer();
        }
        let record = dial.record.filter(|_| self.settings.records || self.cannot_record(line));
        let record = record.map(|record| {
            let recording = self.recording(record.recording, line, "Dial");
            Box::new(DialRecordStep { from_ringing: record.from_ringing, recording })
        });
        let id = self.steps.id();
        self.state = ProgramState::Dialling(RunningDial {
            id,
            after,
            hangup_on_star: dial.hangup_on_star,
            bridged: false,
            abandoned: false,
            is_conference: false,
            waits: None,
        });
        self.steps.push(ProgramStep::Dial(DialStep {
            id,
            parties,
            timeout: dial.timeout,
            time_limit: dial.time_limit,
            caller_id: dial.caller_id,
            answer_on_bridge: dial.answer_on_bridge,
            sequential: dial.sequential,
            record,
        }));
    }

    /// Warns in the trace that the edge cannot record the Dial. Always returns false.
    fn cannot_record(&mut self, line: u32) -> bool {
        let text = "the parties are connected without a recording: the edge has no [recording]".to_owned();
        self.steps.trace(line, "Dial", TraceNote::Warning { code: code::SCHEMA, text });
        false
    }

    /// Adds the caller to a conference, which answers the call on admission. An unresolvable `waitUrl` is replaced by
    /// the edge's music.
    fn begin_conference(&mut self, mut conference: ConferenceNoun, dial: DialVerb, line: u32) {
        if dial.record.is_some() {
            let text = "`record` of Dial is for a party: that of Conference records the conference".to_owned();
            self.steps.trace(line, "Dial", TraceNote::Warning { code: code::SCHEMA, text });
        }
        conference.status = self.callback_url(conference.status.as_deref(), line, "Dial");
        let record = conference.record.take().filter(|_| self.settings.records || self.cannot_record(line));
        let record = record.map(|record| Box::new(self.recording(*record, line, "Dial")));
        let wait = self.background((conference.wait.take(), conference.wait_method), line, "Dial");
        let (id, after) = (self.steps.id(), VerbAction { line, action: dial.action, method: dial.method });
        let (hangup_on_star, time_limit) = (dial.hangup_on_star, dial.time_limit);
        let (bridged, abandoned, is_conference, waits) = (false, false, true, None);
        self.state =
            ProgramState::Dialling(RunningDial { id, after, hangup_on_star, bridged, abandoned, is_conference, waits });
        let leaves_on_star = hangup_on_star;
        self.steps.push(ProgramStep::Conference(ConferenceStep {
            id,
            conference,
            wait,
            time_limit,
            leaves_on_star,
            record,
        }));
    }

    /// Resolves the audio for a waiting caller. The edge's music replaces a missing or unresolvable URL.
    fn background(&mut self, (url, method): (Option<String>, HttpMethod), line: u32, verb: &str) -> BackgroundAudio {
        match url.map(|url| (self.location.resolve(&url), url)) {
            None => BackgroundAudio::Music,
            Some((_, url)) if url.is_empty() => BackgroundAudio::Silence,
            Some((Ok(location), _)) => BackgroundAudio::Document { location, method },
            Some((Err(text), _)) => {
                let text = format!("waitUrl: {text}");
                self.steps.trace(line, verb, TraceNote::Warning { code: code::WAIT_URL, text });
                BackgroundAudio::Music
            }
        }
    }

    /// Puts the caller into a queue. The URL of the action is resolved now, because another document may be current
    /// when the caller leaves the queue.
    fn begin_enqueue(&mut self, now: Duration, enqueue: EnqueueVerb, line: u32) {
        let EnqueueVerb { name, action, method, most, wait, wait_method } = enqueue;
        let action = match action.map(|action| self.location.resolve(&action)).transpose() {
            Ok(action) => action.map(|location| (location, method)),
            Err(text) => return self.fail(now, code::BAD_URL, line, "Enqueue", text),
        };
        self.answer();
        let wait = self.background((wait, wait_method), line, "Enqueue");
        let id = self.steps.id();
        let is_named = !name.is_empty();
        self.state = ProgramState::Queued(Box::new(RunningEnqueue::new(id, line, action, self.settings.recognition)));
        if is_named {
            return self.steps.push(ProgramStep::Enqueue(EnqueueStep { id, name, most, wait }));
        }
        let result = QueueResult { outcome: QueueOutcome::Error, was_in: None };
        self.queue_left(now, id, result);
    }

    /// Lets the caller leave the queue. The verb only has an effect in a document for a queued caller.
    fn leave(&mut self, line: u32) {
        if self.settings.role == ProgramRole::Queued {
            self.steps.push(ProgramStep::LeaveQueue { id: 0, why: QueueOutcome::Leave });
            self.state = ProgramState::Over;
        } else {
            let text = "the call is in no queue: no effect".to_owned();
            self.steps.trace(line, "Leave", TraceNote::Warning { code: code::SCHEMA, text });
        }
    }

    /// Waits for the first caller of a queue, to connect it with this caller.
    fn begin_dial_queue(&mut self, now: Duration, queue: QueueNoun, dial: DialVerb, line: u32) {
        let prelude = match queue.url.map(|url| self.location.resolve(&url)).transpose() {
            Ok(location) => location.map(|location| (location, queue.method)),
            Err(text) => return self.fail(now, code::BAD_URL, line, "Dial", text),
        };
        self.answer();
        if dial.record.is_some() {
            let text = "`record` of Dial is not for a queue: the call is not recorded".to_owned();
            self.steps.trace(line, "Dial", TraceNote::Warning { code: code::SCHEMA, text });
        }
        let (id, after) = (self.steps.id(), VerbAction { line, action: dial.action, method: dial.method });
        let (hangup_on_star, timeout, time_limit) = (dial.hangup_on_star, dial.timeout, dial.time_limit);
        self.state = ProgramState::Dialling(RunningDial {
            id,
            after,
            hangup_on_star,
            bridged: false,
            abandoned: false,
            is_conference: false,
            waits: None,
        });
        let name = queue.name;
        self.steps.push(ProgramStep::DialQueue(DialQueueStep { id, name, prelude, timeout, time_limit }));
    }

    fn party(&mut self, address: PartyAddress, callback: PartyCallbacks, line: u32) -> Result<DialPartyStep, String> {
        let whisper = match &callback.url {
            Some(reference) => Some((self.location.resolve(reference)?, callback.method)),
            None => None,
        };
        let url = self.callback_url(callback.status.as_deref(), line, "Dial");
        let status = url.map(|url| StatusCallback { url, method: callback.status_method, events: callback.events });
        let detection = callback.detection.map(|detection| {
            let url = self.callback_url(detection.receiver.as_deref(), line, "Dial");
            PartyDetection { settings: detection.settings, receiver: url.map(|url| (url, detection.method)) }
        });
        Ok(DialPartyStep { address, whisper, status, detection })
    }

    /// Resolves a callback URL. Returns `None` without a URL, or with a warning if the URL cannot be resolved.
    fn callback_url(&mut self, reference: Option<&str>, line: u32, verb: &str) -> Option<String> {
        match self.location.resolve_url(reference?) {
            Ok(url) => Some(url),
            Err(text) => {
                let text = format!("no status callback: {text}");
                self.steps.trace(line, verb, TraceNote::Warning { code: code::BAD_URL, text });
                None
            }
        }
    }
}

fn refused_recording(what: &str) -> String {
    format!("<{what}> is refused: the edge records nothing ([recording])")
}

/// Returns the parameters of the request for a Gather's action: digits or speech.
pub(super) fn gather_parameters(ending: GatherResult) -> Vec<RequestParameter> {
    let GatherResult { digits, key, speech, takes_digits } = ending;
    let mut parameters = vec![RequestParameter::new("msg", "Gather End")];
    let is_speech = speech.as_ref().is_some_and(|speech| !speech.text.reveal().is_empty());
    if takes_digits && !is_speech {
        parameters.push(RequestParameter::new("Digits", digits.reveal()));
        parameters.push(RequestParameter::new("FinishedOnKey", key.map(String::from).unwrap_or_default()));
    }
    if let Some(speech) = speech {
        parameters.push(RequestParameter::new("SpeechResult", speech.text.reveal()));
        parameters.extend(speech.confidence.map(|confidence| RequestParameter::new("Confidence", confidence)));
        parameters.push(RequestParameter::new("Language", speech.language));
    }
    parameters
}

/// Returns the parameters of the request for a Dial's action: status, sid and duration.
pub(super) fn dial_parameters(result: DialResult) -> Vec<RequestParameter> {
    let mut parameters = vec![RequestParameter::new("DialCallStatus", result.status.name())];
    parameters.extend(result.sid.map(|sid| RequestParameter::new("DialCallSid", sid)));
    let duration = result.duration.map(|duration| duration.as_secs_f64().round().to_string());
    parameters.extend(duration.map(|seconds| RequestParameter::new("DialCallDuration", seconds)));
    parameters.push(RequestParameter::new("DialBridged", if result.bridged { "true" } else { "false" }));
    parameters.extend(result.further);
    parameters
}

/// Returns the parameters of the request for an Enqueue's action: result, sid and time in the queue.
pub(super) fn queue_parameters(result: QueueResult) -> Vec<RequestParameter> {
    let mut parameters = vec![RequestParameter::new("QueueResult", result.outcome.name())];
    if let Some((sid, time)) = result.was_in {
        parameters.push(RequestParameter::new("QueueSid", sid));
        parameters.push(RequestParameter::new("QueueTime", time.as_secs().to_string()));
    }
    parameters
}

/// Returns the parameters of the request for a Refer's action: the status codes of the transfer.
pub(super) fn refer_parameters(result: &ReferResult) -> Vec<RequestParameter> {
    let mut parameters = Vec::new();
    parameters.extend(result.status.map(|status| RequestParameter::new("ReferCallStatus", status)));
    parameters.extend(result.refer.map(|code| RequestParameter::new("ReferSipResponseCode", code.to_string())));
    parameters.extend(result.notify.map(|code| RequestParameter::new("NotifySipResponseCode", code.to_string())));
    parameters
}
