//! Pages show valid commands, accepted configurations, and lines as printed by the program.

use std::collections::HashSet;
use std::path::Path;

use clap::Parser as _;
use clap::error::ErrorKind;
use regex::Regex;
use trunkgate_tools::cli::Cli;

use super::documents::documents_of_today;
use super::language::{literals, product};
use super::tree::{Line, Source, report};

/// Fenced block of a page: its language and its lines.
struct Block<'a> {
    language: &'a str,
    lines: Vec<Line<'a>>,
}

/// Returns the fenced blocks of a page.
fn blocks(source: &Source) -> Vec<Block<'_>> {
    let mut found: Vec<Block<'_>> = Vec::new();
    let mut is_inside = false;
    for line in source.lines() {
        if let Some(language) = line.text.trim_start().strip_prefix("```") {
            is_inside = !is_inside;
            if is_inside {
                found.push(Block { language, lines: Vec::new() });
            }
        } else if is_inside && let Some(block) = found.last_mut() {
            block.lines.push(line);
        }
    }
    found
}

/// Returns the words of a command as a shell splits them, up to a pipe, redirection, comment or further command; also
/// returns the rest after `&&`.
fn words(command: &str) -> (Vec<String>, Option<&str>) {
    let (mut found, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for (at, sign) in command.char_indices() {
        match (quote, sign) {
            (Some(open), sign) if open == sign => quote = None,
            (None, '"' | '\'') => {
                quote = Some(sign);
                word.get_or_insert_default();
            }
            (None, ' ') => found.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (None, '|' | '>' | '&' | ';') if word.is_none() => {
                let rest = command[at..].strip_prefix("&& ");
                return (found, rest);
            }
            (_, sign) => word.get_or_insert_default().push(sign),
        }
    }
    found.extend(word);
    (found, None)
}

/// Returns the error in a command line, if there is one; with `in_passing`, arguments may be missing.
fn fault(words: &[String], in_passing: bool) -> Option<String> {
    // On a page, a bracket begins optional arguments.
    let words: Vec<&String> = words.iter().take_while(|word| !word.starts_with('[')).collect();
    let error = Cli::try_parse_from(&words).err()?;
    // Pages use capitals for values, and omit arguments that do not matter.
    let is_named = words.iter().any(|word| word.contains('…') || word.contains("..."))
        || words.iter().skip(1).any(|word| word.len() > 1 && word.chars().all(|sign| sign.is_ascii_uppercase()));
    let is_one_of = |kinds: &[ErrorKind]| kinds.contains(&error.kind());
    let is_excused = is_one_of(&[ErrorKind::DisplayHelp, ErrorKind::DisplayVersion])
        || is_named && is_one_of(&[ErrorKind::ValueValidation, ErrorKind::InvalidValue, ErrorKind::InvalidSubcommand])
        || in_passing && error.to_string().contains("none was supplied")
        || in_passing
            && is_one_of(&[
                ErrorKind::MissingRequiredArgument,
                ErrorKind::MissingSubcommand,
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
            ]);
    (!is_excused).then(|| error.to_string().lines().next().unwrap_or_default().to_owned())
}

#[test]
fn commands_of_pages_are_understood() {
    let span = Regex::new("`(trunkgate [^`]+)`").unwrap();
    let (mut broken, mut shown, mut named) = (Vec::new(), 0, 0);
    for source in documents_of_today().filter(|source| source.path != "docs/internals/architecture.md") {
        for block in blocks(&source).iter().filter(|block| ["", "text", "sh", "yaml"].contains(&block.language)) {
            let mut lines = block.lines.iter();
            while let Some(line) = lines.next() {
                let mut command =
                    line.text.trim_start().trim_start_matches("$ ").trim_start_matches("- run: ").to_owned();
                while command.ends_with('\\') {
                    command.pop();
                    command.push_str(lines.next().map_or("", |line| line.text));
                }
                let mut rest = Some(command.as_str());
                while let Some(one) = rest {
                    let (words, next) = words(one);
                    rest = next;
                    // The first line of output may begin with the program's name.
                    if words.first().is_none_or(|word| word != "trunkgate")
                        || words.get(1).is_some_and(|word| word.ends_with(':'))
                    {
                        continue;
                    }
                    shown += 1;
                    broken.extend(
                        fault(&words, false).map(|why| format!("{}:{}: {one}: {why}", source.path, line.number)),
                    );
                }
            }
        }
        let mut is_fenced = false;
        for line in source.lines() {
            is_fenced ^= line.text.trim_start().starts_with("```");
            for command in span.captures_iter(line.text).filter(|_| !is_fenced) {
                named += 1;
                let (words, _) = words(&command[1]);
                broken.extend(
                    fault(&words, true).map(|why| format!("{}:{}: {}: {why}", source.path, line.number, &command[1])),
                );
            }
        }
    }
    assert!(shown > 50 && named > 150, "{shown} {named}");
    report("the program understands the commands that a page shows", broken);
}

/// Codes that `check` may report for a file on a page: about certificates, sounds, secrets and directories, which the
/// reader has, and about the ephemeral ports of this machine.
const OF_THE_MACHINE: [&str; 4] = ["TG0110", "TG0114", "TG0123", "TG0159"];

#[test]
fn configurations_of_pages_are_accepted() {
    let (mut parts, mut whole) = (0, 0);
    for source in documents_of_today() {
        for block in blocks(&source).iter().filter(|block| block.language == "toml") {
            let lines: Vec<&str> = block.lines.iter().map(|line| line.text).collect();
            let text = lines.join("\n") + "\n";
            // A complete file has no warnings; a part of one has no errors.
            let is_whole = text.contains("[trunk.") && text.contains("[[route]]");
            let (all, mut wrong) = match trunkgate_config::parse(Path::new(&source.path), &text) {
                Ok((_, warnings)) => (&mut whole, warnings),
                Err(wrong) => (&mut parts, wrong),
            };
            *all += 1;
            wrong.retain(|one| (one.is_error || is_whole) && !OF_THE_MACHINE.contains(&one.code));
            if let Some(first) = block.lines.first().filter(|_| !wrong.is_empty()) {
                let found = trunkgate_config::render(Path::new(&source.path), &text, &wrong);
                panic!("{}:{}\n{found}", source.path, first.number);
            }
        }
    }
    assert!(whole > 20 && whole + parts > 40, "{whole} {parts}");
}

/// Names in the examples on pages, which replace `{…}` in messages.
const NAMES: [&str; 16] = [
    "anna",
    "backup",
    "ben",
    "bot",
    "carrier",
    "desk",
    "echo",
    "front",
    "here",
    "ivr",
    "pbx",
    "receptionist",
    "scribe",
    "sink",
    "trunkgate",
    "vault",
];

/// Returns every three consecutive words in the fixed parts of a text.
fn triples(text: &str) -> Vec<[String; 3]> {
    let mut found = Vec::new();
    // Tokens other than lower-case words are values, and punctuation ends a phrase.
    let mut phrases = vec![Vec::new()];
    for token in text.split_whitespace() {
        let word = token.trim_matches(|sign: char| !sign.is_alphanumeric());
        let is_fixed = word.chars().all(|sign| sign.is_lowercase() || "'-".contains(sign)) && !NAMES.contains(&word);
        if !is_fixed || !token.starts_with(word) {
            phrases.push(Vec::new());
        }
        if let Some(phrase) = phrases.last_mut().filter(|_| is_fixed) {
            phrase.push(word);
        }
        if !token.ends_with(word) {
            phrases.push(Vec::new());
        }
    }
    for phrase in phrases {
        found.extend(phrase.windows(3).map(|three| [three[0], three[1], three[2]].map(str::to_owned)));
    }
    found
}

#[test]
fn printed_lines_of_pages_have_the_words_of_the_program() {
    let value = Regex::new(r"\{[^}]*\}|\\n").unwrap();
    let continued = Regex::new(r"\\\n\s*").unwrap();
    let mut known: HashSet<[String; 3]> = HashSet::new();
    for source in product() {
        for (_, text) in literals(&source) {
            let text = continued.replace_all(&text, "");
            known.extend(triples(&value.replace_all(&text, " . ")));
        }
    }
    let (mut broken, mut looked_at) = (Vec::new(), 0);
    for source in documents_of_today().filter(|source| source.path != "docs/internals/architecture.md") {
        for block in blocks(&source).iter().filter(|block| ["", "text"].contains(&block.language)) {
            let is_ours = |line: &Line<'_>| {
                ["$ trunkgate", "  ok  ", "verdict: ", "! "].iter().any(|mark| line.text.starts_with(mark))
            };
            if !block.lines.iter().any(is_ours) {
                continue;
            }
            for line in block.lines.iter().filter(|line| !line.text.starts_with("$ ")) {
                let text = line.text.split(" # ").next().unwrap_or_default();
                let triples: Vec<[String; 3]> = text.split("  ").flat_map(triples).collect();
                let unknown: Vec<String> =
                    triples.iter().filter(|three| !known.contains(*three)).map(|three| three.join(" ")).collect();
                looked_at += triples.len();
                if unknown.len() * 2 > triples.len() {
                    broken.push(format!("{}:{}: {}", source.path, line.number, unknown.join(", ")));
                }
            }
        }
    }
    assert!(looked_at > 30, "{looked_at}");
    report("a line that a page shows as printed consists of words that the program prints", broken);
}
