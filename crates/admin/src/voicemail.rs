//! `/v1/voicemail`: numbers of new and heard messages in mailboxes.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ApiError;
use super::asked::bad_query;
use super::recordings::{on_disk, unreadable};
use trunkgate_delivery::sinks::recordings::MailboxCounts;
use trunkgate_runtime::handle::EdgeHandle;

/// Query that selects messages to be marked as heard.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageSelection {
    /// SID of a message; default: all messages of the mailbox.
    sid: Option<String>,
}

fn shown(messages: &MailboxCounts) -> Value {
    json!({ "name": messages.mailbox, "new": messages.new, "heard": messages.heard })
}

/// Counts the messages in each mailbox that is configured or contains messages.
async fn counted(handle: &EdgeHandle) -> Result<Vec<MailboxCounts>, ApiError> {
    let counted = on_disk(handle, |recordings| recordings.messages()).await?;
    let mut counted = counted.map_err(|error| unreadable(&error))?;
    let configured: Vec<String> = handle
        .shared
        .running(|running| running.config.mailboxes.iter().map(|mailbox| mailbox.name.to_string()).collect());
    for mailbox in configured {
        if !counted.iter().any(|known| known.mailbox == mailbox) {
            counted.push(MailboxCounts { mailbox, new: 0, heard: 0, bytes: 0 });
        }
    }
    counted.sort_by(|one, other| one.mailbox.cmp(&other.mailbox));
    Ok(counted)
}

/// Lists mailboxes with their numbers of messages.
pub(super) async fn list(State(handle): State<EdgeHandle>) -> Result<Json<Value>, ApiError> {
    let all: Vec<Value> = counted(&handle).await?.iter().map(shown).collect();
    Ok(Json(json!({ "mailboxes": all })))
}

/// Marks messages of a mailbox as heard, and returns the new numbers of messages.
pub(super) async fn heard(
    State(handle): State<EdgeHandle>,
    Path(name): Path<String>,
    which: Result<Query<MessageSelection>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(MessageSelection { sid }) = which.map_err(|error| bad_query(&error))?;
    if !counted(&handle).await?.iter().any(|known| known.mailbox == name) {
        let message = format!("unknown mailbox {name:?}");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_mailbox", message));
    }
    let (mailbox, wanted) = (name.clone(), sid.clone());
    let noted = on_disk(&handle, move |recordings| recordings.heard(&mailbox, wanted.as_deref())).await?;
    if let (0, Some(sid)) = (noted.map_err(|error| unreadable(&error))?, sid) {
        let message = format!("the mailbox {name:?} has no message {sid:?}");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown_recording", message));
    }
    let all = counted(&handle).await?;
    let left = all.iter().find(|known| known.mailbox == name).map_or(Value::Null, shown);
    Ok(Json(left))
}
