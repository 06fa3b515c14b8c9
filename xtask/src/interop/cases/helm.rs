//! Helm chart: independent programs lint, render and validate it, and `trunkgate check` checks its configurations.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::deploy_files::deploy;
use crate::commands::output;
use crate::interop::edge::binary;
use crate::interop::{SKIPPED, Setting, python};

/// Folder at which the certificate's Secret is mounted.
const MOUNTED: &str = "/etc/trunkgate-tls";
/// Variables in the Secrets of `ci/complete-values.yaml`, with their values.
const SECRETS: [(&str, &str); 2] =
    [("HTTP_TOKEN", "a-token-of-this-interop-case"), ("CARRIER_PASSWORD", "a-password-of-this-interop-case")];

/// Tests the chart with its default values and with every optional part.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let python = match python::helm() {
        Ok(python) => python,
        Err(error) => return Ok(format!("{SKIPPED}Helm cannot be had here: {error:#}")),
    };
    let folder = tempfile::tempdir()?;
    let chart = folder.path().join("trunkgate");
    copy(&deploy("helm/trunkgate"), &chart)?;
    if setting.sabotage {
        // Broken: the manifest has a key that Kubernetes does not know.
        let manifest = chart.join("templates/daemonset.yaml");
        let text = std::fs::read_to_string(&manifest)?;
        std::fs::write(&manifest, text.replace("terminationGracePeriodSeconds", "terminationGraceSeconds"))?;
    }
    let mut judge = Command::new(python);
    judge.arg("-B").arg(python::script("helm_chart.py")).arg(&chart).arg(folder.path());
    let printed = output(&mut judge)?;
    let count = |word: &str| printed.lines().filter(|line| line.contains(word)).count();
    let (valid, refused) = (count(" is valid"), count("refused: "));
    ensure!(valid > 10 && refused > 10, "{printed}");
    certificate(folder.path())?;
    for name in ["least", "complete"] {
        let file = folder.path().join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let here = folder.path().to_str().context("a path in UTF-8")?;
        std::fs::write(&file, text.replace(MOUNTED, here))?;
        let taken = output(Command::new(binary()).arg("--config").arg(&file).arg("check").envs(SECRETS));
        taken.with_context(|| format!("check of {name}.toml"))?;
    }
    Ok(format!("{valid} documents are valid, {refused} sets of values refused; nothing was installed"))
}

/// Copies the chart, so that a sabotaged chart is not written into the tree.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Writes the files of a Secret of type kubernetes.io/tls.
fn certificate(folder: &Path) -> anyhow::Result<()> {
    let made = rcgen::generate_simple_self_signed(["edge.example.com".to_owned()])?;
    std::fs::write(folder.join("tls.crt"), made.cert.pem())?;
    std::fs::write(folder.join("tls.key"), made.signing_key.serialize_pem())?;
    Ok(())
}
