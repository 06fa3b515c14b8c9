//! How many connections each address has, so that one far end cannot take all.

use std::collections::HashMap;
use std::net::IpAddr;

/// Connections by address; nothing is kept of those that have none.
#[derive(Debug, Default)]
pub struct BySource(HashMap<IpAddr, usize>);

impl BySource {
    /// Counts one more, where `source` has fewer than `most`.
    pub fn take(&mut self, source: IpAddr, most: usize) -> bool {
        let count = self.0.entry(source).or_default();
        let may = *count < most;
        *count += usize::from(may);
        may
    }

    /// Counts one less.
    pub fn give_back(&mut self, source: IpAddr) {
        if let Some(count) = self.0.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&source);
            }
        }
    }

    /// How many `source` has.
    pub fn count(&self, source: IpAddr) -> usize {
        self.0.get(&source).copied().unwrap_or_default()
    }

    /// Whether nobody has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
