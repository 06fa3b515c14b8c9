//! The identity of the caller: the number that a trunk may show, the number that a target is shown, and what replaces it. A caller
//! that wants to be anonymous stays so: an identity of ours goes beside an anonymous From, under `Privacy: id`.
//!
//! Loops are seen here as well. To the next hop of a back-to-back user agent an INVITE is a new call: Via and Call-ID show no loop (RFC 3261
//! §16.3 step 4), and Max-Forwards ends one only after seventy rounds. So each edge adds a word to a header of its own, by which it alone
//! recognises the call.

use trunkgate_resources::limits::EDGES_PER_CALL;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_route::{CallerIdRule, Number};
use trunkgate_sip::{Extra, Message};
use trunkgate_story::numbers::mask;

/// Codes with which a far end rejects a call for its caller ID: not allowed, anonymous, declined or blocked by an analytics service.
pub(crate) const OF_CALLER_ID: [u16; 5] = [403, 433, 603, 607, 608];

/// Returns the caller ID of an INVITE to a target for people: From, P-Asserted-Identity or that there is none, and P-Preferred-Identity;
/// numbers are masked.
pub(crate) fn sent(from: &str, headers: &[Extra]) -> Box<str> {
    let user = |value: &str| {
        let uri = value.rsplit_once('<').map_or(value, |(_, uri)| uri);
        let user = uri.split_once(':').map_or(uri, |(_, rest)| rest);
        mask(user.split(['@', '>', ';']).next().unwrap_or_default())
    };
    let users = |name: &str| -> Vec<String> {
        headers.iter().filter(|one| one.name.eq_ignore_ascii_case(name)).map(|one| user(&one.value)).collect()
    };
    let (asserted, preferred) = (users("P-Asserted-Identity"), users("P-Preferred-Identity"));
    let asserted = match asserted.is_empty() {
        true => "no P-Asserted-Identity".to_owned(),
        false => format!("P-Asserted-Identity {}", asserted.join(" and ")),
    };
    let preferred: String = preferred.iter().map(|user| format!(", P-Preferred-Identity {user}")).collect();
    format!("From {}, {asserted}{preferred}", user(from)).into()
}

/// What is shown of a caller on the way to one target.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Showing<'a> {
    /// The route's number, in the place of every one of the caller's.
    pub(crate) own: Option<&'a Number>,
    /// What the caller's trunk may show.
    pub(crate) from: Option<&'a CallerIdRule>,
    /// What the target may be shown.
    pub(crate) to: Option<&'a CallerIdRule>,
    /// The target sees another number than the caller has.
    pub(crate) is_replaced: bool,
    /// The target sees no number.
    pub(crate) is_anonymous: bool,
}

impl<'a> Showing<'a> {
    /// Whether a number that the caller's side names may be shown.
    pub(crate) fn allows(&self, number: &str) -> bool {
        [self.from, self.to].into_iter().flatten().all(|rule| rule.allows(number))
    }
    /// The number of ours that stands for a caller without one that may be shown.
    pub(crate) fn instead(&self) -> Option<&'a Number> {
        let default = |rule: Option<&'a CallerIdRule>| rule.and_then(|rule| rule.default.as_ref());
        let fits = |number: &&Number| self.to.is_none_or(|rule| rule.allows(&number.text));
        self.own.or(default(self.from)).filter(fits).or(default(self.to))
    }
}

/// Header with the words of the edges that a call has passed: with X-, as systems between two edges pass such headers on more readily than
/// others, and without the name of a product, which the other side need not learn.
pub(crate) const HOPS: &str = "X-Call-Hops";

/// Returns the nonce in a word of an edge.
pub(crate) fn nonce_of(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or_default()
}

/// The words that edges before this one have added; no memory where none has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hops {
    pub(crate) words: Vec<u64>,
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

pub(crate) fn header(words: impl Iterator<Item = u64>) -> Extra {
    extra(HOPS, words.map(|word| format!("{word:016x}")).collect::<Vec<_>>().join(","))
}

fn word_of(text: &str) -> Option<u64> {
    let is_one = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_one { u64::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_id_sent_is_masked_and_has_the_form_in_which_it_left() {
        let asserted = extra("P-Asserted-Identity", "\"Al <i>\" <sip:14155550100@192.0.2.1;user=phone>");
        for (from, headers, shown) in [
            ("\"A: b\" <sip:+14155551234@192.0.2.1>", vec![], "From +1415****234, no P-Asserted-Identity"),
            ("<sip:anonymous@anonymous.invalid>", vec![asserted], "From anonymous, P-Asserted-Identity 14155****100"),
            (
                "<sip:100@h>",
                vec![extra("P-Asserted-Identity", "<tel:+14155550100>")],
                "From 100, P-Asserted-Identity +1415****100",
            ),
        ] {
            assert_eq!(&*sent(from, &headers), shown);
        }
    }
}
