//! Layout of long pages and empty lists.

use jiff::Timestamp;
use serde_json::Value;

use super::CALLS_SHOWN;
use trunkgate_system::clock;
use trunkgate_system::terminal;
use trunkgate_system::text::{number, span};

/// Repeats the first line, which is the most important one, at the end of a page that is longer than the terminal.
pub(super) fn with_its_head(page: String, columns: usize, rows: usize) -> String {
    // One line is left for the shell's prompt.
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

/// Appends as many calls to `head` as fit on the terminal, newest first, and the number of calls left out.
pub(super) fn newest_that_fit(head: String, calls: Vec<String>, rows: Option<usize>) -> String {
    let height = |text: &String| text.lines().count();
    let lines: usize = calls.iter().map(height).sum::<usize>() + height(&head);
    // One line is left for the shell's prompt.
    let Some(rows) = rows.filter(|rows| lines >= *rows) else { return head + &calls.concat() };
    let mut room = rows.saturating_sub(2 + height(&head));
    let fit = calls.iter().take_while(|call| {
        let fits = height(call) <= room;
        room = room.saturating_sub(height(call));
        fits
    });
    let shown = fit.count().max(1);
    let more = calls.len() - shown;
    let at_least = if calls.len() >= CALLS_SHOWN { "at least " } else { "" };
    let note = match more {
        0 => String::new(),
        more => format!("… {at_least}{} (all: --limit N, or through a pipe)\n", number(more, "older call")),
    };
    head + &calls.into_iter().take(shown).collect::<String>() + &note
}

/// Returns the text for a list without calls: the start of the list, the filters, the number of interrupted calls, and
/// the source of older records.
pub(super) fn no_calls(answer: &Value, filters: &[(&str, &str)]) -> String {
    let start = answer["listed_since"].as_str().map(|start| {
        let ago = since(Some(start)).map(|seconds| format!(" ({} ago)", span(seconds))).unwrap_or_default();
        let (second, _) = start.split_once('.').unwrap_or((start, ""));
        format!(" since the start at {}Z{ago}", second.trim_end_matches('Z'))
    });
    let start = start.unwrap_or_default();
    let mut out = if filters.is_empty() {
        format!("no calls{start}\n")
    } else {
        let written: Vec<String> =
            filters.iter().map(|(key, value)| format!("--{key} {}", terminal::harmless(value))).collect();
        format!("no call{start} matches {}\n", written.join(" "))
    };
    if let Some(calls) = answer["cut_short"].as_u64().and_then(|calls| usize::try_from(calls).ok()) {
        let calls = number(calls, "call");
        out.push_str(&format!(
            "  the previous process did not shut down cleanly and cut {calls} short (reason edge_restarted)\n"
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
    u64::try_from(clock::now().as_second() - when.as_second()).ok()
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
        let page = no_calls(&crashed, &[]);
        assert!(page.starts_with("no calls since the start at 2026-01-01T10:00:00Z ("), "{page}");
        assert!(
            page.contains(
                "\n  the previous process did not shut down cleanly and cut 2 calls short (reason edge_restarted)\n"
            ),
            "{page}"
        );
        assert!(page.ends_with("\n  records of earlier calls: /var/cdr.jsonl\n"), "{page}");
        let stored = json!({"calls": [], "listed_since": null, "cut_short": null, "records": null});
        assert_eq!(no_calls(&stored, &[]), "no calls\n");
        assert_eq!(no_calls(&json!({"calls": []}), &[]), "no calls\n", "an edge of an earlier version");
    }

    #[test]
    fn a_filter_that_matches_no_call_is_named() {
        let filters = [("trunk", "pbx"), ("code", "486")];
        let page = no_calls(&json!({"calls": [], "listed_since": null}), &filters);
        assert_eq!(page, "no call matches --trunk pbx --code 486\n");
        let started = json!({"calls": [], "listed_since": "2026-01-01T10:00:00.25Z"});
        let page = no_calls(&started, &filters);
        assert!(page.starts_with("no call since the start at 2026-01-01T10:00:00Z ("), "{page}");
        assert!(page.contains(") matches --trunk pbx --code 486\n"), "{page}");
    }

    #[test]
    fn the_newest_calls_are_those_that_fit() {
        let calls = |many: usize| (0..many).map(|n| format!("{n}\n")).collect::<Vec<_>>();
        let page = |many, rows| newest_that_fit("HEAD\n".to_owned(), calls(many), rows);
        assert_eq!(page(3, None), "HEAD\n0\n1\n2\n");
        assert_eq!(page(3, Some(5)), "HEAD\n0\n1\n2\n");
        assert_eq!(page(4, Some(5)), "HEAD\n0\n1\n… 2 older calls (all: --limit N, or through a pipe)\n");
        assert_eq!(page(1, Some(1)), "HEAD\n0\n", "one is always shown");
        assert!(
            page(CALLS_SHOWN, Some(24)).contains("\n20\n… at least 79 older calls ("),
            "{}",
            page(CALLS_SHOWN, Some(24))
        );
        // Calls with two lines are not cut in half.
        let pairs: Vec<String> = (0..20).map(|n| format!("{n}\n  to\n")).collect();
        let page = newest_that_fit(String::new(), pairs, Some(24));
        assert_eq!((page.lines().count(), page.contains("\n10\n  to\n…")), (23, true), "{page}");
    }
}
