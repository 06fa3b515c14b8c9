//! Selects the flow of an in-dialog request from the route set or the remote target.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Dialog;
use crate::event::{Flow, Transport};
use crate::reply::default_port;
use crate::uri::{Scheme, Uri};

/// Returns the flow of an in-dialog request. A literal address in the first route (or else in the remote target) is
/// used; a host name is not resolved here, and the dialog's current flow is kept instead. Addresses outside `reach`,
/// the remote party's networks, are not used: otherwise one party could make us send to another one or open
/// connections inside our network, and responses from there would be dropped, because only the dialog's own party is
/// accepted in it.
pub(super) fn request_flow(dialog: &Dialog, reach: &[IpNet]) -> Flow {
    let present = dialog.plain.flow;
    let routed = !dialog.plain.route_set.is_empty();
    let first = dialog.first_route();
    let uri = if routed { first } else { Uri::parse(dialog.plain.remote_target.as_bytes()) };
    uri.and_then(|uri| literal_flow(&uri, dialog, routed, reach)).unwrap_or(present)
}

fn literal_flow(uri: &Uri<'_>, dialog: &Dialog, routed: bool, reach: &[IpNet]) -> Option<Flow> {
    let present = dialog.plain.flow;
    let source = present.remote.ip();
    let ip = uri.host.ip()?.to_canonical();
    let its_own = ip == source || reach.iter().any(|network| network.contains(&ip));
    if !its_own || !may_go_to(ip, source) || (!routed && behind_nat(ip, source)) {
        return None;
    }
    let asked = match uri.param("transport").map(str::to_ascii_lowercase).as_deref() {
        None | Some("") => None,
        Some("udp") => Some(Transport::Udp),
        Some("tcp") if uri.scheme == Scheme::Sips => Some(Transport::Tls),
        Some("tcp") => Some(Transport::Tcp),
        Some("tls") => Some(Transport::Tls),
        Some(_) => return None,
    };
    // Many implementations omit the transport parameter and mean the transport in use.
    let secure = uri.scheme == Scheme::Sips;
    let transport = asked.unwrap_or(if secure { Transport::Tls } else { present.transport });
    // A dialog that began over TLS never continues in the clear.
    if present.transport == Transport::Tls && transport != Transport::Tls {
        return None;
    }
    if present.transport.is_reliable() && transport == present.transport && ip == source && !dialog.flow_lost {
        return None;
    }
    let port = uri.host.port.unwrap_or(default_port(transport));
    Some(Flow { transport, remote: SocketAddr::new(ip, port), connection: None, ..present })
}

/// Returns whether a private address was named by a remote party heard from a public one (NAT, RFC 3581).
fn behind_nat(named: IpAddr, source: IpAddr) -> bool {
    named != source && is_private(named) && !is_private(source)
}

/// Returns whether an address is a permitted destination: unspecified, multicast and foreign loopback addresses are
/// not.
fn may_go_to(ip: IpAddr, source: IpAddr) -> bool {
    !(ip.is_unspecified() || ip.is_multicast() || (ip.is_loopback() && !source.is_loopback()))
}

/// Returns whether an address is private: RFC 1918, RFC 6598 (carrier-grade NAT), RFC 4193 or link-local.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialog::DialogSnapshot;
    use crate::event::{ConnectionId, ListenerId, LocalAddress, SipPartyId};

    fn flow(transport: Transport, remote: &str) -> Flow {
        let connection = transport.is_reliable().then_some(ConnectionId(7));
        Flow { transport, listener: ListenerId(0), remote: remote.parse().unwrap(), connection }
    }

    fn dialog(flow: Flow, target: &str, routes: &[&str]) -> Dialog {
        let plain = DialogSnapshot {
            call_id: "c".into(),
            local_tag: "l".into(),
            remote_tag: "r".into(),
            local_uri: "<sip:a@192.0.2.1>".into(),
            remote_uri: "<sip:b@192.0.2.2>".into(),
            remote_target: target.into(),
            route_set: routes.iter().map(|&r| r.into()).collect(),
            local_cseq: 1,
            remote_cseq: None,
            contact_user: String::new(),
            secure: false,
            flow,
            local: LocalAddress { ip: "192.0.2.1".parse().unwrap(), port: 5060 },
            party: SipPartyId(1),
        };
        Dialog::new(plain, true)
    }

    fn everywhere() -> [IpNet; 2] {
        ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap())
    }

    fn udp(target: &str, routes: &[&str], source: &str) -> String {
        request_flow(&dialog(flow(Transport::Udp, source), target, routes), &everywhere()).remote.to_string()
    }

    #[test]
    fn a_literal_target_or_route_is_gone_to_and_a_name_means_the_present_way() {
        assert_eq!(udp("sip:b@198.51.100.9:5070", &[], "203.0.113.5:5060"), "198.51.100.9:5070");
        assert_eq!(udp("sip:b@198.51.100.9", &[], "203.0.113.5:5999"), "198.51.100.9:5060");
        assert_eq!(udp("sip:b@[2001:db8::9]:5070", &[], "203.0.113.5:5060"), "[2001:db8::9]:5070");
        assert_eq!(udp("sip:b@pbx.example", &[], "203.0.113.5:5999"), "203.0.113.5:5999");
        assert_eq!(udp("sip:b@10.0.0.9", &["<sip:198.51.100.1:5080;lr>"], "203.0.113.5:5060"), "198.51.100.1:5080");
        assert_eq!(udp("sip:b@198.51.100.9", &["<sip:p.example;lr>"], "203.0.113.5:5060"), "203.0.113.5:5060");
    }

    #[test]
    fn a_private_contact_heard_from_outside_is_behind_nat() {
        for private in ["10.0.0.9", "172.16.4.4", "192.168.1.2", "100.64.0.1", "[fd00::1]"] {
            assert_eq!(udp(&format!("sip:b@{private}"), &[], "203.0.113.5:4444"), "203.0.113.5:4444", "{private}");
        }
        assert_eq!(udp("sip:b@10.0.0.9", &[], "10.0.0.5:5060"), "10.0.0.9:5060", "both inside");
    }

    #[test]
    fn no_contact_makes_us_talk_to_ourselves_or_to_many() {
        for bad in ["127.0.0.1:22", "0.0.0.0", "224.0.0.1", "[::1]", "[::]"] {
            assert_eq!(udp(&format!("sip:b@{bad}"), &[], "203.0.113.5:5060"), "203.0.113.5:5060", "{bad}");
        }
        assert_eq!(udp("sip:b@127.0.0.1:5090", &[], "127.0.0.1:5060"), "127.0.0.1:5090");
    }

    #[test]
    fn nobody_sends_us_to_an_address_that_is_not_its_own() {
        let reach: [IpNet; 1] = ["198.51.100.0/24".parse().unwrap()];
        let to = |target: &str, routes: &[&str]| {
            let dialog = dialog(flow(Transport::Udp, "203.0.113.5:5060"), target, routes);
            request_flow(&dialog, &reach).remote.to_string()
        };
        assert_eq!(to("sip:b@198.51.100.9:5070", &[]), "198.51.100.9:5070");
        assert_eq!(to("sip:b@203.0.113.5:5099", &[]), "203.0.113.5:5099");
        assert_eq!(to("sip:b@[::ffff:198.51.100.9]:5070", &[]), "198.51.100.9:5070");
        let others = ["192.0.2.77:5060", "10.0.0.9:6379;transport=tcp", "[::ffff:10.0.0.9]:25"];
        for other in others {
            assert_eq!(to(&format!("sip:b@{other}"), &[]), "203.0.113.5:5060", "{other}");
            let route = format!("<sip:{other};lr>");
            assert_eq!(to("sip:b@203.0.113.5:5099", &[&route]), "203.0.113.5:5060", "routed: {other}");
        }
    }

    #[test]
    fn a_stream_goes_on_over_its_connection_while_that_is_open() {
        let source = flow(Transport::Tcp, "203.0.113.5:40000");
        let mut open = dialog(source, "sip:b@203.0.113.5:5060;transport=tcp", &[]);
        assert_eq!(request_flow(&open, &everywhere()), source);
        open.flow_lost = true;
        let again = request_flow(&open, &everywhere());
        assert_eq!((again.remote.to_string().as_str(), again.connection), ("203.0.113.5:5060", None));
        let elsewhere = request_flow(&dialog(source, "sip:b@198.51.100.9;transport=tcp", &[]), &everywhere());
        assert_eq!(elsewhere.remote.to_string(), "198.51.100.9:5060");
        let secure = flow(Transport::Tls, "203.0.113.5:40000");
        let downgraded = request_flow(&dialog(secure, "sip:b@198.51.100.9;transport=udp", &[]), &everywhere());
        assert_eq!(downgraded, secure, "never downgraded");
        let other = dialog(flow(Transport::Udp, "203.0.113.5:5060"), "sip:b@198.51.100.9;transport=sctp", &[]);
        assert_eq!(request_flow(&other, &everywhere()), other.plain.flow);
    }
}
