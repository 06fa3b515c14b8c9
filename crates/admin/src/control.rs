//! Requests that change a call: transfer, hold, playback, DTMF (hang-up is in `calls.rs`). A request that the edge
//! cannot carry out is refused with the reason.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use trunkgate_call::twiml::SensitiveText;
use trunkgate_call::{CallAction, CallParty, RequestRefusal, TransferMode};
use trunkgate_media::agent::WarmTransfer;

use super::ApiError;
use super::asked::{RequestBody, read, unknown};
use super::calls::{Sid, find};
use trunkgate_audio::{self as audio, AudioLimits, Use};
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::below::below;
use trunkgate_system::limits::{APP_DECODED_AT_ONCE, AUDIO_FILE_BYTES, PLAY_SECONDS};

/// Limit for the number of sound files that are decoded at the same time.
static DECODING: Semaphore = Semaphore::const_new(APP_DECODED_AT_ONCE);

/// One party of a call, to whom a request applies.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SingleParty {
    #[default]
    Caller,
    Callee,
}

impl SingleParty {
    const fn party(self) -> CallParty {
        match self {
            SingleParty::Caller => CallParty::Caller,
            SingleParty::Callee => CallParty::Callee,
        }
    }
}

/// Parties of a call: one or both.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PartySelection {
    Caller,
    Callee,
    Both,
}

impl PartySelection {
    const fn list(self) -> &'static [CallParty] {
        match self {
            PartySelection::Caller => &[CallParty::Caller],
            PartySelection::Callee => &[CallParty::Callee],
            PartySelection::Both => &CallParty::ALL,
        }
    }
}

/// JSON body of a request to transfer a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TransferBody {
    target: String,
    /// Whether the agent stays in the call until the target answers.
    #[serde(default)]
    consult: bool,
    /// Settings of a warm transfer: the target is asked first, while the caller hears music.
    warm: Option<Box<WarmTransfer>>,
    #[serde(default)]
    party: SingleParty,
}

/// Body of a request to send DTMF digits to a party.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DtmfBody {
    digits: String,
    #[serde(default)]
    party: SingleParty,
}

/// Body of a request to hold or resume parties.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldBody {
    party: Option<PartySelection>,
}

/// Body of a request to play a sound to parties.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaybackBody {
    file: String,
    party: Option<PartySelection>,
}

/// Transfers a call: responds with 202 while the target is being called. The agent leaves the call at once, with
/// `consult` when the target answers, with `warm` when it accepts.
pub(super) async fn transfer(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
    body: RequestBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let shape = r#"{"target":"trunk:NAME/+14155550123"}; optional: "consult":true or "warm":{…}, "party":"callee""#;
    let TransferBody { target, consult, warm, party } = read(body, shape)?;
    let answer = json!({ "sid": sid, "target": target, "consult": consult, "warm": warm.is_some() });
    let mode = match (warm, consult) {
        (Some(warm), _) => TransferMode::Warm(warm),
        (None, true) => TransferMode::Consult,
        (None, false) => TransferMode::AtOnce,
    };
    let action = CallAction::Transfer { party: party.party(), target: target.clone(), mode };
    let done = handle.change_call(sid, action).await?;
    match done {
        Ok(()) => Ok((StatusCode::ACCEPTED, Json(answer))),
        Err(refused @ RequestRefusal::UnknownTarget) => {
            let table = handle.table();
            let trunks = table.trunks().iter().map(|trunk| format!("trunk:{}", trunk.name));
            let agents = table.agents().iter().filter(|agent| !agent.is_raw() && !agent.name.is_empty());
            Err(unknown(refused, &target, trunks.chain(agents.map(|agent| format!("agent:{}", agent.name)))))
        }
        Err(refused) => Err(refused.into()),
    }
}

/// Sends DTMF digits: responds with 202 when they are queued.
pub(super) async fn dtmf(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
    body: RequestBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let DtmfBody { digits, party } = read(body, r#"{"digits":"123#"}; optional: "party":"callee""#)?;
    let answer = json!({ "sid": sid, "keys": digits.chars().count() });
    handle
        .change_call(sid, CallAction::SendDigits { party: party.party(), digits: SensitiveText::new(digits) })
        .await??;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Puts parties on hold: responds with 200 when they hear music.
pub(super) async fn hold(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
    body: RequestBody,
) -> Result<Json<Value>, ApiError> {
    let parties = read_parties(body)?.unwrap_or(PartySelection::Caller).list();
    let answer = json!({ "sid": sid, "parties": names(parties) });
    handle.change_call(sid, CallAction::Hold(parties.to_vec())).await??;
    Ok(Json(answer))
}

/// Resumes parties: responds with 200 when they hear each other again.
pub(super) async fn resume(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
    body: RequestBody,
) -> Result<Json<Value>, ApiError> {
    let parties = read_parties(body)?.unwrap_or(PartySelection::Both).list();
    let answer = json!({ "sid": sid, "parties": names(parties) });
    handle.change_call(sid, CallAction::Resume(parties.to_vec())).await??;
    Ok(Json(answer))
}

/// Plays a sound to parties: responds with 202 when playback begins.
pub(super) async fn play(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
    body: RequestBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let shape = r#"{"file":"sounds/closed.wav"}; optional: "party":"callee" or "both""#;
    let PlaybackBody { file, party } = read(body, shape)?;
    find(&handle, &sid).await?;
    let sound = decoded(&handle, &file).await?;
    let parties = party.unwrap_or(PartySelection::Caller).list();
    let answer = json!({ "sid": sid, "file": file, "parties": names(parties), "ms": sound.len() / 8 });
    let action = CallAction::Play { parties: parties.to_vec(), name: file, samples: sound };
    handle.change_call(sid, action).await??;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Decodes a sound file below the folder of the configuration to μ-law at 8 kHz; it must be short enough to play.
async fn decoded(handle: &EdgeHandle, file: &str) -> Result<Arc<[u8]>, ApiError> {
    let bad = |what: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_file", what);
    let path = handle.shared.running(|running| running.config.path.clone());
    let folder = path.parent().map_or_else(PathBuf::new, PathBuf::from);
    let name = file.to_owned();
    let _place = DECODING.acquire().await.map_err(|error| bad(error.to_string()))?;
    let decode = move || {
        let path = below(&folder, &name).map_err(|error| format!("{name}: {error}"))?;
        let bytes = audio::read(&path, AUDIO_FILE_BYTES).map_err(|what| format!("{name}: {what}"))?;
        let most = AudioLimits { bytes: AUDIO_FILE_BYTES, seconds: PLAY_SECONDS };
        audio::mulaw_of(&bytes, None, most, Use::Once).map_err(|what| format!("{name}: {what}"))
    };
    let decoded = spawn_blocking(decode).await.map_err(|error| bad(error.to_string()))?;
    decoded.map_err(bad)
}

/// Parses the parties in an optional body; `None` without a body.
fn read_parties(body: RequestBody) -> Result<Option<PartySelection>, ApiError> {
    if matches!(&body, Ok(bytes) if bytes.trim_ascii().is_empty()) {
        return Ok(None);
    }
    let HoldBody { party } = read(body, r#"{"party":"caller"}, "callee" or "both""#)?;
    Ok(party)
}

fn names(parties: &[CallParty]) -> Vec<&'static str> {
    parties.iter().map(|party| party.name()).collect()
}
