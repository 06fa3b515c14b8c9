//! Requests that change a call: transfer, hold, playback, digits (its end: `calls.rs`). A request that the edge cannot carry out is refused
//! with the reason.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use trunkgate_call::twiml::Secret;
use trunkgate_call::{CallAction, CallParty, Refused, TransferMode};
use trunkgate_media::agent::WarmTransfer;

use super::ApiError;
use super::asked::{Body, read, unknown};
use super::calls::{Sid, find};
use trunkgate_audio::{self as audio, Most, Use};
use trunkgate_runtime::handle::Handle;
use trunkgate_system::below::below;
use trunkgate_system::limits::{APP_DECODED_AT_ONCE, AUDIO_FILE_BYTES, PLAY_SECONDS};

/// Sound files that are decoded for requests at once.
static DECODING: Semaphore = Semaphore::const_new(APP_DECODED_AT_ONCE);

/// One party of a call.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum One {
    #[default]
    Caller,
    Callee,
}

impl One {
    const fn party(self) -> CallParty {
        match self {
            One::Caller => CallParty::Caller,
            One::Callee => CallParty::Callee,
        }
    }
}

/// One party of a call, or both.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Parties {
    Caller,
    Callee,
    Both,
}

impl Parties {
    const fn list(self) -> &'static [CallParty] {
        match self {
            Parties::Caller => &[CallParty::Caller],
            Parties::Callee => &[CallParty::Callee],
            Parties::Both => &CallParty::ALL,
        }
    }
}

/// Where a caller is to go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    target: String,
    /// Whether the agent stays until a party answers there.
    #[serde(default)]
    consult: bool,
    /// Whether a party there is asked first; the caller hears music until it accepts.
    warm: Option<Box<WarmTransfer>>,
    #[serde(default)]
    party: One,
}

/// Keys to press towards a caller.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dtmf {
    digits: String,
    #[serde(default)]
    party: One,
}

/// Parties of a hold, or of its end.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    party: Option<Parties>,
}

/// A sound for parties.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Play {
    file: String,
    party: Option<Parties>,
}

/// 202: the target is being called; the agent has the caller no longer, or only until that answers.
pub(super) async fn transfer(
    State(handle): State<Handle>,
    Sid(sid): Sid,
    body: Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let shape =
        r#"{"target":"trunk:NAME/+14155550123"}, with "consult":true, "warm":{…} or "party":"callee" as wanted"#;
    let Transfer { target, consult, warm, party } = read(body, shape)?;
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
        Err(refused @ Refused::UnknownTarget) => {
            let table = handle.table();
            let trunks = table.trunks().iter().map(|trunk| format!("trunk:{}", trunk.name));
            let agents = table.agents().iter().filter(|agent| !agent.is_raw() && !agent.name.is_empty());
            Err(unknown(refused, &target, trunks.chain(agents.map(|agent| format!("agent:{}", agent.name)))))
        }
        Err(refused) => Err(refused.into()),
    }
}

/// 202: they leave one after the other.
pub(super) async fn dtmf(
    State(handle): State<Handle>,
    Sid(sid): Sid,
    body: Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let Dtmf { digits, party } = read(body, r#"{"digits":"123#"}, with "party":"callee" as wanted"#)?;
    let answer = json!({ "sid": sid, "keys": digits.chars().count() });
    handle.change_call(sid, CallAction::SendDigits { party: party.party(), digits: Secret::new(digits) }).await??;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// 200: the party hears music.
pub(super) async fn hold(State(handle): State<Handle>, Sid(sid): Sid, body: Body) -> Result<Json<Value>, ApiError> {
    let parties = read_parties(body)?.unwrap_or(Parties::Caller).list();
    let answer = json!({ "sid": sid, "parties": names(parties) });
    handle.change_call(sid, CallAction::Hold(parties.to_vec())).await??;
    Ok(Json(answer))
}

/// 200: the two hear each other again.
pub(super) async fn resume(State(handle): State<Handle>, Sid(sid): Sid, body: Body) -> Result<Json<Value>, ApiError> {
    let parties = read_parties(body)?.unwrap_or(Parties::Both).list();
    let answer = json!({ "sid": sid, "parties": names(parties) });
    handle.change_call(sid, CallAction::Resume(parties.to_vec())).await??;
    Ok(Json(answer))
}

/// 202: the party begins to hear the sound.
pub(super) async fn play(
    State(handle): State<Handle>,
    Sid(sid): Sid,
    body: Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let shape = r#"{"file":"sounds/closed.wav"}, with "party":"callee" or "both" as wanted"#;
    let Play { file, party } = read(body, shape)?;
    find(&handle, &sid).await?;
    let sound = decoded(&handle, &file).await?;
    let parties = party.unwrap_or(Parties::Caller).list();
    let answer = json!({ "sid": sid, "file": file, "parties": names(parties), "ms": sound.len() / 8 });
    let action = CallAction::Play { parties: parties.to_vec(), name: file, samples: sound };
    handle.change_call(sid, action).await??;
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// A sound file below the folder of the configuration, as μ-law at 8 kHz.
async fn decoded(handle: &Handle, file: &str) -> Result<Arc<[u8]>, ApiError> {
    let bad = |what: String| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_file", what);
    let path = handle.shared.running(|running| running.config.path.clone());
    let folder = path.parent().map_or_else(PathBuf::new, PathBuf::from);
    let name = file.to_owned();
    let _place = DECODING.acquire().await.map_err(|error| bad(error.to_string()))?;
    let decode = move || {
        let path = below(&folder, &name).map_err(|error| format!("{name}: {error}"))?;
        let bytes = audio::read(&path, AUDIO_FILE_BYTES).map_err(|what| format!("{name}: {what}"))?;
        let most = Most { bytes: AUDIO_FILE_BYTES, seconds: PLAY_SECONDS };
        audio::mulaw_of(&bytes, None, most, Use::Once).map_err(|what| format!("{name}: {what}"))
    };
    let decoded = spawn_blocking(decode).await.map_err(|error| bad(error.to_string()))?;
    decoded.map_err(bad)
}

/// The parties of a body that may be empty.
fn read_parties(body: Body) -> Result<Option<Parties>, ApiError> {
    if matches!(&body, Ok(bytes) if bytes.trim_ascii().is_empty()) {
        return Ok(None);
    }
    let Hold { party } = read(body, r#"{"party":"caller"}, "callee" or "both""#)?;
    Ok(party)
}

fn names(parties: &[CallParty]) -> Vec<&'static str> {
    parties.iter().map(|party| party.name()).collect()
}
