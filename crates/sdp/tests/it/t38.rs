//! Fax over UDPTL between two legs (ITU-T T.38 annex D): the media section is forwarded with the edge's address.

#![allow(clippy::unwrap_used)]

use trunkgate_sdp::{
    CodecPolicy, LocalOrigin, MediaDirection, NegotiatedAnswer, SdpRejection, SessionDescription, accept,
    anchored_streams, relay_offer,
};

const FAX: &str = "m=image 4500 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n\
                   a=T38FaxRateManagement:transferredTCF\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n";

fn policy() -> CodecPolicy {
    CodecPolicy { codecs: vec!["PCMU".to_owned()], ..CodecPolicy::default() }
}

fn identity(host: u8) -> LocalOrigin {
    LocalOrigin { session_id: 11, version: 3, ip: [192, 0, 2, host].into() }
}

fn from(host: &str, lines: &str) -> SessionDescription {
    let text = format!("v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n{lines}");
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn agreed(
    offer: &SessionDescription,
    answer: &SessionDescription,
) -> Result<(SessionDescription, NegotiatedAnswer), SdpRejection> {
    let sent = relay_offer(offer, &policy(), &[20_000, 20_002], &identity(2))?;
    let agreed = accept(offer, &sent, answer, &CodecPolicy::default(), &[30_000, 30_002], &identity(1))?;
    Ok((sent, agreed))
}

#[test]
fn a_fax_section_passes_with_its_parameters() {
    let offer = from("10.1.1.1", FAX);
    let answer = from("10.2.2.2", &FAX.replace("4500", "5500").replace("14400", "9600"));
    assert_eq!(anchored_streams(&offer), [0]);
    let (sent, agreed) = agreed(&offer, &answer).unwrap();
    let shown =
        |description: &SessionDescription| description.to_string().split_once("t=0 0\r\n").unwrap().1.to_owned();
    assert_eq!(shown(&sent), FAX.replace("4500", "20000"));
    assert_eq!(shown(&agreed.answer), FAX.replace("4500", "30000").replace("14400", "9600"));
    let stream = &agreed.streams[0];
    assert_eq!((stream.codec.as_str(), stream.payloads.len()), ("T38", 0));
    for (far, rtp) in [(&stream.offerer, "10.1.1.1:4500"), (&stream.answerer, "10.2.2.2:5500")] {
        assert_eq!((far.rtp, far.rtcp, far.udptl), (Some(rtp.parse().unwrap()), None, true));
        assert_eq!(far.direction, MediaDirection::SendRecv);
    }
}

#[test]
fn fax_beside_audio_takes_the_place_it_has() {
    let offer = from("10.1.1.1", &format!("m=audio 0 RTP/AVP 0\r\n{FAX}"));
    let answer = from("10.2.2.2", &format!("m=audio 0 RTP/AVP 0\r\n{FAX}"));
    assert_eq!(anchored_streams(&offer), [1]);
    let (sent, agreed) = agreed(&offer, &answer).unwrap();
    let ports = |description: &SessionDescription| description.media.iter().map(|m| m.port).collect::<Vec<_>>();
    assert_eq!((ports(&sent), ports(&agreed.answer)), (vec![0, 20_000], vec![0, 30_000]));
    assert_eq!((agreed.streams.len(), agreed.streams[0].index), (1, 1));
}

#[test]
fn a_direction_stays_where_it_says_something() {
    let offer = from("10.1.1.1", &format!("{FAX}a=sendonly\r\n"));
    let (sent, agreed) = agreed(&offer, &from("10.2.2.2", &format!("{FAX}a=recvonly\r\n"))).unwrap();
    assert_eq!(sent.media[0].direction(), Some(MediaDirection::SendOnly));
    assert_eq!(agreed.answer.media[0].direction(), Some(MediaDirection::RecvOnly));
}

#[test]
fn what_was_not_offered_is_not_agreed() {
    let offer = from("10.1.1.1", FAX);
    for (answer, warn_code) in [
        ("m=image 0 udptl t38\r\n", 305),
        ("m=image 5500 udptl t140\r\n", 305),
        ("m=image 5500 RTP/AVP 0\r\n", 305),
        ("m=audio 5500 RTP/AVP 0\r\n", 304),
    ] {
        assert_eq!(agreed(&offer, &from("10.2.2.2", answer)).unwrap_err().warn_code, warn_code, "{answer}");
    }
}

#[test]
fn nothing_of_one_side_is_seen_by_the_other() {
    let offer = from("10.1.1.1", &format!("{FAX}a=X-own:10.1.1.1:4500\r\n"));
    let (sent, _) = agreed(&offer, &from("10.2.2.2", FAX)).unwrap();
    assert!(!sent.to_string().contains("10.1.1.1"));
}
