//! Hosts of Twilio that the edge serves, and their name resolution. If a hosts entry or DNS alias directs clients of
//! api.twilio.com to the edge, the edge must not connect to itself. Other hosts of Twilio are resolved like any host.

use std::io;
use std::net::SocketAddr;

use super::{dns, interfaces};

/// Domain of Twilio's hosts.
pub const DOMAIN: &str = "twilio.com";
/// Host of Twilio's API without edge location and region, which all libraries use.
pub const API: &str = "api.twilio.com";
/// Host of Twilio's Lookup API.
pub const LOOKUPS: &str = "lookups.twilio.com";
/// Hosts of Twilio that the edge serves.
pub const SERVED: [&str; 2] = [API, LOOKUPS];
/// Port of Twilio's APIs.
pub const HTTPS: u16 = 443;

/// Returns whether a name in lower case is below [`DOMAIN`].
pub fn is_below_domain(name: &str) -> bool {
    name.strip_suffix(DOMAIN).is_some_and(|before| before.ends_with('.'))
}

/// Returns whether a name in lower case is a host that the edge serves, also with a region, or with edge location and
/// region: `api.dublin.ie1.twilio.com`.
pub fn is_served(name: &str) -> bool {
    let Some(labels) = name.strip_suffix(DOMAIN).and_then(|before| before.strip_suffix('.')) else { return false };
    let mut labels = labels.split('.');
    let is_host = |first: &str| SERVED.iter().any(|host| host.split('.').next() == Some(first));
    labels.next().is_some_and(is_host) && labels.count() <= 2
}

/// Returns whether a host as written in a URL is one that the edge serves.
pub(crate) fn is_served_host(host: &str) -> bool {
    is_served(&host.trim_end_matches('.').to_ascii_lowercase())
}

/// Returns addresses of a served host that do not belong to this machine: `found` if none in it does, otherwise the
/// other ones known to the DNS servers, which ignore the hosts file.
///
/// # Errors
/// Returns an error if there is no such address.
pub(crate) async fn elsewhere(host: &str, found: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
    if found.iter().all(|address| !interfaces::has(address.ip().to_canonical())) {
        return Ok(found);
    }
    let port = found.first().map_or(0, SocketAddr::port);
    let answered = dns::addresses_by_servers(host).await?;
    let elsewhere: Vec<SocketAddr> = answered
        .into_iter()
        .filter(|ip| !interfaces::has(ip.to_canonical()))
        .map(|ip| SocketAddr::new(ip, port))
        .collect();
    if elsewhere.is_empty() {
        let what =
            format!("{host} leads to this machine, by its hosts file or a DNS alias, and DNS has no other address");
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    Ok(elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_served_hosts_are_resolved_elsewhere() {
        for host in ["api.twilio.com", "API.Twilio.com", "api.twilio.com.", "lookups.ie1.twilio.com"] {
            assert!(is_served_host(host), "{host}");
        }
        for host in ["twilio.com", "demo.twilio.com", "nottwilio.com", "twilio.com.example.com", "api.twilio", ""] {
            assert!(!is_served_host(host), "{host}");
        }
    }

    #[test]
    fn the_api_and_lookup_are_served_in_every_region() {
        for host in SERVED.into_iter().chain(["api.ie1.twilio.com", "lookups.dublin.ie1.twilio.com"]) {
            assert!(is_served(host), "{host}");
        }
        for host in [
            "twilio.com",
            "verify.twilio.com",
            "api.a.b.c.twilio.com",
            "xlookups.twilio.com",
            "lookups.nottwilio.com",
            "lookups.twilio.com.example.com",
            "",
        ] {
            assert!(!is_served(host), "{host}");
        }
    }

    #[tokio::test]
    async fn addresses_elsewhere_are_taken_as_they_were_found() {
        let found = vec!["192.0.2.1:443".parse().unwrap()];
        assert_eq!(elsewhere("api.twilio.com", found.clone()).await.unwrap(), found);
    }
}
