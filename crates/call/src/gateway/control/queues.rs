//! Changes of queues.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::conferences::queues::{QueueRefusal, QueueReport, QueuedCall};
use trunkgate_route::App;

use crate::call::words::refused::RequestRefusal;
use crate::gateway::Gateway;
use crate::gateway::control::{CallAction, CallControl, GatewayControl};

/// A change of a queue; the answer is the changed queue, or the deleted one.
#[derive(Debug, Clone)]
pub enum QueueControl {
    /// Creates a queue.
    Create {
        /// Name of the new queue.
        name: String,
        /// Maximum number of callers; `None`: the default.
        most: Option<u32>,
    },
    /// Changes a queue; `None` leaves a value unchanged.
    Change {
        /// SID of the queue.
        sid: String,
        /// New name of the queue.
        name: Option<String>,
        /// New maximum number of callers.
        most: Option<u32>,
    },
    /// Deletes a queue without callers.
    Delete {
        /// SID of the queue.
        sid: String,
    },
}

impl GatewayControl for QueueControl {
    type Answer = Result<QueueReport, QueueRefusal>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Result<QueueReport, QueueRefusal> {
        let edge = &mut gateway.edge;
        let date = edge.date(now);
        let sid = match self {
            QueueControl::Create { name, most } => {
                let sid = edge.random_mut().queue_sid();
                edge.sessions_mut().queues.create(now, (&name, most), sid.clone(), date)?;
                sid
            }
            QueueControl::Change { sid, name, most } => {
                if name.is_some() || most.is_some() {
                    edge.sessions_mut().queues.change(&sid, (name.as_deref(), most), date)?;
                }
                sid
            }
            QueueControl::Delete { sid } => {
                let report = edge.sessions().queues.report(now, &sid).ok_or(QueueRefusal::Unknown)?;
                edge.sessions_mut().queues.delete(&sid)?;
                gateway.settle(now);
                return Ok(report);
            }
        };
        edge.sessions().queues.report(now, &sid).ok_or(QueueRefusal::Unknown)
    }
}

/// Takes a caller out of a queue. The answer is the caller as it was in the queue; `None` if there is no such caller.
#[derive(Debug, Clone)]
pub struct DequeueControl {
    /// SID of the queue.
    pub queue: String,
    /// SID of the caller's call; `None`: the next caller.
    pub call: Option<String>,
    /// Application with the document with which the caller continues.
    pub app: Arc<App>,
}

impl GatewayControl for DequeueControl {
    type Answer = Option<Result<QueuedCall, RequestRefusal>>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Option<Result<QueuedCall, RequestRefusal>> {
        let report = gateway.edge.sessions().queues.report(now, &self.queue)?;
        let is_it = |member: &QueuedCall| self.call.as_ref().is_none_or(|call| member.call_sid == *call);
        let member = report.members.into_iter().find(is_it)?;
        let redirect = CallControl { sid: member.call_sid.clone(), action: CallAction::Redirect(self.app) };
        Some(redirect.apply(gateway, now).map(|()| member))
    }
}
