//! Servers of the page, with unchanged code, each in a folder of its own.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::interop::{node, python};

/// Maximum time until a server listens; the first import in a fresh installation is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// Node code in which the handler of an example replaces `HANDLER`.
const NODE_HOST: &str = "const express = require(\"express\");\nconst twilio = require(\"twilio\");\nconst app = express();\n\
                         app.post(\"/voice\", (req, res) => {\nHANDLER\n});\napp.listen(Number(process.env.PORT));\n";

/// Running server of the page, killed on drop.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

/// Environment variables of the page's servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Environment<'a> {
    /// Value of `TWILIO_AUTH_TOKEN`.
    pub(super) token: &'a str,
    /// Value of `PUBLIC_BASE_URL`.
    pub(super) url: &'a str,
    /// Value of `TWILIO_CALLER_ID`.
    pub(super) caller_id: &'a str,
}

/// Returns a loopback address with a free port.
pub(super) fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Server {
    /// Starts a Node server with this code.
    pub(super) fn node(code: &str, address: SocketAddr, environment: Environment<'_>) -> anyhow::Result<Server> {
        let mut command = Command::new("node");
        command.arg("server.js").env("NODE_PATH", node::modules(node::Packages::Express)?);
        Server::start(command, ("server.js", code), address, environment)
    }

    /// Starts a Node server with an example as its only handler.
    pub(super) fn example(code: &str, address: SocketAddr, environment: Environment<'_>) -> anyhow::Result<Server> {
        Server::node(&NODE_HOST.replace("HANDLER", code), address, environment)
    }

    /// Starts a Python server with this code by uvicorn, as on the page.
    pub(super) fn python(code: &str, address: SocketAddr, environment: Environment<'_>) -> anyhow::Result<Server> {
        let mut command = Command::new(absolute(&python::interpreter(python::Packages::Forms)?)?);
        command.args(["-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", &address.port().to_string()]);
        Server::start(command, ("app.py", code), address, environment)
    }

    fn start(
        mut command: Command,
        (file, code): (&str, &str),
        address: SocketAddr,
        environment: Environment<'_>,
    ) -> anyhow::Result<Server> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join(file), code)?;
        let log = File::create(folder.path().join("log"))?;
        let child = command
            .current_dir(folder.path())
            .env("PORT", address.port().to_string())
            .env("TWILIO_AUTH_TOKEN", environment.token)
            .env("PUBLIC_BASE_URL", environment.url)
            .env("TWILIO_CALLER_ID", environment.caller_id)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| file.to_owned())?;
        let mut server = Server { child, folder };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if server.child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
                bail!("{file} does not listen: {}", server.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Returns the output of the server so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Makes the folder of a program absolute without resolving a link to the program itself, which identifies a Python
/// environment.
fn absolute(program: &Path) -> anyhow::Result<PathBuf> {
    let folder = program.parent().context("a folder")?.canonicalize()?;
    Ok(folder.join(program.file_name().context("a name")?))
}
