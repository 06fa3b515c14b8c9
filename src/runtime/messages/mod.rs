//! Webhooks of messages: messages to the edge go to the URLs of their numbers, whose replies are sent, and states of messages are handed
//! to the sender of callbacks. What is due is in the store, so nothing is lost with the process.

mod inbound;
mod reports;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::task::JoinSet;

use super::handle::Handle;
use crate::limits;
use crate::sinks::callbacks::StoredDesk;
use crate::sinks::sms::kept;
use crate::sinks::store::Commit;
use crate::webhooks::client::Client;

/// Name under which these webhooks are counted.
const NAME: &str = "api:messages";
/// Requests webhooks until it is dropped.
struct Requests {
    handle: Handle,
    client: Arc<Client>,
    callbacks: StoredDesk,
    /// Messages to the edge, by their places in the store.
    under_way: HashSet<i64>,
    tasks: JoinSet<i64>,
}

/// Requests the webhooks of messages until the task is ended.
pub(crate) async fn keep(handle: Handle, callbacks: StoredDesk) {
    let client = Arc::new(Client::new());
    let mut requests = Requests { handle, client, callbacks, under_way: HashSet::new(), tasks: JoinSet::new() };
    loop {
        let pause = requests.begin().await;
        let least = Duration::from_millis(limits::SMS_PAUSE_MILLISECONDS);
        tokio::select! {
            () = requests.handle.shared.sms.wake.notified() => {}
            () = tokio::time::sleep(pause.max(least)) => {}
            Some(Ok(id)) = requests.tasks.join_next() => drop(requests.under_way.remove(&id)),
        }
    }
}

impl Requests {
    /// Begins what is to be done; returns when to look again, whatever comes meanwhile.
    async fn begin(&mut self) -> Duration {
        if !self.handle.store.has_any() {
            return Duration::from_secs(limits::SMS_FORGET_SECONDS);
        }
        match self.begin_now().await {
            Ok(true) => Duration::ZERO,
            Ok(false) => Duration::from_secs(limits::SMS_FORGET_SECONDS),
            Err(error) => {
                tracing::error!("messages cannot be read from the store: {error}");
                Duration::from_secs(limits::SMS_STORE_PAUSE_SECONDS)
            }
        }
    }

    /// Returns whether there may be more.
    async fn begin_now(&mut self) -> std::io::Result<bool> {
        let may_be_more = reports::hand_over(&self.handle, &self.callbacks).await?;
        let most = limits::MESSAGE_WEBHOOKS;
        let inbound = self.handle.store.run(Commit::Now, move |store: &Connection| kept::inbound(store, most)).await?;
        for one in inbound {
            if self.under_way.len() < limits::MESSAGE_WEBHOOKS && self.under_way.insert(one.id) {
                let (handle, client, id) = (self.handle.clone(), Arc::clone(&self.client), one.id);
                self.tasks.spawn(async move {
                    inbound::pass_on(&handle, &client, one).await;
                    id
                });
            }
        }
        Ok(may_be_more)
    }
}
