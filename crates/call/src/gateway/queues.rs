//! Queues of calls, and what follows from a change in one in the calls that are in it.

use std::time::Instant;

use trunkgate_resources::conferences::queues::{QueueDue, Queues};
use trunkgate_resources::io::Output;
use trunkgate_story::view::QueueTotals;

use crate::call::legs::event::{CallEvent, ProgramEvent};
use crate::gateway::Gateway;

/// Carries out what follows from changes in queues. Returns whether there was something.
pub(super) fn settle(gateway: &mut Gateway, now: Instant) -> bool {
    gateway.edge.sessions_mut().queues.handle_timeout(now);
    let mut any = false;
    while let Some(due) = gateway.edge.sessions_mut().queues.poll() {
        any = true;
        match due {
            QueueDue::Node(command) => gateway.edge.output(Output::Conference(Box::new(command))),
            QueueDue::Call(key, news) => gateway.tell(now, key, CallEvent::Program(ProgramEvent::Queue(news))),
        }
    }
    any
}

/// Returns the queues of the edge.
pub fn queues(gateway: &Gateway) -> &Queues {
    &gateway.edge.sessions().queues
}

/// Returns the queues at a glance, the name and the size of the largest ones, so many of them, and the size of the others together.
pub fn queues_counted(gateway: &Gateway, now: Instant, most: usize) -> QueuesCounted {
    let queues = queues(gateway);
    let (largest, others) = queues.largest(most);
    QueuesCounted { totals: queues.totals(now), largest, others }
}

/// Figures of queues.
#[derive(Debug, Clone, Default)]
pub struct QueuesCounted {
    /// All at a glance.
    pub totals: QueueTotals,
    /// The name and the number of callers of those with the most.
    pub largest: Vec<(String, usize)>,
    /// Callers of the others.
    pub others: usize,
}
