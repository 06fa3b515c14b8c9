//! Report of a load test, as text and as JSON.

use serde_json::{Value, json};

use super::assertion::{Assertion, MetricStatistic, MetricUnit};
use super::line::CallRole;
use super::plan::LoadTestPlan;
use super::results::{LoadTestResults, PacketCounts};

/// Columns of the table of distributions.
pub(super) const COLUMNS: [(&str, MetricStatistic); 5] = [
    ("p50", MetricStatistic::Percentile(50.0)),
    ("p95", MetricStatistic::Percentile(95.0)),
    ("p99", MetricStatistic::Percentile(99.0)),
    ("max", MetricStatistic::Max),
    ("mean", MetricStatistic::Mean),
];
/// Columns for MOS: low percentiles, because low values are the bad ones.
pub(super) const SCORES: [(&str, MetricStatistic); 5] = [
    ("p50", MetricStatistic::Percentile(50.0)),
    ("p5", MetricStatistic::Percentile(5.0)),
    ("p1", MetricStatistic::Percentile(1.0)),
    ("min", MetricStatistic::Min),
    ("mean", MetricStatistic::Mean),
];
/// Width of a row's name, in characters.
const NAME: usize = 11;
/// Width of a cell, in characters.
const CELL: usize = 11;

/// Result of one assertion.
#[derive(Debug)]
pub(super) struct AssertionResult {
    pub(super) text: String,
    /// Measured value with its unit; `None` if nothing was measured.
    pub(super) value: Option<String>,
    pub(super) holds: bool,
}

impl AssertionResult {
    /// Compares an assertion with a measured value.
    pub(super) fn new(assertion: &Assertion, value: Option<f64>) -> AssertionResult {
        AssertionResult {
            text: assertion.text.clone(),
            value: value.map(|value| assertion.kind.show(value)),
            holds: value.is_some_and(|value| assertion.holds(value)),
        }
    }

    /// Returns the reason why the assertion does not hold; `None` if it holds.
    pub(super) fn failure(&self) -> Option<String> {
        let value = self.value.as_deref().unwrap_or("no measurements");
        (!self.holds).then(|| format!("{} does not hold: {value}", self.text))
    }

    /// Formats the result as a line of the report.
    pub(super) fn line(&self) -> String {
        let verdict = if self.holds { "ok  " } else { "FAIL" };
        format!("  {verdict}  {:28}  {}\n", self.text, self.value.as_deref().unwrap_or("not measured"))
    }

    /// Formats the result as a JSON object.
    pub(super) fn as_json(&self) -> Value {
        json!({"assertion": self.text, "holds": self.holds, "value": self.value})
    }
}

/// Returns the report as text.
pub(super) fn text(plan: &LoadTestPlan, results: &LoadTestResults, judged: &[AssertionResult]) -> String {
    let share = |part: u64, whole: u64| MetricUnit::Share.show(part as f64 / whole.max(1) as f64);
    let mut out = format!(
        "calls      attempted {}   answered {} ({})   failed {}   dropped {}   concurrent {}   {:.2} per second\n",
        results.attempted,
        results.answered,
        share(results.answered, results.attempted),
        results.failed(),
        results.dropped,
        results.held,
        results.rate(),
    );
    for (reason, count) in &results.failures {
        out.push_str(&format!("           failed {count}: {reason}\n"));
    }
    out.push('\n');
    out.push_str(&row("", &COLUMNS.map(|(name, _)| name.to_owned())));
    for (name, figures) in [
        ("set-up", &results.setup),
        ("post-dial", &results.post_dial),
        ("delay", &results.delay),
        ("jitter", &results.jitter),
    ] {
        out.push_str(&row(name, &figures.row(MetricUnit::Time, &COLUMNS.map(|(_, stat)| stat))));
    }
    out.push_str(&row("", &SCORES.map(|(name, _)| name.to_owned())));
    out.push_str(&row("MOS", &results.mos.row(MetricUnit::Score, &SCORES.map(|(_, stat)| stat))));
    out.push('\n');
    for (name, packets) in
        [("callers →", results.said_by(CallRole::Caller)), ("callees →", results.said_by(CallRole::Callee))]
    {
        out.push_str(&direction(name, &packets));
    }
    if results.foreign > 0 {
        let told = "not sent by this generator: transcoded audio, or from another call";
        out.push_str(&format!("           {} packets were received {told}\n", results.foreign));
    }
    if results.strangers > 0 {
        let count =
            if results.strangers == 1 { "1 INVITE".to_owned() } else { format!("{} INVITEs", results.strangers) };
        out.push_str(&format!("           ignored {count} from addresses other than the edge's\n"));
    }
    let (sent, received) = (results.sent_again, results.came_again);
    out.push_str(&format!("SIP again  {sent} sent, {received} received\n\n"));
    judged.iter().for_each(|one| out.push_str(&one.line()));
    let faults = results.faults();
    for fault in &faults {
        out.push_str(&format!("  not valid: the generator cannot keep its pace: {fault}\n"));
    }
    let failed = judged.iter().filter(|one| !one.holds).count();
    out.push_str(&match (failed, faults.is_empty()) {
        (0, true) => format!("ok ({:.1} s, {})\n", results.lasted.as_secs_f64(), length(plan, results)),
        (0, false) => "NOT VALID: these figures show the generator, not the edge\n".to_owned(),
        (failed, _) => format!("FAILED: {failed} of {} assertions\n", judged.len()),
    });
    out
}

fn length(plan: &LoadTestPlan, results: &LoadTestResults) -> String {
    let whole = plan.duration.as_secs_f64();
    match results.is_cut {
        true => format!("stopped before {whole} s were over"),
        false => format!("each call held {:.1} s", plan.hold.as_secs_f64()),
    }
}

fn direction(name: &str, packets: &PacketCounts) -> String {
    let PacketCounts { sent, lost, late, duplicates, reordered, harmed } = *packets;
    let share = |part: u64| MetricUnit::Share.show(part as f64 / sent.max(1) as f64);
    format!(
        "{name:NAME$}{sent} packets   lost {lost} ({})   late {late}   twice {duplicates}   out of order {reordered}   \
         harmed {harmed}\n",
        share(lost)
    )
}

/// Formats a row of the table: name and left-aligned cells.
pub(super) fn row(name: &str, cells: &[String]) -> String {
    let mut line = format!("{name:NAME$}");
    for cell in cells {
        line.push_str(&format!("{cell:CELL$}"));
    }
    line.truncate(line.trim_end().len());
    line + "\n"
}

/// Returns the report as JSON.
pub(super) fn json(plan: &LoadTestPlan, results: &LoadTestResults, judged: &[AssertionResult]) -> Value {
    let faults = results.faults();
    let assertions: Vec<Value> = judged.iter().map(AssertionResult::as_json).collect();
    let mut all = results.as_json();
    all["ok"] = is_ok(results, judged).into();
    all["valid"] = faults.is_empty().into();
    all["faults"] = faults.into();
    all["assertions"] = assertions.into();
    all["load"] = json!({
        "calls": plan.calls,
        "cps": plan.interval.as_secs_f64().recip(),
        "duration_s": plan.duration.as_secs_f64(),
        "hold_s": plan.hold.as_secs_f64(),
    });
    all
}

/// Returns whether all assertions hold and the measurements are valid.
pub(super) fn is_ok(results: &LoadTestResults, judged: &[AssertionResult]) -> bool {
    results.faults().is_empty() && judged.iter().all(|one| one.holds)
}
