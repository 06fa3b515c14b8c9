//! Provisional answers that are acknowledged (RFC 3262): which phones know them, and who never sends the PRACK that it owes.

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

use super::{Options, Sabotage};

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

/// Whether what the phone of a seat says is a PRACK that never arrives.
pub(crate) fn is_withheld(options: &Options, seat: usize, bytes: &[u8]) -> bool {
    let withholds = options.early.withholds.get(seat).is_some_and(|withholds| *withholds);
    (withholds || options.sabotage == Sabotage::PracksAreLost) && bytes.starts_with(b"PRACK ")
}
