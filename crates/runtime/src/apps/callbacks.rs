//! Connection of the callback sender to the running edge: current rules and token, counters, and traces of calls.

use trunkgate_call::AppAnswer;
use trunkgate_call::trace::{TraceItem, WebhookExchange, failed_attempt};

use super::answers::{refused, taken};
use crate::handle::EdgeHandle;
use trunkgate_delivery::sinks::callbacks::{CallbackAttempt, CallbackHooks};

/// Returns the functions by which the callback sender uses the running edge.
pub fn means(handle: &EdgeHandle) -> CallbackHooks {
    let (sending, tried) = (handle.clone(), handle.clone());
    CallbackHooks {
        sending: Box::new(move |allow_private| {
            let shared = &sending.shared;
            shared.running(|running| {
                let reach = shared.own.borrow().reach(allow_private, &running.interfaces);
                (reach, running.config.api.auth_token.clone())
            })
        }),
        tried: Box::new(move |one| note(&tried, one)),
    }
}

/// Counts an attempt and adds it to the trace of its call.
fn note(handle: &EdgeHandle, CallbackAttempt { callback, attempt, result }: CallbackAttempt<'_>) {
    let (attempts, code) = match &result {
        Ok(reply) => (&reply.attempts, None),
        Err(failure) => (&failure.attempts, Some(failure.code)),
    };
    let took = attempts.iter().map(|attempt| attempt.duration).sum();
    handle.shared.webhooks.count(&callback.app.as_str().into(), took, code);
    let method = callback.method.name();
    let (answer, webhook) = match result {
        Ok(reply) => taken(&callback.purpose, method, reply),
        Err(failure) => refused(&callback.purpose, method, &failure),
    };
    let item = match (webhook, answer) {
        (Some(webhook), _) => Some(TraceItem::webhook(WebhookExchange { attempt: Some(attempt), ..webhook })),
        // The request could not be sent at all.
        (None, AppAnswer::Failed { code, text }) => {
            Some(TraceItem::decision(format!("warning {code}: {text}; {}", failed_attempt(attempt, code))))
        }
        (None, AppAnswer::Document { .. } | AppAnswer::Sound { .. }) => None,
    };
    let (handle, call) = (handle.clone(), callback.call.clone());
    // At most one task per attempt under way; the signalling loop processes them in turn.
    tokio::spawn(async move {
        if let Some(item) = item {
            handle.note(&call, item).await;
        }
    });
}
