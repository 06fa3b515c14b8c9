//! Software bill of materials: CycloneDX 1.6 as JSON, with the crates of the binaries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Release;
use crate::commands::output;
use crate::interop::edge::cargo;
use crate::interop::python;

/// Writes `trunkgate-VERSION.cdx.json` with the crates linked for any of these platforms.
pub(super) fn write(release: &Release, platforms: &[&str]) -> anyhow::Result<()> {
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--locked"]);
    for platform in platforms {
        metadata.args(["--filter-platform", platform]);
    }
    let metadata: Value = serde_json::from_str(&output(&mut metadata)?)?;
    let list = list(release, &metadata)?;
    std::fs::write(path(release), format!("{list:#}\n"))?;
    Ok(())
}

/// Validates the list of components: by the schema of CycloneDX, the licences, and the references.
pub(super) fn verify(release: &Release) -> anyhow::Result<()> {
    let script = python::script("components.py");
    let shown = output(Command::new(python::cyclonedx()?).arg("-B").arg(script).arg(path(release)))?;
    println!("CycloneDX: {}", shown.trim());
    Ok(())
}

fn path(release: &Release) -> PathBuf {
    release.out.join(format!("trunkgate-{}.cdx.json", release.version))
}

/// Returns the list of components for cargo's metadata of the workspace.
fn list(release: &Release, metadata: &Value) -> anyhow::Result<Value> {
    let packages: BTreeMap<&str, &Value> =
        elements(&metadata["packages"]).filter_map(|package| Some((package["id"].as_str()?, package))).collect();
    let nodes: BTreeMap<&str, &Value> =
        elements(&metadata["resolve"]["nodes"]).filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let root = packages.iter().find(|(_, package)| package["name"] == "trunkgate").context("no package trunkgate")?.0;
    let mut linked = BTreeSet::new();
    let mut next = vec![*root];
    while let Some(id) = next.pop() {
        if linked.insert(id) {
            next.extend(nodes.get(id).into_iter().flat_map(|node| normal_dependencies(node)));
        }
    }
    let components: Vec<Value> =
        linked.iter().filter(|id| *id != root).filter_map(|id| Some(component(packages.get(id)?))).collect();
    let dependencies: Vec<Value> = linked
        .iter()
        .filter_map(|id| {
            let on: Vec<String> =
                normal_dependencies(nodes.get(id)?).filter_map(|on| Some(url(packages.get(on)?))).collect();
            Some(json!({ "ref": url(packages.get(id)?), "dependsOn": on }))
        })
        .collect();
    let time = jiff::Timestamp::from_second(i64::try_from(release.seconds)?)?.to_string();
    let product = json!({
        "type": "application", "bom-ref": url(packages[root]), "name": "trunkgate", "version": release.version,
        "properties": [{ "name": "commit", "value": release.commit }],
    });
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": { "timestamp": time, "component": product },
        "components": components, "dependencies": dependencies,
    }))
}

/// Returns the dependencies of a package that are linked, without those of tests and build scripts.
fn normal_dependencies(node: &Value) -> impl Iterator<Item = &str> {
    elements(&node["deps"])
        .filter(|dependency| elements(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null()))
        .filter_map(|dependency| dependency["pkg"].as_str())
}

fn component(package: &Value) -> Value {
    let mut component = json!({
        "type": "library", "bom-ref": url(package), "name": package["name"], "version": package["version"],
        "purl": url(package),
    });
    if let Some(license) = package["license"].as_str() {
        // Older crates write `MIT/Apache-2.0`.
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    component
}

/// Returns the URL of a package, which also identifies the package in the list.
fn url(package: &Value) -> String {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    format!("pkg:cargo/{}@{}", text("name"), text("version"))
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_linked_is_listed() {
        let package =
            |name: &str, license: &str| json!({ "id": name, "name": name, "version": "1.0.0", "license": license });
        let on = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [package("trunkgate", "MIT"), package("a", "MIT/Apache-2.0"), package("b", "ISC"), package("test", "MIT")],
            "resolve": { "nodes": [
                { "id": "trunkgate", "deps": [on("a", Value::Null), on("test", json!("dev"))] },
                { "id": "a", "deps": [on("b", Value::Null), on("test", json!("build"))] },
                { "id": "b", "deps": [] },
                { "id": "test", "deps": [] },
            ] },
        });
        let release =
            Release { version: "1.0.0".into(), commit: "abc".into(), seconds: 1_700_000_000, out: PathBuf::new() };
        let list = list(&release, &metadata).unwrap();
        let names: Vec<&str> = elements(&list["components"]).filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(list["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(list["dependencies"][2]["dependsOn"], json!(["pkg:cargo/a@1.0.0"]));
        assert_eq!(list["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
    }
}
