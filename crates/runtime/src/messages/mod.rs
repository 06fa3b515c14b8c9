//! Webhooks of messages: received messages are passed to the URLs of their numbers and the replies are sent; status
//! changes are handed to the callback sender. Pending work is in the store, so nothing is lost with the process.

mod cookies;
mod inbound;
mod reports;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use self::cookies::ConversationCookies;
pub use self::inbound::{first_url, host};
use super::handle::EdgeHandle;
use trunkgate_delivery::sinks::callbacks::StoredCallbackSender;
pub use trunkgate_delivery::sinks::sms::kept;
use trunkgate_delivery::sinks::sms::webhooks;
pub use trunkgate_delivery::sinks::store::Commit;
use trunkgate_system::limits;

/// Name under which these webhooks appear in metrics.
const NAME: &str = "api:messages";

/// Requests the webhooks of messages until the task is cancelled.
pub async fn keep(handle: EdgeHandle, callbacks: StoredCallbackSender) {
    let cookies = Arc::new(ConversationCookies::restored(&handle.store).await);
    let (worker, wake) = webhooks::worker(handle.store.clone(), inbound::means(&handle, &cookies));
    // It ends with this task.
    let mut tasks = JoinSet::new();
    tasks.spawn(worker);
    loop {
        let pause = hand_over_reports(&handle, &callbacks).await;
        let least = Duration::from_millis(limits::SMS_PAUSE_MILLISECONDS);
        tokio::select! {
            () = handle.shared.sms.wake.notified() => wake(),
            () = tokio::time::sleep(pause.max(least)) => {}
        }
        cookies.remove_expired(&handle.store);
    }
}

/// Passes pending status changes to the callback sender; returns the time until the next check.
async fn hand_over_reports(handle: &EdgeHandle, callbacks: &StoredCallbackSender) -> Duration {
    if !handle.store.has_any() {
        return Duration::from_secs(limits::SMS_FORGET_SECONDS);
    }
    match reports::hand_over(handle, callbacks).await {
        Ok(true) => Duration::ZERO,
        Ok(false) => Duration::from_secs(limits::SMS_FORGET_SECONDS),
        Err(error) => {
            tracing::error!(
                "status callbacks of messages wait, because the store cannot be read: {error}; retried in {} s",
                limits::SMS_STORE_PAUSE_SECONDS
            );
            Duration::from_secs(limits::SMS_STORE_PAUSE_SECONDS)
        }
    }
}
