//! Report of a scenario, as text, JSON and JUnit XML.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::assertion::{Metric, MetricStatistic, MetricUnit};
use super::super::report::{AssertionResult, COLUMNS, SCORES, row};
use super::hearing::CalleeAudio;
use super::plan::ScenarioPlan;
use super::statistics::SippStatistics;
use crate::junit::{CaseFailure, TestCase, suite};

/// Width of a row's name, in characters, as in the table of distributions.
const NAME: usize = 11;

/// Results of a load test with a scenario.
#[derive(Debug)]
pub(super) struct ScenarioOutcome {
    pub(super) statistics: SippStatistics,
    /// Failed calls by reason.
    pub(super) failures: BTreeMap<String, u64>,
    /// Reason why SIPp did not finish; `None` if it did.
    pub(super) fault: Option<String>,
    /// Audio at the callees; `None` if the test has no callees.
    pub(super) heard: Option<CalleeAudio>,
    /// Run time of SIPp.
    pub(super) lasted: Duration,
    /// Whether the user stopped SIPp.
    pub(super) is_cut: bool,
    /// Exit code of SIPp; `None` if a signal ended it.
    pub(super) exit_code: Option<i32>,
}

impl ScenarioOutcome {
    /// Returns the value of a metric; `None` without measurements, and for metrics that scenarios do not measure.
    pub(super) fn value(&self, metric: Metric, stat: MetricStatistic) -> Option<f64> {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let heard = self.heard.as_ref();
        match metric {
            Metric::Failed => Some(self.statistics.failed as f64),
            Metric::Retransmissions => Some(self.statistics.retransmissions as f64),
            Metric::Jitter => heard?.jitter.get(stat),
            Metric::Mos => heard?.mos.get(stat),
            Metric::Loss => share(heard?.lost, heard?.expected),
            // A callee may be called twice for one call of SIPp.
            Metric::Answered => share(heard?.answered.min(self.statistics.attempted), self.statistics.attempted),
            Metric::Audible => share(heard?.audible, heard?.answered),
            Metric::Duplicates => Some(heard?.duplicates as f64),
            Metric::Reordered => Some(heard?.reordered as f64),
            // Assertions on these metrics are rejected before the test.
            Metric::Setup | Metric::PostDial | Metric::Delay | Metric::Late | Metric::Harmed => None,
            Metric::Dropped | Metric::Foreign | Metric::Held => None,
        }
    }

    /// Returns the reasons why the results are incomplete or not valid for the edge; empty if there are none.
    fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.fault.iter().cloned().collect();
        if let Some(heard) = &self.heard {
            for (count, what) in [
                (heard.unread, "received packets were dropped (receive buffer full)"),
                (heard.crowded, "calls found no free callee: earlier calls had not ended"),
            ] {
                if count > 0 {
                    faults.push(format!("{count} {what}"));
                }
            }
        }
        faults
    }

    fn rate(&self) -> f64 {
        self.statistics.attempted as f64 / self.lasted.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Returns whether all assertions hold and the results are valid.
pub(super) fn is_ok(outcome: &ScenarioOutcome, judged: &[AssertionResult]) -> bool {
    outcome.faults().is_empty() && judged.iter().all(|one| one.holds)
}

/// Returns the report as text.
pub(super) fn text(plan: &ScenarioPlan, outcome: &ScenarioOutcome, judged: &[AssertionResult]) -> String {
    let SippStatistics { attempted, succeeded, failed, unfinished, retransmissions, response_ms, .. } =
        &outcome.statistics;
    let share = |part: u64, whole: u64| MetricUnit::Share.show(part as f64 / whole.max(1) as f64);
    let mut out = format!(
        "{:NAME$}attempted {attempted}   succeeded {succeeded} ({})   failed {failed}   unfinished {unfinished}   {:.2} per second\n",
        "sipp",
        share(*succeeded, *attempted),
        outcome.rate(),
    );
    for (reason, count) in &outcome.failures {
        out.push_str(&format!("{:NAME$}failed {count}: {reason}\n", ""));
    }
    out.push_str(&format!("{:NAME$}{retransmissions} retransmitted messages", ""));
    if let Some(ms) = response_ms {
        out.push_str(&format!("   response time {} (mean)", MetricUnit::Time.show(*ms)));
    }
    out.push_str("\n\n");
    match &outcome.heard {
        Some(heard) => out.push_str(&audio(heard)),
        None => {
            out.push_str(&format!("{:NAME$}not measured: another program answers the calls (no --answer)\n", "audio"))
        }
    }
    out.push('\n');
    judged.iter().for_each(|one| out.push_str(&one.line()));
    let faults = outcome.faults();
    faults.iter().for_each(|fault| out.push_str(&format!("  FAIL  {fault}\n")));
    let broken = judged.iter().filter(|one| !one.holds).count();
    out.push_str(&match (broken, faults.is_empty()) {
        (0, true) if outcome.is_cut => format!("ok (stopped before all {} calls were placed)\n", plan.total),
        (0, true) => format!("ok ({:.1} s)\n", outcome.lasted.as_secs_f64()),
        (0, false) => "NOT VALID: the scenario did not run as a whole\n".to_owned(),
        (broken, _) => format!("FAILED: {broken} of {} assertions\n", judged.len()),
    });
    out
}

/// Formats the audio received by the callees.
fn audio(heard: &CalleeAudio) -> String {
    let share = |part: u64, whole: u64| MetricUnit::Share.show(part as f64 / whole.max(1) as f64);
    let CalleeAudio { answered, audible, expected, lost, duplicates, reordered, .. } = heard;
    let mut out =
        format!("{:NAME$}answered {answered}   audible {audible} ({})", "callees", share(*audible, *answered));
    if let Some((least, most)) = heard.levels {
        out.push_str(&format!("   level {least:.1} to {most:.1} dBFS"));
    }
    out.push('\n');
    out.push_str(&row("", &COLUMNS.map(|(name, _)| name.to_owned())));
    out.push_str(&row("jitter", &heard.jitter.row(MetricUnit::Time, &COLUMNS.map(|(_, stat)| stat))));
    out.push_str(&row("", &SCORES.map(|(name, _)| name.to_owned())));
    out.push_str(&row("MOS", &heard.mos.row(MetricUnit::Score, &SCORES.map(|(_, stat)| stat))));
    out.push_str(&format!(
        "{:NAME$}{expected} packets   lost {lost} ({})   twice {duplicates}   out of order {reordered}\n",
        "callers →",
        share(*lost, *expected)
    ));
    if heard.strangers > 0 {
        out.push_str(&format!("{:NAME$}{} INVITEs from other addresses, ignored\n", "", heard.strangers));
    }
    out
}

/// Returns the report as JSON.
pub(super) fn json(plan: &ScenarioPlan, outcome: &ScenarioOutcome, judged: &[AssertionResult]) -> Value {
    let faults = outcome.faults();
    let SippStatistics { attempted, succeeded, failed, unfinished, retransmissions, response_ms, .. } =
        &outcome.statistics;
    json!({
        "ok": is_ok(outcome, judged),
        "valid": faults.is_empty(),
        "faults": faults,
        "assertions": judged.iter().map(AssertionResult::as_json).collect::<Vec<Value>>(),
        "load": {
            "scenario": plan.file.display().to_string(),
            "total": plan.total,
            "calls": plan.base.calls,
            "cps": plan.base.interval.as_secs_f64().recip(),
            "hold_s": plan.base.hold.as_secs_f64(),
            "timeout_s": plan.timeout.as_secs_f64(),
        },
        "seconds": outcome.lasted.as_secs_f64(),
        "cut_short": outcome.is_cut,
        "sipp": {
            "exit_code": outcome.exit_code,
            "attempted": attempted,
            "succeeded": succeeded,
            "failed": failed,
            "failures": outcome.failures,
            "unfinished": unfinished,
            "retransmissions": retransmissions,
            "response_ms": response_ms,
            "per_second": outcome.rate(),
        },
        "audio": outcome.heard.as_ref().map(CalleeAudio::as_json),
    })
}

/// Returns the report as JUnit XML: a case for each assertion, and one for SIPp.
///
/// # Errors
/// Returns the error of the XML writer.
pub(super) fn junit(plan: &ScenarioPlan, outcome: &ScenarioOutcome, judged: &[AssertionResult]) -> io::Result<Vec<u8>> {
    let reasons: String =
        outcome.failures.iter().map(|(reason, count)| format!("failed {count}: {reason}\n")).collect();
    let case = |one: &AssertionResult| {
        let wrong = one.failure().map(|message| {
            let is_of_sipp = one.text.starts_with("failed") && !reasons.is_empty();
            let text = if is_of_sipp { format!("{message}\n{reasons}") } else { message.clone() };
            CaseFailure { is_error: false, message, text }
        });
        TestCase { name: one.text.clone(), seconds: None, wrong, output: None }
    };
    let mut cases: Vec<TestCase> = judged.iter().map(case).collect();
    let faults = outcome.faults().join("; ");
    let wrong = (!faults.is_empty()).then(|| CaseFailure { is_error: true, message: faults.clone(), text: faults });
    let seconds = outcome.lasted.as_secs_f64();
    let output = Some(text(plan, outcome, judged));
    cases.push(TestCase { name: "sipp ran the scenario".to_owned(), seconds: Some(seconds), wrong, output });
    suite("trunkgate loadtest", "loadtest", seconds, &cases)
}

#[cfg(test)]
mod tests {
    use super::super::super::assertion::parse;
    use super::*;

    fn outcome() -> ScenarioOutcome {
        let statistics = SippStatistics { attempted: 4, succeeded: 3, failed: 1, ..SippStatistics::default() };
        ScenarioOutcome {
            statistics,
            failures: [("received 486 Busy Here while expecting '200' (index 4)".to_owned(), 1)].into(),
            fault: None,
            heard: Some(CalleeAudio { answered: 3, audible: 2, expected: 200, lost: 2, ..CalleeAudio::new().unwrap() }),
            lasted: Duration::from_secs(2),
            is_cut: false,
            exit_code: Some(1),
        }
    }

    fn value(outcome: &ScenarioOutcome, text: &str) -> Option<f64> {
        let one = parse(text).unwrap().remove(0);
        outcome.value(one.metric, one.stat)
    }

    #[test]
    fn values_come_from_sipp_and_from_the_callees() {
        let mut outcome = outcome();
        assert_eq!((value(&outcome, "failed=0"), value(&outcome, "answered=100%")), (Some(1.0), Some(0.75)));
        assert_eq!((value(&outcome, "loss<1%"), value(&outcome, "audible=100%")), (Some(0.01), Some(2.0 / 3.0)));
        assert_eq!(value(&outcome, "mos.p5>4"), None);
        outcome.heard = None;
        assert_eq!((value(&outcome, "failed=0"), value(&outcome, "loss<1%")), (Some(1.0), None));
    }

    #[test]
    fn faults_make_a_test_invalid() {
        let mut outcome = outcome();
        assert!(outcome.faults().is_empty() && is_ok(&outcome, &[]));
        outcome.fault = Some("sipp was ended by signal 11".to_owned());
        outcome.heard.as_mut().unwrap().unread = 3;
        let faults = outcome.faults();
        assert!(
            !is_ok(&outcome, &[]) && faults.len() == 2 && faults[1].starts_with("3 received packets"),
            "{faults:?}"
        );
    }
}
