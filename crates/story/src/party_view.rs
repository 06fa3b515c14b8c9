//! Views of trunks and agents: state, failures and audio quality.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::AgentTurns;
use trunkgate_media::agent::StreamLoss;
use trunkgate_route::PerformanceFigures;
use trunkgate_sip::Transport;

use crate::turns::TurnView;

/// State of an agent.
#[derive(Debug, Clone, Serialize)]
pub struct AgentView {
    /// Name of the agent.
    pub name: String,
    /// `unknown`, `up`, `down`, `skipped`: see [http.md](http.md).
    pub state: &'static str,
    /// Open sockets, including those of forks.
    pub sessions: u64,
    /// Callers connected or being connected to the agent; limited by `max_sessions`.
    pub talking: u64,
    /// Callers queued for the agent.
    pub waiting: u64,
    /// Calls of the last hour in which the agent failed; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<AgentFailures>,
    /// Calls of the last hour that did not reach the agent: it was skipped, or its WebSocket did not open.
    #[serde(flatten)]
    pub unreached: UnreachedView,
    /// Ended calls of the last hour in which the agent had a caller for at least 10 s and sent no audio, although the
    /// caller was heard; shorter calls count from three in a row on. Absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<FaultView>,
    /// Sockets opened since the start.
    pub opened: u64,
    /// Sockets refused or lost since the start.
    pub lost: u64,
    /// Last failure.
    pub last_problem: Option<String>,
    /// Kind of the last failure.
    #[serde(skip)]
    pub loss: Option<StreamLoss>,
    /// Time of the last failure as an instant.
    #[serde(skip)]
    pub problem_at: Option<Instant>,
    /// Time of the last failure.
    pub last_problem_at: Option<String>,
    /// Time (RFC 3339) of the end of the last [probe](../configure/agents.md#probes); null without `probe`.
    pub last_probe: Option<String>,
    /// Duration of the last probe's handshake; null if it failed.
    pub probe_ms: Option<f64>,
    /// For a `skipped` agent: time until the next call tries it.
    pub next_try_ms: Option<u64>,
    /// Whether the agent is skipped because of probes only: calls without another target still try it.
    #[serde(skip)]
    pub is_by_probes: bool,
    /// [Turns](../configure/agents.md#how-fast-it-answers) since the start, live calls included; null before the first.
    pub turn_ms: Option<TurnView>,
    /// Turn latencies as a histogram, for the metrics.
    #[serde(skip)]
    pub turns: Arc<AgentTurns>,
}

/// Failed calls of an agent in the last hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentFailures {
    /// Number of failed calls.
    pub calls: u64,
    /// Calls in which the agent spoke, was silent or failed.
    pub of: u64,
    /// Failed calls of the last five minutes.
    pub recent: AffectedCalls,
    /// Calls whose callers were hung up on, because no other target was left.
    pub hung_up: u64,
    /// Failures in a row up to now.
    pub in_row: u64,
    /// Whether the agent may still fail, as in `rejected` of a [trunk](#trunk).
    pub still: bool,
    /// Good calls in a row since the last failure; 0 if that is chance.
    pub good_since: u64,
    /// Failed calls, and all calls, from the last recovery to the last failure.
    #[serde(skip)]
    pub lately: [u64; 2],
    /// Whether the agent was reached again after its last failure or outage.
    #[serde(skip)]
    pub reached_since: bool,
    /// Cause of the last failure.
    pub cause: String,
    /// Causes, the newest first.
    pub causes: Vec<CauseView>,
    /// SID of the last failed call.
    pub last_sid: String,
    /// Time of the last failure.
    #[serde(skip)]
    pub at: Option<Instant>,
}

/// Failed calls of an agent with one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CauseView {
    /// The cause as a phrase.
    pub cause: String,
    /// Calls that failed for this cause.
    pub calls: u64,
}

/// Affected calls of the last five minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AffectedCalls {
    /// Affected calls.
    pub calls: u64,
    /// Calls that could have been affected.
    pub of: u64,
}

/// Calls of the last hour that did not reach a trunk or an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UnreachedView {
    /// Calls of the last hour that did not reach the trunk or agent: no response, not sent, or (of an agent) skipped.
    #[serde(rename = "unreached")]
    pub calls: u64,
    /// Unreached calls whose callers got no other target.
    #[serde(rename = "unreached_lost")]
    pub lost: u64,
    /// SID of the last unreached call.
    #[serde(rename = "unreached_sid")]
    pub last_sid: Option<String>,
    /// Calls with lost callers in the last five minutes.
    #[serde(skip)]
    pub recent_lost: u64,
    /// Most recent calls with lost callers, the newest last.
    #[serde(skip)]
    pub lost_calls: Vec<LostCall>,
    /// Time of the last unreached call.
    #[serde(skip)]
    pub at: Option<Instant>,
}

/// A call that did not reach its last target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostCall {
    /// Time at which the caller was lost.
    pub at: Instant,
    /// Name of the route.
    pub route: Arc<str>,
    /// The call.
    pub sid: Arc<str>,
}

/// Registration of the edge with a trunk.
#[derive(Debug, Clone, Serialize)]
pub struct RegistrationView {
    /// Registrar as in the configuration.
    pub registrar: String,
    /// `registered`, `trying` before the first answer, `failed`.
    pub state: &'static str,
    /// Expiry unless refreshed; null without a registration.
    pub expires_at: Option<String>,
    /// Cause of the failure.
    pub last_problem: Option<String>,
    /// Fix for the failure; absent if the registration did not fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// A phone or PBX registered at the edge.
#[derive(Debug, Clone, Serialize)]
pub struct PhoneView {
    /// Transport over which the phone registered.
    pub transport: Transport,
    /// Source address.
    pub address: SocketAddr,
    /// Expiry unless refreshed.
    pub expires_at: String,
}

/// Calls to a trunk in the last hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TriedView {
    /// Calls to the trunk.
    pub tried: u64,
    /// Calls to the trunk that were answered.
    pub answered: u64,
    /// Time of the last answered call, which may be older than an hour.
    #[serde(skip)]
    pub last_answered: Option<Instant>,
}

/// State of a trunk.
#[derive(Debug, Clone, Serialize)]
pub struct TrunkView {
    /// Name of the trunk.
    pub name: String,
    /// `up`, `down`, or `unknown` before the first response or timeout.
    pub state: &'static str,
    /// Live calls.
    pub calls: u64,
    /// Limit of concurrent calls; 0: none.
    pub max_calls: u32,
    /// New calls in the last whole second, in both directions.
    pub cps: u32,
    /// Calls to the trunk since the start; a call that tries several addresses of the trunk counts once.
    pub tried: u64,
    /// Answered share (0 to 1) of `tried`; null if `tried` is 0.
    pub answered_ratio: Option<f64>,
    /// Calls to the trunk in the last hour.
    pub last_hour: TriedView,
    /// Recent figures, used by [`order = "asr"`](../configure/routing.md#order-by-answer-ratio).
    pub lately: PerformanceFigures,
    /// Failed attempts at addresses of the trunk since the start: one call may have several.
    pub failures: u64,
    /// Calls of the last hour that did not reach the trunk: no response, or they could not be sent.
    #[serde(flatten)]
    pub unreached: UnreachedView,
    /// Last failure.
    pub last_problem: Option<String>,
    /// Time of the last failure.
    pub last_problem_at: Option<String>,
    /// Time for which calls with another target still skip the trunk, because it refused one with a code of
    /// [`congested_on`](../configure/fallback.md#congestion).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congested_seconds: Option<u64>,
    /// Calls that the trunk rejected in the last hour, without rejections that the callee or the caller causes (busy,
    /// absent, declined, malformed), unless ten calls in a row were not answered; 404 and 484 count from the third
    /// number in a row on, 408 only without ringing. Absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RejectedView>,
    /// Legs of the trunk without received audio in the last hour; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unheard: Option<FaultView>,
    /// Calls without a common codec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec_mismatch: Option<FaultView>,
    /// Calls with packets that this machine refused to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsent: Option<FaultView>,
    /// Calls with high packet loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<FaultView>,
    /// Calls in which the trunk's audio stopped before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<FaultView>,
    /// Audio quality of the trunk's parties in answered calls that ended in the last hour; absent if no score is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<TrunkQuality>,
    /// For a `[siprec.NAME]`: calls of the last hour that no server recorded; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<FailedRecordings>,
    /// Peers in the order of the file.
    pub peers: Vec<PeerView>,
    /// Addresses of the edge shown to the trunk's peers: one entry for each known address of a peer, else for the first
    /// of each network of `accept_from`; further entries for other listeners over which the trunk's calls may arrive.
    pub announced: Vec<AnnouncedAddresses>,
    /// Registration of the edge with the trunk, and of phones at the edge.
    #[serde(flatten)]
    pub registrations: RegistrationsView,
}

/// Recordings requested from a group of recording servers (`[siprec.NAME]`) in the last hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedRecordings {
    /// Calls that no server recorded.
    pub failed: u64,
    /// Calls that had to be recorded.
    pub of: u64,
    /// Unrecorded calls of the last five minutes.
    pub recent: AffectedCalls,
    /// Whether the servers have not yet recorded three calls in a row since the last failure.
    pub still: bool,
    /// Calls recorded in a row since the last failure.
    pub good_since: u64,
    /// Whether calls that must be recorded are refused with 503.
    pub refusing: bool,
    /// Response of the last server.
    pub cause: String,
    /// SID of the last unrecorded call.
    pub last_sid: String,
}

/// Audio quality of a trunk's parties in answered calls that ended in the last hour.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrunkQuality {
    /// Mean MOS of the calls.
    pub mos: f64,
    /// Calls with a score.
    pub calls: u64,
    /// Calls with a score below 3.1 ("nearly all users dissatisfied", ITU-T G.109).
    pub poor: u64,
    /// Whether the mean is below 3.1.
    pub is_poor: bool,
    /// Whether a call was poor, and fewer than three calls in a row were better since.
    pub still: bool,
    /// Better calls in a row since the last poor call.
    pub good_since: u64,
    /// Figures of the last poor call; `cause`, `fix` and `last_sid` are null if no call was poor.
    pub cause: Option<String>,
    /// Fix for the poor audio.
    pub fix: Option<String>,
    /// SID of the last poor call.
    pub last_sid: Option<String>,
}

/// Calls that a trunk rejected in the last hour, except for a busy or absent callee.
#[derive(Debug, Clone, Serialize)]
pub struct RejectedView {
    /// Number of rejected calls.
    pub calls: u64,
    /// Calls that the trunk answered or rejected.
    pub of: u64,
    /// Rejected calls of the last five minutes.
    pub recent: AffectedCalls,
    /// Rejections since earlier ones were solved, in the last five minutes and in the last hour.
    #[serde(skip)]
    pub present: [u64; 2],
    /// Rejections in the last hour, since earlier ones were solved, after which the caller got no other target.
    #[serde(skip)]
    pub present_lost: u64,
    /// Rejected calls, and all calls, from the last recovery to the last rejection.
    #[serde(skip)]
    pub lately: [u64; 2],
    /// Rejected calls since the trunk last answered one.
    pub in_row: u64,
    /// Rejected calls in that row whose callers got no other target.
    pub lost: u64,
    /// Whether the trunk may still reject calls: since the last rejection it has neither answered three calls in a row
    /// (up to 15 if it rejects only some), nor answered one and rejected none for five minutes.
    pub still: bool,
    /// Calls answered in a row since the last rejection; 0 if that is chance.
    pub good_since: u64,
    /// Rejections since the trunk last worked, the newest first, then earlier ones, the most frequent first.
    pub answers: Vec<RejectionView>,
    /// Fix for the codes that are `present`.
    pub fix: String,
    /// SID of the last rejected call.
    pub last_sid: String,
    /// Time of the last rejection.
    #[serde(skip)]
    pub at: Option<Instant>,
    /// Whether calls were answered between earlier and current rejections.
    #[serde(skip)]
    pub is_mended: bool,
}

/// Calls rejected with the same code and text.
#[derive(Debug, Clone, Serialize)]
pub struct RejectionView {
    /// SIP code.
    pub code: u16,
    /// Reason phrase of the last such response, and texts of its Reason, Warning and X- headers.
    pub text: Option<String>,
    /// Fault in `auth` of the trunk; absent without a fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Retry-After of the last such response, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Whether the next target is tried on this code.
    pub leads_on: bool,
    /// Calls rejected with this code and text.
    pub calls: u64,
    /// Whether such a call was rejected since the trunk last worked.
    pub present: bool,
}

/// Faults of one kind in a trunk's calls: silent sides, codec mismatch, packets that could not be sent.
#[derive(Debug, Clone, Serialize)]
pub struct FaultView {
    /// Affected calls in the last hour.
    pub calls: u64,
    /// Calls that could have been affected.
    pub of: u64,
    /// Affected calls of the last five minutes.
    pub recent: AffectedCalls,
    /// Cause in the last affected call, [one of these](../operate/quality.md#kinds).
    pub kind: &'static str,
    /// The cause as a sentence.
    pub cause: String,
    /// Fix for the cause.
    pub fix: String,
    /// SID of the last affected call.
    pub last_sid: String,
    /// Whether the fault continues: fewer than three good calls in a row since.
    pub still: bool,
    /// Good calls in a row since the last affected one. For `stopped`, `loss`, `codec_mismatch` and `unsent` only calls
    /// answered after it count; for `stopped` and `loss` only once they have ended.
    pub good_since: u64,
    /// Causes of silent sides, for `unheard` only, the newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<KindView>,
    /// Time of the last affected call, if kept.
    #[serde(skip)]
    pub at: Option<Instant>,
    /// Calls in which the other side was silent too, by name of that side; for silent sides only.
    #[serde(skip)]
    pub both: Vec<(String, u64)>,
}

/// Silent sides of a trunk with one cause.
#[derive(Debug, Clone, Serialize)]
pub struct KindView {
    /// Cause, [one of these](../operate/quality.md#kinds).
    pub kind: &'static str,
    /// For `our_address`: media address that the edge announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<IpAddr>,
    /// Affected calls in the last hour.
    pub calls: u64,
    /// Fix for the cause.
    pub fix: String,
    /// SID of the last affected call.
    pub last_sid: String,
}

/// Registrations of a trunk, and of phones at it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RegistrationsView {
    /// Registration of the edge with the trunk; absent without `register`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration: Option<RegistrationView>,
    /// Phones registered at this trunk, the newest first; absent without `accept_register`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phones: Option<Vec<PhoneView>>,
}

/// Addresses of the edge shown to an address of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedAddresses {
    /// Address of the peer.
    pub to: IpAddr,
    /// Address of the edge in Via and Contact; null without a route or listener. See [announced
    /// addresses](../configure/configuration.md#announced-addresses).
    pub sip: Option<IpAddr>,
    /// Address of the edge in SDP; null without a route or listener.
    pub media: Option<IpAddr>,
}

/// State of a peer.
#[derive(Debug, Clone, Serialize)]
pub struct PeerView {
    /// URI of the peer as in the configuration.
    pub uri: String,
    /// `up` if any of its addresses is up; `down`, `unknown`.
    pub state: &'static str,
    /// Addresses of the peer that are known so far.
    pub addresses: Vec<AddressView>,
}

/// State of an address of a peer.
#[derive(Debug, Clone, Serialize)]
pub struct AddressView {
    /// `udp`, `tcp`, `tls`.
    pub transport: Transport,
    /// Address and port.
    pub address: SocketAddr,
    /// `up`, `down`, `unknown`. An address that has never answered is `down` after its first timeout, and [skipped
    /// after three](../configure/fallback.md#health-checks).
    pub state: &'static str,
    /// Time since which it is `down`.
    pub down_since: Option<String>,
    /// Time (RFC 3339) of the last OPTIONS sent to the address.
    pub last_options: Option<String>,
    /// Round-trip time of the last answered OPTIONS.
    pub rtt_ms: Option<f64>,
    /// Consecutive OPTIONS and calls without a response from the address.
    pub failures: u32,
    /// Remaining time of the back-off that the address requested (503 with Retry-After).
    pub rests_seconds: Option<u64>,
    /// Time until the next OPTIONS, or until the response to one is overdue; null with `options_interval = "0s"`.
    pub next_check_seconds: Option<u64>,
    /// Last failure.
    pub last_problem: Option<String>,
    /// Whether the address rejects `contact_host` (403 to OPTIONS).
    pub host_rejected: bool,
}

/// Returns the name of a state: `up`, `down`, `unknown`.
pub const fn state_word(up: Option<bool>) -> &'static str {
    match up {
        Some(true) => "up",
        Some(false) => "down",
        None => "unknown",
    }
}
