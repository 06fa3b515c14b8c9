//! Webhooks of messages: their states, as services report them, are passed on to the URL that the message was sent with.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::TryRng as _;
use rusqlite::Connection;
use tokio::task::JoinSet;

use super::handle::Handle;
use crate::limits;
use crate::sinks::sms::kept::{self, StatusReport};
use crate::sinks::store::Commit;
use crate::system::backoff::Backoff;
use crate::webhooks::client::Client;
use crate::webhooks::request::{Content, Purpose, Request};

/// Name under which these webhooks are counted.
const NAME: &str = "messages";
/// Pauses after failures.
const BACKOFF: Backoff = Backoff::new(
    Duration::from_millis(limits::SMS_BACKOFF_FIRST_MILLISECONDS),
    Duration::from_secs(limits::SMS_BACKOFF_MOST_SECONDS),
);

/// Sends webhooks of messages until the task is ended. What is due is in the store, so nothing is lost with the process.
pub(crate) async fn keep(handle: Handle) {
    let client = Arc::new(Client::new());
    let (mut under_way, mut reporting) = (HashSet::new(), JoinSet::new());
    loop {
        let pause = match begin(&handle, &client, &mut under_way, &mut reporting).await {
            Some(next) => Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO),
            None => Duration::from_secs(limits::SMS_FORGET_SECONDS),
        };
        let least = Duration::from_millis(limits::SMS_PAUSE_MILLISECONDS);
        tokio::select! {
            () = handle.shared.sms.wake.notified() => {}
            () = tokio::time::sleep(pause.max(least)) => {}
            Some(done) = reporting.join_next() => drop(done.map(|id: i64| under_way.remove(&id))),
        }
    }
}

/// Begins what is due; the time of the next.
async fn begin(
    handle: &Handle,
    client: &Arc<Client>,
    under_way: &mut HashSet<i64>,
    reporting: &mut JoinSet<i64>,
) -> Option<Timestamp> {
    if !handle.store.has_any() {
        return None;
    }
    let most = limits::MESSAGE_REPORTS;
    let due = move |store: &Connection| {
        let due = kept::due_reports(store, Timestamp::now(), most)?;
        Ok((due, kept::next_report(store)?))
    };
    let (due, next) = match handle.store.run(Commit::Now, due).await {
        Ok(found) => found,
        Err(error) => {
            tracing::error!("states of messages cannot be read from the store: {error}");
            return Some(Timestamp::now() + SignedDuration::from_secs(limits::SMS_STORE_PAUSE_SECONDS.cast_signed()));
        }
    };
    for report in due {
        if under_way.len() < most && under_way.insert(report.id) {
            let (handle, client) = (handle.clone(), Arc::clone(client));
            reporting.spawn(async move {
                let id = report.id;
                report_once(&handle, &client, report).await;
                id
            });
        }
    }
    // One that is under way is due no earlier than it ends.
    next.filter(|next| under_way.is_empty() || *next > Timestamp::now())
}

/// Makes one attempt, and notes what comes of it.
async fn report_once(handle: &Handle, client: &Client, report: StatusReport) {
    let asked = request(handle, &report);
    let result = client.fetch(&asked).await;
    let (attempts, code) = match &result {
        Ok(reply) => (&reply.attempts, None),
        Err(failure) => (&failure.attempts, Some(failure.code)),
    };
    handle.shared.webhooks.count(&NAME.into(), attempts.iter().map(|attempt| attempt.duration).sum(), code);
    let (sid, now) = (&report.message.sid, Timestamp::now());
    let is_late = now.duration_since(report.created).as_secs() > limits::MESSAGE_REPORT_SECONDS;
    let again = match result {
        Ok(_) => None,
        Err(failure) if is_late => {
            tracing::warn!("message {sid}: its state {} is reported no more: {}", report.status, failure.what);
            None
        }
        Err(failure) => {
            let pause = BACKOFF.pause(report.tries + 1, rand::rngs::SysRng.try_next_u32().unwrap_or(0));
            tracing::info!("message {sid}: its state {} could not be reported: {}", report.status, failure.what);
            Some(now + pause)
        }
    };
    let settle = move |store: &Connection| kept::settle_report(store, report.id, again);
    if let Err(error) = handle.store.run(Commit::Now, settle).await {
        tracing::error!("a state of a message cannot be written to the store and is reported again: {error}");
    }
}

fn request(handle: &Handle, report: &StatusReport) -> Request {
    let (reach, auth_token, account) = handle.shared.running(|running| {
        let reach = handle.shared.own.borrow().reach(running.config.api.allow_private, &running.interfaces);
        (reach, running.config.api.auth_token.clone(), running.boot.api.account_sid.clone())
    });
    let message = &report.message;
    let mut parameters = vec![
        ("AccountSid", account),
        ("ApiVersion", "2010-04-01".to_owned()),
        ("MessageSid", message.sid.clone()),
        ("MessageStatus", report.status.clone()),
        ("SmsSid", message.sid.clone()),
        ("SmsStatus", report.status.clone()),
        ("To", message.to.clone()),
    ];
    let code = report.error.map(|code| ("ErrorCode", code.to_string()));
    let from = message.from.clone().map(|from| ("From", from));
    let service = message.service.clone().map(|service| ("MessagingServiceSid", service));
    parameters.extend(code.into_iter().chain(from).chain(service));
    let parameters = parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let url = message.callback.as_deref().unwrap_or_default();
    let mut request = Request::new(url, Content::Form(parameters), Purpose::Callback, reach);
    request.auth_token = auth_token;
    request.idempotency_token = format!("{}.{}", message.sid, report.status);
    request
}
