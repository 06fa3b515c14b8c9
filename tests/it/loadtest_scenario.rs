//! `trunkgate loadtest --scenario`, the real binary, with a test double of SIPp: a script of that name that writes
//! SIPp's files, and makes its call by `trunkgate call`. The interop suite runs SIPp itself (`sipp-scenario`).

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::json::assert_section_documented;
use crate::support::calls::NUMBER;
use crate::support::{Process, config, trunkgate, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// IP address of the callees.
const CALLEES: &str = "127.0.0.3";
/// Scenario that makes calls and sends audio.
const SCENARIO: &str = "<?xml version=\"1.0\"?>\n<scenario name=\"x\"><send><![CDATA[INVITE sip:[service]@[remote_ip]]]></send>\
                        <nop><action><exec rtp_stream=\"tone.ul\"/></action></nop></scenario>\n";
/// Names of the columns in SIPp's statistics.
const NAMES: &str = "StartTime;TotalCallCreated;CurrentCall;SuccessfulCall(C);FailedCall(C);FailedMaxUDPRetrans(C);\
                     FailedUnexpectedMessage(C);Retransmissions(C);ResponseTime1(C);";
/// Beginning of the script, which parses SIPp's arguments to `$remote`, `$number`, `$statistics` and `$errors`, and
/// stores all of them beside the script.
const HEAD: &str = r#"#!/bin/sh
remote=$1
printf '%s\n' "$@" > "$0.arguments"
while [ $# -gt 0 ]; do
  case "$1" in
    -s) number=$2 ;;
    -stf) statistics=$2 ;;
    -error_file) errors=$2 ;;
  esac
  shift
done
"#;

/// Folder with a scenario and a test double of `sipp`.
struct Double {
    folder: tempfile::TempDir,
}

impl Double {
    fn new(does: &str) -> Double {
        let folder = tempfile::tempdir().unwrap();
        let double = Double { folder };
        std::fs::write(double.scenario(), SCENARIO).unwrap();
        let script = double.path("sipp");
        std::fs::write(&script, format!("{HEAD}{does}\n")).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        double
    }

    /// Returns a double that writes these statistics, this error file and this text to stderr, and exits with this
    /// code.
    fn writing(statistics: &str, errors: &str, stderr: &str, code: i32) -> Double {
        let double = Double::new(&format!(
            "[ -e \"$0.csv\" ] && cp \"$0.csv\" \"$statistics\"\n[ -e \"$0.err\" ] && cp \"$0.err\" \"$errors\"\ncat \"$0.stderr\" >&2\nexit {code}"
        ));
        if !statistics.is_empty() {
            std::fs::write(double.path("sipp.csv"), format!("{NAMES}\n{statistics}\n")).unwrap();
        }
        if !errors.is_empty() {
            std::fs::write(double.path("sipp.err"), errors).unwrap();
        }
        std::fs::write(double.path("sipp.stderr"), stderr).unwrap();
        double
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn scenario(&self) -> PathBuf {
        self.path("scenario.xml")
    }

    /// Returns the command of a load test, with the double first in PATH.
    fn command(&self, flags: &[&str]) -> Command {
        let scenario = self.scenario();
        let mut command = trunkgate(&["loadtest", "--scenario", scenario.to_str().unwrap()]);
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let folders = [self.folder.path().to_owned()].into_iter().chain(std::env::split_paths(&folders));
        command.args(flags).env("PATH", std::env::join_paths(folders).unwrap());
        command
    }

    fn run(&self, flags: &[&str]) -> Output {
        self.command(flags).output().unwrap()
    }

    /// Returns the arguments that the double got, once it runs.
    fn arguments(&self) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(self.path("sipp.arguments")).ok()?;
        text.ends_with('\n').then(|| text.lines().map(str::to_owned).collect())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{} {}", text(&output.stdout), text(&output.stderr)))
}

/// Returns the argument that follows a flag.
fn value<'a>(arguments: &'a [String], flag: &str) -> &'a str {
    let at = arguments.iter().position(|one| one == flag).unwrap_or_else(|| panic!("no {flag}: {arguments:?}"));
    &arguments[at + 1]
}

#[test]
fn every_exit_code_of_sipp_has_its_own() {
    let good = "x;3;0;3;0;0;0;2;00:00:00:012000;";
    let bad = "x;3;0;2;1;0;1;0;;";
    let none = "x;0;0;0;0;0;0;0;;";
    let unknown = "2026-11-28\t18:53:19.8\t1795891999.8: Unknown element 'sendd' in xml scenario file\n";
    let bind =
        "2026-11-28\t18:53:49.0\t1795892029.0: Unable to bind main socket, errno = 98 (Address already in use)\n";
    for (statistics, stderr, code, exit, part) in [
        (good, "", 0, 0, "attempted 3   succeeded 3 (100 %)   failed 0   unfinished 0"),
        (good, "", 97, 0, "response time 12.00 ms (mean)"),
        (bad, "", 1, 1, "failed 1: unexpected message"),
        (none, "", 99, 1, "  FAIL  sipp placed no call (exit code 99)\nNOT VALID: "),
        (good, "", 253, 1, "  FAIL  sipp's own check of RTP failed (exit code 253)"),
        (good, "no memory\n", 255, 1, "  FAIL  sipp failed (exit code 255): no memory"),
        // Errors of SIPp itself are quoted, with the exit code of an invalid command.
        (
            "",
            unknown,
            1,
            2,
            "sipp refuses to run the scenario (exit code 1): Unknown element 'sendd' in xml scenario file",
        ),
        (none, unknown, 255, 2, "(exit code 255): Unknown element 'sendd'"),
        (none, bind, 254, 2, "Address already in use)\nChoose a free local address with --bind ADDRESS:PORT."),
    ] {
        let double = Double::writing(statistics, "", stderr, code);
        let output = double.run(&["--total", "3", "--assert", "failed=0"]);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{code}: {told}");
        assert!(told.contains(part), "{code}: {part}: {told}");
    }
}

#[test]
fn failed_calls_are_shown_with_the_reasons_of_sipp_in_text_json_and_junit() {
    let errors = "The following events occurred:\n2026-11-28\t18:53:44.9\t1795892024.9: Aborting call on unexpected message for \
                  Call-Id '1-28160@127.0.0.1': while expecting '200' (index 4), received 'SIP/2.0 503 Service Unavailable\n\
                  Reason: SIP;cause=503;text=\"limit_calls\"\n\n'";
    let double = Double::writing("x;4;0;2;2;1;1;5;;", errors, "", 1);
    let reason = "received 503 Service Unavailable (limit_calls) while expecting '200' (index 4)";
    let junit = double.path("out.xml");
    let flags = ["--total", "4", "--assert", "failed=0,retransmissions<9", "--junit", junit.to_str().unwrap()];
    let output = double.run(&flags);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    for part in [
        format!("failed 1: {reason}"),
        "failed 1: no response to a request (retransmissions exhausted)".to_owned(),
        format!("FAIL  {:28}  2", "failed=0"),
        format!("ok    {:28}  5", "retransmissions<9"),
        "FAILED: 1 of 2 assertions".to_owned(),
    ] {
        assert!(told.contains(&part), "{part}: {told}");
    }
    let xml = std::fs::read_to_string(&junit).unwrap();
    assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"0\""), "{xml}");
    assert!(xml.contains("<failure message=\"failed=0 does not hold: 2\">"), "{xml}");
    assert!(xml.contains("failed 1: received 503 Service Unavailable (limit_calls)"), "{xml}");
    assert!(xml.contains("name=\"sipp ran the scenario\""), "{xml}");
    let answer = json(&double.run(&[&flags[..4], &["--json"]].concat()));
    assert_eq!((&answer["ok"], &answer["valid"]), (&false.into(), &true.into()));
    assert_eq!((&answer["sipp"]["failures"][reason], &answer["sipp"]["exit_code"]), (&1.into(), &1.into()));
    assert_section_documented("load test by a scenario", &answer);
}

#[test]
fn flags_become_the_arguments_of_sipp_and_no_shell_reads_them() {
    let double = Double::writing("x;6;0;6;0;0;0;0;;", "", "", 0);
    let sink: SocketAddr = UdpSocket::bind((CALLEES, 0)).unwrap().local_addr().unwrap();
    let to = format!("sip:+14155550123@{sink}");
    let flags = ["--total", "6", "--calls", "2", "--cps", "2.5", "--hold", "3s", "--timeout", "20s"];
    let more =
        ["--to", &to, "--bind", "127.0.0.2:5099", "--username", "alice", "--", "-key", "word", "$(touch x); `id`"];
    let output = double.command(&[&flags[..], &more].concat()).env("TRUNKGATE_PASSWORD", "$HOME").output().unwrap();
    let told = text(&output.stdout);
    assert!(output.status.success() && told.contains("not measured: another program answers"), "{told}");
    let arguments = double.arguments().unwrap();
    assert_eq!(arguments[0], sink.to_string());
    for (flag, wanted) in [
        ("-sf", double.scenario().to_str().unwrap()),
        ("-s", "+14155550123"),
        ("-i", "127.0.0.2"),
        ("-mi", "127.0.0.2"),
        ("-p", "5099"),
        ("-m", "6"),
        ("-l", "2"),
        ("-r", "3"),
        ("-rp", "1200"),
        ("-d", "3000"),
        ("-timeout", "50s"),
        ("-au", "alice"),
        ("-ap", "$HOME"),
        ("word", "$(touch x); `id`"),
    ] {
        assert_eq!(value(&arguments, flag), wanted, "{flag}");
    }
    let files = ["-stf", "-error_file"].map(|flag| value(&arguments, flag).to_owned());
    assert!(files.iter().all(|file| !Path::new(file).exists()), "its files are removed: {files:?}");
}

#[test]
fn audio_that_arrives_at_the_callees_is_judged() {
    let callees = UdpSocket::bind((CALLEES, 0)).unwrap().local_addr().unwrap();
    let edge = Process::start(&config(&format!(
        "[trunk.callers]\naccept_from = [\"127.0.0.1/32\"]\n[trunk.callees]\npeers = [\"sip:{callees}\"]\n\
         [[route]]\nfrom = [\"callers\"]\nconnect = [\"trunk:callees\"]\n"
    )));
    let call = "\"$TRUNKGATE_BINARY\" call \"sip:$number@$remote\" --duration 1500ms >&2 || exit 1";
    let double = Double::new(&format!("{call}\nprintf '{NAMES}\\nx;1;0;1;0;0;0;0;;\\n' > \"$statistics\"\n"));
    let to = format!("sip:{NUMBER}@{}", edge.address("udp"));
    let answer = callees.to_string();
    let flags = ["--total", "1", "--to", &to, "--answer", &answer, "--json"];
    let run = || double.command(&flags).env("TRUNKGATE_BINARY", env!("CARGO_BIN_EXE_trunkgate")).output().unwrap();
    let output = run();
    let answer = json(&output);
    // The scenario sends audio, so that audio is asserted without a flag.
    let asserted = answer["assertions"].as_array().unwrap();
    assert_eq!(asserted.iter().map(|one| &one["assertion"]).collect::<Vec<_>>(), ["failed=0", "audible=100%"]);
    assert_eq!((output.status.code(), &answer["ok"]), (Some(0), &true.into()), "{answer:#}");
    let audio = &answer["audio"];
    assert_eq!((&audio["answered"], &audio["audible"]), (&1.into(), &1.into()), "{answer:#}");
    assert!(
        audio["packets"]["expected"].as_u64().unwrap() > 30 && audio["mos"]["p50"].as_f64() > Some(1.0),
        "{answer:#}"
    );
    // The tone has a peak of -10 dB.
    assert!((audio["level_max_dbfs"].as_f64().unwrap() + 13.3).abs() < 1.0, "{answer:#}");
    assert_section_documented("load test by a scenario", &answer);
}

#[test]
fn calls_without_audio_fail_where_the_scenario_sends_some() {
    // No call reaches the callees of the private edge.
    let double = Double::writing("x;1;0;1;0;0;0;0;;", "", "", 0);
    let output = double.run(&["--total", "1"]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let line = format!("FAIL  {:28}  not measured", "audible=100%");
    assert!(told.contains(&line) && told.contains("answered 0"), "{told}");
}

#[test]
fn a_sipp_that_hangs_is_ended() {
    for does in ["exec sleep 600", "trap '' TERM\nsleep 600"] {
        let double = Double::new(&format!("printf '{NAMES}\\nx;2;2;0;0;0;0;0;;\\n' > \"$statistics\"\n{does}"));
        let output = double.run(&["--total", "2", "--timeout", "1s", "--assert", "failed=0"]);
        let told = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let fault = "  FAIL  sipp was ended after 1 s (--timeout), with 2 calls up";
        assert!(told.contains(fault) && told.contains("NOT VALID"), "{told}");
    }
}

#[test]
fn a_test_that_is_stopped_has_sipp_finish_its_calls_and_reports() {
    // SIPp finishes active calls on SIGUSR1.
    let double = Double::new(&format!(
        "trap 'exit 0' USR1\nprintf '{NAMES}\\nx;2;0;2;0;0;0;0;;\\n' > \"$statistics\"\n: > \"$0.ready\"\nwhile :; do sleep 0.05; done"
    ));
    let mut command = double.command(&["--total", "9", "--json", "--assert", "failed=0"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    until("the double runs", || double.path("sipp.ready").exists().then_some(()));
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let answer = json(&output);
    assert_eq!((output.status.code(), &answer["cut_short"]), (Some(0), &true.into()), "{answer:#}");
    assert_eq!((&answer["sipp"]["succeeded"], &answer["valid"]), (&2.into(), &true.into()), "{answer:#}");
}

#[test]
fn what_cannot_be_run_is_exit_2_and_says_what_to_do() {
    let double = Double::writing("x;1;0;1;0;0;0;0;;", "", "", 0);
    let refused = |mut command: Command, part: &str| {
        let output = command.output().unwrap();
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains(part), "{part}: {told}");
    };
    let mut without = double.command(&[]);
    without.env("PATH", ".:/nowhere");
    refused(without, "no absolute folder of PATH has a program `sipp`. Install it: `apt install sip-tester`");
    refused(double.command(&["--from", "100"]), "cannot be used with");
    refused(double.command(&["--total", "3", "--duration", "5s"]), "cannot be used with");
    refused(double.command(&["--assert", "delay.p50<1s"]), "not measured with --scenario");
    refused(double.command(&["--", "-l", "3"]), "-l of sipp: use --calls");
    refused(double.command(&["--junit", "/nowhere/out.xml"]), "--junit /nowhere/out.xml cannot be written");
    refused(trunkgate(&["loadtest", "--total", "3"]), "--scenario");
    for (scenario, part) in [
        ("calls = 3", "not XML: no element"),
        ("<scenario>\n<send>", "not XML"),
        ("<html/>", "the root element is <html>"),
        ("<scenario><recv request=\"INVITE\"/></scenario>", "it waits for calls"),
    ] {
        std::fs::write(double.scenario(), scenario).unwrap();
        refused(double.command(&[]), part);
    }
    std::fs::remove_file(double.scenario()).unwrap();
    refused(double.command(&[]), "scenario.xml: No such file");
}
