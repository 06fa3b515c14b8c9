//! Trunks and agents as they are shown: what they do, what fails, how their audio sounds.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::AgentTurns;
use trunkgate_media::agent::Loss;
use trunkgate_route::Figures;
use trunkgate_sip::Transport;

use crate::turns::TurnView;

/// An agent at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct AgentView {
    /// Name.
    pub name: String,
    /// `up` where its last socket opened or one is open, `down` where the last could not be opened and none is open,
    /// `unknown` before any was asked for; `skipped` where it keeps failing, and one call at a time tries it.
    pub state: &'static str,
    /// Sockets that are open, those of listeners too.
    pub sessions: u64,
    /// Callers that have it or are being connected with it: what `max_sessions` counts.
    pub talking: u64,
    /// Callers that wait in line for it.
    pub waiting: u64,
    /// Calls in which it failed, where there were some in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<AgentFailures>,
    /// Calls of the last hour that did not reach it: it was skipped, or its WebSocket did not open.
    #[serde(flatten)]
    pub unreached: UnreachedView,
    /// Calls that it had for at least 10 s without a word of it, where there were some in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent: Option<FaultView>,
    /// Sockets that were open, since start.
    pub opened: u64,
    /// Sockets that were refused or lost, since start.
    pub lost: u64,
    /// Its last failure in words.
    pub last_problem: Option<String>,
    /// The same in its kind.
    #[serde(skip)]
    pub loss: Option<Loss>,
    /// When that was.
    #[serde(skip)]
    pub problem_at: Option<Instant>,
    /// The same, RFC 3339.
    pub last_problem_at: Option<String>,
    /// When its last probe was answered or had failed, RFC 3339; `None` without `probe`.
    pub last_probe: Option<String>,
    /// How long the handshake of the last probe took, in milliseconds; `None` where it failed.
    pub probe_ms: Option<f64>,
    /// Of one that is skipped: no call tries it for so long yet, in milliseconds.
    pub next_try_ms: Option<u64>,
    /// Whether it is skipped for what probes alone say: calls without another target try it all the same.
    #[serde(skip)]
    pub is_by_probes: bool,
    /// Its turns since the start, those of live calls included; `null` before the first.
    pub turn_ms: Option<TurnView>,
    /// The same in buckets, for the metrics.
    #[serde(skip)]
    pub turns: Arc<AgentTurns>,
}

/// Calls of the last hour in which an agent failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentFailures {
    /// How many …
    pub calls: u64,
    /// … of so many in which it spoke, was silent or failed.
    pub of: u64,
    /// The same of the last five minutes.
    pub recent: Recent,
    /// Those of them whose callers were hung up on, as no other target was left.
    pub hung_up: u64,
    /// How many of them in a row are the latest ones.
    pub in_row: u64,
    /// Whether it may fail still: three in a row were not good since (more where it fails in some calls only), nor one good and none bad for
    /// five minutes.
    pub still: bool,
    /// How many in a row were good since, where that is more than chance.
    pub good_since: u64,
    /// In how many calls it failed since the failures before were past, up to the last one, and of how many.
    #[serde(skip)]
    pub lately: [u64; 2],
    /// Whether the last of them did not reach it, or it was down after that, and a call, probe or connection has since.
    #[serde(skip)]
    pub reached_since: bool,
    /// Why the last of them failed.
    pub cause: String,
    /// Each cause with its calls of the last hour, the newest first.
    pub causes: Vec<CauseView>,
    /// That call.
    pub last_sid: String,
    /// Time of the last of them.
    #[serde(skip)]
    pub at: Option<Instant>,
}

/// Calls in which an agent failed for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CauseView {
    /// In words.
    pub cause: String,
    /// How many.
    pub calls: u64,
}

/// The same of the last five minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Recent {
    /// How many calls …
    pub calls: u64,
    /// … of so many.
    pub of: u64,
}

impl Recent {
    /// `(18 of 18 in the last 5 min)` behind the figures of an hour, where it says more than they do.
    pub fn beside(&self, calls: u64, of: u64) -> String {
        match self.of {
            0 => String::new(),
            _ if (self.calls, self.of) == (calls, of) => String::new(),
            _ => format!(" ({} of {} in the last 5 min)", self.calls, self.of),
        }
    }
}

/// Calls of the last hour that did not reach a trunk or an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UnreachedView {
    /// How many.
    #[serde(rename = "unreached")]
    pub calls: u64,
    /// Those of them whose callers got no other target.
    #[serde(rename = "unreached_lost")]
    pub lost: u64,
    /// The last of them.
    #[serde(rename = "unreached_sid")]
    pub last_sid: Option<String>,
    /// Lost callers of the last five minutes.
    #[serde(skip)]
    pub recent_lost: u64,
    /// The last of those whose callers were lost, the newest last.
    #[serde(skip)]
    pub lost_calls: Vec<LostCall>,
    /// Time of the last of these calls.
    #[serde(skip)]
    pub at: Option<Instant>,
}

/// A call that did not reach its last target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostCall {
    /// Time at which its caller was lost.
    pub at: Instant,
    /// The name of its route.
    pub route: Arc<str>,
    /// The call.
    pub sid: Arc<str>,
}

/// How we are registered with a trunk.
#[derive(Debug, Clone, Serialize)]
pub struct RegistrationView {
    /// The registrar as written.
    pub registrar: String,
    /// `registered`, `trying` before the first answer, `failed`.
    pub state: &'static str,
    /// When it ends if it is not refreshed.
    pub expires_at: Option<String>,
    /// Why it failed, in words.
    pub last_problem: Option<String>,
    /// What would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// A phone or PBX that has registered here.
#[derive(Debug, Clone, Serialize)]
pub struct PhoneView {
    /// Transport of the flow that it came by.
    pub transport: Transport,
    /// Where that flow comes from.
    pub address: SocketAddr,
    /// When its registration ends if it is not refreshed.
    pub expires_at: String,
}

/// Calls tried towards a trunk in the last hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TriedView {
    /// All of them.
    pub tried: u64,
    /// Those that were answered.
    pub answered: u64,
    /// When the last of all was, also of earlier hours.
    #[serde(skip)]
    pub last_answered: Option<Instant>,
}

/// A trunk at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct TrunkView {
    /// Name.
    pub name: String,
    /// `up`, `down`, or `unknown` before anything was tried.
    pub state: &'static str,
    /// Live calls.
    pub calls: u64,
    /// Limit; 0: none.
    pub max_calls: u32,
    /// New calls in the last whole second, in both directions.
    pub cps: u32,
    /// Calls tried towards it, since start.
    pub tried: u64,
    /// Calls answered of those; `null` where none was tried.
    pub answered_ratio: Option<f64>,
    /// The same of the last hour.
    pub last_hour: TriedView,
    /// How it has done lately: what `order = "asr"` goes by.
    pub lately: Figures,
    /// Attempts towards it that failed, since start.
    pub failures: u64,
    /// Calls of the last hour that it did not get: no response, or they could not be sent.
    #[serde(flatten)]
    pub unreached: UnreachedView,
    /// Its last failure in words.
    pub last_problem: Option<String>,
    /// When that was, RFC 3339.
    pub last_problem_at: Option<String>,
    /// Seconds for which calls prefer other targets, because it has refused one for having too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congested_seconds: Option<u64>,
    /// Calls to it that it rejected, where there were some in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RejectedView>,
    /// Its sides that were not heard, where there were some in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unheard: Option<FaultView>,
    /// Calls whose codecs did not fit, where there were some in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec_mismatch: Option<FaultView>,
    /// Calls whose packets this machine does not let out to it, where there were some in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsent: Option<FaultView>,
    /// Calls that lost much of its audio, or of ours on the way to it, where there were some in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<FaultView>,
    /// Calls in which its audio stopped and did not end with the call, where there were some in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<FaultView>,
    /// How its audio sounded in calls that ended in the last hour; absent where no score is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<TrunkQuality>,
    /// Recordings that no server of a group took, where there were some in the last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<FailedRecordings>,
    /// Peers in the order of the file.
    pub peers: Vec<PeerView>,
    /// Our addresses that its peers are shown.
    pub announced: Vec<Announced>,
    /// Registrations with it, and of phones here.
    #[serde(flatten)]
    pub registrations: RegistrationsView,
}

/// Recordings that a group of recording servers (`[siprec.NAME]`) was asked for in the last hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedRecordings {
    /// How many calls no server took, or kept …
    pub failed: u64,
    /// … of so many.
    pub of: u64,
    /// The same of the last five minutes.
    pub recent: Recent,
    /// Whether they may fail still: not three in a row were taken since.
    pub still: bool,
    /// How many in a row were taken since.
    pub good_since: u64,
    /// Whether calls that have to be recorded are refused before their answer.
    pub refusing: bool,
    /// What the last server said.
    pub cause: String,
    /// The call in which it did.
    pub last_sid: String,
}

/// The audio that a trunk's parties sent in answered calls that ended in the last hour.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrunkQuality {
    /// Mean of the calls' mean opinion scores.
    pub mos: f64,
    /// Calls with a score.
    pub calls: u64,
    /// Calls of these with a score below 3.1 (R = 60): "nearly all users dissatisfied" (ITU-T G.109).
    pub poor: u64,
    /// Whether the mean is below that, too.
    pub is_poor: bool,
    /// Whether calls are poor still: not three in a row were better since the last one.
    pub still: bool,
    /// How many in a row were better since the last one.
    pub good_since: u64,
    /// Figures of the last poor call; `null` where none was.
    pub cause: Option<String>,
    /// What would help; `null` where none was.
    pub fix: Option<String>,
    /// The last poor call; `null` where none was.
    pub last_sid: Option<String>,
}

/// Calls that a trunk rejected in the last hour, but for a busy or absent called party.
#[derive(Debug, Clone, Serialize)]
pub struct RejectedView {
    /// How many …
    pub calls: u64,
    /// … of so many that it answered or rejected.
    pub of: u64,
    /// The same of the last five minutes.
    pub recent: Recent,
    /// How many came in the last five minutes, and in the last hour, since those before were mended.
    #[serde(skip)]
    pub present: [u64; 2],
    /// Of how many of the latter the caller got no other target.
    #[serde(skip)]
    pub present_lost: u64,
    /// How many it rejected since those before were mended, up to the last one, and of how many.
    #[serde(skip)]
    pub lately: [u64; 2],
    /// How many of them came since it last answered a call.
    pub in_row: u64,
    /// Of how many of these the caller got no other target: the call was lost.
    pub lost: u64,
    /// Whether it may reject calls still: it has not answered three in a row since (more where it rejects only some), nor one and
    /// rejected none for five minutes.
    pub still: bool,
    /// How many in a row it has answered since, where that is more than chance.
    pub good_since: u64,
    /// With what: the newest of now first, then what was mended before, the most frequent first.
    pub answers: Vec<RejectionView>,
    /// What would help with the codes of now.
    pub fix: String,
    /// The last of these calls.
    pub last_sid: String,
    /// Time of the last one.
    #[serde(skip)]
    pub at: Option<Instant>,
    /// Whether calls were answered between those of now and the ones before.
    #[serde(skip)]
    pub is_mended: bool,
}

/// Calls that were rejected with the same words.
#[derive(Debug, Clone, Serialize)]
pub struct RejectionView {
    /// The code.
    pub code: u16,
    /// Reason phrase, texts of Reason, Warning and X- headers.
    pub text: Option<String>,
    /// What is wrong with the trunk's `auth`, where the last one refused that; or that it was shown, where a 403 followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Seconds of the last one's Retry-After.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Whether the trunk's configuration has the next target tried on this code.
    pub leads_on: bool,
    /// How many.
    pub calls: u64,
    /// Whether one of them came since the trunk last worked: others are mended.
    pub present: bool,
}

/// Faults of one kind in a trunk's calls: sides that were not heard, codecs that do not fit, packets that do not leave.
#[derive(Debug, Clone, Serialize)]
pub struct FaultView {
    /// How many in the last hour …
    pub calls: u64,
    /// … of so many that should have been heard, or were lost for that fault.
    pub of: u64,
    /// The same of the last five minutes.
    pub recent: Recent,
    /// The slug of what was wrong with the last one.
    pub kind: &'static str,
    /// The same in words, as its trace has it.
    pub cause: String,
    /// What would help.
    pub fix: String,
    /// The call that it was in.
    pub last_sid: String,
    /// Whether that is so still: not three calls in a row were good since.
    pub still: bool,
    /// How many were good since.
    pub good_since: u64,
    /// Of sides that were not heard: what was wrong with how many of them, the newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<KindView>,
    /// Time of the last one, where it is kept.
    #[serde(skip)]
    pub at: Option<Instant>,
    /// Of sides that were not heard: the other sides that were not heard either, by name, each with the number of these calls.
    #[serde(skip)]
    pub both: Vec<(String, u64)>,
}

/// One cause for which sides of a trunk were not heard.
#[derive(Debug, Clone, Serialize)]
pub struct KindView {
    /// Its slug.
    pub kind: &'static str,
    /// The address that they were told and cannot reach, where that is the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<IpAddr>,
    /// How many in the last hour.
    pub calls: u64,
    /// What would help.
    pub fix: String,
    /// The last call that it was in.
    pub last_sid: String,
}

/// Registrations of a trunk.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RegistrationsView {
    /// Ours with it, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration: Option<RegistrationView>,
    /// The phones that have registered here, the newest first; `None` where none may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phones: Option<Vec<PhoneView>>,
}

/// Our addresses that an address of a peer is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The peer's.
    pub to: IpAddr,
    /// Ours in Via and Contact; `null`: there is no route, or no listener.
    pub sip: Option<IpAddr>,
    /// Ours in SDP; `null`: the same.
    pub media: Option<IpAddr>,
}

/// A peer at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct PeerView {
    /// As written.
    pub uri: String,
    /// `up` where any of its addresses is, `down`, or `unknown` before anything was heard or missed.
    pub state: &'static str,
    /// Its addresses as far as known.
    pub addresses: Vec<AddressView>,
}

/// One address of a peer.
#[derive(Debug, Clone, Serialize)]
pub struct AddressView {
    /// `udp`, `tcp`, `tls`.
    pub transport: Transport,
    /// Address and port.
    pub address: SocketAddr,
    /// `up`, `down`, or `unknown` before anything was heard or missed.
    pub state: &'static str,
    /// Since when it is down, RFC 3339; `null` where it is not.
    pub down_since: Option<String>,
    /// When it was last asked by OPTIONS, RFC 3339.
    pub last_options: Option<String>,
    /// How long its last answer to OPTIONS took.
    pub rtt_ms: Option<f64>,
    /// OPTIONS and calls without an answer, in a row.
    pub failures: u32,
    /// Seconds for which it wants no calls (503 with Retry-After).
    pub rests_seconds: Option<u64>,
    /// Seconds until it is asked by OPTIONS again, or an answer is overdue; `null` where it is not asked (`options_interval = "0s"`).
    pub next_check_seconds: Option<u64>,
    /// Its last failure in words.
    pub last_problem: Option<String>,
}

/// Returns the word of a state: `up`, `down`, `unknown`.
pub const fn state_word(up: Option<bool>) -> &'static str {
    match up {
        Some(true) => "up",
        Some(false) => "down",
        None => "unknown",
    }
}
