//! Map for few entries: a sorted vector without spare capacity. A B-tree reserves room for eleven entries, which
//! every call would carry.

/// Sorted map for few entries.
#[derive(Debug, Clone)]
pub struct SmallMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> SmallMap<K, V> {
        SmallMap(Vec::new())
    }
}

impl<K: Ord + Copy, V> SmallMap<K, V> {
    /// Adds an entry. Returns the previous value of the key; `None` if it was new.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Removes an entry and returns its value; a map without entries uses no memory.
    pub fn remove(&mut self, key: K) -> Option<V> {
        let at = self.place(key).ok()?;
        let (_, value) = self.0.remove(at);
        if self.0.is_empty() {
            self.clear();
        }
        Some(value)
    }

    /// Returns the value of a key.
    pub fn get(&self, key: K) -> Option<&V> {
        self.place(key).ok().map(|at| &self.0[at].1)
    }

    /// Returns the value of a key for modification.
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.place(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Returns the lowest key; `None` if the map is empty.
    pub fn first(&self) -> Option<K> {
        self.0.first().map(|(key, _)| *key)
    }

    /// Returns whether there is an entry for a key.
    pub fn contains(&self, key: K) -> bool {
        self.place(key).is_ok()
    }

    /// Removes the entries for which `wanted` returns false.
    pub fn retain(&mut self, mut wanted: impl FnMut(K, &V) -> bool) {
        self.0.retain(|(key, value)| wanted(*key, value));
    }

    /// Iterates over the entries in order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    /// Iterates over the entries in order of keys, for modification.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (*key, value))
    }

    /// Iterates over the values in order of keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Returns the number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.0 = Vec::new();
    }

    fn place(&self, key: K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map() {
        let mut few = SmallMap::default();
        for (key, value) in [(5, 'e'), (1, 'x'), (3, 'c'), (1, 'a')] {
            few.insert(key, value);
        }
        assert_eq!(few.iter().map(|(key, value)| (key, *value)).collect::<Vec<_>>(), [(1, 'a'), (3, 'c'), (5, 'e')]);
        assert_eq!((few.get(3), few.get(4), few.contains(5), few.len()), (Some(&'c'), None, true, 3));
        assert_eq!((few.first(), few.remove(3), few.remove(3)), (Some(1), Some('c'), None));
        few.retain(|key, _| key > 1);
        assert_eq!(few.values().collect::<Vec<_>>(), [&'e']);
        few.clear();
        assert_eq!(few.len(), 0);
    }
}
