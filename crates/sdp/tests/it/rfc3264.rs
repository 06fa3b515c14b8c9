//! Offer/answer through the edge (RFC 3264): the edge's offer, its answer, and the negotiated streams.

#![allow(clippy::unwrap_used)]

use trunkgate_sdp::keying::filter_offer;
use trunkgate_sdp::{
    CodecPolicy, LocalOrigin, NegotiatedAnswer, SdpRejection, SessionDescription, Srtp, accept, anchored_streams,
    fitted, limits, relay_offer,
};
use trunkgate_terms::Suite;

const A_PORTS: [u16; 4] = [20000, 20002, 20004, 20006];
const B_PORTS: [u16; 4] = [30000, 30002, 30004, 30006];

fn policy(codecs: &str) -> CodecPolicy {
    CodecPolicy { codecs: codecs.split_whitespace().map(str::to_owned).collect(), ..CodecPolicy::default() }
}

fn identity(ip: [u8; 4]) -> LocalOrigin {
    LocalOrigin { session_id: 11, version: 3, ip: ip.into() }
}

fn from(host: &str, lines: &str) -> SessionDescription {
    let text = format!("v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n{lines}");
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn a(lines: &str) -> SessionDescription {
    from("10.1.1.1", lines)
}

fn b(lines: &str) -> SessionDescription {
    from("10.2.2.2", lines)
}

fn offered(offer: &SessionDescription, codecs: &str) -> Result<SessionDescription, SdpRejection> {
    relay_offer(offer, &policy(codecs), &B_PORTS, &identity([192, 0, 2, 2]))
}

fn agreed(offer: &SessionDescription, answer: &SessionDescription) -> Result<NegotiatedAnswer, SdpRejection> {
    let sent = offered(offer, "PCMU PCMA").unwrap();
    accept(offer, &sent, answer, &CodecPolicy::default(), &A_PORTS, &identity([192, 0, 2, 1]))
}

#[test]
fn rfc3264_5_codecs_by_policy() {
    const EVENT: &str = "a=rtpmap:101 telephone-event/8000\r\n";
    for (formats, attributes, codecs, passed) in [
        ("0 8", "", "PCMU PCMA", Some("0 8")),
        ("0 8", "", "PCMA PCMU", Some("8 0")),
        ("0 8", "", "pcma", Some("8")),
        ("8", "", "PCMU", None),
        ("18 0 101", EVENT, "PCMU", Some("0 18 101")),
        ("18 8 101", EVENT, "PCMU", Some("18 101")),
        ("8 101", EVENT, "PCMU", None),
        ("8 13 101", EVENT, "PCMU", None),
        ("0 13 3 9", "", "PCMU", Some("0 13 3 9")),
        ("96 0", "a=rtpmap:96 opus/48000/2\r\n", "PCMU", Some("0 96")),
        ("96 0", "a=rtpmap:96 PCMA/8000\r\n", "PCMA PCMU", Some("96 0")),
        ("96 0", "", "PCMU", Some("0")),
        ("96", "", "PCMU", None),
        ("0 0 0", "", "PCMU PCMU", Some("0")),
        ("0 x 300", "", "PCMU", Some("0")),
        (
            "0 100 101",
            "a=rtpmap:100 red/8000\r\na=fmtp:100 0/0\r\na=rtpmap:101 telephone-event/8000\r\n",
            "PCMU",
            Some("0 101"),
        ),
    ] {
        let ours = offered(&a(&format!("m=audio 4000 RTP/AVP {formats}\r\n{attributes}")), codecs);
        assert_eq!(ours.ok().map(|ours| ours.media[0].formats.join(" ")).as_deref(), passed, "{formats} by {codecs}");
    }
}

#[test]
fn rfc3264_5_our_offer_is_ours() {
    let text = "v=0\r\no=secret 99 98 IN IP4 10.1.1.1\r\ns=Secret phone\r\ni=desk of 10.1.1.1\r\ne=a@10.1.1.1\r\n\
                c=IN IP4 10.1.1.1\r\nb=AS:80\r\nt=1 2\r\na=tool:Phone 1.2\r\na=ice-lite\r\na=group:BUNDLE 0\r\na=X-call:1\r\n\
                m=audio 4000 RTP/AVP 0 96 101\r\ni=mine\r\nc=IN IP4 10.1.1.9\r\nb=TIAS:64000\r\nk=clear:abc\r\n\
                a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\na=candidate:1 1 UDP 1 10.1.1.1 4000 typ host\r\n\
                a=rtpmap:96 AMR/8000\r\na=fmtp:96 octet-align=1\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
                a=rtcp:4009 IN IP4 10.1.1.1\r\na=rtcp-mux\r\na=mid:0\r\na=label:7\r\na=X-peer:10.1.1.1\r\n\
                a=maxptime:40\r\na=ptime:30\r\na=sendonly\r\n";
    let offer = SessionDescription::parse(text.as_bytes()).unwrap();
    let expected = "v=0\r\no=- 11 3 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\na=X-call:1\r\n\
                    m=audio 30000 RTP/AVP 0 96 101\r\nb=TIAS:64000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:96 AMR/8000\r\n\
                    a=fmtp:96 octet-align=1\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=label:7\r\n\
                    a=maxptime:40\r\na=ptime:30\r\na=sendonly\r\na=rtcp-mux\r\n";
    assert_eq!(offered(&offer, "PCMU").unwrap().to_string(), expected);
}

#[test]
fn rfc3264_5_1_old_and_new_holds_go_on_as_directions() {
    for (lines, direction) in [
        ("", "sendrecv"),
        ("a=sendonly\r\n", "sendonly"),
        ("a=inactive\r\n", "inactive"),
        ("a=recvonly\r\n", "recvonly"),
        ("c=IN IP4 0.0.0.0\r\n", "sendonly"),
        ("c=IN IP4 0.0.0.0\r\na=inactive\r\n", "inactive"),
        ("c=IN IP4 0.0.0.0\r\na=recvonly\r\n", "inactive"),
        ("c=IN IP6 ::\r\n", "sendonly"),
    ] {
        let ours = offered(&a(&format!("m=audio 4000 RTP/AVP 0\r\n{lines}")), "PCMU").unwrap();
        assert_eq!(ours.media[0].direction().unwrap().as_str(), direction, "{lines}");
        assert_eq!(ours.connection.unwrap().address, "192.0.2.2");
    }
    // The session-level direction applies if the section has none.
    let session = "v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 10.1.1.1\r\na=sendonly\r\n\
                   m=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 0\r\na=inactive\r\n";
    let ours = offered(&SessionDescription::parse(session.as_bytes()).unwrap(), "PCMU").unwrap();
    let directions: Vec<_> = ours.media.iter().map(|m| m.direction().unwrap().as_str()).collect();
    assert_eq!(directions, ["sendonly", "inactive"]);
}

#[test]
fn rfc3264_5_1_sections_keep_number_and_order() {
    let offer = a("m=message 2855 TCP/MSRP *\r\nm=audio 4000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n\
                   m=audio 4004 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\nm=video 4006 RTP/AVPF 96\r\n\
                   a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\n");
    assert_eq!(anchored_streams(&offer), [1, 3, 4]);
    let offer = filter_offer(offer, Srtp::Off, &Suite::ALL).unwrap();
    assert_eq!(anchored_streams(&offer), [1, 4]);
    let ours = offered(&offer, "PCMU").unwrap();
    let sections: Vec<_> = ours.media.iter().map(|m| format!("{} {} {}", m.kind, m.port, m.proto)).collect();
    assert_eq!(
        sections,
        ["message 0 TCP/MSRP", "audio 30000 RTP/AVP", "video 0 RTP/AVP", "audio 0 RTP/SAVP", "video 30002 RTP/AVPF"]
    );
    assert!(!ours.to_string().contains("crypto"));
    assert!(ours.to_string().contains("a=rtcp-fb:96 nack\r\n"));
}

#[test]
fn a_fifth_stream_is_refused() {
    assert_eq!(limits::ANCHORED_STREAMS, 4);
    let offer = a(&"m=audio 4000 RTP/AVP 0\r\n".repeat(5));
    let ports = |d: &SessionDescription| d.media.iter().map(|m| m.port).collect::<Vec<_>>();
    assert_eq!(ports(&offered(&offer, "PCMU").unwrap()), [30000, 30002, 30004, 30006, 0]);
    let agreed = agreed(&offer, &b(&"m=audio 5000 RTP/AVP 0\r\n".repeat(5))).unwrap();
    assert_eq!(ports(&agreed.answer), [20000, 20002, 20004, 20006, 0]);
    assert_eq!(agreed.streams.len(), 4);
}

#[test]
fn rfc3261_20_43_refusals_name_both_lists() {
    for (lines, code, text) in [
        (
            "m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n",
            305,
            "offered PCMU, telephone-event; allowed PCMA",
        ),
        ("m=audio 4000 RTP/AVP 96 97\r\na=rtpmap:97 a\"b\\c/0\r\n", 305, "offered 96, 97; allowed PCMA"),
        ("m=message 2855 TCP/MSRP *\r\n", 304, "offered message TCP/MSRP; allowed audio RTP/AVP"),
        ("m=audio 0 RTP/AVP 0\r\n", 304, "offered no stream; allowed audio RTP/AVP"),
        ("", 304, "offered no stream; allowed audio RTP/AVP"),
        ("m=m\"x 2855 TCP\"/\\MSRP *\r\n", 304, "offered m?x TCP?/?MSRP; allowed audio RTP/AVP"),
    ] {
        let refusal = offered(&a(lines), "PCMA").unwrap_err();
        assert_eq!((refusal.warn_code, refusal.text.as_str()), (code, text));
    }
}

#[test]
fn a_refusal_stays_short() {
    let formats: String = (96..128).map(|n| format!(" {n}")).collect();
    let maps: String = (96..128).map(|n| format!("a=rtpmap:{n} {}{n}/8000\r\n", "x".repeat(300))).collect();
    let refusal = offered(&a(&format!("m=audio 4000 RTP/AVP 0{formats}\r\n{maps}")), "PCMA").map(|_| ());
    assert_eq!(refusal, Ok(()), "unknown codecs pass");
    let unnamed: String = (96..128).map(|n| format!(" {n}")).collect();
    let refusal = offered(&a(&format!("m=audio 4000 RTP/AVP{unnamed}\r\n")), "PCMA").unwrap_err();
    assert_eq!(refusal.text.matches(", ").count(), limits::NAMES_IN_TEXT - 1, "{}", refusal.text);
    let long = offered(&a(&format!("m={} 4000 TCP/MSRP *\r\n", "x".repeat(limits::WORD_BYTES))), "PCMA").unwrap_err();
    assert_eq!(long.text.matches('x').count(), limits::NAME_CHARS_IN_TEXT);
}

#[test]
fn rfc3264_6_the_answer_goes_back_with_the_offerers_numbers() {
    let offer = a("m=audio 4000 RTP/AVP 0 96 97 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 iLBC/8000\r\n\
                   a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n");
    let answer = b("m=audio 5000 RTP/AVP 97 0 96\r\na=rtpmap:97 OPUS/48000/2\r\na=fmtp:97 useinbandfec=1\r\n\
                    a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15\r\na=ptime:20\r\n");
    let agreed = agreed(&offer, &answer).unwrap();
    assert_eq!(
        agreed.answer.to_string(),
        "v=0\r\no=- 11 3 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 96 0 101\r\n\
         a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    );
    let stream = &agreed.streams[0];
    assert_eq!(stream.payloads, [(96, 97), (0, 0), (101, 96)]);
    assert_eq!(stream.codec, "opus");
    assert_eq!(stream.to_answerer(), [(96, 97), (0, 0), (101, 96)]);
    // 96 is the answerer's telephone-event, so the offerer's own 96 is ambiguous; 101 is not.
    assert_eq!(stream.to_offerer(), [(97, 96), (0, 0), (96, 101), (101, 101)]);
    assert_eq!(stream.clocks_from_offerer(), [(96, 48000), (0, 8000), (101, 8000)]);
    assert_eq!(stream.clocks_from_answerer(), [(97, 48000), (0, 8000), (96, 8000), (101, 8000)]);
}

#[test]
fn rfc3264_6_1_directions_are_narrowed_by_the_offer() {
    const ALL: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];
    for offered in ALL {
        for answered in ALL {
            let offer = a(&format!("m=audio 4000 RTP/AVP 0\r\na={offered}\r\n"));
            let answer = b(&format!("m=audio 5000 RTP/AVP 0\r\na={answered}\r\n"));
            let agreed = agreed(&offer, &answer).unwrap();
            let ours = agreed.answer.media[0].direction().unwrap();
            let sends = |text: &str| matches!(text, "sendrecv" | "sendonly");
            let receives = |text: &str| matches!(text, "sendrecv" | "recvonly");
            assert_eq!(ours.sends(), sends(answered) && receives(offered), "{offered} {answered}");
            assert_eq!(ours.receives(), receives(answered) && sends(offered), "{offered} {answered}");
            // Both endpoints get the same direction, so that no media is expected from a side that need not send.
            assert_eq!(agreed.streams[0].answerer.direction, ours);
            assert_eq!(agreed.streams[0].offerer.direction, ours.reversed());
        }
    }
}

#[test]
fn rfc3264_8_4_nothing_is_sent_to_address_zero() {
    let offer = a("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n");
    let held = agreed(&offer, &b("m=audio 5000 RTP/AVP 0\r\na=recvonly\r\n")).unwrap();
    assert_eq!((held.streams[0].offerer.rtp, held.streams[0].offerer.rtcp), (None, None));
    assert_eq!(held.streams[0].answerer.rtp, Some("10.2.2.2:5000".parse().unwrap()));
    assert_eq!(held.answer.media[0].direction().unwrap().as_str(), "recvonly");
    let deaf = agreed(&a("m=audio 4000 RTP/AVP 0\r\n"), &b("m=audio 5000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n")).unwrap();
    assert_eq!(deaf.answer.media[0].direction().unwrap().as_str(), "sendonly");
    // A host name is not resolved.
    let named =
        agreed(&a("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 phone.example.com\r\n"), &b("m=audio 5000 RTP/AVP 0\r\n"));
    assert_eq!(named.unwrap().streams[0].offerer.rtp, None);
}

#[test]
fn rfc3605_the_rtcp_port() {
    for (attribute, rtcp) in [
        ("", Some("10.2.2.2:5001")),
        ("a=rtcp:5009\r\n", Some("10.2.2.2:5009")),
        ("a=rtcp:5009 IN IP4 10.9.9.9\r\n", Some("10.9.9.9:5009")),
        ("a=rtcp:5009 IN IP4 0.0.0.0\r\n", None),
        ("a=rtcp:0\r\n", None),
        ("a=rtcp:99999\r\n", Some("10.2.2.2:5001")),
        ("a=rtcp-mux\r\n", Some("10.2.2.2:5001")),
    ] {
        let agreed = agreed(&a("m=audio 4000 RTP/AVP 0\r\n"), &b(&format!("m=audio 5000 RTP/AVP 0\r\n{attribute}")));
        let agreed = agreed.unwrap();
        assert_eq!(agreed.streams[0].answerer.rtcp, rtcp.map(|text| text.parse().unwrap()), "{attribute}");
        assert!(!agreed.answer.to_string().contains("a=rtcp"), "{attribute}");
    }
    let last = agreed(&a("m=audio 4000 RTP/AVP 0\r\n"), &b("m=audio 65535 RTP/AVP 0\r\n")).unwrap();
    assert_eq!(last.streams[0].answerer.rtcp, None);
}

#[test]
fn rfc3264_6_an_answer_must_fit_its_offer() {
    let offer = a("m=audio 4000 RTP/AVP 0 8\r\nm=video 4002 RTP/AVP 31\r\n");
    for (answer, code, text) in [
        ("m=audio 5000 RTP/AVP 0\r\n", 399, "offered 2 streams; the answer has 1"),
        ("", 399, "offered 2 streams; the answer has 0"),
        (
            "m=video 5000 RTP/AVP 31\r\nm=audio 5002 RTP/AVP 0\r\n",
            304,
            "offered audio RTP/AVP; the answer has video RTP/AVP",
        ),
        (
            "m=audio 5000 RTP/SAVP 0\r\nm=video 0 RTP/AVP 31\r\n",
            304,
            "offered audio RTP/AVP; the answer has audio RTP/SAVP",
        ),
        ("m=audio 5000 RTP/AVP 18\r\nm=video 0 RTP/AVP 31\r\n", 305, "offered PCMU, PCMA, H261; answered G729"),
        ("m=audio 0 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n", 305, "offered PCMU, PCMA, H261; answered nothing"),
    ] {
        let refusal = agreed(&offer, &b(answer)).unwrap_err();
        assert_eq!((refusal.warn_code, refusal.text.as_str()), (code, text));
    }
}

#[test]
fn rfc3264_6_formats_that_were_not_offered_are_not_agreed() {
    // §6.1 allows an answer to name formats that were not offered; they are not forwarded.
    let agreed = agreed(&a("m=audio 4000 RTP/AVP 0\r\n"), &b("m=audio 5000 RTP/AVP 18 0 8\r\n")).unwrap();
    assert_eq!(agreed.answer.media[0].formats, ["0"]);
    assert_eq!(agreed.streams[0].payloads, [(0, 0)]);
}

#[test]
fn rfc3264_6_one_stream_refused_the_other_runs() {
    let offer = a("m=video 4000 RTP/AVP 31\r\nm=audio 4002 RTP/AVP 0\r\n");
    let agreed = agreed(&offer, &b("m=video 0 RTP/AVP 31\r\nm=audio 5000 RTP/AVP 0\r\n")).unwrap();
    let ports: Vec<_> = agreed.answer.media.iter().map(|m| m.port).collect();
    assert_eq!(ports, [0, 20002]);
    assert_eq!((agreed.streams.len(), agreed.streams[0].index), (1, 1));
    assert_eq!(agreed.streams[0].offerer.rtp, Some("10.1.1.1:4002".parse().unwrap()));
}

#[test]
fn rfc4867_8_octet_alignment_must_match() {
    let offer = a("m=audio 4000 RTP/AVP 96 97\r\na=rtpmap:96 AMR/8000\r\na=fmtp:96 octet-align=1\r\n\
                   a=rtpmap:97 AMR/8000\r\n");
    let one = agreed(&offer, &b("m=audio 5000 RTP/AVP 96\r\na=rtpmap:96 AMR/8000\r\n")).unwrap();
    assert_eq!(one.streams[0].payloads, [(97, 96)]);
    let other = agreed(&offer, &b("m=audio 5000 RTP/AVP 100\r\na=rtpmap:100 amr/8000\r\na=fmtp:100 octet-align=1\r\n"));
    assert_eq!(other.unwrap().streams[0].payloads, [(96, 100)]);
    let neither = agreed(&offer, &b("m=audio 5000 RTP/AVP 96\r\na=rtpmap:96 AMR-WB/16000\r\n")).unwrap_err();
    assert_eq!(neither.text, "offered AMR; answered AMR-WB");
}

#[test]
fn rfc3261_20_43_a_refusal_for_parameters_names_them() {
    let wide = "a=rtpmap:96 AMR-WB/16000\r\n";
    let both = |number: u8, map: &str| format!("a=rtpmap:{number} {map}\r\n");
    for (map, offer, answer, text) in [
        ("AMR-WB/16000", "octet-align=1", "", "offered AMR-WB octet-align=1; answered AMR-WB octet-align=0"),
        ("AMR/8000", "", "crc=1; octet-align=1", "offered AMR octet-align=0 crc=0; answered AMR octet-align=1 crc=1"),
        ("AMR/8000", "interleaving=30", "", "offered AMR interleaving=30; answered AMR no interleaving"),
        (
            "H264/90000",
            "packetization-mode=1;profile-level-id=42e01f",
            "packetization-mode=1;profile-level-id=64001f",
            "offered H264 profile-level-id=42e01f; answered H264 profile-level-id=64001f",
        ),
        ("G7221/16000", "bitrate=32000", "bitrate=\"2\\", "offered G7221 bitrate=32000; answered G7221 bitrate=?2?"),
    ] {
        let kind = if map.starts_with('H') { "video" } else { "audio" };
        let section = |fmtp: &str| format!("m={kind} 4000 RTP/AVP 96\r\n{}a=fmtp:96 {fmtp}\r\n", both(96, map));
        let refusal = agreed(&a(&section(offer)), &b(&section(answer))).unwrap_err();
        assert_eq!((refusal.warn_code, refusal.text.as_str()), (305, text));
    }
    // The clock rate is named if it is the difference.
    let offer = a(&format!("m=audio 4000 RTP/AVP 96 18\r\n{wide}"));
    let answer = b(&format!("m=audio 5000 RTP/AVP 96\r\n{}", both(96, "AMR-WB/8000")));
    let refusal = agreed(&offer, &answer).unwrap_err();
    assert_eq!(refusal.text, "offered AMR-WB/16000, G729; answered AMR-WB/8000");
}

#[test]
fn rfc6157_4_an_answer_of_the_other_address_family_is_refused() {
    let offer = a("m=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 0\r\n");
    let answered = |first: &str, second: &str| {
        agreed(
            &offer,
            &b(&format!("m=audio 5000 RTP/AVP 0\r\nc=IN {first}\r\nm=audio 5002 RTP/AVP 0\r\nc=IN {second}\r\n")),
        )
    };
    let refusal = answered("IP6 2001:db8::2", "IP6 2001:db8::2").unwrap_err();
    assert_eq!((refusal.warn_code, refusal.text.as_str()), (301, "offered IP4; answered IP6"));
    // A single stream is rejected in place.
    let one = answered("IP6 2001:db8::2", "IP4 10.2.2.2").unwrap();
    assert_eq!((one.streams.len(), one.streams[0].index, one.answer.media[0].port), (1, 1, 0));
    // A mapped or unspecified address does not count as another family.
    for first in ["IP6 ::ffff:10.2.2.2", "IP6 ::", "IP4 phone.example"] {
        assert_eq!(answered(first, "IP4 10.2.2.2").unwrap().streams.len(), 2, "{first}");
    }
}

#[test]
fn rfc4856_2_1_9_annexb_is_a_preference() {
    let offer = a("m=audio 4000 RTP/AVP 18\r\na=fmtp:18 annexb=no\r\n");
    let agreed = agreed(&offer, &b("m=audio 5000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n")).unwrap();
    assert_eq!(agreed.streams[0].payloads, [(18, 18)]);
    assert_eq!(agreed.streams[0].codec, "G729");
}

#[test]
fn nothing_of_one_side_is_seen_by_the_other() {
    let offer = a("m=audio 4000 RTP/AVP 0\r\na=X-from:10.1.1.1\r\n");
    let sent = offered(&offer, "PCMU").unwrap().to_string();
    let answer = b("m=audio 5000 RTP/AVP 0\r\na=X-from:10.2.2.2:5000\r\na=rtcp:5001 IN IP4 10.2.2.2\r\n");
    let back = agreed(&offer, &answer).unwrap().answer.to_string();
    for (text, address) in [(sent, "10.1.1.1"), (back, "10.2.2.2")] {
        assert!(!text.contains(address), "{text}");
    }
}

#[test]
fn rfc3264_6_an_answer_with_another_number_of_m_lines_is_made_to_fit() {
    let (audio, video) = ("m=audio 4000 RTP/AVP 0\r\n", "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n");
    let both = |first: &str, second: &str| format!("{first}{second}");
    let ports = |description: &SessionDescription| -> Vec<(String, u16)> {
        description.media.iter().map(|media| (media.kind.clone(), media.port)).collect()
    };
    let of = |ports: &[(&str, u16)]| -> Vec<(String, u16)> {
        ports.iter().map(|(kind, port)| ((*kind).to_owned(), *port)).collect()
    };
    for (sent, answer, expected) in [
        (both(audio, video), audio.to_owned(), &[("audio", 4000), ("video", 0)][..]),
        (both(video, audio), audio.to_owned(), &[("video", 0), ("audio", 4000)]),
        (both(video, audio), video.to_owned(), &[("video", 4002), ("audio", 0)]),
        (audio.to_owned(), both(audio, video), &[("audio", 4000)]),
        (audio.to_owned(), both(video, audio), &[("audio", 4000)]),
        (audio.to_owned(), String::new(), &[("audio", 0)]),
        (audio.to_owned(), both(video, video), &[("audio", 0)]),
    ] {
        let fit = fitted(&a(&sent), &b(&answer)).unwrap();
        assert_eq!(ports(&fit), of(expected), "{sent}{answer}");
    }
    // The order is unchanged if the number is right.
    assert_eq!(fitted(&a(&both(audio, video)), &b(&both(video, audio))), None);
}
