//! Webhooks of messages: messages to the edge go to the URLs of their numbers, whose replies are sent, and states of messages to the URLs
//! that they were sent with. What is due is in the store, so nothing is lost with the process.

mod inbound;
mod reports;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use tokio::task::JoinSet;

use super::handle::Handle;
use crate::limits;
use crate::sinks::sms::kept;
use crate::sinks::store::Commit;
use crate::system::backoff::Backoff;
use crate::webhooks::client::Client;

/// Name under which these webhooks are counted.
const NAME: &str = "api:messages";
/// Pauses after failures.
const BACKOFF: Backoff = Backoff::new(
    Duration::from_millis(limits::SMS_BACKOFF_FIRST_MILLISECONDS),
    Duration::from_secs(limits::SMS_BACKOFF_MOST_SECONDS),
);

/// Work that is under way, by its place in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Work {
    Report(i64),
    Inbound(i64),
}

/// Requests webhooks until it is dropped.
struct Requests {
    handle: Handle,
    client: Arc<Client>,
    under_way: HashSet<Work>,
    tasks: JoinSet<Work>,
}

/// Requests the webhooks of messages until the task is ended.
pub(crate) async fn keep(handle: Handle) {
    let client = Arc::new(Client::new());
    let mut requests = Requests { handle, client, under_way: HashSet::new(), tasks: JoinSet::new() };
    loop {
        let pause = match requests.begin().await {
            Some(next) => Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO),
            None => Duration::from_secs(limits::SMS_FORGET_SECONDS),
        };
        let least = Duration::from_millis(limits::SMS_PAUSE_MILLISECONDS);
        tokio::select! {
            () = requests.handle.shared.sms.wake.notified() => {}
            () = tokio::time::sleep(pause.max(least)) => {}
            Some(Ok(work)) = requests.tasks.join_next() => drop(requests.under_way.remove(&work)),
        }
    }
}

impl Requests {
    /// Begins what is due; the time of the next.
    async fn begin(&mut self) -> Option<Timestamp> {
        if !self.handle.store.has_any() {
            return None;
        }
        let most = limits::MESSAGE_WEBHOOKS;
        let due = move |store: &Connection| {
            let due = (kept::inbound(store, most)?, kept::due_reports(store, Timestamp::now(), most)?);
            Ok((due, kept::next_report(store)?))
        };
        let ((inbound, reports), next) = match self.handle.store.run(Commit::Now, due).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!("messages cannot be read from the store: {error}");
                let pause = SignedDuration::from_secs(limits::SMS_STORE_PAUSE_SECONDS.cast_signed());
                return Some(Timestamp::now() + pause);
            }
        };
        for one in inbound {
            if self.has_place(Work::Inbound(one.id)) {
                let (handle, client, work) = (self.handle.clone(), Arc::clone(&self.client), Work::Inbound(one.id));
                self.tasks.spawn(async move {
                    inbound::pass_on(&handle, &client, one).await;
                    work
                });
            }
        }
        for one in reports {
            if self.has_place(Work::Report(one.id)) {
                let (handle, client, work) = (self.handle.clone(), Arc::clone(&self.client), Work::Report(one.id));
                self.tasks.spawn(async move {
                    reports::report_once(&handle, &client, one).await;
                    work
                });
            }
        }
        // What is under way is due no earlier than it ends.
        next.filter(|next| self.under_way.is_empty() || *next > Timestamp::now())
    }

    /// Takes a place for something that is not under way yet.
    fn has_place(&mut self, work: Work) -> bool {
        self.under_way.len() < limits::MESSAGE_WEBHOOKS && self.under_way.insert(work)
    }
}
