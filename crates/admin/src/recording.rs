//! `POST /v1/calls/{sid}/recording`: starts, pauses, resumes or stops a recording of a live call.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use trunkgate_call::view::RecordingView;
use trunkgate_call::{Channels, RecordingChange, RecordingControl, RecordingRequest, RecordingSource, RecordingStart};
use trunkgate_media::RecordingPause;

use super::ApiError;
use super::asked::{RequestBody, read};
use super::calls::Sid;
use super::forks::tracks;
use trunkgate_runtime::handle::EdgeHandle;

/// Expected form of the body, which errors quote.
const SHAPE: &str = r#"{"action":"start","channels":"dual","tracks":["inbound","outbound"]} or {"action":"pause","pause":"silence"}, {"action":"resume"}, {"action":"stop"}; optional: "recording":"RE…""#;

/// Body of a request that starts or changes a recording.
#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
enum RecordingBody {
    Start {
        #[serde(default)]
        channels: ChannelLayout,
        tracks: Option<Vec<String>>,
    },
    Pause {
        recording: Option<String>,
        #[serde(default = "silence")]
        pause: RecordingPause,
    },
    Resume {
        recording: Option<String>,
    },
    Stop {
        recording: Option<String>,
    },
}

/// Channels of a recording's file: mixed, or one for each side.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ChannelLayout {
    Mono,
    #[default]
    Dual,
}

const fn silence() -> RecordingPause {
    RecordingPause::Silence
}

/// Starts a recording (responds with 201), or pauses, resumes or stops one (200).
pub(super) async fn change(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
    body: RequestBody,
) -> Result<(StatusCode, Json<RecordingView>), ApiError> {
    let (recording, change) = match read(body, SHAPE)? {
        RecordingBody::Start { channels, tracks: wanted } => {
            let channels = match channels {
                ChannelLayout::Mono => Channels::Mono,
                ChannelLayout::Dual => Channels::Dual,
            };
            let tracks = tracks(wanted)?;
            let request = RecordingRequest { tracks, ..RecordingRequest::new(RecordingSource::Request, channels) };
            let begun = handle.change(RecordingStart { sid, request }).await??;
            return Ok((StatusCode::CREATED, Json(begun.view)));
        }
        RecordingBody::Pause { recording, pause } => (recording, RecordingChange::Pause(pause)),
        RecordingBody::Resume { recording } => (recording, RecordingChange::Resume),
        RecordingBody::Stop { recording } => (recording, RecordingChange::Stop),
    };
    Ok((StatusCode::OK, Json(handle.change(RecordingControl { sid, recording, change }).await??)))
}
