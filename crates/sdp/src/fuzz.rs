//! Bodies of the fuzz targets, here so that an ordinary test can replay them.

use std::net::{IpAddr, Ipv4Addr};

use crate::description::Description;
use crate::limits;
use crate::negotiate::{Identity, Policy, relay_offer};

/// Any bytes: read, turned into our offer, written, read again.
///
/// # Panics
/// Where a description of ours does not read back as it was.
pub fn offer(data: &[u8]) {
    let Ok(offer) = Description::parse(data) else { return };
    let policy = Policy { codecs: vec!["PCMU".to_owned(), "PCMA".to_owned()] };
    let identity = Identity { session_id: 1, version: 1, ip: IpAddr::V4(Ipv4Addr::LOCALHOST) };
    let Ok(ours) = relay_offer(&offer, &policy, &[16384, 16386, 16388, 16390], &identity) else { return };
    let text = ours.to_string();
    if text.len() <= limits::BYTES {
        assert_eq!(Description::parse(text.as_bytes()), Ok(ours));
    }
}
