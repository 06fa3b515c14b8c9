//! `[hep]`: copies of SIP messages and media reports, sent as HEP3 over UDP. A separate task sends them. Handing over a
//! packet never blocks; packets that exceed the queue are counted and dropped.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant};
use trunkgate_call::captured::CaptureRecord;
use trunkgate_media::counters::Counter;

use trunkgate_config::{Config, HepSettings};
use trunkgate_system::limits;
use trunkgate_system::problem::Problem;
use trunkgate_system::problem::kind::{EdgeProblem, ProblemKind};

mod packet;

/// Interval between attempts to reach the server, and maximum age of its resolved address.
const LOOK_AGAIN: Duration = Duration::from_secs(limits::HEP_LOOK_AGAIN_SECONDS);

/// Time for which `status` reports a failure, since packets are sent only during calls.
const TOLD_FOR: Duration = Duration::from_secs(limits::HEP_TOLD_SECONDS);

/// HEP server, and the name of the edge in packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HepTarget {
    /// Settings of `[hep]`.
    pub(crate) hep: HepSettings,
    /// Name of the edge in packets.
    pub(crate) node: String,
}

impl HepTarget {
    /// Returns the HEP target of a configuration; `None` without `[hep]`.
    pub fn of(config: &Config) -> Option<HepTarget> {
        let hep = config.hep.clone()?;
        Some(HepTarget { hep, node: config.edge.name.clone() })
    }
}

/// Counters of the packets sent to a HEP capture server.
#[derive(Debug, Default)]
pub struct HepCounters {
    /// Number of packets that the network accepted.
    pub(crate) sent: Counter,
    /// Packets dropped because the queue was full, or because they exceeded the maximum length.
    pub(crate) dropped: Counter,
    /// Packets that were not sent, because the server is unknown or unreachable.
    pub(crate) failed: Counter,
    /// Time and reason of the last failure.
    last_failure: Mutex<Option<(Instant, String)>>,
}

impl HepCounters {
    fn fail(&self, why: String) {
        self.failed.add(1);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), why));
    }

    /// Returns the problem for `status` if a packet could not be sent recently. Packets counted as sent may be lost as
    /// well, since the server confirms nothing.
    pub fn problem(&self) -> Option<Problem> {
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (_, why) = last.filter(|(at, _)| at.elapsed() < TOLD_FOR)?;
        let shown = format!("{why}; {} packets not sent since the start", self.failed.get());
        Some(Problem::of(ProblemKind::Edge(EdgeProblem::Hep)).shown_by(shown))
    }

    /// Returns each counter with its label in metrics.
    pub fn results(&self) -> [(&'static str, u64); 3] {
        [("sent", self.sent.get()), ("dropped", self.dropped.get()), ("failed", self.failed.get())]
    }
}

/// Handle that hands packets to the sending task.
#[derive(Debug)]
pub struct HepSender {
    packets: mpsc::Sender<Box<CaptureRecord>>,
    counters: Arc<HepCounters>,
}

impl HepSender {
    /// Hands over a packet; if the queue is full, the packet is counted and dropped.
    pub fn hand_over(&self, captured: Box<CaptureRecord>) {
        if self.packets.try_send(captured).is_err() {
            self.counters.dropped.add(1);
        }
    }
}

/// Task that sends HEP packets to the capture server.
#[derive(Debug)]
pub struct HepTask {
    packets: mpsc::Receiver<Box<CaptureRecord>>,
    target: watch::Receiver<Option<HepTarget>>,
    counters: Arc<HepCounters>,
}

/// Creates the handle and the task, connected by a queue.
pub fn desk(target: watch::Receiver<Option<HepTarget>>, counters: &Arc<HepCounters>) -> (HepSender, HepTask) {
    let (packets, waiting) = mpsc::channel(limits::HEP_QUEUE);
    let desk = HepSender { packets, counters: Arc::clone(counters) };
    (desk, HepTask { packets: waiting, target, counters: Arc::clone(counters) })
}

/// Socket connected to the server, with the time at which the server's name is resolved again.
struct HepSocket {
    socket: Option<UdpSocket>,
    until: Instant,
}

impl HepTask {
    /// Sends packets until every handle has been dropped.
    pub async fn run(mut self) {
        let (mut way, mut bytes): (Option<HepSocket>, _) = (None, Vec::new());
        while let Some(captured) = self.packets.recv().await {
            if self.target.has_changed().unwrap_or(false) {
                way = None;
            }
            let Some(target) = self.target.borrow_and_update().clone() else { continue };
            let known = way.take().filter(|way| Instant::now() < way.until);
            let fresh = match known {
                Some(known) => known,
                None => HepSocket { socket: reach(&target.hep).await, until: Instant::now() + LOOK_AGAIN },
            };
            let way = way.insert(fresh);
            let password = target.hep.password.as_ref().map(|password| password.reveal());
            let agent = packet::CaptureAgent { id: target.hep.id, node: &target.node, password };
            if !packet::write(&mut bytes, agent, &captured) {
                self.counters.dropped.add(1);
                continue;
            }
            let sent = match &way.socket {
                Some(socket) => socket.send(&bytes).await.map(drop),
                None => Err(std::io::Error::other("no route to this address")),
            };
            // A send error is an ICMP error of an earlier packet; it is unknown which packets arrived.
            match sent {
                Ok(()) => self.counters.sent.add(1),
                Err(error) => self.counters.fail(format!("{} cannot be reached: {error}", target.hep.address)),
            }
        }
    }
}

/// Returns a UDP socket connected to the server; `None`, with a log line, if the server cannot be reached.
async fn reach(hep: &HepSettings) -> Option<UdpSocket> {
    let found = async {
        let to = lookup_host(&hep.address).await?.next().ok_or_else(|| std::io::Error::other("no address"))?;
        let any: std::net::SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(to).await?;
        Ok::<UdpSocket, std::io::Error>(socket)
    };
    let found = found.await;
    if let Err(error) = &found {
        tracing::warn!("no copies of SIP are sent: [hep] address {} cannot be reached: {error}", hep.address);
    }
    found.ok()
}
