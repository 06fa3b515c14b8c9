//! Status callbacks about ended recordings, written in one transaction with the index entry.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use trunkgate_call::{RECORDING_PURPOSE, RecordingLinks, RecordingReceiver, RecordingReport};

use super::index::{RecordingEntry, RecordingState};
use super::mail;
use crate::sinks::callbacks::{self, Head, StoredCallback, StoredCallbackSender};
use crate::webhooks::request::{RequestMethod, idempotency_token};
use trunkgate_system::clock;

/// Status callbacks about recordings on their way to the sender.
#[derive(Debug, Default)]
pub(super) struct RecordingReports {
    links: Mutex<Arc<RecordingLinks>>,
    desk: OnceLock<StoredCallbackSender>,
    /// Stored callbacks that wait until the sender is set.
    early: Mutex<Vec<Head>>,
}

impl RecordingReports {
    /// Sets the URLs of recordings, and the receiver of callbacks about all of them.
    pub(super) fn configure(&self, links: RecordingLinks) {
        *self.links.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(links);
    }

    /// Returns the URLs of recordings, and the receiver of callbacks about all of them.
    pub(super) fn links(&self) -> Arc<RecordingLinks> {
        Arc::clone(&self.links.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets the sender, and hands over waiting callbacks on a separate thread, because the start of the edge may not
    /// block.
    pub(super) fn send_by(&self, desk: StoredCallbackSender) {
        let early = {
            let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = self.desk.set(desk.clone());
            std::mem::take(&mut *early)
        };
        if early.is_empty() {
            return;
        }
        let hand_over = move || early.into_iter().for_each(|head| desk.hand_over_blocking(head));
        let started = std::thread::Builder::new().name("reports".to_owned()).spawn(hand_over);
        if let Err(error) = started {
            tracing::error!(
                "callbacks about recordings of an earlier run are not sent before the next start: their thread cannot be started: {error}"
            );
        }
    }

    /// Returns the callbacks about a recording that has ended, with or without audio.
    pub(super) fn of(&self, entry: &RecordingEntry) -> Vec<StoredCallback> {
        let links = self.links();
        let wanted = |receiver: &RecordingReceiver| match entry.state {
            RecordingState::Completed => receiver.events.completed,
            RecordingState::Absent => receiver.events.absent,
            RecordingState::InProgress | RecordingState::Deleted => false,
        };
        let is_url = |receiver: &RecordingReceiver| mail::address(&receiver.url).is_none();
        let receivers = links.receivers(entry.receiver.as_ref()).filter(is_url).filter(wanted);
        let created = clock::now().as_microsecond();
        receivers.map(|receiver| callback(entry, &links, receiver, created)).collect()
    }

    /// Hands stored callbacks to the sender; blocks while its queue is full.
    pub(super) fn hand_over(&self, heads: Vec<Head>) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        match self.desk.get() {
            Some(desk) => {
                drop(early);
                heads.into_iter().for_each(|head| desk.hand_over_blocking(head));
            }
            None => early.extend(heads),
        }
    }
}

/// Writes callbacks within a transaction of the caller.
pub(super) fn write(store: &Connection, reports: &[StoredCallback]) -> rusqlite::Result<Vec<Head>> {
    reports.iter().map(|report| callbacks::write(store, report)).collect()
}

fn callback(
    entry: &RecordingEntry,
    links: &RecordingLinks,
    receiver: RecordingReceiver,
    created: i64,
) -> StoredCallback {
    let started = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(entry.started).unwrap_or(0));
    let report = RecordingReport {
        call: &entry.call_sid,
        conference: entry.conference_sid.as_deref(),
        sid: &entry.sid,
        status: entry.state.as_str(),
        source: &entry.source,
        channels: entry.channels,
        track: &entry.track,
        started,
        milliseconds: Some(entry.milliseconds),
        error: entry.error_code,
        message: entry.message.as_ref(),
    };
    let about = (entry.call_sid.as_str(), entry.sid.as_str());
    callback_to(receiver, about, RECORDING_PURPOSE, report.parameters(links), created)
}

/// Returns a callback about a call and its recording, created at this time (microseconds since 1970).
pub(super) fn callback_to(
    receiver: RecordingReceiver,
    (call, recording): (&str, &str),
    purpose: &str,
    parameters: Vec<(String, String)>,
    created: i64,
) -> StoredCallback {
    let RecordingReceiver { app, url, method, allow_private, .. } = receiver;
    let method = if method == trunkgate_route::WebhookMethod::Get { RequestMethod::Get } else { RequestMethod::Post };
    StoredCallback {
        token: idempotency_token(),
        created,
        call: call.to_owned(),
        about: recording.to_owned(),
        app,
        allow_private,
        url,
        method,
        purpose: purpose.to_owned(),
        parameters,
    }
}
