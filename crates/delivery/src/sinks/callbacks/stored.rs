//! Callbacks in the store.

use std::borrow::Borrow;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use trunkgate_call::{AppCallback, AppPlace};

use crate::webhooks::request::{Method, idempotency_token};
use trunkgate_route::WebhookMethod;
use trunkgate_system::limits::CALLBACKS_WAITING;

/// A callback, whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Callback {
    /// Idempotency token: the same in every attempt.
    pub token: String,
    /// Microseconds since 1970; those about the same resource are sent in this order.
    pub created: i64,
    /// Sid of the call whose trace shows it; empty: none does.
    pub call: String,
    /// Sid of the resource that it is about.
    pub about: String,
    /// Name of the application.
    pub app: String,
    /// Whether its URL may lead to private addresses.
    pub allow_private: bool,
    /// Address of the receiver.
    pub url: String,
    /// HTTP method.
    pub method: Method,
    /// Purpose, as traces name it.
    pub purpose: String,
    /// Parameters in the order in which they are sent.
    pub parameters: Vec<(String, String)>,
}

/// What the queue needs of a stored one.
#[derive(Debug)]
pub struct Head {
    pub(super) token: String,
    pub(super) created: i64,
    pub(super) app: String,
    pub(super) about: String,
    pub(super) url: String,
    pub(super) bytes: usize,
}

/// Without URL and parameters, which hold secrets and numbers.
impl std::fmt::Debug for Callback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callback").field("call", &self.call).field("about", &self.about).finish_non_exhaustive()
    }
}

impl Callback {
    /// Makes the callback of an event; `None` for one without a URL, which no call makes.
    pub(super) fn of(asked: AppCallback, created: i64) -> Option<Callback> {
        let AppCallback { call, about, app, allow_private, request } = asked;
        let AppPlace::Url(url) = request.place else { return None };
        Some(Callback {
            token: idempotency_token(),
            created,
            call,
            about,
            app: app.to_string(),
            allow_private,
            url,
            method: match request.method {
                WebhookMethod::Post => Method::Post,
                WebhookMethod::Get => Method::Get,
            },
            purpose: request.purpose.to_owned(),
            parameters: request.parameters,
        })
    }

    /// Returns its size.
    pub(super) fn bytes(&self) -> usize {
        let Callback { token, call, about, app, url, purpose, parameters, .. } = self;
        let named: usize = parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
        [token, call, about, app, url, purpose].iter().map(|text| text.len()).sum::<usize>() + named
    }
}

/// Writes a callback within a change of the store; the queue is to hear of it once that is committed.
pub fn write(store: &Connection, callback: &Callback) -> rusqlite::Result<Head> {
    add(store, std::slice::from_ref(callback))?;
    let Callback { token, created, app, about, url, .. } = callback.clone();
    Ok(Head { token, created, app, about, url, bytes: callback.bytes() })
}

/// Writes callbacks; one that is there already stays as it is.
pub(super) fn add(store: &Connection, callbacks: &[impl Borrow<Callback>]) -> rusqlite::Result<()> {
    let mut insert = store.prepare(
        "INSERT OR IGNORE INTO callback
         (token, created, call, about, app, allow_private, url, method, purpose, parameters)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    for one in callbacks {
        let Callback { token, created, call, about, app, allow_private, url, method, purpose, parameters } =
            one.borrow();
        let parameters = serde_json::to_string(parameters).map_err(|error| unreadable(error.into()))?;
        let method = method.name();
        insert.execute(params![token, created, call, about, app, allow_private, url, method, purpose, parameters])?;
    }
    Ok(())
}

/// Reads what the queue needs of the oldest ones, as many as it has room for, in order.
pub(super) fn heads(store: &Connection) -> rusqlite::Result<Vec<Head>> {
    let mut rows = store.prepare(
        "SELECT token, created, app, about, url, length(parameters) + length(url) + 150 FROM callback
         ORDER BY created, rowid LIMIT ?1",
    )?;
    let head = |row: &Row<'_>| {
        let bytes: u32 = row.get(5)?;
        Ok(Head {
            token: row.get(0)?,
            created: row.get(1)?,
            app: row.get(2)?,
            about: row.get(3)?,
            url: row.get(4)?,
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        })
    };
    rows.query_map([i64::try_from(CALLBACKS_WAITING).unwrap_or(i64::MAX)], head)?.collect()
}

/// Reads one; `None`: the store does not have it.
pub(super) fn read(store: &Connection, token: &str) -> rusqlite::Result<Option<Callback>> {
    let mut found = store.prepare(
        "SELECT token, created, call, about, app, allow_private, url, method, purpose, parameters
         FROM callback WHERE token = ?1",
    )?;
    let callback = |row: &Row<'_>| {
        let (method, parameters): (String, String) = (row.get(7)?, row.get(9)?);
        Ok(Callback {
            token: row.get(0)?,
            created: row.get(1)?,
            call: row.get(2)?,
            about: row.get(3)?,
            app: row.get(4)?,
            allow_private: row.get(5)?,
            url: row.get(6)?,
            method: if method == Method::Get.name() { Method::Get } else { Method::Post },
            purpose: row.get(8)?,
            parameters: serde_json::from_str(&parameters).map_err(|error| unreadable(error.into()))?,
        })
    };
    found.query_row([token], callback).optional()
}

/// Removes callbacks that do not wait any more.
pub(super) fn remove(store: &Connection, tokens: &[Arc<str>]) -> rusqlite::Result<()> {
    let mut remove = store.prepare("DELETE FROM callback WHERE token = ?1")?;
    tokens.iter().try_for_each(|token| remove.execute([&**token]).map(drop))
}

fn unreadable(error: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error)
}
