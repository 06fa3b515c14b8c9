//! E-mail about messages in mailboxes. Those that wait are in the store, written in one change with the entry of the message, so a crash loses
//! none; an attempt that it has cut is repeated, with the same Message-ID.

mod figures;
pub(super) mod table;
mod text;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use tokio::time::timeout;
use trunkgate_route::Mailbox;

use super::State;
use super::index::Entry;
use super::shared::{NotOpened, Shared, on_disk};
use super::transcription;
use super::under_way::UnderWay;
use trunkgate_config::Mail;
use trunkgate_system::backoff::Backoff;
use trunkgate_system::certificates::Trust;
use trunkgate_system::clock;
use trunkgate_system::cover::{covered, without_call_data};
use trunkgate_system::limits::{
    MAIL_AUDIO_BYTES, MAIL_FAILED_SECONDS, MAIL_PATIENCE_SECONDS, MAIL_PAUSE_MOST_SECONDS, MAIL_PAUSE_SECONDS,
    MAIL_QUIT_SECONDS, MAIL_SECONDS, MAIL_TEXT_BYTES, MAIL_TEXT_SECONDS, MAIL_TRIED_SECONDS, MAILS_AT_ONCE,
};
use trunkgate_system::smtp::{NotTaken, Server, Session};
use trunkgate_system::web;

pub(crate) use figures::MailFigures;

use table::{Letter, Waiting};
use text::Text;

/// Longest time between two looks at the store.
const LOOK: Duration = Duration::from_secs(60);

/// Times of attempts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Longest time of one attempt.
    within: Duration,
    /// Time after which `status` says that an attempt has not ended.
    patience: Duration,
    /// Pauses after failures.
    backoff: Backoff,
    /// Time after which an e-mail is given up.
    tried: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        let seconds = Duration::from_secs;
        Pace {
            within: seconds(MAIL_SECONDS),
            patience: seconds(MAIL_PATIENCE_SECONDS),
            backoff: Backoff::new(seconds(MAIL_PAUSE_SECONDS), seconds(MAIL_PAUSE_MOST_SECONDS)),
            tried: seconds(MAIL_TRIED_SECONDS),
        }
    }
}

/// Returns the address that a URL of a receiver leads to, where it is one of e-mail.
pub(super) fn address(url: &str) -> Option<&str> {
    url.strip_prefix(Mailbox::MAILTO)
}

/// Returns the e-mail about a message that is complete, where there is to be one. One whose text is awaited waits for that, but not for long.
pub(super) fn wanted(entry: &Entry, awaits_text: bool) -> Option<Letter> {
    let message = entry.message.as_ref().filter(|_| entry.state == State::Completed)?;
    let recipient = address(&entry.receiver.as_ref()?.url)?;
    let now = clock::now().as_millisecond();
    let pause = if awaits_text { milliseconds(Duration::from_secs(MAIL_TEXT_SECONDS)) } else { 0 };
    Some(Letter {
        recording: entry.sid.clone(),
        mailbox: message.mailbox.clone(),
        recipient: recipient.to_owned(),
        created: now,
        updated: now,
        due: now.saturating_add(pause),
        attempts: 0,
        is_failed: false,
        error: None,
    })
}

/// Sender of e-mails.
#[derive(Debug)]
pub(super) struct Mailer {
    shared: Arc<Shared>,
    pace: Pace,
}

impl Mailer {
    pub(super) fn new(shared: Arc<Shared>, pace: Pace) -> Mailer {
        Mailer { shared, pace }
    }

    /// Sends until it is stopped; attempts that are under way then are repeated by the next start.
    pub(super) async fn keep(self) {
        let mut under_way = UnderWay::new(MAILS_AT_ONCE);
        while !self.shared.mailing.is_stopped() {
            let pause = self.begin(&mut under_way).await;
            tokio::select! {
                () = under_way.ended() => {}
                () = self.shared.mailing.woken() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Begins attempts that are due; returns when to look again.
    async fn begin(&self, under_way: &mut UnderWay) -> Duration {
        let settings = self.shared.settings().and_then(|settings| settings.mail.clone());
        if !self.shared.store.has_any() {
            return LOOK;
        }
        let now = clock::now().as_millisecond();
        let failed_since = now.saturating_sub(milliseconds(Duration::from_secs(MAIL_FAILED_SECONDS)));
        let read =
            move |shared: &Shared| shared.change(move |store| table::waiting(store, now, failed_since, MAILS_AT_ONCE));
        let waiting = match on_disk(&self.shared, read).await {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(reason = "mail_failed", "the list of e-mails is not read: {error}");
                return LOOK;
            }
        };
        self.shared.figures.mails.seen(&waiting);
        let Waiting { due, next, .. } = waiting;
        for one in due {
            let row = one.recording.clone();
            under_way.begin(&row, send(Arc::clone(&self.shared), settings.clone(), self.pace, one));
        }
        let left = next.map(|next| Duration::from_millis(u64::try_from(next - now).unwrap_or(0)));
        left.unwrap_or(LOOK).min(LOOK)
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Makes one attempt, and stores what it has led to.
async fn send(shared: Arc<Shared>, settings: Option<Arc<Mail>>, pace: Pace, one: Letter) {
    let result = match settings {
        Some(settings) => {
            shared.figures.mails.attempts.begin(&one.recording, pace.patience);
            let result = attempt(&shared, &settings, pace, &one).await;
            shared.figures.mails.attempts.end(&one.recording);
            result
        }
        None => Err(NotTaken::Yet("the configuration has no [mail]".to_owned())),
    };
    let recording = one.recording.clone();
    if let Err(error) = on_disk(&shared, move |shared| conclude(shared, pace, one, result)).await {
        // It waits still, and the attempt is repeated.
        tracing::error!(reason = "mail_failed", "the e-mail about {recording} is not stored: {error}");
        tokio::time::sleep(pace.backoff.pause(1, u32::MAX)).await;
    }
}

async fn attempt(shared: &Arc<Shared>, settings: &Mail, pace: Pace, one: &Letter) -> Result<(), NotTaken> {
    let tried = timeout(pace.within, deliver(shared, settings, one)).await;
    let late = || NotTaken::Yet(format!("not finished within {} s", pace.within.as_secs_f32()));
    let named = |what: &str| format!("{}:{}: {}", settings.host, settings.port, hidden(what, settings));
    tried.unwrap_or_else(|_| Err(late())).map_err(|no| match no {
        NotTaken::Yet(what) => NotTaken::Yet(named(&what)),
        NotTaken::Ever(what) => NotTaken::Ever(named(&what)),
    })
}

/// Returns words of the server without numbers of parties, and without the password, as it is and as it was sent.
fn hidden(what: &str, settings: &Mail) -> String {
    let Some((user, password)) = settings.login() else { return without_call_data(what) };
    let plain = STANDARD.encode(format!("\0{user}\0{password}"));
    let all = [password.to_owned(), STANDARD.encode(password), plain];
    without_call_data(&all.iter().fold(what.to_owned(), |what, secret| covered(&what, "", Some(secret))))
}

/// Connects to the mail server and logs in, as for an e-mail.
///
/// # Errors
/// Why not, in words without credentials.
pub async fn reach(settings: &Mail) -> Result<(), String> {
    let session = connected(settings).await.map_err(|what| hidden(&what, settings))?;
    let _ = timeout(Duration::from_secs(MAIL_QUIT_SECONDS), session.quit()).await;
    Ok(())
}

async fn connected(settings: &Mail) -> Result<Session, String> {
    let Mail { host, port, security, .. } = settings;
    let server = Server { host, port: *port, security: *security, login: settings.login() };
    Session::open(server, tls(settings)).await
}

async fn deliver(shared: &Arc<Shared>, settings: &Mail, one: &Letter) -> Result<(), NotTaken> {
    let mut session = connected(settings).await.map_err(NotTaken::Yet)?;
    let most = session.most_bytes();
    let (from, recording, to) = (settings.from.clone(), one.recording.clone(), one.recipient.clone());
    let read = on_disk(shared, move |shared| written(shared, &recording, (&from, &to), most)).await;
    let written = read.map_err(|error| NotTaken::Yet(format!("the message cannot be read: {error}")))?;
    let Some(written) = written else { return Err(NotTaken::Ever("the message was deleted".to_owned())) };
    session.send((&settings.from, &one.recipient), &written).await?;
    let _ = timeout(Duration::from_secs(MAIL_QUIT_SECONDS), session.quit()).await;
    Ok(())
}

async fn tls(settings: &Mail) -> Result<Arc<ClientConfig>, String> {
    match &settings.ca {
        Some(pem) => web::trusting(Trust::of_pem(pem)?),
        None => web::trusting_system().await,
    }
}

/// Returns the e-mail about a message, with its audio unless that is longer than ours or the server's limit; `None`: it was deleted.
fn written(
    shared: &Shared,
    recording: &str,
    (from, to): (&str, &str),
    most: Option<u64>,
) -> io::Result<Option<Vec<u8>>> {
    let Some(entry) = shared.find(recording)?.filter(|entry| entry.state == State::Completed) else { return Ok(None) };
    let audio = match shared.open(recording) {
        Ok((_, mut reader)) => {
            let bytes = reader.bytes();
            if bytes > MAIL_AUDIO_BYTES {
                Err(format!("it has more than {} MiB", MAIL_AUDIO_BYTES >> 20))
            } else if most.is_some_and(|most| Text::bytes_with(bytes) > most) {
                Err("the mail server does not take so much".to_owned())
            } else {
                Ok(reader.read_whole()?)
            }
        }
        Err(NotOpened::Io(error)) => return Err(error),
        Err(error) => Err(error.to_string()),
    };
    let url = shared.reports.links().of(recording);
    let (audio, said) = (audio.as_deref().map_err(String::as_str), said(shared, recording)?);
    Ok(Some(Text { entry: &entry, from, to, url: &url, said: said.as_deref(), audio }.written()))
}

/// Returns the beginning of what was said in a message, where that is known and can be opened.
fn said(shared: &Shared, recording: &str) -> io::Result<Option<String>> {
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

/// Removes what was sent, or stores when the attempt is repeated, or that it is given up. An e-mail that was removed meanwhile stays so.
fn conclude(shared: &Shared, pace: Pace, one: Letter, result: Result<(), NotTaken>) -> io::Result<()> {
    let now = clock::now().as_millisecond();
    let figures = &shared.figures.mails;
    let (recording, mailbox) = (one.recording.clone(), one.mailbox.clone());
    let (what, is_refused) = match result {
        Ok(()) => {
            shared.change(move |store| table::sent(store, &one))?;
            figures.answered();
            figures.sent.add(1);
            tracing::info!("the e-mail about {recording} of mailbox {mailbox} is sent");
            return Ok(());
        }
        Err(NotTaken::Yet(what)) => (what, false),
        Err(NotTaken::Ever(what)) => (what, true),
    };
    let attempts = one.attempts.saturating_add(1);
    let is_failed = is_refused || now.saturating_sub(one.created) >= milliseconds(pace.tried);
    let due = now.saturating_add(milliseconds(pace.backoff.pause(attempts, rand::random())));
    let next = Letter { updated: now, due, attempts, is_failed, error: Some(what.clone()), ..one };
    if is_refused {
        figures.answered();
    } else {
        figures.refused(what.clone());
    }
    let is_there = shared.change(move |store| table::update(store, &next))?;
    if is_there && is_failed {
        figures.failed.add(1);
        tracing::warn!(reason = "mail_failed", "the e-mail about {recording} of mailbox {mailbox} is given up: {what}");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
