//! Pages of verbs at their limits: a list without calls, and a page that is longer than the terminal, and ages of what they show.

use jiff::Timestamp;
use serde_json::Value;

use crate::system::text::{number, span};

/// Repeats the first line of a page below it where the page is longer than the terminal: that line is what matters most.
pub(super) fn with_its_head(page: String, columns: usize, rows: usize) -> String {
    // The shell's prompt needs a line as well.
    if page.lines().count() < rows {
        return page;
    }
    let head: String = page
        .lines()
        .enumerate()
        .take_while(|(at, line)| *at == 0 || line.starts_with(' '))
        .map(|(_, line)| line)
        .collect::<Vec<_>>()
        .join("\n");
    let rule = "─".repeat(columns.min(80));
    format!("{page}{rule}\n{head}\n")
}

/// Says since when there is no call, how many a crash cut short, and where the records of earlier ones are.
pub(super) fn no_calls(answer: &Value) -> String {
    let mut out = match answer["listed_since"].as_str() {
        Some(start) => {
            let ago = since(Some(start)).map(|seconds| format!(" ({} ago)", span(seconds))).unwrap_or_default();
            let (second, _) = start.split_once('.').unwrap_or((start, ""));
            format!("no calls since the start at {}Z{ago}\n", second.trim_end_matches('Z'))
        }
        None => "no calls\n".to_owned(),
    };
    if let Some(calls) = answer["cut_short"].as_u64().and_then(|calls| usize::try_from(calls).ok()) {
        let calls = number(calls, "call");
        out.push_str(&format!(
            "  the process before ended without a stop and cut {calls} short (reason edge_restarted)\n"
        ));
    }
    match (answer["records"].as_str(), answer["listed_since"].is_string()) {
        (Some(file), _) => out.push_str(&format!("  records of earlier calls: {file}\n")),
        (None, true) => out.push_str("  earlier calls are not kept: `file` of [cdr] is not set\n"),
        (None, false) => {}
    }
    out
}

pub(super) fn since(when: Option<&str>) -> Option<u64> {
    let when: Timestamp = when?.parse().ok()?;
    u64::try_from(Timestamp::now().as_second() - when.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_that_is_too_long_ends_with_its_first_line() {
        let page = "edge-1   1 problem: trunk a\n  is down\n0.1.0   up\nLISTENERS\n";
        assert_eq!(with_its_head(page.to_owned(), 4, 5), page);
        assert_eq!(
            with_its_head(page.to_owned(), 4, 4),
            format!("{page}────\nedge-1   1 problem: trunk a\n  is down\n")
        );
    }

    #[test]
    fn no_calls_says_since_when_and_where_others_are() {
        let crashed = json!({"calls": [], "listed_since": "2026-01-01T10:00:00.25Z", "cut_short": 2, "records": "/var/cdr.jsonl"});
        let page = no_calls(&crashed);
        assert!(page.starts_with("no calls since the start at 2026-01-01T10:00:00Z ("), "{page}");
        assert!(
            page.contains(
                "\n  the process before ended without a stop and cut 2 calls short (reason edge_restarted)\n"
            ),
            "{page}"
        );
        assert!(page.ends_with("\n  records of earlier calls: /var/cdr.jsonl\n"), "{page}");
        let stored = json!({"calls": [], "listed_since": null, "cut_short": null, "records": null});
        assert_eq!(no_calls(&stored), "no calls\n");
        assert_eq!(no_calls(&json!({"calls": []})), "no calls\n", "an edge of an earlier version");
    }
}
