//! Second process of the keeper, which waits to become the edge (`[edge] standby`): after a crash it has been started
//! and has read its files already, and continues the calls from the state file at once.

use std::io::{self, Read as _};
use std::path::Path;

use trunkgate_config as config;

/// Environment variable that the keeper sets for its processes.
pub(crate) const KEEPER: &str = "TRUNKGATE_KEEPER";
/// Bytes by which the keeper releases the process, on its standard input.
pub(crate) const RELEASE: &[u8] = b"\n";

/// Returns whether a keeper has started this process.
pub(crate) fn has_keeper() -> bool {
    std::env::var_os(KEEPER).is_some()
}

/// Blocks until the keeper releases this process; `false` if the keeper has ended.
pub(crate) fn wait(given: Option<&Path>) -> bool {
    // The files may change while the process waits, so they are read again after it. This first time brings them and
    // the code that reads them into memory; errors are reported by the edge that runs.
    let _ = config::find(given).map(|path| config::load(&path));
    io::stdin().lock().read_exact(&mut [0; RELEASE.len()]).is_ok()
}
