//! Speech recognisers: WebSockets that receive a track of the caller's side. They belong to no leg and send no audio.
//! The part of the call that starts a recogniser handles its events.

use trunkgate_media::agent::{RecognitionOptions, StreamSettings, TrackSet};
use trunkgate_media::{AgentSpec, EndId, MediaCommand, SocketSpec};
use trunkgate_resources::applications::recognition::{RecogniserSpec, RecognitionResult};
use trunkgate_route::UrlOrigin;
use trunkgate_story::redact;
use trunkgate_story::sentence::without_numbers;

use crate::call::legs::agents::shortened;
use crate::call::shared::CallCx;

/// Connects a recogniser for a track, and counts it. Returns its media end.
///
/// # Errors
/// No further recogniser session or media end is available: [`RecognitionResult::Limit`].
pub(crate) fn connect_recogniser(
    cx: &mut CallCx<'_>,
    spec: &RecogniserSpec,
    tracks: TrackSet,
    recognition: RecognitionOptions,
) -> Result<EndId, RecognitionResult> {
    if !cx.edge.apps_mut().recognition.take_session() {
        return Err(RecognitionResult::Limit);
    }
    let Some(end) = connect(cx, spec, tracks, recognition) else {
        cx.edge.apps_mut().recognition.release_session();
        return Err(RecognitionResult::Limit);
    };
    cx.edge.note_recognisers();
    Ok(end)
}

/// Disconnects a recogniser, and releases its session.
pub(crate) fn disconnect_recogniser(cx: &mut CallCx<'_>, end: EndId) {
    disconnect(cx, end);
    cx.edge.apps_mut().recognition.release_session();
    cx.edge.note_recognisers();
}

/// Replaces the connection of a recogniser. Returns its new media end, if there is room for one.
pub(crate) fn reconnect(
    cx: &mut CallCx<'_>,
    end: EndId,
    spec: &RecogniserSpec,
    tracks: TrackSet,
    recognition: RecognitionOptions,
) -> Option<EndId> {
    disconnect(cx, end);
    connect(cx, spec, tracks, recognition)
}

/// Sanitises a media worker's message about a recogniser for display.
pub(crate) fn shown(text: &str) -> String {
    without_numbers(&redact::addresses(shortened(text)))
}

fn disconnect(cx: &mut CallCx<'_>, end: EndId) {
    cx.call.listeners.remove(end);
    if let Some(media) = cx.call.session {
        cx.edge.remove_end(media, end);
    }
}

fn connect(
    cx: &mut CallCx<'_>,
    spec: &RecogniserSpec,
    tracks: TrackSet,
    recognition: RecognitionOptions,
) -> Option<EndId> {
    let media = cx.call.session?;
    let end = cx.edge.new_end(media)?;
    let settings = StreamSettings {
        account_sid: cx.edge.config().account_sid.clone(),
        call_sid: cx.call.legs.sid().to_owned(),
        tracks,
        talks: false,
        format: spec.format,
        connect_timeout: spec.connect_timeout,
        recognition: Some(Box::new(recognition)),
        ..StreamSettings::default()
    };
    let socket = SocketSpec {
        url: spec.url.clone(),
        origin: UrlOrigin::Configuration,
        auth_token: None,
        ca: spec.ca.clone(),
        plain_networks: cx.edge.addressing().local_networks.clone(),
        traceparent: None,
        bearer: spec.token.clone(),
        sends_query: true,
    };
    let (counters, queue) = Default::default();
    let agent = AgentSpec { settings, socket, counters, queue, turns: None, clear_fade: Default::default(), raw: None };
    cx.edge.media(media, MediaCommand::AddAgent { end, spec: agent.into() });
    cx.call.listeners.add(end, tracks);
    Some(end)
}
