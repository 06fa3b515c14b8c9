//! Kinds of problems: a stable word each, and the fields from which its harm and its words follow. Has no sentences: `words.rs` has them.

use serde::Serialize;

use super::{Harm, Party, Urgency};

/// Calls of the last hour that a problem harmed, of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many …
    pub calls: u64,
    /// … of so many.
    pub of: u64,
    /// The same of the last five minutes: how many …
    pub recent_calls: u64,
    /// … of so many.
    pub recent_of: u64,
    /// Calls without the problem since the last one with it: with any, the problem is past.
    pub good_since: u64,
}

/// What becomes of the calls for a target that does not serve them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consequence {
    /// They have no other target, or it is not known.
    #[default]
    None,
    /// They go to their next target.
    NextTarget,
    /// They come only behind other targets, and have none left.
    LastTarget,
    /// They come only behind other targets.
    FailoverTarget,
    /// They got no other target, although there is one.
    NotTried,
    /// They failed.
    Failed,
}

impl Consequence {
    fn is_none(&self) -> bool {
        *self == Consequence::None
    }
}

/// Audio or packets of calls with a trunk that are not as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A stream stopped during the call.
    Stopped,
    /// This machine did not send packets.
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
    /// It counts as down.
    Down {
        /// What becomes of calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// No address of it has answered what was sent last; it does not count as down yet.
    NotResponding {
        /// Callers that were lost.
        lost: u64,
        /// What becomes of calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// It rejects calls.
    Rejects {
        /// In how many calls.
        #[serde(flatten)]
        tally: Tally,
        /// Those since it last answered, where they say more than the others.
        #[serde(skip_serializing_if = "Option::is_none")]
        in_row: Option<u64>,
        /// Callers that got no other target.
        lost: u64,
        /// What becomes of the calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
        /// Whether it does not respond since.
        #[serde(skip)]
        is_gone: bool,
    },
    /// The edge is not registered at it.
    NotRegistered,
    /// Calls with it had a fault.
    Faulty {
        /// Which one.
        #[serde(skip)]
        fault: Fault,
        /// In how many calls.
        #[serde(flatten)]
        tally: Tally,
        /// What became of them.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// Its audio is poor in the mean of the last hour.
    PoorAudio {
        /// That mean.
        mos: f64,
        /// Of so many calls.
        calls: u64,
        /// Better calls since.
        good_since: u64,
    },
    /// A restart would not find one of its peers.
    NameLost {
        /// Host name of the peer.
        host: String,
        /// Whether DNS says that there is no such name, instead of nothing.
        #[serde(skip)]
        is_gone: bool,
        /// Whether all of its peers are lost with it.
        #[serde(skip)]
        is_all: bool,
    },
    /// Requests that were to be of it had wrong credentials.
    WrongCredentials {
        /// How many, in the last hour.
        requests: u64,
        /// Whether they came from an address of the trunk.
        #[serde(skip)]
        is_of_trunk: bool,
    },
    /// TLS handshakes of its machines fail.
    TlsFails {
        /// The listener.
        listener: String,
    },
    /// Recording servers do not answer.
    RecordersDown {
        /// Their section `[siprec.GROUP]`.
        group: String,
        /// Their URIs; empty: none of the group answers.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        servers: Vec<String>,
        /// Whether calls are rejected without a recording.
        #[serde(skip)]
        is_required: bool,
    },
    /// Recording servers answer, and record nothing.
    NotRecorded {
        /// Their section `[siprec.GROUP]`.
        group: String,
        /// In how many calls.
        #[serde(flatten)]
        tally: Tally,
        /// Whether calls are rejected without a recording.
        #[serde(skip)]
        is_required: bool,
        /// Where calls are refused for it at present: seconds between two calls that try whether it records again.
        #[serde(skip)]
        trial_seconds: Option<u64>,
    },
}

/// Problems of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AgentProblem {
    /// It is not reached.
    Down {
        /// What becomes of calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// Calls skip it, as it keeps failing.
    Skipped {
        /// What becomes of calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// It fails in calls.
    Fails {
        /// In how many.
        #[serde(flatten)]
        tally: Tally,
        /// Calls that it ended at once without audio, where that is what it did in the last one.
        #[serde(skip_serializing_if = "Option::is_none")]
        ended_at_once: Option<u64>,
        /// Callers that were hung up on.
        hung_up: u64,
        /// What becomes of calls.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
        /// Whether it has been reached since.
        #[serde(skip)]
        is_reached: bool,
    },
}

/// How a party is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Silence {
    /// No packets, or none that can be used, arrive from a side of a call.
    NoMedia,
    /// Packets without any sound arrive from it.
    Digital,
    /// An agent sends no audio.
    Agent,
}

/// Calls in which a party is not heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unheard {
    /// The trunk or agent; `None`: a bare URI, or an agent of an application.
    #[serde(flatten)]
    pub party: Option<Party>,
    /// The party as calls name it.
    pub name: String,
    /// How it is not heard.
    #[serde(skip)]
    pub silence: Silence,
    /// Word of the cause, as `kind` of a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
    /// Live calls in which it is not heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_calls: Option<u64>,
    /// Calls of the last hour.
    #[serde(flatten)]
    pub tally: Option<Tally>,
    /// Other parties that are not heard in these calls either, each with the number of them.
    #[serde(skip)]
    pub both: Vec<(String, u64)>,
    /// Those of them whose own problems this one stands for.
    #[serde(skip)]
    pub taken_in: Vec<(String, u64)>,
}

impl Unheard {
    /// Returns in how many calls it is not heard.
    pub fn calls(&self) -> u64 {
        self.tally.map_or_else(|| self.live_calls.unwrap_or_default(), |tally| tally.calls)
    }

    /// Whether other parties are heard in none of these calls either.
    pub fn is_of_both_sides(&self) -> bool {
        self.silence == Silence::NoMedia && self.both.iter().map(|(_, calls)| *calls).sum::<u64>() >= self.calls()
    }
}

/// Problems of the edge itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EdgeProblem {
    /// New calls are refused, as `drain` asked.
    Draining,
    /// No calls are accepted yet.
    Starting,
    /// New calls that would wait too long are refused.
    Overloaded,
    /// Parts of the program ended by a panic.
    Panics {
        /// How many did.
        count: u64,
    },
    /// Changed keys wait for a restart.
    RestartNeeded {
        /// These keys.
        keys: Vec<String>,
    },
    /// The configuration file is rejected.
    ConfigurationRejected {
        /// Why.
        error: String,
    },
    /// The certificate of a listener or trunk ends soon, or has ended.
    CertificateEnds {
        /// `listener` or `trunk`.
        #[serde(skip)]
        owner: &'static str,
        /// Its name.
        name: String,
        /// When it ends, as text.
        #[serde(skip)]
        at: String,
        /// Its file; `None`: the edge made it.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// Whether it has ended.
        has_expired: bool,
    },
    /// Remote parties reject the certificate of a listener.
    CertificateRejected {
        /// The listener.
        listener: String,
        /// Its file; `None`: the edge made it.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// Whether a trunk's machine is among those that reject it.
        #[serde(skip)]
        is_of_trunk: bool,
    },
    /// A certificate file cannot be used.
    CertificateUnusable,
    /// The last order of a certificate failed.
    Acme {
        /// The host name.
        domain: String,
        /// The step that failed, in words.
        #[serde(skip)]
        step: &'static str,
        /// Whether the certificate in force is valid.
        #[serde(skip)]
        is_valid: bool,
    },
    /// The recogniser fails.
    RecognitionFails(Tally),
    /// The webhook of text messages to a number fails.
    MessageWebhook {
        /// The number.
        number: String,
        /// Messages in a row for which it failed.
        messages: u64,
    },
    /// Log lines were lost.
    LogLinesLost {
        /// How many.
        count: u64,
    },
    /// Packets are not sent to `[hep]`.
    Hep,
    /// Traces are not delivered to `[otel]`.
    Otel,
    /// A user that no trunk has wants to register.
    UnknownUser {
        /// Where it came from.
        source: String,
        /// The user.
        user: String,
    },
    /// SIP from unknown sources is dropped.
    UnknownSip,
    /// Connections from unknown sources are closed.
    UnknownConnections,
    /// TLS handshakes of others fail.
    TlsFails {
        /// The listener.
        listener: String,
    },
}

/// Who takes callbacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Receiver {
    /// An application, by its name.
    #[serde(rename = "receiver_app")]
    App(String),
    /// A mailbox, by its name.
    #[serde(rename = "receiver_voicemail")]
    Voicemail(String),
    /// `[recording] url`.
    #[serde(rename = "receiver_recordings")]
    Recordings,
}

/// Problems of what is written and delivered.
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
        /// How many, since the start.
        count: u64,
        /// Whether they were for the URL, and not for the file.
        #[serde(skip)]
        is_for_url: bool,
    },
    /// Counts of limits by day are not stored.
    DayCountsNotStored,
    /// The process before this one ended without a stop.
    CallsCutShort {
        /// Calls that it had up.
        calls: usize,
    },
    /// The journal of call records was damaged at the start.
    JournalDamaged {
        /// Lines that were unreadable.
        lines: u64,
    },
    /// Ended calls are not stored.
    CallsNotStored,
    /// The store is not written.
    StoreNotWritten,
    /// The store was damaged.
    StoreDamaged {
        /// What was saved of it.
        what: String,
    },
    /// Callbacks are not stored.
    CallbacksNotStored,
    /// Callbacks are not delivered.
    CallbacksNotDelivered {
        /// The application that does not take them, or a mailbox, or a URL.
        #[serde(flatten)]
        receiver: Receiver,
    },
    /// Callbacks were lost.
    CallbacksLost {
        /// The application that they were for, or a mailbox, or a URL.
        #[serde(flatten)]
        receiver: Receiver,
        /// How many, since the start.
        count: u64,
    },
    /// Recordings are not written.
    RecordingsNotWritten,
    /// Calls are refused while the disk takes no recordings.
    CallsRefused {
        /// Callers that were lost, in the last hour.
        callers: u64,
    },
    /// Recordings lack part of their audio.
    RecordingsHaveGaps {
        /// How many, since the start.
        recordings: u64,
        /// The audio that they lack.
        lost_milliseconds: u64,
        /// Whole recordings since the last of them.
        whole_since: u64,
    },
    /// The end of an earlier run cut recordings.
    RecordingsCut {
        /// How many.
        recordings: u64,
    },
    /// Recordings are not in their list yet.
    RecordingsNotListed {
        /// How many.
        recordings: u64,
    },
    /// Recordings of an earlier run are not completed.
    RecordingsNotCompleted {
        /// How many.
        recordings: u64,
    },
    /// Entries of recordings may be missing.
    RecordingEntriesMissing,
    /// The directory of recordings has files of no recording.
    FilesNotListed {
        /// How many.
        files: u64,
    },
    /// A mailbox is full.
    VoicemailFull {
        /// A section `[voicemail.NAME]`.
        voicemail: String,
    },
    /// Voicemail is not sent by e-mail.
    MailNotSent,
    /// E-mails were given up.
    MailGivenUp {
        /// Messages in them.
        messages: u64,
    },
    /// Recordings are not transcribed.
    NotTranscribed,
    /// Transcriptions were given up.
    TranscriptionGivenUp {
        /// Recordings that have none.
        recordings: u64,
    },
    /// Text messages wait for a service that is not configured any more.
    SmsWithoutService {
        /// How many.
        messages: u64,
    },
    /// Text messages are queued for long.
    SmsQueued {
        /// How many.
        messages: u64,
        /// Age of the oldest.
        minutes: u64,
    },
}

/// The kind of a problem.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ProblemKind {
    /// A trunk's.
    Trunk {
        /// A section `[trunk.NAME]`.
        trunk: String,
        /// What is wrong with it.
        #[serde(flatten)]
        what: TrunkProblem,
    },
    /// An agent's.
    Agent {
        /// A section `[agent.NAME]`.
        agent: String,
        /// What is wrong with it.
        #[serde(flatten)]
        what: AgentProblem,
    },
    /// An application's.
    App {
        /// A section `[app.NAME]`.
        app: String,
        /// In how many calls.
        #[serde(flatten)]
        tally: Tally,
        /// Whether prompts were not played, instead of the application having failed.
        #[serde(skip)]
        is_unheard: bool,
    },
    /// A party is not heard.
    Unheard(Box<Unheard>),
    /// A limit refuses calls.
    Limit {
        /// The trunk whose limit it is; `None`: the edge's own.
        #[serde(skip_serializing_if = "Option::is_none")]
        trunk: Option<String>,
        /// Whether the calls were to the trunk, and not from it.
        #[serde(skip)]
        is_outbound: bool,
        /// The slug of the reason.
        reason: &'static str,
        /// The key with its value and section.
        limit: String,
        /// Refused calls of the last hour.
        calls: u64,
        /// Those of the last five minutes.
        recent_calls: u64,
        /// What becomes of them.
        #[serde(skip_serializing_if = "Consequence::is_none")]
        consequence: Consequence,
    },
    /// Routes have no target left.
    NoTarget {
        /// The party of their first target.
        #[serde(flatten)]
        party: Party,
        /// The word of its problem.
        #[serde(skip)]
        word: &'static str,
        /// Names of the routes.
        routes: Vec<String>,
        /// Callers that were lost.
        lost: u64,
        /// Whether these are those since a target last answered, and not of the hour.
        #[serde(skip)]
        is_since_answer: bool,
    },
    /// The edge's own.
    Edge(EdgeProblem),
    /// Of what is written and delivered.
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
            EdgeProblem::ConfigurationRejected { .. } | EdgeProblem::CertificateUnusable => Harm::Restart,
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

    /// Returns what tells it from others of its word.
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
    /// Returns its stable word, as `kind` in JSON.
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

    /// Returns the trunk, agent or application that it is of.
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

    /// Returns what it harms, where the configuration has no other target for the calls.
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

    /// Whether it harmed calls, and not the latest ones.
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

    /// Returns how urgent it is, before its figures are known.
    pub(super) const fn urgency(&self) -> Urgency {
        if matches!(self, ProblemKind::Trunk { what: TrunkProblem::WrongCredentials { .. }, .. }) {
            return Urgency::Other;
        }
        if matches!(self, ProblemKind::Record(RecordProblem::CallsCutShort { .. })) {
            return Urgency::Few;
        }
        Urgency::Down
    }

    /// Whether recordings or records cannot be written now.
    pub(super) const fn is_unwritten(&self) -> bool {
        let ProblemKind::Record(record) = self else { return false };
        matches!(
            record,
            RecordProblem::CallRecordsNotWritten | RecordProblem::RecordingsNotWritten | RecordProblem::StoreNotWritten
        )
    }

    /// Whether calls are refused while the disk takes no recordings.
    pub const fn is_calls_refused(&self) -> bool {
        matches!(self, ProblemKind::Record(RecordProblem::CallsRefused { .. }))
    }

    /// Whether an operator causes it, and knows of it.
    pub(crate) const fn is_wanted(&self) -> bool {
        matches!(self, ProblemKind::Edge(EdgeProblem::Draining | EdgeProblem::Starting))
    }

    /// Returns a key that stays the same while the figures of the problem change.
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
