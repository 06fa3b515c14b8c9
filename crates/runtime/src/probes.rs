//! Reachability probes for agents, like OPTIONS for trunks: for an agent with `probe`, a signed WebSocket handshake
//! followed by a close. For an agent without `probe`, only a connection is opened, and only after a call has lost its
//! connection.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use trunkgate_call::limits::AGENT_CONNECTS_AGAIN;
use trunkgate_call::{AgentProbe, GatewayInput, socket_spec};
use trunkgate_media::agent::limits::STOP_TIMEOUT;
use trunkgate_media::agent::{NORMAL_CLOSE, SocketMessage, StreamLoss};
use trunkgate_route::{Agent, RoutingTable};

use crate::handle::EdgeHandle;
use crate::own_sockets::OwnSockets;
use crate::worker::{AgentWebSocket, NO_UPGRADE, WebSocketEvent, WebSocketFailure, accepts, connects};
use trunkgate_system::limits::{AGENT_PROBE_AGAIN, AGENT_PROBE_WAIT};

/// Minimum interval between two probes of an agent while calls lose their connections to it.
const PROBE_LEAST: Duration = Duration::from_secs(1);

/// Probe state of one agent.
#[derive(Debug)]
struct ProbeEntry {
    url: String,
    /// Time of the next probe.
    due: Instant,
    /// Time of the last probe; `None` before the first.
    asked: Option<Instant>,
    /// True if the last probe failed.
    has_failed: bool,
    /// True if the agent has no probe interval and is probed because of a lost connection.
    is_lost: bool,
}

/// Prober of all agents.
pub struct AgentProber {
    handle: EdgeHandle,
    table: watch::Receiver<Arc<RoutingTable>>,
    own: watch::Receiver<OwnSockets>,
    entries: HashMap<Arc<str>, ProbeEntry>,
    asked: JoinSet<AgentProbe>,
}

impl AgentProber {
    /// Creates a prober that has not probed any agent yet.
    pub fn new(handle: EdgeHandle) -> AgentProber {
        let (table, own) = (handle.table.clone(), handle.shared.own.subscribe());
        AgentProber { handle, table, own, entries: HashMap::new(), asked: JoinSet::new() }
    }

    /// Probes until the edge ends.
    pub async fn keep(mut self) {
        let shared = Arc::clone(&self.handle.shared);
        loop {
            let now = Instant::now();
            let table = self.table.borrow_and_update().clone();
            self.hasten(now, &shared.lost_agents.drain(), &table);
            let due = self.ask_due(now, &table);
            let pause = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(asked) = self.asked.join_next() => {
                    let Ok(probe) = asked else { continue };
                    if !self.done(probe).await {
                        return;
                    }
                }
                changed = self.table.changed() => if changed.is_err() {
                    return;
                },
                () = shared.lost_agents.notified() => {}
                () = pause => {}
            }
        }
    }

    /// Schedules an immediate probe of the agents in `lost`, so that a failed machine is `down` with its first lost
    /// call. An agent without a probe interval is probed until it accepts a connection.
    fn hasten(&mut self, now: Instant, lost: &BTreeSet<String>, table: &RoutingTable) {
        for agent in lost.iter().filter_map(|name| table.agent(name)) {
            let entry = self.entries.entry(agent.name.clone()).or_insert_with(|| ProbeEntry::new(agent, now));
            let earliest = entry.asked.map_or(now, |asked| now.max(asked + PROBE_LEAST));
            entry.due = entry.due.min(earliest);
        }
    }

    /// Starts the due probes, and returns the time of the next one.
    fn ask_due(&mut self, now: Instant, table: &RoutingTable) -> Option<Instant> {
        // Without an interval only agents with a lost connection stay, unless their interval was removed or their URL
        // changed.
        let stays =
            |entry: &ProbeEntry, agent: &Agent| !agent.probe.is_zero() || (entry.is_lost && entry.url == agent.url);
        self.entries.retain(|name, entry| table.agent(name).is_some_and(|agent| stays(entry, agent)));
        for agent in table.agents() {
            let entry = match self.entries.entry(agent.name.clone()) {
                Slot::Occupied(entry) => entry.into_mut(),
                Slot::Vacant(_) if agent.probe.is_zero() => continue,
                Slot::Vacant(entry) => entry.insert(ProbeEntry::new(agent, now)),
            };
            if entry.url != agent.url {
                *entry = ProbeEntry::new(agent, now);
            }
            let interval = if agent.probe.is_zero() { AGENT_CONNECTS_AGAIN } else { agent.probe };
            // A reload may have shortened the interval.
            entry.due = entry.due.min(now + interval);
            if entry.due <= now {
                (entry.due, entry.asked) = (now + interval, Some(now));
                let networks = self.handle.shared.running(|running| running.config.edge.local_networks.clone());
                self.asked.spawn(ask(Arc::clone(agent), networks, self.own.clone()));
            }
        }
        self.entries.values().map(|entry| entry.due).min()
    }

    /// Reports the result of a probe; returns false if the edge has ended.
    async fn done(&mut self, probe: AgentProbe) -> bool {
        if probe.is_connection && probe.outcome.is_ok() {
            self.entries.remove(&probe.name);
        }
        if let Some(entry) = self.entries.get_mut(&probe.name).filter(|entry| entry.url == probe.url) {
            let fails_anew = probe.outcome.is_err() && !entry.has_failed;
            entry.has_failed = probe.outcome.is_err();
            if fails_anew {
                // A single failure may be chance; repeat the probe soon.
                entry.due = entry.due.min(Instant::now() + AGENT_PROBE_AGAIN);
            }
        }
        self.handle.input(GatewayInput::AgentProbed(Box::new(probe))).await.is_ok()
    }
}

impl ProbeEntry {
    fn new(agent: &Agent, now: Instant) -> ProbeEntry {
        let is_lost = agent.probe.is_zero();
        ProbeEntry { url: agent.url.clone(), due: now, asked: None, has_failed: false, is_lost }
    }
}

/// Opens the WebSocket of an agent as for a call, and closes it; for an agent without a probe interval, only opens the
/// connection.
async fn ask(agent: Arc<Agent>, networks: Vec<IpNet>, own: watch::Receiver<OwnSockets>) -> AgentProbe {
    let (began, is_connection) = (Instant::now(), agent.probe.is_zero());
    let spec = socket_spec(&agent, &networks);
    let limit = [agent.probe, agent.connect_timeout, AGENT_PROBE_WAIT];
    let limit = limit.into_iter().filter(|limit| !limit.is_zero()).min().unwrap_or(AGENT_PROBE_WAIT);
    if is_connection {
        let connected = timeout(limit, connects(&spec, &own)).await;
        let outcome = connected.unwrap_or_else(|_| Err((StreamLoss::ConnectTimeout, String::new())));
        let outcome = outcome.map(|()| began.elapsed());
        return AgentProbe { name: agent.name.clone(), url: agent.url.clone(), began, is_connection, outcome };
    }
    let opened = match timeout(limit, AgentWebSocket::open(&spec, &own)).await {
        Ok(opened) => opened,
        // A host that accepts the connection is not blocked by a firewall.
        Err(_) if accepts(&spec).await => Err((StreamLoss::ConnectTimeout, NO_UPGRADE.to_owned())),
        Err(_) => Err((StreamLoss::ConnectTimeout, String::new())),
    };
    let outcome = match opened {
        Ok(visit) => {
            let took = began.elapsed();
            tokio::spawn(timeout(STOP_TIMEOUT, leave(visit)));
            Ok(took)
        }
        Err(failed) => Err(failed),
    };
    AgentProbe { name: agent.name.clone(), url: agent.url.clone(), began, is_connection, outcome }
}

/// Closes the WebSocket and waits for the agent's close frame, so that the agent does not see a reset.
async fn leave(mut visit: AgentWebSocket) -> Result<(), WebSocketFailure> {
    let mut close = Some(SocketMessage::Close(NORMAL_CLOSE));
    loop {
        visit.write(|| close.take())?;
        while let Some(done) = visit.read()? {
            if matches!(done, WebSocketEvent::Closed(..)) {
                // The library's reply to the agent's close, if that came first.
                return visit.write(|| None);
            }
        }
        visit.wait(Instant::now() + Duration::from_millis(100)).await;
    }
}
