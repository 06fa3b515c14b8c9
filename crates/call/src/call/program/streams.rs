//! Streams opened by programs of a call, and the requests that report them (`statusCallback` of Stream). A listening
//! stream outlives its program: the application may fail and another target get the call.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkgate_media::agent::TrackSet;
use trunkgate_resources::applications::question::{AppCallback, AppPlace, DocumentRequest};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{Agent, App, ParameterTemplate, UrlOrigin};
use trunkgate_story::wall::rfc3339;
use trunkgate_twiml::{HttpMethod, StreamStep, TrackSelection};

use crate::call::legs::agent_leg::AgentRole;
use crate::call::legs::leg::LegState;
use crate::call::legs::list::Legs;
use crate::call::media::CallMedia;
use crate::call::program::app_snapshot::AppSnapshot;
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
    /// Index among the listeners of a restored call, which are not connected yet.
    listener: Option<usize>,
}

/// Listening stream of an application in plain data. A connected stream begins again with its step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AppStreamSnapshot {
    app: AppSnapshot,
    name: Option<String>,
    receiver: Option<(String, HttpMethod)>,
    /// Index among the active listeners of the call.
    listener: usize,
}

impl AppStreamSnapshot {
    /// Restores the stream; `None` if the configuration no longer contains its application.
    fn restore(self, edge: &Edge) -> Option<AppStream> {
        let AppStreamSnapshot { app, name, receiver, listener } = self;
        let (app, listener) = (app.restore(edge)?, Some(listener));
        Some(AppStream { app, name, leg: None, id: None, receiver, is_open: false, is_over: false, listener })
    }
}

impl AppStreams {
    /// Returns the listening streams in plain data.
    pub(crate) fn snapshot(&self, legs: &Legs) -> Vec<AppStreamSnapshot> {
        self.list.iter().filter_map(|stream| stream.snapshot(legs)).collect()
    }

    /// Restores the streams of a call; [`Self::resume`] must follow.
    pub(crate) fn restore(edge: &Edge, snapshots: Vec<AppStreamSnapshot>) -> AppStreams {
        AppStreams { list: snapshots.into_iter().filter_map(|stream| stream.restore(edge)).collect() }
    }

    /// Returns whether there is no stream.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns a listener of a restored call with the settings of the application that has opened it, if one has.
    pub(crate) fn with_app_settings(&self, listener: usize, agent: Arc<Agent>) -> Arc<Agent> {
        match self.list.iter().find(|stream| stream.listener == Some(listener)) {
            Some(stream) => Arc::new(with_settings(&stream.app, Arc::unwrap_or_clone(agent))),
            None => agent,
        }
    }

    /// Finds the streams of a restored call among its listeners. Each listener has a leg unless it could not be
    /// connected again.
    pub(crate) fn resume(&mut self, listeners: &[Option<LegId>]) {
        for stream in &mut self.list {
            stream.leg = stream.listener.take().and_then(|at| *listeners.get(at)?);
        }
        self.list.retain(|stream| stream.leg.is_some());
    }

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
        let is_live = |leg: &LegId| call.legs[*leg].is_active_listener();
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
            listener: None,
        }
    }

    /// Returns the stream in plain data; `None` if it is over or connected.
    fn snapshot(&self, legs: &Legs) -> Option<AppStreamSnapshot> {
        let AppStream { app, name, leg, id: _, receiver, is_open: _, is_over, listener: _ } = self;
        let leg = leg.filter(|_| !is_over)?;
        let listener = legs.active_listeners().position(|listener| listener == leg)?;
        Some(AppStreamSnapshot { app: AppSnapshot::of(app), name: name.clone(), receiver: receiver.clone(), listener })
    }

    /// Updates the stream from its leg, and returns the events to report. `ends`: the call is over.
    fn follow(&mut self, cx: &CallCx<'_>, ends: bool) -> Vec<&'static str> {
        let Some(leg) = self.leg.filter(|_| !self.is_over) else { return Vec::new() };
        let (state, agent) = (cx.call.legs[leg].state, cx.call.legs[leg].agent.as_ref());
        let is_gone = matches!(state, LegState::Canceling | LegState::Closing | LegState::Ended);
        let mut events = Vec::new();
        if !self.is_open && agent.is_some_and(|side| side.opened.is_some()) {
            self.is_open = true;
            // The former process has reported the start of a stream that continues.
            events.extend(agent.is_some_and(|side| !side.is_continued).then_some("stream-started"));
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
    with_settings(app, Agent { parameters: parameters.collect(), ..Agent::at("", &stream.url) })
}

/// Returns an agent with the settings of the application that connects it.
fn with_settings(app: &App, agent: Agent) -> Agent {
    let origin = UrlOrigin::Application { allow_private: app.allow_private };
    Agent { origin, auth_token: app.auth_token.clone(), ..agent }
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
