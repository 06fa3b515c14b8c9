//! `POST /v1/calls/{sid}/siprec`: pauses, resumes or stops the recording of a live call by recording servers.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use trunkgate_call::limits::SIPREC_TRIAL_SECONDS;
use trunkgate_call::view::{FailedRecordings, SiprecView, TrunkView};
use trunkgate_call::{SiprecChange, SiprecControl};

use super::ApiError;
use super::asked::{RequestBody, read};
use super::calls::Sid;
use super::trunk_problems::tally;
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::problem::Problem;
use trunkgate_system::problem::kind::{ProblemKind, TrunkProblem};

/// Expected form of the body, which errors quote.
const SHAPE: &str = r#"{"name":"vault","action":"pause"}, or "resume" or "stop""#;

/// Body of a request that changes a recording session.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiprecBody {
    name: String,
    action: SiprecOperation,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SiprecOperation {
    Pause,
    Resume,
    Stop,
}

/// Pauses, resumes or stops a recording session, and returns its new state.
pub(super) async fn change(
    State(handle): State<EdgeHandle>,
    Sid(sid): Sid,
    body: RequestBody,
) -> Result<Json<SiprecView>, ApiError> {
    let SiprecBody { name, action } = read(body, SHAPE)?;
    let change = match action {
        SiprecOperation::Pause => SiprecChange::Pause,
        SiprecOperation::Resume => SiprecChange::Resume,
        SiprecOperation::Stop => SiprecChange::Stop,
    };
    Ok(Json(handle.change(SiprecControl { sid, name, change }).await??))
}

/// Returns the problems of a group of recording servers: all or some do not respond, or they reject recordings. `why`
/// is the cause for those that do not respond.
pub(super) fn problem(trunk: &TrunkView, group: &str, is_required: bool, why: &str) -> Vec<Problem> {
    let refused = trunk.unrecorded.as_ref().filter(|failed| failed.still && trunk.state != "down");
    let refused = refused.map(|failed| refused_now(&trunk.name, group, is_required, failed));
    refused.into_iter().chain(down(trunk, group, is_required, why)).collect()
}

/// Returns the problem of recording servers that respond but reject recordings.
fn refused_now(name: &str, group: &str, is_required: bool, failures: &FailedRecordings) -> Problem {
    let FailedRecordings { failed, of, recent, good_since, refusing, cause, last_sid, .. } = failures;
    let what = TrunkProblem::NotRecorded {
        group: group.to_owned(),
        tally: tally((*failed, *of), *recent, *good_since),
        is_required,
        trial_seconds: refusing.then_some(SIPREC_TRIAL_SECONDS),
    };
    let problem = Problem::of(ProblemKind::Trunk { trunk: name.to_owned(), what });
    let problem = problem.shown_by(cause).fixed_by(fix_of_refusal(cause, group)).traced_in(last_sid);
    if is_required { problem.harming(recent.calls, *failed) } else { problem }
}

/// Returns the fix for the code with which a recording server rejects recordings.
fn fix_of_refusal(cause: &str, group: &str) -> String {
    let section = format!("[siprec.{group}]");
    let said = cause.split_once(": ").map_or(cause, |(_, said)| said);
    let code: Option<u16> = said.get(..3).and_then(|code| code.parse().ok());
    match code {
        Some(488 | 415 | 606) => format!("agree `codecs` and `srtp` of {section} with the recording server's settings"),
        Some(401 | 403 | 407) => {
            format!("allow the edge's address and user in the recording server; check `auth` of {section}")
        }
        Some(404 | 604) => format!("correct the user part of `peers` of {section}"),
        Some(420) => "enable SIPREC (RFC 7866) in the recording server".to_owned(),
        Some(301 | 302 | 305 | 380) => {
            format!("write the address that the server redirects to into `peers` of {section}")
        }
        Some(_) => {
            "look into the recording server's log: its licence, its load and its disk are usual causes".to_owned()
        }
        None if said.contains("stream") || said.contains("description") || said.contains("offer") => {
            format!("let the recording server accept two audio streams of one of `codecs` of {section}")
        }
        None => {
            format!("check that the server runs, that its address in {section} is right, and the firewall")
        }
    }
}

/// Returns the problem of recording servers that do not respond; `None` if all respond.
fn down(trunk: &TrunkView, group: &str, is_required: bool, why: &str) -> Option<Problem> {
    let down = trunk.peers.iter().filter(|peer| peer.state == "down");
    let down: Vec<String> = down.map(|peer| peer.uri.clone()).collect();
    if down.is_empty() {
        return None;
    }
    let servers = if trunk.state == "down" { Vec::new() } else { down };
    let what = TrunkProblem::RecordersDown { group: group.to_owned(), servers, is_required };
    Some(Problem::of(ProblemKind::Trunk { trunk: trunk.name.clone(), what }).shown_by(why))
}
