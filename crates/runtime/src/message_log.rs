//! Log of requests to message webhooks, and problems of numbers with a failing webhook.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use trunkgate_call::trace::WebhookExchange;

use trunkgate_delivery::webhooks::codes;
use trunkgate_system::clock;
use trunkgate_system::limits::MESSAGE_WEBHOOKS_SHOWN;
use trunkgate_system::problem::Problem;
use trunkgate_system::problem::kind::{EdgeProblem, ProblemKind};

/// Time in seconds after the last failed message for which a failing webhook is a problem.
const PROBLEM_SECONDS: i64 = 3_600;

/// Request to the webhook of a text message.
#[derive(Debug, Clone)]
pub struct MessageRequest {
    /// Time of the response.
    pub at: Timestamp,
    /// SID of the message.
    pub message: String,
    /// Number of the edge that the message was sent to.
    pub number: String,
    /// Twilio's error code and the cause; `None` if the request succeeded.
    pub failure: Option<(u32, String)>,
    /// Request and response, without secrets.
    pub webhook: WebhookExchange,
}

/// Webhook of a number for which consecutive messages got no document from any URL.
#[derive(Debug)]
struct FailingWebhook {
    messages: u64,
    /// First webhook URL of the number when the last message failed.
    url: String,
    at: Timestamp,
    code: u32,
    what: String,
}

/// Latest requests to webhooks of text messages, and the numbers with a failing webhook.
#[derive(Debug, Default)]
pub struct MessageLog(Mutex<MessageLogEntries>);

#[derive(Debug, Default)]
struct MessageLogEntries {
    latest: VecDeque<MessageRequest>,
    /// Numbers with a failing webhook; limited by the numbers of the configuration.
    failing: BTreeMap<String, FailingWebhook>,
}

impl MessageLog {
    /// Adds a request.
    pub(crate) fn add(&self, request: MessageRequest) {
        let latest = &mut self.lock().latest;
        latest.truncate(MESSAGE_WEBHOOKS_SHOWN - 1);
        latest.push_front(request);
    }

    /// Records whether a webhook URL of a number returned a document for a message; `failure` has the error code and
    /// cause of the last URL if none did.
    pub(crate) fn note_message(&self, number: &str, url: &str, failure: Option<(u32, &str)>) {
        let failing = &mut self.lock().failing;
        let Some((code, what)) = failure else {
            failing.remove(number);
            return;
        };
        let before = failing.get(number).filter(|known| known.url == url).map_or(0, |known| known.messages);
        let (url, what, at) = (url.to_owned(), what.to_owned(), clock::now());
        failing.insert(number.to_owned(), FailingWebhook { messages: before + 1, url, at, code, what });
    }

    /// Returns the latest requests, newest first.
    pub fn latest(&self) -> Vec<MessageRequest> {
        self.lock().latest.iter().cloned().collect()
    }

    /// Returns a problem for each number with a failing webhook, unless the number's URL (`first_url`) has changed
    /// since.
    pub fn problems(&self, now: Timestamp, first_url: impl Fn(&str) -> Option<String>) -> Vec<Problem> {
        let entries = self.lock();
        let is_now = |(number, failing): &(&String, &FailingWebhook)| {
            now.as_second() - failing.at.as_second() < PROBLEM_SECONDS
                && first_url(number).is_some_and(|url| url == failing.url)
        };
        entries.failing.iter().filter(is_now).map(|(number, failing)| failing.problem(number)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, MessageLogEntries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailingWebhook {
    fn problem(&self, number: &str) -> Problem {
        let FailingWebhook { messages, code, what, .. } = self;
        let meaning = codes::explain(*code).map_or("its document could not be run", |(meaning, _)| meaning);
        let shown = format!("error {code}: {meaning}: {what}; no reply was sent");
        let fix = "`/v1/api` and the page API of the console show the request and the body of the answer: correct the application, `SmsUrl` of the \
                   number, or `inbound` of [messages]";
        let what = EdgeProblem::MessageWebhook { number: number.to_owned(), messages: *messages };
        Problem::of(ProblemKind::Edge(what)).shown_by(shown).fixed_by(fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_that_fails_is_a_problem_until_it_succeeds() {
        let log = MessageLog::default();
        let failing = |log: &MessageLog| {
            let problem = log.lock().failing.get("+14155550100").map(|failing| failing.problem("+14155550100"));
            problem.map(|problem| (problem.headline, problem.evidence.unwrap_or_default()))
        };
        for _ in 0..3 {
            log.note_message("+14155550100", "https://app.example/sms", Some((11_200, "the answer is 403")));
        }
        let (headline, evidence) = failing(&log).unwrap();
        assert_eq!(headline, "webhook of +14155550100 failed for the last 3 text messages");
        assert!(evidence.starts_with("error 11200: ") && evidence.contains("the answer is 403"), "{evidence}");
        log.note_message("+14155550100", "https://app.example/new", Some((11_200, "the answer is 403")));
        let (headline, _) = failing(&log).unwrap();
        assert_eq!(headline, "webhook of +14155550100 failed for the last 1 text message", "another URL");
        log.note_message("+14155550100", "https://app.example/new", None);
        assert_eq!(failing(&log), None);
    }
}
