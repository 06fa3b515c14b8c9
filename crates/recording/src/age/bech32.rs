//! Bech32 (BIP 173) without its length limit, as used for age keys.

const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
const CHECKSUM: usize = 6;

fn polymod(values: impl Iterator<Item = u8>) -> u32 {
    values.fold(1, |sum: u32, value| {
        let top = sum >> 25;
        let next = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        GENERATOR.iter().enumerate().fold(next, |sum, (bit, part)| if top >> bit & 1 == 1 { sum ^ part } else { sum })
    })
}

fn prefix_values(prefix: &str) -> impl Iterator<Item = u8> + '_ {
    prefix.bytes().map(|byte| byte >> 5).chain([0]).chain(prefix.bytes().map(|byte| byte & 31))
}

/// Encodes 32 bytes in lower case.
pub(super) fn encode(prefix: &str, bytes: &[u8; 32]) -> String {
    let mut values = Vec::new();
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            values.push((held >> bits & 31) as u8);
        }
    }
    if bits > 0 {
        values.push((held << (5 - bits) & 31) as u8);
    }
    let sum = polymod(prefix_values(prefix).chain(values.iter().copied()).chain([0; CHECKSUM])) ^ 1;
    values.extend((0..CHECKSUM as u32).map(|at| (sum >> (5 * (5 - at)) & 31) as u8));
    let digits = values.iter().filter_map(|value| CHARSET.get(usize::from(*value))).map(|digit| char::from(*digit));
    prefix.chars().chain(['1']).chain(digits).collect()
}

/// Decodes 32 bytes after a lower-case prefix; `None` if the text is invalid.
pub(super) fn decode(prefix: &str, text: &str) -> Option<[u8; 32]> {
    if text.bytes().any(|byte| byte.is_ascii_lowercase()) && text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let digits = text.strip_prefix(prefix)?.strip_prefix('1')?;
    let value = |byte: u8| CHARSET.iter().position(|digit| *digit == byte).map(|at| at as u8);
    let values: Vec<u8> = digits.bytes().map(value).collect::<Option<_>>()?;
    if polymod(prefix_values(prefix).chain(values.iter().copied())) != 1 {
        return None;
    }
    let values = values.get(..values.len().checked_sub(CHECKSUM)?)?;
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for value in values {
        held = (held << 5 | u32::from(*value)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    // The remaining bits of the last digit must be zero.
    (bits < 5 && held & ((1 << bits) - 1) == 0).then_some(())?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_written_and_damage_is_seen() {
        let text = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
        let bytes = decode("age", text).unwrap();
        assert_eq!(encode("age", &bytes), text);
        assert_eq!(decode("age", &text.to_uppercase()), Some(bytes));
        for at in 0..text.len() {
            let mut damaged = text.to_owned();
            damaged.replace_range(at..=at, if &text[at..=at] == "q" { "p" } else { "q" });
            assert_eq!(decode("age", &damaged), None, "{damaged}");
        }
        assert_eq!(decode("age", "age1"), None);
        assert_eq!(decode("age", &text.replace("zvk", "Zvk")), None);
    }
}
