//! Hosts api.twilio.com and lookups.twilio.com on this machine: whether a hosts entry or DNS alias directs programs to
//! `[api] tls`, and whether the system trusts the edge's CA.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::Report;
use crate::findings::{Finding, Level};
use trunkgate_config::Config;
use trunkgate_system::connector::Connector;
use trunkgate_system::limits::{CONNECT_SECONDS, LOOKUP_SECONDS};
use trunkgate_system::twilio_hosts::{API, HTTPS, LOOKUPS};
use trunkgate_system::{interfaces, web};

/// Name of the finding.
const LINE: &str = "twilio hosts";

/// Returns the findings about Twilio's hosts; empty unless the API is enabled and clients are, or could be, directed to
/// the edge.
pub(super) async fn examine(config: &Config, report: &Report) -> Vec<Finding> {
    if config.api.auth_token.is_none() || !report.wants(LINE) {
        return Vec::new();
    }
    let led_to = led_here(addresses_of(API).await);
    let found = judge(config.api.open_tls(), led_to, async |address| handshake(address).await).await;
    let is_reached = led_to.is_some() && found.as_ref().is_some_and(|found| found.level == Level::Ok);
    let mut findings = Vec::from_iter(found);
    if is_reached && led_here(addresses_of(LOOKUPS).await).is_none() {
        findings.push(lookups_elsewhere());
    }
    report.take(findings)
}

/// Returns the addresses of a host, as resolved by programs on this machine.
async fn addresses_of(host: &str) -> Vec<SocketAddr> {
    let found = timeout(Duration::from_secs(LOOKUP_SECONDS), lookup_host((host, HTTPS))).await;
    found.ok().and_then(Result::ok).map(Iterator::collect).unwrap_or_default()
}

/// Returns the warning that api.twilio.com leads to this machine, but lookups.twilio.com does not.
fn lookups_elsewhere() -> Finding {
    Finding::warn(
        LINE,
        format!("{LOOKUPS} does not lead to the edge, as {API} does: requests of Lookup go to Twilio"),
        "replace the hosts entry with the line that `trunkgate twilio hosts` prints",
    )
}

/// Returns the first of the resolved addresses that belongs to this machine.
fn led_here(found: Vec<SocketAddr>) -> Option<SocketAddr> {
    found.into_iter().find(|address| interfaces::has(address.ip().to_canonical()))
}

/// Reason why a TLS handshake with the edge fails.
enum Missed {
    Unreachable(String),
    Untrusted(String),
}

async fn judge(
    listener: Option<SocketAddr>,
    led_to: Option<SocketAddr>,
    shake: impl AsyncFnOnce(SocketAddr) -> Result<(), Missed>,
) -> Option<Finding> {
    let found = match (listener, led_to) {
        (None, None) => return None,
        (None, Some(address)) => Finding::fail(
            LINE,
            format!("{API} leads to {} on this machine, and [api] has no `tls`", address.ip()),
            "add tls = \"127.0.0.1:443\" to [api], or remove the hosts entry",
        ),
        (Some(listener), None) => {
            Finding::ok(LINE, format!("{API} does not lead to {listener} here (`trunkgate twilio hosts`)"))
        }
        (Some(listener), Some(address)) => match shake(address).await {
            Ok(()) => Finding::ok(LINE, format!("{API} leads to {listener}, and the system trusts its CA")),
            Err(Missed::Unreachable(what)) => Finding::fail(
                LINE,
                format!("{API} leads to {address}, which cannot be reached: {what}"),
                "start the edge; [api] tls must be on this address and port 443",
            ),
            Err(Missed::Untrusted(what)) => Finding::fail(
                LINE,
                format!("{API} leads to {listener}, and the system does not trust its CA: {what}"),
                "sudo trunkgate twilio trust system --yes; Python needs certifi, Java its own store",
            ),
        },
    };
    Some(found)
}

/// Performs a TLS handshake with api.twilio.com at an address, trusting only the system's roots.
async fn handshake(address: SocketAddr) -> Result<(), Missed> {
    let limit = Some(Duration::from_secs(CONNECT_SECONDS));
    let connector = Connector { connect_within: limit, handshake_within: limit, ..Connector::default() };
    let stream = connector.tcp(address).await.map_err(|error| Missed::Unreachable(error.to_string()))?;
    let tls = web::trusting_system().await.map_err(Missed::Untrusted)?;
    connector.tls(tls, API, stream).await.map(drop).map_err(|fault| match fault.certificate {
        Some(_) => Missed::Untrusted(fault.what),
        None => Missed::Unreachable(fault.what),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hosts_entry_needs_a_listener_and_trust() {
        let address: SocketAddr = "127.0.0.1:443".parse().unwrap();
        let untrusted = || Err(Missed::Untrusted("its issuer is unknown".to_owned()));
        let judged = async |listener, led_to, shaken| judge(listener, led_to, async |_| shaken).await;
        assert!(judged(None, None, Ok(())).await.is_none());
        let cases = [
            (None, Some(address), Ok(()), Level::Fail, "[api] has no `tls`"),
            (Some(address), None, Ok(()), Level::Ok, "trunkgate twilio hosts"),
            (Some(address), Some(address), Ok(()), Level::Ok, "the system trusts its CA"),
            (Some(address), Some(address), untrusted(), Level::Fail, "does not trust its CA: its issuer is unknown"),
        ];
        for (listener, led_to, shaken, level, text) in cases {
            let found = judged(listener, led_to, shaken).await.unwrap();
            assert!(found.level == level && found.text.contains(text), "{found:?}");
        }
    }

    #[test]
    fn a_hosts_entry_of_the_api_alone_is_a_warning() {
        let found = lookups_elsewhere();
        assert!(found.level == Level::Warn && found.text.starts_with("lookups.twilio.com"), "{found:?}");
    }

    #[test]
    fn only_an_address_of_this_machine_is_a_lead() {
        let there: SocketAddr = "192.0.2.7:443".parse().unwrap();
        let here: SocketAddr = "127.0.0.1:443".parse().unwrap();
        assert_eq!((led_here(vec![there]), led_here(vec![there, here])), (None, Some(here)));
    }
}
