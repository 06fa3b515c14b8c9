//! Progress on stderr while an edge takes long to respond.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use tokio::time::timeout;

use super::{EdgeTarget, parsed, request};
use trunkgate_system::terminal;
use trunkgate_system::text::number;

/// Time after which a verb reports that it is waiting.
const NOTICED: Duration = Duration::from_secs(1);
/// Maximum time until another process has replaced the edge: twice the start of a program with its checks.
const REPLACED_WITHIN: Duration = Duration::from_secs(60);
/// Interval of requests to the edge during an upgrade.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Waits for a response, and reports on stderr if the wait exceeds [`NOTICED`].
pub(super) async fn with_notice<T>(edge: &EdgeTarget, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    if let Ok(answer) = timeout(NOTICED, &mut answer).await {
        return answer;
    }
    terminal::print_error(&unanswered(edge));
    answer.await
}

/// Returns the message for an edge that has not responded in [`NOTICED`].
fn unanswered(edge: &EdgeTarget) -> String {
    format!("waiting for the edge at {}, which has not answered for {} s …", edge.base, NOTICED.as_secs())
}

/// Waits for the response to a reload and reports every second how far the edge has read a large file.
pub(super) async fn with_progress<T>(edge: &EdgeTarget, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    let mut said = None;
    loop {
        if let Ok(answer) = timeout(NOTICED, &mut answer).await {
            return answer;
        }
        let configuration = tokio::select! {
            answer = &mut answer => return answer,
            configuration = configuration(edge) => configuration,
        };
        let text = match configuration["reading"].as_str() {
            None if said.is_some() => continue,
            None => unanswered(edge),
            Some(reading) => terminal::harmless(reading),
        };
        say_once(&mut said, text);
    }
}

/// Text of the edge's response if a reload exceeds the request timeout.
pub(super) const GOES_ON: &str = "still in progress";
/// Time without progress after which waiting for a reload ends, in seconds.
const SILENT_SECONDS: u32 = 120;

/// Returns `config` of `/v1/status`; null without a timely response.
pub(super) async fn configuration(edge: &EdgeTarget) -> Value {
    status(edge).await["config"].take()
}

/// Waits until a long reload takes effect or is rejected; `before` is the previous value of `config`.
///
/// # Errors
/// Returns the reason of the rejection, or a message that the result is unknown after [`SILENT_SECONDS`] without
/// progress.
pub(super) async fn in_force(edge: &EdgeTarget, before: &Value) -> Result<String, String> {
    let before = if before.is_null() { &configuration(edge).await } else { before };
    let mut said = None;
    let mut silent = 0;
    say_once(&mut said, "the reload is in progress …".to_owned());
    while silent < SILENT_SECONDS {
        tokio::time::sleep(NOTICED).await;
        let now = configuration(edge).await;
        if now["loaded_at"].is_string() && now["loaded_at"] != before["loaded_at"] {
            let warnings = number(now["warnings"].as_u64().unwrap_or_default() as usize, "warning");
            return Ok(format!("reloaded: {warnings}; `trunkgate check` shows them; the log lists the changes\n"));
        }
        if let Some(why) = now["last_reload_error"].as_str().filter(|why| before["last_reload_error"] != *why) {
            return Err(terminal::harmless(why));
        }
        silent = if now["reading"].is_string() { 0 } else { silent + 1 };
        if let Some(reading) = now["reading"].as_str() {
            say_once(&mut said, terminal::harmless(reading));
        }
    }
    Err(format!("the reload {GOES_ON}: `trunkgate status` shows when the configuration was loaded"))
}

/// Prints a line on stderr unless it equals the previous one.
fn say_once(said: &mut Option<String>, text: String) {
    if said.as_ref() != Some(&text) {
        terminal::print_error(&text);
    }
    *said = Some(text);
}

/// Returns the start time of the edge; null if it does not respond.
pub(super) async fn start_time(edge: &EdgeTarget) -> Value {
    status(edge).await["started_at"].take()
}

/// Returns `/v1/status`; null if the edge does not respond in time.
async fn status(edge: &EdgeTarget) -> Value {
    let Ok(status) = timeout(NOTICED, request(edge, Method::GET, "/v1/status", None)).await else { return Value::Null };
    status.and_then(|text| parsed(&text)).unwrap_or_default()
}

/// Waits until a process other than the one started at `before` has finished starting, and returns its status.
///
/// # Errors
/// Returns a message if no other process runs after [`REPLACED_WITHIN`].
pub(super) async fn replaced(edge: &EdgeTarget, before: &Value) -> Result<Value, String> {
    let until = Instant::now() + REPLACED_WITHIN;
    while Instant::now() < until {
        let status = status(edge).await;
        let is_other = status["started_at"].is_string() && status["started_at"] != *before;
        if is_other && status["state"] != "starting" {
            return Ok(status);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Err(format!("no new process runs after {} s: see the log of the edge", REPLACED_WITHIN.as_secs()))
}
