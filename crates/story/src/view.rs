//! Views of calls for users: `GET /v1/calls`, call records, status. Field names are stable (docs/reference/json.md).

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use trunkgate_media::{LOSS_RUNS, LossRuns};
use trunkgate_route::is_busy;

pub use crate::party_view::{
    AddressView, AffectedCalls, AgentFailures, AgentView, AnnouncedAddresses, CauseView, FailedRecordings, FaultView,
    KindView, LostCall, PeerView, PhoneView, RegistrationView, RegistrationsView, RejectedView, RejectionView,
    TriedView, TrunkQuality, TrunkView, UnreachedView, state_word,
};
use crate::reason::ReasonSlug;
use crate::turns::LegTurnView;
use crate::word::{self, Word};

/// A call. `Default` is empty, for tests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CallView {
    /// SID of the caller's leg: `CA` and 32 hex digits.
    pub sid: String,
    /// `trying`, `ringing`, `early`, `answered`, `held`, `transferring`, `ended`.
    #[serde(deserialize_with = "word::one")]
    pub state: Word,
    /// `answered`, `busy`, `no_answer`, `canceled`, `refused`, `failed`; `null` while live and unanswered.
    #[serde(default, deserialize_with = "word::optional")]
    pub outcome: Option<Word>,
    /// Reason slug; `null` while live.
    #[serde(default, deserialize_with = "word::optional")]
    pub reason: Option<Word>,
    /// Notable properties: `one_way` (a side was silent), `codec_mismatch` (no common codec, or a codec that was not
    /// negotiated), `unsent` (this machine refused to send packets to a side), `loss`, `app_error` (a document of the
    /// application could not be run, or a prompt was not played), `agent_failed` (the agent failed after the answer,
    /// and no target was left), `failed_over`, `agent` (an agent was tried as a target), `listened`, `transcoded`,
    /// `srtp`.
    #[serde(default, deserialize_with = "word::many")]
    pub flags: Vec<Word>,
    /// Last application of the call; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Last mailbox of the call; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voicemail: Option<String>,
    /// Current or last conference of the caller; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conference: Option<ConferenceView>,
    /// Whether the API started the call: its first leg then stands for the request. Absent if false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requested: bool,
    /// SID of the call that had dialled the party, if an API request gave that party its own document. Absent
    /// otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Verification status of the caller's number from the trunk (`verstat`): `TN-Validation-Passed-A` and others.
    /// Absent if the trunk sends none or is not trusted with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verstat: Option<String>,
    /// Final SIP status code towards the caller; `null` before it is sent.
    pub sip_code: Option<u16>,
    /// Name of the route; empty if no route matches.
    pub route: String,
    /// Calling number.
    pub from: String,
    /// Called number.
    pub to: String,
    /// Start of the call (RFC 3339, UTC, with milliseconds).
    pub started_at: String,
    /// Time of the answer; `null` if not answered.
    pub answered_at: Option<String>,
    /// Time of the end; `null` if live.
    pub ended_at: Option<String>,
    /// Legs of the call: the caller's first, then each attempt in order.
    pub legs: Vec<LegView>,
    /// Recordings in the order in which they began; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<RecordingView>,
    /// Recording sessions (SIPREC) in the order in which they began; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub siprec: Vec<SiprecView>,
    /// Targets skipped without a leg: a skipped agent, a congested trunk, a trunk without a registered phone. Absent
    /// if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOverView>,
}

/// A conference, as shown in a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferenceView {
    /// SID of the conference: `CF` and 32 hex digits.
    pub sid: String,
    /// Name of the conference.
    pub name: String,
}

/// A target that a call skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOverView {
    /// The name of the trunk or agent, or the URI.
    pub target: String,
    /// Reason slug.
    #[serde(deserialize_with = "word::one")]
    pub reason: Word,
}

/// A recording of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingView {
    /// SID of the recording, and name of its file: `RE` and 32 hex digits.
    pub sid: String,
    /// `in-progress`, `paused`, `stopped`.
    #[serde(deserialize_with = "word::one")]
    pub status: Word,
    /// Origin, as in [Recording](#recording).
    #[serde(deserialize_with = "word::one")]
    pub source: Word,
    /// 1, or 2: the caller's audio left, the audio sent to the caller right.
    pub channels: u16,
    /// Length of the file; null until the recording has ended.
    pub seconds: Option<f64>,
    /// Audio missing in the file and replaced by silence ([Durability](../configure/recording.md#durability)); absent
    /// if none was lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<RecordingLoss>,
}

/// Audio lost from a recording for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingLoss {
    /// `disk_slow`, `disk_full`, `disk_failed` (another error of the disk), `restart`, `process_stopped`.
    #[serde(deserialize_with = "word::one")]
    pub reason: Word,
    /// Length of the lost audio.
    pub seconds: f64,
}

/// A recording session of a call: recording by a group of servers (`[siprec.NAME]`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiprecView {
    /// Name of the `[siprec.NAME]`.
    pub name: String,
    /// `connecting`, `in-progress`, `paused`, `stopped`, `failed` (no server records the call).
    #[serde(deserialize_with = "word::one")]
    pub status: Word,
    /// Server that records, or that is being called, as in `peers`; null after `failed`.
    pub server: Option<String>,
    /// ID of the communication session in the metadata.
    pub session_id: String,
    /// Call-ID of the dialog with the server.
    pub sip_call_id: Option<String>,
    /// Reason why the last server failed or ended the recording.
    pub problem: Option<String>,
}

/// SIP status code of a remote party that declines a call.
const DECLINE: u16 = 603;

/// Returns whether a SIP status code of a rejected INVITE means that the remote party is busy or declines the call.
pub const fn is_busy_or_declined(code: u16) -> bool {
    is_busy(code) || code == DECLINE
}

/// Returns whether a call or leg that ended with this reason slug and SIP status code counts as busy. A 603 counts only
/// if the target sent it, since the edge itself uses 603 for other reasons.
pub fn ended_busy(reason: Option<&str>, code: u16) -> bool {
    is_busy(code) || code == DECLINE && reason == Some(ReasonSlug::TargetRejected.as_str())
}

/// Returns Twilio's status of a call that ended without an answer, from its outcome, reason slug and final SIP status
/// code.
pub fn status_of_unanswered(outcome: Option<&str>, reason: Option<&str>, code: Option<u16>) -> &'static str {
    match (outcome, code) {
        (_, Some(code)) if ended_busy(reason, code) => "busy",
        (Some("busy"), _) => "busy",
        // The verb Reject without `reason="busy"`.
        _ if reason == Some(ReasonSlug::AppRejected.as_str()) => "no-answer",
        (Some("canceled"), _) => "canceled",
        (Some("no_answer"), _) => "no-answer",
        _ => "failed",
    }
}

/// A leg. `Default` is empty, for tests.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LegView {
    /// SID of the leg: `CA` and 32 hex digits.
    pub sid: String,
    /// Kind: `sip` or `agent`; `api` for the request that started the call.
    #[serde(deserialize_with = "word::one")]
    pub kind: Word,
    /// Whether the leg leads to the callee of an API request. Absent if false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub to_requested: bool,
    /// Whether the party has left for its own call, which has the SID of the leg, because an API request gave it a
    /// document. Absent if false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_own_call: bool,
    /// Numbers and times of an outbound call to a telephone; otherwise empty.
    #[serde(flatten)]
    pub dialled: DialledView,
    /// Trunk name; empty for a bare URI and for an agent.
    pub trunk: String,
    /// Agent name; empty for a SIP leg.
    pub agent: String,
    /// Direction: `inbound` or `outbound`.
    #[serde(deserialize_with = "word::one")]
    pub direction: Word,
    /// Transport: `udp`, `tcp`, `tls`; for an agent `ws`, `wss`, or `rtp` for plain RTP.
    #[serde(deserialize_with = "word::one")]
    pub transport: Word,
    /// Signalling address of the remote party; `null` for an agent.
    pub remote: Option<SocketAddr>,
    /// Call-ID of the leg; empty for an agent.
    pub sip_call_id: String,
    /// Negotiated codec; empty before negotiation.
    pub codec: String,
    /// Codec into which received audio is transcoded for the other side; `null` if relayed or not negotiated yet.
    #[serde(default, deserialize_with = "word::optional")]
    pub converted_to: Option<Word>,
    /// SRTP suite; `null` for plain RTP, or if not negotiated yet.
    #[serde(default, deserialize_with = "word::optional")]
    pub srtp: Option<Word>,
    /// `trying`, `ringing`, `early`, `answered`, `ended`.
    #[serde(deserialize_with = "word::one")]
    pub state: Word,
    /// SIP status code with which the remote party rejected the call; `null` if not rejected.
    pub sip_code: Option<u16>,
    /// Texts of the rejecting response: reason phrase, and texts of Reason, Warning and X- headers.
    pub sip_text: Option<String>,
    /// Reason slug of the end; `null` if not ended.
    #[serde(default, deserialize_with = "word::optional")]
    pub reason: Option<Word>,
    /// Party that ended the leg: `far_end` if the remote party hung up, closed, rejected or broke off; `edge` if the
    /// call was over, an operator or application requested the end, or a timeout occurred; `null` if not ended.
    #[serde(default, deserialize_with = "word::optional")]
    pub ended_by: Option<Word>,
    /// SSRCs of a listener with plain RTP; otherwise `null`.
    pub ssrc: Option<SourcesView>,
    /// Addresses of the audio stream; `null` for an agent, and before negotiation.
    pub media: Option<MediaView>,
    /// Turn latencies of an agent, in milliseconds; `null` before the first turn, and for other legs.
    pub turn_ms: Option<Box<LegTurnView>>,
    /// Whether the remote party was silent, sent only digital silence, or its stream stopped: the call then has the
    /// flag `one_way`. Absent if false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// Media statistics.
    pub rtp: RtpView,
}

impl LegView {
    /// Returns whether the leg is the call of a dialled party, which the API shows as a child of the caller's call.
    pub fn is_call_of_party(&self) -> bool {
        let is_called = self.kind == "sip" || self.dialled.to.is_some();
        is_called && self.direction == "outbound" && !self.to_requested && !self.has_own_call
    }
}

/// Numbers and times of an outbound call to a party.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DialledView {
    /// Number shown to the party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Number or URI dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Time of the INVITE to the party (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Time of the answer; absent before the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<String>,
    /// Time of the end; absent before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Result of answering machine detection, in Twilio's terms: `human`, `machine_start`, `machine_end_beep`,
    /// `machine_end_silence`, `machine_end_other`, `fax` or `unknown`. Absent if detection was off or has no result.
    #[serde(default, deserialize_with = "word::optional", skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<Word>,
}

/// Addresses of a leg's first stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaView {
    /// Address of the edge shown to the remote party.
    pub ours: SocketAddr,
    /// Address that the remote party announced in SDP; `null` if it wants no media.
    pub announced: Option<SocketAddr>,
    /// Destination of the edge's packets: the learned source of the remote party's packets (`rtp.latched`), else
    /// `announced`.
    pub used: Option<SocketAddr>,
}

/// SSRCs of a listener with plain RTP, one for each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcesView {
    /// SSRC of the caller's audio.
    pub inbound: u32,
    /// SSRC of the audio that the caller hears.
    pub outbound: u32,
}

/// A fork: a listener of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForkView {
    /// SID of the leg.
    pub id: String,
    /// Agent name; `null` if requested by URL.
    pub agent: Option<String>,
    /// URL without its query string.
    pub url: String,
    /// SID of the stream: `MZ` and 32 hex digits; `null` for plain RTP.
    #[serde(rename = "streamSid")]
    pub stream_sid: Option<String>,
    /// Tracks: `inbound`, `outbound`.
    pub tracks: Vec<&'static str>,
    /// State: `trying`, `answered` while it listens, `ended`.
    pub state: &'static str,
    /// Reason slug of the end; `null` if not ended.
    pub reason: Option<&'static str>,
    /// Party that ended the fork: `far_end`, `edge`; `null` if not ended.
    pub ended_by: Option<&'static str>,
    /// SSRCs for plain RTP; otherwise `null`.
    pub ssrc: Option<SourcesView>,
}

/// Media statistics of a leg.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RtpView {
    /// Packets received from the remote party.
    pub rx_packets: u64,
    /// Packets sent to the remote party.
    pub tx_packets: u64,
    /// Packets that this machine refused to send to the remote party.
    #[serde(default)]
    pub tx_refused: u64,
    /// Packets lost on the way to the edge.
    pub lost: u64,
    /// Number of loss runs by length: 1, 2, … 9, 10 or more packets.
    #[serde(default)]
    pub lost_in_a_row: LossRuns,
    /// Interarrival jitter.
    pub jitter_ms: f64,
    /// RTCP round-trip time, if known.
    pub rtt_ms: Option<f64>,
    /// Mean opinion score of the received audio so far, by the E-model; `null` if nothing was received, and for
    /// codecs without a published impairment.
    pub mos: Option<f64>,
    /// RTCP reports of the remote party; `null` if there are none.
    pub far: Option<FarView>,
    /// Source of the remote party's RTP, once learned.
    pub latched: Option<SocketAddr>,
}

impl RtpView {
    /// Formats the loss runs as `1 ×3, 2 ×1, 10+ ×1` (length and number); empty without loss.
    pub fn losses(&self) -> String {
        let often = (1..).zip(self.lost_in_a_row).filter(|(_, times)| *times > 0);
        let told = often.map(|(row, times)| {
            let more = if row == LOSS_RUNS { "+" } else { "" };
            format!("{row}{more} ×{times}")
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

/// Statistics that the remote party reported by RTCP.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FarView {
    /// Packets lost on the way to the remote party.
    pub lost: u64,
    /// Interarrival jitter.
    pub jitter_ms: f64,
    /// Mean opinion score of the audio that the remote party receives.
    pub mos: Option<f64>,
}

/// Response to `GET /v1/calls/{sid}/kept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KeptView {
    /// Whether a trace of the call is kept.
    pub trace: bool,
    /// Whether the kept trace has SIP messages.
    pub messages: bool,
    /// Whether the call's quality over time is kept.
    pub quality: bool,
}

/// Response to `GET /v1/calls/{sid}/quality`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct QualityView {
    /// SID of the call.
    pub sid: String,
    /// Length of a sample: 5, 10, 20 …
    pub interval_s: u64,
    /// Two series, received and sent, for each leg that had packets, in the order of the legs.
    pub series: Vec<SeriesView>,
}

/// Quality of one direction of a leg over time.
#[derive(Debug, Clone, Serialize)]
pub struct SeriesView {
    /// SID of the leg.
    pub leg: String,
    /// Trunk, agent or URI of the leg.
    pub party: String,
    /// Codec in use.
    pub codec: String,
    /// `received` (measured by the edge), `sent` (reported by the remote party).
    pub direction: &'static str,
    /// Samples, one per interval.
    pub samples: Vec<SampleView>,
}

/// Quality in one interval.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SampleView {
    /// Start of the interval.
    pub at: String,
    /// Length of the interval; the last one is shorter.
    pub seconds: f64,
    /// Packets received or sent.
    pub packets: u32,
    /// Packets lost; null without a report of the remote party. For audio sent to an agent: frames dropped because the
    /// socket was too slow.
    pub lost: Option<u32>,
    /// Jitter at the end of the interval; null if nothing was received or reported.
    pub jitter_ms: Option<f64>,
    /// Last known round-trip time at the end of the interval.
    pub rtt_ms: Option<f64>,
    /// MOS of this interval alone.
    pub mos: Option<f64>,
    /// For an agent: queued audio at the end of the interval.
    pub queue_ms: Option<u32>,
    /// Maximum of the queued audio in the interval.
    pub queue_max_ms: Option<u32>,
}

impl SampleView {
    /// Returns the sample with its start and length.
    pub fn at(self, at: String, seconds: f64) -> SampleView {
        SampleView { at, seconds, ..self }
    }
}

/// Totals of all call queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct QueueTotals {
    /// Number of queues.
    pub queues: usize,
    /// Number of queued callers.
    pub waiting: usize,
    /// Longest waiting time of a queued caller, in seconds.
    pub longest_seconds: u64,
}

/// Gateway part of `GET /v1/status`.
#[derive(Debug, Clone, Serialize)]
pub struct StatusView {
    /// Name of the edge (`[edge] name`).
    pub edge: String,
    /// Number of live calls.
    pub calls: usize,
    /// Maximum number of concurrent calls (`[limits] calls`).
    pub calls_limit: u32,
    /// Number of active conferences, and of their participants.
    pub conferences: [usize; 2],
    /// Totals of all call queues.
    pub queues: QueueTotals,
    /// Calls refused by limits in the last hour.
    pub limited: Vec<LimitView>,
    /// Calls refused because they cannot be recorded; `None` if such calls are not refused now.
    pub unrecorded: Option<UnrecordedView>,
    /// Sources of requests with wrong credentials, the newest first.
    pub logins: Vec<LoginView>,
    /// Whether new calls are refused.
    pub draining: bool,
    /// Media ports in use.
    pub ports_in_use: usize,
    /// Total number of media ports.
    pub ports: usize,
    /// State of each trunk.
    pub trunks: Vec<TrunkView>,
    /// State of each agent.
    pub agents: Vec<AgentView>,
    /// Applications that failed in calls of the last hour.
    pub failing_apps: Vec<AppView>,
    /// Failures of the speech recogniser in the last hour; `None` if there were none.
    pub recognition: Option<RecognitionView>,
    /// SIP from unknown sources in the last hour; `None` if there was none.
    pub unknown: Option<UnknownView>,
    /// Most recent REGISTER for an unknown user in the last hour; `None` if there was none.
    pub stray: Option<StrayView>,
    /// Silent sides in live calls.
    pub silent: Vec<SilentView>,
}

/// A source of requests with wrong credentials.
#[derive(Debug, Clone, Serialize)]
pub struct LoginView {
    /// Trunk with `require_auth`.
    pub trunk: String,
    /// Address of the source.
    pub source: String,
    /// Whether the address is the trunk's by the configuration.
    pub is_of_trunk: bool,
    /// User name in the last request, masked for display.
    pub user: String,
    /// Whether the user name is valid; if so, the password is wrong.
    pub is_user_known: bool,
    /// Wrong part of the credentials in plain text.
    pub fault: String,
    /// Requests with wrong credentials in the last hour.
    pub requests: u64,
    /// Requests with wrong credentials since the source's last request with valid ones.
    pub in_row: u64,
    /// Time since the last request with wrong credentials.
    pub seconds_ago: u64,
}

/// Calls of the last hour refused because they could not be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnrecordedView {
    /// Calls refused in the last hour.
    pub calls: u64,
    /// Calls refused in the last five minutes.
    pub recent: u64,
    /// SID of the last refused call; `None` if there was none.
    pub last_sid: Option<String>,
}

/// Calls of the last hour refused by one limit.
#[derive(Debug, Clone, Serialize)]
pub struct LimitView {
    /// Trunk to which the limit belongs; `None` if it belongs to the edge.
    pub trunk: Option<String>,
    /// Whether the calls were outbound to the trunk.
    pub outbound: bool,
    /// Reason slug.
    pub reason: &'static str,
    /// Meaning of the reason as a clause.
    pub sentence: &'static str,
    /// Configuration key of the limit, with its value.
    pub key: String,
    /// Calls refused in the last hour.
    pub calls: u64,
    /// Calls refused in the last five minutes.
    pub recent: u64,
    /// Time since the last refused call, in seconds.
    pub seconds_ago: u64,
    /// SID of the last refused call with a trace.
    pub last_sid: Option<String>,
}

impl LimitView {
    /// Returns the key with its value and its section of the configuration.
    pub fn named(&self) -> String {
        match &self.trunk {
            // Keys of the edge already have their section.
            Some(trunk) if !self.key.contains(" of [") => format!("{} of [trunk.{trunk}]", self.key),
            Some(_) | None => self.key.clone(),
        }
    }
}

/// An application that failed, or did not play a prompt, in calls of the last hour.
#[derive(Debug, Clone, Serialize)]
pub struct AppView {
    /// Name of the application.
    pub name: String,
    /// Affected calls.
    pub calls: u64,
    /// All calls of the application in the last hour.
    pub of: u64,
    /// Affected calls of the last five minutes.
    pub recent: AffectedCalls,
    /// Calls in which documents ran to their end but a prompt was not played.
    pub unheard: u64,
    /// Whether the failure continues: fewer than three successful calls in a row since the last failed one.
    pub still: bool,
    /// Successful calls in a row since the last failed one.
    pub good_since: u64,
    /// Twilio's error code of the last failure.
    pub code: u32,
    /// Error text of the edge's request; empty if the code concerns the application's response.
    pub cause: String,
    /// SID of the last affected call.
    pub last_sid: String,
}

/// Failures of the speech recogniser in the last hour.
#[derive(Debug, Clone, Serialize)]
pub struct RecognitionView {
    /// Failed recognitions.
    pub failed: u64,
    /// All recognitions of the last hour.
    pub of: u64,
    /// Failed recognitions of the last five minutes.
    pub recent: AffectedCalls,
    /// Whether the failure continues: fewer than three successful recognitions in a row since the last failed one.
    pub still: bool,
    /// Successful recognitions in a row since the last failed one.
    pub good_since: u64,
    /// Cause of the last failure.
    pub cause: String,
    /// SID of the call with the last failure.
    pub last_sid: String,
}

/// A side that is silent in live calls.
#[derive(Debug, Clone, Serialize)]
pub struct SilentView {
    /// Trunk, agent or URI.
    pub name: String,
    /// Number of live calls in which the side is silent.
    pub calls: u64,
    /// Slug of the cause in the last of the silent calls.
    pub kind: &'static str,
    /// Cause in the last of the silent calls, as in its trace.
    pub cause: String,
    /// Fix for the cause in the last of the silent calls.
    pub fix: String,
    /// SID of the last of the silent calls.
    pub last_sid: String,
    /// Other sides that are silent in these calls too, by name with the number of calls.
    #[serde(skip)]
    pub both: Vec<(String, u64)>,
}

/// SIP from unknown sources.
#[derive(Debug, Clone, Serialize)]
pub struct UnknownView {
    /// Messages in the last hour.
    pub messages: u64,
    /// Source of the last message.
    pub last: String,
    /// Time since the last message.
    pub seconds_ago: u64,
}

/// An unknown source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceView {
    /// Address of the source.
    pub source: String,
    /// Messages counted since the source is listed.
    pub messages: u64,
    /// Time since the last message from the source.
    pub seconds_ago: u64,
}

/// A REGISTER for an unknown user; user names are masked for display.
#[derive(Debug, Clone, Serialize)]
pub struct StrayView {
    /// User in the request.
    pub user: String,
    /// Configured user with the most similar name.
    pub near: Option<String>,
    /// Source address.
    pub source: IpAddr,
    /// REGISTER requests for unknown users in the last hour.
    pub registers: u64,
    /// Age of the request, in seconds.
    pub seconds_ago: u64,
}

/// A banned source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BanView {
    /// Address; for IPv6, the network that counts as one household.
    pub address: IpAddr,
    /// Remaining time of the ban.
    pub seconds: u64,
}
