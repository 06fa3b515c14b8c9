//! DNS cache for agents. The hosts of the configuration are resolved repeatedly ahead of calls, and results are kept: a
//! call waits for DNS only if no result is known yet, and only for a short time.
//!
//! A lookup blocks a thread until the resolver responds or gives up, even if no call waits any more. Concurrent
//! requests for a host therefore share one lookup, and the number of threads is limited. A call that waits for a free
//! thread may give up.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::http::Uri;
use trunkgate_route::RoutingTable;

use trunkgate_system::limits::{AGENT_LOOK_UPS, AGENT_NAME_KEPT, AGENT_NAME_REFRESH, AGENT_NAME_WAIT, AGENT_NAMES};

/// Addresses found by a lookup; the error is the system's text.
pub(super) type AgentLookupResult = Result<Arc<[SocketAddr]>, Arc<str>>;
type PendingAgentLookup = BoxFuture<'static, AgentLookupResult>;
pub(super) type AgentHost = (String, u16);

/// Running lookups, by host and port, and the latest results.
#[derive(Debug)]
struct RunningLookups {
    all: Mutex<Vec<(AgentHost, WeakShared<PendingAgentLookup>)>>,
    threads: Semaphore,
    /// Latest successful lookups with their times.
    known: Mutex<Vec<CachedAddresses>>,
}

/// Addresses from a successful lookup, with its time.
#[derive(Debug)]
struct CachedAddresses {
    name: AgentHost,
    addresses: Arc<[SocketAddr]>,
    at: Instant,
}

static UNDER_WAY: RunningLookups = RunningLookups::new(AGENT_LOOK_UPS);

/// Returns the addresses of a host: from the cache if they are known, otherwise from DNS.
///
/// # Errors
/// Returns an error if they are unknown and not found within [`AGENT_NAME_WAIT`].
pub(super) async fn look_up(host: &str, port: u16) -> AgentLookupResult {
    match address(host, port) {
        Some(found) => Ok(found),
        None => UNDER_WAY.find((host.to_owned(), port), ask).await,
    }
}

/// Looks up the current addresses of a host in DNS, because the known ones are not reachable.
///
/// # Errors
/// Returns an error if they are not found within [`AGENT_NAME_WAIT`].
pub(super) async fn look_up_anew(host: &str, port: u16) -> AgentLookupResult {
    match address(host, port) {
        Some(found) => Ok(found),
        None => UNDER_WAY.ask_for((host.to_owned(), port), ask).await,
    }
}

/// Resolves the names of all agents, at once and then periodically.
pub async fn keep(mut table: watch::Receiver<Arc<RoutingTable>>) {
    loop {
        let agents = Arc::clone(&table.borrow_and_update());
        let urls = agents.agents().iter().filter_map(|agent| agent.url.parse::<Uri>().ok());
        for (host, port) in urls.map(|url| place(&url)) {
            if address(&host, port).is_none() {
                tokio::spawn(UNDER_WAY.join((host, port), ask));
            }
        }
        if let Ok(Err(_)) = timeout(AGENT_NAME_REFRESH, table.changed()).await {
            return;
        }
    }
}

/// Returns host and port of an agent's URL.
pub(super) fn place(url: &Uri) -> AgentHost {
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("wss") { 443 } else { 80 });
    (url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(), port)
}

fn address(host: &str, port: u16) -> Option<Arc<[SocketAddr]>> {
    Some([SocketAddr::new(host.parse().ok()?, port)].into())
}

fn ask((host, port): AgentHost) -> AgentLookupResult {
    let asked = (host.as_str(), port).to_socket_addrs();
    asked.map(Iterator::collect).map_err(|error| error.to_string().into())
}

impl RunningLookups {
    const fn new(threads: usize) -> RunningLookups {
        RunningLookups {
            all: Mutex::new(Vec::new()),
            threads: Semaphore::const_new(threads),
            known: Mutex::new(Vec::new()),
        }
    }

    /// Returns the known addresses of a name, or looks it up. Old results are refreshed in the background.
    async fn find(
        &'static self,
        name: AgentHost,
        ask: impl FnOnce(AgentHost) -> AgentLookupResult + Send + 'static,
    ) -> AgentLookupResult {
        let Some((addresses, age)) = self.known_of(&name) else { return self.ask_for(name, ask).await };
        if age >= AGENT_NAME_REFRESH {
            tokio::spawn(self.join(name, ask));
        }
        Ok(addresses)
    }

    /// Looks up a name and waits for a limited time.
    async fn ask_for(
        &'static self,
        name: AgentHost,
        ask: impl FnOnce(AgentHost) -> AgentLookupResult + Send + 'static,
    ) -> AgentLookupResult {
        let seconds = AGENT_NAME_WAIT.as_secs();
        let found = timeout(AGENT_NAME_WAIT, self.join(name, ask)).await;
        found.unwrap_or_else(|_| Err(format!("the name service did not respond within {seconds} s").into()))
    }

    fn known(&self) -> MutexGuard<'_, Vec<CachedAddresses>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the known addresses of a name with the age of the result; `None` if they are not known.
    fn known_of(&self, name: &AgentHost) -> Option<(Arc<[SocketAddr]>, Duration)> {
        let known = self.known();
        let known = known.iter().find(|known| known.name == *name)?;
        Some((Arc::clone(&known.addresses), known.at.elapsed())).filter(|(_, age)| *age < AGENT_NAME_KEPT)
    }

    /// Stores a result; the oldest one is evicted if there are too many.
    fn remember(&self, name: AgentHost, addresses: Arc<[SocketAddr]>) {
        let mut known = self.known();
        known.retain(|known| known.name != name);
        if known.len() >= AGENT_NAMES {
            known.remove(0);
        }
        known.push(CachedAddresses { name, addresses, at: Instant::now() });
    }

    /// Joins the running lookup of this name, or starts one.
    fn join(
        &'static self,
        key: AgentHost,
        ask: impl FnOnce(AgentHost) -> AgentLookupResult + Send + 'static,
    ) -> Shared<PendingAgentLookup> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, waiting)| waiting.upgrade().is_some_and(|waiting| waiting.peek().is_none()));
        let same = all.iter().find(|(other, _)| *other == key).and_then(|(_, waiting)| waiting.upgrade());
        same.unwrap_or_else(|| {
            let new = self.ask(key.clone(), ask).boxed().shared();
            all.extend(new.downgrade().map(|waiting| (key, waiting)));
            new
        })
    }

    async fn ask(
        &'static self,
        name: AgentHost,
        ask: impl FnOnce(AgentHost) -> AgentLookupResult + Send + 'static,
    ) -> AgentLookupResult {
        let gone = |_| Arc::from("no look-up: the edge ends");
        let permit = self.threads.acquire().await.map_err(|error| error.to_string())?;
        self.keep(&name);
        let asked_for = name.clone();
        let asked = spawn_blocking(move || {
            let _until_answered = permit;
            ask(asked_for)
        });
        let found = asked.await.map_err(gone)?;
        if let Ok(addresses) = &found
            && !addresses.is_empty()
        {
            self.remember(name, Arc::clone(addresses));
        }
        found
    }

    /// Completes a lookup in the background if it already has a thread, so that later requests can use its result.
    fn keep(&self, name: &AgentHost) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let this = all.iter().find(|(other, _)| other == name).and_then(|(_, waiting)| waiting.upgrade());
        this.map(tokio::spawn);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Simulated resolver controlled by the test.
    struct NameServer {
        under_way: &'static RunningLookups,
        asked: Arc<AtomicUsize>,
    }

    impl NameServer {
        fn new(threads: usize) -> NameServer {
            NameServer { under_way: Box::leak(Box::new(RunningLookups::new(threads))), asked: Arc::default() }
        }
        fn ask(&self, name: &str) -> (Shared<PendingAgentLookup>, Sender<AgentLookupResult>) {
            let asked = Arc::clone(&self.asked);
            let (answer, wait): (Sender<AgentLookupResult>, Receiver<AgentLookupResult>) = channel();
            let ask = move |_| {
                asked.fetch_add(1, Ordering::SeqCst);
                wait.recv().unwrap_or(Err("gone".into()))
            };
            (self.under_way.join((name.to_owned(), 443), ask), answer)
        }
        /// Runs all tasks until this many lookups were started.
        async fn until(&self, asked: usize) {
            while self.asked.load(Ordering::SeqCst) < asked {
                tokio::task::yield_now().await;
            }
        }
    }

    fn address_found() -> AgentLookupResult {
        Ok(["192.0.2.1:443".parse().unwrap()].into())
    }

    #[tokio::test]
    async fn who_asks_meanwhile_waits_for_the_same_answer() {
        let service = NameServer::new(8);
        let ((one, answer), (two, _)) = (service.ask("a.example"), service.ask("a.example"));
        let (one, two) = (tokio::spawn(one), tokio::spawn(two));
        service.until(1).await;
        answer.send(address_found()).unwrap();
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (address_found(), address_found()));
        // The lookup has completed: the next request starts a new one.
        let (again, answer) = service.ask("a.example");
        answer.send(address_found()).unwrap();
        assert_eq!((again.await, service.asked.load(Ordering::SeqCst)), (address_found(), 2));
    }

    /// Abandoned lookups of one name share one thread; total threads are limited.
    #[tokio::test]
    async fn given_up_look_ups_take_no_more_threads() {
        let service = NameServer::new(2);
        let mut answers = Vec::new();
        for name in ["a.example", "b.example"] {
            for n in 0..20 {
                let (asked, answer) = service.ask(name);
                let given_up = tokio::spawn(asked);
                service.until(answers.len() + usize::from(n == 0)).await;
                if n == 0 {
                    answers.push(answer);
                }
                given_up.abort();
                assert!(given_up.await.unwrap_err().is_cancelled());
            }
        }
        assert_eq!((service.asked.load(Ordering::SeqCst), service.under_way.threads.available_permits()), (2, 0));
        // No thread is free: the request waits and may give up.
        let (third, _answer) = service.ask("c.example");
        assert_eq!((third.clone().now_or_never(), service.asked.load(Ordering::SeqCst)), (None, 2));
        drop(third);
        let (fourth, answer) = service.ask("d.example");
        let fourth = tokio::spawn(fourth);
        answer.send(address_found()).unwrap();
        answers.pop().unwrap().send(address_found()).unwrap();
        assert_eq!((fourth.await.unwrap(), service.asked.load(Ordering::SeqCst)), (address_found(), 3));
    }

    /// An unresponsive resolver does not delay a call if the name is known, and delays it by at most a second if not.
    #[tokio::test]
    async fn what_is_known_is_answered_at_once() {
        let service = NameServer::new(8);
        let name = ("a.example".to_owned(), 443);
        // Unresponsive until the test ends, because a runtime waits for its threads.
        let mut open = Vec::new();
        let mut silent = || {
            let (never, wait) = channel::<AgentLookupResult>();
            open.push(never);
            move |_| wait.recv().unwrap_or(Err("gone".into()))
        };
        let began = Instant::now();
        let unknown = service.under_way.find(name.clone(), silent()).await.unwrap_err();
        assert_eq!(&*unknown, "the name service did not respond within 1 s");
        assert!(began.elapsed() >= AGENT_NAME_WAIT);
        // The late answer is stored.
        let other = ("b.example".to_owned(), 443);
        assert_eq!(service.under_way.find(other.clone(), |_| address_found()).await, address_found());
        assert_eq!(service.under_way.find(other.clone(), silent()).await, address_found());
        // An error does not replace the stored result.
        assert!(service.under_way.ask_for(other.clone(), |_| Err("no such host".into())).await.is_err());
        assert_eq!(service.under_way.find(other, silent()).await, address_found());
        for n in 0..2 * AGENT_NAMES {
            service.under_way.remember((format!("{n}.example"), 443), Arc::from([]));
        }
        assert_eq!(service.under_way.known().len(), AGENT_NAMES);
    }

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        let found = look_up("::1", 9000).await.unwrap();
        assert_eq!(*found, ["[::1]:9000".parse().unwrap()]);
        assert!(look_up("no such host", 9000).await.is_err());
    }
}
