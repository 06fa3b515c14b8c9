//! The command that starts the application: it runs as long as the sandbox does, with all that it starts.

use std::net::ToSocketAddrs as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use url::Url;

/// How often the application is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How long it may take to end by itself.
const LEAVE: Duration = Duration::from_secs(2);

/// A running command, which ends with the value.
#[derive(Debug)]
pub(super) struct Program {
    command: String,
    child: Child,
}

impl Program {
    /// Starts a command by the shell, in a process group of its own; what it prints goes to stderr.
    ///
    /// # Errors
    /// The shell cannot be started.
    pub(super) fn start(command: &str, variables: &[(String, String)]) -> Result<Program, String> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).envs(variables.iter().map(|(name, value)| (name, value)));
        shell.stdin(Stdio::null()).stdout(std::io::stderr()).process_group(0);
        let child = shell.spawn().map_err(|error| format!("`{command}` cannot be started: {error}"))?;
        Ok(Program { command: command.to_owned(), child })
    }

    /// Waits until the application takes connections.
    ///
    /// # Errors
    /// The command has ended, or nothing listens in time.
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

impl Drop for Program {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        let _ = killpg(group, Signal::SIGTERM);
        let until = Instant::now() + LEAVE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
        // What the command has started may live longer than the command.
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Whether something takes connections at a URL.
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

/// Returns host and port of a URL.
pub(super) fn place(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}
