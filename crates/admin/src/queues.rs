//! `/v1/queues`: queues of calls, with the callers that wait in them.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use trunkgate_call::{QueueReport, queues, rfc3339};

use super::ApiError;
use trunkgate_runtime::handle::Handle;
use trunkgate_system::limits::QUEUE_CALLS_SHOWN;

/// A queue with the first of its calls: numbers of the caller and of the called one.
type Known = (QueueReport, Vec<(String, String)>);

/// Lists queues, those whose callers wait longest first.
pub(super) async fn list(State(handle): State<Handle>) -> Result<Json<Value>, ApiError> {
    let all = handle.ask(|gateway, now| {
        let with_calls = |report: QueueReport| {
            let numbers = |sid: &str| gateway.call(now, sid).map(|call| (call.from, call.to)).unwrap_or_default();
            let shown = report.members.iter().take(QUEUE_CALLS_SHOWN);
            let calls = shown.map(|member| numbers(&member.call_sid)).collect();
            (report, calls)
        };
        let mut all = queues(gateway).reports(now);
        all.sort_by_key(|report| std::cmp::Reverse(report.longest));
        all.into_iter().map(with_calls).collect::<Vec<Known>>()
    });
    let all = all.await?;
    Ok(Json(json!({ "queues": all.iter().map(shown).collect::<Vec<_>>() })))
}

fn shown((report, calls): &Known) -> Value {
    let call = |(member, numbers): (&trunkgate_call::QueuedCall, &(String, String))| {
        json!({
            "call": member.call_sid,
            "from": numbers.0,
            "to": numbers.1,
            "position": member.position,
            "waited_seconds": member.waited.as_secs(),
            "enqueued_at": rfc3339(member.date),
        })
    };
    json!({
        "sid": report.kept.sid,
        "name": report.kept.name,
        "size": report.members.len(),
        "max_size": report.kept.most,
        "average_wait_seconds": report.average.as_secs(),
        "longest_wait_seconds": report.longest.as_secs(),
        "dialling": report.diallers,
        "created_at": rfc3339(report.kept.created),
        "calls": report.members.iter().zip(calls).map(call).collect::<Vec<_>>(),
    })
}
