//! Generated identifiers: Call-IDs, tags and branches. Each begins with edge, generation and shard, so that every
//! process of an edge can tell which process created it, and contains no address.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

/// Process that creates Call-IDs, tags and branches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ProcessIdentity {
    /// Hash of the edge's name, the same after a restart.
    pub edge: u32,
    /// Hash of start time and a random value, so that neither a restart nor another edge of the same name repeats an
    /// identifier.
    pub generation: u32,
    /// Signalling shard; 0 if there is only one.
    pub shard: u8,
}

/// Generator of identifiers, seeded once: from the operating system, or from the seed of a simulation.
#[derive(Debug, Clone)]
pub struct TokenSource {
    prefix: String,
    rng: ChaCha12Rng,
}

/// Prefix of every branch created by an RFC 3261 client (§8.1.1.7).
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

impl TokenSource {
    /// Creates a generator for `identity` with random parts from `seed`.
    pub fn new(identity: ProcessIdentity, seed: [u8; 32]) -> TokenSource {
        let prefix = format!("{:08x}{:08x}{:02x}", identity.edge, identity.generation, identity.shard);
        TokenSource { prefix, rng: ChaCha12Rng::from_seed(seed) }
    }

    /// Generates a tag (RFC 3261 §19.3): 18 characters of identity, then 64 random bits.
    pub fn tag(&mut self) -> String {
        let random: u64 = self.rng.random();
        format!("{}{random:016x}", self.prefix)
    }

    /// Generates a Call-ID: identity and 128 random bits, without a host part, which would reveal an address.
    pub fn call_id(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("{}{random:032x}", self.prefix)
    }

    /// Generates a branch (RFC 3261 §8.1.1.7).
    pub fn branch(&mut self) -> String {
        let random: u64 = self.rng.random();
        format!("{MAGIC_COOKIE}{}{random:016x}", self.prefix)
    }

    /// Generates a client nonce (RFC 7616 §3.4, `cnonce`): 128 random bits.
    pub fn nonce(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("{random:032x}")
    }

    /// Generates a signing key.
    pub(crate) fn key(&mut self) -> [u8; 32] {
        self.rng.random()
    }

    /// Returns whether this identity created an identifier (Call-ID, tag, or branch with or without the cookie).
    pub fn is_ours(&self, name: &[u8]) -> bool {
        name.strip_prefix(MAGIC_COOKIE.as_bytes()).unwrap_or(name).starts_with(self.prefix.as_bytes())
    }

    /// Returns whether a Via field of one or several entries contains a branch created by this identity.
    pub fn is_in(&self, via: &[u8]) -> bool {
        let mut at = memchr::memmem::find_iter(via, MAGIC_COOKIE.as_bytes());
        at.any(|start| via.get(start..).is_some_and(|branch| self.is_ours(branch)))
    }

    /// Returns a random number below `bound`, or 0 if `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 { 0 } else { self.rng.random_range(0..bound) }
    }
}
