//! `POST /v1/calls/{sid}/siprec`: the recording of a live call by recording servers pauses, goes on or ends.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use trunkgate_call::view::{SiprecView, TrunkView};
use trunkgate_call::{CallRecordings, SiprecChange};

use super::ApiError;
use super::asked::{Body, read};
use super::calls::Sid;
use crate::runtime::handle::Handle;
use crate::system::problem::{Harm, Party, Problem};

/// How a body should look.
const SHAPE: &str = r#"{"name":"vault","action":"pause"}, or "resume" or "stop""#;

/// The body of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    name: String,
    action: Action,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Pause,
    Resume,
    Stop,
}

/// 200: the session as it is now.
pub(super) async fn change(
    State(handle): State<Handle>,
    Sid(sid): Sid,
    body: Body,
) -> Result<Json<SiprecView>, ApiError> {
    let Asked { name, action } = read(body, SHAPE)?;
    let change = match action {
        Action::Pause => SiprecChange::Pause,
        Action::Resume => SiprecChange::Resume,
        Action::Stop => SiprecChange::Stop,
    };
    let changed =
        handle.act(move |gateway, now| CallRecordings::of(gateway, &sid).change_siprec(now, &name, change)).await??;
    Ok(Json(changed))
}

/// What is wrong with recording servers: none of a group answers, or one of several does not; `why` those that do not are down.
pub(super) fn problem(trunk: &TrunkView, group: &str, is_required: bool, why: &str) -> Option<Problem> {
    let down: Vec<&str> =
        trunk.peers.iter().filter(|peer| peer.state == "down").map(|peer| peer.uri.as_str()).collect();
    if down.is_empty() {
        return None;
    }
    let none = format!("no recording server of [siprec.{group}] answers");
    let (harm, what) = match (trunk.state == "down", is_required) {
        (false, _) => {
            (Harm::Detour, format!("recording server {} of [siprec.{group}] is down, others record", down.join(", ")))
        }
        (true, true) => (Harm::Calls, format!("{none}: calls that it has to record are rejected")),
        (true, false) => (Harm::Media, format!("{none}: calls are not recorded there")),
    };
    let problem = Problem::new(harm, what).about(format!("recording servers {group}")).shown_by(why.to_owned());
    let fix = format!("check that the server runs, that its address in [siprec.{group}] is right, and the firewall");
    Some(problem.fixed_by(fix).of(Party::Trunk(trunk.name.clone()), "down"))
}
