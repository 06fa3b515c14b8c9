//! `trunkgate keeper`: an edge that is started again after a crash.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::fs::OpenOptions;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;

use crate::crash::{phones, routes, until_heard, until_stored};
use crate::support::calls::Call;
use crate::support::{Process, config, finish, has_pid_namespaces, until, with_state, write};
use crate::systemd::NotifySocket;
use crate::upgrade::upgrade;

/// Keeper; its edge is killed with it on drop.
struct Kept(Process);

impl Kept {
    fn start(config: &str) -> Kept {
        Kept(Process::start_keeper(config, &[]))
    }

    fn keeper(&self) -> Pid {
        Pid::from_raw(self.0.pid() as i32)
    }

    /// Returns the process of the edge, by its own account.
    fn edge(&self) -> Pid {
        Pid::from_raw(self.0.json("/v1/status")["pid"].as_i64().unwrap() as i32)
    }

    /// Returns the process that waits beside the edge, once there is one.
    fn standby(&self) -> Pid {
        until("a process stands by", || match children(self.keeper())[..] {
            [one, other] if one == self.edge() => Some(other),
            [one, other] if other == self.edge() => Some(one),
            _ => None,
        })
    }

    /// Kills the edge, and waits for the next one.
    fn kill_edge(&mut self) {
        kill(self.edge(), Signal::SIGKILL).unwrap();
        self.0.wait_for_next_edge();
    }

    /// Stops the keeper by SIGTERM; returns its log.
    fn stop(mut self) -> String {
        let edge = self.edge();
        self.0.signal(Signal::SIGTERM);
        until("the keeper has ended", || (!self.0.is_running()).then_some(()));
        assert!(!is_there(edge), "the edge has not ended");
        self.0.log()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.0.is_running() {
            // A keeper that is stopped starts no other edge meanwhile.
            let _ = kill(self.keeper(), Signal::SIGSTOP);
            for child in children(self.keeper()) {
                let _ = kill(child, Signal::SIGKILL);
            }
        }
    }
}

fn is_there(process: Pid) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

/// Returns the children of a process, with those that have ended and are not reaped.
fn children(process: Pid) -> Vec<Pid> {
    let text = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

#[test]
fn a_call_goes_on_in_the_edge_that_starts_after_a_crash() {
    let (caller, callee) = phones();
    let mut kept = Kept::start(&routes((&caller, &callee), "", "[cdr]\nfile = \"cdr.jsonl\"\n"));
    let sip = kept.0.address("udp");
    let call = Call::set_up(&kept.0, "kept", &caller, &callee);
    until_heard(&call, &caller, &callee);
    until_stored(&kept.0, 1.0);
    for count in 1..=2 {
        let before = kept.edge();
        kept.kill_edge();
        assert_ne!(kept.edge(), before);
        assert_eq!(std::fs::read_to_string(format!("/proc/{}/comm", kept.edge())).unwrap(), "trunkgate\n");
        assert_eq!((kept.0.address("udp"), kept.0.metric("trunkgate_calls_continued")), (sip, 1.0));
        let crash = format!("crash {count}");
        until("the crash is in the log", || kept.0.log().contains(&crash).then_some(()));
        until_heard(&call, &caller, &callee);
        until_stored(&kept.0, 1.0);
    }
    call.hang_up(2, &caller, &callee);
    let log = kept.stop();
    assert!(log.contains("the edge was killed by SIGKILL (crash "), "{log}");
}

#[test]
fn the_standby_process_continues_the_calls() {
    let (caller, callee) = phones();
    let config = routes((&caller, &callee), "", "[cdr]\nfile = \"cdr.jsonl\"\n");
    let config = config.replacen("state = \"file\"\n", "state = \"file\"\nstandby = true\n", 1);
    let mut kept = Kept::start(&config);
    let call = Call::set_up(&kept.0, "kept", &caller, &callee);
    // The second crash follows soon, so that the standby process waits for a moment.
    for _ in 0..2 {
        until_heard(&call, &caller, &callee);
        until_stored(&kept.0, 1.0);
        let standby = kept.standby();
        kept.kill_edge();
        assert_eq!((kept.edge(), kept.0.metric("trunkgate_calls_continued")), (standby, 1.0));
    }
    // An upgrade replaces the standby process by one of the new program.
    until_heard(&call, &caller, &callee);
    let (before, old) = (kept.edge(), kept.standby());
    let _successor = upgrade(&kept.0.url());
    kept.0.wait_for_next_edge();
    until("the processes before have ended", || (!is_there(before) && !is_there(old)).then_some(()));
    let standby = kept.standby();
    // One that is lost is no crash of the edge.
    let edge = kept.edge();
    kill(standby, Signal::SIGKILL).unwrap();
    until("the loss is in the log", || {
        kept.0.log().contains("the standby process was killed by SIGKILL").then_some(())
    });
    until_heard(&call, &caller, &callee);
    assert_eq!(kept.edge(), edge);
    call.hang_up(2, &caller, &callee);
    let log = kept.stop();
    assert_eq!(log.matches("the standby process takes over").count(), 1, "{log}");
    assert!(!log.contains("has no effect"), "{log}");
}

#[test]
fn a_standby_process_without_a_keeper_is_a_warning() {
    let config = with_state(&config("")).replacen("state = \"file\"\n", "state = \"file\"\nstandby = true\n", 1);
    let edge = Process::start(&config);
    until("the warning is in the log", || edge.log().contains("trunkgate keeper -- run").then_some(()));
}

#[test]
fn signals_reach_the_edge() {
    let kept = Kept::start(&with_state(&config("")));
    kept.0.signal(Signal::SIGHUP);
    until("the edge reloads", || kept.0.log().contains("configuration reloaded").then_some(()));
    // An edge that leaves SIGUSR1 its default ends by it.
    let mut kept = kept;
    kept.0.signal(Signal::SIGUSR1);
    kept.0.wait_for_next_edge();
    let log = kept.stop();
    assert!(log.contains("the edge was killed by SIGUSR1") && log.contains("draining for at most"), "{log}");
}

#[test]
fn an_edge_that_cannot_start_ends_the_keeper_with_its_code() {
    let (_directory, wrong) = write("[edge]\nnaem = \"x\"\n");
    let kept = Kept::start(&with_state(&config("")));
    let taken = format!("[[listen]]\ntransport = \"udp\"\naddress = \"{}\"\n", kept.0.address("udp"));
    let (_other, taken) = write(&taken);
    for (file, words) in [(wrong, "naem"), (taken, "TG0201")] {
        let output = finish(&["keeper", "--", "--config", file.to_str().unwrap(), "run"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(words) && !text.contains("starts again"), "{text}");
        assert_eq!(text.matches("the edge runs in process").count(), 1, "{text}");
    }
    for command in [&["keeper", "--", "check"][..], &["keeper", "--", "run", "--drian", "1s"], &["keeper", "--"]] {
        let output = finish(command);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && !text.contains("the edge runs"), "{command:?}: {text}");
    }
    kept.stop();
}

#[test]
fn the_successor_of_an_upgrade_is_kept() {
    let (caller, callee) = phones();
    let mut kept = Kept::start(&routes((&caller, &callee), "", ""));
    let call = Call::set_up(&kept.0, "kept", &caller, &callee);
    for _ in 0..2 {
        let before = kept.edge();
        let _successor = upgrade(&kept.0.url());
        kept.0.wait_for_next_edge();
        until("the process before has ended", || (!is_there(before)).then_some(()));
        assert_eq!(children(kept.keeper()), [kept.edge()]);
        until_heard(&call, &caller, &callee);
        until_stored(&kept.0, 1.0);
        kept.kill_edge();
        assert_eq!(kept.0.metric("trunkgate_calls_continued"), 1.0);
        until_heard(&call, &caller, &callee);
    }
    let _successor = upgrade(&kept.0.url());
    kept.0.wait_for_next_edge();
    call.hang_up(2, &caller, &callee);
    kept.stop();
}

#[test]
fn a_service_manager_hears_of_the_edge_and_keeps_the_keeper() {
    let manager = NotifySocket::new();
    let kept = Kept(Process::start_keeper(&with_state(&config("")), &[("NOTIFY_SOCKET", &manager.path())]));
    assert_eq!(manager.hear()[0], "READY=1");
    let before = kept.edge();
    let _successor = upgrade(&kept.0.url());
    until("the process before has ended", || (!is_there(before)).then_some(()));
    kept.stop();
    let stopping = until("the manager hears of the stop", || {
        let lines = manager.hear();
        assert!(!lines.iter().any(|line| line.starts_with("MAINPID=")), "{lines:?}");
        Some(lines).filter(|lines| lines[0] == "STOPPING=1")
    });
    assert!(stopping[1].starts_with("STATUS=draining"), "{stopping:?}");
}

/// A container has no other init process.
#[test]
fn it_is_the_first_process_of_a_container() {
    if !has_pid_namespaces() {
        return;
    }
    let mut process = Process::start_first_keeper(&with_state(&config("")));
    let [keeper] = children(Pid::from_raw(process.pid() as i32))[..] else { panic!("one child of unshare") };
    assert_eq!(process.json("/v1/status")["pid"].as_i64().map(|pid| pid > 1 && pid < 100), Some(true));
    // An orphan waits for the end of a FIFO, which tells when it ends.
    let fifo = process.directory.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let mut enter = Command::new("nsenter");
    enter.args(["--pid", "--target", &keeper.to_string(), "sh", "-c", "cat < \"$0\" > /dev/null 2>&1 &"]);
    assert!(enter.arg(&fifo).status().unwrap().success());
    let writer = OpenOptions::new().write(true).open(&fifo).unwrap();
    until("the keeper has the orphan", || (children(keeper).len() == 2).then_some(()));
    drop(writer);
    let edge = until("the orphan is reaped", || match children(keeper)[..] {
        [edge] => Some(edge),
        _ => None,
    });
    kill(edge, Signal::SIGKILL).unwrap();
    process.wait_for_next_edge();
    let status: Value = process.json("/v1/status");
    assert_eq!(status["state"], "ready", "{status}");
    kill(keeper, Signal::SIGTERM).unwrap();
    let (status, _, log) = process.end();
    assert!(status.success() && log.contains("draining"), "{status}: {log}");
}
