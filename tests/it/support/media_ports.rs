//! Media ports of the edges under test. Tests run concurrently, and if the edge of another test has bound a port, that
//! costs a call an attempt: each test has ports of its own, outside of the default range that demos and other edges
//! use, and different from those of another test run.

use std::cell::Cell;
use std::fs::File;

/// First media port of all parts.
const FIRST: u16 = 6_000;
/// Number of parts, each for one test.
const PARTS: u16 = 12;
/// Number of ports for a test's first edge.
const OF_ONE: u16 = 300;
/// Number of ports for each further concurrent edge of the test.
const OF_FURTHER: u16 = 50;
/// Number of further edges with ports of their own.
const FURTHER: u16 = 4;

thread_local! {
    static OWN: Option<Part> = Part::take();
    /// Slots of the test's running edges, one bit each.
    static TAKEN: Cell<u16> = const { Cell::new(0) };
}

/// Slot of an edge among the concurrent ones of this test; released on drop.
pub(crate) struct Place(u16);

impl Place {
    /// Takes the first free slot.
    pub(crate) fn take() -> Place {
        let number = TAKEN.get().trailing_ones().min(u32::from(FURTHER)) as u16;
        TAKEN.set(TAKEN.get() | 1 << number);
        Place(number)
    }

    /// Assigns ports to an edge's configuration that earlier edges of the test do not have: with shared ports, two
    /// edges may draw the same one, which costs the second edge an attempt.
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

/// Part of the ports, released when the test's thread or the process ends.
struct Part {
    number: u16,
    /// File that is locked while the part is in use.
    _lock: File,
}

impl Part {
    /// Takes a part that no other test on this machine has; returns `None` if there are more tests than parts.
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

/// Returns the `[media]` line, which stays the same throughout a test.
pub(crate) fn line() -> String {
    let line = |part: &Part| of(part.first(), part.first() + OF_ONE - 1);
    OWN.with(|part| part.as_ref().map(line).unwrap_or_default())
}

/// Replaces the media ports in a configuration.
pub(crate) fn replaced(config: &str, first: u16, last: u16) -> String {
    let own = line();
    let config = if own.is_empty() { config.to_owned() } else { config.replacen(&own, "", 1) };
    config.replacen("threads = 1\n", &format!("threads = 1\n{}", of(first, last)), 1)
}

fn of(first: u16, last: u16) -> String {
    format!("ports = \"{first}-{last}\"\n")
}
