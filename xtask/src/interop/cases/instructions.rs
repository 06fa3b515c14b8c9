//! Number of instructions for a call: a change that makes calls more expensive must say so in its commit.

use crate::bench::counters;
use crate::interop::Setting;

/// Configuration of a capture agent that gets a copy of each message: additional work for each call.
const CAPTURED: &str = "[hep]\naddress = \"127.0.0.1:9060\"\n";

/// Checks that a call takes the recorded number of instructions in each configuration.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    counters::check(if setting.sabotage { CAPTURED } else { "" })
}
