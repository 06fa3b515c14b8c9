//! Requests that the proxy of `[api] proxy` has refused, for listeners in this process, such as the sandbox of
//! `trunkgate twilio`. Without a listener nothing is kept.

use std::time::Instant;

use tokio::sync::broadcast;

use trunkgate_system::limits::PROXY_REFUSALS;

/// A request that the proxy has refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyRefusal {
    /// Time of the request.
    pub at: Instant,
    /// HTTP method.
    pub method: String,
    /// Host, and port where it is written; of a request in absolute form with the scheme before them.
    pub target: String,
    /// Reason of the refusal.
    pub reason: RefusalReason,
}

/// Reason of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalReason {
    /// The host is not Twilio's API, and the proxy serves no other.
    OtherHost,
    /// A request by http for another host: the proxy serves none.
    PlainHttp,
    /// Any other, in the words of the answer.
    Answered(String),
}

/// Passes refusals on to listeners.
#[derive(Debug)]
pub struct ProxyRefusals(broadcast::Sender<ProxyRefusal>);

impl Default for ProxyRefusals {
    fn default() -> ProxyRefusals {
        ProxyRefusals(broadcast::Sender::new(PROXY_REFUSALS))
    }
}

impl ProxyRefusals {
    /// Passes a refusal on.
    pub fn send(&self, refusal: ProxyRefusal) {
        // There may be no listener.
        let _ = self.0.send(refusal);
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<ProxyRefusal> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_gets_what_follows_and_without_one_nothing_is_kept() {
        let refusals = ProxyRefusals::default();
        let refusal = |target: &str| ProxyRefusal {
            at: Instant::now(),
            method: "CONNECT".to_owned(),
            target: target.to_owned(),
            reason: RefusalReason::OtherHost,
        };
        refusals.send(refusal("a.example:443"));
        let mut listener = refusals.subscribe();
        refusals.send(refusal("b.example:443"));
        assert_eq!(listener.try_recv().unwrap().target, "b.example:443");
        assert!(listener.try_recv().is_err());
    }
}
