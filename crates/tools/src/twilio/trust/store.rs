//! Trust stores, and the changes that make them trust a CA.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::StorePlan;
use super::block;
use super::change::{StoreChange, read_bundle};
use crate::cli::TrustStore;

/// File name in the system's store, and alias in Java's store.
const NAME: &str = "trunkgate-twilio";
/// Default password of Java's store.
const JAVA_PASSWORD: &str = "changeit";
/// Directories for an administrator's certificates, each with the command that rebuilds the store, and the command
/// after a removal.
const SYSTEMS: [(&str, &[&str], &[&str]); 4] = [
    ("usr/local/share/ca-certificates", &["update-ca-certificates"], &["update-ca-certificates", "--fresh"]),
    ("etc/pki/ca-trust/source/anchors", &["update-ca-trust", "extract"], &["update-ca-trust", "extract"]),
    ("etc/pki/trust/anchors", &["update-ca-certificates"], &["update-ca-certificates"]),
    ("etc/ca-certificates/trust-source/anchors", &["update-ca-trust"], &["update-ca-trust"]),
];
/// Directories that contain the system's own bundles.
const SYSTEM_BUNDLES: [&str; 4] = ["/etc/ssl/", "/etc/pki/", "/etc/ca-certificates/", "/var/lib/ca-certificates/"];

/// Places that are searched for trust stores.
#[derive(Debug)]
pub(super) struct StoreLocations {
    root: PathBuf,
    /// Python interpreter that imports the certifi package.
    python: String,
    php: String,
    keytool: String,
}

impl StoreLocations {
    /// Returns the places of this machine.
    pub(super) fn of_system(python: &str) -> StoreLocations {
        let java = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/keytool"));
        let java = java.filter(|keytool| keytool.is_file()).map(|keytool| keytool.display().to_string());
        let keytool = java.unwrap_or_else(|| "keytool".to_owned());
        StoreLocations { root: PathBuf::from("/"), python: python.to_owned(), php: "php".to_owned(), keytool }
    }
}

impl TrustStore {
    /// Returns the store's name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            TrustStore::System => "system",
            TrustStore::Certifi => "certifi",
            TrustStore::Java => "java",
            TrustStore::Php => "php",
        }
    }

    /// Returns the changes that make the store trust a CA; with `None`, those that remove it.
    ///
    /// # Errors
    /// Returns a message if this machine has no such store.
    pub(super) fn plan(self, search: &StoreLocations, ca: Option<&str>) -> Result<StorePlan, String> {
        match self {
            TrustStore::System => system(&search.root, ca),
            TrustStore::Certifi => certifi(search, ca),
            TrustStore::Java => java(search, ca),
            TrustStore::Php => php(search, ca),
        }
    }
}

fn system(root: &Path, ca: Option<&str>) -> Result<StorePlan, String> {
    let found = SYSTEMS.iter().find(|(directory, ..)| root.join(directory).is_dir());
    let (directory, gather, gather_again) =
        found.ok_or("no known directory of certificates: is ca-certificates installed?")?;
    let file = root.join(directory).join(format!("{NAME}.crt"));
    let run = |command: &[&str]| StoreChange::Run {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        input: String::new(),
    };
    let changes = match ca {
        Some(ca) => vec![StoreChange::Write { file, text: ca.to_owned() }, run(gather)],
        None if file.exists() => vec![StoreChange::Remove { file }, run(gather_again)],
        None => Vec::new(),
    };
    Ok(StorePlan { changes, notes: Vec::new() })
}

fn certifi(search: &StoreLocations, ca: Option<&str>) -> Result<StorePlan, String> {
    let script = "import certifi; print(certifi.where())";
    let missing = |error| format!("{error}. Choose a Python that has certifi with --python");
    let bundle = PathBuf::from(answer(&search.python, &["-c", script]).map_err(missing)?);
    let mut plan = of_bundle(&bundle, ca)?;
    if ca.is_some() && !plan.changes.is_empty() {
        plan.notes
            .push("an update of the package certifi overwrites this file: repeat the command after it".to_owned());
    }
    Ok(plan)
}

fn php(search: &StoreLocations, ca: Option<&str>) -> Result<StorePlan, String> {
    let script = "foreach (['openssl.cafile', 'curl.cainfo'] as $key) echo ini_get($key), \"\\n\";";
    let answered = answer(&search.php, &["-r", script])?;
    let mut bundles: Vec<PathBuf> = answered.lines().filter(|line| !line.is_empty()).map(PathBuf::from).collect();
    bundles.dedup();
    let mut plan = StorePlan::default();
    if bundles.is_empty() {
        plan.notes.push("this PHP reads the system's store: run `trunkgate twilio trust system`".to_owned());
    }
    for bundle in bundles {
        let of_one = of_bundle(&bundle, ca)?;
        plan.changes.extend(of_one.changes);
        plan.notes.extend(of_one.notes);
    }
    Ok(plan)
}

/// Returns the changes of a program's own bundle.
fn of_bundle(bundle: &Path, ca: Option<&str>) -> Result<StorePlan, String> {
    let real = bundle.canonicalize().map_err(|error| format!("{}: {error}", bundle.display()))?;
    if SYSTEM_BUNDLES.iter().any(|directory| real.starts_with(directory)) {
        let note = format!("{} is the system's bundle: run `trunkgate twilio trust system`", real.display());
        return Ok(StorePlan { changes: Vec::new(), notes: vec![note] });
    }
    let text = read_bundle(&real)?;
    let wanted = ca.map_or_else(|| block::removed(&text), |ca| block::added(&text, ca));
    let change = match ca {
        Some(ca) => StoreChange::Add { bundle: real, ca: ca.to_owned() },
        None => StoreChange::TakeOut { bundle: real },
    };
    Ok(StorePlan { changes: Vec::from_iter((wanted != text).then_some(change)), notes: Vec::new() })
}

fn java(search: &StoreLocations, ca: Option<&str>) -> Result<StorePlan, String> {
    let command = |action: &[&str]| {
        let store = ["-cacerts", "-storepass", JAVA_PASSWORD, "-alias", NAME];
        let words = [search.keytool.as_str()].into_iter().chain(action.iter().copied()).chain(store);
        words.map(str::to_owned).collect::<Vec<String>>()
    };
    answer(&search.keytool, &["-help"])?;
    let list = command(&["-list"]);
    let words: Vec<&str> = list.iter().skip(1).map(String::as_str).collect();
    let is_there = answer(&search.keytool, &words).is_ok();
    let remove = StoreChange::Run { command: command(&["-delete"]), input: String::new() };
    let mut changes = Vec::from_iter(is_there.then_some(remove));
    if let Some(ca) = ca {
        changes.push(StoreChange::Run { command: command(&["-importcert", "-noprompt"]), input: ca.to_owned() });
    }
    Ok(StorePlan { changes, notes: Vec::new() })
}

/// Runs a program and returns its output.
///
/// # Errors
/// Returns a message if the program is not installed or fails.
fn answer(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or("no reason given").trim().to_owned();
        return Err(format!("{program}: {said}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Returns the places of a test machine with these scripts as programs.
    fn search(folder: &Path, scripts: &[(&str, String)]) -> StoreLocations {
        for (name, script) in scripts {
            let file = folder.join(name);
            fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let named = |name: &str| folder.join(name).display().to_string();
        StoreLocations {
            root: folder.join("root"),
            python: named("python"),
            php: named("php"),
            keytool: named("keytool"),
        }
    }

    fn made(store: TrustStore, search: &StoreLocations, ca: Option<&str>) -> Vec<String> {
        let plan = store.plan(search, ca).unwrap();
        plan.changes.iter().for_each(|change| change.make().unwrap());
        plan.changes.iter().map(ToString::to_string).chain(plan.notes).collect()
    }

    #[test]
    fn a_system_has_one_directory_for_its_administrator() {
        let folder = tempfile::tempdir().unwrap();
        let search = search(folder.path(), &[]);
        assert!(TrustStore::System.plan(&search, Some("CA")).unwrap_err().contains("ca-certificates"));
        for (directory, gather, _) in SYSTEMS.iter().rev() {
            let directory = search.root.join(directory);
            fs::create_dir_all(&directory).unwrap();
            let plan = TrustStore::System.plan(&search, Some("CA")).unwrap();
            let shown: Vec<String> = plan.changes.iter().map(ToString::to_string).collect();
            let file = directory.join("trunkgate-twilio.crt");
            assert_eq!(shown, [format!("write {}", file.display()), format!("run {}", gather.join(" "))]);
            assert_eq!(TrustStore::System.plan(&search, None).unwrap(), StorePlan::default(), "nothing was added");
            plan.changes[0].make().unwrap();
            let undone = TrustStore::System.plan(&search, None).unwrap();
            assert_eq!(undone.changes[0], StoreChange::Remove { file });
        }
    }

    #[test]
    fn the_bundle_of_certifi_is_changed_once_and_restored() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("cacert.pem");
        fs::write(&bundle, "roots\n").unwrap();
        let search = search(folder.path(), &[("python", format!("echo {}", bundle.display()))]);
        let done = made(TrustStore::Certifi, &search, Some("CA"));
        assert!(done[0].starts_with("add the CA to ") && done[1].contains("overwrites"), "{done:?}");
        assert_eq!(made(TrustStore::Certifi, &search, Some("CA")), Vec::<String>::new());
        assert!(made(TrustStore::Certifi, &search, None)[0].starts_with("remove the CA from "));
        assert_eq!(fs::read_to_string(&bundle).unwrap(), "roots\n");
        assert_eq!(made(TrustStore::Certifi, &search, None), Vec::<String>::new());
    }

    #[test]
    fn a_missing_program_or_package_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let search = search(folder.path(), &[("python", "echo No module named certifi >&2; exit 1".to_owned())]);
        let error = |store: TrustStore| store.plan(&search, Some("CA")).unwrap_err();
        assert!(error(TrustStore::Certifi).contains("No module named certifi. Choose a Python"));
        assert!(error(TrustStore::Java).contains("keytool: No such file"));
        assert!(error(TrustStore::Php).contains("php: No such file"));
    }

    #[test]
    fn php_without_a_bundle_of_its_own_reads_the_systems() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("own.pem");
        fs::write(&bundle, "roots\n").unwrap();
        let with = search(folder.path(), &[("php", format!("echo {0}; echo {0}", bundle.display()))]);
        assert_eq!(made(TrustStore::Php, &with, Some("CA")).len(), 1);
        let without = search(folder.path(), &[("php", "echo; echo".to_owned())]);
        assert!(made(TrustStore::Php, &without, Some("CA"))[0].contains("run `trunkgate twilio trust system`"));
    }

    #[test]
    fn java_replaces_the_certificate_of_its_alias() {
        let folder = tempfile::tempdir().unwrap();
        let (log, there) = (folder.path().join("log"), folder.path().join("there"));
        let script = format!(
            "case $1 in -help) ;; -list) test -e {1} ;; -importcert) echo $* >> {0}; cat > {1} ;; -delete) rm {1} ;; esac",
            log.display(),
            there.display()
        );
        let search = search(folder.path(), &[("keytool", script)]);
        assert_eq!(made(TrustStore::Java, &search, Some("CA")).len(), 1);
        assert_eq!(fs::read_to_string(&there).unwrap(), "CA");
        assert_eq!(made(TrustStore::Java, &search, Some("CB")).len(), 2, "the former one is deleted");
        assert_eq!(fs::read_to_string(&there).unwrap(), "CB");
        assert!(fs::read_to_string(&log).unwrap().contains("-cacerts -storepass changeit -alias trunkgate-twilio"));
        assert_eq!(made(TrustStore::Java, &search, None).len(), 1);
        assert!(!there.exists());
        assert_eq!(made(TrustStore::Java, &search, None), Vec::<String>::new());
    }
}
