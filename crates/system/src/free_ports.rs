//! Search for free media ports, for an edge that runs on loopback for a short time, as in a test.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use anyhow::bail;

/// First and last port of the search, below the ephemeral range.
const SEARCH: (u16, u16) = (16_384, 32_000);

/// Returns the first of `count` consecutive UDP ports that are free on the loopback address. They are not reserved.
///
/// # Errors
/// Returns an error if the search range has no such ports.
pub fn free_ports(count: u16) -> anyhow::Result<u16> {
    let free = |first: u16| {
        let bound: Vec<_> = (first..first + count)
            .map_while(|port| UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok())
            .collect();
        bound.len() == usize::from(count)
    };
    // Concurrent searches begin at different ports.
    let (low, high) = SEARCH;
    let runs = (high - low) / count.max(1);
    let begin = (std::process::id() % u32::from(runs.max(1))) as u16;
    let found = (0..runs).map(|n| low + (begin + n) % runs * count).find(|first| free(*first));
    match found {
        Some(first) => Ok(first),
        None => bail!("no {count} free UDP ports in a row between {low} and {high} on 127.0.0.1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_free_ports_is_found_and_is_even() {
        let first = free_ports(32).unwrap();
        assert!(first.is_multiple_of(2) && first >= SEARCH.0);
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert_ne!(free_ports(32).unwrap(), first);
        drop(taken);
        assert!(free_ports(u16::MAX / 2).is_err());
    }
}
