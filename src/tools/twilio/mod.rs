//! `trunkgate twilio`: programs written for Twilio, run against an edge.

use std::path::Path;
use std::process::ExitCode;

use crate::tools::cli::Twilio;

mod env;

/// Runs a verb.
pub fn run(config: Option<&Path>, what: &Twilio) -> ExitCode {
    match what {
        Twilio::Env(options) => env::run(config, options),
    }
}
