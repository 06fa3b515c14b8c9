//! SIDs of resources other than calls: two letters for the kind and 32 hexadecimal digits.

use std::io;

use rand::TryRng as _;

use crate::text::hex;

/// Returns a random SID with the two-letter prefix `kind`. Returns the system's error if random numbers are
/// unavailable.
pub fn random(kind: &str) -> io::Result<String> {
    let mut bytes = [0; 16];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(kind.to_owned() + &hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another_one_of_its_kind() {
        let (one, other) = (random("SM").unwrap(), random("SM").unwrap());
        assert!(one.len() == 34 && one.starts_with("SM") && one != other, "{one} {other}");
    }
}
