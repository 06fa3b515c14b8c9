//! TLS handshakes that others began with a listener and that failed: how many in the last hour, and the latest.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use trunkgate_call::last_hour::LastHour;

/// Failed handshakes of all listeners.
#[derive(Debug, Default)]
pub struct TlsFaults(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    count: LastHour<1>,
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    at: Instant,
    listener: String,
    remote: IpAddr,
    why: String,
}

/// The same as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsFaultsView {
    /// How many in the last hour.
    pub handshakes: u64,
    /// The listener of the latest.
    pub listener: String,
    /// Where the latest came from.
    pub last: IpAddr,
    /// Why it failed.
    pub why: String,
    /// Seconds since then.
    pub seconds_ago: u64,
}

impl TlsFaults {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes one.
    pub(super) fn note(&self, now: Instant, listener: &str, remote: IpAddr, why: &str) {
        let mut inner = self.lock();
        inner.count.count(now, [true]);
        inner.last =
            Some(Last { at: now, listener: listener.to_owned(), remote: remote.to_canonical(), why: why.to_owned() });
    }

    /// Those of the last hour; `None`: there was none.
    pub(crate) fn view(&self, now: Instant) -> Option<TlsFaultsView> {
        let inner = self.lock();
        let [handshakes] = inner.count.sums(now);
        let last = inner.last.as_ref().filter(|_| handshakes > 0)?;
        Some(TlsFaultsView {
            handshakes,
            listener: last.listener.clone(),
            last: last.remote,
            why: last.why.clone(),
            seconds_ago: now.saturating_duration_since(last.at).as_secs(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn failures_are_shown_for_an_hour_with_the_latest() {
        let (faults, start) = (TlsFaults::default(), Instant::now());
        assert_eq!(faults.view(start), None);
        for n in 0..3 {
            faults.note(start + Duration::from_secs(n), "secure", IpAddr::from([192, 0, 2, 1]), &format!("why {n}"));
        }
        let view = faults.view(start + Duration::from_secs(10)).unwrap();
        assert_eq!((view.handshakes, view.why.as_str(), view.seconds_ago), (3, "why 2", 8));
        assert_eq!(faults.view(start + Duration::from_secs(3_800)), None);
    }
}
