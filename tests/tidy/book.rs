//! Pages of docs/ as a book (docs/book.toml), which are also read on a forge: the table of contents lists each page
//! once, and links to headings resolve. Claims of the security model name their tests.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::documents::{document, documents, linking_file};
use super::tree::{Source, report, root, sources};

const CONTENTS: &str = "docs/SUMMARY.md";

#[test]
fn every_page_is_in_the_book_once() {
    let link = Regex::new(r"\]\(([^)]+)\)").unwrap();
    let mut listed = BTreeMap::new();
    for found in link.captures_iter(&document(CONTENTS).text) {
        *listed.entry(format!("docs/{}", &found[1])).or_insert(0) += 1;
    }
    let pages: BTreeSet<String> =
        documents().into_iter().filter(|source| moved_to(source).is_none()).map(|source| source.path).collect();
    let pages: BTreeSet<String> =
        pages.into_iter().filter(|path| path.starts_with("docs/") && path != CONTENTS).collect();
    assert!(pages.len() > 10, "docs/ has pages");
    let mut broken: Vec<String> =
        pages.iter().filter(|page| !listed.contains_key(*page)).map(|page| format!("{page}: missing")).collect();
    broken.extend(listed.iter().filter(|(_, times)| **times > 1).map(|(page, times)| format!("{page}: {times} times")));
    broken.extend(listed.keys().filter(|page| !pages.contains(*page)).map(|page| format!("{page}: no such page")));
    report("each page of docs/ is in docs/SUMMARY.md once", broken);
}

/// Returns the path, from docs/, to which a page has moved; `None` for other pages.
fn moved_to(source: &Source) -> Option<&str> {
    let (_, rest) = source.text.split_once("\n\nMoved: [")?;
    rest.split_once("](")?.1.strip_suffix(").\n")
}

/// A moved page leads to its new place, on a forge by a link and in the book by a redirect.
#[test]
fn pages_that_have_moved_lead_to_their_new_place() {
    let text = std::fs::read_to_string(root().join("docs/book.toml")).unwrap();
    let book: toml::Table = text.parse().unwrap();
    let redirects = book["output"]["html"]["redirect"].as_table().unwrap();
    let found =
        redirects.iter().map(|(from, to)| (from.trim_start_matches('/').to_owned(), to.as_str().unwrap().to_owned()));
    let found: BTreeMap<String, String> = found.collect();
    let all = documents();
    let moved = all.iter().filter_map(|source| Some((source.path.strip_prefix("docs/")?, moved_to(source)?)));
    let html = |path: &str| path.replace(".md", ".html");
    let expected: BTreeMap<String, String> = moved.map(|(from, to)| (html(from), html(to))).collect();
    assert!(expected.len() > 10, "{expected:?}");
    assert_eq!(found, expected, "redirects of docs/book.toml");
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
                let path = if target[1].is_empty() {
                    source.path.clone()
                } else {
                    beside(linking_file(&source.path), &target[1])
                };
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

/// Resolves a relative link of a file to a path from the top.
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

/// Returns the lines of a document outside of code blocks, counted from 1.
fn outside_fences(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    source.lines().filter_map(move |line| {
        let fence = line.text.trim_start().starts_with("```");
        inside ^= fence;
        (!inside && !fence).then_some((line.number, line.text))
    })
}

/// Returns the anchors of a document's headings: lower case, spaces as dashes, other signs removed, repeated ones
/// numbered. Forges and mdBook agree in that.
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

/// Each claim of the security model names at least one existing test.
#[test]
fn claims_of_the_security_model_name_tests_that_exist() {
    const PAGE: &str = "docs/operate/security.md";
    let (test, case) =
        (Regex::new(r"(interop )?`([a-z0-9_-]+)`").unwrap(), Regex::new(r#"name: "([a-z0-9-]+)""#).unwrap());
    let files = sources();
    let code: String = files.iter().filter(|source| source.is_rust()).map(|source| source.text.as_str()).collect();
    let cases = files.iter().find(|source| source.path == "xtask/src/interop/cases/mod.rs").unwrap();
    let cases: BTreeSet<&str> = case.captures_iter(&cases.text).map(|found| found.get(1).unwrap().as_str()).collect();
    let (mut broken, mut in_claims, mut claims) = (Vec::new(), false, 0);
    for line in document(PAGE).lines() {
        in_claims = line.text.starts_with('|') && (in_claims || line.text == "| claim | shown by |");
        let Some((_, shown)) = line.text.trim_end_matches(" |").rsplit_once(" | ") else { continue };
        if !in_claims || shown == "shown by" || shown.starts_with("---") {
            continue;
        }
        claims += 1;
        let named: Vec<_> = test.captures_iter(shown).collect();
        if named.is_empty() {
            broken.push(format!("{PAGE}:{}: names no test", line.number));
        }
        let there = |name: &str, is_case: bool| {
            if is_case { cases.contains(name) } else { code.contains(&format!("fn {name}(")) }
        };
        let lost = named.iter().filter(|found| !there(&found[2], found.get(1).is_some()));
        broken.extend(lost.map(|found| format!("{PAGE}:{}: {}", line.number, &found[2])));
    }
    assert!(claims > 20, "{PAGE} makes its claims in tables `| claim | shown by |`");
    report("a claim of docs/operate/security.md names tests, and these exist", broken);
}
