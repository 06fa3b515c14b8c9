//! `seeds`: runs the web applications of a page, unchanged, behind the release binary and judges each step of it by calls.
//!
//! The page is not part of this repository: its place is an argument, or that of a folder of pages in `TRUNKGATE_SEEDS`.

mod documents;
mod page;
mod servers;
mod steps;

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::interop::{SKIPPED, Setting, edge, install};
use page::Page;
use steps::{Language, Setup};

/// Environment variable with the folder of pages.
const FOLDER: &str = "TRUNKGATE_SEEDS";

/// Steps of the page that need what is not in this version.
const NOT_YET: [(&str, &str, &str); 10] = [
    ("SDK for Python", "calls.create with a URL", "calls made through the API"),
    ("SDK for Python", "Record with transcription", "recording, transcription"),
    ("Gather", "speech input", "speech recognition"),
    ("CLI, curl", "calls, recordings, conferences, accounts", "the REST API"),
    ("answering machines", "MachineDetection", "answering-machine detection"),
    ("recording", "record of Dial and Conference, callbacks, files", "recording"),
    ("usage 2", "outbound call with a document in the request", "calls made through the API"),
    ("usage 3", "warm transfer", "conferences"),
    ("usage 4", "voicemail", "recording"),
    ("messaging", "a text after a call that failed", "the REST API for messages"),
];

/// Options of `seeds`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The page, or a folder with it [default: the folder in TRUNKGATE_SEEDS].
    page: Option<PathBuf>,
    /// Run the release binary that is there instead of building it.
    #[arg(long)]
    built: bool,
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    section: &'static str,
    name: &'static str,
    by: &'static str,
    outcome: anyhow::Result<String>,
}

/// Runs the task; false if a step does not hold.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let place = options.page.clone().or_else(folder);
    let place = place.with_context(|| format!("name the page, or a folder of pages in {FOLDER}"))?;
    install::packages(&[("node", "nodejs"), ("npm", "npm")])?;
    if !options.built {
        edge::build()?;
    }
    let rows = judge(&Page::read(&place)?, false)?;
    print(&rows);
    Ok(rows.iter().all(|row| row.outcome.is_ok()))
}

/// The case of the interop suite.
pub(crate) fn case(setting: &Setting) -> anyhow::Result<String> {
    let Some(place) = folder() else {
        if setting.sabotage {
            bail!("no page: {FOLDER} is not set");
        }
        return Ok(format!("{SKIPPED}no page, {FOLDER} is not set"));
    };
    let rows = judge(&Page::read(&place)?, setting.sabotage)?;
    print(&rows);
    match rows.into_iter().find(|row| row.outcome.is_err()) {
        Some(row) => row.outcome.with_context(|| format!("{}: {}", row.by, row.name)),
        None => Ok(format!("every step of both servers and the documents; {} steps are not yet", NOT_YET.len())),
    }
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

fn judge(page: &Page, sabotage: bool) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (by, language) in [("Node", Language::Node), ("Python", Language::Python)] {
        let setup = Setup::start(page, language, sabotage).with_context(|| by.to_owned())?;
        let own = steps::OF_NODE.iter().filter(|_| language == Language::Node);
        for step in steps::STEPS.iter().chain(own) {
            let outcome = (step.run)(&setup);
            rows.push(Row { section: step.section, name: step.name, by, outcome });
        }
    }
    for step in &documents::STEPS {
        rows.push(Row { section: step.section, name: step.name, by: "file", outcome: (step.run)(page) });
    }
    Ok(rows)
}

fn print(rows: &[Row]) {
    for Row { section, name, by, outcome } in rows {
        match outcome {
            Ok(figure) => println!("      {section:<18} {by:<6} ok       {name}: {figure}"),
            Err(error) => println!("      {section:<18} {by:<6} FAIL     {name}: {error:#}"),
        }
    }
    for (section, name, lacks) in NOT_YET {
        println!("      {section:<18}        not yet  {name}: {lacks}");
    }
    let held = rows.iter().filter(|row| row.outcome.is_ok()).count();
    println!("      {held} of {} steps hold, {} are not yet", rows.len(), NOT_YET.len());
}
