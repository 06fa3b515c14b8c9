//! Explains columns, metrics and keys from the tables of the documentation.

use trunkgate_system::text::capital;

/// Documentation pages: subject of their tables, file name, and text.
const PAGES: [(&str, &str, &str); 3] = [
    (
        "column of `status`, `calls` or `top`",
        "reference/command-line.md",
        include_str!("../../../../docs/reference/command-line.md"),
    ),
    ("part of a line of `top`", "operate/top.md", include_str!("../../../../docs/operate/top.md")),
    ("metric", "operate/metrics.md", include_str!("../../../../docs/operate/metrics.md")),
];

const API: &str = include_str!("../../../../docs/reference/twilio-api.md");
const KEYS: &str = include_str!("../../../../docs/reference/keys.md");
const RUNBOOK: &str = include_str!("../../../../docs/operate/runbook.md");

/// Explains a word with the table row that begins with it, ignoring case; a space matches `_`.
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

/// Explains an error code of the Twilio-compatible API from the page's table of errors.
pub(super) fn api_code(topic: &str) -> Option<String> {
    let (_, errors) = API.split_once("\n## Errors\n")?;
    let mut out = String::new();
    for row in errors.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [status, codes, cause] = cells.as_slice() else { continue };
        if codes.split(", ").any(|code| code == topic) && topic.len() == 5 {
            out.push_str(&format!("Status {status}: {}.\n", plain(cause)));
        }
    }
    let head = || format!("{topic}: error code of the Twilio-compatible API (Twilio's number)\n\n");
    (!out.is_empty()).then(|| format!("{}{out}\nSee docs/reference/twilio-api.md.\n", head()))
}

/// Explains a configuration key in each section that has it.
pub(super) fn key(topic: &str) -> Option<String> {
    let mut section = "";
    let mut out = String::new();
    for line in KEYS.lines() {
        if line.starts_with('#') {
            section = line.trim_start_matches(['#', ' ']);
        }
        if !names(line).any(|name| name == topic) {
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, kind, default, meaning] = cells.as_slice() else { continue };
        let (kind, default, meaning) = (plain(kind), plain(default), plain(meaning));
        out.push_str(&format!(
            "{topic}: key of {}\n\n{}. {}; default: {default}.\n\n",
            section.replace('`', ""),
            capital(meaning.trim_end_matches('.')),
            capital(&kind)
        ));
    }
    (!out.is_empty()).then(|| format!("{out}See docs/reference/keys.md.\n"))
}

/// Returns the section of the runbook about an alert.
pub(super) fn alert(topic: &str) -> Option<String> {
    let section = RUNBOOK.split("\n## ").skip(1).find_map(|section| {
        let (name, text) = section.split_once('\n')?;
        name.eq_ignore_ascii_case(topic).then_some((name, text))
    });
    let (name, text) = section?;
    Some(format!("{name}: alert\n\n{}\n\nSee docs/operate/runbook.md.\n", plain(text.trim())))
}

/// Returns the words in backticks in the first cell of a table row.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let cell = line.strip_prefix("| ").and_then(|row| row.split(" | ").next()).unwrap_or_default();
    cell.split('`').skip(1).step_by(2)
}

/// Converts Markdown to text: removes backticks, and keeps only the text of links.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(before);
        rest = match link(after) {
            Some((words, behind)) => {
                out.push_str(words);
                behind
            }
            // The brackets are not a link, but a section of the configuration or a list.
            None => {
                out.push('[');
                after
            }
        };
    }
    (out + rest).replace("**", "")
}

/// Splits `text`, which follows an opening bracket, into the link's words and the text behind its URL; `None` if it is
/// no link. The words may contain brackets.
fn link(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    let end = text.char_indices().find(|(_, char)| {
        depth += i32::from(*char == '[') - i32::from(*char == ']');
        depth < 0
    });
    let (words, behind) = (text.get(..end?.0)?, text.get(end?.0 + 1..)?);
    let (_, behind) = behind.strip_prefix('(')?.split_once(')')?;
    Some((words, behind))
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
        for name in ["failover_on", "media_from", "congested_on", "peers", "first_audio_timeout"] {
            let text = key(name).unwrap_or_else(|| panic!("{name}"));
            assert!(text.starts_with(&format!("{name}: key of [")) && text.contains("default: "), "{text}");
        }
        assert!(key("meaning").is_none() && key("").is_none());
        let alert = alert("trunkgateappfails").unwrap();
        assert!(alert.starts_with("TrunkgateAppFails: alert\n\nMeans Webhooks of an application"), "{alert}");
        assert!(alert.contains("\n\nDo Correct the application") && super::alert("Runbook").is_none());
        assert_eq!(plain("a [b c](d.md#e) and `f` [g"), "a b c and `f` [g");
        assert_eq!(plain("`[edge] a` of [`[x] y`](d.md) [z]"), "`[edge] a` of `[x] y` [z]");
    }

    #[test]
    fn codes_of_the_api_are_explained_by_their_rows() {
        let denied = api_code("21215").unwrap();
        assert!(
            denied.starts_with("21215: error code of the Twilio-compatible API")
                && denied.contains("Status 400: no trunk"),
            "{denied}"
        );
        assert_eq!(api_code("21211").unwrap().matches("Status 400: ").count(), 2, "of calls and of messages");
        let known = ["20003", "20404", "20429", "20501", "21205", "21210", "21220", "21610"];
        assert!(known.iter().all(|code| api_code(code).is_some()));
        assert!(api_code("code").is_none() && api_code("").is_none() && api_code("11200").is_none());
    }

    #[test]
    fn every_alert_is_explained_without_markup() {
        let rules = include_str!("../../../../deploy/prometheus/alerts.yml");
        let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        assert!(alerts.len() > 30, "{alerts:?}");
        for name in alerts {
            let text = alert(name).unwrap_or_else(|| panic!("{name}"));
            let text = text.trim_end_matches("See docs/operate/runbook.md.\n");
            assert!(!text.contains("](") && !text.contains("**"), "{name}: {text}");
            let depth = text.chars().try_fold(0, |depth: u32, char| match char {
                '[' => Some(depth + 1),
                ']' => depth.checked_sub(1),
                _ => Some(depth),
            });
            assert_eq!(depth, Some(0), "{name}: {text}");
        }
    }
}
