//! `trunkgate demo`: an edge, a carrier and two trunks on loopback over real sockets.

use std::process::ExitCode;

/// Runs the demo.
pub fn run(json: bool) -> ExitCode {
    let _ = json;
    unimplemented!()
}
