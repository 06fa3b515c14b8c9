//! Callbacks as rows of the outbox.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use trunkgate_call::{AppCallback, AppPlace};

use super::NAME;
use crate::sinks::outbox::{Head, Row, table};
use crate::webhooks::host_of;
use crate::webhooks::request::{RequestMethod, idempotency_token};
use trunkgate_route::WebhookMethod;

/// Callback as stored, with all data of its request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCallback {
    /// Idempotency token, equal in every attempt.
    #[serde(skip)]
    pub token: String,
    /// Time of creation in microseconds since 1970; callbacks about the same resource are sent in this order.
    #[serde(skip)]
    pub created: i64,
    /// SID of the call with the trace that shows the callback; empty if there is none.
    pub call: String,
    /// SID of the resource that the callback describes.
    pub about: String,
    /// Name of the application, or other receiver, whose callbacks share one part of the queue.
    pub app: String,
    /// True if the receiver may be at a private address.
    pub allow_private: bool,
    /// URL to which the callback is sent.
    pub url: String,
    /// HTTP method of the callback.
    pub method: RequestMethod,
    /// Purpose of the callback, as named in traces.
    pub purpose: String,
    /// Parameters in the order in which they are sent.
    pub parameters: Vec<(String, String)>,
}

/// Omits URL and parameters, which contain secrets and numbers.
impl std::fmt::Debug for StoredCallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredCallback").field("call", &self.call).field("about", &self.about).finish_non_exhaustive()
    }
}

impl StoredCallback {
    /// Creates the callback for a request. Returns `None` if the request is for a file instead of a URL, which does not
    /// occur for callbacks.
    pub(super) fn of(asked: AppCallback, created: i64) -> Option<StoredCallback> {
        let AppCallback { call, about, app, allow_private, request } = asked;
        let AppPlace::Url(url) = request.place else { return None };
        Some(StoredCallback {
            token: idempotency_token(),
            created,
            call,
            about,
            app: app.to_string(),
            allow_private,
            url,
            method: match request.method {
                WebhookMethod::Post => RequestMethod::Post,
                WebhookMethod::Get => RequestMethod::Get,
            },
            purpose: request.purpose.to_owned(),
            parameters: request.parameters,
        })
    }

    /// Returns the callback as a row of the outbox. Callbacks about one resource to one URL share a line, so they keep
    /// their order.
    pub(super) fn row(&self) -> serde_json::Result<Row> {
        let body = serde_json::to_string(self)?;
        let StoredCallback { token, created, about, app, url, .. } = self;
        let head = Head {
            key: token.clone(),
            line: format!("{about} {url}"),
            host: host_of(url),
            place: url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            share: app.clone(),
            created: *created,
            due: 0,
            attempts: 0,
            bytes: token.len() + body.len(),
        };
        Ok(Row { head, body })
    }

    /// Parses the callback of a row.
    pub(super) fn of_row(row: &Row) -> serde_json::Result<StoredCallback> {
        let callback: StoredCallback = serde_json::from_str(&row.body)?;
        Ok(StoredCallback { token: row.head.key.clone(), created: row.head.created, ..callback })
    }
}

/// Writes a callback within a transaction of the caller, who must notify the sender after the commit.
pub fn write(store: &Connection, callback: &StoredCallback) -> rusqlite::Result<Head> {
    let row = callback.row().map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    table::add(store, NAME, std::slice::from_ref(&row))?;
    Ok(row.head)
}
