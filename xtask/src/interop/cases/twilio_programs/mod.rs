//! Public programs written for Twilio, unmodified at a commit, with the packages that they pin: calls by SIP, judged by
//! what the parties hear.

pub(super) mod basic_ivr;
pub(super) mod call_forwarding;
pub(super) mod click_to_call;
pub(super) mod openai_realtime;
pub(super) mod warm_transfer;

use anyhow::Context as _;

use crate::interop::applications::Bench;
use crate::interop::caller::Caller;

/// Variables of programs in Python: no caches beside their sources.
const PYTHON: [(&str, &str); 2] = [("PYTHONWARNINGS", "ignore"), ("PYTHONDONTWRITEBYTECODE", "1")];

/// Waits until a caller hears these words of a program after a mark.
fn hears(bench: &Bench, caller: &Caller, words: &str, since: usize) -> anyhow::Result<()> {
    let spoken = bench.speech.spoken(words)?;
    caller.hears(spoken.hz, since).with_context(|| format!("the caller does not hear {:?}", spoken.text))
}
