//! Flow of a response, back to the source of its request (RFC 3261 §18.2.2, RFC 3581).

use std::net::SocketAddr;

use crate::event::{Flow, Transport};
use crate::message::SipMessage;

/// Returns the default port of a transport (RFC 3261 §19.1.2).
pub(crate) const fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp => 5060,
        Transport::Tls => 5061,
    }
}

/// Returns the flow of a response: the same connection for a stream; for UDP the source address of the request, at its
/// source port if `rport` was requested, otherwise at the port in sent-by.
pub(crate) fn reply_flow(request: &SipMessage, source: Flow) -> Flow {
    if source.transport.is_reliable() {
        return source;
    }
    let Some(via) = request.via() else { return source };
    if via.rport.is_some() {
        return source;
    }
    at_sent_by(request, source)
}

/// Returns the flow of a response to a request of another process, whose connections are lost unless the flow names
/// one: a new connection leads to the source address at the port in sent-by (RFC 3261 §18.2.2).
pub(crate) fn late_reply_flow(request: &SipMessage, source: Flow) -> Flow {
    if !source.transport.is_reliable() || source.connection.is_some() {
        return reply_flow(request, source);
    }
    at_sent_by(request, source)
}

/// Returns the flow to the source address, at the port in sent-by.
fn at_sent_by(request: &SipMessage, source: Flow) -> Flow {
    let port = request.via().and_then(|via| via.sent_by.port).unwrap_or(default_port(source.transport));
    Flow { remote: SocketAddr::new(source.remote.ip(), port), ..source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ConnectionId, ListenerId};
    use bytes::Bytes;

    fn flow(transport: Transport, remote: &str) -> Flow {
        Flow { transport, listener: ListenerId(0), remote: remote.parse().unwrap(), connection: None }
    }

    #[test]
    fn rfc3581_answers_go_to_the_source_at_the_port_asked_for() {
        let via = |via: &str| {
            let text = format!("OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK1\r\n\r\n");
            let message = SipMessage::parse(Bytes::from(text)).unwrap();
            reply_flow(&message, flow(Transport::Udp, "203.0.113.5:4444")).remote.to_string()
        };
        assert_eq!(via("10.0.0.1:5070;rport"), "203.0.113.5:4444");
        assert_eq!(via("10.0.0.1:5070"), "203.0.113.5:5070");
        assert_eq!(via("pc.example"), "203.0.113.5:5060");
    }

    #[test]
    fn rfc3261_18_2_2_without_its_connection_a_response_goes_to_sent_by() {
        let text = "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.1:5070;branch=z9hG4bK1\r\n\r\n";
        let message = SipMessage::parse(Bytes::from(text)).unwrap();
        let lost = flow(Transport::Tcp, "203.0.113.5:40000");
        assert_eq!(late_reply_flow(&message, lost).remote.to_string(), "203.0.113.5:5070");
        let kept = Flow { connection: Some(ConnectionId(7)), ..lost };
        assert_eq!(late_reply_flow(&message, kept), kept);
    }
}
