//! Transfers by REFER (RFC 3515): what trunks may do, and what phones do with one.

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use trunkgate_phone::Referred;
use trunkgate_route::ReferMode;

/// What a seed says of transfers.
#[derive(Debug, Clone, Copy)]
pub struct Transfers {
    /// What the edge does with a REFER of the carrier and of each trunk.
    pub modes: [ReferMode; 3],
    /// What each phone does with one, in the order of their seats.
    pub phones: [Referred; 5],
}

impl Transfers {
    /// What a seed says.
    pub(crate) fn draw(rng: &mut ChaCha12Rng) -> Transfers {
        let mode = |rng: &mut ChaCha12Rng| match rng.random_range(0..10) {
            0..6 => ReferMode::Local,
            6..9 => ReferMode::Relay,
            _ => ReferMode::Refuse,
        };
        let referred = |rng: &mut ChaCha12Rng| match rng.random_range(0..10) {
            0..4 => Referred::Tells(200),
            4..7 => Referred::Tells(486),
            7..9 => Referred::Silent,
            _ => Referred::Refuses,
        };
        Transfers { modes: [(); 3].map(|()| mode(rng)), phones: [(); 5].map(|()| referred(rng)) }
    }
}
