//! Recordings requested by a program: of its caller's speech (Record), of a Dial, and of the call from a Start on.

use std::sync::{Arc, LazyLock};

use trunkgate_media::Channels;
use trunkgate_media::agent::TrackSet;
use trunkgate_resources::recordings::{
    AfterRecording, RecordingEvents, RecordingReceiver, RecordingRequest, RecordingSource, TranscriptionRequest,
    VoicemailMessage,
};
use trunkgate_route::App;
use trunkgate_twiml::{
    DialRecordStep, FetchRequest, HttpMethod, ProgramInput, RecordStep, RecordingStep, ReportedStates,
    RequestParameter, TrackSelection, TranscriptionStep,
};

use crate::call::program::effects::LowerParts;
use crate::call::program::parameters;
use crate::call::recorders::recording::{CallRecordings, RecordWait};
use crate::call::shared::CallCx;
use crate::call::words::webhooks;

/// The tone before a Record: 1 kHz for half a second, μ-law.
static BEEP: LazyLock<Arc<[u8]>> = LazyLock::new(|| [TURN; 500].concat().into());
/// One period of the tone at 8 kHz.
const TURN: [u8; 8] = [0xbd, 0xa9, 0xa9, 0xbd, 0x3d, 0x29, 0x29, 0x3d];

/// Recording of a Dial.
#[derive(Debug, Clone)]
pub(crate) struct DialRecording {
    from_ringing: bool,
    /// Request of a recording that has not begun.
    request: Option<Box<RecordingRequest>>,
    /// SID of the recording once it has begun.
    pub(crate) sid: Option<String>,
}

impl DialRecording {
    /// Creates the recording of a Dial that has not begun.
    pub(crate) fn of(app: &App, step: DialRecordStep) -> DialRecording {
        let request = request(app, RecordingSource::DialVerb, step.recording);
        DialRecording { from_ringing: step.from_ringing, request: Some(Box::new(request)), sid: None }
    }

    /// Restores a recording that had begun, from its SID.
    pub(crate) fn begun(sid: String) -> DialRecording {
        DialRecording { from_ringing: false, request: None, sid: Some(sid) }
    }

    /// Begins the recording if it is due and has not begun: with the ringing if the Dial requests that, else once the
    /// parties are connected (`is_connected`).
    pub(crate) fn begin(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>, is_connected: bool) {
        if !is_connected && !self.from_ringing {
            return;
        }
        if let Some(request) = self.request.take() {
            let continued = lower.recorders.recordings.open_of_dial().map(str::to_owned);
            self.sid = continued.or_else(|| begin_unasked(cx, lower, *request));
        }
    }
}

/// Returns the tone before a Record.
pub(crate) fn beep() -> Arc<[u8]> {
    Arc::clone(&BEEP)
}

/// Records the caller's speech for the program of an application.
///
/// # Errors
/// The recording cannot begin: the input that reports this to the program.
pub(crate) fn record(
    app: &App,
    cx: &mut CallCx<'_>,
    lower: &mut LowerParts<'_>,
    step: RecordStep,
) -> Result<(), ProgramInput> {
    let RecordStep { id, silence, recording, transcription } = step;
    let mut request = request(app, RecordingSource::RecordVerb, recording);
    request.transcription = transcription.map(|step| Box::new(transcription_of(app, cx, step)));
    let request = message(app, cx, request);
    let failed = |why| ProgramInput::RecordFailed { id, text: format!("the caller is not recorded: {why}") };
    let (recordings, media) = (&mut lower.recorders.recordings, &mut lower.bridge.media);
    recordings.begin(cx, media, request, Some(RecordWait { id, silence })).map(drop).map_err(failed)
}

/// Stops the recording of a Record; the recorder reports its end later.
pub(crate) fn stop_record(cx: &mut CallCx<'_>, recordings: &mut CallRecordings, id: u32) {
    if let Some(sid) = recordings.of_verb(id).map(str::to_owned) {
        recordings.stop(cx, &sid);
    }
}

/// Records the call from now on.
pub(crate) fn start(app: &App, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>, step: RecordingStep) {
    begin_unasked(cx, lower, request(app, RecordingSource::StartVerb, step));
}

/// Begins a recording requested by a document. Returns its SID; `None` if it failed, which is logged.
fn begin_unasked(cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>, request: RecordingRequest) -> Option<String> {
    lower.recorders.recordings.begin_unasked(cx, &mut lower.bridge.media, request, "its document asks for")
}

/// Sends the last request of a Record once the audio of the recording is available; its caller has hung up.
pub(crate) fn notify_recorded(
    app: &Arc<App>,
    cx: &mut CallCx<'_>,
    recordings: &CallRecordings,
    id: u32,
    request: FetchRequest,
) {
    let Some(sid) = recordings.of_verb(id).map(str::to_owned) else { return };
    let url = cx.edge.sessions().recordings.links().map(|links| links.of(&sid)).unwrap_or_default();
    let named = [RequestParameter::new("RecordingUrl", url), RequestParameter::new("RecordingSid", sid.clone())];
    let parameters = named.into_iter().chain(request.parameters).collect();
    let request = FetchRequest { parameters, ..request };
    if let Some(mut request) = parameters::request(cx.call, cx.edge, None, request) {
        // The request is made when the call is over.
        parameters::complete(&mut request);
        cx.edge.sessions_mut().recordings.make_after(&sid, AfterRecording { app: Arc::clone(app), request });
    }
}

/// Returns the recording request of a conference.
pub(crate) fn of_conference(app: &App, step: RecordingStep) -> RecordingRequest {
    request(app, RecordingSource::Conference, step)
}

/// Turns a recording request into one for a message in the application's mailbox, if the application is a mailbox.
fn message(app: &App, cx: &CallCx<'_>, request: RecordingRequest) -> RecordingRequest {
    let Some(mailbox) = app.as_mailbox() else { return request };
    let (from, to) = (cx.call.facts.caller.shown(), cx.call.shown_called());
    let transcription = mailbox.transcribe.then(|| {
        // An e-mail address gets the transcribed text with the message.
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

/// Returns the transcription request of a Record.
fn transcription_of(app: &App, cx: &CallCx<'_>, step: TranscriptionStep) -> TranscriptionRequest {
    let (from, to) = (cx.call.facts.caller.shown(), cx.call.shown_called());
    let (app, allow_private) = (app.name.to_string(), app.allow_private);
    TranscriptionRequest { app, url: step.status, allow_private, from, to }
}

/// Returns the recording request of an application, with its receiver.
fn request(app: &App, source: RecordingSource, step: RecordingStep) -> RecordingRequest {
    let receiver = step.status.map(|status| Box::new(receiver_of(app, status)));
    let channels = if step.dual { Channels::Dual } else { Channels::Mono };
    let tracks = match step.track {
        TrackSelection::Inbound => TrackSet::Inbound,
        TrackSelection::Outbound => TrackSet::Outbound,
        TrackSelection::Both => TrackSet::Both,
    };
    RecordingRequest { tracks, trim: step.trim, receiver, ..RecordingRequest::new(source, channels) }
}

fn receiver_of(app: &App, (url, method, states): (String, HttpMethod, ReportedStates)) -> RecordingReceiver {
    let ReportedStates { in_progress, completed, absent } = states;
    RecordingReceiver {
        app: app.name.to_string(),
        url,
        method: webhooks::method(method),
        events: RecordingEvents { in_progress, completed, absent },
        allow_private: app.allow_private,
    }
}
