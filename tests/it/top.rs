//! `trunkgate top`, the real binary in a pseudo-terminal: display, keys, and the terminal after the end.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};

use crate::support::calls::{Call, Phone};
use crate::support::{Process, config, finish, until};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Escape sequences that enter and leave the alternate screen.
const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";
/// Beginning of the escape sequence for coloured text.
const COLOUR: &str = "\x1b[38;5;";

/// `trunkgate top` running in a terminal of its own.
struct Top {
    child: Child,
    keyboard: File,
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: std::thread::JoinHandle<()>,
}

impl Top {
    fn start(url: &str, directory: &std::path::Path, variables: &[(&str, &str)]) -> Top {
        let (child, keyboard) = Top::spawn(url, directory, variables);
        let (mut from, bytes) = (keyboard.try_clone().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let copy = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The other end closes when the program ends.
            while let Ok(len @ 1..) = from.read(&mut buffer) {
                copy.lock().unwrap().extend_from_slice(&buffer[..len]);
            }
        });
        Top { child, keyboard, bytes, reader }
    }

    /// Starts the program; returns its process, and the user's side of its terminal.
    fn spawn(url: &str, directory: &std::path::Path, variables: &[(&str, &str)]) -> (Child, File) {
        let size = Winsize { ws_row: 40, ws_col: 140, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).unwrap();
        // The program does not inherit this copy: the terminal closes with the last one.
        let terminal = File::from(pty.master).try_clone().unwrap();
        // The program needs a session of its own, since the test runner may have another controlling terminal.
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_trunkgate"), "top", "--url", url]).current_dir(directory);
        command.env_remove("TRUNKGATE_TOKEN").env_remove("NO_COLOR").env("TERM", "xterm-256color");
        command.envs(variables.iter().copied());
        command.stdin(pty.slave.try_clone().unwrap()).stdout(pty.slave.try_clone().unwrap());
        let child = command.stderr(pty.slave).spawn().unwrap();
        (child, terminal)
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Returns the current screen; the program writes only changes, so words may arrive in pieces.
    fn screen(&self) -> String {
        let [rows, columns] = [40, 140].map(|size| std::num::NonZeroU16::new(size).unwrap());
        let mut screen = vt100::Parser::new(rows, columns, 0);
        screen.process(&self.bytes.lock().unwrap());
        screen.screen().contents()
    }

    fn until_shown(&self, what: &str) {
        until(&format!("{what:?} is on the screen"), || self.screen().contains(what).then_some(()));
    }

    fn end(mut self) -> (ExitStatus, String) {
        let status = until("it ends", || self.child.try_wait().unwrap());
        self.reader.join().unwrap();
        (status, String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned())
    }
}

/// Starts an edge with a call; returns the edge and both phones.
fn edge() -> (Process, Phone, Phone) {
    let (caller, callee) = (Phone::new("127.0.0.2"), Phone::new("127.0.0.3"));
    let text = format!(
        "{}{}[[route]]\nname = \"through\"\nfrom = [\"near\"]\nconnect = [\"trunk:far\"]\n",
        caller.trunk("near"),
        callee.trunk("far")
    );
    let edge = Process::start(&config(&text));
    Call::set_up(&edge, "one", &caller, &callee);
    (edge, caller, callee)
}

#[test]
fn a_call_is_seen_its_ladder_is_saved_and_it_is_ended() {
    let (edge, _caller, callee) = edge();
    let sid = edge.sid();
    let mut top = Top::start(&edge.url(), edge.directory.path(), &[]);
    top.until_shown("taking calls");
    top.until_shown(&sid[..10]);
    top.press("\r");
    top.until_shown("INVITE");
    top.press("s");
    top.until_shown(&format!("written to {sid}.txt"));
    let saved = std::fs::read_to_string(edge.directory.path().join(format!("{sid}.txt"))).unwrap();
    assert!(saved.contains("INVITE") && saved.contains("near") && saved.contains("far"), "{saved}");
    // Neither "n" nor any other key ends the call.
    top.press("Kn");
    top.press("K");
    top.until_shown(&format!("end call {sid}? y: yes"));
    top.press("y");
    callee.sip.receive("BYE ");
    top.press("q");
    top.press("q");
    let (status, written) = top.end();
    assert_eq!(status.code(), Some(0), "{written}");
    assert!(written.contains(ENTER) && written.contains(LEAVE), "{written:?}");
    assert!(written.contains(COLOUR), "{written:?}");
}

/// The list does not show the Call-ID, so the edge must evaluate the filter.
#[test]
fn a_filter_finds_what_only_the_edge_knows() {
    let (edge, _caller, _callee) = edge();
    let sid = edge.sid();
    let call_id = edge.json(&format!("/v1/calls/{sid}"))["legs"][0]["sip_call_id"].as_str().unwrap().to_owned();
    let call_id = call_id.chars().take(40).collect::<String>();
    let mut top = Top::start(&edge.url(), edge.directory.path(), &[]);
    top.until_shown(&sid[..10]);
    top.press("/no such call\r");
    top.until_shown("no call matches the filter");
    top.press(&format!("/{}{call_id}\r", "\x7f".repeat("no such call".len())));
    top.until_shown(&format!("filter: {call_id}   "));
    top.until_shown(&sid[..10]);
    top.press("q");
    let (status, written) = top.end();
    assert_eq!(status.code(), Some(0), "{written}");
}

#[test]
fn without_colours_none_are_written_and_sigterm_gives_the_terminal_back() {
    let (edge, _caller, _callee) = edge();
    let top = Top::start(&edge.url(), edge.directory.path(), &[("NO_COLOR", "1")]);
    top.until_shown("taking calls");
    kill(Pid::from_raw(i32::try_from(top.child.id()).unwrap()), Signal::SIGTERM).unwrap();
    let (status, written) = top.end();
    assert_eq!(status.code(), Some(0), "{written:?}");
    assert!(written.contains(LEAVE), "{written:?}");
    assert!(!written.contains(COLOUR), "{written:?}");
}

/// The window is closed, or the connection to the terminal is lost.
#[test]
fn without_its_terminal_it_ends_and_nothing_breaks() {
    let (edge, _caller, _callee) = edge();
    let (mut child, mut terminal) = Top::spawn(&edge.url(), edge.directory.path(), &[]);
    let [rows, columns] = [40, 140].map(|size| std::num::NonZeroU16::new(size).unwrap());
    let mut screen = vt100::Parser::new(rows, columns, 0);
    let mut buffer = [0; 4096];
    while !screen.screen().contents().contains("taking calls") {
        let len = terminal.read(&mut buffer).unwrap();
        screen.process(&buffer[..len]);
    }
    drop(terminal);
    let status = until("it ends", || child.try_wait().unwrap());
    assert!(status.code().is_some() || status.signal() == Some(Signal::SIGHUP as i32), "{status:?}");
}

#[test]
fn an_edge_that_goes_is_told_and_top_stays() {
    let (edge, _caller, _callee) = edge();
    let mut top = Top::start(&edge.url(), edge.directory.path(), &[]);
    top.until_shown("taking calls");
    let directory = Arc::clone(&edge.directory);
    drop(edge);
    top.until_shown("trying again");
    top.press("q");
    assert_eq!(top.end().0.code(), Some(0));
    drop(directory);
}

#[test]
fn without_a_terminal_or_an_edge_it_says_so() {
    let output = finish(&["top", "--url", "http://127.0.0.1:1"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && text.contains("needs a terminal"), "{text}");
    let directory = tempfile::tempdir().unwrap();
    let top = Top::start("http://127.0.0.1:1", directory.path(), &[]);
    let (status, written) = top.end();
    assert_eq!(status.code(), Some(1), "{written:?}");
    assert!(written.contains("no edge at http://127.0.0.1:1") && !written.contains(ENTER), "{written:?}");
}
