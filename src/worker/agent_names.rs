//! Agents' host names. A look-up takes a thread until the name service answers or gives up, whether anybody still waits
//! or not; so whoever asks for a host meanwhile waits for the same one, and there are so many threads at once and no more.
//! Who waits for one to be free may give up. An answer is not kept.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::limits::AGENT_LOOK_UPS;

/// What a look-up came to; an error in the system's words.
pub(super) type Found = Result<Arc<[SocketAddr]>, Arc<str>>;
type LookUp = BoxFuture<'static, Found>;
type Name = (String, u16);

/// Look-ups that somebody waits for or that have a thread, by host and port.
#[derive(Debug)]
struct UnderWay {
    all: Mutex<Vec<(Name, WeakShared<LookUp>)>>,
    threads: Semaphore,
}

static UNDER_WAY: UnderWay = UnderWay::new(AGENT_LOOK_UPS);

/// The addresses of a host.
pub(super) async fn look_up(host: &str, port: u16) -> Found {
    if let Ok(ip) = host.parse() {
        return Ok([SocketAddr::new(ip, port)].into());
    }
    let ask = |(host, port): Name| {
        let asked = (host.as_str(), port).to_socket_addrs();
        asked.map(Iterator::collect).map_err(|error| error.to_string().into())
    };
    UNDER_WAY.join((host.to_owned(), port), ask).await
}

impl UnderWay {
    const fn new(threads: usize) -> UnderWay {
        UnderWay { all: Mutex::new(Vec::new()), threads: Semaphore::const_new(threads) }
    }

    /// The look-up of this name that is under way, or a new one.
    fn join(&'static self, key: Name, ask: impl FnOnce(Name) -> Found + Send + 'static) -> Shared<LookUp> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, waiting)| waiting.upgrade().is_some_and(|waiting| waiting.peek().is_none()));
        let same = all.iter().find(|(other, _)| *other == key).and_then(|(_, waiting)| waiting.upgrade());
        same.unwrap_or_else(|| {
            let new = self.ask(key.clone(), ask).boxed().shared();
            all.extend(new.downgrade().map(|waiting| (key, waiting)));
            new
        })
    }

    async fn ask(&'static self, name: Name, ask: impl FnOnce(Name) -> Found + Send + 'static) -> Found {
        let gone = |_| Arc::from("no look-up: the edge ends");
        let permit = self.threads.acquire().await.map_err(|error| error.to_string())?;
        self.keep(&name);
        let asked = spawn_blocking(move || {
            let _until_answered = permit;
            ask(name)
        });
        asked.await.map_err(gone)?
    }

    /// From now on it has a thread: it is seen to its end, so that who asks next finds it.
    fn keep(&self, name: &Name) {
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

    /// A name service that answers when it is told to.
    struct NameServer {
        under_way: &'static UnderWay,
        asked: Arc<AtomicUsize>,
    }

    impl NameServer {
        fn new(threads: usize) -> NameServer {
            NameServer { under_way: Box::leak(Box::new(UnderWay::new(threads))), asked: Arc::default() }
        }
        fn ask(&self, name: &str) -> (Shared<LookUp>, Sender<Found>) {
            let asked = Arc::clone(&self.asked);
            let (answer, wait): (Sender<Found>, Receiver<Found>) = channel();
            let ask = move |_| {
                asked.fetch_add(1, Ordering::SeqCst);
                wait.recv().unwrap_or(Err("gone".into()))
            };
            (self.under_way.join((name.to_owned(), 443), ask), answer)
        }
        /// Lets all tasks go on until so many were asked.
        async fn until(&self, asked: usize) {
            while self.asked.load(Ordering::SeqCst) < asked {
                tokio::task::yield_now().await;
            }
        }
    }

    fn address() -> Found {
        Ok(["192.0.2.1:443".parse().unwrap()].into())
    }

    #[tokio::test]
    async fn who_asks_meanwhile_waits_for_the_same_answer() {
        let service = NameServer::new(8);
        let ((one, answer), (two, _)) = (service.ask("a.example"), service.ask("a.example"));
        let (one, two) = (tokio::spawn(one), tokio::spawn(two));
        service.until(1).await;
        answer.send(address()).unwrap();
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (address(), address()));
        // Answered: asked anew.
        let (again, answer) = service.ask("a.example");
        answer.send(address()).unwrap();
        assert_eq!((again.await, service.asked.load(Ordering::SeqCst)), (address(), 2));
    }

    /// One thread a name, though everybody gave up; of all names, so many as there may be.
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
        // No thread is free: waits, and may give up.
        let (third, _answer) = service.ask("c.example");
        assert_eq!((third.clone().now_or_never(), service.asked.load(Ordering::SeqCst)), (None, 2));
        drop(third);
        let (fourth, answer) = service.ask("d.example");
        let fourth = tokio::spawn(fourth);
        answer.send(address()).unwrap();
        answers.pop().unwrap().send(address()).unwrap();
        assert_eq!((fourth.await.unwrap(), service.asked.load(Ordering::SeqCst)), (address(), 3));
    }

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        let found = look_up("::1", 9000).await.unwrap();
        assert_eq!(*found, ["[::1]:9000".parse().unwrap()]);
        assert!(look_up("no such host", 9000).await.is_err());
    }
}
