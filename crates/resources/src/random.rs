//! What is drawn at random: identifiers, keys, orders. One generator, which a seed determines.

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_media::RawSpec;
use trunkgate_route::{Server, locate};

/// The generator of an edge, with the key that it knows its own hops by.
#[derive(Debug)]
pub struct Random {
    /// Everything random is drawn from here.
    pub rng: ChaCha12Rng,
    /// The secret by which this edge recognises its own hops.
    pub hop_key: u64,
}

impl Random {
    /// Returns the generator of this seed.
    pub fn new(seed: [u8; 32]) -> Random {
        // Drawn beside everything else, so that nothing that is shown tells of it.
        let mut beside = ChaCha12Rng::from_seed(seed);
        beside.set_stream(1);
        Random { rng: ChaCha12Rng::from_seed(seed), hop_key: beside.random() }
    }

    /// A number from 0 to 1.
    pub fn chance(&mut self) -> f64 {
        self.rng.random()
    }

    /// A number below another.
    pub fn below(&mut self, total: u32) -> u32 {
        pick(&mut self.rng)(total)
    }

    /// Servers in the order to try them (RFC 2782).
    pub fn in_order(&mut self, servers: &[Server]) -> Vec<Server> {
        locate::in_order(servers, &mut pick(&mut self.rng))
    }

    /// A new sid.
    pub fn sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("CA{random:032x}")
    }

    /// Sources of a listener that gets plain RTP.
    pub fn raw_sources(&mut self) -> RawSpec {
        let inbound: u32 = self.rng.random();
        // Another one in any case.
        RawSpec { inbound, outbound: inbound.wrapping_add(1) }
    }

    /// A new stream's sid.
    pub fn stream_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("MZ{random:032x}")
    }

    /// Returns the SID of a new live transcription.
    pub fn transcript_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("GT{random:032x}")
    }

    /// A new recording's sid.
    pub fn recording_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("RE{random:032x}")
    }

    /// Returns a new conference's SID.
    pub fn conference_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("CF{random:032x}")
    }

    /// Returns a new queue's SID.
    pub fn queue_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("QU{random:032x}")
    }

    /// Returns the SID of a recording by servers that a document asks for.
    pub fn siprec_sid(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("SR{random:032x}")
    }

    /// Returns a new boundary of a multipart body (RFC 2046 §5.1.1): no text of a remote party can contain it.
    pub fn boundary(&mut self) -> String {
        let mut bytes = [0; 12];
        self.draw(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Fills a key.
    pub fn draw(&mut self, bytes: &mut [u8]) {
        self.rng.fill_bytes(bytes);
    }

    /// One of these.
    pub fn any_of(&mut self, numbers: std::ops::RangeInclusive<u64>) -> u64 {
        self.rng.random_range(numbers)
    }

    /// A session id for `o=` (RFC 8866 §5.2): below 2⁶³, as some read it as signed.
    pub fn session_id(&mut self) -> u64 {
        self.rng.random::<u64>() >> 1
    }

    /// What a media session makes other names in RTCP with.
    pub fn names_key(&mut self) -> [u8; 16] {
        self.rng.random()
    }
}

/// Numbers by chance, below what is asked for.
pub fn pick(rng: &mut ChaCha12Rng) -> impl FnMut(u32) -> u32 {
    |total| rng.random_range(0..total.max(1))
}
