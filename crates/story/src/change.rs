//! Changes as they are shown to those who watch the edge (`GET /v1/events`).

use serde::Serialize;

use crate::reason::ReasonSlug;
use crate::report::CallRecord;
use crate::view::CallView;

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    /// A call has come and is not refused at once.
    CallTrying,
    /// Its caller hears ringing, or the far end's early media.
    CallRinging,
    /// Its caller has its answer.
    CallAnswered,
    /// A target has failed it, and the next one is tried.
    CallFailedOver,
    /// A live transcription of it has a result.
    CallTranscribed,
    /// It is over.
    CallEnded,
    /// A side of an answered call sends no media.
    MediaOneWay,
    /// This machine does not let packets of a call out to a side.
    MediaUnsent,
    /// A side of an answered call sends another codec than was agreed on.
    MediaMismatch,
    /// Much of the audio of a side is lost.
    MediaLoss,
    /// A trunk can be reached.
    TrunkUp,
    /// None of a trunk's peers can be.
    TrunkDown,
    /// An agent could not be connected, or was lost.
    AgentFailed,
    /// The configuration was read anew.
    ConfigReloaded,
    /// It was not, for its errors.
    ConfigRefused,
    /// New calls are refused, or taken again.
    Drain,
}

impl Happening {
    /// Every one, for documents and tests.
    pub const ALL: [Happening; 16] = [
        Happening::CallTrying,
        Happening::CallRinging,
        Happening::CallAnswered,
        Happening::CallFailedOver,
        Happening::CallTranscribed,
        Happening::CallEnded,
        Happening::MediaOneWay,
        Happening::MediaUnsent,
        Happening::MediaMismatch,
        Happening::MediaLoss,
        Happening::TrunkUp,
        Happening::TrunkDown,
        Happening::AgentFailed,
        Happening::ConfigReloaded,
        Happening::ConfigRefused,
        Happening::Drain,
    ];

    /// The event's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Happening::CallTrying => "call.trying",
            Happening::CallRinging => "call.ringing",
            Happening::CallAnswered => "call.answered",
            Happening::CallFailedOver => "call.failed_over",
            Happening::CallTranscribed => "call.transcribed",
            Happening::CallEnded => "call.ended",
            Happening::MediaOneWay => "media.one_way",
            Happening::MediaUnsent => "media.unsent",
            Happening::MediaMismatch => "media.codec_mismatch",
            Happening::MediaLoss => "media.loss",
            Happening::TrunkUp => "trunk.up",
            Happening::TrunkDown => "trunk.down",
            Happening::AgentFailed => "agent.failed",
            Happening::ConfigReloaded => "config.reloaded",
            Happening::ConfigRefused => "config.refused",
            Happening::Drain => "drain",
        }
    }
}

/// A change; what does not concern it is absent.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// What has changed: the event's name, not a part of its data.
    #[serde(skip)]
    pub what: Happening,
    /// The call.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallChange>,
    /// The trunk: of a call its caller's; of a side without media, or a target that failed, that one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// The trunk of the other side, where the same is wrong with both.
    #[serde(skip)]
    pub also: Option<String>,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Whether it has lost a call that it was connected with.
    #[serde(skip)]
    pub was_open: bool,
    /// The trunk, agent or application that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The SIP code with which that target rejected the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Why, a slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The rest in words, as in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The track that the text of a live transcription is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<&'static str>,
    /// Whether that text is a final result.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub is_final: Option<bool>,
    /// Mean score of an ended call, where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mos: Option<f64>,
}

/// What may set a call apart: what `flags` of a call holds.
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

/// What is said of a call; the names are those of `/v1/calls`.
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

impl Change {
    /// Of nothing in particular yet.
    pub const fn new(what: Happening) -> Change {
        Change {
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

    /// Of a call that has come.
    pub fn began(call: &CallView) -> Change {
        Change::of_view(Happening::CallTrying, call)
    }

    /// Of one that is over.
    pub fn ended(record: &CallRecord) -> Change {
        let (text, fix) = (record.proof.clone(), record.fix.clone());
        let (target, code) = failed_target(&record.call).unzip();
        Change {
            mos: record.mos_avg,
            text,
            fix,
            target,
            code: code.flatten(),
            ..Change::of_view(Happening::CallEnded, &record.call)
        }
    }

    fn of_view(what: Happening, call: &CallView) -> Change {
        let said = CallChange {
            sid: call.sid.clone(),
            state: call.state,
            outcome: call.outcome,
            route: call.route.clone(),
            from: call.from.clone(),
            to: call.to.clone(),
        };
        let trunk = call.legs.first().map(|leg| leg.trunk.clone());
        Change { call: Some(said), trunk, reason: call.reason, ..Change::new(what) }
    }
}

/// The target by which a call ended, the last one with the call's reason or its application, and the code of its rejection; of an answered call
/// the agent that it ended by.
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
        // Without a leg: an agent that was skipped.
        let passed_over = call.passed_over.iter().rfind(|one| one.reason == reason)?;
        return Some((passed_over.target.clone(), None));
    };
    let name = [&leg.agent, &leg.trunk].into_iter().find(|name| !name.is_empty()).cloned()?;
    Some((name, leg.sip_code))
}
