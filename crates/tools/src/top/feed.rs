//! Polls the edge every second in a separate task, so that keys never wait for a response.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use trunkgate_call::ReasonSlug;

use super::quality;
use crate::client::PolledEdge;
use trunkgate_admin::{MARKED, OUTCOMES, STATES};
use trunkgate_system::terminal;

/// Pause between two polls.
const PAUSE: Duration = Duration::from_secs(1);
/// Maximum number of calls listed.
const CALLS: usize = 500;
/// Line between two SIP messages.
const RULE: &str = "────────────────────────────────────────";

/// Page that shows an open call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum CallPage {
    /// SIP ladder of all legs.
    #[default]
    Ladder,
    /// SIP messages.
    Raw,
    /// SDP bodies only.
    Sdp,
}

/// Data that the screen needs from the edge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FeedRequest {
    pub(super) is_paused: bool,
    /// SID of the open call; `None` while the list is shown.
    pub(super) sid: Option<String>,
    /// Maximum width of the ladder, in characters.
    pub(super) columns: usize,
    /// Filter of the list as typed; an empty filter selects all calls.
    pub(super) filter: String,
}

/// Data received from the edge.
#[derive(Debug, Clone, Default)]
pub(super) struct FeedData {
    pub(super) status: Value,
    pub(super) trunks: Value,
    pub(super) calls: Value,
    /// Filter of the last search, with the calls that the edge found for it; they need not be in `calls`.
    pub(super) found: (String, Value),
    pub(super) call: Option<OpenCallData>,
}

/// Trace, ladder and quality of the open call.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenCallData {
    pub(super) sid: String,
    pub(super) ladder: String,
    pub(super) trace: Value,
    pub(super) quality: Value,
}

/// Message from the background tasks to the screen.
#[derive(Debug)]
pub(super) enum ScreenUpdate {
    /// New data from the edge.
    Seen(Box<FeedData>),
    /// Error of the last poll.
    Lost(String),
    /// Result of an action, in words.
    Note(String),
}

/// Polls the edge until the receiver of `news` is dropped.
pub(super) async fn run(edge: PolledEdge, mut wanted: watch::Receiver<FeedRequest>, news: mpsc::Sender<ScreenUpdate>) {
    loop {
        let now = wanted.borrow_and_update().clone();
        if !now.is_paused {
            let told = match see(&edge, &now).await {
                Ok(seen) => ScreenUpdate::Seen(Box::new(seen)),
                Err(what) => ScreenUpdate::Lost(what),
            };
            if news.send(told).await.is_err() {
                return;
            }
        }
        let changed = tokio::time::timeout(PAUSE, wanted.changed()).await;
        if matches!(changed, Ok(Err(_))) {
            return;
        }
    }
}

/// Polls the edge once.
///
/// # Errors
/// Returns a message if the edge's list of calls, trunks or status cannot be requested.
pub(super) async fn see(edge: &PolledEdge, wanted: &FeedRequest) -> Result<FeedData, String> {
    let status = edge.json("/v1/status").await?;
    let trunks = edge.json("/v1/trunks").await?;
    let calls = edge.json(&format!("/v1/calls?limit={CALLS}")).await?;
    let call = match &wanted.sid {
        Some(sid) => Some(see_call(edge, sid, wanted.columns).await),
        None => None,
    };
    let found = (wanted.filter.clone(), find(edge, &wanted.filter, &trunks, &status).await);
    Ok(FeedData { status, trunks, calls, found, call })
}

/// Searches all calls of the edge for a filter: by outcome, state, flag, reason, trunk or agent if the filter names
/// one, otherwise by number, SID and Call-ID.
async fn find(edge: &PolledEdge, filter: &str, trunks: &Value, status: &Value) -> Value {
    if filter.trim().is_empty() {
        return Value::Null;
    }
    let (key, value) = condition(filter, trunks, status);
    // A failed search is ignored, because the filter may still match a column of the list.
    edge.json(&format!("/v1/calls?limit={CALLS}&{key}={value}")).await.unwrap_or_default()
}

/// Returns the query parameter of `/v1/calls` that a filter stands for, and its URL-encoded value.
pub(super) fn condition(filter: &str, trunks: &Value, status: &Value) -> (&'static str, String) {
    let word = filter.trim().trim_start_matches('!').to_lowercase();
    let is_name = |list: &Value| list.as_array().into_iter().flatten().any(|one| one["name"] == *word);
    // A flag may be typed as the list shows it, by its mark.
    let flag = MARKED.iter().find(|(flag, mark)| *flag == word || *mark == word).map(|(flag, _)| *flag);
    match word.as_str() {
        _ if is_name(&trunks["trunks"]) || is_name(&status["agents"]) => ("trunk", encoded(&word)),
        _ if OUTCOMES.contains(&&*word) => ("outcome", encoded(&word)),
        _ if STATES.contains(&&*word) => ("state", encoded(&word)),
        _ if ReasonSlug::ALL.iter().any(|reason| reason.as_str() == word) => ("reason", encoded(&word)),
        _ => flag.map_or_else(|| ("search", encoded(filter.trim())), |flag| ("flag", encoded(flag))),
    }
}

/// Encodes a value for the query of a URL.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Requests trace, ladder and quality of a call. If the trace is no longer kept, the error takes its place.
async fn see_call(edge: &PolledEdge, sid: &str, columns: usize) -> OpenCallData {
    let path = format!("/v1/calls/{sid}");
    let ladder = edge.ask(Method::GET, &format!("{path}/trace.txt?columns={columns}"), None).await;
    OpenCallData {
        sid: sid.to_owned(),
        ladder: ladder.unwrap_or_else(|what| what),
        trace: edge.json(&format!("{path}/trace?raw=true")).await.unwrap_or_default(),
        // There is no quality before the answer.
        quality: edge.json(&format!("{path}/quality")).await.unwrap_or_default(),
    }
}

impl OpenCallData {
    /// Returns the lines of a page of the call.
    pub(super) fn lines(&self, page: CallPage) -> Vec<String> {
        let ladder = || {
            let mut lines: Vec<String> = self.ladder.lines().map(plain).collect();
            let quality = quality::lines(&self.quality);
            if !quality.is_empty() {
                lines.push(String::new());
                lines.extend(quality.iter().map(|line| plain(line)));
            }
            lines
        };
        match page {
            CallPage::Ladder => ladder(),
            CallPage::Raw => self.messages(|raw| Some(raw)),
            CallPage::Sdp => {
                self.messages(|raw| raw.split_once("\r\n\r\n").map(|(_, body)| body).filter(|body| !body.is_empty()))
            }
        }
    }

    /// Returns each SIP message, or the part selected by `part`, below a line with time, leg and direction.
    fn messages(&self, part: impl Fn(&str) -> Option<&str>) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in self.trace["entries"].as_array().into_iter().flatten() {
            let Some(part) = entry["raw"].as_str().and_then(&part) else { continue };
            let at = entry["at_us"].as_f64().unwrap_or_default() / 1e6;
            let leg = entry["leg"].as_u64().and_then(|leg| self.trace["legs"].get(leg as usize)?.as_str());
            let way = if entry["received"] == true { "from" } else { "to" };
            let text = entry["text"].as_str().unwrap_or("?");
            lines.push(plain(&format!("+{at:.3} s  {text} {way} {}", leg.unwrap_or("?"))));
            lines.extend(part.lines().map(plain));
            lines.push(RULE.to_owned());
        }
        if lines.is_empty() {
            lines.push("no messages of this call are kept".to_owned());
        }
        lines
    }
}

/// Returns a line without control characters, so that it cannot affect the terminal.
pub(super) fn plain(line: &str) -> String {
    terminal::harmless(line.trim_end_matches('\r')).replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_and_their_descriptions_are_shown_harmless() {
        let raw = "INVITE sip:a@b SIP/2.0\r\nFrom: \"\x1b]0;x\x07\" <sip:a@b>\r\n\r\nv=0\r\nm=audio 1 RTP/AVP 0\r\n";
        let message =
            json!({"kind": "message", "leg": 0, "received": true, "text": "INVITE", "at_us": 1500, "raw": raw});
        let bye = json!({"kind": "message", "leg": 0, "received": false, "text": "BYE", "at_us": 2_500_000, "raw": "BYE x SIP/2.0\r\n\r\n"});
        let seen = OpenCallData {
            trace: json!({"legs": ["carrier"], "entries": [message, bye, {"kind": "decision"}]}),
            ..OpenCallData::default()
        };
        let lines = seen.lines(CallPage::Raw);
        assert_eq!(lines[0], "+0.002 s  INVITE from carrier");
        assert_eq!(lines[2], "From: \"·]0;x·\" <sip:a@b>");
        assert!(lines.contains(&"+2.500 s  BYE to carrier".to_owned()));
        assert_eq!(seen.lines(CallPage::Sdp), ["+0.002 s  INVITE from carrier", "v=0", "m=audio 1 RTP/AVP 0", RULE]);
        assert_eq!(OpenCallData::default().lines(CallPage::Raw), ["no messages of this call are kept"]);
        assert_eq!(plain("a\u{202e}b\tc\r"), "a·b c");
    }

    #[test]
    fn a_filter_is_the_condition_that_it_names() {
        let (trunks, status) = (json!({"trunks": [{"name": "pbx"}]}), json!({"agents": [{"name": "desk"}]}));
        for (filter, expected) in [
            ("failed", ("outcome", "failed")),
            ("Refused", ("outcome", "refused")),
            ("ringing", ("state", "ringing")),
            ("!silent", ("flag", "one_way")),
            ("no_route", ("reason", "no_route")),
            ("pbx", ("trunk", "pbx")),
            ("desk", ("trunk", "desk")),
            ("+1415 555", ("search", "%2B1415+555")),
            ("CA0123", ("search", "CA0123")),
        ] {
            let (key, value) = condition(filter, &trunks, &status);
            assert_eq!((key, value.as_str()), expected, "{filter}");
        }
    }

    #[test]
    fn the_ladder_has_its_quality_below() {
        let quality = json!({"series": [{"party": "pbx", "direction": "received", "samples": []}]});
        let seen = OpenCallData { ladder: "one\ntwo\x1b[2J\n".into(), quality, ..OpenCallData::default() };
        let lines = seen.lines(CallPage::Ladder);
        assert_eq!((&lines[..3], lines.len()), (&["one".to_owned(), "two·[2J".into(), String::new()][..], 4));
    }
}
