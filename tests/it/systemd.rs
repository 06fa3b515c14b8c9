//! Notifications of the real binary to systemd (sd_notify(3)): ready, reloading, stopping, and watchdog while all loops
//! run.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::os::unix::net::UnixDatagram;
use std::path::Path;

use crate::support::{PATIENCE, Process, config, until};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Socket at which a service manager receives notifications.
pub(crate) struct NotifySocket {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl NotifySocket {
    pub(crate) fn new() -> NotifySocket {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        NotifySocket { socket, directory }
    }

    pub(crate) fn path(&self) -> String {
        self.directory.path().join("notify").to_str().unwrap().to_owned()
    }

    /// Returns the lines of the next notification.
    pub(crate) fn hear(&self) -> Vec<String> {
        let mut buffer = [0; 1024];
        let len = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).lines().map(str::to_owned).collect()
    }

    /// Waits for the first notification with this line, skipping others.
    pub(crate) fn wait(&self, wanted: &str) -> Vec<String> {
        until(wanted, || Some(self.hear()).filter(|lines| lines.iter().any(|line| line == wanted)))
    }

    /// Reads one notification without waiting. Returns true if there was one.
    fn has_news(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let news = self.socket.recv(&mut [0; 1024]).is_ok();
        self.socket.set_nonblocking(false).unwrap();
        news
    }
}

fn value(lines: &[String], name: &str) -> String {
    lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
}

/// Thread of a process that is suspended, and resumed on drop.
struct Held(Pid);

impl Held {
    fn hold(process: u32, name: &str) -> Held {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let named = |path: &Path| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let thread = threads.map(|entry| entry.unwrap().path()).find(|path| named(path));
        let thread = thread.unwrap_or_else(|| panic!("no thread {name}"));
        let thread = Pid::from_raw(thread.file_name().unwrap().to_str().unwrap().parse().unwrap());
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        let stopped = waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        assert!(matches!(stopped, WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..)), "{stopped:?}");
        Held(thread)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.0, None);
    }
}

#[test]
fn it_hears_of_ready_alive_reloading_and_stopping() {
    let manager = NotifySocket::new();
    let edge = Process::start_with(&config(""), &[("NOTIFY_SOCKET", &manager.path()), ("WATCHDOG_USEC", "200000")]);
    let ready = manager.hear();
    assert_eq!(ready[0], "READY=1");
    assert_eq!(value(&ready, "STATUS"), edge.ready.replacen("ready", "taking calls:", 1));
    manager.wait("WATCHDOG=1");

    edge.signal(Signal::SIGHUP);
    let reloading = manager.wait("RELOADING=1");
    assert!(value(&reloading, "MONOTONIC_USEC").parse::<u64>().unwrap() > 0);
    assert_eq!(manager.wait("READY=1"), ready);

    std::fs::write(&edge.file, "[edge]\nnaem = \"x\"\n").unwrap();
    edge.signal(Signal::SIGHUP);
    manager.wait("RELOADING=1");
    let refused = value(&manager.wait("READY=1"), "STATUS");
    assert!(
        refused.contains("reload failed") && edge.metric("trunkgate_config_last_reload_success") == 0.0,
        "{refused}"
    );

    edge.signal(Signal::SIGTERM);
    let stopping = manager.wait("STOPPING=1");
    assert_eq!(value(&stopping, "STATUS"), "draining, live calls: 0");
    let within: u64 = value(&stopping, "EXTEND_TIMEOUT_USEC").parse().unwrap();
    assert!(within > 60_000_000, "the drain of 60 s and what follows: {within}");
    assert!(edge.end().0.success());
}

#[test]
fn it_hears_of_the_process_that_takes_over() {
    let manager = NotifySocket::new();
    let mut edge = Process::start_with(&config(""), &[("NOTIFY_SOCKET", &manager.path()), ("WATCHDOG_USEC", "200000")]);
    manager.wait("READY=1");
    let (code, begun) = edge.post("/v1/upgrade", &serde_json::Value::Null);
    assert_eq!(code, 202, "{begun}");
    manager.wait(&format!("MAINPID={}", begun["pid"]));
    until("the first process has ended", || (!edge.is_running()).then_some(()));
    while manager.has_news() {}
    manager.wait("WATCHDOG=1");
    assert_eq!(edge.json("/v1/status")["state"], "ready");
    kill(Pid::from_raw(begun["pid"].as_i64().unwrap() as i32), Signal::SIGTERM).unwrap();
    manager.wait("STOPPING=1");
}

#[test]
fn without_a_watchdog_it_hears_of_none() {
    let manager = NotifySocket::new();
    let edge = Process::start_with(&config(""), &[("NOTIFY_SOCKET", &manager.path())]);
    assert_eq!(manager.hear()[0], "READY=1");
    edge.signal(Signal::SIGTERM);
    assert_eq!(manager.hear()[0], "STOPPING=1");
    assert!(edge.end().0.success());
    assert!(!manager.has_news());
}

/// The socket has room for only a few messages: the edge neither blocks on it nor ends.
#[test]
fn a_service_manager_that_hears_nothing_is_not_waited_for() {
    let manager = NotifySocket::new();
    let edge = Process::start_with(&config(""), &[("NOTIFY_SOCKET", &manager.path()), ("WATCHDOG_USEC", "2000")]);
    until("its socket is full", || edge.log().contains("the service manager was not notified of").then_some(()));
    edge.signal(Signal::SIGTERM);
    assert!(edge.end().0.success());
}

/// The other loops do not hide one that stalls: there is no watchdog notification, `/healthz` names the loop, and both
/// recover once it runs.
#[test]
fn the_watchdog_is_fed_only_while_every_loop_turns() {
    for (thread, said) in
        [("signalling", "the signalling loop did not respond"), ("media-0", "media worker 0 is stuck")]
    {
        let manager = NotifySocket::new();
        let edge = Process::start_with(&config(""), &[("NOTIFY_SOCKET", &manager.path()), ("WATCHDOG_USEC", "200000")]);
        manager.wait("WATCHDOG=1");
        let held = Held::hold(edge.pid(), thread);
        until("the log says so", || {
            while manager.has_news() {}
            edge.log().contains(said).then_some(())
        });
        // These notifications were sent before the edge detected the stall.
        while manager.has_news() {}
        // The log line and `/healthz` depend on the same check of the loops: while one stalls, the watchdog is not
        // notified.
        let looks = |edge: &Process| edge.log().matches("the watchdog restarts the edge unless it recovers").count();
        let before = looks(&edge);
        until("it has looked twice more", || (looks(&edge) >= before + 2).then_some(()));
        assert!(!manager.has_news(), "{thread} stands still");
        let (status, body) = edge.get("/healthz");
        assert!(status == 503 && body.contains(said), "{status} {body}");
        drop(held);
        manager.wait("WATCHDOG=1");
        assert_eq!(edge.get("/healthz").0, 200);
    }
}
