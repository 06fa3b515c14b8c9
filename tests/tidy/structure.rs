//! Structure of the code: crates with downward dependencies, types with one owner, and parts instead of long lists of
//! fields.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::tree::{SHELL, Source, report, rust};
use super::workspace::packages;

/// Maximum number of files in which a type is implemented.
const FILES_PER_TYPE: usize = 3;
/// Maximum number of lines in all methods of a type.
const LINES_PER_TYPE: usize = 1_500;
/// Number of members from which types with the same names and members count as duplicates.
const TWIN_MEMBERS: usize = 3;
/// Maximum number of fields of a struct in the call core.
const FIELDS: usize = 25;

/// Returns the crate folder of a product file, and its path below `src`.
pub(crate) fn place(source: &Source) -> Option<(String, &str)> {
    if source.is_test() || source.path.starts_with("crates/fuzz/") {
        return None;
    }
    if let Some(inside) = source.path.strip_prefix("src/") {
        return Some(("src".to_owned(), inside));
    }
    let (name, inside) = source.path.strip_prefix("crates/")?.split_once("/src/")?;
    Some((format!("crates/{name}"), inside))
}

#[test]
fn crates_of_the_shell_depend_downwards() {
    let place = |name: &str| SHELL.iter().position(|known| name.strip_prefix("trunkgate-") == Some(known));
    let mut upwards = Vec::new();
    for package in packages().into_iter().filter(|package| package.folder.starts_with("crates/")) {
        // Cores are below all crates of the shell; only tests may depend on `testing`.
        let own = place(&package.name);
        let above = package.dependencies.iter().filter(|(name, is_dev)| !is_dev && place(name) >= own.max(Some(0)));
        let above = above.filter(|(name, _)| place(name).is_some());
        upwards.extend(above.map(|(name, _)| format!("{}: {name}", package.name)));
    }
    report("a crate of the shell depends only on those below it, a core on none of them", upwards);
}

#[test]
fn a_type_is_implemented_in_few_files() {
    let begins = Regex::new(r"^impl(?:<[^>]*>)?\s+(?:\w+(?:<.*>)?\s+for\s+)?([A-Z]\w*)(?:<[^>]*>)?\s*\{").unwrap();
    let declares = Regex::new(r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:struct|enum)\s+(\w+)").unwrap();
    let files = rust();
    // If two folders of a crate declare the same name, it denotes two types.
    let mut declared: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for source in &files {
        let Some((of, inside)) = place(source) else { continue };
        let folder = inside.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        for line in source.product_lines() {
            if let Some(found) = declares.captures(line.text) {
                declared.entry((of.clone(), found[1].to_owned())).or_default().insert(folder.clone());
            }
        }
    }
    let mut types: BTreeMap<(String, String), (BTreeSet<String>, usize)> = BTreeMap::new();
    for source in &files {
        let Some((of, inside)) = place(source) else { continue };
        let mut at: Option<(String, String)> = None;
        for line in source.product_lines() {
            if let Some(found) = begins.captures(line.text) {
                let name = (of.clone(), found[1].to_owned());
                at = declared.get(&name).is_some_and(|folders| folders.len() == 1).then_some(name);
            }
            let Some(name) = &at else { continue };
            let entry = types.entry(name.clone()).or_default();
            entry.0.insert(inside.to_owned());
            entry.1 += 1;
            if line.text == "}" {
                at = None;
            }
        }
    }
    let long = types.into_iter().filter(|(_, (files, lines))| files.len() > FILES_PER_TYPE || *lines > LINES_PER_TYPE);
    let broken =
        long.map(|((of, name), (files, lines))| format!("{of}: {name}: {lines} lines in {} files", files.len()));
    report("a type is implemented in at most three files, with at most 1,500 lines", broken.collect());
}

#[test]
fn structs_of_the_call_core_have_few_fields() {
    let begins = Regex::new(r"^(?:pub(?:\([^)]*\))?\s+)?struct\s+(\w+).*\{$").unwrap();
    let field = Regex::new(r"^    (?:pub(?:\([^)]*\))?\s+)?\w+: ").unwrap();
    let mut broken = BTreeSet::new();
    for source in rust() {
        let Some((of, _)) = place(&source) else { continue };
        if !["crates/call", "crates/resources", "crates/story"].contains(&of.as_str()) {
            continue;
        }
        let mut at: Option<(String, usize)> = None;
        for line in source.product_lines() {
            if let Some(found) = begins.captures(line.text) {
                at = Some((found[1].to_owned(), 0));
            }
            let Some((name, fields)) = &mut at else { continue };
            *fields += usize::from(field.is_match(line.text));
            if line.text == "}" {
                if *fields > FIELDS {
                    broken.insert(format!("{of}: {name} has {fields} fields"));
                }
                at = None;
            }
        }
    }
    report("a struct of the call core has at most 25 fields", broken.into_iter().collect());
}

#[test]
fn a_leg_is_named_by_its_id() {
    let raw = Regex::new(r"\bfn \w+.*\b(leg|call|dialog|other|callee|caller): usize").unwrap();
    let core = |path: &str| path.starts_with("crates/call/src/") || path.starts_with("crates/resources/src/");
    let broken = rust().into_iter().filter(|source| core(&source.path)).flat_map(|source| {
        let wrong = source.product_lines().filter(|line| raw.is_match(line.code()));
        wrong.map(|line| format!("{}:{}: {}", source.path, line.number, line.text.trim())).collect::<Vec<_>>()
    });
    report("a leg or call is named by an id of its own type", broken.collect());
}

#[test]
fn a_crate_has_one_integration_test_binary() {
    let mut binaries: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in rust() {
        let Some((of, inside)) = source.path.split_once("tests/") else { continue };
        let is_binary = !inside.contains('/') || inside.ends_with("/main.rs") && inside.matches('/').count() == 1;
        if is_binary && (of.is_empty() || of.starts_with("crates/") && of.matches('/').count() == 2) {
            binaries.entry(of.to_owned()).or_default().insert(inside.to_owned());
        }
    }
    // In addition to `it`, there are tests that need a process or allocator of their own, and this one.
    let many = binaries.into_iter().filter(|(of, all)| all.len() > if of.is_empty() { 6 } else { 2 });
    let broken = many.map(|(of, all)| format!("{of}tests: {}", all.into_iter().collect::<Vec<_>>().join(", ")));
    report("a crate has one integration-test binary, and few others with a reason", broken.collect());
}

#[test]
fn no_type_has_a_twin_in_another_crate() {
    let begins = Regex::new(r"^(?:pub(?:\([^)]*\))?\s+)?(?:struct|enum)\s+(\w+).*\{$").unwrap();
    let member = Regex::new(r"^    (?:pub(?:\([^)]*\))?\s+)?(\w+)(?:: |,|\(| \{)").unwrap();
    let mut shapes: BTreeMap<(String, BTreeSet<String>), BTreeSet<String>> = BTreeMap::new();
    for source in rust() {
        let Some((of, _)) = place(&source) else { continue };
        let mut at: Option<(String, BTreeSet<String>)> = None;
        for line in source.product_lines() {
            if let Some(found) = begins.captures(line.text) {
                at = Some((found[1].to_owned(), BTreeSet::new()));
            } else if line.text == "}" {
                let shape = at.take().filter(|(_, members)| members.len() >= TWIN_MEMBERS);
                if let Some(shape) = shape {
                    shapes.entry(shape).or_default().insert(of.clone());
                }
            } else if let (Some((_, members)), Some(found)) = (&mut at, member.captures(line.text)) {
                members.insert(found[1].to_owned());
            }
        }
    }
    let twins = shapes.into_iter().filter(|(_, crates)| crates.len() > 1);
    let broken =
        twins.map(|((name, _), crates)| format!("{name}: {}", crates.into_iter().collect::<Vec<_>>().join(", ")));
    report("a type stands in one crate, below those that share it", broken.collect());
}

#[test]
fn the_state_of_a_call_or_leg_is_assigned_in_one_place() {
    let assigned = Regex::new(r"\.state = [^=]|&mut [\w.\[\]:]*\.state\b").unwrap();
    let mut broken = Vec::new();
    for source in rust().into_iter().filter(|source| source.path.starts_with("crates/call/src/") && !source.is_test()) {
        // These files have `enter`.
        if ["crates/call/src/call/shared/mod.rs", "crates/call/src/call/legs/leg.rs"].contains(&source.path.as_str()) {
            continue;
        }
        let wrong = source.product_lines().filter(|line| assigned.is_match(line.code()));
        broken.extend(wrong.map(|line| format!("{}:{}: {}", source.path, line.number, line.text.trim())));
    }
    report("a call or leg changes its state by `enter` alone", broken);
}
