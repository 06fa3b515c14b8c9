//! Plain English in texts for users: no banned words in help, messages, the console and README.md; help lines are short
//! and begin with a verb or noun.

use std::fs;

use clap::CommandFactory as _;
use regex::Regex;

use super::documents::document;
use super::tree::{Source, report, root, rust};

/// Words that texts for users must not contain.
const BANNED: &str = r"(?i)\b(whoever|whomever|whatever|nobody|somebody|besides|anew|likewise|thereof|told)\b";

/// Words with which help lines must not begin.
pub(super) const OPENINGS: &str = r"^(It|Its|What|Who|Whose|Whom|Where|How|Why|When|By|The same)\b";

const HELP_COLUMNS: usize = 100;

/// Files that may still contain banned words in messages; clean files must be removed from the list.
const NOT_YET: [&str; 0] = [];

/// Returns the string literals in the product lines of a file, each with its first line.
pub(super) fn literals(source: &Source) -> Vec<(usize, String)> {
    let text: Vec<char> = source.product_lines().flat_map(|line| line.text.chars().chain(['\n'])).collect();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while let Some(&sign) = text.get(at) {
        let rest = &text[at..];
        let before = at.checked_sub(1).map_or(' ', |before| text[before]);
        match sign {
            '/' if rest.starts_with(&['/', '/']) => at += rest.iter().take_while(|c| **c != '\n').count(),
            // A character literal, not a lifetime.
            '\'' if rest.get(1) == Some(&'\\') => at += 3 + rest[3..].iter().take_while(|c| **c != '\'').count(),
            '\'' if rest.get(2) == Some(&'\'') => at += 3,
            '"' => {
                let end = end_of_string(rest);
                found.push((line, rest[1..end].iter().collect()));
                line += rest[..end].iter().filter(|c| **c == '\n').count();
                at += end + 1;
            }
            'r' if !before.is_alphanumeric() && before != '_' => match raw(rest) {
                Some((from, to, after)) => {
                    found.push((line, rest[from..to].iter().collect()));
                    line += rest[..after].iter().filter(|c| **c == '\n').count();
                    at += after;
                }
                None => at += 1,
            },
            _ => {
                line += usize::from(sign == '\n');
                at += 1;
            }
        }
    }
    found
}

/// Returns the index of the quote that closes a string.
fn end_of_string(text: &[char]) -> usize {
    let mut at = 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at.min(text.len() - 1)
}

/// Returns the begin and end of a raw string, and the first index after it; `None` if there is no raw string.
fn raw(text: &[char]) -> Option<(usize, usize, usize)> {
    let hashes = text[1..].iter().take_while(|c| **c == '#').count();
    (text.get(1 + hashes) == Some(&'"')).then_some(())?;
    let from = hashes + 2;
    let closes = |at: &usize| text[*at] == '"' && text[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    let to = (from..text.len()).find(closes)?;
    Some((from, to, to + 1 + hashes))
}

/// Returns whether a literal is a message, and not a name such as a JSON field.
fn is_text(literal: &str) -> bool {
    literal.contains(' ')
}

/// Returns the files of the product, without tests, and without the simulator, which only tests run.
pub(super) fn product() -> impl Iterator<Item = Source> {
    let is_product = |path: &str| path.starts_with("src/") || (path.starts_with("crates/") && path.contains("/src/"));
    let simulator = |path: &str| path.starts_with("crates/sim/");
    rust().into_iter().filter(move |source| is_product(&source.path) && !simulator(&source.path) && !source.is_test())
}

#[test]
fn messages_are_plain_english() {
    // Names in braces are code.
    let (banned, placeholder) = (Regex::new(BANNED).unwrap(), Regex::new(r"\{[^}]*\}").unwrap());
    let (mut broken, mut found) = (Vec::new(), 0);
    for source in product() {
        let texts = literals(&source);
        found += texts.len();
        let wrong: Vec<_> = texts
            .into_iter()
            .filter(|(_, text)| is_text(text) && banned.is_match(&placeholder.replace_all(text, "")))
            .collect();
        match (NOT_YET.contains(&source.path.as_str()), wrong.is_empty()) {
            (true, true) => broken.push(format!("{}: take it out of NOT_YET", source.path)),
            (true, false) | (false, true) => {}
            (false, false) => {
                broken.extend(wrong.iter().map(|(line, text)| format!("{}:{line}: {text}", source.path)));
            }
        }
    }
    assert!(found > 3_000, "{found} string literals");
    report("no message contains a banned word", broken);
}

#[test]
fn generated_pages_and_the_console_are_plain_english() {
    let folder = fs::read_dir(root().join("crates/admin/src/console")).unwrap().map(|file| file.unwrap().path());
    let files =
        folder.filter(|path| path.extension().is_some_and(|e| ["js", "html", "css"].iter().any(|one| e == *one)));
    let console = files.map(|path| Source {
        path: path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(),
        text: fs::read_to_string(&path).unwrap(),
    });
    let pages = ["docs/reference/codes.md", "docs/reference/keys.md", "docs/reference/reasons.md"].map(document);
    let all: Vec<Source> = console.chain(pages).collect();
    assert!(all.len() > 15, "{} files", all.len());
    report("no banned word in generated pages and the console", all.iter().flat_map(banned_lines).collect());
}

#[test]
fn the_readme_is_plain_english() {
    report("no banned word in README.md", banned_lines(&document("README.md")));
}

fn banned_lines(source: &Source) -> Vec<String> {
    let banned = Regex::new(BANNED).unwrap();
    let lines = source.lines().filter(|line| banned.is_match(line.text));
    lines.map(|line| format!("{}:{}: {}", source.path, line.number, line.text.trim())).collect()
}

/// Adds the faults in the help of a command and of its subcommands.
fn help_faults(command: &mut clap::Command, broken: &mut Vec<String>) {
    let (banned, opening) = (Regex::new(BANNED).unwrap(), Regex::new(OPENINGS).unwrap());
    let name = command.get_bin_name().unwrap_or("trunkgate").to_owned();
    let help = command.render_help().to_string();
    let long = help.lines().filter(|line| line.chars().count() > HELP_COLUMNS);
    broken.extend(long.map(|line| format!("{name}: longer than {HELP_COLUMNS}: {line}")));
    let about = command.get_about().map(ToString::to_string);
    let flags = command.get_arguments().filter(|flag| !flag.is_hide_set()).filter_map(|flag| flag.get_help());
    for text in about.into_iter().chain(flags.map(ToString::to_string)) {
        if banned.is_match(&text) || text.lines().any(|line| opening.is_match(line)) {
            broken.push(format!("{name}: {text}"));
        }
    }
    for verb in command.get_subcommands_mut() {
        help_faults(verb, broken);
    }
}

#[test]
fn help_is_short_and_begins_with_what_a_flag_does() {
    let mut command = trunkgate_tools::cli::Cli::command();
    command.build();
    let mut broken = Vec::new();
    help_faults(&mut command, &mut broken);
    report("a help line has at most 100 characters and begins with a verb or noun", broken);
}

#[test]
fn literals_are_found_in_code_and_not_in_comments() {
    let text = "// \"no\"\nlet a = \"one \\\" two\"; let b = '\"'; fn c<'a>() {}\nlet d = r#\"raw \" text\"#;\nlet e = '\\'';\n\"end\"\n";
    let source = Source { path: "src/x.rs".into(), text: text.into() };
    let expected = [(2, "one \\\" two"), (3, "raw \" text"), (5, "end")];
    assert_eq!(literals(&source), expected.map(|(line, text)| (line, text.to_owned())));
}
