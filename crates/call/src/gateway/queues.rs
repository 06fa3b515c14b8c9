//! Queues of calls: effects of their changes on the calls in them.

use std::time::Instant;

use trunkgate_resources::conferences::queues::{QueueEffect, Queues};
use trunkgate_resources::io::GatewayOutput;
use trunkgate_story::view::QueueTotals;

use crate::call::legs::event::{CallEvent, ProgramEvent};
use crate::gateway::Gateway;

/// Carries out the effects of changed queues. Returns whether there were any effects.
pub(super) fn settle(gateway: &mut Gateway, now: Instant) -> bool {
    gateway.edge.sessions_mut().queues.handle_timeout(now);
    let mut any = false;
    while let Some(due) = gateway.edge.sessions_mut().queues.poll() {
        any = true;
        match due {
            QueueEffect::Node(command) => gateway.edge.output(GatewayOutput::Conference(Box::new(command))),
            QueueEffect::Call(key, news) => gateway.tell(now, key, CallEvent::Program(ProgramEvent::Queue(news))),
        }
    }
    any
}

/// Returns the queues of the edge.
pub fn queues(gateway: &Gateway) -> &Queues {
    &gateway.edge.sessions().queues
}

/// Returns the totals of all queues, the name and size of the `most` largest ones, and the total size of the others.
pub fn queues_counted(gateway: &Gateway, now: Instant, most: usize) -> QueuesCounted {
    let queues = queues(gateway);
    let (largest, others) = queues.largest(most);
    QueuesCounted { totals: queues.totals(now), largest, others }
}

/// Figures of the edge's call queues.
#[derive(Debug, Clone, Default)]
pub struct QueuesCounted {
    /// Totals of all queues.
    pub totals: QueueTotals,
    /// Name and number of callers of the largest queues.
    pub largest: Vec<(String, usize)>,
    /// Callers in the other queues.
    pub others: usize,
}
