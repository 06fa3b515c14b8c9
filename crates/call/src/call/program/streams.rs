//! Streams opened by programs of a call, and the requests that report them (`statusCallback` of Stream). A listening
//! stream outlives its program: the application may fail and another target get the call.

use std::sync::Arc;

use trunkgate_media::agent::TrackSet;
use trunkgate_resources::applications::question::{AppCallback, AppPlace, DocumentRequest};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{Agent, App, ParameterTemplate, UrlOrigin};
use trunkgate_story::wall::rfc3339;
use trunkgate_twiml::{HttpMethod, StreamStep, TrackSelection};

use crate::call::legs::agent_leg::AgentRole;
use crate::call::legs::leg::LegState;
use crate::call::media::CallMedia;
use crate::call::shared::{CallCx, SharedCallState};
use crate::call::words::refused::RequestRefusal;
use crate::call::words::webhooks;

/// The live streams of a call's applications, including applications that no longer control the call.
#[derive(Debug, Default)]
pub(crate) struct AppStreams {
    list: Vec<AppStream>,
}

/// A stream of an application.
#[derive(Debug, Clone)]
struct AppStream {
    /// Application that opened the stream.
    app: Arc<App>,
    /// Name by which the stream can be stopped.
    name: Option<String>,
    /// Leg of the stream; `None` for a connected stream before its socket is requested.
    leg: Option<LegId>,
    /// Id of the step that waits for the stream; `None` for a listening stream.
    id: Option<u32>,
    receiver: Option<(String, HttpMethod)>,
    is_open: bool,
    is_over: bool,
}

impl AppStreams {
    /// Opens a stream that listens to the caller's side, with the settings of an application. Returns its leg.
    ///
    /// # Errors
    /// The edge cannot decode the codec of the call, or the maximum number of listeners is reached.
    pub(crate) fn start(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        app: &Arc<App>,
        stream: &StreamStep,
    ) -> Result<LegId, RequestRefusal> {
        let tracks = match stream.tracks {
            TrackSelection::Inbound => TrackSet::Inbound,
            TrackSelection::Outbound => TrackSet::Outbound,
            TrackSelection::Both => TrackSet::Both,
        };
        if media.speaks_other_audio(cx.call) {
            return Err(RequestRefusal::OtherAudio);
        }
        let part = AgentRole::Listen { tracks, parameters: stream.parameters.clone() };
        let leg = cx.add_agent(&Arc::new(agent_of(app, stream)), part).ok_or(RequestRefusal::TooManyForks)?;
        self.list.push(AppStream { leg: Some(leg), id: None, ..AppStream::connected(app, stream) });
        media.tap_caller(cx);
        Ok(leg)
    }

    /// Opens a stream for a request, under a name that no other live stream has. Returns its SID.
    ///
    /// # Errors
    /// Another stream has this name, or no stream could be opened.
    pub(crate) fn start_named(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        app: &Arc<App>,
        stream: &StreamStep,
    ) -> Result<String, RequestRefusal> {
        if stream.name.as_deref().is_some_and(|name| self.live(cx.call, name).is_some()) {
            return Err(RequestRefusal::StreamNameTaken);
        }
        self.start(cx, media, app, stream).map(|leg| stream_sid(cx.call, leg))
    }

    /// Ends a listening stream by its name or SID. Returns its SID.
    ///
    /// # Errors
    /// No live stream has this name or SID.
    pub(crate) fn stop(
        &self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        name: &str,
    ) -> Result<String, RequestRefusal> {
        let leg = self.live(cx.call, name).ok_or(RequestRefusal::UnknownFork)?;
        let sid = cx.call.legs[leg].sid.clone();
        media.end_fork(cx, &sid)?;
        Ok(stream_sid(cx.call, leg))
    }

    /// Adds a stream that gets the caller once it is open.
    pub(crate) fn add_connected(&mut self, app: &Arc<App>, step: &StreamStep) {
        self.list.push(AppStream::connected(app, step));
    }

    /// Returns the legs of the streams with a name.
    fn named(&self, name: &str) -> impl Iterator<Item = LegId> {
        self.list.iter().filter(move |stream| stream.name.as_deref() == Some(name)).filter_map(|stream| stream.leg)
    }

    /// Returns the leg of a live stream by its name or SID. `None` if it is unknown or has ended.
    fn live(&self, call: &SharedCallState, name: &str) -> Option<LegId> {
        let is_live = |leg: &LegId| call.legs[*leg].state != LegState::Ended && call.legs[*leg].listens();
        let has_sid = |leg: &LegId| call.legs[*leg].agent.as_ref().is_some_and(|side| side.stream_sid == name);
        let by_sid = self.list.iter().filter_map(|stream| stream.leg).find(has_sid);
        by_sid.into_iter().chain(self.named(name)).find(is_live)
    }

    /// Drops the streams without a leg when a program ends: another program's step may reuse their id.
    pub(crate) fn program_over(&mut self) {
        self.list.retain(|stream| stream.leg.is_some());
    }

    /// Reports the new events of all streams. `connecting` is the step and leg of a stream being connected, `ends` is
    /// true if the call is over.
    pub(crate) fn report(&mut self, cx: &mut CallCx<'_>, connecting: Option<(u32, LegId)>, ends: bool) {
        for stream in &mut self.list {
            if let Some((id, leg)) = connecting
                && stream.id == Some(id)
            {
                stream.leg = Some(leg);
            }
            for event in stream.follow(cx, ends) {
                report(cx, stream, event);
            }
        }
        self.list.retain(|stream| !stream.is_over);
    }
}

impl AppStream {
    fn connected(app: &Arc<App>, step: &StreamStep) -> AppStream {
        AppStream {
            app: app.clone(),
            name: step.name.clone(),
            leg: None,
            id: Some(step.id),
            receiver: step.status.clone(),
            is_open: false,
            is_over: false,
        }
    }

    /// Updates the stream from its leg, and returns the events to report. `ends`: the call is over.
    fn follow(&mut self, cx: &CallCx<'_>, ends: bool) -> Vec<&'static str> {
        let Some(leg) = self.leg.filter(|_| !self.is_over) else { return Vec::new() };
        let (state, agent) = (cx.call.legs[leg].state, cx.call.legs[leg].agent.as_ref());
        let is_gone = matches!(state, LegState::Canceling | LegState::Closing | LegState::Ended);
        let mut events = Vec::new();
        if !self.is_open && agent.is_some_and(|side| side.opened.is_some()) {
            self.is_open = true;
            events.push("stream-started");
        }
        if is_gone || ends {
            self.is_over = true;
            let has_failed = agent.is_some_and(|side| side.has_failed);
            let event = if has_failed { "stream-error" } else { "stream-stopped" };
            events.extend((self.is_open || has_failed).then_some(event));
        }
        events
    }
}

/// Returns the agent that represents a stream of an application.
pub(crate) fn agent_of(app: &App, stream: &StreamStep) -> Agent {
    let parameters = stream.parameters.iter().map(|(name, value)| (name.clone(), ParameterTemplate::literal(value)));
    Agent {
        parameters: parameters.collect(),
        origin: UrlOrigin::Application { allow_private: app.allow_private },
        auth_token: app.auth_token.clone(),
        ..Agent::at("", &stream.url)
    }
}

/// Returns the SID of a stream, as used in requests.
fn stream_sid(call: &SharedCallState, leg: LegId) -> String {
    call.legs[leg].agent.as_ref().map(|side| side.stream_sid.clone()).unwrap_or_default()
}

/// Reports one event of a stream to its application.
fn report(cx: &mut CallCx<'_>, stream: &AppStream, event: &'static str) {
    let (Some((url, method)), Some(leg)) = (&stream.receiver, stream.leg) else { return };
    let sid = stream_sid(cx.call, leg);
    let mut named = vec![
        ("AccountSid", cx.edge.config().account_sid.clone()),
        ("CallSid", cx.call.legs.sid().to_owned()),
        ("StreamSid", sid.clone()),
        ("StreamName", stream.name.clone().unwrap_or_else(|| sid.clone())),
        ("StreamEvent", event.to_owned()),
        ("Timestamp", rfc3339(cx.edge.date(cx.now))),
    ];
    if event == "stream-error" {
        let side = &cx.call.legs[leg];
        let problem = side.agent.as_ref().and_then(|agent| agent.problem.as_deref());
        let why = problem.or(side.end.map(|end| end.reason.sentence()));
        named.extend(why.map(|why| ("StreamError", why.to_owned())));
    }
    let parameters = named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let place = AppPlace::Url(url.clone());
    let request = DocumentRequest { place, method: webhooks::method(*method), purpose: "stream", parameters };
    let (app, allow_private) = (stream.app.name.clone(), stream.app.allow_private);
    let call = cx.call.legs.sid().to_owned();
    cx.edge.call_back(AppCallback { call, about: sid, app, allow_private, request });
}
