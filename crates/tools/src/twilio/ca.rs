//! CA certificate of an edge, for clients of its Twilio-compatible API.

use crate::client;
use trunkgate_system::authority;
use trunkgate_system::twilio_hosts::DOMAIN;

/// API path of the CA certificate for clients of the API, and of the CA certificate for clients of the proxy.
const CA_PATH: &str = "/v1/twilio/ca";
pub(super) const CA_OF_PROXY: &str = "/v1/twilio/ca?for=proxy";

/// Requests the CA certificate (PEM) of an edge.
///
/// # Errors
/// Returns an error if the edge does not serve api.twilio.com or its CA is not limited to Twilio's names.
pub(super) async fn of_edge(edge: &client::EdgeTarget) -> Result<String, String> {
    limited(edge.text(CA_PATH).await?, edge.base())
}

/// Requests the CA certificate (PEM) of an edge for clients of its proxy.
///
/// # Errors
/// Returns an error if the edge has no proxy or its CA is not limited to Twilio's names.
pub(super) async fn of_proxy(edge: &client::EdgeTarget) -> Result<String, String> {
    limited(edge.text(CA_OF_PROXY).await?, edge.base())
}

/// Checks a CA certificate (PEM) received from an edge, because programs will trust it.
///
/// # Errors
/// Returns an error if the CA is not limited to Twilio's names.
pub(super) fn limited(ca: String, base: &str) -> Result<String, String> {
    if authority::is_constrained(&ca, DOMAIN) {
        return Ok(ca);
    }
    Err(format!("the CA of {base} is not limited to {DOMAIN}: it is not used"))
}
