//! Columns and metrics, explained as the documents do it: the rows of their tables are the only place where that is written.

use crate::system::text::capital;

/// What its tables explain, the name of the page, and its text.
const PAGES: [(&str, &str, &str); 3] = [
    ("column of `status`, `calls` or `top`", "command-line.md", include_str!("../../../docs/command-line.md")),
    ("part of a line of `top`", "top.md", include_str!("../../../docs/top.md")),
    ("metric", "metrics.md", include_str!("../../../docs/metrics.md")),
];

const RUNBOOK: &str = include_str!("../../../docs/runbook.md");

/// Returns the explanation of a word by a table's row that begins with it, in either case and with a space for `_`.
pub(super) fn explain(topic: &str) -> Option<String> {
    let topic = topic.to_lowercase().replace('_', " ");
    let found = PAGES.iter().find_map(|(kind, page, text)| {
        let row = text.lines().find(|line| names(line).any(|name| name.to_lowercase().replace('_', " ") == topic))?;
        Some((kind, page, row))
    });
    let (kind, page, row) = found?;
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    let meaning = plain(cells.last()?);
    let name = names(row).find(|name| name.to_lowercase().replace('_', " ") == topic)?;
    Some(format!("{name}: {kind}\n\n{}. See docs/{page}.\n", capital(meaning.trim_end_matches('.'))))
}

/// Returns the section of the runbook on an alert.
pub(super) fn alert(topic: &str) -> Option<String> {
    let section = RUNBOOK.split("\n## ").skip(1).find_map(|section| {
        let (name, text) = section.split_once('\n')?;
        name.eq_ignore_ascii_case(topic).then_some((name, text))
    });
    let (name, text) = section?;
    Some(format!("{name}: alert\n\n{}\n\nSee docs/runbook.md.\n", plain(text.trim())))
}

/// Returns the words in backticks of the first cell of a row of a table.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let cell = line.strip_prefix("| ").and_then(|row| row.split(" | ").next()).unwrap_or_default();
    cell.split('`').skip(1).step_by(2)
}

/// Returns Markdown as text: without backticks, and of a link its words.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((words, behind)) = after.split_once("](") else { break };
        let Some((_, behind)) = behind.split_once(')') else { break };
        out.push_str(before);
        out.push_str(words);
        rest = behind;
    }
    (out + rest).replace("**", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_metrics_are_explained_by_their_row() {
        let cps = explain("cps").unwrap();
        assert!(cps.starts_with("CPS: column of `status`, `calls` or `top`\n\nNew calls in the last"), "{cps}");
        let metric = explain("trunkgate_call_mos").unwrap();
        assert!(metric.contains("\n\nMean opinion score of the audio") && metric.contains("(quality.md)"), "{metric}");
        assert!(explain("last_options").is_some() && explain("meaning").is_none() && explain("").is_none());
        let alert = alert("trunkgateappfails").unwrap();
        assert!(alert.starts_with("TrunkgateAppFails: alert\n\nMeans Webhooks of an application"), "{alert}");
        assert!(alert.contains("\n\nDo Correct the application") && super::alert("Runbook").is_none());
        assert_eq!(plain("a [b c](d.md#e) and `f` [g"), "a b c and `f` [g");
    }
}
