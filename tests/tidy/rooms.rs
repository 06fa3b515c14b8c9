//! Imports between the rooms of a crate. A room is a folder, or a file at the same depth (`call/legs/`, `call/shared.rs`).

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::structure::{cycle, place};
use super::tree::{report, rust};

/// Parts of a module's path that name its room.
const DEPTH: usize = 2;

/// Rooms that still are in a cycle of imports. The list may only shrink.
const KNOWN: [&str; 2] = ["crates/admin: gate", "crates/admin: twilio"];
/// Rooms that need no order: `config` reads a file in which everything may name everything.
const UNORDERED: &str = "crates/config";

/// The modules of a crate by their paths, each with its code.
type Modules = BTreeMap<Vec<String>, String>;

/// Returns the path of a file's module: of `call/legs/mod.rs` it is `call`, `legs`, of `lib.rs` none.
fn module_path(inside: &str) -> Vec<String> {
    let mut path: Vec<String> = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if ["mod", "lib", "main"].iter().any(|own| path.last().is_some_and(|last| last == own)) {
        path.pop();
    }
    path
}

fn room(path: &[String]) -> &[String] {
    &path[..path.len().min(DEPTH)]
}

/// Appends the paths of a tree of imports, as in `a::{b, c::{self, d as e}}`, to `found`; returns the text behind it.
fn expand<'a>(text: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut list) = text.strip_prefix('{') {
        loop {
            list = list.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
            if list.is_empty() || list.starts_with('}') {
                return list.get(1..).unwrap_or_default();
            }
            let rest = expand(list, before, found);
            list = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
        }
    }
    let end = text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len());
    let mut path = before.to_vec();
    path.push(text[..end].to_owned());
    match text[end..].strip_prefix("::") {
        Some(rest) => expand(rest, &path, found),
        None => {
            found.push(path);
            &text[end..]
        }
    }
}

/// Returns the rooms that a module imports from, its own included.
fn imported_rooms(own: &[String], modules: &Modules, begins: &Regex) -> BTreeSet<String> {
    let is_file = |room: &[String]| !modules.keys().any(|path| path.len() > room.len() && path.starts_with(room));
    let text = &modules[own];
    let mut rooms = BTreeSet::new();
    for found in begins.captures_iter(text) {
        let above = found[1].matches("super").count();
        let Some(kept) = own.len().checked_sub(above) else { continue };
        let from = &own[..if above == 0 { 0 } else { kept }];
        let mut paths = Vec::new();
        expand(&text[found.get(0).unwrap().end()..], from, &mut paths);
        for mut path in paths {
            while !path.is_empty() && !modules.contains_key(&path) {
                path.pop();
            }
            let other = room(&path);
            // The files of one folder may name each other.
            let is_beside = above > 0 && is_file(room(own)) && is_file(other);
            if !other.is_empty() && !is_beside {
                rooms.insert(other.join("/"));
            }
        }
    }
    rooms
}

/// Returns the rooms that reach themselves by their imports.
fn rooms_in_cycles(modules: &Modules) -> BTreeSet<String> {
    let begins = Regex::new(r"\b(crate|super(?:::super)*)::").unwrap();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in modules.keys().filter(|path| !path.is_empty()) {
        let own = room(path).join("/");
        let others = imported_rooms(path, modules, &begins).into_iter().filter(|other| *other != own);
        imports.entry(own.clone()).or_default().extend(others);
    }
    cycle(&imports)
}

#[test]
fn rooms_of_a_crate_import_in_one_direction() {
    let mut crates: BTreeMap<String, Modules> = BTreeMap::new();
    for source in rust() {
        if let Some((of, inside)) = place(&source) {
            crates.entry(of).or_default().insert(module_path(inside), source.product_code());
        }
    }
    let cycles = |(of, modules): (String, Modules)| {
        rooms_in_cycles(&modules).into_iter().map(move |room| format!("{of}: {room}")).collect::<Vec<_>>()
    };
    let found: BTreeSet<String> =
        crates.into_iter().flat_map(cycles).filter(|room| !room.starts_with(UNORDERED)).collect();
    let known: BTreeSet<String> = KNOWN.into_iter().map(str::to_owned).collect();
    let new = found.difference(&known).map(|room| format!("{room}: in a cycle of imports"));
    let gone = known.difference(&found).map(|room| format!("{room}: no longer in a cycle: remove it from KNOWN"));
    report("the rooms of a crate import each other in one direction only", new.chain(gone).collect());
}

#[test]
fn a_cycle_of_rooms_is_found() {
    let modules = |files: &[(&str, &str)]| -> Modules {
        files.iter().map(|(file, text)| (module_path(file), (*text).to_owned())).collect()
    };
    let cycles = |files: &[(&str, &str)]| rooms_in_cycles(&modules(files)).into_iter().collect::<Vec<_>>();
    let leg = ("call/legs/leg.rs", "use crate::{io, call::{media::{self, Player}, shared as all}};");
    let list = ("call/legs/list.rs", "use super::leg::Leg;");
    let media = ("call/media/mod.rs", "");
    let shared = ("call/shared.rs", "");
    assert_eq!(cycles(&[leg, list, media, shared]), [""; 0]);
    assert_eq!(
        cycles(&[leg, list, ("call/media/mod.rs", "use super::legs::leg;"), shared]),
        ["call/legs", "call/media"]
    );
    assert_eq!(
        cycles(&[leg, list, media, ("call/shared.rs", "fn f() { crate::call::legs::list::f() }")]),
        ["call/legs", "call/shared"]
    );
    // Two files of one folder.
    assert_eq!(cycles(&[("call/one.rs", "use super::two;"), ("call/two.rs", "use super::one;")]), [""; 0]);
}
