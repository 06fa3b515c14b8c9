//! API requests about calls, at any time: listeners, transfers, redirections and digits. Many of them are too early
//! or too late, and are rejected.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_call::twiml::SensitiveText;
use trunkgate_call::{
    CallAction, CallControl, CallParty, CallRequest, ConnectTarget, ForkAction, ForkControl, ForkDestination,
    ForkRequest, RequestRefusal, TransferMode,
};
use trunkgate_media::agent::{TrackSet, WarmTransfer, Whisper};
use trunkgate_route::{App, AppDocument, StatusCallback, TargetSpec, WebhookMethod};

use super::actions::WorldAction;
use super::{SimEvent, World};
use crate::edge::TapedGateway;
use crate::places::APPS;

/// URL for status callbacks of a call requested by the API.
const REPORTS: &str = "https://app.example/status";
/// URL of the document to which calls are redirected.
const PLACE: &str = "https://app.example/moved";

/// API request about a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CallRequestKind {
    /// Add a listener to one direction or both.
    Fork(TrackSet),
    /// Remove a listener, which the route or another request added.
    Unfork,
    /// Transfer the caller to this target, at once or after an answer.
    Transfer(&'static str),
    /// Transfer the caller to a callee who first hears a whisper and accepts.
    WarmTransfer,
    /// Continue the call's application with another document.
    Redirect,
    /// Continue the last connected party in a call of its own, with a document.
    Detach,
    /// Send DTMF digits to a party.
    Press,
    /// End the call of a party.
    EndParty,
}

/// Target with which a call requested by the API is connected.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RequestedTarget {
    /// Application with an inline document in the request.
    Document,
    /// Application of the configuration.
    App,
    /// Party at another number.
    Party,
    /// Agent of the configuration.
    Agent,
}

/// Schedules requests for new calls.
pub(crate) fn plan_requests(world: &mut World, within: Duration) {
    // A separate generator keeps the other actions of a seed unchanged.
    let mut rng = ChaCha12Rng::seed_from_u64(world.options.seed ^ 0x0072_6571_7565_7374);
    for call in 0..rng.random_range(0..4) {
        let wanted = [RequestedTarget::Document, RequestedTarget::App, RequestedTarget::Party, RequestedTarget::Agent]
            [rng.random_range(0..4usize)];
        let at = world.start + within.mul_f64(f64::from(rng.random_range(0..900u32)) / 1000.0);
        world.at(at, SimEvent::Act(WorldAction::Originate { call, wanted, digits: rng.random_bool(0.2) }));
    }
}

fn trunk(name: &str) -> TargetSpec {
    TargetSpec::Trunk { name: name.to_owned(), number: None, weight: None }
}

/// Returns a document for a call to a number. It may dial another party at the same number, because voices in a call
/// are matched by number.
fn document(number: &str) -> String {
    format!("<Response><Say>hello</Say><Gather timeout='3'/><Dial>{number}</Dial></Response>")
}

/// Requests a new call.
pub(crate) fn originate(world: &mut World, call: u32, wanted: RequestedTarget, digits: bool) {
    let callback = StatusCallback {
        url: REPORTS.to_owned(),
        method: WebhookMethod::Post,
        initiated: true,
        ringing: true,
        answered: true,
        completed: true,
    };
    let to = format!("{APPS}556{call:04}");
    let made = App {
        connect: vec![trunk("a"), trunk("b")],
        status_callback: Some(callback),
        is_made: true,
        ..App::new("api", AppDocument::Text(document(&to).into()))
    };
    let onward = match wanted {
        RequestedTarget::Document => ConnectTarget::App(Arc::new(made)),
        RequestedTarget::App => ConnectTarget::Target(TargetSpec::App("ivr".to_owned())),
        RequestedTarget::Party => ConnectTarget::Target(trunk("b")),
        RequestedTarget::Agent => ConnectTarget::Target(TargetSpec::Agent("night".to_owned())),
    };
    let request = CallRequest {
        from: "+14155550100".to_owned(),
        to,
        targets: vec![trunk("a"), trunk("carrier")],
        headers: Vec::new(),
        onward: vec![onward],
        ring_timeout: Duration::from_secs(15),
        time_limit: Duration::from_secs(40),
        digits: digits.then(|| SensitiveText::new("1w2")),
        record: world.recordings.of_requested(),
        participant: None,
        detection: None,
    };
    let begun = world.edge.gateway.change(world.now, request);
    world.summary.requested += u64::from(begun.is_ok());
}

/// Schedules requests about existing calls.
pub(crate) fn plan(world: &mut World, within: Duration) {
    for _ in 0..world.rng.random_range(0..12) {
        let asked = match world.rng.random_range(0..10) {
            0..2 => CallRequestKind::Fork(TrackSet::Both),
            2 => CallRequestKind::Fork(TrackSet::Inbound),
            3 => CallRequestKind::Fork(TrackSet::Outbound),
            4..6 => CallRequestKind::Unfork,
            6 => CallRequestKind::Redirect,
            7 => CallRequestKind::Transfer("trunk:a"),
            8 => CallRequestKind::Transfer("agent:night"),
            _ if world.rng.random_bool(0.3) => CallRequestKind::EndParty,
            _ => CallRequestKind::Press,
        };
        let at = world.start + within.mul_f64(f64::from(world.rng.random_range(0..1000u32)) / 1000.0);
        world.at(at, SimEvent::Act(WorldAction::Ask(asked)));
    }
}

/// Schedules warm transfers, drawn from a separate generator.
pub(crate) fn plan_warm(world: &mut World, within: Duration) {
    let mut rng = ChaCha12Rng::seed_from_u64(world.options.seed ^ 0x7761_726d);
    for _ in 0..rng.random_range(0..5) {
        let at = world.start + within.mul_f64(f64::from(rng.random_range(0..1000u32)) / 1000.0);
        world.at(at, SimEvent::Act(WorldAction::Ask(CallRequestKind::WarmTransfer)));
    }
}

/// Schedules requests to continue parties in calls of their own, drawn from a separate generator.
pub(crate) fn plan_detached(world: &mut World, within: Duration) {
    let mut rng = ChaCha12Rng::seed_from_u64(world.options.seed ^ 0x6465_7461_6368);
    for _ in 0..rng.random_range(0..8) {
        let at = world.start + within.mul_f64(f64::from(rng.random_range(0..1000u32)) / 1000.0);
        world.at(at, SimEvent::Act(WorldAction::Ask(CallRequestKind::Detach)));
    }
}

/// Makes a request about a random call.
pub(crate) fn ask(world: &mut World, asked: CallRequestKind) {
    let now = world.now;
    let mut calls = world.edge.gateway.calls(now);
    let heard = |state: &str| matches!(state, "answered" | "held" | "transferring");
    // Usually an answered call is chosen, sometimes a ringing or ended one.
    if calls.iter().any(|call| heard(call.state)) && world.rng.random_bool(0.8) {
        calls.retain(|call| heard(call.state));
    }
    let at = world.rng.random_range(0..calls.len().max(1));
    let Some(call) = calls.get(at) else { return };
    // Between two phones, digits would be part of the audio, which the phones check frame by frame.
    let may_press = call.legs.iter().filter(|leg| leg.kind == "sip" && leg.state == "answered").count() < 2;
    let (call, number, legs) = (call.sid.clone(), call.to.clone(), call.legs.clone());
    let named = world.rng.random_bool(0.5);
    let gateway = &mut world.edge.gateway;
    let change = |action, gateway: &mut TapedGateway| gateway.change(now, CallControl { sid: call.clone(), action });
    let done = match asked {
        CallRequestKind::Fork(tracks) => {
            let listener = match named {
                true => ForkDestination::Agent("scribe".to_owned()),
                false => ForkDestination::Url("wss://listener.example/media".to_owned()),
            };
            let parameters = vec![("case".to_owned(), "7".to_owned())];
            let action = ForkAction::Begin(ForkRequest { listener, tracks, parameters });
            let begun = gateway.change(now, ForkControl { sid: call.clone(), action });
            world.summary.forks += u64::from(begun.is_ok());
            begun.map(drop)
        }
        CallRequestKind::Unfork => {
            let forks = gateway.forks(&call).unwrap_or_default();
            let id = forks.last().map_or("CA0", |fork| fork.id.as_str()).to_owned();
            gateway.change(now, ForkControl { sid: call.clone(), action: ForkAction::End { id } }).map(drop)
        }
        CallRequestKind::Transfer(target) => {
            let mode = if named { TransferMode::Consult } else { TransferMode::AtOnce };
            change(CallAction::Transfer { party: CallParty::Caller, target: target.to_owned(), mode }, gateway)
        }
        CallRequestKind::WarmTransfer => {
            let whisper = named.then(|| Whisper::File("a.wav".to_owned()));
            let warm = WarmTransfer { whisper, detection: named, ..WarmTransfer::default() };
            let mode = TransferMode::Warm(Box::new(warm));
            let target = "trunk:a".to_owned();
            let done = change(CallAction::Transfer { party: CallParty::Caller, target, mode }, gateway);
            world.summary.warm += u64::from(done.is_ok());
            done
        }
        CallRequestKind::Redirect => {
            let document = match named {
                true => AppDocument::Text(document(&number).into()),
                false => AppDocument::Url { url: PLACE.to_owned(), method: WebhookMethod::Post },
            };
            let connect = vec![trunk("a"), trunk("b")];
            let app = App { connect, is_made: true, ..App::new("api", document) };
            let done = change(CallAction::Redirect(Arc::new(app)), gateway);
            world.summary.redirects += u64::from(done.is_ok());
            done
        }
        CallRequestKind::Detach => {
            let connected = legs.iter().rev().find(|leg| leg.is_call_of_party() && leg.state == "answered");
            let text = if named { document(&number) } else { "<Response><Say>hello</Say></Response>".to_owned() };
            let connect = vec![trunk("a"), trunk("b")];
            let app = App { connect, is_made: true, ..App::new("api", AppDocument::Text(text.into())) };
            let party = connected.map(|leg| leg.sid.clone()).unwrap_or_default();
            let done = change(CallAction::RedirectParty { party, request: Arc::new(app).into() }, gateway);
            world.summary.detached += u64::from(done.is_ok());
            done
        }
        CallRequestKind::EndParty => {
            let party = legs.get(world.rng.random_range(0..legs.len())).map(|leg| leg.sid.clone()).unwrap_or_default();
            change(CallAction::EndParty { party }, gateway)
        }
        CallRequestKind::Press if !may_press => return,
        CallRequestKind::Press => {
            change(CallAction::SendDigits { party: CallParty::Caller, digits: SensitiveText::new("12#") }, gateway)
        }
    };
    if matches!(
        asked,
        CallRequestKind::Transfer(_)
            | CallRequestKind::WarmTransfer
            | CallRequestKind::Redirect
            | CallRequestKind::Detach
    ) && done.is_ok()
    {
        world.sent_elsewhere.insert(number);
    }
    if done == Err(RequestRefusal::Internal) {
        world.fail(format!("{asked:?} of {call}: a fault of the edge's own"));
    }
}
