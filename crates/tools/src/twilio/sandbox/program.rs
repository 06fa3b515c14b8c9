//! Application process, started by a command and stopped with the sandbox, including all its children.

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Write as _};
use std::net::ToSocketAddrs as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use url::Url;

/// Interval at which the application's port is checked.
const LOOK: Duration = Duration::from_millis(50);
/// Time from SIGTERM to SIGKILL.
const LEAVE: Duration = Duration::from_secs(2);
/// Maximum wait for the last output, because a process outside of the group may keep the pipe open.
const LAST_LINES: Duration = Duration::from_millis(200);
/// Prefix of each output line of the application.
const PREFIX: &str = "app: ";

/// Shell script that runs the command (`$1`), and a guard shell that reads a pipe held open by the sandbox: if the
/// sandbox is killed, the pipe closes and the guard stops the process group. It is not a child of the command and
/// ignores its own SIGTERM.
const SHELL: &str = "\
exec 3<&0 </dev/null
( ( trap '' HUP INT TERM; read -r end <&3; kill -TERM 0; sleep 2; kill -KILL 0 ) >/dev/null 2>&1 & )
exec 3<&-
exec sh -c \"$1\"";

/// Running application process, stopped on drop.
#[derive(Debug)]
pub(super) struct ApplicationProcess {
    command: String,
    child: Child,
    /// Write end of the guard's pipe; the kernel closes it when the sandbox ends.
    _life: PipeWriter,
    /// Channel that closes when all output is copied.
    printed: Receiver<()>,
}

impl ApplicationProcess {
    /// Starts a command with the shell, in its own process group. Its output is copied to stderr, each line with a
    /// prefix.
    ///
    /// # Errors
    /// Returns a message if the command cannot be started.
    pub(super) fn start(command: &str, variables: &[(String, String)]) -> Result<ApplicationProcess, String> {
        let failed = |error: std::io::Error| format!("`{command}` cannot be started: {error}");
        let (guarded, life) = std::io::pipe().map_err(failed)?;
        let (lines, output) = std::io::pipe().map_err(failed)?;
        let mut shell = Command::new("sh");
        shell.args(["-c", SHELL, "sh", command]).envs(variables.iter().map(|(name, value)| (name, value)));
        shell.stdin(guarded).stdout(output.try_clone().map_err(failed)?).stderr(output).process_group(0);
        let child = shell.spawn().map_err(failed)?;
        // Closes the pipe ends of this process, so that reading ends with the command.
        drop(shell);
        Ok(ApplicationProcess { command: command.to_owned(), child, _life: life, printed: pass_on(lines) })
    }

    /// Waits until the application accepts connections.
    ///
    /// # Errors
    /// Returns a message if the command ends, or if no connection is accepted in time.
    pub(super) async fn wait_until_ready(&mut self, url: &Url, patience: Duration) -> Result<(), String> {
        let until = Instant::now() + patience;
        loop {
            if is_open(url).await {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("`{}` ended before the application took connections: {status}", self.command));
            }
            if Instant::now() >= until {
                let (command, seconds) = (&self.command, patience.as_secs());
                return Err(format!("`{command}` runs, and nothing listens at {} after {seconds} s", place(url)));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for ApplicationProcess {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        let _ = killpg(group, Signal::SIGTERM);
        let until = Instant::now() + LEAVE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
        // The command has ended, but its children may still run.
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
        let _ = self.printed.recv_timeout(LAST_LINES);
    }
}

/// Copies the application's output to stderr.
fn pass_on(lines: PipeReader) -> Receiver<()> {
    let (end, printed) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(lines);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            if line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            let mut stderr = std::io::stderr().lock();
            let _ = stderr.write_all(PREFIX.as_bytes()).and_then(|()| stderr.write_all(&line));
            line.clear();
        }
        drop(end);
    });
    printed
}

/// Returns whether a server accepts connections at the host and port of a URL.
pub(super) async fn is_open(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let port = url.port_or_known_default().unwrap_or(80);
    let Ok(addresses) = (host.trim_matches(['[', ']']), port).to_socket_addrs() else { return false };
    for address in addresses {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return true;
        }
    }
    false
}

/// Formats host and port of a URL.
pub(super) fn place(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}
