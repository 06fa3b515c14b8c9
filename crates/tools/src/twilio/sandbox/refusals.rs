//! Requests of the application that the sandbox's proxy has refused.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::broadcast::error::RecvError;

use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_runtime::proxy_refusals::{ProxyRefusal, RefusalReason};

/// Maximum number of refusals stored; later ones are ignored.
const KEPT: usize = 10_000;

/// Refusals since the start of the edge, in order.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    all: Rc<RefCell<Vec<ProxyRefusal>>>,
    /// Number of refusals already shown by a script.
    shown: Cell<usize>,
}

impl RefusalLog {
    /// Collects the refusals of an edge from now on, in a task of the current `LocalSet`.
    pub(super) fn collect(edge: &EdgeHandle) -> RefusalLog {
        let refusals = RefusalLog::default();
        let (all, mut listener) = (Rc::clone(&refusals.all), edge.shared.proxy_refusals.subscribe());
        tokio::task::spawn_local(async move {
            loop {
                match listener.recv().await {
                    Ok(refusal) if all.borrow().len() < KEPT => all.borrow_mut().push(refusal),
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
        refusals
    }

    /// Returns the number of refusals already shown.
    pub(super) fn shown(&self) -> usize {
        self.shown.get()
    }

    /// Returns the refusals from index `first` on, and marks all as shown.
    pub(super) fn since(&self, first: usize) -> Vec<ProxyRefusal> {
        let all = self.all.borrow();
        self.shown.set(all.len());
        all.get(first..).unwrap_or_default().to_vec()
    }

    /// Formats all refusals, each after a line break.
    pub(super) fn in_lines(&self) -> String {
        self.all.borrow().iter().map(|refusal| format!("\n| {}", in_words(refusal))).collect()
    }
}

/// Formats one refusal with its reason.
pub(super) fn in_words(refusal: &ProxyRefusal) -> String {
    format!("{} {}: refused, {}", refusal.method, refusal.target, reason(refusal))
}

/// Returns the reason of a refusal, in words.
pub(super) fn reason(refusal: &ProxyRefusal) -> &str {
    match &refusal.reason {
        RefusalReason::OtherHost => "the proxy serves api.twilio.com only (--proxy=tunnel reaches other hosts)",
        RefusalReason::PlainHttp => "the proxy serves api.twilio.com only, and reaches no host by http",
        RefusalReason::Answered(message) => message,
    }
}
