//! What a call costs, counted: a change that makes calls dearer says so in its commit.

use crate::bench::counters;
use crate::interop::Setting;

/// A capture agent is sent a copy of each message: more work for each call.
const CAPTURED: &str = "[hep]\naddress = \"127.0.0.1:9060\"\n";

/// Holds that a call takes as many instructions as the repository says, in each configuration.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    counters::check(if setting.sabotage { CAPTURED } else { "" })
}
