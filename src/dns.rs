//! Names: the peers' host names, looked up at start and again and again, and the ones that single calls ask for.
//! The system's resolver is asked for addresses; NAPTR and SRV (RFC 3263) are not looked up in this version.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use trunkgate_call::{QueryId, Resolved};
use trunkgate_sip::Transport;

use crate::limits;

/// Host names of peers and what they were found to be. A name that cannot be found keeps what it had.
pub type Addresses = HashMap<String, Vec<IpAddr>>;

/// Looks all names up at once and gives back those that were found within the time of one look-up.
pub async fn look_up_all(names: Vec<String>) -> Addresses {
    let mut waiting = JoinSet::new();
    for name in names {
        waiting.spawn(async move {
            let found = addresses(&name, 0).await;
            (name, found)
        });
    }
    let mut all = Addresses::new();
    while let Some(done) = waiting.join_next().await {
        match done {
            Ok((name, found)) if found.is_empty() => tracing::warn!("`{name}` is not found in DNS"),
            Ok((name, found)) => {
                let mut ips: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
                // The order of answers changes from one to the next; that alone is no change.
                ips.sort_unstable();
                ips.dedup();
                all.insert(name, ips);
            }
            Err(error) => tracing::warn!("a look-up failed: {error}"),
        }
    }
    all
}

async fn addresses(host: &str, port: u16) -> Vec<SocketAddr> {
    let looking = tokio::net::lookup_host((host, port));
    match timeout(Duration::from_secs(limits::LOOKUP_SECONDS), looking).await {
        Ok(Ok(found)) => first_ones(found),
        Ok(Err(error)) => {
            tracing::debug!("`{host}`: {error}");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!("`{host}`: no answer in {} s", limits::LOOKUP_SECONDS);
            Vec::new()
        }
    }
}

/// Each once, in the order given, and no more than are kept.
fn first_ones(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut unique: Vec<SocketAddr> = Vec::new();
    for address in found {
        if unique.len() < limits::ADDRESSES_PER_NAME && !unique.contains(&address) {
            unique.push(address);
        }
    }
    unique
}

/// Look-ups that calls wait for.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    waiting: JoinSet<(QueryId, Vec<Resolved>)>,
    /// Beyond the limit: answered at once, with nothing.
    refused: VecDeque<QueryId>,
}

impl Lookups {
    /// Begins a look-up; its answer comes by [`Self::next`], empty where nothing is found or too many are under way.
    pub(crate) fn begin(&mut self, query: QueryId, host: String, port: Option<u16>, transport: Transport) {
        if self.waiting.len() >= limits::LOOKUPS {
            self.refused.push_back(query);
            return;
        }
        let port = port.unwrap_or(if transport == Transport::Tls { 5061 } else { 5060 });
        self.waiting.spawn(async move {
            let found = addresses(&host, port).await;
            (query, found.into_iter().map(|address| Resolved { transport, address }).collect())
        });
    }

    /// The next answer.
    pub(crate) async fn next(&mut self) -> (QueryId, Vec<Resolved>) {
        if let Some(query) = self.refused.pop_front() {
            return (query, Vec::new());
        }
        loop {
            match self.waiting.join_next().await {
                Some(Ok(answer)) => return answer,
                Some(Err(error)) => tracing::error!("a look-up failed: {error}"),
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_its_own_answer_and_nonsense_is_empty() {
        let mut lookups = Lookups::default();
        lookups.begin(QueryId(1), "127.0.0.1".into(), None, Transport::Udp);
        let (query, found) = lookups.next().await;
        assert_eq!(query, QueryId(1));
        assert_eq!(found, [Resolved { transport: Transport::Udp, address: "127.0.0.1:5060".parse().unwrap() }]);
        lookups.begin(QueryId(2), "no such host".into(), None, Transport::Tls);
        assert_eq!(lookups.next().await, (QueryId(2), vec![]));
    }

    #[test]
    fn a_name_has_each_address_once_and_not_too_many() {
        let all = (0u16..100).map(|n| SocketAddr::from(([127, 0, 0, 1], n / 2)));
        let found = first_ones(all);
        assert_eq!(found.len(), limits::ADDRESSES_PER_NAME);
        assert_eq!((found[0].port(), found[1].port()), (0, 1));
    }

    #[tokio::test]
    async fn more_look_ups_than_allowed_find_nothing() {
        let mut lookups = Lookups::default();
        for n in 0..=limits::LOOKUPS {
            lookups.begin(QueryId(n as u64), "127.0.0.1".into(), None, Transport::Udp);
        }
        let mut empty = 0;
        for _ in 0..=limits::LOOKUPS {
            let (_, found) = lookups.next().await;
            empty += usize::from(found.is_empty());
        }
        assert_eq!(empty, 1);
    }
}
