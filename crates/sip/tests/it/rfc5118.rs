//! IPv6 in SIP: messages of our own for the cases of RFC 5118 §4.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panic

use bytes::Bytes;
use trunkgate_sip::{HeaderName, SipMessage};

/// Composes a request with this Request-URI, Via and Contact.
fn request(uri: &str, via: &str, contact: &str) -> SipMessage {
    let text = format!(
        "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bKas3\r\nMax-Forwards: 70\r\n\
         From: \"A\" <sip:user@example.com>;tag=81x2\r\nTo: <sip:user@example.com>\r\nCall-ID: SSG9559905523997077@hlau\r\n\
         CSeq: 98176 OPTIONS\r\nContact: {contact}\r\nContent-Length: 0\r\n\r\n"
    );
    SipMessage::parse(Bytes::from(text)).unwrap()
}

fn good(uri: &str, via: &str) -> SipMessage {
    request(uri, via, "<sip:user@[2001:db8::1]>")
}

#[test]
fn rfc5118_4_1_and_4_2_an_address_stands_in_brackets() {
    let valid = good("sip:[2001:db8::10]", "[2001:db8::9:1]");
    assert_eq!(valid.defect(), None);
    assert_eq!(valid.uri().unwrap().host.host, "2001:db8::10");
    assert_eq!(valid.via().unwrap().sent_by.host, "2001:db8::9:1");
    let without = good("sip:2001:db8::10", "[2001:db8::9:1]");
    assert_eq!(without.defect().map(|defect| defect.code), Some(400), "no brackets in the Request-URI");
}

#[test]
fn rfc5118_4_3_and_4_4_the_port_stands_behind_the_brackets() {
    // Inside the brackets 5070 is part of the address, not a port.
    let ambiguous = good("sip:[2001:db8::10:5070]", "[2001:db8::9:1]");
    let host = ambiguous.uri().unwrap().host;
    assert_eq!((ambiguous.defect(), host.host, host.port), (None, "2001:db8::10:5070", None));
    let clear = good("sip:[2001:db8::10]:5070", "[2001:db8::9:1]:5080");
    let (host, via) = (clear.uri().unwrap().host, clear.via().unwrap());
    assert_eq!((clear.defect(), host.host, host.port), (None, "2001:db8::10", Some(5070)));
    assert_eq!((via.sent_by.host, via.sent_by.port), ("2001:db8::9:1", Some(5080)));
}

#[test]
fn rfc5118_4_5_received_with_and_without_brackets() {
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let message = good("sip:[2001:db8::10]", &format!("[2001:db8::9:1];received={received}"));
        assert_eq!(message.defect(), None, "{received}");
        assert_eq!(message.via().unwrap().received, Some(received.as_bytes()));
    }
}

#[test]
fn rfc5118_4_6_to_4_8_several_addresses_of_both_families_in_one_message() {
    let message = request(
        "sip:user@[2001:db8::10]",
        "[2001:db8::9:1]:6050;branch=z9hG4bKx, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKy",
        "<sip:user@192.0.2.1>, <sip:user@[2001:db8::1]:5061;transport=tcp>",
    );
    assert_eq!(message.defect(), None);
    assert_eq!(message.vias().count(), 2);
    let contacts = message.addresses(HeaderName::Contact);
    let uris = contacts.iter().map(|contact| trunkgate_sip::Uri::parse(contact.uri).unwrap());
    let hosts: Vec<_> = uris.map(|uri| (uri.host.host, uri.host.port)).collect();
    assert_eq!(hosts, [("192.0.2.1", None), ("2001:db8::1", Some(5061))]);
}

#[test]
fn rfc5118_4_10_a_mapped_address_is_the_ipv4_one() {
    let message = good("sip:user@[::ffff:192.0.2.10]:5070", "[::ffff:192.0.2.2]");
    assert_eq!(message.defect(), None);
    let ip = message.uri().unwrap().host.ip().unwrap();
    assert_eq!(ip.to_canonical().to_string(), "192.0.2.10");
    for bad in ["sip:[::ffff:192.0.2.300]", "sip:[2001:db8:::1]", "sip:[2001:db8::1", "sip:[]", "sip:[fe80::1%eth0]"] {
        let defect = good(bad, "[2001:db8::9:1]").defect();
        assert_eq!(defect.map(|defect| defect.code), Some(400), "{bad}");
    }
}
