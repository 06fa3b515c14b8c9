//! Imports between the rooms of a crate. A room is a folder, or a file at the same depth: `call/` at the first depth,
//! `call/legs/` and `call/shared.rs` at the second.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::structure::place;
use super::tree::{SHELL, report, rust};

/// Crates without ordered rooms: in `config` all parts may refer to each other.
const UNORDERED: &str = "crates/config";

/// Modules of a crate by path, each with its code.
type Modules = BTreeMap<Vec<String>, String>;

/// Returns the path of a file's module: `call`, `legs` for `call/legs/mod.rs`; empty for `lib.rs`.
fn module_path(inside: &str) -> Vec<String> {
    let mut path: Vec<String> = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if ["mod", "lib", "main"].iter().any(|own| path.last().is_some_and(|last| last == own)) {
        path.pop();
    }
    path
}

/// Rooms of a crate at one depth.
#[derive(Clone, Copy)]
struct Rooms<'a> {
    modules: &'a Modules,
    /// Number of parts in a module's path that name its room.
    depth: usize,
    /// Whether files of one folder may import each other.
    is_folder_free: bool,
}

impl Rooms<'_> {
    fn room<'p>(&self, path: &'p [String]) -> &'p [String] {
        &path[..path.len().min(self.depth)]
    }

    fn is_file(&self, room: &[String]) -> bool {
        !self.modules.keys().any(|path| path.len() > room.len() && path.starts_with(room))
    }

    /// Returns the rooms from which a module imports, including its own.
    fn imported(&self, own: &[String], begins: &Regex) -> BTreeSet<String> {
        let text = &self.modules[own];
        let mut rooms = BTreeSet::new();
        for found in begins.captures_iter(text) {
            let above = found[1].matches("super").count();
            let Some(kept) = own.len().checked_sub(above) else { continue };
            let from = &own[..if above == 0 { 0 } else { kept }];
            let mut paths = Vec::new();
            expand(&text[found.get(0).unwrap().end()..], from, &mut paths);
            for mut path in paths {
                while !path.is_empty() && !self.modules.contains_key(&path) {
                    path.pop();
                }
                let other = self.room(&path);
                let is_beside = above > 0 && self.is_file(self.room(own)) && self.is_file(other);
                if !(other.is_empty() || is_beside && self.is_folder_free) {
                    rooms.insert(other.join("/"));
                }
            }
        }
        rooms
    }

    /// Returns the rooms that are in import cycles.
    fn in_cycles(&self) -> BTreeSet<String> {
        let begins = Regex::new(r"\b(crate|super(?:::super)*)::").unwrap();
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in self.modules.keys().filter(|path| !path.is_empty()) {
            let own = self.room(path).join("/");
            let others = self.imported(path, &begins).into_iter().filter(|other| *other != own);
            imports.entry(own.clone()).or_default().extend(others);
        }
        cycle(&imports)
    }
}

/// Appends the paths in an import tree such as `a::{b, c::{self, d as e}}` to `found`; returns the text after the tree.
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

/// Returns the names of the modules that are in import cycles.
fn cycle(imports: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let reaches = |from: &str| {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut open: Vec<&str> = vec![from];
        while let Some(module) = open.pop() {
            for next in imports.get(module).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen
    };
    imports.keys().filter(|module| reaches(module).contains(*module)).cloned().collect()
}

#[test]
fn rooms_of_a_crate_import_in_one_direction() {
    let mut crates: BTreeMap<String, Modules> = BTreeMap::new();
    for source in rust() {
        if let Some((of, inside)) = place(&source).filter(|(of, _)| of != UNORDERED) {
            crates.entry(of).or_default().insert(module_path(inside), source.product_code());
        }
    }
    let mut broken = Vec::new();
    for depth in [1, 2] {
        for (of, modules) in &crates {
            let is_of_shell = of.strip_prefix("crates/").is_some_and(|name| SHELL.contains(&name));
            let rooms = Rooms { modules, depth, is_folder_free: depth > 1 || is_of_shell };
            let found = rooms.in_cycles().into_iter();
            broken.extend(found.map(|room| format!("{of}: {room}: in a cycle of imports at depth {depth}")));
        }
    }
    report("the rooms of a crate import each other in one direction only", broken);
}

#[test]
fn a_cycle_of_rooms_is_found() {
    let modules = |files: &[(&str, &str)]| -> Modules {
        files.iter().map(|(file, text)| (module_path(file), (*text).to_owned())).collect()
    };
    let at = |depth, is_folder_free, files: &[(&str, &str)]| {
        Rooms { modules: &modules(files), depth, is_folder_free }.in_cycles().into_iter().collect::<Vec<_>>()
    };
    let cycles = |files: &[(&str, &str)]| at(2, true, files);
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
    // These are two files of one folder.
    assert_eq!(cycles(&[("call/one.rs", "use super::two;"), ("call/two.rs", "use super::one;")]), [""; 0]);
    let two = [("one.rs", "use super::two;"), ("two.rs", "use super::one;")];
    assert_eq!(at(1, false, &two), ["one", "two"]);
    assert_eq!(at(1, true, &two), [""; 0]);
    // These folders contain rooms, but have no cycle of their own.
    let folders = [
        ("call/leg.rs", "use crate::edge::one;"),
        ("edge/two.rs", "use crate::call::shared;"),
        shared,
        ("edge/one.rs", ""),
    ];
    assert_eq!(at(1, false, &folders), ["call", "edge"]);
    assert_eq!(cycles(&folders), [""; 0]);
}
