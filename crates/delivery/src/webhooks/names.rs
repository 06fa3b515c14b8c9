//! DNS lookups for the hosts in applications' URLs: limited for each application, one at a time for each name, and not
//! repeated for some seconds after a failure.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::time::{Instant, timeout};

use super::outcome::{AttemptFault, AttemptFaultKind};
use trunkgate_system::connector::look_up;
use trunkgate_system::limits::{
    WEBHOOK_LOOK_UP_WAIT_MILLISECONDS, WEBHOOK_LOOK_UPS, WEBHOOK_LOOK_UPS_OF_ONE, WEBHOOK_UNKNOWN_HOST_SECONDS,
    WEBHOOK_UNKNOWN_HOSTS,
};
use trunkgate_system::shares::{SlotPermit, SlotShares};

/// Addresses of a host, or the reason why there are none.
type HostLookupResult = Result<Vec<IpAddr>, Arc<str>>;
type PendingHostLookup = Shared<BoxFuture<'static, HostLookupResult>>;
/// Lookup function, by default the system's resolver.
type LookupFunction = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// DNS lookups for the hosts in applications' URLs.
pub(super) struct HostLookups {
    ask: LookupFunction,
    /// Maximum time that a request waits for its application's share of lookups.
    wait: Duration,
    shares: SlotShares,
    hosts: Arc<Mutex<HashMap<String, HostState>>>,
}

/// State of a host with a lookup in progress or a recently failed one.
enum HostState {
    UnderWay(PendingHostLookup),
    Unknown { what: Arc<str>, until: Instant },
}

impl HostLookups {
    /// Creates lookups with the system's resolver.
    pub(super) fn new() -> HostLookups {
        let ask = |host: String| async move { look_up(&host, 0).await.map(addresses) }.boxed();
        HostLookups::with(Arc::new(ask), Duration::from_millis(WEBHOOK_LOOK_UP_WAIT_MILLISECONDS))
    }

    /// Creates lookups with another lookup function and another waiting time.
    fn with(ask: LookupFunction, wait: Duration) -> HostLookups {
        let shares = SlotShares::new(WEBHOOK_LOOK_UPS_OF_ONE, WEBHOOK_LOOK_UPS);
        HostLookups { ask, wait, shares, hosts: Arc::default() }
    }

    /// Returns the addresses of a host for an application; an IP address is returned without a lookup.
    ///
    /// # Errors
    /// Returns a fault if the name does not resolve, or if too many lookups of the application are in progress.
    pub(super) async fn find(&self, host: &str, asker: &Arc<str>) -> Result<Vec<IpAddr>, AttemptFault> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![ip]);
        }
        let unknown =
            |what: &str| AttemptFault::new(AttemptFaultKind::UnknownHost, format!("host name not found: {what}"));
        if let Some(what) = self.failed_lately(host) {
            return Err(unknown(&what));
        }
        // A share is taken in any case; joining a lookup that is in progress releases it.
        let Ok(Ok(share)) = timeout(self.wait, self.shares.take(asker)).await else {
            return Err(unknown("the name service has not answered other look-ups of this application yet"));
        };
        self.look_up(host, share).await.map_err(|what| unknown(&what))
    }

    fn failed_lately(&self, host: &str) -> Option<Arc<str>> {
        match self.lock().get(host) {
            Some(HostState::Unknown { what, until }) if Instant::now() < *until => Some(Arc::clone(what)),
            Some(HostState::Unknown { .. } | HostState::UnderWay(_)) | None => None,
        }
    }

    /// Joins the lookup of a host that is in progress, or starts one. The resolver blocks a thread until it responds,
    /// even if no request waits any more, so the share is released only then.
    fn look_up(&self, host: &str, share: SlotPermit) -> PendingHostLookup {
        let mut hosts = self.lock();
        if let Some(HostState::UnderWay(look_up)) = hosts.get(host)
            && look_up.peek().is_none()
        {
            return look_up.clone();
        }
        let (asked, name, of) = ((self.ask)(host.to_owned()), host.to_owned(), Arc::clone(&self.hosts));
        let task = tokio::spawn(async move {
            let _place = share;
            let found = asked.await.map_err(|error| Arc::from(error.to_string()));
            settle(&mut of.lock().unwrap_or_else(PoisonError::into_inner), name, &found);
            found
        });
        let given_up = |_| Err(Arc::from("the DNS lookup was cancelled"));
        let look_up = task.map(move |found| found.unwrap_or_else(given_up)).boxed().shared();
        hosts.insert(host.to_owned(), HostState::UnderWay(look_up.clone()));
        look_up
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HostState>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn addresses(found: Vec<SocketAddr>) -> Vec<IpAddr> {
    found.into_iter().map(|address| address.ip()).collect()
}

/// Completes a lookup; a failure is remembered for some seconds.
fn settle(hosts: &mut HashMap<String, HostState>, host: String, found: &HostLookupResult) {
    hosts.remove(&host);
    let Err(what) = found else { return };
    let now = Instant::now();
    hosts.retain(|_, host| !matches!(host, HostState::Unknown { until, .. } if *until <= now));
    if hosts.len() < WEBHOOK_UNKNOWN_HOSTS {
        let until = now + Duration::from_secs(WEBHOOK_UNKNOWN_HOST_SECONDS);
        hosts.insert(host, HostState::Unknown { what: Arc::clone(what), until });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// Simulated resolver: names in `.dead` never resolve, names in `.none` fail, all others resolve when `open` is
    /// set.
    #[derive(Default)]
    struct Answers {
        asked: AtomicUsize,
        open: Notify,
    }

    fn names(service: &Arc<Answers>) -> Arc<HostLookups> {
        let service = Arc::clone(service);
        let ask = move |host: String| {
            service.asked.fetch_add(1, Ordering::Relaxed);
            let service = Arc::clone(&service);
            let answer = async move {
                match host.rsplit('.').next() {
                    Some("dead") => std::future::pending().await,
                    Some("none") => Err(io::Error::other("no such name")),
                    Some("slow") => {
                        service.open.notified().await;
                        Ok(vec![ADDRESS])
                    }
                    _ => Ok(vec![ADDRESS]),
                }
            };
            answer.boxed()
        };
        Arc::new(HostLookups::with(Arc::new(ask), Duration::ZERO))
    }

    async fn found(names: &HostLookups, host: &str, asker: &str) -> Result<Vec<IpAddr>, String> {
        names.find(host, &asker.into()).await.map_err(|fault| fault.what)
    }

    /// Yields until no task can make progress.
    async fn settled() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn dead_names_of_one_application_leave_others_their_look_ups() {
        let service = Arc::new(Answers::default());
        let names = names(&service);
        for number in 0..WEBHOOK_LOOK_UPS_OF_ONE {
            let names = Arc::clone(&names);
            tokio::spawn(async move { found(&names, &format!("{number}.dead"), "a").await });
        }
        settled().await;
        let refused = found(&names, "host.example", "a").await.unwrap_err();
        assert!(refused.contains("other look-ups of this application"), "{refused}");
        assert_eq!(found(&names, "192.0.2.7", "a").await, Ok(vec!["192.0.2.7".parse().unwrap()]));
        assert_eq!(found(&names, "2001:db8::7", "a").await, Ok(vec!["2001:db8::7".parse().unwrap()]));
        assert_eq!(found(&names, "host.example", "b").await, Ok(vec![ADDRESS]));
    }

    #[tokio::test]
    async fn the_system_is_asked() {
        let names = HostLookups::new();
        let here = found(&names, "localhost", "a").await.unwrap();
        assert!(!here.is_empty() && here.iter().all(IpAddr::is_loopback), "{here:?}");
        let unknown = found(&names, "a..invalid", "a").await.unwrap_err();
        assert!(unknown.starts_with("host name not found: "), "{unknown}");
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_at_a_time_and_not_again_soon_after_a_failure() {
        let service = Arc::new(Answers::default());
        let names = names(&service);
        let asked = join_all(["a", "b", "c"].map(|asker| found(&names, "x.slow", asker)));
        let answered = async {
            settled().await;
            service.open.notify_one();
        };
        assert!(tokio::join!(asked, answered).0.iter().all(Result::is_ok));
        assert_eq!(service.asked.load(Ordering::Relaxed), 1);
        for asker in ["a", "b", "a"] {
            let unknown = found(&names, "x.none", asker).await.unwrap_err();
            assert_eq!(unknown, "host name not found: no such name");
        }
        assert_eq!(service.asked.load(Ordering::Relaxed), 2);
        for _ in 0..2 {
            assert!(found(&names, "x.example", "a").await.is_ok());
        }
        assert_eq!(service.asked.load(Ordering::Relaxed), 4, "addresses are the system's to keep");
    }
}
