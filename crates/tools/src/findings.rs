//! Findings of `doctor` and `agent test`, one per line: ok, warn or FAIL, with a fix; as a page of 80 columns or as
//! JSON.

use serde_json::{Value, json};
use trunkgate_system::text::number;

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        }
    }
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// Name of the check.
    pub(crate) name: String,
    /// Evidence for the result, in words.
    pub(crate) text: String,
    /// Suggested fix; empty if none is needed.
    pub(crate) fix: String,
}

impl Finding {
    pub(crate) fn ok(name: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, name: name.into(), text: text.into(), fix: String::new() }
    }

    pub(crate) fn warn(name: impl Into<String>, text: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { level: Level::Warn, name: name.into(), text: text.into(), fix: fix.into() }
    }

    pub(crate) fn fail(name: impl Into<String>, text: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { level: Level::Fail, ..Finding::warn(name, text, fix) }
    }
}

/// Maximum width of a line, in characters, unless a single word is longer.
const COLUMNS: usize = 80;
/// Number of findings up to which a page has no summary of failures.
const SHORT: usize = 5;
/// Length of a fix in bytes up to which it is repeated in full for further findings.
const SHORT_FIX: usize = 40;
/// Indentation of a fix that does not fit behind the indentation of its finding, in characters.
const REMEDY_COLUMN: usize = 8;

/// Formats all findings, a summary of failures, the counts and an exit code other than 0. Lines are wrapped on a
/// terminal; in a file or pipe each finding and each fix is one line, for `grep`.
pub(crate) fn text(findings: &[Finding], code: u8, is_terminal: bool) -> String {
    let columns = if is_terminal { COLUMNS } else { usize::MAX };
    let width = findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or(0);
    let behind = " ".repeat(width + 10);
    let mut out = String::new();
    // Several findings may have one cause: the fix is printed with the first one.
    let mut given: Vec<(&str, &str)> = Vec::new();
    for Finding { level, name, text, fix } in findings {
        let head = format!("  {:<4}  {name:<width$}  ", level.as_str());
        out.push_str(&wrapped(&head, &behind, text, columns));
        if fix.is_empty() {
            continue;
        }
        let known = given.iter().find(|(earlier, _)| *earlier == fix && fix.len() > SHORT_FIX);
        let known = known.map(|(_, name)| format!("try: as for {name}, above"));
        given.push((fix, name));
        let fix = known.unwrap_or_else(|| format!("try: {fix}"));
        let length = fix.chars().count();
        // A command to copy into a shell is not wrapped if it fits.
        let is_too_long = behind.len() + length > columns && REMEDY_COLUMN + length <= COLUMNS;
        let is_whole_there = is_too_long && fix.starts_with("try: sysctl ");
        let column = if is_whole_there { " ".repeat(REMEDY_COLUMN) } else { behind.clone() };
        out.push_str(&wrapped(&column, &column, &fix, columns));
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (failures, warnings) = (number(count(Level::Fail), "failure"), number(count(Level::Warn), "warning"));
    let mut failed: Vec<&str> = Vec::new();
    for Finding { name, .. } in findings.iter().filter(|finding| finding.level == Level::Fail) {
        if !failed.contains(&name.as_str()) {
            failed.push(name);
        }
    }
    // All failures of a short page are visible without a summary.
    if !failed.is_empty() && findings.len() > SHORT {
        out.push_str(&wrapped("FAIL: ", "      ", &failed.join(", "), columns));
    }
    let exit = if code > 0 { format!(" (exit {code})") } else { String::new() };
    out.push_str(&format!("{failures}, {warnings}{exit}\n"));
    out
}

/// Appends words to `head`, wrapped to `columns`; further lines begin with `column`.
fn wrapped(head: &str, column: &str, text: &str, columns: usize) -> String {
    let (mut out, mut line, mut is_begun) = (String::new(), head.to_owned(), false);
    for word in text.split(' ') {
        if is_begun && line.chars().count() + 1 + word.chars().count() > columns {
            out.push_str(line.trim_end());
            out.push('\n');
            (line, is_begun) = (column.to_owned(), false);
        }
        if is_begun {
            line.push(' ');
        }
        line.push_str(word);
        is_begun = true;
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

/// Returns a finding as a JSON object.
pub(crate) fn json(finding: &Finding) -> Value {
    json!({
        "level": finding.level.as_str().to_lowercase(),
        "name": finding.name,
        "text": finding.text,
        "fix": Some(&finding.fix).filter(|fix| !fix.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_under_each_other_with_what_would_help() {
        let findings = [
            Finding::ok("config", "f.toml, 2 trunks, 1 routes"),
            Finding::warn("udp buffers", "rmem_max 212992 bytes", "sysctl -w net.core.rmem_max=4194304"),
            Finding::fail("dns", "no address", "the name"),
        ];
        let expected = "  ok    config       f.toml, 2 trunks, 1 routes\n  \
                        warn  udp buffers  rmem_max 212992 bytes\n                     \
                        try: sysctl -w net.core.rmem_max=4194304\n  \
                        FAIL  dns          no address\n                     try: the name\n\
                        1 failure, 1 warning (exit 1)\n";
        assert_eq!((text(&findings, 1, true), text(&findings, 1, false)), (expected.to_owned(), expected.to_owned()));
        let json: Value = findings.iter().map(json).collect();
        assert_eq!((json[2]["level"].as_str(), json[0]["fix"].is_null()), (Some("fail"), true));
    }

    #[test]
    fn no_line_is_longer_than_eighty_columns_and_a_command_stays_whole() {
        let long = "it is so ".repeat(30);
        let command = "sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\"";
        let findings = [
            Finding::warn("ephemeral range", long.trim(), command),
            Finding::fail("options carrier", format!("a {} b", "x".repeat(90)), long.trim()),
        ];
        let page = text(&findings, 1, true);
        let words = |line: &str| line.split_whitespace().count();
        assert!(page.lines().all(|line| line.chars().count() <= COLUMNS || words(line) == 1), "{page}");
        assert!(page.contains(&format!("\n        try: {command}\n")), "{page}");
        let again: Vec<&str> = page.split_whitespace().collect();
        assert_eq!(again.iter().filter(|word| **word == "so").count(), 60, "nothing is lost");
        let piped = text(&findings, 1, false);
        assert!(piped.lines().count() == 5 && piped.contains(long.trim()), "{piped}");
    }

    #[test]
    fn a_fix_of_several_lines_is_said_once() {
        let long = "look at the firewall between the carrier and the media ports";
        let findings =
            ["edge", "inbound udp", "outbound udp"].map(|name| Finding::fail(name, "no audio of carrier", long));
        let page = text(&findings, 1, false);
        assert_eq!(page.matches(long).count(), 1, "{page}");
        assert_eq!(page.matches("try: as for edge, above").count(), 2, "{page}");
        assert!(findings.iter().all(|finding| json(finding)["fix"] == long), "programs get it with each");
    }

    #[test]
    fn a_long_page_ends_with_what_fails() {
        let line = |n| Finding::fail(if n % 2 == 0 { "options a" } else { "agent b" }, "gone", "look");
        let page = text(&(0..6).map(line).collect::<Vec<_>>(), 1, true);
        assert!(page.ends_with("look\nFAIL: options a, agent b\n6 failures, 0 warnings (exit 1)\n"), "{page}");
    }
}
