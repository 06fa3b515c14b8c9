//! Events for clients that watch the edge (`GET /v1/events`).

use serde::Serialize;

use crate::reason::ReasonSlug;
use crate::report::CallRecord;
use crate::view::CallView;

/// Kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeEventKind {
    /// A call has arrived and was not refused at once.
    CallTrying,
    /// The caller hears ringing or early media.
    CallRinging,
    /// The call is answered.
    CallAnswered,
    /// The call failed over to the next target.
    CallFailedOver,
    /// A live transcription of the call has a result.
    CallTranscribed,
    /// The call has ended.
    CallEnded,
    /// A side of an answered call sends no media.
    MediaOneWay,
    /// This machine refuses to send packets of a call to a side.
    MediaUnsent,
    /// A side of an answered call uses a codec that was not negotiated.
    MediaMismatch,
    /// A side of an answered call has high packet loss.
    MediaLoss,
    /// A trunk is reachable.
    TrunkUp,
    /// All peers of a trunk are unreachable.
    TrunkDown,
    /// An agent could not be connected, or was lost.
    AgentFailed,
    /// The configuration was reloaded.
    ConfigReloaded,
    /// A reload was rejected because of errors.
    ConfigRefused,
    /// Draining has started or stopped.
    Drain,
}

impl EdgeEventKind {
    /// All kinds, for documentation and tests.
    pub const ALL: [EdgeEventKind; 16] = [
        EdgeEventKind::CallTrying,
        EdgeEventKind::CallRinging,
        EdgeEventKind::CallAnswered,
        EdgeEventKind::CallFailedOver,
        EdgeEventKind::CallTranscribed,
        EdgeEventKind::CallEnded,
        EdgeEventKind::MediaOneWay,
        EdgeEventKind::MediaUnsent,
        EdgeEventKind::MediaMismatch,
        EdgeEventKind::MediaLoss,
        EdgeEventKind::TrunkUp,
        EdgeEventKind::TrunkDown,
        EdgeEventKind::AgentFailed,
        EdgeEventKind::ConfigReloaded,
        EdgeEventKind::ConfigRefused,
        EdgeEventKind::Drain,
    ];

    /// Returns the name of the event.
    pub const fn as_str(self) -> &'static str {
        match self {
            EdgeEventKind::CallTrying => "call.trying",
            EdgeEventKind::CallRinging => "call.ringing",
            EdgeEventKind::CallAnswered => "call.answered",
            EdgeEventKind::CallFailedOver => "call.failed_over",
            EdgeEventKind::CallTranscribed => "call.transcribed",
            EdgeEventKind::CallEnded => "call.ended",
            EdgeEventKind::MediaOneWay => "media.one_way",
            EdgeEventKind::MediaUnsent => "media.unsent",
            EdgeEventKind::MediaMismatch => "media.codec_mismatch",
            EdgeEventKind::MediaLoss => "media.loss",
            EdgeEventKind::TrunkUp => "trunk.up",
            EdgeEventKind::TrunkDown => "trunk.down",
            EdgeEventKind::AgentFailed => "agent.failed",
            EdgeEventKind::ConfigReloaded => "config.reloaded",
            EdgeEventKind::ConfigRefused => "config.refused",
            EdgeEventKind::Drain => "drain",
        }
    }
}

/// An event; fields that do not apply are absent.
#[derive(Debug, Clone, Serialize)]
pub struct EdgeEvent {
    /// Kind of the event; serialized as the event's name, not as data.
    #[serde(skip)]
    pub what: EdgeEventKind,
    /// Data of the call.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallChange>,
    /// Trunk of the caller, or of the silent side or failed target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// Trunk of the other side, if both sides have the same fault.
    #[serde(skip)]
    pub also: Option<String>,
    /// Name of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Whether the agent lost an established connection of a call.
    #[serde(skip)]
    pub was_open: bool,
    /// Trunk, agent or application that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// SIP status code with which the target rejected the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Reason slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Details in plain text, as in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Fix in plain text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// Track of a live transcription's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<&'static str>,
    /// Whether the text of a live transcription is a final result.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub is_final: Option<bool>,
    /// Mean opinion score of an ended call, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mos: Option<f64>,
}

/// Possible values of a call's `flags`.
pub const FLAGS: [&str; 12] = [
    "one_way",
    "codec_mismatch",
    "unsent",
    "loss",
    "app_error",
    "agent_failed",
    "recording_gap",
    "failed_over",
    "agent",
    "listened",
    "transcoded",
    "srtp",
];

/// Call data of an event; names as in `/v1/calls`.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // `CallView` says what each is
pub struct CallChange {
    pub sid: String,
    pub state: &'static str,
    pub outcome: Option<&'static str>,
    pub route: String,
    pub from: String,
    pub to: String,
}

impl EdgeEvent {
    /// Returns an event without data.
    pub const fn new(what: EdgeEventKind) -> EdgeEvent {
        EdgeEvent {
            what,
            call: None,
            trunk: None,
            also: None,
            agent: None,
            was_open: false,
            target: None,
            code: None,
            reason: None,
            text: None,
            fix: None,
            track: None,
            is_final: None,
            mos: None,
        }
    }

    /// Returns the event of a new call.
    pub fn began(call: &CallView) -> EdgeEvent {
        EdgeEvent::from_view(EdgeEventKind::CallTrying, call)
    }

    /// Returns the event of an ended call.
    pub fn ended(record: &CallRecord) -> EdgeEvent {
        let (text, fix) = (record.proof.clone(), record.fix.clone());
        let (target, code) = failed_target(&record.call).unzip();
        EdgeEvent {
            mos: record.mos_avg,
            text,
            fix,
            target,
            code: code.flatten(),
            ..EdgeEvent::from_view(EdgeEventKind::CallEnded, &record.call)
        }
    }

    fn from_view(what: EdgeEventKind, call: &CallView) -> EdgeEvent {
        let said = CallChange {
            sid: call.sid.clone(),
            state: call.state,
            outcome: call.outcome,
            route: call.route.clone(),
            from: call.from.clone(),
            to: call.to.clone(),
        };
        let trunk = call.legs.first().map(|leg| leg.trunk.clone());
        EdgeEvent { call: Some(said), trunk, reason: call.reason, ..EdgeEvent::new(what) }
    }
}

/// Returns the target because of which a call ended (the last one with the call's reason, or the application), and its
/// rejection code; for an answered call, the agent that ended it. `None` if the call ended for another cause than a
/// target.
fn failed_target(call: &CallView) -> Option<(String, Option<u16>)> {
    let reason = call.reason?;
    if call.outcome == Some("answered") {
        ReasonSlug::ALL.iter().find(|slug| slug.as_str() == reason && slug.is_agent_failure())?;
        let leg = call.legs.iter().skip(1).rfind(|leg| leg.reason == Some(reason) && !leg.agent.is_empty())?;
        return Some((leg.agent.clone(), None));
    }
    if reason == "app_failed" {
        return call.app.as_ref().map(|app| (format!("app:{app}"), None));
    }
    let Some(leg) = call.legs.iter().skip(1).rfind(|leg| leg.reason == Some(reason)) else {
        // No leg: the agent was skipped.
        let passed_over = call.passed_over.iter().rfind(|one| one.reason == reason)?;
        return Some((passed_over.target.clone(), None));
    };
    let name = [&leg.agent, &leg.trunk].into_iter().find(|name| !name.is_empty()).cloned()?;
    Some((name, leg.sip_code))
}
