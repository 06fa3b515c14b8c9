//! CI script (`deploy/ci/trunkgate-ci.sh`) with the real binary: exit codes and the results that it stores.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regex::Regex;

use crate::apps::application;

/// Magic bytes of a pcapng file.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// Shell program that prints its arguments and exits with 7.
const FAKE: &str = "#!/bin/sh\necho \"fake $*\"\ncase $1 in --version) exit 0 ;; esac\nexit 7\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Folder of a CI job, with the results of the last run.
struct Job(tempfile::TempDir);

impl Job {
    fn new() -> Job {
        Job(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns the command that runs the script with these arguments and variables, without the inherited environment.
    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new("sh");
        command.arg(root().join("deploy/ci/trunkgate-ci.sh")).args(arguments).current_dir(self.0.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TRUNKGATE_") {
                command.env_remove(name);
            }
        }
        command.env("TRUNKGATE_BINARY", env!("CARGO_BIN_EXE_trunkgate")).envs(variables.iter().copied());
        command
    }

    /// Runs the script; returns the exit code, stdout and stderr.
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments, variables).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    fn result(&self, name: &str) -> String {
        let path = self.path("trunkgate-results").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns the names of the stored calls, each of which has a ladder diagram as text and SVG, and messages.
    fn kept(&self) -> Vec<String> {
        let calls = self.path("trunkgate-results/calls");
        let entries = std::fs::read_dir(&calls).into_iter().flatten().map(|entry| entry.unwrap().path());
        let ladders = entries.filter(|path| path.extension().is_some_and(|kind| kind == "txt"));
        let sids: Vec<String> = ladders.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        for sid in &sids {
            let ladder = self.result(&format!("calls/{sid}.txt"));
            assert!(ladder.starts_with(sid.as_str()) && ladder.contains("INVITE"), "{ladder}");
            let picture = self.result(&format!("calls/{sid}.svg"));
            assert!(picture.contains("<svg") && picture.contains("INVITE"), "{picture}");
            let capture = std::fs::read(calls.join(format!("{sid}.pcapng"))).unwrap();
            assert!(capture.starts_with(&PCAPNG), "{sid}");
        }
        sids
    }

    /// Writes an executable script into the job's folder.
    fn program(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Returns a loopback address that no other test process uses; `first` distinguishes addresses within a process.
fn own_address(first: u8) -> String {
    let [.., third, fourth] = std::process::id().to_be_bytes();
    format!("127.{first}.{third}.{fourth}")
}

#[test]
fn a_load_test_keeps_junit_the_report_and_each_call() {
    let job = Job::new();
    let flags = ["loadtest", "--calls", "2", "--cps", "2", "--duration", "2s", "--assert", "answered=100%"];
    let (code, report, errors) = job.run(&flags, &[("TRUNKGATE_TRACES", "1")]);
    // On a busy machine the load test reports itself as not valid.
    assert_eq!(code, i32::from(report.contains("  not valid: ")), "{report}{errors}");
    assert!(report.contains("  ok    answered=100%"), "{report}");
    assert_eq!(job.result("report.txt"), report);
    let junit = job.result("junit.xml");
    assert!(junit.contains("name=\"answered=100%\"/>"), "{junit}");
    let calls: serde_json::Value = serde_json::from_str(&job.result("calls.json")).unwrap();
    assert!(calls["calls"].as_array().unwrap().len() >= 2, "{calls:#}");
    assert_eq!(job.kept().len(), 1, "as many as wanted");
    assert!(job.result("edge.log").contains("taking calls"));
}

#[test]
fn a_load_test_through_a_configuration_keeps_its_failed_calls_first() {
    let job = Job::new();
    let [edge, callers, callees] = [111, 112, 113].map(own_address);
    // The edge refuses a second concurrent call.
    let config = format!(
        "[[listen]]\naddress = \"{edge}:5060\"\n[media]\naddress = [\"{edge}\"]\n[limits]\ncalls = 1\n\
         [http]\naddress = \"{edge}:8080\"\n[trunk.callers]\naccept_from = [\"{callers}/32\"]\n\
         [trunk.callees]\npeers = [\"sip:{callees}:5080\"]\n[[route]]\nfrom = [\"callers\"]\nconnect = [\"trunk:callees\"]\n"
    );
    std::fs::write(job.path("edge.toml"), config).unwrap();
    let (to, bind, answer) =
        (format!("sip:+14155550123@{edge}:5060"), format!("{callers}:0"), format!("{callees}:5080"));
    let flags = ["loadtest", "--to", &to, "--bind", &bind, "--answer", &answer];
    let load = ["--calls", "2", "--cps", "4", "--duration", "2s", "--hold", "2s"];
    let variables = [("TRUNKGATE_CONFIG", "edge.toml"), ("TRUNKGATE_TRACES", "1")];
    let (code, report, errors) = job.run(&[&flags[..], &load].concat(), &variables);
    assert!(code == 1 && report.contains("FAIL  answered=100%"), "{report}{errors}");
    assert!(job.result("junit.xml").contains("<failure message=\"answered=100% does not hold: "));
    let kept = job.kept();
    let ladder = job.result(&format!("calls/{}.txt", kept[0]));
    assert!(kept.len() == 1 && ladder.contains("503"), "{ladder}");
    // Without a target address, an edge with this configuration would get no calls.
    let (code, _, errors) = job.run(&["loadtest"], &variables);
    assert!(code == 2 && errors.contains("error: TRUNKGATE_CONFIG: name what is called by --to"), "{errors}");
    std::fs::write(job.path("edge.toml"), "[trunk.x]\nrang_timeout = \"3s\"\n").unwrap();
    let (code, _, errors) = job.run(&flags, &variables);
    assert!(code == 2 && errors.contains("error[TG") && errors.contains("has not started"), "{errors}");
}

#[test]
fn a_test_of_an_application_has_its_exit_code_and_keeps_its_calls() {
    let menu = application(&[
        (
            "/voice",
            "<Gather numDigits=\"1\" action=\"/menu\" timeout=\"2\"><Say>Welcome. Press one for sales.</Say></Gather>",
        ),
        ("/menu", "<Say>Connecting you.</Say><Dial>+14155550177</Dial>"),
    ]);
    let url = format!("http://{}/voice", menu.address);
    let job = Job::new();
    let lines = ["--step=hear Press one", "--step=press 1", "--step=dial +14155550177", "", "--step=hear party"];
    let arguments = lines.join("\n");
    let (code, report, errors) = job.run(&["twilio", "--app", &url], &[("TRUNKGATE_ARGS", &arguments)]);
    assert_eq!(code, 0, "{report}{errors}");
    assert!(report.contains("hears: Connecting you.") && job.result("report.txt") == report, "{report}");
    assert!(job.result("junit.xml").contains("tests=\"1\" failures=\"0\" errors=\"0\""));
    assert!(!job.kept().is_empty(), "{errors}");

    let (code, report, errors) =
        job.run(&["twilio", "--app", &url, "--timeout", "2s", "--step", "hear Good evening"], &[]);
    assert!(code == 1 && report.contains("hear Good evening: the caller did not hear this text"), "{report}{errors}");
    assert!(job.result("junit.xml").contains("failures=\"1\""));
    assert!(!job.kept().is_empty(), "{errors}");

    let (code, _, errors) = job.run(&["twilio", "--app", &url], &[]);
    assert!(code == 2 && errors.contains("error: no call was made"), "{errors}");
    let (code, _, errors) = job.run(&["twilio", "--app", &url, "--start", "false", "--step", "hear x"], &[]);
    assert!(code != 0 && job.kept().is_empty(), "{errors}");
}

#[test]
fn a_binary_comes_by_path_url_archive_or_image_and_its_checksum_is_compared() {
    let job = Job::new();
    job.program("release/usr/bin/trunkgate", FAKE);
    // A directory of the same name is not a program.
    std::fs::create_dir_all(job.path("release/completions")).unwrap();
    std::fs::write(job.path("release/completions/trunkgate"), "complete").unwrap();
    let done = Command::new("tar").args(["-czf", "trunkgate.tar.gz", "release"]).current_dir(job.0.path()).status();
    assert!(done.unwrap().success());
    job.program("bin/curl", "#!/bin/sh\nfor last; do :; done\necho \"$last\" >asked\ncp trunkgate.tar.gz \"$5\"\n");
    job.program(
        "bin/docker",
        "#!/bin/sh\necho \"$*\" >>docker.log\ncase $1 in create) echo c1 ;; cp) cp release/usr/bin/trunkgate \"$3\" ;; esac\n",
    );
    let sum = Command::new("sha256sum").arg(job.path("trunkgate.tar.gz")).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap().split(' ').next().unwrap().to_owned();
    let programs = format!("{}:{}", job.path("bin").display(), std::env::var("PATH").unwrap());
    let run = |variables: &[(&str, &str)]| {
        let all = [&[("PATH", programs.as_str())][..], variables].concat();
        job.run(&["loadtest", "--to", "sip:x@192.0.2.1"], &all)
    };
    let used = |(code, report, errors): (i32, String, String)| {
        assert_eq!(code, 7, "{report}{errors}");
        assert!(report.contains("fake loadtest --junit ") && report.contains(" --to sip:x@192.0.2.1"), "{report}");
    };
    used(run(&[("TRUNKGATE_BINARY", "release/usr/bin/trunkgate")]));
    used(run(&[("TRUNKGATE_BINARY", "trunkgate.tar.gz"), ("TRUNKGATE_SHA256", &sum)]));
    let url = "https://packages.example.com/trunkgate.tar.gz?token=1";
    used(run(&[("TRUNKGATE_BINARY", url), ("TRUNKGATE_SHA256", &sum)]));
    assert_eq!(std::fs::read_to_string(job.path("asked")).unwrap().trim(), url);
    used(run(&[("TRUNKGATE_BINARY", ""), ("TRUNKGATE_IMAGE", "registry.example.com/trunkgate:1")]));
    let asked = std::fs::read_to_string(job.path("docker.log")).unwrap();
    assert!(asked.contains("create registry.example.com/trunkgate:1\n") && asked.ends_with("rm c1\n"), "{asked}");

    let wrong = "0".repeat(64);
    let refused: [(&[(&str, &str)], &str); 4] = [
        (&[("TRUNKGATE_BINARY", "trunkgate.tar.gz"), ("TRUNKGATE_SHA256", wrong.as_str())], "has another checksum"),
        (&[("TRUNKGATE_BINARY", "http://packages.example.com/trunkgate")], "is not https: set TRUNKGATE_SHA256"),
        (&[("TRUNKGATE_BINARY", "missing")], "missing: no such file"),
        (&[("TRUNKGATE_TRACES", "some")], "TRUNKGATE_TRACES: not a number"),
    ];
    for (variables, reason) in refused {
        let (code, _, errors) = run(variables);
        assert!(code == 2 && errors.contains(reason), "{reason}: {errors}");
    }
    let (code, _, errors) = job.run(&["demo"], &[]);
    assert!(code == 2 && errors.contains("usage: "), "{errors}");
}

#[test]
fn a_cancelled_job_leaves_no_edge_behind() {
    let job = Job::new();
    let flags = ["loadtest", "--calls", "1", "--cps", "1", "--duration", "10m"];
    let mut script = job.command(&flags, &[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(script.stderr.take().unwrap()).lines().map(Result::unwrap);
    let ready = lines.find(|line| line.starts_with("edge: ready ")).unwrap();
    let http: SocketAddr = ready.rsplit_once("http=").unwrap().1.parse().unwrap();
    TcpStream::connect(http).unwrap();
    kill(Pid::from_raw(script.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(script.wait().unwrap().code(), Some(143));
    assert!(TcpStream::connect(http).is_err(), "{ready}");
}

#[test]
fn the_action_passes_each_variable_of_the_script() {
    let action = std::fs::read_to_string(root().join("action.yml")).unwrap();
    let script = std::fs::read_to_string(root().join("deploy/ci/trunkgate-ci.sh")).unwrap();
    let named = |pattern: &str, text: &str| -> BTreeSet<String> {
        Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
    };
    let documented = named(r"(?m)^#   (TRUNKGATE_\w+) ", &script);
    assert!(documented.len() > 5, "{documented:?}");
    assert_eq!(named(r"(?m)^ +(TRUNKGATE_\w+): \$\{\{ inputs\.[\w-]+ \}\}$", &action), documented);
    let declared = named(r"(?m)^  ([a-z][a-z0-9-]*):$", action.split_once("\noutputs:").unwrap().0);
    assert_eq!(named(r"inputs\.([\w-]+)", &action), declared, "each input is used");
    // If an input were part of the text, the shell would execute it.
    let mut runs = action.lines().filter(|line| line.contains("run:") || line.contains("trunkgate-ci.sh"));
    assert!(runs.all(|line| !line.contains("${{")), "{action}");
}

/// GitLab passes the variables of a project to its jobs: a job in the container image must not try to copy the binary
/// out of it.
#[test]
fn the_job_of_gitlab_in_the_image_has_no_variable_of_the_script() {
    let guide = std::fs::read_to_string(root().join("docs/operate/ci.md")).unwrap();
    let jobs = guide.split("## ").find(|part| part.starts_with("GitLab CI")).unwrap();
    assert!(jobs.contains("image: { name: \"$SBC_IMAGE\"") && !jobs.contains("\"$TRUNKGATE_IMAGE\""), "{jobs}");

    let job = Job::new();
    let bin = job.path("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in ["sh", "mktemp", "mkdir", "rm"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap()).find(|folder| folder.join(name).exists());
        std::os::unix::fs::symlink(found.unwrap().join(name), bin.join(name)).unwrap();
    }
    let variables = [("TRUNKGATE_BINARY", ""), ("TRUNKGATE_IMAGE", "trunkgate:0.1.0"), ("PATH", bin.to_str().unwrap())];
    let (code, _, errors) = job.run(&["loadtest"], &variables);
    assert_eq!(code, 2);
    assert!(errors.starts_with("error: TRUNKGATE_IMAGE is set, and docker is not installed"), "{errors}");
}
