//! The CA of an edge, as clients get it.

use crate::client;
use trunkgate_system::authority;
use trunkgate_system::twilio_hosts::DOMAIN;

/// Path of the edge's CA, for any client and for those of the proxy.
const CA_PATH: &str = "/v1/twilio/ca";
pub(super) const CA_OF_PROXY: &str = "/v1/twilio/ca?for=proxy";

/// Asks an edge for its CA (PEM).
///
/// # Errors
/// It does not stand for api.twilio.com, or its CA is not limited to Twilio's names.
pub(super) async fn of_edge(edge: &client::Target) -> Result<String, String> {
    limited(edge.text(CA_PATH).await?, edge.base())
}

/// Asks an edge for its CA (PEM), for clients of its proxy.
///
/// # Errors
/// It is no proxy, or its CA is not limited to Twilio's names.
pub(super) async fn of_proxy(edge: &client::Target) -> Result<String, String> {
    limited(edge.text(CA_OF_PROXY).await?, edge.base())
}

/// Returns a CA (PEM) that an edge has sent: programs will trust it.
///
/// # Errors
/// It is not limited to Twilio's names.
pub(super) fn limited(ca: String, base: &str) -> Result<String, String> {
    if authority::is_constrained(&ca, DOMAIN) {
        return Ok(ca);
    }
    Err(format!("the CA of {base} is not limited to {DOMAIN}: it is not used"))
}
