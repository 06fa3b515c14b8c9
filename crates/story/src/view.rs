//! Calls as users see them: `GET /v1/calls`, call records, status. Field names are the contract's.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use trunkgate_media::{LOSS_RUNS, LossRuns};

pub use crate::party_view::{
    AddressView, AgentFailures, AgentView, Announced, CauseView, FailedRecordings, FaultView, KindView, LostCall,
    PeerView, PhoneView, Recent, RegistrationView, RegistrationsView, RejectedView, RejectionView, TriedView,
    TrunkQuality, TrunkView, UnreachedView, state_word,
};
use crate::reason::ReasonSlug;
use crate::turns::LegTurnView;
use crate::word::{self, Word};

/// A call. The default is empty, for tests: the product names every field, in one place.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CallView {
    /// `CA` + 32 hex: the first leg's.
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
    /// What sets it apart: `one_way` (a side was not heard), `codec_mismatch` (no codec in common, or
    /// another than was agreed on), `unsent` (this machine lets no packets out to a side), `loss`,
    /// `app_error` (a document of its application could not be run, or a prompt was not played),
    /// `agent_failed` (its agent failed after the answer, and no target was left), `failed_over`, `agent` (one talked or was to), `listened`,
    /// `transcoded`, `srtp`.
    #[serde(default, deserialize_with = "word::many")]
    pub flags: Vec<Word>,
    /// The application that has or had it last; absent where none had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The mailbox that has or had it last; absent where none had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voicemail: Option<String>,
    /// The conference that its caller is in, or was in last; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conference: Option<ConferenceView>,
    /// Whether a request over HTTP began it: its first leg stands for the request. Absent for all others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requested: bool,
    /// SID of the call that had dialled its party, where a request has given that party a document of its own. Absent for all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What the caller's trunk reports of the signature of its number: `TN-Validation-Passed-A` and the like. Absent where it reports nothing,
    /// or is not trusted with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verstat: Option<String>,
    /// Final SIP status code towards the caller; `null` while it has none.
    pub sip_code: Option<u16>,
    /// Name of the route; empty where none matched.
    pub route: String,
    /// Calling number.
    pub from: String,
    /// Called number.
    pub to: String,
    /// RFC 3339, UTC, with milliseconds.
    pub started_at: String,
    /// The same; `null` where not answered.
    pub answered_at: Option<String>,
    /// The same; `null` while live.
    pub ended_at: Option<String>,
    /// Its legs: the caller's first, then each attempt in order.
    pub legs: Vec<LegView>,
    /// Its recordings, in the order in which they began; absent where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recordings: Vec<RecordingView>,
    /// Its recording sessions (SIPREC), in the order in which they began; absent where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub siprec: Vec<SiprecView>,
    /// Targets that were passed over, and have no leg: an agent that is skipped, a trunk that has too many calls, phones of which none is
    /// registered. Absent where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOverView>,
}

/// A conference, as a call names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferenceView {
    /// `CF` + 32 hex.
    pub sid: String,
    /// Its name.
    pub name: String,
}

/// A target that a call passed over.
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
    /// `RE` and 32 hex digits: the name of its file.
    pub sid: String,
    /// `in-progress`, `paused`, `stopped`.
    #[serde(deserialize_with = "word::one")]
    pub status: Word,
    /// Origin, as in [Recording](#recording).
    #[serde(deserialize_with = "word::one")]
    pub source: Word,
    /// 1, or 2: the caller left, what the caller hears right.
    pub channels: u16,
    /// Length of the file; null until the recording has ended.
    pub seconds: Option<f64>,
    /// Audio that the file lacks, silence in its place ([Durability](../configure/recording.md#durability)); absent if none was
    /// lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<RecordingLoss>,
}

/// Audio that a recording lacks for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordingLoss {
    /// `disk_slow`, `disk_full`, `disk_failed` (another error of the disk), `restart`.
    #[serde(deserialize_with = "word::one")]
    pub reason: Word,
    /// Length of this audio.
    pub seconds: f64,
}

/// A recording session of a call: a group of recording servers (`[siprec.NAME]`) that records it, or should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiprecView {
    /// Name of the `[siprec.NAME]`.
    pub name: String,
    /// `connecting`, `in-progress`, `paused`, `stopped`, `failed` (no server records the call).
    #[serde(deserialize_with = "word::one")]
    pub status: Word,
    /// Server that records or is asked, as in `peers`; null after `failed`.
    pub server: Option<String>,
    /// ID of the communication session in the metadata.
    pub session_id: String,
    /// Call-ID of the dialog with the server.
    pub sip_call_id: Option<String>,
    /// Reason why the last server failed or ended the recording.
    pub problem: Option<String>,
}

/// Returns Twilio's word for a call that ended without an answer, of its outcome, its reason slug and its final SIP status code.
pub fn status_of_unanswered(outcome: Option<&str>, reason: Option<&str>, code: Option<u16>) -> &'static str {
    match (outcome, code) {
        (_, Some(486 | 600)) | (Some("busy"), _) => "busy",
        // The verb Reject without `reason="busy"`.
        _ if reason == Some(ReasonSlug::AppRejected.as_str()) => "no-answer",
        (Some("canceled"), _) => "canceled",
        (Some("no_answer"), _) => "no-answer",
        _ => "failed",
    }
}

/// A leg. The default is empty, for tests, as that of a call.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LegView {
    /// `CA` + 32 hex.
    pub sid: String,
    /// `sip` or `agent`; `api` for the request that began a call.
    #[serde(deserialize_with = "word::one")]
    pub kind: Word,
    /// Whether it leads to the party that a requested call is for. Absent for all others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub to_requested: bool,
    /// Whether its party has left for a call of its own, which has the SID of the leg: a request has given it a document. Absent for all
    /// others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_own_call: bool,
    /// Numbers and times of the call to the party; empty unless the edge has called a telephone.
    #[serde(flatten)]
    pub dialled: DialledView,
    /// Trunk name; empty for a bare URI and for an agent.
    pub trunk: String,
    /// Agent's name; empty for a SIP leg.
    pub agent: String,
    /// `inbound` or `outbound`.
    #[serde(deserialize_with = "word::one")]
    pub direction: Word,
    /// `udp`, `tcp`, `tls`; of an agent `ws`, `wss`, or `rtp` where it gets plain RTP.
    #[serde(deserialize_with = "word::one")]
    pub transport: Word,
    /// Signalling address of the far end; `null` for an agent.
    pub remote: Option<SocketAddr>,
    /// Call-ID of this leg; empty for an agent.
    pub sip_call_id: String,
    /// Codec agreed; empty before.
    pub codec: String,
    /// The codec that what it says is converted into for its other side; `null` where it is relayed, or not agreed on yet.
    #[serde(default, deserialize_with = "word::optional")]
    pub converted_to: Option<Word>,
    /// SRTP suite; `null` where its RTP is plain, or not agreed on yet.
    #[serde(default, deserialize_with = "word::optional")]
    pub srtp: Option<Word>,
    /// `trying`, `ringing`, `early`, `answered`, `ended`.
    #[serde(deserialize_with = "word::one")]
    pub state: Word,
    /// The code with which its far end rejected the call; `null` where it did not.
    pub sip_code: Option<u16>,
    /// The words with it: reason phrase, texts of Reason, Warning and X- headers.
    pub sip_text: Option<String>,
    /// Why it ended, a slug as a call's reason is one; `null` while it has not.
    #[serde(default, deserialize_with = "word::optional")]
    pub reason: Option<Word>,
    /// `far_end` where its own far end hung up, closed, refused or broke off, `edge` where the edge ended it: the call was
    /// over, somebody asked for it, or the far end did not do in time what it should; `null` while it has not ended.
    #[serde(default, deserialize_with = "word::optional")]
    pub ended_by: Option<Word>,
    /// The SSRCs of its copies, where it gets plain RTP; else `null`.
    pub ssrc: Option<SourcesView>,
    /// Between which addresses its audio goes; `null` for an agent, and where no session is agreed on.
    pub media: Option<MediaView>,
    /// Times of an agent's turns, in milliseconds; `null` before the first, and for all others.
    pub turn_ms: Option<Box<LegTurnView>>,
    /// Whether its party was not heard, sent only digital silence, or its stream stopped: a call with such a leg has the flag `one_way`.
    /// Absent for all others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub silent: bool,
    /// Media figures.
    pub rtp: RtpView,
}

impl LegView {
    /// Returns whether it is the call of a party, below that of the caller.
    pub fn is_call_of_party(&self) -> bool {
        let is_called = self.kind == "sip" || self.dialled.to.is_some();
        is_called && self.direction == "outbound" && !self.to_requested && !self.has_own_call
    }
}

/// Numbers and times of a call that the edge has made to a party.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DialledView {
    /// Number that the party was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Number or URI by which the party was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Time of the INVITE to the party, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// Time of its answer; absent before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<String>,
    /// Time of the end of the call to it; absent before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Who has answered, in Twilio's word: `human`, `machine_start`, `machine_end_beep`, `machine_end_silence`, `machine_end_other`, `fax`
    /// or `unknown`. Absent where it was not asked for, or is not known.
    #[serde(default, deserialize_with = "word::optional", skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<Word>,
}

/// The addresses of a leg's first stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaView {
    /// Ours, as the far end was told.
    pub ours: SocketAddr,
    /// What the far end announced in SDP; `null` where it wants nothing sent.
    pub announced: Option<SocketAddr>,
    /// Where packets to it go: where its own come from, once that is learned (`rtp.latched`), else what it announced.
    pub used: Option<SocketAddr>,
}

/// What a listener with plain RTP gets: the sources by which it tells calls and directions apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcesView {
    /// What the caller says.
    pub inbound: u32,
    /// What it hears.
    pub outbound: u32,
}

/// A fork: a listener of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForkView {
    /// Its leg's sid.
    pub id: String,
    /// The agent's name; `null` where it was asked for by its URL.
    pub agent: Option<String>,
    /// Where it is, without what follows a `?`.
    pub url: String,
    /// `MZ` + 32 hex; `null` where it gets plain RTP.
    #[serde(rename = "streamSid")]
    pub stream_sid: Option<String>,
    /// `inbound`, `outbound`.
    pub tracks: Vec<&'static str>,
    /// `trying`, `answered` once it listens, `ended`.
    pub state: &'static str,
    /// Why it ended, and who ended it: as of a leg.
    pub reason: Option<&'static str>,
    /// `far_end`, `edge`; `null` while it has not ended.
    pub ended_by: Option<&'static str>,
    /// The SSRCs of its copies, where it gets plain RTP; else `null`.
    pub ssrc: Option<SourcesView>,
}

/// A leg's media figures.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RtpView {
    /// Received from the far end.
    pub rx_packets: u64,
    /// Sent to it.
    pub tx_packets: u64,
    /// For it, and not let out by this machine.
    #[serde(default)]
    pub tx_refused: u64,
    /// Missing in what was received.
    pub lost: u64,
    /// How often so many of them in a row: one alone, two, … nine, ten or more.
    #[serde(default)]
    pub lost_in_a_row: LossRuns,
    /// Interarrival jitter.
    pub jitter_ms: f64,
    /// Round trip by RTCP, where known.
    pub rtt_ms: Option<f64>,
    /// Score of what was received, so far, by the E-model; `null` where nothing was, and for codecs without a published
    /// impairment.
    pub mos: Option<f64>,
    /// What the far end says of what it hears, by RTCP; `null` where it says nothing.
    pub far: Option<FarView>,
    /// Where its RTP comes from, once learned.
    pub latched: Option<SocketAddr>,
}

impl RtpView {
    /// How its packets were lost: `1 ×3, 2 ×1, 10+ ×1`, how many in a row and how often; empty where none were.
    pub fn losses(&self) -> String {
        let often = (1..).zip(self.lost_in_a_row).filter(|(_, times)| *times > 0);
        let told = often.map(|(row, times)| {
            let more = if row == LOSS_RUNS { "+" } else { "" };
            format!("{row}{more} ×{times}")
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

/// What a far end hears of us.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FarView {
    /// Missing in what it received.
    pub lost: u64,
    /// Interarrival jitter.
    pub jitter_ms: f64,
    /// Score of it, as of what we receive.
    pub mos: Option<f64>,
}

/// `GET /v1/calls/{sid}/kept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KeptView {
    /// Whether there is a trace of the call.
    pub trace: bool,
    /// Whether the trace has SIP messages.
    pub messages: bool,
    /// Whether there is the quality over time.
    pub quality: bool,
}

/// `GET /v1/calls/{sid}/quality`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct QualityView {
    /// SID of the call.
    pub sid: String,
    /// Length of a sample: 5, 10, 20 …
    pub interval_s: u64,
    /// Two for each leg that had packets, in the order of the legs.
    pub series: Vec<SeriesView>,
}

/// One direction of a leg over time.
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

/// One interval.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SampleView {
    /// Start of the interval.
    pub at: String,
    /// Length of the interval; the last one is shorter.
    pub seconds: f64,
    /// Packets received or sent.
    pub packets: u32,
    /// Packets lost; null without a report of the remote party. Of audio to an agent: frames for which its socket was
    /// too slow.
    pub lost: Option<u32>,
    /// Jitter at the end of the interval; null if nothing was received or reported.
    pub jitter_ms: Option<f64>,
    /// Last known round-trip time at the end of the interval.
    pub rtt_ms: Option<f64>,
    /// MOS of this interval alone.
    pub mos: Option<f64>,
    /// For an agent: queued audio at the end of the interval.
    pub queue_ms: Option<u32>,
    /// Maximum of it in the interval.
    pub queue_max_ms: Option<u32>,
}

impl SampleView {
    /// Its place in time.
    pub fn at(self, at: String, seconds: f64) -> SampleView {
        SampleView { at, seconds, ..self }
    }
}

/// Queues of calls at a glance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct QueueTotals {
    /// Queues.
    pub queues: usize,
    /// Callers that wait in them.
    pub waiting: usize,
    /// Longest time for which one has waited, in seconds.
    pub longest_seconds: u64,
}

/// `GET /v1/status`, the part that the gateway knows.
#[derive(Debug, Clone, Serialize)]
pub struct StatusView {
    /// `[edge] name`.
    pub edge: String,
    /// Calls that have not ended.
    pub calls: usize,
    /// `[limits] calls`.
    pub calls_limit: u32,
    /// Conferences that go on, and their parties.
    pub conferences: [usize; 2],
    /// Queues of calls.
    pub queues: QueueTotals,
    /// Calls that limits refused in the last hour.
    pub limited: Vec<LimitView>,
    /// Calls refused because they cannot be recorded, while the edge refuses such calls.
    pub unrecorded: Option<UnrecordedView>,
    /// Sources whose requests have wrong credentials, the newest first.
    pub logins: Vec<LoginView>,
    /// Whether new calls are refused.
    pub draining: bool,
    /// Media ports in use.
    pub ports_in_use: usize,
    /// Media ports in all.
    pub ports: usize,
    /// Trunks.
    pub trunks: Vec<TrunkView>,
    /// Agents.
    pub agents: Vec<AgentView>,
    /// Applications that failed in calls of the last hour.
    pub failing_apps: Vec<AppView>,
    /// The recogniser of callers' speech, where it failed in the last hour.
    pub recognition: Option<RecognitionView>,
    /// SIP from addresses of no trunk, where some came in the last hour.
    pub unknown: Option<UnknownView>,
    /// Phones that want to register as nobody that there is, where some did in the last hour.
    pub stray: Option<StrayView>,
    /// Who is not heard in live calls.
    pub silent: Vec<SilentView>,
}

/// A source that shows wrong credentials again and again.
#[derive(Debug, Clone, Serialize)]
pub struct LoginView {
    /// Trunk with `require_auth`.
    pub trunk: String,
    /// Address of the source.
    pub source: String,
    /// Whether the address is the trunk's by the configuration.
    pub is_of_trunk: bool,
    /// User that it has shown.
    pub user: String,
    /// Whether the user is right, and so the password wrong.
    pub is_user_known: bool,
    /// Wrong part in words.
    pub fault: String,
    /// Such requests in the last hour.
    pub requests: u64,
    /// Such requests since it last had right credentials.
    pub in_row: u64,
    /// Time since the last one.
    pub seconds_ago: u64,
}

/// Calls of the last hour that were refused because they could not be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnrecordedView {
    /// All of them.
    pub calls: u64,
    /// Those of the last five minutes.
    pub recent: u64,
    /// The last one; `None`: there was none yet.
    pub last_sid: Option<String>,
}

/// Calls of the last hour that one limit refused.
#[derive(Debug, Clone, Serialize)]
pub struct LimitView {
    /// The trunk whose limit it is; `None`: the edge's own.
    pub trunk: Option<String>,
    /// Whether the calls were to the trunk, and not from it.
    pub outbound: bool,
    /// The slug of the reason.
    pub reason: &'static str,
    /// The reason in words.
    pub sentence: &'static str,
    /// The key and its value.
    pub key: String,
    /// How many calls.
    pub calls: u64,
    /// The same of the last five minutes.
    pub recent: u64,
    /// How long ago the last one came.
    pub seconds_ago: u64,
    /// The last one that has a trace.
    pub last_sid: Option<String>,
}

impl LimitView {
    /// Returns the key with its value and the section of the configuration that has it.
    pub fn named(&self) -> String {
        match &self.trunk {
            // Those of the edge name their section.
            Some(trunk) if !self.key.contains(" of [") => format!("{} of [trunk.{trunk}]", self.key),
            Some(_) | None => self.key.clone(),
        }
    }
}

/// An application that failed in calls of the last hour, or whose prompts were not played in some.
#[derive(Debug, Clone, Serialize)]
pub struct AppView {
    /// Its name.
    pub name: String,
    /// In how many calls …
    pub calls: u64,
    /// … of so many.
    pub of: u64,
    /// The same of the last five minutes.
    pub recent: Recent,
    /// In how many of these its documents ran to their end, and a prompt was not played.
    pub unheard: u64,
    /// Whether it may fail still: not three calls in a row went well since.
    pub still: bool,
    /// How many in a row went well since.
    pub good_since: u64,
    /// Twilio's error code of the last failure.
    pub code: u32,
    /// What the edge's own request said; empty where the code is about the application's answer.
    pub cause: String,
    /// The last of these calls.
    pub last_sid: String,
}

/// The recogniser of callers' speech, as it did in the last hour.
#[derive(Debug, Clone, Serialize)]
pub struct RecognitionView {
    /// How many recognitions failed …
    pub failed: u64,
    /// … of so many.
    pub of: u64,
    /// The same of the last five minutes.
    pub recent: Recent,
    /// Whether it may fail still: not three in a row went well since.
    pub still: bool,
    /// How many in a row went well since.
    pub good_since: u64,
    /// What happened last.
    pub cause: String,
    /// The call in which it did.
    pub last_sid: String,
}

/// A side that is not heard in calls that are up.
#[derive(Debug, Clone, Serialize)]
pub struct SilentView {
    /// Its name: trunk, agent or URI.
    pub name: String,
    /// In how many calls.
    pub calls: u64,
    /// The slug of what was wrong in the last of them.
    pub kind: &'static str,
    /// Why in the last of them, as its trace has it.
    pub cause: String,
    /// What would help.
    pub fix: String,
    /// That one.
    pub last_sid: String,
    /// The other sides that are not heard in these calls either, by name, each with the number of calls.
    #[serde(skip)]
    pub both: Vec<(String, u64)>,
}

/// SIP from addresses of no trunk.
#[derive(Debug, Clone, Serialize)]
pub struct UnknownView {
    /// Messages in the last hour.
    pub messages: u64,
    /// Source of the last one.
    pub last: String,
    /// Time since the last one.
    pub seconds_ago: u64,
}

/// A source of SIP that is the address of no trunk.
#[derive(Debug, Clone, Serialize)]
pub struct SourceView {
    /// Address of the source.
    pub source: String,
    /// Messages since it is listed.
    pub messages: u64,
    /// Time since the last one.
    pub seconds_ago: u64,
}

/// A phone that wants to register as a user whom no trunk has; users as the log shows them.
#[derive(Debug, Clone, Serialize)]
pub struct StrayView {
    /// That user.
    pub user: String,
    /// One that there is and that is like it.
    pub near: Option<String>,
    /// Where it came from.
    pub source: IpAddr,
    /// REGISTERs for users that there are not, in the last hour.
    pub registers: u64,
    /// How long ago, in seconds.
    pub seconds_ago: u64,
}

/// An address whose SIP is not looked at for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BanView {
    /// Address; for IPv6, the network that counts as one household.
    pub address: IpAddr,
    /// Remaining time of the ban.
    pub seconds: u64,
}
