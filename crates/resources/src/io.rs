//! Inputs and outputs of a gateway.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use trunkgate_conference::{NodeCommand, NodeEvent};
use trunkgate_cookies::Cookie;
use trunkgate_media::agent::StreamLoss;
use trunkgate_media::{MediaCommand, MediaEvent, MediaId, RecordingId, SendFailure};
use trunkgate_route::locate::NameFault;
use trunkgate_route::{Destination, DestinationServer};
use trunkgate_sip::{ConnectionId, Flow, SipMessage, SipTransmit};
use trunkgate_story::captured::CaptureRecord;
use trunkgate_story::change::EdgeEvent;
use trunkgate_story::report::CallRecord;
use trunkgate_story::sampled::SampledCall;
use trunkgate_story::sms::SmsEvent;
use trunkgate_story::view::CallView;

use crate::applications::question::{AppAnswer, AppCallback, AppQuestion};
use crate::conferences::ConferenceReport;
use crate::config::EdgeSettings;
use crate::mailboxes::indications::MessageCount;
use crate::recordings::losses::RecordingLosses;
use crate::recordings::{RecordingBegun, RecordingDone};
use crate::trunks::quotas::DayCount;

pub use crate::failures::concerned::ConfigChangeScope;
pub use crate::lookups::index::TlsIdentity;
pub use crate::lookups::key::QueryId;

/// A command of an operator.
#[derive(Debug, Clone)]
pub enum OperatorCommand {
    /// Rejects new calls with 503 and Retry-After; live calls continue.
    Drain {
        /// Whether to drain, or to accept calls again.
        on: bool,
    },
    /// Ends all calls with BYE or CANCEL on each leg.
    EndAll,
    /// Ends the calls that are being set up, because a snapshot has answered calls only.
    EndUnanswered {
        /// Whether answered calls with unconfirmed dialogs are ended too.
        all: bool,
    },
    /// Removes all outbound registrations, before the edge stops.
    Unregister,
    /// Ends one call with BYE or CANCEL on each leg.
    Hangup {
        /// SID of the call.
        sid: String,
    },
}

/// Reason for the failure of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamFailure {
    /// A TLS error.
    Tls(String),
    /// An error of the underlying transport, as the system describes it.
    Stream(String),
    /// An outbound packet that this machine refused to send.
    Unsent(SendFailure),
}

/// An event from outside the gateway.
#[derive(Debug, Clone)]
pub enum GatewayInput {
    /// A datagram, or one framed message of a stream. The gateway finds its trunk before parsing it.
    Received {
        /// Flow of the message.
        flow: Flow,
        /// Bytes of the message.
        bytes: Bytes,
    },
    /// A received message, classified by the gateway's `sort` and then queued.
    Message {
        /// Flow of the message.
        flow: Flow,
        /// The message.
        message: SipMessage,
    },
    /// An INVITE for a new call that was queued for too long: rejected with 503 and Retry-After.
    TurnAway {
        /// Flow of the message.
        flow: Flow,
        /// The INVITE.
        message: SipMessage,
    },
    /// A stream with a framing error: answered with 400 if possible, then closed by the shell.
    Broken {
        /// Flow of the stream.
        flow: Flow,
        /// Bytes received from the stream.
        bytes: Bytes,
        /// The framing error.
        what: &'static str,
    },
    /// A failed send: connection refused or lost, or refused by the system.
    TransportFailed {
        /// Flow that failed.
        flow: Flow,
        /// Reason for which this machine refused the send; `None` if not refused, or unknown.
        why: Option<SendFailure>,
    },
    /// An ICMP error. Anyone can forge one, so it must quote enough of a request that the edge sent.
    Unreachable {
        /// Flow that failed.
        flow: Flow,
        /// Part of the datagram that the error quotes.
        quoted: Bytes,
    },
    /// The identity of a TLS client, reported before any message of its connection.
    Identified {
        /// The connection.
        connection: ConnectionId,
        /// Address of the remote party.
        remote: SocketAddr,
        /// Identity of the remote party.
        identity: TlsIdentity,
    },
    /// A stream that was closed, or could not be opened.
    Disconnected {
        /// Flow of the stream.
        flow: Flow,
        /// Trunk for which a TLS connection was made; empty if the host belongs to no trunk. Only requests of that
        /// trunk wait for the connection.
        made_for: Option<Arc<str>>,
        /// Cause of a failure; `None` for a regular close.
        cause: Option<StreamFailure>,
        /// Whether the stream had been open.
        was_up: bool,
    },
    /// An event of a media worker.
    Media {
        /// Media session of the event.
        id: MediaId,
        /// The event.
        event: MediaEvent,
    },
    /// An event of the conference mixers.
    Conference(NodeEvent),
    /// A response to [`GatewayOutput::Resolve`].
    Resolved {
        /// Id of the query.
        query: QueryId,
        /// Servers found, not yet ordered within one tier and priority; or the reason why there are none.
        found: Result<Vec<DestinationServer>, NameFault>,
    },
    /// A response to [`GatewayOutput::App`].
    AppAnswered {
        /// Id of the query.
        query: QueryId,
        /// The response.
        answer: Box<AppAnswer>,
    },
    /// Cookies set by a response of a call's application.
    CookiesSet {
        /// SID of the call.
        call: String,
        /// The cookies, in order.
        cookies: Vec<Cookie>,
    },
    /// A recording with a complete file, or one that has failed.
    Recorded(Box<RecordingDone>),
    /// Total losses of a recording so far.
    RecordingLost(RecordingId, RecordingLosses),
    /// Whether calls that must be recorded are refused from now on, because the disk is full and `on_full` requires it.
    RecordingsRefused(bool),
    /// Whether recordings cannot be written at present.
    RecordingsFail(bool),
    /// New settings, after a reload or a change of addresses.
    Configure(Box<EdgeSettings>),
    /// Names of all peers that could not be resolved: these peers are down until their names resolve.
    Unresolved(HashMap<Destination, NameFault>),
    /// Conferences that ended before a restart ([`GatewayOutput::ConferenceEnded`]), the oldest first. Sent before the
    /// first call.
    ConferencesEnded(Vec<ConferenceReport>),
    /// Daily counts from before a restart ([`GatewayOutput::Counted`]), from which daily limits continue. Sent before
    /// the first call.
    DayCounts(Vec<DayCount>),
    /// A configuration change by an operator: past problems of these trunks may be solved, until a call shows
    /// otherwise.
    Reconfigured(ConfigChangeScope),
    /// Message counts of these mailboxes; initially of all mailboxes that have messages.
    Messages(Vec<MailboxMessages>),
    /// The result of a probe of an agent.
    AgentProbed(Box<AgentProbe>),
    /// A new reading of the wall clock after it was set. Reports, days and hours follow it from now on; start times
    /// of live calls are shifted, so that their durations stay right.
    Clock(SystemTime),
    /// The process did not run for this time (SIGSTOP, a paused virtual machine). Waits for remote parties get it
    /// again; limits of time do not.
    Paused(Duration),
    /// A command of an operator.
    Control(OperatorCommand),
}

/// Number of messages in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxMessages {
    /// Name of the mailbox.
    pub name: String,
    /// Number of new and old messages.
    pub count: MessageCount,
    /// Size of the messages' files, in bytes.
    pub bytes: u64,
}

/// Result of a probe of an agent: a WebSocket handshake that was closed at once, or only a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentProbe {
    /// Name of the agent.
    pub name: Arc<str>,
    /// URL that was probed; if the agent's URL has changed since, the result is ignored.
    pub url: String,
    /// Start of the probe.
    pub began: Instant,
    /// True if the probe only tested whether the agent accepts connections: it has no `probe`, and a call has lost its
    /// connection.
    pub is_connection: bool,
    /// Duration of the probe, or its failure with details.
    pub outcome: Result<Duration, (StreamLoss, String)>,
}

impl AgentProbe {
    /// Returns the name of the probe in messages, a phrase for its failure and a phrase for its recovery.
    pub const fn words(&self) -> [&'static str; 3] {
        match self.is_connection {
            true => ["connection", "accepts no connection", "accepts connections again"],
            false => ["probe", "does not answer its probe", "answers its probe again"],
        }
    }
}

/// An effect that the shell carries out.
#[derive(Debug)]
pub enum GatewayOutput {
    /// Bytes to send.
    Transmit(SipTransmit),
    /// The response to a keep-alive that came as a datagram: CRLF (RFC 5626 §4.4.1 defines it for streams).
    Pong {
        /// Flow to the sender.
        flow: Flow,
    },
    /// A successful REGISTER on this connection: its remote party is a phone of a trunk.
    Registered(ConnectionId),
    /// A command for a media worker.
    Media {
        /// Media session of the command.
        id: MediaId,
        /// The command.
        command: MediaCommand,
    },
    /// A command for the conference mixers, which tick every 20 ms from the edge's epoch.
    Conference(Box<NodeCommand>),
    /// A host to resolve; never an IP address.
    Resolve {
        /// Id of the query.
        query: QueryId,
        /// The host, with port and transport of its URI.
        destination: Destination,
    },
    /// A query of a call's application.
    App(Box<AppQuestion>),
    /// A callback: an event that an application is notified of.
    Callback(Box<AppCallback>),
    /// A conference that has ended.
    ConferenceEnded(Box<ConferenceReport>),
    /// A recording that has begun: the shell creates its file. Audio and end come from its media session.
    Recording(Box<RecordingBegun>),
    /// A query to cancel: its response is no longer wanted.
    AppGivenUp(QueryId),
    /// A call that has begun and was not refused at once: once per call, before its record.
    Began(Box<CallView>),
    /// The record of a finished call: once per call.
    Report(Box<CallRecord>),
    /// The new sum of a daily limit, after a call counted towards it.
    Counted(DayCount),
    /// A change in the state of the text message that may follow a call.
    Sms(SmsEvent),
    /// A change for event listeners. The begin and end of a call are reported only by [`GatewayOutput::Began`] and
    /// [`GatewayOutput::Report`].
    Changed(Box<EdgeEvent>),
    /// A log line about the progress of a call.
    Log(LogLine),
    /// A message of a call, or a report on its media, if [`EdgeSettings::captures`] is set.
    Captured(Box<CaptureRecord>),
    /// A call selected by [`EdgeSettings::sampling`], once its last response has arrived.
    Sampled(Box<SampledCall>),
}

/// A log line about a call; numbers are masked unless the configuration disables that.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// SID of the call; empty if there is none.
    pub call: String,
    /// Whether an operator should act.
    pub warn: bool,
    /// Text of the line.
    pub text: String,
    /// Reason slug of a refusal or failure.
    pub reason: Option<&'static str>,
}
