//! Reports of messages' states to the URLs that the messages were sent with.

use jiff::Timestamp;
use rand::TryRng as _;
use rusqlite::Connection;

use super::BACKOFF;
use crate::limits;
use crate::runtime::handle::Handle;
use crate::sinks::sms::kept::{self, StatusReport};
use crate::sinks::store::Commit;
use crate::webhooks::client::Client;
use crate::webhooks::request::{Content, Method, Purpose, Request};

/// Makes one attempt, and notes what comes of it.
pub(super) async fn report_once(handle: &Handle, client: &Client, report: StatusReport) {
    let asked = request(handle, &report);
    let result = client.fetch(&asked).await;
    let (attempts, code) = match &result {
        Ok(reply) => (&reply.attempts, None),
        Err(failure) => (&failure.attempts, Some(failure.code)),
    };
    handle.shared.webhooks.count(&super::NAME.into(), attempts.iter().map(|attempt| attempt.duration).sum(), code);
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
    let action = report.action.as_ref();
    let url = action.map(|action| action.url.as_str()).or(message.callback.as_deref()).unwrap_or_default();
    let mut request = Request::new(url, Content::Form(parameters), Purpose::Callback, reach);
    request.auth_token = auth_token;
    if action.is_some_and(|action| action.is_get) {
        request.method = Method::Get;
    }
    request.idempotency_token = format!("{}.{}", message.sid, report.status);
    request
}
