//! Parsing and writing (RFC 8866, RFC 4566): the examples of the RFC, descriptions of real phones, and arbitrary
//! bytes.

use proptest::prelude::*;
use trunkgate_sdp::{Attribute, ConnectionData, MediaDescription, MediaDirection, Origin, SessionDescription, fuzz};

#[test]
fn rfc8866_5_the_example_is_read() {
    let text = "v=0\r\no=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\ns=Call to John Smith\r\n\
                i=SDP Offer #1\r\nu=http://www.jdoe.example.com/home.html\r\n\
                e=Jane Doe <jane@jdoe.example.com>\r\np=+1 617 555-6011\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
                m=audio 49170 RTP/AVP 0\r\nm=audio 49180 RTP/AVP 0\r\nm=video 51372 RTP/AVP 99\r\n\
                c=IN IP6 2001:db8::2\r\na=rtpmap:99 h263-1998/90000\r\n";
    let description = SessionDescription::parse(text.as_bytes()).unwrap();
    assert_eq!((description.origin.session_id, description.origin.version), (3_724_394_400, 3_724_394_405));
    assert_eq!(description.connection.as_ref().unwrap().address, "198.51.100.1");
    assert_eq!(description.media[2].connection.as_ref().unwrap().ip(), Some("2001:db8::2".parse().unwrap()));
    assert_eq!(description.media[2].rtpmap(99).unwrap().encoding, "h263-1998");
    assert_eq!(description.to_string(), text);
}

#[test]
fn rfc4566_5_multicast_time_to_live_is_not_an_address() {
    let text = "v=0\r\no=jdoe 2890844526 2890842807 IN IP4 10.47.16.5\r\ns=SDP Seminar\r\n\
                c=IN IP4 224.2.17.12/127\r\nt=2873397496 2873404696\r\na=recvonly\r\n\
                m=audio 49170 RTP/AVP 0\r\nm=video 51372 RTP/AVP 99\r\na=rtpmap:99 h263-1998/90000\r\n";
    let description = SessionDescription::parse(text.as_bytes()).unwrap();
    assert_eq!(description.connection.as_ref().unwrap().address, "224.2.17.12");
    assert_eq!(description.connection.as_ref().unwrap().ip(), None);
    assert_eq!(description.direction_of(&description.media[0]), MediaDirection::RecvOnly);
}

#[test]
fn rfc8866_9_line_ends_of_either_kind() {
    let text = "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 0";
    let bare = SessionDescription::parse(text.as_bytes()).unwrap();
    let full = SessionDescription::parse(text.replace('\n', "\r\n").as_bytes()).unwrap();
    assert_eq!(bare, full);
    assert!(bare.to_string().ends_with("m=audio 4000 RTP/AVP 0\r\n"));
}

#[test]
fn a_format_number_past_32_bits_is_no_payload() {
    let text = "v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 4294967296\r\n";
    assert!(SessionDescription::parse(text.as_bytes()).unwrap().media[0].payloads().is_empty());
    fuzz::offer(text.as_bytes());
}

fn word() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop::sample::select(b"abcXYZ019-._+".to_vec()), 1..12)
        .prop_map(|bytes| bytes.into_iter().map(char::from).collect())
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop::char::range(' ', '\u{17f}'), 0..20)
        .prop_map(|chars| chars.into_iter().filter(|c| !c.is_control()).collect())
}

fn connection() -> impl Strategy<Value = Option<ConnectionData>> {
    let address = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| std::net::IpAddr::from(ip).to_string()),
        any::<[u8; 16]>().prop_map(|ip| std::net::IpAddr::from(ip).to_string()),
        word(),
    ];
    proptest::option::of(address.prop_map(|address| ConnectionData { address }))
}

fn attributes() -> impl Strategy<Value = Vec<Attribute>> {
    let known = prop_oneof![
        (0u8..128, word()).prop_map(|(n, e)| Attribute::new("rtpmap", format!("{n} {e}/8000"))),
        (0u8..128, text()).prop_map(|(n, v)| Attribute::new("fmtp", format!("{n} {v}"))),
        (any::<u16>(), any::<[u8; 4]>())
            .prop_map(|(p, ip)| Attribute::new("rtcp", format!("{p} IN IP4 {}", std::net::IpAddr::from(ip)))),
        prop::sample::select(vec!["sendonly", "inactive", "recvonly", "sendrecv", "rtcp-mux"])
            .prop_map(Attribute::flag),
        (word(), text()).prop_map(|(name, value)| Attribute::new(&name, value)),
        word().prop_map(|name| Attribute::flag(&name)),
    ];
    proptest::collection::vec(known, 0..8)
}

fn other() -> impl Strategy<Value = Vec<String>> {
    let line = (prop::sample::select(b"iuepbtrzkxZ".to_vec()), text());
    proptest::collection::vec(line.prop_map(|(kind, text)| format!("{}={text}", char::from(kind))), 0..5)
}

fn media() -> impl Strategy<Value = MediaDescription> {
    let proto = prop::sample::select(vec!["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "udptl", "rtp/avp"]);
    let format = prop_oneof![(0u8..128).prop_map(|n| n.to_string()), word()];
    let head = (word(), any::<u16>(), proptest::option::of(any::<u16>()), proto);
    let body = (proptest::collection::vec(format, 1..8), connection(), attributes(), other());
    (head, body).prop_map(|((kind, port, port_count, proto), (formats, connection, attributes, other))| {
        MediaDescription {
            port_count,
            formats,
            connection,
            attributes,
            other,
            ..MediaDescription::new(&kind, port, proto)
        }
    })
}

fn description() -> impl Strategy<Value = SessionDescription> {
    let origin = (word(), any::<u64>(), any::<u64>(), word());
    let origin =
        origin.prop_map(|(username, session_id, version, address)| Origin { username, session_id, version, address });
    let rest = (text(), connection(), attributes(), other(), proptest::collection::vec(media(), 0..5));
    (origin, rest).prop_map(|(origin, (name, connection, attributes, other, media))| SessionDescription {
        origin,
        name,
        connection: connection.or_else(|| Some(ConnectionData { address: "192.0.2.1".to_owned() })),
        attributes,
        other,
        media,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(description in description()) {
        prop_assert_eq!(SessionDescription::parse(description.to_string().as_bytes()), Ok(description));
    }

    #[test]
    fn any_description_goes_through_the_relay(description in description()) {
        fuzz::offer(description.to_string().as_bytes());
    }

    #[test]
    fn any_description_is_taken_or_refused_as_an_answer(
        ports in any::<(u16, u16)>(),
        formats in proptest::collection::vec(prop::sample::select(vec![0u8, 8, 18, 96, 97, 98, 101]), 1..8),
        maps in proptest::collection::vec(
            (96u8..102, prop::sample::select(vec!["opus/48000/2", "AMR/8000", "PCMU/8000", "telephone-event/8000", "H264/90000"])),
            0..6,
        ),
        attributes in attributes(),
    ) {
        let formats: String = formats.iter().map(|n| format!(" {n}")).collect();
        let maps: String = maps.iter().map(|(n, map)| format!("a=rtpmap:{n} {map}\r\n")).collect();
        let attributes: String = attributes.iter().map(ToString::to_string).collect();
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nm=audio {} RTP/AVP{formats}\r\n{maps}{attributes}\
             m=video {} RTP/AVPF{formats}\r\n{maps}",
            ports.0, ports.1
        );
        prop_assert!(SessionDescription::parse(text.as_bytes()).is_ok(), "{text}");
        fuzz::answer(text.as_bytes());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz::offer(&bytes);
        fuzz::answer(&bytes);
        fuzz::keys(&bytes);
    }

    #[test]
    fn any_damage_is_read_or_refused(
        description in description(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = description.to_string().into_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(read) = SessionDescription::parse(&bytes) {
            prop_assert_eq!(SessionDescription::parse(read.to_string().as_bytes()), Ok(read));
        }
        fuzz::offer(&bytes);
        fuzz::keys(&bytes);
    }
}
