//! Admission of requested calls: limits of the edge, emergency calls, and the rules of the outgoing trunks.

use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::admission::emergencies::NO_EMERGENCY_CALLS;
use trunkgate_resources::admission::limited::CallLimit;
use trunkgate_resources::conferences::NotJoined;
use trunkgate_resources::edge::Edge;
use trunkgate_route::{
    CallTarget, CallerIdDecision, Number, RoutingTable, ScreeningRejection, SendNumbers, TargetSpec, Trunk,
};
use trunkgate_story::reason::ReasonSlug;

use crate::call::parts::requested::{CallRequest, ConnectTarget};
use crate::call::shared::cx::reason_of;
use crate::call::words::uri::trunk_of_uri;

/// Reason why a requested call does not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotBegun {
    /// A limit of the edge is reached, or the edge accepts no calls.
    Refused(ReasonSlug),
    /// The limit of requested emergency calls is reached, in number or per minute; with the configuration key of that
    /// limit.
    EmergencyLimit(String),
    /// No target of the request exists in the configuration.
    NoTarget,
    /// The rules of each target forbid the called number; with the reason of the first target as a clause.
    Denied(String),
    /// The rules of each target forbid the call, and those of the first target the calling number; with the reason as a
    /// clause.
    CallerDenied(String),
    /// The conference does not accept the party.
    NotJoined(NotJoined),
}

/// Targets of a requested call that may begin.
pub(crate) struct AdmittedTargets {
    /// Targets that reach the called party.
    pub(crate) targets: Vec<CallTarget>,
    /// Targets with which the party is connected once it has answered.
    pub(crate) onward: Vec<CallTarget>,
}

/// Checks whether a requested call may begin.
///
/// # Errors
/// [`NotBegun`]: the edge accepts no calls, a limit is reached, the rules of each target forbid the call, or none of
/// its targets exists.
pub(crate) fn admit(now: Instant, edge: &mut Edge, request: &CallRequest) -> Result<AdmittedTargets, NotBegun> {
    let called = edge.numbers().normalise_caller(&request.to, None);
    // A target may have a number of its own.
    let is_called = |target: &TargetSpec| matches!(target, TargetSpec::Trunk { number: None, .. });
    let is_emergency = edge.numbers().is_emergency(&called) && request.targets.iter().all(is_called);
    let admitted = match is_emergency {
        true => edge.admission().check_emergency(),
        false => edge.admission_mut().check(now, ""),
    };
    admitted.map_err(|reason| NotBegun::Refused(edge.note_limit(now, reason)))?;
    let mut targets: Vec<CallTarget> = request.targets.iter().filter_map(|target| edge.target(target)).collect();
    for target in &mut targets {
        if let CallTarget::Uri { headers, .. } = target {
            headers.clone_from(&request.headers);
        }
    }
    if targets.iter().any(|target| reaches_emergency(target, edge.table(), &called)) {
        check_emergency(now, edge, &request.targets)?;
    }
    let caller = edge.numbers().normalise_caller(&request.from, None);
    let refusals = refusals(&targets, edge.table(), Some(&caller), &called);
    refusals.iter().for_each(|refusal| refusal.alarm(now, edge));
    if let Some(first) = refusals.first() {
        return Err(first.into());
    }
    let onward = request.onward.iter().filter_map(|onward| match onward {
        ConnectTarget::Target(target) => edge.target(target),
        ConnectTarget::App(app) => Some(CallTarget::App(app.clone())),
    });
    let onward: Vec<CallTarget> = onward.collect();
    if targets.is_empty() || onward.is_empty() {
        return Err(NotBegun::NoTarget);
    }
    Ok(AdmittedTargets { targets, onward })
}

/// Checks whether requests may begin another emergency call; if not, raises the alarm of the first trunk.
///
/// # Errors
/// The limit is reached, or it is zero.
fn check_emergency(now: Instant, edge: &mut Edge, targets: &[TargetSpec]) -> Result<(), NotBegun> {
    let Err((reason, key)) = edge.admission_mut().emergencies.check(now) else { return Ok(()) };
    let named =
        targets.iter().find_map(|target| if let TargetSpec::Trunk { name, .. } = target { Some(name) } else { None });
    if let Some(trunk) = named.and_then(|name| edge.table().trunk(name).cloned()) {
        if let Some(limit) = CallLimit::from_reason(Some(&trunk.name), true, reason) {
            edge.admission_mut().limited.count_refusal(now, limit, &key, None);
        }
        edge.alarm(now, "", &trunk.name, reason, &key);
    }
    Err(match edge.admission().emergencies.most() == 0 {
        true => NotBegun::Denied(NO_EMERGENCY_CALLS.to_owned()),
        false => NotBegun::EmergencyLimit(key),
    })
}

/// Refusal of a call by the rules of a trunk.
struct TrunkRefusal {
    trunk: Arc<Trunk>,
    /// Rule that forbids the called number; `None`: the trunk forbids the calling number.
    denied: Option<ScreeningRejection>,
}

impl TrunkRefusal {
    /// Raises the trunk's alarm for a forbidden number.
    fn alarm(&self, now: Instant, edge: &mut Edge) {
        let Some(denied) = &self.denied else { return };
        let reason = reason_of(&denied.by);
        if let Some(rule) = CallLimit::from_reason(Some(&self.trunk.name), true, reason) {
            edge.admission_mut().limited.count_refusal(now, rule, &denied.by.setting(), None);
        }
        let shown = format!("{}, {}", edge.shown(&denied.number), denied.by);
        edge.alarm(now, "", &self.trunk.name, reason, &shown);
    }
}

impl From<&TrunkRefusal> for NotBegun {
    fn from(TrunkRefusal { trunk, denied }: &TrunkRefusal) -> NotBegun {
        let name = &trunk.name;
        match denied {
            Some(ScreeningRejection { by, .. }) => {
                NotBegun::Denied(format!("trunk {name} does not allow calls to this number ({by})"))
            }
            None => NotBegun::CallerDenied(format!("trunk {name} does not allow this caller ID (caller_id)")),
        }
    }
}

/// Returns whether the remote party of a target may read an emergency number out of the called number. Requested calls
/// for which that holds are always limited, regardless of other limits.
pub fn reaches_emergency(target: &CallTarget, table: &RoutingTable, called: &Number) -> bool {
    let dialled = dialled(target, table, called);
    dialled.is_some_and(|dialled| dialled.trunk.may_reach_emergency(table.numbers(), &dialled.number))
}

/// Number by which a target is called, and its trunk.
struct TargetNumber {
    trunk: Arc<Trunk>,
    number: Number,
    form: SendNumbers,
}

/// Returns the number by which a target is called; `None`: the target has no trunk or no number.
fn dialled(target: &CallTarget, table: &RoutingTable, called: &Number) -> Option<TargetNumber> {
    match target {
        CallTarget::Trunk { trunk, number, .. } => {
            let own = number.as_deref().map(|number| table.numbers().normalise_caller(number, None));
            let number = own.unwrap_or_else(|| called.clone());
            Some(TargetNumber { trunk: trunk.clone(), number, form: trunk.send_numbers })
        }
        CallTarget::Uri { uri, .. } => {
            let (trunk, number) = trunk_of_uri(uri, table);
            // A URI is sent as it is written.
            Some(TargetNumber { trunk: trunk?.clone(), number: number?, form: SendNumbers::AsIs })
        }
        CallTarget::Agent(_) | CallTarget::App(_) | CallTarget::Reject(_) | CallTarget::RingAll(_) => None,
    }
}

/// Checks a call against the rules of its targets, before any of them is called; without a caller only the rules for
/// called numbers apply.
///
/// # Errors
/// The rules of each target's trunk forbid the call; the reason is that of the first.
pub fn judge_targets(
    targets: &[CallTarget],
    table: &RoutingTable,
    caller: Option<&Number>,
    called: &Number,
) -> Result<(), NotBegun> {
    refusals(targets, table, caller, called).first().map_or(Ok(()), |first| Err(first.into()))
}

/// Returns the refusals of all targets; empty if any of them may be called.
fn refusals(
    targets: &[CallTarget],
    table: &RoutingTable,
    caller: Option<&Number>,
    called: &Number,
) -> Vec<TrunkRefusal> {
    let all: Option<Vec<TrunkRefusal>> = targets.iter().map(|target| refusal(target, table, caller, called)).collect();
    all.unwrap_or_default()
}

/// Returns the refusal of a call by a target's trunk; `None`: the call is allowed, or the target has no trunk.
fn refusal(
    target: &CallTarget,
    table: &RoutingTable,
    caller: Option<&Number>,
    called: &Number,
) -> Option<TrunkRefusal> {
    let numbers = table.numbers();
    let TargetNumber { trunk, number, form } = dialled(target, table, called)?;
    let denied = trunk.denied_as(numbers, &number, form);
    let rule = trunk.caller_id.as_ref().filter(|_| !numbers.is_emergency(&number));
    let is_hidden = || rule.zip(caller).is_some_and(|(rule, caller)| rule.judge(caller) == CallerIdDecision::Refused);
    (denied.is_some() || is_hidden()).then(|| TrunkRefusal { trunk: trunk.clone(), denied })
}
