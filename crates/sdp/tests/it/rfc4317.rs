//! Offer/answer examples of RFC 4317, passed through the edge: each side must get the other's description with the same
//! meaning, but with the edge's addresses and ports only.

#![allow(clippy::unwrap_used)]

use trunkgate_sdp::{CodecPolicy, LocalOrigin, NegotiatedAnswer, SessionDescription, accept, relay_offer};

const A_PORTS: [u16; 3] = [20000, 20002, 20004];
const B_PORTS: [u16; 3] = [30000, 30002, 30004];

fn description(user: &str, address: &str, lines: &str) -> SessionDescription {
    let text = format!(
        "v=0\r\no={user} 2890844526 2890844526 IN IP4 {address}\r\ns= \r\nc=IN IP4 {address}\r\nt=0 0\r\n{lines}"
    );
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn alice(lines: &str) -> SessionDescription {
    description("alice", "192.0.2.101", lines)
}

fn bob(lines: &str) -> SessionDescription {
    description("bob", "192.0.2.202", lines)
}

fn identity() -> LocalOrigin {
    LocalOrigin { session_id: 1, version: 1, ip: [198, 51, 100, 1].into() }
}

fn through(offer: &SessionDescription, answer: &SessionDescription) -> (SessionDescription, NegotiatedAnswer) {
    let policy = CodecPolicy { codecs: vec!["PCMU".to_owned(), "PCMA".to_owned()], ..CodecPolicy::default() };
    let sent = relay_offer(offer, &policy, &B_PORTS, &identity()).unwrap();
    let agreed = accept(offer, &sent, answer, &CodecPolicy::default(), &A_PORTS, &identity()).unwrap();
    (sent, agreed)
}

/// Formats sections briefly: `audio 20000 0 97 sendrecv`.
fn short(description: &SessionDescription) -> Vec<String> {
    let media = description.media.iter();
    media
        .map(|m| {
            let direction = m.direction().map_or("-", |d| d.as_str());
            format!("{} {} {} {direction}", m.kind, m.port, m.formats.join(" "))
        })
        .collect()
}

const AUDIO_VIDEO: &str = "m=audio 49170 RTP/AVP 0 8 97\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:97 iLBC/8000\r\nm=video 51372 RTP/AVP 31 32\r\na=rtpmap:31 H261/90000\r\na=rtpmap:32 MPV/90000\r\n";

#[test]
fn rfc4317_2_1_one_codec_of_each_stream() {
    let answer =
        bob("m=audio 49174 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 49170 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\n");
    let (sent, agreed) = through(&alice(AUDIO_VIDEO), &answer);
    assert_eq!(short(&sent), ["audio 30000 0 8 97 sendrecv", "video 30002 31 32 sendrecv"]);
    assert_eq!(short(&agreed.answer), ["audio 20000 0 sendrecv", "video 20002 32 sendrecv"]);
    assert_eq!(agreed.streams[1].answerer.rtp, Some("192.0.2.202:49170".parse().unwrap()));
    assert_eq!(agreed.streams[0].answerer.rtcp, Some("192.0.2.202:49175".parse().unwrap()));
}

#[test]
fn rfc4317_2_2_two_codecs_then_one() {
    let answer =
        bob("m=audio 49172 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\nm=video 0 RTP/AVP 31\r\n\
                      a=rtpmap:31 H261/90000\r\n");
    let (_, agreed) = through(&alice(AUDIO_VIDEO), &answer);
    assert_eq!(short(&agreed.answer), ["audio 20000 0 8 sendrecv", "video 0 31 32 -"]);
    assert_eq!(agreed.streams.len(), 1);
    let offer =
        alice("m=audio 51372 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 0 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n");
    let answer =
        bob("m=audio 49172 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 0 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n");
    let (sent, agreed) = through(&offer, &answer);
    assert_eq!(short(&sent), ["audio 30000 0 sendrecv", "video 0 31 -"]);
    assert_eq!(short(&agreed.answer), ["audio 20000 0 sendrecv", "video 0 31 -"]);
}

#[test]
fn rfc4317_2_4_a_stream_of_events_alone_is_refused() {
    let offer = alice(
        "m=audio 49170 RTP/AVP 0 97\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:97 iLBC/8000\r\n\
                       m=audio 49172 RTP/AVP 98\r\na=rtpmap:98 telephone-event/8000\r\na=sendonly\r\n",
    );
    let answer = bob("m=audio 49172 RTP/AVP 97\r\na=rtpmap:97 iLBC/8000\r\nm=audio 0 RTP/AVP 98\r\n");
    let (sent, agreed) = through(&offer, &answer);
    assert_eq!(short(&sent), ["audio 30000 0 97 sendrecv", "audio 0 98 -"]);
    assert_eq!(short(&agreed.answer), ["audio 20000 97 sendrecv", "audio 0 98 -"]);
    assert_eq!(agreed.streams[0].codec, "iLBC");
}

#[test]
fn rfc4317_3_1_hold_and_unhold() {
    let map = "a=rtpmap:97 iLBC/8000\r\n";
    let hold = bob(&format!("m=audio 49170 RTP/AVP 97\r\n{map}a=sendonly\r\n"));
    let held = alice(&format!("m=audio 49178 RTP/AVP 97\r\n{map}a=recvonly\r\n"));
    let (sent, agreed) = through(&hold, &held);
    assert_eq!(short(&sent), ["audio 30000 97 sendonly"]);
    assert_eq!(short(&agreed.answer), ["audio 20000 97 recvonly"]);
    assert!(!agreed.streams[0].answerer.direction.sends());
    let resume = bob(&format!("m=audio 49170 RTP/AVP 97\r\n{map}"));
    let (_, agreed) = through(&resume, &alice(&format!("m=audio 49178 RTP/AVP 97\r\n{map}")));
    assert_eq!(short(&agreed.answer), ["audio 20000 97 sendrecv"]);
}

#[test]
fn rfc4317_3_2_hold_of_two_streams() {
    let offer = bob("m=audio 49170 RTP/AVP 0\r\na=sendonly\r\nm=video 51372 RTP/AVP 31\r\na=sendonly\r\n");
    let answer = alice("m=audio 49178 RTP/AVP 0\r\na=recvonly\r\nm=video 53000 RTP/AVP 31\r\na=recvonly\r\n");
    let (_, agreed) = through(&offer, &answer);
    assert_eq!(short(&agreed.answer), ["audio 20000 0 recvonly", "video 20002 31 recvonly"]);
}

#[test]
fn rfc4317_4_1_a_second_stream_is_added() {
    let offer = alice(
        "m=audio 49170 RTP/AVP 97\r\na=rtpmap:97 iLBC/8000\r\nm=video 51372 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n",
    );
    let answer = bob(
        "m=audio 49172 RTP/AVP 97\r\na=rtpmap:97 iLBC/8000\r\nm=video 51374 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n",
    );
    let (_, agreed) = through(&offer, &answer);
    assert_eq!(short(&agreed.answer), ["audio 20000 97 sendrecv", "video 20002 31 sendrecv"]);
    assert_eq!(agreed.streams.iter().map(|s| s.index).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn rfc4317_4_2_a_codec_of_another_number() {
    let offer = alice("m=audio 49170 RTP/AVP 97 98\r\na=rtpmap:97 iLBC/8000\r\na=rtpmap:98 telephone-event/8000\r\n");
    let answer = bob("m=audio 49172 RTP/AVP 99 97\r\na=rtpmap:99 iLBC/8000\r\na=rtpmap:97 telephone-event/8000\r\n");
    let (_, agreed) = through(&offer, &answer);
    assert_eq!(short(&agreed.answer), ["audio 20000 97 98 sendrecv"]);
    assert_eq!(agreed.streams[0].payloads, [(97, 99), (98, 97)]);
}

#[test]
fn rfc4317_4_3_a_stream_is_deleted() {
    let offer = alice("m=audio 49170 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n");
    let (sent, agreed) = through(&offer, &bob("m=audio 49172 RTP/AVP 0\r\nm=video 0 RTP/AVP 31\r\n"));
    assert_eq!(short(&sent), ["audio 30000 0 sendrecv", "video 0 31 -"]);
    assert_eq!(short(&agreed.answer), ["audio 20000 0 sendrecv", "video 0 31 -"]);
}
