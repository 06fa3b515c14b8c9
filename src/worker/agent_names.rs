//! Agents' host names. A look-up takes a thread until the name service answers or gives up, whether anybody still waits
//! or not; so calls to one host that begin meanwhile wait for the same one. An answer is not kept.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::net::lookup_host;

/// What a look-up came to; an error in the system's words.
pub(super) type Found = Result<Arc<[SocketAddr]>, Arc<str>>;
type LookUp = BoxFuture<'static, Found>;
type Name = (String, u16);

/// Look-ups that somebody waits for, by host and port.
#[derive(Debug)]
struct UnderWay(Mutex<Vec<(Name, WeakShared<LookUp>)>>);

static UNDER_WAY: UnderWay = UnderWay::new();

/// The addresses of a host.
pub(super) async fn look_up(host: &str, port: u16) -> Found {
    let key = (host.to_owned(), port);
    let ask = |(host, port): Name| {
        let asked = async move { lookup_host((host, port)).await.map(Iterator::collect) };
        asked.map(|found| found.map_err(|error| error.to_string().into())).boxed()
    };
    UNDER_WAY.join(key, ask).await
}

impl UnderWay {
    const fn new() -> UnderWay {
        UnderWay(Mutex::new(Vec::new()))
    }

    /// The look-up of this name that is under way, or a new one.
    fn join(&self, key: Name, ask: impl FnOnce(Name) -> LookUp) -> Shared<LookUp> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, waiting)| waiting.upgrade().is_some_and(|waiting| waiting.peek().is_none()));
        let same = all.iter().find(|(other, _)| *other == key).and_then(|(_, waiting)| waiting.upgrade());
        same.unwrap_or_else(|| {
            let new = ask(key.clone()).shared();
            all.extend(new.downgrade().map(|waiting| (key, waiting)));
            new
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn who_asks_meanwhile_waits_for_the_same_answer() {
        let under_way = UnderWay::new();
        let asked = Cell::new(0);
        let join = |name: &str| {
            let (answer, wait) = oneshot::channel::<Found>();
            let ask = |_| {
                asked.set(asked.get() + 1);
                wait.map(|found| found.unwrap_or_else(|_| Err("gone".into()))).boxed()
            };
            (under_way.join((name.to_owned(), 443), ask), answer)
        };
        let ((one, answer), (two, _), (other, _other)) = (join("a.example"), join("a.example"), join("b.example"));
        assert_eq!(asked.get(), 2);
        let address: SocketAddr = "192.0.2.1:443".parse().unwrap();
        answer.send(Ok([address].into())).unwrap();
        assert_eq!((one.await, two.await), (Ok([address].into()), Ok([address].into())));
        // Answered: asked anew. Given up by all that waited: the same.
        drop(other);
        let _waiting = (join("a.example"), join("b.example"));
        assert_eq!(asked.get(), 4);
    }

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        let found = look_up("::1", 9000).await.unwrap();
        assert_eq!(*found, ["[::1]:9000".parse().unwrap()]);
        assert!(look_up("no such host", 9000).await.is_err());
    }
}
