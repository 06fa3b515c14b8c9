//! `trunkgate twilio hosts`: prints a line for a hosts file that directs requests of any program for api.twilio.com and
//! lookups.twilio.com to the edge's TLS listener.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use url::{Host, Url};

use crate::cli::TwilioHosts;
use crate::client;
use trunkgate_system::twilio_hosts::{HTTPS, SERVED};

/// Prints the line for the hosts file.
pub(super) fn run(config: Option<&Path>, options: &TwilioHosts) -> ExitCode {
    client::talk(config, &options.remote, async |edge| {
        let status = edge.status().await?;
        let listener = status["api_tls"].as_str().and_then(|address| address.parse().ok());
        let listener =
            listener.ok_or("this edge has no `tls` in [api]: add tls = \"127.0.0.1:443\", and restart it")?;
        let address = match options.address {
            Some(address) => address,
            None => reached_at(listener, edge.base())?,
        };
        line(listener, address)
    })
}

/// Returns the address at which clients reach a listener: its own address, or the edge's if it is bound to all
/// addresses.
///
/// # Errors
/// Returns a message if the listener is bound to all addresses, and `base` has no IP address.
fn reached_at(listener: SocketAddr, base: &str) -> Result<IpAddr, String> {
    if !listener.ip().is_unspecified() {
        return Ok(listener.ip());
    }
    let url = Url::parse(base).map_err(|error| format!("{base}: {error}"))?;
    match url.host() {
        Some(Host::Ipv4(ip)) => Ok(ip.into()),
        Some(Host::Ipv6(ip)) => Ok(ip.into()),
        Some(Host::Domain("localhost")) => Ok(Ipv4Addr::LOCALHOST.into()),
        Some(Host::Domain(_)) | None => {
            Err(format!("{listener} is bound to all addresses: name one with --address IP"))
        }
    }
}

fn line(listener: SocketAddr, address: IpAddr) -> Result<String, String> {
    if listener.port() != HTTPS {
        return Err(format!("[api] tls is {listener}: a hosts file has no ports, so it must be on port {HTTPS}"));
    }
    Ok(format!("{address} {}\n", SERVED.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_where_the_edge_was_asked() {
        let reached = |listener: &str, base: &str| {
            let listener = listener.parse().unwrap();
            reached_at(listener, base).and_then(|address| line(listener, address))
        };
        for (listener, base, address) in [
            ("127.0.0.2:443", "http://127.0.0.1:8080", "127.0.0.2"),
            ("0.0.0.0:443", "http://127.0.0.1:8080", "127.0.0.1"),
            ("0.0.0.0:443", "http://localhost:8080", "127.0.0.1"),
            ("[::]:443", "https://[2001:db8::7]:8080", "2001:db8::7"),
        ] {
            assert_eq!(reached(listener, base), Ok(format!("{address} api.twilio.com lookups.twilio.com\n")));
        }
        assert!(reached("0.0.0.0:443", "https://edge.example.com").unwrap_err().contains("--address IP"));
        assert!(reached("127.0.0.1:8443", "http://127.0.0.1:8080").unwrap_err().contains("must be on port 443"));
    }
}
