//! Numbers and trunks in bare URIs.

use std::net::SocketAddr;
use std::sync::Arc;

use trunkgate_route::{Number, NumberingPlan, RoutingTable, Trunk};
use trunkgate_sip::Uri;
use trunkgate_sip::uri::unescape;

/// Returns the number in a bare URI, with its whole user part as received: the remote party may derive another number
/// from a `phone-context` that is repeated or escaped, or that follows an emergency number.
pub(crate) fn number_of_uri(uri: &str, numbers: &NumberingPlan) -> Option<Number> {
    let uri = Uri::parse(uri.as_bytes())?;
    let mut number = numbers.normalise_caller(&uri.user_unescaped(), uri.user_param("phone-context"));
    if uri.user.contains(';') {
        // Number rules also check the parameters.
        number.received = unescape(uri.user);
    }
    Some(number)
}

/// Returns the trunk to which a bare URI leads, by its host without DNS, and the number in the URI.
pub fn trunk_of_uri<'a>(uri: &str, table: &'a RoutingTable) -> (Option<&'a Arc<Trunk>>, Option<Number>) {
    let Some(read) = Uri::parse(uri.as_bytes()) else { return (None, None) };
    let trunk = match read.host.ip() {
        Some(ip) => table.owner_of(SocketAddr::new(ip, read.host.port.unwrap_or(0))),
        None => table.trunk_at(read.host.host),
    };
    (trunk, number_of_uri(uri, table.numbers()))
}
