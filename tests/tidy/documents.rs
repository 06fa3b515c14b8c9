//! Documents agree with the tree: files, functions, tests, keys and reasons that they name exist, and required names
//! are present.

use std::collections::BTreeSet;

use regex::Regex;

use super::tree::{Source, report, root, sources};

const CHANGELOG: &str = "CHANGELOG.md";

pub(super) fn documents() -> Vec<Source> {
    sources().into_iter().filter(|source| source.path.ends_with(".md")).collect()
}

pub(super) fn document(path: &str) -> Source {
    documents().into_iter().find(|source| source.path == path).unwrap_or_else(|| panic!("{path} is missing"))
}

/// Returns the file from which the links of a document are resolved: a fragment of `changes/` becomes part of
/// CHANGELOG.md.
pub(super) fn linking_file(path: &str) -> &str {
    let is_fragment = path.starts_with("changes/") && path != "changes/README.md";
    if is_fragment { CHANGELOG } else { path }
}

/// Returns the documents that describe the present tree, without the change log.
pub(super) fn documents_of_today() -> impl Iterator<Item = Source> {
    documents().into_iter().filter(|source| linking_file(&source.path) != CHANGELOG)
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#\s]+)(#[^)]*)?\)").unwrap();
    let mut broken = Vec::new();
    for source in documents() {
        let folder = root().join(linking_file(&source.path)).parent().unwrap().to_owned();
        for line in source.lines() {
            let targets = link.captures_iter(line.text).map(|found| found[1].to_owned());
            let local = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
            let lost = local.filter(|target| !folder.join(target).exists());
            broken.extend(lost.map(|target| format!("{}:{}: {target}", source.path, line.number)));
        }
    }
    report("a link in a document leads to a file", broken);
}

/// The image and the Debian package bring the speech synthesizer for an edge without configuration, and a page names
/// its licence.
#[test]
fn packages_bring_the_program_that_speaks() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let constant = Regex::new(r#"const INSTALLED: &str = "([^"]+)";"#).unwrap();
    let speech = read("crates/config/src/speech.rs");
    let program = constant.captures(&speech).unwrap()[1].to_owned();
    let (image, package) = (read("Dockerfile"), read("Cargo.toml"));
    let run_stage = image.rsplit_once("\nFROM ").unwrap().1;
    assert!(run_stage.contains(&format!("ARG VOICE=\"{program}\"")), "the image has no {program}");
    assert!(run_stage.contains("apt-get install -y --no-install-recommends \"$VOICE\""), "the image installs no voice");
    let recommends = package.lines().find(|line| line.starts_with("recommends = ")).unwrap();
    assert!(recommends.contains(&program), "{recommends}");
    let deploy = document("docs/operate/deploy.md").text;
    assert!(
        deploy.contains(&program) && deploy.contains("GPL"),
        "docs/operate/deploy.md names no licence of {program}"
    );
}

/// The chart starts the image that has the chart's own version.
#[test]
fn the_chart_has_the_version_of_the_product() {
    let chart = std::fs::read_to_string(root().join("deploy/helm/trunkgate/Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nversion: {version}\nappVersion: \"{version}\"\n")), "{chart}");
}

#[test]
fn no_merge_is_half_done() {
    let is_mark = |text: &str| text.starts_with("<<<<<<< ") || text.starts_with(">>>>>>> ");
    let files = sources();
    let marks = files.iter().flat_map(|source| source.lines().map(move |line| (source, line)));
    let marks = marks.filter(|(_, line)| is_mark(line.text));
    let broken = marks.map(|(source, line)| format!("{}:{}", source.path, line.number)).collect();
    report("a file has no marks of a conflict", broken);
}

#[test]
fn files_named_in_documents_exist() {
    let path = Regex::new(r"`((?:crates|src|tests|config|docs|xtask|benches|\.ci)/[\w./-]+)`").unwrap();
    let mut broken = Vec::new();
    for source in documents_of_today() {
        for line in source.lines() {
            let named = path.captures_iter(line.text).map(|found| found[1].to_owned());
            let lost = named.filter(|named| !root().join(named).exists());
            broken.extend(lost.map(|named| format!("{}:{}: {named}", source.path, line.number)));
        }
    }
    report("a file named in a document exists", broken);
}

/// In these documents, functions in backticks (`name()`) on a line that names one file are functions of that file.
#[test]
fn functions_named_beside_a_file_are_in_it() {
    let file = Regex::new(r"`([a-z]\w*/[\w./-]+\.rs)`").unwrap();
    let function = Regex::new(r"`(?:[A-Za-z_]\w*::)*([a-z_]\w*)\(\)`").unwrap();
    // Rooms of the call core, and its gateway, are named without their folder.
    let whole = |name: &str| match ["crates/", "src/", "tests/", "xtask/"].iter().any(|top| name.starts_with(top)) {
        true => name.to_owned(),
        false if name.starts_with("gateway/") => format!("crates/call/src/{name}"),
        false => format!("crates/call/src/call/{name}"),
    };
    let files = sources();
    let mut broken = Vec::new();
    let mut found = 0;
    for path in ["docs/internals/life-of-a-call.md", "docs/internals/architecture.md"] {
        for line in document(path).lines() {
            let mut named: Vec<&Source> = Vec::new();
            for path_of_file in file.captures_iter(line.text).map(|name| whole(&name[1])) {
                match files.iter().find(|source| source.path == path_of_file) {
                    Some(source) => named.push(source),
                    None => broken.push(format!("{path}:{}: {path_of_file}", line.number)),
                }
            }
            // A line that names no file refers to functions of every core.
            for name in function.captures_iter(line.text).filter(|_| !named.is_empty()) {
                found += 1;
                let head = Regex::new(&format!(r"\bfn {}\b", &name[1])).unwrap();
                if !named.iter().any(|source| head.is_match(&source.text)) {
                    broken.push(format!("{path}:{}: {}", line.number, &name[1]));
                }
            }
        }
    }
    assert!(found > 10, "docs/internals/life-of-a-call.md names its functions");
    report("a function named beside a file is in that file", broken);
}

/// Clients branch on the error codes of the HTTP API.
#[test]
fn codes_of_http_stand_in_its_document() {
    let refusal = Regex::new(r#"(?:ApiError::new\([^;]*?,|wrong\()\s*"([a-z_]+)""#).unwrap();
    let asked = Regex::new(r#"RequestRefusal::\w+(?:\(_\))? => "([a-z_]+)","#).unwrap();
    let text = document("docs/reference/http.md").text;
    let (mut found, mut missing) = (BTreeSet::new(), Vec::new());
    for source in sources() {
        let codes = match source.path.as_str() {
            "crates/call/src/call/words/refused.rs" => &asked,
            path if path.starts_with("crates/admin/src/") => &refusal,
            _ => continue,
        };
        found.extend(codes.captures_iter(&source.text).map(|code| code[1].to_owned()));
    }
    let sure = ["unknown_call", "bad_tracks", "no_series", "codec_mismatch"];
    assert!(sure.iter().all(|code| found.contains(*code)), "{found:?}");
    missing.extend(found.into_iter().filter(|code| !text.contains(&format!("`{code}`"))));
    report("a code that HTTP answers with stands in docs/reference/http.md", missing);
}

/// Page that lists the peers and cases of interop.
const INTEROP: &str = "docs/reference/interop.md";

/// Pages with tables of supported features and of promises, in which each row names its tests.
const SUPPORT: [&str; 2] = ["docs/internals/evidence/rfcs.md", "docs/internals/evidence/voice-agents.md"];

/// First columns of these tables, with the number of columns.
const HEADS: [(&str, usize); 2] = [("| section |", 4), ("| subject |", 3)];

#[test]
fn tests_named_in_the_rfc_tables_exist() {
    let named = Regex::new(r"`([a-z]\w*(?:_\w+)+)`").unwrap();
    let code: String = sources().into_iter().filter(Source::is_rust).map(|source| source.text).collect();
    let mut broken = Vec::new();
    for page in SUPPORT.into_iter().chain([INTEROP]).map(document) {
        for line in page.lines().filter(|line| line.text.starts_with('|')) {
            let tests = named.captures_iter(line.text).map(|found| found[1].to_owned());
            let lost = tests.filter(|test| !code.contains(&format!("fn {test}(")));
            broken.extend(lost.map(|test| format!("{}:{}: {test}", page.path, line.number)));
        }
    }
    report("a test named in docs/reference/interop.md and docs/internals/evidence exists", broken);
}

#[test]
fn cases_of_interop_and_their_document_agree() {
    let text: String = SUPPORT.into_iter().chain([INTEROP]).map(|page| document(page).text).collect();
    // One case, or a list: interop `sipp-rtp`, `sipp-tcp`.
    let list = Regex::new(r"interop ((?:`[a-z0-9-]+`(?:,\s+)?)+)").unwrap();
    let name = Regex::new(r"`([a-z0-9-]+)`").unwrap();
    let lists: String = list.captures_iter(&text).map(|found| found[1].to_owned()).collect();
    let named: BTreeSet<String> = name.captures_iter(&lists).map(|found| found[1].to_owned()).collect();
    let cases = sources().into_iter().find(|source| source.path == "xtask/src/interop/cases/mod.rs").unwrap().text;
    let case = Regex::new(r#"name: "([a-z0-9-]+)""#).unwrap();
    let cases: BTreeSet<String> = case.captures_iter(&cases).map(|found| found[1].to_owned()).collect();
    assert!(cases.len() > 10, "xtask/src/interop/cases/mod.rs names the cases");
    let apart = named.symmetric_difference(&cases).cloned().collect();
    report("a case named in docs/reference/interop.md is there, and each that is there is named", apart);
}

#[test]
fn rows_of_the_rfc_tables_name_a_test() {
    let (mut broken, mut columns, mut rows) = (Vec::new(), None, 0);
    let pages = SUPPORT.map(document);
    for (page, line) in pages.iter().flat_map(|page| page.lines().map(move |line| (&page.path, line))) {
        let head = HEADS.iter().find(|(head, _)| line.text.starts_with(head));
        columns = head.map(|(_, columns)| *columns).or(columns).filter(|_| line.text.starts_with('|'));
        let cells: Vec<&str> = line.text.trim_matches('|').split('|').map(str::trim).collect();
        let Some(columns) = columns.filter(|_| head.is_none() && !cells[0].starts_with("---")) else { continue };
        rows += 1;
        if cells.len() != columns || !cells.last().is_some_and(|tests| tests.contains('`')) {
            broken.push(format!("{page}:{}: {cells:?}", line.number));
        }
    }
    assert!(rows > 80, "docs/internals/evidence/rfcs.md has the tables of all RFCs");
    report("a row of docs/internals/evidence has a cell for each column, and names a test", broken);
}

#[test]
fn every_reason_is_explained() {
    let text = document("docs/reference/reasons.md").text;
    let code = sources().into_iter().find(|source| source.path == "crates/story/src/reason.rs").unwrap().text;
    let slug = Regex::new(r#"slug: "([a-z0-9_]+)""#).unwrap();
    let slugs: BTreeSet<String> = slug.captures_iter(&code).map(|found| found[1].to_owned()).collect();
    assert!(slugs.len() > 10, "crates/story/src/reason.rs names the reasons");
    let missing = slugs.into_iter().filter(|slug| !text.contains(&format!("`{slug}`")));
    report("every reason slug is in docs/reference/reasons.md", missing.collect());
}

#[test]
fn every_dependency_has_its_reason() {
    let text = document("docs/internals/dependencies.md").text;
    let manifest = super::workspace::manifest();
    let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
    let others = dependencies.keys().filter(|name| !name.starts_with("trunkgate"));
    let missing = others.filter(|name| !text.contains(&format!("`{name}`")));
    report("every dependency is in docs/internals/dependencies.md with its reason", missing.cloned().collect());
}
