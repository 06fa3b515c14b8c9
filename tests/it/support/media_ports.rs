//! Media ports of the edges under test. Tests run side by side, and a port that another test's edge has bound costs a call an attempt:
//! each test has its own, outside the default range, where demos and other edges take theirs.

use std::sync::{Mutex, PoisonError};

/// First port of all.
const FIRST: u16 = 6_000;
/// First port after them.
const END: u16 = 12_000;
/// Ports of one test.
const OF_ONE: u16 = 1_000;

/// Parts that no running test has.
static FREE: Mutex<Vec<u16>> = Mutex::new(Vec::new());
/// Parts that were given out for the first time.
static NEXT: Mutex<u16> = Mutex::new(0);

thread_local! {
    static OWN: Part = Part::take();
}

/// A part of the ports; given back at the end of the test's thread.
struct Part(Option<u16>);

impl Part {
    /// Takes a part that no other test has; none where more tests run than there are parts.
    fn take() -> Part {
        if let Some(part) = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Part(Some(part));
        }
        let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
        let part = *next;
        let is_there = FIRST + (part + 1) * OF_ONE <= END;
        *next += u16::from(is_there);
        Part(is_there.then_some(part))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        FREE.lock().unwrap_or_else(PoisonError::into_inner).extend(self.0);
    }
}

/// The line of `[media]`: the same throughout a test.
pub(crate) fn line() -> String {
    OWN.with(|part| part.0.map(|part| of(FIRST + part * OF_ONE, FIRST + (part + 1) * OF_ONE - 1)).unwrap_or_default())
}

/// Replaces the media ports of a configuration.
pub(crate) fn replaced(config: &str, first: u16, last: u16) -> String {
    let own = line();
    let config = if own.is_empty() { config.to_owned() } else { config.replacen(&own, "", 1) };
    config.replacen("threads = 1\n", &format!("threads = 1\n{}", of(first, last)), 1)
}

fn of(first: u16, last: u16) -> String {
    format!("ports = \"{first}-{last}\"\n")
}
