//! Reliable provisional responses (RFC 3262): which phones support them, and which never send the PRACK.

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;

use super::{Sabotage, SeedOptions};

/// Reliable provisional responses of each phone, in the order of seats.
#[derive(Debug, Clone, Copy)]
pub struct ProvisionalOptions {
    /// Whether the phone supports reliable provisional responses.
    pub knows: [bool; 5],
    /// Whether the network loses the PRACKs of the phone.
    pub withholds: [bool; 5],
}

impl ProvisionalOptions {
    /// Draws the behaviour of all phones for a seed.
    pub(crate) fn draw(rng: &mut ChaCha12Rng) -> ProvisionalOptions {
        ProvisionalOptions {
            knows: [(); 5].map(|()| rng.random_bool(0.5)),
            withholds: [(); 5].map(|()| rng.random_bool(0.05)),
        }
    }
}

/// Returns whether the phone of a seat supports reliable provisional responses.
pub(crate) fn knows(options: &SeedOptions, seat: usize) -> bool {
    options.early.knows.get(seat).is_some_and(|knows| *knows)
}

/// Returns whether a message of a seat's phone is a PRACK that is lost.
pub(crate) fn is_withheld(options: &SeedOptions, seat: usize, bytes: &[u8]) -> bool {
    let withholds = options.early.withholds.get(seat).is_some_and(|withholds| *withholds);
    (withholds || options.sabotage == Sabotage::PracksAreLost) && bytes.starts_with(b"PRACK ")
}
