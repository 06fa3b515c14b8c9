//! `twiml`: prints docs/reference/twilio-compat.md, or runs every document of a folder in the interpreter, such as
//! `twiml/voice` in a checkout of TwilioDevEd/api-snippets, and lists unsupported parts.

mod elements;
mod runs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use trunkgate_twiml::{VerbKind, compat, parse_body};

use elements::{Row, Used};
use runs::{Manner, Run};

/// Options of `twiml`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Print docs/reference/twilio-compat.md.
    #[arg(long)]
    page: bool,
    /// Print a line for each document.
    #[arg(long)]
    each: bool,
    /// Folder of documents (*.twiml, *.xml), with those inside.
    #[arg(required_unless_present = "page")]
    folder: Option<PathBuf>,
}

/// Extent to which a document runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    /// Every verb runs, without a warning.
    Whole,
    /// Every verb runs; some attributes are skipped or differ.
    WithWarnings,
    /// A verb is rejected, and named.
    Refused,
    /// Contrary to the table: the document does not parse or end, fails or warns without a row that permits this, or
    /// uses a part without a row.
    Wrong,
}

impl Extent {
    const ALL: [Extent; 4] = [Extent::Whole, Extent::WithWarnings, Extent::Refused, Extent::Wrong];

    const fn name(self) -> &'static str {
        match self {
            Extent::Whole => "whole",
            Extent::WithWarnings => "warnings",
            Extent::Refused => "refused",
            Extent::Wrong => "WRONG",
        }
    }
}

/// Result of running a document.
#[derive(Debug)]
struct Judged {
    extent: Extent,
    text: String,
    used: BTreeSet<Used>,
    /// Number of verbs reached in neither manner, although no earlier verb ends the document.
    unreached: usize,
}

/// Runs all documents; returns `false` if one contradicts the table.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    if options.page {
        print!("{}", compat::markdown());
        return Ok(true);
    }
    let folder = options.folder.as_deref().unwrap_or(Path::new("."));
    let mut files = Vec::new();
    find(folder, &mut files)?;
    if files.is_empty() {
        bail!("no *.twiml or *.xml there");
    }
    files.sort();
    let mut judged = Vec::new();
    for file in &files {
        let one = judge(&fs::read(file)?);
        let name = file.strip_prefix(folder).unwrap_or(file).display();
        if options.each || one.extent == Extent::Wrong {
            println!("{:<9} {name}: {}", one.extent.name(), one.text);
        }
        judged.push(one);
    }
    print_rows(&judged);
    let count = |extent| judged.iter().filter(|one| one.extent == extent).count();
    let counts = Extent::ALL.map(|extent| format!("{} {}", count(extent), extent.name()));
    let unreached: usize = judged.iter().map(|one| one.unreached).sum();
    println!("{} documents: {}; {unreached} verbs were not reached", judged.len(), counts.join(", "));
    Ok(count(Extent::Wrong) == 0)
}

/// Prints the unsupported and different parts of the documents, with the number of documents for each.
fn print_rows(judged: &[Judged]) {
    let mut rows: BTreeMap<&Used, usize> = BTreeMap::new();
    for used in judged.iter().flat_map(|one| &one.used) {
        *rows.entry(used).or_default() += 1;
    }
    let supported = rows.keys().filter(|used| used.row == Row::Supported).count();
    println!("documents  element or attribute");
    for (Used { name, row }, times) in &rows {
        let state = match row {
            Row::Supported => continue,
            Row::Differs(text) => format!("differs: {text}"),
            Row::NotSupported(text) => format!("not supported: {text}"),
            Row::Missing => "NO ROW in docs/reference/twilio-compat.md".to_owned(),
        };
        println!("{times:>9}  {name}: {state}");
    }
    println!("{supported} of {} elements and attributes in use are supported", rows.len());
}

fn judge(body: &[u8]) -> Judged {
    let used = elements::used(&String::from_utf8_lossy(body));
    let wrong = |text: String, used| Judged { extent: Extent::Wrong, text, used, unreached: 0 };
    let document = match parse_body(body, None) {
        Ok(document) => document,
        Err(error) => return wrong(error.to_string(), used),
    };
    let runs = [Manner::Present, Manner::Absent].map(|manner| runs::run(body, manner));
    let [Ok(present), Ok(absent)] = runs else { return wrong("it does not come to its end".to_owned(), used) };
    if let Some(used_one) = used.iter().find(|one| one.row == Row::Missing) {
        return wrong(format!("{} has no row", used_one.name), used);
    }
    let both = [&present, &absent];
    let notes: BTreeSet<&(u16, String)> = both.into_iter().flat_map(|run| &run.notes).collect();
    let text: Vec<String> = notes.into_iter().map(|(code, text)| format!("{code} {text}")).collect();
    let text = text.join("; ");
    // Leave outside of a queue has no effect except a warning of the rule `queue-leave`.
    let leaves = document.verbs.iter().any(|verb| matches!(verb.kind, VerbKind::Leave));
    let excused = leaves || used.iter().any(|one| one.row != Row::Supported);
    let refused = document.verbs.iter().any(|verb| matches!(verb.kind, VerbKind::Refused(_)));
    let failed = both.into_iter().any(|run| run.failed);
    // The failure of a stream is an error of the run only.
    let noted = both.into_iter().any(|run| run.notes.iter().any(|(code, _)| *code != runs::STREAM_FAILED));
    let extent = if failed && !refused || (refused || noted) && !excused {
        Extent::Wrong
    } else if refused {
        Extent::Refused
    } else if noted {
        Extent::WithWarnings
    } else {
        Extent::Whole
    };
    let unreached = if refused { 0 } else { unreached(&document.verbs, both) };
    Judged { extent, text, used, unreached }
}

/// Returns the number of verbs, up to the first that ends a document, that neither run has reached.
fn unreached(verbs: &[trunkgate_twiml::Verb], runs: [&Run; 2]) -> usize {
    let ends = |kind: &VerbKind| match kind {
        VerbKind::Redirect(_) | VerbKind::Reject(_) | VerbKind::Hangup => true,
        VerbKind::Dial(dial) => dial.action.is_some(),
        VerbKind::Enqueue(enqueue) => enqueue.action.is_some(),
        VerbKind::Connect(connect) => connect.action.is_some(),
        VerbKind::Say(say) => say.repeat == trunkgate_twiml::LoopCount::Forever,
        VerbKind::Play(play) => play.repeat == trunkgate_twiml::LoopCount::Forever,
        VerbKind::Refer(refer) => refer.action.is_some(),
        VerbKind::Gather(gather) => gather.action_on_empty_result,
        VerbKind::Pause(_)
        | VerbKind::Record(_)
        | VerbKind::Leave
        | VerbKind::StartStream(_)
        | VerbKind::StartRecording(_)
        | VerbKind::StopStream { .. }
        | VerbKind::StartTranscript(_)
        | VerbKind::StopTranscript { .. }
        | VerbKind::StartSiprec(_)
        | VerbKind::StopSiprec { .. }
        | VerbKind::Refused(_) => false,
    };
    let last = verbs.iter().position(|verb| ends(&verb.kind)).map_or(verbs.len(), |at| at + 1);
    let reached = |line: u32| runs.iter().any(|run| run.begun.contains(&line));
    verbs.iter().take(last).filter(|verb| !reached(verb.position.line)).count()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_judged_by_what_the_table_says() {
        let extent = |body: &str| judge(format!("<Response>{body}</Response>").as_bytes()).extent;
        assert_eq!(extent("<Say>One</Say><Connect><Stream url='wss://a.example/'/></Connect>"), Extent::Whole);
        assert_eq!(extent("<Dial record='true'>5551234</Dial><Record/><Say>One</Say>"), Extent::Whole);
        assert_eq!(extent("<Record recordingConfigurationId='1'/>"), Extent::WithWarnings);
        assert_eq!(extent("<Leave/>"), Extent::WithWarnings);
        assert_eq!(extent("<Say>One</Say><Pay/>"), Extent::Refused);
        assert_eq!(extent("<Dial><Sim>a</Sim></Dial>"), Extent::Refused);
        assert_eq!(extent("<Dial><Client>a</Client></Dial>"), Extent::Whole);
        assert_eq!(extent("<Dial><Conference>a</Conference></Dial>"), Extent::Whole);
        // A part without a row, a warning without a row, and no document.
        assert_eq!(extent("<Teleport/>"), Extent::Wrong);
        assert_eq!(extent("<Say speed='2'>One</Say>"), Extent::Wrong);
        assert_eq!(extent("<Pause length='long'/>"), Extent::Wrong);
        assert_eq!(extent("<Say>"), Extent::Wrong);
    }
}
