//! Provisional answers that are acknowledged (RFC 3262): which phones know them, and who never sends the PRACK that it owes.

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

use crate::log::describe;
use crate::options::{Options, Sabotage};
use crate::world::World;

/// What each phone does about them, in the order of their seats.
#[derive(Debug, Clone, Copy)]
pub struct Early {
    /// Whether it knows them.
    pub knows: [bool; 5],
    /// Whether its PRACKs never leave it.
    pub withholds: [bool; 5],
}

impl Early {
    /// What a seed says.
    pub(crate) fn draw(rng: &mut ChaCha12Rng) -> Early {
        Early { knows: [(); 5].map(|()| rng.random_bool(0.5)), withholds: [(); 5].map(|()| rng.random_bool(0.05)) }
    }
}

/// Whether the phone of a seat knows reliable provisional answers.
pub(crate) fn knows(options: &Options, seat: usize) -> bool {
    options.early.knows.get(seat).is_some_and(|knows| *knows)
}

impl World {
    /// Where nothing was lost, a provisional answer goes out once: its PRACK comes before it would be repeated. An INVITE that
    /// comes twice is answered twice.
    pub(crate) fn note_provisional(&mut self, seat: usize, bytes: &[u8]) {
        let owes = self.options.early.withholds.get(seat) == Some(&false);
        let twice = self.options.weather.duplicate > 0.0;
        if self.rough || twice || !owes || !bytes.starts_with(b"SIP/2.0 1") {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        let Some(number) = text.lines().find(|line| line.starts_with("RSeq:")) else { return };
        let name = format!("{seat} {} {number}", describe(bytes));
        if self.provisionals.contains(&name) {
            self.fail(format!("nobody has acknowledged {name}"));
        }
        self.provisionals.insert(name);
    }
}

/// Whether what the phone of a seat says is a PRACK that never arrives.
pub(crate) fn is_withheld(options: &Options, seat: usize, bytes: &[u8]) -> bool {
    let withholds = options.early.withholds.get(seat).is_some_and(|withholds| *withholds);
    (withholds || options.sabotage == Sabotage::PracksAreLost) && bytes.starts_with(b"PRACK ")
}
