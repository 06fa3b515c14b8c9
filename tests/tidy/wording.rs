//! Names and comments explain themselves: limits for each crate, which only ever go down (CONTRIBUTING.md, rule 12).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::language::{OPENINGS, product};
use super::structure::place;
use super::tree::{Line, Source, report};

/// Words of riddles, with the most that 10,000 words of comments of a crate contain.
const RATES: [(&str, f64); 4] =
    [(r"(?i)\bwhat\b", 12.0), (r"(?i)\bwhere\b", 12.0), (r"(?i)\bwhose\b", 6.0), (r"(?i)\b(says|tells|told)\b", 8.0)];

/// Words of comments of a crate below which one word decides its rate.
const FEW_WORDS: usize = 2_000;

/// Most doc comments in a hundred that begin with such a word.
const BAD_STARTS: usize = 3;

const COMMENT_COLUMNS: usize = 120;

/// Most types in a hundred of a crate that are named by one word.
const ONE_WORD_TYPES: usize = 40;

/// Types of a crate below which one type decides its share.
const FEW_TYPES: usize = 20;

/// Most types of the workspace that have one name.
const SAME_NAME: usize = 3;

/// Names that more types still share. A name that fewer share must leave the list.
const SHARED_NAMES: [&str; 1] = ["Stream"];

/// Product files by crate; the binary itself is `src`.
fn crates() -> BTreeMap<String, Vec<Source>> {
    let mut found = BTreeMap::<String, Vec<Source>>::new();
    for source in product() {
        let name = place(&source).map(|(name, _)| name);
        found.entry(name.unwrap_or_default()).or_default().push(source);
    }
    found
}

/// Returns the text of a line that is a comment, and nothing else.
fn comment<'a>(line: &Line<'a>) -> Option<&'a str> {
    line.text.trim_start().starts_with("//").then(|| line.text.trim_start().trim_start_matches(['/', '!']).trim())
}

#[test]
fn comments_are_no_riddles() {
    let word = Regex::new(r"[A-Za-z']+").unwrap();
    let riddles = RATES.map(|(riddle, most)| (Regex::new(riddle).unwrap(), most));
    let mut broken = Vec::new();
    for (name, sources) in crates() {
        let lines = sources.iter().flat_map(|source| source.lines().filter_map(|line| comment(&line)));
        let text = lines.collect::<Vec<_>>().join("\n");
        let words = word.find_iter(&text).count().max(FEW_WORDS);
        for (riddle, most) in &riddles {
            let found = riddle.find_iter(&text).count();
            let rate = 10_000.0 * found as f64 / words as f64;
            if rate > *most {
                broken.push(format!("{name}: {rate:.1} of {riddle} in 10,000 words, more than {most}"));
            }
        }
    }
    report("comments contain few riddles", broken);
}

#[test]
fn doc_comments_begin_with_a_summary() {
    let bad = Regex::new(OPENINGS).unwrap();
    let mut broken = Vec::new();
    for (name, sources) in crates() {
        let mut firsts = Vec::new();
        for source in &sources {
            let mut before = false;
            for line in source.lines() {
                let text = line.text.trim_start();
                let is_doc = text.starts_with("///") || text.starts_with("//!");
                if is_doc && !before && text.len() > 4 {
                    firsts.push(format!("{}:{}: {}", source.path, line.number, &text[3..]));
                }
                before = is_doc;
            }
        }
        let wrong: Vec<&String> = firsts
            .iter()
            .filter(|first| first.split_once(": ").is_some_and(|(_, text)| bad.is_match(text.trim())))
            .collect();
        if wrong.len() * 100 > firsts.len() * BAD_STARTS {
            broken.push(format!("{name}: {} of {}: {wrong:#?}", wrong.len(), firsts.len()));
        }
    }
    report("a doc comment begins with a sentence that can be read alone", broken);
}

#[test]
fn comment_lines_are_not_long() {
    // Tables and drawings are as wide as they are.
    let is_drawing = |text: &str| text.starts_with('|') || text.contains("──");
    let mut broken = Vec::new();
    for source in product() {
        let long = source.lines().filter(|line| line.text.chars().count() > COMMENT_COLUMNS);
        let prose = long.filter(|line| comment(line).is_some_and(|text| !is_drawing(text) && text.contains(' ')));
        let prose = prose.filter(|line| !line.text.contains("://"));
        broken.extend(prose.map(|line| format!("{}:{}", source.path, line.number)));
    }
    report("a line of a comment has at most 120 columns", broken);
}

#[test]
fn a_blank_line_stands_between_methods() {
    let begins = Regex::new(r"^    (///|pub\b|fn |const fn |async fn |#\[)").unwrap();
    let mut broken = Vec::new();
    for source in product() {
        let lines: Vec<&str> = source.text.lines().collect();
        let squeezed = lines.windows(2).enumerate().filter(|(_, pair)| pair[0] == "    }" && begins.is_match(pair[1]));
        broken.extend(squeezed.map(|(at, _)| format!("{}:{}", source.path, at + 2)));
    }
    report("a blank line stands between methods", broken);
}

static DECLARED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\s*(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|union|type) (\w+)").unwrap());

/// Returns the declared types of a file: names with their lines.
fn types(source: &Source) -> Vec<(String, usize)> {
    let lines = source.product_lines().filter(|line| !line.text.starts_with("    type"));
    lines.filter_map(|line| Some((DECLARED.captures(line.text)?[1].to_owned(), line.number))).collect()
}

fn is_one_word(name: &str) -> bool {
    name.chars().filter(|sign| sign.is_uppercase()).count() == 1
}

#[test]
fn types_are_named_by_compound_nouns() {
    let mut broken = Vec::new();
    for (name, sources) in crates() {
        let all: Vec<(String, usize)> = sources.iter().flat_map(types).collect();
        let short: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).filter(|name| is_one_word(name)).collect();
        if all.len() >= FEW_TYPES && short.len() * 100 > all.len() * ONE_WORD_TYPES {
            broken.push(format!("{name}: {} of {} types: {short:?}", short.len(), all.len()));
        }
    }
    report("few types of a crate are named by one word", broken);
}

#[test]
fn a_type_can_be_found_by_its_name() {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for source in product() {
        for (name, line) in types(&source) {
            places.entry(name).or_default().push(format!("{}:{line}", source.path));
        }
    }
    let is_wrong =
        |(name, places): &(String, Vec<String>)| (places.len() > SAME_NAME) != SHARED_NAMES.contains(&name.as_str());
    let wrong = places.into_iter().filter(is_wrong);
    report("at most three types have one name", wrong.map(|(name, places)| format!("{name}: {places:?}")).collect());
}
