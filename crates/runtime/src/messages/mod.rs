//! Webhooks of messages: received messages are passed to the URLs of their numbers and the replies are sent; status
//! changes are handed to the callback sender. Pending work is in the store, so nothing is lost with the process.

mod cookies;
mod inbound;
mod reports;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::task::JoinSet;

use self::cookies::ConversationCookies;
pub use self::inbound::first_url;
use self::turns::MessageTurns;
use super::handle::Handle;
use trunkgate_delivery::sinks::callbacks::StoredDesk;
pub use trunkgate_delivery::sinks::sms::kept;
pub use trunkgate_delivery::sinks::store::Commit;
use trunkgate_delivery::webhooks::client::Client;
use trunkgate_system::limits;

/// Name under which these webhooks are counted.
const NAME: &str = "api:messages";
/// Runner of webhook requests; dropping it cancels them.
struct Requests {
    handle: Handle,
    client: Arc<Client>,
    cookies: Arc<ConversationCookies>,
    callbacks: StoredDesk,
    turns: MessageTurns,
    /// Id of the last received message that was queued.
    last: i64,
    tasks: JoinSet<i64>,
}

/// Requests the webhooks of messages until the task is cancelled.
pub async fn keep(handle: Handle, callbacks: StoredDesk) {
    let client = Arc::new(Client::new());
    let turns = MessageTurns::new();
    let cookies = Arc::new(ConversationCookies::restored(&handle.store).await);
    let mut requests = Requests { handle, client, cookies, callbacks, turns, last: 0, tasks: JoinSet::new() };
    loop {
        let pause = requests.begin().await;
        let least = Duration::from_millis(limits::SMS_PAUSE_MILLISECONDS);
        tokio::select! {
            () = requests.handle.shared.sms.wake.notified() => {}
            () = tokio::time::sleep(pause.max(least)) => {}
            Some(Ok(id)) = requests.tasks.join_next() => requests.turns.done(id),
        }
        requests.cookies.remove_expired(&requests.handle.store);
    }
}

impl Requests {
    /// Starts the pending work; returns the time until the next check.
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

    /// Starts the pending work once; returns whether there may be more.
    async fn begin_now(&mut self) -> std::io::Result<bool> {
        let may_be_more = reports::hand_over(&self.handle, &self.callbacks).await?;
        let (last, most) = (self.last, limits::MESSAGE_TURNS_READ);
        let read = move |store: &Connection| kept::places(store, last, most);
        let places = self.handle.store.run(Commit::Now, read).await?;
        let may_be_more = may_be_more || places.len() >= most;
        for place in places {
            self.last = place.id;
            let host = inbound::host(&self.handle, &place.number);
            self.turns.enter(place.id, &format!("{} {}", place.sender, place.number), host);
        }
        while let Some(id) = self.turns.next() {
            let (handle, client) = (self.handle.clone(), Arc::clone(&self.client));
            let cookies = Arc::clone(&self.cookies);
            self.tasks.spawn(async move {
                inbound::pass_on(&handle, &client, &cookies, id).await;
                id
            });
        }
        Ok(may_be_more)
    }
}
