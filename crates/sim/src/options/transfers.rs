//! Transfers by REFER (RFC 3515): settings of trunks, and behaviour of phones.

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use trunkgate_phone::ReferResponse;
use trunkgate_route::ReferMode;

/// Transfer settings drawn from a seed.
#[derive(Debug, Clone, Copy)]
pub struct TransferOptions {
    /// Treatment of a REFER by the edge, for the carrier and each trunk in order.
    pub modes: [ReferMode; 3],
    /// Treatment of a REFER by each phone, in the order of seats.
    pub phones: [ReferResponse; 5],
}

impl TransferOptions {
    /// Draws the transfer settings and the phones' behaviour for a seed.
    pub(crate) fn draw(rng: &mut ChaCha12Rng) -> TransferOptions {
        let mode = |rng: &mut ChaCha12Rng| match rng.random_range(0..10) {
            0..6 => ReferMode::Local,
            6..9 => ReferMode::Relay,
            _ => ReferMode::Refuse,
        };
        let referred = |rng: &mut ChaCha12Rng| match rng.random_range(0..10) {
            0..4 => ReferResponse::Tells(200),
            4..7 => ReferResponse::Tells(486),
            7..9 => ReferResponse::Silent,
            _ => ReferResponse::Refuses,
        };
        TransferOptions { modes: [(); 3].map(|()| mode(rng)), phones: [(); 5].map(|()| referred(rng)) }
    }
}
