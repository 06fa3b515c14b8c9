//! `/v1/agents`: configured agents, the state of their connections, and their sessions.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use trunkgate_call::view::AgentView;
use trunkgate_route::url_place;

use super::ApiError;
use super::parties::{Activity, PartyActivities};
use trunkgate_runtime::handle::EdgeHandle;

/// Agent in the API: its state and its limits.
#[derive(Debug, Serialize)]
pub struct AgentReport {
    /// State of the agent in the gateway.
    #[serde(flatten)]
    pub agent: AgentView,
    /// URL without the query, which may be secret.
    pub url: String,
    /// Limit of concurrent callers; 0: none.
    pub max_sessions: u32,
    /// Limit of waiting callers.
    pub queue_size: u32,
}

/// Agent in `/v1/agents`: its state, and its calls of the last hour.
#[derive(Debug, Serialize)]
pub(super) struct ActiveAgent {
    #[serde(flatten)]
    report: AgentReport,
    /// Calls of the last hour; in `/v1/agents` only.
    hour: Activity,
}

/// Response of `/v1/agents`: `{"agents":[…],"since":"…"}`.
#[derive(Debug, Serialize)]
pub(super) struct AgentsResponse {
    agents: Vec<ActiveAgent>,
    /// Start of the period counted in `hour`.
    since: String,
}

impl AgentReport {
    /// Returns a report on each agent of the configuration in force, in the order of the file.
    pub(super) fn all(handle: &EdgeHandle, seen: Vec<AgentView>) -> Vec<AgentReport> {
        let table = handle.table();
        let report = |seen: AgentView| {
            let agent = table.agent(&seen.name);
            AgentReport {
                url: agent.map_or_else(String::new, |agent| url_place(&agent.url).to_owned()),
                max_sessions: agent.map_or(0, |agent| agent.max_sessions),
                queue_size: agent.and_then(|agent| agent.queue).map_or(0, |queue| queue.size),
                agent: seen,
            }
        };
        seen.into_iter().map(report).collect()
    }
}

pub(super) async fn list(State(handle): State<EdgeHandle>) -> Result<Json<AgentsResponse>, ApiError> {
    let mut parties = PartyActivities::of(&handle).await?;
    let reports = AgentReport::all(&handle, handle.status().await?.agents).into_iter();
    let agents = reports.map(|report| ActiveAgent { hour: parties.take(&report.agent.name), report }).collect();
    Ok(Json(AgentsResponse { agents, since: parties.since }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_not_shown() {
        assert_eq!(url_place("wss://a.example/media?token=secret"), "wss://a.example/media");
        assert_eq!(url_place("wss://a.example/media"), "wss://a.example/media");
    }
}
