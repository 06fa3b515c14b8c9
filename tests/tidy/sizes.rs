//! Effective sizes of types: all code that belongs to a type, in the type's own `impl` blocks or in another form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regex::Regex;

use super::structure::place;
use super::tree::rust;

/// Number of types that are printed.
const PRINTED: usize = 10;

/// Product code of a source file, without comments and strings.
struct File {
    of: String,
    path: String,
    code: String,
}

/// Struct that holds only a `&mut` to another type.
struct Wrapper {
    of: String,
    /// Folder of the wrapper's file, outside of which the wrapper is not known.
    folder: String,
    name: String,
    wrapped: String,
}

/// Number of lines that belong to a type.
#[derive(Debug, Default, PartialEq, Eq)]
struct Size {
    /// Lines in the type's own `impl` blocks.
    own: usize,
    /// Lines in the `impl` blocks of the type's wrappers.
    wrappers: usize,
    /// Lines of functions that have a `&mut` to the type as their first parameter.
    free: usize,
    functions: usize,
    files: BTreeSet<String>,
}

impl Size {
    fn lines(&self) -> usize {
        self.own + self.wrappers + self.free
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { own, wrappers, free, functions, files } = self;
        write!(f, "{} lines (own {own}, wrappers {wrappers}, free {free}), ", self.lines())?;
        write!(f, "{functions} functions, {} files", files.len())
    }
}

fn folder(path: &str) -> &str {
    &path[..path.rfind('/').map_or(0, |at| at + 1)]
}

/// Returns a text up to the sign that closes the first `opening`.
fn enclosed(text: &str, opening: char, closing: char) -> &str {
    let mut depth = 0_usize;
    for (at, sign) in text.char_indices() {
        if sign == opening {
            depth += 1;
        } else if sign == closing {
            depth -= 1;
        }
        if depth == 0 {
            return &text[..=at];
        }
    }
    text
}

fn wrappers(files: &[File]) -> Vec<Wrapper> {
    let begins = Regex::new(r"\bstruct (\w+)<'\w+>\s*[{(]([^{}()]*(?:\([^()]*\)[^{}()]*)*)[})]").unwrap();
    let only = Regex::new(r"^\s*(?:pub(?:\(\w+\))?\s+)?(?:\w+:\s*)?&'\w+ mut (\w+),?\s*$").unwrap();
    let mut all = Vec::new();
    for file in files {
        for found in begins.captures_iter(&file.code) {
            if let Some(field) = only.captures(&found[2]) {
                all.push(Wrapper {
                    of: file.of.clone(),
                    folder: folder(&file.path).to_owned(),
                    name: found[1].to_owned(),
                    wrapped: field[1].to_owned(),
                });
            }
        }
    }
    all
}

/// Returns the size of each type, by crate and name.
fn sizes(files: &[File]) -> BTreeMap<(String, String), Size> {
    let wrappers = wrappers(files);
    let implements =
        Regex::new(r"(?m)^impl(?:<[^>]*>)?\s+(?:\w+(?:<[^>]*>)?\s+for\s+)?([A-Z]\w*)(?:<[^>]*>)?\s*\{").unwrap();
    let function = Regex::new(r"\bfn\s").unwrap();
    let begins = Regex::new(r"\bfn\s+\w+(?:<[^>]*>)?\(").unwrap();
    let first = Regex::new(r"^\(\s*(?:mut )?\w+:\s*&mut (\w+)").unwrap();
    let mut sizes: BTreeMap<(String, String), Size> = BTreeMap::new();
    for file in files {
        for found in implements.captures_iter(&file.code) {
            let name = &found[1];
            let is_of = |one: &&Wrapper| one.name == name && one.of == file.of && file.path.starts_with(&one.folder);
            let wrapper = wrappers.iter().find(is_of);
            let text = enclosed(&file.code[found.get(0).unwrap().end() - 1..], '{', '}');
            let of = (file.of.clone(), wrapper.map_or(name, |one| one.wrapped.as_str()).to_owned());
            let size = sizes.entry(of).or_default();
            *if wrapper.is_some() { &mut size.wrappers } else { &mut size.own } += text.lines().count();
            size.functions += function.find_iter(text).count();
            size.files.insert(file.path.clone());
        }
        for found in begins.find_iter(&file.code) {
            let text = &file.code[found.end() - 1..];
            let parameters = enclosed(text, '(', ')');
            let Some(changed) = first.captures(parameters) else { continue };
            let rest = &text[parameters.len()..];
            let Some(body) = rest.find(['{', ';']).map(|at| &rest[at..]).filter(|rest| rest.starts_with('{')) else {
                continue;
            };
            let size = sizes.entry((file.of.clone(), changed[1].to_owned())).or_default();
            size.free += enclosed(body, '{', '}').lines().count();
            size.functions += 1;
            size.files.insert(file.path.clone());
        }
    }
    sizes
}

/// Prints the largest types and rejects none: `cargo test --test tidy effective -- --nocapture`
#[test]
fn effective_sizes_of_types_are_printed() {
    let files: Vec<File> = rust()
        .into_iter()
        .filter_map(|source| Some(File { of: place(&source)?.0, code: source.product_code(), path: source.path }))
        .collect();
    let mut sizes: Vec<_> = sizes(&files).into_iter().collect();
    sizes.sort_by_key(|(_, size)| std::cmp::Reverse(size.lines()));
    for ((of, name), size) in sizes.iter().take(PRINTED) {
        println!("{of}: {name}: {size}");
    }
    assert!(sizes.len() > PRINTED, "only {} types were found", sizes.len());
}

#[test]
fn wrappers_and_free_functions_count_as_the_type() {
    let file =
        |path: &str, code: &str| File { of: "crates/a".to_owned(), path: path.to_owned(), code: code.to_owned() };
    let files = [
        file("crates/a/src/parts.rs", "struct Parts {\n    one: u8,\n}\nimpl Parts {\n    fn one(&mut self) {}\n}\n"),
        file(
            "crates/a/src/run/mod.rs",
            "pub(crate) struct Runner<'a> {\n    pub(crate) parts: &'a mut Parts,\n}\nstruct Dialler<'a>(&'a mut Parts);\n\
             struct Both<'a> {\n    one: &'a mut Parts,\n    other: &'a mut Other,\n}\nimpl Both<'_> {\n}\n\
             fn free(parts: &mut Parts, of: fn(u8) -> u8) -> u8 {\n    of(1)\n}\nfn read(parts: &Parts) {}\n",
        ),
        file(
            "crates/a/src/run/dial.rs",
            "impl Runner<'_> {\n    fn dial(&mut self) {\n    }\n}\nimpl Dialler<'_> {\n}\n",
        ),
        // This type has the same name, but is in another folder.
        file("crates/a/src/sip.rs", "impl Runner {\n}\n"),
    ];
    let sizes = sizes(&files);
    let of = |name: &str| sizes.get(&("crates/a".to_owned(), name.to_owned())).map(ToString::to_string);
    let parts = "12 lines (own 3, wrappers 6, free 3), 3 functions, 3 files";
    assert_eq!(of("Parts").as_deref(), Some(parts));
    assert_eq!(of("Both").as_deref(), Some("2 lines (own 2, wrappers 0, free 0), 0 functions, 1 files"));
    assert_eq!(of("Runner").as_deref(), Some("2 lines (own 2, wrappers 0, free 0), 0 functions, 1 files"));
    assert_eq!(of("Dialler"), None);
}
