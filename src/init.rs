//! `trunkgate init`: writes a commented `trunkgate.toml`, never over an existing one, then checks it.

use std::path::Path;
use std::process::ExitCode;

/// What the verb's flags say.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// `--trunk KIND:VALUE`, e.g. `twilio:acme.pstn.twilio.com` or `carrier:198.51.100.7`.
    pub trunk: Option<String>,
    /// `--pbx KIND:VALUE`, e.g. `freepbx:10.0.0.5`.
    pub pbx: Option<String>,
    /// `--agent URL`
    pub agent: Option<String>,
    /// `--yes`: ask nothing.
    pub yes: bool,
}

/// Writes `path`.
pub fn run(path: &Path, options: &InitOptions) -> ExitCode {
    let _ = (path, options);
    unimplemented!()
}
