//! Installer of a release (`deploy/install.sh`), with a release that the test makes and a binary that prints its
//! version.

use std::path::Path;
use std::process::{Command, Output};

use sha2::{Digest as _, Sha256};

const ARCHIVE: &str = "trunkgate-9.9.9-x86_64-linux";

/// Writes a release into this folder; `program` is the text of the binary.
fn release(folder: &Path, program: &str) {
    let sums = add_archive(folder, ARCHIVE, program);
    std::fs::write(folder.join("SHA256SUMS"), sums).unwrap();
}

/// Writes the archive with this name into the folder, and returns its line for SHA256SUMS.
fn add_archive(folder: &Path, name: &str, program: &str) -> String {
    let inside = folder.join(name);
    std::fs::create_dir_all(inside.join("man")).unwrap();
    std::fs::create_dir_all(inside.join("completions")).unwrap();
    std::fs::write(inside.join("trunkgate"), program).unwrap();
    std::fs::write(inside.join("man/trunkgate.1"), "").unwrap();
    std::fs::write(inside.join("completions/trunkgate.bash"), "").unwrap();
    succeed(Command::new("chmod").arg("755").arg(inside.join("trunkgate")));
    succeed(Command::new("tar").current_dir(folder).args(["-czf", &format!("{name}.tar.gz"), name]));
    let digest = Sha256::digest(std::fs::read(folder.join(format!("{name}.tar.gz"))).unwrap());
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits}  {name}.tar.gz\n")
}

fn succeed(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Installs from `url` to `prefix`, on a machine with this name.
fn install(url: &str, prefix: &Path, machine: &str) -> Output {
    let programs = tempfile::tempdir().unwrap();
    let uname = programs.path().join("uname");
    std::fs::write(&uname, format!("#!/bin/sh\ncase $1 in -s) echo Linux ;; *) echo {machine} ;; esac\n")).unwrap();
    succeed(Command::new("chmod").arg("755").arg(&uname));
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    Command::new("sh")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/install.sh"))
        .envs([("TRUNKGATE_URL", url), ("TRUNKGATE_PREFIX", prefix.to_str().unwrap()), ("PATH", &path)])
        .env_remove("TRUNKGATE_KEYRING")
        .output()
        .unwrap()
}

/// Returns the message of a failed installation.
fn refused(url: &str, prefix: &Path, machine: &str) -> String {
    let output = install(url, prefix, machine);
    assert_eq!(output.status.code(), Some(1));
    assert!(!prefix.join("bin/trunkgate").exists());
    String::from_utf8(output.stderr).unwrap()
}

const PROGRAM: &str = "#!/bin/sh\necho trunkgate 9.9.9\n";

#[test]
fn a_release_is_installed_and_installed_again() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    release(from.path(), PROGRAM);
    for _ in 0..2 {
        let output = install(from.path().to_str().unwrap(), to.path(), "x86_64");
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && shown.starts_with("installed trunkgate 9.9.9 in "), "{shown}");
    }
    let installed = Command::new(to.path().join("bin/trunkgate")).output().unwrap();
    assert_eq!(installed.stdout, b"trunkgate 9.9.9\n");
    assert!(to.path().join("share/man/man1/trunkgate.1").exists());
}

#[test]
fn each_machine_gets_its_archive() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sums: String = ["aarch64", "x86_64"]
        .iter()
        .map(|machine| {
            let program = format!("#!/bin/sh\necho trunkgate 9.9.9 for {machine}\n");
            add_archive(from.path(), &format!("trunkgate-9.9.9-{machine}-linux"), &program)
        })
        .collect();
    std::fs::write(from.path().join("SHA256SUMS"), sums).unwrap();
    let url = from.path().to_str().unwrap();
    for (machine, archive) in [("aarch64", "aarch64"), ("arm64", "aarch64"), ("x86_64", "x86_64"), ("amd64", "x86_64")]
    {
        let output = install(url, &to.path().join(machine), machine);
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.starts_with(&format!("installed trunkgate 9.9.9 for {archive} in ")), "{machine}: {shown}");
    }
    let error = refused(url, &to.path().join("other"), "riscv64");
    assert!(error.contains("no archive for riscv64; it has: aarch64 x86_64"), "{error}");
}

#[test]
fn what_cannot_be_verified_is_not_installed() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    release(from.path(), PROGRAM);
    let url = from.path().to_str().unwrap();

    let error = refused(url, to.path(), "riscv64");
    assert!(error.contains("no archive for riscv64; it has: x86_64"), "{error}");

    let archive = from.path().join(format!("{ARCHIVE}.tar.gz"));
    let good = std::fs::read(&archive).unwrap();
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    std::fs::write(&archive, changed).unwrap();
    let error = refused(url, to.path(), "x86_64");
    assert!(error.contains("the checksum of") && error.contains("nothing is installed"), "{error}");

    std::fs::write(&archive, good).unwrap();
    std::fs::remove_file(from.path().join("SHA256SUMS")).unwrap();
    let error = refused(url, to.path(), "x86_64");
    assert!(error.contains("/SHA256SUMS cannot be fetched"), "{error}");

    let error = refused("", to.path(), "x86_64");
    assert!(error.contains("set TRUNKGATE_URL to the folder of the release"), "{error}");

    release(from.path(), "#!/bin/sh\nexit 1\n");
    let error = refused(url, to.path(), "x86_64");
    assert!(error.contains("does not run on this machine"), "{error}");
}

#[test]
fn checksums_of_other_programs_are_read() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = from.path().join("a release");
    std::fs::create_dir(&folder).unwrap();
    release(&folder, PROGRAM);
    let sums = std::fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    std::fs::write(folder.join("SHA256SUMS"), sums.replace("  ", " *").replace('\n', "\r\n")).unwrap();
    let output = install(folder.to_str().unwrap(), &to.path().join("a prefix"), "x86_64");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_folder_that_is_no_release_is_named() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    release(from.path(), PROGRAM);
    let url = from.path().to_str().unwrap();
    let sums = from.path().join("SHA256SUMS");
    let zeros = "0".repeat(64);
    // One is the login page of a proxy, and one names a file outside of the folder.
    for text in ["<html>Sign in</html>\n", format!("{zeros}  trunkgate-9/../../x-x86_64-linux.tar.gz\n").as_str()] {
        std::fs::write(&sums, text).unwrap();
        let error = refused(url, to.path(), "x86_64");
        assert!(error.contains("/SHA256SUMS has no checksum: is TRUNKGATE_URL"), "{error}");
    }

    let broken = b"no archive";
    std::fs::write(from.path().join(format!("{ARCHIVE}.tar.gz")), broken).unwrap();
    let digits: String = Sha256::digest(broken).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&sums, format!("{digits}  {ARCHIVE}.tar.gz\n")).unwrap();
    let error = refused(url, to.path(), "x86_64");
    assert!(error.contains("cannot be unpacked: nothing is installed"), "{error}");
}
