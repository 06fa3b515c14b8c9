//! What is asked of calls from beside SIP, in no order and at any moment: listeners come and go, callers of agents are
//! sent on, keys pressed. Much of it comes too early or too late, and is refused.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_call::twiml::Secret;
use trunkgate_call::{
    CallAction, CallControl, CallParty, CallRequest, ForkAction, ForkControl, ForkRequest, Listener, Onward, Refused,
    TransferMode,
};
use trunkgate_media::agent::{TrackSet, WarmTransfer, Whisper};
use trunkgate_route::{App, AppDocument, StatusCallback, TargetSpec, WebhookMethod};

use super::actions::Action;
use super::{Happening, World};
use crate::edge::TapedGateway;
use crate::places::APPS;

/// The place of reports of a requested call.
const REPORTS: &str = "https://app.example/status";
/// The place of another one.
const PLACE: &str = "https://app.example/moved";

/// Something that is asked of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    /// Somebody is to listen: to one side or both.
    Fork(TrackSet),
    /// A listener, some route's or one that was asked for, is to go.
    Unfork,
    /// The caller is to go elsewhere, at once or once somebody answers there.
    Transfer(&'static str),
    /// The same once a party there accepts, which hears a whisper.
    WarmTransfer,
    /// The application that has the call is to go on with another document.
    Redirect,
    /// The party that was connected last is to go on in a call of its own, with a document.
    Detach,
    /// Keys are to be pressed.
    Press,
    /// The call of one of its parties is to end.
    EndParty,
}

/// What a requested call connects its party with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    /// An application that the request makes.
    Document,
    /// The application of the configuration.
    App,
    /// Another party.
    Party,
    /// An agent.
    Agent,
}

/// Puts calls that are requested over HTTP into the queue.
pub(crate) fn plan_requests(world: &mut World, within: Duration) {
    // A generator of its own: what else a seed lets happen stays the same.
    let mut rng = ChaCha12Rng::seed_from_u64(world.options.seed ^ 0x0072_6571_7565_7374);
    for call in 0..rng.random_range(0..4) {
        let wanted = [Wanted::Document, Wanted::App, Wanted::Party, Wanted::Agent][rng.random_range(0..4usize)];
        let at = world.start + within.mul_f64(f64::from(rng.random_range(0..900u32)) / 1000.0);
        world.at(at, Happening::Act(Action::Originate { call, wanted, digits: rng.random_bool(0.2) }));
    }
}

fn trunk(name: &str) -> TargetSpec {
    TargetSpec::Trunk { name: name.to_owned(), number: None, weight: None }
}

/// A document for the call of a number, at which another party may be as well: who is heard in a call was called by its number.
fn document(number: &str) -> String {
    format!("<Response><Say>hello</Say><Gather timeout='3'/><Dial>{number}</Dial></Response>")
}

/// Requests a call.
pub(crate) fn originate(world: &mut World, call: u32, wanted: Wanted, digits: bool) {
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
        Wanted::Document => Onward::App(Arc::new(made)),
        Wanted::App => Onward::Target(TargetSpec::App("ivr".to_owned())),
        Wanted::Party => Onward::Target(trunk("b")),
        Wanted::Agent => Onward::Target(TargetSpec::Agent("night".to_owned())),
    };
    let request = CallRequest {
        from: "+14155550100".to_owned(),
        to,
        targets: vec![trunk("a"), trunk("carrier")],
        headers: Vec::new(),
        onward: vec![onward],
        ring_timeout: Duration::from_secs(15),
        time_limit: Duration::from_secs(40),
        digits: digits.then(|| Secret::new("1w2")),
        record: world.recordings.of_requested(),
        participant: None,
        detection: None,
    };
    let begun = world.edge.gateway.change(world.now, request);
    world.summary.requested += u64::from(begun.is_ok());
}

/// Puts what is asked of calls into the queue.
pub(crate) fn plan(world: &mut World, within: Duration) {
    for _ in 0..world.rng.random_range(0..12) {
        let asked = match world.rng.random_range(0..10) {
            0..2 => Asked::Fork(TrackSet::Both),
            2 => Asked::Fork(TrackSet::Inbound),
            3 => Asked::Fork(TrackSet::Outbound),
            4..6 => Asked::Unfork,
            6 => Asked::Redirect,
            7 => Asked::Transfer("trunk:a"),
            8 => Asked::Transfer("agent:night"),
            _ if world.rng.random_bool(0.3) => Asked::EndParty,
            _ => Asked::Press,
        };
        let at = world.start + within.mul_f64(f64::from(world.rng.random_range(0..1000u32)) / 1000.0);
        world.at(at, Happening::Act(Action::Ask(asked)));
    }
}

/// Puts warm transfers into the queue; drawn apart from all else.
pub(crate) fn plan_warm(world: &mut World, within: Duration) {
    let mut rng = ChaCha12Rng::seed_from_u64(world.options.seed ^ 0x7761_726d);
    for _ in 0..rng.random_range(0..5) {
        let at = world.start + within.mul_f64(f64::from(rng.random_range(0..1000u32)) / 1000.0);
        world.at(at, Happening::Act(Action::Ask(Asked::WarmTransfer)));
    }
}

/// Puts documents for connected parties into the queue; drawn apart from all else.
pub(crate) fn plan_detached(world: &mut World, within: Duration) {
    let mut rng = ChaCha12Rng::seed_from_u64(world.options.seed ^ 0x6465_7461_6368);
    for _ in 0..rng.random_range(0..8) {
        let at = world.start + within.mul_f64(f64::from(rng.random_range(0..1000u32)) / 1000.0);
        world.at(at, Happening::Act(Action::Ask(Asked::Detach)));
    }
}

/// Asks it of some call.
pub(crate) fn ask(world: &mut World, asked: Asked) {
    let now = world.now;
    let mut calls = world.edge.gateway.calls(now);
    let heard = |state: &str| matches!(state, "answered" | "held" | "transferring");
    // Now and then one that rings or is over.
    if calls.iter().any(|call| heard(call.state)) && world.rng.random_bool(0.8) {
        calls.retain(|call| heard(call.state));
    }
    let at = world.rng.random_range(0..calls.len().max(1));
    let Some(call) = calls.get(at) else { return };
    // Between two phones digits stand in the audio, which their judges follow frame by frame.
    let may_press = call.legs.iter().filter(|leg| leg.kind == "sip" && leg.state == "answered").count() < 2;
    let (call, number, legs) = (call.sid.clone(), call.to.clone(), call.legs.clone());
    let named = world.rng.random_bool(0.5);
    let gateway = &mut world.edge.gateway;
    let change = |action, gateway: &mut TapedGateway| gateway.change(now, CallControl { sid: call.clone(), action });
    let done = match asked {
        Asked::Fork(tracks) => {
            let listener = match named {
                true => Listener::Agent("scribe".to_owned()),
                false => Listener::Url("wss://listener.example/media".to_owned()),
            };
            let parameters = vec![("case".to_owned(), "7".to_owned())];
            let action = ForkAction::Begin(ForkRequest { listener, tracks, parameters });
            let begun = gateway.change(now, ForkControl { sid: call.clone(), action });
            world.summary.forks += u64::from(begun.is_ok());
            begun.map(drop)
        }
        Asked::Unfork => {
            let forks = gateway.forks(&call).unwrap_or_default();
            let id = forks.last().map_or("CA0", |fork| fork.id.as_str()).to_owned();
            gateway.change(now, ForkControl { sid: call.clone(), action: ForkAction::End { id } }).map(drop)
        }
        Asked::Transfer(target) => {
            let mode = if named { TransferMode::Consult } else { TransferMode::AtOnce };
            change(CallAction::Transfer { party: CallParty::Caller, target: target.to_owned(), mode }, gateway)
        }
        Asked::WarmTransfer => {
            let whisper = named.then(|| Whisper::File("a.wav".to_owned()));
            let warm = WarmTransfer { whisper, detection: named, ..WarmTransfer::default() };
            let mode = TransferMode::Warm(Box::new(warm));
            let target = "trunk:a".to_owned();
            let done = change(CallAction::Transfer { party: CallParty::Caller, target, mode }, gateway);
            world.summary.warm += u64::from(done.is_ok());
            done
        }
        Asked::Redirect => {
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
        Asked::Detach => {
            let connected = legs.iter().rev().find(|leg| leg.is_call_of_party() && leg.state == "answered");
            let text = if named { document(&number) } else { "<Response><Say>hello</Say></Response>".to_owned() };
            let connect = vec![trunk("a"), trunk("b")];
            let app = App { connect, is_made: true, ..App::new("api", AppDocument::Text(text.into())) };
            let party = connected.map(|leg| leg.sid.clone()).unwrap_or_default();
            let done = change(CallAction::RedirectParty { party, request: Arc::new(app).into() }, gateway);
            world.summary.detached += u64::from(done.is_ok());
            done
        }
        Asked::EndParty => {
            let party = legs.get(world.rng.random_range(0..legs.len())).map(|leg| leg.sid.clone()).unwrap_or_default();
            change(CallAction::EndParty { party }, gateway)
        }
        Asked::Press if !may_press => return,
        Asked::Press => {
            change(CallAction::SendDigits { party: CallParty::Caller, digits: Secret::new("12#") }, gateway)
        }
    };
    if matches!(asked, Asked::Transfer(_) | Asked::WarmTransfer | Asked::Redirect | Asked::Detach) && done.is_ok() {
        world.sent_elsewhere.insert(number);
    }
    if done == Err(Refused::Internal) {
        world.fail(format!("{asked:?} of {call}: a fault of the edge's own"));
    }
}
