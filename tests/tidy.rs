//! Rules for the source tree as ordinary tests: dependencies between crates, calls that cores must not make, file
//! lengths, and names that a test or a document must have. Each test lists its violations.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "tidy/book.rs"]
mod book;
#[path = "tidy/commits.rs"]
mod commits;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/functions.rs"]
mod functions;
#[path = "tidy/language.rs"]
mod language;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/sizes.rs"]
mod sizes;
#[path = "tidy/structure.rs"]
mod structure;
#[path = "tidy/tree.rs"]
mod tree;
#[path = "tidy/wording.rs"]
mod wording;
#[path = "tidy/workspace.rs"]
mod workspace;

use functions::functions;
use regex::Regex;
use tree::{Source, report, rust, sources};

/// Permitted dependencies between cores. Tests may use more.
const ARROWS: [(&str, &[&str]); 19] = [
    ("trunkgate-terms", &[]),
    ("trunkgate-tls-record", &[]),
    ("trunkgate-cookies", &[]),
    ("trunkgate-sip", &["trunkgate-terms"]),
    ("trunkgate-sdp", &["trunkgate-terms"]),
    ("trunkgate-route", &["trunkgate-terms"]),
    ("trunkgate-agent", &["trunkgate-terms"]),
    ("trunkgate-detection", &[]),
    ("trunkgate-twiml", &["trunkgate-detection"]),
    ("trunkgate-recording", &["trunkgate-terms"]),
    ("trunkgate-resample", &[]),
    ("trunkgate-conference", &["trunkgate-resample", "trunkgate-terms"]),
    (
        "trunkgate-media",
        &["trunkgate-agent", "trunkgate-terms", "trunkgate-resample", "trunkgate-conference", "trunkgate-detection"],
    ),
    ("trunkgate-story", &["trunkgate-sip", "trunkgate-route", "trunkgate-media"]),
    (
        "trunkgate-resources",
        &[
            "trunkgate-cookies",
            "trunkgate-sip",
            "trunkgate-route",
            "trunkgate-media",
            "trunkgate-story",
            "trunkgate-conference",
        ],
    ),
    (
        "trunkgate-call",
        &[
            "trunkgate-cookies",
            "trunkgate-sip",
            "trunkgate-sdp",
            "trunkgate-route",
            "trunkgate-media",
            "trunkgate-story",
            "trunkgate-resources",
            "trunkgate-twiml",
            "trunkgate-conference",
        ],
    ),
    ("trunkgate-phone", &["trunkgate-sip", "trunkgate-sdp", "trunkgate-media"]),
    (
        "trunkgate-sim",
        &["trunkgate-sip", "trunkgate-sdp", "trunkgate-route", "trunkgate-media", "trunkgate-call", "trunkgate-phone"],
    ),
    // The benchmark encrypts like a remote party, and xtask parses folders of TwiML; the interop peers share no code
    // with the edge.
    ("xtask", &["trunkgate-detection", "trunkgate-media", "trunkgate-testing", "trunkgate-twiml"]),
];

/// Crates that access the system, which only the shell may use.
const SYSTEM_CRATES: [&str; 8] = ["tokio", "socket2", "nix", "reqwest", "axum", "tracing-subscriber", "mio", "libc"];

/// Licences permitted for code in the binary.
const LICENCES: [&str; 11] = [
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "BSL-1.0",
    "Unlicense",
    "Unicode-3.0",
    "CC0-1.0",
    // This licence applies to its own files only, not to code linked with them (docs/internals/dependencies.md).
    "MPL-2.0",
];

/// Packages that are built in several versions, each with the reason.
const DUPLICATES: [(&str, &str); 17] = [
    ("base64", "instant-acme is a release behind"),
    ("bit-vec", "rcgen (tests only) writes certificates with a release before proptest's"),
    ("foldhash", "with hashbrown"),
    ("getrandom", "the older is ring's, which rustls names beside aws-lc-rs and which is not built"),
    ("hashbrown", "rlibphonenumber and its maps are one and two releases behind indexmap"),
    ("itertools", "criterion (tests only) is a release ahead of the code generator of logos"),
    ("logos", "rlibphonenumber and its message parser use neighbouring releases"),
    ("logos-codegen", "with logos"),
    ("logos-derive", "with logos"),
    ("strum", "rlibphonenumber is two releases behind ratatui"),
    ("strum_macros", "with strum"),
    ("synstructure", "the older is of rcgen's reader of certificates, which is not built"),
    ("syn", "build time only: derive macros are moving from 2 to 3"),
    ("thiserror", "some of what we use has not moved to 2"),
    ("thiserror-impl", "with thiserror"),
    ("unicode-width", "build time only: what makes the number tables shows its errors with a release before ratatui's"),
    ("untrusted", "rcgen (tests only) turns on what aws-lc-rs has of ring; webpki is ahead of it"),
];

/// Calls forbidden in a core, which takes `now` and bytes, and returns bytes and deadlines.
const SYSTEM_CALLS: [&str; 13] = [
    "Instant::now",
    "SystemTime::now",
    ".elapsed()",
    "std::thread",
    "thread::sleep",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "tokio::",
    "std::fs",
    "std::env",
    "std::process",
    "rand::random",
];

const FILE_LINES: usize = 900;
const FUNCTION_LINES: usize = 70;

#[test]
fn crates_depend_only_along_the_arrows() {
    let mut broken = Vec::new();
    // Crates of the shell may use any core.
    let is_apart = |name: &str| {
        let short = name.strip_prefix("trunkgate-").unwrap_or_default();
        name == "trunkgate" || short == "testing" || tree::SHELL.contains(&short)
    };
    let packages = workspace::packages().into_iter().filter(|package| package.ours && !is_apart(&package.name));
    for package in packages {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            broken.push(format!("{}: not in the table of arrows", package.name));
            continue;
        };
        let core = package.name != "xtask";
        for (name, _) in package.dependencies.iter().filter(|(_, for_tests)| !for_tests) {
            let ours = name.starts_with("trunkgate");
            if (ours && !allowed.contains(&name.as_str())) || (core && SYSTEM_CRATES.contains(&name.as_str())) {
                broken.push(format!("{} -> {name}", package.name));
            }
        }
    }
    report("crates depend only along the arrows of docs/internals/architecture.md", broken);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let manifests = sources().into_iter().filter(|s| s.path.starts_with("crates/") && s.name() == "Cargo.toml");
    let lax =
        manifests.filter(|s| !s.path.starts_with("crates/fuzz/") && !s.text.contains("[lints]\nworkspace = true"));
    report("every crate has `[lints] workspace = true`", lax.map(|s| s.path).collect());
}

#[test]
fn every_dependency_is_used() {
    let files = rust();
    let mut broken = Vec::new();
    for package in workspace::packages().into_iter().filter(|package| package.ours) {
        let own = |path: &str| match package.folder.as_str() {
            "" => ["src/", "tests/", "benches/"].iter().any(|folder| path.starts_with(folder)),
            folder => path.starts_with(folder),
        };
        let own: Vec<&Source> = files.iter().filter(|source| own(&source.path)).collect();
        assert!(!own.is_empty(), "no source of {}", package.name);
        for (name, _) in &package.dependencies {
            let used = Regex::new(&format!(r"\b{}(::|!|;| as )", name.replace('-', "_"))).unwrap();
            if !own.iter().any(|source| source.lines().any(|line| used.is_match(line.code()))) {
                broken.push(format!("{}: {name}", package.name));
            }
        }
    }
    report("a dependency is named in the code of its package", broken);
}

#[test]
fn the_tree_is_laid_out_as_promised() {
    let top = ["src", "crates", "config", "benches", "tests", "xtask", "docs", "changes"];
    let files = ["Cargo.lock", "docker-compose.yml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];
    let missing = top.into_iter().filter(|name| !tree::root().join(name).is_dir());
    let missing = missing.chain(files.into_iter().filter(|name| !tree::root().join(name).is_file()));
    report("folders and papers at the top", missing.map(str::to_owned).collect());
}

#[test]
fn licences_are_permissive() {
    let strangers =
        workspace::packages().into_iter().filter(|package| !workspace::may_use(&package.licence, &LICENCES));
    let named = strangers.map(|p| format!("{} {}: `{}`", p.name, p.version, p.licence));
    report("a dependency's licence is one of the list in tests/tidy.rs", named.collect());
}

#[test]
fn nothing_is_built_twice_without_a_reason() {
    let twice = workspace::duplicates();
    let known = |name: &str| DUPLICATES.iter().any(|(known, _)| *known == name);
    let mut broken: Vec<String> =
        twice.iter().filter(|(name, _)| !known(name)).map(|(name, versions)| format!("{name}: {versions:?}")).collect();
    let gone = DUPLICATES.iter().filter(|(name, _)| !twice.contains_key(*name));
    broken.extend(gone.map(|(name, _)| format!("{name}: in the list, but built once")));
    report("a package built in two versions stands in DUPLICATES with its reason", broken);
}

#[test]
fn cores_do_not_touch_the_system() {
    // The program of the simulator takes a seed from its arguments, and prints.
    let core = |path: &str| {
        let is_apart =
            path == "crates/sim/src/main.rs" || path.starts_with("crates/testing/") || tree::is_of_shell(path);
        path.starts_with("crates/") && path.contains("/src/") && !is_apart
    };
    let cores = rust().into_iter().filter(|source| core(&source.path));
    let mut broken = Vec::new();
    for source in cores {
        let mut excused = false;
        for line in source.product_lines() {
            let called = SYSTEM_CALLS.into_iter().filter(|call| line.code().contains(call));
            broken.extend(called.filter(|_| !excused).map(|call| format!("{}:{}: {call}", source.path, line.number)));
            excused = line.text.contains("#[expect(clippy::disallowed_methods, reason = ");
        }
    }
    report("cores are sans-IO: no clock, socket, thread, file or environment", broken);
}

#[test]
fn the_wall_clock_is_read_in_one_place() {
    let mut broken = Vec::new();
    for source in rust().into_iter().filter(|source| tree::is_of_shell(&source.path)) {
        if source.path.ends_with("/tests.rs") || source.path.contains("/tests/") {
            continue;
        }
        let reads =
            |line: &tree::Line<'_>| ["SystemTime::now", "Timestamp::now"].iter().any(|call| line.code().contains(call));
        let places = source.product_lines().filter(reads).map(|line| format!("{}:{}", source.path, line.number));
        broken.extend(places.filter(|place| !place.starts_with("crates/system/src/clock.rs")));
    }
    report("the wall clock, which may be set to anything, is read in crates/system/src/clock.rs alone", broken);
}

#[test]
fn files_are_short() {
    let lines = |text: &str| text.lines().filter(|line| !line.trim().is_empty()).count();
    let long = rust().into_iter().map(|s| (lines(&s.text), s.path)).filter(|(lines, _)| *lines > FILE_LINES);
    report(
        "a file has at most 900 lines that are not empty, tests included",
        long.map(|(n, path)| format!("{path}: {n}")).collect(),
    );
}

#[test]
fn functions_are_short_or_one_flat_match() {
    let broken = rust().into_iter().flat_map(|source| {
        let long =
            functions(&source).into_iter().filter(|f| f.length > FUNCTION_LINES && f.in_match * 10 <= f.length * 6);
        long.map(|f| format!("{}:{}: {} has {} lines", source.path, f.line, f.name, f.length)).collect::<Vec<_>>()
    });
    report("a function has at most 70 lines, unless most of it is one match", broken.collect());
}

#[test]
fn every_file_says_what_it_owns() {
    let bare = rust().into_iter().filter(|source| !source.text.starts_with("//! "));
    report("a file begins with `//!` and what it owns", bare.map(|source| source.path).collect());
}

#[test]
fn open_ends_name_their_issue() {
    let open = Regex::new(concat!(r"\b(TO", r"DO|FIX", r"ME|XX", r"X|HA", r"CK)\b")).unwrap();
    let issue = Regex::new(r"\(#\d+\)").unwrap();
    let broken = places(&sources(), |line| open.is_match(line) && !issue.is_match(line));
    report("an open end names its issue: (#12)", broken);
}

#[test]
fn no_test_is_switched_off() {
    let ignored = concat!("#[ign", "ore");
    report("no test is ignored", places(&rust(), |line| line.trim_start().starts_with(ignored)));
}

#[test]
fn no_test_sleeps() {
    // These files have `until`, which waits for an event, and the clock of audio senders.
    let may = ["tests/it/support/mod.rs", "tests/it/support/pace.rs", "tests/it/worker/rig.rs", "tests/tidy.rs"];
    let is_test = |path: &str| path.starts_with("tests/") || path.contains("/tests/");
    let tests: Vec<Source> =
        rust().into_iter().filter(|source| is_test(&source.path) && !may.contains(&source.path.as_str())).collect();
    report("tests wait for events", places(&tests, |line| line.contains("thread::sleep")));
}

#[test]
fn rfcs_are_cited_in_one_form() {
    let other = Regex::new(concat!(
        r"RFC\d|RFC-\d|RFC  |\brfc \d|RFC \d+[,:]? \(?([Ss]ection|[Ss]ec\.|[Cc]hapter|[Cc]lause)\b|",
        r"RFC \d+, §|RFC \d+§|§ \d|§§"
    ));
    let other = other.unwrap();
    let in_code = rust().into_iter().filter(|source| !source.path.starts_with("tests/tidy")).flat_map(|source| {
        let wrong: Vec<_> = source.lines().filter(|line| other.is_match(line.comment())).collect();
        wrong.iter().map(|line| format!("{}:{}: {}", source.path, line.number, line.text.trim())).collect::<Vec<_>>()
    });
    let documents: Vec<Source> = sources().into_iter().filter(|source| source.path.ends_with(".md")).collect();
    let broken = in_code.chain(places(&documents, |line| other.is_match(line)));
    report("RFCs are cited as `RFC 3261 §17.1.1.2`", broken.collect());
}

#[test]
fn names_say_what_a_thing_is() {
    let vague =
        Regex::new(r"(?i)\b(struct|enum|trait|mod|union)\s+\w*(util|helper|manager|handler|common|context|service)");
    let vague = vague.unwrap();
    let stem = Regex::new(r"(?i)(^|_)(utils?|helpers?|managers?|handlers?|common|context|misc)\.rs$").unwrap();
    let files = rust();
    let mut broken: Vec<String> = files.iter().filter(|s| stem.is_match(s.name())).map(|s| s.path.clone()).collect();
    for source in &files {
        let lines = source.lines().filter(|line| vague.is_match(line.code()));
        broken.extend(lines.map(|line| format!("{}:{}: {}", source.path, line.number, line.text.trim())));
    }
    report("names say what a thing is, not that it manages or helps", broken);
}

#[test]
fn every_drop_reason_is_met_in_a_test() {
    let files = rust();
    let tests: String = files.iter().map(Source::test_text).collect();
    let mut found = 0;
    let mut broken = Vec::new();
    for source in files.iter().filter(|source| !source.is_test()) {
        for (line, variant) in variants(source, "pub enum DropReason {") {
            found += 1;
            if !tests.contains(&format!("DropReason::{variant}")) {
                broken.push(format!("{}:{line}: DropReason::{variant}", source.path));
            }
        }
    }
    assert!(found > 5, "no DropReason found");
    report("every reason to drop something is met in a test", broken);
}

#[test]
fn every_limit_is_kept_somewhere() {
    let name = Regex::new(r"pub(?:\(\w+\))? const ([A-Z][A-Z0-9_]*)").unwrap();
    let files = rust();
    let mut broken = Vec::new();
    for limits in files.iter().filter(|source| source.name() == "limits.rs") {
        for line in limits.lines() {
            let Some(found) = name.captures(line.text) else { continue };
            let used = Regex::new(&format!(r"\b{}\b", &found[1])).unwrap();
            // Searching line by line is slow, so it is limited to files that contain the name.
            let named = files.iter().filter(|source| source.text.contains(&found[1]));
            let mut others = named.filter(|s| !s.is_test() && s.path != limits.path);
            let kept = others.any(|source| source.product_lines().any(|line| used.is_match(line.code())));
            if !kept {
                broken.push(format!("{}:{}: {}", limits.path, line.number, &found[1]));
            }
        }
    }
    report("a limit is looked at outside of limits.rs", broken);
}

#[test]
fn every_example_configuration_is_loaded_by_a_test() {
    let files = sources();
    let tests: String = files.iter().filter(|s| s.is_rust()).map(Source::test_text).collect();
    let examples = files.iter().filter(|s| s.path.starts_with("config/") && s.path.ends_with(".toml"));
    let all = tests.contains("read_dir(folder().join(\"examples\"))");
    let read = |file: &Source| tests.contains(file.name()) || (all && file.path.starts_with("config/examples/"));
    let unread = examples.filter(|example| !read(example)).map(|example| example.path.clone());
    report("every file of config/ is loaded by a test", unread.collect());
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let place =
        Regex::new(concat!(r#"(^|[\s"'`=(:\[])/(wo"#, r"rk|ro", r#"ot|home/\w+|Users/\w+)(/|["'`)\s]|$)"#)).unwrap();
    report("no path of one machine", places(&sources(), |line| place.is_match(line)));
}

/// Returns the places of the lines for which `wrong` holds.
fn places(files: &[Source], wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let all = files.iter().flat_map(|source| source.lines().map(move |line| (source, line)));
    let broken = all.filter(|(_, line)| wrong(line.text));
    broken.map(|(source, line)| format!("{}:{}: {}", source.path, line.number, line.text.trim())).collect()
}

/// Returns the variants of an enum, with or without fields, each with its line.
fn variants(source: &Source, head: &str) -> Vec<(usize, String)> {
    let body = source.lines().skip_while(|line| line.text.trim() != head).skip(1);
    let body = body.take_while(|line| line.text.trim() != "}");
    let named = body.filter(|line| line.text.starts_with("    ") && line.text.trim().starts_with(char::is_uppercase));
    let name = |text: &str| text.trim().split([',', ' ', '(', '{']).next().unwrap_or_default().to_owned();
    named.map(|line| (line.number, name(line.text))).collect()
}
