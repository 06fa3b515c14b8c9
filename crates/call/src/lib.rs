//! Back-to-back user agent: combines SIP, session descriptions, routes and media into calls. Sans-IO: the shell
//! supplies messages and time, and carries out the outputs.

mod call;
pub mod gateway;

pub use call::legs::agent_leg::socket_spec;
pub use call::legs::requested::ParticipantRequest;
pub use call::media::local::{ForkDestination, ForkRequest};
pub use call::parts::detached::DetachRequest;
pub use call::parts::judged::{NotBegun, judge_targets, reaches_emergency};
pub use call::parts::requested::{CallRequest, ConnectTarget, named_target};
pub use call::parts::snapshot::CallSnapshot;
pub use call::recorders::detection::DetectionRequest;
pub use call::recorders::recording::{BegunRecording, RecordingChange};
pub use call::recorders::siprec::SiprecChange;
pub use call::transfer::warm::TransferMode;
pub use call::words::crash_gap::CrashGap;
pub use call::words::party::CallParty;
pub use call::words::refused::RequestRefusal;
pub use call::words::uri::trunk_of_uri;
pub use gateway::control::{
    BegunCall, CallAction, CallControl, ConferenceAction, ConferenceControl, ConferenceRecordingControl,
    ConferenceRefused, DequeueControl, ForkAction, ForkControl, GatewayControl, ListenerAction, ListenerControl,
    PartyControl, QueueControl, RecordingControl, RecordingStart, SiprecControl,
};
pub use gateway::intake::SipIntake;
pub use gateway::{
    Capture, ComingReport, EdgeSettings, Gateway, GatewayConfig, QueuesCounted, coming, conferences, conferences_live,
    fuzz, intake, queues, queues_counted, snapshot,
};
pub use trunkgate_media::Channels;
pub use trunkgate_resources::admission::emergencies::NO_EMERGENCY_CALLS;
pub use trunkgate_resources::agents::KeptStream;
pub use trunkgate_resources::applications::REQUESTED_APP;
pub use trunkgate_resources::applications::question::{
    AppAnswer, AppCallback, AppPlace, AppQuestion, AppResource, DocumentRequest,
};
pub use trunkgate_resources::applications::recognition::RecogniserSpec;
pub use trunkgate_resources::conferences::queues::{QueueRefusal, QueueReport, QueuedCall};
pub use trunkgate_resources::conferences::{ConferenceReport, NotJoined, PartyReport, is_conference_sid};
pub use trunkgate_resources::io::{
    AgentProbe, ConfigChangeScope, GatewayInput, GatewayOutput, MailboxMessages, OperatorCommand, QueryId,
    StreamFailure, TlsIdentity,
};
pub use trunkgate_resources::lookups::addressing;
pub use trunkgate_resources::lookups::addressing::{Addressing, Interfaces, ListenerSpec};
pub use trunkgate_resources::lookups::key::CallKey;
pub use trunkgate_resources::mailboxes::indications::MessageCount;
pub use trunkgate_resources::recordings::losses::{LossReason, RecordingLosses};
pub use trunkgate_resources::recordings::{
    InterruptedRecording, RECORDING_PURPOSE, RecordingAnnouncement, RecordingBegun, RecordingDone, RecordingEvents,
    RecordingLinks, RecordingReceiver, RecordingReport, RecordingRequest, RecordingSource, TRANSCRIPTION_PURPOSE,
    TranscriptionReport, TranscriptionRequest, VoicemailMessage, seconds as recorded_seconds, track_name, trimmed,
};
pub use trunkgate_resources::sources::unknown_sources::{BanRule, SlowBan, UnknownSourceLimits};
pub use trunkgate_resources::sources::unknown_traffic::{TrafficKind, UnknownTraffic};
pub use trunkgate_resources::traces::recent::EndedCalls;
pub use trunkgate_resources::trunks::quotas::DayCount;
pub use trunkgate_resources::{io, limits, metrics};
pub use trunkgate_story::change::{EdgeEvent, EdgeEventKind};
pub use trunkgate_story::sampled::{LegTimes, SampledCall, Sampling};
pub use trunkgate_story::sms::{SmsEvent, SmsRequest};
pub use trunkgate_story::wall::{ClockStep, rfc2822, rfc3339};
pub use trunkgate_story::{
    AnnouncedAddresses, CallRecord, CallView, LegView, NO_AGENT_AUDIO, OUR_ADDRESS, ReasonSlug, UNSENT,
};
pub use trunkgate_story::{agent_fix, captured, change, diagnosis, dns, q850, sampled};
pub use trunkgate_story::{
    last_hour, messages, numbers, reason, redact, sentence, status, tls, trace, turns, unsent, view,
};
pub use trunkgate_twiml as twiml;
