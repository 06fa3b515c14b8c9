//! Requests of the application that the proxy of a sandbox has refused.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::broadcast::error::RecvError;

use trunkgate_runtime::handle::Handle;
use trunkgate_runtime::proxy_refusals::{ProxyRefusal, RefusalReason};

/// Refusals that are kept in all; later ones are left out.
const KEPT: usize = 10_000;

/// Refusals since the edge has started, in order.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    all: Rc<RefCell<Vec<ProxyRefusal>>>,
    /// Number of them that some script has shown.
    shown: Cell<usize>,
}

impl Refusals {
    /// Collects those of an edge from now on, in a task of the present `LocalSet`.
    pub(super) fn collect(edge: &Handle) -> Refusals {
        let refusals = Refusals::default();
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

    /// Returns how many no script after the present ones shows.
    pub(super) fn shown(&self) -> usize {
        self.shown.get()
    }

    /// Returns those behind the first ones; they count as shown.
    pub(super) fn since(&self, first: usize) -> Vec<ProxyRefusal> {
        let all = self.all.borrow();
        self.shown.set(all.len());
        all.get(first..).unwrap_or_default().to_vec()
    }

    /// Returns all of them, each in a line behind a line break.
    pub(super) fn in_lines(&self) -> String {
        self.all.borrow().iter().map(|refusal| format!("\n| {}", in_words(refusal))).collect()
    }
}

/// Returns a refusal in words.
pub(super) fn in_words(refusal: &ProxyRefusal) -> String {
    format!("{} {}: refused, {}", refusal.method, refusal.target, reason(refusal))
}

/// Returns why a request was refused.
pub(super) fn reason(refusal: &ProxyRefusal) -> &str {
    match &refusal.reason {
        RefusalReason::OtherHost => "the proxy stands for api.twilio.com only (--proxy=tunnel reaches other hosts)",
        RefusalReason::PlainHttp => "the proxy stands for api.twilio.com, and reaches no host by http",
        RefusalReason::Answered(message) => message,
    }
}
