//! Room in tables: one that is nearly empty after a flood gives its memory back.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// A table keeps room for so many.
const ROOM_KEPT: usize = 1_024;

/// Shrinks a table that has room for eight times as many entries as it holds. The endpoint calls it whenever a deadline has
/// passed; it shrinks so seldom that it costs nothing.
pub(crate) fn shrink<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    let wanted = (2 * table.len()).max(ROOM_KEPT);
    if table.capacity() > 4 * wanted {
        table.shrink_to(wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_its_room_back() {
        let mut table: HashMap<u32, [u64; 64]> = (0..100_000).map(|n| (n, [0; 64])).collect();
        for n in 0..100_000 {
            table.remove(&n);
            shrink(&mut table);
            assert!(table.capacity() <= (16 * table.len()).max(8 * ROOM_KEPT), "{n}");
        }
    }
}
