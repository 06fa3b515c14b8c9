//! Media ports of the edges under test. Tests run side by side, and a port that another test's edge has bound costs a call an attempt:
//! each test has its own, outside the default range, where demos and other edges take theirs; also beside another run of the tests.

use std::fs::File;

/// First port of all.
const FIRST: u16 = 6_000;
/// Parts, each for one test.
const PARTS: u16 = 12;
/// Ports of one test.
const OF_ONE: u16 = 500;

thread_local! {
    static OWN: Option<Part> = Part::take();
}

/// A part of the ports; given back at the end of the test's thread, or of the process.
struct Part {
    number: u16,
    /// Locked as long as the part is in use.
    _lock: File,
}

impl Part {
    /// Takes a part that no other test of this machine has; none where more tests run than there are parts.
    fn take() -> Option<Part> {
        (0..PARTS).find_map(|number| {
            let path = std::env::temp_dir().join(format!("trunkgate-test-ports-{number}"));
            let lock = File::options().create(true).append(true).open(path).ok()?;
            lock.try_lock().ok()?;
            Some(Part { number, _lock: lock })
        })
    }

    fn line(&self) -> String {
        let first = FIRST + self.number * OF_ONE;
        of(first, first + OF_ONE - 1)
    }
}

/// The line of `[media]`: the same throughout a test.
pub(crate) fn line() -> String {
    OWN.with(|part| part.as_ref().map(Part::line).unwrap_or_default())
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
