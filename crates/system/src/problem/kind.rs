//! Kinds of problems. Each has a stable identifier, and the data from which its harm and its texts (`words.rs`) are
//! derived.

use serde::Serialize;

use super::{Harm, Party, Urgency};

/// Number of calls that a problem has harmed, and of all calls that it could have harmed, in two periods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Calls harmed in the last hour.
    pub calls: u64,
    /// Calls in the last hour that the problem could have harmed.
    pub of: u64,
    /// Calls harmed in the last five minutes.
    pub recent_calls: u64,
    /// Calls in the last five minutes that the problem could have harmed.
    pub recent_of: u64,
    /// Calls without the problem since the last one with it; if there are any, the problem is past.
    pub good_since: u64,
}

/// Consequence of a failing target for the calls that were to be routed to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consequence {
    /// No other target exists for the calls, or that is unknown.
    #[default]
    None,
    /// The calls fail over to their next target.
    NextTarget,
    /// The failing target is only a failover target, and no other target is left.
    LastTarget,
    /// The failing target is only a failover target.
    FailoverTarget,
    /// The calls had another target, but were not routed to it.
    NotTried,
    /// The calls failed.
    Failed,
}

impl Consequence {
    fn is_none(&self) -> bool {
        *self == Consequence::None
    }
}

/// Fault in the audio or the packets of a trunk's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A stream stopped during the call.
    Stopped,
    /// This machine could not send packets.
    Unsent,
    /// The codecs of the sides do not match.
    Codecs,
    /// Packets were lost.
    Loss,
}

/// Problems of a trunk.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TrunkProblem {
    /// The trunk is down.
    Down {
        /// Consequence for calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// No address of the trunk has responded to the last request; it is not down yet.
    NotResponding {
        /// Number of callers who were lost because no other target was left.
        lost: u64,
        /// Consequence for calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// The trunk rejects calls.
    Rejects {
        /// Rejected calls.
        #[serde(flatten)]
        tally: Tally,
        /// Consecutive rejections, if that number is more significant than the others.
        #[serde(skip_serializing_if = "Option::is_none")]
        in_row: Option<u64>,
        /// Number of callers who were lost because no other target was left.
        lost: u64,
        /// Consequence for calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
        /// Whether the trunk has stopped responding since the last rejection.
        #[serde(skip)]
        is_gone: bool,
    },
    /// The edge is not registered with the trunk.
    NotRegistered,
    /// The trunk answers OPTIONS with 403 Forbidden, because it does not know the edge's host name.
    HostRejected {
        /// `contact_host` of the trunk.
        host: String,
    },
    /// Calls with the trunk had a fault.
    Faulty {
        /// Type of the fault.
        #[serde(skip)]
        fault: Fault,
        /// Calls with the fault.
        #[serde(flatten)]
        tally: Tally,
        /// Consequence for calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// The mean audio quality of the trunk in the last hour is poor.
    PoorAudio {
        /// Mean MOS of the last hour.
        mos: f64,
        /// Number of calls in the mean.
        calls: u64,
        /// Number of calls with better audio since the last poor one.
        good_since: u64,
    },
    /// After a restart, one of the trunk's peers could not be resolved.
    NameLost {
        /// Host name of the peer.
        host: String,
        /// Whether DNS reports that the name does not exist; false if DNS does not respond.
        #[serde(skip)]
        is_gone: bool,
        /// Whether all peers of the trunk are affected.
        #[serde(skip)]
        is_all: bool,
    },
    /// Requests that claimed to come from the trunk had wrong credentials.
    WrongCredentials {
        /// Number of requests in the last hour.
        requests: u64,
        /// Whether the requests came from an address of the trunk.
        #[serde(skip)]
        is_of_trunk: bool,
    },
    /// TLS handshakes with the trunk's peers fail.
    TlsFails {
        /// Name of the listener.
        listener: String,
    },
    /// Recording servers do not respond.
    RecordersDown {
        /// Group of the servers: a section `[siprec.GROUP]`.
        group: String,
        /// URIs of the servers; empty if none of the group responds.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        servers: Vec<String>,
        /// Whether calls are rejected without a recording.
        #[serde(skip)]
        is_required: bool,
    },
    /// Recording servers respond but do not record.
    NotRecorded {
        /// Group of the servers: a section `[siprec.GROUP]`.
        group: String,
        /// Calls that were not recorded.
        #[serde(flatten)]
        tally: Tally,
        /// Whether calls are rejected without a recording.
        #[serde(skip)]
        is_required: bool,
        /// Interval between trial calls, in seconds, while calls are rejected because of this problem.
        #[serde(skip)]
        trial_seconds: Option<u64>,
    },
}

/// Problems of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AgentProblem {
    /// The agent is unreachable.
    Down {
        /// Consequence for calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// Calls skip the agent because it keeps failing.
    Skipped {
        /// Consequence for calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// The agent fails in calls.
    Fails {
        /// Calls in which the agent failed.
        #[serde(flatten)]
        tally: Tally,
        /// Calls that the agent ended at once without audio, if the last failure was of this type.
        #[serde(skip_serializing_if = "Option::is_none")]
        ended_at_once: Option<u64>,
        /// Number of callers with calls that the edge ended because of the failure.
        hung_up: u64,
        /// Consequence for calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
        /// Whether the agent has been reached since the last failure.
        #[serde(skip)]
        is_reached: bool,
    },
}

/// Type of silence of a party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Silence {
    /// No usable packets arrive from a side of a call.
    NoMedia,
    /// Packets of digital silence arrive.
    Digital,
    /// The agent sends no audio.
    Agent,
}

/// Calls in which a party is silent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unheard {
    /// Silent trunk or agent; `None` for a bare URI, or an agent of an application.
    #[serde(flatten)]
    pub party: Option<Party>,
    /// Name of the silent party as in the list of calls.
    pub name: String,
    /// Type of silence.
    #[serde(skip)]
    pub silence: Silence,
    /// Cause of the silence, a word as in the `kind` of a call's fault; `None` if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// Number of live calls in which the party is silent; `None` if `tally` counts ended calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_calls: Option<u64>,
    /// Ended calls of the last hour in which the party was silent.
    #[serde(flatten)]
    pub tally: Option<Tally>,
    /// Other parties that are also silent in these calls, each with the number of such calls.
    #[serde(skip)]
    pub both: Vec<(String, u64)>,
    /// Those of `both` with problems of their own that are not listed, because this one covers them.
    #[serde(skip)]
    pub taken_in: Vec<(String, u64)>,
}

impl Unheard {
    /// Returns the number of calls in which the party is silent.
    pub fn calls(&self) -> u64 {
        self.tally.map_or_else(|| self.live_calls.unwrap_or_default(), |tally| tally.calls)
    }

    /// Returns whether the other side of each of these calls is silent, too, in that no usable packets arrive from
    /// either.
    pub fn is_of_both_sides(&self) -> bool {
        self.silence == Silence::NoMedia && self.both.iter().map(|(_, calls)| *calls).sum::<u64>() >= self.calls()
    }
}

/// Problems of the edge itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EdgeProblem {
    /// New calls are rejected after the command `drain`.
    Draining,
    /// No calls are accepted yet.
    Starting,
    /// New calls that would wait too long are rejected.
    Overloaded,
    /// Parts of the program ended by a panic.
    Panics {
        /// Number of panics.
        count: u64,
    },
    /// Changed keys take effect only after a restart.
    RestartNeeded {
        /// Keys awaiting a restart.
        keys: Vec<String>,
    },
    /// The configuration file is rejected.
    ConfigurationRejected {
        /// Reason for the rejection.
        error: String,
    },
    /// The certificate of a listener or trunk expires soon or has expired.
    CertificateEnds {
        /// Type of owner: `listener` or `trunk`.
        #[serde(skip)]
        owner: &'static str,
        /// Name of the listener or trunk.
        name: String,
        /// Expiry date as text.
        #[serde(skip)]
        at: String,
        /// Certificate file; `None` if the edge generated the certificate.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// Whether the certificate has expired.
        has_expired: bool,
    },
    /// Remote parties reject the certificate of a listener.
    CertificateRejected {
        /// Name of the listener.
        listener: String,
        /// Certificate file; `None` if the edge generated the certificate.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// Whether a peer of a trunk is among the parties that reject it.
        #[serde(skip)]
        is_of_trunk: bool,
    },
    /// A certificate file cannot be used.
    CertificateUnusable,
    /// The last ACME order of a certificate failed.
    Acme {
        /// Host name.
        domain: String,
        /// Failed step of the order, in words.
        #[serde(skip)]
        step: &'static str,
        /// Whether the certificate currently in use is still valid.
        #[serde(skip)]
        is_valid: bool,
    },
    /// Speech recognition fails.
    RecognitionFails(Tally),
    /// The webhook for text messages to a number fails.
    MessageWebhook {
        /// Called number.
        number: String,
        /// Number of consecutive messages for which the webhook failed.
        messages: u64,
    },
    /// Log lines were lost.
    LogLinesLost {
        /// Number of lost lines.
        count: u64,
    },
    /// The state of answered calls cannot be written.
    CallStateFails,
    /// Packets are not sent to `[hep]`.
    Hep,
    /// Traces are not delivered to `[otel]`.
    Otel,
    /// A client tries to register as an unknown user.
    UnknownUser {
        /// Source address.
        source: String,
        /// Name of the user.
        user: String,
    },
    /// SIP from unknown sources is dropped.
    UnknownSip,
    /// Connections from unknown sources are closed.
    UnknownConnections,
    /// TLS handshakes with unknown sources fail.
    TlsFails {
        /// Name of the listener.
        listener: String,
    },
}

/// Receiver of callbacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Receiver {
    /// Application, by name.
    #[serde(rename = "receiver_app")]
    App(String),
    /// Mailbox, by name.
    #[serde(rename = "receiver_voicemail")]
    Voicemail(String),
    /// `[recording] url`.
    #[serde(rename = "receiver_recordings")]
    Recordings,
}

/// Problems with the writing and delivery of data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum RecordProblem {
    /// Call records are not written to the file.
    CallRecordsNotWritten,
    /// Call records are not delivered to the URL.
    CallRecordsNotDelivered,
    /// Call records cannot be queued for the URL.
    CallRecordsNotQueued,
    /// Call records were lost.
    CallRecordsLost {
        /// Number of records lost since the start.
        count: u64,
        /// Whether the records were for the URL rather than the file.
        #[serde(skip)]
        is_for_url: bool,
    },
    /// Alerts are not delivered to the URL.
    AlertsNotDelivered,
    /// Counts of limits by day are not stored.
    DayCountsNotStored,
    /// The previous process ended without a regular shutdown.
    CallsCutShort {
        /// Number of calls that were in progress.
        calls: usize,
    },
    /// The journal of call records was damaged at the start.
    JournalDamaged {
        /// Number of unreadable lines.
        lines: u64,
    },
    /// Ended calls are not stored.
    CallsNotStored,
    /// The store is not written.
    StoreNotWritten,
    /// The store was damaged.
    StoreDamaged {
        /// Description of the contents that were recovered from the store.
        what: String,
    },
    /// Callbacks are not stored.
    CallbacksNotStored,
    /// Callbacks are not delivered.
    CallbacksNotDelivered {
        /// Receiver that does not accept the callbacks.
        #[serde(flatten)]
        receiver: Receiver,
    },
    /// Callbacks were lost.
    CallbacksLost {
        /// Receiver of the lost callbacks.
        #[serde(flatten)]
        receiver: Receiver,
        /// Number of callbacks lost since the start.
        count: u64,
    },
    /// Recordings are not written.
    RecordingsNotWritten,
    /// Calls are rejected while the disk accepts no recordings.
    CallsRefused {
        /// Number of callers rejected in the last hour.
        callers: u64,
    },
    /// Recordings lack part of their audio.
    RecordingsHaveGaps {
        /// Number of recordings since the start.
        recordings: u64,
        /// Missing audio in milliseconds.
        lost_milliseconds: u64,
        /// Number of complete recordings since the last incomplete one.
        whole_since: u64,
    },
    /// Recordings were cut off by the end of an earlier run.
    RecordingsCut {
        /// Number of recordings.
        recordings: u64,
    },
    /// Recordings are not in their list yet.
    RecordingsNotListed {
        /// Number of recordings.
        recordings: u64,
    },
    /// Recordings of an earlier run are not completed.
    RecordingsNotCompleted {
        /// Number of recordings.
        recordings: u64,
    },
    /// Entries of recordings may be missing.
    RecordingEntriesMissing,
    /// The recordings directory contains files of no recording.
    FilesNotListed {
        /// Number of files.
        files: u64,
    },
    /// A mailbox is full.
    VoicemailFull {
        /// Name of the mailbox: a section `[voicemail.NAME]`.
        voicemail: String,
    },
    /// Voicemail is not sent by e-mail.
    MailNotSent,
    /// E-mails were abandoned.
    MailGivenUp {
        /// Number of voicemail messages in them.
        messages: u64,
    },
    /// Recordings are not transcribed.
    NotTranscribed,
    /// Transcriptions were abandoned.
    TranscriptionGivenUp {
        /// Number of recordings without a transcription.
        recordings: u64,
    },
    /// Text messages are waiting for a service that is no longer configured.
    SmsWithoutService {
        /// Number of messages.
        messages: u64,
    },
    /// Text messages have been queued for a long time.
    SmsQueued {
        /// Number of messages.
        messages: u64,
        /// Age of the oldest message in minutes.
        minutes: u64,
    },
}

/// Kind of a problem, with the data for its texts and its rank.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ProblemKind {
    /// Problem of a trunk.
    Trunk {
        /// A section `[trunk.NAME]`.
        trunk: String,
        /// Kind of the trunk's problem.
        #[serde(flatten)]
        what: TrunkProblem,
    },
    /// Problem of an agent.
    Agent {
        /// A section `[agent.NAME]`.
        agent: String,
        /// Kind of the agent's problem.
        #[serde(flatten)]
        what: AgentProblem,
    },
    /// Failures of an application.
    App {
        /// A section `[app.NAME]`.
        app: String,
        /// Calls affected.
        #[serde(flatten)]
        tally: Tally,
        /// Whether prompts of the application were not played; false if the application itself failed.
        #[serde(skip)]
        is_unheard: bool,
    },
    /// A party is silent.
    Unheard(Box<Unheard>),
    /// A limit rejects calls.
    Limit {
        /// Trunk with the limit; `None` for the edge's own limit.
        #[serde(skip_serializing_if = "Option::is_none")]
        trunk: Option<String>,
        /// Whether the calls were to the trunk; false if they came from it.
        #[serde(skip)]
        is_outbound: bool,
        /// Stable code of the reason for the rejections.
        reason: &'static str,
        /// Configuration key of the limit, with its value and section.
        limit: String,
        /// Calls rejected in the last hour.
        calls: u64,
        /// Calls rejected in the last five minutes.
        recent_calls: u64,
        /// Consequence for the rejected calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// Routes have no target left.
    NoTarget {
        /// Trunk, agent or application that is the first target of the routes.
        #[serde(flatten)]
        party: Party,
        /// Stable word of the problem of that first target.
        #[serde(skip)]
        word: &'static str,
        /// Names of the routes.
        routes: Vec<String>,
        /// Number of callers who were lost because no target was left.
        lost: u64,
        /// Whether `lost` counts since a target last answered; false if it counts the last hour.
        #[serde(skip)]
        is_since_answer: bool,
    },
    /// Problem of the edge itself.
    Edge(EdgeProblem),
    /// Problem with the writing and delivery of data.
    Record(RecordProblem),
}

impl Fault {
    const fn word(self) -> &'static str {
        match self {
            Fault::Stopped => "stopped",
            Fault::Unsent => "unsent",
            Fault::Codecs => "codec_mismatch",
            Fault::Loss => "loss",
        }
    }
}

impl TrunkProblem {
    const fn word(&self) -> &'static str {
        match self {
            TrunkProblem::Down { .. } | TrunkProblem::NotResponding { .. } | TrunkProblem::RecordersDown { .. } => {
                "down"
            }
            TrunkProblem::Rejects { .. } => "rejects",
            TrunkProblem::NotRegistered => "not_registered",
            TrunkProblem::HostRejected { .. } => "host_rejected",
            TrunkProblem::Faulty { fault, .. } => fault.word(),
            TrunkProblem::PoorAudio { .. } => "poor_audio",
            TrunkProblem::NameLost { .. } => "name_lost",
            TrunkProblem::WrongCredentials { .. } => "wrong_credentials",
            TrunkProblem::TlsFails { .. } => "tls",
            TrunkProblem::NotRecorded { .. } => "not_recorded",
        }
    }

    fn harm(&self) -> Harm {
        match self {
            TrunkProblem::RecordersDown { servers, .. } if !servers.is_empty() => Harm::Detour,
            TrunkProblem::RecordersDown { is_required: false, .. }
            | TrunkProblem::Faulty { .. }
            | TrunkProblem::PoorAudio { .. } => Harm::Media,
            TrunkProblem::NotRecorded { is_required: false, .. } => Harm::Records,
            TrunkProblem::NameLost { .. } => Harm::Restart,
            TrunkProblem::WrongCredentials { is_of_trunk: false, .. } => Harm::Strangers,
            TrunkProblem::Down { .. }
            | TrunkProblem::NotResponding { .. }
            | TrunkProblem::Rejects { .. }
            | TrunkProblem::NotRegistered
            | TrunkProblem::HostRejected { .. }
            | TrunkProblem::WrongCredentials { .. }
            | TrunkProblem::TlsFails { .. }
            | TrunkProblem::RecordersDown { .. }
            | TrunkProblem::NotRecorded { .. } => Harm::Calls,
        }
    }

    const fn tally(&self) -> Option<&Tally> {
        if let TrunkProblem::Rejects { tally, .. }
        | TrunkProblem::Faulty { tally, .. }
        | TrunkProblem::NotRecorded { tally, .. } = self
        {
            return Some(tally);
        }
        None
    }
}

impl EdgeProblem {
    const fn word(&self) -> &'static str {
        match self {
            EdgeProblem::Draining => "draining",
            EdgeProblem::Starting => "starting",
            EdgeProblem::Overloaded => "overloaded",
            EdgeProblem::Panics { .. } => "panics",
            EdgeProblem::RestartNeeded { .. } => "restart_needed",
            EdgeProblem::ConfigurationRejected { .. } => "configuration_rejected",
            EdgeProblem::CertificateEnds { .. } => "certificate_ends",
            EdgeProblem::CertificateRejected { .. } => "certificate_rejected",
            EdgeProblem::CertificateUnusable => "certificate_unusable",
            EdgeProblem::Acme { .. } => "acme",
            EdgeProblem::RecognitionFails(_) => "recognition_fails",
            EdgeProblem::MessageWebhook { .. } => "message_webhook",
            EdgeProblem::LogLinesLost { .. } => "log_lines_lost",
            EdgeProblem::CallStateFails => "call_state_fails",
            EdgeProblem::Hep => "hep",
            EdgeProblem::Otel => "otel",
            EdgeProblem::UnknownUser { .. } => "unknown_user",
            EdgeProblem::UnknownSip => "unknown_sip",
            EdgeProblem::UnknownConnections => "unknown_connections",
            EdgeProblem::TlsFails { .. } => "tls",
        }
    }

    const fn harm(&self) -> Harm {
        match self {
            EdgeProblem::Draining | EdgeProblem::Starting | EdgeProblem::Overloaded | EdgeProblem::Panics { .. } => {
                Harm::Edge
            }
            EdgeProblem::ConfigurationRejected { .. }
            | EdgeProblem::CertificateUnusable
            | EdgeProblem::CallStateFails => Harm::Restart,
            EdgeProblem::RestartNeeded { .. }
            | EdgeProblem::CertificateEnds { has_expired: false, .. }
            | EdgeProblem::CertificateRejected { is_of_trunk: false, .. }
            | EdgeProblem::Acme { is_valid: true, .. } => Harm::Configuration,
            EdgeProblem::CertificateEnds { .. }
            | EdgeProblem::CertificateRejected { .. }
            | EdgeProblem::Acme { .. }
            | EdgeProblem::RecognitionFails(_) => Harm::Calls,
            EdgeProblem::MessageWebhook { .. } => Harm::Records,
            EdgeProblem::LogLinesLost { .. } | EdgeProblem::Hep | EdgeProblem::Otel => Harm::Telemetry,
            EdgeProblem::UnknownUser { .. }
            | EdgeProblem::UnknownSip
            | EdgeProblem::UnknownConnections
            | EdgeProblem::TlsFails { .. } => Harm::Strangers,
        }
    }

    /// Returns the text that distinguishes this problem from others with the same word, such as the name of a listener.
    fn subject(&self) -> String {
        if let EdgeProblem::CertificateEnds { owner, name, at, file, .. } = self {
            return format!("{owner} {name} {at} {}", file.as_deref().unwrap_or_default());
        }
        if let EdgeProblem::CertificateRejected { listener: of, .. }
        | EdgeProblem::TlsFails { listener: of }
        | EdgeProblem::MessageWebhook { number: of, .. } = self
        {
            return of.clone();
        }
        String::new()
    }
}

impl RecordProblem {
    const fn word(&self) -> &'static str {
        match self {
            RecordProblem::CallRecordsNotWritten => "call_records_not_written",
            RecordProblem::CallRecordsNotDelivered => "call_records_not_delivered",
            RecordProblem::AlertsNotDelivered => "alerts_not_delivered",
            RecordProblem::CallRecordsNotQueued => "call_records_not_queued",
            RecordProblem::CallRecordsLost { .. } => "call_records_lost",
            RecordProblem::DayCountsNotStored => "day_counts_not_stored",
            RecordProblem::CallsCutShort { .. } => "calls_cut_short",
            RecordProblem::JournalDamaged { .. } => "journal_damaged",
            RecordProblem::CallsNotStored => "calls_not_stored",
            RecordProblem::StoreNotWritten => "store_not_written",
            RecordProblem::StoreDamaged { .. } => "store_damaged",
            RecordProblem::CallbacksNotStored => "callbacks_not_stored",
            RecordProblem::CallbacksNotDelivered { .. } => "callbacks_not_delivered",
            RecordProblem::CallbacksLost { .. } => "callbacks_lost",
            RecordProblem::RecordingsNotWritten => "recordings_not_written",
            RecordProblem::CallsRefused { .. } => "calls_refused",
            RecordProblem::RecordingsHaveGaps { .. } => "recordings_have_gaps",
            RecordProblem::RecordingsCut { .. } => "recordings_cut",
            RecordProblem::RecordingsNotListed { .. } => "recordings_not_listed",
            RecordProblem::RecordingsNotCompleted { .. } => "recordings_not_completed",
            RecordProblem::RecordingEntriesMissing => "recording_entries_missing",
            RecordProblem::FilesNotListed { .. } => "files_not_listed",
            RecordProblem::VoicemailFull { .. } => "voicemail_full",
            RecordProblem::MailNotSent => "mail_not_sent",
            RecordProblem::MailGivenUp { .. } => "mail_given_up",
            RecordProblem::NotTranscribed => "not_transcribed",
            RecordProblem::TranscriptionGivenUp { .. } => "transcription_given_up",
            RecordProblem::SmsWithoutService { .. } => "sms_without_service",
            RecordProblem::SmsQueued { .. } => "sms_queued",
        }
    }

    const fn harm(&self) -> Harm {
        if matches!(self, RecordProblem::CallsCutShort { .. } | RecordProblem::CallsRefused { .. }) {
            return Harm::Calls;
        }
        if matches!(self, RecordProblem::VoicemailFull { .. }) { Harm::Detour } else { Harm::Records }
    }

    fn subject(&self) -> String {
        if let RecordProblem::CallbacksNotDelivered { receiver } | RecordProblem::CallbacksLost { receiver, .. } = self
        {
            return format!("{receiver:?}");
        }
        if let RecordProblem::VoicemailFull { voicemail } = self {
            return voicemail.clone();
        }
        if matches!(self, RecordProblem::CallRecordsLost { is_for_url: true, .. }) { "url" } else { "" }.to_owned()
    }
}

impl ProblemKind {
    /// Returns the stable word for the kind of problem, which is `kind` in JSON.
    pub const fn word(&self) -> &'static str {
        match self {
            ProblemKind::Trunk { what, .. } => what.word(),
            ProblemKind::Agent { .. } | ProblemKind::App { .. } => "fails",
            ProblemKind::Unheard(_) => "one_way",
            ProblemKind::Limit { .. } => "limit",
            ProblemKind::NoTarget { word, .. } => word,
            ProblemKind::Edge(edge) => edge.word(),
            ProblemKind::Record(record) => record.word(),
        }
    }

    /// Returns the trunk, agent or application that the problem concerns; `None` for any other.
    pub fn party(&self) -> Option<Party> {
        match self {
            ProblemKind::Trunk { trunk, .. } | ProblemKind::Limit { trunk: Some(trunk), .. } => {
                Some(Party::Trunk(trunk.clone()))
            }
            ProblemKind::Agent { agent, .. } => Some(Party::Agent(agent.clone())),
            ProblemKind::App { app, .. } => Some(Party::App(app.clone())),
            ProblemKind::Unheard(unheard) => unheard.party.clone(),
            ProblemKind::NoTarget { party, .. } => Some(party.clone()),
            ProblemKind::Limit { trunk: None, .. } | ProblemKind::Edge(_) | ProblemKind::Record(_) => None,
        }
    }

    /// Returns the harm of the problem, assuming that the calls have no other target.
    pub(super) fn harm(&self) -> Harm {
        match self {
            _ if self.is_past() => Harm::Past,
            ProblemKind::Trunk { what, .. } => what.harm(),
            ProblemKind::App { is_unheard: true, .. } | ProblemKind::Unheard(_) => Harm::Media,
            ProblemKind::Agent { .. }
            | ProblemKind::App { .. }
            | ProblemKind::Limit { .. }
            | ProblemKind::NoTarget { .. } => Harm::Calls,
            ProblemKind::Edge(edge) => edge.harm(),
            ProblemKind::Record(record) => record.harm(),
        }
    }

    /// Returns whether the problem harmed calls in the last hour, or recordings, but does not persist.
    pub(super) fn is_past(&self) -> bool {
        let tally = match self {
            ProblemKind::Trunk { what: TrunkProblem::PoorAudio { good_since, .. }, .. } => return *good_since > 0,
            ProblemKind::Trunk { what: TrunkProblem::Rejects { is_gone: true, .. }, .. }
            | ProblemKind::Agent { what: AgentProblem::Fails { is_reached: true, .. }, .. } => return true,
            ProblemKind::Record(record) => {
                return matches!(
                    record,
                    RecordProblem::RecordingsHaveGaps { .. } | RecordProblem::RecordingsCut { .. }
                );
            }
            ProblemKind::Limit { recent_calls, .. } => return *recent_calls == 0,
            ProblemKind::Trunk { what, .. } => what.tally(),
            ProblemKind::Agent { what: AgentProblem::Fails { tally, .. }, .. }
            | ProblemKind::App { tally, .. }
            | ProblemKind::Edge(EdgeProblem::RecognitionFails(tally)) => Some(tally),
            ProblemKind::Unheard(unheard) => unheard.tally.as_ref(),
            ProblemKind::Agent { .. } | ProblemKind::NoTarget { .. } | ProblemKind::Edge(_) => None,
        };
        tally.is_some_and(|tally| tally.good_since > 0)
    }

    /// Returns the urgency that follows from the kind alone, before the number of harmed calls is known.
    pub(super) const fn urgency(&self) -> Urgency {
        if matches!(self, ProblemKind::Trunk { what: TrunkProblem::WrongCredentials { .. }, .. }) {
            return Urgency::Other;
        }
        if matches!(self, ProblemKind::Record(RecordProblem::CallsCutShort { .. })) {
            return Urgency::Few;
        }
        Urgency::Down
    }

    /// Returns whether recordings or call records cannot be written at present.
    pub(super) const fn is_unwritten(&self) -> bool {
        let ProblemKind::Record(record) = self else { return false };
        matches!(
            record,
            RecordProblem::CallRecordsNotWritten | RecordProblem::RecordingsNotWritten | RecordProblem::StoreNotWritten
        )
    }

    /// Returns whether calls are rejected because the disk accepts no recordings.
    pub const fn is_calls_refused(&self) -> bool {
        matches!(self, ProblemKind::Record(RecordProblem::CallsRefused { .. }))
    }

    /// Returns whether the problem is a normal phase of operation: a drain or the start.
    pub(crate) const fn is_wanted(&self) -> bool {
        matches!(self, ProblemKind::Edge(EdgeProblem::Draining | EdgeProblem::Starting))
    }

    /// Returns a key that identifies the problem in successive checks, while its figures change.
    pub(crate) fn key(&self) -> String {
        let subject = match self {
            ProblemKind::Trunk { what: TrunkProblem::NameLost { host: of, .. }, .. }
            | ProblemKind::Trunk { what: TrunkProblem::TlsFails { listener: of }, .. } => of.clone(),
            ProblemKind::Unheard(unheard) => format!("{} {:?}", unheard.name, unheard.silence),
            ProblemKind::Limit { reason, is_outbound, .. } => format!("{reason} {is_outbound}"),
            ProblemKind::NoTarget { routes, .. } => format!("routes {}", routes.join(", ")),
            ProblemKind::Edge(edge) => edge.subject(),
            ProblemKind::Record(record) => record.subject(),
            ProblemKind::Trunk { .. } | ProblemKind::Agent { .. } | ProblemKind::App { .. } => String::new(),
        };
        match self.party() {
            Some(party) => format!("{} {party:?} {subject}", self.word()),
            None => format!("{} {subject}", self.word()),
        }
    }
}
