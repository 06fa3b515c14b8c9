//! `twilio-parameters`: parameters that Twilio's libraries can send, extracted from the libraries' packages.
//! crates/twiml has a file with these parameters, and its tests compare the table of the REST API with the file.

mod node;
mod python;
mod request;
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use trunkgate_twiml::compat::requests::{ApiOperation, OPERATIONS};

use request::{Request, Requests};

use crate::commands;
use crate::interop;

/// Path of the list, below the top of the repository.
const FILE: &str = "crates/twiml/src/compat/library_parameters.txt";
/// Names of the libraries, on pages and in the list of parameters.
const LIBRARIES: [&str; 2] = ["twilio-python", "twilio-node"];

/// Versions of Lookup in the table, with which the paths of their requests begin.
const LOOKUP: [&str; 2] = ["v1", "v2"];

/// Options of `twilio-parameters`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Compare the list in the repository with the packages, without writing it.
    #[arg(long)]
    check: bool,
    /// Folder of the package twilio for Python, with its `__init__.py` [default: installed as for interop]
    #[arg(long, value_name = "FOLDER")]
    python: Option<PathBuf>,
    /// Folder of the package twilio for Node, with its `package.json` [default: installed as for interop]
    #[arg(long, value_name = "FOLDER")]
    node: Option<PathBuf>,
}

/// Writes the list, or compares it with `--check`; returns `false` if there are differences.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let python = options.python.clone().map_or_else(python_package, Ok)?;
    let node = options.node.clone().map_or_else(node_package, Ok)?;
    let list = list(&python, &node)?;
    if options.check {
        let differences = differences(&list)?;
        print!("{differences}");
        return Ok(differences.is_empty());
    }
    fs::write(committed(), &list).with_context(|| FILE.to_owned())?;
    println!("{FILE}: {}", counts(&list));
    Ok(true)
}

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FILE)
}

/// Returns the folder of the Python package, which is installed if missing.
pub(crate) fn python_package() -> anyhow::Result<PathBuf> {
    let interpreter = interop::python::interpreter(interop::python::Packages::Base)?;
    let script = "import twilio; print(twilio.__path__[0])";
    let folder = commands::output(Command::new(interpreter).args(["-c", script]))?;
    Ok(PathBuf::from(folder.trim_end()))
}

/// Returns the folder of the Node package, which is installed if missing.
pub(crate) fn node_package() -> anyhow::Result<PathBuf> {
    Ok(interop::node::modules(interop::node::Packages::Newest)?.join("twilio"))
}

/// Extracts the list of parameters from both packages.
///
/// # Errors
/// Returns an error if a file has an unknown construct, or if no class of a package makes a request of the table.
pub(crate) fn list(python: &Path, node: &Path) -> anyhow::Result<String> {
    let read = |path: PathBuf| fs::read_to_string(&path).with_context(|| path.display().to_string());
    let of_python = python::version(&read(python.join("__init__.py"))?)?;
    let manifest: serde_json::Value = serde_json::from_str(&read(node.join("package.json"))?)?;
    let of_node = manifest["version"].as_str().context("package.json without a version")?;
    let mut list = String::from(
        "# Parameters that Twilio's libraries can send, by request. `cargo xtask twilio-parameters` made them from \
         these packages:\n",
    );
    for (library, version) in LIBRARIES.into_iter().zip([of_python.as_str(), of_node]) {
        list.push_str(&format!("# {library} {version}\n"));
    }
    let mut by_python = read_folder(&python.join("rest/api/v2010"), "py", python::read)?;
    let mut by_node = read_folder(&node.join("lib/rest/api/v2010"), "js", node::read)?;
    for version in LOOKUP {
        let folder = format!("rest/lookups/{version}");
        add_lookup(version, &read(python.join(&folder).join("phone_number.py"))?, python::read, &mut by_python)?;
        add_lookup(version, &read(node.join("lib").join(&folder).join("phoneNumber.js"))?, node::read, &mut by_node)?;
    }
    for line in lines(OPERATIONS, &[by_python, by_node])? {
        list.push_str(&format!("{line}\n"));
    }
    Ok(list)
}

/// Returns the lines that differ between the list in the repository and `list`; empty if the lists are equal.
pub(crate) fn differences(list: &str) -> anyhow::Result<String> {
    let path = committed();
    let committed = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    if committed == list {
        return Ok(String::new());
    }
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (committed.lines().collect(), list.lines().collect());
    let mut text = format!("{FILE} is not what the packages say; `cargo xtask twilio-parameters` makes it again\n");
    for (sign, lines) in [('-', old.difference(&new)), ('+', new.difference(&old))] {
        text.extend(lines.map(|line| format!("{sign} {line}\n")));
    }
    Ok(text)
}

/// Returns the numbers of requests and parameters of a list.
pub(crate) fn counts(list: &str) -> String {
    let requests: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    let names = |line: &&str| line.split_once(':').map_or(0, |(_, names)| names.split_whitespace().count());
    format!("{} requests with {} parameters", requests.len(), requests.iter().map(names).sum::<usize>())
}

/// Reads the files with an extension in a folder and its subfolders; returns their requests.
fn read_folder(
    folder: &Path,
    extension: &str,
    read: fn(&str, &mut Requests) -> anyhow::Result<()>,
) -> anyhow::Result<Requests> {
    let mut requests = Requests::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|known| known == extension) {
                let source = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                read(&source, &mut requests).with_context(|| path.display().to_string())?;
            }
        }
    }
    Ok(requests)
}

/// Adds the requests of one version of Twilio's Lookup API, read from a library's `source`.
fn add_lookup(
    version: &str,
    source: &str,
    read: fn(&str, &mut Requests) -> anyhow::Result<()>,
    requests: &mut Requests,
) -> anyhow::Result<()> {
    let mut found = Requests::new();
    read(source, &mut found).with_context(|| format!("Lookup {version}"))?;
    let below = |request: Request| Request { path: format!("/{version}{}", request.path), ..request };
    requests.extend(found.into_iter().map(|(request, names)| (below(request), names)));
    Ok(())
}

/// Returns the path of an operation in libraries; `None` if libraries do not request it: they read only JSON, and
/// download no audio.
fn path_of(operation: &ApiOperation) -> Option<String> {
    let path = operation.path;
    let whole = match path.chars().next()? {
        '/' => path.to_owned(),
        '.' => format!("/Accounts{path}"),
        _ => format!("/Accounts/{path}"),
    };
    (path.starts_with('/') || path.ends_with(".json")).then(|| request::without_names(&whole))
}

/// Returns a line for each operation, in the order of paths, with the parameters that a library sends for it.
///
/// # Errors
/// Returns an error if a library lacks a request, or sends none of the parameters expected for it.
fn lines(operations: &[&ApiOperation], libraries: &[Requests; 2]) -> anyhow::Result<Vec<String>> {
    let mut lines = BTreeMap::new();
    for operation in operations {
        let ApiOperation { method, path, .. } = operation;
        let Some(asked) = path_of(operation) else { continue };
        let request = Request { method: (*method).to_owned(), path: asked };
        let is_one_resource = path.trim_end_matches(".json").ends_with('}');
        let must_have_some = *method == "POST" || *method == "GET" && !is_one_resource;
        let mut names = BTreeSet::new();
        for (library, requests) in LIBRARIES.into_iter().zip(libraries) {
            let sent = requests.get(&request).with_context(|| format!("{library} has no {method} {path}"))?;
            ensure!(!must_have_some || !sent.is_empty(), "{library} sends no parameters with {method} {path}");
            names.extend(sent.iter().cloned());
        }
        let names: String = join_numbered(&names).iter().map(|name| format!(" {name}")).collect();
        lines.insert((*path, *method), format!("{method} {path}:{names}"));
    }
    Ok(lines.into_values().collect())
}

/// Replaces `Parameter1.Name` to `Parameter99.Name` by `Parameter{n}.Name`, as in the table.
fn join_numbered(names: &BTreeSet<String>) -> BTreeSet<String> {
    let mut joined = names.clone();
    for (front, behind) in names.iter().filter_map(|name| name.split_once("1.")) {
        let numbered: Vec<String> = (1..=99).map(|n| format!("{front}{n}.{behind}")).collect();
        if numbered.iter().all(|name| names.contains(name)) {
            joined.retain(|name| !numbered.contains(name));
            joined.insert(format!("{front}{{n}}.{behind}"));
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use trunkgate_twiml::compat::requests::Endpoint;

    use super::*;

    const OPERATIONS: [&ApiOperation; 4] = [
        &ApiOperation { method: "GET", path: "/v1/Numbers/{number}", endpoint: Endpoint::LookUpV1, parameters: &[] },
        &ApiOperation { method: "POST", path: "{AC}/Calls.json", endpoint: Endpoint::CreateCall, parameters: &[] },
        &ApiOperation { method: "GET", path: "{AC}/Calls/{CA}.json", endpoint: Endpoint::FetchCall, parameters: &[] },
        &ApiOperation {
            method: "GET",
            path: "{AC}/Calls/{CA}.wav",
            endpoint: Endpoint::FetchRecordingAudio,
            parameters: &[],
        },
    ];

    fn requests(create: &[&str]) -> Requests {
        let request =
            |method: &str, path: &str| Request { method: method.to_owned(), path: format!("/Accounts/{{}}/{path}") };
        let names = create.iter().map(|name| (*name).to_owned()).collect();
        let mut requests = Requests::from([
            (request("POST", "Calls.json"), names),
            (request("GET", "Calls/{}.json"), BTreeSet::new()),
            (request("GET", "Rooms/{}.json"), BTreeSet::new()),
        ]);
        let read = |_: &str, found: &mut Requests| {
            let request = Request { method: "GET".to_owned(), path: "/Numbers/{}".to_owned() };
            found.insert(request, BTreeSet::from(["Country".to_owned()]));
            Ok(())
        };
        add_lookup("v1", "", read, &mut requests).unwrap();
        requests
    }

    #[test]
    fn a_line_has_the_parameters_of_both_libraries() {
        let made = lines(&OPERATIONS, &[requests(&["Url", "To"]), requests(&["To", "From"])]).unwrap();
        let expected =
            ["GET /v1/Numbers/{number}: Country", "POST {AC}/Calls.json: From To Url", "GET {AC}/Calls/{CA}.json:"];
        assert_eq!(made, expected);
        let list = format!("# twilio\n{}\n", made.join("\n"));
        assert_eq!(counts(&list), "3 requests with 4 parameters");
    }

    #[test]
    fn a_request_without_parameters_or_without_a_class_is_an_error() {
        let whole = requests(&["To"]);
        assert!(lines(&OPERATIONS, &[whole.clone(), requests(&[])]).is_err());
        assert!(lines(&OPERATIONS, &[Requests::new(), whole]).is_err());
    }

    #[test]
    fn numbered_parameters_are_one_where_all_are_there() {
        let numbered = |most: usize| -> BTreeSet<String> {
            (1..=most).map(|n| format!("P{n}.Name")).chain(["Url".to_owned()]).collect()
        };
        let joined = join_numbered(&numbered(99));
        assert_eq!(joined, BTreeSet::from(["P{n}.Name".to_owned(), "Url".to_owned()]));
        assert_eq!(join_numbered(&numbered(98)), numbered(98));
    }

    #[test]
    fn a_file_of_another_form_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("call")).unwrap();
        fs::write(folder.path().join("call/room.py"), "data = dict()").unwrap();
        fs::write(folder.path().join("readme.txt"), "data = dict()").unwrap();
        let error = read_folder(folder.path(), "py", python::read).unwrap_err();
        assert!(format!("{error:#}").contains("room.py: unknown use of parameters"), "{error:#}");
        fs::remove_file(folder.path().join("call/room.py")).unwrap();
        assert_eq!(read_folder(folder.path(), "py", python::read).unwrap(), Requests::new());
    }
}
