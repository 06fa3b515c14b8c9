//! Name resolution for peers and for single calls: results are cached for their TTL, refreshed when it ends, and kept
//! longer if no answer arrives.

use std::collections::HashMap;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use trunkgate_call::dns::words;
use trunkgate_call::{GatewayInput, QueryId};
use trunkgate_route::locate::{LocatedServers, NameFault};
use trunkgate_route::{Destination, DestinationServer};

use crate::handle::{EdgeHandle, SignallingEnded};
use crate::settings::ResolvedServers;
use crate::stale_names::{LookupFailures, StaleName};
use trunkgate_system::dns::{Resolver, shown};
use trunkgate_system::limits;

/// Name query of a call.
pub type NameQuestion = (QueryId, Destination);

/// Cached lookup result of one destination.
#[derive(Debug)]
struct NameEntry {
    servers: Vec<DestinationServer>,
    /// True for a peer of a trunk, which is looked up again automatically.
    is_peer: bool,
    is_under_way: bool,
    /// Number of consecutive failures.
    failures: u32,
    /// Kind of the failed lookups since the last successful one.
    missed: LookupFailures,
    /// Time of the next lookup.
    due: Instant,
    /// Calls that wait for the result.
    waiting: Vec<QueryId>,
}

/// Task that resolves names.
pub struct NameResolver {
    resolver: Resolver,
    handle: EdgeHandle,
    questions: mpsc::Receiver<NameQuestion>,
    entries: HashMap<Destination, NameEntry>,
    looking: JoinSet<(Destination, LocatedServers)>,
    /// Destination of each lookup task, by which a lookup that panicked is identified.
    tasks: HashMap<Id, Destination>,
    /// Signalled when every name has been looked up once.
    settled: Option<SyncSender<()>>,
    /// Time of the first change of a peer's servers not yet in the routing table.
    changed: Option<Instant>,
    /// Unresolved names of peers, as last reported to the gateway.
    unresolved: HashMap<Destination, NameFault>,
}

impl NameResolver {
    /// Creates the task; `settled` is signalled when every name has been looked up once.
    pub fn new(
        resolver: Resolver,
        handle: EdgeHandle,
        questions: mpsc::Receiver<NameQuestion>,
        settled: SyncSender<()>,
    ) -> NameResolver {
        let (entries, looking, tasks) = (HashMap::new(), JoinSet::new(), HashMap::new());
        let (settled, unresolved) = (Some(settled), HashMap::new());
        NameResolver { resolver, handle, questions, entries, looking, tasks, settled, changed: None, unresolved }
    }

    /// Resolves names until the edge ends.
    pub async fn keep(mut self) {
        self.take_peers(Instant::now());
        loop {
            if self.publish(Instant::now()).await.is_err() {
                return;
            }
            self.tell_stale();
            let due = self.next_due();
            tokio::select! {
                Some(done) = self.looking.join_next_with_id() => self.done(done).await,
                question = self.questions.recv() => match question {
                    Some((query, destination)) => self.asked(Instant::now(), query, destination).await,
                    None => return,
                },
                () = self.handle.shared.renamed.notified() => self.take_peers(Instant::now()),
                () = sleep_until(due) => self.look_up_due(Instant::now()),
            }
        }
    }

    /// Adds and removes entries so that they match the peers of the configuration in force.
    fn take_peers(&mut self, now: Instant) {
        let wanted = self.handle.shared.running(|running| running.config.destinations());
        for (destination, entry) in &mut self.entries {
            entry.is_peer = wanted.contains(destination);
        }
        for destination in wanted {
            self.entries.entry(destination).or_insert_with(|| NameEntry::new(now)).is_peer = true;
        }
        self.changed = Some(now);
        self.forget(now);
        self.look_up_due(now);
    }

    fn look_up_due(&mut self, now: Instant) {
        let is_due = |entry: &NameEntry| entry.is_peer && !entry.is_under_way && entry.due <= now;
        let due: Vec<Destination> =
            self.entries.iter().filter(|(_, entry)| is_due(entry)).map(|(name, _)| name.clone()).collect();
        for destination in due {
            self.look_up(destination);
        }
    }

    fn look_up(&mut self, destination: Destination) {
        if let Some(entry) = self.entries.get_mut(&destination) {
            entry.is_under_way = true;
        }
        let resolver = self.resolver.clone();
        let wanted = destination.clone();
        let task = self.looking.spawn(async move {
            let located = resolver.locate(destination.clone()).await;
            (destination, located)
        });
        self.tasks.insert(task.id(), wanted);
    }

    /// Processes the end of a lookup; a lookup that panicked counts as failed.
    async fn done(&mut self, done: Result<(Id, (Destination, LocatedServers)), JoinError>) {
        let (destination, located) = match done {
            Ok((id, found)) => {
                self.tasks.remove(&id);
                found
            }
            Err(error) => {
                tracing::error!(
                    "a bug ended a DNS lookup, which counts as failed: {error}; please report this with the log"
                );
                let Some(destination) = self.tasks.remove(&error.id()) else { return };
                (destination, LocatedServers::default())
            }
        };
        self.found(Instant::now(), destination, located).await;
    }

    /// Handles a query of a call: answers from the cache, or after a lookup.
    async fn asked(&mut self, now: Instant, query: QueryId, destination: Destination) {
        self.forget(now);
        let full = self.looking.len() >= limits::LOOKUPS;
        let room = self.entries.len() < limits::NAMES || self.entries.contains_key(&destination);
        if !room {
            return self.answer(query, Err(NameFault::Unanswered)).await;
        }
        let entry = self.entries.entry(destination.clone()).or_insert_with(|| NameEntry::new(now));
        // A name that has just failed is not looked up again for every call.
        if !entry.is_under_way && (entry.due > now || full) {
            let known = entry.known();
            return self.answer(query, known).await;
        }
        entry.waiting.push(query);
        if !entry.is_under_way {
            self.look_up(destination);
        }
    }

    async fn found(&mut self, now: Instant, destination: Destination, located: LocatedServers) {
        let Some(entry) = self.entries.get_mut(&destination) else { return };
        entry.is_under_way = false;
        let host = &destination.host;
        // Cached servers are better than the result of unanswered queries.
        let is_complete = located.is_complete();
        let is_news = !located.servers.is_empty() && (is_complete || entry.servers.is_empty());
        if is_news && located.servers != entry.servers {
            tracing::info!("`{host}` is {}", shown(&located.servers));
            entry.servers = located.servers;
            if entry.is_peer {
                self.changed.get_or_insert(now);
            }
        }
        let is_good = is_news && is_complete;
        if is_good {
            entry.missed = LookupFailures::default();
        } else {
            entry.missed.note(located.unanswered.unwrap_or(NameFault::NotFound));
        }
        entry.failures = if is_good { 0 } else { entry.failures.saturating_add(1) };
        if entry.failures == 1 && entry.servers.is_empty() {
            if entry.is_peer {
                self.changed.get_or_insert(now);
            }
            match located.unanswered {
                None => tracing::warn!("`{host}` is not found in DNS: calls there fail until a later lookup finds it"),
                Some(fault) => tracing::warn!("{}", words(fault, host)),
            }
        } else if entry.failures == 1 {
            tracing::warn!("`{host}`: DNS lookup failed; the previous result is still used");
        }
        entry.due = now + if is_good { life(located.ttl_seconds) } else { entry.pause() };
        let (waiting, known) = (std::mem::take(&mut entry.waiting), entry.known());
        for query in waiting {
            self.answer(query, known.clone()).await;
        }
    }

    async fn answer(&self, query: QueryId, found: Result<Vec<DestinationServer>, NameFault>) {
        // The edge is ending, and no call waits.
        let _ = self.handle.input(GatewayInput::Resolved { query, found }).await;
    }

    /// Publishes changed servers of peers in a new routing table as soon as no peer is being looked up, at the latest
    /// after a maximum delay.
    async fn publish(&mut self, now: Instant) -> Result<(), SignallingEnded> {
        let busy = self.entries.values().any(|entry| entry.is_peer && entry.is_under_way);
        if !busy && let Some(settled) = self.settled.take() {
            self.put_in_force().await?;
            let _ = settled.try_send(());
        } else if self.changed.is_some_and(|since| !busy || since + patience() <= now) {
            self.put_in_force().await?;
        }
        Ok(())
    }

    async fn put_in_force(&mut self) -> Result<(), SignallingEnded> {
        self.changed = None;
        let known = self.entries.iter().filter(|(_, entry)| entry.is_peer && !entry.servers.is_empty());
        let found: ResolvedServers = known.map(|(name, entry)| (name.clone(), entry.servers.clone())).collect();
        let is_lost = |entry: &NameEntry| entry.is_peer && entry.servers.is_empty() && entry.failures > 0;
        let lost = self.entries.iter().filter(|(_, entry)| is_lost(entry));
        let unresolved: HashMap<Destination, NameFault> =
            lost.map(|(name, entry)| (name.clone(), entry.missed.fault())).collect();
        self.handle.put_names_in_force(found).await?;
        if unresolved != self.unresolved {
            self.unresolved.clone_from(&unresolved);
            self.handle.input(GatewayInput::Unresolved(unresolved)).await?;
        }
        Ok(())
    }

    /// Updates the list of peers' names that would not resolve after a restart.
    fn tell_stale(&self) {
        let peers = self.entries.iter().filter(|(_, entry)| entry.is_peer);
        let mut stale: Vec<StaleName> =
            peers.filter_map(|(name, entry)| entry.missed.stale(name, &entry.servers)).collect();
        stale.sort_by(|one, other| one.destination.host.cmp(&other.destination.host));
        let without = self.entries.iter().filter(|(_, entry)| entry.is_peer && entry.servers.is_empty());
        let unanswered = without.map(|(name, entry)| (name.host.to_string(), entry.missed.fault()));
        let unanswered = unanswered.filter(|(_, fault)| *fault != NameFault::NotFound).collect();
        self.handle.shared.stale_names.set(stale, unanswered);
    }

    /// Removes expired entries of destinations that only calls used.
    fn forget(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.is_peer || entry.is_under_way || entry.due > now);
    }

    fn next_due(&self) -> Instant {
        let peers = self.entries.values().filter(|entry| entry.is_peer && !entry.is_under_way).map(|entry| entry.due);
        let far = Instant::now() + Duration::from_secs(limits::NAME_MOST_SECONDS);
        peers.chain(self.changed.map(|since| since + patience())).min().unwrap_or(far)
    }
}

impl NameEntry {
    fn new(now: Instant) -> NameEntry {
        let (servers, waiting) = (Vec::new(), Vec::new());
        let missed = LookupFailures::default();
        NameEntry { servers, is_peer: false, is_under_way: false, failures: 0, missed, due: now, waiting }
    }

    /// Returns the servers, or the reason why there are none.
    fn known(&self) -> Result<Vec<DestinationServer>, NameFault> {
        match self.servers.is_empty() {
            true => Err(self.missed.fault()),
            false => Ok(self.servers.clone()),
        }
    }

    /// Returns the pause before the next lookup after a failure. A trunk without any address cannot take calls, so for
    /// such a peer the pause does not grow with the length of an outage.
    fn pause(&self) -> Duration {
        let pause = pause(self.failures);
        let is_out = self.is_peer && self.servers.is_empty();
        if is_out { pause.min(Duration::from_secs(limits::NAME_OUT_SECONDS)) } else { pause }
    }
}

fn patience() -> Duration {
    Duration::from_millis(limits::NAMES_PATIENCE_MILLISECONDS)
}

/// Returns the time for which a result with this TTL is cached.
fn life(ttl_seconds: Option<u32>) -> Duration {
    let seconds = ttl_seconds.map_or(limits::NAME_UNSAID_SECONDS, u64::from);
    Duration::from_secs(seconds.clamp(limits::NAME_LEAST_SECONDS, limits::NAME_MOST_SECONDS))
}

/// Returns the pause after this many consecutive failures.
fn pause(failures: u32) -> Duration {
    let doubled = limits::NAME_LEAST_SECONDS.saturating_mul(1 << failures.saturating_sub(1).min(16));
    Duration::from_secs(doubled.min(limits::NAME_PAUSE_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_live_as_long_as_dns_says_within_reason() {
        for (ttl, seconds) in [
            (None, limits::NAME_UNSAID_SECONDS),
            (Some(0), limits::NAME_LEAST_SECONDS),
            (Some(300), 300),
            (Some(u32::MAX), limits::NAME_MOST_SECONDS),
        ] {
            assert_eq!(life(ttl).as_secs(), seconds, "{ttl:?}");
        }
    }

    /// Outage of an hour in virtual time: a peer without an address is looked up every ten seconds throughout; a peer
    /// with an address, and a name of a call, at growing intervals.
    #[test]
    fn a_peer_without_an_address_is_looked_up_soon_after_an_outage_of_any_length() {
        let transport = trunkgate_route::Transport::Udp;
        let ip = "192.0.2.1".parse().unwrap();
        let known =
            vec![DestinationServer { transport, port: 5060, tier: 0, priority: 0, weight: 0, addresses: vec![ip] }];
        for (is_peer, servers, longest) in [
            (true, vec![], limits::NAME_OUT_SECONDS),
            (true, known, limits::NAME_PAUSE_SECONDS),
            (false, vec![], limits::NAME_PAUSE_SECONDS),
        ] {
            let mut entry = NameEntry { is_peer, servers, ..NameEntry::new(Instant::now()) };
            let (mut elapsed, mut pauses) = (0, Vec::new());
            while elapsed < 3600 {
                entry.failures += 1;
                pauses.push(entry.pause().as_secs());
                elapsed += entry.pause().as_secs();
            }
            assert_eq!(pauses.iter().max(), Some(&longest), "{is_peer} {pauses:?}");
            assert_eq!(pauses[0], limits::NAME_LEAST_SECONDS);
        }
    }

    #[test]
    fn failures_are_asked_about_less_and_less() {
        let pauses: Vec<u64> = (1..9).map(|failures| pause(failures).as_secs()).collect();
        assert!(pauses.windows(2).all(|two| two[0] <= two[1]), "{pauses:?}");
        assert_eq!((pauses[0], pauses[1]), (limits::NAME_LEAST_SECONDS, 2 * limits::NAME_LEAST_SECONDS));
        assert_eq!(pause(u32::MAX).as_secs(), limits::NAME_PAUSE_SECONDS);
    }
}
