//! Changes of the listeners of a call: forks, streams, live transcriptions, recordings.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::recordings::RecordingRequest;
use trunkgate_route::App;
use trunkgate_story::view::{ForkView, RecordingView, SiprecView};
use trunkgate_twiml::{StreamStep, TranscriptStep};

use crate::call::media::local::ForkRequest;
use crate::call::recorders::recording::{BegunRecording, RecordingChange};
use crate::call::recorders::siprec::SiprecChange;
use crate::call::words::refused::RequestRefusal;
use crate::gateway::Gateway;
use crate::gateway::control::GatewayControl;

/// A change of the forks of an answered call; the answer is the changed fork.
#[derive(Debug, Clone)]
pub struct ForkControl {
    /// SID of the call.
    pub sid: String,
    /// Change to make.
    pub action: ForkAction,
}

/// Kinds of changes of a fork.
#[derive(Debug, Clone)]
pub enum ForkAction {
    /// Adds a listener.
    Begin(ForkRequest),
    /// Ends a listener.
    End {
        /// SID of the listener's leg.
        id: String,
    },
}

impl GatewayControl for ForkControl {
    type Answer = Result<ForkView, RequestRefusal>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Result<ForkView, RequestRefusal> {
        gateway.ask(now, &self.sid, |parts, cx| match self.action {
            ForkAction::Begin(request) => parts.bridge.media.begin_fork(cx, &request),
            ForkAction::End { id } => parts.bridge.media.end_fork(cx, &id),
        })
    }
}

/// A change of an application's listeners in an answered call: streams, or live transcriptions.
#[derive(Debug, Clone)]
pub struct ListenerControl<T> {
    /// SID of the call.
    pub sid: String,
    /// Change to make.
    pub action: ListenerAction<T>,
}

/// Kinds of changes of a listener with a name.
#[derive(Debug, Clone)]
pub enum ListenerAction<T> {
    /// Starts a listener. Refused if a live listener has the same name.
    Start {
        /// Application with the settings of the listener.
        app: Arc<App>,
        /// Listener to start.
        step: T,
    },
    /// Ends a listener.
    Stop {
        /// Name or SID of the listener.
        name: String,
    },
}

/// Starts or ends a stream, and returns its SID.
impl GatewayControl for ListenerControl<StreamStep> {
    type Answer = Result<String, RequestRefusal>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Result<String, RequestRefusal> {
        gateway.ask(now, &self.sid, |parts, cx| match self.action {
            ListenerAction::Start { app, step } => {
                parts.program.streams_mut().start_named(cx, &mut parts.bridge.media, &app, &step)
            }
            ListenerAction::Stop { name } => parts.program.streams_mut().stop(cx, &mut parts.bridge.media, &name),
        })
    }
}

/// Starts or ends a live transcription, and returns its SID and name.
impl GatewayControl for ListenerControl<TranscriptStep> {
    type Answer = Result<(String, Option<String>), RequestRefusal>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Self::Answer {
        gateway.ask(now, &self.sid, |parts, cx| match self.action {
            ListenerAction::Start { app, step } => {
                let (name, media) = (step.name.clone(), &mut parts.bridge.media);
                parts.program.transcripts_mut().start_asked(cx, media, &app, step).map(|sid| (sid, name))
            }
            ListenerAction::Stop { name } => parts.program.transcripts_mut().stop_asked(cx, &name),
        })
    }
}

/// Start of a recording of an answered call.
#[derive(Debug, Clone)]
pub struct RecordingStart {
    /// SID of the call.
    pub sid: String,
    /// Settings of the recording.
    pub request: RecordingRequest,
}

impl GatewayControl for RecordingStart {
    type Answer = Result<BegunRecording, RequestRefusal>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Result<BegunRecording, RequestRefusal> {
        gateway.ask(now, &self.sid, |parts, cx| {
            parts.recorders.recordings.begin(cx, &mut parts.bridge.media, self.request, None)
        })
    }
}

/// A change of a recording; the answer is the changed recording.
#[derive(Debug, Clone)]
pub struct RecordingControl {
    /// SID of the call.
    pub sid: String,
    /// SID of the recording; `None`: the newest running one.
    pub recording: Option<String>,
    /// Change to make.
    pub change: RecordingChange,
}

impl GatewayControl for RecordingControl {
    type Answer = Result<RecordingView, RequestRefusal>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Result<RecordingView, RequestRefusal> {
        gateway.ask(now, &self.sid, |parts, cx| {
            parts.recorders.recordings.change(cx, self.recording.as_deref(), self.change)
        })
    }
}

/// A change of a call's recording by a group of recording servers (`[siprec.NAME]`); the answer is the changed
/// recording.
#[derive(Debug, Clone)]
pub struct SiprecControl {
    /// SID of the call.
    pub sid: String,
    /// Name of the group.
    pub name: String,
    /// Change to make.
    pub change: SiprecChange,
}

impl GatewayControl for SiprecControl {
    type Answer = Result<SiprecView, RequestRefusal>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Result<SiprecView, RequestRefusal> {
        gateway.ask(now, &self.sid, |parts, cx| {
            parts.recorders.siprec.change(cx, &mut parts.bridge.media, &self.name, self.change)
        })
    }
}
