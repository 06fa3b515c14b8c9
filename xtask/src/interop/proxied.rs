//! Programs that reach the edge as api.twilio.com by nothing but the variables of `trunkgate twilio env`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::applications::{ACCOUNT, TOKEN};
use super::{edge, node, python};
use crate::commands;

/// Name of the file with the environment variables.
const VARIABLES: &str = "edge.env";

/// Writes the variables of `trunkgate twilio env` for an edge at this URL, with further flags, to a file in a folder;
/// returns the path of the file.
pub(crate) fn write_variables(url: &[&str], folder: &Path) -> anyhow::Result<PathBuf> {
    let mut env = Command::new(edge::binary());
    env.args(["twilio", "env", "--url"]).args(url).arg("--directory").arg(folder.join("ca"));
    let file = folder.join(VARIABLES);
    std::fs::write(&file, commands::output(&mut env).context("trunkgate twilio env")?)?;
    Ok(file)
}

/// Folder with the variables for reaching an edge, and a home directory for programs.
#[derive(Debug)]
pub(crate) struct Proxied {
    folder: tempfile::TempDir,
    /// Path of Twilio's command-line program.
    cli: PathBuf,
}

/// Certificate for an HTTPS edge at localhost, or for another host.
#[derive(Debug)]
pub(crate) struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    /// Generates a certificate for localhost with its key, in a folder of its own.
    pub(crate) fn make() -> anyhow::Result<Certificate> {
        Certificate::make_for("localhost")
    }

    /// Generates a certificate for another host with its key.
    pub(crate) fn make_for(host: &str) -> anyhow::Result<Certificate> {
        let folder = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed([host.to_owned()])?;
        std::fs::write(folder.path().join("certificate.pem"), made.cert.pem())?;
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem())?;
        Ok(Certificate { folder })
    }

    /// Returns the folder of the certificate and the key.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of the certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// Returns the path of the key.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Returns the beginning of a configuration, in which `[http] tls` names the certificate.
    pub(crate) fn listeners(&self) -> String {
        let (certificate, key) = (self.file(), self.key());
        let tls = format!(
            "[http]\ntls = {{ certificate = \"{}\", private_key = \"{}\" }}\n",
            certificate.display(),
            key.display()
        );
        edge::LISTENERS.replace("[http]\n", &tls)
    }
}

impl Proxied {
    /// Writes the variables for an edge at this HTTP address.
    pub(crate) fn by(http: SocketAddr) -> anyhow::Result<Proxied> {
        Proxied::at(&[&format!("http://{http}")])
    }

    /// Writes the variables for an HTTPS edge with this certificate.
    pub(crate) fn by_tls(http: SocketAddr, certificate: &Certificate) -> anyhow::Result<Proxied> {
        let file = certificate.file().display().to_string();
        Proxied::at(&[&format!("https://localhost:{}", http.port()), "--ca", &file])
    }

    fn at(url: &[&str]) -> anyhow::Result<Proxied> {
        let cli = node::modules(node::Packages::Cli)?.join(".bin");
        let folder = tempfile::tempdir()?;
        write_variables(url, folder.path())?;
        Ok(Proxied { folder, cli })
    }

    /// Returns a command that runs shell commands with the variables and the credentials.
    fn command(&self, commands: &str) -> anyhow::Result<Command> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([self.cli.clone()].into_iter().chain(std::env::split_paths(&path)))?;
        let mut command = Command::new("sh");
        command.env("PATH", path).env("HOME", self.folder.path());
        command.env("TWILIO_ACCOUNT_SID", ACCOUNT).env("TWILIO_AUTH_TOKEN", TOKEN);
        command.args(["-c", &format!(". {}/{VARIABLES}\n{commands}", self.folder.path().display()), "sh"]);
        Ok(command)
    }

    /// Runs shell commands to their end with the variables; returns their output.
    pub(crate) fn shell(&self, commands: &str) -> anyhow::Result<String> {
        commands::output(&mut self.command(commands)?).with_context(|| commands.to_owned())
    }

    /// Runs a Python program to its end with the variables; returns its output.
    pub(crate) fn python(&self, packages: python::Packages, program: &Path, flags: &[&str]) -> anyhow::Result<String> {
        let python = std::path::absolute(python::interpreter(packages)?)?;
        commands::output(self.command("exec \"$@\"")?.arg(python).arg(program).args(flags))
    }

    /// Runs a Node program to its end with the variables; returns its output.
    pub(crate) fn node(&self, packages: node::Packages, program: &Path, flags: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command("exec \"$@\"")?;
        command.env("NODE_PATH", node::modules(packages)?).arg("node").arg(program);
        commands::output(command.args(flags))
    }
}
