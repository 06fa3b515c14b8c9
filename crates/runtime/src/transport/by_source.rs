//! Connection counts per source address, so that one remote party cannot take all connections.

use std::collections::HashMap;
use std::net::IpAddr;

/// Connection counts by address; addresses without connections are not stored.
#[derive(Debug, Default)]
pub struct SourceCounts(HashMap<IpAddr, usize>);

impl SourceCounts {
    /// Counts a connection if `source` has fewer than `most`; returns whether it was counted.
    pub fn take(&mut self, source: IpAddr, most: usize) -> bool {
        let count = self.0.entry(source).or_default();
        let may = *count < most;
        *count += usize::from(may);
        may
    }

    /// Removes one connection from the count of `source`.
    pub fn give_back(&mut self, source: IpAddr) {
        if let Some(count) = self.0.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&source);
            }
        }
    }

    /// Returns the number of connections of `source`.
    pub fn count(&self, source: IpAddr) -> usize {
        self.0.get(&source).copied().unwrap_or_default()
    }

    /// Returns whether no address has a connection.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
