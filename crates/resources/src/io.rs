//! What goes into a gateway and what comes out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use trunkgate_conference::{NodeCommand, NodeEvent};
use trunkgate_cookies::Cookie;
use trunkgate_media::agent::Loss;
use trunkgate_media::{Command, Event, MediaId, RecordingId, Unsent};
use trunkgate_route::locate::NameFault;
use trunkgate_route::{Destination, Server};
use trunkgate_sip::{ConnectionId, Flow, Message, Transmit};
use trunkgate_story::captured::Captured;
use trunkgate_story::change::Change;
use trunkgate_story::report::CallRecord;
use trunkgate_story::sampled::SampledCall;
use trunkgate_story::sms::SmsNews;
use trunkgate_story::view::CallView;

use crate::applications::question::{AppAnswer, AppCallback, AppQuestion};
use crate::conferences::ConferenceReport;
use crate::config::Settings;
use crate::mailboxes::indications::MessageCount;
use crate::recordings::losses::Losses;
use crate::recordings::{RecordingBegun, RecordingDone};
use crate::trunks::quotas::DayCount;

pub use crate::failures::concerned::Concerned;
pub use crate::lookups::index::Identity;
pub use crate::lookups::key::QueryId;

/// What an operator asks for.
#[derive(Debug, Clone)]
pub enum Control {
    /// No new calls: 503 with Retry-After; live ones go on.
    Drain {
        /// Whether to drain or to take calls again.
        on: bool,
    },
    /// BYE or CANCEL on every leg of every call.
    EndAll,
    /// Every registration of ours is taken back: the edge ends.
    Unregister,
    /// BYE or CANCEL on every leg of one call.
    Hangup {
        /// The call.
        sid: String,
    },
}

/// What a stream failed at, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// TLS.
    Tls(String),
    /// What it runs over: the system's words.
    Stream(String),
    /// This machine does not let it out.
    Unsent(Unsent),
}

/// A change from outside.
#[derive(Debug, Clone)]
pub enum Input {
    /// A datagram, or one framed message of a stream. The gateway finds its trunk before it reads it.
    Received {
        /// The way it came.
        flow: Flow,
        /// The message.
        bytes: Bytes,
    },
    /// The same after the gateway's `sort` and a wait.
    Message {
        /// The way it came.
        flow: Flow,
        /// The message.
        message: Message,
    },
    /// A sorted message that begins a call and has waited for too long: 503 with Retry-After.
    TurnAway {
        /// The way it came.
        flow: Flow,
        /// The INVITE.
        message: Message,
    },
    /// A stream that could not be framed any further: answered 400 where it can be, then the shell closes it.
    Broken {
        /// The way it came.
        flow: Flow,
        /// What could be read.
        bytes: Bytes,
        /// What is wrong.
        what: &'static str,
    },
    /// A send failed: connection refused or lost, or refused by the system.
    TransportFailed {
        /// The way that failed.
        flow: Flow,
        /// Why the system of this machine refused it; `None`: it did not, or does not say.
        why: Option<Unsent>,
    },
    /// An ICMP error, which anybody may send: believed where it quotes enough of a request of ours.
    Unreachable {
        /// The way that failed.
        flow: Flow,
        /// What it quotes of the datagram.
        quoted: Bytes,
    },
    /// Whose a TLS connection is, said before any message of it.
    Identified {
        /// The connection.
        connection: ConnectionId,
        /// The address of its remote party.
        remote: SocketAddr,
        /// Who.
        identity: Identity,
    },
    /// A stream is gone, or never came up.
    Disconnected {
        /// The way it went.
        flow: Flow,
        /// The trunk that it was made for under TLS; empty: a host of no trunk. Nobody else's requests wait there.
        made_for: Option<Arc<str>>,
        /// What it failed at, where it did not just end.
        cause: Option<Cause>,
        /// Whether it had been up.
        was_up: bool,
    },
    /// A worker's news.
    Media {
        /// Its session.
        id: MediaId,
        /// The news.
        event: Event,
    },
    /// News of the mixers of conferences.
    Conference(NodeEvent),
    /// The answer to [`Output::Resolve`].
    Resolved {
        /// The question.
        query: QueryId,
        /// Its servers, still without an order among those of one tier and priority; or why there are none.
        found: Result<Vec<Server>, NameFault>,
    },
    /// The answer to [`Output::App`].
    AppAnswered {
        /// The question.
        query: QueryId,
        /// The answer.
        answer: Box<AppAnswer>,
    },
    /// A response to a request of a call's application has set cookies.
    CookiesSet {
        /// SID of the call.
        call: String,
        /// The cookies, in order.
        cookies: Vec<Cookie>,
    },
    /// A recording's file is complete, or will not be.
    Recorded(Box<RecordingDone>),
    /// What a recording lacks until now, all in all.
    RecordingLost(RecordingId, Losses),
    /// Whether calls that are to be recorded are refused from now on: the disk takes no recordings, and `on_full` says so.
    RecordingsRefused(bool),
    /// Recordings cannot be written for now, or can be again.
    RecordingsFail(bool),
    /// New settings: a reload, new addresses of peers, or of this machine.
    Configure(Box<Settings>),
    /// Peers' names that were looked up and not found, all of them: until they are, their peers are down.
    Unresolved(HashMap<Destination, NameFault>),
    /// Conferences that [`Output::ConferenceEnded`] has named before a restart, the oldest first. Before the first call.
    ConferencesEnded(Vec<ConferenceReport>),
    /// What [`Output::Counted`] has said before a restart: the limits by the day go on from there. Before the first call.
    DayCounts(Vec<DayCount>),
    /// An operator has changed keys: what was wrong with calls of these trunks may be mended, until a call shows otherwise.
    Reconfigured(Concerned),
    /// Messages of these mailboxes; the first time all that have any.
    Messages(Vec<MailboxMessages>),
    /// How an agent has answered a probe.
    AgentProbed(Box<AgentProbe>),
    /// What the wall clock reads now, where it was set: reports, days and hours follow it from here on, and calls that are up
    /// are dated by it from their beginning, so that their durations stay right.
    Clock(SystemTime),
    /// An operator's wish.
    Control(Control),
}

/// Messages of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxMessages {
    /// Its name.
    pub name: String,
    /// The number of its messages.
    pub count: MessageCount,
    /// Bytes of their files.
    pub bytes: u64,
}

/// A probe of an agent: a handshake that was closed at once, or a connection alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentProbe {
    /// The agent's name.
    pub name: Arc<str>,
    /// Where it was asked; an agent that has moved since is judged by later probes.
    pub url: String,
    /// When it was asked.
    pub began: Instant,
    /// Whether it was a connection without a handshake: the agent has no `probe`, and the connection of a call was lost.
    pub is_connection: bool,
    /// How long it took, or how it failed and what is known beside.
    pub outcome: Result<Duration, (Loss, String)>,
}

impl AgentProbe {
    /// Returns its name in messages, and what an agent does that fails it, and that is back.
    pub const fn words(&self) -> [&'static str; 3] {
        match self.is_connection {
            true => ["connection", "accepts no connection", "accepts connections again"],
            false => ["probe", "does not answer its probe", "answers its probe again"],
        }
    }
}

/// What comes out.
#[derive(Debug)]
pub enum Output {
    /// Bytes to send.
    Transmit(Transmit),
    /// The answer to a keep-alive that came as a datagram: CRLF (RFC 5626 §4.4.1 has it for streams).
    Pong {
        /// The way back.
        flow: Flow,
    },
    /// A REGISTER on this connection was successful: its far end is a phone of a trunk.
    Registered(ConnectionId),
    /// A command for a media worker.
    Media {
        /// Its session.
        id: MediaId,
        /// The command.
        command: Command,
    },
    /// A command for the mixers of conferences, which tick every 20 ms from the edge's epoch on.
    Conference(Box<NodeCommand>),
    /// A host to look up; IP addresses never come here.
    Resolve {
        /// The question.
        query: QueryId,
        /// The host, and what its URI says of port and transport.
        destination: Destination,
    },
    /// A question of a call's application.
    App(Box<AppQuestion>),
    /// An event that an application is notified of.
    Callback(Box<AppCallback>),
    /// A conference is over.
    ConferenceEnded(Box<ConferenceReport>),
    /// A recording has begun: its file is to be made. Its audio and its end come from its media session.
    Recording(Box<RecordingBegun>),
    /// The answer to such a question is no longer wanted: what is under way for it is given up.
    AppGivenUp(QueryId),
    /// A call has begun and is not refused at once: once per call, before its record.
    Began(Box<CallView>),
    /// A finished call's record, once per call.
    Report(Box<CallRecord>),
    /// A call has counted with a limit by the day: the sum so far.
    Counted(DayCount),
    /// What becomes of the text message that may follow a call.
    Sms(SmsNews),
    /// A change that whoever watches is told of; a call's beginning and its end are told by [`Output::Began`] and
    /// [`Output::Report`] alone.
    Changed(Box<Change>),
    /// A call's progress, for the log: one line each.
    Log(LogLine),
    /// A message of a call, or a report on its media, where [`Settings::captures`] asks for them.
    Captured(Box<Captured>),
    /// A call of those that [`Settings::sampling`] asks for, once nothing of it is waited for.
    Sampled(Box<SampledCall>),
}

/// One event of a call for the log; numbers are already masked unless the configuration says otherwise.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// The call's sid; empty where it belongs to none.
    pub call: String,
    /// Whether an operator should act.
    pub warn: bool,
    /// The sentence.
    pub text: String,
    /// The reason slug, where it is a refusal or failure.
    pub reason: Option<&'static str>,
}
