//! The pages of docs/ are a book (docs/book.toml) and are read on a forge as well: each is in its table of contents once,
//! and a link to a heading leads to one.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::documents::{document, documents};
use super::tree::{Source, report, root};

const CONTENTS: &str = "docs/SUMMARY.md";

#[test]
fn every_page_is_in_the_book_once() {
    let link = Regex::new(r"\]\(([^)]+)\)").unwrap();
    let mut listed = BTreeMap::new();
    for found in link.captures_iter(&document(CONTENTS).text) {
        *listed.entry(format!("docs/{}", &found[1])).or_insert(0) += 1;
    }
    let pages: BTreeSet<String> = documents().into_iter().map(|source| source.path).collect();
    let pages: BTreeSet<String> =
        pages.into_iter().filter(|path| path.starts_with("docs/") && path != CONTENTS).collect();
    assert!(pages.len() > 10, "docs/ has pages");
    let mut broken: Vec<String> =
        pages.iter().filter(|page| !listed.contains_key(*page)).map(|page| format!("{page}: missing")).collect();
    broken.extend(listed.iter().filter(|(_, times)| **times > 1).map(|(page, times)| format!("{page}: {times} times")));
    broken.extend(listed.keys().filter(|page| !pages.contains(*page)).map(|page| format!("{page}: no such page")));
    report("each page of docs/ is in docs/SUMMARY.md once", broken);
}

#[test]
fn links_to_headings_lead_to_one() {
    let link = Regex::new(r"\]\(([^)#\s]*)#([^)\s]+)\)").unwrap();
    let all = documents();
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        all.iter().map(|source| (source.path.as_str(), anchors(source))).collect();
    let (mut broken, mut found) = (Vec::new(), 0);
    for source in &all {
        for (line, text) in outside_fences(source) {
            for target in link.captures_iter(text).filter(|target| !target[1].contains("://")) {
                let path = if target[1].is_empty() { source.path.clone() } else { beside(&source.path, &target[1]) };
                let Some(known) = anchors.get(path.as_str()) else { continue };
                found += 1;
                if !known.contains(&target[2]) {
                    broken.push(format!("{}:{line}: {}#{}", source.path, &target[1], &target[2]));
                }
            }
        }
    }
    assert!(found > 20, "only {found} links to headings were looked at");
    report("a link to a heading of a document leads to one", broken);
}

/// A relative link of a file, as a path from the top.
fn beside(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

/// The lines of a document that are no code, counted from 1.
fn outside_fences(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    source.lines().filter_map(move |line| {
        let fence = line.text.trim_start().starts_with("```");
        inside ^= fence;
        (!inside && !fence).then_some((line.number, line.text))
    })
}

/// What its headings are called in a link: lower case, spaces as dashes, other signs left out, a number behind the second of
/// a kind. Forges and mdBook agree in that.
fn anchors(source: &Source) -> BTreeSet<String> {
    let mut times = BTreeMap::<String, usize>::new();
    let headings = outside_fences(source).filter(|(_, text)| text.starts_with('#'));
    let name = |text: &str| {
        let text = text.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|sign| sign.is_alphanumeric() || [' ', '-', '_'].contains(sign));
        kept.map(|sign| if sign == ' ' { '-' } else { sign }).collect::<String>()
    };
    let names = headings.map(|(_, text)| {
        let name = name(text);
        let before = times.entry(name.clone()).or_default();
        *before += 1;
        if *before == 1 { name } else { format!("{name}-{}", *before - 1) }
    });
    names.collect()
}

#[test]
fn the_book_is_built_of_this_folder() {
    let text = std::fs::read_to_string(root().join("docs/book.toml")).unwrap();
    let book: toml::Table = text.parse().unwrap();
    assert_eq!(book["book"]["src"].as_str(), Some("."));
    let preprocessor = book["preprocessor"]["outside"]["command"].as_str().unwrap();
    let script = preprocessor.strip_prefix("python3 ").unwrap();
    assert!(root().join("docs").join(script).is_file(), "{script}");
}
