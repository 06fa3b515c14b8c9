//! `twiml`: prints docs/twilio-compat.md, or parses every document of a folder, such as `twiml/voice` of a checkout of
//! TwilioDevEd/api-snippets, and lists what of it is not supported.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use trunkgate_twiml::{Kind, compat, parse_body};

/// Options of `twiml`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Print docs/twilio-compat.md.
    #[arg(long)]
    page: bool,
    /// Folder of documents (*.twiml, *.xml), with those inside.
    #[arg(required_unless_present = "page")]
    folder: Option<PathBuf>,
}

/// Runs the task; false if a document does not parse.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    if options.page {
        print!("{}", compat::markdown());
        return Ok(true);
    }
    let mut files = Vec::new();
    find(options.folder.as_deref().unwrap_or(Path::new(".")), &mut files)?;
    if files.is_empty() {
        bail!("no *.twiml or *.xml there");
    }
    files.sort();
    let (mut parsed, mut whole) = (0, 0);
    let mut lacking: BTreeMap<String, usize> = BTreeMap::new();
    for file in &files {
        let document = match parse_body(&fs::read(file)?, None) {
            Ok(document) => document,
            Err(wrong) => {
                println!("{}: {wrong}", file.display());
                continue;
            }
        };
        parsed += 1;
        let refused = document.verbs.iter().filter(|verb| matches!(verb.kind, Kind::Refused(_)));
        let refused = refused.map(|verb| format!("refused: {}", verb.kind.name()));
        let warnings = document.warnings.list.iter().map(|warning| format!("{}: {}", warning.code, warning.message));
        let lacks: Vec<String> = refused.chain(warnings).collect();
        whole += usize::from(lacks.is_empty());
        for one in lacks {
            *lacking.entry(one).or_default() += 1;
        }
    }
    println!("{} documents, {parsed} parse, {whole} without a warning or refused verb", files.len());
    for (what, times) in lacking {
        println!("{times:5}  {what}");
    }
    Ok(parsed == files.len())
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "twiml" || extension == "xml") {
            files.push(path);
        }
    }
    Ok(())
}
