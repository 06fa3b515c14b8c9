//! Output of the real binary on a terminal of 80 columns, in which lines are wrapped between words; in a pipe, lines
//! are whole.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use crate::support::{closed_address, finish, trunkgate, write};
use nix::pty::{Winsize, openpty};

/// Returns the exit code of a command and its output on a terminal of 80 columns.
fn on_terminal(arguments: &[&str]) -> (Option<i32>, String) {
    typed(arguments, None)
}

/// Runs a command with `keys` typed at the terminal, which then is also its stdin.
fn typed(arguments: &[&str], keys: Option<&str>) -> (Option<i32>, String) {
    let size = Winsize { ws_row: 40, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).unwrap();
    // The program does not inherit this copy: the terminal closes with the last one.
    let mut terminal = File::from(pty.master).try_clone().unwrap();
    let mut command = trunkgate(arguments);
    command.env("NO_COLOR", "1");
    match keys {
        Some(keys) => {
            command.stdin(pty.slave.try_clone().unwrap());
            terminal.write_all(keys.as_bytes()).unwrap();
        }
        None => {
            command.stdin(Stdio::null());
        }
    }
    command.stdout(pty.slave.try_clone().unwrap()).stderr(pty.slave);
    let mut child = command.spawn().unwrap();
    // The command holds the program's side of the terminal.
    drop(command);
    let (mut written, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(len @ 1..) = terminal.read(&mut buffer) {
        written.extend_from_slice(&buffer[..len]);
    }
    (child.wait().unwrap().code(), String::from_utf8(written).unwrap().replace("\r\n", "\n"))
}

#[test]
fn init_asks_for_the_kind_of_trunk_on_a_terminal_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trunkgate.toml");
    let arguments = ["--config", file.to_str().unwrap(), "init"];
    let (code, shown) = typed(&arguments, Some("nonsense\ntelnyx\neu\n\navaya:10.0.0.5\n"));
    assert_eq!(code, Some(0), "{shown}");
    let asked =
        ["Kind of trunk: carrier, twilio, telnyx,", "nonsense: expected", "Region at telnyx: us, eu, ca, au", "PBX: "];
    assert!(asked.iter().all(|part| shown.contains(part)), "{shown}");
    let text = std::fs::read_to_string(&file).unwrap();
    for line in ["preset = \"telnyx\"", "region = \"eu\"", "preset = \"avaya\""] {
        assert!(text.contains(line), "{text}");
    }
    // Without a terminal there is no prompt, and the pipe is not read as an answer.
    std::fs::remove_file(&file).unwrap();
    let mut command = trunkgate(&arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The program may have ended before the write.
    let _ = child.stdin.take().unwrap().write_all(b"telnyx\neu\n\n\n");
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && !told.contains("Kind of trunk"), "{told}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("preset = \"carrier\"") && !text.contains("telnyx"), "{text}");
}

fn assert_fits(text: &str) {
    // Commands are not wrapped, because users copy them into a shell.
    let long = text.lines().filter(|line| line.chars().count() > 80 && !line.starts_with("  trunkgate "));
    assert_eq!(long.collect::<Vec<_>>(), Vec::<&str>::new(), "{text}");
}

#[test]
fn help_is_cut_between_words_on_a_terminal_alone() {
    for arguments in [
        &["--help"][..],
        &["doctor", "--help"],
        &["loadtest", "-h"],
        &["help", "twilio"],
        &["help", "TG0113"],
        &["help", "503"],
        &["man"],
    ] {
        let (code, page) = on_terminal(arguments);
        let piped = String::from_utf8(finish(arguments).stdout).unwrap();
        assert_eq!(code, Some(0), "{page}");
        assert_fits(&page);
        assert!(piped.lines().any(|line| line.chars().count() > 80), "{piped}");
        assert!(page.split_whitespace().eq(piped.split_whitespace()), "{page}");
    }
}

#[test]
fn errors_are_cut_between_words_on_a_terminal() {
    let (code, told) = on_terminal(&["status", "--url", &format!("http://{}", closed_address())]);
    let words = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code == Some(1) && words.contains("`journalctl -u trunkgate -n 50` shows why it ended"), "{told}");
    assert_fits(&told);
    let (_directory, file) = write("[edge]\ncountri = \"US\"\n[http]\naddress = \"192.0.2.1:8080\"\n");
    let (code, told) = on_terminal(&["--config", file.to_str().unwrap(), "check"]);
    assert!(code == Some(2) && told.contains("did you mean `country`?"), "{told}");
    let (code, told) = on_terminal(&["help", "xyzzyxyzzy"]);
    assert!(code == Some(2) && told.starts_with("error: unknown help topic: xyzzyxyzzy\n"), "{told}");
    assert_fits(&told);
    let (code, told) = on_terminal(&["status", "--watch", "never"]);
    assert_eq!(code, Some(2), "{told}");
    assert_fits(&told);
}
