//! Changes of one call. [`OperatorCommand::Hangup`](crate::OperatorCommand) ends a whole call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_resources::lookups::key::CallKey;
use trunkgate_route::App;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::trace::TraceItem;
use trunkgate_twiml::SensitiveText;

use crate::call::parts::detached::DetachRequest;
use crate::call::parts::effects::{self, take_party_out};
use crate::call::parts::operator::{self, RemoteParties, TransferRequest};
use crate::call::parts::requested;
use crate::call::transfer::warm::TransferMode;
use crate::call::words::party::CallParty;
use crate::call::words::refused::RequestRefusal;
use crate::gateway::Gateway;
use crate::gateway::control::GatewayControl;

/// A change of one call. If it is refused, the call stays unchanged.
#[derive(Debug, Clone)]
pub struct CallControl {
    /// SID of the call.
    pub sid: String,
    /// Change to make.
    pub action: CallAction,
}

/// Kinds of changes of a call.
#[derive(Debug, Clone)]
pub enum CallAction {
    /// Transfers the caller of an agent to another target. In a call between two parties, one of them is connected with
    /// the target, and the other leaves.
    Transfer {
        /// The party that is connected with the target.
        party: CallParty,
        /// Target, in the syntax of a route.
        target: String,
        /// Condition for the end of the transferor's leg.
        mode: TransferMode,
    },
    /// Sends digits to a party.
    SendDigits {
        /// Party that receives the digits.
        party: CallParty,
        /// Digits, which may be a secret of the caller.
        digits: SensitiveText,
    },
    /// Puts parties on hold.
    Hold(Vec<CallParty>),
    /// Takes parties off hold that a request has put on hold.
    Resume(Vec<CallParty>),
    /// Plays a sound to parties.
    Play {
        /// Parties that hear the sound.
        parties: Vec<CallParty>,
        /// Name of the sound.
        name: String,
        /// Samples, μ-law at 8 kHz.
        samples: Arc<[u8]>,
    },
    /// Continues the call with the document of an application.
    Redirect(Arc<App>),
    /// Continues the leg of a dialled party with a document, as a call of its own with the leg's SID; the Dial ends as
    /// if the party had hung up.
    RedirectParty {
        /// SID of the party's leg.
        party: String,
        /// Document and rules of the new call.
        request: DetachRequest,
    },
    /// Ends the leg of one party.
    EndParty {
        /// SID of the party's leg.
        party: String,
    },
    /// Sends the call's reports to another receiver: the status callback of this application.
    ReplaceCallback(Arc<App>),
    /// Ends the call this long after its answer.
    LimitTime(Duration),
    /// Adds an event of the shell to the trace, even after the end of the call.
    Note(TraceItem),
    /// Adds an HTTP request about the call to the trace, even after the end of the call.
    NoteRequest(String),
}

impl GatewayControl for CallControl {
    type Answer = Result<(), RequestRefusal>;

    fn apply(self, gateway: &mut Gateway, now: Instant) -> Result<(), RequestRefusal> {
        let sid = &*self.sid;
        match self.action {
            CallAction::Transfer { party, target, mode } => {
                let target = &*target;
                gateway.ask(now, sid, |parts, cx| TransferRequest { party, target, mode }.begin(cx, parts))
            }
            CallAction::SendDigits { party, digits } => {
                gateway.ask(now, sid, |parts, cx| operator::press(parts, cx, party, digits.reveal()))
            }
            CallAction::Hold(parties) => {
                gateway.ask(now, sid, |parts, cx| RemoteParties::of(cx, parts)?.hold(cx, &mut parts.bridge, &parties))
            }
            CallAction::Resume(parties) => {
                gateway.ask(now, sid, |parts, cx| RemoteParties::of(cx, parts)?.resume(cx, &mut parts.bridge, &parties))
            }
            CallAction::Play { parties, name, samples } => gateway.ask(now, sid, |parts, cx| {
                let remote = RemoteParties::of(cx, parts)?;
                remote.play(cx, &mut parts.bridge, &parties, (&name, &samples), "as requested")
            }),
            CallAction::Redirect(app) => gateway.ask_live(now, sid, |parts, cx| effects::take_over(parts, cx, app)),
            CallAction::RedirectParty { party, request } => {
                let key = gateway.edge.index().sids.get(sid).copied().ok_or_else(|| gateway.missing(sid))?;
                let taken = gateway.act_on(now, key, |parts, cx| take_party_out(parts, cx, &party));
                let own = CallKey(gateway.next_call);
                let call = taken.ok_or(RequestRefusal::UnknownCall)??.into_call(now, &mut gateway.edge, own, request);
                gateway.next_call += 1;
                gateway.calls.insert(own, Box::new(call));
                gateway.act_on(now, key, |parts, cx| parts.side_left(cx, ReasonSlug::Transferred));
                gateway.act_on(now, own, |parts, cx| parts.search_on(cx));
                gateway.settle(now);
                Ok(())
            }
            CallAction::EndParty { party } => {
                gateway.ask_live(now, sid, |parts, cx| operator::end_party(parts, cx, &party))
            }
            CallAction::ReplaceCallback(app) => gateway.ask_live(now, sid, |parts, cx| {
                parts.program.reports.replace(cx, &app);
                Ok(())
            }),
            CallAction::LimitTime(limit) => {
                gateway.ask_live(now, sid, |parts, cx| requested::limit(parts.requested.as_deref_mut(), cx, limit))
            }
            CallAction::Note(item) => {
                let key = gateway.live(sid).map(|call| call.shared.key);
                match key.filter(|key| gateway.edge.tracing().traces.contains_key(key)) {
                    Some(key) => gateway.edge.trace(now, key, item),
                    None => gateway.edge.recent_mut().note(now, sid, &item),
                }
                Ok(())
            }
            CallAction::NoteRequest(text) => {
                let key = gateway.live(sid).map(|call| call.shared.key);
                match key.and_then(|key| gateway.edge.tracing_mut().traces.get_mut(&key)) {
                    Some(trace) => trace.push_request(now, text),
                    None => gateway.edge.recent_mut().note_request(now, sid, text),
                }
                Ok(())
            }
        }
    }
}
