//! Suggestions for misspelled names, by edit distance.

/// Maximum edit distance between a word and its suggestion.
const MOST_SLIPS: usize = 4;

/// Returns the known word most similar to `word`, or else one that begins with `word`.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let length = word.chars().count();
    let allowed = (length / 3).clamp(1, MOST_SLIPS);
    let mut longer = known.clone().filter(|candidate| length >= 3 && candidate.starts_with(word));
    let lower = word.to_lowercase();
    known
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= allowed)
        .filter_map(|candidate| Some((distance(&lower, &candidate.to_lowercase(), allowed)?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
        .or_else(|| longer.next())
}

/// Returns the edit distance (insertions, deletions, replacements, swaps of neighbours) of two words, if at most
/// `allowed`.
fn distance(from: &str, to: &str, allowed: usize) -> Option<usize> {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let (mut before, mut last, mut row): (Vec<usize>, Vec<usize>, _) =
        (Vec::new(), (0..=to.len()).collect(), Vec::new());
    for i in 1..=from.len() {
        row.clear();
        row.push(i);
        for j in 1..=to.len() {
            let replaced = last[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        // From here on the distance only grows, except by a swap that reaches back by one row.
        if [&last, &row].iter().all(|row| row.iter().all(|slips| *slips > allowed)) {
            return None;
        }
        std::mem::swap(&mut before, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last.last().copied().filter(|slips| *slips <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_not() {
        let known = ["codecs", "peers", "ring_timeout", "max_calls"];
        for (word, expected) in [
            ("codec", Some("codecs")),
            ("Peers", Some("peers")),
            ("pears", Some("peers")),
            ("ring_timeuot", Some("ring_timeout")),
            ("maxcalls", Some("max_calls")),
            ("ring", Some("ring_timeout")),
            ("zebra", None),
            ("x", None),
            ("", None),
            ("max_callsmax_calls", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), expected, "{word}");
        }
    }
}
