//! `cargo xtask json`: docs/reference/json.md, from `page.template` next to this file and the serialised types.
//! `sources` finds types, `rows` makes the rows of their tables.
//!
//! A line `<!-- fields of TYPE in FILE -->` of `page.template` stands for the table of a type; `<!-- by hand: TYPE in
//! FILE -->` names a further type of the section, without a table of its own: fields of this type link to the section.
//! All other text is copied.

#![expect(clippy::wildcard_enum_match_arm, reason = "enums of syn have many variants")]

mod rows;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use rows::Tables;
use sources::Sources;

const TEMPLATE: &str = "xtask/src/json/page.template";
const PAGE: &str = "docs/reference/json.md";
const FIELDS: &str = "<!-- fields of ";
const BY_HAND: &str = "<!-- by hand: ";

/// Options of `json`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Compare the page with the types, and write nothing
    #[arg(long)]
    check: bool,
}

/// Mark in the template, which names the type of a section.
struct Mark<'a> {
    title: &'a str,
    /// Whether the table of the type is generated.
    is_generated: bool,
    name: &'a str,
    file: &'a str,
}

/// Writes the page, or compares it with `--check`; returns `false` if the page differs.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = page(&root)?;
    let path: PathBuf = root.join(PAGE);
    if !options.check {
        fs::write(&path, page).context(PAGE)?;
        return Ok(true);
    }
    let is_same = fs::read_to_string(&path).context(PAGE)? == page;
    if !is_same {
        println!("{PAGE} is not the page of the types: run `cargo xtask json`");
    }
    Ok(is_same)
}

/// Returns the generated page.
fn page(root: &Path) -> anyhow::Result<String> {
    let template = fs::read_to_string(root.join(TEMPLATE)).context(TEMPLATE)?;
    let sources = Sources::read(root)?;
    let mut tables = Tables::new(&sources);
    let mut title = "";
    for line in template.lines() {
        title = line.strip_prefix("## ").unwrap_or(title);
        if let Some(mark) = mark(title, line) {
            let found = sources.find(mark.name, mark.file)?;
            ensure!(found.path == mark.file, "{} is in {}, not in {}", mark.name, found.path, mark.file);
            tables.add_section(mark.title, found)?;
        }
    }
    let mut page = String::new();
    let mut title = "";
    for line in template.lines() {
        title = line.strip_prefix("## ").unwrap_or(title);
        match mark(title, line) {
            Some(mark) if mark.is_generated => page.push_str(&tables.table(sources.find(mark.name, mark.file)?)?),
            Some(_) => {}
            None => {
                page.push_str(line);
                page.push('\n');
            }
        }
    }
    Ok(page)
}

/// Parses the mark in a line of a section.
fn mark<'a>(title: &'a str, line: &'a str) -> Option<Mark<'a>> {
    let generated = line.strip_prefix(FIELDS);
    let of_mark = generated.or_else(|| line.strip_prefix(BY_HAND))?;
    let (name, file) = of_mark.strip_suffix(" -->")?.split_once(" in ")?;
    Some(Mark { title, is_generated: generated.is_some(), name, file })
}
