//! Programs that reach the edge as api.twilio.com, by nothing but the variables of `trunkgate twilio env`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::applications::{ACCOUNT, TOKEN};
use super::{edge, node, python};

/// The variables, in files of a folder of their own, and a home for programs.
#[derive(Debug)]
pub(crate) struct Proxied {
    folder: tempfile::TempDir,
    /// Where Twilio's program for the command line is.
    cli: PathBuf,
}

impl Proxied {
    /// Asks the edge, which listens there for HTTP.
    pub(crate) fn by(http: SocketAddr) -> anyhow::Result<Proxied> {
        let cli = node::modules(node::Packages::Cli)?.join(".bin");
        let folder = tempfile::tempdir()?;
        let mut env = Command::new(edge::binary());
        env.args(["twilio", "env", "--url", &format!("http://{http}"), "--directory"]).arg(folder.path().join("ca"));
        std::fs::write(folder.path().join("edge.env"), python::ended(&mut env).context("trunkgate twilio env")?)?;
        Ok(Proxied { folder, cli })
    }

    /// A command of the shell that has the variables and the credentials.
    fn command(&self, commands: &str) -> anyhow::Result<Command> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([self.cli.clone()].into_iter().chain(std::env::split_paths(&path)))?;
        let mut command = Command::new("sh");
        command.env("PATH", path).env("HOME", self.folder.path());
        command.env("TWILIO_ACCOUNT_SID", ACCOUNT).env("TWILIO_AUTH_TOKEN", TOKEN);
        command.args(["-c", &format!(". {}/edge.env\n{commands}", self.folder.path().display()), "sh"]);
        Ok(command)
    }

    /// Runs commands of the shell to their end: what they printed.
    pub(crate) fn shell(&self, commands: &str) -> anyhow::Result<String> {
        python::ended(&mut self.command(commands)?).with_context(|| commands.to_owned())
    }

    /// Runs a program in Python to its end.
    pub(crate) fn python(&self, packages: python::Packages, program: &Path, flags: &[&str]) -> anyhow::Result<String> {
        let python = std::path::absolute(python::interpreter(packages)?)?;
        python::ended(self.command("exec \"$@\"")?.arg(python).arg(program).args(flags))
    }

    /// Runs a program in Node to its end.
    pub(crate) fn node(&self, packages: node::Packages, program: &Path, flags: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command("exec \"$@\"")?;
        command.env("NODE_PATH", node::modules(packages)?).arg("node").arg(program);
        python::ended(command.args(flags))
    }
}
