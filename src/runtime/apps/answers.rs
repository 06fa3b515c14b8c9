//! Answers to questions of applications, with what a trace shows of them.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::header::CONTENT_TYPE;
use trunkgate_call::AppAnswer;

use crate::config::{Secret, Speech};
use crate::limits::APP_BODY_SHOWN_CHARS;
use crate::system::reach::Reach;
use crate::webhooks::outcome::{Attempt, Failure, Reply};

/// Twilio's code of a document that could not be fetched.
pub(super) const NOT_FETCHED: u16 = 11_200;
/// Beginning of the media type of audio in a document's place: no trace shows it.
const AUDIO: &str = "audio/";

/// The part of the configuration that one question needs, as it is when it is asked.
pub(super) struct Settings {
    pub(super) auth_token: Option<Secret>,
    pub(super) speech: Option<Speech>,
    pub(super) folder: PathBuf,
    /// The sound that the application is.
    pub(super) sound: Option<Arc<[u8]>>,
    pub(super) reach: Reach,
}

pub(super) fn failed(code: u16, text: String) -> AppAnswer {
    AppAnswer::Failed { code, text }
}

pub(super) fn taken(purpose: &str, reply: Reply) -> AppAnswer {
    let told = format!("{purpose} {}", told_of(&reply.attempts));
    let content_type = reply.answer.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = if reply.answer.media_type().starts_with(AUDIO) { String::new() } else { shown(&reply.answer.body) };
    let told = if body.is_empty() { told } else { format!("{told}\n{body}") };
    let url = (reply.redirects > 0).then_some(reply.final_url);
    AppAnswer::Document { url, content_type, body: reply.answer.body, told }
}

pub(super) fn refused(purpose: &str, failure: &Failure) -> AppAnswer {
    let code = u16::try_from(failure.code).unwrap_or(NOT_FETCHED);
    let body = failure.answer.as_ref().map(|answer| shown(&answer.body)).filter(|body| !body.is_empty());
    let body = body.map(|body| format!("\n{body}")).unwrap_or_default();
    let what = match failure.attempts.as_slice() {
        // The reason is that of the one try.
        [Attempt { url, result: Err(what), .. }] if *what == failure.what => format!("{what} ({url})"),
        attempts => format!("{} ({})", failure.what, told_of(attempts)),
    };
    failed(code, format!("{purpose}: {what}{body}"))
}

/// A sound that could not be fetched from a URL, which `name` shows.
pub(super) fn unheard(name: &str, failure: &Failure) -> AppAnswer {
    let code = u16::try_from(failure.code).unwrap_or(NOT_FETCHED);
    let body = failure.answer.as_ref().map(|answer| shown(&answer.body)).unwrap_or_default();
    let further = [told_of(&failure.attempts), body].into_iter().filter(|line| !line.is_empty());
    let lines: Vec<String> = [format!("{name}: {}", failure.what)].into_iter().chain(further).collect();
    failed(code, lines.join("\n"))
}

/// The requests that were made, one try after the other.
pub(super) fn told_of(attempts: &[Attempt]) -> String {
    let one = |attempt: &Attempt| {
        let result = attempt.result.as_ref().map_or_else(Clone::clone, u16::to_string);
        let remote = attempt.remote.map(|remote| format!(" ({remote})")).unwrap_or_default();
        format!("{}{remote}: {result} after {} ms", attempt.url, attempt.duration.as_millis())
    };
    attempts.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The beginning of a body, as a trace shows it.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut chars = text.trim().chars();
    let shown: String = chars.by_ref().take(APP_BODY_SHOWN_CHARS).collect();
    if chars.next().is_some() { format!("{shown}…") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_shows_the_beginning_of_a_body() {
        assert_eq!(shown(b" <Response/>\n"), "<Response/>");
        let long = shown("ä".repeat(APP_BODY_SHOWN_CHARS + 1).as_bytes());
        assert_eq!((long.chars().count(), long.ends_with('…')), (APP_BODY_SHOWN_CHARS + 1, true));
        assert_eq!(shown(b"\xff"), "\u{fffd}");
    }
}
