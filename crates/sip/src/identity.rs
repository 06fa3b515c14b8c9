//! The names we make: Call-IDs, tags and branches, each beginning with edge, generation and shard, so that any process
//! of an edge can tell whose a message is. They carry no address.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

/// Who made a Call-ID, tag or branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// A hash of the edge's name.
    pub edge: u32,
    /// Of the process's start and chance, so that neither a restart nor another edge of this name repeats a name.
    pub generation: u32,
    /// The signalling shard; 0 while there is one.
    pub shard: u8,
}

/// The source of fresh names: seeded once, from the operating system in production, from the seed in a simulation.
#[derive(Debug, Clone)]
pub struct TokenSource {
    prefix: String,
    rng: ChaCha12Rng,
}

/// RFC 3261 §8.1.1.7: every branch of an RFC 3261 client begins with this.
pub(crate) const MAGIC_COOKIE: &str = "z9hG4bK";

impl TokenSource {
    /// A source for `identity` whose random part comes from `seed`.
    pub fn new(identity: Identity, seed: [u8; 32]) -> TokenSource {
        let prefix = format!("{:08x}{:08x}{:02x}", identity.edge, identity.generation, identity.shard);
        TokenSource { prefix, rng: ChaCha12Rng::from_seed(seed) }
    }

    /// A tag (RFC 3261 §19.3): 18 characters of identity, then 64 random bits.
    pub fn tag(&mut self) -> String {
        let random: u64 = self.rng.random();
        format!("{}{random:016x}", self.prefix)
    }

    /// A Call-ID: identity and 128 random bits; no host part, since it would show one.
    pub fn call_id(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("{}{random:032x}", self.prefix)
    }

    /// A branch (RFC 3261 §8.1.1.7).
    pub fn branch(&mut self) -> String {
        let random: u64 = self.rng.random();
        format!("{MAGIC_COOKIE}{}{random:016x}", self.prefix)
    }

    /// A nonce of ours as a client (RFC 7616 §3.4, `cnonce`): 128 random bits and nothing else.
    pub fn nonce(&mut self) -> String {
        let random: u128 = self.rng.random();
        format!("{random:032x}")
    }

    /// A key to sign with.
    pub(crate) fn key(&mut self) -> [u8; 32] {
        self.rng.random()
    }

    /// Whether a name (Call-ID, tag, or branch with or without the cookie) was made by this identity.
    pub fn is_ours(&self, name: &[u8]) -> bool {
        name.strip_prefix(MAGIC_COOKIE.as_bytes()).unwrap_or(name).starts_with(self.prefix.as_bytes())
    }

    /// Whether a Via field, one entry or several, has a branch of this identity's making.
    pub fn is_in(&self, via: &[u8]) -> bool {
        let mut at = memchr::memmem::find_iter(via, MAGIC_COOKIE.as_bytes());
        at.any(|start| via.get(start..).is_some_and(|branch| self.is_ours(branch)))
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 { 0 } else { self.rng.random_range(0..bound) }
    }
}
