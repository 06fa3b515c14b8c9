//! Releases the memory of hash tables that are nearly empty after a flood.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Capacity to which a table is never reduced, in entries.
const ROOM_KEPT: usize = 1_024;

/// Shrinks a table to twice its entries if its capacity is more than eight times as large. Called after each timeout;
/// shrinking itself is rare, so the cost is negligible.
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
