//! Recordings that a program asks for: of what its caller says to it, of a Dial, and of the call from a Start on.

use std::sync::{Arc, LazyLock};

use trunkgate_media::Channels;
use trunkgate_media::agent::TrackSet;
use trunkgate_resources::recording::{
    AfterRecording, RecordingEvents, RecordingReceiver, RecordingRequest, RecordingSource, TranscriptionRequest,
    VoicemailMessage,
};
use trunkgate_route::App;
use trunkgate_twiml::{
    DialRecordStep, Input, Loop, Method, Parameter, RecordStep, RecordingStep, ReportedStates, Request, Tracks,
    TranscriptionStep,
};

use crate::call::Parts;
use crate::call::program::{Prompter, Runner, parameters};
use crate::call::recorders::recording::{self, Verb};
use crate::call::shared::Cx;

/// The tone before a Record: 1 kHz for half a second, μ-law.
static BEEP: LazyLock<Arc<[u8]>> = LazyLock::new(|| [TURN; 500].concat().into());
/// One turn of it at 8 kHz.
const TURN: [u8; 8] = [0xbd, 0xa9, 0xa9, 0xbd, 0x3d, 0x29, 0x29, 0x3d];

/// Recording of a Dial.
#[derive(Debug, Clone)]
pub(crate) struct DialRecording {
    from_ringing: bool,
    /// The recording that has not begun.
    request: Option<Box<RecordingRequest>>,
    /// SID of the one that has.
    pub(crate) sid: Option<String>,
}

/// Has recordings made for a program.
pub(crate) struct Records<'p> {
    parts: &'p mut Parts,
}

impl<'p> Records<'p> {
    /// Acts on the program of a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Records<'p> {
        Records { parts }
    }
}

impl Records<'_> {
    /// Plays the tone before a Record.
    pub(crate) fn beep(&mut self, cx: &mut Cx<'_>, id: u32) {
        Prompter::of(self.parts).play_sound(cx, id, Loop::Times(1), Arc::clone(&BEEP));
    }

    /// Records what the caller says to the program.
    pub(crate) fn record(&mut self, cx: &mut Cx<'_>, step: RecordStep) {
        let RecordStep { id, silence, recording, transcription } = step;
        let Some(mut request) = self.request(RecordingSource::RecordVerb, recording) else { return };
        request.transcription = transcription.and_then(|step| self.transcription(cx, step)).map(Box::new);
        let request = self.message(cx, request);
        if let Err(why) = recording::begin(&self.parts.bridge.media, cx, request, Some(Verb { id, silence })) {
            let failed = Input::RecordFailed { id, text: format!("the caller is not recorded: {why}") };
            Runner::of(self.parts).tell_program(cx, failed);
        }
    }

    /// Ends what a Record has begun; its result follows.
    pub(crate) fn stop_record(&self, cx: &mut Cx<'_>, id: u32) {
        let sid = cx.call.recordings.as_ref().and_then(|recordings| recordings.of_verb(id)).map(str::to_owned);
        if let Some(sid) = sid {
            recording::stop(cx, &sid);
        }
    }

    /// Records the call from now on.
    pub(crate) fn start(&self, cx: &mut Cx<'_>, step: RecordingStep) {
        if let Some(request) = self.request(RecordingSource::StartVerb, step) {
            recording::begin_unasked(&self.parts.bridge.media, cx, request, "its document asks for");
        }
    }

    /// Has the last request of a Record made once the audio of its recording is there: the caller has hung up.
    pub(crate) fn notify_recorded(&self, cx: &mut Cx<'_>, id: u32, request: Request) {
        let Some(app) = self.app() else { return };
        let Some(sid) = cx.call.recordings.as_ref().and_then(|recordings| recordings.of_verb(id)) else { return };
        let sid = sid.to_owned();
        let url = cx.edge.sessions.recordings.links().map(|links| links.of(&sid)).unwrap_or_default();
        let named = [Parameter::new("RecordingUrl", url), Parameter::new("RecordingSid", sid.clone())];
        let parameters = named.into_iter().chain(request.parameters).collect();
        let request = Request { parameters, ..request };
        if let Some(mut request) = parameters::request(cx.call, cx.edge, None, request) {
            // It is made when the call is over.
            parameters::complete(&mut request);
            cx.edge.sessions.recordings.make_after(&sid, AfterRecording { app, request });
        }
    }

    /// Returns the recording of a Dial.
    pub(crate) fn of_dial(&self, step: DialRecordStep) -> Option<DialRecording> {
        let request = self.request(RecordingSource::DialVerb, step.recording).map(Box::new)?;
        Some(DialRecording { from_ringing: step.from_ringing, request: Some(request), sid: None })
    }

    /// Returns the recording of a conference.
    pub(crate) fn of_conference(&self, step: RecordingStep) -> Option<RecordingRequest> {
        self.request(RecordingSource::Conference, step)
    }

    /// Begins the recording of the Dial, where it is to begin now: with the ringing, or once the parties are connected.
    pub(crate) fn begin_dial(&mut self, cx: &mut Cx<'_>, is_connected: bool) {
        let side = self.parts.program.as_mut().and_then(|run| run.side.as_mut());
        let Some(record) = side.and_then(|side| side.record.as_mut()) else { return };
        if !is_connected && !record.from_ringing {
            return;
        }
        let Some(request) = record.request.take() else { return };
        let sid = recording::begin_unasked(&self.parts.bridge.media, cx, *request, "its document asks for");
        let side = self.parts.program.as_mut().and_then(|run| run.side.as_mut());
        if let Some(record) = side.and_then(|side| side.record.as_mut()) {
            record.sid = sid;
        }
    }

    /// Makes the recording of a mailbox a message in it.
    fn message(&self, cx: &Cx<'_>, request: RecordingRequest) -> RecordingRequest {
        let app = self.parts.program.as_ref().map(|run| &run.app);
        let Some(mailbox) = app.and_then(|app| app.as_mailbox()) else { return request };
        let (from, to) = (cx.call.facts.caller.shown(), cx.call.shown_called());
        let transcription = mailbox.transcribe.then(|| {
            // An address of e-mail gets the text with the message.
            let url = mailbox.notify.clone().filter(|_| !mailbox.is_mailed());
            let (app, from, to) = (mailbox.target(), from.clone(), to.clone());
            Box::new(TranscriptionRequest { app, url, allow_private: true, from, to })
        });
        let message = VoicemailMessage { mailbox: mailbox.name.to_string(), from, to };
        RecordingRequest {
            transcription,
            source: RecordingSource::Voicemail,
            receiver: RecordingReceiver::of_mailbox(mailbox).map(Box::new),
            message: Some(Box::new(message)),
            ..request
        }
    }

    /// Returns the transcription that a Record asks for.
    fn transcription(&self, cx: &Cx<'_>, step: TranscriptionStep) -> Option<TranscriptionRequest> {
        let app = self.app()?;
        let (from, to) = (cx.call.facts.caller.shown(), cx.call.shown_called());
        let (app, allow_private) = (app.name.to_string(), app.allow_private);
        Some(TranscriptionRequest { app, url: step.status, allow_private, from, to })
    }

    fn app(&self) -> Option<Arc<App>> {
        self.parts.program.as_ref().map(|run| Arc::clone(&run.app))
    }

    /// Returns a recording of the program's, with its receiver.
    fn request(&self, source: RecordingSource, step: RecordingStep) -> Option<RecordingRequest> {
        let app = self.app()?;
        let receiver = step.status.map(|status| Box::new(receiver_of(&app, status)));
        let channels = if step.dual { Channels::Dual } else { Channels::Mono };
        let tracks = match step.track {
            Tracks::Inbound => TrackSet::Inbound,
            Tracks::Outbound => TrackSet::Outbound,
            Tracks::Both => TrackSet::Both,
        };
        Some(RecordingRequest { tracks, trim: step.trim, receiver, ..RecordingRequest::new(source, channels) })
    }
}

fn receiver_of(app: &App, (url, method, states): (String, Method, ReportedStates)) -> RecordingReceiver {
    let ReportedStates { in_progress, completed, absent } = states;
    RecordingReceiver {
        app: app.name.to_string(),
        url,
        method: parameters::method(method),
        events: RecordingEvents { in_progress, completed, absent },
        allow_private: app.allow_private,
    }
}
