//! `trunkgate twilio`: runs programs written for Twilio against an edge.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::{TwilioSandbox, TwilioVerb};

mod ca;
mod env;
mod hosts;
mod sandbox;
mod trust;

/// Runs a subcommand, or the calls of a sandbox.
pub fn run(config: Option<&Path>, options: &TwilioSandbox, what: Option<&TwilioVerb>) -> ExitCode {
    match what {
        Some(TwilioVerb::Env(options)) => env::run(config, options),
        Some(TwilioVerb::Hosts(options)) => hosts::run(config, options),
        Some(TwilioVerb::Trust(options)) => trust::run(config, options),
        None => sandbox::run(options),
    }
}
