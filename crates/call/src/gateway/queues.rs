//! Queues of calls: what requests ask of them, and what follows from a change in one in the calls that are in it.

use std::time::Instant;

use trunkgate_resources::conferences::queues::{QueueDue, QueueRefusal, QueueReport};
use trunkgate_resources::io::Output;
use trunkgate_story::view::QueueTotals;

use crate::call::legs::event::CallEvent;
use crate::gateway::Gateway;

/// Carries out what follows from changes in queues. Returns whether there was something.
pub(super) fn settle(gateway: &mut Gateway, now: Instant) -> bool {
    gateway.edge.sessions_mut().queues.handle_timeout(now);
    let mut any = false;
    while let Some(due) = gateway.edge.sessions_mut().queues.poll() {
        any = true;
        match due {
            QueueDue::Node(command) => gateway.edge.output(Output::Conference(Box::new(command))),
            QueueDue::Call(key, news) => gateway.tell(now, key, CallEvent::Queue(news)),
        }
    }
    any
}

/// The queues of an edge, as requests see and change them. Drain [`Gateway::poll_output`] afterwards.
#[derive(Debug)]
pub struct Queues<'g> {
    gateway: &'g mut Gateway,
}

impl<'g> Queues<'g> {
    /// Acts on those of a gateway.
    pub fn of(gateway: &'g mut Gateway) -> Queues<'g> {
        Queues { gateway }
    }

    /// Makes a queue and returns it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn create(&mut self, now: Instant, name: &str, most: Option<u32>) -> Result<QueueReport, QueueRefusal> {
        let edge = &mut self.gateway.edge;
        let (sid, date) = (edge.random_mut().queue_sid(), edge.date(now));
        let queues = &mut edge.sessions_mut().queues;
        queues.create(now, (name, most), sid.clone(), date)?;
        queues.report(now, &sid).ok_or(QueueRefusal::Unknown)
    }

    /// Changes the name or the room of a queue, and returns it.
    ///
    /// # Errors
    /// Why it stays as it is.
    pub fn change(
        &mut self,
        now: Instant,
        sid: &str,
        (name, most): (Option<&str>, Option<u32>),
    ) -> Result<QueueReport, QueueRefusal> {
        let edge = &mut self.gateway.edge;
        let date = edge.date(now);
        let queues = &mut edge.sessions_mut().queues;
        if name.is_some() || most.is_some() {
            queues.change(sid, (name, most), date)?;
        }
        queues.report(now, sid).ok_or(QueueRefusal::Unknown)
    }

    /// Deletes a queue without callers.
    ///
    /// # Errors
    /// Why it is still there.
    pub fn delete(&mut self, now: Instant, sid: &str) -> Result<(), QueueRefusal> {
        self.gateway.edge.sessions_mut().queues.delete(sid)?;
        self.gateway.settle(now);
        Ok(())
    }
}

/// Returns all queues, the newest first.
pub fn queues(gateway: &Gateway, now: Instant) -> Vec<QueueReport> {
    gateway.edge.sessions().queues.reports(now)
}

/// Returns the queues at a glance, the name and the size of the largest ones, so many of them, and the size of the others together.
pub fn queues_counted(gateway: &Gateway, now: Instant, most: usize) -> QueuesCounted {
    let queues = &gateway.edge.sessions().queues;
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

/// Returns the queues at a glance.
pub(super) fn totals(gateway: &Gateway, now: Instant) -> QueueTotals {
    gateway.edge.sessions().queues.totals(now)
}

/// Returns the queue of a SID.
pub fn queue(gateway: &Gateway, now: Instant, sid: &str) -> Option<QueueReport> {
    gateway.edge.sessions().queues.report(now, sid)
}
