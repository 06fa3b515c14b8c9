//! Calls that begin with a request.

use std::time::Instant;

use trunkgate_resources::conferences::ConferenceReport;
use trunkgate_resources::io::GatewayOutput;
use trunkgate_resources::lookups::key::CallKey;

use crate::call::parts::judged::{self, AdmittedTargets, NotBegun};
use crate::call::parts::requested::{self, CallRequest, requested_call};
use crate::call::words::state::CallState;
use crate::gateway::Gateway;
use crate::gateway::conferences;
use crate::gateway::control::GatewayControl;

/// A call that a request has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunCall {
    /// The SID of the call.
    pub sid: String,
    /// SID of the conference for which the party is called.
    pub conference: Option<String>,
}

/// Begins a call without a caller. A conference given by name is the active one with the name, if there is one.
impl GatewayControl for CallRequest {
    type Answer = Result<BegunCall, NotBegun>;

    fn apply(mut self, gateway: &mut Gateway, now: Instant) -> Result<BegunCall, NotBegun> {
        if let Some(added) = &mut self.participant
            && let Some(report) = conferences(gateway).report_live(&added.conference)
        {
            added.conference = report.sid;
        }
        conferences::judge(gateway, &self).map_err(NotBegun::NotJoined)?;
        let AdmittedTargets { targets, onward } = judged::admit(now, &mut gateway.edge, &self)?;
        gateway.edge.admission_mut().begin(now, "");
        let key = CallKey(gateway.next_call);
        gateway.next_call += 1;
        let call = requested_call(now, &mut gateway.edge, key, &self, onward);
        let sid = call.shared.legs.sid().to_owned();
        gateway.calls.insert(key, Box::new(call));
        gateway.act_on(now, key, |parts, cx| {
            requested::begin(parts, cx, targets);
            cx.note_legs();
            if cx.call.state != CallState::Ended {
                cx.edge.output(GatewayOutput::Began(Box::new(parts.recorders.view(cx.call))));
            }
        });
        let conference = self.participant.and_then(|added| sid_of_conference(gateway, &added.conference));
        gateway.settle(now);
        Ok(BegunCall { sid, conference })
    }
}

/// Returns the SID of a conference by its SID or name: the active one, or the newest ended one, since a call that has
/// failed at once may have ended the conference. `None` if neither exists.
fn sid_of_conference(gateway: &Gateway, named: &str) -> Option<String> {
    let all = conferences(gateway);
    let is_named = |report: &ConferenceReport| report.sid == named || report.name == named;
    all.report_live(named).or_else(|| all.reports().into_iter().find(is_named)).map(|report| report.sid)
}
