//! Requests rejected by the proxy of `[api] proxy`, published to listeners in this process, such as the sandbox of
//! `trunkgate twilio`. Nothing is stored.

use std::time::Instant;

use tokio::sync::broadcast;

use trunkgate_system::limits::PROXY_REFUSALS;

/// Request rejected by the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyRefusal {
    /// Time of the request.
    pub at: Instant,
    /// HTTP method.
    pub method: String,
    /// Requested host with an optional port; preceded by the scheme if the request has an absolute URL.
    pub target: String,
    /// Reason of the rejection.
    pub reason: RefusalReason,
}

/// Reason of a rejection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalReason {
    /// The host is not Twilio's API, and the proxy serves no other.
    OtherHost,
    /// Plain HTTP request for another host; the proxy serves none.
    PlainHttp,
    /// Any other reason, in the words of the proxy's response.
    Answered(String),
}

/// Publisher of the requests that the proxy rejected.
#[derive(Debug)]
pub struct ProxyRefusals(broadcast::Sender<ProxyRefusal>);

impl Default for ProxyRefusals {
    fn default() -> ProxyRefusals {
        ProxyRefusals(broadcast::Sender::new(PROXY_REFUSALS))
    }
}

impl ProxyRefusals {
    /// Publishes a rejected request.
    pub fn send(&self, refusal: ProxyRefusal) {
        // There may be no listener.
        let _ = self.0.send(refusal);
    }

    /// Subscribes to further rejections.
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
