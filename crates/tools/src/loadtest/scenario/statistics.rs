//! Output of SIPp: the statistics of `-trace_stat`, and the reasons of failed calls from `-trace_err`.

use std::collections::BTreeMap;

/// Maximum number of distinct failure reasons that are counted.
const REASONS: usize = 32;
/// Name under which the calls of further reasons are counted.
const OTHERS: &str = "other reasons";
/// Maximum length of a reason, in characters.
const REASON_CHARS: usize = 120;
/// Column for calls aborted on an unexpected message; the messages are in the error file.
const UNEXPECTED: &str = "FailedUnexpectedMessage(C)";
/// Columns for failed calls, with the reason that each counts.
const KINDS: [(&str, &str); 17] = [
    (UNEXPECTED, "unexpected message"),
    ("FailedMaxUDPRetrans(C)", "no response to a request (retransmissions exhausted)"),
    ("FailedTimeoutOnRecv(C)", "expected message not received in time"),
    ("FailedTimeoutOnSend(C)", "message not sent in time"),
    ("FailedCannotSendMessage(C)", "message could not be sent"),
    ("FailedTcpConnect(C)", "TCP connection failed"),
    ("FailedTcpClosed(C)", "TCP connection closed"),
    ("FailedCallRejected(C)", "call rejected by the scenario"),
    ("FailedCmdNotSent(C)", "3PCC command not sent"),
    ("FailedRegexpDoesntMatch(C)", "a regular expression does not match"),
    ("FailedRegexpShouldntMatch(C)", "a regular expression matches that must not"),
    ("FailedRegexpHdrNotFound(C)", "a header to check is missing"),
    ("FailedOutboundCongestion(C)", "outbound congestion"),
    ("FailedTestDoesntMatch(C)", "a test does not hold"),
    ("FailedTestShouldntMatch(C)", "a test holds that must not"),
    ("FailedStrcmpDoesntMatch(C)", "two strings differ"),
    ("FailedStrcmpShouldntMatch(C)", "two strings are equal that must not be"),
];

/// SIPp's statistics so far, from the last line of its file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SippStatistics {
    /// Calls placed.
    pub(super) attempted: u64,
    /// Calls that completed the scenario.
    pub(super) succeeded: u64,
    /// Calls that failed.
    pub(super) failed: u64,
    /// Calls that have not ended.
    pub(super) unfinished: u64,
    /// Messages retransmitted by SIPp.
    pub(super) retransmissions: u64,
    /// Mean of the scenario's first response time (`rtd`), in milliseconds.
    pub(super) response_ms: Option<f64>,
    /// Failed calls by column of [`KINDS`].
    pub(super) kinds: Vec<(&'static str, u64)>,
}

impl SippStatistics {
    /// Parses the last complete line of the statistics file; `None` if there is none.
    pub(super) fn parse(text: &str) -> Option<SippStatistics> {
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let names: Vec<&str> = lines.next()?.split(';').collect();
        let values: Vec<&str> = lines.next_back()?.split(';').collect();
        let cell = |name: &str| values.get(names.iter().position(|known| *known == name)?).copied();
        let count = |name: &str| cell(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        let kinds = KINDS.map(|(column, _)| (column, count(column)));
        Some(SippStatistics {
            attempted: count("TotalCallCreated"),
            succeeded: count("SuccessfulCall(C)"),
            failed: count("FailedCall(C)"),
            unfinished: count("CurrentCall"),
            retransmissions: count("Retransmissions(C)"),
            response_ms: cell("ResponseTime1(C)").and_then(milliseconds).filter(|ms| *ms > 0.0),
            kinds: kinds.into_iter().filter(|(_, count)| *count > 0).collect(),
        })
    }

    /// Returns the failed calls by reason. `errors`: text of the error file, which names unexpected messages.
    pub(super) fn failures(&self, errors: &str) -> BTreeMap<String, u64> {
        let mut failures = BTreeMap::new();
        let mut add = |reason: String, count: u64| {
            let is_known = failures.len() < REASONS || failures.contains_key(&reason);
            *failures.entry(if is_known { reason } else { OTHERS.to_owned() }).or_default() += count;
        };
        let mut rest = self.failed;
        for (column, count) in &self.kinds {
            let mut count = (*count).min(rest);
            rest -= count;
            if *column == UNEXPECTED {
                for reason in unexpected(errors).take(usize::try_from(count).unwrap_or(usize::MAX)) {
                    add(reason, 1);
                    count -= 1;
                }
            }
            let words = KINDS.iter().find(|(known, _)| known == column).map_or(*column, |(_, words)| words);
            if count > 0 {
                add(words.to_owned(), count);
            }
        }
        if rest > 0 {
            add("reason not counted by sipp".to_owned(), rest);
        }
        failures
    }
}

/// Returns the reasons of calls aborted on an unexpected message, in the order of the error file.
fn unexpected(errors: &str) -> impl Iterator<Item = String> {
    errors.split("Aborting call on unexpected message for Call-").skip(1).filter_map(|record| {
        let (while_doing, message) = record.split_once(": while ")?.1.split_once(", received '")?;
        let mut lines = message.lines();
        let first = lines.next()?.trim();
        // Keeps the method of a request, or the status of a response.
        let received = first.strip_prefix("SIP/2.0 ").unwrap_or_else(|| first.split(' ').next().unwrap_or_default());
        let headers = lines.take_while(|line| !line.trim().is_empty());
        let mut texts = headers.filter(|line| line.starts_with("Reason:")).filter_map(|line| line.split_once("text="));
        let text = texts.next().map(|(_, text)| format!(" ({})", text.trim().trim_matches('"'))).unwrap_or_default();
        let reason = format!("received {received}{text} while {while_doing}");
        Some(reason.chars().filter(|sign| !sign.is_control()).take(REASON_CHARS).collect())
    })
}

/// Parses a duration of SIPp (hours, minutes, seconds and microseconds) as milliseconds.
fn milliseconds(text: &str) -> Option<f64> {
    let mut parts = text.split(':').map(str::parse::<f64>);
    let mut next = || parts.next()?.ok();
    let (hours, minutes, seconds, micros) = (next()?, next()?, next()?, next()?);
    Some(((hours * 60.0 + minutes) * 60.0 + seconds) * 1000.0 + micros / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "StartTime;TotalCallCreated;CurrentCall;SuccessfulCall(P);SuccessfulCall(C);FailedCall(C);\
                         FailedMaxUDPRetrans(C);FailedUnexpectedMessage(C);Retransmissions(C);ResponseTime1(C);\n";
    const ERRORS: &str = "The following events occurred:\n\
        2026-11-28\t18:53:44.967210\t1795892024.967210: Aborting call on unexpected message for Call-Id '1-28160@127.0.0.1': \
        while expecting '100' (index 1), received 'SIP/2.0 503 Service Unavailable\nVia: SIP/2.0/UDP 127.0.0.1:5995\n\
        Reason: SIP;cause=503;text=\"limit_calls\"\nContent-Length: 0\n\n'2026-11-28\t18:53:45.0\t1.0: Aborting call on unexpected \
        message for Call-Id '2-28160@127.0.0.1': while expecting '200' (index 4), received 'BYE sip:x@127.0.0.1 SIP/2.0\nVia: x\n\n'";

    #[test]
    fn the_last_whole_line_counts() {
        assert_eq!(
            (SippStatistics::parse(""), SippStatistics::parse(NAMES), SippStatistics::parse("a;b")),
            (None, None, None)
        );
        let text = format!("{NAMES}x;0;0;0;0;0;0;0;0;00:00:00:000000;\nx;7;2;1;3;2;1;1;5;00:01:02:003500;\nx;9;9;9;9");
        let read = SippStatistics::parse(&text).unwrap();
        assert_eq!((read.attempted, read.unfinished, read.succeeded, read.failed), (7, 2, 3, 2));
        assert_eq!((read.retransmissions, read.response_ms), (5, Some(62_003.5)));
        let none = SippStatistics::parse(&format!("{NAMES}x;0;0;0;0;0;0;0;0;00:00:00:000000;\n")).unwrap();
        assert_eq!(none, SippStatistics::default());
        assert_eq!(SippStatistics::parse("Other;Columns;\n1;2;\n"), Some(SippStatistics::default()));
    }

    #[test]
    fn failed_calls_have_the_reasons_of_the_error_file() {
        let read = |line: &str| SippStatistics::parse(&format!("{NAMES}{line}\n")).unwrap();
        let pairs = |failures: BTreeMap<String, u64>| failures.into_iter().collect::<Vec<_>>();
        let pair = |reason: &str, count: u64| (reason.to_owned(), count);
        assert_eq!(
            pairs(read("x;5;0;0;0;5;1;3;0;").failures(ERRORS)),
            [
                pair("no response to a request (retransmissions exhausted)", 1),
                pair("reason not counted by sipp", 1),
                pair("received 503 Service Unavailable (limit_calls) while expecting '100' (index 1)", 1),
                pair("received BYE while expecting '200' (index 4)", 1),
                pair("unexpected message", 1),
            ]
        );
        // A warning about a call that continued is not a failure.
        assert!(read("x;5;0;0;5;0;0;0;0;").failures(ERRORS).is_empty());
        assert_eq!(
            pairs(read("x;1;0;0;0;1;0;1;0;").failures(ERRORS)),
            [pair("received 503 Service Unavailable (limit_calls) while expecting '100' (index 1)", 1)]
        );
    }

    #[test]
    fn reasons_are_bounded_and_steer_no_terminal() {
        let record = |n: usize| {
            format!(
                "Aborting call on unexpected message for Call-Id '{n}': while pausing (index {n}), received 'SIP/2.0 486 \x1b[31m\n'"
            )
        };
        let errors: String = (0..REASONS + 8).map(record).collect();
        let line = format!("{NAMES}x;40;0;0;0;{0};0;{0};0;\n", REASONS + 8);
        let failures = SippStatistics::parse(&line).unwrap().failures(&errors);
        assert_eq!((failures.len(), failures[OTHERS]), (REASONS + 1, 8));
        assert!(failures.keys().all(|reason| !reason.contains('\x1b')), "{failures:?}");
    }
}
