//! Report of the scripts of a sandbox, as text, JSON and JUnit XML.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use trunkgate_call::trace::{TraceItem, TraceView, WebhookExchange, WebhookTry};
use url::Url;

use super::voice::HeardSound;
use crate::junit::{CaseFailure, TestCase, suite};
use trunkgate_system::terminal;

/// Exit code for an application that does not start, cannot be reached or responds with an error.
pub(super) const APPLICATION: u8 = 3;
/// Age from which a request that was open at the end of its call counts as not answered, in milliseconds.
pub(super) const SILENT_MS: u64 = 1_000;
/// Maximum number of lines of an error response in the report, and of characters of each line.
const BODY: (usize, usize) = (6, 200);
/// Part of the trace text for a request that was abandoned at the end of its call.
const GIVEN_UP: &str = ": given up after ";

/// Findings that the user accepts, and properties of the run that decide on fixes.
#[derive(Debug, Clone, Default)]
pub(super) struct ReportRules {
    /// Whether a Play of a missing file is accepted.
    pub(super) allow_missing_audio: bool,
    /// Whether warnings about documents are accepted.
    pub(super) allow_warnings: bool,
    /// Whether calls to numbers that no step expects are accepted.
    pub(super) allow_undeclared_dials: bool,
    /// Whether the sandbox started the application.
    pub(super) is_started: bool,
    /// Whether the auth token comes from the environment instead of being generated.
    pub(super) has_token: bool,
    /// Whether the edge requests the application by a public name.
    pub(super) has_public_name: bool,
}

/// Event of a script, in seconds since the script began.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TranscriptEvent {
    pub(super) at: f64,
    pub(super) text: String,
}

/// Result of a step; `failure` is `None` if the step passed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StepOutcome {
    pub(super) line: usize,
    pub(super) text: String,
    /// Time at which the step ended, in seconds since the script began.
    pub(super) at: f64,
    pub(super) failure: Option<String>,
}

/// Redirect that the edge has followed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FollowedRedirect {
    pub(super) at: f64,
    pub(super) method: String,
    /// URL that was requested, and status of the response.
    pub(super) url: String,
    pub(super) status: u16,
    /// URL to which the redirect leads (`Location`).
    pub(super) location: String,
}

/// Request of the application that the proxy has refused.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RefusedRequest {
    pub(super) at: f64,
    pub(super) method: String,
    /// Requested host, with its port if given.
    pub(super) target: String,
    pub(super) reason: String,
}

/// Result of one script.
#[derive(Debug, Default)]
pub(super) struct ScriptReport {
    pub(super) name: String,
    /// Events of the script, in order.
    pub(super) transcript: Vec<TranscriptEvent>,
    /// Results of the steps that were started.
    pub(super) steps: Vec<StepOutcome>,
    /// Failed expectations and application errors, one sentence each.
    pub(super) failures: Vec<String>,
    /// Warnings about ignored parts of documents.
    pub(super) warnings: Vec<String>,
    pub(super) redirects: Vec<FollowedRedirect>,
    pub(super) refused: Vec<RefusedRequest>,
    /// Reason why the application could not be reached; it is then reported as the only failure.
    pub(super) unreachable: Option<String>,
    pub(super) seconds: f64,
    /// Texts of Say heard by the caller, in order.
    pub(super) heard: Vec<String>,
    pub(super) sid: Option<String>,
    pub(super) status: Option<String>,
    /// Age in milliseconds from which a request that was open at the end counts as not answered; `None` if the script
    /// ended the call and no step failed.
    pub(super) silent_ms: Option<u64>,
}

/// Formats a sound as an event of the transcript. `who` is the prefix for a party, empty for the caller.
pub(super) fn shown(who: &str, heard: &HeardSound) -> TranscriptEvent {
    let text = match heard.words() {
        Some(words) => format!("{who}hears: {words}{}", if heard.is_cut_off() { " [cut off]" } else { "" }),
        None => format!("{who}hears {} for {:.1} s", heard.name(), heard.to - heard.from + 0.02),
    };
    TranscriptEvent { at: heard.from, text }
}

impl FollowedRedirect {
    fn as_json(&self) -> Value {
        let FollowedRedirect { at, method, url, status, location } = self;
        json!({ "at": at, "method": method, "url": url, "status": status, "location": location })
    }
}

impl RefusedRequest {
    fn as_json(&self) -> Value {
        let RefusedRequest { at, method, target, reason } = self;
        json!({ "at": at, "method": method, "target": target, "reason": reason })
    }
}

impl ScriptReport {
    /// Creates the report of a sandbox that placed no calls.
    pub(super) fn of_failure(failures: Vec<String>, unreachable: Option<String>) -> ScriptReport {
        ScriptReport { name: "sandbox".to_owned(), failures, unreachable, ..ScriptReport::default() }
    }

    /// Adds the requests, errors and warnings in the trace of a call that began at this second of the script.
    pub(super) fn add_trace(&mut self, began: f64, trace: &TraceView, rules: &ReportRules) {
        // The cause of a failed stream precedes its summary in the trace.
        let (mut stream, mut cause) = (String::new(), String::new());
        for entry in &trace.entries {
            let at = began + entry.at_us as f64 / 1e6;
            match &entry.what {
                TraceItem::Webhook { webhook, .. } => self.add_request(at, webhook, rules),
                TraceItem::Agent { text, .. } if !text.starts_with("failed: ") => cause.clone_from(text),
                TraceItem::Decision { text } => match text.strip_prefix("Connect: stream to ") {
                    Some(url) => url.clone_into(&mut stream),
                    None if text.contains(": error 31901: ") => {
                        self.add_decision(at, &format!("{text} ({stream}: {cause})"), rules);
                    }
                    None => self.add_decision(at, text, rules),
                },
                TraceItem::Message { .. } | TraceItem::Agent { .. } | TraceItem::Media { .. } => {}
            }
        }
    }

    fn add_request(&mut self, at: f64, webhook: &WebhookExchange, rules: &ReportRules) {
        let (redirects, method, tries) = redirects(at, webhook);
        for redirect in redirects {
            let FollowedRedirect { method, url, status, location, .. } = &redirect;
            self.transcript.push(TranscriptEvent { at, text: format!("{method} {url}: HTTP {status} to {location}") });
            self.redirects.push(redirect);
        }
        let line = request(webhook, &method, tries);
        let body: String = if webhook.error.is_some() { excerpt(&webhook.body) } else { String::new() };
        self.transcript.push(TranscriptEvent { at, text: format!("{line}{body}") });
        let is_allowed = webhook.purpose == "play" && rules.allow_missing_audio;
        if webhook.error.is_some() && webhook.purpose != "callback" && !is_allowed {
            let hint = hint(webhook, rules).map(|hint| format!(". {hint}")).unwrap_or_default();
            self.unreachable.get_or_insert_with(|| format!("{line}{hint}{body}"));
        }
    }

    fn add_decision(&mut self, at: f64, text: &str, rules: &ReportRules) {
        let moment = TranscriptEvent { at, text: text.to_owned() };
        // The entry of the failed request already has all details.
        let is_summary = text.starts_with("failed with ");
        if text.contains(": error ") && self.unreachable.is_none() && !is_summary {
            self.transcript.push(moment);
            if !(rules.allow_missing_audio && text.starts_with("Play")) {
                let hint = if text.contains("error 13214: ") { " (--number adds one)" } else { "" };
                self.failures.push(format!("{}: the application: {text}{hint}", self.name));
            }
        } else if text.contains(": warning ")
            || text.starts_with("warning ")
            || text.starts_with("Stream: ")
            || text.starts_with("Stop: ")
        {
            self.transcript.push(moment);
            self.warnings.push(text.to_owned());
            if !rules.allow_warnings {
                let name = &self.name;
                self.failures.push(format!("{name}: the application: {text} (--allow-warnings accepts it)"));
            }
        } else if text.starts_with("Dial: party not called: ") {
            self.transcript.push(moment);
            self.failures.push(format!("{}: the application: {text}", self.name));
        } else if let Some((what, waited)) = given_up(text) {
            let text = format!("{what} had no answer for {:.1} s, until the call ended", waited as f64 / 1e3);
            self.transcript.push(TranscriptEvent { at, text: text.clone() });
            let silent_ms = self.silent_ms.or_else(|| (!self.failures.is_empty()).then_some(SILENT_MS));
            if silent_ms.is_some_and(|silent_ms| waited >= silent_ms) {
                self.unreachable.get_or_insert(text);
            }
        } else if is_result(text) {
            self.transcript.push(moment);
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.failures.is_empty() && self.unreachable.is_none()
    }

    pub(super) fn as_text(&self) -> String {
        let mut out = format!("{}\n", self.name);
        for moment in &self.transcript {
            out.push_str(&format!("  {:>7.2} s  {}\n", moment.at, moment.text.replace('\n', "\n             ")));
        }
        for what in self.faults() {
            out.push_str(&format!("  FAIL {}\n", what.replace('\n', "\n       ")));
        }
        if self.is_good() {
            out.push_str(&format!("  ok, {:.1} s\n", self.seconds));
        }
        terminal::harmless(&out)
    }

    /// Returns the failures to report: only `unreachable`, if the application could not be reached.
    fn faults(&self) -> Vec<String> {
        match &self.unreachable {
            Some(what) => vec![format!("the application failed: {what}")],
            None => self.failures.clone(),
        }
    }

    fn as_json(&self) -> Value {
        let moments: Vec<Value> = self.transcript.iter().map(|one| json!({ "at": one.at, "text": one.text })).collect();
        let step = |one: &StepOutcome| {
            let is_good = one.failure.is_none();
            json!({ "line": one.line, "text": one.text, "at": one.at, "ok": is_good, "failure": one.failure })
        };
        json!({
            "name": self.name,
            "ok": self.is_good(),
            "sid": self.sid,
            "status": self.status,
            "seconds": self.seconds,
            "heard": self.heard,
            "failures": self.failures,
            "warnings": self.warnings,
            "redirects": self.redirects.iter().map(FollowedRedirect::as_json).collect::<Vec<_>>(),
            "refused": self.refused.iter().map(RefusedRequest::as_json).collect::<Vec<_>>(),
            "application": self.unreachable,
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(),
            "transcript": moments,
        })
    }

    fn as_case(&self) -> TestCase {
        let faults = self.faults();
        let wrong = faults.first().map(|first| CaseFailure {
            is_error: self.unreachable.is_some(),
            message: first.lines().next().unwrap_or_default().to_owned(),
            text: faults.join("\n"),
        });
        TestCase { name: self.name.clone(), seconds: Some(self.seconds), wrong, output: Some(self.as_text()) }
    }
}

/// Returns the reports as JSON.
pub(super) fn as_json(reports: &[ScriptReport]) -> String {
    terminal::json(&Value::from(reports.iter().map(ScriptReport::as_json).collect::<Vec<_>>()))
}

/// Returns the reports as JUnit XML.
///
/// # Errors
/// Returns the error of the XML writer.
pub(super) fn as_junit(reports: &[ScriptReport]) -> io::Result<Vec<u8>> {
    let cases: Vec<TestCase> = reports.iter().map(ScriptReport::as_case).collect();
    suite("trunkgate twilio", "trunkgate.twilio", reports.iter().map(|report| report.seconds).sum(), &cases)
}

pub(super) fn exit_code(reports: &[ScriptReport]) -> ExitCode {
    match () {
        () if reports.iter().any(|report| report.unreachable.is_some()) => ExitCode::from(APPLICATION),
        () if reports.iter().all(ScriptReport::is_good) => ExitCode::SUCCESS,
        () => ExitCode::FAILURE,
    }
}

pub(super) fn summary(reports: &[ScriptReport], took: Duration) -> String {
    let failed = reports.iter().filter(|report| !report.is_good()).count();
    let seconds = took.as_secs_f64();
    let calls = if reports.len() == 1 { "1 call".to_owned() } else { format!("{} calls", reports.len()) };
    match failed {
        0 => format!("\nok: {calls} in {seconds:.1} s\n"),
        _ => format!("\nFAILED: {failed} of {calls}\n"),
    }
}

/// Returns the redirects that a request followed, the method of the last request, and the number of attempts at its
/// URL.
fn redirects(at: f64, webhook: &WebhookExchange) -> (Vec<FollowedRedirect>, String, usize) {
    let (mut found, mut method, mut tries) = (Vec::new(), webhook.method.clone(), webhook.tries.len());
    for (place, pair) in webhook.tries.windows(2).enumerate() {
        let [one, next] = pair else { continue };
        let Some(status) = one.status.filter(|status| (300..400).contains(status)) else { continue };
        let (url, location) = (one.url.clone(), next.url.clone());
        found.push(FollowedRedirect { at, method: method.clone(), url, status, location });
        tries = webhook.tries.len() - place - 1;
        // All other redirects are followed with GET (RFC 9110 §15.4).
        if !matches!(status, 307 | 308) {
            "GET".clone_into(&mut method);
        }
    }
    (found, method, tries)
}

/// Formats a request with its last attempt as one line, without a body.
fn request(webhook: &WebhookExchange, method: &str, tries: usize) -> String {
    let Some(last) = webhook.tries.last() else { return webhook.method.clone() };
    let status = last.status.map(|status| format!("HTTP {status}"));
    let result = status.or_else(|| last.failure.clone()).unwrap_or_else(|| "no answer".to_owned());
    let tries = if tries > 1 { format!(", {tries} tries") } else { String::new() };
    let error = webhook.error.map(|code| format!(" (error {code})")).unwrap_or_default();
    let redirect = last.refused_redirect().map(|reason| format!(", {reason}")).unwrap_or_default();
    let losses: String = webhook.tries.iter().map(|one| one.cookies.losses()).collect();
    format!("{method} {}: {result} after {} ms{tries}{redirect}{error}{losses}", last.url, last.duration_ms)
}

/// Returns the first lines of a response, each after a line break.
fn excerpt(body: &str) -> String {
    let lines = body.lines().map(str::trim_end).filter(|line| !line.is_empty()).take(BODY.0);
    lines.map(|line| format!("\n| {}", line.chars().take(BODY.1).collect::<String>())).collect()
}

/// Returns a fix for a failed request; `None` if none is known.
fn hint(webhook: &WebhookExchange, rules: &ReportRules) -> Option<String> {
    let last = webhook.tries.last()?;
    match last.status {
        Some(401 | 403) => Some(format!(
            "If the application validates X-Twilio-Signature, its TWILIO_AUTH_TOKEN must be that of this run, which {}{}",
            match (rules.has_token, rules.is_started) {
                (true, _) => "is TWILIO_AUTH_TOKEN of this command's environment",
                (false, true) =>
                    "`--start` passes in its environment: the application must not use a file of its own instead",
                (false, false) =>
                    "was made for it: set TWILIO_AUTH_TOKEN for both, or start the application with --start",
            },
            if rules.has_public_name { "" } else { "; if it validates by a public URL, name that with --as" },
        )),
        // After a redirect to another server, or to an address that is not permitted, the application itself is
        // running.
        None if webhook.error == Some(11_205) && !rules.is_started && is_of_application(webhook, last) => {
            Some("Start the application before, or with --start COMMAND".to_owned())
        }
        Some(_) | None => None,
    }
}

/// Returns whether an attempt went to the server of the webhook, not to that of a redirect.
fn is_of_application(webhook: &WebhookExchange, last: &WebhookTry) -> bool {
    let origin = |one: &WebhookTry| Url::parse(&one.url).map(|url| url.origin()).ok();
    last.remote.is_some() && webhook.tries.first().and_then(origin) == origin(last)
}

/// Parses the trace text of a document request that was abandoned at the end of the call: its name, and its age in
/// milliseconds.
fn given_up(text: &str) -> Option<(&str, u64)> {
    let (what, rest) = text.split_once(GIVEN_UP)?;
    let waited = rest.split_once(" ms")?.0.parse().ok()?;
    what.contains(" request to ").then_some((what, waited))
}

/// Returns whether a trace contains an abandoned document request.
pub(super) fn has_given_up(trace: &TraceView) -> bool {
    let is_given_up = |item: &TraceItem| matches!(item, TraceItem::Decision { text } if given_up(text).is_some());
    trace.entries.iter().any(|entry| is_given_up(&entry.what))
}

/// Returns whether a trace text reports the result of a verb.
fn is_result(text: &str) -> bool {
    let verb = ["Dial (", "Gather (", "Record (", "Refer ("].into_iter().find(|verb| text.starts_with(verb));
    verb.is_some() && text.contains("): ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_call::trace::{CookieChanges, TraceEntry};

    fn report(items: Vec<TraceItem>, rules: &ReportRules, failures: &[&str]) -> ScriptReport {
        let mut trace = TraceView::of("CA1".to_owned(), String::new(), Vec::new());
        trace.entries = items.into_iter().map(|item| TraceEntry::new(1_000, item)).collect();
        let failures = failures.iter().map(|&text| text.to_owned()).collect();
        let mut report = ScriptReport { name: "a.call".to_owned(), failures, ..ScriptReport::default() };
        report.add_trace(0.0, &trace, rules);
        report
    }

    fn answered(status: Option<u16>, error: u16, body: &str) -> TraceItem {
        let failure = status.is_none().then(|| "Connection refused".to_owned());
        let url = "http://localhost/voice".to_owned();
        let (remote, cookies) = (Some("127.0.0.1:80".to_owned()), CookieChanges::default());
        let tries = vec![WebhookTry { url, remote, status, failure, duration_ms: 3, cookies }];
        let (purpose, method) = ("start".to_owned(), "POST".to_owned());
        TraceItem::webhook(WebhookExchange {
            purpose,
            method,
            tries,
            attempt: None,
            error: Some(error),
            body: body.to_owned(),
        })
    }

    #[test]
    fn warnings_fail_a_call_unless_they_are_allowed() {
        let text = "Response (line 1): warning 12200: unknown attribute \"numdigits\" of <Gather> is skipped";
        let items = || vec![TraceItem::decision(text), TraceItem::decision("Stop: no stream has that name")];
        let failed = report(items(), &ReportRules::default(), &[]);
        assert!(failed.failures.len() == 2 && failed.failures[0].contains("numdigits"), "{failed:?}");
        let allowed = report(items(), &ReportRules { allow_warnings: true, ..ReportRules::default() }, &[]);
        assert!(allowed.is_good() && allowed.warnings.len() == 2 && allowed.transcript.len() == 2, "{allowed:?}");
    }

    #[test]
    fn an_answer_that_is_an_error_has_its_body_and_what_to_do() {
        let fault_of = |item, rules: &ReportRules| report(vec![item], rules, &[]).unreachable.unwrap_or_default();
        let broken = fault_of(answered(Some(500), 11_200, "Traceback:\n\n  KeyError\n"), &ReportRules::default());
        assert!(broken.ends_with("HTTP 500 after 3 ms (error 11200)\n| Traceback:\n|   KeyError"), "{broken}");
        let refused = fault_of(answered(Some(403), 11_200, ""), &ReportRules::default());
        assert!(
            refused.contains("set TWILIO_AUTH_TOKEN for both") && refused.contains("name that with --as"),
            "{refused}"
        );
        let refused =
            fault_of(answered(Some(403), 11_200, ""), &ReportRules { is_started: true, ..ReportRules::default() });
        assert!(refused.contains("`--start` passes"), "{refused}");
        let closed = fault_of(answered(None, 11_205, ""), &ReportRules::default());
        assert!(closed.contains("--start COMMAND"), "{closed}");
        let mut barred = answered(None, 11_205, "");
        let TraceItem::Webhook { webhook, .. } = &mut barred else { panic!("no webhook") };
        webhook.tries[0].remote = None;
        let barred = fault_of(barred, &ReportRules::default());
        assert!(barred.contains("error 11205") && !barred.contains("--start"), "no address to ask: {barred}");
        let mut elsewhere = answered(None, 11_205, "");
        let TraceItem::Webhook { webhook, .. } = &mut elsewhere else { panic!("no webhook") };
        let first = WebhookTry { url: "http://other/voice".to_owned(), status: Some(302), ..webhook.tries[0].clone() };
        webhook.tries.insert(0, first);
        let elsewhere = fault_of(elsewhere, &ReportRules::default());
        assert!(elsewhere.contains("error 11205") && !elsewhere.contains("--start"), "a redirect: {elsewhere}");
    }

    #[test]
    fn a_redirect_that_is_not_followed_has_its_reason_and_a_lost_cookie_its_name() {
        let mut item = answered(Some(302), 11_216, "");
        let TraceItem::Webhook { webhook, .. } = &mut item else { panic!("no webhook") };
        webhook.tries[0].failure = Some("invalid redirect: leads from https to http on another host".to_owned());
        webhook.tries[0].cookies.evicted = vec!["k0".to_owned()];
        let fault = report(vec![item], &ReportRules::default(), &[]).unreachable.unwrap_or_default();
        let end = "HTTP 302 after 3 ms, invalid redirect: leads from https to http on another host (error 11216), \
                   cookie evicted for newer ones: k0";
        assert!(fault.ends_with(end), "{fault}");
    }

    #[test]
    fn each_redirect_that_was_followed_is_shown() {
        let one = |path: &str, status: Option<u16>| WebhookTry {
            url: format!("http://localhost/{path}"),
            remote: None,
            status,
            failure: status.is_none().then(|| "Connection refused".to_owned()),
            duration_ms: 3,
            cookies: CookieChanges::default(),
        };
        let tries = vec![one("a", Some(307)), one("b", Some(302)), one("c", None), one("c", Some(200))];
        let (purpose, method, body) = ("start".to_owned(), "POST".to_owned(), String::new());
        let webhook = WebhookExchange { purpose, method, tries, attempt: None, error: None, body };
        let shown = report(vec![TraceItem::webhook(webhook)], &ReportRules::default(), &[]);
        let lines: Vec<&str> = shown.transcript.iter().map(|moment| moment.text.as_str()).collect();
        assert_eq!(
            lines,
            [
                "POST http://localhost/a: HTTP 307 to http://localhost/b",
                "POST http://localhost/b: HTTP 302 to http://localhost/c",
                "GET http://localhost/c: HTTP 200 after 3 ms, 2 tries",
            ]
        );
        let json = shown.as_json();
        assert_eq!((&json["redirects"][1]["status"], &json["refused"]), (&json!(302), &json!([])));
    }

    #[test]
    fn a_request_without_an_answer_is_the_application_s_failure_only_where_a_step_failed() {
        let item = |ms: u64| {
            let text = format!("start request to http://localhost/voice: given up after {ms} ms: no longer needed");
            vec![TraceItem::decision(text)]
        };
        let silent = report(item(9_990), &ReportRules::default(), &["a.call:1: hear Hello"]);
        assert_eq!(
            silent.unreachable.as_deref(),
            Some("start request to http://localhost/voice had no answer for 10.0 s, until the call ended")
        );
        let scripted = report(item(9_990), &ReportRules::default(), &[]);
        assert!(scripted.is_good(), "the caller has hung up by its script");
        assert!(
            scripted.transcript[0].text.ends_with("had no answer for 10.0 s, until the call ended"),
            "{scripted:?}"
        );
        assert!(report(item(20), &ReportRules::default(), &["a.call:1: hear Hello"]).unreachable.is_none());
    }

    #[test]
    fn a_request_that_is_open_when_a_call_without_steps_has_had_its_time_fails_the_call() {
        let of = |waited: u64, silent_ms: Option<u64>| {
            let text =
                format!("redirect request to http://localhost/next: given up after {waited} ms: no longer needed");
            let mut trace = TraceView::of("CA1".to_owned(), String::new(), Vec::new());
            trace.entries = vec![TraceEntry::new(1_000, TraceItem::decision(text))];
            assert!(has_given_up(&trace));
            let mut report = ScriptReport { silent_ms, ..ScriptReport::default() };
            report.add_trace(0.0, &trace, &ReportRules::default());
            report
        };
        let silent = of(2_990, Some(SILENT_MS));
        assert!(!silent.is_good() && silent.as_json()["ok"] == json!(false), "{silent:?}");
        let text = silent.as_text();
        assert!(
            text.contains("FAIL the application failed: redirect request to http://localhost/next had no answer"),
            "{text}"
        );
        let xml = String::from_utf8(as_junit(&[silent]).unwrap()).unwrap();
        assert!(xml.contains("errors=\"1\""), "{xml}");
        assert!(!of(290, Some(250)).is_good(), "a shorter --timeout");
        assert!(of(290, Some(SILENT_MS)).is_good(), "it has just begun");
        assert!(of(2_990, None).is_good(), "its script has ended the call");
    }

    #[test]
    fn a_stream_that_fails_has_its_url_and_cause() {
        let agent = |text: &str| TraceItem::Agent { leg: 1, text: text.to_owned() };
        let items = vec![
            TraceItem::decision("Connect: stream to ws://127.0.0.1:1/x"),
            agent("connecting"),
            agent("Connection refused (os error 111)"),
            agent("failed: cannot be reached"),
            TraceItem::decision("Connect (line 1): error 31901: the stream failed"),
        ];
        let report = report(items, &ReportRules::default(), &[]);
        let end = "the stream failed (ws://127.0.0.1:1/x: Connection refused (os error 111))";
        assert!(report.failures[0].ends_with(end), "{report:?}");
    }

    #[test]
    fn a_suite_of_junit_has_a_case_for_each_script() {
        let good = ScriptReport { name: "a & b.call".to_owned(), seconds: 1.25, ..ScriptReport::default() };
        let bad = ScriptReport { failures: vec!["hear <x>".to_owned()], ..ScriptReport::default() };
        let broken = ScriptReport::of_failure(Vec::new(), Some("it ended\n| trace".to_owned()));
        let xml = String::from_utf8(as_junit(&[good, bad, broken]).unwrap()).unwrap();
        for part in [
            "tests=\"3\" failures=\"1\" errors=\"1\" time=\"1.250\">",
            "name=\"a &amp; b.call\" time=\"1.250\">",
            "<failure message=\"hear &lt;x&gt;\">hear &lt;x&gt;</failure>",
            "<error message=\"the application failed: it ended\">the application failed: it ended\n| trace</error>",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
    }
}
