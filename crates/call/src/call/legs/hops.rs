//! Edges that a call has been through. To whoever gets the INVITE of a back-to-back user agent it is a new call: by Via and
//! Call-ID no loop can be seen (RFC 3261 §16.3 step 4), and Max-Forwards ends one after seventy rounds. So each edge adds a
//! word to a header of its own, by which only itself knows the call again.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::EDGES_PER_CALL;
use trunkgate_resources::sip::extra;
use trunkgate_sip::{Extra, Message};
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::search::answer::FinalAnswer;

/// The header. With X-, as systems between two edges pass such headers on more readily than others.
pub(crate) const HOPS: &str = "X-Trunkgate-Hops";

/// The words that edges before this one have added; no memory where none has.
#[derive(Debug, Default)]
pub(crate) struct Hops {
    words: Vec<u64>,
}

impl Hops {
    /// What an INVITE brings; what is no word of an edge's does not count.
    pub(crate) fn of(request: &Message) -> Hops {
        let values = request.headers_named(HOPS).filter_map(|value| std::str::from_utf8(value).ok());
        let words = values.flat_map(|value| value.split(',')).filter_map(|word| word_of(word.trim()));
        // One more shows that there are too many.
        Hops { words: words.take(EDGES_PER_CALL).collect() }
    }
}

fn word_of(text: &str) -> Option<u64> {
    let is_one = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_one { u64::from_str_radix(text, 16).ok() } else { None }
}

impl Call {
    /// 482 for a call that this edge has sent on, and that comes by the same trunk, of the same caller, to the same number:
    /// it would go the same way again. One that comes back to another number, or from where it went, has been forwarded.
    pub(crate) fn not_again(&self, edge: &Edge) -> Result<(), FinalAnswer> {
        if self.facts.hops.words.contains(&self.own_hop(edge)) {
            return Err(FinalAnswer::new(482, ReasonSlug::Loop));
        }
        match self.facts.hops.words.len() < EDGES_PER_CALL {
            true => Ok(()),
            false => Err(FinalAnswer::new(483, ReasonSlug::TooManyHops)),
        }
    }

    /// The header for whoever is called.
    pub(crate) fn hops_onward(&self, edge: &Edge) -> Extra {
        let words = self.facts.hops.words.iter().copied().chain([self.own_hop(edge)]);
        extra(HOPS, words.map(|word| format!("{word:016x}")).collect::<Vec<_>>().join(","))
    }

    /// This edge's word for this call: of what its way depends on. It tells nobody else anything.
    fn own_hop(&self, edge: &Edge) -> u64 {
        let mut hasher = DefaultHasher::new();
        edge.hop_key.hash(&mut hasher);
        self.legs[LegId::CALLER].trunk_name().hash(&mut hasher);
        self.facts.called.text.hash(&mut hasher);
        self.facts.caller.number.text.hash(&mut hasher);
        hasher.finish()
    }
}
