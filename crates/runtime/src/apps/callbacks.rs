//! What the sender of callbacks needs of the running edge: rules and token of the moment, figures, and the traces of calls.

use trunkgate_call::AppAnswer;
use trunkgate_call::trace::{TraceItem, Webhook};

use super::answers::{refused, taken};
use crate::handle::Handle;
use trunkgate_delivery::sinks::callbacks::{Means, Tried};

/// Returns it.
pub fn means(handle: &Handle) -> Means {
    let (sending, tried) = (handle.clone(), handle.clone());
    Means {
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

/// Counts an attempt, and has the trace of its call show it.
fn note(handle: &Handle, Tried { callback, attempt, result }: Tried<'_>) {
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
        (Some(webhook), _) => Some(TraceItem::webhook(Webhook { attempt: Some(attempt), ..webhook })),
        // It could not even be sent.
        (None, AppAnswer::Failed { code, text }) => {
            Some(TraceItem::decision(format!("warning {code}: {text}; attempt {attempt}, it is repeated")))
        }
        (None, AppAnswer::Document { .. } | AppAnswer::Sound { .. }) => None,
    };
    let (handle, call) = (handle.clone(), callback.call.clone());
    // As many at once as there are attempts under way: the loop takes each in its turn.
    tokio::spawn(async move {
        if let Some(item) = item {
            handle.note(&call, item).await;
        }
    });
}
