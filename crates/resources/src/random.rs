//! Random identifiers, keys and orders, all drawn from one seeded generator.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_media::RawSpec;
use trunkgate_route::{DestinationServer, locate};

/// Random generator of an edge, and the key that marks the edge's own hops.
#[derive(Debug)]
pub struct Random {
    /// Generator of all random values.
    pub rng: ChaCha12Rng,
    /// Secret by which this edge recognises its own hops.
    pub hop_key: u64,
}

impl Random {
    /// Returns the generator for a seed.
    pub fn new(seed: [u8; 32]) -> Random {
        // The hop key is drawn from a separate stream, so that no visible value depends on it.
        let mut beside = ChaCha12Rng::from_seed(seed);
        beside.set_stream(1);
        Random { rng: ChaCha12Rng::from_seed(seed), hop_key: beside.random() }
    }

    /// Returns a number in `0.0..1.0`.
    pub fn chance(&mut self) -> f64 {
        self.rng.random()
    }

    /// Returns a number below `total`; 0 if `total` is 0.
    pub fn below(&mut self, total: u32) -> u32 {
        pick(&mut self.rng)(total)
    }

    /// Returns servers in the order in which to try them (RFC 2782).
    pub fn in_order(&mut self, servers: &[DestinationServer]) -> Vec<DestinationServer> {
        locate::in_order(servers, &mut pick(&mut self.rng))
    }

    /// Returns a new call SID.
    pub fn sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("CA{random:032x}")
    }

    /// Returns the two SSRCs of a listener that receives plain RTP.
    pub fn raw_sources(&mut self) -> RawSpec {
        let inbound: u32 = self.rng.random();
        // The second SSRC always differs from the first.
        RawSpec { inbound, outbound: inbound.wrapping_add(1) }
    }

    /// Returns a new stream SID.
    pub fn stream_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("MZ{random:032x}")
    }

    /// Returns a new SID of a live transcription.
    pub fn transcript_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("GT{random:032x}")
    }

    /// Returns a new recording SID.
    pub fn recording_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("RE{random:032x}")
    }

    /// Returns a new conference SID.
    pub fn conference_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("CF{random:032x}")
    }

    /// Returns a new queue SID.
    pub fn queue_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("QU{random:032x}")
    }

    /// Returns a new SID of a SIPREC recording requested by a document.
    pub fn siprec_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("SR{random:032x}")
    }

    /// Returns a new boundary of a multipart body (RFC 2046 §5.1.1), which no remote party can predict.
    pub fn boundary(&mut self) -> String {
        let mut bytes = [0; 12];
        self.draw(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Fills a buffer with random bytes, for a key.
    pub fn draw(&mut self, bytes: &mut [u8]) {
        self.rng.fill_bytes(bytes);
    }

    /// Returns a number in the given range.
    pub fn any_of(&mut self, numbers: std::ops::RangeInclusive<u64>) -> u64 {
        self.rng.random_range(numbers)
    }

    /// Returns a session id for `o=` (RFC 8866 §5.2), below 2⁶³ because some implementations read it as signed.
    pub fn session_id(&mut self) -> u64 {
        self.rng.random::<u64>() >> 1
    }

    /// Returns the key from which a media session derives its CNAMEs in RTCP.
    pub fn names_key(&mut self) -> [u8; 16] {
        self.rng.random()
    }
}

/// Returns a function that draws a number below its argument, and 0 for the argument 0.
pub fn pick(rng: &mut ChaCha12Rng) -> impl FnMut(u32) -> u32 {
    |total| rng.random_range(0..total.max(1))
}
