//! Serialised types in the sources of the crates.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use syn::punctuated::Punctuated;
use syn::{Attribute, Item, Token};

/// Crates with types that the page documents.
const CRATES: [&str; 10] =
    ["admin", "config", "delivery", "media", "route", "runtime", "story", "system", "terms", "tools"];

/// Serialised type found in a source file.
pub(super) struct Found {
    /// Path of the source file, below the top of the repository.
    pub(super) path: String,
    pub(super) name: String,
    pub(super) item: Item,
}

impl Found {
    /// Returns the folder of the crate that contains a file.
    fn crate_of(path: &str) -> &str {
        path.split('/').nth(1).unwrap_or_default()
    }
}

/// All serialised types of the crates.
pub(super) struct Sources(Vec<Found>);

impl Sources {
    /// Reads the serialised types from the crates' sources.
    pub(super) fn read(root: &Path) -> anyhow::Result<Sources> {
        let mut sources = Sources(Vec::new());
        for name in CRATES {
            sources.read_folder(root, &format!("crates/{name}/src"))?;
        }
        Ok(sources)
    }

    fn read_folder(&mut self, root: &Path, folder: &str) -> anyhow::Result<()> {
        for entry in fs::read_dir(root.join(folder)).context(folder.to_owned())? {
            let entry = entry?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.read_folder(root, &path)?;
            } else if path.ends_with(".rs") {
                let text = fs::read_to_string(entry.path()).with_context(|| path.clone())?;
                if text.contains("Serialize") {
                    let file = syn::parse_file(&text).with_context(|| path.clone())?;
                    self.0.extend(file.items.into_iter().filter_map(|item| found(&path, item)));
                }
            }
        }
        Ok(())
    }

    /// Finds a type by its name as used in a file: in that file, in the file's crate, or in another crate.
    pub(super) fn find(&self, name: &str, from: &str) -> anyhow::Result<&Found> {
        let all: Vec<&Found> = self.0.iter().filter(|found| found.name == name).collect();
        let here = all.iter().filter(|found| found.path == from);
        let beside = all.iter().filter(|found| Found::crate_of(&found.path) == Found::crate_of(from));
        for mut some in [here.collect::<Vec<_>>(), beside.collect(), all.iter().collect()] {
            match (some.pop(), some.is_empty()) {
                (Some(found), true) => return Ok(found),
                (Some(_), false) => bail!("{from}: there are several types {name}"),
                (None, _) => {}
            }
        }
        bail!("{from}: no serialised type {name} in {CRATES:?}")
    }
}

/// Returns the type of an item, if it is a serialised one.
fn found(path: &str, item: Item) -> Option<Found> {
    let (name, attributes) = match &item {
        Item::Struct(of) => (&of.ident, &of.attrs),
        Item::Enum(of) => (&of.ident, &of.attrs),
        _ => return None,
    };
    let (path, name) = (path.to_owned(), name.to_string());
    is_serialised(attributes).then_some(Found { path, name, item })
}

fn is_serialised(attributes: &[Attribute]) -> bool {
    let derives = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
    let mut paths =
        derives.filter_map(|derive| derive.parse_args_with(Punctuated::<syn::Path, Token![,]>::parse_terminated).ok());
    paths.any(|paths| paths.iter().any(|path| path.segments.last().is_some_and(|last| last.ident == "Serialize")))
}
