//! `[hep]`: a copy of what calls' traces have of SIP, and reports on media, as HEP3 over UDP. A task of its own sends it; who
//! has something to send never waits, and what finds no room is counted and lost.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant};
use trunkgate_call::captured::Captured;
use trunkgate_media::counters::Counter;

use trunkgate_config::{Config, Hep};
use trunkgate_system::limits;
use trunkgate_system::problem::{Harm, Problem};

mod packet;

/// Between two attempts to find the server, and before its name is looked up anew.
const LOOK_AGAIN: Duration = Duration::from_secs(limits::HEP_LOOK_AGAIN_SECONDS);

/// How long a failure is told of: packets go only while there are calls.
const TOLD_FOR: Duration = Duration::from_secs(limits::HEP_TOLD_SECONDS);

/// Where to, and by which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `[hep]`
    pub(crate) hep: Hep,
    /// `[edge] name`
    pub(crate) node: String,
}

impl Target {
    /// That of a configuration, where it has one.
    pub fn of(config: &Config) -> Option<Target> {
        let hep = config.hep.clone()?;
        Some(Target { hep, node: config.edge.name.clone() })
    }
}

/// What became of packets.
#[derive(Debug, Default)]
pub struct HepCounters {
    /// Handed to the network.
    pub(crate) sent: Counter,
    /// Found no room, or were too long.
    pub(crate) dropped: Counter,
    /// Could not be sent: no such server, no way there.
    pub(crate) failed: Counter,
    /// When and why one failed last.
    last_failure: Mutex<Option<(Instant, String)>>,
}

impl HepCounters {
    fn fail(&self, why: String) {
        self.failed.add(1);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), why));
    }

    /// Returns what is wrong now: what was refused lately, though others may have arrived; nobody answers.
    pub fn problem(&self) -> Option<Problem> {
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (_, why) = last.filter(|(at, _)| at.elapsed() < TOLD_FOR)?;
        let shown = format!("{why}; {} packets not sent since the start", self.failed.get());
        Some(Problem::new(Harm::Telemetry, "[hep]").shown_by(shown))
    }

    /// Each result with its count.
    pub fn results(&self) -> [(&'static str, u64); 3] {
        [("sent", self.sent.get()), ("dropped", self.dropped.get()), ("failed", self.failed.get())]
    }
}

/// The way to the task.
#[derive(Debug)]
pub struct Desk {
    packets: mpsc::Sender<Box<Captured>>,
    counters: Arc<HepCounters>,
}

impl Desk {
    /// Hands one over, or counts it.
    pub fn hand_over(&self, captured: Box<Captured>) {
        if self.packets.try_send(captured).is_err() {
            self.counters.dropped.add(1);
        }
    }
}

/// Who sends.
#[derive(Debug)]
pub struct Sender {
    packets: mpsc::Receiver<Box<Captured>>,
    target: watch::Receiver<Option<Target>>,
    counters: Arc<HepCounters>,
}

/// Both ends.
pub fn desk(target: watch::Receiver<Option<Target>>, counters: &Arc<HepCounters>) -> (Desk, Sender) {
    let (packets, waiting) = mpsc::channel(limits::HEP_QUEUE);
    let desk = Desk { packets, counters: Arc::clone(counters) };
    (desk, Sender { packets: waiting, target, counters: Arc::clone(counters) })
}

/// A socket to the server, and until when its name is good.
struct Way {
    socket: Option<UdpSocket>,
    until: Instant,
}

impl Sender {
    /// Sends until nobody is left who could hand something over.
    pub async fn run(mut self) {
        let (mut way, mut bytes): (Option<Way>, _) = (None, Vec::new());
        while let Some(captured) = self.packets.recv().await {
            if self.target.has_changed().unwrap_or(false) {
                way = None;
            }
            let Some(target) = self.target.borrow_and_update().clone() else { continue };
            let known = way.take().filter(|way| Instant::now() < way.until);
            let fresh = match known {
                Some(known) => known,
                None => Way { socket: reach(&target.hep).await, until: Instant::now() + LOOK_AGAIN },
            };
            let way = way.insert(fresh);
            let password = target.hep.password.as_ref().map(|password| password.reveal());
            let agent = packet::Agent { id: target.hep.id, node: &target.node, password };
            if !packet::write(&mut bytes, agent, &captured) {
                self.counters.dropped.add(1);
                continue;
            }
            let sent = match &way.socket {
                Some(socket) => socket.send(&bytes).await.map(drop),
                None => Err(std::io::Error::other("no route to this address")),
            };
            // A refusal (ICMP) is that of a packet before; nobody knows which arrived.
            match sent {
                Ok(()) => self.counters.sent.add(1),
                Err(error) => self.counters.fail(format!("{} cannot be reached: {error}", target.hep.address)),
            }
        }
    }
}

/// A socket towards the server; `None`, and a line in the log, where there is no way.
async fn reach(hep: &Hep) -> Option<UdpSocket> {
    let found = async {
        let to = lookup_host(&hep.address).await?.next().ok_or_else(|| std::io::Error::other("no address"))?;
        let any: std::net::SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(to).await?;
        Ok::<UdpSocket, std::io::Error>(socket)
    };
    let found = found.await;
    if let Err(error) = &found {
        tracing::warn!("[hep] address {} cannot be reached: {error}", hep.address);
    }
    found.ok()
}
