//! `seeds`: runs the examples of pages about systems that use Twilio, unchanged apart from the base URL, against the
//! release binary, and judges each step by calls: web applications, commands, and actions by Twilio's libraries.
//!
//! The pages are not part of this repository: a path is given as an argument, or the folder of all pages in
//! `TRUNKGATE_SEEDS`.

mod actions;
mod commands;
mod documents;
mod messages;
mod numbers;
mod page;
mod provider;
mod proxied;
mod rig;
mod servers;
mod speech;
mod steps;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::interop::{SKIPPED, Setting, edge, install};
use page::Page;
use rig::Rig;
use steps::{Language, Setup};

/// Environment variable that names the folder of pages.
const FOLDER: &str = "TRUNKGATE_SEEDS";
/// Pages, by the number with which their file names begin.
const PAGES: [&str; 5] = ["000", "001", "002", "003", "004"];

/// Options of `seeds`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A page, whose name begins with its number, or the folder of all pages [default: the folder in TRUNKGATE_SEEDS].
    page: Option<PathBuf>,
    /// Run the release binary that is there instead of building it.
    #[arg(long)]
    built: bool,
}

/// Row of the table of results.
#[derive(Debug)]
struct Row {
    page: &'static str,
    section: &'static str,
    name: &'static str,
    by: &'static str,
    outcome: anyhow::Result<String>,
}

/// Runs the pages' steps; returns `false` if one fails.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let place = options.page.clone().or_else(folder);
    let place = place.with_context(|| format!("name the page, or a folder of pages in {FOLDER}"))?;
    install::packages(&[("node", "nodejs"), ("npm", "npm")])?;
    if !options.built {
        edge::build()?;
    }
    let rows = judge(&place, false)?;
    print(&rows);
    Ok(rows.iter().all(|row| row.outcome.is_ok()))
}

/// Runs the steps as a case of the interop suite.
pub(crate) fn case(setting: &Setting) -> anyhow::Result<String> {
    let Some(place) = folder() else {
        if setting.sabotage {
            bail!("no page: {FOLDER} is not set");
        }
        return Ok(format!("{SKIPPED}no page, {FOLDER} is not set"));
    };
    let rows = judge(&place, setting.sabotage)?;
    print(&rows);
    match rows.into_iter().find(|row| row.outcome.is_err()) {
        Some(row) => row.outcome.with_context(|| format!("{}: {}", row.by, row.name)),
        None => Ok(format!("every step of {} pages", PAGES.len())),
    }
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// Judges the steps of a page, or of every page of a folder.
fn judge(place: &Path, sabotage: bool) -> anyhow::Result<Vec<Row>> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let mut rows = Vec::new();
    for number in PAGES {
        if !place.is_dir() && !name.starts_with(number) {
            continue;
        }
        let page = Page::read(place, number)?;
        rows.extend(match number {
            "000" => by_api(number, "Python", &page, &numbers::own(&page)?, &numbers::STEPS)?,
            "002" => by_api(number, "Node", &page, &actions::NUMBERS, &actions::HUB_STEPS)?,
            "003" => {
                let mut rows = by_api(number, "shell", &page, &messages::NUMBERS, &messages::STEPS)?;
                rows.push(speech::judge());
                rows
            }
            "004" => by_api(number, "Python", &page, &actions::NUMBERS, &actions::PLATFORM_STEPS)?,
            _ => {
                let mut rows = applications(&page, sabotage)?;
                rows.extend(by_api(number, "shell", &page, &commands::NUMBERS, &commands::STEPS)?);
                let rig = Rig::start_as_twilio(&commands::NUMBERS, &proxied::HOSTS)?;
                rows.extend(by(&rig, (number, "proxy"), &page, &proxied::STEPS));
                rows
            }
        });
    }
    if rows.is_empty() {
        bail!("{name}: no page that is known; they begin with {}", PAGES.join(", "));
    }
    Ok(rows)
}

/// Runs the steps of a page's web applications and documents.
fn applications(page: &Page, sabotage: bool) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (by, language) in [("Node", Language::Node), ("Python", Language::Python)] {
        let setup = Setup::start(page, language, sabotage).with_context(|| by.to_owned())?;
        let own = steps::OF_NODE.iter().filter(|_| language == Language::Node);
        for step in steps::STEPS.iter().chain(own) {
            let outcome = (step.run)(&setup);
            rows.push(Row { page: "001", section: step.section, name: step.name, by, outcome });
        }
    }
    for step in &documents::STEPS {
        let outcome = (step.run)(page);
        rows.push(Row { page: "001", section: step.section, name: step.name, by: "file", outcome });
    }
    Ok(rows)
}

/// Step of a page that uses the API: section, name, and the function that runs it.
struct ApiStep {
    section: &'static str,
    name: &'static str,
    run: fn(&Page, &Rig) -> anyhow::Result<String>,
}

/// Runs the steps of a page in order against a new edge with the numbers `own`; returns a row for each step.
fn by_api(
    number: &'static str,
    by: &'static str,
    page: &Page,
    own: &[&str],
    steps: &[ApiStep],
) -> anyhow::Result<Vec<Row>> {
    Ok(self::by(&Rig::start(own)?, (number, by), page, steps))
}

fn by(rig: &Rig, (number, by): (&'static str, &'static str), page: &Page, steps: &[ApiStep]) -> Vec<Row> {
    let judged = steps.iter().map(|step| {
        let outcome = (step.run)(page, rig);
        Row { page: number, section: step.section, name: step.name, by, outcome }
    });
    judged.collect()
}

fn print(rows: &[Row]) {
    for Row { page, section, name, by, outcome } in rows {
        match outcome {
            Ok(figure) => println!("      {page} {section:<18} {by:<6} ok       {name}: {figure}"),
            Err(error) => println!("      {page} {section:<18} {by:<6} FAIL     {name}: {error:#}"),
        }
    }
    for (page, section, name, instead) in proxied::GONE {
        println!("      {page} {section:<18}        gone     {name}: {instead}");
    }
    let held = rows.iter().filter(|row| row.outcome.is_ok()).count();
    println!("      {held} of {} steps hold", rows.len());
}
