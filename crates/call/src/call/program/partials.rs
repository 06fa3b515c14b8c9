//! Reports of partial results of speech: one is under way at a time, and of those behind it the newest waits.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::applications::question::{AppAnswer, AppWanted, DocumentRequest};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::QueryId;
use trunkgate_resources::lookups::key::CallKey;
use trunkgate_route::App;

/// The reports of one recogniser.
#[derive(Debug, Default)]
pub(crate) struct Partials {
    /// The one that has no response yet.
    reported: Option<QueryId>,
    /// The one behind it.
    next: Option<Box<DocumentRequest>>,
}

impl Partials {
    /// Whether it is this one whose response is waited for.
    pub(crate) fn is_reported(&self, query: QueryId) -> bool {
        self.reported == Some(query)
    }

    /// Reports a partial result to an application, behind the one that has no response yet.
    pub(crate) fn report(
        &mut self,
        edge: &mut Edge,
        (key, sid): (CallKey, &str),
        app: &Arc<App>,
        request: DocumentRequest,
    ) {
        if self.reported.is_some() {
            self.next = Some(Box::new(request));
        } else {
            self.reported = Some(edge.ask_for(Some(key), sid, app, AppWanted::Document(request)));
        }
    }

    /// Drops the one that waits: a result is newer.
    pub(crate) fn drop_next(&mut self) {
        self.next = None;
    }

    /// Takes the response to the one under way, which is not run, and reports the one behind it, where an application has the call.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        (key, sid): (CallKey, &str),
        app: Option<&Arc<App>>,
        answer: &AppAnswer,
    ) {
        self.reported = None;
        if let AppAnswer::Failed { code, text } = answer {
            edge.decide(now, key, format!("warning {code}: {text}"));
        }
        if let (Some(request), Some(app)) = (self.next.take(), app) {
            self.report(edge, (key, sid), app, *request);
        }
    }

    /// Waits for no response any more. A report under way goes on.
    pub(crate) fn forget(&self, edge: &mut Edge) {
        if let Some(query) = self.reported {
            edge.index_mut().queries.remove(&query);
        }
    }
}
