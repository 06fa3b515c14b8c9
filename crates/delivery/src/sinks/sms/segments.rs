//! Number of SMS segments needed for a text (3GPP TS 23.038, TS 23.040).

/// Characters of the GSM 7-bit alphabet.
const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Characters of the GSM extension table, which need an escape character.
const ESCAPED: &str = "\u{c}^{}\\[~]|€";

/// Returns the number of segments of a text; an empty one has one segment.
pub fn segments(text: &str) -> usize {
    // (size of a single segment, size of each segment of several, width of each character)
    let gsm: Option<Vec<usize>> = text.chars().map(septets).collect();
    let (alone, each, widths) = match gsm {
        Some(widths) => (160, 153, widths),
        None => (70, 67, text.chars().map(char::len_utf16).collect()),
    };
    if widths.iter().sum::<usize>() <= alone {
        return 1;
    }
    // No character is split across segments.
    let (mut count, mut used) = (1, 0);
    for width in widths {
        if used + width > each {
            (count, used) = (count + 1, 0);
        }
        used += width;
    }
    count
}

fn septets(c: char) -> Option<usize> {
    match (GSM.contains(c), ESCAPED.contains(c)) {
        (true, _) => Some(1),
        (false, true) => Some(2),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_counted_by_alphabet() {
        for (text, expected) in [
            (String::new(), 1),
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            ("a".repeat(152) + "€" + &"a".repeat(100), 2),
            ("ж".repeat(70), 1),
            ("ж".repeat(71), 2),
            ("😀".repeat(35), 1),
            ("😀".repeat(36), 2),
        ] {
            assert_eq!(segments(&text), expected, "{text}");
        }
    }
}
