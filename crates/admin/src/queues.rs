//! `/v1/queues`: call queues with their waiting callers.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use trunkgate_call::{QueueReport, QueuedCall, queues, rfc3339};

use super::ApiError;
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::limits::QUEUE_CALLS_SHOWN;

/// Queue, with the calling and the called number of its first callers.
type QueueWithCalls = (QueueReport, Vec<(String, String)>);

/// Queue as shown in the API.
#[derive(Debug, Serialize)]
struct ShownQueue<'a> {
    /// `QU` and 32 hex digits.
    sid: &'a str,
    /// Name of the [queue](../configure/queues.md).
    name: &'a str,
    /// Number of waiting callers.
    size: usize,
    /// Maximum number of waiting callers.
    max_size: u32,
    /// Mean waiting time of the waiting callers, in seconds.
    average_wait_seconds: u64,
    /// Longest waiting time of a waiting caller, in seconds.
    longest_wait_seconds: u64,
    /// Number of parties that dialled the queue and wait for a caller.
    dialling: usize,
    /// Creation time of the queue.
    created_at: String,
    /// Waiting callers in order, at most 100.
    calls: Vec<ShownCall>,
}

/// A call in a queue.
#[derive(Debug, Serialize)]
struct ShownCall {
    /// SID of the call.
    call: String,
    /// Calling number.
    from: String,
    /// Called number.
    to: String,
    /// Position in the queue, from 1.
    position: usize,
    /// Time in the queue, in seconds.
    waited_seconds: u64,
    /// Time at which the caller entered the queue.
    enqueued_at: String,
}

/// Lists queues, the one with the longest wait first.
pub(super) async fn list(State(handle): State<EdgeHandle>) -> Result<Json<Value>, ApiError> {
    let all = handle.ask(|gateway, now| {
        let with_calls = |report: QueueReport| {
            let numbers = |sid: &str| gateway.call(now, sid).map(|call| (call.from, call.to)).unwrap_or_default();
            let shown = report.members.iter().take(QUEUE_CALLS_SHOWN);
            let calls = shown.map(|member| numbers(&member.call_sid)).collect();
            (report, calls)
        };
        let mut all = queues(gateway).reports(now);
        all.sort_by_key(|report| std::cmp::Reverse(report.longest));
        all.into_iter().map(with_calls).collect::<Vec<QueueWithCalls>>()
    });
    let all = all.await?;
    Ok(Json(json!({ "queues": all.iter().map(shown).collect::<Vec<_>>() })))
}

fn shown((report, calls): &QueueWithCalls) -> ShownQueue<'_> {
    let call = |(member, (from, to)): (&QueuedCall, &(String, String))| ShownCall {
        call: member.call_sid.clone(),
        from: from.clone(),
        to: to.clone(),
        position: member.position,
        waited_seconds: member.waited.as_secs(),
        enqueued_at: rfc3339(member.date),
    };
    ShownQueue {
        sid: &report.kept.sid,
        name: &report.kept.name,
        size: report.members.len(),
        max_size: report.kept.most,
        average_wait_seconds: report.average.as_secs(),
        longest_wait_seconds: report.longest.as_secs(),
        dialling: report.diallers,
        created_at: rfc3339(report.kept.created),
        calls: report.members.iter().zip(calls).map(call).collect(),
    }
}
