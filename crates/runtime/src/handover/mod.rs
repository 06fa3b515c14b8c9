//! Hand-over of the calls of a running edge to another process: the messages between them.
//!
//! 1. The successor has read the configuration and sends [`SuccessorMessage::Ready`], with the addresses that it would
//!    bind. Up to here the predecessor continues as if nothing had happened. It replies with a [`PlanVerdict`].
//! 2. The predecessor ends its signalling, closes its store and sends [`HandedCalls`] with its listening sockets, in
//!    the order of [`ListeningPlaces`], and those of its SIP connections. Its media workers keep relaying.
//! 3. The successor continues the calls and sends [`SuccessorMessage::Running`]. Until then the predecessor can hand
//!    the same calls over to another process.
//! 4. The predecessor sends the media sessions in slices with their sockets ([`PredecessorMessage::Sessions`]), each
//!    confirmed by [`SuccessorMessage::Adopted`], until [`PredecessorMessage::Done`].

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use trunkgate_call::KeptStream;
use trunkgate_call::gateway::GatewaySnapshot;
use trunkgate_config::Config;
use trunkgate_delivery::sinks::recordings::SuspendedRecording;
use trunkgate_media::{AgentSnapshot, EndId, SessionSnapshot};
use trunkgate_tls_record::TlsSnapshot;

use crate::conferences::CrossingMix;
use crate::transport::HandedConnections;
use crate::worker::{CrossingAgent, CrossingRecorders, CrossingSession, ExpectedSession};

mod link;

pub use link::HandoverLink;

/// Version of the messages; processes of different versions refuse each other.
pub const PROTOCOL: u32 = 3;
/// Maximum number of sessions that are handed over in one message. The packets of a slice wait until it is adopted.
pub const SLICE: usize = 16;
/// Pause after a slice, in which both processes forward the packets that have waited.
pub const SLICE_PAUSE: Duration = Duration::from_millis(5);
/// Maximum time for which the predecessor waits until the last agents are between two WebSocket messages.
pub const AGENTS_WITHIN: Duration = Duration::from_millis(500);
/// Interval at which the predecessor checks whether the agents are between two messages.
pub const AGENTS_INTERVAL: Duration = Duration::from_millis(5);
/// Maximum wait for a message of a process that has begun to take over; a watchdog of 10 s still sees two attempts.
pub const PATIENCE: Duration = Duration::from_secs(8);
/// Maximum time for which a ready successor waits while calls of its predecessor that cannot be handed over end.
pub const CALLS_WITHIN: Duration = Duration::from_secs(30);

/// Message of the successor.
#[derive(Debug, Serialize, Deserialize)]
pub enum SuccessorMessage {
    /// The configuration is valid, and nothing is bound or opened yet.
    Ready(Box<SuccessorPlan>),
    /// The successor continues the calls; the predecessor may send the media sessions.
    Running,
    /// The sessions of the last message continue in the successor.
    Adopted,
}

/// Reply of the predecessor to [`SuccessorMessage::Ready`].
#[derive(Debug, Serialize, Deserialize)]
pub enum PlanVerdict {
    /// The calls follow.
    Accepted,
    /// The predecessor continues alone, for this reason.
    Refused(String),
}

/// Message of the predecessor after [`HandedCalls`].
#[derive(Debug, Serialize, Deserialize)]
pub enum PredecessorMessage {
    /// Sessions; the descriptors are the sockets of their ends in order, RTP before RTCP.
    Sessions {
        /// The sessions.
        sessions: Vec<HandedSession>,
        /// Files of the sessions' recordings; the predecessor has written all audio so far and writes no more.
        recordings: Vec<SuspendedRecording>,
        /// Recordings of conferences that have no participant left in the predecessor; `recordings` has their files.
        #[serde(default)]
        mixes: Vec<CrossingMix>,
    },
    /// All media sessions have been sent.
    Done,
}

/// Calls that are handed over, and a list of the media sessions that will follow.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandedCalls {
    /// Answered calls, with the state that they share.
    pub calls: GatewaySnapshot,
    /// SIP connections; their sockets follow the listening sockets among the descriptors.
    pub connections: HandedConnections,
    /// Sessions of the media workers.
    pub sessions: Vec<ExpectedSession>,
    /// Open WebSockets of agents that may be handed over.
    pub streams: Vec<KeptStream>,
    /// Whether an operator drains the edge.
    pub is_draining: bool,
}

/// Media session in a message, without its sockets.
#[derive(Debug, Serialize, Deserialize)]
pub struct HandedSession {
    snapshot: SessionSnapshot,
    /// Ends with sockets among the descriptors.
    ends: Vec<EndId>,
    /// Agents with sockets among the descriptors, after those of the ends.
    agents: Vec<HandedAgent>,
    recorders: CrossingRecorders,
}

/// Agent of a media session in a message.
#[derive(Debug, Serialize, Deserialize)]
struct HandedAgent {
    state: AgentSnapshot,
    tls: Option<TlsSnapshot>,
}

/// Versions and addresses of the successor, sent before anything is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuccessorPlan {
    /// Version of the messages.
    pub protocol: u32,
    /// Version of the program.
    pub version: String,
    /// Listening addresses and files of its configuration.
    pub places: ListeningPlaces,
}

/// Listening addresses and files of a configuration, which must stay the same: a successor that cannot open them would
/// lose the calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListeningPlaces {
    /// SIP listeners: name, transport, address.
    pub sip: Vec<(String, String, SocketAddr)>,
    /// `[http] address`.
    pub http: SocketAddr,
    /// `[api] tls`.
    pub api: Option<SocketAddr>,
    /// `[tls] acme challenge_address`.
    pub challenge: Option<SocketAddr>,
    /// `[edge] data_directory`: the store is closed by one process and opened by the other.
    pub data: PathBuf,
    /// `[edge] data_required`.
    pub is_data_required: bool,
    /// `[cdr] file`.
    pub records: Option<PathBuf>,
}

/// Reason why calls are not handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoverRefusal {
    /// The two programs have different versions of the messages.
    Protocol,
    /// The configuration has other listening addresses or files; the text names the key.
    Places(&'static str),
}

impl fmt::Display for HandoverRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandoverRefusal::Protocol => f.write_str(
                "the installed program uses another handover format: drain the edge and restart it (`systemctl restart trunkgate`)",
            ),
            HandoverRefusal::Places(key) => write!(
                f,
                "{key} has changed in the file, but the sockets and files that the running edge has open are handed over: change it back, or drain the edge and \
                 restart it"
            ),
        }
    }
}

impl ListeningPlaces {
    /// Returns the listening addresses and files of a configuration.
    pub fn of(config: &Config) -> ListeningPlaces {
        let listener =
            |one: &trunkgate_config::ListenSettings| (one.name.clone(), one.transport.as_str().to_owned(), one.address);
        ListeningPlaces {
            sip: config.listen.iter().map(listener).collect(),
            http: config.http.address,
            api: config.api.open_tls(),
            challenge: config.acme.as_ref().map(|acme| acme.challenge_address),
            data: config.data.directory.clone(),
            is_data_required: config.data.is_required,
            records: config.cdr.file.as_ref().map(|file| file.path.clone()),
        }
    }
}

impl SuccessorPlan {
    /// Returns the plan of this program with a configuration.
    pub fn of(config: &Config) -> SuccessorPlan {
        SuccessorPlan {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            places: ListeningPlaces::of(config),
        }
    }

    /// Checks that this successor can continue the calls of an edge with these addresses and files.
    ///
    /// # Errors
    /// Returns the first difference.
    pub fn check(&self, places: &ListeningPlaces) -> Result<(), HandoverRefusal> {
        if self.protocol != PROTOCOL {
            return Err(HandoverRefusal::Protocol);
        }
        let differs = |is: bool, key| if is { Err(HandoverRefusal::Places(key)) } else { Ok(()) };
        differs(self.places.sip != places.sip, "[[listen]]")?;
        differs(self.places.http != places.http, "[http] address")?;
        differs(self.places.api != places.api, "[api] tls")?;
        differs(self.places.challenge != places.challenge, "[tls] acme challenge_address")?;
        differs(self.places.data != places.data, "[edge] data_directory")?;
        differs(self.places.is_data_required != places.is_data_required, "[edge] data_required")?;
        differs(self.places.records != places.records, "[cdr] file")
    }
}

impl HandedSession {
    /// Splits a session into its part for a message and the descriptors to send beside it.
    pub fn of(crossing: CrossingSession) -> (HandedSession, Vec<OwnedFd>) {
        let ends = crossing.sockets.iter().map(|(end, _)| *end).collect();
        let mut descriptors: Vec<OwnedFd> = crossing.sockets.into_iter().flat_map(|(_, pair)| pair).collect();
        let handed = |CrossingAgent { state, socket, tls }| (HandedAgent { state, tls }, socket);
        let (agents, sockets): (Vec<_>, Vec<_>) = crossing.agents.into_iter().map(handed).unzip();
        descriptors.extend(sockets);
        (HandedSession { snapshot: crossing.snapshot, ends, agents, recorders: crossing.recorders }, descriptors)
    }

    /// Joins the sessions of a message with the received descriptors; a session without its descriptors gets no
    /// sockets.
    pub fn with_sockets(sessions: Vec<HandedSession>, descriptors: Vec<OwnedFd>) -> Vec<CrossingSession> {
        let mut descriptors = descriptors.into_iter();
        let crossing = |HandedSession { snapshot, ends, agents, recorders }: HandedSession| {
            let paired = |end| Some((end, [descriptors.next()?, descriptors.next()?]));
            let sockets = ends.into_iter().filter_map(paired).collect();
            let connected =
                |HandedAgent { state, tls }| Some(CrossingAgent { state, socket: descriptors.next()?, tls });
            let agents = agents.into_iter().filter_map(connected).collect();
            CrossingSession { snapshot, sockets, agents, recorders }
        };
        sessions.into_iter().map(crossing).collect()
    }
}

/// Request to replace this process by the installed program.
#[derive(Debug)]
pub struct UpgradeRequest {
    /// Receives the successor once it is ready, or the reason why this process continues.
    pub answer: oneshot::Sender<Result<UpgradeBegun, String>>,
    /// Closed once the response to the request is written.
    pub responded: oneshot::Receiver<()>,
}

/// Successor that is ready to take over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpgradeBegun {
    /// Process id of the successor.
    pub pid: u32,
    /// Version of the successor's program.
    pub version: String,
    /// Live calls that will be handed over.
    pub calls: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> SuccessorPlan {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        SuccessorPlan {
            protocol: PROTOCOL,
            version: "0.1.0".to_owned(),
            places: ListeningPlaces {
                sip: vec![("udp".to_owned(), "udp".to_owned(), at(5060))],
                http: at(8080),
                api: None,
                challenge: None,
                data: "/var/lib/trunkgate".into(),
                is_data_required: false,
                records: None,
            },
        }
    }

    #[test]
    fn a_successor_with_the_same_addresses_is_accepted() {
        assert_eq!(plan().check(&plan().places), Ok(()));
    }

    #[test]
    fn another_protocol_or_address_is_refused_by_name() {
        let other = SuccessorPlan { protocol: PROTOCOL + 1, ..plan() };
        assert_eq!(other.check(&plan().places), Err(HandoverRefusal::Protocol));
        let mut places = plan().places;
        places.sip[0].2.set_port(5070);
        assert_eq!(plan().check(&places), Err(HandoverRefusal::Places("[[listen]]")));
        let mut places = plan().places;
        places.api = Some(places.http);
        assert_eq!(plan().check(&places), Err(HandoverRefusal::Places("[api] tls")));
    }

    #[test]
    fn sockets_are_paired_with_their_ends_in_order() {
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let snapshot = |id| SessionSnapshot {
            id: trunkgate_media::MediaId(id),
            idle_timeout_ms: 0,
            next_serial: 0,
            ends: Vec::new(),
            wires: Vec::new(),
            players: Vec::new(),
        };
        let crossing = |id, ends: &[u16]| CrossingSession {
            snapshot: snapshot(id),
            sockets: ends.iter().map(|end| (EndId(*end), [file(), file()])).collect(),
            agents: Vec::new(),
            recorders: CrossingRecorders::default(),
        };
        let (one, mut descriptors) = HandedSession::of(crossing(1, &[1, 2]));
        let (two, more) = HandedSession::of(crossing(2, &[3]));
        descriptors.extend(more);
        let ends = |session: &CrossingSession| session.sockets.iter().map(|(end, _)| end.0).collect::<Vec<_>>();
        let received = HandedSession::with_sockets(vec![one, two], descriptors);
        assert_eq!(received.iter().map(ends).collect::<Vec<_>>(), [vec![1, 2], vec![3]]);
    }
}
