//! E-mails about voicemail messages, a kind of the outbox. A row is written in one transaction with the entry of the
//! message, so a crash loses none. An attempt that a crash interrupted is repeated with the same Message-ID.

pub(super) mod figures;
mod text;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use rustls::ClientConfig;
use tokio::time::timeout;
use trunkgate_route::Mailbox;

use super::RecordingState;
use super::index::RecordingEntry;
use super::sent::Pace;
use super::shared::{RecordingOpenError, SharedRecordings, on_disk};
use super::transcription;
use crate::sinks::outbox::table::{self, Counts};
use crate::sinks::outbox::{self, Event, Head, Intake, Kind, Refusal, Row, Settled, Worker};
use trunkgate_config::MailSettings;
use trunkgate_system::backoff::Backoff;
use trunkgate_system::certificates::TrustAnchors;
use trunkgate_system::clock;
use trunkgate_system::cover::{covered, without_call_data};
use trunkgate_system::limits::{
    MAIL_AUDIO_BYTES, MAIL_FAILED_SECONDS, MAIL_PATIENCE_SECONDS, MAIL_PAUSE_MOST_SECONDS, MAIL_PAUSE_SECONDS,
    MAIL_QUIT_SECONDS, MAIL_SECONDS, MAIL_TEXT_BYTES, MAIL_TEXT_SECONDS, MAIL_TRIED_SECONDS, MAILS_AT_ONCE,
};
use trunkgate_system::smtp::{MailRejection, Session, SmtpServer};
use trunkgate_system::web;

use text::MailText;

/// Name of e-mails among the kinds of the outbox.
pub(super) const NAME: &str = "mail";
/// Host of all rows: one mail server serves all recipients.
const HOST: &str = "mail";
/// Time for which a given-up e-mail is kept, in milliseconds.
const FAILED_MILLISECONDS: i64 = MAIL_FAILED_SECONDS.cast_signed() * 1000;

/// Time limits and pauses of attempts.
pub(super) const PACE: Pace = Pace {
    within: Duration::from_secs(MAIL_SECONDS),
    patience: Duration::from_secs(MAIL_PATIENCE_SECONDS),
    backoff: Backoff::new(Duration::from_secs(MAIL_PAUSE_SECONDS), Duration::from_secs(MAIL_PAUSE_MOST_SECONDS)),
    tried: Duration::from_secs(MAIL_TRIED_SECONDS),
};

/// Returns the address in a receiver's URL; `None` if it is not a `mailto:` URL.
pub(super) fn address(url: &str) -> Option<&str> {
    url.strip_prefix(Mailbox::MAILTO)
}

/// Returns the row for an e-mail about a completed message; `None` if its mailbox has no e-mail receiver. With
/// `awaits_text` the e-mail waits for the transcription for a limited time.
pub(super) fn wanted(entry: &RecordingEntry, awaits_text: bool) -> Option<Row> {
    let message = entry.message.as_ref().filter(|_| entry.state == RecordingState::Completed)?;
    let recipient = address(&entry.receiver.as_ref()?.url)?;
    let pause = if awaits_text { Duration::from_secs(MAIL_TEXT_SECONDS) } else { Duration::ZERO };
    Some(Row::alone(&entry.sid, [HOST, recipient, &message.mailbox], pause, String::new()))
}

/// E-mails about voicemail messages as a kind of deliveries in the outbox.
#[derive(Debug)]
pub(super) struct MailOutbox {
    shared: Arc<SharedRecordings>,
    pace: Pace,
}

impl MailOutbox {
    pub(super) fn new(shared: Arc<SharedRecordings>, pace: Pace) -> MailOutbox {
        MailOutbox { shared, pace }
    }

    /// Sends e-mails until the worker is stopped. An interrupted attempt is repeated after the next start.
    pub(super) async fn keep(self) {
        let (store, wake) = (self.shared.store.clone(), Arc::clone(&self.shared.mailing));
        Worker::new(store, self).keep(Intake::Woken(wake)).await;
    }

    async fn tried(&self, settings: &MailSettings, head: &Head) -> Result<(), MailRejection> {
        let Pace { within, .. } = self.pace;
        let tried = timeout(within, deliver(&self.shared, settings, head)).await;
        let late = || MailRejection::Yet(format!("not finished within {} s", within.as_secs_f32()));
        let named = |what: &str| format!("{}:{}: {}", settings.host, settings.port, hidden(what, settings));
        tried.unwrap_or_else(|_| Err(late())).map_err(|no| match no {
            MailRejection::Yet(what) => MailRejection::Yet(named(&what)),
            MailRejection::Ever(what) => MailRejection::Ever(named(&what)),
        })
    }
}

impl Kind for MailOutbox {
    const NAME: &'static str = NAME;
    const NOUN: &'static str = "e-mail";

    type New = Row;
    type Taken = ();
    type Seen = Counts;

    fn pace(&self) -> outbox::Pace {
        self.pace.of_kind(MAILS_AT_ONCE)
    }

    fn row(&self, new: Row, _: i64) -> Option<Row> {
        Some(new)
    }

    async fn attempt(&self, row: &Row, _: u32) -> Result<(), Refusal> {
        let Some(settings) = self.shared.settings().and_then(|settings| settings.mail.clone()) else {
            return Err(Refusal::here("the configuration has no [mail]".to_owned()));
        };
        let (key, figures) = (&row.head.key, &self.shared.figures.mails);
        figures.begin(key, self.pace.patience);
        let result = self.tried(&settings, &row.head).await;
        figures.end(key);
        result.map_err(|no| match no {
            MailRejection::Yet(what) => Refusal::here(what),
            MailRejection::Ever(what) => Refusal { is_final: true, ..Refusal::here(what) },
        })
    }

    fn note(&self, recording: &str, mailbox: &Arc<str>, event: Event<'_>) {
        let figures = &self.shared.figures.mails;
        let answered = || {
            if figures.answered() {
                tracing::info!("the mail server responds again");
            }
        };
        let refused = |what: &str| {
            if figures.refused(what.to_owned()) {
                tracing::warn!(
                    reason = "mail_failed",
                    "e-mail about voicemail cannot be sent at present: {what}; it is retried, and logged if it is abandoned"
                );
            }
        };
        match event {
            Event::Over(_, true) => {
                answered();
                figures.completed.add(1);
                tracing::info!("the e-mail about {recording} of mailbox {mailbox} is sent");
            }
            Event::Failed(_, Refusal { what, .. }, _) => refused(what),
            Event::GivenUp(_, Refusal { what, is_final, .. }) => {
                if *is_final {
                    answered();
                } else {
                    refused(what);
                }
                figures.failed.add(1);
                tracing::warn!(
                    reason = "mail_failed",
                    "the e-mail about {recording} of mailbox {mailbox} is abandoned: {what}"
                );
            }
            Event::Entered(_) | Event::Dropped | Event::MadeWay(_) | Event::Retried | Event::Over(_, false) => {}
        }
    }

    fn stored(&self, done: &io::Result<()>, _: &Path) {
        if let Some(error) = self.shared.figures.mails.stored(done) {
            tracing::error!(
                reason = "mail_failed",
                "e-mails about voicemail wait, because the store cannot be read or written: {error}"
            );
        }
    }

    fn settle(&self, store: &Connection, _: &[Settled<()>]) -> rusqlite::Result<Counts> {
        table::counts(store, NAME, clock::now().as_millisecond().saturating_sub(FAILED_MILLISECONDS))
    }

    fn seen(&self, counts: Counts) {
        self.shared.figures.mails.seen(counts);
    }
}

/// Removes phone numbers and the password, in plain or encoded form, from a text of the mail server.
fn hidden(what: &str, settings: &MailSettings) -> String {
    let Some((user, password)) = settings.login() else { return without_call_data(what) };
    let plain = STANDARD.encode(format!("\0{user}\0{password}"));
    let all = [password.to_owned(), STANDARD.encode(password), plain];
    without_call_data(&all.iter().fold(what.to_owned(), |what, secret| covered(&what, "", Some(secret))))
}

/// Connects to the mail server and logs in, without sending an e-mail.
///
/// # Errors
/// Returns the reason of the failure, without credentials.
pub async fn reach(settings: &MailSettings) -> Result<(), String> {
    let session = connected(settings).await.map_err(|what| hidden(&what, settings))?;
    let _ = timeout(Duration::from_secs(MAIL_QUIT_SECONDS), session.quit()).await;
    Ok(())
}

async fn connected(settings: &MailSettings) -> Result<Session, String> {
    let MailSettings { host, port, security, .. } = settings;
    let server = SmtpServer { host, port: *port, security: *security, login: settings.login() };
    Session::open(server, tls(settings)).await
}

async fn deliver(shared: &Arc<SharedRecordings>, settings: &MailSettings, one: &Head) -> Result<(), MailRejection> {
    let mut session = connected(settings).await.map_err(MailRejection::Yet)?;
    let most = session.most_bytes();
    let (from, recording, to) = (settings.from.clone(), one.key.clone(), one.place.clone());
    let read = on_disk(shared, move |shared| written(shared, &recording, (&from, &to), most)).await;
    let written = read.map_err(|error| MailRejection::Yet(format!("the message cannot be read: {error}")))?;
    let Some(written) = written else { return Err(MailRejection::Ever("the message was deleted".to_owned())) };
    session.send((&settings.from, &one.place), &written).await?;
    let _ = timeout(Duration::from_secs(MAIL_QUIT_SECONDS), session.quit()).await;
    Ok(())
}

async fn tls(settings: &MailSettings) -> Result<Arc<ClientConfig>, String> {
    match &settings.ca {
        Some(pem) => web::trusting(TrustAnchors::of_pem(pem)?),
        None => web::trusting_system().await,
    }
}

/// Returns the e-mail about a message; `None` if the message was deleted. The audio is left out if it exceeds the limit
/// of the edge or of the mail server (`most`).
fn written(
    shared: &SharedRecordings,
    recording: &str,
    (from, to): (&str, &str),
    most: Option<u64>,
) -> io::Result<Option<Vec<u8>>> {
    let Some(entry) = shared.find(recording)?.filter(|entry| entry.state == RecordingState::Completed) else {
        return Ok(None);
    };
    let audio = match shared.open(recording) {
        Ok((_, mut reader)) => {
            let bytes = reader.bytes();
            if bytes > MAIL_AUDIO_BYTES {
                Err(format!("it has more than {} MiB", MAIL_AUDIO_BYTES >> 20))
            } else if most.is_some_and(|most| MailText::bytes_with(bytes) > most) {
                Err("it exceeds the size limit of the mail server".to_owned())
            } else {
                Ok(reader.read_whole()?)
            }
        }
        Err(RecordingOpenError::Io(error)) => return Err(error),
        Err(error) => Err(error.to_string()),
    };
    let url = shared.reports.links().of(recording);
    let (audio, said) = (audio.as_deref().map_err(String::as_str), said(shared, recording)?);
    Ok(Some(MailText { entry: &entry, from, to, url: &url, said: said.as_deref(), audio }.written()))
}

/// Returns the beginning of a message's transcription; `None` if there is none or it cannot be decrypted.
fn said(shared: &SharedRecordings, recording: &str) -> io::Result<Option<String>> {
    let part = transcription::Part { recording: Some(recording.to_owned()), ..transcription::Part::default() };
    let Some(one) = transcription::list(shared, part, 1)?.pop() else { return Ok(None) };
    let settings = shared.settings();
    let key = settings.as_ref().and_then(|settings| settings.key.as_deref());
    let mut said = transcription::opened(&one, key).ok().flatten();
    if let Some(said) = &mut said {
        said.truncate(said.floor_char_boundary(MAIL_TEXT_BYTES));
    }
    Ok(said)
}

#[cfg(test)]
mod tests;
