//! Caller ID: the number that a trunk may show, the number sent to a target, and its replacement. A caller that wants
//! to be anonymous stays so: an identity of ours then accompanies an anonymous From with `Privacy: id`.
//!
//! Call loops are detected here too. For the next hop of a back-to-back user agent each INVITE is a new call, so Via
//! and Call-ID show no loop (RFC 3261 §16.3 step 4), and Max-Forwards ends one only after seventy rounds. Each edge
//! therefore adds a word of its own to a private header, by which it recognises the call.

use trunkgate_resources::limits::EDGES_PER_CALL;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_route::{CallerIdRule, Number};
use trunkgate_sip::{ExtraHeader, SipMessage};
use trunkgate_story::numbers::mask;

/// Status codes that may reject the caller ID: not allowed, anonymous, declined, or blocked by an analytics service.
pub(crate) const OF_CALLER_ID: [u16; 5] = [403, 433, 603, 607, 608];

/// Describes the caller ID of an INVITE for display: From, P-Asserted-Identity or its absence, and
/// P-Preferred-Identity, with masked numbers.
pub(crate) fn describe_caller_id(from: &str, headers: &[ExtraHeader]) -> Box<str> {
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

/// Caller ID on the way to one target.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallerIdPolicy<'a> {
    /// Number of the route, which replaces all numbers of the caller.
    pub(crate) own: Option<&'a Number>,
    /// Rule for numbers that the caller's trunk may show.
    pub(crate) from: Option<&'a CallerIdRule>,
    /// Rule for numbers that the target may see.
    pub(crate) to: Option<&'a CallerIdRule>,
    /// True if the target sees another number than the caller's.
    pub(crate) is_replaced: bool,
    /// True if the target sees no number.
    pub(crate) is_anonymous: bool,
}

impl<'a> CallerIdPolicy<'a> {
    /// Returns whether a number from the caller's side may be shown to the target.
    pub(crate) fn allows(&self, number: &str) -> bool {
        [self.from, self.to].into_iter().flatten().all(|rule| rule.allows(number))
    }

    /// Returns the number of the edge that replaces a missing or forbidden number of the caller.
    pub(crate) fn instead(&self) -> Option<&'a Number> {
        let default = |rule: Option<&'a CallerIdRule>| rule.and_then(|rule| rule.default.as_ref());
        let fits = |number: &&Number| self.to.is_none_or(|rule| rule.allows(&number.text));
        self.own.or(default(self.from)).filter(fits).or(default(self.to))
    }
}

/// Header with the words of the edges that a call has passed. The name has the prefix X-, because other systems relay
/// such headers more readily, and no product name.
pub(crate) const HOPS: &str = "X-Call-Hops";

/// Returns the nonce in a word of an edge.
pub(crate) fn nonce_of(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or_default()
}

/// Words added by earlier edges; allocates only if there are any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hops {
    pub(crate) words: Vec<u64>,
}

impl Hops {
    /// Reads the words from an INVITE; invalid ones are ignored.
    pub(crate) fn of(request: &SipMessage) -> Hops {
        let values = request.headers_named(HOPS).filter_map(|value| std::str::from_utf8(value).ok());
        let words = values.flat_map(|value| value.split(',')).filter_map(|word| word_of(word.trim()));
        // The limit itself is enough to detect too many.
        Hops { words: words.take(EDGES_PER_CALL).collect() }
    }
}

pub(crate) fn header(words: impl Iterator<Item = u64>) -> ExtraHeader {
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
            assert_eq!(&*describe_caller_id(from, &headers), shown);
        }
    }
}
