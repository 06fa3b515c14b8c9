//! Public programs written for Twilio, unmodified at a commit and with the packages that they pin: SIP calls, judged by
//! the parties' audio.

pub(super) mod basic_ivr;
pub(super) mod call_forwarding;
pub(super) mod click_to_call;
pub(super) mod openai_realtime;
pub(super) mod warm_transfer;

use anyhow::Context as _;

use crate::interop::applications::Bench;
use crate::interop::caller::Caller;

/// Environment variables of Python programs, so that no caches are written next to the sources.
const PYTHON: [(&str, &str); 2] = [("PYTHONWARNINGS", "ignore"), ("PYTHONDONTWRITEBYTECODE", "1")];

/// Waits until a caller hears these words of a program after this mark.
fn hears(bench: &Bench, caller: &Caller, words: &str, since: usize) -> anyhow::Result<()> {
    let spoken = bench.speech.spoken(words)?;
    caller.hears(spoken.hz, since).with_context(|| format!("the caller does not hear {:?}", spoken.text))
}
