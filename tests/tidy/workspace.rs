//! Packages of the workspace and their dependencies, by `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Package that a build contains.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: String,
    pub(crate) ours: bool,
    /// Folder of the package from the top of the tree, with a final `/`; empty for the product.
    pub(crate) folder: String,
    /// Names of the dependencies, each with whether only tests need it.
    pub(crate) dependencies: BTreeSet<(String, bool)>,
}

/// Returns all packages of a build on this machine.
pub(crate) fn packages() -> Vec<Package> {
    let metadata = metadata();
    let ours: BTreeSet<&str> = array(&metadata, "workspace_members").filter_map(Value::as_str).collect();
    let package = |package: &Value| Package {
        name: text(package, "name"),
        version: text(package, "version"),
        licence: text(package, "license"),
        ours: package["id"].as_str().is_some_and(|id| ours.contains(id)),
        folder: text(package, "manifest_path")
            .strip_prefix(super::tree::root().to_str().unwrap_or_default())
            .map(|path| path.trim_start_matches('/').trim_end_matches("Cargo.toml").to_owned())
            .unwrap_or_default(),
        dependencies: array(package, "dependencies")
            .map(|dependency| {
                let named = if dependency["rename"].is_null() { "name" } else { "rename" };
                (text(dependency, named), dependency["kind"] == "dev")
            })
            .collect(),
    };
    array(&metadata, "packages").map(package).collect()
}

/// Returns the names of packages that are built in more than one version, with the versions.
pub(crate) fn duplicates() -> BTreeMap<String, Vec<String>> {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        versions.entry(package.name).or_default().push(package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
}

/// Returns the manifest of the workspace.
pub(crate) fn manifest() -> toml::Table {
    let manifest = super::tree::sources().into_iter().find(|source| source.path == "Cargo.toml").unwrap();
    manifest.text.parse().unwrap()
}

/// Returns cargo's metadata for the platform of this machine only: packages for other platforms may not be downloaded.
fn metadata() -> Value {
    let version = run(Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())).arg("-vV"));
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc -vV names the host").to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", &host]);
    serde_json::from_str(&run(cargo.current_dir(super::tree::root()))).unwrap()
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Returns whether the licences in `allowed` satisfy an SPDX expression.
pub(crate) fn may_use(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = either(&words, allowed);
    met && rest.is_empty()
}

fn either<'a, 'w>(words: &'a [&'w str], allowed: &[&str]) -> (bool, &'a [&'w str]) {
    let (mut met, mut rest) = both(words, allowed);
    while let [word, after @ ..] = rest
        && *word == "OR"
    {
        let (other, behind) = both(after, allowed);
        (met, rest) = (met | other, behind);
    }
    (met, rest)
}

fn both<'a, 'w>(words: &'a [&'w str], allowed: &[&str]) -> (bool, &'a [&'w str]) {
    let (mut met, mut rest) = one(words, allowed);
    while let [word, after @ ..] = rest
        && *word == "AND"
    {
        let (other, behind) = one(after, allowed);
        (met, rest) = (met & other, behind);
    }
    (met, rest)
}

fn one<'a, 'w>(words: &'a [&'w str], allowed: &[&str]) -> (bool, &'a [&'w str]) {
    match words {
        ["(", inner @ ..] => match either(inner, allowed) {
            (met, [")", rest @ ..]) => (met, rest),
            (_, rest) => (false, rest),
        },
        // An exception only extends the permissions of the licence.
        [licence, "WITH", _, rest @ ..] | [licence, rest @ ..] => (allowed.contains(licence), rest),
        [] => (false, &[]),
    }
}

/// Packages and benchmarks inherit the levels of `release`: one that a first build lowers would make them slower unseen.
#[test]
fn what_a_first_build_compiles_at_a_low_level_is_raised_for_packages_and_benches() {
    let manifest = manifest();
    let level = |profile: &str, name: &str| {
        manifest["profile"][profile]["package"].get(name).and_then(|package| package["opt-level"].as_integer())
    };
    let packages = manifest["profile"]["release"]["package"].as_table().unwrap().keys();
    let low: Vec<&String> = packages.filter(|name| level("release", name) != Some(3)).collect();
    assert!(low.len() > 3, "{low:?}");
    for profile in ["dist", "bench"] {
        for name in &low {
            assert_eq!(level(profile, name), Some(3), "{name} in {profile}");
        }
    }
}

#[test]
fn licence_expressions_are_understood() {
    let allowed = ["MIT", "Zlib"];
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("GPL-3.0/MIT", true),
        ("(MIT OR GPL-3.0) AND Zlib", true),
        ("(MIT OR GPL-3.0) AND Unicode-3.0", false),
        ("GPL-3.0 WITH Classpath-exception-2.0 OR MIT", true),
        ("MIT WITH LLVM-exception", true),
        ("", false),
        ("(MIT", false),
    ] {
        assert_eq!(may_use(expression, &allowed), met, "{expression}");
    }
}
