//! Public programs that cases run unmodified: checkouts below the target folder, the packages that the programs pin,
//! and their processes.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{SKIPPED, Setting, edge, install, python};

/// Environment variable that names a folder of checkouts by name. Without it, repositories are cloned from their public
/// addresses.
const FOLDER: &str = "TRUNKGATE_APPS";
/// Maximum wait until a program accepts connections; the first import in a fresh installation is slow.
const START: Duration = Duration::from_secs(60);
/// Maximum wait for the end of a program after SIGTERM.
const END: Duration = Duration::from_secs(3);
/// Packages that requirements name and programs do not import; some of them cannot be built for current Python.
const DEVELOPMENT: [&str; 12] = [
    "appdirs",
    "black",
    "flake8",
    "mccabe",
    "mypy-extensions",
    "pathspec",
    "pycodestyle",
    "pyflakes",
    "regex",
    "toml",
    "typed-ast",
    "typing-extensions",
];

/// GitHub repository at one commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checkout {
    /// Owner of the repository.
    pub(crate) owner: &'static str,
    /// Name of the repository.
    pub(crate) name: &'static str,
    /// Hash of the commit.
    pub(crate) commit: &'static str,
}

impl Checkout {
    /// Returns the checkout's folder below the target folder; the repository is cloned if missing.
    pub(crate) fn folder(&self) -> anyhow::Result<PathBuf> {
        let Checkout { owner, name, commit } = *self;
        let folder = std::path::absolute(edge::target())?.join("interop-apps").join(name);
        let done = folder.join(".git/checked-out");
        if std::fs::read_to_string(&done).is_ok_and(|known| known == commit) {
            return Ok(folder);
        }
        let source = match std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()) {
            Some(given) => PathBuf::from(given).join(name).canonicalize()?.display().to_string(),
            None => format!("https://github.com/{owner}/{name}"),
        };
        println!("      fetching {name}");
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(folder.parent().context("a folder")?)?;
        git(Command::new("git").args(["clone", "--quiet", "--no-checkout", &source]).arg(&folder))?;
        // Neither the large table of zip codes nor pictures are needed.
        let files = ["checkout", "--quiet", commit, "--", ".", ":(exclude)*.csv", ":(exclude)*.jpg"];
        git(Command::new("git").args(files).current_dir(&folder))?;
        std::fs::write(done, commit)?;
        Ok(folder)
    }

    /// Returns the figure of a case that is skipped because the repository cannot be cloned here. If a folder of
    /// checkouts was given, that is an error.
    pub(crate) fn missing(&self, setting: &Setting, error: anyhow::Error) -> anyhow::Result<String> {
        if std::env::var_os(FOLDER).is_some() || setting.sabotage {
            return Err(error.context(self.name));
        }
        Ok(format!("{SKIPPED}{} cannot be cloned, and {FOLDER} is not set: {error:#}", self.name))
    }
}

fn git(command: &mut Command) -> anyhow::Result<()> {
    // A clone that prompts for credentials would wait forever.
    let output = command.env("GIT_TERMINAL_PROMPT", "0").output().context("git")?;
    if !output.status.success() {
        bail!("git: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Returns the Python interpreter of an environment with the packages that a program's `requirements.txt` pins, without
/// development packages.
pub(crate) fn interpreter(name: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let text = std::fs::read_to_string(folder.join("requirements.txt")).context("requirements.txt")?;
    let environment = python::environment(name, &pins(&text))?;
    Ok(std::path::absolute(environment)?)
}

/// Returns the lines of a requirements.txt that a program needs to run.
fn pins(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_needed = |line: &&str| line.split("==").next().is_some_and(|name| !DEVELOPMENT.contains(&name));
    lines.filter(is_needed).collect()
}

/// Installs the packages of a program's package-lock.json next to it, unless they are present.
pub(crate) fn install_locked(folder: &Path) -> anyhow::Result<()> {
    install::packages(&[("node", "nodejs"), ("npm", "npm")])?;
    // npm writes this file last.
    if folder.join("node_modules/.package-lock.json").is_file() {
        return Ok(());
    }
    println!("      installing its packages");
    let flags = ["ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts"];
    python::run(Command::new("npm").args(flags).current_dir(folder)).context("npm ci")
}

/// Returns a loopback address with a free port.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Posts a form as a browser does; returns the response body.
pub(crate) fn post(url: &str, form: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut encoded = reqwest::Url::parse("http://form/")?;
    encoded.query_pairs_mut().extend_pairs(form);
    let body = encoded.query().unwrap_or_default().to_owned();
    let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(20)).build()?;
    let request = client.post(url).header("Content-Type", "application/x-www-form-urlencoded").body(body);
    let response = request.send()?;
    let status = response.status();
    let text = response.text()?;
    ensure!(status.is_success(), "POST {url}: {status} {text}");
    Ok(text)
}

/// Running server program; ended on drop.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Starts a command and waits until the program accepts connections at this address.
    pub(crate) fn start(mut command: Command, address: SocketAddr) -> anyhow::Result<Program> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let lines = python::keep_lines(&mut child)?;
        let mut program = Program { child, lines };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = program.child.try_wait()? {
                bail!("{command:?}: {status}: {}", program.output());
            }
            if began.elapsed() > START {
                bail!("{command:?} does not listen at {address}: {}", program.output());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(program)
    }

    /// Returns the output of the program so far.
    pub(crate) fn output(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The program is killed if it does not end after SIGTERM.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let began = Instant::now();
        while began.elapsed() < END && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_of_a_program_are_without_tools_and_comments() {
        let text = "# Flask\nFlask==1.1.2\n\nblack==20.8b1\n twilio==6.51.0 \nregex==2020.11.13\npython-dotenv\n";
        assert_eq!(pins(text), ["Flask==1.1.2", "twilio==6.51.0", "python-dotenv"]);
    }

    #[test]
    fn a_program_that_ends_at_once_is_an_error_with_its_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no module named flask >&2; exit 3"]);
        let error = Program::start(command, free_address().unwrap()).unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }
}
