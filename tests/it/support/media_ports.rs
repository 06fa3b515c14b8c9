//! Media ports of the edges under test. Tests run side by side, and a port that another test's edge has bound costs a call an attempt:
//! each test has its own, outside the default range, where demos and other edges take theirs; also beside another run of the tests.

use std::cell::Cell;
use std::fs::File;

/// First port of all.
const FIRST: u16 = 6_000;
/// Parts, each for one test.
const PARTS: u16 = 12;
/// Ports of one test's first edge.
const OF_ONE: u16 = 300;
/// Ports of each further edge that runs beside it, after those.
const OF_FURTHER: u16 = 50;
/// Further edges with ports of their own.
const FURTHER: u16 = 4;

thread_local! {
    static OWN: Option<Part> = Part::take();
    /// Places of the edges that run, a bit for each.
    static TAKEN: Cell<u16> = const { Cell::new(0) };
}

/// The place of an edge of this test among those that run at the same time; given back with it.
pub(crate) struct Place(u16);

impl Place {
    /// Takes the first free one.
    pub(crate) fn take() -> Place {
        let number = TAKEN.get().trailing_ones().min(u32::from(FURTHER)) as u16;
        TAKEN.set(TAKEN.get() | 1 << number);
        Place(number)
    }

    /// Gives the edge's configuration ports that the edges before it do not have: two that draw from the same ports may draw the
    /// same one, and the second loses an attempt by it.
    pub(crate) fn give_ports(&self, config: &str) -> String {
        let Some(first) = OWN.with(|part| part.as_ref().map(Part::first)).filter(|_| self.0 > 0) else {
            return config.to_owned();
        };
        let first = first + OF_ONE + (self.0 - 1) * OF_FURTHER;
        config.replacen(&line(), &of(first, first + OF_FURTHER - 1), 1)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.set(TAKEN.get() & !(1 << self.0));
    }
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

    fn first(&self) -> u16 {
        FIRST + self.number * (OF_ONE + FURTHER * OF_FURTHER)
    }
}

/// The line of `[media]`: the same throughout a test.
pub(crate) fn line() -> String {
    let line = |part: &Part| of(part.first(), part.first() + OF_ONE - 1);
    OWN.with(|part| part.as_ref().map(line).unwrap_or_default())
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
