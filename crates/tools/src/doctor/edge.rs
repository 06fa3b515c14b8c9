//! Problems of the running edge of this configuration file: their number, and the worst one.

use serde_json::Value;

use crate::client::{self, EdgePresence, EdgeTarget};
use crate::findings::{Finding, Level};
use trunkgate_config::Config;
use trunkgate_system::clock;
use trunkgate_system::text::number;

/// Name of the line about the running edge.
pub(super) const LINE: &str = "running edge";
/// Kinds of problems that other lines of `doctor` report.
const OWN_LINES: [&str; 3] = ["unsent", "codec_mismatch", "loss"];
/// Fix for a problem that brings none of its own.
const NO_FIX: &str = "`trunkgate status` shows more";

/// Edge to query, with the source of its address.
pub(super) struct Asked {
    /// Address of the edge; `None` if its port is known only while it runs.
    pub(super) edge: Option<EdgeTarget>,
    /// Whether the default address is used because `[http]` of the file cannot be read and no URL is given.
    pub(super) is_guessed: bool,
    /// Whether `--url` names the edge, instead of the file.
    pub(super) is_named: bool,
}

/// Returns the finding about the problems of the running edge, or about a missing or silent one.
pub(super) async fn problems(config: &Config, asked: &Asked, presence: &EdgePresence) -> Vec<Finding> {
    match presence {
        EdgePresence::Edge => {}
        EdgePresence::Silent(why) => {
            let (text, fix) = why.split_once("; try: ").unwrap_or((why, "`ss -lntup` shows the program at the port"));
            return vec![Finding::fail(LINE, text, fix)];
        }
        EdgePresence::Absent | EdgePresence::Other => return vec![none(config, asked)],
    }
    let Some(edge) = &asked.edge else { return vec![none(config, asked)] };
    match edge.status().await {
        Ok(status) => of_status(&status),
        Err(why) => {
            let fix =
                "let doctor read `[http] token` (run it as the service's user, or within its unit), or give it --token";
            vec![Finding::warn(LINE, format!("its problems are unknown: {why}"), fix)]
        }
    }
}

/// Returns the finding if no edge runs with this file, which is expected only if there are no call records.
fn none(config: &Config, asked: &Asked) -> Finding {
    let at =
        asked.edge.as_ref().map_or_else(|| format!("http://{}", config.http.address), |edge| edge.base().to_owned());
    if asked.is_named {
        return Finding::fail(LINE, format!("none at {at}"), "check --url, and whether the edge runs there");
    }
    if asked.is_guessed {
        let text = format!("none at {at}, the default address: [http] of the file cannot be read");
        return Finding::warn(LINE, text, "name the address of the edge: `trunkgate doctor --url http://ADDRESS`");
    }
    let text = format!("none at {at}: no edge runs with this configuration");
    match config.cdr.file.as_ref().filter(|file| file.path.exists()) {
        Some(file) => {
            let text = format!("{text}, and one has written {}", file.path.display());
            Finding::warn(
                LINE,
                text,
                "start it: `systemctl start trunkgate`, or `trunkgate run`; its log shows why it ended",
            )
        }
        None => Finding::ok(LINE, text),
    }
}

/// Turns a positive finding about a trunk, agent or application into a warning or failure if the running edge has a
/// problem with it.
pub(super) fn contradict(findings: &mut [Finding], status: &Value) {
    let problems = status["problem_details"].as_array().map(Vec::as_slice).unwrap_or_default();
    for finding in findings.iter_mut().filter(|finding| finding.level == Level::Ok) {
        let is_its = |problem: &&Value| {
            let is_of = |key: &&str| problem[*key].as_str().is_some_and(|of| finding.name == format!("{key} {of}"));
            ["trunk", "agent", "app"].iter().any(is_of) && problem["harm"] != "past"
        };
        let Some(problem) = problems.iter().find(is_its) else { continue };
        let found = of_problem(problem);
        let text = format!("{}; but in calls of the running edge: {}", finding.text, found.text);
        // The levels correspond to calls that fail because of the problem.
        let level = if matches!(problem["harm"].as_str(), Some("edge" | "calls")) { Level::Fail } else { Level::Warn };
        *finding = Finding { level, ..Finding::warn(finding.name.clone(), text, found.fix) };
    }
}

/// Returns the findings about the problems in `status`, except the kinds in [`OWN_LINES`]. Of several only the first is
/// shown with their number, because `status` lists all. They are failures, as for `status --check`; notes about unknown
/// sources are not. Number overrides are findings too.
fn of_status(status: &Value) -> Vec<Finding> {
    let all = status["problem_details"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = all.iter().filter(|problem| !OWN_LINES.iter().any(|kind| problem["kind"] == *kind));
    let (notes, problems): (Vec<&Value>, Vec<&Value>) = shown.partition(|problem| client::is_note(problem));
    let of = |all: Vec<&Value>, what| worst(all.into_iter().map(of_problem).collect(), what);
    let found = if problems.is_empty() { of(notes, "note") } else { of(problems, "problem") };
    let mut findings: Vec<Finding> = found.into_iter().collect();
    let set = status["config"]["number_overrides"].as_array().into_iter().flatten();
    let set = set.filter_map(|one| Some(format!("number {}: {}", one["number"].as_str()?, one["text"].as_str()?)));
    let set: Vec<Finding> = set.map(|text| Finding::ok(LINE, text)).collect();
    if findings.is_empty() {
        let calls = status["calls"].as_u64().and_then(|calls| usize::try_from(calls).ok()).unwrap_or_default();
        let text = format!(
            "{} runs {}, {}{}",
            status["edge"].as_str().unwrap_or("it"),
            ready(status),
            number(calls, "live call"),
            if all.is_empty() { "" } else { "; each problem has a line below" }
        );
        findings.push(Finding::ok(LINE, text));
    }
    findings.extend(set);
    findings
}

/// Returns one finding for all problems: the first one, and their number.
fn worst(problems: Vec<Finding>, what: &str) -> Option<Finding> {
    let level = problems.iter().map(|one| one.level).max()?;
    let count = problems.len();
    let first = problems.into_iter().next()?;
    if count == 1 {
        return Some(first);
    }
    let text = format!("{}, `trunkgate status` lists them; the first: {}", number(count, what), first.text);
    Some(Finding { level, text, ..first })
}

fn ready(status: &Value) -> &str {
    match status["state"].as_str() {
        Some("ready") => "and takes calls",
        Some(other) => other,
        None => "",
    }
}

fn of_problem(problem: &Value) -> Finding {
    let [headline, evidence, fix, command] =
        ["headline", "evidence", "fix", "command"].map(|key| problem[key].as_str());
    let evidence = evidence.map(|evidence| format!(": {evidence}")).unwrap_or_default();
    let text = format!("{}{evidence}{}", headline.unwrap_or("–"), client::lasting(problem, clock::now()));
    let fix = fix.map(super::without_doctor);
    let fix = match (fix.as_deref(), command) {
        (Some(fix), Some(command)) => format!("{fix} ({command})"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => NO_FIX.to_owned(),
    };
    let finding = Finding::warn(LINE, text, fix);
    if client::is_note(problem) { finding } else { Finding { level: Level::Fail, ..finding } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_edge_is_a_warning_where_one_has_run() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cdr.jsonl");
        let config = super::super::configured(&format!("[cdr]\nfile = {file:?}\n"));
        let asked = Asked { edge: None, is_guessed: false, is_named: false };
        assert_eq!(none(&config, &asked).level, Level::Ok, "before the first start");
        std::fs::write(&file, "").unwrap();
        let found = none(&config, &asked);
        assert_eq!(found.level, Level::Warn);
        assert!(found.text.starts_with("none at http://") && found.fix.contains("systemctl start"), "{found:?}");
    }

    #[test]
    fn problems_of_the_running_edge_are_one_line_that_fails_by_their_harm() {
        let problem = |harm: &str, headline: &str| json!({"harm": harm, "headline": headline, "evidence": "shown", "fix": "do", "command": "trunkgate trace CA1"});
        let mut all = [
            problem("calls", "trunk carrier rejected 16 of 16 calls in the last hour"),
            problem("media", "packets lost in 3 of 4 calls of the last hour with carrier"),
            problem("detour", "trunk pbx is down, calls go to their next target"),
            problem("strangers", "SIP from unknown sources is dropped"),
        ];
        all[1]["kind"] = json!("loss");
        let found = of_status(&json!({"edge": "edge-1", "state": "ready", "problem_details": all}));
        let seen: Vec<_> = found.iter().map(|one| (one.level, one.text.as_str())).collect();
        assert_eq!(
            seen,
            [(
                Level::Fail,
                "2 problems, `trunkgate status` lists them; the first: trunk carrier rejected 16 of 16 calls in the last hour: shown"
            ),],
            "packet loss has its own line, and strangers are not a problem"
        );
        let harmless = of_status(&json!({"edge": "edge-1", "state": "ready", "problem_details": [all[3]]}));
        assert_eq!(
            harmless,
            [Finding::warn(LINE, "SIP from unknown sources is dropped: shown", "do (trunkgate trace CA1)")]
        );
        assert_eq!(found[0].fix, "do (trunkgate trace CA1)");
        let detour = of_status(&json!({"edge": "edge-1", "state": "ready", "problem_details": [all[2], all[3]]}));
        assert_eq!((detour.len(), detour[0].level), (1, Level::Fail), "`status --check` has exit code 1");
        assert!(detour[0].text.starts_with("trunk pbx is down"), "{detour:?}");
        let lossy = of_status(&json!({"edge": "edge-1", "state": "ready", "calls": 2, "problem_details": [all[1]]}));
        assert_eq!(lossy[0].text, "edge-1 runs and takes calls, 2 live calls; each problem has a line below");
        let mut lines = [Finding::ok("agent bot", "WebSocket opened after 2 ms"), Finding::ok("agent bot2", "fine")];
        let mut bot = problem("detour", "agent bot keeps failing and is skipped");
        bot["agent"] = json!("bot");
        contradict(&mut lines, &json!({"problem_details": [bot]}));
        let text = "WebSocket opened after 2 ms; but in calls of the running edge: agent bot keeps failing and is skipped: shown";
        assert_eq!((lines[0].level, lines[0].text.as_str()), (Level::Warn, text));
        assert_eq!(lines[1].level, Level::Ok, "another agent");
        let well = of_status(&json!({"edge": "edge-1", "state": "ready", "calls": 2, "problem_details": []}));
        assert_eq!(well, [Finding::ok(LINE, "edge-1 runs and takes calls, 2 live calls")]);
    }
}
