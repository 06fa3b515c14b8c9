//! Reports of partial speech results: one request at a time, and only the newest result waits behind it.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::applications::question::{AppAnswer, AppResource, DocumentRequest};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::QueryId;
use trunkgate_resources::lookups::key::CallKey;
use trunkgate_route::App;

/// Partial-result reports of one recogniser.
#[derive(Debug, Default)]
pub(crate) struct PartialReports {
    /// Query of the report that has no response yet.
    reported: Option<QueryId>,
    /// Report to send next.
    next: Option<Box<DocumentRequest>>,
}

impl PartialReports {
    /// Returns whether `query` is the pending report.
    pub(crate) fn is_reported(&self, query: QueryId) -> bool {
        self.reported == Some(query)
    }

    /// Reports a partial result to an application, or queues it behind the pending report.
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
            self.reported = Some(edge.ask_for(Some(key), sid, app, AppResource::Document(request)));
        }
    }

    /// Drops the queued report, because a newer result exists.
    pub(crate) fn drop_next(&mut self) {
        self.next = None;
    }

    /// Handles the response to the pending report, which is not run as a document. Sends the queued report if an
    /// application has the call.
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

    /// Stops waiting for a response. A report already sent is not cancelled.
    pub(crate) fn forget(&self, edge: &mut Edge) {
        if let Some(query) = self.reported {
            edge.index_mut().queries.remove(&query);
        }
    }
}
